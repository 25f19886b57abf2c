/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKI engine: revocation lists. Revoking writes one small row of its own, so that any number of revocations go on at a time.
 * Who reads the list next (or the tick) folds these rows into segments of DER entries, signs the list and keeps it until
 * something changes or it grows old: reading is one get, and a list of 100,000 entries is made from some 400 segments.
 *
 *   crl/<list>/p/<serial> when (s): revoked and not in a segment yet
 *   crl/<list>/state      array: entries, generation, segments, entries of the last segment, number of the newest list
 *   crl/<list>/s/<8 hex>  entries as DER, one after the other
 *   crl/<list>/full       array: generation, number, this (s), next (s), entries, stamp, DER
 *   crl/<list>/delta      the same; entries: of the complete list that it is over
 */
#include "engine/pki_priv.h"

#define SEGMENT_MAX 256   /* entries: some 10 KiB */
#define FOLD_MAX    10000 /* rows folded in one transaction; the next reader goes on */
#define FOLD_LATER  512   /* rows that the tick folds so that readers need not */

struct state {
    int64_t entries, generation, segments, last, number;
};

struct built {
    int64_t generation, number, this_s, next_s, entries, stamp;
    struct mln_bytes der; /* empty: not there */
};

static struct mln_bytes name_of(struct mln_cx *cx, const char *list, const char *what)
{
    return mln_bytes_format(cx, "%s/%s", list, what);
}

static struct mln_bytes segment_name(struct mln_cx *cx, const char *list, int64_t i)
{
    return mln_bytes_format(cx, "%s/s/%08llx", list, (unsigned long long)i);
}

/* ---- rows ---- */

static struct mln_err state_load(struct mln_request *rq, const char *list, struct state *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "crl/", name_of(rq->cx, list, "state"), &v));
    *ret = (struct state){mln_get_int(mln_item(v, 0), 0), mln_get_int(mln_item(v, 1), 0),
                          mln_get_int(mln_item(v, 2), 0), mln_get_int(mln_item(v, 3), 0),
                          mln_get_int(mln_item(v, 4), 0)};
    return mln_cx_err(rq->cx);
}

static struct mln_err state_store(struct mln_request *rq, const char *list, const struct state *s)
{
    const int64_t all[] = {s->entries, s->generation, s->segments, s->last, s->number};
    struct mln_value *v = mln_array(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        mln_push(rq->cx, v, mln_int(rq->cx, all[i]));
    }
    return pki_put(rq, "crl/", name_of(rq->cx, list, "state"), v);
}

static struct mln_err built_load(struct mln_request *rq, const char *list, bool is_delta,
                                 struct built *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "crl/", name_of(rq->cx, list, is_delta ? "delta" : "full"), &v));
    *ret = (struct built){mln_get_int(mln_item(v, 0), 0), mln_get_int(mln_item(v, 1), 0),
                          mln_get_int(mln_item(v, 2), 0), mln_get_int(mln_item(v, 3), 0),
                          mln_get_int(mln_item(v, 4), 0), mln_get_int(mln_item(v, 5), 0),
                          mln_get_bytes(mln_item(v, 6))};
    return mln_cx_err(rq->cx);
}

static struct mln_err built_store(struct mln_request *rq, const char *list, bool is_delta,
                                  const struct built *b)
{
    const int64_t all[] = {b->generation, b->number, b->this_s, b->next_s, b->entries, b->stamp};
    struct mln_value *v = mln_array(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        mln_push(rq->cx, v, mln_int(rq->cx, all[i]));
    }
    mln_push(rq->cx, v, mln_blob(rq->cx, b->der));
    return pki_put(rq, "crl/", name_of(rq->cx, list, is_delta ? "delta" : "full"), v);
}

static struct mln_err segment_load(struct mln_request *rq, const char *list, int64_t i,
                                   struct mln_bytes *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_find(rq, "crl/", segment_name(rq->cx, list, i), &v));
    *ret = mln_get_bytes(v);
    return mln_cx_err(rq->cx);
}

/* ---- filling segments ---- */

struct filler {
    struct mln_request *rq;
    const char *list;
    struct state *state;
    struct mln_buf segment; /* the newest, as it will be stored */
};

static void filler_drop(struct filler *f)
{
    mln_buf_drop(&f->segment);
}

