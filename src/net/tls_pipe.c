/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_pipe.h. */
#include "net/tls_pipe.h"

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "net/tls_provider_priv.h"

#define SPARE_BYTES_MAX (64u << 10) /* larger buffers go back to the system after use */

static _Thread_local struct mln_tls_pipe *current; /* whose handshake runs on this thread */

/* ---- the buffers as a BIO ---- */

static int bio_read(BIO *bio, char *to, size_t n, size_t *ret_n)
{
    struct mln_tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (pipe->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    n = n < pipe->in_len ? n : pipe->in_len;
    mln_copy(to, pipe->in, n);
    pipe->in += n;
    pipe->in_len -= n;
    *ret_n = n;
    return 1;
}

static int bio_write(BIO *bio, const char *from, size_t n, size_t *ret_n)
{
    struct mln_tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    mln_buf_add(&pipe->out, from, n);
    *ret_n = n;
    return !pipe->out.has_failed;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "merlon");
    if (method == NULL || BIO_meth_set_read_ex(method, bio_read) != 1 ||
        BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* ---- signatures ---- */

struct mln_tls_pipe *mln_tls_pipe_current(void)
{
    return current != NULL && current->step == MLN_TLS_STEP_NONE && ASYNC_get_current_job() != NULL ? current : NULL;
}

bool mln_tls_pipe_wait(struct mln_tls_pipe *pipe)
{
    pipe->step = MLN_TLS_STEP_WANTED;
    return ASYNC_pause_job() == 1 && pipe->step == MLN_TLS_STEP_DONE;
}

/* Runs inside the async job of a handshake: have the owner ask, and wait. */
static int sign_elsewhere(enum mln_tls_how how, const unsigned char *input, size_t n, unsigned char *sig, size_t *sig_len,
                          size_t sig_max)
{
    struct mln_tls_pipe *pipe = mln_tls_pipe_current();
    if (pipe == NULL || n > sizeof(pipe->input)) {
        return 0;
    }
    mln_copy(pipe->input, input, n);
    pipe->input_len = n;
    pipe->how = how;
    if (!mln_tls_pipe_wait(pipe) || pipe->sig_len > sig_max) {
        return 0;
    }
    mln_copy(sig, pipe->sig, pipe->sig_len);
    *sig_len = pipe->sig_len;
    return 1;
}

void mln_tls_pipe_signed(struct mln_tls_pipe *pipe, struct mln_bytes sig)
{
    bool is_good = sig.len > 0 && sig.len <= sizeof(pipe->sig);
    MLN_CHECK(pipe->step == MLN_TLS_STEP_ASKED);
    if (is_good) {
        mln_copy(pipe->sig, sig.ptr, sig.len);
        pipe->sig_len = sig.len;
    }
    pipe->step = is_good ? MLN_TLS_STEP_DONE : MLN_TLS_STEP_REFUSED;
}

/* ---- library and threads ---- */

struct mln_err mln_tls_lib_init(struct mln_cx *cx, struct mln_tls_lib *ret)
{
    ret->lib = OSSL_LIB_CTX_new();
    ret->bio = bio_method();
    if (ret->lib == NULL || ret->bio == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "tls: out of memory");
    }
    return tls_provider_load(cx, ret->lib, sign_elsewhere, ret->providers);
}

void mln_tls_lib_fini(struct mln_tls_lib *lib)
{
    BIO_meth_free(lib->bio);
    for (unsigned i = 0; i < MLN_COUNT(lib->providers); i++) {
        if (lib->providers[i] != NULL) {
            (void)OSSL_PROVIDER_unload(lib->providers[i]);
        }
    }
    OSSL_LIB_CTX_free(lib->lib);
    *lib = (struct mln_tls_lib){0};
}

struct mln_err mln_tls_lib_key(struct mln_cx *cx, const struct mln_tls_lib *lib, const X509 *cert, EVP_PKEY **ret)
{
    return tls_provider_key(cx, lib->lib, cert, ret);
}

bool mln_tls_thread_begin(size_t jobs)
{
    return ASYNC_init_thread(jobs, 0) == 1;
}

void mln_tls_thread_end(void)
{
    ASYNC_cleanup_thread();
    OPENSSL_thread_stop();
}

/* ---- life of a pipe ---- */

bool mln_tls_pipe_open(struct mln_tls_pipe *pipe, const struct mln_tls_lib *lib, SSL_CTX *ctx)
{
    BIO *bio = BIO_new(lib->bio);
    *pipe = (struct mln_tls_pipe){0};
    if (bio == NULL) {
        return false;
    }
    BIO_set_data(bio, pipe);
    BIO_set_init(bio, 1);
    pipe->ssl = SSL_new(ctx);
    if (pipe->ssl == NULL) {
        BIO_free(bio);
        return false;
    }
    SSL_set_bio(pipe->ssl, bio, bio);
    return true;
}

int mln_tls_pipe_handshake(struct mln_tls_pipe *pipe)
{
    ERR_clear_error();
    current = pipe;
    int r = SSL_do_handshake(pipe->ssl);
    current = NULL;
    return r;
}

void mln_tls_pipe_close(struct mln_tls_pipe *pipe)
{
    if (pipe->step == MLN_TLS_STEP_WANTED || pipe->step == MLN_TLS_STEP_ASKED) {
        pipe->step = MLN_TLS_STEP_REFUSED;
        (void)mln_tls_pipe_handshake(pipe); /* the job ends */
    }
    SSL_free(pipe->ssl);
    ERR_clear_error();
    mln_buf_drop(&pipe->in_left);
    mln_buf_drop(&pipe->out);
    mln_wipe(pipe, sizeof(*pipe));
}

/* ---- bytes ---- */

/* Do they lie in in_left already? What is there may have been used up, and `in` be new bytes again. */
static bool is_kept(const struct mln_tls_pipe *pipe)
{
    uintptr_t at = (uintptr_t)pipe->in, from = (uintptr_t)pipe->in_left.ptr;
    return pipe->in_left.len > 0 && at >= from && at < from + pipe->in_left.len;
}

bool mln_tls_pipe_keep(struct mln_tls_pipe *pipe)
{
    if (pipe->in_len == 0) {
        mln_buf_drop(&pipe->in_left);
        pipe->in = NULL;
    } else if (!is_kept(pipe)) {
        mln_buf_clear(&pipe->in_left);
        mln_buf_add(&pipe->in_left, pipe->in, pipe->in_len);
        pipe->in = pipe->in_left.ptr;
    }
    return !pipe->in_left.has_failed;
}

void mln_tls_pipe_sent(struct mln_tls_pipe *pipe)
{
    pipe->out_at = 0;
    pipe->out.len = 0;
    if (pipe->out.cap > SPARE_BYTES_MAX) {
        mln_buf_drop(&pipe->out);
    }
}
