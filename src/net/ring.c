/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message rings in shared memory; the layout is drawn in ring_priv.h. Each end keeps cursors of its
 * own and believes nothing that it reads from the mapping: a foreign cursor is checked against what
 * is possible, a slot's head is copied before it is looked at. Whatever does not fit ends the ring
 * for this end (MLN_E_CORRUPT, for good).
 *
 * Sleep and the doorbell are Dekker's game: who sleeps sets its flag, then looks once more; who
 * sends publishes, then looks at the flag. Both with a full fence between. The same for "the
 * producer waits for room".
 */
#include "net/ring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define QUEUE_BYTES_MAX                                                                            \
    ((size_t)512 << 20) /* answers for a peer that does not take them: more is no peer */

/* A message that waits for room; the bytes follow. */
struct waiting {
    struct waiting *next;
    struct mln_ring_head head;
    size_t len;
    size_t sent;
    uint8_t bytes[];
};

struct mln_ring {
    struct ring_map *map;
    enum mln_ring_side side;
    int my_bell, peer_bell;
    /* Sender's part. */
    struct ring_lane *out;
    uint8_t *out_bytes;
    uint64_t out_tail; /* what we published */
    uint64_t out_head; /* what the peer freed, last seen */
    struct waiting *first, *last;
    size_t queued_bytes;
    /* Receiver's part. */
    struct ring_lane *in;
    uint8_t *in_bytes;
    uint64_t in_head;
    uint64_t in_tail;
    struct mln_buf partial;
    struct mln_ring_head partial_head;
    bool has_partial;
    /* Both. */
    _Atomic bool is_broken;
    _Atomic bool owes_bell; /* room was made for a producer that waits */
};

/* ---- making and mapping ---- */

struct mln_err mln_ring_create(struct mln_cx *cx, struct mln_ring_fds *ret)
{
    MLN_AUTO(mln_fd_drop)
    int memfd = memfd_create("merlon-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (memfd < 0 && errno == EINVAL) { /* older than Linux 6.3 */
        memfd = memfd_create("merlon-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    MLN_AUTO(mln_fd_drop) int core = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    MLN_AUTO(mln_fd_drop) int front = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (memfd < 0 || core < 0 || front < 0) {
        return mln_fail(cx, MLN_E_IO, "ring: cannot be created (errno %d)", errno);
    }
    if (ftruncate(memfd, (off_t)RING_MAP_BYTES) != 0 || fcntl(memfd, F_ADD_SEALS, SEALS) != 0) {
        return mln_fail(cx, MLN_E_IO, "ring: cannot be sized and sealed (errno %d)", errno);
    }
    *ret = (struct mln_ring_fds){.memfd = memfd, .bell_core = core, .bell_front = front};
    memfd = core = front = -1;
    return MLN_OK;
}

void mln_ring_fds_close(struct mln_ring_fds *fds)
{
    mln_fd_drop(&fds->memfd);
    mln_fd_drop(&fds->bell_core);
    mln_fd_drop(&fds->bell_front);
}

static struct mln_err check_memfd(struct mln_cx *cx, int memfd)
{
    struct stat st;
    int seals = fcntl(memfd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) {
        return mln_fail(cx, MLN_E_INVALID, "ring: the memory is not sealed against resizing");
    }
    if (fstat(memfd, &st) != 0 || (uint64_t)st.st_size != RING_MAP_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "ring: the memory has the wrong size");
    }
    return MLN_OK;
}

struct mln_err mln_ring_attach(struct mln_cx *cx, const struct mln_ring_fds *fds,
                               enum mln_ring_side side, struct mln_ring **ret)
{
    MLN_TRY(check_memfd(cx, fds->memfd));
    struct mln_ring *ring = mln_alloc(sizeof(*ring));
    if (ring == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "ring: out of memory");
    }
    void *map = mmap(NULL, RING_MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds->memfd, 0);
    if (map == MAP_FAILED) {
        mln_free(ring);
        return mln_fail(cx, MLN_E_MEMORY, "ring: cannot be mapped (errno %d)", errno);
    }
    (void)madvise(map, RING_MAP_BYTES, MADV_DONTDUMP);
    bool is_front = side == MLN_RING_FRONT;
    ring->map = map;
    ring->side = side;
    ring->my_bell = is_front ? fds->bell_front : fds->bell_core;
    ring->peer_bell = is_front ? fds->bell_core : fds->bell_front;
    ring->out = &ring->map->lanes[is_front ? RING_TO_CORE : RING_TO_FRONT];
    ring->in = &ring->map->lanes[is_front ? RING_TO_FRONT : RING_TO_CORE];
    ring->out_bytes = ring_bytes_of(map, is_front ? RING_TO_CORE : RING_TO_FRONT);
    ring->in_bytes = ring_bytes_of(map, is_front ? RING_TO_FRONT : RING_TO_CORE);
    ring->partial.is_secret = true;
    ring->partial.max = MLN_RING_MESSAGE_MAX;
    *ret = ring;
    return MLN_OK;
}

