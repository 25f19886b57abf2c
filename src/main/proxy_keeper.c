/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: a client of the Workload API that holds the keys of SVIDs and signs the relay's handshakes, nothing else. Monitor dials the
 * socket, so that attestation sees the process that the administrator started. A key is kept for as long as handshakes may run that began
 * with it, so that a rotation fails none.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "api/spiffe.h"
#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "crypto/x509.h"
#include "identity/spiffe_bundle.h"
#include "main/main_priv.h"
#include "main/proxy_priv.h"
#include "net/grpc_client.h"
#include "net/tls_pipe.h"

#define BOOT_BYTES      (8u << 20)
#define WORK_BYTES      (32u << 20) /* an answer of 4 MiB as values and again as a snapshot */
#define KEYS_MAX        8u          /* newer ones push out the oldest */
#define BACKOFF_FIRST_NS ((int64_t)250000000)
#define BACKOFF_MAX_NS  ((int64_t)30000000000)
#define SECOND_NS       ((int64_t)1000000000)
#define LOOK_MS         1000
#define FETCH_SVIDS     "/SpiffeWorkloadAPI/FetchX509SVID"
#define FETCH_JWT       "/SpiffeWorkloadAPI/FetchJWTSVID"
#define GRPC_DENIED     7

struct key {
    int64_t number; /* 0 = none */
    struct mln_secret secret;
};
struct keeper {
    struct mln_cx cx;
    const char *wanted;
    int signers[MLN_PROXY_THREADS_MAX];
    unsigned n_signers;
    struct key keys[KEYS_MAX];
    int64_t n_keys; /* made so far */
    struct mln_grpc_client *client;
    int32_t svid_call, jwt_call;
    bool is_dialling, is_stopping, has_identity;
    int64_t again_ns, backoff_ns, not_after_s;
};

/* ---- to monitor ---- */

static void tell(struct keeper *k, const struct mln_proxy_message *message, const int *fds, unsigned n)
{
    if (mln_failed(mln_proxy_send(&k->cx, FD_CONTROL, message, fds, n, false))) {
        k->is_stopping = true; /* monitor is gone */
    }
}

static void withdraw(struct keeper *k, const char *why)
{
    struct mln_proxy_message message = {.kind = MLN_PROXY_WITHDRAW};
    if (k->has_identity) {
        mln_log(MLN_LOG_WARN, "keeper", "the identity is withdrawn: %s", why);
        k->has_identity = false;
        tell(k, &message, NULL, 0);
    }
}

/* ---- keys ---- */

static const struct key *key_of(const struct keeper *k, int64_t number)
{
    const struct key *key = &k->keys[(uint64_t)number % KEYS_MAX];
    return number > 0 && key->number == number ? key : NULL;
}

static struct mln_err take_key(struct keeper *k, const struct workload_svid *svid, int64_t number)
{
    struct mln_x509_info info;
    struct mln_key read;
    struct mln_secret secret = {0};
    MLN_TRY(mln_x509_cert_read(&k->cx, mln_bytes_sub(svid->chain, 0, sp_der_length(svid->chain)), &info));
    MLN_TRY(mln_key_read(&k->cx, svid->key, &read));
    if (!mln_bytes_eq(info.spki, read.spki)) {
        return mln_fail(&k->cx, MLN_E_INVALID, "the Workload API's key is not that of its certificate");
    }
    MLN_TRY(tls_key_take(&k->cx, svid->key, &secret));
    struct key *key = &k->keys[(uint64_t)number % KEYS_MAX];
    mln_secret_drop(&key->secret);
    *key = (struct key){.number = number, .secret = secret};
    return MLN_OK;
}

static struct mln_err make_signature(struct keeper *k, struct mln_bytes ask, struct mln_buf *sig)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {0};
    const struct mln_value *v = NULL;
    enum mln_tls_how how = MLN_TLS_ECDSA;
    MLN_TRY(mln_cbor_parse(&k->cx, ask, &v));
    const struct key *key = key_of(k, mln_get_int(mln_get(v, "key"), 0));
    if (key == NULL || mln_get_int(mln_get(v, "v"), 0) != 13) {
        return mln_fail(&k->cx, MLN_E_INVALID, "no key of this number, or no handshake of TLS 1.3");
    }
    MLN_TRY(mln_tls_sign_input_of(&k->cx, v, MLN_TLS_SERVER | MLN_TLS_CLIENT, &input, &how));
    return tls_key_sign(&k->cx, &key->secret, how, mln_buf_bytes(&input), sig);
}

