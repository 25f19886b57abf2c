/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of templates. A piped value is the last argument, as everywhere in Go's templates. */
#include "agent/template_priv.h"

#include "base/json.h"
#include "base/text.h"

#define FN(name)                                                                                   \
    static struct mln_err fn_##name(struct run *run, struct place at,                              \
                                    const struct mln_value *const *args, size_t n,                 \
                                    const struct mln_value **ret)

/* A text argument; what else it is is an error. */
static struct mln_err text_arg(struct run *run, struct place at, const struct mln_value *v,
                               const char *what, struct mln_bytes *ret)
{
    if (mln_type_of(v) != MLN_STRING) {
        return render_fail(run->cx, at, "%s must be a text", what);
    }
    *ret = mln_get_bytes(v);
    return MLN_OK;
}

/* What was built, as a value; the buffer is dropped by the caller. */
static struct mln_err give(struct run *run, const struct mln_buf *buf, const struct mln_value **ret)
{
    MLN_TRY(mln_buf_ok(run->cx, buf));
    *ret = mln_string(run->cx, mln_bytes_dup(run->cx, mln_buf_bytes(buf)));
    return mln_cx_err(run->cx);
}

static struct mln_err give_bool(struct run *run, bool b, const struct mln_value **ret)
{
    *ret = mln_bool(run->cx, b);
    return mln_cx_err(run->cx);
}

#define BUILD(name)                                                                                \
    MLN_AUTO(mln_buf_drop) struct mln_buf name = {.is_secret = true, .max = MLN_RENDER_OUTPUT_MAX}

/* ---- the server and the environment ---- */

/* "k=v" arguments make it a write, as consul-template has it. */
FN(secret)
{
    struct mln_bytes path, pair, value;
    struct mln_value *params = NULL;
    MLN_TRY(text_arg(run, at, args[0], "the path of 'secret'", &path));
    for (size_t i = 1; i < n; i++) {
        MLN_TRY(text_arg(run, at, args[i], "a parameter of 'secret'", &pair));
        struct mln_bytes key = mln_bytes_cut(pair, '=', &value);
        if (key.len == 0 || key.len == pair.len) {
            return render_fail(run->cx, at, "parameters of 'secret' are texts \"name=value\"");
        }
        params = params != NULL ? params : mln_object(run->cx);
        mln_put_key(run->cx, params, key, mln_string(run->cx, value));
    }
    MLN_TRY(mln_cx_err(run->cx));
    return run->world->secret(run->cx, run->world->arg, path, false, params, ret);
}

FN(secrets)
{
    struct mln_bytes path;
    const struct mln_value *all = NULL;
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "the path of 'secrets'", &path));
    MLN_TRY(run->world->secret(run->cx, run->world->arg, path, true, NULL, &all));
    const struct mln_value *keys = mln_get(mln_get(all, "Data"), "keys");
    *ret = keys != NULL ? keys : mln_array(run->cx);
    return MLN_OK;
}

FN(env)
{
    struct mln_bytes name;
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "the name of 'env'", &name));
    const char *text = run->world->env(run->world->arg, mln_text_dup(run->cx, name));
    *ret = mln_string_dup(run->cx, mln_bytes_of(text));
    return mln_cx_err(run->cx);
}

/* ---- encodings ---- */

static struct mln_err decode64(struct run *run, struct place at, const struct mln_value *v,
                               bool is_url, const struct mln_value **ret)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    BUILD(buf);
    MLN_TRY(text_arg(run, at, v, "what is decoded", &text));
    if (mln_failed(mln_base64_parse(run->cx, text, is_url ? MLN_B64_URL : MLN_B64_STD, &buf))) {
        mln_cx_clear(run->cx); /* its text may have a part of the secret */
        return render_fail(run->cx, at, "not base64");
    }
    return give(run, &buf, ret);
}

FN(base64_decode)
{
    (void)n;
    return decode64(run, at, args[0], false, ret);
}

