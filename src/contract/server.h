/* SPDX-License-Identifier: Apache-2.0 */
/* How a server is started: what the command line hands to main (contract with mln_cli_hooks.server_run). Strings are borrowed. */
#pragma once

#include "base/value.h"

struct mln_server_options {
    const char *config_file;        /* YAML; NULL with is_dev */
    bool is_dev;                    /* temporary data folder, loopback, unsealed, a root token */
    const char *dev_listen_address; /* "127.0.0.1:8200"; port 0 = any free one, printed */
    const char *dev_root_token_id;  /* NULL = random */
    bool dev_tls;                   /* make a certificate */
    const char *data_dir;           /* overrides the configuration's; with is_dev: keep data here */
    const char *trust_domain;       /* whose workload identities it issues: "example.org"; NULL = the configuration's */
    int64_t rekey_per_minute;       /* how often a crashed core is re-keyed; 0 = never; default 3 */
    const char *spiffe_socket;      /* Unix socket of the Workload API; overrides the configuration's; NULL = none */
    const char *spiffe_bundle_endpoint; /* address of an endpoint of https_spiffe; NULL = none but the configuration's */
    const char *log_level;          /* "info" */
    const char *log_format;         /* "text" or "json" */
};

/* How a node is started: `merlon node run`. Strings are borrowed; NULL = not given. */
struct mln_node_options {
    const char *server, *ca_file; /* "https://server:8200" */
    const char *socket, *data_dir;
    const char *join_token_file;
    const char *cert_file, *key_file;       /* x509pop: chain and key, PEM */
    const char *cluster, *psat_token_file;  /* k8s_psat */
    const char *attest_file;                /* settings of attestors, YAML, as a server's spiffe.attest */
    const char *log_level, *log_format;
};

/* How a SPIFFE proxy is started: `merlon proxy`. NULL = not given; flags win over the file. */
struct mln_proxy_options {
    const char *config_file; /* or a listener by flags: */
    const char *listen, *target;
    const struct mln_value *allow, *server_ids, *alpn; /* arrays of texts */
    const char *workload_socket, *spiffe_id;
    const char *workload_environment; /* SPIFFE_ENDPOINT_SOCKET: when neither flag nor file says */
    const char *records, *metrics;
    const char *log_level, *log_format;
};

struct mln_rego_data; /* rego/rego.h */

/* A policy as it was read from its file. */
struct mln_rego_source {
    const char *name;
    struct mln_bytes text;
};

/* How a server of policies alone is started (mln_cli_hooks.rego_run). */
struct mln_rego_server_options {
    const char *address; /* "127.0.0.1:8181"; port 0 = any free one, printed */
    bool is_v0;          /* reads policies as of OPA's v0 */
    const struct mln_rego_source *modules;
    size_t n_modules;
    struct mln_rego_data *data; /* taken over; NULL: empty */
    int64_t threads;            /* 0 = one a CPU, at most 64 */
    int64_t time_s;             /* one evaluation may take; 0 = no limit */
    const char *log_level;
    const char *log_format;
};
