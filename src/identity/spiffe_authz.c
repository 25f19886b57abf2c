/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may talk to whom: rules by SPIFFE ids, methods and paths, asked by Envoy's external authorization. A rule that denies wins over
 * all that allow; what no rule allows is denied. Only a workload that holds an identity may ask, and only about requests to itself.
 * Rows below the mount:
 *   authz   {"<name>": {"effect","principals":[],"destinations":[],"methods":[],"paths":[],"source"}}: one row, read with every question
 */
#include "identity/spiffe_priv.h"
#include "identity/spiffe_rule.h"

#define ROW            "authz"
#define RULES_MAX      512u  /* all are looked at for each request: some 20 us */
#define LIST_MAX       64u   /* patterns of one member of a rule */
#define PATTERN_MAX    2048u /* a SPIFFE id */
#define RULE_NAME_MAX  128u
#define PATH_BYTES_MAX 8192u

/* ---- rules ---- */

static struct mln_err rules_get(struct mln_request *rq, struct mln_value **ret)
{
    const struct mln_value *row = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES(ROW), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        *ret = mln_object(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    *ret = mln_value_dup(rq->cx, row);
    return mln_cx_err(rq->cx);
}

static struct mln_err check_patterns(struct mln_request *rq, const char *name,
                                     const struct mln_value *list)
{
    if (mln_len(list) > LIST_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s: at most %u patterns", name, LIST_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        size_t star = mln_bytes_find(one, '*');
        if (one.len == 0 || one.len > PATTERN_MAX || (star != one.len && star != one.len - 1)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "%s: a pattern has 1 to %u bytes, \"*\" only at its end", name,
                            PATTERN_MAX);
        }
    }
    return MLN_OK;
}

static struct mln_err rule_of(struct mln_request *rq, const struct mln_value **ret)
{
    static const char *const lists[] = {"principals", "destinations", "methods", "paths"};
    const struct mln_value *effect = mln_field_of(rq, "effect");
    struct mln_value *rule = mln_object(rq->cx);
    if (!mln_is_text(effect, "allow") && !mln_is_text(effect, "deny")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "effect is \"allow\" or \"deny\"");
    }
    mln_put(rq->cx, rule, "effect", effect);
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        const struct mln_value *list = mln_field_of(rq, lists[i]);
        MLN_TRY(check_patterns(rq, lists[i], list));
        mln_put(rq->cx, rule, lists[i], list != NULL ? list : mln_array(rq->cx));
    }
    if (mln_is_text(effect, "allow") && mln_len(mln_get(rule, "principals")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "principals must be given: who is allowed; [\"spiffe://*\"] for all");
    }
    struct mln_bytes source = mln_get_bytes(mln_field_of(rq, "source"));
    if (source.len > RULE_NAME_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "source has at most %u bytes", RULE_NAME_MAX);
    }
    if (source.len > 0) {
        mln_put_bytes(rq->cx, rule, "source", source);
    }
    *ret = rule;
    return mln_cx_err(rq->cx);
}

static struct mln_bytes name_of(const struct mln_request *rq)
{
    return mln_get_bytes(mln_field_of(rq, "name"));
}

static struct mln_err write_rule(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *rules = NULL;
    const struct mln_value *rule = NULL;
    struct mln_bytes name = name_of(rq);
    (void)re;
    MLN_TRY(rule_of(rq, &rule));
    MLN_TRY(rules_get(rq, &rules));
    if (name.len > RULE_NAME_MAX ||
        (mln_get_key(rules, name) == NULL && mln_len(rules) >= RULES_MAX)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "at most %u rules, with names of at most %u bytes",
                        RULES_MAX, RULE_NAME_MAX);
    }
    mln_put_key(rq->cx, rules, name, rule);
    mln_put(rq->cx, rq->detail, "rule", rule);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES(ROW), rules);
}

static struct mln_err read_rule(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *rules = NULL;
    MLN_TRY(rules_get(rq, &rules));
    re->data = mln_get_key(rules, name_of(rq));
    return re->data != NULL ? MLN_OK : mln_fail(rq->cx, MLN_E_NOT_FOUND, "%s", "");
}

