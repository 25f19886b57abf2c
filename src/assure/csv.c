/* SPDX-License-Identifier: Apache-2.0 */
/* Strict CSV; what it promises stands in csv.h. */
#include "assure/csv.h"

#include "base/text.h"

struct reader {
    struct mln_cx *cx;
    struct mln_bytes text;
    size_t at;
    uint32_t line;
    struct mln_buf fields; /* struct mln_bytes, all records */
    struct mln_buf lines;  /* uint32_t */
};

static struct mln_err bad(const struct reader *r, const char *what)
{
    return mln_fail(r->cx, MLN_E_PARSE, "csv: %s in line %u", what, r->line);
}

/*
 * The field's text between quotes, with doubled ones made single. r->at stands behind the opening
 * quote.
 */
static struct mln_err quoted(struct reader *r, struct mln_bytes *ret)
{
    size_t start = r->at;
    size_t doubled = 0;
    for (; r->at < r->text.len; r->at++) {
        uint8_t c = r->text.ptr[r->at];
        bool is_double = c == '"' && r->at + 1 < r->text.len && r->text.ptr[r->at + 1] == '"';
        if (c == '"' && !is_double) {
            break;
        }
        r->at += is_double;
        doubled += is_double;
        r->line += c == '\n';
    }
    if (r->at == r->text.len) {
        return bad(r, "a quote is not closed");
    }
    struct mln_bytes raw = mln_bytes_sub(r->text, start, r->at - start);
    r->at++;
    if (doubled == 0) {
        *ret = raw;
        return MLN_OK;
    }
    uint8_t *to = mln_new(r->cx, raw.len);
    if (to == NULL) {
        return mln_cx_err(r->cx);
    }
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        to[n++] = raw.ptr[i];
        i += raw.ptr[i] == '"';
    }
    *ret = mln_bytes_at(to, n);
    return MLN_OK;
}

static struct mln_err plain(struct reader *r, struct mln_bytes *ret)
{
    size_t start = r->at;
    for (; r->at < r->text.len; r->at++) {
        uint8_t c = r->text.ptr[r->at];
        if (c == ',' || c == '\n' || c == '\r') {
            break;
        }
        if (c == '"') {
            return bad(r, "a quote stands inside an unquoted field");
        }
    }
    *ret = mln_bytes_sub(r->text, start, r->at - start);
    return MLN_OK;
}

/* What ends a field: ',' goes on, a line end or the end of the text closes the record. */
static struct mln_err after_field(struct reader *r, bool *ret_goes_on)
{
    *ret_goes_on = false;
    if (r->at == r->text.len) {
        return MLN_OK;
    }
    uint8_t c = r->text.ptr[r->at++];
    if (c == ',') {
        *ret_goes_on = true;
        return MLN_OK;
    }
    if (c == '\r') {
        if (r->at == r->text.len || r->text.ptr[r->at] != '\n') {
            return bad(r, "a carriage return stands alone");
        }
        r->at++;
    } else if (c != '\n') {
        return bad(r, "text follows a closing quote");
    }
    r->line++;
    return MLN_OK;
}

static struct mln_err record(struct reader *r, size_t *ret_n)
{
    bool goes_on = true;
    size_t n = 0;
    uint32_t line = r->line;
    mln_buf_add(&r->lines, &line, sizeof(line));
    while (goes_on) {
        struct mln_bytes field = MLN_BYTES_NONE;
        bool has_quote = r->at < r->text.len && r->text.ptr[r->at] == '"';
        r->at += has_quote;
        MLN_TRY(has_quote ? quoted(r, &field) : plain(r, &field));
        if (field.len > MLN_CSV_FIELD_MAX || ++n > MLN_CSV_COLUMNS_MAX) {
            return mln_fail(r->cx, MLN_E_TOO_LARGE, "csv: too long a field or too many in line %u",
                            line);
        }
        if (!mln_utf8_valid(field) || mln_bytes_find(field, 0) < field.len) {
            return bad(r, "a field is not UTF-8 text");
        }
        mln_buf_add(&r->fields, &field, sizeof(field));
        MLN_TRY(after_field(r, &goes_on));
    }
    *ret_n = n;
    return mln_buf_ok(r->cx, &r->fields);
}

static struct mln_err check_names(const struct reader *r, const struct mln_bytes *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (names[i].len == 0) {
            return mln_fail(r->cx, MLN_E_PARSE, "csv: column %zu has no name", i + 1);
        }
        for (size_t j = 0; j < i; j++) {
            if (mln_bytes_eq(names[i], names[j])) {
                return mln_fail(r->cx, MLN_E_PARSE, "csv: column %.*s stands twice",
                                MLN_FMT(names[i]));
            }
        }
    }
    return MLN_OK;
}

