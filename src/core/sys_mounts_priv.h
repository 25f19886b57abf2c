/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of mounts share: settings (sys_mount_config.c), listing (sys_ui.c), changes (sys_mounts.c), moves (sys_remount.c). */
#pragma once

#include "core/sys_priv.h"

#define SYS_AUTH            MLN_BYTES("auth/")
#define SYS_MOUNT_LIST_MAX  128u /* names in one setting: headers or members of one engine */
#define SYS_MOUNT_TTL_MAX_S (INT64_C(100) * 366 * 86400) /* keeps sums of times far from overflow */

/* Members of "config" when enabling; flat when tuning. */
extern const struct mln_field sys_mount_config_fields[];
/* Put parsed fields into a row; what was not given stays. INVALID */
struct mln_err sys_mount_configure(struct mln_request *rq, const struct mln_value *fields,
                                   struct mln_value *row, bool is_tune);
struct mln_value *sys_mount_show(struct mln_cx *cx, const struct mln_value *row);
struct mln_value *sys_mount_show_tune(struct mln_request *rq, const struct mln_value *row);
/* The row of a full path ("secret/", "auth/userpass/"); NULL when there is none. */
const struct mln_value *sys_mount_row(const struct mln_value *rows, struct mln_bytes path);
/* Mounts that every server has: they are neither unmounted nor moved. */
bool sys_mount_is_kept(struct mln_bytes path);
/* "kv", "/kv/" -> "kv/" in the arena; "" when nothing is left. */
struct mln_bytes sys_mount_clean(struct mln_cx *cx, struct mln_bytes path);
/* Does any rule of the caller allow something at or below the mount? (sys_ui.c) */
struct mln_err sys_may_use(struct mln_request *rq, struct mln_bytes mount, bool *ret);
