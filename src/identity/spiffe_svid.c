/* SPDX-License-Identifier: Apache-2.0 */
/* X.509-SVIDs: one key and certificate an entry, kept in memory until about half of its life is over. */
#include "identity/spiffe_priv.h"

#include "base/clock.h"
#include "base/json.h"

#define JUMP_S 60 /* what was made later than so from now is of a clock that was set back since */

static void unlink_svid(struct sp_svid *svid)
{
    if (svid->link != NULL) {
        *svid->link = svid->next;
        if (svid->next != NULL) {
            svid->next->link = svid->link;
        }
    }
}

void sp_svid_free(struct sp_svid *svid)
{
    if (svid != NULL) {
        unlink_svid(svid);
        mln_secret_drop(&svid->key);
        mln_free(svid->chain);
        mln_free(svid);
    }
}

static const struct sp_authority *authority_of(const struct sp_state *state, const char *id)
{
    for (size_t i = 0; i < state->authorities.x509_n; i++) {
        if (mln_bytes_is(mln_bytes_of(id), state->authorities.x509[i].id)) {
            return &state->authorities.x509[i];
        }
    }
    return NULL;
}

bool sp_svid_is_good(const struct sp_state *state, const struct sp_svid *svid, int64_t now_s)
{
    if (svid == NULL || now_s >= svid->turn_s || now_s < svid->made_s - JUMP_S) {
        return false;
    }
    const struct sp_authority *a = authority_of(state, svid->authority);
    return a != NULL && (a->state == SP_ACTIVE || a->state == SP_OLD);
}

/* ---- the certificate ---- */

static struct mln_err names_of(struct mln_cx *cx, const struct sp_leaf *leaf,
                               struct mln_bytes *ret_sans, struct mln_bytes *ret_subject)
{
    size_t n = mln_len(leaf->dns);
    struct mln_san *sans = mln_new_array(cx, n + 1, sizeof(*sans));
    struct mln_value *organization = mln_array(cx);
    if (sans == NULL) {
        return mln_cx_err(cx);
    }
    sans[0] = (struct mln_san){.kind = MLN_SAN_URI, .value = mln_bytes_of(leaf->spiffe_id)};
    for (size_t i = 0; i < n; i++) {
        sans[i + 1] =
            (struct mln_san){.kind = MLN_SAN_DNS, .value = mln_get_bytes(mln_item(leaf->dns, i))};
    }
    mln_push_text(cx, organization, "Merlon");
    struct mln_x509_name name = {.organization = organization,
                                 .common_name = n > 0 ? sans[1].value : MLN_BYTES_NONE};
    if (name.common_name.len > 64) {
        name.common_name = MLN_BYTES_NONE;
    }
    *ret_sans = mln_ext_names(cx, sans, n + 1, false);
    return mln_x509_name_print(cx, &name, ret_subject);
}

static const struct mln_value *usages(struct mln_cx *cx)
{
    struct mln_value *oids = mln_array(cx);
    mln_push_text(cx, oids, "1.3.6.1.5.5.7.3.1"); /* server and */
    mln_push_text(cx, oids, "1.3.6.1.5.5.7.3.2"); /* client of TLS */
    return oids;
}

struct mln_err sp_leaf_sign(struct mln_cx *cx, const struct sp_authority *by,
                            const struct sp_leaf *leaf, int64_t now_s, struct sp_made *ret)
{
    struct mln_bytes extensions[6], subject, id, cert;
    int64_t not_after_s = now_s + leaf->ttl_s, not_before_s = now_s - SP_SKEW_S;
    struct mln_x509_signer signer = {.pkcs8 = mln_secret_bytes(&by->key), .sig = by->sig};
    MLN_TRY(mln_x509_key_id(cx, leaf->spki, &id));
    extensions[0] =
        mln_ext_key_usage(cx, leaf->is_rsa ? MLN_KU_DIGITAL_SIGNATURE | MLN_KU_KEY_ENCIPHERMENT
                                           : MLN_KU_DIGITAL_SIGNATURE);
    extensions[1] = mln_ext_ext_key_usage(cx, usages(cx));
    extensions[2] = mln_ext_basic(cx, false, -1);
    extensions[3] = mln_ext_subject_key(cx, id);
    extensions[4] = mln_ext_authority_key(cx, by->key_id);
    MLN_TRY(names_of(cx, leaf, &extensions[5], &subject));
    struct mln_cert_spec spec = {
        .serial = sp_serial_new(cx),
        .issuer = by->subject,
        .subject = subject,
        .spki = leaf->spki,
        .not_before_s = not_before_s > by->not_before_s ? not_before_s : by->not_before_s,
        .not_after_s = not_after_s < by->not_after_s ? not_after_s : by->not_after_s,
        .extensions = extensions,
        .n = MLN_COUNT(extensions),
    };
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_cert_build(cx, &spec, &signer, &cert));
    uint8_t *chain = mln_new(cx, cert.len + by->chain_n);
    if (chain == NULL) {
        return mln_cx_err(cx);
    }
    mln_copy(chain, cert.ptr, cert.len);
    mln_copy(chain + cert.len, by->chain, by->chain_n);
    *ret = (struct sp_made){.chain = mln_bytes_at(chain, cert.len + by->chain_n),
                            .serial = spec.serial,
                            .not_after_s = spec.not_after_s};
    return MLN_OK;
}

