/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: what is taken, what is refused and why; roots, deltas, signatures; archives that lie. */
#include "kit/kit.h"

#include "base/io.h"
#include "base/json.h"
#include "rego/bundle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* "PATH\nCONTENT" with "\x1e" between files. */
static size_t files_of(struct mln_cx *cx, const char *text, struct mln_bundle_file files[16])
{
    struct mln_bytes rest = mln_bytes_of(text);
    size_t n = 0;
    while (rest.len > 0) {
        struct mln_bytes content, one = mln_bytes_cut(rest, 0x1e, &rest);
        struct mln_bytes path = mln_bytes_cut(one, '\n', &content);
        files[n++] = (struct mln_bundle_file){mln_text_dup(cx, path), content};
    }
    return n;
}

static void assert_data(const struct mln_rego_data *data, const char *want)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    assert_true(mln_rego_data_print(data, (struct mln_rego_path){0}, &buf));
    mln_buf_add_byte(&buf, 0);
    assert_string_equal((const char *)buf.ptr, want);
}

#define AND "\x1e"

static void test_reading(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *files, *data; /* data NULL: refused, and the text has `why` */
        size_t modules;
        const char *why;
    } t[] = {
        {"data.json\n{\"a\":1}", "{\"a\":1}", 0, NULL},
        {"a/b/data.json\n[1]" AND "a/data.yaml\nc: x" AND "README.md\nhello", "{\"a\":{\"b\":[1],\"c\":\"x\"}}", 0, NULL},
        {"p.rego\npackage p\nx := 1" AND ".manifest\n{\"roots\":[\"p\"],\"revision\":\"7\"}", "{}", 1, NULL},
        {".manifest\n{\"roots\":[\"/a/b/\",\"c\"]}" AND "a/b/data.json\n{\"x\":1}" AND "c/d/data.json\n2",
         "{\"a\":{\"b\":{\"x\":1}},\"c\":{\"d\":2}}", 0, NULL},
        {"p.rego\npackage p\nx { true }" AND ".manifest\n{\"rego_version\":0}", "{}", 1, NULL},
        {"p.rego\npackage p\nx { true }" AND "q.rego\npackage q\nx := 1 if true" AND
         ".manifest\n{\"rego_version\":1,\"file_rego_versions\":{\"/p.rego\":0}}", "{}", 2, NULL},
        {"p.rego\npackage p\nx { true }", NULL, 0, "rego_parse_error"},
        {"p.rego\npackage q\nx := 1" AND ".manifest\n{\"roots\":[\"p\"]}", NULL, 0, "do not permit 'package q' in module 'p.rego'"},
        {"data.json\n{\"a\":{\"c\":1}}" AND ".manifest\n{\"roots\":[\"a/b\"]}", NULL, 0, "data at path '/a/c'"},
        {"data.json\n{\"ab\":1}" AND ".manifest\n{\"roots\":[\"a\"]}", NULL, 0, "data at path '/ab'"},
        {"data.json\n{\"a\":1}" AND ".manifest\n{\"roots\":[]}", NULL, 0, "do not permit data"},
        {".manifest\n{\"roots\":[\"a\",\"a/b\"]}", NULL, 0, "overlapped roots: 'a' and 'a/b'"},
        {".manifest\n{\"roots\":[\"a\",\"\"]}", NULL, 0, "overlapped roots"},
        {".manifest\n{\"roots\":\"a\"}", NULL, 0, "roots is a list"},
        {".manifest\n{\"revision\":7}", NULL, 0, "revision is a text"},
        {".manifest\n{\"rego_version\":2}", NULL, 0, "rego_version is 0 or 1"},
        {".manifest\n[]", NULL, 0, "it is an object"},
        {".manifest\n{", NULL, 0, ".manifest: json:"},
        {"data.json\n[1]", NULL, 0, "root of data is an object"},
        {"data.json\n{\"a\":1", NULL, 0, "data.json"},
        {"a/data.json\n1" AND "data.json\n{\"a\":2}", NULL, 0, "\"a\" has another value"},
        {"a/data.yaml\nx: [", NULL, 0, "a/data.yaml"},
        {"../data.json\n{}", NULL, 0, "is no path"},
        {"a//data.json\n{}", NULL, 0, "is no path"},
        {"a/./data.json\n{}", NULL, 0, "is no path"},
        {"data.json\n{}" AND "data.json\n{}", NULL, 0, "is there twice"},
        {"patch.json\n{\"data\":[]}" AND "data.json\n{}", NULL, 0, "a delta has patch.json only"},
        {"patch.json\n{\"data\":[{\"op\":\"add\",\"path\":\"/a\",\"value\":1}]}", NULL, 0, "upsert, remove or replace"},
        {"patch.json\n{\"data\":[{\"op\":\"upsert\",\"path\":\"/a\"}]}", NULL, 0, "need 'value'"},
        {"patch.json\n{\"data\":[{\"op\":\"remove\",\"path\":\"/a\"}]}" AND ".manifest\n{\"roots\":[\"b\"]}", NULL, 0,
         "patch at path '/a'"},
        {"patch.json\n[]", NULL, 0, "[operations]"},
        {".signatures.json\n{\"signatures\":[\"a.b.c\"]}", NULL, 0, "verification key not provided"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bundle_file files[16];
        MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = NULL;
        mln_cx_clear(cx);
        size_t n = files_of(cx, t[i].files, files);
        struct mln_err err = mln_bundle_of_files(cx, files, n, NULL, &b);
        if (t[i].data == NULL) {
            if (!mln_failed(err) || strstr(cx->text, t[i].why) == NULL) {
                fail_msg("row %zu: %s", i, cx->text);
            }
            continue;
        }
        if (mln_failed(err)) {
            fail_msg("row %zu: %s", i, cx->text);
        }
        assert_int_equal(b->n_modules, t[i].modules);
        assert_data(b->data, t[i].data);
    }
}

