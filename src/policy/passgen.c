/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Password policies. A password is drawn from the whole alphabet, each character alone, and drawn again when a rule's minimum is not
 * met: so all that are allowed are equally likely, which filling places rule by rule would not give.
 */
#include "policy/passgen.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"

#define DRAWS_MAX 20000u /* some milliseconds; a policy met once in that many draws is of no use */

struct letter {
    struct mln_bytes text; /* one character in UTF-8 */
    uint32_t rules;        /* bit i: it counts for rule i */
};
static_assert(MLN_PASSGEN_RULES_MAX <= 32, "a bit a rule");

struct mln_passgen {
    unsigned length, n_rules;
    size_t n;
    struct letter *letters;
    unsigned least[MLN_PASSGEN_RULES_MAX];
};

/* ---- reading ---- */

static size_t step(struct mln_bytes text)
{
    size_t n = 1;
    while (n < text.len && (text.ptr[n] & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

static struct letter *letter_of(struct mln_passgen *p, struct mln_bytes text)
{
    for (size_t i = 0; i < p->n; i++) {
        if (mln_bytes_eq(p->letters[i].text, text)) {
            return &p->letters[i];
        }
    }
    return NULL;
}

static struct mln_err add_letters(struct mln_cx *cx, struct mln_passgen *p, struct mln_bytes chars)
{
    if (chars.len == 0 || !mln_utf8_valid(chars)) {
        return mln_fail(cx, MLN_E_INVALID, "a charset rule needs a charset of at least one character");
    }
    while (chars.len > 0) {
        struct mln_bytes one = mln_bytes_sub(chars, 0, step(chars));
        chars = mln_bytes_from(chars, one.len);
        if (one.ptr[0] < 0x20 || one.ptr[0] == 0x7f) {
            return mln_fail(cx, MLN_E_INVALID, "a charset has printable characters only");
        }
        struct letter *known = letter_of(p, one);
        if (known == NULL && p->n == MLN_PASSGEN_CHARS_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "the charsets have more than %u characters",
                            MLN_PASSGEN_CHARS_MAX);
        }
        if (known == NULL) {
            known = &p->letters[p->n++];
            *known = (struct letter){.text = mln_bytes_dup(cx, one)};
        }
        known->rules |= UINT32_C(1) << p->n_rules;
    }
    return mln_cx_err(cx);
}

static struct mln_err read_charset(struct mln_cx *cx, struct mln_passgen *p,
                                   const struct mln_value *rule)
{
    int64_t least = mln_get_int(mln_get(rule, "min-chars"), -1);
    if (mln_type_of(rule) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "a rule is a block: rule \"charset\" { charset = \"...\" }");
    }
    for (size_t i = 0; i < mln_len(rule); i++) {
        struct mln_bytes key = mln_member_at(rule, i)->key;
        if (!mln_bytes_is(key, "charset") && !mln_bytes_is(key, "min-chars")) {
            return mln_fail(cx, MLN_E_INVALID, "a charset rule has no \"%.*s\"", MLN_FMT(key));
        }
    }
    if (mln_is_null(mln_get(rule, "min-chars"))) {
        least = 0;
    }
    if (least < 0 || least > (int64_t)p->length) {
        return mln_fail(cx, MLN_E_INVALID, "min-chars is 0 to the length of the password");
    }
    if (p->n_rules == MLN_PASSGEN_RULES_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "at most %u rules", MLN_PASSGEN_RULES_MAX);
    }
    MLN_TRY(add_letters(cx, p, mln_get_bytes(mln_get(rule, "charset"))));
    p->least[p->n_rules++] = (unsigned)least;
    return MLN_OK;
}

/* A block that stands once is an object, one that is repeated an array of them. */
static struct mln_err read_each(struct mln_cx *cx, struct mln_passgen *p, const struct mln_value *v,
                                struct mln_err (*read)(struct mln_cx *, struct mln_passgen *,
                                                       const struct mln_value *))
{
    if (mln_type_of(v) != MLN_ARRAY) {
        return read(cx, p, v);
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        MLN_TRY(read(cx, p, mln_item(v, i)));
    }
    return MLN_OK;
}

