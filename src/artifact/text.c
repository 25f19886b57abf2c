/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text, CSV, Markdown, JSON and YAML are data and clean, unless they tell a loader to run something: tags of YAML that make objects,
 * Hydra's _target_, code that a model's configuration names, chat templates that leave their sandbox. Programs and other models'
 * formats that are text are `unsupported`.
 */
#include "artifact/pickle_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"

enum kind { KIND_TEXT, KIND_CSV, KIND_MARKDOWN, KIND_JSON, KIND_LINES, KIND_YAML, KIND_CODE };

static const struct {
    const char *ending;
    enum kind kind;
} endings[] = {
    {".txt", KIND_TEXT},      {".csv", KIND_CSV},     {".tsv", KIND_CSV},
    {".md", KIND_MARKDOWN},   {".rst", KIND_TEXT},    {".log", KIND_TEXT},
    {".json", KIND_JSON},     {".jsonl", KIND_LINES}, {".ndjson", KIND_LINES},
    {".yaml", KIND_YAML},     {".yml", KIND_YAML},    {"MLmodel", KIND_YAML},
    {".sig", KIND_TEXT},      {".py", KIND_CODE},     {".pyw", KIND_CODE},
    {".sh", KIND_CODE},       {".js", KIND_CODE},     {".html", KIND_CODE},
    {".htm", KIND_CODE},      {".svg", KIND_CODE},    {".xml", KIND_CODE},
    {".pmml", KIND_CODE},     {".ipynb", KIND_CODE},  {".php", KIND_CODE},
    {".pl", KIND_CODE},       {".rb", KIND_CODE},     {".r", KIND_CODE},
    {".lua", KIND_CODE},      {".ps1", KIND_CODE},    {".bat", KIND_CODE},
    {".cmd", KIND_CODE},      {".pbtxt", KIND_CODE},  {".jinja", KIND_CODE},
    {".prototxt", KIND_CODE},
};

static const char *kind_name(enum kind kind)
{
    static const char *const names[] = {"text", "csv", "markdown", "json", "jsonl", "yaml", "code"};
    return names[kind];
}

static bool kind_of(const char *path, enum kind *ret)
{
    struct mln_bytes name = mln_bytes_of(path);
    for (size_t i = 0; i < MLN_COUNT(endings); i++) {
        size_t len = mln_bytes_of(endings[i].ending).len;
        if (name.len >= len &&
            mln_bytes_is_nocase(mln_bytes_from(name, name.len - len), endings[i].ending)) {
            *ret = endings[i].kind;
            return true;
        }
    }
    return false;
}

