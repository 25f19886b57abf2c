/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of integers of any size, negative ones as two's complement of endless width. */
#include "rego/builtin_priv.h"

#include <openssl/bn.h>

#define SHIFT_MAX 65536 /* bits; more is no number that a policy needs, only memory */

static bool is_whole(struct rg_call *call, uint32_t pos)
{
    struct rg_val v = call->args[pos - 1];
    if (!rg_is_number(v)) {
        return rg_fail_type(call, pos, "number");
    }
    int64_t i = 0;
    return (v.tag == RG_BIG && v.big->is_int) || rg_arg_int(call, pos, &i);
}

static BIGNUM *load(struct rg_val v)
{
    char space[24];
    int64_t i = 0;
    BIGNUM *n = NULL;
    if (rg_num_int(v, &i)) {
        v = rg_int(i);
    }
    struct mln_bytes t = rg_num_text(v, space);
    (void)BN_dec2bn(&n, (const char *)t.ptr);
    return n;
}

static bool store(struct rg_call *call, BIGNUM *n)
{
    char *text = n == NULL ? NULL : BN_bn2dec(n);
    bool ok = text != NULL &&
              rg_return(call, rg_number(call->heap, mln_bytes_of(BN_is_zero(n) ? "0" : text)));
    OPENSSL_free(text);
    BN_free(n);
    return ok || rg_fail(call, "no memory");
}

/* Two's complement of n bytes, big-endian; n is large enough for the sign. */
static bool to_bytes(const BIGNUM *n, uint8_t *to, int len)
{
    if (BN_bn2binpad(n, to, len) != len) {
        return false;
    }
    unsigned carry = 1;
    for (int i = len; BN_is_negative(n) && i > 0; i--) {
        carry += (uint8_t)~to[i - 1];
        to[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
    return true;
}

static BIGNUM *of_bytes(uint8_t *from, int len)
{
    bool minus = (from[0] & 0x80) != 0;
    unsigned carry = 1;
    for (int i = len; minus && i > 0; i--) {
        carry += (uint8_t)~from[i - 1];
        from[i - 1] = (uint8_t)carry;
        carry >>= 8;
    }
    BIGNUM *n = BN_bin2bn(from, len, NULL);
    if (n != NULL) {
        BN_set_negative(n, minus);
    }
    return n;
}

static bool join_big(struct rg_call *call, char op)
{
    BIGNUM *a = load(call->args[0]), *b = load(call->args[1]), *r = NULL;
    int x = a == NULL ? 0 : BN_num_bytes(a), y = b == NULL ? 0 : BN_num_bytes(b);
    int len = (x > y ? x : y) + 1;
    uint8_t *p = rg_try(call->heap, (size_t)len), *q = rg_try(call->heap, (size_t)len);
    if (a != NULL && b != NULL && p != NULL && q != NULL && to_bytes(a, p, len) &&
        to_bytes(b, q, len)) {
        for (int i = 0; i < len; i++) {
            p[i] = op == '&'   ? p[i] & q[i]
                   : op == '|' ? p[i] | q[i]
                               : p[i] ^ q[i];
        }
        r = of_bytes(p, len);
    }
    BN_free(a);
    BN_free(b);
    return store(call, r);
}

static bool join(struct rg_call *call, char op)
{
    int64_t a = 0, b = 0;
    if (!is_whole(call, 1) || !is_whole(call, 2)) {
        return false;
    }
    if (!rg_num_int(call->args[0], &a) || !rg_num_int(call->args[1], &b)) {
        return join_big(call, op);
    }
    return rg_return(call, rg_int(op == '&' ? a & b : op == '|' ? a | b : a ^ b));
}

static bool bits_and(struct rg_call *call)
{
    return join(call, '&');
}

static bool bits_or(struct rg_call *call)
{
    return join(call, '|');
}

static bool bits_xor(struct rg_call *call)
{
    return join(call, '^');
}

static bool negate(struct rg_call *call)
{
    int64_t a = 0;
    if (!is_whole(call, 1)) {
        return false;
    }
    if (rg_num_int(call->args[0], &a)) {
        return rg_return(call, rg_int(~a));
    }
    BIGNUM *n = load(call->args[0]);
    if (n != NULL) {
        (void)BN_add_word(n, 1);
        BN_set_negative(n, !BN_is_negative(n));
    }
    return store(call, n);
}

static bool shift_of(struct rg_call *call, int64_t *ret)
{
    if (!is_whole(call, 1) || !rg_arg_int(call, 2, ret)) {
        return false;
    }
    if (*ret < 0) {
        return rg_fail_operand(call, 2,
                               "must be an unsigned integer number but got a negative integer");
    }
    return true;
}

static bool lsh(struct rg_call *call)
{
    int64_t by = 0;
    if (!shift_of(call, &by)) {
        return false;
    }
    if (by > SHIFT_MAX) {
        return rg_fail(call, "shift of more than %d bits", SHIFT_MAX);
    }
    BIGNUM *n = load(call->args[0]);
    if (n != NULL && BN_lshift(n, n, (int)by) != 1) {
        BN_free(n);
        n = NULL;
    }
    return store(call, n);
}

static bool rsh(struct rg_call *call)
{
    int64_t by = 0, a = 0;
    if (!shift_of(call, &by)) {
        return false;
    }
    if (rg_num_int(call->args[0], &a)) {
        return rg_return(call, rg_int(by > 62 ? (a < 0 ? -1 : 0) : a >> by));
    }
    BIGNUM *n = load(call->args[0]);
    by = by > INT32_MAX ? INT32_MAX : by;
    if (n == NULL || !BN_is_negative(n)) {
        (void)(n != NULL && BN_rshift(n, n, (int)by));
        return store(call, n);
    }
    BN_set_negative(n, 0); /* towards minus infinity: -((|n| - 1) >> by) - 1 */
    (void)(BN_sub_word(n, 1) && BN_rshift(n, n, (int)by) && BN_add_word(n, 1));
    BN_set_negative(n, 1);
    return store(call, n);
}

const struct rg_builtin rg_builtins_bits[] = {
    {"bits.and", bits_and}, {"bits.or", bits_or}, {"bits.xor", bits_xor}, {"bits.negate", negate},
    {"bits.lsh", lsh},      {"bits.rsh", rsh},    {NULL, NULL}};
