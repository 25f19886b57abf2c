/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that hears the feeder: it reads bundles, which may be hostile, in front's sandbox, and puts them in place. Threads that
 * answer are not disturbed: they see the snapshot before or the one after.
 */
#include "api/rego_priv.h"

#include <stdio.h>

#include "api/rego_feed.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/text.h"

#define KEEPER_ARENA ((size_t)256 << 20)
#define DISCOVERY_STEPS 10000000u /* of its decision */

/* ---- notes ---- */

struct note {
    const char *name, *code, *message;
    int64_t http;
    bool is_request, is_answer, is_download, is_discovery;
};

static void note(struct mln_rego_state *state, const struct note *n)
{
    int64_t now = mln_now_ns();
    (void)pthread_mutex_lock(&state->bundles_lock);
    struct rego_bundle *b = rego_bundle_entry(state, n->name, n->is_discovery);
    if (b != NULL) {
        b->requested_ns = n->is_request ? now : b->requested_ns;
        b->answered_ns = n->is_answer ? now : b->answered_ns;
        b->downloaded_ns = n->is_download ? now : b->downloaded_ns;
        b->http = n->http;
        (void)snprintf(b->code, sizeof(b->code), "%s", n->code);
        (void)snprintf(b->message, sizeof(b->message), "%s", n->message);
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
}

static bool is_discovery_name(struct mln_rego_state *state, const char *name)
{
    bool is_bundle = false, is_discovery = false;
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        if (mln_bytes_is(mln_bytes_of(name), state->bundles[i].name)) {
            is_bundle = is_bundle || !state->bundles[i].is_discovery;
            is_discovery = is_discovery || state->bundles[i].is_discovery;
        }
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    return is_discovery && !is_bundle;
}

static void answer(struct mln_cx *cx, struct mln_rego_state *state, const char *did, const char *name, bool ok)
{
    struct mln_value *head = mln_object(cx);
    mln_put_text(cx, head, "did", did);
    mln_put_text(cx, head, "name", name);
    mln_put_bool(cx, head, "ok", ok);
    rego_scribe_answer(state, head, MLN_BYTES_NONE);
}

/* ---- bundles ---- */

/* By the entry of the configuration in force; a file of the command line has none, and its keys are the command line's. */
static struct mln_err read_bundle(struct mln_cx *cx, struct mln_rego_state *state, const char *name, bool is_discovery,
                                  struct mln_bytes packed, struct mln_bundle **ret)
{
    const struct rego_config *config = state->now->settings->config; /* only this thread replaces it */
    struct rego_bundle_config none = {0};
    const struct rego_bundle_config *how = is_discovery ? &config->discovery : &none;
    for (size_t i = 0; !is_discovery && i < config->n_bundles; i++) {
        how = mln_bytes_is(mln_bytes_of(name), config->bundles[i].name) ? &config->bundles[i] : how;
    }
    struct mln_bundle_verify verify = rego_config_verify(config, how);
    struct mln_bundle_options options = {.version = state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1,
                                         .verify = how->is_signed || config->n_keys > 0 ? &verify : NULL};
    return mln_bundle_read(cx, packed, &options, ret);
}

/* A service's answer may come when a new configuration has the bundle no more: then nothing says how it should be signed. */
static struct mln_err check_name(struct mln_cx *cx, const struct mln_rego_state *state, const char *name)
{
    const struct rego_config *config = state->now->settings->config;
    for (size_t i = 0; i < config->n_bundles; i++) {
        if (mln_bytes_is(mln_bytes_of(name), config->bundles[i].name)) {
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_NOT_FOUND, "bundle %s is not in the configuration any more", name);
}

static void refuse(struct mln_rego_state *state, struct mln_cx *cx, const char *name, bool is_discovery)
{
    note(state, &(struct note){.name = name, .code = "bundle_error", .message = cx->text, .is_request = true, .is_answer = true,
                               .is_discovery = is_discovery});
    mln_log(MLN_LOG_ERROR, "rego", "bundle %s is refused, what was before stays: %s", name, cx->text);
}

static void hear_bundle(struct mln_rego_state *state, struct mln_cx *cx, const struct mln_value *head, struct mln_bytes packed)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    const char *name = mln_get_text(cx, mln_get(head, "name"), "");
    const char *etag = mln_get_text(cx, mln_get(head, "etag"), "");
    bool is_asked = mln_is_text(mln_get(head, "from"), "service");
    bool ok = false;
    if (mln_failed(is_asked ? check_name(cx, state, name) : MLN_OK) || mln_failed(read_bundle(cx, state, name, false, packed, &bundle))) {
        refuse(state, cx, name, false);
    } else {
        struct rego_offer offer = {.name = name, .etag = etag, .is_requested = is_asked};
        note(state, &(struct note){.name = name, .code = "", .message = "", .http = is_asked ? 200 : 0, .is_request = is_asked,
                                   .is_answer = is_asked, .is_download = is_asked});
        ok = !mln_failed(rego_bundle_activate(cx, state, bundle, &offer));
    }
    mln_cx_clear(cx);
    answer(cx, state, "bundle", name, ok);
    rego_scribe_status(state);
}

/* ---- discovery ---- */

/* What the bundle says at the path of the decision, as JSON. */
static struct mln_err decide(struct mln_cx *cx, struct mln_rego_state *state, struct mln_bundle *bundle, struct mln_buf *json)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_rego_run_options options = {.budget = {.steps_max = DISCOVERY_STEPS}, .zones = state->zones};
    MLN_TRY(rego_set_new(cx, state, bundle->n_modules, &set));
    for (size_t i = 0; i < bundle->n_modules; i++) {
        MLN_TRY(rego_set_add(cx, set, &bundle->modules[i], bundle->modules[i].path, ""));
    }
    MLN_TRY(rego_set_compile(cx, set));
    rego_path_query(rego_path_of(cx, state->now->settings->config->discovery_decision), &text);
    MLN_TRY(mln_rego_prepare(set->rego, cx, mln_buf_bytes(&text), NULL, &query));
    MLN_TRY(mln_rego_eval_new(cx, &eval));
    MLN_TRY(mln_rego_run(eval, cx, query, bundle->data, &options));
    return mln_rego_binding_print(eval, 0, REGO_RESULT, json) ? mln_buf_ok(cx, json)
                                                              : mln_fail(cx, MLN_E_INVALID, "the discovery decision is undefined");
}

