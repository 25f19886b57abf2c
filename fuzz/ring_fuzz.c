/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_ring_receive and mln_ring_send over memory that a hostile peer wrote. The first 16
 * bytes are the cursors of the peer, the rest are slots. Whatever stands there: no crash, nothing
 * above the limits, and a ring that was found corrupt stays so.
 */
#include "fuzz.h"

#include <sys/mman.h>

#include "net/ring_priv.h"

#define MESSAGES_MAX 64u

static void receive_all(struct mln_ring *core)
{
    bool was_corrupt = false;
    for (unsigned i = 0; i < MESSAGES_MAX; i++) {
        struct mln_ring_head head = {0};
        struct mln_buf buf = {.is_secret = true};
        struct mln_err err = mln_ring_receive(core, &head, &buf);
        MLN_CHECK(!was_corrupt || mln_is(err, MLN_E_CORRUPT));
        was_corrupt = mln_is(err, MLN_E_CORRUPT);
        if (!mln_failed(err)) {
            MLN_CHECK(head.kind >= 1 && head.kind <= RING_KIND_MAX);
            MLN_CHECK(buf.len <= MLN_RING_MESSAGE_MAX);
            head.kind = 2;
            (void)mln_failed(mln_ring_send(core, &head, mln_buf_bytes(&buf)));
        }
        mln_buf_drop(&buf);
        mln_ring_bell(core);
        (void)mln_ring_sleep(core);
        mln_ring_awake(core);
    }
    struct mln_ring_head head = {.id = 1, .kind = 2};
    static const uint8_t some[100000];
    (void)mln_failed(mln_ring_send(core, &head, mln_bytes_at(some, sizeof(some))));
    (void)mln_failed(mln_ring_flush(core));
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_ring_fds fds;
    struct mln_ring *core = NULL;
    if (size < 16) {
        return 0;
    }
    mln_cx_init(&cx, NULL);
    MLN_CHECK(!mln_failed(mln_ring_create(&cx, &fds)));
    MLN_CHECK(!mln_failed(mln_ring_attach(&cx, &fds, MLN_RING_CORE, &core)));
    void *map = mmap(NULL, RING_MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds.memfd, 0);
    MLN_CHECK(map != MAP_FAILED);
    struct ring_map *control = map;
    size_t n = size - 16 < MLN_RING_BYTES ? size - 16 : MLN_RING_BYTES;
    mln_copy(ring_bytes_of(map, RING_TO_CORE), data + 16, n);
    atomic_store(&control->lanes[RING_TO_CORE].tail, mln_get_u64le(data));
    atomic_store(&control->lanes[RING_TO_FRONT].head, mln_get_u64le(data + 8));
    receive_all(core);
    (void)munmap(map, RING_MAP_BYTES);
    mln_ring_free(core);
    mln_ring_fds_close(&fds);
    return 0;
}
