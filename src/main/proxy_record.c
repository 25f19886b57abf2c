/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connections leave behind: a line of JSON each. Relay is not believed: what it wrote is taken apart, and only what a record may
 * hold, in the form that it has, is written again.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "main/proxy_priv.h"

#define WORK_BYTES   (256u << 10)
#define TEXT_MAX     256u
#define CONN_DIGITS  16u

struct proxy_records {
    const struct proxy_config *config;
    struct proxy_post *post; /* NULL: none */
    struct mln_arena *arena;
    int fd;
    bool has_failed; /* the last line could not be written: said once */
};

/* ---- reading ---- */

static bool is_printable(struct mln_bytes text, size_t most)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return text.len > 0 && text.len <= most;
}

static struct mln_err copy_text(struct mln_cx *cx, const struct mln_value *from, const char *name, size_t most, struct mln_value *to)
{
    const struct mln_value *v = mln_get(from, name);
    if (v == NULL) {
        return MLN_OK;
    }
    if (mln_type_of(v) != MLN_STRING || !is_printable(mln_get_bytes(v), most)) {
        return mln_fail(cx, MLN_E_INVALID, "a record's %s is no text", name);
    }
    mln_put(cx, to, name, v);
    return MLN_OK;
}

static struct mln_err copy_id(struct mln_cx *cx, const struct mln_value *from, const char *name, struct mln_value *to)
{
    struct mln_spiffe_id id;
    if (mln_get(from, name) == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_spiffe_id_parse(cx, mln_get_bytes(mln_get(from, name)), &id));
    mln_put_bytes(cx, to, name, id.text);
    return MLN_OK;
}

static struct mln_err copy_time(struct mln_cx *cx, const struct mln_value *from, const char *name, const char *as, struct mln_value *to)
{
    int64_t ns = mln_get_int(mln_get(from, name), -1);
    if (mln_get(from, name) == NULL) {
        return MLN_OK;
    }
    if (ns < 0) {
        return mln_fail(cx, MLN_E_INVALID, "a record's %s is no time", name);
    }
    mln_put_text(cx, to, as, mln_time_text(cx, ns, 6));
    return mln_cx_err(cx);
}

static struct mln_err copy_count(struct mln_cx *cx, const struct mln_value *from, const char *name, struct mln_value *to)
{
    int64_t n = mln_get_int(mln_get(from, name), -1);
    if (mln_get(from, name) == NULL) {
        return MLN_OK;
    }
    if (n < 0) {
        return mln_fail(cx, MLN_E_INVALID, "a record's %s is no number", name);
    }
    mln_put_int(cx, to, name, n);
    return MLN_OK;
}

static struct mln_err copy_reason(struct mln_cx *cx, const struct mln_value *from, struct mln_value *to)
{
    const struct mln_value *v = mln_get(from, "reason");
    for (int i = 0; i < MLN_PROXY_REASONS; i++) {
        if (mln_is_text(v, mln_proxy_reason_name((enum mln_proxy_reason)i))) {
            mln_put_text(cx, to, "reason", mln_proxy_reason_name((enum mln_proxy_reason)i));
            return MLN_OK;
        }
    }
    return v == NULL ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "a record's reason is none");
}

static struct mln_err begin(struct mln_cx *cx, const struct mln_value *from, const struct proxy_config *config, struct mln_value *to)
{
    static const char *const events[] = {"open", "end", "refused"};
    int64_t listener = mln_get_int(mln_get(from, "listener"), -1);
    bool is_event = false;
    for (size_t i = 0; i < MLN_COUNT(events); i++) {
        is_event = is_event || mln_is_text(mln_get(from, "event"), events[i]);
    }
    if (!is_event || listener < 0 || listener >= (int64_t)config->n_listeners) {
        return mln_fail(cx, MLN_E_INVALID, "a record of no event, or of no listener");
    }
    const struct mln_proxy_listener *l = &config->listeners[listener];
    mln_put(cx, to, "event", mln_get(from, "event"));
    mln_put_text(cx, to, "conn", mln_text_format(cx, "%016llx", (unsigned long long)mln_get_int(mln_get(from, "conn"), 0)));
    mln_put_text(cx, to, "listener", l->name);
    mln_put_text(cx, to, "mode", l->side == MLN_PROXY_SERVER ? "server" : "client");
    mln_put_text(cx, to, "target", l->target);
    return MLN_OK;
}

