/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the transit engine share: a mount, base64 of what is asked and answered. */
#pragma once

#include "kit/engine_kit.h"

#include <stdio.h>

extern const struct mln_engine mln_engine_transit;

static inline struct ek *tk_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "transit/", &mln_engine_transit, "22222222-0000-4000-8000-000000000000");
    return k;
}
#define TRANSIT(name) MLN_AUTO(ek_drop) struct ek *name = tk_new()

/* A member of the answer as text that outlives the next call; the last eight are kept. */
static inline const char *tk_keep(struct ek *k, const char *member)
{
    static char kept[8][16384];
    static size_t at;
    char *to = kept[at++ % 8];
    struct mln_bytes text = mln_get_bytes(mln_get(k->re.data, member));
    assert_true(text.len > 0 && text.len < sizeof(kept[0]));
    mln_copy(to, text.ptr, text.len);
    to[text.len] = '\0';
    return to;
}

/* printf into one of 32 buffers that outlive the call's context */
static inline const char *tk_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline const char *tk_format(const char *format, ...)
{
    static char made[32][32768];
    static size_t at;
    char *to = made[at++ % 32];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(to, sizeof(made[0]), format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof(made[0]));
    return to;
}

/* The bytes of base64 text, in cx. */
static inline struct mln_bytes tk_bytes(struct mln_cx *cx, struct mln_bytes text)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    kit_ok(cx, mln_base64_parse(cx, text, MLN_B64_STD, &out));
    return mln_bytes_dup(cx, mln_buf_bytes(&out));
}

/* The payload behind "vault:vN:" as bytes. */
static inline struct mln_bytes tk_payload(struct mln_cx *cx, const char *text)
{
    struct mln_bytes rest = mln_bytes_of(text);
    (void)mln_bytes_cut(rest, ':', &rest);
    (void)mln_bytes_cut(rest, ':', &rest);
    return tk_bytes(cx, rest);
}

static inline void tk_make(struct ek *k, const char *name, const char *type, const char *more)
{
    EK_WANT(k,
            ek_write(k, tk_format("transit/keys/%s", name),
                     tk_format("{\"type\":\"%s\"%s}", type, more)),
            200);
}
