/* SPDX-License-Identifier: Apache-2.0 */
/* TOTP engine: keys made and imported, codes once each, refused input, the picture. Vectors of RFC 6238 appendix B. */
#include "kit/engine_kit.h"

#include "engine/totp_priv.h"

extern const struct mln_engine mln_engine_totp;

/* "12345678901234567890" and so on in base32 */
#define S20 "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
#define S32 "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA===="
#define S64 S20 S20 S20 "GEZDGNA"

static struct ek *totp_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "totp/", &mln_engine_totp, "44444444-0000-4000-8000-000000000000");
    return k;
}
#define TOTP(name) MLN_AUTO(ek_drop) struct ek *name = totp_new()

static void at(struct ek *k, int64_t s)
{
    k->now_ns = s * 1000000000;
}

static int check_code(struct ek *k, const char *code)
{
    return ek_write(k, "totp/code/a", mln_text_format(k->cx, "{\"code\":\"%s\"}", code));
}

static bool is_valid(struct ek *k, const char *code)
{
    EK_WANT(k, check_code(k, code), 200);
    return mln_get_bool(mln_get(k->re.data, "valid"), false);
}

static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t time_s;
        const char *want;
    } t[] = {
        {"{\"key\":\"" S20 "\",\"digits\":8}", 59, "94287082"},
        {"{\"key\":\"" S20 "\"}", 59, "287082"},
        {"{\"key\":\"" S32 "\",\"digits\":8,\"algorithm\":\"SHA256\"}", 1111111109, "68084774"},
        {"{\"key\":\"" S64 "\",\"digits\":\"8\",\"algorithm\":\"sha512\"}", 1234567890, "93441116"},
        {"{\"key\":\"gezd gnbv-gy3tqojqgezdgnbvgy3tqojq\",\"digits\":8}", 59, "94287082"},
        {"{\"url\":\"otpauth://totp/I:a@x?secret=" S32 "&algorithm=SHA256&digits=8&period=30\"}", 2000000000, "90698825"},
    };
    TOTP(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_write(k, "totp/keys/a", t[i].json), 204);
        at(k, t[i].time_s);
        EK_WANT(k, ek_read(k, "totp/code/a", NULL), 200);
        assert_string_equal(ek_text(k, "code"), t[i].want);
        assert_true((mln_get(k->re.data, "code")->flags & MLN_VALUE_SECRET) != 0);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "generated"), 0), t[i].time_s);
        assert_int_equal(mln_get_int(mln_get(k->re.data, "expire_time"), 0), (t[i].time_s / 30 + 1) * 30);
        assert_string_equal(ek_text(k, "period"), "30s");
        assert_true(is_valid(k, t[i].want));
    }
}

static void test_keys(void **state)
{
    (void)state;
    TOTP(k);
    EK_WANT(k, ek_list(k, "totp/keys"), 404);
    EK_WANT(k, ek_read(k, "totp/keys/a", NULL), 404);
    EK_WANT(k, ek_write(k, "totp/keys/a", "{\"url\":\"otpauth://totp/Big%20Co%3Aann?secret=" S20 "&issuer=Big+Co&period=60&foo\"}"), 204);
    assert_null(k->re.data);
    EK_WANT(k, ek_read(k, "totp/keys/a", NULL), 200);
    EK_DATA(k, "{\"account_name\":\"ann\",\"algorithm\":\"SHA1\",\"digits\":6,\"issuer\":\"Big Co\",\"period\":60}");
    EK_WANT(k, ek_write(k, "totp/keys/b", "{\"key\":\"" S20 "\",\"account_name\":\"b\"}"), 204);
    EK_WANT(k, ek_list(k, "totp/keys"), 200);
    EK_DATA(k, "{\"keys\":[\"a\",\"b\"]}");
    EK_WANT(k, ek_delete(k, "totp/keys/a"), 204);
    EK_WANT(k, ek_delete(k, "totp/keys/a"), 204);
    EK_WANT(k, ek_read(k, "totp/keys/a", NULL), 404);
    EK_REFUSED(k, ek_read(k, "totp/code/a", NULL), 400, "unknown key: a");
}

