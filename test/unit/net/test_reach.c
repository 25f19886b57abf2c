/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outbound calls: which URLs, places and addresses are taken; a real reach process in its sandbox against a small HTTP server of
 * the test; what the caller hears when reach refuses, hangs or dies.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/kit.h"

#include "net/reach.h"
#include "net/reach_priv.h"

static void test_urls(void **state)
{
    static const struct {
        const char *url, *target; /* NULL: refused */
    } t[] = {
        {"https://example.org", "example.org:443"},
        {"http://example.org:8080/a?b#c", "example.org:8080"},
        {"HTTPS://[::1]:8200/x", "[::1]:8200"},
        {"ldap://dir.example.org", "dir.example.org:389"},
        {"ldaps://[fe80::1]", "[fe80::1]:636"},
        {"http://h?x@y", "h:80"},
        {"", NULL},
        {"example.org", NULL},
        {"file:///etc/passwd", NULL},
        {"gopher://example.org", NULL},
        {"http://", NULL},
        {"http://user:pass@example.org", NULL},
        {"http://exa mple.org", NULL},
        {"http://example.org:0", NULL},
        {"http://example.org:65536", NULL},
        {"http://example.org:80x", NULL},
        {"http://example.org:", NULL},
        {"http://example.org\\@evil.org", NULL},
        {"http://example.org/\r\nX: y", NULL},
        {"http://[::1", NULL},
        {"http://[::1]x:80", NULL},
        {"http://[]", NULL},
        {"http://b\303\274cher.example", NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_value *ask = mln_object(cx);
        const char *target = NULL;
        mln_put_text(cx, ask, "url", t[i].url);
        if (t[i].target == NULL) {
            kit_expect(cx, t[i].url, mln_reach_target(cx, ask, &target), MLN_E_INVALID);
        } else {
            kit_ok(cx, mln_reach_target(cx, ask, &target));
            assert_string_equal(target, t[i].target);
        }
    }
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern;
        bool is_good;
    } t[] = {
        {"example.org:443", true}, {"*.example.org:443", true}, {"*:443", true},      {"h:*", true},
        {"[::1]:8200", true},      {"127.0.0.1:*", true},       {"example.org", false}, {":443", false},
        {"a*b:443", false},        {"*.:443", false},           {"h:0", false},       {"h:65536", false},
        {"h:x", false},            {"h h:1", false},            {"", false},          {"[::1:80", false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        kit_expect(cx, t[i].pattern, mln_reach_pattern_check(cx, mln_bytes_of(t[i].pattern)),
                   t[i].is_good ? MLN_E_OK : MLN_E_INVALID);
    }
}

static void test_allows(void **state)
{
    static const struct {
        const char *pattern, *target;
        bool fits;
    } t[] = {
        {"example.org:443", "example.org:443", true},   {"example.org:443", "EXAMPLE.org:443", true},
        {"example.org:443", "example.org:80", false},   {"example.org:443", "xexample.org:443", false},
        {"*.example.org:443", "a.example.org:443", true}, {"*.example.org:443", "a.b.example.org:443", true},
        {"*.example.org:443", "example.org:443", false}, {"*.example.org:443", "aexample.org:443", false},
        {"*.example.org:443", ".example.org:443", false}, {"*:443", "anything:443", true},
        {"h:*", "h:1", true},                           {"[::1]:8200", "[::1]:8200", true},
        {"[::1]:8200", "[::2]:8200", false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_value *list = mln_array(cx);
        mln_push_text(cx, list, t[i].pattern);
        if (mln_reach_allows(list, mln_bytes_of(t[i].target)) != t[i].fits) {
            fail_msg("%s and %s", t[i].pattern, t[i].target);
        }
    }
    assert_true(mln_reach_allows(NULL, MLN_BYTES("a:1")));
    assert_false(mln_reach_allows(mln_array(cx), MLN_BYTES("a:1")));
}

static void test_addresses(void **state)
{
    static const struct {
        const char *address;
        bool is_allowed;
    } t[] = {
        {"127.0.0.1", true},     {"10.0.0.1", true},          {"169.254.169.254", false}, {"169.254.0.1", false},
        {"169.253.0.1", true},   {"100.100.100.200", false},  {"168.63.129.16", false},   {"::1", true},
        {"fe80::1", false},      {"febf::1", false},          {"fec0::1", true},          {"::ffff:169.254.169.254", false},
        {"::169.254.1.1", false}, {"64:ff9b::a9fe:a9fe", false}, {"2002:a9fe:a9fe::1", false}, {"fd00:ec2::254", false},
        {"2001:db8::1", true},
    };
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *list = mln_array(cx);
    mln_push_text(cx, list, "169.254.169.254:80");
    mln_push_text(cx, list, "*:443");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct sockaddr_storage s = {0};
        struct sockaddr_in *v4 = (void *)&s;
        struct sockaddr_in6 *v6 = (void *)&s;
        bool is_v6 = strchr(t[i].address, ':') != NULL;
        s.ss_family = is_v6 ? AF_INET6 : AF_INET;
        void *to = is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr;
        assert_int_equal(inet_pton(s.ss_family, t[i].address, to), 1);
        if (mln_reach_address_allowed(NULL, (struct sockaddr *)&s) != t[i].is_allowed) {
            fail_msg("%s", t[i].address);
        }
        v4->sin_port = htons(80); /* the same place in both */
        bool is_named = strcmp(t[i].address, "169.254.169.254") == 0;
        assert_true(mln_reach_address_allowed(list, (struct sockaddr *)&s) == (t[i].is_allowed || is_named));
    }
    struct sockaddr unix_address = {.sa_family = AF_UNIX};
    assert_false(mln_reach_address_allowed(NULL, &unix_address));
}

/* ---- a reach process and something to reach ---- */

struct world {
    struct mln_cx *cx;
    struct mln_reach *reach;
    pid_t pid;
    int listener;
    unsigned port;
    pthread_t thread;
    char state[128];
    sem_t listens; /* the thread is on its way */
};

static atomic_int asked_once;
static sem_t may_answer_once;

static void answer(int fd, const char *request)
{
    static const char plain[] = "HTTP/1.1 200 OK\r\nX-Who: World\r\nContent-Length: 5\r\n\r\nhello";
    static const char here[] = "HTTP/1.1 302 Found\r\nLocation: /plain\r\nContent-Length: 0\r\n\r\n";
    static const char away[] = "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n";
    static const char meta[] = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    static const char huge[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    const char *what = strstr(request, " /here ") != NULL   ? here
                       : strstr(request, " /away ") != NULL ? away
                       : strstr(request, " /meta ") != NULL ? meta
                       : strstr(request, " /huge ") != NULL ? huge
                                                            : plain;
    if (strstr(request, " /hang ") != NULL) {
        (void)sleep(2);
    }
    if (strstr(request, " /once ") != NULL) {
        (void)atomic_fetch_add(&asked_once, 1);
        while (sem_wait(&may_answer_once) != 0) {
        }
        (void)sem_post(&may_answer_once);
    }
    if (strstr(request, " /junk ") != NULL) {
        what = "NOT HTTP AT ALL\r\n\r\n";
    }
    (void)!write(fd, what, strlen(what));
    static char block[1 << 16];
    for (int i = 0; what == huge && i < 80 && send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0; i++) {
    }
    if (strstr(request, " /echo ") != NULL) {
        (void)!write(fd, request, strlen(request));
    }
}

static void *listen_main(void *arg)
{
    struct world *w = arg;
    char request[4096];
    (void)sem_post(&w->listens);
    for (;;) {
        int fd = accept(w->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        ssize_t n = read(fd, request, sizeof(request) - 1);
        request[n > 0 ? n : 0] = 0;
        answer(fd, request);
        (void)close(fd);
    }
}

static void start_reach(struct world *w, const struct mln_value *allow)
{
    int pair[2], state[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(state), 0);
    w->pid = fork();
    if (w->pid == 0) {
        (void)close(pair[0]);
        (void)close(w->listener);
        struct mln_reach_config config = {.fd = pair[1], .state_fd = state[1], .allow = allow};
        _exit(mln_failed(mln_reach_serve(w->cx, &config)) ? 1 : 0);
    }
    (void)close(pair[1]);
    (void)close(state[1]);
    ssize_t n = read(state[0], w->state, sizeof(w->state) - 1);
    assert_true(n > 0);
    (void)close(state[0]);
    kit_ok(w->cx, mln_reach_attach(w->cx, w->reach, pair[0]));
}

static void open_world(struct world *w, struct mln_cx *cx)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    *w = (struct world){.cx = cx, .listener = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(w->listener, 16), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&a, &n), 0);
    w->port = ntohs(a.sin_port);
    /* A thread that just begins may hold the sanitizer's allocator, and a fork would keep it so in the child for ever. */
    assert_int_equal(sem_init(&w->listens, 0, 0), 0);
    assert_int_equal(pthread_create(&w->thread, NULL, listen_main, w), 0);
    while (sem_wait(&w->listens) != 0) {
    }
    kit_ok(cx, mln_reach_new(cx, &w->reach));
}

static int end_reach(struct world *w)
{
    int status = 0;
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    return status;
}

static void close_world(struct world *w)
{
    (void)shutdown(w->listener, SHUT_RDWR);
    (void)pthread_join(w->thread, NULL);
    (void)close(w->listener);
}

static struct mln_value *ask_for(struct world *w, const char *path)
{
    struct mln_value *ask = mln_object(w->cx);
    mln_put_text(w->cx, ask, "kind", "http");
    mln_put_text(w->cx, ask, "url", mln_text_format(w->cx, "http://localhost:%u%s", w->port, path));
    mln_put_int(w->cx, ask, "timeout_ms", strcmp(path, "/hang") == 0 ? 1000 : 8000);
    mln_put_int(w->cx, ask, "redirects", 3);
    return ask;
}

static void test_calls(void **state)
{
    static const struct {
        const char *path;
        enum mln_code want;
        int status;
        const char *body;
    } t[] = {
        {"/plain", MLN_E_OK, 200, "hello"},   {"/here", MLN_E_OK, 200, "hello"}, {"/away", MLN_E_OK, 302, ""},
        {"/meta", MLN_E_DENIED, 0, NULL},     {"/huge", MLN_E_TOO_LARGE, 0, NULL}, {"/junk", MLN_E_UNREACHABLE, 0, NULL},
        {"/hang", MLN_E_TIMEOUT, 0, NULL},    {"/plain", MLN_E_OK, 200, "hello"},
    };
    struct world w;
    open_world(&w, kit_cx(state));
    start_reach(&w, NULL);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *got = NULL;
        mln_cx_clear(w.cx);
        struct mln_err err = mln_reach_call(w.cx, w.reach, ask_for(&w, t[i].path), &got);
        if (err.code != (uint32_t)t[i].want) {
            fail_msg("%s: %s (%s)", t[i].path, mln_err_name(err.code), w.cx->text);
        }
        if (t[i].want == MLN_E_OK) {
            assert_int_equal(mln_get_int(mln_get(got, "status"), 0), t[i].status);
            kit_text(mln_get_bytes(mln_get(got, "body")), t[i].body);
        }
        if (i == 0) {
            kit_text(mln_get_bytes(mln_get(mln_get(got, "headers"), "x-who")), "World");
        }
    }
    mln_cx_clear(w.cx);
    mln_reach_free(w.reach);
    assert_int_equal(end_reach(&w), 0); /* it ends with its core */
    close_world(&w);
}

