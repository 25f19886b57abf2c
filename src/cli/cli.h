/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: `merlon <noun> <verb> [flags] [args]`. Each noun is one file that ends in descriptors, plus one line a command in
 * command.def; dispatch, help, man pages and completion come from them. stdout is the answer, stderr everything else.
 */
#pragma once

#include "base/value.h"

struct mln_cli;
struct mln_server_options; /* contract/server.h */
struct mln_node_options;   /* the same */
struct mln_rego_server_options;
struct mln_proxy_options;

enum mln_flag_kind { MLN_FLAG_BOOL, MLN_FLAG_TEXT, MLN_FLAG_INT, MLN_FLAG_LIST };

struct mln_flag {
    const char *name;        /* without dashes */
    enum mln_flag_kind kind;
    const char *placeholder; /* "FILE"; NULL for booleans */
    const char *fallback;    /* shown as default and used; NULL = absent */
    const char *help;
};

struct mln_command {
    const char *noun;
    const char *verb;              /* NULL: the noun itself is the command */
    const char *summary;           /* one sentence, imperative, no full stop */
    const char *args;              /* "PATH [KEY=VALUE...]"; "" for none */
    const char *const *examples;   /* ends with NULL; at most three are shown */
    const struct mln_flag *flags;  /* ends with {0}; NULL = none of its own */
    unsigned min_args, max_args;   /* max 0 with min 0: none */
    bool is_local;                 /* never talks to a server: connection flags are not shown */
    const char *more;              /* a paragraph for help and man, may be NULL */
    const char *const *letters;    /* short forms of its flags in pairs: "d", "data", ..., NULL; may be NULL */
    struct mln_err (*run)(struct mln_cli *cli);
};

/* What main lends to the command line. */
struct mln_cli_hooks {
    int (*server_run)(const struct mln_server_options *options);
    int (*node_run)(const struct mln_node_options *options);
    int (*proxy_run)(const struct mln_proxy_options *options);
    struct mln_err (*rego_run)(struct mln_cx *cx, const struct mln_rego_server_options *options, int *ret_code);
};

/* The whole program's command side; returns the exit code. */
int mln_cli_main(int argc, char **argv, const struct mln_cli_hooks *hooks);

extern const struct mln_command *const mln_commands[]; /* command.def, ends with NULL */
