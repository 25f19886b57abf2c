/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: the ledger's public files, its contents, proofs, the comparison with the store, pruning. */
#include "core/sys_priv.h"

static struct mln_err sys_ledger_file(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_core *core = mln_core_of(rq);
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    struct mln_err err = {MLN_E_SEALED};
    pthread_rwlock_rdlock(&core->gate);
    if (core->ledger != NULL) {
        err = mln_ledger_file(rq->cx, core->ledger, path, &re->raw, &re->is_immutable);
    }
    pthread_rwlock_unlock(&core->gate);
    if (mln_is(err, MLN_E_SEALED)) {
        return mln_refail(rq->cx, MLN_E_SEALED, "Vault is sealed");
    }
    if (mln_is(err, MLN_E_PARSE)) {
        return mln_refail(rq->cx, MLN_E_NOT_FOUND, "no such file of the log");
    }
    MLN_TRY(err);
    bool is_text = mln_bytes_is(path, "checkpoint") || mln_bytes_is(path, "vkey");
    re->content_type = is_text ? "text/plain; charset=utf-8" : "application/octet-stream";
    return MLN_OK;
}

static struct mln_err sys_ledger_entries(struct mln_request *rq, struct mln_reply *re)
{
    int64_t from = mln_get_int(mln_field_of(rq, "from"), 0), max = mln_get_int(mln_field_of(rq, "max"), 100);
    struct mln_ledger *ledger = mln_core_of(rq)->ledger;
    struct mln_ledger_status status = {0};
    struct mln_value *data = mln_object(rq->cx);
    const struct mln_value *entries = NULL;
    if (from < 0 || max < 1 || max > 1000) {
        return mln_fail(rq->cx, MLN_E_INVALID, "from is 0 or more, max is 1 to 1000");
    }
    rq->services->block(rq);
    MLN_TRY(mln_ledger_read(rq->cx, ledger, (uint64_t)from, (uint32_t)max, &entries));
    mln_ledger_status(ledger, &status);
    mln_put(rq->cx, data, "entries", entries);
    mln_put_int(rq->cx, data, "size", (int64_t)status.size);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_ledger_proof(struct mln_request *rq, struct mln_reply *re)
{
    int64_t index = mln_get_int(mln_field_of(rq, "index"), -1);
    if (index < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "index is 0 or more");
    }
    rq->services->block(rq);
    MLN_TRY(mln_ledger_flush(rq->cx, mln_core_of(rq)->ledger));
    return mln_ledger_proof(rq->cx, mln_core_of(rq)->ledger, (uint64_t)index, &re->data);
}

static struct mln_err sys_verify_store(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    const struct mln_value *problems = NULL;
    rq->services->block(rq);
    MLN_TRY(mln_ledger_flush(rq->cx, mln_core_of(rq)->ledger));
    MLN_TRY(mln_ledger_verify_store(rq->cx, mln_core_of(rq)->ledger, &problems));
    mln_put(rq->cx, data, "problems", problems);
    mln_put_int(rq->cx, rq->detail, "problems", (int64_t)mln_len(problems));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_prune(struct mln_request *rq, struct mln_reply *re)
{
    int64_t before = mln_get_int(mln_field_of(rq, "before"), -1);
    struct mln_value *actor = mln_object(rq->cx);
    (void)re;
    if (before < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "before is the index below which contents are forgotten");
    }
    mln_put_text(rq->cx, actor, "name", rq->actor->display_name);
    mln_put_text(rq->cx, actor, "accessor", rq->actor->accessor);
    mln_put_int(rq->cx, rq->detail, "before", before);
    rq->services->block(rq);
    return mln_ledger_prune(rq->cx, mln_core_of(rq)->ledger, (uint64_t)before, actor);
}

/* ---- paths ---- */

static const struct mln_field entries_fields[] = {
    F_INT("from", "0", "First index."),
    F_INT("max", "100", "At most so many, 1 to 1000."),
    {0},
};
static const struct mln_field index_fields[] = {F_INT("index", NULL, "Index of a record."), {0}};
static const struct mln_field prune_fields[] = {
    F_INT("before", NULL, "Contents below this index are forgotten."), {0}};
static const struct mln_field file_fields[] = {F_TEXT("path", "File of the log."), {0}};

const struct mln_path mln_sys_ledger[] = {
    {.pattern = "internal/ledger/{path...}",
     .summary = "Public files of the ledger.",
     .fields = file_fields,
     .read = sys_ledger_file,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true},
    {.pattern = "ledger/entries",
     .summary = "Records and their contents.",
     .fields = entries_fields,
     .read = sys_ledger_entries},
    {.pattern = "ledger/proof/{index}",
     .summary = "Proof of one record.",
     .fields = index_fields,
     .read = sys_ledger_proof},
    {.pattern = "verify-store",
     .summary = "Compare the store with the records.",
     .read = sys_verify_store,
     .write = sys_verify_store,
     .may_block = true},
    {.pattern = "ledger/prune",
     .summary = "Forget old contents.",
     .fields = prune_fields,
     .write = sys_prune,
     .is_sudo = true,
     .is_relief = true,
     .may_block = true},
    {0},
};
