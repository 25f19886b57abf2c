/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys/storage/raft/: the servers of a cluster, as clients of clusters ask for them. There is one, it leads, and nothing joins it or
 * leaves; the settings of autopilot are kept for who reads them back. Snapshots are in sys_snapshot.c.
 */
#include "core/sys_priv.h"

#define NODE     "merlon"
#define AUTOPILOT_ROW "autopilot"

static struct mln_view raft_view(void)
{
    return mln_core_view("root/sys/");
}

/* "127.0.0.1:8200", as other servers would reach this one. */
static const char *node_address(struct mln_request *rq)
{
    struct mln_bytes address = mln_bytes_of(rq->services->address(rq));
    size_t at = mln_bytes_find_bytes(address, MLN_BYTES("://"));
    return mln_text_dup(rq->cx, at < address.len ? mln_bytes_from(address, at + 3) : address);
}

/* ---- the servers ---- */

static struct mln_err configuration(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *config = mln_object(rq->cx), *servers = mln_array(rq->cx), *one = mln_object(rq->cx);
    mln_put_text(rq->cx, one, "node_id", NODE);
    mln_put_text(rq->cx, one, "address", node_address(rq));
    mln_put_bool(rq->cx, one, "leader", true);
    mln_put_text(rq->cx, one, "protocol_version", "3");
    mln_put_bool(rq->cx, one, "voter", true);
    mln_push(rq->cx, servers, one);
    mln_put(rq->cx, config, "servers", servers);
    mln_put_int(rq->cx, config, "index", 0);
    mln_put(rq->cx, data, "config", config);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_value *show_node(struct mln_request *rq)
{
    struct mln_value *one = mln_object(rq->cx);
    mln_put_text(rq->cx, one, "address", node_address(rq));
    mln_put_bool(rq->cx, one, "healthy", true); /* it answers, and its store is open */
    mln_put_text(rq->cx, one, "id", NODE);
    mln_put_text(rq->cx, one, "last_contact", "0s");
    mln_put_int(rq->cx, one, "last_index", 0);
    mln_put_int(rq->cx, one, "last_term", 0);
    mln_put_text(rq->cx, one, "name", NODE);
    mln_put_text(rq->cx, one, "node_status", "alive");
    mln_put_text(rq->cx, one, "node_type", "voter");
    mln_put_text(rq->cx, one, "stable_since", mln_time_text_go(rq->cx, rq->now_ns));
    mln_put_text(rq->cx, one, "status", "leader");
    mln_put_text(rq->cx, one, "version", MLN_VERSION);
    return one;
}

static struct mln_err state(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *servers = mln_object(rq->cx), *voters = mln_array(rq->cx);
    mln_push_text(rq->cx, voters, NODE);
    mln_put(rq->cx, servers, NODE, show_node(rq));
    mln_put_int(rq->cx, data, "failure_tolerance", 0);
    mln_put_bool(rq->cx, data, "healthy", true);
    mln_put_text(rq->cx, data, "leader", NODE);
    mln_put(rq->cx, data, "servers", servers);
    mln_put(rq->cx, data, "voters", voters);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- settings of autopilot ---- */

static const struct {
    const char *name, *text; /* text NULL: a number or a truth */
    int64_t number;
    bool is_bool;
} settings[] = {
    {"cleanup_dead_servers", NULL, 0, true},       {"dead_server_last_contact_threshold", "24h0m0s", 0, false},
    {"last_contact_threshold", "10s", 0, false},   {"max_trailing_logs", NULL, 1000, false},
    {"min_quorum", NULL, 0, false},                {"server_stabilization_time", "10s", 0, false},
};

static struct mln_err stored(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, raft_view(), MLN_BYTES(AUTOPILOT_ROW), ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err settings_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(stored(rq, &row));
    for (size_t i = 0; i < MLN_COUNT(settings); i++) {
        const struct mln_value *value = mln_get(row, settings[i].name);
        if (value != NULL) {
            mln_put(rq->cx, data, settings[i].name, value);
        } else if (settings[i].is_bool) {
            mln_put_bool(rq->cx, data, settings[i].name, false);
        } else if (settings[i].text != NULL) {
            mln_put_text(rq->cx, data, settings[i].name, settings[i].text);
        } else {
            mln_put_int(rq->cx, data, settings[i].name, settings[i].number);
        }
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* As Go prints a duration of whole seconds: "24h0m0s", "10s". */
static const char *duration_text(struct mln_cx *cx, int64_t s)
{
    long long h = s / 3600, m = s / 60 % 60, rest = s % 60;
    return h > 0   ? mln_text_format(cx, "%lldh%lldm%llds", h, m, rest)
           : m > 0 ? mln_text_format(cx, "%lldm%llds", m, rest)
                   : mln_text_format(cx, "%llds", rest);
}

static struct mln_err settings_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(stored(rq, &row));
    struct mln_value *fresh = row == NULL ? mln_object(rq->cx) : mln_value_dup(rq->cx, row);
    for (size_t i = 0; i < MLN_COUNT(settings); i++) {
        const struct mln_value *value = mln_field_of(rq, settings[i].name);
        int64_t number = settings[i].is_bool ? 0 : mln_get_int(value, 0);
        if (value == NULL) {
            continue;
        }
        if (number < 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s must not be negative", settings[i].name);
        }
        mln_put(rq->cx, fresh, settings[i].name,
                settings[i].text != NULL ? mln_text(rq->cx, duration_text(rq->cx, number)) : value);
    }
    mln_put_text(rq->cx, rq->detail, "config", AUTOPILOT_ROW);
    return mln_txn_put_value(rq->cx, rq->txn, raft_view(), MLN_BYTES(AUTOPILOT_ROW), fresh);
}

/* ---- others: there are none ---- */

static struct mln_err remove_peer(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "server_id"));
    if (id.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no server id provided");
    }
    return !mln_bytes_is(id, NODE) ? MLN_OK /* it is not there, as wished */
                                   : mln_fail(rq->cx, MLN_E_INVALID, "the only server cannot be removed from its cluster");
}

static struct mln_err promote(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_fail(rq->cx, MLN_E_INVALID, "server is not a non-voter");
}

static struct mln_err demote(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return !mln_bytes_is(mln_get_bytes(mln_field_of(rq, "server_id")), NODE)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "the only server of a cluster is its voter");
}

