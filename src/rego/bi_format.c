/* SPDX-License-Identifier: Apache-2.0 */
/* sprintf with the verbs of Go's fmt that policies use, format_int, upper and lower. */
#include "rego/template_priv.h"

#include <math.h>
#include <stdio.h>

struct verb {
    bool minus, plus, sharp, space, zero, has_width, has_precision;
    unsigned width, precision;
    char letter;
};

#define WIDTH_MAX 10000u /* wider fields only cost memory */

static void pad(struct mln_buf *buf, const struct verb *v, struct mln_bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += (text.ptr[i] & 0xc0) != 0x80;
    }
    size_t fill = v->has_width && v->width > n ? v->width - n : 0;
    bool zero = v->zero && !v->minus && v->letter != 's' && v->letter != 'v' && v->letter != 'q';
    if (zero && text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        mln_buf_add_byte(buf, text.ptr[0]);
        text = mln_bytes_from(text, 1);
    }
    for (size_t i = 0; i < fill && !v->minus; i++) {
        mln_buf_add_byte(buf, zero ? '0' : ' ');
    }
    mln_buf_add_bytes(buf, text);
    for (size_t i = 0; i < fill && v->minus; i++) {
        mln_buf_add_byte(buf, ' ');
    }
}

/* What Go's fmt sees as a float64: with a point or an exponent, and not beyond its range. */
static bool is_float(struct rg_val v)
{
    return v.tag == RG_BIG && !v.big->is_int && isfinite(rg_num_to_double(v));
}

static void add_plain(struct mln_buf *out, struct rg_val v)
{
    if (v.tag == RG_STR) {
        mln_buf_add_bytes(out, rg_bytes(v));
    } else if (is_float(v)) {
        rg_num_print_double(out, rg_num_to_double(v));
    } else {
        rg_print_rego(out, v);
    }
}

/* As Go's strconv.Quote: what cannot be printed is escaped. */
static void add_quoted(struct mln_buf *out, struct mln_bytes t)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    size_t plain = 0;
    mln_buf_add_byte(out, '"');
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] >= 0x20 && t.ptr[i] != 0x7f && t.ptr[i] != '"' && t.ptr[i] != '\\') {
            continue;
        }
        size_t k = 0;
        mln_buf_add(out, t.ptr + plain, i - plain);
        plain = i + 1;
        while (k < sizeof(from) - 1 && (uint8_t)from[k] != t.ptr[i]) {
            k++;
        }
        if (k < sizeof(from) - 1) {
            mln_buf_add_byte(out, '\\');
            mln_buf_add_byte(out, (uint8_t)to[k]);
        } else {
            mln_buf_add_format(out, "\\x%02x", t.ptr[i]);
        }
    }
    mln_buf_add(out, t.ptr + plain, t.len - plain);
    mln_buf_add_byte(out, '"');
}

/* What Go writes when verb and value do not go together. */
static void add_wrong(struct mln_buf *out, const struct verb *v, struct rg_val arg)
{
    mln_buf_add_format(out, "%%!%c(%s=", v->letter,
                       arg.tag == RG_INT   ? "int"
                       : arg.tag != RG_BIG ? "string"
                       : arg.big->is_int   ? "*big.Int"
                                           : "float64");
    add_plain(out, arg);
    mln_buf_add_byte(out, ')');
}

