/* SPDX-License-Identifier: Apache-2.0 */
/* The pickle machine's stack, memo, containers and text. */
#include "artifact/pickle_priv.h"

#define GROW_MIN 64u

void pk_drop(struct pk *pk)
{
    mln_free(pk->stack);
    mln_free(pk->memo);
    mln_free(pk->sparse);
    pk->stack = NULL;
    pk->memo = NULL;
    pk->sparse = NULL;
}

void pk_wrong(struct pk *pk, const char *rule, const char *text)
{
    mln_scan_find_call(pk->report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_MEDIUM, rule,
                       pk->input->base + pk->op_at, pk->op, NULL, "%s", text);
}

void pk_die(struct pk *pk, const char *rule, const char *text)
{
    if (!pk->is_dead) {
        pk->is_dead = true;
        pk_wrong(pk, rule, text);
    }
}

/* Too much to hold: a loader might go on where this machine cannot, so it is no plain damage. */
static void give_up(struct pk *pk, const char *text)
{
    if (!pk->is_dead) {
        pk->is_dead = true;
        mln_scan_find(pk->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "pickle-too-large",
                      pk->input->base + pk->op_at, "%s: not judged from here on", text);
    }
}

/* Room for one more; false when there is none. */
static bool grow(struct pk *pk, struct pk_value **values, size_t n, size_t *cap, size_t max)
{
    if (n < *cap) {
        return true;
    }
    size_t to = *cap < GROW_MIN ? GROW_MIN : *cap * 2;
    if (to > max) {
        give_up(pk, "more values than any model has");
        return false;
    }
    struct pk_value *more =
        mln_realloc(*values, *cap * sizeof(**values), to * sizeof(**values), false);
    if (more == NULL) {
        pk->is_dead = true;
        (void)mln_fail(pk->cx, MLN_E_MEMORY, "pickle: out of memory");
        return false;
    }
    *values = more;
    *cap = to;
    return true;
}

/* ---- the stack ---- */

void pk_push(struct pk *pk, struct pk_value v)
{
    if (grow(pk, &pk->stack, pk->n_stack, &pk->cap_stack, PK_STACK_MAX)) {
        pk->stack[pk->n_stack++] = v;
    }
}

struct pk_value *pk_top(struct pk *pk)
{
    if (pk->n_stack == 0 || pk->stack[pk->n_stack - 1].type == PK_MARK) {
        pk_die(pk, "pickle-stack", "an opcode needs more values than there are");
        return NULL;
    }
    return &pk->stack[pk->n_stack - 1];
}

struct pk_value pk_pop(struct pk *pk)
{
    struct pk_value *top = pk_top(pk);
    if (top == NULL) {
        return (struct pk_value){.type = PK_UNKNOWN};
    }
    pk->n_stack--;
    return *top;
}

struct pk_value *pk_pop_mark(struct pk *pk, size_t *ret_n)
{
    size_t at = pk->n_stack;
    while (at > 0 && pk->stack[at - 1].type != PK_MARK) {
        at--;
    }
    if (at == 0) {
        pk_die(pk, "pickle-mark", "an opcode needs a mark and there is none");
        *ret_n = 0;
        return NULL;
    }
    *ret_n = pk->n_stack - at;
    pk->n_stack = at - 1;
    return pk->stack + at;
}

void pk_push_text(struct pk *pk, enum pk_type type, struct mln_bytes text)
{
    struct pk_value v = {.type = (uint8_t)type};
    if (text.len > UINT32_MAX) {
        v.type = PK_UNKNOWN;
    } else {
        v.len = (uint32_t)text.len;
        v.text = text.ptr;
    }
    pk_push(pk, v);
}

void pk_push_int(struct pk *pk, int64_t number)
{
    pk_push(pk, (struct pk_value){.type = PK_INT, .number = number});
}

struct mln_bytes pk_text(const struct pk_value *v)
{
    if (v == NULL || (v->type != PK_STR && v->type != PK_BYTES)) {
        return MLN_BYTES_NONE;
    }
    return mln_bytes_at(v->text, v->len);
}

/* ---- containers ---- */

struct pk_node *pk_node(struct pk *pk)
{
    struct pk_node *node = MLN_NEW(pk->cx, struct pk_node);
    if (node == NULL) {
        pk->is_dead = true;
    } else {
        node->at = pk->op_at;
    }
    return node;
}

