/* SPDX-License-Identifier: Apache-2.0 */
/* Admission engine: from rows to a compiled set, kept until something changes. */
#include "assure/admission_priv.h"

#include "base/text.h"
#include "crypto/crypto.h"

const char *const admission_validate_heads[] = {"deny", "violation", "warn", "annotations*", NULL};
const char *const admission_mutate_heads[] = {"patch", "annotations*", NULL};
const char *const admission_constraint_heads[] = {"violation", NULL};

/* ---- memory ---- */

static void *kept_new(void)
{
    struct admission_kept *kept = mln_alloc(sizeof(*kept));
    if (kept != NULL) {
        kept->facts = mln_facts_new();
        if (kept->facts == NULL) {
            mln_free(kept);
            return NULL;
        }
        (void)pthread_mutex_init(&kept->lock, NULL);
    }
    return kept;
}

static void kept_free(void *with)
{
    struct admission_kept *kept = with;
    admission_set_drop(&kept->set);
    mln_facts_free(kept->facts);
    (void)pthread_mutex_destroy(&kept->lock);
    mln_free(kept);
}

struct mln_err admission_kept_of(struct mln_request *rq, struct admission_kept **ret)
{
    void *kept = NULL;
    MLN_TRY(rq->services->keep(rq, kept_new, kept_free, &kept));
    *ret = kept;
    return MLN_OK;
}

void admission_set_drop(struct admission_set **set)
{
    struct admission_set *s = *set;
    *set = NULL;
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1) {
        return;
    }
    mln_rules_free(s->validate);
    mln_rules_free(s->mutate);
    for (size_t i = 0; s->checked != NULL && i < s->n_templates; i++) {
        mln_rules_free(s->checked[i].rules);
    }
    mln_rego_data_free(s->data);
    mln_arena_free(s->arena);
    mln_free(s);
}

/* ---- rows ---- */

/* Values of all rows one level below a prefix, in the arena of the set, with their names. */
static struct mln_err read_rows(struct mln_request *rq, struct mln_cx *cx, const char *prefix, size_t max, struct mln_value *ret)
{
    const struct mln_value *names = NULL, *row = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(prefix), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        if (mln_bytes_ends(name, MLN_BYTES("/"))) {
            MLN_TRY(read_rows(rq, cx, mln_text_format(rq->cx, "%s%.*s", prefix, MLN_FMT(name)), max, ret));
            continue;
        }
        if (mln_len(ret) == max) {
            return mln_fail(rq->cx, MLN_E_LIMIT, "more than %zu rows below %s%s", max, rq->mount->path, prefix);
        }
        MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "%s%.*s", prefix, MLN_FMT(name)), &row));
        struct mln_value *copy = mln_value_dup(cx, row), *one = mln_object(cx);
        mln_put_bytes(cx, one, "name", mln_bytes_dup(cx, name));
        mln_put(cx, one, "row", copy);
        mln_push(cx, ret, one);
    }
    return mln_cx_err(cx);
}

static const struct mln_value *texts_of(struct mln_cx *cx, const struct mln_value *v)
{
    return mln_type_of(v) == MLN_ARRAY ? v : mln_array(cx);
}

struct mln_err admission_config_of(struct mln_cx *cx, const struct mln_value *v, struct admission_config *ret)
{
    *ret = (struct admission_config){
        .fails_open = mln_is_text(mln_get(v, "on_error"), "allow"),
        .lookup_fails_open = mln_is_text(mln_get(v, "on_lookup"), "allow"),
        .needs_token = !mln_is_text(mln_get(v, "auth"), "none"),
        .time_ms = mln_get_int(mln_get(v, "time_ms"), ADMISSION_TIME_MS),
        .cache_ms = mln_get_int(mln_get(v, "cache_ms"), MLN_FACTS_CACHE_NS / 1000000),
        .release_mount = mln_get_text(cx, mln_get(v, "release_mount"), "release/"),
        .exempt = texts_of(cx, mln_get(v, "exempt_namespaces")),
        .masks = texts_of(cx, mln_get(v, "masks")),
    };
    return mln_cx_err(cx);
}

static struct mln_err read_config(struct mln_request *rq, struct admission_set *set)
{
    const struct mln_value *v = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), &v);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    return admission_config_of(&set->cx, v == NULL ? NULL : mln_value_dup(&set->cx, v), &set->config);
}

/* ---- policies and templates ---- */

static struct mln_err make_rules(struct mln_request *rq, const struct admission_set *set, const char *const *heads,
                                 struct mln_rules **ret)
{
    struct mln_rules_options o = {
        .modules = set->policies, .n_modules = set->n_policies, .prefix = MLN_ADMISSION_PREFIX, .heads = heads};
    return mln_rules_new(rq->cx, &o, ret);
}

