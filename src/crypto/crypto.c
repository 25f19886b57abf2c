/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Algorithms of the process, contexts of the threads, and wiping them. No cryptography here: see
 * the file of each noun.
 */
#include "crypto/crypto_priv.h"

#include <openssl/err.h>
#include <pthread.h>
#include <sched.h>
#include <sodium.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct crypto_algorithms algorithms;
static pthread_key_t thread_key;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct crypto_thread *registry; /* threads that have contexts */
static _Thread_local struct crypto_thread *own;

static void forget_keys(struct crypto_thread *t)
{
    for (size_t i = 0; i < 2; i++) {
        EVP_CIPHER_CTX_free(t->gcm[i]); /* OpenSSL wipes key schedules when it frees them */
        EVP_CIPHER_CTX_free(t->gcm128[i]);
        EVP_CIPHER_CTX_free(t->chacha[i]);
        t->gcm[i] = NULL;
        t->gcm128[i] = NULL;
        t->chacha[i] = NULL;
    }
    for (size_t i = 0; i < XAES_SLOTS; i++) {
        EVP_CIPHER_CTX_free(t->xaes[i].ecb);
    }
    for (size_t i = 0; i < EC_SLOTS; i++) {
        EVP_PKEY_CTX_free(t->ec[i].ctx);
    }
    for (size_t i = 0; i < PKEY_SLOTS; i++) {
        EVP_PKEY_free(t->pkey[i].key);
    }
    mln_wipe(t->gcm_key, sizeof(t->gcm_key));
    mln_wipe(t->xaes, sizeof(t->xaes));
    mln_wipe(t->ec, sizeof(t->ec));
    mln_wipe(t->ed, sizeof(t->ed));
    mln_wipe(t->pkey, sizeof(t->pkey));
}

static void lock_thread(struct crypto_thread *t)
{
    while (atomic_flag_test_and_set_explicit(&t->lock, memory_order_acquire)) {
        sched_yield();
    }
}

static void unlock_thread(struct crypto_thread *t)
{
    atomic_flag_clear_explicit(&t->lock, memory_order_release);
}

static void thread_ends(void *arg)
{
    struct crypto_thread *t = arg;
    pthread_mutex_lock(&registry_lock);
    if (t->prev != NULL) {
        t->prev->next = t->next;
    } else {
        registry = t->next;
    }
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    pthread_mutex_unlock(&registry_lock);
    forget_keys(t);
    EVP_MD_CTX_free(t->sha256);
    OPENSSL_clear_free(t, sizeof(*t));
    own = NULL;
}

static void start(void)
{
    algorithms.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    algorithms.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    algorithms.gcm128 = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    algorithms.chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    algorithms.ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    algorithms.p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    MLN_CHECK(algorithms.p256 != NULL);
    MLN_CHECK(algorithms.sha256 != NULL && algorithms.gcm != NULL);
    MLN_CHECK(algorithms.gcm128 != NULL);
    MLN_CHECK(algorithms.chacha != NULL && algorithms.ecb != NULL);
    MLN_CHECK(sodium_init() >= 0);
    MLN_CHECK(pthread_key_create(&thread_key, thread_ends) == 0);
}

const struct crypto_algorithms *crypto_algorithms(void)
{
    MLN_CHECK(pthread_once(&once, start) == 0);
    return &algorithms;
}

static struct crypto_thread *thread_begins(void)
{
    const struct crypto_algorithms *a = crypto_algorithms();
    struct crypto_thread *t = OPENSSL_zalloc(sizeof(*t));
    MLN_CHECK(t != NULL);
    atomic_flag_clear(&t->lock);
    t->sha256 = EVP_MD_CTX_new();
    MLN_CHECK(t->sha256 != NULL && EVP_DigestInit_ex2(t->sha256, a->sha256, NULL) == 1);
    pthread_mutex_lock(&registry_lock);
    t->next = registry;
    if (registry != NULL) {
        registry->prev = t;
    }
    registry = t;
    pthread_mutex_unlock(&registry_lock);
    MLN_CHECK(pthread_setspecific(thread_key, t) == 0);
    own = t;
    return t;
}

struct crypto_thread *crypto_enter(void)
{
    struct crypto_thread *t = own;
    if (__builtin_expect(t == NULL, 0)) {
        t = thread_begins();
    }
    lock_thread(t);
    return t;
}

void crypto_leave(struct crypto_thread **t)
{
    unlock_thread(*t);
    *t = NULL;
}

void mln_crypto_forget(void)
{
    pthread_mutex_lock(&registry_lock);
    for (struct crypto_thread *t = registry; t != NULL; t = t->next) {
        lock_thread(t);
        forget_keys(t);
        unlock_thread(t);
    }
    pthread_mutex_unlock(&registry_lock);
}

struct mln_err crypto_failed(struct mln_cx *cx, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    struct mln_err err = mln_fail(cx, MLN_E_CRYPTO, "%s failed", what);
    mln_note(cx, "openssl: %s", reason != NULL ? reason : "no reason given");
    ERR_clear_error();
    return err;
}
