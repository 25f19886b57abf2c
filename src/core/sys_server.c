/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: how this server is set up: its settings without what is secret, how much core logs, what tools for other servers ask in vain. */
#include "core/sys_priv.h"

#include "base/clock.h"
#include "base/log.h"

#define LOGGER "core" /* requests are answered by this process; others log as they were configured */

/* ---- settings ---- */

static struct mln_err sanitized(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_core_config *config = &mln_core_of(rq)->config;
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx), *seals = mln_array(cx), *seal = mln_object(cx), *storage = mln_object(cx);
    const char *address = config->api_address != NULL ? config->api_address : "";
    mln_put_text(cx, seal, "type", config->seal == MLN_SEAL_SHAMIR ? "shamir" : "keyfile");
    mln_put_bool(cx, seal, "disabled", false);
    mln_push(cx, seals, seal);
    mln_put_text(cx, storage, "type", "lmdb");
    mln_put_text(cx, storage, "redirect_addr", address);
    mln_put_text(cx, storage, "cluster_addr", "");
    mln_put_bool(cx, storage, "disable_clustering", true);
    mln_put_text(cx, data, "api_addr", address);
    mln_put_text(cx, data, "cluster_addr", "");
    mln_put_text(cx, data, "cluster_name", "merlon");
    mln_put_int(cx, data, "default_lease_ttl", config->default_ttl_s);
    mln_put_int(cx, data, "max_lease_ttl", config->max_ttl_s);
    mln_put_bool(cx, data, "disable_clustering", true);
    mln_put_bool(cx, data, "enable_ui", false);
    mln_put_bool(cx, data, "introspection_endpoint", false);
    mln_put_bool(cx, data, "raw_storage_endpoint", false);
    mln_put_bool(cx, data, "unsafe_allow_api_audit_creation", config->audit_by_api);
    mln_put_text(cx, data, "log_level", mln_log_level_name(mln_log_level_first()));
    mln_put(cx, data, "seals", seals);
    mln_put(cx, data, "storage", storage);
    re->data = data;
    return mln_cx_err(cx);
}

/* ---- how much is logged ---- */

static struct mln_err check_logger(struct mln_request *rq)
{
    const struct mln_value *name = mln_field_of(rq, "name");
    return name == NULL || mln_is_text(name, LOGGER)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_NOT_FOUND, "logger \"%.*s\" not found", MLN_FMT(mln_bytes_sub(mln_get_bytes(name), 0, 64)));
}

static struct mln_err loggers_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(check_logger(rq));
    mln_put_text(rq->cx, data, LOGGER, mln_log_level_name(mln_log_level_now()));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err loggers_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "level"));
    enum mln_log_level level = MLN_LOG_DEBUG;
    (void)re;
    MLN_TRY(check_logger(rq));
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "level is required");
    }
    if (!mln_bytes_is(text, "trace") && !mln_log_level_parse(text, &level)) { /* trace: there is nothing below debug */
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid level provided: unknown log level: %.*s", MLN_FMT(mln_bytes_sub(text, 0, 64)));
    }
    mln_put_text(rq->cx, rq->detail, "log_level", mln_log_level_name(level));
    mln_log_level_set(level);
    return MLN_OK;
}

static struct mln_err loggers_reset(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    MLN_TRY(check_logger(rq));
    mln_put_text(rq->cx, rq->detail, "log_level", mln_log_level_name(mln_log_level_first()));
    mln_log_level_set(mln_log_level_first());
    return MLN_OK;
}

static struct mln_err monitor(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                    "the log is not streamed: read it where the server's standard error goes, e.g. with 'journalctl -fu merlon'");
}

static struct mln_err pprof(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                    "this server is not written in Go and has no profiles of its runtime: use perf on its processes, or sys/metrics");
}

/* ---- plugins ---- */

/* What is built in is always as the program has it. */
static struct mln_err reload(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    char id[37];
    bool has_plugin = mln_get_bytes(mln_field_of(rq, "plugin")).len > 0, has_mounts = mln_len(mln_field_of(rq, "mounts")) > 0;
    if (has_plugin == has_mounts) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        has_plugin ? "plugin and mounts cannot be set at the same time" : "plugin or mounts must be provided");
    }
    mln_uuid(id);
    mln_put_text(rq->cx, data, "reload_id", mln_text_dup(rq->cx, mln_bytes_of(id)));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- paths ---- */

static const struct mln_field logger_fields[] = {
    F_TEXT("name", "Only \"core\"."), F_TEXT("level", "error, warn, info or debug."), {0}};
static const struct mln_field reload_fields[] = {
    F_TEXT("plugin", "A type of engine."), F_LIST("mounts", "Paths of mounts."), F_TEXT("scope", "Without meaning: one server."), {0}};

#define LOGGERS(at)                                                                                                                       \
    {                                                                                                                                     \
        .pattern = at, .summary = "How much core logs, until it starts anew.", .fields = logger_fields, .read = loggers_read,             \
        .write = loggers_write, .remove = loggers_reset, .is_sudo = true, .controls = "AU-12"                                             \
    }

const struct mln_path mln_sys_server[] = {
    {.pattern = "config/state/sanitized", .summary = "Settings of this server without secrets.", .read = sanitized, .is_sudo = true},
    LOGGERS("loggers"),
    LOGGERS("loggers/{name}"),
    {.pattern = "monitor", .summary = "Refused: the log is not streamed.", .read = monitor, .is_sudo = true},
    {.pattern = "pprof", .summary = "Refused: no profiles.", .read = pprof, .is_sudo = true},
    {.pattern = "pprof/{profile}", .summary = "Refused: no profiles.", .read = pprof, .is_sudo = true},
    {.pattern = "plugins/reload/backend", .summary = "Load engines anew: all are built in.", .fields = reload_fields, .write = reload,
     .is_sudo = true},
    {0},
};
