/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots. The input is a plain tar, packed here (random bytes are never whole gzip data), or gzip data as it is. What is read
 * fills a store; the dump of that store has the same rows.
 */
#include <zlib.h>

#include "base/buf.h"
#include "fuzz.h"
#include "store/dump.h"

static struct mln_err put_row(void *arg, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes value)
{
    struct mln_store_writer **w = arg;
    return mln_writer_put(cx, *w, key, value);
}

struct filling {
    struct mln_bytes file;
    struct mln_store_writer *writer;
    struct mln_dump_facts facts;
};

static struct mln_err put_all(void *arg, struct mln_cx *cx, struct mln_store_writer *w)
{
    struct filling *f = arg;
    struct mln_dump_take take = {put_row, &f->writer};
    f->writer = w;
    return mln_dump_read(cx, f->file, NULL, &take, &f->facts);
}

static struct mln_err to_buf(void *arg, struct mln_cx *cx, struct mln_bytes bytes)
{
    mln_buf_add_bytes(arg, bytes);
    return mln_buf_ok(cx, arg);
}

static void pack(struct mln_buf *to, const uint8_t *data, size_t size)
{
    z_stream z = {0};
    union {
        const uint8_t *from;
        uint8_t *to;
    } strip = {.from = data};
    MLN_CHECK(mln_buf_reserve(to, size + 4096));
    MLN_CHECK(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = strip.to;
    z.avail_in = (uInt)size;
    z.next_out = to->ptr;
    z.avail_out = (uInt)(size + 4096);
    MLN_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    to->len = z.total_out;
    deflateEnd(&z);
}

static void round_trip(struct mln_cx *cx, struct mln_store *store, const struct mln_dump_facts *first)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
    struct mln_dump_sink sink = {to_buf, &again};
    struct mln_dump_facts facts = {0};
    MLN_CHECK(!mln_failed(mln_snap_begin(cx, store, &snap)));
    MLN_CHECK(!mln_failed(mln_dump_write(cx, snap, NULL, NULL, &sink)));
    MLN_CHECK(!mln_failed(mln_dump_read(cx, mln_buf_bytes(&again), NULL, NULL, &facts)));
    MLN_CHECK(facts.rows == first->rows && facts.bytes == first->bytes);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(64u << 20, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct mln_store *store = NULL;
    struct mln_store_fault *control = NULL;
    struct mln_cx cx;
    MLN_CHECK(arena != NULL && !mln_failed(mln_store_open_fault(NULL, &store, &control)));
    mln_cx_init(&cx, arena);
    struct filling f = {.file = mln_bytes_at(data, size)};
    struct mln_store_fill fill = {put_all, &f};
    if (size < 2 || data[0] != 0x1f || data[1] != 0x8b) {
        pack(&packed, data, size);
        f.file = mln_buf_bytes(&packed);
    }
    struct mln_err err = mln_store_replace(&cx, store, &fill);
    if (!mln_failed(err) && f.facts.rows > 0) {
        round_trip(&cx, store, &f.facts);
    }
    mln_store_close(store);
    return 0;
}