/* At the end of core nobody waits: not for an answer, not for a successor. */
static void test_end(void **state)
{
    struct world w;
    const struct mln_value *got = NULL;
    open_world(&w, kit_cx(state));
    start_reach(&w, NULL);
    kit_ok(w.cx, mln_reach_call(w.cx, w.reach, ask_for(&w, "/plain"), &got));
    mln_reach_end(w.reach);
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, ask_for(&w, "/hang"), &got), MLN_E_UNREACHABLE);
    mln_reach_free(w.reach);
    assert_int_equal(end_reach(&w), 0);
    close_world(&w);
}

/* The same GET asked again within its age is not asked again; another one is, and so is a failure after seconds. */
static void test_kept_answers(void **state)
{
    struct world w;
    const struct mln_value *got = NULL;
    open_world(&w, kit_cx(state));
    start_reach(&w, NULL);
    struct mln_value *ask = ask_for(&w, "/plain"), *other = ask_for(&w, "/here");
    mln_put_int(w.cx, ask, "max_age_ms", 60000);
    mln_put_int(w.cx, other, "max_age_ms", 60000);
    kit_ok(w.cx, mln_reach_call(w.cx, w.reach, ask, &got));
    assert_int_equal(kill(w.pid, SIGKILL), 0);
    (void)end_reach(&w);
    kit_ok(w.cx, mln_reach_call(w.cx, w.reach, ask, &got));
    kit_text(mln_get_bytes(mln_get(got, "body")), "hello");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, other, &got), MLN_E_UNREACHABLE);
    mln_put_int(w.cx, ask, "max_age_ms", 0);
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, ask, &got), MLN_E_UNREACHABLE);
    mln_reach_free(w.reach);
    close_world(&w);
}

