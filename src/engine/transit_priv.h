/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the transit engine share. Keys never leave it unless they were made exportable. Texts and formats that clients
 * see: docs/engine-transit.md. Rows:
 *
 *   k/<name>            array: settings and the material of the newest version; all that encrypting and signing read
 *   v/<name>/<8 hex>    array: material of an older version
 *   wrap                array: the RSA-4096 pair under which keys come in
 *   set                 object: settings of the mount
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"
#include "crypto/akey.h"

#define TRANSIT_VERSIONS_MAX 100000 /* of one key: hourly rotation for eleven years */
#define TRANSIT_BATCH_MAX    10000  /* items of one request: bounds what a worker does for it */
#define TRANSIT_HMAC_MIN     32     /* bytes of a key of type hmac, as Vault */
#define TRANSIT_HMAC_MAX     512
#define TRANSIT_ROTATE_MIN_S 3600 /* Vault's least period */

/* The order is the order of the names in help; rows hold names, not numbers. */
enum transit_type {
    TRANSIT_AES128,
    TRANSIT_AES256,
    TRANSIT_CHACHA,
    TRANSIT_XCHACHA,
    TRANSIT_ED25519,
    TRANSIT_P256,
    TRANSIT_P384,
    TRANSIT_P521,
    TRANSIT_RSA2048,
    TRANSIT_RSA3072,
    TRANSIT_RSA4096,
    TRANSIT_HMAC,
    TRANSIT_TYPES
};

struct transit_traits {
    const char *name;
    const char *title;    /* of a version of a key pair, as Vault names it: "P-256" */
    size_t key_bytes;     /* of a symmetric key or seed; 0: any (hmac) or DER */
    bool encrypts, signs; /* RSA does both */
    bool derives;         /* a key per context can be made of it */
    bool is_pair;         /* has a public half */
    bool is_aead;
    bool is_akey; /* RSA and EC: the halves are DER */
    enum mln_akey akey;
};

enum transit_flag {
    TRANSIT_MAY_DELETE = 1,
    TRANSIT_EXPORTABLE = 2,
    TRANSIT_MAY_BACKUP = 4,
    TRANSIT_DERIVED = 8,
    TRANSIT_CONVERGENT = 16,
    TRANSIT_IMPORTED = 32,
    TRANSIT_MAY_ROTATE = 64, /* of an imported key: the server may make versions itself */
    TRANSIT_SOFT_DELETED = 128,
    TRANSIT_FLAGS_ALL = 255,
};

struct transit_version {
    int64_t created_ns;
    struct mln_bytes
        key; /* secret: cipher key, seed or DER; empty when only the public half was imported */
    struct mln_bytes hmac;   /* secret: 32 bytes; of a key of type hmac the key itself */
    struct mln_bytes public; /* SubjectPublicKeyInfo, Ed25519 key (32) or empty */
};

struct transit_key {
    struct mln_bytes name;
    enum transit_type type;
    int64_t latest, min_decryption, min_encryption, min_available, auto_rotate_s, hmac_bytes;
    unsigned flags; /* enum transit_flag */
    struct transit_version newest;
};

/* ---- transit_key.c: types, rows ---- */
const struct transit_traits *transit_traits(enum transit_type type);
bool transit_type_of(struct mln_bytes name, enum transit_type *ret);
/* The field "type"; aes256-gcm96 when absent. INVALID "unknown key type x". */
struct mln_err transit_read_type(struct mln_request *rq, enum transit_type *ret);
static inline bool transit_is(const struct transit_key *key, enum transit_flag flag)
{
    return (key->flags & (unsigned)flag) != 0;
}
void transit_set(struct transit_key *key, enum transit_flag flag, bool is_on);
struct mln_err transit_name_check(struct mln_cx *cx, struct mln_bytes name);
struct mln_err transit_name(struct mln_request *rq, struct mln_bytes *ret);
struct mln_err transit_is_there(struct mln_request *rq, struct mln_bytes name, bool *ret);
/* NOT_FOUND (bare) when there is no such key. */
struct mln_err transit_load(struct mln_request *rq, struct mln_bytes name, struct transit_key *ret);
/* The same for an operation: INVALID with `absent` as text, also when the key is soft-deleted. */
struct mln_err transit_need(struct mln_request *rq, const char *absent, struct transit_key *ret);
struct mln_err transit_store(struct mln_request *rq, const struct transit_key *key);
struct mln_err transit_store_version(struct mln_request *rq, const struct transit_key *key,
                                     int64_t number, const struct transit_version *v);
