/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: cert_chain_read, cert_facts_read, cert_pem_read, cert_crl_read. Any bytes as a client's certificate, an entry's PEM or
 * a revocation list; a list that is read is read again equal.
 */
#include "fuzz.h"

#include "auth/cert_priv.h"

static void as_client(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_value *certs = mln_array(cx);
    struct cert_chain chain = {0};
    struct cert_facts facts;
    mln_push(cx, certs, mln_blob(cx, bytes));
    if (mln_failed(cert_chain_read(cx, certs, &chain))) {
        MLN_CHECK(chain.leaf == NULL);
        mln_cx_clear(cx);
        return;
    }
    struct mln_err err = cert_facts_read(cx, chain.leaf, &facts);
    MLN_CHECK(mln_failed(err) || (facts.serial[0] != 0 && mln_utf8_valid(mln_bytes_of(facts.common_name))));
    cert_chain_drop(&chain);
    mln_cx_clear(cx);
}

static void as_list(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_bytes der, again;
    const struct mln_value *serials = NULL, *same = NULL;
    if (!mln_failed(cert_crl_read(cx, bytes, &der, &serials)) && der.len > 0 && der.ptr[0] == 0x30) {
        struct mln_err err = cert_crl_read(cx, der, &again, &same);
        MLN_CHECK(mln_failed(err) || mln_value_eq(serials, same));
    }
    mln_cx_clear(cx);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    struct mln_cx cx;
    STACK_OF(X509) *stack = NULL;
    mln_cx_init(&cx, arena);
    as_client(&cx, mln_bytes_at(data, size));
    as_list(&cx, mln_bytes_at(data, size));
    if (!mln_failed(cert_pem_read(&cx, mln_bytes_at(data, size), &stack))) {
        MLN_CHECK(sk_X509_num(stack) > 0);
    }
    cert_stack_drop(&stack);
    mln_arena_free(arena);
    return 0;
}