static void add_int(struct mln_buf *out, const struct verb *v, struct rg_val arg)
{
    char space[24];
    int64_t i = 0;
    if (arg.tag == RG_BIG && arg.big->is_int && v->letter == 'd') {
        mln_buf_add_bytes(out, rg_num_text(arg, space));
        return;
    }
    if (arg.tag == RG_BIG && arg.big->is_int) {
        (void)rg_num_radix(out, arg, v->letter == 'b' ? 2 : v->letter == 'o' ? 8 : 16);
        return;
    }
    if (arg.tag != RG_INT) {
        add_wrong(out, v, arg);
        return;
    }
    i = arg.integer;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    unsigned base = v->letter == 'b' ? 2 : v->letter == 'o' ? 8 : v->letter == 'd' ? 10 : 16;
    char digits[72];
    size_t n = sizeof(digits);
    do {
        digits[--n] = (v->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
        u /= base;
    } while (u > 0);
    mln_buf_add_text(out, i < 0 ? "-" : v->plus ? "+" : v->space ? " " : "");
    mln_buf_add_text(out, !v->sharp          ? ""
                          : v->letter == 'x' ? "0x"
                          : v->letter == 'X' ? "0X"
                          : v->letter == 'o' ? "0"
                          : v->letter == 'b' ? "0b"
                                             : "");
    mln_buf_add(out, digits + n, sizeof(digits) - n);
}

static void add_float(struct mln_buf *out, const struct verb *v, struct rg_val arg)
{
    if (!rg_is_number(arg)) {
        add_wrong(out, v, arg);
        return;
    }
    double d = rg_num_to_double(arg);
    char text[512];
    int precision = v->has_precision ? (int)(v->precision > 100 ? 100 : v->precision) : 6;
    if (v->letter == 'g' && !v->has_precision) {
        mln_buf_add_format(out, "%.17g", d);
        return;
    }
    int n = 0;
    switch (v->letter) {
    case 'e':
        n = snprintf(text, sizeof(text), v->plus ? "%+.*e" : "%.*e", precision, d);
        break;
    case 'g':
        n = snprintf(text, sizeof(text), v->plus ? "%+.*g" : "%.*g", precision, d);
        break;
    default:
        n = snprintf(text, sizeof(text), v->plus ? "%+.*f" : "%.*f", precision, d);
        break;
    }
    mln_buf_add(out, text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void add_hex_text(struct mln_buf *out, const struct verb *v, struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        mln_buf_add_format(out, v->letter == 'X' ? "%02X" : "%02x", t.ptr[i]);
    }
}

static void add_verb(struct mln_buf *one, const struct verb *v, struct rg_val arg)
{
    switch (v->letter) {
    case 's':
        if (rg_is_number(arg) && !(arg.tag == RG_BIG && arg.big->is_int)) {
            add_wrong(one, v, arg);
            break;
        }
        add_plain(one, arg);
        break;
    case 'v':
        add_plain(one, arg);
        break;
    case 'q': {
        MLN_AUTO(mln_buf_drop) struct mln_buf plain = {0};
        add_plain(&plain, arg);
        add_quoted(one, mln_buf_bytes(&plain));
        break;
    }
    case 'd':
    case 'b':
    case 'o':
        add_int(one, v, arg);
        break;
    case 'x':
    case 'X':
        if (arg.tag == RG_STR) {
            add_hex_text(one, v, rg_bytes(arg));
        } else {
            add_int(one, v, arg);
        }
        break;
    case 'e':
    case 'f':
    case 'F':
    case 'g':
        add_float(one, v, arg);
        break;
    case 't':
        if (arg.tag == RG_BOOL) {
            add_plain(one, arg);
            break;
        }
        add_wrong(one, v, arg);
        break;
    case 'T':
        mln_buf_add_text(one,
                         rg_is_number(arg) ? (arg.tag == RG_INT ? "int" : "float64") : "string");
        break;
    default:
        add_wrong(one, v, arg);
        break;
    }
}

static void add_arg(struct mln_buf *buf, const struct verb *v, struct rg_val arg)
{
    bool bare = !v->has_width && !v->has_precision;
    if (bare && (v->letter == 'v' || (v->letter == 's' && !rg_is_number(arg)))) {
        add_plain(buf, arg);
        return;
    }
    if (bare && v->letter == 'q' && arg.tag == RG_STR) {
        add_quoted(buf, rg_bytes(arg));
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf one = {.max = buf->max};
    add_verb(&one, v, arg);
    struct mln_bytes text = mln_buf_bytes(&one);
    if ((v->letter == 's' || v->letter == 'q') && v->has_precision) {
        size_t i = 0, n = v->precision;
        for (; i < text.len; i++) {
            if ((text.ptr[i] & 0xc0) != 0x80 && n-- == 0) {
                break;
            }
        }
        text = mln_bytes_sub(text, 0, i);
    }
    pad(buf, v, text);
}

static size_t read_uint(struct mln_bytes f, size_t i, unsigned *ret)
{
    unsigned n = 0;
    while (i < f.len && f.ptr[i] >= '0' && f.ptr[i] <= '9') {
        n = n * 10 + (f.ptr[i++] - '0');
        n = n > WIDTH_MAX ? WIDTH_MAX : n;
    }
    *ret = n;
    return i;
}

/* Behind "%": the verb; gives where it ends. */
static size_t read_verb(struct mln_bytes f, size_t i, struct verb *v)
{
    *v = (struct verb){0};
    for (; i < f.len; i++) {
        char c = (char)f.ptr[i];
        if (c != '-' && c != '+' && c != '#' && c != ' ' && c != '0') {
            break;
        }
        v->minus |= c == '-';
        v->plus |= c == '+';
        v->sharp |= c == '#';
        v->space |= c == ' ';
        v->zero |= c == '0';
    }
    v->has_width = i < f.len && f.ptr[i] >= '1' && f.ptr[i] <= '9';
    i = read_uint(f, i, &v->width);
    if (i < f.len && f.ptr[i] == '.') {
        v->has_precision = true;
        i = read_uint(f, i + 1, &v->precision);
    }
    v->letter = i < f.len ? (char)f.ptr[i] : '\0';
    return i + 1;
}

void rg_format_into(struct mln_buf *buf, struct mln_bytes f, struct rg_val args)
{
    uint32_t used = 0;
    for (size_t i = 0; i < f.len;) {
        size_t plain = mln_bytes_find(mln_bytes_from(f, i), '%');
        mln_buf_add(buf, f.ptr + i, plain);
        i += plain;
        if (i == f.len) {
            break;
        }
        struct verb v;
        i = read_verb(f, i + 1, &v);
        if (v.letter == '%') {
            mln_buf_add_byte(buf, '%');
        } else if (v.letter == '\0') {
            mln_buf_add_text(buf, "%!(NOVERB)");
        } else if (used >= args.arr->len) {
            mln_buf_add_format(buf, "%%!%c(MISSING)", v.letter);
        } else {
            add_arg(buf, &v, args.arr->items[used++]);
        }
    }
    for (uint32_t i = used; i < args.arr->len; i++) {
        mln_buf_add_text(buf, i == used ? "%!(EXTRA " : ", ");
        mln_buf_add_text(buf, rg_is_number(args.arr->items[i]) ? "int=" : "string=");
        add_plain(buf, args.arr->items[i]);
    }
    if (used < args.arr->len) {
        mln_buf_add_byte(buf, ')');
    }
}

static bool sprintf_(struct rg_call *call)
{
    struct mln_bytes format;
    struct rg_val args;
    struct mln_buf buf = rg_buf(call->heap);
    if (!rg_arg_string(call, 1, &format) || !rg_arg_tag(call, 2, RG_ARRAY, &args)) {
        return false;
    }
    (void)mln_buf_reserve(&buf, format.len + 64);
    rg_format_into(&buf, format, args);
    return rg_return(call, rg_string_buf(call->heap, &buf));
}

static bool format_int(struct rg_call *call)
{
    struct rg_val v;
    int64_t base = 0, i = 0;
    if (!rg_arg_number(call, 1, &v) || !rg_arg_int(call, 2, &base)) {
        return false;
    }
    if (base != 2 && base != 8 && base != 10 && base != 16) {
        return rg_fail_operand(call, 2, "must be one of {2, 8, 10, 16}");
    }
    struct mln_buf buf = rg_buf(call->heap);
    struct verb verb = {.letter = base == 2 ? 'b' : base == 8 ? 'o' : base == 10 ? 'd' : 'x'};
    struct rg_val whole = rg_num_round(call->heap, v, rg_num_cmp(v, rg_int(0)) < 0 ? 1 : -1);
    if (rg_num_is_int(v)) {
        whole = v; /* exact; of a fraction 64 bits are left, as in OPA */
    }
    if (base != 10 && !rg_num_int(whole, &i)) {
        (void)rg_num_radix(&buf, whole, (unsigned)base);
    } else {
        add_int(&buf, &verb, rg_num_int(whole, &i) ? rg_int(i) : whole);
    }
    return rg_return(call, rg_string_buf(call->heap, &buf));
}

/* ---- case: ASCII, and the letters of Latin-1, Latin Extended-A, Greek and Cyrillic that pair up ---- */
static uint32_t other_case(uint32_t c, bool up)
{
    if (c < 0x80) {
        bool is = up ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
        return is ? c ^ 0x20 : c;
    }
    bool low_block = (c >= 0xe0 && c <= 0xfe && c != 0xf7) ||
                     (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) || (c >= 0x430 && c <= 0x44f);
    bool high_block = (c >= 0xc0 && c <= 0xde && c != 0xd7) ||
                      (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) || (c >= 0x410 && c <= 0x42f);
    if (up ? low_block : high_block) {
        return up ? c - 0x20 : c + 0x20;
    }
    bool pairs = (c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177);
    if (pairs && c != 0x130 && c != 0x131) {
        return up ? c & ~1u : c | 1u;
    }
    if (c >= 0x400 && c <= 0x40f) {
        return up ? c : c + 0x50;
    }
    return up && c >= 0x450 && c <= 0x45f ? c - 0x50 : c;
}

static bool change_case(struct rg_call *call, bool up)
{
    struct mln_bytes t;
    struct mln_buf buf = rg_buf(call->heap);
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        bool wide = c >= 0xc0 && c < 0xe0 && i + 1 < t.len;
        uint32_t rune = wide ? (uint32_t)(c & 0x1f) << 6 | (t.ptr[i + 1] & 0x3fu) : c;
        if (!wide) {
            mln_buf_add_byte(&buf, c < 0x80 ? (uint8_t)other_case(rune, up) : c);
            continue;
        }
        rune = other_case(rune, up);
        mln_buf_add_byte(&buf, (uint8_t)(0xc0 | rune >> 6));
        mln_buf_add_byte(&buf, (uint8_t)(0x80 | (rune & 0x3f)));
        i++;
    }
    return rg_return(call, rg_string_buf(call->heap, &buf));
}

static bool upper(struct rg_call *call)
{
    return change_case(call, true);
}

static bool lower(struct rg_call *call)
{
    return change_case(call, false);
}

const struct rg_builtin rg_builtins_format[] = {
    {"sprintf", sprintf_}, {"format_int", format_int}, {"upper", upper}, {"lower", lower},
    {NULL, NULL},
};