FN(base64url_decode)
{
    (void)n;
    return decode64(run, at, args[0], true, ret);
}

FN(base64_encode)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    BUILD(buf);
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "what is encoded", &text));
    mln_base64_print(&buf, text, MLN_B64_STD);
    return give(run, &buf, ret);
}

/* Members by their names, as Go's encoder has maps. */
static struct mln_err to_json(struct run *run, const struct mln_value *v, unsigned style,
                              const struct mln_value **ret)
{
    BUILD(buf);
    mln_json_print(&buf, v, style | MLN_JSON_SORTED);
    return give(run, &buf, ret);
}

FN(to_json)
{
    (void)at;
    (void)n;
    return to_json(run, args[0], MLN_JSON_COMPACT, ret);
}

FN(to_json_pretty)
{
    (void)at;
    (void)n;
    return to_json(run, args[0], MLN_JSON_PRETTY, ret);
}

FN(parse_json)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "what is parsed", &text));
    if (mln_failed(mln_json_parse(run->cx, text, ret))) {
        mln_cx_clear(run->cx);
        return render_fail(run->cx, at, "not JSON");
    }
    return MLN_OK;
}

/* ---- containers ---- */

FN(index)
{
    const struct mln_value *v = args[0];
    for (size_t i = 1; i < n; i++) {
        enum mln_type type = mln_type_of(v);
        if (type == MLN_OBJECT) {
            struct mln_bytes key;
            MLN_TRY(text_arg(run, at, args[i], "the index of a map", &key));
            v = mln_get_key(v, key);
        } else if (type == MLN_ARRAY || type == MLN_SET) {
            int64_t at_item = mln_type_of(args[i]) == MLN_INT ? mln_get_int(args[i], -1) : -1;
            if (at_item < 0 || (uint64_t)at_item >= mln_len(v)) {
                return render_fail(run->cx, at, "the list has no item of this number");
            }
            v = mln_item(v, (size_t)at_item);
        } else {
            return render_fail(run->cx, at, "'index' is of maps and lists only");
        }
    }
    *ret = v;
    return MLN_OK;
}

FN(len)
{
    enum mln_type type = mln_type_of(args[0]);
    (void)n;
    if (type != MLN_STRING && type != MLN_ARRAY && type != MLN_OBJECT && type != MLN_SET) {
        return render_fail(run->cx, at, "'len' is of texts, maps and lists only");
    }
    *ret = mln_int(run->cx, (int64_t)mln_len(args[0]));
    return mln_cx_err(run->cx);
}

FN(join)
{
    struct mln_bytes separator, text;
    BUILD(buf);
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "the separator of 'join'", &separator));
    if (mln_type_of(args[1]) != MLN_ARRAY && mln_type_of(args[1]) != MLN_SET) {
        return render_fail(run->cx, at, "'join' is of lists only");
    }
    for (size_t i = 0; i < mln_len(args[1]); i++) {
        MLN_TRY(render_step(run, at));
        MLN_TRY(render_text_of(run, at, mln_item(args[1], i), &text));
        mln_buf_add_bytes(&buf, i > 0 ? separator : MLN_BYTES_NONE);
        mln_buf_add_bytes(&buf, text);
    }
    return give(run, &buf, ret);
}

FN(split)
{
    struct mln_bytes separator, text;
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "the separator of 'split'", &separator));
    MLN_TRY(text_arg(run, at, args[1], "what is split", &text));
    if (separator.len == 0) {
        return render_fail(run->cx, at, "the separator of 'split' is empty");
    }
    struct mln_value *list = mln_array(run->cx);
    for (;;) {
        size_t to = mln_bytes_find_bytes(text, separator);
        MLN_TRY(render_step(run, at));
        mln_push(run->cx, list, mln_string(run->cx, mln_bytes_sub(text, 0, to)));
        if (to >= text.len) {
            break;
        }
        text = mln_bytes_from(text, to + separator.len);
        if (text.len == 0) {
            mln_push(run->cx, list, mln_string(run->cx, text));
            break;
        }
    }
    *ret = list;
    return mln_cx_err(run->cx);
}

