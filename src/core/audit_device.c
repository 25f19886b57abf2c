/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One audit device: a descriptor that never blocks for longer than AUDIT_WAIT_NS. Threads that write to it at the same time wait
 * for each other for as long; those who find a write stuck beyond that fail at once. A write that failed half-way is ended by
 * a new line before the next one, so that readers lose that line only.
 */
#include "core/audit_priv.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "net/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- opening ---- */

static int open_file(const struct audit_options *options)
{
    struct stat st;
    if (mln_bytes_is(mln_bytes_of(options->target), "stdout")) {
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    const int how = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open(options->target, how, options->mode != 0 ? options->mode : 0600);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))) {
        (void)close(fd);
        errno = EINVAL;
        return -1;
    }
    if (fd >= 0 && S_ISREG(st.st_mode) && options->mode != 0 && (st.st_mode & 0777) != options->mode) {
        (void)fchmod(fd, options->mode); /* not ours: it stays as it is */
    }
    return fd;
}

static int open_it(const struct audit_options *options, int64_t until_ns)
{
    return options->kind == AUDIT_FILE ? open_file(options) : mln_sink_open(options->socket_type, options->target, until_ns);
}

struct mln_err audit_device_try(struct mln_cx *cx, const struct audit_options *options)
{
    MLN_AUTO(mln_fd_drop) int fd = open_it(options, mln_mono_ns() + AUDIT_WAIT_NS);
    if (fd < 0) {
        bool is_file = options->kind == AUDIT_FILE;
        return mln_fail(cx, MLN_E_INVALID, is_file ? "sanity check failed; unable to open \"%s\" for writing" : "cannot reach \"%s\"",
                        options->target);
    }
    return MLN_OK;
}

/* ---- life ---- */

static const char *copy(const char *text)
{
    return mln_strdup(text != NULL ? text : "");
}

struct audit_device *audit_device_new(const char *path, const char *id, const struct audit_options *options, const uint8_t salt[32])
{
    struct audit_device *device = mln_alloc(sizeof(*device));
    if (device == NULL) {
        return NULL;
    }
    device->options = *options;
    device->path = copy(path);
    device->id = copy(id);
    device->options.target = copy(options->target);
    device->options.socket_type = copy(options->socket_type);
    device->options.tag = copy(options->tag);
    device->options.prefix = copy(options->prefix);
    device->fd = -1;
    mln_copy(device->salt, salt, sizeof(device->salt));
    atomic_store(&device->users, 1);
    (void)pthread_mutex_init(&device->lock, NULL);
    bool is_whole = device->path != NULL && device->id != NULL && device->options.target != NULL &&
                    device->options.socket_type != NULL && device->options.tag != NULL && device->options.prefix != NULL;
    if (!is_whole) {
        audit_device_release(device);
        return NULL;
    }
    return device;
}

void audit_device_hold(struct audit_device *device)
{
    (void)atomic_fetch_add(&device->users, 1);
}

static void free_text(const char *text)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = text}; /* made by copy() above */
    mln_free(cast.out);
}

void audit_device_release(struct audit_device *device)
{
    if (device == NULL || atomic_fetch_sub(&device->users, 1) != 1) {
        return;
    }
    mln_fd_drop(&device->fd);
    (void)pthread_mutex_destroy(&device->lock);
    free_text(device->path);
    free_text(device->id);
    free_text(device->options.target);
    free_text(device->options.socket_type);
    free_text(device->options.tag);
    free_text(device->options.prefix);
    mln_free_wiped(device, sizeof(*device));
}

/* ---- writing ---- */

static ssize_t put_some(const struct audit_device *device, struct mln_bytes bytes)
{
    return device->options.kind == AUDIT_FILE ? write(device->fd, bytes.ptr, bytes.len) : mln_sink_send(device->fd, bytes);
}

