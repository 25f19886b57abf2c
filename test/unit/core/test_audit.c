/* SPDX-License-Identifier: Apache-2.0 */
/* Audit devices: what a line says and hides, devices that fail or are stuck, the configuration's devices. */
#include "core_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "core/audit_priv.h"

#define SECOND_NS ((int64_t)1000000000)

struct place {
    char dir[64], file[96], fifo[96], socket[96];
};

static void place_drop(struct place *p)
{
    (void)unlink(p->file);
    (void)unlink(p->fifo);
    (void)unlink(p->socket);
    (void)rmdir(p->dir);
}

static void place_make(struct place *p)
{
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/merlon-audit-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->file, sizeof(p->file), "%s/log", p->dir);
    (void)snprintf(p->fifo, sizeof(p->fifo), "%s/fifo", p->dir);
    (void)snprintf(p->socket, sizeof(p->socket), "%s/socket", p->dir);
}

static struct ck *start(struct place *p)
{
    place_make(p);
    struct ck *k = ck_new();
    k->core->config.audit_by_api = true;
    return k;
}
#define AUDIT(k, p)                                                                                 \
    MLN_AUTO(place_drop) struct place p;                                                            \
    MLN_AUTO(ck_drop) struct ck *k = start(&(p))

static int enable(struct ck *k, const char *name, const char *type, const char *key, const char *target, const char *more)
{
    char path[64], json[512];
    (void)snprintf(path, sizeof(path), "sys/audit/%s", name);
    (void)snprintf(json, sizeof(json), "{\"type\":\"%s\",\"options\":{\"%s\":\"%s\"%s}}", type, key, target, more);
    return ck_call(k, "root", "write", path, json);
}

/* The lines of a file as values, in k's context. */
static const struct mln_value *lines_of(struct ck *k, const char *file)
{
    struct mln_buf text = {0};
    struct mln_value *all = mln_array(&k->cx);
    assert_false(mln_failed(mln_file_read_all(&k->cx, file, 1u << 20, &text)));
    struct mln_bytes left = mln_bytes_dup(&k->cx, mln_buf_bytes(&text));
    mln_buf_drop(&text);
    while (left.len > 0) {
        const struct mln_value *line = NULL;
        struct mln_bytes one = mln_bytes_cut(left, '\n', &left);
        if (one.len > 0 && !mln_failed(mln_json_parse(&k->cx, one, &line))) {
            mln_push(&k->cx, all, line);
        }
        mln_cx_clear(&k->cx);
    }
    return all;
}

static const struct mln_value *last_of(struct ck *k, const char *file, size_t back)
{
    const struct mln_value *all = lines_of(k, file);
    assert_true(mln_len(all) > back);
    return mln_item(all, mln_len(all) - 1 - back);
}

static bool file_has(struct ck *k, const char *file, const char *text)
{
    struct mln_buf all = {0};
    assert_false(mln_failed(mln_file_read_all(&k->cx, file, 1u << 20, &all)));
    struct mln_bytes needle = mln_bytes_of(text);
    bool has = mln_bytes_find_bytes(mln_buf_bytes(&all), needle) < all.len;
    mln_buf_drop(&all);
    return has;
}

static const char *hash_of(struct ck *k, const char *name, const char *input, char to[96])
{
    char path[64], json[128];
    (void)snprintf(path, sizeof(path), "sys/audit-hash/%s", name);
    (void)snprintf(json, sizeof(json), "{\"input\":\"%s\"}", input);
    CK_WANT(k, ck_call(k, "root", "write", path, json), 200);
    (void)snprintf(to, 96, "%s", mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "hash"), ""));
    return to;
}

/* ---- lines ---- */

#define HEADERS "sys/config/auditing/request-headers/"

static const char *headers_shown(struct ck *k, const char *file, size_t back)
{
    const struct mln_value *shown = mln_get(mln_get(last_of(k, file, back), "request"), "headers");
    return shown == NULL ? "none" : ck_json(k, shown);
}