/* False: relay's thread is gone. */
static bool serve_signer(struct keeper *k, int fd)
{
    static struct mln_proxy_message ask, answer;
    for (;;) {
        MLN_AUTO(mln_buf_drop) struct mln_buf sig = {.max = MLN_TLS_SIGNATURE_MAX};
        struct mln_err err = mln_proxy_receive(&k->cx, fd, true, &ask, NULL, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return true;
        }
        if (mln_failed(err)) {
            return false;
        }
        answer = (struct mln_proxy_message){.kind = MLN_PROXY_SIGNED, .conn = ask.conn};
        err = ask.kind == MLN_PROXY_SIGN ? make_signature(k, mln_bytes_at(ask.bytes, ask.n), &sig) : (struct mln_err){MLN_E_INVALID};
        if (mln_failed(err)) {
            mln_log_fault(MLN_LOG_WARN, "keeper", &k->cx, "a handshake is not signed");
        } else {
            answer.n = (uint32_t)sig.len;
            mln_copy(answer.bytes, sig.ptr, sig.len);
        }
        mln_cx_clear(&k->cx);
        mln_arena_reset(k->cx.arena);
        if (mln_failed(mln_proxy_send(&k->cx, fd, &answer, NULL, 0, false))) {
            return false;
        }
    }
}

/* ---- the Workload API ---- */

static void plan_again(struct keeper *k)
{
    mln_grpc_client_free(k->client);
    k->client = NULL;
    k->svid_call = k->jwt_call = 0;
    k->again_ns = mln_mono_ns() + k->backoff_ns / 2 + (int64_t)mln_random_below((uint64_t)k->backoff_ns);
    k->backoff_ns = k->backoff_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : k->backoff_ns * 2;
}

static struct mln_err take_svids(struct keeper *k, struct mln_bytes message)
{
    struct workload_svid svid;
    const struct mln_value *federated = NULL, *snapshot = NULL;
    int64_t number = k->n_keys + 1, not_after_s = 0;
    struct mln_proxy_message news = {.kind = MLN_PROXY_IDENTITY};
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(workload_svid_read(&k->cx, message, k->wanted, &svid, &federated));
    MLN_TRY(workload_snapshot(&k->cx, &svid, federated, number, &snapshot, &not_after_s));
    MLN_TRY(take_key(k, &svid, number));
    MLN_TRY(boot_write(&k->cx, snapshot, &fd));
    k->n_keys = number;
    k->not_after_s = not_after_s;
    k->has_identity = true;
    news.number = (uint64_t)not_after_s;
    tell(k, &news, &fd, 1);
    mln_log(MLN_LOG_INFO, "keeper", "identity %s, until %s", svid.id, mln_time_text(&k->cx, not_after_s * SECOND_NS, 0));
    return MLN_OK;
}

static void take_token(struct keeper *k, struct mln_bytes message)
{
    const struct mln_value *all = NULL;
    struct mln_proxy_message news = {.kind = MLN_PROXY_TOKEN};
    if (!mln_failed(mln_pb_decode(&k->cx, mln_spiffe_jwt_svids, message, &all))) {
        struct mln_bytes token = mln_get_bytes(mln_get(mln_item(mln_get(all, "svids"), 0), "svid"));
        if (token.len <= sizeof(news.bytes)) {
            news.n = (uint32_t)token.len;
            mln_copy(news.bytes, token.ptr, token.len);
        }
    }
    tell(k, &news, NULL, 0);
    mln_wipe(&news, sizeof(news));
}

static void on_message(void *arg, int32_t call, struct mln_bytes message)
{
    struct keeper *k = arg;
    if (call == k->jwt_call) {
        take_token(k, message);
    } else if (call == k->svid_call) {
        struct mln_err err = take_svids(k, message);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            withdraw(k, k->cx.text);
        } else if (mln_failed(err)) {
            mln_log_fault(MLN_LOG_ERROR, "keeper", &k->cx, "an answer of the Workload API cannot be used");
        } else {
            k->backoff_ns = BACKOFF_FIRST_NS;
        }
    }
    mln_cx_clear(&k->cx);
    mln_arena_reset(k->cx.arena);
}

