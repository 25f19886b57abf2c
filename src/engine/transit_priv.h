/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the transit engine share. Keys never leave it unless they were made exportable. Layout and texts:
 * docs/engine-transit.md.
 *
 *   k/<name>            array: settings, dates and public halves of all versions, the material of the newest
 *   v/<name>/<8 hex>    array: material of an older version
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"

#define TRANSIT_VERSIONS_MAX 100000   /* of one key; a key's row names each */
#define TRANSIT_BATCH_MAX    10000    /* items of one request: bounds what a worker does for it */
#define TRANSIT_RANDOM_MAX   131072   /* bytes of one answer: Vault's limit */

enum transit_type { TRANSIT_AES256, TRANSIT_CHACHA, TRANSIT_P256, TRANSIT_ED25519, TRANSIT_TYPES };

struct transit_version {
    int64_t created_ns;
    struct mln_bytes key;    /* 32 secret bytes: cipher key, scalar or seed */
    struct mln_bytes hmac;   /* 32 secret bytes */
    struct mln_bytes public; /* point (65), Ed25519 key (32) or empty */
};

struct transit_key {
    struct mln_bytes name;
    enum transit_type type;
    int64_t latest, min_decryption, min_encryption, min_available, auto_rotate_s;
    bool may_delete, is_exportable, may_backup;
    const struct mln_value *history; /* flat: created ns, public, ... of versions 1..latest; trimmed ones are null */
    struct transit_version newest;
};

/* ---- transit_key.c ---- */
struct mln_err transit_name(struct mln_request *rq, struct mln_bytes *ret);
bool transit_type_of(struct mln_bytes name, enum transit_type *ret);
const char *transit_type_name(enum transit_type type);
bool transit_can_encrypt(enum transit_type type);
bool transit_can_sign(enum transit_type type);
/* NOT_FOUND (bare) when there is no such key. */
struct mln_err transit_load(struct mln_request *rq, struct mln_bytes name, struct transit_key *ret);
/* The same for an operation: INVALID with `absent` as text. */
struct mln_err transit_need(struct mln_request *rq, const char *absent, struct transit_key *ret);
struct mln_err transit_store(struct mln_request *rq, const struct transit_key *key);
struct mln_err transit_create(struct mln_request *rq, struct mln_bytes name, enum transit_type type, struct transit_key *ret);
struct mln_err transit_rotate(struct mln_request *rq, struct transit_key *key); /* and store */
struct mln_err transit_remove(struct mln_request *rq, const struct transit_key *key);
struct mln_err transit_trim(struct mln_request *rq, struct transit_key *key, int64_t first); /* drop versions below; and store */
struct mln_err transit_version_of(struct mln_request *rq, const struct transit_key *key, int64_t number,
                                  struct transit_version *ret);
const struct mln_value *transit_key_value(struct mln_request *rq, const struct transit_key *key);
/* "vault:vN:" and base64. */
struct mln_value *transit_wrap_text(struct mln_cx *cx, int64_t version, struct mln_bytes payload, bool is_url);
/* Split "vault:vN:payload" and judge N against the key. what: "ciphertext", "signature", "hmac" */
struct mln_err transit_split(struct mln_cx *cx, const struct transit_key *key, const char *what, struct mln_bytes text,
                             int64_t *ret_version, struct mln_bytes *ret_payload);
/* An integer that may come as text; `otherwise` when absent. */
int64_t transit_int(const struct mln_value *in, const char *name, int64_t otherwise);
/* 0 or absent = newest; judged against min_encryption. */
struct mln_err transit_pick(struct mln_cx *cx, const struct transit_key *key, const struct mln_value *in, int64_t *ret);

/* ---- batches ---- */
struct transit_call {
    struct mln_request *rq;
    struct transit_key *key;
};
typedef struct mln_err (*transit_op)(struct transit_call *call, const struct mln_value *in, struct mln_value *out);
/* Run op on the fields, or on each item of batch_input. */
struct mln_err transit_run(struct transit_call *call, struct mln_reply *re, transit_op op);

/* ---- handlers ---- */
struct mln_err transit_keys_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_keys_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_keys_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_keys_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_keys_exists(struct mln_request *rq, bool *ret);
struct mln_err transit_config_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_rotate_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_trim_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_export_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_tick(struct mln_request *rq);
struct mln_err transit_encrypt_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_decrypt_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_rewrap_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_datakey_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_sign_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_verify_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_hmac_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_random_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err transit_hash_write(struct mln_request *rq, struct mln_reply *re);
