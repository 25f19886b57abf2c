/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the key-value engine share. Layout: docs/engine-kv.md.
 *
 *   config              object of the mount's settings
 *   d/<path>            array: settings and history of the secret, and the value of its newest version
 *   v/<path>/<8 hex>    the value of an older version
 *   r/<path>            array: format, when it was written, the value: a secret of a mount of version 1
 *
 * The newest version lies in the row of its history, so that the common read is one get. After a mount was upgraded to version 2
 * a row of version 1 reads as the first version of its secret; the first change of the secret moves it.
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"

#define KV_VERSIONS_DEFAULT 10 /* Vault's */
#define KV_VERSIONS_MAX     100000 /* a history is read with every access: keep its row small */
#define KV_CUSTOM_KEYS_MAX  64
#define KV_CUSTOM_KEY_MAX   128
#define KV_CUSTOM_VALUE_MAX 512

struct kv_version {
    int64_t created_ns, deletion_ns; /* deletion 0 = none; in the future = at that time */
    bool is_destroyed;
};

/* A secret: `versions[i]` is number first + i; the last one is `current`. */
struct kv_row {
    struct mln_bytes path;
    bool is_there;
    bool is_old; /* read from a row of version 1, which goes when this is stored */
    int64_t current, first, oldest; /* oldest: as answers show it, 0 until something was pruned */
    int64_t created_ns, updated_ns, max_versions, delete_after_s, meta_version;
    bool cas_required, meta_cas_required;
    const struct mln_value *custom; /* object or NULL */
    struct kv_version *versions;
    size_t n;
    const struct mln_value *data; /* of `current`; NULL when destroyed */
};

struct kv_config {
    int64_t max_versions, delete_after_s;
    bool cas_required, meta_cas_required;
};

extern const struct mln_engine kv_version_1; /* kv_v1.c */

/* ---- kv_plain.c: secrets without versions (version 1, cubbyhole), each one row at `at` below the mount ---- */
/* Every text of the copy carries the secret mark, so that no log can show it. */
struct mln_value *kv_mark(struct mln_cx *cx, const struct mln_value *v);
struct mln_bytes kv_plain_key(struct mln_cx *cx, const char *head, struct mln_bytes path); /* head, path */
/* NOT_FOUND (bare) when absent. */
struct mln_err kv_plain_load(struct mln_request *rq, struct mln_bytes at, int64_t *ret_written_ns, const struct mln_value **ret);
/* The handlers' common part; a write stores the whole body. */
struct mln_err kv_plain_read(struct mln_request *rq, struct mln_reply *re, struct mln_bytes at);
struct mln_err kv_plain_write(struct mln_request *rq, struct mln_reply *re, struct mln_bytes at);
struct mln_err kv_plain_remove(struct mln_request *rq, struct mln_reply *re, struct mln_bytes at);
struct mln_err kv_plain_exists(struct mln_request *rq, struct mln_bytes at, bool *ret);
struct mln_bytes kv_plain_folder(struct mln_cx *cx, const char *head, struct mln_bytes path); /* what to list: head, path, a slash */
struct mln_err kv_plain_list(struct mln_request *rq, struct mln_reply *re, struct mln_bytes prefix);
/* A list's answer: the part of the sorted keys that `after` and `limit` ask for; 404 when nothing is left. */
struct mln_err kv_page(struct mln_request *rq, const struct mln_value *keys, const struct mln_value **ret);
#define KV_FIELDS_PAGE                                                                             \
    {.name = "after", .type = MLN_FIELD_TEXT, .help = "Only names behind this one.", .is_query = true},            \
    {                                                                                              \
        .name = "limit", .type = MLN_FIELD_INT, .help = "At most so many names; 0 or less is all.", .is_query = true \
    }

/* ---- kv_row.c ---- */
struct mln_err kv_path(struct mln_request *rq, struct mln_bytes *ret); /* the captured path; INVALID when empty */
struct mln_err kv_load(struct mln_request *rq, struct mln_bytes path, struct kv_row *ret);
struct mln_err kv_store(struct mln_request *rq, const struct kv_row *row);
struct mln_err kv_config_load(struct mln_request *rq, struct kv_config *ret);
struct mln_err kv_config_store(struct mln_request *rq, const struct kv_config *config);
/* Number 0 is the newest. NULL when there is no such version. */
struct kv_version *kv_version_of(const struct kv_row *row, int64_t number);
bool kv_is_gone(const struct kv_version *v, int64_t now_ns); /* deleted or destroyed */
/*
 * When a version that is made or brought back now goes by itself; 0 = never. The shorter of the mount's and the secret's time; below
 * zero turns it off.
 */
int64_t kv_deletion_time(const struct kv_row *row, const struct kv_config *config, int64_t now_ns);
/* The value of a version: NOT_FOUND (bare) when destroyed. */
struct mln_err kv_value(struct mln_request *rq, const struct kv_row *row, int64_t number,
                        const struct mln_value **ret);
/* Append a version with this value; the newest before moves to its own row, the ones over the limit go. */
struct mln_err kv_append(struct mln_request *rq, struct kv_row *row, const struct kv_config *config,
                         const struct mln_value *data);
struct mln_err kv_destroy(struct mln_request *rq, struct kv_row *row, int64_t number);
struct mln_err kv_drop(struct mln_request *rq, const struct kv_row *row); /* all versions and the history */
const struct mln_value *kv_version_value(struct mln_request *rq, const struct kv_row *row, int64_t number);
struct mln_err kv_not_found(struct mln_reply *re); /* 404 without texts */
/* RFC 7396: `patch` over `old`; nulls remove. */
struct mln_value *kv_merge(struct mln_cx *cx, const struct mln_value *old, const struct mln_value *patch,
                           unsigned depth);

/* ---- kv_data.c, kv_meta.c: handlers ---- */
struct mln_err kv_data_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_data_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_data_patch(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_data_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_data_exists(struct mln_request *rq, bool *ret);
struct mln_err kv_delete_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_undelete_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_destroy_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_subkeys_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_meta_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_meta_write(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_meta_patch(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_meta_remove(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_meta_list_detailed(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_meta_exists(struct mln_request *rq, bool *ret);
struct mln_err kv_meta_list(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_config_read(struct mln_request *rq, struct mln_reply *re);
struct mln_err kv_config_write(struct mln_request *rq, struct mln_reply *re);
