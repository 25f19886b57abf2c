/* SPDX-License-Identifier: Apache-2.0 */
/* Request headers that audit devices show: sys/config/auditing/request-headers, from a copy in memory. */
#include "core/audit_priv.h"

#define HEADERS_BYTES (1u << 20) /* some names */

/* Takes the arena over. */
static void replace(struct mln_audit *audit, struct mln_arena *arena, const struct mln_value *headers)
{
    pthread_rwlock_wrlock(&audit->headers_lock);
    struct mln_arena *old = audit->headers_arena;
    audit->headers_arena = arena;
    audit->headers = headers;
    pthread_rwlock_unlock(&audit->headers_lock);
    mln_arena_free(old);
}

void audit_headers_forget(struct mln_audit *audit)
{
    replace(audit, NULL, NULL);
}

struct mln_err audit_headers_load(struct mln_cx *cx, struct mln_txn *txn, struct mln_audit *audit)
{
    const struct mln_value *row = NULL;
    struct mln_err err =
        mln_txn_get_value(cx, txn, mln_core_view("root/sys/"), MLN_BYTES(MLN_AUDIT_HEADERS_ROW), &row);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && mln_len(row) == 0)) {
        audit_headers_forget(audit);
        return MLN_OK;
    }
    MLN_TRY(err);
    struct mln_arena *arena = mln_arena_new(HEADERS_BYTES, false);
    struct mln_cx own;
    mln_cx_init(&own, arena);
    const struct mln_value *copy = arena == NULL ? NULL : mln_value_dup(&own, row);
    if (copy == NULL || mln_failed(mln_cx_err(&own))) {
        mln_arena_free(arena);
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the headers that are audited");
    }
    replace(audit, arena, copy);
    return MLN_OK;
}

/* One header's values as the device shows them. */
static const struct mln_value *shown(struct mln_cx *cx, const struct audit_device *device,
                                     const struct mln_value *values, bool is_hashed)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(values); i++) {
        struct mln_bytes value = mln_get_bytes(mln_item(values, i));
        char *mac = is_hashed ? mln_new(cx, 64 + 13) : NULL;
        if (mac != NULL) {
            audit_mac(device, value, mac);
            value = mln_bytes_of(mac);
        }
        if (!is_hashed || mac != NULL) {
            mln_push(cx, out, mln_string(cx, value));
        }
    }
    return out;
}

const struct mln_value *audit_headers_shown(struct mln_cx *cx, struct mln_audit *audit,
                                            const struct audit_device *device, const struct mln_value *sent)
{
    struct mln_value *out = NULL;
    pthread_rwlock_rdlock(&audit->headers_lock);
    for (size_t i = 0; i < mln_len(audit->headers); i++) {
        const struct mln_member *m = mln_member_at(audit->headers, i);
        const struct mln_value *values = mln_get_key(sent, m->key);
        if (mln_len(values) > 0) {
            out = out != NULL ? out : mln_object(cx);
            mln_put_key(cx, out, mln_bytes_dup(cx, m->key),
                        shown(cx, device, values, mln_get_bool(mln_get(&m->value, "hmac"), false)));
        }
    }
    pthread_rwlock_unlock(&audit->headers_lock);
    return out;
}
