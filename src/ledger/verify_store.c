/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store against the records: one snapshot, its entries hashed to the root that its state names, every record that changes
 * something opened, and every value's digest compared. A value moved, changed, put back or rolled back behind our back shows.
 */
#include <inttypes.h>

#include "base/text.h"
#include "ledger/ledger_priv.h"

static struct mln_err check_tree(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_snap *snap)
{
    struct ledger_state state = {0};
    struct mln_tlog_edge edge = {0};
    struct mln_hash root;
    struct mln_hash want;
    MLN_TRY(state_load(cx, ledger, snap, &state));
    MLN_AUTO(rows_drop) struct rows rows = {.snap = snap};
    while (edge.size < state.edge.size) {
        struct mln_bytes entry = MLN_BYTES_NONE;
        struct mln_hash leaf;
        MLN_TRY(rows_entry(cx, &rows, &entry));
        mln_tlog_leaf(entry, &leaf);
        mln_tlog_append(&edge, &leaf);
    }
    mln_tlog_root(&edge, &root);
    mln_tlog_root(&state.edge, &want);
    if (!mln_same(root.b, want.b, sizeof(root.b))) {
        return mln_fail(cx, MLN_E_CORRUPT, "ledger: the entries in the store below %" PRIu64 " are not those recorded", edge.size);
    }
    return MLN_OK;
}

static void report(struct mln_cx *cx, struct mln_value *list, struct mln_bytes key, const char *problem)
{
    struct mln_value *row = mln_object(cx);
    key = mln_bytes_dup(cx, key);
    mln_put(cx, row, "key", mln_utf8_valid(key) ? mln_string(cx, key) : mln_blob(cx, key));
    mln_put_text(cx, row, "problem", problem);
    mln_push(cx, list, row);
}

static void compare(struct mln_cx *cx, struct digests *d, struct mln_bytes key, struct mln_bytes value, struct mln_value *list)
{
    uint8_t digest[MLN_SHA256_BYTES];
    struct digest_row *row = digests_find(d, key);
    if (row == NULL || !row->is_there) {
        report(cx, list, key, "unrecorded");
        return;
    }
    row->was_seen = true;
    mln_sha256(value, digest);
    if (!mln_same(digest, row->digest, sizeof(digest))) {
        report(cx, list, key, "changed");
    }
}

static struct mln_err compare_all(struct mln_cx *cx, struct mln_snap *snap, struct digests *d, struct mln_value *list)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf after = {0};
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value = MLN_BYTES_NONE;
    for (;;) {
        struct mln_err err = mln_snap_next(cx, snap, MLN_BYTES_NONE, mln_buf_bytes(&after), &key, &value);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return mln_cx_err(cx);
        }
        MLN_TRY(err);
        mln_buf_clear(&after);
        mln_buf_add_bytes(&after, key);
        MLN_TRY(mln_buf_ok(cx, &after));
        if (!key_is_exempt(key)) {
            compare(cx, d, key, value, list);
            MLN_TRY(mln_cx_err(cx));
        }
    }
}

struct mln_err mln_ledger_verify_store(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value **ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(digests_drop) struct digests *d = NULL;
    struct mln_value *list = mln_array(cx);
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    MLN_TRY(check_tree(cx, ledger, snap));
    MLN_TRY(digests_read(cx, ledger, snap, UINT64_MAX, &d));
    MLN_TRY(compare_all(cx, snap, d, list));
    for (size_t i = 0; digests_at(d, i) != NULL; i++) {
        const struct digest_row *row = digests_at(d, i);
        if (row->is_there && !row->was_seen && !key_is_exempt(row->key)) {
            report(cx, list, row->key, "missing");
        }
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = list;
    return MLN_OK;
}