static struct mln_err filler_begin(struct filler *f)
{
    struct mln_bytes old = MLN_BYTES_NONE;
    if (f->state->segments > 0 && f->state->last < SEGMENT_MAX) {
        f->state->segments--;
        MLN_TRY(segment_load(f->rq, f->list, f->state->segments, &old));
        mln_buf_add_bytes(&f->segment, old);
    } else {
        f->state->last = 0;
    }
    return MLN_OK;
}

static struct mln_err filler_flush(struct filler *f)
{
    struct mln_cx *cx = f->rq->cx;
    if (f->segment.len == 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_buf_ok(cx, &f->segment));
    struct mln_value *v = mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&f->segment)));
    mln_buf_clear(&f->segment);
    return pki_put(f->rq, "crl/", segment_name(cx, f->list, f->state->segments++), v);
}

static struct mln_err filler_add(struct filler *f, struct mln_bytes entry)
{
    if (f->state->last == SEGMENT_MAX) {
        MLN_TRY(filler_flush(f));
        f->state->last = 0;
    }
    mln_buf_add_bytes(&f->segment, entry);
    f->state->last++;
    f->state->entries++;
    return MLN_OK;
}

/* ---- revoking ---- */

struct mln_err pki_crl_add(struct mln_request *rq, const char *list, struct mln_bytes serial,
                           int64_t at_ns)
{
    const char *name = mln_text_format(rq->cx, "p/%s", pki_serial_text(rq->cx, serial));
    return pki_put(rq, "crl/", name_of(rq->cx, list, name), mln_int(rq->cx, at_ns / 1000000000));
}

/* Rows that wait; views of the names. */
static struct mln_err waiting(struct mln_request *rq, const char *list,
                              const struct mln_value **ret)
{
    return pki_list(rq, mln_text_format(rq->cx, "crl/%s/p/", list), ret);
}

static struct mln_err fold(struct mln_request *rq, const char *list, struct state *s,
                           const struct mln_value *rows)
{
    MLN_AUTO(filler_drop) struct filler f = {.rq = rq, .list = list, .state = s};
    if (mln_len(rows) == 0) {
        return MLN_OK;
    }
    MLN_TRY(filler_begin(&f));
    for (size_t i = 0; i < mln_len(rows) && i < FOLD_MAX; i++) {
        struct mln_bytes serial = mln_get_bytes(mln_item(rows, i));
        const char *name = mln_text_format(rq->cx, "p/%.*s", MLN_FMT(serial));
        struct mln_bytes row = name_of(rq->cx, list, name);
        const struct mln_value *at = NULL;
        MLN_TRY(pki_find(rq, "crl/", row, &at));
        struct mln_bytes number = pki_serial_bytes(rq->cx, serial);
        MLN_TRY(filler_add(&f, mln_crl_entry(rq->cx, number, mln_get_int(at, 0))));
        MLN_TRY(pki_delete(rq, "crl/", row));
    }
    s->generation++;
    return filler_flush(&f);
}

/* ---- taking entries out ---- */

/* The first entry of *left, which moves behind it; its serial number without leading zeros. False at the end. */
static bool next_entry(struct mln_bytes *left, struct mln_bytes *ret_entry,
                       struct mln_bytes *ret_serial)
{
    if (left->len < 4 || left->ptr[1] >= 0x80 || (size_t)left->ptr[1] + 2 > left->len) {
        return false; /* entries are short: lengths of one byte */
    }
    *ret_entry = mln_bytes_sub(*left, 0, (size_t)left->ptr[1] + 2);
    *ret_serial = mln_bytes_sub(*ret_entry, 4, ret_entry->ptr[3]);
    while (ret_serial->len > 0 && ret_serial->ptr[0] == 0) {
        *ret_serial = mln_bytes_from(*ret_serial, 1);
    }
    *left = mln_bytes_from(*left, ret_entry->len);
    return true;
}

