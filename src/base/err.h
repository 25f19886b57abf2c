/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a one-member struct that cannot be ignored, a context that keeps the first cause, three macros.
 * The text of an error lives on the request's context, never in a global. See errors.def for the list.
 */
#pragma once

#include <assert.h> /* static_assert */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mln_code {
    MLN_E_OK = 0,
#define MLN_ERROR(name, klass, http, grpc, exit_code, text) MLN_E_##name,
#include "base/errors.def"
#undef MLN_ERROR
    MLN_E_COUNT
};

struct [[nodiscard]] mln_err {
    uint32_t code; /* enum mln_code */
};

#define MLN_OK ((struct mln_err){0})

/* What errors.def says of a code. Unknown codes read as INTERNAL. All strings are static. */
const char *mln_err_name(uint32_t code);  /* "NOT_FOUND" */
const char *mln_err_text(uint32_t code);  /* "not found" */
const char *mln_err_class(uint32_t code); /* "STATE" */
int mln_err_http(uint32_t code);
int mln_err_grpc(uint32_t code);
int mln_err_exit(uint32_t code);

static inline bool mln_failed(struct mln_err err)
{
    return err.code != 0;
}

static inline bool mln_is(struct mln_err err, enum mln_code code)
{
    return err.code == (uint32_t)code;
}

struct mln_arena;

#define MLN_CX_TEXT_MAX 512 /* one line for a person; longer causes are cut */

/*
 * The context of one unit of work: its arena and the first thing that went wrong.
 * text    meant for the client (the API's error text, the command line's one line); no secret, no path of the disk
 * note    internal detail for the log, under the request id
 */
struct mln_cx {
    struct mln_arena *arena;
    struct mln_err fault;
    const char *file; /* where the first cause was raised */
    int line;
    char text[MLN_CX_TEXT_MAX];
    char note[MLN_CX_TEXT_MAX];
};

void mln_cx_init(struct mln_cx *cx, struct mln_arena *arena); /* arena borrowed, may be NULL for leaf work */
void mln_cx_clear(struct mln_cx *cx);                         /* forget the fault, keep the arena */

/*
 * Record a fault and return it: `return mln_fail(cx, MLN_E_PARSE, "pki: bad serial at byte %zu", off);`
 * The first cause wins: a later call keeps the earlier text and code. cx may be NULL (only the code survives).
 */
#define mln_fail(cx, code, ...) mln_fail_at((cx), (code), __FILE__, __LINE__, __VA_ARGS__)
struct mln_err mln_fail_at(struct mln_cx *cx, enum mln_code code, const char *file, int line,
                           const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Forget an earlier cause and record this one: for a caller that turns a lower failure into its own. */
#define mln_refail(cx, code, ...) (mln_cx_clear(cx), mln_fail((cx), (code), __VA_ARGS__))
/* Add internal detail to a fault; never shown to clients. */
void mln_note(struct mln_cx *cx, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The recorded fault, MLN_OK if none. */
struct mln_err mln_cx_err(const struct mln_cx *cx);

/* Leave with the error of `expr`, if it has one. Scope cleanup runs. */
#define MLN_TRY(expr)                                                                              \
    do {                                                                                           \
        struct mln_err mln_try_err_ = (expr);                                                      \
        if (mln_try_err_.code != 0) {                                                              \
            return mln_try_err_;                                                                   \
        }                                                                                          \
    } while (0)

/* A programmer's error: on in production, prints file and line, kills the process. Never for what input can cause. */
#define MLN_CHECK(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            mln_check_failed(__FILE__, __LINE__, #cond);                                           \
        }                                                                                          \
    } while (0)
void mln_check_failed(const char *file, int line, const char *cond) __attribute__((noreturn));

/* Scope cleanup: `MLN_AUTO(mln_fd_drop) int fd = -1;` calls the typed drop function with the address. */
#define MLN_AUTO(drop) __attribute__((cleanup(drop)))
/* Hand a scope-cleaned pointer over: `*ret_x = mln_take(&x);` leaves NULL behind. */
#define mln_take(ptr_to_ptr)                                                                       \
    __extension__({                                                                                \
        __typeof__(*(ptr_to_ptr)) mln_taken_ = *(ptr_to_ptr);                                      \
        *(ptr_to_ptr) = NULL;                                                                      \
        mln_taken_;                                                                                \
    })

#define MLN_COUNT(array) (sizeof(array) / sizeof((array)[0]))
