/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH: certificates for users' and hosts' keys by an authority that stays inside, and one-time passwords that hosts ask back for.
 * The descriptor; handlers are in ssh_*.c. Sources: Vault's public API documentation; docs/engine-ssh.md.
 */
#include "engine/ssh_priv.h"

#define FIELD_ROLE {.name = "role", .type = MLN_FIELD_TEXT, .help = "Name of the role.", .is_query = true}
#define FIELDS_KEY                                                                                                      \
    {.name = "key_type", .type = MLN_FIELD_TEXT, .help = "ssh-rsa, ec, ecdsa-sha2-nistp256 to 521, or ed25519."},       \
    {                                                                                                                   \
        .name = "key_bits", .type = MLN_FIELD_INT, .help = "RSA: 2048, 3072, 4096; ec: 256, 384, 521; 0: the default." \
    }
#define FIELDS_CERT                                                                                                     \
    FIELD_ROLE, {.name = "ttl", .type = MLN_FIELD_DURATION, .help = "How long the certificate holds."},                 \
        {.name = "valid_principals", .type = MLN_FIELD_LIST, .help = "Users or hosts that it is for."},                 \
        {.name = "cert_type", .type = MLN_FIELD_TEXT, .fallback = "user", .help = "user or host."},                     \
        {.name = "key_id", .type = MLN_FIELD_TEXT, .help = "Name that servers log; only where the role allows it."},    \
        {.name = "critical_options", .type = MLN_FIELD_MAP, .help = "Limits that servers must know."},                  \
    {                                                                                                                   \
        .name = "extensions", .type = MLN_FIELD_MAP, .help = "What the holder may: permit-pty and so on."              \
    }

static const struct mln_field ca_fields[] = {
    {.name = "generate_signing_key", .type = MLN_FIELD_BOOL, .fallback = "true", .help = "Make the authority's key here."},
    {.name = "private_key", .type = MLN_FIELD_SECRET, .help = "The authority's key, in OpenSSH's form or PEM."},
    {.name = "public_key", .type = MLN_FIELD_TEXT, .help = "Its public half."},
    FIELDS_KEY,
    {0},
};

static const struct mln_field sign_fields[] = {
    FIELDS_CERT,
    {.name = "public_key", .type = MLN_FIELD_TEXT, .help = "The key to certify: a line of authorized_keys."},
    {0},
};

static const struct mln_field issue_fields[] = {FIELDS_CERT, FIELDS_KEY, {0}};

static const struct mln_field creds_fields[] = {
    FIELD_ROLE,
    {.name = "username", .type = MLN_FIELD_TEXT, .help = "User on the host; the role's default without."},
    {.name = "ip", .type = MLN_FIELD_TEXT, .help = "Address of the host."},
    {0},
};

static const struct mln_field verify_fields[] = {
    {.name = "otp", .type = MLN_FIELD_SECRET, .help = "The password that a user gave."},
    {0},
};

static const struct mln_field lookup_fields[] = {
    {.name = "ip", .type = MLN_FIELD_TEXT, .help = "Address of a host."},
    {0},
};

static const struct mln_field zero_fields[] = {
    {.name = "roles", .type = MLN_FIELD_LIST, .help = "Roles that give passwords for any address."},
    {0},
};

static const struct mln_path ssh_paths[] = {
    {.pattern = "config/ca", .summary = "Make, import, read or delete the authority's key.", .fields = ca_fields,
     .read = ssh_ca_read, .write = ssh_ca_write, .remove = ssh_ca_remove, .may_block = true},
    {.pattern = "public_key", .summary = "The authority's public key, as sshd wants it.", .read = ssh_public_key_read,
     .is_open = true},
    {.pattern = "config/zeroaddress", .summary = "Roles that give passwords for any address.", .fields = zero_fields,
     .read = ssh_zero_read, .write = ssh_zero_write, .remove = ssh_zero_remove},
    {.pattern = "roles", .summary = "List roles.", .list = ssh_role_list},
    {.pattern = "roles/{name}", .summary = "Write, read or delete a role.", .fields = ssh_role_fields,
     .read = ssh_role_read, .write = ssh_role_write, .remove = ssh_role_remove, .exists = ssh_role_exists},
    {.pattern = "sign/{role}", .summary = "Certify a public key.", .fields = sign_fields, .write = ssh_sign_write,
     .controls = "IA-5,AC-17"},
    {.pattern = "issue/{role}", .summary = "Make a key and certify it.", .fields = issue_fields,
     .write = ssh_issue_write, .may_block = true, .controls = "IA-5,AC-17"},
    {.pattern = "creds/{role}", .summary = "Make a one-time password.", .fields = creds_fields, .write = ssh_creds_write,
     .controls = "IA-5"},
    {.pattern = "lookup", .summary = "Which roles give passwords for an address.", .fields = lookup_fields,
     .write = ssh_lookup_write},
    {.pattern = "verify", .summary = "Is this a password, and whose? It is used up.", .fields = verify_fields,
     .write = ssh_verify_write, .is_open = true},
    {0},
};

const struct mln_engine mln_engine_ssh = {
    .type = "ssh",
    .kind = MLN_MOUNT_SECRET,
    .summary = "SSH certificates and one-time passwords.",
    .paths = ssh_paths,
    .revoke = ssh_revoke,
};
