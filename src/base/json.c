/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON to values (RFC 8259). One pass: finished members and items wait in cells on the C stack (on the heap when there are
 * many) until their container closes and moves them into the arena, whole. Printing: json_print.c.
 */
#include "base/json.h"

#include <string.h>

#include "base/json_priv.h"
#include "base/utf8_priv.h"
#include "base/value_priv.h"

#define CELLS_HERE 96 /* enough for an ordinary request */

/* An item of an array takes one cell, a member two (key, value): as they lie in an object. */
union cell {
    struct mln_bytes key;
    struct mln_value value;
};
static_assert(2 * sizeof(union cell) == sizeof(struct mln_member));

struct json {
    struct mln_cx *cx;
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    union cell *cells;
    size_t used;
    size_t cap;
    bool is_heap;
};

__attribute__((cold, noinline)) static bool refuse(struct json *j, const char *what, const uint8_t *at)
{
    size_t offset = (size_t)(at - j->start);
    if (at >= j->end) {
        (void)mln_fail(j->cx, MLN_E_PARSE, "json: text ends early at byte %zu", offset);
    } else {
        (void)mln_fail(j->cx, MLN_E_PARSE, "json: %s at byte %zu", what, offset);
    }
    return false;
}

/* ---- cells ---- */

__attribute__((cold, noinline)) static bool cells_grow(struct json *j)
{
    size_t cap = j->cap * 2;
    union cell *grown;
    if (j->is_heap) {
        grown = mln_realloc(j->cells, j->cap * sizeof(*grown), cap * sizeof(*grown), false);
    } else {
        grown = mln_alloc_array(cap, sizeof(*grown));
        if (grown != NULL) {
            mln_copy(grown, j->cells, j->used * sizeof(*grown));
        }
    }
    if (grown == NULL) {
        (void)mln_fail(j->cx, MLN_E_MEMORY, "out of memory: a document of %zu parts", j->used);
        return false;
    }
    j->cells = grown;
    j->cap = cap;
    j->is_heap = true;
    return true;
}

static inline bool cells_room(struct json *j, size_t n)
{
    return __builtin_expect(j->cap - j->used >= n, 1) || cells_grow(j);
}

/* ---- white space ---- */

static inline void skip_space(struct json *j)
{
    const uint8_t *at = j->at;
    while (at < j->end && *at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    j->at = at;
}

/* ---- strings ---- */

/* Four hexadecimal digits at p as a number, -1 when they are none. */
static int32_t hex4(const uint8_t *p)
{
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        uint8_t low = c | 0x20;
        if (c >= '0' && c <= '9') {
            sum = sum * 16 + (c - '0');
        } else if (low >= 'a' && low <= 'f') {
            sum = sum * 16 + (low - 'a' + 10);
        } else {
            return -1;
        }
    }
    return sum;
}

/* "\uXXXX" at p, with its second half where it is a surrogate: its length in the text, 0 when malformed. */
static size_t unicode_escape(const uint8_t *p, const uint8_t *end, uint32_t *ret_point)
{
    if (end - p < 6) {
        return 0;
    }
    int32_t high = hex4(p + 2);
    if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF)) {
        return 0;
    }
    *ret_point = (uint32_t)high;
    if (high < 0xD800 || high > 0xDBFF) {
        return 6;
    }
    if (end - p < 12 || p[6] != '\\' || p[7] != 'u') {
        return 0;
    }
    int32_t low = hex4(p + 8);
    if (low < 0xDC00 || low > 0xDFFF) {
        return 0;
    }
    *ret_point = 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
    return 12;
}

static int simple_escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return -1;
    }
}

