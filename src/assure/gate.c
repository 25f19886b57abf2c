/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of a release as release.yaml writes it: reading. gate_rego.c makes Rego of it, which is what judges. */
#include "assure/gate.h"

#include "base/text.h"

#define NAME_MAX_BYTES 64
#define TEXT_MAX       1024

/* ---- reading ---- */

static struct mln_err only_keys(struct mln_cx *cx, const struct mln_value *v, const char *where,
                                const char *const *keys, size_t n)
{
    if (mln_type_of(v) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "release: %s is not a mapping", where);
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        struct mln_bytes key = mln_member_at(v, i)->key;
        bool is_known = false;
        for (size_t k = 0; k < n; k++) {
            is_known = is_known || mln_bytes_is(key, keys[k]);
        }
        if (!is_known) {
            return mln_fail(cx, MLN_E_INVALID, "release: %s has no key \"%.*s\"", where,
                            MLN_FMT(key));
        }
    }
    return MLN_OK;
}

static struct mln_err take_text(struct mln_cx *cx, const struct mln_value *v, const char *key,
                                struct mln_bytes *ret)
{
    struct mln_bytes text = mln_get_bytes(v);
    if (mln_type_of(v) != MLN_STRING || text.len == 0 || text.len > TEXT_MAX) {
        return v == NULL ? mln_fail(cx, MLN_E_INVALID, "release: %s is missing", key)
                         : mln_fail(cx, MLN_E_INVALID, "release: %s is not a text", key);
    }
    *ret = text;
    return MLN_OK;
}

/* One of two words; the first is the default. */
static struct mln_err take_choice(struct mln_cx *cx, const struct mln_value *v, const char *key,
                                  const char *const words[2], bool *ret_is_first)
{
    if (v != NULL && !mln_is_text(v, words[0]) && !mln_is_text(v, words[1])) {
        return mln_fail(cx, MLN_E_INVALID, "release: %s is neither \"%s\" nor \"%s\"", key,
                        words[0], words[1]);
    }
    *ret_is_first = v == NULL || mln_is_text(v, words[0]);
    return MLN_OK;
}

static struct mln_err take_count(struct mln_cx *cx, const struct mln_value *v, const char *key,
                                 int64_t most, uint32_t *to)
{
    int64_t n = mln_get_int(v, -1);
    if (v == NULL) {
        return MLN_OK;
    }
    if (n < 0 || n > most) {
        return mln_fail(cx, MLN_E_INVALID, "release: %s is not a whole number from 0 to %lld", key,
                        (long long)most);
    }
    *to = (uint32_t)n;
    return MLN_OK;
}

static bool is_name(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && (i == 0 || (c != '-' && c != '_' && c != '.'))) {
            return false;
        }
    }
    return text.len > 0 && text.len <= NAME_MAX_BYTES;
}

/* A path that stays in the folder. */
static bool stays_inside(struct mln_bytes path)
{
    while (path.len > 0) {
        struct mln_bytes rest;
        bool has_more = mln_bytes_find(path, '/') < path.len;
        struct mln_bytes part = mln_bytes_cut(path, '/', &rest);
        if (part.len == 0 || mln_bytes_is(part, ".") || mln_bytes_is(part, "..") ||
            (has_more && rest.len == 0) || mln_bytes_find(part, 0) < part.len) {
            return false;
        }
        path = rest;
    }
    return true;
}

static struct mln_err take_groups(struct mln_cx *cx, const struct mln_value *v,
                                  struct mln_fair_options *to)
{
    if (mln_type_of(v) != MLN_ARRAY) {
        to->n_groups = 1;
        return take_text(cx, v, "fairness.group", &to->groups[0]);
    }
    if (mln_len(v) < 1 || mln_len(v) > MLN_FAIR_COLUMNS_MAX) {
        return mln_fail(cx, MLN_E_INVALID,
                        "release: fairness.group names no column or more than %d",
                        MLN_FAIR_COLUMNS_MAX);
    }
    to->n_groups = mln_len(v);
    for (size_t i = 0; i < to->n_groups; i++) {
        MLN_TRY(take_text(cx, mln_item(v, i), "fairness.group", &to->groups[i]));
    }
    return MLN_OK;
}

