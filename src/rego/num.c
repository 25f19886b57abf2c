/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: int64 where one fits, else the literal. Whole numbers beyond int64 are added, multiplied and divided with
 * remainder exactly (OpenSSL's BIGNUM, which is linked already and is fast for the few hundred digits that occur), up to
 * MLN_DECIMAL_DIGITS_MAX digits. Fractions have a mantissa of 64 bits, as in OPA; that is what long double has on x86-64.
 * Comparison is exact, on the literals.
 */
#include "rego/val_priv.h"

#include "base/text.h"

#include <math.h>
#include <openssl/bn.h>
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

/* ---- literals, digit by digit ---- */
struct decimal {
    const char *text; /* digits and perhaps a point, from the first that is not 0 */
    size_t len;       /* to the last that is not 0 */
    int64_t lead;     /* the power of ten of the first digit */
    size_t digits;
    bool minus, is_zero;
};

static int64_t exponent(const char *p, const char *end)
{
    int64_t e = 0;
    bool minus = p < end && *p == '-';
    for (p += p < end && (*p == '-' || *p == '+'); p < end; p++) {
        e = e < 1000000000 ? e * 10 + (*p - '0') : e;
    }
    return minus ? -e : e;
}

static struct decimal decimal_of(const char *text, size_t len)
{
    struct decimal d = {.minus = text[0] == '-', .is_zero = true};
    const char *p = text + (text[0] == '-' || text[0] == '+'), *end = text + len, *last = NULL;
    bool is_behind = false;
    int64_t e = 0, whole = 0,
            gap = 0; /* digits before the point, zeros behind it before the first other digit */
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            is_behind = true;
        } else if (*p != '0' && d.is_zero) {
            d.is_zero = false;
            d.text = last = p;
            whole += !is_behind;
        } else {
            last = *p != '0' ? p : last;
            whole += !is_behind && !d.is_zero;
            gap += is_behind && d.is_zero;
        }
    }
    e = p < end ? exponent(p + 1, end) : 0;
    if (!d.is_zero) {
        d.len = (size_t)(last + 1 - d.text);
        d.lead = e + (whole > 0 ? whole - 1 : -gap - 1);
        for (size_t i = 0; i < d.len; i++) {
            d.digits += d.text[i] != '.';
        }
    }
    return d;
}

static struct decimal decimal_in(struct rg_val v, char space[24])
{
    struct mln_bytes t = rg_num_text(v, space);
    return decimal_of((const char *)t.ptr, t.len);
}

static bool decimal_is_int(const struct decimal *d)
{
    return d->is_zero || d->lead + 1 >= (int64_t)d->digits;
}

static int cmp_digits(const struct decimal *a, const struct decimal *b)
{
    size_t i = 0, k = 0;
    for (;;) {
        i += i < a->len && a->text[i] == '.';
        k += k < b->len && b->text[k] == '.';
        if (i == a->len || k == b->len) {
            return (i < a->len) - (k < b->len);
        }
        if (a->text[i] != b->text[k]) {
            return a->text[i] < b->text[k] ? -1 : 1;
        }
        i++;
        k++;
    }
}