/* ---- truth ---- */

FN(eq)
{
    bool is_same = false;
    for (size_t i = 1; i < n && !is_same; i++) { /* any of them, as Go has it */
        if (mln_type_of(args[0]) != mln_type_of(args[i]) && !mln_is_null(args[0]) &&
            !mln_is_null(args[i])) {
            return render_fail(run->cx, at, "different kinds of values are compared");
        }
        is_same = mln_value_eq(args[0], args[i]);
    }
    return give_bool(run, is_same, ret);
}

FN(ne)
{
    const struct mln_value *is_same = NULL;
    MLN_TRY(fn_eq(run, at, args, n, &is_same));
    return give_bool(run, !mln_get_bool(is_same, false), ret);
}

FN(not )
{
    (void)at;
    (void)n;
    return give_bool(run, !render_is_true(args[0]), ret);
}

FN(and)
{
    (void)run;
    (void)at;
    for (size_t i = 0; i < n; i++) {
        *ret = args[i];
        if (!render_is_true(args[i])) {
            break;
        }
    }
    return MLN_OK;
}

FN(or)
{
    (void)run;
    (void)at;
    for (size_t i = 0; i < n; i++) {
        *ret = args[i];
        if (render_is_true(args[i])) {
            break;
        }
    }
    return MLN_OK;
}

/* ---- texts ---- */

static struct mln_err to_case(struct run *run, struct place at, const struct mln_value *v,
                              uint8_t from, const struct mln_value **ret)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    BUILD(buf);
    MLN_TRY(text_arg(run, at, v, "the text", &text));
    for (size_t i = 0; i < text.len; i++) { /* ASCII: other letters stay */
        uint8_t c = text.ptr[i];
        mln_buf_add_byte(&buf, c >= from && c < from + 26 ? c ^ 0x20 : c);
    }
    return give(run, &buf, ret);
}

FN(to_lower)
{
    (void)n;
    return to_case(run, at, args[0], 'A', ret);
}

FN(to_upper)
{
    (void)n;
    return to_case(run, at, args[0], 'a', ret);
}

FN(trim_space)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "the text", &text));
    *ret = mln_string(run->cx, mln_bytes_trim(text));
    return mln_cx_err(run->cx);
}

/* contains NEEDLE TEXT-OR-LIST */
FN(contains)
{
    struct mln_bytes text, needle;
    (void)n;
    if (mln_type_of(args[1]) == MLN_ARRAY || mln_type_of(args[1]) == MLN_SET) {
        bool is_in = false;
        for (size_t i = 0; i < mln_len(args[1]) && !is_in; i++) {
            MLN_TRY(render_step(run, at));
            is_in = mln_value_eq(args[0], mln_item(args[1], i));
        }
        return give_bool(run, is_in, ret);
    }
    MLN_TRY(text_arg(run, at, args[0], "what 'contains' looks for", &needle));
    MLN_TRY(text_arg(run, at, args[1], "what 'contains' looks in", &text));
    return give_bool(run, needle.len == 0 || mln_bytes_find_bytes(text, needle) < text.len, ret);
}

/* replaceAll FROM TO TEXT */
FN(replace_all)
{
    struct mln_bytes from, to, text;
    BUILD(buf);
    (void)n;
    MLN_TRY(text_arg(run, at, args[0], "what is replaced", &from));
    MLN_TRY(text_arg(run, at, args[1], "what replaces it", &to));
    MLN_TRY(text_arg(run, at, args[2], "the text", &text));
    if (from.len == 0) {
        return render_fail(run->cx, at, "what is replaced is empty");
    }
    for (size_t found = mln_bytes_find_bytes(text, from); found < text.len;
         found = mln_bytes_find_bytes(text, from)) {
        MLN_TRY(render_step(run, at));
        mln_buf_add_bytes(&buf, mln_bytes_sub(text, 0, found));
        mln_buf_add_bytes(&buf, to);
        text = mln_bytes_from(text, found + from.len);
    }
    mln_buf_add_bytes(&buf, text);
    return give(run, &buf, ret);
}

