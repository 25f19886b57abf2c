/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about digests for policies; lookup.h says which. */
#include "assure/lookup.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#define HEX       64u
#define STEPS     6u
#define WAYS      4u /* places that a digest may have */
#define ANSWER_MAX ((size_t)64 << 10) /* of one fact in memory; longer ones are asked each time */

static const char *const steps[STEPS] = {"scan", "fairness", "card", "verify", "encrypt", "signature"};

/* All that is known of one digest: texts of JSON, one behind the other. */
enum { VERDICT, APPROVAL, FIRST_STEP, PARTS = FIRST_STEP + STEPS };
struct fact {
    char digest[HEX];
    bool is_used, is_known;
    int64_t time_ns; /* monotonic: when it was asked */
    uint8_t *text;
    uint32_t at[PARTS + 1]; /* part i is text[at[i]..at[i+1]); empty: not known */
};
struct mln_facts {
    pthread_mutex_t lock;
    struct fact items[MLN_FACTS_MAX];
};

struct mln_facts *mln_facts_new(void)
{
    struct mln_facts *facts = mln_alloc(sizeof(*facts));
    if (facts != NULL) {
        (void)pthread_mutex_init(&facts->lock, NULL);
    }
    return facts;
}

void mln_facts_free(struct mln_facts *facts)
{
    if (facts != NULL) {
        for (size_t i = 0; i < MLN_FACTS_MAX; i++) {
            mln_free(facts->items[i].text);
        }
        (void)pthread_mutex_destroy(&facts->lock);
        mln_free(facts);
    }
}

/* ---- from a record to facts ---- */

static const struct mln_value *verdict_of(struct mln_cx *cx, const struct mln_value *record)
{
    static const char *const same[] = {"state", "id", "model", "root"};
    struct mln_value *v = mln_object(cx), *checks = mln_object(cx);
    const struct mln_value *all = mln_get(mln_get(record, "verdict"), "checks");
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(cx, v, same[i], mln_get(record, same[i]));
    }
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_value *c = mln_item(all, i);
        mln_put_key(cx, checks, mln_get_bytes(mln_get(c, "name")), mln_get(c, "ok"));
    }
    mln_put(cx, v, "checks", checks);
    mln_put_int(cx, v, "approvals", (int64_t)mln_len(mln_get(record, "approvals")));
    if (mln_get(record, "released_time") != NULL) {
        mln_put(cx, v, "released_time", mln_get(record, "released_time"));
    }
    return v;
}

static const struct mln_value *approval_of(struct mln_cx *cx, const struct mln_value *record)
{
    struct mln_value *v = mln_object(cx), *by = mln_array(cx);
    const struct mln_value *all = mln_get(record, "approvals");
    for (size_t i = 0; i < mln_len(all); i++) {
        mln_push(cx, by, mln_get(mln_item(all, i), "name"));
    }
    mln_put_int(cx, v, "count", (int64_t)mln_len(all));
    mln_put(cx, v, "by", by);
    mln_put(cx, v, "state", mln_get(record, "state"));
    return v;
}

static void add_part(struct mln_buf *text, uint32_t *at, const struct mln_value *v)
{
    if (!mln_is_null(v)) {
        mln_json_print(text, v, MLN_JSON_COMPACT);
    }
    *at = (uint32_t)text->len;
}

static void fill(struct mln_cx *cx, const struct mln_value *record, struct mln_buf *text, struct fact *f)
{
    add_part(text, &f->at[VERDICT + 1], verdict_of(cx, record));
    add_part(text, &f->at[APPROVAL + 1], approval_of(cx, record));
    for (size_t i = 0; i < STEPS; i++) {
        const struct mln_value *v = i + 1 == STEPS ? mln_get(record, steps[i]) : mln_get(mln_get(record, "evidence"), steps[i]);
        add_part(text, &f->at[FIRST_STEP + i + 1], v);
    }
    f->is_known = true;
}

/* ---- the cache ---- */

static size_t set_of(const char digest[HEX])
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < HEX; i++) {
        h = (h ^ (uint8_t)digest[i]) * 0x100000001b3u;
    }
    return (size_t)(h % (MLN_FACTS_MAX / WAYS)) * WAYS;
}

/* In place of the same, an empty one, or the oldest. Takes f->text over. */
static void keep(struct mln_facts *facts, struct fact *f)
{
    size_t set = set_of(f->digest);
    (void)pthread_mutex_lock(&facts->lock);
    struct fact *slot = &facts->items[set];
    for (size_t i = 0; i < WAYS; i++) {
        struct fact *at = &facts->items[set + i];
        if (at->is_used && mln_same(at->digest, f->digest, HEX)) {
            slot = at;
            break;
        }
        slot = slot->is_used && (!at->is_used || at->time_ns < slot->time_ns) ? at : slot;
    }
    mln_free(slot->text);
    *slot = *f;
    (void)pthread_mutex_unlock(&facts->lock);
}

