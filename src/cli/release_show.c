/* SPDX-License-Identifier: Apache-2.0 */
/* merlon release: evidence to the server, and the answer as a table of steps or as an object. */
#include "cli/release_priv.h"

struct mln_err release_post(struct release *r, const char *verb, const struct mln_value *body,
                            struct release_row *row, const struct mln_value **ret_data)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(r->cli, "POST", mln_text_format(r->cli->cx, "release/%s/%s", r->id, verb),
                         body, &reply));
    row->ledger_index = reply.ledger_index;
    *ret_data = reply.data;
    return MLN_OK;
}

bool release_is_done(const struct release *r)
{
    return mln_is_text(mln_get(r->record, "state"), "released");
}

void release_keep(struct release *r, struct release_row *row)
{
    row->is_earlier = true;
    row->ledger_index = mln_get_int(mln_get(mln_get(r->record, "ledger"), row->step), -1);
}

/* As it will come back from the server: numbers in their JSON spelling. */
static struct mln_err through_json(struct mln_cli *cli, const struct mln_value *v,
                                   const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, v, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cli->cx, &text));
    return mln_json_parse(cli->cx, mln_bytes_dup(cli->cx, mln_buf_bytes(&text)), ret);
}

struct mln_err release_show(struct release *r, const char *step, const struct mln_value *result,
                            struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *same = NULL;
    MLN_TRY(through_json(r->cli, result, &same));
    if (mln_value_eq(mln_get(mln_get(r->record, "evidence"), step), same)) {
        release_keep(r, row);
        return MLN_OK;
    }
    struct mln_value *body = mln_object(cx);
    mln_put_text(cx, body, "step", step);
    mln_put(cx, body, "result", same);
    return release_post(r, "evidence", body, row, &r->record);
}

static void step_progress(void *arg, uint64_t done, uint64_t all)
{
    mln_progress_step(arg, done, all, "bytes");
}

struct mln_work_progress release_progress(struct release *r, const char *what)
{
    mln_progress_begin(&r->progress, r->cli, what);
    return (struct mln_work_progress){.step = step_progress, .arg = &r->progress};
}

/* ---- the answer ---- */

const struct mln_value *release_answer(struct release *r)
{
    struct mln_cx *cx = r->cli->cx;
    static const char *const same[] = {"id",    "state", "model",  "root",
                                       "files", "bytes", "author", "approvals"};
    struct mln_value *v = mln_object(cx), *steps = mln_array(cx);
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(cx, v, same[i], mln_get(r->record, same[i]));
    }
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct release_row *row = &r->rows[i];
        struct mln_value *step = mln_object(cx);
        int64_t micros = row->duration_ns / 1000;
        mln_put_text(cx, step, "step", row->step);
        mln_put_text(cx, step, "verdict", row->verdict);
        mln_put_text(cx, step, "detail", row->detail);
        mln_put(cx, step, "seconds", mln_double(cx, (double)micros / 1e6));
        mln_put(cx, step, "ledger_index",
                row->ledger_index >= 0 ? mln_int(cx, row->ledger_index) : mln_null(cx));
        mln_put_bool(cx, step, "earlier", row->is_earlier);
        mln_push(cx, steps, step);
    }
    mln_put(cx, v, "steps", steps);
    mln_put(cx, v, "verdict", mln_get(r->record, "verdict"));
    mln_put(cx, v, "findings", r->scan != NULL ? mln_get(r->scan, "findings") : mln_array(cx));
    mln_put_text(cx, v, "encrypted", r->out);
    return v;
}

static const char *duration_text(struct mln_cli *cli, double seconds)
{
    return seconds < 1 ? mln_text_format(cli->cx, "%.0f ms", seconds * 1e3)
                       : mln_text_format(cli->cx, "%.1f s", seconds);
}

