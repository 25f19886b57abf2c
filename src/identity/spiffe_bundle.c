/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles: our own as a SPIFFE trust bundle document, those of other trust domains as they were set or fetched.
 * Rows "foreign/<trust domain>": {"trust_domain","sequence","refresh_hint","x509":[der],"jwt":[jwk],"updated_ns"}.
 */
#include "identity/spiffe_bundle.h"
#include "identity/spiffe_priv.h"

#include "base/cbor.h"
#include "base/json.h"
#include "identity/identity_priv.h"

#define FOREIGN_MAX 1024u /* trust domains: all are in memory */

/* ---- memory ---- */

static void foreign_free(struct sp_foreign *f)
{
    for (size_t i = 0; i < f->keys_n; i++) {
        mln_free(f->keys[i].kid);
        mln_jose_public_free(f->keys[i].public);
    }
    mln_free(f->keys);
    mln_free(f->id);
    mln_free(f->der);
    mln_free(f->jwks);
    mln_buf_drop(&f->allowed);
    mln_free(f);
}

void sp_foreign_free(struct sp_foreign *list)
{
    for (struct sp_foreign *next; list != NULL; list = next) {
        next = list->next;
        foreign_free(list);
    }
}

static bool load_der(const struct mln_value *row, struct sp_foreign *f)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    const struct mln_value *certs = mln_get(row, "x509");
    for (size_t i = 0; i < mln_len(certs); i++) {
        mln_buf_add_bytes(&der, mln_get_bytes(mln_item(certs, i)));
    }
    f->der = mln_alloc(der.len);
    f->der_n = der.len;
    mln_copy(f->der, der.ptr, f->der != NULL ? der.len : 0);
    return f->der != NULL && !der.has_failed;
}

/* Workloads get keys as they would get ours: without use and alg. */
static bool load_jwks(struct mln_cx *cx, const struct mln_value *row, struct sp_foreign *f)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct mln_value *set = mln_object(cx), *keys = mln_array(cx);
    const struct mln_value *jwt = mln_get(row, "jwt");
    for (size_t i = 0; i < mln_len(jwt); i++) {
        struct mln_value *bare = mln_value_dup(cx, mln_item(jwt, i));
        mln_remove(bare, MLN_BYTES("use"));
        mln_remove(bare, MLN_BYTES("alg"));
        mln_push(cx, keys, bare);
    }
    mln_put(cx, set, "keys", keys);
    mln_json_print(&json, set, MLN_JSON_COMPACT);
    mln_buf_add_byte(&json, 0);
    f->jwks = json.has_failed ? NULL : mln_strdup((const char *)json.ptr);
    return f->jwks != NULL;
}

static bool load_keys(struct mln_cx *cx, const struct mln_value *row, struct sp_foreign *f)
{
    const struct mln_value *jwt = mln_get(row, "jwt");
    f->keys = mln_alloc_array(mln_len(jwt), sizeof(*f->keys));
    for (size_t i = 0; f->keys != NULL && i < mln_len(jwt); i++) {
        struct sp_jwt_key key = {.kid = NULL};
        if (mln_failed(mln_jose_public_from_jwk(cx, mln_item(jwt, i), &key.public))) {
            mln_cx_clear(cx); /* of a kind that is not ours: passed over */
            continue;
        }
        key.kid = mln_strdup(mln_get_text(cx, mln_get(mln_item(jwt, i), "kid"), ""));
        f->keys[f->keys_n++] = key;
        if (key.kid == NULL) {
            return false;
        }
    }
    return f->keys != NULL;
}

struct sp_foreign *sp_foreign_make(struct mln_cx *cx, const char *id, const struct mln_value *row)
{
    struct sp_foreign *f = mln_alloc(sizeof(*f));
    if (f == NULL) {
        return NULL;
    }
    f->id = mln_strdup(id);
    mln_cbor_print(&f->allowed, mln_get(row, "allowed_ids"));
    if (f->id == NULL || f->allowed.has_failed || !load_der(row, f) || !load_jwks(cx, row, f) || !load_keys(cx, row, f)) {
        foreign_free(f);
        return NULL;
    }
    return f;
}

/* Its bundle, and what the relationship with it says, if there is one. */
static struct mln_err foreign_row(struct mln_request *rq, struct mln_bytes name,
                                  const struct mln_value **ret)
{
    const struct mln_value *held = NULL, *relation = NULL;
    MLN_TRY(sp_row_get(rq, "foreign/", name, &held));
    struct mln_value *row = mln_value_dup(rq->cx, held);
    struct mln_err err = sp_row_get(rq, "relationship/", name, &relation);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
    } else {
        MLN_TRY(err);
    }
    mln_put(rq->cx, row, "allowed_ids",
            mln_get(relation, "allowed_ids") != NULL ? mln_get(relation, "allowed_ids")
                                                     : mln_array(rq->cx));
    *ret = row;
    return mln_cx_err(rq->cx);
}

