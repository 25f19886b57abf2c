/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spiffe/connections: what connections of workloads left behind, told by who carried them (`merlon proxy`). A batch is one record of class
 * evidence: the ledger says who told it, not that it is so. Nothing is kept but that record.
 */
#include "base/spiffe_id.h"
#include "base/text.h"
#include "identity/spiffe_priv.h"

#define BATCH_MAX 256u /* half a megabyte with the longest ids */
#define TEXT_MAX  512u

enum kind { EVENT, ID, TEXT, FLAG, COUNT, TIME };
struct member {
    const char *name;
    enum kind kind;
    bool is_needed;
};
static const struct member members[] = {
    {"event", EVENT, true},      {"conn", TEXT, true},      {"listener", TEXT, true},  {"mode", TEXT, true},
    {"target", TEXT, false},     {"from", TEXT, false},     {"peer_id", ID, false},    {"proved", FLAG, false},
    {"own_id", ID, false},       {"own_serial", TEXT, false}, {"start", TIME, true},   {"end", TIME, false},
    {"bytes_in", COUNT, false},  {"bytes_out", COUNT, false}, {"reason", TEXT, false}, {"detail", TEXT, false},
};

static bool is_text(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return text.len > 0 && text.len <= TEXT_MAX;
}

static bool fits(struct mln_cx *cx, const struct member *m, const struct mln_value *v)
{
    struct mln_spiffe_id id;
    struct mln_bytes text = mln_get_bytes(v);
    int64_t ns = 0;
    bool ok = false;
    switch (m->kind) {
    case EVENT:
        return mln_is_text(v, "open") || mln_is_text(v, "end") || mln_is_text(v, "refused");
    case ID:
        ok = !mln_failed(mln_spiffe_id_parse(cx, text, &id));
        mln_cx_clear(cx);
        return ok;
    case TEXT:
        return mln_type_of(v) == MLN_STRING && is_text(text);
    case FLAG:
        return mln_type_of(v) == MLN_BOOL;
    case COUNT:
        return mln_type_of(v) == MLN_INT && mln_get_int(v, -1) >= 0;
    case TIME:
        return mln_time_parse(text, &ns);
    }
    return false;
}

static const struct member *member_of(struct mln_bytes name)
{
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (mln_bytes_is(name, members[i].name)) {
            return &members[i];
        }
    }
    return NULL;
}

static struct mln_err check_one(struct mln_cx *cx, const struct mln_value *one, size_t at)
{
    if (mln_type_of(one) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "connections[%zu] must be an object", at);
    }
    for (size_t i = 0; i < mln_len(one); i++) {
        const struct mln_member *m = mln_member_at(one, i);
        const struct member *known = member_of(m->key);
        if (known == NULL || !fits(cx, known, &m->value)) {
            return mln_fail(cx, MLN_E_INVALID, "connections[%zu]: %s '%.*s'", at, known == NULL ? "unknown member" : "no such value in",
                            MLN_FMT(mln_bytes_sub(m->key, 0, 64)));
        }
    }
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (members[i].is_needed && mln_get(one, members[i].name) == NULL) {
            return mln_fail(cx, MLN_E_INVALID, "connections[%zu]: '%s' is missing", at, members[i].name);
        }
    }
    return MLN_OK;
}

static struct mln_err tell(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *list = mln_field_of(rq, "connections");
    int64_t lost = mln_get_int(mln_field_of(rq, "lost"), 0);
    size_t n = mln_len(list);
    if (mln_type_of(list) != MLN_ARRAY || n == 0 || n > BATCH_MAX || lost < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "connections must be a list of 1 to %u, lost a number of those before it", BATCH_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        MLN_TRY(check_one(rq->cx, mln_item(list, i), i));
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, rq->detail, "connections", list);
    if (lost > 0) {
        mln_put_int(rq->cx, rq->detail, "lost", lost);
    }
    mln_put_int(rq->cx, data, "recorded", (int64_t)n);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field fields[] = {
    {.name = "connections", .type = MLN_FIELD_ANY, .help = "What proxies write down of connections: docs/spiffe-proxy.md."},
    {.name = "lost", .type = MLN_FIELD_INT, .help = "How many before these could not be kept."},
    {0},
};

const struct mln_path sp_connections_paths[] = {
    {.pattern = "connections",
     .summary = "Put what connections left behind into the ledger.",
     .fields = fields,
     .write = tell,
     .act = MLN_ACT_EVIDENCE,
     .controls = "AU-2,AC-4"},
    {0},
};
