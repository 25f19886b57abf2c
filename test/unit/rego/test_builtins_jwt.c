/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes and tokens. Signatures by public keys are tested on OPA's cases (test_cases.c) and in the room of crypto. */
#include "rows.h"

#define TOKEN                                                                                      \
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwIiwiaXNzIjoib3BhIn0."                         \
    "XmVoLoHI3pxMtMO_WRONMSJzGUDP9pDjy8Jp0_tdRXY"

static void test_hashes(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"crypto.md5(\"\")", "\"d41d8cd98f00b204e9800998ecf8427e\""},
        {"crypto.sha1(\"abc\")", "\"a9993e364706816aba3e25717850c26c9cd0d89d\""},
        {"substring(crypto.sha256(\"abc\"), 0, 8)", "\"ba7816bf\""},
        {"crypto.hmac.md5(\"what do ya want for nothing?\", \"Jefe\")",
         "\"750c783e6ab0b503eaa86e310a5db738\""},
        {"substring(crypto.hmac.sha512(\"what do ya want for nothing?\", \"Jefe\"), 0, 8)",
         "\"164b7a7b\""},
        {"crypto.hmac.equal(\"a\", \"a\")", "true"},
        {"crypto.hmac.equal(\"a\", \"b\")", "false"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"io.jwt.decode(\"" TOKEN "\")[1]", "{\"iss\":\"opa\",\"sub\":\"0\"}"},
        {"io.jwt.verify_es256(\"eyJhbGciOiJFUzI1NiJ9.e30.AAAA\", `{\"keys\":[\"abc\"]}`)", "!failed to parse a JWK key (set)"},
        {"io.jwt.verify_es256(\"eyJhbGciOiJFUzI1NiJ9.e30.AAAA\", `{\"keys\":[[1]]}`)", "!failed to parse a JWK key (set)"},
        {"io.jwt.decode(\"abc\")", "!encoded JWT had no period separators"},
        {"io.jwt.decode(\"a.b\")", "!encoded JWT must have 3 sections, found 2"},
        {"io.jwt.decode(\"!.b.c\")", "!JWT header had invalid encoding: illegal base64 data"},
        {"io.jwt.decode(\"W10.e30.c2ln\")", "!JWT header was not a JSON object"},
        {"io.jwt.decode(\"e30.W10.c2ln\")", "!JWT payload was not a JSON object"},
        {"io.jwt.decode(\"eyJlbmMiOiJ4In0.e30.c2ln\")", "!JWT is a JWE object"},
        {"io.jwt.verify_hs256(\"" TOKEN "\", \"secret\")", "true"},
        {"io.jwt.verify_hs256(\"" TOKEN "\", \"Secret\")", "false"},
        {"io.jwt.verify_hs384(\"" TOKEN "\", \"secret\")", "false"},
        {"io.jwt.verify_rs256(\"" TOKEN "\", \"{}\")", "!failed to parse a JWK key (set)"},
        {"io.jwt.verify_rs256(\"" TOKEN "\", \"-----BEGIN X-----\")",
         "!failed to extract a Key from the PEM certificate"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"secret\": \"secret\"})[0]", "true"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"secret\": \"other\"})", "[false,{},{}]"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"secret\": \"secret\", \"iss\": \"x\"})[0]", "false"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"secret\": \"secret\", \"aud\": \"x\"})[0]", "false"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"secret\": \"secret\", \"alg\": \"HS512\"})[0]",
         "false"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {})", "!no key constraint"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"x\": 1})", "!unknown token validation constraint"},
        {"io.jwt.decode_verify(\"" TOKEN "\", {\"secret\": \"a\", \"cert\": \"b\"})",
         "!duplicate key constraints"},
        {"io.jwt.decode_verify(\"eyJhbGciOiJub25lIn0.e30.\", {\"secret\": \"\"})[0]", "false"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_signing(void **state)
{
    (void)state;
    static const struct rego_row rows[] = {
        {"io.jwt.decode_verify(io.jwt.encode_sign({\"alg\": \"HS256\"}, {\"a\": 1}, {\"kty\": \"oct\", "
         "\"k\": base64url.encode_no_pad(\"42\")}), {\"secret\": \"42\"})",
         "[true,{\"alg\":\"HS256\"},{\"a\":1}]"},
        {"io.jwt.decode_verify(io.jwt.encode_sign({\"alg\": \"HS256\"}, {\"exp\": null}, {\"kty\": "
         "\"oct\", \"k\": \"\"}), {\"secret\": \"\"})",
         "!exp value must be a number"},
        {"io.jwt.encode_sign_raw(\"{}\", \"{}\", \"{}\")", "!missing or invalid 'alg' header"},
        {"io.jwt.encode_sign_raw(`{\"alg\":\"none\"}`, \"{}\", \"{}\")", "!unknown JWS algorithm: none"},
        {"io.jwt.encode_sign_raw(`{\"alg\":\"HS256\"}`, \"x\", \"{}\")", "!payload is not JSON"},
        {"io.jwt.encode_sign({\"alg\": \"RS256\"}, {}, {\"kty\": \"oct\", \"k\": \"AA\"})",
         "!failed to parse a JWK key for RS256"},
        {"io.jwt.encode_sign({\"alg\": \"ES256\"}, {}, {\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": "
         "\"AA\", \"y\": \"AA\", \"d\": \"AA\"})",
         "!failed to parse a JWK key for ES256"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

static void test_aws(void **state)
{
    (void)state;
#define AWS "{\"aws_access_key\": \"a\", \"aws_secret_access_key\": \"b\", \"aws_service\": \"s3\", \"aws_region\": \"r\"}"
    static const struct rego_row rows[] = {
        {"providers.aws.sign_req({\"method\": \"get\", \"url\": \"http://x.y/p?q\"}, " AWS ", 0).headers.host", "\"x.y\""},
        {"providers.aws.sign_req({\"method\": \"get\", \"url\": \"http://x.y\"}, " AWS
         ", 1451311705000000000).headers[\"x-amz-date\"]",
         "\"20151228T140825Z\""},
        {"providers.aws.sign_req({}, " AWS ", 0)", "!operand 1 missing required request parameters(s): {\"method\", \"url\"}"},
        {"providers.aws.sign_req({\"method\": \"get\", \"url\": \"http://x\"}, " AWS ", -1)",
         "!operand 3 could not convert time_ns value"},
    };
    rego_rows_check(rows, MLN_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashes), cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_signing),
                                       cmocka_unit_test(test_aws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
