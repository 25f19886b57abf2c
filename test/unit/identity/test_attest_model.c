/* SPDX-License-Identifier: Apache-2.0 */
/* Who was started with which model: one process, as long as record and files are what they were; nobody else. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "identity/attest_priv.h"
#include "kit/kit.h"

#define ROOT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct at {
    struct mln_cx *cx;
    char model[KIT_PATH_MAX], records[KIT_PATH_MAX];
    struct mln_value *record;
    struct mln_attest_config config;
};

static const char *below(struct at *k, const char *folder, const char *name)
{
    return mln_text_format(k->cx, "%s/%s", folder, name);
}

static void write_record(struct at *k, pid_t pid)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_json_print(&text, k->record, MLN_JSON_COMPACT);
    const char *path = mln_text_format(k->cx, "%s/%d", k->records, (int)pid);
    kit_write_file(path, mln_buf_bytes(&text));
    assert_int_equal(chmod(path, 0600), 0);
}

static struct at *start(void)
{
    struct at *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    k->cx = kit_cx_new();
    kit_tmpdir(k->model);
    kit_tmpdir(k->records);
    assert_int_equal(mkdir(below(k, k->model, "sub"), 0755), 0);
    kit_write_file(below(k, k->model, "weights.bin"), MLN_BYTES("weights"));
    kit_write_file(below(k, k->model, "sub/config.json"), MLN_BYTES("{}"));
    struct mln_value *watch = mln_array(k->cx), *signers = mln_array(k->cx),
                     *settings = mln_object(k->cx), *all = mln_object(k->cx);
    static const char *const seen[] = {"", "weights.bin", "sub", "sub/config.json"};
    int fd = open(k->model, O_PATH | O_CLOEXEC);
    for (size_t i = 0; i < MLN_COUNT(seen); i++) {
        kit_ok(k->cx, mln_attest_model_watch(k->cx, fd, seen[i], geteuid(), watch));
    }
    kit_refused(k->cx, mln_attest_model_watch(k->cx, fd, "absent", geteuid(), watch), MLN_E_NOT_FOUND);
    (void)close(fd);
    mln_push_text(k->cx, signers, "key:abc");
    k->record = mln_object(k->cx);
    kit_ok(k->cx, mln_attest_model_self(k->cx, "/proc", k->record));
    mln_put_text(k->cx, k->record, "model", k->model);
    mln_put_text(k->cx, k->record, "root", ROOT);
    mln_put_text(k->cx, k->record, "name", "ranker");
    mln_put(k->cx, k->record, "signers", signers);
    mln_put(k->cx, k->record, "watch", watch);
    mln_put_text(k->cx, settings, "records", k->records);
    mln_put(k->cx, all, "model", settings);
    k->config = (struct mln_attest_config){.settings = all,
                                           .cache = mln_attest_cache_new(),
                                           .proc = "/proc",
                                           .etc = "/etc",
                                           .owner = geteuid()};
    write_record(k, getpid());
    return k;
}

static void stop(struct at **at)
{
    kit_rmtree((*at)->model);
    kit_rmtree((*at)->records);
    mln_attest_cache_free((*at)->config.cache);
    kit_cx_free((*at)->cx);
    free(*at);
}
#define MODEL(k) MLN_AUTO(stop) struct at *k = start()

/* The selectors model:... of a process, joined. */
static const char *shown(struct at *k, pid_t pid)
{
    const struct mln_value *all = NULL;
    const char *text = "";
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct mln_attest_who who = {.pidfd = pidfd, .pid = pid, .uid = getuid(), .gid = getgid()};
    kit_ok(k->cx, mln_attest(k->cx, &k->config, &who, &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(all, i));
        if (mln_bytes_starts(one, MLN_BYTES("model:"))) {
            text = mln_text_format(k->cx, "%s%.*s ", text, MLN_FMT(one));
        }
    }
    (void)close(pidfd);
    return text;
}

static void test_shown(void **state)
{
    (void)state;
    MODEL(k);
    assert_string_equal(shown(k, getpid()),
                        "model:name:ranker model:sha256:" ROOT " model:signer:key:abc ");
    k->config.settings = NULL; /* off unless it is switched on */
    assert_string_equal(shown(k, getpid()), "");
}

