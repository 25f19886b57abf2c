/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of code points. */
#include "rego/regex_priv.h"

#include <stdlib.h>

#define RX_TABLE(name, ...) static const uint32_t category_##name[] = {__VA_ARGS__};
#include "rego/regex_category.def"
#undef RX_TABLE
#define RX_TABLE(name, ...) static const uint32_t script_##name[] = {__VA_ARGS__};
#include "rego/regex_script.def"
#undef RX_TABLE

struct table {
    const char *name;
    const uint32_t *ends;
    size_t n;
};

static const struct table categories[] = {
#define RX_TABLE(name, ...) {#name, category_##name, MLN_COUNT(category_##name)},
#include "rego/regex_category.def"
#undef RX_TABLE
};
static const struct table scripts[] = {
#define RX_TABLE(name, ...) {#name, script_##name, MLN_COUNT(script_##name)},
#include "rego/regex_script.def"
#undef RX_TABLE
};

static const struct {
    uint32_t lo, hi, step;
    int32_t delta;
} folds[] = {
#define RX_FOLD(lo, hi, step, delta) {lo, hi, step, delta},
#include "rego/regex_fold.def"
#undef RX_FOLD
};

void rx_set_add(struct rx_set *set, uint32_t lo, uint32_t hi)
{
    if (set->n > 0 && set->ranges[set->n - 1].hi + 1 == lo) {
        set->ranges[set->n - 1].hi = hi;
        return;
    }
    if (set->n == set->cap) {
        uint32_t cap = set->cap < 8 ? 8 : set->cap * 2;
        void *more = mln_realloc(set->ranges, set->n * sizeof(*set->ranges),
                                 cap * sizeof(*set->ranges), false);
        if (more == NULL) {
            set->is_broken = true;
            return;
        }
        set->ranges = more;
        set->cap = cap;
    }
    set->ranges[set->n++] = (struct rx_range){lo, hi};
}

void rx_set_add_set(struct rx_set *set, const struct rx_set *from)
{
    for (uint32_t i = 0; i < from->n; i++) {
        rx_set_add(set, from->ranges[i].lo, from->ranges[i].hi);
    }
    set->is_broken |= from->is_broken;
}

static int cmp_range(const void *a, const void *b)
{
    const struct rx_range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

void rx_set_tidy(struct rx_set *set)
{
    uint32_t n = 0;
    if (set->n > 0) {
        qsort(set->ranges, set->n, sizeof(*set->ranges), cmp_range);
    }
    for (uint32_t i = 0; i < set->n; i++) {
        struct rx_range r = set->ranges[i];
        if (n > 0 && r.lo <= set->ranges[n - 1].hi + 1) {
            if (r.hi > set->ranges[n - 1].hi) {
                set->ranges[n - 1].hi = r.hi;
            }
        } else {
            set->ranges[n++] = r;
        }
    }
    set->n = n;
}

void rx_set_not(struct rx_set *set)
{
    struct rx_set out = {0};
    uint32_t at = 0;
    rx_set_tidy(set);
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->ranges[i].lo > at) {
            rx_set_add(&out, at, set->ranges[i].lo - 1);
        }
        at = set->ranges[i].hi + 1;
    }
    if (at <= RX_RUNE_MAX) {
        rx_set_add(&out, at, RX_RUNE_MAX);
    }
    out.is_broken |= set->is_broken;
    rx_set_drop(set);
    *set = out;
}

void rx_set_drop(struct rx_set *set)
{
    mln_free(set->ranges);
    *set = (struct rx_set){0};
}

/* One step along the rings of letters that are the same. */
static void fold_once(struct rx_set *set)
{
    struct rx_set more = {0};
    for (uint32_t i = 0; i < set->n; i++) {
        struct rx_range r = set->ranges[i];
        for (size_t k = 0; k < MLN_COUNT(folds); k++) {
            uint32_t lo = r.lo > folds[k].lo ? r.lo : folds[k].lo;
            uint32_t hi = r.hi < folds[k].hi ? r.hi : folds[k].hi;
            lo += (lo - folds[k].lo) % folds[k].step;
            for (uint32_t c = lo; lo <= r.hi && c <= hi; c += folds[k].step) {
                uint32_t to = (uint32_t)((int32_t)c + folds[k].delta);
                rx_set_add(&more, to, to);
            }
        }
    }
    rx_set_add_set(set, &more);
    rx_set_drop(&more);
    rx_set_tidy(set);
}

void rx_set_fold(struct rx_set *set)
{
    rx_set_tidy(set);
    for (int i = 0; i < 3; i++) { /* rings have four letters at most */
        fold_once(set);
    }
}

static void add_table(struct rx_set *set, const struct table *t)
{
    for (size_t i = 0; i < t->n; i += 2) {
        rx_set_add(set, t->ends[i], t->ends[i + 1]);
    }
}

bool rx_set_named(struct rx_set *set, struct mln_bytes name)
{
    bool found = mln_bytes_is(name, "Any");
    if (found) {
        rx_set_add(set, 0, RX_RUNE_MAX);
    }
    for (size_t i = 0; i < MLN_COUNT(categories); i++) {
        const struct table *t = &categories[i];
        if (mln_bytes_is(name, t->name) || (name.len == 1 && name.ptr[0] == (uint8_t)t->name[0])) {
            add_table(set, t);
            found = true;
        }
    }
    for (size_t i = 0; i < MLN_COUNT(scripts); i++) {
        if (mln_bytes_is(name, scripts[i].name)) {
            add_table(set, &scripts[i]);
            found = true;
        }
    }
    rx_set_tidy(set);
    return found;
}

bool rx_set_perl(struct rx_set *set, uint8_t letter)
{
    switch (letter) {
    case 'd':
        rx_set_add(set, '0', '9');
        return true;
    case 's':
        rx_set_add(set, '\t', '\n');
        rx_set_add(set, '\f', '\r');
        rx_set_add(set, ' ', ' ');
        return true;
    case 'w':
        rx_set_add(set, '0', '9');
        rx_set_add(set, 'A', 'Z');
        rx_set_add(set, '_', '_');
        rx_set_add(set, 'a', 'z');
        return true;
    default:
        return false;
    }
}

bool rx_set_posix(struct rx_set *set, struct mln_bytes name)
{
    static const struct {
        const char *name, *ends; /* pairs */
    } rows[] = {
        {"alnum", "09AZaz"},   {"alpha", "AZaz"}, {"ascii", ""},     {"blank", "\t\t  "},
        {"cntrl", ""},         {"digit", "09"},   {"graph", "!~"},   {"lower", "az"},
        {"print", " ~"},       {"punct", "!/:@[`{~"}, {"space", "\t\r  "}, {"upper", "AZ"},
        {"word", "09AZaz__"}, {"xdigit", "09AFaf"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (!mln_bytes_is(name, rows[i].name)) {
            continue;
        }
        for (const char *p = rows[i].ends; *p != '\0'; p += 2) {
            rx_set_add(set, (uint8_t)p[0], (uint8_t)p[1]);
        }
        if (name.ptr[0] == 'c' || mln_bytes_is(name, "ascii")) {
            rx_set_add(set, 0, name.ptr[0] == 'c' ? 0x1f : 0x7f);
            rx_set_add(set, 0x7f, 0x7f);
        }
        rx_set_tidy(set);
        return true;
    }
    return false;
}
