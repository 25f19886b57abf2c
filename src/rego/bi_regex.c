/* SPDX-License-Identifier: Apache-2.0 */
/* regex.*: compiled once an evaluator, kept by pattern. */
#include "rego/builtin_priv.h"
#include "rego/regex_priv.h"
#include "rego/schema_priv.h"

static const int regex_kind = 0;

static bool spend(void *of, uint64_t steps)
{
    return rg_spend(of, steps);
}

#define METER(call) (&(struct rg_regex_meter){spend, (call)->vm})

static struct rg_regex *compiled(struct rg_vm *vm, struct rg_val text, char *why, size_t why_max)
{
    struct rg_regex *re = rg_cache_get(vm, &regex_kind, text);
    if (re == NULL) {
        re = rg_regex_new(rg_bytes(text), why, why_max);
        if (re != NULL) {
            rg_cache_put(vm, &regex_kind, text, re, rg_regex_free);
        }
    }
    return re;
}

struct rg_regex *rg_pattern(struct rg_vm *vm, struct rg_val text)
{
    char why[512];
    return compiled(vm, text, why, sizeof(why));
}

bool rg_pattern_finds(struct rg_vm *vm, struct rg_regex *re, struct mln_bytes text)
{
    struct rg_regex_meter meter = {spend, vm};
    return rg_regex_test(re, text, &meter) == RG_FOUND;
}

/* NULL after an error. */
static struct rg_regex *pattern_of(struct rg_call *call, uint32_t pos)
{
    struct mln_bytes text;
    char why[512];
    if (!rg_arg_string(call, pos, &text)) {
        return NULL;
    }
    struct rg_regex *re = compiled(call->vm, call->args[pos - 1], why, sizeof(why));
    if (re == NULL) {
        (void)rg_fail(call, "%s", why);
    }
    return re;
}

static bool match(struct rg_call *call)
{
    struct mln_bytes text;
    if (call->args[0].tag != RG_STR || !rg_arg_string(call, 2, &text)) {
        return rg_arg_string(call, 1, &text);
    }
    struct rg_regex *re = pattern_of(call, 1);
    return re != NULL && rg_return(call, rg_bool(rg_regex_test(re, text, METER(call)) == RG_FOUND));
}

static bool is_valid(struct rg_call *call)
{
    char why[512];
    struct rg_val v = call->args[0];
    struct rg_regex *re = v.tag == RG_STR ? rg_regex_new(rg_bytes(v), why, sizeof(why)) : NULL;
    bool ok = re != NULL;
    rg_regex_free(re);
    return rg_return(call, rg_bool(ok));
}

/* Goes from match to match as Go does: an empty match right behind a match is none. */
struct matches {
    struct rg_regex *re;
    struct mln_bytes text;
    struct rg_regex_meter *meter;
    uint32_t groups;
    size_t *places;
    size_t at, last_end;
    bool any;
};

static bool begin(struct rg_call *call, struct matches *m, struct rg_regex *re,
                  struct mln_bytes text, uint32_t groups)
{
    *m = (struct matches){.re = re, .text = text, .groups = groups};
    m->meter = rg_new(call->heap, sizeof(*m->meter));
    *m->meter = (struct rg_regex_meter){spend, call->vm};
    m->places = rg_try(call->heap, (size_t)re->groups * 2 * sizeof(*m->places));
    return m->places != NULL;
}

static bool next(struct matches *m)
{
    while (m->at <= m->text.len) {
        if (rg_regex_find(m->re, m->text, m->at, m->places, m->groups, m->meter) != RG_FOUND) {
            return false;
        }
        size_t from = m->places[0], end = m->places[1], len = 1;
        bool skip = from == end && m->any && from == m->last_end;
        if (end > m->at) {
            m->at = end;
        } else {
            if (m->at < m->text.len) {
                (void)rx_rune(m->text.ptr + m->at, m->text.len - m->at, &len);
            }
            m->at += len;
        }
        m->last_end = end;
        m->any = true;
        if (!skip) {
            return true;
        }
    }
    return false;
}

