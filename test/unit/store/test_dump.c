/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps: what goes out comes back, and whatever was done to the file meanwhile is refused. */
#include "kit/kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "store/dump.h"

#define ROWS 40u

struct world {
    struct mln_cx *cx;
    struct mln_store *store;
    struct mln_buf file, tar;
    struct mln_buf seen;
    unsigned n;
};

static const uint8_t key_one[32] = {1}, key_two[32] = {2};

static struct mln_err to_buf(void *arg, struct mln_cx *cx, struct mln_bytes bytes)
{
    mln_buf_add_bytes(arg, bytes);
    return mln_buf_ok(cx, arg);
}

static void dump(struct world *w, const uint8_t *key)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_dump_sink sink = {to_buf, &w->file};
    struct mln_value *about = mln_object(w->cx);
    mln_put_text(w->cx, about, "origin", "test.local/ledger");
    mln_buf_clear(&w->file);
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    kit_ok(w->cx, mln_dump_write(w->cx, snap, about, key, &sink));
}

/* Plain tar, to be changed and packed again. */
static void unpack(struct world *w)
{
    z_stream z = {0};
    mln_buf_clear(&w->tar);
    assert_true(mln_buf_reserve(&w->tar, 1u << 20));
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    z.next_in = w->file.ptr;
    z.avail_in = (uInt)w->file.len;
    z.next_out = w->tar.ptr;
    z.avail_out = 1u << 20;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    w->tar.len = z.total_out;
    inflateEnd(&z);
}

static void pack(struct world *w)
{
    z_stream z = {0};
    mln_buf_clear(&w->file);
    assert_true(mln_buf_reserve(&w->file, 1u << 20));
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = w->tar.ptr;
    z.avail_in = (uInt)w->tar.len;
    z.next_out = w->file.ptr;
    z.avail_out = 1u << 20;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    w->file.len = z.total_out;
    deflateEnd(&z);
}

