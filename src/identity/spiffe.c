/* SPDX-License-Identifier: Apache-2.0 */
/* The engine "spiffe": its tables of paths, what is done when it is mounted and every second. */
#include "identity/spiffe_exchange_priv.h"
#include "identity/spiffe_node_priv.h"
#include "identity/spiffe_priv.h"

#include "identity/identity_priv.h"

static struct mln_err begin(struct mln_request *rq, bool *ret_changed)
{
    const struct mln_value *setting =
        rq->services->setting != NULL ? rq->services->setting(rq, "spiffe") : NULL;
    MLN_TRY(sp_domain_begin(rq, mln_get_bytes(mln_get(setting, "trust_domain"))));
    struct mln_err err = sp_authorities_turn(rq, ret_changed);
    if (mln_is(err, MLN_E_PRECONDITION)) { /* no trust domain: nothing to do */
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    return err;
}

static struct mln_err start(struct mln_request *rq)
{
    bool changed = false;
    return begin(rq, &changed);
}

static struct mln_err tick(struct mln_request *rq)
{
    bool changed = false;
    MLN_TRY(begin(rq, &changed));
    if (changed) {
        sp_after_keys(rq);
    }
    MLN_TRY(sp_svids_due(rq));
    MLN_TRY(sp_entries_expired(rq));
    MLN_TRY(sp_server_due(rq));
    MLN_TRY(sx_sweep(rq));
    return sp_federation_due(rq);
}

static const struct mln_path *const more_paths[] = {
    sp_workload_paths, sp_config_paths, sp_authority_paths,  sp_bundle_paths,
    sp_verify_paths,   sp_public_paths, sp_federation_paths, spiffe_authz_paths,
    sp_node_paths,   sp_node_attest_paths, sp_node_sync_paths, sp_node_sign_paths, sp_node_tpm_paths, sp_template_paths,
    sp_connections_paths, sp_exchange_paths, sp_exchange_rule_paths, NULL};

const struct mln_engine mln_identity_spiffe = {
    .type = "spiffe",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Workload identities: registration entries, authorities, SVIDs.",
    .paths = sp_entry_paths,
    .more_paths = more_paths,
    .start = start,
    .tick = tick,
    .tick_s = 1,
};
