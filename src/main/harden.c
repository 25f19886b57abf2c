/* SPDX-License-Identifier: Apache-2.0 */
/* What each process gives up or arms itself with before it does anything else. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/secret.h"
#include "main/main_priv.h"

#define NOBODY 65534u /* the kernel's overflow id: owns nothing */

#define LOCK_PROBE_BYTES ((size_t)256 << 20) /* what a flood of the largest requests may need */

static char *argv_area; /* where the arguments lie, to be overwritten by the name */
static size_t argv_bytes;

void name_keep(int argc, char **argv)
{
    char *end = argc > 0 ? argv[0] : NULL;
    for (int i = 0; i < argc && argv[i] == end; i++) {
        end = argv[i] + mln_bytes_of(argv[i]).len + 1;
    }
    argv_area = argc > 0 ? argv[0] : NULL;
    argv_bytes = argc > 0 ? (size_t)(end - argv[0]) : 0;
}

void name_process(const char *name)
{
    size_t n = mln_bytes_of(name).len;
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    if (argv_bytes > 0) {
        mln_wipe(argv_area, argv_bytes); /* a token may have stood there */
        mln_copy(argv_area, name, n < argv_bytes ? n : argv_bytes - 1);
    }
}

void harden_process(void)
{
    bool is_dumpable = false;
#if defined(MLN_SANITIZED) || defined(MLN_TEST)
    const char *wanted = getenv("MERLON_TEST_DUMPABLE");
    is_dumpable = wanted != NULL && mln_bytes_is(mln_bytes_of(wanted), "1");
#endif
    mln_process_harden(is_dumpable);
}

static struct mln_err drop_to(struct mln_cx *cx, size_t n_groups, const gid_t *groups)
{
    if (geteuid() != 0) {
        return MLN_OK;
    }
    if (setgroups(n_groups, groups) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "root's rights cannot be dropped (errno %d)", errno);
    }
    return MLN_OK;
}

struct mln_err drop_root(struct mln_cx *cx)
{
    return drop_to(cx, 0, NULL);
}

struct mln_err drop_root_but(struct mln_cx *cx, gid_t group)
{
    return group == 0 ? drop_to(cx, 0, NULL) : drop_to(cx, 1, &group);
}

/* An ordinary user that may look at what is others': two capabilities stay. */
struct mln_err keep_only_looking(struct mln_cx *cx)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct kept[2] = {0};
    kept[0].permitted = kept[0].effective = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_SYS_PTRACE;
    if (geteuid() != 0) {
        return MLN_OK;
    }
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "capabilities cannot be kept (errno %d)", errno);
    }
    MLN_TRY(drop_root(cx));
    if (syscall(SYS_capset, &head, kept) != 0) { /* a container may lack one of them: then what is others' stays unseen */
        kept[0].permitted = kept[0].effective = 0;
        mln_log(MLN_LOG_WARN, "attest", "other users' processes cannot be looked at (errno %d)", errno);
        return syscall(SYS_capset, &head, kept) == 0
                   ? MLN_OK
                   : mln_fail(cx, MLN_E_INTERNAL, "capabilities cannot be dropped (errno %d)", errno);
    }
    return MLN_OK;
}

bool die_with_parent(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return getppid() == parent;
}

void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool can_lock_much(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_MEMLOCK, &limit);
    }
    void *map = mmap(NULL, LOCK_PROBE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return false;
    }
    bool can = mlock2(map, LOCK_PROBE_BYTES, MLOCK_ONFAULT) == 0;
    (void)munmap(map, LOCK_PROBE_BYTES);
    return can;
}
