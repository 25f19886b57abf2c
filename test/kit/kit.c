/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers for tests; what each does stands in kit.h. They use the C library directly, so that base faults cannot break them. */
#include "kit/kit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIT_ARENA_BYTES ((size_t)64 << 20)
#define KIT_FAULTS_MAX 200000

/* ---- contexts ---- */

struct mln_cx *kit_cx_new(void)
{
    struct mln_cx *cx = mln_alloc(sizeof(*cx));
    struct mln_arena *arena = mln_arena_new(KIT_ARENA_BYTES, false);
    if (cx == NULL || arena == NULL) {
        fail_msg("no memory for a test context");
    }
    mln_cx_init(cx, arena);
    return cx;
}

void kit_cx_free(struct mln_cx *cx)
{
    if (cx != NULL) {
        mln_arena_free(cx->arena);
        mln_free(cx);
    }
}

void kit_cx_drop(struct mln_cx **cx)
{
    kit_cx_free(*cx);
    *cx = NULL;
}

int kit_setup(void **state)
{
    *state = kit_cx_new();
    return 0;
}

int kit_teardown(void **state)
{
    for (int kind = 0; kind < MLN_FAULT_KINDS; kind++) {
        mln_fault_arm((enum mln_fault_kind)kind, 0, false);
    }
    kit_cx_free(*state);
    *state = NULL;
    return 0;
}

struct mln_cx *kit_cx(void **state)
{
    return *state;
}

/* ---- errors ---- */

void kit_expect_at(struct mln_cx *cx, struct mln_err err, enum mln_code want, const char *part,
                   const char *what, const char *file, int line)
{
    const char *text = cx != NULL ? cx->text : "";
    bool has_part = part == NULL || strstr(text, part) != NULL;
    if (err.code == (uint32_t)want && has_part) {
        mln_cx_clear(cx);
        return;
    }
    print_error("%s\n  got  %s: %s\n", what, mln_err_name(err.code), text);
    if (cx != NULL && cx->file != NULL) {
        print_error("  from %s:%d %s\n", cx->file, cx->line, cx->note);
    }
    print_error("  want %s %s\n", mln_err_name((uint32_t)want), part != NULL ? part : "");
    _fail(file, line);
}

/* ---- faults ---- */

static size_t each_fault(enum mln_fault_kind kind, kit_body *body, void *arg, bool from_then_on,
                         bool is_loose)
{
    size_t fired = 0;
    for (uint64_t nth = 1; nth < KIT_FAULTS_MAX; nth++) {
        struct mln_cx *cx = kit_cx_new();
        mln_fault_arm(kind, nth, from_then_on);
        struct mln_err err = body(cx, arg);
        bool did_fire = mln_fault_fired(kind);
        mln_fault_arm(kind, 0, false);
        if (!did_fire) {
            kit_expect_at(cx, err, MLN_E_OK, NULL, "the run without a fault", __FILE__, __LINE__);
            kit_cx_free(cx);
            return fired;
        }
        fired++;
        bool is_silent = !mln_failed(err) && !is_loose;
        kit_cx_free(cx);
        if (is_silent) {
            fail_msg("fault %llu of kind %d (%s) was not reported", (unsigned long long)nth, kind,
                     from_then_on ? "from then on" : "once");
        }
    }
    fail_msg("no end of faults of kind %d", kind);
    return fired;
}

size_t mln_each_fault(enum mln_fault_kind kind, kit_body *body, void *arg)
{
    size_t once = each_fault(kind, body, arg, false, false);
    return once + each_fault(kind, body, arg, true, false);
}

size_t mln_each_fault_loose(enum mln_fault_kind kind, kit_body *body, void *arg)
{
    size_t once = each_fault(kind, body, arg, false, true);
    return once + each_fault(kind, body, arg, true, true);
}

/* ---- files ---- */

void kit_tmpdir(char to[KIT_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    snprintf(to, KIT_PATH_MAX, "%s/merlon-test-XXXXXX", base != NULL && *base ? base : "/tmp");
    if (mkdtemp(to) == NULL) {
        fail_msg("no temporary folder %s", to);
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void kit_rmtree(const char *dir)
{
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        print_error("cannot remove %s\n", dir);
    }
}

const char *kit_path(char to[KIT_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(to, KIT_PATH_MAX, "%s/%s", dir, name);
    assert_true(n > 0 && n < KIT_PATH_MAX);
    return to;
}

const char *kit_test_file(char to[KIT_PATH_MAX], const char *name)
{
    return kit_path(to, MLN_TEST_DIR, name);
}

struct mln_bytes kit_read_file(struct mln_cx *cx, const char *path)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        fail_msg("cannot read %s", path);
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *to = mln_new(cx, (size_t)size + 1);
    assert_non_null(to);
    size_t got = fread(to, 1, (size_t)size, file);
    fclose(file);
    assert_int_equal(got, size);
    return mln_bytes_at(to, got);
}

void kit_write_file(const char *path, struct mln_bytes content)
{
    FILE *file = fopen(path, "wbe");
    if (file == NULL) {
        fail_msg("cannot write %s", path);
    }
    size_t put = fwrite(content.ptr, 1, content.len, file);
    int closed = fclose(file);
    if (put != content.len || closed != 0) {
        fail_msg("cannot write %s", path);
    }
}

/* ---- bytes ---- */

static int nibble(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
    return c != '\0' && at != NULL ? (int)(at - digits) : -1;
}

struct mln_bytes kit_hex(struct mln_cx *cx, const char *hex)
{
    uint8_t *to = mln_new(cx, strlen(hex) / 2 + 1);
    assert_non_null(to);
    size_t n = 0;
    while (*hex != '\0') {
        if (*hex == ' ' || *hex == '\n') {
            hex++;
            continue;
        }
        int high = nibble(hex[0]);
        int low = high < 0 ? -1 : nibble(hex[1]);
        if (low < 0) {
            fail_msg("no hex: %s", hex);
        }
        to[n++] = (uint8_t)(high << 4 | low);
        hex += 2;
    }
    return mln_bytes_at(to, n);
}

const char *kit_hex_of(struct mln_cx *cx, struct mln_bytes bytes)
{
    char *to = mln_new(cx, 2 * bytes.len + 1);
    assert_non_null(to);
    for (size_t i = 0; i < bytes.len; i++) {
        to[2 * i] = "0123456789abcdef"[bytes.ptr[i] >> 4];
        to[2 * i + 1] = "0123456789abcdef"[bytes.ptr[i] & 15];
    }
    return to;
}

void kit_same_at(struct mln_cx *cx, struct mln_bytes got, struct mln_bytes want, const char *file, int line)
{
    if (!mln_bytes_eq(got, want)) {
        print_error("got  %s\nwant %s\n", kit_hex_of(cx, got), kit_hex_of(cx, want));
        _fail(file, line);
    }
}

void kit_text_at(struct mln_bytes got, const char *want, const char *file, int line)
{
    if (!mln_bytes_is(got, want)) {
        print_error("got  (%zu) %.*s\nwant (%zu) %s\n", got.len, MLN_FMT(got), strlen(want), want);
        _fail(file, line);
    }
}
