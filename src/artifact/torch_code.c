/* SPDX-License-Identifier: Apache-2.0 */
/* Names in TorchScript code; contract in torch_code.h. */
#include "artifact/torch_code.h"

#define PARTS_MAX 8 /* of a dotted name; the last ones are kept */

/* A dotted name as it stands in the code. */
struct name {
    struct mln_bytes parts[PARTS_MAX];
    size_t n;
    size_t at;
    bool is_method; /* behind ").": of a value, not of a module */
    bool is_called;
    bool is_defined; /* behind "def" or "class" */
    bool is_imported;
};

struct lexer {
    struct mln_bytes code;
    size_t at;
};

/* Operators that reach files, processes or Python; a name's last part. */
static const char *const reaching[] = {
    "save",
    "from_file",
    "load",
    "load_audio",
    "read_file",
    "write_file",
    "PythonOp",
    "CallFunction_python",
    "rpc_sync",
    "rpc_async",
    "rpc_remote",
    "hub",
    "save_audio_file",
    "load_audio_file",
    "decode_image_file",
    "fork_process",
    "system",
    "popen",
    "sox_io_save_audio_file",
    "sox_io_load_audio_file",
    "sox_effects_apply_effects_file",
};
/* Namespaces of operators and classes that come with torch and its own domain libraries. */
static const char *const spaces[] = {
    "aten",        "prim",           "prims",     "quantized",     "quantized_decomposed",
    "torchvision", "torchaudio",     "torchtext", "mkldnn",        "image",
    "prepacked",   "xnnpack",        "sparse",    "onednn",        "mkldnn_prepacked",
    "rnn",         "static_runtime", "profiler",  "_quantized",    "inductor",
    "rand",        "metal",          "vulkan",    "metal_prepack", "vulkan_prepack",
};
static const char *const python_modules[] = {
    "os",     "sys",    "subprocess", "shutil",  "socket",   "builtins",        "importlib",
    "pickle", "ctypes", "posix",      "nt",      "pty",      "runpy",           "marshal",
    "code",   "urllib", "requests",   "pathlib", "tempfile", "multiprocessing",
};
static const char *const python_calls[] = {"eval",       "exec",    "compile", "open",
                                           "__import__", "globals", "locals",  "breakpoint"};

static bool in_list(struct mln_bytes part, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is(part, list[i])) {
            return true;
        }
    }
    return false;
}

