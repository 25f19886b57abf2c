/* SPDX-License-Identifier: Apache-2.0 */
/* merlon man: manual pages from the descriptors, one a noun and one for the whole; what help shows, in roff. */
#include "cli/cli_priv.h"

static const struct mln_flag flags[] = {
    {"page", MLN_FLAG_TEXT, "NAME", NULL, "Print this page instead, e.g. merlon-kv"},
    {0},
};

/* ---- roff ---- */

/* Text as roff shows it: dashes and backslashes escaped, no line that begins as a request. */
static void add_text(struct mln_buf *buf, const char *text)
{
    bool is_start = true;
    for (const char *p = text; *p != '\0'; p++) {
        if (is_start && (*p == '.' || *p == '\'')) {
            mln_buf_add_text(buf, "\\&");
        }
        is_start = *p == '\n';
        switch (*p) {
        case '\\':
            mln_buf_add_text(buf, "\\e");
            break;
        case '-':
            mln_buf_add_text(buf, "\\-");
            break;
        case '\'':
            mln_buf_add_text(buf, "\\(aq");
            break;
        case '~':
            mln_buf_add_text(buf, "\\(ti");
            break;
        case '^':
            mln_buf_add_text(buf, "\\(ha");
            break;
        case '`':
            mln_buf_add_text(buf, "\\(ga");
            break;
        default:
            mln_buf_add_byte(buf, (uint8_t)*p);
            break;
        }
    }
}

static void add_block(struct mln_buf *buf, const char *text)
{
    mln_buf_add_text(buf, ".PP\n.nf\n");
    add_text(buf, text);
    mln_buf_add_text(buf, "\n.fi\n");
}

static void add_flags(struct mln_buf *buf, const struct mln_flag *list)
{
    for (; list != NULL && list->name != NULL; list++) {
        mln_buf_add_text(buf, ".TP\n\\fB\\-\\-");
        add_text(buf, list->name);
        mln_buf_add_text(buf, "\\fR");
        if (mln_bytes_is(mln_bytes_of(list->name), "output")) {
            mln_buf_add_text(buf, ", \\fB\\-o\\fR");
        }
        if (list->placeholder != NULL) {
            mln_buf_add_text(buf, " \\fI");
            add_text(buf, list->placeholder);
            mln_buf_add_text(buf, "\\fR");
        }
        mln_buf_add_text(buf, "\n");
        add_text(buf, list->help);
        if (list->fallback != NULL) {
            mln_buf_add_text(buf, " (default ");
            add_text(buf, list->fallback);
            mln_buf_add_text(buf, ")");
        }
        mln_buf_add_text(buf, "\n");
    }
}

/* ---- pages ---- */

/* Of a noun: 8 for what an administrator runs as a service. */
static unsigned section_of(const char *noun)
{
    return mln_bytes_is(mln_bytes_of(noun), "server") ? 8 : 1;
}

static void add_title(struct mln_buf *buf, const char *name, unsigned section, const char *summary)
{
    mln_buf_add_format(buf, ".TH \"");
    for (const char *p = name; *p != '\0'; p++) {
        mln_buf_add_byte(buf, (uint8_t)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
    }
    mln_buf_add_format(buf, "\" \"%u\" \"\" \"Merlon %s\" \"Merlon manual\"\n.nh\n.ad l\n.SH NAME\n", section, MLN_VERSION);
    add_text(buf, name);
    mln_buf_add_text(buf, " \\- ");
    add_text(buf, summary);
    mln_buf_add_text(buf, "\n");
}

static void add_usage(struct mln_buf *buf, const struct mln_command *c)
{
    mln_buf_add_format(buf, ".PP\n\\fBmerlon %s%s%s\\fR [\\fIflags\\fR]", c->noun, c->verb != NULL ? " " : "",
                       c->verb != NULL ? c->verb : "");
    if (c->args[0] != '\0') {
        mln_buf_add_text(buf, " \\fI");
        add_text(buf, c->args);
        mln_buf_add_text(buf, "\\fR");
    }
    mln_buf_add_text(buf, "\n");
}

static void add_command(struct mln_buf *buf, const struct mln_command *c)
{
    mln_buf_add_format(buf, ".SS merlon %s%s%s\n", c->noun, c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "");
    add_text(buf, c->summary);
    mln_buf_add_text(buf, ".\n");
    if (c->more != NULL) {
        add_block(buf, c->more);
    }
    add_flags(buf, c->flags);
    for (size_t i = 0; c->examples != NULL && c->examples[i] != NULL; i++) {
        if (i == 0) {
            mln_buf_add_text(buf, ".PP\nExamples:\n");
        }
        add_block(buf, c->examples[i]);
    }
}

static void add_exit_codes(struct mln_buf *buf)
{
    static const char *const codes[][2] = {
        {"0", "Done"}, {"1", "Failed"}, {"2", "Wrong usage"}, {"3", "Not found"}, {"4", "Denied, or not logged in"},
        {"5", "A finding, a failed verification, a gate or policy that says no"}, {"6", "The server is sealed"},
        {"7", "Unreachable or timed out"}, {"8", "Could not be judged: nothing scannable, unknown format"},
        {"9", "Waiting for an approval by someone"}, {"10", "Something would change (plan)"}, {"130", "Interrupted"}};
    mln_buf_add_text(buf, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < MLN_COUNT(codes); i++) {
        mln_buf_add_format(buf, ".TP\n.B %s\n%s\n", codes[i][0], codes[i][1]);
    }
}

static void print_noun(struct mln_buf *buf, const char *noun, const char *summary)
{
    char name[64];
    bool is_local = true;
    struct mln_bytes word = mln_bytes_of(noun);
    MLN_CHECK(word.len + sizeof("merlon-") <= sizeof(name));
    mln_copy(name, "merlon-", 7);
    mln_copy(name + 7, noun, word.len + 1);
    add_title(buf, name, section_of(noun), summary);
    mln_buf_add_text(buf, ".SH SYNOPSIS\n");
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        if (mln_bytes_is(word, mln_commands[i]->noun)) {
            add_usage(buf, mln_commands[i]);
            is_local = is_local && mln_commands[i]->is_local;
        }
    }
    mln_buf_add_text(buf, ".SH DESCRIPTION\n");
    add_text(buf, summary);
    mln_buf_add_text(buf, ".\n.SH COMMANDS\n");
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        if (mln_bytes_is(word, mln_commands[i]->noun)) {
            add_command(buf, mln_commands[i]);
        }
    }
    mln_buf_add_text(buf, ".SH OPTIONS OF EVERY COMMAND\n");
    add_flags(buf, mln_cli_output_flags);
    if (!is_local) {
        mln_buf_add_text(buf, ".SH CONNECTION\n");
        add_flags(buf, mln_cli_connection_flags);
    }
    add_exit_codes(buf);
    mln_buf_add_text(buf, ".SH SEE ALSO\n.BR merlon (1)\n");
}

