/* SPDX-License-Identifier: Apache-2.0 */
/* See peers.h. */
#include "main/peers.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "main/attest_wire.h"
#include "net/peer_link.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* since Linux 6.5 */
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define BUCKETS        4096u
#define PEERS_PER_UID  (MLN_PEERS_MAX / 4) /* connections of one user at once: three others can still come */
#define UIDS_MAX       1024u               /* users whose rate is counted one by one; beyond, all others together */
#define RATE_PER_S     2000                /* new connections of one user: a job of that many ranks starts in a second */
#define RATE_BURST     4000
#define ACCEPTS_A_STEP 64u
#define PAUSE_NS       ((int64_t)20000000)
#define TALK_NS        ((int64_t)10000000000) /* between two lines about refusals */
#define SECOND_NS      ((int64_t)1000000000)

struct user;
struct peer {
    struct peer *next;      /* in its bucket */
    struct peer *next_gone; /* in the list of ends that the attest process has not heard of */
    uint64_t number;
    struct attest_ask ask;
    int pidfd;
    struct user *user;
    uint64_t told; /* the attest process that knows of it */
    bool is_gone;
};

struct user {
    uint32_t uid;
    bool is_used;
    uint32_t n; /* connections */
    int64_t tokens, at_ns;
};

struct peers {
    int listener, front, attest;
    struct peer *buckets[BUCKETS];
    struct peer *gone;
    size_t n;
    uint64_t generation; /* of the attest process */
    size_t to_tell;      /* the first bucket that may hold one that it was not told of; BUCKETS = none */
    struct user users[UIDS_MAX + 1]; /* the last is for all whom the table has no room for */
    int64_t again_ns, talk_ns;
    uint64_t refused;
};

struct peers *peers_new(int listener)
{
    struct peers *peers = mln_alloc(sizeof(*peers));
    if (peers != NULL) {
        peers->listener = listener;
        peers->front = peers->attest = -1;
        peers->to_tell = BUCKETS;
    }
    return peers;
}

/* ---- users ---- */

/* Linear probing over a few places; a place of a user without connections whose bucket is full again may be taken. */
static struct user *user_of(struct peers *peers, uint32_t uid, int64_t now_ns)
{
    struct user *free = NULL;
    for (uint32_t i = 0; i < 32; i++) {
        struct user *user = &peers->users[(uid * 2654435761u + i) % UIDS_MAX];
        if (user->is_used && user->uid == uid) {
            return user;
        }
        bool is_stale = user->n == 0 && now_ns - user->at_ns > (RATE_BURST / RATE_PER_S + 1) * SECOND_NS;
        free = free == NULL && (!user->is_used || is_stale) ? user : free;
    }
    struct user *user = free != NULL ? free : &peers->users[UIDS_MAX];
    if (!user->is_used || free != NULL) {
        *user = (struct user){.uid = uid, .is_used = true, .tokens = RATE_BURST * SECOND_NS, .at_ns = now_ns};
    }
    return user;
}

/* One connection more? Tokens are counted in billionths. */
static bool may_come(struct peers *peers, uint32_t uid)
{
    int64_t now = mln_mono_ns();
    struct user *user = user_of(peers, uid, now);
    int64_t passed = now - user->at_ns;
    passed = passed > 2 * SECOND_NS ? 2 * SECOND_NS : passed;
    user->tokens += passed * RATE_PER_S;
    user->tokens = user->tokens > RATE_BURST * SECOND_NS ? RATE_BURST * SECOND_NS : user->tokens;
    user->at_ns = now;
    if (user->tokens < SECOND_NS || user->n >= PEERS_PER_UID || peers->n >= MLN_PEERS_MAX) {
        return false;
    }
    user->tokens -= SECOND_NS;
    return true;
}

static void talk(struct peers *peers, uint32_t uid)
{
    int64_t now = mln_mono_ns();
    peers->refused++;
    if (peers->talk_ns == 0 || now - peers->talk_ns > TALK_NS) {
        peers->talk_ns = now;
        mln_log(MLN_LOG_WARN, "main", "the workload socket refused %llu connections, the last of user %u",
                (unsigned long long)peers->refused, uid);
        peers->refused = 0;
    }
}

