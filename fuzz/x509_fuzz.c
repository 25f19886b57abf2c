/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates, requests, private keys, OCSP requests and PEM. What is read keeps its bytes: names and keys are found in what
 * was given; a key reads again from its own forms; a PEM block prints and reads back equal; an OCSP request that is read is
 * answered with as many states.
 */
#include "crypto/x509.h"
#include "crypto/x509_svid.h"
#include "fuzz.h"

static void try_cert(struct mln_cx *cx, struct mln_bytes der)
{
    struct mln_x509_info info;
    mln_cx_clear(cx);
    if (mln_failed(mln_x509_cert_read(cx, der, &info))) {
        return;
    }
    struct mln_bytes id;
    MLN_CHECK(info.subject.len >= 2 && info.issuer.len >= 2 && info.serial.len <= 20);
    MLN_CHECK(mln_bytes_find_bytes(der, info.subject) < der.len);
    MLN_CHECK(info.sans_n <= MLN_X509_NAMES_MAX && info.extensions_n <= MLN_X509_EXTS_MAX);
    (void)mln_failed(mln_x509_key_id(cx, info.spki, &id));
    mln_cx_clear(cx);
    (void)mln_failed(mln_x509_cert_verify(cx, der, der));
    mln_cx_clear(cx);
    struct mln_spiffe_id svid = {0};
    if (!mln_failed(mln_x509_svid_read(cx, der, MLN_SVID_SERVER, &svid))) {
        MLN_CHECK(svid.path.len > 0 && mln_bytes_find_bytes(der, svid.text) < der.len);
        MLN_CHECK(!info.is_ca && info.sans_n >= 1);
    }
}

static void try_csr(struct mln_cx *cx, struct mln_bytes der)
{
    struct mln_x509_info info;
    mln_cx_clear(cx);
    if (mln_failed(mln_x509_csr_read(cx, der, &info))) {
        return;
    }
    MLN_CHECK(mln_bytes_find_bytes(der, info.subject) < der.len);
    for (size_t i = 0; i < info.sans_n; i++) {
        bool is_ip = info.sans[i].kind == MLN_SAN_IP;
        MLN_CHECK(!is_ip || info.sans[i].value.len == 4 || info.sans[i].value.len == 16);
    }
    (void)mln_ext_names(cx, info.sans, info.sans_n, false);
}

static void try_key(struct mln_cx *cx, struct mln_bytes der)
{
    struct mln_key key, again;
    mln_cx_clear(cx);
    if (mln_failed(mln_key_read(cx, der, &key))) {
        return;
    }
    MLN_CHECK(!mln_failed(mln_key_read(cx, key.pkcs8, &again)));
    MLN_CHECK(mln_bytes_eq(again.spki, key.spki) && again.kind == key.kind &&
              again.bits == key.bits);
}

static void try_ocsp(struct mln_cx *cx, struct mln_bytes der)
{
    struct mln_ocsp_ask ask;
    mln_cx_clear(cx);
    if (!mln_failed(mln_ocsp_read(cx, der, &ask))) {
        MLN_CHECK(ask.n >= 1 && ask.n <= MLN_OCSP_ASKED_MAX);
        for (size_t i = 0; i < ask.n; i++) {
            MLN_CHECK(!mln_ocsp_is_issuer(&ask.asked[i], MLN_BYTES("a"), MLN_BYTES("b")));
        }
    }
}

static void try_all(struct mln_cx *cx, struct mln_bytes der)
{
    try_cert(cx, der);
    try_csr(cx, der);
    try_key(cx, der);
    try_ocsp(cx, der);
}

static void try_pem(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_bytes label, der, again_label, again;
    bool is_bad = false;
    while (mln_pem_next(cx, &text, &label, &der, &is_bad)) {
        struct mln_bytes printed = mln_bytes_of(mln_pem_text(cx, mln_text_dup(cx, label), der));
        bool has_nul = mln_bytes_find(label, 0) < label.len;
        if (!has_nul && label.len > 0) {
            MLN_CHECK(mln_pem_next(cx, &printed, &again_label, &again, &is_bad));
            MLN_CHECK(mln_bytes_eq(again_label, label) && mln_bytes_eq(again, der));
        }
        try_all(cx, der);
        mln_cx_clear(cx);
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    try_all(&cx, mln_bytes_at(data, size));
    mln_cx_clear(&cx);
    try_pem(&cx, mln_bytes_at(data, size));
    mln_arena_free(arena);
    return 0;
}
