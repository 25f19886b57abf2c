/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `merlon proxy`, around the relay (proxy/proxy.h).
 *
 *   monitor   proxy_run.c      opens listeners, dials targets and the workload socket, writes records; holds no key, reads no stranger
 *   relay     proxy_relay.c    TLS with strangers; no key, no files, no new sockets
 *   keeper    proxy_keeper.c   talks to the Workload API, holds the keys of SVIDs, signs handshakes
 */
#pragma once

#include <sys/socket.h>

#include "contract/server.h"
#include "net/resolve.h"
#include "proxy/proxy.h"

#define PROXY_CONFIG_MAX ((size_t)1 << 20) /* 32 listeners with 256 patterns each, and room */

/* Where evidence goes; url NULL = nowhere. */
struct proxy_evidence {
    const char *url, *ca_file;
    const char *token_file;         /* or a login with the SVID: */
    const char *login, *role, *audience; /* mount "auth/spiffe"; role NULL = the first that fits */
};
struct proxy_config {
    const char *workload_socket; /* as given: "unix:///path"; NULL = the environment's */
    const char *spiffe_id;       /* which of several SVIDs; NULL = the first */
    struct mln_proxy_listener listeners[MLN_PROXY_LISTENERS_MAX];
    size_t n_listeners;
    struct mln_proxy_limits limits;
    const char *records; /* file, or "-": stderr */
    const char *metrics; /* address on loopback; NULL = none */
    struct proxy_evidence evidence;
};

/* ---- proxy_config.c ---- */
/* YAML, or HCL or JSON; *ret_all is what children are handed. errors PARSE, INVALID naming the key */
struct mln_err proxy_config_parse(struct mln_cx *cx, struct mln_bytes text, bool is_yaml, const struct mln_value **ret_all);
/* The same from a value; texts lie in the arena of cx. errors INVALID naming the key */
struct mln_err proxy_config_read(struct mln_cx *cx, const struct mln_value *all, struct proxy_config *ret);
/* What flags say as a configuration of one listener. errors USAGE */
struct mln_err proxy_config_of_flags(struct mln_cx *cx, const struct mln_proxy_options *options, const struct mln_value **ret_all);

/* ---- proxy_place.c ---- */
/* "host:port", "[::1]:port" or "unix:/path". */
struct proxy_place {
    bool is_unix;
    const char *path, *host;
    uint16_t port;
};
struct mln_err proxy_place_parse(struct mln_cx *cx, const char *text, struct proxy_place *ret); /* INVALID */
bool proxy_place_is_local(const struct proxy_place *place); /* a Unix socket or loopback, in numbers */
/* A socket that connects to the i-th of a target's addresses; -1 with *ret_errno. Never blocks. */
int proxy_dial(const struct proxy_place *place, const struct mln_resolved *known, unsigned i, int *ret_errno);

/* ---- proxy_record.c ---- */
struct proxy_records;
struct proxy_post;
/* post: where each record goes as well; NULL: nowhere. errors IO */
struct mln_err proxy_records_new(struct mln_cx *cx, const struct proxy_config *config, struct proxy_post *post, struct proxy_records **ret);
void proxy_records_free(struct proxy_records *records);
void proxy_records_reopen(struct proxy_records *records); /* the file was moved away */
void proxy_records_take(struct proxy_records *records, struct mln_bytes cbor); /* as relay wrote it */
/* A record from what relay wrote, in the form of docs/spiffe-proxy.md. errors PARSE, INVALID */
struct mln_err proxy_record_read(struct mln_cx *cx, struct mln_bytes cbor, const struct proxy_config *config,
                                 const struct mln_value **ret);

/* ---- proxy_post.c ---- */
/*
 * Records to a server's ledger, by a thread of its own: batches of what came within a second, kept while the server is away, up to
 * PROXY_POST_MAX; what does not fit is counted, and the count is told with the next batch.
 */
#define PROXY_POST_MAX 10000u
struct mln_err proxy_post_new(struct mln_cx *cx, const struct proxy_evidence *evidence, struct proxy_post **ret);
void proxy_post_free(struct proxy_post *post);                        /* what waits is sent once more, within some seconds; NULL is fine */
void proxy_post_take(struct proxy_post *post, struct mln_bytes json); /* a record as it was written */
bool proxy_post_wants_token(struct proxy_post *post);                 /* a JWT-SVID to log in with: asked for once */
void proxy_post_token(struct proxy_post *post, struct mln_bytes jwt); /* none: there is none now */

/* ---- proxy_metrics.c ---- */
/* Serves /metrics and /healthz on a thread of its own until the process ends. errors IO, INVALID */
struct mln_err proxy_metrics_start(struct mln_cx *cx, const char *address, const struct mln_proxy_counters *counters,
                                   const _Atomic int64_t *not_after_s, const char **ret_url);
void proxy_metrics_print(struct mln_buf *to, const struct mln_proxy_counters *counters, int64_t not_after_s);

/* ---- workload_client.c ---- */
/* An answer of FetchX509SVID, taken apart: what the keeper works with. */
struct workload_svid {
    const char *id;
    struct mln_bytes chain, key, bundle; /* DER after DER; PKCS #8; DER after DER */
};
/*
 * message   as it came; views of it in ret
 * wanted    a SPIFFE id, or NULL for the first
 * ret_federated  object: trust domain to DER after DER
 * errors PARSE, NOT_FOUND (none, or not the wanted one)
 */
struct mln_err workload_svid_read(struct mln_cx *cx, struct mln_bytes message, const char *wanted, struct workload_svid *ret,
                                  const struct mln_value **ret_federated);
/* What relay is to know: everything but the key. number: of the key. errors PARSE, INVALID */
struct mln_err workload_snapshot(struct mln_cx *cx, const struct workload_svid *svid, const struct mln_value *federated, int64_t number,
                                 const struct mln_value **ret, int64_t *ret_not_after_s);

/* ---- the processes ---- */
int proxy_run(const struct mln_proxy_options *options); /* becomes the monitor */
int relay_main(void);
int keeper_main(void);
