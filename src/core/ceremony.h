/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ceremonies: what the holders of shares decide together while the server is open - new shares, a root token. One of each kind at a
 * time, in memory only: a restart or a seal forgets it, which leaves everything as it was.
 *
 * A request may be run again after a conflict of its transaction. A ceremony remembers which request made its last step and what came
 * of it, so that the second run of that request changes nothing more.
 */
#pragma once

#include <pthread.h>

#include "barrier/seal.h"
#include "contract/request.h"

struct mln_core;

enum mln_ceremony_stage { MLN_CEREMONY_NONE, MLN_CEREMONY_GIVING, MLN_CEREMONY_VERIFYING };

struct mln_ceremony {
    enum mln_ceremony_stage stage;
    char nonce[37];
    char verify_nonce[37];
    struct mln_secret given[255];
    unsigned n;
    char last[37];              /* the request that made the last step */
    struct mln_secret token, otp; /* generate-root: id and pad; while started, and until the next request once done */
    struct mln_seal_config config; /* rekey: of the new shares */
    bool needs_verification;
    struct mln_seal_change change; /* rekey: made, not yet in force */
    struct mln_secret shares;      /* rekey: the new ones, one behind the other, for a second run of `last` */
    size_t shares_n;
    bool is_done, is_old; /* is_old: a tick has seen it done */
};

struct mln_ceremonies {
    pthread_mutex_t lock; /* held by a whole step; nothing else is waited for under it but the seal and one commit */
    struct mln_ceremony rekey, recovery, root;
};

void mln_ceremony_clear(struct mln_ceremony *c);
void mln_ceremony_restart(struct mln_ceremony *c); /* forgets the shares given, nothing else */
/*
 * Under the lock, first of all: is this the request that made the last step, run again? Another request ends what is done.
 */
bool mln_ceremony_is_again(struct mln_request *rq, struct mln_ceremony *c);
/* One share with the field "nonce", which must be this one. INVALID */
struct mln_err mln_ceremony_give(struct mln_request *rq, struct mln_ceremony *c, const char *nonce,
                                 struct mln_bytes share);
size_t mln_ceremony_given(const struct mln_ceremony *c, struct mln_bytes ret[255]);
/* Forget both: the server is sealed. */
void mln_ceremonies_forget(struct mln_core *core);
/* What is done and was only kept for a second run of its request goes. */
void mln_ceremonies_tick(struct mln_core *core);
