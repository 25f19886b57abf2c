/* SPDX-License-Identifier: Apache-2.0 */
/* Containers, pods, units and jobs in the cgroups of a process, and names that somebody else than root could have made. */
#include <string.h>

#include "identity/attest_priv.h"
#include "kit/kit.h"

#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define POD "c2f1b2ce-0d4a-4c53-9d27-1f2b6a0e3b77"
#define SLICE "kubepods-burstable-podc2f1b2ce_0d4a_4c53_9d27_1f2b6a0e3b77.slice"

extern const struct mln_attestor mln_attestor_container, mln_attestor_systemd, mln_attestor_slurm, mln_attestor_kubernetes;

static void test_containers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum mln_code code;
        const char *id, *runtime, *pod;
    } rows[] = {
        {"0::/system.slice/docker-" ID ".scope\n", MLN_E_OK, ID, "docker", ""},
        {"12:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n0::/\n", MLN_E_OK, ID, "docker", ""},
        {"0::/kubepods.slice/kubepods-burstable.slice/" SLICE "/cri-containerd-" ID ".scope\n", MLN_E_OK, ID, "containerd",
         "c2f1b2ce_0d4a_4c53_9d27_1f2b6a0e3b77"},
        {"0::/kubepods.slice/" SLICE "/crio-" ID ".scope/container\n", MLN_E_OK, ID, "cri-o", "c2f1b2ce_0d4a_4c53_9d27_1f2b6a0e3b77"},
        {"4:cpu,cpuacct:/kubepods/besteffort/pod" POD "/" ID "\n", MLN_E_OK, ID, "", POD},
        {"0::/../" SLICE "/cri-containerd-" ID ".scope\n", MLN_E_OK, ID, "containerd", "c2f1b2ce_0d4a_4c53_9d27_1f2b6a0e3b77"},
        {"0::/machine.slice/libpod-" ID ".scope/container\n", MLN_E_OK, ID, "podman", ""},
        /* the outermost counts: what is below a container is its own root's */
        {"0::/docker/" ID "/kubepods/pod" POD "/" ID2 "\n", MLN_E_OK, ID, "docker", ""},
        /* names that a user can make below his own manager, or a service below itself */
        {"0::/user.slice/user-1000.slice/user@1000.service/docker-" ID ".scope\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/user.slice/user-1000.slice/session-1.scope/kubepods/pod" POD "/" ID "\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/system.slice/mine.service/docker/" ID "\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/user/1000/docker/" ID "\n", MLN_E_NOT_FOUND, "", "", ""},
        {"2:cpu:/docker/" ID "\n1:memory:/docker/" ID2 "\n", MLN_E_INVALID, "", "", ""},
        {"2:cpu:/kubepods/pod" POD "/" ID "\n1:memory:/docker/" ID "\n", MLN_E_INVALID, "", "", ""},
        {"0::/docker/0123\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/docker/" ID "0\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/crio-conmon-" ID ".scope\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/pod" POD "/" ID "\n", MLN_E_OK, ID, "", ""}, /* no folder of Kubernetes: no pod */
        {"0::docker/" ID "\n", MLN_E_NOT_FOUND, "", "", ""},
        {"x::/docker/" ID "\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/\n", MLN_E_NOT_FOUND, "", "", ""},
        {"", MLN_E_NOT_FOUND, "", "", ""},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct attest_container got = {.runtime = ""};
        struct mln_err err = attest_container_parse(NULL, mln_bytes_of(rows[i].text), &got);
        if (!mln_is(err, rows[i].code) || !mln_bytes_is(got.id, rows[i].id) || strcmp(got.runtime, rows[i].runtime) != 0 ||
            !mln_bytes_is(got.pod, rows[i].pod)) {
            fail_msg("row %zu: %s id %.*s runtime %s pod %.*s", i, mln_err_name(err.code), MLN_FMT(got.id), got.runtime,
                     MLN_FMT(got.pod));
        }
    }
}

