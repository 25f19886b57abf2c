/* SPDX-License-Identifier: Apache-2.0 */
/* units, semver, bits, uuid, uri, encodings, JSON and YAML text. */
#include "rows.h"

static void test_units(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"units.parse(\"10Ki\")", "10240"},
        {"units.parse(\"100m\")", "0.1000000000"},
        {"units.parse(\"1e3M\")", "1000000000"},
        {"units.parse(\"10e\")", "10000000000000000000"},
        {"units.parse(\".5K\")", "500"},
        {"units.parse(\"-1.25\")", "-1.2500000000"},
        {"units.parse(\"0.00000000005\")", "0.0000000001"},
        {"units.parse(\"\")", "!units.parse: no amount provided"},
        {"units.parse(\"Mi\")", "!units.parse: no amount provided"},
        {"units.parse(\"1 k\")", "!spaces not allowed in resource strings"},
        {"units.parse(\".5.2\")", "!could not parse amount to a number"},
        {"units.parse(\"1zz\")", "!unit zz not recognized"},
        {"units.parse(\"1e99999999999\")", "!exponent too large"},
        {"units.parse_bytes(\"1.5GiB\")", "1610612736"},
        {"units.parse_bytes(\"100kb\")", "100000"},
        {"units.parse_bytes(\"7.9\")", "7"},
        {"units.parse_bytes(\"5e6\")", "5000000"},
        {"units.parse_bytes(\"\")", "!units.parse_bytes: no byte amount provided"},
        {"units.parse_bytes(\"1e9999999k\")", "!exponent too large"},
        {"units.parse_bytes(\"--1\")", "!could not parse byte amount to a number"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_semver(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"semver.compare(\"1.0.0-rc.1\", \"1.0.0\")", "-1"},
        {"semver.compare(\"1.0.0-a.9\", \"1.0.0-a.10\")", "-1"},
        {"semver.compare(\"1.0.0-a.b\", \"1.0.0-a.1\")", "1"},
        {"semver.compare(\"10.0.0\", \"9.9.9\")", "1"},
        {"semver.compare(\"1.2.3+01\", \"1.2.3+2\")", "0"},
        {"semver.is_valid(\"1.2.3-0a\")", "true"},
        {"semver.is_valid(\"1.2.3-01\")", "false"},
        {"semver.is_valid(\"1.2\")", "false"},
        {"semver.is_valid(7)", "false"},
        {"semver.compare(\"1.2.3-\", \"1.2.3\")", "!operand 1: string \"1.2.3-\" is not a valid"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_bits(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"bits.and(-1, 18446744073709551617)", "18446744073709551617"},
        {"bits.or(-18446744073709551616, 5)", "-18446744073709551611"},
        {"bits.xor(18446744073709551615, -1)", "-18446744073709551616"},
        {"bits.negate(18446744073709551615)", "-18446744073709551616"},
        {"bits.lsh(9223372036854775807, 1)", "18446744073709551614"},
        {"bits.rsh(-18446744073709551617, 64)", "-2"},
        {"bits.rsh(-5, 100)", "-1"},
        {"bits.and(7.2, 1)", "!operand 1 must be integer number but got floating-point number"},
        {"bits.lsh(1, -1)", "!operand 2 must be an unsigned integer number"},
        {"bits.lsh(1, 1000000)", "!shift of more than"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_encodings(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"base64.decode(\"aGVs\\nbG8=\")", "\"hello\""},
        {"base64.decode(\"a\")", "!illegal base64 data at input byte"},
        {"base64.is_valid(\"{}\")", "false"},
        {"base64url.decode(\"aGVsbG8\")", "\"hello\""},
        {"base64url.encode_no_pad(\"hello\")", "\"aGVsbG8\""},
        {"hex.decode(\"68G9\")", "!invalid byte: U+0047 'G'"},
        {"hex.decode(\"680\")", "!odd length hex string"},
        {"urlquery.encode(\"a=b c~\")", "\"a%3Db+c~\""},
        {"urlquery.decode(\"%zz\")", "!invalid URL escape \"%zz\""},
        {"urlquery.decode_object(\"a=1&b&a=2\")", "{\"a\":[\"1\",\"2\"],\"b\":[\"\"]}"},
        {"urlquery.decode_object(\"a;b\")", "!invalid semicolon separator"},
        {"urlquery.encode_object({\"a\": [\"1\", \"2\"]})", "\"a=1&a=2\""},
        {"json.marshal_with_options({\"a\": 1}, {\"indent\": \" \"})", "\"{\\n \\\"a\\\": 1\\n}\""},
        {"json.marshal_with_options(1, {\"x\": 1})", "!object contained unknown key \"x\""},
        {"json.unmarshal(\"[1,\")", "!json.unmarshal: "},
        {"json.is_valid(\"[1]\")", "true"},
        {"yaml.unmarshal(\"a: [1, x]\")", "{\"a\":[1,\"x\"]}"},
        {"yaml.is_valid(\"a: {\")", "false"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_uri_and_uuid(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"uri.parse(\"http://[::1]:80/a%2Fb?q#f\")",
         "{\"fragment\":\"f\",\"hostname\":\"::1\",\"path\":\"/a/b\",\"port\":\"80\","
         "\"raw_path\":\"/a%2Fb\",\"raw_query\":\"q\",\"scheme\":\"http\"}"},
        {"uri.is_valid(\"http://[invalid\")", "false"},
        {"uri.parse(\"http://a:x/\")", "!invalid port \":x\" after host"},
        {"uri.parse(\"http://a/%zz\")", "!invalid URL escape \"%zz\""},
        {"uuid.parse(\"{00000000-0000-4000-8000-000000000000}\")",
         "{\"variant\":\"RFC4122\",\"version\":4}"},
        {"uuid.parse(\"zz000000-0000-4000-8000-000000000000\")", ""},
        {"uuid.rfc4122(\"a\") == uuid.rfc4122(\"a\")", "true"},
        {"uuid.rfc4122(\"a\") == uuid.rfc4122(\"b\")", "false"},
        {"uuid.parse(uuid.rfc4122(\"k\")).version", "4"},
        {"rand.intn(\"k\", 10) < 10", "true"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_patch(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"json.patch({\"a\": [1]}, [{\"op\": \"add\", \"path\": \"/a/-\", \"value\": 2}])",
         "{\"a\":[1,2]}"},
        {"json.patch([1, 3], [{\"op\": \"add\", \"path\": \"1\", \"value\": 2}])", "[1,2,3]"},
        {"json.patch({\"a~/b\": 1}, [{\"op\": \"remove\", \"path\": \"/a~0~1b\"}])", "{}"},
        {"json.patch({\"a\": 1}, [{\"op\": \"move\", \"from\": \"a\", \"path\": \"b\"}])",
         "{\"b\":1}"},
        {"json.patch({\"a\": 1}, [{\"op\": \"test\", \"path\": \"a\", \"value\": 2}])", ""},
        {"json.patch({\"a\": 1}, [{\"op\": \"replace\", \"path\": \"b\", \"value\": 2}])", ""},
        {"json.patch({\"a\": 1}, [{\"op\": \"what\", \"path\": \"b\", \"value\": 2}])", ""},
        {"json.patch([1], [{\"op\": \"add\", \"path\": \"2\", \"value\": 2}])", ""},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_net(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"net.cidr_contains(\"10.0.0.0/8\", \"10.1.2.3\")", "true"},
        {"net.cidr_contains(\"::/0\", \"1.2.3.4\")", "false"},
        {"net.cidr_intersects(\"10.0.0.0/25\", \"10.0.0.64/26\")", "true"},
        {"net.cidr_expand(\"10.0.0.255/31\")", "[\"10.0.0.254\",\"10.0.0.255\"]"},
        {"net.cidr_expand(\"10.0.0.0/33\")", "!invalid CIDR address: 10.0.0.0/33"},
        {"net.cidr_expand(\"::/0\")", "!more than 2^24 addresses"},
        {"net.cidr_merge([\"10.0.0.0/25\", \"10.0.0.128/25\"])", "[\"10.0.0.0/24\"]"},
        {"net.cidr_merge([\"255.255.255.255/32\", \"255.255.255.254/32\"])",
         "[\"255.255.255.254/31\"]"},
        {"net.cidr_merge([\"fe80::1\"])", "!IPv6 invalid: needs prefix length"},
        {"net.cidr_is_valid(\"10.0.0.1\")", "false"},
        {"net.cidr_contains_matches([\"10.0.0.0/8\"], \"10.1.1.1\")", "[[0,\"10.1.1.1\"]]"},
        {"net.cidr_contains_matches(\"10.0.0.0/8\", [[]])",
         "!operand 2: element must be string or non-empty array"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),     cmocka_unit_test(test_semver),
        cmocka_unit_test(test_bits),      cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_uri_and_uuid), cmocka_unit_test(test_patch),
        cmocka_unit_test(test_net),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
