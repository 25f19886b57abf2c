/* SPDX-License-Identifier: Apache-2.0 */
/* Audit devices: their options as Vault's API spells them. */
#include "core/audit_priv.h"

#include "base/text.h"

#include <limits.h>
#include <stdlib.h>
#include <syslog.h>

#define PREFIX_MAX 128u /* before each line: "@cee: " and the like */
#define PATH_MAX_BYTES 1024u

static const struct {
    const char *name;
    int facility;
} facilities[] = {{"AUTH", LOG_AUTH},     {"AUTHPRIV", LOG_AUTHPRIV}, {"DAEMON", LOG_DAEMON}, {"USER", LOG_USER},
                  {"LOCAL0", LOG_LOCAL0}, {"LOCAL1", LOG_LOCAL1},     {"LOCAL2", LOG_LOCAL2}, {"LOCAL3", LOG_LOCAL3},
                  {"LOCAL4", LOG_LOCAL4}, {"LOCAL5", LOG_LOCAL5},     {"LOCAL6", LOG_LOCAL6}, {"LOCAL7", LOG_LOCAL7}};

/* Options come as texts from the command line and as booleans from programs. */
static struct mln_err flag(struct mln_cx *cx, const struct mln_value *options, const char *name, bool usual, bool *ret)
{
    const struct mln_value *v = mln_get(options, name);
    bool yes = mln_get_bool(v, false) || mln_is_text(v, "true") || mln_is_text(v, "1");
    bool no = mln_is_null(v) || mln_type_of(v) == MLN_BOOL || mln_is_text(v, "false") || mln_is_text(v, "0");
    if (!yes && !no) {
        return mln_fail(cx, MLN_E_INVALID, "invalid value for \"%s\": it is true or false", name);
    }
    *ret = mln_is_null(v) ? usual : yes;
    return MLN_OK;
}

static bool is_printable(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static struct mln_err text(struct mln_cx *cx, const struct mln_value *options, const char *name, size_t max, const char *usual,
                           const char **ret)
{
    const struct mln_value *v = mln_get(options, name);
    struct mln_bytes bytes = mln_get_bytes(v);
    *ret = mln_get_text(cx, v, usual);
    if (!mln_is_null(v) && (mln_type_of(v) != MLN_STRING || bytes.len > max || !is_printable(bytes))) {
        return mln_fail(cx, MLN_E_INVALID, "invalid value for \"%s\": a printable text of at most %zu bytes", name, max);
    }
    return mln_cx_err(cx);
}

/* Octal, as "0600". A file that can be run is none of a log's. */
static struct mln_err mode_of(struct mln_cx *cx, const struct mln_value *options, unsigned *ret)
{
    struct mln_bytes digits = mln_get_bytes(mln_get(options, "mode"));
    unsigned mode = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '7' || digits.len > 5) {
            return mln_fail(cx, MLN_E_INVALID, "invalid value for \"mode\": octal digits such as 0600");
        }
        mode = mode * 8 + (unsigned)(digits.ptr[i] - '0');
    }
    if ((mode & ~0666u) != 0) {
        return mln_fail(cx, MLN_E_INVALID, "file mode does not allow execution: only read and write bits");
    }
    *ret = digits.len == 0 ? 0600 : mode;
    return MLN_OK;
}

/* Neither in the folder of data nor a way into it. */
static struct mln_err check_place(struct mln_cx *cx, const char *data_dir, const char *path)
{
    if (data_dir == NULL) {
        return MLN_OK; /* looked at when it was enabled; what is not there now may come */
    }
    char folder[PATH_MAX] = "", real[PATH_MAX] = "", data[PATH_MAX] = "";
    struct mln_bytes all = mln_bytes_of(path);
    size_t slash = all.len;
    while (slash > 0 && path[slash - 1] != '/') {
        slash--;
    }
    mln_copy(folder, path, slash);
    if (realpath(path, real) == NULL && realpath(folder, real) == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "sanity check failed; unable to open \"%s\" for writing: no such folder", path);
    }
    if (realpath(data_dir, data) != NULL && mln_bytes_starts(mln_bytes_of(real), mln_bytes_of(data))) {
        return mln_fail(cx, MLN_E_INVALID, "an audit device does not write into the server's own data");
    }
    return MLN_OK;
}

