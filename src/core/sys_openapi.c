/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help and OpenAPI 3 from descriptors: what ?help=1 answers for a path, and the document of all mounts that the caller may use
 * (sys/internal/specs/openapi). Nothing here is written by hand twice: the tables that route are the ones that are shown.
 */
#include "core/sys_mounts_priv.h"

/* ---- names ---- */

/* "data/{path...}" -> "data/{path}"; `ret_names` gets "path". A "?" only says that it may be left out. */
static const char *plain_pattern(struct mln_cx *cx, const char *pattern, struct mln_value *ret_names)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes left = mln_bytes_of(pattern);
    while (left.len > 0) {
        struct mln_bytes part = mln_bytes_cut(left, '/', &left);
        part.len -= mln_bytes_ends(part, MLN_BYTES("?")) ? 1 : 0;
        bool is_capture = part.len > 2 && part.ptr[0] == '{';
        if (is_capture) {
            struct mln_bytes name = mln_bytes_sub(part, 1, part.len - 2);
            name.len -= mln_bytes_ends(name, MLN_BYTES("...")) ? 3 : 0;
            mln_push(cx, ret_names, mln_string(cx, name));
            mln_buf_add_byte(&out, '{');
            mln_buf_add_bytes(&out, name);
            mln_buf_add_byte(&out, '}');
        } else {
            mln_buf_add_bytes(&out, part);
        }
        if (left.len > 0) {
            mln_buf_add_byte(&out, '/');
        }
    }
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

static bool holds(const struct mln_value *names, const char *name)
{
    for (size_t i = 0; i < mln_len(names); i++) {
        if (mln_is_text(mln_item(names, i), name)) {
            return true;
        }
    }
    return false;
}

/* ---- fields ---- */

static struct mln_value *schema_of(struct mln_cx *cx, const struct mln_field *f)
{
    static const struct {
        const char *type, *format;
    } kinds[] = {
        [MLN_FIELD_TEXT] = {"string", NULL},      [MLN_FIELD_SECRET] = {"string", "password"},
        [MLN_FIELD_INT] = {"integer", NULL},      [MLN_FIELD_BOOL] = {"boolean", NULL},
        [MLN_FIELD_DURATION] = {"string", "duration"}, [MLN_FIELD_LIST] = {"array", NULL},
        [MLN_FIELD_INTS] = {"array", NULL},       [MLN_FIELD_MAP] = {"object", NULL},
        [MLN_FIELD_ANY] = {NULL, NULL},
    };
    struct mln_value *schema = mln_object(cx);
    if (kinds[f->type].type != NULL) {
        mln_put_text(cx, schema, "type", kinds[f->type].type);
    }
    if (kinds[f->type].format != NULL) {
        mln_put_text(cx, schema, "format", kinds[f->type].format);
    }
    if (f->type == MLN_FIELD_LIST || f->type == MLN_FIELD_INTS) {
        struct mln_value *items = mln_object(cx);
        mln_put_text(cx, items, "type", f->type == MLN_FIELD_LIST ? "string" : "integer");
        mln_put(cx, schema, "items", items);
    }
    if (f->help != NULL) {
        mln_put_text(cx, schema, "description", f->help);
    }
    if (f->fallback != NULL && f->type == MLN_FIELD_TEXT) {
        mln_put_text(cx, schema, "default", f->fallback);
    }
    return schema;
}

static const struct mln_field *field_named(const struct mln_path *route, struct mln_bytes name)
{
    for (const struct mln_field *f = route->fields; f != NULL && f->name != NULL; f++) {
        if (mln_bytes_is(name, f->name)) {
            return f;
        }
    }
    return NULL;
}

static struct mln_value *parameter(struct mln_cx *cx, struct mln_bytes name, const char *in,
                                   struct mln_value *schema)
{
    struct mln_value *out = mln_object(cx);
    mln_put_bytes(cx, out, "name", name);
    mln_put_text(cx, out, "in", in);
    mln_put(cx, out, "schema", schema);
    if (mln_bytes_is(mln_bytes_of(in), "path")) {
        mln_put_bool(cx, out, "required", true);
    }
    return out;
}

