/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opcodes of pickle protocols 0 to 5. Where loaders differ in what they accept, the machine goes on, so that nothing which one
 * of them would run stays unseen; what is wrong is a finding all the same.
 * Source: Lib/pickletools.py of CPython 3.13, the reference of the format.
 */
#include "artifact/pickle_priv.h"

/* ---- arguments ---- */

static struct mln_bytes take(struct pk *pk, uint64_t n)
{
    if (n > pk->map.len - pk->at) {
        pk_die(pk, "pickle-truncated", "the pickle ends inside an opcode");
        return MLN_BYTES_NONE;
    }
    struct mln_bytes got = mln_bytes_sub(pk->map, pk->at, (size_t)n);
    pk->at += (size_t)n;
    return got;
}

/* Little-endian, n <= 8 bytes. */
static uint64_t take_number(struct pk *pk, size_t n)
{
    struct mln_bytes got = take(pk, n);
    uint64_t number = 0;
    for (size_t i = got.len; i > 0; i--) {
        number = number << 8 | got.ptr[i - 1];
    }
    return number;
}

static struct mln_bytes take_line(struct pk *pk)
{
    struct mln_bytes rest = mln_bytes_from(pk->map, pk->at);
    size_t n = mln_bytes_find(rest, '\n');
    if (n == rest.len) {
        pk_die(pk, "pickle-truncated", "the pickle ends inside a line");
        return MLN_BYTES_NONE;
    }
    pk->at += n + 1;
    return mln_bytes_sub(rest, 0, n);
}

/* As int() reads decimals: white space, a sign and underscores are fine. False when it is none or does not fit. */
static bool decimal(struct mln_bytes text, int64_t *ret)
{
    int64_t number = 0;
    bool has_digit = false;
    text = mln_bytes_trim(text);
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    for (size_t i = is_negative || (text.len > 0 && text.ptr[0] == '+'); i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == '_') {
            continue;
        }
        if (c < '0' || c > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, c - '0', &number)) {
            return false;
        }
        has_digit = true;
    }
    *ret = is_negative ? -number : number;
    return has_digit;
}

static bool is_digits(struct mln_bytes text)
{
    text = mln_bytes_trim(text);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        n += c >= '0' && c <= '9';
        if ((c < '0' || c > '9') && c != '_' && !(i == 0 && (c == '-' || c == '+')) &&
            !(i + 1 == text.len && c == 'L')) {
            return false;
        }
    }
    return n > 0;
}

static uint64_t take_index(struct pk *pk)
{
    int64_t number = 0;
    struct mln_bytes line = take_line(pk);
    if (!pk->is_dead && (!decimal(line, &number) || number < 0)) {
        pk_die(pk, "pickle-number", "the number of a memo entry is none");
    }
    return (uint64_t)number;
}

static void push_type(struct pk *pk, enum pk_type type)
{
    pk_push(pk, (struct pk_value){.type = (uint8_t)type});
}

/* ---- plain values ---- */

static void op_none(struct pk *pk)
{
    push_type(pk, PK_NONE);
}

static void op_true(struct pk *pk)
{
    pk_push(pk, (struct pk_value){.type = PK_BOOL, .number = 1});
}

static void op_false(struct pk *pk)
{
    push_type(pk, PK_BOOL);
}

static void op_int(struct pk *pk)
{
    struct mln_bytes line = take_line(pk);
    int64_t number = 0;
    if (mln_bytes_is(line, "00") || mln_bytes_is(line, "01")) {
        pk_push(pk, (struct pk_value){.type = PK_BOOL, .number = line.ptr[1] == '1'});
    } else if (decimal(line, &number)) {
        pk_push_int(pk, number);
    } else {
        if (!pk->is_dead && !is_digits(line)) {
            pk_wrong(pk, "pickle-number", "a number that is none");
        }
        push_type(pk, PK_BIG_INT);
    }
}

