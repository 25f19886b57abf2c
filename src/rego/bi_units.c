/* SPDX-License-Identifier: Apache-2.0 */
/* units.parse ("10Ki", "100m") exactly, units.parse_bytes ("1.5GiB") cut to whole bytes. */
#include "rego/builtin_priv.h"

#include "base/text.h"

#include <math.h>
#include <openssl/bn.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPONENT_MAX 4000 /* powers of ten beyond this only cost time */
#define FRACTION     10   /* digits behind the point of an answer that is no integer */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* How much of the text is the number: digits, a point, and an exponent that has a digit or a sign behind its e. */
static size_t number_len(struct mln_bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i], next = i + 1 < s.len ? s.ptr[i + 1] : 0;
        bool is_e = c == 'e' || c == 'E', signed_next = next == '+' || next == '-';
        if (is_e && !is_digit(next) && !signed_next) {
            return i;
        }
        if (!is_e && !is_digit(c) && c != '.' && c != '+' && c != '-') {
            return i;
        }
        i += is_e && signed_next;
    }
    return s.len;
}

struct amount {
    char digits[512]; /* without point and leading zeros */
    size_t n;
    int64_t exp; /* of ten */
    bool minus;
};

enum outcome { FINE, BROKEN, TOO_LARGE };

static bool read_exponent(struct mln_bytes s, size_t i, struct amount *a)
{
    bool below = i < s.len && s.ptr[i] == '-';
    i += i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+');
    int64_t e = 0;
    if (i >= s.len) {
        return false;
    }
    for (; i < s.len; i++) {
        if (!is_digit(s.ptr[i])) {
            return false;
        }
        e = e > 100000000 ? e : e * 10 + (s.ptr[i] - '0');
    }
    a->exp += below ? -e : e;
    return true;
}

static enum outcome read_amount(struct mln_bytes s, struct amount *a)
{
    size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
    bool point = false, any = false;
    a->minus = i == 1 && s.ptr[0] == '-';
    for (; i < s.len && (is_digit(s.ptr[i]) || (s.ptr[i] == '.' && !point)); i++) {
        if (s.ptr[i] == '.') {
            point = true;
            continue;
        }
        any = true;
        a->exp -= point;
        if (a->n == sizeof(a->digits) - 1) {
            return TOO_LARGE;
        }
        if (a->n > 0 || s.ptr[i] != '0') {
            a->digits[a->n++] = (char)s.ptr[i];
        }
    }
    if (i < s.len && any && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        any = read_exponent(s, i + 1, a);
        i = s.len;
    }
    if (!any || i < s.len) {
        return BROKEN;
    }
    return a->exp > EXPONENT_MAX || a->exp < -EXPONENT_MAX ? TOO_LARGE : FINE;
}

/* 1000^k, 1024^k, or nothing known. `rest` has been cut to lower case but for what decides. */
static bool unit_of(struct mln_bytes unit, bool bytes, unsigned *thousand, unsigned *binary)
{
    static const char letters[] = "kmgtpe";
    if (unit.len == 0) {
        return true;
    }
    uint8_t first = unit.ptr[0] >= 'A' && unit.ptr[0] <= 'Z' ? unit.ptr[0] | 0x20 : unit.ptr[0];
    struct mln_bytes rest = mln_bytes_from(unit, 1);
    unsigned k = 1;
    while (letters[k - 1] != '\0' && (uint8_t)letters[k - 1] != first) {
        k++;
    }
    if (letters[k - 1] == '\0') {
        return bytes && first == 'b' && rest.len == 0;
    }
    bool two = mln_bytes_is_nocase(rest, "i") || (bytes && mln_bytes_is_nocase(rest, "ib"));
    bool ten = rest.len == 0 || (bytes && mln_bytes_is_nocase(rest, "b"));
    *thousand = ten ? k : 0;
    *binary = two ? k : 0;
    return two || ten;
}

static bool scale(BIGNUM *n, unsigned thousand, unsigned binary)
{
    bool ok = BN_lshift(n, n, (int)(10 * binary)) == 1;
    for (unsigned i = 0; i < thousand; i++) {
        ok = ok && BN_mul_word(n, 1000) == 1;
    }
    return ok;
}

/* digits * 10^exp as text; with digits behind the point, `FRACTION` of them, rounded half up. */
static void write_amount(struct mln_buf *out, const char *digits, int64_t exp, bool minus)
{
    size_t n = mln_bytes_of(digits).len, cut = 0;
    while (exp < 0 && cut < n && digits[n - 1 - cut] == '0') {
        cut++;
        exp++;
    }
    n -= cut;
    mln_buf_add_text(out, minus && n > 0 ? "-" : "");
    if (n == 0) {
        mln_buf_add_text(out, "0");
        return;
    }
    if (exp >= 0) {
        mln_buf_add(out, digits, n);
        for (int64_t i = 0; i < exp; i++) {
            mln_buf_add_byte(out, '0');
        }
        return;
    }
    size_t behind = (size_t)-exp;
    size_t before = n > behind ? n - behind : 0;
    mln_buf_add(out, digits, before);
    mln_buf_add_text(out, before == 0 ? "0." : ".");
    size_t lead = behind - (n - before);
    for (size_t i = 0; i < FRACTION; i++) {
        bool zero = i < lead || i >= behind;
        mln_buf_add_byte(out, zero ? '0' : (uint8_t)digits[before + i - lead]);
    }
}

