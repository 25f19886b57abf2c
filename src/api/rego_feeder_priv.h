/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the feeder.
 *   rego_feeder.c   start, frames from the evaluator, the reach process, discovery     rego_feeder_poll.c   bundles from services
 *   rego_feeder_call.c   calls to services                                             rego_feeder_disk.c   bundles and files on disk
 *   rego_feeder_send.c   decisions and status to services
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "api/rego_feed.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "net/reach.h"

#define FEEDER_ARENA   ((size_t)64 << 20) /* besides a bundle twice */
#define FEEDER_POLLERS (REGO_BUNDLES_MAX + REGO_BUNDLES_MAX + 1u) /* of the old and of the new configuration, and discovery */
#define SECOND_NS      ((int64_t)1000000000)

struct feeder;

/* One bundle: a thread that asks for it again and again. It has its configuration for itself. */
struct poller {
    struct feeder *feeder;
    struct mln_arena *arena; /* of config and raw */
    struct rego_config *config;
    const struct rego_bundle_config *bundle; /* in config */
    struct mln_bytes raw;    /* what decides whether it is the same after a discovery */
    bool is_discovery;
    char *etag;
    unsigned failures; /* in a row */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t news;
    bool is_running, is_stopped, is_answered, is_ok;
};

/* What waits for a service. */
struct batch {
    struct batch *next;
    struct mln_buf lines; /* one JSON object a line */
};
struct upload {
    struct feeder *feeder;
    struct rego_report_config how;
    struct mln_arena *arena;
    struct rego_config *config;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct batch *first, *last;
    size_t held;         /* bytes */
    uint64_t dropped;    /* decisions that did not fit */
    size_t soft;         /* bytes of one chunk before it is packed: learned */
    bool is_running, is_stopped;
    atomic_bool has_ended;
};

struct feeder {
    const struct rego_feeder_options *options;
    pthread_mutex_t send_lock; /* of options->out_fd */
    struct mln_reach *reach;
    pthread_mutex_t lock; /* of pollers[] */
    struct poller *pollers[FEEDER_POLLERS];
    struct upload decisions, status;
};

/* ---- rego_feeder.c ---- */
struct mln_err feeder_send(struct feeder *f, struct mln_cx *cx, const struct mln_value *head, struct mln_bytes body);
/* Hand a bundle to the evaluator and wait for its word. */
bool feeder_offer(struct poller *p, const char *etag, const char *from, struct mln_bytes packed);
/* What became of a request: code "" when it succeeded. */
void feeder_note(struct poller *p, const char *code, const char *message, int64_t http);
/* Sleep; false when the poller shall end. */
bool poller_wait(struct poller *p, int64_t ns);
/* A delay between the two, at random; after failures it grows from min to max. */
int64_t feeder_delay_ns(int64_t min_s, int64_t max_s, unsigned failures);
void feeder_cond_init(pthread_cond_t *cond);
struct timespec feeder_end_after(int64_t ns);

/* ---- rego_feeder_call.c ---- */
struct feeder_call {
    const struct rego_service *service;
    const char *method, *resource;
    const char *etag, *prefer, *content_type; /* NULL: none */
    bool is_gzip;
    struct mln_bytes body;
    size_t answer_max;
    int64_t timeout_s;
};
struct mln_err feeder_call(struct feeder *f, struct mln_cx *cx, const struct feeder_call *call, const struct mln_value **ret);

/* ---- rego_feeder_poll.c, rego_feeder_disk.c ---- */
void *poller_main(void *arg);      /* from a service */
void *poller_disk_main(void *arg); /* from a file or folder */
void *watch_main(void *arg);       /* struct feeder: files of the command line */
struct mln_err poller_save(struct mln_cx *cx, const struct poller *p, struct mln_bytes packed);
bool poller_restore(struct poller *p); /* what was saved, when there is something */

/* ---- rego_feeder_send.c ---- */
struct mln_err upload_start(struct mln_cx *cx, struct upload *u, pthread_attr_t *attr, void *(*main_fn)(void *arg));
void *upload_decisions_main(void *arg);
void *upload_status_main(void *arg);
void upload_add(struct upload *u, struct mln_bytes lines, bool replaces);
/* Lines for a person or a collector of logs on stderr. */
void report_console(const char *message, const char *type, struct mln_bytes lines);
