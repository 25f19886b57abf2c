/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `merlon server`: reads the configuration, opens the listening sockets, writes down what core and
 * front are to do, then becomes the monitor.
 */
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "main/main_priv.h"
#include "main/monitor.h"
#include "net/front.h"

#define ARENA_BYTES   (4u * BOOT_MAX_BYTES)
#define PEM_MAX_BYTES (256u << 10) /* a chain, or a bundle of client authorities */
#define BACKLOG       4096
#define REMOVE_FDS    16 /* of nftw */
#define URL_MAX_BYTES 320u

struct server {
    struct server_config config;
    struct mln_cx cx;
    bool is_temporary; /* the data folder goes with us */
    const char *ca;    /* --dev-tls: its certificate */
    int sockets[SERVER_LISTENERS_MAX];
    int core_boot, front_boot, reach_boot, attest_boot;
    int workload; /* the Unix socket; -1 = none */
    unsigned n_rings;
    char url[SERVER_LISTENERS_MAX][URL_MAX_BYTES];
};

/* ---- the data folder ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static struct mln_err prepare_data(struct server *s)
{
    struct server_config *config = &s->config;
    struct mln_cx *cx = &s->cx;
    if (config->data_dir != NULL) {
        MLN_TRY(mln_dir_make(cx, config->data_dir, 0700));
    } else {
        char *dir = mln_new(cx, sizeof("/tmp/merlon-dev-XXXXXX"));
        MLN_TRY(mln_cx_err(cx));
        (void)snprintf(dir, sizeof("/tmp/merlon-dev-XXXXXX"), "/tmp/merlon-dev-XXXXXX");
        if (mkdtemp(dir) == NULL) {
            return mln_fail(cx, MLN_E_IO, "no folder in /tmp (errno %d)", errno);
        }
        config->data_dir = dir;
        s->is_temporary = true;
    }
    if (config->seal == MLN_SEAL_KEYFILE && config->keyfile == NULL) {
        config->keyfile = mln_text_format(cx, "%s/unseal.key", config->data_dir);
    }
    return mln_cx_err(cx);
}

/* ---- listeners ---- */

/* "127.0.0.1", "[::1]"; the host of an address as written. */
static const char *host_of(struct mln_cx *cx, const struct server_address *address)
{
    struct mln_bytes all = mln_bytes_of(address->text);
    size_t colon = all.len;
    for (size_t i = 0; i < all.len; i++) {
        colon = all.ptr[i] == ':' ? i : colon;
    }
    return mln_text_dup(cx, mln_bytes_sub(all, 0, colon));
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t n = sizeof(bound);
    uint16_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&bound, &n) == 0) {
        const uint8_t *bytes = (const uint8_t *)&bound;
        port = mln_get_u16be(bytes + 2); /* the same place in both families */
    }
    return port;
}

static struct mln_err open_socket(struct mln_cx *cx, const struct server_address *address, int *ret)
{
    int one = 1;
    MLN_AUTO(mln_fd_drop)
    int fd = socket(address->sock.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return mln_fail(cx, MLN_E_IO, "no socket for %s (errno %d)", address->text, errno);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->sock.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (bind(fd, (const struct sockaddr *)&address->sock, address->len) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int why = errno;
        return why == EADDRINUSE
                   ? mln_fail(cx, MLN_E_EXISTS, "%s is in use by another program", address->text)
                   : mln_fail(cx, MLN_E_IO, "cannot listen on %s (errno %d)", address->text, why);
    }
    *ret = fd;
    fd = -1;
    return MLN_OK;
}

struct mln_err server_listen(struct mln_cx *cx, const char *address, int *ret_fd, const char **ret_url)
{
    struct server_address at = {.text = address};
    MLN_TRY(server_address_parse(cx, address, &at));
    MLN_TRY(open_socket(cx, &at, ret_fd));
    *ret_url = mln_text_format(cx, "http://%s:%u", host_of(cx, &at), port_of(*ret_fd));
    return mln_cx_err(cx);
}

static struct mln_err open_listeners(struct server *s)
{
    struct mln_cx *cx = &s->cx;
    for (unsigned i = 0; i < s->config.n_listeners; i++) {
        struct server_listener *listener = &s->config.listeners[i];
        MLN_TRY(open_socket(cx, &listener->address, &s->sockets[i]));
        const char *host = host_of(cx, &listener->address);
        (void)snprintf(s->url[i], sizeof(s->url[i]), "http%s://%.*s:%u",
                       listener->is_tls ? "s" : "", MLN_FMT(mln_bytes_of(host)),
                       port_of(s->sockets[i]));
        if (listener->is_tls && listener->cert_file == NULL && !listener->shows_svid) {
            MLN_TRY(tls_files_make(cx, s->config.data_dir, host[0] == '[' ? NULL : host,
                                   &listener->cert_file, &listener->key_file));
            s->ca = listener->cert_file;
        }
    }
    return mln_cx_err(cx);
}

/* ---- what core and front are told ---- */

static struct mln_err read_pem(struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(cx, path, PEM_MAX_BYTES, &pem));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&pem));
    return mln_cx_err(cx);
}