/* ---- what is kept ---- */

static struct peer **find(struct peers *peers, uint64_t number)
{
    struct peer **at = &peers->buckets[number % BUCKETS];
    while (*at != NULL && (*at)->number != number) {
        at = &(*at)->next;
    }
    return at;
}

/* 63 bits that no connection ever had: at random, so that nobody can say the next one. */
static uint64_t new_number(struct peers *peers)
{
    uint64_t number = 0;
    do {
        number = mln_random_u64() >> 1;
    } while (number == 0 || *find(peers, number) != NULL);
    return number;
}

static void keep(struct peers *peers, struct peer *peer)
{
    peer->next = peers->buckets[peer->number % BUCKETS];
    peers->buckets[peer->number % BUCKETS] = peer;
    peers->n++;
    peer->user = user_of(peers, peer->ask.uid, mln_mono_ns());
    peer->user->n++;
}

static void drop(struct peers *peers, struct peer *peer)
{
    struct peer **at = find(peers, peer->number);
    *at = peer->next;
    peers->n--;
    peer->user->n--;
    mln_fd_drop(&peer->pidfd);
    mln_free(peer);
}

void peers_free(struct peers *peers)
{
    for (size_t i = 0; peers != NULL && i < BUCKETS; i++) {
        while (peers->buckets[i] != NULL) {
            drop(peers, peers->buckets[i]);
        }
    }
    mln_free(peers);
}

/* ---- ends ---- */

/* Said to the attest process, or put off: an end that is not heard would leave its line for ever. */
static void end(struct peers *peers, struct mln_cx *cx, struct peer *peer)
{
    struct attest_ask ask = {.kind = ATTEST_END, .number = peer->number};
    struct mln_err err = peers->attest >= 0 ? attest_ask_send(cx, peers->attest, &ask, -1) : MLN_OK;
    if (mln_is(err, MLN_E_LIMIT)) {
        peer->is_gone = true;
        peer->next_gone = peers->gone;
        peers->gone = peer;
    } else { /* heard; or it is gone, and another one will not be told */
        drop(peers, peer);
    }
    mln_cx_clear(cx);
}

static void say_ends(struct peers *peers, struct mln_cx *cx)
{
    struct peer *peer = peers->gone;
    peers->gone = NULL;
    while (peer != NULL) {
        struct peer *next = peer->next_gone;
        end(peers, cx, peer);
        peer = next;
    }
}

static void hear_ends(struct peers *peers, struct mln_cx *cx)
{
    uint64_t number = 0;
    while (peers->front >= 0) {
        struct mln_err err = mln_peer_link_hear_end(cx, peers->front, &number);
        if (mln_failed(err)) {
            peers->front = mln_is(err, MLN_E_NOT_FOUND) ? peers->front : -1; /* it ended: monitor sees that for itself */
            mln_cx_clear(cx);
            return;
        }
        struct peer *peer = *find(peers, number);
        if (peer != NULL && !peer->is_gone) {
            end(peers, cx, peer);
        }
    }
}

/* ---- connections ---- */

static int64_t boot_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* The kernel's word on who connected; false: it gives none. */
static bool ask_kernel(int fd, struct peer *peer)
{
    struct ucred who = {0};
    socklen_t n = sizeof(who), n_pidfd = sizeof(peer->pidfd);
    peer->ask = (struct attest_ask){.kind = ATTEST_NEW, .number = peer->number, .accepted_ns = boot_ns()};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof(who) || who.pid <= 0) {
        return false;
    }
    peer->ask.pid = who.pid;
    peer->ask.uid = who.uid;
    peer->ask.gid = who.gid;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &n_pidfd) != 0) {
        peer->pidfd = errno == ENOPROTOOPT ? (int)syscall(SYS_pidfd_open, who.pid, 0u) : -1;
        peer->ask.is_by_number = 1;
    }
    return peer->pidfd >= 0;
}

