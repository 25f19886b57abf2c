/* SPDX-License-Identifier: Apache-2.0 */
/* The task of a child process: one CBOR value in a memfd that nobody can change any more. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/io.h"
#include "main/main_priv.h"

#define BOOT_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct mln_err boot_write(struct mln_cx *cx, const struct mln_value *value, int *ret_fd)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = BOOT_MAX_BYTES, .is_secret = true};
    mln_cbor_print(&text, value);
    MLN_TRY(mln_buf_ok(cx, &text));
    MLN_AUTO(mln_fd_drop) int fd = memfd_create("merlon-boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return mln_fail(cx, MLN_E_IO, "no memory file for a child process (errno %d)", errno);
    }
    MLN_TRY(mln_fd_write(cx, fd, text.ptr, text.len));
    if (fcntl(fd, F_ADD_SEALS, BOOT_SEALS) != 0) {
        return mln_fail(cx, MLN_E_IO, "a memory file cannot be sealed (errno %d)", errno);
    }
    *ret_fd = fd;
    fd = -1;
    return MLN_OK;
}

struct mln_err boot_read(struct mln_cx *cx, int fd, const struct mln_value **ret)
{
    MLN_AUTO(mln_fd_drop) int mine = fd;
    uint64_t n = 0;
    int seals = fcntl(mine, F_GET_SEALS);
    if (seals < 0 || (seals & BOOT_SEALS) != BOOT_SEALS) {
        return mln_fail(cx, MLN_E_USAGE, "this is a part of 'merlon server' and not for the hand");
    }
    MLN_TRY(mln_file_size(cx, mine, &n));
    if (n > BOOT_MAX_BYTES) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the configuration is too large");
    }
    uint8_t *text = mln_new(cx, (size_t)n);
    if (text == NULL) {
        return mln_cx_err(cx);
    }
    MLN_TRY(mln_fd_pread(cx, mine, text, (size_t)n, 0));
    return mln_cbor_parse(cx, mln_bytes_at(text, (size_t)n), ret);
}

void boot_log(const struct mln_value *boot, const char *process)
{
    int64_t level = mln_get_int(mln_get(boot, "log_level"), MLN_LOG_INFO);
    bool is_json = mln_get_bool(mln_get(boot, "log_json"), false);
    mln_log_setup(process, (enum mln_log_level)level, is_json ? MLN_LOG_JSON : MLN_LOG_TEXT);
}
