/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of sys/, by file. */
#pragma once

#include "core/token_priv.h"

#include "base/text.h"

#define SYS_HANDLER(name) struct mln_err name(struct mln_request *rq, struct mln_reply *re)
/* sys_seal.c */
SYS_HANDLER(sys_health);
SYS_HANDLER(sys_init_read);
SYS_HANDLER(sys_init);
SYS_HANDLER(sys_seal_status);
SYS_HANDLER(sys_unseal);
SYS_HANDLER(sys_seal);
SYS_HANDLER(sys_status);
SYS_HANDLER(sys_leader);
SYS_HANDLER(sys_key_status);
SYS_HANDLER(sys_rotate);
/* sys_mounts.c */
SYS_HANDLER(sys_mounts_read);
SYS_HANDLER(sys_auth_read);
SYS_HANDLER(sys_ui_mounts);
SYS_HANDLER(sys_ui_mount);
SYS_HANDLER(sys_mount_read);
SYS_HANDLER(sys_mount_write);
SYS_HANDLER(sys_mount_remove);
/* sys_policies.c */
SYS_HANDLER(sys_policies_list);
SYS_HANDLER(sys_policy_list_old);
SYS_HANDLER(sys_policy_read);
SYS_HANDLER(sys_policy_read_old);
SYS_HANDLER(sys_policy_write);
SYS_HANDLER(sys_policy_remove);
SYS_HANDLER(sys_capabilities_self);
SYS_HANDLER(sys_capabilities);
SYS_HANDLER(sys_capabilities_accessor);
/* sys_ledger.c */
SYS_HANDLER(sys_ledger_file);
SYS_HANDLER(sys_ledger_entries);
SYS_HANDLER(sys_ledger_proof);
SYS_HANDLER(sys_verify_store);
SYS_HANDLER(sys_prune);
#undef SYS_HANDLER
