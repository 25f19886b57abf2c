/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots through the pipeline: saved, restored, refused; what is refused leaves everything as it was. */
#include "core_kit.h"

#include <sys/stat.h>
#include <zlib.h>

#include "base/io.h"
#include "ledger/tlog.h"

#define SNAP  "sys/storage/raft/snapshot"
#define FORCE "sys/storage/raft/snapshot-force"
#define KV    "secret/data/a"

static int call_raw(struct ck *k, const char *token, const char *path, struct mln_bytes body)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    mln_cx_clear(&k->cx);
    struct mln_value *rq = mln_object(&k->cx);
    mln_put_text(&k->cx, rq, "op", "write");
    mln_put_text(&k->cx, rq, "path", path);
    mln_put_null(&k->cx, rq, "data");
    mln_put(&k->cx, rq, "raw", mln_blob(&k->cx, body));
    mln_put(&k->cx, rq, "token", mln_secret_string(&k->cx, mln_bytes_of(token)));
    mln_put_text(&k->cx, rq, "from", "127.0.0.1");
    mln_cbor_print(&message, rq);
    mln_buf_drop(&k->buf);
    struct mln_core_call call = {.message = mln_buf_bytes(&message), .block = ck_block, .arg = k};
    assert_false(mln_failed(mln_core_answer(&k->cx, k->core, &call, &k->buf)));
    mln_cx_clear(&k->cx);
    struct mln_bytes bytes = mln_bytes_dup(&k->cx, mln_buf_bytes(&k->buf));
    assert_false(mln_failed(mln_cbor_parse(&k->cx, bytes, &k->answer)));
    return (int)mln_get_int(mln_get(k->answer, "status"), 0);
}

static void put(struct ck *k, const char *value)
{
    const char *json = mln_text_format(&k->cx, "{\"data\":{\"v\":\"%s\"}}", value);
    CK_WANT(k, ck_call(k, k->root, "write", KV, json), 200);
}

static const char *get(struct ck *k)
{
    CK_WANT(k, ck_call(k, k->root, "read", KV, NULL), 200);
    return ck_at(k, "data|data|v");
}

static void save(struct ck *k, struct mln_buf *ret)
{
    CK_WANT(k, ck_call(k, k->root, "read", SNAP, NULL), 200);
    assert_string_equal(ck_at(k, "ct"), "\"application/gzip\"");
    mln_buf_clear(ret);
    mln_buf_add_bytes(ret, mln_get_bytes(mln_get(k->answer, "raw")));
    assert_true(ret->len > 1000);
}

/* The whole public log in a folder, by the offline verifier; its size. */
static int64_t audit(struct ck *k, const char *folder, struct mln_bytes *ret_origin)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf vkey = {0};
    const char *dir = mln_text_format(&k->cx, "%s/%s", k->dir, folder);
    struct mln_tlog_fetch fetch = {.file = mln_tlog_fetch_dir, .arg = (void *)(uintptr_t)dir};
    const struct mln_value *v = NULL;
    assert_false(mln_failed(mln_file_read_all(&k->cx, mln_text_format(&k->cx, "%s/vkey", dir), 1000, &vkey)));
    struct mln_err err = mln_tlog_audit(&k->cx, &fetch, mln_bytes_trim(mln_buf_bytes(&vkey)), MLN_BYTES_NONE, &v);
    if (mln_failed(err) || !mln_get_bool(mln_get(v, "ok"), false)) {
        fail_msg("%s: %s %s", folder, k->cx.text, ck_json(k, v));
    }
    *ret_origin = mln_get_bytes(mln_get(v, "origin"));
    return mln_get_int(mln_get(v, "size"), -1);
}

static void verify_store(struct ck *k)
{
    CK_WANT(k, ck_call(k, k->root, "write", "sys/verify-store", NULL), 200);
    assert_string_equal(ck_at(k, "data|problems"), "[]");
}

