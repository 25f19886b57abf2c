/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of audit devices, in the shape of Vault's: one for a request before the engine runs, one for its answer. Each string of
 * data, each token and accessor stands as its HMAC under the device's salt, unless the device says log_raw or the mount exempts the
 * key; names, numbers and booleans are clear. Built with a context of its own, for the request's may hold the fault to be told.
 */
#include "core/audit_priv.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#define JSONX_NAMESPACE "http://www.ibm.com/xmlns/prod/2009/jsonx"

struct entry {
    struct mln_cx cx;
    struct mln_run *run;
    const struct audit_device *device;
};

/* ---- HMACs ---- */

void audit_mac(const struct audit_device *device, struct mln_bytes text, char to[64 + 13])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[MLN_SHA256_BYTES];
    mln_hmac_sha256(mln_bytes_at(device->salt, sizeof(device->salt)), text, mac);
    mln_copy(to, "hmac-sha256:", 12);
    for (size_t i = 0; i < sizeof(mac); i++) {
        to[12 + 2 * i] = digits[mac[i] >> 4];
        to[13 + 2 * i] = digits[mac[i] & 15];
    }
    to[76] = '\0';
}

static const struct mln_value *mac_of(struct entry *e, struct mln_bytes text)
{
    char *to = mln_new(&e->cx, 64 + 13);
    if (to == NULL) {
        return mln_null(&e->cx);
    }
    audit_mac(e->device, text, to);
    return mln_string(&e->cx, mln_bytes_at(to, 76));
}

static void put_mac(struct entry *e, struct mln_value *object, const char *key, struct mln_bytes text, bool is_clear)
{
    if (text.len > 0) {
        mln_put(&e->cx, object, key, is_clear ? mln_string(&e->cx, text) : mac_of(e, text));
    }
}

static bool is_named(const struct mln_value *names, struct mln_bytes key)
{
    for (size_t i = 0; i < mln_len(names); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(names, i)), key)) {
            return true;
        }
    }
    return false;
}

/* A copy with each string hashed. exempt: names of members that stay clear, of the outermost object only. */
static const struct mln_value *hashed(struct entry *e, const struct mln_value *v, const struct mln_value *exempt, int depth)
{
    struct mln_value *out = NULL;
    if (depth > MLN_VALUE_DEPTH_MAX) {
        return mln_null(&e->cx);
    }
    switch (mln_type_of(v)) {
    case MLN_STRING:
        return mac_of(e, mln_get_bytes(v));
    case MLN_ARRAY:
    case MLN_SET:
        out = mln_array(&e->cx);
        for (size_t i = 0; i < mln_len(v); i++) {
            mln_push(&e->cx, out, hashed(e, mln_item(v, i), NULL, depth + 1));
        }
        return out;
    case MLN_OBJECT:
        out = mln_object(&e->cx);
        for (size_t i = 0; i < mln_len(v); i++) {
            const struct mln_member *m = mln_member_at(v, i);
            bool stays = is_named(exempt, m->key);
            mln_put_key(&e->cx, out, m->key, stays ? &m->value : hashed(e, &m->value, NULL, depth + 1));
        }
        return out;
    case MLN_NULL:
    case MLN_BOOL:
    case MLN_INT:
    case MLN_DECIMAL:
    default:
        return v != NULL ? v : mln_null(&e->cx);
    }
}

static const struct mln_value *data_of(struct entry *e, const struct mln_value *v, const char *exempt)
{
    const struct mln_mount *mount = e->run->rq.mount;
    const struct mln_value *names = mount != NULL ? mln_get(mount->config, exempt) : NULL;
    return e->device->options.log_raw ? v : hashed(e, v, names, 0);
}

/* ---- parts that both lines have ---- */

static void put_text(struct entry *e, struct mln_value *object, const char *key, const char *text)
{
    if (text != NULL && text[0] != 0) {
        mln_put_text(&e->cx, object, key, text);
    }
}

