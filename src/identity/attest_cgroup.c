/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cgroups of a process say: its container, pod, unit, job. Folders are root's to make, but for those below a service or scope
 * that root gave away (a user's own manager, a service with Delegate=): there everybody can make a folder of any name. So reading
 * stops at the first of these, and what is inside a container is not looked at: its root could make any name too.
 */
#include "base/text.h"
#include "identity/attest_priv.h"

#define ID_LEN      64u
#define POD_MAX     64u /* a UUID is 36, a static pod's digest 32 */
#define SEGMENT_MAX 64u /* of a path: deeper ones are nobody's of whom we know */

/* ---- lines and paths ---- */

/* The next line "number:controllers:/path". */
static bool next_line(struct mln_bytes *left, struct mln_bytes *controllers, struct mln_bytes *path)
{
    while (left->len > 0) {
        struct mln_bytes line = mln_bytes_cut(*left, '\n', left), rest = MLN_BYTES_NONE;
        uint64_t number = 0;
        bool ok = mln_u64_parse(mln_bytes_cut(line, ':', &rest), &number);
        *controllers = mln_bytes_cut(rest, ':', path);
        if (ok && path->len > 0 && path->ptr[0] == '/') {
            *path = mln_bytes_from(*path, 1);
            return true;
        }
    }
    return false;
}

static bool next_segment(struct mln_bytes *path, struct mln_bytes *ret)
{
    while (path->len > 0) {
        *ret = mln_bytes_cut(*path, '/', path);
        if (ret->len > 0) {
            return true;
        }
    }
    return false;
}

/* Below this one others than root may make folders. */
static bool is_given_away(struct mln_bytes segment)
{
    return mln_bytes_is(segment, "user.slice") || mln_bytes_is(segment, "user") || mln_bytes_starts(segment, MLN_BYTES("user@")) ||
           mln_bytes_ends(segment, MLN_BYTES(".service")) || mln_bytes_ends(segment, MLN_BYTES(".scope"));
}

static struct mln_bytes without(struct mln_bytes text, struct mln_bytes prefix, struct mln_bytes suffix)
{
    if (!mln_bytes_starts(text, prefix) || !mln_bytes_ends(text, suffix) || text.len < prefix.len + suffix.len) {
        return MLN_BYTES_NONE;
    }
    return mln_bytes_sub(text, prefix.len, text.len - prefix.len - suffix.len);
}

static bool is_number(struct mln_bytes text)
{
    uint64_t number = 0;
    return mln_u64_parse(text, &number) && (text.len == 1 || text.ptr[0] != '0');
}

/* ---- containers ---- */

static bool is_id(struct mln_bytes text)
{
    bool ok = text.len == ID_LEN;
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = (text.ptr[i] >= '0' && text.ptr[i] <= '9') || (text.ptr[i] >= 'a' && text.ptr[i] <= 'f');
    }
    return ok;
}

/* "<id>" or "docker-<id>.scope". */
static bool is_container(struct mln_bytes segment, struct mln_bytes parent, struct attest_container *ret)
{
    static const struct {
        const char *prefix, *runtime;
    } kinds[] = {{"docker-", "docker"}, {"cri-containerd-", "containerd"}, {"crio-", "cri-o"}, {"libpod-", "podman"}};
    struct mln_bytes plain = mln_bytes_ends(segment, MLN_BYTES(".scope")) ? mln_bytes_sub(segment, 0, segment.len - 6) : segment;
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        struct mln_bytes id = without(plain, mln_bytes_of(kinds[i].prefix), MLN_BYTES_NONE);
        if (is_id(id)) {
            ret->id = id;
            ret->runtime = kinds[i].runtime;
            return true;
        }
    }
    ret->id = segment;
    ret->runtime = mln_bytes_is(parent, "docker") ? "docker" : "";
    return is_id(segment);
}

