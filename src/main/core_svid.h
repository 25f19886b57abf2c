/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X.509-SVID that listeners show: made by core's engine, its key kept here in locked memory. Front asks for the certificate at each
 * handshake and names its key when it wants a signature; the one before stays a while for handshakes that began with it.
 */
#pragma once

#include <pthread.h>

#include "base/secret.h"
#include "net/tls_sign.h"

#define CORE_SVID_KEYS 1000 /* numbers of its keys begin here: above those of listeners with files */

struct core_svid_one {
    int64_t number; /* 0 = none; above CORE_SVID_KEYS */
    struct mln_secret key;
    uint8_t *chain;
    size_t chain_n;
};
struct core_svid {
    pthread_rwlock_t lock;
    struct core_svid_one now, before;
    int64_t made; /* how many were: no number is used twice */
};
void core_svid_init(struct core_svid *svid);
void core_svid_fini(struct core_svid *svid);
/* From now on this one: DER after DER, PKCS #8. An empty chain: none, and the keys are forgotten. Copied. */
struct mln_err core_svid_set(struct mln_cx *cx, struct core_svid *svid, struct mln_bytes chain, struct mln_bytes pkcs8);
/* CERTED (net/wire.h) into `to`. UNREACHABLE: there is none */
struct mln_err core_svid_show(struct mln_cx *cx, struct core_svid *svid, struct mln_value *to);
/* INVALID: no such key any more */
struct mln_err core_svid_sign(struct mln_cx *cx, struct core_svid *svid, int64_t key, enum mln_tls_how how, struct mln_bytes input,
                              struct mln_buf *sig);
