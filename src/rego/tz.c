/* SPDX-License-Identifier: Apache-2.0 */
/* Zones: files of RFC 9636 (TZif) with the rule behind their last change. A file is not trusted: every length is checked. */
#include "rego/gotime.h"

#include "base/io.h"
#include "rego/rego.h"
#include "rego/val_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE_FILE_MAX ((size_t)1 << 20) /* the largest of tzdata has 4 KiB */
#define FOLDER        "/usr/share/zoneinfo/"
#define NAME_MAX_LEN  64
#define ZONES_MAX     2048u /* tzdata has 600 names for 350 zones */

struct kind {
    int32_t offset;
    uint8_t name;
};

struct rule {
    int month, week,
        day; /* M month.week.day; month 0: day of the year (week 1: without leap days) */
    int32_t second;
};

struct rg_zone {
    struct mln_buf file;
    const uint8_t *times, *which, *kinds, *names;
    uint32_t time_n, kind_n, name_n;
    bool has_tail, tail_has_summer;
    char tail_names[2][8];
    int32_t tail_offsets[2];
    struct rule tail_rules[2]; /* begin and end of summer time */
};

static bool is_name(struct mln_bytes name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN || name.ptr[0] == '/' ||
        mln_bytes_find_bytes(name, MLN_BYTES("..")) < name.len) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i], l = c | 0x20;
        if (!(l >= 'a' && l <= 'z') && !(c >= '0' && c <= '9') && c != '/' && c != '_' &&
            c != '-' && c != '+') {
            return false;
        }
    }
    return true;
}

struct counts {
    uint32_t utc, std, leap, time, kind, name;
};

static struct counts read_counts(struct mln_reader *r)
{
    struct counts c;
    c.utc = mln_read_u32be(r);
    c.std = mln_read_u32be(r);
    c.leap = mln_read_u32be(r);
    c.time = mln_read_u32be(r);
    c.kind = mln_read_u32be(r);
    c.name = mln_read_u32be(r);
    return c;
}

/* ---- the rule at the end: "EST5EDT,M3.2.0,M11.1.0" ---- */
static uint8_t peek(struct mln_bytes t)
{
    return t.len == 0 ? 0 : t.ptr[0];
}

static bool take_number(struct mln_bytes *t, int *ret)
{
    size_t n = 0;
    *ret = 0;
    while (n < t->len && n < 4 && t->ptr[n] >= '0' && t->ptr[n] <= '9') {
        *ret = *ret * 10 + (t->ptr[n++] - '0');
    }
    *t = mln_bytes_from(*t, n);
    return n > 0;
}

/* [+-]h[:m[:s]] */
static bool take_time(struct mln_bytes *t, int32_t *ret)
{
    int sign = peek(*t) == '-' ? -1 : 1, parts[3] = {0, 0, 0};
    *t = mln_bytes_from(*t, peek(*t) == '-' || peek(*t) == '+');
    for (int i = 0; i < 3; i++) {
        if (!take_number(t, &parts[i]) || parts[i] > 167) {
            return false;
        }
        if (peek(*t) != ':') {
            break;
        }
        *t = mln_bytes_from(*t, 1);
    }
    *ret = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return true;
}

static bool take_abbreviation(struct mln_bytes *t, char to[8])
{
    bool quoted = peek(*t) == '<';
    size_t n = 0;
    *t = mln_bytes_from(*t, quoted);
    while (n < t->len &&
           (quoted ? t->ptr[n] != '>' : (t->ptr[n] | 0x20) >= 'a' && (t->ptr[n] | 0x20) <= 'z')) {
        n++;
    }
    if (n == 0 || n > 7) {
        return false;
    }
    mln_copy(to, t->ptr, n);
    to[n] = '\0';
    *t = mln_bytes_from(*t, n + quoted);
    return true;
}

