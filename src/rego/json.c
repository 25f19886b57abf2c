/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON into values (RFC 8259): the last of duplicate keys wins, as in Go. Short strings that came lately are shared, which
 * makes data small; scratch holds the items of open containers, so that each is made in its size.
 */
#include "rego/val_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "rego/rego.h"

#define SHARED_SLOTS     4096u
#define SHARED_SLOTS_FEW 128u /* for small texts: on the stack */
#define SHARED_LEN_MOST  48u

struct reader {
    struct rg_heap *heap;
    const uint8_t *at, *end, *begin;
    const char *error;
    struct rg_val *scratch;
    size_t scratch_len, scratch_cap;
    const struct rg_str **shared;
    uint32_t shared_mask;
    unsigned depth;
};

static struct rg_val read_value(struct reader *r);

static struct rg_val refuse(struct reader *r, const char *what)
{
    if (r->error == NULL) {
        r->error =
            rg_text_format(r->heap, "json: %s at byte %zu", what, (size_t)(r->at - r->begin));
    }
    return RG_NONE;
}

static void skip_blank(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) {
        r->at++;
    }
}

static bool push(struct reader *r, struct rg_val v)
{
    if (r->scratch_len == r->scratch_cap) {
        size_t cap = r->scratch_cap < 64 ? 64 : r->scratch_cap * 2;
        void *more = mln_realloc(r->scratch, r->scratch_len * sizeof(v), cap * sizeof(v), false);
        if (more == NULL) {
            (void)refuse(r, "no memory");
            return false;
        }
        r->scratch = more;
        r->scratch_cap = cap;
    }
    r->scratch[r->scratch_len++] = v;
    return true;
}

static struct rg_val share(struct reader *r, struct mln_bytes text)
{
    if (text.len > SHARED_LEN_MOST) {
        return rg_string(r->heap, text);
    }
    uint32_t hash = rg_hash_bytes(text.ptr, text.len);
    const struct rg_str **slot = &r->shared[hash & r->shared_mask];
    if (*slot == NULL || (*slot)->hash != hash || (*slot)->len != text.len ||
        !mln_same((*slot)->text, text.ptr, text.len)) {
        struct rg_val v = rg_string(r->heap, text);
        *slot = v.str;
        return v;
    }
    return (struct rg_val){.tag = RG_STR, .hash = hash, .str = *slot};
}

static bool read_hex4(struct reader *r, uint32_t *ret)
{
    if (r->end - r->at < 4) {
        return false;
    }
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t c = *r->at++;
        uint32_t d = c >= '0' && c <= '9'                 ? c - '0'
                     : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                          : 16;
        if (d > 15) {
            return false;
        }
        v = v * 16 + d;
    }
    *ret = v;
    return true;
}

void rg_add_rune(struct mln_buf *buf, uint32_t c)
{
    if (c < 0x80) {
        mln_buf_add_byte(buf, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        mln_buf_add_byte(buf, (uint8_t)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        mln_buf_add_byte(buf, (uint8_t)(0xe0 | c >> 12));
        mln_buf_add_byte(buf, (uint8_t)(0x80 | (c >> 6 & 63)));
    } else {
        mln_buf_add_byte(buf, (uint8_t)(0xf0 | c >> 18));
        mln_buf_add_byte(buf, (uint8_t)(0x80 | (c >> 12 & 63)));
        mln_buf_add_byte(buf, (uint8_t)(0x80 | (c >> 6 & 63)));
    }
    mln_buf_add_byte(buf, (uint8_t)(0x80 | (c & 63)));
}

static bool read_unicode(struct reader *r, struct mln_buf *buf)
{
    uint32_t c = 0, low = 0;
    if (!read_hex4(r, &c)) {
        return false;
    }
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        const uint8_t *back = r->at;
        r->at += 2;
        if (!read_hex4(r, &low)) {
            return false;
        }
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        } else {
            r->at = back;
        }
    }
    rg_add_rune(buf, c >= 0xd800 && c < 0xe000 ? 0xfffd : c); /* Go puts U+FFFD for half a pair */
    return true;
}

