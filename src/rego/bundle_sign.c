/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures: a JWT whose claim "files" lists each file with its hash. Of policies the bytes are hashed; of documents and the
 * manifest their JSON with sorted members and without blanks, so that a tool may lay them out anew. Keys are named by "kid";
 * a key has one algorithm, and the token's own word on that is not asked.
 */
#include "rego/bundle_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"
#include "crypto/digest.h"
#include "crypto/jose.h"
#include "rego/val_priv.h"

#define FILES_MAX   (MLN_BUNDLE_FILES_MAX * 2u)
#define HASH_NAME   "SHA-256" /* what we write */
#define DEPTH_MAX   MLN_REGO_JSON_DEPTH_MAX

static void heap_drop(struct rg_heap **heap)
{
    rg_heap_free(*heap);
}

/* ---- hashes ---- */

/* A string as Go's encoder writes it without HTML: U+2028 and U+2029 are escaped. */
static void print_string(struct mln_buf *out, struct mln_bytes text)
{
    size_t from = out->len;
    mln_json_print_string(out, text, MLN_JSON_COMPACT);
    struct mln_bytes printed = mln_bytes_from(mln_buf_bytes(out), from);
    if (mln_bytes_find_bytes(printed, MLN_BYTES("\xe2\x80\xa8")) == printed.len &&
        mln_bytes_find_bytes(printed, MLN_BYTES("\xe2\x80\xa9")) == printed.len) {
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
    for (size_t i = 0; i < printed.len; i++) {
        struct mln_bytes rest = mln_bytes_sub(printed, i, 3);
        bool is_line = mln_bytes_eq(rest, MLN_BYTES("\xe2\x80\xa8")), is_paragraph = mln_bytes_eq(rest, MLN_BYTES("\xe2\x80\xa9"));
        if (is_line || is_paragraph) {
            mln_buf_add_text(&again, is_line ? "\\u2028" : "\\u2029");
            i += 2;
        } else {
            mln_buf_add_byte(&again, printed.ptr[i]);
        }
    }
    out->len = from;
    mln_buf_add_bytes(out, mln_buf_bytes(&again));
}

static void print_sorted(struct mln_buf *out, struct rg_val v, unsigned depth)
{
    bool is_object = v.tag == RG_OBJECT;
    if (v.tag == RG_STR) {
        print_string(out, rg_bytes(v));
        return;
    }
    if ((!is_object && v.tag != RG_ARRAY) || depth > DEPTH_MAX) {
        if (v.tag == RG_BIG) {
            mln_buf_add(out, v.big->text, v.big->len); /* as it was written */
        } else {
            rg_print_json(out, v);
        }
        return;
    }
    mln_buf_add_byte(out, is_object ? '{' : '[');
    for (size_t i = 0; i < rg_len(v); i++) {
        mln_buf_add_text(out, i == 0 ? "" : ",");
        if (is_object) {
            print_sorted(out, rg_key_at(v, i), depth + 1);
            mln_buf_add_byte(out, ':');
        }
        print_sorted(out, is_object ? rg_val_at(v, i) : rg_item(v, i), depth + 1);
    }
    mln_buf_add_byte(out, is_object ? '}' : ']');
}

static bool is_structured(const char *path)
{
    struct mln_bytes name = bundle_base_name(path);
    return bundle_is_document(name) || mln_bytes_is(name, BUNDLE_MANIFEST);
}

static struct mln_err parse_structured(struct mln_cx *cx, struct rg_heap *heap, const struct mln_bundle_file *f,
                                       struct rg_val *ret)
{
    const char *error = NULL;
    struct mln_bytes name = bundle_base_name(f->path);
    if (mln_bytes_ends(name, MLN_BYTES(".yaml")) || mln_bytes_ends(name, MLN_BYTES(".yml"))) {
        const struct mln_value *value = NULL;
        MLN_TRY(mln_yaml_parse(cx, f->bytes, &value));
        *ret = rg_from_value(heap, value);
        return MLN_OK;
    }
    *ret = rg_json_parse(heap, f->bytes, &error);
    return error == NULL ? MLN_OK : mln_fail(cx, MLN_E_PARSE, "bundle: %s: %s", f->path, error);
}

static struct mln_err hash_file(struct mln_cx *cx, const struct mln_bundle_file *f, enum mln_hash hash,
                                uint8_t sum[MLN_HASH_MAX_BYTES])
{
    MLN_AUTO(heap_drop) struct rg_heap *heap = rg_heap_new(0);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct rg_val v = RG_NONE;
    if (heap == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (!is_structured(f->path)) {
        mln_hash_sum(hash, f->bytes, sum);
        return MLN_OK;
    }
    MLN_TRY(parse_structured(cx, heap, f, &v));
    print_sorted(&text, v, 0);
    MLN_TRY(mln_buf_ok(cx, &text));
    mln_hash_sum(hash, mln_buf_bytes(&text), sum);
    return MLN_OK;
}

/* MD5 and SHA-1 are not taken: two files of one hash can be made. */
static bool hash_of_name(struct mln_bytes name, enum mln_hash *ret)
{
    static const struct {
        const char *name;
        enum mln_hash hash;
    } t[] = {{"SHA-224", MLN_HASH_SHA2_224}, {"SHA-256", MLN_HASH_SHA2_256}, {"SHA-384", MLN_HASH_SHA2_384},
             {"SHA-512", MLN_HASH_SHA2_512}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (mln_bytes_is(name, t[i].name)) {
            *ret = t[i].hash;
            return true;
        }
    }
    return false;
}

/* ---- tokens ---- */

static bool hmac_of_name(const char *name, enum mln_hash *ret)
{
    static const struct {
        const char *name;
        enum mln_hash hash;
    } t[] = {{"HS256", MLN_HASH_SHA2_256}, {"HS384", MLN_HASH_SHA2_384}, {"HS512", MLN_HASH_SHA2_512}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (mln_bytes_is(mln_bytes_of(name), t[i].name)) {
            *ret = t[i].hash;
            return true;
        }
    }
    return false;
}

static struct mln_err forged(struct mln_cx *cx, const char *what)
{
    return mln_fail(cx, MLN_E_FORGED, "bundle: .signatures.json: %s", what);
}

struct token {
    struct mln_bytes signed_part, signature;
    const struct mln_value *header, *claims;
};

static struct mln_err decode(struct mln_cx *cx, struct mln_bytes part, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (mln_failed(mln_base64_parse(cx, part, MLN_B64_URL_RAW, &out))) {
        mln_cx_clear(cx);
        return forged(cx, "the JWT is not base64url");
    }
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

static struct mln_err decode_object(struct mln_cx *cx, struct mln_bytes part, const struct mln_value **ret)
{
    struct mln_bytes json;
    MLN_TRY(decode(cx, part, &json));
    if (mln_failed(mln_json_parse(cx, json, ret)) || mln_type_of(*ret) != MLN_OBJECT) {
        mln_cx_clear(cx);
        return forged(cx, "the JWT does not hold JSON objects");
    }
    return MLN_OK;
}

static struct mln_err read_token(struct mln_cx *cx, struct mln_bytes text, struct token *ret)
{
    struct mln_bytes rest, last;
    struct mln_bytes head = mln_bytes_cut(text, '.', &rest), body = mln_bytes_cut(rest, '.', &last);
    if (last.len == 0 || mln_bytes_find(last, '.') < last.len) {
        return forged(cx, "failed to split compact JWT");
    }
    ret->signed_part = mln_bytes_sub(text, 0, head.len + 1 + body.len);
    MLN_TRY(decode_object(cx, head, &ret->header));
    MLN_TRY(decode_object(cx, body, &ret->claims));
    if (mln_get(ret->header, "crit") != NULL) {
        return forged(cx, "the JWT has critical headers that nobody here understands");
    }
    return decode(cx, last, &ret->signature);
}

static struct mln_err check_token(struct mln_cx *cx, const struct mln_bundle_key *key, const struct token *t)
{
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *public = NULL;
    struct mln_jose_token jose = {.signed_part = t->signed_part, .signature = t->signature};
    uint8_t sum[MLN_HASH_MAX_BYTES];
    enum mln_hash hash = MLN_HASH_NONE;
    if (hmac_of_name(key->algorithm, &hash)) {
        mln_hmac_sum(hash, key->key, t->signed_part, sum);
        bool same = key->key.len > 0 && mln_eq_ct(sum, mln_hash_bytes(hash), t->signature.ptr, t->signature.len);
        return same ? MLN_OK : forged(cx, "failed to verify JWT signature");
    }
    if (!mln_jose_alg_of(mln_bytes_of(key->algorithm), &jose.alg)) {
        return mln_fail(cx, MLN_E_INVALID, "bundle: unknown signature algorithm: %s", key->algorithm);
    }
    if (mln_failed(mln_jose_public_from_pem(cx, key->key, &public))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "bundle: key %s: %s", key->id, why);
    }
    if (mln_failed(mln_jose_verify(cx, public, &jose))) {
        mln_cx_clear(cx);
        return forged(cx, "failed to verify JWT signature");
    }
    return MLN_OK;
}

static struct mln_err find_key(struct mln_cx *cx, const struct mln_bundle_verify *how, const struct token *t,
                               const struct mln_bundle_key **ret)
{
    struct mln_bytes id = mln_bytes_of(how->key_id);
    id = id.len > 0 ? id : mln_get_bytes(mln_get(t->header, "kid"));
    id = id.len > 0 ? id : mln_get_bytes(mln_get(t->claims, "keyid"));
    if (id.len == 0) {
        return forged(cx, "verification key ID is empty");
    }
    for (size_t i = 0; i < how->n_keys; i++) {
        if (mln_bytes_is(id, how->keys[i].id)) {
            *ret = &how->keys[i];
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_FORGED, "bundle: verification key corresponding to ID %.*s not found",
                    MLN_FMT(mln_bytes_sub(id, 0, 100)));
}

static bool is_excluded(const struct mln_bundle_verify *how, const char *path)
{
    for (size_t i = 0; how->exclude != NULL && how->exclude[i] != NULL; i++) {
        if (mln_bytes_glob(mln_bytes_of(how->exclude[i]), mln_bytes_of(path))) {
            return true;
        }
    }
    return false;
}

/* ---- files ---- */

static bool is_signatures(const char *path)
{
    return mln_bytes_is(bundle_base_name(path), BUNDLE_SIGNATURES);
}

static struct mln_err check_file(struct mln_cx *cx, const struct mln_bundle_file *f, const struct mln_value *entry)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf want = {0};
    uint8_t sum[MLN_HASH_MAX_BYTES];
    enum mln_hash hash = MLN_HASH_NONE;
    struct mln_bytes name = mln_get_bytes(mln_get(entry, "algorithm"));
    if (!hash_of_name(name, &hash)) {
        return mln_fail(cx, MLN_E_FORGED, "bundle: %s: hashing algorithm \"%.*s\" is not taken: SHA-256 is", f->path,
                        MLN_FMT(mln_bytes_sub(name, 0, 40)));
    }
    if (mln_failed(mln_hex_parse(cx, mln_get_bytes(mln_get(entry, "hash")), &want))) {
        mln_cx_clear(cx);
        return mln_fail(cx, MLN_E_FORGED, "bundle: %s: its hash in the signature is not hex", f->path);
    }
    MLN_TRY(hash_file(cx, f, hash, sum));
    if (!mln_bytes_eq(mln_buf_bytes(&want), mln_bytes_at(sum, mln_hash_bytes(hash)))) {
        return mln_fail(cx, MLN_E_FORGED, "bundle: %s: digest mismatch", f->path);
    }
    return MLN_OK;
}

/* Each file is signed, and each that is signed is there. */
static struct mln_err check_files(struct bundle_making *m, const struct mln_value *list)
{
    struct mln_cx *cx = m->cx;
    size_t n = mln_len(list);
    bool *seen = mln_new_array(cx, m->n + 1, sizeof(*seen));
    const struct mln_bundle_verify *how = m->options->verify;
    MLN_TRY(mln_cx_err(cx));
    if (mln_type_of(list) != MLN_ARRAY || n > FILES_MAX) {
        return forged(cx, "\"files\" is a list of files with their hashes");
    }
    for (size_t i = 0; i < n; i++) {
        const char *name = mln_get_text(cx, mln_get(mln_item(list, i), "name"), "");
        const struct mln_bundle_file *f = bundle_find(m->files, m->n, name);
        if (is_excluded(how, name)) {
            continue;
        }
        if (f == NULL) {
            return mln_fail(cx, MLN_E_FORGED, "bundle: file %s specified in bundle signatures but not found in the bundle", name);
        }
        MLN_TRY(check_file(cx, f, mln_item(list, i)));
        seen[f - m->files] = true;
    }
    for (size_t i = 0; i < m->n; i++) {
        if (!seen[i] && !is_signatures(m->files[i].path) && !is_excluded(how, m->files[i].path)) {
            return mln_fail(cx, MLN_E_FORGED, "bundle: file %s not included in bundle signature", m->files[i].path);
        }
    }
    return MLN_OK;
}

static struct mln_err verify_with(struct bundle_making *m, const struct mln_bundle_file *f)
{
    struct mln_cx *cx = m->cx;
    const struct mln_bundle_verify *how = m->options->verify;
    const struct mln_bundle_key *key = NULL;
    const struct mln_value *doc = NULL;
    struct token token = {0};
    if (mln_failed(mln_json_parse(cx, f->bytes, &doc))) {
        mln_cx_clear(cx);
        return forged(cx, "it is not JSON");
    }
    const struct mln_value *list = mln_get(doc, "signatures");
    if (mln_len(list) != 1 || mln_type_of(mln_item(list, 0)) != MLN_STRING) {
        return forged(cx, mln_len(list) > 1 ? "multiple JWTs not supported (expected exactly one)"
                                            : "missing JWT (expected exactly one)");
    }
    MLN_TRY(read_token(cx, mln_get_bytes(mln_item(list, 0)), &token));
    MLN_TRY(find_key(cx, how, &token, &key));
    MLN_TRY(check_token(cx, key, &token));
    const char *scope = how->scope != NULL && how->scope[0] != '\0' ? how->scope : key->scope;
    if (!mln_bytes_eq(mln_get_bytes(mln_get(token.claims, "scope")), mln_bytes_of(scope))) {
        return forged(cx, "scope mismatch");
    }
    MLN_TRY(check_files(m, mln_get(token.claims, "files")));
    m->bundle->is_verified = true;
    return MLN_OK;
}

struct mln_err bundle_verify(struct bundle_making *m)
{
    const struct mln_bundle_file *f = bundle_find(m->files, m->n, BUNDLE_SIGNATURES);
    const struct mln_bundle_options *o = m->options;
    if (o != NULL && o->skip_verify) {
        return MLN_OK;
    }
    if (f == NULL) {
        bool is_needed = o != NULL && o->verify != NULL && o->verify->is_needed;
        return is_needed ? mln_fail(m->cx, MLN_E_FORGED, "bundle missing .signatures.json file") : MLN_OK;
    }
    if (o == NULL || o->verify == NULL) {
        return mln_fail(m->cx, MLN_E_FORGED, "bundle: it is signed, but verification key not provided");
    }
    return verify_with(m, f);
}

/* ---- signing ---- */

static struct mln_err list_files(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n, struct mln_value *claims)
{
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < n; i++) {
        uint8_t sum[MLN_HASH_MAX_BYTES];
        struct mln_value *entry = mln_object(cx);
        if (is_signatures(files[i].path)) {
            continue;
        }
        MLN_TRY(hash_file(cx, &files[i], MLN_HASH_SHA2_256, sum));
        mln_put_text(cx, entry, "name", files[i].path);
        mln_put_text(cx, entry, "hash", mln_hex_text(cx, mln_bytes_at(sum, mln_hash_bytes(MLN_HASH_SHA2_256))));
        mln_put_text(cx, entry, "algorithm", HASH_NAME);
        mln_push(cx, list, entry);
    }
    mln_put(cx, claims, "files", list);
    return mln_cx_err(cx);
}

static struct mln_err sign_hmac(struct mln_cx *cx, const struct mln_bundle_signer *s, enum mln_hash hash,
                                const struct mln_value *claims, struct mln_buf *jwt)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf head = {0}, body = {0};
    struct mln_value *header = mln_object(cx);
    uint8_t sum[MLN_HASH_MAX_BYTES];
    if (s->key.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "bundle: the secret that signs is empty");
    }
    mln_put_text(cx, header, "alg", s->algorithm);
    if (s->key_id != NULL && s->key_id[0] != '\0') {
        mln_put_text(cx, header, "kid", s->key_id);
    }
    mln_json_print(&head, header, MLN_JSON_COMPACT);
    mln_json_print(&body, claims, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &head));
    MLN_TRY(mln_buf_ok(cx, &body));
    mln_base64_print(jwt, mln_buf_bytes(&head), MLN_B64_URL_RAW);
    mln_buf_add_byte(jwt, '.');
    mln_base64_print(jwt, mln_buf_bytes(&body), MLN_B64_URL_RAW);
    mln_hmac_sum(hash, s->key, mln_buf_bytes(jwt), sum);
    mln_buf_add_byte(jwt, '.');
    mln_base64_print(jwt, mln_bytes_at(sum, mln_hash_bytes(hash)), MLN_B64_URL_RAW);
    return mln_buf_ok(cx, jwt);
}

