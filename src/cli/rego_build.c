/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego build, sign, inspect: bundles made, signed and looked into. */
#include "cli/rego_priv.h"

#include "crypto/akey.h"
#include "rego/bundle.h"

#define KEY_FILE_MAX    ((size_t)64 << 10) /* a PEM file with a private key */
#define CLAIMS_FILE_MAX ((size_t)1 << 20)
#define MORE_FILES      3                  /* data.json, the manifest, the signatures */

struct build {
    struct mln_cli *cli;
    struct rego_files files;
    struct mln_bundle_file *list;
    size_t n;
};

static void build_drop(struct build *b)
{
    rego_files_drop(&b->files);
}

/* ---- keys ---- */
static struct mln_err read_key(struct mln_cli *cli, const char *algorithm, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    struct mln_bytes text;
    const char *path = mln_cli_text(cli, "signing-key");
    MLN_TRY(mln_cli_read_file(cli, path, KEY_FILE_MAX, &text));
    if (algorithm[0] == 'H') {
        while (text.len > 0 && text.ptr[text.len - 1] == '\n') {
            text.len--; /* a secret in a file ends with a line */
        }
        *ret = text;
        return MLN_OK;
    }
    if (mln_failed(mln_pem_read(cli->cx, "PRIVATE KEY", text, &der))) {
        return mln_refail(cli->cx, MLN_E_PARSE,
                          "%s: no \"PRIVATE KEY\" in PEM (PKCS#8; openssl pkcs8 -topk8 -nodes makes one)", path);
    }
    *ret = mln_bytes_dup(cli->cx, mln_buf_bytes(&der));
    return mln_cx_err(cli->cx);
}

static struct mln_err read_claims(struct mln_cli *cli, const struct mln_value **ret)
{
    const char *path = mln_cli_text(cli, "claims-file");
    struct mln_bytes text;
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_cli_read_file(cli, path, CLAIMS_FILE_MAX, &text));
    MLN_TRY(mln_json_parse(cli->cx, text, ret));
    return mln_type_of(*ret) == MLN_OBJECT ? MLN_OK
                                           : mln_fail(cli->cx, MLN_E_INVALID, "%s: not a JSON object", path);
}

/* The signatures over some files, as the content of .signatures.json. */
static struct mln_err sign_files(struct mln_cli *cli, const struct mln_bundle_file *files, size_t n,
                                 struct mln_buf *ret)
{
    struct mln_bundle_signer signer = {.algorithm = mln_cli_text(cli, "signing-alg")};
    MLN_TRY(read_key(cli, signer.algorithm, &signer.key));
    MLN_TRY(read_claims(cli, &signer.claims));
    return mln_bundle_sign(cli->cx, files, n, &signer, ret);
}

/* ---- build ---- */
static struct mln_err keep_file(struct build *b, const char *path, struct mln_bytes bytes)
{
    struct mln_bytes rest = mln_bytes_of(path);
    while (mln_bytes_starts(rest, MLN_BYTES("./")) || mln_bytes_starts(rest, MLN_BYTES("../")) ||
           mln_bytes_starts(rest, MLN_BYTES("/"))) {
        rest = mln_bytes_from(rest, rest.ptr[0] == '/' ? 1 : rest.ptr[1] == '/' ? 2 : 3);
    }
    b->list[b->n++] = (struct mln_bundle_file){.path = mln_text_dup(b->cli->cx, rest), .bytes = bytes};
    return mln_cx_err(b->cli->cx);
}

