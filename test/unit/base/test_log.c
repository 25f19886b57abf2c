/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

static int64_t fixed(void *arg)
{
    (void)arg;
    return 1709210096123456789;
}

/* What `body` writes to stderr, in the arena of cx. */
static struct mln_bytes captured(struct mln_cx *cx, void (*body)(struct mln_cx *))
{
    char dir[KIT_PATH_MAX];
    char path[KIT_PATH_MAX];
    kit_tmpdir(dir);
    kit_path(path, dir, "err");
    int kept = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(kept >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    body(cx);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    close(fd);
    struct mln_bytes got = kit_read_file(cx, path);
    kit_rmtree(dir);
    return got;
}

static void plain_lines(struct mln_cx *cx)
{
    (void)cx;
    mln_log(MLN_LOG_ERROR, "ledger", "segment %d of \"%s\"", 7, "a\nb\033[0m");
    mln_log(MLN_LOG_WARN, "net", "w");
    mln_log(MLN_LOG_INFO, "net", "unseen");
    mln_log(MLN_LOG_DEBUG, "net", "unseen");
}

static void test_text(void **state)
{
    mln_log_setup("core", MLN_LOG_WARN, MLN_LOG_TEXT);
    kit_text(captured(kit_cx(state), plain_lines),
             "2024-02-29T12:34:56.123Z error core ledger: segment 7 of \"a\\nb\\x1b[0m\"\n"
             "2024-02-29T12:34:56.123Z warn  core net: w\n");
}

static void test_json(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    mln_log_setup("front", MLN_LOG_WARN, MLN_LOG_JSON);
    struct mln_bytes rest = captured(cx, plain_lines);
    struct mln_bytes line = mln_bytes_cut(rest, '\n', &rest);
    const struct mln_value *v;
    kit_ok(cx, mln_json_parse(cx, line, &v));
    assert_true(mln_is_text(mln_get(v, "time"), "2024-02-29T12:34:56.123Z"));
    assert_true(mln_is_text(mln_get(v, "level"), "error"));
    assert_true(mln_is_text(mln_get(v, "process"), "front"));
    assert_true(mln_is_text(mln_get(v, "room"), "ledger"));
    assert_true(mln_is_text(mln_get(v, "message"), "segment 7 of \"a\\nb\\x1b[0m\""));
    assert_int_equal(mln_len(v), 5);
}

static void fault_line(struct mln_cx *cx)
{
    (void)mln_fail(cx, MLN_E_IO, "cannot write");
    mln_note(cx, "page %d", 3);
    mln_log_fault(MLN_LOG_ERROR, "store", cx, "commit");
    mln_log_fault(MLN_LOG_DEBUG, "store", cx, "unseen");
    mln_cx_clear(cx);
}

static void test_fault(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    mln_log_setup("core", MLN_LOG_INFO, MLN_LOG_TEXT);
    struct mln_bytes line = captured(cx, fault_line);
    assert_true(mln_bytes_starts(line, MLN_BYTES("2024-02-29T12:34:56.123Z error core store: commit: cannot write [IO ")));
    assert_true(mln_bytes_find_bytes(line, MLN_BYTES("test_log.c:")) < line.len);
    assert_true(mln_bytes_ends(line, MLN_BYTES("] (page 3)\n")));
    mln_log_setup("core", MLN_LOG_INFO, MLN_LOG_JSON);
    const struct mln_value *v;
    kit_ok(cx, mln_json_parse(cx, captured(cx, fault_line), &v));
    assert_true(mln_is_text(mln_get(v, "code"), "IO") && mln_is_text(mln_get(v, "note"), "page 3"));
    assert_true(mln_get_int(mln_get(v, "line"), 0) > 0);
    assert_true(mln_is_text(mln_get(v, "message"), "commit: cannot write"));
}

static void long_line(struct mln_cx *cx)
{
    (void)cx;
    char text[5000];
    memset(text, '\x01', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    mln_log(MLN_LOG_ERROR, "r", "%s", text);
}

static void test_long_is_cut(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (int form = 0; form < 2; form++) {
        mln_log_setup("core", MLN_LOG_INFO, (enum mln_log_form)form);
        struct mln_bytes line = captured(cx, long_line);
        assert_true(line.len > 2000 && line.len < 6000);
        assert_int_equal(mln_bytes_find(line, '\n'), line.len - 1);
        assert_int_equal(mln_bytes_find(line, 1), line.len);
    }
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        enum mln_log_level level;
    } rows[] = {{"error", true, MLN_LOG_ERROR}, {"WARN", true, MLN_LOG_WARN}, {"info", true, MLN_LOG_INFO},
                {"debug", true, MLN_LOG_DEBUG}, {"", false, 0},               {"trace", false, 0},
                {"errors", false, 0}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        enum mln_log_level level = MLN_LOG_ERROR;
        assert_int_equal(mln_log_level_parse(mln_bytes_of(rows[i].text), &level), rows[i].is_good);
        assert_int_equal(level, rows[i].level);
    }
}

int main(void)
{
    static const struct mln_clock clock = {.now_ns = fixed, .mono_ns = fixed};
    mln_clock_use(&clock);
    const struct CMUnitTest tests[] = {KIT_TEST(test_text), KIT_TEST(test_json), KIT_TEST(test_fault),
                                       KIT_TEST(test_long_is_cut), cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