void mln_ring_free(struct mln_ring *ring)
{
    if (ring == NULL) {
        return;
    }
    while (ring->first != NULL) {
        struct waiting *old = ring->first;
        ring->first = old->next;
        mln_free_wiped(old, sizeof(*old) + old->len);
    }
    mln_buf_drop(&ring->partial);
    (void)munmap(ring->map, RING_MAP_BYTES);
    mln_free(ring);
}

static struct mln_err broken(struct mln_ring *ring)
{
    atomic_store(&ring->is_broken, true);
    return (struct mln_err){MLN_E_CORRUPT};
}

/* ---- bytes in and out, around the end ---- */

static size_t slot_bytes(size_t payload)
{
    return (sizeof(struct ring_slot) + payload + (RING_ALIGN - 1)) & ~(size_t)(RING_ALIGN - 1);
}

static void bytes_in(uint8_t *lane, uint64_t at, const void *from, size_t n)
{
    size_t begin = (size_t)(at & (MLN_RING_BYTES - 1));
    size_t here = MLN_RING_BYTES - begin < n ? MLN_RING_BYTES - begin : n;
    mln_copy(lane + begin, from, here);
    mln_copy(lane, (const uint8_t *)from + here, n - here);
}

static void bytes_out(void *to, const uint8_t *lane, uint64_t at, size_t n)
{
    size_t begin = (size_t)(at & (MLN_RING_BYTES - 1));
    size_t here = MLN_RING_BYTES - begin < n ? MLN_RING_BYTES - begin : n;
    mln_copy(to, lane + begin, here);
    mln_copy((uint8_t *)to + here, lane, n - here);
}

static void bytes_wipe(uint8_t *lane, uint64_t at, size_t n)
{
    size_t begin = (size_t)(at & (MLN_RING_BYTES - 1));
    size_t here = MLN_RING_BYTES - begin < n ? MLN_RING_BYTES - begin : n;
    mln_wipe(lane + begin, here);
    mln_wipe(lane, n - here);
}

/* ---- sending ---- */

/* Look at the peer's cursor again; false when it is impossible. */
static bool head_refresh(struct mln_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->out->head, memory_order_acquire);
    if (head < ring->out_head || head > ring->out_tail || head % RING_ALIGN != 0) {
        return false;
    }
    ring->out_head = head;
    return true;
}

/* Is there room for a slot of n bytes? *ret_broken when the peer's cursor is impossible. */
static bool has_room(struct mln_ring *ring, size_t n, bool *ret_broken)
{
    if (MLN_RING_BYTES - (ring->out_tail - ring->out_head) >= n) {
        return true;
    }
    *ret_broken = !head_refresh(ring);
    return !*ret_broken && MLN_RING_BYTES - (ring->out_tail - ring->out_head) >= n;
}

static void put_slot(struct mln_ring *ring, const struct mln_ring_head *head, const uint8_t *from,
                     size_t n, bool more)
{
    struct ring_slot slot = {
        .len = (uint32_t)n, .kind = head->kind | (more ? RING_MORE : 0), .id = head->id};
    bytes_in(ring->out_bytes, ring->out_tail, &slot, sizeof(slot));
    bytes_in(ring->out_bytes, ring->out_tail + sizeof(slot), from, n);
    ring->out_tail += slot_bytes(n);
    atomic_store_explicit(&ring->out->tail, ring->out_tail, memory_order_release);
}

/* Send what fits; *sent moves on. False when the peer's cursor is impossible. */
static bool put_message(struct mln_ring *ring, const struct mln_ring_head *head,
                        struct mln_bytes message, size_t *sent)
{
    do {
        size_t left = message.len - *sent;
        size_t n = left < MLN_RING_FRAGMENT ? left : MLN_RING_FRAGMENT;
        bool is_impossible = false;
        if (!has_room(ring, slot_bytes(n), &is_impossible)) {
            return !is_impossible;
        }
        put_slot(ring, head, message.ptr + *sent, n, n < left);
        *sent += n;
        if (n == left) {
            *sent = SIZE_MAX; /* whole, also when it was empty */
        }
    } while (*sent != SIZE_MAX);
    return true;
}

