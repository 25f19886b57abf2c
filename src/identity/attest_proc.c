/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what the kernel says of a process. Names in it are the process's own choice: every text is judged as a stranger's. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"
#include "identity/attest_priv.h"

#define VALUE_MAX 900u /* of a selector, its type not counted: below core's limit of 1,024 */

struct mln_err mln_attest_read(struct mln_cx *cx, const struct mln_attest_target *target, const char *name, size_t max,
                               struct mln_bytes *ret)
{
    MLN_AUTO(mln_fd_drop) int fd = openat(target->proc_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return mln_fail(cx, errno == EACCES || errno == EPERM ? MLN_E_DENIED : MLN_E_NOT_FOUND,
                        "%s of a process cannot be read (errno %d)", name, errno);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_TRY(mln_fd_read_all(cx, fd, max, &text));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&text));
    return mln_cx_err(cx);
}

void mln_attest_push(struct mln_cx *cx, struct mln_value *selectors, const char *type, struct mln_bytes value)
{
    bool ok = value.len > 0 && value.len <= VALUE_MAX && mln_utf8_valid(value);
    for (size_t i = 0; ok && i < value.len; i++) {
        ok = value.ptr[i] >= 0x20 && value.ptr[i] != 0x7f;
    }
    if (ok) {
        mln_push(cx, selectors, mln_textf(cx, "%s:%.*s", type, MLN_FMT(value)));
    }
}

void mln_attest_push_pair(struct mln_cx *cx, struct mln_value *selectors, const char *type, struct mln_bytes key, struct mln_bytes value)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf both = {0};
    mln_buf_add_bytes(&both, key); /* no format: it would end at a NUL, and "a\0b" would pass for "a" */
    mln_buf_add_byte(&both, ':');
    mln_buf_add_bytes(&both, value);
    if (!both.has_failed) {
        mln_attest_push(cx, selectors, type, mln_buf_bytes(&both));
    }
}

/* ---- /proc/PID/status ---- */

/* Numbers between blanks; false when something else stands there. What is beyond `max` is passed over. */
static bool numbers(struct mln_bytes text, uint32_t *to, size_t max, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        if (text.ptr[i] == ' ' || text.ptr[i] == '\t') {
            i++;
            continue;
        }
        size_t end = i;
        while (end < text.len && text.ptr[end] >= '0' && text.ptr[end] <= '9') {
            end++;
        }
        uint64_t value = 0;
        if (!mln_u64_parse(mln_bytes_sub(text, i, end - i), &value) || value > UINT32_MAX) {
            return false;
        }
        if (n < max) {
            to[n++] = (uint32_t)value;
        }
        i = end;
    }
    *ret_n = n;
    return true;
}

struct mln_err attest_ids_parse(struct mln_cx *cx, struct mln_bytes status, struct attest_ids *ret)
{
    struct attest_ids ids = {0};
    size_t n_uid = 0, n_gid = 0;
    bool ok = true;
    for (struct mln_bytes left = status; ok && left.len > 0;) {
        struct mln_bytes line = mln_bytes_cut(left, '\n', &left);
        if (mln_bytes_starts(line, MLN_BYTES("Uid:"))) {
            ok = n_uid == 0 && numbers(mln_bytes_from(line, 4), ids.uid, 4, &n_uid);
        } else if (mln_bytes_starts(line, MLN_BYTES("Gid:"))) {
            ok = n_gid == 0 && numbers(mln_bytes_from(line, 4), ids.gid, 4, &n_gid);
        } else if (mln_bytes_starts(line, MLN_BYTES("Groups:"))) {
            ok = numbers(mln_bytes_from(line, 7), ids.groups, ATTEST_GROUPS_MAX, &ids.n_groups);
        }
    }
    if (!ok || n_uid != 4 || n_gid != 4) {
        return mln_fail(cx, MLN_E_PARSE, "the status of a process is not as the kernel writes it");
    }
    *ret = ids;
    return MLN_OK;
}

/* ---- /proc/PID/stat: the name in brackets may hold anything, brackets too, so the last one counts ---- */

struct mln_err attest_start_parse(struct mln_cx *cx, struct mln_bytes stat, long ticks_per_s, int64_t *ret_ns)
{
    size_t at = stat.len;
    while (at > 0 && stat.ptr[at - 1] != ')') {
        at--;
    }
    struct mln_bytes left = mln_bytes_trim(mln_bytes_from(stat, at)), field = MLN_BYTES_NONE;
    uint64_t ticks = 0;
    for (unsigned i = 3; i <= 22; i++) { /* the state is field 3, the start field 22 */
        field = mln_bytes_cut(left, ' ', &left);
    }
    if (at == 0 || ticks_per_s <= 0 || !mln_u64_parse(field, &ticks) || ticks > (uint64_t)INT64_MAX / 1000000000u) {
        return mln_fail(cx, MLN_E_PARSE, "the start of a process is not as the kernel writes it");
    }
    uint64_t s = ticks / (uint64_t)ticks_per_s, rest = ticks % (uint64_t)ticks_per_s;
    *ret_ns = (int64_t)(s * 1000000000u + rest * 1000000000u / (uint64_t)ticks_per_s);
    return MLN_OK;
}

/* ---- /etc/passwd, /etc/group ---- */

struct mln_bytes attest_name_of(struct mln_bytes file, uint32_t number)
{
    for (struct mln_bytes left = file; left.len > 0;) {
        struct mln_bytes line = mln_bytes_cut(left, '\n', &left), rest = MLN_BYTES_NONE;
        struct mln_bytes name = mln_bytes_cut(line, ':', &rest);
        (void)mln_bytes_cut(rest, ':', &rest);
        uint64_t value = 0;
        if (name.len > 0 && mln_u64_parse(mln_bytes_cut(rest, ':', &rest), &value) && value == number) {
            return name;
        }
    }
    return MLN_BYTES_NONE;
}
