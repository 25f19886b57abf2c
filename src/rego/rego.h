/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rego, the policy language, as a library: modules are read and compiled, a query is prepared, data and input are
 * handed in, the answer comes back as JSON. Needs only base; nothing of the server.
 *
 *   struct mln_rego *rego;      mln_rego_new(cx, NULL, &rego);
 *                               mln_rego_add(rego, cx, "a.rego", text); ... mln_rego_compile(rego, cx);
 *   struct mln_rego_query *q;   mln_rego_prepare(rego, cx, MLN_BYTES("data.a.allow = x"), NULL, &q);
 *   struct mln_rego_eval *eval; mln_rego_eval_new(cx, &eval);                    one a thread, used again and again
 *                               mln_rego_eval_input(eval, cx, json); mln_rego_run(eval, cx, q, data, NULL);
 *                               mln_rego_rows_print(eval, buf); mln_rego_eval_reset(eval);
 *
 * A compiled mln_rego, its queries and its data are read only: threads may share them. mln_rego_eval is one thread's.
 * Errors of the language are a list (mln_rego_error_at) with OPA's codes; the first is also the text on cx.
 */
#pragma once

#include "base/value.h"

struct mln_rego;
struct mln_rego_query;
struct mln_rego_data;
struct mln_rego_eval;

enum mln_rego_version { MLN_REGO_V1 = 0, MLN_REGO_V0 = 1 };

struct mln_rego_options {
    enum mln_rego_version version;
    bool is_strict;         /* unused imports and variables are errors */
    bool has_print;         /* what print is given must be declared */
    bool has_notes;         /* evaluations may be watched (mln_rego_run_options.note); else programs have nothing for it */
    unsigned errors_max;    /* 0: MLN_REGO_ERRORS_MAX */
};

struct mln_rego_error {
    const char *code;    /* "rego_parse_error", "eval_conflict_error", ... static */
    const char *message; /* lives as long as what reported it */
    const char *file;
    uint32_t row, col; /* from 1; 0 when there is no place */
    const char *details; /* lines that say more, "\n" between them; NULL: none */
};

/* Limits, each with its reason. */
#define MLN_REGO_ERRORS_MAX 10                  /* as OPA: more help nobody */
#define MLN_REGO_MODULE_MAX ((size_t)16 << 20)  /* bytes of one module: policies are written, data is data */
#define MLN_REGO_NESTING_MAX 200                /* terms in terms: the parser recurses */
#define MLN_REGO_JSON_DEPTH_MAX 2000             /* values in values: reading, copying, comparing recurse */
#define MLN_REGO_CALLS_MAX 2000                 /* rules that wait for rules: the evaluator recurses */

/* ---- modules ---- */
struct mln_err mln_rego_new(struct mln_cx *cx, const struct mln_rego_options *options, struct mln_rego **ret);
void mln_rego_free(struct mln_rego *rego); /* NULL is fine; not while queries of it are used */
void mln_rego_drop(struct mln_rego **rego);
/*
 * Read one module. `file` and `text` are copied. Parse errors: PARSE, and the list; other modules may still be added.
 * After mln_rego_compile no module can be added: build a new mln_rego.
 */
struct mln_err mln_rego_add(struct mln_rego *rego, struct mln_cx *cx, const char *file, struct mln_bytes text);
/* The same in a version of its own: bundles say it of each file. */
struct mln_err mln_rego_add_as(struct mln_rego *rego, struct mln_cx *cx, const char *file, struct mln_bytes text,
                               enum mln_rego_version version);
struct mln_err mln_rego_compile(struct mln_rego *rego, struct mln_cx *cx);
size_t mln_rego_error_count(const struct mln_rego *rego);
const struct mln_rego_error *mln_rego_error_at(const struct mln_rego *rego, size_t i);

