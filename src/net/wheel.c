/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wheel of deadlines: a slot each 67 ms, a connection in at most one. Moving a deadline later
 * costs nothing: the entry fires at its old place and is put where it belongs. Deadlines beyond the
 * wheel go to its last slot.
 */
#include "net/front_priv.h"

static uint64_t tick_of(int64_t ns)
{
    return (uint64_t)(ns / WHEEL_TICK_NS);
}

void wheel_begin(struct wheel *wheel, int64_t now_ns)
{
    wheel->now_tick = tick_of(now_ns);
}

static void link_at(struct wheel *wheel, struct conn *conn, uint64_t tick)
{
    uint64_t last = wheel->now_tick + WHEEL_SLOTS - 1;
    tick = tick > wheel->now_tick ? tick : wheel->now_tick + 1;
    tick = tick < last ? tick : last;
    size_t slot = tick % WHEEL_SLOTS;
    conn->wheel_tick = tick;
    conn->wheel_prev = NULL;
    conn->wheel_next = wheel->slots[slot];
    if (conn->wheel_next != NULL) {
        conn->wheel_next->wheel_prev = conn;
    }
    wheel->slots[slot] = conn;
    wheel->used[slot / 64] |= (uint64_t)1 << slot % 64;
}

void wheel_remove(struct wheel *wheel, struct conn *conn)
{
    if (conn->wheel_tick == 0) {
        return;
    }
    size_t slot = conn->wheel_tick % WHEEL_SLOTS;
    if (conn->wheel_next != NULL) {
        conn->wheel_next->wheel_prev = conn->wheel_prev;
    }
    if (conn->wheel_prev != NULL) {
        conn->wheel_prev->wheel_next = conn->wheel_next;
    } else {
        wheel->slots[slot] = conn->wheel_next;
    }
    if (wheel->slots[slot] == NULL) {
        wheel->used[slot / 64] &= ~((uint64_t)1 << slot % 64);
    }
    conn->wheel_tick = 0;
    conn->wheel_next = conn->wheel_prev = NULL;
}

void wheel_set(struct wheel *wheel, struct conn *conn, int64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
    uint64_t tick = tick_of(deadline_ns) + 1;
    if (deadline_ns == INT64_MAX || (conn->wheel_tick != 0 && conn->wheel_tick <= tick)) {
        return;
    }
    wheel_remove(wheel, conn);
    link_at(wheel, conn, tick);
}

static void fire_slot(struct wheel *wheel, int64_t now_ns, void (*late)(struct conn *conn))
{
    struct conn *conn = wheel->slots[wheel->now_tick % WHEEL_SLOTS];
    while (conn != NULL) {
        struct conn *next = conn->wheel_next;
        wheel_remove(wheel, conn);
        if (conn->deadline_ns <= now_ns) {
            conn->deadline_ns = INT64_MAX;
            late(conn);
        } else if (conn->deadline_ns != INT64_MAX) {
            link_at(wheel, conn, tick_of(conn->deadline_ns) + 1);
        }
        conn = next;
    }
}

void wheel_advance(struct wheel *wheel, int64_t now_ns, void (*late)(struct conn *conn))
{
    uint64_t now = tick_of(now_ns);
    if (now >
        wheel->now_tick + WHEEL_SLOTS) { /* a long sleep of the machine: once around is enough */
        wheel->now_tick = now - WHEEL_SLOTS;
    }
    while (wheel->now_tick < now) {
        wheel->now_tick++;
        fire_slot(wheel, now_ns, late);
    }
}

int wheel_timeout_ms(const struct wheel *wheel, int64_t now_ns)
{
    for (uint64_t tick = wheel->now_tick + 1; tick < wheel->now_tick + WHEEL_SLOTS;) {
        size_t slot = tick % WHEEL_SLOTS;
        uint64_t bits = wheel->used[slot / 64] >> slot % 64;
        if (bits != 0) {
            tick += (uint64_t)__builtin_ctzll(bits);
            int64_t left = (int64_t)tick * WHEEL_TICK_NS - now_ns;
            return left <= 0 ? 0 : (int)(left / 1000000) + 1;
        }
        tick += 64 - slot % 64;
    }
    return -1;
}
