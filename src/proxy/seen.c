/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains that were verified under this identity's bundles. The same peers come again and again, and most of a handshake's cost here is
 * OpenSSL reading the same certificates anew. Only what was trusted is kept, for as long as every certificate that took part in it lasts,
 * and no longer than the snapshot: new bundles begin with nothing. Patterns are asked each time.
 */
#include "crypto/crypto.h"
#include "crypto/x509.h"
#include "proxy/relay_priv.h"

struct seen_row {
    uint8_t digest[MLN_SHA256_BYTES];
    int64_t from_s, until_s;
    char *id; /* NULL = empty */
};
struct seen {
    pthread_mutex_t lock;
    struct seen_row rows[SEEN_MAX];
};

struct seen *seen_new(void)
{
    struct seen *seen = mln_alloc(sizeof(*seen));
    if (seen != NULL) {
        (void)pthread_mutex_init(&seen->lock, NULL);
    }
    return seen;
}

void seen_free(struct seen *seen)
{
    for (size_t i = 0; seen != NULL && i < SEEN_MAX; i++) {
        mln_free(seen->rows[i].id);
    }
    mln_free(seen);
}

/* The digest decides alone: lengths stand in it, and what the certificates are to be used for. */
void seen_digest(enum mln_proxy_side side, const struct mln_bytes *certs, size_t n, uint8_t ret[MLN_SHA256_BYTES])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    mln_buf_add_byte(&all, (uint8_t)side);
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_u32be(&all, (uint32_t)certs[i].len);
        mln_buf_add_bytes(&all, certs[i]);
    }
    mln_fill(ret, 0, MLN_SHA256_BYTES);
    if (!all.has_failed) {
        mln_sha256(mln_buf_bytes(&all), ret);
    }
}

static struct seen_row *row_of(struct seen *seen, const uint8_t digest[MLN_SHA256_BYTES])
{
    return &seen->rows[mln_get_u16be(digest) % SEEN_MAX];
}

bool seen_find(struct mln_cx *cx, struct seen *seen, const uint8_t digest[MLN_SHA256_BYTES], int64_t now_s, struct mln_spiffe_id *ret)
{
    const char *id = NULL;
    (void)pthread_mutex_lock(&seen->lock);
    const struct seen_row *row = row_of(seen, digest);
    if (row->id != NULL && mln_same(row->digest, digest, MLN_SHA256_BYTES) && now_s >= row->from_s && now_s <= row->until_s) {
        id = mln_text_dup(cx, mln_bytes_of(row->id));
    }
    (void)pthread_mutex_unlock(&seen->lock);
    bool is_found = id != NULL && !mln_failed(mln_spiffe_id_parse(cx, mln_bytes_of(id), ret));
    mln_cx_clear(cx);
    return is_found;
}

static void narrow(const struct mln_x509_info *info, int64_t *from_s, int64_t *until_s)
{
    *from_s = info->not_before_s > *from_s ? info->not_before_s : *from_s;
    *until_s = info->not_after_s < *until_s ? info->not_after_s : *until_s;
}

/* From when until when all certificates last that may have taken part: those sent, and those roots that last now. */
static bool span_of(struct mln_cx *cx, const struct mln_bytes *certs, size_t n, const struct mln_proxy_bundle *bundle, int64_t now_s,
                    int64_t *from_s, int64_t *until_s)
{
    struct mln_x509_info info;
    for (size_t i = 0; i < n; i++) {
        if (mln_failed(mln_x509_cert_read(cx, certs[i], &info))) {
            return false;
        }
        narrow(&info, from_s, until_s);
    }
    for (size_t i = 0; i < bundle->n; i++) {
        if (mln_failed(mln_x509_cert_read(cx, bundle->roots[i], &info))) {
            return false;
        }
        if (now_s >= info.not_before_s && now_s <= info.not_after_s) {
            narrow(&info, from_s, until_s);
        }
    }
    return now_s >= *from_s && now_s <= *until_s;
}

void seen_keep(struct mln_cx *cx, struct seen *seen, const uint8_t digest[MLN_SHA256_BYTES], const struct mln_bytes *certs, size_t n,
               const struct seen_trusted *trusted)
{
    int64_t from_s = 0, until_s = INT64_MAX;
    bool is_good = span_of(cx, certs, n, trusted->bundle, trusted->now_s, &from_s, &until_s);
    char *id = is_good ? mln_alloc(trusted->id.len + 1) : NULL;
    mln_cx_clear(cx);
    if (id == NULL) {
        return;
    }
    mln_copy(id, trusted->id.ptr, trusted->id.len);
    (void)pthread_mutex_lock(&seen->lock);
    struct seen_row *row = row_of(seen, digest);
    mln_free(row->id);
    *row = (struct seen_row){.from_s = from_s, .until_s = until_s, .id = id};
    mln_copy(row->digest, digest, MLN_SHA256_BYTES);
    (void)pthread_mutex_unlock(&seen->lock);
}
