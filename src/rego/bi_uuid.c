/* SPDX-License-Identifier: Apache-2.0 */
/* uuid.parse: what the bytes of a UUID (RFC 9562) say. */
#include "rego/builtin_priv.h"

#define GREGORIAN_100NS 122192928000000000LL /* from 1582-10-15 to 1970-01-01 */

static int hex(uint8_t c)
{
    uint8_t l = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* "xxxxxxxx-xxxx-...", with "urn:uuid:" before it or one byte around it, or 32 digits alone. */
static bool read(struct mln_bytes t, uint8_t to[16])
{
    bool dashed = t.len != 32;
    if (t.len == 45 && mln_bytes_is_nocase(mln_bytes_sub(t, 0, 9), "urn:uuid:")) {
        t = mln_bytes_from(t, 9);
    } else if (t.len == 38) {
        t = mln_bytes_sub(t, 1, 36);
    } else if (t.len != 36 && t.len != 32) {
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        if (dashed && (i == 4 || i == 6 || i == 8 || i == 10) && t.ptr[at++] != '-') {
            return false;
        }
        int a = hex(t.ptr[at]), b = hex(t.ptr[at + 1]);
        if (a < 0 || b < 0) {
            return false;
        }
        to[i] = (uint8_t)(a << 4 | b);
        at += 2;
    }
    return true;
}

static void put_time(struct rg_call *call, struct rg_val out, const uint8_t u[16], unsigned version)
{
    struct rg_heap *heap = call->heap;
    static const char *const domains[] = {"Person", "Group", "Org"};
    uint64_t t = (uint64_t)mln_get_u32be(u) | (uint64_t)mln_get_u16be(u + 4) << 32 |
                 (uint64_t)(mln_get_u16be(u + 6) & 0xfff) << 48;
    rg_put_text(heap, out, "time", rg_int(((int64_t)t - GREGORIAN_100NS) * 100));
    rg_put_text(heap, out, "clocksequence", rg_int(mln_get_u16be(u + 8) & 0x3fff));
    rg_put_text(heap, out, "nodeid",
                rg_text(heap, rg_text_format(heap, "%02x-%02x-%02x-%02x-%02x-%02x", u[10], u[11],
                                             u[12], u[13], u[14], u[15])));
    rg_put_text(heap, out, "macvariables",
                rg_text(heap, rg_text_format(heap, "%s:%s", (u[10] & 2) != 0 ? "local" : "global",
                                             (u[10] & 1) != 0 ? "multicast" : "unicast")));
    if (version == 2) {
        const char *domain =
            u[9] < MLN_COUNT(domains) ? domains[u[9]] : rg_text_format(heap, "Domain%u", u[9]);
        rg_put_text(heap, out, "domain", rg_text(heap, domain));
        rg_put_text(heap, out, "id", rg_int(mln_get_u32be(u)));
    }
}

static bool parse(struct rg_call *call)
{
    struct mln_bytes t;
    uint8_t u[16] = {0};
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    if (!read(t, u)) {
        return true;
    }
    struct rg_val out = rg_object(call->heap, 8);
    unsigned version = u[6] >> 4, top = u[8] >> 5;
    const char *variant = top == 7 ? "Future" : top == 6 ? "Microsoft" : "RFC4122";
    rg_put_text(call->heap, out, "version", rg_int(version));
    rg_put_text(call->heap, out, "variant", rg_text(call->heap, top < 4 ? "Reserved" : variant));
    if (version == 1 || version == 2) {
        put_time(call, out, u, version);
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_uuid[] = {{"uuid.parse", parse}, {NULL, NULL}};
