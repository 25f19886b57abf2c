/* SPDX-License-Identifier: Apache-2.0 */
/* Where reach may go: URLs taken apart strictly, the configured list, addresses that nobody should reach by accident. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/text.h"
#include "net/reach_priv.h"

#define URL_MAX_BYTES  8192u /* longer ones are refused by servers too */
#define HOST_MAX_BYTES 253u  /* of a name in the DNS */

/* ---- URLs ---- */

static bool is_host_char(uint8_t c, bool is_v6)
{
    bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_alnum || c == '.' || (is_v6 ? c == ':' : c == '-' || c == '_');
}

static bool host_is_sane(struct mln_bytes host, bool is_v6)
{
    for (size_t i = 0; i < host.len; i++) {
        if (!is_host_char(host.ptr[i], is_v6)) {
            return false;
        }
    }
    return host.len > 0 && host.len <= HOST_MAX_BYTES;
}

static bool url_bytes_are_sane(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f || text.ptr[i] == '\\' || text.ptr[i] >= 0x80) {
            return false;
        }
    }
    return text.len > 0 && text.len <= URL_MAX_BYTES;
}

static uint16_t usual_port(struct mln_bytes scheme)
{
    static const struct {
        const char *scheme;
        uint16_t port;
    } t[] = {{"http", 80}, {"https", 443}, {"ldap", 389}, {"ldaps", 636}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (mln_bytes_is_nocase(scheme, t[i].scheme)) {
            return t[i].port;
        }
    }
    return 0;
}

/* "host", "host:port", "[v6]:port"; port 0 when none is written. */
static bool authority_parse(struct mln_bytes text, struct reach_url *url)
{
    uint64_t port = 0;
    struct mln_bytes after;
    url->is_v6 = text.len > 0 && text.ptr[0] == '[';
    if (url->is_v6) {
        url->host = mln_bytes_cut(mln_bytes_from(text, 1), ']', &after);
        if (text.ptr[text.len - 1] != ']' && (after.len == 0 || after.ptr[0] != ':')) {
            return false;
        }
        after = mln_bytes_from(after, 1);
    } else {
        url->host = mln_bytes_cut(text, ':', &after);
    }
    bool has_port = text.len > 0 && (url->is_v6 ? text.ptr[text.len - 1] != ']' : url->host.len < text.len);
    if (has_port && (after.len > 5 || !mln_u64_parse(after, &port) || port == 0 || port > 65535)) {
        return false;
    }
    url->port = (uint16_t)port;
    return host_is_sane(url->host, url->is_v6);
}

struct mln_err reach_url_parse(struct mln_cx *cx, struct mln_bytes text, struct reach_url *ret)
{
    struct reach_url url = {0};
    size_t at = mln_bytes_find_bytes(text, MLN_BYTES("://"));
    if (at >= text.len || !url_bytes_are_sane(text)) {
        return mln_fail(cx, MLN_E_INVALID, "reach: this is no URL");
    }
    url.scheme = mln_bytes_sub(text, 0, at);
    struct mln_bytes rest = mln_bytes_from(text, at + 3);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?' && rest.ptr[end] != '#') {
        end++;
    }
    url.path = mln_bytes_from(rest, end);
    if (usual_port(url.scheme) == 0 || !authority_parse(mln_bytes_sub(rest, 0, end), &url)) {
        return mln_fail(cx, MLN_E_INVALID, "reach: scheme, host or port of the URL is not one to reach");
    }
    url.port = url.port != 0 ? url.port : usual_port(url.scheme);
    *ret = url;
    return MLN_OK;
}

const char *reach_url_target(struct mln_cx *cx, const struct reach_url *url)
{
    return mln_text_format(cx, url->is_v6 ? "[%.*s]:%u" : "%.*s:%u", MLN_FMT(url->host), url->port);
}

struct mln_err mln_reach_target(struct mln_cx *cx, const struct mln_value *ask, const char **ret)
{
    struct reach_url url;
    if (mln_is_text(mln_get(ask, "kind"), "lookup")) { /* of no port: only a pattern of all of them fits */
        *ret = mln_text_format(cx, "%.*s:0", MLN_FMT(mln_get_bytes(mln_get(ask, "name"))));
        return mln_cx_err(cx);
    }
    MLN_TRY(reach_url_parse(cx, mln_get_bytes(mln_get(ask, "url")), &url));
    *ret = reach_url_target(cx, &url);
    return mln_cx_err(cx);
}

int64_t reach_timeout_ms(const struct mln_value *ask)
{
    int64_t ms = mln_get_int(mln_get(ask, "timeout_ms"), MLN_REACH_TIMEOUT_MS);
    return ms < 1 ? 1 : ms > MLN_REACH_TIMEOUT_MAX_MS ? MLN_REACH_TIMEOUT_MAX_MS : ms;
}

