/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"

static void test_kinds(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    mln_secret_allow_unlocked(true);
    MLN_AUTO(mln_secret_drop) struct mln_secret zero = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret copy = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret drawn = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret none = {0};
    kit_ok(cx, mln_secret_new(cx, 32, &zero));
    kit_ok(cx, mln_secret_from(cx, MLN_BYTES("hello"), &copy));
    kit_ok(cx, mln_secret_random(cx, 32, &drawn));
    kit_ok(cx, mln_secret_new(cx, 0, &none));
    static const uint8_t zeros[32];
    assert_memory_equal(zero.ptr, zeros, 32);
    kit_text(mln_secret_bytes(&copy), "hello");
    assert_memory_not_equal(drawn.ptr, zeros, 32);
    assert_int_equal(none.len, 0);
    mln_secret_drop(&copy);
    assert_true(copy.ptr == NULL && copy.len == 0);
    mln_secret_drop(&copy);
    mln_secret_allow_unlocked(false);
}

static struct mln_err make(struct mln_cx *cx, void *arg)
{
    (void)arg;
    MLN_AUTO(mln_secret_drop) struct mln_secret a = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret b = {0};
    MLN_TRY(mln_secret_from(cx, MLN_BYTES("x"), &a));
    return mln_secret_random(cx, 8, &b);
}

static void test_faults(void **state)
{
    (void)state;
    mln_secret_allow_unlocked(true);
    assert_int_equal(mln_each_fault(MLN_FAULT_ALLOC, make, NULL), 4);
    mln_secret_allow_unlocked(false);
}

static int run_child(int (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        _exit(body());
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Nothing can be locked: refused with the remedy, unless allowed. Root may lock anyway, so it gives that right up. */
static int with_no_lock_limit(void)
{
    struct rlimit none = {0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)) {
        return 10;
    }
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    struct mln_secret s = {0};
    if (!mln_is(mln_secret_new(&cx, 32, &s), MLN_E_MEMORY) || s.ptr != NULL) {
        return 11;
    }
    if (strstr(cx.text, "RLIMIT_MEMLOCK is 0") == NULL || strstr(cx.text, "--no-mlock") == NULL) {
        return 12;
    }
    if (mln_arena_new((size_t)1 << 20, true) != NULL) {
        return 13;
    }
    mln_secret_allow_unlocked(true);
    mln_cx_clear(&cx);
    if (mln_failed(mln_secret_new(&cx, 32, &s))) {
        return 14;
    }
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, true);
    if (arena == NULL) {
        return 15;
    }
    mln_arena_free(arena);
    mln_secret_drop(&s);
    return 0;
}

static void test_no_lock_limit(void **state)
{
    (void)state;
#ifdef MLN_SANITIZED
    skip(); /* the sanitizers' mlock always says yes */
#endif
    assert_int_equal(run_child(with_no_lock_limit), 0);
}

static int write_outside(void)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    struct mln_secret s = {0};
    mln_secret_allow_unlocked(true);
    if (mln_failed(mln_secret_new(&cx, 32, &s))) {
        return 10;
    }
    (void)close(STDERR_FILENO); /* the sanitizer's report of what is meant to happen */
    volatile uint8_t *p = s.ptr;
    p[32] = 1;
    return 0;
}

/* One byte too many hits the guard page: the child dies or its sanitizer ends it. */
static void test_guard_page(void **state)
{
    (void)state;
    assert_int_not_equal(run_child(write_outside), 0);
}

static int harden(void)
{
    mln_process_harden(false);
    struct rlimit core;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return 10;
    }
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0) {
        return 11;
    }
    return umask(077) == 077 ? 0 : 12;
}

static int harden_for_tests(void)
{
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    mln_process_harden(true);
    bool is_right = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    return is_right && umask(077) == 077 ? 0 : 10;
}

static void test_harden(void **state)
{
    (void)state;
    assert_int_equal(run_child(harden), 0);
    assert_int_equal(run_child(harden_for_tests), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_kinds),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_no_lock_limit),
        cmocka_unit_test(test_guard_page),
        cmocka_unit_test(test_harden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
