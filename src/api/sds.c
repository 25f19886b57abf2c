/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's secret discovery, version 3, state of the world: the caller's SVIDs and bundles under the names that Envoy's configuration
 * gives. "default" is the first SVID, "ROOTCA" the bundle of the own trust domain, "ALL" all bundles for Envoy's SPIFFE validator;
 * other names are SPIFFE ids (an SVID) or trust domains (a bundle). No names at all: every id and every trust domain.
 * A stream counts its responses: the count is version and nonce. A request that names another nonce answers an older response and says
 * nothing new; one with the same names is an ACK or a NACK, and either way nothing is sent before something changes.
 * Source: envoyproxy.io, xDS protocol; envoy/service/secret/v3/sds.proto, extensions/transport_sockets/tls/v3/secret.proto.
 */
#include <sodium.h>

#include "api/grpc_priv.h"
#include "base/cbor.h"
#include "base/text.h"
#include "crypto/akey.h"

#define SECRET_TYPE     "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
#define VALIDATOR_TYPE  "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
#define VALIDATOR       "envoy.tls.cert_validator.spiffe"
#define REQUEST_MAX     (256u << 10) /* an Envoy tells all its extensions in every first request */
#define NAMES_MAX       256u         /* as many streams a connection may have; Envoy asks for one or two names in each */
#define CERTS_MAX       1024u        /* of one chain or bundle */
#define ARENA_NAMES     (64u << 10)

/* clang-format off */
static const struct mln_pb_field rpc_status[] = {{1, "code", MLN_PB_INT, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field request_fields[] = {
    {1, "version_info", MLN_PB_STRING, MLN_PB_ONE, NULL}, {3, "names", MLN_PB_STRING, MLN_PB_MANY, NULL},
    {4, "type_url", MLN_PB_STRING, MLN_PB_ONE, NULL}, {5, "nonce", MLN_PB_STRING, MLN_PB_ONE, NULL},
    {6, "error", MLN_PB_MESSAGE, MLN_PB_ONE, rpc_status}, {0}};
static const struct mln_pb_field any[] = {
    {1, "type_url", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "value", MLN_PB_BYTES, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field response_fields[] = {
    {1, "version_info", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "resources", MLN_PB_MESSAGE, MLN_PB_MANY, any},
    {4, "type_url", MLN_PB_STRING, MLN_PB_ONE, NULL}, {5, "nonce", MLN_PB_STRING, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field source[] = {{2, "inline", MLN_PB_BYTES, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field certificate[] = {
    {1, "chain", MLN_PB_MESSAGE, MLN_PB_ONE, source}, {2, "key", MLN_PB_MESSAGE, MLN_PB_ONE, source}, {0}};
static const struct mln_pb_field typed[] = {
    {1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "config", MLN_PB_MESSAGE, MLN_PB_ONE, any}, {0}};
static const struct mln_pb_field validation[] = {
    {1, "ca", MLN_PB_MESSAGE, MLN_PB_ONE, source}, {12, "custom", MLN_PB_MESSAGE, MLN_PB_ONE, typed}, {0}};
static const struct mln_pb_field secret[] = {
    {1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "certificate", MLN_PB_MESSAGE, MLN_PB_ONE, certificate},
    {4, "validation", MLN_PB_MESSAGE, MLN_PB_ONE, validation}, {0}};
static const struct mln_pb_field trust_domain[] = {
    {1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "bundle", MLN_PB_MESSAGE, MLN_PB_ONE, source}, {0}};
static const struct mln_pb_field validator[] = {{1, "trust_domains", MLN_PB_MESSAGE, MLN_PB_MANY, trust_domain}, {0}};
/* clang-format on */

struct sds {
    struct mln_buf names; /* CBOR of the array; empty before the first request */
    uint64_t count;       /* responses */
    bool is_fresh;        /* the names are new: answer even if nothing else changed */
    uint8_t digest[16];   /* of the resources that were sent last */
};

/* ---- DER to PEM ---- */

/* One element of DER with its head; none when it is cut or not a sequence. */
static struct mln_bytes der_element(struct mln_bytes der)
{
    size_t n = 0, head = 2;
    if (der.len < 2 || der.ptr[0] != 0x30) {
        return MLN_BYTES_NONE;
    }
    n = der.ptr[1];
    if (n > 0x80) {
        size_t more = n - 0x80;
        if (more > 4 || der.len < 2 + more) {
            return MLN_BYTES_NONE;
        }
        n = 0;
        for (size_t i = 0; i < more; i++) {
            n = n << 8 | der.ptr[2 + i];
        }
        head += more;
    }
    return n == 0x80 || n > der.len - head ? MLN_BYTES_NONE : mln_bytes_sub(der, 0, head + n);
}

/* Certificates behind each other, or one key. */
static struct mln_err pem_of(struct mln_cx *cx, const char *label, struct mln_bytes der, struct mln_value *to, const char *name)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {.is_secret = true};
    struct mln_value *inner = mln_object(cx);
    for (size_t i = 0; der.len > 0; i++) {
        struct mln_bytes one = der_element(der);
        if (one.len == 0 || i >= CERTS_MAX) {
            return mln_fail(cx, MLN_E_INTERNAL, "sds: what core calls DER is none");
        }
        MLN_TRY(mln_pem_print(cx, label, one, &pem));
        der = mln_bytes_from(der, one.len);
    }
    mln_put(cx, inner, "inline", mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&pem))));
    mln_put(cx, to, name, inner);
    return MLN_OK;
}

/* ---- secrets ---- */

static struct mln_err add_any(struct mln_cx *cx, const struct mln_pb_field *fields, const struct mln_value *value, const char *type,
                              struct mln_value *to)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf bytes = {.is_secret = true};
    MLN_TRY(mln_pb_encode(cx, fields, value, &bytes));
    mln_put_text(cx, to, "type_url", type);
    mln_put(cx, to, "value", mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&bytes))));
    return MLN_OK;
}

