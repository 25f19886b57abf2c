/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: what attestors read of a process, of the kubelet, of dockerd. Whatever the text, selectors are clean and views lie inside it.
 */
#include "fuzz.h"

#include "identity/attest_priv.h"

static bool is_inside(struct mln_bytes part, const uint8_t *data, size_t size)
{
    return part.len == 0 || (part.ptr >= data && part.ptr + part.len <= data + size);
}

static void read_cgroup(struct mln_cx *cx, const uint8_t *data, size_t size)
{
    struct mln_bytes text = mln_bytes_at(data, size), unit = MLN_BYTES_NONE;
    struct attest_container container = {0};
    struct attest_slurm job = {0};
    if (!mln_failed(attest_container_parse(cx, text, &container))) {
        MLN_CHECK(container.id.len == 64 && is_inside(container.id, data, size) && is_inside(container.pod, data, size));
    }
    if (!mln_failed(attest_unit_parse(cx, text, &unit))) {
        MLN_CHECK(unit.len > 0 && is_inside(unit, data, size));
    }
    if (!mln_failed(attest_slurm_parse(cx, text, &job))) {
        MLN_CHECK(job.job.len > 0 && is_inside(job.job, data, size) && is_inside(job.step, data, size));
    }
}

static void read_process(struct mln_cx *cx, const uint8_t *data, size_t size)
{
    struct mln_bytes text = mln_bytes_at(data, size);
    struct attest_ids ids = {0};
    int64_t ns = 0;
    if (!mln_failed(attest_ids_parse(cx, text, &ids))) {
        MLN_CHECK(ids.n_groups <= ATTEST_GROUPS_MAX);
    }
    if (!mln_failed(attest_start_parse(cx, text, 100, &ns))) {
        MLN_CHECK(ns >= 0);
    }
    MLN_CHECK(is_inside(attest_name_of(text, 1000), data, size));
}

static void read_pods(struct mln_cx *cx, const uint8_t *data, size_t size)
{
    struct mln_value *selectors = mln_set(cx);
    (void)mln_failed(mln_attest_pods_parse(cx, mln_bytes_at(data, size), "c2f1b2ce-0d4a-4c53-9d27-1f2b6a0e3b77",
                                       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", selectors));
    for (size_t i = 0; i < mln_len(selectors); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(selectors, i));
        MLN_CHECK(mln_bytes_starts(one, MLN_BYTES("k8s:")) && mln_bytes_find(one, '\n') == one.len && one.len < 1024);
    }
}

static void read_docker(struct mln_cx *cx, const uint8_t *data, size_t size)
{
    struct mln_value *selectors = mln_set(cx);
    (void)mln_failed(mln_attest_docker_parse(cx, mln_bytes_at(data, size),
                                             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", selectors));
    MLN_CHECK(mln_len(selectors) <= 102);
    for (size_t i = 0; i < mln_len(selectors); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(selectors, i));
        MLN_CHECK(mln_bytes_starts(one, MLN_BYTES("docker:")) && mln_bytes_find(one, '\n') == one.len && one.len < 1024);
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(32u << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    read_cgroup(&cx, data, size);
    mln_cx_clear(&cx);
    read_process(&cx, data, size);
    mln_cx_clear(&cx);
    read_pods(&cx, data, size);
    mln_cx_clear(&cx);
    read_docker(&cx, data, size);
    mln_arena_free(arena);
    return 0;
}
