/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pods a template and a rule's pattern mean together. A template's id has at most one {{...}} in a segment, so that taking the
 * segments one by one gives back what stood there: spiffe://example.org/ns/prod/... and .../ns/{{ns}}/sa/{{sa}} give ns = prod.
 */
#include "cli/graph_priv.h"

/* "a{{ns}}b" in parts; false: no {{...}}. */
static bool split(struct mln_bytes segment, struct mln_bytes *before, struct mln_bytes *name,
                  struct mln_bytes *behind)
{
    size_t open = mln_bytes_find_bytes(segment, MLN_BYTES("{{")),
           close = mln_bytes_find_bytes(segment, MLN_BYTES("}}"));
    if (open == segment.len || close == segment.len || close < open) {
        return false;
    }
    *before = mln_bytes_sub(segment, 0, open);
    *name = mln_bytes_trim(mln_bytes_sub(segment, open + 2, close - open - 2));
    *behind = mln_bytes_from(segment, close + 2);
    return true;
}

/* One segment of the template against one of the pattern; is_cut: only its beginning is given, then "*". */
static bool take_segment(const struct graph *g, struct mln_bytes of_template,
                         struct mln_bytes given, bool is_cut, struct mln_value *values)
{
    struct mln_bytes before, name, behind;
    if (!split(of_template, &before, &name, &behind)) {
        return is_cut ? mln_bytes_starts(of_template, given) : mln_bytes_eq(of_template, given);
    }
    if (is_cut && given.len <= before.len) {
        return mln_bytes_starts(before, given);
    }
    if (!mln_bytes_starts(given, before) || (!is_cut && !mln_bytes_ends(given, behind)) ||
        (!is_cut && given.len <= before.len + behind.len)) {
        return false;
    }
    struct mln_bytes value = mln_bytes_from(given, before.len);
    value = is_cut ? mln_bytes_format(g->cx, "%.*s*", MLN_FMT(value))
                   : mln_bytes_sub(value, 0, value.len - behind.len);
    mln_put_key(g->cx, values, name, mln_string(g->cx, value));
    return true;
}

static struct mln_bytes next_segment(struct mln_bytes *left)
{
    return mln_bytes_cut(*left, '/', left);
}

static bool take(const struct graph *g, struct mln_bytes of_template, struct mln_bytes pattern,
                 struct mln_value *values)
{
    bool is_prefix = mln_bytes_ends(pattern, MLN_BYTES("*"));
    struct mln_bytes left = is_prefix ? mln_bytes_sub(pattern, 0, pattern.len - 1) : pattern;
    while (of_template.len > 0) {
        bool is_last = mln_bytes_find(left, '/') == left.len;
        struct mln_bytes given = next_segment(&left), want = next_segment(&of_template);
        if (!take_segment(g, want, given, is_last && is_prefix, values)) {
            return false;
        }
        if (is_last) {
            return is_prefix || of_template.len == 0;
        }
    }
    return false;
}

/* The path of a template's id, when its trust domain is ours. */
static struct mln_bytes without_domain(const struct graph *g, struct mln_bytes id)
{
    struct mln_bytes before, name, behind, path = MLN_BYTES_NONE;
    struct mln_bytes rest =
        mln_bytes_starts(id, MLN_BYTES("spiffe://")) ? mln_bytes_from(id, 9) : MLN_BYTES_NONE;
    struct mln_bytes domain = mln_bytes_cut(rest, '/', &path);
    bool is_hole = split(domain, &before, &name, &behind) && before.len == 0 && behind.len == 0 &&
                   mln_bytes_is(name, "trust_domain");
    return is_hole || mln_bytes_eq(domain, g->domain) ? path : MLN_BYTES_NONE;
}

static bool has_glob(struct mln_bytes text)
{
    return mln_bytes_find(text, '*') < text.len;
}

/* The value that the id says; else the template's own list when it names all of them. An array: each on its own is meant. */
static const struct mln_value *choices(struct mln_cx *cx, const struct mln_value *said,
                                       const struct mln_value *list, bool *ret_fits)
{
    struct mln_value *all = mln_array(cx);
    struct mln_bytes value = mln_get_bytes(said);
    bool fits = mln_len(list) == 0 || said == NULL, is_literal = mln_len(list) > 0;
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        fits = fits || mln_bytes_glob(one, value) || has_glob(value);
        is_literal = is_literal && !has_glob(one);
    }
    *ret_fits = fits;
    if (said != NULL) {
        mln_push(cx, all, said);
    } else if (is_literal) {
        return list;
    } else {
        bool is_any =
            mln_len(list) == 0 || (mln_len(list) == 1 && mln_is_text(mln_item(list, 0), "*"));
        mln_push_text(cx, all,
                      is_any ? "" : "*"); /* "": any; "*": those of a glob, which nothing can say */
    }
    return all;
}

static void push_show(const struct graph *g, const struct mln_value *tmpl, const char *ns,
                      const char *sa, struct mln_value *shows)
{
    struct mln_value *set = mln_set(g->cx);
    const struct mln_value *labels = mln_get(tmpl, "labels"), *more = mln_get(tmpl, "selectors");
    if (ns[0] != '\0') {
        mln_push(g->cx, set, mln_textf(g->cx, "k8s:ns:%s", ns));
    }
    if (sa[0] != '\0') {
        mln_push(g->cx, set, mln_textf(g->cx, "k8s:sa:%s", sa));
    }
    for (size_t i = 0; mln_type_of(labels) == MLN_OBJECT && i < mln_len(labels); i++) {
        const struct mln_member *m = mln_member_at(labels, i);
        mln_push(g->cx, set,
                 mln_textf(g->cx, "k8s:pod-label:%.*s:%.*s", MLN_FMT(m->key),
                           MLN_FMT(mln_get_bytes(&m->value))));
    }
    for (size_t i = 0; i < mln_len(more); i++) {
        mln_push(g->cx, set, mln_item(more, i));
    }
    mln_push(g->cx, shows, set);
}

bool graph_template_meets(const struct graph *g, const struct mln_value *tmpl,
                          struct mln_bytes pattern, struct mln_value **ret_shows)
{
    struct mln_value *values = mln_object(g->cx), *shows = mln_array(g->cx);
    struct mln_bytes head = mln_bytes_format(g->cx, "spiffe://%.*s/", MLN_FMT(g->domain));
    struct mln_bytes path = without_domain(g, mln_get_bytes(mln_get(tmpl, "spiffe_id")));
    bool fits_ns = false, fits_sa = false;
    if (path.len == 0 || !mln_bytes_starts(pattern, head) ||
        !take(g, path, mln_bytes_from(pattern, head.len), values)) {
        return false;
    }
    const struct mln_value *ns =
        choices(g->cx, mln_get(values, "ns"), mln_get(tmpl, "namespaces"), &fits_ns);
    const struct mln_value *sa =
        choices(g->cx, mln_get(values, "sa"), mln_get(tmpl, "service_accounts"), &fits_sa);
    for (size_t i = 0; fits_ns && fits_sa && i < mln_len(ns); i++) {
        for (size_t k = 0; k < mln_len(sa); k++) {
            push_show(g, tmpl, mln_get_text(g->cx, mln_item(ns, i), ""),
                      mln_get_text(g->cx, mln_item(sa, k), ""), shows);
        }
    }
    *ret_shows = shows;
    return mln_len(shows) > 0;
}