static struct mln_err read_rule(struct mln_cx *cx, struct mln_passgen *p, const struct mln_value *v)
{
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        if (mln_type_of(v) != MLN_OBJECT || !mln_bytes_is(m->key, "charset")) {
            return mln_fail(cx, MLN_E_INVALID, "the only kind of rule is \"charset\"");
        }
        MLN_TRY(read_each(cx, p, &m->value, read_charset));
    }
    return MLN_OK;
}

static bool is_shared(const struct mln_passgen *p, unsigned rule)
{
    uint32_t bit = UINT32_C(1) << rule;
    for (size_t i = 0; i < p->n; i++) {
        if ((p->letters[i].rules & bit) != 0 && (p->letters[i].rules & ~bit) != 0) {
            return true;
        }
    }
    return false;
}

/* Minimums of charsets that share no character must fit beside each other. */
static struct mln_err check_needs(struct mln_cx *cx, const struct mln_passgen *p)
{
    unsigned sum = 0;
    if (p->n == 0) {
        return mln_fail(cx, MLN_E_INVALID, "a password policy needs a charset rule");
    }
    for (unsigned r = 0; r < p->n_rules; r++) {
        sum += is_shared(p, r) ? 0 : p->least[r];
    }
    return sum <= p->length ? MLN_OK
                            : mln_fail(cx, MLN_E_INVALID,
                                       "the rules ask for more characters than the length");
}

struct mln_err mln_passgen_parse(struct mln_cx *cx, struct mln_bytes text,
                                 const struct mln_passgen **ret)
{
    const struct mln_value *all = NULL;
    struct mln_passgen *p = mln_new(cx, sizeof(*p));
    struct letter *letters = mln_new_array(cx, MLN_PASSGEN_CHARS_MAX, sizeof(*letters));
    MLN_TRY(mln_cx_err(cx));
    if (text.len > MLN_POLICY_MAX_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "a password policy has at most %u bytes",
                        MLN_POLICY_MAX_BYTES);
    }
    MLN_TRY(mln_hcl_parse(cx, text, &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes key = mln_member_at(all, i)->key;
        if (!mln_bytes_is(key, "length") && !mln_bytes_is(key, "rule")) {
            return mln_fail(cx, MLN_E_INVALID, "a password policy has no \"%.*s\"", MLN_FMT(key));
        }
    }
    int64_t length = mln_get_int(mln_get(all, "length"), 0);
    if (length < MLN_PASSGEN_LENGTH_MIN || length > MLN_PASSGEN_LENGTH_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "passwords must be between %u and %u characters",
                        MLN_PASSGEN_LENGTH_MIN, MLN_PASSGEN_LENGTH_MAX);
    }
    p->length = (unsigned)length;
    p->letters = letters;
    MLN_TRY(read_each(cx, p, mln_get(all, "rule"), read_rule));
    MLN_TRY(check_needs(cx, p));
    *ret = p;
    return mln_cx_err(cx);
}

/* ---- drawing ---- */

static bool draw(const struct mln_passgen *p, uint16_t picked[MLN_PASSGEN_LENGTH_MAX])
{
    unsigned counts[MLN_PASSGEN_RULES_MAX] = {0};
    for (unsigned i = 0; i < p->length; i++) {
        picked[i] = (uint16_t)mln_random_below(p->n);
        uint32_t rules = p->letters[picked[i]].rules;
        for (unsigned r = 0; r < p->n_rules; r++) {
            counts[r] += (rules >> r) & 1;
        }
    }
    bool is_met = true;
    for (unsigned r = 0; r < p->n_rules; r++) {
        is_met = is_met && counts[r] >= p->least[r];
    }
    return is_met;
}

struct mln_err mln_passgen_draw(struct mln_cx *cx, const struct mln_passgen *p, struct mln_buf *to)
{
    uint16_t picked[MLN_PASSGEN_LENGTH_MAX];
    unsigned tries = 0;
    bool is_met = false;
    MLN_CHECK(to->is_secret && p->n > 0);
    while (!is_met && tries < DRAWS_MAX) {
        is_met = draw(p, picked);
        tries++;
    }
    for (unsigned i = 0; is_met && i < p->length; i++) {
        mln_buf_add_bytes(to, p->letters[picked[i]].text);
    }
    mln_wipe(picked, sizeof(picked));
    return is_met ? mln_buf_ok(cx, to)
                  : mln_fail(cx, MLN_E_INVALID, "unable to generate password from provided policy: "
                                                "are the rules impossible?");
}
