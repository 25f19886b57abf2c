/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts: what of "Mon Jan 2 15:04:05 MST 2006" stands in a layout is that part of the time. */
#include "rego/gotime.h"

#include <stdio.h>

enum part {
    TEXT,
    MONTH_LONG,
    MONTH_SHORT,
    MONTH,
    MONTH_2,
    DAY_LONG,
    DAY_SHORT,
    DAY,
    DAY_PAD,
    DAY_2,
    YEARDAY_PAD,
    YEARDAY_3,
    HOUR_24,
    HOUR_12,
    HOUR_12_2,
    MINUTE,
    MINUTE_2,
    SECOND,
    SECOND_2,
    YEAR,
    YEAR_2,
    NOON,
    NOON_LOW,
    ZONE_NAME,
    OFFSET,
    FRACTION
};

/* Longest first where one begins another. Flags of offsets: Z for UTC, colons, how many fields. */
static const struct {
    const char *text;
    uint8_t part;
    bool zulu, colon;
    uint8_t fields;
} words[] = {
    {"January", MONTH_LONG, 0, 0, 0}, {"Jan", MONTH_SHORT, 0, 0, 0},  {"Monday", DAY_LONG, 0, 0, 0},
    {"Mon", DAY_SHORT, 0, 0, 0},      {"MST", ZONE_NAME, 0, 0, 0},    {"2006", YEAR, 0, 0, 0},
    {"-07:00:00", OFFSET, 0, 1, 3},   {"-070000", OFFSET, 0, 0, 3},   {"-07:00", OFFSET, 0, 1, 2},
    {"-0700", OFFSET, 0, 0, 2},       {"-07", OFFSET, 0, 0, 1},       {"Z07:00:00", OFFSET, 1, 1, 3},
    {"Z070000", OFFSET, 1, 0, 3},     {"Z07:00", OFFSET, 1, 1, 2},    {"Z0700", OFFSET, 1, 0, 2},
    {"Z07", OFFSET, 1, 0, 1},         {"002", YEARDAY_3, 0, 0, 0},    {"__2", YEARDAY_PAD, 0, 0, 0},
    {"_2006", TEXT, 0, 0, 0},         {"_2", DAY_PAD, 0, 0, 0},       {"01", MONTH_2, 0, 0, 0},
    {"02", DAY_2, 0, 0, 0},           {"03", HOUR_12_2, 0, 0, 0},     {"04", MINUTE_2, 0, 0, 0},
    {"05", SECOND_2, 0, 0, 0},        {"06", YEAR_2, 0, 0, 0},        {"15", HOUR_24, 0, 0, 0},
    {"PM", NOON, 0, 0, 0},            {"pm", NOON_LOW, 0, 0, 0},      {"1", MONTH, 0, 0, 0},
    {"2", DAY, 0, 0, 0},              {"3", HOUR_12, 0, 0, 0},        {"4", MINUTE, 0, 0, 0},
    {"5", SECOND, 0, 0, 0},
};

struct piece {
    uint8_t part;
    bool zulu, colon, cut; /* cut: ".999", without trailing zeros */
    uint8_t fields;
    struct mln_bytes text; /* of the layout */
};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* ".000" or ",999", with no digit behind. */
static bool fraction_at(struct mln_bytes t, struct piece *ret)
{
    size_t n = 1;
    if (t.len < 2 || (t.ptr[0] != '.' && t.ptr[0] != ',') || (t.ptr[1] != '0' && t.ptr[1] != '9')) {
        return false;
    }
    while (n < t.len && t.ptr[n] == t.ptr[1]) {
        n++;
    }
    if (n < t.len && is_digit(t.ptr[n])) {
        return false;
    }
    *ret = (struct piece){.part = FRACTION, .cut = t.ptr[1] == '9', .text = mln_bytes_sub(t, 0, n)};
    return true;
}

