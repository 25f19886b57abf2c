/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who follows what. A topic lives while a stream follows it. One that core publishes with "/" at its end stands for all below it. A topic
 * may be published while the first question of a stream is still with core: what was published lately is kept in a small table by hash,
 * where a foreign topic of the same hash costs a question too many and nothing else.
 */
#include "net/grpc_priv.h"

#define BUCKETS 4096u /* 32 KiB a thread; 10,000 topics are 3 to a bucket */
#define RECENT  256u

struct grpc_topic {
    struct grpc_topic *next;
    struct grpc_stream *streams;
    uint64_t hash;
    size_t len;
    uint8_t name[];
};

struct grpc_topics {
    struct grpc_topic *buckets[BUCKETS];
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

static struct mln_bytes name_of(const struct grpc_topic *topic)
{
    return mln_bytes_at(topic->name, topic->len);
}

static struct grpc_topic **place_of(struct grpc_topics *topics, struct mln_bytes name, uint64_t hash)
{
    struct grpc_topic **at = &topics->buckets[hash % BUCKETS];
    while (*at != NULL && !((*at)->hash == hash && mln_bytes_eq(name_of(*at), name))) {
        at = &(*at)->next;
    }
    return at;
}

static void leave(struct grpc_topics *topics, struct grpc_stream *stream)
{
    struct grpc_topic *topic = stream->topic;
    if (topic == NULL) {
        return;
    }
    *(stream->topic_prev != NULL ? &stream->topic_prev->topic_next : &topic->streams) = stream->topic_next;
    if (stream->topic_next != NULL) {
        stream->topic_next->topic_prev = stream->topic_prev;
    }
    stream->topic = NULL;
    stream->topic_next = stream->topic_prev = NULL;
    if (topic->streams == NULL) {
        *place_of(topics, name_of(topic), topic->hash) = topic->next;
        mln_free(topic);
    }
}

static struct grpc_topic *make(struct grpc_topics *topics, struct mln_bytes name)
{
    uint64_t hash = hash_of(name);
    struct grpc_topic **at = place_of(topics, name, hash);
    if (*at == NULL && (*at = mln_alloc(sizeof(**at) + name.len)) != NULL) {
        (*at)->hash = hash;
        (*at)->len = name.len;
        mln_copy((*at)->name, name.ptr, name.len);
    }
    return *at;
}

bool grpc_topics_begin(struct loop *loop)
{
    if (loop->topics == NULL) {
        loop->topics = mln_alloc(sizeof(*loop->topics));
    }
    return loop->topics != NULL;
}

void grpc_follow(struct grpc_stream *stream, struct mln_bytes name)
{
    struct loop *loop = stream->grpc->conn->loop;
    if (stream->topic != NULL && mln_bytes_eq(name_of(stream->topic), name)) {
        return;
    }
    if (stream->topic != NULL) {
        leave(loop->topics, stream);
    }
    if (name.len == 0) {
        return;
    }
    struct grpc_topic *topic = name.len <= MLN_GRPC_TOPIC_MAX ? make(loop->topics, name) : NULL;
    if (topic == NULL) { /* a stream that would never hear of changes is worse than none */
        grpc_finish(stream, mln_err_grpc(MLN_E_MEMORY), "no memory to follow changes at present");
        return;
    }
    stream->topic = topic;
    stream->topic_next = topic->streams;
    if (topic->streams != NULL) {
        topic->streams->topic_prev = stream;
    }
    topic->streams = stream;
}

bool grpc_is_behind(const struct grpc_stream *stream)
{
    const struct grpc_topics *topics = stream->grpc->conn->loop->topics;
    if (stream->topic == NULL || stream->version == 0) {
        return false;
    }
    uint64_t newest = topics->recent[stream->topic->hash % RECENT];
    newest = newest > topics->all ? newest : topics->all;
    newest = newest > stream->wanted ? newest : stream->wanted;
    return newest > stream->version;
}

static void wake(const struct grpc_topic *topic, uint64_t version)
{
    for (struct grpc_stream *s = topic->streams, *next; s != NULL; s = next) {
        next = s->topic_next;
        s->wanted = version > s->wanted ? version : s->wanted;
        if (version > s->version && s->id == 0) { /* one that asks looks at wanted when it is answered */
            grpc_want(s);
        }
    }
}

void grpc_topic(struct loop *loop, const struct mln_value *message)
{
    struct grpc_topics *topics = loop->topics;
    struct mln_bytes name = mln_get_bytes(mln_get(message, "topic"));
    uint64_t version = (uint64_t)mln_get_int(mln_get(message, "version"), 0);
    uint64_t hash = hash_of(name);
    if (!mln_bytes_ends(name, MLN_BYTES("/"))) {
        uint64_t *recent = &topics->recent[hash % RECENT];
        const struct grpc_topic *topic = *place_of(topics, name, hash);
        *recent = version > *recent ? version : *recent;
        if (topic != NULL) {
            wake(topic, version);
        }
        return;
    }
    topics->all = version > topics->all ? version : topics->all;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (const struct grpc_topic *t = topics->buckets[i]; t != NULL; t = t->next) {
            if (mln_bytes_starts(name_of(t), name)) {
                wake(t, version);
            }
        }
    }
}

void grpc_topics_free(struct loop *loop)
{
    mln_free(loop->topics); /* the streams are gone, and their topics with them */
    loop->topics = NULL;
}
