/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model signatures: every line of the vectors' VERDICTS.json, signing with all three curves and
 * with a chain, what a changed model looks like, and the options that relax a rule.
 */
#include "kit/kit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/oms_priv.h"
#include "base/io.h"
#include "base/json.h"

static char dir[KIT_PATH_MAX];   /* a folder of our own */
static char model[KIT_PATH_MAX]; /* a copy of the vectors' tiny/, with its .git */

static struct mln_bytes read_test(struct mln_cx *cx, const char *name)
{
    char path[KIT_PATH_MAX];
    return kit_read_file(cx, kit_test_file(path, mln_text_format(cx, "vectors/oms/%s", name)));
}

static void put(const char *name, struct mln_bytes content)
{
    char path[KIT_PATH_MAX];
    kit_write_file(kit_path(path, model, name), content);
}

static int setup(void **state)
{
    static const char *const files[] = {
        ".gitignore",         "B.txt",   "config.json", "empty.txt",
        "na me \xc3\xa9.txt", "sub.txt", "sub/z",       "weights.bin"};
    char path[KIT_PATH_MAX];
    kit_setup(state);
    kit_tmpdir(dir);
    kit_path(model, dir, "tiny");
    mkdir(model, 0700);
    mkdir(kit_path(path, model, "sub"), 0700);
    mkdir(kit_path(path, model, ".git"), 0700);
    put(".git/HEAD", MLN_BYTES("ref\n"));
    for (size_t i = 0; i < MLN_COUNT(files); i++) {
        struct mln_cx *cx = kit_cx(state);
        put(files[i], read_test(cx, mln_text_format(cx, "tiny/%s", files[i])));
    }
    return 0;
}

static int teardown(void **state)
{
    kit_rmtree(dir);
    return kit_teardown(state);
}

/* ---- the vectors ---- */

static struct mln_err verify_vector(struct mln_cx *cx, const char *name,
                                    const struct mln_value *row,
                                    const struct mln_oms_options *options,
                                    const struct mln_value **report)
{
    char path[KIT_PATH_MAX];
    struct mln_oms_trust trust = {0};
    const char *key = mln_get_text(cx, mln_get(row, "key"), NULL);
    const char *roots = mln_get_text(cx, mln_get(row, "roots"), NULL);
    if (key != NULL) {
        trust.public_pem = read_test(cx, key);
    } else {
        trust.roots_pem = read_test(cx, roots);
    }
    const char *what = mln_get_text(cx, mln_get(row, "model"), "");
    return mln_oms_verify(cx, kit_path(path, dir, what), read_test(cx, name), &trust, options,
                          report);
}

/* Why each refused vector is refused, so that none is refused for another reason. */
static const char *const reasons[][2] = {
    {"tiny.cert_nosign.sig", "digitalSignature"},
    {"negative/bad_dup_json_key.sig", "json"},
    {"negative/bad_dup_resource_conflict.sig", "stands twice"},
    {"negative/bad_file_digest.sig", "different B.txt"},
    {"negative/bad_hint.sig", "hint"},
    {"negative/bad_ignore_all.sig", "covers no file"},
    {"negative/bad_ignore_weights.sig", "left out weights.bin"},
    {"negative/bad_mediatype.sig", "mediaType"},
    {"negative/bad_missing_resource.sig", "not signed"},
    {"negative/bad_payloadtype_signed.sig", "payloadType"},
    {"negative/bad_predicate_type.sig", "predicateType"},
    {"negative/bad_root_digest.sig", "root digest"},
    {"negative/bad_sig_bit.sig", "does not verify"},
    {"negative/bad_traversal_name.sig", "no name for a file"},
    {"negative/bad_two_subjects.sig", "exactly one subject"},
};

static const char *reason_of(struct mln_bytes name)
{
    for (size_t i = 0; i < MLN_COUNT(reasons); i++) {
        if (mln_bytes_is(name, reasons[i][0])) {
            return reasons[i][1];
        }
    }
    fail_msg("no reason is known for %.*s", MLN_FMT(name));
    return "";
}

