/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: policies and what they allow. */
#include "core/sys_priv.h"

#include "base/limits.h"

static struct mln_view policy_view(void)
{
    return mln_home_view("policy/");
}

static struct mln_err policy_name(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    char *lower = mln_new(rq->cx, name.len + 1);
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES || name.ptr[name.len - 1] == '/') {
        return mln_fail(rq->cx, MLN_E_INVALID, "a policy's name has 1 to %d bytes and does not end in \"/\"", MLN_NAME_MAX_BYTES);
    }
    for (size_t i = 0; lower != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    *ret = mln_bytes_at(lower, name.len);
    return mln_cx_err(rq->cx);
}

static struct mln_err names(struct mln_request *rq, struct mln_value **ret)
{
    const struct mln_value *stored = NULL;
    struct mln_value *out = mln_array(rq->cx);
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, policy_view(), MLN_BYTES_NONE, &stored));
    for (size_t i = 0; i < mln_len(stored); i++) {
        mln_push(rq->cx, out, mln_item(stored, i));
    }
    mln_push_text(rq->cx, out, "root");
    *ret = out;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_policies_list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *keys = NULL, *data = mln_object(rq->cx);
    MLN_TRY(names(rq, &keys));
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_policy_list_old(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *keys = NULL, *data = mln_object(rq->cx);
    MLN_TRY(names(rq, &keys));
    mln_put(rq->cx, data, "keys", keys);
    mln_put(rq->cx, data, "policies", keys);
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

/* Names that the server keeps for itself: their texts, NULL for others. No token but the server's own may carry the last two. */
static const char *kept_text(struct mln_bytes name)
{
    static const struct {
        const char *name, *text;
    } kept[] = {
        {"root", ""},
        {"response-wrapping", "path \"cubbyhole/response\" {\n    capabilities = [\"create\", \"read\"]\n}\n\n"
                              "path \"sys/wrapping/unwrap\" {\n    capabilities = [\"update\"]\n}\n"},
        {"control-group", "path \"cubbyhole/control-group\" {\n    capabilities = [\"update\", \"create\", \"read\"]\n}\n\n"
                          "path \"sys/wrapping/unwrap\" {\n    capabilities = [\"update\"]\n}\n"},
    };
    for (size_t i = 0; i < MLN_COUNT(kept); i++) {
        if (mln_bytes_is(name, kept[i].name)) {
            return kept[i].text;
        }
    }
    return NULL;
}

static struct mln_err read_policy(struct mln_request *rq, struct mln_reply *re, const char *member)
{
    struct mln_bytes name, text = MLN_BYTES_NONE;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(policy_name(rq, &name));
    const char *kept = kept_text(name);
    if (kept != NULL) {
        text = mln_bytes_of(kept);
    } else {
        MLN_TRY(mln_txn_get(rq->cx, rq->txn, policy_view(), name, &text));
    }
    mln_put_bytes(rq->cx, data, "name", name);
    mln_put_bytes(rq->cx, data, member, text);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_policy_read(struct mln_request *rq, struct mln_reply *re)
{
    return read_policy(rq, re, "policy");
}

static struct mln_err sys_policy_read_old(struct mln_request *rq, struct mln_reply *re)
{
    MLN_TRY(read_policy(rq, re, "rules"));
    re->top = re->data;
    return MLN_OK;
}

/* Plain text, or base64 of it: a policy has characters that base64 has not. */
static struct mln_err policy_text(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "policy"));
    text = text.len > 0 ? text : mln_get_bytes(mln_field_of(rq, "rules"));
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.max = MLN_POLICY_MAX_BYTES};
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'policy' parameter not supplied or empty");
    }
    if (text.len > 2 * MLN_POLICY_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_TOO_LARGE, "a policy has at most %u bytes", MLN_POLICY_MAX_BYTES);
    }
    if (mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, &plain))) {
        mln_cx_clear(rq->cx);
        *ret = text;
    } else {
        *ret = mln_bytes_dup(rq->cx, mln_buf_bytes(&plain));
    }
    if (ret->len > MLN_POLICY_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_TOO_LARGE, "a policy has at most %u bytes", MLN_POLICY_MAX_BYTES);
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_policy_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, text;
    struct mln_policy *policy = NULL;
    MLN_TRY(policy_name(rq, &name));
    if (kept_text(name) != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot update \"%.*s\" policy", MLN_FMT(name));
    }
    if (!mln_bytes_eq(name, mln_get_bytes(mln_field_of(rq, "name")))) {
        mln_reply_warn(rq, re, "policy name was converted to lower case");
    }
    MLN_TRY(policy_text(rq, &text));
    MLN_TRY(mln_policy_parse(rq->cx, text, &policy));
    mln_policy_free(policy);
    mln_run_of(rq)->changed_policies = true;
    mln_put_bytes(rq->cx, rq->detail, "policy", name);
    return mln_txn_put(rq->cx, rq->txn, policy_view(), name, text);
}

