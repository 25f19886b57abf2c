/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon entry apply: make the registration entries as a YAML file says. An entry is the same when SPIFFE id, parent and selectors are;
 * then the rest is brought up to date. Rules and the like go by their names (entry_parts.c). What an earlier run of the same source made
 * and the file lacks is deleted with --prune.
 */
#include "cli/entry_priv.h"

#define ENTRIES_MAX 100000u

static struct mln_bytes key_of(struct mln_cli *cli, const struct mln_value *e, const char *parent)
{
    struct mln_value *set = mln_set(cli->cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    const struct mln_value *selectors = mln_get(e, "selectors");
    struct mln_bytes own = mln_get_bytes(mln_get(e, "parent_id"));
    for (size_t i = 0; i < mln_len(selectors); i++) {
        mln_push(cli->cx, set, mln_item(selectors, i));
    }
    mln_buf_add_bytes(&all, mln_get_bytes(mln_get(e, "spiffe_id")));
    mln_buf_add_byte(&all, ' ');
    mln_buf_add_bytes(&all, own.len > 0 ? own : mln_bytes_of(parent));
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_buf_add_byte(&all, '\n');
        mln_buf_add_bytes(&all, mln_get_bytes(mln_item(set, i)));
    }
    return mln_bytes_dup(cli->cx, mln_buf_bytes(&all));
}

/* The server's own id: the parent of entries that name none. */
static const char *server_id(struct mln_cli *cli, struct mln_bytes spiffe_id)
{
    struct mln_bytes rest = mln_bytes_from(spiffe_id, 9);
    return mln_text_format(cli->cx, "spiffe://%.*s/merlon/server",
                           MLN_FMT(mln_bytes_sub(rest, 0, mln_bytes_find(rest, '/'))));
}

bool entry_differs(struct mln_cli *cli, const struct mln_value *want, const struct mln_value *have)
{
    for (size_t i = 0; i < mln_len(want); i++) {
        const struct mln_member *m = mln_member_at(want, i);
        const struct mln_value *now = mln_get_key(have, m->key);
        if (mln_type_of(&m->value) == MLN_ARRAY) {
            struct mln_value *a = mln_set(cli->cx), *b = mln_set(cli->cx);
            for (size_t k = 0; k < mln_len(&m->value); k++) {
                mln_push(cli->cx, a, mln_item(&m->value, k));
            }
            for (size_t k = 0; k < mln_len(now); k++) {
                mln_push(cli->cx, b, mln_item(now, k));
            }
            if (!mln_value_eq(a, b)) {
                return true;
            }
        } else if (!mln_value_eq(&m->value, now)) {
            return true;
        }
    }
    return false;
}

static struct mln_err say(struct entry_apply *a, const char *verb, const struct mln_value *e)
{
    mln_cli_say(a->cli, "%s %s\n", verb, mln_get_text(a->cli->cx, mln_get(e, "spiffe_id"), "?"));
    return mln_cx_err(a->cli->cx);
}

/* As the server shows it, so that what is said otherwise is not taken for a change: "30m", and trust domains by their names. */
static void settle(struct mln_cli *cli, struct mln_value *body)
{
    static const char *const times[] = {"x509_svid_ttl", "jwt_svid_ttl"};
    const struct mln_value *federates = mln_get(body, "federates_with");
    struct mln_value *ids = mln_array(cli->cx);
    for (size_t i = 0; i < MLN_COUNT(times); i++) {
        int64_t s = 0;
        const struct mln_value *v = mln_get(body, times[i]);
        if (mln_type_of(v) == MLN_STRING && mln_duration_parse(mln_get_bytes(v), &s)) {
            mln_put_int(cli->cx, body, times[i], s);
        }
    }
    for (size_t i = 0; i < mln_len(federates); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(federates, i));
        bool is_id = mln_bytes_starts(one, MLN_BYTES("spiffe://"));
        mln_push(cli->cx, ids, is_id ? mln_item(federates, i) : mln_textf(cli->cx, "spiffe://%.*s", MLN_FMT(one)));
    }
    if (mln_type_of(federates) == MLN_ARRAY) {
        mln_put(cli->cx, body, "federates_with", ids);
    }
}