static struct mln_bytes group(const struct matches *m, uint32_t g)
{
    size_t from = m->places[2 * g], end = m->places[2 * g + 1];
    return from == SIZE_MAX || end == SIZE_MAX ? MLN_BYTES_NONE
                                               : mln_bytes_sub(m->text, from, end - from);
}

static bool find_with(struct rg_call *call, bool groups)
{
    struct mln_bytes text;
    int64_t most = 0;
    struct matches m;
    struct rg_val out = rg_array(call->heap, 0);
    struct rg_regex *re = NULL;
    if (!rg_arg_string(call, 2, &text) || !rg_arg_int(call, 3, &most) ||
        (re = pattern_of(call, 1)) == NULL) {
        return false;
    }
    if (!begin(call, &m, re, text, groups ? re->groups : 1)) {
        return true;
    }
    for (int64_t i = 0; (most < 0 || i < most) && next(&m); i++) {
        struct rg_val whole = rg_string(call->heap, group(&m, 0));
        if (!groups) {
            rg_push(call->heap, out, whole);
            continue;
        }
        struct rg_val row = rg_array(call->heap, re->groups);
        for (uint32_t g = 0; g < re->groups; g++) {
            rg_push(call->heap, row, g == 0 ? whole : rg_string(call->heap, group(&m, g)));
        }
        rg_push(call->heap, out, row);
    }
    return rg_return(call, out);
}

static bool find_n(struct rg_call *call)
{
    return find_with(call, false);
}

static bool find_all(struct rg_call *call)
{
    return find_with(call, true);
}

static bool split(struct rg_call *call)
{
    struct mln_bytes text;
    struct matches m;
    struct rg_val out = rg_array(call->heap, 0);
    struct rg_regex *re = NULL;
    size_t begin_at = 0, end = 0;
    if (!rg_arg_string(call, 2, &text) || (re = pattern_of(call, 1)) == NULL) {
        return false;
    }
    if (!begin(call, &m, re, text, 1)) {
        return true;
    }
    while ((text.len > 0) && next(&m)) {
        end = m.places[0];
        if (m.places[1] != 0) {
            rg_push(call->heap, out,
                    rg_string(call->heap, mln_bytes_sub(text, begin_at, end - begin_at)));
        }
        begin_at = m.places[1];
    }
    if (end != text.len || text.len == 0) {
        rg_push(call->heap, out, rg_string(call->heap, mln_bytes_from(text, begin_at)));
    }
    return rg_return(call, out);
}

/* ---- replace: templates with $1, ${name}, $$ ---- */
static bool is_name_byte(uint8_t c)
{
    return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static void add_group(struct mln_buf *out, const struct matches *m, struct mln_bytes name)
{
    uint64_t g = 0;
    bool number = name.len > 0;
    for (size_t i = 0; i < name.len; i++) {
        number = number && name.ptr[i] >= '0' && name.ptr[i] <= '9';
        g = g > UINT32_MAX ? g : g * 10 + (uint64_t)(name.ptr[i] - '0');
    }
    if (number && (name.len == 1 || name.ptr[0] != '0')) {
        if (g < m->re->groups) {
            mln_buf_add_bytes(out, group(m, (uint32_t)g));
        }
        return;
    }
    for (uint32_t i = 1; i < m->re->groups; i++) {
        if (m->re->names[i] != NULL && mln_bytes_is(name, m->re->names[i])) {
            mln_buf_add_bytes(out, group(m, i));
            return;
        }
    }
}

static void add_template(struct mln_buf *out, const struct matches *m, struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        bool braces = t.ptr[i] == '$' && i + 1 < t.len && t.ptr[i + 1] == '{';
        size_t from = i + 1 + braces, end = from;
        if (t.ptr[i] == '$' && i + 1 < t.len && t.ptr[i + 1] == '$') {
            mln_buf_add_byte(out, '$');
            i++;
            continue;
        }
        while (t.ptr[i] == '$' && end < t.len && is_name_byte(t.ptr[end])) {
            end++;
        }
        if (t.ptr[i] != '$' || end == from || (braces && (end >= t.len || t.ptr[end] != '}'))) {
            mln_buf_add_byte(out, t.ptr[i]);
            continue;
        }
        add_group(out, m, mln_bytes_sub(t, from, end - from));
        i = end - !braces;
    }
}