/* indent SPACES TEXT: before each line that is not empty */
FN(indent)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    BUILD(buf);
    (void)n;
    int64_t spaces = mln_type_of(args[0]) == MLN_INT ? mln_get_int(args[0], -1) : -1;
    if (spaces < 0 || spaces > 256) {
        return render_fail(run->cx, at, "'indent' takes 0 to 256 spaces");
    }
    MLN_TRY(text_arg(run, at, args[1], "the text", &text));
    bool begins = true;
    for (size_t i = 0; i < text.len && !buf.has_failed; i++) {
        for (int64_t k = 0; begins && text.ptr[i] != '\n' && k < spaces; k++) {
            mln_buf_add_byte(&buf, ' ');
        }
        mln_buf_add_byte(&buf, text.ptr[i]);
        begins = text.ptr[i] == '\n';
    }
    return give(run, &buf, ret);
}

/* printf FORMAT VALUE...: %s, %d, %v, %q (as a JSON string) and %% only */
FN(printf)
{
    struct mln_bytes format = MLN_BYTES_NONE, text = MLN_BYTES_NONE;
    BUILD(buf);
    size_t next = 1;
    MLN_TRY(text_arg(run, at, args[0], "the format of 'printf'", &format));
    for (size_t i = 0; i < format.len; i++) {
        uint8_t c = format.ptr[i], verb = i + 1 < format.len ? format.ptr[i + 1] : 0;
        if (c != '%') {
            mln_buf_add_byte(&buf, c);
            continue;
        }
        i++;
        if (verb == '%') {
            mln_buf_add_byte(&buf, '%');
            continue;
        }
        if ((verb != 's' && verb != 'd' && verb != 'v' && verb != 'q') || next >= n ||
            (verb == 'd' && mln_type_of(args[next]) != MLN_INT)) {
            return render_fail(
                run->cx, at,
                "'printf' takes %%s, %%d (whole numbers), %%v, %%q, with a value for each");
        }
        MLN_TRY(render_text_of(run, at, args[next++], &text));
        if (verb == 'q') {
            mln_json_print_string(&buf, text, MLN_JSON_COMPACT);
        } else {
            mln_buf_add_bytes(&buf, text);
        }
    }
    return next == n ? give(run, &buf, ret)
                     : render_fail(run->cx, at, "'printf' has more values than its format");
}

/* clang-format off */
const struct render_fn render_fns[] = {
    {"secret", 1, ARGS_MAX, fn_secret},
    {"secrets", 1, 1, fn_secrets},
    {"env", 1, 1, fn_env},
    {"base64Decode", 1, 1, fn_base64_decode},
    {"base64URLDecode", 1, 1, fn_base64url_decode},
    {"base64Encode", 1, 1, fn_base64_encode},
    {"toJSON", 1, 1, fn_to_json},
    {"toJSONPretty", 1, 1, fn_to_json_pretty},
    {"parseJSON", 1, 1, fn_parse_json},
    {"index", 2, ARGS_MAX, fn_index},
    {"len", 1, 1, fn_len},
    {"join", 2, 2, fn_join},
    {"split", 2, 2, fn_split},
    {"eq", 2, ARGS_MAX, fn_eq},
    {"ne", 2, 2, fn_ne},
    {"not", 1, 1, fn_not},
    {"and", 1, ARGS_MAX, fn_and},
    {"or", 1, ARGS_MAX, fn_or},
    {"toLower", 1, 1, fn_to_lower},
    {"toUpper", 1, 1, fn_to_upper},
    {"trimSpace", 1, 1, fn_trim_space},
    {"contains", 2, 2, fn_contains},
    {"replaceAll", 3, 3, fn_replace_all},
    {"indent", 2, 2, fn_indent},
    {"printf", 1, ARGS_MAX, fn_printf},
    {0},
};
/* clang-format on */
