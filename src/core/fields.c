/* SPDX-License-Identifier: Apache-2.0 */
/* A request's data by the schema of its path: weakly typed as Vault's clients send it, refused when it cannot be read. Pure. */
#include "base/text.h"
#include "core/core_priv.h"

#define NAME_SHOWN_MAX 64 /* of a field in a text */

static struct mln_err refuse(struct mln_cx *cx, const struct mln_field *field, const char *wanted)
{
    return mln_fail(cx, MLN_E_INVALID, "Field validation failed: error converting input for field \"%.*s\": expected %s", NAME_SHOWN_MAX,
                    field->name, wanted);
}

static bool is_word(struct mln_bytes text, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (mln_bytes_is_nocase(text, words[i])) {
            return true;
        }
    }
    return false;
}

/* A scalar as text; NULL for what is none. */
static struct mln_value *to_text(struct mln_cx *cx, const struct mln_value *v)
{
    switch (mln_type_of(v)) {
    case MLN_STRING:
        return mln_string(cx, mln_get_bytes(v));
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
        break;
    }
    return NULL;
}

static struct mln_err read_text(struct mln_cx *cx, const struct mln_field *field, const struct mln_value *v, const struct mln_value **ret)
{
    const struct mln_value *text = to_text(cx, v);
    if (text == NULL) {
        return refuse(cx, field, "a string");
    }
    *ret = field->type == MLN_FIELD_SECRET ? mln_secret_string(cx, mln_get_bytes(text)) : text;
    return MLN_OK;
}

static struct mln_err read_int(struct mln_cx *cx, const struct mln_field *field, const struct mln_value *v, const struct mln_value **ret)
{
    int64_t number = 0;
    bool is_duration = field->type == MLN_FIELD_DURATION;
    struct mln_bytes text = mln_bytes_trim(mln_get_bytes(v));
    if (mln_type_of(v) == MLN_INT) {
        *ret = v;
        return MLN_OK;
    }
    if (mln_type_of(v) == MLN_STRING && text.len == 0) {
        *ret = mln_int(cx, 0);
        return MLN_OK;
    }
    bool is_read = mln_i64_parse(text, &number) || (is_duration && mln_duration_parse(text, &number));
    if (mln_type_of(v) != MLN_STRING || !is_read) {
        return refuse(cx, field, is_duration ? "a duration" : "an integer");
    }
    *ret = mln_int(cx, number);
    return MLN_OK;
}

static struct mln_err read_bool(struct mln_cx *cx, const struct mln_field *field, const struct mln_value *v, const struct mln_value **ret)
{
    static const char *const yes[] = {"true", "t", "1", NULL};
    static const char *const no[] = {"false", "f", "0", "", NULL};
    struct mln_bytes text = mln_get_bytes(v);
    int64_t number = mln_get_int(v, -1);
    if (mln_type_of(v) == MLN_BOOL) {
        *ret = v;
    } else if (number == 0 || number == 1) {
        *ret = mln_bool(cx, number == 1);
    } else if (mln_type_of(v) == MLN_STRING && (is_word(text, yes) || is_word(text, no))) {
        *ret = mln_bool(cx, is_word(text, yes));
    } else {
        return refuse(cx, field, "a boolean");
    }
    return MLN_OK;
}

static struct mln_err read_list_item(struct mln_cx *cx, const struct mln_field *field, const struct mln_value *v, struct mln_value *list)
{
    int64_t number = 0;
    if (field->type == MLN_FIELD_LIST) {
        const struct mln_value *text = to_text(cx, v);
        if (text == NULL) {
            return refuse(cx, field, "an array of strings");
        }
        mln_push(cx, list, text);
        return MLN_OK;
    }
    bool is_text = mln_type_of(v) == MLN_STRING && mln_i64_parse(mln_bytes_trim(mln_get_bytes(v)), &number);
    if (mln_type_of(v) != MLN_INT && !is_text) {
        return refuse(cx, field, "an array of integers");
    }
    mln_push(cx, list, is_text ? mln_int(cx, number) : v);
    return MLN_OK;
}

static struct mln_err read_list(struct mln_cx *cx, const struct mln_field *field, const struct mln_value *v, const struct mln_value **ret)
{
    struct mln_value *list = mln_array(cx);
    struct mln_bytes left = mln_get_bytes(v);
    *ret = list;
    if (mln_type_of(v) == MLN_ARRAY) {
        for (size_t i = 0; i < mln_len(v); i++) {
            MLN_TRY(read_list_item(cx, field, mln_item(v, i), list));
        }
        return MLN_OK;
    }
    if (mln_type_of(v) != MLN_STRING) {
        return read_list_item(cx, field, v, list);
    }
    while (left.len > 0) {
        struct mln_bytes part = mln_bytes_trim(mln_bytes_cut(left, ',', &left));
        if (part.len > 0) {
            MLN_TRY(read_list_item(cx, field, mln_string(cx, part), list));
        }
    }
    return MLN_OK;
}

static struct mln_err read_field(struct mln_cx *cx, const struct mln_field *field, const struct mln_value *v, const struct mln_value **ret)
{
    *ret = v;
    if (mln_is_null(v)) {
        return MLN_OK; /* given, but nothing */
    }
    switch (field->type) {
    case MLN_FIELD_TEXT:
    case MLN_FIELD_SECRET:
        return read_text(cx, field, v, ret);
    case MLN_FIELD_INT:
    case MLN_FIELD_DURATION:
        return read_int(cx, field, v, ret);
    case MLN_FIELD_BOOL:
        return read_bool(cx, field, v, ret);
    case MLN_FIELD_LIST:
    case MLN_FIELD_INTS:
        return read_list(cx, field, v, ret);
    case MLN_FIELD_MAP:
        return mln_type_of(v) == MLN_OBJECT ? MLN_OK : refuse(cx, field, "a map");
    case MLN_FIELD_ANY:
        break;
    }
    return MLN_OK;
}

struct mln_err mln_fields_parse(struct mln_cx *cx, const struct mln_path *route, const struct mln_value *captures,
                                const struct mln_value *data, const struct mln_value **ret)
{
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(captures); i++) {
        const struct mln_member *m = mln_member_at(captures, i);
        mln_put_key(cx, out, m->key, &m->value);
    }
    for (const struct mln_field *f = route->fields; f != NULL && f->name != NULL; f++) {
        const struct mln_value *v = mln_get(captures, f->name);
        v = v != NULL ? v : mln_get(data, f->name);
        v = v != NULL || f->fallback == NULL ? v : mln_text(cx, f->fallback);
        if (v == NULL && f->is_required) {
            return mln_fail(cx, MLN_E_INVALID, "missing %.*s", NAME_SHOWN_MAX, f->name);
        }
        if (v != NULL) {
            MLN_TRY(read_field(cx, f, v, &v));
            mln_put(cx, out, f->name, v);
        }
    }
    *ret = out;
    return mln_cx_err(cx);
}
