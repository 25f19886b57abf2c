/* SPDX-License-Identifier: Apache-2.0 */
/* merlon completion: scripts for bash, zsh and fish, from the table of commands. Nothing is asked of a server. */
#include "cli/cli_priv.h"

/* ---- what is common ---- */

/* The flags of a command, one "--name" after another with a blank between. */
static void add_flags(struct mln_buf *buf, const struct mln_command *c)
{
    const struct mln_flag *groups[] = {c->flags, mln_cli_output_flags, c->is_local ? NULL : mln_cli_connection_flags};
    const char *blank = "";
    for (size_t g = 0; g < MLN_COUNT(groups); g++) {
        for (const struct mln_flag *f = groups[g]; f != NULL && f->name != NULL; f++) {
            mln_buf_add_format(buf, "%s--%s", blank, f->name);
            blank = " ";
        }
    }
}

static void add_nouns(struct mln_buf *buf)
{
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        mln_buf_add_format(buf, "%s%s", i > 0 ? " " : "", mln_cli_noun_summaries[i][0]);
    }
    mln_buf_add_text(buf, " help");
}

static bool has_verbs(const char *noun)
{
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        if (mln_bytes_is(mln_bytes_of(noun), mln_commands[i]->noun) && mln_commands[i]->verb != NULL) {
            return true;
        }
    }
    return false;
}

static void add_verbs(struct mln_buf *buf, const char *noun)
{
    const char *blank = "";
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        const struct mln_command *c = mln_commands[i];
        if (mln_bytes_is(mln_bytes_of(noun), c->noun) && c->verb != NULL) {
            mln_buf_add_format(buf, "%s%s", blank, c->verb);
            blank = " ";
        }
    }
}

/* Text inside single quotes of a shell. */
static void add_quoted(struct mln_buf *buf, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            mln_buf_add_text(buf, "'\\''");
        } else {
            mln_buf_add_byte(buf, (uint8_t)*p);
        }
    }
}

/* ---- bash ---- */

/* "noun verb) words=...;;" for every command: zsh's own completion of bash scripts is not used. */
static void add_cases(struct mln_buf *buf)
{
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        const struct mln_command *c = mln_commands[i];
        mln_buf_add_format(buf, "        '%s%s%s') flags='", c->noun, c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "");
        add_flags(buf, c);
        mln_buf_add_text(buf, "' ;;\n");
    }
}

static void add_verb_cases(struct mln_buf *buf)
{
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        const char *noun = mln_cli_noun_summaries[i][0];
        if (has_verbs(noun)) {
            mln_buf_add_format(buf, "        %s) verbs='", noun);
            add_verbs(buf, noun);
            mln_buf_add_text(buf, "' ;;\n");
        }
    }
}

static void print_bash(struct mln_buf *buf)
{
    mln_buf_add_text(buf, "# bash completion for merlon: source it, or put it into\n"
                          "# ~/.local/share/bash-completion/completions/merlon\n"
                          "_merlon() {\n"
                          "    local cur=${COMP_WORDS[COMP_CWORD]} noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]}\n"
                          "    local verbs='' flags='' key=$noun\n"
                          "    COMPREPLY=()\n"
                          "    case $noun in\n");
    add_verb_cases(buf);
    mln_buf_add_text(buf, "    esac\n    [[ -n $verbs ]] && key=\"$noun $verb\"\n    case $key in\n");
    add_cases(buf);
    mln_buf_add_text(buf, "    esac\n    if ((COMP_CWORD == 1)); then\n        COMPREPLY=($(compgen -W '");
    add_nouns(buf);
    mln_buf_add_text(buf, "' -- \"$cur\"))\n"
                          "    elif ((COMP_CWORD == 2)) && [[ -n $verbs && $cur != -* ]]; then\n"
                          "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
                          "    elif [[ $cur == -* ]]; then\n"
                          "        COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
                          "    else\n"
                          "        compopt -o filenames 2>/dev/null\n"
                          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                          "    fi\n"
                          "}\n"
                          "complete -F _merlon merlon\n");
}

/* ---- zsh ---- */