static bool word_at(struct mln_bytes t, struct piece *ret)
{
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        struct mln_bytes w = mln_bytes_of(words[i].text);
        if (!mln_bytes_starts(t, w)) {
            continue;
        }
        bool lower = w.len < t.len && t.ptr[w.len] >= 'a' && t.ptr[w.len] <= 'z';
        if (words[i].part == MONTH_SHORT && lower) {
            continue; /* "Janet" is a name */
        }
        if (words[i].part == TEXT) { /* "_2006": a text "_" and the year */
            *ret = (struct piece){.part = TEXT, .text = mln_bytes_sub(t, 0, 1)};
            return true;
        }
        *ret = (struct piece){.part = words[i].part,
                              .zulu = words[i].zulu,
                              .colon = words[i].colon,
                              .fields = words[i].fields,
                              .text = mln_bytes_sub(t, 0, w.len)};
        return true;
    }
    return fraction_at(t, ret);
}

/* The next piece of a layout; text up to the next word is one piece. */
static struct piece take_piece(struct mln_bytes *layout)
{
    struct piece p;
    size_t n = 0;
    while (n < layout->len && !word_at(mln_bytes_from(*layout, n), &p)) {
        n++;
    }
    if (n > 0) {
        p = (struct piece){.part = TEXT, .text = mln_bytes_sub(*layout, 0, n)};
    }
    *layout = mln_bytes_from(*layout, p.text.len);
    return p;
}

/* ---- civil time ---- */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

int64_t rg_days(int64_t year, int64_t month, int64_t day)
{
    year += floor_div(month - 1, 12);
    month = month - 1 - floor_div(month - 1, 12) * 12 + 1;
    int64_t y = year - (month <= 2), era = floor_div(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468 + day - 1;
}

void rg_civil_of(int64_t ns, const struct rg_zone *zone, struct rg_civil *ret)
{
    int64_t s = floor_div(ns, 1000000000);
    *ret = (struct rg_civil){.ns = (int)(ns - s * 1000000000)};
    ret->offset = rg_zone_at(zone, s, ret->zone);
    s += ret->offset;
    int64_t day = floor_div(s, 86400), in_day = s - day * 86400;
    ret->hour = (int)(in_day / 3600);
    ret->minute = (int)(in_day / 60 % 60);
    ret->second = (int)(in_day % 60);
    ret->weekday = (int)(day + 4 - floor_div(day + 4, 7) * 7);
    int64_t z = day + 719468, era = floor_div(z, 146097), of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    ret->day = (int)(of_year - (153 * m + 2) / 5 + 1);
    ret->month = (int)(m < 10 ? m + 3 : m - 9);
    ret->year = y + era * 400 + (ret->month <= 2);
    ret->yearday = (int)(day - rg_days(ret->year, 1, 1) + 1);
}

/* ---- writing ---- */
static void write_offset(struct mln_buf *out, const struct piece *p, int32_t offset)
{
    if (p->zulu && offset == 0) {
        mln_buf_add_byte(out, 'Z');
        return;
    }
    int o = offset < 0 ? -offset : offset;
    const char *colon = p->colon ? ":" : "";
    mln_buf_add_format(out, "%c%02d", offset < 0 ? '-' : '+', o / 3600);
    if (p->fields > 1) {
        mln_buf_add_format(out, "%s%02d", colon, o / 60 % 60);
    }
    if (p->fields > 2) {
        mln_buf_add_format(out, "%s%02d", colon, o % 60);
    }
}

static void write_fraction(struct mln_buf *out, const struct piece *p, int ns)
{
    char digits[16];
    size_t n = p->text.len - 1 < 9 ? p->text.len - 1 : 9;
    (void)snprintf(digits, sizeof(digits), "%09d", ns);
    while (p->cut && n > 0 && digits[n - 1] == '0') {
        n--;
    }
    if (n > 0) {
        mln_buf_add_byte(out, p->text.ptr[0]);
        mln_buf_add(out, digits, n);
    }
}

static void write_piece(struct mln_buf *out, const struct piece *p, const struct rg_civil *t)
{
    int twelve = t->hour % 12 == 0 ? 12 : t->hour % 12;
    switch (p->part) {
    case MONTH_LONG:
        mln_buf_add_text(out, months[t->month - 1]);
        return;
    case MONTH_SHORT:
        mln_buf_add(out, months[t->month - 1], 3);
        return;
    case DAY_LONG:
        mln_buf_add_text(out, days[t->weekday]);
        return;
    case DAY_SHORT:
        mln_buf_add(out, days[t->weekday], 3);
        return;
    case NOON:
        mln_buf_add_text(out, t->hour >= 12 ? "PM" : "AM");
        return;
    case NOON_LOW:
        mln_buf_add_text(out, t->hour >= 12 ? "pm" : "am");
        return;
    case ZONE_NAME:
        mln_buf_add_text(out, t->zone);
        return;
    case OFFSET:
        write_offset(out, p, t->offset);
        return;
    case FRACTION:
        write_fraction(out, p, t->ns);
        return;
    case YEAR:
        mln_buf_add_format(out, "%04lld", (long long)t->year);
        return;
    case TEXT:
        mln_buf_add_bytes(out, p->text);
        return;
    default:
        break;
    }
    const struct {
        uint8_t part;
        int value;
        const char *format;
    } numbers[] = {
        {MONTH, t->month, "%d"},        {MONTH_2, t->month, "%02d"},      {DAY, t->day, "%d"},
        {DAY_PAD, t->day, "%2d"},       {DAY_2, t->day, "%02d"},          {YEARDAY_PAD, t->yearday, "%3d"},
        {YEARDAY_3, t->yearday, "%03d"}, {HOUR_24, t->hour, "%02d"},      {HOUR_12, twelve, "%d"},
        {HOUR_12_2, twelve, "%02d"},    {MINUTE, t->minute, "%d"},        {MINUTE_2, t->minute, "%02d"},
        {SECOND, t->second, "%d"},      {SECOND_2, t->second, "%02d"},    {YEAR_2, (int)(t->year % 100), "%02d"},
    };
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        if (numbers[i].part != p->part) {
            continue;
        }
        int width = numbers[i].format[1] == 'd' ? 0 : numbers[i].format[mln_bytes_of(numbers[i].format).len - 2] - '0';
        if (numbers[i].format[1] == '0') {
            mln_buf_add_format(out, "%0*d", width, numbers[i].value);
        } else {
            mln_buf_add_format(out, "%*d", width, numbers[i].value);
        }
    }
}