static struct mln_err queue_message(struct mln_ring *ring, const struct mln_ring_head *head,
                                    struct mln_bytes message, size_t sent)
{
    if (message.len > QUEUE_BYTES_MAX - ring->queued_bytes) {
        return broken(ring);
    }
    struct waiting *w = mln_alloc(sizeof(*w) + message.len);
    if (w == NULL) {
        /* A message that was begun cannot be taken back: the peer would join it with the next. */
        return sent != 0 ? broken(ring) : (struct mln_err){MLN_E_MEMORY};
    }
    w->head = *head;
    w->len = message.len;
    w->sent = sent;
    mln_copy(w->bytes, message.ptr, message.len);
    *(ring->last != NULL ? &ring->last->next : &ring->first) = w;
    ring->last = w;
    ring->queued_bytes += message.len;
    return MLN_OK;
}

struct mln_err mln_ring_send(struct mln_ring *ring, const struct mln_ring_head *head,
                             struct mln_bytes message)
{
    MLN_CHECK((head->kind & RING_MORE) == 0 && head->kind != 0);
    if (atomic_load(&ring->is_broken)) {
        return (struct mln_err){MLN_E_CORRUPT};
    }
    if (message.len > MLN_RING_MESSAGE_MAX) {
        return (struct mln_err){MLN_E_TOO_LARGE};
    }
    size_t sent = 0;
    if (ring->first == NULL && !put_message(ring, head, message, &sent)) {
        return broken(ring);
    }
    if (sent == SIZE_MAX) {
        return MLN_OK;
    }
    MLN_TRY(queue_message(ring, head, message, sent));
    return mln_ring_flush(ring);
}

/* Send queued messages in order while there is room; false when the peer's cursor is impossible. */
static bool drain(struct mln_ring *ring)
{
    while (ring->first != NULL) {
        struct waiting *w = ring->first;
        if (!put_message(ring, &w->head, mln_bytes_at(w->bytes, w->len), &w->sent)) {
            return false;
        }
        if (w->sent != SIZE_MAX) {
            return true;
        }
        ring->first = w->next;
        ring->last = w->next != NULL ? ring->last : NULL;
        ring->queued_bytes -= w->len;
        mln_free_wiped(w, sizeof(*w) + w->len);
    }
    return true;
}

struct mln_err mln_ring_flush(struct mln_ring *ring)
{
    if (atomic_load(&ring->is_broken)) {
        return (struct mln_err){MLN_E_CORRUPT};
    }
    if (ring->first == NULL) {
        return MLN_OK;
    }
    if (!drain(ring)) {
        return broken(ring);
    }
    if (ring->first != NULL) {
        atomic_store_explicit(&ring->out->producer_waits, 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        if (!drain(ring)) {
            return broken(ring);
        }
    }
    return MLN_OK;
}

size_t mln_ring_queued(const struct mln_ring *ring)
{
    return ring->queued_bytes;
}

/* ---- receiving ---- */

/* Bytes that can be read now; false when the peer's cursor is impossible. */
static bool tail_refresh(struct mln_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->in->tail, memory_order_acquire);
    if (tail < ring->in_tail || tail - ring->in_head > MLN_RING_BYTES || tail % RING_ALIGN != 0) {
        return false;
    }
    ring->in_tail = tail;
    return true;
}

/* Wipe and hand back the slot just read. */
static void release(struct mln_ring *ring, size_t n)
{
    bytes_wipe(ring->in_bytes, ring->in_head, n);
    ring->in_head += n;
    atomic_store_explicit(&ring->in->head, ring->in_head, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&ring->in->producer_waits, memory_order_relaxed) != 0) {
        atomic_store_explicit(&ring->in->producer_waits, 0, memory_order_relaxed);
        atomic_store(&ring->owes_bell, true);
    }
}

