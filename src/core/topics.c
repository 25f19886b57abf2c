/* SPDX-License-Identifier: Apache-2.0 */
/* Topics: names whose versions grow. What a version holds travels in the message; here are only the numbers. */
#include "core/core_priv.h"

static struct mln_topic *find(struct mln_core *core, const char *name)
{
    for (size_t i = 0; i < core->n_topics; i++) {
        if (mln_bytes_is(mln_bytes_of(core->topics[i].name), name)) {
            return &core->topics[i];
        }
    }
    return NULL;
}

uint64_t mln_topic_version(struct mln_core *core, const char *name)
{
    pthread_mutex_lock(&core->topics_lock);
    const struct mln_topic *topic = find(core, name);
    uint64_t version = topic != NULL ? topic->version : 0;
    pthread_mutex_unlock(&core->topics_lock);
    return version;
}

/* A new topic; without memory nobody follows it and the version stays 0. */
static struct mln_topic *add(struct mln_core *core, const char *name)
{
    if (core->n_topics == MLN_TOPICS_MAX) {
        return NULL;
    }
    size_t n = core->n_topics, old_bytes = n * sizeof(*core->topics);
    char *copy = mln_strdup(name);
    struct mln_topic *grown = copy == NULL ? NULL : mln_realloc(core->topics, old_bytes, old_bytes + sizeof(*grown), false);
    if (grown == NULL) {
        mln_free(copy);
        return NULL;
    }
    core->topics = grown;
    core->topics[n] = (struct mln_topic){.name = copy};
    core->n_topics = n + 1;
    return &core->topics[n];
}

uint64_t mln_topic_next(struct mln_core *core, const char *name)
{
    pthread_mutex_lock(&core->topics_lock);
    struct mln_topic *topic = find(core, name);
    topic = topic != NULL ? topic : add(core, name);
    uint64_t version = topic != NULL ? ++topic->version : 0;
    pthread_mutex_unlock(&core->topics_lock);
    return version;
}
