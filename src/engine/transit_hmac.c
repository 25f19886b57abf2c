/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: keyed hashes. Every key has a key for them beside its own; a key of type hmac is one. */
#include "engine/transit_priv.h"

#include "base/text.h"

static struct mln_err hmac_one(struct transit_call *call, const struct mln_value *in,
                               struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    const struct transit_key *key = call->key;
    struct transit_version v;
    enum mln_hash hash = MLN_HASH_SHA2_256;
    uint8_t sum[MLN_HASH_MAX_BYTES];
    int64_t number = transit_int(call->rq->fields, "key_version", 0);
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_TRY(transit_read_hash(call->rq, false, &hash));
    MLN_TRY(transit_read_input(cx, in, "missing input for HMAC", &input));
    number = number == 0 ? key->latest : number;
    if (number < 0) {
        return mln_fail(cx, MLN_E_INVALID, "key version does not exist (cannot be negative)");
    }
    if (number > key->latest) {
        return mln_fail(cx, MLN_E_INVALID, "key version does not exist; latest key version is %lld",
                        (long long)key->latest);
    }
    if (number < key->min_encryption || number < key->min_available) {
        return mln_fail(cx, MLN_E_INVALID,
                        "cannot generate HMAC: version is too old (disallowed by policy)");
    }
    MLN_TRY(transit_version_of(call->rq, key, number, &v));
    mln_hmac_sum(hash, v.hmac, mln_buf_bytes(&input), sum);
    mln_put(cx, out, "hmac",
            transit_wrap_text(cx, number, mln_bytes_at(sum, mln_hash_bytes(hash)), false));
    return MLN_OK;
}

struct mln_err transit_hmac_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {.rq = rq, .key = &key, .is_lenient = true};
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    return transit_run(&call, re, hmac_one);
}

static struct mln_err split_hmac(struct mln_cx *cx, const struct transit_key *key,
                                 struct mln_bytes text, int64_t *ret_version,
                                 struct mln_bytes *ret_payload)
{
    MLN_TRY(transit_split(cx, "HMAC to verify", text, ret_version, ret_payload));
    if (*ret_version > key->latest) {
        return mln_fail(cx, MLN_E_INVALID, "invalid HMAC: version is too new");
    }
    return *ret_version < key->min_decryption
               ? mln_fail(cx, MLN_E_INVALID,
                          "cannot verify HMAC: version is too old (disallowed by policy)")
               : MLN_OK;
}

struct mln_err transit_verify_hmac(struct transit_call *call, const struct mln_value *in,
                                   struct mln_bytes text, bool *ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    struct mln_bytes payload;
    enum mln_hash hash = MLN_HASH_SHA2_256;
    int64_t number = 0;
    uint8_t want[MLN_HASH_MAX_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf given = {0};
    MLN_TRY(transit_read_hash(call->rq, false, &hash));
    MLN_TRY(transit_read_input(cx, in, "missing input", &input));
    MLN_TRY(split_hmac(cx, call->key, text, &number, &payload));
    if (mln_failed(mln_base64_parse(cx, payload, MLN_B64_STD, &given))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "unable to decode verification string as base64: %s",
                          why);
    }
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    mln_hmac_sum(hash, v.hmac, mln_buf_bytes(&input), want);
    *ret = mln_eq_ct(given.ptr, given.len, want, mln_hash_bytes(hash));
    mln_wipe(want, sizeof(want));
    return MLN_OK;
}