static void test_vectors(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *verdicts = NULL;
    const struct mln_oms_options options = {0};
    size_t refused = 0;
    kit_ok(cx, mln_json_parse(cx, read_test(cx, "VERDICTS.json"), &verdicts));
    assert_int_equal(mln_len(verdicts), 29);
    for (size_t i = 0; i < mln_len(verdicts); i++) {
        const struct mln_member *m = mln_member_at(verdicts, i);
        const char *name = mln_text_dup(cx, m->key);
        const struct mln_value *report = NULL;
        struct mln_err err = verify_vector(cx, name, &m->value, &options, &report);
        if (mln_bytes_is(m->key, "tiny.blake3.sig")) {
            kit_expect(cx, name, err, MLN_E_UNSUPPORTED);
        } else if (mln_is_text(mln_get(&m->value, "verdict"), "accept")) {
            kit_expect(cx, name, err, MLN_E_OK);
            kit_text(mln_get_bytes(mln_get(report, "verdict")), "ok");
        } else {
            kit_expect_at(cx, err, MLN_E_FORGED, reason_of(m->key), name, __FILE__, __LINE__);
            refused++;
        }
    }
    assert_int_equal(refused, MLN_COUNT(reasons));
}

/* What the signer left out on purpose passes with the flag, and the report names it. */
static void test_allow_uncovered(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_oms_options options = {.allow_uncovered = true};
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    const struct mln_value *report = NULL;
    kit_ok(cx, mln_oms_verify(cx, model, read_test(cx, "negative/bad_ignore_weights.sig"), &trust,
                              &options, &report));
    assert_int_equal(mln_len(mln_get(report, "uncovered")), 1);
    kit_text(mln_get_bytes(mln_item(mln_get(report, "uncovered"), 0)), "weights.bin");
    kit_ok(cx, mln_oms_verify(cx, model, read_test(cx, "negative/bad_ignore_all.sig"), &trust,
                              &options, &report));
    assert_int_equal(mln_len(mln_get(report, "uncovered")), 7);
}

static void test_warnings(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_oms_options options = {0};
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    const struct mln_value *report = NULL;
    kit_ok(cx, mln_oms_verify(cx, model, read_test(cx, "negative/ok_no_hint.sig"), &trust, &options,
                              &report));
    assert_int_equal(mln_len(mln_get(report, "warnings")), 1);
    kit_ok(cx,
           mln_oms_verify(cx, model, read_test(cx, "tiny.p256.sig"), &trust, &options, &report));
    assert_int_equal(mln_len(mln_get(report, "warnings")), 0);
    assert_int_equal(mln_get_int(mln_get(report, "files"), 0), 7);
    kit_text(mln_get_bytes(mln_get(report, "root")),
             "b08f6a942ea8f769d9bb38e903c956e05dfebb271113f1f67612cc290d5db0f3");
}

/* ---- a model that is not what was signed ---- */

static void change_weights(void)
{
    put("weights.bin", MLN_BYTES("hello World!"));
}
static void cut_weights(void)
{
    put("weights.bin", MLN_BYTES("hello"));
}
static void add_file(void)
{
    put("zz.py", MLN_BYTES("import os"));
}
static void add_empty(void)
{
    put("zz", MLN_BYTES(""));
}
static void remove_file(void)
{
    char path[KIT_PATH_MAX];
    unlink(kit_path(path, model, "config.json"));
}
static void rename_file(void)
{
    char from[KIT_PATH_MAX], to[KIT_PATH_MAX];
    rename(kit_path(from, model, "B.txt"), kit_path(to, model, "b.txt"));
}
static void link_file(void)
{
    char path[KIT_PATH_MAX];
    kit_path(path, model, "B.txt");
    unlink(path);
    assert_int_equal(symlink("sub.txt", path), 0);
}
static void git_noise(void)
{
    put(".git/config", MLN_BYTES("[core]"));
}

static const struct {
    const char *name;
    void (*change)(void);
    enum mln_code files_code; /* against tiny.p256.sig */
    const char *files_part;
    enum mln_code shards_code; /* against tiny.shard5.sig */
} changes[] = {
    {"a changed byte", change_weights, MLN_E_FORGED, "different weights.bin", MLN_E_FORGED},
    {"cut off", cut_weights, MLN_E_FORGED, "different weights.bin", MLN_E_FORGED},
    {"a file more", add_file, MLN_E_FORGED, "not signed zz.py", MLN_E_FORGED},
    {"an empty file more", add_empty, MLN_E_FORGED, "not signed zz", MLN_E_OK},
    {"a file less", remove_file, MLN_E_FORGED, "missing config.json", MLN_E_FORGED},
    {"renamed", rename_file, MLN_E_FORGED, "missing B.txt; not signed b.txt", MLN_E_FORGED},
    {"a link instead", link_file, MLN_E_INVALID, "B.txt is a symbolic link", MLN_E_INVALID},
    {"git's own files", git_noise, MLN_E_OK, NULL, MLN_E_OK},
};

