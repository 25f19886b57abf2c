/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key-value secrets with versions: Vault's KV version 2 on its own paths. The descriptor, and the answer to clients that
 * use paths of version 1 (whose mounts have the descriptor of kv_v1.c). Source: Vault's public API documentation; docs/engine-kv.md.
 */
#include "engine/kv_priv.h"

extern const struct mln_engine mln_engine_kv;

#define FIELD_PATH {.name = "path", .type = MLN_FIELD_TEXT, .help = "Where the secret lies.", .is_query = true}
#define FIELD_VERSION                                                                              \
    {.name = "version", .type = MLN_FIELD_INT, .help = "Which version; 0 is the newest.", .is_query = true}

static const struct mln_field data_fields[] = {
    FIELD_PATH,
    FIELD_VERSION,
    {.name = "data", .type = MLN_FIELD_ANY, .help = "The secret: a map."},
    {.name = "options", .type = MLN_FIELD_MAP, .help = "cas: write only when this is the newest version; 0 = none yet."},
    {0},
};

static const struct mln_field versions_fields[] = {
    FIELD_PATH,
    {.name = "versions", .type = MLN_FIELD_INTS, .help = "Numbers of the versions."},
    {0},
};

static const struct mln_field subkeys_fields[] = {
    FIELD_PATH,
    FIELD_VERSION,
    {.name = "depth", .type = MLN_FIELD_INT, .help = "How deep; 0 is all.", .is_query = true},
    {0},
};

#define FIELDS_SETTINGS                                                                            \
    {.name = "max_versions", .type = MLN_FIELD_INT, .help = "Versions kept; 0 is 10 or the mount's."},             \
        {.name = "cas_required", .type = MLN_FIELD_BOOL, .help = "Every write must name the version before."},     \
        {.name = "metadata_cas_required",                                                          \
         .type = MLN_FIELD_BOOL,                                                                   \
         .help = "Every change of settings must name the one before."},                           \
    {                                                                                              \
        .name = "delete_version_after", .type = MLN_FIELD_DURATION,                                \
        .help = "Versions are deleted by themselves after this time; 0 is never."                  \
    }

static const struct mln_field meta_fields[] = {
    FIELD_PATH,
    FIELDS_SETTINGS,
    {.name = "custom_metadata", .type = MLN_FIELD_MAP, .help = "Names and texts beside the secret."},
    {.name = "metadata_cas", .type = MLN_FIELD_INT, .help = "Change only when this is the settings' version."},
    KV_FIELDS_PAGE,
    {0},
};

static const struct mln_field config_fields[] = {FIELDS_SETTINGS, {0}};
static const struct mln_field path_fields[] = {FIELD_PATH, {0}};
/* No path here: on a pattern that does not capture it a query could name another than the one policies judged. */
static const struct mln_field list_fields[] = {KV_FIELDS_PAGE, {0}};
static const struct mln_field list_path_fields[] = {FIELD_PATH, KV_FIELDS_PAGE, {0}};

static struct mln_err old_path(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const verbs[] = {
        [MLN_OP_READ] = "get",    [MLN_OP_LIST] = "list", [MLN_OP_WRITE] = "put",
        [MLN_OP_PATCH] = "patch", [MLN_OP_DELETE] = "delete", [MLN_OP_SCAN] = "list",
    };
    const char *verb = (size_t)rq->op < MLN_COUNT(verbs) && verbs[rq->op] != NULL ? verbs[rq->op] : "get";
    re->status = 404;
    mln_reply_warn(rq, re,
                   mln_text_format(rq->cx,
                                   "Invalid path for a versioned K/V secrets engine. See the API docs for the "
                                   "appropriate API endpoints to use. If using the Merlon CLI, use 'merlon kv "
                                   "%s' for this operation.",
                                   verb));
    return mln_cx_err(rq->cx);
}

/* As Vault mounts them: version 1 unless the options say "2". Another version is refused by the descriptor's start. */
static const struct mln_engine *kv_variant(const struct mln_value *options)
{
    const struct mln_value *version = mln_get(options, "version");
    bool is_two = mln_is_text(version, "2") || mln_get_int(version, 0) == 2;
    return is_two ? &mln_engine_kv : &kv_version_1;
}

static const struct mln_path kv_paths[] = {
    {.pattern = "config", .summary = "Settings of the mount.", .fields = config_fields,
     .read = kv_config_read, .write = kv_config_write},
    {.pattern = "data/{path...}", .summary = "Read, write, patch or delete the newest version of a secret.",
     .fields = data_fields, .read = kv_data_read, .write = kv_data_write, .patch = kv_data_patch,
     .remove = kv_data_remove, .exists = kv_data_exists},
    {.pattern = "delete/{path...}", .summary = "Delete versions so that they can come back.",
     .fields = versions_fields, .write = kv_delete_write},
    {.pattern = "undelete/{path...}", .summary = "Bring deleted versions back.", .fields = versions_fields,
     .write = kv_undelete_write},
    {.pattern = "destroy/{path...}", .summary = "Destroy the values of versions for ever.",
     .fields = versions_fields, .write = kv_destroy_write, .is_relief = true},
    {.pattern = "metadata", .summary = "List secrets.", .fields = list_fields, .list = kv_meta_list, .may_scan = true},
    {.pattern = "detailed-metadata", .summary = "List secrets with their settings.", .fields = list_fields,
     .list = kv_meta_list_detailed, .may_scan = true},
    {.pattern = "detailed-metadata/{path...}", .summary = "List secrets with their settings.",
     .fields = list_path_fields, .list = kv_meta_list_detailed, .may_scan = true},
    {.pattern = "metadata/{path...}", .summary = "History and settings of a secret; list; delete all of it.",
     .fields = meta_fields, .read = kv_meta_read, .list = kv_meta_list, .may_scan = true, .write = kv_meta_write,
     .patch = kv_meta_patch, .remove = kv_meta_remove,
     .exists = kv_meta_exists},
    {.pattern = "subkeys/{path...}", .summary = "The names in a secret without their values.",
     .fields = subkeys_fields, .read = kv_subkeys_read},
    {.pattern = "{path...}", .summary = "Says where the paths of version 2 are.", .fields = path_fields,
     .read = old_path, .list = old_path, .write = old_path, .patch = old_path, .remove = old_path},
    {0},
};

const struct mln_engine mln_engine_kv = {
    .type = "kv",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Key-value secrets with versions.",
    .paths = kv_paths,
    .variant = kv_variant,
};
