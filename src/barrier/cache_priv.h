/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was opened lately: boxes beside their plaintext, so that rows which every request reads (its token, a mount's key) are not
 * opened each time. An answer needs the whole box and its store key to be the same byte for byte, so nothing is taken
 * that opening would refuse; a row that was written again has another nonce and is another box.
 *
 * Plaintext lies in locked memory that is wiped by cache_forget (sealing) and when its place is taken. One place a box, chosen by its
 * random nonce; a place that another thread holds just now counts as a miss: nobody waits.
 */
#pragma once

#include "base/secret.h"

#define CACHE_PLACES    256u
#define CACHE_PLAIN_MAX 1024u /* larger rows cost more to copy than to find again, and there are fewer of them */
#define CACHE_KEY_MAX   256u

struct cache;

struct mln_err cache_new(struct mln_cx *cx, struct cache **ret); /* MEMORY */
void cache_free(struct cache *cache);                            /* NULL is fine */
/*
 * The plaintext of the box stored under `key`, into `to` (box.len - MLN_BOX_OVERHEAD bytes). False: not here.
 */
bool cache_get(struct cache *cache, struct mln_bytes key, struct mln_bytes box, uint8_t *to);
/* Keep what opening this box gave; boxes and keys that are too long are not kept. */
void cache_put(struct cache *cache, struct mln_bytes key, struct mln_bytes box, const uint8_t *plain);
void cache_forget(struct cache *cache);
