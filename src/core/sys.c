/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: the descriptor of the system backend. Its paths are in files of their own, each with a line in sys.def. */
#include "core/sys_priv.h"

#define MLN_SYS(name) extern const struct mln_path mln_sys_##name[];
#include "core/sys.def"
#undef MLN_SYS

static const struct mln_path none[] = {{0}};

static const struct mln_path *const parts[] = {
#define MLN_SYS(name) mln_sys_##name,
#include "core/sys.def"
#undef MLN_SYS
    NULL,
};

const struct mln_engine mln_system = {
    .type = "system",
    .kind = MLN_MOUNT_SYSTEM,
    .summary = "The server itself: seal, mounts, policies, ledger.",
    .paths = none,
    .more_paths = parts,
};
