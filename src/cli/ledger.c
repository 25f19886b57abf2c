/* SPDX-License-Identifier: Apache-2.0 */
/* merlon ledger show and proof: what happened, told line by line, and one record with all that proves it. */
#include "cli/cli_priv.h"

#define PAGE 1000 /* most that the server gives at once */

static const struct mln_flag show_flags[] = {
    {"from", MLN_FLAG_INT, "INDEX", NULL, "First record (default: so that the last are shown)"},
    {"max", MLN_FLAG_INT, "N", "100", "How many records"},
    {"class", MLN_FLAG_LIST, "CLASS", NULL, "Only these: evidence, denied, login, mutation, ..."},
    {0},
};
static const struct mln_flag proof_flags[] = {
    {"output", MLN_FLAG_TEXT, "FILE", NULL, "Save the proof, for 'ledger verify --proof'"},
    {0},
};

/* ---- one record as a sentence ---- */

static const char *text_of(struct mln_cli *cli, const struct mln_value *object, const char *key)
{
    const struct mln_value *v = mln_get(object, key);
    return mln_is_null(v) ? "" : mln_cli_scalar(cli, v);
}

static const char *actor_of(struct mln_cli *cli, const struct mln_value *content)
{
    const struct mln_value *actor = mln_get(content, "actor");
    if (mln_type_of(actor) == MLN_STRING) {
        return mln_get_text(cli->cx, actor, "-");
    }
    static const char *const keys[] = {"entity", "name", "kind"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        const char *text = text_of(cli, actor, keys[i]);
        if (text[0] != '\0') {
            return text;
        }
    }
    return "-";
}

static const char *past_of(const char *action)
{
    static const char *const words[][2] = {
        {"read", "read"}, {"list", "listed"}, {"write", "wrote"}, {"patch", "changed"}, {"delete", "deleted"}, {"help", "asked about"},
        {"scan", "scanned"}};
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        if (mln_bytes_is(mln_bytes_of(action), words[i][0])) {
            return words[i][1];
        }
    }
    return action;
}

static bool is_refused(const struct mln_value *content)
{
    const struct mln_value *decision = mln_get(content, "decision");
    return mln_is_text(decision, "deny") || mln_is_text(decision, "denied");
}

/* "state released, step scan": the handler's own words, scalars only. */
static const char *detail_of(struct mln_cli *cli, const struct mln_value *content)
{
    const struct mln_value *detail = mln_get(content, "detail");
    const char *all = "";
    for (size_t i = 0; mln_type_of(detail) == MLN_OBJECT && i < mln_len(detail); i++) {
        const struct mln_member *m = mln_member_at(detail, i);
        enum mln_type type = mln_type_of(&m->value);
        if (type != MLN_STRING && type != MLN_INT && type != MLN_BOOL && type != MLN_DECIMAL) {
            continue;
        }
        all = mln_text_format(cli->cx, "%s%s%.*s %s", all, all[0] != '\0' ? ", " : "", MLN_FMT(m->key),
                              mln_cli_scalar(cli, &m->value));
    }
    return all;
}

static const char *stranger_tale(struct mln_cli *cli, const struct mln_value *content)
{
    int64_t n = mln_get_int(mln_get(content, "count"), 1);
    return mln_text_format(cli->cx, "strangers from %s were refused %s: %s", text_of(cli, content, "source"),
                           n == 1 ? "once" : mln_text_format(cli->cx, "%lld times", (long long)n),
                           text_of(cli, content, "action"));
}

/* A step of a release, in the words of docs/release.md. */
static const char *release_tale(struct mln_cli *cli, const char *who, const struct mln_value *detail)
{
    const struct mln_value *step = mln_get(detail, "step");
    const char *id = text_of(cli, detail, "release"), *model = text_of(cli, detail, "model");
    const char *verdict = text_of(cli, detail, "verdict"), *text = text_of(cli, detail, "text");
    if (mln_is_text(step, "open")) {
        return mln_text_format(cli->cx, "%s opened %s of %s (%s)", who, id, model, verdict);
    }
    if (mln_is_text(step, "sign")) {
        return mln_text_format(cli->cx, "%s signed %s with %s v%lld", who, id, text_of(cli, detail, "key"),
                               (long long)mln_get_int(mln_get(detail, "version"), 0));
    }
    if (mln_is_text(step, "gate")) {
        return mln_text_format(cli->cx, "%s asked the gate about %s: %s (%s)", who, id, verdict, text);
    }
    if (mln_is_text(step, "approve")) {
        const char *comment = text_of(cli, detail, "comment");
        return mln_text_format(cli->cx, "%s approved %s of %s%s%s", who, id, text_of(cli, detail, "author"),
                               comment[0] != '\0' ? ": " : "", comment);
    }
    if (mln_is_text(step, "look up")) {
        return mln_text_format(cli->cx, "%s looked up %s of %s (%s)", who, id, model, verdict);
    }
    const char *what = mln_is_text(step, "verify")    ? "verification"
                       : mln_is_text(step, "encrypt") ? "encryption"
                                                      : mln_cli_scalar(cli, step);
    return mln_text_format(cli->cx, "%s showed the %s of %s: %s", who, what, id,
                           text[0] != '\0' ? text : verdict);
}

