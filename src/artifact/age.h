/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age v1 files: what stock `age` writes is read and the other way round. X25519 recipients,
 * passphrases (reading only), and a stanza of our own, `merlon.dev/transit MOUNT/KEY VERSION`,
 * whose body is the file key as a server's key wrapped it; other tools skip it. Nothing of a file
 * is in its final place before its last chunk verified. Source: C2SP age specification;
 * docs/encryption.md.
 *
 *   age-encryption.org/v1 LF | stanza ... | "--- " mac LF | nonce 16 | chunk 0 (65536 + 16) | ... |
 *   last chunk (0..65536 + 16)
 */
#pragma once

#include "artifact/digest_pool.h"
#include "base/secret.h"
#include "base/value.h"

#define MLN_AGE_CHUNK       65536
#define MLN_AGE_TAG         16
#define MLN_AGE_HEADER_MAX  (64u << 10) /* some 500 recipients */
#define MLN_AGE_STANZAS_MAX 512
#define MLN_AGE_ARGS_MAX    8
#define MLN_AGE_KEY         16
#define MLN_AGE_SCRYPT_LOG2_MAX                                                                    \
    18 /* 256 MiB and about a second: what stock age writes by default */
#define MLN_AGE_TRANSIT        "merlon.dev/transit"
#define MLN_AGE_WRAPPED_MAX    4096 /* bytes of a wrapped file key */
#define MLN_AGE_RECIPIENTS_MAX 64

/* ---- the header ---- */

struct mln_age_stanza {
    struct mln_bytes args[MLN_AGE_ARGS_MAX]; /* args[0] is the type */
    size_t n_args;
    struct mln_bytes body; /* decoded */
};

struct mln_age_header {
    struct mln_age_stanza *stanzas;
    size_t n_stanzas;
    struct mln_bytes maced; /* the bytes under the MAC, as read */
    uint8_t mac[32];
    size_t len; /* of the whole header; the payload's nonce begins here */
};

/*
 * bytes     the beginning of a file; it may go on behind the header
 * errors    PARSE ("age: ..."); TOO_LARGE. `*ret` borrows from bytes and cx's arena
 */
struct mln_err mln_age_header_parse(struct mln_cx *cx, struct mln_bytes bytes,
                                    struct mln_age_header *ret);
/* Append a header with these stanzas (args and body), its MAC under file_key. errors INVALID */
struct mln_err mln_age_header_print(struct mln_cx *cx, const struct mln_age_stanza *stanzas,
                                    size_t n, const uint8_t file_key[MLN_AGE_KEY],
                                    struct mln_buf *to);

/* ---- keys ---- */

struct mln_age_recipient {
    uint8_t x25519[32];
};
/* "age1..."; errors PARSE */
struct mln_err mln_age_recipient_parse(struct mln_cx *cx, struct mln_bytes text,
                                       struct mln_age_recipient *ret);
void mln_age_recipient_print(struct mln_buf *to, const uint8_t x25519[32]);
/*
 * An identity file: one AGE-SECRET-KEY-1... a line, "#" comments, empty lines. Scalars of 32 bytes
 * one after the other.
 * errors    PARSE naming the line, INVALID when there is none
 */
struct mln_err mln_age_identities_parse(struct mln_cx *cx, struct mln_bytes text,
                                        struct mln_secret *ret);
/* A new identity as age-keygen prints it (upper case). The buffer should be marked secret. */
void mln_age_identity_print(struct mln_buf *to, const uint8_t scalar[32]);

/* A server's key that wraps file keys. wrap appends to `wrapped` and sets the key's version. */
struct mln_age_transit {
    struct mln_err (*wrap)(void *arg, struct mln_cx *cx, const char *key,
                           const uint8_t file_key[MLN_AGE_KEY], struct mln_buf *wrapped,
                           uint32_t *ret_version);
    /*
     * key and version as the stanza says; NOT_FOUND, INVALID or FORGED = not ours, the next stanza
     * is tried
     */
    struct mln_err (*unwrap)(void *arg, struct mln_cx *cx, const char *key, uint32_t version,
                             struct mln_bytes wrapped, uint8_t file_key[MLN_AGE_KEY]);
    void *arg;
};

struct mln_age_to {
    const struct mln_age_recipient *recipients;
    size_t n_recipients;
    const char *transit_key; /* "MOUNT/KEY", NULL = none */
    struct mln_age_transit transit;
};

struct mln_age_with {
    struct mln_bytes identities;           /* n * 32 bytes: mln_age_identities_parse */
    const struct mln_age_transit *transit; /* NULL = none */
    /* Appends the passphrase to a secret buffer; NULL: files with a passphrase are refused. */
    struct mln_err (*passphrase)(void *arg, struct mln_cx *cx, struct mln_buf *to);
    void *passphrase_arg;
};

/*
 * A fresh file key, wrapped to all of `to`, and the header. errors INVALID (no recipient, a low-
 * order one), those of wrap
 */
struct mln_err mln_age_wrap(struct mln_cx *cx, const struct mln_age_to *to,
                            uint8_t file_key[MLN_AGE_KEY], struct mln_buf *header);
/*
 * The file key of a header, its MAC checked.
 * errors    DENIED (no key of ours opens it), FORGED (the MAC), PARSE (a malformed stanza),
 *           UNSUPPORTED (passphrase not asked for, or too costly), those of unwrap other than the
 *           ones that mean "not ours"
 */
struct mln_err mln_age_unwrap(struct mln_cx *cx, const struct mln_age_header *header,
                              const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY]);

/* ---- files ---- */

struct mln_age_options {
    unsigned mode; /* of the file that is made; 0 = 0600 */
    bool durable;  /* sync before the rename */
    unsigned threads;
    struct mln_work_progress progress;
};

/*
 * Encrypt or decrypt one file: all cores, less than 1 MiB a thread, written beside out_path under a
 * temporary name that is removed on failure. `in` and `out` may be the same path. errors as above,
 * FORGED for any damage, CONFLICT when the input changes meanwhile, those of io.h
 */
struct mln_err mln_age_encrypt_file(struct mln_cx *cx, const char *in_path, const char *out_path,
                                    const struct mln_age_to *to,
                                    const struct mln_age_options *options);
struct mln_err mln_age_decrypt_file(struct mln_cx *cx, const char *in_path, const char *out_path,
                                    const struct mln_age_with *with,
                                    const struct mln_age_options *options);
/*
 * The same between descriptors that were opened already, out at offset 0 of an empty regular file;
 * in is regular. Used for whole folders. On failure out holds rubbish that the caller removes.
 */
struct mln_err mln_age_encrypt_fd(struct mln_cx *cx, int in, int out, const struct mln_age_to *to,
                                  const struct mln_age_options *options);
struct mln_err mln_age_decrypt_fd(struct mln_cx *cx, int in, int out,
                                  const struct mln_age_with *with,
                                  const struct mln_age_options *options);
/* In memory, for what is small: appended to `to`. */
struct mln_err mln_age_encrypt_bytes(struct mln_cx *cx, struct mln_bytes plain,
                                     const struct mln_age_to *to, struct mln_buf *out);
struct mln_err mln_age_decrypt_bytes(struct mln_cx *cx, struct mln_bytes file,
                                     const struct mln_age_with *with, struct mln_buf *out);
