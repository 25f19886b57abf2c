/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/claims.h"

#include "base/text.h"

#define POINTER_MAX_DEPTH 64u /* of values anyway */
#define LEEWAY_S          150 /* Vault's for a token without exp or nbf */
#define SKEW_S            60
#define DATE_MAX_S        1e15 /* seconds: sums of dates and leeways cannot overflow */
#define NS                ((int64_t)1000000000)

/* ---- finding ---- */

/* "~1" is "/", "~0" is "~"; anything else after "~" is malformed. */
static bool unescape(struct mln_cx *cx, struct mln_bytes part, struct mln_bytes *ret)
{
    uint8_t *out = mln_new(cx, part.len + 1);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i < part.len; i++) {
        uint8_t c = part.ptr[i];
        if (c == '~') {
            if (i + 1 >= part.len || (part.ptr[i + 1] != '0' && part.ptr[i + 1] != '1')) {
                return false;
            }
            c = part.ptr[++i] == '0' ? '~' : '/';
        }
        out[n++] = c;
    }
    *ret = mln_bytes_at(out, n);
    return out != NULL;
}

static const struct mln_value *step(const struct mln_value *at, struct mln_bytes key)
{
    uint64_t i = 0;
    if (mln_type_of(at) == MLN_OBJECT) {
        return mln_get_key(at, key);
    }
    bool is_index = key.len > 0 && (key.len == 1 || key.ptr[0] != '0') && mln_u64_parse(key, &i);
    return mln_type_of(at) == MLN_ARRAY && is_index && i < mln_len(at) ? mln_item(at, (size_t)i) : NULL;
}

const struct mln_value *mln_claim_at(struct mln_cx *cx, const struct mln_value *claims, struct mln_bytes name, bool is_pointer)
{
    const struct mln_value *at = claims;
    struct mln_bytes rest = name;
    if (!is_pointer) {
        return mln_get_key(claims, name);
    }
    for (unsigned depth = 0; rest.len > 0 && at != NULL; depth++) {
        struct mln_bytes after, key;
        if (rest.ptr[0] != '/' || depth > POINTER_MAX_DEPTH) {
            return NULL;
        }
        rest = mln_bytes_from(rest, 1);
        size_t end = mln_bytes_find(rest, '/');
        after = mln_bytes_from(rest, end);
        if (!unescape(cx, mln_bytes_sub(rest, 0, end), &key)) {
            return NULL;
        }
        at = step(at, key);
        rest = after;
    }
    return at;
}

const struct mln_value *mln_claim(struct mln_cx *cx, const struct mln_value *claims, struct mln_bytes name)
{
    return mln_claim_at(cx, claims, name, name.len > 0 && name.ptr[0] == '/');
}

const char *mln_claim_text(struct mln_cx *cx, const struct mln_value *claim)
{
    switch (mln_type_of(claim)) {
    case MLN_STRING:
        return mln_get_text(cx, claim, NULL);
    case MLN_INT:
        return mln_text_format(cx, "%lld", (long long)mln_get_int(claim, 0));
    case MLN_BOOL:
        return mln_get_bool(claim, false) ? "true" : "false";
    case MLN_DECIMAL:
        return mln_text_dup(cx, mln_bytes_at(claim->text, claim->len));
    case MLN_NULL:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
    default:
        return NULL;
    }
}

bool mln_glob_fits(struct mln_bytes pattern, struct mln_bytes text)
{
    size_t p = 0, t = 0, star = pattern.len, mark = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star < pattern.len) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

/* ---- times ---- */

/* A NumericDate (may have a fraction, which is cut) in seconds; 0 = absent. */
static struct mln_err date_of(struct mln_cx *cx, const struct mln_value *claims, const char *name, int64_t *ret)
{
    const struct mln_value *v = mln_get(claims, name);
    double d = mln_get_double(v, -1);
    *ret = 0;
    if (v == NULL) {
        return MLN_OK;
    }
    if ((mln_type_of(v) != MLN_INT && mln_type_of(v) != MLN_DECIMAL) || d < 0 || d > DATE_MAX_S) {
        return mln_fail(cx, MLN_E_INVALID, "the %s claim is no date", name);
    }
    *ret = mln_type_of(v) == MLN_INT ? mln_get_int(v, 0) : (int64_t)d;
    return MLN_OK;
}

