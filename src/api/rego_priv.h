/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   rego_state.c    snapshots, prepared queries     rego_http.c    routes, bodies, refusals
 *   rego_set.c      policies and their compilation  rego_data.c    documents and decisions
 *   rego_bundles.c  bundles that are active         rego_policy.c  policies and queries
 *   rego_keeper.c   what the feeder says            rego_about.c   health, status, metrics, configuration
 *   rego_log.c      decisions to the feeder         rego_authz.c   who may ask
 *   rego_compile.c  partial evaluation
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "api/rego.h"
#include "api/rego_config.h"
#include "base/json.h"

#define REGO_MODULES_MAX 65536u
#define REGO_QUERIES     64u /* prepared queries that a thread keeps, by hash of their text */
#define REGO_QUERY_KEPT  4096u /* bytes: of longer ones it keeps one */

/* ---- what is served ---- */

/* A policy as it was put. Strings are its own. */
struct rego_module {
    char *id;
    char *origin;  /* the bundle that brought it; "" for files of the command line; NULL: put by the API */
    char *package; /* "a/b"; NULL while it does not parse */
    uint8_t *text;
    size_t len;
    enum mln_rego_version version;
};
/* Policies sorted by id, and what they compile to. */
struct rego_set {
    _Atomic unsigned refs;
    struct mln_rego *rego;
    struct rego_module *modules;
    size_t n, cap;
    pthread_mutex_t preparing; /* queries against it are made one at a time */
    bool has_mask, has_drop, has_authz, has_main;
};
struct rego_documents {
    _Atomic unsigned refs;
    struct mln_rego_data *data;
};
/* The configuration in force. */
struct rego_settings {
    _Atomic unsigned refs;
    struct mln_arena *arena;
    struct rego_config *config;
    struct mln_bytes labels; /* as JSON */
};
struct rego_snapshot {
    _Atomic unsigned refs;
    struct rego_set *set;
    struct rego_documents *documents;
    struct rego_settings *settings;
    struct mln_bytes revisions; /* {"name":{"revision":".."}} of active bundles; its own memory; none without bundles */
};

/* A bundle that is, or shall be, active. */
struct rego_bundle {
    char *name;
    bool is_active, is_discovery, is_delta;
    char *revision, *etag;
    struct mln_bytes *roots; /* each and the list are its own memory */
    size_t n_roots;
    int64_t requested_ns, answered_ns, downloaded_ns, activated_ns;
    int64_t took_ns, bytes; /* of the last activation */
    char code[32], message[MLN_CX_TEXT_MAX];
    int64_t http;
};

/* ---- threads ---- */

struct rego_query {
    char *text;
    size_t len;
    struct mln_rego_query *query;
};
#define REGO_STATUS_CLASSES 6u
#define REGO_TIME_BUCKETS   10u
struct rego_worker {
    struct mln_rego_eval *eval; /* NULL until its first request */
    struct rego_snapshot *seen; /* the queries are for its policies */
    struct rego_query queries[REGO_QUERIES];
    _Atomic uint64_t requests[REGO_STATUS_CLASSES]; /* by first digit of the status; 0 others */
    _Atomic uint64_t seconds_ns, buckets[REGO_TIME_BUCKETS];
};

/* Decisions on their way to the feeder. */
struct rego_scribe {
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct mln_buf lines;   /* decisions */
    struct mln_buf status;  /* the newest, when it was not sent yet */
    struct mln_buf answers; /* frames that are ready, behind one another */
    bool is_waiting, is_ended, has_thread;
    uint64_t dropped;
    int64_t window_s; /* of max_decisions_per_second */
    int64_t in_window;
    pthread_t thread;
};

struct mln_rego_state {
    pthread_mutex_t lock;    /* of `now`: held to take a reference */
    pthread_mutex_t writing; /* of who makes the next snapshot */
    struct rego_snapshot *now;
    bool is_v0, is_strict_authz;
    enum mln_rego_authentication authentication;
    bool is_authorized;      /* --authorization=basic */
    uint64_t time_ns;
    struct mln_rego_zones *zones; /* read before the sandbox closes files */
    char id[37]; /* label of this server */
    int64_t start_ns;
    int feeder_fd, feeder_in; /* to and from the feeder; -1: none runs */
    pthread_t keeper;
    bool has_keeper;
    pthread_mutex_t bundles_lock; /* of bundles[]; only the keeper changes them, with `writing` held */
    struct rego_bundle bundles[2 * REGO_BUNDLES_MAX + 1];
    size_t n_bundles;
    struct mln_value *boot_config; /* in boot_arena: what discovery adds to */
    struct mln_arena *boot_arena;
    struct rego_scribe scribe;
    struct rego_worker workers[MLN_FRONT_THREADS_MAX];
};

