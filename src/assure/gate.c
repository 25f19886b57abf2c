/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of a release; its language and the shape of evidence stand in gate.h. */
#include "assure/gate.h"

#include <math.h>

#include "base/text.h"

#define NAME_MAX_BYTES 64
#define TEXT_MAX       1024
#define SHOWN          3 /* findings in the detail */

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
    static const char *const keys[] = {"model", "scan", "signature", "fairness", "approvals"};
    static const char *const approval_keys[] = {"count"};
    static const char *const scans[2] = {"clean", "skip"};
    static const char *const signatures[2] = {"required", "skip"};
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

/* ---- judging ---- */

/* value and limit: a number beside what it is held against; NULL for checks without. */
struct check {
    const char *name;
    bool is_ok;
    const struct mln_value *detail, *value, *limit;
};

static void put_check(struct mln_cx *cx, struct mln_value *checks, const struct check *from)
{
    struct mln_value *check = mln_object(cx);
    mln_put_text(cx, check, "name", from->name);
    mln_put_bool(cx, check, "ok", from->is_ok);
    mln_put(cx, check, "detail", from->detail);
    if (from->limit != NULL) {
        mln_put(cx, check, "value", from->value);
        mln_put(cx, check, "limit", from->limit);
    }
    mln_push(cx, checks, check);
}

static void add_check(struct mln_cx *cx, struct mln_value *checks, const char *name, bool is_ok,
                      const struct mln_value *detail)
{
    put_check(cx, checks, &(struct check){.name = name, .is_ok = is_ok, .detail = detail});
}

static const struct mln_value *scan_detail(struct mln_cx *cx, const struct mln_value *scan)
{
    const struct mln_value *findings = mln_get(scan, "findings");
    struct mln_buf text = {0};
    for (size_t i = 0; i < mln_len(findings) && i < SHOWN; i++) {
        const struct mln_value *f = mln_item(findings, i);
        struct mln_bytes file = mln_get_bytes(mln_get(f, "file"));
        struct mln_bytes message = mln_get_bytes(mln_get(f, "message"));
        mln_buf_add_format(&text, "; %.*s%s%.*s", MLN_FMT(file), file.len > 0 ? ": " : "",
                           MLN_FMT(message));
    }
    struct mln_bytes verdict = mln_get_bytes(mln_get(scan, "verdict"));
    mln_buf_add_byte(&text, '\0');
    const struct mln_value *v =
        text.has_failed
            ? mln_text(cx, "")
            : mln_textf(cx, "the scan says %.*s%s", MLN_FMT(verdict), (const char *)text.ptr);
    mln_buf_drop(&text);
    return v;
}

static bool judge_scan(struct mln_cx *cx, const struct mln_gate *gate,
                       const struct mln_value *evidence, struct mln_value *checks)
{
    const struct mln_value *scan = mln_get(evidence, "scan");
    if (!gate->wants_clean_scan) {
        add_check(cx, checks, "scan", true, mln_text(cx, "not asked for"));
        return true;
    }
    bool is_ok = mln_is_text(mln_get(scan, "verdict"), "clean");
    const struct mln_value *detail =
        is_ok && mln_get_int(mln_get(scan, "files"), -1) >= 0
            ? mln_textf(cx, "%lld files, all clean",
                        (long long)mln_get_int(mln_get(scan, "files"), 0))
        : is_ok                            ? mln_text(cx, "clean")
        : mln_get(scan, "verdict") == NULL ? mln_text(cx, "no scan was shown")
                                           : scan_detail(cx, scan);
    add_check(cx, checks, "scan", is_ok, detail);
    return is_ok;
}

