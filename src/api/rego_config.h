/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a server of policies, by OPA's names (its documentation, "Configuration"): where bundles come from, where
 * decisions and the server's state are reported, which keys sign. Read once into plain structs; views live as long as the value.
 */
#pragma once

#include "rego/bundle.h"

#define REGO_SERVICES_MAX 64u   /* places of bundles and reports; teams have a few */
#define REGO_BUNDLES_MAX  64u   /* each has a thread of the feeder */
#define REGO_DELAY_MIN_S  60    /* OPA's defaults of polling */
#define REGO_DELAY_MAX_S  120
#define REGO_LONG_POLL_MAX_S 55 /* an outbound call ends after a minute */
#define REGO_CONFIG_MAX   ((size_t)4 << 20) /* of the file; keys stand in it */

struct rego_service {
    const char *name, *url;
    const struct mln_value *headers;      /* object of texts; may be NULL */
    const char *token, *token_path;       /* bearer; at most one */
    const char *scheme;                   /* "Bearer" */
    const char *ca_file, *cert_file, *key_file;
    bool is_insecure;                     /* TLS is not verified: tests */
    int64_t timeout_s;
};
struct rego_polling {
    int64_t min_s, max_s, long_poll_s;    /* long_poll_s 0: the service is not asked to wait */
};
struct rego_bundle_config {
    const char *name, *service, *resource;
    const char *path;                     /* of a file or folder on this machine, NULL: from the service */
    bool persists;
    struct rego_polling polling;
    size_t size_max;
    const char *key_id, *scope;
    const char *const *exclude;
    bool is_signed;                       /* "signing" is there: a bundle without signatures is refused */
};
struct rego_report_config {
    bool is_on, is_console, is_prometheus;
    const char *service, *resource;       /* service NULL: not uploaded */
    int64_t min_s, max_s;
    size_t buffer_max, upload_max;        /* bytes */
    int64_t per_second_max;               /* decisions; 0: no limit */
    const char *mask, *drop;              /* "system/log/mask": data paths */
    const struct mln_value *headers;      /* of requests, to be logged */
};
struct rego_config {
    const struct mln_value *raw;          /* an object */
    struct rego_service services[REGO_SERVICES_MAX];
    size_t n_services;
    struct rego_bundle_config bundles[REGO_BUNDLES_MAX];
    size_t n_bundles;
    struct mln_bundle_key keys[MLN_BUNDLE_KEYS_MAX];
    size_t n_keys;
    struct rego_report_config decisions, status;
    struct rego_bundle_config discovery;  /* name NULL: none */
    const char *discovery_decision;       /* data path */
    const struct mln_value *labels;       /* object of texts; may be NULL */
    const char *default_decision, *default_authorization; /* data paths without the slash in front */
    const char *persistence;              /* folder */
    bool has_nd_cache;
    int64_t gzip_min;                     /* answers from this length on are packed for who takes it */
};

/*
 * raw      a value that outlives the configuration; NULL: nothing is configured
 * errors   INVALID: names the member. Members that OPA has and this server has not are said in the log by the caller
 *          (rego_config_unknown).
 */
struct mln_err rego_config_read(struct mln_cx *cx, const struct mln_value *raw, struct rego_config *ret);
const struct rego_service *rego_config_service(const struct rego_config *config, const char *name);
/* The i-th member of the top that nothing is done with; NULL: no more. */
const char *rego_config_unknown(struct mln_cx *cx, const struct rego_config *config, size_t i);
/* How bundles of this configuration are read. */
struct mln_bundle_verify rego_config_verify(const struct rego_config *config, const struct rego_bundle_config *bundle);
/* The configuration as /v1/config shows it: credentials of services and private halves of keys are left out. */
const struct mln_value *rego_config_shown(struct mln_cx *cx, const struct rego_config *config);
/* `more` over `base`: objects are merged member by member, all else is replaced. */
const struct mln_value *rego_config_merge(struct mln_cx *cx, const struct mln_value *base, const struct mln_value *more,
                                          unsigned depth);
