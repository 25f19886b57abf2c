/* SPDX-License-Identifier: Apache-2.0 */
/* spiffe/connections: what is put into the record as it was told, and what is refused. */
#include "unit/identity/spiffe_kit.h"

#define END                                                                                                          \
    "\"event\":\"end\",\"conn\":\"0fa4\",\"listener\":\"a\",\"mode\":\"server\",\"start\":\"2026-11-27T09:54:17.683680Z\""

static void test_told(void **state)
{
    (void)state;
    SK(k);
    EK_WANT(k,
            ek_write(k, "spiffe/connections",
                     "{\"connections\":[{" END ",\"peer_id\":\"spiffe://example.org/web\",\"proved\":true,\"bytes_in\":5,\"bytes_out\":0,"
                     "\"end\":\"2026-11-27T09:54:18Z\",\"reason\":\"closed\",\"own_id\":\"spiffe://example.org/db\"}],\"lost\":3}"),
            200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "recorded"), 0), 1);
    const struct mln_value *one = mln_item(mln_get(k->detail, "connections"), 0);
    assert_true(mln_is_text(mln_get(one, "peer_id"), "spiffe://example.org/web"));
    assert_int_equal(mln_get_int(mln_get(k->detail, "lost"), 0), 3);
    assert_false(k->wrote);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *body, *text;
    } t[] = {
        {"nothing", "{}", "must be a list"},
        {"no list", "{\"connections\":{}}", "must be a list"},
        {"an empty list", "{\"connections\":[]}", "must be a list"},
        {"fewer than none lost", "{\"connections\":[{" END "}],\"lost\":-1}", "must be a list"},
        {"a text", "{\"connections\":[\"end\"]}", "must be an object"},
        {"no event", "{\"connections\":[{\"conn\":\"a\",\"listener\":\"a\",\"mode\":\"server\",\"start\":\"2026-11-27T09:54:17Z\"}]}",
         "'event' is missing"},
        {"no start", "{\"connections\":[{\"event\":\"end\",\"conn\":\"a\",\"listener\":\"a\",\"mode\":\"server\"}]}", "'start' is missing"},
        {"another event",
         "{\"connections\":[{\"event\":\"login\",\"conn\":\"a\",\"listener\":\"a\",\"mode\":\"server\","
         "\"start\":\"2026-11-27T09:54:17Z\"}]}",
         "event"},
        {"an unknown member", "{\"connections\":[{" END ",\"token\":\"s.x\"}]}", "unknown member 'token'"},
        {"an id that is none", "{\"connections\":[{" END ",\"peer_id\":\"web\"}]}", "peer_id"},
        {"an id of an odd domain", "{\"connections\":[{" END ",\"own_id\":\"spiffe://Example.org/a\"}]}", "own_id"},
        {"a count below none", "{\"connections\":[{" END ",\"bytes_in\":-1}]}", "bytes_in"},
        {"a count in words", "{\"connections\":[{" END ",\"bytes_in\":\"5\"}]}", "bytes_in"},
        {"a flag that is none", "{\"connections\":[{" END ",\"proved\":\"yes\"}]}", "proved"},
        {"a time that is none", "{\"connections\":[{" END ",\"end\":\"yesterday\"}]}", "end"},
        {"a control character", "{\"connections\":[{" END ",\"detail\":\"a\\nb\"}]}", "detail"},
        {"the second is bad", "{\"connections\":[{" END "},{}]}", "connections[1]"},
    };
    (void)state;
    SK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int status = ek_write(k, "spiffe/connections", t[i].body);
        if (status != 400 || strstr(k->cx->text, t[i].text) == NULL) {
            fail_msg("%s: %d %s", t[i].name, status, k->cx->text);
        }
    }
}

static void test_too_many(void **state)
{
    struct mln_buf body = {0};
    (void)state;
    SK(k);
    mln_buf_add_text(&body, "{\"connections\":[");
    for (unsigned i = 0; i < 257; i++) {
        mln_buf_add_text(&body, i == 0 ? "{" END "}" : ",{" END "}");
    }
    mln_buf_add_text(&body, "]}");
    mln_buf_add_byte(&body, 0);
    EK_REFUSED(k, ek_write(k, "spiffe/connections", (const char *)body.ptr), 400, "1 to 256");
    mln_buf_drop(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_told), cmocka_unit_test(test_refused), cmocka_unit_test(test_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