struct mln_err sp_foreign_load(struct mln_request *rq, struct sp_foreign **ret)
{
    const struct mln_value *names = NULL;
    MLN_TRY(sp_row_names(rq, "foreign/", &names));
    for (size_t i = mln_len(names); i-- > 0;) {
        const struct mln_value *row = NULL;
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        MLN_TRY(foreign_row(rq, name, &row));
        struct sp_foreign *f = sp_foreign_make(rq->cx, mln_text_format(rq->cx, "spiffe://%.*s", MLN_FMT(name)), row);
        if (f == NULL) {
            return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for bundles");
        }
        f->next = *ret;
        *ret = f;
    }
    return mln_cx_err(rq->cx);
}

/* ---- our own ---- */

static struct mln_value *x509_key(struct mln_cx *cx, struct mln_bytes der)
{
    struct mln_x509_info info;
    const struct mln_value *jwk = NULL;
    struct mln_value *out, *x5c = mln_array(cx);
    if (mln_failed(mln_x509_cert_read(cx, der, &info)) ||
        mln_failed(mln_jose_jwk_of_spki(cx, info.spki, &jwk))) {
        mln_cx_clear(cx);
        return NULL;
    }
    out = mln_value_dup(cx, jwk);
    mln_put_text(cx, out, "use", "x509-svid");
    mln_push_text(cx, x5c, mln_base64_text(cx, der, MLN_B64_STD));
    mln_put(cx, out, "x5c", x5c);
    return out;
}

static struct mln_err add_x509(struct mln_cx *cx, const struct sp_state *state,
                               struct mln_value *keys)
{
    struct mln_bytes left = mln_bytes_at(state->bundle, state->bundle_n);
    while (left.len > 0) {
        size_t n = sp_der_length(left);
        struct mln_value *key = n > 0 && n <= left.len
                                    ? x509_key(cx, mln_bytes_dup(cx, mln_bytes_sub(left, 0, n)))
                                    : NULL;
        if (key == NULL) {
            return mln_fail(cx, MLN_E_CORRUPT, "an authority's certificate cannot be read");
        }
        mln_push(cx, keys, key);
        left = mln_bytes_from(left, n);
    }
    return MLN_OK;
}

static struct mln_err add_jwt(struct mln_cx *cx, const struct sp_state *state, const char *use,
                              struct mln_value *keys)
{
    const struct mln_value *set = NULL;
    MLN_TRY(mln_json_parse(cx, mln_bytes_dup(cx, mln_bytes_of(state->jwks)), &set));
    const struct mln_value *jwt = mln_get(set, "keys");
    for (size_t i = 0; i < mln_len(jwt); i++) {
        struct mln_value *key = mln_value_dup(cx, mln_item(jwt, i));
        mln_put_text(cx, key, "use", use);
        mln_push(cx, keys, key);
    }
    return mln_cx_err(cx);
}

struct mln_err sp_bundle_document(struct mln_request *rq, struct sp_state *state,
                                  const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct sp_config config;
    const struct mln_value *row = NULL;
    struct mln_value *doc = mln_object(cx), *keys = mln_array(cx);
    MLN_TRY(sp_config_get(rq, &config));
    struct mln_err err = sp_row_get(rq, "bundle", MLN_BYTES_NONE, &row);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    {
        SP_READ(state);
        if (!state->is_loaded) {
            return mln_fail(cx, MLN_E_UNREACHABLE, "authorities are being read");
        }
        MLN_TRY(add_x509(cx, state, keys));
        MLN_TRY(add_jwt(cx, state, "jwt-svid", keys));
    }
    mln_put(cx, doc, "keys", keys);
    mln_put_int(cx, doc, "spiffe_sequence", mln_get_int(mln_get(row, "sequence"), 0));
    mln_put_int(cx, doc, "spiffe_refresh_hint", config.refresh_hint_s);
    *ret = doc;
    return mln_cx_err(cx);
}

/* As JSON that a verifier takes as it is; besides, PEM for tools that know only that. */
static struct mln_value *show(struct mln_cx *cx, struct mln_bytes domain,
                              const struct mln_value *doc)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    struct mln_value *data = mln_object(cx);
    const struct mln_value *keys = mln_get(doc, "keys");
    for (size_t i = 0; i < mln_len(keys); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
        struct mln_bytes text = mln_get_bytes(mln_item(mln_get(mln_item(keys, i), "x5c"), 0));
        if (text.len > 0 && !mln_failed(mln_base64_parse(cx, text, MLN_B64_STD, &der))) {
            mln_buf_add_text(&pem, mln_pem_text(cx, "CERTIFICATE", mln_buf_bytes(&der)));
            mln_buf_add_byte(&pem, '\n');
        }
    }
    mln_put_bytes(cx, data, "trust_domain", domain);
    mln_put(cx, data, "bundle", doc);
    mln_put(cx, data, "certificates", mln_string_dup(cx, mln_buf_bytes(&pem)));
    return data;
}

static struct mln_err read_own(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    const struct mln_value *doc = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(sp_bundle_document(rq, state, &doc));
    re->data = show(rq->cx, mln_bytes_of(state->domain), doc);
    return mln_cx_err(rq->cx);
}

