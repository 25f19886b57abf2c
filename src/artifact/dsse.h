/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer layers of `model.sig`: a Sigstore bundle v0.3 that holds a DSSE envelope. Only their
 * form is judged here; who may sign and what is signed is oms.h. Sources:
 * github.com/secure-systems-lab/dsse protocol.md; Sigstore protobuf-specs v0.3 (bundle);
 * docs/model-signing.md.
 */
#pragma once

#include "base/value.h"

#define MLN_DSSE_BUNDLE_MAX ((size_t)64 << 20) /* some 300,000 files; refused above */
#define MLN_DSSE_CERTS_MAX  8
#define MLN_DSSE_MEDIA_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define MLN_DSSE_IN_TOTO    "application/vnd.in-toto+json"

enum mln_dsse_material { MLN_DSSE_KEY, MLN_DSSE_CHAIN };

struct mln_dsse {
    enum mln_dsse_material material;
    struct mln_bytes hint;                      /* of a key: hex, may be empty */
    struct mln_bytes certs[MLN_DSSE_CERTS_MAX]; /* DER, leaf first */
    size_t n_certs;
    struct mln_bytes payload_type;
    struct mln_bytes payload; /* decoded, exactly as signed */
    struct mln_bytes sig;     /* DER */
};

/*
 * errors    FORGED for every deviation ("bundle: ..."): a signature that cannot be read is none;
 *           UNSUPPORTED for keyless bundles (`certificate`); MEMORY
 * ret       borrows from cx's arena and from json
 */
struct mln_err mln_dsse_parse(struct mln_cx *cx, struct mln_bytes json, struct mln_dsse *ret);
/* Append a bundle in pretty JSON. Failures stick to buf or cx. */
void mln_dsse_print(struct mln_cx *cx, struct mln_buf *buf, const struct mln_dsse *dsse);
/* The bytes that are signed: "DSSEv1" SP len(type) SP type SP len(payload) SP payload. */
void mln_dsse_pae(struct mln_buf *buf, struct mln_bytes type, struct mln_bytes payload);
/*
 * As model-signing 0.2 made them: "DSSEV1", and the payload as Python prints bytes (b'...'). Its
 * length is the printed one.
 */
void mln_dsse_pae_legacy(struct mln_buf *buf, struct mln_bytes type, struct mln_bytes payload);
