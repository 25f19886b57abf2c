/* SPDX-License-Identifier: Apache-2.0 */
/* net.cidr_*: blocks of addresses. */
#include "rego/builtin_priv.h"

#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define EXPAND_BITS_MAX 24 /* 16 million addresses; the budget of steps and memory ends it long before */

/* An address alone is a block of one where `alone`. */
static bool read(struct mln_bytes t, bool alone, struct mln_cidr *ret)
{
    return (alone || mln_bytes_find(t, '/') < t.len) && mln_cidr_parse(t, ret);
}

static uint8_t mask_at(unsigned bits, unsigned i)
{
    unsigned in = bits <= 8 * i ? 0 : bits - 8 * i;
    return (uint8_t)(in >= 8 ? 0xff : 0xff00u >> in);
}

static struct mln_cidr first_of(struct mln_cidr c)
{
    for (unsigned i = 0; i < c.n; i++) {
        c.address[i] &= mask_at(c.bits, i);
    }
    return c;
}

static struct mln_cidr last_of(struct mln_cidr c)
{
    for (unsigned i = 0; i < c.n; i++) {
        c.address[i] |= (uint8_t)~mask_at(c.bits, i);
    }
    return c;
}

static const char *address_text(struct rg_call *call, const struct mln_cidr *c)
{
    char text[64] = "";
    (void)inet_ntop(c->n == 4 ? AF_INET : AF_INET6, c->address, text, sizeof(text));
    return rg_text_dup(call->heap, mln_bytes_of(text));
}

static bool block_arg(struct rg_call *call, uint32_t pos, bool alone, struct mln_cidr *ret)
{
    struct mln_bytes t;
    if (!rg_arg_string(call, pos, &t)) {
        return false;
    }
    return read(t, alone, ret) || rg_fail(call, "invalid CIDR address: %.*s", MLN_FMT(t));
}

static bool contains(struct rg_call *call)
{
    struct mln_cidr outer, inner;
    return block_arg(call, 1, false, &outer) && block_arg(call, 2, true, &inner) &&
           rg_return(call, rg_bool(mln_cidr_within(&inner, &outer)));
}

static bool intersects(struct rg_call *call)
{
    struct mln_cidr a, b;
    return block_arg(call, 1, false, &a) && block_arg(call, 2, false, &b) &&
           rg_return(call, rg_bool(mln_cidr_within(&a, &b) || mln_cidr_within(&b, &a)));
}

static bool is_valid(struct rg_call *call)
{
    struct mln_cidr c;
    struct rg_val v = call->args[0];
    return rg_return(call, rg_bool(v.tag == RG_STR && read(rg_bytes(v), false, &c)));
}

/* The next address; false behind the last of all. */
static bool step(struct mln_cidr *c)
{
    for (unsigned i = c->n; i > 0; i--) {
        if (++c->address[i - 1] != 0) {
            return true;
        }
    }
    return false;
}

static bool expand(struct rg_call *call)
{
    struct mln_cidr c;
    if (!block_arg(call, 1, false, &c)) {
        return false;
    }
    if (c.n * 8u - c.bits > EXPAND_BITS_MAX) {
        return rg_fail(call, "more than 2^%d addresses", EXPAND_BITS_MAX);
    }
    struct rg_val out = rg_set(call->heap, 0);
    struct mln_cidr at = first_of(c);
    uint64_t n = (uint64_t)1 << (c.n * 8u - c.bits);
    for (uint64_t i = 0; i < n && !rg_heap_is_over(call->heap); i++) {
        rg_add(call->heap, out, rg_text(call->heap, address_text(call, &at)));
        if (!rg_spend(call->vm, 4) || !step(&at)) {
            break;
        }
    }
    return rg_return(call, out);
}

/* ---- contains_matches ---- */
/* Element i of a collection: its text and how the answer names it. */
static bool element(struct rg_call *call, uint32_t pos, size_t i, struct mln_cidr *ret,
                    struct rg_val *ret_name)
{
    struct rg_val all = call->args[pos - 1];
    bool keyed = all.tag == RG_OBJECT || all.tag == RG_ARRAY;
    struct rg_val v = all.tag == RG_ARRAY    ? rg_item(all, i)
                      : all.tag == RG_OBJECT ? rg_val_at(all, i)
                                             : rg_key_at(all, i);
    *ret_name = !keyed ? v : all.tag == RG_ARRAY ? rg_int((int64_t)i) : rg_key_at(all, i);
    if (v.tag == RG_ARRAY && rg_len(v) > 0) {
        v = rg_item(v, 0);
    }
    if (v.tag != RG_STR) {
        return rg_fail(call, "operand %u: element must be string or non-empty array", pos);
    }
    return read(rg_bytes(v), true, ret) ||
           rg_fail(call, "operand %u: invalid CIDR address: %.*s", pos, MLN_FMT(rg_bytes(v)));
}

static bool one(struct rg_call *call, uint32_t pos, size_t i, struct mln_cidr *ret,
                struct rg_val *ret_name)
{
    struct rg_val v = call->args[pos - 1];
    if (v.tag == RG_STR) {
        *ret_name = v;
        return block_arg(call, pos, true, ret);
    }
    return element(call, pos, i, ret, ret_name);
}

