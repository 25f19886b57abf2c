/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: int64 where one fits, else the literal. Arithmetic that leaves int64 is done with a mantissa of 64 bits, as
 * OPA does it; that is what long double has on x86-64.
 */
#include "rego/val_priv.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_MOST 21 /* a mantissa of 64 bits is told apart by this many */

static bool looks_int(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.' || text.ptr[i] == 'e' || text.ptr[i] == 'E') {
            return false;
        }
    }
    return true;
}

struct rg_val rg_number(struct rg_heap *heap, struct mln_bytes literal)
{
    int64_t i = 0;
    bool is_int = looks_int(literal);
    if (is_int && mln_i64_parse(literal, &i)) {
        return rg_int(i);
    }
    struct rg_big *big = rg_try(heap, sizeof(*big) + literal.len + 1);
    if (big == NULL) {
        return rg_int(0);
    }
    big->len = (uint32_t)literal.len;
    big->is_int = is_int;
    mln_copy(big->text, literal.ptr, literal.len);
    big->text[literal.len] = '\0';
    return (struct rg_val){.tag = RG_BIG, .big = big};
}

static bool is_whole(long double x)
{
    long double t = truncl(x);
    return !(x < t) && !(x > t);
}

static long double load(struct rg_val v)
{
    return v.tag == RG_INT ? (long double)v.integer : strtold(v.big->text, NULL);
}

double rg_num_to_double(struct rg_val v)
{
    return v.tag == RG_INT ? (double)v.integer : strtod(v.big->text, NULL);
}

/* What "%Le" gave, as Go's 'g' writes it: no exponent from 1e-4 up to 21 digits of an integer. */
static size_t tidy(char *out, size_t cap, const char *e_text, bool is_int)
{
    char digits[64];
    size_t n = 0;
    const char *p = e_text;
    bool minus = *p == '-';
    p += minus;
    for (; *p != 'e'; p++) {
        if (*p != '.') {
            digits[n++] = *p;
        }
    }
    bool below = p[1] == '-';
    uint64_t exp = 0;
    (void)mln_u64_parse(mln_bytes_of(p + 2), &exp);
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    int k = 0;
    if (!is_int && (below ? exp > 4 : exp >= (n > 21 ? n : 21))) {
        k = snprintf(out, cap, "%s%c%s%.*se%c%02u", minus ? "-" : "", digits[0], n > 1 ? "." : "",
                     (int)n - 1, digits + 1, below ? '-' : '+', (unsigned)exp);
    } else if (below) {
        k = snprintf(out, cap, "%s0.%.*s%.*s", minus ? "-" : "", (int)exp - 1, "0000", (int)n,
                     digits);
    } else if (exp + 1 >= n) {
        k = snprintf(out, cap, "%s%.*s%0*d", minus ? "-" : "", (int)n, digits, (int)(exp + 1 - n),
                     0);
        k -= exp + 1 == n; /* "%0*d" of no width still gives a digit */
    } else {
        k = snprintf(out, cap, "%s%.*s.%.*s", minus ? "-" : "", (int)exp + 1, digits,
                     (int)(n - exp - 1), digits + exp + 1);
    }
    return k < 0 ? 0 : (size_t)k;
}

static struct rg_val store(struct rg_heap *heap, long double x)
{
    if (isnan(x) || isinf(x)) {
        return RG_NONE;
    }
    if (is_whole(x) && fabsl(x) < 9.2e18L) {
        return rg_int((int64_t)x);
    }
    char e_text[80] = "", text[5100];
    for (int p = 1; p <= DIGITS_MOST; p++) {
        (void)snprintf(e_text, sizeof(e_text), "%.*Le", p - 1, x);
        long double back = strtold(e_text, NULL);
        if (!(back < x) && !(back > x)) {
            break;
        }
    }
    size_t n = tidy(text, sizeof(text), e_text, is_whole(x));
    return rg_number(heap, mln_bytes_at(text, n < sizeof(text) ? n : sizeof(text) - 1));
}

