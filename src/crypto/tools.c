/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes and plain hashes as answers. */
#include "crypto/tools.h"

#include "base/clock.h"
#include "base/text.h"
#include "crypto/digest.h"

/* "hex" or "base64"; `is_hex` when nothing is said. */
static struct mln_err read_format(struct mln_cx *cx, const struct mln_value *fields, bool is_hex,
                                  bool *ret)
{
    struct mln_bytes format = mln_get_bytes(mln_get(fields, "format"));
    *ret = format.len == 0 ? is_hex : mln_bytes_is(format, "hex");
    if (format.len > 0 && !*ret && !mln_bytes_is(format, "base64")) {
        return mln_fail(cx, MLN_E_INVALID,
                        "unsupported encoding format \"%.*s\"; must be \"hex\" or \"base64\"",
                        MLN_FMT(format));
    }
    return MLN_OK;
}

static const char *print(struct mln_cx *cx, struct mln_bytes bytes, bool is_hex)
{
    return is_hex ? mln_hex_text(cx, bytes) : mln_base64_text(cx, bytes, MLN_B64_STD);
}

static bool is_source(struct mln_bytes name)
{
    return mln_bytes_is(name, "platform") || mln_bytes_is(name, "seal") ||
           mln_bytes_is(name, "all");
}

/* The path may be random/N, random/SOURCE or random/SOURCE/N. There is one source, so its name decides nothing. */
static struct mln_err read_count(struct mln_cx *cx, const struct mln_value *fields, int64_t *ret)
{
    struct mln_bytes source = mln_get_bytes(mln_get(fields, "source"));
    struct mln_bytes number = mln_get_bytes(mln_get(fields, "urlbytes"));
    int64_t n = mln_get_int(mln_get(fields, "bytes"), 32);
    if (number.len > 0 && !is_source(source)) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "unsupported entropy source \"%.*s\"; must be \"platform\" or \"seal\", or \"all\"",
            MLN_FMT(source));
    }
    if (number.len == 0 && !is_source(source)) {
        number = source;
    }
    if (number.len > 0 && !mln_i64_parse(number, &n)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "error parsing url-set byte count: \"%.*s\" is no number", MLN_FMT(number));
    }
    if (n < 1) {
        return mln_fail(cx, MLN_E_INVALID, "\"bytes\" cannot be less than 1");
    }
    if (n > MLN_TOOLS_RANDOM_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "\"bytes\" should be less than %d",
                        MLN_TOOLS_RANDOM_MAX);
    }
    *ret = n;
    return MLN_OK;
}

struct mln_err mln_tools_random(struct mln_cx *cx, const struct mln_value *fields,
                                const struct mln_value **ret)
{
    int64_t n = 0;
    bool is_hex = false;
    MLN_TRY(read_count(cx, fields, &n));
    MLN_TRY(read_format(cx, fields, false, &is_hex));
    uint8_t *bytes = mln_new(cx, (size_t)n);
    MLN_TRY(mln_cx_err(cx));
    mln_random(bytes, (size_t)n);
    struct mln_value *data = mln_object(cx);
    const char *text = print(cx, mln_bytes_at(bytes, (size_t)n), is_hex);
    mln_put(cx, data, "random_bytes", mln_secret_string(cx, mln_bytes_of(text)));
    MLN_TRY(mln_cx_err(cx));
    *ret = data;
    return MLN_OK;
}

static struct mln_err read_hash(struct mln_cx *cx, const struct mln_value *fields,
                                enum mln_hash *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_get(fields, "urlalgorithm"));
    enum mln_hash hash = MLN_HASH_SHA2_256;
    name = name.len > 0 ? name : mln_get_bytes(mln_get(fields, "algorithm"));
    bool is_known = name.len == 0 || mln_hash_of_name(name, &hash);
    if (!is_known || hash == MLN_HASH_NONE || hash == MLN_HASH_SHA1) {
        return mln_fail(cx, MLN_E_INVALID, "unsupported algorithm %.*s", MLN_FMT(name));
    }
    *ret = hash;
    return MLN_OK;
}

struct mln_err mln_tools_hash(struct mln_cx *cx, const struct mln_value *fields,
                              const struct mln_value **ret)
{
    bool is_hex = true;
    enum mln_hash hash = MLN_HASH_SHA2_256;
    uint8_t sum[MLN_HASH_MAX_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_TRY(read_hash(cx, fields, &hash));
    MLN_TRY(read_format(cx, fields, true, &is_hex));
    if (mln_failed(
            mln_base64_parse(cx, mln_get_bytes(mln_get(fields, "input")), MLN_B64_STD, &input))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "unable to decode input as base64: %s", why);
    }
    mln_hash_sum(hash, mln_buf_bytes(&input), sum);
    struct mln_value *data = mln_object(cx);
    mln_put_text(cx, data, "sum", print(cx, mln_bytes_at(sum, mln_hash_bytes(hash)), is_hex));
    MLN_TRY(mln_cx_err(cx));
    *ret = data;
    return MLN_OK;
}
