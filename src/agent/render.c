/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rendering a template to its file. Answers are kept until they are due, so that a certificate is not issued anew because another
 * secret of the same file changed.
 */
#include "agent/agent_priv.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "agent/template.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

struct rendering {
    struct agent *agent;
    int64_t due_ns; /* of the first secret that is due */
};

/* ---- answers ---- */

static void cached_drop(struct cached *c)
{
    mln_buf_drop(&c->key);
    mln_buf_drop(&c->answer);
    mln_buf_drop(&c->lease_id);
    *c = (struct cached){0};
}

void agent_cache_drop(struct agent *agent)
{
    for (size_t i = 0; i < agent->n_cached; i++) {
        cached_drop(&agent->cache[i]);
    }
    agent->n_cached = 0;
}

/* What was made for us (is_write) stays until it is due; leases end with the token that they came with. */
void agent_forget(struct agent *agent, bool only_leased)
{
    for (size_t i = 0; i < agent->n_cached; i++) {
        struct cached *c = &agent->cache[i];
        if (c->is_leased ? only_leased : (!only_leased && !c->is_write)) {
            c->due_ns = 0;
            mln_buf_clear(&c->lease_id); /* read anew, not renewed */
        }
    }
}

static struct cached *find_cached(struct agent *agent, struct mln_bytes key)
{
    for (size_t i = 0; i < agent->n_cached; i++) {
        if (mln_bytes_eq(mln_buf_bytes(&agent->cache[i].key), key)) {
            return &agent->cache[i];
        }
    }
    if (agent->n_cached == AGENT_CACHE_MAX) {
        agent_cache_drop(agent);
    }
    struct cached *c = &agent->cache[agent->n_cached++];
    *c = (struct cached){
        .key = {.is_secret = true}, .answer = {.is_secret = true}, .lease_id = {.is_secret = true}};
    mln_buf_add_bytes(&c->key, key);
    return c;
}

/* ---- asking ---- */

/* "secret/data/a b?version=2": the path is escaped; a query may have only what needs no escaping. */
static struct mln_err target_of(struct mln_cx *cx, struct mln_bytes path, bool is_list,
                                const char **ret)
{
    struct mln_bytes query;
    struct mln_bytes bare = mln_bytes_cut(path, '?', &query);
    MLN_AUTO(mln_buf_drop) struct mln_buf to = {0};
    for (size_t i = 0; i < query.len; i++) {
        uint8_t c = query.ptr[i];
        bool is_plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                        c == '=' || c == '&' || c == '_' || c == '-';
        if (!is_plain) {
            return mln_fail(cx, MLN_E_INVALID,
                            "a path's query has other characters than letters, digits, = & _ -");
        }
    }
    while (bare.len > 0 && bare.ptr[0] == '/') {
        bare = mln_bytes_from(bare, 1);
    }
    mln_buf_add_text(&to, "/v1/");
    mln_percent_print(&to, bare);
    if (is_list && !mln_bytes_ends(bare, MLN_BYTES("/"))) {
        mln_buf_add_byte(&to, '/');
    }
    if (query.len > 0) {
        mln_buf_add_byte(&to, '?');
        mln_buf_add_bytes(&to, query);
    }
    mln_buf_add_byte(&to, 0);
    MLN_TRY(mln_buf_ok(cx, &to));
    *ret = mln_text_dup(cx, mln_bytes_sub(mln_buf_bytes(&to), 0, to.len - 1));
    return mln_cx_err(cx);
}

/* The answer under the names that templates have for it. */
static const struct mln_value *named(struct mln_cx *cx, const struct mln_value *answer)
{
    static const char *const names[][2] = {
        {"request_id", "RequestID"}, {"lease_id", "LeaseID"}, {"lease_duration", "LeaseDuration"},
        {"renewable", "Renewable"},  {"data", "Data"},        {"warnings", "Warnings"}};
    struct mln_value *to = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        const struct mln_value *v = mln_get(answer, names[i][0]);
        mln_put(cx, to, names[i][1], v != NULL ? v : mln_null(cx));
    }
    return to;
}

static int64_t at_two_thirds(int64_t left_s)
{
    int64_t most = 3650LL * 86400;
    return mln_mono_ns() + (left_s > most ? most : left_s) * SECOND_NS / 3 * 2;
}

