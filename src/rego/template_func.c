/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of Go's templates, truth, and how values print. */
#include "rego/template_priv.h"

#include <string.h>

bool rg_tpl_truth(struct rg_tpl_val v)
{
    switch (v.v.tag) {
    case RG_UNDEF:
    case RG_NULL:
        return false;
    case RG_BOOL:
        return v.v.integer != 0;
    case RG_INT:
        return !v.is_go || v.v.integer != 0;
    case RG_BIG:
        return true;
    case RG_STR:
        return v.v.str->len > 0;
    default:
        return rg_len(v.v) > 0;
    }
}

void rg_tpl_print(struct mln_buf *out, struct rg_tpl_val v, bool is_inner)
{
    size_t n = v.v.tag == RG_ARRAY || v.v.tag == RG_SET || v.v.tag == RG_OBJECT ? rg_len(v.v) : 0;
    if (v.v.tag == RG_STR) {
        mln_buf_add_bytes(out, rg_bytes(v.v));
    } else if (v.v.tag == RG_UNDEF || v.v.tag == RG_NULL) {
        mln_buf_add_text(out, is_inner ? "<nil>"
                                       : "<undefined>"); /* Go's <no value>, as OPA writes it */
    } else if (v.is_go && v.v.tag == RG_BIG) {
        rg_num_print_double(out, rg_num_to_double(v.v));
    } else if (v.v.tag == RG_OBJECT) {
        mln_buf_add_text(out, "map[");
        for (size_t i = 0; i < n; i++) {
            mln_buf_add_text(out, i > 0 ? " " : "");
            rg_tpl_print(out, (struct rg_tpl_val){.v = rg_key_at(v.v, i)}, true);
            mln_buf_add_byte(out, ':');
            rg_tpl_print(out, (struct rg_tpl_val){.v = rg_val_at(v.v, i)}, true);
        }
        mln_buf_add_byte(out, ']');
    } else if (v.v.tag == RG_ARRAY || v.v.tag == RG_SET) {
        mln_buf_add_byte(out, '[');
        for (size_t i = 0; i < n; i++) {
            mln_buf_add_text(out, i > 0 ? " " : "");
            rg_tpl_print(
                out,
                (struct rg_tpl_val){.v = v.v.tag == RG_ARRAY ? rg_item(v.v, i) : rg_key_at(v.v, i)},
                true);
        }
        mln_buf_add_byte(out, ']');
    } else {
        rg_print_json(out, v.v);
    }
}

/* ---- calls ---- */
struct call {
    struct rg_tpl *t;
    const struct rg_tpl_arg *fn;
    const struct rg_tpl_val *args;
    uint32_t n;
    struct rg_tpl_val *ret;
};

#define ERROR(c, ...) rg_tpl_fail((c)->t, (c)->fn->at, (c)->fn, __VA_ARGS__)

static const char *type_name(struct rg_tpl_val v)
{
    switch (v.v.tag) {
    case RG_BOOL:
        return "bool";
    case RG_INT:
        return v.is_go ? "int" : "json.Number";
    case RG_BIG:
        return v.is_go ? "float64" : "json.Number";
    case RG_STR:
        return "string";
    case RG_OBJECT:
        return "map[string]interface {}";
    case RG_ARRAY:
    case RG_SET:
        return "[]interface {}";
    default:
        return "<nil>";
    }
}

static bool give(struct call *c, struct rg_val v, bool is_go)
{
    *c->ret = (struct rg_tpl_val){.v = v, .is_go = is_go};
    return true;
}

static bool give_buf(struct call *c, struct mln_buf *buf)
{
    return give(c, rg_string_buf(c->t->heap, buf), false);
}

static bool call_not(struct call *c)
{
    return give(c, rg_bool(!rg_tpl_truth(c->args[0])), false);
}

static bool call_len(struct call *c)
{
    struct rg_tpl_val v = c->args[0];
    if (v.v.tag == RG_STR) {
        return give(c, rg_int(v.v.str->len), true);
    }
    if (v.v.tag == RG_ARRAY || v.v.tag == RG_OBJECT || v.v.tag == RG_SET) {
        return give(c, rg_int((int64_t)rg_len(v.v)), true);
    }
    if (rg_is_number(v.v) && !v.is_go) {
        char space[24];
        return give(c, rg_int((int64_t)rg_num_text(v.v, space).len), true);
    }
    return v.v.tag == RG_UNDEF || v.v.tag == RG_NULL
               ? ERROR(c, "error calling len: len of nil pointer")
               : ERROR(c, "error calling len: len of type %s", type_name(v));
}

