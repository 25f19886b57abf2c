/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon migrate: what its parts share. One object at a time: read at both sides, compare, write,
 * read again. Names and rows live in the arena of the command, contents in a scratch arena that is
 * wiped after each object.
 */
#pragma once

#include "cli/cli_priv.h"

/* ---- the state file: names of what is done, no contents (migrate_state.c) ---- */

enum mig_mark { MIG_NONE, MIG_OPEN /* a write of ours may have begun */, MIG_DONE };

#define MIG_STATE_MAX ((size_t)256 << 20) /* two million objects of a hundred bytes */
#define MIG_PATTERNS_MAX 64u              /* of --only and --exclude: each object is held against each */
#define MIG_NAMES_MAX 4000000u            /* objects of one mount that are held by name */
#define MIG_PLACEHOLDERS_MAX 1000         /* versions written only to keep the numbers of those behind them */

struct mig_entry {
    const char *path; /* NULL: a free place */
    const char *kept; /* names of members that the target holds otherwise, by commas; "" = none */
    enum mig_mark mark;
};
struct mig_state {
    int fd; /* -1: no file, memory only */
    struct mig_entry *table;
    size_t n, cap; /* cap: a power of two, or 0 */
};
/* Append-only lines of JSON; the first names both sides. errors INVALID (another migration's), CONFLICT (in use), IO, MEMORY */
struct mln_err mig_state_open(struct mln_cx *cx, struct mig_state *state, const char *path,
                              const char *from, const char *to);
void mig_state_close(struct mig_state *state);
const struct mig_entry *mig_state_get(const struct mig_state *state, const char *path); /* NULL = none */
struct mln_err mig_state_mark(struct mln_cx *cx, struct mig_state *state, const char *path,
                              enum mig_mark mark, const char *kept);

/* ---- what is meant (migrate_plan.c) ---- */

/*
 * Does `path` or a path above it fit the pattern? "*" and "?" stay within a segment, "**" does not.
 * time   O(pattern * path)
 */
bool mig_glob(struct mln_bytes pattern, struct mln_bytes path);
bool mig_wanted(const struct mln_value *only, const struct mln_value *exclude, const char *path);
/*
 * Are they equal to a reader of the API? Members of `a` that are absent in `b` are equal when empty
 * (null, "", 0, false, [], {}); lists of texts in any order; 3600 and "1h".
 */
bool mig_same(const struct mln_value *a, const struct mln_value *b);
bool mig_is_empty(const struct mln_value *v);
/* Members of `wanted` that `have` holds otherwise, by commas; "" = none. Names in `except` (by commas) are left out. */
const char *mig_differing(struct mln_cx *cx, const struct mln_value *wanted,
                          const struct mln_value *have, const char *except);
bool mig_has_word(const char *words, struct mln_bytes word); /* in a list by commas */
/* A copy without the members named in `drop`, without nulls, and with is_sparse without all that is empty. */
struct mln_value *mig_without(struct mln_cx *cx, const struct mln_value *v, const char *drop,
                              bool is_sparse);

/* ---- the run ---- */

enum mig_verdict { MIG_MOVED, MIG_PRESENT, MIG_VERIFIED, MIG_PLANNED, MIG_CONFLICT, MIG_LEFT, MIG_FAILED, MIG_VERDICTS };

struct mig_side {
    struct mln_cli_peer peer;
    const char *url;
    const char *name; /* "from", "to" */
    const struct mln_value *secrets, *auth; /* data of sys/mounts and sys/auth */
    const struct mln_value *entities, *groups; /* by id, with names; of identity */
};
struct migrate {
    struct mln_cli *cli;
    struct mln_cx work; /* scratch: wiped by each mig_fresh */
    struct mig_side from, to;
    struct mig_state state;
    const struct mln_value *only, *exclude;
    bool is_dry, overwrites;
    struct mln_value *rows;
    size_t counts[MIG_VERDICTS];
    bool is_partial; /* something was moved without a part of it */
};

/*
 * What is done to a body on its way. Read: at the side it came from, to make it independent of that
 * side (ids to names). Write: for the target (names to its ids, what must be made up).
 * *note: what stays behind, for the report; left alone when nothing does.
 */
typedef struct mln_err (*mig_hook)(struct migrate *m, const struct mig_side *side, const char *path,
                                   struct mln_value *body, const char **note);
struct mig_kind {
    const char *type; /* of the mount; NULL = system */
    bool is_auth;
    const char *list; /* below the mount; NULL = one object at `item` */
    const char *item; /* "roles": objects are item/NAME */
    const char *drop; /* members that are not written, by commas */
    const char *lost_if, *lost; /* a member that says that something stays behind, and what */
    const char *skip; /* names that each server has by itself */
    bool is_sparse;   /* empty members are not written: one object, whose defaults differ */
    mig_hook read, write;
};

struct mln_err mig_call(struct migrate *m, const struct mig_side *side, const char *method,
                        const char *path, const struct mln_value *body, struct mln_cli_reply *ret);
/* The same with a query ("?version=3") behind the escaped path. */
struct mln_err mig_ask(struct migrate *m, const struct mig_side *side, const char *method,
                       const char *path, const char *query, const struct mln_value *body,
                       struct mln_cli_reply *ret);
/* Absent (404, or a path that the server does not know): *ret NULL. */
struct mln_err mig_read(struct migrate *m, const struct mig_side *side, const char *path,
                        const struct mln_value **ret);
/* Names below a path into the command's arena; none when there are none. */
struct mln_err mig_list(struct migrate *m, const struct mig_side *side, const char *path,
                        const struct mln_value **ret);
void mig_fresh(struct migrate *m); /* a new object: forget contents and fault */
/* One row of the report. reason NULL = none */
struct mln_err mig_row(struct migrate *m, const char *path, enum mig_verdict verdict,
                       const char *reason);
/* A failure of one object becomes its row; one of the whole (unreachable, memory, the state file) is returned. */
struct mln_err mig_caught(struct migrate *m, const char *path, struct mln_err err);
/* Move one object whose path is the same at both sides. may_replace: the target's is a default of ours. */
struct mln_err mig_object(struct migrate *m, const struct mig_kind *kind, const char *path,
                          bool may_replace);
struct mln_err mig_kinds(struct migrate *m, const struct mig_kind *kinds, const char *type,
                         bool is_auth, const char *mount, bool may_replace);
/* What may be done where the target has something else: ours to finish, or --overwrite. */
bool mig_may_write(const struct migrate *m, const char *path);
struct mln_err mig_done(struct migrate *m, const char *path, const char *kept, const char *note);

extern const struct mig_kind mig_system_kinds[], mig_mount_kinds[]; /* migrate_kinds.c */
struct mln_err mig_mounts(struct migrate *m, bool is_auth);         /* migrate_mount.c */
struct mln_err mig_contents(struct migrate *m, bool is_auth);
struct mln_err mig_kv(struct migrate *m, const char *mount, bool is_v2); /* migrate_kv.c */
struct mln_err mig_kv2_secret(struct migrate *m, const char *mount, const char *name);
struct mln_err mig_transit(struct migrate *m, const char *mount); /* migrate_transit.c */
struct mln_err mig_identity(struct migrate *m);                   /* migrate_identity.c */
struct mln_err mig_leftovers(struct migrate *m);                  /* migrate_kinds.c */