/* Decode one escape at p to *to (when to is not NULL); its length in the text, 0 when malformed. */
static size_t escape_step(const uint8_t *p, const uint8_t *end, uint8_t **to)
{
    if (end - p < 2) {
        return 0;
    }
    if (p[1] == 'u') {
        uint32_t point = 0;
        size_t n = unicode_escape(p, end, &point);
        if (n != 0 && to != NULL) {
            *to += utf8_put(*to, point);
        }
        return n;
    }
    int c = simple_escape(p[1]);
    if (c < 0) {
        return 0;
    }
    if (to != NULL) {
        *(*to)++ = (uint8_t)c;
    }
    return 2;
}

/* From `at` to the closing quote, checking everything; NULL after recording the fault. */
static const uint8_t *string_end(struct json *j, const uint8_t *at, bool *ret_has_escape)
{
    for (;;) {
        at = json_plain_end(at, j->end);
        if (at == j->end) {
            refuse(j, "", at);
            return NULL;
        }
        size_t step = 0;
        if (*at == '"') {
            return at;
        }
        if (*at == '\\') {
            *ret_has_escape = true;
            step = escape_step(at, j->end, NULL);
            if (step == 0) {
                refuse(j, "bad escape", at);
                return NULL;
            }
        } else if (*at < ' ') {
            refuse(j, "control character in a string", at);
            return NULL;
        } else {
            step = utf8_step(at, (size_t)(j->end - at));
            if (step == 0) {
                refuse(j, "bad UTF-8", at);
                return NULL;
            }
        }
        at += step;
    }
}

/* The checked text from..end without its escapes, in the arena; it never grows. */
static bool string_unescape(struct json *j, const uint8_t *from, const uint8_t *end, struct mln_bytes *ret)
{
    uint8_t *copy = mln_new(j->cx, (size_t)(end - from));
    if (copy == NULL) {
        return false;
    }
    uint8_t *to = copy;
    while (from < end) {
        const uint8_t *slash = memchr(from, '\\', (size_t)(end - from));
        size_t plain = (size_t)((slash != NULL ? slash : end) - from);
        mln_copy(to, from, plain);
        to += plain;
        from += plain;
        if (slash != NULL) {
            from += escape_step(from, end, &to);
        }
    }
    *ret = mln_bytes_at(copy, (size_t)(to - copy));
    return true;
}

/* j->at stands behind the opening quote. */
static inline bool parse_string(struct json *j, struct mln_bytes *ret)
{
    const uint8_t *from = j->at;
    bool has_escape = false;
    const uint8_t *end = json_plain_end(from, j->end);
    if (__builtin_expect(end == j->end || *end != '"', 0)) {
        end = string_end(j, end, &has_escape);
        if (end == NULL) {
            return false;
        }
    }
    j->at = end + 1;
    if (has_escape) {
        return string_unescape(j, from, end, ret);
    }
    *ret = mln_bytes_at(from, (size_t)(end - from));
    return true;
}

/* ---- numbers and words ---- */

__attribute__((noinline)) static bool parse_number_slow(struct json *j, struct mln_value *to)
{
    bool is_int;
    struct mln_bytes rest = mln_bytes_at(j->at, (size_t)(j->end - j->at));
    size_t span = mln_number_span(rest, &is_int);
    if (span == 0 || !mln_number_of(to, mln_bytes_sub(rest, 0, span))) {
        return refuse(j, "bad number", j->at);
    }
    j->at += span;
    return true;
}

/* Up to 18 digits cannot overflow; everything else goes the slow way. */
static inline bool parse_number(struct json *j, struct mln_value *to)
{
    const uint8_t *p = j->at;
    bool is_negative = *p == '-';
    p += is_negative;
    const uint8_t *first = p;
    int64_t sum = 0;
    while (p < j->end && *p >= '0' && *p <= '9' && p - first < 18) {
        sum = sum * 10 + (*p - '0');
        p++;
    }
    bool is_plain = p > first && (*first != '0' || (p == first + 1 && !is_negative));
    if (is_plain && p < j->end) {
        is_plain = *p != '.' && (*p | 0x20) != 'e' && !(*p >= '0' && *p <= '9');
    }
    if (!is_plain) {
        return parse_number_slow(j, to);
    }
    *to = (struct mln_value){.type = MLN_INT, .integer = is_negative ? -sum : sum};
    j->at = p;
    return true;
}