/* The entries of a list that stay: views, one a segment that has any. */
static struct mln_err filtered(struct mln_request *rq, const char *list, const struct state *s,
                               const struct mln_value *gone, struct mln_bytes *parts)
{
    for (int64_t i = 0; i < s->segments; i++) {
        struct mln_bytes left, entry, serial;
        MLN_TRY(segment_load(rq, list, i, &left));
        uint8_t *kept = mln_new(rq->cx, left.len + 1);
        size_t n = 0;
        while (kept != NULL && next_entry(&left, &entry, &serial)) {
            if (mln_get_key(gone, serial) == NULL) {
                mln_copy(kept + n, entry.ptr, entry.len);
                n += entry.len;
            }
        }
        MLN_TRY(mln_cx_err(rq->cx));
        parts[i] = mln_bytes_at(kept, n);
    }
    return MLN_OK;
}

/* Segments anew from what stays. */
static struct mln_err rewrite(struct mln_request *rq, const char *list, struct state *s,
                              const struct mln_bytes *parts)
{
    struct state fresh = {.generation = s->generation + 1, .number = s->number};
    MLN_AUTO(filler_drop) struct filler f = {.rq = rq, .list = list, .state = &fresh};
    for (int64_t i = 0; i < s->segments; i++) {
        struct mln_bytes left = parts[i], entry, serial;
        while (next_entry(&left, &entry, &serial)) {
            MLN_TRY(filler_add(&f, entry));
        }
    }
    MLN_TRY(filler_flush(&f));
    for (int64_t i = fresh.segments; i < s->segments; i++) {
        MLN_TRY(pki_delete(rq, "crl/", segment_name(rq->cx, list, i)));
    }
    *s = fresh;
    return mln_cx_err(rq->cx);
}

static struct mln_err drop_from(struct mln_request *rq, const char *list,
                                const struct mln_value *gone)
{
    struct state s;
    const struct mln_value *rows = NULL;
    size_t before = 0, after = 0;
    MLN_TRY(state_load(rq, list, &s));
    MLN_TRY(waiting(rq, list, &rows));
    MLN_TRY(fold(rq, list, &s, rows));
    struct mln_bytes *parts = mln_new_array(rq->cx, (size_t)s.segments + 1, sizeof(*parts));
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(filtered(rq, list, &s, gone, parts));
    for (int64_t i = 0; i < s.segments; i++) {
        struct mln_bytes old;
        MLN_TRY(segment_load(rq, list, i, &old));
        before += old.len;
        after += parts[i].len;
    }
    if (before != after) {
        MLN_TRY(rewrite(rq, list, &s, parts));
        /* a delta over the old complete list would be wrong */
        MLN_TRY(pki_delete(rq, "crl/", name_of(rq->cx, list, "full")));
    }
    return mln_len(rows) > 0 || before != after ? state_store(rq, list, &s) : MLN_OK;
}

struct mln_err pki_crl_drop(struct mln_request *rq, const struct mln_value *gone)
{
    const struct mln_value *lists = NULL;
    MLN_TRY(pki_list(rq, "crl/", &lists));
    for (size_t i = 0; i < mln_len(lists) && mln_len(gone) > 0; i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(lists, i)), rest;
        MLN_TRY(drop_from(rq, mln_text_dup(rq->cx, mln_bytes_cut(name, '/', &rest)), gone));
    }
    return MLN_OK;
}

/* ---- building ---- */

/* Views of the entries from number `from` on. */
static struct mln_err entries_from(struct mln_request *rq, const char *list, const struct state *s,
                                   int64_t from, struct mln_bytes *parts, size_t *ret_n)
{
    int64_t first = from / SEGMENT_MAX, skip = from % SEGMENT_MAX;
    size_t n = 0;
    for (int64_t i = first; i < s->segments; i++) {
        struct mln_bytes left, entry, serial;
        MLN_TRY(segment_load(rq, list, i, &left));
        for (int64_t k = 0; i == first && k < skip && next_entry(&left, &entry, &serial); k++) {
        }
        parts[n++] = left;
    }
    *ret_n = n;
    return MLN_OK;
}

struct job {
    const struct pki_issuer *issuer;
    struct pki_crl_config config;
    struct state state;
    const struct mln_value *rows; /* that wait */
    struct built full, delta;
};

static int64_t stamp_of(const struct pki_crl_config *c)
{
    return c->expiry_s * 2 + (c->disable ? 1 : 0);
}