/* ---- the canonical form ---- */
struct mln_rego_format_options {
    bool to_v1;         /* what is read as v0 is written as both versions read it: with import rego.v1 */
    bool drops_imports; /* imports that v1 does not need */
};
/*
 * Module i, in the order of mln_rego_add, as OPA's formatter writes it; before mln_rego_compile. What was formatted is
 * formatted to itself. false: there is no such module, or no memory.
 */
bool mln_rego_format(const struct mln_rego *rego, size_t i, const struct mln_rego_format_options *options,
                     struct mln_buf *buf);
/* The syntax tree of the module that was added as `file`, as JSON in OPA's shape; null when there is none. */
void mln_rego_module_print(const struct mln_rego *rego, const char *file, struct mln_buf *buf);

/* Only builtins of a list in the form of OPA's capabilities.json may be called; before mln_rego_compile. errors PARSE */
struct mln_err mln_rego_restrict(struct mln_rego *rego, struct mln_cx *cx, struct mln_bytes json);
/*
 * A JSON schema that types are checked against, before mln_rego_compile. name: "" is of all inputs; another one is of what
 * METADATA names so ("schemas: - input: schema.NAME", or data.a.b). errors PARSE, INVALID
 */
struct mln_err mln_rego_schema(struct mln_rego *rego, struct mln_cx *cx, const char *name, struct mln_bytes json);
/* The list of what this engine has, as JSON. false: no memory */
bool mln_rego_capabilities_print(struct mln_buf *buf);

/* Modules in the order of mln_rego_add; strings live as long as rego; NULL behind the last. */
size_t mln_rego_module_count(const struct mln_rego *rego);
const char *mln_rego_module_package(const struct mln_rego *rego, size_t i); /* "data.a.b" */
const char *mln_rego_module_file(const struct mln_rego *rego, size_t i);
/* As JSON: the tree of a module in OPA's shape, before mln_rego_compile; METADATA with package, rule and place of each. */
bool mln_rego_tree_print(const struct mln_rego *rego, size_t i, struct mln_buf *buf);
bool mln_rego_notes_print(const struct mln_rego *rego, struct mln_buf *buf);

/* What the modules define, one entry a rule: for test runners, dependencies, listings. Strings live as long as rego. */
struct mln_rego_rule {
    const char *path; /* "data.a.b.test_x"; keys that are no constants end it */
    const char *file;
    uint32_t row, col, end_row;
    bool is_function, is_default;
};
size_t mln_rego_rule_count(const struct mln_rego *rego);
bool mln_rego_rule_at(const struct mln_rego *rego, size_t i, struct mln_rego_rule *ret); /* false behind the last */

/* ---- queries ---- */
struct mln_rego_query_options {
    const char *package;  /* "a.b": what bare names mean; NULL: nothing */
    const char **imports; /* "data.x", "input.y as z"; NULL-ended; NULL: none */
    enum mln_rego_version version;
};
/*
 * Parse and compile a query against compiled modules. Errors are those of the query (mln_rego_query_error_at), and
 * *ret is set even then, so that they can be read; a query with errors cannot run.
 */
struct mln_err mln_rego_prepare(struct mln_rego *rego, struct mln_cx *cx, struct mln_bytes text,
                                const struct mln_rego_query_options *options, struct mln_rego_query **ret);
void mln_rego_query_free(struct mln_rego_query *query);
void mln_rego_query_drop(struct mln_rego_query **query);
size_t mln_rego_query_error_count(const struct mln_rego_query *query);
const struct mln_rego_error *mln_rego_query_error_at(const struct mln_rego_query *query, size_t i);

/* As JSON, {"base": [ref, ..], "virtual": [ref, ..]}: documents that a query reads and rules that it needs. */
bool mln_rego_deps_print(const struct mln_rego_query *query, struct mln_buf *buf);