/* ---- the list ---- */

/* Host and port of a pattern or target: split at the last colon. */
static struct mln_bytes split_port(struct mln_bytes text, struct mln_bytes *ret_port)
{
    size_t colon = text.len;
    for (size_t i = 0; i < text.len; i++) {
        colon = text.ptr[i] == ':' ? i : colon;
    }
    *ret_port = mln_bytes_from(text, colon + 1);
    return mln_bytes_sub(text, 0, colon);
}

struct mln_err mln_reach_pattern_check(struct mln_cx *cx, struct mln_bytes pattern)
{
    struct mln_bytes port, host = split_port(pattern, &port);
    uint64_t number = 0;
    bool is_v6 = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    bool port_ok = mln_bytes_is(port, "*") ||
                   (port.len <= 5 && mln_u64_parse(port, &number) && number > 0 && number < 65536);
    struct mln_bytes bare = is_v6 ? mln_bytes_sub(host, 1, host.len - 2) : host;
    bare = mln_bytes_starts(host, MLN_BYTES("*.")) ? mln_bytes_from(host, 2) : bare;
    if (!port_ok || (!mln_bytes_is(host, "*") && !host_is_sane(bare, is_v6))) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'%.*s' is no place to reach: write host:443, *.example.org:443 or host:*",
                        MLN_FMT(pattern));
    }
    return MLN_OK;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_nocase(struct mln_bytes a, struct mln_bytes b)
{
    for (size_t i = 0; a.len == b.len && i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return a.len == b.len;
}

static bool host_fits(struct mln_bytes pattern, struct mln_bytes host)
{
    if (mln_bytes_is(pattern, "*")) {
        return true;
    }
    if (mln_bytes_starts(pattern, MLN_BYTES("*."))) {
        struct mln_bytes tail = mln_bytes_from(pattern, 1); /* with its dot: never the domain itself */
        return host.len > tail.len &&
               same_nocase(mln_bytes_from(host, host.len - tail.len), tail);
    }
    return same_nocase(pattern, host);
}

bool mln_reach_allows(const struct mln_value *list, struct mln_bytes target)
{
    struct mln_bytes port, host = split_port(target, &port);
    if (mln_is_null(list)) {
        return true;
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes its_port, its_host = split_port(mln_get_bytes(mln_item(list, i)), &its_port);
        if ((mln_bytes_is(its_port, "*") || mln_bytes_eq(its_port, port)) && host_fits(its_host, host)) {
            return true;
        }
    }
    return false;
}

/* ---- addresses ---- */

static bool v4_is_special(const uint8_t *a)
{
    static const uint8_t metadata[][4] = {{100, 100, 100, 200}, {168, 63, 129, 16}};
    for (size_t i = 0; i < MLN_COUNT(metadata); i++) {
        if (mln_same(a, metadata[i], 4)) {
            return true;
        }
    }
    return a[0] == 169 && a[1] == 254;
}

static bool v6_is_special(const uint8_t *a)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t compatible[12] = {0};
    static const uint8_t translated[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
    bool embeds = mln_same(a, mapped, 12) || mln_same(a, compatible, 12) || mln_same(a, translated, 12);
    bool is_6to4 = a[0] == 0x20 && a[1] == 0x02;
    return (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || mln_same(a, metadata, 16) ||
           (embeds && v4_is_special(a + 12)) || (is_6to4 && v4_is_special(a + 2));
}

/* Does a pattern name this very address? */
static bool names_address(const struct mln_value *list, const char *host, unsigned port)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_format(&text, "%u", port);
    struct mln_bytes digits = mln_buf_bytes(&text);
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes its_port, its_host = split_port(mln_get_bytes(mln_item(list, i)), &its_port);
        bool port_fits = mln_bytes_is(its_port, "*") || mln_bytes_eq(its_port, digits);
        if (port_fits && same_nocase(its_host, mln_bytes_of(host))) {
            return true;
        }
    }
    return false;
}

bool mln_reach_address_allowed(const struct mln_value *list, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN + 2] = "[";
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        mln_copy(&v4, address, sizeof(v4));
        const uint8_t *bytes = (const uint8_t *)&v4.sin_addr;
        (void)inet_ntop(AF_INET, bytes, text, sizeof(text));
        return !v4_is_special(bytes) || names_address(list, text, ntohs(v4.sin_port));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        mln_copy(&v6, address, sizeof(v6));
        const uint8_t *bytes = (const uint8_t *)&v6.sin6_addr;
        (void)inet_ntop(AF_INET6, bytes, text + 1, INET6_ADDRSTRLEN);
        size_t n = mln_bytes_of(text).len;
        text[n] = ']';
        text[n + 1] = 0;
        return !v6_is_special(bytes) || names_address(list, text, ntohs(v6.sin6_port));
    }
    return false;
}