/* Revision, roots and more of a bundle that is built again; flags win. */
static struct mln_err read_manifest(struct build *b, struct mln_value **ret)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    struct mln_cx *cx = b->cli->cx;
    struct mln_bundle_options options = {.skip_verify = true};
    struct mln_value *m = mln_object(cx);
    bool is_v0 = mln_cli_bool(b->cli, "v0-compatible");
    if (mln_cli_bool(b->cli, "bundle") && b->cli->n_args == 1) {
        MLN_TRY(mln_bundle_load(cx, b->cli->args[0], &options, &bundle));
        for (size_t i = 0; i < mln_len(bundle->manifest); i++) {
            const struct mln_member *one = mln_member_at(bundle->manifest, i);
            mln_put_key(cx, m, mln_bytes_dup(cx, one->key), mln_value_dup(cx, &one->value));
        }
    }
    const char *revision = mln_cli_text(b->cli, "revision");
    if (revision != NULL || mln_get(m, "revision") == NULL) {
        mln_put_text(cx, m, "revision", revision == NULL ? "" : revision);
    }
    if (mln_get(m, "roots") == NULL) {
        struct mln_value *roots = mln_array(cx);
        mln_push(cx, roots, mln_string_dup(cx, MLN_BYTES("")));
        mln_put(cx, m, "roots", roots);
    }
    if (mln_get(m, "rego_version") == NULL) {
        mln_put_int(cx, m, "rego_version", is_v0 ? 0 : 1);
    }
    *ret = m;
    return mln_cx_err(cx);
}

static struct mln_err gather(struct build *b, struct mln_buf *data)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf manifest = {0}, signatures = {0};
    struct mln_value *m = NULL;
    struct mln_cx *cx = b->cli->cx;
    b->list = mln_new_array(cx, b->files.n + MORE_FILES, sizeof(*b->list));
    MLN_TRY(mln_cx_err(cx));
    if (b->files.data == NULL || !mln_rego_data_print(b->files.data, (struct mln_rego_path){0}, data)) {
        mln_buf_add_text(data, "{}");
    }
    MLN_TRY(keep_file(b, "data.json", mln_buf_bytes(data)));
    for (size_t i = 0; i < b->files.n; i++) {
        MLN_TRY(keep_file(b, b->files.modules[i].name, b->files.modules[i].text));
    }
    MLN_TRY(read_manifest(b, &m));
    mln_json_print(&manifest, m, MLN_JSON_COMPACT);
    mln_buf_add_byte(&manifest, '\n');
    MLN_TRY(keep_file(b, ".manifest", mln_bytes_dup(cx, mln_buf_bytes(&manifest))));
    if (mln_cli_text(b->cli, "signing-key") != NULL) {
        MLN_TRY(sign_files(b->cli, b->list, b->n, &signatures));
        MLN_TRY(keep_file(b, ".signatures.json", mln_bytes_dup(cx, mln_buf_bytes(&signatures))));
    }
    return mln_cx_err(cx);
}

static struct mln_err check_flags(struct mln_cli *cli)
{
    int64_t level = 0;
    MLN_TRY(mln_cli_int(cli, "optimize", 0, &level));
    if (level != 0) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "--optimize: only level 0 is supported: files are kept as they are");
    }
    if (!mln_bytes_is(mln_bytes_of(mln_cli_text(cli, "target")), "rego")) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "--target: only rego is supported");
    }
    return MLN_OK;
}

static struct mln_err run_build(struct mln_cli *cli)
{
    MLN_AUTO(build_drop) struct build b = {.cli = cli};
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf data = {0}, packed = {0};
    struct mln_value *errors = NULL;
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    MLN_TRY(check_flags(cli));
    b.files.is_bundle = mln_cli_bool(cli, "bundle");
    b.files.capabilities = mln_cli_text(cli, "capabilities");
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < cli->n_args && !mln_failed(err); i++) {
        err = rego_files_load(cli, cli->args[i], &b.files);
    }
    err = mln_failed(err) ? err : rego_compile(cli, &b.files, &options, &rego, &errors);
    if (mln_failed(err)) {
        rego_errors_say(cli, errors != NULL ? errors : rego_errors_text(cli->cx, cli->cx->text));
        mln_cx_clear(cli->cx);
        cli->exit_code = 1;
        return MLN_OK;
    }
    MLN_TRY(gather(&b, &data));
    MLN_TRY(mln_bundle_pack(cli->cx, b.list, b.n, &packed));
    return mln_file_replace(cli->cx, mln_cli_text(cli, "output-file"), mln_buf_bytes(&packed), 0644, false);
}