/* ---- turns ---- */

static void turn(struct mln_cx *cx, struct reach_turns *turns, const char *target, const uint8_t *key, enum mln_code want,
                 struct reach_turn **ret)
{
    struct mln_err err = reach_turn_take(cx, turns, target, key, 1, ret);
    if (err.code != (uint32_t)want) {
        fail_msg("%s: %s (%s)", target, mln_err_name(err.code), cx->text);
    }
    mln_cx_clear(cx);
}

static void test_turns(void **state)
{
    static const uint8_t a[32] = {1}, b[32] = {2};
    struct mln_cx *cx = kit_cx(state);
    struct reach_turns *turns = reach_turns_new();
    struct reach_turn *all[MLN_REACH_CALLS_MAX], *more = NULL;
    assert_non_null(turns);
    turn(cx, turns, "h:1", a, MLN_E_OK, &all[0]);
    turn(cx, turns, "h:1", a, MLN_E_LIMIT, &more); /* one of a key */
    turn(cx, turns, "h:2", a, MLN_E_LIMIT, &more);
    turn(cx, turns, "h:1", b, MLN_E_OK, &all[1]);
    reach_turn_give(turns, all[0]);
    turn(cx, turns, "h:1", a, MLN_E_OK, &all[0]);
    for (unsigned i = 2; i < MLN_REACH_CALLS_OF_TARGET; i++) {
        turn(cx, turns, "h:1", NULL, MLN_E_OK, &all[i]);
    }
    turn(cx, turns, "h:1", NULL, MLN_E_LIMIT, &more); /* of a target */
    for (unsigned i = MLN_REACH_CALLS_OF_TARGET; i < MLN_REACH_CALLS_MAX; i++) {
        turn(cx, turns, mln_text_format(cx, "other%u:1", i / MLN_REACH_CALLS_OF_TARGET), NULL, MLN_E_OK, &all[i]);
    }
    turn(cx, turns, "last:1", NULL, MLN_E_LIMIT, &more); /* of all */
    reach_turn_give(turns, all[5]);
    turn(cx, turns, "last:1", NULL, MLN_E_OK, &more);
    reach_turn_give(turns, all[6]);
    reach_turns_end(turns);
    turn(cx, turns, "last:1", NULL, MLN_E_UNREACHABLE, &more);
    reach_turns_free(turns);
}

