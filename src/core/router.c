/* SPDX-License-Identifier: Apache-2.0 */
/* Routing from descriptors: patterns, captures, fields by their schema. The language of patterns is in contract/engine.h. */
#include "core/core_priv.h"

#include "base/text.h"

#define CAPTURES_MAX 8 /* of one pattern: more names than any path has */

/* ---- patterns ---- */

struct segment {
    struct mln_bytes name;
    bool is_capture, is_rest, is_optional;
};

static struct segment segment_of(struct mln_bytes part)
{
    struct segment s = {.name = part, .is_optional = mln_bytes_ends(part, MLN_BYTES("?"))};
    s.name.len -= s.is_optional ? 1 : 0;
    if (s.name.len >= 2 && s.name.ptr[0] == '{' && s.name.ptr[s.name.len - 1] == '}') {
        s.is_capture = true;
        s.name = mln_bytes_sub(s.name, 1, s.name.len - 2);
        s.is_rest = mln_bytes_ends(s.name, MLN_BYTES("..."));
        s.name.len -= s.is_rest ? 3 : 0;
    }
    return s;
}

struct match {
    struct {
        struct mln_bytes name, value;
    } captures[CAPTURES_MAX];
    size_t n;
};

static void capture(struct match *m, struct mln_bytes name, struct mln_bytes value)
{
    MLN_CHECK(m->n < CAPTURES_MAX);
    m->captures[m->n].name = name;
    m->captures[m->n++].value = value;
}

/* What follows {name...} in a pattern is fixed text at the end of the path: "{path...}/tune". */
static bool matches_rest(struct mln_bytes name, struct mln_bytes tail, struct mln_bytes path,
                         struct match *ret)
{
    if (tail.len > 0) {
        size_t at = path.len > tail.len ? path.len - tail.len - 1 : 0;
        if (at == 0 || path.ptr[at] != '/' || !mln_bytes_ends(path, tail)) {
            return false;
        }
        path = mln_bytes_sub(path, 0, at);
    }
    capture(ret, name, path);
    return true;
}

/* A path that ends in "/" (lists do) matches as without it; only the rest of a path keeps it. */
static bool matches(const char *pattern, struct mln_bytes path, struct match *ret)
{
    struct mln_bytes left = mln_bytes_of(pattern);
    ret->n = 0;
    while (left.len > 0) {
        struct mln_bytes after, path_after;
        struct segment s = segment_of(mln_bytes_cut(left, '/', &after));
        if (path.len == 0) {
            return s.is_optional && after.len == 0;
        }
        if (s.is_rest) {
            return matches_rest(s.name, after, path, ret);
        }
        struct mln_bytes got = mln_bytes_cut(path, '/', &path_after);
        if (s.is_capture && got.len > 0) {
            capture(ret, s.name, got);
        } else if (s.is_capture || !mln_bytes_eq(got, s.name)) {
            return false;
        }
        left = after;
        path = path_after;
    }
    return path.len == 0;
}

static const struct mln_path *find_in(struct mln_cx *cx, const struct mln_path *route,
                                      struct mln_bytes rest, struct mln_value *captures)
{
    struct match m;
    for (; route->pattern != NULL; route++) {
        if (!matches(route->pattern, rest, &m)) {
            continue;
        }
        for (size_t i = 0; captures != NULL && i < m.n; i++) {
            mln_put_key(cx, captures, m.captures[i].name, mln_string(cx, m.captures[i].value));
        }
        return route;
    }
    return NULL;
}

const struct mln_path *mln_route_table(const struct mln_engine *engine, size_t i)
{
    return i == 0                        ? engine->paths
           : engine->more_paths == NULL ? NULL
                                        : engine->more_paths[i - 1];
}

const struct mln_path *mln_route_find(struct mln_cx *cx, const struct mln_engine *engine,
                                      struct mln_bytes rest, struct mln_value *captures)
{
    const struct mln_path *table = engine->paths, *found = NULL;
    for (size_t i = 0; found == NULL && table != NULL; table = mln_route_table(engine, ++i)) {
        found = find_in(cx, table, rest, captures);
    }
    return found;
}