static bool index_of(struct call *c, struct rg_tpl_val v, size_t n, size_t *ret)
{
    if (!v.is_go || v.v.tag != RG_INT) {
        return ERROR(c, "error calling %.*s: cannot index slice/array with type %s",
                     MLN_FMT(c->fn->name), type_name(v));
    }
    if (v.v.integer < 0 || (uint64_t)v.v.integer >= n) {
        return ERROR(c, "error calling %.*s: index out of range: %lld", MLN_FMT(c->fn->name),
                     (long long)v.v.integer);
    }
    *ret = (size_t)v.v.integer;
    return true;
}

static bool call_index(struct call *c)
{
    struct rg_tpl_val at = c->args[0];
    for (uint32_t i = 1; i < c->n; i++) {
        size_t k = 0;
        if (at.v.tag == RG_OBJECT) {
            if (c->args[i].v.tag != RG_STR) {
                return ERROR(c, "error calling index: value has type %s; should be string",
                             type_name(c->args[i]));
            }
            at = (struct rg_tpl_val){.v = rg_get(at.v, c->args[i].v)};
        } else if (at.v.tag == RG_ARRAY || at.v.tag == RG_SET) {
            if (!index_of(c, c->args[i], rg_len(at.v), &k)) {
                return false;
            }
            at = (struct rg_tpl_val){.v = at.v.tag == RG_ARRAY ? rg_item(at.v, k)
                                                               : rg_key_at(at.v, k)};
        } else if (at.v.tag == RG_STR) {
            if (!index_of(c, c->args[i], at.v.str->len, &k)) {
                return false;
            }
            at = (struct rg_tpl_val){.v = rg_int((uint8_t)at.v.str->text[k]), .is_go = true};
        } else if (at.v.tag == RG_UNDEF || at.v.tag == RG_NULL) {
            return ERROR(c, "error calling index: index of nil pointer");
        } else {
            return ERROR(c, "error calling index: can't index item of type %s", type_name(at));
        }
    }
    *c->ret = at;
    return true;
}

static bool call_slice(struct call *c)
{
    struct rg_tpl_val v = c->args[0];
    size_t n = v.v.tag == RG_STR     ? v.v.str->len
               : v.v.tag == RG_ARRAY ? v.v.arr->len
                                     : 0,
           ends[2] = {0, n};
    if (v.v.tag != RG_STR && v.v.tag != RG_ARRAY) {
        return ERROR(c, "error calling slice: can't slice item of type %s", type_name(v));
    }
    for (uint32_t i = 1; i < c->n && i < 3; i++) {
        if (!index_of(c, c->args[i], n + 1, &ends[i - 1])) {
            return false;
        }
    }
    if (ends[0] > ends[1]) {
        return ERROR(c, "error calling slice: invalid slice index: %zu > %zu", ends[0], ends[1]);
    }
    if (v.v.tag == RG_STR) {
        return give(c,
                    rg_string(c->t->heap, mln_bytes_sub(rg_bytes(v.v), ends[0], ends[1] - ends[0])),
                    false);
    }
    struct rg_val out = rg_array(c->t->heap, (uint32_t)(ends[1] - ends[0]));
    for (size_t i = ends[0]; i < ends[1]; i++) {
        rg_push(c->t->heap, out, v.v.arr->items[i]);
    }
    return give(c, out, false);
}

static bool is_text(struct rg_tpl_val v)
{
    return v.v.tag == RG_STR;
}

/* fmt.Sprint: a space between operands of which neither is a string. */
static bool call_print(struct call *c)
{
    struct mln_buf out = rg_buf(c->t->heap);
    for (uint32_t i = 0; i < c->n; i++) {
        if (i > 0 && !is_text(c->args[i]) && !is_text(c->args[i - 1])) {
            mln_buf_add_byte(&out, ' ');
        }
        rg_tpl_print(&out, c->args[i], true);
    }
    return give_buf(c, &out);
}

static bool call_println(struct call *c)
{
    struct mln_buf out = rg_buf(c->t->heap);
    for (uint32_t i = 0; i < c->n; i++) {
        mln_buf_add_text(&out, i > 0 ? " " : "");
        rg_tpl_print(&out, c->args[i], true);
    }
    mln_buf_add_byte(&out, '\n');
    return give_buf(c, &out);
}

