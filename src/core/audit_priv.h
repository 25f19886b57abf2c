/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit devices: two lines a request, to files, sockets or syslog, in the shape that Vault's tools read. They stand beside the
 * ledger, which is what this server itself trusts. The rule when a device fails: a line is written when at least one enabled
 * device took it; when none did, the request fails (before its transaction is committed, if it has one). A device has 2 s to take a
 * line; while one write of it is stuck, others fail at once instead of waiting. docs/audit.md
 *
 * Rows in view "root/audit/": "<path>" {"type", "description", "options", "local", "salt": 32 bytes, "id", "declared"}.
 */
#pragma once

#include "core/core_priv.h"

#define AUDIT_DEVICES_MAX 16u                 /* each line is built and written for each */
#define AUDIT_WAIT_NS     ((int64_t)2000000000) /* what a device may take for a line */
#define AUDIT_LINE_MAX    ((size_t)256 << 20) /* of one request's lines: the largest answer is 64 MB of JSON */

enum audit_kind { AUDIT_FILE, AUDIT_SOCKET, AUDIT_SYSLOG };

/* Texts are in the arena of who read them, or the device's own copies. */
struct audit_options {
    enum audit_kind kind;
    const char *target;      /* path of a file or socket, "stdout", or an address "127.0.0.1:514" */
    const char *socket_type; /* "tcp", "udp", "unix", "unixgram" */
    const char *tag;         /* of syslog */
    const char *prefix;      /* before each line */
    unsigned mode;           /* of a new file; 0 = as it is */
    int priority;            /* of syslog: facility * 8 + severity */
    bool is_jsonx, log_raw, hmac_accessor, elide_lists;
};
/* data_dir: where no device may write. errors INVALID with Vault's texts */
struct mln_err audit_options_read(struct mln_cx *cx, const char *data_dir, const char *type, const struct mln_value *options,
                                  struct audit_options *ret);

/* ---- audit_device.c: one open device; shared by threads, counted ---- */
struct audit_device {
    const char *path, *id; /* own copies, as all texts of options */
    struct audit_options options;
    uint8_t salt[32];
    atomic_uint users;
    atomic_bool must_reopen;
    atomic_llong busy_since_ns; /* of the write that runs; 0 = none */
    pthread_mutex_t lock;       /* of all below: held while a line is written */
    int fd;
    bool is_torn; /* the last line is there in part */
    bool has_failed; /* said so in the log */
};
struct audit_device *audit_device_new(const char *path, const char *id, const struct audit_options *options, const uint8_t salt[32]);
void audit_device_hold(struct audit_device *device);
void audit_device_release(struct audit_device *device); /* the last one closes and wipes */
/* Can it be opened? For who enables it. errors INVALID */
struct mln_err audit_device_try(struct mln_cx *cx, const struct audit_options *options);
/* All lines (each ends in a new line) within AUDIT_WAIT_NS, or false. block is called before a wait. */
bool audit_device_write(struct audit_device *device, struct mln_bytes lines, void (*block)(void *arg), void *arg);

/* ---- audit_entry.c: what a line says ---- */
void audit_mac(const struct audit_device *device, struct mln_bytes text, char to[64 + 13]); /* "hmac-sha256:<hex>" */
/* Append the line of a request (before the engine) or of its answer. error: NULL = none */
void audit_entry_request(struct mln_run *run, const struct audit_device *device, const char *error, struct mln_buf *to);
void audit_entry_response(struct mln_run *run, const struct audit_device *device, const char *error, struct mln_buf *to);

/* ---- audit.c: all devices of this core, and a request's way past them: core_priv.h ---- */
struct mln_audit {
    pthread_mutex_t lock;
    struct audit_device *devices[AUDIT_DEVICES_MAX];
    atomic_uint n;
    pthread_rwlock_t headers_lock;
    struct mln_arena *headers_arena;
    const struct mln_value *headers; /* {"x-name": {"hmac": bool}}, NULL = none */
};

/* ---- audit_headers.c: request headers that lines show ---- */
struct mln_err audit_headers_load(struct mln_cx *cx, struct mln_txn *txn, struct mln_audit *audit);
void audit_headers_forget(struct mln_audit *audit);
/* {"x-name": [values]} of those that were sent, hashed where it is said so; NULL = none. In the arena of cx. */
const struct mln_value *audit_headers_shown(struct mln_cx *cx, struct mln_audit *audit,
                                            const struct audit_device *device, const struct mln_value *sent);
/* Rows as values, by path: {"<path>": row}. */
struct mln_err audit_rows(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret);
struct mln_err audit_row_put(struct mln_cx *cx, struct mln_txn *txn, const char *path, const struct mln_value *row);
struct mln_err audit_row_delete(struct mln_cx *cx, struct mln_txn *txn, const char *path);
/* A new row with salt and id. */
struct mln_value *audit_row_new(struct mln_cx *cx, const char *type, const struct mln_value *options, const char *description);
