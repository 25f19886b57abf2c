/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An initialisation that was cut off: keys and an empty ledger are there, but not the first rows (mounts, the default policy, the root
 * token), which are one transaction. Nobody was given shares or token, so nothing can ever be opened: the store counts as not
 * initialised, and the next initialisation begins with an empty one.
 */
#include "core/core_priv.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

#define ROWS      MLN_BYTES("root/")        /* all that requests, core and ledger ever store */
#define LEDGER    MLN_BYTES("root/ledger/") /* is there before the first rows are */
#define PAST      MLN_BYTES("root/ledger0") /* the first key behind it: '0' is '/' + 1 */
#define DEPTH_MAX 8                         /* of the ledger's folders: tile/0/x001/x002/003 */

static bool has_rows(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_err err = mln_snap_begin(cx, core->store, &snap);
    err = mln_failed(err) ? err : mln_snap_next(cx, snap, ROWS, MLN_BYTES_NONE, &key, NULL);
    if (!mln_failed(err) && mln_bytes_starts(key, LEDGER)) {
        err = mln_snap_from(cx, snap, ROWS, PAST, &key, NULL);
    }
    bool is_none = mln_is(err, MLN_E_NOT_FOUND);
    if (mln_failed(err)) {
        mln_cx_clear(cx);
    }
    return !is_none; /* what cannot be read counts as there: nothing is thrown away for it */
}

bool mln_core_is_initialized(struct mln_cx *cx, struct mln_core *core)
{
    bool has_keys = mln_barrier_is_initialized(cx, core->barrier);
    mln_cx_clear(cx);
    return has_keys && has_rows(cx, core);
}

static struct mln_err remove_tree(struct mln_cx *cx, const char *path, int depth)
{
    struct stat st;
    const struct mln_value *names = NULL;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? MLN_OK : mln_fail(cx, MLN_E_IO, "%s cannot be looked at", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return unlink(path) == 0 ? MLN_OK : mln_fail(cx, MLN_E_IO, "%s cannot be removed", path);
    }
    if (depth == 0) {
        return mln_fail(cx, MLN_E_LIMIT, "%s is deeper than the ledger's folders", path);
    }
    MLN_TRY(mln_dir_list(cx, path, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        const char *below = mln_text_format(cx, "%s/%s", path, name);
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(remove_tree(cx, below, depth - 1));
    }
    return rmdir(path) == 0 ? MLN_OK : mln_fail(cx, MLN_E_IO, "%s cannot be removed", path);
}

/* Files before rows: while the keyring's row is there, this is run again. */
struct mln_err mln_core_discard_unfinished(struct mln_cx *cx, struct mln_core *core)
{
    static const char *const folders[] = {"journal", "ledger"};
    bool has_keys = mln_barrier_is_initialized(cx, core->barrier);
    mln_cx_clear(cx);
    if (!has_keys) {
        return MLN_OK;
    }
    mln_log(MLN_LOG_WARN, "core", "an initialisation was cut off before its end: its keys are thrown away");
    mln_core_seal_now(core, true);
    for (size_t i = 0; i < MLN_COUNT(folders); i++) {
        const char *path = mln_text_format(cx, "%s/%s", core->config.data_dir, folders[i]);
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(remove_tree(cx, path, DEPTH_MAX));
    }
    return mln_seal_discard(cx, core->seal,
                            core->config.seal == MLN_SEAL_KEYFILE ? core->config.keyfile : NULL);
}
