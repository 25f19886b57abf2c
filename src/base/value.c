/* SPDX-License-Identifier: Apache-2.0 */
/* Building and reading values. Order, equality and copies: value_cmp.c; number literals: number.c. */
#include "base/value.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/value_priv.h"

/* What constructors give when the arena is exhausted; put and push leave it alone. */
static struct mln_value exhausted = {.type = MLN_NULL};

/* ---- constructors ---- */

static struct mln_value *value_new(struct mln_cx *cx, enum mln_type type)
{
    struct mln_value *v = mln_new(cx, sizeof(*v));
    if (__builtin_expect(v == NULL, 0)) {
        return &exhausted;
    }
    v->type = (uint8_t)type;
    return v;
}

struct mln_value *mln_null(struct mln_cx *cx)
{
    return value_new(cx, MLN_NULL);
}

struct mln_value *mln_bool(struct mln_cx *cx, bool b)
{
    struct mln_value *v = value_new(cx, MLN_BOOL);
    if (v != &exhausted) {
        v->boolean = b;
    }
    return v;
}

struct mln_value *mln_int(struct mln_cx *cx, int64_t i)
{
    struct mln_value *v = value_new(cx, MLN_INT);
    if (v != &exhausted) {
        v->integer = i;
    }
    return v;
}

struct mln_value *mln_double(struct mln_cx *cx, double d)
{
    if (!__builtin_isfinite(d)) {
        return mln_null(cx);
    }
    char text[32];
    size_t n = mln_double_print(text, d);
    struct mln_bytes literal = mln_bytes_dup(cx, mln_bytes_at(text, n));
    return literal.ptr != NULL ? mln_decimal(cx, literal) : &exhausted;
}

struct mln_value *mln_decimal(struct mln_cx *cx, struct mln_bytes literal)
{
    struct mln_value number = {0};
    if (!mln_number_of(&number, literal)) {
        (void)mln_fail(cx, MLN_E_INVALID, "not a number: \"%.*s\"", MLN_FMT(mln_bytes_sub(literal, 0, 40)));
        return &exhausted;
    }
    struct mln_value *v = value_new(cx, MLN_NULL);
    if (v != &exhausted) {
        *v = number;
    }
    return v;
}

/* A view as a string value; false when it is longer than a value can hold. */
static bool string_set(struct mln_cx *cx, struct mln_value *v, struct mln_bytes text)
{
    if (text.len > UINT32_MAX) {
        (void)mln_fail(cx, MLN_E_TOO_LARGE, "too large: a string of %zu bytes", text.len);
        return false;
    }
    *v = (struct mln_value){.type = MLN_STRING, .len = (uint32_t)text.len, .text = text.ptr};
    return true;
}

struct mln_value *mln_string(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_value *v = value_new(cx, MLN_STRING);
    return v != &exhausted && string_set(cx, v, text) ? v : &exhausted;
}

struct mln_value *mln_string_dup(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_bytes copy = mln_bytes_dup(cx, text);
    return copy.ptr != NULL ? mln_string(cx, copy) : &exhausted;
}

struct mln_value *mln_text(struct mln_cx *cx, const char *text)
{
    return text != NULL ? mln_string(cx, mln_bytes_of(text)) : mln_null(cx);
}

struct mln_value *mln_textf(struct mln_cx *cx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n >= 0 ? mln_new(cx, (size_t)n + 1) : NULL;
    if (text == NULL) {
        return &exhausted;
    }
    va_start(args, format);
    (void)vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return mln_string(cx, mln_bytes_at(text, (size_t)n));
}

static struct mln_value *string_marked(struct mln_cx *cx, struct mln_bytes text, uint8_t flags)
{
    struct mln_value *v = mln_string(cx, text);
    if (v != &exhausted) {
        v->flags = flags;
    }
    return v;
}

struct mln_value *mln_secret_string(struct mln_cx *cx, struct mln_bytes text)
{
    return string_marked(cx, text, MLN_VALUE_SECRET);
}

struct mln_value *mln_blob(struct mln_cx *cx, struct mln_bytes bytes)
{
    return string_marked(cx, bytes, MLN_VALUE_BYTES);
}

struct mln_value *mln_array(struct mln_cx *cx)
{
    return value_new(cx, MLN_ARRAY);
}

struct mln_value *mln_object(struct mln_cx *cx)
{
    return value_new(cx, MLN_OBJECT);
}

struct mln_value *mln_set(struct mln_cx *cx)
{
    return value_new(cx, MLN_SET);
}

/* ---- arrays and sets ---- */