/* Request headers that are asked for: in both lines, hashed where it is said so, at once and after a restart. */
static void test_headers(void **state)
{
    (void)state;
    AUDIT(k, p);
    char hash[96], want[256];
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    (void)hash_of(k, "f", "carol", hash);
    k->sent = "{\"x-who\":[\"carol\"],\"x-trace\":[\"1\",\"2\"],\"x-other\":[\"dave\"]}";
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(headers_shown(k, p.file, 0), "none");
    CK_WANT(k, ck_call(k, "root", "write", HEADERS "X-Who", "{\"hmac\":true}"), 204);
    CK_WANT(k, ck_call(k, "root", "write", HEADERS "X-Trace", "{}"), 204);
    CK_WANT(k, ck_call(k, "root", "write", HEADERS "X-Absent", "{}"), 204);
    (void)snprintf(want, sizeof(want), "{\"x-who\":[\"%s\"],\"x-trace\":[\"1\",\"2\"]}", hash);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(headers_shown(k, p.file, 1), want);
    assert_string_equal(headers_shown(k, p.file, 0), want);
    CK_WANT(k, ck_call(k, "none", "read", "auth/token/lookup-self", NULL), 403); /* refused ones too */
    assert_string_equal(headers_shown(k, p.file, 0), want);
    mln_core_close(k->core);
    ck_open(k);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(headers_shown(k, p.file, 0), want);
    CK_WANT(k, ck_call(k, "root", "delete", HEADERS "x-who", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(headers_shown(k, p.file, 0), "{\"x-trace\":[\"1\",\"2\"]}");
    CK_WANT(k, ck_call(k, "root", "delete", HEADERS "x-trace", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "delete", HEADERS "x-absent", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(headers_shown(k, p.file, 0), "none");
    assert_false(file_has(k, p.file, "dave"));
    assert_false(file_has(k, p.file, "carol"));
}

static void test_lines(void **state)
{
    (void)state;
    AUDIT(k, p);
    char hash[96];
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"password\":\"hunter2\",\"n\":5}}"), 200);
    const struct mln_value *request = last_of(k, p.file, 1), *response = last_of(k, p.file, 0);
    assert_true(mln_is_text(mln_get(request, "type"), "request"));
    assert_true(mln_is_text(mln_get(response, "type"), "response"));
    const struct mln_value *r = mln_get(request, "request"), *data = mln_get(mln_get(r, "data"), "data");
    assert_true(mln_is_text(mln_get(r, "operation"), "update"));
    assert_true(mln_is_text(mln_get(r, "path"), "secret/data/a"));
    assert_true(mln_is_text(mln_get(r, "mount_point"), "secret/"));
    assert_int_equal(mln_get_int(mln_get(data, "n"), 0), 5);
    assert_true(mln_bytes_starts(mln_get_bytes(mln_get(mln_get(request, "auth"), "client_token")), MLN_BYTES("hmac-sha256:")));
    assert_true(mln_get_bool(mln_get(mln_get(mln_get(request, "auth"), "policy_results"), "allowed"), false));
    assert_int_equal(mln_get_int(mln_get(mln_get(mln_get(response, "response"), "data"), "version"), 0), 1);
    (void)hash_of(k, "f", "hunter2", hash);
    assert_true(file_has(k, p.file, hash));
    assert_false(file_has(k, p.file, "hunter2"));
    assert_false(file_has(k, p.file, "\"root-"));
    struct stat st;
    assert_int_equal(stat(p.file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_refused_is_audited(void **state)
{
    (void)state;
    AUDIT(k, p);
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    CK_WANT(k, ck_call(k, "no-such-token", "read", "secret/data/a", NULL), 403);
    const struct mln_value *request = last_of(k, p.file, 1);
    assert_true(mln_is_text(mln_get(request, "error"), "permission denied"));
    assert_false(mln_get_bool(mln_get(mln_get(mln_get(request, "auth"), "policy_results"), "allowed"), true));
    assert_true(mln_is_text(mln_get(last_of(k, p.file, 0), "error"), "permission denied"));
    size_t n = mln_len(lines_of(k, p.file));
    CK_WANT(k, ck_call(k, NULL, "read", "sys/health", NULL), 200);
    assert_int_equal(mln_len(lines_of(k, p.file)), n);
}

static void test_options(void **state)
{
    (void)state;
    AUDIT(k, p);
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ",\"log_raw\":\"true\",\"elide_list_responses\":true,\"mode\":\"0640\""), 204);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"password\":\"hunter2\"}}"), 200);
    assert_true(file_has(k, p.file, "hunter2"));
    CK_WANT(k, ck_call(k, "root", "list", "secret/metadata/", NULL), 200);
    const struct mln_value *data = mln_get(mln_get(last_of(k, p.file, 0), "response"), "data");
    assert_int_equal(mln_get_int(mln_get(data, "keys"), 0), 1);
    struct stat st;
    assert_int_equal(stat(p.file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/audit/f", NULL), 204);
    (void)unlink(p.file);
    CK_WANT(k, enable(k, "x", "file", "file_path", p.file, ",\"format\":\"jsonx\",\"prefix\":\"@x: \""), 204);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a", NULL), 200);
    assert_true(file_has(k, p.file, "\n@x: <json:object xmlns:json=\"http://www.ibm.com/xmlns/prod/2009/jsonx\">"
                                    "<json:string name=\"time\">"));
    assert_true(file_has(k, p.file, "<json:boolean name=\"destroyed\">false</json:boolean>"));
}

/* Of a wrapped answer: the hash of its token, nothing of what is in it. */
static void test_wrapped(void **state)
{
    (void)state;
    AUDIT(k, p);
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    CK_WANT(k, ck_call(k, "root", "write", "sys/wrapping/wrap", "{\"a\":\"hunter2\"}"), 400);
    k->wrap = "60";
    CK_WANT(k, ck_call(k, "root", "write", "sys/wrapping/wrap", "{\"a\":\"hunter2\"}"), 200);
    k->wrap = NULL;
    const char *token = mln_get_text(&k->cx, mln_get(mln_get(k->answer, "wrap_info"), "token"), "");
    const struct mln_value *info = mln_get(mln_get(last_of(k, p.file, 0), "response"), "wrap_info");
    assert_int_equal(mln_get_int(mln_get(info, "ttl"), 0), 60);
    assert_true(mln_bytes_starts(mln_get_bytes(mln_get(info, "token")), MLN_BYTES("hmac-sha256:")));
    assert_true(strlen(token) > 20 && !file_has(k, p.file, token));
    CK_WANT(k, ck_call(k, token, "write", "sys/wrapping/unwrap", NULL), 200);
    assert_false(file_has(k, p.file, "hunter2"));
}

/* Keys that the mount exempts stay clear. */
static void test_exempt_keys(void **state)
{
    (void)state;
    AUDIT(k, p);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/plain",
                       "{\"type\":\"kv\",\"config\":{\"audit_non_hmac_request_keys\":[\"user\"]}}"),
            204);
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    CK_WANT(k, ck_call(k, "root", "write", "plain/a", "{\"user\":\"alice\",\"password\":\"hunter2\"}"), 204);
    assert_true(file_has(k, p.file, "\"user\":\"alice\""));
    assert_false(file_has(k, p.file, "hunter2"));
}

/* ---- devices ---- */

static void test_refused_devices(void **state)
{
    (void)state;
    AUDIT(k, p);
    static const struct {
        const char *json, *text;
    } t[] = {
        {"{\"type\":\"nosuch\"}", "unknown backend type: \"nosuch\""},
        {"{\"type\":\"file\"}", "file_path is required"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"relative\"}}", "absolute path"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/nosuch/dir/f\"}}", "sanity check failed; unable to open"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/tmp\"}}", "sanity check failed; unable to open"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/dev/null\",\"mode\":\"0755\"}}", "does not allow execution"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/dev/null\",\"mode\":\"9\"}}", "octal"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/dev/null\",\"format\":\"xml\"}}", "unknown format type"},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/dev/null\",\"log_raw\":\"perhaps\"}}", "invalid value for \"log_raw\""},
        {"{\"type\":\"file\",\"options\":{\"file_path\":\"/dev/null\",\"prefix\":\"a\\nb\"}}", "invalid value for \"prefix\""},
        {"{\"type\":\"socket\",\"options\":{}}", "address is required"},
        {"{\"type\":\"socket\",\"options\":{\"address\":\"x\",\"socket_type\":\"sctp\"}}", "socket_type is"},
        {"{\"type\":\"socket\",\"options\":{\"address\":\"localhost:80\"}}", "cannot reach"},
        {"{\"type\":\"syslog\",\"options\":{\"facility\":\"KERN\"}}", "unknown syslog facility"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, ck_call(k, "root", "write", "sys/audit/d", t[i].json), 400);
        if (strstr(ck_error(k), t[i].text) == NULL) {
            fail_msg("%s: %s", t[i].json, ck_error(k));
        }
    }
    char inside[512];
    (void)snprintf(inside, sizeof(inside), "%s/store/x", k->core->config.data_dir);
    CK_WANT(k, enable(k, "d", "file", "file_path", inside, ""), 400);
    assert_non_null(strstr(ck_error(k), "the server's own data"));
    k->core->config.audit_by_api = false;
    CK_WANT(k, enable(k, "d", "file", "file_path", "/dev/null", ""), 400);
    assert_non_null(strstr(ck_error(k), "cannot enable audit device via API"));
}