static struct mln_err seen_row(void *arg, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes value)
{
    struct world *w = arg;
    struct mln_bytes stored = MLN_BYTES_NONE;
    uint64_t version = 0;
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_TRY(mln_snap_begin(cx, w->store, &snap));
    MLN_TRY(mln_snap_get(cx, snap, key, &stored, &version));
    assert_true(mln_bytes_eq(stored, value));
    w->n++;
    return MLN_OK;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct mln_store_fault *control = NULL;
    w->cx = kit_cx_new();
    kit_ok(w->cx, mln_store_open_fault(w->cx, &w->store, &control));
    for (unsigned i = 0; i < ROWS; i++) {
        char name[1200] = {0};
        static uint8_t value[3000];
        (void)snprintf(name, sizeof(name), "k/%0*u", i % 3 == 0 ? 1100 : 5, i);
        mln_fill(value, (uint8_t)i, sizeof(value));
        struct mln_write write = {.op = MLN_WRITE_PUT, .key = mln_bytes_of(name), .value = mln_bytes_at(value, i * 70u)};
        struct mln_batch batch = {.writes = &write, .n = 1};
        kit_ok(w->cx, mln_store_commit(w->cx, w->store, &batch));
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    mln_store_close(w->store);
    mln_buf_drop(&w->file);
    mln_buf_drop(&w->tar);
    mln_buf_drop(&w->seen);
    kit_cx_free(w->cx);
    free(w);
    return 0;
}

static void test_round(void **state)
{
    struct world *w = *state;
    struct mln_dump_facts facts = {0};
    struct mln_dump_take take = {seen_row, w};
    dump(w, key_one);
    kit_ok(w->cx, mln_dump_read(w->cx, mln_buf_bytes(&w->file), key_one, &take, &facts));
    assert_int_equal(w->n, ROWS);
    assert_int_equal(facts.rows, ROWS);
    assert_true(facts.is_authentic);
    assert_true(mln_is_text(mln_get(facts.about, "origin"), "test.local/ledger"));
    assert_int_equal(mln_get_int(mln_get(facts.about, "format"), 0), MLN_DUMP_FORMAT);
}

static void test_keys(void **state)
{
    struct world *w = *state;
    struct mln_dump_facts facts = {0};
    const struct {
        const char *name;
        const uint8_t *made_with, *read_with;
        bool want;
    } rows[] = {
        {"same", key_one, key_one, true},
        {"another", key_one, key_two, false},
        {"none given", key_one, NULL, false},
        {"made without", NULL, key_one, false},
        {"neither", NULL, NULL, false},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        dump(w, rows[i].made_with);
        kit_expect(w->cx, rows[i].name, mln_dump_read(w->cx, mln_buf_bytes(&w->file), rows[i].read_with, NULL, &facts), MLN_E_OK);
        assert_int_equal(facts.is_authentic, rows[i].want);
    }
}

static void test_every_cut(void **state)
{
    struct world *w = *state;
    struct mln_dump_facts facts = {0};
    dump(w, key_one);
    for (size_t n = 0; n < w->file.len; n += n < 200 || n + 200 > w->file.len ? 1 : 97) {
        struct mln_err err = mln_dump_read(w->cx, mln_bytes_at(w->file.ptr, n), key_one, NULL, &facts);
        assert_true(mln_is(err, MLN_E_PARSE));
        mln_cx_clear(w->cx);
    }
}

/* Any byte of the plain tar that matters, changed. */
static void test_every_change(void **state)
{
    struct world *w = *state;
    struct mln_dump_facts facts = {0};
    dump(w, NULL);
    unpack(w);
    size_t n = w->tar.len, refused = 0, tried = 0;
    for (size_t i = 0; i < n; i += 61) {
        w->tar.ptr[i] ^= 0x20;
        pack(w);
        struct mln_err err = mln_dump_read(w->cx, mln_buf_bytes(&w->file), NULL, NULL, &facts);
        mln_cx_clear(w->cx);
        w->tar.ptr[i] ^= 0x20;
        tried++;
        refused += mln_failed(err) ? 1 : 0;
    }
    assert_true(refused * 10 > tried * 9); /* what passes is padding between members */
}

static void replace_text(struct world *w, const char *from, const char *to)
{
    struct mln_bytes tar = mln_buf_bytes(&w->tar);
    size_t at = mln_bytes_find_bytes(tar, mln_bytes_of(from));
    assert_true(at < tar.len);
    mln_copy(w->tar.ptr + at, to, mln_bytes_of(to).len);
}

static void test_refused(void **state)
{
    struct world *w = *state;
    struct mln_dump_facts facts = {0};
    const struct {
        const char *name, *from, *to;
        enum mln_code want;
        const char *part;
    } rows[] = {
        {"newer", "\"format\":1", "\"format\":7", MLN_E_UNSUPPORTED, "format 7, this program reads formats up to 1"},
        {"no format", "\"format\":1", "\"fOrmat\":1", MLN_E_PARSE, "meta.json is not ours"},
        {"no JSON", "{\"format", "[\"format", MLN_E_PARSE, "meta.json is not ours"},
        {"fewer rows", "\"rows\":40", "\"rows\":39", MLN_E_PARSE, "other rows"},
        {"meta changed", "test.local", "tEst.local", MLN_E_FORGED, "was changed"},
        {"a value changed", "\1\1\1\1\1", "\1\2\1\1\1", MLN_E_FORGED, "was changed"},
        {"rows out of order", "k/00001", "k/00099", MLN_E_PARSE, "not in order"},
        {"sums changed", "  meta.json\n", "  mEta.json\n", MLN_E_FORGED, "was changed"},
        {"another member", "meta.json", "mata.json", MLN_E_PARSE, "headers are not tar's"},
        {"no tar", "ustar", "USTAR", MLN_E_PARSE, "headers are not tar's"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        dump(w, key_one);
        unpack(w);
        replace_text(w, rows[i].from, rows[i].to);
        pack(w);
        kit_expect_at(w->cx, mln_dump_read(w->cx, mln_buf_bytes(&w->file), key_one, NULL, &facts), rows[i].want, rows[i].part,
                      rows[i].name, __FILE__, __LINE__);
    }
}

static void test_no_snapshot(void **state)
{
    struct world *w = *state;
    struct mln_dump_facts facts = {0};
    kit_refused_with(w->cx, mln_dump_read(w->cx, MLN_BYTES_NONE, NULL, NULL, &facts), MLN_E_PARSE, "not gzip");
    kit_refused_with(w->cx, mln_dump_read(w->cx, MLN_BYTES("{\"a\":1}"), NULL, NULL, &facts), MLN_E_PARSE, "not gzip");
    kit_refused_with(w->cx, mln_dump_read(w->cx, MLN_BYTES("\x1f\x8b\x08xxxxxxxxxxxx"), NULL, NULL, &facts), MLN_E_PARSE, "gzip");
    dump(w, NULL);
    mln_buf_add_text(&w->file, "more");
    kit_refused_with(w->cx, mln_dump_read(w->cx, mln_buf_bytes(&w->file), NULL, NULL, &facts), MLN_E_PARSE, "follows its end");
}

static struct mln_err refuse(void *arg, struct mln_cx *cx, struct mln_bytes bytes)
{
    (void)arg, (void)bytes;
    return mln_fail(cx, MLN_E_TOO_LARGE, "enough");
}

static struct mln_err refuse_row(void *arg, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes value)
{
    (void)value;
    return refuse(arg, cx, key);
}

static void test_errors_pass(void **state)
{
    struct world *w = *state;
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_dump_sink sink = {refuse, NULL};
    struct mln_dump_take take = {refuse_row, NULL};
    struct mln_dump_facts facts = {0};
    kit_ok(w->cx, mln_snap_begin(w->cx, w->store, &snap));
    kit_refused_with(w->cx, mln_dump_write(w->cx, snap, NULL, NULL, &sink), MLN_E_TOO_LARGE, "enough");
    dump(w, NULL);
    kit_refused_with(w->cx, mln_dump_read(w->cx, mln_buf_bytes(&w->file), NULL, &take, &facts), MLN_E_TOO_LARGE, "enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_pass, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
