/* SPDX-License-Identifier: Apache-2.0 */
/* PEM (RFC 7468) of DER bytes, out and in, without a BIO. */
#include "crypto/akey.h"

#include "base/text.h"

#define LINE    64
#define PEM_MAX 65536 /* text of one block */

struct mln_err mln_pem_print(struct mln_cx *cx, const char *label, struct mln_bytes der,
                             struct mln_buf *pem)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    mln_base64_print(&text, der, MLN_B64_STD);
    MLN_TRY(mln_buf_ok(cx, &text));
    mln_buf_add_format(pem, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; at < text.len; at += LINE) {
        mln_buf_add_bytes(pem, mln_bytes_sub(mln_buf_bytes(&text), at, LINE));
        mln_buf_add_byte(pem, '\n');
    }
    mln_buf_add_format(pem, "-----END %s-----\n", label);
    return mln_buf_ok(cx, pem);
}

struct mln_err mln_pem_read(struct mln_cx *cx, const char *label, struct mln_bytes pem,
                            struct mln_buf *der)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf begin = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf end = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    mln_buf_add_format(&begin, "-----BEGIN %s-----", label);
    mln_buf_add_format(&end, "-----END %s-----", label);
    MLN_TRY(mln_buf_ok(cx, &begin));
    MLN_TRY(mln_buf_ok(cx, &end));
    struct mln_bytes rest = mln_bytes_from(pem, mln_bytes_find_bytes(pem, mln_buf_bytes(&begin)));
    rest = mln_bytes_from(rest, begin.len);
    size_t stop = mln_bytes_find_bytes(rest, mln_buf_bytes(&end));
    if (stop == rest.len || stop > PEM_MAX) {
        return mln_fail(cx, MLN_E_PARSE, "no \"%s\" in PEM", label);
    }
    for (size_t i = 0; i < stop; i++) {
        if (rest.ptr[i] != '\n' && rest.ptr[i] != '\r') {
            mln_buf_add_byte(&text, rest.ptr[i]);
        }
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    return mln_base64_parse(cx, mln_buf_bytes(&text), MLN_B64_STD, der);
}
