/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle from a service: asked for with its ETag, a service that can wait is asked to. What the evaluator takes is kept on disk,
 * when configured, and stands in when the service is away at the next start.
 */
#include "api/rego_feeder_priv.h"

#define BUNDLE_TYPE "application/vnd.openpolicyagent.bundles" /* what a service answers that knows long polling */
#define FIRST_TRY_NS (SECOND_NS / 10) /* when the service is not there yet: half a start of a container */

static const char *path_of(struct mln_cx *cx, const struct poller *p)
{
    return mln_text_format(cx, "%s/bundles/%s/bundle.tar.gz", p->config->persistence, p->bundle->name);
}

struct mln_err poller_save(struct mln_cx *cx, const struct poller *p, struct mln_bytes packed)
{
    const char *dir = mln_text_format(cx, "%s/bundles/%s", p->config->persistence, p->bundle->name);
    MLN_TRY(mln_dir_make(cx, dir, 0700));
    return mln_file_replace(cx, path_of(cx, p), packed, 0600, true);
}

bool poller_restore(struct poller *p)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(FEEDER_ARENA, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (!p->bundle->persists || mln_failed(mln_file_read_all(&cx, path_of(&cx, p), p->bundle->size_max, &packed))) {
        return false;
    }
    return feeder_offer(p, "", "disk", mln_buf_bytes(&packed));
}

static void keep_etag(struct poller *p, struct mln_bytes etag)
{
    mln_free(p->etag);
    p->etag = etag.len == 0 ? NULL : mln_alloc(etag.len + 1);
    if (p->etag != NULL) {
        mln_copy(p->etag, etag.ptr, etag.len);
    }
}

static void take(struct poller *p, struct mln_cx *cx, const struct mln_value *answer)
{
    struct mln_bytes etag = mln_get_bytes(mln_get(mln_get(answer, "headers"), "etag"));
    struct mln_bytes body = mln_get_bytes(mln_get(answer, "body"));
    if (!feeder_offer(p, mln_text_dup(cx, etag), "service", body)) {
        p->failures++;
        return;
    }
    p->failures = 0;
    keep_etag(p, etag);
    if (p->bundle->persists && mln_failed(poller_save(cx, p, body))) {
        mln_log(MLN_LOG_WARN, "rego", "bundle %s is not kept on disk: %s", p->bundle->name, cx->text);
    }
}

/* True when the service waits before it answers. */
static bool ask_once(struct poller *p, struct mln_cx *cx)
{
    const struct mln_value *answer = NULL;
    const struct rego_bundle_config *b = p->bundle;
    const struct rego_service *service = rego_config_service(p->config, b->service);
    const char *modes = "modes=snapshot,delta";
    struct feeder_call call = {.service = service,
                               .method = "GET",
                               .resource = b->resource,
                               .etag = p->etag,
                               .prefer = b->polling.long_poll_s > 0
                                             ? mln_text_format(cx, "%s;wait=%lld", modes, (long long)b->polling.long_poll_s)
                                             : modes,
                               .answer_max = b->size_max,
                               .timeout_s = service->timeout_s + b->polling.long_poll_s};
    if (mln_failed(feeder_call(p->feeder, cx, &call, &answer))) {
        p->failures++;
        feeder_note(p, "bundle_error", cx->text, 0);
        return false;
    }
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    struct mln_bytes type = mln_get_bytes(mln_get(mln_get(answer, "headers"), "content-type"));
    if (status == 200) {
        take(p, cx, answer);
    } else if (status == 304) {
        p->failures = 0;
        feeder_note(p, "", "", status);
    } else {
        p->failures++;
        keep_etag(p, MLN_BYTES_NONE);
        feeder_note(p, "bundle_error", mln_text_format(cx, "server replied with %lld", (long long)status), status);
    }
    return p->failures == 0 && b->polling.long_poll_s > 0 && mln_bytes_starts(type, MLN_BYTES(BUNDLE_TYPE));
}

static int64_t delay_of(const struct poller *p, bool waits)
{
    const struct rego_polling *polling = &p->bundle->polling;
    if (waits) {
        return 0;
    }
    int64_t ns = feeder_delay_ns(polling->min_s, polling->max_s, p->failures);
    int64_t early = FIRST_TRY_NS << (p->failures < 20 ? p->failures : 20);
    return p->failures > 0 && p->etag == NULL && early < ns ? early : ns;
}

void *poller_main(void *arg)
{
    struct poller *p = arg;
    bool goes_on = true;
    (void)poller_restore(p);
    while (goes_on) {
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(2 * p->bundle->size_max + FEEDER_ARENA, false);
        struct mln_cx cx;
        mln_cx_init(&cx, arena);
        bool waits = arena != NULL && ask_once(p, &cx);
        goes_on = poller_wait(p, delay_of(p, waits));
    }
    return NULL;
}