void rg_time_format(struct mln_buf *out, const struct rg_civil *t, struct mln_bytes layout)
{
    while (layout.len > 0) {
        struct piece p = take_piece(&layout);
        write_piece(out, &p, t);
    }
}

/* ---- reading ---- */
struct when {
    int64_t year;
    int month, day, yearday, hour, minute, second, ns;
    bool is_pm, is_am;
    int32_t offset;
};

static bool take_digits(struct mln_bytes *v, size_t min, size_t max, int *ret)
{
    size_t n = 0;
    int x = 0;
    while (n < v->len && n < max && is_digit(v->ptr[n])) {
        x = x * 10 + (v->ptr[n++] - '0');
    }
    if (n < min) {
        return false;
    }
    *ret = x;
    *v = mln_bytes_from(*v, n);
    return true;
}

static bool take_name(struct mln_bytes *v, const char *const *names, size_t n, size_t len, int *ret)
{
    for (size_t i = 0; i < n; i++) {
        struct mln_bytes name = mln_bytes_of(names[i]);
        size_t k = len == 0 ? name.len : len;
        struct mln_bytes head = mln_bytes_sub(*v, 0, k);
        char want[16] = "";
        mln_copy(want, name.ptr, k);
        if (head.len == k && mln_bytes_is_nocase(head, want)) {
            *v = mln_bytes_from(*v, k);
            *ret = (int)i + 1;
            return true;
        }
    }
    return false;
}