/* ---- sign ---- */
static struct mln_err run_sign(struct mln_cli *cli)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf signatures = {0};
    struct mln_bundle_options options = {.skip_verify = true};
    if (mln_cli_text(cli, "signing-key") == NULL) {
        return mln_cli_usage(cli, "name a key with --signing-key");
    }
    MLN_TRY(mln_bundle_load(cli->cx, cli->args[0], &options, &bundle));
    MLN_TRY(sign_files(cli, bundle->files, bundle->n_files, &signatures));
    const char *folder = mln_cli_text(cli, "output-folder");
    const char *path = mln_text_format(cli->cx, "%s/.signatures.json", folder);
    MLN_TRY(mln_cx_err(cli->cx));
    return mln_file_replace(cli->cx, path, mln_buf_bytes(&signatures), 0644, false);
}

/* ---- inspect ---- */
static void put_place(struct mln_cx *cx, struct mln_value *spaces, const char *name, const char *file)
{
    const struct mln_value *had = mln_get(spaces, name);
    struct mln_value *list = had != NULL ? (struct mln_value *)(uintptr_t)had : mln_array(cx);
    mln_push(cx, list, mln_string_dup(cx, mln_bytes_of(file)));
    if (had == NULL) {
        mln_put_key(cx, spaces, mln_bytes_of(mln_text_dup(cx, mln_bytes_of(name))), list);
    }
}

/* "a/b/data.json" says what is below data.a.b. */
static const char *space_of(struct mln_cx *cx, const char *path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_bytes rest = mln_bytes_of(path);
    mln_buf_add_text(&text, "data");
    while (mln_bytes_find(rest, '/') < rest.len) {
        mln_buf_add_byte(&text, '.');
        mln_buf_add_bytes(&text, mln_bytes_cut(rest, '/', &rest));
    }
    return mln_text_dup(cx, mln_buf_bytes(&text));
}

/* A file of a folder is named with the folder. */
static const char *shown(struct mln_cli *cli, const char *path)
{
    struct mln_bytes name = mln_bytes_of(cli->args[0]);
    bool is_packed = mln_bytes_ends(name, MLN_BYTES(".gz")) || mln_bytes_ends(name, MLN_BYTES(".tgz"));
    bool has_slash = mln_bytes_ends(name, MLN_BYTES("/"));
    return is_packed ? path : mln_text_format(cli->cx, "%s%s%s", cli->args[0], has_slash ? "" : "/", path);
}

static struct mln_err read_modules(struct mln_cli *cli, const struct mln_bundle *bundle, struct mln_rego **ret)
{
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_rego_options options = {
        .version = mln_cli_bool(cli, "v0-compatible") ? MLN_REGO_V0 : MLN_REGO_V1};
    MLN_TRY(mln_rego_new(cli->cx, &options, &rego));
    for (size_t i = 0; i < bundle->n_modules; i++) {
        MLN_TRY(mln_rego_add(rego, cli->cx, bundle->modules[i].path, bundle->modules[i].text));
    }
    *ret = mln_take(&rego);
    return MLN_OK;
}

static bool is_data(const char *path)
{
    struct mln_bytes p = mln_bytes_of(path);
    return mln_bytes_ends(p, MLN_BYTES("data.json")) || mln_bytes_ends(p, MLN_BYTES("data.yaml")) ||
           mln_bytes_ends(p, MLN_BYTES("data.yml"));
}

static struct mln_value *about(struct mln_cli *cli, const struct mln_bundle *bundle, const struct mln_rego *rego)
{
    struct mln_cx *cx = cli->cx;
    struct mln_value *v = mln_object(cx), *spaces = mln_object(cx);
    for (size_t i = 0; i < bundle->n_files; i++) {
        if (is_data(bundle->files[i].path)) {
            put_place(cx, spaces, space_of(cx, bundle->files[i].path), shown(cli, bundle->files[i].path));
        }
    }
    for (size_t i = 0; i < mln_rego_module_count(rego); i++) {
        put_place(cx, spaces, mln_rego_module_package(rego, i), shown(cli, mln_rego_module_file(rego, i)));
    }
    mln_put(cx, v, "manifest", mln_value_dup(cx, bundle->manifest));
    mln_put(cx, v, "namespaces", spaces);
    if (mln_cli_bool(cli, "annotations")) {
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        const struct mln_value *notes = NULL;
        if (mln_rego_notes_print(rego, &json) &&
            !mln_failed(mln_json_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&json)), &notes))) {
            mln_put(cx, v, "annotations", notes);
        }
    }
    return v;
}

