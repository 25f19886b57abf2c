/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values to JSON. What cannot stand in JSON is made to: bytes that are no UTF-8 become U+FFFD, sets become arrays, byte
 * strings base64. The reader: json.c.
 */
#include "base/buf_priv.h"
#include "base/json.h"
#include "base/json_priv.h"
#include "base/text.h"
#include "base/utf8_priv.h"
#include "base/value_priv.h"

/* ---- strings ---- */

static void print_u_escape(struct mln_buf *buf, uint32_t point)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', hex[point >> 12 & 15], hex[point >> 8 & 15], hex[point >> 4 & 15], hex[point & 15]};
    buf_put(buf, escape, sizeof(escape));
}

static void print_ascii_escape(struct mln_buf *buf, uint8_t c)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if ((uint8_t)shorts[i] == c) {
            char escape[2] = {'\\', shorts[i + 1]};
            buf_put(buf, escape, sizeof(escape));
            return;
        }
    }
    print_u_escape(buf, c);
}

/* What stands at p, which the scan stopped at: its length in the text. */
static size_t print_special(struct mln_buf *buf, const uint8_t *p, size_t n, unsigned style)
{
    if (*p < 0x80) {
        print_ascii_escape(buf, *p);
        return 1;
    }
    size_t step = utf8_step(p, n);
    if (step == 0) {
        buf_put(buf, "\xEF\xBF\xBD", 3);
        return 1;
    }
    bool is_separator = step == 3 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] | 1) == 0xA9;
    if (is_separator && (style & MLN_JSON_HTML) != 0) {
        print_u_escape(buf, p[2] == 0xA8 ? 0x2028 : 0x2029);
    } else {
        buf_put(buf, p, step);
    }
    return step;
}

/* The end of a run that needs no escape: for HTML also before < > &. */
static const uint8_t *run_end(const uint8_t *p, const uint8_t *end, unsigned style)
{
    const uint8_t *stop = json_plain_end(p, end);
    if ((style & MLN_JSON_HTML) != 0) {
        for (const uint8_t *q = p; q < stop; q++) {
            if (*q == '<' || *q == '>' || *q == '&') {
                return q;
            }
        }
    }
    return stop;
}

void mln_json_print_string(struct mln_buf *buf, struct mln_bytes text, unsigned style)
{
    const uint8_t *p = text.ptr;
    const uint8_t *end = p + text.len;
    buf_byte(buf, '"');
    while (p < end && !buf->has_failed) {
        const uint8_t *stop = run_end(p, end, style);
        buf_put(buf, p, (size_t)(stop - p));
        p = stop;
        if (p < end) {
            p += print_special(buf, p, (size_t)(end - p), style);
        }
    }
    buf_byte(buf, '"');
}

static void print_text(struct mln_buf *buf, const struct mln_value *v, unsigned style)
{
    if ((v->flags & MLN_VALUE_SECRET) != 0 && (style & MLN_JSON_HIDE) != 0) {
        buf_put(buf, "\"(hidden)\"", 10);
    } else if ((v->flags & MLN_VALUE_BYTES) != 0) {
        buf_byte(buf, '"');
        mln_base64_print(buf, mln_get_bytes(v), MLN_B64_STD);
        buf_byte(buf, '"');
    } else {
        mln_json_print_string(buf, mln_get_bytes(v), style);
    }
}

/* ---- numbers ---- */

static void print_int(struct mln_buf *buf, int64_t integer)
{
    uint8_t text[20] __attribute__((uninitialized));
    size_t at = sizeof(text);
    uint64_t left = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    do {
        text[--at] = (uint8_t)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (integer < 0) {
        text[--at] = '-';
    }
    buf_put(buf, text + at, sizeof(text) - at);
}

/* ---- containers ---- */

static void print_value(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth);

/* A new line with its indent, when pretty. */
static void print_break(struct mln_buf *buf, unsigned style, unsigned depth)
{
    if ((style & MLN_JSON_PRETTY) != 0) {
        buf_byte(buf, '\n');
        for (unsigned i = 0; i < depth; i++) {
            buf_put(buf, "  ", 2);
        }
    }
}

static void print_list(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    buf_byte(buf, '[');
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        if (i > 0) {
            buf_byte(buf, ',');
        }
        print_break(buf, style, depth + 1);
        print_value(buf, &v->items[i], style, depth + 1);
    }
    if (v->len > 0) {
        print_break(buf, style, depth);
    }
    buf_byte(buf, ']');
}

static void print_member(struct mln_buf *buf, const struct mln_member *m, bool is_first, unsigned style,
                         unsigned depth)
{
    if (!is_first) {
        buf_byte(buf, ',');
    }
    print_break(buf, style, depth + 1);
    mln_json_print_string(buf, m->key, style);
    buf_put(buf, ": ", (style & MLN_JSON_PRETTY) != 0 ? 2 : 1);
    print_value(buf, &m->value, style, depth + 1);
}

static void print_sorted(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    const struct mln_member **order = mln_alloc_array(v->len, sizeof(*order));
    if (order == NULL) {
        buf->has_failed = true;
        return;
    }
    mln_members_sort(v, order);
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        print_member(buf, order[i], i == 0, style, depth);
    }
    mln_free(order);
}

static void print_object(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    buf_byte(buf, '{');
    if ((style & MLN_JSON_SORTED) != 0 && v->len > 1) {
        print_sorted(buf, v, style, depth);
    } else {
        for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
            print_member(buf, &v->members[i], i == 0, style, depth);
        }
    }
    if (v->len > 0) {
        print_break(buf, style, depth);
    }
    buf_byte(buf, '}');
}

static void print_value(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    if (depth > DEPTH_HARD_MAX) {
        buf->has_failed = true;
        buf->is_over = true;
        return;
    }
    switch (mln_type_of(v)) {
    case MLN_NULL:
        buf_put(buf, "null", 4);
        return;
    case MLN_BOOL:
        buf_put(buf, v->boolean ? "true" : "false", v->boolean ? 4 : 5);
        return;
    case MLN_INT:
        print_int(buf, v->integer);
        return;
    case MLN_DECIMAL:
        buf_put(buf, v->text, v->len);
        return;
    case MLN_STRING:
        print_text(buf, v, style);
        return;
    case MLN_ARRAY:
    case MLN_SET:
        print_list(buf, v, style, depth);
        return;
    case MLN_OBJECT:
        print_object(buf, v, style, depth);
        return;
    }
}

void mln_json_print(struct mln_buf *buf, const struct mln_value *v, unsigned style)
{
    print_value(buf, v, style, 0);
}
