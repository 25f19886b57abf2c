/* SPDX-License-Identifier: Apache-2.0 */
/* Registration entries: what a client may say of one, and its rows. */
#include "identity/spiffe_priv.h"

#include <stdlib.h>

#include "identity/identity_priv.h"

#define DNS_MAX       64u
#define DNS_BYTES     253u
#define FEDERATES_MAX 64u
#define HINT_BYTES    1024u
#define ID_BYTES      40u
#define TTL_MAX_S     (10LL * 365 * 86400)

struct making {
    struct mln_request *rq;
    const struct sp_state *state;
    const struct mln_value *asked, *old;
    struct mln_value *row;
};

static const char *const names[] = {
    "id",           "spiffe_id",  "parent_id",      "selectors", "x509_svid_ttl",
    "jwt_svid_ttl", "dns_names",  "federates_with", "hint",      "admin",
    "downstream",   "store_svid", "expires_at",     "source"};

static struct mln_err check_names(struct making *m)
{
    for (size_t i = 0; i < mln_len(m->asked); i++) {
        bool is_known = false;
        struct mln_bytes key = mln_member_at(m->asked, i)->key;
        for (size_t k = 0; !is_known && k < MLN_COUNT(names); k++) {
            is_known = mln_bytes_is(key, names[k]);
        }
        if (!is_known) {
            return mln_fail(m->rq->cx, MLN_E_INVALID, "a registration entry has no \"%.*s\"",
                            key.len > 40 ? 40 : (int)key.len, (const char *)key.ptr);
        }
    }
    return MLN_OK;
}

/* What was asked, else what was; NULL when neither. */
static const struct mln_value *value_of(const struct making *m, const char *name)
{
    const struct mln_value *v = mln_get(m->asked, name);
    return !mln_is_null(v) ? v : mln_get(m->old, name);
}

static struct mln_err put_id(struct making *m)
{
    struct mln_bytes id = mln_get_bytes(value_of(m, "id"));
    if (id.len == 0) {
        mln_put_text(m->rq->cx, m->row, "id", id_new_uuid(m->rq->cx));
        return MLN_OK;
    }
    if (!id_is_id(id) || id.len > ID_BYTES) {
        return mln_fail(m->rq->cx, MLN_E_INVALID,
                        "an entry's id has 1 to %u letters, digits, dashes and underscores",
                        ID_BYTES);
    }
    mln_put_bytes(m->rq->cx, m->row, "id", id);
    return MLN_OK;
}

static struct mln_err check_spiffe(struct making *m, const char *what, struct mln_bytes text,
                                   struct mln_spiffe_id *ret)
{
    struct mln_cx *cx = m->rq->cx;
    if (mln_failed(mln_spiffe_id_parse(cx, text, ret))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "%s: %s", what, why);
    }
    if (!mln_bytes_is(ret->domain, m->state->domain) || ret->path.len == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "%s must be below this server's trust domain: spiffe://%s/...", what,
                        m->state->domain);
    }
    return MLN_OK;
}

static struct mln_err put_spiffe(struct making *m)
{
    struct mln_cx *cx = m->rq->cx;
    struct mln_spiffe_id id;
    struct mln_bytes parent = mln_get_bytes(value_of(m, "parent_id"));
    parent = parent.len > 0 ? parent : mln_bytes_of(m->state->server);
    MLN_TRY(check_spiffe(m, "spiffe_id", mln_get_bytes(value_of(m, "spiffe_id")), &id));
    if (sp_id_is_reserved(&id)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "spiffe_id: paths below /merlon/ are those of servers and nodes");
    }
    mln_put_bytes(cx, m->row, "spiffe_id", id.text);
    MLN_TRY(check_spiffe(m, "parent_id", parent, &id));
    mln_put_bytes(cx, m->row, "parent_id", mln_bytes_dup(cx, id.text));
    return MLN_OK;
}

static bool selector_ok(struct mln_bytes s)
{
    struct mln_bytes value, type = mln_bytes_cut(s, ':', &value);
    bool ok = type.len > 0 && value.len > 0 && s.len <= SP_SELECTOR_BYTES && mln_utf8_valid(s);
    for (size_t i = 0; ok && i < s.len; i++) {
        ok = s.ptr[i] >= ' ' && s.ptr[i] != 0x7f;
    }
    for (size_t i = 0; ok && i < type.len; i++) {
        uint8_t c = type.ptr[i];
        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    }
    return ok;
}

static struct mln_err put_selectors(struct making *m)
{
    struct mln_cx *cx = m->rq->cx;
    const struct mln_value *asked = value_of(m, "selectors");
    struct mln_value *set = mln_set(cx), *list = mln_array(cx); /* sorted, each once */
    if (mln_type_of(asked) != MLN_ARRAY || mln_len(asked) == 0 ||
        mln_len(asked) > SP_SELECTORS_MAX) {
        return mln_fail(cx, MLN_E_INVALID,
                        "selectors must be given: a list of 1 to %u texts like \"unix:uid:1000\"",
                        SP_SELECTORS_MAX);
    }
    for (size_t i = 0; i < mln_len(asked); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(asked, i));
        if (!selector_ok(one)) {
            return mln_fail(cx, MLN_E_INVALID,
                            "selector %zu is not of the form TYPE:VALUE, like \"unix:uid:1000\"",
                            i + 1);
        }
        mln_push(cx, set, mln_item(asked, i));
    }
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_push(cx, list, mln_item(set, i));
    }
    mln_put(cx, m->row, "selectors", list);
    return MLN_OK;
}

