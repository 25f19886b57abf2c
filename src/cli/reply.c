/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of any path: data, a lease, a login or a wrapping token, as vault's command prints them. */
#include "cli/cli_priv.h"

static void add(struct mln_cli *cli, struct mln_value *to, const char *key, const struct mln_value *v)
{
    if (!mln_is_null(v)) {
        mln_put(cli->cx, to, key, v);
    }
}

static const struct mln_value *wrap_rows(struct mln_cli *cli, const struct mln_value *wrap)
{
    struct mln_value *rows = mln_object(cli->cx);
    add(cli, rows, "wrapping_token", mln_get(wrap, "token"));
    add(cli, rows, "wrapping_accessor", mln_get(wrap, "accessor"));
    add(cli, rows, "wrapping_token_ttl", mln_get(wrap, "ttl"));
    add(cli, rows, "wrapping_token_creation_time", mln_get(wrap, "creation_time"));
    add(cli, rows, "wrapping_token_creation_path", mln_get(wrap, "creation_path"));
    add(cli, rows, "wrapped_accessor", mln_get(wrap, "wrapped_accessor"));
    return rows;
}

static const struct mln_value *auth_rows(struct mln_cli *cli, const struct mln_value *auth)
{
    static const char *const names[][2] = {
        {"token", "client_token"},         {"token_accessor", "accessor"},
        {"token_duration", "lease_duration"}, {"token_renewable", "renewable"},
        {"token_policies", "token_policies"}, {"identity_policies", "identity_policies"},
        {"policies", "policies"},
    };
    struct mln_value *rows = mln_object(cli->cx);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        add(cli, rows, names[i][0], mln_get(auth, names[i][1]));
    }
    const struct mln_value *meta = mln_get(auth, "metadata");
    for (size_t i = 0; mln_type_of(meta) == MLN_OBJECT && i < mln_len(meta); i++) {
        const struct mln_member *m = mln_member_at(meta, i);
        add(cli, rows, mln_text_format(cli->cx, "token_meta_%.*s", MLN_FMT(m->key)), &m->value);
    }
    return rows;
}

static const struct mln_value *data_rows(struct mln_cli *cli, const struct mln_cli_reply *reply)
{
    struct mln_value *rows = mln_object(cli->cx);
    if (mln_len(mln_get(reply->body, "lease_id")) > 0) {
        add(cli, rows, "lease_id", mln_get(reply->body, "lease_id"));
        add(cli, rows, "lease_duration", mln_get(reply->body, "lease_duration"));
        add(cli, rows, "lease_renewable", mln_get(reply->body, "renewable"));
    }
    const struct mln_value *data = reply->data;
    for (size_t i = 0; mln_type_of(data) == MLN_OBJECT && i < mln_len(data); i++) {
        mln_put_key(cli->cx, rows, mln_member_at(data, i)->key, &mln_member_at(data, i)->value);
    }
    return rows;
}

static const struct mln_value *rows_of(struct mln_cli *cli, const struct mln_cli_reply *reply)
{
    const struct mln_value *wrap = mln_get(reply->body, "wrap_info"), *auth = mln_get(reply->body, "auth");
    if (mln_type_of(wrap) == MLN_OBJECT) {
        return wrap_rows(cli, wrap);
    }
    if (mln_type_of(auth) == MLN_OBJECT) {
        return auth_rows(cli, auth);
    }
    return mln_type_of(reply->data) == MLN_OBJECT ? data_rows(cli, reply) : reply->body;
}

struct mln_err mln_cli_reply_print(struct mln_cli *cli, const struct mln_cli_reply *reply, const char *otherwise)
{
    const struct mln_value *warnings = mln_get(reply->body, "warnings");
    for (size_t i = 0; cli->format == MLN_FORMAT_TABLE && i < mln_len(warnings); i++) {
        mln_cli_say(cli, "merlon: warning: %s\n", mln_cli_scalar(cli, mln_item(warnings, i)));
    }
    if (reply->body == NULL && reply->raw.len > 0) {
        mln_cli_raw(reply->raw);
        return MLN_OK;
    }
    if (reply->body == NULL) {
        mln_cli_say(cli, "%s\n", otherwise);
        return MLN_OK;
    }
    bool is_rows = cli->field != NULL || cli->format == MLN_FORMAT_TABLE;
    return mln_cli_answer(cli, is_rows ? rows_of(cli, reply) : reply->body, NULL);
}
