/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles as OPA has them (its documentation, "Bundles"): a tar.gz, or a folder, of policies, documents, a manifest and
 * signatures; or a delta, which patches documents. Reading is strict: each refusal names the file and what is wrong with it.
 * What a reader takes over is all or nothing, so a bad bundle never replaces a good one.
 *
 *   .manifest          revision, roots, rego_version, file_rego_versions, metadata, wasm (not run)
 *   a/b/data.json      documents below data.a.b; also data.yaml, data.yml
 *   a/b/x.rego         policies
 *   patch.json         of a delta: {"data": [{"op": "upsert"|"remove"|"replace", "path": "/a/b", "value": ..}]}
 *   .signatures.json   {"signatures": [JWT]} over the hashes of all other files
 */
#pragma once

#include "crypto/jose_verify.h"
#include "rego/rego_doc.h"

/* Limits, each with its reason. */
#define MLN_BUNDLE_PACKED_MAX   ((size_t)512 << 20) /* of a tar.gz: 100 MB of documents, five times */
#define MLN_BUNDLE_BYTES_MAX    (((size_t)1 << 30) - ((size_t)1 << 20)) /* unpacked: it is held in memory once */
#define MLN_BUNDLE_FILES_MAX    65536u              /* as many as a server holds policies */
#define MLN_BUNDLE_PATH_MAX     1024u               /* bytes; folders in folders are names in data */
#define MLN_BUNDLE_MANIFEST_MAX ((size_t)4 << 20)   /* people write it, tools add metadata */
#define MLN_BUNDLE_ROOTS_MAX    4096u               /* each is compared with each */
#define MLN_BUNDLE_KEYS_MAX     64u                 /* for signatures: a team has a few */

struct mln_bundle_file {
    const char *path; /* "a/b/data.json": no slash in front, no "." or ".." */
    struct mln_bytes bytes;
};

struct mln_bundle_module {
    const char *path;
    struct mln_bytes text;
    enum mln_rego_version version;
};

/* What was read; all of it lives until mln_bundle_free. */
struct mln_bundle {
    const char *revision;             /* "" when the manifest names none */
    const struct mln_bytes *roots;    /* without slashes at the ends; "" is everything */
    size_t n_roots;                   /* 0: a manifest with an empty list, which permits nothing */
    bool is_delta, is_verified;       /* is_verified: by a signature */
    const struct mln_value *manifest; /* an object; empty without a manifest */
    const struct mln_bundle_file *files; /* all, by path */
    size_t n_files;
    const struct mln_bundle_module *modules;
    size_t n_modules;
    struct mln_rego_data *data;       /* never NULL in a bundle that is no delta; mln_take it to own it */
    struct mln_bytes patch;           /* of a delta: patch.json */
    size_t bytes;                     /* of all files */
    struct mln_bundle_store *store;   /* private: the memory behind all this */
};

/* A key that signs bundles. */
struct mln_bundle_key {
    const char *id;
    const char *algorithm;  /* "RS256" and its kin; "HS256", "HS384", "HS512": key is the shared secret */
    struct mln_bytes key;   /* PEM */
    const char *scope;      /* NULL: "" */
};
struct mln_bundle_verify {
    const struct mln_bundle_key *keys;
    size_t n_keys;
    const char *key_id;  /* the key to use whatever the signature names; NULL: that of its header */
    const char *scope;   /* that signatures must have; NULL: that of the key */
    const char *const *exclude; /* paths, with "*": files that need no signature; ends with NULL; may be NULL */
    bool is_needed;      /* a bundle without signatures is refused; else only one with bad ones is */
};

struct mln_bundle_options {
    const struct mln_bundle_verify *verify; /* NULL: a signed bundle is refused, as nobody could say by whom */
    bool skip_verify;                       /* signatures are not looked at */
    enum mln_rego_version version;          /* of policies where the manifest says nothing */
};

/*
 * packed    the tar.gz; borrowed for the call
 * options   may be NULL
 * errors    PARSE, INVALID (what it holds contradicts itself), TOO_LARGE, LIMIT, FORGED (signature), MEMORY
 * source    POSIX.1-2017 pax "ustar Interchange Format"; RFC 1952; OPA's documentation
 */
struct mln_err mln_bundle_read(struct mln_cx *cx, struct mln_bytes packed, const struct mln_bundle_options *options,
                               struct mln_bundle **ret);
/* A folder that is a bundle; files that begin with "." are passed over, but for the manifest and the signatures. */
struct mln_err mln_bundle_read_folder(struct mln_cx *cx, const char *folder, const struct mln_bundle_options *options,
                                      struct mln_bundle **ret);
/* A file (tar.gz) or a folder. */
struct mln_err mln_bundle_load(struct mln_cx *cx, const char *path, const struct mln_bundle_options *options,
                               struct mln_bundle **ret);
/* Files in memory, borrowed until the bundle is freed. */
struct mln_err mln_bundle_of_files(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n,
                                   const struct mln_bundle_options *options, struct mln_bundle **ret);
void mln_bundle_free(struct mln_bundle *bundle); /* NULL is fine */
void mln_bundle_drop(struct mln_bundle **bundle);

/* The two have a root that is the other's or below it: "a/b" is in "a" and in "", and the other way round. */
bool mln_bundle_roots_meet(const struct mln_bundle *a, const struct mln_bundle *b, struct mln_bytes *ret_a,
                           struct mln_bytes *ret_b);
/* May a bundle with these roots say what stands at this path ("a/b/c")? */
bool mln_bundle_covers(const struct mln_bundle *bundle, struct mln_bytes path);

/*
 * Documents after a bundle: what is below its roots comes from it alone (a snapshot), or is patched (a delta).
 * revision of an earlier bundle is not looked at: whoever serves deltas does.
 * errors  INVALID (a patch outside of the roots), NOT_FOUND (it removes or replaces what is not there), PARSE
 */
struct mln_err mln_bundle_apply(struct mln_cx *cx, const struct mln_bundle *bundle, const struct mln_rego_data *old,
                                struct mln_rego_data **ret);
/* Documents without what a bundle with these roots put there. */
struct mln_err mln_bundle_erase(struct mln_cx *cx, const struct mln_bundle *bundle, const struct mln_rego_data *old,
                                struct mln_rego_data **ret);

/*
 * The package that a policy declares, "a/b" for a.b, appended.
 * errors  PARSE (with the place), TOO_LARGE, MEMORY
 */
struct mln_err mln_bundle_package(struct mln_cx *cx, const struct mln_bundle_module *module, struct mln_buf *ret);

/* ---- writing ---- */
/* The same files give the same bytes: sorted by path, without times and owners. errors INVALID (a path), LIMIT, MEMORY */
struct mln_err mln_bundle_pack(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n, struct mln_buf *ret);
/* The files of a folder, unread: as mln_bundle_read_folder takes them. errors as of both */
struct mln_err mln_bundle_pack_folder(struct mln_cx *cx, const char *folder, struct mln_buf *ret);
struct mln_bundle_signer {
    const char *algorithm; /* as of mln_bundle_key */
    const char *key_id;    /* "" or NULL: none */
    struct mln_bytes key;  /* private: PKCS#8 DER; of an HMAC the secret */
    const struct mln_value *claims; /* an object that is added: "scope", "iss", ..; may be NULL */
};
/* The content of .signatures.json over files (signatures among them are passed over), appended. */
struct mln_err mln_bundle_sign(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n,
                               const struct mln_bundle_signer *signer, struct mln_buf *ret);
