/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the monitor share: monitor.c has the loop, monitor_start.c starts the processes. */
#pragma once

#include <sys/types.h>

#include "artifact/box.h"
#include "main/control.h"
#include "main/monitor.h"
#include "main/peers.h"

#define REKEYS_KEPT    1000u
#define LINE_MAX_BYTES 128u

enum phase { PHASE_RUN, PHASE_STOP_FRONT, PHASE_STOP_CORE, PHASE_END };

struct child {
    pid_t pid; /* 0 = does not run */
    int64_t started_ns, due_ns;
    unsigned quick; /* deaths at the start in a row */
};
struct line {
    uint8_t bytes[LINE_MAX_BYTES];
    uint32_t len;
};

struct monitor {
    const struct monitor_config *config;
    struct mln_cx cx;
    struct peers *peers; /* NULL = no workload socket */
    struct child attest;
    int attest_fd, attest_state_fd, link_fd;
    bool peers_again; /* something could not be said yet */
    enum phase phase;
    int64_t deadline_ns; /* of the phase */
    int code;
    int signal_fd, control_fd, state_fd, reach_state_fd, stop_fd;
    struct child core, front, reach;
    struct mln_box *box;
    int64_t box_due_ns;
    uint64_t generation;
    bool core_ready, front_ready, was_announced;
    bool is_front_killed;   /* by us, with a core that died: no news */
    struct mln_secret root; /* {0} = sealed, or forgotten */
    bool was_unsealed;      /* then only we and people unseal: a key file would undo the limit */
    int64_t rekeys[REKEYS_KEPT]; /* when; the newest rekey_per_minute of them count */
    size_t n_rekeys;
    struct line front_line, box_line, reach_line;
    struct control_message message; /* the last one received; wiped after use */
    char *token;                    /* of development, until it was printed */
    char vkey[256];
    bool is_sealed;
};

/* A fault that ends nothing: logged and forgotten. */
void monitor_complain(struct monitor *m, struct mln_err err, const char *what);
/* Hand the root key to a core that was started anew, unless that happens too often. */
void monitor_rekey_core(struct monitor *m);
/* Tell core what a process says of its sandbox. */
void monitor_send_state(struct monitor *m, const char *process, const struct line *line);

/* One process each, with its sockets to core. Errors leave none behind: IO, MEMORY */
struct mln_err monitor_start_core(struct monitor *m);
struct mln_err monitor_start_front(struct monitor *m);
struct mln_err monitor_start_reach(struct monitor *m);
struct mln_err monitor_start_attest(struct monitor *m);