/* Half up at the FRACTION-th digit behind the point. */
static bool round_amount(BIGNUM *n, int64_t *exp)
{
    bool ok = true;
    while (ok && *exp < -FRACTION - 1) {
        ok = BN_div_word(n, 10) != (BN_ULONG)-1;
        (*exp)++;
    }
    if (ok && *exp < -FRACTION) {
        ok = BN_add_word(n, 5) == 1 && BN_div_word(n, 10) != (BN_ULONG)-1;
        (*exp)++;
    }
    return ok;
}

static bool answer_exact(struct rg_call *call, struct amount *a, unsigned thousand,
                         unsigned binary)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    BIGNUM *n = NULL;
    a->digits[a->n] = '\0';
    bool ok = BN_dec2bn(&n, a->n == 0 ? "0" : a->digits) > 0 && scale(n, thousand, binary);
    char *digits = ok && round_amount(n, &a->exp) ? BN_bn2dec(n) : NULL;
    ok = digits != NULL;
    if (ok) {
        write_amount(&out, mln_bytes_is(mln_bytes_of(digits), "0") ? "" : digits, a->exp,
                     a->minus);
    }
    OPENSSL_free(digits);
    BN_free(n);
    return ok ? rg_return(call, rg_number(call->heap, mln_buf_bytes(&out)))
              : rg_fail(call, "no memory");
}

static struct mln_bytes without_quotes(struct rg_call *call, struct mln_bytes s)
{
    char *to = rg_text_dup(call->heap, s);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '"') {
            to[n++] = (char)s.ptr[i];
        }
    }
    return mln_bytes_at(to, n);
}

static bool parse(struct rg_call *call)
{
    struct mln_bytes s;
    struct amount a = {.n = 0};
    unsigned thousand = 0, binary = 0;
    if (!rg_arg_string(call, 1, &s)) {
        return false;
    }
    s = without_quotes(call, s);
    if (mln_bytes_find(s, ' ') < s.len) {
        return rg_fail(call, "spaces not allowed in resource strings");
    }
    size_t n = number_len(s);
    if (n == 0) {
        return rg_fail(call, "no amount provided");
    }
    struct mln_bytes unit = mln_bytes_from(s, n);
    bool milli = mln_bytes_is(unit, "m");
    if (!milli && !unit_of(unit, false, &thousand, &binary)) {
        return rg_fail(call, "unit %.*s not recognized", MLN_FMT(unit));
    }
    enum outcome o = read_amount(mln_bytes_sub(s, 0, n), &a);
    if (o != FINE) {
        return rg_fail(call, o == TOO_LARGE ? "exponent too large"
                                            : "could not parse amount to a number");
    }
    a.exp -= milli ? 3 : 0;
    return answer_exact(call, &a, thousand, binary);
}

static bool parse_bytes(struct rg_call *call)
{
    struct mln_bytes s;
    struct amount a = {.n = 0};
    unsigned thousand = 0, binary = 0;
    if (!rg_arg_string(call, 1, &s)) {
        return false;
    }
    s = without_quotes(call, s);
    if (mln_bytes_find(s, ' ') < s.len) {
        return rg_fail(call, "spaces not allowed in resource strings");
    }
    size_t n = number_len(s);
    if (n == 0) {
        return rg_fail(call, "no byte amount provided");
    }
    if (!unit_of(mln_bytes_from(s, n), true, &thousand, &binary)) {
        return rg_fail(call, "byte unit %.*s not recognized", MLN_FMT(mln_bytes_from(s, n)));
    }
    enum outcome o = read_amount(mln_bytes_sub(s, 0, n), &a);
    if (o != FINE) {
        return rg_fail(call, o == TOO_LARGE ? "exponent too large"
                                            : "could not parse byte amount to a number");
    }
    char text[4200];
    long double x = strtold(rg_text_dup(call->heap, mln_bytes_sub(s, 0, n)), NULL);
    x *= powl(1000.0L, thousand) * powl(1024.0L, binary);
    int len = snprintf(text, sizeof(text), "%.0Lf", truncl(x));
    if (len < 0 || (size_t)len >= sizeof(text)) {
        return rg_fail(call, "exponent too large");
    }
    return rg_return(call, rg_number(call->heap, mln_bytes_at(text, (size_t)len)));
}

const struct rg_builtin rg_builtins_units[] = {
    {"units.parse", parse}, {"units.parse_bytes", parse_bytes}, {NULL, NULL}};