/* When to ask again: at 2/3 of a lease or of a certificate's life, else after the interval. */
static int64_t due_of(struct agent *agent, struct cached *c, const struct mln_value *v)
{
    int64_t left_s = 0, expires_s = mln_get_int(mln_get(mln_get(v, "Data"), "expiration"), 0);
    c->is_leased = mln_len(mln_get(v, "LeaseID")) > 0;
    if (c->is_leased) {
        left_s = mln_get_int(mln_get(v, "LeaseDuration"), 0);
        mln_buf_clear(&c->lease_id);
        if (mln_get_bool(mln_get(v, "Renewable"), false)) {
            mln_buf_add_bytes(&c->lease_id, mln_get_bytes(mln_get(v, "LeaseID")));
        }
        c->full_s = left_s;
    } else if (c->is_write && expires_s > 0) {
        left_s = expires_s - mln_now_ns() / SECOND_NS;
    }
    return left_s > 1 ? at_two_thirds(left_s) : mln_mono_ns() + agent->config->interval_s * SECOND_NS;
}

/* A lease that can be renewed keeps its secret. False when it must be read anew: refused, or near its longest life. */
static bool renew_lease(struct mln_cx *cx, struct agent *agent, struct cached *c)
{
    if (c->lease_id.len == 0 || c->answer.len == 0) {
        return false;
    }
    int64_t left_s = agent_renew_lease(cx, agent, agent_token(cx, agent), mln_buf_bytes(&c->lease_id));
    if (left_s < 1 || left_s < c->full_s / 3) {
        return false;
    }
    c->due_ns = at_two_thirds(left_s);
    return true;
}

static struct mln_err fetch(struct mln_cx *cx, struct agent *agent, struct cached *c,
                            struct mln_bytes path, bool is_list, const struct mln_value *params)
{
    struct agent_ask ask = {.method = is_list          ? "LIST"
                                      : params != NULL ? "PUT"
                                                       : "GET",
                            .ns = agent->config->server.ns,
                            .body = params};
    const struct mln_value *answer = NULL;
    ask.token = agent_token(cx, agent);
    MLN_TRY(target_of(cx, path, is_list, &ask.target));
    struct mln_err err = agent_call(cx, &agent->config->server, &ask, &answer);
    if (mln_is(err, MLN_E_NOT_FOUND) && is_list) { /* nothing is there: an empty list */
        mln_cx_clear(cx);
        answer = mln_object(cx);
    } else if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(cx, MLN_E_NOT_FOUND, "no secret exists at %.*s", MLN_FMT(path));
    } else if (mln_failed(err)) {
        char text[MLN_CX_TEXT_MAX];
        mln_copy(text, cx->text, sizeof(text));
        return mln_refail(cx, (enum mln_code)err.code, "%.*s: %s", MLN_FMT(path), text);
    }
    const struct mln_value *v = named(cx, answer);
    c->is_write = params != NULL;
    mln_buf_clear(&c->answer);
    mln_json_print(&c->answer, v, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &c->answer));
    c->due_ns = due_of(agent, c, v);
    return mln_cx_err(cx);
}

static struct mln_err ask_secret(struct mln_cx *cx, void *arg, struct mln_bytes path, bool is_list,
                                 const struct mln_value *params, const struct mln_value **ret)
{
    struct rendering *r = arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf key = {.is_secret = true};
    mln_buf_add_text(&key, is_list ? "list " : "read ");
    mln_buf_add_bytes(&key, path);
    if (params != NULL) {
        mln_buf_add_byte(&key, 0);
        mln_json_print(&key, params, MLN_JSON_SORTED);
    }
    MLN_TRY(mln_buf_ok(cx, &key));
    struct cached *c = find_cached(r->agent, mln_buf_bytes(&key));
    bool is_due = c->answer.len == 0 || mln_mono_ns() >= c->due_ns;
    if (is_due && !renew_lease(cx, r->agent, c)) {
        MLN_TRY(fetch(cx, r->agent, c, path, is_list, params));
    }
    r->due_ns = c->due_ns < r->due_ns ? c->due_ns : r->due_ns;
    return mln_json_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&c->answer)),
                          ret); /* the entry may go before the value */
}