static void test_changes(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(changes); i++) {
        const struct mln_oms_options options = {0};
        if (i > 0) {
            setup(state);
        }
        struct mln_cx *cx = kit_cx(state);
        struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
        changes[i].change();
        const struct mln_value *report = NULL;
        struct mln_err err =
            mln_oms_verify(cx, model, read_test(cx, "tiny.p256.sig"), &trust, &options, &report);
        kit_expect_at(cx, err, changes[i].files_code, changes[i].files_part, changes[i].name,
                      __FILE__, __LINE__);
        if (changes[i].files_code == MLN_E_FORGED) {
            kit_text(mln_get_bytes(mln_get(report, "verdict")), "refused");
        }
        err = mln_oms_verify(cx, model, read_test(cx, "tiny.shard5.sig"), &trust, &options, NULL);
        kit_expect(cx, changes[i].name, err, changes[i].shards_code);
        if (i + 1 < MLN_COUNT(changes)) {
            teardown(state);
        }
    }
}

static void test_ignore_unsigned(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_oms_options options = {.ignore_unsigned = true};
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    const struct mln_value *report = NULL;
    add_file();
    kit_ok(cx,
           mln_oms_verify(cx, model, read_test(cx, "tiny.p256.sig"), &trust, &options, &report));
    kit_text(mln_get_bytes(mln_item(mln_get(report, "extra"), 0)), "zz.py");
    kit_refused(cx,
                mln_oms_verify(cx, model, read_test(cx, "negative/bad_traversal_name.sig"), &trust,
                               &options, &report),
                MLN_E_FORGED);
    change_weights();
    kit_refused(
        cx, mln_oms_verify(cx, model, read_test(cx, "tiny.p256.sig"), &trust, &options, &report),
        MLN_E_FORGED);
    struct mln_value *ignore = mln_array(cx);
    mln_push_text(cx, ignore, "zz.py");
    const struct mln_oms_options named = {.ignore = ignore};
    put("weights.bin", read_test(cx, "tiny/weights.bin"));
    kit_ok(cx, mln_oms_verify(cx, model, read_test(cx, "tiny.p256.sig"), &trust, &named, NULL));
}

/* ---- signing ---- */

static struct mln_err sign(struct mln_cx *cx, const char *path, const char *key,
                           const struct mln_oms_options *options, struct mln_buf *bundle)
{
    struct mln_oms_manifest manifest;
    struct mln_oms_signer signer = {0};
    struct mln_buf payload = {0};
    MLN_TRY(mln_oms_manifest(cx, path, options, &manifest));
    struct mln_err err = mln_oms_statement(cx, &manifest, &payload);
    if (!mln_failed(err)) {
        err = mln_oms_signer_from_pem(cx, read_test(cx, mln_text_format(cx, "keys/%s.pem", key)),
                                      &signer);
    }
    if (!mln_failed(err)) {
        err = mln_oms_bundle(cx, mln_buf_bytes(&payload), &signer, bundle);
    }
    mln_oms_signer_free(&signer);
    mln_buf_drop(&payload);
    return err;
}

static void test_sign_and_verify(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *key;
        struct mln_oms_options options;
    } how[] = {
        {"p256", {0}},
        {"p384", {0}},
        {"p521", {0}},
        {"p256", {.digest = MLN_DIGEST_BLAKE2B}},
        {"p256", {.shard_size = 5}},
        {"p256", {.shard_size = 1000000, .digest = MLN_DIGEST_BLAKE2B}},
        {"p256", {.keep_git_paths = true}},
    };
    for (size_t i = 0; i < MLN_COUNT(how); i++) {
        struct mln_buf bundle = {0};
        const struct mln_value *report = NULL;
        struct mln_oms_trust trust = {
            .public_pem = read_test(cx, mln_text_format(cx, "keys/%s.pub.pem", how[i].key))};
        const struct mln_oms_options options = {0};
        kit_ok(cx, sign(cx, model, how[i].key, &how[i].options, &bundle));
        kit_ok(cx, mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, &report));
        assert_int_equal(mln_get_int(mln_get(report, "files"), 0), how[i].options.keep_git_paths ? 9
                                                                   : how[i].options.shard_size > 0
                                                                       ? 6
                                                                       : 7);
        uint8_t root[32];
        const struct mln_value *signer = NULL;
        kit_ok(cx,
               mln_oms_verify_signature(cx, mln_buf_bytes(&bundle), &trust, false, root, &signer));
        kit_text(mln_get_bytes(mln_get(report, "root")), kit_hex_of(cx, mln_bytes_at(root, 32)));
        trust.public_pem = read_test(cx, i == 1 ? "keys/p256.pub.pem" : "keys/p384.pub.pem");
        kit_refused(cx,
                    mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, &report),
                    MLN_E_FORGED);
        mln_buf_drop(&bundle);
    }
}

