/* SPDX-License-Identifier: Apache-2.0 */
/* Monitor's part of the workload socket: who connected goes to the attest process, the connection to front; messages between all. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "kit/kit.h"
#include "main/attest_wire.c"
#include "main/control.c"
#include "main/peers.c"
#include "main/workload_socket.c"

struct pk {
    char dir[64], path[96];
    struct mln_arena *arena;
    struct mln_cx cx;
    int listener, link[2], attest[2];
    struct peers *peers;
};

static struct pk *pk_start(void)
{
    struct pk *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    mln_log_setup("test", MLN_LOG_ERROR, MLN_LOG_TEXT);
    (void)snprintf(k->dir, sizeof(k->dir), "/tmp/mln-peers-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->path, sizeof(k->path), "%s/w/api.sock", k->dir);
    k->arena = mln_arena_new(1u << 20, false);
    mln_cx_init(&k->cx, k->arena);
    assert_false(mln_failed(workload_socket_open(&k->cx, k->path, &k->listener)));
    assert_false(mln_failed(mln_peer_link_pair(&k->cx, k->link)));
    assert_false(mln_failed(control_pair(&k->cx, k->attest)));
    k->peers = peers_new(k->listener);
    peers_set_front(k->peers, k->link[0]);
    peers_set_attest(k->peers, k->attest[0]);
    return k;
}

static void pk_stop(struct pk **at)
{
    struct pk *k = *at;
    char command[128];
    peers_free(k->peers);
    workload_socket_close(k->path, &k->listener);
    for (int i = 0; i < 2; i++) {
        mln_fd_drop(&k->link[i]);
        mln_fd_drop(&k->attest[i]);
    }
    mln_arena_free(k->arena);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", k->dir);
    assert_int_equal(system(command), 0);
    free(k);
}
#define PEERS(k) MLN_AUTO(pk_stop) struct pk *k = pk_start()

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static bool is_readable(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, 0) == 1;
}

static struct attest_ask hear(struct pk *k, int *ret_pidfd)
{
    struct attest_ask ask = {0};
    assert_true(is_readable(k->attest[1]));
    assert_false(mln_failed(attest_ask_receive(&k->cx, k->attest[1], &ask, ret_pidfd)));
    return ask;
}

static void test_a_connection_goes_its_ways(void **state)
{
    (void)state;
    PEERS(k);
    MLN_AUTO(mln_fd_drop) int client = dial(k->path);
    (void)peers_step(k->peers, &k->cx);
    MLN_AUTO(mln_fd_drop) int pidfd = -1;
    struct attest_ask ask = hear(k, &pidfd);
    assert_int_equal(ask.kind, ATTEST_NEW);
    assert_int_equal(ask.pid, getpid());
    assert_int_equal(ask.uid, geteuid());
    assert_int_equal(ask.gid, getegid());
    assert_true(pidfd >= 0 && ask.number > 0 && ask.number <= INT64_MAX);
    uint64_t number = 0;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    assert_false(mln_failed(mln_peer_link_take(&k->cx, k->link[1], &number, &fd)));
    assert_true(number == ask.number);
    char got = 0;
    assert_int_equal(write(client, "x", 1), 1);
    assert_int_equal(read(fd, &got, 1), 1);
    assert_int_equal(got, 'x');
    mln_peer_link_tell_end(k->link[1], number);
    mln_peer_link_tell_end(k->link[1], number); /* said twice, heard once */
    mln_peer_link_tell_end(k->link[1], 12345);  /* and of nobody */
    (void)peers_step(k->peers, &k->cx);
    int none = -1;
    ask = hear(k, &none);
    assert_int_equal(ask.kind, ATTEST_END);
    assert_true(ask.number == number);
    assert_false(is_readable(k->attest[1]));
}

static void test_no_number_twice(void **state)
{
    (void)state;
    PEERS(k);
    uint64_t numbers[32];
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        int client = dial(k->path), fd = -1;
        (void)peers_step(k->peers, &k->cx);
        assert_false(mln_failed(mln_peer_link_take(&k->cx, k->link[1], &numbers[i], &fd)));
        for (size_t j = 0; j < i; j++) {
            assert_true(numbers[i] != numbers[j]);
        }
        (void)close(fd);
        (void)close(client);
    }
}

