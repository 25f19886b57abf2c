/* SPDX-License-Identifier: Apache-2.0 */
/* What a template makes of a caller's selectors, and what a client may say of one. See spiffe_template.h. */
#include "identity/spiffe_template.h"

#include "identity/identity_priv.h"

#define GLOBS_MAX   64u /* of namespaces, of service accounts */
#define LABELS_MAX  16u /* that a template looks at */
#define PARENTS_MAX 16u
#define GLOB_BYTES  253u /* the longest name that Kubernetes has */
#define NAME_BYTES  64u
#define ID_HEX      30u /* of an entry's id: 120 bits */

/* ---- {{...}} ---- */

/* What follows the next "{{", up to "}}"; false: there is none. *before: what stands in front of it, *rest: behind. */
static bool next_hole(struct mln_bytes text, struct mln_bytes *before, struct mln_bytes *name,
                      struct mln_bytes *rest)
{
    size_t open = mln_bytes_find_bytes(text, MLN_BYTES("{{"));
    struct mln_bytes inner = mln_bytes_from(text, open + 2);
    size_t close = mln_bytes_find_bytes(inner, MLN_BYTES("}}"));
    if (open == text.len || close == inner.len) {
        return false;
    }
    *before = mln_bytes_sub(text, 0, open);
    *name = mln_bytes_trim(mln_bytes_sub(inner, 0, close));
    *rest = mln_bytes_from(inner, close + 2);
    return true;
}

/* A label's name: no ":", which would end it in a selector, and nothing that does not show. */
static bool label_ok(struct mln_bytes name)
{
    bool ok = name.len > 0 && name.len <= 2 * GLOB_BYTES;
    for (size_t i = 0; ok && i < name.len; i++) {
        ok = name.ptr[i] > ' ' && name.ptr[i] < 0x7f && name.ptr[i] != ':';
    }
    return ok;
}

/* The selector that fills it: "k8s:ns:" for ns, "k8s:pod-label:app:" for label:app; none for what nothing fills. */
static struct mln_bytes filler_of(struct mln_cx *cx, struct mln_bytes name)
{
    static const struct {
        const char *name, *filler;
    } known[] = {{"ns", "k8s:ns:"},
                 {"sa", "k8s:sa:"},
                 {"node-name", "k8s:node-name:"},
                 {"container-name", "k8s:container-name:"}};
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is(name, known[i].name)) {
            return mln_bytes_of(known[i].filler);
        }
    }
    bool is_label =
        mln_bytes_starts(name, MLN_BYTES("label:")) && label_ok(mln_bytes_from(name, 6));
    return is_label ? mln_bytes_format(cx, "k8s:pod-label:%.*s:", MLN_FMT(mln_bytes_from(name, 6)))
                    : MLN_BYTES_NONE;
}

/* The one selector that begins so; none: absent, or there are two, and nobody could say which is meant. */
static struct mln_bytes the_one(const struct mln_value *selectors, struct mln_bytes prefix)
{
    struct mln_bytes found = MLN_BYTES_NONE;
    for (size_t i = 0; i < mln_len(selectors) && i < SP_CALLER_MAX; i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(selectors, i));
        if (mln_bytes_starts(one, prefix)) {
            if (found.len > 0) {
                return MLN_BYTES_NONE;
            }
            found = one;
        }
    }
    return found;
}

/* What may stand in a segment of an id. */
static bool value_ok(struct mln_bytes value)
{
    bool ok = value.len > 0 && value.len <= GLOB_BYTES && !mln_bytes_is(value, ".") &&
              !mln_bytes_is(value, "..");
    for (size_t i = 0; ok && i < value.len; i++) {
        uint8_t c = value.ptr[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    }
    return ok;
}

struct filling {
    struct mln_cx *cx;
    const char *domain;
    const struct mln_value
        *selectors;         /* of the caller; NULL: a trial, each hole is filled with "x" */
    struct mln_value *used; /* set: selectors that filled a hole, which the entry asks for */
};

/* False: something cannot be filled. */
static bool fill(const struct filling *f, struct mln_bytes text, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes before, name, rest;
    for (; next_hole(text, &before, &name, &rest); text = rest) {
        mln_buf_add_bytes(&out, before);
        struct mln_bytes filler = filler_of(f->cx, name),
                         shown = filler.len > 0 ? the_one(f->selectors, filler) : MLN_BYTES_NONE;
        struct mln_bytes value =
            f->selectors == NULL ? MLN_BYTES("x") : mln_bytes_from(shown, filler.len);
        bool is_domain = mln_bytes_is(name, "trust_domain");
        if (!is_domain && (filler.len == 0 || !value_ok(value))) {
            return false;
        }
        if (!is_domain && f->selectors != NULL) {
            mln_push(f->cx, f->used, mln_string(f->cx, shown));
        }
        mln_buf_add_bytes(&out, is_domain ? mln_bytes_of(f->domain) : value);
    }
    mln_buf_add_bytes(&out, text);
    *ret = mln_bytes_dup(f->cx, mln_buf_bytes(&out));
    return !out.has_failed;
}

/* ---- does it take this caller? ---- */

static bool fits_any(const struct mln_value *globs, struct mln_bytes text)
{
    bool fits = mln_len(globs) == 0;
    for (size_t i = 0; i < mln_len(globs) && !fits; i++) {
        fits = mln_bytes_glob(mln_get_bytes(mln_item(globs, i)), text);
    }
    return fits;
}

static bool has_text(const struct mln_value *list, struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(list, i)), text)) {
            return true;
        }
    }
    return false;
}

