/* SPDX-License-Identifier: Apache-2.0 */
/* merlon operator step-down, members, raft: what scripts for clusters ask; and snapshots. */
#include "cli/cli_priv.h"

#include "base/limits.h"

#define SNAPSHOT_MAX MLN_BODY_MAX_BYTES /* what a server takes as a body */

static struct mln_err run_step_down(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    return mln_cli_call(cli, "PUT", "sys/step-down", NULL, &reply);
}

static struct mln_err run_members(struct mln_cli *cli)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "sys/ha-status", NULL, &reply));
    return mln_cli_answer(cli, mln_get(reply.data, "nodes"), NULL);
}

static struct mln_err save(struct mln_cli *cli, const char *file)
{
    struct mln_bytes snapshot = MLN_BYTES_NONE;
    MLN_TRY(mln_cli_get_raw(cli, "/v1/sys/storage/raft/snapshot", &snapshot));
    MLN_TRY(mln_file_replace(cli->cx, file, snapshot, 0600, true));
    mln_cli_say(cli, "Saved %s to %s\n", mln_size_text(cli->cx, snapshot.len), file);
    if (snapshot.len > SNAPSHOT_MAX) {
        mln_cli_say(cli, "merlon: warning: larger than a request may be: to restore it, stop the server and run "
                         "'merlon operator restore'\n");
    }
    return MLN_OK;
}

static struct mln_err restore(struct mln_cli *cli, const char *file)
{
    struct mln_bytes snapshot = MLN_BYTES_NONE;
    struct mln_cli_reply reply = {0};
    struct mln_err err = mln_cli_read_file(cli, file, SNAPSHOT_MAX, &snapshot);
    if (mln_is(err, MLN_E_TOO_LARGE)) {
        cli->hint = "stop the server and run 'merlon operator restore --dir DATA --snapshot FILE', which has no such limit";
    }
    MLN_TRY(err);
    MLN_TRY(mln_cli_confirm(cli, "Replacing everything that the server keeps"));
    const char *path = mln_cli_bool(cli, "force") ? "sys/storage/raft/snapshot-force" : "sys/storage/raft/snapshot";
    MLN_TRY(mln_cli_send_raw(cli, "POST", path, snapshot, &reply));
    mln_cli_say(cli, "Restored. A new log begins, whose first record names the old one's checkpoint; its key is another: "
                     "'merlon status'.\n");
    if (mln_cli_bool(cli, "force")) {
        mln_cli_say(cli, "If it came from another server, this one is sealed now: unseal it with the other's shares.\n");
    }
    return MLN_OK;
}

static struct mln_err run_raft(struct mln_cli *cli)
{
    struct mln_bytes verb = mln_bytes_of(cli->args[0]);
    if (mln_bytes_is(verb, "list-peers") && cli->n_args == 1) {
        struct mln_cli_reply reply = {0};
        MLN_TRY(mln_cli_call(cli, "GET", "sys/storage/raft/configuration", NULL, &reply));
        return mln_cli_answer(cli, mln_get(mln_get(reply.data, "config"), "servers"), NULL);
    }
    bool is_save = cli->n_args == 3 && mln_bytes_is(verb, "snapshot") && mln_bytes_is(mln_bytes_of(cli->args[1]), "save");
    bool is_restore = cli->n_args == 3 && mln_bytes_is(verb, "snapshot") && mln_bytes_is(mln_bytes_of(cli->args[1]), "restore");
    if (is_save || is_restore) {
        return is_save ? save(cli, cli->args[2]) : restore(cli, cli->args[2]);
    }
    return mln_cli_usage(cli, "list-peers, snapshot save FILE or snapshot restore FILE");
}

static const struct mln_flag raft_flags[] = {
    {"force", MLN_FLAG_BOOL, NULL, NULL, "Restore a snapshot of another cluster (snapshot restore)"},
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"},
    {0},
};
static const char *const step_examples[] = {"merlon operator step-down", NULL};
const struct mln_command mln_command_operator_step_down = {
    .noun = "operator",
    .verb = "step-down",
    .summary = "Ask the active node to step down; nothing happens with a single one",
    .args = "",
    .examples = step_examples,
    .run = run_step_down,
};
static const char *const members_examples[] = {"merlon operator members", NULL};
const struct mln_command mln_command_operator_members = {
    .noun = "operator",
    .verb = "members",
    .summary = "List the nodes",
    .args = "",
    .examples = members_examples,
    .run = run_members,
};
static const char *const raft_examples[] = {"merlon operator raft snapshot save backup.snap",
                                            "merlon operator raft snapshot restore --yes backup.snap",
                                            "merlon operator raft list-peers", NULL};
const struct mln_command mln_command_operator_raft = {
    .noun = "operator",
    .verb = "raft",
    .summary = "Save and restore a snapshot of all that the server keeps",
    .args = "snapshot save|restore FILE | list-peers",
    .examples = raft_examples,
    .flags = raft_flags,
    .min_args = 1,
    .max_args = 3,
    .run = run_raft,
    .more = "A snapshot is sealed as the store is: it opens only with the shares of the server that made it. No server here\n"
            "uses raft; the name is the one that Vault's tools know.",
};