/* ---- others' ---- */

struct mln_err sp_domain_of(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes td = mln_get_bytes(mln_field_of(rq, "trust_domain"));
    td = mln_bytes_starts(td, MLN_BYTES("spiffe://")) ? mln_bytes_from(td, 9) : td;
    *ret = td;
    return mln_spiffe_domain_ok(td)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "a trust domain has 1 to %u of a-z, 0-9, dot, dash and underscore",
                          MLN_SPIFFE_DOMAIN_MAX);
}

static struct mln_err row_of(struct mln_request *rq, struct mln_bytes td,
                             const struct mln_value **ret)
{
    struct mln_err err = sp_row_get(rq, "foreign/", td, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "no bundle of that trust domain")
               : err;
}

static const struct mln_value *document_of(struct mln_cx *cx, const struct mln_value *row)
{
    struct mln_value *doc = mln_object(cx), *keys = mln_array(cx);
    const struct mln_value *x509 = mln_get(row, "x509"), *jwt = mln_get(row, "jwt");
    for (size_t i = 0; i < mln_len(x509); i++) {
        struct mln_value *key = x509_key(cx, mln_get_bytes(mln_item(x509, i)));
        if (key != NULL) {
            mln_push(cx, keys, key);
        }
    }
    for (size_t i = 0; i < mln_len(jwt); i++) {
        struct mln_value *key = mln_value_dup(cx, mln_item(jwt, i));
        mln_put_text(cx, key, "use", "jwt-svid");
        mln_push(cx, keys, key);
    }
    mln_put(cx, doc, "keys", keys);
    mln_put(cx, doc, "spiffe_sequence", mln_get(row, "sequence"));
    mln_put(cx, doc, "spiffe_refresh_hint", mln_get(row, "refresh_hint"));
    return doc;
}

static struct mln_err read_foreign(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes td;
    const struct mln_value *row = NULL;
    MLN_TRY(sp_domain_of(rq, &td));
    MLN_TRY(row_of(rq, td, &row));
    struct mln_value *data = show(rq->cx, td, document_of(rq->cx, row));
    mln_put_int(rq->cx, data, "updated_at",
                mln_get_int(mln_get(row, "updated_ns"), 0) / SP_SECOND_NS);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err sp_foreign_put(struct mln_request *rq, struct mln_bytes td,
                              const struct mln_value *parsed)
{
    struct mln_value *row = mln_value_dup(rq->cx, parsed);
    const struct mln_value *names = NULL;
    MLN_TRY(sp_row_names(rq, "foreign/", &names));
    if (mln_len(names) >= FOREIGN_MAX && !id_has(names, td)) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "a server has bundles of at most %u trust domains",
                        FOREIGN_MAX);
    }
    mln_put_bytes(rq->cx, row, "trust_domain", td);
    mln_put_int(rq->cx, row, "updated_ns", rq->now_ns);
    mln_put_bytes(rq->cx, rq->detail, "trust_domain", td);
    mln_put(rq->cx, rq->detail, "sequence", mln_get(row, "sequence"));
    sp_after_keys(rq);
    return sp_row_put(rq, "foreign/", td, row);
}

static struct mln_err write_foreign(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes td;
    struct sp_state *state = NULL;
    const struct mln_value *asked = mln_field_of(rq, "bundle"), *parsed = NULL;
    (void)re;
    MLN_TRY(sp_domain_of(rq, &td));
    MLN_TRY(sp_state_get(rq, &state));
    if (mln_bytes_is(td, state->domain)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "the bundle of this server's own trust domain is made by its authorities");
    }
    MLN_TRY(sp_bundle_parse_any(rq->cx, asked, &parsed));
    return sp_foreign_put(rq, td, parsed);
}

static struct mln_err delete_foreign(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes td;
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(sp_domain_of(rq, &td));
    MLN_TRY(row_of(rq, td, &row));
    sp_after_keys(rq);
    return sp_row_delete(rq, "foreign/", td);
}

static struct mln_err list_foreign(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    MLN_TRY(sp_row_names(rq, "foreign/", &names));
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field foreign_fields[] = {
    {.name = "trust_domain", .type = MLN_FIELD_TEXT, .help = "The trust domain: other.example."},
    {.name = "bundle",
     .type = MLN_FIELD_ANY,
     .help = "A SPIFFE trust bundle document (JSON), or certificates in PEM."},
    {0},
};
static const struct mln_field none_fields[] = {{0}};

const struct mln_path sp_bundle_paths[] = {
    {.pattern = "bundle",
     .summary = "This trust domain's bundle.",
     .fields = none_fields,
     .read = read_own},
    {.pattern = "bundles",
     .summary = "List bundles of other trust domains.",
     .fields = none_fields,
     .list = list_foreign},
    {.pattern = "bundles/{trust_domain}",
     .summary = "Another trust domain's bundle.",
     .fields = foreign_fields,
     .read = read_foreign,
     .write = write_foreign,
     .remove = delete_foreign,
     .controls = "SC-12"},
    {0},
};
