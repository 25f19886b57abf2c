/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes and hashes as answers: forms, limits, refusals with the texts that clients match. */
#include "kit/kit.h"

#include "base/json.h"
#include "base/text.h"
#include "crypto/tools.h"

static const struct mln_value *fields_of(struct mln_cx *cx, const char *json)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(json), &v));
    return v;
}

static void test_random(void **state)
{
    static const struct {
        const char *json;
        size_t text_n; /* of the answer */
    } t[] = {
        {"{}", 44},
        {"{\"bytes\":1}", 4},
        {"{\"source\":\"16\",\"format\":\"hex\"}", 32},
        {"{\"source\":\"platform\",\"urlbytes\":\"7\",\"format\":\"hex\"}", 14},
        {"{\"source\":\"all\",\"bytes\":3,\"format\":\"base64\"}", 4},
        {"{\"source\":\"seal\",\"bytes\":131072,\"format\":\"hex\"}", 262144},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *a = NULL, *b = NULL;
        kit_ok(cx, mln_tools_random(cx, fields_of(cx, t[i].json), &a));
        kit_ok(cx, mln_tools_random(cx, fields_of(cx, t[i].json), &b));
        const struct mln_value *text = mln_get(a, "random_bytes");
        assert_int_equal(mln_len(text), t[i].text_n);
        assert_true((text->flags & MLN_VALUE_SECRET) != 0);
        assert_true(t[i].text_n < 8 || !mln_value_eq(a, b));
    }
}

static void test_random_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{\"bytes\":0}", "\"bytes\" cannot be less than 1"},
        {"{\"bytes\":-5}", "\"bytes\" cannot be less than 1"},
        {"{\"bytes\":131073}", "\"bytes\" should be less than 131072"},
        {"{\"source\":\"many\"}", "error parsing url-set byte count"},
        {"{\"source\":\"moon\",\"urlbytes\":\"3\"}", "unsupported entropy source \"moon\""},
        {"{\"source\":\"platform\",\"urlbytes\":\"x\"}", "error parsing url-set byte count"},
        {"{\"format\":\"HEX\"}",
         "unsupported encoding format \"HEX\"; must be \"hex\" or \"base64\""},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *v = NULL;
        kit_refused_with(cx, mln_tools_random(cx, fields_of(cx, t[i].json), &v), MLN_E_INVALID,
                         t[i].part);
        assert_null(v);
    }
}

static void test_hash(void **state)
{
    static const struct {
        const char *json, *want;
    } t[] = {
        {"{\"input\":\"YQ==\"}",
         "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
        {"{\"input\":\"YQ==\",\"urlalgorithm\":\"sha2-224\",\"algorithm\":\"sha2-512\"}",
         "abd37534c7d9a2efb9465de931cd7055ffdb8879563ae98078d6d6d5"},
        {"{\"input\":\"YQ==\",\"algorithm\":\"sha3-256\",\"format\":\"base64\"}",
         "gAhL8vugJHVyb+ssqy2CFeqxS8a92L+yyBUSVwMuzYs="},
        {"{}", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *v = NULL;
        kit_ok(cx, mln_tools_hash(cx, fields_of(cx, t[i].json), &v));
        kit_text(mln_get_bytes(mln_get(v, "sum")), t[i].want);
    }
}

static void test_hash_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{\"input\":\"YQ==\",\"algorithm\":\"md5\"}", "unsupported algorithm md5"},
        {"{\"input\":\"YQ==\",\"algorithm\":\"sha1\"}", "unsupported algorithm sha1"},
        {"{\"input\":\"YQ==\",\"urlalgorithm\":\"none\"}", "unsupported algorithm none"},
        {"{\"input\":\"YQ==\",\"format\":\"text\"}", "unsupported encoding format \"text\""},
        {"{\"input\":\"***\"}",
         "unable to decode input as base64: illegal base64 data at input byte 0"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *v = NULL;
        kit_refused_with(cx, mln_tools_hash(cx, fields_of(cx, t[i].json), &v), MLN_E_INVALID,
                         t[i].part);
        assert_null(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_random), KIT_TEST(test_random_refused),
                                       KIT_TEST(test_hash), KIT_TEST(test_hash_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
