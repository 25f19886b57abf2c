/* SPDX-License-Identifier: Apache-2.0 */
/* Bech32: BIP 173's vectors that fit (no witness rules here), age's keys, and what is refused. */
#include "kit/kit.h"

#include "artifact/bech32.h"

static const struct {
    const char *hrp, *text;
    size_t bytes;
} good[] = {
    {"a", "A12UEL5L", 0},
    {"a", "a12uel5l", 0},
    {"an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio",
     "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
     0},
    {"age", "age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec", 32},
    {"age-secret-key-",
     "AGE-SECRET-KEY-1WLV67Y39VJFZP37G63VXS5E7A2DFEC8ERRP76V8SG77EFDL7HAASQEGFHY", 32},
};

static const struct {
    const char *name, *hrp, *text, *part;
} refused[] = {
    {"empty", "age", "", "length"},
    {"only the head", "age", "age1", "length"},
    {"another head", "age", "bge1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec",
     "begin"},
    {"no separator", "age", "age2q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec",
     "begin"},
    {"mixed case head", "age", "Age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec",
     "begin"},
    {"mixed case data", "age", "age1Q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec",
     "alphabet"},
    {"letter b", "age", "age1b9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec",
     "alphabet"},
    {"one letter changed", "age", "age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlq",
     "checksum"},
    {"two letters swapped", "age", "age19qayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jlec",
     "checksum"},
    {"one letter less", "age", "age1q9ayrchc4vn348r884rrszky3uyj6hv62n7geqrc9vdfpm4894ksk2jle",
     "checksum"},
    {"space inside", "age", "age1q9ayrchc4vn348r884rrszky3uyj6hv62n7ge qrc9vdfpm4894ksk2jlec",
     "alphabet"},
};

static void test_good(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(good); i++) {
        struct mln_buf data = {0};
        kit_ok(cx, mln_bech32_parse(cx, mln_bytes_of(good[i].text), good[i].hrp, &data));
        assert_int_equal(data.len, good[i].bytes);
        struct mln_buf text = {0};
        mln_bech32_print(&text, good[i].hrp, mln_buf_bytes(&data));
        assert_true(mln_bytes_is_nocase(mln_buf_bytes(&text), good[i].text));
        mln_buf_drop(&text);
        mln_buf_drop(&data);
    }
}

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        struct mln_buf data = {0};
        mln_buf_add_text(&data, "kept");
        struct mln_err err =
            mln_bech32_parse(cx, mln_bytes_of(refused[i].text), refused[i].hrp, &data);
        kit_expect_at(cx, err, MLN_E_PARSE, refused[i].part, refused[i].name, __FILE__, __LINE__);
        kit_text(mln_buf_bytes(&data), "kept");
        mln_buf_drop(&data);
    }
}

/* Every length comes back as it was; each changed character is noticed. */
static void test_round_trips(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t raw[40];
    for (size_t i = 0; i < sizeof(raw); i++) {
        raw[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t n = 0; n <= sizeof(raw); n++) {
        struct mln_buf text = {0};
        struct mln_buf back = {0};
        mln_bech32_print(&text, "x", mln_bytes_at(raw, n));
        kit_ok(cx, mln_bech32_parse(cx, mln_buf_bytes(&text), "x", &back));
        kit_same(cx, mln_buf_bytes(&back), mln_bytes_at(raw, n));
        for (size_t i = 2; i < text.len; i++) {
            uint8_t was = text.ptr[i];
            text.ptr[i] = was == 'q' ? 'p' : 'q';
            kit_refused(cx, mln_bech32_parse(cx, mln_buf_bytes(&text), "x", &back), MLN_E_PARSE);
            text.ptr[i] = was;
        }
        mln_buf_drop(&text);
        mln_buf_drop(&back);
    }
}

/* A right checksum over data whose last group holds bits that no byte has, or a group too many. */
static void test_padding(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf back = {0};
    kit_ok(cx, mln_bech32_parse(cx, MLN_BYTES("x1llls5663j2"), "x", &back));
    assert_int_equal(back.len, 2);
    kit_refused_with(cx, mln_bech32_parse(cx, MLN_BYTES("x1lll3fvwy0c"), "x", &back), MLN_E_PARSE,
                     "padding");
    kit_refused_with(cx, mln_bech32_parse(cx, MLN_BYTES("x1lllsqq3mv3fp"), "x", &back), MLN_E_PARSE,
                     "padding");
    assert_int_equal(back.len, 2);
    mln_buf_drop(&back);
}

static struct mln_err parse_body(struct mln_cx *cx, void *arg)
{
    struct mln_buf data = {0};
    (void)arg;
    struct mln_err err = mln_bech32_parse(cx, mln_bytes_of(good[3].text), "age", &data);
    mln_buf_drop(&data);
    return err;
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, parse_body, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_good),    KIT_TEST(test_refused), KIT_TEST(test_round_trips),
        KIT_TEST(test_padding), KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
