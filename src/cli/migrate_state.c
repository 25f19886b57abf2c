/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file of merlon migrate: lines of JSON that are only appended, mode 0600, names and no
 * contents:
 *
 *   {"format":"merlon-migrate-1","from":URL,"to":URL}
 *   {"path":"secret/a","state":"open"}
 *   {"path":"secret/a","state":"done","kept":"ttl,max_ttl"}
 *
 * A line that a crash cut off is the last and is cut away; what it named is looked at again.
 */
#include "cli/migrate_priv.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "merlon-migrate-1"

static uint64_t hash_of(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: spreads names, guards nothing */
    for (; *text != '\0'; text++) {
        h = (h ^ (uint8_t)*text) * 0x100000001b3u;
    }
    return h;
}

/* The place of path, or the free one where it belongs. */
static struct mig_entry *find(struct mig_entry *table, size_t cap, const char *path)
{
    size_t i = (size_t)hash_of(path) & (cap - 1);
    while (table[i].path != NULL && !mln_bytes_is(mln_bytes_of(path), table[i].path)) {
        i = (i + 1) & (cap - 1);
    }
    return &table[i];
}

static struct mln_err grow(struct mln_cx *cx, struct mig_state *state)
{
    size_t cap = state->cap == 0 ? 1024 : state->cap * 2;
    struct mig_entry *table = mln_alloc_array(cap, sizeof(*table));
    if (table == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < state->cap; i++) {
        if (state->table[i].path != NULL) {
            *find(table, cap, state->table[i].path) = state->table[i];
        }
    }
    mln_free(state->table);
    state->table = table;
    state->cap = cap;
    return MLN_OK;
}

static struct mln_err remember(struct mln_cx *cx, struct mig_state *state, const char *path,
                               enum mig_mark mark, const char *kept)
{
    if (state->n * 2 >= state->cap) {
        MLN_TRY(grow(cx, state));
    }
    struct mig_entry *e = find(state->table, state->cap, path);
    if (e->path == NULL) {
        e->path = mln_text_dup(cx, mln_bytes_of(path));
        state->n++;
    }
    e->mark = mark;
    e->kept = kept[0] == '\0' ? "" : mln_text_dup(cx, mln_bytes_of(kept));
    return mln_cx_err(cx);
}

static struct mln_err take_line(struct mln_cx *cx, struct mig_state *state, struct mln_bytes line)
{
    const struct mln_value *v = NULL;
    MLN_TRY(mln_json_parse(cx, line, &v));
    const char *path = mln_get_text(cx, mln_get(v, "path"), NULL);
    bool is_done = mln_is_text(mln_get(v, "state"), "done");
    if (path == NULL || (!is_done && !mln_is_text(mln_get(v, "state"), "open"))) {
        return mln_fail(cx, MLN_E_PARSE, "the state file has a line that names no object");
    }
    return remember(cx, state, path, is_done ? MIG_DONE : MIG_OPEN,
                    mln_get_text(cx, mln_get(v, "kept"), ""));
}

static struct mln_err check_head(struct mln_cx *cx, struct mln_bytes line, const char *from,
                                 const char *to)
{
    const struct mln_value *v = NULL;
    if (mln_failed(mln_json_parse(cx, line, &v)) || !mln_is_text(mln_get(v, "format"), FORMAT)) {
        return mln_refail(cx, MLN_E_INVALID, "the state file is not one of merlon migrate");
    }
    if (!mln_is_text(mln_get(v, "from"), from) || !mln_is_text(mln_get(v, "to"), to)) {
        return mln_fail(cx, MLN_E_INVALID, "the state file is of a migration between other servers");
    }
    return MLN_OK;
}

