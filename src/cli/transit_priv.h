/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `merlon transit` share. */
#pragma once

#include "cli/cli_priv.h"

#define TRANSIT_MOUNT_FLAG {"mount", MLN_FLAG_TEXT, "MOUNT", "transit", "Where the engine is mounted"}

/* "<mount>/<kind>/<key>", escaped; key may be NULL. */
const char *transit_path(struct mln_cli *cli, const char *kind, const char *key);
void transit_key_table(struct mln_cli *cli, const struct mln_value *key);