static struct mln_err take_minimum(struct mln_cx *cx, const struct mln_value *v, double *to)
{
    if (v == NULL) {
        return MLN_OK;
    }
    double d = mln_get_double(v, -1);
    if (!(d >= 0 && d <= 1)) {
        return mln_fail(cx, MLN_E_INVALID, "release: fairness.minimum is not a number from 0 to 1");
    }
    *to = d;
    return MLN_OK;
}

static struct mln_err parse_fairness(struct mln_cx *cx, const struct mln_value *v,
                                     struct mln_gate *gate)
{
    static const char *const keys[] = {"predictions", "label",   "prediction", "group",
                                       "metric",      "minimum", "use",        "min_group"};
    static const char *const uses[2] = {"point", "lower"};
    struct mln_bytes predictions;
    bool is_point = true;
    MLN_TRY(only_keys(cx, v, "fairness", keys, MLN_COUNT(keys)));
    MLN_TRY(take_text(cx, mln_get(v, "predictions"), "fairness.predictions", &predictions));
    if (!stays_inside(predictions)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "release: fairness.predictions is no path inside the model's folder");
    }
    MLN_TRY(take_text(cx, mln_get(v, "label"), "fairness.label", &gate->fair.label));
    MLN_TRY(take_text(cx, mln_get(v, "prediction"), "fairness.prediction", &gate->fair.prediction));
    MLN_TRY(take_groups(cx, mln_get(v, "group"), &gate->fair));
    if (mln_get(v, "metric") != NULL) {
        MLN_TRY(take_text(cx, mln_get(v, "metric"), "fairness.metric", &gate->fair.metric));
    }
    if (!mln_fair_has_metric(gate->fair.metric)) {
        return mln_fail(cx, MLN_E_INVALID, "release: fairness.metric \"%.*s\" is not known",
                        MLN_FMT(gate->fair.metric));
    }
    MLN_TRY(take_minimum(cx, mln_get(v, "minimum"), &gate->fair.minimum));
    MLN_TRY(take_choice(cx, mln_get(v, "use"), "fairness.use", uses, &is_point));
    MLN_TRY(take_count(cx, mln_get(v, "min_group"), "fairness.min_group", 1000000,
                       &gate->fair.min_group));
    gate->fair.use = is_point ? MLN_FAIR_POINT : MLN_FAIR_LOWER;
    gate->predictions = mln_text_dup(cx, predictions);
    gate->wants_fairness = true;
    return mln_cx_err(cx);
}

struct mln_err mln_gate_parse(struct mln_cx *cx, const struct mln_value *v, struct mln_gate *ret)
{
    static const char *const keys[] = {"model", "scan", "signature", "fairness", "gates", "approvals"};
    static const char *const approval_keys[] = {"count"};
    static const char *const scans[2] = {"clean", "skip"};
    static const char *const signatures[2] = {"required", "skip"};
    static const char *const gates[2] = {"shown", "required"};
    bool is_shown = true;
    struct mln_gate gate = {.approvals = 1};
    struct mln_bytes model;
    mln_fair_defaults(&gate.fair);
    MLN_TRY(only_keys(cx, v, "the file", keys, MLN_COUNT(keys)));
    MLN_TRY(take_text(cx, mln_get(v, "model"), "model", &model));
    if (!is_name(model)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "release: model is no name (letters, digits, - _ . and at most %d)",
                        NAME_MAX_BYTES);
    }
    gate.model = mln_text_dup(cx, model);
    MLN_TRY(take_choice(cx, mln_get(v, "scan"), "scan", scans, &gate.wants_clean_scan));
    MLN_TRY(
        take_choice(cx, mln_get(v, "signature"), "signature", signatures, &gate.wants_signature));
    MLN_TRY(take_choice(cx, mln_get(v, "gates"), "gates", gates, &is_shown));
    gate.wants_gates = !is_shown;
    if (mln_get(v, "fairness") != NULL) {
        MLN_TRY(parse_fairness(cx, mln_get(v, "fairness"), &gate));
    }
    const struct mln_value *approvals = mln_get(v, "approvals");
    if (approvals != NULL) {
        MLN_TRY(only_keys(cx, approvals, "approvals", approval_keys, MLN_COUNT(approval_keys)));
        MLN_TRY(take_count(cx, mln_get(approvals, "count"), "approvals.count",
                           MLN_GATE_APPROVALS_MAX, &gate.approvals));
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = gate;
    return MLN_OK;
}
