/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time stamps (RFC 3339). Days are counted by the civil-calendar arithmetic of Howard Hinnant ("chrono-compatible low-level
 * date algorithms"): exact in the proleptic Gregorian calendar. No leap seconds, as in Unix time.
 */

#include "base/text_priv.h"

#define NS_PER_S 1000000000
#define S_PER_DAY 86400

struct civil {
    int64_t year;
    unsigned month;
    unsigned day;
};

static struct civil civil_of(int64_t days)
{
    days += 719468; /* from 1970-01-01 to 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day = day_of_era - (365 * year + year / 4 - year / 100);
    unsigned shifted = (5 * day + 2) / 153;
    unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
    return (struct civil){year + era * 400 + (month <= 2), month, day - (153 * shifted + 2) / 5 + 1};
}

static int64_t days_of(struct civil c)
{
    int64_t year = c.year - (c.month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day = (153 * (c.month > 2 ? c.month - 3 : c.month + 9) + 2) / 5 + c.day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static unsigned days_in(int64_t year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap ? 1u : 0u);
}

/* ---- printing ---- */

static char *put_digits(char *to, unsigned number, unsigned n, char then)
{
    for (unsigned i = n; i > 0; i--) {
        to[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    to[n] = then;
    return to + n + 1;
}

size_t mln_time_print(char to[MLN_TIME_TEXT_MAX], int64_t ns, int digits)
{
    MLN_CHECK(digits >= 0 && digits <= 9);
    int64_t seconds = ns / NS_PER_S - (ns % NS_PER_S < 0);
    unsigned nano = (unsigned)(ns - seconds * NS_PER_S);
    int64_t days = seconds / S_PER_DAY - (seconds % S_PER_DAY < 0);
    unsigned left = (unsigned)(seconds - days * S_PER_DAY);
    struct civil c = civil_of(days);
    char *at = put_digits(to, (unsigned)c.year, 4, '-'); /* the years of 64-bit nanoseconds have four digits */
    at = put_digits(at, c.month, 2, '-');
    at = put_digits(at, c.day, 2, 'T');
    at = put_digits(at, left / 3600, 2, ':');
    at = put_digits(at, left % 3600 / 60, 2, ':');
    at = put_digits(at, left % 60, 2, '.');
    at = put_digits(at, nano, 9, 0);
    MLN_CHECK(at == to + 30);
    size_t len = digits == 0 ? 19 : 20 + (size_t)digits;
    to[len] = 'Z';
    to[len + 1] = '\0';
    return len + 1;
}

const char *mln_time_text(struct mln_cx *cx, int64_t ns, int digits)
{
    char here[MLN_TIME_TEXT_MAX];
    size_t n = mln_time_print(here, ns, digits);
    return mln_text_dup(cx, mln_bytes_at(here, n));
}

const char *mln_time_text_go(struct mln_cx *cx, int64_t ns)
{
    char here[MLN_TIME_TEXT_MAX];
    int64_t nano = ns % NS_PER_S;
    int digits = nano == 0 ? 0 : 9;
    for (; digits > 0 && nano % 10 == 0; nano /= 10) {
        digits--;
    }
    size_t n = mln_time_print(here, ns, digits);
    return mln_text_dup(cx, mln_bytes_at(here, n));
}

/* ---- parsing ---- */

/* n digits at *at of text as a number; false when there are not that many. */
static bool take_digits(struct mln_bytes text, size_t *at, size_t n, unsigned *ret)
{
    uint64_t got;
    if (text.len - *at < n || !mln_u64_parse(mln_bytes_sub(text, *at, n), &got)) {
        return false;
    }
    *at += n;
    *ret = (unsigned)got;
    return true;
}

static bool take_byte(struct mln_bytes text, size_t *at, char want)
{
    if (*at < text.len && text.ptr[*at] == (uint8_t)want) {
        ++*at;
        return true;
    }
    return false;
}

static bool take_date(struct mln_bytes text, size_t *at, int64_t *ret_days)
{
    unsigned year;
    struct civil c = {0};
    if (!take_digits(text, at, 4, &year) || !take_byte(text, at, '-') ||
        !take_digits(text, at, 2, &c.month) || !take_byte(text, at, '-') ||
        !take_digits(text, at, 2, &c.day)) {
        return false;
    }
    c.year = year;
    if (c.month < 1 || c.month > 12 || c.day < 1 || c.day > days_in(c.year, c.month)) {
        return false;
    }
    *ret_days = days_of(c);
    return true;
}

/* "hh:mm" in seconds. */
static bool take_minutes(struct mln_bytes text, size_t *at, int64_t *ret_s)
{
    unsigned hour;
    unsigned minute;
    if (!take_digits(text, at, 2, &hour) || !take_byte(text, at, ':') ||
        !take_digits(text, at, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    *ret_s = hour * 3600 + minute * 60;
    return true;
}

/* The fraction after the point: digits beyond the ninth must be digits and are cut. */
static bool take_fraction(struct mln_bytes text, size_t *at, int64_t *ret_nano)
{
    size_t from = *at;
    int64_t scale = NS_PER_S / 10;
    *ret_nano = 0;
    for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; ++*at) {
        *ret_nano += scale * (text.ptr[*at] - '0');
        scale /= 10;
    }
    return *at > from;
}

static bool take_zone(struct mln_bytes text, size_t *at, int64_t *ret_offset_s)
{
    *ret_offset_s = 0;
    if (take_byte(text, at, 'Z')) {
        return true;
    }
    bool is_behind = take_byte(text, at, '-');
    if ((!is_behind && !take_byte(text, at, '+')) || !take_minutes(text, at, ret_offset_s)) {
        return false;
    }
    *ret_offset_s = is_behind ? -*ret_offset_s : *ret_offset_s;
    return true;
}

bool mln_time_parse(struct mln_bytes text, int64_t *ret_ns)
{
    size_t at = 0;
    int64_t days;
    int64_t of_day;
    unsigned second;
    int64_t nano = 0;
    int64_t offset;
    if (!take_date(text, &at, &days) || !take_byte(text, &at, 'T') ||
        !take_minutes(text, &at, &of_day) || !take_byte(text, &at, ':') ||
        !take_digits(text, &at, 2, &second) || second > 59) {
        return false;
    }
    if (take_byte(text, &at, '.') && !take_fraction(text, &at, &nano)) {
        return false;
    }
    if (!take_zone(text, &at, &offset) || at != text.len) {
        return false;
    }
    int64_t seconds = days * S_PER_DAY + of_day + second - offset;
    int64_t ns;
    /* Before 1970 the whole second is below and the fraction adds: go by the next second, so as not to overflow. */
    bool is_below = seconds < 0 && nano > 0;
    if (__builtin_mul_overflow(seconds + is_below, (int64_t)NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, is_below ? nano - NS_PER_S : nano, &ns)) {
        return false;
    }
    *ret_ns = ns;
    return true;
}
