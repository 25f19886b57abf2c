/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving rights up. Landlock first (it needs system calls that seccomp then refuses), with no rule at all: no path can be
 * opened, nothing bound or connected. Then seccomp, a list of what is allowed; all else kills the process.
 *
 * Two calls are refused by errno instead, because the C library makes them unasked and copes: openat (malloc looks at
 * /proc/sys/vm/overcommit_memory when it shrinks a heap) and, in front, newfstatat (stdio, before its first write).
 *
 * Reach runs large libraries of others: what it may not do fails by errno there, and only what nobody does by accident (exec,
 * ptrace, listening) kills. Its files are those that the resolver and TLS read; where the kernel has no Landlock, the user alone
 * bounds what it may read.
 *
 * A build with sanitizers has no seccomp (they need ptrace, clone and files) and a Landlock that lets files be read; the
 * state tells.
 */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- Landlock: its numbers are part of the kernel's ABI, headers of many distributions are older ---- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
#ifndef SYS_landlock_add_rule
#define SYS_landlock_add_rule 445
#endif
#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif
#define RULESET_VERSION_FLAG 1u
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_ABI_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)     /* since version 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* 5 */
#define NET_BIND_CONNECT UINT64_C(3)     /* 4 */
#define NET_BIND UINT64_C(1)
#define RULE_PATH_BENEATH 1
#define SCOPE_ALL UINT64_C(3)            /* 6: abstract sockets, signals */

struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

static struct ruleset ruleset_of(int abi, size_t *ret_size)
{
    struct ruleset rules = {.fs = FS_ABI_1};
    *ret_size = 8;
    if (abi >= 2) {
        rules.fs |= FS_REFER;
    }
    if (abi >= 3) {
        rules.fs |= FS_TRUNCATE;
    }
    if (abi >= 4) {
        rules.net = NET_BIND_CONNECT;
        *ret_size = 16;
    }
    if (abi >= 5) {
        rules.fs |= FS_IOCTL_DEV;
    }
    if (abi >= 6) {
        rules.scoped = SCOPE_ALL;
        *ret_size = 24;
    }
#ifdef MLN_SANITIZED
    rules.fs &= ~(FS_READ_FILE | FS_READ_DIR);
#endif
    return rules;
}

/* What a resolver and a TLS library read; absent ones are left out. */
static const char *const reach_paths[] = {
    "/etc/resolv.conf", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/etc/hosts", "/etc/host.conf",
    "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/ssl", "/etc/pki", "/etc/ca-certificates",
    "/usr/lib/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/gnutls", "/etc/crypto-policies",
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed)); /* as the kernel has it */

#define OF_FOLDERS (FS_READ_DIR | FS_REMOVE_FILE | FS_MAKE_REG) /* and of no file */

static void allow_path(int ruleset_fd, const char *path, uint64_t allowed)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        struct path_rule rule = {.parent_fd = fd};
        rule.allowed = S_ISDIR(st.st_mode) ? allowed : allowed & ~OF_FOLDERS;
        if (rule.allowed != 0) {
            (void)syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0u);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void allow_paths(int ruleset_fd, uint64_t handled, const struct mln_sandbox_folders *more)
{
    const uint64_t reads = (FS_READ_FILE | FS_READ_DIR) & handled;
    for (size_t i = 0; i < sizeof(reach_paths) / sizeof(reach_paths[0]); i++) {
        allow_path(ruleset_fd, reach_paths[i], reads);
    }
    for (size_t i = 0; more != NULL && i < more->n_reads; i++) {
        allow_path(ruleset_fd, more->reads[i], reads);
    }
    if (more != NULL && more->writes != NULL) {
        allow_path(ruleset_fd, more->writes,
                   reads | ((FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE) & handled));
    }
}