static struct mln_err make_policies(struct mln_request *rq, struct admission_set *set)
{
    struct mln_cx *cx = &set->cx;
    struct mln_value *rows = mln_array(cx);
    MLN_TRY(read_rows(rq, cx, "p/", ADMISSION_POLICIES_MAX, rows));
    set->policies = mln_new_array(cx, mln_len(rows) + 1, sizeof(*set->policies));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *one = mln_item(rows, i);
        set->policies[set->n_policies++] =
            (struct mln_rego_source){.name = mln_get_text(cx, mln_get(one, "name"), ""),
                                     .text = mln_get_bytes(mln_get(mln_get(one, "row"), "policy"))};
    }
    MLN_TRY(make_rules(rq, set, admission_validate_heads, &set->validate));
    return make_rules(rq, set, admission_mutate_heads, &set->mutate);
}

static struct mln_err make_templates(struct mln_request *rq, struct admission_set *set)
{
    struct mln_cx *cx = &set->cx;
    struct mln_value *rows = mln_array(cx);
    MLN_TRY(read_rows(rq, cx, "t/", ADMISSION_TEMPLATES_MAX, rows));
    set->templates = mln_new_array(cx, mln_len(rows) + 1, sizeof(*set->templates));
    set->checked = mln_new_array(cx, mln_len(rows) + 1, sizeof(*set->checked));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_admission_template *t = &set->templates[i];
        MLN_TRY(mln_admission_template(cx, mln_get(mln_item(rows, i), "row"), t));
        struct mln_rules_options o = {.modules = t->sources, .n_modules = t->n_sources, .prefix = "data",
                                      .heads = admission_constraint_heads, .is_v0 = t->is_v0};
        MLN_TRY(mln_rules_new(rq->cx, &o, &set->checked[i].rules));
        set->checked[i].kind = t->kind;
        set->n_templates++;
        if (mln_rules_count(set->checked[i].rules) == 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "template %s has no rule violation", t->name);
        }
    }
    return MLN_OK;
}

static bool has_template(const struct admission_set *set, const struct mln_value *constraint)
{
    for (size_t i = 0; i < set->n_templates; i++) {
        if (mln_is_text(mln_get(constraint, "kind"), set->templates[i].kind)) {
            return true;
        }
    }
    return false;
}

static struct mln_err make_constraints(struct mln_request *rq, struct admission_set *set)
{
    struct mln_value *rows = mln_array(&set->cx), *list = mln_array(&set->cx);
    MLN_TRY(read_rows(rq, &set->cx, "c/", ADMISSION_CONSTRAINTS_MAX, rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *c = mln_get(mln_item(rows, i), "row");
        if (!has_template(set, c)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "constraint %.*s of kind %.*s has no template",
                            MLN_FMT(mln_get_bytes(mln_get(mln_item(rows, i), "name"))), MLN_FMT(mln_get_bytes(mln_get(c, "kind"))));
        }
        mln_push(&set->cx, list, c);
    }
    set->constraints = list;
    return mln_cx_err(&set->cx);
}

/* ---- inventory, as Gatekeeper has it ---- */

struct mln_bytes admission_object_key(struct mln_cx *cx, const struct mln_value *object)
{
    const struct mln_value *meta = mln_get(object, "metadata");
    uint8_t sum[MLN_SHA256_BYTES];
    const char *text = mln_text_format(cx, "%.*s\n%.*s\n%.*s\n%.*s", MLN_FMT(mln_get_bytes(mln_get(meta, "namespace"))),
                                       MLN_FMT(mln_get_bytes(mln_get(object, "apiVersion"))),
                                       MLN_FMT(mln_get_bytes(mln_get(object, "kind"))),
                                       MLN_FMT(mln_get_bytes(mln_get(meta, "name"))));
    mln_sha256(mln_bytes_of(text), sum);
    return mln_bytes_format(cx, "o/%s", mln_hex_text(cx, mln_bytes_at(sum, sizeof(sum))));
}

/* The object under a key; made when it is not there. Values are copied into their parents, so a new one is put first and found again. */
static struct mln_value *below(struct mln_cx *cx, struct mln_value *in, struct mln_bytes key)
{
    if (mln_get_key(in, key) == NULL) {
        mln_put_key(cx, in, key, mln_object(cx));
    }
    return (struct mln_value *)(uintptr_t)mln_get_key(in, key);
}

