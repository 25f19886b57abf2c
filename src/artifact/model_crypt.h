/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole models, encrypted and opened: age (age.h) for every file, the signature (oms.h) readable
 * beside them.
 *
 *   encrypt  DIR/a, DIR/sub/b, DIR/model.sig  ->  D/a.age, D/sub/b.age, D/model.sig
 *   open     the other way; everything is decrypted into a folder beside OUT that nobody else may
 *            enter, verified there against model.sig, and only then renamed to OUT. On any failure
 *            nothing is left.
 *
 * age says nothing of who encrypted a file: without model.sig an opened model is unverified, and
 * the report says so.
 */
#pragma once

#include "artifact/age.h"
#include "artifact/oms.h"

#define MLN_MODEL_SIGNATURE "model.sig"

struct mln_model_encrypt {
    struct mln_age_to to;
    bool durable; /* sync every file before the final rename */
    struct mln_work_progress progress;
};

/*
 * Encrypt a folder to a new folder, or a file to a new file. Links and devices are refused.
 *
 * out        must not be there (folders); a file is replaced
 * ret        {"files":n,"bytes":n,"signature":bool}; NULL is fine
 * errors     EXISTS, INVALID, CONFLICT, those of mln_age_encrypt_fd and io.h; the text names the
 *            file
 */
struct mln_err mln_model_encrypt(struct mln_cx *cx, const char *path, const char *out,
                                 const struct mln_model_encrypt *how, const struct mln_value **ret);

struct mln_model_open {
    struct mln_age_with with;
    const struct mln_oms_trust *trust; /* NULL: ask find_trust */
    /* Whom to trust for this bundle, as a server's release record says. NULL: nobody to ask. */
    struct mln_err (*find_trust)(void *arg, struct mln_cx *cx, struct mln_bytes bundle,
                                 struct mln_oms_trust *ret);
    void *find_trust_arg;
    struct mln_bytes signature;    /* a bundle from elsewhere; empty: the folder's model.sig */
    bool wants_signature;          /* FORGED when there is none */
    bool skips_signature;          /* do not verify, even when there is one */
    struct mln_oms_options verify; /* ignore_unsigned, allow_uncovered, legacy */
    bool durable;
    struct mln_work_progress progress;
};

/*
 * Open an encrypted folder (every file *.age, but for model.sig) or one file.
 *
 * ret        {"files":n,"bytes":n,"verified":bool,"signature":report of mln_oms_verify or null};
 *            NULL is fine
 * errors     USAGE: there is a signature and nobody to trust; FORGED: it does not hold, or a file
 *            is damaged; DENIED: no key opens a file; EXISTS; INVALID: what is neither *.age nor
 *            model.sig; those of io.h
 */
struct mln_err mln_model_open(struct mln_cx *cx, const char *path, const char *out,
                              const struct mln_model_open *how, const struct mln_value **ret);
