/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of merlon rego eval in OPA's forms. */
#include "cli/rego_eval_priv.h"

#define INDENT "  "

void rego_answer_drop(struct rego_answer *a)
{
    rego_watch_drop(&a->watch);
    mln_rego_eval_drop(&a->eval);
    mln_rego_query_drop(&a->query);
    mln_rego_drop(&a->rego);
    rego_files_drop(&a->files);
    rego_net_drop(&a->net);
}

struct mln_err rego_format_of(struct mln_cli *cli, enum rego_format *ret)
{
    static const char *const names[] = {"json", "values", "bindings", "pretty", "raw", "discard"};
    const char *given = mln_cli_text(cli, "format");
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(mln_bytes_of(given), names[i])) {
            *ret = (enum rego_format)i;
            return MLN_OK;
        }
    }
    return mln_cli_usage(cli, "unknown format '%s': json, values, bindings, pretty, raw or discard",
                         given);
}

/* ---- expressions of the query: their text and place ---- */

struct part {
    struct mln_bytes text;
    uint32_t row, col;
};

/* From a quote to behind the one that ends it. */
static size_t skip_string(struct mln_bytes q, size_t at)
{
    uint8_t quote = q.ptr[at];
    for (at++; at < q.len && q.ptr[at] != quote; at++) {
        at += quote == '"' && q.ptr[at] == '\\';
    }
    return at < q.len ? at + 1 : q.len;
}

/* The next expression from *at: up to a ";" or the end of a line that is in no bracket. */
static bool next_part(struct mln_bytes q, size_t *at, struct part *part)
{
    size_t depth = 0, from = *at;
    while (from < q.len && (mln_bytes_find(MLN_BYTES(" \t\r\n;"), q.ptr[from]) < 5)) {
        from++;
    }
    size_t end = from;
    while (end < q.len) {
        uint8_t c = q.ptr[end];
        if (c == '"' || c == '`') {
            end = skip_string(q, end);
            continue;
        }
        if (depth == 0 && (c == ';' || c == '\n' || c == '#')) {
            break;
        }
        depth += c == '(' || c == '[' || c == '{';
        depth -= depth > 0 && (c == ')' || c == ']' || c == '}');
        end++;
    }
    part->text = mln_bytes_trim(mln_bytes_sub(q, from, end - from));
    part->row = part->col = 1;
    for (size_t i = 0; i < from; i++) {
        part->col = q.ptr[i] == '\n' ? 1 : part->col + 1;
        part->row += q.ptr[i] == '\n';
    }
    *at = end;
    return from < q.len;
}

/* ---- forms ---- */

static void print_expressions(const struct rego_answer *a, size_t row, struct mln_buf *out)
{
    size_t at = 0;
    for (size_t k = 0;; k++) {
        struct part part = {0};
        size_t before = out->len;
        (void)next_part(a->query_text, &at, &part);
        mln_buf_add_text(out, k == 0 ? "{\"value\":" : ",{\"value\":");
        if (!mln_rego_expression_print(a->eval, row, k, out)) {
            out->len = before;
            return;
        }
        mln_buf_add_text(out, ",\"text\":");
        mln_json_print_string(out, part.text, MLN_JSON_COMPACT);
        mln_buf_add_format(out, ",\"location\":{\"row\":%u,\"col\":%u}}", part.row, part.col);
    }
}

/* The bindings of all rows as a value. */
static const struct mln_value *all_bindings(struct mln_cli *cli, const struct rego_answer *a)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    const struct mln_value *v = NULL;
    mln_rego_rows_print(a->eval, &json);
    struct mln_bytes text = mln_bytes_dup(cli->cx, mln_buf_bytes(&json));
    return mln_failed(mln_json_parse(cli->cx, text, &v)) ? NULL : v;
}

void rego_put_json(struct mln_bytes json)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_rego_json_indent(&out, json, INDENT);
    mln_buf_add_byte(&out, '\n');
    mln_cli_raw(mln_buf_bytes(&out));
}

static void print_json(struct mln_cli *cli, const struct rego_answer *a)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    const struct mln_value *bindings = all_bindings(cli, a);
    size_t n = mln_rego_rows(a->eval);
    mln_buf_add_text(&out, n == 0 ? "{" : "{\"result\":[");
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_text(&out, i == 0 ? "{\"expressions\":[" : ",{\"expressions\":[");
        print_expressions(a, i, &out);
        mln_buf_add_byte(&out, ']');
        if (mln_len(mln_item(bindings, i)) > 0) {
            mln_buf_add_text(&out, ",\"bindings\":");
            mln_json_print(&out, mln_item(bindings, i), MLN_JSON_COMPACT);
        }
        mln_buf_add_byte(&out, '}');
    }
    mln_buf_add_text(&out, n == 0 ? "" : "]");
    for (size_t i = 0; i < mln_len(a->extras); i++) {
        const struct mln_member *m = mln_member_at(a->extras, i);
        mln_buf_add_text(&out, n == 0 && i == 0 ? "" : ",");
        mln_json_print_string(&out, m->key, MLN_JSON_COMPACT);
        mln_buf_add_byte(&out, ':');
        mln_json_print(&out, &m->value, MLN_JSON_COMPACT);
    }
    mln_buf_add_byte(&out, '}');
    rego_put_json(mln_buf_bytes(&out));
}

