/* SPDX-License-Identifier: Apache-2.0 */
/* CSV: RFC 4180's forms, what is refused with which line, and printing what was read. */
#include "kit/kit.h"

#include "assure/csv.h"

/* Fields of all rows, header first, with "|" between fields and "/" between records. */
static const struct {
    const char *name, *text, *want;
} good[] = {
    {"LF", "a,b\n1,2\n3,4\n", "a|b/1|2/3|4/"},
    {"CRLF", "a,b\r\n1,2\r\n", "a|b/1|2/"},
    {"no line end at the end", "a,b\n1,2", "a|b/1|2/"},
    {"header only", "a,b\n", "a|b/"},
    {"header only, no line end", "a", "a/"},
    {"byte order mark",
     "\xef\xbb\xbf"
     "a,b\n1,2\n",
     "a|b/1|2/"},
    {"quoted header", "\"a\",\"b c\"\n1,2\n", "a|b c/1|2/"},
    {"comma in quotes", "a,b\n\"1,5\",2\n", "a|b/1,5|2/"},
    {"doubled quotes", "a,b\n\"say \"\"hi\"\"\",2\n", "a|b/say \"hi\"|2/"},
    {"only a doubled quote", "a,b\n\"\"\"\",2\n", "a|b/\"|2/"},
    {"line end in quotes", "a,b\n\"1\r\n2\",3\n", "a|b/1\r\n2|3/"},
    {"empty fields", "a,b,c\n,,\n\"\",x,\"\"\n", "a|b|c/||/|x|/"},
    {"spaces kept", "a,b\n 1 , 2\n", "a|b/ 1 | 2/"},
    {"UTF-8",
     "gr\xc3\xb6\xc3\x9f"
     "e\n1\n",
     "gr\xc3\xb6\xc3\x9f"
     "e/1/"},
    {"one empty quoted field", "a\n\"\"\n", "a//"},
};

static const struct {
    const char *name, *text, *part;
} refused[] = {
    {"empty", "", "empty"},
    {"only a mark", "\xef\xbb\xbf", "empty"},
    {"too few fields", "a,b\n1,2\n3\n", "line 3 has 1 fields, the header 2"},
    {"too many fields", "a,b\n1,2,3\n", "line 2 has 3 fields"},
    {"empty line", "a,b\n1,2\n\n3,4\n", "line 3 is empty"},
    {"empty line, CRLF", "a,b\r\n\r\n", "line 2 is empty"},
    {"quote inside", "a,b\n1\"2,3\n", "quote stands inside an unquoted field in line 2"},
    {"text behind a quote", "a,b\n\"1\"2,3\n", "follows a closing quote in line 2"},
    {"open quote", "a,b\n1,\"2\n3,4\n", "not closed in line 4"},
    {"bare CR", "a,b\r1,2\n", "carriage return stands alone in line 1"},
    {"CR at the end", "a,b\n1,2\r", "carriage return"},
    {"bad UTF-8", "a,b\n1,\xff\n", "UTF-8 text in line 2"},
    {"name without text", "a,,c\n1,2,3\n", "column 2 has no name"},
    {"empty header line", "\n1\n", "column 1 has no name"},
    {"same name twice", "a,b,a\n1,2,3\n", "column a stands twice"},
    {"line counted over quoted line ends", "a,b\n\"1\n2\",3\n4\n", "line 4 has 1"},
};

static void test_good(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(good); i++) {
        struct mln_csv csv;
        struct mln_buf got = {0};
        kit_expect(cx, good[i].name, mln_csv_parse(cx, mln_bytes_of(good[i].text), &csv), MLN_E_OK);
        for (size_t row = 0; row <= csv.n_rows; row++) {
            for (size_t column = 0; column < csv.n_columns; column++) {
                mln_buf_add_text(&got, column > 0 ? "|" : "");
                mln_buf_add_bytes(&got, row == 0 ? csv.names[column]
                                                 : mln_csv_field(&csv, row - 1, column));
            }
            mln_buf_add_text(&got, "/");
        }
        kit_text(mln_buf_bytes(&got), good[i].want);
        assert_int_equal(csv.had_bom, good[i].text[0] == '\xef');
        mln_buf_drop(&got);
    }
}

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_csv csv;
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        struct mln_err err = mln_csv_parse(cx, mln_bytes_of(refused[i].text), &csv);
        kit_expect_at(cx, err, MLN_E_PARSE, refused[i].part, refused[i].name, __FILE__, __LINE__);
    }
    kit_refused_with(cx, mln_csv_parse(cx, mln_bytes_at("a\n\0\n", 4), &csv), MLN_E_PARSE,
                     "UTF-8 text");
}

static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_csv csv;
    struct mln_buf text = {0};
    for (int i = 0; i < MLN_CSV_COLUMNS_MAX; i++) {
        mln_buf_add_format(&text, "%sc%d", i > 0 ? "," : "", i);
    }
    kit_ok(cx, mln_csv_parse(cx, mln_buf_bytes(&text), &csv));
    assert_int_equal(csv.n_columns, MLN_CSV_COLUMNS_MAX);
    mln_buf_add_text(&text, ",more");
    kit_refused(cx, mln_csv_parse(cx, mln_buf_bytes(&text), &csv), MLN_E_TOO_LARGE);
    mln_buf_clear(&text);
    mln_buf_add_text(&text, "a\n");
    for (unsigned i = 0; i <= MLN_CSV_FIELD_MAX; i++) {
        mln_buf_add_byte(&text, 'x');
    }
    kit_refused(cx, mln_csv_parse(cx, mln_buf_bytes(&text), &csv), MLN_E_TOO_LARGE);
    mln_buf_drop(&text);
}

static void test_columns(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_csv csv;
    size_t at = 9;
    kit_ok(cx, mln_csv_parse(cx, MLN_BYTES("y,p,sex\n0,1,F\n"), &csv));
    kit_ok(cx, mln_csv_column(cx, &csv, MLN_BYTES("sex"), &at));
    assert_int_equal(at, 2);
    assert_int_equal(csv.lines[0], 2);
    kit_refused_with(cx, mln_csv_column(cx, &csv, MLN_BYTES("Sex"), &at), MLN_E_NOT_FOUND,
                     "y, p, sex");
}

/* Read, print, read: the same fields. */
static void test_round_trip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(good); i++) {
        struct mln_csv first;
        struct mln_csv second;
        struct mln_buf text = {0};
        kit_ok(cx, mln_csv_parse(cx, mln_bytes_of(good[i].text), &first));
        mln_csv_print(&text, first.names, first.n_columns);
        for (size_t row = 0; row < first.n_rows; row++) {
            mln_csv_print(&text, first.fields + row * first.n_columns, first.n_columns);
        }
        kit_ok(cx, mln_csv_parse(cx, mln_buf_bytes(&text), &second));
        assert_int_equal(first.n_rows, second.n_rows);
        for (size_t k = 0; k < first.n_rows * first.n_columns; k++) {
            kit_same(cx, second.fields[k], first.fields[k]);
        }
        mln_buf_drop(&text);
    }
}

static struct mln_err parse_body(struct mln_cx *cx, void *arg)
{
    struct mln_csv csv;
    (void)arg;
    return mln_csv_parse(cx, MLN_BYTES("a,b\n\"x\"\"y\",2\n"), &csv);
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, parse_body, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_good),    KIT_TEST(test_refused),    KIT_TEST(test_limits),
        KIT_TEST(test_columns), KIT_TEST(test_round_trip), KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
