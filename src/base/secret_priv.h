/* SPDX-License-Identifier: Apache-2.0 */
/* What the arena shares with secret.c: pages that are locked and stay out of core dumps. */
#pragma once

#include "base/mem.h"

/* Zeroed private pages (n is rounded up by the kernel), or NULL when memory is out or cannot be locked. */
void *mln_pages_new(size_t n);
void mln_pages_free(void *pages, size_t n); /* wipes */
