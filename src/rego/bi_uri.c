/* SPDX-License-Identifier: Apache-2.0 */
/* uri.parse, uri.is_valid: as Go's net/url reads them. */
#include "rego/schema_priv.h"

struct uri {
    struct rg_call *call;
    struct mln_bytes whole;
    struct mln_bytes scheme, host, port, path, query, fragment;
    bool is_opaque;
    char why[512];
};

static bool refuse(struct uri *u, const char *format, struct mln_bytes what)
{
    const char *why =
        rg_text_format(u->call->heap, "%s%.*s%s", format, MLN_FMT(what), what.len > 0 ? "\"" : "");
    size_t n = mln_bytes_of(why).len;
    n = n < sizeof(u->why) ? n : sizeof(u->why) - 1;
    mln_copy(u->why, why, n);
    u->why[n] = '\0';
    return false;
}

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static int hex(uint8_t c)
{
    uint8_t l = c | 0x20;
    return is_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static bool is_one_of(uint8_t c, const char *set)
{
    return c != 0 && mln_bytes_find(mln_bytes_of(set), c) < mln_bytes_of(set).len;
}

/* Undo %XX. In a host only what is no ASCII, or %25 of a zone, may be written so. */
static bool unescape(struct uri *u, struct mln_bytes t, bool in_host, struct mln_bytes *ret)
{
    char *to = rg_text_dup(u->call->heap, t);
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        if (c == '%') {
            int a = i + 1 < t.len ? hex(t.ptr[i + 1]) : -1,
                b = i + 2 < t.len ? hex(t.ptr[i + 2]) : -1;
            uint8_t byte = (uint8_t)(a << 4 | b);
            if (a < 0 || b < 0 || (in_host && byte < 0x80 && byte != '%')) {
                return refuse(u, "invalid URL escape \"", mln_bytes_sub(t, i, 3));
            }
            c = byte;
            i += 2;
        } else if (in_host && c < 0x80 && !is_letter(c) && !is_digit(c) &&
                   !is_one_of(c, "-_.~!$&'()*+,;=:[]<>\"")) {
            return refuse(u,
                          c == ' ' ? "invalid character \" \" in host name"
                                   : "invalid character in host name",
                          MLN_BYTES_NONE);
        }
        to[n++] = (char)c;
    }
    *ret = mln_bytes_at(to, n);
    return true;
}

static bool read_scheme(struct uri *u, struct mln_bytes *rest)
{
    for (size_t i = 0; i < rest->len; i++) {
        uint8_t c = rest->ptr[i];
        if (is_letter(c) || (i > 0 && (is_digit(c) || c == '+' || c == '-' || c == '.'))) {
            continue;
        }
        if (c != ':') {
            return true;
        }
        if (i == 0) {
            return refuse(u, "missing protocol scheme", MLN_BYTES_NONE);
        }
        char *low = rg_text_dup(u->call->heap, mln_bytes_sub(*rest, 0, i));
        for (size_t k = 0; k < i; k++) {
            low[k] = (char)(low[k] >= 'A' && low[k] <= 'Z' ? low[k] | 0x20 : low[k]);
        }
        u->scheme = mln_bytes_at(low, i);
        *rest = mln_bytes_from(*rest, i + 1);
        return true;
    }
    return true;
}

static bool is_userinfo(struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i];
        if (!is_letter(c) && !is_digit(c) && !is_one_of(c, "-._:~!$&'()*+,;=%@")) {
            return false;
        }
    }
    return true;
}

/* ":" and digits behind a host, or nothing. */
static bool read_port(struct uri *u, struct mln_bytes t)
{
    for (size_t i = 1; i < t.len; i++) {
        if (!is_digit(t.ptr[i])) {
            refuse(u, "invalid port \"", t);
            const char *why = rg_text_format(u->call->heap, "%s after host", u->why);
            mln_copy(u->why, why, mln_bytes_of(why).len + 1);
            return false;
        }
    }
    if (t.len > 0 && t.ptr[0] != ':') {
        return refuse(u, "invalid port \"", t);
    }
    u->port = mln_bytes_from(t, 1);
    return true;
}

static size_t find_last(struct mln_bytes t, uint8_t byte)
{
    for (size_t i = t.len; i > 0; i--) {
        if (t.ptr[i - 1] == byte) {
            return i - 1;
        }
    }
    return t.len;
}

static bool read_authority(struct uri *u, struct mln_bytes t)
{
    size_t at = find_last(t, '@');
    struct mln_bytes none;
    if (at < t.len) {
        struct mln_bytes user = mln_bytes_sub(t, 0, at);
        if (!is_userinfo(user)) {
            return refuse(u, "net/url: invalid userinfo", MLN_BYTES_NONE);
        }
        if (!unescape(u, user, false, &none)) {
            return false;
        }
        t = mln_bytes_from(t, at + 1);
    }
    if (t.len > 0 && t.ptr[0] == '[') {
        size_t end = find_last(t, ']');
        if (end == t.len) {
            return refuse(u, "missing ']' in host", MLN_BYTES_NONE);
        }
        return read_port(u, mln_bytes_from(t, end + 1)) &&
               unescape(u, mln_bytes_sub(t, 1, end - 1), true, &u->host);
    }
    size_t colon = find_last(t, ':');
    if (!read_port(u, mln_bytes_from(t, colon)) ||
        !unescape(u, mln_bytes_sub(t, 0, colon), true, &u->host)) {
        return false;
    }
    return true;
}