static bool takes_parent(const struct sp_state *state, const struct mln_value *tmpl,
                         struct mln_bytes parent)
{
    const struct mln_value *patterns = mln_get(tmpl, "parent_ids");
    bool takes = mln_len(patterns) == 0 && mln_bytes_is(parent, state->server);
    for (size_t i = 0; i < mln_len(patterns) && !takes; i++) {
        takes = mln_spiffe_pattern_fits(mln_get_bytes(mln_item(patterns, i)), parent);
    }
    return takes;
}

/* Pushes what it asks for into f->used. */
static bool takes_caller(const struct filling *f, const struct mln_value *tmpl)
{
    const struct mln_value *labels = mln_get(tmpl, "labels"), *more = mln_get(tmpl, "selectors");
    struct mln_bytes ns = the_one(f->selectors, MLN_BYTES("k8s:ns:")),
                     sa = the_one(f->selectors, MLN_BYTES("k8s:sa:"));
    bool takes = ns.len > 0 && sa.len > 0 &&
                 fits_any(mln_get(tmpl, "namespaces"), mln_bytes_from(ns, 7)) &&
                 fits_any(mln_get(tmpl, "service_accounts"), mln_bytes_from(sa, 7));
    for (size_t i = 0; i < mln_len(labels) && takes; i++) {
        const struct mln_member *m = mln_member_at(labels, i);
        struct mln_bytes prefix = mln_bytes_format(f->cx, "k8s:pod-label:%.*s:", MLN_FMT(m->key));
        struct mln_bytes label = the_one(f->selectors, prefix);
        takes = label.len > 0 &&
                mln_bytes_glob(mln_get_bytes(&m->value), mln_bytes_from(label, prefix.len));
        mln_push(f->cx, f->used, mln_string(f->cx, label));
    }
    for (size_t i = 0; i < mln_len(more) && takes; i++) {
        takes = has_text(f->selectors, mln_get_bytes(mln_item(more, i)));
        mln_push(f->cx, f->used, mln_item(more, i));
    }
    mln_push(f->cx, f->used, mln_string(f->cx, ns));
    mln_push(f->cx, f->used, mln_string(f->cx, sa));
    return takes;
}

/* ---- the entry ---- */

/* What sp_entry_make takes; false: a hole cannot be filled. */
static bool entry_of(const struct filling *f, const struct mln_value *tmpl, struct mln_bytes parent,
                     struct mln_value *asked)
{
    static const char *const same[] = {"federates_with", "x509_svid_ttl", "jwt_svid_ttl", "hint"};
    const struct mln_value *names = mln_get(tmpl, "dns_names");
    struct mln_value *dns = mln_array(f->cx), *selectors = mln_array(f->cx);
    struct mln_bytes text = MLN_BYTES_NONE;
    bool ok = fill(f, mln_get_bytes(mln_get(tmpl, "spiffe_id")), &text);
    mln_put_bytes(f->cx, asked, "spiffe_id", text);
    mln_put_bytes(f->cx, asked, "parent_id", parent);
    for (size_t i = 0; i < mln_len(names) && ok; i++) {
        ok = fill(f, mln_get_bytes(mln_item(names, i)), &text);
        mln_push(f->cx, dns, mln_string(f->cx, text));
    }
    for (size_t i = 0; i < mln_len(f->used); i++) {
        mln_push(f->cx, selectors, mln_item(f->used, i));
    }
    mln_put(f->cx, asked, "dns_names", dns);
    mln_put(f->cx, asked, "selectors", selectors);
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(f->cx, asked, same[i], mln_get(tmpl, same[i]));
    }
    return ok;
}