struct crowd {
    struct mln_reach *reach;
    const struct mln_value *ask;
    sem_t begun;
    atomic_int answered, limited;
};

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;
    struct mln_cx *cx = kit_cx_new();
    const struct mln_value *got = NULL;
    (void)sem_post(&crowd->begun);
    struct mln_err err = mln_reach_call(cx, crowd->reach, crowd->ask, &got);
    (void)atomic_fetch_add(mln_failed(err) ? &crowd->limited : &crowd->answered, mln_failed(err) && !mln_is(err, MLN_E_LIMIT) ? 1000 : 1);
    kit_cx_free(cx);
    return NULL;
}

/* A crowd with one question asks it once; few wait for the answer, the others are told so. */
static void test_crowd(void **state)
{
    enum { CROWD = 48 };
    struct world w;
    struct crowd crowd = {0};
    pthread_t threads[CROWD];
    open_world(&w, kit_cx(state));
    start_reach(&w, NULL);
    assert_int_equal(sem_init(&may_answer_once, 0, 0), 0);
    assert_int_equal(sem_init(&crowd.begun, 0, 0), 0);
    struct mln_value *ask = ask_for(&w, "/once");
    mln_put_int(w.cx, ask, "max_age_ms", 60000);
    crowd.reach = w.reach;
    crowd.ask = ask;
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &crowd), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        while (sem_wait(&crowd.begun) != 0) {
        }
    }
    (void)usleep(200000); /* so that they meet; right however long it takes */
    const struct mln_value *got = NULL;
    (void)sem_post(&may_answer_once);
    for (size_t i = 0; i < CROWD; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&asked_once), 1);
    assert_true(atomic_load(&crowd.answered) >= 1);
    assert_int_equal(atomic_load(&crowd.answered) + atomic_load(&crowd.limited), CROWD);
    kit_ok(w.cx, mln_reach_call(w.cx, w.reach, ask, &got)); /* and what came of it is kept */
    assert_int_equal(atomic_load(&asked_once), 1);
    mln_reach_free(w.reach);
    assert_int_equal(end_reach(&w), 0);
    close_world(&w);
}

