/* SPDX-License-Identifier: Apache-2.0 */
/* Types from their writing in decl.def: a table of this program, so what cannot be read is a bug. */
#include "rego/type_priv.h"

struct reader {
    struct rg_heap *heap;
    const char *at;
};

static const struct rg_type *read_type(struct reader *r);

/* Types up to `close`, which is taken. */
static uint32_t read_list(struct reader *r, char close, const struct rg_type **items, uint32_t max)
{
    uint32_t n = 0;
    while (*r->at != close) {
        MLN_CHECK(*r->at != '\0' && n < max);
        items[n++] = read_type(r);
        r->at += *r->at == ',';
    }
    r->at++;
    return n;
}

static const struct rg_type *read_object(struct reader *r)
{
    struct rg_type *t = rg_type_object_new(r->heap);
    while (*r->at != '>') {
        MLN_CHECK(*r->at != '\0');
        if (*r->at == '"') {
            const char *from = ++r->at;
            while (*r->at != '"') {
                r->at++;
            }
            struct rg_val key = rg_string(r->heap, mln_bytes_at(from, (size_t)(r->at - from)));
            r->at += 2;
            rg_type_member(r->heap, t, key, read_type(r));
        } else {
            t->key = read_type(r);
            r->at++;
            t->rest = read_type(r);
        }
        r->at += *r->at == ',';
    }
    r->at++;
    return rg_type_done(t);
}

enum { LIST_MAX = 16 };

static const struct rg_type *read_type(struct reader *r)
{
    const struct rg_type *list[LIST_MAX], *out = NULL;
    char c = *r->at++;
    switch (c) {
    case '0':
        return &rg_type_null;
    case 'b':
        return &rg_type_bool;
    case 'n':
        return &rg_type_number;
    case 's':
        return &rg_type_string;
    case '[':
        out = read_type(r);
        r->at++;
        return rg_type_array(r->heap, NULL, 0, out);
    case '{':
        out = read_type(r);
        r->at++;
        return rg_type_set(r->heap, out);
    case '<':
        return read_object(r);
    case '(': {
        uint32_t n = read_list(r, ')', list, LIST_MAX);
        const struct rg_type **items = rg_new(r->heap, (n + 1) * sizeof(*items));
        mln_copy(items, list, n * sizeof(*items));
        return rg_type_array(r->heap, items, n, NULL);
    }
    case '|': {
        uint32_t n = read_list(r, '|', list, LIST_MAX);
        for (uint32_t i = 0; i < n; i++) {
            out = rg_type_or(r->heap, out, list[i]);
        }
        return out;
    }
    default:
        MLN_CHECK(c == '*');
        return &rg_type_any;
    }
}

static const struct {
    const char *name;
    const char *args[6];
} named[] = {
#define RG_NAMES(name, ...) {name, {__VA_ARGS__}},
#include "rego/declname.def"
#undef RG_NAMES
};

static const char *const *names_of(const char *decl)
{
    size_t lo = 0, hi = MLN_COUNT(named);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = mln_bytes_cmp(mln_bytes_of(named[mid].name), mln_bytes_of(decl));
        if (c == 0) {
            return named[mid].args;
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

const struct rg_type *rg_type_of_decl(struct rg_heap *heap, const struct rg_decl *decl)
{
    struct reader r = {.heap = heap, .at = decl->args};
    const struct rg_type **args = rg_new(heap, (decl->arity + 1u) * sizeof(*args));
    uint32_t n = 0;
    while (*r.at != '\0') {
        MLN_CHECK(n < decl->arity);
        args[n++] = read_type(&r);
        r.at += *r.at == ';';
    }
    r.at = decl->result;
    struct rg_type *t = (struct rg_type *)(uintptr_t)rg_type_function(
        heap, args, n, *r.at == '\0' ? NULL : read_type(&r));
    t->names = names_of(decl->name);
    t->is_variadic = (decl->flags & RG_VARIADIC) != 0;
    return t;
}