static bool items_reserve(struct mln_cx *cx, struct mln_value *v)
{
    if (v->spare != 0 && v->len < 1u << v->spare) {
        return true;
    }
    if (v->len >= MLN_VALUE_ITEMS_MAX) {
        (void)mln_fail(cx, MLN_E_TOO_LARGE, "too large: more than %u items", MLN_VALUE_ITEMS_MAX);
        return false;
    }
    uint16_t shift = 2;
    while (1u << shift <= v->len) {
        shift++;
    }
    struct mln_value *grown = mln_new_array(cx, (size_t)1 << shift, sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    mln_copy(grown, v->items, v->len * sizeof(*grown));
    v->items = grown;
    v->spare = shift;
    return true;
}

/* Where `item` stands or belongs in a sorted set. */
static size_t set_find(const struct mln_value *set, const struct mln_value *item, bool *ret_is_there)
{
    size_t low = 0;
    size_t high = set->len;
    *ret_is_there = false;
    if (high > 0 && mln_value_cmp(&set->items[high - 1], item) < 0) {
        return high; /* sorted input appends */
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = mln_value_cmp(&set->items[middle], item);
        if (order == 0) {
            *ret_is_there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void mln_push(struct mln_cx *cx, struct mln_value *array, const struct mln_value *item)
{
    MLN_CHECK(array != NULL);
    if (array == &exhausted) {
        (void)mln_fail(cx, MLN_E_MEMORY, "out of memory: a list could not be made");
        return;
    }
    MLN_CHECK(array->type == MLN_ARRAY || array->type == MLN_SET);
    struct mln_value copy = item != NULL ? *item : exhausted;
    size_t at = array->len;
    if (array->type == MLN_SET) {
        bool is_there;
        at = set_find(array, &copy, &is_there);
        if (is_there) {
            return;
        }
    }
    if (items_reserve(cx, array)) {
        if (at < array->len) {
            mln_move(&array->items[at + 1], &array->items[at], (array->len - at) * sizeof(copy));
        }
        array->items[at] = copy;
        array->len++;
    }
}

void mln_push_text(struct mln_cx *cx, struct mln_value *array, const char *text)
{
    struct mln_value v = {.type = MLN_NULL};
    if (text == NULL || string_set(cx, &v, mln_bytes_of(text))) {
        mln_push(cx, array, &v);
    }
}

/* ---- objects: the index ---- */

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_start(void)
{
    mln_random(hash_key, sizeof(hash_key)); /* so that nobody can prepare keys that collide */
    hash_key[1] |= 1;
}

__extension__ typedef unsigned __int128 wide; /* both compilers have it on every 64-bit machine */

/* Both halves of a 128-bit product, folded: every bit of the input moves every bit of the result. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/*
 * A keyed multiply-fold hash of 8 bytes a step. Not a MAC: it is enough that who does not know the process's random key, and never
 * sees a hash, cannot choose colliding member names; SipHash cost four times as much.
 */
static uint32_t key_hash(struct mln_bytes key)
{
    uint64_t h = hash_key[0] ^ key.len;
    size_t at = 0;
    for (; key.len - at >= 8; at += 8) {
        h = fold(h ^ mln_get_u64le(key.ptr + at), hash_key[1]);
    }
    uint64_t rest = 0;
    for (size_t i = at; i < key.len; i++) {
        rest = rest << 8 | key.ptr[i];
    }
    h = fold(h ^ rest, hash_key[1]);
    return (uint32_t)(h ^ h >> 32);
}

static bool key_same(struct mln_bytes a, struct mln_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The slot of `key`, or the free one where it belongs. Positions from len on are not of this value. */
static uint32_t *index_slot(const struct object_head *head, const struct mln_value *v, struct mln_bytes key)
{
    uint32_t at = key_hash(key) & head->mask;
    for (;;) {
        uint32_t *slot = &head->index[at];
        if (*slot == 0 || (*slot <= v->len && key_same(v->members[*slot - 1].key, key))) {
            return slot;
        }
        at = (at + 1) & head->mask;
    }
}

/* Fill an index over the first v->len members; the position of the first repeated key, SIZE_MAX when all differ. */
static size_t index_fill(const struct mln_value *v)
{
    struct object_head *head = head_of(v->members);
    size_t twice = SIZE_MAX;
    for (uint32_t i = 0; i < v->len; i++) {
        uint32_t *slot = index_slot(head, v, v->members[i].key);
        if (*slot == 0) {
            *slot = i + 1;
        } else if (twice == SIZE_MAX) {
            twice = i;
        }
    }
    return twice;
}

static bool index_new(struct mln_cx *cx, struct object_head *head)
{
    uint32_t size = 64;
    while (size < 2 * head->cap) {
        size *= 2;
    }
    (void)pthread_once(&hash_once, hash_start);
    head->index = mln_new_array(cx, size, sizeof(*head->index));
    head->mask = size - 1;
    return head->index != NULL;
}

struct mln_member *mln_members_new(struct mln_cx *cx, size_t n)
{
    MLN_CHECK(n > 0);
    if (n > MLN_VALUE_ITEMS_MAX) {
        (void)mln_fail(cx, MLN_E_TOO_LARGE, "too large: more than %u members", MLN_VALUE_ITEMS_MAX);
        return NULL;
    }
    struct object_head *head = mln_new(cx, sizeof(*head) + n * sizeof(struct mln_member));
    if (head == NULL) {
        return NULL;
    }
    head->cap = (uint32_t)n;
    return (struct mln_member *)(void *)(head + 1);
}

/* Few members: a bit for each key's length and ends tells most keys apart without comparing them. */
static size_t small_twice(const struct mln_value *v)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < v->len; i++) {
        struct mln_bytes key = v->members[i].key;
        uint64_t mark = key.len;
        if (key.len > 0) {
            mark += 7u * key.ptr[0] + 29u * key.ptr[key.len / 2] + 13u * key.ptr[key.len - 1];
        }
        uint64_t bit = (uint64_t)1 << (mark & 63);
        for (size_t j = 0; (seen & bit) != 0 && j < i; j++) {
            if (key_same(v->members[j].key, key)) {
                return i;
            }
        }
        seen |= bit;
    }
    return SIZE_MAX;
}

bool mln_members_seal(struct mln_cx *cx, struct mln_value *v, size_t *ret_twice)
{
    *ret_twice = SIZE_MAX;
    if (v->len <= OBJECT_LINEAR_MAX) {
        *ret_twice = small_twice(v);
    } else if (index_new(cx, head_of(v->members))) {
        *ret_twice = index_fill(v);
    } else {
        return false;
    }
    return *ret_twice == SIZE_MAX;
}

/* The position of `key`, v->len when it is absent. */
static size_t member_find(const struct mln_value *v, struct mln_bytes key)
{
    if (v->len > OBJECT_LINEAR_MAX) {
        uint32_t slot = *index_slot(head_of(v->members), v, key);
        return slot != 0 ? slot - 1 : v->len;
    }
    for (size_t i = 0; i < v->len; i++) {
        if (key_same(v->members[i].key, key)) {
            return i;
        }
    }
    return v->len;
}

/* ---- objects: building ---- */

static bool members_reserve(struct mln_cx *cx, struct mln_value *v)
{
    size_t cap = v->members != NULL ? head_of(v->members)->cap : 0;
    if (v->len < cap) {
        return true;
    }
    size_t want = cap < 4 ? 4 : cap * 2;
    if (want > MLN_VALUE_ITEMS_MAX && v->len < MLN_VALUE_ITEMS_MAX) {
        want = MLN_VALUE_ITEMS_MAX;
    }
    struct mln_member *grown = mln_members_new(cx, want);
    if (grown == NULL) {
        return false;
    }
    if (want > OBJECT_LINEAR_MAX && !index_new(cx, head_of(grown))) {
        return false;
    }
    mln_copy(grown, v->members, v->len * sizeof(*grown));
    v->members = grown;
    if (want > OBJECT_LINEAR_MAX) {
        (void)index_fill(v);
    }
    return true;
}

/* The place for the value of `key`, made when absent; NULL on exhaustion. */
static struct mln_value *member_slot(struct mln_cx *cx, struct mln_value *object, struct mln_bytes key)
{
    MLN_CHECK(object != NULL);
    if (object == &exhausted) {
        (void)mln_fail(cx, MLN_E_MEMORY, "out of memory: an object could not be made");
        return NULL;
    }
    MLN_CHECK(object->type == MLN_OBJECT);
    size_t at = member_find(object, key);
    if (at < object->len) {
        return &object->members[at].value;
    }
    if (!members_reserve(cx, object)) {
        return NULL;
    }
    struct object_head *head = head_of(object->members);
    if (head->index != NULL) {
        *index_slot(head, object, key) = (uint32_t)at + 1;
    }
    object->members[at].key = key;
    object->len++;
    return &object->members[at].value;
}

void mln_put_key(struct mln_cx *cx, struct mln_value *object, struct mln_bytes key, const struct mln_value *value)
{
    struct mln_value copy = value != NULL ? *value : exhausted;
    struct mln_value *slot = member_slot(cx, object, key);
    if (slot != NULL) {
        *slot = copy;
    }
}

void mln_put(struct mln_cx *cx, struct mln_value *object, const char *key, const struct mln_value *value)
{
    mln_put_key(cx, object, mln_bytes_of(key), value);
}

void mln_put_text(struct mln_cx *cx, struct mln_value *object, const char *key, const char *text)
{
    if (text == NULL) {
        mln_put_null(cx, object, key);
    } else {
        mln_put_bytes(cx, object, key, mln_bytes_of(text));
    }
}

void mln_put_bytes(struct mln_cx *cx, struct mln_value *object, const char *key, struct mln_bytes text)
{
    struct mln_value v;
    if (string_set(cx, &v, text)) {
        mln_put_key(cx, object, mln_bytes_of(key), &v);
    }
}

void mln_put_int(struct mln_cx *cx, struct mln_value *object, const char *key, int64_t i)
{
    struct mln_value v = {.type = MLN_INT, .integer = i};
    mln_put_key(cx, object, mln_bytes_of(key), &v);
}

void mln_put_bool(struct mln_cx *cx, struct mln_value *object, const char *key, bool b)
{
    struct mln_value v = {.type = MLN_BOOL, .boolean = b};
    mln_put_key(cx, object, mln_bytes_of(key), &v);
}

void mln_put_null(struct mln_cx *cx, struct mln_value *object, const char *key)
{
    mln_put_key(cx, object, mln_bytes_of(key), NULL);
}

void mln_remove(struct mln_value *object, struct mln_bytes key)
{
    if (object == NULL || object->type != MLN_OBJECT) {
        return;
    }
    size_t at = member_find(object, key);
    if (at == object->len) {
        return;
    }
    object->len--;
    mln_move(&object->members[at], &object->members[at + 1],
             (object->len - at) * sizeof(*object->members));
    struct object_head *head = head_of(object->members);
    if (head->index != NULL) {
        mln_fill(head->index, 0, ((size_t)head->mask + 1) * sizeof(*head->index));
        (void)index_fill(object);
    }
}

/* ---- reading ---- */

enum mln_type mln_type_of(const struct mln_value *v)
{
    return v != NULL ? (enum mln_type)v->type : MLN_NULL;
}

const char *mln_type_name(enum mln_type type)
{
    static const char *const names[] = {
        [MLN_NULL] = "null",     [MLN_BOOL] = "boolean", [MLN_INT] = "number",
        [MLN_DECIMAL] = "number", [MLN_STRING] = "string", [MLN_ARRAY] = "array",
        [MLN_OBJECT] = "object", [MLN_SET] = "set",
    };
    return (size_t)type < MLN_COUNT(names) ? names[type] : "unknown";
}

bool mln_is_null(const struct mln_value *v)
{
    return v == NULL || v->type == MLN_NULL;
}

size_t mln_len(const struct mln_value *v)
{
    return v != NULL && v->type >= MLN_STRING ? v->len : 0;
}

const struct mln_value *mln_item(const struct mln_value *v, size_t i)
{
    bool is_list = v != NULL && (v->type == MLN_ARRAY || v->type == MLN_SET);
    return is_list && i < v->len ? &v->items[i] : NULL;
}

const struct mln_member *mln_member_at(const struct mln_value *v, size_t i)
{
    return v != NULL && v->type == MLN_OBJECT && i < v->len ? &v->members[i] : NULL;
}

const struct mln_value *mln_get(const struct mln_value *object, const char *key)
{
    return mln_get_key(object, mln_bytes_of(key));
}

const struct mln_value *mln_get_key(const struct mln_value *object, struct mln_bytes key)
{
    if (object == NULL || object->type != MLN_OBJECT) {
        return NULL;
    }
    size_t at = member_find(object, key);
    return at < object->len ? &object->members[at].value : NULL;
}

bool mln_get_bool(const struct mln_value *v, bool otherwise)
{
    return v != NULL && v->type == MLN_BOOL ? v->boolean : otherwise;
}

int64_t mln_get_int(const struct mln_value *v, int64_t otherwise)
{
    return v != NULL && v->type == MLN_INT ? v->integer : otherwise;
}

struct mln_bytes mln_get_bytes(const struct mln_value *v)
{
    return v != NULL && v->type == MLN_STRING ? mln_bytes_at(v->text, v->len) : MLN_BYTES_NONE;
}

bool mln_is_text(const struct mln_value *v, const char *text)
{
    return v != NULL && v->type == MLN_STRING && mln_bytes_is(mln_get_bytes(v), text);
}

const char *mln_get_text(struct mln_cx *cx, const struct mln_value *v, const char *otherwise)
{
    struct mln_bytes text = mln_get_bytes(v);
    if (v == NULL || v->type != MLN_STRING || mln_bytes_find(text, 0) != text.len) {
        return otherwise;
    }
    return mln_text_dup(cx, text);
}
