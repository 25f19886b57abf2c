/* SPDX-License-Identifier: Apache-2.0 */
/* The other lists of the file of merlon entry apply: rules of who may talk to whom, templates, relationships with other trust domains. */
#include "cli/entry_priv.h"

#include "base/yaml.h"

#define FILE_MAX_BYTES (32u << 20)
#define PART_MAX       1024u /* of rules, templates, relationships: more than a server takes of each */

static const struct entry_part {
    const char *list, *path, *name; /* name: the member that tells one from another */
    bool is_pruned;
} parts[] = {
    {"templates", "spiffe/templates", "name", true},
    {"rules", "spiffe/authz/rules", "name", true},
    {"federation", "spiffe/federation", "trust_domain", false},
};

struct mln_err entry_file(struct mln_cli *cli, const struct mln_value **ret)
{
    struct mln_bytes text = {0};
    const struct mln_value *all = NULL;
    struct mln_value *wrapped = mln_object(cli->cx);
    MLN_TRY(mln_cli_read_file(cli, entry_text(cli, "file", "force"), FILE_MAX_BYTES,
                              &text)); /* "-f FILE" names the file here */
    MLN_TRY(mln_yaml_parse(cli->cx, text, &all));
    if (mln_type_of(all) == MLN_ARRAY) {
        mln_put(cli->cx, wrapped, "entries", all);
        all = wrapped;
    }
    if (mln_type_of(all) != MLN_OBJECT || mln_type_of(mln_get(all, "entries")) != MLN_ARRAY) {
        return mln_fail(cli->cx, MLN_E_INVALID, "the file holds \"entries\": a list");
    }
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        const struct mln_value *list = mln_get(all, parts[i].list);
        if ((!mln_is_null(list) && mln_type_of(list) != MLN_ARRAY) || mln_len(list) > PART_MAX) {
            return mln_fail(cli->cx, MLN_E_INVALID, "\"%s\" of the file is a list of at most %u",
                            parts[i].list, PART_MAX);
        }
    }
    *ret = all;
    return mln_cx_err(cli->cx);
}

static struct mln_err send(struct entry_apply *a, const char *verb, const struct entry_part *part,
                           struct mln_bytes name, const struct mln_value *body)
{
    struct mln_cli *cli = a->cli;
    struct mln_cli_reply reply = {0};
    const char *text = mln_text_dup(cli->cx, name);
    mln_cli_say(cli, "%s %s %s\n", body == NULL ? "delete" : verb, part->list, text);
    return a->is_dry ? mln_cx_err(cli->cx)
                     : mln_cli_call(
                           cli, body == NULL ? "DELETE" : "POST",
                           mln_text_format(cli->cx, "%s/%s", part->path, mln_cli_escape(cli, text)),
                           body, &reply);
}

static struct mln_err apply_one(struct entry_apply *a, const struct entry_part *part,
                                const struct mln_value *there, const struct mln_value *asked,
                                struct mln_value *seen)
{
    struct mln_cx *cx = a->cli->cx;
    struct mln_bytes name = mln_get_bytes(mln_get(asked, part->name));
    struct mln_value *body = mln_value_dup(cx, asked);
    if (name.len == 0 || mln_type_of(asked) != MLN_OBJECT || mln_get_key(seen, name) != NULL) {
        return mln_fail(cx, MLN_E_INVALID,
                        "each of \"%s\" in the file is a mapping with a \"%s\" of its own",
                        part->list, part->name);
    }
    const struct mln_value *have = mln_get_key(there, name);
    mln_put_key(cx, seen, name, mln_bool(cx, true));
    mln_remove(body, mln_bytes_of(part->name));
    if (part->is_pruned) {
        mln_put_text(cx, body, "source", a->source);
    }
    if (have != NULL && !entry_differs(a->cli, body, have)) {
        a->same++;
        return mln_cx_err(cx);
    }
    *(have != NULL ? &a->updated : &a->created) += 1;
    return send(a, have != NULL ? "update" : "create", part, name, body);
}

static struct mln_err prune(struct entry_apply *a, const struct entry_part *part,
                            const struct mln_value *there, const struct mln_value *seen)
{
    for (size_t i = 0; i < mln_len(there) && part->is_pruned; i++) {
        const struct mln_member *m = mln_member_at(there, i);
        if (mln_is_text(mln_get(&m->value, "source"), a->source) &&
            mln_get_key(seen, m->key) == NULL) {
            a->deleted++;
            MLN_TRY(send(a, "delete", part, m->key, NULL));
        }
    }
    return MLN_OK;
}

struct mln_err entry_apply_parts(struct entry_apply *a, const struct mln_value *file)
{
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        struct mln_cli_reply reply = {0};
        const struct mln_value *list = mln_get(file, parts[i].list);
        struct mln_value *seen = mln_object(a->cli->cx);
        if (mln_is_null(list) && !(a->prunes && parts[i].is_pruned)) {
            continue;
        }
        MLN_TRY(mln_cli_call(a->cli, "GET",
                             mln_text_format(a->cli->cx, "%s?list=true", parts[i].path), NULL,
                             &reply));
        const struct mln_value *there = mln_get(reply.data, "key_info");
        for (size_t k = 0; k < mln_len(list); k++) {
            MLN_TRY(apply_one(a, &parts[i], there, mln_item(list, k), seen));
        }
        if (a->prunes) {
            MLN_TRY(prune(a, &parts[i], there, seen));
        }
    }
    return mln_cx_err(a->cli->cx);
}