/* The head of the next slot, checked. NOT_FOUND, CORRUPT. */
static struct mln_err next_slot(struct mln_ring *ring, struct ring_slot *ret)
{
    if (ring->in_tail == ring->in_head && !tail_refresh(ring)) {
        return broken(ring);
    }
    if (ring->in_tail == ring->in_head) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    bytes_out(ret, ring->in_bytes, ring->in_head, sizeof(*ret));
    bool more = (ret->kind & RING_MORE) != 0;
    uint32_t kind = ret->kind & ~RING_MORE;
    bool is_bad = kind == 0 || kind > RING_KIND_MAX || ret->len > MLN_RING_FRAGMENT ||
                  (more && ret->len != MLN_RING_FRAGMENT) ||
                  slot_bytes(ret->len) > ring->in_tail - ring->in_head ||
                  (ring->has_partial &&
                   (kind != ring->partial_head.kind || ret->id != ring->partial_head.id));
    return is_bad ? broken(ring) : MLN_OK;
}

static struct mln_err take_payload(struct mln_ring *ring, size_t n, struct mln_buf *buf)
{
    if (!mln_buf_reserve(buf, n)) {
        struct mln_err err = {buf->is_over ? MLN_E_TOO_LARGE : MLN_E_MEMORY};
        (void)broken(ring); /* the rest of this message cannot be told from the next */
        return err;
    }
    bytes_out(buf->ptr + buf->len, ring->in_bytes, ring->in_head + sizeof(struct ring_slot), n);
    buf->len += n;
    release(ring, slot_bytes(n));
    return MLN_OK;
}

/*
 * The last fragment came: hand the whole over, without copying where the caller's buffer is empty.
 */
static struct mln_err hand_over(struct mln_ring *ring, struct mln_buf *buf)
{
    struct mln_err err = MLN_OK;
    ring->has_partial = false;
    if (buf->len == 0 && (buf->max == 0 || ring->partial.len <= buf->max)) {
        struct mln_buf mine = ring->partial;
        ring->partial = *buf;
        ring->partial.max = MLN_RING_MESSAGE_MAX;
        mine.max = buf->max;
        *buf = mine;
        buf->is_secret = true;
        ring->partial.is_secret = true;
        mln_buf_drop(&ring->partial);
        return err;
    }
    mln_buf_add_bytes(buf, mln_buf_bytes(&ring->partial));
    if (buf->has_failed) {
        err = (struct mln_err){buf->is_over ? MLN_E_TOO_LARGE : MLN_E_MEMORY};
    }
    mln_buf_drop(&ring->partial);
    return err;
}

struct mln_err mln_ring_receive(struct mln_ring *ring, struct mln_ring_head *ret_head,
                                struct mln_buf *buf)
{
    if (atomic_load(&ring->is_broken)) {
        return (struct mln_err){MLN_E_CORRUPT};
    }
    for (;;) {
        struct ring_slot slot;
        MLN_TRY(next_slot(ring, &slot));
        bool more = (slot.kind & RING_MORE) != 0;
        bool is_whole = !more && !ring->has_partial;
        MLN_TRY(take_payload(ring, slot.len, is_whole ? buf : &ring->partial));
        struct mln_ring_head head = {.id = slot.id, .kind = slot.kind & ~RING_MORE};
        if (more) {
            ring->has_partial = true;
            ring->partial_head = head;
            continue;
        }
        *ret_head = head;
        return is_whole ? MLN_OK : hand_over(ring, buf);
    }
}

/* ---- sleep and the bell ---- */

static void bell_write(const struct mln_ring *ring)
{
    uint64_t one = 1;
    ssize_t n = write(ring->peer_bell, &one, sizeof(one)); /* EAGAIN: the bell rings already */
    (void)n;
}

void mln_ring_bell(struct mln_ring *ring)
{
    atomic_thread_fence(memory_order_seq_cst);
    bool owed = atomic_load_explicit(&ring->owes_bell, memory_order_relaxed) &&
                atomic_exchange(&ring->owes_bell, false);
    bool asleep = atomic_load_explicit(&ring->out->consumer_sleeps, memory_order_relaxed) != 0;
    if (asleep) {
        atomic_store_explicit(&ring->out->consumer_sleeps, 0, memory_order_relaxed);
    }
    if (owed || asleep) {
        bell_write(ring);
    }
}

bool mln_ring_sleep(struct mln_ring *ring)
{
    if (atomic_load_explicit(&ring->owes_bell, memory_order_relaxed)) {
        mln_ring_bell(ring);
    }
    atomic_store_explicit(&ring->in->consumer_sleeps, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&ring->in->tail, memory_order_acquire) == ring->in_head &&
           !atomic_load(&ring->is_broken);
}

void mln_ring_awake(struct mln_ring *ring)
{
    atomic_store_explicit(&ring->in->consumer_sleeps, 0, memory_order_relaxed);
}
