/* SPDX-License-Identifier: Apache-2.0 */
/* graphql.*: trees, places of errors, the rules of schemas and of queries, and what is bounded. */
#include "rows.h"

#define SCHEMA                                                                                     \
    "`type Query { user(id: ID!): User, pet(as: Kind = CAT): Pet, n: Int! } "                      \
    "interface Node { id: ID! } type User implements Node { id: ID! name: String friends: [User] " \
    "}"                                                                                            \
    "type Cat { id: ID! age: Int } type Dog { id: ID! age: String! } union Pet = Cat | Dog "       \
    "enum Kind { CAT DOG } input In { a: Int! b: [String] } type Subscription { s: Int t: Int }"   \
    "type Mutation { put(in: In!): Int }`"
#define VALID(query)   "graphql.is_valid(`" query "`, " SCHEMA ")"
#define REFUSED(query) "graphql.parse(`" query "`, " SCHEMA ")"

static void test_trees(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"graphql.parse_query(`{a}`)", "{\"Operations\":[{\"Name\":\"\",\"Operation\":\"query\","
                                       "\"SelectionSet\":[{\"Alias\":\"a\",\"Name\":\"a\"}]}]}"},
        {"graphql.parse_query(`{a(b: [1, "
         "\"x\"])}`).Operations[0].SelectionSet[0].Arguments[0].Value.Children[1].Value",
         "{\"ExpectedTypeHasDefault\":false,\"Kind\":3,\"Raw\":\"x\"}"},
        {"graphql.parse_query(\"{a(b: \\\"\\\"\\\"\\n  x\\n    y\\n\\\"\\\"\\\")}\")"
         ".Operations[0].SelectionSet[0].Arguments[0].Value.Raw",
         "\"x\\n  y\""},
        {"graphql.parse_query(`# c\nquery Q {a}`).Operations[0].Comment",
         "{\"List\":[{\"Value\":\"# c\"}]}"},
        {"graphql.parse_query(`fragment F on T {...G ...on U {a}}`).Fragments[0].SelectionSet",
         "[{\"Name\":\"G\"},{\"SelectionSet\":[{\"Alias\":\"a\",\"Name\":\"a\"}],\"TypeCondition\":"
         "\"U\"}]"},
        {"graphql.parse_schema(`scalar X`)", "{\"Definitions\":[{\"BuiltIn\":false,\"Description\":"
                                             "\"\",\"Kind\":\"SCALAR\",\"Name\":\"X\"}]}"},
        {"graphql.parse_schema(`type A { b: [C!] }`).Definitions[0].Fields[0].Type",
         "{\"Elem\":{\"NamedType\":\"C\",\"NonNull\":true},\"NamedType\":\"\",\"NonNull\":false}"},
        {"graphql.parse_query(``)", "{}"},
        {"graphql.parse_query(json.unmarshal(\"1\"))", "!operand 1 must be string but got number"},
        {"graphql.parse_query(`{a`)",
         "!Expected Name, found <EOF> in GraphQL string at location 1:3"},
        {"graphql.parse_query(`{a(b: 01)}`)",
         "!Unexpected <Invalid> in GraphQL string at location 1:8"},
        {"graphql.parse_query(`{a(b: \"x)}`)", "!Unexpected <Invalid>"},
        {"graphql.parse_query(`\n\nquery {a(b: $)}`)",
         "!Expected Name, found ) in GraphQL string at location 3:14"},
        {"graphql.parse_schema(`type A`)",
         "{\"Definitions\":[{\"BuiltIn\":false,\"Description\":\"\",\"Kind\":\"OBJECT\","
         "\"Name\":\"A\"}]}"},
        {"graphql.parse_schema(`foo`)",
         "!Unexpected Name \"foo\" in GraphQL string at location 1:1"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_queries(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {VALID("{user(id: 1) {id ...on User {name}}}"), "true"},
        {VALID("{user(id: 1) {...F}} fragment F on Node {id}"), "true"},
        {VALID("query Q($i: ID!) {user(id: $i) {id}}"), "true"},
        {VALID("{__schema {types {name}} __typename}"), "true"},
        {VALID("{pet {...on Cat {age} ...on Dog {age}}}"), "false"},
        {VALID("{pet {...on Cat {age} ...on Dog {x: age}}}"), "true"},
        {VALID("{a: n a: n}"), "true"},
        {REFUSED("{user {id}}"), "!Field \"user\" argument \"id\" of type \"ID!\" is required"},
        {REFUSED("{\n  nope}"),
         "!Cannot query field \"nope\" on type \"Query\" in GraphQL string at location 2:3"},
        {REFUSED("{user(id: 1)}"), "!must have a selection of subfields"},
        {REFUSED("{n {x}}"), "!Cannot query field \"x\" on type \"Int\""},
        {REFUSED("{n @nope}"), "!Unknown directive \"@nope\""},
        {REFUSED("{n @skip}"),
         "!Directive \"@skip\" argument \"if\" of type \"Boolean!\" is required"},
        {REFUSED("{n(a: 1)}"), "!Unknown argument \"a\" on field \"Query.n\""},
        {REFUSED("query Q($i: ID) {user(id: $i) {id}}"),
         "!Variable \"$i\" of type \"ID\" used in position expecting"},
        {REFUSED("{user(id: $i) {id}}"), "!Variable \"$i\" is not defined"},
        {REFUSED("query($i: Int) {n}"), "!Variable \"$i\" is never used"},
        {REFUSED("{...F}"), "!Unknown fragment \"F\""},
        {REFUSED("{n} fragment F on User {id}"), "!Fragment \"F\" is never used"},
        {REFUSED("{user(id: 1) {...F}} fragment F on User {friends {...F}}"),
         "!Cannot spread fragment \"F\" within itself"},
        {REFUSED("{user(id: 1) {...on Cat {id}}}"), "!can never be of type \"Cat\""},
        {REFUSED("{a: n a: user(id: 1) {id}}"),
         "!Fields \"a\" conflict because \"n\" and \"user\" are different fields"},
        {REFUSED("{a: user(id: 1) {id} a: user(id: 2) {id}}"), "!they have differing arguments"},
        {REFUSED("{a: user(id: 1) {b: id} a: user(id: 1) {b: name}}"),
         "!subfields \"b\" conflict because"},
        {REFUSED("{pet(as: COW) {__typename}}"), "!Value \"COW\" does not exist in \"Kind\" enum"},
        {REFUSED("{pet(as: 1) {__typename}}"), "!Enum \"Kind\" cannot represent non-enum value: 1"},
        {REFUSED("mutation {put(in: {b: [\"x\"]})}"),
         "!Field \"In.a\" of required type \"Int!\" was not provided"},
        {REFUSED("mutation {put(in: {a: 1, c: 2})}"), "!Field \"c\" is not defined by type \"In\""},
        {REFUSED("mutation {put(in: {a: \"1\"})}"),
         "!Int cannot represent non-integer value: \"1\""},
        {REFUSED("subscription {s t}"), "!must select only one top level field"},
        {REFUSED("{n} {n}"), "!This anonymous operation must be the only defined operation"},
        {REFUSED("query A {n} query A {n}"), "!There can be only one operation named \"A\""},
        {REFUSED("{__schema {types {fields {type {fields {type {fields {name}}}}}}}}"),
         "!Maximum introspection depth exceeded"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_schemas(void **state)
{
    (void)state;
#define OK(text)  "graphql.schema_is_valid(`" text "`)"
#define BAD(text) "graphql.parse(`{a}`, `" text "`)"
    static const struct rego_row rows[] = {
        {OK("type Query {a: Int} extend type Query {b: Int}"), "true"},
        {OK("input A {b: A}"), "true"},
        {OK("directive @d on OBJECT type A @d {b: Int}"), "true"},
        {BAD("type A {b: C}"), "!conversion: input:1:12: Undefined type C."},
        {BAD("type A {b: Int b: Int}"), "!Field A.b can only be defined once."},
        {BAD("type A {b: Int} type A {b: Int}"), "!Cannot redeclare type A."},
        {BAD("type __A {b: Int}"), "!must not begin with \"__\""},
        {BAD("interface I {a: Int} type A implements I {b: Int}"),
         "!it must have a field called a."},
        {BAD("interface I {a: Int} type A implements I {a: String}"),
         "!the field a must have type Int."},
        {BAD("type A @nope {b: Int}"), "!Undefined directive nope."},
        {BAD("type A {b: Int @skip(if: true)}"),
         "!Directive skip is not applicable on FIELD_DEFINITION."},
        {BAD("input A {b: A!}"), "!Cannot reference Input Object \"A\" within itself"},
        {BAD("union U = Int"), "!UNION type \"Int\" must be OBJECT."},
        {BAD("enum E {true}"), "!non-enum value true."},
        {BAD("schema {query: Nope}"),
         "!Schema root query refers to a type Nope that does not exist."},
        {BAD("type A {b(c: A): Int}"), "!because OBJECT is not a valid input type"},
        {BAD("type A {b: Int} extend enum A {C}"),
         "!Cannot extend type A because the base type is a OBJECT, not ENUM."},
        {"graphql.schema_is_valid({\"Definitions\": [{\"Kind\": \"OBJECT\", \"Name\": \"A\", "
         "\"Fields\": [{\"Name\": \"b\"}]}]})",
         "false"},
        {"graphql.schema_is_valid({\"Definitions\": 7})", "false"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

/* A tree is as good as its text; what is nested without end is refused. */
static void test_bounds(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"graphql.is_valid(graphql.parse_query(`{n}`), graphql.parse_schema(" SCHEMA "))", "true"},
        {"graphql.is_valid(graphql.parse_query(`{nope}`), graphql.parse_schema(" SCHEMA "))",
         "false"},
        {"graphql.is_valid({\"Operations\": [{\"SelectionSet\": [7]}]}, " SCHEMA ")", "false"},
        {"graphql.parse_query(concat(\"\", [concat(\"\", [\"{a\" | numbers.range(1, 300)[_]]), "
         "\"}\"]))",
         "!nested deeper than 200"},
        {"graphql.parse_schema(concat(\"\", [\"type A {b: \", concat(\"\", [\"[\" | "
         "numbers.range(1, 300)[_]])]))",
         "!nested deeper than 200"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trees), cmocka_unit_test(test_queries),
                                       cmocka_unit_test(test_schemas),
                                       cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