static struct mln_err make_inventory(struct mln_request *rq, struct admission_set *set)
{
    struct mln_cx *cx = &set->cx;
    struct mln_value *rows = mln_array(cx), *inventory = mln_object(cx), *data = mln_object(cx);
    MLN_TRY(read_rows(rq, cx, "o/", ADMISSION_OBJECTS_MAX, rows));
    (void)below(cx, inventory, MLN_BYTES("cluster"));
    (void)below(cx, inventory, MLN_BYTES("namespace"));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *o = mln_get(mln_item(rows, i), "row"), *meta = mln_get(o, "metadata");
        struct mln_bytes ns = mln_get_bytes(mln_get(meta, "namespace"));
        struct mln_value *at = ns.len > 0 ? below(cx, below(cx, inventory, MLN_BYTES("namespace")), ns)
                                          : below(cx, inventory, MLN_BYTES("cluster"));
        at = below(cx, below(cx, at, mln_get_bytes(mln_get(o, "apiVersion"))), mln_get_bytes(mln_get(o, "kind")));
        mln_put_key(cx, at, mln_get_bytes(mln_get(meta, "name")), o);
    }
    mln_put(cx, data, "inventory", inventory);
    MLN_TRY(mln_cx_err(cx));
    set->inventory = inventory;
    return mln_rego_data_of(rq->cx, data, &set->data);
}

/* ---- the set ---- */

static struct mln_err version_of(struct mln_request *rq, int64_t *ret)
{
    const struct mln_value *v = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("version"), &v);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    *ret = mln_get_int(mln_get(v, "n"), 0);
    return MLN_OK;
}

/* What was found on the set's own context is told on the request's. */
static struct mln_err tell(struct mln_request *rq, const struct admission_set *set, struct mln_err err)
{
    bool is_own = mln_failed(err) && set->cx.text[0] != '\0' && rq->cx->text[0] == '\0';
    return is_own ? mln_fail(rq->cx, (enum mln_code)err.code, "%s", set->cx.text) : err;
}

static struct mln_err make_set(struct mln_request *rq, struct admission_set **ret)
{
    MLN_AUTO(admission_set_drop) struct admission_set *set = mln_alloc(sizeof(*set));
    if (set == NULL) {
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for admission policies");
    }
    atomic_init(&set->refs, 1);
    set->arena = mln_arena_new(ADMISSION_SET_BYTES, false);
    mln_cx_init(&set->cx, set->arena);
    if (set->arena == NULL) {
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for admission policies");
    }
    struct mln_err err = version_of(rq, &set->version);
    err = mln_failed(err) ? err : read_config(rq, set);
    err = mln_failed(err) ? err : make_policies(rq, set);
    err = mln_failed(err) ? err : make_templates(rq, set);
    err = mln_failed(err) ? err : make_constraints(rq, set);
    err = mln_failed(err) ? err : make_inventory(rq, set);
    MLN_TRY(tell(rq, set, err));
    *ret = mln_take(&set);
    return MLN_OK;
}

static struct admission_set *hold(struct admission_kept *kept, int64_t version)
{
    struct admission_set *set = NULL;
    (void)pthread_mutex_lock(&kept->lock);
    if (kept->set != NULL && kept->set->version == version) {
        set = kept->set;
        atomic_fetch_add(&set->refs, 1);
    }
    (void)pthread_mutex_unlock(&kept->lock);
    return set;
}

struct mln_err admission_set_of(struct mln_request *rq, struct admission_kept *kept, struct admission_set **ret)
{
    struct admission_set *set = NULL, *old = NULL;
    int64_t version = 0;
    MLN_TRY(version_of(rq, &version));
    *ret = hold(kept, version);
    if (*ret != NULL) {
        return MLN_OK;
    }
    MLN_TRY(make_set(rq, &set));
    atomic_fetch_add(&set->refs, 1);
    (void)pthread_mutex_lock(&kept->lock);
    old = kept->set;
    kept->set = set;
    (void)pthread_mutex_unlock(&kept->lock);
    admission_set_drop(&old);
    *ret = set;
    return MLN_OK;
}

struct mln_err admission_changed(struct mln_request *rq)
{
    MLN_AUTO(admission_set_drop) struct admission_set *set = NULL;
    struct mln_value *v = mln_object(rq->cx);
    int64_t version = 0;
    MLN_TRY(version_of(rq, &version));
    mln_put_int(rq->cx, v, "n", version + 1);
    MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("version"), v));
    return make_set(rq, &set);
}

bool admission_options_of(const struct admission_set *set, const struct mln_rules *rules, struct mln_rules_options *ret)
{
    if (rules == set->validate || rules == set->mutate) {
        *ret = (struct mln_rules_options){.modules = set->policies, .n_modules = set->n_policies, .prefix = MLN_ADMISSION_PREFIX,
                                          .heads = rules == set->validate ? admission_validate_heads : admission_mutate_heads};
        return true;
    }
    for (size_t i = 0; i < set->n_templates; i++) {
        if (rules == set->checked[i].rules) {
            *ret = (struct mln_rules_options){.modules = set->templates[i].sources, .n_modules = set->templates[i].n_sources,
                                              .prefix = "data", .heads = admission_constraint_heads, .is_v0 = set->templates[i].is_v0};
            return true;
        }
    }
    return false;
}
