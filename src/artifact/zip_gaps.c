/* SPDX-License-Identifier: Apache-2.0 */
/* What the directories of a zip leave out, and what they name twice. Contract: zip_priv.h. */
#include "artifact/zip_priv.h"

#include <stdlib.h>

/* ---- what no directory names ---- */

static bool all_zero(struct mln_bytes part)
{
    return part.len == 0 || (part.ptr[0] == 0 && mln_same(part.ptr, part.ptr + 1, part.len - 1));
}

static void check_leftover(struct mln_scan_report *report, const struct mln_zip *zip, uint64_t from,
                           uint64_t to)
{
    struct mln_bytes part = mln_bytes_sub(zip->map, (size_t)from, (size_t)(to - from));
    report->bytes_read += part.len;
    if (all_zero(part)) {
        return;
    }
    const char *where = from == 0 ? "before" : to == zip->map.len ? "behind" : "between";
    mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "zip-gap", zip->base + from,
                  "%zu bytes %s the members that belong to none", part.len, where);
}

/* The end of a streamed member's data that no directory names: the next signature, whichever it is. */
static uint64_t streamed_end(struct mln_bytes map, uint64_t from, uint64_t to)
{
    struct mln_bytes part = mln_bytes_sub(map, (size_t)from, (size_t)(to - from));
    for (size_t at = 0; at < part.len; at++) {
        at += mln_bytes_find(mln_bytes_from(part, at), 'P');
        uint32_t sig = part.len - at >= 4 ? mln_get_u32le(part.ptr + at) : 0;
        if (sig == SIG_LOCAL || sig == SIG_CENTRAL || sig == SIG_DESCR || sig == SIG_END) {
            return from + at;
        }
    }
    return to;
}

/* Local headers in a stretch that the directories leave out become members; the rest must be zero. */
static struct mln_err walk_gap(struct mln_cx *cx, struct mln_scan_report *report,
                               struct mln_zip *zip, uint64_t from, uint64_t to)
{
    uint64_t plain = from; /* where the leftover before the next member begins */
    uint64_t at = from;
    while (at < to && zip->n < MLN_ZIP_MEMBERS_MAX) {
        struct mln_bytes part = mln_bytes_sub(zip->map, (size_t)at, (size_t)(to - at));
        at += mln_bytes_find_bytes(part, MLN_BYTES("PK\x03\x04"));
        struct mln_zip_member m;
        if (at >= to || !mln_zip_local(zip->map, at, &m) || m.data_at > to) {
            at += 4;
            continue;
        }
        check_leftover(report, zip, plain, at);
        if (!m.has_size) {
            m.packed = streamed_end(zip->map, m.data_at, to) - m.data_at;
        } else if (m.packed > to - m.data_at) {
            mln_zip_bad(report, zip, at, "zip-truncated",
                        "a member reaches into others or behind the end");
            m.packed = to - m.data_at;
        }
        m.end_at = m.data_at + m.packed;
        if (mln_zip_sig_at(zip->map, m.end_at, SIG_DESCR) && (m.flags & FLAG_STREAMED) != 0) {
            m.end_at = to - m.end_at > 16 ? m.end_at + 16 : to;
        }
        mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "zip-hidden-member",
                      zip->base + at, "the member %.*s stands in no directory", MLN_FMT(m.name));
        mln_zip_check_name(report, zip, &m);
        if (mln_zip_add(cx, zip, &m) == NULL) {
            return mln_cx_err(cx);
        }
        plain = at = m.end_at;
    }
    if (plain < to) {
        check_leftover(report, zip, plain, to);
    }
    return MLN_OK;
}

/* ---- accounting for every byte ---- */

struct extent {
    uint64_t from;
    uint64_t to;
};

static int by_from(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return x->to < y->to ? -1 : x->to > y->to;
}

struct mln_err mln_zip_account(struct mln_cx *cx, struct mln_scan_report *report,
                               struct mln_zip *zip, const struct mln_zip_end *ends, size_t n_ends)
{
    size_t n = 0;
    struct extent *all = mln_new_array(cx, zip->n + 2 * n_ends + 1, sizeof(*all));
    if (all == NULL) {
        return mln_cx_err(cx);
    }
    for (size_t i = 0; i < zip->n; i++) {
        if (zip->members[i].in_local) {
            all[n++] = (struct extent){zip->members[i].header_at, zip->members[i].end_at};
        }
    }
    for (size_t i = 0; i < n_ends; i++) {
        all[n++] = (struct extent){ends[i].dir_at, ends[i].dir_at + ends[i].dir_len};
        all[n++] = (struct extent){ends[i].extra_at, ends[i].to};
    }
    qsort(all, n, sizeof(*all), by_from);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (all[i].from > at) {
            MLN_TRY(walk_gap(cx, report, zip, at, all[i].from));
        } else if (all[i].from < at && all[i].to > all[i].from) {
            mln_zip_bad(report, zip, all[i].from, "zip-overlap",
                        "members or directories lie over one another");
        }
        at = all[i].to > at ? all[i].to : at;
    }
    return at < zip->map.len ? walk_gap(cx, report, zip, at, zip->map.len) : MLN_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct mln_zip_member *const *x = a, *const *y = b;
    return mln_bytes_cmp((*x)->name, (*y)->name);
}

struct mln_err mln_zip_doubles(struct mln_cx *cx, struct mln_scan_report *report,
                               const struct mln_zip *zip)
{
    const struct mln_zip_member **all =
        mln_new_array(cx, zip->n + 1, sizeof(const struct mln_zip_member *));
    if (all == NULL) {
        return mln_cx_err(cx);
    }
    for (size_t i = 0; i < zip->n; i++) {
        all[i] = &zip->members[i];
    }
    qsort(all, zip->n, sizeof(const struct mln_zip_member *), by_name);
    for (size_t i = 1; i < zip->n; i++) {
        if (mln_bytes_eq(all[i - 1]->name, all[i]->name)) {
            mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "zip-duplicate",
                          zip->base + all[i]->header_at,
                          "two members are called %.*s: loaders disagree on which one counts",
                          MLN_FMT(all[i]->name));
        }
    }
    return MLN_OK;
}
