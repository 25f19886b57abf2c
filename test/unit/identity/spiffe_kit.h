/* SPDX-License-Identifier: Apache-2.0 */
/* The engine "spiffe" under the engine kit: trust domain example.org, callers by selectors, certificates taken apart. */
#pragma once

#include "kit/engine_kit.h"

#include <stdio.h>

#include "crypto/jose_verify.h"
#include "crypto/x509.h"
#include "identity/spiffe_bundle.h"
#include "identity/spiffe_priv.h"

extern const struct mln_engine mln_identity_spiffe;

#define SK_SECOND 1000000000LL

/* A process that shows these selectors, as JSON; NULL: no process. The texts live as long as the kit. */
struct sk_peer {
    struct mln_cx *cx;
    struct mln_peer peer;
};
static struct sk_peer sk_peers[8];
static size_t sk_peers_n;

static inline void sk_be(struct ek *k, const char *json)
{
    if (json == NULL) {
        k->peer = NULL;
        return;
    }
    assert_true(sk_peers_n < MLN_COUNT(sk_peers));
    struct sk_peer *p = &sk_peers[sk_peers_n++];
    p->cx = kit_cx_new();
    p->peer = (struct mln_peer){.number = sk_peers_n, .pid = 4711, .uid = 1000, .gid = 1000};
    kit_ok(p->cx, mln_json_parse(p->cx, mln_bytes_of(json), &p->peer.selectors));
    k->peer = &p->peer;
}

static inline struct ek *sk_new(void)
{
    struct ek *k = ek_new();
    k->now_ns = 1795336877 * SK_SECOND;
    ek_mount(k, "spiffe/", &mln_identity_spiffe, "5e0f9b2a-0000-4000-8000-000000000000");
    EK_WANT(k, ek_write(k, "spiffe/config", "{\"trust_domain\":\"example.org\"}"), 204);
    return k;
}

static inline void sk_drop(struct ek **k)
{
    ek_free(*k);
    while (sk_peers_n > 0) {
        kit_cx_free(sk_peers[--sk_peers_n].cx);
    }
}
#define SK(name) MLN_AUTO(sk_drop) struct ek *name = sk_new()

/* Make an entry; its id. */
static inline const char *sk_entry(struct ek *k, const char *json)
{
    static char ids[8][48];
    static size_t at;
    char *id = ids[at++ % 8];
    EK_WANT(k, ek_write(k, "spiffe/entries", json), 200);
    (void)snprintf(id, 48, "%s", ek_text(k, "id"));
    return id;
}

static inline const struct mln_value *sk_svid(struct ek *k, size_t i)
{
    return mln_item(mln_get(k->re.data, "svids"), i);
}

static inline struct mln_x509_info sk_leaf(struct ek *k, size_t i)
{
    struct mln_x509_info info;
    struct mln_bytes chain = mln_get_bytes(mln_get(sk_svid(k, i), "chain"));
    struct mln_bytes leaf = mln_bytes_sub(chain, 0, sp_der_length(chain));
    kit_ok(k->cx, mln_x509_cert_read(k->cx, leaf, &info));
    return info;
}

/* The leaf's issuer is one of the bundle's. */
static inline bool sk_is_trusted(struct ek *k, size_t i)
{
    struct mln_bytes chain = mln_get_bytes(mln_get(sk_svid(k, i), "chain")),
                     bundle = mln_get_bytes(mln_get(sk_svid(k, i), "bundle"));
    struct mln_bytes leaf = mln_bytes_sub(chain, 0, sp_der_length(chain));
    for (size_t n; bundle.len > 0; bundle = mln_bytes_from(bundle, n)) {
        n = sp_der_length(bundle);
        assert_true(n > 0);
        bool ok = !mln_failed(mln_x509_cert_verify(k->cx, leaf, mln_bytes_sub(bundle, 0, n)));
        mln_cx_clear(k->cx);
        if (ok) {
            return true;
        }
    }
    return false;
}

static inline size_t sk_bundle_size(struct mln_bytes bundle)
{
    size_t count = 0;
    for (size_t n; bundle.len > 0; bundle = mln_bytes_from(bundle, n), count++) {
        n = sp_der_length(bundle);
        assert_true(n > 0);
    }
    return count;
}