static void op_long(struct pk *pk)
{
    struct mln_bytes line = mln_bytes_trim(take_line(pk));
    int64_t number = 0;
    line.len -= mln_bytes_ends(line, MLN_BYTES("L")) ? 1 : 0;
    if (decimal(line, &number)) {
        pk_push_int(pk, number);
        return;
    }
    if (!pk->is_dead && !is_digits(line)) {
        pk_wrong(pk, "pickle-number", "a number that is none");
    }
    push_type(pk, PK_BIG_INT);
}

static void op_binint(struct pk *pk)
{
    pk_push_int(pk, (int32_t)(uint32_t)take_number(pk, 4));
}

static void op_binint1(struct pk *pk)
{
    pk_push_int(pk, (int64_t)take_number(pk, 1));
}

static void op_binint2(struct pk *pk)
{
    pk_push_int(pk, (int64_t)take_number(pk, 2));
}

static void push_long(struct pk *pk, struct mln_bytes bytes)
{
    if (bytes.len > 8) {
        pk_push_text(pk, PK_BIG_INT, bytes);
        return;
    }
    uint64_t number = bytes.len > 0 && bytes.ptr[bytes.len - 1] >= 0x80 ? UINT64_MAX : 0;
    for (size_t i = bytes.len; i > 0; i--) {
        number = number << 8 | bytes.ptr[i - 1];
    }
    pk_push_int(pk, (int64_t)number);
}

static void op_long1(struct pk *pk)
{
    push_long(pk, take(pk, take_number(pk, 1)));
}

static void op_long4(struct pk *pk)
{
    push_long(pk, take(pk, take_number(pk, 4)));
}

static void op_float(struct pk *pk)
{
    (void)take_line(pk);
    push_type(pk, PK_FLOAT);
}

static void op_binfloat(struct pk *pk)
{
    (void)take(pk, 8);
    push_type(pk, PK_FLOAT);
}

/* ---- text ---- */

static void op_string(struct pk *pk)
{
    struct mln_bytes line = mln_bytes_trim(take_line(pk));
    bool is_quoted = line.len >= 2 && (line.ptr[0] == '\'' || line.ptr[0] == '"') &&
                     line.ptr[line.len - 1] == line.ptr[0];
    if (!is_quoted) {
        pk_die(pk, "pickle-string", "a string without its quotes");
        return;
    }
    pk_push_text(pk, PK_STR, pk_unescape(pk, mln_bytes_sub(line, 1, line.len - 2)));
}

static void op_unicode(struct pk *pk)
{
    pk_push_text(pk, PK_STR, pk_raw_unicode(pk, take_line(pk)));
}

static void op_str1(struct pk *pk)
{
    pk_push_text(pk, PK_STR, take(pk, take_number(pk, 1)));
}

static void op_str4(struct pk *pk)
{
    pk_push_text(pk, PK_STR, take(pk, take_number(pk, 4)));
}

static void op_str8(struct pk *pk)
{
    pk_push_text(pk, PK_STR, take(pk, take_number(pk, 8)));
}

static void op_bytes1(struct pk *pk)
{
    pk_push_text(pk, PK_BYTES, take(pk, take_number(pk, 1)));
}

static void op_bytes4(struct pk *pk)
{
    pk_push_text(pk, PK_BYTES, take(pk, take_number(pk, 4)));
}

static void op_bytes8(struct pk *pk)
{
    pk_push_text(pk, PK_BYTES, take(pk, take_number(pk, 8)));
}

static void op_next_buffer(struct pk *pk)
{
    mln_scan_find_call(pk->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "pickle-buffer",
                       pk->input->base + pk->op_at, pk->op, NULL,
                       "a buffer from outside the pickle, which is not here to be judged");
    push_type(pk, PK_UNKNOWN);
}

static void op_nothing(struct pk *pk)
{
    (void)pk_top(pk);
}

/* ---- containers ---- */

static void op_mark(struct pk *pk)
{
    push_type(pk, PK_MARK);
}

static void from_mark(struct pk *pk, enum pk_type type)
{
    size_t n = 0;
    const struct pk_value *items = pk_pop_mark(pk, &n);
    if (items != NULL) {
        bool is_kept = type == PK_TUPLE || type == PK_DICT;
        if (type == PK_DICT && n % 2 != 0) {
            pk_wrong(pk, "pickle-dict", "a key without a value");
        }
        pk_push(pk, pk_container(pk, type, items, is_kept ? n : 0));
    }
}

