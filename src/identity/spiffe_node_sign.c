/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is signed for a node: certificates for keys that it made for its entries, and JWT-SVIDs. Of entries whose parent it is, and of no
 * other: who asks for another's is refused as a whole, and the record says which.
 */
#include "base/json.h"
#include "identity/spiffe_node_priv.h"

#define SIGN_MAX 64u   /* requests at once: some ten milliseconds */
#define FEW      4u    /* more than that many and the ring is handed on first */

struct asked {
    struct sp_holder_of of;
    const char *made;            /* its row as JSON, when a template made it */
    const struct mln_value *row; /* of the entry */
    struct mln_bytes spki;
    bool is_rsa;
    const char *why; /* it gets none */
};
struct job {
    struct mln_request *rq;
    struct sp_state *state;
    struct mln_bytes node; /* its SPIFFE id */
    struct sp_authority by;
    struct sp_config config;
    int64_t now_s;
};

static struct mln_err begin(struct mln_request *rq, struct job *job)
{
    const struct mln_value *node = NULL;
    struct mln_bytes name;
    *job = (struct job){.rq = rq, .now_s = rq->now_ns / SP_SECOND_NS};
    MLN_TRY(sp_node_of(rq, &node, &name));
    MLN_TRY(sp_config_get(rq, &job->config));
    MLN_TRY(sp_state_get(rq, &job->state));
    job->node = mln_get_bytes(mln_get(node, "id"));
    return MLN_OK;
}

/* why: the entry is gone. DENIED: it is another's. */
static struct mln_err find_entry(const struct job *job, struct mln_bytes id, struct asked *ret)
{
    struct mln_cx *cx = job->rq->cx;
    SP_READ(job->state);
    if (!job->state->is_loaded) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "registration entries are being read");
    }
    const struct sp_entry *e = sp_index_get(job->state->index, id);
    if (e == NULL || (e->expires_s != 0 && e->expires_s <= job->now_s)) {
        ret->why = "no such entry";
        return MLN_OK;
    }
    if (!mln_bytes_is(job->node, e->parent->text)) {
        mln_put_bytes(cx, job->rq->detail, "refused_entry", id);
        return mln_fail(cx, MLN_E_DENIED, "this entry is not below this node");
    }
    ret->made = e->made == NULL ? NULL : mln_text_dup(cx, mln_bytes_of(e->made));
    ret->of = (struct sp_holder_of){
        .id = mln_text_dup(cx, mln_bytes_of(e->id)),
        .spiffe_id = mln_text_dup(cx, mln_bytes_of(e->spiffe->text)),
        .hint = e->hint != NULL ? mln_text_dup(cx, mln_bytes_of(e->hint)) : NULL,
        .revision = e->revision,
        .created_ns = e->created_ns,
        .ttl_s = e->jwt_ttl_s};
    return mln_cx_err(cx);
}

struct mln_err sp_csr_take(struct mln_request *rq, struct mln_bytes text,
                           struct mln_bytes *ret_spki, bool *ret_is_rsa)
{
    struct mln_x509_info info;
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = MLN_NODE_CSR_MAX};
    bool ok =
        text.len > 0 && !mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, &der)) &&
        !der.has_failed &&
        !mln_failed(mln_x509_csr_read(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&der)), &info));
    ok = ok && ((info.kind == MLN_KEY_EC && (info.bits == 256 || info.bits == 384)) ||
                (info.kind == MLN_KEY_RSA && info.bits >= 2048 && info.bits <= 4096));
    if (!ok) {
        return mln_refail(rq->cx, MLN_E_INVALID,
                          "csr must be a PKCS #10 request in base64, signed by its own key: P-256, "
                          "P-384 or RSA of 2048 to 4096 bits");
    }
    *ret_spki = info.spki;
    *ret_is_rsa = info.kind == MLN_KEY_RSA;
    return MLN_OK;
}

/* Who signs, and what of each entry stands in its row only. */
static struct mln_err prepare(struct job *job)
{
    SP_READ(job->state);
    return sp_authority_borrow(job->rq->cx, job->state->authorities.x509,
                               job->state->authorities.x509_n, job->now_s, &job->by);
}

static struct mln_err take(const struct job *job, const struct mln_value *request,
                           struct asked *ret)
{
    struct mln_bytes id = mln_get_bytes(mln_get(request, "entry"));
    MLN_TRY(find_entry(job, id, ret));
    if (ret->why != NULL) {
        return MLN_OK;
    }
    struct mln_err err = ret->made != NULL
                             ? mln_json_parse(job->rq->cx, mln_bytes_of(ret->made), &ret->row)
                             : sp_row_get(job->rq, "entry/", id, &ret->row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(job->rq->cx);
        ret->why = "no such entry";
        return MLN_OK;
    }
    MLN_TRY(err);
    return sp_csr_take(job->rq, mln_get_bytes(mln_get(request, "csr")), &ret->spki, &ret->is_rsa);
}

static void note(struct job *job, const struct asked *asked, const struct sp_made *made)
{
    struct mln_cx *cx = job->rq->cx;
    struct mln_value *one = mln_object(cx);
    mln_put_text(cx, one, "spiffe_id", asked->of.spiffe_id);
    mln_put_text(cx, one, "entry", asked->of.id);
    mln_put_text(cx, one, "serial", mln_hex_text(cx, made->serial));
    mln_put_text(cx, one, "authority", mln_text_dup(cx, mln_bytes_of(job->by.id)));
    mln_put_int(cx, one, "not_after", made->not_after_s);
    sp_note_svid(job->rq, one);
}

