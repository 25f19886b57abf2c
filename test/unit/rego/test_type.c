/* SPDX-License-Identifier: Apache-2.0 */
/* Types: what the table of builtins says can be read, unions, keys and values, what unifies. */
#include "kit/kit.h"

#include "rego/type_priv.h"

static const char *text_of(struct rg_heap *heap, const struct rg_type *t)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    rg_type_print(&buf, t);
    return rg_text_dup(heap, mln_buf_bytes(&buf));
}

static const struct rg_type *of_json(struct rg_heap *heap, const char *json)
{
    const char *error = NULL;
    struct rg_val v = rg_json_parse(heap, mln_bytes_of(json), &error);
    assert_null(error);
    return rg_type_of_value(heap, v);
}

static void test_decls(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } t[] = {
        {"count", "(collection: any<string, array[any], object[any: any], set[any]>) => number"},
        {"walk", "(x: any) => array<array[any], any>"},
        {"time.format", "(x: any<number, array<number, string>, array<number, string, string>>) => string"},
        {"json.patch", "(target: any, patches: array[object<op: string, path: any>[any: any]]) => any"},
    };
    struct rg_heap *heap = rg_heap_new(0);
    for (size_t i = 0; rg_decl_at(i) != NULL; i++) {
        const struct rg_decl *d = rg_decl_at(i);
        const struct rg_type *type = rg_type_of_decl(heap, d);
        assert_int_equal(type->n, d->arity); /* what cannot be read ends the program */
    }
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct rg_decl *d = rg_decl_find(mln_bytes_of(t[i].name));
        assert_non_null(d);
        assert_string_equal(text_of(heap, rg_type_of_decl(heap, d)), t[i].want);
    }
    rg_heap_free(heap);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *either;
        bool unifies;
    } t[] = {
        {"1", "2", "number", true},
        {"1", "\"a\"", "any<number, string>", false},
        {"[1]", "[1, 2]", "any<array<number>, array<number, number>>", false},
        {"[1]", "[]", "any<array, array<number>>", false},
        {"{\"a\": 1}", "{\"a\": 2}", "object<a: number>", true},
        {"{\"a\": 1}", "{\"b\": 2}", "any<object<a: number>, object<b: number>>", false},
        {"{\"a\": 1}", "{}", "any<object, object<a: number>>", false},
        {"null", "true", "any<null, boolean>", false},
    };
    struct rg_heap *heap = rg_heap_new(0);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct rg_type *a = of_json(heap, t[i].a), *b = of_json(heap, t[i].b);
        assert_int_equal(rg_type_unifies(a, b), t[i].unifies);
        assert_int_equal(rg_type_unifies(b, a), t[i].unifies);
        assert_string_equal(text_of(heap, rg_type_or(heap, a, b)), t[i].either);
        assert_int_equal(rg_type_cmp(rg_type_or(heap, a, b), rg_type_or(heap, b, a)), 0);
    }
    rg_heap_free(heap);
}

/* Types that hold one another twice would double with each step: they become "any". */
static void test_bomb(void **state)
{
    (void)state;
    struct rg_heap *heap = rg_heap_new(0);
    const struct rg_type *t = &rg_type_number;
    for (size_t i = 0; i < 200; i++) {
        const struct rg_type **two = rg_new(heap, 2 * sizeof(*two));
        two[0] = two[1] = t;
        t = rg_type_array(heap, two, 2, NULL);
        assert_true(t->weight <= RG_TYPE_WEIGHT_MAX);
    }
    rg_heap_free(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decls),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
