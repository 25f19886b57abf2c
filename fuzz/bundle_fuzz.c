/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_bundle_read, mln_bundle_of_files, mln_bundle_apply, mln_bundle_sign, mln_bundle_pack.
 * The first byte chooses: a tar.gz as it is, a tar that is packed first (so that mutations reach behind the checksum of gzip),
 * or files as "PATH\nCONTENT" with 0x1e between. What is read is packed and read again, equal; it is signed and verified.
 */
#include "fuzz.h"

#include "rego/bundle.h"

#include <zlib.h>

#define FILES_MAX 64

static void gzip(struct mln_bytes in, struct mln_buf *out)
{
    z_stream z = {0};
    uint8_t *copy = mln_alloc(in.len + 1);
    MLN_CHECK(copy != NULL && deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    mln_copy(copy, in.ptr, in.len);
    MLN_CHECK(mln_buf_reserve(out, in.len + in.len / 8 + 1024));
    z.next_in = copy;
    z.avail_in = (uInt)in.len;
    z.next_out = out->ptr;
    z.avail_out = (uInt)out->cap;
    MLN_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out->len = z.total_out;
    (void)deflateEnd(&z);
    mln_free(copy);
}

static void print(const struct mln_bundle *b, struct mln_buf *out)
{
    for (size_t i = 0; i < b->n_files; i++) {
        mln_buf_add_text(out, b->files[i].path);
        mln_buf_add_bytes(out, b->files[i].bytes);
    }
    if (!b->is_delta) {
        MLN_CHECK(mln_rego_data_print(b->data, (struct mln_rego_path){0}, out));
    }
}

static void round_trip(struct mln_cx *cx, const struct mln_bundle *b, enum mln_rego_version version)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0}, one = {0}, two = {0};
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *again = NULL;
    struct mln_bundle_options options = {.skip_verify = true, .version = version};
    MLN_CHECK(!mln_failed(mln_bundle_pack(cx, b->files, b->n_files, &packed)));
    MLN_CHECK(!mln_failed(mln_bundle_read(cx, mln_buf_bytes(&packed), &options, &again)));
    print(b, &one);
    print(again, &two);
    MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&one), mln_buf_bytes(&two)));
}

static void sign_and_verify(struct mln_cx *cx, const struct mln_bundle *b, enum mln_rego_version version)
{
    struct mln_bundle_file files[FILES_MAX + 1];
    MLN_AUTO(mln_buf_drop) struct mln_buf signatures = {0};
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *again = NULL;
    struct mln_bundle_signer signer = {.algorithm = "HS256", .key_id = "k", .key = MLN_BYTES("s")};
    struct mln_bundle_key key = {"k", "HS256", MLN_BYTES("s"), NULL};
    struct mln_bundle_verify verify = {.keys = &key, .n_keys = 1, .is_needed = true};
    struct mln_bundle_options options = {.verify = &verify, .version = version};
    size_t n = 0;
    for (size_t i = 0; i < b->n_files && n < FILES_MAX; i++) {
        if (!mln_bytes_is(mln_bytes_of(b->files[i].path), ".signatures.json")) {
            files[n++] = b->files[i];
        }
    }
    if (b->n_files > FILES_MAX || mln_failed(mln_bundle_sign(cx, files, n, &signer, &signatures))) {
        return; /* a document of a kind that is not read, and need not be JSON */
    }
    files[n++] = (struct mln_bundle_file){".signatures.json", mln_buf_bytes(&signatures)};
    MLN_CHECK(!mln_failed(mln_bundle_of_files(cx, files, n, &options, &again)));
    MLN_CHECK(again->is_verified);
}

static void look(struct mln_cx *cx, const struct mln_bundle *b, enum mln_rego_version version)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *old = NULL;
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *now = NULL;
    MLN_CHECK(!mln_failed(mln_rego_data_load(cx, MLN_BYTES("{\"a\":{\"b\":1},\"z\":[1]}"), &old)));
    struct mln_err err = mln_bundle_apply(cx, b, old, &now);
    MLN_CHECK(b->is_delta || !mln_failed(err));
    mln_cx_clear(cx);
    round_trip(cx, b, version);
    mln_cx_clear(cx);
    sign_and_verify(cx, b, version);
}

static struct mln_err read_files(struct mln_cx *cx, struct mln_bytes rest, const struct mln_bundle_options *options,
                                 struct mln_bundle **ret)
{
    struct mln_bundle_file files[FILES_MAX];
    size_t n = 0;
    while (rest.len > 0 && n < FILES_MAX) {
        struct mln_bytes content, one = mln_bytes_cut(rest, 0x1e, &rest);
        struct mln_bytes path = mln_bytes_cut(one, '\n', &content);
        files[n++] = (struct mln_bundle_file){mln_text_dup(cx, path), content};
    }
    return mln_bundle_of_files(cx, files, n, options, ret);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct mln_bundle_options options = {.skip_verify = true};
    struct mln_bytes in = mln_bytes_from(mln_bytes_at(data, size), 1);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (size == 0) {
        return 0;
    }
    options.version = (data[0] & 4) != 0 ? MLN_REGO_V0 : MLN_REGO_V1;
    struct mln_err err;
    if (data[0] % 3 == 0) {
        err = mln_bundle_read(&cx, in, &options, &b);
    } else if (data[0] % 3 == 1) {
        gzip(in, &packed);
        err = mln_bundle_read(&cx, mln_buf_bytes(&packed), &options, &b);
    } else {
        err = read_files(&cx, in, &options, &b);
    }
    MLN_CHECK(mln_failed(err) == (b == NULL));
    mln_cx_clear(&cx);
    if (b != NULL) {
        look(&cx, b, options.version);
    }
    return 0;
}