struct rg_val rg_num_double(struct rg_heap *heap, double d)
{
    if (isnan(d) || isinf(d)) {
        return RG_NONE;
    }
    if (!(d < floor(d)) && !(d > floor(d)) && fabs(d) < 9.2e18) {
        return rg_int((int64_t)d);
    }
    char e_text[64] = "", text[512];
    for (int p = 1; p <= 17; p++) {
        (void)snprintf(e_text, sizeof(e_text), "%.*e", p - 1, d);
        double back = strtod(e_text, NULL);
        if (!(back < d) && !(back > d)) {
            break;
        }
    }
    size_t n = tidy(text, sizeof(text), e_text, false);
    return rg_number(heap, mln_bytes_at(text, n < sizeof(text) ? n : sizeof(text) - 1));
}

bool rg_num_int(struct rg_val v, int64_t *ret)
{
    if (v.tag == RG_INT) {
        *ret = v.integer;
        return true;
    }
    if (v.tag != RG_BIG || v.big->is_int) {
        return false;
    }
    long double x = load(v);
    if (!is_whole(x) || fabsl(x) >= 9.2e18L) {
        return false;
    }
    *ret = (int64_t)x;
    return true;
}

bool rg_num_is_int(struct rg_val v)
{
    if (v.tag != RG_BIG) {
        return v.tag == RG_INT;
    }
    long double x = load(v);
    return v.big->is_int || is_whole(x);
}

static int cmp_digits(const struct rg_big *a, const struct rg_big *b)
{
    bool minus = a->text[0] == '-';
    if (minus != (b->text[0] == '-')) {
        return minus ? -1 : 1;
    }
    int c = a->len != b->len ? (a->len < b->len ? -1 : 1) : mln_compare(a->text, b->text, a->len);
    return minus ? -c : c;
}

int rg_num_cmp(struct rg_val a, struct rg_val b)
{
    if (a.tag == RG_INT && b.tag == RG_INT) {
        return (a.integer > b.integer) - (a.integer < b.integer);
    }
    if (a.tag == RG_BIG && b.tag == RG_BIG && a.big->is_int && b.big->is_int) {
        return cmp_digits(a.big, b.big);
    }
    long double x = load(a), y = load(b);
    return (x > y) - (x < y);
}

struct rg_val rg_num_add(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    int64_t r = 0;
    if (a.tag == RG_INT && b.tag == RG_INT && !__builtin_add_overflow(a.integer, b.integer, &r)) {
        return rg_int(r);
    }
    return store(heap, load(a) + load(b));
}

struct rg_val rg_num_sub(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    int64_t r = 0;
    if (a.tag == RG_INT && b.tag == RG_INT && !__builtin_sub_overflow(a.integer, b.integer, &r)) {
        return rg_int(r);
    }
    return store(heap, load(a) - load(b));
}

struct rg_val rg_num_mul(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    int64_t r = 0;
    if (a.tag == RG_INT && b.tag == RG_INT && !__builtin_mul_overflow(a.integer, b.integer, &r)) {
        return rg_int(r);
    }
    return store(heap, load(a) * load(b));
}

struct rg_val rg_num_div(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    if (a.tag == RG_INT && b.tag == RG_INT && b.integer > 0 && a.integer % b.integer == 0) {
        return rg_int(a.integer / b.integer);
    }
    return store(heap, load(a) / load(b));
}

struct rg_val rg_num_round(struct rg_heap *heap, struct rg_val v, int how)
{
    if (v.tag == RG_INT || v.big->is_int) {
        return v;
    }
    long double x = load(v);
    return store(heap, how < 0 ? floorl(x) : how > 0 ? ceill(x) : roundl(x));
}

struct mln_bytes rg_num_text(struct rg_val v, char space[24])
{
    if (v.tag == RG_BIG) {
        return mln_bytes_at(v.big->text, v.big->len);
    }
    int n = snprintf(space, 24, "%lld", (long long)v.integer);
    return mln_bytes_at(space, (size_t)n);
}
