/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of an age file: strict reading, so that every file has one reading only, and writing.
 * The MAC is over the bytes as they were read, never over what we would have written.
 */
#include "artifact/age_priv.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define COLUMNS 64

static struct mln_err bad(struct mln_cx *cx, const char *why)
{
    return mln_refail(cx, MLN_E_PARSE, "age: %s", why);
}

void age_mac(const uint8_t file_key[MLN_AGE_KEY], struct mln_bytes maced, uint8_t mac[32])
{
    uint8_t key[32];
    mln_hkdf_sha256(mln_bytes_at(file_key, MLN_AGE_KEY), MLN_BYTES_NONE, MLN_BYTES("header"), key,
                    sizeof(key));
    mln_hmac_sha256(mln_bytes_at(key, sizeof(key)), maced, mac);
    mln_wipe(key, sizeof(key));
}

/* One line without its LF; false when there is no LF. */
static bool take_line(struct mln_bytes all, size_t *at, struct mln_bytes *line)
{
    struct mln_bytes rest = mln_bytes_from(all, *at);
    size_t n = mln_bytes_find(rest, '\n');
    if (n == rest.len) {
        return false;
    }
    *line = mln_bytes_sub(rest, 0, n);
    *at += n + 1;
    return true;
}

static struct mln_err no_line(struct mln_cx *cx, struct mln_bytes all)
{
    return all.len >= MLN_AGE_HEADER_MAX
               ? mln_refail(cx, MLN_E_TOO_LARGE, "age: the header is longer than %u bytes",
                            MLN_AGE_HEADER_MAX)
               : bad(cx, "the header ends too early");
}

/* "a b c": single spaces, no empty part, printable ASCII without space. */
static struct mln_err parse_args(struct mln_cx *cx, struct mln_bytes line,
                                 struct mln_age_stanza *to)
{
    for (;;) {
        size_t n = mln_bytes_find(line, ' ');
        struct mln_bytes arg = mln_bytes_sub(line, 0, n);
        if (arg.len == 0) {
            return bad(cx, "a stanza has an empty argument");
        }
        for (size_t i = 0; i < arg.len; i++) {
            if (arg.ptr[i] < 0x21 || arg.ptr[i] > 0x7e) {
                return bad(cx, "a stanza's argument holds what is no printable ASCII");
            }
        }
        if (to->n_args == MLN_AGE_ARGS_MAX) {
            return bad(cx, "a stanza has too many arguments");
        }
        to->args[to->n_args++] = arg;
        if (n == line.len) {
            return MLN_OK;
        }
        line = mln_bytes_from(line, n + 1);
    }
}

static struct mln_err parse_body(struct mln_cx *cx, struct mln_bytes all, size_t *at,
                                 struct mln_buf *body)
{
    struct mln_bytes line;
    do {
        if (!take_line(all, at, &line)) {
            return no_line(cx, all);
        }
        if (line.len > COLUMNS) {
            return bad(cx, "a stanza's body has a line of more than 64 characters");
        }
        if (mln_failed(mln_base64_parse(NULL, line, MLN_B64_STD_RAW, body))) {
            return bad(cx, "a stanza's body is not canonical base64");
        }
    } while (line.len == COLUMNS);
    return mln_buf_ok(cx, body);
}

static struct mln_err parse_stanza(struct mln_cx *cx, struct mln_bytes all, struct mln_bytes line,
                                   size_t *at, struct mln_age_stanza *to)
{
    MLN_TRY(parse_args(cx, mln_bytes_from(line, 3), to));
    struct mln_buf body = {0};
    struct mln_err err = parse_body(cx, all, at, &body);
    if (!mln_failed(err)) {
        to->body = mln_bytes_dup(cx, mln_buf_bytes(&body));
        err = mln_cx_err(cx);
    }
    mln_buf_drop(&body);
    return err;
}

/* "--- mac" */
static struct mln_err parse_mac(struct mln_cx *cx, struct mln_bytes line, uint8_t mac[32])
{
    struct mln_buf raw = {0};
    struct mln_err err = mln_base64_parse(NULL, mln_bytes_from(line, 4), MLN_B64_STD_RAW, &raw);
    bool is_mac = !mln_failed(err) && mln_bytes_starts(line, MLN_BYTES("--- ")) && raw.len == 32;
    if (is_mac) {
        mln_copy(mac, raw.ptr, 32);
    }
    mln_buf_drop(&raw);
    return is_mac ? MLN_OK : bad(cx, "the closing line is malformed");
}

