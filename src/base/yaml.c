/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to values by libyaml's events. Plain scalars resolve by the core schema of YAML 1.2 (section 10.3.2); infinities and
 * NaN are refused, since values have none. A key is the text of its scalar, whatever that would resolve to; "<<" is no key.
 * Printing: yaml_print.c.
 */
#include "base/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/value_priv.h"
#include "base/yaml_priv.h"

struct reader {
    struct mln_cx *cx;
    yaml_parser_t *parser;
    yaml_event_t event; /* the one being looked at */
    bool has_event;
    bool may_follow; /* other documents, which are passed over */
};

static struct mln_err refuse(const struct reader *r, yaml_mark_t at, const char *what)
{
    return mln_fail(r->cx, MLN_E_PARSE, "yaml: line %zu, column %zu: %s", at.line + 1, at.column + 1, what);
}

static void event_drop(struct reader *r)
{
    if (r->has_event) {
        yaml_event_delete(&r->event);
        r->has_event = false;
    }
}

static struct mln_err next(struct reader *r)
{
    event_drop(r);
    if (yaml_parser_parse(r->parser, &r->event)) {
        r->has_event = true;
        return MLN_OK;
    }
    const yaml_parser_t *p = r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return mln_fail(r->cx, MLN_E_MEMORY, "out of memory: yaml");
    }
    const char *what = p->problem != NULL ? p->problem : "malformed";
    if (p->error == YAML_READER_ERROR) {
        return mln_fail(r->cx, MLN_E_PARSE, "yaml: %s at byte %zu", what, p->problem_offset);
    }
    return refuse(r, p->problem_mark, what);
}

/* ---- scalars ---- */

static bool is_one_of(struct mln_bytes text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is(text, words[i])) {
            return true;
        }
    }
    return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL"};
static const char *const true_words[] = {"true", "True", "TRUE"};
static const char *const false_words[] = {"false", "False", "FALSE"};

/* 0o17 and 0x1F: digits of a power-of-two base that fit 63 bits. */
static bool based_int(struct mln_bytes text, int64_t *ret)
{
    if (text.len < 3 || text.ptr[0] != '0' || (text.ptr[1] != 'o' && text.ptr[1] != 'x')) {
        return false;
    }
    unsigned shift = text.ptr[1] == 'o' ? 3 : 4;
    uint64_t sum = 0;
    for (size_t i = 2; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        uint8_t low = c | 0x20;
        int digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : 99;
        if (digit >= 1 << shift || sum >> (63 - shift) != 0) {
            return false;
        }
        sum = sum << shift | (unsigned)digit;
    }
    *ret = (int64_t)sum;
    return true;
}

/*
 * Bring a core-schema number into JSON's spelling in to[text.len + 3]: no plus, no leading zeros, digits on both sides of
 * the point. 0 when it is no number; JSON's grammar is checked afterwards.
 */
static size_t json_spelling(struct mln_bytes text, char *to)
{
    size_t n = 0;
    size_t at = 0;
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        if (text.ptr[0] == '-') {
            to[n++] = '-';
        }
        at = 1;
    }
    size_t digits = 0;
    while (at + 1 < text.len && text.ptr[at] == '0' && text.ptr[at + 1] >= '0' && text.ptr[at + 1] <= '9') {
        at++;
    }
    if (at < text.len && text.ptr[at] == '.') {
        to[n++] = '0';
    }
    for (; at < text.len; at++) {
        char c = (char)text.ptr[at];
        to[n++] = c;
        digits += c >= '0' && c <= '9';
        bool ends = at + 1 == text.len || (text.ptr[at + 1] | 0x20) == 'e';
        if (c == '.' && ends) {
            if (digits == 0) {
                return 0;
            }
            n--; /* "1." is 1 */
        }
    }
    return digits > 0 ? n : 0;
}

static bool number_set(struct mln_cx *cx, struct mln_bytes text, struct mln_value *to)
{
    int64_t integer;
    if (based_int(text, &integer)) {
        *to = (struct mln_value){.type = MLN_INT, .integer = integer};
        return true;
    }
    if (text.len == 0 || text.len > MLN_DECIMAL_DIGITS_MAX || strchr("+-.0123456789", text.ptr[0]) == NULL) {
        return false;
    }
    char *spelled = mln_new(cx, text.len + 3);
    size_t n = spelled != NULL ? json_spelling(text, spelled) : 0;
    return n > 0 && mln_number_of(to, mln_bytes_at(spelled, n));
}