static void op_tuple(struct pk *pk)
{
    from_mark(pk, PK_TUPLE);
}

static void op_list(struct pk *pk)
{
    from_mark(pk, PK_LIST);
}

static void op_dict(struct pk *pk)
{
    from_mark(pk, PK_DICT);
}

static void op_frozenset(struct pk *pk)
{
    from_mark(pk, PK_SET);
}

static void op_empty_tuple(struct pk *pk)
{
    pk_push(pk, pk_container(pk, PK_TUPLE, NULL, 0));
}

static void op_empty_list(struct pk *pk)
{
    pk_push(pk, pk_container(pk, PK_LIST, NULL, 0));
}

static void op_empty_dict(struct pk *pk)
{
    pk_push(pk, pk_container(pk, PK_DICT, NULL, 0));
}

static void op_empty_set(struct pk *pk)
{
    pk_push(pk, pk_container(pk, PK_SET, NULL, 0));
}

static void small_tuple(struct pk *pk, size_t n)
{
    struct pk_value items[3] = {0};
    for (size_t i = n; i > 0; i--) {
        items[i - 1] = pk_pop(pk);
    }
    pk_push(pk, pk_container(pk, PK_TUPLE, items, n));
}

static void op_tuple1(struct pk *pk)
{
    small_tuple(pk, 1);
}

static void op_tuple2(struct pk *pk)
{
    small_tuple(pk, 2);
}

static void op_tuple3(struct pk *pk)
{
    small_tuple(pk, 3);
}

static void add_some(struct pk *pk, const struct pk_value *items, size_t n)
{
    struct pk_value *target = pk_top(pk);
    if (target != NULL) {
        pk_add(pk, target, items, n);
    }
}

static void op_append(struct pk *pk)
{
    struct pk_value item = pk_pop(pk);
    add_some(pk, &item, 1);
}

static void op_setitem(struct pk *pk)
{
    struct pk_value pair[2] = {0};
    pair[1] = pk_pop(pk);
    pair[0] = pk_pop(pk);
    add_some(pk, pair, 2);
}

static void op_add_marked(struct pk *pk)
{
    size_t n = 0;
    const struct pk_value *items = pk_pop_mark(pk, &n);
    if (items != NULL) {
        add_some(pk, items, n);
    }
}

/* ---- stack and memo ---- */

static void op_pop(struct pk *pk)
{
    if (pk->n_stack > 0 && pk->stack[pk->n_stack - 1].type == PK_MARK) {
        pk->n_stack--;
    } else {
        (void)pk_pop(pk);
    }
}

static void op_pop_mark(struct pk *pk)
{
    size_t n = 0;
    (void)pk_pop_mark(pk, &n);
}

static void op_dup(struct pk *pk)
{
    const struct pk_value *top = pk_top(pk);
    if (top != NULL) {
        pk_push(pk, *top);
    }
}

static void put(struct pk *pk, uint64_t key)
{
    const struct pk_value *top = pk->is_dead ? NULL : pk_top(pk);
    if (top != NULL) {
        pk_memo_put(pk, key, *top);
    }
}

static void get(struct pk *pk, uint64_t key)
{
    if (!pk->is_dead) {
        pk_push(pk, pk_memo_get(pk, key));
    }
}

static void op_put(struct pk *pk)
{
    put(pk, take_index(pk));
}

static void op_binput(struct pk *pk)
{
    put(pk, take_number(pk, 1));
}

static void op_long_binput(struct pk *pk)
{
    put(pk, take_number(pk, 4));
}

static void op_memoize(struct pk *pk)
{
    put(pk, pk_memo_count(pk));
}

static void op_get(struct pk *pk)
{
    get(pk, take_index(pk));
}

static void op_binget(struct pk *pk)
{
    get(pk, take_number(pk, 1));
}

static void op_long_binget(struct pk *pk)
{
    get(pk, take_number(pk, 4));
}

/* ---- names and calls ---- */