void release_print_findings(struct mln_cli *cli, const struct mln_value *findings)
{
    for (size_t i = 0; i < mln_len(findings); i++) {
        const struct mln_value *f = mln_item(findings, i);
        mln_cli_out("%s%s%s  %s\n", mln_cli_ink(cli, MLN_INK_RED),
                    mln_cli_scalar(cli, mln_get(f, "file")), mln_cli_ink(cli, MLN_INK_NONE),
                    mln_cli_scalar(cli, mln_get(f, "message")));
    }
}

static enum mln_ink ink_of(const struct mln_value *verdict)
{
    static const char *const good[] = {"clean", "pass",      "noted",   "signed",
                                       "ok",    "encrypted", "released"};
    static const char *const open[] = {"open", "waiting", "skipped", "none", "not asked"};
    for (size_t i = 0; i < MLN_COUNT(good); i++) {
        if (mln_is_text(verdict, good[i])) {
            return MLN_INK_GREEN;
        }
    }
    for (size_t i = 0; i < MLN_COUNT(open); i++) {
        if (mln_is_text(verdict, open[i])) {
            return MLN_INK_YELLOW;
        }
    }
    return MLN_INK_RED;
}

static void print_steps(struct mln_cli *cli, const struct mln_value *steps)
{
    static const char *const heads[] = {"STEP", "VERDICT", "DURATION", "LEDGER", "DETAIL"};
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    for (size_t i = 0; i < mln_len(steps); i++) {
        const struct mln_value *step = mln_item(steps, i);
        const struct mln_value *index = mln_get(step, "ledger_index");
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(step, "step")), MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(step, "verdict")),
                      ink_of(mln_get(step, "verdict")));
        mln_table_add(cli, &t, duration_text(cli, mln_get_double(mln_get(step, "seconds"), 0)),
                      MLN_INK_NONE);
        mln_table_add(cli, &t,
                      mln_is_null(index)
                          ? NULL
                          : mln_text_format(
                                cli->cx, "%lld%s", (long long)mln_get_int(index, 0),
                                mln_get_bool(mln_get(step, "earlier"), false) ? " (earlier)" : ""),
                      MLN_INK_NONE);
        mln_table_add(cli, &t, mln_get_text(cli->cx, mln_get(step, "detail"), ""), MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

/* What does not hold, check by check. */
static void print_checks(struct mln_cli *cli, const struct mln_value *checks)
{
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *check = mln_item(checks, i);
        if (!mln_get_bool(mln_get(check, "ok"), false)) {
            mln_cli_out("  %s: %s\n", mln_cli_scalar(cli, mln_get(check, "name")),
                        mln_cli_scalar(cli, mln_get(check, "detail")));
        }
    }
}

void release_table(struct mln_cli *cli, const struct mln_value *answer)
{
    const char *id = mln_cli_scalar(cli, mln_get(answer, "id"));
    const struct mln_value *state = mln_get(answer, "state");
    const char *none = mln_cli_ink(cli, MLN_INK_NONE);
    print_steps(cli, mln_get(answer, "steps"));
    if (mln_is_text(state, "released")) {
        mln_cli_out("%sreleased%s: %s, encrypted in %s\n", mln_cli_ink(cli, MLN_INK_GREEN), none,
                    id, mln_get_text(cli->cx, mln_get(answer, "encrypted"), "(nothing)"));
    } else if (mln_is_text(state, "waiting")) {
        mln_cli_out("%swaiting for approval%s: %s\n", mln_cli_ink(cli, MLN_INK_YELLOW), none, id);
        mln_cli_say(cli,
                    "merlon: hint: another person runs 'merlon approve %s', then you run this "
                    "command again\n",
                    id);
    } else if (mln_is_text(state, "refused")) {
        mln_cli_out("%srefused%s: %s\n", mln_cli_ink(cli, MLN_INK_RED), none, id);
        print_checks(cli, mln_get(mln_get(answer, "verdict"), "checks"));
        release_print_findings(cli, mln_get(answer, "findings"));
    }
}
