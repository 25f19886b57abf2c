/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego fmt: policies in their one form, with OPA's flags and exit codes. */
#include "cli/rego_priv.h"

#include <sys/stat.h>

struct fmt {
    struct mln_cli *cli;
    struct mln_rego_options options;
    struct mln_rego_format_options how;
    bool writes, lists, diffs, fails;
    bool has_changes, has_errors;
    bool is_bad; /* the file at hand */
};

/* A file is never replaced by what cannot be read. */
static struct mln_err check_result(struct fmt *f, const char *file, struct mln_bytes text)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *again = NULL;
    MLN_TRY(mln_rego_new(f->cli->cx, &f->options, &again));
    if (mln_failed(mln_rego_add(again, f->cli->cx, file, text))) {
        const char *why = mln_text_dup(f->cli->cx, mln_bytes_of(f->cli->cx->text));
        mln_cli_say(f->cli, "%s: not formatted, as the result could not be read: %s\n", file, why);
        f->has_errors = f->is_bad = true;
    }
    return MLN_OK;
}

/* One module in its canonical form; what cannot be read is told. */
static struct mln_err format_text(struct fmt *f, const char *file, struct mln_bytes text,
                                  struct mln_buf *ret)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_TRY(mln_rego_new(f->cli->cx, &f->options, &rego));
    struct mln_err err = mln_rego_add(rego, f->cli->cx, file, text);
    if (mln_failed(err)) {
        mln_cli_say(f->cli, "failed to format Rego source file: ");
        rego_errors_say(f->cli, rego_errors_of(f->cli->cx, rego));
        f->has_errors = f->is_bad = true;
        return err;
    }
    if (!mln_rego_format(rego, 0, &f->how, ret)) {
        return mln_fail(f->cli->cx, MLN_E_MEMORY, "%s: no memory", file);
    }
    return check_result(f, file, mln_buf_bytes(ret));
}

/* ---- differences, as diff -u prints them: one part from the first line that differs to the last ---- */
#define AROUND    3u    /* lines shown before and behind */
#define TABLE_MAX 2000u /* lines that are compared with one another; more are shown as taken out and put in */

struct side {
    struct mln_bytes *lines;
    size_t n;
};

static struct side split(struct mln_cx *cx, struct mln_bytes text)
{
    struct side s = {0};
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '\n';
    }
    s.lines = mln_new_array(cx, n, sizeof(*s.lines));
    while (s.lines != NULL && text.len > 0) {
        s.lines[s.n++] = mln_bytes_cut(text, '\n', &text);
    }
    return s;
}

static void print_line(char sign, struct mln_bytes line)
{
    mln_cli_out("%c", sign);
    mln_cli_raw(line);
    mln_cli_out("\n");
}

/* Row i, column k: how many lines the rests from there have in common. */
static uint16_t *common_parts(struct mln_cx *cx, struct side a, struct side b)
{
    size_t w = b.n + 1;
    uint16_t *t = a.n > TABLE_MAX || b.n > TABLE_MAX ? NULL : mln_new_array(cx, (a.n + 1) * w, sizeof(*t));
    for (size_t i = t == NULL ? 0 : a.n; i-- > 0;) {
        for (size_t k = b.n; k-- > 0;) {
            uint16_t down = t[(i + 1) * w + k], right = t[i * w + k + 1];
            bool same = mln_bytes_eq(a.lines[i], b.lines[k]);
            t[i * w + k] = same ? (uint16_t)(t[(i + 1) * w + k + 1] + 1) : down > right ? down : right;
        }
    }
    return t;
}

static void print_middle(struct mln_cx *cx, struct side a, struct side b)
{
    const uint16_t *t = common_parts(cx, a, b);
    size_t w = b.n + 1, i = 0, k = 0;
    while (i < a.n || k < b.n) {
        if (t != NULL && i < a.n && k < b.n && mln_bytes_eq(a.lines[i], b.lines[k])) {
            print_line(' ', a.lines[i++]);
            k++;
        } else if (i < a.n && (k == b.n || t == NULL || t[(i + 1) * w + k] >= t[i * w + k + 1])) {
            print_line('-', a.lines[i++]);
        } else {
            print_line('+', b.lines[k++]);
        }
    }
}

static struct mln_err print_diff(struct fmt *f, const char *file, struct mln_bytes old, struct mln_bytes new)
{
    struct mln_cx *cx = f->cli->cx;
    struct side a = split(cx, old), b = split(cx, new);
    size_t head = 0, tail = 0;
    MLN_TRY(mln_cx_err(cx));
    while (head < a.n && head < b.n && mln_bytes_eq(a.lines[head], b.lines[head])) {
        head++;
    }
    while (tail + head < a.n && tail + head < b.n &&
           mln_bytes_eq(a.lines[a.n - 1 - tail], b.lines[b.n - 1 - tail])) {
        tail++;
    }
    size_t from = head > AROUND ? head - AROUND : 0, keep = tail > AROUND ? tail - AROUND : 0;
    mln_cli_out("--- %s\n+++ %s\n@@ -%zu,%zu +%zu,%zu @@\n", file, file, from + 1, a.n - keep - from,
                from + 1, b.n - keep - from);
    print_middle(cx, (struct side){a.lines + from, a.n - keep - from},
                 (struct side){b.lines + from, b.n - keep - from});
    return mln_cx_err(cx);
}

