/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of everything that answers requests: secrets engines, auth methods, the system backend. Each is one file (or a
 * few) that ends in one descriptor, plus one line in its room's .def list. From the descriptor come routing, ACL checks, field
 * parsing, `help`, OpenAPI, man pages and completion; a handler is straight-line C that takes a request and fills a reply.
 */
#pragma once

#include "contract/request.h"

enum mln_field_type {
    MLN_FIELD_TEXT,     /* string; numbers and booleans are taken as their text */
    MLN_FIELD_SECRET,   /* string; marked secret in the value and never logged */
    MLN_FIELD_INT,      /* integer; "5" is taken */
    MLN_FIELD_BOOL,     /* boolean; "true"/"false" and 1/0 are taken */
    MLN_FIELD_DURATION, /* seconds as integer; "30m" is taken */
    MLN_FIELD_LIST,     /* array of strings; "a,b" is taken */
    MLN_FIELD_INTS,     /* array of integers; "1,2" is taken */
    MLN_FIELD_MAP,      /* object */
    MLN_FIELD_ANY,
};

struct mln_field {
    const char *name;
    enum mln_field_type type;
    const char *fallback; /* text of the default as help shows it and as it is parsed; NULL = absent when not given */
    const char *help;
    bool is_required; /* absent: 400 "missing <name>" unless the handler gives a better text itself (then leave false) */
    bool is_query;    /* may also come from the path's captures or the query */
};

typedef struct mln_err (*mln_handler)(struct mln_request *rq, struct mln_reply *re);

/*
 * One path of an engine, relative to its mount. Pattern: literal segments, {name} captures one segment, {name...} captures
 * the rest (may hold "/"; fixed segments may follow: "{path...}/tune"), a final "?" on a segment makes it optional:
 * "keys/{name}/rotate", "data/{path...}", "random/{bytes}?".
 * The first pattern that matches wins, in table order.
 */
struct mln_path {
    const char *pattern;
    const char *summary;             /* one line, imperative */
    const struct mln_field *fields;  /* ends with {0}; NULL = free form (data is passed as it came) */
    mln_handler read, list, write, patch, remove; /* NULL = 405 */
    /* create or update? NULL: every write needs "update". Sets *ret; errors as a handler. */
    struct mln_err (*exists)(struct mln_request *rq, bool *ret);
    bool is_open;        /* no token needed (login, health) */
    bool is_sudo;        /* needs sudo besides */
    bool needs_peer;     /* answered only for an attested process (rq->peer), whatever its token: the engine decides what it gets */
    bool is_relief;      /* may use the disk reserve (revoke, delete, prune, seal) */
    bool is_exempt;      /* leaves no record: health, seal status, metrics, public ledger files */
    bool works_sealed;   /* answered while sealed */
    mln_handler scan;    /* SCAN of its own, for what may_scan does not describe */
    bool may_scan;       /* SCAN: core asks `list` for each folder below; its names of folders end in "/" */
    bool may_block;      /* expensive (password hash, many keys): the worker hands its ring on first */
    enum { MLN_ACT_PLAIN, MLN_ACT_EVIDENCE, MLN_ACT_LOGIN } act; /* class of its record */
    const char *controls; /* comma list of control ids this is evidence for, e.g. "AC-6,AU-10"; may be NULL */
};

enum mln_mount_kind { MLN_MOUNT_SECRET, MLN_MOUNT_AUTH, MLN_MOUNT_SYSTEM };

struct mln_engine {
    const char *type; /* "kv" */
    enum mln_mount_kind kind;
    const char *summary;
    const struct mln_path *paths; /* ends with {0} */
    const struct mln_path *const *more_paths; /* further tables, looked through after paths; ends with NULL; NULL = none */
    /* Another descriptor for mounts of these options, say of an older version of the same type; NULL = this one always. */
    const struct mln_engine *(*variant)(const struct mln_value *options);
    /* Once, in the transaction that mounts it; may write defaults. NULL = nothing to do. */
    struct mln_err (*start)(struct mln_request *rq);
    /* Scheduled work, each run with its own record; period in seconds. */
    struct mln_err (*tick)(struct mln_request *rq);
    int64_t tick_s;
    /*
     * Leases of this engine. rq->mount is the mount, rq->path the lease's, internal what was given with it. renew may lower or refuse
     * (NULL = any renewal up to the maximum); revoke undoes what was handed out (NULL = nothing to undo) and must bear being run twice.
     */
    struct mln_err (*renew)(struct mln_request *rq, const struct mln_value *internal, struct mln_lease *lease);
    struct mln_err (*revoke)(struct mln_request *rq, const struct mln_value *internal);
    /*
     * A token that this method's login made is to be renewed: look again whether the role or user is there and what it may have.
     * internal is the login's; fill *login as the login did (ttl_s, max_ttl_s, period_s, policies). An error refuses the renewal.
     * NULL: renewed by the token's own limits.
     */
    struct mln_err (*renew_login)(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login);
};

/* engine/engine.c and auth/auth.c expand their .def lists into these; core adds its own sys and token. End with NULL. */
extern const struct mln_engine *const mln_engines[];
extern const struct mln_engine *const mln_methods[];
