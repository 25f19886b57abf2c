/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch tokens: the entry itself, sealed under a key that only the open barrier gives, so that nothing is stored for one.
 *
 * token    "hvb." and base64url without padding of: nonce 24 | XAES-256-GCM of the entry's CBOR | tag 16
 * aad      "merlon batch token 1"
 * of a namespace that is not the root: ".<id>" behind it
 */
#include "core/token_priv.h"

#include "base/cbor.h"
#include "base/clock.h"
#include "base/text.h"

#define PREFIX MLN_BYTES("hvb.")
#define AAD    MLN_BYTES("merlon batch token 1")
#define EXTRA  (MLN_XAES_NONCE_BYTES + MLN_GCM_TAG_BYTES)

bool mln_token_looks_batch(struct mln_bytes token)
{
    return token.len > PREFIX.len && token.len <= MLN_BATCH_MAX && mln_bytes_starts(token, PREFIX);
}

struct mln_err mln_token_batch_seal(struct mln_core *core, struct mln_cx *cx,
                                    const struct mln_value *entry, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true}, text = {.is_secret = true};
    mln_cbor_print(&plain, entry);
    MLN_TRY(mln_buf_ok(cx, &plain));
    uint8_t *box = mln_new(cx, plain.len + EXTRA);
    if (box == NULL) {
        return mln_cx_err(cx);
    }
    mln_random(box, MLN_XAES_NONCE_BYTES);
    MLN_TRY(mln_xaes_seal(cx, core->batch_key, box, AAD, mln_buf_bytes(&plain),
                          box + MLN_XAES_NONCE_BYTES));
    mln_buf_add_bytes(&text, PREFIX);
    mln_base64_print(&text, mln_bytes_at(box, plain.len + EXTRA), MLN_B64_URL_RAW);
    if (!mln_bytes_eq(mln_token_ns(entry), MLN_NS_ROOT)) {
        mln_buf_add_byte(&text, '.');
        mln_buf_add_bytes(&text, mln_token_ns(entry));
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    if (text.len > MLN_BATCH_MAX) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "a batch token carries its policies and metadata: these are too many for one");
    }
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&text));
    return mln_cx_err(cx);
}

static struct mln_err unseal(struct mln_core *core, struct mln_cx *cx, struct mln_bytes token,
                             const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf box = {.is_secret = true};
    struct mln_bytes ns = MLN_BYTES_NONE, text = mln_bytes_cut(mln_bytes_from(token, PREFIX.len), '.', &ns);
    MLN_TRY(mln_base64_parse(cx, text, MLN_B64_URL_RAW, &box));
    if (box.len <= EXTRA) {
        return (struct mln_err){MLN_E_FORGED};
    }
    uint8_t *plain = mln_new(cx, box.len);
    if (plain == NULL) {
        return mln_cx_err(cx);
    }
    MLN_TRY(mln_xaes_open(cx, core->batch_key, box.ptr, AAD,
                          mln_bytes_from(mln_buf_bytes(&box), MLN_XAES_NONCE_BYTES), plain));
    MLN_TRY(mln_cbor_parse(cx, mln_bytes_at(plain, box.len - EXTRA), ret));
    bool is_its = mln_bytes_eq(mln_token_ns(*ret), ns.len > 0 ? ns : MLN_NS_ROOT);
    return is_its ? MLN_OK : (struct mln_err){MLN_E_FORGED};
}

struct mln_err mln_token_batch_open(struct mln_core *core, struct mln_cx *cx,
                                    struct mln_bytes token, const struct mln_value **ret)
{
    struct mln_err err = unseal(core, cx, token, ret);
    if (!mln_failed(err) || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    mln_cx_clear(cx);
    return (struct mln_err){MLN_E_UNAUTHENTIC};
}