static struct mln_err format_file(void *with, const char *path)
{
    struct fmt *f = with;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes text;
    MLN_TRY(mln_cli_read_file(f->cli, path, MLN_REGO_MODULE_MAX, &text));
    f->is_bad = false;
    struct mln_err err = format_text(f, path, text, &out);
    if (f->is_bad) {
        mln_cx_clear(f->cli->cx);
        return MLN_OK; /* on with the next file */
    }
    MLN_TRY(err);
    bool changed = !mln_bytes_eq(text, mln_buf_bytes(&out));
    f->has_changes |= changed;
    if (f->lists) {
        mln_cli_out("%s%s", changed ? path : "", changed ? "\n" : "");
    } else if (f->diffs && changed) {
        MLN_TRY(print_diff(f, path, text, mln_buf_bytes(&out)));
    }
    if (f->writes && changed) {
        struct stat st;
        mode_t mode = stat(path, &st) == 0 ? st.st_mode & 0777 : 0644;
        MLN_TRY(mln_file_replace(f->cli->cx, path, mln_buf_bytes(&out), (unsigned)mode, false));
    }
    if (!f->lists && !f->diffs && !f->writes && !f->fails) {
        mln_cli_raw(mln_buf_bytes(&out));
    }
    return MLN_OK;
}

static struct mln_err format_stdin(struct fmt *f)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes text;
    MLN_TRY(mln_cli_read_file(f->cli, "-", MLN_REGO_MODULE_MAX, &text));
    struct mln_err err = format_text(f, "stdin", text, &out);
    if (!f->has_errors) {
        MLN_TRY(err);
        f->has_changes = !mln_bytes_eq(text, mln_buf_bytes(&out));
        mln_cli_raw(mln_buf_bytes(&out));
        return MLN_OK;
    }
    mln_cx_clear(f->cli->cx);
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    bool reads_v0 = mln_cli_bool(cli, "v0-compatible") || mln_cli_bool(cli, "rego-v1");
    struct fmt f = {.cli = cli,
                    .options.version = reads_v0 && !mln_cli_bool(cli, "v1-compatible") ? MLN_REGO_V0 : MLN_REGO_V1,
                    .how = {.to_v1 = mln_cli_bool(cli, "rego-v1"),
                            .drops_imports = mln_cli_bool(cli, "drop-v0-imports")},
                    .writes = mln_cli_bool(cli, "write"),
                    .lists = mln_cli_bool(cli, "list"),
                    .diffs = mln_cli_bool(cli, "diff"),
                    .fails = mln_cli_bool(cli, "fail")};
    if (cli->n_args == 0) {
        MLN_TRY(format_stdin(&f));
    }
    for (size_t i = 0; i < cli->n_args; i++) {
        MLN_TRY(rego_each_policy(cli, cli->args[i], format_file, &f));
    }
    if (f.has_errors || (f.fails && f.has_changes)) {
        cli->exit_code = REGO_EXIT_BAD;
    }
    return mln_cx_err(cli->cx);
}

static const struct mln_flag flags[] = {
    {"write", MLN_FLAG_BOOL, NULL, NULL, "Write the result back to the file"},
    {"list", MLN_FLAG_BOOL, NULL, NULL, "Only name the files that would change"},
    {"diff", MLN_FLAG_BOOL, NULL, NULL, "Only show what would change"},
    {"fail", MLN_FLAG_BOOL, NULL, NULL, "Exit code 2 when a file would change"},
    {"rego-v1", MLN_FLAG_BOOL, NULL, NULL, "Read v0, write what v0 and v1 read alike"},
    {"drop-v0-imports", MLN_FLAG_BOOL, NULL, NULL, "Leave out imports that v1 does not need"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const letters[] = {"w", "write", "l", "list", "d", "diff", NULL};
static const char *const examples[] = {"merlon rego fmt policy.rego", "merlon rego fmt -w policies/",
                                       "merlon rego fmt --fail -l policies/", NULL};
const struct mln_command mln_command_rego_fmt = {
    .noun = "rego",
    .verb = "fmt",
    .summary = "Write policies in their canonical form",
    .args = "[PATH...]",
    .examples = examples,
    .flags = flags,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Without a path the standard input is formatted. Exit code 2 when a file cannot be read as a policy, or with "
            "--fail when it would change.",
    .run = run,
};