static struct mln_err enter_landlock(struct mln_cx *cx, enum mln_sandbox_profile profile, const struct mln_sandbox_folders *folders,
                                     struct mln_sandbox_state *state)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, RULESET_VERSION_FLAG);
    if (abi <= 0) {
        return MLN_OK; /* the kernel has none, or it is not switched on */
    }
    size_t size;
    struct ruleset rules = ruleset_of((int)abi, &size);
    bool is_reach = profile == MLN_SANDBOX_REACH || profile == MLN_SANDBOX_NODE;
    rules.net = is_reach && rules.net != 0 ? NET_BIND : rules.net;
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0u);
    if (fd < 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "sandbox: Landlock rules refused (error %d)", errno);
    }
    if (is_reach) {
        allow_paths(fd, rules.fs, folders);
    }
    long got = syscall(SYS_landlock_restrict_self, fd, 0u);
    int error = errno;
    (void)close(fd);
    if (got != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "sandbox: Landlock refused (error %d)", error);
    }
    state->has_landlock = true;
    state->landlock_abi = (int)abi;
    return MLN_OK;
}

/* ---- seccomp ---- */

#ifndef MLN_SANITIZED

/* What every profile needs: memory without execution, clocks, locks, randomness, ending. */
static const int common_calls[] = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(munmap),
    SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(poll),
    SCMP_SYS(restart_syscall), SCMP_SYS(rseq), SCMP_SYS(set_robust_list),
};

static const int front_calls[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(accept4),
    SCMP_SYS(recvfrom), SCMP_SYS(shutdown), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(sysinfo), /* qsort asks how much memory there is */
};

static const int keeper_calls[] = {
    SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock),
};

static const int box_calls[] = {
    SCMP_SYS(pread64), SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(rt_sigaction),
    SCMP_SYS(sysinfo), /* qsort asks how much memory there is */
};

static const int reach_calls[] = {
    SCMP_SYS(connect), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(fcntl), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(pipe2), SCMP_SYS(eventfd2),
    SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(fstat), SCMP_SYS(statx), SCMP_SYS(lseek), SCMP_SYS(pread64),
    SCMP_SYS(readv), SCMP_SYS(getdents64), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(memfd_create), SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(uname),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getppid), SCMP_SYS(sysinfo),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(dup), SCMP_SYS(set_tid_address),
};

static const int attest_calls[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(newfstatat),
    SCMP_SYS(fstat), SCMP_SYS(statx), SCMP_SYS(readlinkat), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(getdents64),
    SCMP_SYS(rt_sigaction), SCMP_SYS(sysinfo), SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(getppid),
};

/* What a file is replaced with, threads at home. */
static const int node_calls[] = {
    SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(fchmod), SCMP_SYS(open), SCMP_SYS(ftruncate), SCMP_SYS(sched_setaffinity),
};

/* Nobody does these by accident. */
static const int reach_deadly[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(bpf), SCMP_SYS(keyctl),
};

/* A call that is allowed only when one argument, masked, has one value. */
struct narrow_call {
    int number;
    unsigned arg;
    uint64_t mask;
    uint64_t want;
};

#define WHOLE UINT64_MAX
#define INT_BITS UINT64_C(0xffffffff) /* of an int only the lower half counts */

static const struct narrow_call narrow_common[] = {
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
};

static const struct narrow_call narrow_front[] = {
    {SCMP_SYS(sendto), 4, WHOLE, 0}, /* no address: only to who is connected */
    {SCMP_SYS(setsockopt), 1, INT_BITS, IPPROTO_TCP},
    {SCMP_SYS(fcntl), 1, INT_BITS, F_ADD_SEALS},
    {SCMP_SYS(fcntl), 1, INT_BITS, F_GETFL},
    {SCMP_SYS(fcntl), 1, INT_BITS, F_SETFL},
};

static const struct narrow_call narrow_box[] = {
    {SCMP_SYS(prlimit64), 2, WHOLE, 0},               /* reading a limit */
    {SCMP_SYS(newfstatat), 3, INT_BITS, AT_EMPTY_PATH}, /* how the C library spells fstat */
};

#define THREAD_FLAGS (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)
#define NETLINK_ADDRESS_BYTES 12 /* no other family's address has as many */

static const struct narrow_call narrow_reach[] = {
    {SCMP_SYS(socket), 0, INT_BITS, AF_INET},
    {SCMP_SYS(socket), 0, INT_BITS, AF_INET6},
    {SCMP_SYS(socket), 0, INT_BITS, AF_NETLINK}, /* the resolver asks which addresses the machine has */
    {SCMP_SYS(socketpair), 0, INT_BITS, AF_UNIX}, /* libcurl wakes itself */
    {SCMP_SYS(bind), 2, INT_BITS, NETLINK_ADDRESS_BYTES},
    {SCMP_SYS(clone), 0, THREAD_FLAGS, THREAD_FLAGS},
    {SCMP_SYS(ioctl), 1, INT_BITS, FIONREAD},
    {SCMP_SYS(ioctl), 1, INT_BITS, FIONBIO},
    {SCMP_SYS(prlimit64), 2, WHOLE, 0},
};

