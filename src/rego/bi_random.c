/* SPDX-License-Identifier: Apache-2.0 */
/* What is drawn by chance, but stays the same for the same arguments in one evaluation. */
#include "crypto/digest.h"
#include "rego/vm_priv.h"

#include "base/clock.h"

struct draw_key {
    uint64_t seed; /* of the run, or of the process */
    int64_t now;   /* of the evaluation */
};

static void draw(struct rg_call *call, struct mln_bytes what, uint8_t to[MLN_HASH_MAX_BYTES])
{
    static _Atomic uint64_t process_seed;
    if (process_seed == 0) {
        process_seed = mln_random_u64() | 1;
    }
    struct draw_key key = {.seed = call->vm->options.seed != 0 ? call->vm->options.seed
                                                                : process_seed,
                           .now = rg_now_ns(call->vm)};
    mln_hmac_sum(MLN_HASH_SHA2_256, mln_bytes_at(&key, sizeof(key)), what, to);
}

static bool rfc4122(struct rg_call *call)
{
    struct mln_bytes key;
    uint8_t u[MLN_HASH_MAX_BYTES];
    if (!rg_arg_string(call, 1, &key)) {
        return false;
    }
    draw(call, key, u);
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    return rg_return(
        call, rg_text(call->heap,
                      rg_text_format(call->heap,
                                     "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x"
                                     "%02x%02x",
                                     u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9],
                                     u[10], u[11], u[12], u[13], u[14], u[15])));
}

static bool intn(struct rg_call *call)
{
    struct mln_bytes key;
    int64_t n = 0;
    uint8_t drawn[MLN_HASH_MAX_BYTES];
    if (!rg_arg_string(call, 1, &key) || !rg_arg_int(call, 2, &n)) {
        return false;
    }
    if (n == 0) {
        return rg_return(call, rg_int(0));
    }
    uint64_t most = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    draw(call, mln_bytes_of(rg_text_format(call->heap, "%llu/%.*s", (unsigned long long)most,
                                           MLN_FMT(key))),
         drawn);
    return rg_return(call, rg_int((int64_t)(mln_get_u64be(drawn) % most)));
}

static bool now_ns(struct rg_call *call)
{
    return rg_return(call, rg_int(rg_now_ns(call->vm)));
}

const struct rg_builtin rg_builtins_random[] = {{"uuid.rfc4122", rfc4122},
                                                {"rand.intn", intn},
                                                {"time.now_ns", now_ns},
                                                {NULL, NULL}};
