/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record's bytes: content and salt, sealed once and for all before its index is known. The box is bound to class, time and
 * commitment (the associated key ends in them), and the entry that the tree commits to binds those to the index.
 */
#include <inttypes.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "ledger/ledger_priv.h"

#define AAD_PREFIX ROW_PREFIX "content/"
#define AAD_BYTES  (sizeof(AAD_PREFIX) - 1 + BODY_HEAD)

static void aad_of(const uint8_t head[BODY_HEAD], uint8_t to[AAD_BYTES])
{
    mln_copy(to, AAD_PREFIX, sizeof(AAD_PREFIX) - 1);
    mln_copy(to + sizeof(AAD_PREFIX) - 1, head, BODY_HEAD);
}

struct mln_err record_seal(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record, size_t max)
{
    MLN_CHECK(record->klass <= MLN_RECORD_EVIDENCE);
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.max = SALT_BYTES + max, .is_secret = true};
    uint8_t head[BODY_HEAD];
    uint8_t aad[AAD_BYTES];
    uint8_t salt[SALT_BYTES];
    record->index = UINT64_MAX;
    record->time_ns = mln_now_ns();
    mln_random(salt, sizeof(salt));
    mln_buf_add(&plain, salt, sizeof(salt));
    mln_wipe(salt, sizeof(salt));
    mln_cbor_print_sorted(&plain, record->content);
    MLN_TRY(mln_buf_ok(cx, &plain));
    head[0] = (uint8_t)record->klass;
    mln_put_u64be(head + 1, (uint64_t)record->time_ns);
    mln_sha256(mln_buf_bytes(&plain), head + 9);
    aad_of(head, aad);
    struct mln_bytes box = MLN_BYTES_NONE;
    MLN_TRY(mln_barrier_encrypt(cx, ledger->barrier, MLN_NS_ROOT, mln_bytes_at(aad, sizeof(aad)), mln_buf_bytes(&plain), &box));
    uint8_t *body = mln_new(cx, BODY_HEAD + box.len);
    if (body == NULL) {
        return mln_cx_err(cx);
    }
    mln_copy(body, head, BODY_HEAD);
    mln_copy(body + BODY_HEAD, box.ptr, box.len);
    record->frame = mln_bytes_at(body, BODY_HEAD + box.len);
    return MLN_OK;
}

void record_entry(struct mln_bytes body, uint64_t index, uint8_t ret[ENTRY_BYTES])
{
    MLN_CHECK(body.len >= BODY_HEAD);
    ret[0] = ENTRY_VERSION;
    ret[1] = body.ptr[0];
    mln_put_u64be(ret + 2, index);
    mln_copy(ret + 10, body.ptr + 1, 8 + 32);
}

uint64_t entry_index(const uint8_t entry[ENTRY_BYTES])
{
    return mln_get_u64be(entry + 2);
}

struct mln_err record_open(struct mln_cx *cx, struct mln_ledger *ledger, const uint8_t entry[ENTRY_BYTES], struct mln_bytes box,
                           struct mln_bytes *ret_plain)
{
    uint8_t head[BODY_HEAD];
    uint8_t aad[AAD_BYTES];
    uint8_t commitment[32];
    struct mln_bytes plain = MLN_BYTES_NONE;
    head[0] = entry[1];
    mln_copy(head + 1, entry + 10, 8 + 32);
    aad_of(head, aad);
    struct mln_err err = mln_barrier_decrypt(cx, ledger->barrier, MLN_NS_ROOT, mln_bytes_at(aad, sizeof(aad)), box, &plain);
    if (mln_is(err, MLN_E_SEALED) || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (!mln_failed(err)) {
        mln_sha256(plain, commitment);
    }
    if (mln_failed(err) || plain.len < SALT_BYTES || !mln_same(commitment, entry + 18, sizeof(commitment))) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the content of record %" PRIu64 " is not what its entry commits to",
                          entry_index(entry));
    }
    *ret_plain = plain;
    return MLN_OK;
}

const char *record_class_name(unsigned klass)
{
    static const char *const names[] = {
        [MLN_RECORD_ORIGIN] = "origin",     [MLN_RECORD_READ] = "read",   [MLN_RECORD_MUTATION] = "mutation",
        [MLN_RECORD_DENIED] = "denied",     [MLN_RECORD_STRANGER] = "stranger", [MLN_RECORD_LOGIN] = "login",
        [MLN_RECORD_SYSTEM] = "system",     [MLN_RECORD_PRUNE] = "prune", [MLN_RECORD_EVIDENCE] = "evidence",
    };
    return klass < MLN_COUNT(names) ? names[klass] : "unknown";
}