/* "pod<uid>" or "kubepods-burstable-pod<uid>.slice", below a folder of Kubernetes. */
static struct mln_bytes pod_of(struct mln_bytes segment, bool is_kubernetes)
{
    struct mln_bytes plain = mln_bytes_ends(segment, MLN_BYTES(".slice")) ? mln_bytes_sub(segment, 0, segment.len - 6) : segment;
    size_t dash = mln_bytes_find_bytes(plain, MLN_BYTES("-pod"));
    struct mln_bytes uid = dash < plain.len ? mln_bytes_from(plain, dash + 4) : without(plain, MLN_BYTES("pod"), MLN_BYTES_NONE);
    bool ok = is_kubernetes && uid.len >= 16 && uid.len <= POD_MAX;
    for (size_t i = 0; ok && i < uid.len; i++) {
        uint8_t c = uid.ptr[i];
        ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-' || c == '_';
    }
    return ok ? uid : MLN_BYTES_NONE;
}

static bool container_of(struct mln_bytes path, struct attest_container *ret)
{
    struct mln_bytes segment = MLN_BYTES_NONE, parent = MLN_BYTES_NONE, pod = MLN_BYTES_NONE;
    bool is_kubernetes = false;
    for (unsigned i = 0; i < SEGMENT_MAX && next_segment(&path, &segment); i++) {
        if (is_container(segment, parent, ret)) {
            ret->pod = pod;
            return true;
        }
        if (is_given_away(segment)) {
            return false;
        }
        is_kubernetes = is_kubernetes || mln_bytes_find_bytes(segment, MLN_BYTES("kubepods")) < segment.len;
        struct mln_bytes found = pod_of(segment, is_kubernetes);
        pod = found.len > 0 ? found : pod;
        parent = segment;
    }
    return false;
}

struct mln_err attest_container_parse(struct mln_cx *cx, struct mln_bytes cgroup, struct attest_container *ret)
{
    struct attest_container first = {0}, one = {0};
    struct mln_bytes controllers, path;
    for (struct mln_bytes left = cgroup; next_line(&left, &controllers, &path);) {
        if (!container_of(path, &one)) {
            continue;
        }
        if (first.id.len > 0 && (!mln_bytes_eq(first.id, one.id) || !mln_bytes_eq(first.pod, one.pod))) {
            return mln_fail(cx, MLN_E_INVALID, "the cgroups of a process name two containers");
        }
        first = one;
    }
    if (first.id.len == 0) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "a process outside of containers");
    }
    *ret = first;
    return MLN_OK;
}

static struct mln_err look_container(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    struct attest_container container = {0};
    MLN_TRY(attest_container_parse(cx, target->cgroup, &container));
    mln_attest_push(cx, selectors, "container:id", container.id);
    mln_attest_push(cx, selectors, "container:runtime", mln_bytes_of(container.runtime));
    return MLN_OK;
}

const struct mln_attestor mln_attestor_container = {
    .name = "container",
    .summary = "Id and runtime of the container that a process is in.",
    .look = look_container,
};

/* ---- systemd ---- */

/* Slices lead to a unit; the first that is none is it. */
static struct mln_bytes unit_of(struct mln_bytes path)
{
    struct mln_bytes segment = MLN_BYTES_NONE;
    while (next_segment(&path, &segment)) {
        struct mln_bytes name = segment.ptr[0] == '_' ? mln_bytes_from(segment, 1) : segment; /* systemd's own way out of clashes */
        if (mln_bytes_ends(name, MLN_BYTES(".service")) || mln_bytes_ends(name, MLN_BYTES(".scope"))) {
            return name;
        }
        if (!mln_bytes_ends(name, MLN_BYTES(".slice"))) {
            break;
        }
    }
    return MLN_BYTES_NONE;
}

struct mln_err attest_unit_parse(struct mln_cx *cx, struct mln_bytes cgroup, struct mln_bytes *ret)
{
    struct mln_bytes controllers, path, unit = MLN_BYTES_NONE;
    for (struct mln_bytes left = cgroup; unit.len == 0 && next_line(&left, &controllers, &path);) {
        bool is_systemd = controllers.len == 0 || mln_bytes_is(controllers, "name=systemd");
        unit = is_systemd ? unit_of(path) : unit;
    }
    if (unit.len == 0) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "a process of no unit");
    }
    *ret = unit;
    return MLN_OK;
}

