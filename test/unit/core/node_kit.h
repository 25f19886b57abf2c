/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of a core that is driven by messages: joining, keys, entries. */
#pragma once

#include "core_kit.h"

#include "base/clock.h"
#include "base/text.h"
#include "crypto/x509.h"
#include "identity/spiffe_replica.h"

static inline struct ck *node_start(void)
{
    struct ck *k = ck_new();
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/config", "{\"trust_domain\":\"example.org\"}"),
            204);
    return k;
}
#define NODES(k) MLN_AUTO(ck_drop) struct ck *k = node_start()

static inline const char *text_at(struct ck *k, const char *name)
{
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), name), "");
}

/* A node: who it says it is, and what it was given. */
struct joined {
    const char *id, *session;
    struct mln_key key;
    struct mln_bytes svid; /* DER of the leaf */
};

static inline const char *csr_of(struct ck *k, const struct mln_key *key)
{
    const char *csr = NULL;
    assert_false(mln_failed(mln_replica_csr(&k->cx, key, &csr)));
    return csr;
}

static inline const char *new_csr(struct ck *k, struct mln_key *ret)
{
    assert_false(mln_failed(mln_key_generate(&k->cx, MLN_KEY_EC, 256, ret)));
    return csr_of(k, ret);
}

static inline struct mln_bytes der_at(struct ck *k, const char *base64)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    assert_false(mln_failed(mln_base64_parse(&k->cx, mln_bytes_of(base64), MLN_B64_STD, &der)));
    return mln_bytes_dup(&k->cx, mln_buf_bytes(&der));
}

/* What the last answer of nodes/attest gave. */
static inline void take_joined(struct ck *k, struct joined *ret)
{
    ret->id = text_at(k, "spiffe_id");
    ret->session = text_at(k, "session");
    ret->svid = der_at(k, text_at(k, "svid"));
}

static inline struct joined join_node(struct ck *k)
{
    struct joined n = {0};
    const char *csr = new_csr(k, &n.key);
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/join-token", "{\"ttl\":60}"), 200);
    const char *json = mln_text_format(
        &k->cx, "{\"method\":\"join_token\",\"payload\":{\"token\":\"%s\"},\"csr\":\"%s\"}",
        text_at(k, "token"), csr);
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/attest", json), 200);
    take_joined(k, &n);
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/attest", json), 403); /* once */
    assert_string_equal(ck_error(k), "this node is not attested");
    return n;
}

/* An entry of selector unix:uid:7; its id. */
static inline const char *add_entry(struct ck *k, const char *parent, const char *id)
{
    const char *json = mln_text_format(
        &k->cx, "{\"spiffe_id\":\"%s\",\"parent_id\":\"%s\",\"selectors\":[\"unix:uid:7\"]}", id,
        parent);
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/entries", json), 200);
    return text_at(k, "id");
}

/* Is this text in a record of the ledger? */
static inline bool is_recorded(struct ck *k, const char *text)
{
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/proof/0", NULL),
            200); /* makes it write what waits */
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/entries", "{\"max\":1000}"), 200);
    struct mln_bytes all = mln_bytes_of(ck_json(k, k->answer));
    return mln_bytes_find_bytes(all, mln_bytes_of(text)) < all.len;
}
