/* SPDX-License-Identifier: Apache-2.0 */
/* Engine `admission`: what is judged by, and the descriptor. docs/admission.md */
#include "assure/admission_priv.h"
#include "assure/decision.h"
#include "assure/rows.h"
#include "base/json.h"

#define NAME_MAX_BYTES 253u /* Kubernetes' names */

/* ---- names and rows ---- */

static bool is_name(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!ok) {
            return false;
        }
    }
    return text.len > 0 && text.len <= NAME_MAX_BYTES && text.ptr[0] != '.';
}

static struct mln_err need_name(struct mln_request *rq, const char *field, struct mln_bytes *ret)
{
    *ret = mln_get_bytes(mln_field_of(rq, field));
    return is_name(*ret) ? MLN_OK
                         : mln_fail(rq->cx, MLN_E_INVALID, "%s is no name (letters, digits, - _ . and at most %u)", field, NAME_MAX_BYTES);
}

static struct mln_err read_at(struct mln_request *rq, struct mln_bytes key, struct mln_reply *re)
{
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, &re->data);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "there is nothing of this name") : err;
}

static struct mln_err put_at(struct mln_request *rq, struct mln_bytes key, const struct mln_value *row)
{
    MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key, row));
    return admission_changed(rq);
}

static struct mln_err remove_at(struct mln_request *rq, struct mln_bytes key)
{
    MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key));
    return admission_changed(rq);
}

/* ---- policies ---- */

static struct mln_err policy_key(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name;
    MLN_TRY(need_name(rq, "name", &name));
    *ret = mln_bytes_format(rq->cx, "p/%.*s", MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err policies_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_assure_list(rq, MLN_BYTES("p/"), re);
}

static struct mln_err policy_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    MLN_TRY(policy_key(rq, &key));
    return read_at(rq, key, re);
}

static struct mln_err policy_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    struct mln_value *row = mln_object(rq->cx);
    (void)re;
    MLN_TRY(policy_key(rq, &key));
    if (mln_len(mln_field_of(rq, "policy")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing policy");
    }
    mln_put(rq->cx, row, "policy", mln_field_of(rq, "policy"));
    return put_at(rq, key, row);
}

static struct mln_err policy_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    (void)re;
    MLN_TRY(policy_key(rq, &key));
    return remove_at(rq, key);
}

/* ---- templates and constraints ---- */

static struct mln_err template_key(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name;
    MLN_TRY(need_name(rq, "name", &name));
    *ret = mln_bytes_format(rq->cx, "t/%.*s", MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err templates_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_assure_list(rq, MLN_BYTES("t/"), re);
}

static struct mln_err template_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    MLN_TRY(template_key(rq, &key));
    return read_at(rq, key, re);
}

/* The manifest itself is the body. */
static struct mln_err template_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_admission_template t;
    const struct mln_value *v = mln_field_of(rq, "manifest");
    (void)re;
    MLN_TRY(mln_admission_template(rq->cx, v, &t));
    if (!is_name(mln_bytes_of(t.name))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "metadata.name is no name");
    }
    return put_at(rq, mln_bytes_format(rq->cx, "t/%s", t.name), v);
}

static struct mln_err template_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    (void)re;
    MLN_TRY(template_key(rq, &key));
    return remove_at(rq, key);
}

static struct mln_err constraint_key(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes kind, name;
    MLN_TRY(need_name(rq, "kind", &kind));
    MLN_TRY(need_name(rq, "name", &name));
    *ret = mln_bytes_format(rq->cx, "c/%.*s/%.*s", MLN_FMT(kind), MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err constraints_list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes kind = mln_get_bytes(mln_field_of(rq, "kind"));
    struct mln_bytes folder = kind.len == 0 ? MLN_BYTES("c/") : mln_bytes_format(rq->cx, "c/%.*s/", MLN_FMT(kind));
    return mln_assure_list(rq, folder, re);
}

static struct mln_err constraint_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    MLN_TRY(constraint_key(rq, &key));
    return read_at(rq, key, re);
}

static struct mln_err constraint_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *v = mln_field_of(rq, "manifest");
    struct mln_bytes kind = mln_get_bytes(mln_get(v, "kind")), name = mln_get_bytes(mln_get(mln_get(v, "metadata"), "name"));
    (void)re;
    MLN_TRY(mln_admission_constraint(rq->cx, v));
    if (!is_name(kind) || !is_name(name)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "kind or metadata.name is no name");
    }
    return put_at(rq, mln_bytes_format(rq->cx, "c/%.*s/%.*s", MLN_FMT(kind), MLN_FMT(name)), v);
}

static struct mln_err constraint_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    (void)re;
    MLN_TRY(constraint_key(rq, &key));
    return remove_at(rq, key);
}

/* ---- inventory ---- */

