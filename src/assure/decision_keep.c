/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engine `decision`: decisions that can be replayed, kept sealed for a while. The ledger has their digests for good. docs/gates.md
 *
 *   d/<id>          the decision without the texts of its policies
 *   p/<hex>         policies by their digest: {"policy", "last_day"}
 *   x/<day>/<id>    nothing: what goes when its day is over; day = days since 1970
 *   n/<day>         {"count", "bytes"}: what a day may hold is bounded
 *   config          {"keep_days", "day_count", "day_bytes"}
 */
#include "assure/decision_keep.h"

#include "assure/decision.h"
#include "assure/rows.h"
#include "base/json.h"
#include "base/text.h"
#include "barrier/txn.h"

#define DAY_NS        ((int64_t)86400 * 1000000000)
#define KEEP_DAYS     90
#define KEEP_DAYS_MAX 3660
#define DAY_COUNT     100000
#define DAY_BYTES     ((int64_t)256 << 20)
#define SWEEP_MAX     1000u /* decisions that one tick deletes: a transaction of bounded size */
#define ID_LEN        (4u + MLN_DECISION_ID_HEX)

/* ---- configuration ---- */

struct config {
    int64_t keep_days, day_count, day_bytes;
};

static struct mln_err read_config(struct mln_request *rq, struct config *ret)
{
    const struct mln_value *v = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), &v);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    ret->keep_days = mln_get_int(mln_get(v, "keep_days"), KEEP_DAYS);
    ret->day_count = mln_get_int(mln_get(v, "day_count"), DAY_COUNT);
    ret->day_bytes = mln_get_int(mln_get(v, "day_bytes"), DAY_BYTES);
    return MLN_OK;
}

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    struct config c;
    struct mln_value *v = mln_object(rq->cx);
    MLN_TRY(read_config(rq, &c));
    mln_put_int(rq->cx, v, "keep_days", c.keep_days);
    mln_put_int(rq->cx, v, "day_count", c.day_count);
    mln_put_int(rq->cx, v, "day_bytes", c.day_bytes);
    re->data = v;
    return mln_cx_err(rq->cx);
}

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *v = mln_object(rq->cx);
    int64_t days = mln_get_int(mln_field_of(rq, "keep_days"), KEEP_DAYS), count = mln_get_int(mln_field_of(rq, "day_count"), DAY_COUNT);
    int64_t bytes = mln_get_int(mln_field_of(rq, "day_bytes"), DAY_BYTES);
    (void)re;
    if (days < 1 || days > KEEP_DAYS_MAX || count < 0 || bytes < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "keep_days is 1 to %d, day_count and day_bytes are not negative", KEEP_DAYS_MAX);
    }
    mln_put_int(rq->cx, v, "keep_days", days);
    mln_put_int(rq->cx, v, "day_count", count);
    mln_put_int(rq->cx, v, "day_bytes", bytes);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), v);
}

/* ---- keeping ---- */

/* What a caller sends is kept under its digests only when it has them. */
static struct mln_err check_digests(struct mln_cx *cx, const struct mln_value *d)
{
    const struct mln_value *policy = mln_get(d, "policy"), *modules = mln_get(policy, "modules");
    size_t n = mln_len(modules);
    struct mln_rego_source *sources = mln_new_array(cx, n + 1, sizeof(*sources));
    const char *policies = NULL, *input = NULL, *result = NULL;
    MLN_TRY(mln_cx_err(cx));
    if (mln_type_of(modules) != MLN_ARRAY || n > MLN_RULES_MODULES_MAX || mln_get(d, "input") == NULL || mln_get(d, "said") == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "this is no decision: policy.modules, input or said is missing");
    }
    for (size_t i = 0; i < n; i++) {
        sources[i].name = mln_get_text(cx, mln_get(mln_item(modules, i), "name"), "");
        sources[i].text = mln_get_bytes(mln_get(mln_item(modules, i), "text"));
    }
    MLN_TRY(mln_digest_sources(cx, sources, n, &policies));
    MLN_TRY(mln_digest_value(cx, mln_get(d, "input"), &input));
    MLN_TRY(mln_digest_value(cx, mln_get(d, "said"), &result));
    bool fits = mln_is_text(mln_get(policy, "digest"), policies) && mln_is_text(mln_get(d, "input_digest"), input) &&
                mln_is_text(mln_get(d, "result_digest"), result);
    return fits ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "this decision's digests are not those of its content");
}

static bool is_id(struct mln_bytes id)
{
    bool ok = id.len == ID_LEN && mln_bytes_starts(id, MLN_BYTES("dec-"));
    for (size_t i = 4; ok && i < id.len; i++) {
        ok = (id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'f');
    }
    return ok;
}