static struct mln_value *path_parameters(struct mln_cx *cx, const struct mln_path *route,
                                         const struct mln_value *names)
{
    static const struct mln_field text = {.type = MLN_FIELD_TEXT};
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        const struct mln_field *f = field_named(route, name);
        mln_push(cx, out, parameter(cx, name, "path", schema_of(cx, f != NULL ? f : &text)));
    }
    return out;
}

static struct mln_value *body_of(struct mln_cx *cx, const struct mln_path *route,
                                 const struct mln_value *names)
{
    struct mln_value *body = mln_object(cx), *content = mln_object(cx), *json = mln_object(cx),
                     *schema = mln_object(cx), *properties = mln_object(cx), *needed = mln_array(cx);
    for (const struct mln_field *f = route->fields; f != NULL && f->name != NULL; f++) {
        if (holds(names, f->name)) {
            continue;
        }
        mln_put(cx, properties, f->name, schema_of(cx, f));
        if (f->is_required) {
            mln_push_text(cx, needed, f->name);
        }
    }
    mln_put_text(cx, schema, "type", "object");
    mln_put(cx, schema, "properties", properties);
    if (mln_len(needed) > 0) {
        mln_put(cx, schema, "required", needed);
    }
    mln_put(cx, json, "schema", schema);
    mln_put(cx, content, "application/json", json);
    mln_put(cx, body, "content", content);
    return body;
}

/* ---- paths ---- */

static struct mln_value *operation(struct mln_cx *cx, const struct mln_path *route, const char *status)
{
    struct mln_value *out = mln_object(cx), *responses = mln_object(cx), *answer = mln_object(cx);
    mln_put_text(cx, out, "summary", route->summary);
    mln_put_text(cx, answer, "description", "OK");
    mln_put(cx, responses, status, answer);
    mln_put(cx, out, "responses", responses);
    return out;
}

static struct mln_value *get_operation(struct mln_cx *cx, const struct mln_path *route)
{
    struct mln_value *get = operation(cx, route, "200"), *parameters = mln_array(cx);
    if (route->list != NULL) {
        struct mln_value *schema = mln_object(cx);
        mln_put_text(cx, schema, "type", "string");
        mln_put_text(cx, schema, "description", "\"true\" lists.");
        mln_push(cx, parameters, parameter(cx, MLN_BYTES("list"), "query", schema));
        mln_put(cx, get, "parameters", parameters);
    }
    return get;
}

static struct mln_value *path_item(struct mln_cx *cx, const struct mln_path *route,
                                   const struct mln_value *names)
{
    struct mln_value *item = mln_object(cx);
    mln_put_text(cx, item, "description", route->summary);
    if (mln_len(names) > 0) {
        mln_put(cx, item, "parameters", path_parameters(cx, route, names));
    }
    if (route->is_sudo) {
        mln_put_bool(cx, item, "x-vault-sudo", true);
    }
    if (route->is_open) {
        mln_put_bool(cx, item, "x-vault-unauthenticated", true);
    }
    if (route->read != NULL || route->list != NULL) {
        mln_put(cx, item, "get", get_operation(cx, route));
    }
    if (route->write != NULL) {
        struct mln_value *post = operation(cx, route, "200");
        if (route->fields != NULL) {
            mln_put(cx, post, "requestBody", body_of(cx, route, names));
        }
        mln_put(cx, item, "post", post);
    }
    if (route->patch != NULL) {
        mln_put(cx, item, "patch", operation(cx, route, "200"));
    }
    if (route->remove != NULL) {
        mln_put(cx, item, "delete", operation(cx, route, "204"));
    }
    return item;
}

static void add_path(struct mln_cx *cx, const char *mount, const struct mln_path *route,
                     struct mln_value *paths)
{
    struct mln_value *names = mln_array(cx);
    const char *pattern = plain_pattern(cx, route->pattern, names);
    mln_put(cx, paths, mln_text_format(cx, "/%s%s", mount, pattern), path_item(cx, route, names));
}