/*
 * What came from elsewhere may not name files, credentials or keys: a service that is taken over would read what it likes from this
 * machine. It adds bundles, reports, labels and default decisions; the rest stays as it was started.
 */
static const struct mln_value *permitted(struct mln_cx *cx, const struct mln_value *found)
{
    static const char *const allowed[] = {"bundles", "decision_logs", "status", "labels", "default_decision",
                                          "default_authorization_decision", "nd_builtin_cache"};
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(found); i++) {
        const struct mln_member *m = mln_member_at(found, i);
        bool is_allowed = false;
        for (size_t k = 0; k < MLN_COUNT(allowed); k++) {
            is_allowed = is_allowed || mln_bytes_is(m->key, allowed[k]);
        }
        if (is_allowed) {
            mln_put_key(cx, out, m->key, &m->value);
        } else {
            mln_log(MLN_LOG_WARN, "rego", "discovery may not change %.*s: it is left as it was started", MLN_FMT(m->key));
        }
    }
    return out;
}

static struct mln_err check_found(struct mln_cx *cx, const struct rego_config *config, const struct mln_value *found)
{
    const struct mln_value *bundles = mln_get(found, "bundles");
    for (size_t i = 0; i < config->n_bundles; i++) {
        if (config->bundles[i].path != NULL && mln_get(bundles, config->bundles[i].name) != NULL) {
            return mln_fail(cx, MLN_E_INVALID, "discovery names a file of this machine as bundle %s", config->bundles[i].name);
        }
    }
    return MLN_OK;
}

