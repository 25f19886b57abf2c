/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: what this server is made of and runs on: engines, versions, the machine, how many tokens there are. */
#include "core/sys_priv.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#define COUNT_MAX 10000000u /* keys walked for one answer: some seconds */

/* ---- engines: all are built in ---- */

#define BUILTIN_VERSION "v" MLN_VERSION "+builtin"

static const char *const kinds[] = {"auth", "database", "secret"};

static enum mln_mount_kind kind_of(size_t i)
{
    return i == 0 ? MLN_MOUNT_AUTH : i == 2 ? MLN_MOUNT_SECRET : MLN_MOUNT_SYSTEM;
}

/* Names of one kind, sorted; kind "database" has none: its engines are part of the database engine. */
static struct mln_value *names_of(struct mln_request *rq, size_t kind)
{
    const struct mln_engine *const *const *lists = mln_core_of(rq)->config.registries;
    struct mln_value *set = mln_set(rq->cx), *out = mln_array(rq->cx);
    for (size_t i = 0; lists[i] != NULL; i++) {
        for (size_t k = 0; lists[i][k] != NULL; k++) {
            if (lists[i][k]->kind == kind_of(kind) && kind_of(kind) != MLN_MOUNT_SYSTEM) {
                mln_push_text(rq->cx, set, lists[i][k]->type);
            }
        }
    }
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_push(rq->cx, out, mln_item(set, i));
    }
    return out;
}

static struct mln_value *describe(struct mln_cx *cx, const struct mln_value *name, const char *kind)
{
    struct mln_value *out = mln_object(cx);
    mln_put_bool(cx, out, "builtin", true);
    mln_put_text(cx, out, "deprecation_status", "supported");
    mln_put(cx, out, "name", name);
    mln_put_text(cx, out, "type", kind);
    mln_put_text(cx, out, "version", BUILTIN_VERSION);
    return out;
}

static struct mln_err catalog(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx), *all = mln_array(cx);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        const struct mln_value *names = names_of(rq, i);
        mln_put(cx, data, kinds[i], names);
        for (size_t k = 0; k < mln_len(names); k++) {
            mln_push(cx, all, describe(cx, mln_item(names, k), kinds[i]));
        }
    }
    mln_put(cx, data, "detailed", all);
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err kind_named(struct mln_request *rq, size_t *ret)
{
    struct mln_bytes type = mln_get_bytes(mln_field_of(rq, "type"));
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        if (mln_bytes_is(type, kinds[i])) {
            *ret = i;
            return MLN_OK;
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "\"%.*s\" is not a supported plugin type", MLN_FMT(type));
}

static struct mln_err catalog_kind(struct mln_request *rq, struct mln_reply *re)
{
    size_t kind = 0;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(kind_named(rq, &kind));
    mln_put(rq->cx, data, "keys", names_of(rq, kind));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err catalog_one(struct mln_request *rq, struct mln_reply *re)
{
    size_t kind = 0;
    MLN_TRY(kind_named(rq, &kind));
    const struct mln_value *names = names_of(rq, kind);
    const char *name = mln_get_text(rq->cx, mln_field_of(rq, "name"), "");
    for (size_t i = 0; i < mln_len(names); i++) {
        if (mln_is_text(mln_item(names, i), name)) {
            struct mln_value *data = mln_object(rq->cx);
            mln_put(rq->cx, data, "args", mln_array(rq->cx));
            mln_put_bool(rq->cx, data, "builtin", true);
            mln_put_text(rq->cx, data, "command", "");
            mln_put_text(rq->cx, data, "deprecation_status", "supported");
            mln_put(rq->cx, data, "name", mln_item(names, i));
            mln_put_text(rq->cx, data, "sha256", "");
            mln_put_text(rq->cx, data, "version", BUILTIN_VERSION);
            re->data = data;
            return mln_cx_err(rq->cx);
        }
    }
    return (struct mln_err){MLN_E_NOT_FOUND};
}

static struct mln_err catalog_refused(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "engines are built in: none can be registered or removed");
}

/* What is not there is gone, as wished. */
static struct mln_err catalog_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_err err = catalog_one(rq, re);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : mln_failed(err) ? err : catalog_refused(rq, re);
}

/* ---- versions ---- */

static struct mln_view info_view(void)
{
    return mln_core_view("root/sys/");
}