static void test_round_trip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bundle_file files[16];
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0}, again = {0};
    char path[300] = "very/";
    memset(path + 5, 'l', 200);
    strcpy(path + 205, "/data.json");
    size_t n = files_of(cx, ".manifest\n{\"revision\":\"r1\"}" AND "z.rego\npackage z" AND "a/data.json\n{\"x\":[1,2]}", files);
    files[n++] = (struct mln_bundle_file){path, MLN_BYTES("true")};
    kit_ok(cx, mln_bundle_pack(cx, files, n, &packed));
    kit_ok(cx, mln_bundle_pack(cx, files, n, &again));
    assert_true(mln_bytes_eq(mln_buf_bytes(&packed), mln_buf_bytes(&again)));
    kit_ok(cx, mln_bundle_read(cx, mln_buf_bytes(&packed), NULL, &b));
    assert_string_equal(b->revision, "r1");
    assert_int_equal(b->n_files, 4);
    assert_string_equal(b->files[2].path, path);
    assert_int_equal(b->n_modules, 1);
}

/* ---- archives that lie ---- */

static void gzip(struct mln_bytes in, struct mln_buf *out)
{
    z_stream z = {0};
    uint8_t *copy = mln_alloc(in.len + 1);
    mln_copy(copy, in.ptr, in.len);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_true(mln_buf_reserve(out, in.len + 1024));
    z.next_in = copy;
    z.avail_in = (uInt)in.len;
    z.next_out = out->ptr;
    z.avail_out = (uInt)(in.len + 1024);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len = z.total_out;
    deflateEnd(&z);
    mln_free(copy);
}

static void header(struct mln_buf *tar, const char *name, const char *size, char kind)
{
    uint8_t block[512] = {0};
    unsigned sum = 8 * ' ';
    mln_copy(block, name, strlen(name));
    mln_copy(block + 124, size, strlen(size));
    block[156] = (uint8_t)kind;
    mln_copy(block + 257, "ustar\00000", 8);
    for (size_t i = 0; i < 512; i++) {
        sum += i >= 148 && i < 156 ? 0 : block[i];
    }
    (void)snprintf((char *)block + 148, 8, "%06o", sum);
    mln_buf_add(tar, block, 512);
}