static struct mln_err parse_lines(struct mln_cx *cx, struct mln_bytes all, size_t at,
                                  struct mln_age_header *to)
{
    for (;;) {
        struct mln_bytes line;
        size_t line_at = at;
        if (!take_line(all, &at, &line)) {
            return no_line(cx, all);
        }
        if (mln_bytes_starts(line, MLN_BYTES("---"))) {
            to->maced = mln_bytes_sub(all, 0, line_at + 3);
            to->len = at;
            return to->n_stanzas == 0 ? bad(cx, "there is no stanza")
                                      : parse_mac(cx, line, to->mac);
        }
        if (!mln_bytes_starts(line, MLN_BYTES("-> "))) {
            return bad(cx, "a line begins neither a stanza nor the end of the header");
        }
        if (to->n_stanzas == MLN_AGE_STANZAS_MAX) {
            return mln_refail(cx, MLN_E_TOO_LARGE, "age: there are more than %d stanzas",
                              MLN_AGE_STANZAS_MAX);
        }
        MLN_TRY(parse_stanza(cx, all, line, &at, &to->stanzas[to->n_stanzas]));
        to->n_stanzas++;
    }
}

/* Stanzas a header can have at most: each begins with "\n-> ". */
static size_t count_stanzas(struct mln_bytes all)
{
    size_t n = 0;
    for (size_t i = 0; i + 3 < all.len && n < MLN_AGE_STANZAS_MAX; i++) {
        n += all.ptr[i] == '\n' && all.ptr[i + 1] == '-' && all.ptr[i + 2] == '>';
    }
    return n;
}

struct mln_err mln_age_header_parse(struct mln_cx *cx, struct mln_bytes bytes,
                                    struct mln_age_header *ret)
{
    struct mln_bytes all = mln_bytes_sub(bytes, 0, MLN_AGE_HEADER_MAX);
    struct mln_bytes version = MLN_BYTES(AGE_VERSION_LINE);
    if (!mln_bytes_starts(all, version)) {
        return mln_bytes_starts(all, MLN_BYTES("age-encryption.org/"))
                   ? bad(cx, "not version 1 of the format")
                   : bad(cx, "not an age file");
    }
    struct mln_age_header header = {0};
    header.stanzas = mln_new_array(cx, count_stanzas(all) + 1, sizeof(*header.stanzas));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(parse_lines(cx, all, version.len, &header));
    *ret = header;
    return MLN_OK;
}

static void print_body(struct mln_buf *to, struct mln_bytes body)
{
    struct mln_buf text = {0};
    mln_base64_print(&text, body, MLN_B64_STD_RAW);
    struct mln_bytes rest = mln_buf_bytes(&text);
    for (;;) {
        struct mln_bytes line = mln_bytes_sub(rest, 0, COLUMNS);
        mln_buf_add_bytes(to, line);
        mln_buf_add_byte(to, '\n');
        if (line.len < COLUMNS) {
            break;
        }
        rest = mln_bytes_from(rest, COLUMNS);
    }
    to->has_failed = to->has_failed || text.has_failed;
    mln_buf_drop(&text);
}

struct mln_err mln_age_header_print(struct mln_cx *cx, const struct mln_age_stanza *stanzas,
                                    size_t n, const uint8_t file_key[MLN_AGE_KEY],
                                    struct mln_buf *to)
{
    size_t start = to->len;
    mln_buf_add_text(to, AGE_VERSION_LINE);
    for (size_t i = 0; i < n; i++) {
        struct mln_age_stanza checked = {0};
        mln_buf_add_text(to, "->");
        for (size_t j = 0; j < stanzas[i].n_args; j++) {
            MLN_TRY(parse_args(cx, stanzas[i].args[j], &checked));
            mln_buf_add_byte(to, ' ');
            mln_buf_add_bytes(to, stanzas[i].args[j]);
        }
        mln_buf_add_byte(to, '\n');
        print_body(to, stanzas[i].body);
    }
    mln_buf_add_text(to, "---");
    MLN_TRY(mln_buf_ok(cx, to));
    uint8_t mac[32];
    age_mac(file_key, mln_bytes_from(mln_buf_bytes(to), start), mac);
    mln_buf_add_byte(to, ' ');
    mln_base64_print(to, mln_bytes_at(mac, sizeof(mac)), MLN_B64_STD_RAW);
    mln_buf_add_byte(to, '\n');
    return mln_buf_ok(cx, to);
}