static struct mln_err push_secret(struct mln_cx *cx, struct mln_bytes name, const char *kind, const struct mln_value *what,
                                  struct mln_value *resources)
{
    struct mln_value *one = mln_object(cx), *wrapped = mln_object(cx);
    mln_put_bytes(cx, one, "name", name);
    mln_put(cx, one, kind, what);
    MLN_TRY(add_any(cx, secret, one, SECRET_TYPE, wrapped));
    mln_push(cx, resources, wrapped);
    return MLN_OK;
}

static struct mln_err push_svid(struct mln_cx *cx, struct mln_bytes name, const struct mln_value *svid, struct mln_value *resources)
{
    struct mln_value *what = mln_object(cx);
    MLN_TRY(pem_of(cx, "CERTIFICATE", mln_get_bytes(mln_get(svid, "chain")), what, "chain"));
    MLN_TRY(pem_of(cx, "PRIVATE KEY", mln_get_bytes(mln_get(svid, "key")), what, "key"));
    return push_secret(cx, name, "certificate", what, resources);
}

static struct mln_err push_bundle(struct mln_cx *cx, struct mln_bytes name, const struct mln_value *bundle, struct mln_value *resources)
{
    struct mln_value *what = mln_object(cx);
    MLN_TRY(pem_of(cx, "CERTIFICATE", mln_get_bytes(bundle), what, "ca"));
    return push_secret(cx, name, "validation", what, resources);
}

static struct mln_err push_all(struct mln_cx *cx, struct mln_bytes name, const struct mln_value *bundles, struct mln_value *resources)
{
    struct mln_value *list = mln_array(cx), *config = mln_object(cx), *custom = mln_object(cx), *what = mln_object(cx);
    struct mln_value *packed = mln_object(cx);
    for (size_t i = 0; i < mln_len(bundles); i++) {
        const struct mln_member *m = mln_member_at(bundles, i);
        struct mln_value *one = mln_object(cx);
        bool has_scheme = mln_bytes_starts(m->key, MLN_BYTES("spiffe://"));
        mln_put_bytes(cx, one, "name", mln_bytes_from(m->key, has_scheme ? 9 : 0));
        MLN_TRY(pem_of(cx, "CERTIFICATE", mln_get_bytes(&m->value), one, "bundle"));
        mln_push(cx, list, one);
    }
    mln_put(cx, config, "trust_domains", list);
    MLN_TRY(add_any(cx, validator, config, VALIDATOR_TYPE, packed));
    mln_put_text(cx, custom, "name", VALIDATOR);
    mln_put(cx, custom, "config", packed);
    mln_put(cx, what, "custom", custom);
    return push_secret(cx, name, "validation", what, resources);
}

