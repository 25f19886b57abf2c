/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `merlon gate` share: a verdict of gates.h, and where its findings point in files. */
#pragma once

#include "assure/gates.h"
#include "cli/cli_priv.h"

/* A form that a verdict is printed in: one line in the table of gate_format.c. */
struct gate_form {
    const char *name;
    void (*print)(struct mln_cli *cli, const struct mln_value *verdict, const char *file);
};
extern const struct gate_form gate_forms[]; /* ends with {0} */
/* file: where a finding points that names none itself ("release.yaml") */
void gate_print_text(struct mln_cli *cli, const struct mln_value *verdict, const char *file);

/*
 * Gates and exceptions beside a release's files, over the evidence that its steps showed: n_sources 0 when there are none. Approvals
 * are no part of it, so that it is the same when it is run again.
 */
struct release;
struct mln_err gate_beside(struct release *r, const struct mln_value *evidence, struct mln_gates *ret);

/* A finding as every form needs it. */
struct gate_finding {
    const char *rule;  /* "licences" */
    const char *level; /* "deny", "warn", "excepted" */
    const char *msg, *file;
    int64_t line;
    const char *excuse; /* "EX-7 of alice until 2027-03-31T00:00:00Z: why"; NULL = none. Of "deny": one that has expired. */
};
struct gate_finding gate_finding_of(struct mln_cli *cli, const struct mln_value *finding, const char *file);
