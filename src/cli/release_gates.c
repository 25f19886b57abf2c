/* SPDX-License-Identifier: Apache-2.0 */
/* merlon release: gates in Rego beside the files (DIR/gates, DIR/exceptions.yaml), shown to the server as evidence. docs/gates.md */
#include "cli/gate_priv.h"
#include "cli/release_priv.h"

#define FINDINGS_MAX 64u /* in the record */

static const char *summary_of(struct release *r, const struct mln_value *verdict)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *all = mln_get(verdict, "findings");
    const char *text = "";
    size_t n = 0;
    for (size_t i = 0; i < mln_len(all) && n < 3; i++) {
        struct gate_finding f = gate_finding_of(r->cli, mln_item(all, i), "");
        if (mln_bytes_is(mln_bytes_of(f.level), "deny")) {
            text = mln_text_format(cx, "%s%s%s: %s", text, n++ > 0 ? "; " : "", f.rule, f.msg);
        }
    }
    return n > 0 ? text : mln_text_format(cx, "%zu gates", mln_len(mln_get(verdict, "gates")));
}

/* Nothing in it that another run would see otherwise: what was approved stays approved. */
static struct mln_value *result_of(struct release *r, const struct mln_value *verdict)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_value *v = mln_object(cx), *findings = mln_array(cx);
    const struct mln_value *all = mln_get(verdict, "findings");
    for (size_t i = 0; i < mln_len(all) && i < FINDINGS_MAX; i++) {
        mln_push(cx, findings, mln_item(all, i));
    }
    mln_put(cx, v, "verdict", mln_get(verdict, "verdict"));
    mln_put_text(cx, v, "summary", summary_of(r, verdict));
    mln_put(cx, v, "gates", mln_get(verdict, "gates"));
    mln_put(cx, v, "findings", findings);
    mln_put(cx, v, "policy", mln_get(mln_get(mln_get(verdict, "decision"), "policy"), "digest"));
    return v;
}

/* What cannot be judged did not pass. */
static struct mln_err judge(struct release *r, const struct mln_gates *gates, struct mln_value **ret)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *verdict = NULL;
    struct mln_err err = mln_gates_judge(cx, gates, &verdict);
    if (!mln_failed(err)) {
        *ret = result_of(r, verdict);
        return mln_cx_err(cx);
    }
    if (!mln_is(err, MLN_E_INVALID) && !mln_is(err, MLN_E_TIMEOUT) && !mln_is(err, MLN_E_UNJUDGED)) {
        return err;
    }
    const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    *ret = mln_object(cx);
    mln_put_text(cx, *ret, "verdict", "fail");
    mln_put_text(cx, *ret, "summary", why);
    return mln_cx_err(cx);
}

struct mln_err release_do_gates(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_value *evidence = mln_object(cx), *result = NULL;
    struct mln_gates gates;
    mln_put_text(cx, evidence, "root", r->root);
    mln_put(cx, evidence, "author", mln_get(r->record, "author"));
    if (r->scan != NULL) {
        mln_put(cx, evidence, "scan", r->scan);
    }
    if (r->fairness != NULL) {
        mln_put(cx, evidence, "fairness", r->fairness);
    }
    MLN_TRY(gate_beside(r, evidence, &gates));
    if (gates.n_sources == 0) {
        r->n_rows--; /* no gates, no row */
        return MLN_OK;
    }
    MLN_TRY(judge(r, &gates, &result));
    row->verdict = mln_get_text(cx, mln_get(result, "verdict"), "fail");
    row->detail = mln_get_text(cx, mln_get(result, "summary"), "");
    r->is_bad = r->is_bad || !mln_is_text(mln_get(result, "verdict"), "pass");
    return release_show(r, "gates", result, row);
}