/* ---- a request while it is answered ---- */

enum rego_explain { REGO_EXPLAIN_OFF, REGO_EXPLAIN_NOTES, REGO_EXPLAIN_FAILS, REGO_EXPLAIN_FULL, REGO_EXPLAIN_DEBUG };

struct rego_call {
    struct mln_rego_state *state;
    struct rego_worker *worker;
    struct mln_cx *cx;
    const struct mln_http_request *http;
    struct mln_http_answer *answer;
    struct mln_buf *body;
    struct rego_snapshot *snapshot;
    struct mln_rego_path path; /* names behind the route */
    struct mln_bytes input;    /* the body, unpacked when it was packed */
    struct mln_buf unpacked;
    bool is_pretty, is_strict, has_metrics, has_provenance;
    bool is_empty; /* an answer without body: 204, 304 */
    bool was_kept; /* its query was prepared before */
    bool is_decision; /* to be logged */
    char decision_id[37]; /* "" while no decisions are logged */
    struct mln_bytes result; /* a part of body, or none: for the log */
    size_t result_from, result_len;
    int64_t start_ns;
    int64_t eval_ns, compile_ns, parse_ns;
};

/* ---- rego_set.c ---- */
/* A set without policies, with room for n. */
struct mln_err rego_set_new(struct mln_cx *cx, const struct mln_rego_state *state, size_t n, struct rego_set **ret);
void rego_set_drop(struct rego_set **set);
/* Add a copy; ids are told apart by the caller. errors LIMIT, MEMORY */
struct mln_err rego_set_keep(struct mln_cx *cx, struct rego_set *set, const struct rego_module *module);
struct mln_err rego_set_add(struct mln_cx *cx, struct rego_set *set, const struct mln_bundle_module *module, const char *id,
                            const char *origin);
/* A new set with module `id` put (text) or removed (text.ptr NULL). */
struct mln_err rego_set_change(struct mln_cx *cx, const struct mln_rego_state *state, const struct rego_set *old,
                               const char *id, struct mln_bytes text, struct rego_set **ret);
const struct rego_module *rego_set_find(const struct rego_set *set, struct mln_bytes id);
/* Compiled? Errors are read with mln_rego_error_at(set->rego, i). */
struct mln_err rego_set_compile(struct mln_cx *cx, struct rego_set *set);

/* ---- rego_state.c ---- */
struct rego_next {
    struct rego_set *set;
    struct mln_rego_data *data;
    struct rego_settings *settings;
};
/* All are taken over, also in failure; each may be NULL: as before. Called with `writing` held. */
struct mln_err rego_publish(struct mln_cx *cx, struct mln_rego_state *state, struct rego_next change);
/* The snapshot of this call, with its reference held by the worker. */
struct rego_snapshot *rego_current(struct mln_rego_state *state, struct rego_worker *worker);
/*
 * From the worker's prepared ones. key: what it is kept by, the text or a path that stands for it (which begins with a slash, as no
 * query does). On an error of the query *ret_failed holds it for its errors; the caller frees.
 */
struct mln_err rego_query_get(struct rego_call *call, struct mln_bytes key, struct mln_bytes text, const struct mln_rego_query **ret,
                              struct mln_rego_query **ret_failed);
const struct mln_rego_query *rego_query_kept(struct rego_call *call, struct mln_bytes key); /* NULL: not there */
/* raw in an arena of the settings. errors as of rego_config_read */
struct mln_err rego_settings_new(struct mln_cx *cx, const struct mln_rego_state *state, const struct mln_value *raw,
                                 struct rego_settings **ret);
void rego_settings_drop(struct rego_settings **settings);
/* {"name":{"revision":".."}, ..} of active bundles, appended; nothing when there are none. */
void rego_print_revisions(struct mln_rego_state *state, struct mln_buf *out);

/* ---- rego_bundles.c ---- */
/* The bundles that the configuration names are expected; those that it does not name any more go, with what they brought. */
struct mln_err rego_bundles_expect(struct mln_cx *cx, struct mln_rego_state *state, const struct rego_config *config);
/*
 * Put a bundle in the place of the one of that name. errors INVALID (roots overlap, policies do not compile, data stands in the
 * way of rules): what was before stays
 */
struct rego_offer {
    const char *name, *etag;
    bool is_requested; /* came from a service */
};
struct mln_err rego_bundle_activate(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *bundle,
                                    const struct rego_offer *offer);
