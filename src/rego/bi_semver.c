/* SPDX-License-Identifier: Apache-2.0 */
/* Semantic versions 2.0.0: three numbers, a pre-release part that sorts below, build data that does not count. */
#include "rego/builtin_priv.h"

struct version {
    struct mln_bytes numbers[3];
    struct mln_bytes pre;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool all_digits(struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!is_digit(t.ptr[i])) {
            return false;
        }
    }
    return t.len > 0;
}

/* No leading zero. */
static bool is_number(struct mln_bytes t)
{
    return all_digits(t) && (t.len == 1 || t.ptr[0] != '0');
}

/* Identifiers of letters, digits and "-" between points; numbers without leading zeros where `strict`. */
static bool is_list(struct mln_bytes t, bool strict)
{
    while (true) {
        struct mln_bytes rest, id = mln_bytes_cut(t, '.', &rest);
        if (id.len == 0 || (strict && all_digits(id) && !is_number(id))) {
            return false;
        }
        for (size_t i = 0; i < id.len; i++) {
            uint8_t c = id.ptr[i] | 0x20;
            if (!is_digit(id.ptr[i]) && id.ptr[i] != '-' && !(c >= 'a' && c <= 'z')) {
                return false;
            }
        }
        if (id.len == t.len) {
            return true;
        }
        t = rest;
    }
}

static bool read(struct mln_bytes t, struct version *v)
{
    struct mln_bytes build, pre, core;
    struct mln_bytes all = mln_bytes_cut(t, '+', &build);
    if (all.len < t.len && !is_list(build, false)) {
        return false;
    }
    core = mln_bytes_cut(all, '-', &pre);
    if (core.len < all.len && !is_list(pre, true)) {
        return false;
    }
    v->pre = pre;
    v->numbers[0] = mln_bytes_cut(core, '.', &core);
    v->numbers[1] = mln_bytes_cut(core, '.', &core);
    v->numbers[2] = core;
    return is_number(v->numbers[0]) && is_number(v->numbers[1]) && is_number(v->numbers[2]);
}

static int cmp_number(struct mln_bytes a, struct mln_bytes b)
{
    return a.len != b.len ? (a.len < b.len ? -1 : 1) : mln_bytes_cmp(a, b);
}

static int cmp_id(struct mln_bytes a, struct mln_bytes b)
{
    bool x = all_digits(a), y = all_digits(b);
    if (x && y) {
        return cmp_number(a, b);
    }
    return x != y ? (x ? -1 : 1) : mln_bytes_cmp(a, b);
}

static int cmp_pre(struct mln_bytes a, struct mln_bytes b)
{
    if (a.len == 0 || b.len == 0) {
        return (a.len == 0) - (b.len == 0);
    }
    while (a.len > 0 && b.len > 0) {
        struct mln_bytes x = mln_bytes_cut(a, '.', &a), y = mln_bytes_cut(b, '.', &b);
        int c = cmp_id(x, y);
        if (c != 0) {
            return c;
        }
    }
    return (a.len > 0) - (b.len > 0);
}

static bool compare(struct rg_call *call)
{
    struct mln_bytes t[2];
    struct version v[2] = {0};
    if (!rg_arg_string(call, 1, &t[0]) || !rg_arg_string(call, 2, &t[1])) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!read(t[i], &v[i])) {
            return rg_fail(call, "operand %d: string \"%.*s\" is not a valid SemVer", i + 1,
                           MLN_FMT(t[i]));
        }
    }
    int c = 0;
    for (int i = 0; i < 3 && c == 0; i++) {
        c = cmp_number(v[0].numbers[i], v[1].numbers[i]);
    }
    c = c != 0 ? c : cmp_pre(v[0].pre, v[1].pre);
    return rg_return(call, rg_int((c > 0) - (c < 0)));
}

static bool is_valid(struct rg_call *call)
{
    struct version v;
    return rg_return(call,
                     rg_bool(call->args[0].tag == RG_STR && read(rg_bytes(call->args[0]), &v)));
}

const struct rg_builtin rg_builtins_semver[] = {
    {"semver.compare", compare}, {"semver.is_valid", is_valid}, {NULL, NULL}};