static void draw_manifest(struct mln_cli *cli, const struct mln_value *manifest)
{
    struct rego_table t = {.n_columns = 2, .n_rows = mln_len(manifest) + 1};
    t.cells = mln_new_array(cli->cx, 2 * t.n_rows, sizeof(*t.cells));
    if (t.cells == NULL || t.n_rows == 1) {
        return;
    }
    t.cells[0] = "FIELD";
    t.cells[1] = "VALUE";
    for (size_t i = 0; i + 1 < t.n_rows; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        const struct mln_member *m = mln_member_at(manifest, i);
        mln_json_print(&text, &m->value, MLN_JSON_COMPACT);
        t.cells[2 * i + 2] = mln_text_dup(cli->cx, m->key);
        t.cells[2 * i + 3] = mln_text_dup(cli->cx, mln_type_of(&m->value) == MLN_STRING ? mln_get_bytes(&m->value)
                                                                                        : mln_buf_bytes(&text));
    }
    mln_cli_out("MANIFEST:\n");
    rego_table_draw(cli, &t);
}

static void draw_spaces(struct mln_cli *cli, const struct mln_value *spaces)
{
    size_t n = 0;
    for (size_t i = 0; i < mln_len(spaces); i++) {
        n += mln_len(&mln_member_at(spaces, i)->value);
    }
    struct rego_table t = {.n_columns = 2, .n_rows = n + 1};
    t.cells = mln_new_array(cli->cx, 2 * t.n_rows, sizeof(*t.cells));
    if (t.cells == NULL) {
        return;
    }
    t.cells[0] = "NAMESPACE";
    t.cells[1] = "FILE";
    for (size_t i = 0, row = 1; i < mln_len(spaces); i++) {
        const struct mln_member *m = mln_member_at(spaces, i);
        for (size_t k = 0; k < mln_len(&m->value); k++, row++) {
            t.cells[2 * row] = mln_text_dup(cli->cx, m->key);
            t.cells[2 * row + 1] = mln_get_text(cli->cx, mln_item(&m->value, k), "");
        }
    }
    mln_cli_out("NAMESPACES:\n");
    rego_table_draw(cli, &t);
}

static void print_notes(struct mln_cli *cli, const struct mln_value *notes)
{
    for (size_t i = 0; i < mln_len(notes); i++) {
        const struct mln_value *one = mln_item(notes, i), *a = mln_get(one, "annotations"), *at = mln_get(one, "location");
        const char *title = mln_get_text(cli->cx, mln_get(a, "title"), mln_get_text(cli->cx, mln_get(one, "package"), ""));
        const char *rule = mln_get_text(cli->cx, mln_get(one, "rule"), NULL);
        mln_cli_out("%s%s\n", i == 0 ? "ANNOTATIONS:\n" : "", title);
        for (size_t k = 0; title[k] != '\0'; k++) {
            mln_cli_out("=");
        }
        mln_cli_out("\n\n");
        const char *text = mln_get_text(cli->cx, mln_get(a, "description"), NULL);
        mln_cli_out("%s%s", text != NULL ? text : "", text != NULL ? "\n\n" : "");
        mln_cli_out("Package:  %s\n", mln_get_text(cli->cx, mln_get(one, "package"), "") + sizeof("data.") - 1);
        mln_cli_out("%s%s%s", rule != NULL ? "Rule:     " : "", rule != NULL ? rule : "", rule != NULL ? "\n" : "");
        mln_cli_out("Location: %s:%lld\n", mln_get_text(cli->cx, mln_get(at, "file"), ""),
                    (long long)mln_get_int(mln_get(at, "row"), 0));
        mln_cli_out("Scope: %s\n\n", mln_get_text(cli->cx, mln_get(a, "scope"), ""));
    }
}

static struct mln_err run_inspect(struct mln_cli *cli)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    struct mln_bundle_options options = {.skip_verify = true};
    const char *format = mln_cli_text(cli, "format");
    bool is_json = mln_bytes_is(mln_bytes_of(format), "json");
    if (!is_json && !mln_bytes_is(mln_bytes_of(format), "pretty")) {
        return mln_cli_usage(cli, "unknown format '%s': pretty or json", format);
    }
    MLN_TRY(mln_bundle_load(cli->cx, cli->args[0], &options, &bundle));
    MLN_TRY(read_modules(cli, bundle, &rego));
    const struct mln_value *v = about(cli, bundle, rego);
    MLN_TRY(mln_cx_err(cli->cx));
    if (is_json) {
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        mln_json_print(&json, v, MLN_JSON_COMPACT);
        rego_put_json(mln_buf_bytes(&json));
        return MLN_OK;
    }
    draw_manifest(cli, mln_get(v, "manifest"));
    draw_spaces(cli, mln_get(v, "namespaces"));
    print_notes(cli, mln_get(v, "annotations"));
    return mln_cx_err(cli->cx);
}