static struct mln_err records(struct reader *r, struct mln_csv *to)
{
    MLN_TRY(record(r, &to->n_columns));
    MLN_TRY(check_names(r, (const struct mln_bytes *)(const void *)r->fields.ptr, to->n_columns));
    while (r->at < r->text.len) {
        size_t n = 0;
        uint32_t line = r->line;
        bool is_empty = r->text.ptr[r->at] == '\n' || r->text.ptr[r->at] == '\r';
        MLN_TRY(record(r, &n));
        if (n != to->n_columns) {
            return is_empty
                       ? mln_fail(r->cx, MLN_E_PARSE, "csv: line %u is empty", line)
                       : mln_fail(r->cx, MLN_E_PARSE, "csv: line %u has %zu fields, the header %zu",
                                  line, n, to->n_columns);
        }
        if (++to->n_rows > MLN_CSV_ROWS_MAX) {
            return mln_fail(r->cx, MLN_E_TOO_LARGE, "csv: more than %u rows", MLN_CSV_ROWS_MAX);
        }
    }
    return MLN_OK;
}

static struct mln_err keep(struct reader *r, struct mln_csv *to)
{
    MLN_TRY(mln_buf_ok(r->cx, &r->lines));
    struct mln_bytes fields = mln_bytes_dup(r->cx, mln_buf_bytes(&r->fields));
    struct mln_bytes lines = mln_bytes_dup(r->cx, mln_buf_bytes(&r->lines));
    MLN_TRY(mln_cx_err(r->cx));
    to->names = (const struct mln_bytes *)(const void *)fields.ptr;
    to->fields = to->names + to->n_columns;
    to->lines = (const uint32_t *)(const void *)lines.ptr + 1;
    return MLN_OK;
}

struct mln_err mln_csv_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_csv *ret)
{
    struct mln_csv csv = {0};
    struct reader r = {.cx = cx, .text = text, .line = 1, .fields = {.max = (size_t)4 << 30}};
    if (text.len > MLN_CSV_BYTES_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "csv: larger than 512 MiB");
    }
    if (mln_bytes_starts(text, MLN_BYTES("\xef\xbb\xbf"))) {
        csv.had_bom = true;
        r.at = 3;
    }
    if (r.at == text.len) {
        return mln_fail(cx, MLN_E_PARSE, "csv: the file is empty");
    }
    struct mln_err err = records(&r, &csv);
    if (!mln_failed(err)) {
        err = keep(&r, &csv);
    }
    mln_buf_drop(&r.fields);
    mln_buf_drop(&r.lines);
    if (!mln_failed(err)) {
        *ret = csv;
    }
    return err;
}

struct mln_err mln_csv_column(struct mln_cx *cx, const struct mln_csv *csv, struct mln_bytes name,
                              size_t *ret)
{
    for (size_t i = 0; i < csv->n_columns; i++) {
        if (mln_bytes_eq(csv->names[i], name)) {
            *ret = i;
            return MLN_OK;
        }
    }
    struct mln_buf all = {0};
    for (size_t i = 0; i < csv->n_columns && all.len < 200; i++) {
        mln_buf_add_format(&all, "%s%.*s", i > 0 ? ", " : "", MLN_FMT(csv->names[i]));
    }
    mln_buf_add_byte(&all, '\0');
    struct mln_err err =
        mln_fail(cx, MLN_E_NOT_FOUND, "there is no column \"%.*s\" (there are: %s)", MLN_FMT(name),
                 all.has_failed ? "" : (const char *)all.ptr);
    mln_buf_drop(&all);
    return err;
}

/* Also what would be taken for a byte order mark. */
static bool wants_quotes(struct mln_bytes field)
{
    if (mln_bytes_starts(field, MLN_BYTES("\xef\xbb\xbf"))) {
        return true;
    }
    for (size_t i = 0; i < field.len; i++) {
        uint8_t c = field.ptr[i];
        if (c == ',' || c == '"' || c == '\n' || c == '\r') {
            return true;
        }
    }
    return false;
}

void mln_csv_print(struct mln_buf *buf, const struct mln_bytes *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_quoted = wants_quotes(fields[i]) || (n == 1 && fields[i].len == 0);
        mln_buf_add_text(buf, i > 0 ? "," : "");
        mln_buf_add_text(buf, is_quoted ? "\"" : "");
        for (size_t j = 0; j < fields[i].len; j++) {
            mln_buf_add_text(buf, fields[i].ptr[j] == '"' ? "\"" : "");
            mln_buf_add_byte(buf, fields[i].ptr[j]);
        }
        mln_buf_add_text(buf, is_quoted ? "\"" : "");
    }
    mln_buf_add_text(buf, "\r\n");
}