/* The same for the same template, parent and selectors, wherever and whenever it is made. */
static struct mln_bytes id_of(struct mln_cx *cx, const struct mln_value *tmpl,
                              const struct mln_value *asked)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    uint8_t digest[MLN_SHA256_BYTES];
    const struct mln_value *selectors = mln_get(asked, "selectors");
    mln_buf_add_bytes(&all, mln_get_bytes(mln_get(tmpl, "name")));
    mln_buf_add_byte(&all, 0);
    mln_buf_add_bytes(&all, mln_get_bytes(mln_get(asked, "parent_id")));
    for (size_t i = 0; i < mln_len(selectors); i++) {
        mln_buf_add_byte(&all, 0);
        mln_buf_add_bytes(&all, mln_get_bytes(mln_item(selectors, i)));
    }
    mln_sha256(mln_buf_bytes(&all), digest);
    return mln_bytes_format(cx, "%.*s%.*s", MLN_FMT(SP_MADE_PREFIX), (int)ID_HEX,
                            mln_hex_text(cx, mln_bytes_at(digest, sizeof(digest))));
}

struct mln_err sp_template_ask(struct mln_cx *cx, const struct sp_state *state,
                               const struct mln_value *tmpl, const struct sp_pod *pod,
                               const struct mln_value **ret)
{
    struct filling f = {
        .cx = cx, .domain = state->domain, .selectors = pod->selectors, .used = mln_set(cx)};
    struct mln_value *asked = mln_object(cx);
    *ret = NULL;
    if (!takes_parent(state, tmpl, pod->parent) || !takes_caller(&f, tmpl) ||
        !entry_of(&f, tmpl, pod->parent, asked)) {
        return mln_cx_err(cx);
    }
    mln_put_bytes(cx, asked, "id", id_of(cx, tmpl, asked));
    *ret = asked;
    return mln_cx_err(cx);
}