static bool is_start(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_inside(uint8_t c)
{
    return is_start(c) || (c >= '0' && c <= '9');
}

static uint8_t at(const struct lexer *in, size_t i)
{
    return i < in->code.len ? in->code.ptr[i] : 0;
}

/* Behind the string that begins here: 'x', "x", and three quotes of either. */
static void skip_string(struct lexer *in)
{
    uint8_t quote = at(in, in->at);
    bool is_long = at(in, in->at + 1) == quote && at(in, in->at + 2) == quote;
    in->at += is_long ? 3 : 1;
    while (in->at < in->code.len) {
        uint8_t c = at(in, in->at);
        if (c == '\\') {
            in->at += 2;
        } else if (c == quote &&
                   (!is_long || (at(in, in->at + 1) == quote && at(in, in->at + 2) == quote))) {
            in->at += is_long ? 3 : 1;
            return;
        } else if (c == '\n' && !is_long) {
            return; /* does not end on its line: what follows is read as code */
        } else {
            in->at++;
        }
    }
    in->at = in->code.len;
}

static void skip_blank(struct lexer *in)
{
    while (at(in, in->at) == ' ' || at(in, in->at) == '\t' || at(in, in->at) == '\\') {
        in->at++;
    }
}

static struct mln_bytes read_part(struct lexer *in)
{
    size_t from = in->at;
    while (in->at < in->code.len && is_inside(at(in, in->at))) {
        in->at++;
    }
    return mln_bytes_sub(in->code, from, in->at - from);
}

static void add_part(struct name *name, struct mln_bytes part)
{
    if (name->n == PARTS_MAX) {
        mln_move(&name->parts[2], &name->parts[3], (PARTS_MAX - 3) * sizeof(name->parts[0]));
        name->n--;
    }
    name->parts[name->n++] = part;
}

/* A dotted name from here on. */
static struct name read_name(struct lexer *in)
{
    struct name name = {.at = in->at};
    add_part(&name, read_part(in));
    for (;;) {
        size_t back = in->at;
        skip_blank(in);
        if (at(in, in->at) != '.') {
            name.is_called = at(in, in->at) == '(';
            in->at = back;
            return name;
        }
        in->at++;
        skip_blank(in);
        if (!is_start(at(in, in->at))) {
            return name;
        }
        add_part(&name, read_part(in));
    }
}

static void find(struct mln_scan_report *report, enum mln_verdict verdict, const char *rule,
                 uint64_t offset, const struct name *name, const char *text)
{
    struct mln_bytes first = name->parts[0];
    struct mln_bytes last = name->parts[name->n - 1];
    enum mln_severity severity =
        verdict == MLN_VERDICT_MALICIOUS ? MLN_SEVERITY_HIGH : MLN_SEVERITY_MEDIUM;
    const char *called = mln_text_format(report->cx, "%.*s%s%.*s", MLN_FMT(first),
                                         name->n > 2 ? ".(...)." : ".", MLN_FMT(last));
    if (name->n == 1) {
        called = mln_text_dup(report->cx, first);
    }
    mln_scan_find_call(report, verdict, severity, rule, offset + name->at, NULL, called,
                       "TorchScript code: %s", text);
}

/* The namespace of an operator or class: torch.ops.NS.x, ops.NS.x, torch.classes.NS.x; none for torch.x. */
static struct mln_bytes space_of(const struct name *name)
{
    for (size_t i = 0; i + 2 < name->n && i < 3; i++) {
        if (mln_bytes_is(name->parts[i], "ops") || mln_bytes_is(name->parts[i], "classes")) {
            return name->parts[i + 1];
        }
    }
    return MLN_BYTES_NONE;
}

static bool is_operator(const struct name *name)
{
    struct mln_bytes first = name->parts[0];
    bool of_class = mln_bytes_is(first, "__torch__") && name->n > 2 &&
                    mln_bytes_is(name->parts[1], "torch") &&
                    mln_bytes_is(name->parts[2], "classes");
    return of_class || mln_bytes_is(first, "torch") || mln_bytes_is(first, "ops") ||
           mln_bytes_is(first, "aten");
}

static void check_name(struct mln_scan_report *report, uint64_t offset, const struct name *name)
{
    struct mln_bytes first = name->parts[0];
    struct mln_bytes last = name->parts[name->n - 1];
    if (name->is_imported && !mln_bytes_is(first, "__torch__")) {
        find(report, MLN_VERDICT_SUSPICIOUS, "torchscript-import", offset, name,
             "imports what the archive does not hold");
        return;
    }
    if (name->is_method || name->is_defined) {
        return;
    }
    if (name->n > 1 && is_operator(name)) {
        struct mln_bytes space = space_of(name);
        if (in_list(last, reaching, MLN_COUNT(reaching))) {
            find(report, MLN_VERDICT_MALICIOUS, "torchscript-reaches-out", offset, name,
                 "an operator that reaches files, other processes or Python");
        } else if (space.len > 0 && !in_list(space, spaces, MLN_COUNT(spaces))) {
            find(report, MLN_VERDICT_SUSPICIOUS, "torchscript-custom-operator", offset, name,
                 "an operator of a library that torch does not come with");
        }
    } else if (name->n > 1 && in_list(first, python_modules, MLN_COUNT(python_modules))) {
        find(report, MLN_VERDICT_MALICIOUS, "torchscript-python", offset, name,
             "a module of Python");
    } else if (name->n == 1 && name->is_called &&
               in_list(first, python_calls, MLN_COUNT(python_calls))) {
        find(report, MLN_VERDICT_MALICIOUS, "torchscript-python", offset, name,
             "a built-in of Python that runs or opens");
    }
}

void mln_torch_code(struct mln_scan_report *report, struct mln_bytes code, uint64_t offset)
{
    struct lexer in = {.code = code};
    bool is_defined = false;
    bool is_imported = false;
    uint8_t before = 0; /* the last character of code that is no blank */
    while (in.at < code.len) {
        uint8_t c = at(&in, in.at);
        if (c == '\'' || c == '"') {
            skip_string(&in);
            before = c;
        } else if (c == '#') {
            in.at += mln_bytes_find(mln_bytes_from(code, in.at), '\n');
        } else if (is_start(c)) {
            struct name name = read_name(&in);
            name.is_method = before == '.';
            name.is_defined = is_defined;
            name.is_imported = is_imported;
            check_name(report, offset, &name);
            is_defined = name.n == 1 && (mln_bytes_is(name.parts[0], "def") ||
                                         mln_bytes_is(name.parts[0], "class"));
            is_imported =
                name.n == 1 && !name.is_method &&
                (mln_bytes_is(name.parts[0], "import") || mln_bytes_is(name.parts[0], "from"));
            before = 'a';
        } else {
            if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
                before = c;
            }
            in.at++;
        }
    }
}