static struct mln_err remove_rule(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *rules = NULL;
    (void)re;
    MLN_TRY(rules_get(rq, &rules));
    if (mln_get_key(rules, name_of(rq)) == NULL) {
        return MLN_OK;
    }
    mln_remove(rules, name_of(rq));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES(ROW), rules);
}

static struct mln_err list_rules(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *rules = NULL, *keys = mln_array(rq->cx), *data = mln_object(rq->cx);
    MLN_TRY(rules_get(rq, &rules));
    for (size_t i = 0; i < mln_len(rules); i++) {
        mln_push(rq->cx, keys, mln_string(rq->cx, mln_member_at(rules, i)->key));
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put(rq->cx, data, "key_info", rules);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- questions ---- */

/* Does the caller hold the destination's identity? When none is named, its first is meant. */
static struct mln_err check_caller(struct mln_request *rq, struct mln_bytes *destination)
{
    struct sp_state *state = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    struct sp_entry **found = mln_new_array(rq->cx, SP_MATCH_MAX, sizeof(struct sp_entry *));
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(sp_made_ready(rq, state, mln_bytes_of(state->server), rq->peer->selectors));
    SP_READ(state);
    if (!state->is_loaded) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "registration entries are being read");
    }
    size_t n = sp_made_match(state->index, mln_bytes_of(state->server), rq->peer->selectors,
                             rq->now_ns / SP_SECOND_NS, found);
    if (n == 0) {
        return mln_fail(rq->cx, MLN_E_DENIED, "no identity issued");
    }
    if (destination->len == 0) {
        *destination = mln_bytes_dup(rq->cx, mln_bytes_of(found[0]->spiffe->text));
        return mln_cx_err(rq->cx);
    }
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is(*destination, found[i]->spiffe->text)) {
            return MLN_OK;
        }
    }
    return mln_fail(rq->cx, MLN_E_DENIED, "the destination is not an identity of the caller");
}

/* The first rule of this effect that fits; NULL = none. */
static const struct mln_member *fitting(const struct mln_value *rules, const char *effect,
                                        const struct mln_value *asked)
{
    static const struct {
        const char *list, *what;
    } parts[] = {{"principals", "principal"},
                 {"destinations", "destination"},
                 {"methods", "method"},
                 {"paths", "path"}};
    for (size_t i = 0; i < mln_len(rules); i++) {
        const struct mln_member *rule = mln_member_at(rules, i);
        bool fits = mln_is_text(mln_get(&rule->value, "effect"), effect);
        for (size_t k = 0; k < MLN_COUNT(parts) && fits; k++) {
            fits = mln_rule_fits_any(mln_get(&rule->value, parts[k].list),
                                     mln_get_bytes(mln_get(asked, parts[k].what)));
        }
        if (fits) {
            return rule;
        }
    }
    return NULL;
}

/* A byte that needs no escape in a path, or that divides one: escaped, it is a disguise. */
static bool is_disguise(uint8_t byte)
{
    const struct mln_bytes others = MLN_BYTES("0123456789-._~/\\%");
    bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    return byte < 0x20 || byte == 0x7f || is_letter || mln_bytes_find(others, byte) < others.len;
}

static bool has_disguise(struct mln_cx *cx, struct mln_bytes path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf byte = {0};
    for (size_t i = mln_bytes_find(path, '%'); i < path.len; i++) {
        mln_buf_clear(&byte);
        if (path.ptr[i] != '%') {
            continue;
        }
        if (mln_failed(mln_hex_parse(cx, mln_bytes_sub(path, i + 1, 2), &byte)) || byte.len != 1 ||
            is_disguise(byte.ptr[0])) {
            mln_cx_clear(cx);
            return true;
        }
    }
    return false;
}

/* A path that may mean another one to who serves it fits no rule that allows. */
static bool is_plain(struct mln_cx *cx, struct mln_bytes path)
{
    static const char *const odd[] = {"/./", "/../", "//", "\\", "#"};
    bool is_odd = path.len == 0 || path.len > PATH_BYTES_MAX || path.ptr[0] != '/' ||
                  mln_bytes_ends(path, MLN_BYTES("/.")) || mln_bytes_ends(path, MLN_BYTES("/.."));
    for (size_t i = 0; i < MLN_COUNT(odd); i++) {
        is_odd = is_odd || mln_bytes_find_bytes(path, mln_bytes_of(odd[i])) != path.len;
    }
    return !is_odd && !has_disguise(cx, path);
}

