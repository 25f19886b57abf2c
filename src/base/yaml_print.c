/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values to block-style YAML. A string stays plain only where no reader of YAML 1.1 or 1.2 could take it for anything else;
 * all others are double-quoted. The reader: yaml.c.
 */
#include "base/buf_priv.h"
#include "base/json.h"
#include "base/text.h"
#include "base/utf8_priv.h"
#include "base/value_priv.h"
#include "base/yaml.h"

#define SIMPLE_KEY_MAX 128 /* bytes; YAML ends a key without "?" at 1,024 characters, escapes counted */

static void print_node(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth);

/* ---- strings ---- */

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* Words that some schema takes for null or a boolean. */
static bool is_word(struct mln_bytes text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        if (mln_bytes_is_nocase(text, words[i])) {
            return true;
        }
    }
    return false;
}

static bool is_plain(struct mln_bytes text)
{
    if (text.len == 0 || text.len > 256 || !(is_letter(text.ptr[0]) || text.ptr[0] == '/' || text.ptr[0] == '_')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_inner_space = c == ' ' && i + 1 < text.len && text.ptr[i + 1] != ' ';
        bool is_sign = c == '_' || c == '.' || c == '/' || c == '@' || c == '+' || c == '-';
        if (!is_letter(c) && !(c >= '0' && c <= '9') && !is_sign && !is_inner_space) {
            return false;
        }
    }
    return !is_word(text);
}

static uint32_t point_of(const uint8_t *p, size_t step)
{
    switch (step) {
    case 1:
        return p[0];
    case 2:
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3Fu);
    case 3:
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3Fu);
    default:
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 |
               (p[3] & 0x3Fu);
    }
}

/* Printable in YAML (section 5.1), no line break, no byte order mark. */
static bool is_shown(uint32_t c)
{
    return (c >= 0x20 && c <= 0x7E) || (c >= 0xA0 && c <= 0xD7FF && c != 0x2028 && c != 0x2029) ||
           (c >= 0xE000 && c <= 0xFFFD && c != 0xFEFF) || c >= 0x10000;
}

static void print_quoted(struct mln_buf *buf, struct mln_bytes text)
{
    buf_byte(buf, '"');
    for (size_t at = 0; at < text.len && !buf->has_failed;) {
        size_t step = utf8_step(text.ptr + at, text.len - at);
        uint32_t c = step == 0 ? 0xFFFD : point_of(text.ptr + at, step);
        if (step == 0) {
            buf_put(buf, "\xEF\xBF\xBD", 3);
        } else if (c == '"' || c == '\\') {
            char escape[2] = {'\\', (char)c};
            buf_put(buf, escape, 2);
        } else if (c == '\n' || c == '\t') {
            buf_put(buf, c == '\n' ? "\\n" : "\\t", 2);
        } else if (is_shown(c)) {
            buf_put(buf, text.ptr + at, step);
        } else {
            mln_buf_add_format(buf, "\\u%04x", c);
        }
        at += step == 0 ? 1 : step;
    }
    buf_byte(buf, '"');
}

static void print_text(struct mln_buf *buf, struct mln_bytes text)
{
    if (is_plain(text)) {
        buf_put(buf, text.ptr, text.len);
    } else {
        print_quoted(buf, text);
    }
}

/* ---- nodes ---- */

static bool is_block(const struct mln_value *v)
{
    return mln_type_of(v) >= MLN_ARRAY && v->len > 0;
}

static void print_indent(struct mln_buf *buf, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        buf_put(buf, "  ", 2);
    }
}

static void print_scalar(struct mln_buf *buf, const struct mln_value *v, unsigned style)
{
    if (mln_type_of(v) != MLN_STRING) {
        mln_json_print(buf, v, MLN_JSON_COMPACT); /* words, numbers, {} and [] are the same */
    } else if ((v->flags & MLN_VALUE_SECRET) != 0 && (style & MLN_JSON_HIDE) != 0) {
        print_quoted(buf, MLN_BYTES("(hidden)"));
    } else if ((v->flags & MLN_VALUE_BYTES) != 0) {
        buf_byte(buf, '"');
        mln_base64_print(buf, mln_get_bytes(v), MLN_B64_STD);
        buf_byte(buf, '"');
    } else {
        print_text(buf, mln_get_bytes(v));
    }
}

static void print_member(struct mln_buf *buf, const struct mln_member *m, unsigned style, unsigned depth)
{
    bool is_long = m->key.len > SIMPLE_KEY_MAX;
    if (is_long) {
        buf_put(buf, "? ", 2);
    }
    print_text(buf, m->key);
    if (is_long) {
        buf_byte(buf, '\n');
        print_indent(buf, depth);
    }
    buf_byte(buf, ':');
    if (is_block(&m->value)) {
        buf_byte(buf, '\n');
        print_indent(buf, depth + 1);
        print_node(buf, &m->value, style, depth + 1);
    } else {
        buf_byte(buf, ' ');
        print_scalar(buf, &m->value, style);
        buf_byte(buf, '\n');
    }
}

static void print_members(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    const struct mln_member **order = mln_alloc_array(v->len, sizeof(*order));
    if (order == NULL) {
        buf->has_failed = true;
        return;
    }
    if ((style & MLN_JSON_SORTED) != 0) {
        mln_members_sort(v, order);
    }
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        if (i > 0) {
            print_indent(buf, depth);
        }
        print_member(buf, (style & MLN_JSON_SORTED) != 0 ? order[i] : &v->members[i], style, depth);
    }
    mln_free(order);
}

static void print_items(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    for (size_t i = 0; i < v->len && !buf->has_failed; i++) {
        if (i > 0) {
            print_indent(buf, depth);
        }
        buf_put(buf, "- ", 2);
        print_node(buf, &v->items[i], style, depth + 1);
    }
}

/* The cursor stands where the node begins, behind its indent; afterwards at the start of a line. */
static void print_node(struct mln_buf *buf, const struct mln_value *v, unsigned style, unsigned depth)
{
    if (depth > DEPTH_HARD_MAX) {
        buf->has_failed = true;
        buf->is_over = true;
    } else if (!is_block(v)) {
        print_scalar(buf, v, style);
        buf_byte(buf, '\n');
    } else if (v->type == MLN_OBJECT) {
        print_members(buf, v, style, depth);
    } else {
        print_items(buf, v, style, depth);
    }
}

void mln_yaml_print(struct mln_buf *buf, const struct mln_value *v, unsigned json_style)
{
    print_node(buf, v, json_style, 0);
}
