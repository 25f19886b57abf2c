/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in view "entity/" of the transaction's namespace:
 *   id/<uuid>                        an entity: {"id","name","aliases":[...],"metadata","policies","disabled","merged":[ids],
 *                                    "created_ns","updated_ns"}; an alias in it: {"id","name","mount_accessor","mount_path",
 *                                    "mount_type","metadata","custom_metadata","created_ns","updated_ns","merged_from":[ids]}
 *   name/<hex of lower name>         -> its id
 *   alias/<accessor>/<hex of name>   -> its entity's id
 *   alias-id/<uuid>                  -> its entity's id
 *   merged/<uuid>                    -> the id of the entity that it went into
 *   member/<entity id>/<group id>    membership, for looking up from below
 *   group/<uuid>                     a group: {"id","name","type","metadata","policies","member_entity_ids","member_group_ids",
 *                                    "alias":{...} or null,"created_ns","updated_ns","modify_index"}
 *   group-name/<hex of lower name>   -> its id
 *   group-alias/<accessor>/<hex>     -> its group's id
 *   group-alias-id/<uuid>            -> its group's id
 *   parent/<group id>/<group id>     the second has the first as member
 *   gone/<accessor>                  aliases of this mount are still to be deleted
 *   oidc/..., mfa/...                see oidc.c, mfa.c
 */
#pragma once

#include "base/limits.h"
#include "base/text.h"
#include "identity/identity.h"

#define ID_METADATA_MAX   64u /* pairs; key and value: Vault's limits */
#define ID_METADATA_KEY   128u
#define ID_METADATA_VALUE 512u
#define ID_MEMBERS_MAX                                                                             \
    10000u /* of a group: each is a row, and one write changes them all in one batch */
#define ID_GROUPS_MAX                                                                              \
    1024u /* that one entity is in, inherited ones counted: bounds the work of a login */
#define ID_ALIASES_MAX  256u /* of an entity */
#define ID_POLICIES_MAX 512u /* of an entity or group */

static inline struct mln_view id_view(void)
{
    return (struct mln_view){.prefix = MLN_BYTES("entity/")};
}

/* ---- rows.c ---- */
/* Ids and accessors come from clients: what is none is simply not there. */
bool id_is_id(struct mln_bytes text);
struct mln_bytes id_name_key(struct mln_cx *cx, const char *kind, struct mln_bytes name);
const char *id_new_uuid(struct mln_cx *cx);
/* A row that points to an id; NOT_FOUND without text. */
struct mln_err id_link(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes key,
                       const char **ret);
struct mln_err id_row(struct mln_cx *cx, struct mln_txn *txn, const char *kind, struct mln_bytes id,
                      const struct mln_value **ret);
/* Names below a prefix; an empty array when there are none. */
struct mln_err id_names(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes prefix,
                        const struct mln_value **ret);
const char *id_text(struct mln_cx *cx, const struct mln_value *object, const char *key);
bool id_has(const struct mln_value *texts, struct mln_bytes text);
/* A copy of an array of texts without one of them. */
struct mln_value *id_without(struct mln_cx *cx, const struct mln_value *texts,
                             struct mln_bytes text);

/* ---- entities (rows_entity.c): NOT_FOUND without text ---- */
struct mln_err id_entity(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                         const struct mln_value **ret);
struct mln_err id_entity_named(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes name,
                               const struct mln_value **ret);
struct mln_err id_entity_of_alias(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                  struct mln_bytes alias, const struct mln_value **ret);
struct mln_err id_entity_of_alias_id(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                                     const struct mln_value **ret);
/* `name` NULL or taken: "entity_<random>". */
struct mln_value *id_entity_name_made_up(struct mln_cx *cx); /* "entity_0a1b2c3d" */
struct mln_value *id_entity_new(struct mln_cx *cx, const char *name, int64_t now_ns);
/* Write it and what points to it; old NULL: new. errors INVALID: name or alias is another's */
struct mln_err id_entity_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                             const struct mln_value *entity);
struct mln_err id_entity_delete(struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *entity);
struct mln_value *id_alias_new(struct mln_cx *cx, const struct mln_mount *mount,
                               struct mln_bytes name, int64_t now_ns);
const struct mln_value *id_alias_of(const struct mln_value *entity, struct mln_bytes alias_id);
/* The entity with this alias put in (replacing one of the same id) or, alias NULL, taken out. */
struct mln_value *id_entity_with_alias(struct mln_cx *cx, const struct mln_value *entity,
                                       struct mln_bytes alias_id, const struct mln_value *alias);

/* ---- groups (rows_group.c) ---- */
struct mln_err id_group(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                        const struct mln_value **ret);
struct mln_err id_group_named(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes name,
                              const struct mln_value **ret);
struct mln_err id_group_of_alias(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                 struct mln_bytes alias, const struct mln_value **ret);
struct mln_err id_group_of_alias_id(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                                    const struct mln_value **ret);
struct mln_value *id_group_new(struct mln_cx *cx, const char *name, const char *type,
                               int64_t now_ns);
struct mln_err id_group_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                            const struct mln_value *group);
struct mln_err id_group_delete(struct mln_cx *cx, struct mln_txn *txn,
                               const struct mln_value *group);
/* Add or remove an entity of a group. */
struct mln_err id_group_member(struct mln_cx *cx, struct mln_txn *txn,
                               const struct mln_value *group, struct mln_bytes entity_id,
                               bool is_in);
/* Groups that an entity is in, directly and by groups in groups: arrays of groups. errors LIMIT */
struct mln_err id_groups_of(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes entity_id,
                            const struct mln_value **ret_direct,
                            const struct mln_value **ret_inherited);
struct mln_err id_parents_of(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes group_id,
                             const struct mln_value **ret);

/* ---- fields of requests and shapes of answers (shape.c) ---- */
struct mln_err id_field_pairs(struct mln_request *rq, const char *field,
                              const struct mln_value **ret); /* NULL: not given */
struct mln_err id_field_policies(struct mln_request *rq,
                                 const struct mln_value **ret); /* the same; root is refused */
struct mln_err id_field_name(struct mln_request *rq, const char *field,
                             struct mln_bytes *ret); /* len 0: not given */
const struct mln_value *id_list_or_null(struct mln_cx *cx, const struct mln_value *list);
struct mln_err id_entity_show(struct mln_request *rq, const struct mln_value *entity,
                              const struct mln_value **ret);
struct mln_value *id_alias_show(struct mln_cx *cx, const struct mln_value *alias,
                                const char *canonical_id);
struct mln_value *id_alias_brief(struct mln_cx *cx, const struct mln_value *alias);
struct mln_err id_group_show(struct mln_request *rq, const struct mln_value *group,
                             const struct mln_value **ret);
/* {"keys"} or with "key_info"; NOT_FOUND without text when empty. */
struct mln_err id_answer_list(struct mln_request *rq, struct mln_reply *re,
                              const struct mln_value *keys, const struct mln_value *info);
void id_answer_text(struct mln_request *rq, struct mln_reply *re, const char *key,
                    const char *text);

/* person.c: go on with what mln_identity_mount_gone left. */
struct mln_err id_sweep(struct mln_request *rq);

extern const struct mln_path id_entity_paths[], id_alias_paths[], id_group_paths[],
    id_group_alias_paths[], id_lookup_paths[];
