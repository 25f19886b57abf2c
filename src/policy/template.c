/* SPDX-License-Identifier: Apache-2.0 */
/* See template.h. A directive is looked up word by word; all words are checked even when there is nobody to fill them. */
#include "policy/template.h"

#include "base/json.h"
#include "base/text.h"

struct filling {
    struct mln_cx *cx;
    enum mln_template_mode mode;
    const struct mln_template_who *who;
    const struct mln_value *found; /* of the directive at hand: NULL when there is none */
};

bool mln_template_has(struct mln_bytes text)
{
    return mln_bytes_find_bytes(text, MLN_BYTES("{{")) < text.len;
}

static struct mln_err unknown(struct filling *f, struct mln_bytes word)
{
    return mln_fail(f->cx, MLN_E_INVALID, "unknown template directive \"%.64s\"",
                    mln_text_dup(f->cx, word));
}

/* "metadata" (whole, in JSON only) or "metadata.KEY"; a key may hold dots. */
static bool metadata_of(struct filling *f, const struct mln_value *map, const char *name,
                        struct mln_bytes words)
{
    struct mln_bytes key, first = mln_bytes_cut(words, '.', &key);
    if (!mln_bytes_is(first, name)) {
        return false;
    }
    if (first.len == words.len) {
        f->found = map != NULL ? map : f->mode == MLN_TEMPLATE_JSON ? mln_object(f->cx) : NULL;
        return f->mode == MLN_TEMPLATE_JSON;
    }
    f->found = mln_get_key(map, key);
    return key.len > 0;
}

static const struct mln_value *item_with(const struct mln_value *list, const char *key,
                                         struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(list, i), key)), text)) {
            return mln_item(list, i);
        }
    }
    return NULL;
}

static const struct mln_value *column(struct mln_cx *cx, const struct mln_value *list,
                                      const char *key)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_push(cx, out, mln_get(mln_item(list, i), key));
    }
    return out;
}

/* aliases.ACCESSOR.(id|name|metadata.K|custom_metadata.K) */
static struct mln_err fill_alias(struct filling *f, struct mln_bytes words)
{
    struct mln_bytes rest, accessor = mln_bytes_cut(words, '.', &rest);
    const struct mln_value *alias =
        item_with(mln_get(f->who->person, "aliases"), "mount_accessor", accessor);
    if (accessor.len == 0) {
        return unknown(f, words);
    }
    if (mln_bytes_is(rest, "id") || mln_bytes_is(rest, "name")) {
        f->found = mln_get(alias, mln_bytes_is(rest, "id") ? "id" : "name");
        return MLN_OK;
    }
    bool is_known = metadata_of(f, mln_get(alias, "metadata"), "metadata", rest) ||
                    metadata_of(f, mln_get(alias, "custom_metadata"), "custom_metadata", rest);
    return is_known ? MLN_OK : unknown(f, words);
}

/* groups.ids.ID.(name|metadata.K), groups.names.NAME.(id|metadata.K); in JSON also groups.ids and groups.names, whole */
static struct mln_err fill_groups(struct filling *f, struct mln_bytes words)
{
    struct mln_bytes which, rest, kind = mln_bytes_cut(words, '.', &rest);
    const struct mln_value *groups = mln_get(f->who->person, "groups");
    bool by_id = mln_bytes_is(kind, "ids");
    if (!by_id && !mln_bytes_is(kind, "names")) {
        return unknown(f, words);
    }
    if (kind.len == words.len) {
        f->found =
            f->mode == MLN_TEMPLATE_JSON ? column(f->cx, groups, by_id ? "id" : "name") : NULL;
        return f->mode == MLN_TEMPLATE_JSON ? MLN_OK : unknown(f, words);
    }
    which = mln_bytes_cut(rest, '.', &rest);
    const struct mln_value *group = item_with(groups, by_id ? "id" : "name", which);
    const char *other = by_id ? "name" : "id";
    if (mln_bytes_is(rest, other)) {
        f->found = mln_get(group, other);
        return MLN_OK;
    }
    return metadata_of(f, mln_get(group, "metadata"), "metadata", rest) ? MLN_OK
                                                                        : unknown(f, words);
}

static struct mln_err fill_entity(struct filling *f, struct mln_bytes words)
{
    struct mln_bytes rest, first = mln_bytes_cut(words, '.', &rest);
    const struct mln_value *person = f->who->person;
    if (mln_bytes_is(words, "id") || mln_bytes_is(words, "name")) {
        f->found = mln_get(person, mln_bytes_is(words, "id") ? "id" : "name");
        return MLN_OK;
    }
    if (mln_bytes_is(first, "aliases")) {
        return fill_alias(f, rest);
    }
    if (mln_bytes_is(first, "groups") && f->mode == MLN_TEMPLATE_JSON) {
        return fill_groups(f, rest);
    }
    return metadata_of(f, mln_get(person, "metadata"), "metadata", words) ? MLN_OK
                                                                          : unknown(f, words);
}

