/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release engine: sign a model with a key of the transit engine. The engine adds nothing to the
 * author's rights: he needs "update" on the key's sign path himself. What it adds is that the
 * signature becomes part of this release's record.
 */
#include "assure/release_priv.h"

#include "base/text.h"

struct signing {
    const char *mount, *name; /* "transit", "release-signing" */
    const char *digest;       /* base64 of 32 bytes */
};

static bool is_plain(struct mln_bytes text, bool with_slash)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || (c == '/' && with_slash);
        if (!is_word) {
            return false;
        }
    }
    return text.len > 0 && text.len <= RELEASE_KEY_MAX && text.ptr[0] != '/' && text.ptr[0] != '.';
}

/* "transit/NAME": all before the last slash is the mount. */
static struct mln_err take_key(struct mln_request *rq, struct signing *to)
{
    struct mln_bytes key = mln_get_bytes(mln_field_of(rq, "key"));
    size_t at = key.len;
    while (at > 0 && key.ptr[at - 1] != '/') {
        at--;
    }
    struct mln_bytes mount = mln_bytes_sub(key, 0, at > 0 ? at - 1 : 0),
                     name = mln_bytes_from(key, at);
    if (!is_plain(mount, true) || !is_plain(name, false)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "key is not MOUNT/NAME of a transit key, such as transit/release-signing");
    }
    to->mount = mln_text_dup(rq->cx, mount);
    to->name = mln_text_dup(rq->cx, name);
    return mln_cx_err(rq->cx);
}

static struct mln_err take_digest(struct mln_request *rq, struct signing *to)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "digest"));
    MLN_AUTO(mln_buf_drop) struct mln_buf digest = {0};
    if (mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, &digest)) || digest.len != 32) {
        return mln_refail(rq->cx, MLN_E_INVALID, "digest is not the base64 of 32 bytes");
    }
    to->digest = mln_text_dup(rq->cx, text);
    return mln_cx_err(rq->cx);
}

/* The base64 behind "vault:vN:". */
static struct mln_err ask_signature(struct mln_request *rq, const struct signing *s,
                                    int64_t *ret_version, const char **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_reply re = {.ledger_index = UINT64_MAX};
    struct mln_value *body = mln_object(cx);
    mln_put_text(cx, body, "input", s->digest);
    mln_put_bool(cx, body, "prehashed", true);
    mln_put_text(cx, body, "marshaling_algorithm", "asn1");
    MLN_TRY(rq->services->call(rq, MLN_OP_WRITE,
                               mln_text_format(cx, "%s/sign/%s", s->mount, s->name), body, &re));
    struct mln_bytes rest, text = mln_get_bytes(mln_get(re.data, "signature"));
    (void)mln_bytes_cut(text, ':', &rest);
    (void)mln_bytes_cut(rest, ':', &rest);
    *ret_version = mln_get_int(mln_get(re.data, "key_version"), 0);
    if (rest.len == 0 || *ret_version < 1) {
        return mln_fail(cx, MLN_E_INVALID, "%s/%s is no key that signs", s->mount, s->name);
    }
    *ret = mln_text_dup(cx, rest);
    return mln_cx_err(cx);
}

static struct mln_err ask_public(struct mln_request *rq, const struct signing *s, int64_t version,
                                 const char **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_reply re = {.ledger_index = UINT64_MAX};
    MLN_TRY(rq->services->call(rq, MLN_OP_READ,
                               mln_text_format(cx, "%s/keys/%s", s->mount, s->name), NULL, &re));
    const struct mln_value *key =
        mln_get(mln_get(re.data, "keys"), mln_text_format(cx, "%lld", (long long)version));
    const char *pem = mln_get_text(cx, mln_get(key, "public_key"), "");
    if (!mln_is_text(mln_get(re.data, "type"), "ecdsa-p256") || pem[0] == '\0') {
        return mln_fail(cx, MLN_E_INVALID, "%s/%s is no ecdsa-p256 key", s->mount, s->name);
    }
    *ret = pem;
    return MLN_OK;
}

struct mln_err release_sign_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *record = NULL;
    struct mln_bytes root;
    struct signing s = {0};
    int64_t version = 0;
    const char *signature = NULL, *public = NULL;
    MLN_TRY(release_need_own(rq, &record));
    MLN_TRY(release_root(rq, &root));
    if (!mln_bytes_eq(root, mln_get_bytes(mln_get(record, "root")))) {
        return mln_fail(cx, MLN_E_INVALID, "the root that is signed is not that of this release");
    }
    MLN_TRY(take_key(rq, &s));
    MLN_TRY(take_digest(rq, &s));
    const char *path = mln_text_format(cx, "%s/sign/%s", s.mount, s.name);
    if (!rq->services->may(rq, path, "update")) {
        return mln_fail(cx, MLN_E_DENIED,
                        "permission denied: signing with %s/%s needs update on %s", s.mount, s.name,
                        path);
    }
    MLN_TRY(ask_signature(rq, &s, &version, &signature));
    MLN_TRY(ask_public(rq, &s, version, &public));
    struct mln_value *made = mln_object(cx);
    mln_put(cx, made, "key", mln_field_of(rq, "key"));
    mln_put_int(cx, made, "version", version);
    mln_put_text(cx, made, "digest", s.digest);
    mln_put_text(cx, made, "signature", signature);
    mln_put_text(cx, made, "public_key", public);
    mln_put_text(cx, made, "time", mln_time_text_go(cx, rq->now_ns));
    mln_put(cx, record, "signature", made);
    struct mln_value *evidence = mln_value_dup(cx, mln_get(record, "evidence"));
    mln_remove(evidence, MLN_BYTES("verify")); /* it was about the signature before */
    mln_put(cx, record, "evidence", evidence);
    release_reopen(rq, record);
    release_tell(rq, record, "sign", "signed");
    mln_put(cx, rq->detail, "key", mln_field_of(rq, "key"));
    mln_put_int(cx, rq->detail, "version", version);
    MLN_TRY(release_store(rq, record, re));
    re->data = made;
    return mln_cx_err(cx);
}