static void test_units(void **state)
{
    (void)state;
    static const struct {
        const char *text, *unit;
    } rows[] = {
        {"0::/system.slice/train.service\n", "train.service"},
        {"0::/system.slice/system-serving.slice/serving@7.service/payload\n", "serving@7.service"},
        {"1:name=systemd:/system.slice/a.service\n", "a.service"},
        {"3:memory:/system.slice/b.service\n0::/system.slice/a.service\n", "a.service"},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/sshd.service\n", "user@1000.service"}, /* not what a user names */
        {"0::/init.scope\n", "init.scope"},
        {"0::/system.slice/_memory.service\n", "memory.service"},
        {"0::/docker/x.service\n", ""},
        {"0::/\n", ""},
        {"", ""},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes unit = MLN_BYTES_NONE;
        struct mln_err err = attest_unit_parse(NULL, mln_bytes_of(rows[i].text), &unit);
        if (mln_failed(err) != (rows[i].unit[0] == 0) || !mln_bytes_is(unit, rows[i].unit)) {
            fail_msg("row %zu: %s %.*s", i, mln_err_name(err.code), MLN_FMT(unit));
        }
    }
}

static void test_jobs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum mln_code code;
        const char *job, *step, *uid;
    } rows[] = {
        {"0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0\n", MLN_E_OK, "42", "0", ""},
        {"0::/system.slice/node1_slurmstepd.scope/job_42/step_batch/user\n", MLN_E_OK, "42", "batch", ""},
        {"5:memory:/slurm/uid_1000/job_7/step_extern/task_0\n1:name=systemd:/\n", MLN_E_OK, "7", "extern", "1000"},
        {"5:memory:/slurm_n1/uid_1000/job_7\n4:freezer:/slurm_n1/uid_1000/job_7/step_3\n", MLN_E_OK, "7", "3", "1000"},
        {"0::/system.slice/slurmd.service\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_42/step_0\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/system.slice/mine.service/slurmstepd.scope/job_42\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/system.slice/mine.service/slurm/uid_0/job_1\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/x/slurm/uid_0/job_1\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/system.slice/slurmstepd.scope/other/job_42\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/system.slice/slurmstepd.scope/job_4x\n", MLN_E_NOT_FOUND, "", "", ""},
        {"0::/system.slice/slurmstepd.scope/job_042\n", MLN_E_NOT_FOUND, "", "", ""},
        {"5:memory:/slurm/uid_1/job_7\n4:cpu:/slurm/uid_1/job_8\n", MLN_E_INVALID, "", "", ""},
        {"", MLN_E_NOT_FOUND, "", "", ""},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct attest_slurm got = {0};
        struct mln_err err = attest_slurm_parse(NULL, mln_bytes_of(rows[i].text), &got);
        if (!mln_is(err, rows[i].code) || !mln_bytes_is(got.job, rows[i].job) || !mln_bytes_is(got.step, rows[i].step) ||
            !mln_bytes_is(got.uid, rows[i].uid)) {
            fail_msg("row %zu: %s job %.*s step %.*s", i, mln_err_name(err.code), MLN_FMT(got.job), MLN_FMT(got.step));
        }
    }
}

/* ---- what the kubelet says ---- */

static const char list[] =
    "{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"name\":\"other\",\"uid\":\"11111111-1111-1111-1111-111111111111\"}},"
    "{\"metadata\":{\"name\":\"train-0\",\"namespace\":\"ml\",\"uid\":\"" POD "\","
    "\"labels\":{\"app\":\"train\",\"bad\":5,\"nl\":\"a\\nb\",\"app\\u0000x\":\"evil\"},"
    "\"ownerReferences\":[{\"kind\":\"Job\",\"name\":\"train\"}]},"
    "\"spec\":{\"serviceAccountName\":\"trainer\",\"nodeName\":\"n1\"},"
    "\"status\":{\"containerStatuses\":[{\"name\":\"main\",\"containerID\":\"containerd://" ID "\",\"image\":\"r/i:1\","
    "\"imageID\":\"r/i@sha256:aa\"},"
    "{\"name\":\"side\",\"containerID\":\"containerd://" ID2 "\",\"image\":\"r/side:2\"}]}}]}";

static const char *join(struct mln_cx *cx, const struct mln_value *selectors)
{
    const char *all = "";
    for (size_t i = 0; i < mln_len(selectors); i++) {
        all = mln_text_format(cx, "%s%.*s\n", all, MLN_FMT(mln_get_bytes(mln_item(selectors, i))));
    }
    return all;
}

