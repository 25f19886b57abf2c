/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of `merlon rego` share: files of policies and data, errors as OPA's tools print them. */
#pragma once

#include "cli/cli_priv.h"
#include "contract/server.h"
#include "rego/rego_doc.h"

#define REGO_FILE_MAX  ((size_t)1 << 30) /* of one file of data: it is held in memory */
#define REGO_FILES_MAX 65536u            /* policies of one set */
#define REGO_DEPTH_MAX 64                /* folders in folders */
#define REGO_EXIT_BAD  2                 /* errors, as OPA's tools exit */

struct rego_files {
    struct mln_rego_source *modules; /* in the arena */
    size_t n, cap;
    struct mln_rego_data *data; /* NULL: none */
    const char *capabilities;   /* a file in the form of OPA's capabilities.json; NULL: everything there is */
    const char *schema;         /* a file: of inputs; a folder: schemas by their names; NULL: none */
    bool is_bundle;             /* of documents only data.json and data.yaml are read */
};
void rego_files_drop(struct rego_files *files);
/* What was named on the command line: files, folders, "a.b:FILE" for data below a.b; policies and documents. */
struct mln_err rego_files_load(struct mln_cli *cli, const char *path, struct rego_files *files);
/* Calls `see` for a file, or for each policy (.rego) in a folder and below. */
struct mln_err rego_each_policy(struct mln_cli *cli, const char *path,
                                struct mln_err (*see)(void *with, const char *path), void *with);
/* The values of a flag that is given several times; commas are not special. */
struct mln_err rego_files_of_flag(struct mln_cli *cli, const char *flag, struct rego_files *files);

struct rego_table {
    const char **cells; /* row by row, the heads first */
    size_t n_columns, n_rows;
};
void rego_table_draw(struct mln_cli *cli, const struct rego_table *t);
/* JSON that was printed compactly, with two blanks a step and an end of line, on stdout. */
void rego_put_json(struct mln_bytes json);
/* Values of a flag that is given several times, NULL at the end. */
const char **rego_flag_list(struct mln_cli *cli, const char *flag);

/* Errors as a list of {"message", "code", "location"}. */
struct mln_value *rego_error_value(struct mln_cx *cx, const struct mln_rego_error *error);
struct mln_value *rego_errors_of(struct mln_cx *cx, const struct mln_rego *rego);
struct mln_value *rego_query_errors_of(struct mln_cx *cx, const struct mln_rego_query *query);
/* What is no error of the language: {"message"}. */
struct mln_value *rego_errors_text(struct mln_cx *cx, const char *text);
/* "FILE:ROW: CODE: MESSAGE" lines with their number in front, on stderr. */
void rego_errors_say(struct mln_cli *cli, const struct mln_value *errors);
/* {"errors": [..]} on stdout. */
void rego_errors_print(struct mln_cli *cli, const struct mln_value *errors);

/* Read and compile all modules; *ret_errors is set when it fails. */
struct mln_err rego_compile(struct mln_cli *cli, const struct rego_files *files,
                            const struct mln_rego_options *options, struct mln_rego **ret,
                            struct mln_value **ret_errors);