static bool take_rule(struct mln_bytes *t, struct rule *r)
{
    if (peek(*t) != ',') {
        return false;
    }
    *t = mln_bytes_from(*t, 1);
    uint8_t kind = peek(*t);
    *t = mln_bytes_from(*t, kind == 'M' || kind == 'J');
    if (kind == 'M') {
        if (!take_number(t, &r->month) || peek(*t) != '.') {
            return false;
        }
        *t = mln_bytes_from(*t, 1);
        if (!take_number(t, &r->week) || peek(*t) != '.') {
            return false;
        }
        *t = mln_bytes_from(*t, 1);
        if (!take_number(t, &r->day) || r->month < 1 || r->month > 12 || r->week < 1 ||
            r->week > 5 || r->day > 6) {
            return false;
        }
    } else {
        r->week = kind == 'J';
        if (!take_number(t, &r->day) || r->day > 366) {
            return false;
        }
    }
    r->second = 7200;
    if (peek(*t) == '/') {
        *t = mln_bytes_from(*t, 1);
        return take_time(t, &r->second);
    }
    return true;
}

static void read_tail(struct rg_zone *z, struct mln_bytes t)
{
    if (!take_abbreviation(&t, z->tail_names[0]) || !take_time(&t, &z->tail_offsets[0])) {
        return;
    }
    z->tail_offsets[0] = -z->tail_offsets[0];
    z->has_tail = true;
    if (t.len == 0) {
        return;
    }
    z->tail_offsets[1] = z->tail_offsets[0] + 3600;
    bool ok = take_abbreviation(&t, z->tail_names[1]);
    if (ok && peek(t) != ',') {
        ok = take_time(&t, &z->tail_offsets[1]);
        z->tail_offsets[1] = -z->tail_offsets[1];
    }
    ok = ok && take_rule(&t, &z->tail_rules[0]) && take_rule(&t, &z->tail_rules[1]);
    z->tail_has_summer = ok;
    z->has_tail = ok;
}

/* ---- the file ---- */
static bool read_file(struct rg_zone *z)
{
    struct mln_reader r = mln_reader_of(mln_buf_bytes(&z->file));
    struct mln_bytes magic = mln_read_bytes(&r, 4);
    uint8_t version = mln_read_u8(&r);
    (void)mln_read_bytes(&r, 15);
    struct counts c = read_counts(&r);
    if (!mln_bytes_is(magic, "TZif") || version < '2') {
        return false;
    }
    (void)mln_read_bytes(&r, (size_t)c.time * 5 + (size_t)c.kind * 6 + c.name + (size_t)c.leap * 8 +
                                 c.std + c.utc);
    (void)mln_read_bytes(&r, 20);
    c = read_counts(&r);
    z->time_n = c.time;
    z->kind_n = c.kind;
    z->name_n = c.name;
    z->times = mln_read_bytes(&r, (size_t)c.time * 8).ptr;
    z->which = mln_read_bytes(&r, c.time).ptr;
    z->kinds = mln_read_bytes(&r, (size_t)c.kind * 6).ptr;
    z->names = mln_read_bytes(&r, c.name).ptr;
    (void)mln_read_bytes(&r, (size_t)c.leap * 12 + c.std + c.utc);
    if (r.is_short || c.kind == 0 || c.name == 0 || z->names[c.name - 1] != 0) {
        return false;
    }
    struct mln_bytes tail = mln_bytes_trim(mln_read_bytes(&r, mln_reader_left(&r)));
    read_tail(z, tail);
    return true;
}

/* ---- all zones of the system, read once ---- */
struct entry {
    char name[NAME_MAX_LEN + 1];
    uint32_t file;
};
struct file {
    struct mln_buf bytes;
    uint32_t hash;
};

struct mln_rego_zones {
    struct entry *names; /* sorted */
    struct file *files;  /* each content once: many names are others of one zone */
    uint32_t names_n, files_n;
};