static const char *ask_env(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

/* ---- files ---- */

const char *agent_template_name(const struct mln_agent_template *t)
{
    return t->env != NULL ? t->env : t->destination;
}

struct mln_err agent_read_template(struct mln_cx *cx, struct agent *agent, size_t i)
{
    const struct mln_agent_template *from = &agent->config->templates[i];
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_render *render = NULL;
    if (from->source != NULL) {
        MLN_TRY(mln_file_read_all(cx, from->source, MLN_RENDER_SOURCE_MAX, &text));
    } else {
        mln_buf_add_bytes(&text, from->contents);
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    struct mln_err err = mln_render_parse(cx, mln_buf_bytes(&text), &render);
    if (mln_failed(err)) {
        char why[MLN_CX_TEXT_MAX];
        mln_copy(why, cx->text, sizeof(why));
        return mln_refail(cx, (enum mln_code)err.code, "template %s: %s",
                          from->source != NULL ? from->source : agent_template_name(from), why);
    }
    mln_buf_drop(&agent->rendered[i].text);
    agent->rendered[i].text = text;
    text = (struct mln_buf){0};
    return MLN_OK;
}

static bool is_same_file(struct mln_cx *cx, const char *path, struct mln_bytes content,
                         unsigned mode, unsigned *ret_mode)
{
    struct stat st;
    MLN_AUTO(mln_buf_drop) struct mln_buf old = {.is_secret = true};
    *ret_mode = mode != 0 ? mode : 0600;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    unsigned has = (unsigned)st.st_mode & 0777;
    *ret_mode = mode != 0 ? mode : has;
    bool is_read = !mln_failed(mln_file_read_all(cx, path, MLN_RENDER_OUTPUT_MAX, &old));
    mln_cx_clear(cx);
    return is_read && has == *ret_mode && mln_eq_ct(old.ptr, old.len, content.ptr, content.len);
}

/* A variable of the program: kept in memory only. */
static struct mln_err keep_output(struct mln_cx *cx, struct agent *agent, struct rendered *state,
                                  struct mln_buf *out)
{
    bool is_same = state->is_done && mln_eq_ct(state->output.ptr, state->output.len, out->ptr, out->len);
    MLN_TRY(mln_buf_ok(cx, out));
    if (!is_same) {
        mln_buf_drop(&state->output);
        state->output = *out;
        *out = (struct mln_buf){0};
        agent->is_env_new = true;
    }
    return MLN_OK;
}

static struct mln_err make_folder(struct mln_cx *cx, const char *path)
{
    struct mln_bytes whole = mln_bytes_of(path);
    size_t n = whole.len;
    while (n > 0 && whole.ptr[n - 1] != '/') {
        n--;
    }
    return n > 1 ? mln_dir_make(cx, mln_text_dup(cx, mln_bytes_sub(whole, 0, n - 1)), 0755)
                 : MLN_OK;
}

struct mln_err agent_render(struct mln_cx *cx, struct agent *agent, size_t i)
{
    const struct mln_agent_template *to = &agent->config->templates[i];
    struct rendered *state = &agent->rendered[i];
    struct rendering r = {.agent = agent, .due_ns = INT64_MAX};
    struct mln_render_world world = {
        .secret = ask_secret, .env = ask_env, .arg = &r, .fails_on_missing = to->fails_on_missing};
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
    struct mln_render *render = NULL;
    unsigned mode = 0;
    MLN_TRY(mln_render_parse(cx, mln_buf_bytes(&state->text), &render));
    MLN_TRY(mln_render_run(cx, render, &world, &out));
    if (to->env != NULL) {
        MLN_TRY(keep_output(cx, agent, state, &out));
    } else if (!is_same_file(cx, to->destination, mln_buf_bytes(&out), to->mode, &mode)) {
        MLN_TRY(to->makes_dirs ? make_folder(cx, to->destination) : MLN_OK);
        MLN_TRY(mln_file_replace(cx, to->destination, mln_buf_bytes(&out), mode, false));
        mln_log(MLN_LOG_INFO, "agent", "rendered %s", to->destination);
        state->due_ns = r.due_ns;
        MLN_TRY(agent_notify(cx, agent, to));
    }
    state->due_ns = r.due_ns;
    state->is_done = true;
    return MLN_OK;
}