static struct mln_err push_named(struct mln_cx *cx, struct mln_bytes name, const struct mln_value *data, struct mln_value *resources)
{
    const struct mln_value *svids = mln_get(data, "svids"), *bundles = mln_get(data, "bundles");
    if (mln_bytes_is(name, "ALL")) {
        return push_all(cx, name, bundles, resources);
    }
    const struct mln_value *bundle = mln_bytes_is(name, "ROOTCA") ? mln_get(mln_item(svids, 0), "bundle") : mln_get_key(bundles, name);
    if (bundle != NULL) {
        return push_bundle(cx, name, bundle, resources);
    }
    for (size_t i = 0; i < mln_len(svids); i++) {
        const struct mln_value *svid = mln_item(svids, i);
        if (mln_bytes_is(name, "default") || mln_bytes_eq(name, mln_get_bytes(mln_get(svid, "spiffe_id")))) {
            return push_svid(cx, name, svid, resources);
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "no secret of that name for this workload");
}

static struct mln_err push_every(struct mln_cx *cx, const struct mln_value *data, struct mln_value *resources)
{
    const struct mln_value *svids = mln_get(data, "svids"), *bundles = mln_get(data, "bundles");
    for (size_t i = 0; i < mln_len(svids); i++) {
        const struct mln_value *svid = mln_item(svids, i);
        MLN_TRY(push_svid(cx, mln_get_bytes(mln_get(svid, "spiffe_id")), svid, resources));
    }
    for (size_t i = 0; i < mln_len(bundles); i++) {
        const struct mln_member *m = mln_member_at(bundles, i);
        MLN_TRY(push_bundle(cx, m->key, &m->value, resources));
    }
    return MLN_OK;
}

static struct mln_err make_resources(struct mln_cx *cx, const struct mln_value *names, const struct mln_value *data,
                                     const struct mln_value **ret)
{
    struct mln_value *resources = mln_array(cx);
    if (mln_len(names) == 0) {
        MLN_TRY(push_every(cx, data, resources));
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(push_named(cx, mln_get_bytes(mln_item(names, i)), data, resources));
    }
    *ret = resources;
    return MLN_OK;
}

static struct mln_err print_response(struct mln_cx *cx, const struct mln_value *resources, uint64_t count, struct mln_buf *out)
{
    struct mln_value *response = mln_object(cx);
    const char *version = count != 0 ? mln_text_format(cx, "%llu", (unsigned long long)count) : "";
    mln_put_text(cx, response, "version_info", version);
    mln_put(cx, response, "resources", resources);
    mln_put_text(cx, response, "type_url", SECRET_TYPE);
    mln_put_text(cx, response, "nonce", version);
    return mln_pb_encode(cx, response_fields, response, out);
}

/* ---- requests ---- */

static struct mln_err read_request(struct mln_cx *cx, struct mln_bytes message, const struct mln_value **ret)
{
    MLN_TRY(mln_pb_decode(cx, request_fields, message, ret));
    const struct mln_value *type = mln_get(*ret, "type_url");
    if (mln_len(type) > 0 && !mln_is_text(type, SECRET_TYPE)) {
        return mln_fail(cx, MLN_E_INVALID, "only secrets are discovered here: type_url " SECRET_TYPE);
    }
    if (mln_len(mln_get(*ret, "names")) > NAMES_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "more than %u names of secrets", NAMES_MAX);
    }
    return MLN_OK;
}