static struct mln_err check_object(struct mln_request *rq, const struct mln_value *o)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {.max = ADMISSION_OBJECT_MAX};
    bool is_whole = mln_len(mln_get(o, "apiVersion")) > 0 && mln_len(mln_get(o, "kind")) > 0 &&
                    mln_len(mln_get(mln_get(o, "metadata"), "name")) > 0;
    if (!is_whole) {
        return mln_fail(rq->cx, MLN_E_INVALID, "an object has no apiVersion, kind or metadata.name");
    }
    if (mln_is_text(mln_get(o, "kind"), "Secret")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Secrets are not kept in the inventory: policies could tell what is in them");
    }
    mln_json_print(&json, o, MLN_JSON_COMPACT);
    return json.is_over ? mln_fail(rq->cx, MLN_E_TOO_LARGE, "an object is longer than %zu bytes", ADMISSION_OBJECT_MAX)
                        : mln_buf_ok(rq->cx, &json);
}

static struct mln_err inventory_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *objects = mln_field_of(rq, "objects"), *gone = mln_field_of(rq, "remove");
    struct mln_value *data = mln_object(rq->cx);
    if (mln_len(objects) + mln_len(gone) > ADMISSION_OBJECTS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "more than %u objects at once", ADMISSION_OBJECTS_MAX);
    }
    for (size_t i = 0; i < mln_len(objects); i++) {
        const struct mln_value *o = mln_item(objects, i);
        MLN_TRY(check_object(rq, o));
        MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, admission_object_key(rq->cx, o), o));
    }
    for (size_t i = 0; i < mln_len(gone); i++) {
        MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, admission_object_key(rq->cx, mln_item(gone, i))));
    }
    mln_put_int(rq->cx, data, "put", (int64_t)mln_len(objects));
    mln_put_int(rq->cx, data, "removed", (int64_t)mln_len(gone));
    re->data = data;
    return admission_changed(rq);
}

/* ---- configuration ---- */

static const char *const config_keys[] = {"on_error", "on_lookup",     "auth",              "time_ms",
                                          "cache_ms", "release_mount", "exempt_namespaces", "masks"};

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    struct admission_config c;
    const struct mln_value *row = NULL;
    struct mln_value *v = mln_object(rq->cx);
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), &row);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    MLN_TRY(admission_config_of(rq->cx, row, &c));
    mln_put_text(rq->cx, v, "on_error", c.fails_open ? "allow" : "deny");
    mln_put_text(rq->cx, v, "on_lookup", c.lookup_fails_open ? "allow" : "deny");
    mln_put_text(rq->cx, v, "auth", c.needs_token ? "token" : "none");
    mln_put_int(rq->cx, v, "time_ms", c.time_ms);
    mln_put_int(rq->cx, v, "cache_ms", c.cache_ms);
    mln_put_text(rq->cx, v, "release_mount", c.release_mount);
    mln_put(rq->cx, v, "exempt_namespaces", c.exempt);
    mln_put(rq->cx, v, "masks", c.masks);
    re->data = v;
    return mln_cx_err(rq->cx);
}

static bool is_one_of(const struct mln_value *v, const char *a, const char *b)
{
    return v == NULL || mln_is_text(v, a) || mln_is_text(v, b);
}

static struct mln_err check_config(struct mln_request *rq)
{
    struct mln_value *masked = NULL, *hit = NULL;
    int64_t time_ms = mln_get_int(mln_field_of(rq, "time_ms"), ADMISSION_TIME_MS);
    int64_t cache_ms = mln_get_int(mln_field_of(rq, "cache_ms"), 0);
    struct mln_bytes mount = mln_get_bytes(mln_field_of(rq, "release_mount"));
    if (!is_one_of(mln_field_of(rq, "on_error"), "deny", "allow") || !is_one_of(mln_field_of(rq, "on_lookup"), "deny", "allow")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "on_error and on_lookup are deny or allow");
    }
    if (!is_one_of(mln_field_of(rq, "auth"), "token", "none")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "auth is token or none");
    }
    if (time_ms < 1 || time_ms > ADMISSION_TIME_MS_MAX || cache_ms < 0 || cache_ms > 3600000) {
        return mln_fail(rq->cx, MLN_E_INVALID, "time_ms is 1 to %d, cache_ms 0 to 3600000", ADMISSION_TIME_MS_MAX);
    }
    if (mount.len > 0 && !mln_bytes_ends(mount, MLN_BYTES("/"))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "release_mount does not end in /");
    }
    return mln_field_of(rq, "masks") == NULL ? MLN_OK
                                             : mln_decision_mask(rq->cx, mln_object(rq->cx), mln_field_of(rq, "masks"), &masked, &hit);
}