static bool judge_signature(struct mln_cx *cx, const struct mln_gate *gate,
                            const struct mln_value *evidence, struct mln_value *checks)
{
    const struct mln_value *sig = mln_get(evidence, "signature");
    if (!gate->wants_signature) {
        add_check(cx, checks, "signature", true, mln_text(cx, "not asked for"));
        return true;
    }
    struct mln_bytes root = mln_get_bytes(mln_get(evidence, "root"));
    bool is_verified = mln_is_text(mln_get(sig, "verdict"), "ok");
    bool is_same = root.len > 0 && mln_bytes_eq(root, mln_get_bytes(mln_get(sig, "root")));
    struct mln_bytes error = mln_get_bytes(mln_get(sig, "error"));
    const struct mln_value *detail =
        mln_get(sig, "verdict") == NULL ? mln_text(cx, "no signature was shown")
        : !is_verified && error.len > 0 ? mln_textf(cx, "not valid: %.*s", MLN_FMT(error))
        : !is_verified                  ? mln_text(cx, "not valid")
        : !is_same                      ? mln_text(cx, "it is over another model")
                                        : mln_text(cx, "valid");
    add_check(cx, checks, "signature", is_verified && is_same, detail);
    return is_verified && is_same;
}

/* The numbers must be about the columns that the gate names. */
static bool same_columns(const struct mln_gate *gate, const struct mln_value *fair)
{
    const struct mln_value *columns = mln_get(fair, "columns");
    const struct mln_value *groups = mln_get(columns, "groups");
    bool is_same =
        mln_bytes_eq(mln_get_bytes(mln_get(columns, "label")), gate->fair.label) &&
        mln_bytes_eq(mln_get_bytes(mln_get(columns, "prediction")), gate->fair.prediction) &&
        mln_len(groups) == gate->fair.n_groups &&
        mln_is_text(mln_get(fair, "predictions"), gate->predictions);
    for (size_t i = 0; is_same && i < gate->fair.n_groups; i++) {
        is_same = mln_bytes_eq(mln_get_bytes(mln_item(groups, i)), gate->fair.groups[i]);
    }
    return is_same;
}

/* The smallest group; SIZE_MAX in *ret_at when there is none. */
static int64_t smallest(const struct mln_value *groups, size_t *ret_at)
{
    int64_t least = INT64_MAX;
    *ret_at = SIZE_MAX;
    for (size_t i = 0; mln_member_at(groups, i) != NULL; i++) {
        int64_t n = mln_get_int(mln_get(&mln_member_at(groups, i)->value, "n"), 0);
        if (n < least) {
            least = n;
            *ret_at = i;
        }
    }
    return least;
}

/* Judged again from the numbers: the evidence's own verdict may be against another threshold. */
static bool judge_numbers(struct mln_cx *cx, const struct mln_gate *gate,
                          const struct mln_value *fair, struct mln_value *checks)
{
    const struct mln_value *d = mln_get_key(mln_get(fair, "disparity"), gate->fair.metric);
    bool is_lower = gate->fair.use == MLN_FAIR_LOWER;
    const struct mln_value *number =
        is_lower ? mln_item(mln_get(d, "ratio_interval"), 0) : mln_get(d, "ratio");
    double value = mln_get_double(number, NAN);
    size_t at = 0;
    int64_t n = smallest(mln_get(fair, "groups"), &at);
    bool is_ok = false;
    const struct mln_value *detail = NULL;
    if (isnan(value) || at == SIZE_MAX || mln_is_text(mln_get(fair, "verdict"), "insufficient")) {
        struct mln_bytes why = mln_get_bytes(mln_item(mln_get(fair, "reasons"), 0));
        detail = mln_textf(cx, "insufficient%s%.*s", why.len > 0 ? ": " : "", MLN_FMT(why));
    } else if (n < (int64_t)gate->fair.min_group) {
        detail = mln_textf(cx, "insufficient: group \"%.*s\" has %lld rows, fewer than %u",
                           MLN_FMT(mln_member_at(mln_get(fair, "groups"), at)->key), (long long)n,
                           gate->fair.min_group);
    } else {
        is_ok = value >= gate->fair.minimum;
        detail = mln_textf(cx, "%s%.*s is %.4f, %s %.4f", is_lower ? "the low end of " : "",
                           MLN_FMT(gate->fair.metric), value, is_ok ? "at least" : "below",
                           gate->fair.minimum);
    }
    put_check(cx, checks,
              &(struct check){.name = "fairness",
                              .is_ok = is_ok,
                              .detail = detail,
                              .value = number != NULL ? number : mln_null(cx),
                              .limit = mln_double(cx, gate->fair.minimum)});
    return is_ok;
}