static bool take_offset(struct mln_bytes *v, const struct piece *p, int32_t *ret)
{
    if (p->zulu && v->len > 0 && v->ptr[0] == 'Z') {
        *v = mln_bytes_from(*v, 1);
        *ret = 0;
        return true;
    }
    int sign = v->len > 0 && v->ptr[0] == '-' ? -1 : 1, parts[3] = {0, 0, 0};
    if (v->len == 0 || (v->ptr[0] != '-' && v->ptr[0] != '+')) {
        return false;
    }
    *v = mln_bytes_from(*v, 1);
    for (unsigned i = 0; i < p->fields; i++) {
        if (i > 0 && p->colon) {
            if (v->len == 0 || v->ptr[0] != ':') {
                return false;
            }
            *v = mln_bytes_from(*v, 1);
        }
        if (!take_digits(v, 2, 2, &parts[i])) {
            return false;
        }
    }
    *ret = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return parts[0] <= 24 && parts[1] < 60 && parts[2] < 60;
}

static void take_ns(struct mln_bytes *v, size_t n, int *ret)
{
    int x = 0;
    for (size_t i = 1; i < 10; i++) {
        x = x * 10 + (i < n ? v->ptr[i] - '0' : 0);
    }
    *ret = x;
    *v = mln_bytes_from(*v, n);
}

static size_t fraction_len(struct mln_bytes v)
{
    size_t n = 1;
    if (v.len < 2 || (v.ptr[0] != '.' && v.ptr[0] != ',') || !is_digit(v.ptr[1])) {
        return 0;
    }
    while (n < v.len && is_digit(v.ptr[n])) {
        n++;
    }
    return n;
}

/* "UTC", "CET", "GMT+3": three or four capitals. Only UTC and GMT+N say what they mean. */
static bool take_zone(struct mln_bytes *v, int32_t *ret)
{
    size_t n = 0;
    while (n < v->len && n < 5 && v->ptr[n] >= 'A' && v->ptr[n] <= 'Z') {
        n++;
    }
    if (n < 3) {
        return false;
    }
    bool gmt = n == 3 && mln_bytes_starts(*v, MLN_BYTES("GMT"));
    *v = mln_bytes_from(*v, n);
    *ret = 0;
    if (gmt && v->len > 1 && (v->ptr[0] == '+' || v->ptr[0] == '-') && is_digit(v->ptr[1])) {
        int sign = v->ptr[0] == '-' ? -1 : 1, hours = 0;
        *v = mln_bytes_from(*v, 1);
        (void)take_digits(v, 1, 2, &hours);
        *ret = sign * hours * 3600;
    }
    return true;
}

static bool take_noon(struct mln_bytes *v, bool low, struct when *w)
{
    w->is_pm = mln_bytes_starts(*v, mln_bytes_of(low ? "pm" : "PM"));
    w->is_am = mln_bytes_starts(*v, mln_bytes_of(low ? "am" : "AM"));
    *v = mln_bytes_from(*v, 2);
    return w->is_pm || w->is_am;
}

static bool take_second(struct mln_bytes *v, size_t min, bool fraction_follows, struct when *w)
{
    if (!take_digits(v, min, 2, &w->second)) {
        return false;
    }
    size_t n = fraction_follows ? 0 : fraction_len(*v); /* a fraction may be there without being in the layout */
    if (n > 0) {
        take_ns(v, n, &w->ns);
    }
    return true;
}

