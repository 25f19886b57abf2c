/* SPDX-License-Identifier: Apache-2.0 */
/* Operators of an ONNX model by their domain, and the few that run code. Contract: onnx_priv.h. */
#include "artifact/onnx_priv.h"

/* Domains whose operators come with the standard or with the runtimes themselves. */
static const char *const known_domains[] = {
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.microsoft.dml",
    "com.ms.internal.nhwc",
};

/* Operators that call back into Python or into a named library. */
static const struct {
    const char *domain; /* NULL: any */
    const char *op;
} code_ops[] = {
    {NULL, "PyOp"},
    {NULL, "PyCustomOp"},
    {"com.microsoft", "PythonOp"},
    {"com.microsoft", "PythonOpGrad"},
    {NULL, "PythonFunction"},
    {"com.microsoft", "ExternalFunction"},
};

static struct mln_bytes function_domain(struct mln_bytes function)
{
    struct mln_proto r = mln_proto_of(function);
    struct mln_proto_field f;
    struct mln_bytes domain = MLN_BYTES_NONE;
    while (mln_proto_next(&r, &f)) {
        if (f.number == 10 && f.wire == MLN_PROTO_BYTES) {
            domain = f.bytes;
        }
    }
    return domain;
}

static bool is_own(const struct mln_onnx *in, struct mln_bytes domain)
{
    for (size_t i = 0; i < in->n_domains; i++) {
        if (mln_bytes_eq(in->domains[i], domain)) {
            return true;
        }
    }
    return false;
}

struct mln_err mln_onnx_functions(struct mln_onnx *in)
{
    struct mln_proto r = mln_proto_of(in->input->map);
    struct mln_proto_field f;
    in->domains = mln_new_array(in->cx, MLN_ONNX_DOMAINS_MAX, sizeof(*in->domains));
    if (in->domains == NULL) {
        return mln_cx_err(in->cx);
    }
    while (mln_proto_next(&r, &f) && in->n_domains < MLN_ONNX_DOMAINS_MAX) {
        if (f.number != 25 || f.wire != MLN_PROTO_BYTES) {
            continue;
        }
        struct mln_bytes domain = function_domain(f.bytes);
        if (!is_own(in, domain)) {
            in->domains[in->n_domains++] = domain;
        }
    }
    return MLN_OK;
}

static bool is_known(struct mln_bytes domain)
{
    for (size_t i = 0; i < MLN_COUNT(known_domains); i++) {
        if (mln_bytes_is(domain, known_domains[i])) {
            return true;
        }
    }
    return false;
}

static bool runs_code(const struct mln_onnx_node *node)
{
    for (size_t i = 0; i < MLN_COUNT(code_ops); i++) {
        bool in_domain =
            code_ops[i].domain == NULL || mln_bytes_is(node->domain, code_ops[i].domain);
        if (in_domain && mln_bytes_is(node->op, code_ops[i].op)) {
            return true;
        }
    }
    return false;
}

void mln_onnx_check_node(struct mln_onnx *in, const struct mln_onnx_node *node)
{
    if (runs_code(node)) {
        mln_scan_find(in->report, MLN_VERDICT_MALICIOUS, MLN_SEVERITY_HIGH, "onnx-code-operator",
                      node->where, "operator %.*s of %.*s runs code from outside the model",
                      MLN_FMT(node->op), MLN_FMT(node->domain));
    } else if (!is_known(node->domain) && !is_own(in, node->domain)) {
        mln_scan_find(in->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_MEDIUM,
                      "onnx-custom-operator", node->where,
                      "operator %.*s of %.*s needs a library that the standard does not have",
                      MLN_FMT(node->op), MLN_FMT(node->domain));
    }
}