static bool read_escape(struct reader *r, struct mln_buf *buf)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) {
        return false;
    }
    uint8_t c = *r->at++;
    if (c == 'u') {
        return read_unicode(r, buf);
    }
    for (size_t i = 0; i < sizeof(from) - 1; i++) {
        if (c == (uint8_t)from[i]) {
            mln_buf_add_byte(buf, (uint8_t)to[i]);
            return true;
        }
    }
    return false;
}

static struct rg_val read_escaped(struct reader *r, const uint8_t *from)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_buf_add(&buf, from, (size_t)(r->at - from));
    while (r->at < r->end && *r->at != '"') {
        uint8_t c = *r->at++;
        if (c < 0x20) {
            return refuse(r, "control character in a string");
        }
        if (c != '\\') {
            mln_buf_add_byte(&buf, c);
        } else if (!read_escape(r, &buf)) {
            return refuse(r, "bad escape");
        }
    }
    if (r->at == r->end || buf.has_failed || !mln_utf8_valid(mln_buf_bytes(&buf))) {
        return refuse(r, "string without end or not UTF-8");
    }
    r->at++;
    return share(r, mln_buf_bytes(&buf));
}

static struct rg_val read_string(struct reader *r)
{
    const uint8_t *from = ++r->at;
    uint8_t high = 0;
    while (r->at < r->end && *r->at != '"' && *r->at != '\\' && *r->at >= 0x20) {
        high |= *r->at++;
    }
    if (r->at == r->end) {
        return refuse(r, "string without end");
    }
    if (*r->at != '"') {
        return read_escaped(r, from);
    }
    struct mln_bytes text = mln_bytes_at(from, (size_t)(r->at - from));
    if (high >= 0x80 && !mln_utf8_valid(text)) {
        return refuse(r, "not UTF-8");
    }
    r->at++;
    return share(r, text);
}

static size_t digits(struct reader *r)
{
    const uint8_t *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return (size_t)(r->at - from);
}

static struct rg_val read_number(struct reader *r)
{
    const uint8_t *from = r->at;
    r->at += *r->at == '-';
    bool zero = r->at < r->end && *r->at == '0';
    size_t n = digits(r);
    bool ok = n > 0 && (!zero || n == 1);
    if (ok && r->at < r->end && *r->at == '.') {
        r->at++;
        ok = digits(r) > 0;
    }
    bool has_exponent = ok && r->at < r->end && (*r->at | 32) == 'e';
    if (has_exponent) {
        r->at++;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        ok = digits(r) > 0;
    }
    size_t len = (size_t)(r->at - from);
    if (!ok || len > MLN_DECIMAL_DIGITS_MAX) {
        return refuse(r, "bad number");
    }
    if (has_exponent && !rg_num_in_range(mln_bytes_at(from, len))) {
        return refuse(r, "invalid number: number too big");
    }
    return rg_number(r->heap, mln_bytes_at(from, len));
}

static struct rg_val read_word(struct reader *r)
{
    static const struct {
        const char *word;
        size_t len;
        struct rg_val v;
    } words[] = {{"null", 4, {.tag = RG_NULL}},
                 {"true", 4, {.tag = RG_BOOL, .integer = 1}},
                 {"false", 5, {.tag = RG_BOOL}}};
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        if ((size_t)(r->end - r->at) >= words[i].len &&
            mln_same(r->at, words[i].word, words[i].len)) {
            r->at += words[i].len;
            return words[i].v;
        }
    }
    return refuse(r, "no value");
}

/* Behind an item: true when another follows, false at the end or at an error. */
static bool goes_on(struct reader *r, uint8_t close)
{
    skip_blank(r);
    if (r->at == r->end || r->error != NULL) {
        (void)refuse(r, "container without end");
        return false;
    }
    uint8_t c = *r->at++;
    if (c != ',' && c != close) {
        (void)refuse(r, "no comma");
    }
    return c == ',';
}

