/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: server_config_parse, server_config_from_vault, server_address_parse. What is taken has a listener whose address reads back,
 * and a fault always has a text.
 */
#include "fuzz.h"

#include "main/config.c"
#include "main/config_read.c"
#include "main/config_vault.c"

static void look(struct mln_cx *cx, const struct server_config *c)
{
    MLN_CHECK(c->n_listeners >= 1 && c->n_listeners <= SERVER_LISTENERS_MAX);
    for (unsigned i = 0; i < c->n_listeners; i++) {
        struct server_address again = {0};
        MLN_CHECK(!mln_failed(server_address_parse(cx, c->listeners[i].address.text, &again)));
        MLN_CHECK(c->listeners[i].is_tls == (c->listeners[i].cert_file != NULL));
        MLN_CHECK((c->listeners[i].cert_file == NULL) == (c->listeners[i].key_file == NULL));
    }
    MLN_CHECK(origin_is_sane(mln_bytes_of(c->origin)));
    for (size_t i = 0; i < mln_len(c->warnings); i++) {
        MLN_CHECK(mln_len(mln_item(c->warnings, i)) > 0);
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    struct mln_cx cx;
    struct server_config config = {0};
    mln_cx_init(&cx, arena);
    if (mln_failed(server_config_parse(&cx, mln_bytes_at(data, size), false, &config))) {
        MLN_CHECK(cx.text[0] != '\0');
    } else {
        look(&cx, &config);
    }
    mln_arena_free(arena);
    return 0;
}
