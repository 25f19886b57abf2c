/* SPDX-License-Identifier: Apache-2.0 */
/* json.marshal and its kin, yaml.*. */
#include "rego/builtin_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"

#include <stdio.h>

#define YAML_ARENA_MAX ((size_t)256 << 20) /* what a document may become while it is read */

struct style {
    bool pretty;
    struct mln_bytes prefix, indent;
};

static void line(struct mln_buf *out, const struct style *s, unsigned depth)
{
    mln_buf_add_byte(out, '\n');
    mln_buf_add_bytes(out, s->prefix);
    for (unsigned i = 0; i < depth; i++) {
        mln_buf_add_bytes(out, s->indent);
    }
}

/* Go escapes < > & so that JSON may stand in HTML. */
static void print_string(struct mln_buf *out, struct mln_bytes t)
{
    mln_json_print_string(out, t, MLN_JSON_HTML);
}

static void print_key(struct mln_buf *out, struct rg_val key)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf inner = {0};
    if (key.tag == RG_STR) {
        print_string(out, rg_bytes(key));
        return;
    }
    rg_print_json(&inner, key);
    print_string(out, mln_buf_bytes(&inner));
}

static void print(struct mln_buf *out, struct rg_val v, const struct style *s, unsigned depth)
{
    if (v.tag == RG_STR) {
        print_string(out, rg_bytes(v));
        return;
    }
    if (v.tag != RG_ARRAY && v.tag != RG_SET && v.tag != RG_OBJECT) {
        rg_print_json(out, v);
        return;
    }
    size_t n = rg_len(v);
    mln_buf_add_byte(out, v.tag == RG_OBJECT ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(out, i == 0 ? "" : ",");
        if (s->pretty) {
            line(out, s, depth + 1);
        }
        if (v.tag == RG_OBJECT) {
            print_key(out, rg_key_at(v, i));
            mln_buf_add_text(out, s->pretty ? ": " : ":");
        }
        print(out,
              v.tag == RG_ARRAY    ? rg_item(v, i)
              : v.tag == RG_OBJECT ? rg_val_at(v, i)
                                   : rg_key_at(v, i),
              s, depth + 1);
    }
    if (s->pretty && n > 0) {
        line(out, s, depth);
    }
    mln_buf_add_byte(out, v.tag == RG_OBJECT ? '}' : ']');
}