static void on_end(void *arg, int32_t call, int status, const char *text)
{
    struct keeper *k = arg;
    struct mln_proxy_message none = {.kind = MLN_PROXY_TOKEN};
    if (call == k->jwt_call) {
        k->jwt_call = 0;
        if (status != 0) {
            mln_log(MLN_LOG_WARN, "keeper", "no JWT-SVID: %s", text);
            tell(k, &none, NULL, 0);
        }
    } else if (call == k->svid_call) {
        k->svid_call = 0;
        mln_log(MLN_LOG_WARN, "keeper", "the Workload API ended the stream (status %d): %s", status, text);
        if (status == GRPC_DENIED) {
            withdraw(k, "the Workload API has no identity for this process");
        }
    }
}

static void begin(struct keeper *k, int fd, int error)
{
    static const char *const header[] = {"workload.spiffe.io", "true"};
    struct mln_grpc_client_config config = {
        .fd = fd, .authority = "localhost", .header = header, .on_message = on_message, .on_end = on_end, .arg = k};
    k->is_dialling = false;
    if (fd < 0) {
        mln_log(MLN_LOG_WARN, "keeper", "the workload socket cannot be reached (errno %d)", error);
        plan_again(k);
        return;
    }
    struct mln_err err = mln_grpc_client_new(&k->cx, &config, &k->client);
    if (mln_failed(err)) {
        (void)close(fd);
    } else {
        err = mln_grpc_client_call(&k->cx, k->client, FETCH_SVIDS, MLN_BYTES_NONE, &k->svid_call);
    }
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_WARN, "keeper", &k->cx, "the Workload API is not asked");
        mln_cx_clear(&k->cx);
        plan_again(k);
    }
}

static void ask_token(struct keeper *k, const struct mln_proxy_message *message)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_proxy_message none = {.kind = MLN_PROXY_TOKEN};
    struct mln_value *ask = mln_object(&k->cx), *audience = mln_array(&k->cx);
    mln_push(&k->cx, audience, mln_string(&k->cx, mln_bytes_at(message->bytes, message->n)));
    mln_put(&k->cx, ask, "audience", audience);
    if (k->wanted != NULL) {
        mln_put_text(&k->cx, ask, "spiffe_id", k->wanted);
    }
    bool is_asked = k->client != NULL && k->jwt_call == 0 && !mln_failed(mln_pb_encode(&k->cx, mln_spiffe_jwt_ask, ask, &text)) &&
                    !mln_failed(mln_grpc_client_call(&k->cx, k->client, FETCH_JWT, mln_buf_bytes(&text), &k->jwt_call));
    mln_cx_clear(&k->cx);
    mln_arena_reset(k->cx.arena);
    if (!is_asked) {
        tell(k, &none, NULL, 0);
    }
}

/* ---- turns ---- */

static void take_signers(struct keeper *k, const int *fds, unsigned n)
{
    while (k->n_signers > 0) {
        mln_fd_drop(&k->signers[--k->n_signers]);
    }
    mln_copy(k->signers, fds, n * sizeof(*fds));
    k->n_signers = n;
}

static void take_control(struct keeper *k)
{
    static struct mln_proxy_message message;
    int fds[MLN_PROXY_THREADS_MAX];
    unsigned n = 0;
    struct mln_err err = mln_proxy_receive(&k->cx, FD_CONTROL, true, &message, fds, &n);
    if (mln_failed(err)) {
        k->is_stopping = mln_is(err, MLN_E_UNREACHABLE);
        return;
    }
    if (message.kind == MLN_PROXY_SIGNERS) {
        take_signers(k, fds, n);
    } else if (message.kind == MLN_PROXY_DIALLED) {
        begin(k, n == 1 ? fds[0] : -1, message.error);
    } else {
        for (unsigned i = 0; i < n; i++) {
            mln_fd_drop(&fds[i]);
        }
        k->is_stopping = message.kind == MLN_PROXY_STOP;
        if (message.kind == MLN_PROXY_ASK_TOKEN) {
            ask_token(k, &message);
        }
    }
}

