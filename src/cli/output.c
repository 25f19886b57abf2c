/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: a table on a terminal, tabs when piped, JSON and YAML for machines, one bare value with --field. */
#include "cli/cli_priv.h"

#include "base/yaml.h"

#include <stdio.h>

void mln_cli_out(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
}

void mln_cli_say(const struct mln_cli *cli, const char *format, ...)
{
    if (cli->is_quiet) {
        return;
    }
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
}

const char *mln_cli_ink(const struct mln_cli *cli, enum mln_ink ink)
{
    static const char *const codes[] = {"\033[0m", "\033[31m", "\033[33m", "\033[32m", "\033[1m", "\033[2m"};
    return cli->has_colour ? codes[ink] : "";
}

void mln_table_add(struct mln_cli *cli, struct mln_table *table, const char *text, enum mln_ink ink)
{
    if (table->n_cells == table->cap) {
        size_t cap = table->cap == 0 ? 64 : table->cap * 2;
        __typeof__(table->cells) cells = mln_new_array(cli->cx, cap, sizeof *cells);
        if (cells == NULL) {
            return;
        }
        mln_copy(cells, table->cells, table->n_cells * sizeof *cells);
        table->cells = cells;
        table->cap = cap;
    }
    table->cells[table->n_cells].text = text == NULL || text[0] == '\0' ? "-" : text;
    table->cells[table->n_cells].ink = ink;
    table->n_cells++;
}

/* Columns on a terminal: code points, as names may be UTF-8. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        n += ((unsigned char)*p & 0xc0) != 0x80;
    }
    return n;
}

static void print_tabs(const struct mln_table *table)
{
    for (size_t i = 0; i < table->n_cells; i++) {
        bool is_last = (i + 1) % table->n_columns == 0;
        printf("%s%c", table->cells[i].text, is_last ? '\n' : '\t');
    }
}

static void print_cell(struct mln_cli *cli, const char *text, enum mln_ink ink, size_t width)
{
    printf("%s%s%s", ink == MLN_INK_NONE ? "" : mln_cli_ink(cli, ink), text,
           ink == MLN_INK_NONE ? "" : mln_cli_ink(cli, MLN_INK_NONE));
    if (width > 0) {
        printf("%*s", (int)(width - width_of(text) + 2), "");
    }
}

void mln_table_print(struct mln_cli *cli, const struct mln_table *table)
{
    if (!cli->is_tty_out) {
        print_tabs(table);
        return;
    }
    size_t *widths = mln_new_array(cli->cx, table->n_columns, sizeof *widths);
    if (widths == NULL) {
        return;
    }
    for (size_t c = 0; c < table->n_columns; c++) {
        widths[c] = width_of(table->heads[c]);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t w = width_of(table->cells[i].text);
        widths[i % table->n_columns] = w > widths[i % table->n_columns] ? w : widths[i % table->n_columns];
    }
    for (size_t c = 0; c < table->n_columns; c++) {
        print_cell(cli, table->heads[c], MLN_INK_BOLD, c + 1 == table->n_columns ? 0 : widths[c]);
    }
    putchar('\n');
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t c = i % table->n_columns;
        bool is_last = c + 1 == table->n_columns;
        print_cell(cli, table->cells[i].text, table->cells[i].ink, is_last ? 0 : widths[c]);
        if (is_last) {
            putchar('\n');
        }
    }
}

void mln_cli_raw(struct mln_bytes bytes)
{
    fwrite(bytes.ptr, 1, bytes.len, stdout);
}

const char *mln_cli_scalar(struct mln_cli *cli, const struct mln_value *v)
{
    switch (mln_type_of(v)) {
    case MLN_NULL:
        return "-";
    case MLN_STRING:
        return mln_get_text(cli->cx, v, "-");
    case MLN_BOOL:
    case MLN_INT:
    case MLN_DECIMAL:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
        break;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_json_print(&buf, v, MLN_JSON_COMPACT);
    return mln_text_dup(cli->cx, mln_buf_bytes(&buf));
}

/* The default table: keys and values of an object, one item a line of an array. */
static void print_plain(struct mln_cli *cli, const struct mln_value *value)
{
    static const char *const heads[] = {"KEY", "VALUE"};
    if (mln_type_of(value) == MLN_OBJECT) {
        struct mln_table table = {.heads = heads, .n_columns = 2};
        for (size_t i = 0; i < mln_len(value); i++) {
            const struct mln_member *m = mln_member_at(value, i);
            mln_table_add(cli, &table, mln_text_dup(cli->cx, m->key), MLN_INK_NONE);
            mln_table_add(cli, &table, mln_cli_scalar(cli, &m->value), MLN_INK_NONE);
        }
        mln_table_print(cli, &table);
        return;
    }
    if (mln_type_of(value) != MLN_ARRAY) {
        printf("%s\n", mln_cli_scalar(cli, value));
    }
    for (size_t i = 0; mln_type_of(value) == MLN_ARRAY && i < mln_len(value); i++) {
        printf("%s\n", mln_cli_scalar(cli, mln_item(value, i)));
    }
}

