/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds to read and print a document of 381 bytes, as JSON and as CBOR: medians of five. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/json.h"

#define ROUNDS 200000
#define REPEATS 5

static const char document[] =
    "{\"request_id\":\"0f4a3c1e-6f0e-4d0b-9a1c-5f2f6f1f9b77\",\"lease_id\":\"\",\"renewable\":false,"
    "\"lease_duration\":2764800,\"data\":{\"data\":{\"username\":\"svc-trainer\",\"password\":\"correct horse "
    "battery\"},\"metadata\":{\"created_time\":\"2026-03-01T09:30:00.123456789Z\",\"custom_metadata\":null,"
    "\"deletion_time\":\"\",\"destroyed\":false,\"version\":7}},\"wrap_info\":null,\"warnings\":null,"
    "\"auth\":null,\"mount\":\"kv\"}";

struct work {
    struct mln_cx cx;
    struct mln_bytes json;
    struct mln_bytes cbor;
    const struct mln_value *value;
    struct mln_buf out;
};

static void json_parse(struct work *w)
{
    const struct mln_value *v;
    MLN_CHECK(!mln_failed(mln_json_parse(&w->cx, w->json, &v)));
    mln_arena_reset(w->cx.arena);
}

static void cbor_parse(struct work *w)
{
    const struct mln_value *v;
    MLN_CHECK(!mln_failed(mln_cbor_parse(&w->cx, w->cbor, &v)));
    mln_arena_reset(w->cx.arena);
}

static void json_print(struct work *w)
{
    w->out.len = 0;
    mln_json_print(&w->out, w->value, MLN_JSON_COMPACT);
}

static void cbor_print(struct work *w)
{
    w->out.len = 0;
    mln_cbor_print(&w->out, w->value);
}

static void get_members(struct work *w)
{
    const struct mln_value *inner = mln_get(mln_get(w->value, "data"), "metadata");
    MLN_CHECK(mln_get_int(mln_get(inner, "version"), 0) == 7);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, void (*step)(struct work *), struct work *w)
{
    double ns[REPEATS];
    for (size_t r = 0; r < REPEATS; r++) {
        int64_t start = mln_mono_ns();
        for (size_t i = 0; i < ROUNDS; i++) {
            step(w);
        }
        ns[r] = (double)(mln_mono_ns() - start) / ROUNDS;
    }
    qsort(ns, REPEATS, sizeof(ns[0]), by_size);
    printf("%-22s %8.1f ns\n", name, ns[REPEATS / 2]);
}

int main(void)
{
    struct mln_arena *kept = mln_arena_new((size_t)1 << 20, false);
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    MLN_CHECK(kept != NULL && arena != NULL);
    struct work w = {.json = mln_bytes_at(document, sizeof(document) - 1)};
    mln_cx_init(&w.cx, kept);
    MLN_CHECK(!mln_failed(mln_json_parse(&w.cx, w.json, &w.value)));
    mln_cbor_print(&w.out, w.value);
    w.cbor = mln_bytes_dup(&w.cx, mln_buf_bytes(&w.out));
    w.cx.arena = arena;
    printf("JSON %zu bytes, CBOR %zu bytes\n", w.json.len, w.cbor.len);
    measure("json parse + reset", json_parse, &w);
    measure("json print", json_print, &w);
    measure("cbor parse + reset", cbor_parse, &w);
    measure("cbor print", cbor_print, &w);
    measure("three gets", get_members, &w);
    mln_buf_drop(&w.out);
    mln_arena_free(arena);
    mln_arena_free(kept);
    return 0;
}