static const struct narrow_call narrow_local[] = {
    {SCMP_SYS(socket), 0, INT_BITS, AF_UNIX},
    {SCMP_SYS(clone), 0, THREAD_FLAGS, THREAD_FLAGS},
    {SCMP_SYS(ioctl), 1, INT_BITS, FIONBIO},
    {SCMP_SYS(prlimit64), 2, WHOLE, 0},
};

static const struct narrow_call narrow_attest[] = {
    {SCMP_SYS(openat), 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0}, /* to read, or as a path */
    {SCMP_SYS(clone), 0, THREAD_FLAGS, THREAD_FLAGS},
    {SCMP_SYS(prlimit64), 2, WHOLE, 0},
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    }
    return rc;
}

static int allow_narrow(scmp_filter_ctx filter, const struct narrow_call *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct scmp_arg_cmp only = {
            .arg = calls[i].arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = calls[i].mask, .datum_b = calls[i].want};
        rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, calls[i].number, 1, &only);
    }
    return rc;
}

/* Messages with descriptors on the control socket, signals to this very process (abort). */
static int allow_own(scmp_filter_ctx filter, int control_fd)
{
    struct narrow_call own[] = {
        {SCMP_SYS(tgkill), 0, INT_BITS, (uint64_t)getpid()},
        {SCMP_SYS(sendmsg), 0, INT_BITS, (uint64_t)control_fd},
        {SCMP_SYS(recvmsg), 0, INT_BITS, (uint64_t)control_fd},
    };
    return allow_narrow(filter, own, control_fd >= 0 ? 3 : 1);
}

static int fill_reach(scmp_filter_ctx filter, bool is_local)
{
    int rc = allow_all(filter, common_calls, MLN_COUNT(common_calls));
    rc = rc != 0 ? rc : allow_narrow(filter, narrow_common, MLN_COUNT(narrow_common));
    rc = rc != 0 ? rc : allow_own(filter, -1);
    rc = rc != 0 ? rc : allow_all(filter, reach_calls, MLN_COUNT(reach_calls));
    rc = rc != 0      ? rc
         : is_local ? allow_narrow(filter, narrow_local, MLN_COUNT(narrow_local))
                    : allow_narrow(filter, narrow_reach, MLN_COUNT(narrow_reach));
    rc = rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0); /* its flags lie in memory */
    for (size_t i = 0; i < MLN_COUNT(reach_deadly) && rc == 0; i++) {
        rc = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, reach_deadly[i], 0);
    }
    return rc;
}

static int fill_attest(scmp_filter_ctx filter)
{
    int rc = allow_all(filter, common_calls, MLN_COUNT(common_calls));
    rc = rc != 0 ? rc : allow_narrow(filter, narrow_common, MLN_COUNT(narrow_common));
    rc = rc != 0 ? rc : allow_own(filter, -1);
    rc = rc != 0 ? rc : allow_all(filter, attest_calls, MLN_COUNT(attest_calls));
    rc = rc != 0 ? rc : allow_narrow(filter, narrow_attest, MLN_COUNT(narrow_attest));
    return rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0); /* its flags lie in memory */
}

/* Of socket options only these: errors and credentials to read, SO_LINGER to set. */
static int fill_relay(scmp_filter_ctx filter)
{
    struct scmp_arg_cmp linger[] = {{.arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = INT_BITS, .datum_b = SOL_SOCKET},
                                    {.arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = INT_BITS, .datum_b = SO_LINGER}};
    static const struct narrow_call get = {SCMP_SYS(getsockopt), 1, INT_BITS, SOL_SOCKET};
    int rc = allow_narrow(filter, &get, 1);
    rc = rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sysinfo), 0); /* qsort asks how much memory there is */
    return rc != 0 ? rc : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), MLN_COUNT(linger), linger);
}

