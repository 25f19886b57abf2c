/* SPDX-License-Identifier: Apache-2.0 */
/* The index of registration entries: all-of matching, order, changes, and 100,000 of them. */
#include "kit/kit.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "identity/spiffe_index.h"

static size_t dropped;

static void drop(struct sp_svid *svid)
{
    (void)svid;
    dropped++;
}

static void index_drop(struct sp_index **index)
{
    sp_index_free(*index);
}

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

static void put(struct mln_cx *cx, struct sp_index *index, const char *text)
{
    kit_ok(cx, sp_index_put(cx, index, json(cx, text)));
}

/* Ids of what matches, joined. */
static const char *match(struct mln_cx *cx, const struct sp_index *index, const char *parent,
                         const char *selectors)
{
    static struct sp_entry *found[SP_MATCH_MAX];
    size_t n = sp_index_match(index, mln_bytes_of(parent), json(cx, selectors), 100, found);
    const char *text = "";
    for (size_t i = 0; i < n; i++) {
        text = mln_text_format(cx, "%s%s%s", text, i > 0 ? " " : "", found[i]->id);
    }
    return text;
}

static void test_match(void **state)
{
    (void)state;
    struct mln_cx *cx = kit_cx_new();
    MLN_AUTO(index_drop) struct sp_index *index = sp_index_new(drop);
    put(cx, index,
        "{\"id\":\"c\",\"created_ns\":3,\"parent_id\":\"p\",\"spiffe_id\":\"s\",\"selectors\":["
        "\"a\",\"b\"]}");
    put(cx, index,
        "{\"id\":\"a\",\"created_ns\":1,\"parent_id\":\"p\",\"spiffe_id\":\"s\",\"selectors\":["
        "\"a\"]}");
    put(cx, index,
        "{\"id\":\"b\",\"created_ns\":2,\"parent_id\":\"p\",\"spiffe_id\":\"t\",\"selectors\":["
        "\"a\",\"b\",\"c\"]}");
    put(cx, index,
        "{\"id\":\"d\",\"created_ns\":4,\"parent_id\":\"q\",\"spiffe_id\":\"s\",\"selectors\":["
        "\"a\"]}");
    put(cx, index,
        "{\"id\":\"e\",\"created_ns\":5,\"parent_id\":\"p\",\"spiffe_id\":\"s\",\"selectors\":["
        "\"a\"],\"expires_at\":100}");
    put(cx, index,
        "{\"id\":\"f\",\"created_ns\":6,\"parent_id\":\"p\",\"spiffe_id\":\"s\",\"selectors\":[]}");
    static const struct {
        const char *parent, *selectors, *ids;
    } t[] = {
        {"p", "[\"a\"]", "a"},
        {"p", "[\"b\"]", ""},
        {"p", "[\"b\",\"a\",\"a\",\"x\"]", "a c"},
        {"p", "[\"c\",\"b\",\"a\"]", "a b c"},
        {"q", "[\"a\",\"b\"]", "d"},
        {"r", "[\"a\"]", ""},
        {"p", "[]", ""},
        {"p", "[\"aa\",\"\"]", ""},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_string_equal(match(cx, index, t[i].parent, t[i].selectors), t[i].ids);
    }
    uint64_t generation = sp_index_generation(index);
    put(cx, index,
        "{\"id\":\"a\",\"created_ns\":1,\"parent_id\":\"p\",\"spiffe_id\":\"s\",\"selectors\":["
        "\"z\"],\"revision\":1}");
    assert_true(sp_index_generation(index) > generation);
    assert_string_equal(match(cx, index, "p", "[\"a\"]"), "");
    assert_string_equal(match(cx, index, "p", "[\"z\"]"), "a");
    assert_int_equal(sp_index_count(index), 6);
    assert_string_equal(sp_index_at(index, 0)->id, "a");
    assert_int_equal(sp_index_behind(index, MLN_BYTES("b")), 2);
    assert_int_equal(sp_index_behind(index, MLN_BYTES("none")), 0);
    size_t n = 0;
    for (struct sp_entry *e = sp_index_first(index, SP_BY_SPIFFE, MLN_BYTES("s")); e != NULL;
         e = e->next[SP_BY_SPIFFE]) {
        n++;
    }
    assert_int_equal(n, 5);
    sp_index_remove(index, MLN_BYTES("b"));
    sp_index_remove(index, MLN_BYTES("b"));
    assert_null(sp_index_get(index, MLN_BYTES("b")));
    assert_null(sp_index_first(index, SP_BY_SPIFFE, MLN_BYTES("t")));
    assert_string_equal(match(cx, index, "p", "[\"c\",\"b\",\"a\"]"), "c");
    kit_cx_free(cx);
}