/* An index into files, or UINT32_MAX. */
static uint32_t keep_file(struct mln_rego_zones *z, const char *path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf b = {0};
    if (mln_failed(mln_file_read_all(NULL, path, ZONE_FILE_MAX, &b)) ||
        !mln_bytes_starts(mln_buf_bytes(&b), MLN_BYTES("TZif"))) {
        return UINT32_MAX;
    }
    uint32_t hash = rg_hash_bytes(b.ptr, b.len);
    for (uint32_t i = 0; i < z->files_n; i++) {
        if (z->files[i].hash == hash &&
            mln_bytes_eq(mln_buf_bytes(&z->files[i].bytes), mln_buf_bytes(&b))) {
            return i;
        }
    }
    if (z->files_n == ZONES_MAX) {
        return UINT32_MAX;
    }
    struct mln_buf exact = {0}; /* what a read reserves would be 16 times the largest file, for each of 350 */
    mln_buf_add_bytes(&exact, mln_buf_bytes(&b));
    bool is_copied = !exact.has_failed;
    mln_buf_drop(is_copied ? &b : &exact);
    z->files[z->files_n] = (struct file){.bytes = is_copied ? exact : b, .hash = hash};
    b = (struct mln_buf){0};
    return z->files_n++;
}

/* Folders are at most two deep ("America/Argentina/Salta"); posix and right repeat all the others. */
static void collect(struct mln_cx *cx, struct mln_rego_zones *z, const char *folder, unsigned depth)
{
    const struct mln_value *list = NULL;
    char path[sizeof(FOLDER) + NAME_MAX_LEN + 1];
    (void)snprintf(path, sizeof(path), FOLDER "%s", folder);
    if (depth > 3 || mln_failed(mln_dir_list(cx, path, &list))) {
        return;
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        char name[NAME_MAX_LEN + 1];
        struct mln_bytes leaf = mln_get_bytes(mln_item(list, i));
        int n = snprintf(name, sizeof(name), "%s%s%.*s", folder, folder[0] == '\0' ? "" : "/",
                         MLN_FMT(leaf));
        if (n < 0 || n > NAME_MAX_LEN || !is_name(mln_bytes_of(name)) || z->names_n == ZONES_MAX ||
            (depth == 0 && (mln_bytes_is(leaf, "posix") || mln_bytes_is(leaf, "right")))) {
            continue;
        }
        (void)snprintf(path, sizeof(path), FOLDER "%s", name);
        uint32_t file = keep_file(z, path);
        if (file == UINT32_MAX) {
            collect(cx, z, name, depth + 1);
            continue;
        }
        struct entry *e = &z->names[z->names_n++];
        (void)snprintf(e->name, sizeof(e->name), "%s", name);
        e->file = file;
    }
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

struct mln_err mln_rego_zones_new(struct mln_cx *cx, struct mln_rego_zones **ret)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)4 << 20, false);
    struct mln_rego_zones *z = mln_alloc(sizeof(*z));
    struct mln_cx own;
    if (z != NULL) {
        *z = (struct mln_rego_zones){.names = mln_alloc_array(ZONES_MAX, sizeof(*z->names)),
                                     .files = mln_alloc_array(ZONES_MAX, sizeof(*z->files))};
    }
    if (arena == NULL || z == NULL || z->names == NULL || z->files == NULL) {
        mln_rego_zones_free(z);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory: zones of time");
    }
    mln_cx_init(&own, arena); /* what cannot be listed is no error: it is a zone less */
    collect(&own, z, "", 0);
    qsort(z->names, z->names_n, sizeof(*z->names), by_name);
    *ret = z;
    return MLN_OK;
}

void mln_rego_zones_free(struct mln_rego_zones *z)
{
    for (uint32_t i = 0; z != NULL && z->files != NULL && i < z->files_n; i++) {
        mln_buf_drop(&z->files[i].bytes);
    }
    if (z != NULL) {
        mln_free(z->files);
        mln_free(z->names);
        mln_free(z);
    }
}

static bool read_kept(const struct mln_rego_zones *zones, struct mln_bytes name,
                      struct mln_buf *ret)
{
    uint32_t lo = 0, hi = zones->names_n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        int c = mln_bytes_cmp(mln_bytes_of(zones->names[mid].name), name);
        if (c == 0) {
            mln_buf_add_bytes(ret, mln_buf_bytes(&zones->files[zones->names[mid].file].bytes));
            return !ret->has_failed;
        }
        lo = c < 0 ? mid + 1 : lo;
        hi = c < 0 ? hi : mid;
    }
    return false;
}

