/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front process: one thread per ring, each with its own epoll; parses all that strangers send
 * and holds no key. It is started by exec as "merlon-front" with descriptors inherited; it drops
 * privileges into the sandbox after its threads are started.
 */
#pragma once

#include "net/grpc.h"
#include "net/http.h"
#include "net/wire.h"

#define MLN_FRONT_THREADS_MAX   64u
#define MLN_FRONT_LISTENERS_MAX 16u

struct mln_front_listener {
    int fd; /* listening, non-blocking; shared by all threads (EPOLLEXCLUSIVE) */
    bool is_tls;
    struct mln_bytes cert_pem; /* chain, public */
    struct mln_bytes
        client_ca_pem; /* verify client certificates against these; empty = do not ask */
    bool asks_certs;   /* ask clients for a certificate and take any: core judges it */
    bool shows_svid;   /* is_tls: core gives the certificate for each handshake, an SVID of its trust domain; cert_pem is empty */
    bool only_bundle;  /* nothing is served but the trust domain's bundle */
    bool needs_certs;  /* with client_ca_pem: who shows none is not let in */
    bool is_diagnostic; /* told to who answers (mln_http_request): health and metrics only */
    bool is_grpc;      /* what comes here speaks gRPC, in clear (net/grpc.h); for Unix sockets */
    uint32_t key;      /* number of the listener's key in core */
};

/* Translation between HTTP and wire values: the api room supplies it, main hands it over. */
struct mln_front_api {
    /*
     * Build the REQUEST value. An error is answered at once with its HTTP code in the API's error
     * shape; *ret = NULL asks for fault() with MLN_OK: an answer that needs no core. All texts must
     * be UTF-8.
     */
    struct mln_err (*request)(struct mln_cx *cx, const struct mln_http_request *http,
                              const struct mln_value **ret);
    /* Build the HTTP answer from an ANSWER value; body is appended to `body`. */
    struct mln_err (*answer)(struct mln_cx *cx, const struct mln_value *answer,
                             struct mln_http_answer *ret, struct mln_buf *body);
    /*
     * Build the HTTP answer for a fault of front or of request() itself; the text is in cx. Appends
     * to body.
     */
    void (*fault)(struct mln_cx *cx, struct mln_err err, struct mln_http_answer *ret,
                  struct mln_buf *body);
};

/*
 * Answers without core: who sets it needs no rings, and neither request nor answer of the API (fault is used). It runs in the
 * thread of the connection: the others of that thread wait. `thread` counts from 0, so that each may have memory of its own.
 * An error is answered by fault.
 */
struct mln_front_local {
    struct mln_err (*answer)(void *arg, unsigned thread, struct mln_cx *cx, const struct mln_http_request *http,
                             struct mln_http_answer *ret, struct mln_buf *body);
    void *arg;
    /*
     * The signature of a handshake, appended to sig: message is a SIGN (net/tls_sign.h) of the listener's key. Blocks. NULL: there
     * are no TLS listeners.
     */
    struct mln_err (*sign)(void *arg, unsigned thread, struct mln_cx *cx, const struct mln_value *message, struct mln_buf *sig);
    void *sign_arg;
};

struct mln_front_config {
    const struct mln_ring_fds *rings; /* one per thread; NULL with `local` */
    unsigned n_rings;                 /* threads */
    struct mln_front_local local;     /* answer NULL = requests go to core */
    const struct mln_front_listener *listeners;
    unsigned n_listeners;
    const struct mln_front_api *api;
    const struct mln_grpc_service *const *services; /* of gRPC; ends with NULL; NULL = none */
    /* readable (or closed): stop accepting, finish in flight (at most grace_ns); -1 = never */
    int stop_fd;
    /* where monitor hands over connections of the workload socket (net/peer_link.h), for gRPC; -1 or 0 = none */
    int peer_fd;
    /* one line of JSON about the sandbox is written here once, then closed; -1 = nobody asks */
    int state_fd;
    /* absolute, from the first byte (or accept) to the end of headers; 0 = 10 s */
    int64_t header_deadline_ns;
    int64_t body_deadline_ns; /* absolute, from headers to the end of the body; 0 = 90 s */
    int64_t idle_ns;          /* keep-alive without a request; 0 = 90 s */
    int64_t grace_ns;         /* 0 = 10 s */
    size_t body_max;          /* 0 = MLN_BODY_MAX_BYTES */
    bool pin; /* thread i stays on the i-th CPU it may use; core does the same with worker i */
    unsigned in_flight_max; /* requests with core, a thread; 0 or above = MLN_RING_CREDITS */
    /* connections a thread; 0 or above = 16,384: more wait in the listener's queue */
    unsigned conns_max;
    bool no_sandbox; /* tests under sanitizers only */
};

int mln_front_main(const struct mln_front_config *config); /* exit code; a corrupt ring ends it */
