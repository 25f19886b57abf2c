/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets from the terminal, a file or stdin; never from argv. Also confirmation, files, KEY=VALUE pairs. */
#include "cli/cli_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_MAX_BYTES (1u << 20)

struct mln_err mln_cli_read_file(struct mln_cli *cli, const char *path, size_t max, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = true};
    if (mln_bytes_is(mln_bytes_of(path), "-")) {
        MLN_TRY(mln_fd_read_all(cli->cx, STDIN_FILENO, max, &buf));
    } else {
        MLN_TRY(mln_file_read_all(cli->cx, path, max, &buf));
    }
    *ret = mln_bytes_dup(cli->cx, mln_buf_bytes(&buf));
    return mln_cx_err(cli->cx);
}

/* One line from the terminal without echo; the terminal's settings come back whatever happens. */
static struct mln_err ask_hidden(struct mln_cli *cli, int tty, const char *prompt, struct mln_bytes *ret)
{
    struct termios old;
    if (tcgetattr(tty, &old) != 0) {
        return mln_fail(cli->cx, MLN_E_IO, "cannot read from the terminal");
    }
    struct termios quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    dprintf(tty, "%s (hidden): ", prompt);
    uint8_t line[4096];
    ssize_t n = read(tty, line, sizeof line);
    (void)tcsetattr(tty, TCSAFLUSH, &old);
    dprintf(tty, "\n");
    if (n > 0) {
        *ret = mln_bytes_dup(cli->cx, mln_bytes_trim(mln_bytes_at(line, (size_t)n)));
    }
    mln_wipe(line, sizeof line);
    return n > 0 ? mln_cx_err(cli->cx) : mln_fail(cli->cx, MLN_E_INTERRUPTED, "nothing was typed");
}

static struct mln_err ask(struct mln_cli *cli, const char *prompt, bool twice, struct mln_bytes *ret)
{
    MLN_AUTO(mln_fd_drop) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0) {
        cli->hint = "give it on stdin with '-' or in a file with '@FILE'";
        return mln_fail(cli->cx, MLN_E_USAGE, "%s is needed and there is no terminal to ask on", prompt);
    }
    MLN_TRY(ask_hidden(cli, tty, prompt, ret));
    if (twice) {
        struct mln_bytes again = {0};
        MLN_TRY(ask_hidden(cli, tty, "once more", &again));
        if (!mln_eq_ct(ret->ptr, ret->len, again.ptr, again.len)) {
            return mln_fail(cli->cx, MLN_E_INVALID, "the two differ");
        }
    }
    return MLN_OK;
}

struct mln_err mln_cli_secret(struct mln_cli *cli, const char *text, const char *prompt, bool twice, struct mln_bytes *ret)
{
    if (text == NULL) {
        return ask(cli, prompt, twice, ret);
    }
    const char *path = mln_bytes_is(mln_bytes_of(text), "-") ? "-" : text[0] == '@' ? text + 1 : NULL;
    if (path == NULL) {
        cli->hint = "use '-' for stdin or '@FILE'";
        return mln_fail(cli->cx, MLN_E_USAGE, "a secret is never given as an argument: others can read it there");
    }
    struct mln_bytes whole = {0};
    MLN_TRY(mln_cli_read_file(cli, path, SECRET_MAX_BYTES, &whole));
    *ret = mln_bytes_trim(whole);
    return MLN_OK;
}

struct mln_err mln_cli_given(struct mln_cli *cli, const char *text, struct mln_bytes *ret)
{
    if (!mln_bytes_is(mln_bytes_of(text), "-") && text[0] != '@') {
        mln_cli_say(cli, "merlon: warning: others can read arguments; '-' takes it from stdin, '@FILE' from a file\n");
        *ret = mln_bytes_of(text);
        return MLN_OK;
    }
    return mln_cli_secret(cli, text, "", false, ret);
}

struct mln_err mln_cli_confirm(struct mln_cli *cli, const char *question)
{
    if (mln_cli_bool(cli, "yes")) {
        return MLN_OK;
    }
    MLN_AUTO(mln_fd_drop) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0 || !isatty(STDIN_FILENO)) {
        return mln_fail(cli->cx, MLN_E_USAGE, "%s needs --yes when nobody can be asked", question);
    }
    dprintf(tty, "%s? [y/N] ", question);
    char line[16] = {0};
    ssize_t n = read(tty, line, sizeof line - 1);
    if (n > 0 && (line[0] == 'y' || line[0] == 'Y')) {
        return MLN_OK;
    }
    return mln_fail(cli->cx, MLN_E_INTERRUPTED, "not done");
}

static struct mln_err pair_value(struct mln_cli *cli, struct mln_bytes text, const struct mln_value **ret)
{
    struct mln_bytes content = text;
    if (mln_bytes_is(text, "-") || (text.len > 1 && text.ptr[0] == '@')) {
        const char *path = text.ptr[0] == '@' ? mln_text_dup(cli->cx, mln_bytes_from(text, 1)) : "-";
        MLN_TRY(mln_cli_read_file(cli, path, MLN_BUF_MAX, &content));
    } else if (text.len > 1 && text.ptr[0] == '\\' && text.ptr[1] == '@') {
        content = mln_bytes_from(text, 1);
    }
    *ret = mln_string(cli->cx, content);
    return MLN_OK;
}

/* A key that stands twice becomes a list. */
static void put_pair(struct mln_cli *cli, struct mln_value *to, struct mln_bytes key, const struct mln_value *value)
{
    const struct mln_value *before = mln_get_key(to, key);
    struct mln_value *list = mln_array(cli->cx);
    if (before == NULL) {
        mln_put_key(cli->cx, to, key, value);
        return;
    }
    for (size_t i = 0; mln_type_of(before) == MLN_ARRAY && i < mln_len(before); i++) {
        mln_push(cli->cx, list, mln_item(before, i));
    }
    if (mln_type_of(before) != MLN_ARRAY) {
        mln_push(cli->cx, list, before);
    }
    mln_push(cli->cx, list, value);
    mln_put_key(cli->cx, to, key, list);
}

struct mln_err mln_cli_pairs(struct mln_cli *cli, size_t from, struct mln_value **ret)
{
    struct mln_value *object = mln_object(cli->cx);
    for (size_t i = from; i < cli->n_args; i++) {
        struct mln_bytes arg = mln_bytes_of(cli->args[i]);
        bool is_stdin = mln_bytes_is(arg, "-");
        if (is_stdin || (arg.len > 1 && arg.ptr[0] == '@' && mln_bytes_find(arg, '=') == arg.len)) {
            struct mln_bytes text = {0};
            const struct mln_value *whole = NULL;
            MLN_TRY(mln_cli_read_file(cli, is_stdin ? "-" : cli->args[i] + 1, MLN_BUF_MAX, &text));
            MLN_TRY(mln_json_parse(cli->cx, text, &whole));
            for (size_t k = 0; mln_type_of(whole) == MLN_OBJECT && k < mln_len(whole); k++) {
                mln_put_key(cli->cx, object, mln_member_at(whole, k)->key, &mln_member_at(whole, k)->value);
            }
            continue;
        }
        if (mln_bytes_find(arg, '=') == arg.len || arg.ptr[0] == '=') {
            return mln_cli_usage(cli, "'%s' is not KEY=VALUE", cli->args[i]);
        }
        struct mln_bytes text = {0};
        struct mln_bytes key = mln_bytes_cut(arg, '=', &text);
        const struct mln_value *value = NULL;
        MLN_TRY(pair_value(cli, text, &value));
        put_pair(cli, object, key, value);
    }
    *ret = object;
    return mln_cx_err(cli->cx);
}
