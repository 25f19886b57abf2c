/* SPDX-License-Identifier: Apache-2.0 */
/* The keyword "format": what gojsonschema knows, and as it judges; any other format fits. */
#include "rego/gotime.h"
#include "rego/regex_priv.h"
#include "rego/schema_priv.h"

#include <arpa/inet.h>
#include <string.h>

static bool matches(struct rg_schema *s, const char *pattern, struct mln_bytes text)
{
    struct rg_regex *re = rg_pattern(s->vm, rg_text(s->heap, pattern));
    return re != NULL && rg_pattern_finds(s->vm, re, text);
}

static bool is_time(struct mln_bytes text, const char *const *layouts)
{
    char why[256];
    int64_t ns = 0;
    for (; *layouts != NULL; layouts++) {
        if (rg_time_parse(mln_bytes_of(*layouts), text, &ns, why, sizeof(why)) != RG_TIME_BAD) {
            return true;
        }
    }
    return false;
}

static bool is_address(struct mln_bytes text, int family)
{
    char plain[64];
    uint8_t raw[16];
    if (text.len >= sizeof(plain) || mln_bytes_find(text, 0) < text.len) {
        return false;
    }
    mln_copy(plain, text.ptr, text.len);
    plain[text.len] = '\0';
    return inet_pton(family, plain, raw) == 1;
}

static bool is_uri(struct rg_schema *s, struct mln_bytes text, bool needs_scheme, bool is_template)
{
    struct mln_bytes scheme, path;
    if (!rg_uri_reads(s->heap, text, &scheme, &path) || mln_bytes_find(text, '\\') < text.len) {
        return false;
    }
    return (!needs_scheme || scheme.len > 0) &&
           (!is_template || matches(s, "^([^{]*({[^}]*})?)*$", path));
}

/* An address as net/mail reads it, of the forms that people write: local@domain, with or without <> and a name. */
static bool is_email(struct rg_schema *s, struct mln_bytes text)
{
    return matches(s,
                   "^(?:[^<>\\\"@,;:\\\\]*<)?(?:[A-Za-z0-9!#$%&'*+/"
                   "=?^_`{|}~\\x{80}-\\x{10ffff}-]+(?:\\.[A-Za-z0-9!#$%&'*+/=?"
                   "^_`{|}~\\x{80}-\\x{10ffff}-]+)*|\"(?:[^\"\\\\]|\\\\.)*\")@(?:[A-Za-z0-9!#$%&'*+"
                   "/=?^_`{|}~\\x{80}-"
                   "\\x{10ffff}-]+(?:\\.[A-Za-z0-9!#$%&'*+/"
                   "=?^_`{|}~\\x{80}-\\x{10ffff}-]+)*|\\[[^\\[\\]\\\\]*\\])>?$",
                   text);
}

static const char *const date_layouts[] = {"2006-01-02", NULL};
static const char *const time_layouts[] = {"15:04:05Z07:00", "15:04:05", NULL};
static const char *const date_time_layouts[] = {"2006-01-02T15:04:05Z07:00", "15:04:05",
                                                "15:04:05Z07:00", "2006-01-02", NULL};

static const struct {
    const char *name, *pattern;
} patterns[] = {
    {"hostname", "^([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\\-]{0,61}[a-zA-Z0-9])(\\.([a-zA-Z0-9]|[a-zA-"
                 "Z0-9][a-zA-Z0-9\\-]{0,61}"
                 "[a-zA-Z0-9]))*$"},
    {"uuid", "^(?i)[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$"},
    {"json-pointer", "^(?:/(?:[^~/]|~0|~1)*)*$"},
    {"relative-json-pointer", "^(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~0|~1)*)*)$"},
};

bool rg_schema_format_ok(struct rg_schema *s, struct mln_bytes format, struct mln_bytes text)
{
    for (size_t i = 0; i < MLN_COUNT(patterns); i++) {
        if (mln_bytes_is(format, patterns[i].name)) {
            return (i != 0 || text.len < 256) && matches(s, patterns[i].pattern, text);
        }
    }
    if (mln_bytes_is(format, "date")) {
        return is_time(text, date_layouts);
    }
    if (mln_bytes_is(format, "time")) {
        return is_time(text, time_layouts);
    }
    if (mln_bytes_is(format, "date-time")) {
        return is_time(text, date_time_layouts);
    }
    if (mln_bytes_is(format, "email") || mln_bytes_is(format, "idn-email")) {
        return is_email(s, text);
    }
    if (mln_bytes_is(format, "ipv4")) {
        return is_address(text, AF_INET);
    }
    if (mln_bytes_is(format, "ipv6")) {
        return is_address(text, AF_INET6);
    }
    if (mln_bytes_is(format, "uri") || mln_bytes_is(format, "iri")) {
        return is_uri(s, text, true, false);
    }
    if (mln_bytes_is(format, "uri-reference") || mln_bytes_is(format, "iri-reference")) {
        return is_uri(s, text, false, false);
    }
    if (mln_bytes_is(format, "uri-template")) {
        return is_uri(s, text, false, true);
    }
    return !mln_bytes_is(format, "regex") || text.len == 0 ||
           rg_pattern(s->vm, rg_string(s->heap, text)) != NULL;
}
