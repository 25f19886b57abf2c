/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SPIFFE proxy's relay: the process that strangers' bytes reach. mTLS on one side, plain bytes on loopback on the other; no key, no
 * way to open a file or a socket. docs/spiffe-proxy.md has the picture; main/proxy_*.c is what stands around it.
 */
#pragma once

#include <stdatomic.h>

#include "base/spiffe_id.h"
#include "base/value.h"
#include "net/tls_sign.h"

#define MLN_PROXY_LISTENERS_MAX 32u
#define MLN_PROXY_IDS_MAX       256u   /* patterns of one listener */
#define MLN_PROXY_THREADS_MAX   16u
#define MLN_PROXY_CONNS_MAX     100000u
#define MLN_PROXY_ROOTS_MAX     256u  /* of one trust domain */
#define MLN_PROXY_DOMAINS_MAX   1024u /* bundles of one snapshot */

enum mln_proxy_side {
    MLN_PROXY_SERVER, /* mTLS comes in, plain bytes go to the target */
    MLN_PROXY_CLIENT, /* plain bytes come in, mTLS goes to the target */
};
struct mln_proxy_listener {
    const char *name;
    enum mln_proxy_side side;
    const char *listen, *target; /* "host:port" or "unix:/path" */
    unsigned socket_mode;        /* of a Unix socket that is listened on */
    const struct mln_bytes *allow; /* patterns of ids: one must fit the peer */
    size_t n_allow;
    struct mln_bytes alpn; /* as TLS carries it: length and name, one after the other; empty = none */
};
struct mln_proxy_limits {
    int64_t connections, threads;
    int64_t handshake_s, connect_s, idle_s, drain_s;
};

/* ---- who is it? (verify.c) ---- */

struct mln_proxy_bundle {
    struct mln_bytes domain; /* "example.org" */
    const struct mln_bytes *roots; /* DER */
    size_t n;
};
struct mln_proxy_rules {
    const struct mln_proxy_bundle *bundles;
    size_t n_bundles;
    const struct mln_bytes *allow;
    size_t n_allow;
    enum mln_proxy_side side; /* ours: the peer of a server is a client */
    int64_t now_s;
};
/* Why a connection was refused or ended: names of records, docs/spiffe-proxy.md. */
enum mln_proxy_reason {
#define MLN_PROXY_REASON(name, text) MLN_PROXY_##name,
#include "proxy/reason.def"
#undef MLN_PROXY_REASON
    MLN_PROXY_REASONS
};
const char *mln_proxy_reason_name(enum mln_proxy_reason reason);
/* The bundle of a trust domain; NULL: none. */
const struct mln_proxy_bundle *mln_proxy_bundle_of(const struct mln_proxy_rules *rules, struct mln_bytes domain);
/*
 * Is the peer who it says it is (trust), one that a pattern names (allow), or both (verify)? The bundle is that of the peer's own trust
 * domain, never any other.
 * certs   DER, leaf first
 * ret     its SPIFFE id in the arena of cx; set also on failure when the leaf has one (text.len = 0: it has not)
 * why     set on failure
 * errors  FORGED, DENIED, INVALID, MEMORY
 */
struct mln_err mln_proxy_trust(struct mln_cx *cx, const struct mln_bytes *certs, size_t n, const struct mln_proxy_rules *rules,
                               struct mln_spiffe_id *ret, enum mln_proxy_reason *why);
struct mln_err mln_proxy_allow(struct mln_cx *cx, const struct mln_proxy_rules *rules, const struct mln_spiffe_id *id,
                               enum mln_proxy_reason *why);
struct mln_err mln_proxy_verify(struct mln_cx *cx, const struct mln_bytes *certs, size_t n, const struct mln_proxy_rules *rules,
                                struct mln_spiffe_id *ret, enum mln_proxy_reason *why);

/* ---- what the processes say to each other (link.c) ---- */

/*
 * Over SOCK_SEQPACKET pairs, a head and bytes, descriptors beside it.
 *
 *   relay -> monitor    DIAL (thread, conn, listener, attempt)   RECORD (bytes: CBOR)
 *   monitor -> relay    DIALLED (thread, conn, error; a socket)  IDENTITY (number: bytes of the file; a memfd)  WITHDRAW
 *                       SIGNERS (sockets to the keeper, one a thread)  STOP
 *   keeper -> monitor   DIAL   IDENTITY (as above)  WITHDRAW  TOKEN (bytes: a JWT-SVID)
 *   monitor -> keeper   DIALLED (error; a socket)  SIGNERS  ASK_TOKEN (bytes: audience)  STOP
 *   relay <-> keeper    SIGN (conn; bytes: CBOR of net/tls_sign.h)  SIGNED (conn; bytes: the signature, none = refused)
 */
enum mln_proxy_kind {
    MLN_PROXY_DIAL = 1,
    MLN_PROXY_RECORD,
    MLN_PROXY_DIALLED,
    MLN_PROXY_IDENTITY,
    MLN_PROXY_WITHDRAW,
    MLN_PROXY_SIGNERS,
    MLN_PROXY_STOP,
    MLN_PROXY_TOKEN,
    MLN_PROXY_ASK_TOKEN,
    MLN_PROXY_SIGN,
    MLN_PROXY_SIGNED,
};
#define MLN_PROXY_BYTES_MAX 8192u /* a record with two ids of 2,048 bytes, a JWT-SVID */
struct mln_proxy_message {
    uint32_t kind, n; /* n: bytes used */
    uint32_t thread, listener;
    uint64_t conn, number;
    int32_t error; /* errno of a dial, 0 = fine */
    uint32_t attempt;
    uint8_t bytes[MLN_PROXY_BYTES_MAX];
};
struct mln_err mln_proxy_pair(struct mln_cx *cx, int ret[2]);
/* errors LIMIT (no room now; only with no_wait), UNREACHABLE */
struct mln_err mln_proxy_send(struct mln_cx *cx, int fd, const struct mln_proxy_message *message, const int *fds, unsigned n_fds,
                              bool no_wait);
/* Up to MLN_PROXY_THREADS_MAX descriptors, the receiver's to close. errors NOT_FOUND (none now; only with no_wait), UNREACHABLE, INVALID */
struct mln_err mln_proxy_receive(struct mln_cx *cx, int fd, bool no_wait, struct mln_proxy_message *ret,
                                 int ret_fds[MLN_PROXY_THREADS_MAX], unsigned *ret_n);

/* ---- counters: one page that relay writes and monitor shows ---- */

struct mln_proxy_counters {
    _Atomic uint64_t accepted, opened, refused, ended, open, shaking, bytes_in, bytes_out, identities, records_waiting;
};

/* ---- the relay (relay.c) ---- */

struct mln_proxy_relay {
    const struct mln_proxy_listener *listeners;
    const int *listen_fds; /* bound, listening, non-blocking */
    size_t n_listeners;
    struct mln_proxy_limits limits;
    int control_fd;
    struct mln_proxy_counters *counters;
    bool no_sandbox; /* tests only */
};
/* Serves until monitor says STOP and all connections are at their end, or monitor is gone. Returns the exit code. */
int mln_proxy_relay_main(const struct mln_proxy_relay *config);
