/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies: texts in view "root/policy/", compiled tables in memory. A set of policies is compiled once and kept until any policy
 * changes (an epoch): the epoch is read before the transaction begins, so that a table of old texts is never kept as new.
 */
#include "core/core_priv.h"

#include "base/clock.h"
#include "base/limits.h"

#define NAMES_MAX_BYTES                                                                            \
    8192u /* of one set as key of the cache; longer sets are compiled each time */

static const char default_policy[] =
    "# What every token may: see, renew and end itself, ask what it may, see its own entity, use leases that it knows,\n"
    "# its own cubbyhole, wrapping and hashing, and log in at applications through an OIDC provider.\n"
    "path \"auth/token/lookup-self\" {\n    capabilities = [\"read\"]\n}\n"
    "path \"auth/token/renew-self\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"auth/token/revoke-self\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/capabilities-self\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"identity/entity/id/{{identity.entity.id}}\" {\n    capabilities = [\"read\"]\n}\n"
    "path \"identity/entity/name/{{identity.entity.name}}\" {\n    capabilities = [\"read\"]\n}\n"
    "path \"identity/oidc/provider/+/authorize\" {\n    capabilities = [\"read\", \"update\"]\n}\n"
    "path \"sys/control-group/request\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/internal/ui/resultant-acl\" {\n    capabilities = [\"read\"]\n}\n"
    "path \"sys/renew\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/leases/renew\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/leases/lookup\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"cubbyhole/*\" {\n    capabilities = [\"create\", \"read\", \"update\", \"delete\", "
    "\"list\"]\n}\n"
    "path \"sys/wrapping/wrap\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/wrapping/lookup\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/wrapping/unwrap\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/tools/hash\" {\n    capabilities = [\"update\"]\n}\n"
    "path \"sys/tools/hash/*\" {\n    capabilities = [\"update\"]\n}\n";

static struct mln_view policy_view(void)
{
    return mln_home_view("policy/");
}

struct mln_err mln_policies_start(struct mln_cx *cx, struct mln_txn *txn)
{
    return mln_txn_put(cx, txn, policy_view(), MLN_BYTES(MLN_POLICY_DEFAULT_NAME),
                       mln_bytes_of(default_policy));
}

/* ---- compiling ---- */

struct parsed {
    struct mln_policy **policies;
    size_t n;
};

static void parsed_drop(struct parsed *p)
{
    for (size_t i = 0; i < p->n; i++) {
        mln_policy_free(p->policies[i]);
    }
}

static struct mln_err load_one(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes name,
                               struct parsed *into)
{
    struct mln_bytes text;
    struct mln_err err = mln_txn_get(cx, txn, policy_view(), name, &text);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK; /* a name without a policy allows nothing */
    }
    MLN_TRY(err);
    MLN_TRY(mln_policy_parse(cx, text, &into->policies[into->n]));
    into->n++;
    return MLN_OK;
}

static struct mln_err compile(struct mln_cx *cx, struct mln_txn *txn,
                              const struct mln_subject *subject, struct mln_acl **ret)
{
    const struct mln_value *names = subject->names;
    MLN_AUTO(parsed_drop)
    struct parsed parsed = {.policies =
                                mln_new_array(cx, mln_len(names) + 1, sizeof(*parsed.policies))};
    bool is_root = false;
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        is_root = is_root || mln_bytes_is(name, "root");
        if (name.len > 0 && !mln_bytes_is(name, "root")) {
            MLN_TRY(load_one(cx, txn, name, &parsed));
        }
    }
    const struct mln_acl_for who = {.person = subject->person, .now_ns = mln_now_ns()};
    const struct mln_policy *const *list = (const struct mln_policy *const *)parsed.policies;
    return is_root ? mln_acl_new(cx, list, parsed.n, true, ret)
                   : mln_acl_new_for(cx, list, parsed.n, &who, ret);
}

/* ---- the cache ---- */

static const char *key_of(struct mln_cx *cx, const struct mln_subject *subject)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (size_t i = 0; i < mln_len(subject->names); i++) {
        mln_buf_add_bytes(&buf, mln_get_bytes(mln_item(subject->names, i)));
        mln_buf_add_byte(&buf, '\n');
    }
    mln_buf_add_bytes(&buf, mln_get_bytes(mln_get(subject->person, "id")));
    return mln_text_dup(cx, mln_buf_bytes(&buf));
}

/* What a table is of: its key and the states of policies and identity that it was made from. */
struct place {
    const char *key;
    size_t set; /* where its places begin */
    uint64_t epoch, person_epoch;
    struct mln_bytes ns;
};