static struct mln_value *auth_part(struct entry *e)
{
    const struct mln_run *run = e->run;
    const struct mln_actor *a = &run->actor;
    const struct audit_options *o = &e->device->options;
    struct mln_value *auth = mln_object(&e->cx), *results = mln_object(&e->cx);
    put_mac(e, auth, "client_token", run->token, o->log_raw);
    put_mac(e, auth, "accessor", mln_bytes_of(a->accessor), o->log_raw || !o->hmac_accessor);
    put_text(e, auth, "display_name", a->display_name);
    put_text(e, auth, "entity_id", a->entity_id);
    if (mln_len(a->meta) > 0) {
        mln_put(&e->cx, auth, "metadata", a->meta);
    }
    if (run->entry != NULL) {
        mln_put(&e->cx, auth, "policies", a->policies);
        mln_put(&e->cx, auth, "token_policies", mln_get(run->entry, "policies"));
        int64_t created_ns = mln_get_int(mln_get(run->entry, "created_ns"), 0);
        mln_put_text(&e->cx, auth, "token_issue_time", mln_time_text(&e->cx, created_ns, 0));
        mln_put_int(&e->cx, auth, "token_ttl", mln_get_int(mln_get(run->entry, "ttl_s"), 0));
        put_text(e, auth, "token_type", mln_get_text(&e->cx, mln_get(run->entry, "type"), "service"));
    }
    mln_put_bool(&e->cx, results, "allowed", !run->is_refused);
    mln_put(&e->cx, auth, "policy_results", results);
    return auth;
}

static const char *class_of(const struct mln_mount *mount)
{
    return mount->engine == NULL || mount->engine->kind == MLN_MOUNT_SECRET ? "secret"
           : mount->engine->kind == MLN_MOUNT_AUTH                          ? "auth"
                                                                            : "system";
}

static void put_mount(struct entry *e, struct mln_value *object)
{
    const struct mln_mount *mount = e->run->rq.mount;
    if (mount != NULL) {
        put_text(e, object, "mount_accessor", mount->accessor);
        put_text(e, object, "mount_class", class_of(mount));
        put_text(e, object, "mount_point", mount->path);
        put_text(e, object, "mount_type", mount->type);
    }
}

static struct mln_value *request_part(struct entry *e)
{
    static const char *const ops[] = {"read", "list", "update", "patch", "delete", "help", "scan"};
    const struct mln_request *rq = &e->run->rq;
    const struct mln_actor *a = &e->run->actor;
    const struct audit_options *o = &e->device->options;
    struct mln_value *request = mln_object(&e->cx), *ns = mln_object(&e->cx);
    mln_put_text(&e->cx, request, "id", rq->id);
    put_text(e, request, "client_id", a->entity_id);
    mln_put_text(&e->cx, request, "operation", ops[rq->op]);
    put_mount(e, request);
    put_mac(e, request, "client_token", e->run->token, o->log_raw);
    put_mac(e, request, "client_token_accessor", mln_bytes_of(a->accessor), o->log_raw || !o->hmac_accessor);
    mln_put_bytes(&e->cx, ns, "id", rq->ns);
    if (e->run->space != NULL) {
        mln_put_text(&e->cx, ns, "path", e->run->space->path);
    }
    mln_put(&e->cx, request, "namespace", ns);
    mln_put_bytes(&e->cx, request, "path", rq->path);
    if (mln_len(rq->data) > 0) {
        mln_put(&e->cx, request, "data", data_of(e, rq->data, "audit_non_hmac_request_keys"));
    }
    const struct mln_value *headers =
        audit_headers_shown(&e->cx, e->run->core->audit, e->device, mln_get(e->run->message, "sent"));
    if (headers != NULL) {
        mln_put(&e->cx, request, "headers", headers);
    }
    put_text(e, request, "remote_address", rq->source);
    mln_put_int(&e->cx, request, "remote_port", mln_get_int(mln_get(e->run->message, "port"), 0));
    return request;
}

/* ---- the answer ---- */