static bool dns_ok(struct mln_bytes name)
{
    size_t label = 0;
    bool ok = name.len > 0 && name.len <= DNS_BYTES;
    name = mln_bytes_starts(name, MLN_BYTES("*.")) ? mln_bytes_from(name, 2) : name;
    for (size_t i = 0; ok && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        bool is_dash = c == '-' && label > 0 && i + 1 < name.len && name.ptr[i + 1] != '.';
        ok = is_plain || is_dash || (c == '.' && label > 0 && i + 1 < name.len);
        label = c == '.' ? 0 : label + 1;
        ok = ok && label <= 63;
    }
    return ok && name.len > 0;
}

static struct mln_err put_dns(struct making *m)
{
    struct mln_cx *cx = m->rq->cx;
    const struct mln_value *asked = value_of(m, "dns_names");
    if (mln_len(asked) > DNS_MAX || (!mln_is_null(asked) && mln_type_of(asked) != MLN_ARRAY)) {
        return mln_fail(cx, MLN_E_INVALID, "dns_names is a list of at most %u names", DNS_MAX);
    }
    for (size_t i = 0; i < mln_len(asked); i++) {
        if (!dns_ok(mln_get_bytes(mln_item(asked, i)))) {
            return mln_fail(cx, MLN_E_INVALID, "DNS name %zu is none", i + 1);
        }
    }
    mln_put(cx, m->row, "dns_names", asked != NULL ? asked : mln_array(cx));
    return MLN_OK;
}

/* "other.example" and "spiffe://other.example" are the same. */
static struct mln_err put_federates(struct making *m)
{
    struct mln_cx *cx = m->rq->cx;
    const struct mln_value *asked = value_of(m, "federates_with");
    struct mln_value *set = mln_set(cx), *list = mln_array(cx);
    if (mln_len(asked) > FEDERATES_MAX ||
        (!mln_is_null(asked) && mln_type_of(asked) != MLN_ARRAY)) {
        return mln_fail(cx, MLN_E_INVALID, "federates_with is a list of at most %u trust domains",
                        FEDERATES_MAX);
    }
    for (size_t i = 0; i < mln_len(asked); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(asked, i));
        one = mln_bytes_starts(one, MLN_BYTES("spiffe://")) ? mln_bytes_from(one, 9) : one;
        if (!mln_spiffe_domain_ok(one) || mln_bytes_is(one, m->state->domain)) {
            return mln_fail(cx, MLN_E_INVALID,
                            "federates_with: trust domain %zu is none, or is this server's own",
                            i + 1);
        }
        mln_push(cx, set, mln_string(cx, mln_bytes_format(cx, "spiffe://%.*s", MLN_FMT(one))));
    }
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_push(cx, list, mln_item(set, i));
    }
    mln_put(cx, m->row, "federates_with", list);
    return mln_cx_err(cx);
}

static struct mln_err put_number(struct making *m, const char *name, int64_t max)
{
    const struct mln_value *v = value_of(m, name);
    int64_t n = mln_get_int(v, 0);
    if (mln_type_of(v) == MLN_STRING && !mln_duration_parse(mln_get_bytes(v), &n)) {
        n = -1;
    }
    bool is_number = mln_is_null(v) || mln_type_of(v) == MLN_INT || mln_type_of(v) == MLN_STRING;
    if (!is_number || n < 0 || n > max) {
        return mln_fail(m->rq->cx, MLN_E_INVALID, "%s must be from 0 to %lld seconds", name,
                        (long long)max);
    }
    mln_put_int(m->rq->cx, m->row, name, n);
    return MLN_OK;
}

static struct mln_err put_text(struct making *m, const char *name)
{
    struct mln_bytes text = mln_get_bytes(value_of(m, name));
    bool ok = text.len <= HINT_BYTES && mln_utf8_valid(text);
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = text.ptr[i] >= ' ' && text.ptr[i] != 0x7f;
    }
    mln_put_bytes(m->rq->cx, m->row, name, text);
    return ok ? MLN_OK
              : mln_fail(m->rq->cx, MLN_E_INVALID,
                         "%s is a text of at most %u bytes without control characters", name,
                         HINT_BYTES);
}

static struct mln_err put_flag(struct making *m, const char *name)
{
    const struct mln_value *v = value_of(m, name);
    bool is_text = mln_is_text(v, "true") || mln_is_text(v, "false");
    if (!mln_is_null(v) && mln_type_of(v) != MLN_BOOL && !is_text) {
        return mln_fail(m->rq->cx, MLN_E_INVALID, "%s is true or false", name);
    }
    mln_put_bool(m->rq->cx, m->row, name,
                 is_text ? mln_is_text(v, "true") : mln_get_bool(v, false));
    return MLN_OK;
}

