/* SPDX-License-Identifier: Apache-2.0 */
/* Help pages from the descriptors: usage, one sentence, examples first, flags in groups, exit codes; to stdout, 80 columns. */
#include "cli/cli_priv.h"

#include <stdio.h>

const char *const mln_cli_noun_summaries[][2] = {
    {"server", "Run the server"},
    {"agent", "Log a workload in and render its secrets"},
    {"operator", "Initialise, unseal, seal, rotate, verify the store"},
    {"status", "Show the server's state"},
    {"migrate", "Move all that can be moved between Vault, OpenBao and Merlon"},
    {"login", "Log in and keep the token"},
    {"read", "Read any path"},
    {"write", "Write to any path"},
    {"list", "List names below any path"},
    {"scan", "List all names below any path, with its folders"},
    {"delete", "Delete at any path"},
    {"unwrap", "Take out a wrapped answer"},
    {"path-help", "Show what a path is for"},
    {"secrets", "Mount and tune secrets engines"},
    {"auth", "Mount and tune auth methods"},
    {"namespace", "Servers within the server: make, change, lock, delete"},
    {"lease", "Look up, renew and revoke leases"},
    {"audit", "Write requests to files, sockets and syslog as well"},
    {"user", "Manage people who log in with a password"},
    {"kv", "Read and write versioned secrets"},
    {"transit", "Encrypt and sign with keys that never leave the server"},
    {"entry", "Register workloads: which process gets which SPIFFE id"},
    {"bundle", "Trust bundles of this and of other trust domains"},
    {"federation", "Fetch the bundles of other trust domains"},
    {"proxy", "mTLS with SPIFFE identities for programs that do not speak it"},
    {"node", "Attest processes on other machines in the server's name"},
    {"token", "Look up, make, renew, exchange and revoke tokens"},
    {"policy", "Read and write access policies"},
    {"model", "Scan, sign, verify, encrypt and open models"},
    {"fairness", "Measure group fairness from predictions"},
    {"release", "Protect and release a model, step by step"},
    {"approve", "Approve a release as a second person"},
    {"gate", "Judge models and documents by gates, in CI"},
    {"decision", "Decisions of policies, and their replay"},
    {"ledger", "Show, prove and verify the evidence"},
    {"rego", "Evaluate, check, serve and measure policies in Rego"},
    {"completion", "Print shell completion"},
    {"man", "Write the manual pages"},
    {NULL, NULL},
};

static const char *summary_of(const char *noun)
{
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        if (mln_bytes_is(mln_bytes_of(noun), mln_cli_noun_summaries[i][0])) {
            return mln_cli_noun_summaries[i][1];
        }
    }
    return "";
}

static void print_flags(const char *title, const struct mln_flag *flags)
{
    if (flags == NULL || flags->name == NULL) {
        return;
    }
    printf("\n%s:\n", title);
    for (; flags->name != NULL; flags++) {
        char left[64];
        bool is_short = mln_bytes_is(mln_bytes_of(flags->name), "output");
        snprintf(left, sizeof left, "--%s%s%s%s", flags->name, is_short ? ", -o" : "", flags->placeholder != NULL ? " " : "",
                 flags->placeholder != NULL ? flags->placeholder : "");
        printf("  %-28s ", left);
        if (mln_bytes_of(left).len > 28) {
            printf("\n%31s", "");
        }
        printf("%s", flags->help);
        if (flags->fallback != NULL) {
            printf(" (default %s)", flags->fallback);
        }
        printf("\n");
    }
}

void mln_cli_help(struct mln_cli *cli, const struct mln_command *c)
{
    (void)cli;
    printf("Usage: merlon %s%s%s [flags]%s%s\n\n%s.\n", c->noun, c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
           c->args[0] != '\0' ? " " : "", c->args, c->summary);
    if (c->examples != NULL && c->examples[0] != NULL) {
        printf("\nExamples:\n");
        for (size_t i = 0; c->examples[i] != NULL && i < 3; i++) {
            printf("  %s\n", c->examples[i]);
        }
    }
    if (c->more != NULL) {
        printf("\n%s\n", c->more);
    }
    print_flags("Flags", c->flags);
    print_flags("Output", mln_cli_output_flags);
    if (!c->is_local) {
        print_flags("Connection", mln_cli_connection_flags);
    }
    printf("\nExit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 finding or refusal,\n"
           "6 sealed, 7 unreachable, 8 could not be judged, 9 waiting for someone.\n"
           "See also: merlon help exit-codes, merlon help environment, merlon help formats\n");
}