static void test_table(void **state)
{
    (void)state;
    AUDIT(k, p);
    CK_WANT(k, enable(k, "a/b", "file", "file_path", "/dev/null", ""), 204);
    CK_WANT(k, enable(k, "a/b", "file", "file_path", "/dev/null", ""), 400);
    assert_string_equal(ck_error(k), "path already in use");
    CK_WANT(k, enable(k, "a/b/", "file", "file_path", "/dev/null", ""), 400);
    assert_string_equal(ck_error(k), "cannot write to a path ending in '/'");
    CK_WANT(k, ck_call(k, "root", "read", "sys/audit", NULL), 200);
    assert_true(mln_is_text(mln_get(mln_get(mln_get(k->answer, "data"), "a/b/"), "type"), "file"));
    assert_null(mln_get(mln_get(mln_get(k->answer, "data"), "a/b/"), "salt"));
    CK_WANT(k, ck_call(k, "root", "write", "sys/audit-hash/none", "{\"input\":\"x\"}"), 400);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/audit/none", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/audit/a/b", NULL), 204);
    assert_int_equal(atomic_load(&k->core->audit->n), 0);
}

/* A full disk: nothing is done and nothing told while no device takes lines; one that does is enough; disabling goes on. */
static void test_full_disk(void **state)
{
    (void)state;
    AUDIT(k, p);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"n\":1}}"), 200);
    CK_WANT(k, enable(k, "full", "file", "file_path", "/dev/full", ""), 500);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a", NULL), 500);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"n\":2}}"), 500);
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 500); /* nobody took its first line */
    CK_WANT(k, ck_call(k, "root", "delete", "sys/audit/full", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a", NULL), 200);
    const struct mln_value *data = mln_get(mln_get(k->answer, "data"), "data");
    assert_int_equal(mln_get_int(mln_get(data, "n"), 0), 1); /* the refused write was not made */
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    CK_WANT(k, enable(k, "full", "file", "file_path", "/dev/full", ""), 204);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/a", NULL), 200);
}

/* A reader that does not read: after the deadline the request fails, those that come meanwhile too, and later ones at once. */
static void test_stuck(void **state)
{
    (void)state;
    AUDIT(k, p);
    assert_int_equal(mkfifo(p.fifo, 0600), 0);
    int reader = open(p.fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    CK_WANT(k, enable(k, "fifo", "file", "file_path", p.fifo, ""), 204);
    int64_t from_ns = mln_mono_ns();
    int status = 200;
    for (int i = 0; i < 200 && status == 200; i++) {
        status = ck_call(k, "root", "read", "auth/token/lookup-self", NULL);
    }
    assert_int_equal(status, 500);
    assert_true(mln_mono_ns() - from_ns < 10 * SECOND_NS);
    static uint8_t drained[1u << 20];
    assert_true(read(reader, drained, sizeof(drained)) > 0);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200); /* it reads again: so do we */
    (void)close(reader);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 500); /* EPIPE, at once */
}

