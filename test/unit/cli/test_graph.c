/* SPDX-License-Identifier: Apache-2.0 */
/* merlon entry graph: edges by rules, what a rule that denies takes away, policies and their names, hostile texts, order. */
#include "kit/kit.h"

#include <string.h>

#include "base/yaml.h"
#include "cli/graph_priv.h"

#define E(id, shows)   "{spiffe_id: \"spiffe://d/" id "\", selectors: [" shows "]}"
#define POD(ns, sa)    "\"k8s:ns:" ns "\", \"k8s:sa:" sa "\""
#define ALLOW(n, more) "{name: " n ", effect: allow, " more "}"
#define DENY(n, more)  "{name: " n ", effect: deny, " more "}"
#define ENTRIES                                                                                    \
    "trust_domain: d\nentries: [" E("a", POD("n", "a")) ", " E("b", POD("n", "b")) ", " E(         \
        "ns/x/c", "\"unix:uid:1\"") "]\n"

static void build(struct mln_cx *cx, const char *yaml, struct graph *g)
{
    const struct mln_value *from = NULL;
    kit_ok(cx, mln_yaml_parse(cx, mln_bytes_of(yaml), &from));
    kit_ok(cx, graph_build(cx, from, g));
}

static const char *drawn(struct mln_cx *cx, const struct graph *g,
                         void (*draw)(const struct graph *g, struct mln_buf *out))
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    draw(g, &out);
    kit_ok(cx, mln_buf_ok(cx, &out));
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

/* "from>to" of all edges; "from~to" when something of it is denied. */
static const char *edges_of(struct mln_cx *cx, const struct graph *g)
{
    const char *text = "";
    for (size_t i = 0; i < g->n_edges; i++) {
        const struct graph_edge *e = &g->edges[i];
        text = mln_text_format(cx, "%s%s%s%s%s", text, i > 0 ? " " : "", g->nodes[e->from].id + 9,
                               graph_is_denied(e) ? "~" : ">", g->nodes[e->to].id + 9);
    }
    return text;
}

static const struct {
    const char *name, *rules, *want;
} edges[] = {
    {"none", "", ""},
    {"one", ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]"),
     "d/a>d/b"},
    {"below", ALLOW("r", "principals: [\"spiffe://d/ns/*\"], destinations: [\"spiffe://d/b\"]"),
     "d/ns/x/c>d/b"},
    {"to all", ALLOW("r", "principals: [\"spiffe://d/a\"]"), "d/a>d/a d/a>d/b d/a>d/ns/x/c"},
    {"a stranger of ours",
     ALLOW("r", "principals: [\"spiffe://d/z\"], destinations: [\"spiffe://d/b\"]"), "d/z>d/b"},
    {"another domain",
     ALLOW("r", "principals: [\"spiffe://o/z*\"], destinations: [\"spiffe://d/b\"]"), "o/z*>d/b"},
    {"anybody is all and one more",
     ALLOW("r", "principals: [\"spiffe://*\"], destinations: [\"spiffe://d/b\"]"),
     "*>d/b d/a>d/b d/b>d/b d/ns/x/c>d/b"},
    {"no server by a pattern",
     ALLOW("r", "principals: [\"spiffe://d/m*\"], destinations: [\"spiffe://d/b\"]"), "d/m*>d/b"},
    {"a server by its name",
     ALLOW("r", "principals: [\"spiffe://d/merlon/server\"], destinations: [\"spiffe://d/b\"]"),
     "d/merlon/server>d/b"},
    {"denied",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "principals: [\"spiffe://d/*\"]"),
     ""},
    {"denied to all",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "paths: [\"*\"]"),
     ""},
    {"some paths denied",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "paths: [/x]"),
     "d/a~d/b"},
    {"paths denied that none may",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"], paths: "
                "[\"/y*\"]") ", " DENY("x", "paths: [/x]"),
     "d/a>d/b"},
    {"others denied",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "destinations: [\"spiffe://d/a\"]"),
     "d/a>d/b"},
    {"one of a pattern denied",
     ALLOW("r", "principals: [\"spiffe://o/*\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "principals: [\"spiffe://o/y\"]"),
     "o/*~d/b"},
    {"the whole of a pattern denied",
     ALLOW("r", "principals: [\"spiffe://o/y*\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "principals: [\"spiffe://o/*\"]"),
     ""},
};

static void test_edges(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(edges); i++) {
        struct mln_cx *cx = kit_cx(state);
        struct graph g;
        build(cx, mln_text_format(cx, ENTRIES "rules: [%s]\n", edges[i].rules), &g);
        const char *got = edges_of(cx, &g);
        if (!mln_bytes_is(mln_bytes_of(got), edges[i].want)) {
            fail_msg("%s: %s", edges[i].name, got);
        }
    }
}