/* The same root as the reference computed for the same files. */
static void test_root(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_oms_manifest manifest;
    const struct mln_oms_options options = {0};
    const struct mln_oms_options shards = {.shard_size = 5};
    kit_ok(cx, mln_oms_manifest(cx, model, &options, &manifest));
    assert_int_equal(manifest.n_files, 7);
    assert_string_equal(manifest.name, "tiny");
    kit_same(cx, mln_bytes_at(manifest.root, 32),
             kit_hex(cx, "b08f6a942ea8f769d9bb38e903c956e05dfebb271113f1f67612cc290d5db0f3"));
    kit_ok(cx, mln_oms_manifest(cx, model, &shards, &manifest));
    kit_same(cx, mln_bytes_at(manifest.root, 32),
             kit_hex(cx, "2a385221c642a020ed252f5644b212e3d16f04f393e4328058574a1c58c255ec"));
    char path[KIT_PATH_MAX];
    kit_ok(cx, mln_oms_manifest(cx, kit_path(path, model, "weights.bin"), &options, &manifest));
    kit_text(manifest.entries[0].name, ".");
    kit_same(cx, mln_bytes_at(manifest.root, 32),
             kit_hex(cx, "f1717f40bf805e613c4e5c219acda2882a064dad38aaeec80e22ca59dd7b4ba9"));
}

/* The signature in the model's folder is no part of the model; under another name it is. */
static void test_signature_inside(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char path[KIT_PATH_MAX];
    struct mln_buf bundle = {0};
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    struct mln_oms_options options = {.signature_path = kit_path(path, model, "model.sig")};
    put("model.sig", MLN_BYTES("an older one"));
    kit_ok(cx, sign(cx, model, "p256", &options, &bundle));
    put("model.sig", mln_buf_bytes(&bundle));
    kit_ok(cx, mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, NULL));
    options.signature_path = NULL; /* model.sig is still among the signed ignore_paths */
    kit_ok(cx, mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, NULL));
    put("other.sig", mln_buf_bytes(&bundle));
    kit_refused(cx, mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, NULL),
                MLN_E_FORGED);
    mln_buf_drop(&bundle);
}

static void test_links(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf bundle = {0};
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    struct mln_oms_options options = {0};
    link_file();
    kit_refused_with(cx, sign(cx, model, "p256", &options, &bundle), MLN_E_INVALID,
                     "B.txt is a symbolic link");
    options.allow_symlinks = true;
    kit_ok(cx, sign(cx, model, "p256", &options, &bundle));
    options.allow_symlinks = false; /* the signer's choice holds */
    kit_ok(cx, mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, NULL));
    char path[KIT_PATH_MAX];
    assert_int_equal(symlink("sub", kit_path(path, model, "folder")), 0);
    kit_refused(cx, mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, NULL),
                MLN_E_INVALID);
    mln_buf_drop(&bundle);
}