static bool count_of(struct rg_call *call, uint32_t pos, size_t *ret)
{
    struct rg_val v = call->args[pos - 1];
    if (v.tag != RG_STR && v.tag != RG_ARRAY && v.tag != RG_SET && v.tag != RG_OBJECT) {
        return rg_fail_operand(call, pos, "must be one of {string, array, set, object} but got %s",
                               rg_type_name(v));
    }
    *ret = v.tag == RG_STR ? 1 : rg_len(v);
    return true;
}

static bool contains_matches(struct rg_call *call)
{
    struct rg_val out = rg_set(call->heap, 0);
    size_t n = 0, m = 0;
    if (!count_of(call, 1, &n) || !count_of(call, 2, &m)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct mln_cidr outer, inner;
        struct rg_val a, b;
        if (!one(call, 1, i, &outer, &a)) {
            return false;
        }
        for (size_t k = 0; k < m && rg_spend(call->vm, 1); k++) {
            if (!one(call, 2, k, &inner, &b)) {
                return false;
            }
            if (mln_cidr_within(&inner, &outer)) {
                struct rg_val pair = rg_array(call->heap, 2);
                rg_push(call->heap, pair, a);
                rg_push(call->heap, pair, b);
                rg_add(call->heap, out, pair);
            }
        }
    }
    return rg_return(call, out);
}

/* ---- merge ---- */
struct span {
    struct mln_cidr first, last;
};

/* An IPv4 address without a prefix has that of its old class, as Go says. */
static bool merge_item(struct rg_call *call, struct rg_val v, struct span *ret)
{
    struct mln_cidr c;
    if (v.tag != RG_STR) {
        return rg_fail_operand(call, 1, "must be array or set of strings but got %s",
                               rg_type_name(v));
    }
    struct mln_bytes t = rg_bytes(v);
    if (!read(t, true, &c)) {
        return rg_fail(call, "invalid CIDR address: %.*s", MLN_FMT(t));
    }
    if (mln_bytes_find(t, '/') == t.len) {
        if (c.n == 16) {
            return rg_fail(call, "IPv6 invalid: needs prefix length");
        }
        uint8_t a = c.address[0];
        c.bits = a < 0x80 ? 8 : a < 0xc0 ? 16 : 24;
    }
    *ret = (struct span){first_of(c), last_of(c)};
    return true;
}

static int cmp_address(const struct mln_cidr *a, const struct mln_cidr *b)
{
    return a->n != b->n ? a->n - b->n : mln_compare(a->address, b->address, a->n);
}

static int cmp_span(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int c = cmp_address(&x->first, &y->first);
    return c != 0 ? c : cmp_address(&x->last, &y->last);
}

/* Does y begin inside x or right behind it? */
static bool touches(const struct span *x, const struct span *y)
{
    struct mln_cidr next = x->last;
    return x->last.n == y->first.n &&
           (!step(&next) || cmp_address(&y->first, &next) <= 0);
}

/* The blocks that are just this span, the largest first that fits. */
static void add_blocks(struct rg_call *call, struct rg_val out, struct span s)
{
    while (cmp_address(&s.first, &s.last) <= 0) {
        struct mln_cidr c = s.first, end;
        c.bits = (uint8_t)(c.n * 8);
        while (c.bits > 0) {
            struct mln_cidr wider = c;
            wider.bits--;
            struct mln_cidr low = first_of(wider);
            end = last_of(wider);
            if (cmp_address(&low, &s.first) != 0 || cmp_address(&end, &s.last) > 0) {
                break;
            }
            c = wider;
        }
        rg_add(call->heap, out,
               rg_text(call->heap,
                       rg_text_format(call->heap, "%s/%u", address_text(call, &c), c.bits)));
        s.first = last_of(c);
        if (!step(&s.first)) {
            return;
        }
    }
}

static bool merge(struct rg_call *call)
{
    struct rg_val from = call->args[0], out = rg_set(call->heap, 0);
    if (from.tag != RG_ARRAY && from.tag != RG_SET) {
        return rg_fail_operand(call, 1, "must be one of {array, set} but got %s",
                               rg_type_name(from));
    }
    size_t n = rg_len(from), kept = 0;
    struct span *spans = rg_try(call->heap, n * sizeof(*spans) + 1);
    if (spans == NULL) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        struct rg_val v = from.tag == RG_ARRAY ? rg_item(from, i) : rg_key_at(from, i);
        if (!merge_item(call, v, &spans[i])) {
            return false;
        }
    }
    qsort(spans, n, sizeof(*spans), cmp_span);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && touches(&spans[kept - 1], &spans[i])) {
            if (cmp_address(&spans[i].last, &spans[kept - 1].last) > 0) {
                spans[kept - 1].last = spans[i].last;
            }
        } else {
            spans[kept++] = spans[i];
        }
    }
    for (size_t i = 0; i < kept; i++) {
        add_blocks(call, out, spans[i]);
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_net[] = {{"net.cidr_contains", contains},
                                             {"net.cidr_overlap", contains},
                                             {"net.cidr_intersects", intersects},
                                             {"net.cidr_is_valid", is_valid},
                                             {"net.cidr_expand", expand},
                                             {"net.cidr_contains_matches", contains_matches},
                                             {"net.cidr_merge", merge},
                                             {NULL, NULL}};