static bool replace(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes text, with;
    struct matches m;
    size_t at = 0;
    if (!rg_arg_string(call, 1, &text) || !rg_arg_string(call, 3, &with)) {
        return false;
    }
    struct rg_regex *re = pattern_of(call, 2);
    if (re == NULL) {
        return false;
    }
    bool plain = mln_bytes_find(with, '$') == with.len;
    if (!begin(call, &m, re, text, plain ? 1 : re->groups)) {
        return true;
    }
    while (next(&m)) {
        mln_buf_add_bytes(&out, mln_bytes_sub(text, at, m.places[0] - at));
        if (plain) {
            mln_buf_add_bytes(&out, with);
        } else {
            add_template(&out, &m, with);
        }
        at = m.places[1];
        if (out.len > (size_t)64 << 20 && !rg_spend(call->vm, out.len / 64)) {
            return true;
        }
    }
    if (!m.any) {
        return rg_return(call, call->args[0]);
    }
    mln_buf_add_bytes(&out, mln_bytes_from(text, at));
    return rg_return(call, rg_string_buf(call->heap, &out));
}

/* ---- template_match: text with patterns between two delimiters ---- */
static void add_literal(struct mln_buf *out, struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (mln_bytes_find(MLN_BYTES("\\.+*?()|[]{}^$"), t.ptr[i]) < 14) {
            mln_buf_add_byte(out, '\\');
        }
        mln_buf_add_byte(out, t.ptr[i]);
    }
}

static bool build_template(struct rg_call *call, struct mln_buf *out, struct mln_bytes t,
                           struct mln_bytes open, struct mln_bytes close)
{
    size_t depth = 0, from = 0;
    mln_buf_add_byte(out, '^');
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] == open.ptr[0] && depth++ == 0) {
            add_literal(out, mln_bytes_sub(t, from, i - from));
            from = i + 1;
        } else if (t.ptr[i] == close.ptr[0]) {
            if (depth == 0) {
                return rg_fail(call, "unbalanced braces in \"%.*s\"", MLN_FMT(t));
            }
            if (--depth == 0) {
                mln_buf_add_text(out, "(");
                mln_buf_add_bytes(out, mln_bytes_sub(t, from, i - from));
                mln_buf_add_text(out, ")");
                from = i + 1;
            }
        }
    }
    if (depth != 0) {
        return rg_fail(call, "unbalanced braces in \"%.*s\"", MLN_FMT(t));
    }
    add_literal(out, mln_bytes_from(t, from));
    mln_buf_add_byte(out, '$');
    return true;
}

static bool template_match(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes t, text, open, close;
    char why[512];
    if (!rg_arg_string(call, 1, &t) || !rg_arg_string(call, 2, &text) ||
        !rg_arg_string(call, 3, &open) || !rg_arg_string(call, 4, &close)) {
        return false;
    }
    if (open.len != 1) {
        return rg_fail_operand(call, 3, "must be a single character");
    }
    if (close.len != 1) {
        return rg_fail_operand(call, 4, "must be a single character");
    }
    if (!build_template(call, &out, t, open, close)) {
        return false;
    }
    struct rg_regex *re = rg_regex_new(mln_buf_bytes(&out), why, sizeof(why));
    if (re == NULL) {
        return rg_fail(call, "%s", why);
    }
    bool yes = rg_regex_test(re, text, METER(call)) == RG_FOUND;
    rg_regex_free(re);
    return rg_return(call, rg_bool(yes));
}

const struct rg_builtin rg_builtins_regex[] = {{"regex.match", match},
                                               {"re_match", match},
                                               {"regex.is_valid", is_valid},
                                               {"regex.find_n", find_n},
                                               {"regex.find_all_string_submatch_n", find_all},
                                               {"regex.split", split},
                                               {"regex.replace", replace},
                                               {"regex.template_match", template_match},
                                               {NULL, NULL}};
