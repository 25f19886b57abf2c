/* SPDX-License-Identifier: Apache-2.0 */
/* Inside reach: frames, the libraries that only this process loads, one function a protocol. */
#pragma once

#include <pthread.h>
#include <time.h>

#include "net/reach.h"

/* A URL as reach takes it: no user information, no control characters. Views into the text. */
struct reach_url {
    struct mln_bytes scheme, host; /* host without brackets */
    uint16_t port;
    struct mln_bytes path; /* from "/", "?" or "" on */
    bool is_v6;            /* host stood in brackets */
};
struct mln_err reach_url_parse(struct mln_cx *cx, struct mln_bytes text, struct reach_url *ret);
const char *reach_url_target(struct mln_cx *cx, const struct reach_url *url);
int64_t reach_timeout_ms(const struct mln_value *ask);

/* ---- reach_frame.c ---- */
/* Whole frames over a stream socket; frames are wiped by their owners. UNREACHABLE: the other side is gone. */
struct mln_err reach_frame_send(struct mln_cx *cx, int fd, size_t max, const struct mln_value *message);
struct mln_err reach_frame_receive(struct mln_cx *cx, int fd, size_t max, struct mln_buf *ret);

/* ---- reach_cache.c: core's side ---- */
struct reach_cache;
struct reach_cache *reach_cache_new(void); /* NULL: no memory */
void reach_cache_free(struct reach_cache *cache);
/* How old may the answer be? 0: ask anew. */
int64_t reach_cache_age_ms(const struct mln_value *ask);
struct mln_err reach_cache_key(struct mln_cx *cx, const struct mln_value *ask, uint8_t ret[32]);
bool reach_cache_get(struct reach_cache *cache, const uint8_t key[32], int64_t age_ms, struct mln_buf *ret);
void reach_cache_put(struct reach_cache *cache, const uint8_t key[32], struct mln_bytes frame, bool is_failure);

/* ---- reach_turn.c: core's side ---- */
struct reach_turns;
struct reach_turn;
struct reach_turns *reach_turns_new(void); /* NULL: no memory */
void reach_turns_free(struct reach_turns *turns);
void reach_turns_end(struct reach_turns *turns); /* who waits, and who comes, hears UNREACHABLE */
/*
 * The turn to ask `target` ("host:port"), given back by reach_turn_give: at most MLN_REACH_CALLS_MAX, MLN_REACH_CALLS_OF_TARGET of one
 * target, one of a key (32 bytes; NULL: none). Few wait for theirs, `ms` at most. errors LIMIT, UNREACHABLE
 */
struct mln_err reach_turn_take(struct mln_cx *cx, struct reach_turns *turns, const char *target, const uint8_t *key, int64_t ms,
                               struct reach_turn **ret);
/* A condition whose clock is that of reach_end_after: the time in `ms`, which changes of the date do not move. */
void reach_cond_init(pthread_cond_t *cond);
struct timespec reach_end_after(int64_t ms);
void reach_turn_give(struct reach_turns *turns, struct reach_turn *turn);

/* ---- reach_http.c, reach_ldap.c: loaded at run time, so that no other process maps them ---- */
bool reach_http_load(void);
bool reach_ldap_load(void);
struct mln_err reach_http(struct mln_cx *cx, const struct mln_value *allow,
                          const struct mln_value *ask, const struct mln_value **ret);
struct mln_err reach_ldap(struct mln_cx *cx, const struct mln_value *allow,
                          const struct mln_value *ask, const struct mln_value **ret);
/* reach_lookup.c */
struct mln_err reach_lookup(struct mln_cx *cx, const struct mln_value *allow,
                            const struct mln_value *ask, const struct mln_value **ret);
/* A function of a loaded library as a pointer of its type. */
bool reach_symbol(void *library, const char *name, void *ret_function, size_t size);