static void test_round(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {0};
    struct mln_bytes origin;
    put(k, "one");
    save(k, &file);
    put(k, "two");
    CK_WANT(k, ck_call(k, k->root, "write", "sys/rotate", NULL), 204); /* keys of later times do not stand in the way */
    put(k, "three");
    CK_WANT(k, call_raw(k, k->root, SNAP, mln_buf_bytes(&file)), 204);
    assert_string_equal(get(k), "\"one\"");
    verify_store(k);
    CK_WANT(k, ck_call(k, k->root, "read", "sys/ledger/entries", NULL), 200);
    const struct mln_value *first = mln_item(mln_get(mln_get(k->answer, "data"), "entries"), 0);
    const struct mln_value *why = mln_get(mln_get(first, "content"), "restore");
    assert_true(mln_is_text(mln_get(mln_get(why, "replaces"), "origin"), "test.local/ledger"));
    int64_t size = mln_get_int(mln_get(mln_get(why, "replaces"), "size"), 0);
    assert_true(mln_is_text(mln_get(mln_get(why, "by"), "name"), "token"));
    assert_true(mln_get_bool(mln_get(mln_get(why, "snapshot"), "authentic"), false));
    assert_int_equal(audit(k, "past/1/ledger", &origin), size);
    assert_true(mln_bytes_is(origin, "test.local/ledger"));
    assert_true(audit(k, "ledger", &origin) > 0);
    assert_true(mln_bytes_starts(origin, MLN_BYTES("test.local/ledger/restored-")));
    mln_core_close(k->core);
    ck_open(k); /* with the origin that is configured */
    assert_string_equal(get(k), "\"one\"");
    put(k, "four");
    verify_store(k);
}

/* What was replaced is a snapshot too: a restore can be undone. */
static void test_undo(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {0}, old = {0};
    put(k, "one");
    save(k, &file);
    put(k, "two");
    CK_WANT(k, call_raw(k, k->root, SNAP, mln_buf_bytes(&file)), 204);
    const char *path = mln_text_format(&k->cx, "%s/past/1/store.snap", k->dir);
    assert_false(mln_failed(mln_file_read_all(&k->cx, path, 1u << 24, &old)));
    CK_WANT(k, call_raw(k, k->root, SNAP, mln_buf_bytes(&old)), 204);
    assert_string_equal(get(k), "\"two\"");
    verify_store(k);
}

/* Unpacked, one piece of text changed, packed again with sums that are right again or not. */
static void forge(struct mln_buf *file, const char *from, const char *to)
{
    static uint8_t tar[1u << 22];
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    z.next_in = file->ptr;
    z.avail_in = (uInt)file->len;
    z.next_out = tar;
    z.avail_out = sizeof(tar);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out, at = mln_bytes_find_bytes(mln_bytes_at(tar, n), mln_bytes_of(from));
    inflateEnd(&z);
    assert_true(at < n);
    mln_copy(tar + at, to, mln_bytes_of(to).len);
    mln_buf_clear(file);
    assert_true(mln_buf_reserve(file, n + 4096));
    z = (z_stream){0};
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = tar;
    z.avail_in = (uInt)n;
    z.next_out = file->ptr;
    z.avail_out = (uInt)(n + 4096);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    file->len = z.total_out;
    deflateEnd(&z);
}

static void test_refused(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    MLN_AUTO(mln_buf_drop) struct mln_buf good = {0}, bad = {0};
    put(k, "one");
    save(k, &good);
    put(k, "two");
    const struct {
        const char *from, *to, *text;
        bool also_force;
    } rows[] = {
        {"\"format\":1", "\"format\":2", "format 2, this program reads formats up to 1", true},
        {"\"created\":\"2", "\"created\":\"3", "was changed: its content", true},
        {"core/seal", "core/sEal", "was changed: its content", true},
        {"hmac-sha256:", "hmac-sha257:", "changed, or made without this server's keys", false},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        mln_buf_clear(&bad);
        mln_buf_add_bytes(&bad, mln_buf_bytes(&good));
        forge(&bad, rows[i].from, rows[i].to);
        CK_WANT(k, call_raw(k, k->root, SNAP, mln_buf_bytes(&bad)), 400);
        if (strstr(ck_error(k), rows[i].text) == NULL) {
            fail_msg("row %zu: %s", i, ck_error(k));
        }
        if (rows[i].also_force) {
            CK_WANT(k, call_raw(k, k->root, FORCE, mln_buf_bytes(&bad)), 400);
        }
        assert_string_equal(get(k), "\"two\"");
    }
    for (size_t n = 0; n < good.len; n += good.len / 7) {
        CK_WANT(k, call_raw(k, k->root, SNAP, mln_bytes_at(good.ptr, n)), 400);
    }
    CK_WANT(k, ck_call(k, k->root, "write", SNAP, "{\"a\":1}"), 400);
    struct stat st;
    assert_int_not_equal(stat(mln_text_format(&k->cx, "%s/past/1", k->dir), &st), 0);
    assert_string_equal(get(k), "\"two\"");
    verify_store(k);
}

