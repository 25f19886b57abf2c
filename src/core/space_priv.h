/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of namespaces share: rows (sys_namespaces.c), the list (space.c), the end (space_delete.c). */
#pragma once

#include "core/lease_priv.h"

static inline struct mln_view space_view(void)
{
    return mln_core_view("root/namespace/");
}

/* NOT_FOUND without text. */
static inline struct mln_err space_row(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id, const struct mln_value **ret)
{
    return mln_txn_get_value(cx, txn, space_view(), mln_bytes_format(cx, "id/%.*s", MLN_FMT(id)), ret);
}

static inline struct mln_err space_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *row)
{
    return mln_txn_put_value(cx, txn, space_view(), mln_bytes_format(cx, "id/%.*s", MLN_FMT(mln_get_bytes(mln_get(row, "id")))), row);
}
