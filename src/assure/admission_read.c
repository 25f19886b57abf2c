/* SPDX-License-Identifier: Apache-2.0 */
/* AdmissionReview v1: what an API server sends, and what it is answered. */
#include "assure/admission.h"

#include "base/json.h"
#include "base/text.h"

#define API "admission.k8s.io/v1"

/* ---- reading ---- */

static struct mln_err take_text(struct mln_cx *cx, const struct mln_value *of, const char *key, bool is_needed, struct mln_bytes *ret)
{
    const struct mln_value *v = mln_get(of, key);
    if ((v != NULL && mln_type_of(v) != MLN_STRING) || (is_needed && mln_len(v) == 0)) {
        return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request.%s is %s", key, v == NULL ? "missing" : "no text");
    }
    *ret = mln_get_bytes(v);
    return MLN_OK;
}

static struct mln_err take_object(struct mln_cx *cx, const struct mln_value *of, const char *key, const struct mln_value **ret)
{
    const struct mln_value *v = mln_get(of, key);
    if (!mln_is_null(v) && mln_type_of(v) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request.%s is no object", key);
    }
    *ret = mln_is_null(v) ? NULL : v;
    return MLN_OK;
}

static struct mln_err check_operation(struct mln_cx *cx, const struct mln_admission_review *r)
{
    static const char *const all[] = {"CREATE", "UPDATE", "DELETE", "CONNECT"};
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        if (mln_bytes_is(r->operation, all[i])) {
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request.operation is none of CREATE, UPDATE, DELETE, CONNECT");
}

static struct mln_err check_envelope(struct mln_cx *cx, const struct mln_value *review)
{
    if (!mln_is_text(mln_get(review, "kind"), "AdmissionReview")) {
        return mln_fail(cx, MLN_E_INVALID, "this is no AdmissionReview");
    }
    if (!mln_is_text(mln_get(review, "apiVersion"), API)) {
        return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: apiVersion is not " API ": set admissionReviewVersions: [v1]");
    }
    return mln_type_of(mln_get(review, "request")) == MLN_OBJECT
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request is missing");
}

static struct mln_err read_kind(struct mln_cx *cx, struct mln_admission_review *r)
{
    const struct mln_value *kind = mln_get(r->request, "kind");
    if (mln_type_of(kind) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request.kind is missing");
    }
    MLN_TRY(take_text(cx, kind, "group", false, &r->group));
    MLN_TRY(take_text(cx, kind, "version", true, &r->version));
    return take_text(cx, kind, "kind", true, &r->kind);
}

static struct mln_err read_dry_run(struct mln_cx *cx, struct mln_admission_review *r)
{
    const struct mln_value *v = mln_get(r->request, "dryRun");
    if (!mln_is_null(v) && mln_type_of(v) != MLN_BOOL) {
        return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request.dryRun is no boolean");
    }
    r->is_dry_run = mln_get_bool(v, false);
    return MLN_OK;
}

struct mln_err mln_admission_read(struct mln_cx *cx, const struct mln_value *review, struct mln_admission_review *ret)
{
    struct mln_admission_review r = {.review = review, .request = mln_get(review, "request")};
    MLN_TRY(check_envelope(cx, review));
    MLN_TRY(take_text(cx, r.request, "uid", true, &r.uid));
    if (r.uid.len > MLN_ADMISSION_UID_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "AdmissionReview: request.uid is longer than %u bytes", MLN_ADMISSION_UID_MAX);
    }
    MLN_TRY(take_text(cx, r.request, "operation", true, &r.operation));
    MLN_TRY(check_operation(cx, &r));
    MLN_TRY(read_kind(cx, &r));
    MLN_TRY(take_text(cx, r.request, "name", false, &r.name));
    MLN_TRY(take_text(cx, r.request, "namespace", false, &r.ns));
    MLN_TRY(take_text(cx, r.request, "subResource", false, &r.subresource));
    MLN_TRY(take_object(cx, r.request, "object", &r.object));
    MLN_TRY(take_object(cx, r.request, "oldObject", &r.old_object));
    MLN_TRY(read_dry_run(cx, &r));
    const struct mln_value *user = NULL;
    MLN_TRY(take_object(cx, r.request, "userInfo", &user));
    r.user = mln_get_bytes(mln_get(user, "username"));
    *ret = r;
    return MLN_OK;
}

/* ---- answering ---- */

