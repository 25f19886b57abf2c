/* SPDX-License-Identifier: Apache-2.0 */
/* Names of tiles: both ways, and what is not the one name of a tile. */
#include "kit/kit.h"

#include "ledger/tlog.h"

static void names(void **state)
{
    static const struct {
        int level;
        uint64_t n;
        unsigned width;
        const char *path;
    } t[] = {
        {0, 0, 256, "tile/0/000"},
        {0, 5, 1, "tile/0/005.p/1"},
        {3, 999, 255, "tile/3/999.p/255"},
        {1, 1000, 256, "tile/1/x001/000"},
        {63, 1234067, 256, "tile/63/x001/x234/067"},
        {-1, 273, 112, "tile/entries/273.p/112"},
        {-1, 1000000, 256, "tile/entries/x001/x000/000"},
        {0, UINT64_MAX, 256, "tile/0/x018/x446/x744/x073/x709/x551/615"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int level = 0;
        uint64_t n = 0;
        unsigned width = 0;
        assert_string_equal(mln_tlog_tile_path(cx, t[i].level, t[i].n, t[i].width), t[i].path);
        assert_true(mln_tlog_tile_parse(mln_bytes_of(t[i].path), &level, &n, &width));
        assert_int_equal(level, t[i].level);
        assert_true(n == t[i].n);
        assert_int_equal(width, t[i].width);
    }
}

static void refused(void **state)
{
    static const char *const t[] = {
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/000/",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1/",
        "tile/0/000.p/1x",
        "tile/0/000.p/-1",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/entry/000",
        "tile/0/x000/000",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/001/000",
        "tile/0/x01/000",
        "tile/0/x0001/000",
        "tile/0/X001/000",
        "tile/0/x001/x000",
        "tile/0/x001.p/000",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "/tile/0/000",
        "tile//000",
        "tile/0/../000",
        "tile/0/ 00",
        "tile/8/0/000",
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int level = 7;
        uint64_t n = 7;
        unsigned width = 7;
        if (mln_tlog_tile_parse(mln_bytes_of(t[i]), &level, &n, &width)) {
            fail_msg("taken: \"%s\"", t[i]);
        }
        assert_true(level == 7 && n == 7 && width == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(names),
        KIT_TEST(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