static struct pk_value line_value(struct pk *pk)
{
    struct mln_bytes line = take_line(pk);
    return (struct pk_value){.type = PK_STR, .len = (uint32_t)line.len, .text = line.ptr};
}

static void op_global(struct pk *pk)
{
    struct pk_value module = line_value(pk);
    pk_import(pk, module, line_value(pk));
}

static void op_stack_global(struct pk *pk)
{
    struct pk_value name = pk_pop(pk);
    pk_import(pk, pk_pop(pk), name);
}

static void op_inst(struct pk *pk)
{
    struct pk_value module = line_value(pk);
    struct pk_value name = line_value(pk);
    size_t n = 0;
    const struct pk_value *items = pk->is_dead ? NULL : pk_pop_mark(pk, &n);
    if (items != NULL) {
        struct pk_value args = pk_container(pk, PK_TUPLE, items, n);
        pk_import(pk, module, name);
        pk_call(pk, pk_pop(pk), args, (struct pk_value){.type = PK_NONE});
    }
}

static void op_obj(struct pk *pk)
{
    size_t n = 0;
    const struct pk_value *items = pk_pop_mark(pk, &n);
    if (items == NULL || n == 0) {
        pk_die(pk, "pickle-stack", "an object without a class");
        return;
    }
    struct pk_value callable = items[0];
    struct pk_value args = pk_container(pk, PK_TUPLE, items + 1, n - 1);
    pk_call(pk, callable, args, (struct pk_value){.type = PK_NONE});
}

static void op_reduce(struct pk *pk)
{
    struct pk_value args = pk_pop(pk);
    pk_call(pk, pk_pop(pk), args, (struct pk_value){.type = PK_NONE});
}

static void op_newobj_ex(struct pk *pk)
{
    struct pk_value kwargs = pk_pop(pk);
    struct pk_value args = pk_pop(pk);
    pk_call(pk, pk_pop(pk), args, kwargs);
}

static void op_build(struct pk *pk)
{
    struct pk_value state = pk_pop(pk);
    struct pk_value *inst = pk_top(pk);
    if (inst != NULL) {
        pk_build(pk, inst, state);
    }
}

static void op_persid(struct pk *pk)
{
    struct pk_value id = line_value(pk);
    pk_persistent(pk, id);
}

static void op_binpersid(struct pk *pk)
{
    pk_persistent(pk, pk_pop(pk));
}

static void op_ext1(struct pk *pk)
{
    pk_extension(pk, take_number(pk, 1));
}

static void op_ext2(struct pk *pk)
{
    pk_extension(pk, take_number(pk, 2));
}

static void op_ext4(struct pk *pk)
{
    pk_extension(pk, take_number(pk, 4));
}

/* ---- the stream ---- */

static void op_proto(struct pk *pk)
{
    uint64_t version = take_number(pk, 1);
    if (version > 5 && !pk->is_dead) {
        pk_wrong(pk, "pickle-protocol", "a protocol that Python does not know");
    }
}

static void op_frame(struct pk *pk)
{
    uint64_t n = take_number(pk, 8);
    if (!pk->is_dead && n > pk->map.len - pk->at) {
        pk_wrong(pk, "pickle-truncated", "a frame reaches beyond the end");
        n = 0;
    }
    pk->frame_end = pk->at + (size_t)n;
}

static void op_stop(struct pk *pk)
{
    pk->result = pk_pop(pk);
    pk->has_stopped = !pk->is_dead;
}

struct op {
    const char *name;
    void (*run)(struct pk *pk);
};

