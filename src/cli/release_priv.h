/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of `merlon release` and `merlon approve` share: a release under way and its
 * steps, each a row of the answer.
 */
#pragma once

#include "artifact/model_crypt.h"
#include "assure/gate.h"
#include "cli/cli_priv.h"

#define RELEASE_SIGN_KEY "transit/release-signing"
#define RELEASE_ROWS_MAX 12

struct release_row {
    const char *step, *verdict, *detail;
    int64_t duration_ns;
    int64_t ledger_index; /* -1 = none */
    bool is_earlier; /* shown before and the same now: the index is that of the earlier record */
};

struct release {
    struct mln_cli *cli;
    const char *dir;                    /* as given, without slashes at its end */
    const char *sig_path;               /* dir/model.sig */
    const char *sign_key, *encrypt_key; /* MOUNT/NAME */
    const char *out;                    /* the encrypted folder; known after open */
    const struct mln_value *gate_value;
    struct mln_gate gate;
    struct mln_oms_manifest manifest;
    const char *root; /* 64 hex digits */
    const char *id;
    const struct mln_value *record;          /* as the server has it now */
    const struct mln_value *scan, *fairness; /* evidence, NULL until shown */
    bool is_bad; /* a step said no: nothing is signed or encrypted any more */
    struct release_row rows[RELEASE_ROWS_MAX];
    size_t n_rows;
    struct mln_progress progress;
};

/* A step: fills verdict and detail of its row. What says no sets is_bad; errors end the command. */
typedef struct mln_err (*release_step)(struct release *r, struct release_row *row);

/* ---- release_steps.c ---- */
struct mln_err release_do_open(struct release *r, struct release_row *row);
struct mln_err release_do_scan(struct release *r, struct release_row *row);
struct mln_err release_do_fairness(struct release *r, struct release_row *row);
struct mln_err release_do_card(struct release *r, struct release_row *row);
struct mln_err release_do_gates(struct release *r, struct release_row *row); /* release_gates.c */
struct mln_err release_do_gate(struct release *r, struct release_row *row);
struct mln_err release_do_record(struct release *r, struct release_row *row);
/* Evidence as these steps show it, made without a server: needs cli, dir and gate of r. */
struct mln_err release_scan(struct release *r, const struct mln_value **ret);
struct mln_err release_measure(struct release *r, const struct mln_value **ret);
struct mln_err release_card(struct release *r, const struct mln_value **ret); /* NULL: there is none */

/* ---- release_seal.c ---- */
struct mln_err release_do_sign(struct release *r, struct release_row *row);
struct mln_err release_do_verify(struct release *r, struct release_row *row);
struct mln_err release_do_encrypt(struct release *r, struct release_row *row);

/* ---- release_show.c ---- */
/* POST release/<id>/<verb>; the answer's data and index. */
struct mln_err release_post(struct release *r, const char *verb, const struct mln_value *body,
                            struct release_row *row, const struct mln_value **ret_data);
/* Show evidence, unless the record has the same already. */
struct mln_err release_show(struct release *r, const char *step, const struct mln_value *result,
                            struct release_row *row);
/* The row is that of an earlier run. */
void release_keep(struct release *r, struct release_row *row);
bool release_is_done(const struct release *r); /* released: the record is final */
struct mln_work_progress release_progress(struct release *r, const char *what);
void release_table(struct mln_cli *cli, const struct mln_value *answer);
const struct mln_value *release_answer(struct release *r);
void release_print_findings(struct mln_cli *cli, const struct mln_value *findings);