/* What a login made, without the token itself. */
static struct mln_value *given_auth(struct entry *e, const struct mln_value *given)
{
    static const char *const clear[] = {"policies",   "token_policies", "identity_policies", "metadata", "lease_duration",
                                        "renewable", "entity_id",      "token_type",        "orphan",   "num_uses"};
    const struct audit_options *o = &e->device->options;
    struct mln_value *auth = mln_object(&e->cx);
    put_mac(e, auth, "client_token", mln_get_bytes(mln_get(given, "client_token")), o->log_raw);
    put_mac(e, auth, "accessor", mln_get_bytes(mln_get(given, "accessor")), o->log_raw || !o->hmac_accessor);
    for (size_t i = 0; i < MLN_COUNT(clear); i++) {
        const struct mln_value *v = mln_get(given, clear[i]);
        if (!mln_is_null(v)) {
            mln_put(&e->cx, auth, clear[i], v);
        }
    }
    return auth;
}

/* How many instead of which. */
static const struct mln_value *elided(struct entry *e, const struct mln_value *data)
{
    static const char *const lists[] = {"keys", "key_info"};
    struct mln_value *out = mln_object(&e->cx);
    if (!e->device->options.elide_lists || !mln_op_is_list(e->run->rq.op) || mln_type_of(data) != MLN_OBJECT) {
        return data;
    }
    for (size_t i = 0; i < mln_len(data); i++) {
        mln_put_key(&e->cx, out, mln_member_at(data, i)->key, &mln_member_at(data, i)->value);
    }
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        if (mln_get(data, lists[i]) != NULL) {
            mln_put_int(&e->cx, out, lists[i], (int64_t)mln_len(mln_get(data, lists[i])));
        }
    }
    return out;
}

/* The answer was put away under a token of one use. */
static struct mln_value *wrap_part(struct entry *e, const struct mln_value *info)
{
    static const char *const clear[] = {"ttl", "creation_time", "creation_path"};
    const struct audit_options *o = &e->device->options;
    struct mln_value *part = mln_object(&e->cx);
    bool is_open = o->log_raw || !o->hmac_accessor;
    for (size_t i = 0; i < MLN_COUNT(clear); i++) {
        mln_put(&e->cx, part, clear[i], mln_get(info, clear[i]));
    }
    put_mac(e, part, "token", mln_get_bytes(mln_get(info, "token")), o->log_raw);
    put_mac(e, part, "accessor", mln_get_bytes(mln_get(info, "accessor")), is_open);
    put_mac(e, part, "wrapped_accessor", mln_get_bytes(mln_get(info, "wrapped_accessor")), is_open);
    return part;
}

static struct mln_value *response_part(struct entry *e)
{
    const struct mln_run *run = e->run;
    const struct mln_reply *re = &run->reply;
    struct mln_value *response = mln_object(&e->cx), *raw = NULL, *secret = NULL;
    const struct mln_value *data = run->unwrapped != NULL ? run->unwrapped : re->data != NULL ? re->data : re->bare;
    if (run->wrap_info != NULL) {
        mln_put(&e->cx, response, "wrap_info", wrap_part(e, run->wrap_info));
        put_mount(e, response);
        return response;
    }
    if (run->lease_id != NULL) {
        secret = mln_object(&e->cx);
        mln_put_text(&e->cx, secret, "lease_id", run->lease_id);
        mln_put(&e->cx, response, "secret", secret);
    }
    if (data == NULL && re->raw.len > 0) {
        raw = mln_object(&e->cx);
        mln_put(&e->cx, raw, "http_raw_body", mln_string(&e->cx, re->raw));
        mln_put(&e->cx, response, "data", hashed(e, raw, NULL, 0)); /* bytes are never clear */
    }
    if (re->auth != NULL) {
        mln_put(&e->cx, response, "auth", given_auth(e, re->auth));
    }
    put_mount(e, response);
    if (data != NULL && !mln_is_null(data)) {
        mln_put(&e->cx, response, "data", data_of(e, elided(e, data), "audit_non_hmac_response_keys"));
    }
    if (re->warnings != NULL) {
        mln_put(&e->cx, response, "warnings", re->warnings);
    }
    return response;
}

/* ---- printing ---- */