/* The day's count, one more; LIMIT when it is full. */
static struct mln_err count_one(struct mln_request *rq, int64_t day, int64_t bytes)
{
    const struct mln_value *v = NULL;
    struct mln_value *next = mln_object(rq->cx);
    struct config c;
    struct mln_bytes key = mln_bytes_format(rq->cx, "n/%lld", (long long)day);
    MLN_TRY(read_config(rq, &c));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, &v);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    int64_t count = mln_get_int(mln_get(v, "count"), 0) + 1, sum = mln_get_int(mln_get(v, "bytes"), 0) + bytes;
    if (count > c.day_count || sum > c.day_bytes) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "no more decisions are kept today: see %sconfig", rq->mount->path);
    }
    mln_put_int(rq->cx, next, "count", count);
    mln_put_int(rq->cx, next, "bytes", sum);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key, next);
}

static struct mln_err keep_policy(struct mln_request *rq, const struct mln_value *policy, int64_t day)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *before = NULL;
    struct mln_bytes hex = mln_bytes_from(mln_get_bytes(mln_get(policy, "digest")), 7);
    struct mln_bytes key = mln_bytes_format(cx, "p/%.*s", MLN_FMT(hex));
    struct mln_err err = mln_txn_get_value(cx, rq->txn, rq->mount->view, key, &before);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    if (mln_get_int(mln_get(before, "last_day"), -1) >= day) {
        return MLN_OK;
    }
    struct mln_value *row = mln_object(cx);
    mln_put(cx, row, "modules", mln_get(policy, "modules"));
    mln_put_int(cx, row, "last_day", day);
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, key, row);
}

static int64_t size_of(const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    mln_json_print(&json, v, MLN_JSON_COMPACT);
    return (int64_t)json.len;
}

static void tell(struct mln_request *rq, const struct mln_value *d)
{
    static const char *const same[] = {"kind", "verdict", "input_digest", "result_digest"};
    static const char *const as[] = {"kind", "verdict", "input", "result"};
    mln_put(rq->cx, rq->detail, "decision", mln_get(d, "id"));
    mln_put(rq->cx, rq->detail, "policy", mln_get(mln_get(d, "policy"), "digest"));
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(rq->cx, rq->detail, as[i], mln_get(d, same[i]));
    }
}

static struct mln_err keep_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *d = mln_field_of(rq, "decision"), *id = mln_get(d, "id");
    int64_t day = rq->now_ns / DAY_NS;
    if (!is_id(mln_get_bytes(id))) {
        return mln_fail(cx, MLN_E_INVALID, "this is no decision: its id is not dec- and %u hex digits", MLN_DECISION_ID_HEX);
    }
    int64_t bytes = size_of(d);
    if (bytes > (int64_t)(MLN_DECISION_INPUT_MAX + 2 * MLN_RULES_BYTES_MAX)) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "this decision is too large to be kept");
    }
    MLN_TRY(check_digests(cx, d));
    MLN_TRY(count_one(rq, day, bytes));
    MLN_TRY(keep_policy(rq, mln_get(d, "policy"), day));
    struct mln_value *row = mln_value_dup(cx, d), *policy = mln_value_dup(cx, mln_get(d, "policy"));
    mln_remove(policy, MLN_BYTES("modules"));
    mln_put(cx, row, "policy", policy);
    MLN_TRY(mln_txn_put_value(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "d/%.*s", MLN_FMT(mln_get_bytes(id))), row));
    MLN_TRY(mln_txn_put(cx, rq->txn, rq->mount->view,
                        mln_bytes_format(cx, "x/%lld/%.*s", (long long)day, MLN_FMT(mln_get_bytes(id))), MLN_BYTES_NONE));
    tell(rq, d);
    struct mln_value *answer = mln_object(cx);
    mln_put(cx, answer, "id", id);
    re->data = answer;
    return mln_cx_err(cx);
}

/* ---- reading ---- */

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_assure_list(rq, MLN_BYTES("d/"), re);
}

static struct mln_err read_one(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id"));
    const struct mln_value *row = NULL, *policies = NULL;
    if (!is_id(id)) {
        return mln_fail(cx, MLN_E_INVALID, "no id of a decision: dec- and %u hex digits", MLN_DECISION_ID_HEX);
    }
    struct mln_err err = mln_txn_get_value(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "d/%.*s", MLN_FMT(id)), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(cx, MLN_E_NOT_FOUND, "there is no decision %.*s, or it is not kept any more", MLN_FMT(id));
    }
    MLN_TRY(err);
    struct mln_value *d = mln_value_dup(cx, row), *policy = mln_value_dup(cx, mln_get(row, "policy"));
    struct mln_bytes hex = mln_bytes_from(mln_get_bytes(mln_get(policy, "digest")), 7);
    MLN_TRY(mln_txn_get_value(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "p/%.*s", MLN_FMT(hex)), &policies));
    mln_put(cx, policy, "modules", mln_get(policies, "modules"));
    mln_put(cx, d, "policy", policy);
    re->data = d;
    return mln_cx_err(cx);
}