static bool marshal(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct style s = {0};
    print(&out, call->args[0], &s, 0);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool read_option(struct rg_call *call, struct rg_val key, struct rg_val v, struct style *s,
                        bool *explicit)
{
    struct mln_bytes name = key.tag == RG_STR ? rg_bytes(key) : MLN_BYTES_NONE;
    if (mln_bytes_is(name, "pretty")) {
        *explicit = true;
        s->pretty = v.tag == RG_BOOL && v.integer != 0;
        return v.tag == RG_BOOL || rg_fail_operand(call, 2, "key \"pretty\" failed cast to bool");
    }
    bool prefix = mln_bytes_is(name, "prefix"), indent = mln_bytes_is(name, "indent");
    if (!prefix && !indent) {
        return rg_fail_operand(call, 2, "object contained unknown key \"%.*s\"", MLN_FMT(name));
    }
    if (v.tag != RG_STR) {
        return rg_fail_operand(call, 2, "key \"%.*s\" failed cast to string", MLN_FMT(name));
    }
    *(prefix ? &s->prefix : &s->indent) = rg_bytes(v);
    return true;
}

static bool marshal_with_options(struct rg_call *call)
{
    struct rg_val options;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct style s = {.indent = MLN_BYTES("\t")};
    bool explicit = false;
    if (!rg_arg_tag(call, 2, RG_OBJECT, &options)) {
        return false;
    }
    for (size_t i = 0; i < rg_len(options); i++) {
        if (!read_option(call, rg_key_at(options, i), rg_val_at(options, i), &s, &explicit)) {
            return false;
        }
    }
    s.pretty = explicit ? s.pretty : rg_len(options) > 0;
    if (s.pretty) {
        mln_buf_add_bytes(&out, s.prefix);
    }
    print(&out, call->args[0], &s, 0);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool unmarshal(struct rg_call *call)
{
    struct mln_bytes t;
    const char *why = NULL;
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    struct rg_val v = rg_json_parse(call->heap, t, &why);
    return v.tag == RG_UNDEF ? rg_fail(call, "%s", why) : rg_return(call, v);
}

static bool json_is_valid(struct rg_call *call)
{
    const char *why = NULL;
    struct rg_val v = call->args[0];
    return rg_return(call, rg_bool(v.tag == RG_STR &&
                                   rg_json_parse(call->heap, rg_bytes(v), &why).tag != RG_UNDEF));
}

/* ---- YAML ---- */
/*
 * "yaml: line 2, column 1: what" in the words of Go's reader: without a column, and with the line as its parser counts it
 * (from 0, and 0 is not told; from 1 when the scanner was at it).
 */
static void go_words(struct mln_bytes text, char *to, size_t max)
{
    struct mln_bytes rest = text;
    uint64_t line = 0;
    (void)snprintf(to, max, "%.*s", MLN_FMT(text));
    if (!mln_bytes_starts(text, MLN_BYTES("yaml: line "))) {
        return;
    }
    (void)mln_u64_parse(mln_bytes_cut(mln_bytes_from(text, 11), ',', &rest), &line);
    (void)mln_bytes_cut(rest, ':', &rest);
    line = line <= 1 ? 0 : line - mln_bytes_starts(rest, MLN_BYTES(" did not find expected"));
    if (line == 0) {
        (void)snprintf(to, max, "yaml:%.*s", MLN_FMT(rest));
    } else {
        (void)snprintf(to, max, "yaml: line %llu:%.*s", (unsigned long long)line, MLN_FMT(rest));
    }
}

static bool read_yaml(struct rg_call *call, struct mln_bytes t, struct rg_val *ret, char *why,
                      size_t why_max)
{
    struct mln_cx cx;
    const struct mln_value *v = NULL;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(YAML_ARENA_MAX, false);
    mln_cx_init(&cx, arena);
    bool ok = arena != NULL && !mln_failed(mln_yaml_parse_first(&cx, t, &v));
    *ret = ok ? rg_from_value(call->heap, v) : RG_NONE;
    go_words(mln_bytes_of(cx.text), why, why_max);
    return ok;
}

static bool yaml_unmarshal(struct rg_call *call)
{
    struct mln_bytes t;
    struct rg_val v;
    char why[MLN_CX_TEXT_MAX];
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    return read_yaml(call, t, &v, why, sizeof(why)) ? rg_return(call, v) : rg_fail(call, "%s", why);
}

static bool yaml_is_valid(struct rg_call *call)
{
    struct rg_val v, text = call->args[0];
    char why[MLN_CX_TEXT_MAX];
    return rg_return(
        call, rg_bool(text.tag == RG_STR && read_yaml(call, rg_bytes(text), &v, why, sizeof(why))));
}

static bool yaml_marshal(struct rg_call *call)
{
    struct mln_cx cx;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(YAML_ARENA_MAX, false);
    mln_cx_init(&cx, arena);
    struct mln_value *v = arena == NULL ? NULL : rg_to_value(&cx, call->args[0]);
    if (v == NULL || mln_failed(mln_cx_err(&cx))) {
        return rg_fail(call, "value is too large");
    }
    mln_yaml_print(&out, v, MLN_JSON_SORTED);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

const struct rg_builtin rg_builtins_json[] = {
    {"json.marshal", marshal},        {"json.marshal_with_options", marshal_with_options},
    {"json.unmarshal", unmarshal},    {"json.is_valid", json_is_valid},
    {"yaml.marshal", yaml_marshal},   {"yaml.unmarshal", yaml_unmarshal},
    {"yaml.is_valid", yaml_is_valid}, {NULL, NULL}};
