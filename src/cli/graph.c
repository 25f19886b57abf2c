/* SPDX-License-Identifier: Apache-2.0 */
/* merlon entry graph: fetch what is drawn, or read it from the file that `merlon entry apply` takes, and print it. */
#include "cli/entry_priv.h"
#include "cli/graph_priv.h"

#include "base/spiffe_id.h"
#include "base/yaml.h"

/* ---- what is drawn ---- */

/* {"keys":[],"key_info":{}} as an array of the infos, each with its key as `name`. */
static const struct mln_value *named(struct mln_cx *cx, const struct mln_value *data)
{
    const struct mln_value *info = mln_get(data, "key_info");
    struct mln_value *all = mln_array(cx);
    for (size_t i = 0; i < mln_len(info); i++) {
        const struct mln_member *m = mln_member_at(info, i);
        struct mln_value *one = mln_object(cx);
        mln_put(cx, one, "name", mln_string(cx, m->key));
        for (size_t k = 0; k < mln_len(&m->value); k++) {
            mln_put_key(cx, one, mln_member_at(&m->value, k)->key,
                        &mln_member_at(&m->value, k)->value);
        }
        mln_push(cx, all, one);
    }
    return all;
}

static struct mln_err fetch_named(struct mln_cli *cli, const char *path,
                                  const struct mln_value **ret)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", path, NULL, &reply));
    *ret = named(cli->cx, reply.data);
    return mln_cx_err(cli->cx);
}

/* What is drawn of a relationship; when it was asked for is not the picture's. */
static const struct mln_value *federation_of(struct mln_cx *cx, const struct mln_value *rows)
{
    static const char *const members[] = {"trust_domain", "url", "profile", "allowed_ids"};
    struct mln_value *all = mln_array(cx);
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_value *one = mln_object(cx);
        for (size_t k = 0; k < MLN_COUNT(members); k++) {
            mln_put(cx, one, members[k], mln_get(mln_item(rows, i), members[k]));
        }
        mln_push(cx, all, one);
    }
    return all;
}

static struct mln_err fetch(struct mln_cli *cli, struct mln_value *from)
{
    const struct mln_value *entries = NULL, *rules = NULL, *templates = NULL, *federation = NULL;
    struct mln_cli_reply config = {0};
    MLN_TRY(mln_cli_call(cli, "GET", "spiffe/config", NULL, &config));
    MLN_TRY(
        entry_fetch(cli, entry_query(cli, "parent_id", mln_cli_text(cli, "parent-id")), &entries));
    MLN_TRY(fetch_named(cli, "spiffe/authz/rules?list=true", &rules));
    MLN_TRY(fetch_named(cli, "spiffe/templates?list=true", &templates));
    MLN_TRY(fetch_named(cli, "spiffe/federation?list=true", &federation));
    mln_put(cli->cx, from, "trust_domain", mln_get(config.data, "trust_domain"));
    mln_put(cli->cx, from, "entries", entries);
    mln_put(cli->cx, from, "rules", rules);
    mln_put(cli->cx, from, "templates", templates);
    mln_put(cli->cx, from, "federation", federation_of(cli->cx, federation));
    return mln_cx_err(cli->cx);
}

/* ---- the command ---- */

static void print_json(const struct graph *g, struct mln_buf *out)
{
    mln_json_print(out, graph_value(g), MLN_JSON_PRETTY);
    mln_buf_add_byte(out, '\n');
}

static void print_yaml(const struct graph *g, struct mln_buf *out)
{
    mln_yaml_print(out, graph_value(g), 0);
}

static const struct form {
    const char *name;
    void (*draw)(const struct graph *g, struct mln_buf *out);
    void (*make)(struct graph_kube *k);
} forms[] = {
    {"text", graph_text, NULL},
    {"table", graph_text, NULL},
    {"json", print_json, NULL},
    {"yaml", print_yaml, NULL},
    {"dot", graph_dot, NULL},
    {"mermaid", graph_mermaid, NULL},
    {"proxy", graph_proxy, NULL},
    {"networkpolicy", NULL, graph_network},
    {"authorizationpolicy", NULL, graph_istio},
};

static const struct form *form_of(struct mln_cli *cli)
{
    const char *name = mln_cli_text(cli, "format");
    for (size_t i = 0; i < MLN_COUNT(forms); i++) {
        if (mln_bytes_is(mln_bytes_of(name), forms[i].name)) {
            return &forms[i];
        }
    }
    return NULL;
}