static const struct {
    const char *name, *yaml;
    enum mln_code want;
} refused[] = {
    {"no trust domain", "entries: []\n", MLN_E_INVALID},
    {"a domain that is none", "trust_domain: \"A b\"\nentries: []\n", MLN_E_INVALID},
    {"an id that is none", "trust_domain: d\nentries: [{spiffe_id: http://d/a}]\n", MLN_E_INVALID},
    {"a rule without a name", "trust_domain: d\nentries: []\nrules: [{effect: allow}]\n",
     MLN_E_INVALID},
    {"a rule without an effect", "trust_domain: d\nentries: []\nrules: [{name: a}]\n",
     MLN_E_INVALID},
};

static void test_refused(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        struct mln_cx *cx = kit_cx(state);
        const struct mln_value *from = NULL;
        struct graph g;
        kit_ok(cx, mln_yaml_parse(cx, mln_bytes_of(refused[i].yaml), &from));
        kit_expect(cx, refused[i].name, graph_build(cx, from, &g), refused[i].want);
    }
}

/* More pairs than a picture bears are refused, not drawn in part. */
static void test_too_many(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *from = mln_object(cx), *entries = mln_array(cx);
    const struct mln_value *rules = NULL;
    struct graph g;
    for (size_t i = 0; i < 150; i++) {
        struct mln_value *e = mln_object(cx);
        mln_put_text(cx, e, "spiffe_id", mln_text_format(cx, "spiffe://d/%zu", i));
        mln_push(cx, entries, e);
    }
    kit_ok(cx, mln_yaml_parse(cx, MLN_BYTES("[" ALLOW("r", "principals: [\"spiffe://d/*\"]") "]"),
                              &rules));
    mln_put_text(cx, from, "trust_domain", "d");
    mln_put(cx, from, "entries", entries);
    mln_put(cx, from, "rules", rules);
    kit_refused(cx, graph_build(cx, from, &g), MLN_E_LIMIT);
}

/* The same whatever the order of entries and rules. */
static void test_order(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct graph one, two;
    static const char *const e[] = {E("a", POD("n", "a")), E("b", POD("n", "b"))};
    static const char *const r[] = {ALLOW("r1", "principals: [\"spiffe://d/a\"]"),
                                    ALLOW("r2", "principals: [\"spiffe://d/b\"]")};
    build(cx,
          mln_text_format(cx, "trust_domain: d\nentries: [%s, %s]\nrules: [%s, %s]\n", e[0], e[1],
                          r[0], r[1]),
          &one);
    build(cx,
          mln_text_format(cx, "trust_domain: d\nentries: [%s, %s]\nrules: [%s, %s]\n", e[1], e[0],
                          r[1], r[0]),
          &two);
    void (*const draws[])(const struct graph *g, struct mln_buf *out) = {
        graph_text, graph_dot, graph_mermaid, graph_proxy};
    for (size_t i = 0; i < MLN_COUNT(draws); i++) {
        assert_string_equal(drawn(cx, &one, draws[i]), drawn(cx, &two, draws[i]));
    }
    assert_true(mln_value_eq(graph_value(&one), graph_value(&two)));
}