static void test_sign_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_oms_manifest manifest;
    struct mln_oms_signer signer;
    struct mln_oms_options options = {0};
    static const char *const bad_ignores[] = {"/etc", "../x", "", "a//b"};
    for (size_t i = 0; i < MLN_COUNT(bad_ignores); i++) {
        struct mln_value *ignore = mln_array(cx);
        mln_push_text(cx, ignore, bad_ignores[i]);
        options.ignore = ignore;
        kit_refused_with(cx, mln_oms_manifest(cx, model, &options, &manifest), MLN_E_INVALID,
                         "cannot ignore");
    }
    options.ignore = NULL;
    char path[KIT_PATH_MAX];
    mkdir(kit_path(path, dir, "empty"), 0700);
    kit_refused_with(cx, mln_oms_manifest(cx, path, &options, &manifest), MLN_E_INVALID,
                     "nothing to sign");
    kit_refused(cx, mln_oms_manifest(cx, kit_path(path, dir, "none"), &options, &manifest),
                MLN_E_NOT_FOUND);
    kit_refused(cx,
                mln_oms_signer_from_pem(
                    cx, MLN_BYTES("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                    &signer),
                MLN_E_INVALID);
    kit_refused(cx, mln_oms_signer_from_pem(cx, read_test(cx, "keys/p256.pub.pem"), &signer),
                MLN_E_INVALID);
}

/* A remote signer that signs with another key, or not at all, is found out at once. */
static struct mln_err sign_rubbish(void *arg, struct mln_cx *cx, struct mln_bytes digest,
                                   struct mln_buf *sig)
{
    (void)cx;
    assert_int_equal(digest.len, 32);
    mln_buf_add_bytes(sig, *(const struct mln_bytes *)arg);
    return MLN_OK;
}

static void test_bad_signer(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf bundle = {0};
    struct mln_bytes wrong = read_test(cx, "tiny.p256.sig.der");
    struct mln_oms_signer signer = {
        .sign = sign_rubbish, .arg = &wrong, .public_pem = read_test(cx, "keys/p256.pub.pem")};
    kit_refused_with(cx, mln_oms_bundle(cx, MLN_BYTES("{}"), &signer, &bundle), MLN_E_CRYPTO,
                     "own public key");
    assert_int_equal(bundle.len, 0);
    signer.public_pem = MLN_BYTES("no key");
    kit_refused(cx, mln_oms_bundle(cx, MLN_BYTES("{}"), &signer, &bundle), MLN_E_INVALID);
    mln_buf_drop(&bundle);
}

/* ---- other keys ---- */

static struct mln_bytes public_pem_of(struct mln_cx *cx, EVP_PKEY *key, bool is_private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(is_private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                                : PEM_write_bio_PUBKEY(bio, key),
                     1);
    long n = BIO_get_mem_data(bio, &text);
    struct mln_bytes pem = mln_bytes_dup(cx, mln_bytes_at(text, (size_t)n));
    BIO_free(bio);
    EVP_PKEY_free(key);
    return pem;
}

static void test_other_keys(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_oms_options options = {0};
    struct mln_oms_signer signer;
    EVP_PKEY *const keys[] = {EVP_EC_gen("secp256k1"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
                              EVP_RSA_gen(2048), EVP_EC_gen("P-224")};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        EVP_PKEY_up_ref(keys[i]);
        struct mln_bytes secret = public_pem_of(cx, keys[i], true);
        struct mln_oms_trust trust = {.public_pem = public_pem_of(cx, keys[i], false)};
        kit_refused(cx, mln_oms_signer_from_pem(cx, secret, &signer), MLN_E_UNSUPPORTED);
        kit_refused(
            cx, mln_oms_verify(cx, model, read_test(cx, "tiny.p256.sig"), &trust, &options, NULL),
            MLN_E_UNSUPPORTED);
    }
}

/* ---- trust ---- */

static void test_trust(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_oms_options options = {0};
    struct mln_bytes key = read_test(cx, "keys/p256.pub.pem");
    struct mln_bytes root = read_test(cx, "keys/root.pem");
    struct mln_bytes by_key = read_test(cx, "tiny.p256.sig");
    struct mln_bytes by_chain = read_test(cx, "tiny.cert.sig");
    const struct {
        const char *name;
        struct mln_oms_trust trust;
        struct mln_bytes bundle;
        enum mln_code code;
        const char *part;
    } rows[] = {
        {"nothing", {.identity = NULL}, by_key, MLN_E_INVALID, "either"},
        {"both", {.public_pem = key, .roots_pem = root}, by_key, MLN_E_INVALID, "either"},
        {"a key bundle by roots", {.roots_pem = root}, by_key, MLN_E_FORGED, "wants a public key"},
        {"a chain by key", {.public_pem = key}, by_chain, MLN_E_FORGED, "wants roots"},
        {"roots that are none", {.roots_pem = key}, by_chain, MLN_E_INVALID, "no root certificate"},
        {"a key that is none", {.public_pem = root}, by_key, MLN_E_INVALID, "no public key"},
        {"another root",
         {.roots_pem = read_test(cx, "keys/int.pem")},
         by_chain,
         MLN_E_FORGED,
         "given roots"},
        {"another person",
         {.roots_pem = root, .identity = "mallory"},
         by_chain,
         MLN_E_FORGED,
         "not by \"mallory\""},
        {"the chain", {.roots_pem = root}, by_chain, MLN_E_OK, NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_err err =
            mln_oms_verify(cx, model, rows[i].bundle, &rows[i].trust, &options, NULL);
        kit_expect_at(cx, err, rows[i].code, rows[i].part, rows[i].name, __FILE__, __LINE__);
    }
    struct mln_oms_trust trust = {.roots_pem = root};
    const struct mln_value *report = NULL;
    kit_ok(cx, mln_oms_verify(cx, model, by_chain, &trust, &options, &report));
    const struct mln_value *signer = mln_get(report, "signer");
    kit_text(mln_get_bytes(mln_get(signer, "kind")), "certificate");
    assert_int_equal(mln_len(mln_get(report, "warnings")), 1);
    trust.identity = mln_get_text(cx, mln_get(signer, "subject"), "");
    assert_true(strlen(trust.identity) > 3);
    kit_ok(cx, mln_oms_verify(cx, model, by_chain, &trust, &options, &report));
    assert_int_equal(mln_len(mln_get(report, "warnings")), 0);
}

/* A chain of our own: made, signed with, verified by its root, and by identity. */
static X509 *make_cert(EVP_PKEY *key, const char *name, const char *usage, const char *san,
                       X509 *issuer, EVP_PKEY *issuer_key, long not_after_s)
{
    X509 *cert = X509_new();
    X509V3_CTX v3;
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), not_after_s);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
    X509V3_set_ctx(&v3, issuer != NULL ? issuer : cert, cert, NULL, NULL, 0);
    const char *const extensions[][2] = {
        {"basicConstraints", issuer == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE"},
        {"keyUsage", usage},
        {"subjectAltName", san}};
    for (size_t i = 0; i < 3; i++) {
        X509_EXTENSION *e = extensions[i][1] != NULL
                                ? X509V3_EXT_conf(NULL, &v3, extensions[i][0], extensions[i][1])
                                : NULL;
        if (e != NULL) {
            X509_add_ext(cert, e, -1);
            X509_EXTENSION_free(e);
        }
    }
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static struct mln_bytes cert_pem(struct mln_cx *cx, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    long n = BIO_get_mem_data(bio, &text);
    struct mln_bytes pem = mln_bytes_dup(cx, mln_bytes_at(text, (size_t)n));
    BIO_free(bio);
    return pem;
}

static void test_own_chain(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    EVP_PKEY *root_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-384");
    X509 *root = make_cert(root_key, "root", "keyCertSign", NULL, NULL, root_key, 7200);
    X509 *leaf =
        make_cert(key, "builder", "digitalSignature",
                  "URI:spiffe://example.org/builder,email:b@example.org", root, root_key, -3600);
    struct mln_oms_signer signer;
    EVP_PKEY_up_ref(key);
    kit_ok(cx, mln_oms_signer_from_pem(cx, public_pem_of(cx, key, true), &signer));
    signer.chain_pem = cert_pem(cx, leaf);
    struct mln_oms_options options = {0};
    struct mln_oms_manifest manifest;
    struct mln_buf payload = {0}, bundle = {0};
    kit_ok(cx, mln_oms_manifest(cx, model, &options, &manifest));
    kit_ok(cx, mln_oms_statement(cx, &manifest, &payload));
    kit_ok(cx, mln_oms_bundle(cx, mln_buf_bytes(&payload), &signer, &bundle));
    struct mln_oms_trust trust = {.roots_pem = cert_pem(cx, root)};
    static const struct {
        const char *identity;
        bool valid_now;
        enum mln_code code;
    } rows[] = {{NULL, false, MLN_E_OK},
                {"spiffe://example.org/builder", false, MLN_E_OK},
                {"b@example.org", false, MLN_E_OK},
                {"CN=builder", false, MLN_E_OK},
                {"spiffe://example.org/builder2", false, MLN_E_FORGED},
                {"builder", false, MLN_E_FORGED},
                {NULL, true, MLN_E_FORGED}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        trust.identity = rows[i].identity;
        trust.valid_now = rows[i].valid_now;
        kit_expect(cx, rows[i].identity != NULL ? rows[i].identity : "any",
                   mln_oms_verify(cx, model, mln_buf_bytes(&bundle), &trust, &options, NULL),
                   rows[i].code);
    }
    signer.chain_pem = cert_pem(cx, root); /* not the key's certificate */
    kit_refused(cx, mln_oms_bundle(cx, mln_buf_bytes(&payload), &signer, &bundle), MLN_E_INVALID);
    mln_oms_signer_free(&signer);
    mln_buf_drop(&payload);
    mln_buf_drop(&bundle);
    X509_free(root);
    X509_free(leaf);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
}

/* ---- formats from before 1.0, made here: PAE "DSSEV1" over b'...', subjects as files ---- */

static void test_legacy(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char path[KIT_PATH_MAX];
    struct mln_buf pae = {0}, sig = {0}, text = {0};
    mkdir(kit_path(path, dir, "old"), 0700);
    kit_write_file(kit_path(path, dir, "old/a"), MLN_BYTES("abc"));
    struct mln_bytes payload = MLN_BYTES(
        "{\"_type\":\"https://in-toto.io/Statement/"
        "v1\",\"subject\":[{\"name\":\"a\",\"digest\":{\"sha256\":"
        "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}}],"
        "\"predicateType\":\"https://model_signing/Digests/v0.1\",\"predicate\":{\"unused\":1}}");
    struct mln_oms_signer signer;
    kit_ok(cx, mln_oms_signer_from_pem(cx, read_test(cx, "keys/p256.pem"), &signer));
    mln_dsse_pae_legacy(&pae, MLN_BYTES(MLN_DSSE_IN_TOTO), payload);
    uint8_t digest[64];
    size_t n = 0;
    kit_ok(cx, oms_hash(cx, EVP_sha256(), mln_buf_bytes(&pae), digest, &n));
    kit_ok(cx, signer.sign(signer.arg, cx, mln_bytes_at(digest, n), &sig));
    struct mln_dsse dsse = {.payload = payload,
                            .payload_type = MLN_BYTES(MLN_DSSE_IN_TOTO),
                            .sig = mln_buf_bytes(&sig)};
    mln_dsse_print(cx, &text, &dsse);
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    struct mln_oms_options options = {0};
    const struct mln_value *report = NULL;
    kit_path(path, dir, "old");
    kit_refused(cx, mln_oms_verify(cx, path, mln_buf_bytes(&text), &trust, &options, &report),
                MLN_E_FORGED);
    options.legacy = true;
    kit_ok(cx, mln_oms_verify(cx, path, mln_buf_bytes(&text), &trust, &options, &report));
    assert_int_equal(mln_len(mln_get(report, "warnings")), 2); /* no hint, old format */
    kit_write_file(kit_path(path, dir, "old/a"), MLN_BYTES("abd"));
    kit_refused_with(cx,
                     mln_oms_verify(cx, kit_path(path, dir, "old"), mln_buf_bytes(&text), &trust,
                                    &options, &report),
                     MLN_E_FORGED, "different a");
    mln_oms_signer_free(&signer);
    mln_buf_drop(&pae);
    mln_buf_drop(&sig);
    mln_buf_drop(&text);
}

/* ---- statements that are signed rightly and wrong in themselves ---- */

#define RES(name, alg)                                                                             \
    "{\"name\":\"" name "\",\"algorithm\":\"" alg                                                  \
    "\",\"digest\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}"
#define HEAD(ser)                                                                                  \
    "{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"https://model_signing/"    \
    "signature/v1.0\",\"subject\":[{\"name\":\"x\",\"digest\":"                                    \
    "{\"sha256\":\"4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358\"}}],"         \
    "\"predicate\":{\"serialization\":" ser ",\"resources\":["

static const struct {
    const char *name, *payload;
    enum mln_code code;
    const char *part;
} statements[] = {
    {"good", HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") RES("a", "sha256") "]}}",
     MLN_E_OK, NULL},
    {"good shards, 4.0",
     HEAD("{\"method\":\"shards\",\"hash_type\":\"sha256\",\"shard_size\":4.0}")
         RES("a:0:3", "sha256-sharded-4") "]}}",
     MLN_E_OK, NULL},
    {"shards of 4.5",
     HEAD("{\"method\":\"shards\",\"hash_type\":\"sha256\",\"shard_size\":4.5}")
         RES("a:0:3", "sha256-sharded-4") "]}}",
     MLN_E_FORGED, "shard_size"},
    {"shards of 0",
     HEAD("{\"method\":\"shards\",\"hash_type\":\"sha256\",\"shard_size\":0}")
         RES("a:0:3", "sha256-sharded-0") "]}}",
     MLN_E_FORGED, "shard_size"},
    {"other method",
     HEAD("{\"method\":\"chunks\",\"hash_type\":\"sha256\"}") RES("a", "sha256") "]}}",
     MLN_E_FORGED, "method"},
    {"md5", HEAD("{\"method\":\"files\",\"hash_type\":\"md5\"}") RES("a", "md5") "]}}",
     MLN_E_FORGED, "hash_type"},
    {"blake3", HEAD("{\"method\":\"files\",\"hash_type\":\"blake3\"}") RES("a", "blake3") "]}}",
     MLN_E_UNSUPPORTED, "BLAKE3"},
    {"mixed algorithm",
     HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") RES("a", "blake2b") "]}}",
     MLN_E_FORGED, "algorithm of a"},
    {"no name", HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") "{}]}}", MLN_E_FORGED,
     "no name"},
    {"absolute name",
     HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") RES("/a", "sha256") "]}}",
     MLN_E_FORGED, "no name for a file"},
    {"dots", HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") RES("x/../a", "sha256") "]}}",
     MLN_E_FORGED, "no name for a file"},
    {"NUL",
     HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") RES("a\\u0000b", "sha256") "]}}",
     MLN_E_FORGED, "no name for a file"},
    {"shard name without range",
     HEAD("{\"method\":\"shards\",\"hash_type\":\"sha256\",\"shard_size\":4}")
         RES("a", "sha256-sharded-4") "]}}",
     MLN_E_FORGED, "no name for a file"},
    {"ignores a parent",
     HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\",\"ignore_paths\":[\"../x\"]}")
         RES("a", "sha256") "]}}",
     MLN_E_FORGED, "ignore_paths"},
    {"links is a text",
     HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\",\"allow_symlinks\":\"no\"}")
         RES("a", "sha256") "]}}",
     MLN_E_FORGED, "allow_symlinks"},
    {"short digest",
     HEAD("{\"method\":\"files\",\"hash_type\":\"sha256\"}") "{\"name\":\"a\",\"algorithm\":"
                                                             "\"sha256\",\"digest\":\"ba78\"}]}}",
     MLN_E_FORGED, "digest is malformed"},
    {"no JSON", "x", MLN_E_FORGED, "strict JSON"},
    {"other type", "{\"_type\":\"https://in-toto.io/Statement/v0.1\"}", MLN_E_FORGED, "_type"},
    {"old predicate without the flag",
     "{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"https://model_signing/"
     "Digests/v0.1\"}",
     MLN_E_FORGED, "--legacy"},
};

