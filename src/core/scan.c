/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCAN: all names below a folder, however deep, by asking the path's own list again for each folder. Policy was asked about scanning the
 * folder itself; what lies in it is not judged one by one, as in OpenBao.
 */
#include "core/core_priv.h"

#include "base/text.h"

/* What is still to be looked at, next first: a folder's names are in order, so all are met in order. */
struct todo {
    struct todo *below;
    struct mln_bytes name; /* from the folder that is scanned; a folder ends in "/" */
};

struct scan {
    struct mln_request *rq;
    struct todo *todo;
    struct mln_value *names, *infos;
    struct mln_bytes after;
    size_t max, seen;
};

static struct mln_err push(struct scan *s, struct mln_bytes folder, struct mln_bytes name)
{
    struct todo *todo = MLN_NEW(s->rq->cx, struct todo);
    if (todo == NULL) {
        return mln_cx_err(s->rq->cx);
    }
    *todo = (struct todo){.below = s->todo,
                          .name = mln_bytes_format(s->rq->cx, "%.*s%.*s", MLN_FMT(folder), MLN_FMT(name))};
    s->todo = todo;
    return mln_cx_err(s->rq->cx);
}

static struct mln_err list(struct scan *s, struct mln_bytes folder, struct mln_reply *re)
{
    struct mln_request inner = *s->rq;
    inner.op = MLN_OP_LIST;
    inner.path = mln_bytes_format(inner.cx, "%.*s%.*s", MLN_FMT(s->rq->path), MLN_FMT(folder));
    inner.rest = mln_bytes_from(inner.path, mln_bytes_of(inner.mount->path).len);
    inner.data = mln_object(inner.cx); /* pages are of the whole */
    MLN_TRY(mln_cx_err(inner.cx));
    MLN_TRY(mln_route(&inner));
    struct mln_err err = mln_route_handler(inner.route, MLN_OP_LIST)(&inner, re);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err open_folder(struct scan *s, struct mln_bytes folder)
{
    struct mln_cx *cx = s->rq->cx;
    struct mln_reply re = {0};
    MLN_TRY(list(s, folder, &re));
    const struct mln_value *keys = mln_get(re.data, "keys"), *infos = mln_get(re.data, "key_info");
    s->seen += mln_len(keys);
    if (s->seen > MLN_LIST_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "more than %u names: scan a folder below", MLN_LIST_MAX);
    }
    for (size_t i = mln_len(keys); i-- > 0;) {
        MLN_TRY(push(s, folder, mln_get_bytes(mln_item(keys, i))));
    }
    for (size_t i = 0; i < mln_len(infos); i++) {
        const struct mln_member *one = mln_member_at(infos, i);
        struct mln_bytes name = mln_bytes_format(cx, "%.*s%.*s", MLN_FMT(folder), MLN_FMT(one->key));
        mln_put_key(cx, s->infos, name, &one->value);
    }
    return mln_cx_err(cx);
}

static struct mln_err walk(struct scan *s)
{
    MLN_TRY(open_folder(s, MLN_BYTES_NONE));
    while (s->todo != NULL && mln_len(s->names) < s->max) {
        struct mln_bytes name = s->todo->name;
        s->todo = s->todo->below;
        if (mln_bytes_ends(name, MLN_BYTES("/"))) {
            MLN_TRY(open_folder(s, name));
        } else if (mln_bytes_cmp(name, s->after) > 0) {
            mln_push(s->rq->cx, s->names, mln_string(s->rq->cx, name));
        }
    }
    return mln_cx_err(s->rq->cx);
}

/* Members of what stands in `names`. */
static const struct mln_value *shown_infos(const struct scan *s)
{
    struct mln_value *shown = mln_object(s->rq->cx);
    for (size_t i = 0; i < mln_len(s->names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(s->names, i));
        const struct mln_value *info = mln_get_key(s->infos, name);
        if (info != NULL) {
            mln_put_key(s->rq->cx, shown, name, info);
        }
    }
    return shown;
}

struct mln_err mln_scan(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *given = mln_get(rq->data, "limit");
    int64_t limit = mln_get_int(given, 0);
    struct mln_value *data = mln_object(rq->cx);
    if (mln_type_of(given) == MLN_STRING && !mln_i64_parse(mln_get_bytes(given), &limit)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "limit is a number");
    }
    struct scan s = {.rq = rq,
                     .names = mln_array(rq->cx),
                     .infos = mln_object(rq->cx),
                     .after = mln_get_bytes(mln_get(rq->data, "after")),
                     .max = limit > 0 && limit < MLN_LIST_MAX ? (size_t)limit : MLN_LIST_MAX};
    MLN_TRY(walk(&s));
    if (mln_len(s.names) > 0) {
        mln_put(rq->cx, data, "keys", s.names);
    }
    if (mln_len(s.names) > 0 && mln_len(s.infos) > 0) {
        mln_put(rq->cx, data, "key_info", shown_infos(&s));
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}
