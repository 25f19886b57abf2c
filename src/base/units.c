/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as Go and Vault write them, and sizes for people. Parsers work in integers: nothing is rounded unseen. */
#include <stdio.h>

#include "base/text.h"

#define NS_PER_S 1000000000

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit *unit_find(const struct unit *units, size_t n, struct mln_bytes name)
{
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is_nocase(name, units[i].name)) {
            return &units[i];
        }
    }
    return NULL;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "12.345" at the front of *text: whole part and billionths; false when there is no digit or too many. */
static bool take_number(struct mln_bytes *text, uint64_t *ret_whole, uint64_t *ret_nano, bool *ret_has_point)
{
    size_t n = 0;
    while (n < text->len && is_digit(text->ptr[n])) {
        n++;
    }
    *ret_whole = 0;
    *ret_nano = 0;
    if (n > 0 && !mln_u64_parse(mln_bytes_sub(*text, 0, n), ret_whole)) {
        return false;
    }
    *text = mln_bytes_from(*text, n);
    *ret_has_point = text->len > 0 && text->ptr[0] == '.';
    size_t digits = 0;
    if (*ret_has_point) {
        uint64_t scale = NS_PER_S;
        for (digits = 0; digits + 1 < text->len && is_digit(text->ptr[digits + 1]); digits++) {
            scale /= 10;
            *ret_nano += scale * (uint64_t)(text->ptr[digits + 1] - '0');
        }
        *text = mln_bytes_from(*text, digits + 1);
    }
    return n + digits > 0;
}

/* (whole + nano / 10^9) * factor, cut to an integer; false on overflow. */
static bool scaled(uint64_t whole, uint64_t nano, uint64_t factor, uint64_t *ret)
{
    /* nano * factor in two halves: factor = high * 10^9 + low */
    uint64_t part = nano * (factor / NS_PER_S) + nano * (factor % NS_PER_S) / NS_PER_S;
    uint64_t all;
    if (factor / NS_PER_S > UINT32_MAX || __builtin_mul_overflow(whole, factor, &all)) {
        return false;
    }
    return !__builtin_add_overflow(all, part, ret);
}

/* ---- durations ---- */

static const struct unit durations[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xC2\xB5s", 1000},
    {"\xCE\xBCs", 1000},
    {"ms", 1000000},
    {"s", NS_PER_S},
    {"m", (uint64_t)60 * NS_PER_S},
    {"h", (uint64_t)3600 * NS_PER_S},
    {"d", (uint64_t)86400 * NS_PER_S},
};

/* One "1.5h" off the front of *text, added to *sum. */
static bool take_duration(struct mln_bytes *text, uint64_t *sum)
{
    uint64_t whole;
    uint64_t nano;
    bool has_point;
    if (!take_number(text, &whole, &nano, &has_point)) {
        return false;
    }
    size_t n = 0;
    while (n < text->len && !is_digit(text->ptr[n]) && text->ptr[n] != '.') {
        n++;
    }
    const struct unit *unit = unit_find(durations, MLN_COUNT(durations), mln_bytes_sub(*text, 0, n));
    *text = mln_bytes_from(*text, n);
    uint64_t part;
    return unit != NULL && scaled(whole, nano, unit->factor, &part) &&
           !__builtin_add_overflow(*sum, part, sum) && *sum <= INT64_MAX;
}

bool mln_duration_parse(struct mln_bytes text, int64_t *ret_s)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    text = mln_bytes_from(text, is_negative);
    uint64_t sum = 0;
    uint64_t seconds;
    if (mln_u64_parse(text, &seconds)) {
        if (seconds > INT64_MAX / NS_PER_S) {
            return false;
        }
        *ret_s = is_negative ? -(int64_t)seconds : (int64_t)seconds;
        return true;
    }
    if (text.len == 0) {
        return false;
    }
    while (text.len > 0) {
        if (!take_duration(&text, &sum)) {
            return false;
        }
    }
    int64_t got = (int64_t)(sum / NS_PER_S);
    *ret_s = is_negative ? -got : got;
    return true;
}

const char *mln_duration_text(struct mln_cx *cx, int64_t s)
{
    const char *sign = s < 0 ? "-" : "";
    uint64_t all = s < 0 ? 0 - (uint64_t)s : (uint64_t)s;
    unsigned long long hours = all / 3600;
    unsigned minutes = (unsigned)(all % 3600 / 60);
    unsigned seconds = (unsigned)(all % 60);
    if (hours > 0) {
        return mln_text_format(cx, "%s%lluh%um%us", sign, hours, minutes, seconds);
    }
    if (minutes > 0) {
        return mln_text_format(cx, "%s%um%us", sign, minutes, seconds);
    }
    return mln_text_format(cx, "%s%us", sign, seconds);
}

/* ---- sizes ---- */

static const struct unit sizes[] = {
    {"B", 1},
    {"K", (uint64_t)1 << 10},
    {"KiB", (uint64_t)1 << 10},
    {"M", (uint64_t)1 << 20},
    {"MiB", (uint64_t)1 << 20},
    {"G", (uint64_t)1 << 30},
    {"GiB", (uint64_t)1 << 30},
    {"T", (uint64_t)1 << 40},
    {"TiB", (uint64_t)1 << 40},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
};

bool mln_size_parse(struct mln_bytes text, uint64_t *ret_bytes)
{
    uint64_t whole;
    uint64_t nano;
    bool has_point;
    if (!take_number(&text, &whole, &nano, &has_point)) {
        return false;
    }
    if (text.len > 1 && text.ptr[0] == ' ') {
        text = mln_bytes_from(text, 1);
    }
    uint64_t factor = 1;
    if (text.len > 0) {
        const struct unit *unit = unit_find(sizes, MLN_COUNT(sizes), text);
        if (unit == NULL) {
            return false;
        }
        factor = unit->factor;
    }
    uint64_t bytes;
    if ((has_point && factor == 1) || !scaled(whole, nano, factor, &bytes)) {
        return false;
    }
    *ret_bytes = bytes;
    return true;
}

const char *mln_size_text(struct mln_cx *cx, uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t step = 0;
    uint64_t unit = 1;
    while (step + 1 < MLN_COUNT(names) && bytes / unit >= 1024) {
        unit <<= 10;
        step++;
    }
    uint64_t tenths = bytes / unit * 10 + (step == 0 ? 0 : bytes % unit / (unit / 64) * 10 / 64);
    if (tenths % 10 == 0) {
        return mln_text_format(cx, "%llu %s", (unsigned long long)(tenths / 10), names[step]);
    }
    return mln_text_format(cx, "%llu.%llu %s", (unsigned long long)(tenths / 10),
                           (unsigned long long)(tenths % 10), names[step]);
}