/* No byte that text does not have. */
static bool is_text(struct mln_bytes map)
{
    for (size_t i = 0; i < map.len; i++) {
        uint8_t c = map.ptr[i];
        if (c == 0x7F || (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f')) {
            return false;
        }
    }
    return true;
}

static bool is_program(struct mln_bytes map)
{
    static const char *const heads[] = {"#!", "<?", "<!DOCTYPE", "<html", "<svg", "tree\nversion="};
    for (size_t i = 0; i < MLN_COUNT(heads); i++) {
        if (mln_bytes_starts(map, mln_bytes_of(heads[i]))) {
            return true;
        }
    }
    return false;
}

static int text_probe(const struct mln_scan_input *input)
{
    enum kind kind;
    bool is_named = kind_of(input->path, &kind);
    bool is_one = is_text(input->map);
    if (is_named) {
        return is_one ? 2 : 1;
    }
    return is_one && mln_utf8_valid(input->map) ? 1 : 0;
}

/* ---- what configurations may say ---- */

struct walk {
    struct mln_scan_report *report;
    uint64_t base;
};

static void find(const struct walk *w, enum mln_verdict verdict, const char *rule,
                 const char *callable, const char *text)
{
    enum mln_severity severity =
        verdict == MLN_VERDICT_MALICIOUS ? MLN_SEVERITY_CRITICAL : MLN_SEVERITY_HIGH;
    mln_scan_find_call(w->report, verdict, severity, rule, w->base, NULL, callable, "%s%s%s", text,
                       callable != NULL ? " " : "", callable != NULL ? callable : "");
}

/* A name that a framework would import and call. */
static void judge_name(const struct walk *w, const char *rule, struct mln_bytes module,
                       struct mln_bytes name, struct mln_bytes shown)
{
    enum pk_rule unused;
    enum pk_rating rating = pk_rate(module, name, &unused);
    if (rating == PK_ALLOWED) {
        return;
    }
    const char *text = mln_text_dup(w->report->cx, mln_bytes_sub(shown, 0, PK_NAME_MAX));
    bool is_bad = rating == PK_DANGEROUS;
    find(w, is_bad ? MLN_VERDICT_MALICIOUS : MLN_VERDICT_SUSPICIOUS, rule, text,
         is_bad ? "a framework would call" : "a framework would call a name that is on no list:");
}

/* "package.module.name" */
static void judge_target(const struct walk *w, struct mln_bytes path)
{
    size_t dot = path.len;
    while (dot > 0 && path.ptr[dot - 1] != '.') {
        dot--;
    }
    judge_name(w, "config-target", mln_bytes_sub(path, 0, dot > 0 ? dot - 1 : 0),
               mln_bytes_from(path, dot), path);
}

/* Python's special attributes are how templates get out. */
static bool has_dunder(struct mln_bytes text)
{
    for (size_t at = 0; at + 4 < text.len;) {
        at += mln_bytes_find_bytes(mln_bytes_from(text, at), MLN_BYTES("__")) + 2;
        size_t n = 0;
        while (at + n < text.len &&
               ((text.ptr[at + n] >= 'a' && text.ptr[at + n] <= 'z') || text.ptr[at + n] == '_')) {
            n++;
        }
        if (n > 3 && at + n <= text.len &&
            mln_bytes_ends(mln_bytes_sub(text, at, n), MLN_BYTES("__"))) {
            return true;
        }
    }
    return false;
}

static void judge_template(const struct walk *w, struct mln_bytes text)
{
    static const char *const odd[] = {
        "cycler",     "lipsum",     "joiner",      "|attr",   "| attr",   "_self", "{% import",
        "{%- import", "{% include", "{%- include", "{% from", "{%- from", "\\x5f"};
    if (has_dunder(text)) {
        find(w, MLN_VERDICT_MALICIOUS, "template-escape", NULL,
             "a chat template reaches for Python's inside");
        return;
    }
    for (size_t i = 0; i < MLN_COUNT(odd); i++) {
        if (mln_bytes_find_bytes(text, mln_bytes_of(odd[i])) < text.len) {
            find(w, MLN_VERDICT_SUSPICIOUS, "template-odd", odd[i], "a chat template uses");
            return;
        }
    }
}

static void judge_member(const struct walk *w, const struct mln_member *m)
{
    struct mln_bytes text = mln_get_bytes(&m->value);
    if (mln_bytes_is(m->key, "_target_")) {
        judge_target(w, text);
    } else if (mln_bytes_is(m->key, "loader_module") &&
               !mln_bytes_starts(text, MLN_BYTES("mlflow."))) {
        judge_name(w, "config-loader", text, MLN_BYTES("_load_pyfunc"), text);
    } else if (mln_bytes_is(m->key, "auto_map") && !mln_is_null(&m->value)) {
        find(w, MLN_VERDICT_SUSPICIOUS, "config-code", NULL,
             "the configuration names Python code to load with the model");
    } else if (mln_bytes_is(m->key, "trust_remote_code") && mln_get_bool(&m->value, false)) {
        find(w, MLN_VERDICT_SUSPICIOUS, "config-trust", NULL,
             "the configuration asks to trust code from elsewhere");
    } else if (mln_bytes_is(m->key, "chat_template") || mln_bytes_is(m->key, "template")) {
        judge_template(w, text);
    }
}

static void judge_value(const struct walk *w, const struct mln_value *v, unsigned depth)
{
    bool is_object = mln_type_of(v) == MLN_OBJECT;
    if (depth > MLN_VALUE_DEPTH_MAX || (!is_object && mln_type_of(v) != MLN_ARRAY)) {
        return;
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        if (is_object) {
            judge_member(w, mln_member_at(v, i));
        }
        judge_value(w, is_object ? &mln_member_at(v, i)->value : mln_item(v, i), depth + 1);
    }
}

/* Other models' formats that are JSON. */
static void judge_model(const struct walk *w, const struct mln_value *v)
{
    bool is_keras = mln_get(v, "class_name") != NULL && mln_get(v, "config") != NULL;
    bool is_boosted = mln_get(v, "learner") != NULL || mln_get(v, "oblivious_trees") != NULL;
    if (is_keras || is_boosted) {
        mln_scan_find(w->report, MLN_VERDICT_UNSUPPORTED, MLN_SEVERITY_INFO, "unsupported", w->base,
                      "%s models in JSON are not judged", is_keras ? "Keras" : "boosted");
    }
}

/* ---- formats ---- */

static void broken(struct mln_cx *cx, const struct walk *w, const char *rule)
{
    const char *why = mln_text_dup(w->report->cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    mln_scan_find(w->report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_MEDIUM, rule, w->base, "%s", why);
}

static struct mln_err json_scan(struct mln_cx *cx, const struct walk *w, struct mln_bytes text)
{
    const struct mln_value *v = NULL;
    struct mln_err err = mln_json_parse(cx, text, &v);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err)) {
        broken(cx, w, "json");
        return MLN_OK;
    }
    judge_value(w, v, 0);
    judge_model(w, v);
    return MLN_OK;
}

static struct mln_err lines_scan(struct mln_cx *cx, const struct walk *w, struct mln_bytes text)
{
    while (mln_bytes_trim(text).len > 0) {
        struct mln_bytes line = mln_bytes_cut(text, '\n', &text);
        if (mln_bytes_trim(line).len > 0 && w->report->verdict < MLN_VERDICT_MALFORMED) {
            MLN_TRY(json_scan(cx, w, line));
        }
    }
    return MLN_OK;
}