/* Keep the first ones; a loader's whole container is not needed. */
static void keep(struct pk *pk, struct pk_node *node, const struct pk_value *items, size_t n)
{
    size_t left = PK_KEPT_MAX - node->kept;
    node->n += n;
    n = n < left ? n : left;
    if (node->kept + n > node->cap) {
        size_t cap = node->cap == 0 ? n : PK_KEPT_MAX;
        struct pk_value *more = mln_new_array(pk->cx, cap, sizeof(*more));
        if (more == NULL) {
            pk->is_dead = true;
            return;
        }
        mln_copy(more, node->items, node->kept * sizeof(*more));
        node->items = more;
        node->cap = (uint32_t)cap;
    }
    mln_copy(node->items + node->kept, items, n * sizeof(*items));
    node->kept += (uint32_t)n;
}

struct pk_value pk_container(struct pk *pk, enum pk_type type, const struct pk_value *items,
                             size_t n)
{
    struct pk_value v = {.type = (uint8_t)type, .node = pk_node(pk)};
    if (v.node == NULL) {
        return (struct pk_value){.type = PK_UNKNOWN};
    }
    if (n > 0) {
        keep(pk, v.node, items, n);
    }
    return v;
}

void pk_add(struct pk *pk, struct pk_value *container, const struct pk_value *items, size_t n)
{
    bool is_plain =
        container->type == PK_LIST || container->type == PK_DICT || container->type == PK_SET;
    if (!is_plain) {
        pk_touch(pk, container);
        return;
    }
    /* Lists and sets are never looked into; a wrapper's state is a dict. */
    if (container->type == PK_DICT && n > 0) {
        keep(pk, container->node, items, n);
    }
}

const struct pk_value *pk_dict_get(const struct pk_value *dict, const char *key)
{
    const struct pk_value *found = NULL;
    for (uint32_t i = 0; dict->type == PK_DICT && i + 1 < dict->node->kept; i += 2) {
        if (mln_bytes_is(pk_text(&dict->node->items[i]), key)) {
            found = &dict->node->items[i + 1];
        }
    }
    return found;
}

/* ---- the memo ---- */