static struct mln_err place_of(struct mln_core *core, struct mln_cx *cx,
                               const struct mln_subject *subject, struct place *ret)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    ret->epoch = atomic_load(&core->acl_epoch);
    ret->person_epoch = subject->person != NULL ? atomic_load(&core->person_epoch) : 0;
    ret->key = key_of(cx, subject);
    ret->ns = subject->ns.len > 0 ? subject->ns : MLN_NS_ROOT;
    for (const char *p = ret->key; *p != 0; p++) {
        h = (h ^ (uint8_t)*p) * 0x100000001b3u;
    }
    for (size_t i = 0; i < ret->ns.len; i++) {
        h = (h ^ ret->ns.ptr[i]) * 0x100000001b3u;
    }
    ret->set = (h ^ h >> 32) % (MLN_ACL_CACHE / MLN_ACL_WAYS) * MLN_ACL_WAYS;
    return mln_cx_err(cx);
}

/* Under acl_lock, either way. */
static const struct mln_acl_entry *cached(const struct mln_core *core, const struct place *at)
{
    for (size_t i = 0; i < MLN_ACL_WAYS; i++) {
        const struct mln_acl_entry *e = &core->acls[at->set + i];
        if (e->acl != NULL && e->epoch == at->epoch && e->person_epoch == at->person_epoch &&
            mln_bytes_is(mln_bytes_of(e->names), at->key) && mln_bytes_is(at->ns, e->ns) &&
            (mln_acl_until_ns(e->acl) == INT64_MAX || mln_now_ns() < mln_acl_until_ns(e->acl))) {
            return e;
        }
    }
    return NULL;
}

static void clear(struct mln_acl_entry *e)
{
    mln_acl_free(e->acl);
    mln_free(e->names);
    *e = (struct mln_acl_entry){0};
}

void mln_policies_forget(struct mln_core *core)
{
    pthread_rwlock_wrlock(&core->acl_lock);
    for (size_t i = 0; i < MLN_ACL_CACHE; i++) {
        clear(&core->acls[i]);
    }
    pthread_rwlock_unlock(&core->acl_lock);
}

/* An empty place, else the oldest: of another state before those of this one. */
static bool is_better(const struct mln_acl_entry *e, const struct mln_acl_entry *slot)
{
    if (e->acl == NULL || slot->acl == NULL) {
        return e->acl == NULL;
    }
    return e->epoch < slot->epoch || (e->epoch == slot->epoch && e->used < slot->used);
}

/* Hands the table over; without memory for its name it is not kept. */
static void keep(struct mln_core *core, const struct place *at, struct mln_acl *acl)
{
    char *copy = mln_bytes_of(at->key).len <= NAMES_MAX_BYTES ? mln_strdup(at->key) : NULL;
    if (copy == NULL) {
        mln_acl_free(acl);
        return;
    }
    pthread_rwlock_wrlock(&core->acl_lock);
    struct mln_acl_entry *slot = &core->acls[at->set];
    for (size_t i = 1; i < MLN_ACL_WAYS; i++) {
        struct mln_acl_entry *e = &core->acls[at->set + i];
        slot = is_better(e, slot) ? e : slot;
    }
    clear(slot);
    *slot = (struct mln_acl_entry){.names = copy,
                                   .acl = acl,
                                   .epoch = at->epoch,
                                   .person_epoch = at->person_epoch,
                                   .used = atomic_fetch_add(&core->acl_clock, 1)};
    mln_copy(slot->ns, at->ns.ptr, at->ns.len <= MLN_NSID_LEN ? at->ns.len : 0);
    pthread_rwlock_unlock(&core->acl_lock);
}

struct mln_err mln_policies_use_as(
    struct mln_core *core, struct mln_cx *cx, const struct mln_subject *subject,
    struct mln_err (*use)(void *arg, struct mln_cx *cx, const struct mln_acl *acl), void *arg)
{
    struct place at = {0};
    MLN_TRY(place_of(core, cx, subject, &at));
    pthread_rwlock_rdlock(&core->acl_lock);
    const struct mln_acl_entry *hit = cached(core, &at);
    struct mln_err err = hit != NULL ? use(arg, cx, hit->acl) : MLN_OK;
    pthread_rwlock_unlock(&core->acl_lock);
    if (hit != NULL) {
        return err;
    }
    /* The request's own snapshot may be older than the epoch: read the texts in a transaction of this moment. */
    MLN_AUTO(mln_txn_drop) struct mln_txn *fresh = NULL;
    struct mln_acl *acl = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &fresh));
    (void)mln_txn_enter(fresh, at.ns);
    MLN_TRY(compile(cx, fresh, subject, &acl));
    err = use(arg, cx, acl);
    keep(core, &at, acl);
    return err;
}

struct mln_err mln_policies_use(
    struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *names,
    struct mln_err (*use)(void *arg, struct mln_cx *cx, const struct mln_acl *acl), void *arg)
{
    const struct mln_subject subject = {.names = names};
    (void)txn;
    return mln_policies_use_as(core, cx, &subject, use, arg);
}
