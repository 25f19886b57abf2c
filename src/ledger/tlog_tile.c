/* SPDX-License-Identifier: Apache-2.0 */
/* Names of tiles, as C2SP tlog-tiles writes them: "tile/<level>/<x001/x234/067>[.p/<width>]". There is one name per tile. */
#include "ledger/tlog.h"

#include <inttypes.h>

#include "base/text.h"

#define LEVEL_MAX  63 /* the specification's; a 64-bit tree has 8 */
#define GROUPS_MAX 7  /* of three digits: 2^64 has 20 digits */

const char *mln_tlog_tile_path(struct mln_cx *cx, int level, uint64_t n, unsigned width)
{
    MLN_CHECK(level >= -1 && level <= LEVEL_MAX && width >= 1 && width <= MLN_TILE_WIDTH);
    unsigned groups[GROUPS_MAX];
    size_t n_groups = 0;
    do {
        groups[n_groups++] = (unsigned)(n % 1000);
        n /= 1000;
    } while (n > 0);
    char name[GROUPS_MAX * 5 + 1] = {0};
    size_t at = 0;
    while (n_groups > 0) {
        unsigned group = groups[--n_groups];
        if (n_groups > 0) {
            name[at++] = 'x';
        }
        name[at++] = (char)('0' + group / 100);
        name[at++] = (char)('0' + group / 10 % 10);
        name[at++] = (char)('0' + group % 10);
        if (n_groups > 0) {
            name[at++] = '/';
        }
    }
    const char *folder = level < 0 ? "entries" : mln_text_format(cx, "%d", level);
    return width == MLN_TILE_WIDTH ? mln_text_format(cx, "tile/%s/%s", folder, name)
                                   : mln_text_format(cx, "tile/%s/%s.p/%u", folder, name, width);
}

/* Decimal without leading zeros, 0..max. */
static bool parse_small(struct mln_bytes text, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.len == 0 || (text.len > 1 && text.ptr[0] == '0') || !mln_u64_parse(text, &v) || v > max) {
        return false;
    }
    *ret = v;
    return true;
}

static bool parse_group(struct mln_bytes text, uint64_t *n)
{
    unsigned group = 0;
    if (text.len != 3) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        group = 10 * group + (unsigned)(text.ptr[i] - '0');
    }
    if (*n > (UINT64_MAX - group) / 1000) {
        return false;
    }
    *n = 1000 * *n + group;
    return true;
}

/* The number in groups, up to the last group, which may carry ".p". */
static bool parse_number(struct mln_bytes *left, uint64_t *ret, bool *ret_is_partial)
{
    uint64_t n = 0;
    bool is_first = true;
    while (left->len > 0 && left->ptr[0] == 'x') {
        struct mln_bytes group = mln_bytes_from(mln_bytes_cut(*left, '/', left), 1);
        if (!parse_group(group, &n) || (is_first && n == 0)) {
            return false; /* a leading group of zeros would be a second name */
        }
        is_first = false;
    }
    struct mln_bytes all = *left;
    struct mln_bytes last = mln_bytes_cut(*left, '/', left);
    *ret_is_partial = mln_bytes_ends(last, MLN_BYTES(".p"));
    last.len -= *ret_is_partial ? 2 : 0;
    if (!parse_group(last, &n) || (!*ret_is_partial && all.len != last.len)) {
        return false;
    }
    *ret = n;
    return true;
}

bool mln_tlog_tile_parse(struct mln_bytes path, int *ret_level, uint64_t *ret_n, unsigned *ret_width)
{
    if (!mln_bytes_starts(path, MLN_BYTES("tile/"))) {
        return false;
    }
    struct mln_bytes left = mln_bytes_from(path, 5);
    struct mln_bytes folder = mln_bytes_cut(left, '/', &left);
    uint64_t level = 0;
    bool is_entries = mln_bytes_is(folder, "entries");
    if (!is_entries && !parse_small(folder, LEVEL_MAX, &level)) {
        return false;
    }
    uint64_t n = 0;
    uint64_t width = MLN_TILE_WIDTH;
    bool is_partial = false;
    if (!parse_number(&left, &n, &is_partial)) {
        return false;
    }
    if (is_partial && (!parse_small(left, MLN_TILE_WIDTH - 1, &width) || width == 0)) {
        return false;
    }
    *ret_level = is_entries ? -1 : (int)level;
    *ret_n = n;
    *ret_width = (unsigned)width;
    return true;
}
