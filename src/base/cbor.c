/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CBOR (RFC 8949 sections 3 and 4.2.1), the subset of values. A string that is no UTF-8 travels as a byte string (a key too),
 * so that whatever is printed can be read again. Every value has exactly one encoding; the reader refuses all others.
 */
#include "base/cbor.h"

#include "base/buf_priv.h"
#include "base/text.h"
#include "base/value_priv.h"

#define TAG_SECRET 0x4d4c01u
#define TAG_SET 0x4d4c02u
#define TAG_DECIMAL 0x4d4c03u

enum { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };
enum { SIMPLE_FALSE = 0xF4, SIMPLE_TRUE = 0xF5, SIMPLE_NULL = 0xF6 };

/* ---- printing ---- */

static void print_value(struct mln_buf *buf, const struct mln_value *v, bool is_sorted, unsigned depth);

/* Major type and argument in the shortest form. */
static inline void print_head(struct mln_buf *buf, unsigned major, uint64_t n)
{
    uint8_t type = (uint8_t)(major << 5);
    if (n < 24) {
        buf_byte(buf, (uint8_t)(type | n));
        return;
    }
    if (!buf_room(buf, 9)) {
        return;
    }
    uint8_t *to = buf->ptr + buf->len;
    if (n <= UINT8_MAX) {
        to[0] = type | 24;
        to[1] = (uint8_t)n;
        buf->len += 2;
    } else if (n <= UINT16_MAX) {
        to[0] = type | 25;
        mln_put_u16be(to + 1, (uint16_t)n);
        buf->len += 3;
    } else if (n <= UINT32_MAX) {
        to[0] = type | 26;
        mln_put_u32be(to + 1, (uint32_t)n);
        buf->len += 5;
    } else {
        to[0] = type | 27;
        mln_put_u64be(to + 1, n);
        buf->len += 9;
    }
}

static inline void print_string(struct mln_buf *buf, struct mln_bytes text, bool is_bytes)
{
    print_head(buf, is_bytes || !mln_utf8_valid(text) ? MAJOR_BYTES : MAJOR_TEXT, text.len);
    buf_put(buf, text.ptr, text.len);
}

static void print_member(struct mln_buf *buf, const struct mln_member *m, bool is_sorted, unsigned depth)
{
    print_string(buf, m->key, false);
    print_value(buf, &m->value, is_sorted, depth + 1);
}

static void print_sorted(struct mln_buf *buf, const struct mln_value *v, unsigned depth)
{
    const struct mln_member **order = mln_alloc_array(v->len, sizeof(*order));
    if (order == NULL) {
        buf->has_failed = true;
        return;
    }
    mln_members_sort(v, order);
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        print_member(buf, order[i], true, depth);
    }
    mln_free(order);
}

static void print_object(struct mln_buf *buf, const struct mln_value *v, bool is_sorted, unsigned depth)
{
    print_head(buf, MAJOR_MAP, v->len);
    if (is_sorted && v->len > 1) {
        print_sorted(buf, v, depth);
        return;
    }
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        print_member(buf, &v->members[i], is_sorted, depth);
    }
}

static void print_list(struct mln_buf *buf, const struct mln_value *v, bool is_sorted, unsigned depth)
{
    print_head(buf, MAJOR_ARRAY, v->len);
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        print_value(buf, &v->items[i], is_sorted, depth + 1);
    }
}

static void print_value(struct mln_buf *buf, const struct mln_value *v, bool is_sorted, unsigned depth)
{
    if (depth > DEPTH_HARD_MAX) {
        buf->has_failed = true;
        buf->is_over = true;
        return;
    }
    switch (mln_type_of(v)) {
    case MLN_NULL:
        buf_byte(buf, SIMPLE_NULL);
        return;
    case MLN_BOOL:
        buf_byte(buf, v->boolean ? SIMPLE_TRUE : SIMPLE_FALSE);
        return;
    case MLN_INT:
        print_head(buf, v->integer < 0 ? MAJOR_NEGATIVE : MAJOR_UINT,
                   (uint64_t)(v->integer < 0 ? ~v->integer : v->integer));
        return;
    case MLN_DECIMAL:
        print_head(buf, MAJOR_TAG, TAG_DECIMAL);
        print_head(buf, MAJOR_TEXT, v->len);
        buf_put(buf, v->text, v->len);
        return;
    case MLN_STRING:
        if ((v->flags & MLN_VALUE_SECRET) != 0) {
            print_head(buf, MAJOR_TAG, TAG_SECRET);
        }
        print_string(buf, mln_bytes_at(v->text, v->len), (v->flags & MLN_VALUE_BYTES) != 0);
        return;
    case MLN_SET:
        print_head(buf, MAJOR_TAG, TAG_SET);
        print_list(buf, v, is_sorted, depth);
        return;
    case MLN_ARRAY:
        print_list(buf, v, is_sorted, depth);
        return;
    case MLN_OBJECT:
        print_object(buf, v, is_sorted, depth);
        return;
    }
}