mln_handler mln_route_handler(const struct mln_path *route, enum mln_op op)
{
    switch (op) {
    case MLN_OP_READ:
        return route->read;
    case MLN_OP_LIST:
        return route->list;
    case MLN_OP_WRITE:
        return route->write;
    case MLN_OP_PATCH:
        return route->patch;
    case MLN_OP_DELETE:
        return route->remove;
    case MLN_OP_SCAN:
        return route->scan != NULL ? route->scan : route->may_scan ? mln_scan : NULL;
    case MLN_OP_HELP:
    default:
        return NULL;
    }
}

/* ---- fields ---- */

static const struct mln_value *split(struct mln_cx *cx, struct mln_bytes text, bool ints)
{
    struct mln_value *out = mln_array(cx);
    while (text.len > 0) {
        int64_t i = 0;
        struct mln_bytes part = mln_bytes_trim(mln_bytes_cut(text, ',', &text));
        if (ints && mln_i64_parse(part, &i)) {
            mln_push(cx, out, mln_int(cx, i));
        } else if (ints && part.len > 0) {
            return NULL;
        } else if (part.len > 0) {
            mln_push(cx, out, mln_string(cx, part));
        }
    }
    return out;
}

static const struct mln_value *to_bool(struct mln_cx *cx, const struct mln_value *v)
{
    struct mln_bytes text = mln_get_bytes(v);
    if (mln_type_of(v) == MLN_BOOL) {
        return v;
    }
    if (mln_type_of(v) == MLN_INT) {
        int64_t i = mln_get_int(v, 2);
        return i == 0 || i == 1 ? mln_bool(cx, i == 1) : NULL;
    }
    bool yes =
        mln_bytes_is_nocase(text, "true") || mln_bytes_is(text, "1") || mln_bytes_is(text, "t");
    bool no = mln_bytes_is_nocase(text, "false") || mln_bytes_is(text, "0") ||
              mln_bytes_is(text, "f") || text.len == 0;
    return mln_type_of(v) == MLN_STRING && (yes || no) ? mln_bool(cx, yes) : NULL;
}

static const struct mln_value *to_int(struct mln_cx *cx, const struct mln_value *v,
                                      bool is_duration)
{
    struct mln_bytes text = mln_get_bytes(v);
    int64_t i = 0;
    if (mln_type_of(v) == MLN_INT) {
        return v;
    }
    if (mln_type_of(v) == MLN_STRING && text.len == 0) {
        return mln_int(cx, 0);
    }
    bool ok = mln_type_of(v) == MLN_STRING &&
              (mln_i64_parse(text, &i) || (is_duration && mln_duration_parse(text, &i)));
    return ok ? mln_int(cx, i) : NULL;
}

static const struct mln_value *to_text(struct mln_cx *cx, const struct mln_value *v)
{
    switch (mln_type_of(v)) {
    case MLN_STRING:
        return v;
    case MLN_BOOL:
        return mln_text(cx, mln_get_bool(v, false) ? "true" : "false");
    case MLN_INT:
        return mln_textf(cx, "%lld", (long long)mln_get_int(v, 0));
    case MLN_DECIMAL:
        return mln_string(cx, mln_bytes_at(v->text, v->len));
    case MLN_NULL:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
    default:
        return NULL;
    }
}

static const struct mln_value *to_list(struct mln_cx *cx, const struct mln_value *v, bool ints)
{
    if (mln_type_of(v) == MLN_STRING) {
        return split(cx, mln_get_bytes(v), ints);
    }
    if (mln_type_of(v) != MLN_ARRAY) {
        struct mln_value *one = mln_array(cx);
        const struct mln_value *item = ints ? to_int(cx, v, false) : to_text(cx, v);
        if (item != NULL) {
            mln_push(cx, one, item);
        }
        return item != NULL ? one : NULL;
    }
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_value *item =
            ints ? to_int(cx, mln_item(v, i), false) : to_text(cx, mln_item(v, i));
        if (item == NULL) {
            return NULL;
        }
        mln_push(cx, out, item);
    }
    return out;
}

static const struct mln_value *to_secret(struct mln_cx *cx, const struct mln_value *v)
{
    const struct mln_value *text = to_text(cx, v);
    return text != NULL ? mln_secret_string(cx, mln_get_bytes(text)) : NULL;
}

