/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

/* RFC 4648, section 10, in all four kinds. */
static void test_known(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *hex, *text[4];
    } rows[] = {
        {"", {"", "", "", ""}},
        {"66", {"Zg==", "Zg", "Zg==", "Zg"}},
        {"666f", {"Zm8=", "Zm8", "Zm8=", "Zm8"}},
        {"666f6f", {"Zm9v", "Zm9v", "Zm9v", "Zm9v"}},
        {"666f6f62", {"Zm9vYg==", "Zm9vYg", "Zm9vYg==", "Zm9vYg"}},
        {"fbff", {"+/8=", "+/8", "-_8=", "-_8"}},
        {"fbefbe", {"++++", "++++", "----", "----"}},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes raw = kit_hex(cx, rows[i].hex);
        for (int kind = 0; kind < 4; kind++) {
            MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
            mln_buf_add_text(&buf, "<");
            mln_base64_print(&buf, raw, (enum mln_b64)kind);
            kit_text(mln_bytes_from(mln_buf_bytes(&buf), 1), rows[i].text[kind]);
            assert_string_equal(mln_base64_text(cx, raw, (enum mln_b64)kind), rows[i].text[kind]);
            mln_buf_clear(&buf);
            kit_ok(cx, mln_base64_parse(cx, mln_bytes_of(rows[i].text[kind]), (enum mln_b64)kind, &buf));
            kit_same(cx, mln_buf_bytes(&buf), raw);
        }
    }
}

/* Offsets as Go's encoding/base64 names them; unused bits and white space are refused beyond Go. */
static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        enum mln_b64 kind;
        const char *text, *part;
    } rows[] = {
        {MLN_B64_STD, "Zg", "byte 0"},         {MLN_B64_STD, "Zg=", "byte 3"},
        {MLN_B64_STD, "Z", "byte 0"},          {MLN_B64_STD, "Zm9vZg", "byte 4"},
        {MLN_B64_STD, "Zg===", "byte 4"},      {MLN_B64_STD, "====", "byte 0"},
        {MLN_B64_STD, "Z===", "byte 1"},       {MLN_B64_STD, "Zm9v====", "byte 4"},
        {MLN_B64_STD, "Zh==", "byte 1"},       {MLN_B64_STD, "Zm9=", "byte 2"},
        {MLN_B64_STD, "Zm9v\n", "byte 4"},     {MLN_B64_STD, "Zm 9", "byte 2"},
        {MLN_B64_STD, "-_8=", "byte 0"},       {MLN_B64_STD, "Zg==Zg==", "byte 4"},
        {MLN_B64_STD_RAW, "Zg==", "byte 2"},   {MLN_B64_STD_RAW, "Z", "byte 0"},
        {MLN_B64_STD, "Zg=x", "byte 2"}, {MLN_B64_STD_RAW, "Zh", "byte 1"},     {MLN_B64_URL, "+/8=", "byte 0"},
        {MLN_B64_URL_RAW, "Zm9vZ", "byte 4"},  {MLN_B64_URL_RAW, "Zm9v!", "byte 4"},
        {MLN_B64_URL_RAW, "\xC3\xA9", "byte 0"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_buf_add_text(&buf, "kept");
        struct mln_err err = mln_base64_parse(cx, mln_bytes_of(rows[i].text), rows[i].kind, &buf);
        kit_expect_at(cx, err, MLN_E_PARSE, rows[i].part, rows[i].text, __FILE__, __LINE__);
        kit_text(mln_buf_bytes(&buf), "kept");
    }
}

static void test_round_trips(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_prng g;
    mln_prng_seed(&g, 7);
    for (size_t n = 0; n < 200; n++) {
        uint8_t raw[200];
        for (size_t i = 0; i < n; i++) {
            raw[i] = (uint8_t)mln_prng_u64(&g);
        }
        for (int kind = 0; kind < 4; kind++) {
            MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
            MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
            mln_base64_print(&text, mln_bytes_at(raw, n), (enum mln_b64)kind);
            kit_ok(cx, mln_base64_parse(cx, mln_buf_bytes(&text), (enum mln_b64)kind, &again));
            kit_same(cx, mln_buf_bytes(&again), mln_bytes_at(raw, n));
        }
    }
}

static struct mln_err faulty(struct mln_cx *cx, void *arg)
{
    (void)arg;
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    MLN_TRY(mln_base64_parse(cx, MLN_BYTES("Zm9v"), MLN_B64_STD, &buf));
    (void)mln_base64_text(cx, mln_buf_bytes(&buf), MLN_B64_STD);
    return mln_cx_err(cx);
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty, NULL) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_known), KIT_TEST(test_refused), KIT_TEST(test_round_trips), cmocka_unit_test(test_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
