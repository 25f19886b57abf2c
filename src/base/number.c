/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Number literals by JSON's grammar (RFC 8259 section 6): integers of 64 bits become such, every other keeps its text.
 * Two numbers are compared exactly, digit by digit, whatever their spelling.
 */
#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "base/value_priv.h"

#define EXPONENT_DIGITS_MAX 9 /* no sane number needs more; keeps exponents in 64-bit arithmetic */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Skip digits from `at`; returns the position behind them. */
static size_t skip_digits(struct mln_bytes t, size_t at)
{
    while (at < t.len && is_digit(t.ptr[at])) {
        at++;
    }
    return at;
}

/* The exponent that begins at `at` ("e" there): the end, or 0 when malformed. */
static size_t exponent_end(struct mln_bytes t, size_t at)
{
    at++;
    if (at < t.len && (t.ptr[at] == '+' || t.ptr[at] == '-')) {
        at++;
    }
    size_t end = skip_digits(t, at);
    if (end == at) {
        return 0;
    }
    while (at < end && t.ptr[at] == '0') {
        at++;
    }
    return end - at <= EXPONENT_DIGITS_MAX ? end : 0;
}

size_t mln_number_span(struct mln_bytes text, bool *ret_is_int)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    size_t end = skip_digits(text, at);
    if (end == at || (text.ptr[at] == '0' && end > at + 1)) {
        return 0;
    }
    *ret_is_int = true;
    if (end < text.len && text.ptr[end] == '.') {
        *ret_is_int = false;
        at = end + 1;
        end = skip_digits(text, at);
        if (end == at) {
            return 0;
        }
    }
    if (end < text.len && (text.ptr[end] | 0x20) == 'e') {
        *ret_is_int = false;
        end = exponent_end(text, end);
    }
    return end <= MLN_DECIMAL_DIGITS_MAX ? end : 0;
}

/* An integer literal in 64 bits; "-0" is none, so that its sign survives. */
static bool int_of(struct mln_bytes text, int64_t *ret)
{
    bool is_negative = text.ptr[0] == '-';
    uint64_t sum = 0;
    if (text.len > 20 || (is_negative && text.ptr[1] == '0')) {
        return false;
    }
    for (size_t i = is_negative; i < text.len; i++) {
        if (__builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text.ptr[i] - '0'), &sum)) {
            return false;
        }
    }
    if (sum > (uint64_t)INT64_MAX + is_negative) {
        return false;
    }
    *ret = (int64_t)(is_negative ? 0 - sum : sum);
    return true;
}

bool mln_number_of(struct mln_value *to, struct mln_bytes literal)
{
    bool is_int = false;
    size_t span = mln_number_span(literal, &is_int);
    if (span == 0 || span != literal.len) {
        return false;
    }
    int64_t integer;
    if (is_int && int_of(literal, &integer)) {
        *to = (struct mln_value){.type = MLN_INT, .integer = integer};
    } else {
        *to = (struct mln_value){.type = MLN_DECIMAL, .len = (uint32_t)span, .text = literal.ptr};
    }
    return true;
}

/* ---- order ---- */

/* sign * 0.digits * 10^scale, digits from the first to the last that is not 0 (the point is skipped when reading) */
struct decimal {
    const uint8_t *digits;
    size_t span; /* bytes from the first to the last digit, with a point perhaps */
    int64_t scale;
    int sign; /* -1, 0, 1 */
};

static int64_t exponent_of(struct mln_bytes t)
{
    int64_t exponent = 0;
    (void)mln_i64_parse(t.len > 0 && t.ptr[0] == '+' ? mln_bytes_from(t, 1) : t, &exponent);
    return exponent;
}

static struct decimal decimal_of(struct mln_bytes t)
{
    struct decimal d = {.sign = 1};
    if (t.len > 0 && t.ptr[0] == '-') {
        d.sign = -1;
        t = mln_bytes_from(t, 1);
    }
    size_t e = 0;
    while (e < t.len && (t.ptr[e] | 0x20) != 'e') {
        e++;
    }
    d.scale = e < t.len ? exponent_of(mln_bytes_from(t, e + 1)) : 0;
    t.len = e;
    size_t point = mln_bytes_find(t, '.');
    d.scale += (int64_t)point;
    size_t first = 0;
    while (first < t.len && (t.ptr[first] == '0' || t.ptr[first] == '.')) {
        first++;
    }
    if (first == t.len) {
        return (struct decimal){0};
    }
    d.scale -= (int64_t)(first > point ? first - 1 : first);
    size_t last = t.len;
    while (t.ptr[last - 1] == '0' || t.ptr[last - 1] == '.') {
        last--;
    }
    d.digits = t.ptr + first;
    d.span = last - first;
    return d;
}

/* The next digit at *at, skipping the point; 0 behind the end. */
static int digit_next(const struct decimal *d, size_t *at)
{
    if (*at < d->span && d->digits[*at] == '.') {
        ++*at;
    }
    return *at < d->span ? d->digits[(*at)++] - '0' : 0;
}

static int decimal_cmp(const struct decimal *a, const struct decimal *b)
{
    if (a->sign != b->sign) {
        return a->sign - b->sign;
    }
    if (a->sign == 0) {
        return 0;
    }
    if (a->scale != b->scale) {
        return a->scale < b->scale ? -a->sign : a->sign;
    }
    size_t i = 0;
    size_t j = 0;
    while (i < a->span || j < b->span) {
        int order = digit_next(a, &i) - digit_next(b, &j);
        if (order != 0) {
            return order < 0 ? -a->sign : a->sign;
        }
    }
    return 0;
}

static struct mln_bytes number_text(const struct mln_value *v, char here[24])
{
    if (v->type == MLN_DECIMAL) {
        return mln_bytes_at(v->text, v->len);
    }
    int n = snprintf(here, 24, "%lld", (long long)v->integer);
    return mln_bytes_at(here, n > 0 ? (size_t)n : 0);
}

int mln_number_cmp(const struct mln_value *a, const struct mln_value *b)
{
    if (a->type == MLN_INT && b->type == MLN_INT) {
        return (a->integer > b->integer) - (a->integer < b->integer);
    }
    char here[24];
    char there[24];
    struct decimal x = decimal_of(number_text(a, here));
    struct decimal y = decimal_of(number_text(b, there));
    return decimal_cmp(&x, &y);
}

/* ---- doubles ---- */

size_t mln_double_print(char to[32], double d)
{
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(to, 32, "%.*g", digits, d);
        for (int i = 0; i < n; i++) {
            bool is_plain = is_digit((uint8_t)to[i]) || to[i] == '-' || to[i] == '+' || to[i] == 'e';
            to[i] = is_plain ? to[i] : '.'; /* whatever the locale's point is */
        }
        double again = 0;
        if (mln_double_parse(mln_bytes_at(to, (size_t)n), &again) && !(again < d) && !(again > d)) {
            break;
        }
    }
    return (size_t)n;
}

double mln_get_double(const struct mln_value *v, double otherwise)
{
    if (v != NULL && v->type == MLN_INT) {
        return (double)v->integer;
    }
    double d = otherwise;
    if (v != NULL && v->type == MLN_DECIMAL) {
        (void)mln_double_parse(mln_bytes_at(v->text, v->len), &d);
    }
    return d;
}