static struct mln_err sys_policy_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    (void)re;
    MLN_TRY(policy_name(rq, &name));
    if (kept_text(name) != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot delete \"%.*s\" policy", MLN_FMT(name));
    }
    if (mln_bytes_is(name, MLN_POLICY_DEFAULT_NAME)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot delete default policy");
    }
    mln_run_of(rq)->changed_policies = true;
    mln_put_bytes(rq->cx, rq->detail, "policy", name);
    return mln_txn_delete(rq->cx, rq->txn, policy_view(), name);
}

/* ---- capabilities ---- */

struct asked {
    const struct mln_value *paths;
    struct mln_value *data;
    bool is_root;
    struct mln_bytes here; /* the request's namespace as the policies' one names it */
};

static struct mln_err fill(void *arg, struct mln_cx *cx, const struct mln_acl *acl)
{
    struct asked *a = arg;
    for (size_t i = 0; i < mln_len(a->paths); i++) {
        struct mln_bytes path = mln_get_bytes(mln_item(a->paths, i));
        struct mln_bytes bare = path.len > 0 && path.ptr[0] == '/' ? mln_bytes_from(path, 1) : path;
        bare = a->here.len == 0 ? bare : mln_bytes_format(cx, "%.*s%.*s", MLN_FMT(a->here), MLN_FMT(bare));
        const struct mln_value *list = mln_capability_names(cx, mln_acl_capabilities(acl, bare), a->is_root);
        mln_put_key(cx, a->data, path, list);
        if (mln_len(a->paths) == 1) {
            mln_put(cx, a->data, "capabilities", list);
        }
    }
    return mln_cx_err(cx);
}

static struct mln_err capabilities_of(struct mln_request *rq, struct mln_reply *re, const struct mln_subject *subject)
{
    struct asked a = {.paths = mln_field_of(rq, "paths"), .data = mln_object(rq->cx)};
    a.is_root = mln_token_names(subject->names, "root");
    const struct mln_run *run = mln_run_of(rq);
    const struct mln_space *home = mln_space_by_id(run->spaces, subject->ns);
    struct mln_bytes here = mln_space_path(run->space), theirs = mln_space_path(home);
    if (!mln_bytes_starts(here, theirs)) { /* of a namespace below: its tokens may nothing here */
        return mln_fail(rq->cx, MLN_E_INVALID, "the token is of the namespace \"%.*s\": ask there", MLN_FMT(theirs));
    }
    a.here = mln_bytes_from(here, theirs.len);
    a.paths = mln_len(a.paths) > 0 ? a.paths : mln_field_of(rq, "path");
    if (mln_len(a.paths) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "paths must be supplied");
    }
    MLN_TRY(mln_policies_use_as(mln_core_of(rq), rq->cx, subject, fill, &a));
    re->data = re->top = a.data;
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_capabilities_self(struct mln_request *rq, struct mln_reply *re)
{
    return capabilities_of(rq, re, &mln_run_of(rq)->subject);
}

