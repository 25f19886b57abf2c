/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kinds of process of a server share: how each is started, hardened and told its task.
 * A child gets its descriptors by number and its configuration as CBOR in a sealed memfd.
 */
#pragma once

#include <sys/types.h>

#include "base/value.h"
#include "main/config.h"
#include "net/ring.h"
#include "net/tls_sign.h"

/* Descriptors of a child, by number. */
#define FD_BOOT    3 /* memfd: configuration */
#define FD_CONTROL 4 /* core, box: socket to monitor; front: readable when it shall stop; reach, attest: socket to core */
#define FD_STATE   5 /* front, reach, attest: its sandbox line goes here */
#define FD_MORE    6 /* front: hand-over of the workload socket, if any, then listeners, then three a ring; attest: socket to monitor */

#define BOOT_MAX_BYTES (8u << 20) /* certificates of all listeners and room to spare */

/* ---- harden.c ---- */
/*
 * Non-dumpable, no core file, no-new-privs; in test builds $MERLON_TEST_DUMPABLE=1 leaves it
 * dumpable.
 */
void harden_process(void);
/* Name of this process as ps and top show it. */
void name_process(const char *name);
/* An ordinary user from here on, when started as root. errors INTERNAL */
struct mln_err drop_root(struct mln_cx *cx);
/* One further group stays, unless it is root's. */
struct mln_err drop_root_but(struct mln_cx *cx, gid_t group);
/* The same, but the rights to read other users' files and /proc stay. errors INTERNAL */
struct mln_err keep_only_looking(struct mln_cx *cx);
/* This process ends when its parent does; false = the parent (pid) is gone already. */
bool die_with_parent(pid_t parent);
/* As many descriptors as the administrator allows. */
void raise_descriptors(void);
/* Can request data be kept in locked memory? (RLIMIT_MEMLOCK leaves an ordinary user 8 MiB.) */
bool can_lock_much(void);

/* ---- boot.c ---- */
struct mln_err boot_write(struct mln_cx *cx, const struct mln_value *value,
                          int *ret_fd);                                            /* memfd */
struct mln_err boot_read(struct mln_cx *cx, int fd, const struct mln_value **ret); /* closes fd */
/* Log set-up as the boot value says; `process` is borrowed. */
void boot_log(const struct mln_value *boot, const char *process);

/* ---- spawn.c ---- */
/* Start /proc/self/exe as `name`; descriptors fds[i] become FD_BOOT + i, all others are closed. */
struct mln_err spawn(struct mln_cx *cx, const char *name, const int *fds, unsigned n,
                     pid_t *ret_pid);

/* ---- tls_files.c ---- */
/* P-256 private key file of a listener into locked memory. errors NOT_FOUND, INVALID, ... */
/* ret: 32 bytes of a P-256 scalar, or an enum mln_akey as a byte and that key's private DER (P-384, RSA). */
/* A key that is in memory, for tls_key_sign: P-256, P-384, RSA of 2048, 3072 or 4096 bits. INVALID */
struct mln_err tls_key_take(struct mln_cx *cx, struct mln_bytes pkcs8, struct mln_secret *ret);
struct mln_err tls_key_load(struct mln_cx *cx, const char *path, struct mln_secret *ret);
/* Sign a handshake's input with it. INVALID when the key does not sign in this way. */
struct mln_err tls_key_sign(struct mln_cx *cx, const struct mln_secret *key, enum mln_tls_how how, struct mln_bytes input,
                            struct mln_buf *sig);
/* Does the first certificate of the chain carry this key? errors INVALID */
struct mln_err tls_key_fits(struct mln_cx *cx, const struct mln_secret *key,
                            struct mln_bytes cert_pem);
/* --dev-tls: a fresh key and certificate for `host` as files in `dir`. Paths in the arena. */
struct mln_err tls_files_make(struct mln_cx *cx, const char *dir, const char *host,
                              const char **ret_cert, const char **ret_key);

/* ---- workload_socket.c ---- */
/*
 * Listen at a Unix socket that everybody on this machine may connect to. Its folder is made when it is not there; what a server that
 * ended left is replaced, a socket that answers and anything else is not. errors EXISTS, INVALID, DENIED, IO
 */
struct mln_err workload_socket_open(struct mln_cx *cx, const char *path, int *ret);
/* The same for any Unix socket, with this mode. */
struct mln_err unix_socket_open(struct mln_cx *cx, const char *path, unsigned mode, int *ret);
void workload_socket_close(const char *path, int *fd); /* and remove it, when it is still ours */

/* ---- the processes ---- */
int server_run(const struct mln_server_options *options); /* becomes the monitor */
/* Listen at an address; *ret_url in the arena. server.c */
struct mln_err server_listen(struct mln_cx *cx, const char *address, int *ret_fd, const char **ret_url);
/* Serves policies alone until it is told to stop. */
struct mln_err rego_run(struct mln_cx *cx, const struct mln_rego_server_options *options, int *ret_code);
int core_main(void);
int front_main(void);
int reach_main(void);
int attest_main(void);
int node_run(const struct mln_node_options *options); /* becomes the monitor of a node */
int node_main(void);
/* argv of the program, for name_process; set once by main(). */
void name_keep(int argc, char **argv);