/* clang-format off */
static const struct op ops[256] = {
    ['('] = {"MARK", op_mark},              ['.'] = {"STOP", op_stop},
    ['0'] = {"POP", op_pop},                ['1'] = {"POP_MARK", op_pop_mark},
    ['2'] = {"DUP", op_dup},                ['F'] = {"FLOAT", op_float},
    ['I'] = {"INT", op_int},                ['J'] = {"BININT", op_binint},
    ['K'] = {"BININT1", op_binint1},        ['L'] = {"LONG", op_long},
    ['M'] = {"BININT2", op_binint2},        ['N'] = {"NONE", op_none},
    ['P'] = {"PERSID", op_persid},          ['Q'] = {"BINPERSID", op_binpersid},
    ['R'] = {"REDUCE", op_reduce},          ['S'] = {"STRING", op_string},
    ['T'] = {"BINSTRING", op_str4},         ['U'] = {"SHORT_BINSTRING", op_str1},
    ['V'] = {"UNICODE", op_unicode},        ['X'] = {"BINUNICODE", op_str4},
    ['a'] = {"APPEND", op_append},          ['b'] = {"BUILD", op_build},
    ['c'] = {"GLOBAL", op_global},          ['d'] = {"DICT", op_dict},
    ['}'] = {"EMPTY_DICT", op_empty_dict},  ['e'] = {"APPENDS", op_add_marked},
    ['g'] = {"GET", op_get},                ['h'] = {"BINGET", op_binget},
    ['i'] = {"INST", op_inst},              ['j'] = {"LONG_BINGET", op_long_binget},
    ['l'] = {"LIST", op_list},              [']'] = {"EMPTY_LIST", op_empty_list},
    ['o'] = {"OBJ", op_obj},                ['p'] = {"PUT", op_put},
    ['q'] = {"BINPUT", op_binput},          ['r'] = {"LONG_BINPUT", op_long_binput},
    ['s'] = {"SETITEM", op_setitem},        ['t'] = {"TUPLE", op_tuple},
    [')'] = {"EMPTY_TUPLE", op_empty_tuple}, ['u'] = {"SETITEMS", op_add_marked},
    ['G'] = {"BINFLOAT", op_binfloat},
    [0x80] = {"PROTO", op_proto},           [0x81] = {"NEWOBJ", op_reduce},
    [0x82] = {"EXT1", op_ext1},             [0x83] = {"EXT2", op_ext2},
    [0x84] = {"EXT4", op_ext4},             [0x85] = {"TUPLE1", op_tuple1},
    [0x86] = {"TUPLE2", op_tuple2},         [0x87] = {"TUPLE3", op_tuple3},
    [0x88] = {"NEWTRUE", op_true},          [0x89] = {"NEWFALSE", op_false},
    [0x8a] = {"LONG1", op_long1},           [0x8b] = {"LONG4", op_long4},
    ['B'] = {"BINBYTES", op_bytes4},        ['C'] = {"SHORT_BINBYTES", op_bytes1},
    [0x8c] = {"SHORT_BINUNICODE", op_str1}, [0x8d] = {"BINUNICODE8", op_str8},
    [0x8e] = {"BINBYTES8", op_bytes8},      [0x8f] = {"EMPTY_SET", op_empty_set},
    [0x90] = {"ADDITEMS", op_add_marked},   [0x91] = {"FROZENSET", op_frozenset},
    [0x92] = {"NEWOBJ_EX", op_newobj_ex},   [0x93] = {"STACK_GLOBAL", op_stack_global},
    [0x94] = {"MEMOIZE", op_memoize},       [0x95] = {"FRAME", op_frame},
    [0x96] = {"BYTEARRAY8", op_bytes8},     [0x97] = {"NEXT_BUFFER", op_next_buffer},
    [0x98] = {"READONLY_BUFFER", op_nothing},
};
/* clang-format on */

struct mln_err pk_run(struct pk *pk)
{
    while (!pk->is_dead && !pk->has_stopped) {
        pk->op_at = pk->at;
        pk->op = NULL;
        if (pk->at >= pk->map.len) {
            pk_die(pk, "pickle-truncated", "the pickle ends without STOP");
            break;
        }
        const struct op *op = &ops[pk->map.ptr[pk->at++]];
        if (op->run == NULL) {
            pk_die(pk, "pickle-opcode", "a byte that is no opcode");
            break;
        }
        pk->op = op->name;
        op->run(pk);
        pk->n_ops++;
        if ((pk->is_dry && pk->has_called) || (pk->max_ops > 0 && pk->n_ops >= pk->max_ops)) {
            break;
        }
    }
    return mln_cx_err(pk->cx);
}