static bool parse_word(struct json *j, const char *word, size_t n, struct mln_value v, struct mln_value *to)
{
    for (size_t i = 0; i < n; i++) {
        if (j->at + i >= j->end || j->at[i] != (uint8_t)word[i]) {
            return refuse(j, "unexpected character", j->at + i);
        }
    }
    j->at += n;
    *to = v;
    return true;
}

/* ---- containers ---- */

static bool parse_value(struct json *j, struct mln_value *to, unsigned depth);

static bool deeper(struct json *j, unsigned depth)
{
    return depth < MLN_VALUE_DEPTH_MAX || refuse(j, "nested too deep", j->at);
}

/* Behind an item: true with *ret_more, a comma passed over; false when neither comma nor `close` follows. */
static inline bool parse_next(struct json *j, uint8_t close, bool *ret_more)
{
    skip_space(j);
    if (j->at < j->end && (*j->at == ',' || *j->at == close)) {
        *ret_more = *j->at == ',';
        j->at++;
        return true;
    }
    return refuse(j, "expected a comma or the end of the container", j->at);
}

static bool too_many(struct json *j, size_t n)
{
    if (n <= MLN_VALUE_ITEMS_MAX) {
        return false;
    }
    (void)mln_fail(j->cx, MLN_E_TOO_LARGE, "json: more than %u items", MLN_VALUE_ITEMS_MAX);
    return true;
}

static bool close_array(struct json *j, size_t base, struct mln_value *to)
{
    size_t n = j->used - base;
    *to = (struct mln_value){.type = MLN_ARRAY, .len = (uint32_t)n};
    if (n > 0) {
        to->items = too_many(j, n) ? NULL : mln_new(j->cx, n * sizeof(union cell));
        if (to->items == NULL) {
            return false;
        }
        memcpy(to->items, &j->cells[base], n * sizeof(union cell));
    }
    j->used = base;
    return true;
}

static bool parse_array(struct json *j, struct mln_value *to, unsigned depth)
{
    size_t base = j->used;
    bool more = true;
    skip_space(j);
    if (j->at < j->end && *j->at == ']') {
        j->at++;
        more = false;
    }
    while (more) {
        struct mln_value item;
        if (!parse_value(j, &item, depth + 1) || !cells_room(j, 1)) {
            return false;
        }
        j->cells[j->used++].value = item;
        if (!parse_next(j, ']', &more)) {
            return false;
        }
    }
    return close_array(j, base, to);
}

__attribute__((cold)) static bool refuse_twice(struct json *j, struct mln_bytes key)
{
    bool is_borrowed = key.ptr >= j->start && key.ptr < j->end;
    size_t at = (size_t)((is_borrowed ? key.ptr - 1 : j->at - 1) - j->start);
    (void)mln_fail(j->cx, MLN_E_PARSE, "json: duplicate key \"%.*s\" at byte %zu",
                   MLN_FMT(mln_bytes_sub(key, 0, 64)), at);
    return false;
}

static bool close_object(struct json *j, size_t base, struct mln_value *to)
{
    size_t n = (j->used - base) / 2;
    *to = (struct mln_value){.type = MLN_OBJECT, .len = (uint32_t)n};
    if (n > 0) {
        struct mln_member *members = too_many(j, n) ? NULL : mln_members_new(j->cx, n);
        if (members == NULL) {
            return false;
        }
        memcpy(members, &j->cells[base], n * sizeof(*members));
        to->members = members;
        size_t twice;
        if (!mln_members_seal(j->cx, to, &twice)) {
            return twice != SIZE_MAX ? refuse_twice(j, members[twice].key) : false;
        }
    }
    j->used = base;
    return true;
}

