/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public test suite of age (C2SP CCTV): every binary X25519 and passphrase vector. Merlon does
 * not read armor and post-quantum recipients, so their vectors are not here.
 */
#include "kit/kit.h"

#include <string.h>
#include <zlib.h>

#include "artifact/age.h"
#include "base/io.h"
#include "crypto/crypto.h"

#define FILE_MAX ((size_t)32 << 20) /* of a vector when inflated: 258 chunks are 17 MiB */

struct vector {
    struct mln_bytes expect, payload, passphrase, file;
    struct mln_buf identities; /* text, one a line */
    bool is_compressed;
};

static void read_head(struct mln_bytes text, struct vector *v)
{
    *v = (struct vector){0};
    for (;;) {
        struct mln_bytes line = mln_bytes_cut(text, '\n', &text);
        if (line.len == 0) {
            break;
        }
        struct mln_bytes value;
        struct mln_bytes key = mln_bytes_cut(line, ':', &value);
        value = mln_bytes_from(value, 1);
        if (mln_bytes_is(key, "expect")) {
            v->expect = value;
        } else if (mln_bytes_is(key, "payload")) {
            v->payload = value;
        } else if (mln_bytes_is(key, "passphrase")) {
            v->passphrase = value;
        } else if (mln_bytes_is(key, "compressed")) {
            v->is_compressed = true;
        } else if (mln_bytes_is(key, "identity")) {
            mln_buf_add_bytes(&v->identities, value);
            mln_buf_add_byte(&v->identities, '\n');
        }
    }
    v->file = text;
}

static uint8_t *inflate_file(struct vector *v)
{
    uLongf n = FILE_MAX;
    uint8_t *to = mln_alloc(FILE_MAX);
    assert_non_null(to);
    assert_int_equal(uncompress(to, &n, v->file.ptr, v->file.len), Z_OK);
    v->file = mln_bytes_at(to, n);
    return to;
}

static struct mln_err say(void *arg, struct mln_cx *cx, struct mln_buf *to)
{
    mln_buf_add_bytes(to, *(const struct mln_bytes *)arg);
    return mln_buf_ok(cx, to);
}

/* What we say, in the suite's words. */
static const char *outcome(struct mln_err err, const struct mln_cx *cx)
{
    if (!mln_failed(err)) {
        return "success";
    }
    if (mln_is(err, MLN_E_DENIED)) {
        return "no match";
    }
    if (mln_is(err, MLN_E_FORGED)) {
        return strstr(cx->text, "MAC") != NULL                  ? "HMAC failure"
               : strstr(cx->text, "before its payload") != NULL ? "header failure"
                                                                : "payload failure";
    }
    return mln_is(err, MLN_E_PARSE) || mln_is(err, MLN_E_UNSUPPORTED) ? "header failure"
                                                                      : "another failure";
}

static void run_vector(struct mln_cx *cx, const char *name, struct vector *v)
{
    struct mln_secret keys = {0};
    struct mln_buf plain = {0};
    struct mln_age_with with = {0};
    uint8_t hash[32];
    if (v->identities.len > 0) {
        kit_ok(cx, mln_age_identities_parse(cx, mln_buf_bytes(&v->identities), &keys));
        with.identities = mln_secret_bytes(&keys);
    }
    if (v->passphrase.len > 0) {
        with.passphrase = say;
        with.passphrase_arg = &v->passphrase;
    }
    struct mln_err err = mln_age_decrypt_bytes(cx, v->file, &with, &plain);
    if (!mln_bytes_is(v->expect, outcome(err, cx))) {
        fail_msg("%s: %s (%s), the suite says %.*s", name, outcome(err, cx), cx->text,
                 MLN_FMT(v->expect));
    }
    if (!mln_failed(err)) {
        mln_sha256(mln_buf_bytes(&plain), hash);
        kit_text(v->payload, kit_hex_of(cx, mln_bytes_at(hash, sizeof(hash))));
    }
    mln_cx_clear(cx);
    mln_secret_drop(&keys);
    mln_buf_drop(&plain);
}

static void test_suite(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char folder[KIT_PATH_MAX], path[KIT_PATH_MAX];
    const struct mln_value *names = NULL;
    kit_ok(cx, mln_dir_list(cx, kit_test_file(folder, "vectors/cctv"), &names));
    assert_int_equal(mln_len(names), 92);
    for (size_t i = 0; i < mln_len(names); i++) {
        struct vector v;
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        read_head(kit_read_file(cx, kit_path(path, folder, name)), &v);
        uint8_t *inflated = v.is_compressed ? inflate_file(&v) : NULL;
        run_vector(cx, name, &v);
        mln_free(inflated);
        mln_buf_drop(&v.identities);
    }
}

int main(void)
{
    mln_secret_allow_unlocked(true);
    const struct CMUnitTest tests[] = {KIT_TEST(test_suite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