static void test_only(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct graph g;
    build(cx,
          ENTRIES "rules: [" ALLOW(
              "r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") "]\n",
          &g);
    graph_only(&g, MLN_BYTES("spiffe://d/b"));
    assert_string_equal(edges_of(cx, &g), "d/a>d/b");
    assert_null(strstr(drawn(cx, &g, graph_text), "ns/x/c"));
    graph_only(&g, MLN_BYTES("spiffe://d/ns/**"));
    assert_string_equal(edges_of(cx, &g), "");
    assert_non_null(strstr(drawn(cx, &g, graph_text), "ns/x/c"));
}

/* Texts of rules may be anything: no line, label or comment ends by them. */
static void test_hostile(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct graph g;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    build(cx,
          "trust_domain: d\nentries: [" E(
              "a", POD("n", "a")) "]\nrules: [{name: \"x\\n---\\u0085kind: "
                                  "Pod\\u2028\\e[2J\\\"]\", effect: allow, "
                                  "principals: [\"spiffe://d/'; rm -rf /;*\"], destinations: "
                                  "[\"spiffe://d/a\"], paths: [\"/\\\"]; end\\n{*}\"]}]\n",
          &g);
    void (*const draws[])(const struct graph *g, struct mln_buf *to) = {graph_text, graph_dot,
                                                                        graph_mermaid, graph_proxy};
    for (size_t i = 0; i < MLN_COUNT(draws); i++) {
        const char *text = drawn(cx, &g, draws[i]);
        assert_null(strstr(text, "\n---"));
        assert_null(strstr(text, "--allow"));
        for (const char *p = text; *p != '\0'; p++) {
            assert_true(*p == '\n' || (*p >= ' ' && *p <= '~'));
        }
    }
    assert_null(strstr(drawn(cx, &g, graph_mermaid), "\"];"));
    struct graph_kube k = {.g = &g, .sa_label = GRAPH_SA_LABEL, .out = &out, .losses = mln_set(cx)};
    graph_istio(&k);
    graph_network(&k);
    const char *text = mln_text_dup(cx, mln_buf_bytes(&out));
    assert_null(strstr(text, "kind: Pod\n"));
    assert_null(strstr(text, "action: ALLOW")); /* Istio cannot say it: nothing is opened */
    for (const char *p = text; *p != '\0'; p++) {
        assert_true(*p == '\n' || (*p >= ' ' && *p <= '~'));
    }
}

/* ---- policies ---- */

static const struct {
    const char *name, *rules, *part; /* part: what must stand in it; "!": what must not */
    bool is_istio;
    size_t losses;
} policies[] = {
    {"a pod to a pod",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]"),
     "service-account: a\n", false, 0},
    {"nobody", "", "!ingress:", false, 0},
    {"from another domain nothing is opened",
     ALLOW("r", "principals: [\"spiffe://o/a\"], destinations: [\"spiffe://d/b\"]"),
     "!ingress:", false, 1},
    {"from a process nothing is opened",
     ALLOW("r", "principals: [\"spiffe://d/ns/x/c\"], destinations: [\"spiffe://d/b\"]"),
     "!ingress:", false, 1},
    {"to a process there is none",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/ns/x/c\"]"),
     "!ingress:", false, 1},
    {"methods are a loss",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"], methods: [GET]"),
     "ingress:", false, 1},
    {"a deny is a loss",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "paths: [/x]"),
     "ingress:", false, 1},
    {"istio: no scheme",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]"), "- d/a\n",
     true, 1},
    {"istio: patterns",
     ALLOW("r", "principals: [\"spiffe://o/*\"], destinations: [\"spiffe://d/b\"]"), "- \"o/*\"\n",
     true, 1},
    {"istio: anybody", ALLOW("r", "principals: [\"spiffe://*\"], destinations: [\"spiffe://d/b\"]"),
     "- \"*\"\n", true, 1},
    {"istio: methods",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"], methods: [GET]"),
     "methods:\n", true, 1},
    {"istio: a deny for all", DENY("x", "destinations: [\"spiffe://d/b\"]"),
     "action: DENY\n  rules:\n    - {}\n", true, 1},
    {"istio: what it cannot say is left out",
     ALLOW("r",
           "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"], paths: [\"/{*}\"]"),
     "!ALLOW", true, 2},
    {"istio: no allow beside a deny that it cannot say",
     ALLOW("r", "principals: [\"spiffe://d/a\"], destinations: [\"spiffe://d/b\"]") ", " DENY(
         "x", "destinations: [\"spiffe://d/b\"], paths: [\"/{x}\"]"),
     "!ALLOW", true, 3},
};

