/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who follows what. A topic lives while somebody follows it. One that core publishes with "/" at its end stands for all below it. A topic
 * may be published while the first question of a follower is still with core: what was published lately is kept in a small table by hash,
 * where a foreign topic of the same hash costs a question too many and nothing else.
 */
#include "net/front_priv.h"

#define BUCKETS   4096u /* 32 KiB a thread; 10,000 topics are 3 to a bucket */
#define RECENT    256u
#define TOPIC_MAX 128u /* bytes of a name; core's are digests */

struct topic {
    struct topic *next;
    struct follower *followers;
    uint64_t hash;
    size_t len;
    uint8_t name[];
};

struct topics {
    struct topic *buckets[BUCKETS];
    uint64_t recent[RECENT]; /* the newest version of any topic of this hash */
    uint64_t all;            /* of any group of topics */
};

/* FNV-1a: names are core's own. */
static uint64_t hash_of(struct mln_bytes name)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ name.ptr[i]) * 1099511628211u;
    }
    return hash ^ hash >> 32;
}

static struct mln_bytes name_of(const struct topic *topic)
{
    return mln_bytes_at(topic->name, topic->len);
}

static struct topic **place_of(struct topics *topics, struct mln_bytes name, uint64_t hash)
{
    struct topic **at = &topics->buckets[hash % BUCKETS];
    while (*at != NULL && !((*at)->hash == hash && mln_bytes_eq(name_of(*at), name))) {
        at = &(*at)->next;
    }
    return at;
}

void topic_leave(struct loop *loop, struct follower *f)
{
    struct topic *topic = f->topic;
    if (topic == NULL) {
        return;
    }
    *(f->prev != NULL ? &f->prev->next : &topic->followers) = f->next;
    if (f->next != NULL) {
        f->next->prev = f->prev;
    }
    f->topic = NULL;
    f->next = f->prev = NULL;
    if (topic->followers == NULL) {
        *place_of(loop->topics, name_of(topic), topic->hash) = topic->next;
        mln_free(topic);
    }
}

static struct topic *make(struct topics *topics, struct mln_bytes name)
{
    uint64_t hash = hash_of(name);
    struct topic **at = place_of(topics, name, hash);
    if (*at == NULL && (*at = mln_alloc(sizeof(**at) + name.len)) != NULL) {
        (*at)->hash = hash;
        (*at)->len = name.len;
        mln_copy((*at)->name, name.ptr, name.len);
    }
    return *at;
}

bool topics_begin(struct loop *loop)
{
    loop->topics = mln_alloc(sizeof(*loop->topics));
    return loop->topics != NULL;
}

bool topic_follow(struct loop *loop, struct follower *f, struct mln_bytes name)
{
    if (f->topic != NULL && mln_bytes_eq(name_of(f->topic), name)) {
        return true;
    }
    topic_leave(loop, f);
    struct topic *topic = name.len <= TOPIC_MAX ? make(loop->topics, name) : NULL;
    if (topic == NULL) {
        return false;
    }
    f->topic = topic;
    f->next = topic->followers;
    if (topic->followers != NULL) {
        topic->followers->prev = f;
    }
    topic->followers = f;
    return true;
}

bool topic_is_behind(const struct loop *loop, const struct follower *f)
{
    if (f->topic == NULL || f->version == 0) {
        return false;
    }
    uint64_t newest = loop->topics->recent[f->topic->hash % RECENT];
    newest = newest > loop->topics->all ? newest : loop->topics->all;
    newest = newest > f->wanted ? newest : f->wanted;
    return newest > f->version;
}

/* A follower that is woken may leave the topic, which ends with its last one: so the next is known before. */
static void wake(struct follower *first, uint64_t version)
{
    for (struct follower *f = first, *next; f != NULL; f = next) {
        next = f->next;
        f->wanted = version > f->wanted ? version : f->wanted;
        if (version > f->version) {
            f->wake(f);
        }
    }
}

static void wake_all_below(struct topics *topics, struct mln_bytes name, uint64_t version)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct topic *t = topics->buckets[i], *next; t != NULL; t = next) {
            next = t->next;
            if (mln_bytes_starts(name_of(t), name)) {
                wake(t->followers, version);
            }
        }
    }
}

void topic_take(struct loop *loop, const struct mln_value *message)
{
    struct topics *topics = loop->topics;
    struct mln_bytes name = mln_get_bytes(mln_get(message, "topic"));
    uint64_t version = (uint64_t)mln_get_int(mln_get(message, "version"), 0);
    uint64_t hash = hash_of(name);
    if (!mln_bytes_ends(name, MLN_BYTES("/"))) {
        uint64_t *recent = &topics->recent[hash % RECENT];
        const struct topic *topic = *place_of(topics, name, hash);
        *recent = version > *recent ? version : *recent;
        if (topic != NULL) {
            wake(topic->followers, version);
        }
        return;
    }
    topics->all = version > topics->all ? version : topics->all;
    wake_all_below(topics, name, version);
}

void topics_free(struct loop *loop)
{
    mln_free(loop->topics); /* the followers are gone, and their topics with them */
    loop->topics = NULL;
}
