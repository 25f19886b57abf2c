/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text, as JSON and as the language writes them; and to and from the values of base. */
#include "rego/val_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "rego/rego.h"

static void print_items(struct mln_buf *buf, const struct rg_val *items, size_t n)
{
    mln_buf_add_byte(buf, '[');
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(buf, i == 0 ? "" : ",");
        rg_print_json(buf, items[i]);
    }
    mln_buf_add_byte(buf, ']');
}

static void print_key(struct mln_buf *buf, struct rg_val key)
{
    if (key.tag == RG_STR) {
        mln_json_print_string(buf, rg_bytes(key), 0);
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf inner = {0};
    rg_print_json(&inner, key);
    mln_json_print_string(buf, mln_buf_bytes(&inner), 0);
}

void rg_print_json(struct mln_buf *buf, struct rg_val v)
{
    if (buf->has_failed) {
        return;
    }
    char space[24];
    switch (v.tag) {
    case RG_BOOL:
        mln_buf_add_text(buf, v.integer ? "true" : "false");
        return;
    case RG_INT:
    case RG_BIG:
        mln_buf_add_bytes(buf, rg_num_text(v, space));
        return;
    case RG_STR:
        mln_json_print_string(buf, rg_bytes(v), 0);
        return;
    case RG_ARRAY:
        print_items(buf, v.arr->items, v.arr->len);
        return;
    case RG_SET:
        rg_sort(v);
        print_items(buf, v.map->keys, v.map->len);
        return;
    case RG_OBJECT:
        break;
    default:
        mln_buf_add_text(buf, "null");
        return;
    }
    mln_buf_add_byte(buf, '{');
    for (uint32_t i = 0; i < v.map->len; i++) {
        mln_buf_add_text(buf, i == 0 ? "" : ",");
        print_key(buf, rg_key_at(v, i));
        mln_buf_add_byte(buf, ':');
        rg_print_json(buf, rg_val_at(v, i));
    }
    mln_buf_add_byte(buf, '}');
}

static void print_list(struct mln_buf *buf, const struct rg_val *items, size_t n,
                       const char *around)
{
    mln_buf_add_byte(buf, (uint8_t)around[0]);
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(buf, i == 0 ? "" : ", ");
        rg_print_rego(buf, items[i]);
    }
    mln_buf_add_byte(buf, (uint8_t)around[1]);
}

void rg_print_rego(struct mln_buf *buf, struct rg_val v)
{
    if (buf->has_failed) {
        return;
    }
    if (v.tag == RG_ARRAY) {
        print_list(buf, v.arr->items, v.arr->len, "[]");
    } else if (v.tag == RG_SET && v.map->len == 0) {
        mln_buf_add_text(buf, "set()");
    } else if (v.tag == RG_SET) {
        rg_sort(v);
        print_list(buf, v.map->keys, v.map->len, "{}");
    } else if (v.tag == RG_OBJECT) {
        mln_buf_add_byte(buf, '{');
        for (uint32_t i = 0; i < v.map->len; i++) {
            mln_buf_add_text(buf, i == 0 ? "" : ", ");
            rg_print_rego(buf, rg_key_at(v, i));
            mln_buf_add_text(buf, ": ");
            rg_print_rego(buf, rg_val_at(v, i));
        }
        mln_buf_add_byte(buf, '}');
    } else {
        rg_print_json(buf, v);
    }
}

struct rg_val rg_from_value(struct rg_heap *heap, const struct mln_value *v)
{
    struct rg_val out = rg_null();
    switch (mln_type_of(v)) {
    case MLN_NULL:
        return out;
    case MLN_BOOL:
        return rg_bool(v->boolean);
    case MLN_INT:
        return rg_int(v->integer);
    case MLN_DECIMAL:
        return rg_number(heap, mln_bytes_at(v->text, v->len));
    case MLN_STRING:
        return rg_string(heap, mln_get_bytes(v));
    case MLN_ARRAY:
    case MLN_SET:
        out = v->type == MLN_SET ? rg_set(heap, v->len) : rg_array(heap, v->len);
        for (size_t i = 0; i < mln_len(v); i++) {
            struct rg_val item = rg_from_value(heap, mln_item(v, i));
            if (v->type == MLN_SET) {
                rg_add(heap, out, item);
            } else {
                rg_push(heap, out, item);
            }
        }
        return out;
    case MLN_OBJECT:
        out = rg_object(heap, v->len);
        for (size_t i = 0; i < mln_len(v); i++) {
            const struct mln_member *m = mln_member_at(v, i);
            rg_put(heap, out, rg_string(heap, m->key), rg_from_value(heap, &m->value));
        }
        return out;
    }
    return out;
}

static struct mln_value *object_to_value(struct mln_cx *cx, struct rg_val v)
{
    struct mln_value *out = mln_object(cx);
    for (uint32_t i = 0; i < v.map->len; i++) {
        struct rg_val k = rg_key_at(v, i);
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        if (k.tag != RG_STR) {
            rg_print_json(&text, k);
        }
        struct mln_bytes key =
            mln_bytes_dup(cx, k.tag == RG_STR ? rg_bytes(k) : mln_buf_bytes(&text));
        mln_put_key(cx, out, key, rg_to_value(cx, rg_val_at(v, i)));
    }
    return out;
}

struct mln_value *rg_to_value(struct mln_cx *cx, struct rg_val v)
{
    switch (v.tag) {
    case RG_BOOL:
        return mln_bool(cx, v.integer != 0);
    case RG_INT:
        return mln_int(cx, v.integer);
    case RG_BIG:
        return mln_decimal(cx, mln_bytes_dup(cx, mln_bytes_at(v.big->text, v.big->len)));
    case RG_STR:
        return mln_string_dup(cx, rg_bytes(v));
    case RG_OBJECT:
        return object_to_value(cx, v);
    case RG_ARRAY:
    case RG_SET:
        break;
    default:
        return mln_null(cx);
    }
    struct mln_value *out = v.tag == RG_SET ? mln_set(cx) : mln_array(cx);
    if (v.tag == RG_SET) {
        rg_sort(v);
    }
    for (uint32_t i = 0; i < rg_len(v); i++) {
        mln_push(cx, out, rg_to_value(cx, v.tag == RG_SET ? v.map->keys[i] : v.arr->items[i]));
    }
    return out;
}