static void test_socket(void **state)
{
    (void)state;
    AUDIT(k, p);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    mln_copy(at.sun_path, p.socket, strlen(p.socket));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    CK_WANT(k, enable(k, "s", "socket", "address", p.socket, ",\"socket_type\":\"unixgram\""), 204);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    char line[8192];
    ssize_t n = recv(fd, line, sizeof(line), 0); /* the answer to enabling it */
    assert_true(n > 0 && line[n - 1] == '\n');
    n = recv(fd, line, sizeof(line), 0);
    assert_true(n > 0 && mln_bytes_find_bytes(mln_bytes_at(line, (size_t)n), MLN_BYTES("\"type\":\"request\"")) < (size_t)n);
    assert_true(recv(fd, line, sizeof(line), 0) > 0);
    (void)close(fd);
    (void)unlink(p.socket);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 500);
}

/* Moved away and reopened; sealed and unsealed: the same hashes. */
static void test_reopen(void **state)
{
    (void)state;
    AUDIT(k, p);
    char moved[128], before[96], after[96];
    (void)snprintf(moved, sizeof(moved), "%s/moved", p.dir);
    CK_WANT(k, enable(k, "f", "file", "file_path", p.file, ""), 204);
    assert_int_equal(rename(p.file, moved), 0);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_int_equal(access(p.file, F_OK), -1);
    mln_core_reopen(k->core);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_int_equal(mln_len(lines_of(k, p.file)), 2);
    (void)unlink(moved);
    (void)hash_of(k, "f", "x", before);
    mln_core_close(k->core);
    ck_open(k);
    assert_string_equal(hash_of(k, "f", "x", after), before);
}