static void test_generate(void **state)
{
    (void)state;
    TOTP(k);
    char url[512] = "";
    EK_WANT(k, ek_write(k, "totp/keys/g", "{\"generate\":true,\"issuer\":\"I & C/o\",\"account_name\":\"a@x\"}"), 200);
    const struct mln_value *made = mln_get(k->re.data, "url");
    assert_true((made->flags & MLN_VALUE_SECRET) != 0 && (mln_get(k->re.data, "barcode")->flags & MLN_VALUE_SECRET) != 0);
    mln_copy(url, ek_text(k, "url"), mln_len(made));
    const char *head = "otpauth://totp/I%20%26%20C%2Fo:a@x?algorithm=SHA1&digits=6&issuer=I%20%26%20C/o&period=30&secret=";
    assert_int_equal(strncmp(url, head, strlen(head)), 0);
    assert_int_equal(strlen(url) - strlen(head), 32);
    assert_int_equal(strncmp(ek_text(k, "barcode"), "iVBORw0KGgo", 11), 0);
    /* the URL is the key */
    EK_WANT(k, ek_write(k, "totp/keys/a", mln_text_format(k->cx, "{\"url\":\"%s\"}", url)), 204);
    EK_WANT(k, ek_read(k, "totp/code/g", NULL), 200);
    char code[8] = "";
    mln_copy(code, ek_text(k, "code"), 6);
    assert_true(is_valid(k, code));
    EK_WANT(k, ek_read(k, "totp/keys/a", NULL), 200);
    EK_DATA(k, "{\"account_name\":\"a@x\",\"algorithm\":\"SHA1\",\"digits\":6,\"issuer\":\"I & C/o\",\"period\":30}");
    EK_WANT(k, ek_write(k, "totp/keys/g", "{\"generate\":true,\"exported\":false,\"issuer\":\"I\",\"account_name\":\"a\"}"), 204);
    EK_WANT(k, ek_write(k, "totp/keys/g", "{\"generate\":true,\"qr_size\":0,\"issuer\":\"I\",\"account_name\":\"a\"}"), 200);
    assert_null(mln_get(k->re.data, "barcode"));
}

static void test_refused(void **state)
{
    (void)state;
    TOTP(k);
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{}", "the key value is required"},
        {"{\"key\":\"1\"}", "invalid key value"},
        {"{\"key\":\"A\"}", "invalid key value"},
        {"{\"key\":\"ABC\"}", "invalid key value"},
        {"{\"key\":\"====\"}", "invalid key value"},
        {"{\"key\":\"GEZDGNBV\",\"digits\":7}", "the digits value can only be 6 or 8"},
        {"{\"key\":\"GEZDGNBV\",\"digits\":4294967302}", "the digits value can only be 6 or 8"},
        {"{\"key\":\"GEZDGNBV\",\"period\":0}", "the period value must be greater than zero"},
        {"{\"key\":\"GEZDGNBV\",\"period\":\"48h\"}", "longer than a day"},
        {"{\"key\":\"GEZDGNBV\",\"skew\":2}", "the skew value must be 0 or 1"},
        {"{\"key\":\"GEZDGNBV\",\"algorithm\":\"MD5\"}", "the algorithm value is not valid"},
        {"{\"key\":\"GEZDGNBV\",\"qr_size\":-1}", "greater than or equal to zero"},
        {"{\"key\":\"GEZDGNBV\",\"qr_size\":4097}", "qr_size value is too large"},
        {"{\"generate\":true}", "the issuer value is required"},
        {"{\"generate\":true,\"issuer\":\"I\"}", "the account_name value is required"},
        {"{\"generate\":true,\"issuer\":\"I\",\"account_name\":\"a\",\"key_size\":0}", "key_size value must be greater"},
        {"{\"generate\":true,\"issuer\":\"I\",\"account_name\":\"a\",\"key_size\":129}", "key_size value is too large"},
        {"{\"generate\":true,\"issuer\":\"I\",\"account_name\":\"a\",\"key\":\"GEZDGNBV\"}", "a key should not be passed"},
        {"{\"generate\":true,\"issuer\":\"I\",\"account_name\":\"a\",\"url\":\"x\"}", "a url should not be passed"},
        {"{\"url\":\"https://totp/a?secret=GEZDGNBV\"}", "parsing url string"},
        {"{\"url\":\"otpauth://hotp/a?secret=GEZDGNBV\"}", "parsing url string"},
        {"{\"url\":\"otpauth://totp/a\"}", "the key value is required"},
        {"{\"url\":\"otpauth://totp/a?secret=\"}", "invalid key value"},
        {"{\"url\":\"otpauth://totp/%zz?secret=GEZDGNBV\"}", "parsing url string"},
        {"{\"url\":\"otpauth://totp/%ff?secret=GEZDGNBV\"}", "parsing url string"},
        {"{\"url\":\"otpauth://totp/a?secret=GEZDGNBV&digits=x\"}", "parsing url string"},
        {"{\"url\":\"otpauth://totp/a?secret=GEZDGNBV&digits=5\"}", "digits value can only be"},
        {"{\"url\":\"otpauth://totp/a?secret=GEZDGNBV&period=-5\"}", "period value must be"},
        {"{\"url\":\"otpauth://totp/a?secret=GEZDGNBV&algorithm=MD5\"}", "algorithm value is not valid"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "totp/keys/a", t[i].json), 400, t[i].part);
    }
    EK_WANT(k, ek_list(k, "totp/keys"), 404);
    EK_REFUSED(k, check_code(k, "123456"), 400, "unknown key: a");
    EK_REFUSED(k, ek_write(k, "totp/code/a", "{}"), 400, "the code value is required");
    /* a secret too long */
    char json[400] = "{\"key\":\"";
    for (size_t i = 8; i < 8 + 208; i++) {
        json[i] = 'A';
    }
    mln_copy(json + 216, "\"}", 2);
    EK_REFUSED(k, ek_write(k, "totp/keys/a", json), 400, "invalid key value");
}

