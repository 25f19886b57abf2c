/* SPDX-License-Identifier: Apache-2.0 */
/* Ceremonies: their memory. Steps are in sys_rekey.c and sys_root.c. */
#include "core/core_priv.h"

static void forget_given(struct mln_ceremony *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        mln_secret_drop(&c->given[i]);
        c->given[i] = (struct mln_secret){0};
    }
    c->n = 0;
}

void mln_ceremony_clear(struct mln_ceremony *c)
{
    forget_given(c);
    mln_secret_drop(&c->token);
    mln_secret_drop(&c->otp);
    mln_secret_drop(&c->shares);
    mln_seal_change_drop(&c->change);
    *c = (struct mln_ceremony){0};
}

void mln_ceremony_restart(struct mln_ceremony *c)
{
    forget_given(c);
}

void mln_ceremonies_forget(struct mln_core *core)
{
    pthread_mutex_lock(&core->ceremonies.lock);
    mln_ceremony_clear(&core->ceremonies.rekey);
    mln_ceremony_clear(&core->ceremonies.recovery);
    mln_ceremony_clear(&core->ceremonies.root);
    pthread_mutex_unlock(&core->ceremonies.lock);
}

/* Twice in a row done: a request is not run again for seconds. */
static void tick_one(struct mln_ceremony *c)
{
    if (c->is_done && c->is_old) {
        mln_ceremony_clear(c);
    }
    c->is_old = c->is_done;
}

void mln_ceremonies_tick(struct mln_core *core)
{
    pthread_mutex_lock(&core->ceremonies.lock);
    tick_one(&core->ceremonies.rekey);
    tick_one(&core->ceremonies.recovery);
    tick_one(&core->ceremonies.root);
    pthread_mutex_unlock(&core->ceremonies.lock);
}

struct mln_err mln_ceremony_give(struct mln_request *rq, struct mln_ceremony *c, const char *nonce,
                                 struct mln_bytes share)
{
    struct mln_bytes given = mln_get_bytes(mln_field_of(rq, "nonce"));
    if (share.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'key' must be specified in request body as JSON");
    }
    if (given.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing nonce");
    }
    if (!mln_eq_ct(given.ptr, given.len, nonce, mln_bytes_of(nonce).len)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "incorrect nonce supplied; nonce for this operation is \"%s\"", nonce);
    }
    bool is_known = false;
    for (unsigned i = 0; i < c->n; i++) {
        is_known |= mln_eq_ct(c->given[i].ptr, c->given[i].len, share.ptr, share.len);
    }
    if (is_known) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "given key has already been provided during this generation operation");
    }
    if (c->n == MLN_COUNT(c->given)) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "too many keys were given");
    }
    MLN_TRY(mln_secret_from(rq->cx, share, &c->given[c->n]));
    c->n++;
    return MLN_OK;
}

size_t mln_ceremony_given(const struct mln_ceremony *c, struct mln_bytes ret[255])
{
    for (unsigned i = 0; i < c->n; i++) {
        ret[i] = mln_secret_bytes(&c->given[i]);
    }
    return c->n;
}

bool mln_ceremony_is_again(struct mln_request *rq, struct mln_ceremony *c)
{
    bool is_again = mln_bytes_is(mln_bytes_of(c->last), rq->id);
    if (!is_again && c->is_done) {
        mln_ceremony_clear(c);
    }
    mln_copy(c->last, rq->id, mln_bytes_of(rq->id).len + 1);
    return is_again;
}