/* To both, or to nobody: a connection that is not attested would only wait. */
static bool hand_over(struct peers *peers, struct mln_cx *cx, struct peer *peer, int fd)
{
    struct mln_err err = attest_ask_send(cx, peers->attest, &peer->ask, peer->pidfd);
    peer->told = peers->generation;
    if (!mln_failed(err)) {
        err = mln_peer_link_give(cx, peers->front, peer->number, fd);
        if (mln_failed(err)) {
            end(peers, cx, peer);
            peer = NULL;
        }
    } else {
        drop(peers, peer);
        peer = NULL;
    }
    mln_cx_clear(cx);
    return peer != NULL;
}

static void take(struct peers *peers, struct mln_cx *cx, int fd)
{
    struct peer *peer = mln_alloc(sizeof(*peer));
    if (peer == NULL) {
        return;
    }
    *peer = (struct peer){.pidfd = -1, .number = new_number(peers)};
    if (!ask_kernel(fd, peer) || !may_come(peers, peer->ask.uid)) {
        talk(peers, peer->ask.uid);
        mln_fd_drop(&peer->pidfd);
        mln_free(peer);
        return;
    }
    keep(peers, peer);
    if (!hand_over(peers, cx, peer, fd)) {
        peers->again_ns = mln_mono_ns() + PAUSE_NS; /* the others have to catch up first */
    }
}

/* Both can take a message: what was accepted would have to be closed otherwise. */
static bool have_room(const struct peers *peers)
{
    struct pollfd both[] = {{.fd = peers->attest, .events = POLLOUT}, {.fd = peers->front, .events = POLLOUT}};
    return poll(both, MLN_COUNT(both), 0) == 2 && ((both[0].revents | both[1].revents) & (POLLERR | POLLHUP)) == 0;
}

static void accept_some(struct peers *peers, struct mln_cx *cx)
{
    for (unsigned i = 0; i < ACCEPTS_A_STEP && peers_listener(peers) >= 0; i++) {
        if (!have_room(peers)) {
            peers->again_ns = mln_mono_ns() + PAUSE_NS;
            return;
        }
        MLN_AUTO(mln_fd_drop) int fd = accept4(peers->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool is_short = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            peers->again_ns = is_short ? mln_mono_ns() + PAUSE_NS : 0;
            return;
        }
        take(peers, cx, fd);
    }
}

/* ---- the others ---- */

void peers_set_front(struct peers *peers, int link)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    peers->front = link;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct peer *peer = peers->buckets[i], *next = NULL; peer != NULL; peer = next) {
            next = peer->next;
            if (!peer->is_gone) {
                end(peers, &cx, peer);
            }
        }
    }
}

void peers_set_attest(struct peers *peers, int link)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    peers->attest = -1;
    say_ends(peers, &cx); /* a new one never heard of these */
    peers->attest = link;
    peers->generation++;
    peers->to_tell = link >= 0 ? 0 : BUCKETS;
}

/* A new attest process hears of all connections that stand, as fast as it takes them. */
static void tell_again(struct peers *peers, struct mln_cx *cx)
{
    for (; peers->attest >= 0 && peers->to_tell < BUCKETS; peers->to_tell++) {
        for (struct peer *peer = peers->buckets[peers->to_tell]; peer != NULL; peer = peer->next) {
            if (peer->told == peers->generation || peer->is_gone) {
                continue;
            }
            struct mln_err err = attest_ask_send(cx, peers->attest, &peer->ask, peer->pidfd);
            mln_cx_clear(cx);
            if (mln_is(err, MLN_E_LIMIT)) {
                return;
            }
            peer->told = peers->generation; /* or it is gone, and its successor hears */
        }
    }
}

int peers_listener(const struct peers *peers)
{
    bool may = peers->front >= 0 && peers->attest >= 0 && peers->gone == NULL && mln_mono_ns() >= peers->again_ns;
    return may ? peers->listener : -1;
}

int peers_link(const struct peers *peers)
{
    return peers->front;
}

bool peers_step(struct peers *peers, struct mln_cx *cx)
{
    say_ends(peers, cx);
    hear_ends(peers, cx);
    tell_again(peers, cx);
    accept_some(peers, cx);
    return peers->gone != NULL || peers->to_tell < BUCKETS || (peers->again_ns != 0 && mln_mono_ns() < peers->again_ns);
}