void mln_cbor_print(struct mln_buf *buf, const struct mln_value *v)
{
    print_value(buf, v, false, 0);
}

void mln_cbor_print_sorted(struct mln_buf *buf, const struct mln_value *v)
{
    print_value(buf, v, true, 0);
}

/* ---- parsing ---- */

struct cbor {
    struct mln_cx *cx;
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
};

__attribute__((cold, noinline)) static bool refuse(struct cbor *c, const char *what, const uint8_t *at)
{
    (void)mln_fail(c->cx, MLN_E_PARSE, "cbor: %s at byte %zu", what, (size_t)(at - c->start));
    return false;
}

static inline size_t left_of(const struct cbor *c)
{
    return (size_t)(c->end - c->at);
}

/* An argument of more than the head's own byte: 1, 2, 4 or 8 bytes, and not spelled longer than needed. */
static bool parse_long_head(struct cbor *c, unsigned info, uint64_t *ret_n)
{
    const uint8_t *head = c->at - 1;
    if (info > 27) {
        return refuse(c, "indefinite or reserved length", head);
    }
    size_t width = (size_t)1 << (info - 24);
    if (left_of(c) < width) {
        return refuse(c, "text ends early", head);
    }
    uint64_t n = 0;
    for (size_t i = 0; i < width; i++) {
        n = n << 8 | c->at[i];
    }
    c->at += width;
    uint64_t least = width == 1 ? 24 : (uint64_t)1 << (4 * width);
    if (n < least) {
        return refuse(c, "length not in its shortest form", head);
    }
    *ret_n = n;
    return true;
}

static inline bool parse_head(struct cbor *c, unsigned *ret_major, uint64_t *ret_n)
{
    if (__builtin_expect(c->at == c->end, 0)) {
        return refuse(c, "text ends early", c->at);
    }
    uint8_t byte = *c->at++;
    *ret_major = byte >> 5;
    unsigned info = byte & 31;
    *ret_n = info;
    return __builtin_expect(info < 24, 1) || parse_long_head(c, info, ret_n);
}

/* The n bytes of a string of `major`. */
static inline bool parse_text(struct cbor *c, unsigned major, uint64_t n, struct mln_bytes *ret)
{
    if (n > left_of(c) || n > UINT32_MAX) {
        return refuse(c, "string longer than the text", c->at);
    }
    *ret = mln_bytes_at(c->at, (size_t)n);
    if (major == MAJOR_TEXT && !mln_utf8_valid(*ret)) {
        return refuse(c, "bad UTF-8", c->at);
    }
    c->at += n;
    return true;
}

static inline bool parse_string(struct cbor *c, unsigned major, uint64_t n, struct mln_value *to)
{
    struct mln_bytes text;
    if (!parse_text(c, major, n, &text)) {
        return false;
    }
    *to = (struct mln_value){.type = MLN_STRING,
                             .flags = major == MAJOR_BYTES ? MLN_VALUE_BYTES : 0,
                             .len = (uint32_t)text.len,
                             .text = text.ptr};
    return true;
}

static bool parse_value(struct cbor *c, struct mln_value *to, unsigned depth);

static bool parse_list(struct cbor *c, uint64_t n, struct mln_value *to, unsigned depth)
{
    if (depth >= DEPTH_HARD_MAX) {
        return refuse(c, "nested too deep", c->at);
    }
    if (n > left_of(c) || n > MLN_VALUE_ITEMS_MAX) {
        return refuse(c, "more items than the text can hold", c->at);
    }
    *to = (struct mln_value){.type = MLN_ARRAY, .len = (uint32_t)n};
    if (n == 0) {
        return true;
    }
    to->items = mln_new_array(c->cx, (size_t)n, sizeof(*to->items));
    if (to->items == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!parse_value(c, &to->items[i], depth + 1)) {
            return false;
        }
    }
    return true;
}

static inline bool parse_key(struct cbor *c, struct mln_bytes *ret)
{
    const uint8_t *at = c->at;
    unsigned major;
    uint64_t n;
    if (!parse_head(c, &major, &n)) {
        return false;
    }
    if (major != MAJOR_TEXT && major != MAJOR_BYTES) {
        return refuse(c, "key is no string", at);
    }
    if (!parse_text(c, major, n, ret)) {
        return false;
    }
    return major == MAJOR_TEXT || !mln_utf8_valid(*ret) || refuse(c, "text as a byte string key", at);
}

