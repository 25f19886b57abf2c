/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of age share. */
#pragma once

#include "artifact/age.h"

#define AGE_VERSION_LINE "age-encryption.org/v1\n"
#define AGE_NONCE        16
#define AGE_BOX          (MLN_AGE_CHUNK + MLN_AGE_TAG)

void age_mac(const uint8_t file_key[MLN_AGE_KEY], struct mln_bytes maced, uint8_t mac[32]);
void age_payload_key(const uint8_t file_key[MLN_AGE_KEY], const uint8_t nonce[AGE_NONCE],
                     uint8_t key[32]);
/* plain.len + 16 bytes to box. */
struct mln_err age_seal_chunk(struct mln_cx *cx, const uint8_t key[32], uint64_t index,
                              bool is_last, struct mln_bytes plain, uint8_t *box);
/* box.len - 16 bytes to plain; FORGED. */
struct mln_err age_open_chunk(struct mln_cx *cx, const uint8_t key[32], uint64_t index,
                              bool is_last, struct mln_bytes box, uint8_t *plain);
/*
 * Chunks of a payload of n bytes behind its nonce; FORGED when no chunks add up to it. *ret_plain:
 * bytes of plaintext.
 */
struct mln_err age_count_chunks(struct mln_cx *cx, uint64_t n, uint64_t *ret_chunks,
                                uint64_t *ret_plain);
