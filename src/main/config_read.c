/* SPDX-License-Identifier: Apache-2.0 */
/* See config_read.h. */
#include "main/config_read.h"

#include "base/text.h"

struct mln_err config_check_keys(struct mln_cx *cx, const struct mln_value *object,
                                 const char *where, const char *const *names)
{
    for (size_t i = 0; i < mln_len(object); i++) {
        struct mln_bytes key = mln_member_at(object, i)->key;
        bool is_known = false;
        for (size_t n = 0; names[n] != NULL && !is_known; n++) {
            is_known = mln_bytes_is(key, names[n]);
        }
        if (!is_known) {
            return mln_fail(cx, MLN_E_INVALID, "unknown key '%s%.*s'", where, MLN_FMT(key));
        }
    }
    return MLN_OK;
}

struct mln_err config_section(struct mln_cx *cx, const struct mln_value *all, const char *name,
                                  const char *const *names, const struct mln_value **ret)
{
    const struct mln_value *section = mln_get(all, name);
    if (!mln_is_null(section) && mln_type_of(section) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must hold keys of its own", name);
    }
    MLN_TRY(config_check_keys(cx, section, mln_text_format(cx, "%s.", name), names));
    *ret = section;
    return MLN_OK;
}

struct mln_err config_text(struct mln_cx *cx, const struct mln_value *object, const char *where,
                               const char *name, const char **ret)
{
    const struct mln_value *v = mln_get(object, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    const char *text = mln_get_text(cx, v, NULL);
    if (text == NULL || text[0] == 0) {
        return mln_fail(cx, MLN_E_INVALID, "'%s%s' must be a text that is not empty", where, name);
    }
    *ret = text;
    return mln_cx_err(cx);
}

struct mln_err config_bool(struct mln_cx *cx, const struct mln_value *object, const char *where,
                               const char *name, bool *ret)
{
    const struct mln_value *v = mln_get(object, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (mln_type_of(v) != MLN_BOOL) {
        return mln_fail(cx, MLN_E_INVALID, "'%s%s' must be true or false", where, name);
    }
    *ret = mln_get_bool(v, false);
    return MLN_OK;
}

struct mln_err config_duration(struct mln_cx *cx, const struct mln_value *object,
                                   const char *name, int64_t *ret)
{
    const struct mln_value *v = mln_get(object, name);
    int64_t s = mln_get_int(v, -1);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    bool is_good = mln_type_of(v) == MLN_INT ||
                   (mln_type_of(v) == MLN_STRING && mln_duration_parse(mln_get_bytes(v), &s));
    if (!is_good || s <= 0) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must be a duration such as 30m or 768h", name);
    }
    *ret = s;
    return MLN_OK;
}
