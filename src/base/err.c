/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of errors and the context of one unit of work. Texts are made printable here, once, so that neither a log line
 * nor an answer can be forged by what a stranger sent in.
 */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/utf8_priv.h"

static const struct err_row {
    const char *name;
    const char *klass;
    const char *text;
    short http;
    short grpc;
    short exit_code;
} err_rows[] = {
    [MLN_E_OK] = {"OK", "OK", "ok", 200, 0, 0},
#define MLN_ERROR(name_, class_, http_, grpc_, exit_, text_)                                       \
    [MLN_E_##name_] = {#name_, #class_, text_, http_, grpc_, exit_},
#include "base/errors.def"
#undef MLN_ERROR
};
static_assert(MLN_COUNT(err_rows) == MLN_E_COUNT);

static const struct err_row *row_of(uint32_t code)
{
    return &err_rows[code < MLN_E_COUNT ? code : MLN_E_INTERNAL];
}

const char *mln_err_name(uint32_t code)
{
    return row_of(code)->name;
}

const char *mln_err_text(uint32_t code)
{
    return row_of(code)->text;
}

const char *mln_err_class(uint32_t code)
{
    return row_of(code)->klass;
}

int mln_err_http(uint32_t code)
{
    return row_of(code)->http;
}

int mln_err_grpc(uint32_t code)
{
    return row_of(code)->grpc;
}

int mln_err_exit(uint32_t code)
{
    return row_of(code)->exit_code;
}

void mln_cx_init(struct mln_cx *cx, struct mln_arena *arena)
{
    MLN_CHECK(cx != NULL);
    cx->arena = arena;
    mln_cx_clear(cx);
}

void mln_cx_clear(struct mln_cx *cx)
{
    if (cx != NULL) {
        cx->fault = MLN_OK;
        cx->file = NULL;
        cx->line = 0;
        cx->text[0] = '\0';
        cx->note[0] = '\0';
    }
}

static const char hex_digits[] = "0123456789abcdef";

/* The escape of one byte: 2 or 4 characters. */
static size_t escape_byte(char to[4], uint8_t byte)
{
    to[0] = '\\';
    if (byte == '\n' || byte == '\r' || byte == '\t') {
        to[1] = byte == '\n' ? 'n' : byte == '\r' ? 'r' : 't';
        return 2;
    }
    to[1] = 'x';
    to[2] = hex_digits[byte >> 4];
    to[3] = hex_digits[byte & 15];
    return 4;
}

static bool is_shown(const uint8_t *p, size_t len)
{
    if (len == 1) {
        return p[0] >= 0x20 && p[0] != 0x7F;
    }
    return len > 0 && !(p[0] == 0xC2 && p[1] < 0xA0);
}

size_t mln_escape_line(char *to, size_t max, const char *from, size_t n)
{
    const uint8_t *p = (const uint8_t *)from;
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        char escaped[4];
        size_t len = utf8_step(p + i, n - i);
        bool shown = is_shown(p + i, len);
        size_t more = shown ? len : escape_byte(escaped, p[i]);
        if (used + more >= max) {
            break;
        }
        mln_copy(to + used, shown ? from + i : escaped, more);
        used += more;
        i += shown ? len : 1;
    }
    if (max > 0) {
        to[used] = '\0';
    }
    return used;
}

static void format_line(char to[MLN_CX_TEXT_MAX], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void format_line(char to[MLN_CX_TEXT_MAX], const char *format, va_list args)
{
    char raw[2 * MLN_CX_TEXT_MAX];
    int n = vsnprintf(raw, sizeof(raw), format, args);
    if (n < 0) {
        to[0] = '\0';
        return;
    }
    size_t len = (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
    mln_escape_line(to, MLN_CX_TEXT_MAX, raw, len);
}

struct mln_err mln_fail_at(struct mln_cx *cx, enum mln_code code, const char *file, int line,
                           const char *format, ...)
{
    MLN_CHECK(code != MLN_E_OK && code < MLN_E_COUNT);
    struct mln_err err = {(uint32_t)code};
    if (cx == NULL) {
        return err;
    }
    if (cx->fault.code != 0) {
        return cx->fault;
    }
    cx->fault = err;
    cx->file = file;
    cx->line = line;
    va_list args;
    va_start(args, format);
    format_line(cx->text, format, args);
    va_end(args);
    return err;
}

void mln_note(struct mln_cx *cx, const char *format, ...)
{
    if (cx == NULL) {
        return;
    }
    char more[MLN_CX_TEXT_MAX];
    va_list args;
    va_start(args, format);
    format_line(more, format, args);
    va_end(args);
    size_t used = mln_bytes_of(cx->note).len;
    const char *join = used == 0 ? "" : "; ";
    int n = snprintf(cx->note + used, sizeof(cx->note) - used, "%s%s", join, more);
    MLN_CHECK(n >= 0);
}

struct mln_err mln_cx_err(const struct mln_cx *cx)
{
    return cx != NULL ? cx->fault : MLN_OK;
}

void mln_check_failed(const char *file, int line, const char *cond)
{
    dprintf(STDERR_FILENO, "merlon: bug: %s:%d: check failed: %s\n", file, line, cond);
    abort();
}