static int fill(scmp_filter_ctx filter, enum mln_sandbox_profile profile, int control_fd)
{
    bool is_front = profile == MLN_SANDBOX_FRONT || profile == MLN_SANDBOX_RELAY || profile == MLN_SANDBOX_KEEPER;
    if (profile == MLN_SANDBOX_NODE) {
        int added = allow_all(filter, node_calls, MLN_COUNT(node_calls));
        added = added != 0 ? added : allow_all(filter, keeper_calls, MLN_COUNT(keeper_calls));
        return added != 0 ? added : fill_reach(filter, false);
    }
    if (profile == MLN_SANDBOX_REACH || profile == MLN_SANDBOX_LOCAL) {
        return fill_reach(filter, profile == MLN_SANDBOX_LOCAL);
    }
    if (profile == MLN_SANDBOX_ATTEST) {
        return fill_attest(filter);
    }
    int rc = allow_all(filter, common_calls, MLN_COUNT(common_calls));
    rc = rc != 0 ? rc : allow_narrow(filter, narrow_common, MLN_COUNT(narrow_common));
    rc = rc != 0 ? rc : allow_own(filter, control_fd);
    rc = rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
    if (is_front) {
        rc = rc != 0 ? rc : allow_all(filter, front_calls, MLN_COUNT(front_calls));
        rc = rc != 0 ? rc : allow_narrow(filter, narrow_front, MLN_COUNT(narrow_front));
        rc = rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), 0);
        rc = rc != 0 || profile != MLN_SANDBOX_RELAY ? rc : fill_relay(filter);
        rc = rc != 0 || profile != MLN_SANDBOX_KEEPER ? rc : allow_all(filter, keeper_calls, MLN_COUNT(keeper_calls));
    } else {
        rc = rc != 0 ? rc : allow_all(filter, box_calls, MLN_COUNT(box_calls));
        rc = rc != 0 ? rc : allow_narrow(filter, narrow_box, MLN_COUNT(narrow_box));
    }
    return rc;
}

static struct mln_err enter_seccomp(struct mln_cx *cx, enum mln_sandbox_profile profile, int control_fd,
                                    struct mln_sandbox_state *state)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 && errno == EINVAL) {
        return MLN_OK; /* a kernel without seccomp */
    }
    bool is_reach = profile == MLN_SANDBOX_REACH || profile == MLN_SANDBOX_LOCAL || profile == MLN_SANDBOX_NODE;
    scmp_filter_ctx filter = seccomp_init(is_reach ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "sandbox: out of memory for the filter");
    }
    int rc = fill(filter, profile, control_fd);
    rc = rc != 0 ? rc : seccomp_load(filter);
    seccomp_release(filter);
    if (rc != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "sandbox: seccomp refused (error %d)", -rc);
    }
    state->has_seccomp = true;
    return MLN_OK;
}

#else

static struct mln_err enter_seccomp(struct mln_cx *cx, enum mln_sandbox_profile profile, int control_fd,
                                    struct mln_sandbox_state *state)
{
    (void)cx;
    (void)profile;
    (void)control_fd;
    state->has_seccomp = false;
    return MLN_OK;
}

#endif

static struct mln_err enter(struct mln_cx *cx, enum mln_sandbox_profile profile, int control_fd,
                            const struct mln_sandbox_folders *folders, struct mln_sandbox_state *ret)
{
    struct mln_sandbox_state state = {0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "sandbox: no-new-privs refused (error %d)", errno);
    }
    if (profile != MLN_SANDBOX_ATTEST) {
        MLN_TRY(enter_landlock(cx, profile, folders, &state));
    }
    MLN_TRY(enter_seccomp(cx, profile, control_fd, &state));
    *ret = state;
    return MLN_OK;
}

struct mln_err mln_sandbox_enter(struct mln_cx *cx, enum mln_sandbox_profile profile, int control_fd,
                                 struct mln_sandbox_state *ret)
{
    MLN_CHECK(ret != NULL && profile < MLN_SANDBOX_NODE);
    return enter(cx, profile, control_fd, NULL, ret);
}

struct mln_err mln_sandbox_enter_node(struct mln_cx *cx, const struct mln_sandbox_folders *folders,
                                      struct mln_sandbox_state *ret)
{
    MLN_CHECK(ret != NULL && folders != NULL);
    return enter(cx, MLN_SANDBOX_NODE, -1, folders, ret);
}