static struct mln_err judge(struct mln_request *rq, const struct mln_value *asked,
                            struct mln_value *data)
{
    struct mln_value *rules = NULL;
    struct mln_spiffe_id id;
    struct mln_bytes principal = mln_get_bytes(mln_get(asked, "principal"));
    MLN_TRY(rules_get(rq, &rules));
    bool is_known = !mln_failed(mln_spiffe_id_parse(rq->cx, principal, &id));
    mln_cx_clear(rq->cx);
    const struct mln_member *denies = fitting(rules, "deny", asked);
    const struct mln_member *allows =
        is_known && is_plain(rq->cx, mln_get_bytes(mln_get(asked, "path")))
            ? fitting(rules, "allow", asked)
            : NULL;
    const struct mln_member *rule = denies != NULL ? denies : allows;
    bool is_allowed = denies == NULL && allows != NULL;
    mln_put_bool(rq->cx, data, "allowed", is_allowed);
    if (rule != NULL) {
        mln_put(rq->cx, data, "rule", mln_string(rq->cx, rule->key));
    }
    mln_put_text(rq->cx, data, "reason",
                 is_allowed       ? ""
                 : denies != NULL ? "a rule denies it"
                 : !is_known      ? "the peer has no SPIFFE id"
                                  : "no rule allows it");
    return mln_cx_err(rq->cx);
}

static struct mln_err check(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const names[] = {"principal", "method", "path", "host"};
    struct mln_value *asked = mln_object(rq->cx), *data = mln_object(rq->cx);
    struct mln_bytes destination = mln_get_bytes(mln_field_of(rq, "destination"));
    MLN_TRY(check_caller(rq, &destination));
    mln_put_bytes(rq->cx, asked, "destination", destination);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        mln_put_bytes(rq->cx, asked, names[i], mln_get_bytes(mln_field_of(rq, names[i])));
    }
    MLN_TRY(judge(rq, asked, data));
    mln_put(rq->cx, rq->detail, "asked", asked);
    mln_put(rq->cx, rq->detail, "verdict", data);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field check_fields[] = {
    {.name = "principal", .type = MLN_FIELD_TEXT, .help = "SPIFFE id of who sent the request."},
    {.name = "destination",
     .type = MLN_FIELD_TEXT,
     .help = "SPIFFE id of who got it; the caller's first when absent."},
    {.name = "method", .type = MLN_FIELD_TEXT, .help = "GET, POST and so on."},
    {.name = "path", .type = MLN_FIELD_TEXT, .help = "Path without the query."},
    {.name = "host", .type = MLN_FIELD_TEXT, .help = "Host of the request."},
    {0},
};
static const struct mln_field rule_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The rule's name."},
    {.name = "effect", .type = MLN_FIELD_TEXT, .help = "allow or deny; deny wins."},
    {.name = "principals",
     .type = MLN_FIELD_LIST,
     .help = "Who asks: SPIFFE ids, \"*\" at the end for all that begin so."},
    {.name = "destinations",
     .type = MLN_FIELD_LIST,
     .help = "Who is asked, likewise; all when absent."},
    {.name = "methods", .type = MLN_FIELD_LIST, .help = "HTTP methods; all when absent."},
    {.name = "paths", .type = MLN_FIELD_LIST, .help = "Paths, likewise; all when absent."},
    {.name = "source",
     .type = MLN_FIELD_TEXT,
     .help = "Whose declaration made it; for merlon entry apply --prune."},
    {0},
};
static const struct mln_field none_fields[] = {{0}};

const struct mln_path spiffe_authz_paths[] = {
    {.pattern = "authz",
     .summary = "May this peer send this request to the caller?",
     .fields = check_fields,
     .write = check,
     .needs_peer = true,
     .controls = "AC-3,AC-4"},
    {.pattern = "authz/rules",
     .summary = "List the rules of who may talk to whom.",
     .fields = none_fields,
     .list = list_rules},
    {.pattern = "authz/rules/{name}",
     .summary = "A rule of who may talk to whom.",
     .fields = rule_fields,
     .read = read_rule,
     .write = write_rule,
     .remove = remove_rule,
     .controls = "AC-3,AC-4"},
    {0},
};