static struct mln_value *document(struct mln_cx *cx, struct mln_value *paths)
{
    struct mln_value *out = mln_object(cx), *info = mln_object(cx), *license = mln_object(cx);
    mln_put_text(cx, license, "name", "Apache-2.0");
    mln_put_text(cx, license, "url", "https://www.apache.org/licenses/LICENSE-2.0");
    mln_put_text(cx, info, "title", "Merlon API");
    mln_put_text(cx, info, "description", "HTTP API that gives you full access to Merlon. All API routes are "
                                          "prefixed with `/v1/`.");
    mln_put_text(cx, info, "version", MLN_VERSION);
    mln_put(cx, info, "license", license);
    mln_put_text(cx, out, "openapi", "3.0.2");
    mln_put(cx, out, "info", info);
    mln_put(cx, out, "paths", paths);
    return out;
}

/* ---- what is asked for ---- */

static void add_help(struct mln_buf *text, const struct mln_path *route)
{
    mln_buf_add_format(text, "%s\n", route->summary);
    for (const struct mln_field *f = route->fields; f != NULL && f->name != NULL; f++) {
        mln_buf_add_format(text, "\n    %s%s%s\n        %s\n", f->name,
                           f->fallback != NULL ? " = " : "", f->fallback != NULL ? f->fallback : "",
                           f->help != NULL ? f->help : "");
    }
}

static void add_patterns(struct mln_cx *cx, const struct mln_mount *mount, struct mln_buf *text,
                         struct mln_value *see, struct mln_value *paths)
{
    const struct mln_path *table = mount->engine->paths;
    mln_buf_add_format(text, "%s\n", mount->engine->summary);
    for (size_t i = 0; table != NULL; table = mln_route_table(mount->engine, ++i)) {
        for (const struct mln_path *p = table; p->pattern != NULL; p++) {
            mln_buf_add_format(text, "\n    %s\n        %s\n", p->pattern, p->summary);
            mln_push_text(cx, see, p->pattern);
            add_path(cx, mount->path, p, paths);
        }
    }
}

struct mln_err mln_help(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    struct mln_cx *cx = rq->cx;
    struct mln_value *bare = mln_object(cx), *see = mln_array(cx), *paths = mln_object(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    if (rq->route != NULL) {
        add_help(&text, rq->route);
        add_path(cx, rq->mount->path, rq->route, paths);
    } else if (rq->rest.len == 0) {
        add_patterns(cx, rq->mount, &text, see, paths);
    } else {
        return mln_fail(cx, MLN_E_NO_ROUTE, "unsupported path");
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    mln_put_bytes(cx, bare, "help", mln_bytes_dup(cx, mln_buf_bytes(&text)));
    mln_put(cx, bare, "see_also", mln_len(see) > 0 ? see : mln_null(cx));
    mln_put(cx, bare, "openapi", document(cx, paths));
    run->reply.bare = bare;
    return mln_cx_err(cx);
}

static struct mln_err openapi(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_mount_table *table = mln_run_of(rq)->table;
    struct mln_value *paths = mln_object(rq->cx);
    for (size_t m = 0; table != NULL && m < table->n; m++) {
        const struct mln_mount *mount = &table->mounts[m];
        bool is_seen = false;
        MLN_TRY(sys_may_use(rq, mln_bytes_of(mount->path), &is_seen));
        if (mount->engine == NULL || !is_seen) {
            continue;
        }
        const struct mln_path *list = mount->engine->paths;
        for (size_t i = 0; list != NULL; list = mln_route_table(mount->engine, ++i)) {
            for (const struct mln_path *p = list; p->pattern != NULL; p++) {
                add_path(rq->cx, mount->path, p, paths);
            }
        }
    }
    re->bare = document(rq->cx, paths);
    return mln_cx_err(rq->cx);
}

const struct mln_path mln_sys_openapi[] = {
    {.pattern = "internal/specs/openapi",
     .summary = "OpenAPI document of all mounts that the caller may use.",
     .read = openapi,
     .write = openapi},
    {0},
};
