/* SPDX-License-Identifier: Apache-2.0 */
/* An evaluation from the command line, and how its answer is printed. */
#pragma once

#include "base/yaml.h"
#include "cli/rego_net.h"
#include "cli/rego_watch.h"

enum rego_format {
    REGO_JSON,
    REGO_VALUES,
    REGO_BINDINGS,
    REGO_PRETTY,
    REGO_RAW,
    REGO_DISCARD,
};

struct rego_answer {
    struct rego_net net;
    struct rego_files files;
    struct mln_rego *rego;
    struct mln_rego_query *query;
    struct mln_rego_eval *eval;
    struct mln_bytes query_text;
    struct mln_value *errors;
    enum rego_format format;
    bool is_watched;
    struct rego_watch watch;
    const struct mln_value *extras; /* members beside the result: coverage, profile, explanation, metrics; NULL: none */
};
void rego_answer_drop(struct rego_answer *a);
struct mln_err rego_format_of(struct mln_cli *cli, enum rego_format *ret);
void rego_print_answer(struct mln_cli *cli, const struct rego_answer *a);
void rego_print_errors(struct mln_cli *cli, const struct rego_answer *a);