static void refuse_tar(struct mln_cx *cx, struct mln_buf *tar, const char *why)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct mln_bundle *b = NULL;
    mln_cx_clear(cx);
    gzip(mln_buf_bytes(tar), &packed);
    assert_true(mln_failed(mln_bundle_read(cx, mln_buf_bytes(&packed), NULL, &b)));
    assert_null(b);
    if (strstr(cx->text, why) == NULL) {
        fail_msg("%s, not %s", cx->text, why);
    }
    mln_buf_clear(tar);
}

static void test_archives(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const uint8_t zeros[1024];
    MLN_AUTO(mln_buf_drop) struct mln_buf tar = {0};
    header(&tar, "link", "0", '2');
    refuse_tar(cx, &tar, "link or a device");
    header(&tar, "data.json", "00000010000", '0');
    refuse_tar(cx, &tar, "cut short");
    header(&tar, "data.json", "77777777777", '0');
    refuse_tar(cx, &tar, "cut short");
    header(&tar, "data.json", "abc", '0');
    refuse_tar(cx, &tar, "not tar's");
    header(&tar, "data.json", "0", '0');
    tar.ptr[0] = 'x';
    refuse_tar(cx, &tar, "not tar's");
    header(&tar, "../../etc/passwd", "0", '0');
    mln_buf_add(&tar, zeros, 1024);
    refuse_tar(cx, &tar, "is no path");
    header(&tar, "README", "0", '0');
    refuse_tar(cx, &tar, "cut short");
    mln_buf_add(&tar, zeros, 1024);
    header(&tar, "README", "0", '0');
    refuse_tar(cx, &tar, "behind the end");
    header(&tar, "pax", "10", 'x');
    mln_buf_add(&tar, "99999999999 path=x\n", 8);
    mln_buf_add(&tar, zeros, 504);
    refuse_tar(cx, &tar, "extended header");
}

static void test_gzip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf zeros = {0}, packed = {0};
    struct mln_bundle *b = NULL;
    assert_true(mln_buf_reserve(&zeros, (size_t)32 << 20));
    mln_fill(zeros.ptr, 0, (size_t)32 << 20);
    zeros.len = (size_t)32 << 20;
    gzip(mln_buf_bytes(&zeros), &packed);
    kit_refused(cx, mln_bundle_read(cx, mln_buf_bytes(&packed), NULL, &b), MLN_E_TOO_LARGE);
    mln_cx_clear(cx);
    kit_refused(cx, mln_bundle_read(cx, mln_bytes_sub(mln_buf_bytes(&packed), 0, 100), NULL, &b), MLN_E_PARSE);
    mln_cx_clear(cx);
    kit_refused(cx, mln_bundle_read(cx, MLN_BYTES("not gzip"), NULL, &b), MLN_E_PARSE);
    mln_cx_clear(cx);
    kit_refused(cx, mln_bundle_read(cx, MLN_BYTES_NONE, NULL, &b), MLN_E_PARSE);
    mln_buf_clear(&zeros);
    mln_buf_clear(&packed);
    mln_buf_add(&zeros, (const uint8_t[1024]){0}, 1024);
    gzip(mln_buf_bytes(&zeros), &packed);
    mln_buf_add_text(&packed, "more");
    mln_cx_clear(cx);
    kit_refused(cx, mln_bundle_read(cx, mln_buf_bytes(&packed), NULL, &b), MLN_E_PARSE);
    assert_null(b);
}

/* ---- applying ---- */