static void test_policies(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(policies); i++) {
        struct mln_cx *cx = kit_cx(state);
        struct graph g;
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        build(cx, mln_text_format(cx, ENTRIES "rules: [%s]\n", policies[i].rules), &g);
        struct graph_kube k = {
            .g = &g, .sa_label = GRAPH_SA_LABEL, .out = &out, .losses = mln_set(cx)};
        (policies[i].is_istio ? graph_istio : graph_network)(&k);
        const char *text = mln_text_dup(cx, mln_buf_bytes(&out)), *part = policies[i].part;
        bool is_there = strstr(text, part[0] == '!' ? part + 1 : part) != NULL;
        if (is_there == (part[0] == '!') || mln_len(k.losses) != policies[i].losses) {
            fail_msg("%s: %zu losses\n%s", policies[i].name, mln_len(k.losses), text);
        }
        assert_non_null(strstr(text, "merlon-default-deny"));
    }
}

static const struct {
    const char *name, *shows, *ns, *labels;
    size_t losses;
} pods[] = {
    {"a service account", "[\"k8s:ns:n\", \"k8s:sa:s\"]", "n", "{\"service-account\":\"s\"}", 0},
    {"labels in order", "[\"k8s:pod-label:b:2\", \"k8s:ns:n\", \"k8s:pod-label:a.b/c:1\"]", "n",
     "{\"a.b/c\":\"1\",\"b\":\"2\"}", 0},
    {"a label without a value", "[\"k8s:ns:n\", \"k8s:pod-label:a:\"]", "n", "{\"a\":\"\"}", 0},
    {"no namespace", "[\"k8s:sa:s\"]", NULL, "{\"service-account\":\"s\"}", 0},
    {"a namespace that is none", "[\"k8s:ns:N\"]", NULL, "{}", 1},
    {"two namespaces", "[\"k8s:ns:a\", \"k8s:ns:b\"]", NULL, "{}", 1},
    {"a process of a pod", "[\"k8s:ns:n\", \"unix:uid:1\"]", "n", "{}", 1},
    {"a container", "[\"k8s:ns:n\", \"k8s:container-name:c\"]", "n", "{}", 1},
    {"a label that is none", "[\"k8s:ns:n\", \"k8s:pod-label:a b:1\"]", "n", "{}", 1},
    {"a value that is none", "[\"k8s:ns:n\", \"k8s:pod-label:a:x*\"]", "n", "{}", 1},
    {"a label of two values", "[\"k8s:ns:n\", \"k8s:pod-label:a:1\", \"k8s:pod-label:a:2\"]", "n",
     "{\"a\":\"1\"}", 1},
    {"a long account",
     "[\"k8s:ns:n\", \"k8s:sa:ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss\"]",
     "n", "{}", 1},
    {"not Kubernetes", "[\"unix:uid:1\"]", NULL, "{}", 1},
};

static void test_pods(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(pods); i++) {
        struct mln_cx *cx = kit_cx(state);
        struct graph g = {.cx = cx};
        struct graph_kube k = {.g = &g, .sa_label = GRAPH_SA_LABEL, .losses = mln_set(cx)};
        const struct mln_value *shows = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf labels = {0};
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(pods[i].shows), &shows));
        struct graph_pods got = graph_pods_of(&k, shows);
        mln_json_print(&labels, got.labels, MLN_JSON_COMPACT);
        bool is_ns = pods[i].ns == NULL
                         ? got.ns == NULL
                         : got.ns != NULL && mln_bytes_is(mln_bytes_of(got.ns), pods[i].ns);
        if (!is_ns || !mln_bytes_is(mln_buf_bytes(&labels), pods[i].labels) ||
            mln_len(got.losses) != pods[i].losses) {
            fail_msg("%s: %s, %.*s, %zu losses", pods[i].name, got.ns,
                     MLN_FMT(mln_buf_bytes(&labels)), mln_len(got.losses));
        }
    }
}

