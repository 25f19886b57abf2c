/* SPDX-License-Identifier: Apache-2.0 */
/* Pickles: what may be called, how names are found, what is broken; samples are inert bytes that nothing loads. */
#include "scan_kit.h"

#include "artifact/pickle_priv.h"

extern const struct mln_scanner mln_scanner_pickle;

#define B(text) text, sizeof(text) - 1
#define OS      "\x8c\x02os\x8c\x06system\x93"
#define CALL    "\x8c\x04true\x85R"

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    enum mln_verdict verdict;
    const char *rule;
} rows[] = {
    /* data */
    {"none", B("\x80\x04N."), MLN_VERDICT_CLEAN, NULL},
    {"list, protocol 0", B("(lp0\nS'a'\np1\naI5\naF1.5\naL7L\naI01\na."), MLN_VERDICT_CLEAN, NULL},
    {"dict, protocol 2", B("\x80\x02}q\0(X\x01\0\0\0aq\x01K\x01X\x01\0\0\0bq\x02N\x75."),
     MLN_VERDICT_CLEAN, NULL},
    {"frame", B("\x80\x04\x95\x03\0\0\0\0\0\0\0]\x94."), MLN_VERDICT_CLEAN, NULL},
    {"set and frozenset", B("\x80\x04\x8f\x94(K\x01K\x02\x90(K\x03\x91\x86."), MLN_VERDICT_CLEAN,
     NULL},
    {"long and bytes",
     B("\x80\x05\x8a\x02\xff\x7f\x8b\x01\0\0\0\x05"
       "C\x02hi\x96\x01\0\0\0\0\0\0\0x\x30\x30\x30."),
     MLN_VERDICT_CLEAN, NULL},
    {"words as data", B("\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x86."), MLN_VERDICT_CLEAN, NULL},
    {"opcodes as data",
     B("\x80\x04"
       "C\x0d"
       "cos\nsystem\n(R."),
     MLN_VERDICT_CLEAN, NULL},
    {"zero padding", B("\x80\x04N.\0\0\0\0"), MLN_VERDICT_CLEAN, NULL},
    {"two pickles", B("\x80\x04N.\x80\x04K\x01."), MLN_VERDICT_CLEAN, NULL},
    {"many of protocol 0", B("(l.(l.(l."), MLN_VERDICT_CLEAN, NULL},
    /* names that are allowed */
    {"ordered dict",
     B("\x80\x02"
       "ccollections\nOrderedDict\n)R."),
     MLN_VERDICT_CLEAN, NULL},
    {"old name of set",
     B("\x80\x02"
       "c__builtin__\nset\n(lp0\n\x85R."),
     MLN_VERDICT_CLEAN, NULL},
    {"bytes by latin1",
     B("\x80\x02"
       "c_codecs\nencode\nX\x01\0\0\0aX\x06\0\0\0latin1\x86R."),
     MLN_VERDICT_CLEAN, NULL},
    {"bytes by another codec",
     B("\x80\x02"
       "c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R."),
     MLN_VERDICT_SUSPICIOUS, "pickle-codec"},
    /* dangerous, by every opcode that finds or calls */
    {"global", B("cos\nsystem\n(S'true'\ntR."), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"stack global", B("\x80\x04" OS CALL "."), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"inst", B("(S'true'\nios\nsystem\n."), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"obj", B("(cos\nsystem\nS'true'\no."), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"newobj",
     B("\x80\x02"
       "csubprocess\nPopen\n)\x81."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"newobj_ex",
     B("\x80\x04"
       "csubprocess\nPopen\n)}\x92."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"import alone", B("\x80\x04" OS "."), MLN_VERDICT_MALICIOUS, "pickle-import"},
    {"result dropped", B("\x80\x04" OS CALL "0N."), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"second pickle", B("\x80\x04N.\x80\x04" OS CALL "."), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"second pickle, protocol 0", B("(l.cos\nsystem\n(S'true'\ntR."), MLN_VERDICT_MALICIOUS,
     "pickle-call"},
    {"third pickle, protocol 0", B("(l.(l.cos\nsystem\n(S'true'\ntR."), MLN_VERDICT_MALICIOUS,
     "pickle-call"},
    /* names that are hidden */
    {"names from the memo",
     B("\x80\x04\x8c\x02os\x94\x30\x8c\x06system\x94\x30h\0h\x01\x93" CALL "."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"memo out of order",
     B("\x80\x04\x8c\x02osr\x70\x11\x01\0\x30\x8c\x06systemr\x71\x11\x01\0\x30j\x70\x11\x01\0j\x71"
       "\x11\x01\0\x93" CALL "."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"noise between", B("\x80\x04\x8c\x02osN0\x8c\x06systemK\x01\x30\x93" CALL "."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"duplicated",
     B("\x80\x04\x8c\x06system\x8c\x02os\x32\x30q\0\x30q\x01\x30h\0h\x01\x93" CALL "."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"unicode escapes", B("V\\u006fs\nV\\u0073ystem\n\x93" CALL "."), MLN_VERDICT_MALICIOUS,
     "pickle-call"},
    {"string escapes", B("S'\\x6f\\163'\nS'sys\\x74em'\n\x93" CALL "."), MLN_VERDICT_MALICIOUS,
     "pickle-call"},
    {"memo overwritten", B("Vtorch\np0\n0Vos\np0\n0Vsystem\np1\n0g0\ng1\n\x93" CALL "."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"computed",
     B("\x80\x04\x8c\x02os"
       "cbuiltins\nstr\n)R\x93."),
     MLN_VERDICT_MALICIOUS, "pickle-import-computed"},
    {"attribute of an allowed module", B("\x80\x04\x8c\x07pathlib\x8c\x09os.system\x93" CALL "."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"special attribute", B("\x80\x04\x8c\x05numpy\x8c\x0c__builtins__\x93."),
     MLN_VERDICT_MALICIOUS, "pickle-import"},
    {"module below", B("\x80\x04\x8c\x10importlib._x.y.z\x8c\x01q\x93."), MLN_VERDICT_MALICIOUS,
     "pickle-import"},
    {"state of a function",
     B("\x80\x02"
       "cnumpy\nmean\n}b."),
     MLN_VERDICT_MALICIOUS, "pickle-change"},
    {"item of a function",
     B("\x80\x02"
       "cnumpy\nmean\nK\x01K\x02s."),
     MLN_VERDICT_MALICIOUS, "pickle-change"},
    /* unknown */
    {"unknown name", B("\x80\x04\x8c\x06my.mod\x8c\x04Thng\x93)\x81."), MLN_VERDICT_SUSPICIOUS,
     "pickle-call-unknown"},
    {"nearly allowed",
     B("\x80\x02"
       "ccollections\nOrderedDict \n)R."),
     MLN_VERDICT_SUSPICIOUS, "pickle-import-unknown"},
    {"call of a result",
     B("\x80\x02"
       "ccollections\nOrderedDict\n)R)R."),
     MLN_VERDICT_SUSPICIOUS, "pickle-call-computed"},
    {"extension", B("\x80\x02\x82\x01)R."), MLN_VERDICT_SUSPICIOUS, "pickle-extension"},
    {"persistent id", B("\x80\x02X\x01\0\0\0aQ."), MLN_VERDICT_SUSPICIOUS, "pickle-persistent"},
    {"persistent line", B("Pabc\n."), MLN_VERDICT_SUSPICIOUS, "pickle-persistent"},
    {"buffer from outside", B("\x80\x05\x97."), MLN_VERDICT_SUSPICIOUS, "pickle-buffer"},
    {"tail", B("\x80\x04N.xyz"), MLN_VERDICT_SUSPICIOUS, "pickle-tail"},
    /* broken */
    {"empty", B(""), MLN_VERDICT_MALFORMED, "pickle-truncated"},
    {"no stop", B("\x80\x04N"), MLN_VERDICT_MALFORMED, "pickle-truncated"},
    {"no opcode", B("\x80\x04N\xff."), MLN_VERDICT_MALFORMED, "pickle-opcode"},
    {"stack is empty", B("\x80\x04."), MLN_VERDICT_MALFORMED, "pickle-stack"},
    {"below the mark", B("\x80\x04K\x01(0K\x01(\x85."), MLN_VERDICT_MALFORMED, "pickle-stack"},
    {"no mark", B("\x80\x04t."), MLN_VERDICT_MALFORMED, "pickle-mark"},
    {"memo is empty", B("\x80\x04h\x05."), MLN_VERDICT_MALFORMED, "pickle-memo"},
    {"a terabyte", B("\x80\x04\x8e\0\0\0\0\0\x01\0\0"), MLN_VERDICT_MALFORMED, "pickle-truncated"},
    {"frame beyond", B("\x80\x04\x95\xff\0\0\0\0\0\0\0N."), MLN_VERDICT_MALFORMED,
     "pickle-truncated"},
    {"number is none", B("Iabc\n."), MLN_VERDICT_MALFORMED, "pickle-number"},
    {"string without quotes", B("Sabc\n."), MLN_VERDICT_MALFORMED, "pickle-string"},
    {"protocol 9", B("\x80\x09N."), MLN_VERDICT_MALFORMED, "pickle-protocol"},
    {"arguments are no tuple",
     B("\x80\x02"
       "ccollections\nOrderedDict\n]R."),
     MLN_VERDICT_MALFORMED, "pickle-arguments"},
    {"added to a number",
     B("\x80\x04K\x01K\x02"
       "a."),
     MLN_VERDICT_MALFORMED, "pickle-type"},
    /* broken behind a call: a loader has made it by then */
    {"call, then no stop", B("\x80\x04" OS CALL), MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"call, then no opcode", B("\x80\x04" OS CALL "\xff"), MLN_VERDICT_MALICIOUS, "pickle-opcode"},
    {"call behind a bad memo", B("\x80\x04h\x09\x30" OS CALL "."), MLN_VERDICT_MALICIOUS,
     "pickle-call"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_scan_report report =
            scan_with(cx, &mln_scanner_pickle, "x.pkl", mln_bytes_at(rows[i].bytes, rows[i].len));
        scan_expect(rows[i].name, &report, rows[i].verdict, rows[i].rule);
        assert_true(report.verdict != MLN_VERDICT_CLEAN || mln_len(report.findings) == 0);
    }
}

/* Every beginning of a clean pickle is malformed, never clean. */
static void test_cut(void **state)
{
    static const char whole[] = "\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94\x8c\x01"
                                "a\x94\x8c\x0b"
                                "collections\x94s"
                                "ccollections\nOrderedDict\n)R.";
    struct mln_cx *cx = kit_cx(state);
    for (size_t n = 0; n < sizeof(whole) - 2; n++) {
        struct mln_scan_report report =
            scan_with(cx, &mln_scanner_pickle, "x.pkl", mln_bytes_at(whole, n));
        assert_true(report.verdict == MLN_VERDICT_MALFORMED);
    }
}

static void test_finding(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes map = MLN_BYTES("....\x80\x04" OS CALL ".");
    struct mln_scan_report report = scan_report(cx);
    struct mln_scan_input input = {.path = "x", .map = map, .base = 100};
    size_t end = 0;
    kit_ok(cx, mln_scan_pickle_at(cx, &input, 4, false, &report, &end));
    assert_int_equal(end, map.len);
    assert_int_equal(mln_len(report.findings), 2);
    const struct mln_value *call = mln_item(report.findings, 1);
    kit_text(mln_get_bytes(mln_get(call, "rule")), "pickle-call");
    kit_text(mln_get_bytes(mln_get(call, "opcode")), "REDUCE");
    kit_text(mln_get_bytes(mln_get(call, "callable")), "os.system");
    kit_text(mln_get_bytes(mln_get(call, "severity")), "critical");
    assert_int_equal(mln_get_int(mln_get(call, "offset"), 0), 100 + (int64_t)map.len - 2);
}

/* Torch's ids are fine where torch reads them; the classes of a script only there. */
static void test_persistent(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    size_t end = 0;
    struct mln_scan_input input = {
        .path = "x",
        .map = MLN_BYTES("\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
                         "0X\x03\0\0\0cpuK\x01tQ.")};
    struct mln_scan_report report = scan_report(cx);
    kit_ok(cx, mln_scan_pickle_at(cx, &input, 0, true, &report, &end));
    scan_expect("storage", &report, MLN_VERDICT_CLEAN, NULL);
    input.map = MLN_BYTES("\x80\x02"
                          "c__torch__.net\nNet\n)\x81.");
    kit_ok(cx, mln_scan_pickle_at(cx, &input, 0, true, &report, &end));
    scan_expect("script", &report, MLN_VERDICT_CLEAN, NULL);
    kit_ok(cx, mln_scan_pickle_at(cx, &input, 0, false, &report, &end));
    assert_true(report.verdict > MLN_VERDICT_CLEAN);
}

#define MAGIC "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    enum mln_verdict verdict;
    const char *rule;
} legacy[] = {
    {"whole",
     B(MAGIC "\x80\x02}X\x01\0\0\0aX\x01\0\0\0bQs.\x80\x02].\x01\0\0\0\0\0\0\0\xde\xad\xbe\xef"),
     MLN_VERDICT_CLEAN, NULL},
    {"object calls",
     B(MAGIC "\x80\x02"
             "cos\nsystem\n)R.\x80\x02]."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"keys call",
     B(MAGIC "\x80\x02N.\x80\x02"
             "cos\nsystem\n)R."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"id among the keys", B(MAGIC "\x80\x02N.\x80\x02X\x01\0\0\0bQ."), MLN_VERDICT_SUSPICIOUS,
     "pickle-persistent"},
    {"two pickles are missing", B(MAGIC), MLN_VERDICT_MALFORMED, "torch-legacy"},
};

static void test_legacy(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(legacy); i++) {
        struct mln_scan_report report = scan_with(cx, &mln_scanner_pickle, "x.pt",
                                                  mln_bytes_at(legacy[i].bytes, legacy[i].len));
        scan_expect(legacy[i].name, &report, legacy[i].verdict, legacy[i].rule);
        kit_text(mln_bytes_of(report.format), "torch-legacy");
    }
}

/* ---- joblib ---- */

#define WRAP                                                                                       \
    "\x80\x03"                                                                                     \
    "cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\0\0\0shapeK\x02\x85X\x05\0\0\0dtype"    \
    "cnumpy\ndtype\nX\x02\0\0\0"
#define WRAPPED "\x89\x88\x87R"
#define PAD     "X\x1b\0\0\0numpy_array_alignment_bytesK\x10"

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    enum mln_verdict verdict;
    const char *rule;
} arrays[] = {
    {"array", B(WRAP "f4" WRAPPED "ub\1\2\3\4\5\6\7\10."), MLN_VERDICT_CLEAN, NULL},
    {"padded", B(WRAP "f4" WRAPPED PAD "ub\3\xff\xff\xff\1\2\3\4\5\6\7\10."), MLN_VERDICT_CLEAN,
     NULL},
    {"call behind it",
     B(WRAP "f4" WRAPPED "ub\1\2\3\4\5\6\7\10"
            "0cos\nsystem\n)R."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"bytes are opcodes", B(WRAP "S8" WRAPPED "ub0cos\nsystem\n)R.N."), MLN_VERDICT_MALICIOUS,
     "joblib-array-code"},
    {"objects", B(WRAP "O8" WRAPPED "ub\x80\x03(NNt.."), MLN_VERDICT_CLEAN, NULL},
    {"objects call",
     B(WRAP "O8" WRAPPED "ub\x80\x03"
            "cos\nsystem\n)R.."),
     MLN_VERDICT_MALICIOUS, "pickle-call"},
    {"cut", B(WRAP "f8" WRAPPED "ub\1\2\3\4"), MLN_VERDICT_MALFORMED, "joblib-array"},
    {"unknown size", B(WRAP "??" WRAPPED "ub\1\2\3\4\5\6\7\10."), MLN_VERDICT_SUSPICIOUS,
     "joblib-array"},
    {"no state",
     B("\x80\x03"
       "cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b."),
     MLN_VERDICT_SUSPICIOUS, "joblib-array"},
    {"other file",
     B("\x80\x03"
       "cjoblib.numpy_pickle\nNDArrayWrapper\n)\x81."),
     MLN_VERDICT_SUSPICIOUS, "pickle-other-file"},
};

static void test_joblib(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(arrays); i++) {
        struct mln_scan_report report = scan_with(cx, &mln_scanner_pickle, "x.joblib",
                                                  mln_bytes_at(arrays[i].bytes, arrays[i].len));
        scan_expect(arrays[i].name, &report, arrays[i].verdict, arrays[i].rule);
        kit_text(mln_bytes_of(report.format), "joblib");
    }
}

/* Models in bytes: judged as files of their own. */
static void test_nested(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_scan_report report = scan_with(cx, &mln_scanner_pickle, "x.pkl",
                                              MLN_BYTES("\x80\x04"
                                                        "ctorch.storage\n_load_from_bytes\nC\x12"
                                                        "cos\nsystem\n(Na)R..\x85R."));
    assert_true(report.verdict > MLN_VERDICT_CLEAN);
    report = scan_with(cx, &mln_scanner_pickle, "x.pkl",
                       MLN_BYTES("\x80\x04"
                                 "ctorch.storage\n_load_from_bytes\nC\x10"
                                 "cos\nsystem\n(tR.\0\x85R."));
    scan_expect("call inside", &report, MLN_VERDICT_MALICIOUS, "pickle-call");
    report = scan_with(cx, &mln_scanner_pickle, "x.pkl",
                       MLN_BYTES("\x80\x04"
                                 "ctorch.storage\n_load_from_bytes\ncbuiltins\nbytes\n)R\x85R."));
    scan_expect("computed", &report, MLN_VERDICT_SUSPICIOUS, "pickle-nested");
}

static const struct {
    const char *name;
    const char *path;
    const char *bytes;
    size_t len;
    int how;
} probes[] = {
    {"magic", "x", B("\x80\x04N."), 2},
    {"call without magic", "x.txt", B("cos\nsystem\n(S'true'\ntR."), 3},
    {"call, then rubbish", "x.onnx", B("cos\nsystem\n(S'true'\ntR\xff\xff"), 3},
    {"whole without magic", "x", B("(l."), 3},
    {"by name", "x.PKL", B("hello"), 1},
    {"text", "x.txt", B("class\nname\nother\n"), 0},
    {"text of opcodes", "x.txt", B("cat\ndog\nemu\n"), 0},
    {"empty", "x", B(""), 0},
    {"empty by name", "x.pkl", B(""), 1},
};

static void test_probe(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(probes); i++) {
        int how = scan_probe(&mln_scanner_pickle, probes[i].path,
                             mln_bytes_at(probes[i].bytes, probes[i].len));
        if (how != probes[i].how) {
            fail_msg("%s: %d, wanted %d", probes[i].name, how, probes[i].how);
        }
    }
}

static const struct {
    const char *module, *name;
    enum pk_rating rating;
} names[] = {
    {"numpy", "dtype", PK_ALLOWED},
    {"numpy", "dtyp", PK_UNLISTED},
    {"numpy", "", PK_UNLISTED},
    {"numpy", "ndarray recarray", PK_UNLISTED},
    {"numpy", "load", PK_DANGEROUS},
    {"builtins", "set", PK_ALLOWED},
    {"builtins", "print", PK_UNLISTED},
    {"builtins", "getattr", PK_DANGEROUS},
    {"osx", "thing", PK_UNLISTED},
    {"os.path", "join", PK_DANGEROUS},
    {"any.thing", "system", PK_DANGEROUS},
    {"any.thing", "A.system.b", PK_DANGEROUS},
    {"any", "__globals__", PK_DANGEROUS},
    {"", "", PK_UNLISTED},
    {"sklearn.linear_model._logistic", "LogisticRegression", PK_ALLOWED},
    {"torch._utils", "_rebuild_tensor_v2", PK_ALLOWED},
    {"torch", "load", PK_DANGEROUS},
};

static void test_names(void **state)
{
    (void)state;
    assert_true(pk_allow_sorted());
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        enum pk_rule rule;
        enum pk_rating rating =
            pk_rate(mln_bytes_of(names[i].module), mln_bytes_of(names[i].name), &rule);
        if (rating != names[i].rating) {
            fail_msg("%s.%s: %d", names[i].module, names[i].name, (int)rating);
        }
    }
}

/* Findings are bounded, the rest is counted; names from the file become one printable line. */
static void test_many(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {0};
    mln_buf_add_text(&file, "cos\nsy\x01\xffstem\n");
    for (size_t i = 0; i < 1000; i++) {
        mln_buf_add_text(&file, "cos\nsystem\n0");
    }
    mln_buf_add_byte(&file, '.');
    struct mln_scan_report report =
        scan_with(cx, &mln_scanner_pickle, "x.pkl", mln_buf_bytes(&file));
    assert_int_equal(mln_len(report.findings), MLN_SCAN_FINDINGS_MAX);
    assert_int_equal(report.n_dropped, 1001 - MLN_SCAN_FINDINGS_MAX);
    kit_text(mln_get_bytes(mln_get(mln_item(report.findings, 0), "callable")), "os.sy??stem");
}

static struct mln_err fault_body(struct mln_cx *cx, void *arg)
{
    struct mln_scan_input input = {.path = "x.pkl", .map = *(struct mln_bytes *)arg};
    struct mln_scan_report report = scan_report(cx);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_scanner_pickle.scan(cx, &input, &report));
    return mln_cx_err(cx);
}

static void test_faults(void **state)
{
    (void)state;
    struct mln_bytes map = MLN_BYTES("\x80\x04\x8c\x01xr\xff\xff\0\0" OS CALL "h\0.");
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, fault_body, &map) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),       KIT_TEST(test_cut),    KIT_TEST(test_finding),
        KIT_TEST(test_persistent), KIT_TEST(test_legacy), KIT_TEST(test_joblib),
        KIT_TEST(test_nested),     KIT_TEST(test_probe),  KIT_TEST(test_names),
        KIT_TEST(test_many),       KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
