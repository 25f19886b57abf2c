/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that several rooms share, each with its reason. A limit of one room stands in that room. */
#pragma once

#define MLN_PATH_MAX_BYTES 2048              /* of a request path: Vault clients stay far below; keeps store keys sane */
#define MLN_NAME_MAX_BYTES 512               /* of a mount, policy, user or key name */
#define MLN_BODY_MAX_BYTES (32u << 20)       /* of a request body: Vault's default max_request_size */
#define MLN_REQUEST_ARENA_BYTES (192u << 20) /* a parsed 32 MiB body of small values and its answer; refused above */
#define MLN_POLICY_MAX_BYTES (256u << 10)    /* of one ACL policy text */
#define MLN_RING_INLINE_MAX (64u << 10)      /* a ring message above travels as a sealed memfd */