/* A child has the parent's memory, files and program, but was not started with the model. */
static void test_child(void **state)
{
    (void)state;
    MODEL(k);
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_string_equal(shown(k, pid), "");
    write_record(k, pid); /* the parent's record under the child's number */
    assert_string_equal(shown(k, pid), "");
    mln_put_int(k->cx, k->record, "pid", pid);
    write_record(k, pid); /* its start is not the child's; the test's clock ticks by hundredths */
    mln_put_int(k->cx, k->record, "started_ns", 1);
    write_record(k, pid);
    assert_string_equal(shown(k, pid), "");
    assert_string_not_equal(shown(k, getpid()), "");
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* ---- records that are none ---- */

static void of_another(struct at *k)
{
    mln_put_int(k->cx, k->record, "pid", getpid() + 1);
}
static void of_another_start(struct at *k)
{
    mln_put_int(k->cx, k->record, "started_ns",
                mln_get_int(mln_get(k->record, "started_ns"), 0) + 10000000);
}
static void of_another_boot(struct at *k)
{
    mln_put_text(k->cx, k->record, "boot", "00000000-0000-4000-8000-000000000000");
}
static void of_another_namespace(struct at *k)
{
    mln_put_int(k->cx, k->record, "pid_namespace", 1);
}
static void without_a_digest(struct at *k)
{
    mln_put_text(k->cx, k->record, "root", "0123");
}
static void with_an_upper_digest(struct at *k)
{
    mln_put_text(k->cx, k->record, "root",
                 "ABCDEF6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
}
static void of_another_format(struct at *k)
{
    mln_put_text(k->cx, k->record, "format", "merlon-model-0");
}
static void with_nothing_to_watch(struct at *k)
{
    mln_put(k->cx, k->record, "watch", mln_array(k->cx));
}
static void of_no_folder(struct at *k)
{
    mln_put_text(k->cx, k->record, "model", "relative");
}
static void of_times_that_are_no_numbers(struct at *k)
{
    const struct mln_value *json = NULL;
    kit_ok(k->cx,
           mln_json_parse(k->cx, MLN_BYTES("[[\"\",\"a\",\"b\",\"c\",\"d\",\"e\"]]"), &json));
    mln_put(k->cx, k->record, "watch", json);
}
static void of_a_file_elsewhere(struct at *k)
{
    const struct mln_value *json = NULL;
    kit_ok(k->cx, mln_json_parse(k->cx, MLN_BYTES("[[\"/etc/passwd\",1,2,3,4,5]]"), &json));
    mln_put(k->cx, k->record, "watch", json);
}

static const struct {
    const char *name;
    void (*spoil)(struct at *k);
} records[] = {
    {"another process", of_another},
    {"another start", of_another_start},
    {"another boot", of_another_boot},
    {"another namespace", of_another_namespace},
    {"no digest", without_a_digest},
    {"an upper-case digest", with_an_upper_digest},
    {"another format", of_another_format},
    {"nothing to watch", with_nothing_to_watch},
    {"no folder", of_no_folder},
    {"no numbers", of_times_that_are_no_numbers},
    {"a file elsewhere", of_a_file_elsewhere},
};

static void test_records(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(records); i++) {
        MODEL(k);
        records[i].spoil(k);
        write_record(k, getpid());
        const char *got = shown(k, getpid());
        if (got[0] != '\0') {
            fail_msg("%s: %s", records[i].name, got);
        }
    }
}

/* ---- files that changed, and folders that others may write ---- */

static void change(struct at *k)
{
    kit_write_file(below(k, k->model, "weights.bin"), MLN_BYTES("WEIGHTS"));
}
static void change_and_set_back(struct at *k)
{
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    kit_write_file(below(k, k->model, "weights.bin"), MLN_BYTES("WEIGHTS"));
    assert_int_equal(utimensat(AT_FDCWD, below(k, k->model, "weights.bin"), times, 0), 0);
}
static void replace(struct at *k)
{
    kit_write_file(below(k, k->model, "new"), MLN_BYTES("weights"));
    assert_int_equal(rename(below(k, k->model, "new"), below(k, k->model, "weights.bin")), 0);
}
static void add(struct at *k)
{
    kit_write_file(below(k, k->model, "sub/evil.py"), MLN_BYTES("1"));
}
static void take_away(struct at *k)
{
    assert_int_equal(unlink(below(k, k->model, "sub/config.json")), 0);
}
static void link_folder(struct at *k)
{
    assert_int_equal(rename(below(k, k->model, "sub"), below(k, k->model, "bus")), 0);
    assert_int_equal(symlink("bus", below(k, k->model, "sub")), 0);
}
/* As if it had been so when the process was started: nothing changed since. */
static void note_anew(struct at *k)
{
    static const char *const seen[] = {"", "weights.bin", "sub", "sub/config.json"};
    struct mln_value *watch = mln_array(k->cx);
    for (size_t i = 0; i < MLN_COUNT(seen); i++) {
        struct stat st;
        struct mln_value *one = mln_array(k->cx);
        assert_int_equal(lstat(below(k, k->model, seen[i]), &st), 0);
        mln_push_text(k->cx, one, seen[i]);
        mln_push(k->cx, one, mln_int(k->cx, (int64_t)st.st_dev));
        mln_push(k->cx, one, mln_int(k->cx, (int64_t)st.st_ino));
        mln_push(k->cx, one, mln_int(k->cx, S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1));
        mln_push(k->cx, one,
                 mln_int(k->cx, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec));
        mln_push(k->cx, one,
                 mln_int(k->cx, (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec));
        mln_push(k->cx, watch, one);
    }
    mln_put(k->cx, k->record, "watch", watch);
    write_record(k, getpid());
}

/* Whoever may write a file may have it mapped, and what he writes then shows in no time. */
static void test_files_of_others(void **state)
{
    static const struct {
        const char *path;
        mode_t mode; /* 0: another user's */
    } t[] = {
        {"weights.bin", 0664}, {"weights.bin", 0646}, {"sub", 0775}, {"", 0777},
        {"sub/config.json", 0666}, {"weights.bin", 0}, {"sub", 0}, {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MODEL(k);
        const char *path = below(k, k->model, t[i].path);
        note_anew(k);
        assert_string_not_equal(shown(k, getpid()), "");
        if (t[i].mode == 0 && geteuid() != 0) {
            continue; /* only root can give files away */
        }
        assert_int_equal(t[i].mode != 0 ? chmod(path, t[i].mode) : chown(path, 4242, 4242), 0);
        note_anew(k);
        const char *got = shown(k, getpid());
        if (got[0] != '\0') {
            fail_msg("%s %o: %s", t[i].path, (unsigned)t[i].mode, got);
        }
        int fd = open(k->model, O_PATH | O_CLOEXEC);
        kit_refused(k->cx,
                    mln_attest_model_watch(k->cx, fd, t[i].path, geteuid(), mln_array(k->cx)),
                    MLN_E_DENIED);
        (void)close(fd);
    }
}

static void open_record(struct at *k)
{
    assert_int_equal(chmod(mln_text_format(k->cx, "%s/%d", k->records, (int)getpid()), 0622), 0);
}
static void open_folder(struct at *k)
{
    assert_int_equal(chmod(k->records, 0777), 0);
}
static void link_record(struct at *k)
{
    const char *path = mln_text_format(k->cx, "%s/%d", k->records, (int)getpid());
    assert_int_equal(rename(path, below(k, k->records, "elsewhere")), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
}
static void pipe_record(struct at *k)
{
    const char *path = mln_text_format(k->cx, "%s/%d", k->records, (int)getpid());
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
}
static void nonsense(struct at *k)
{
    kit_write_file(mln_text_format(k->cx, "%s/%d", k->records, (int)getpid()),
                   MLN_BYTES("{\"format\":"));
}
static void too_much(struct at *k)
{
    const char *path = mln_text_format(k->cx, "%s/%d", k->records, (int)getpid());
    assert_int_equal(truncate(path, MLN_MODEL_RECORD_MAX + 1), 0);
}

static void trust_another(struct at *k)
{
    k->config.owner = geteuid() + 1;
    if (geteuid() == 0) { /* root's are believed always: then they are another's */
        assert_int_equal(chown(k->records, 4242, 4242), 0);
    }
}

static const struct {
    const char *name;
    void (*spoil)(struct at *k);
} changes[] = {
    {"a folder of another user", trust_another},
    {"a file that changed", change},
    {"one whose time was set back", change_and_set_back},
    {"one that was replaced by the same bytes", replace},
    {"one more", add},
    {"one less", take_away},
    {"a link for a folder", link_folder},
    {"a record that others may write", open_record},
    {"a folder that others may write", open_folder},
    {"a link for a record", link_record},
    {"a pipe for a record", pipe_record},
    {"no JSON", nonsense},
    {"a record too long", too_much},
};

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(changes); i++) {
        MODEL(k);
        assert_string_not_equal(shown(k, getpid()), "");
        changes[i].spoil(k);
        const char *got = shown(k, getpid());
        if (got[0] != '\0') {
            fail_msg("%s: %s", changes[i].name, got);
        }
    }
}

static void test_lives(void **state)
{
    (void)state;
    MODEL(k);
    struct mln_bytes text =
        kit_read_file(k->cx, mln_text_format(k->cx, "%s/%d", k->records, (int)getpid()));
    assert_true(mln_attest_model_lives(k->cx, "/proc", text));
    assert_false(mln_attest_model_lives(k->cx, "/proc", MLN_BYTES("{}")));
    assert_false(mln_attest_model_lives(k->cx, "/proc", MLN_BYTES("{\"pid\":-7}")));
    assert_false(mln_attest_model_lives(k->cx, "/proc", MLN_BYTES("nonsense")));
    of_another_start(k);
    write_record(k, getpid());
    text = kit_read_file(k->cx, mln_text_format(k->cx, "%s/%d", k->records, (int)getpid()));
    assert_false(mln_attest_model_lives(k->cx, "/proc", text));
}

static const struct {
    const char *json;
    bool ok;
} settings[] = {
    {"{\"model\":{}}", true},
    {"{\"model\":{\"records\":\"/run/x\"}}", true},
    {"{\"model\":{\"records\":\"x\"}}", false},
    {"{\"model\":{\"records\":7}}", false},
    {"{\"model\":{\"record\":\"/x\"}}", false},
    {"{\"model\":true}", false},
};

static void test_settings(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(settings); i++) {
        const struct mln_value *v = NULL;
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(settings[i].json), &v));
        kit_expect(cx, settings[i].json, mln_attest_check(cx, v),
                   settings[i].ok ? MLN_E_OK : MLN_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_shown),   KIT_TEST(test_child), KIT_TEST(test_records),
        KIT_TEST(test_changes), KIT_TEST(test_lives), KIT_TEST(test_settings), KIT_TEST(test_files_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