struct mln_err transit_version_of(struct mln_request *rq, const struct transit_key *key,
                                  int64_t number, struct transit_version *ret);
struct mln_err transit_remove(struct mln_request *rq, const struct transit_key *key);
/* Drop versions below `first`, and store. */
struct mln_err transit_trim(struct mln_request *rq, struct transit_key *key, int64_t first);

/* ---- transit_make.c: material ---- */
/* Make the first version of *key, whose name, type and settings are set; not stored. */
struct mln_err transit_create(struct mln_request *rq, struct transit_key *key);
/* Make the next version, and store. */
struct mln_err transit_rotate(struct mln_request *rq, struct transit_key *key);
/* Take `v` as the next version: the newest moves to its own row. Not stored. */
struct mln_err transit_push_version(struct mln_request *rq, struct transit_key *key,
                                    const struct transit_version *v);
/*
 * Material from outside. secret: as types[].key_bytes says, an Ed25519 seed, PKCS #8 or (is_bare) PKCS #1 / SEC 1. Fills key and
 * public; hmac keys are the caller's but for type hmac.
 */
struct mln_err transit_take(struct mln_cx *cx, enum transit_type type, struct mln_bytes secret,
                            bool is_bare, struct transit_version *ret);
struct mln_err transit_take_public(struct mln_cx *cx, enum transit_type type, struct mln_bytes pem,
                                   struct transit_version *ret);
/* 32 fresh bytes in the arena. */
struct mln_bytes transit_new_hmac(struct mln_cx *cx);

/* ---- transit_show.c ---- */
/* The answer about a key. context: of a derived Ed25519 key whose public half is asked for, or empty. */
struct mln_err transit_show(struct mln_request *rq, const struct transit_key *key,
                            struct mln_bytes context, const struct mln_value **ret);
/* Public half as clients get it: PEM, or base64 of an Ed25519 key. */
const char *transit_public_text(struct mln_cx *cx, enum transit_type type, struct mln_bytes public);

/* ---- transit_text.c: wrapped texts, versions, batches ---- */
/* "vault:vN:" and base64. */
struct mln_value *transit_wrap_text(struct mln_cx *cx, int64_t version, struct mln_bytes payload,
                                    bool is_url);
/* Split "vault:vN:payload". what: "ciphertext", "signature", "HMAC to verify". */
struct mln_err transit_split(struct mln_cx *cx, const char *what, struct mln_bytes text,
                             int64_t *ret_version, struct mln_bytes *ret_payload);
/* The same, with N judged against the key. */
struct mln_err transit_split_for(struct mln_cx *cx, const struct transit_key *key, const char *what,
                                 struct mln_bytes text, int64_t *ret_version,
                                 struct mln_bytes *ret_payload);
/* An integer that may come as text; `otherwise` when absent. */
int64_t transit_int(const struct mln_value *in, const char *name, int64_t otherwise);
/* The member key_version: 0 or absent is the newest; judged against min_encryption. what: "encryption", "signing" */
struct mln_err transit_pick(struct mln_cx *cx, const struct transit_key *key,
                            const struct mln_value *in, const char *what, int64_t *ret);
/* The member "input", base64. */
struct mln_err transit_read_input(struct mln_cx *cx, const struct mln_value *in, const char *absent,
                                  struct mln_buf *to);
/* A 404 without text. */
struct mln_err transit_absent(struct mln_reply *re);

struct transit_call {
    struct mln_request *rq;
    struct transit_key *key;
    size_t index; /* of the item of a batch; 0 alone */
    const void *arg;
    const char *blank;       /* member that a failed item of a batch has too; NULL = none */
    const struct mln_value *blank_value;
    bool is_lenient;         /* a batch of which items failed is 200 all the same */
};
typedef struct mln_err (*transit_op)(struct transit_call *call, const struct mln_value *in,
                                     struct mln_value *out);
