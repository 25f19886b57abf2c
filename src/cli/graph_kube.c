/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policies of Kubernetes and Istio share: which pods an entry means, names, printing. A policy selects pods by namespace and
 * labels; what an entry says besides is a loss, which is written beside the policy and refused with --strict. Never the other way
 * round: where an entry cannot be said at all, nothing is opened.
 */
#include "cli/graph_priv.h"

#include "base/yaml.h"
#include "crypto/crypto.h"

#define NAME_MAX_LEN  63u
#define HASH_DIGITS   10u
#define LABEL_MAX     63u
#define PREFIX_MAX    253u
#define COMMENT_WIDTH 400u

/* ---- names as Kubernetes takes them ---- */

static bool is_lower(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(uint8_t c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* RFC 1123: a-z, 0-9, dashes inside. */
static bool is_dns_label(struct mln_bytes text)
{
    bool ok = text.len > 0 && text.len <= NAME_MAX_LEN && is_lower(text.ptr[0]) &&
              is_lower(text.ptr[text.len - 1]);
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = is_lower(text.ptr[i]) || text.ptr[i] == '-';
    }
    return ok;
}

/* The value of a label, and the name part of its key. */
static bool is_label(struct mln_bytes text)
{
    bool ok = text.len <= LABEL_MAX &&
              (text.len == 0 || (is_alnum(text.ptr[0]) && is_alnum(text.ptr[text.len - 1])));
    for (size_t i = 0; ok && i < text.len; i++) {
        uint8_t c = text.ptr[i];
        ok = is_alnum(c) || c == '-' || c == '_' || c == '.';
    }
    return ok;
}

static bool is_label_key(struct mln_bytes text)
{
    struct mln_bytes name = text;
    if (mln_bytes_find(text, '/') < text.len) {
        struct mln_bytes prefix = mln_bytes_cut(text, '/', &name);
        bool ok = prefix.len > 0 && prefix.len <= PREFIX_MAX;
        while (ok && prefix.len > 0) {
            ok = is_dns_label(mln_bytes_cut(prefix, '.', &prefix));
        }
        if (!ok) {
            return false;
        }
    }
    return name.len > 0 && is_label(name);
}

const char *graph_kube_name(struct mln_cx *cx, const char *kind, struct mln_bytes id,
                            struct mln_bytes part)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0}, slug = {0};
    uint8_t digest[MLN_SHA256_BYTES];
    struct mln_bytes text =
        mln_bytes_starts(id, MLN_BYTES("spiffe://")) ? mln_bytes_from(id, 9) : id;
    size_t slash = mln_bytes_find(text, '/');
    text = mln_bytes_from(text, slash < text.len ? slash + 1 : 0);
    mln_buf_add_text(&all, kind);
    mln_buf_add_byte(&all, 0);
    mln_buf_add_bytes(&all, id);
    mln_buf_add_byte(&all, 0);
    mln_buf_add_bytes(&all, part);
    mln_sha256(mln_buf_bytes(&all), digest);
    mln_buf_add_format(&slug, "merlon-%s-", kind);
    for (size_t i = 0; i < text.len && slug.len + 1 + HASH_DIGITS < NAME_MAX_LEN; i++) {
        uint8_t c =
            text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? (uint8_t)(text.ptr[i] + 32) : text.ptr[i];
        if (is_lower(c)) {
            mln_buf_add_byte(&slug, c);
        } else if (!mln_bytes_ends(mln_buf_bytes(&slug), MLN_BYTES("-"))) {
            mln_buf_add_byte(&slug, '-');
        }
    }
    bool is_dash = mln_bytes_ends(mln_buf_bytes(&slug), MLN_BYTES("-"));
    const char *hex = mln_hex_text(cx, mln_bytes_at(digest, HASH_DIGITS / 2));
    return mln_text_format(cx, "%.*s%s%s", MLN_FMT(mln_buf_bytes(&slug)), is_dash ? "" : "-", hex);
}

/* ---- which pods an entry means ---- */

static void lose(struct mln_cx *cx, struct mln_value *losses, struct mln_bytes selector,
                 const char *why)
{
    mln_push(cx, losses, mln_textf(cx, "%s: %s", graph_plain(cx, selector), why));
}

static void put_label(const struct graph_kube *k, struct graph_pods *pods, struct mln_value *losses,
                      struct mln_bytes key, struct mln_bytes value, struct mln_bytes selector)
{
    const struct mln_value *there = mln_get_key(pods->labels, key);
    if (!is_label_key(key) || !is_label(value)) {
        lose(k->g->cx, losses, selector, "no label of Kubernetes can say this");
    } else if (there != NULL && !mln_bytes_eq(mln_get_bytes(there), value)) {
        lose(k->g->cx, losses, selector, "a label has one value");
    } else {
        mln_put_key(k->g->cx, pods->labels, key, mln_string(k->g->cx, value));
    }
}