struct mln_err sp_authority_borrow(struct mln_cx *cx, const struct sp_authority *all, size_t n,
                                   int64_t now_s, struct sp_authority *ret)
{
    const struct sp_authority *a = sp_authority_signing(all, n, now_s);
    if (a == NULL) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "no authority can sign at the moment");
    }
    *ret = *a;
    struct mln_bytes key = mln_bytes_dup(cx, mln_secret_bytes(&a->key));
    ret->key = (struct mln_secret){.ptr = (uint8_t *)(uintptr_t)key.ptr, .len = key.len};
    ret->subject = mln_bytes_dup(cx, a->subject);
    ret->key_id = mln_bytes_dup(cx, a->key_id);
    ret->chain = (uint8_t *)(uintptr_t)mln_bytes_dup(cx, mln_bytes_at(a->chain, a->chain_n)).ptr;
    ret->cert = ret->roots = NULL;
    ret->jwk = NULL;
    ret->public = NULL;
    return mln_cx_err(cx);
}

/* ---- one for an entry ---- */

struct job {
    struct mln_request *rq;
    struct sp_state *state;
    const char *id;
    const char *spiffe_id;
    const char *row; /* its row as JSON, when a template made it */
    uint64_t revision;
    int64_t created_ns; /* with revision: the entry as it was looked at */
    int64_t ttl_s, now_s;
    struct sp_authority by; /* in the arena */
    struct mln_key key;
    struct sp_made made;
    bool is_done; /* somebody was quicker, or the entry is gone */
};

static struct mln_err look(struct job *job)
{
    SP_READ(job->state);
    const struct sp_entry *e =
        job->state->is_loaded ? sp_index_get(job->state->index, mln_bytes_of(job->id)) : NULL;
    job->is_done = e == NULL || sp_svid_is_good(job->state, e->svid, job->now_s);
    if (job->is_done) {
        return MLN_OK;
    }
    job->revision = e->revision;
    job->created_ns = e->created_ns;
    job->ttl_s = e->x509_ttl_s;
    job->spiffe_id = mln_text_dup(job->rq->cx, mln_bytes_of(e->spiffe->text));
    job->row = e->made == NULL ? NULL : mln_text_dup(job->rq->cx, mln_bytes_of(e->made));
    return sp_authority_borrow(job->rq->cx, job->state->authorities.x509,
                               job->state->authorities.x509_n, job->now_s, &job->by);
}

static struct mln_err make(struct job *job)
{
    struct sp_config config;
    const struct mln_value *row = NULL;
    struct mln_request *rq = job->rq;
    MLN_TRY(sp_config_get(rq, &config));
    struct mln_err err = job->row != NULL ? mln_json_parse(rq->cx, mln_bytes_of(job->row), &row)
                                           : sp_row_get(rq, "entry/", mln_bytes_of(job->id), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        job->is_done = true;
        return MLN_OK;
    }
    MLN_TRY(err);
    if (config.key_kind == MLN_KEY_RSA) {
        rq->services->block(rq);
    }
    MLN_TRY(mln_key_generate(rq->cx, config.key_kind, config.key_bits, &job->key));
    struct sp_leaf leaf = {.spki = job->key.spki,
                           .spiffe_id = job->spiffe_id,
                           .dns = mln_get(row, "dns_names"),
                           .ttl_s = job->ttl_s > 0 ? job->ttl_s : config.x509_ttl_s,
                           .is_rsa = config.key_kind == MLN_KEY_RSA};
    return sp_leaf_sign(rq->cx, &job->by, &leaf, job->now_s, &job->made);
}

int64_t sp_turn_of(int64_t now_s, int64_t not_after_s)
{
    int64_t half = (not_after_s - now_s) / 2, tenth = half / 10;
    return now_s + half - tenth + (int64_t)mln_random_below((uint64_t)(2 * tenth + 1));
}

