/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger on a store in memory, with a folder of its own, for the tests of this room. */
#pragma once

#include "kit/kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "ledger/ledger.h"
#include "ledger/tlog.h"

#define LK_ORIGIN "merlon.test/ledger"

struct lk {
    struct mln_cx *cx;
    char dir[KIT_PATH_MAX];
    struct mln_store *store;
    struct mln_store_fault *control; /* NULL with lmdb */
    struct mln_barrier *barrier;
    struct mln_secret root;
    struct mln_ledger *ledger;
    uint64_t journal_bytes;
    int64_t publish_ns;
};

static inline struct mln_err lk_try_open(struct lk *k)
{
    struct mln_ledger_config config = {.dir = k->dir, .origin = LK_ORIGIN, .publish_ns = k->publish_ns,
                                       .journal_bytes = k->journal_bytes};
    return mln_ledger_open(k->cx, k->store, k->barrier, &config, &k->ledger);
}

static inline void lk_open(struct lk *k)
{
    kit_ok(k->cx, lk_try_open(k));
}

static inline void lk_close(struct lk *k)
{
    mln_ledger_close(k->ledger);
    k->ledger = NULL;
}

static inline void lk_open_lmdb(struct lk *k)
{
    char path[KIT_PATH_MAX];
    struct mln_store_config config = {.dir = kit_path(path, k->dir, "store"), .map_bytes = 1u << 30, .no_sync = true,
                                      .reserve_bytes = 1u << 20};
    kit_ok(k->cx, mln_store_open_lmdb(k->cx, &config, &k->store));
}

static inline struct lk *lk_new(bool with_lmdb)
{
    struct lk *k = calloc(1, sizeof(*k));
    k->cx = kit_cx_new();
    k->journal_bytes = 256u << 10;
    k->publish_ns = 5000000;
    mln_secret_allow_unlocked(true);
    kit_tmpdir(k->dir);
    if (with_lmdb) {
        lk_open_lmdb(k);
    } else {
        kit_ok(k->cx, mln_store_open_fault(k->cx, &k->store, &k->control));
    }
    kit_ok(k->cx, mln_barrier_new(k->cx, k->store, &k->barrier));
    kit_ok(k->cx, mln_secret_random(k->cx, 32, &k->root));
    kit_ok(k->cx, mln_barrier_init(k->cx, k->barrier, &k->root));
    kit_ok(k->cx, mln_barrier_unseal(k->cx, k->barrier, &k->root));
    lk_open(k);
    return k;
}

static inline int lk_setup(void **state)
{
    *state = lk_new(false);
    return 0;
}

static inline int lk_setup_lmdb(void **state)
{
    *state = lk_new(true);
    return 0;
}

static inline int lk_teardown(void **state)
{
    struct lk *k = *state;
    for (int kind = 0; kind < MLN_FAULT_KINDS; kind++) {
        mln_fault_arm((enum mln_fault_kind)kind, 0, false);
    }
    mln_clock_use(NULL);
    lk_close(k);
    mln_barrier_free(k->barrier);
    mln_store_close(k->store);
    mln_secret_drop(&k->root);
    kit_rmtree(k->dir);
    kit_cx_free(k->cx);
    free(k);
    return 0;
}

#define LK_TEST(fn)      cmocka_unit_test_setup_teardown(fn, lk_setup, lk_teardown)
#define LK_TEST_LMDB(fn) cmocka_unit_test_setup_teardown(fn, lk_setup_lmdb, lk_teardown)

static inline void lk_fresh(struct lk *k)
{
    kit_cx_free(k->cx);
    k->cx = kit_cx_new();
}

static inline struct mln_value *lk_content(struct mln_cx *cx, const char *action, const char *resource)
{
    struct mln_value *content = mln_object(cx);
    mln_put_text(cx, content, "actor", "alice");
    mln_put_text(cx, content, "action", action);
    mln_put_text(cx, content, "resource", resource);
    mln_put_text(cx, content, "decision", "allowed");
    return content;
}