static struct mln_err build(struct mln_request *rq, struct job *job, bool is_delta)
{
    const char *list = job->issuer->list;
    int64_t now_s = rq->now_ns / 1000000000;
    struct mln_x509_signer by;
    size_t n = 0;
    MLN_TRY(fold(rq, list, &job->state, job->rows));
    job->rows = NULL;
    struct mln_bytes *parts =
        mln_new_array(rq->cx, (size_t)job->state.segments + 1, sizeof(*parts));
    MLN_TRY(mln_cx_err(rq->cx));
    if (!job->config.disable) {
        MLN_TRY(entries_from(rq, list, &job->state, is_delta ? job->full.entries : 0, parts, &n));
    }
    MLN_TRY(pki_signer_of(rq, job->issuer, 0, false, &by));
    by.sig = job->issuer->list_sig;
    struct built b = {.generation = job->state.generation,
                      .number = ++job->state.number,
                      .this_s = now_s,
                      .next_s = now_s + job->config.expiry_s,
                      .stamp = stamp_of(&job->config),
                      .entries = is_delta ? job->full.entries : job->state.entries};
    struct mln_crl_spec spec = {.issuer = job->issuer->subject,
                                .authority_key = job->issuer->subject_key,
                                .this_s = b.this_s,
                                .next_s = b.next_s,
                                .number = b.number,
                                .base_number = is_delta ? job->full.number : -1,
                                .parts = parts,
                                .n = n};
    MLN_TRY(mln_crl_build(rq->cx, &spec, &by, &b.der));
    *(is_delta ? &job->delta : &job->full) = b;
    mln_txn_mark_relief(rq->txn); /* who was revoked must come out on a full disk, too */
    MLN_TRY(built_store(rq, list, is_delta, &b));
    return state_store(rq, list, &job->state);
}

static bool is_full_fresh(const struct mln_request *rq, const struct job *job)
{
    const struct pki_crl_config *c = &job->config;
    int64_t grace = c->grace_s < c->expiry_s / 2 ? c->grace_s : c->expiry_s / 2;
    bool is_young = rq->now_ns / 1000000000 < job->full.next_s - grace;
    return job->full.der.len > 0 && job->full.stamp == stamp_of(c) && is_young &&
           (c->auto_rebuild ||
            (job->full.generation == job->state.generation && mln_len(job->rows) == 0));
}

/* A delta waits for its interval even when something was revoked; over another base it is of no use. */
static bool is_delta_fresh(const struct mln_request *rq, const struct job *job)
{
    int64_t now_s = rq->now_ns / 1000000000;
    const struct built *d = &job->delta;
    bool is_same = d->generation == job->state.generation && mln_len(job->rows) == 0 &&
                   now_s < d->next_s - job->config.expiry_s / 2;
    return d->der.len > 0 && d->stamp == job->full.stamp && d->entries == job->full.entries &&
           d->number > job->full.number && (is_same || now_s < d->this_s + job->config.delta_s);
}