/* Of another token, with what its entity has; a disabled entity may nothing. */
static struct mln_err capabilities_of_entry(struct mln_request *rq, struct mln_reply *re, const struct mln_value *entry)
{
    struct mln_subject subject = {0};
    struct mln_err err = mln_subject_of(mln_core_of(rq), rq->cx, entry, &subject);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        subject = (struct mln_subject){.names = mln_array(rq->cx)};
    } else {
        MLN_TRY(err);
    }
    return capabilities_of(rq, re, &subject);
}

static struct mln_err sys_capabilities(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    struct mln_bytes token = mln_get_bytes(mln_field_of(rq, "token"));
    struct mln_err err = mln_token_find(mln_core_of(rq), rq->cx, rq->txn, rq->now_ns, token, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "invalid token");
    }
    MLN_TRY(err);
    if (!mln_space_is_below(mln_run_of(rq), mln_token_ns(entry))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid token");
    }
    return capabilities_of_entry(rq, re, entry);
}

static struct mln_err sys_capabilities_accessor(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    const char *accessor = mln_get_text(rq->cx, mln_field_of(rq, "accessor"), "");
    struct mln_err err = mln_token_by_accessor(rq->cx, rq->txn, accessor, &entry);
    if (mln_is(err, MLN_E_NOT_FOUND) ||
        (!mln_failed(err) && !mln_space_is_below(mln_run_of(rq), mln_token_ns(entry)))) {
        return mln_refail(rq->cx, MLN_E_INVALID, "invalid accessor");
    }
    MLN_TRY(err);
    return capabilities_of_entry(rq, re, entry);
}

/* ---- paths ---- */

static const struct mln_field policy_fields[] = {
    F_TEXT("name", "The policy's name."),
    {.name = "policy",
     .type = MLN_FIELD_TEXT,
     .help = "Its text: HCL or JSON, plain or in base64."},
    {.name = "rules", .type = MLN_FIELD_TEXT, .help = "Old name of policy."},
    {0},
};
static const struct mln_field capability_fields[] = {
    {.name = "path", .type = MLN_FIELD_LIST, .help = "Old name of paths."},
    {.name = "paths", .type = MLN_FIELD_LIST, .help = "Paths to ask about."},
    {.name = "token", .type = MLN_FIELD_SECRET, .help = "Whose capabilities."},
    {.name = "accessor", .type = MLN_FIELD_TEXT, .help = "Whose capabilities."},
    {0},
};

const struct mln_path mln_sys_policies[] = {
    {.pattern = "policies/acl",
     .summary = "List policies.",
     .read = sys_policies_list,
     .list = sys_policies_list},
    {.pattern = "policies/acl/{name...}",
     .summary = "Read, write or delete a policy.",
     .fields = policy_fields,
     .read = sys_policy_read,
     .write = sys_policy_write,
     .remove = sys_policy_remove,
     .controls = "AC-3,AC-6"},
    {.pattern = "policy",
     .summary = "List policies.",
     .read = sys_policy_list_old,
     .list = sys_policy_list_old},
    {.pattern = "policy/{name...}",
     .summary = "Read, write or delete a policy.",
     .fields = policy_fields,
     .read = sys_policy_read_old,
     .write = sys_policy_write,
     .remove = sys_policy_remove,
     .controls = "AC-3,AC-6"},
    {.pattern = "capabilities-self",
     .summary = "What the caller may on paths.",
     .fields = capability_fields,
     .write = sys_capabilities_self},
    {.pattern = "capabilities",
     .summary = "What a token may on paths.",
     .fields = capability_fields,
     .write = sys_capabilities},
    {.pattern = "capabilities-accessor",
     .summary = "What the token of an accessor may.",
     .fields = capability_fields,
     .write = sys_capabilities_accessor},
    {0},
};