struct mln_err mln_version_note(struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns)
{
    const struct mln_value *old = NULL;
    struct mln_err err = mln_txn_get_value(cx, txn, info_view(), MLN_BYTES("versions"), &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *all = old == NULL ? mln_object(cx) : mln_value_dup(cx, old);
    struct mln_value *one = mln_object(cx);
    size_t n = mln_len(all);
    if (mln_get(all, MLN_VERSION) != NULL) {
        return MLN_OK;
    }
    mln_put_text(cx, one, "build_date", "");
    mln_put_text(cx, one, "commit_date", "");
    mln_put(cx, one, "previous_version",
            n == 0 ? mln_null(cx) : mln_string(cx, mln_member_at(all, n - 1)->key));
    mln_put_text(cx, one, "timestamp_installed", mln_time_text(cx, now_ns, 0));
    mln_put(cx, all, MLN_VERSION, one);
    return mln_txn_put_value(cx, txn, info_view(), MLN_BYTES("versions"), all);
}

static struct mln_err version_history(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *all = NULL;
    struct mln_value *data = mln_object(rq->cx), *keys = mln_array(rq->cx);
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, info_view(), MLN_BYTES("versions"), &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        mln_push(rq->cx, keys, mln_string(rq->cx, mln_member_at(all, i)->key));
    }
    mln_put(rq->cx, data, "key_info", all);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- the machine ---- */

static struct mln_err host_info(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx), *host = mln_object(cx), *memory = mln_object(cx);
    struct utsname name;
    struct sysinfo info;
    if (uname(&name) != 0 || sysinfo(&info) != 0) {
        return mln_fail(cx, MLN_E_IO, "the system does not tell about itself");
    }
    mln_put_text(cx, host, "hostname", mln_text_dup(cx, mln_bytes_of(name.nodename)));
    mln_put_text(cx, host, "kernelArch", mln_text_dup(cx, mln_bytes_of(name.machine)));
    mln_put_text(cx, host, "kernelVersion", mln_text_dup(cx, mln_bytes_of(name.release)));
    mln_put_text(cx, host, "os", mln_text_dup(cx, mln_bytes_of(name.sysname)));
    mln_put_int(cx, host, "uptime", info.uptime);
    mln_put_int(cx, host, "procs", info.procs);
    mln_put_int(cx, memory, "available", (int64_t)((uint64_t)info.freeram * info.mem_unit));
    mln_put_int(cx, memory, "total", (int64_t)((uint64_t)info.totalram * info.mem_unit));
    mln_put_int(cx, data, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
    mln_put(cx, data, "host", host);
    mln_put(cx, data, "memory", memory);
    mln_put_text(cx, data, "timestamp", mln_time_text_go(cx, rq->now_ns));
    re->data = data;
    return mln_cx_err(cx);
}

/* ---- how many ---- */

struct mln_err mln_count_keys(struct mln_cx *cx, struct mln_core *core, struct mln_bytes prefix,
                              uint64_t *ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    uint8_t last[MLN_STORE_KEY_MAX];
    struct mln_bytes after = MLN_BYTES_NONE, key = MLN_BYTES_NONE;
    struct mln_err err = MLN_OK;
    uint64_t n = 0;
    MLN_TRY(mln_snap_begin(cx, core->store, &snap));
    while (n < COUNT_MAX) {
        err = mln_snap_next(cx, snap, prefix, after, &key, NULL);
        if (mln_failed(err)) {
            break;
        }
        mln_copy(last, key.ptr, key.len); /* borrowed until the next step */
        after = mln_bytes_at(last, key.len);
        n++;
    }
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    *ret = n;
    return MLN_OK;
}

static struct mln_err count_tokens(struct mln_request *rq, struct mln_reply *re)
{
    uint64_t n = 0;
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx), *counters = mln_object(cx), *tokens = mln_object(cx);
    MLN_TRY(mln_count_keys(cx, mln_core_of(rq), MLN_BYTES("root/token/id/"), &n));
    mln_put_int(cx, tokens, "total", (int64_t)n);
    mln_put(cx, counters, "service_tokens", tokens);
    mln_put(cx, data, "counters", counters);
    re->data = data;
    return mln_cx_err(cx);
}

/* Those of the request's namespace. */
static struct mln_err count_entities(struct mln_request *rq, struct mln_reply *re)
{
    uint64_t n = 0;
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx), *counters = mln_object(cx), *entities = mln_object(cx);
    const char *prefix = mln_text_format(cx, "%.*s/entity/id/", MLN_FMT(rq->ns));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_count_keys(cx, mln_core_of(rq), mln_bytes_of(prefix), &n));
    mln_put_int(cx, entities, "total", (int64_t)n);
    mln_put(cx, counters, "entities", entities);
    mln_put(cx, data, "counters", counters);
    re->data = data;
    return mln_cx_err(cx);
}

static const struct mln_field catalog_fields[] = {
    F_TEXT("type", "auth, database or secret."), F_TEXT("name", "Name of the engine."), {0}};

/* As Vault answers it: the object alone, not in an envelope. */
static struct mln_err in_flight(struct mln_request *rq, struct mln_reply *re)
{
    re->bare = mln_running_rows(rq->cx, mln_core_of(rq));
    return mln_cx_err(rq->cx);
}

const struct mln_path mln_sys_info[] = {
    {.pattern = "in-flight-req",
     .summary = "Requests that are being answered.",
     .read = in_flight,
     .is_sudo = true},
    {.pattern = "plugins/catalog",
     .summary = "Engines and methods: all are built in.",
     .read = catalog,
     .is_sudo = true},
    {.pattern = "plugins/catalog/{type}",
     .summary = "Engines of one kind.",
     .fields = catalog_fields,
     .read = catalog_kind,
     .list = catalog_kind,
     .is_sudo = true},
    {.pattern = "plugins/catalog/{type}/{name}",
     .summary = "One engine.",
     .fields = catalog_fields,
     .read = catalog_one,
     .write = catalog_refused,
     .remove = catalog_remove,
     .is_sudo = true},
    {.pattern = "version-history",
     .summary = "Versions that this store has seen.",
     .read = version_history,
     .list = version_history},
    {.pattern = "host-info", .summary = "The machine.", .read = host_info},
    {.pattern = "internal/counters/tokens",
     .summary = "How many tokens there are.",
     .read = count_tokens,
     .may_block = true},
    {.pattern = "internal/counters/entities",
     .summary = "How many entities there are.",
     .read = count_entities,
     .may_block = true},
    {0},
};