static const char *tale_of(struct mln_cli *cli, const struct mln_value *entry)
{
    const struct mln_value *content = mln_get(entry, "content");
    const struct mln_value *klass = mln_get(entry, "class");
    if (mln_is_null(content)) {
        return "(its content was forgotten; that it was there is proved)";
    }
    if (mln_is_text(klass, "stranger")) {
        return stranger_tale(cli, content);
    }
    const char *who = actor_of(cli, content);
    const char *action = text_of(cli, content, "action");
    const char *what = text_of(cli, content, "resource");
    const char *error = text_of(cli, content, "error");
    const char *detail = detail_of(cli, content);
    const char *did = mln_is_text(klass, "login") ? "logged in at" : past_of(action);
    if (is_refused(content)) {
        return mln_text_format(cli->cx, "%s was refused: %s %s", who, action, what);
    }
    const struct mln_value *more = mln_get(content, "detail");
    if (mln_is_text(klass, "evidence") && error[0] == '\0' && mln_get(more, "release") != NULL) {
        return release_tale(cli, who, more);
    }
    return mln_text_format(cli->cx, "%s %s %s%s%s%s%s", who, did, what, error[0] != '\0' ? ", which failed: " : "", error,
                           detail[0] != '\0' ? "  " : "",
                           detail[0] != '\0' ? mln_text_format(cli->cx, "(%s)", detail) : "");
}

static const char *time_of(struct mln_cli *cli, const struct mln_value *entry)
{
    const struct mln_value *time = mln_get(entry, "time");
    int64_t ns = mln_get_int(time, 0);
    if (mln_type_of(time) == MLN_STRING && !mln_time_parse(mln_get_bytes(time), &ns)) {
        return mln_cli_scalar(cli, time);
    }
    return mln_cli_ago(cli, ns);
}

static enum mln_ink ink_of(const struct mln_value *entry)
{
    if (mln_is_text(mln_get(entry, "class"), "evidence")) {
        return MLN_INK_GREEN;
    }
    bool is_bad = mln_is_text(mln_get(entry, "class"), "stranger") || is_refused(mln_get(entry, "content"));
    return is_bad ? MLN_INK_RED : MLN_INK_NONE;
}

/* ---- show ---- */

static void show_table(struct mln_cli *cli, const struct mln_value *data)
{
    static const char *const heads[] = {"INDEX", "TIME", "CLASS", "WHAT HAPPENED"};
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    const struct mln_value *entries = mln_get(data, "entries");
    for (size_t i = 0; i < mln_len(entries); i++) {
        const struct mln_value *e = mln_item(entries, i);
        mln_table_add(cli, &t, text_of(cli, e, "index"), MLN_INK_NONE);
        mln_table_add(cli, &t, time_of(cli, e), MLN_INK_NONE);
        mln_table_add(cli, &t, text_of(cli, e, "class"), MLN_INK_NONE);
        mln_table_add(cli, &t, tale_of(cli, e), ink_of(e));
    }
    mln_table_print(cli, &t);
}

static struct mln_err fetch(struct mln_cli *cli, int64_t from, int64_t max, const struct mln_value **ret)
{
    struct mln_cli_reply reply = {0};
    const char *path =
        mln_text_format(cli->cx, "sys/ledger/entries?from=%lld&max=%lld", (long long)from, (long long)max);
    MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
    *ret = reply.data;
    return MLN_OK;
}

static bool is_wanted(const struct mln_value *classes, const struct mln_value *entry)
{
    for (size_t i = 0; i < mln_len(classes); i++) {
        if (mln_value_eq(mln_item(classes, i), mln_get(entry, "class"))) {
            return true;
        }
    }
    return mln_len(classes) == 0;
}