static inline struct mln_err lk_try_note(struct lk *k, const char *resource)
{
    struct mln_record record = {.klass = MLN_RECORD_READ, .content = lk_content(k->cx, "read", resource)};
    return mln_ledger_note(k->cx, k->ledger, &record);
}

static inline void lk_note(struct lk *k, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i % 1000 == 999) {
            lk_fresh(k);
        }
        kit_ok(k->cx, lk_try_note(k, "secret/data/a"));
    }
}

/* A write with its record, as core makes one. value NULL deletes. */
static inline struct mln_err lk_try_write(struct lk *k, const char *key, const char *value, bool is_relief, uint64_t *ret_index)
{
    struct mln_value *content = lk_content(k->cx, "update", key);
    struct mln_value *digests = mln_array(k->cx);
    struct mln_value *pair = mln_array(k->cx);
    uint8_t digest[32];
    mln_push(k->cx, pair, mln_blob(k->cx, mln_bytes_of(key)));
    if (value != NULL) {
        mln_sha256(mln_bytes_of(value), digest);
        mln_push(k->cx, pair, mln_blob(k->cx, mln_bytes_at(digest, 32)));
    } else {
        mln_push(k->cx, pair, mln_null(k->cx));
    }
    mln_push(k->cx, digests, pair);
    mln_put(k->cx, content, "digests", digests);
    struct mln_record record = {.klass = MLN_RECORD_MUTATION, .content = content};
    struct mln_write write = {.op = value != NULL ? MLN_WRITE_PUT : MLN_WRITE_DELETE, .key = mln_bytes_of(key),
                              .value = mln_bytes_of(value)};
    struct mln_batch batch = {.writes = &write, .n = 1, .is_relief = is_relief};
    MLN_TRY(mln_ledger_attach(k->cx, k->ledger, &record, &batch));
    struct mln_err err = mln_store_commit(k->cx, k->store, &batch);
    if (ret_index != NULL) {
        *ret_index = record.index;
    }
    return err;
}

static inline uint64_t lk_write(struct lk *k, const char *key, const char *value)
{
    uint64_t index = 0;
    kit_ok(k->cx, lk_try_write(k, key, value, false, &index));
    return index;
}

static inline struct mln_ledger_status lk_status(struct lk *k)
{
    struct mln_ledger_status s;
    mln_ledger_status(k->ledger, &s);
    return s;
}

static inline const char *lk_public(struct lk *k)
{
    return mln_text_format(k->cx, "%s/ledger", k->dir);
}

static inline const struct mln_value *lk_audit(struct lk *k, struct mln_bytes old)
{
    static char folder[KIT_PATH_MAX];
    const struct mln_value *answer = NULL;
    kit_path(folder, k->dir, "ledger");
    struct mln_tlog_fetch fetch = {.file = mln_tlog_fetch_dir, .arg = folder};
    struct mln_ledger_status s = lk_status(k);
    kit_ok(k->cx, mln_tlog_audit(k->cx, &fetch, mln_bytes_of(s.vkey), old, &answer));
    return answer;
}

static inline void lk_audit_ok(struct lk *k)
{
    const struct mln_value *answer = lk_audit(k, MLN_BYTES_NONE);
    const struct mln_value *first = mln_item(mln_get(answer, "problems"), 0);
    if (first != NULL) {
        print_message("%s: %s\n", mln_get_text(k->cx, mln_get(first, "file"), ""), mln_get_text(k->cx, mln_get(first, "detail"), ""));
    }
    assert_true(mln_get_bool(mln_get(answer, "ok"), false));
    assert_int_equal(mln_get_int(mln_get(answer, "size"), -1), lk_status(k).published);
    assert_int_equal(mln_get_int(mln_get(answer, "checked"), -1), lk_status(k).published);
}

static inline void lk_flush(struct lk *k)
{
    kit_ok(k->cx, mln_ledger_flush(k->cx, k->ledger));
    assert_int_equal(lk_status(k).published, lk_status(k).size);
}