static struct mln_err apply_one(struct entry_apply *a, const struct mln_value *asked)
{
    struct mln_cli *cli = a->cli;
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_value_dup(cli->cx, asked);
    struct mln_bytes id = mln_get_bytes(mln_get(asked, "spiffe_id"));
    if (mln_type_of(asked) != MLN_OBJECT || id.len < 10) {
        return mln_fail(cli->cx, MLN_E_INVALID,
                        "each entry of the file is a mapping with spiffe_id and selectors");
    }
    settle(cli, body);
    struct mln_bytes key = key_of(cli, asked, server_id(cli, id));
    const struct mln_value *have = mln_get_key(a->keys, key);
    mln_put_key(cli->cx, a->seen, key, mln_bool(cli->cx, true));
    mln_put_text(cli->cx, body, "source", a->source);
    if (have != NULL && !entry_differs(cli, body, have)) {
        a->same++;
        return mln_cx_err(cli->cx);
    }
    *(have != NULL ? &a->updated : &a->created) += 1;
    MLN_TRY(say(a, have != NULL ? "update" : "create", asked));
    if (a->is_dry) {
        return MLN_OK;
    }
    const char *path = have == NULL
                           ? "spiffe/entries"
                           : mln_text_format(cli->cx, "spiffe/entries/%s",
                                             mln_get_text(cli->cx, mln_get(have, "id"), ""));
    return mln_cli_call(cli, "POST", path, body, &reply);
}

static struct mln_err prune(struct entry_apply *a)
{
    struct mln_cli *cli = a->cli;
    for (size_t i = 0; i < mln_len(a->there); i++) {
        const struct mln_value *e = mln_item(a->there, i);
        struct mln_cli_reply reply = {0};
        if (!mln_is_text(mln_get(e, "source"), a->source) ||
            mln_get_key(a->seen, key_of(cli, e, "")) != NULL) {
            continue;
        }
        a->deleted++;
        MLN_TRY(say(a, "delete", e));
        if (!a->is_dry) {
            const char *path = mln_text_format(cli->cx, "spiffe/entries/%s",
                                               mln_get_text(cli->cx, mln_get(e, "id"), ""));
            MLN_TRY(mln_cli_call(cli, "DELETE", path, NULL, &reply));
        }
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err run(struct mln_cli *cli)
{
    struct entry_apply a = {.cli = cli,
                      .source = mln_cli_text(cli, "source"),
                      .keys = mln_object(cli->cx),
                      .seen = mln_object(cli->cx),
                      .prunes = mln_cli_bool(cli, "prune"),
                      .is_dry = mln_cli_bool(cli, "dry-run")};
    const struct mln_value *file = NULL;
    struct mln_value *sum = mln_object(cli->cx);
    if (entry_text(cli, "file", "force") == NULL) {
        return mln_cli_usage(cli, "--file FILE is needed");
    }
    MLN_TRY(entry_file(cli, &file));
    const struct mln_value *entries = mln_get(file, "entries");
    if (mln_len(entries) > ENTRIES_MAX) {
        return mln_fail(cli->cx, MLN_E_INVALID, "the file holds at most %u entries", ENTRIES_MAX);
    }
    MLN_TRY(entry_fetch(cli, "", &a.there));
    for (size_t i = 0; i < mln_len(a.there); i++) {
        mln_put_key(cli->cx, a.keys, key_of(cli, mln_item(a.there, i), ""), mln_item(a.there, i));
    }
    for (size_t i = 0; i < mln_len(entries); i++) {
        MLN_TRY(apply_one(&a, mln_item(entries, i)));
    }
    if (a.prunes) {
        MLN_TRY(prune(&a));
    }
    MLN_TRY(entry_apply_parts(&a, file));
    mln_put_int(cli->cx, sum, "created", a.created);
    mln_put_int(cli->cx, sum, "updated", a.updated);
    mln_put_int(cli->cx, sum, "deleted", a.deleted);
    mln_put_int(cli->cx, sum, "unchanged", a.same);
    cli->exit_code = a.is_dry && a.created + a.updated + a.deleted > 0 ? 10 : 0;
    return mln_cli_answer(cli, sum, NULL);
}

static const struct mln_flag flags[] = {
    {"file", MLN_FLAG_TEXT, "FILE", NULL, "YAML or JSON with \"entries\", \"rules\" and the like; \"-\" is stdin"},
    {"force", MLN_FLAG_TEXT, "FILE", NULL, "What -f means here: the file"},
    {"source", MLN_FLAG_TEXT, "NAME", "apply",
     "Whose declaration this is: only its own entries are pruned"},
    {"prune", MLN_FLAG_BOOL, NULL, NULL,
     "Delete entries of this source that the file does not have"},
    {"dry-run", MLN_FLAG_BOOL, NULL, NULL,
     "Only say what would be done; exit code 10 when something would"},
    {0},
};
static const char *const examples[] = {
    "merlon entry apply -f entries.yaml --dry-run",
    "merlon entry apply -f entries.yaml --prune",
    NULL,
};

const struct mln_command mln_command_entry_apply = {
    .noun = "entry",
    .verb = "apply",
    .summary = "Make the registration entries as a file says",
    .args = "",
    .examples = examples,
    .flags = flags,
    .run = run,
};