static void test_statements(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char path[KIT_PATH_MAX];
    const struct mln_oms_options options = {0};
    struct mln_oms_trust trust = {.public_pem = read_test(cx, "keys/p256.pub.pem")};
    struct mln_oms_signer signer;
    kit_ok(cx, mln_oms_signer_from_pem(cx, read_test(cx, "keys/p256.pem"), &signer));
    mkdir(kit_path(path, dir, "one"), 0700);
    kit_write_file(kit_path(path, dir, "one/a"), MLN_BYTES("abc"));
    kit_path(path, dir, "one");
    for (size_t i = 0; i < MLN_COUNT(statements); i++) {
        struct mln_buf bundle = {0};
        kit_ok(cx, mln_oms_bundle(cx, mln_bytes_of(statements[i].payload), &signer, &bundle));
        struct mln_err err =
            mln_oms_verify(cx, path, mln_buf_bytes(&bundle), &trust, &options, NULL);
        kit_expect_at(cx, err, statements[i].code, statements[i].part, statements[i].name, __FILE__,
                      __LINE__);
        mln_buf_drop(&bundle);
    }
    mln_oms_signer_free(&signer);
}

/* ---- faults ---- */

static struct mln_err sign_body(struct mln_cx *cx, void *arg)
{
    const struct mln_oms_options options = {0};
    struct mln_oms_manifest manifest;
    struct mln_buf payload = {0}, bundle = {0};
    struct mln_err err = mln_oms_manifest(cx, model, &options, &manifest);
    if (!mln_failed(err)) {
        err = mln_oms_statement(cx, &manifest, &payload);
    }
    if (!mln_failed(err)) {
        err = mln_oms_bundle(cx, mln_buf_bytes(&payload), arg, &bundle);
    }
    mln_buf_drop(&payload);
    mln_buf_drop(&bundle);
    return err;
}