/* time.now, time.now.plus.1h, time.now.minus.30m */
static struct mln_err fill_time(struct filling *f, struct mln_bytes words)
{
    int64_t shift_s = 0, sum_s = 0;
    struct mln_bytes rest, sign, now = mln_bytes_cut(words, '.', &rest);
    bool has_shift = now.len < words.len;
    sign = mln_bytes_cut(rest, '.', &rest);
    bool is_plus = mln_bytes_is(sign, "plus");
    bool ok = f->mode == MLN_TEMPLATE_JSON && mln_bytes_is(now, "now");
    ok = ok && (!has_shift ||
                ((is_plus || mln_bytes_is(sign, "minus")) && mln_duration_parse(rest, &shift_s)));
    ok = ok && !(is_plus ? __builtin_add_overflow(f->who->now_s, shift_s, &sum_s)
                         : __builtin_sub_overflow(f->who->now_s, shift_s, &sum_s));
    if (!ok) {
        return unknown(f, words);
    }
    f->found = mln_int(f->cx, sum_s);
    return MLN_OK;
}

static struct mln_err look_up(struct filling *f, struct mln_bytes directive)
{
    struct mln_bytes rest, second, first = mln_bytes_cut(directive, '.', &rest);
    f->found = NULL;
    if (mln_bytes_is(first, "time")) {
        return fill_time(f, rest);
    }
    second = mln_bytes_cut(rest, '.', &rest);
    if (mln_bytes_is(first, "identity") && mln_bytes_is(second, "entity")) {
        return fill_entity(f, rest);
    }
    if (mln_bytes_is(first, "identity") && mln_bytes_is(second, "groups")) {
        return fill_groups(f, rest);
    }
    return unknown(f, directive);
}

/* May the value stand in a path without changing what the path means? */
static bool fits_path(struct mln_bytes text)
{
    return text.len > 0 && !mln_bytes_is(text, "+") && mln_bytes_find(text, '/') == text.len &&
           mln_bytes_find(text, '*') == text.len;
}

/* false: cannot be filled in. */
static bool add_found(const struct filling *f, struct mln_buf *out)
{
    struct mln_bytes text = mln_get_bytes(f->found);
    if (f->mode == MLN_TEMPLATE_JSON) {
        mln_json_print(out, f->found != NULL ? f->found : mln_text(f->cx, ""), MLN_JSON_COMPACT);
        return true;
    }
    if (mln_type_of(f->found) != MLN_STRING || (f->mode == MLN_TEMPLATE_PATH && !fits_path(text))) {
        return false;
    }
    mln_buf_add_bytes(out, text);
    return true;
}

struct mln_err mln_template_fill(struct mln_cx *cx, struct mln_bytes text,
                                 enum mln_template_mode mode, const struct mln_template_who *who,
                                 const char **ret)
{
    struct filling f = {.cx = cx, .mode = mode, .who = who};
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.max = MLN_TEMPLATE_MAX};
    bool is_filled = true;
    while (text.len > 0) {
        size_t open = mln_bytes_find_bytes(text, MLN_BYTES("{{")),
               stray = mln_bytes_find_bytes(text, MLN_BYTES("}}"));
        struct mln_bytes rest = mln_bytes_from(text, open + 2);
        size_t close = mln_bytes_find_bytes(rest, MLN_BYTES("}}"));
        if (mode != MLN_TEMPLATE_JSON && stray < open) { /* JSON documents end objects in objects */
            return mln_fail(cx, MLN_E_INVALID, "unbalanced templating characters");
        }
        mln_buf_add_bytes(&out, mln_bytes_sub(text, 0, open));
        if (open == text.len) {
            break;
        }
        if (close == rest.len ||
            mln_bytes_find_bytes(mln_bytes_sub(rest, 0, close), MLN_BYTES("{{")) < close) {
            return mln_fail(cx, MLN_E_INVALID, "unbalanced templating characters");
        }
        MLN_TRY(look_up(&f, mln_bytes_trim(mln_bytes_sub(rest, 0, close))));
        is_filled = add_found(&f, &out) && is_filled;
        text = mln_bytes_from(rest, close + 2);
    }
    MLN_TRY(mln_buf_ok(cx, &out));
    *ret = is_filled ? mln_text_dup(cx, mln_buf_bytes(&out)) : NULL;
    return mln_cx_err(cx);
}