static void look_at_workload(struct keeper *k)
{
    struct mln_proxy_message ask = {.kind = MLN_PROXY_DIAL};
    if (k->client != NULL) {
        struct mln_err err = mln_grpc_client_turn(&k->cx, k->client);
        if (mln_failed(err) || k->svid_call == 0) {
            if (mln_failed(err)) {
                mln_log_fault(MLN_LOG_WARN, "keeper", &k->cx, "the Workload API is gone");
            }
            plan_again(k);
        }
        mln_cx_clear(&k->cx);
        mln_arena_reset(k->cx.arena);
    } else if (!k->is_dialling && mln_mono_ns() >= k->again_ns) {
        k->is_dialling = true;
        tell(k, &ask, NULL, 0);
    }
    if (k->has_identity && mln_now_ns() / SECOND_NS > k->not_after_s) {
        withdraw(k, "its SVID is over its time");
    }
}

static int wait_ms(const struct keeper *k)
{
    int64_t left_ns = k->client != NULL || k->is_dialling ? SECOND_NS : k->again_ns - mln_mono_ns();
    return left_ns <= 0 ? 0 : left_ns >= SECOND_NS ? LOOK_MS : (int)(left_ns / 1000000) + 1;
}

static void turn(struct keeper *k)
{
    struct pollfd fds[MLN_PROXY_THREADS_MAX + 2];
    fds[0] = (struct pollfd){.fd = FD_CONTROL, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = -1};
    if (k->client != NULL) {
        fds[1] = (struct pollfd){.fd = mln_grpc_client_fd(k->client), .events = mln_grpc_client_events(k->client)};
    }
    for (unsigned i = 0; i < k->n_signers; i++) {
        fds[2 + i] = (struct pollfd){.fd = k->signers[i], .events = POLLIN};
    }
    (void)poll(fds, 2 + k->n_signers, wait_ms(k));
    for (unsigned i = 0; i < k->n_signers; i++) {
        if (fds[2 + i].revents != 0 && !serve_signer(k, k->signers[i])) {
            mln_fd_drop(&k->signers[i]);
        }
    }
    if (fds[0].revents != 0) {
        take_control(k);
    }
    look_at_workload(k);
}

static struct mln_err run(struct keeper *k)
{
    const struct mln_value *boot = NULL;
    struct mln_sandbox_state state = {0};
    struct mln_arena *work = k->cx.arena;
    struct mln_arena *kept = mln_arena_new(BOOT_BYTES, false); /* until the process ends */
    if (kept == NULL || work == NULL) {
        return mln_fail(&k->cx, MLN_E_MEMORY, "out of memory");
    }
    k->cx.arena = kept;
    MLN_TRY(boot_read(&k->cx, FD_BOOT, &boot));
    boot_log(boot, "keeper");
    k->wanted = mln_get_text(&k->cx, mln_get(boot, "spiffe_id"), NULL);
    k->cx.arena = work;
    MLN_TRY(drop_root(&k->cx));
    harden_process(); /* again: another user's process is dumpable by the system's setting */
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(&k->cx, MLN_E_UNREACHABLE, "monitor is gone");
    }
    MLN_TRY(mln_sandbox_enter(&k->cx, MLN_SANDBOX_KEEPER, FD_CONTROL, &state));
    while (!k->is_stopping) {
        turn(k);
    }
    return MLN_OK;
}

int keeper_main(void)
{
    static struct keeper keeper = {.backoff_ns = BACKOFF_FIRST_NS};
    name_process("merlon-keeper");
    harden_process();
    mln_secret_allow_unlocked(true); /* a service's limit may be 64 KiB: each key has pages of its own */
    mln_cx_init(&keeper.cx, mln_arena_new(WORK_BYTES, false));
    struct mln_err err = run(&keeper);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "keeper", &keeper.cx, "the keeper cannot start");
    }
    for (size_t i = 0; i < KEYS_MAX; i++) {
        mln_secret_drop(&keeper.keys[i].secret);
    }
    mln_grpc_client_free(keeper.client);
    return mln_err_exit(err.code);
}