/* Whole lines only; *ret_used = where the first cut line begins. */
static struct mln_err take_all(struct mln_cx *cx, struct mig_state *state, struct mln_bytes text,
                               const char *const ends[2], size_t *ret_used)
{
    size_t used = 0;
    while (mln_bytes_find(mln_bytes_from(text, used), '\n') < text.len - used) {
        struct mln_bytes rest = mln_bytes_from(text, used);
        struct mln_bytes line = mln_bytes_sub(rest, 0, mln_bytes_find(rest, '\n'));
        MLN_TRY(used == 0 ? check_head(cx, line, ends[0], ends[1]) : take_line(cx, state, line));
        used += line.len + 1;
    }
    *ret_used = used;
    return MLN_OK;
}

static struct mln_err add_line(struct mln_cx *cx, int fd, const struct mln_value *v)
{
    MLN_TRY(mln_cx_err(cx));
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_json_print(&buf, v, MLN_JSON_COMPACT);
    mln_buf_add_byte(&buf, '\n');
    MLN_TRY(mln_buf_ok(cx, &buf));
    return mln_fd_write(cx, fd, buf.ptr, buf.len);
}

static struct mln_err begin_file(struct mln_cx *cx, int fd, const char *const ends[2])
{
    struct mln_value *head = mln_object(cx);
    mln_put_text(cx, head, "format", FORMAT);
    mln_put_text(cx, head, "from", ends[0]);
    mln_put_text(cx, head, "to", ends[1]);
    return add_line(cx, fd, head);
}

/* Ours alone: a regular file of this user, 0600, locked. */
static struct mln_err own_file(struct mln_cx *cx, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        fchmod(fd, 0600) != 0) {
        return mln_fail(cx, MLN_E_INVALID, "%s: no regular file of this user", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return mln_fail(cx, MLN_E_CONFLICT, "%s: another migration uses it now", path);
    }
    return MLN_OK;
}

struct mln_err mig_state_open(struct mln_cx *cx, struct mig_state *state, const char *path,
                              const char *from, const char *to)
{
    const char *const ends[2] = {from, to};
    *state = (struct mig_state){.fd = -1};
    MLN_TRY(grow(cx, state));
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0600, &fd));
    MLN_TRY(own_file(cx, fd, path));
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    MLN_TRY(mln_fd_read_all(cx, fd, MIG_STATE_MAX, &buf));
    struct mln_bytes text = mln_bytes_dup(cx, mln_buf_bytes(&buf)); /* entries borrow from it */
    size_t used = 0;
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(take_all(cx, state, text, ends, &used));
    if (used == 0 && text.len > 0 && !mln_bytes_starts(text, MLN_BYTES("{\"format\":\"merlon-migrate-"))) {
        return mln_fail(cx, MLN_E_INVALID, "%s: not a state file of merlon migrate", path);
    }
    if (used < text.len && ftruncate(fd, (off_t)used) != 0) {
        return mln_fail(cx, MLN_E_IO, "%s: cannot be cut", path);
    }
    MLN_TRY(used == 0 ? begin_file(cx, fd, ends) : MLN_OK);
    state->fd = fd;
    fd = -1;
    return MLN_OK;
}

void mig_state_close(struct mig_state *state)
{
    if (state->cap > 0) {
        mln_fd_drop(&state->fd);
    }
    mln_free(state->table);
    *state = (struct mig_state){.fd = -1};
}

const struct mig_entry *mig_state_get(const struct mig_state *state, const char *path)
{
    const struct mig_entry *e = state->cap == 0 ? NULL : find(state->table, state->cap, path);
    return e != NULL && e->path != NULL ? e : NULL;
}

struct mln_err mig_state_mark(struct mln_cx *cx, struct mig_state *state, const char *path,
                              enum mig_mark mark, const char *kept)
{
    MLN_TRY(remember(cx, state, path, mark, kept));
    if (state->fd < 0) {
        return MLN_OK;
    }
    struct mln_value *line = mln_object(cx);
    mln_put_text(cx, line, "path", path);
    mln_put_text(cx, line, "state", mark == MIG_DONE ? "done" : "open");
    if (kept[0] != '\0') {
        mln_put_text(cx, line, "kept", kept);
    }
    return add_line(cx, state->fd, line);
}
