/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon entry apply: make the registration entries as a YAML file says. An entry is the same when SPIFFE id, parent and selectors are;
 * then the rest is brought up to date. Entries that an earlier run of the same source made and the file lacks are deleted with --prune.
 */
#include "cli/entry_priv.h"

#include "base/yaml.h"

#define FILE_MAX_BYTES (32u << 20)
#define ENTRIES_MAX    100000u

struct apply {
    struct mln_cli *cli;
    const char *source;
    const struct mln_value *there; /* entries of the server */
    struct mln_value *keys;        /* object: what makes them the same -> entry */
    struct mln_value *seen;        /* object: the same, of the file */
    int64_t created, updated, deleted, same;
    bool is_dry;
};

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

/* What the file says of it and the server has otherwise; lists as sets. */
static bool differs(struct mln_cli *cli, const struct mln_value *want, const struct mln_value *have)
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

static struct mln_err say(struct apply *a, const char *verb, const struct mln_value *e)
{
    mln_cli_say(a->cli, "%s %s\n", verb, mln_get_text(a->cli->cx, mln_get(e, "spiffe_id"), "?"));
    return mln_cx_err(a->cli->cx);
}

static struct mln_err apply_one(struct apply *a, const struct mln_value *asked)
{
    struct mln_cli *cli = a->cli;
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_value_dup(cli->cx, asked);
    struct mln_bytes id = mln_get_bytes(mln_get(asked, "spiffe_id"));
    if (mln_type_of(asked) != MLN_OBJECT || id.len < 10) {
        return mln_fail(cli->cx, MLN_E_INVALID,
                        "each entry of the file is a mapping with spiffe_id and selectors");
    }
    struct mln_bytes key = key_of(cli, asked, server_id(cli, id));
    const struct mln_value *have = mln_get_key(a->keys, key);
    mln_put_key(cli->cx, a->seen, key, mln_bool(cli->cx, true));
    mln_put_text(cli->cx, body, "source", a->source);
    if (have != NULL && !differs(cli, body, have)) {
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

static struct mln_err prune(struct apply *a)
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

static struct mln_err read_file(struct apply *a, const struct mln_value **ret)
{
    struct mln_bytes text = {0};
    const struct mln_value *all = NULL;
    const char *file = entry_text(a->cli, "file", "force"); /* "-f FILE" names the file here */
    MLN_TRY(mln_cli_read_file(a->cli, file, FILE_MAX_BYTES, &text));
    MLN_TRY(mln_yaml_parse(a->cli->cx, text, &all));
    const struct mln_value *entries = mln_type_of(all) == MLN_ARRAY ? all : mln_get(all, "entries");
    if (mln_type_of(entries) != MLN_ARRAY || mln_len(entries) > ENTRIES_MAX) {
        return mln_fail(a->cli->cx, MLN_E_INVALID,
                        "the file holds \"entries\": a list of at most %u", ENTRIES_MAX);
    }
    *ret = entries;
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    struct apply a = {.cli = cli,
                      .source = mln_cli_text(cli, "source"),
                      .keys = mln_object(cli->cx),
                      .seen = mln_object(cli->cx),
                      .is_dry = mln_cli_bool(cli, "dry-run")};
    const struct mln_value *entries = NULL;
    struct mln_value *sum = mln_object(cli->cx);
    if (entry_text(cli, "file", "force") == NULL) {
        return mln_cli_usage(cli, "--file FILE is needed");
    }
    MLN_TRY(read_file(&a, &entries));
    MLN_TRY(entry_fetch(cli, "", &a.there));
    for (size_t i = 0; i < mln_len(a.there); i++) {
        mln_put_key(cli->cx, a.keys, key_of(cli, mln_item(a.there, i), ""), mln_item(a.there, i));
    }
    for (size_t i = 0; i < mln_len(entries); i++) {
        MLN_TRY(apply_one(&a, mln_item(entries, i)));
    }
    if (mln_cli_bool(cli, "prune")) {
        MLN_TRY(prune(&a));
    }
    mln_put_int(cli->cx, sum, "created", a.created);
    mln_put_int(cli->cx, sum, "updated", a.updated);
    mln_put_int(cli->cx, sum, "deleted", a.deleted);
    mln_put_int(cli->cx, sum, "unchanged", a.same);
    cli->exit_code = a.is_dry && a.created + a.updated + a.deleted > 0 ? 10 : 0;
    return mln_cli_answer(cli, sum, NULL);
}

static const struct mln_flag flags[] = {
    {"file", MLN_FLAG_TEXT, "FILE", NULL, "YAML or JSON with a list \"entries\"; \"-\" is stdin"},
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