static int64_t or_default(int64_t given, int64_t usual)
{
    return given < 0 ? 0 : given == 0 ? usual : given;
}

struct mln_err mln_claims_check_times(struct mln_cx *cx, const struct mln_value *claims, int64_t now_ns,
                                      const struct mln_claim_leeways *leeways)
{
    int64_t now = now_ns / NS, skew = or_default(leeways->clock_skew_s, SKEW_S), exp, nbf, iat;
    MLN_TRY(date_of(cx, claims, "exp", &exp));
    MLN_TRY(date_of(cx, claims, "nbf", &nbf));
    MLN_TRY(date_of(cx, claims, "iat", &iat));
    if (exp == 0 && nbf == 0 && iat == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "no issued at (iat), not before (nbf), or expiration time (exp) claims in token");
    }
    if (exp == 0) {
        exp = (nbf > iat ? nbf : iat) + or_default(leeways->expiration_s, LEEWAY_S);
    }
    if (nbf == 0) {
        nbf = iat != 0 ? iat : exp - or_default(leeways->not_before_s, LEEWAY_S);
    }
    if (now - skew > exp) {
        return mln_fail(cx, MLN_E_INVALID, "invalid expiration time (exp) claim: token is expired");
    }
    if (now + skew < nbf) {
        return mln_fail(cx, MLN_E_INVALID, "invalid not before (nbf) claim: token not yet valid");
    }
    if (now + skew < iat) {
        return mln_fail(cx, MLN_E_INVALID, "invalid issued at (iat) claim: token issued in the future");
    }
    return MLN_OK;
}

/* ---- audiences and bound claims ---- */

static bool has_value(const struct mln_value *list, const struct mln_value *v, bool is_glob)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        const struct mln_value *item = mln_item(list, i);
        bool are_texts = mln_type_of(item) == MLN_STRING && mln_type_of(v) == MLN_STRING;
        if (is_glob && are_texts ? mln_glob_fits(mln_get_bytes(item), mln_get_bytes(v)) : mln_value_eq(item, v)) {
            return true;
        }
    }
    return false;
}

/* One value or a list of them, as a list. */
static const struct mln_value *as_list(struct mln_cx *cx, const struct mln_value *v)
{
    struct mln_value *list = mln_array(cx);
    if (mln_type_of(v) == MLN_ARRAY) {
        return v;
    }
    if (!mln_is_null(v)) {
        mln_push(cx, list, v);
    }
    return list;
}

static bool lists_meet(struct mln_cx *cx, const struct mln_value *bound, const struct mln_value *claim, bool is_glob)
{
    const struct mln_value *wanted = as_list(cx, bound), *had = as_list(cx, claim);
    for (size_t i = 0; i < mln_len(had); i++) {
        if (has_value(wanted, mln_item(had, i), is_glob)) {
            return true;
        }
    }
    return false;
}

struct mln_err mln_claims_check_audience(struct mln_cx *cx, const struct mln_value *claims, const struct mln_value *bound)
{
    const struct mln_value *aud = mln_get(claims, "aud");
    if (mln_len(bound) == 0) {
        return mln_len(aud) == 0 ? MLN_OK
                                 : mln_fail(cx, MLN_E_INVALID,
                                            "audience claim found in JWT but no audiences bound to the role");
    }
    return lists_meet(cx, bound, aud, false)
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID,
                          "invalid audience (aud) claim: audience claim does not match any expected audience");
}

struct mln_err mln_claims_check_bound(struct mln_cx *cx, const struct mln_value *claims, const struct mln_value *bound, bool is_glob)
{
    for (size_t i = 0; i < mln_len(bound); i++) {
        const struct mln_member *m = mln_member_at(bound, i);
        const struct mln_value *claim = mln_claim(cx, claims, m->key);
        if (claim == NULL) {
            return mln_fail(cx, MLN_E_INVALID, "claim \"%.*s\" is missing", MLN_FMT(m->key));
        }
        if (!lists_meet(cx, &m->value, claim, is_glob)) {
            return mln_fail(cx, MLN_E_INVALID, "claim \"%.*s\" does not match any associated bound claim values",
                            MLN_FMT(m->key));
        }
    }
    return MLN_OK;
}