/* Certificates are public and go to front; core alone is told where the keys lie. */
static struct mln_err tell_listener(struct mln_cx *cx, const struct server_listener *listener,
                                    struct mln_value *front, struct mln_value *core)
{
    struct mln_bytes cert = {0}, client_ca = {0};
    struct mln_value *f = mln_object(cx), *c = mln_object(cx);
    mln_put_bool(cx, f, "tls", listener->is_tls);
    if (listener->is_tls) {
        MLN_TRY(read_pem(cx, listener->cert_file, &cert));
        MLN_TRY(read_pem(cx, listener->client_ca_file, &client_ca));
        mln_put(cx, f, "cert", mln_blob(cx, cert));
        mln_put(cx, f, "client_ca", mln_blob(cx, client_ca));
        mln_put_bool(cx, f, "asks_certs", listener->asks_certs);
        mln_put_bool(cx, f, "svid", listener->shows_svid);
        mln_put_bool(cx, f, "bundle", listener->only_bundle);
        mln_put(cx, c, "cert", mln_blob(cx, cert));
        mln_put_text(cx, c, "key_file", listener->key_file);
    }
    mln_push(cx, front, f);
    mln_push(cx, core, c);
    return mln_cx_err(cx);
}

static void tell_all(struct server *s, struct mln_value *boot)
{
    mln_put_int(&s->cx, boot, "parent", getpid());
    mln_put_int(&s->cx, boot, "log_level", (int64_t)s->config.log_level);
    mln_put_bool(&s->cx, boot, "log_json", s->config.log_form == MLN_LOG_JSON);
}

static void tell_core(struct server *s, struct mln_value *boot)
{
    const struct server_config *config = &s->config;
    struct mln_cx *cx = &s->cx;
    mln_put_text(cx, boot, "data", config->data_dir);
    mln_put_text(cx, boot, "origin", config->origin);
    mln_put_text(cx, boot, "api_address", s->url[0]);
    mln_put_int(cx, boot, "seal", (int64_t)config->seal);
    mln_put_text(cx, boot, "keyfile", config->keyfile);
    mln_put_int(cx, boot, "default_ttl", config->default_ttl_s);
    mln_put_int(cx, boot, "max_ttl", config->max_ttl_s);
    mln_put_bool(cx, boot, "dev", config->is_dev);
    mln_put_bool(cx, boot, "durable_reads", config->durable_reads);
    mln_put_bool(cx, boot, "unauthed_rekey", !config->listeners[0].no_unauthed_rekey);
    mln_put_bool(cx, boot, "unauthed_root", !config->listeners[0].no_unauthed_root);
    mln_put_bool(cx, boot, "audit_by_api", config->audit_by_api);
    if (config->trust_domain != NULL) {
        mln_put_text(cx, boot, "trust_domain", config->trust_domain);
    }
    for (unsigned i = 0; i < config->n_listeners; i++) {
        if (config->listeners[i].shows_svid) {
            mln_put_bool(cx, boot, "shows_svid", true);
        }
    }
    if (config->audit != NULL) {
        mln_put(cx, boot, "audit", config->audit);
    }
    if (config->root_token != NULL) {
        mln_put(cx, boot, "root_token", mln_secret_string(cx, mln_bytes_of(config->root_token)));
    }
}

static struct mln_err write_boots(struct server *s)
{
    struct mln_cx *cx = &s->cx;
    struct mln_value *front = mln_object(cx), *core = mln_object(cx), *reach = mln_object(cx);
    struct mln_value *attest = mln_object(cx);
    struct mln_value *front_list = mln_array(cx), *core_list = mln_array(cx);
    for (unsigned i = 0; i < s->config.n_listeners; i++) {
        MLN_TRY(tell_listener(cx, &s->config.listeners[i], front_list, core_list));
    }
    tell_all(s, front);
    tell_all(s, core);
    tell_all(s, reach);
    tell_all(s, attest);
    mln_put(cx, attest, "attest", s->config.attest);
    mln_put_bool(cx, front, "workload", s->workload >= 0);
    mln_put(cx, reach, "allow", s->config.reach_allow);
    tell_core(s, core);
    mln_put(cx, front, "listeners", front_list);
    mln_put_int(cx, front, "rings", s->n_rings);
    mln_put(cx, core, "listeners", core_list);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(boot_write(cx, front, &s->front_boot));
    MLN_TRY(boot_write(cx, reach, &s->reach_boot));
    MLN_TRY(boot_write(cx, attest, &s->attest_boot));
    return boot_write(cx, core, &s->core_boot);
}

/* ---- the whole ---- */

static unsigned count_cpus(void)
{
    cpu_set_t all;
    int n = sched_getaffinity(0, sizeof(all), &all) == 0 ? CPU_COUNT(&all) : 1;
    n = n < 1 ? 1 : n;
    return n > (int)MLN_FRONT_THREADS_MAX ? MLN_FRONT_THREADS_MAX : (unsigned)n;
}