static const char *const ids[] = {
    "spiffe://d/a",
    "spiffe://d/A_.b",
    "spiffe://d/a-b",
    "spiffe://d/",
    "spiffe://*",
    "*",
    "",
    "spiffe://d/"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaa",
    "spiffe://d/"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaab",
    "spiffe://d/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/b",
    "spiffe://d/------",
    "spiffe://d/a/b",
    "spiffe://d/a.b",
};

static void test_names(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *all = mln_set(cx);
    for (size_t i = 0; i < MLN_COUNT(ids); i++) {
        const char *name = graph_kube_name(cx, "to", mln_bytes_of(ids[i]), MLN_BYTES("{}"));
        size_t len = strlen(name);
        assert_true(len > 10 && len <= 63);
        for (size_t c = 0; c < len; c++) {
            bool is_plain =
                (name[c] >= 'a' && name[c] <= 'z') || (name[c] >= '0' && name[c] <= '9');
            assert_true(is_plain || (name[c] == '-' && c > 0 && c + 1 < len));
        }
        mln_push_text(cx, all, name);
    }
    assert_int_equal(mln_len(all), MLN_COUNT(ids));
    assert_string_not_equal(graph_kube_name(cx, "to", MLN_BYTES("a"), MLN_BYTES("x")),
                            graph_kube_name(cx, "to", MLN_BYTES("a"), MLN_BYTES("y")));
    assert_string_equal(graph_kube_name(cx, "to", MLN_BYTES("spiffe://d/web"), MLN_BYTES("{}")),
                        "merlon-to-web-af51212340");
}

/* ---- templates ---- */

static const struct {
    const char *name, *tmpl, *pattern, *want; /* want: NULL = does not meet */
} templates[] = {
    {"one pod", "{spiffe_id: \"spiffe://{{trust_domain}}/ns/{{ns}}/sa/{{sa}}\"}",
     "spiffe://d/ns/prod/sa/web", "[[k8s:ns:prod,k8s:sa:web]]"},
    {"a blank in it", "{spiffe_id: \"spiffe://{{ trust_domain }}/{{ ns }}\"}", "spiffe://d/prod",
     "[[k8s:ns:prod]]"},
    {"a part of a domain", "{spiffe_id: \"spiffe://d{{trust_domain}}/{{ns}}\"}", "spiffe://d/prod",
     NULL},
    {"a namespace", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\"}", "spiffe://d/ns/prod/*",
     "[[k8s:ns:prod]]"},
    {"a part of a namespace", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\"}",
     "spiffe://d/ns/prod/sa/w*", "[[k8s:ns:prod,k8s:sa:w*]]"},
    {"all", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\", namespaces: [a, b]}", "spiffe://d/*",
     "[[k8s:ns:a],[k8s:ns:b]]"},
    {"all of any", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\"}", "spiffe://d/*", "[[]]"},
    {"all of a glob", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\", namespaces: [\"a*\"]}",
     "spiffe://d/*", "[[k8s:ns:*]]"},
    {"with labels", "{spiffe_id: \"spiffe://d/x-{{ sa }}\", labels: {app: web}}", "spiffe://d/x-s",
     "[[k8s:pod-label:app:web,k8s:sa:s]]"},
    {"another namespace", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\", namespaces: [a]}",
     "spiffe://d/ns/b/sa/c", NULL},
    {"another path", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\"}", "spiffe://d/x/b/sa/c",
     NULL},
    {"too short", "{spiffe_id: \"spiffe://d/ns/{{ns}}/sa/{{sa}}\"}", "spiffe://d/ns/b", NULL},
    {"too long", "{spiffe_id: \"spiffe://d/ns/{{ns}}\"}", "spiffe://d/ns/b/c", NULL},
    {"nothing for it", "{spiffe_id: \"spiffe://d/x-{{ns}}\"}", "spiffe://d/x-", NULL},
    {"another domain", "{spiffe_id: \"spiffe://d/{{ns}}\"}", "spiffe://e/a", NULL},
    {"no id", "{}", "spiffe://d/a", NULL},
    {"labels that are none", "{spiffe_id: \"spiffe://d/{{ns}}\", labels: [a]}", "spiffe://d/a",
     "[[k8s:ns:a]]"},
};

