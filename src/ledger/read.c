/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger answers: status, public files, contents, proofs. */
#include <inttypes.h>

#include "base/cbor.h"
#include "ledger/ledger_priv.h"

#define READ_MAX 10000u

void mln_ledger_status(struct mln_ledger *ledger, struct mln_ledger_status *ret)
{
    struct mln_hash root;
    *ret = (struct mln_ledger_status){.published = publisher_size(ledger->publisher, &root)};
    mln_copy(ret->root, root.b, sizeof(root.b));
    mln_copy(ret->vkey, ledger->vkey, sizeof(ret->vkey));
    mln_copy(ret->origin, ledger->origin, sizeof(ret->origin));
    pthread_mutex_lock(&ledger->lock);
    ret->size = ledger->state.edge.size;
    ret->pruned = ledger->state.pruned;
    pthread_mutex_unlock(&ledger->lock);
}

struct mln_err mln_ledger_file(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_bytes path, struct mln_bytes *ret,
                               bool *ret_immutable)
{
    int level = 0;
    uint64_t n = 0;
    unsigned width = 0;
    bool is_tile = false;
    if (mln_bytes_is(path, "checkpoint")) {
        MLN_TRY(publisher_checkpoint(cx, ledger->publisher, ret));
    } else if (mln_bytes_is(path, "vkey")) {
        *ret = mln_bytes_format(cx, "%s\n", ledger->vkey);
        MLN_TRY(mln_cx_err(cx));
    } else if (mln_bytes_starts(path, MLN_BYTES("tile/"))) {
        if (!mln_tlog_tile_parse(path, &level, &n, &width)) {
            return mln_fail(cx, MLN_E_PARSE, "ledger: this is no name of a tile");
        }
        MLN_TRY(publisher_tile(cx, ledger->publisher, level, n, width, ret));
        is_tile = true;
    } else {
        return mln_fail(cx, MLN_E_NOT_FOUND, "ledger: no such file");
    }
    *ret_immutable = is_tile;
    return MLN_OK;
}

/* ---- contents ---- */

static struct mln_err read_content(struct mln_cx *cx, struct mln_ledger *ledger, struct rows *boxes, struct mln_bytes entry,
                                   struct mln_bytes *ret_plain)
{
    struct mln_bytes box = MLN_BYTES_NONE;
    struct mln_err err = rows_box(cx, boxes, &box);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the content of record %" PRIu64 " is missing", entry_index(entry.ptr));
    }
    MLN_TRY(err);
    return record_open(cx, ledger, entry.ptr, box, ret_plain);
}

static struct mln_err read_one(struct mln_cx *cx, struct mln_ledger *ledger, struct rows *entries, struct rows *boxes,
                               struct mln_value *list)
{
    uint64_t index = entries->index;
    bool is_kept = index >= boxes->index;
    struct mln_bytes entry = MLN_BYTES_NONE;
    struct mln_value *row = mln_object(cx);
    MLN_TRY(rows_entry(cx, entries, &entry));
    mln_put_int(cx, row, "index", (int64_t)index);
    mln_put_int(cx, row, "time", (int64_t)mln_get_u64be(entry.ptr + 10));
    mln_put_text(cx, row, "class", record_class_name(entry.ptr[1]));
    if (is_kept) {
        struct mln_bytes plain = MLN_BYTES_NONE;
        const struct mln_value *content = NULL;
        MLN_TRY(read_content(cx, ledger, boxes, entry, &plain));
        MLN_TRY(mln_cbor_parse(cx, mln_bytes_from(plain, SALT_BYTES), &content));
        mln_put(cx, row, "content", content);
    } else {
        mln_put_null(cx, row, "content");
    }
    mln_push(cx, list, row);
    return mln_cx_err(cx);
}

