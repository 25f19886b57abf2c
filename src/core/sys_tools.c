/* SPDX-License-Identifier: Apache-2.0 */
/* sys/tools: random bytes and hashes for who has no better source. What they do is in crypto/tools.h. */
#include "core/sys_priv.h"

#include "crypto/tools.h"

static struct mln_err tools_random(struct mln_request *rq, struct mln_reply *re)
{
    return mln_tools_random(rq->cx, rq->fields, &re->data);
}

static struct mln_err tools_hash(struct mln_request *rq, struct mln_reply *re)
{
    return mln_tools_hash(rq->cx, rq->fields, &re->data);
}

static const struct mln_field random_fields[] = {
    F_TEXT("source", "platform, seal or all; or the number of bytes."),
    F_TEXT("urlbytes", "Number of bytes in the path."),
    F_INT("bytes", "32", "How many, at most 131072."),
    F_TEXT("format", "base64 or hex."),
    {0},
};
static const struct mln_field hash_fields[] = {
    {.name = "input", .type = MLN_FIELD_SECRET, .help = "What to hash, in base64."},
    F_TEXT("urlalgorithm", "Algorithm in the path."),
    F_TEXT("algorithm", "sha2-224 to sha3-512; sha2-256."),
    F_TEXT("format", "hex or base64."),
    {0},
};

const struct mln_path mln_sys_tools[] = {
    {.pattern = "tools/random/{source}/{urlbytes}",
     .summary = "Random bytes.",
     .fields = random_fields,
     .write = tools_random},
    {.pattern = "tools/random/{source}?",
     .summary = "Random bytes.",
     .fields = random_fields,
     .write = tools_random},
    {.pattern = "tools/hash/{urlalgorithm}?",
     .summary = "Hash.",
     .fields = hash_fields,
     .write = tools_hash},
    {0},
};