static bool is_infinite_or_nan(struct mln_bytes text)
{
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        text = mln_bytes_from(text, 1);
    }
    static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    return is_one_of(text, words, MLN_COUNT(words));
}

bool mln_yaml_resolve(struct mln_cx *cx, struct mln_bytes text, struct mln_value *to)
{
    if (is_one_of(text, null_words, MLN_COUNT(null_words))) {
        *to = (struct mln_value){.type = MLN_NULL};
        return true;
    }
    bool is_true = is_one_of(text, true_words, MLN_COUNT(true_words));
    if (is_true || is_one_of(text, false_words, MLN_COUNT(false_words))) {
        *to = (struct mln_value){.type = MLN_BOOL, .boolean = is_true};
        return true;
    }
    return number_set(cx, text, to);
}

static struct mln_err string_set(struct reader *r, struct mln_bytes text, struct mln_value *to)
{
    struct mln_bytes copy = mln_bytes_dup(r->cx, text);
    *to = (struct mln_value){.type = MLN_STRING, .len = (uint32_t)copy.len, .text = copy.ptr};
    return mln_cx_err(r->cx);
}

#define CORE_TAG "tag:yaml.org,2002:"

/* The core tag of an event without its prefix: "str", "" when there is none, NULL when it is another's. */
static const char *core_tag(const yaml_char_t *tag)
{
    const char *text = (const char *)tag;
    if (text == NULL) {
        return "";
    }
    if (strcmp(text, "!") == 0) {
        return "str";
    }
    return strncmp(text, CORE_TAG, strlen(CORE_TAG)) == 0 ? text + strlen(CORE_TAG) : NULL;
}

static bool fits_tag(const char *tag, enum mln_type type)
{
    switch (type) {
    case MLN_NULL:
        return strcmp(tag, "null") == 0;
    case MLN_BOOL:
        return strcmp(tag, "bool") == 0;
    case MLN_INT:
        return strcmp(tag, "int") == 0 || strcmp(tag, "float") == 0;
    case MLN_DECIMAL:
        return strcmp(tag, "float") == 0;
    case MLN_STRING:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
        return false;
    }
    return false;
}

static struct mln_err parse_scalar(struct reader *r, struct mln_value *to)
{
    yaml_mark_t at = r->event.start_mark;
    struct mln_bytes text = mln_bytes_at(r->event.data.scalar.value, r->event.data.scalar.length);
    const char *tag = core_tag(r->event.data.scalar.tag);
    bool is_plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (tag == NULL) {
        return refuse(r, at, "tags of others are refused");
    }
    if (strcmp(tag, "str") == 0 || (tag[0] == '\0' && !is_plain)) {
        return string_set(r, text, to);
    }
    if (is_infinite_or_nan(text) && (tag[0] == '\0' || strcmp(tag, "float") == 0)) {
        return refuse(r, at, "infinities and NaN are refused");
    }
    bool is_resolved = mln_yaml_resolve(r->cx, text, to);
    MLN_TRY(mln_cx_err(r->cx));
    if (tag[0] == '\0') {
        return is_resolved ? MLN_OK : string_set(r, text, to);
    }
    if (!is_resolved || !fits_tag(tag, mln_type_of(to))) {
        return refuse(r, at, "the value is not what its tag says");
    }
    return MLN_OK;
}

/* ---- nodes ---- */

static struct mln_err parse_node(struct reader *r, struct mln_value *to, unsigned depth);

static struct mln_err parse_list(struct reader *r, struct mln_value *to, unsigned depth)
{
    struct mln_value *list = mln_array(r->cx);
    for (;;) {
        MLN_TRY(next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) {
            break;
        }
        struct mln_value item;
        MLN_TRY(parse_node(r, &item, depth + 1));
        mln_push(r->cx, list, &item);
    }
    *to = *list;
    return mln_cx_err(r->cx);
}

