/* SPDX-License-Identifier: Apache-2.0 */
/* See rego_signer.h. Messages: u32 length, then CBOR; answers: u32 length, then the signature, 0 for a refusal. */
#include "main/rego_signer.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/io.h"
#include "main/main_priv.h"

#define MESSAGE_MAX 512u /* a SIGN: a hash or some 140 bytes, and names */
#define SIG_MAX     1024u /* RSA of 4096 bits: 512 */
#define ARENA_BYTES ((size_t)64 << 10)

static bool read_all(int fd, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, to, n);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        to += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* A frame into buf; false: the other side is gone or breaks the form. */
static bool receive(int fd, size_t max, struct mln_buf *buf)
{
    uint8_t head[4];
    mln_buf_clear(buf);
    if (!read_all(fd, head, sizeof(head)) || mln_get_u32be(head) > max || !mln_buf_reserve(buf, mln_get_u32be(head) + 1)) {
        return false;
    }
    buf->len = mln_get_u32be(head);
    return read_all(fd, buf->ptr, buf->len);
}

static bool transmit(int fd, struct mln_bytes body)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_buf_add_u32be(&out, (uint32_t)body.len);
    mln_buf_add_bytes(&out, body);
    return !out.has_failed && send(fd, out.ptr, out.len, MSG_NOSIGNAL) == (ssize_t)out.len;
}

/* ---- the process ---- */

static bool answer_one(int fd, const struct mln_secret *key)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0}, input = {0}, sig = {.max = SIG_MAX};
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(ARENA_BYTES, false);
    const struct mln_value *v = NULL;
    enum mln_tls_how how = MLN_TLS_ECDSA;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (arena == NULL || !receive(fd, MESSAGE_MAX, &message)) {
        return false;
    }
    bool ok = !mln_failed(mln_cbor_parse(&cx, mln_buf_bytes(&message), &v)) &&
              !mln_failed(mln_tls_sign_input(&cx, v, &input, &how)) &&
              !mln_failed(tls_key_sign(&cx, key, how, mln_buf_bytes(&input), &sig));
    return transmit(fd, ok ? mln_buf_bytes(&sig) : MLN_BYTES_NONE);
}

static void serve(const struct mln_secret *key, const int *fds, unsigned n)
{
    struct pollfd list[REGO_SIGNER_THREADS_MAX];
    for (unsigned i = 0; i < n; i++) {
        list[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    for (unsigned left = n; left > 0;) {
        if (poll(list, n, -1) < 0 && errno != EINTR) {
            return;
        }
        for (unsigned i = 0; i < n; i++) {
            if (list[i].fd >= 0 && list[i].revents != 0 && !answer_one(list[i].fd, key)) {
                list[i].fd = -1; /* that thread is gone */
                left--;
            }
        }
    }
}

static void child(const struct mln_secret *key, const int *fds, unsigned n, pid_t parent)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    name_process("merlon-signer");
    if (!die_with_parent(parent) || mln_failed(drop_root(&cx))) {
        _exit(1);
    }
    harden_process();
    if (!die_with_parent(parent)) { /* asked for again: another user's process lost it */
        _exit(1);
    }
    serve(key, fds, n);
    _exit(0);
}

struct mln_err rego_signer_start(struct mln_cx *cx, const char *key_file, struct mln_bytes cert_pem, unsigned threads,
                                 struct rego_signer *ret)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    int theirs[REGO_SIGNER_THREADS_MAX];
    MLN_CHECK(threads <= REGO_SIGNER_THREADS_MAX);
    MLN_TRY(tls_key_load(cx, key_file, &key));
    MLN_TRY(tls_key_fits(cx, &key, cert_pem));
    for (unsigned i = 0; i < threads; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
            return mln_fail(cx, MLN_E_IO, "no sockets for the signer (errno %d)", errno);
        }
        ret->fds[i] = pair[0];
        theirs[i] = pair[1];
    }
    ret->n = threads;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        return mln_fail(cx, MLN_E_IO, "the signer cannot be started (errno %d)", errno);
    }
    if (pid == 0) {
        for (unsigned i = 0; i < threads; i++) {
            (void)close(ret->fds[i]);
        }
        child(&key, theirs, threads, parent);
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)close(theirs[i]);
    }
    return MLN_OK;
}

/* ---- front's side ---- */

struct mln_err rego_signer_sign(void *arg, unsigned thread, struct mln_cx *cx, const struct mln_value *message, struct mln_buf *sig)
{
    const struct rego_signer *signer = arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = MESSAGE_MAX}, answer = {0};
    MLN_CHECK(thread < signer->n);
    mln_cbor_print(&text, message);
    MLN_TRY(mln_buf_ok(cx, &text));
    if (!transmit(signer->fds[thread], mln_buf_bytes(&text)) || !receive(signer->fds[thread], SIG_MAX, &answer)) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "the signer is gone");
    }
    mln_buf_add_bytes(sig, mln_buf_bytes(&answer));
    return answer.len > 0 ? MLN_OK : mln_fail(cx, MLN_E_CRYPTO, "the signer refuses");
}
