/* SPDX-License-Identifier: Apache-2.0 */
/* Partial evaluation: what is left of queries, what is known, what is refused. Answers are those of OPA 1.22 where they can be alike. */
#include "kit/kit.h"

#include "rego/partial.h"

#include <string.h>

static const char policy[] =
    "package f\n"
    "admin if input.user == \"root\"\n"
    "include if { input.x.owner == input.user; input.x.price < 10 }\n"
    "include if { some r in data.roles[input.user]; r == input.x.role }\n"
    "both if { input.x.a == 1; input.x.b == 2 }\n"
    "neither if not both\n"
    "each if { every n in [1, 2] { input.x.n > n } }\n"
    "default deny := false\n"
    "deny if input.x.bad\n"
    "default open := true\n"
    "open := false if input.x.shut\n"
    "names contains n if { some n in input.x.names; n != \"no\" }\n"
    "chain := 1 if input.x.c == 1\n"
    "else := 2 if input.x.c == 2\n"
    "g(v) := v + 1\n"
    "h(v) := r if { r := v[\"k\"] }\n"
    "calls if { input.x.n == g(2); h(input.x) == 3 }\n"
    "pair := {\"a\": input.x.a, \"b\": [input.x.b]}\n"
    "paired if { pair.a == 3; pair.b[0] == 4 }\n"
    "length if count(input.x.names) > 2\n"
    "some_tag if input.x.tags[_] == \"t\"\n"
    "clock if time.now_ns() > 0\n";

static const struct {
    const char *query, *want; /* parts of the answer, "&" between; "!PART" is not there */
    size_t n;                 /* queries */
} rows[] = {
    {"data.f.admin", "", 0},
    {"1 == 1", "[]", 1},
    {"1 == 2", "!queries", 0},
    {"data.f.include", "\"lt\"&\"owner\"&\"bob\"&\"role\"&\"x\"&\"y\"&!support", 3},
    {"data.f.include == true", "\"price\"&!\"include\"", 3},
    {"data.f.both", "\"eq\"&!negated", 1},
    {"data.f.neither", "\"negated\":true&!support", 2},
    {"data.f.each", "\"gt\"&!\"every\"", 1},
    {"data.f.deny", "\"bad\"&!support", 1},
    {"data.f.deny == true", "\"bad\"&!support", 1},
    {"data.f.deny == false", "support&\"partial\"&\"default\":true", 1},
    {"data.f.open", "support&\"shut\"", 1},
    {"data.f.names[\"q\"]", "\"q\"&!\"neq\"", 1},
    {"data.f.names[\"no\"]", "!queries", 0},
    {"count(data.f.names) > 1", "support&\"partial\"&\"neq\"", 1},
    {"data.f.chain == 1", "\"value\":1&!negated", 1},
    {"data.f.chain == 2", "\"negated\":true", 1},
    {"data.f.calls", "\"value\":3&\"k\"&!\"plus\"", 1},
    {"data.f.paired", "\"a\"&\"b\"&\"value\":4&!\"object\"", 1},
    {"data.f.length", "\"count\"&\"call\"", 1},
    {"data.f.some_tag", "\"tags\"&\"t\"", 1},
    {"data.f.clock", "\"now_ns\"", 1},
    {"x := input.x.a; x > 3", "\"gt\"&\"a\"", 1},
    {"x = 1; x = input.x.a", "\"eq\"&\"x\"", 1},
    {"input.x[k] == 1; k != \"z\"", "\"neq\"", 1},
    {"{v | v := input.x.s[_]} == {1}", "\"setcomprehension\"", 1},
    {"some r in data.roles.bob; r == \"y\"", "\"y\"", 1},
    {"not input.x.a", "\"negated\":true", 1},
    {"not data.f.admin", "[]", 1},
    {"[input.x.a, 2] = [1, y]", "\"y\"&\"value\":2", 1},
    {"data.roles.bob[i] == input.x.role", "\"x\"&\"y\"", 2},
    {"input.x.a with input.x as {\"a\": 1}", "\"with\"", 1},
};

struct fixture {
    struct mln_rego *rego;
    struct mln_rego_data *data;
    struct mln_rego_eval *eval;
};