static struct mln_err parse_key(struct reader *r, const struct mln_value *map, struct mln_bytes *ret)
{
    yaml_mark_t at = r->event.start_mark;
    if (r->event.type != YAML_SCALAR_EVENT) {
        return refuse(r, at, "keys must be text");
    }
    const char *tag = core_tag(r->event.data.scalar.tag);
    if (r->event.data.scalar.anchor != NULL || tag == NULL || (tag[0] != '\0' && strcmp(tag, "str") != 0)) {
        return refuse(r, at, "keys must be text without anchor and tag");
    }
    struct mln_bytes key = mln_bytes_at(r->event.data.scalar.value, r->event.data.scalar.length);
    bool is_plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_plain && (key.len == 0 || mln_bytes_is(key, "<<"))) {
        return refuse(r, at, key.len == 0 ? "a key is missing" : "merge keys are refused");
    }
    if (mln_get_key(map, key) != NULL) {
        return refuse(r, at, "duplicate key");
    }
    *ret = mln_bytes_dup(r->cx, key);
    return mln_cx_err(r->cx);
}

static struct mln_err parse_map(struct reader *r, struct mln_value *to, unsigned depth)
{
    struct mln_value *map = mln_object(r->cx);
    for (;;) {
        MLN_TRY(next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) {
            break;
        }
        struct mln_bytes key;
        struct mln_value item;
        MLN_TRY(parse_key(r, map, &key));
        MLN_TRY(next(r));
        MLN_TRY(parse_node(r, &item, depth + 1));
        mln_put_key(r->cx, map, key, &item);
    }
    *to = *map;
    return mln_cx_err(r->cx);
}

static struct mln_err container_ok(const struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag,
                                   const char *want, unsigned depth)
{
    const char *core = core_tag(tag);
    if (anchor != NULL) {
        return refuse(r, r->event.start_mark, "anchors are refused");
    }
    if (core == NULL || (core[0] != '\0' && strcmp(core, want) != 0)) {
        return refuse(r, r->event.start_mark, "tags of others are refused");
    }
    if (depth >= MLN_VALUE_DEPTH_MAX) {
        return refuse(r, r->event.start_mark, "nested too deep");
    }
    return MLN_OK;
}

static struct mln_err parse_node(struct reader *r, struct mln_value *to, unsigned depth)
{
    switch ((int)r->event.type) {
    case YAML_SCALAR_EVENT:
        if (r->event.data.scalar.anchor != NULL) {
            return refuse(r, r->event.start_mark, "anchors are refused");
        }
        return parse_scalar(r, to);
    case YAML_SEQUENCE_START_EVENT:
        MLN_TRY(container_ok(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag, "seq", depth));
        return parse_list(r, to, depth);
    case YAML_MAPPING_START_EVENT:
        MLN_TRY(container_ok(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag, "map", depth));
        return parse_map(r, to, depth);
    case YAML_ALIAS_EVENT:
        return refuse(r, r->event.start_mark, "aliases are refused");
    default:
        return refuse(r, r->event.start_mark, "unexpected structure");
    }
}

static struct mln_err parse_stream(struct reader *r, struct mln_value *to)
{
    MLN_TRY(next(r)); /* start of the stream */
    MLN_TRY(next(r));
    *to = (struct mln_value){.type = MLN_NULL};
    if (r->event.type == YAML_STREAM_END_EVENT) {
        return MLN_OK;
    }
    MLN_TRY(next(r));
    MLN_TRY(parse_node(r, to, 0));
    MLN_TRY(next(r)); /* end of the document */
    MLN_TRY(next(r));
    while (r->may_follow && r->event.type != YAML_STREAM_END_EVENT) {
        MLN_TRY(next(r));
    }
    if (r->event.type != YAML_STREAM_END_EVENT) {
        return refuse(r, r->event.start_mark, "more than one document");
    }
    return MLN_OK;
}

static struct mln_err parse(struct mln_cx *cx, struct mln_bytes text, bool may_follow,
                            const struct mln_value **ret)
{
    yaml_parser_t parser;
    struct mln_value *root = mln_new(cx, sizeof(*root));
    if (root == NULL) {
        return mln_cx_err(cx);
    }
    if (!yaml_parser_initialize(&parser)) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory: yaml");
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.ptr != NULL ? text.ptr : (const uint8_t *)"", text.len);
    struct reader r = {.cx = cx, .parser = &parser, .may_follow = may_follow};
    struct mln_err err = parse_stream(&r, root);
    event_drop(&r);
    yaml_parser_delete(&parser);
    MLN_TRY(err);
    *ret = root;
    return MLN_OK;
}

struct mln_err mln_yaml_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret)
{
    return parse(cx, text, false, ret);
}

struct mln_err mln_yaml_parse_first(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret)
{
    return parse(cx, text, true, ret);
}