/* Each name once, in the order of the request. */
static const struct mln_value *names_of(struct mln_cx *cx, const struct mln_value *request)
{
    const struct mln_value *given = mln_get(request, "names");
    struct mln_value *names = mln_array(cx), *seen = mln_object(cx);
    for (size_t i = 0; i < mln_len(given); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(given, i));
        if (mln_get_key(seen, name) == NULL) {
            mln_put_key(cx, seen, name, mln_null(cx));
            mln_push(cx, names, mln_item(given, i));
        }
    }
    return names;
}

static struct mln_err take_stream(struct mln_cx *cx, struct mln_grpc_call *call, bool *ret_asks)
{
    struct sds *sds = call->state;
    const struct mln_value *request = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf names = {.max = ARENA_NAMES};
    uint64_t nonce = 0;
    MLN_TRY(read_request(cx, call->message, &request));
    struct mln_bytes given = mln_get_bytes(mln_get(request, "nonce"));
    mln_cbor_print(&names, names_of(cx, request));
    MLN_TRY(mln_buf_ok(cx, &names));
    bool is_stale = given.len > 0 && (!mln_u64_parse(given, &nonce) || nonce != sds->count);
    bool is_same = mln_bytes_eq(mln_buf_bytes(&names), mln_buf_bytes(&sds->names));
    *ret_asks = !is_stale && !is_same;
    if (*ret_asks) {
        mln_buf_drop(&sds->names);
        sds->names = names;
        names = (struct mln_buf){0};
        sds->is_fresh = true;
    }
    return MLN_OK;
}

static struct mln_err take_fetch(struct mln_cx *cx, struct mln_grpc_call *call, bool *ret_asks)
{
    struct sds *sds = call->state;
    const struct mln_value *request = NULL;
    *ret_asks = true;
    MLN_TRY(read_request(cx, call->message, &request));
    mln_cbor_print(&sds->names, names_of(cx, request));
    return mln_buf_ok(cx, &sds->names);
}

static struct mln_err ask(struct mln_cx *cx, const struct mln_grpc_call *call, struct mln_value *rq)
{
    (void)call;
    grpc_question(cx, rq, "read", "spiffe/workload/secrets", NULL);
    return MLN_OK;
}

static struct mln_err answer(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *answer, struct mln_buf *out)
{
    struct sds *sds = call->state;
    const struct mln_value *names = NULL, *resources = NULL;
    uint8_t digest[sizeof(sds->digest)];
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    MLN_TRY(mln_cbor_parse(cx, mln_buf_bytes(&sds->names), &names));
    MLN_TRY(make_resources(cx, names, mln_get(answer, "data"), &resources));
    MLN_TRY(print_response(cx, resources, 0, &plain));
    (void)crypto_generichash(digest, sizeof(digest), plain.ptr, plain.len, NULL, 0);
    if (!sds->is_fresh && mln_same(digest, sds->digest, sizeof(digest))) {
        return MLN_OK;
    }
    mln_copy(sds->digest, digest, sizeof(digest));
    sds->is_fresh = false;
    sds->count++;
    return print_response(cx, resources, sds->count, out);
}

static struct mln_err answer_fetch(struct mln_cx *cx, struct mln_grpc_call *call, const struct mln_value *reply, struct mln_buf *out)
{
    struct sds *sds = call->state;
    sds->is_fresh = true;
    return answer(cx, call, reply, out);
}

static void close_call(struct mln_grpc_call *call)
{
    struct sds *sds = call->state;
    mln_buf_drop(&sds->names);
}

static const struct mln_grpc_method methods[] = {
    {.name = "StreamSecrets", .shape = MLN_GRPC_BOTH, .request_max = REQUEST_MAX, .state_bytes = sizeof(struct sds),
     .take = take_stream, .ask = ask, .answer = answer, .close = close_call},
    {.name = "FetchSecrets", .shape = MLN_GRPC_UNARY, .request_max = REQUEST_MAX, .state_bytes = sizeof(struct sds),
     .take = take_fetch, .ask = ask, .answer = answer_fetch, .close = close_call},
    {.name = "DeltaSecrets", .shape = MLN_GRPC_BOTH},
    {0},
};

const struct mln_grpc_service mln_grpc_sds = {.name = "envoy.service.secret.v3.SecretDiscoveryService", .methods = methods};