static void test_without_the_others_nobody_is_accepted(void **state)
{
    (void)state;
    PEERS(k);
    peers_set_attest(k->peers, -1);
    MLN_AUTO(mln_fd_drop) int client = dial(k->path);
    assert_true(client >= 0);
    (void)peers_step(k->peers, &k->cx);
    assert_int_equal(peers_listener(k->peers), -1);
    assert_false(is_readable(k->link[1]));
    peers_set_attest(k->peers, k->attest[0]);
    (void)peers_step(k->peers, &k->cx);
    assert_true(is_readable(k->link[1]));
}

/* A new attest process hears of what stands; a new front has none of it. */
static void test_the_others_start_again(void **state)
{
    (void)state;
    PEERS(k);
    MLN_AUTO(mln_fd_drop) int one = dial(k->path);
    MLN_AUTO(mln_fd_drop) int two = dial(k->path);
    int second[2];
    assert_true(one >= 0 && two >= 0);
    (void)peers_step(k->peers, &k->cx);
    assert_false(mln_failed(control_pair(&k->cx, second)));
    peers_set_attest(k->peers, second[0]);
    mln_fd_drop(&k->attest[0]);
    mln_fd_drop(&k->attest[1]);
    k->attest[0] = second[0];
    k->attest[1] = second[1];
    while (peers_step(k->peers, &k->cx)) {
    }
    for (unsigned i = 0; i < 2; i++) {
        MLN_AUTO(mln_fd_drop) int pidfd = -1;
        assert_int_equal(hear(k, &pidfd).kind, ATTEST_NEW);
        assert_true(pidfd >= 0);
    }
    assert_false(is_readable(k->attest[1]));
    peers_set_front(k->peers, -1);
    for (unsigned i = 0; i < 2; i++) {
        int none = -1;
        assert_int_equal(hear(k, &none).kind, ATTEST_END);
    }
}

/* More than the attest process takes at once: no end is lost, nobody waits. */
static void test_a_slow_attest_process(void **state)
{
    (void)state;
    PEERS(k);
    enum { MANY = 600 };
    static int clients[MANY];
    unsigned news = 0, ends = 0, taken = 0;
    uint64_t number = 0;
    for (unsigned i = 0; i < MANY; i++) {
        int fd = -1;
        clients[i] = dial(k->path);
        (void)peers_step(k->peers, &k->cx);
        if (!mln_failed(mln_peer_link_take(&k->cx, k->link[1], &number, &fd))) {
            taken++;
            (void)close(fd);
            mln_peer_link_tell_end(k->link[1], number); /* at once */
        }
        mln_cx_clear(&k->cx);
    }
    for (unsigned i = 0; i < 10000 && (taken < MANY || ends < news); i++) {
        (void)peers_step(k->peers, &k->cx);
        while (is_readable(k->attest[1])) {
            MLN_AUTO(mln_fd_drop) int pidfd = -1;
            struct attest_ask ask = hear(k, &pidfd);
            news += ask.kind == ATTEST_NEW ? 1 : 0;
            ends += ask.kind == ATTEST_END ? 1 : 0;
        }
        int fd = -1;
        while (!mln_failed(mln_peer_link_take(&k->cx, k->link[1], &number, &fd))) {
            taken++;
            (void)close(fd);
            mln_peer_link_tell_end(k->link[1], number);
        }
        mln_cx_clear(&k->cx);
        (void)usleep(1000);
    }
    assert_int_equal(taken, MANY);
    assert_int_equal(news, MANY);
    assert_int_equal(ends, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        (void)close(clients[i]);
    }
}