/* "--field a.b": members by dots, items of arrays by number. */
static const struct mln_value *pick(const struct mln_value *value, struct mln_bytes path)
{
    const struct mln_value *whole = mln_get_key(value, path);
    while (whole == NULL && path.len > 0 && value != NULL) {
        struct mln_bytes part = mln_bytes_cut(path, '.', &path);
        uint64_t at = 0;
        value = mln_type_of(value) == MLN_ARRAY && mln_u64_parse(part, &at) ? mln_item(value, (size_t)at)
                                                                           : mln_get_key(value, part);
    }
    return whole != NULL ? whole : value;
}

static struct mln_err print_field(struct mln_cli *cli, const struct mln_value *value)
{
    const struct mln_value *v = pick(value, mln_bytes_of(cli->field));
    if (v == NULL) {
        return mln_fail(cli->cx, MLN_E_NOT_FOUND, "the answer has no field '%s'", cli->field);
    }
    if (mln_type_of(v) == MLN_STRING) {
        struct mln_bytes text = mln_get_bytes(v);
        fwrite(text.ptr, 1, text.len, stdout);
    } else {
        fputs(mln_cli_scalar(cli, v), stdout);
    }
    if (cli->is_tty_out || mln_type_of(v) != MLN_STRING) {
        putchar('\n');
    }
    return MLN_OK;
}

struct mln_err mln_cli_answer(struct mln_cli *cli, const struct mln_value *value,
                              void (*table)(struct mln_cli *cli, const struct mln_value *value))
{
    if (cli->field != NULL) {
        return print_field(cli, value);
    }
    if (cli->format == MLN_FORMAT_TABLE) {
        (table != NULL ? table : print_plain)(cli, value);
        return mln_cx_err(cli->cx);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = true};
    if (cli->format == MLN_FORMAT_YAML) {
        mln_yaml_print(&buf, value, 0);
    } else if (cli->format == MLN_FORMAT_RAW && mln_type_of(value) == MLN_STRING) {
        mln_buf_add_bytes(&buf, mln_get_bytes(value));
    } else {
        mln_json_print(&buf, value, cli->format == MLN_FORMAT_RAW ? MLN_JSON_COMPACT : MLN_JSON_PRETTY);
        mln_buf_add_byte(&buf, '\n');
    }
    MLN_TRY(mln_buf_ok(cli->cx, &buf));
    fwrite(buf.ptr, 1, buf.len, stdout);
    return MLN_OK;
}

const char *mln_cli_ago(struct mln_cli *cli, int64_t ns)
{
    if (!cli->is_tty_out) {
        return mln_time_text(cli->cx, ns, 0);
    }
    int64_t s = (mln_now_ns() - ns) / 1000000000;
    if (s < 0 || s > 30 * 86400) {
        return mln_time_text(cli->cx, ns, 0);
    }
    if (s < 60) {
        return mln_text_format(cli->cx, "%llds ago", (long long)s);
    }
    if (s < 3600) {
        return mln_text_format(cli->cx, "%lldm ago", (long long)(s / 60));
    }
    if (s < 86400) {
        return mln_text_format(cli->cx, "%lldh ago", (long long)(s / 3600));
    }
    return mln_text_format(cli->cx, "%lldd ago", (long long)(s / 86400));
}

/* ---- progress: only on a terminal, from half a second on, at most ten a second ---- */

void mln_progress_begin(struct mln_progress *p, struct mln_cli *cli, const char *what)
{
    *p = (struct mln_progress){.cli = cli, .what = what, .start_ns = mln_mono_ns()};
}

static void draw_bar(const struct mln_progress *p, uint64_t done, uint64_t all, const char *unit)
{
    enum { CELLS = 24 };
    struct mln_cli *cli = p->cli;
    unsigned full = all == 0 ? 0 : (unsigned)((double)done / (double)all * CELLS);
    full = full > CELLS ? CELLS : full;
    fprintf(stderr, "\r\033[K%s  %s", p->what, mln_cli_ink(cli, MLN_INK_GREEN));
    for (unsigned i = 0; i < CELLS; i++) {
        fputs(i < full ? "━" : "·", stderr);
    }
    fputs(mln_cli_ink(cli, MLN_INK_NONE), stderr);
    if (mln_bytes_is(mln_bytes_of(unit), "bytes")) {
        fprintf(stderr, "  %s of %s", mln_size_text(cli->cx, done), mln_size_text(cli->cx, all));
    } else {
        fprintf(stderr, "  %llu of %llu %s", (unsigned long long)done, (unsigned long long)all, unit);
    }
    fflush(stderr);
}

void mln_progress_step(struct mln_progress *p, uint64_t done, uint64_t all, const char *unit)
{
    int64_t now = mln_mono_ns();
    if (!p->cli->has_progress || now - p->start_ns < 500000000 || now - p->last_ns < 100000000) {
        return;
    }
    p->last_ns = now;
    p->is_shown = true;
    draw_bar(p, done, all, unit);
}

void mln_progress_end(struct mln_progress *p)
{
    if (p->is_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        p->is_shown = false;
    }
}