/* ---- base documents ---- */
/* A snapshot; sorted and indexed, so that readers share it. errors PARSE, MEMORY */
struct mln_err mln_rego_data_load(struct mln_cx *cx, struct mln_bytes json, struct mln_rego_data **ret);
struct mln_err mln_rego_data_of(struct mln_cx *cx, const struct mln_value *value, struct mln_rego_data **ret);
void mln_rego_data_free(struct mln_rego_data *data);
void mln_rego_data_drop(struct mln_rego_data **data);
/*
 * The snapshot with another value at a path (an array of strings; empty: the whole), or without it when json is none.
 * Only the objects on the way are copied; `from` may be freed, what is shared lives on.
 * errors NOT_FOUND (the way leads through what is no object, or nothing is there to be removed), PARSE, MEMORY
 */
struct mln_err mln_rego_data_put(struct mln_cx *cx, struct mln_rego_data *from, const struct mln_value *path,
                                 struct mln_bytes json, struct mln_rego_data **ret);
size_t mln_rego_data_bytes(const struct mln_rego_data *data); /* memory that it holds */

/* ---- evaluation ---- */
struct mln_rego_budget {
    uint64_t steps_max;  /* instructions; 0: no limit */
    size_t memory_max;   /* bytes of values; 0: 1 GiB */
    uint64_t time_ns;    /* of the monotonic clock; 0: no limit */
};
/*
 * What merlon.model.verdict, merlon.evidence and merlon.approval ask: facts of the host. Called from the evaluation's thread, many
 * times, so it answers from memory. Arguments are strings.
 *   FOUND    *ret is the answer as JSON; borrowed until the evaluation ends
 *   ABSENT   nothing is known of it: the call is undefined
 *   FAILED   it cannot be said now; *ret may say why. Ends the evaluation with eval_lookup_error, whatever the policy makes of it:
 *            the host decides whether that is a yes or a no
 */
enum mln_rego_lookup { MLN_REGO_FOUND, MLN_REGO_ABSENT, MLN_REGO_FAILED };
/*
 * What the host reaches for policies; the library itself opens no socket. `http` is asked
 *   {"kind":"http", "method", "url", "headers":{name: text}, "body", "ca_pem", "cert_pem", "key_pem", "insecure_tls":bool,
 *    "redirects":int, "timeout_ms":int, "max_age_ms":int (an answer that old will do)}
 * and answers {"status":int, "headers":{lower-case name: text}, "body"} (as net/reach.h); `lookup` answers an array of
 * addresses. Both keep their own list of what may be reached and refuse the rest; the text of cx tells the policy why.
 * Called on the thread that evaluates, which waits. A function that is NULL: nothing is reached.
 */
struct mln_rego_net {
    struct mln_err (*http)(void *with, struct mln_cx *cx, const struct mln_value *ask, const struct mln_value **ret);
    struct mln_err (*lookup)(void *with, struct mln_cx *cx, struct mln_bytes name, const struct mln_value **ret);
    void *with;
};

/* Zones of time by name, all of the system's, read once: for a host that cannot read files later. About 0.5 MB. */
struct mln_rego_zones;
struct mln_err mln_rego_zones_new(struct mln_cx *cx, struct mln_rego_zones **ret); /* errors MEMORY */
void mln_rego_zones_free(struct mln_rego_zones *zones); /* NULL is fine */

enum mln_rego_event {
    MLN_REGO_ENTER, /* a rule's body begins */
    MLN_REGO_EXIT,  /* it gave a value */
    MLN_REGO_EVAL,  /* an expression begins */
    MLN_REGO_PASS,  /* it holds */
    MLN_REGO_FAIL,  /* it does not, or no more */
};
struct mln_rego_run_options {
    struct mln_rego_budget budget;
    bool is_strict;             /* errors of builtins end the evaluation; else the call is undefined */
    bool notes_nd;              /* what nondeterministic builtins answer is kept for mln_rego_nd_print */
    const volatile bool *stop;  /* set by another thread: eval_cancel_error; NULL: never */
    /* Called for each print() in order; none: prints say nothing. text ends in NUL. */
    void (*print)(void *with, const char *file, uint32_t row, const char *text);
    void *print_with;
    /* Called for each event in order; i as of mln_rego_note_at, depth: rules that wait. NULL: nobody watches. */
    void (*note)(void *with, enum mln_rego_event event, size_t i, unsigned depth);
    void *note_with;
    int64_t now_ns;             /* what time.now_ns answers; 0: the clock */
    const struct mln_rego_net *net;     /* NULL: http.send and lookups are errors; borrowed */
    const struct mln_rego_zones *zones; /* NULL: the system's files are read when a policy asks; borrowed */
    uint64_t seed;              /* of rand.intn and uuid.rfc4122; 0: from the system */
    /* NULL: merlon.* is not available here, an error of a builtin. */
    enum mln_rego_lookup (*lookup)(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret);
    void *lookup_with;
};

