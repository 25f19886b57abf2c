/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for requests: which rows are taken. What they do to requests: test/e2e/rules.py. */
#include "kit/kit.h"

#include "base/json.h"
#include "core/govern.h"

#define POLICY "\"policy\":\"package a\\ndeny contains 1\""

static const struct {
    const char *name, *key, *row;
    enum mln_code code;
    const char *part;
} rows[] = {
    {"an endpoint rule", "egp/a",
     "{" POLICY ",\"enforcement_level\":\"hard-mandatory\",\"paths\":[\"*\"]}", MLN_E_OK, NULL},
    {"soft", "egp/a", "{" POLICY ",\"enforcement_level\":\"soft-mandatory\",\"paths\":[\"a/*\"]}",
     MLN_E_OK, NULL},
    {"a dry run", "egp/a",
     "{" POLICY ",\"enforcement_level\":\"advisory\",\"mode\":\"dry-run\",\"paths\":[\"*\"]}",
     MLN_E_OK, NULL},
    {"a role rule", "rgp/a", "{" POLICY ",\"enforcement_level\":\"advisory\",\"groups\":[\"g\"]}",
     MLN_E_OK, NULL},
    {"only warnings", "egp/a",
     "{\"policy\":\"package a\\nwarn contains "
     "1\",\"enforcement_level\":\"advisory\",\"paths\":[\"*\"]}",
     MLN_E_OK, NULL},
    {"no level", "egp/a", "{" POLICY ",\"paths\":[\"*\"]}", MLN_E_INVALID, "enforcement_level"},
    {"no paths", "egp/a", "{" POLICY ",\"enforcement_level\":\"advisory\"}", MLN_E_INVALID,
     "names its paths"},
    {"an empty path", "egp/a", "{" POLICY ",\"enforcement_level\":\"advisory\",\"paths\":[\"\"]}",
     MLN_E_INVALID, "paths has an empty entry"},
    {"for nobody", "rgp/a", "{" POLICY ",\"enforcement_level\":\"advisory\",\"paths\":[\"*\"]}",
     MLN_E_INVALID, "names policies"},
    {"a mode that is none", "egp/a",
     "{" POLICY ",\"enforcement_level\":\"advisory\",\"mode\":\"off\",\"paths\":[\"*\"]}",
     MLN_E_INVALID, "mode"},
    {"no policy", "egp/a", "{\"enforcement_level\":\"advisory\",\"paths\":[\"*\"]}", MLN_E_INVALID,
     "policy is no text"},
    {"bad Rego", "egp/a",
     "{\"policy\":\"package a\\ndeny if\",\"enforcement_level\":\"advisory\",\"paths\":[\"*\"]}",
     MLN_E_INVALID, "egp/a:2"},
    {"never says no", "egp/a",
     "{\"policy\":\"package a\\nx := 1\",\"enforcement_level\":\"advisory\",\"paths\":[\"*\"]}",
     MLN_E_INVALID, "never say no"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_value *row = NULL;
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(rows[i].row), &row));
        kit_expect_at(cx, mln_govern_check(cx, rows[i].key, row), rows[i].code, rows[i].part,
                      rows[i].name, __FILE__, __LINE__);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
