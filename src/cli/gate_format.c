/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts of gates as tools of others read them: SARIF 2.1.0 (OASIS), JUnit XML as CI systems take it, GitHub's workflow commands,
 * GitLab's code quality report.
 */
#include "cli/gate_priv.h"

#include "crypto/crypto.h"

static bool is(const char *a, const char *b)
{
    return mln_bytes_is(mln_bytes_of(a), b);
}

struct gate_finding gate_finding_of(struct mln_cli *cli, const struct mln_value *finding, const char *file)
{
    struct mln_cx *cx = cli->cx;
    const struct mln_value *details = mln_get(finding, "details"), *e = mln_get(finding, "exception");
    struct gate_finding f = {
        .rule = mln_get_text(cx, mln_get(finding, "gate"), ""),
        .level = mln_get_text(cx, mln_get(finding, "level"), "deny"),
        .msg = mln_get_text(cx, mln_get(finding, "msg"), ""),
        .file = mln_get_text(cx, mln_get(details, "file"), file),
        .line = mln_get_int(mln_get(details, "line"), 1),
    };
    f.rule = f.rule[0] == '\0' ? "gate" : f.rule;
    f.line = f.line < 1 ? 1 : f.line;
    if (e != NULL) {
        f.excuse = mln_text_format(cx, "%s of %s, %s %s: %s", mln_get_text(cx, mln_get(e, "id"), ""),
                                   mln_get_text(cx, mln_get(e, "owner"), ""), is(f.level, "deny") ? "expired" : "until",
                                   mln_get_text(cx, mln_get(e, "expires"), ""), mln_get_text(cx, mln_get(e, "reason"), ""));
    }
    return f;
}

static struct gate_finding finding_at(struct mln_cli *cli, const struct mln_value *verdict, size_t i, const char *file)
{
    return gate_finding_of(cli, mln_item(mln_get(verdict, "findings"), i), file);
}

static size_t findings_of(const struct mln_value *verdict)
{
    return mln_len(mln_get(verdict, "findings"));
}

static void print_json(struct mln_cli *cli, const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    (void)cli;
    mln_json_print(&out, v, MLN_JSON_PRETTY);
    mln_buf_add_byte(&out, '\n');
    mln_cli_raw(mln_buf_bytes(&out));
}

/* ---- text and json ---- */

void gate_print_text(struct mln_cli *cli, const struct mln_value *verdict, const char *file)
{
    const struct mln_value *checks = mln_get(verdict, "checks"), *unused = mln_get(verdict, "unused");
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *c = mln_item(checks, i);
        bool is_ok = mln_get_bool(mln_get(c, "ok"), false);
        mln_cli_out("%s%-4s%s  %s: %s\n", mln_cli_ink(cli, is_ok ? MLN_INK_GREEN : MLN_INK_RED), is_ok ? "ok" : "no",
                    mln_cli_ink(cli, MLN_INK_NONE), mln_get_text(cli->cx, mln_get(c, "name"), ""),
                    mln_get_text(cli->cx, mln_get(c, "detail"), ""));
    }
    for (size_t i = 0; i < findings_of(verdict); i++) {
        struct gate_finding f = finding_at(cli, verdict, i, file);
        enum mln_ink ink = is(f.level, "deny") ? MLN_INK_RED : MLN_INK_YELLOW;
        mln_cli_out("%s%s%s  %s: %s%s%s%s\n", mln_cli_ink(cli, ink), f.level, mln_cli_ink(cli, MLN_INK_NONE), f.rule, f.msg,
                    f.excuse != NULL ? " (exception " : "", f.excuse != NULL ? f.excuse : "", f.excuse != NULL ? ")" : "");
    }
    for (size_t i = 0; i < mln_len(unused); i++) {
        mln_cli_say(cli, "merlon: warning: exception %s covers nothing\n", mln_get_text(cli->cx, mln_item(unused, i), ""));
    }
    mln_cli_out("%s  decision %s\n", mln_get_text(cli->cx, mln_get(verdict, "verdict"), ""),
                mln_get_text(cli->cx, mln_get(mln_get(verdict, "decision"), "id"), "-"));
}