static void test_templates(void **state)
{
    for (size_t i = 0; i < MLN_COUNT(templates); i++) {
        struct mln_cx *cx = kit_cx(state);
        struct graph g = {.cx = cx, .domain = MLN_BYTES("d")};
        const struct mln_value *tmpl = NULL;
        struct mln_value *shows = NULL;
        kit_ok(cx, mln_yaml_parse(cx, mln_bytes_of(templates[i].tmpl), &tmpl));
        bool meets = graph_template_meets(&g, tmpl, mln_bytes_of(templates[i].pattern), &shows);
        const char *got = NULL;
        for (size_t k = 0; meets && k < mln_len(shows); k++) {
            got = mln_text_format(cx, "%s%s",
                                  got == NULL ? "[[" : mln_text_format(cx, "%s],[", got), "");
            for (size_t s = 0; s < mln_len(mln_item(shows, k)); s++) {
                got = mln_text_format(cx, "%s%s%s", got, s > 0 ? "," : "",
                                      mln_get_text(cx, mln_item(mln_item(shows, k), s), ""));
            }
        }
        got = got == NULL ? NULL : mln_text_format(cx, "%s]]", got);
        if ((got == NULL) != (templates[i].want == NULL) ||
            (got != NULL && strcmp(got, templates[i].want) != 0)) {
            fail_msg("%s: %s", templates[i].name, got);
        }
    }
}

/* A file in the repository and its pictures, byte for byte. */
static void test_goldens(void **state)
{
    static const struct {
        const char *name;
        void (*draw)(const struct graph *g, struct mln_buf *out);
        void (*make)(struct graph_kube *k);
    } files[] = {{"shop.txt", graph_text, NULL},
                 {"shop.mmd", graph_mermaid, NULL},
                 {"shop.dot", graph_dot, NULL},
                 {"shop-networkpolicy.yaml", NULL, graph_network},
                 {"shop-authorizationpolicy.yaml", NULL, graph_istio}};
    struct mln_cx *cx = kit_cx(state);
    struct graph g;
    char path[KIT_PATH_MAX];
    struct mln_bytes yaml =
        kit_read_file(cx, kit_test_file(path, "../examples/zero-trust/shop.yaml"));
    build(cx, mln_text_dup(cx, yaml), &g);
    for (size_t i = 0; i < MLN_COUNT(files); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        struct graph_kube k = {
            .g = &g, .sa_label = GRAPH_SA_LABEL, .out = &out, .losses = mln_set(cx)};
        files[i].draw != NULL ? files[i].draw(&g, &out) : files[i].make(&k);
        struct mln_bytes want = kit_read_file(
            cx,
            kit_test_file(path, mln_text_format(cx, "../examples/zero-trust/%s", files[i].name)));
        assert_string_equal(mln_text_dup(cx, mln_buf_bytes(&out)), mln_text_dup(cx, want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_edges),     KIT_TEST(test_refused), KIT_TEST(test_too_many),
        KIT_TEST(test_order),     KIT_TEST(test_only),    KIT_TEST(test_hostile),
        KIT_TEST(test_policies),  KIT_TEST(test_pods),    KIT_TEST(test_names),
        KIT_TEST(test_templates), KIT_TEST(test_goldens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
