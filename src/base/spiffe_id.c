/* SPDX-License-Identifier: Apache-2.0 */
/* See spiffe_id.h. */
#include "base/spiffe_id.h"

#define SCHEME MLN_BYTES("spiffe://")

static bool is_lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_mark(uint8_t c)
{
    return c == '.' || c == '-' || c == '_';
}

bool mln_spiffe_domain_ok(struct mln_bytes name)
{
    bool ok = name.len > 0 && name.len <= MLN_SPIFFE_DOMAIN_MAX;
    for (size_t i = 0; ok && i < name.len; i++) {
        ok = is_lower_or_digit(name.ptr[i]) || is_mark(name.ptr[i]);
    }
    return ok;
}

/* One segment; with wildcards also "*" at any place. */
static bool segment_ok(struct mln_bytes segment, bool takes_star)
{
    bool ok = segment.len > 0 && !mln_bytes_is(segment, ".") && !mln_bytes_is(segment, "..");
    for (size_t i = 0; ok && i < segment.len; i++) {
        uint8_t c = segment.ptr[i];
        ok = is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || is_mark(c) ||
             (takes_star && c == '*');
    }
    return ok;
}

bool mln_spiffe_segment_ok(struct mln_bytes segment)
{
    return segment_ok(segment, false);
}

/* Segments of "/a/b"; *rest moves behind the one that is returned. */
static struct mln_bytes next_segment(struct mln_bytes *rest)
{
    struct mln_bytes after;
    struct mln_bytes segment = mln_bytes_cut(mln_bytes_from(*rest, 1), '/', &after);
    *rest = mln_bytes_from(*rest, 1 + segment.len);
    return segment;
}

static struct mln_err parse(struct mln_cx *cx, struct mln_bytes text, bool takes_star,
                            struct mln_spiffe_id *ret)
{
    struct mln_spiffe_id id = {.text = text};
    if (text.len > MLN_SPIFFE_ID_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "a SPIFFE id has at most %u bytes", MLN_SPIFFE_ID_MAX);
    }
    if (!mln_bytes_starts(text, SCHEME)) {
        return mln_fail(cx, MLN_E_INVALID, "a SPIFFE id begins with \"spiffe://\"");
    }
    struct mln_bytes left = mln_bytes_from(text, SCHEME.len);
    id.domain = mln_bytes_sub(left, 0, mln_bytes_find(left, '/'));
    id.path = mln_bytes_from(left, id.domain.len);
    if (!mln_spiffe_domain_ok(id.domain)) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "the trust domain of a SPIFFE id has 1 to %u of a-z, 0-9, dot, dash and underscore",
            MLN_SPIFFE_DOMAIN_MAX);
    }
    for (struct mln_bytes rest = id.path; rest.len > 0;) {
        if (!segment_ok(next_segment(&rest), takes_star)) {
            return mln_fail(cx, MLN_E_INVALID,
                            "segments of a SPIFFE id's path are of letters, digits, dot, dash and "
                            "underscore; none is empty, "
                            "\".\" or \"..\"");
        }
    }
    *ret = id;
    return MLN_OK;
}

struct mln_err mln_spiffe_id_parse(struct mln_cx *cx, struct mln_bytes text,
                                   struct mln_spiffe_id *ret)
{
    return parse(cx, text, false, ret);
}

struct mln_err mln_spiffe_pattern_check(struct mln_cx *cx, struct mln_bytes pattern)
{
    struct mln_spiffe_id id;
    return parse(cx, pattern, true, &id);
}

bool mln_spiffe_pattern_fits(struct mln_bytes pattern, struct mln_bytes id)
{
    struct mln_spiffe_id want, got;
    if (mln_failed(parse(NULL, pattern, true, &want)) || mln_failed(parse(NULL, id, false, &got)) ||
        !mln_bytes_eq(want.domain, got.domain)) {
        return false;
    }
    while (want.path.len > 0 && got.path.len > 0) {
        struct mln_bytes segment = next_segment(&want.path);
        if (want.path.len == 0 && mln_bytes_is(segment, "**")) {
            return true;
        }
        if (!mln_bytes_glob(segment, next_segment(&got.path))) {
            return false;
        }
    }
    return want.path.len == 0 && got.path.len == 0;
}