/* With --strict half a policy is none: it would be applied before anybody reads why. */
static struct mln_err check_strict(struct mln_cli *cli, const struct graph_kube *k)
{
    if (!mln_cli_bool(cli, "strict") || mln_len(k->losses) == 0) {
        return MLN_OK;
    }
    for (size_t i = 0; i < mln_len(k->losses); i++) {
        mln_cli_say(cli, "%s\n", graph_plain(cli->cx, mln_get_bytes(mln_item(k->losses, i))));
    }
    cli->hint = "without --strict these are comments in the policies";
    return mln_fail(cli->cx, MLN_E_VERDICT,
                    "%zu things of entries and rules cannot be said in such policies",
                    mln_len(k->losses));
}

static struct mln_err print(struct mln_cli *cli, const struct graph *g, const struct form *form)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (form->draw != NULL) {
        form->draw(g, &out);
    } else {
        struct graph_kube k = {.g = g,
                               .sa_label = mln_cli_text(cli, "sa-label"),
                               .out = &out,
                               .losses = mln_set(cli->cx)};
        form->make(&k);
        MLN_TRY(mln_cx_err(cli->cx));
        MLN_TRY(check_strict(cli, &k));
    }
    MLN_TRY(mln_cx_err(cli->cx));
    MLN_TRY(mln_buf_ok(cli->cx, &out));
    mln_cli_raw(mln_buf_bytes(&out));
    return MLN_OK;
}

static struct mln_err run(struct mln_cli *cli)
{
    struct graph g;
    const struct form *form = form_of(cli);
    const struct mln_value *from = NULL;
    const char *only = mln_cli_text(cli, "only");
    if (form == NULL) {
        return mln_cli_usage(cli, "--format is text, json, yaml, dot, mermaid, proxy, "
                                  "networkpolicy or authorizationpolicy");
    }
    if (only != NULL) {
        MLN_TRY(mln_spiffe_pattern_check(cli->cx, mln_bytes_of(only)));
    }
    if (entry_text(cli, "file", "force") != NULL) {
        MLN_TRY(entry_file(cli, &from));
    } else {
        struct mln_value *live = mln_object(cli->cx);
        MLN_TRY(fetch(cli, live));
        from = live;
    }
    MLN_TRY(graph_build(cli->cx, from, &g));
    if (only != NULL) {
        graph_only(&g, mln_bytes_of(only));
    }
    return print(cli, &g, form);
}

static const struct mln_flag flags[] = {
    {"format", MLN_FLAG_TEXT, "FORM", "text",
     "text, json, yaml, dot, mermaid, proxy, networkpolicy or authorizationpolicy"},
    {"file", MLN_FLAG_TEXT, "FILE", NULL,
     "Draw what this file declares, as merlon entry apply takes it, not what the server has"},
    {"force", MLN_FLAG_TEXT, "FILE", NULL, "What -f means here: the file"},
    {"only", MLN_FLAG_TEXT, "PATTERN", NULL,
     "Only ids that fit, and who talks to them: spiffe://example.org/ns/prod/**"},
    {"parent-id", MLN_FLAG_TEXT, "ID", NULL, "Only entries of this parent"},
    {"sa-label", MLN_FLAG_TEXT, "KEY", GRAPH_SA_LABEL,
     "Label by which pods say their service account; \"\" for none"},
    {"strict", MLN_FLAG_BOOL, NULL, NULL,
     "Refuse (exit code 5) when policies cannot say all of the entries and rules"},
    {0},
};
static const char *const examples[] = {
    "merlon entry graph",
    "merlon entry graph --format mermaid",
    "merlon entry graph --format networkpolicy | kubectl apply --server-side -f -",
    NULL,
};

const struct mln_command mln_command_entry_graph = {
    .noun = "entry",
    .verb = "graph",
    .summary = "Draw who may talk to whom, or make policies of it",
    .args = "",
    .examples = examples,
    .flags = flags,
    .more = "Edges come from the rules of spiffe/authz, which Envoy's external authorization asks, "
            "too. networkpolicy is for Kubernetes, "
            "authorizationpolicy for Istio, proxy gives the --allow flags of merlon proxy. What "
            "such a policy cannot say is a comment in "
            "it; with --strict it is an error.",
    .run = run,
};