static void print_values(const struct rego_answer *a)
{
    for (size_t i = 0; i < mln_rego_rows(a->eval); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        mln_buf_add_byte(&out, '[');
        for (size_t k = 0; mln_rego_expression_print(a->eval, i, k, &out); k++) {
            mln_buf_add_byte(&out, ',');
        }
        out.len -= out.len > 1; /* the last comma */
        mln_buf_add_byte(&out, ']');
        rego_put_json(mln_buf_bytes(&out));
    }
}

static void print_bindings(struct mln_cli *cli, const struct rego_answer *a)
{
    const struct mln_value *rows = all_bindings(cli, a);
    for (size_t i = 0; i < mln_len(rows); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        mln_json_print(&out, mln_item(rows, i), MLN_JSON_COMPACT);
        rego_put_json(mln_buf_bytes(&out));
    }
}

static void print_raw(struct mln_cli *cli, const struct rego_answer *a)
{
    for (size_t i = 0; i < mln_rego_rows(a->eval); i++) {
        for (size_t k = 0;; k++) {
            MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
            const struct mln_value *v = NULL;
            if (!mln_rego_expression_print(a->eval, i, k, &json)) {
                break;
            }
            mln_cli_out("%s", k == 0 ? "" : " ");
            struct mln_bytes text = mln_buf_bytes(&json);
            bool is_text = text.len > 0 && text.ptr[0] == '"';
            if (is_text && !mln_failed(mln_json_parse(cli->cx, text, &v))) {
                text = mln_get_bytes(v);
            }
            mln_cli_raw(text);
        }
        mln_cli_out("\n");
    }
}

/* ---- the table ---- */

static const char *cell_of(struct mln_cli *cli, const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, v, MLN_JSON_COMPACT);
    return mln_text_dup(cli->cx, mln_buf_bytes(&text));
}

/* Columns: the variables, then the expressions whose value is more than true. */
static void print_grid(struct mln_cli *cli, const struct rego_answer *a, const struct mln_value *rows)
{
    size_t vars = mln_len(mln_item(rows, 0)), n = mln_len(rows), at = 0;
    struct rego_table grid = {.n_columns = vars, .n_rows = n + 1};
    if (vars == 0) { /* several expressions without a variable: one column each */
        for (struct part part; next_part(a->query_text, &at, &part);) {
            grid.n_columns++;
        }
    }
    at = 0;
    grid.cells = mln_new_array(cli->cx, grid.n_columns * grid.n_rows, sizeof(*grid.cells));
    if (grid.cells == NULL) {
        return;
    }
    for (size_t r = 0; r <= n; r++) {
        for (size_t c = 0; c < grid.n_columns; c++) {
            const struct mln_member *m = mln_member_at(mln_item(rows, r == 0 ? 0 : r - 1), c);
            MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
            struct part part = {0};
            const char **cell = &grid.cells[r * grid.n_columns + c];
            if (m != NULL) {
                *cell = r == 0 ? mln_text_dup(cli->cx, m->key) : cell_of(cli, &m->value);
            } else if (r == 0) {
                (void)next_part(a->query_text, &at, &part);
                *cell = mln_text_dup(cli->cx, part.text);
            } else {
                (void)mln_rego_expression_print(a->eval, r - 1, c, &json);
                *cell = mln_text_dup(cli->cx, mln_buf_bytes(&json));
            }
        }
    }
    rego_table_draw(cli, &grid);
}

static void print_pretty(struct mln_cli *cli, const struct rego_answer *a)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf first = {0}, second = {0};
    const struct mln_value *rows = all_bindings(cli, a);
    if (mln_rego_rows(a->eval) == 0) {
        mln_cli_out("undefined\n");
        return;
    }
    bool is_one = mln_rego_rows(a->eval) == 1 && mln_len(mln_item(rows, 0)) == 0 &&
                  mln_rego_expression_print(a->eval, 0, 0, &first) &&
                  !mln_rego_expression_print(a->eval, 0, 1, &second);
    if (is_one) {
        rego_put_json(mln_buf_bytes(&first));
    } else {
        print_grid(cli, a, rows);
    }
}

void rego_print_answer(struct mln_cli *cli, const struct rego_answer *a)
{
    switch (a->format) {
    case REGO_JSON:
        print_json(cli, a);
        break;
    case REGO_VALUES:
        print_values(a);
        break;
    case REGO_BINDINGS:
        print_bindings(cli, a);
        break;
    case REGO_PRETTY:
        print_pretty(cli, a);
        break;
    case REGO_RAW:
        print_raw(cli, a);
        break;
    case REGO_DISCARD:
        mln_cli_out("{\n" INDENT "\"result\": \"discarded\"\n}\n");
        break;
    }
}

void rego_print_errors(struct mln_cli *cli, const struct rego_answer *a)
{
    if (a->format == REGO_JSON || a->format == REGO_DISCARD) {
        rego_errors_print(cli, a->errors);
    } else {
        rego_errors_say(cli, a->errors);
    }
}
