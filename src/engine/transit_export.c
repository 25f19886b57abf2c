/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: the material of exportable keys, and public halves of any. */
#include "engine/transit_priv.h"

#include "base/text.h"

enum what { WHAT_CIPHER, WHAT_SIGN, WHAT_HMAC, WHAT_PUBLIC };

static struct mln_err export_kind(struct mln_request *rq, const struct transit_key *key,
                                  enum what *ret)
{
    static const char *const names[] = {"encryption-key", "signing-key", "hmac-key", "public-key"};
    const struct transit_traits *traits = transit_traits(key->type);
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "kind"));
    size_t i = 0;
    while (i < MLN_COUNT(names) && !mln_bytes_is(name, names[i])) {
        i++;
    }
    if (i == MLN_COUNT(names)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid export type: %.*s", MLN_FMT(name));
    }
    *ret = (enum what)i;
    if (*ret != WHAT_PUBLIC && !transit_is(key, TRANSIT_EXPORTABLE)) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION, "private key material is not exportable");
    }
    const char *why =
        *ret == WHAT_CIPHER && !traits->encrypts  ? "encryption not supported for the key"
        : *ret == WHAT_SIGN && !traits->signs     ? "signing not supported for the key"
        : *ret == WHAT_PUBLIC && !traits->is_pair ? "unknown key type for export type public-key"
                                                  : NULL;
    return why == NULL ? MLN_OK : mln_fail(rq->cx, MLN_E_INVALID, "%s", why);
}

/* Of Ed25519 the seed and the public half, as Go has it; of RSA and EC a PEM; else the bytes. */
static const char *private_text(struct mln_cx *cx, enum transit_type type,
                                const struct transit_version *v)
{
    const struct transit_traits *traits = transit_traits(type);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (traits->is_akey) {
        const char *label = mln_akey_is_rsa(traits->akey) ? "RSA PRIVATE KEY" : "EC PRIVATE KEY";
        return mln_failed(mln_pem_print(cx, label, v->key, &text))
                   ? ""
                   : mln_text_dup(cx, mln_buf_bytes(&text));
    }
    mln_buf_add_bytes(&text, v->key);
    if (type == TRANSIT_ED25519) {
        mln_buf_add_bytes(&text, v->public);
    }
    return mln_failed(mln_buf_ok(cx, &text))
               ? ""
               : mln_base64_text(cx, mln_buf_bytes(&text), MLN_B64_STD);
}

static struct mln_err export_one(struct mln_request *rq, const struct transit_key *key,
                                 int64_t number, enum what what, struct mln_value *out)
{
    struct mln_cx *cx = rq->cx;
    struct transit_version v;
    MLN_TRY(transit_version_of(rq, key, number, &v));
    const char *name = mln_text_format(cx, "%lld", (long long)number);
    if (what == WHAT_PUBLIC) {
        mln_put_text(cx, out, name, transit_public_text(cx, key->type, v.public));
        return mln_cx_err(cx);
    }
    if (what != WHAT_HMAC && v.key.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "version %lld does not contain a private part",
                        (long long)number);
    }
    const char *text = what == WHAT_HMAC ? mln_base64_text(cx, v.hmac, MLN_B64_STD)
                                         : private_text(cx, key->type, &v);
    mln_put(cx, out, name, mln_secret_string(cx, mln_bytes_of(text)));
    return mln_cx_err(cx);
}

/* "", "latest", "3" or "v3" -> first and last */
static struct mln_err read_range(struct mln_request *rq, const struct transit_key *key,
                                 int64_t *first, int64_t *last)
{
    struct mln_bytes version = mln_get_bytes(mln_field_of(rq, "version"));
    int64_t number = key->latest;
    *first = key->min_decryption;
    *last = key->latest;
    if (version.len == 0) {
        return MLN_OK;
    }
    if (mln_bytes_starts(version, MLN_BYTES("v"))) {
        version = mln_bytes_from(version, 1);
    }
    if (!mln_bytes_is(version, "latest") && !mln_i64_parse(version, &number)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid key version");
    }
    if (number < key->min_decryption) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "version for export is below minimum decryption version");
    }
    if (number > key->latest) {
        return mln_fail(rq->cx, MLN_E_INVALID, "version does not exist or cannot be found");
    }
    *first = *last = number;
    return MLN_OK;
}

struct mln_err transit_export_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    enum what what = WHAT_PUBLIC;
    int64_t first = 0, last = 0;
    bool is_there = false;
    MLN_TRY(transit_name(rq, &name));
    MLN_TRY(transit_is_there(rq, name, &is_there));
    if (!is_there) {
        return transit_absent(re);
    }
    MLN_TRY(transit_need(rq, "", &key));
    MLN_TRY(export_kind(rq, &key, &what));
    MLN_TRY(read_range(rq, &key, &first, &last));
    struct mln_value *keys = mln_object(rq->cx), *data = mln_object(rq->cx);
    for (int64_t i = first; i <= last; i++) {
        MLN_TRY(export_one(rq, &key, i, what, keys));
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put_bytes(rq->cx, data, "name", name);
    mln_put_text(rq->cx, data, "type", transit_traits(key.type)->name);
    re->data = data;
    return mln_cx_err(rq->cx);
}