static bool call_printf(struct call *c)
{
    struct rg_heap *heap = c->t->heap;
    struct rg_val list = rg_array(heap, c->n);
    struct mln_buf out = rg_buf(heap);
    if (!is_text(c->args[0])) {
        return ERROR(c, "wrong type for value; expected string; got %s", type_name(c->args[0]));
    }
    for (uint32_t i = 1; i < c->n; i++) {
        struct rg_tpl_val v = c->args[i];
        struct mln_buf text = rg_buf(heap);
        if (v.v.tag == RG_BOOL || (rg_is_number(v.v) && v.is_go)) {
            rg_push(heap, list, v.v);
            continue;
        }
        rg_tpl_print(&text, v, true);
        rg_push(heap, list, rg_string_buf(heap, &text));
    }
    rg_format_into(&out, rg_bytes(c->args[0].v), list);
    return give_buf(c, &out);
}

/* ---- escapes ---- */
static struct mln_bytes joined(struct call *c)
{
    struct rg_tpl_val v;
    struct call all = *c;
    all.ret = &v;
    if (c->n == 1 && is_text(c->args[0])) {
        return rg_bytes(c->args[0].v);
    }
    (void)call_print(&all);
    return rg_bytes(v.v);
}

static bool call_html(struct call *c)
{
    struct mln_buf out = rg_buf(c->t->heap);
    struct mln_bytes t = joined(c);
    for (size_t i = 0; i < t.len; i++) {
        switch (t.ptr[i]) {
        case '&':
            mln_buf_add_text(&out, "&amp;");
            break;
        case '<':
            mln_buf_add_text(&out, "&lt;");
            break;
        case '>':
            mln_buf_add_text(&out, "&gt;");
            break;
        case '"':
            mln_buf_add_text(&out, "&#34;");
            break;
        case '\'':
            mln_buf_add_text(&out, "&#39;");
            break;
        case '\0':
            mln_buf_add_text(&out, "\xef\xbf\xbd");
            break;
        default:
            mln_buf_add_byte(&out, t.ptr[i]);
            break;
        }
    }
    return give_buf(c, &out);
}

static bool call_js(struct call *c)
{
    struct mln_buf out = rg_buf(c->t->heap);
    struct mln_bytes t = joined(c);
    for (size_t i = 0; i < t.len; i++) {
        uint8_t b = t.ptr[i];
        if (b == '\\' || b == '\'' || b == '"') {
            mln_buf_add_byte(&out, '\\');
            mln_buf_add_byte(&out, b);
        } else if (b < 0x20 || b == '<' || b == '>' || b == '&' || b == '=') {
            mln_buf_add_format(&out, "\\u%04X", b);
        } else {
            mln_buf_add_byte(&out, b);
        }
    }
    return give_buf(c, &out);
}

