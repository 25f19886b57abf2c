/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release.yaml as Rego: what the gate asks for becomes a module of the package merlon.gates.release, and that module is what judges.
 * Checks that are not asked for are written as such, thresholds stand in it as constants. It runs under OPA as it is.
 *
 * Evidence is whatever a client sent: the module looks at every member through member() and text(), so that no shape of it makes a
 * check undefined.
 */
#include "assure/gate.h"

#include "assure/decision.h"
#include "base/json.h"

static const char head[] =
    "decision := {\"verdict\": verdict, \"model\": model, \"checks\": checks}\n"
    "checks := array.concat(array.concat([scan, signature, fairness], gates), [approvals])\n"
    "verdict := \"pass\" if {\n    is_good\n    approvals.ok\n} else := \"waiting\" if is_good\n"
    "else := \"fail\"\n"
    "is_good if {\n    scan.ok\n    signature.ok\n    fairness.ok\n    every g in gates {\n        g.ok\n    }\n}\n"
    "\n"
    "evidence := object.get(input, \"evidence\", {})\n"
    "root := text(member(evidence, \"root\", \"\"))\n"
    "not_asked(name) := {\"name\": name, \"ok\": true, \"detail\": \"not asked for\"}\n"
    "member(of, key, otherwise) := v if {\n    is_object(of)\n    v := of[key]\n} else := otherwise\n"
    "text(v) := v if is_string(v)\nelse := \"\"\n"
    "list(v) := v if is_array(v)\nelse := []\n"
    "whole(v) := v if {\n    is_number(v)\n    v == floor(v)\n} else := 0\n"
    "fixed(x) := sprintf(\"%d.0000\", [x]) if x == floor(x)\nelse := sprintf(\"%.4f\", [x])\n";

static const char scan[] =
    "scan := {\"name\": \"scan\", \"ok\": scan_ok, \"detail\": scan_detail}\n"
    "scanned := member(evidence, \"scan\", {})\n"
    "default scan_ok := false\n"
    "scan_ok if member(scanned, \"verdict\", null) == \"clean\"\n"
    "scan_detail := sprintf(\"%d files, all clean\", [n]) if {\n"
    "    scan_ok\n    n := member(scanned, \"files\", null)\n    is_number(n)\n    n == floor(n)\n    n >= 0\n"
    "} else := \"clean\" if scan_ok\n"
    "else := \"no scan was shown\" if member(scanned, \"verdict\", null) == null\n"
    "else := concat(\"; \", array.concat([said], findings)) if {\n"
    "    said := concat(\" \", [\"the scan says\", text(scanned.verdict)])\n}\n"
    "findings := [line |\n"
    "    some f in array.slice(list(member(scanned, \"findings\", [])), 0, 3)\n"
    "    parts := [text(member(f, \"file\", \"\")), text(member(f, \"message\", \"\"))]\n"
    "    line := concat(\": \", [p | some p in parts; p != \"\"])\n]\n";

static const char signature[] =
    "signature := {\"name\": \"signature\", \"ok\": signature_ok, \"detail\": signature_detail}\n"
    "signed := member(evidence, \"signature\", {})\n"
    "default signature_ok := false\n"
    "signature_ok if {\n    is_verified\n    is_same_root\n}\n"
    "is_verified if member(signed, \"verdict\", null) == \"ok\"\n"
    "is_same_root if {\n    root != \"\"\n    root == member(signed, \"root\", \"\")\n}\n"
    "signature_error := text(member(signed, \"error\", \"\"))\n"
    "signature_detail := \"no signature was shown\" if member(signed, \"verdict\", null) == null\n"
    "else := concat(\": \", [\"not valid\", signature_error]) if {\n"
    "    not is_verified\n    signature_error != \"\"\n"
    "} else := \"not valid\" if not is_verified\n"
    "else := \"it is over another model\" if not is_same_root\n"
    "else := \"valid\"\n";

