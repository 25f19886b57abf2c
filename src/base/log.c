/* SPDX-License-Identifier: Apache-2.0 */
/* The program's log: each line is one write to stderr, so that lines of several threads and processes do not mix. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text_priv.h"
#include "base/utf8_priv.h"

#define LOG_MESSAGE_MAX 2048 /* longer messages are cut */

static struct {
    _Atomic(const char *) process;
    _Atomic int level, first;
    _Atomic int form;
} log_now = {.process = "merlon", .level = MLN_LOG_INFO, .first = MLN_LOG_INFO, .form = MLN_LOG_TEXT};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void mln_log_setup(const char *process, enum mln_log_level level, enum mln_log_form form)
{
    MLN_CHECK(process != NULL);
    atomic_store(&log_now.process, process);
    atomic_store(&log_now.level, (int)level);
    atomic_store(&log_now.first, (int)level);
    atomic_store(&log_now.form, (int)form);
}

enum mln_log_level mln_log_level_now(void)
{
    return (enum mln_log_level)atomic_load(&log_now.level);
}

enum mln_log_level mln_log_level_first(void)
{
    return (enum mln_log_level)atomic_load(&log_now.first);
}

void mln_log_level_set(enum mln_log_level level)
{
    atomic_store(&log_now.level, (int)level);
}

const char *mln_log_level_name(enum mln_log_level level)
{
    return level_names[level];
}

bool mln_log_level_parse(struct mln_bytes text, enum mln_log_level *ret)
{
    for (size_t i = 0; i < MLN_COUNT(level_names); i++) {
        if (mln_bytes_is_nocase(text, level_names[i])) {
            *ret = (enum mln_log_level)i;
            return true;
        }
    }
    return false;
}

static void json_part(struct mln_buf *line, const char *key, const char *text)
{
    mln_buf_add_text(line, line->len == 0 ? "{" : ",");
    mln_json_print_string(line, mln_bytes_of(key), MLN_JSON_COMPACT);
    mln_buf_add_text(line, ":");
    mln_json_print_string(line, mln_bytes_of(text), MLN_JSON_COMPACT);
}

static void line_write(struct mln_buf *line)
{
    mln_buf_add_byte(line, '\n');
    const uint8_t *at = line->ptr;
    size_t left = line->has_failed ? 0 : line->len;
    while (left > 0) {
        ssize_t n = write(STDERR_FILENO, at, left);
        if (n <= 0) {
            break; /* nowhere to complain */
        }
        at += n;
        left -= (size_t)n;
    }
}

/* `fault` adds code, place and note of a context; the message is printable already. */
static void log_line(enum mln_log_level level, const char *room, const char *message, const struct mln_cx *fault)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf line = {0};
    char stamp[MLN_TIME_TEXT_MAX];
    mln_time_print(stamp, mln_now_ns(), 3);
    const char *process = atomic_load(&log_now.process);
    const char *name = level_names[level];
    bool has_place = fault != NULL && fault->file != NULL;
    if (atomic_load(&log_now.form) == (int)MLN_LOG_TEXT) {
        mln_buf_add_format(&line, "%s %-5s %s %s: %s", stamp, name, process, room, message);
        if (has_place) {
            mln_buf_add_format(&line, " [%s %s:%d]", mln_err_name(fault->fault.code), fault->file, fault->line);
        }
        if (fault != NULL && fault->note[0] != '\0') {
            mln_buf_add_format(&line, " (%s)", fault->note);
        }
        line_write(&line);
        return;
    }
    json_part(&line, "time", stamp);
    json_part(&line, "level", name);
    json_part(&line, "process", process);
    json_part(&line, "room", room);
    json_part(&line, "message", message);
    if (has_place) {
        json_part(&line, "code", mln_err_name(fault->fault.code));
        json_part(&line, "file", fault->file);
        mln_buf_add_format(&line, ",\"line\":%d", fault->line);
    }
    if (fault != NULL && fault->note[0] != '\0') {
        json_part(&line, "note", fault->note);
    }
    mln_buf_add_byte(&line, '}');
    line_write(&line);
}

static bool is_wanted(enum mln_log_level level)
{
    return (size_t)level < MLN_COUNT(level_names) && (int)level <= atomic_load(&log_now.level);
}

void mln_log(enum mln_log_level level, const char *room, const char *format, ...)
{
    if (!is_wanted(level)) {
        return;
    }
    char raw[LOG_MESSAGE_MAX];
    char message[LOG_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
    mln_escape_line(message, sizeof(message), raw, len);
    log_line(level, room, message, NULL);
}

void mln_log_fault(enum mln_log_level level, const char *room, const struct mln_cx *cx, const char *what)
{
    if (!is_wanted(level)) {
        return;
    }
    char raw[LOG_MESSAGE_MAX];
    char message[LOG_MESSAGE_MAX];
    int n = snprintf(raw, sizeof(raw), "%s: %s", what, cx->text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
    mln_escape_line(message, sizeof(message), raw, len);
    log_line(level, room, message, cx);
}