struct mln_err mln_ledger_read(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t from, uint32_t max,
                               const struct mln_value **ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct ledger_state state = {0};
    struct mln_value *list = mln_array(cx);
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    MLN_TRY(state_load(cx, ledger, snap, &state));
    MLN_AUTO(rows_drop) struct rows entries = {.snap = snap, .index = from};
    MLN_AUTO(rows_drop) struct rows boxes = {.snap = snap, .index = from > state.pruned ? from : state.pruned};
    max = max < READ_MAX ? max : READ_MAX;
    for (uint32_t i = 0; i < max && entries.index < state.edge.size; i++) {
        MLN_TRY(read_one(cx, ledger, &entries, &boxes, list));
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = list;
    return MLN_OK;
}

/* ---- proof of one ---- */

struct proved {
    struct mln_bytes entry, plain; /* plain: salt || content */
    bool is_pruned;
};

static struct mln_err find_record(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t index, struct proved *ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct ledger_state state = {0};
    struct mln_bytes entry = MLN_BYTES_NONE;
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    MLN_TRY(state_load(cx, ledger, snap, &state));
    if (index >= state.edge.size) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "ledger: there is no record %" PRIu64, index);
    }
    MLN_AUTO(rows_drop) struct rows entries = {.snap = snap, .index = index};
    MLN_AUTO(rows_drop) struct rows boxes = {.snap = snap, .index = index};
    MLN_TRY(rows_entry(cx, &entries, &entry));
    ret->is_pruned = index < state.pruned;
    ret->entry = mln_bytes_dup(cx, entry);
    MLN_TRY(mln_cx_err(cx));
    return ret->is_pruned ? MLN_OK : read_content(cx, ledger, &boxes, ret->entry, &ret->plain);
}

static struct mln_err put_content(struct mln_cx *cx, struct mln_value *out, const struct proved *r)
{
    if (r->is_pruned) {
        mln_put_null(cx, out, "salt");
        mln_put_null(cx, out, "content");
        mln_put_null(cx, out, "content_cbor");
        return MLN_OK;
    }
    const struct mln_value *content = NULL;
    struct mln_bytes cbor = mln_bytes_from(r->plain, SALT_BYTES);
    MLN_TRY(mln_cbor_parse(cx, cbor, &content));
    mln_put(cx, out, "salt", mln_blob(cx, mln_bytes_sub(r->plain, 0, SALT_BYTES)));
    mln_put(cx, out, "content", content);
    mln_put(cx, out, "content_cbor", mln_blob(cx, cbor));
    return MLN_OK;
}

/* Checkpoint and proof are of one size, although the log grows meanwhile. */
static struct mln_err prove(struct mln_cx *cx, struct mln_ledger *ledger, const struct proved *r, struct mln_value *out)
{
    struct mln_bytes note = MLN_BYTES_NONE;
    struct mln_checkpoint c = {0};
    struct mln_hash leaf;
    size_t n = 0;
    struct mln_hash *proof = mln_new_array(cx, 64, sizeof(*proof));
    if (proof == NULL) {
        return mln_cx_err(cx);
    }
    MLN_TRY(publisher_checkpoint(cx, ledger->publisher, &note));
    MLN_TRY(mln_checkpoint_open(cx, note, mln_bytes_of(ledger->vkey), &c));
    struct mln_tlog_source source = {publisher_hash, ledger->publisher};
    MLN_TRY(mln_tlog_prove_inclusion(cx, &source, c.size, entry_index(r->entry.ptr), proof, &n));
    mln_tlog_leaf(r->entry, &leaf);
    if (mln_failed(mln_tlog_check_inclusion(cx, proof, n, c.size, &c.root, entry_index(r->entry.ptr), &leaf))) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the published tiles do not prove record %" PRIu64,
                          entry_index(r->entry.ptr));
    }
    struct mln_value *hashes = mln_array(cx);
    for (size_t i = 0; i < n; i++) {
        mln_push(cx, hashes, mln_blob(cx, mln_bytes_at(proof[i].b, sizeof(proof[i].b))));
    }
    mln_put(cx, out, "proof", hashes);
    mln_put_bytes(cx, out, "checkpoint", note);
    return mln_cx_err(cx);
}

struct mln_err mln_ledger_proof(struct mln_cx *cx, struct mln_ledger *ledger, uint64_t index, const struct mln_value **ret)
{
    struct proved r = {0};
    struct mln_hash root;
    struct mln_value *out = mln_object(cx);
    MLN_TRY(find_record(cx, ledger, index, &r));
    if (publisher_size(ledger->publisher, &root) <= index) {
        MLN_TRY(mln_ledger_flush(cx, ledger));
    }
    mln_put_int(cx, out, "index", (int64_t)index);
    mln_put(cx, out, "entry", mln_blob(cx, r.entry));
    MLN_TRY(put_content(cx, out, &r));
    MLN_TRY(prove(cx, ledger, &r, out));
    *ret = out;
    return MLN_OK;
}
