/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   rego_state.c  snapshots, compilation, prepared queries     rego_http.c   routes, parameters, faults
 *   rego_data.c   documents and decisions                      rego_policy.c policies, queries
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "api/rego.h"
#include "base/json.h"
#include "rego/rego_doc.h"

#define REGO_MODULES_MAX 65536u
#define REGO_QUERIES     64u /* prepared queries that a thread keeps, by hash of their text */
#define REGO_QUERY_KEPT  4096u /* bytes: of longer ones it keeps one */

/* Policies as they were put, sorted by id, and what they compile to. */
struct rego_module {
    char *id;
    uint8_t *text;
    size_t len;
};
struct rego_set {
    _Atomic unsigned refs;
    struct mln_rego *rego;
    struct rego_module *modules;
    size_t n;
};
struct rego_documents {
    _Atomic unsigned refs;
    struct mln_rego_data *data;
};
struct rego_snapshot {
    _Atomic unsigned refs;
    struct rego_set *set;
    struct rego_documents *documents;
};

struct rego_query {
    char *text;
    size_t len;
    struct mln_rego_query *query;
};
struct rego_worker {
    struct mln_rego_eval *eval; /* NULL until its first request */
    struct rego_snapshot *seen; /* the queries are for its policies */
    struct rego_query queries[REGO_QUERIES];
    _Atomic uint64_t requests[6]; /* by first digit of the status; 0 others */
};

struct mln_rego_state {
    pthread_mutex_t lock;    /* of `now`: held to take a reference */
    pthread_mutex_t writing; /* of who makes the next snapshot, and of preparing queries */
    struct rego_snapshot *now;
    bool is_v0;
    uint64_t time_ns;
    struct mln_rego_zones *zones; /* read before the sandbox closes files */
    char id[37]; /* label of this server */
    int64_t start_ns;
    struct rego_worker workers[MLN_FRONT_THREADS_MAX];
};

/* A request while it is answered. */
struct rego_call {
    struct mln_rego_state *state;
    struct rego_worker *worker;
    struct mln_cx *cx;
    const struct mln_http_request *http;
    struct mln_http_answer *answer;
    struct mln_buf *body;
    struct rego_snapshot *snapshot;
    struct mln_rego_path path; /* names behind the route */
    bool is_pretty, is_strict, has_metrics, has_provenance;
    bool is_empty; /* an answer without body: 204, 304 */
    bool was_kept; /* its query was prepared before */
    int64_t start_ns;
    int64_t eval_ns, compile_ns, parse_ns;
};

/* ---- rego_state.c ---- */
/* A new set with module `id` put (text) or removed (text.ptr NULL). *ret_failed keeps the errors of a set that does not compile. */
struct mln_err rego_set_change(struct mln_cx *cx, const struct mln_rego_state *state, const struct rego_set *old,
                               const char *id, struct mln_bytes text, struct rego_set **ret);
void rego_set_drop(struct rego_set **set);
const struct rego_module *rego_set_find(const struct rego_set *set, struct mln_bytes id);
/* Compiled? Errors are read with mln_rego_error_at(set->rego, i). */
struct mln_err rego_set_compile(struct mln_cx *cx, struct rego_set *set);
/* Both are taken over, also in failure; either may be NULL: as before. Called with `writing` held. */
struct mln_err rego_publish(struct mln_cx *cx, struct mln_rego_state *state, struct rego_set *set,
                            struct mln_rego_data *data);
/* The snapshot of this call, with its reference held by the worker. */
struct rego_snapshot *rego_current(struct mln_rego_state *state, struct rego_worker *worker);
/* From the worker's prepared ones. On an error of the query *ret_failed holds it for its errors; the caller frees. */
struct mln_err rego_query_get(struct rego_call *call, struct mln_bytes text, const struct mln_rego_query **ret,
                              struct mln_rego_query **ret_failed);

/* ---- rego_http.c ---- */
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
bool rego_flag(struct rego_call *call, const char *name); /* present, and not false */
/* Members that the parameters ask for, behind others: ",\"metrics\":{..}". */
void rego_add_extras(struct rego_call *call, bool is_first);

/* ---- rego_data.c, rego_policy.c, rego_query.c ---- */
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
/* Evaluate; false when it failed and was answered. */
bool rego_evaluate(struct rego_call *call, const struct mln_rego_query *query);
/* Prepare, answering what is wrong with it. */
const struct mln_rego_query *rego_prepare(struct rego_call *call, struct mln_bytes text);