static struct mln_err put_rest(struct making *m)
{
    MLN_TRY(put_dns(m));
    MLN_TRY(put_federates(m));
    MLN_TRY(put_number(m, "x509_svid_ttl", TTL_MAX_S));
    MLN_TRY(put_number(m, "jwt_svid_ttl", TTL_MAX_S));
    MLN_TRY(put_number(m, "expires_at", INT64_MAX / SP_SECOND_NS));
    MLN_TRY(put_text(m, "hint"));
    MLN_TRY(put_text(m, "source"));
    MLN_TRY(put_flag(m, "admin"));
    MLN_TRY(put_flag(m, "downstream"));
    return put_flag(m, "store_svid");
}

struct mln_err sp_entry_make(struct mln_request *rq, const struct sp_state *state,
                             const struct mln_value *asked, const struct mln_value *old,
                             const struct mln_value **ret)
{
    struct making m = {
        .rq = rq, .state = state, .asked = asked, .old = old, .row = mln_object(rq->cx)};
    if (mln_type_of(asked) != MLN_OBJECT) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a registration entry is an object");
    }
    MLN_TRY(check_names(&m));
    MLN_TRY(put_id(&m));
    MLN_TRY(put_spiffe(&m));
    MLN_TRY(put_selectors(&m));
    MLN_TRY(put_rest(&m));
    mln_put_int(rq->cx, m.row, "created_ns", mln_get_int(mln_get(old, "created_ns"), rq->now_ns));
    mln_put_int(rq->cx, m.row, "revision", mln_get_int(mln_get(old, "revision"), -1) + 1);
    *ret = m.row;
    return mln_cx_err(rq->cx);
}

/* ---- rows ---- */

static struct mln_bytes similar_key(struct mln_request *rq, const struct mln_value *row)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    uint8_t digest[32];
    const struct mln_value *selectors = mln_get(row, "selectors");
    mln_buf_add_bytes(&all, mln_get_bytes(mln_get(row, "spiffe_id")));
    mln_buf_add_byte(&all, 0);
    mln_buf_add_bytes(&all, mln_get_bytes(mln_get(row, "parent_id")));
    for (size_t i = 0; i < mln_len(selectors); i++) {
        mln_buf_add_byte(&all, 0);
        mln_buf_add_bytes(&all, mln_get_bytes(mln_item(selectors, i)));
    }
    mln_sha256(mln_buf_bytes(&all), digest);
    return mln_bytes_of(mln_hex_text(rq->cx, mln_bytes_at(digest, 32)));
}

struct mln_err sp_entry_similar(struct mln_request *rq, const struct mln_value *row,
                                const char **ret_id)
{
    const struct mln_value *id = NULL;
    struct mln_err err = sp_row_get(rq, "similar/", similar_key(rq, row), &id);
    *ret_id = mln_failed(err) ? "" : mln_get_text(rq->cx, id, "");
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_cx_err(rq->cx) : err;
}

static struct mln_err put_similar(struct mln_request *rq, const struct mln_value *row,
                                  const struct mln_value *old)
{
    struct mln_bytes key = similar_key(rq, row),
                     before = old != NULL ? similar_key(rq, old) : MLN_BYTES_NONE;
    const char *other = NULL;
    if (mln_bytes_eq(key, before)) {
        return MLN_OK;
    }
    MLN_TRY(sp_entry_similar(rq, row, &other));
    if (other[0] != '\0') {
        return mln_fail(rq->cx, MLN_E_EXISTS,
                        "entry %s has this SPIFFE id, parent and selectors already", other);
    }
    if (old != NULL) {
        MLN_TRY(sp_row_delete(rq, "similar/", before));
    }
    return sp_row_put(rq, "similar/", key, mln_get(row, "id"));
}

struct mln_err sp_entry_store(struct mln_request *rq, const struct mln_value *row,
                              const struct mln_value *old)
{
    const struct mln_value *there = NULL;
    struct mln_bytes id = mln_get_bytes(mln_get(row, "id"));
    if (old == NULL) {
        struct mln_err err = sp_row_get(rq, "entry/", id, &there);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            return mln_failed(err) ? err
                                   : mln_fail(rq->cx, MLN_E_EXISTS,
                                              "an entry with id %.*s exists already", MLN_FMT(id));
        }
    }
    MLN_TRY(put_similar(rq, row, old));
    return sp_row_put(rq, "entry/", id, row);
}

struct mln_err sp_entry_delete(struct mln_request *rq, const struct mln_value *row)
{
    MLN_TRY(sp_row_delete(rq, "similar/", similar_key(rq, row)));
    return sp_row_delete(rq, "entry/", mln_get_bytes(mln_get(row, "id")));
}

struct mln_value *sp_entry_show(struct mln_cx *cx, const struct mln_value *row)
{
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(row); i++) {
        const struct mln_member *m = mln_member_at(row, i);
        if (mln_bytes_is(m->key, "created_ns")) {
            mln_put_int(cx, out, "created_at", mln_get_int(&m->value, 0) / SP_SECOND_NS);
        } else {
            mln_put_key(cx, out, m->key, &m->value);
        }
    }
    return out;
}
