/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sequencer: gives records their index, inside the store's transaction, on the committer's thread. What it works out is a
 * try; it becomes the ledger's state in `after`, when the transaction is durable, and is forgotten otherwise.
 *
 * After a transaction failed, those that carry batches take nothing from the journal: on a full disk the reserve serves the
 * relief batches alone, and the journal waits.
 *
 * A batch without a record that writes keys that need one gets a record of the system's, made here from its writes, so that
 * no value is in the store that the ledger does not know. Exempt keys: rows.c.
 */
#include "ledger/ledger_priv.h"

#define JOURNAL_BYTES_MAX (1u << 20) /* of the journal, in one transaction: bounds its length; the rest goes with the next */

static struct mln_err add_record(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_bytes body, uint64_t *ret_index)
{
    struct mln_tlog_edge *edge = &ledger->attempt.state.edge;
    uint8_t entry[ENTRY_BYTES];
    struct mln_hash leaf;
    uint64_t index = edge->size;
    record_entry(body, index, entry);
    mln_buf_add(&ledger->entries, entry, sizeof(entry));
    mln_buf_add_u32be(&ledger->contents, (uint32_t)(body.len - BODY_HEAD));
    mln_buf_add_bytes(&ledger->contents, mln_bytes_from(body, BODY_HEAD));
    MLN_TRY(mln_buf_ok(cx, &ledger->entries));
    MLN_TRY(mln_buf_ok(cx, &ledger->contents));
    mln_tlog_leaf(mln_bytes_at(entry, sizeof(entry)), &leaf);
    mln_tlog_append(edge, &leaf);
    *ret_index = index;
    return MLN_OK;
}

static struct mln_err take_journal(struct mln_cx *cx, struct mln_ledger *ledger)
{
    uint64_t number = 0;
    uint64_t index = 0;
    size_t at = 0;
    struct mln_bytes body;
    while (ledger->contents.len < JOURNAL_BYTES_MAX && journal_next(ledger->journal, &at, &number, &body)) {
        MLN_TRY(add_record(cx, ledger, body, &index));
        ledger->attempt.state.mark = number;
        ledger->attempt.taken_to = at;
    }
    return MLN_OK;
}

static void add_digest(struct mln_cx *cx, struct mln_value *digests, const struct mln_write *w)
{
    struct mln_value *pair = mln_array(cx);
    uint8_t *digest = mln_new(cx, MLN_SHA256_BYTES);
    mln_push(cx, pair, mln_blob(cx, w->key));
    if (w->op == MLN_WRITE_DELETE) {
        mln_push(cx, pair, mln_null(cx));
    } else if (digest != NULL) {
        mln_sha256(w->value, digest);
        mln_push(cx, pair, mln_blob(cx, mln_bytes_at(digest, MLN_SHA256_BYTES)));
    }
    mln_push(cx, digests, pair);
}

static struct mln_err record_system(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_batch *batch)
{
    struct mln_value *digests = mln_array(cx);
    for (size_t i = 0; i < batch->n; i++) {
        const struct mln_write *w = &batch->writes[i];
        if (w->op != MLN_WRITE_EXPECT && !key_is_exempt(w->key)) {
            add_digest(cx, digests, w);
        }
    }
    if (mln_len(digests) == 0) {
        return mln_cx_err(cx);
    }
    struct mln_value *content = mln_object(cx);
    mln_put_text(cx, content, "actor", "system");
    mln_put_text(cx, content, "action", "write");
    mln_put_text(cx, content, "resource", "store");
    mln_put_text(cx, content, "decision", "allowed");
    mln_put(cx, content, "digests", digests);
    MLN_TRY(mln_cx_err(cx));
    struct mln_record record = {.klass = MLN_RECORD_SYSTEM, .content = content};
    uint64_t index = 0;
    MLN_TRY(record_seal(cx, ledger, &record, CONTENT_MAX));
    return add_record(cx, ledger, record.frame, &index);
}

static struct mln_err take_batches(struct mln_cx *cx, struct mln_ledger *ledger)
{
    struct ledger_try *attempt = &ledger->attempt;
    for (size_t i = 0; i < attempt->n; i++) {
        struct mln_record *record = attempt->batches[i]->tag;
        if (record == NULL) {
            MLN_TRY(record_system(cx, ledger, attempt->batches[i]));
            continue;
        }
        MLN_TRY(add_record(cx, ledger, record->frame, &record->index));
        pthread_mutex_lock(&ledger->lock);
        if (record == ledger->prune) {
            attempt->state.pruned = ledger->prune_to;
        }
        pthread_mutex_unlock(&ledger->lock);
    }
    return MLN_OK;
}

static struct mln_err write_rows(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_store_writer *w)
{
    uint8_t key[64];
    struct mln_bytes box = MLN_BYTES_NONE;
    uint64_t last = ledger->attempt.state.edge.size - 1;
    MLN_TRY(mln_writer_put(cx, w, row_key(ENTRIES_PREFIX, last, key), mln_buf_bytes(&ledger->entries)));
    MLN_TRY(mln_writer_put(cx, w, row_key(CONTENT_PREFIX, last, key), mln_buf_bytes(&ledger->contents)));
    MLN_TRY(state_encode(cx, ledger, &ledger->attempt.state, &box));
    return mln_writer_put(cx, w, STATE_KEY, box);
}

struct mln_err ledger_sequence(void *arg, struct mln_cx *cx, struct mln_store_writer *w, struct mln_batch *const *batches,
                               size_t n)
{
    struct mln_ledger *ledger = arg;
    ledger->attempt = (struct ledger_try){.state = ledger->state, .batches = batches, .n = n, .is_open = true};
    mln_buf_clear(&ledger->entries);
    mln_buf_clear(&ledger->contents);
    mln_buf_add_u64be(&ledger->contents, ledger->state.edge.size);
    if (n == 0 || !atomic_load(&ledger->has_failed)) {
        MLN_TRY(take_journal(cx, ledger));
    }
    MLN_TRY(take_batches(cx, ledger));
    return ledger->entries.len > 0 ? write_rows(cx, ledger, w) : MLN_OK;
}

static void forget_indexes(struct ledger_try *attempt)
{
    for (size_t i = 0; i < attempt->n; i++) {
        struct mln_record *record = attempt->batches[i]->tag;
        if (record != NULL) {
            record->index = UINT64_MAX;
        }
    }
}

void ledger_after(void *arg, bool ok)
{
    struct mln_ledger *ledger = arg;
    struct ledger_try *attempt = &ledger->attempt;
    MLN_CHECK(attempt->is_open);
    attempt->is_open = false;
    atomic_store(&ledger->has_failed, !ok);
    if (!ok) {
        forget_indexes(attempt);
        journal_failed(ledger->journal);
        return;
    }
    if (ledger->entries.len == 0) {
        return;
    }
    pthread_mutex_lock(&ledger->lock);
    ledger->state = attempt->state;
    pthread_cond_signal(&ledger->wake_publisher);
    pthread_mutex_unlock(&ledger->lock);
    if (attempt->taken_to > 0) {
        journal_done(ledger->journal, attempt->taken_to, attempt->state.mark);
    }
}