/* One user's flood is refused, and what stands stays. */
static void test_a_rate_for_each_user(void **state)
{
    (void)state;
    PEERS(k);
    unsigned taken = 0, refused = 0;
    for (unsigned i = 0; i < 6000; i++) {
        uint64_t number = 0;
        int client = dial(k->path), fd = -1, pidfd = -1;
        struct attest_ask ask;
        (void)peers_step(k->peers, &k->cx);
        bool is_taken = !mln_failed(mln_peer_link_take(&k->cx, k->link[1], &number, &fd));
        taken += is_taken ? 1 : 0;
        refused += is_taken ? 0 : 1;
        while (is_readable(k->attest[1])) {
            assert_false(mln_failed(attest_ask_receive(&k->cx, k->attest[1], &ask, &pidfd)));
            mln_fd_drop(&pidfd);
        }
        if (is_taken) {
            mln_peer_link_tell_end(k->link[1], number);
            (void)close(fd);
        }
        (void)close(client);
        mln_cx_clear(&k->cx);
    }
    if (refused > 0) { /* a slow machine never gets there */
        assert_true(taken >= 4000);
    }
    assert_true(taken >= 4000);
}

/* ---- messages ---- */

static void test_selectors_over_the_socket(void **state)
{
    (void)state;
    PEERS(k);
    static struct attest_tell tell, got;
    struct mln_value *selectors = mln_array(&k->cx);
    mln_push_text(&k->cx, selectors, "unix:uid:1");
    mln_push_text(&k->cx, selectors, "unix:path:/x");
    tell = (struct attest_tell){.kind = ATTEST_FOUND, .number = 9, .pid = 3, .uid = 1, .gid = 2};
    assert_false(mln_failed(attest_tell_fill(&k->cx, selectors, &tell)));
    assert_false(mln_failed(attest_tell_send(&k->cx, k->attest[0], &tell)));
    assert_false(mln_failed(attest_tell_receive(&k->cx, k->attest[1], &got)));
    assert_int_equal(got.n, 2);
    assert_memory_equal(got.bytes, "unix:uid:1\0unix:path:/x", 24);
    mln_fd_drop(&k->attest[0]);
    assert_true(mln_is(attest_tell_receive(&k->cx, k->attest[1], &got), MLN_E_UNREACHABLE));
    struct mln_value *many = mln_array(&k->cx);
    char *large = mln_new(&k->cx, 1000);
    memset(large, 'a', 999);
    for (unsigned i = 0; i < 40; i++) {
        mln_push_text(&k->cx, many, large);
    }
    assert_true(mln_is(attest_tell_fill(&k->cx, many, &tell), MLN_E_TOO_LARGE));
}

/* What no attest process of ours would send. */
static void test_messages_that_are_refused(void **state)
{
    (void)state;
    PEERS(k);
    static struct attest_tell tell, got;
    static const struct {
        uint32_t n_bytes;
        size_t sent;
    } rows[] = {{0, 3}, {5, sizeof(tell) - sizeof(tell.bytes)}, {40000, sizeof(tell)}, {0, sizeof(tell)}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        tell = (struct attest_tell){.kind = ATTEST_FOUND, .n_bytes = rows[i].n_bytes};
        mln_cx_clear(&k->cx);
        assert_int_equal(send(k->attest[0], &tell, rows[i].sent, 0), rows[i].sent);
        struct mln_err err = attest_tell_receive(&k->cx, k->attest[1], &got);
        if (!mln_is(err, MLN_E_INVALID)) {
            fail_msg("row %zu: %s", i, mln_err_name(err.code));
        }
    }
    struct attest_ask ask = {.kind = 7};
    int pidfd = -1;
    assert_int_equal(send(k->attest[0], &ask, sizeof(ask), 0), sizeof(ask));
    assert_true(mln_is(attest_ask_receive(&k->cx, k->attest[1], &ask, &pidfd), MLN_E_INVALID));
    assert_int_equal(send(k->attest[0], &ask, 4, 0), 4);
    assert_true(mln_is(attest_ask_receive(&k->cx, k->attest[1], &ask, &pidfd), MLN_E_INVALID));
    static const struct {
        uint32_t kind, n;
        const char *bytes;
        uint32_t n_bytes;
    } bad[] = {
        {99, 0, "", 0},
        {ATTEST_FOUND, 1, "a:b", 3},        /* no NUL at its end */
        {ATTEST_FOUND, 2, "a:b", 4},        /* one less than it says */
        {ATTEST_FOUND, 1, "a:b\0c:d", 8},   /* one more */
        {ATTEST_FOUND, 1, "a:\xff", 4},
        {ATTEST_FOUND, 4000, "", 0},
    };
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        tell = (struct attest_tell){.kind = bad[i].kind, .n = bad[i].n, .n_bytes = bad[i].n_bytes, .number = 4};
        memcpy(tell.bytes, bad[i].bytes, bad[i].n_bytes);
        mln_cx_clear(&k->cx);
        struct mln_err err = attest_tell_take(&k->cx, NULL, &tell);
        if (!mln_is(err, MLN_E_INVALID)) {
            fail_msg("bad %zu: %s", i, mln_err_name(err.code));
        }
    }
    uint64_t number = 0;
    int fd = -1;
    assert_int_equal(send(k->link[0], &number, sizeof(number), 0), sizeof(number)); /* no socket beside it, and zero */
    assert_true(mln_is(mln_peer_link_take(&k->cx, k->link[1], &number, &fd), MLN_E_INVALID));
    number = 5;
    assert_int_equal(send(k->link[0], &number, sizeof(number), 0), sizeof(number));
    assert_true(mln_is(mln_peer_link_take(&k->cx, k->link[1], &number, &fd), MLN_E_INVALID));
    assert_true(mln_is(mln_peer_link_take(&k->cx, k->link[1], &number, &fd), MLN_E_NOT_FOUND));
}

