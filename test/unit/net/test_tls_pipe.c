/* SPDX-License-Identifier: Apache-2.0 */
/* Two pipes that shake hands through buffers: signatures from outside, bytes that are kept, what is refused. */
#include "kit/kit.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "crypto/crypto.h"
#include "crypto/digest.h"
#include "net/tls_pipe.h"

#define BIG_BYTES 40000u /* more than two records */

struct both {
    struct mln_cx *cx;
    struct mln_tls_lib lib;
    SSL_CTX *contexts[2];
    struct mln_tls_pipe pipes[2]; /* server, client */
    uint8_t scalar[32];
};

static X509 *certificate(struct both *b)
{
    struct mln_buf pem = {0};
    uint8_t point[65];
    kit_ok(b->cx, mln_p256_generate(b->cx, b->scalar, point));
    kit_ok(b->cx, mln_dev_certificate(b->cx, b->scalar, "127.0.0.1", &pem));
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(cert);
    BIO_free(bio);
    mln_buf_drop(&pem);
    return cert;
}

static struct both *both_new(struct mln_cx *cx)
{
    static struct both b;
    EVP_PKEY *key = NULL;
    b = (struct both){.cx = cx};
    kit_ok(cx, mln_tls_lib_init(cx, &b.lib));
    assert_true(mln_tls_thread_begin(8));
    X509 *cert = certificate(&b);
    kit_ok(cx, mln_tls_lib_key(cx, &b.lib, cert, &key));
    for (int i = 0; i < 2; i++) {
        b.contexts[i] = SSL_CTX_new_ex(b.lib.lib, "?provider=default", i == 0 ? TLS_server_method() : TLS_client_method());
        assert_int_equal(SSL_CTX_use_certificate(b.contexts[i], cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(b.contexts[i], key), 1);
        (void)SSL_CTX_set_mode(b.contexts[i], SSL_MODE_ASYNC);
        (void)SSL_CTX_set_num_tickets(b.contexts[i], 0);
        SSL_CTX_set_min_proto_version(b.contexts[i], TLS1_3_VERSION);
        assert_true(mln_tls_pipe_open(&b.pipes[i], &b.lib, b.contexts[i]));
    }
    SSL_set_accept_state(b.pipes[0].ssl);
    SSL_set_connect_state(b.pipes[1].ssl);
    EVP_PKEY_free(key);
    X509_free(cert);
    return &b;
}

static void both_free(struct both *b)
{
    for (int i = 0; i < 2; i++) {
        mln_tls_pipe_close(&b->pipes[i]);
        SSL_CTX_free(b->contexts[i]);
    }
    mln_tls_lib_fini(&b->lib);
    mln_tls_thread_end();
}

static void sign(struct both *b, struct mln_tls_pipe *pipe, bool is_good)
{
    struct mln_buf sig = {0};
    uint8_t digest[MLN_SHA256_BYTES];
    pipe->step = MLN_TLS_STEP_ASKED;
    mln_sha256(mln_bytes_at(pipe->input, pipe->input_len), digest);
    kit_ok(b->cx, mln_p256_sign_digest(b->cx, b->scalar, digest, &sig));
    mln_tls_pipe_signed(pipe, is_good ? mln_buf_bytes(&sig) : MLN_BYTES_NONE);
    mln_buf_drop(&sig);
}

/* What one has to say goes to the other, all at once. */
static void carry(struct mln_tls_pipe *from, struct mln_tls_pipe *to)
{
    static uint8_t wire[1u << 17];
    if (from->out.len > 0 && to->in_len == 0) {
        assert_true(from->out.len <= sizeof(wire));
        mln_copy(wire, from->out.ptr, from->out.len);
        to->in = wire;
        to->in_len = from->out.len;
        mln_tls_pipe_sent(from);
        assert_true(mln_tls_pipe_keep(to));
        mln_fill(wire, 0xee, sizeof(wire)); /* somebody else's bytes */
    }
}

static bool shake(struct both *b, bool is_good)
{
    int done[2] = {0, 0};
    for (unsigned turn = 0; turn < 20 && (done[0] != 1 || done[1] != 1); turn++) {
        for (int i = 0; i < 2; i++) {
            struct mln_tls_pipe *pipe = &b->pipes[i];
            done[i] = done[i] == 1 ? 1 : mln_tls_pipe_handshake(pipe);
            if (pipe->step == MLN_TLS_STEP_WANTED) {
                sign(b, pipe, is_good);
            }
            carry(pipe, &b->pipes[1 - i]);
        }
    }
    ERR_clear_error();
    return done[0] == 1 && done[1] == 1;
}

static void test_signed_elsewhere(void **state)
{
    struct both *b = both_new(kit_cx(state));
    assert_true(shake(b, true));
    both_free(b);
}

static void test_refused(void **state)
{
    struct both *b = both_new(kit_cx(state));
    assert_false(shake(b, false));
    both_free(b);
}

/* A connection may die while its signature is on its way. */
static void test_closed_while_waiting(void **state)
{
    struct both *b = both_new(kit_cx(state));
    for (unsigned turn = 0; turn < 4 && b->pipes[0].step != MLN_TLS_STEP_WANTED; turn++) {
        (void)mln_tls_pipe_handshake(&b->pipes[1]);
        carry(&b->pipes[1], &b->pipes[0]);
        (void)mln_tls_pipe_handshake(&b->pipes[0]);
    }
    assert_int_equal(b->pipes[0].step, MLN_TLS_STEP_WANTED);
    b->pipes[0].step = MLN_TLS_STEP_ASKED;
    both_free(b);
}

/* Feed `n` bytes of ciphertext from a scratch that is used for something else afterwards; read what comes. */
static size_t feed(struct mln_tls_pipe *pipe, struct mln_bytes wire, size_t n, uint8_t *to, size_t max)
{
    static uint8_t scratch[1u << 17];
    size_t got = 0, at = 0;
    mln_copy(scratch, wire.ptr, n);
    for (bool is_fed = false;;) {
        size_t one = 0;
        if (at < max && SSL_read_ex(pipe->ssl, to + at, max - at, &one) == 1) {
            at += one;
            got += one;
            if (is_fed) { /* the reader has enough for now: what is left must survive */
                break;
            }
            continue;
        }
        if (is_fed) {
            break;
        }
        assert_int_equal(pipe->in_len, 0);
        pipe->in = scratch;
        pipe->in_len = n;
        is_fed = true;
    }
    assert_true(mln_tls_pipe_keep(pipe));
    mln_fill(scratch, 0xee, sizeof(scratch));
    ERR_clear_error();
    return got;
}

/* Part of a record is kept, used up, and again something is left of the new bytes: it must be kept as well. */
static void test_what_is_left_twice(void **state)
{
    static uint8_t sent[BIG_BYTES], got[BIG_BYTES];
    struct both *b = both_new(kit_cx(state));
    size_t wrote = 0, n = 0, at = 0;
    assert_true(shake(b, true));
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (uint8_t)(i * 7 + i / 256);
    }
    mln_tls_pipe_sent(&b->pipes[1]);
    assert_int_equal(SSL_write_ex(b->pipes[1].ssl, sent, sizeof(sent), &wrote), 1);
    struct mln_bytes wire = mln_buf_bytes(&b->pipes[1].out);
    static const size_t steps[] = {20000, 15000, 3000, 2500}; /* across records of some 16,400 bytes */
    for (size_t i = 0; n < sizeof(got) && i < 64; i++) {
        size_t step = i < MLN_COUNT(steps) ? steps[i] : wire.len - at;
        step = step < wire.len - at ? step : wire.len - at;
        n += feed(&b->pipes[0], mln_bytes_from(wire, at), step, got + n, sizeof(got) - n);
        at += step;
    }
    assert_int_equal(n, sizeof(sent));
    assert_memory_equal(got, sent, sizeof(sent));
    both_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_signed_elsewhere), KIT_TEST(test_refused), KIT_TEST(test_closed_while_waiting),
                                       KIT_TEST(test_what_is_left_twice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
