/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The X.509-SVID of this server itself ("/merlon/server"), which its bundle endpoint shows. Its key is handed to the process that signs
 * handshakes and kept nowhere else, so that one is made after each start. Row "server_svid" says which was made last: the record of it.
 */
#include "identity/spiffe_priv.h"

#include "barrier/barrier.h"

struct shown {
    struct sp_state *state;
    struct sp_svid about; /* when it was made and is due, by which authority */
    struct mln_bytes chain, key;
};

/* Only of the root namespace: listeners are the server's. */
static bool is_wanted(struct mln_request *rq)
{
    bool is_root = rq->ns.len == 0 || mln_bytes_eq(rq->ns, MLN_NS_ROOT);
    return is_root && rq->services->present != NULL &&
           mln_get_bool(mln_get(rq->services->setting(rq, "spiffe"), "shows_svid"), false);
}

static struct mln_err show(struct mln_request *rq, void *arg)
{
    const struct shown *shown = arg;
    MLN_TRY(rq->services->present(rq, shown->chain, shown->key));
    SP_WRITE(shown->state);
    shown->state->server_svid = shown->about;
    return MLN_OK;
}

static struct mln_err note(struct mln_request *rq, const struct sp_made *made, const char *id,
                           const struct sp_authority *by)
{
    struct mln_value *row = mln_object(rq->cx);
    mln_put_text(rq->cx, row, "spiffe_id", id);
    mln_put_text(rq->cx, row, "serial", mln_hex_text(rq->cx, made->serial));
    mln_put_text(rq->cx, row, "authority", mln_text_dup(rq->cx, mln_bytes_of(by->id)));
    mln_put_int(rq->cx, row, "not_after", made->not_after_s);
    sp_note_svid(rq, row);
    return sp_row_put(rq, "server_svid", MLN_BYTES_NONE, row);
}

static struct mln_err make(struct mln_request *rq, struct sp_state *state)
{
    struct sp_config config;
    struct sp_authority by;
    struct sp_made made;
    struct mln_key key;
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    struct shown *shown = MLN_NEW(rq->cx, struct shown);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(sp_config_get(rq, &config));
    {
        SP_READ(state);
        MLN_TRY(sp_authority_borrow(rq->cx, state->authorities.x509, state->authorities.x509_n,
                                    now_s, &by));
    }
    MLN_TRY(mln_key_generate(rq->cx, config.key_kind, config.key_bits, &key));
    struct sp_leaf leaf = {.spki = key.spki,
                           .spiffe_id = state->server,
                           .ttl_s = config.x509_ttl_s,
                           .is_rsa = config.key_kind == MLN_KEY_RSA};
    MLN_TRY(sp_leaf_sign(rq->cx, &by, &leaf, now_s, &made));
    *shown = (struct shown){.state = state, .chain = made.chain, .key = key.pkcs8};
    shown->about.made_s = now_s;
    shown->about.turn_s = sp_turn_of(now_s, made.not_after_s);
    mln_copy(shown->about.authority, by.id, sizeof(by.id));
    rq->services->after(rq, show, shown);
    return note(rq, &made, state->server, &by);
}

struct mln_err sp_server_due(struct mln_request *rq)
{
    struct sp_state *state = NULL;
    if (!is_wanted(rq)) {
        return MLN_OK;
    }
    struct mln_err err = sp_state_get(rq, &state);
    if (mln_is(err, MLN_E_PRECONDITION)) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    {
        SP_READ(state);
        if (sp_svid_is_good(state, &state->server_svid, rq->now_ns / SP_SECOND_NS)) {
            return MLN_OK;
        }
    }
    err = make(rq, state);
    if (mln_is(err, MLN_E_UNREACHABLE)) { /* no authority yet: the next second */
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    return err;
}
