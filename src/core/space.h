/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces: which there are, which one a request is for. The root is none of the list: its id is "root", its path "".
 *
 * Rows in view "root/namespace/": "id/<id>" {"id", "path": "a/b/", "uuid", "custom_metadata", "lock": SHA-256 of the key that unlocks in
 * hex or "", "tainted": being deleted, "created_ns"}, and "path/<path>" with the id, which a mount of that path conflicts with.
 * What a namespace has lies below "<id>/" under its own keyring: mounts, policies, identity, roles of tokens. Tokens, leases and
 * wrapped answers of all namespaces lie in core's rows, so that ticks walk one list; their names end in ".<id>" and their contents are
 * sealed under the namespace's keyring as well.
 */
#pragma once

#include <stdatomic.h>

#include "contract/request.h"

#define MLN_NSID_LEN       6u    /* base62: 35 bits; one that is taken is drawn again */
#define MLN_SPACES_MAX     4096u /* of one server: all are read into memory, and each has a keyring in locked memory */
#define MLN_SPACE_DEPTH    16u   /* segments of a path */
#define MLN_SPACE_PATH_MAX 512u  /* bytes of a path: it is a part of store keys */

struct mln_space {
    const char *id, *path, *uuid; /* path: "a/b/" */
    const struct mln_value *meta; /* object of texts */
    const char *lock;             /* "" = not locked itself */
    bool is_tainted;
};

/* One immutable list, replaced as a whole. */
struct mln_spaces {
    struct mln_arena *arena;
    struct mln_space *list;           /* sorted by path: what is below one follows it */
    const struct mln_space **by_id;   /* sorted by id */
    size_t n;
    atomic_uint users;
};

struct mln_core;
struct mln_run;
struct mln_txn;

/* NULL when there is none but the root; give it back with mln_spaces_release. */
struct mln_spaces *mln_spaces_hold(struct mln_core *core);
void mln_spaces_release(struct mln_spaces *spaces);
void mln_spaces_release_drop(struct mln_spaces **spaces);
struct mln_err mln_spaces_load(struct mln_cx *cx, struct mln_core *core); /* from the store, after a change and at unseal */
void mln_spaces_forget(struct mln_core *core);
/* NULL when there is none; also NULL for the root's. spaces may be NULL. path: "a/b/" */
const struct mln_space *mln_space_by_id(const struct mln_spaces *spaces, struct mln_bytes id);
const struct mln_space *mln_space_by_path(const struct mln_spaces *spaces, struct mln_bytes path);
/* "" for NULL, the root. */
struct mln_bytes mln_space_path(const struct mln_space *space);
/* The namespace that an id of a token ends in ("hvs.x.<id>"), if there is one; MLN_NS_ROOT otherwise. Lives as long as `spaces`. */
struct mln_bytes mln_space_of_id(const struct mln_spaces *spaces, struct mln_bytes token);

/*
 * Namespace of the request by header and path; takes its part of the path off rq->path. errors NO_ROUTE (no such), SEALED (locked),
 * INVALID (a path of sys/ that only the root has)
 */
struct mln_err mln_space_resolve(struct mln_run *run);
/* Of what is answered while sealed: with a header for another namespace only what every namespace may ask. INVALID */
struct mln_err mln_space_check_open(struct mln_run *run);
/* Is the namespace of this id the request's, or below it? */
bool mln_space_is_below(const struct mln_run *run, struct mln_bytes id);
/* May the token, which is of this namespace, be used here: in it or below? Sets run->home. */
bool mln_space_enter(struct mln_run *run, struct mln_bytes id);
/* The path as policies of the actor's namespace name it: "b/secret/x" in "a/b/" for a token of "a/". */
struct mln_bytes mln_space_acl_path(const struct mln_run *run, struct mln_bytes path);
/* The path from the root: "a/b/secret/x". */
struct mln_bytes mln_space_full_path(const struct mln_run *run, struct mln_bytes path);
/* A mount may not stand where a namespace is. INVALID */
struct mln_err mln_space_check_mount(struct mln_request *rq, struct mln_bytes path);
/* Deletes a bit more of what tainted namespaces have; several batches a call, each with its own record. */
void mln_spaces_tick(struct mln_cx *cx, struct mln_core *core, int64_t now_ns);