/* Judged from the numbers: the evidence's own verdict may be against another threshold. */
static const char fairness[] =
    "measured := member(evidence, \"fairness\", null)\n"
    "fairness_error := text(member(measured, \"error\", \"\"))\n"
    "fairness := {\"name\": \"fairness\", \"ok\": fairness_ok, \"detail\": fairness_detail, \"value\": value,\n"
    "    \"limit\": fair.minimum} if is_about_this\n"
    "else := {\"name\": \"fairness\", \"ok\": false, \"detail\": fairness_detail}\n"
    "is_about_this if {\n"
    "    fairness_error == \"\"\n"
    "    columns := member(measured, \"columns\", {})\n"
    "    member(columns, \"label\", null) == fair.label\n"
    "    member(columns, \"prediction\", null) == fair.prediction\n"
    "    member(columns, \"groups\", null) == fair.group\n"
    "    member(measured, \"predictions\", null) == fair.predictions\n}\n"
    "disparity := member(member(measured, \"disparity\", {}), fair.metric, {})\n"
    "number := list(member(disparity, \"ratio_interval\", []))[0] if fair.use == \"lower\"\n"
    "number := member(disparity, \"ratio\", null) if fair.use == \"point\"\n"
    "default value := null\n"
    "value := number\n"
    "sizes := {name: whole(member(g, \"n\", 0)) |\n"
    "    groups := member(measured, \"groups\", {})\n    is_object(groups)\n    some name, g in groups\n}\n"
    "least := min([n | some n in sizes])\n"
    "smallest := min([name | some name, n in sizes; n == least])\n"
    "is_enough if {\n"
    "    is_number(value)\n    count(sizes) > 0\n    member(measured, \"verdict\", \"\") != \"insufficient\"\n}\n"
    "reasons := [text(r) | some r in array.slice(list(member(measured, \"reasons\", [])), 0, 1); text(r) != \"\"]\n"
    "default fairness_ok := false\n"
    "fairness_ok if {\n    is_about_this\n    is_enough\n    least >= fair.min_group\n    value >= fair.minimum\n}\n"
    "fairness_detail := \"no numbers were shown\" if measured == null\n"
    "else := fairness_error if fairness_error != \"\"\n"
    "else := \"the numbers are about other columns or another file\" if not is_about_this\n"
    "else := concat(\": \", array.concat([\"insufficient\"], reasons)) if not is_enough\n"
    "else := sprintf(\"insufficient: group \\\"%s\\\" has %d rows, fewer than %d\", [smallest, least, fair.min_group]) if {\n"
    "    least < fair.min_group\n"
    "} else := concat(\"\", [low, fair.metric, \" is \", fixed(value), \", \", held, \" \", fixed(fair.minimum)])\n"
    "low := {\"point\": \"\", \"lower\": \"the low end of \"}[fair.use]\n"
    "held := \"at least\" if fairness_ok\nelse := \"below\"\n";

/* A person's, for this model, not the author's, and each person once. */
static const char approvals[] =
    "approvals := {\"name\": \"approvals\", \"ok\": approvals_ok, \"detail\": approvals_detail, \"value\": n_approvals,\n"
    "    \"limit\": approvals_wanted}\n"
    "default approvals_ok := false\n"
    "approvals_ok if n_approvals >= approvals_wanted\n"
    "n_approvals := count(approvers)\n"
    "given := array.slice(list(member(evidence, \"approvals\", [])), 0, 1000)\n"
    "author := text(member(member(evidence, \"author\", {}), \"id\", \"\"))\n"
    "counted := [i |\n"
    "    author != \"\"\n    root != \"\"\n    some i, a in given\n    text(member(a, \"id\", \"\")) != \"\"\n"
    "    a.id != author\n    member(a, \"root\", \"\") == root\n]\n"
    "first := {id: min(all) | some k in counted; id := given[k].id; all := [i | some i in counted; given[i].id == id]}\n"
    "approvers := [text(member(given[i], \"name\", \"\")) | some i in sort([i | some i in first])]\n"
    "approvals_detail := \"not asked for\" if approvals_wanted == 0\n"
    "else := sprintf(\"none of %d given\", [approvals_wanted]) if n_approvals == 0\n"
    "else := sprintf(\"%d of %d given, by %s\", [n_approvals, approvals_wanted, concat(\", \", approvers)])\n";

/* What merlon gate check said of the gates in Rego: judged when it was shown, missed when it is asked for. */
static const char gates[] =
    "shown_gates := member(evidence, \"gates\", null)\n"
    "gates := [{\"name\": \"gates\", \"ok\": false, \"detail\": \"no gates were run\"}] if {\n"
    "    shown_gates == null\n    gates_wanted\n"
    "} else := [] if shown_gates == null\n"
    "else := [{\"name\": \"gates\", \"ok\": true, \"detail\": text(member(shown_gates, \"summary\", \"\"))}] if {\n"
    "    member(shown_gates, \"verdict\", null) == \"pass\"\n"
    "} else := [{\"name\": \"gates\", \"ok\": false, \"detail\": text(member(shown_gates, \"summary\", \"\"))}]\n";