static void print_whole(struct mln_buf *buf)
{
    add_title(buf, "merlon", 1, "keeps the secrets, keys, models and evidence of an ML platform");
    mln_buf_add_text(buf, ".SH SYNOPSIS\n\\fBmerlon\\fR \\fInoun\\fR \\fIverb\\fR [\\fIflags\\fR] [\\fIargs\\fR]\n.SH NOUNS\n");
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        const char *noun = mln_cli_noun_summaries[i][0];
        mln_buf_add_format(buf, ".TP\n.BR merlon\\-%s (%u)\n", noun, section_of(noun));
        add_text(buf, mln_cli_noun_summaries[i][1]);
        mln_buf_add_text(buf, "\n");
    }
    mln_buf_add_text(buf, ".SH OPTIONS OF EVERY COMMAND\n");
    add_flags(buf, mln_cli_output_flags);
    mln_buf_add_text(buf, ".SH CONNECTION\n");
    add_flags(buf, mln_cli_connection_flags);
    mln_buf_add_text(buf, ".SH ENVIRONMENT\nEach is read as MERLON_X, else VAULT_X, else BAO_X; a flag wins. See\n"
                          ".BR \"merlon help environment\" .\n");
    add_exit_codes(buf);
    mln_buf_add_text(buf, ".SH FILES\n.TP\n.I \\(ti/.config/merlon/token\nThe token that merlon login keeps, mode 0600.\n");
}

/* ---- command ---- */

static struct mln_err write_page(struct mln_cli *cli, const char *dir, const char *name, unsigned section, struct mln_buf *buf)
{
    MLN_TRY(mln_buf_ok(cli->cx, buf));
    const char *path = mln_text_format(cli->cx, "%s/%s.%u", dir, name, section);
    struct mln_err err = mln_file_replace(cli->cx, path, mln_buf_bytes(buf), 0644, false);
    mln_buf_clear(buf);
    return err;
}

static struct mln_err write_all(struct mln_cli *cli, const char *dir)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    size_t n = 0;
    MLN_TRY(mln_dir_make(cli->cx, dir, 0755));
    print_whole(&buf);
    MLN_TRY(write_page(cli, dir, "merlon", 1, &buf));
    for (; mln_cli_noun_summaries[n][0] != NULL; n++) {
        const char *noun = mln_cli_noun_summaries[n][0];
        print_noun(&buf, noun, mln_cli_noun_summaries[n][1]);
        MLN_TRY(write_page(cli, dir, mln_text_format(cli->cx, "merlon-%s", noun), section_of(noun), &buf));
    }
    mln_cli_say(cli, "Wrote %zu pages to %s; read one with: man -l %s/merlon.1\n", n + 1, dir, dir);
    return MLN_OK;
}

static struct mln_err print_page(struct mln_cli *cli, const char *page)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    struct mln_bytes name = mln_bytes_of(page);
    if (mln_bytes_is(name, "merlon")) {
        print_whole(&buf);
    }
    if (mln_bytes_starts(name, MLN_BYTES("merlon-"))) {
        name = mln_bytes_from(name, 7);
    }
    for (size_t i = 0; buf.len == 0 && mln_cli_noun_summaries[i][0] != NULL; i++) {
        if (mln_bytes_is(name, mln_cli_noun_summaries[i][0])) {
            print_noun(&buf, mln_cli_noun_summaries[i][0], mln_cli_noun_summaries[i][1]);
        }
    }
    if (buf.len == 0) {
        return mln_fail(cli->cx, MLN_E_NOT_FOUND, "there is no page '%s'", page);
    }
    mln_buf_add_byte(&buf, 0);
    MLN_TRY(mln_buf_ok(cli->cx, &buf));
    mln_cli_out("%s", (const char *)buf.ptr);
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    const char *page = mln_cli_text(cli, "page");
    if ((page != NULL) == (cli->n_args > 0)) {
        return mln_cli_usage(cli, "a folder to write to, or --page NAME");
    }
    return page != NULL ? print_page(cli, page) : write_all(cli, cli->args[0]);
}

static const char *const examples[] = {"merlon man ./man", "merlon man --page merlon-kv | man -l -", NULL};
const struct mln_command mln_command_man = {
    .noun = "man",
    .summary = "Write the manual pages into a folder, or print one",
    .args = "[DIR]",
    .examples = examples,
    .flags = flags,
    .max_args = 1,
    .is_local = true,
    .run = run,
};
