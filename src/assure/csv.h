/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV after RFC 4180, strict: comma, double quotes, LF or CRLF, one header, the same number of
 * fields in every record. Refused: a bare quote inside an unquoted field, text behind a closing
 * quote, a bare CR, NUL, bad UTF-8, an empty or repeated column name, an empty line. A byte order
 * mark is skipped and noted. No guessing of separators, no comments.
 */
#pragma once

#include "base/value.h"

#define MLN_CSV_COLUMNS_MAX 4096
#define MLN_CSV_ROWS_MAX                                                                           \
    (64u << 20) /* a view of 16 bytes a field: memory is the limit before that */
#define MLN_CSV_FIELD_MAX (1u << 20)
#define MLN_CSV_BYTES_MAX ((size_t)512 << 20) /* of a file read into memory */

struct mln_csv {
    const struct mln_bytes *names; /* columns */
    size_t n_columns;
    const struct mln_bytes *fields; /* n_rows * n_columns, row by row */
    size_t n_rows;
    const uint32_t *lines; /* the line that each row begins at, for errors; the header is line 1 */
    bool had_bom;
};

/*
 * text      whole file; fields without quotes inside are borrowed from it
 * ret       in the arena of cx
 * errors    PARSE ("csv: ... in line N"), TOO_LARGE, MEMORY
 */
struct mln_err mln_csv_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_csv *ret);
/* Index of a column; NOT_FOUND names those that there are. */
struct mln_err mln_csv_column(struct mln_cx *cx, const struct mln_csv *csv, struct mln_bytes name,
                              size_t *ret);
static inline struct mln_bytes mln_csv_field(const struct mln_csv *csv, size_t row, size_t column)
{
    return csv->fields[row * csv->n_columns + column];
}
/* Append one record with CRLF; fields are quoted where they must be. */
void mln_csv_print(struct mln_buf *buf, const struct mln_bytes *fields, size_t n);
