/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See attest.h. The order of steps is what makes it safe against numbers that are used again: the folder of /proc is opened by number,
 * then the pidfd is asked whether its process still lives. If so it had that number all the time, and the folder is its own for good.
 */
#include "identity/attest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "identity/attest_priv.h"

#define MLN_ATTESTOR(name) extern const struct mln_attestor mln_attestor_##name;
#include "identity/attestor.def"
#undef MLN_ATTESTOR

const struct mln_attestor *const mln_attestors[] = {
#define MLN_ATTESTOR(name) &mln_attestor_##name,
#include "identity/attestor.def"
#undef MLN_ATTESTOR
    NULL,
};

/* ---- settings ---- */

static const struct mln_attestor *find_attestor(struct mln_bytes name)
{
    for (size_t i = 0; mln_attestors[i] != NULL; i++) {
        if (mln_bytes_is(name, mln_attestors[i]->name)) {
            return mln_attestors[i];
        }
    }
    return NULL;
}

struct mln_err mln_attest_check(struct mln_cx *cx, const struct mln_value *settings)
{
    if (!mln_is_null(settings) && mln_type_of(settings) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "'spiffe.attest' must hold keys of its own");
    }
    for (size_t i = 0; i < mln_len(settings); i++) {
        const struct mln_member *m = mln_member_at(settings, i);
        const struct mln_attestor *attestor = find_attestor(m->key);
        if (attestor == NULL) {
            return mln_fail(cx, MLN_E_INVALID, "unknown key 'spiffe.attest.%.*s'", MLN_FMT(m->key));
        }
        if (mln_type_of(&m->value) != MLN_OBJECT || (attestor->check == NULL && mln_len(&m->value) > 0)) {
            return mln_fail(cx, MLN_E_INVALID, "'spiffe.attest.%s' must hold keys of its own", attestor->name);
        }
        if (attestor->check != NULL) {
            MLN_TRY(attestor->check(cx, &m->value));
        }
    }
    return MLN_OK;
}

const struct mln_value *mln_attest_settings(const struct mln_attest_target *target, const char *name)
{
    return mln_get(target->config->settings, name);
}

/* ---- is it still the same process? ---- */

static struct mln_err check_alive(struct mln_cx *cx, int pidfd)
{
    struct pollfd one = {.fd = pidfd, .events = POLLIN};
    int n = 0;
    do {
        n = poll(&one, 1, 0);
    } while (n < 0 && errno == EINTR);
    return n == 0 ? MLN_OK : mln_fail(cx, MLN_E_DENIED, "the process that connected has ended");
}

/* Without a pidfd from the socket: whose is it, and did it begin after it would have connected? */
static struct mln_err check_by_number(struct mln_cx *cx, const struct mln_attest_target *target, const struct mln_attest_who *who)
{
    struct mln_bytes stat = MLN_BYTES_NONE, status = MLN_BYTES_NONE;
    struct attest_ids ids = {0};
    int64_t started_ns = 0;
    MLN_TRY(mln_attest_read(cx, target, "stat", ATTEST_STAT_MAX, &stat));
    MLN_TRY(mln_attest_read(cx, target, "status", MLN_ATTEST_TEXT_MAX, &status));
    MLN_TRY(attest_start_parse(cx, stat, sysconf(_SC_CLK_TCK), &started_ns));
    MLN_TRY(attest_ids_parse(cx, status, &ids));
    bool is_user = ids.uid[0] == who->uid || ids.uid[1] == who->uid || ids.uid[2] == who->uid;
    return is_user && started_ns <= who->connected_by_ns
               ? MLN_OK
               : mln_fail(cx, MLN_E_DENIED, "the process that connected has ended, and its number is another's");
}

/* ---- the whole ---- */

/* An attestor that cannot see leaves its selectors out; only "not now" puts the whole off. */
static struct mln_err look(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    for (size_t i = 0; mln_attestors[i] != NULL; i++) {
        const struct mln_attestor *attestor = mln_attestors[i];
        if (attestor->is_optional && mln_attest_settings(target, attestor->name) == NULL) {
            continue;
        }
        struct mln_err err = attestor->look(cx, target, selectors);
        if (mln_is(err, MLN_E_UNREACHABLE) || mln_is(err, MLN_E_MEMORY)) {
            return err;
        }
        if (mln_failed(err)) {
            mln_log(MLN_LOG_DEBUG, "attest", "process %lld, %s: %s", (long long)target->pid, attestor->name, cx->text);
        }
        mln_cx_clear(cx);
    }
    return mln_cx_err(cx);
}

static struct mln_err look_at(struct mln_cx *cx, struct mln_attest_target *target, const struct mln_attest_who *who,
                              struct mln_value *selectors)
{
    MLN_TRY(check_alive(cx, who->pidfd));
    if (who->is_by_number) {
        MLN_TRY(check_by_number(cx, target, who));
    }
    if (mln_failed(mln_attest_read(cx, target, "cgroup", MLN_ATTEST_TEXT_MAX, &target->cgroup))) {
        mln_cx_clear(cx);
    }
    MLN_TRY(look(cx, target, selectors));
    return check_alive(cx, who->pidfd);
}

struct mln_err mln_attest(struct mln_cx *cx, const struct mln_attest_config *config, const struct mln_attest_who *who,
                          const struct mln_value **ret)
{
    if (who->pid <= 0 || who->pidfd < 0) {
        return mln_fail(cx, MLN_E_DENIED, "the process that connected cannot be seen from here");
    }
    const char *folder = mln_text_format(cx, "%s/%lld", config->proc, (long long)who->pid);
    MLN_TRY(mln_cx_err(cx));
    MLN_AUTO(mln_fd_drop) int proc_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0) {
        return mln_fail(cx, MLN_E_DENIED, "the process that connected has ended");
    }
    struct mln_attest_target target = {
        .proc_fd = proc_fd, .pid = who->pid, .uid = who->uid, .gid = who->gid, .config = config};
    struct mln_value *all = mln_set(cx), *list = mln_array(cx);
    MLN_TRY(look_at(cx, &target, who, all));
    for (size_t i = 0; i < mln_len(all); i++) {
        mln_push(cx, list, mln_item(all, i));
    }
    *ret = list;
    return mln_cx_err(cx);
}
