/* SPDX-License-Identifier: Apache-2.0 */
/* Topics: a reply carries a snapshot and a version, streams get every value published after it. Here are only the numbers. */
#include "core/core_priv.h"

uint64_t mln_topics_version(const struct mln_core *core)
{
    return atomic_load(&core->topic_version);
}

void mln_topics_publish(struct mln_run *run)
{
    struct mln_core *core = run->core;
    for (size_t i = 0; i < mln_len(run->topics); i++) {
        const struct mln_value *one = mln_item(run->topics, i);
        uint64_t version = atomic_fetch_add(&core->topic_version, 1) + 1;
        if (core->config.publish != NULL) {
            core->config.publish(core->config.arg, mln_get_text(run->rq.cx, mln_get(one, "name"), ""), version, mln_get(one, "value"));
        }
    }
}