static void print_zsh(struct mln_buf *buf)
{
    mln_buf_add_text(buf, "#compdef merlon\n"
                          "# zsh completion for merlon: put it into a folder of $fpath as _merlon\n"
                          "_merlon() {\n"
                          "    local verbs='' flags='' key=$words[2]\n"
                          "    case $words[2] in\n");
    add_verb_cases(buf);
    mln_buf_add_text(buf, "    esac\n    [[ -n $verbs ]] && key=\"$words[2] $words[3]\"\n    case $key in\n");
    add_cases(buf);
    mln_buf_add_text(buf, "    esac\n    if ((CURRENT == 2)); then\n        local -a nouns=(\n");
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        mln_buf_add_format(buf, "            '%s:", mln_cli_noun_summaries[i][0]);
        add_quoted(buf, mln_cli_noun_summaries[i][1]);
        mln_buf_add_text(buf, "'\n");
    }
    mln_buf_add_text(buf, "        )\n        _describe noun nouns\n"
                          "    elif ((CURRENT == 3)) && [[ -n $verbs && $PREFIX != -* ]]; then\n"
                          "        compadd -- ${=verbs}\n"
                          "    elif [[ $PREFIX == -* ]]; then\n"
                          "        compadd -- ${=flags}\n"
                          "    else\n"
                          "        _files\n"
                          "    fi\n"
                          "}\n"
                          "compdef _merlon merlon\n");
}

/* ---- fish ---- */

static void add_fish_flags(struct mln_buf *buf, const struct mln_command *c)
{
    const struct mln_flag *groups[] = {c->flags, mln_cli_output_flags, c->is_local ? NULL : mln_cli_connection_flags};
    for (size_t g = 0; g < MLN_COUNT(groups); g++) {
        for (const struct mln_flag *f = groups[g]; f != NULL && f->name != NULL; f++) {
            mln_buf_add_format(buf, "complete -c merlon -n '__merlon_is %s %s' -l %s%s -d '", c->noun,
                               c->verb != NULL ? c->verb : "", f->name, f->kind == MLN_FLAG_BOOL ? "" : " -r");
            add_quoted(buf, f->help);
            mln_buf_add_text(buf, "'\n");
        }
    }
}

static void print_fish(struct mln_buf *buf)
{
    mln_buf_add_text(buf, "# fish completion for merlon: put it into ~/.config/fish/completions/merlon.fish\n"
                          "function __merlon_is\n"
                          "    set -l words (commandline -opc)\n"
                          "    set -e words[1]\n"
                          "    test (count $words) -ge (count $argv); or return 1\n"
                          "    test \"$words[1..(count $argv)]\" = \"$argv\"\n"
                          "end\n"
                          "function __merlon_at\n"
                          "    test (count (commandline -opc)) -eq $argv[1]\n"
                          "end\n");
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        mln_buf_add_format(buf, "complete -c merlon -f -n '__merlon_at 1' -a %s -d '", mln_cli_noun_summaries[i][0]);
        add_quoted(buf, mln_cli_noun_summaries[i][1]);
        mln_buf_add_text(buf, "'\n");
    }
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        const struct mln_command *c = mln_commands[i];
        if (c->verb != NULL) {
            mln_buf_add_format(buf, "complete -c merlon -f -n '__merlon_at 2; and __merlon_is %s' -a %s -d '", c->noun, c->verb);
            add_quoted(buf, c->summary);
            mln_buf_add_text(buf, "'\n");
        }
        add_fish_flags(buf, c);
    }
}

static struct mln_err run(struct mln_cli *cli)
{
    static const struct {
        const char *name;
        void (*print)(struct mln_buf *buf);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (size_t i = 0; i < MLN_COUNT(shells); i++) {
        if (mln_bytes_is(mln_bytes_of(cli->args[0]), shells[i].name)) {
            shells[i].print(&buf);
            mln_buf_add_byte(&buf, 0);
            MLN_TRY(mln_buf_ok(cli->cx, &buf));
            mln_cli_out("%s", (const char *)buf.ptr);
            return MLN_OK;
        }
    }
    return mln_cli_usage(cli, "unknown shell '%s': bash, zsh or fish", cli->args[0]);
}

static const char *const examples[] = {
    "merlon completion bash > ~/.local/share/bash-completion/completions/merlon",
    "merlon completion zsh > ~/.zfunc/_merlon",
    "merlon completion fish > ~/.config/fish/completions/merlon.fish",
    NULL,
};
const struct mln_command mln_command_completion = {
    .noun = "completion",
    .summary = "Print the completion script of a shell",
    .args = "bash|zsh|fish",
    .examples = examples,
    .min_args = 1,
    .max_args = 1,
    .is_local = true,
    .run = run,
};
