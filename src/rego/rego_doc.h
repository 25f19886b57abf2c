/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base documents that change, and bodies of requests: what a server of policies needs besides rego.h. A change makes a
 * new snapshot; readers of the old one are not disturbed. Paths are lists of names from the root of data; in an array a
 * name is an index, or "-" for the place behind its last item.
 */
#pragma once

#include "rego/rego.h"

#define MLN_REGO_PATH_MAX 256 /* names in a path: documents are not nested deeper by hand */

struct mln_rego_path {
    const struct mln_bytes *names;
    size_t n;
};

enum mln_rego_change {
    MLN_REGO_PUT,     /* set; objects on the way are made */
    MLN_REGO_ADD,     /* set, or insert into an array; what it stands in must be there */
    MLN_REGO_REPLACE, /* what is there */
    MLN_REGO_REMOVE,  /* what is there; json is not read */
    MLN_REGO_MERGE,   /* objects into objects; two values for one path are an error */
};
/*
 * old     NULL: an empty object
 * errors  PARSE, NOT_FOUND (the text names the path), EXISTS (merge), INVALID (the root must be an object)
 */
struct mln_err mln_rego_data_change(struct mln_cx *cx, const struct mln_rego_data *old,
                                    enum mln_rego_change change, struct mln_rego_path path,
                                    struct mln_bytes json, struct mln_rego_data **ret);
/* A list of operations {"op": add|remove|replace, "path": "/a/b", "value": ..} below `path`: all or nothing. */
struct mln_err mln_rego_data_patch(struct mln_cx *cx, const struct mln_rego_data *old,
                                   struct mln_rego_path path, struct mln_bytes operations,
                                   struct mln_rego_data **ret);
/* The same with a delta's operations: upsert (which makes what is on the way), remove, replace. */
struct mln_err mln_rego_data_delta(struct mln_cx *cx, const struct mln_rego_data *old, struct mln_bytes operations,
                                   struct mln_rego_data **ret);
bool mln_rego_data_has(const struct mln_rego_data *data, struct mln_rego_path path);
/* As JSON; false when it is not there. */
bool mln_rego_data_print(const struct mln_rego_data *data, struct mln_rego_path path,
                         struct mln_buf *buf);
/* A rule whose path has a base document too: "a/b" is appended, true. */
bool mln_rego_data_conflict(const struct mln_rego *rego, const struct mln_rego_data *data,
                            struct mln_buf *ret_path);

/*
 * The body of a request: an object whose member "input" becomes the input, which is undefined without it.
 * ret_query  its member "query" when that is a string, else none; lives until the next input
 * errors     PARSE
 */
struct mln_err mln_rego_eval_body(struct mln_rego_eval *eval, struct mln_cx *cx,
                                  struct mln_bytes json, struct mln_bytes *ret_query,
                                  bool *ret_has_input);

/* JSON that was printed compactly, again with a member a line; `indent` is one step. */
void mln_rego_json_indent(struct mln_buf *buf, struct mln_bytes json, const char *indent);