/* Records from..to, page by page; a page that brings nothing ends it. */
static struct mln_err collect(struct mln_cli *cli, int64_t from, int64_t to, struct mln_value *into)
{
    const struct mln_value *classes = mln_cli_list(cli, "class");
    while (from < to) {
        const struct mln_value *data = NULL;
        MLN_TRY(fetch(cli, from, to - from < PAGE ? to - from : PAGE, &data));
        const struct mln_value *page = mln_get(data, "entries");
        for (size_t i = 0; i < mln_len(page); i++) {
            if (is_wanted(classes, mln_item(page, i))) {
                mln_push(cli->cx, into, mln_item(page, i));
            }
        }
        if (mln_len(page) == 0) {
            return MLN_OK;
        }
        from += (int64_t)mln_len(page);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err run_show(struct mln_cli *cli)
{
    int64_t from = 0, max = 0;
    const struct mln_value *first = NULL;
    MLN_TRY(mln_cli_int(cli, "from", -1, &from));
    MLN_TRY(mln_cli_int(cli, "max", 100, &max));
    if (from < -1 || max < 1 || max > (1 << 20)) {
        return mln_cli_usage(cli, "--from is 0 or more, --max is 1 to %d", 1 << 20);
    }
    MLN_TRY(fetch(cli, 0, 1, &first));
    int64_t size = mln_get_int(mln_get(first, "size"), 0);
    if (from < 0) {
        from = size > max ? size - max : 0;
    }
    int64_t to = size - from > max ? from + max : size;
    struct mln_value *answer = mln_object(cli->cx);
    struct mln_value *entries = mln_array(cli->cx);
    MLN_TRY(collect(cli, from, to, entries));
    mln_put(cli->cx, answer, "entries", entries);
    mln_put_int(cli->cx, answer, "size", size);
    return mln_cli_answer(cli, answer, show_table);
}

/* ---- proof ---- */

static void proof_table(struct mln_cli *cli, const struct mln_value *proof)
{
    static const char *const shown[] = {"index", "entry", "salt", "content", "checkpoint"};
    mln_cli_out("record %s: %s\n\n", text_of(cli, proof, "index"),
                mln_is_null(mln_get(proof, "content")) ? "(content forgotten)" : tale_of(cli, proof));
    for (size_t i = 1; i < MLN_COUNT(shown); i++) {
        if (!mln_is_null(mln_get(proof, shown[i]))) {
            mln_cli_out("%s\n  %s\n", shown[i], text_of(cli, proof, shown[i]));
        }
    }
    mln_cli_out("proof\n");
    const struct mln_value *hashes = mln_get(proof, "proof");
    for (size_t i = 0; i < mln_len(hashes); i++) {
        mln_cli_out("  %s\n", mln_cli_scalar(cli, mln_item(hashes, i)));
    }
}

static struct mln_err run_proof(struct mln_cli *cli)
{
    uint64_t index = 0;
    struct mln_cli_reply reply = {0};
    const char *out = mln_cli_text(cli, "output");
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    if (!mln_u64_parse(mln_bytes_of(cli->args[0]), &index)) {
        return mln_cli_usage(cli, "INDEX is a whole number from 0 on, not '%s'", cli->args[0]);
    }
    const char *path = mln_text_format(cli->cx, "sys/ledger/proof/%llu", (unsigned long long)index);
    MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
    if (out == NULL) {
        return mln_cli_answer(cli, reply.data, proof_table);
    }
    mln_json_print(&text, reply.data, MLN_JSON_PRETTY);
    mln_buf_add_byte(&text, '\n');
    MLN_TRY(mln_buf_ok(cli->cx, &text));
    MLN_TRY(mln_file_replace(cli->cx, out, mln_buf_bytes(&text), 0600, false));
    mln_cli_say(cli, "Saved: merlon ledger verify --proof %s --vkey KEY\n", out);
    return MLN_OK;
}

static const char *const show_examples[] = {
    "merlon ledger show", "merlon ledger show --max 20 --class evidence,denied", "merlon ledger show --from 0 --format json", NULL};
const struct mln_command mln_command_ledger_show = {
    .noun = "ledger",
    .verb = "show",
    .summary = "Tell what happened: who did what, and what was refused",
    .args = "",
    .examples = show_examples,
    .flags = show_flags,
    .more = "Contents are sealed beside the public log: reading them needs the capability read on\n"
            "sys/ledger/entries. --class picks among the records that --from and --max name.",
    .run = run_show,
};
static const char *const proof_examples[] = {
    "merlon ledger proof 1204", "merlon ledger proof 1204 -o release.proof", NULL};
const struct mln_command mln_command_ledger_proof = {
    .noun = "ledger",
    .verb = "proof",
    .summary = "Give one record with all that proves it to somebody else",
    .args = "INDEX",
    .examples = proof_examples,
    .flags = proof_flags,
    .min_args = 1,
    .max_args = 1,
    .more = "The proof has the content and its salt: whoever gets it can read this one record and\n"
            "check it offline against the server's key, with no access to the server.",
    .run = run_proof,
};
