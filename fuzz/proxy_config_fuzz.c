/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: proxy_config_parse, proxy_config_read, proxy_place_parse. What is taken keeps plain bytes on this machine and lets in who is
 * named.
 */
#include "fuzz.h"

#include "main/config_read.c"
#include "main/proxy_config.c"
#include "main/proxy_place.c"

static void look(struct mln_cx *cx, const struct mln_proxy_listener *l)
{
    struct proxy_place listen, target;
    MLN_CHECK(!mln_failed(proxy_place_parse(cx, l->listen, &listen)) && !mln_failed(proxy_place_parse(cx, l->target, &target)));
    MLN_CHECK(proxy_place_is_local(l->side == MLN_PROXY_SERVER ? &target : &listen));
    MLN_CHECK(l->n_allow > 0 && l->n_allow <= MLN_PROXY_IDS_MAX && l->socket_mode <= 0777);
    for (size_t i = 0; i < l->n_allow; i++) {
        MLN_CHECK(mln_bytes_starts(l->allow[i], MLN_BYTES("spiffe://")));
    }
}

static void read_as(struct mln_bytes text, bool is_yaml)
{
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    const struct mln_value *all = NULL;
    struct proxy_config config;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_err err = proxy_config_parse(&cx, text, is_yaml, &all);
    err = mln_failed(err) ? err : proxy_config_read(&cx, all, &config);
    MLN_CHECK(!mln_failed(err) || cx.text[0] != 0);
    for (size_t i = 0; !mln_failed(err) && i < config.n_listeners; i++) {
        look(&cx, &config.listeners[i]);
    }
    mln_arena_free(arena);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    read_as(mln_bytes_at(data, size), true);
    read_as(mln_bytes_at(data, size), false);
    return 0;
}
