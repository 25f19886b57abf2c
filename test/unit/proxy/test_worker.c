/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of connections in a worker's epoll: whose are gone are heard of no more, whoever else has their descriptor. */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kit/kit.h"
#include "proxy/relay_priv.h"

static void test_end_that_another_has_too(void **state)
{
    (void)state;
    int pair[2];
    struct epoll_event event;
    struct worker worker = {.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    struct end end = {.fd = -1}, none = {.fd = -1};
    assert_true(worker.epoll_fd >= 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int theirs = dup(pair[0]); /* as monitor has it until it closes its own */
    assert_true(theirs >= 0);
    end.fd = pair[0];
    assert_true(worker_watch(&worker, &end));
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(epoll_wait(worker.epoll_fd, &event, 1, 1000), 1);
    assert_ptr_equal(event.data.ptr, &end);
    worker_close(&worker, &end);
    assert_int_equal(end.fd, -1);
    assert_int_equal(write(pair[1], "y", 1), 1);
    assert_int_equal(epoll_wait(worker.epoll_fd, &event, 1, 0), 0);
    worker_close(&worker, &end); /* again, and one that never was */
    worker_close(&worker, &none);
    (void)close(theirs);
    (void)close(pair[1]);
    (void)close(worker.epoll_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_end_that_another_has_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