static struct mln_err job_of(struct mln_request *rq, const struct pki_issuer *issuer,
                             struct job *ret)
{
    *ret = (struct job){.issuer = issuer};
    if (issuer->key_id[0] == '\0' || (issuer->usage & PKI_CRL_SIGNING) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    MLN_TRY(pki_crl_config_load(rq, &ret->config));
    MLN_TRY(state_load(rq, issuer->list, &ret->state));
    MLN_TRY(waiting(rq, issuer->list, &ret->rows));
    MLN_TRY(built_load(rq, issuer->list, false, &ret->full));
    return built_load(rq, issuer->list, true, &ret->delta);
}

struct mln_err pki_crl_of(struct mln_request *rq, const struct pki_issuer *issuer, bool is_delta,
                          struct mln_bytes *ret)
{
    struct job job;
    MLN_TRY(job_of(rq, issuer, &job));
    if (is_delta && !job.config.enable_delta) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (!is_full_fresh(rq, &job)) {
        MLN_TRY(build(rq, &job, false));
    }
    if (is_delta && !is_delta_fresh(rq, &job)) {
        MLN_TRY(build(rq, &job, true));
    }
    *ret = is_delta ? job.delta.der : job.full.der;
    return mln_cx_err(rq->cx);
}

/* ---- handlers ---- */

/* Lists of issuers that sign any; each list once. */
static struct mln_err each(struct mln_request *rq,
                           struct mln_err (*one)(struct mln_request *, const struct pki_issuer *))
{
    struct pki_issuer *all = NULL;
    size_t n = 0;
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    for (size_t i = 0; i < n; i++) {
        bool is_done = all[i].key_id[0] == '\0' || (all[i].usage & PKI_CRL_SIGNING) == 0;
        for (size_t j = 0; j < i && !is_done; j++) {
            is_done = (all[j].usage & PKI_CRL_SIGNING) != 0 && all[j].key_id[0] != '\0' &&
                      mln_bytes_is(mln_bytes_of(all[i].list), all[j].list);
        }
        if (!is_done) {
            MLN_TRY(one(rq, &all[i]));
        }
    }
    return MLN_OK;
}

/* Lists that nobody reads are not made, but rows do not pile up either. */
static struct mln_err freshen(struct mln_request *rq, const struct pki_issuer *issuer)
{
    struct job job;
    MLN_TRY(job_of(rq, issuer, &job));
    bool is_read = job.full.der.len > 0, is_auto = job.config.auto_rebuild;
    if (is_read && is_auto && !is_full_fresh(rq, &job)) {
        MLN_TRY(build(rq, &job, false));
    }
    if (is_read && is_auto && job.config.enable_delta && !is_delta_fresh(rq, &job)) {
        MLN_TRY(build(rq, &job, true));
    }
    if (mln_len(job.rows) < FOLD_LATER) {
        return MLN_OK;
    }
    MLN_TRY(fold(rq, issuer->list, &job.state, job.rows));
    return state_store(rq, issuer->list, &job.state);
}

struct mln_err pki_crl_tick(struct mln_request *rq)
{
    return each(rq, freshen);
}

static struct mln_err rebuild_full(struct mln_request *rq, const struct pki_issuer *issuer)
{
    struct job job;
    MLN_TRY(job_of(rq, issuer, &job));
    return build(rq, &job, false);
}

static struct mln_err rebuild_delta(struct mln_request *rq, const struct pki_issuer *issuer)
{
    struct job job;
    MLN_TRY(job_of(rq, issuer, &job));
    if (!job.config.enable_delta) {
        return MLN_OK;
    }
    if (!is_full_fresh(rq, &job)) {
        MLN_TRY(build(rq, &job, false));
    }
    return build(rq, &job, true);
}

struct mln_err pki_crl_rotate(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    bool is_delta = mln_bytes_ends(rq->rest, MLN_BYTES("-delta"));
    MLN_TRY(each(rq, is_delta ? rebuild_delta : rebuild_full));
    mln_put_bool(rq->cx, data, "success", true);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* crl, crl/delta and the same below issuer/ */
static struct mln_err find(struct mln_request *rq, struct mln_reply *re, struct mln_bytes *ret)
{
    struct pki_issuer issuer;
    struct mln_bytes ref = pki_text(rq, "issuer_ref");
    bool is_delta = mln_bytes_find_bytes(rq->rest, MLN_BYTES("crl/delta")) < rq->rest.len;
    struct mln_err err = pki_issuer_find(rq, ref, &issuer);
    *ret = MLN_BYTES_NONE;
    if (mln_is(err, MLN_E_NOT_FOUND) && ref.len > 0) {
        return pki_no_issuer(rq, re, ref);
    }
    err = mln_failed(err) ? err : pki_crl_of(rq, &issuer, is_delta, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? pki_not_found(re) : err;
}

struct mln_err pki_crl_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes der;
    struct mln_err err = find(rq, re, &der);
    return der.len > 0 ? pki_raw(re, der, "application/pkix-crl") : err;
}

struct mln_err pki_crl_pem_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes der;
    struct mln_err err = find(rq, re, &der);
    return der.len > 0
               ? pki_raw_text(re, mln_pem_text(rq->cx, "X509 CRL", der), "application/x-pem-file")
               : err;
}

struct mln_err pki_crl_json_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes der;
    struct mln_err err = find(rq, re, &der);
    if (der.len > 0) {
        struct mln_value *data = mln_object(rq->cx);
        mln_put_text(rq->cx, data, "crl", mln_pem_text(rq->cx, "X509 CRL", der));
        re->data = data;
    }
    return der.len > 0 ? mln_cx_err(rq->cx) : err;
}
