/* SPDX-License-Identifier: Apache-2.0 */
/* The engine "identity": its tables of paths; the registry of this room. */
#include "identity/mfa_priv.h"
#include "identity/oidc_provider_priv.h"

#define MLN_IDENTITY(name) extern const struct mln_engine mln_identity_##name;
#include "identity/identity.def"
#undef MLN_IDENTITY

const struct mln_engine *const mln_identities[] = {
#define MLN_IDENTITY(name) &mln_identity_##name,
#include "identity/identity.def"
#undef MLN_IDENTITY
    NULL,
};

static struct mln_err tick(struct mln_request *rq)
{
    MLN_TRY(oidc_rotate_due(rq));
    MLN_TRY(oidc_flow_sweep(rq));
    MLN_TRY(mfa_sweep(rq));
    return id_sweep(rq);
}

static const struct mln_path *const more_paths[] = {
    id_alias_paths,
    id_group_paths,
    id_group_alias_paths,
    id_lookup_paths,
    id_oidc_paths,
    id_oidc_key_paths,
    id_oidc_flow_paths,
    id_oidc_client_paths,
    id_mfa_paths,
    id_mfa_enforcement_paths,
    NULL,
};

const struct mln_engine mln_identity_identity = {
    .type = "identity",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Who they are: entities, aliases and groups behind all auth methods.",
    .paths = id_entity_paths,
    .more_paths = more_paths,
    .tick = tick,
    .tick_s = 1,
};
