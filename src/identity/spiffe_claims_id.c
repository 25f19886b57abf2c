/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/spiffe_claims_id.h"

#include "base/buf.h"
#include "base/text.h"
#include "policy/claims.h"

#define CLAIM_BYTES  128u
#define COUNT_MAX    8u
#define OPEN         MLN_BYTES("{{")
#define CLOSE        MLN_BYTES("}}")
#define REST         MLN_BYTES("...")
#define SCHEME       MLN_BYTES("spiffe://")
#define RESERVED     MLN_BYTES("/merlon/")
#define RESERVED_ALL MLN_BYTES("/merlon")

struct part {
    struct mln_bytes claim;
    unsigned count; /* segments; 0 = one or more */
    bool is_whole;  /* makes whole segments */
};

bool sp_id_is_reserved(const struct mln_spiffe_id *id)
{
    return mln_bytes_starts(id->path, RESERVED) || mln_bytes_eq(id->path, RESERVED_ALL);
}

/* The text before the next placeholder, and the placeholder; false when there is none. *rest is what follows it. */
static bool next_part(struct mln_bytes text, struct mln_bytes *ret_before,
                      struct mln_bytes *ret_inner, struct mln_bytes *rest)
{
    size_t at = mln_bytes_find_bytes(text, OPEN);
    *ret_before = mln_bytes_sub(text, 0, at);
    if (at == text.len) {
        return false;
    }
    struct mln_bytes after = mln_bytes_from(text, at + 2);
    size_t end = mln_bytes_find_bytes(after, CLOSE);
    if (end == after.len) {
        *ret_before = text; /* never closed: its brace stands out there */
        return false;
    }
    *ret_inner = mln_bytes_sub(after, 0, end);
    *rest = mln_bytes_from(after, end + 2);
    return true;
}

static struct part read_part(struct mln_bytes inner)
{
    struct part p = {.claim = inner, .count = 1};
    if (mln_bytes_ends(inner, REST)) {
        p.claim.len -= REST.len;
        p.count = 0;
        p.is_whole = true;
    } else if (inner.len > 2 && inner.ptr[inner.len - 2] == ':') {
        uint8_t digit = inner.ptr[inner.len - 1];
        p.claim.len -= 2;
        p.count = digit >= '2' && digit <= '0' + COUNT_MAX ? (unsigned)digit - '0' : COUNT_MAX + 1;
        p.is_whole = true;
    }
    return p;
}

static bool is_name(struct mln_bytes claim)
{
    bool ok = claim.len > 0 && claim.len <= CLAIM_BYTES && mln_utf8_valid(claim);
    for (size_t i = 0; ok && i < claim.len; i++) {
        ok = claim.ptr[i] > ' ' && claim.ptr[i] != 0x7f && claim.ptr[i] != '{' &&
             claim.ptr[i] != '}';
    }
    return ok;
}

static struct mln_err check_part(struct mln_cx *cx, const struct part *p, struct mln_bytes before,
                                 struct mln_bytes rest)
{
    bool begins = mln_bytes_ends(before, MLN_BYTES("/")),
         ends = rest.len == 0 || rest.ptr[0] == '/';
    if (!is_name(p->claim)) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "a placeholder names no claim: write {{claim}}, {{claim:2}} or {{claim...}}");
    }
    if (p->count > COUNT_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "{{%.*s:N}} makes 2 to %u segments", MLN_FMT(p->claim),
                        COUNT_MAX);
    }
    if (p->is_whole && (!begins || !ends)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "{{%.*s}} makes whole segments: it stands between slashes",
                        MLN_FMT(p->claim));
    }
    return p->count != 0 || rest.len == 0
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "{{%.*s...}} stands at the end", MLN_FMT(p->claim));
}

/* Text between placeholders has no braces; a second placeholder of one segment could not be told from the first. */
static struct mln_err check_text(struct mln_cx *cx, struct mln_bytes text, bool is_behind_part,
                                 bool is_before_part)
{
    if (mln_bytes_find(text, '{') < text.len || mln_bytes_find(text, '}') < text.len) {
        return mln_fail(cx, MLN_E_INVALID, "a brace that belongs to no placeholder");
    }
    return !is_behind_part || !is_before_part || mln_bytes_find(text, '/') < text.len
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "a segment has at most one placeholder");
}