/* For a person, and for scripts that wait for the last line. */
static void say_ready(void *arg, bool is_sealed, const char *vkey, const char *token)
{
    const struct server *s = arg;
    for (unsigned i = 0; i < s->config.n_listeners; i++) {
        (void)printf("%s: %s\n", s->config.listeners[i].only_bundle ? "bundle endpoint" : "address", s->url[i]);
    }
    if (s->config.spiffe_socket != NULL) {
        (void)printf("workload socket: unix://%s\n", s->config.spiffe_socket);
    }
    if (s->ca != NULL) {
        (void)printf("ca certificate: %s\n", s->ca);
    }
    (void)printf("data: %s%s\n", s->config.data_dir,
                 s->is_temporary ? " (removed at the end)" : "");
    if (s->config.seal == MLN_SEAL_KEYFILE) {
        (void)printf("unseal: by the key file %s%s\n", s->config.keyfile,
                     s->config.is_dev ? " (for development: it lies beside the data)" : "");
    } else if (is_sealed) {
        (void)printf("sealed: run 'merlon operator unseal' (or 'merlon operator init' at first)\n");
    }
    if (token[0] != 0) {
        (void)printf("root token: %s\n", token);
    }
    if (vkey[0] != 0) {
        (void)printf("ledger key: %s\n", vkey);
    }
    (void)printf("ready\n");
    (void)fflush(stdout);
}

static struct mln_err prepare(struct server *s, const struct mln_server_options *options)
{
    MLN_TRY(server_config_load(&s->cx, options, &s->config));
    mln_log_setup("monitor", s->config.log_level, s->config.log_form);
    for (size_t i = 0; i < mln_len(s->config.warnings); i++) {
        mln_log(MLN_LOG_WARN, "main", "%s: %s", options->config_file, mln_get_text(&s->cx, mln_item(s->config.warnings, i), ""));
    }
    raise_descriptors();
    s->n_rings = count_cpus();
    MLN_TRY(prepare_data(s));
    MLN_TRY(open_listeners(s));
    if (s->config.spiffe_socket != NULL) {
        MLN_TRY(workload_socket_open(&s->cx, s->config.spiffe_socket, &s->workload));
    }
    return write_boots(s);
}

static int become_monitor(struct server *s)
{
    struct monitor_config config = {
        .core_boot = s->core_boot,
        .front_boot = s->front_boot,
        .reach_boot = s->reach_boot,
        .attest_boot = s->attest_boot,
        .workload = s->workload,
        .listeners = s->sockets,
        .n_listeners = s->config.n_listeners,
        .n_rings = s->n_rings,
        .rekey_per_minute = s->config.rekey_per_minute,
        .ready = say_ready,
        .arg = s,
    };
    s->config.data_dir = mln_text_dup(&s->cx, mln_bytes_of(s->config.data_dir));
    if (s->config.spiffe_socket != NULL) {
        s->config.spiffe_socket = mln_text_dup(&s->cx, mln_bytes_of(s->config.spiffe_socket));
    }
    s->config.root_token = NULL;
    name_process("merlon-monitor"); /* the arguments are gone from here on */
    return monitor_run(&config);
}

static void clean_up(struct server *s)
{
    for (unsigned i = 0; i < MLN_COUNT(s->sockets); i++) {
        mln_fd_drop(&s->sockets[i]);
    }
    mln_fd_drop(&s->core_boot);
    mln_fd_drop(&s->front_boot);
    mln_fd_drop(&s->reach_boot);
    mln_fd_drop(&s->attest_boot);
    if (s->workload >= 0) {
        workload_socket_close(s->config.spiffe_socket, &s->workload);
    }
    if (s->is_temporary &&
        nftw(s->config.data_dir, remove_one, REMOVE_FDS, FTW_DEPTH | FTW_PHYS) != 0) {
        mln_log(MLN_LOG_WARN, "main", "%s is left behind", s->config.data_dir);
    }
}

int server_run(const struct mln_server_options *options)
{
    static struct server server;
    struct server *s = &server;
    *s = (struct server){.core_boot = -1, .front_boot = -1, .reach_boot = -1, .attest_boot = -1, .workload = -1};
    mln_fill(s->sockets, 0xff, sizeof(s->sockets));
    struct mln_arena *arena = mln_arena_new(ARENA_BYTES, false);
    int code = 0;
    harden_process();
    mln_cx_init(&s->cx, arena);
    struct mln_err err = arena != NULL ? prepare(s, options) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        const char *why = s->cx.text[0] != 0 ? s->cx.text : mln_err_text(err.code);
        (void)fprintf(stderr, "merlon: error: %s\n", why);
        code = mln_err_exit(err.code);
    } else {
        code = become_monitor(s);
    }
    clean_up(s);
    mln_arena_free(arena);
    return code;
}
