/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of LDAP that hold what strangers typed. */
#include "auth/ldap_priv.h"

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void print_escaped(struct mln_buf *buf, struct mln_bytes value, const char *also_plain)
{
    struct mln_bytes plain = mln_bytes_of(also_plain);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (is_plain(c) || mln_bytes_find(plain, c) < plain.len) {
            mln_buf_add_byte(buf, c);
        } else {
            mln_buf_add_format(buf, "\\%02x", c);
        }
    }
}

void ldap_filter_print(struct mln_buf *buf, struct mln_bytes value)
{
    print_escaped(buf, value, " -._@,=+:/");
}

void ldap_dn_print(struct mln_buf *buf, struct mln_bytes value)
{
    print_escaped(buf, value, "-._@:/");
}

bool ldap_attribute_is_sane(struct mln_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!is_plain(c) && c != '-' && c != ';' && c != '.') {
            return false;
        }
    }
    return name.len > 0 && name.len <= 128;
}

/* What one "{{...}}" stands for. */
static bool fill_one(struct mln_buf *out, struct mln_bytes word, const struct ldap_names *names)
{
    word = mln_bytes_trim(word);
    if (mln_bytes_is(word, ".Username")) {
        ldap_filter_print(out, names->username);
    } else if (mln_bytes_is(word, ".UserDN")) {
        ldap_filter_print(out, names->user_dn);
    } else if (mln_bytes_is(word, ".UserAttr")) {
        mln_buf_add_bytes(out, names->attr);
    } else {
        return false;
    }
    return true;
}

struct mln_err ldap_template_fill(struct mln_cx *cx, struct mln_bytes template, const struct ldap_names *names, const char **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes rest = template;
    while (rest.len > 0) {
        size_t open = mln_bytes_find_bytes(rest, MLN_BYTES("{{"));
        mln_buf_add_bytes(&out, mln_bytes_sub(rest, 0, open));
        if (open == rest.len) {
            break;
        }
        rest = mln_bytes_from(rest, open + 2);
        size_t close = mln_bytes_find_bytes(rest, MLN_BYTES("}}"));
        if (close == rest.len || !fill_one(&out, mln_bytes_sub(rest, 0, close), names)) {
            return mln_fail(cx, MLN_E_INVALID,
                            "a filter may name {{.Username}}, {{.UserDN}} and {{.UserAttr}} and nothing else");
        }
        rest = mln_bytes_from(rest, close + 2);
    }
    MLN_TRY(mln_buf_ok(cx, &out));
    *ret = mln_text_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct mln_bytes ldap_common_name(struct mln_cx *cx, struct mln_bytes text)
{
    uint8_t *out = mln_new(cx, text.len + 1);
    size_t n = 0;
    if (out == NULL || text.len < 4 || !mln_bytes_is_nocase(mln_bytes_sub(text, 0, 3), "cn=")) {
        return text;
    }
    for (size_t i = 3; i < text.len && text.ptr[i] != ',' && text.ptr[i] != '+'; i++) {
        uint8_t c = text.ptr[i];
        if (c == '\\' && i + 1 < text.len) {
            int high = hex_of(text.ptr[i + 1]), low = i + 2 < text.len ? hex_of(text.ptr[i + 2]) : -1;
            bool is_hex = high >= 0 && low >= 0;
            c = is_hex ? (uint8_t)(high * 16 + low) : text.ptr[i + 1];
            i += is_hex ? 2 : 1;
        }
        out[n++] = c;
    }
    return n > 0 ? mln_bytes_at(out, n) : text;
}