static bool read(struct uri *u)
{
    struct mln_bytes rest = u->whole, none;
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] < 0x20 || rest.ptr[i] == 0x7f) {
            return refuse(u, "net/url: invalid control character in URL", MLN_BYTES_NONE);
        }
    }
    rest = mln_bytes_cut(rest, '#', &u->fragment);
    if (!unescape(u, u->fragment, false, &u->fragment) || !read_scheme(u, &rest)) {
        return false;
    }
    rest = mln_bytes_cut(rest, '?', &u->query);
    if (u->scheme.len > 0 && rest.len > 0 && rest.ptr[0] != '/') {
        u->is_opaque = true;
        return true;
    }
    size_t slash = mln_bytes_find(rest, '/');
    if (u->scheme.len == 0 && mln_bytes_find(mln_bytes_sub(rest, 0, slash), ':') < slash) {
        return refuse(u, "first path segment in URL cannot contain colon", MLN_BYTES_NONE);
    }
    if (mln_bytes_starts(rest, MLN_BYTES("//")) &&
        (u->scheme.len > 0 || !mln_bytes_starts(rest, MLN_BYTES("///")))) {
        rest = mln_bytes_from(rest, 2);
        slash = mln_bytes_find(rest, '/');
        if (!read_authority(u, mln_bytes_sub(rest, 0, slash))) {
            return false;
        }
        rest = mln_bytes_from(rest, slash);
    }
    u->path = rest;
    return unescape(u, rest, false, &none);
}

static void put(struct rg_call *call, struct rg_val out, const char *key, struct mln_bytes t)
{
    if (t.len > 0) {
        rg_put_text(call->heap, out, key, rg_string(call->heap, t));
    }
}

/* Go writes a path anew when that gives the same path, so that "%27" becomes "'" again. */
static struct mln_bytes raw_path(struct uri *u, struct mln_bytes plain)
{
    struct rg_call *call = u->call;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes back;
    bool own = true;
    for (size_t i = 0; i < u->path.len; i++) {
        uint8_t c = u->path.ptr[i];
        own = own && (is_letter(c) || is_digit(c) || is_one_of(c, "-_.~$&+,/:;=@!'()*[]%"));
    }
    for (size_t i = 0; own && i < u->path.len; i++) {
        uint8_t c = u->path.ptr[i];
        int v = c == '%' ? hex(u->path.ptr[i + 1]) << 4 | hex(u->path.ptr[i + 2]) : c;
        if (c == '%' && is_one_of((uint8_t)v, "!'()*[]")) {
            mln_buf_add_byte(&out, (uint8_t)v);
            i += 2;
        } else {
            mln_buf_add_byte(&out, c);
        }
    }
    for (size_t i = 0; !own && i < plain.len; i++) {
        uint8_t c = plain.ptr[i];
        if (is_letter(c) || is_digit(c) || is_one_of(c, "-_.~$&+,/:;=@")) {
            mln_buf_add_byte(&out, c);
        } else {
            mln_buf_add_format(&out, "%%%02X", c);
        }
    }
    back = mln_buf_bytes(&out);
    return mln_bytes_at(rg_text_dup(call->heap, back), back.len);
}

bool rg_uri_reads(struct rg_heap *heap, struct mln_bytes text, struct mln_bytes *ret_scheme,
                  struct mln_bytes *ret_path)
{
    struct rg_call call = {.heap = heap, .name = "uri"};
    struct uri u = {.call = &call, .whole = text};
    bool ok = read(&u);
    *ret_scheme = u.scheme;
    *ret_path = u.path;
    return ok;
}

static bool parse(struct rg_call *call)
{
    struct uri u = {.call = call};
    struct mln_bytes plain;
    if (!rg_arg_string(call, 1, &u.whole)) {
        return false;
    }
    if (!read(&u) || !unescape(&u, u.path, false, &plain)) {
        return rg_fail(call, "parse \"%.*s\": %s", MLN_FMT(u.whole), u.why);
    }
    struct rg_val out = rg_object(call->heap, 8);
    put(call, out, "scheme", u.scheme);
    put(call, out, "hostname", u.host);
    put(call, out, "port", u.port);
    put(call, out, "path", plain);
    put(call, out, "raw_path", raw_path(&u, plain));
    put(call, out, "raw_query", u.query);
    put(call, out, "fragment", u.fragment);
    return rg_return(call, out);
}

static bool is_valid(struct rg_call *call)
{
    struct uri u = {.call = call};
    struct rg_val v = call->args[0];
    if (v.tag != RG_STR) {
        return rg_return(call, rg_bool(false));
    }
    u.whole = rg_bytes(v);
    return rg_return(call, rg_bool(u.whole.len > 0 && read(&u)));
}

const struct rg_builtin rg_builtins_uri[] = {
    {"uri.parse", parse}, {"uri.is_valid", is_valid}, {NULL, NULL}};