static struct mln_err check_parts(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *sample)
{
    struct mln_bytes before, inner, rest = text;
    size_t n = 0;
    while (next_part(text, &before, &inner, &rest)) {
        struct part p = read_part(inner);
        MLN_TRY(check_text(cx, before, n > 0, true));
        MLN_TRY(check_part(cx, &p, before, rest));
        if (++n > SP_CLAIMS_ID_PARTS_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "a template has at most %u placeholders",
                            SP_CLAIMS_ID_PARTS_MAX);
        }
        mln_buf_add_bytes(sample, before);
        mln_buf_add_byte(sample, 'x');
        text = rest;
    }
    mln_buf_add_bytes(sample, before);
    return check_text(cx, before, n > 0, false);
}

struct mln_err sp_claims_id_check(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes domain)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf sample = {0};
    struct mln_spiffe_id id;
    struct mln_bytes rest = mln_bytes_from(text,
                                           mln_bytes_starts(text, SCHEME) ? SCHEME.len : text.len),
                     path;
    struct mln_bytes td = mln_bytes_cut(rest, '/', &path);
    if (text.len > MLN_SPIFFE_ID_MAX || !mln_bytes_eq(td, domain) || path.len == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the template must make ids of this trust domain: spiffe://%.*s/...",
                        MLN_FMT(domain));
    }
    MLN_TRY(check_parts(cx, text, &sample));
    MLN_TRY(mln_buf_ok(cx, &sample));
    MLN_TRY(mln_spiffe_id_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&sample)), &id));
    return sp_id_is_reserved(&id)
               ? mln_fail(cx, MLN_E_INVALID, "paths below /merlon/ are those of servers and nodes")
               : MLN_OK;
}

/* ---- filling ---- */

static bool has_segments(struct mln_bytes value, unsigned count)
{
    unsigned n = 0;
    bool ends_open = value.len == 0 || value.ptr[value.len - 1] == '/';
    while (value.len > 0) {
        struct mln_bytes one = mln_bytes_cut(value, '/', &value);
        if (!mln_spiffe_segment_ok(one)) {
            return false;
        }
        n++;
    }
    return !ends_open && (count == 0 ? n > 0 : n == count);
}

static struct mln_err fill_part(struct mln_cx *cx, const struct part *p,
                                const struct mln_value *claims, struct mln_buf *to)
{
    const struct mln_value *claim = mln_claim(cx, claims, p->claim);
    bool is_one = mln_type_of(claim) == MLN_STRING || mln_type_of(claim) == MLN_INT;
    const char *text = is_one ? mln_claim_text(cx, claim) : NULL;
    if (text == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "the claim \"%.*s\" is no text or number",
                        MLN_FMT(p->claim));
    }
    struct mln_bytes value = mln_bytes_of(text);
    bool fits = p->is_whole ? has_segments(value, p->count) : mln_spiffe_segment_ok(value);
    if (!fits) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the value of the claim \"%.*s\" does not fit its place in an id",
                        MLN_FMT(p->claim));
    }
    mln_buf_add_bytes(to, value);
    return MLN_OK;
}

struct mln_err sp_claims_id_fill(struct mln_cx *cx, struct mln_bytes text,
                                 const struct mln_value *claims, const char **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.max = MLN_SPIFFE_ID_MAX + 1};
    struct mln_bytes before, inner, rest = text;
    struct mln_spiffe_id id;
    while (next_part(text, &before, &inner, &rest)) {
        struct part p = read_part(inner);
        mln_buf_add_bytes(&out, before);
        MLN_TRY(fill_part(cx, &p, claims, &out));
        text = rest;
    }
    mln_buf_add_bytes(&out, before);
    if (out.has_failed ||
        mln_failed(mln_spiffe_id_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&out)), &id)) ||
        id.path.len == 0 || sp_id_is_reserved(&id)) {
        return mln_refail(cx, MLN_E_INVALID, "the claims make no SPIFFE id of a workload");
    }
    *ret = mln_text_dup(cx, id.text);
    return mln_cx_err(cx);
}
