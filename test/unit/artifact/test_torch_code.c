/* SPDX-License-Identifier: Apache-2.0 */
/* TorchScript code: which names reach outside, and which only look as if. */
#include "scan_kit.h"

#include "artifact/torch_code.h"

static const struct {
    const char *code;
    enum mln_verdict verdict;
    const char *rule;
} rows[] = {
    {"", MLN_VERDICT_CLEAN, NULL},
    {"def forward(self, x: Tensor) -> Tensor:\n  return torch.relu(x)\n", MLN_VERDICT_CLEAN, NULL},
    {"x = torch.ops.aten.add(a, b)", MLN_VERDICT_CLEAN, NULL},
    {"x = torch.ops.quantized.linear(a)", MLN_VERDICT_CLEAN, NULL},
    {"ops.prim.RaiseException(\"os.system\", \"builtins.ValueError\")", MLN_VERDICT_CLEAN, NULL},
    {"# os.system and torch.save(x)\nx = 1", MLN_VERDICT_CLEAN, NULL},
    {"x = 'a \\' torch.save(x)'", MLN_VERDICT_CLEAN, NULL},
    {"x = \"\"\"it's \"torch.save(x)\" \"\"\"", MLN_VERDICT_CLEAN, NULL},
    {"_0 = (self).save(x)", MLN_VERDICT_CLEAN, NULL},
    {"_0 = (self).eval()", MLN_VERDICT_CLEAN, NULL},
    {"def compile(self: __torch__.M) -> Tensor:", MLN_VERDICT_CLEAN, NULL},
    {"def open(self: __torch__.M) -> Tensor:", MLN_VERDICT_CLEAN, NULL},
    {"open = torch.add(input, os)", MLN_VERDICT_CLEAN, NULL},
    {"import __torch__.torch.nn", MLN_VERDICT_CLEAN, NULL},
    {"x : __torch__.torch.classes.quantized.LinearPackedParamsBase", MLN_VERDICT_CLEAN, NULL},
    {"torch.save(x, \"f\")", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"torch.ops.aten.save(self, \"/dev/null\")", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"ops.aten.from_file(\"f\", True)", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"_0 = torch . save", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"_0 = torch.\\\n", MLN_VERDICT_CLEAN, NULL},
    {"ops.image.write_file(\"f\", x)", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"ops.prim.rpc_sync(\"w\", x)", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"'not closed\ntorch.save(x)", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
    {"ops.evil.run(x)", MLN_VERDICT_SUSPICIOUS, "torchscript-custom-operator"},
    {"x : __torch__.torch.classes.evil.Thing", MLN_VERDICT_SUSPICIOUS,
     "torchscript-custom-operator"},
    {"import os\n", MLN_VERDICT_SUSPICIOUS, "torchscript-import"},
    {"from subprocess import run", MLN_VERDICT_SUSPICIOUS, "torchscript-import"},
    {"os.system(\"x\")", MLN_VERDICT_MALICIOUS, "torchscript-python"},
    {"exec(\"x\")", MLN_VERDICT_MALICIOUS, "torchscript-python"},
    {"y = __import__(\"os\")", MLN_VERDICT_MALICIOUS, "torchscript-python"},
    {"subprocess.a.b.c.d.e.f.g.h.i.j.run(1)", MLN_VERDICT_MALICIOUS, "torchscript-python"},
    {"torch.a.b.c.d.e.f.g.h.i.j.save(1)", MLN_VERDICT_MALICIOUS, "torchscript-reaches-out"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_scan_report report = scan_report(cx);
        mln_torch_code(&report, mln_bytes_of(rows[i].code), 0);
        scan_expect(rows[i].code, &report, rows[i].verdict, rows[i].rule);
    }
}

/* The finding names where and what. */
static void test_finding(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_scan_report report = scan_report(cx);
    mln_torch_code(&report, MLN_BYTES("x = 1\ntorch.ops.aten.save(x)"), 100);
    assert_int_equal(mln_len(report.findings), 1);
    assert_int_equal(mln_get_int(mln_get(mln_item(report.findings, 0), "offset"), 0), 106);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {KIT_TEST(test_rows), KIT_TEST(test_finding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