static struct mln_err look_systemd(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    struct mln_bytes unit = MLN_BYTES_NONE;
    MLN_TRY(attest_unit_parse(cx, target->cgroup, &unit));
    mln_attest_push(cx, selectors, "systemd:id", unit);
    return MLN_OK;
}

const struct mln_attestor mln_attestor_systemd = {
    .name = "systemd",
    .summary = "The unit of systemd that a process is in.",
    .look = look_systemd,
};

/* ---- Slurm ---- */

/* Where slurmd has its folder: "slurm", "slurm_node1"; "slurmstepd.scope", "node1_slurmstepd.scope" below system.slice. */
static bool is_slurm_home(struct mln_bytes segment, unsigned depth, bool is_below_system)
{
    bool is_old = depth == 0 && (mln_bytes_is(segment, "slurm") || mln_bytes_starts(segment, MLN_BYTES("slurm_")));
    bool is_new = depth == 1 && is_below_system &&
                  (mln_bytes_is(segment, "slurmstepd.scope") || mln_bytes_ends(segment, MLN_BYTES("_slurmstepd.scope")));
    return is_old || is_new;
}

static bool slurm_of(struct mln_bytes path, struct attest_slurm *ret)
{
    struct mln_bytes segment = MLN_BYTES_NONE;
    struct attest_slurm found = {0};
    bool is_home = false, is_below_system = false;
    for (unsigned i = 0; i < SEGMENT_MAX && next_segment(&path, &segment); i++) {
        struct mln_bytes uid = without(segment, MLN_BYTES("uid_"), MLN_BYTES_NONE);
        struct mln_bytes job = without(segment, MLN_BYTES("job_"), MLN_BYTES_NONE);
        struct mln_bytes step = without(segment, MLN_BYTES("step_"), MLN_BYTES_NONE);
        if (!is_home) {
            is_home = is_slurm_home(segment, i, is_below_system);
            is_below_system = mln_bytes_is(segment, "system.slice");
            if (!is_home && i > 0) {
                return false;
            }
        } else if (found.job.len == 0 && is_number(uid)) {
            found.uid = uid;
        } else if (found.job.len == 0 && is_number(job)) {
            found.job = job;
        } else if (found.job.len > 0) { /* below a step are tasks, and what the job itself made */
            found.step = step;
            break;
        } else {
            return false;
        }
    }
    *ret = found;
    return found.job.len > 0;
}

struct mln_err attest_slurm_parse(struct mln_cx *cx, struct mln_bytes cgroup, struct attest_slurm *ret)
{
    struct attest_slurm first = {0}, one = {0};
    struct mln_bytes controllers, path;
    for (struct mln_bytes left = cgroup; next_line(&left, &controllers, &path);) {
        if (!slurm_of(path, &one)) {
            continue;
        }
        if (first.job.len > 0 && !mln_bytes_eq(first.job, one.job)) {
            return mln_fail(cx, MLN_E_INVALID, "the cgroups of a process name two jobs");
        }
        first = first.job.len > 0 && one.step.len == 0 ? first : one;
    }
    if (first.job.len == 0) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "a process of no job");
    }
    *ret = first;
    return MLN_OK;
}

/* The job's user: Slurm's word where its folders say it, else the process's, whom Slurm started. */
static struct mln_err look_slurm(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    struct attest_slurm job = {0};
    MLN_TRY(attest_slurm_parse(cx, target->cgroup, &job));
    mln_attest_push(cx, selectors, "slurm:job-id", job.job);
    mln_attest_push(cx, selectors, "slurm:step-id", job.step);
    mln_attest_push(cx, selectors, "slurm:uid", job.uid.len > 0 ? job.uid : mln_bytes_format(cx, "%u", target->uid));
    return MLN_OK;
}

const struct mln_attestor mln_attestor_slurm = {
    .name = "slurm",
    .summary = "Job and step of Slurm that a process is in.",
    .look = look_slurm,
};
