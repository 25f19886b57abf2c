/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: the descriptor of the system backend. Handlers are in sys_seal.c, sys_mounts.c, sys_policies.c, sys_ledger.c. */
#include "core/sys_priv.h"

#define F_TEXT(n, h) {.name = n, .type = MLN_FIELD_TEXT, .help = h, .is_query = true}
#define F_INT(n, d, h) {.name = n, .type = MLN_FIELD_INT, .fallback = d, .help = h, .is_query = true}

static const struct mln_field init_fields[] = {
    F_INT("secret_shares", "5", "How many shares."),
    F_INT("secret_threshold", "3", "How many of them unseal."),
    {0},
};
static const struct mln_field unseal_fields[] = {
    {.name = "key", .type = MLN_FIELD_SECRET, .help = "One share, hex or base64."},
    {.name = "reset", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Forget the shares given so far."},
    {0},
};
static const struct mln_field health_fields[] = {
    F_INT("activecode", "200", "Status when open."),
    F_INT("sealedcode", "503", "Status when sealed."),
    F_INT("uninitcode", "501", "Status when not initialised."),
    {0},
};
static const struct mln_field mount_fields[] = {
    F_TEXT("path", "Where it stands."),
    {.name = "type", .type = MLN_FIELD_TEXT, .help = "Which engine or method."},
    {.name = "description", .type = MLN_FIELD_TEXT, .help = "A line for people."},
    {.name = "options", .type = MLN_FIELD_MAP, .help = "The engine's own options."},
    {.name = "config", .type = MLN_FIELD_MAP, .help = "default_lease_ttl, max_lease_ttl."},
    {.name = "default_lease_ttl", .type = MLN_FIELD_DURATION, .help = "Default time to live (tune)."},
    {.name = "max_lease_ttl", .type = MLN_FIELD_DURATION, .help = "Longest time to live (tune)."},
    {0},
};
static const struct mln_field policy_fields[] = {
    F_TEXT("name", "The policy's name."),
    {.name = "policy", .type = MLN_FIELD_TEXT, .help = "Its text: HCL or JSON, plain or in base64."},
    {.name = "rules", .type = MLN_FIELD_TEXT, .help = "Old name of policy."},
    {0},
};
static const struct mln_field capability_fields[] = {
    {.name = "path", .type = MLN_FIELD_LIST, .help = "Old name of paths."},
    {.name = "paths", .type = MLN_FIELD_LIST, .help = "Paths to ask about."},
    {.name = "token", .type = MLN_FIELD_SECRET, .help = "Whose capabilities."},
    {.name = "accessor", .type = MLN_FIELD_TEXT, .help = "Whose capabilities."},
    {0},
};
static const struct mln_field entries_fields[] = {
    F_INT("from", "0", "First index."),
    F_INT("max", "100", "At most so many, 1 to 1000."),
    {0},
};
static const struct mln_field index_fields[] = {F_INT("index", NULL, "Index of a record."), {0}};
static const struct mln_field prune_fields[] = {F_INT("before", NULL, "Contents below this index are forgotten."), {0}};
static const struct mln_field file_fields[] = {F_TEXT("path", "File of the log."), {0}};

static const struct mln_path paths[] = {
    {.pattern = "health", .summary = "Is it up and open?", .fields = health_fields, .read = sys_health, .is_open = true, .is_exempt = true,
     .works_sealed = true},
    {.pattern = "init", .summary = "Initialise, or ask whether it is.", .fields = init_fields, .read = sys_init_read, .write = sys_init,
     .is_open = true, .is_exempt = true, .works_sealed = true, .may_block = true},
    {.pattern = "seal-status", .summary = "Shares given and needed.", .read = sys_seal_status, .is_open = true, .is_exempt = true,
     .works_sealed = true},
    {.pattern = "unseal", .summary = "Give a share.", .fields = unseal_fields, .write = sys_unseal, .is_open = true, .is_exempt = true,
     .works_sealed = true, .may_block = true},
    {.pattern = "status", .summary = "Ledger and sandbox.", .read = sys_status, .is_open = true, .is_exempt = true, .works_sealed = true},
    {.pattern = "leader", .summary = "Who leads.", .read = sys_leader, .is_open = true, .is_exempt = true, .works_sealed = true},
    {.pattern = "internal/ledger/{path...}", .summary = "Public files of the ledger.", .fields = file_fields, .read = sys_ledger_file,
     .is_open = true, .is_exempt = true, .works_sealed = true},
    {.pattern = "seal", .summary = "Seal: all keys are wiped.", .write = sys_seal, .is_sudo = true, .is_relief = true, .controls = "SC-12"},
    {.pattern = "mounts", .summary = "List mounts of engines.", .read = sys_mounts_read},
    {.pattern = "auth", .summary = "List mounts of auth methods.", .read = sys_auth_read},
    {.pattern = "internal/ui/mounts", .summary = "Mounts that the caller may use.", .read = sys_ui_mounts, .is_open = true},
    {.pattern = "internal/ui/mounts/{path...}", .summary = "One mount, for clients that look for its version.", .fields = file_fields,
     .read = sys_ui_mount, .is_open = true},
    {.pattern = "policies/acl", .summary = "List policies.", .read = sys_policies_list, .list = sys_policies_list},
    {.pattern = "policies/acl/{name...}", .summary = "Read, write or delete a policy.", .fields = policy_fields, .read = sys_policy_read,
     .write = sys_policy_write, .remove = sys_policy_remove, .controls = "AC-3,AC-6"},
    {.pattern = "policy", .summary = "List policies.", .read = sys_policy_list_old, .list = sys_policy_list_old},
    {.pattern = "policy/{name...}", .summary = "Read, write or delete a policy.", .fields = policy_fields, .read = sys_policy_read_old,
     .write = sys_policy_write, .remove = sys_policy_remove, .controls = "AC-3,AC-6"},
    {.pattern = "capabilities-self", .summary = "What the caller may on paths.", .fields = capability_fields, .write = sys_capabilities_self},
    {.pattern = "capabilities", .summary = "What a token may on paths.", .fields = capability_fields, .write = sys_capabilities},
    {.pattern = "capabilities-accessor", .summary = "What the token of an accessor may.", .fields = capability_fields,
     .write = sys_capabilities_accessor},
    {.pattern = "key-status", .summary = "The barrier's newest key.", .read = sys_key_status},
    {.pattern = "rotate", .summary = "A new key for the barrier.", .write = sys_rotate, .is_sudo = true, .may_block = true, .controls = "SC-12"},
    {.pattern = "ledger/entries", .summary = "Records and their contents.", .fields = entries_fields, .read = sys_ledger_entries},
    {.pattern = "ledger/proof/{index}", .summary = "Proof of one record.", .fields = index_fields, .read = sys_ledger_proof},
    {.pattern = "verify-store", .summary = "Compare the store with the records.", .read = sys_verify_store, .write = sys_verify_store,
     .may_block = true},
    {.pattern = "ledger/prune", .summary = "Forget old contents.", .fields = prune_fields, .write = sys_prune, .is_sudo = true,
     .is_relief = true, .may_block = true},
    {.pattern = "mounts/{path...}", .summary = "Mount, unmount, read or tune an engine.", .fields = mount_fields, .read = sys_mount_read,
     .write = sys_mount_write, .remove = sys_mount_remove, .controls = "CM-3"},
    {.pattern = "auth/{path...}", .summary = "Enable, disable, read or tune a method.", .fields = mount_fields, .read = sys_mount_read,
     .write = sys_mount_write, .remove = sys_mount_remove, .is_sudo = true, .controls = "CM-3"},
    {0},
};

const struct mln_engine mln_system = {
    .type = "system",
    .kind = MLN_MOUNT_SYSTEM,
    .summary = "The server itself: seal, mounts, policies, ledger.",
    .paths = paths,
};
