/* SPDX-License-Identifier: Apache-2.0 */
/* merlon token exchange: a token of Kubernetes, a CI system, a cloud or another trust domain becomes an SVID (RFC 8693). */
#include "cli/cli_priv.h"

#define GRANT           "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE            "urn:ietf:params:oauth:token-type:"
#define TYPE_X509       "urn:merlon:params:oauth:token-type:x509-svid"
#define TOKEN_MAX_BYTES (64u << 10)
#define CSR_MAX_BYTES   16384u

static struct mln_err put_file(struct mln_cli *cli, const char *path, size_t max,
                               const char *member, struct mln_value *body)
{
    struct mln_bytes text = {0};
    MLN_TRY(mln_cli_read_file(cli, path, max, &text));
    mln_put(cli->cx, body, member, mln_secret_string(cli->cx, mln_bytes_trim(text)));
    return mln_cx_err(cli->cx);
}

static struct mln_err put_files(struct mln_cli *cli, struct mln_value *body)
{
    const char *subject = mln_cli_text(cli, "subject-token-file"),
               *actor = mln_cli_text(cli, "actor-token-file"), *csr = mln_cli_text(cli, "csr-file");
    if (subject == NULL) {
        return mln_cli_usage(cli,
                             "--subject-token-file is needed ('-' reads the token from stdin)");
    }
    MLN_TRY(put_file(cli, subject, TOKEN_MAX_BYTES, "subject_token", body));
    if (actor != NULL) {
        MLN_TRY(put_file(cli, actor, TOKEN_MAX_BYTES, "actor_token", body));
        mln_put_text(cli->cx, body, "actor_token_type", TYPE "jwt");
    }
    if (csr != NULL) {
        MLN_TRY(put_file(cli, csr, CSR_MAX_BYTES, "csr", body));
        mln_put_text(cli->cx, body, "requested_token_type", TYPE_X509);
    }
    return mln_cx_err(cli->cx);
}

/* The token alone, for scripts: export T=$(merlon token exchange ...). */
static void print_token(struct mln_cli *cli, const struct mln_value *answer)
{
    struct mln_bytes token = mln_get_bytes(mln_get(answer, "access_token"));
    mln_cli_raw(token);
    if (!mln_bytes_ends(token, MLN_BYTES("\n"))) {
        mln_cli_out("\n");
    }
    mln_cli_say(cli, "merlon: expires in %lld s\n",
                (long long)mln_get_int(mln_get(answer, "expires_in"), 0));
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    const struct mln_value *audience = mln_cli_list(cli, "audience"),
                           *resource = mln_cli_list(cli, "resource");
    const char *id = mln_cli_text(cli, "spiffe-id");
    mln_put_text(cli->cx, body, "grant_type", GRANT);
    mln_put_text(cli->cx, body, "subject_token_type",
                 mln_text_format(cli->cx, "%s%s", TYPE, mln_cli_text(cli, "subject-token-type")));
    if (mln_len(audience) > 0) {
        mln_put(cli->cx, body, "audience", audience);
    }
    if (mln_len(resource) > 0) {
        mln_put(cli->cx, body, "resource", resource);
    }
    if (id != NULL) {
        mln_put_text(cli->cx, body, "spiffe_id", id);
    }
    MLN_TRY(put_files(cli, body));
    MLN_TRY(mln_cli_call(cli, "POST", "spiffe/token", body, &reply));
    return mln_cli_answer(cli, reply.body, print_token);
}

static const struct mln_flag flags[] = {
    {"subject-token-file", MLN_FLAG_TEXT, "FILE", NULL, "The token to exchange; '-': stdin"},
    {"subject-token-type", MLN_FLAG_TEXT, "TYPE", "jwt", "jwt, id_token or access_token"},
    {"audience", MLN_FLAG_LIST, "NAME", NULL, "Whom the new token is for (again for more)"},
    {"resource", MLN_FLAG_LIST, "URI", NULL, "The same as a URI (again for more)"},
    {"actor-token-file", MLN_FLAG_TEXT, "FILE", NULL, "JWT-SVID of who acts for the subject"},
    {"csr-file", MLN_FLAG_TEXT, "FILE", NULL,
     "Certificate request, PEM: an X.509-SVID instead of a token"},
    {"spiffe-id", MLN_FLAG_TEXT, "ID", NULL, "Only this identity, where several rules fit"},
    {0},
};
static const char *const examples[] = {
    "merlon token exchange --subject-token-file /var/run/secrets/tokens/merlon --audience db",
    "printf %s \"$CI_ID_TOKEN\" | merlon token exchange --subject-token-file - --audience api",
    "merlon token exchange --subject-token-file ci.jwt --csr-file web.csr > web.pem",
    NULL,
};

const struct mln_command mln_command_token_exchange = {
    .noun = "token",
    .verb = "exchange",
    .summary = "Exchange a token of others for an identity of this trust domain",
    .args = "",
    .examples = examples,
    .flags = flags,
    .run = run,
};
