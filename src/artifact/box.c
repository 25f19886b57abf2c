/* SPDX-License-Identifier: Apache-2.0 */
/* Outside of the box: hands files in, takes reports out, replaces workers that die, are late or have read enough. */
#include "artifact/box_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"

#define DEADLINE_NS  INT64_C(60000000000)
#define START_NS     INT64_C(10000000000) /* for a worker to be ready, on a loaded machine */
#define MEMORY_BYTES ((uint64_t)1 << 30)
#define BATCH_FILES  32u /* of one worker: what a taken one can lie about */

struct mln_box {
    struct mln_box_config config;
    pid_t zygote;
    int control;
    int link; /* to the worker; -1 = there is none */
    unsigned served;
    struct box_hello hello;
};

/* ---- the zygote ---- */

/* Only calls that are safe between fork and exec of a program with threads. */
static void become_zygote(const struct mln_box_config *config, int control)
{
    if (config->no_exec) {
        _exit(mln_box_main(control));
    }
    static char name[] = "merlon-box";
    char *argv[] = {name, NULL}; /* without a number it looks for its socket at BOX_FD */
    char *envp[] = {NULL};
    static_assert(BOX_FD == 3);
    bool is_there =
        control == BOX_FD ? fcntl(control, F_SETFD, 0) == 0 : dup2(control, BOX_FD) == BOX_FD;
    if (is_there) {
        (void)execve(config->exe != NULL ? config->exe : "/proc/self/exe", argv, envp);
    }
    _exit(127);
}

static struct mln_err fork_zygote(struct mln_cx *cx, struct mln_box *box)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return mln_fail(cx, MLN_E_IO, "box: no socket pair (error %d)", errno);
    }
    box->zygote = fork();
    if (box->zygote == 0) {
        (void)close(pair[0]);
        become_zygote(&box->config, pair[1]);
    }
    (void)close(pair[1]);
    box->control = pair[0];
    if (box->zygote < 0) {
        return mln_fail(cx, MLN_E_IO, "box: no process (error %d)", errno);
    }
    return MLN_OK;
}