static bool parse_map(struct cbor *c, uint64_t n, struct mln_value *to, unsigned depth)
{
    const uint8_t *at = c->at;
    if (depth >= DEPTH_HARD_MAX) {
        return refuse(c, "nested too deep", at);
    }
    if (n > left_of(c) / 2 || n > MLN_VALUE_ITEMS_MAX) {
        return refuse(c, "more members than the text can hold", at);
    }
    *to = (struct mln_value){.type = MLN_OBJECT, .len = (uint32_t)n};
    if (n == 0) {
        return true;
    }
    struct mln_member *members = mln_members_new(c->cx, (size_t)n);
    if (members == NULL) {
        return false;
    }
    to->members = members;
    for (size_t i = 0; i < n; i++) {
        if (!parse_key(c, &members[i].key) || !parse_value(c, &members[i].value, depth + 1)) {
            return false;
        }
    }
    size_t twice;
    if (mln_members_seal(c->cx, to, &twice)) {
        return true;
    }
    return twice != SIZE_MAX ? refuse(c, "duplicate key", members[twice].key.ptr) : false;
}

static bool parse_set(struct cbor *c, uint64_t n, struct mln_value *to, unsigned depth)
{
    const uint8_t *at = c->at;
    if (!parse_list(c, n, to, depth)) {
        return false;
    }
    for (size_t i = 1; i < to->len; i++) {
        if (mln_value_cmp(&to->items[i - 1], &to->items[i]) >= 0) {
            return refuse(c, "set not in order", at);
        }
    }
    to->type = MLN_SET;
    return true;
}

static bool parse_tagged(struct cbor *c, uint64_t tag, struct mln_value *to, unsigned depth)
{
    const uint8_t *at = c->at;
    unsigned major;
    uint64_t n;
    if (!parse_head(c, &major, &n)) {
        return false;
    }
    if (tag == TAG_SECRET && (major == MAJOR_TEXT || major == MAJOR_BYTES)) {
        bool is_good = parse_string(c, major, n, to);
        to->flags |= MLN_VALUE_SECRET;
        return is_good;
    }
    if (tag == TAG_SET && major == MAJOR_ARRAY) {
        return parse_set(c, n, to, depth);
    }
    struct mln_bytes literal;
    if (tag != TAG_DECIMAL || major != MAJOR_TEXT) {
        return refuse(c, "unknown tag", at);
    }
    if (!parse_text(c, major, n, &literal)) {
        return false;
    }
    bool is_decimal = mln_number_of(to, literal) && to->type == MLN_DECIMAL;
    return is_decimal || refuse(c, "bad decimal", at);
}

static bool parse_simple(struct cbor *c, struct mln_value *to)
{
    switch (c->at[-1]) {
    case SIMPLE_FALSE:
    case SIMPLE_TRUE:
        *to = (struct mln_value){.type = MLN_BOOL, .boolean = c->at[-1] == SIMPLE_TRUE};
        return true;
    case SIMPLE_NULL:
        *to = (struct mln_value){.type = MLN_NULL};
        return true;
    default:
        return refuse(c, "simple value or float", c->at - 1);
    }
}

static bool parse_value(struct cbor *c, struct mln_value *to, unsigned depth)
{
    const uint8_t *at = c->at;
    if (at < c->end && *at >> 5 == MAJOR_SIMPLE) {
        c->at++;
        return parse_simple(c, to);
    }
    unsigned major;
    uint64_t n;
    if (!parse_head(c, &major, &n)) {
        return false;
    }
    switch (major) {
    case MAJOR_UINT:
    case MAJOR_NEGATIVE:
        if (n > INT64_MAX) {
            return refuse(c, "integer beyond 64 bits", at);
        }
        *to = (struct mln_value){.type = MLN_INT, .integer = major == MAJOR_UINT ? (int64_t)n : ~(int64_t)n};
        return true;
    case MAJOR_BYTES:
    case MAJOR_TEXT:
        return parse_string(c, major, n, to);
    case MAJOR_ARRAY:
        return parse_list(c, n, to, depth);
    case MAJOR_MAP:
        return parse_map(c, n, to, depth);
    default:
        return parse_tagged(c, n, to, depth);
    }
}

struct mln_err mln_cbor_parse(struct mln_cx *cx, struct mln_bytes bytes, const struct mln_value **ret)
{
    static const uint8_t none[1];
    const uint8_t *start = bytes.ptr != NULL ? bytes.ptr : none;
    struct cbor c = {.cx = cx, .start = start, .at = start, .end = start + bytes.len};
    struct mln_value *root = mln_new(cx, sizeof(*root));
    if (root == NULL || !parse_value(&c, root, 0)) {
        return mln_cx_err(cx);
    }
    if (c.at != c.end) {
        refuse(&c, "bytes behind the value", c.at);
        return mln_cx_err(cx);
    }
    *ret = root;
    return MLN_OK;
}
