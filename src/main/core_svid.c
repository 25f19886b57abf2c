/* SPDX-License-Identifier: Apache-2.0 */
#include "main/core_svid.h"

#include "main/main_priv.h"

void core_svid_init(struct core_svid *svid)
{
    *svid = (struct core_svid){.now = {0}};
    (void)pthread_rwlock_init(&svid->lock, NULL);
}

static void clear(struct core_svid_one *one)
{
    mln_secret_drop(&one->key);
    mln_free(one->chain);
    *one = (struct core_svid_one){0};
}

void core_svid_fini(struct core_svid *svid)
{
    clear(&svid->now);
    clear(&svid->before);
    (void)pthread_rwlock_destroy(&svid->lock);
}

struct mln_err core_svid_set(struct mln_cx *cx, struct core_svid *svid, struct mln_bytes chain, struct mln_bytes pkcs8)
{
    struct core_svid_one next = {0};
    if (chain.len > 0) {
        MLN_TRY(tls_key_take(cx, pkcs8, &next.key));
        next.chain = mln_alloc(chain.len);
        next.chain_n = chain.len;
        if (next.chain == NULL) {
            clear(&next);
            return mln_fail(cx, MLN_E_MEMORY, "no memory for a certificate");
        }
        mln_copy(next.chain, chain.ptr, chain.len);
    }
    (void)pthread_rwlock_wrlock(&svid->lock);
    clear(&svid->before);
    if (chain.len > 0) {
        next.number = CORE_SVID_KEYS + ++svid->made;
        svid->before = svid->now;
    } else {
        clear(&svid->now);
    }
    svid->now = next;
    (void)pthread_rwlock_unlock(&svid->lock);
    return MLN_OK;
}

struct mln_err core_svid_show(struct mln_cx *cx, struct core_svid *svid, struct mln_value *to)
{
    (void)pthread_rwlock_rdlock(&svid->lock);
    bool has_one = svid->now.number != 0;
    if (has_one) {
        mln_put(cx, to, "chain", mln_blob(cx, mln_bytes_dup(cx, mln_bytes_at(svid->now.chain, svid->now.chain_n))));
        mln_put_int(cx, to, "key", svid->now.number);
    }
    (void)pthread_rwlock_unlock(&svid->lock);
    return has_one ? mln_cx_err(cx) : mln_fail(cx, MLN_E_UNREACHABLE, "core: it has no SVID to show");
}

struct mln_err core_svid_sign(struct mln_cx *cx, struct core_svid *svid, int64_t key, enum mln_tls_how how, struct mln_bytes input,
                              struct mln_buf *sig)
{
    (void)pthread_rwlock_rdlock(&svid->lock);
    const struct core_svid_one *one = svid->now.number == key ? &svid->now : svid->before.number == key ? &svid->before : NULL;
    struct mln_err err = one != NULL ? tls_key_sign(cx, &one->key, how, input, sig)
                                     : mln_fail(cx, MLN_E_INVALID, "core: a handshake took longer than its SVID was kept");
    (void)pthread_rwlock_unlock(&svid->lock);
    return err;
}