static int cmp_decimals(const struct decimal *a, const struct decimal *b)
{
    if (a->is_zero || b->is_zero) {
        return a->is_zero && b->is_zero ? 0 : a->is_zero ? (b->minus ? 1 : -1) : a->minus ? -1 : 1;
    }
    if (a->minus != b->minus) {
        return a->minus ? -1 : 1;
    }
    int c = a->lead != b->lead ? (a->lead < b->lead ? -1 : 1) : cmp_digits(a, b);
    return a->minus ? -c : c;
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

/* What "%Le" gave, as Go's 'g' writes it: no exponent from 1e-4 up to 1e6, and none of whole numbers. */
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
    if (!is_int && (below ? exp > 4 : exp >= 6)) {
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

/* The fewest digits that give `d` again, as Go's 'g' writes them. */
static size_t shortest(char *out, size_t cap, double d)
{
    char e_text[64] = "";
    for (int p = 1; p <= 17; p++) {
        (void)snprintf(e_text, sizeof(e_text), "%.*e", p - 1, d);
        double back = strtod(e_text, NULL);
        if (!(back < d) && !(back > d)) {
            break;
        }
    }
    size_t n = tidy(out, cap, e_text, false);
    return n < cap ? n : cap - 1;
}

void rg_num_print_double(struct mln_buf *buf, double d)
{
    char text[512];
    if (isnan(d) || isinf(d)) {
        mln_buf_add_text(buf, isnan(d) ? "NaN" : d < 0 ? "-Inf" : "+Inf");
    } else {
        mln_buf_add(buf, text, shortest(text, sizeof(text), d));
    }
}

struct rg_val rg_num_double(struct rg_heap *heap, double d)
{
    char text[512];
    if (isnan(d) || isinf(d)) {
        return RG_NONE;
    }
    if (!(d < floor(d)) && !(d > floor(d)) && fabs(d) < 9.2e18) {
        return rg_int((int64_t)d);
    }
    return rg_number(heap, mln_bytes_at(text, shortest(text, sizeof(text), d)));
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
    struct decimal d = decimal_of(v.big->text, v.big->len);
    char digits[24];
    size_t n = 0;
    if (!decimal_is_int(&d) || d.lead > 18) {
        return false;
    }
    for (size_t i = 0; i < d.len; i++) {
        if (d.text[i] != '.') {
            digits[n++] = d.text[i];
        }
    }
    uint64_t u = 0;
    while (!d.is_zero && n < (size_t)d.lead + 1) {
        digits[n++] = '0';
    }
    if (n > 0 && (!mln_u64_parse(mln_bytes_at(digits, n), &u) || u > INT64_MAX)) {
        return false;
    }
    *ret = d.minus ? -(int64_t)u : (int64_t)u;
    return true;
}

bool rg_num_is_int(struct rg_val v)
{
    if (v.tag != RG_BIG || v.big->is_int) {
        return v.tag == RG_INT || v.tag == RG_BIG;
    }
    struct decimal d = decimal_of(v.big->text, v.big->len);
    return decimal_is_int(&d);
}

int rg_num_cmp(struct rg_val a, struct rg_val b)
{
    char x[24], y[24];
    if (a.tag == RG_INT && b.tag == RG_INT) {
        return (a.integer > b.integer) - (a.integer < b.integer);
    }
    struct decimal d = decimal_in(a, x), e = decimal_in(b, y);
    return cmp_decimals(&d, &e);
}

/* ---- whole numbers of any size ---- */
static void bn_drop(BIGNUM **p)
{
    BN_free(*p);
}

/* The number times ten to the `shift`. NULL when that is not whole, or has too many digits. */
static BIGNUM *shifted_bn(struct rg_val v, int64_t shift)
{
    char space[24], text[MLN_DECIMAL_DIGITS_MAX + 2];
    size_t n = 0;
    struct decimal d = decimal_in(v, space);
    BIGNUM *bn = NULL;
    d.lead += d.is_zero ? 0 : shift;
    if (!decimal_is_int(&d) || d.lead >= MLN_DECIMAL_DIGITS_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < d.len; i++) {
        if (d.text[i] != '.') {
            text[n++] = d.text[i];
        }
    }
    while (n < (size_t)d.lead + 1) {
        text[n++] = '0';
    }
    text[n] = '\0';
    if (BN_dec2bn(&bn, text) == 0) {
        return NULL;
    }
    BN_set_negative(bn, d.minus && !d.is_zero);
    return bn;
}

static BIGNUM *to_bn(struct rg_val v)
{
    return shifted_bn(v, 0);
}

/* Digits behind the point. */
static int64_t fraction(struct rg_val v)
{
    char space[24];
    struct decimal d = decimal_in(v, space);
    return decimal_is_int(&d) ? 0 : (int64_t)d.digits - d.lead - 1;
}

bool rg_num_is_multiple(struct rg_val v, struct rg_val of)
{
    int64_t a = fraction(v), b = fraction(of), shift = a > b ? a : b;
    MLN_AUTO(bn_drop) BIGNUM *x = shifted_bn(v, shift);
    MLN_AUTO(bn_drop) BIGNUM *y = shifted_bn(of, shift);
    BN_CTX *cx = BN_CTX_new();
    bool ok =
        x != NULL && y != NULL && cx != NULL && BN_div(NULL, x, x, y, cx) == 1 && BN_is_zero(x);
    BN_CTX_free(cx);
    return ok;
}

static struct rg_val of_bn(struct rg_heap *heap, const BIGNUM *bn)
{
    char *text = BN_num_bits(bn) > MLN_DECIMAL_DIGITS_MAX * 3 ? NULL : BN_bn2dec(bn);
    struct rg_val v = text == NULL ? RG_NONE : rg_number(heap, mln_bytes_of(text));
    OPENSSL_free(text);
    return v;
}

/* True when both are whole; *ret is undefined when the answer is too large. */
static bool exact(struct rg_heap *heap, struct rg_val a, struct rg_val b, char op,
                  struct rg_val *ret)
{
    if (!rg_num_is_int(a) || !rg_num_is_int(b)) {
        return false;
    }
    MLN_AUTO(bn_drop) BIGNUM *x = to_bn(a);
    MLN_AUTO(bn_drop) BIGNUM *y = to_bn(b);
    MLN_AUTO(bn_drop) BIGNUM *z = BN_new();
    BN_CTX *cx = BN_CTX_new();
    *ret = RG_NONE;
    bool ok = x != NULL && y != NULL && z != NULL && cx != NULL &&
              (op == '+'   ? BN_add(z, x, y)
               : op == '-' ? BN_sub(z, x, y)
               : op == '*' ? BN_mul(z, x, y, cx)
                           : BN_div(NULL, z, x, y, cx)) == 1;
    BN_CTX_free(cx);
    if (ok) {
        *ret = of_bn(heap, z);
    }
    return true;
}

struct rg_val rg_num_add(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    int64_t r = 0;
    struct rg_val out;
    if (a.tag == RG_INT && b.tag == RG_INT && !__builtin_add_overflow(a.integer, b.integer, &r)) {
        return rg_int(r);
    }
    return exact(heap, a, b, '+', &out) ? out : store(heap, load(a) + load(b));
}

struct rg_val rg_num_sub(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    int64_t r = 0;
    struct rg_val out;
    if (a.tag == RG_INT && b.tag == RG_INT && !__builtin_sub_overflow(a.integer, b.integer, &r)) {
        return rg_int(r);
    }
    return exact(heap, a, b, '-', &out) ? out : store(heap, load(a) - load(b));
}

struct rg_val rg_num_mul(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    int64_t r = 0;
    struct rg_val out;
    if (a.tag == RG_INT && b.tag == RG_INT && !__builtin_mul_overflow(a.integer, b.integer, &r)) {
        return rg_int(r);
    }
    return exact(heap, a, b, '*', &out) ? out : store(heap, load(a) * load(b));
}

struct rg_val rg_num_rem(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    struct rg_val out = RG_NONE;
    if (a.tag == RG_INT && b.tag == RG_INT) {
        return rg_int(b.integer == -1 ? 0 : a.integer % b.integer);
    }
    (void)exact(heap, a, b, '%', &out);
    return out;
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
    if (v.tag == RG_INT) {
        return v;
    }
    long double x = load(v); /* also of whole numbers, which then have 64 bits: as in OPA */
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

struct rg_val rg_num_abs(struct rg_heap *heap, struct rg_val v)
{
    if (v.tag == RG_INT) {
        return v.integer < 0 ? rg_num_sub(heap, rg_int(0), v) : v;
    }
    return store(heap, fabsl(load(v)));
}

bool rg_num_in_range(struct mln_bytes literal)
{
    struct decimal d = decimal_of((const char *)literal.ptr, literal.len);
    return d.is_zero || (d.lead <= RG_NUM_EXPONENT_MAX && d.lead >= -RG_NUM_EXPONENT_MAX);
}

bool rg_num_radix(struct mln_buf *buf, struct rg_val v, unsigned base)
{
    MLN_AUTO(bn_drop) BIGNUM *bn = to_bn(v);
    if (bn == NULL) {
        return false;
    }
    unsigned shift = base == 16 ? 4 : base == 8 ? 3 : 1;
    size_t n = ((size_t)BN_num_bits(bn) + shift - 1) / shift;
    mln_buf_add_text(buf, BN_is_negative(bn) ? "-" : "");
    for (size_t i = n == 0 ? 1 : n; i > 0; i--) {
        unsigned digit = 0;
        for (unsigned bit = 0; bit < shift; bit++) {
            digit |= (unsigned)BN_is_bit_set(bn, (int)((i - 1) * shift + bit)) << bit;
        }
        mln_buf_add_byte(buf, (uint8_t) "0123456789abcdef"[digit]);
    }
    return true;
}
