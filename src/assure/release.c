/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releases: what was shown about a model, who said so, and whether the gate let it pass. The
 * descriptor and the readers; writers are in release_*.c. docs/release.md.
 */
#include "assure/release_priv.h"
#include "assure/rows.h"

static struct mln_err not_found(struct mln_reply *re)
{
    re->status = 404;
    re->no_errors_text = true;
    return MLN_OK;
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_assure_list(rq, MLN_BYTES("r/"), re);
}

static struct mln_err read_one(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *record = NULL;
    MLN_TRY(release_need(rq, &record));
    re->data = record;
    return mln_cx_err(rq->cx);
}

/*
 * The record for who holds the files and wants to know whom to trust. The signer's key stands beside
 * it once the model is released: signed is not yet released, and nobody should serve what waits.
 */
static struct mln_err answer_signed(struct mln_request *rq, struct mln_value *record,
                                    struct mln_reply *re)
{
    if (mln_is_text(mln_get(record, "state"), "released")) {
        mln_put(rq->cx, record, "public_key", mln_get(mln_get(record, "signature"), "public_key"));
    }
    release_tell(rq, record, "look up", mln_get_text(rq->cx, mln_get(record, "state"), ""));
    re->data = record;
    return mln_cx_err(rq->cx);
}

static struct mln_err read_root(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes root;
    struct mln_value *record = NULL;
    MLN_TRY(release_root(rq, &root));
    struct mln_err err = release_load(rq, release_id_of(rq->cx, root), &record);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return not_found(re);
    }
    MLN_TRY(err);
    return mln_bytes_eq(root, mln_get_bytes(mln_get(record, "root")))
               ? answer_signed(rq, record, re)
               : not_found(re);
}

static struct mln_err read_model(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *newest = NULL;
    struct mln_value *record = NULL;
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    struct mln_bytes key = mln_bytes_format(cx, "m/%.*s", MLN_FMT(name));
    struct mln_err err = mln_txn_get_value(cx, rq->txn, rq->mount->view, key, &newest);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return not_found(re);
    }
    MLN_TRY(err);
    MLN_TRY(release_load(rq, mln_get_text(cx, mln_get(newest, "id"), ""), &record));
    return answer_signed(rq, record, re);
}

#define FIELD_ID                                                                                   \
    {                                                                                              \
        .name = "id", .type = MLN_FIELD_TEXT, .help = "rel- and 12 hex digits.", .is_query = true  \
    }
#define FIELD_ROOT                                                                                 \
    {                                                                                              \
        .name = "root", .type = MLN_FIELD_TEXT,                                                    \
        .help = "Root digest of the model's files: 64 hex digits.", .is_query = true               \
    }

static const struct mln_field id_fields[] = {FIELD_ID, {0}};
static const struct mln_field root_fields[] = {FIELD_ROOT, {0}};
static const struct mln_field open_fields[] = {
    FIELD_ROOT,
    {.name = "gate",
     .type = MLN_FIELD_MAP,
     .help = "What must hold: release.yaml as an object.",
     .is_required = true},
    {.name = "files", .type = MLN_FIELD_INT, .fallback = "0", .help = "How many files."},
    {.name = "bytes", .type = MLN_FIELD_INT, .fallback = "0", .help = "How many bytes."},
    {0},
};
static const struct mln_field evidence_fields[] = {
    FIELD_ID,
    {.name = "step",
     .type = MLN_FIELD_TEXT,
     .help = "scan, fairness, card, gates, encrypt or verify.",
     .is_required = true},
    {.name = "result", .type = MLN_FIELD_MAP, .help = "What the step showed.", .is_required = true},
    {0},
};
static const struct mln_field sign_fields[] = {
    FIELD_ID,
    FIELD_ROOT,
    {.name = "key",
     .type = MLN_FIELD_TEXT,
     .help = "MOUNT/NAME of an ecdsa-p256 key.",
     .is_required = true},
    {.name = "digest",
     .type = MLN_FIELD_TEXT,
     .help = "Base64 of the 32 bytes to sign.",
     .is_required = true},
    {0},
};
static const struct mln_field gate_fields[] = {
    FIELD_ID,
    {.name = "ledger",
     .type = MLN_FIELD_MAP,
     .help = "Where the client saw the records of the steps: step -> index."},
    {0},
};
static const struct mln_field approve_fields[] = {
    FIELD_ID,
    FIELD_ROOT,
    {.name = "comment", .type = MLN_FIELD_TEXT, .fallback = "", .help = "Why."},
    {.name = "seen",
     .type = MLN_FIELD_TEXT,
     .help = "updated_time of the record that was looked at; 409 when it changed."},
    {0},
};
static const struct mln_field model_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name of the model.", .is_query = true},
    {0},
};

#define EVIDENCE .act = MLN_ACT_EVIDENCE

static const struct mln_path release_paths[] = {
    {.pattern = "", .summary = "List releases.", .list = list},
    {.pattern = "open",
     .summary = "Make or find the release of a root digest; the caller becomes its author.",
     .fields = open_fields,
     .write = release_open_write,
     EVIDENCE,
     .controls = "CM-3,SA-10"},
    {.pattern = "root/{root}",
     .summary = "The release of a root digest, with the signer's public key.",
     .fields = root_fields,
     .read = read_root,
     EVIDENCE},
    {.pattern = "model/{name}",
     .summary = "The newest released record of a model.",
     .fields = model_fields,
     .read = read_model,
     EVIDENCE},
    {.pattern = "{id}/evidence",
     .summary = "Add what a step showed; the author.",
     .fields = evidence_fields,
     .write = release_evidence_write,
     EVIDENCE,
     .controls = "RA-5,SI-7"},
    {.pattern = "{id}/sign",
     .summary = "Sign the model with a transit key; the author.",
     .fields = sign_fields,
     .write = release_sign_write,
     EVIDENCE,
     .controls = "SI-7,AU-10"},
    {.pattern = "{id}/gate",
     .summary = "Judge the evidence and keep the verdict; the author.",
     .fields = gate_fields,
     .write = release_gate_write,
     EVIDENCE,
     .controls = "CM-3,CM-4"},
    {.pattern = "{id}/approve",
     .summary = "Approve; a person other than the author.",
     .fields = approve_fields,
     .write = release_approve_write,
     EVIDENCE,
     .controls = "AC-5,CM-3"},
    {.pattern = "{id}", .summary = "The whole record.", .fields = id_fields, .read = read_one},
    {0},
};

const struct mln_engine mln_assurance_release = {
    .type = "release",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Releases of models: evidence, approvals and the gate.",
    .paths = release_paths,
};