static bool read_system(struct mln_bytes name, bool is_local, struct mln_buf *ret)
{
    char path[sizeof(FOLDER) + NAME_MAX_LEN + 1] = "/etc/localtime";
    if (!is_local) {
        (void)snprintf(path, sizeof(path), FOLDER "%.*s", MLN_FMT(name));
    }
    return !mln_failed(mln_file_read_all(NULL, path, ZONE_FILE_MAX, ret));
}

struct rg_zone *rg_zone_new(const struct mln_rego_zones *zones, struct mln_bytes name)
{
    struct rg_zone *z = mln_alloc(sizeof(*z));
    bool is_local = mln_bytes_is(name, "Local");
    if (z == NULL || name.len == 0 || mln_bytes_is(name, "UTC")) {
        return z;
    }
    bool ok = (is_local || is_name(name)) &&
              (zones != NULL && !is_local ? read_kept(zones, name, &z->file)
                                          : read_system(name, is_local, &z->file)) &&
              read_file(z);
    if (!ok && is_local) {
        mln_buf_drop(&z->file);
        *z = (struct rg_zone){0};
        return z;
    }
    if (!ok) {
        rg_zone_free(z);
        return NULL;
    }
    return z;
}

void rg_zone_free(void *zone)
{
    struct rg_zone *z = zone;
    if (z != NULL) {
        mln_buf_drop(&z->file);
        mln_free(z);
    }
}

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* Second of the year, in local time, at which a rule says that the clock changes. */
static int64_t rule_second(const struct rule *r, int64_t year)
{
    int64_t first = rg_days(year, 1, 1), day = 0;
    if (r->month == 0) {
        day = r->week == 1 ? r->day - 1 + (is_leap(year) && r->day > 59) : r->day;
    } else {
        int64_t month = rg_days(year, r->month, 1), end = rg_days(year, r->month + 1, 1);
        int64_t weekday = ((month + 4) % 7 + 7) % 7;
        day = month + (r->day - weekday + 7) % 7 + 7 * (r->week - 1);
        while (day >= end) {
            day -= 7;
        }
        day -= first;
    }
    return day * 86400 + r->second;
}

static int32_t tail_at(const struct rg_zone *z, int64_t unix_s, char abbreviation[8])
{
    bool summer = false;
    if (z->tail_has_summer) {
        struct rg_civil c;
        int64_t local = unix_s + z->tail_offsets[0];
        int64_t day = local >= 0 ? local / 86400 : -((86399 - local) / 86400);
        rg_civil_of(day > 106000 || day < -106000 ? 0 : day * 86400 * 1000000000, NULL, &c);
        int64_t second = unix_s - rg_days(c.year, 1, 1) * 86400;
        int64_t from = rule_second(&z->tail_rules[0], c.year) - z->tail_offsets[0];
        int64_t to = rule_second(&z->tail_rules[1], c.year) - z->tail_offsets[1];
        summer = from < to ? second >= from && second < to : second >= from || second < to;
    }
    mln_copy(abbreviation, z->tail_names[summer], 8);
    return z->tail_offsets[summer];
}

int32_t rg_zone_at(const struct rg_zone *z, int64_t unix_s, char abbreviation[8])
{
    mln_copy(abbreviation, "UTC", 4);
    if (z == NULL || z->kind_n == 0) {
        return 0;
    }
    uint32_t lo = 0, hi = z->time_n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if ((int64_t)mln_get_u64be(z->times + (size_t)mid * 8) <= unix_s) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == z->time_n && z->has_tail) {
        return tail_at(z, unix_s, abbreviation);
    }
    uint32_t kind = lo == 0 ? 0 : z->which[lo - 1];
    kind = kind < z->kind_n ? kind : 0;
    const uint8_t *k = z->kinds + (size_t)kind * 6;
    size_t at = k[5] < z->name_n ? k[5] : 0, n = 0;
    while (n < 7 && z->names[at + n] != 0) {
        abbreviation[n] = (char)z->names[at + n];
        n++;
    }
    abbreviation[n] = '\0';
    return (int32_t)mln_get_u32be(k);
}
