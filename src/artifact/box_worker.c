/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the box: the zygote, which only forks, and the worker, which reads hostile files. A worker has given up everything but the
 * descriptors that are handed to it and memory.
 */
#include "artifact/box_priv.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/io.h"
#include "base/sandbox.h"

#define SMALL_ARENA_BYTES ((size_t)16 << 20) /* for a report when the file took all memory */
#define FILES_MAX         16                 /* descriptors of a worker */

/* ---- packets ---- */

union control_space {
    struct cmsghdr head; /* for its alignment */
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

bool mln_box_send(int to, const void *bytes, size_t n, int fd)
{
    union control_space space = {0};
    struct iovec io = {.iov_len = n};
    mln_copy(&io.iov_base, &bytes,
             sizeof(bytes)); /* sendmsg does not write, its type does not say so */
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = space.bytes;
        message.msg_controllen = sizeof(space.bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        mln_copy(CMSG_DATA(head), &fd, sizeof(fd));
    }
    ssize_t sent;
    do {
        sent = sendmsg(to, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)n;
}

ssize_t mln_box_receive(int from, void *bytes, size_t max, int *ret_fd)
{
    union control_space space = {0};
    struct iovec io = {.iov_base = bytes, .iov_len = max};
    struct msghdr message = {.msg_iov = &io,
                             .msg_iovlen = 1,
                             .msg_control = space.bytes,
                             .msg_controllen = sizeof(space.bytes)};
    ssize_t got;
    do {
        got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    *ret_fd = -1;
    const struct cmsghdr *head = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int))) {
        mln_copy(ret_fd, CMSG_DATA(head), sizeof(int));
    }
    return got;
}

/* ---- one file ---- */

struct file {
    const char *path;
    struct mln_bytes map;
    bool is_read;
};

static struct file map_file(struct mln_cx *cx, const char *path, int fd)
{
    struct file file = {.path = path};
    uint64_t size = 0;
    if (mln_failed(mln_file_size(cx, fd, &size)) || size > SIZE_MAX / 2) {
        return file;
    }
    if (size == 0) {
        file.is_read = true;
        file.map = MLN_BYTES("");
        return file;
    }
    const void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
        file.map = mln_bytes_at(map, (size_t)size);
        file.is_read = true;
    }
    return file;
}

static void unmap_file(const struct file *file)
{
    if (file->is_read && file->map.len > 0) {
        void *map;
        mln_copy(&map, &file->map.ptr, sizeof(map));
        (void)munmap(map, file->map.len);
    }
}

/* A report from what there is of another, whose arena may be full. */
static void print_instead(const struct mln_scan_report *report, const char *path, const char *rule,
                          const char *text, struct mln_buf *to)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SMALL_ARENA_BYTES, false);
    if (arena == NULL) {
        return;
    }
    mln_cx_init(&cx, arena);
    struct mln_scan_report small = {
        .cx = &cx, .format = report->format, .verdict = report->verdict};
    small.findings = mln_value_dup(&cx, report->findings);
    small.unread = mln_value_dup(&cx, report->unread);
    small.bytes_read = report->bytes_read;
    mln_scan_find(&small, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, rule, MLN_SCAN_OFFSET_NONE,
                  "%s", text);
    mln_cbor_print(to, mln_scan_report_value(&small, path));
}

static void scan_file(const char *path, int fd, size_t arena_bytes, struct mln_buf *to)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(arena_bytes, false);
    if (arena == NULL) {
        return; /* no report: who asks takes the worker for dead */
    }
    mln_cx_init(&cx, arena);
    struct file file = map_file(&cx, path, fd);
    struct mln_scan_report report = {
        .cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
    struct mln_scan_input input = {.path = path, .map = file.map};
    if (!file.is_read) {
        print_instead(&report, path, "unreadable", "the file cannot be mapped", to);
        return;
    }
    struct mln_err err = mln_scan_bytes(&cx, &input, &report);
    const struct mln_value *v = mln_scan_report_value(&report, path);
    if (mln_failed(err) || mln_failed(mln_cx_err(&cx))) {
        print_instead(&report, path, "scan-memory", "too much to hold in memory: not judged wholly",
                      to);
    } else {
        mln_cbor_print(to, v);
    }
    unmap_file(&file);
}