static void xml_text(struct mln_buf *to, struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        const char *name = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&#34;" : NULL;
        if (name != NULL) {
            mln_buf_add_text(to, name);
        } else if (c >= 0x20) {
            mln_buf_add_byte(to, c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            mln_buf_add_format(to, "&#%u;", (unsigned)c);
        } else {
            mln_buf_add_text(to, "\xef\xbf\xbd"); /* XML has no such character */
        }
    }
}

static void jsonx(struct mln_buf *to, const struct mln_member *m, int depth);

static void jsonx_body(struct mln_buf *to, const struct mln_value *v, int depth)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    switch (mln_type_of(v)) {
    case MLN_ARRAY:
    case MLN_SET:
        for (size_t i = 0; i < mln_len(v); i++) {
            jsonx(to, &(struct mln_member){.value = *mln_item(v, i)}, depth + 1);
        }
        break;
    case MLN_OBJECT:
        for (size_t i = 0; i < mln_len(v); i++) {
            jsonx(to, mln_member_at(v, i), depth + 1);
        }
        break;
    case MLN_STRING:
        if ((v->flags & MLN_VALUE_BYTES) == 0) {
            xml_text(to, mln_get_bytes(v));
            break;
        }
        mln_base64_print(to, mln_get_bytes(v), MLN_B64_STD);
        break;
    case MLN_NULL:
        break;
    case MLN_BOOL:
    case MLN_INT:
    case MLN_DECIMAL:
    default:
        mln_json_print(&text, v, MLN_JSON_COMPACT);
        mln_buf_add_bytes(to, mln_buf_bytes(&text));
    }
}

static void jsonx(struct mln_buf *to, const struct mln_member *m, int depth)
{
    static const char *const names[] = {"null", "boolean", "number", "number", "string", "array", "object", "array"};
    const char *name = names[mln_type_of(&m->value)];
    if (depth > MLN_VALUE_DEPTH_MAX) {
        return;
    }
    mln_buf_add_format(to, "<json:%s", name);
    if (depth == 0) {
        mln_buf_add_text(to, " xmlns:json=\"" JSONX_NAMESPACE "\"");
    }
    if (m->key.ptr != NULL) {
        mln_buf_add_text(to, " name=\"");
        xml_text(to, m->key);
        mln_buf_add_byte(to, '"');
    }
    mln_buf_add_byte(to, '>');
    jsonx_body(to, &m->value, depth);
    mln_buf_add_format(to, "</json:%s>", name);
}

static void print(struct entry *e, const struct mln_value *line, struct mln_buf *to)
{
    mln_buf_add_text(to, e->device->options.prefix);
    if (mln_failed(mln_cx_err(&e->cx))) {
        to->has_failed = true; /* no memory for the line: the device did not take it */
    } else if (e->device->options.is_jsonx) {
        jsonx(to, &(struct mln_member){.value = *line}, 0);
    } else {
        mln_json_print(to, line, MLN_JSON_COMPACT);
    }
    mln_buf_add_byte(to, '\n');
}

static struct mln_value *begin(struct entry *e, struct mln_run *run, const struct audit_device *device, const char *type,
                               const char *error)
{
    mln_cx_init(&e->cx, run->rq.cx->arena);
    e->run = run;
    e->device = device;
    struct mln_value *line = mln_object(&e->cx);
    mln_put_text(&e->cx, line, "time", mln_time_text_go(&e->cx, mln_now_ns()));
    mln_put_text(&e->cx, line, "type", type);
    if (error != NULL) {
        mln_put_text(&e->cx, line, "error", error);
    }
    mln_put(&e->cx, line, "auth", auth_part(e));
    mln_put(&e->cx, line, "request", request_part(e));
    return line;
}

void audit_entry_request(struct mln_run *run, const struct audit_device *device, const char *error, struct mln_buf *to)
{
    struct entry e;
    struct mln_value *line = begin(&e, run, device, "request", error);
    print(&e, line, to);
}

void audit_entry_response(struct mln_run *run, const struct audit_device *device, const char *error, struct mln_buf *to)
{
    struct entry e;
    struct mln_value *line = begin(&e, run, device, "response", error);
    if (error == NULL) {
        mln_put(&e.cx, line, "response", response_part(&e));
    }
    print(&e, line, to);
}