static struct mln_err join(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                    "this server is alone and joins no cluster; take what another has with 'merlon operator raft snapshot restore' or "
                    "'merlon migrate'");
}

/* ---- paths ---- */

static const struct mln_field settings_fields[] = {
    F_BOOL("cleanup_dead_servers", NULL, "Kept, without effect: there is one server."),
    F_DURATION("dead_server_last_contact_threshold", "Kept, without effect."),
    F_DURATION("last_contact_threshold", "Kept, without effect."),
    F_INT("max_trailing_logs", NULL, "Kept, without effect."),
    F_INT("min_quorum", NULL, "Kept, without effect."),
    F_DURATION("server_stabilization_time", "Kept, without effect."),
    {0},
};
static const struct mln_field peer_fields[] = {F_TEXT("server_id", "Which server."), {0}};

const struct mln_path mln_sys_raft[] = {
    {.pattern = "storage/raft/configuration", .summary = "The servers of this cluster: one.", .read = configuration},
    {.pattern = "storage/raft/autopilot/state", .summary = "How the servers are.", .read = state},
    {.pattern = "storage/raft/autopilot/configuration",
     .summary = "Settings of autopilot.",
     .fields = settings_fields,
     .read = settings_read,
     .write = settings_write},
    {.pattern = "storage/raft/remove-peer", .summary = "A server leaves.", .fields = peer_fields, .write = remove_peer, .is_sudo = true},
    {.pattern = "storage/raft/promote", .summary = "A server gets a vote.", .fields = peer_fields, .write = promote, .is_sudo = true},
    {.pattern = "storage/raft/demote", .summary = "A server loses its vote.", .fields = peer_fields, .write = demote, .is_sudo = true},
    {.pattern = "storage/raft/join", .summary = "Refused: one server is alone.", .write = join, .is_sudo = true},
    {0},
};
