/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers for tests: cmocka with its headers, a context per test, error assertions that print the cause, fault loops,
 * temporary folders, hex. Include this first; it brings cmocka in.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka must come after those. */
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/value.h"

/* ---- a context per test: cmocka_unit_test_setup_teardown(test_x, kit_setup, kit_teardown), or KIT_TEST(test_x) ---- */
int kit_setup(void **state);
int kit_teardown(void **state);
struct mln_cx *kit_cx(void **state); /* with an arena of 64 MiB; cleared for each test */
#define KIT_TEST(fn) cmocka_unit_test_setup_teardown(fn, kit_setup, kit_teardown)
/* A context of your own, wherever there is no state. */
struct mln_cx *kit_cx_new(void);
void kit_cx_free(struct mln_cx *cx);
void kit_cx_drop(struct mln_cx **cx);

/* ---- errors ---- */
/* Fails the test with code name, text, note, file and line of the cause. A code as expected is cleared from cx. */
#define kit_ok(cx, expr) kit_expect_at((cx), (expr), MLN_E_OK, NULL, #expr, __FILE__, __LINE__)
#define kit_refused(cx, expr, code)                                                                \
    kit_expect_at((cx), (expr), (code), NULL, #expr, __FILE__, __LINE__)
/* The text of the error must contain `part` as well; with the name of the table row in front of messages. */
#define kit_refused_with(cx, expr, code, part)                                                     \
    kit_expect_at((cx), (expr), (code), (part), #expr, __FILE__, __LINE__)
#define kit_expect(cx, name, expr, code)                                                           \
    kit_expect_at((cx), (expr), (code), NULL, (name), __FILE__, __LINE__)
void kit_expect_at(struct mln_cx *cx, struct mln_err err, enum mln_code want, const char *part,
                   const char *what, const char *file, int line);

/* ---- faults ---- */
/*
 * Run body(cx, arg) with the 1st, 2nd, ... fault point of `kind` failing until it passes untouched, each both once and from
 * then on. A body whose fault fired must return an error; it frees what it made (ASan watches). cx is fresh for each run
 * and faults of its own creation do not count. Returns how many faults fired; assert that it is not 0.
 */
typedef struct mln_err kit_body(struct mln_cx *cx, void *arg);
size_t mln_each_fault(enum mln_fault_kind kind, kit_body *body, void *arg);
/* The same, but the body may also succeed although a fault fired (it has a fallback); it asserts what must hold itself. */
size_t mln_each_fault_loose(enum mln_fault_kind kind, kit_body *body, void *arg);

/* ---- files ---- */
#define KIT_PATH_MAX 512
/* A new folder below TMPDIR or /tmp; kit_rmtree removes it with all that is in it. */
void kit_tmpdir(char to[KIT_PATH_MAX]);
void kit_rmtree(const char *dir);
/* "dir/name" into `to`. */
const char *kit_path(char to[KIT_PATH_MAX], const char *dir, const char *name);
struct mln_bytes kit_read_file(struct mln_cx *cx, const char *path); /* fails the test when it cannot */
void kit_write_file(const char *path, struct mln_bytes content);
/* Path of a file below test/, as "vectors/x.json". */
const char *kit_test_file(char to[KIT_PATH_MAX], const char *name);

/* ---- bytes ---- */
struct mln_bytes kit_hex(struct mln_cx *cx, const char *hex); /* spaces are fine; fails the test when it is no hex */
const char *kit_hex_of(struct mln_cx *cx, struct mln_bytes bytes);
#define kit_same(cx, got, want) kit_same_at((cx), (got), (want), __FILE__, __LINE__)
void kit_same_at(struct mln_cx *cx, struct mln_bytes got, struct mln_bytes want, const char *file, int line);
/* The text of a view against a C string, both shown on failure. */
#define kit_text(got, want) kit_text_at((got), (want), __FILE__, __LINE__)
void kit_text_at(struct mln_bytes got, const char *want, const char *file, int line);