/* `"key" :` into a cell. */
static inline bool parse_key(struct json *j)
{
    skip_space(j);
    if (j->at == j->end || *j->at != '"') {
        return refuse(j, "expected a key", j->at);
    }
    j->at++;
    struct mln_bytes key;
    if (!parse_string(j, &key)) {
        return false;
    }
    skip_space(j);
    if (j->at == j->end || *j->at != ':') {
        return refuse(j, "expected a colon", j->at);
    }
    j->at++;
    if (!cells_room(j, 2)) {
        return false;
    }
    j->cells[j->used++].key = key;
    return true;
}

static bool parse_object(struct json *j, struct mln_value *to, unsigned depth)
{
    size_t base = j->used;
    bool more = true;
    skip_space(j);
    if (j->at < j->end && *j->at == '}') {
        j->at++;
        more = false;
    }
    while (more) {
        struct mln_value item;
        if (!parse_key(j) || !parse_value(j, &item, depth + 1) || !cells_room(j, 1)) {
            return false;
        }
        j->cells[j->used++].value = item;
        if (!parse_next(j, '}', &more)) {
            return false;
        }
    }
    return close_object(j, base, to);
}

static bool parse_value(struct json *j, struct mln_value *to, unsigned depth)
{
    skip_space(j);
    if (j->at == j->end) {
        return refuse(j, "", j->at);
    }
    struct mln_bytes text;
    switch (*j->at) {
    case '"':
        j->at++;
        if (!parse_string(j, &text)) {
            return false;
        }
        if (text.len > UINT32_MAX) {
            return refuse(j, "string too long", text.ptr);
        }
        *to = (struct mln_value){.type = MLN_STRING, .len = (uint32_t)text.len, .text = text.ptr};
        return true;
    case '{':
        j->at++;
        return deeper(j, depth) && parse_object(j, to, depth);
    case '[':
        j->at++;
        return deeper(j, depth) && parse_array(j, to, depth);
    case 't':
        return parse_word(j, "true", 4, (struct mln_value){.type = MLN_BOOL, .boolean = true}, to);
    case 'f':
        return parse_word(j, "false", 5, (struct mln_value){.type = MLN_BOOL}, to);
    case 'n':
        return parse_word(j, "null", 4, (struct mln_value){.type = MLN_NULL}, to);
    default:
        if (*j->at == '-' || (*j->at >= '0' && *j->at <= '9')) {
            return parse_number(j, to);
        }
        return refuse(j, "unexpected character", j->at);
    }
}

/* ---- entry ---- */

static bool parse_document(struct json *j, struct mln_bytes text, bool whole, struct mln_value *to)
{
    static const uint8_t none[1];
    j->start = text.ptr != NULL ? text.ptr : none;
    j->at = j->start;
    j->end = j->start + text.len;
    if (!parse_value(j, to, 0)) {
        return false;
    }
    skip_space(j);
    return !whole || j->at == j->end || refuse(j, "text behind the document", j->at);
}

static struct mln_err parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret, size_t *ret_used)
{
    union cell here[CELLS_HERE] __attribute__((uninitialized));
    struct json j = {.cx = cx, .cells = here, .cap = CELLS_HERE};
    struct mln_value *root = mln_new(cx, sizeof(*root));
    bool is_good = root != NULL && parse_document(&j, text, ret_used == NULL, root);
    if (j.is_heap) {
        mln_free(j.cells);
    }
    if (!is_good) {
        return mln_cx_err(cx);
    }
    if (ret_used != NULL) {
        *ret_used = (size_t)(j.at - j.start);
    }
    *ret = root;
    return MLN_OK;
}

struct mln_err mln_json_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret)
{
    return parse(cx, text, ret, NULL);
}

struct mln_err mln_json_parse_prefix(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret,
                                     size_t *ret_used)
{
    return parse(cx, text, ret, ret_used);
}