static void take_selector(const struct graph_kube *k, struct graph_pods *pods,
                          struct mln_value *losses, struct mln_bytes selector)
{
    struct mln_cx *cx = k->g->cx;
    struct mln_bytes value, rest = selector;
    bool is_kube = mln_bytes_is(mln_bytes_cut(rest, ':', &rest), "k8s");
    struct mln_bytes type = mln_bytes_cut(rest, ':', &value);
    if (is_kube && mln_bytes_is(type, "ns")) {
        bool is_one = is_dns_label(value) && (pods->ns == NULL || mln_bytes_is(value, pods->ns));
        pods->ns = is_one ? mln_text_dup(cx, value) : NULL;
        if (!is_one) {
            lose(cx, losses, selector, "no namespace's name");
        }
    } else if (is_kube && mln_bytes_is(type, "sa") && k->sa_label[0] != '\0') {
        put_label(k, pods, losses, mln_bytes_of(k->sa_label), value, selector);
    } else if (is_kube && mln_bytes_is(type, "pod-label")) {
        struct mln_bytes label, key = mln_bytes_cut(value, ':', &label);
        put_label(k, pods, losses, key, label, selector);
    } else {
        lose(cx, losses, selector, "policies select whole pods by namespace and labels");
    }
}

/* Members in the order of their keys. */
static struct mln_value *in_order(struct mln_cx *cx, const struct mln_value *object)
{
    struct mln_value *out = mln_object(cx), *keys = mln_set(cx);
    for (size_t i = 0; i < mln_len(object); i++) {
        mln_push(cx, keys, mln_string(cx, mln_member_at(object, i)->key));
    }
    for (size_t i = 0; i < mln_len(keys); i++) {
        struct mln_bytes key = mln_get_bytes(mln_item(keys, i));
        mln_put_key(cx, out, key, mln_get_key(object, key));
    }
    return out;
}

struct graph_pods graph_pods_of(const struct graph_kube *k, const struct mln_value *shows)
{
    struct mln_value *losses = mln_set(k->g->cx);
    struct graph_pods pods = {.labels = mln_object(k->g->cx), .losses = losses};
    for (size_t i = 0; i < mln_len(shows); i++) {
        take_selector(k, &pods, losses, mln_get_bytes(mln_item(shows, i)));
    }
    pods.labels = in_order(k->g->cx, pods.labels);
    return pods;
}

const struct mln_value *graph_kube_namespaces(const struct graph_kube *k)
{
    struct mln_value *all = mln_set(k->g->cx);
    for (size_t i = 0; i < k->g->n_nodes; i++) {
        const struct graph_node *n = &k->g->nodes[i];
        for (size_t e = 0; e < mln_len(n->shows) && !n->is_hidden; e++) {
            struct graph_pods pods = graph_pods_of(k, mln_item(n->shows, e));
            if (pods.ns != NULL) {
                mln_push_text(k->g->cx, all, pods.ns);
            }
        }
    }
    return all;
}

/* ---- objects and text ---- */

struct mln_value *graph_kube_object(struct mln_cx *cx, const char *api, const char *kind,
                                    const char *ns, const char *name)
{
    struct mln_value *o = mln_object(cx), *meta = mln_object(cx), *labels = mln_object(cx);
    mln_put_text(cx, labels, "app.kubernetes.io/managed-by", "merlon");
    mln_put_text(cx, meta, "name", name);
    mln_put_text(cx, meta, "namespace", ns);
    mln_put(cx, meta, "labels", labels);
    mln_put_text(cx, o, "apiVersion", api);
    mln_put_text(cx, o, "kind", kind);
    mln_put(cx, o, "metadata", meta);
    return o;
}

void graph_kube_put_id(struct mln_cx *cx, struct mln_value *object, const char *id)
{
    struct mln_value *annotations = mln_object(cx),
                     *meta = mln_value_dup(cx, mln_get(object, "metadata"));
    mln_put_text(cx, annotations, "merlon/spiffe-id", id);
    mln_put(cx, meta, "annotations", annotations);
    mln_put(cx, object, "metadata", meta);
}

void graph_kube_print(struct graph_kube *k, const struct mln_value *object)
{
    mln_buf_add_text(k->out, "---\n");
    mln_yaml_print(k->out, object, 0);
}

/* One line, printable: a comment that could end would be YAML. */
void graph_kube_comment(struct graph_kube *k, const char *text)
{
    struct mln_bytes line = mln_bytes_of(text);
    mln_buf_add_format(
        k->out, "# %s\n",
        graph_plain(k->g->cx,
                    mln_bytes_sub(line, 0, line.len < COMMENT_WIDTH ? line.len : COMMENT_WIDTH)));
}

void graph_kube_loss(struct graph_kube *k, const char *text)
{
    mln_push_text(k->g->cx, k->losses, text);
    graph_kube_comment(k, text);
}