struct mln_err proxy_record_read(struct mln_cx *cx, struct mln_bytes cbor, const struct proxy_config *config,
                                 const struct mln_value **ret)
{
    const struct mln_value *from = NULL, *proved = NULL;
    struct mln_value *to = mln_object(cx);
    MLN_TRY(mln_cbor_parse(cx, cbor, &from));
    MLN_TRY(begin(cx, from, config, to));
    MLN_TRY(copy_text(cx, from, "from", TEXT_MAX, to));
    MLN_TRY(copy_id(cx, from, "peer_id", to));
    proved = mln_get(from, "proved");
    if (mln_type_of(proved) == MLN_BOOL) {
        mln_put_bool(cx, to, "proved", mln_get_bool(proved, false));
    }
    MLN_TRY(copy_id(cx, from, "own_id", to));
    MLN_TRY(copy_text(cx, from, "own_serial", TEXT_MAX, to));
    MLN_TRY(copy_time(cx, from, "start_ns", "start", to));
    MLN_TRY(copy_time(cx, from, "end_ns", "end", to));
    MLN_TRY(copy_count(cx, from, "bytes_in", to));
    MLN_TRY(copy_count(cx, from, "bytes_out", to));
    MLN_TRY(copy_reason(cx, from, to));
    MLN_TRY(copy_text(cx, from, "detail", MLN_CX_TEXT_MAX, to));
    *ret = to;
    return mln_cx_err(cx);
}

/* ---- writing ---- */

static struct mln_err open_file(struct mln_cx *cx, struct proxy_records *records)
{
    if (mln_bytes_is(mln_bytes_of(records->config->records), "-")) {
        records->fd = STDERR_FILENO;
        return MLN_OK;
    }
    return mln_file_open(cx, records->config->records, O_WRONLY | O_CREAT | O_APPEND, 0600, &records->fd);
}

static void close_file(struct proxy_records *records)
{
    if (records->fd > STDERR_FILENO) {
        mln_fd_drop(&records->fd);
    }
    records->fd = -1;
}

struct mln_err proxy_records_new(struct mln_cx *cx, const struct proxy_config *config, struct proxy_post *post, struct proxy_records **ret)
{
    struct proxy_records *records = mln_alloc(sizeof(*records));
    if (records == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    records->config = config;
    records->post = post;
    records->fd = -1;
    records->arena = mln_arena_new(WORK_BYTES, false);
    struct mln_err err = records->arena != NULL ? open_file(cx, records) : mln_fail(cx, MLN_E_MEMORY, "out of memory");
    if (mln_failed(err)) {
        proxy_records_free(records);
        return err;
    }
    *ret = records;
    return MLN_OK;
}

void proxy_records_free(struct proxy_records *records)
{
    if (records != NULL) {
        close_file(records);
        mln_arena_free(records->arena);
        mln_free(records);
    }
}

void proxy_records_reopen(struct proxy_records *records)
{
    struct mln_cx cx;
    int old = records->fd;
    mln_cx_init(&cx, NULL);
    if (old <= STDERR_FILENO) {
        return;
    }
    if (mln_failed(open_file(&cx, records))) {
        mln_log_fault(MLN_LOG_ERROR, "proxy", &cx, "the file of records cannot be opened anew, the old one is kept");
        records->fd = old;
    } else {
        (void)close(old);
    }
}

void proxy_records_take(struct proxy_records *records, struct mln_bytes cbor)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf line = {0};
    const struct mln_value *record = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, records->arena);
    struct mln_err err = proxy_record_read(&cx, cbor, records->config, &record);
    if (!mln_failed(err)) {
        mln_json_print(&line, record, MLN_JSON_COMPACT);
        if (records->post != NULL) {
            proxy_post_take(records->post, mln_buf_bytes(&line));
        }
        mln_buf_add_byte(&line, '\n');
        err = mln_buf_ok(&cx, &line);
        err = mln_failed(err) ? err : mln_fd_write(&cx, records->fd, line.ptr, line.len);
    }
    if (mln_failed(err) && !records->has_failed) {
        mln_log_fault(MLN_LOG_ERROR, "proxy", &cx, "a record is lost");
    }
    records->has_failed = mln_failed(err);
    mln_arena_reset(records->arena);
}
