/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a pair of rings lies in its memfd. All numbers are in the machine's order: both ends run on
 * one machine.
 *
 *   0        lane 0 (front to core): tail | head | flags, each on its own 128 bytes
 *   512      lane 1 (core to front)
 *   4096     bytes of lane 0 (MLN_RING_BYTES)
 *   ...      bytes of lane 1
 *
 *   slot     | len u32 | kind u32 | id u64 | payload | fill to 64 bytes |
 *            kind with RING_MORE: another fragment follows
 *
 * Cursors count bytes from the beginning of time, the place in the lane is the cursor modulo
 * MLN_RING_BYTES. A slot's head never crosses the end, its payload may.
 */
#pragma once

#include <stdatomic.h>

#include "net/ring.h"

#define RING_ALIGN         64u
#define RING_MORE          0x80000000u
#define RING_KIND_MAX      255u
#define RING_CONTROL_BYTES 4096u
#define RING_MAP_BYTES     (RING_CONTROL_BYTES + 2 * (size_t)MLN_RING_BYTES)

enum { RING_TO_CORE, RING_TO_FRONT };

struct ring_slot {
    uint32_t len;
    uint32_t kind;
    uint64_t id;
};
static_assert(sizeof(struct ring_slot) == 16);

struct ring_lane {
    _Alignas(128) _Atomic uint64_t tail;            /* written by the producer */
    _Alignas(128) _Atomic uint64_t head;            /* written by the consumer */
    _Alignas(128) _Atomic uint32_t consumer_sleeps; /* set by the consumer, cleared by who rings */
    _Alignas(128) _Atomic uint32_t
        producer_waits; /* set by the producer, cleared by who makes room */
};
static_assert(sizeof(struct ring_lane) == 512);

struct ring_map {
    struct ring_lane lanes[2];
};

static inline uint8_t *ring_bytes_of(void *map, int lane)
{
    return (uint8_t *)map + RING_CONTROL_BYTES + (size_t)lane * MLN_RING_BYTES;
}
