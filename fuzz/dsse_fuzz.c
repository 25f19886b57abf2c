/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_dsse_parse, mln_dsse_print, mln_dsse_pae, mln_oms_verify_signature. */
#include "fuzz.h"

#include "artifact/oms.h"

static const char key_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/hP18oR4mrxwIrDdSdtYfuPagDEX\n"
                              "YODMApsx1Djz5UMCP6fSIK/SWqzZb5gDRWL47/7++xCJwjjwl0ttKT7aAg==\n"
                              "-----END PUBLIC KEY-----\n";

static bool same(const struct mln_dsse *a, const struct mln_dsse *b)
{
    bool is_same = a->material == b->material && a->n_certs == b->n_certs &&
                   mln_bytes_eq(a->hint, b->hint) && mln_bytes_eq(a->payload, b->payload) &&
                   mln_bytes_eq(a->payload_type, b->payload_type) && mln_bytes_eq(a->sig, b->sig);
    for (size_t i = 0; is_same && i < a->n_certs; i++) {
        is_same = mln_bytes_eq(a->certs[i], b->certs[i]);
    }
    return is_same;
}

/* What was parsed, printed and parsed again is the same. */
static void round_trip(struct mln_cx *cx, const struct mln_dsse *dsse)
{
    struct mln_dsse again;
    struct mln_buf text = {0};
    mln_dsse_print(cx, &text, dsse);
    struct mln_err err = mln_dsse_parse(cx, mln_buf_bytes(&text), &again);
    MLN_CHECK(!mln_failed(err) && same(dsse, &again));
    mln_buf_drop(&text);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)32 << 20, false);
    struct mln_cx cx;
    struct mln_dsse dsse;
    mln_cx_init(&cx, arena);
    struct mln_bytes bundle = mln_bytes_at(data, size);
    struct mln_err err = mln_dsse_parse(&cx, bundle, &dsse);
    if (!mln_failed(err)) {
        round_trip(&cx, &dsse);
    }
    mln_cx_clear(&cx);
    struct mln_oms_trust trust = {.public_pem = mln_bytes_of(key_pem)};
    uint8_t root[32];
    const struct mln_value *signer = NULL;
    err = mln_oms_verify_signature(&cx, bundle, &trust, true, root, &signer);
    MLN_CHECK(mln_failed(err) || signer != NULL);
    mln_arena_free(arena);
    return 0;
}
