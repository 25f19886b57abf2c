/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_hcl_parse, mln_policy_parse, mln_acl_new, mln_acl_check. What is read prints as JSON that reads back equal (JSON
 * is a form of the language), and a policy's table decides without harm on its own text as a path.
 */
#include "fuzz.h"

#include "base/json.h"
#include "policy/acl.h"

static void round_trip(struct mln_cx *cx, struct mln_bytes in)
{
    const struct mln_value *first = NULL, *second = NULL;
    if (mln_failed(mln_hcl_parse(cx, in, &first))) {
        MLN_CHECK(cx->text[0] != '\0');
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    mln_json_print(&json, first, MLN_JSON_COMPACT);
    MLN_CHECK(!mln_failed(mln_buf_ok(cx, &json)));
    MLN_CHECK(!mln_failed(mln_hcl_parse(cx, mln_buf_bytes(&json), &second)));
    MLN_CHECK(mln_value_eq(first, second));
}

static void decide(struct mln_cx *cx, struct mln_bytes in)
{
    struct mln_policy *policy = NULL;
    struct mln_acl *acl = NULL;
    if (mln_failed(mln_policy_parse(cx, in, &policy))) {
        return;
    }
    const struct mln_policy *list[] = {policy, policy};
    MLN_CHECK(!mln_failed(mln_acl_new(cx, list, 2, false, &acl)));
    mln_policy_free(policy);
    for (size_t i = 0; i < in.len; i += 7) {
        struct mln_bytes path = mln_bytes_sub(in, i, 23);
        unsigned all = mln_acl_capabilities(acl, path);
        struct mln_err err = mln_acl_check(cx, acl, path, MLN_CAP_READ, NULL, NULL);
        MLN_CHECK(mln_failed(err) == ((all & MLN_CAP_READ) == 0 || (all & MLN_CAP_DENY) != 0));
        mln_cx_clear(cx);
    }
    mln_acl_free(acl);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    round_trip(&cx, mln_bytes_at(data, size));
    mln_cx_clear(&cx);
    mln_arena_reset(arena);
    decide(&cx, mln_bytes_at(data, size));
    mln_arena_free(arena);
    return 0;
}