static void test_pods(void **state)
{
    (void)state;
    struct mln_arena *arena = mln_arena_new(1u << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_value *all = mln_set(&cx);
    assert_false(mln_failed(mln_attest_pods_parse(&cx, mln_bytes_of(list), "c2f1b2ce_0d4a_4c53_9d27_1f2b6a0e3b77", ID, all)));
    assert_string_equal(join(&cx, all), "k8s:container-image:r/i:1\nk8s:container-image:r/i@sha256:aa\n"
                                        "k8s:container-name:main\nk8s:node-name:n1\n"
                                        "k8s:ns:ml\nk8s:pod-image:r/i:1\nk8s:pod-image:r/i@sha256:aa\nk8s:pod-image:r/side:2\n"
                                        "k8s:pod-label:app:train\nk8s:pod-name:train-0\nk8s:pod-owner:Job:train\nk8s:pod-uid:" POD "\n"
                                        "k8s:sa:trainer\n");
    static const struct {
        const char *json, *pod, *container;
        enum mln_code code;
    } rows[] = {
        {list, POD, "0000", MLN_E_NOT_FOUND},
        {list, "22222222-2222-2222-2222-222222222222", ID, MLN_E_NOT_FOUND},
        {list, "11111111-1111-1111-1111-111111111111", ID, MLN_E_NOT_FOUND}, /* another pod's container */
        {"{\"items\":5}", POD, ID, MLN_E_NOT_FOUND},
        {"{\"items\":[{\"metadata\":{\"uid\":\"" POD "\",\"labels\":[\"x\"],\"ownerReferences\":{\"a\":1}},"
         "\"status\":{\"containerStatuses\":[{\"containerID\":\"containerd://" ID "\"}]}}]}",
         POD, ID, MLN_E_OK},
        {"[]", POD, ID, MLN_E_NOT_FOUND},
        {"{", POD, ID, MLN_E_PARSE},
        {"", POD, ID, MLN_E_PARSE},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        mln_cx_clear(&cx);
        struct mln_err err = mln_attest_pods_parse(&cx, mln_bytes_of(rows[i].json), rows[i].pod, rows[i].container, mln_set(&cx));
        if (!mln_is(err, rows[i].code)) {
            fail_msg("row %zu: %s", i, mln_err_name(err.code));
        }
    }
    mln_arena_free(arena);
}

/* ---- the attestors ---- */

static struct mln_err answer(void *arg, struct mln_cx *cx, const char *pod, const char *container, const struct mln_value **ret)
{
    struct mln_value *found = mln_array(cx);
    assert_string_equal(container, ID);
    mln_push(cx, found, mln_textf(cx, "k8s:pod-uid:%s", pod));
    *ret = found;
    return arg == NULL ? MLN_OK : mln_fail(cx, MLN_E_NOT_FOUND, "not yet");
}

static void test_what_attestors_say(void **state)
{
    (void)state;
    struct mln_arena *arena = mln_arena_new(1u << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_attest_config config = {.pod = answer};
    struct mln_attest_target target = {.uid = 5, .config = &config};
    static const struct {
        const struct mln_attestor *attestor;
        const char *cgroup, *want;
    } rows[] = {
        {&mln_attestor_container, "0::/docker/" ID "\n", "container:id:" ID "\ncontainer:runtime:docker\n"},
        {&mln_attestor_container, "0::/kubepods/pod" POD "/" ID "\n", "container:id:" ID "\n"},
        {&mln_attestor_systemd, "0::/system.slice/a.service\n", "systemd:id:a.service\n"},
        {&mln_attestor_slurm, "0::/system.slice/slurmstepd.scope/job_42/step_0\n", "slurm:job-id:42\nslurm:step-id:0\nslurm:uid:5\n"},
        {&mln_attestor_slurm, "1:memory:/slurm/uid_9/job_42/step_0\n", "slurm:job-id:42\nslurm:step-id:0\nslurm:uid:9\n"},
        {&mln_attestor_kubernetes, "0::/kubepods/pod" POD "/" ID "\n", "k8s:pod-uid:" POD "\n"},
        {&mln_attestor_kubernetes, "0::/docker/" ID "\n", ""},
        {&mln_attestor_container, "0::/\n", ""},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_value *all = mln_set(&cx);
        target.cgroup = mln_bytes_of(rows[i].cgroup);
        (void)mln_failed(rows[i].attestor->look(&cx, &target, all));
        mln_cx_clear(&cx);
        assert_string_equal(join(&cx, all), rows[i].want);
    }
    config.arg = &config; /* a pod that the kubelet does not know yet puts the whole off */
    target.cgroup = MLN_BYTES("0::/kubepods/pod" POD "/" ID "\n");
    assert_true(mln_is(mln_attestor_kubernetes.look(&cx, &target, mln_set(&cx)), MLN_E_UNREACHABLE));
    mln_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers), cmocka_unit_test(test_units), cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_pods),       cmocka_unit_test(test_what_attestors_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