/* Run op on the fields, or on each item of batch_input. */
struct mln_err transit_run(struct transit_call *call, struct mln_reply *re, transit_op op);

/* ---- transit_derive.c ---- */
/*
 * The key of a context: HKDF-SHA256 without salt, info = context (RFC 5869). n <= 64. Of a key that is not derived: its bytes as
 * they are (n <= v->key.len). INVALID when the context is missing.
 */
struct mln_err transit_derive(struct mln_cx *cx, const struct transit_key *key,
                              const struct transit_version *v, struct mln_bytes context,
                              uint8_t *out, size_t n);
/* The member "context", base64; empty when absent. */
struct mln_err transit_read_context(struct mln_cx *cx, const struct mln_value *in,
                                    struct mln_buf *context);

/* ---- transit_cipher.c ---- */
struct transit_extra {
    struct mln_buf context, aad;
};
void transit_extra_drop(struct transit_extra *x);
struct mln_err transit_read_extra(struct transit_call *call, const struct mln_value *in,
                                  struct transit_extra *x);
/* "vault:vN:..." of plain under version `number`. */
struct mln_err transit_seal(struct transit_call *call, const struct transit_extra *x,
                            int64_t number, struct mln_bytes plain, struct mln_value **ret);
/* plain: a secret buffer */
struct mln_err transit_open(struct transit_call *call, const struct transit_extra *x,
                            struct mln_bytes text, struct mln_buf *plain);

/* ---- transit_hmac.c ---- */
struct mln_err transit_verify_hmac(struct transit_call *call, const struct mln_value *in,
                                   struct mln_bytes text, bool *ret);
/* The first that is given of the fields; sha2-256 when none is. INVALID with `unknown` (one %.*s). */
struct mln_err transit_read_hash(struct mln_request *rq, bool may_be_none, enum mln_hash *ret);

/* ---- transit_backup.c: also for the fuzzer ---- */
struct mln_err transit_backup_parse(struct mln_cx *cx, struct mln_bytes text,
                                    const struct mln_value **ret);

/* ---- transit_tools.c ---- */
/* Is making keys by encrypting turned off? */
struct mln_err transit_upsert_is_off(struct mln_request *rq, bool *ret);

/* ---- handlers ---- */
#define TRANSIT_HANDLER(name) struct mln_err name(struct mln_request *rq, struct mln_reply *re)
TRANSIT_HANDLER(transit_keys_list);
TRANSIT_HANDLER(transit_keys_read);
TRANSIT_HANDLER(transit_keys_write);
TRANSIT_HANDLER(transit_keys_remove);
struct mln_err transit_keys_exists(struct mln_request *rq, bool *ret);
TRANSIT_HANDLER(transit_config_write);
TRANSIT_HANDLER(transit_rotate_write);
TRANSIT_HANDLER(transit_trim_write);
TRANSIT_HANDLER(transit_soft_delete);
TRANSIT_HANDLER(transit_soft_restore);
struct mln_err transit_tick(struct mln_request *rq);
TRANSIT_HANDLER(transit_wrapping_key_read);
TRANSIT_HANDLER(transit_import_write);
TRANSIT_HANDLER(transit_import_version_write);
TRANSIT_HANDLER(transit_export_read);
TRANSIT_HANDLER(transit_backup_read);
TRANSIT_HANDLER(transit_restore_write);
TRANSIT_HANDLER(transit_encrypt_write);
TRANSIT_HANDLER(transit_decrypt_write);
TRANSIT_HANDLER(transit_rewrap_write);
TRANSIT_HANDLER(transit_datakey_write);
TRANSIT_HANDLER(transit_sign_write);
TRANSIT_HANDLER(transit_verify_write);
TRANSIT_HANDLER(transit_hmac_write);
TRANSIT_HANDLER(transit_random_write);
TRANSIT_HANDLER(transit_hash_write);
TRANSIT_HANDLER(transit_cache_read);
TRANSIT_HANDLER(transit_cache_write);
TRANSIT_HANDLER(transit_settings_read);
TRANSIT_HANDLER(transit_settings_write);
