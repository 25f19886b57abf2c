/* SPDX-License-Identifier: Apache-2.0 */
/* Public files of a log from a folder, for the audit. */
#include "base/io.h"
#include "ledger/tlog.h"

#define FILE_MAX ((size_t)32 << 20) /* a bundle of the largest entries has 16 MiB */

struct mln_err mln_tlog_fetch_dir(void *arg, struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf content = {0};
    const char *file = mln_text_format(cx, "%s/%s", (const char *)arg, path);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_file_read_all(cx, file, FILE_MAX, &content));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&content));
    return mln_cx_err(cx);
}
