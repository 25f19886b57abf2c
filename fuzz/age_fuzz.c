/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_age_header_parse, mln_age_header_print, mln_age_unwrap, mln_age_decrypt_bytes,
 * mln_age_identities_parse, mln_age_recipient_parse, mln_bech32_parse.
 */
#include "fuzz.h"

#include "artifact/age.h"

static const uint8_t identity[32] = {
    0x77, 0xd9, 0xaf, 0x12, 0x25, 0x64, 0x92, 0x20, 0xc7, 0xc8, 0xd4, 0x58, 0x68, 0x53, 0x3e, 0xea,
    0x9a, 0x9c, 0xe0, 0xf9, 0x18, 0xc3, 0xed, 0x30, 0xf0, 0x47, 0xbd, 0x94, 0xb7, 0xfe, 0xbf, 0x7b};

/* A header that parses, printed with any key and parsed again, has the same stanzas. */
static void round_trip(struct mln_cx *cx, const struct mln_age_header *header)
{
    static const uint8_t file_key[MLN_AGE_KEY];
    struct mln_age_header again;
    struct mln_buf text = {0};
    struct mln_err err =
        mln_age_header_print(cx, header->stanzas, header->n_stanzas, file_key, &text);
    MLN_CHECK(!mln_failed(err));
    err = mln_age_header_parse(cx, mln_buf_bytes(&text), &again);
    MLN_CHECK(!mln_failed(err));
    MLN_CHECK(again.len == header->len && again.n_stanzas == header->n_stanzas);
    MLN_CHECK(mln_bytes_eq(again.maced, header->maced));
    mln_buf_drop(&text);
}

/* Keys: what is read is printed as it was. */
static void keys(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_age_recipient to;
    struct mln_secret identities = {0};
    struct mln_buf printed = {0};
    if (!mln_failed(mln_age_recipient_parse(cx, text, &to))) {
        mln_age_recipient_print(&printed, to.x25519);
        MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&printed), text));
    }
    mln_cx_clear(cx);
    if (!mln_failed(mln_age_identities_parse(cx, text, &identities))) {
        MLN_CHECK(identities.len > 0 && identities.len % 32 == 0);
    }
    mln_secret_drop(&identities);
    mln_buf_drop(&printed);
    mln_cx_clear(cx);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)8 << 20, false);
    struct mln_cx cx;
    struct mln_age_header header;
    mln_secret_allow_unlocked(true);
    mln_cx_init(&cx, arena);
    keys(&cx, mln_bytes_at(data, size));
    struct mln_err err = mln_age_header_parse(&cx, mln_bytes_at(data, size), &header);
    if (!mln_failed(err)) {
        round_trip(&cx, &header);
    }
    mln_cx_clear(&cx);
    struct mln_age_with with = {.identities = mln_bytes_at(identity, sizeof(identity))};
    struct mln_buf plain = {0};
    err = mln_age_decrypt_bytes(&cx, mln_bytes_at(data, size), &with, &plain);
    MLN_CHECK(!mln_failed(err) || plain.len == 0);
    mln_buf_drop(&plain);
    mln_arena_free(arena);
    return 0;
}