/* What is not given stays as it is. */
static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *before = NULL;
    (void)re;
    MLN_TRY(check_config(rq));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), &before);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    struct mln_value *row = before == NULL ? mln_object(rq->cx) : mln_value_dup(rq->cx, before);
    for (size_t i = 0; i < MLN_COUNT(config_keys); i++) {
        const struct mln_value *v = mln_field_of(rq, config_keys[i]);
        if (v != NULL) {
            mln_put(rq->cx, row, config_keys[i], v);
        }
    }
    return put_at(rq, MLN_BYTES("config"), row);
}

/* ---- the descriptor ---- */

#define NAME_FIELD                                                                                                          \
    {                                                                                                                       \
        .name = "name", .type = MLN_FIELD_TEXT, .help = "Its name.", .is_query = true                                       \
    }
#define MANIFEST_FIELD                                                                                                      \
    {                                                                                                                       \
        .name = "manifest", .type = MLN_FIELD_MAP, .help = "The manifest, as Gatekeeper reads it."                          \
    }

static const struct mln_field policy_fields[] = {
    NAME_FIELD,
    {.name = "policy", .type = MLN_FIELD_TEXT, .help = "A Rego module, package merlon.admission.NAME."},
    {0},
};
static const struct mln_field name_fields[] = {NAME_FIELD, {0}};
static const struct mln_field manifest_fields[] = {MANIFEST_FIELD, {0}};
static const struct mln_field constraint_fields[] = {
    {.name = "kind", .type = MLN_FIELD_TEXT, .help = "Its kind.", .is_query = true},
    NAME_FIELD,
    {0},
};
static const struct mln_field inventory_fields[] = {
    {.name = "objects", .type = MLN_FIELD_ANY, .help = "Objects of the cluster to keep: a list of manifests."},
    {.name = "remove", .type = MLN_FIELD_ANY, .help = "Objects that are gone: apiVersion, kind, metadata of each."},
    {0},
};
static const struct mln_field config_fields[] = {
    {.name = "on_error", .type = MLN_FIELD_TEXT, .help = "What could not be judged: deny (default) or allow."},
    {.name = "on_lookup", .type = MLN_FIELD_TEXT, .help = "When merlon.* cannot be answered: deny (default) or allow."},
    {.name = "auth", .type = MLN_FIELD_TEXT, .help = "token (default): with update on the path; none: anybody who reaches it."},
    {.name = "time_ms", .type = MLN_FIELD_INT, .help = "For one review (default 2000): below the webhook's timeoutSeconds."},
    {.name = "cache_ms", .type = MLN_FIELD_INT, .help = "How long facts of releases are good (default 1000)."},
    {.name = "release_mount", .type = MLN_FIELD_TEXT, .help = "Where releases are (default release/)."},
    {.name = "exempt_namespaces", .type = MLN_FIELD_LIST, .help = "Patterns of namespaces that are not judged."},
    {.name = "masks", .type = MLN_FIELD_LIST, .help = "Paths that decisions do not keep: /request/object/spec/x."},
    {0},
};

#define ADMIT .is_open = true, .act = MLN_ACT_EVIDENCE, .controls = "CM-7,SI-7"

static const struct mln_path paths[] = {
    {.pattern = "validate", .summary = "Judge an AdmissionReview.", .write = admission_validate, ADMIT},
    {.pattern = "mutate", .summary = "Patch the object of an AdmissionReview.", .write = admission_mutate, ADMIT},
    {.pattern = "config", .summary = "Who may ask, how long, what failing means.", .fields = config_fields, .read = config_read,
     .write = config_write, .controls = "CM-6"},
    {.pattern = "policies", .summary = "List policies.", .list = policies_list},
    {.pattern = "policies/{name}", .summary = "Read, write or delete a policy.", .fields = policy_fields, .read = policy_read,
     .write = policy_write, .remove = policy_remove, .controls = "CM-3"},
    {.pattern = "templates", .summary = "List constraint templates, or put one.", .fields = manifest_fields, .list = templates_list,
     .write = template_write, .controls = "CM-3"},
    {.pattern = "templates/{name}", .summary = "Read or delete a constraint template.", .fields = name_fields, .read = template_read,
     .remove = template_remove, .controls = "CM-3"},
    {.pattern = "constraints", .summary = "List kinds of constraints, or put a constraint.", .fields = manifest_fields,
     .list = constraints_list, .write = constraint_write, .controls = "CM-3"},
    {.pattern = "constraints/{kind}", .summary = "List constraints of a kind.", .fields = constraint_fields, .list = constraints_list},
    {.pattern = "constraints/{kind}/{name}", .summary = "Read or delete a constraint.", .fields = constraint_fields,
     .read = constraint_read, .remove = constraint_remove, .controls = "CM-3"},
    {.pattern = "inventory", .summary = "Tell which objects the cluster has.", .fields = inventory_fields, .write = inventory_write},
    {0},
};

const struct mln_engine mln_assurance_admission = {
    .type = "admission",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Admission for Kubernetes: policies in Rego, Gatekeeper's templates and constraints.",
    .paths = paths,
};