static void test_apply(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *old, *files, *want; /* want NULL: refused */
    } t[] = {
        {"{\"a\":{\"x\":1},\"z\":1}", "data.json\n{\"a\":{\"y\":2}}" AND ".manifest\n{\"roots\":[\"a\"]}", "{\"a\":{\"y\":2},\"z\":1}"},
        {"{\"a\":{\"b\":1,\"c\":2}}", ".manifest\n{\"roots\":[\"a/b\"]}", "{\"a\":{\"c\":2}}"},
        {"{\"a\":{\"b\":1}}", ".manifest\n{\"roots\":[\"a/b\"]}", "{}"},
        {"{\"a\":1}", "data.json\n{\"b\":2}", "{\"b\":2}"},
        {"{\"a\":{\"b\":1}}",
         "patch.json\n{\"data\":[{\"op\":\"upsert\",\"path\":\"/a/c/d\",\"value\":[1]},"
         "{\"op\":\"remove\",\"path\":\"a/b\"}]}",
         "{\"a\":{\"c\":{\"d\":[1]}}}"},
        {"{\"a\":{\"b\":1}}",
         "patch.json\n{\"data\":[{\"op\":\"replace\",\"path\":\"/a/b\",\"value\":{\"~\":2}}]}", "{\"a\":{\"b\":{\"~\":2}}}"},
        {"{\"a\":1}", "patch.json\n{\"data\":[{\"op\":\"remove\",\"path\":\"/b\"}]}", NULL},
        {"{\"a\":1}", "patch.json\n{\"data\":[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]}", NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bundle_file files[16];
        MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = NULL;
        MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *old = NULL;
        MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *now = NULL;
        mln_cx_clear(cx);
        size_t n = files_of(cx, t[i].files, files);
        kit_ok(cx, mln_rego_data_load(cx, mln_bytes_of(t[i].old), &old));
        kit_ok(cx, mln_bundle_of_files(cx, files, n, NULL, &b));
        struct mln_err err = mln_bundle_apply(cx, b, old, &now);
        if (t[i].want == NULL) {
            assert_true(mln_failed(err));
            assert_null(now);
            assert_data(old, t[i].old);
            continue;
        }
        kit_ok(cx, err);
        mln_bundle_drop(&b);
        mln_rego_data_drop(&old);
        assert_data(now, t[i].want);
    }
}

static void test_roots(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *a, *b;
        bool meet;
    } t[] = {
        {"[\"a\"]", "[\"b\"]", false},   {"[\"a\"]", "[\"a\"]", true},         {"[\"a\"]", "[\"a/b\"]", true},
        {"[\"a/b\"]", "[\"a\"]", true},  {"[\"a\"]", "[\"ab\"]", false},       {"[\"\"]", "[\"x\"]", true},
        {"[]", "[\"\"]", false},         {"[\"a\",\"c\"]", "[\"b\",\"c/d\"]", true},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_bundle_drop) struct mln_bundle *a = NULL;
        MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = NULL;
        struct mln_bytes x, y;
        struct mln_bundle_file fa = {".manifest", mln_bytes_format(cx, "{\"roots\":%s}", t[i].a)};
        struct mln_bundle_file fb = {".manifest", mln_bytes_format(cx, "{\"roots\":%s}", t[i].b)};
        kit_ok(cx, mln_bundle_of_files(cx, &fa, 1, NULL, &a));
        kit_ok(cx, mln_bundle_of_files(cx, &fb, 1, NULL, &b));
        assert_int_equal(mln_bundle_roots_meet(a, b, &x, &y), t[i].meet);
    }
}

/* ---- signatures ---- */

struct signed_case {
    const char *key, *scope_want, *key_id, *spoil; /* spoil: "PATH\nCONTENT" that replaces, or is added */
    const char *why;                               /* NULL: taken */
};

