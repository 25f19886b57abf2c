/* SPDX-License-Identifier: Apache-2.0 */
/* Between zip.c (structure) and zip_content.c (unpacking). */
#pragma once

#include "artifact/zip.h"

/* A finding "malformed" at an offset of the map. */
void mln_zip_bad(struct mln_scan_report *report, const struct mln_zip *zip, uint64_t at,
                 const char *rule, const char *text);