/* False: not all of it is there. */
static bool put(struct audit_device *device, struct mln_bytes bytes, int64_t until_ns, void (*block)(void *arg), void *arg)
{
    while (bytes.len > 0) {
        ssize_t n = put_some(device, bytes);
        if (n > 0) {
            device->is_torn = true;
            bytes = mln_bytes_from(bytes, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n == 0 || (errno != EAGAIN && errno != ENOBUFS)) {
            return false;
        }
        block(arg);
        if (!mln_sink_wait(device->fd, until_ns)) {
            errno = ETIMEDOUT;
            return false;
        }
    }
    device->is_torn = false;
    return true;
}

/* A datagram a line; syslog's without its new line and with its head. */
static bool put_datagrams(struct audit_device *device, struct mln_bytes lines, int64_t until_ns, void (*block)(void *arg), void *arg)
{
    bool is_good = true;
    while (is_good && lines.len > 0) {
        MLN_AUTO(mln_buf_drop) struct mln_buf one = {0};
        struct mln_bytes line = mln_bytes_cut(lines, '\n', &lines);
        if (device->options.kind == AUDIT_SYSLOG) {
            mln_buf_add_format(&one, "<%d>%s: ", device->options.priority, device->options.tag);
        }
        mln_buf_add_bytes(&one, line);
        if (device->options.kind == AUDIT_SOCKET) {
            mln_buf_add_byte(&one, '\n');
        }
        is_good = !one.has_failed && put(device, mln_buf_bytes(&one), until_ns, block, arg);
    }
    return is_good;
}

static bool put_lines(struct audit_device *device, struct mln_bytes lines, int64_t until_ns, void (*block)(void *arg), void *arg)
{
    if (atomic_exchange(&device->must_reopen, false)) {
        mln_fd_drop(&device->fd);
        device->is_torn = false;
    }
    if (device->fd < 0) {
        block(arg);
        device->fd = open_it(&device->options, until_ns);
    }
    if (device->fd < 0) {
        return false;
    }
    if (mln_sink_is_datagram(device->options.socket_type)) {
        return put_datagrams(device, lines, until_ns, block, arg);
    }
    return (!device->is_torn || put(device, MLN_BYTES("\n"), until_ns, block, arg)) && put(device, lines, until_ns, block, arg);
}

/* The log hears of the first failure and of the end of them. */
static void say(struct audit_device *device, bool is_good, int fault)
{
    if (!is_good && !device->has_failed) {
        mln_log(MLN_LOG_ERROR, "audit", "device %s takes no lines (%d)", device->path, fault);
    } else if (is_good && device->has_failed) {
        mln_log(MLN_LOG_INFO, "audit", "device %s takes lines again", device->path);
    }
    device->has_failed = !is_good;
}

static bool take_lock(struct audit_device *device, int64_t until_ns, void (*block)(void *arg), void *arg)
{
    if (pthread_mutex_trylock(&device->lock) == 0) {
        return true;
    }
    int64_t since_ns = atomic_load(&device->busy_since_ns);
    if (since_ns != 0 && mln_mono_ns() - since_ns > AUDIT_WAIT_NS) {
        return false;
    }
    block(arg);
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    return pthread_mutex_clocklock(&device->lock, CLOCK_MONOTONIC, &until) == 0;
}

bool audit_device_write(struct audit_device *device, struct mln_bytes lines, void (*block)(void *arg), void *arg)
{
    int64_t now_ns = mln_mono_ns(), until_ns = now_ns + AUDIT_WAIT_NS;
    if (!take_lock(device, until_ns, block, arg)) {
        return false;
    }
    atomic_store(&device->busy_since_ns, now_ns);
    bool is_good = put_lines(device, lines, until_ns, block, arg);
    int fault = errno;
    if (!is_good && device->options.kind != AUDIT_FILE) {
        mln_fd_drop(&device->fd); /* a new connection next time */
        device->is_torn = false;
    }
    say(device, is_good, fault);
    atomic_store(&device->busy_since_ns, 0);
    (void)pthread_mutex_unlock(&device->lock);
    return is_good;
}