void mln_cli_help_noun(struct mln_cli *cli, const char *noun)
{
    (void)cli;
    printf("Usage: merlon %s <verb> [flags] [args]\n\n%s.\n\nVerbs:\n", noun, summary_of(noun));
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        if (mln_bytes_is(mln_bytes_of(noun), mln_commands[i]->noun)) {
            printf("  %-14s %s\n", mln_commands[i]->verb != NULL ? mln_commands[i]->verb : "", mln_commands[i]->summary);
        }
    }
    printf("\nMore: merlon %s <verb> --help\n", noun);
}

void mln_cli_help_all(struct mln_cli *cli)
{
    (void)cli;
    printf("Usage: merlon <noun> <verb> [flags] [args]\n\n"
           "Merlon keeps the secrets, keys, models and evidence of an ML platform.\n\n"
           "Examples:\n"
           "  merlon server --dev                      start a server to try things on\n"
           "  merlon model scan ./model                look for what a model file would run\n"
           "  merlon release ./model                   scan, check, sign, encrypt, gate, record\n\nNouns:\n");
    for (size_t i = 0; mln_cli_noun_summaries[i][0] != NULL; i++) {
        printf("  %-12s %s\n", mln_cli_noun_summaries[i][0], mln_cli_noun_summaries[i][1]);
    }
    printf("\nMore: merlon <noun> --help, merlon help environment|exit-codes|formats\n");
}

static const char environment_text[] =
    "Environment. Each is read as MERLON_X, else VAULT_X, else BAO_X; a flag wins.\n\n"
    "  MERLON_ADDR             server's URL (http://127.0.0.1:8200)\n"
    "  MERLON_TOKEN            token; else the file written by 'merlon login'\n"
    "  MERLON_NAMESPACE        namespace\n"
    "  MERLON_CACERT           PEM file of roots to trust\n"
    "  MERLON_CLIENT_CERT      client certificate; MERLON_CLIENT_KEY its key\n"
    "  MERLON_TLS_SERVER_NAME  name to verify instead of the URL's host\n"
    "  MERLON_SKIP_VERIFY      true: do not verify the server\n"
    "  MERLON_FORMAT           table, json, yaml or raw\n"
    "  NO_COLOR, CLICOLOR_FORCE, TERM=dumb   colour off, on, off\n";

static const char formats_text[] =
    "Formats (--format).\n\n"
    "  table  aligned columns on a terminal; tabs and no header when piped\n"
    "  json   one object, two-space indent; members are only ever added\n"
    "  yaml   the same as YAML\n"
    "  raw    compact JSON, or a bare string\n\n"
    "--field NAME prints one bare value; dots reach inside (data.password).\n"
    "With --format json an error is {\"error\":{code,class,message,request_id}} on stderr.\n";

static void print_exit_codes(void)
{
    printf("Exit codes.\n\n"
           "  0    done\n"
           "  1    failed\n"
           "  2    wrong usage\n"
           "  3    not found\n"
           "  4    denied, or not logged in\n"
           "  5    a finding, a failed verification, a gate or policy that says no\n"
           "  6    the server is sealed\n"
           "  7    unreachable or timed out\n"
           "  8    could not be judged: nothing scannable, unknown format\n"
           "  9    waiting for someone's approval\n"
           "  10   something would change (plan)\n"
           "  130  interrupted\n\n"
           "'merlon status' answers 0 unsealed, 1 error, 2 sealed.\n\nErrors and their codes:\n");
    for (uint32_t c = 1; c < MLN_E_COUNT; c++) {
        printf("  %-14s %-9s exit %-4d http %d\n", mln_err_name(c), mln_err_class(c), mln_err_exit(c), mln_err_http(c));
    }
}

bool mln_cli_help_topic(struct mln_cli *cli, const char *topic)
{
    (void)cli;
    struct mln_bytes name = mln_bytes_of(topic);
    if (mln_bytes_is(name, "environment")) {
        fputs(environment_text, stdout);
    } else if (mln_bytes_is(name, "formats")) {
        fputs(formats_text, stdout);
    } else if (mln_bytes_is(name, "exit-codes")) {
        print_exit_codes();
    } else {
        return false;
    }
    return true;
}