static bool judge_fairness(struct mln_cx *cx, const struct mln_gate *gate,
                           const struct mln_value *evidence, struct mln_value *checks)
{
    const struct mln_value *fair = mln_get(evidence, "fairness");
    if (!gate->wants_fairness) {
        add_check(cx, checks, "fairness", true, mln_text(cx, "not asked for"));
        return true;
    }
    struct mln_bytes error = mln_get_bytes(mln_get(fair, "error"));
    if (fair == NULL || error.len > 0) {
        add_check(cx, checks, "fairness", false,
                  fair == NULL ? mln_text(cx, "no numbers were shown")
                               : mln_textf(cx, "%.*s", MLN_FMT(error)));
        return false;
    }
    if (!same_columns(gate, fair)) {
        add_check(cx, checks, "fairness", false,
                  mln_text(cx, "the numbers are about other columns or another file"));
        return false;
    }
    return judge_numbers(cx, gate, fair, checks);
}

/* Whether approval i is a person's, for this model, and not the author's. */
static bool is_for_this(const struct mln_value *evidence, size_t i)
{
    const struct mln_value *all = mln_get(evidence, "approvals");
    struct mln_bytes root = mln_get_bytes(mln_get(evidence, "root"));
    struct mln_bytes author = mln_get_bytes(mln_get(mln_get(evidence, "author"), "id"));
    struct mln_bytes id = mln_get_bytes(mln_get(mln_item(all, i), "id"));
    return id.len > 0 && author.len > 0 && !mln_bytes_eq(id, author) && root.len > 0 &&
           mln_bytes_eq(root, mln_get_bytes(mln_get(mln_item(all, i), "root")));
}

/* The same, and the first of that person. */
static bool counts(const struct mln_value *evidence, size_t i)
{
    const struct mln_value *all = mln_get(evidence, "approvals");
    struct mln_bytes id = mln_get_bytes(mln_get(mln_item(all, i), "id"));
    for (size_t k = 0; k < i; k++) {
        if (is_for_this(evidence, k) &&
            mln_bytes_eq(id, mln_get_bytes(mln_get(mln_item(all, k), "id")))) {
            return false;
        }
    }
    return is_for_this(evidence, i);
}

static bool judge_approvals(struct mln_cx *cx, const struct mln_gate *gate,
                            const struct mln_value *evidence, struct mln_value *checks)
{
    const struct mln_value *all = mln_get(evidence, "approvals");
    struct mln_buf names = {0};
    uint32_t n = 0;
    for (size_t i = 0; i < mln_len(all) && i < 1000; i++) {
        if (counts(evidence, i)) {
            struct mln_bytes name = mln_get_bytes(mln_get(mln_item(all, i), "name"));
            mln_buf_add_format(&names, "%s%.*s", n > 0 ? ", " : "", MLN_FMT(name));
            n++;
        }
    }
    mln_buf_add_byte(&names, '\0');
    bool is_ok = n >= gate->approvals;
    const char *by = names.has_failed ? "" : (const char *)names.ptr;
    const struct mln_value *detail =
        gate->approvals == 0 ? mln_text(cx, "not asked for")
        : n == 0             ? mln_textf(cx, "none of %u given", gate->approvals)
                             : mln_textf(cx, "%u of %u given, by %s", n, gate->approvals, by);
    put_check(cx, checks,
              &(struct check){.name = "approvals",
                              .is_ok = is_ok,
                              .detail = detail,
                              .value = mln_int(cx, n),
                              .limit = mln_int(cx, gate->approvals)});
    mln_buf_drop(&names);
    return is_ok;
}

struct mln_err mln_gate_judge(struct mln_cx *cx, const struct mln_gate *gate,
                              const struct mln_value *evidence, const struct mln_value **ret)
{
    struct mln_value *checks = mln_array(cx);
    bool is_good = judge_scan(cx, gate, evidence, checks);
    is_good = judge_signature(cx, gate, evidence, checks) && is_good;
    is_good = judge_fairness(cx, gate, evidence, checks) && is_good;
    bool is_approved = judge_approvals(cx, gate, evidence, checks);
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "verdict", !is_good ? "fail" : is_approved ? "pass" : "waiting");
    mln_put_text(cx, v, "model", gate->model);
    mln_put(cx, v, "checks", checks);
    MLN_TRY(mln_cx_err(cx));
    *ret = v;
    return MLN_OK;
}