static bool is_empty(struct reader *r, uint8_t close)
{
    r->at++;
    skip_blank(r);
    if (r->at < r->end && *r->at == close) {
        r->at++;
        return true;
    }
    return false;
}

static struct rg_val read_array(struct reader *r)
{
    size_t base = r->scratch_len;
    if (!is_empty(r, ']')) {
        do {
            struct rg_val v = read_value(r);
            if (v.tag == RG_UNDEF || !push(r, v)) {
                return RG_NONE;
            }
        } while (goes_on(r, ']'));
    }
    size_t n = r->scratch_len - base;
    struct rg_val out = rg_array(r->heap, (uint32_t)n);
    if (out.arr->cap >= n) {
        mln_copy(out.arr->items, r->scratch + base, n * sizeof(out));
        out.arr->len = (uint32_t)n;
        for (size_t i = 0; i < n; i++) {
            rg_weigh(r->heap, out, out.arr->items[i]);
        }
    }
    r->scratch_len = base;
    return out;
}

static bool read_member(struct reader *r)
{
    skip_blank(r);
    if (r->at == r->end || *r->at != '"') {
        (void)refuse(r, "no key");
        return false;
    }
    struct rg_val key = read_string(r);
    skip_blank(r);
    if (key.tag == RG_UNDEF || r->at == r->end || *r->at != ':') {
        (void)refuse(r, "no colon");
        return false;
    }
    r->at++;
    struct rg_val v = read_value(r);
    return v.tag != RG_UNDEF && push(r, key) && push(r, v);
}

static struct rg_val read_object(struct reader *r)
{
    size_t base = r->scratch_len;
    if (!is_empty(r, '}')) {
        do {
            if (!read_member(r)) {
                return RG_NONE;
            }
        } while (goes_on(r, '}'));
    }
    size_t n = (r->scratch_len - base) / 2;
    struct rg_val out = rg_object(r->heap, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        rg_put(r->heap, out, r->scratch[base + 2 * i], r->scratch[base + 2 * i + 1]);
    }
    r->scratch_len = base;
    return out;
}

static struct rg_val read_value(struct reader *r)
{
    skip_blank(r);
    if (r->at == r->end || r->error != NULL) {
        return refuse(r, "no value");
    }
    uint8_t c = *r->at;
    if (c == '"') {
        return read_string(r);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return read_number(r);
    }
    if (c != '{' && c != '[') {
        return read_word(r);
    }
    if (++r->depth > MLN_REGO_JSON_DEPTH_MAX) {
        return refuse(r, "nested too deep");
    }
    struct rg_val v = c == '{' ? read_object(r) : read_array(r);
    r->depth--;
    return v;
}

struct rg_val rg_json_parse(struct rg_heap *heap, struct mln_bytes text, const char **ret_error)
{
    static const uint8_t nothing = 0;
    const uint8_t *from = text.ptr == NULL ? &nothing : text.ptr;
    struct reader r = {.heap = heap, .at = from, .begin = from, .end = from + text.len};
    MLN_AUTO(mln_free_drop) const struct rg_str **shared = NULL;
    const struct rg_str *few[SHARED_SLOTS_FEW] = {NULL};
    if (text.len > 65536) {
        shared = mln_alloc_array(SHARED_SLOTS, sizeof(*shared));
    }
    r.shared = shared != NULL ? shared : few;
    r.shared_mask = (shared != NULL ? SHARED_SLOTS : SHARED_SLOTS_FEW) - 1;
    struct rg_val v = read_value(&r);
    skip_blank(&r);
    if (r.error == NULL && r.at != r.end) {
        (void)refuse(&r, "text behind the value");
    }
    if (r.error == NULL && rg_heap_is_over(heap)) {
        (void)refuse(&r, "more memory than allowed");
    }
    mln_free(r.scratch);
    *ret_error = r.error;
    return r.error != NULL ? RG_NONE : v;
}