static bool take(struct mln_bytes *v, const struct piece *p, struct mln_bytes layout, struct when *w)
{
    int ignored = 0, year = 0;
    struct piece next = {0};
    size_t n = 0;
    switch (p->part) {
    case TEXT:
        if (!mln_bytes_starts(*v, p->text)) {
            return false;
        }
        *v = mln_bytes_from(*v, p->text.len);
        return true;
    case MONTH_LONG:
    case MONTH_SHORT:
        return take_name(v, months, 12, p->part == MONTH_LONG ? 0 : 3, &w->month);
    case DAY_LONG:
    case DAY_SHORT:
        return take_name(v, days, 7, p->part == DAY_LONG ? 0 : 3, &ignored);
    case MONTH:
    case MONTH_2:
        return take_digits(v, p->part == MONTH ? 1 : 2, 2, &w->month);
    case DAY_PAD:
        *v = mln_bytes_from(*v, v->len > 0 && v->ptr[0] == ' ');
        return take_digits(v, 1, 2, &w->day);
    case DAY:
    case DAY_2:
        return take_digits(v, p->part == DAY ? 1 : 2, 2, &w->day);
    case YEARDAY_PAD:
    case YEARDAY_3:
        for (int i = 0; i < 2 && p->part == YEARDAY_PAD && v->len > 0 && v->ptr[0] == ' '; i++) {
            *v = mln_bytes_from(*v, 1);
        }
        return take_digits(v, 1, 3, &w->yearday);
    case HOUR_24:
    case HOUR_12_2:
        return take_digits(v, p->part == HOUR_24 ? 1 : 2, 2, &w->hour);
    case HOUR_12:
        return take_digits(v, 1, 2, &w->hour);
    case MINUTE:
    case MINUTE_2:
        return take_digits(v, p->part == MINUTE ? 1 : 2, 2, &w->minute);
    case SECOND:
    case SECOND_2:
        return take_second(v, p->part == SECOND ? 1 : 2, fraction_at(layout, &next), w);
    case YEAR:
        if (!take_digits(v, 4, 4, &year)) {
            return false;
        }
        w->year = year;
        return true;
    case YEAR_2:
        if (!take_digits(v, 2, 2, &year)) {
            return false;
        }
        w->year = year + (year >= 69 ? 1900 : 2000);
        return true;
    case NOON:
    case NOON_LOW:
        return take_noon(v, p->part == NOON_LOW, w);
    case ZONE_NAME:
        return take_zone(v, &w->offset);
    case OFFSET:
        return take_offset(v, p, &w->offset);
    default:
        n = fraction_len(*v);
        if (n == 0 || (!p->cut && n != p->text.len)) {
            return p->cut && n == 0;
        }
        take_ns(v, n, &w->ns);
        return true;
    }
}

static const char *out_of_range(const struct when *w)
{
    int64_t last = rg_days(w->year, w->month + 1, 1) - rg_days(w->year, w->month, 1);
    return w->month < 1 || w->month > 12       ? "month"
           : w->day < 1 || w->day > last       ? "day"
           : w->hour > (w->is_pm || w->is_am ? 12 : 23) ? "hour"
           : w->minute > 59                    ? "minute"
           : w->second > 59                    ? "second"
                                               : NULL;
}

enum rg_time_read rg_time_parse(struct mln_bytes layout, struct mln_bytes value, int64_t *ret_ns,
                                char *why, size_t why_max)
{
    struct when w = {.month = 1, .day = 1};
    struct mln_bytes l = layout, v = value;
    while (l.len > 0) {
        struct piece p = take_piece(&l);
        struct mln_bytes before = v;
        if (!take(&v, &p, l, &w)) {
            (void)snprintf(why, why_max,
                           "parsing time \"%.*s\" as \"%.*s\": cannot parse \"%.*s\" as \"%.*s\"",
                           MLN_FMT(value), MLN_FMT(layout), MLN_FMT(before), MLN_FMT(p.text));
            return RG_TIME_BAD;
        }
    }
    if (w.yearday > 0) {
        w.month = 1;
        w.day = 1;
    }
    const char *range = out_of_range(&w);
    if (v.len > 0 || range != NULL) {
        (void)snprintf(why, why_max, "parsing time \"%.*s\": %s%s%.*s%s", MLN_FMT(value),
                       v.len > 0 ? "extra text: \"" : range, v.len > 0 ? "" : " out of range",
                       MLN_FMT(v), v.len > 0 ? "\"" : "");
        return RG_TIME_BAD;
    }
    w.hour = w.is_pm && w.hour < 12 ? w.hour + 12 : w.is_am && w.hour == 12 ? 0 : w.hour;
    int64_t s = rg_days(w.year, w.month, w.day + (w.yearday > 0 ? w.yearday - 1 : 0)) * 86400 +
                w.hour * 3600 + w.minute * 60 + w.second - w.offset;
    rg_wide ns = (rg_wide)s * 1000000000 + w.ns;
    *ret_ns = (int64_t)ns;
    return ns > INT64_MAX || ns < INT64_MIN ? RG_TIME_RANGE : RG_TIME_OK;
}