static struct mln_err new_svid(struct job *job, struct sp_svid **ret)
{
    struct sp_svid *svid = mln_alloc(sizeof(*svid));
    uint8_t *chain = mln_alloc(job->made.chain.len);
    if (svid == NULL || chain == NULL) {
        mln_free(svid);
        mln_free(chain);
        return mln_fail(job->rq->cx, MLN_E_MEMORY, "no memory for an SVID");
    }
    struct mln_err err = mln_secret_from(job->rq->cx, job->key.pkcs8, &svid->key);
    if (mln_failed(err)) {
        mln_free(svid);
        mln_free(chain);
        return err;
    }
    mln_copy(chain, job->made.chain.ptr, job->made.chain.len);
    svid->chain = chain;
    svid->chain_n = job->made.chain.len;
    svid->made_s = job->now_s;
    svid->not_after_s = job->made.not_after_s;
    svid->turn_s = sp_turn_of(job->now_s, job->made.not_after_s);
    mln_copy(svid->authority, job->by.id, sizeof(svid->authority));
    mln_copy(svid->entry, job->id, mln_bytes_of(job->id).len + 1);
    *ret = svid;
    return MLN_OK;
}

static struct mln_err attach(struct job *job)
{
    struct sp_svid *svid = NULL;
    MLN_TRY(new_svid(job, &svid));
    SP_WRITE(job->state);
    struct sp_entry *e =
        job->state->is_loaded ? sp_index_get(job->state->index, mln_bytes_of(job->id)) : NULL;
    if (e == NULL || e->revision != job->revision || e->created_ns != job->created_ns) {
        sp_svid_free(svid); /* made for what is not there any more */
        return MLN_OK;
    }
    sp_svid_free(e->svid);
    e->svid = svid;
    svid->next = job->state->svids;
    svid->link = &job->state->svids;
    if (svid->next != NULL) {
        svid->next->link = &svid->next;
    }
    job->state->svids = svid;
    return MLN_OK;
}

void sp_note_svid(struct mln_request *rq, struct mln_value *one)
{
    struct mln_value *all = mln_array(rq->cx);
    const struct mln_value *before = mln_get(rq->detail, "issued");
    for (size_t i = 0; i < mln_len(before); i++) {
        mln_push(rq->cx, all, mln_item(before, i));
    }
    mln_push(rq->cx, all, one);
    mln_put(rq->cx, rq->detail, "issued", all);
}

static void note(struct job *job)
{
    struct mln_value *one = mln_object(job->rq->cx);
    mln_put_text(job->rq->cx, one, "spiffe_id", job->spiffe_id);
    mln_put_text(job->rq->cx, one, "entry", job->id);
    mln_put_text(job->rq->cx, one, "serial", mln_hex_text(job->rq->cx, job->made.serial));
    mln_put_text(job->rq->cx, one, "authority",
                 mln_text_dup(job->rq->cx, mln_bytes_of(job->by.id)));
    mln_put_int(job->rq->cx, one, "not_after", job->made.not_after_s);
    sp_note_svid(job->rq, one);
}

static struct mln_err renew(struct job *job)
{
    MLN_TRY(look(job));
    if (!job->is_done) {
        MLN_TRY(make(job));
    }
    if (job->is_done) {
        return MLN_OK;
    }
    MLN_TRY(attach(job));
    note(job);
    return mln_cx_err(job->rq->cx);
}

struct mln_err sp_svid_renew(struct mln_request *rq, struct sp_state *state, const char *entry_id)
{
    struct job job = {.rq = rq, .state = state, .id = entry_id, .now_s = rq->now_ns / SP_SECOND_NS};
    pthread_mutex_lock(&state->signing);
    struct mln_err err = renew(&job);
    pthread_mutex_unlock(&state->signing);
    return err;
}

/* ---- what is due ---- */

struct mln_err sp_svids_due(struct mln_request *rq)
{
    struct sp_state *state = NULL;
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    struct mln_err err = sp_state_get(rq, &state);
    if (mln_is(err, MLN_E_PRECONDITION)) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    SP_WRITE(state);
    for (struct sp_svid *svid = state->svids, *next; svid != NULL; svid = next) {
        next = svid->next;
        struct sp_entry *e = sp_index_get(state->index, mln_bytes_of(svid->entry));
        MLN_CHECK(e != NULL && e->svid == svid);
        if (!svid->is_told && !sp_svid_is_good(state, svid, now_s)) {
            svid->is_told = true;
            sp_topics_of_entry(rq, state, e);
        } else if (svid->not_after_s <= now_s) { /* nobody asked for the next one */
            sp_svid_free(svid);
            e->svid = NULL;
        }
    }
    return MLN_OK;
}
