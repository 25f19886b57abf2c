/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon operator backup, restore: snapshots of a data folder without asking a server, and without limits on their size. Backup reads
 * beside a server that runs; restore wants it stopped.
 */
#include "cli/cli_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "ledger/restore.h"

/* ---- backup ---- */

static struct mln_err data_dir(struct mln_cli *cli, const char **ret)
{
    *ret = mln_cli_text(cli, "dir");
    return *ret != NULL ? MLN_OK : mln_cli_usage(cli, "--dir DATA is needed: the server's data folder");
}

static struct mln_err open_store(struct mln_cli *cli, const char *dir, bool is_reader, struct mln_store **ret)
{
    struct mln_store_config config = {.dir = mln_text_format(cli->cx, "%s/store", dir), .is_reader = is_reader};
    MLN_TRY(mln_cx_err(cli->cx));
    struct mln_err err = mln_store_open_lmdb(cli->cx, &config, ret);
    if (mln_is(err, MLN_E_EXISTS)) {
        cli->hint = "stop the server first";
    }
    return err;
}

static void close_store(struct mln_store **store)
{
    mln_store_close(*store);
}

static struct mln_err to_fd(void *arg, struct mln_cx *cx, struct mln_bytes bytes)
{
    return mln_fd_write(cx, *(const int *)arg, bytes.ptr, bytes.len);
}

static struct mln_err write_dump(struct mln_cli *cli, struct mln_store *store, const char *dir, const char *part)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    struct mln_dump_sink sink = {to_fd, &fd};
    const struct mln_value *about = mln_restore_about(cli->cx, dir, mln_now_ns()); /* not newer than the rows */
    MLN_TRY(mln_snap_begin(cli->cx, store, &snap));
    MLN_TRY(mln_file_open(cli->cx, part, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd));
    MLN_TRY(mln_dump_write(cli->cx, snap, about, NULL, &sink));
    return mln_fd_sync(cli->cx, fd);
}

static struct mln_err run_backup(struct mln_cli *cli)
{
    MLN_AUTO(close_store) struct mln_store *store = NULL;
    const char *dir = NULL, *file = cli->args[0];
    const char *part = mln_text_format(cli->cx, "%s.part", file);
    MLN_TRY(mln_cx_err(cli->cx));
    MLN_TRY(data_dir(cli, &dir));
    MLN_TRY(open_store(cli, dir, true, &store));
    struct mln_err err = write_dump(cli, store, dir, part);
    if (!mln_failed(err) && rename(part, file) != 0) {
        err = mln_fail(cli->cx, MLN_E_IO, "%s cannot be written", file);
    }
    if (mln_failed(err)) {
        (void)unlink(part);
        return err;
    }
    mln_cli_say(cli, "Saved to %s\n", file);
    return MLN_OK;
}

/* ---- restore ---- */

static struct mln_err say_what(struct mln_cli *cli, const struct mln_dump_facts *facts)
{
    const struct mln_value *log = mln_get(facts->about, "ledger");
    mln_cli_say(cli, "Snapshot of %s, made by version %s: %llu rows, log %s of %s records\n",
                mln_cli_scalar(cli, mln_get(facts->about, "created")), mln_cli_scalar(cli, mln_get(facts->about, "version")),
                (unsigned long long)facts->rows, mln_cli_scalar(cli, mln_get(log, "origin")), mln_cli_scalar(cli, mln_get(log, "size")));
    return mln_cx_err(cli->cx);
}

static struct mln_err run_restore(struct mln_cli *cli)
{
    MLN_AUTO(close_store) struct mln_store *store = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf dump = {0};
    const char *file = mln_cli_text(cli, "snapshot");
    struct mln_restore r = {.origin = mln_cli_text(cli, "origin")};
    struct mln_dump_facts facts = {0};
    struct mln_value *by = mln_object(cli->cx);
    MLN_TRY(data_dir(cli, &r.dir));
    if (r.origin == NULL) {
        return mln_cli_usage(cli, "--origin NEW is needed: the name of the log that begins");
    }
    if (file == NULL) { /* a mistyped folder is not made; a snapshot may go into a new one */
        MLN_TRY(open_store(cli, r.dir, true, &store));
        mln_store_close(store);
        store = NULL;
    } else {
        MLN_TRY(mln_file_read_all(cli->cx, file, MLN_BUF_MAX, &dump));
        MLN_TRY(mln_dump_read(cli->cx, mln_buf_bytes(&dump), NULL, NULL, &facts));
        MLN_TRY(say_what(cli, &facts));
    }
    MLN_TRY(mln_cli_confirm(cli, file != NULL ? "Replacing everything in the data folder" : "Ending the log and beginning a new one"));
    MLN_TRY(open_store(cli, r.dir, false, &store));
    mln_put_text(cli->cx, by, "name", "merlon operator restore");
    r.dump = mln_buf_bytes(&dump);
    r.by = by;
    MLN_TRY(mln_restore(cli->cx, store, &r));
    mln_cli_say(cli, "Restored. Set ledger.origin to %s and start the server; the old log is kept under %s/past\n", r.origin, r.dir);
    return MLN_OK;
}

static const char *const backup_examples[] = {"merlon operator backup --dir /var/lib/merlon backup.snap", NULL};
static const struct mln_flag backup_flags[] = {
    {"dir", MLN_FLAG_TEXT, "DATA", NULL, "The server's data folder"},
    {0},
};
const struct mln_command mln_command_operator_backup = {
    .noun = "operator",
    .verb = "backup",
    .summary = "Save a snapshot of a data folder, beside the server that runs in it",
    .args = "FILE",
    .examples = backup_examples,
    .flags = backup_flags,
    .min_args = 1,
    .max_args = 1,
    .run = run_backup,
    .more = "No size limit. It is sealed as the store is, but not signed with the server's keys as 'operator raft snapshot save' does:\n"
            "keep it where nobody changes it.",
};
static const char *const restore_examples[] = {
    "merlon operator restore --dir /var/lib/merlon --snapshot backup.snap --origin example.org/merlon-2",
    "merlon operator restore --dir /var/lib/merlon --origin example.org/merlon-2", NULL};
static const struct mln_flag restore_flags[] = {
    {"dir", MLN_FLAG_TEXT, "DATA", NULL, "The server's data folder; the server must be stopped"},
    {"snapshot", MLN_FLAG_TEXT, "FILE", NULL, "Put this in place of the store; without: keep the store as it is"},
    {"origin", MLN_FLAG_TEXT, "NEW", NULL, "Name of the log that begins, as ledger.origin of the configuration will say"},
    {"yes", MLN_FLAG_BOOL, NULL, NULL, "Do not ask"},
    {0},
};
const struct mln_command mln_command_operator_restore = {
    .noun = "operator",
    .verb = "restore",
    .summary = "Go back to a snapshot, or on with an older store, under a new log",
    .args = "",
    .examples = restore_examples,
    .flags = restore_flags,
    .run = run_restore,
    .more = "The old log is never forked: it ends, is kept under DATA/past/N, and the first record of the new one names its last\n"
            "checkpoint. DATA/past/N/store.snap is the store as it was.",
};