static void test_rights(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {0};
    save(k, &file);
    const struct ck_step steps[] = {
        {"root", "write", "sys/policies/acl/p",
         "{\"policy\":\"path \\\"sys/storage/*\\\" {capabilities=[\\\"read\\\",\\\"update\\\"]}\"}", 204, NULL, NULL},
        {"root", "write", "auth/token/create", "{\"id\":\"plain\",\"policies\":\"p\"}", 200, NULL, NULL},
        {"plain", "read", SNAP, NULL, 403, NULL, NULL},
        {NULL, "read", SNAP, NULL, 403, NULL, NULL},
        {"plain", "read", "sys/storage/raft/configuration", NULL, 200, "data|config|servers", NULL},
        {"root", "read", "sys/storage/raft/autopilot/state", NULL, 200, "data|servers|merlon|status", "\"leader\""},
        {"root", "read", "sys/storage/raft/autopilot/state", NULL, 200, "data|voters", "[\"merlon\"]"},
        {"root", "read", "sys/storage/raft/autopilot/configuration", NULL, 200, "data|dead_server_last_contact_threshold", "\"24h0m0s\""},
        {"root", "write", "sys/storage/raft/autopilot/configuration", "{\"min_quorum\":3,\"last_contact_threshold\":\"90s\"}", 204,
         NULL, NULL},
        {"root", "read", "sys/storage/raft/autopilot/configuration", NULL, 200, "data|last_contact_threshold", "\"1m30s\""},
        {"root", "read", "sys/storage/raft/autopilot/configuration", NULL, 200, "data|min_quorum", "3"},
        {"root", "read", "sys/storage/raft/autopilot/configuration", NULL, 200, "data|max_trailing_logs", "1000"},
        {"root", "write", "sys/storage/raft/autopilot/configuration", "{\"min_quorum\":-1}", 400, NULL, "min_quorum must not be negative"},
        {"root", "write", "sys/storage/raft/remove-peer", "{\"server_id\":\"x\"}", 204, NULL, NULL},
        {"root", "write", "sys/storage/raft/remove-peer", "{\"server_id\":\"merlon\"}", 400, NULL,
         "the only server cannot be removed from its cluster"},
        {"root", "write", "sys/storage/raft/remove-peer", "{}", 400, NULL, "no server id provided"},
        {"root", "write", "sys/storage/raft/promote", "{\"server_id\":\"x\"}", 400, NULL, "server is not a non-voter"},
        {"root", "write", "sys/storage/raft/demote", "{\"server_id\":\"x\"}", 204, NULL, NULL},
        {"root", "write", "sys/storage/raft/demote", "{\"server_id\":\"merlon\"}", 400, NULL, "the only server of a cluster is its voter"},
        {"root", "write", "sys/storage/raft/join", "{}", 400, NULL, NULL},
        {NULL, "read", "sys/storage/raft/autopilot/state", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, steps);
    CK_WANT(k, call_raw(k, "plain", SNAP, mln_buf_bytes(&file)), 403);
    CK_WANT(k, call_raw(k, "plain", FORCE, mln_buf_bytes(&file)), 403);
    assert_true(mln_len(mln_get(k->answer, "errors")) > 0);
}

static void test_foreign(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(3, 2, false);
    MLN_AUTO(ck_drop) struct ck *other = ck_new_shamir(1, 1, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {0};
    put(k, "mine");
    put(other, "theirs");
    save(other, &file);
    CK_WANT(k, call_raw(k, k->root, SNAP, mln_buf_bytes(&file)), 400);
    assert_non_null(strstr(ck_error(k), "of another server"));
    assert_string_equal(get(k), "\"mine\"");
    CK_WANT(k, call_raw(k, k->root, FORCE, mln_buf_bytes(&file)), 204);
    CK_WANT(k, ck_call(k, k->root, "read", KV, NULL), 503);
    const char *wrong = mln_text_format(&k->cx, "{\"key\":\"%s\"}", k->keys[0]);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", wrong), 400);
    const char *right = mln_text_format(&k->cx, "{\"key\":\"%s\"}", other->keys[0]);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", right), 200);
    k->root = mln_text_dup(&k->cx, mln_bytes_of(other->root));
    assert_string_equal(get(k), "\"theirs\"");
    verify_store(k);
    struct mln_bytes origin;
    assert_true(audit(k, "past/1/ledger", &origin) > 0);
    assert_true(audit(k, "ledger", &origin) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),  cmocka_unit_test(test_undo),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rights), cmocka_unit_test(test_foreign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