/* The entry of a name, made when it is not there; NULL when there are too many. bundles_lock is held. */
struct rego_bundle *rego_bundle_entry(struct mln_rego_state *state, const char *name, bool is_discovery);
/* The active bundle that owns this path of data, NULL: none. Names of bundles live in the arena of cx. */
const char *rego_bundle_owner(struct mln_cx *cx, struct mln_rego_state *state, struct mln_bytes path);
bool rego_bundles_ready(struct mln_rego_state *state); /* all that are expected are active */

/* ---- rego_keeper.c ---- */
struct mln_err rego_keeper_start(struct mln_cx *cx, struct mln_rego_state *state);

/* ---- rego_log.c ---- */
struct mln_err rego_scribe_start(struct mln_cx *cx, struct mln_rego_state *state);
void rego_scribe_end(struct mln_rego_state *state);
void rego_scribe_status(struct mln_rego_state *state); /* the status changed */
/* A frame to the feeder, in order with others. */
void rego_scribe_answer(struct mln_rego_state *state, const struct mln_value *head, struct mln_bytes body);
bool rego_logs_decisions(const struct rego_call *call);
void rego_log_begin(struct rego_call *call); /* an id for the decision that is to come */
struct rego_decision {
    const char *path;      /* "a/b"; NULL: a query */
    struct mln_bytes query;
    const char *error;     /* NULL: none */
    struct mln_bytes result; /* JSON; none: undefined */
};
void rego_log_decision(struct rego_call *call, const struct rego_decision *decision);

/* ---- rego_authz.c ---- */
/* False when the request was refused and answered. */
bool rego_authorized(struct rego_call *call);

/* ---- rego_about.c ---- */
void rego_health(struct rego_call *call);
void rego_config_show(struct rego_call *call);
void rego_status_show(struct rego_call *call);
void rego_metrics_show(struct rego_call *call);
void rego_print_status(struct mln_cx *cx, struct mln_rego_state *state, struct mln_buf *out);
void rego_print_metrics(struct mln_rego_state *state, struct mln_buf *out);

/* ---- rego_http.c ---- */
/* The body as JSON; one in YAML is taken as OPA takes it. May borrow from the body. errors PARSE, MEMORY */
struct mln_err rego_body_json(struct rego_call *call, struct mln_bytes *ret);
/* Answer {code, message} with this status. */
void rego_refuse(struct rego_call *call, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* With a list of errors of the language. */
typedef const struct mln_rego_error *rego_error_fn(const void *of, size_t i); /* NULL: no more */
void rego_refuse_list(struct rego_call *call, int status, const char *code, const char *message, rego_error_fn *at,
                      const void *of);
/* What a change of documents refused. */
void rego_refuse_change(struct rego_call *call, struct mln_err err);
/* A parameter of the query string, decoded; false when absent. */
bool rego_param(struct rego_call *call, const char *name, struct mln_bytes *ret);
/* The i-th parameter of this name. */
bool rego_param_at(struct rego_call *call, const char *name, size_t i, struct mln_bytes *ret);
bool rego_flag(struct rego_call *call, const char *name); /* present, and not false */
/* Members that the parameters ask for, behind others: ",\"metrics\":{..}". */
void rego_add_extras(struct rego_call *call, bool is_first);
void rego_print_provenance(struct rego_call *call, struct mln_buf *out);

/* ---- rego_data.c, rego_policy.c, rego_compile.c ---- */
void rego_data_get(struct rego_call *call);
void rego_data_post(struct rego_call *call);
void rego_data_put(struct rego_call *call);
void rego_data_patch(struct rego_call *call);
void rego_data_delete(struct rego_call *call);
void rego_v0_post(struct rego_call *call);
void rego_root_post(struct rego_call *call);
void rego_policy_list(struct rego_call *call);
void rego_policy_get(struct rego_call *call);
void rego_policy_put(struct rego_call *call);
void rego_policy_delete(struct rego_call *call);
void rego_query_ask_get(struct rego_call *call);
void rego_query_ask_post(struct rego_call *call);
void rego_compile_post(struct rego_call *call);
/* Evaluate; false when it failed and was answered. */
bool rego_evaluate(struct rego_call *call, const struct mln_rego_query *query);
/* Prepare, answering what is wrong with it. */
const struct mln_rego_query *rego_prepare(struct rego_call *call, struct mln_bytes text);
const struct mln_rego_query *rego_prepare_as(struct rego_call *call, struct mln_bytes key, struct mln_bytes text);
int64_t rego_clock(const struct rego_call *call); /* for what is measured; 0 when nobody is going to see it */
/* result = data["a"]["b"][0] */
void rego_path_query(struct mln_rego_path path, struct mln_buf *out);
/* The names of "a/b" in the arena. */
struct mln_rego_path rego_path_of(struct mln_cx *cx, const char *text);
#define REGO_RESULT "result" /* the variable that an answer is bound to */