static void test_skew_and_once(void **state)
{
    (void)state;
    TOTP(k);
    static const struct {
        int64_t time_s; /* of the check; the code is that of 1111111109, period 37037036 */
        int skew;
        bool want;
    } t[] = {{1111111080, 0, true},  {1111111109, 0, true},  {1111111079, 0, false}, {1111111110, 0, false},
             {1111111079, 1, true},  {1111111050, 1, true},  {1111111049, 1, false}, {1111111139, 1, true},
             {1111111140, 1, false}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_write(k, "totp/keys/a", t[i].skew != 0 ? "{\"key\":\"" S20 "\",\"digits\":8}"
                                                             : "{\"key\":\"" S20 "\",\"digits\":8,\"skew\":0}"), 204);
        at(k, t[i].time_s);
        assert_int_equal(is_valid(k, "07081804"), t[i].want);
        if (t[i].want) {
            EK_REFUSED(k, check_code(k, "07081804"), 400, "code already used; wait until the next time period");
        }
    }
    EK_WANT(k, ek_write(k, "totp/keys/a", "{\"key\":\"" S20 "\",\"digits\":8}"), 204);
    at(k, 1111111109);
    assert_true(is_valid(k, " 07081804 "));
    assert_true(is_valid(k, "14050471")); /* of the next period: its own */
    at(k, 1111111139);
    EK_REFUSED(k, check_code(k, "07081804"), 400, "code already used");
    EK_REFUSED(k, check_code(k, "14050471"), 400, "code already used");
    static const char *const wrong[] = {"00000000", "0708180", "070818040", "x", "07081804x", "-7081804"};
    for (size_t i = 0; i < MLN_COUNT(wrong); i++) {
        assert_false(is_valid(k, wrong[i]));
        assert_false(k->wrote);
    }
    /* what cannot be offered any more is not kept */
    at(k, 2000000000);
    assert_true(is_valid(k, "69279037"));
    struct mln_request rq;
    const struct mln_value *used = NULL;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_txn_get_value(k->cx, k->txn, k->mounts[0].view, MLN_BYTES("used/a"), &used));
    EK_VALUE(k, used, "[66666666]");
    ek_end(k, MLN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_keys),          cmocka_unit_test(test_generate),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_skew_and_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
