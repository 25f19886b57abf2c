/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump arena for the data of one request: capped, wiped when reset, never freed piece by piece.
 * Overflow is an error of the context, not a crash: mln_new returns NULL after it recorded MLN_E_MEMORY.
 */
#pragma once

#include "base/bytes.h"

struct mln_arena;

/*
 * cap_bytes   most that all blocks together may hold (a limit with a reason at the caller)
 * is_secret   blocks are locked in memory, left out of core dumps, and wiped; otherwise only wiped
 */
struct mln_arena *mln_arena_new(size_t cap_bytes, bool is_secret);
void mln_arena_free(struct mln_arena *arena); /* wipes; NULL is fine */
void mln_arena_drop(struct mln_arena **arena);
void mln_arena_reset(struct mln_arena *arena); /* wipes what was used, keeps the first block */
size_t mln_arena_used(const struct mln_arena *arena);
/* 16-byte aligned, zeroed memory, or NULL at the cap. */
void *mln_arena_alloc(struct mln_arena *arena, size_t n);

/* The same on the arena of cx; NULL after recording MLN_E_MEMORY on cx. */
void *mln_new(struct mln_cx *cx, size_t n);
void *mln_new_array(struct mln_cx *cx, size_t count, size_t size);
#define MLN_NEW(cx, type) ((type *)mln_new((cx), sizeof(type)))
/* Copies; a NUL is added behind. On exhaustion: empty view with the fault on cx, and "" for text. */
struct mln_bytes mln_bytes_dup(struct mln_cx *cx, struct mln_bytes from);
const char *mln_text_dup(struct mln_cx *cx, struct mln_bytes from);
const char *mln_text_format(struct mln_cx *cx, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct mln_bytes mln_bytes_format(struct mln_cx *cx, const char *format, ...) __attribute__((format(printf, 2, 3)));