static struct mln_value *envelope(struct mln_cx *cx, const struct mln_admission_review *r, bool is_allowed, struct mln_value **ret)
{
    struct mln_value *review = mln_object(cx), *response = mln_object(cx);
    mln_put_bytes(cx, response, "uid", r->uid);
    mln_put_bool(cx, response, "allowed", is_allowed);
    mln_put_text(cx, review, "apiVersion", API);
    mln_put_text(cx, review, "kind", "AdmissionReview");
    *ret = review;
    return response;
}

static void put_status(struct mln_cx *cx, struct mln_value *response, int code, const char *reason, struct mln_bytes message)
{
    struct mln_value *status = mln_object(cx);
    mln_put_int(cx, status, "code", code);
    mln_put_text(cx, status, "reason", reason);
    mln_put(cx, status, "message", mln_string_dup(cx, message));
    mln_put(cx, response, "status", status);
}

/* "[images] app: image by tag; [quota] ..." */
static struct mln_err put_refusal(struct mln_cx *cx, struct mln_value *response, const struct mln_value *denied)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < mln_len(denied) && text.len < MLN_ADMISSION_TEXT_MAX; i++) {
        const struct mln_value *d = mln_item(denied, i);
        mln_buf_add_format(&text, "%s[%.*s] ", i > 0 ? "\n" : "", MLN_FMT(mln_get_bytes(mln_get(d, "policy"))));
        mln_buf_add_bytes(&text, mln_get_bytes(mln_get(d, "msg")));
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    size_t n = text.len > MLN_ADMISSION_TEXT_MAX ? MLN_ADMISSION_TEXT_MAX : text.len;
    while (n > 0 && n < text.len && (text.ptr[n] & 0xc0) == 0x80) {
        n--; /* not within a character */
    }
    put_status(cx, response, 403, "Forbidden", mln_bytes_at(text.ptr, n));
    return MLN_OK;
}

static void put_warnings(struct mln_cx *cx, struct mln_value *response, const struct mln_value *warned)
{
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < mln_len(warned) && i < MLN_ADMISSION_WARNINGS; i++) {
        const struct mln_value *w = mln_item(warned, i);
        struct mln_bytes msg = mln_get_bytes(mln_get(w, "msg"));
        mln_push(cx, list, mln_textf(cx, "[%.*s] %.*s", MLN_FMT(mln_get_bytes(mln_get(w, "policy"))), MLN_FMT(msg)));
    }
    if (mln_len(list) > 0) {
        mln_put(cx, response, "warnings", list);
    }
}

static struct mln_err put_patch(struct mln_cx *cx, struct mln_value *response, const struct mln_value *patch)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    if (mln_len(patch) == 0) {
        return MLN_OK;
    }
    mln_json_print(&json, patch, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &json));
    mln_put_text(cx, response, "patchType", "JSONPatch");
    mln_put_text(cx, response, "patch", mln_base64_text(cx, mln_buf_bytes(&json), MLN_B64_STD));
    return MLN_OK;
}

struct mln_err mln_admission_answer(struct mln_cx *cx, const struct mln_admission_review *r, const struct mln_value *verdict,
                                    const struct mln_value **ret)
{
    bool is_allowed = mln_get_bool(mln_get(verdict, "allowed"), false);
    struct mln_value *review = NULL, *response = envelope(cx, r, is_allowed, &review);
    if (!is_allowed) {
        MLN_TRY(put_refusal(cx, response, mln_get(verdict, "denied")));
    } else {
        MLN_TRY(put_patch(cx, response, mln_get(verdict, "patch")));
    }
    put_warnings(cx, response, mln_get(verdict, "warned"));
    if (mln_len(mln_get(verdict, "annotations")) > 0) {
        mln_put(cx, response, "auditAnnotations", mln_get(verdict, "annotations"));
    }
    mln_put(cx, review, "response", response);
    *ret = review;
    return mln_cx_err(cx);
}

struct mln_err mln_admission_answer_failed(struct mln_cx *cx, const struct mln_admission_review *r, bool is_allowed, const char *why,
                                           const struct mln_value **ret)
{
    struct mln_value *review = NULL, *response = envelope(cx, r, is_allowed, &review);
    struct mln_value *annotations = mln_object(cx), *warnings = mln_array(cx);
    const char *text = mln_text_format(cx, "merlon could not judge this: %s", why);
    mln_put_text(cx, annotations, "failed", why);
    mln_put(cx, response, "auditAnnotations", annotations);
    if (is_allowed) {
        mln_push_text(cx, warnings, text);
        mln_put(cx, response, "warnings", warnings);
    } else {
        put_status(cx, response, 500, "InternalError", mln_bytes_of(text));
    }
    mln_put(cx, review, "response", response);
    *ret = review;
    return mln_cx_err(cx);
}
