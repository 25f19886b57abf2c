/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target: templates of registration entries. First line: the template's id; second: a DNS name; then what a caller shows. Whatever they
 * are, an entry that is made has a whole id of the trust domain, outside of the servers' own paths; and what a template makes, the
 * picture of who may talk to whom knows for its own.
 */
#include "fuzz.h"

#include "cli/graph_priv.h"
#include "identity/spiffe_template.h"

#define LINES_MAX 32u

static bool has_labels(struct mln_bytes id)
{
    return mln_bytes_find_bytes(id, MLN_BYTES("label:")) < id.len;
}

static void check_row(struct mln_cx *cx, const struct mln_value *tmpl, const struct mln_value *row)
{
    struct graph g = {.cx = cx, .domain = MLN_BYTES("example.org")};
    struct mln_value *shows = NULL;
    struct mln_spiffe_id id;
    struct mln_bytes text = mln_get_bytes(mln_get(row, "spiffe_id")),
                     from = mln_get_bytes(mln_get(tmpl, "spiffe_id"));
    MLN_CHECK(!mln_failed(mln_spiffe_id_parse(cx, text, &id)) &&
              mln_bytes_is(id.domain, "example.org") && id.path.len > 1);
    MLN_CHECK(!mln_bytes_starts(id.path, MLN_BYTES("/merlon/")));
    MLN_CHECK(mln_len(mln_get(row, "selectors")) >= 2);
    MLN_CHECK(mln_bytes_starts(mln_get_bytes(mln_get(row, "id")), SP_MADE_PREFIX));
    if (!has_labels(from)) { /* names of labels have slashes, by which the picture divides */
        MLN_CHECK(graph_template_meets(&g, tmpl, text, &shows));
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(32u << 20, false);
    struct mln_cx cx;
    static const struct sp_state state = {.domain = "example.org",
                                          .id = "spiffe://example.org",
                                          .server = "spiffe://example.org/merlon/server"};
    mln_cx_init(&cx, arena);
    struct mln_value *tmpl = mln_object(&cx), *dns = mln_array(&cx), *selectors = mln_array(&cx),
                     *given = mln_object(&cx);
    struct mln_bytes left = mln_bytes_at(data, size);
    struct mln_bytes id = mln_bytes_cut(left, '\n', &left), name = mln_bytes_cut(left, '\n', &left);
    mln_put_text(&cx, tmpl, "name", "t");
    mln_put_bytes(&cx, tmpl, "spiffe_id", id);
    if (name.len > 0) {
        mln_push(&cx, dns, mln_string(&cx, name));
    }
    mln_put(&cx, tmpl, "dns_names", dns);
    for (unsigned i = 0; i < LINES_MAX && left.len > 0; i++) {
        mln_push(&cx, selectors, mln_string(&cx, mln_bytes_cut(left, '\n', &left)));
    }
    for (size_t i = 0; i < mln_len(tmpl); i++) {
        mln_put_key(&cx, given, mln_member_at(tmpl, i)->key, &mln_member_at(tmpl, i)->value);
    }
    struct mln_request rq = {.cx = &cx, .fields = given, .now_ns = 1};
    struct sp_pod pod = {.parent = mln_bytes_of(state.server), .selectors = selectors};
    const struct mln_value *taken = NULL, *asked = NULL, *row = NULL;
    if (!mln_failed(sp_template_make(&rq, &state, NULL, &taken)) &&
        !mln_failed(sp_template_ask(&cx, &state, taken, &pod, &asked)) && asked != NULL &&
        !mln_failed(sp_template_row(&rq, &state, taken, asked, &row)) && row != NULL) {
        check_row(&cx, taken, row);
    }
    mln_cx_clear(&cx);
    mln_arena_free(arena);
    return 0;
}
