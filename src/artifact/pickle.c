/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pickle files: one pickle or several behind each other, joblib's with arrays between the opcodes, torch's old format (a magic
 * number, a protocol, facts about the system, the object and the keys of its storages, five pickles in all; then the storages).
 */
#include "artifact/pickle_priv.h"

#define PROBE_ARENA_BYTES ((size_t)32 << 20)
#define PROBE_OPS_MAX     (1u << 20)
#define PICKLES_MAX       (1u << 20) /* of one file */
#define TORCH_PICKLES     5u
#define TORCH_OBJECT      3u /* which of them is the object, from 0 */

/* 0x1950a86a20f9469cfc6c, as LONG1 writes it */
static const uint8_t torch_magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

static bool is_torch_magic(const struct pk_value *v)
{
    return v->type == PK_BIG_INT && v->text != NULL &&
           mln_bytes_eq(mln_bytes_at(v->text, v->len),
                        mln_bytes_at(torch_magic, sizeof(torch_magic)));
}

static bool is_zero(struct mln_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.ptr[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool has_extension(const char *path)
{
    static const char *const endings[] = {".pkl", ".pickle", ".joblib", ".dill", ".pck", ".pcl"};
    struct mln_bytes name = mln_bytes_of(path);
    for (size_t i = 0; i < MLN_COUNT(endings); i++) {
        size_t len = mln_bytes_of(endings[i]).len;
        if (name.len >= len &&
            mln_bytes_is_nocase(mln_bytes_from(name, name.len - len), endings[i])) {
            return true;
        }
    }
    return false;
}

static struct pk machine(struct mln_cx *cx, const struct mln_scan_input *input,
                         struct mln_scan_report *report, size_t at)
{
    return (struct pk){.cx = cx, .input = input, .report = report, .map = input->map, .at = at};
}

struct mln_err mln_scan_pickle_at(struct mln_cx *cx, const struct mln_scan_input *input, size_t at,
                                  bool allow_persid, struct mln_scan_report *report,
                                  size_t *ret_end)
{
    MLN_CHECK(at <= input->map.len && ret_end != NULL);
    struct pk pk = machine(cx, input, report, at);
    pk.allow_persid = allow_persid;
    struct mln_err err = pk_run(&pk);
    report->bytes_read += pk.at - at;
    *ret_end = pk.has_stopped ? pk.at : input->map.len;
    pk_drop(&pk);
    return err;
}

/* ---- is it one ---- */

/*
 * Pickles of protocols 0 and 1 have no magic: run one and see. Whatever calls something before it breaks is a pickle to a loader;
 * what calls nothing is one when it ends where the bytes end, or when it stands behind another.
 */
static int try_run(const struct mln_scan_input *input, size_t at, bool is_tail)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(PROBE_ARENA_BYTES, false);
    if (arena == NULL) {
        return 2; /* the scan itself will tell */
    }
    mln_cx_init(&cx, arena);
    struct mln_scan_report scratch = {
        .cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
    struct pk pk = machine(&cx, input, &scratch, at);
    pk.is_dry = true;
    pk.max_ops = PROBE_OPS_MAX;
    struct mln_err err = pk_run(&pk);
    bool is_whole =
        pk.has_stopped && pk.at - at > 1 && (is_tail || is_zero(mln_bytes_from(input->map, pk.at)));
    bool is_one = pk.has_called || is_whole || pk.n_ops >= PROBE_OPS_MAX || mln_failed(err);
    pk_drop(&pk);
    return is_one ? 3 : 0;
}

static int probe_at(const struct mln_scan_input *input, size_t at, bool is_tail)
{
    struct mln_bytes rest = mln_bytes_from(input->map, at);
    if (rest.len >= 2 && rest.ptr[0] == 0x80 && rest.ptr[1] >= 1 && rest.ptr[1] <= 5) {
        return 2;
    }
    return rest.len >= 2 ? try_run(input, at, is_tail) : 0;
}

static int pickle_probe(const struct mln_scan_input *input)
{
    int how = probe_at(input, 0, false);
    return how == 0 && has_extension(input->path) ? 1 : how;
}

/* ---- files ---- */

/* What follows the pickles of an old torch file: sizes and bytes of its storages, which no loader interprets. */
static void skip_storages(const struct mln_scan_input *input, size_t at,
                          struct mln_scan_report *report)
{
    if (at < input->map.len) {
        mln_scan_skip(report, "tensor data", input->base + at, input->map.len - at);
    }
}

/* Bytes behind the last pickle: padding, or something that a loader does not read and a person should know of. */
static void judge_tail(const struct mln_scan_input *input, size_t at,
                       struct mln_scan_report *report)
{
    struct mln_bytes tail = mln_bytes_from(input->map, at);
    if (tail.len > 0 && !is_zero(tail)) {
        mln_scan_find(report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM, "pickle-tail",
                      input->base + at, "%zu bytes behind the pickle that are none", tail.len);
    }
}

static struct mln_err run_one(struct mln_cx *cx, const struct mln_scan_input *input,
                              bool allow_persid, struct mln_scan_report *report, size_t *at,
                              struct pk_value *ret_result, bool *ret_ended)
{
    struct pk pk = machine(cx, input, report, *at);
    pk.allow_persid = allow_persid;
    struct mln_err err = pk_run(&pk);
    report->bytes_read += pk.at - *at;
    *at = pk.at;
    *ret_result = pk.result;
    *ret_ended = pk.has_stopped;
    pk_drop(&pk);
    return err;
}

static struct mln_err pickle_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                                  struct mln_scan_report *report)
{
    bool is_torch = false;
    size_t at = 0;
    report->format =
        mln_bytes_ends(mln_bytes_of(input->path), MLN_BYTES(".joblib")) ? "joblib" : "pickle";
    for (unsigned n = 0; n < PICKLES_MAX; n++) {
        struct pk_value result = {0};
        bool has_ended = false;
        MLN_TRY(
            run_one(cx, input, is_torch && n == TORCH_OBJECT, report, &at, &result, &has_ended));
        if (!has_ended) {
            return MLN_OK; /* the finding says where and why */
        }
        if (n == 0 && is_torch_magic(&result)) {
            is_torch = true;
            report->format = "torch-legacy";
        }
        if (is_torch && n + 1 == TORCH_PICKLES) {
            skip_storages(input, at, report);
            return MLN_OK;
        }
        if (at == input->map.len || (!is_torch && probe_at(input, at, true) == 0)) {
            break;
        }
    }
    if (is_torch) {
        mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_MEDIUM, "torch-legacy",
                      input->base + at, "an old torch file without all of its five pickles");
    }
    judge_tail(input, at, report);
    return MLN_OK;
}

const struct mln_scanner mln_scanner_pickle = {
    .format = "pickle",
    .summary = "pickle protocols 0 to 5, joblib and torch's old format: run on a machine that "
               "calls nothing",
    .extensions = " .pkl .pickle .joblib .dill .pck .pcl ",
    .probe = pickle_probe,
    .scan = pickle_scan,
};