static struct mln_err read_file(struct mln_cx *cx, const char *data_dir, const struct mln_value *options, struct audit_options *ret)
{
    const char *old = NULL;
    MLN_TRY(text(cx, options, "path", PATH_MAX_BYTES, "", &old));
    MLN_TRY(text(cx, options, "file_path", PATH_MAX_BYTES, old, &ret->target));
    MLN_TRY(mode_of(cx, options, &ret->mode));
    if (ret->target[0] == 0) {
        return mln_fail(cx, MLN_E_INVALID, "file_path is required");
    }
    if (mln_bytes_is(mln_bytes_of(ret->target), "stdout")) {
        return MLN_OK;
    }
    return ret->target[0] == '/' ? check_place(cx, data_dir, ret->target)
                                 : mln_fail(cx, MLN_E_INVALID, "file_path must be an absolute path or \"stdout\"");
}

static struct mln_err read_socket(struct mln_cx *cx, const struct mln_value *options, struct audit_options *ret)
{
    static const char *const kinds[] = {"tcp", "udp", "unix", "unixgram"};
    MLN_TRY(text(cx, options, "address", PATH_MAX_BYTES, "", &ret->target));
    MLN_TRY(text(cx, options, "socket_type", 16, "tcp", &ret->socket_type));
    if (ret->target[0] == 0) {
        return mln_fail(cx, MLN_E_INVALID, "address is required");
    }
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        if (mln_bytes_is(mln_bytes_of(kinds[i]), ret->socket_type)) {
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "socket_type is tcp, udp, unix or unixgram");
}

static struct mln_err read_syslog(struct mln_cx *cx, const struct mln_value *options, struct audit_options *ret)
{
    const char *facility = NULL;
    MLN_TRY(text(cx, options, "facility", 16, "AUTH", &facility));
    MLN_TRY(text(cx, options, "tag", 64, "merlon", &ret->tag));
    for (size_t i = 0; i < MLN_COUNT(facilities); i++) {
        if (mln_bytes_is_nocase(mln_bytes_of(facility), facilities[i].name)) {
            ret->target = "/dev/log";
            ret->socket_type = "unixgram";
            ret->priority = facilities[i].facility | LOG_INFO;
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "unknown syslog facility \"%s\"", facility);
}

static struct mln_err read_format(struct mln_cx *cx, const struct mln_value *options, struct audit_options *ret)
{
    const char *format = NULL;
    MLN_TRY(text(cx, options, "format", 16, "json", &format));
    ret->is_jsonx = mln_bytes_is(mln_bytes_of(format), "jsonx");
    if (!ret->is_jsonx && !mln_bytes_is(mln_bytes_of(format), "json")) {
        return mln_fail(cx, MLN_E_INVALID, "unknown format type \"%s\"", format);
    }
    MLN_TRY(text(cx, options, "prefix", PREFIX_MAX, "", &ret->prefix));
    MLN_TRY(flag(cx, options, "log_raw", false, &ret->log_raw));
    MLN_TRY(flag(cx, options, "hmac_accessor", true, &ret->hmac_accessor));
    return flag(cx, options, "elide_list_responses", false, &ret->elide_lists);
}

struct mln_err audit_options_read(struct mln_cx *cx, const char *data_dir, const char *type, const struct mln_value *options,
                                  struct audit_options *ret)
{
    struct audit_options read = {.target = "", .socket_type = "", .tag = "", .prefix = ""};
    struct mln_bytes kind = mln_bytes_of(type);
    MLN_TRY(read_format(cx, options, &read));
    if (mln_bytes_is(kind, "file")) {
        read.kind = AUDIT_FILE;
        MLN_TRY(read_file(cx, data_dir, options, &read));
    } else if (mln_bytes_is(kind, "socket")) {
        read.kind = AUDIT_SOCKET;
        MLN_TRY(read_socket(cx, options, &read));
    } else if (mln_bytes_is(kind, "syslog")) {
        read.kind = AUDIT_SYSLOG;
        MLN_TRY(read_syslog(cx, options, &read));
    } else {
        return mln_fail(cx, MLN_E_INVALID, "unknown backend type: \"%.*s\"", MLN_FMT(mln_bytes_sub(kind, 0, 64)));
    }
    *ret = read;
    return mln_cx_err(cx);
}