/* ---- what is over goes ---- */

static struct mln_err sweep_day(struct mln_request *rq, const char *day, size_t *left)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = NULL;
    MLN_TRY(mln_txn_list(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "x/%s/", day), &ids));
    for (size_t i = 0; i < mln_len(ids) && *left > 0; i++, (*left)--) {
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        MLN_TRY(mln_txn_delete(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "d/%.*s", MLN_FMT(id))));
        MLN_TRY(mln_txn_delete(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "x/%s/%.*s", day, MLN_FMT(id))));
    }
    return *left > 0 ? mln_txn_delete(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "n/%s", day)) : MLN_OK;
}

static struct mln_err sweep_policies(struct mln_request *rq, int64_t oldest)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *all = NULL, *row = NULL;
    MLN_TRY(mln_txn_list(cx, rq->txn, rq->mount->view, MLN_BYTES("p/"), &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes key = mln_bytes_format(cx, "p/%.*s", MLN_FMT(mln_get_bytes(mln_item(all, i))));
        MLN_TRY(mln_txn_get_value(cx, rq->txn, rq->mount->view, key, &row));
        if (mln_get_int(mln_get(row, "last_day"), 0) < oldest) {
            MLN_TRY(mln_txn_delete(cx, rq->txn, rq->mount->view, key));
        }
    }
    return MLN_OK;
}

static struct mln_err tick(struct mln_request *rq)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *days = NULL;
    struct config c;
    size_t left = SWEEP_MAX, swept = 0;
    MLN_TRY(read_config(rq, &c));
    int64_t oldest = rq->now_ns / DAY_NS - c.keep_days;
    MLN_TRY(mln_txn_list(cx, rq->txn, rq->mount->view, MLN_BYTES("x/"), &days));
    for (size_t i = 0; i < mln_len(days) && left > 0; i++) {
        struct mln_bytes rest, day = mln_bytes_cut(mln_get_bytes(mln_item(days, i)), '/', &rest);
        int64_t n = 0;
        if (mln_i64_parse(day, &n) && n < oldest) {
            MLN_TRY(sweep_day(rq, mln_text_dup(cx, day), &left));
            swept++;
        }
    }
    return swept > 0 && left > 0 ? sweep_policies(rq, oldest) : MLN_OK;
}

/* ---- for other engines ---- */

struct mln_err mln_decision_keep(struct mln_request *rq, const struct mln_value *decision, bool *ret_kept)
{
    struct mln_reply re = {.ledger_index = UINT64_MAX};
    struct mln_value *body = mln_object(rq->cx);
    mln_put(rq->cx, body, "decision", decision);
    MLN_TRY(mln_cx_err(rq->cx));
    struct mln_err err = rq->services->call(rq, MLN_OP_WRITE, MLN_DECISION_MOUNT "keep", body, &re);
    *ret_kept = !mln_failed(err);
    bool is_ordinary = mln_is(err, MLN_E_NO_ROUTE) || mln_is(err, MLN_E_LIMIT) || mln_is(err, MLN_E_TOO_LARGE);
    if (is_ordinary) { /* no such mount, a full day: the record has the digests all the same */
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    return err;
}

static const struct mln_field keep_fields[] = {
    {.name = "decision", .type = MLN_FIELD_MAP, .help = "The document, as merlon gate check --record writes it.", .is_required = true},
    {0},
};
static const struct mln_field id_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "dec- and 16 hex digits.", .is_query = true},
    {0},
};
static const struct mln_field config_fields[] = {
    {.name = "keep_days", .type = MLN_FIELD_INT, .fallback = "90", .help = "How long decisions are kept."},
    {.name = "day_count", .type = MLN_FIELD_INT, .fallback = "100000", .help = "How many are kept of one day."},
    {.name = "day_bytes", .type = MLN_FIELD_INT, .fallback = "268435456", .help = "How many bytes of one day."},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "", .summary = "List the decisions that are kept.", .list = list},
    {.pattern = "keep",
     .summary = "Keep a decision; its digests must be those of its content.",
     .fields = keep_fields,
     .write = keep_write,
     .act = MLN_ACT_EVIDENCE,
     .controls = "AU-10,CM-3"},
    {.pattern = "config", .summary = "How long and how many.", .fields = config_fields, .read = config_read, .write = config_write},
    {.pattern = "{id}", .summary = "The whole decision, with its policies.", .fields = id_fields, .read = read_one},
    {0},
};

const struct mln_engine mln_assurance_decision = {
    .type = "decision",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Decisions of gates, admission and rules, kept so that they can be replayed.",
    .paths = paths,
    .tick = tick,
    .tick_s = 3600,
};