static void print_whole(struct mln_cli *cli, const struct mln_value *verdict, const char *file)
{
    struct mln_value *v = mln_value_dup(cli->cx, verdict);
    const struct mln_value *d = mln_get(verdict, "decision");
    (void)file;
    mln_remove(v, MLN_BYTES("decision")); /* the document is for --record */
    mln_put(cli->cx, v, "decision_id", mln_get(d, "id"));
    mln_put(cli->cx, v, "policy_digest", mln_get(mln_get(d, "policy"), "digest"));
    mln_put(cli->cx, v, "input_digest", mln_get(d, "input_digest"));
    mln_put(cli->cx, v, "result_digest", mln_get(d, "result_digest"));
    print_json(cli, v);
}

/* ---- SARIF ---- */

static struct mln_value *text_object(struct mln_cx *cx, const char *text)
{
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "text", text);
    return v;
}

static struct mln_value *list_of_one(struct mln_cx *cx, const struct mln_value *item)
{
    struct mln_value *list = mln_array(cx);
    mln_push(cx, list, item);
    return list;
}

static struct mln_value *sarif_place(struct mln_cx *cx, const struct gate_finding *f)
{
    struct mln_value *place = mln_object(cx), *physical = mln_object(cx), *artifact = mln_object(cx), *region = mln_object(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf uri = {0};
    mln_percent_print(&uri, mln_bytes_of(f->file));
    mln_put(cx, artifact, "uri", mln_string_dup(cx, mln_buf_bytes(&uri)));
    mln_put_int(cx, region, "startLine", f->line);
    mln_put(cx, physical, "artifactLocation", artifact);
    mln_put(cx, physical, "region", region);
    mln_put(cx, place, "physicalLocation", physical);
    return place;
}

static struct mln_value *sarif_result(struct mln_cx *cx, const struct gate_finding *f)
{
    struct mln_value *r = mln_object(cx);
    mln_put_text(cx, r, "ruleId", f->rule);
    mln_put_text(cx, r, "level", is(f->level, "warn") ? "warning" : "error");
    mln_put(cx, r, "message", text_object(cx, f->msg));
    mln_put(cx, r, "locations", list_of_one(cx, sarif_place(cx, f)));
    if (is(f->level, "excepted")) {
        struct mln_value *s = mln_object(cx);
        mln_put_text(cx, s, "kind", "external");
        mln_put_text(cx, s, "status", "accepted");
        mln_put_text(cx, s, "justification", f->excuse);
        mln_put(cx, r, "suppressions", list_of_one(cx, s));
    }
    return r;
}

static void add_rule(struct mln_cx *cx, struct mln_value *rules, const char *id)
{
    for (size_t i = 0; i < mln_len(rules); i++) {
        if (mln_is_text(mln_get(mln_item(rules, i), "id"), id)) {
            return;
        }
    }
    struct mln_value *rule = mln_object(cx);
    mln_put_text(cx, rule, "id", id);
    mln_put(cx, rule, "shortDescription", text_object(cx, mln_text_format(cx, "Gate %s", id)));
    mln_push(cx, rules, rule);
}

static void print_sarif(struct mln_cli *cli, const struct mln_value *verdict, const char *file)
{
    struct mln_cx *cx = cli->cx;
    struct mln_value *log = mln_object(cx), *run = mln_object(cx), *tool = mln_object(cx), *driver = mln_object(cx);
    struct mln_value *rules = mln_array(cx), *results = mln_array(cx), *properties = mln_object(cx);
    for (size_t i = 0; i < findings_of(verdict); i++) {
        struct gate_finding f = finding_at(cli, verdict, i, file);
        add_rule(cx, rules, f.rule);
        mln_push(cx, results, sarif_result(cx, &f));
    }
    mln_put_text(cx, driver, "name", "merlon gate");
    mln_put_text(cx, driver, "version", MLN_VERSION);
    mln_put(cx, driver, "rules", rules);
    mln_put(cx, tool, "driver", driver);
    mln_put(cx, properties, "verdict", mln_get(verdict, "verdict"));
    mln_put(cx, properties, "decision", mln_get(mln_get(verdict, "decision"), "id"));
    mln_put(cx, run, "tool", tool);
    mln_put(cx, run, "results", results);
    mln_put(cx, run, "properties", properties);
    mln_put_text(cx, log, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    mln_put_text(cx, log, "version", "2.1.0");
    mln_put(cx, log, "runs", list_of_one(cx, run));
    print_json(cli, log);
}

/* ---- JUnit ---- */

/* What XML 1.0 cannot hold becomes "?". */
static void add_xml(struct mln_buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        switch (*p) {
        case '&':
            mln_buf_add_text(out, "&amp;");
            break;
        case '<':
            mln_buf_add_text(out, "&lt;");
            break;
        case '>':
            mln_buf_add_text(out, "&gt;");
            break;
        case '"':
            mln_buf_add_text(out, "&quot;");
            break;
        case '\n':
            mln_buf_add_text(out, "&#10;");
            break;
        default:
            mln_buf_add_byte(out, (unsigned char)*p < 0x20 && *p != '\t' ? '?' : (uint8_t)*p);
        }
    }
}

static void open_case(struct mln_buf *out, const char *class, const char *name)
{
    mln_buf_add_text(out, "  <testcase classname=\"merlon.");
    add_xml(out, class);
    mln_buf_add_text(out, "\" name=\"");
    add_xml(out, name);
    mln_buf_add_byte(out, '"');
}

static void add_element(struct mln_buf *out, const char *element, const char *text)
{
    mln_buf_add_format(out, "><%s message=\"", element);
    add_xml(out, text);
    mln_buf_add_text(out, "\"/></testcase>\n");
}

static void junit_finding(struct mln_buf *out, const struct gate_finding *f, size_t counts[3])
{
    open_case(out, f->rule, f->msg);
    if (is(f->level, "deny")) {
        counts[1]++;
        add_element(out, "failure", f->msg);
    } else if (is(f->level, "excepted")) {
        counts[2]++;
        add_element(out, "skipped", f->excuse);
    } else {
        mln_buf_add_text(out, "><system-out>");
        add_xml(out, f->msg);
        mln_buf_add_text(out, "</system-out></testcase>\n");
    }
    counts[0]++;
}

static bool has_finding(const struct mln_value *verdict, const char *gate)
{
    const struct mln_value *all = mln_get(verdict, "findings");
    for (size_t i = 0; i < mln_len(all); i++) {
        if (mln_is_text(mln_get(mln_item(all, i), "gate"), gate)) {
            return true;
        }
    }
    return false;
}

static void junit_good(struct mln_cli *cli, struct mln_buf *out, const struct mln_value *verdict, const struct mln_value *names,
                       const char *key, size_t counts[3])
{
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *v = key == NULL ? mln_item(names, i) : mln_get(mln_item(names, i), key);
        const char *name = mln_get_text(cli->cx, v, "");
        bool waits = is(name, "approvals") && !mln_get_bool(mln_get(mln_item(names, i), "ok"), true);
        if (has_finding(verdict, name)) {
            continue;
        }
        open_case(out, name, name);
        counts[0]++;
        if (waits) {
            counts[2]++;
            add_element(out, "skipped", mln_get_text(cli->cx, mln_get(mln_item(names, i), "detail"), ""));
        } else {
            mln_buf_add_text(out, "/>\n");
        }
    }
}