static struct mln_err discover(struct mln_cx *cx, struct mln_rego_state *state, struct mln_bundle *bundle)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0}, whole = {0};
    MLN_AUTO(rego_settings_drop) struct rego_settings *settings = NULL;
    const struct mln_value *found = NULL;
    MLN_TRY(decide(cx, state, bundle, &json));
    MLN_TRY(mln_json_parse(cx, mln_buf_bytes(&json), &found));
    if (mln_type_of(found) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "the discovery decision is no object");
    }
    found = permitted(cx, found);
    const struct mln_value *config = rego_config_merge(cx, state->boot_config, found, 0);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(rego_settings_new(cx, state, config, &settings));
    MLN_TRY(check_found(cx, settings->config, found));
    mln_json_print(&whole, config, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &whole));
    (void)pthread_mutex_lock(&state->writing);
    struct mln_err err = rego_bundles_expect(cx, state, settings->config);
    err = mln_failed(err) ? err : rego_publish(cx, state, (struct rego_next){.settings = mln_take(&settings)});
    (void)pthread_mutex_unlock(&state->writing);
    MLN_TRY(err);
    struct mln_value *head = mln_object(cx);
    mln_put_text(cx, head, "did", "config");
    rego_scribe_answer(state, head, mln_buf_bytes(&whole));
    return MLN_OK;
}

static void hear_discovery(struct mln_rego_state *state, struct mln_cx *cx, const struct mln_value *head, struct mln_bytes packed)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    const char *name = mln_get_text(cx, mln_get(head, "name"), "");
    struct mln_err err = read_bundle(cx, state, name, true, packed, &bundle);
    if (!mln_failed(err) && bundle->is_delta) {
        err = mln_fail(cx, MLN_E_INVALID, "discovery takes whole bundles, no deltas");
    }
    err = mln_failed(err) ? err : discover(cx, state, bundle);
    if (mln_failed(err)) {
        refuse(state, cx, name, true);
    } else {
        note(state, &(struct note){.name = name, .code = "", .message = "", .http = 200, .is_request = true, .is_answer = true,
                                   .is_download = true, .is_discovery = true});
        (void)pthread_mutex_lock(&state->bundles_lock);
        struct rego_bundle *b = rego_bundle_entry(state, name, true);
        if (b != NULL) {
            b->is_active = true;
            b->activated_ns = mln_now_ns();
            mln_free(b->revision);
            b->revision = mln_strdup(bundle->revision);
        }
        (void)pthread_mutex_unlock(&state->bundles_lock);
        mln_log(MLN_LOG_INFO, "rego", "the discovered configuration is in force: revision \"%s\"", bundle->revision);
    }
    mln_cx_clear(cx);
    answer(cx, state, "discovery", name, !mln_failed(err));
    rego_scribe_status(state);
}

/* ---- files of the command line ---- */

static struct mln_err files_set(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *files, struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    const struct rego_set *old = state->now->set;
    MLN_TRY(rego_set_new(cx, state, old->n + files->n_modules, &set));
    for (size_t i = 0; i < old->n; i++) {
        if (old->modules[i].origin == NULL || old->modules[i].origin[0] != '\0') {
            MLN_TRY(rego_set_keep(cx, set, &old->modules[i]));
        }
    }
    for (size_t i = 0; i < files->n_modules; i++) {
        const char *path = files->modules[i].path; /* in the archive; what it was called stands in the manifest */
        const char *name = mln_get_text(cx, mln_get(mln_get(mln_get(files->manifest, "metadata"), "names"), path), path);
        MLN_TRY(rego_set_add(cx, set, &files->modules[i], name, ""));
    }
    MLN_TRY(rego_set_compile(cx, set));
    *ret = mln_take(&set);
    return MLN_OK;
}

/* Documents of the files over those that are there: a name that the files do not have any more stays, as nobody knows whose it is. */
static struct mln_err files_data(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *files,
                                 struct mln_rego_data **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    const struct mln_value *v = NULL;
    (void)mln_rego_data_print(files->data, (struct mln_rego_path){0}, &json);
    MLN_TRY(mln_buf_ok(cx, &json));
    MLN_TRY(mln_json_parse(cx, mln_buf_bytes(&json), &v));
    struct mln_bytes *roots = mln_new_array(cx, mln_len(v) + 1, sizeof(*roots));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < mln_len(v); i++) {
        roots[i] = mln_member_at(v, i)->key;
    }
    struct mln_bundle view = *files;
    view.roots = roots;
    view.n_roots = mln_len(v);
    return mln_bundle_apply(cx, &view, state->now->documents->data, ret);
}