static void test_refused_asks(void **state)
{
    struct world w;
    open_world(&w, kit_cx(state));
    struct mln_value *allow = mln_array(w.cx), *bad, *headers;
    const struct mln_value *got = NULL;
    mln_push(w.cx, allow, mln_textf(w.cx, "localhost:%u", w.port));
    start_reach(&w, allow);
    kit_ok(w.cx, mln_reach_call(w.cx, w.reach, ask_for(&w, "/plain"), &got));
    bad = ask_for(&w, "/plain");
    mln_put_text(w.cx, bad, "url", mln_text_format(w.cx, "http://127.0.0.1:%u/", w.port));
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_DENIED);
    bad = ask_for(&w, "/plain");
    mln_put_text(w.cx, bad, "method", "GET / HTTP/1.1\r\nX: y");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID);
    bad = ask_for(&w, "/plain");
    headers = mln_object(w.cx);
    mln_put_text(w.cx, headers, "X", "a\r\nY: b");
    mln_put(w.cx, bad, "headers", headers);
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID);
    bad = ask_for(&w, "/plain"); /* a server's SVID, in clear; then without authorities; then with redirects */
    mln_put_text(w.cx, bad, "spiffe_id", "spiffe://example.org/a");
    mln_put_text(w.cx, bad, "ca_pem", "x");
    mln_put_int(w.cx, bad, "redirects", 0);
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID);
    mln_put_text(w.cx, bad, "url", mln_text_format(w.cx, "https://localhost:%u/", w.port));
    mln_put_text(w.cx, bad, "ca_pem", "");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID);
    mln_put_text(w.cx, bad, "ca_pem", "x");
    mln_put_int(w.cx, bad, "redirects", 1);
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID);
    bad = ask_for(&w, "/plain");
    mln_put_text(w.cx, bad, "kind", "smtp");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_UNSUPPORTED);
    bad = ask_for(&w, "/plain");
    mln_put_text(w.cx, bad, "kind", "ldap");
    mln_put_text(w.cx, bad, "op", "bind");
    mln_put_text(w.cx, bad, "bind_dn", "cn=a");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID); /* no password */
    mln_put_text(w.cx, bad, "password", "p");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_INVALID); /* no LDAP URL */
    mln_put_text(w.cx, bad, "url", "ldap://localhost:1");
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, bad, &got), MLN_E_DENIED);
    mln_reach_free(w.reach);
    assert_int_equal(end_reach(&w), 0);
    close_world(&w);
}