static const struct mln_value *fair_value(struct mln_cx *cx, const struct mln_gate *gate)
{
    const struct mln_fair_options *f = &gate->fair;
    struct mln_value *v = mln_object(cx), *groups = mln_array(cx);
    for (size_t i = 0; i < f->n_groups; i++) {
        mln_push(cx, groups, mln_string(cx, f->groups[i]));
    }
    mln_put_text(cx, v, "predictions", gate->predictions);
    mln_put_bytes(cx, v, "label", f->label);
    mln_put_bytes(cx, v, "prediction", f->prediction);
    mln_put(cx, v, "group", groups);
    mln_put_bytes(cx, v, "metric", f->metric);
    mln_put(cx, v, "minimum", mln_double(cx, f->minimum));
    mln_put_text(cx, v, "use", f->use == MLN_FAIR_LOWER ? "lower" : "point");
    mln_put_int(cx, v, "min_group", f->min_group);
    return v;
}

static void add_constant(struct mln_buf *out, const char *name, const struct mln_value *v)
{
    mln_buf_add_format(out, "%s := ", name);
    mln_json_print(out, v, MLN_JSON_COMPACT);
    mln_buf_add_byte(out, '\n');
}

static void add_part(struct mln_buf *out, const char *name, bool is_asked, const char *text)
{
    mln_buf_add_byte(out, '\n');
    if (is_asked) {
        mln_buf_add_text(out, text);
    } else {
        mln_buf_add_format(out, "%s := not_asked(\"%s\")\n", name, name);
    }
}

struct mln_err mln_gate_rego(struct mln_cx *cx, const struct mln_gate *gate, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_buf_add_text(&out, "# Made from release.yaml.\npackage merlon.gates.release\n\nimport rego.v1\n\n");
    add_constant(&out, "model", mln_text(cx, gate->model));
    add_constant(&out, "approvals_wanted", mln_int(cx, gate->approvals));
    add_constant(&out, "gates_wanted", mln_bool(cx, gate->wants_gates));
    if (gate->wants_fairness) {
        add_constant(&out, "fair", fair_value(cx, gate));
    }
    mln_buf_add_byte(&out, '\n');
    mln_buf_add_text(&out, head);
    add_part(&out, "scan", gate->wants_clean_scan, scan);
    add_part(&out, "signature", gate->wants_signature, signature);
    add_part(&out, "fairness", gate->wants_fairness, fairness);
    add_part(&out, "gates", true, gates);
    add_part(&out, "approvals", true, approvals);
    MLN_TRY(mln_buf_ok(cx, &out));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

static struct mln_err decide(struct mln_cx *cx, const struct mln_gate *gate, const struct mln_rules_options *o,
                             struct mln_decision *d)
{
    MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
    MLN_TRY(mln_rules_new(cx, o, &rules));
    struct mln_rules_question q = {.input = d->input, .now_ns = d->now_ns};
    MLN_TRY(mln_rules_ask(rules, cx, &q, &d->said));
    return mln_len(d->said) == 1 ? MLN_OK
                                 : mln_fail(cx, MLN_E_INTERNAL, "the gate of %s gives no decision", gate->model);
}

struct mln_err mln_gate_decide(struct mln_cx *cx, const struct mln_gate *gate, const struct mln_value *evidence, int64_t now_ns,
                               const struct mln_value **ret, struct mln_value **ret_decision)
{
    static const char *const heads[] = {"decision", NULL};
    struct mln_rego_source source = {.name = MLN_GATE_MODULE};
    struct mln_value *input = mln_object(cx);
    mln_put(cx, input, "evidence", evidence == NULL ? mln_object(cx) : evidence);
    MLN_TRY(mln_gate_rego(cx, gate, &source.text));
    struct mln_rules_options o = {.modules = &source, .n_modules = 1, .prefix = MLN_GATE_PREFIX, .heads = heads};
    struct mln_decision d = {.kind = "gate", .rules = &o, .input = input, .now_ns = now_ns};
    MLN_TRY(decide(cx, gate, &o, &d));
    *ret = mln_get(mln_item(d.said, 0), "value");
    d.verdict = mln_get_text(cx, mln_get(*ret, "verdict"), "");
    return ret_decision == NULL ? mln_cx_err(cx) : mln_decision_make(cx, &d, ret_decision);
}

struct mln_err mln_gate_judge(struct mln_cx *cx, const struct mln_gate *gate, const struct mln_value *evidence,
                              const struct mln_value **ret)
{
    return mln_gate_decide(cx, gate, evidence, 1, ret, NULL); /* no rule of it looks at the time */
}