/* A copy of the part in the arena: another thread may replace the fact. */
static bool find(const struct mln_facts_ask *ask, const char digest[HEX], size_t part, struct mln_bytes *ret, bool *ret_ok)
{
    struct mln_facts *facts = ask->facts;
    size_t set = set_of(digest);
    int64_t now_ns = mln_mono_ns();
    bool found = false;
    (void)pthread_mutex_lock(&facts->lock);
    for (size_t i = 0; i < WAYS && !found; i++) {
        const struct fact *f = &facts->items[set + i];
        found = f->is_used && mln_same(f->digest, digest, HEX) && now_ns - f->time_ns < ask->cache_ns;
        if (found && f->is_known) {
            *ret = mln_bytes_dup(ask->rq->cx, mln_bytes_at(f->text + f->at[part], f->at[part + 1] - f->at[part]));
        }
    }
    (void)pthread_mutex_unlock(&facts->lock);
    *ret_ok = !mln_failed(mln_cx_err(ask->rq->cx));
    return found;
}

/* ---- asking ---- */

static bool read_digest(struct mln_bytes text, char ret[HEX])
{
    struct mln_bytes prefix = MLN_BYTES("sha256:");
    text = mln_bytes_starts(text, prefix) ? mln_bytes_from(text, prefix.len) : text;
    for (size_t i = 0; i < text.len && text.len == HEX; i++) {
        uint8_t c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
        ret[i] = (char)c;
    }
    return text.len == HEX;
}

static bool part_of(const char *name, const struct mln_bytes *args, size_t n, size_t *ret)
{
    struct mln_bytes word = mln_bytes_of(name);
    for (size_t i = 0; i < STEPS && n == 2; i++) {
        if (mln_bytes_is(args[1], steps[i])) {
            *ret = FIRST_STEP + i;
            return true;
        }
    }
    *ret = mln_bytes_is(word, "merlon.approval") ? APPROVAL : VERDICT;
    return n == 1;
}

/* A digest that no release has is a fact, too. */
static struct mln_err ask_engine(const struct mln_facts_ask *ask, const char digest[HEX], struct mln_buf *text, struct fact *f)
{
    struct mln_request *rq = ask->rq;
    struct mln_reply re = {.ledger_index = UINT64_MAX};
    const char *path = mln_text_format(rq->cx, "%sroot/%.*s", ask->mount, (int)HEX, digest);
    mln_copy(f->digest, digest, HEX);
    f->is_used = true;
    f->time_ns = mln_mono_ns();
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(rq->services->call(rq, MLN_OP_READ, path, NULL, &re));
    if (re.status != 404 && re.data != NULL) {
        fill(rq->cx, re.data, text, f);
    }
    return mln_buf_ok(rq->cx, text);
}

static enum mln_rego_lookup answer(struct mln_bytes part, struct mln_bytes *ret)
{
    *ret = part;
    return part.len > 0 ? MLN_REGO_FOUND : MLN_REGO_ABSENT;
}

static enum mln_rego_lookup failed(struct mln_cx *cx, struct mln_bytes *ret)
{
    *ret = mln_bytes_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    return MLN_REGO_FAILED;
}

enum mln_rego_lookup mln_facts_lookup(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret)
{
    const struct mln_facts_ask *ask = with;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct fact f = {0};
    char digest[HEX];
    size_t part = 0;
    bool ok = true;
    *ret = MLN_BYTES_NONE;
    if (!part_of(name, args, n, &part) || !read_digest(args[0], digest)) {
        return MLN_REGO_ABSENT;
    }
    if (find(ask, digest, part, ret, &ok)) {
        return ok ? answer(*ret, ret) : failed(ask->rq->cx, ret);
    }
    if (mln_failed(ask_engine(ask, digest, &text, &f))) {
        return failed(ask->rq->cx, ret);
    }
    struct mln_bytes whole = mln_bytes_dup(ask->rq->cx, mln_buf_bytes(&text));
    f.text = text.len > 0 && text.len <= ANSWER_MAX ? mln_alloc(text.len) : NULL;
    if (f.text != NULL) {
        mln_copy(f.text, text.ptr, text.len);
    }
    if (f.text != NULL || !f.is_known) {
        keep(ask->facts, &f);
    }
    return answer(mln_bytes_sub(whole, f.at[part], f.at[part + 1] - f.at[part]), ret);
}