struct mln_err sp_template_row(struct mln_request *rq, const struct sp_state *state,
                               const struct mln_value *tmpl, const struct mln_value *asked,
                               const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *since = mln_object(cx);
    const struct mln_value *row = NULL;
    *ret = NULL;
    mln_put(cx, since, "created_ns", mln_get(tmpl, "created_ns"));
    mln_put_int(cx, since, "revision", mln_get_int(mln_get(tmpl, "revision"), 0) - 1);
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = sp_entry_make(rq, state, asked, since, &row);
    if (mln_is(err, MLN_E_INVALID)) { /* a reserved path, a DNS name that is none: nobody gets it */
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    struct mln_value *made = mln_value_dup(cx, row); /* its texts are the state's */
    mln_put(cx, made, "made_by", mln_value_dup(cx, mln_get(tmpl, "name")));
    mln_put(cx, made, "fallback", mln_get(tmpl, "fallback"));
    *ret = made;
    return mln_cx_err(cx);
}

/* ---- what a client may say ---- */

/* One hole in a segment: two in a row could be filled by two pods in such a way that both get one id. */
static struct mln_err check_id(struct mln_cx *cx, struct mln_bytes id)
{
    struct mln_bytes before, name, rest;
    bool is_first = true;
    for (; next_hole(id, &before, &name, &rest); id = rest) {
        if (!is_first && mln_bytes_find(before, '/') == before.len) {
            return mln_fail(cx, MLN_E_INVALID,
                            "spiffe_id has at most one {{...}} between two slashes, so that no two "
                            "pods get the same id");
        }
        is_first = false;
    }
    return MLN_OK;
}

static struct mln_err check_globs(struct mln_cx *cx, const char *what, const struct mln_value *list)
{
    bool ok = mln_len(list) <= GLOBS_MAX;
    for (size_t i = 0; i < mln_len(list) && ok; i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        ok = one.len > 0 && one.len <= GLOB_BYTES;
        for (size_t b = 0; ok && b < one.len; b++) {
            uint8_t c = one.ptr[b];
            ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                 c == '*';
        }
    }
    return ok ? MLN_OK
              : mln_fail(cx, MLN_E_INVALID,
                         "%s is a list of at most %u names of Kubernetes, in which * stands for "
                         "any characters",
                         what, GLOBS_MAX);
}

static struct mln_err check_labels(struct mln_cx *cx, const struct mln_value *labels)
{
    bool ok =
        mln_is_null(labels) || (mln_type_of(labels) == MLN_OBJECT && mln_len(labels) <= LABELS_MAX);
    for (size_t i = 0; i < mln_len(labels) && ok; i++) {
        const struct mln_member *m = mln_member_at(labels, i);
        struct mln_bytes value = mln_get_bytes(&m->value);
        ok = label_ok(m->key) && mln_type_of(&m->value) == MLN_STRING && value.len <= GLOB_BYTES;
    }
    return ok ? MLN_OK
              : mln_fail(cx, MLN_E_INVALID,
                         "labels are at most %u names of labels with patterns of their values",
                         LABELS_MAX);
}

static struct mln_err check_parents(struct mln_cx *cx, const struct sp_state *state,
                                    const struct mln_value *list)
{
    struct mln_bytes own = mln_bytes_format(cx, "%s/", state->id);
    if (mln_len(list) > PARENTS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "parent_ids is a list of at most %u patterns",
                        PARENTS_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        MLN_TRY(mln_spiffe_pattern_check(cx, one));
        if (!mln_bytes_starts(one, own)) {
            return mln_fail(cx, MLN_E_INVALID, "parent_ids are patterns of ids below %s",
                            state->id);
        }
    }
    return MLN_OK;
}

/* What no entry could be made of is refused now, with an entry's own words. */
static struct mln_err try_it(struct mln_request *rq, const struct sp_state *state,
                             const struct mln_value *tmpl)
{
    struct mln_cx *cx = rq->cx;
    struct filling f = {.cx = cx, .domain = state->domain, .used = mln_set(cx)};
    const struct mln_value *more = mln_get(tmpl, "selectors"), *row = NULL;
    struct mln_value *asked = mln_object(cx);
    mln_push_text(cx, f.used, "k8s:ns:x");
    for (size_t i = 0; i < mln_len(more); i++) {
        mln_push(cx, f.used, mln_item(more, i));
    }
    if (!entry_of(&f, tmpl, mln_bytes_of(state->server), asked)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "{{...}} is one of trust_domain, ns, sa, node-name, container-name and "
                        "label:NAME, in spiffe_id and dns_names");
    }
    MLN_TRY(mln_cx_err(cx));
    return sp_entry_make(rq, state, asked, NULL, &row);
}

static struct mln_err check_name(struct mln_cx *cx, struct mln_bytes name)
{
    return id_is_id(name) && name.len <= NAME_BYTES
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID,
                          "a template's name has 1 to %u letters, digits, dashes and underscores",
                          NAME_BYTES);
}

struct mln_err sp_template_make(struct mln_request *rq, const struct sp_state *state,
                                const struct mln_value *old, const struct mln_value **ret)
{
    static const char *const members[] = {
        "spiffe_id", "parent_ids", "namespaces",     "service_accounts", "labels",
        "selectors", "dns_names",  "federates_with", "x509_svid_ttl",    "jwt_svid_ttl",
        "hint",      "fallback",   "source"};
    struct mln_cx *cx = rq->cx;
    struct mln_value *row = mln_object(cx);
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    MLN_TRY(check_name(cx, name));
    mln_put_bytes(cx, row, "name", name);
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        const struct mln_value *v = mln_field_of(rq, members[i]);
        if (!mln_is_null(v)) {
            mln_put(cx, row, members[i], v);
        }
    }
    if (mln_get(row, "fallback") == NULL) {
        mln_put_bool(cx, row, "fallback", true);
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(check_id(cx, mln_get_bytes(mln_get(row, "spiffe_id"))));
    MLN_TRY(check_globs(cx, "namespaces", mln_get(row, "namespaces")));
    MLN_TRY(check_globs(cx, "service_accounts", mln_get(row, "service_accounts")));
    MLN_TRY(check_labels(cx, mln_get(row, "labels")));
    MLN_TRY(check_parents(cx, state, mln_get(row, "parent_ids")));
    if (mln_len(mln_get(row, "source")) > NAME_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "source has at most %u bytes", NAME_BYTES);
    }
    MLN_TRY(try_it(rq, state, row));
    mln_put_int(cx, row, "created_ns", mln_get_int(mln_get(old, "created_ns"), rq->now_ns));
    mln_put_int(cx, row, "revision", mln_get_int(mln_get(old, "revision"), -1) + 1);
    *ret = row;
    return mln_cx_err(cx);
}
