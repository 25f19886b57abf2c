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
    const char *tpm;                        /* device, or a name of tpm2-tss */
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
struct mln_bundle;    /* rego/bundle.h */
struct mln_cx;

/* A policy as it was read from its file. */
struct mln_rego_source {
    const char *name;
    struct mln_bytes text;
};
struct mln_rego_named_bundle {
    const char *name;
    struct mln_bundle *bundle;
};

/* Who is asking? identity of input in data.system.authz.allow: the bearer token, or the subject of the client's certificate. */
enum mln_rego_authentication { MLN_REGO_AUTHENTICATION_OFF, MLN_REGO_AUTHENTICATION_TOKEN, MLN_REGO_AUTHENTICATION_TLS };

/* How a server of policies alone is started (mln_cli_hooks.rego_run). Lists of texts end with NULL; each may be NULL. */
struct mln_rego_server_options {
    const char *const *addresses;   /* "127.0.0.1:8181", "unix:///run/x.sock"; port 0 = any free one, printed */
    const char *const *diagnostics; /* addresses for health and metrics only */
    bool is_v0;                     /* reads policies as of OPA's v0 */
    const struct mln_rego_source *modules;
    size_t n_modules;
    struct mln_rego_data *data; /* taken over; NULL: empty */
    const struct mln_rego_named_bundle *bundles; /* each is taken over */
    size_t n_bundles;
    const struct mln_value *config; /* OPA's configuration; NULL: none */
    enum mln_rego_authentication authentication;
    bool is_authorized;             /* data.system.authz.allow is asked about each request */
    const char *tls_cert_file, *tls_key_file, *tls_ca_file;
    int64_t threads;            /* 0 = one a CPU, at most 64 */
    int64_t time_s;             /* one evaluation may take; 0 = no limit */
    int64_t grace_s;            /* requests in flight may take, at the end */
    int64_t ready_timeout_s;    /* bundles are waited for before it listens; 0: they are not */
    const char *const *watched, *const *watched_bundles;
    struct mln_err (*reload)(void *arg, struct mln_cx *cx, struct mln_buf *ret_packed); /* the watched files as a bundle */
    void *reload_arg;
    const char *log_level;
    const char *log_format;
};