static void begin(struct mln_cx *cx, struct fixture *f)
{
    kit_ok(cx, mln_rego_new(cx, NULL, &f->rego));
    kit_ok(cx, mln_rego_add(f->rego, cx, "f.rego", mln_bytes_of(policy)));
    kit_ok(cx, mln_rego_compile(f->rego, cx));
    kit_ok(cx, mln_rego_data_load(cx, MLN_BYTES("{\"roles\":{\"bob\":[\"x\",\"y\"]}}"), &f->data));
    kit_ok(cx, mln_rego_eval_new(cx, &f->eval));
    kit_ok(cx, mln_rego_eval_input(f->eval, cx, MLN_BYTES("{\"user\":\"bob\"}")));
}

static void end(struct fixture *f)
{
    mln_rego_eval_free(f->eval);
    mln_rego_data_free(f->data);
    mln_rego_free(f->rego);
}

static void check_parts(size_t row, const char *text, const char *want)
{
    struct mln_bytes rest = mln_bytes_of(want), all = mln_bytes_of(text);
    while (rest.len > 0) {
        struct mln_bytes part = mln_bytes_cut(rest, '&', &rest);
        bool is_absent = mln_bytes_starts(part, MLN_BYTES("!"));
        part = is_absent ? mln_bytes_from(part, 1) : part;
        bool has = mln_bytes_find_bytes(all, part) < all.len;
        if (has == is_absent) {
            fail_msg("row %zu (%s): %.*s in %s", row, rows[row].query, MLN_FMT(part), text);
        }
    }
}

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct fixture f = {0};
    const struct mln_bytes unknowns[] = {MLN_BYTES("input.x")};
    struct mln_rego_partial_options options = {.unknowns = unknowns, .n_unknowns = 1};
    begin(cx, &f);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        MLN_AUTO(mln_rego_partial_drop) struct mln_rego_partial *p = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        kit_expect(cx, rows[i].query, mln_rego_partial(f.rego, cx, f.eval, mln_bytes_of(rows[i].query), f.data, &options, &p), MLN_E_OK);
        mln_rego_partial_print(p, &text);
        mln_buf_add_byte(&text, 0);
        if (mln_rego_partial_count(p) != rows[i].n) {
            fail_msg("row %zu (%s): %zu queries, not %zu: %s", i, rows[i].query, mln_rego_partial_count(p), rows[i].n,
                     (const char *)text.ptr);
        }
        check_parts(i, (const char *)text.ptr, rows[i].want);
    }
    end(&f);
}

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct fixture f = {0};
    static const struct {
        const char *query, *unknown;
        enum mln_code code;
    } t[] = {
        {"input.x ==", "input", MLN_E_INVALID},          {"x > 1", "input", MLN_E_INVALID},
        {"input.x", "data.f[x]", MLN_E_INVALID},         {"input.x", "other", MLN_E_INVALID},
        {"input.x", "", MLN_E_INVALID},                  {"nosuch(1)", "input", MLN_E_INVALID},
        {"some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); input.x == a + b", "input", MLN_E_LIMIT},
    };
    begin(cx, &f);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_rego_partial_drop) struct mln_rego_partial *p = NULL;
        struct mln_bytes unknown = mln_bytes_of(t[i].unknown);
        struct mln_rego_partial_options options = {.unknowns = &unknown, .n_unknowns = 1};
        kit_expect(cx, t[i].query, mln_rego_partial(f.rego, cx, f.eval, mln_bytes_of(t[i].query), f.data, &options, &p), t[i].code);
    }
    end(&f);
}

static void test_kept(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct fixture f = {0};
    const struct mln_bytes kept[] = {MLN_BYTES("data.f.both")};
    struct mln_rego_partial_options options = {.kept = kept, .n_kept = 1};
    MLN_AUTO(mln_rego_partial_drop) struct mln_rego_partial *p = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    begin(cx, &f);
    kit_ok(cx, mln_rego_partial(f.rego, cx, f.eval, MLN_BYTES("data.f.both"), f.data, &options, &p));
    mln_rego_partial_print(p, &text);
    mln_buf_add_byte(&text, 0);
    assert_non_null(strstr((const char *)text.ptr, "\"support\""));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_refused), KIT_TEST(test_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
