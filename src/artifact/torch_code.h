/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TorchScript's code, the code/ *.py members of an archive: not Python but a language of its own whose only reach outside is the
 * operators that it calls. Reads names, knows no grammar: whatever is not text or comment counts as code.
 */
#pragma once

#include "artifact/scan.h"

/*
 * code      borrowed; at: its offset in the outer file, for findings
 * Findings: operators that touch files or call Python, libraries that torch does not come with, names of Python's own.
 */
void mln_torch_code(struct mln_scan_report *report, struct mln_bytes code, uint64_t offset);
