/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of a Merkle log, with no state of its own and no server: RFC 6962 hashing, C2SP tlog-tiles paths, signed
 * notes, proofs, and the offline verifier. Sources: RFC 6962 section 2.1; C2SP tlog-tiles, tlog-checkpoint, signed-note.
 */
#pragma once

#include "crypto/crypto.h"
#include "base/value.h"

struct mln_hash {
    uint8_t b[32];
};
#define MLN_TILE_WIDTH 256u
#define MLN_ENTRY_MAX 65535u

void mln_tlog_leaf(struct mln_bytes entry, struct mln_hash *ret);                 /* SHA256(0x00 || entry) */
void mln_tlog_node(const struct mln_hash *l, const struct mln_hash *r, struct mln_hash *ret); /* SHA256(0x01 || l || r) */

/* The right edge of a growing tree: enough to append and to tell the root. At most 64 hashes. */
struct mln_tlog_edge {
    uint64_t size;
    struct mln_hash peaks[64]; /* [k]: root of the full subtree of 2^k leaves, valid when bit k of size is set */
};
void mln_tlog_append(struct mln_tlog_edge *edge, const struct mln_hash *leaf);
void mln_tlog_root(const struct mln_tlog_edge *edge, struct mln_hash *ret); /* SHA256("") when empty */

/* "tile/<level>/<x000/...>[.p/W]"; level -1 = entries. Parse refuses what is not canonical. */
const char *mln_tlog_tile_path(struct mln_cx *cx, int level, uint64_t n, unsigned width);
bool mln_tlog_tile_parse(struct mln_bytes path, int *ret_level, uint64_t *ret_n, unsigned *ret_width);

/* hash(level, index) for subtree roots of 2^level leaves comes from the caller (tiles). */
struct mln_tlog_source {
    struct mln_err (*hash)(void *arg, struct mln_cx *cx, unsigned level, uint64_t index, struct mln_hash *ret);
    void *arg;
};
struct mln_err mln_tlog_prove_inclusion(struct mln_cx *cx, const struct mln_tlog_source *src, uint64_t size, uint64_t index,
                                        struct mln_hash *ret_proof, size_t *ret_n); /* ret_proof: room for 64 */
struct mln_err mln_tlog_check_inclusion(struct mln_cx *cx, const struct mln_hash *proof, size_t n, uint64_t size,
                                        const struct mln_hash *root, uint64_t index, const struct mln_hash *leaf);
struct mln_err mln_tlog_prove_consistency(struct mln_cx *cx, const struct mln_tlog_source *src, uint64_t old_size, uint64_t size,
                                          struct mln_hash *ret_proof, size_t *ret_n);
struct mln_err mln_tlog_check_consistency(struct mln_cx *cx, const struct mln_hash *proof, size_t n, uint64_t old_size,
                                          const struct mln_hash *old_root, uint64_t size, const struct mln_hash *root);

/* Signed notes and checkpoints. */
struct mln_checkpoint {
    struct mln_bytes origin;
    uint64_t size;
    struct mln_hash root;
};
struct mln_err mln_checkpoint_sign(struct mln_cx *cx, const struct mln_checkpoint *c, const uint8_t seed[32], struct mln_buf *note);
/* vkey "name+hash+base64"; errors FORGED, PARSE. Views borrowed from note. */
struct mln_err mln_checkpoint_open(struct mln_cx *cx, struct mln_bytes note, struct mln_bytes vkey, struct mln_checkpoint *ret);
struct mln_err mln_vkey_make(struct mln_cx *cx, const char *origin, const uint8_t public_key[32], const char **ret);

/*
 * The offline audit: signature, every entry against its tile, every tile against the root, consistency with an older checkpoint.
 * fetch  reads one public file ("checkpoint", "tile/...") from a folder or a URL; supplied by the caller
 * ret    {"origin","size","root","checked","ok":bool,"problems":[{"file","index","detail"}]}; problems name file and entry
 * errors only when the audit itself could not run (no checkpoint: NOT_FOUND; unreachable); a failed audit is ok:false
 */
struct mln_tlog_fetch {
    struct mln_err (*file)(void *arg, struct mln_cx *cx, const char *path, struct mln_bytes *ret);
    void (*progress)(void *arg, uint64_t done, uint64_t all);
    void *arg;
};
struct mln_err mln_tlog_audit(struct mln_cx *cx, const struct mln_tlog_fetch *fetch, struct mln_bytes vkey,
                              struct mln_bytes old_checkpoint, const struct mln_value **ret);
/* fetch.file for a folder: arg is the folder's path. */
struct mln_err mln_tlog_fetch_dir(void *arg, struct mln_cx *cx, const char *path, struct mln_bytes *ret);
