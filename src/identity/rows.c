/* SPDX-License-Identifier: Apache-2.0 */
/* What rows of entities and of groups share: keys, links, arrays of texts. */
#include "identity/identity_priv.h"

#include "base/clock.h"

bool id_is_id(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (!(c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
              (c >= 'A' && c <= 'Z'))) {
            return false;
        }
    }
    return text.len > 0 && text.len <= 64;
}

/* Hex, so that any name stays one segment; ASCII letters folded, as Vault finds names. */
struct mln_bytes id_name_key(struct mln_cx *cx, const char *kind, struct mln_bytes name)
{
    uint8_t *low = mln_new(cx, name.len + 1);
    for (size_t i = 0; low != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        low[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
    }
    return mln_bytes_format(cx, "%s/%s", kind,
                            mln_hex_text(cx, mln_bytes_at(low, low != NULL ? name.len : 0)));
}

const char *id_new_uuid(struct mln_cx *cx)
{
    char id[37];
    mln_uuid(id);
    return mln_text_dup(cx, mln_bytes_of(id));
}

struct mln_err id_link(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes key,
                       const char **ret)
{
    const struct mln_value *id = NULL;
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_txn_get_value(cx, txn, id_view(), key, &id));
    *ret = mln_get_text(cx, id, "");
    return mln_cx_err(cx);
}

struct mln_err id_row(struct mln_cx *cx, struct mln_txn *txn, const char *kind, struct mln_bytes id,
                      const struct mln_value **ret)
{
    if (!id_is_id(id)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return mln_txn_get_value(cx, txn, id_view(), mln_bytes_format(cx, "%s/%.*s", kind, MLN_FMT(id)),
                             ret);
}

struct mln_err id_names(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes prefix,
                        const struct mln_value **ret)
{
    *ret = NULL;
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = mln_txn_list(cx, txn, id_view(), prefix, ret);
    *ret = *ret != NULL ? *ret : mln_array(cx);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

const char *id_text(struct mln_cx *cx, const struct mln_value *object, const char *key)
{
    return mln_get_text(cx, mln_get(object, key), "");
}

bool id_has(const struct mln_value *texts, struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(texts); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(texts, i)), text)) {
            return true;
        }
    }
    return false;
}

struct mln_value *id_without(struct mln_cx *cx, const struct mln_value *texts,
                             struct mln_bytes text)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(texts); i++) {
        if (!mln_bytes_eq(mln_get_bytes(mln_item(texts, i)), text)) {
            mln_push(cx, out, mln_item(texts, i));
        }
    }
    return out;
}