static struct mln_err parse_field(struct mln_cx *cx, const struct mln_field *f,
                                  const struct mln_value *v, const struct mln_value **ret)
{
    static const char *const kinds[] = {"a string",          "a string",   "a number",
                                        "a boolean",         "a duration", "a list",
                                        "a list of numbers", "a map",      "a value"};
    const struct mln_value *out = NULL;
    switch (f->type) {
    case MLN_FIELD_TEXT:
        out = to_text(cx, v);
        break;
    case MLN_FIELD_SECRET:
        out = to_secret(cx, v);
        break;
    case MLN_FIELD_INT:
    case MLN_FIELD_DURATION:
        out = to_int(cx, v, f->type == MLN_FIELD_DURATION);
        break;
    case MLN_FIELD_BOOL:
        out = to_bool(cx, v);
        break;
    case MLN_FIELD_LIST:
    case MLN_FIELD_INTS:
        out = to_list(cx, v, f->type == MLN_FIELD_INTS);
        break;
    case MLN_FIELD_MAP:
        out = mln_type_of(v) == MLN_OBJECT ? v : NULL;
        break;
    case MLN_FIELD_ANY:
    default:
        out = v;
        break;
    }
    if (out == NULL) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "Field validation failed: error converting input for field \"%s\": expected %s",
            f->name, kinds[f->type]);
    }
    *ret = out;
    return MLN_OK;
}

struct mln_err mln_fields_parse(struct mln_cx *cx, const struct mln_field *f,
                                const struct mln_value *first, const struct mln_value *data,
                                struct mln_value *out)
{
    for (; f != NULL && f->name != NULL; f++) {
        const struct mln_value *v = mln_get(first, f->name), *parsed = NULL;
        v = v != NULL ? v : mln_get(data, f->name);
        v = v == NULL && f->fallback != NULL ? mln_text(cx, f->fallback) : v;
        if (v == NULL && f->is_required) {
            return mln_fail(cx, MLN_E_INVALID, "missing %s", f->name);
        }
        if (v == NULL) {
            continue;
        }
        if (!mln_is_null(v)) {
            MLN_TRY(parse_field(cx, f, v, &parsed));
            v = parsed;
        }
        mln_put(cx, out, f->name, v);
    }
    return mln_cx_err(cx);
}

/*
 * Policies judge the path, so what a path may name comes from nowhere else: were the query or the body to fill in an optional
 * capture that the path leaves out, a rule for "restore/prod" could be passed by with "restore" and a name. Refused rather than
 * passed over, for who sends it means it.
 */
static struct mln_err check_captures(struct mln_request *rq, const struct mln_value *captures)
{
    struct mln_bytes left = mln_bytes_of(rq->route->pattern);
    while (left.len > 0) {
        struct segment s = segment_of(mln_bytes_cut(left, '/', &left));
        if (s.is_capture && mln_get_key(captures, s.name) == NULL &&
            mln_get_key(rq->data, s.name) != NULL) {
            return mln_fail(rq->cx, MLN_E_INVALID, "\"%.*s\" belongs in the path", MLN_FMT(s.name));
        }
    }
    return MLN_OK;
}

static struct mln_err parse_fields(struct mln_request *rq, const struct mln_value *captures)
{
    struct mln_value *out = mln_object(rq->cx);
    MLN_TRY(check_captures(rq, captures));
    for (size_t i = 0; i < mln_len(captures); i++) {
        mln_put_key(rq->cx, out, mln_member_at(captures, i)->key,
                    &mln_member_at(captures, i)->value);
    }
    rq->fields = out;
    return mln_fields_parse(rq->cx, rq->route->fields, captures, rq->data, out);
}

struct mln_err mln_route_parse(struct mln_request *rq, const struct mln_value *captures)
{
    if (rq->route == NULL) {
        return mln_fail(rq->cx, MLN_E_NO_ROUTE, "unsupported path");
    }
    if (mln_route_handler(rq->route, rq->op) == NULL) {
        return mln_fail(rq->cx, MLN_E_METHOD, "unsupported operation");
    }
    return parse_fields(rq, captures);
}

struct mln_err mln_route(struct mln_request *rq)
{
    struct mln_value *captures = mln_object(rq->cx);
    rq->route = mln_route_find(rq->cx, rq->mount->engine, rq->rest, captures);
    return mln_route_parse(rq, captures);
}
