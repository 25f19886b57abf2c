/* SPDX-License-Identifier: Apache-2.0 */
/* `merlon node run` up to the point where it becomes the monitor. */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/yaml.h"
#include "identity/attest.h"
#include "main/main_priv.h"
#include "main/monitor.h"

#define ATTEST_MAX (64u << 10) /* some lines a kind of attestor */
#define RINGS 2u /* threads of front: one socket's processes */

struct run {
    struct mln_cx cx;
    const struct mln_node_options *options;
    int front, core, attest, workload;
};

static struct mln_value *boot_of(struct run *r, enum mln_log_level level, bool is_json)
{
    struct mln_value *boot = mln_object(&r->cx);
    mln_put_int(&r->cx, boot, "parent", getpid());
    mln_put_int(&r->cx, boot, "log_level", (int64_t)level);
    mln_put_bool(&r->cx, boot, "log_json", is_json);
    return boot;
}

static struct mln_err proof_of(struct run *r, struct mln_value **ret)
{
    const struct mln_node_options *o = r->options;
    struct mln_value *proof = mln_object(&r->cx);
    unsigned n = (o->join_token_file != NULL ? 1u : 0u) + (o->cert_file != NULL ? 1u : 0u) +
                 (o->psat_token_file != NULL ? 1u : 0u) + (o->tpm != NULL ? 1u : 0u);
    if (n != 1 || (o->cert_file != NULL) != (o->key_file != NULL) ||
        (o->psat_token_file != NULL) != (o->cluster != NULL)) {
        return mln_fail(&r->cx, MLN_E_USAGE,
                        "say how this node shows who it is: --join-token-file, --cert and --key, "
                        "--psat-file and --cluster, or --tpm");
    }
    mln_put_text(&r->cx, proof, "method",
                 o->join_token_file != NULL ? "join_token"
                 : o->cert_file != NULL     ? "x509pop"
                 : o->tpm != NULL           ? "tpm"
                                            : "k8s_psat");
    mln_put_text(&r->cx, proof, "join_token_file", o->join_token_file);
    mln_put_text(&r->cx, proof, "cert_file", o->cert_file);
    mln_put_text(&r->cx, proof, "key_file", o->key_file);
    mln_put_text(&r->cx, proof, "psat_token_file", o->psat_token_file);
    mln_put_text(&r->cx, proof, "cluster", o->cluster);
    mln_put_text(&r->cx, proof, "tpm", o->tpm);
    *ret = proof;
    return mln_cx_err(&r->cx);
}

/* As a server has it below spiffe.attest; the same checks. NULL: nothing was given. */
static struct mln_err attest_of(struct run *r, const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const char *file = r->options->attest_file;
    *ret = NULL;
    if (file == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(&r->cx, file, ATTEST_MAX, &text));
    struct mln_err err = mln_yaml_parse(&r->cx, mln_bytes_dup(&r->cx, mln_buf_bytes(&text)), ret);
    err = mln_failed(err) ? err : mln_attest_check(&r->cx, *ret);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(&r->cx, mln_bytes_of(r->cx.text));
        return mln_refail(&r->cx, MLN_E_USAGE, "--attest %s: %s", file, why);
    }
    return MLN_OK;
}

static struct mln_err check_options(struct run *r, enum mln_log_level *level, bool *is_json)
{
    const struct mln_node_options *o = r->options;
    if (o->server == NULL || o->socket == NULL || o->data_dir == NULL) {
        return mln_fail(&r->cx, MLN_E_USAGE,
                        "a node needs --server URL, --socket PATH and --data DIR");
    }
    struct mln_bytes url = mln_bytes_of(o->server);
    if (!mln_bytes_starts(url, MLN_BYTES("https://")) &&
        !mln_bytes_starts(url, MLN_BYTES("http://127.0.0.1:"))) {
        return mln_fail(&r->cx, MLN_E_USAGE,
                        "--server must be https://HOST:PORT: its session goes over it");
    }
    *is_json = mln_bytes_is(mln_bytes_of(o->log_format), "json");
    return mln_log_level_parse(mln_bytes_of(o->log_level), level)
               ? MLN_OK
               : mln_fail(&r->cx, MLN_E_USAGE, "--log-level must be error, warn, info or debug");
}

static struct mln_err prepare(struct run *r)
{
    enum mln_log_level level = MLN_LOG_INFO;
    bool is_json = false;
    struct mln_cx *cx = &r->cx;
    struct mln_value *proof = NULL;
    const struct mln_value *settings = NULL;
    MLN_TRY(check_options(r, &level, &is_json));
    MLN_TRY(proof_of(r, &proof));
    MLN_TRY(attest_of(r, &settings));
    mln_log_setup("monitor", level, is_json ? MLN_LOG_JSON : MLN_LOG_TEXT);
    raise_descriptors();
    MLN_TRY(mln_dir_make(cx, r->options->data_dir, 0700));
    struct mln_value *front = boot_of(r, level, is_json), *core = boot_of(r, level, is_json),
                     *attest = boot_of(r, level, is_json);
    mln_put(cx, front, "listeners", mln_array(cx));
    mln_put_int(cx, front, "rings", RINGS);
    mln_put_bool(cx, front, "workload", true);
    mln_put_text(cx, core, "server", r->options->server);
    mln_put_text(cx, core, "ca_file", r->options->ca_file);
    mln_put_text(cx, core, "data", r->options->data_dir);
    mln_put(cx, core, "proof", proof);
    mln_put(cx, attest, "attest", settings);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(boot_write(cx, front, &r->front));
    MLN_TRY(boot_write(cx, core, &r->core));
    MLN_TRY(boot_write(cx, attest, &r->attest));
    return workload_socket_open(cx, r->options->socket, &r->workload);
}

static void say_ready(void *arg, bool is_sealed, const char *vkey, const char *token)
{
    const struct run *r = arg;
    (void)is_sealed;
    (void)vkey;
    (void)token;
    (void)printf("workload socket: unix://%s\nready\n", r->options->socket);
    (void)fflush(stdout);
}

int node_run(const struct mln_node_options *options)
{
    static struct run run;
    struct run *r = &run;
    *r = (struct run){.options = options, .front = -1, .core = -1, .attest = -1, .workload = -1};
    struct mln_arena *arena = mln_arena_new(1u << 20, false);
    int code = 0;
    harden_process();
    mln_cx_init(&r->cx, arena);
    struct mln_err err = arena != NULL ? prepare(r) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        (void)fprintf(stderr, "merlon: error: %s\n",
                      r->cx.text[0] != 0 ? r->cx.text : mln_err_text(err.code));
        code = mln_err_exit(err.code);
    } else {
        struct monitor_config config = {.core_boot = r->core,
                                        .front_boot = r->front,
                                        .reach_boot = -1,
                                        .attest_boot = r->attest,
                                        .workload = r->workload,
                                        .core_name = "merlon-node",
                                        .is_node = true,
                                        .n_rings = RINGS,
                                        .ready = say_ready,
                                        .arg = r};
        code = monitor_run(&config);
    }
    if (r->workload >= 0) {
        workload_socket_close(options->socket, &r->workload);
    }
    mln_fd_drop(&r->front);
    mln_fd_drop(&r->core);
    mln_fd_drop(&r->attest);
    mln_arena_free(arena);
    return code;
}
