/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: the only place that calls malloc, memcpy and their kin, so that allocation faults can be injected and lengths
 * are checked once. Long-lived objects use mln_alloc; request data uses the arena of the context.
 */
#pragma once

#include "base/err.h"

/* Zeroed memory or NULL; n may be 0. Freed by mln_free. Overflow of count * size gives NULL. */
void *mln_alloc(size_t n) __attribute__((malloc, warn_unused_result));
void *mln_alloc_array(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/* Grow, keeping the first old_n bytes; the old block is wiped when `wipe`. NULL leaves the old block as it was. */
void *mln_realloc(void *ptr, size_t old_n, size_t new_n, bool wipe) __attribute__((warn_unused_result));
void mln_free(void *ptr);                 /* NULL is fine */
void mln_free_wiped(void *ptr, size_t n); /* wipes n bytes first */
char *mln_strdup(const char *text) __attribute__((malloc, warn_unused_result));

/* Typed drop functions for MLN_AUTO. */
void mln_free_drop(void *ptr_to_ptr); /* MLN_AUTO(mln_free_drop) char *p */

/* memcpy, memmove, memset and compare with the lengths in one place; n = 0 with NULL is fine. */
void mln_copy(void *to, const void *from, size_t n);
void mln_move(void *to, const void *from, size_t n);
void mln_fill(void *to, uint8_t byte, size_t n);
int mln_compare(const void *a, const void *b, size_t n); /* not for secrets */
bool mln_same(const void *a, const void *b, size_t n);   /* not for secrets */
void mln_wipe(void *ptr, size_t n);                      /* never optimised away */
/* Constant time in the bytes; lengths are public. */
bool mln_eq_ct(const void *a, size_t a_n, const void *b, size_t b_n);

/* Wipe about n bytes of stack below the caller, where a callee held secrets. */
void mln_wipe_stack(void);

/*
 * Fault injection for tests: fail the n-th allocation or input/output call from now (1 = the next), once or from then on.
 * n = 0 turns it off. Counts are kept per process; production never calls this.
 */
enum mln_fault_kind { MLN_FAULT_ALLOC, MLN_FAULT_READ, MLN_FAULT_WRITE, MLN_FAULT_SYNC, MLN_FAULT_CONNECT, MLN_FAULT_KINDS };
void mln_fault_arm(enum mln_fault_kind kind, uint64_t nth, bool from_then_on);
bool mln_fault_hit(enum mln_fault_kind kind); /* called at each fault point; true = fail now */
bool mln_fault_fired(enum mln_fault_kind kind);
