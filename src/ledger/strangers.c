/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refusals of strangers, counted instead of recorded one by one: whoever floods us must not fill the ledger. For each second
 * there is one record per source for the first 64 sources, and one for all the rest.
 */
#include "base/clock.h"
#include "ledger/ledger_priv.h"

#define SOURCES_MAX  64u
#define SOURCE_BYTES 64u /* an IPv6 address with its zone */
#define WHAT_BYTES   80u
#define SECOND_NS    ((int64_t)1000000000)
#define ARENA_BYTES  ((size_t)8 << 20)

struct stranger {
    char source[SOURCE_BYTES];
    char what[WHAT_BYTES]; /* the first refusal's */
    uint64_t count;
};

struct strangers {
    pthread_mutex_t lock;
    int64_t second;
    size_t n;
    struct stranger rows[SOURCES_MAX + 1]; /* the last: all the rest */
};

struct strangers *strangers_new(void)
{
    struct strangers *s = mln_alloc(sizeof(*s));
    if (s != NULL) {
        pthread_mutex_init(&s->lock, NULL);
    }
    return s;
}

void strangers_free(struct strangers *s)
{
    if (s != NULL) {
        pthread_mutex_destroy(&s->lock);
        mln_free(s);
    }
}

bool strangers_any(struct strangers *s)
{
    pthread_mutex_lock(&s->lock);
    bool any = s->n > 0;
    pthread_mutex_unlock(&s->lock);
    return any;
}

/* Printable ASCII only: what a stranger sends goes into a record. */
static void copy_text(char *to, size_t cap, struct mln_bytes from)
{
    size_t n = from.len < cap - 1 ? from.len : cap - 1;
    for (size_t i = 0; i < n; i++) {
        to[i] = from.ptr[i] >= ' ' && from.ptr[i] < 0x7f ? (char)from.ptr[i] : '?';
    }
    to[n] = '\0';
}

static struct stranger *row_of(struct strangers *s, struct mln_bytes source)
{
    char text[SOURCE_BYTES];
    copy_text(text, sizeof(text), source);
    for (size_t i = 0; i < s->n; i++) {
        if (mln_bytes_is(mln_bytes_of(text), s->rows[i].source)) {
            return &s->rows[i];
        }
    }
    if (s->n == SOURCES_MAX) {
        return &s->rows[SOURCES_MAX];
    }
    struct stranger *row = &s->rows[s->n++];
    mln_copy(row->source, text, sizeof(text));
    return row;
}

bool strangers_add(struct strangers *s, struct mln_bytes source, const char *what)
{
    int64_t second = mln_mono_ns() / SECOND_NS;
    pthread_mutex_lock(&s->lock);
    bool is_first = s->n == 0;
    if (is_first) {
        s->second = second;
    }
    struct stranger *row = row_of(s, source);
    if (row->count++ == 0) {
        copy_text(row->what, sizeof(row->what), mln_bytes_of(what));
    }
    pthread_mutex_unlock(&s->lock);
    return is_first;
}

/* The table when its second is over; it starts anew. */
static bool take(struct strangers *s, bool all, struct stranger *ret_rows)
{
    pthread_mutex_lock(&s->lock);
    bool is_due = s->n > 0 && (all || mln_mono_ns() / SECOND_NS > s->second);
    if (is_due) {
        mln_copy(ret_rows, s->rows, sizeof(s->rows));
        mln_fill(s->rows, 0, sizeof(s->rows));
        s->n = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return is_due;
}

static struct mln_err note_one(struct mln_cx *cx, struct mln_ledger *ledger, const struct stranger *row)
{
    struct mln_value *content = mln_object(cx);
    mln_put_text(cx, content, "actor", "stranger");
    mln_put_text(cx, content, "action", row->what);
    mln_put_text(cx, content, "resource", "");
    mln_put_text(cx, content, "decision", "denied");
    mln_put_text(cx, content, "source", row->source[0] != '\0' ? row->source : "others");
    mln_put_int(cx, content, "count", (int64_t)row->count);
    struct mln_record record = {.klass = MLN_RECORD_STRANGER, .content = content};
    return mln_ledger_note(cx, ledger, &record);
}

/* What could not be recorded counts with the rest of a later second. */
static void put_back(struct strangers *s, uint64_t count)
{
    pthread_mutex_lock(&s->lock);
    struct stranger *rest = &s->rows[SOURCES_MAX];
    if (rest->count == 0) {
        copy_text(rest->what, sizeof(rest->what), MLN_BYTES("refused"));
    }
    rest->count += count;
    if (s->n == 0) { /* the table must not look empty */
        s->second = mln_mono_ns() / SECOND_NS;
        s->n = 1;
    }
    pthread_mutex_unlock(&s->lock);
}

void strangers_note(struct mln_ledger *ledger, bool all)
{
    struct strangers *s = ledger->strangers;
    MLN_AUTO(mln_free_drop) struct stranger *rows = mln_alloc(sizeof(s->rows));
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(ARENA_BYTES, false);
    struct mln_cx cx;
    uint64_t left = 0;
    if (rows == NULL || arena == NULL || !take(s, all, rows)) {
        return; /* counted on, and tried again at the next tick */
    }
    mln_cx_init(&cx, arena);
    for (size_t i = 0; i <= SOURCES_MAX; i++) {
        if (rows[i].count > 0 && mln_failed(note_one(&cx, ledger, &rows[i]))) {
            left += rows[i].count;
            mln_cx_clear(&cx);
        }
    }
    if (left > 0 && !all) {
        put_back(s, left);
    }
}
