/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a process: attestors look at it and give selectors, texts "type:value" such as "unix:uid:1000". Each attestor is one
 * file and one line in attestor.def. They run in the attest process, which may read more of /proc than others and hears no stranger.
 *
 * A selector only ever adds: where an attestor cannot see (rights, no kubelet), its selectors are absent, and entries that ask for
 * them do not match. Only when an attestor that was switched on cannot tell for now is the whole attestation put off (UNREACHABLE).
 */
#pragma once

#include "base/value.h"

#define MLN_ATTEST_TEXT_MAX (64u << 10) /* of one file below /proc/PID: cgroup, status */

struct mln_attest_cache; /* digests of programs; a lock of its own */
struct mln_attest_cache *mln_attest_cache_new(void); /* NULL: no memory */
void mln_attest_cache_free(struct mln_attest_cache *cache);

struct mln_attest_config {
    const struct mln_value *settings; /* the configuration's spiffe.attest: {"unix": {...}, ...}; NULL = all defaults */
    struct mln_attest_cache *cache;
    const char *proc; /* "/proc"; tests have their own */
    const char *etc;  /* "/etc": passwd and group */
    uint32_t owner;   /* whose files are believed besides root's: the server's user; 0 when it was started by root */
    /* Selectors of a pod's container, array of texts; NULL = there is no kubelet. errors UNREACHABLE, NOT_FOUND. Any thread */
    struct mln_err (*pod)(void *arg, struct mln_cx *cx, const char *pod, const char *container, const struct mln_value **ret);
    void *arg;
    /* Selectors of a container of dockerd's, likewise. errors UNREACHABLE, NOT_FOUND. Any thread */
    struct mln_err (*docker)(void *arg, struct mln_cx *cx, const char *container, const struct mln_value **ret);
    void *docker_arg;
};

/* One process under inspection. proc_fd stays that process's folder: /proc of a number that is given away fails, it never changes. */
struct mln_attest_target {
    int proc_fd; /* /proc/PID */
    int64_t pid;
    uint32_t uid, gid; /* of the socket's other end when it connected */
    struct mln_bytes cgroup; /* text of /proc/PID/cgroup, read once; empty when it could not be read */
    const struct mln_attest_config *config;
};

struct mln_attestor {
    const char *name; /* of its settings, too: spiffe.attest.<name> */
    const char *summary;
    bool is_optional; /* off unless its settings are there */
    struct mln_err (*look)(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors);
    /* Settings are what it takes? NULL = it has none. errors INVALID */
    struct mln_err (*check)(struct mln_cx *cx, const struct mln_value *settings);
};
extern const struct mln_attestor *const mln_attestors[]; /* of attestor.def; ends with NULL */

/* Known attestors with known settings only. errors INVALID, the text names the key */
struct mln_err mln_attest_check(struct mln_cx *cx, const struct mln_value *settings);
/* This attestor's settings; NULL = none given. */
const struct mln_value *mln_attest_settings(const struct mln_attest_target *target, const char *name);

/*
 * All selectors of a process, sorted and each once.
 * pidfd   keeps the process from being taken for another: it must live at the end as at the beginning
 * errors  DENIED (it has ended, or its number is another process's), UNREACHABLE (an attestor cannot tell now)
 */
struct mln_attest_who {
    int pidfd;
    int64_t pid;
    uint32_t uid, gid;
    /* pidfd was opened by number, not given by the socket: then the process must be the user's and have begun before this time. */
    bool is_by_number;
    int64_t connected_by_ns; /* CLOCK_BOOTTIME */
};
struct mln_err mln_attest(struct mln_cx *cx, const struct mln_attest_config *config, const struct mln_attest_who *who,
                          const struct mln_value **ret);

/* ---- helpers of attestors (attest_proc.c) ---- */
/* A whole file below the process's folder. errors NOT_FOUND, DENIED, TOO_LARGE, IO */
struct mln_err mln_attest_read(struct mln_cx *cx, const struct mln_attest_target *target, const char *name, size_t max,
                               struct mln_bytes *ret);
/* Push "type:value"; a value that is empty, too long, no UTF-8 or has control characters is left out. */
void mln_attest_push(struct mln_cx *cx, struct mln_value *selectors, const char *type, struct mln_bytes value);
/* "type:key:value", likewise. */
void mln_attest_push_pair(struct mln_cx *cx, struct mln_value *selectors, const char *type, struct mln_bytes key, struct mln_bytes value);

/* ---- Kubernetes (attest_kubernetes.c) ---- */
/* Selectors of the container, of the kubelet's list of pods (GET /pods). errors NOT_FOUND (no such pod or container yet), PARSE */
struct mln_err mln_attest_pods_parse(struct mln_cx *cx, struct mln_bytes json, const char *pod, const char *container,
                                     struct mln_value *selectors);

/* ---- Docker (attest_docker.c) ---- */
#define MLN_DOCKER_SOCKET     "/var/run/docker.sock"
#define MLN_DOCKER_SOCKET_MAX 100u /* of a socket's path: the kernel's limit is 107 */
/* Selectors of what dockerd says of this container (GET /containers/ID/json). errors PARSE */
struct mln_err mln_attest_docker_parse(struct mln_cx *cx, struct mln_bytes json, const char *container, struct mln_value *selectors);

/* ---- models (attest_model.c) ---- */
/*
 * A record says that one process was started with one signed release, and what of its files was seen when they were verified. It is
 * "<folder>/<pid>", JSON: {"format","pid","started_ns","boot","pid_namespace","model","root","name","signers":[texts],
 * "watch":[[path,device,inode,size,mtime_ns,ctime_ns],...]}. Who may write the folder says who was started with what; that is root.
 */
#define MLN_MODEL_RECORDS    "/run/merlon/models"
#define MLN_MODEL_RECORD_MAX (1u << 20) /* some 8,000 files */
#define MLN_MODEL_FORMAT     "merlon-model-1"
/* Put which process this is into a record. errors IO */
struct mln_err mln_attest_model_self(struct mln_cx *cx, const char *proc, struct mln_value *record);
/* Push one thing to watch: a file or folder below the model's folder ("" = itself), as it is now. errors NOT_FOUND, DENIED (it is neither
 * root's nor the owner's, or group or others may write it) */
struct mln_err mln_attest_model_watch(struct mln_cx *cx, int model_fd, const char *path, uint32_t owner, struct mln_value *watch);
/* Is that record of a process that lives? For who clears the folder. */
bool mln_attest_model_lives(struct mln_cx *cx, const char *proc, struct mln_bytes record);