static struct mln_err sign_one(struct job *job, const struct asked *asked, struct mln_value *ret)
{
    struct mln_cx *cx = job->rq->cx;
    struct sp_made made;
    int64_t ttl_s = mln_get_int(mln_get(asked->row, "x509_svid_ttl"), 0);
    struct sp_leaf leaf = {.spki = asked->spki,
                           .spiffe_id = asked->of.spiffe_id,
                           .dns = mln_get(asked->row, "dns_names"),
                           .ttl_s = ttl_s > 0 ? ttl_s : job->config.x509_ttl_s,
                           .is_rsa = asked->is_rsa};
    MLN_TRY(sp_leaf_sign(cx, &job->by, &leaf, job->now_s, &made));
    note(job, asked, &made);
    mln_put_text(cx, ret, "chain", mln_base64_text(cx, made.chain, MLN_B64_STD));
    mln_put_text(cx, ret, "authority", mln_text_dup(cx, mln_bytes_of(job->by.id)));
    mln_put_int(cx, ret, "expires", made.not_after_s);
    mln_put_int(cx, ret, "revision", (int64_t)asked->of.revision);
    return mln_cx_err(cx);
}

static struct mln_err sign(struct mln_request *rq, struct mln_reply *re)
{
    struct job job;
    const struct mln_value *requests = mln_field_of(rq, "requests");
    struct mln_value *data = mln_object(rq->cx), *svids = mln_array(rq->cx);
    size_t n = mln_len(requests);
    MLN_TRY(begin(rq, &job));
    if (mln_type_of(requests) != MLN_ARRAY || n == 0 || n > SIGN_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "requests must be a list of 1 to %u {entry, csr}",
                        SIGN_MAX);
    }
    if (n > FEW) {
        rq->services->block(rq);
    }
    struct asked *asked = mln_new_array(rq->cx, n, sizeof(*asked));
    MLN_TRY(mln_cx_err(rq->cx));
    for (size_t i = 0; i < n; i++) { /* all are looked at before the first is signed */
        MLN_TRY(take(&job, mln_item(requests, i), &asked[i]));
    }
    MLN_TRY(prepare(&job));
    for (size_t i = 0; i < n; i++) {
        struct mln_value *one = mln_object(rq->cx);
        mln_put(rq->cx, one, "entry", mln_get(mln_item(requests, i), "entry"));
        if (asked[i].why != NULL) {
            mln_put_text(rq->cx, one, "error", asked[i].why);
        } else {
            MLN_TRY(sign_one(&job, &asked[i], one));
        }
        mln_push(rq->cx, svids, one);
    }
    mln_put(rq->cx, data, "svids", svids);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* A node asks for the entry that it knows: what it is by now may be for other processes. */
static struct mln_err check_known(struct mln_request *rq, const struct sp_holder_of *of)
{
    const struct mln_value *revision = mln_field_of(rq, "revision"),
                           *id = mln_field_of(rq, "spiffe_id");
    bool is_it = (revision == NULL || mln_get_int(revision, -1) == (int64_t)of->revision) &&
                 (id == NULL || mln_is_text(id, of->spiffe_id));
    return is_it ? MLN_OK : mln_fail(rq->cx, MLN_E_NOT_FOUND, "this entry has changed");
}

static struct mln_err sign_jwt(struct mln_request *rq, struct mln_reply *re)
{
    struct job job;
    struct asked asked = {0};
    struct sp_token token;
    const struct mln_value *audience = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(begin(rq, &job));
    audience = mln_field_of(rq, "audience");
    MLN_TRY(sp_audience_check(rq->cx, audience));
    MLN_TRY(find_entry(&job, mln_get_bytes(mln_field_of(rq, "entry")), &asked));
    if (asked.why != NULL) {
        return mln_fail(rq->cx, MLN_E_NOT_FOUND, "%s", asked.why);
    }
    MLN_TRY(check_known(rq, &asked.of));
    MLN_TRY(sp_jwt_make(rq, job.state, &asked.of, audience, &token));
    mln_put(rq->cx, data, "svid", mln_secret_string(rq->cx, token.svid));
    mln_put_int(rq->cx, data, "expires", token.expires_s);
    mln_put_int(rq->cx, data, "revision", (int64_t)asked.of.revision);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field sign_fields[] = {
    {.name = "requests",
     .type = MLN_FIELD_ANY,
     .help = "List of {entry: id, csr: PKCS #10 in base64}, at most 64.",
     .is_required = true},
    {0},
};
static const struct mln_field jwt_fields[] = {
    {.name = "entry",
     .type = MLN_FIELD_TEXT,
     .help = "Id of an entry of this node.",
     .is_required = true},
    {.name = "audience", .type = MLN_FIELD_LIST, .help = "Who the token is for."},
    {.name = "revision",
     .type = MLN_FIELD_INT,
     .help = "The entry's revision that the node knows: another one is 404."},
    {.name = "spiffe_id",
     .type = MLN_FIELD_TEXT,
     .help = "The entry's SPIFFE id that the node knows: another one is 404."},
    {0},
};

const struct mln_path sp_node_sign_paths[] = {
    {.pattern = "nodes/sign",
     .summary = "Sign certificates for keys of a node's entries.",
     .fields = sign_fields,
     .write = sign,
     .is_open = true,
     .controls = "IA-3,IA-9"},
    {.pattern = "nodes/jwt",
     .summary = "Sign a JWT-SVID for an entry of a node.",
     .fields = jwt_fields,
     .write = sign_jwt,
     .is_open = true,
     .controls = "IA-3,IA-9"},
    {0},
};