/* Wait for a packet until deadline_ns; false when none comes. */
static bool wait_for(int fd, int64_t deadline_ns)
{
    for (;;) {
        int64_t left_ms = (deadline_ns - mln_mono_ns() + 999999) / 1000000;
        struct pollfd one = {.fd = fd, .events = POLLIN};
        int n = poll(&one, 1, left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

static ssize_t receive_until(int fd, void *bytes, size_t max, int64_t deadline_ns)
{
    return wait_for(fd, deadline_ns) ? recv(fd, bytes, max, 0) : -1;
}

/* ---- workers ---- */

static struct mln_err start_worker(struct mln_cx *cx, struct mln_box *box)
{
    int pair[2];
    mln_fd_drop(&box->link);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return mln_fail(cx, MLN_E_IO, "box: no socket pair (error %d)", errno);
    }
    struct box_order order = {.magic = BOX_MAGIC,
                              .no_sandbox = box->config.no_sandbox,
                              .memory_bytes = box->config.memory_bytes};
    bool is_asked = mln_box_send(box->control, &order, sizeof(order), pair[1]);
    (void)close(pair[1]);
    box->link = pair[0];
    int64_t deadline_ns = mln_mono_ns() + START_NS;
    struct box_born born = {0};
    struct box_hello hello = {0};
    if (!is_asked ||
        receive_until(box->control, &born, sizeof(born), deadline_ns) != (ssize_t)sizeof(born) ||
        born.magic != BOX_MAGIC || born.pid <= 0) {
        mln_fd_drop(&box->link);
        return mln_fail(cx, MLN_E_IO, "box: the process that scans files does not start");
    }
    if (receive_until(box->link, &hello, sizeof(hello), deadline_ns) != (ssize_t)sizeof(hello) ||
        hello.magic != BOX_MAGIC || hello.is_ready != 1) {
        mln_fd_drop(&box->link);
        return mln_fail(cx, MLN_E_IO, "box: the process that scans files cannot enter its sandbox");
    }
    box->hello = hello;
    box->served = 0;
    return MLN_OK;
}

struct mln_err mln_box_start(struct mln_cx *cx, const struct mln_box_config *config,
                             struct mln_box **ret)
{
    MLN_AUTO(mln_box_drop) struct mln_box *box = mln_alloc(sizeof(*box));
    if (box == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory: box");
    }
    box->config = *config;
    box->config.file_deadline_ns =
        config->file_deadline_ns > 0 ? config->file_deadline_ns : DEADLINE_NS;
    box->config.memory_bytes = config->memory_bytes > 0 ? config->memory_bytes : MEMORY_BYTES;
    box->control = -1;
    box->link = -1;
    MLN_TRY(fork_zygote(cx, box));
    MLN_TRY(start_worker(cx, box));
    *ret = mln_take(&box);
    return MLN_OK;
}

/* The zygote ends with its control socket, the worker with the zygote; none of them holds anything worth a pause. */
void mln_box_stop(struct mln_box *box)
{
    mln_fd_drop(&box->link);
    mln_fd_drop(&box->control);
    if (box->zygote > 0) {
        (void)kill(box->zygote, SIGKILL);
        while (waitpid(box->zygote, NULL, 0) < 0 && errno == EINTR) {
        }
        box->zygote = 0;
    }
}

void mln_box_drop(struct mln_box **box)
{
    if (*box != NULL) {
        mln_box_stop(*box);
        mln_free(*box);
        *box = NULL;
    }
}

pid_t mln_box_pid(const struct mln_box *box)
{
    return box->zygote;
}

const struct mln_value *mln_box_state(struct mln_cx *cx, struct mln_box *box)
{
    struct mln_value *state = mln_object(cx);
    mln_put_bool(cx, state, "seccomp", box->hello.has_seccomp != 0);
    mln_put_bool(cx, state, "landlock", box->hello.has_landlock != 0);
    mln_put_int(cx, state, "abi", box->hello.landlock_abi);
    return state;
}

/* ---- reports ---- */

static bool is_text(const struct mln_value *object, const char *key)
{
    return mln_type_of(mln_get(object, key)) == MLN_STRING;
}

static bool is_verdict(const struct mln_value *v)
{
    for (unsigned i = MLN_VERDICT_CLEAN; i <= MLN_VERDICT_MALICIOUS; i++) {
        if (mln_is_text(v, mln_verdict_name((enum mln_verdict)i))) {
            return true;
        }
    }
    return false;
}

/* A worker may have been taken: is it a report at all? */
static bool is_report(const struct mln_value *v)
{
    const struct mln_value *findings = mln_get(v, "findings");
    bool is_one =
        is_verdict(mln_get(v, "verdict")) && is_text(v, "format") &&
        mln_type_of(findings) == MLN_ARRAY && mln_type_of(mln_get(v, "not_read")) == MLN_ARRAY &&
        mln_type_of(mln_get(v, "bytes")) == MLN_INT && mln_len(findings) <= MLN_SCAN_FINDINGS_MAX;
    for (size_t i = 0; is_one && i < mln_len(findings); i++) {
        const struct mln_value *f = mln_item(findings, i);
        enum mln_type at = mln_type_of(mln_get(f, "offset"));
        is_one = is_text(f, "rule") && is_text(f, "severity") && is_text(f, "detail") &&
                 (at == MLN_NULL || at == MLN_INT);
    }
    return is_one;
}

/* NULL: the worker died, was late or said nonsense. errors MEMORY */
static struct mln_err ask(struct mln_cx *cx, struct mln_box *box, const char *path, int fd,
                          bool *ret_late, const struct mln_value **ret)
{
    int64_t deadline_ns = mln_mono_ns() + box->config.file_deadline_ns;
    struct mln_bytes name = mln_bytes_sub(mln_bytes_of(path), 0, BOX_PATH_MAX);
    uint64_t len = 0;
    if (!mln_box_send(box->link, name.ptr, name.len, fd) ||
        receive_until(box->link, &len, sizeof(len), deadline_ns) != (ssize_t)sizeof(len) ||
        len == 0 || len > BOX_REPORT_MAX) {
        *ret_late = mln_mono_ns() >= deadline_ns;
        return MLN_OK;
    }
    uint8_t *bytes = mln_new(cx, (size_t)len);
    MLN_TRY(mln_cx_err(cx));
    for (size_t at = 0; at < len;) {
        ssize_t n = receive_until(box->link, bytes + at, (size_t)len - at, deadline_ns);
        if (n <= 0) {
            *ret_late = mln_mono_ns() >= deadline_ns;
            return MLN_OK;
        }
        at += (size_t)n;
    }
    const struct mln_value *v = NULL;
    struct mln_err err = mln_cbor_parse(cx, mln_bytes_at(bytes, (size_t)len), &v);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    mln_cx_clear(cx);
    *ret = !mln_failed(err) && is_report(v) ? v : NULL;
    return MLN_OK;
}

static const struct mln_value *lost(struct mln_cx *cx, const char *path, bool is_late)
{
    struct mln_scan_report report = {.cx = cx, .findings = mln_array(cx), .unread = mln_array(cx)};
    mln_scan_find(&report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH,
                  is_late ? "box-late" : "box-died", MLN_SCAN_OFFSET_NONE, "%s",
                  is_late ? "reading the file took longer than any honest one"
                          : "reading the file broke the reader");
    return mln_scan_report_value(&report, path);
}

/* Under the path that the file has here, whatever the worker says. */
static const struct mln_value *under_path(struct mln_cx *cx, const struct mln_value *v,
                                          const char *path)
{
    struct mln_value *mine = mln_value_dup(cx, v);
    mln_put(cx, mine, "path", mln_get(lost(cx, path, false), "path"));
    return mine;
}

struct mln_err mln_box_scan(struct mln_cx *cx, struct mln_box *box, const char *path, int fd,
                            const struct mln_value **ret)
{
    if (box->link < 0 || box->served >= BATCH_FILES) {
        MLN_TRY(start_worker(cx, box));
    }
    const struct mln_value *v = NULL;
    bool is_late = false;
    MLN_TRY(ask(cx, box, path, fd, &is_late, &v));
    box->served++;
    if (v == NULL) {
        mln_fd_drop(&box->link); /* the next order ends the worker */
    }
    v = v != NULL ? under_path(cx, v, path) : lost(cx, path, is_late);
    MLN_TRY(mln_cx_err(cx));
    *ret = v;
    return MLN_OK;
}