static struct mln_err sign(struct mln_cx *cx, const struct mln_bundle_signer *s, const struct mln_value *claims,
                           struct mln_buf *jwt)
{
    enum mln_hash hash = MLN_HASH_NONE;
    struct mln_jose_key key = {.kid = s->key_id == NULL ? "" : s->key_id, .der = s->key};
    if (hmac_of_name(s->algorithm, &hash)) {
        return sign_hmac(cx, s, hash, claims, jwt);
    }
    if (!mln_jose_alg_of(mln_bytes_of(s->algorithm), &key.alg)) {
        return mln_fail(cx, MLN_E_INVALID, "bundle: unknown signature algorithm: %s", s->algorithm);
    }
    return mln_jose_sign(cx, &key, NULL, claims, jwt);
}

struct mln_err mln_bundle_sign(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n,
                               const struct mln_bundle_signer *signer, struct mln_buf *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf jwt = {0};
    struct mln_value *claims = signer->claims == NULL ? mln_object(cx) : mln_value_dup(cx, signer->claims);
    MLN_TRY(list_files(cx, files, n, claims));
    MLN_TRY(sign(cx, signer, claims, &jwt));
    mln_buf_add_text(ret, "{\"signatures\":[");
    mln_json_print_string(ret, mln_buf_bytes(&jwt), MLN_JSON_COMPACT);
    mln_buf_add_text(ret, "]}");
    return mln_buf_ok(cx, ret);
}
