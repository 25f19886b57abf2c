/* SPDX-License-Identifier: Apache-2.0 */
/* Too many failed logins: who is locked out, how long, who lets him in again. */
#include "core_kit.h"

#include <string.h>

#include "base/clock.h"
#include "core/core_priv.h"

#define USERS  "auth/userpass/users/"
#define LOGIN  "auth/userpass/login/"
#define RIGHT  "{\"password\":\"p\"}"
#define WRONG  "{\"password\":\"q\"}"
#define SECOND ((int64_t)1000000000)

static int64_t shift_ns;

static int64_t shifted_now(void *arg)
{
    struct timespec now;
    (void)arg;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec + shift_ns;
}

static int64_t plain_mono(void *arg)
{
    struct timespec now;
    (void)arg;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static struct ck *start(void)
{
    static const struct mln_clock clock = {.now_ns = shifted_now, .mono_ns = plain_mono};
    shift_ns = 0;
    mln_clock_use(&clock);
    struct ck *k = ck_new();
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass",
                       "{\"type\":\"userpass\",\"config\":{\"user_lockout_config\":{\"lockout_threshold\":\"2\"}}}"),
            204);
    CK_WANT(k, ck_call(k, "root", "write", USERS "alice", RIGHT), 204);
    return k;
}

static void stop(struct ck **k)
{
    ck_drop(k);
    mln_clock_use(NULL);
}
#define LOCKOUT(k) MLN_AUTO(stop) struct ck *k = start()

static void fail_twice(struct ck *k, const char *path)
{
    CK_WANT(k, ck_call(k, NULL, "write", path, WRONG), 400);
    CK_WANT(k, ck_call(k, NULL, "write", path, WRONG), 400);
}

static int64_t total(struct ck *k)
{
    CK_WANT(k, ck_call(k, "root", "read", "sys/locked-users", NULL), 200);
    return mln_get_int(mln_get(mln_get(k->answer, "data"), "total"), -1);
}

static void test_locked(void **state)
{
    (void)state;
    LOCKOUT(k);
    assert_int_equal(total(k), 0);
    fail_twice(k, LOGIN "alice");
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 403);
    assert_string_equal(ck_error(k), "permission denied");
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "ALICE", WRONG), 403);
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "bob", WRONG), 400); /* others are not */
    assert_int_equal(total(k), 1);
    mln_core_close(k->core);
    ck_open(k); /* a restart ends no lock */
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 403);
    shift_ns = 901 * SECOND;
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
    assert_int_equal(total(k), 0);
}

/* Who is not there is locked as well, or it would tell who is. */
static void test_nobody(void **state)
{
    (void)state;
    LOCKOUT(k);
    fail_twice(k, LOGIN "nobody");
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "nobody", WRONG), 403);
}

static void test_counting(void **state)
{
    (void)state;
    LOCKOUT(k);
    for (int i = 0; i < 3; i++) { /* a success in between begins anew */
        CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", WRONG), 400);
        CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
    }
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", WRONG), 400);
    shift_ns = 901 * SECOND; /* so does a pause */
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", WRONG), 400);
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", "{}"), 400); /* nothing was tried */
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", "{}"), 400);
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
}

static void test_unlock(void **state)
{
    (void)state;
    LOCKOUT(k);
    char path[128];
    fail_twice(k, LOGIN "alice");
    assert_int_equal(total(k), 1);
    const struct mln_value *space = mln_item(mln_get(mln_get(k->answer, "data"), "by_namespace"), 0);
    const struct mln_value *mount = mln_item(mln_get(space, "mount_accessors"), 0);
    assert_true(mln_is_text(mln_item(mln_get(mount, "alias_identifiers"), 0), "alice"));
    const char *accessor = mln_get_text(&k->cx, mln_get(mount, "mount_accessor"), "");
    (void)snprintf(path, sizeof(path), "sys/locked-users/%s/unlock/alice", accessor);
    CK_WANT(k, ck_call(k, NULL, "write", path, NULL), 403);
    CK_WANT(k, ck_call(k, "root", "write", "sys/locked-users/nosuch/unlock/alice", NULL), 400);
    CK_WANT(k, ck_call(k, "root", "write", path, NULL), 204);
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
}

static void test_settings(void **state)
{
    (void)state;
    LOCKOUT(k);
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass/tune", "{\"user_lockout_config\":{\"lockout_disable\":true}}"), 204);
    fail_twice(k, LOGIN "alice");
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass/tune",
                       "{\"user_lockout_config\":{\"lockout_threshold\":2,\"lockout_duration\":\"1m\"}}"),
            204);
    fail_twice(k, LOGIN "alice");
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 403);
    shift_ns = 61 * SECOND;
    mln_core_tick(&k->cx, k->core); /* sweeps */
    assert_int_equal(total(k), 0);
    CK_WANT(k, ck_call(k, NULL, "write", LOGIN "alice", RIGHT), 200);
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass/tune", "{\"user_lockout_config\":{\"lockout_duration\":\"-1m\"}}"), 400);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/secret/tune", "{\"user_lockout_config\":{}}"), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_locked), cmocka_unit_test(test_nobody),   cmocka_unit_test(test_counting),
        cmocka_unit_test(test_unlock), cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