struct verify_arg {
    struct mln_bytes bundle, key;
};

static struct mln_err verify_body(struct mln_cx *cx, void *arg)
{
    const struct verify_arg *v = arg;
    const struct mln_oms_options options = {0};
    struct mln_oms_trust trust = {.public_pem = v->key};
    const struct mln_value *report = NULL;
    return mln_oms_verify(cx, model, v->bundle, &trust, &options, &report);
}

static void test_faults(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_oms_signer signer;
    struct verify_arg v = {read_test(cx, "tiny.p256.sig"), read_test(cx, "keys/p256.pub.pem")};
    kit_ok(cx, mln_oms_signer_from_pem(cx, read_test(cx, "keys/p256.pem"), &signer));
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, sign_body, &signer) > 0);
    assert_true(mln_each_fault(MLN_FAULT_READ, sign_body, &signer) > 0);
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, verify_body, &v) > 0);
    assert_true(mln_each_fault(MLN_FAULT_READ, verify_body, &v) > 0);
    mln_oms_signer_free(&signer);
}

#define DIR_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(test_vectors),
        DIR_TEST(test_allow_uncovered),
        DIR_TEST(test_warnings),
        DIR_TEST(test_changes),
        DIR_TEST(test_ignore_unsigned),
        DIR_TEST(test_sign_and_verify),
        DIR_TEST(test_root),
        DIR_TEST(test_signature_inside),
        DIR_TEST(test_links),
        DIR_TEST(test_sign_refused),
        DIR_TEST(test_bad_signer),
        DIR_TEST(test_other_keys),
        DIR_TEST(test_trust),
        DIR_TEST(test_own_chain),
        DIR_TEST(test_legacy),
        DIR_TEST(test_statements),
        DIR_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