static struct pk_memo_slot *sparse_slot(struct pk_memo_slot *slots, size_t cap, uint64_t key)
{
    size_t i = (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (cap - 1);
    while (slots[i].key != 0 && slots[i].key != key + 1) {
        i = (i + 1) & (cap - 1);
    }
    return &slots[i];
}

static bool sparse_grow(struct pk *pk)
{
    size_t cap = pk->cap_sparse == 0 ? GROW_MIN : pk->cap_sparse * 2;
    if (cap > PK_SPARSE_MAX) {
        give_up(pk, "memo numbers out of order");
        return false;
    }
    struct pk_memo_slot *slots = mln_alloc_array(cap, sizeof(*slots));
    if (slots == NULL) {
        pk->is_dead = true;
        (void)mln_fail(pk->cx, MLN_E_MEMORY, "pickle: out of memory");
        return false;
    }
    for (size_t i = 0; i < pk->cap_sparse; i++) {
        if (pk->sparse[i].key != 0) {
            *sparse_slot(slots, cap, pk->sparse[i].key - 1) = pk->sparse[i];
        }
    }
    mln_free(pk->sparse);
    pk->sparse = slots;
    pk->cap_sparse = cap;
    return true;
}

static void sparse_put(struct pk *pk, uint64_t key, struct pk_value v)
{
    if (key == UINT64_MAX || (pk->n_sparse * 2 >= pk->cap_sparse && !sparse_grow(pk))) {
        return;
    }
    struct pk_memo_slot *slot = sparse_slot(pk->sparse, pk->cap_sparse, key);
    pk->n_sparse += slot->key == 0;
    *slot = (struct pk_memo_slot){.key = key + 1, .value = v};
}

void pk_memo_put(struct pk *pk, uint64_t key, struct pk_value v)
{
    if (key >= pk->n_memo + PK_GAP_MAX) {
        sparse_put(pk, key, v);
        return;
    }
    while (pk->n_memo <= key) {
        if (!grow(pk, &pk->memo, pk->n_memo, &pk->cap_memo, PK_MEMO_MAX)) {
            return;
        }
        pk->memo[pk->n_memo++] = (struct pk_value){.type = PK_MARK};
    }
    pk->n_puts += pk->memo[key].type == PK_MARK;
    pk->memo[key] = v;
}

struct pk_value pk_memo_get(struct pk *pk, uint64_t key)
{
    if (key < pk->n_memo && pk->memo[key].type != PK_MARK) {
        return pk->memo[key];
    }
    if (pk->cap_sparse > 0 && key != UINT64_MAX) {
        const struct pk_memo_slot *slot = sparse_slot(pk->sparse, pk->cap_sparse, key);
        if (slot->key != 0) {
            return slot->value;
        }
    }
    pk_wrong(pk, "pickle-memo", "the memo has nothing under this number");
    return (struct pk_value){.type = PK_UNKNOWN};
}

uint64_t pk_memo_count(const struct pk *pk)
{
    return pk->n_puts + pk->n_sparse;
}

/* ---- text ---- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n hex digits at `at`; false when they are not there. */
static bool hex_number(struct mln_bytes text, size_t at, size_t n, uint32_t *ret)
{
    uint32_t number = 0;
    if (at > text.len || text.len - at < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int digit = hex_digit(text.ptr[at + i]);
        if (digit < 0) {
            return false;
        }
        number = number << 4 | (uint32_t)digit;
    }
    *ret = number;
    return true;
}

/* A code point as UTF-8, lone surrogates too, as Python keeps them; returns the place behind it. */
static size_t put_code(uint8_t *to, size_t at, uint32_t code)
{
    unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t heads[] = {0, 0xC0, 0xE0, 0xF0};
    to[at++] = (uint8_t)(heads[more] | (code >> (6 * more) & 0x7F));
    while (more-- > 0) {
        to[at++] = (uint8_t)(0x80 | (code >> (6 * more) & 0x3F));
    }
    return at;
}

/* "\x41", "\101", "\n": one escape at text[*at] (behind the backslash). */
static uint32_t escape_code(struct mln_bytes text, size_t *at)
{
    static const char names[] = "abfnrtv\\'\"";
    static const uint8_t codes[] = {7, 8, 12, 10, 13, 9, 11, '\\', '\'', '"'};
    uint8_t c = text.ptr[*at];
    uint32_t code = 0;
    if (c == 'x' && hex_number(text, *at + 1, 2, &code)) {
        *at += 3;
        return code;
    }
    if (c >= '0' && c <= '7') {
        for (size_t n = 0; n < 3 && *at < text.len && (text.ptr[*at] & 0xF8) == '0'; n++) {
            code = code * 8 + (text.ptr[(*at)++] - (uint32_t)'0');
        }
        return code & 0xFF;
    }
    for (size_t i = 0; i + 1 < sizeof(names); i++) {
        if (c == (uint8_t)names[i]) {
            (*at)++;
            return codes[i];
        }
    }
    return '\\'; /* unknown: the backslash stays */
}

struct mln_bytes pk_unescape(struct pk *pk, struct mln_bytes line)
{
    if (mln_bytes_find(line, '\\') == line.len) {
        return line;
    }
    uint8_t *to = mln_new(pk->cx, line.len * 2 + 4);
    size_t n = 0;
    for (size_t at = 0; to != NULL && at < line.len;) {
        uint8_t c = line.ptr[at++];
        if (c != '\\' || at == line.len) {
            to[n++] = c;
            continue;
        }
        n = put_code(to, n, escape_code(line, &at));
    }
    pk->is_dead |= to == NULL;
    return mln_bytes_at(to, n);
}

struct mln_bytes pk_raw_unicode(struct pk *pk, struct mln_bytes line)
{
    if (mln_bytes_find(line, '\\') == line.len) {
        return line;
    }
    uint8_t *to = mln_new(pk->cx, line.len * 2 + 4);
    size_t n = 0;
    for (size_t at = 0; to != NULL && at < line.len;) {
        uint32_t code = line.ptr[at];
        uint32_t number = 0;
        size_t digits = at + 1 >= line.len        ? 0
                        : line.ptr[at + 1] == 'u' ? 4
                        : line.ptr[at + 1] == 'U' ? 8
                                                  : 0;
        if (code == '\\' && digits > 0 && hex_number(line, at + 2, digits, &number)) {
            n = put_code(to, n, number);
            at += 2 + digits;
            continue;
        }
        n = put_code(to, n, code);
        at++;
    }
    pk->is_dead |= to == NULL;
    return mln_bytes_at(to, n);
}
