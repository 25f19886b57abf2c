/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Front, rings and a core of a few lines in one process, to be loaded from outside (wrk, curl,
 * http_strict.py):
 *   bench_front PORT SECONDS [threads N] [tls] [pin] [open]
 * Prints what a request cost in CPU time over all threads. `open` leaves the sandbox out. SECONDS 0
 * = until killed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "../test/unit/net/fake_core.h"
#include "api/vault.h"

static int listen_on(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 1024) != 0) {
        perror("listen");
        return -1;
    }
    return fd;
}

static void *front_main(void *arg)
{
    static int code;
    code = mln_front_main(arg);
    return &code;
}

static bool has_word(char **argv, const char *word)
{
    for (; *argv != NULL; argv++) {
        if (strcmp(*argv, word) == 0) {
            return true;
        }
    }
    return false;
}

static unsigned threads_of(char **argv)
{
    uint64_t n = 1;
    for (; *argv != NULL; argv++) {
        if (strcmp(*argv, "threads") == 0 && argv[1] != NULL) {
            (void)mln_u64_parse(mln_bytes_of(argv[1]), &n);
        }
    }
    return n >= 1 && n <= FAKE_RINGS_MAX ? (unsigned)n : 1;
}

static void report(const struct fake_core *core, int64_t seconds)
{
    unsigned before = atomic_load(&core->requests);
    int64_t cpu = mln_cpu_ns();
    mln_sleep_ns(seconds * 1000000000);
    unsigned n = atomic_load(&core->requests) - before;
    cpu = mln_cpu_ns() - cpu;
    printf("%u requests, %.0f a second, %.2f us of CPU each\n", n, (double)n / (double)seconds,
           n > 0 ? (double)cpu / 1000.0 / n : 0.0);
}

int main(int argc, char **argv)
{
    static struct fake_core core;
    uint64_t port = 0, seconds = 0;
    if (argc < 3 || !mln_u64_parse(mln_bytes_of(argv[1]), &port) || port > 65535 ||
        !mln_u64_parse(mln_bytes_of(argv[2]), &seconds)) {
        fprintf(stderr, "usage: bench_front PORT SECONDS [threads N] [tls] [pin] [open]\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    struct mln_buf cert = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    fake_core_prepare(&core, threads_of(argv));
    fake_core_run(&core);
    struct mln_front_listener listener = {.fd = listen_on((uint16_t)port),
                                          .is_tls = has_word(argv, "tls")};
    if (listener.fd < 0 || mln_failed(mln_dev_certificate(&cx, core.scalar, "localhost", &cert))) {
        return 1;
    }
    listener.cert_pem = mln_buf_bytes(&cert);
    struct mln_front_config config = {
        .rings = core.fds,
        .n_rings = core.n_rings,
        .listeners = &listener,
        .n_listeners = 1,
        .api = has_word(argv, "echo") ? &fake_api : &mln_vault_api,
        .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .state_fd = dup(1),
        .pin = has_word(argv, "pin"),
        .no_sandbox = has_word(argv, "open"),
    };
    pthread_t thread;
    if (pthread_create(&thread, NULL, front_main, &config) != 0) {
        return 1;
    }
    if (seconds == 0) {
        (void)pause();
    }
    report(&core, (int64_t)seconds);
    uint64_t one = 1;
    (void)!write(config.stop_fd, &one, sizeof(one));
    void *code = NULL;
    (void)pthread_join(thread, &code);
    fake_core_stop(&core);
    mln_buf_drop(&cert);
    return *(int *)code;
}