static void print_junit(struct mln_cli *cli, const struct mln_value *verdict, const char *file)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0}, cases = {0};
    size_t counts[3] = {0}; /* tests, failures, skipped */
    for (size_t i = 0; i < findings_of(verdict); i++) {
        struct gate_finding f = finding_at(cli, verdict, i, file);
        junit_finding(&cases, &f, counts);
    }
    junit_good(cli, &cases, verdict, mln_get(verdict, "checks"), "name", counts);
    junit_good(cli, &cases, verdict, mln_get(verdict, "gates"), NULL, counts);
    mln_buf_add_format(&out,
                       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
                       "<testsuite name=\"merlon gate\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n",
                       counts[0], counts[1], counts[2]);
    mln_buf_add_bytes(&out, mln_buf_bytes(&cases));
    mln_buf_add_text(&out, "</testsuite>\n</testsuites>\n");
    mln_cli_raw(mln_buf_bytes(&out));
}

/* ---- GitHub ---- */

static void add_command_text(struct mln_buf *out, const char *text, bool is_property)
{
    for (const char *p = text; *p != '\0'; p++) {
        bool escapes = *p == '%' || *p == '\r' || *p == '\n' || (is_property && (*p == ':' || *p == ','));
        if (escapes) {
            mln_buf_add_format(out, "%%%02X", (unsigned)(unsigned char)*p);
        } else {
            mln_buf_add_byte(out, (uint8_t)*p);
        }
    }
}