static const char *const letters[] = {"b", "bundle", "r", "revision", "o", "output-file", "O", "optimize", "t", "target",
                                      "e", "entrypoint", "f", "format", "a", "annotations", NULL};
#define SIGNING_FLAGS                                                                                                   \
    {"signing-key", MLN_FLAG_TEXT, "FILE", NULL, "Private key to sign with: PKCS#8 in PEM, or a secret of HMAC"},         \
        {"signing-alg", MLN_FLAG_TEXT, "NAME", "RS256", "Algorithm of the signature: RS256, ES256, HS256, .."},           \
    {"claims-file", MLN_FLAG_TEXT, "FILE", NULL, "Claims for the signature, a JSON object"}

static const struct mln_flag build_flags[] = {
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "Paths are bundles: folders or tar.gz"},
    {"output-file", MLN_FLAG_TEXT, "FILE", "bundle.tar.gz", "Where the bundle is written"},
    {"revision", MLN_FLAG_TEXT, "TEXT", NULL, "Revision in the manifest"},
    {"optimize", MLN_FLAG_INT, "N", "0", "Only 0: files are kept as they are"},
    {"target", MLN_FLAG_TEXT, "rego", "rego", "Only rego"},
    {"entrypoint", MLN_FLAG_LIST, "PATH", NULL, "Taken for OPA's sake: everything is kept"},
    {"capabilities", MLN_FLAG_TEXT, "FILE", NULL, "Builtins that may be called, as OPA's capabilities.json"},
    SIGNING_FLAGS,
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const build_examples[] = {"merlon rego build policies/", "merlon rego build -b bundle/ -r 7 --output-file bundle.tar.gz",
                                             "merlon rego build -b bundle/ --signing-key key.pem --signing-alg ES256", NULL};
const struct mln_command mln_command_rego_build = {
    .noun = "rego",
    .verb = "build",
    .summary = "Compile policies and pack them as a bundle",
    .args = "PATH...",
    .examples = build_examples,
    .flags = build_flags,
    .min_args = 1,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "The same files give the same bytes. Exit code 1 when the policies do not compile.",
    .run = run_build,
};

static const struct mln_flag sign_flags[] = {
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "The path is a bundle (always so)"},
    {"output-folder", MLN_FLAG_TEXT, "FOLDER", ".", "Where .signatures.json is written"},
    SIGNING_FLAGS,
    {0},
};
static const char *const sign_examples[] = {"merlon rego sign --signing-key key.pem --output-folder bundle/ bundle/", NULL};
const struct mln_command mln_command_rego_sign = {
    .noun = "rego",
    .verb = "sign",
    .summary = "Sign the files of a bundle",
    .args = "BUNDLE",
    .examples = sign_examples,
    .flags = sign_flags,
    .min_args = 1,
    .max_args = 1,
    .is_local = true,
    .letters = letters,
    .run = run_sign,
};

static const struct mln_flag inspect_flags[] = {
    {"annotations", MLN_FLAG_BOOL, NULL, NULL, "METADATA of packages and rules too"},
    {"format", MLN_FLAG_TEXT, "pretty|json", "pretty", "How it is printed"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {0},
};
static const char *const inspect_examples[] = {"merlon rego inspect bundle.tar.gz", "merlon rego inspect -a --format json bundle/", NULL};
const struct mln_command mln_command_rego_inspect = {
    .noun = "rego",
    .verb = "inspect",
    .summary = "Show what a bundle holds",
    .args = "BUNDLE",
    .examples = inspect_examples,
    .flags = inspect_flags,
    .min_args = 1,
    .max_args = 1,
    .is_local = true,
    .letters = letters,
    .run = run_inspect,
};