static bool send_report(int link, const struct mln_buf *report)
{
    uint64_t len = report->has_failed ? 0 : report->len;
    bool is_sent = mln_box_send(link, &len, sizeof(len), -1);
    for (size_t at = 0; is_sent && at < len; at += BOX_PACKET_MAX) {
        struct mln_bytes packet = mln_bytes_sub(mln_buf_bytes(report), at, BOX_PACKET_MAX);
        is_sent = mln_box_send(link, packet.ptr, packet.len, -1);
    }
    return is_sent;
}

/* ---- the worker ---- */

static bool limit(int what, uint64_t to)
{
    struct rlimit rl = {.rlim_cur = to, .rlim_max = to};
    return setrlimit((__rlimit_resource_t)what, &rl) == 0;
}

static bool set_limits(uint64_t memory_bytes)
{
#ifdef MLN_SANITIZED
    bool is_set = memory_bytes > 0; /* a sanitizer's shadow counts as data */
#else
    bool is_set = limit(RLIMIT_DATA, memory_bytes);
#endif
    return is_set && limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
           limit(RLIMIT_NOFILE, FILES_MAX);
}

static bool enter_sandbox(int link, const struct box_order *order, struct box_hello *hello)
{
    struct mln_cx cx;
    struct mln_sandbox_state state = {0};
    mln_cx_init(&cx, NULL);
    if (order->no_sandbox == 0 &&
        mln_failed(mln_sandbox_enter(&cx, MLN_SANDBOX_BOX, link, &state))) {
        return false;
    }
    hello->has_seccomp = state.has_seccomp;
    hello->has_landlock = state.has_landlock;
    hello->landlock_abi = state.landlock_abi;
    return true;
}

static int worker_main(int link, const struct box_order *order)
{
    struct box_hello hello = {.magic = BOX_MAGIC};
    hello.is_ready = set_limits(order->memory_bytes) && enter_sandbox(link, order, &hello);
    if (!mln_box_send(link, &hello, sizeof(hello), -1) || hello.is_ready == 0) {
        return 1;
    }
    for (;;) {
        char path[BOX_PATH_MAX + 1];
        MLN_AUTO(mln_fd_drop) int fd = -1;
        ssize_t n = mln_box_receive(link, path, BOX_PATH_MAX, &fd);
        if (n <= 0 || fd < 0) {
            return n == 0 ? 0 : 1;
        }
        path[n] = '\0';
        MLN_AUTO(mln_buf_drop) struct mln_buf report = {0};
        scan_file(path, fd, (size_t)order->memory_bytes / 2, &report);
        if (!send_report(link, &report)) {
            return 1;
        }
    }
}

/* ---- the zygote ---- */

static void end_worker(pid_t *worker)
{
    if (*worker > 0) {
        (void)kill(*worker, SIGKILL);
        while (waitpid(*worker, NULL, 0) < 0 && errno == EINTR) {
        }
        *worker = 0;
    }
}

/* A worker's numbers stay below FILES_MAX: the link at 3, the control socket gone. */
static int worker_start(int control_fd, int link, const struct box_order *order, pid_t zygote)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != zygote) {
        return 1;
    }
    (void)close(control_fd);
    if (link != BOX_FD) {
        if (dup2(link, BOX_FD) != BOX_FD) {
            return 1;
        }
        (void)close(link);
    }
    return worker_main(BOX_FD, order);
}

int mln_box_main(int control_fd)
{
    pid_t worker = 0;
    for (;;) {
        struct box_order order;
        MLN_AUTO(mln_fd_drop) int link = -1;
        ssize_t n = mln_box_receive(control_fd, &order, sizeof(order), &link);
        end_worker(&worker);
        if (n != (ssize_t)sizeof(order) || order.magic != BOX_MAGIC || link < 0) {
            return n == 0 ? 0 : 1;
        }
        pid_t zygote = getpid();
        worker = fork();
        if (worker == 0) {
            _exit(worker_start(control_fd, link, &order, zygote));
        }
        struct box_born born = {.magic = BOX_MAGIC, .pid = (int32_t)worker};
        if (!mln_box_send(control_fd, &born, sizeof(born), -1)) {
            end_worker(&worker);
            return 1;
        }
    }
}