static void print_github(struct mln_cli *cli, const struct mln_value *verdict, const char *file)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    for (size_t i = 0; i < findings_of(verdict); i++) {
        struct gate_finding f = finding_at(cli, verdict, i, file);
        const char *command = is(f.level, "deny") ? "error" : is(f.level, "warn") ? "warning" : "notice";
        mln_buf_add_format(&out, "::%s file=", command);
        add_command_text(&out, f.file, true);
        mln_buf_add_format(&out, ",line=%lld,title=", (long long)f.line);
        add_command_text(&out, mln_text_format(cli->cx, "merlon gate %s", f.rule), true);
        mln_buf_add_text(&out, "::");
        add_command_text(&out, f.excuse == NULL ? f.msg : mln_text_format(cli->cx, "%s (exception %s)", f.msg, f.excuse), false);
        mln_buf_add_byte(&out, '\n');
    }
    mln_cli_raw(mln_buf_bytes(&out));
}

/* ---- GitLab ---- */

static const char *fingerprint(struct mln_cx *cx, const struct gate_finding *f)
{
    uint8_t sum[MLN_SHA256_BYTES];
    const char *text = mln_text_format(cx, "%s\n%s\n%s", f->rule, f->file, f->msg);
    mln_sha256(mln_bytes_of(text), sum);
    return mln_hex_text(cx, mln_bytes_at(sum, 20));
}

static void print_gitlab(struct mln_cli *cli, const struct mln_value *verdict, const char *file)
{
    struct mln_cx *cx = cli->cx;
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < findings_of(verdict); i++) {
        struct gate_finding f = finding_at(cli, verdict, i, file);
        struct mln_value *one = mln_object(cx), *location = mln_object(cx), *lines = mln_object(cx);
        mln_put_int(cx, lines, "begin", f.line);
        mln_put_text(cx, location, "path", f.file);
        mln_put(cx, location, "lines", lines);
        mln_put_text(cx, one, "description", f.msg);
        mln_put_text(cx, one, "check_name", f.rule);
        mln_put_text(cx, one, "fingerprint", fingerprint(cx, &f));
        mln_put_text(cx, one, "severity", is(f.level, "deny") ? "blocker" : is(f.level, "warn") ? "minor" : "info");
        mln_put(cx, one, "location", location);
        mln_push(cx, list, one);
    }
    print_json(cli, list);
}

const struct gate_form gate_forms[] = {
    {"text", gate_print_text}, {"json", print_whole},     {"sarif", print_sarif},
    {"junit", print_junit},    {"github", print_github}, {"gitlab", print_gitlab}, {0},
};