static void *kill_later(void *arg)
{
    (void)usleep(200000);
    (void)kill(*(const pid_t *)arg, SIGKILL);
    return NULL;
}

/* Reach dies under a call; the next call finds its successor. */
static void test_death(void **state)
{
    struct world w;
    pthread_t killer;
    const struct mln_value *got = NULL;
    open_world(&w, kit_cx(state));
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, ask_for(&w, "/plain"), &got), MLN_E_UNREACHABLE);
    start_reach(&w, NULL);
    assert_int_equal(pthread_create(&killer, NULL, kill_later, &w.pid), 0);
    struct mln_value *hang = ask_for(&w, "/hang");
    mln_put_text(w.cx, hang, "method", "POST"); /* a GET would be asked again */
    kit_refused(w.cx, mln_reach_call(w.cx, w.reach, hang, &got), MLN_E_UNREACHABLE);
    (void)pthread_join(killer, NULL);
    assert_true(WIFSIGNALED(end_reach(&w)));
    start_reach(&w, NULL);
    kit_ok(w.cx, mln_reach_call(w.cx, w.reach, ask_for(&w, "/plain"), &got));
    assert_int_equal(mln_get_int(mln_get(got, "status"), 0), 200);
    mln_reach_free(w.reach);
    assert_int_equal(end_reach(&w), 0);
    close_world(&w);
}

/* A taken reach may not make core believe in frames that are none. */
static void test_hostile_frames(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[12];
        size_t n;
    } t[] = {
        {"too long", {0xff, 0xff, 0xff, 0xff}, 4},
        {"empty", {0, 0, 0, 0}, 4},
        {"no map", {0, 0, 0, 5, 1, 2, 3, 4, 5}, 9},
        {"no id", {0, 0, 0, 5, 0xa1, 0x62, 'i', 'e', 1}, 9},
        {"cut id", {0, 0, 0, 5, 0xa1, 0x62, 'i', 'd', 0x1b}, 9},
        {"no answer", {0, 0, 0, 5, 0xa1, 0x62, 'i', 'd', 1}, 9},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int pair[2];
        struct mln_reach *reach = NULL;
        struct mln_value *ask = mln_object(cx);
        const struct mln_value *got = NULL;
        mln_put_text(cx, ask, "url", "http://localhost");
        mln_put_int(cx, ask, "timeout_ms", 1);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        kit_ok(cx, mln_reach_new(cx, &reach));
        kit_ok(cx, mln_reach_attach(cx, reach, pair[0]));
        assert_int_equal(write(pair[1], t[i].bytes, t[i].n), (ssize_t)t[i].n);
        struct mln_err err = mln_reach_call(cx, reach, ask, &got);
        if (!mln_failed(err)) {
            fail_msg("%s", t[i].name);
        }
        mln_cx_clear(cx);
        mln_reach_free(reach);
        (void)close(pair[1]);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_urls),  KIT_TEST(test_patterns),     KIT_TEST(test_allows), KIT_TEST(test_addresses),
        KIT_TEST(test_calls), KIT_TEST(test_refused_asks), KIT_TEST(test_end), KIT_TEST(test_kept_answers), KIT_TEST(test_death),
        KIT_TEST(test_hostile_frames), KIT_TEST(test_turns), KIT_TEST(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
