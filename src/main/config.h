/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server is to do: merlon.yaml (docs/server.md) and the flags of `merlon server`, checked
 * and put together. Read once, before anything is started, by the process that the administrator
 * started.
 */
#pragma once

#include <netinet/in.h>

#include "barrier/seal.h"
#include "base/log.h"
#include "contract/server.h"

#define SERVER_CONFIG_MAX_BYTES (1u << 20) /* of merlon.yaml: a page or two in practice */
#define SERVER_LISTENERS_MAX    16u        /* as MLN_FRONT_LISTENERS_MAX */

struct server_address {
    struct sockaddr_storage sock;
    socklen_t len;
    const char *text; /* as written */
};
struct server_listener {
    struct server_address address;
    bool is_tls;
    const char *cert_file, *key_file; /* NULL: --dev-tls makes them */
    const char *client_ca_file;       /* verify clients' certificates here already; NULL: no */
    bool shows_svid;  /* its certificate is an SVID of the trust domain, given by core for each handshake */
    bool only_bundle; /* a bundle endpoint: nothing else is served there */
    bool asks_certs; /* ask for a certificate, take any or none: auth methods judge it */
    bool no_unauthed_rekey, no_unauthed_root; /* sys/rekey, sys/generate-root: off unless said otherwise */
};
/* Texts are NUL-ended, in the arena of the context or borrowed from the options. */
struct server_config {
    const char *data_dir; /* NULL with is_dev: a temporary folder */
    struct server_listener listeners[SERVER_LISTENERS_MAX];
    unsigned n_listeners;
    enum mln_seal_kind seal;
    const char *keyfile; /* MLN_SEAL_KEYFILE; NULL with is_dev: "unseal.key" in the data folder */
    const char *origin;
    bool durable_reads;
    int64_t default_ttl_s, max_ttl_s; /* 0 = core's default */
    enum mln_log_level log_level;
    enum mln_log_form log_form;
    bool is_dev, dev_tls;
    const char *root_token; /* --dev-root-token-id; NULL = random */
    unsigned rekey_per_minute;
    const struct mln_value *audit; /* array of {"path","type","description","options"}; NULL = none */
    bool audit_by_api;             /* sys/audit may enable devices; always with --dev */
    bool is_temporary;             /* storage "inmem": a folder that is removed at the end */
    const struct mln_value *warnings; /* array of texts: what the file says that means nothing here; may be NULL */
    const char *spiffe_socket;       /* of the Workload API; NULL = none */
    const struct mln_value *attest;  /* settings of attestors (identity/attest.h) */
    const char *trust_domain;        /* of the workload identities that it issues; NULL = the store's */
    const struct mln_value *reach_allow; /* patterns of net/reach.h; NULL = everything but link-local */
};

/*
 * The text of a configuration: merlon.yaml, or the HCL or JSON of a Vault or OpenBao server (which is so by its keys: listener,
 * storage or backend). Of merlon.yaml unknown keys are refused by name, for a mistyped key must not turn a protection off in silence;
 * of the others they are in ret->warnings.
 * dev_tls   a listener without certificate is not an error: one is made
 * errors    PARSE, INVALID, UNSUPPORTED (a storage, seal or listener that is not served): the text names the key
 */
struct mln_err server_config_parse(struct mln_cx *cx, struct mln_bytes text, bool dev_tls,
                                   struct server_config *ret);
/* config_vault.c: is it one of theirs, and as merlon.yaml would have it (with "temporary": true for storage "inmem"). */
bool server_config_is_vault(const struct mln_value *all);
struct mln_err server_config_from_vault(struct mln_cx *cx, const struct mln_value *all, const struct mln_value **ret,
                                        struct mln_value *warnings);
/* The file that the options name, or none with --dev; flags win over the file. */
struct mln_err server_config_load(struct mln_cx *cx, const struct mln_server_options *options,
                                  struct server_config *ret);
/* "127.0.0.1:8200", "[::1]:8200", "localhost:8200"; port 0 = any free one. errors INVALID */
struct mln_err server_address_parse(struct mln_cx *cx, const char *text,
                                    struct server_address *ret);