/* What can be watched: each rule and each expression of a body; a policy compiled with has_notes has a list of them. */
struct mln_rego_note {
    const char *file;
    uint32_t row, col;
    bool is_rule;
    const char *text; /* of the expression as it was written; the path of the rule */
};
bool mln_rego_note_at(const struct mln_rego *rego, size_t i, struct mln_rego_note *ret); /* false behind the last */

struct mln_err mln_rego_eval_new(struct mln_cx *cx, struct mln_rego_eval **ret);
void mln_rego_eval_free(struct mln_rego_eval *eval);
void mln_rego_eval_drop(struct mln_rego_eval **eval);
void mln_rego_eval_reset(struct mln_rego_eval *eval); /* forget input and answer, keep the memory */
/* The input document: JSON, a value, or a Rego term (which may hold sets). None: input is undefined. */
struct mln_err mln_rego_eval_input(struct mln_rego_eval *eval, struct mln_cx *cx, struct mln_bytes json);
struct mln_err mln_rego_eval_input_value(struct mln_rego_eval *eval, struct mln_cx *cx, const struct mln_value *value);
struct mln_err mln_rego_eval_input_term(struct mln_rego_eval *eval, struct mln_cx *cx, struct mln_bytes term);
/*
 * Evaluate. data may be NULL (empty), options too.
 * errors   what the language calls an error (a conflict, a builtin in strict mode): INVALID with mln_rego_eval_error;
 *          a budget that is used up or a stop: TIMEOUT, "eval_cancel_error"
 */
struct mln_err mln_rego_run(struct mln_rego_eval *eval, struct mln_cx *cx, const struct mln_rego_query *query,
                            const struct mln_rego_data *data, const struct mln_rego_run_options *options);
const struct mln_rego_error *mln_rego_eval_error(const struct mln_rego_eval *eval); /* NULL: none */

/* The answer: rows of bindings (variables of the query) and the values of its expressions. Sets print as arrays. */
size_t mln_rego_rows(const struct mln_rego_eval *eval);
/* [{"x": ..}, ..]: the bindings of all rows. */
void mln_rego_rows_print(const struct mln_rego_eval *eval, struct mln_buf *buf);
/* The value that row i gives a variable, as JSON; false when there is none. */
bool mln_rego_binding_print(const struct mln_rego_eval *eval, size_t row, const char *name, struct mln_buf *buf);
/* The value of expression k of row i, as JSON; false when there is none. */
bool mln_rego_expression_print(const struct mln_rego_eval *eval, size_t row, size_t k, struct mln_buf *buf);
/* The first expression of the first row as a value in the arena of cx; NULL when undefined. */
const struct mln_value *mln_rego_answer(const struct mln_rego_eval *eval, struct mln_cx *cx);
bool mln_rego_eval_input_print(const struct mln_rego_eval *eval, struct mln_buf *buf); /* false: undefined */
/* {"time.now_ns": {"[]": ..}}: what the last run was told; false: nothing. */
bool mln_rego_nd_print(const struct mln_rego_eval *eval, struct mln_buf *buf);
/* [[key, ..], ..]: what tables of tests (test_x[key]) met in the last run, in a policy with has_print. */
void mln_rego_cases_print(const struct mln_rego_eval *eval, struct mln_buf *buf);
uint64_t mln_rego_steps(const struct mln_rego_eval *eval); /* instructions of the last run */