static void test_signatures(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct signed_case t[] = {
        {"secret", "w", NULL, NULL, NULL},
        {"secret", "w", NULL, "data.json\n{ \"b\": \"\xe2\x80\xa8\", \"a\" : 1.50 }", NULL},
        {"secret", "w", NULL, "data.json\n{\"a\":1.5,\"b\":\"\xe2\x80\xa8\"}", "data.json: digest mismatch"},
        {"other", "w", NULL, NULL, "failed to verify JWT signature"},
        {"", "w", NULL, NULL, "failed to verify JWT signature"},
        {"secret", "r", NULL, NULL, "scope mismatch"},
        {"secret", "w", "nobody", NULL, "corresponding to ID nobody not found"},
        {"secret", "w", NULL, "p.rego\npackage p\n", "p.rego: digest mismatch"},
        {"secret", "w", NULL, "new.rego\npackage new", "new.rego not included in bundle signature"},
        {"secret", "w", NULL, "skip/x.rego\npackage new", NULL},
        {"secret", "w", NULL, ".signatures.json\n{\"signatures\":[]}", "missing JWT"},
        {"secret", "w", NULL, ".signatures.json\n{\"signatures\":[\"a.b\"]}", "failed to split"},
        {"secret", "w", NULL, ".signatures.json\n{\"signatures\":[\"a\",\"b\"]}", "multiple JWTs"},
        {"secret", "w", NULL, ".signatures.json\n{\"signatures\":[\"eyJhbGciOiJub25lIiwia2lkIjoiayJ9.e30.\"]}", "failed to split"},
        {"secret", "w", NULL, ".signatures.json\n{\"signatures\":[\"eyJhbGciOiJub25lIiwia2lkIjoiayJ9.e30.AA\"]}", "failed to verify"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bundle_file files[16], more[16];
        MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf signatures = {0};
        mln_cx_clear(cx);
        struct mln_value *claims = mln_object(cx);
        mln_put_text(cx, claims, "scope", "w");
        struct mln_bundle_signer signer = {.algorithm = "HS256", .key_id = "k", .key = MLN_BYTES("secret"), .claims = claims};
        size_t n = files_of(cx, "data.json\n{\"a\":1.50,\"b\":\"\xe2\x80\xa8\"}" AND "p.rego\npackage p", files);
        kit_ok(cx, mln_bundle_sign(cx, files, n, &signer, &signatures));
        files[n++] = (struct mln_bundle_file){".signatures.json", mln_buf_bytes(&signatures)};
        if (t[i].spoil != NULL && files_of(cx, t[i].spoil, more) == 1) {
            size_t k = 0;
            while (k < n && strcmp(files[k].path, more[0].path) != 0) {
                k++;
            }
            files[k] = more[0];
            n += k == n;
        }
        struct mln_bundle_key key = {"k", "HS256", mln_bytes_of(t[i].key), "w"};
        const char *const exclude[] = {"skip/*", NULL};
        struct mln_bundle_verify verify = {.keys = &key, .n_keys = 1, .key_id = t[i].key_id, .scope = t[i].scope_want,
                                           .exclude = exclude, .is_needed = true};
        struct mln_bundle_options options = {.verify = &verify};
        struct mln_err err = mln_bundle_of_files(cx, files, n, &options, &b);
        if (t[i].why == NULL ? mln_failed(err) : !mln_failed(err) || strstr(cx->text, t[i].why) == NULL) {
            fail_msg("row %zu: %s", i, cx->text);
        }
        assert_true(b == NULL || b->is_verified);
    }
}

static void test_unsigned_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bundle_file file = {"data.json", MLN_BYTES("{}")};
    struct mln_bundle_verify verify = {.is_needed = true};
    struct mln_bundle_options options = {.verify = &verify};
    struct mln_bundle *b = NULL;
    kit_refused(cx, mln_bundle_of_files(cx, &file, 1, &options, &b), MLN_E_FORGED);
    mln_cx_clear(cx);
    options.skip_verify = true;
    kit_ok(cx, mln_bundle_of_files(cx, &file, 1, &options, &b));
    assert_false(b->is_verified);
    mln_bundle_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_reading),
        KIT_TEST(test_round_trip),
        KIT_TEST(test_archives),
        KIT_TEST(test_gzip),
        KIT_TEST(test_apply),
        KIT_TEST(test_roots),
        KIT_TEST(test_signatures),
        KIT_TEST(test_unsigned_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