static bool call_urlquery(struct call *c)
{
    struct mln_buf out = rg_buf(c->t->heap);
    struct mln_bytes t = joined(c);
    for (size_t i = 0; i < t.len; i++) {
        uint8_t b = t.ptr[i];
        bool plain = (b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z') || b == '-' ||
                     b == '_' || b == '.' || b == '~';
        if (plain) {
            mln_buf_add_byte(&out, b);
        } else if (b == ' ') {
            mln_buf_add_byte(&out, '+');
        } else {
            mln_buf_add_format(&out, "%%%02X", b);
        }
    }
    return give_buf(c, &out);
}

/* ---- comparisons ---- */
enum kind { KIND_NONE, KIND_BOOL, KIND_INT, KIND_FLOAT, KIND_TEXT, KIND_OTHER };

static enum kind kind_of(struct rg_tpl_val v)
{
    switch (v.v.tag) {
    case RG_BOOL:
        return KIND_BOOL;
    case RG_INT:
        return v.is_go ? KIND_INT : KIND_TEXT;
    case RG_BIG:
        return v.is_go ? KIND_FLOAT : KIND_TEXT;
    case RG_STR:
        return KIND_TEXT;
    case RG_UNDEF:
    case RG_NULL:
        return KIND_NONE;
    default:
        return KIND_OTHER;
    }
}

static int order(struct rg_tpl_val a, struct rg_tpl_val b, enum kind kind)
{
    char x[24], y[24];
    if (kind != KIND_TEXT) {
        return rg_cmp(a.v, b.v);
    }
    struct mln_bytes s = a.v.tag == RG_STR ? rg_bytes(a.v) : rg_num_text(a.v, x);
    struct mln_bytes t = b.v.tag == RG_STR ? rg_bytes(b.v) : rg_num_text(b.v, y);
    return mln_bytes_cmp(s, t);
}

static bool incompatible(struct call *c, uint32_t i)
{
    return ERROR(c, "error calling %.*s: incompatible types for comparison: %s and %s",
                 MLN_FMT(c->fn->name), type_name(c->args[0]), type_name(c->args[i]));
}

static bool equal(struct call *c, uint32_t i, bool *ret)
{
    enum kind a = kind_of(c->args[0]), b = kind_of(c->args[i]);
    if (a == KIND_NONE || b == KIND_NONE) {
        *ret = a == b;
        return true;
    }
    if (a == KIND_OTHER || b == KIND_OTHER) {
        return ERROR(c, "error calling %.*s: non-comparable type %s: %s", MLN_FMT(c->fn->name),
                     type_name(c->args[a == KIND_OTHER ? 0 : i]),
                     type_name(c->args[a == KIND_OTHER ? 0 : i]));
    }
    *ret = a == b && order(c->args[0], c->args[i], a) == 0;
    return a == b || incompatible(c, i);
}

static bool call_eq(struct call *c)
{
    bool same = false;
    for (uint32_t i = 1; i < c->n && !same; i++) {
        if (!equal(c, i, &same)) {
            return false;
        }
    }
    return give(c, rg_bool(same), false);
}

static bool call_ne(struct call *c)
{
    bool same = false;
    return equal(c, 1, &same) && give(c, rg_bool(!same), false);
}

static bool call_order(struct call *c)
{
    enum kind a = kind_of(c->args[0]), b = kind_of(c->args[1]);
    if (a == KIND_NONE || a == KIND_OTHER || a == KIND_BOOL || b == KIND_OTHER || b == KIND_NONE) {
        return ERROR(c, "error calling %.*s: invalid type for comparison", MLN_FMT(c->fn->name));
    }
    if (a != b) {
        return incompatible(c, 1);
    }
    int sign = order(c->args[0], c->args[1], a);
    bool or_equal = mln_bytes_ends(c->fn->name, MLN_BYTES("e")), less = c->fn->name.ptr[0] == 'l';
    return give(c, rg_bool((or_equal && sign == 0) || (less ? sign < 0 : sign > 0)), false);
}

static const struct function {
    const char *name;
    bool (*run)(struct call *c); /* NULL: and, or, which the runner does */
    uint8_t least, most;         /* arguments; most 0: any number */
} functions[] = {
    {"and", NULL, 1, 0},
    {"or", NULL, 1, 0},
    {"not", call_not, 1, 1},
    {"len", call_len, 1, 1},
    {"index", call_index, 1, 0},
    {"slice", call_slice, 1, 3},
    {"print", call_print, 0, 0},
    {"printf", call_printf, 1, 0},
    {"println", call_println, 0, 0},
    {"html", call_html, 0, 0},
    {"js", call_js, 0, 0},
    {"urlquery", call_urlquery, 0, 0},
    {"eq", call_eq, 2, 0},
    {"ne", call_ne, 2, 2},
    {"lt", call_order, 2, 2},
    {"le", call_order, 2, 2},
    {"gt", call_order, 2, 2},
    {"ge", call_order, 2, 2},
};

static const struct function *find(struct mln_bytes name)
{
    for (size_t i = 0; i < MLN_COUNT(functions); i++) {
        if (mln_bytes_is(name, functions[i].name)) {
            return &functions[i];
        }
    }
    return NULL;
}

bool rg_tpl_is_function(struct mln_bytes name)
{
    return find(name) != NULL;
}

bool rg_tpl_call(struct rg_tpl *t, const struct rg_tpl_arg *fn, const struct rg_tpl_val *args,
                 uint32_t n, struct rg_tpl_val *ret)
{
    const struct function *f = find(fn->name);
    struct call c = {.t = t, .fn = fn, .args = args, .n = n, .ret = ret};
    if (n < f->least || (f->most != 0 && n > f->most) || f->run == NULL) {
        return ERROR(&c, "wrong number of args for %s: want %s%u got %u", f->name,
                     f->most == 0 ? "at least " : "", (unsigned)f->least, (unsigned)n);
    }
    return f->run(&c);
}