/* "!!python/object" and the like, where a tag may stand: behind a space, a bracket or at a line's beginning. */
static void judge_tags(const struct walk *w, struct mln_bytes text)
{
    static const char *const bad[] = {"!!python", "tag:yaml.org,2002:python", "!!java", "!!javax",
                                      "!!ruby"};
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        if (mln_bytes_find_bytes(text, mln_bytes_of(bad[i])) < text.len) {
            find(w, MLN_VERDICT_MALICIOUS, "yaml-tag", bad[i],
                 "a tag that makes objects of a program:");
            return;
        }
    }
    for (size_t i = 0; i + 1 < text.len; i++) {
        bool is_start = i == 0 || text.ptr[i - 1] == '\n' ||
                        (i >= 2 && text.ptr[i - 1] == ' ' &&
                         (text.ptr[i - 2] == ':' || text.ptr[i - 2] == '-'));
        uint8_t next = text.ptr[i + 1] | 0x20;
        if (is_start && text.ptr[i] == '!' && next >= 'a' && next <= 'z') {
            find(w, MLN_VERDICT_SUSPICIOUS, "yaml-tag", NULL,
                 "a tag of its own, which means what its loader likes");
            return;
        }
    }
}

/* Lines that say the same as the values would, for documents that this reader refuses (anchors, several documents). */
static void judge_lines(const struct walk *w, struct mln_bytes text)
{
    static const char *const keys[] = {"_target_", "loader_module", "auto_map", "trust_remote_code",
                                       "chat_template"};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        if (mln_bytes_find_bytes(text, mln_bytes_of(keys[i])) < text.len) {
            find(w, MLN_VERDICT_SUSPICIOUS, "config-unread", keys[i],
                 "the document cannot be read wholly and has");
        }
    }
}

static struct mln_err yaml_scan(struct mln_cx *cx, const struct walk *w, struct mln_bytes text)
{
    const struct mln_value *v = NULL;
    judge_tags(w, text);
    struct mln_err err = mln_yaml_parse(cx, text, &v);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (!mln_failed(err)) {
        judge_value(w, v, 0);
        return MLN_OK;
    }
    struct mln_bytes why = mln_bytes_of(cx->text);
    bool is_refused = mln_bytes_find_bytes(why, MLN_BYTES("alias")) < why.len ||
                      mln_bytes_find_bytes(why, MLN_BYTES("anchor")) < why.len ||
                      mln_bytes_find_bytes(why, MLN_BYTES("tag")) < why.len ||
                      mln_bytes_find_bytes(why, MLN_BYTES("document")) < why.len;
    if (!is_refused) {
        broken(cx, w, "yaml");
        return MLN_OK;
    }
    mln_cx_clear(cx);
    judge_lines(w, text);
    return MLN_OK;
}

static struct mln_err scan_kind(struct mln_cx *cx, const struct walk *w, enum kind kind,
                                struct mln_bytes text)
{
    switch (kind) {
    case KIND_JSON:
        return json_scan(cx, w, text);
    case KIND_LINES:
        return lines_scan(cx, w, text);
    case KIND_YAML:
        return yaml_scan(cx, w, text);
    case KIND_CODE:
        mln_scan_find(w->report, MLN_VERDICT_UNSUPPORTED, MLN_SEVERITY_INFO, "unsupported", w->base,
                      "programs, pages and models in text are not judged");
        return MLN_OK;
    case KIND_TEXT:
    case KIND_CSV:
    case KIND_MARKDOWN:
        break;
    }
    return MLN_OK;
}

static struct mln_err text_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                                struct mln_scan_report *report)
{
    struct walk w = {.report = report, .base = input->base};
    struct mln_bytes text = input->map;
    enum kind kind = KIND_TEXT;
    bool is_named = kind_of(input->path, &kind);
    if (mln_bytes_starts(text, MLN_BYTES("\xEF\xBB\xBF"))) {
        text = mln_bytes_from(text, 3);
    }
    uint8_t first = mln_bytes_trim(text).len > 0 ? mln_bytes_trim(text).ptr[0] : 0;
    if (is_program(text)) {
        kind = KIND_CODE;
    } else if (!is_named && (first == '{' || first == '[')) {
        const struct mln_value *v = NULL;
        kind = mln_failed(mln_json_parse(cx, text, &v)) ? KIND_TEXT : KIND_JSON;
        mln_cx_clear(cx);
    }
    report->format = kind_name(kind);
    report->bytes_read += input->map.len;
    if (!is_text(text)) {
        mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_MEDIUM, "text", input->base,
                      "the name says text, the bytes are none");
        return MLN_OK;
    }
    return scan_kind(cx, &w, kind, text);
}

const struct mln_scanner mln_scanner_text = {
    .format = "text",
    .summary = "text, CSV, Markdown, JSON and YAML: data, looked through for what would make a "
               "loader run something",
    .extensions = " .txt .csv .tsv .md .json .jsonl .yaml .yml ",
    .probe = text_probe,
    .scan = text_scan,
};
