/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entities: one person or workload, however it logs in. An alias is a name at one auth mount (by its accessor); the first login makes
 * the entity. Rows in view "root/entity/": "id/<uuid>" the entity, "alias/<mount accessor>/<name in hex>" -> its id.
 */
#include "core/core_priv.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"

static struct mln_view entity_view(void)
{
    return mln_core_view("root/entity/");
}

/* Hex, so that any name stays one segment; folded names are the auth method's business. */
static struct mln_bytes alias_key(struct mln_cx *cx, const struct mln_mount *mount, struct mln_bytes alias)
{
    return mln_bytes_format(cx, "alias/%s/%s", mount->accessor, mln_hex_text(cx, alias));
}

static struct mln_err make(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mount *mount, const char *alias, int64_t now_ns,
                           const char **ret_id)
{
    char id[37];
    mln_uuid(id);
    struct mln_value *entity = mln_object(cx), *aliases = mln_array(cx), *one = mln_object(cx);
    const char *text = mln_text_dup(cx, mln_bytes_of(id));
    mln_put_text(cx, one, "mount_accessor", mount->accessor);
    mln_put_text(cx, one, "mount_path", mount->path);
    mln_put_text(cx, one, "name", alias);
    mln_push(cx, aliases, one);
    mln_put_text(cx, entity, "id", text);
    mln_put_text(cx, entity, "name", alias);
    mln_put(cx, entity, "aliases", aliases);
    mln_put_int(cx, entity, "created_ns", now_ns);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_txn_put_value(cx, txn, entity_view(), mln_bytes_format(cx, "id/%s", text), entity));
    MLN_TRY(mln_txn_put_value(cx, txn, entity_view(), alias_key(cx, mount, mln_bytes_of(alias)), mln_text(cx, text)));
    *ret_id = text;
    return MLN_OK;
}

struct mln_err mln_entity_find_or_make(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mount *mount, const char *alias,
                                       int64_t now_ns, const char **ret_id, const char **ret_name)
{
    const struct mln_value *id = NULL, *entity = NULL;
    struct mln_bytes name = mln_bytes_of(alias);
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "an alias has 1 to %d bytes", MLN_NAME_MAX_BYTES);
    }
    struct mln_err err = mln_txn_get_value(cx, txn, entity_view(), alias_key(cx, mount, name), &id);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret_name = alias;
        return make(cx, txn, mount, alias, now_ns, ret_id);
    }
    MLN_TRY(err);
    const char *text = mln_get_text(cx, id, "");
    err = mln_txn_get_value(cx, txn, entity_view(), mln_bytes_format(cx, "id/%s", text), &entity);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_CORRUPT, "identity: the entity of this alias is missing");
    }
    MLN_TRY(err);
    *ret_id = text;
    *ret_name = mln_get_text(cx, mln_get(entity, "name"), alias);
    return mln_cx_err(cx);
}
