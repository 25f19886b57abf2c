/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything outbound, in a process of its own (merlon-reach): core asks over a socket pair, reach
 * looks up, connects, parses what strangers answer, and hands back values. docs/reach.md
 *
 * On the socket: u32 big-endian length, then CBOR.
 *   to reach    {"id":int, "ask":object}
 *   from reach  {"id":int, "answer":object} or {"id":int, "code":text (errors.def), "text":text}
 *
 * Asks (times in ms; timeout_ms 1..60000, default 10000):
 *   {"kind":"http", "method":"GET|HEAD|POST|PUT|PATCH|DELETE", "url":"http[s]://host[:port]/...", "headers":{name: text}, "body",
 *    "ca_pem", "insecure_tls":bool, "cert_pem", "key_pem", "redirects":0..5 (GET and HEAD; same scheme only), "timeout_ms",
 *    "spiffe_id" (the server shows an X.509-SVID of exactly this id under ca_pem; no host name is compared, no redirect followed),
 *    "body_max":int (bytes of the answer's body; up to what the process was started with),
 *    "max_age_ms":int (GET: an answer to the same ask that is no older will do; core keeps some)}
 *     -> {"status":int, "headers":{lower-case name: text}, "body":bytes}
 *   {"kind":"ldap", "url":"ldap[s]://host[:port]", "starttls":bool, "insecure_tls":bool, "ca_pem", "bind_dn", "password",
 *    "tls_min_version":"tls12|tls13", "cert_der", "key_der" (bytes: what is shown to the server),
 *    "op":"bind"}  -> {"code":int (RFC 4511 result; 0 = bound), "text"}
 *   {..., "op":"search", "base", "filter", "scope":"base|one|sub", "attributes":[...], "size_limit":int,
 *    "dereference":"never|finding|searching|always"}
 *     -> {"code":int, "text", "entries":[{"dn":text, "attributes":{name:[bytes]}}]}; the bind's code when it is not 0
 *   {"kind":"lookup", "name"} -> {"addresses":[text]}; the list must allow all ports of the name ("name:*")
 * Without bind_dn an LDAP bind is anonymous. An empty password with a bind_dn is refused: servers take it as anonymous.
 */
#pragma once

#include "base/value.h"

#define MLN_REACH_CALLS_MAX      32u          /* in flight at once: each may hold an answer and a thread */
#define MLN_REACH_CALLS_OF_TARGET 4u          /* of those, to one host and port: a few more wait, the others hear LIMIT */
#define MLN_REACH_BODY_MAX       ((size_t)4 << 20) /* of one answer: JWKS, token reviews and groups are far below */
#define MLN_REACH_FRAME_MORE     ((size_t)2 << 20) /* of a frame, besides a body: headers and their framing */
#define MLN_REACH_BODY_MOST      ((size_t)512 << 20) /* what a process may be started with: bundles of policies */
#define MLN_REACH_TIMEOUT_MS     10000
#define MLN_REACH_TIMEOUT_MAX_MS 60000

/* ---- core's side ---- */
struct mln_reach;
struct mln_err mln_reach_new(struct mln_cx *cx, struct mln_reach **ret);
/* Answers may be this large from now on; before mln_reach_attach, and as the process itself was started. */
void mln_reach_allow_body(struct mln_reach *reach, size_t body_max);
void mln_reach_free(struct mln_reach *reach); /* ends what waits with UNREACHABLE; NULL is fine */
/* For good: what waits and what comes ends with UNREACHABLE at once. */
void mln_reach_end(struct mln_reach *reach);
/* A new reach process is on `fd` (taken, also on failure): what waits for an older one ends with UNREACHABLE. */
struct mln_err mln_reach_attach(struct mln_cx *cx, struct mln_reach *reach, int fd);
/*
 * Ask and wait. Any thread. Of equal asks with max_age_ms one goes out at a time; the others wait for its answer.
 * errors   INVALID (the ask), LIMIT (MLN_REACH_CALLS_MAX or MLN_REACH_CALLS_OF_TARGET run),
 *          DENIED (allow-list), UNREACHABLE, TIMEOUT, TOO_LARGE, REMOTE
 */
struct mln_err mln_reach_call(struct mln_cx *cx, struct mln_reach *reach,
                              const struct mln_value *ask, const struct mln_value **ret);
/* "host:port" that an ask wants to reach, for records and the allow-list. errors INVALID */
struct mln_err mln_reach_target(struct mln_cx *cx, const struct mln_value *ask, const char **ret);

/* ---- the allow-list ---- */
/* A pattern: "host:port", "*.domain:443", "host:*", "*:443", "[::1]:8200". errors INVALID (names it) */
struct mln_err mln_reach_pattern_check(struct mln_cx *cx, struct mln_bytes pattern);
/* Does the list (NULL: everything) allow "host:port"? */
bool mln_reach_allows(const struct mln_value *list, struct mln_bytes target);
/*
 * May this address be connected to? Link-local ranges and the addresses at which clouds hand credentials to whoever asks are
 * refused unless the list names that very address. sockaddr: of AF_INET or AF_INET6.
 */
struct sockaddr;
bool mln_reach_address_allowed(const struct mln_value *list, const struct sockaddr *address);

/* ---- reach's side ---- */
struct mln_reach_config {
    int fd;       /* to core */
    int state_fd; /* one line about the sandbox, then closed; -1 = nobody asks */
    const struct mln_value *allow; /* array of patterns, NULL = everything but link-local */
    size_t body_max;               /* of one answer or ask; 0: MLN_REACH_BODY_MAX */
    bool no_sandbox;               /* tests only */
};
/* Serves until core is gone. */
struct mln_err mln_reach_serve(struct mln_cx *cx, const struct mln_reach_config *config);

/* ---- a reach process as a child, for programs without a monitor ---- */
struct mln_reach_child {
    struct mln_reach *reach;
    int pid; /* 0: none */
};
/* Before any thread is started. errors MEMORY, INTERNAL */
struct mln_err mln_reach_spawn(struct mln_cx *cx, const struct mln_value *allow, struct mln_reach_child *ret);
void mln_reach_child_drop(struct mln_reach_child *child); /* ends it; of zeroes is fine */