/* ---- the socket's place ---- */

static void test_where_the_socket_may_stand(void **state)
{
    (void)state;
    PEERS(k);
    struct stat st;
    assert_int_equal(stat(k->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0777);
    (void)snprintf(k->path, sizeof(k->path), "%s/w", k->dir);
    assert_int_equal(stat(k->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    static const struct {
        const char *command, *path;
        enum mln_code code;
    } rows[] = {
        {"true", "w/api.sock", MLN_E_EXISTS}, /* ours answers */
        {"true", "new/deep/api.sock", MLN_E_OK},
        {"touch plain", "plain", MLN_E_EXISTS},
        {"mkdir folder", "folder", MLN_E_EXISTS},
        {"mkdir open; chmod 777 open", "open/api.sock", MLN_E_DENIED},
        {"mkdir sticky; chmod 1777 sticky", "sticky/api.sock", MLN_E_OK},
        {"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"dead\")'", "dead", MLN_E_OK}, /* nobody answers */
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        char command[256];
        int fd = -1;
        (void)snprintf(command, sizeof(command), "cd '%s' && umask 022 && { %s; }", k->dir, rows[i].command);
        assert_int_equal(system(command), 0);
        mln_cx_clear(&k->cx);
        const char *path = mln_text_format(&k->cx, "%s/%s", k->dir, rows[i].path);
        struct mln_err err = workload_socket_open(&k->cx, path, &fd);
        if (!mln_is(err, rows[i].code)) {
            fail_msg("row %zu: %s %s", i, mln_err_name(err.code), k->cx.text);
        }
        if (!mln_failed(err)) {
            (void)close(dial(path));
            workload_socket_close(path, &fd);
            assert_int_not_equal(access(path, F_OK), 0);
        }
    }
    int fd = -1;
    mln_cx_clear(&k->cx);
    assert_true(mln_is(workload_socket_open(&k->cx, "relative.sock", &fd), MLN_E_INVALID));
    char *large = mln_new(&k->cx, 200);
    memset(large, '/', 150);
    mln_cx_clear(&k->cx);
    assert_true(mln_is(workload_socket_open(&k->cx, large, &fd), MLN_E_INVALID));
    (void)snprintf(k->path, sizeof(k->path), "%s/w/api.sock", k->dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_goes_its_ways),
        cmocka_unit_test(test_no_number_twice),
        cmocka_unit_test(test_without_the_others_nobody_is_accepted),
        cmocka_unit_test(test_the_others_start_again),
        cmocka_unit_test(test_a_slow_attest_process),
        cmocka_unit_test(test_a_rate_for_each_user),
        cmocka_unit_test(test_selectors_over_the_socket),
        cmocka_unit_test(test_messages_that_are_refused),
        cmocka_unit_test(test_where_the_socket_may_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