/* Devices of the configuration come and go with it. */
static void test_declared(void **state)
{
    (void)state;
    AUDIT(k, p);
    struct mln_value *list = mln_array(&k->cx), *one = mln_object(&k->cx), *options = mln_object(&k->cx);
    mln_put_text(&k->cx, options, "file_path", p.file);
    mln_put_text(&k->cx, one, "path", "conf/");
    mln_put_text(&k->cx, one, "type", "file");
    mln_put(&k->cx, one, "options", options);
    mln_push(&k->cx, list, one);
    k->core->config.audit = list;
    assert_false(mln_failed(mln_audit_start(&k->cx, k->core)));
    k->core->config.audit = NULL;
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/lookup-self", NULL), 200);
    assert_int_equal(mln_len(lines_of(k, p.file)), 2);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/audit/conf", NULL), 400);
    assert_non_null(strstr(ck_error(k), "in the configuration"));
    assert_false(mln_failed(mln_audit_start(&k->cx, k->core)));
    assert_int_equal(atomic_load(&k->core->audit->n), 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_refused_is_audited), cmocka_unit_test(test_options),
        cmocka_unit_test(test_exempt_keys), cmocka_unit_test(test_wrapped), cmocka_unit_test(test_refused_devices),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_stuck),              cmocka_unit_test(test_socket),
        cmocka_unit_test(test_reopen),   cmocka_unit_test(test_declared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
