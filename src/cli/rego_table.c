/* SPDX-License-Identifier: Apache-2.0 */
/* Tables in boxes, as OPA's tools draw them. */
#include "cli/rego_priv.h"

static size_t columns_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static void draw_line(const struct rego_table *t, const size_t *widths, const char *const signs[3])
{
    for (size_t c = 0; c < t->n_columns; c++) {
        mln_cli_out("%s", signs[c == 0 ? 0 : 1]);
        for (size_t i = 0; i < widths[c] + 2; i++) {
            mln_cli_out("\xe2\x94\x80");
        }
    }
    mln_cli_out("%s\n", signs[2]);
}

void rego_table_draw(struct mln_cli *cli, const struct rego_table *t)
{
    static const char *const top[] = {"\xe2\x94\x8c", "\xe2\x94\xac", "\xe2\x94\x90"},
                             *const middle[] = {"\xe2\x94\x9c", "\xe2\x94\xbc", "\xe2\x94\xa4"},
                             *const bottom[] = {"\xe2\x94\x94", "\xe2\x94\xb4", "\xe2\x94\x98"};
    size_t *widths = mln_new_array(cli->cx, t->n_columns, sizeof(*widths));
    if (widths == NULL) {
        return;
    }
    for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
        size_t w = columns_of(t->cells[i]), *most = &widths[i % t->n_columns];
        *most = w > *most ? w : *most;
    }
    draw_line(t, widths, top);
    for (size_t r = 0; r < t->n_rows; r++) {
        for (size_t c = 0; c < t->n_columns; c++) {
            const char *text = t->cells[r * t->n_columns + c];
            size_t left = widths[c] - columns_of(text), before = r == 0 ? left / 2 : 0;
            mln_cli_out("\xe2\x94\x82 %*s%s%*s ", (int)before, "", text, (int)(left - before), "");
        }
        mln_cli_out("\xe2\x94\x82\n");
        if (r == 0) {
            draw_line(t, widths, middle);
        }
    }
    draw_line(t, widths, bottom);
}