/* An SVID goes with its entry, whatever way that goes. */
static void test_svids(void **state)
{
    (void)state;
    struct mln_cx *cx = kit_cx_new();
    struct sp_index *index = sp_index_new(drop);
    static const char row[] = "{\"id\":\"a\",\"created_ns\":1,\"parent_id\":\"p\",\"spiffe_id\":"
                              "\"s\",\"selectors\":[\"a\"]}";
    dropped = 0;
    for (size_t i = 0; i < 3; i++) {
        put(cx, index, row);
        sp_index_get(index, MLN_BYTES("a"))->svid = (struct sp_svid *)(uintptr_t)&dropped;
        if (i == 1) {
            sp_index_remove(index, MLN_BYTES("a"));
        }
    }
    sp_index_free(index);
    assert_int_equal(dropped, 3);
    kit_cx_free(cx);
}

/* More than one may have: the oldest stay, in order. */
static void test_many_for_one(void **state)
{
    (void)state;
    struct mln_cx *cx = kit_cx_new();
    static struct sp_entry *found[SP_MATCH_MAX];
    MLN_AUTO(index_drop) struct sp_index *index = sp_index_new(drop);
    for (unsigned i = 0; i < SP_MATCH_MAX + 300; i++) {
        put(cx, index,
            mln_text_format(cx,
                            "{\"id\":\"%u\",\"created_ns\":%u,\"parent_id\":\"p\",\"spiffe_id\":"
                            "\"s\",\"selectors\":[\"a\"]}",
                            i, i * 7919u % 1324u));
    }
    assert_int_equal(sp_index_match(index, MLN_BYTES("p"), json(cx, "[\"a\"]"), 0, found),
                     SP_MATCH_MAX);
    for (size_t i = 0; i < SP_MATCH_MAX; i++) {
        assert_ptr_equal(found[i], sp_index_at(index, i));
    }
    kit_cx_free(cx);
}

static void test_large(void **state)
{
    enum { ENTRIES = 100000, LOOKS = 1000 };
    (void)state;
    static struct sp_entry *found[SP_MATCH_MAX];
    MLN_AUTO(index_drop) struct sp_index *index = sp_index_new(drop);
    struct mln_cx *cx = kit_cx_new();
    for (unsigned i = 0; i < ENTRIES; i++) {
        put(cx, index,
            mln_text_format(cx,
                            "{\"id\":\"%u\",\"created_ns\":%u,\"parent_id\":\"p\",\"spiffe_id\":"
                            "\"spiffe://example.org/%u\","
                            "\"selectors\":[\"k8s:ns:n%u\",\"k8s:sa:s%u\"]}",
                            i, i, i, i % 100, i / 100));
        if (i % 1000 == 999) {
            kit_cx_free(cx);
            cx = kit_cx_new();
        }
    }
    int64_t began = mln_cpu_ns();
    for (unsigned i = 0; i < LOOKS; i++) {
        const char *selectors = mln_text_format(
            cx, "[\"k8s:ns:n%u\",\"k8s:pod-name:x\",\"k8s:sa:s%u\",\"unix:uid:0\"]", i % 100, i);
        assert_int_equal(sp_index_match(index, MLN_BYTES("p"), json(cx, selectors), 0, found), 1);
        assert_int_equal(found[0]->created_ns, i * 100 + i % 100);
    }
    int64_t each_ns = (mln_cpu_ns() - began) / LOOKS;
    print_message("100,000 entries: %lld ns a look\n", (long long)each_ns);
    assert_true(each_ns < 1000000); /* ten times the aim: sanitizers and others run beside it */
    kit_cx_free(cx);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_svids),
        cmocka_unit_test(test_many_for_one),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
