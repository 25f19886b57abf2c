/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the release engine share. The contract is docs/release.md.
 *
 *   r/<id>         the record: an object as `release/{id}` shows it
 *   m/<model>      {"id": of the newest released record of this model}
 *
 * States: open -> waiting | refused -> released. Whatever changes gate or evidence leads back to
 * open and voids the approvals; released is final. Only the author changes a record; only another
 * person approves it.
 */
#pragma once

#include "assure/gate.h"
#include "barrier/txn.h"
#include "contract/engine.h"

#define RELEASE_ID_HEX        12 /* of the root, behind "rel-" */
#define RELEASE_ROOT_HEX      64
#define RELEASE_RESULT_MAX    (1u << 20) /* of one step: 256 findings fit many times */
#define RELEASE_COMMENT_MAX   1024
#define RELEASE_KEY_MAX       512
#define RELEASE_APPROVALS_MAX 100 /* kept; a gate asks for at most 10 */

/* ---- release_record.c ---- */
/*
 * DENIED, with the reason, unless the caller is a person: behind an auth mount, neither root nor
 * made by root.
 */
struct mln_err release_person(struct mln_request *rq, const char *what);
/* 64 lower-case hex digits of field `root`; INVALID */
struct mln_err release_root(struct mln_request *rq, struct mln_bytes *ret);
const char *release_id_of(struct mln_cx *cx, struct mln_bytes root);
/* The record {id} names, as a copy to change. NOT_FOUND with a text, INVALID */
struct mln_err release_need(struct mln_request *rq, struct mln_value **ret);
/* NOT_FOUND, bare */
struct mln_err release_load(struct mln_request *rq, const char *id, struct mln_value **ret);
/* The same, for the author and not yet released: DENIED, PRECONDITION */
struct mln_err release_need_own(struct mln_request *rq, struct mln_value **ret);
/* Write it, publish it, answer with it. */
struct mln_err release_store(struct mln_request *rq, struct mln_value *record,
                             struct mln_reply *re);
/*
 * Gate or evidence changed: back to open, approvals void (told in the ledger record when there
 * were any).
 */
void release_reopen(struct mln_request *rq, struct mln_value *record);
/* What this request adds to its ledger record: which release, which step, what came out. */
void release_tell(struct mln_request *rq, const struct mln_value *record, const char *step,
                  const char *verdict);

/* ---- release_judge.c ---- */
/* Judge the record as it stands; *ret is the gate's verdict (gate.h). */
struct mln_err release_judge(struct mln_request *rq, const struct mln_value *record,
                             const struct mln_value **ret);
/* One line that says what a step showed, for the ledger: "clean, 7 files". */
const char *release_summary(struct mln_cx *cx, const char *step, const struct mln_value *result);

/* ---- handlers ---- */
struct mln_err release_open_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err release_evidence_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err release_sign_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err release_gate_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err release_approve_write(struct mln_request *rq, struct mln_reply *re);