static struct mln_err take_files(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *files)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf clash = {0};
    MLN_TRY(files_set(cx, state, files, &set));
    MLN_TRY(files_data(cx, state, files, &data));
    if (mln_rego_data_conflict(set->rego, data, &clash)) {
        return mln_fail(cx, MLN_E_INVALID, "conflicting rule for data path %.*s found", MLN_FMT(mln_buf_bytes(&clash)));
    }
    return rego_publish(cx, state, (struct rego_next){.set = mln_take(&set), .data = mln_take(&data)});
}

static void hear_files(struct mln_rego_state *state, struct mln_cx *cx, struct mln_bytes packed)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *files = NULL;
    struct mln_bundle_options options = {.version = state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1, .skip_verify = true};
    struct mln_err err = mln_bundle_read(cx, packed, &options, &files);
    (void)pthread_mutex_lock(&state->writing);
    err = mln_failed(err) ? err : take_files(cx, state, files);
    (void)pthread_mutex_unlock(&state->writing);
    if (mln_failed(err)) {
        mln_log(MLN_LOG_ERROR, "rego", "the files changed and are refused, those before stay: %s", cx->text);
    } else {
        mln_log(MLN_LOG_INFO, "rego", "the files changed and are in force");
    }
}

/* ---- the thread ---- */

static void hear_note(struct mln_rego_state *state, struct mln_cx *cx, const struct mln_value *head)
{
    const char *name = mln_get_text(cx, mln_get(head, "name"), "");
    const char *code = mln_get_text(cx, mln_get(head, "code"), "");
    note(state, &(struct note){.name = name,
                               .code = code,
                               .message = mln_get_text(cx, mln_get(head, "message"), ""),
                               .http = mln_get_int(mln_get(head, "http"), 0),
                               .is_request = true,
                               .is_answer = code[0] == '\0',
                               .is_discovery = is_discovery_name(state, name)});
    rego_scribe_status(state);
}

static void hear(struct mln_rego_state *state, struct mln_cx *cx, const struct mln_value *head, struct mln_bytes body)
{
    const struct mln_value *what = mln_get(head, "do");
    if (mln_is_text(what, "bundle")) {
        hear_bundle(state, cx, head, body);
    } else if (mln_is_text(what, "discovery")) {
        hear_discovery(state, cx, head, body);
    } else if (mln_is_text(what, "files")) {
        hear_files(state, cx, body);
    } else if (mln_is_text(what, "note")) {
        hear_note(state, cx, head);
    }
}

static void *keeper_main(void *arg)
{
    struct mln_rego_state *state = arg;
    struct mln_sandbox_state sandbox;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    bool goes_on = !mln_failed(mln_sandbox_enter(&cx, MLN_SANDBOX_FRONT, -1, &sandbox));
    if (!goes_on) {
        mln_log_fault(MLN_LOG_ERROR, "rego", &cx, "no sandbox: bundles are not read");
    }
    while (goes_on) {
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(KEEPER_ARENA, false);
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        const struct mln_value *head = NULL;
        struct mln_bytes body;
        mln_cx_init(&cx, arena);
        goes_on = arena != NULL &&
                  !mln_failed(rego_feed_receive(&cx, state->feeder_in, REGO_FEED_BODY_MAX, &buf, &head, &body));
        if (goes_on) {
            hear(state, &cx, head, body);
        }
    }
    return NULL;
}

struct mln_err rego_keeper_start(struct mln_cx *cx, struct mln_rego_state *state)
{
    state->has_keeper = pthread_create(&state->keeper, NULL, keeper_main, state) == 0;
    return state->has_keeper ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread to hear the feeder");
}
