#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merlon rego parse, merlon rego deps, merlon rego inspect, merlon rego build, merlon rego sign, merlon rego exec,
merlon rego capabilities, and the flags of eval and test that watch evaluations: output and exit codes.

usage: rego_cli.py [MERLON]    Beside OPA's own program (MLN_OPA) bundles are read and signatures are verified by it.
"""
import json
import pathlib
import subprocess
import tempfile

import opa
from kit import case, finish, run, skip

POLICY = """# METADATA
# title: Users
package a.b

import data.q

# METADATA
# title: Allowed?
p := x if {
	x := input.foo[q.z]
	data.users[x].name == "bob"
	f(x)
}

f(y) if y == 1
"""
TESTS = """package t

p if {
	input.x == 1
	q
}

q if input.y > 3

r := 2 if {
	some i in [1, 2]
	i == 3
} else := 4

test_good if p with input as {"x": 1, "y": 4}

test_bad if {
	x := r
	x == 5
}

test_table[note] if {
	some note, v in {"one": 1, "two": 2}
	v == 1
}

todo_test_later if false
"""


def rego(*args, stdin=None):
    done = run("rego", *args, stdin=stdin)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def check_tree(folder):
    path = folder / "b" / "x.rego"
    code, out, _ = rego("parse", "--format", "json", path)
    tree = json.loads(out) if code == 0 else {}
    case("parse: JSON", [r["head"]["name"] for r in tree.get("rules", [])] == ["p", "f"], out[:300])
    code, out, _ = rego("parse", path)
    case("parse: pretty", code == 0 and out.startswith("module\n"), out[:300])
    (folder / "bad.rego").write_text("package a\np if {")
    case("parse: what cannot be read, exit 1", rego("parse", folder / "bad.rego")[0] == 1)
    code, out, _ = rego("deps", "-d", folder / "b", "--format", "json", "data.a.b.p")
    deps = json.loads(out) if code == 0 else {}
    texts = {kind: [".".join(part["value"] for part in ref) for ref in refs] for kind, refs in deps.items()}
    case("deps", texts == {"base": ["data.q.z", "data.users", "input.foo"], "virtual": ["data.a.b.f", "data.a.b.p"]}, out)
    case("deps: an error of the query, exit 1", rego("deps", "-d", folder / "b", "x y")[0] == 1)
    code, out, _ = rego("capabilities")
    names = [b["name"] for b in json.loads(out)["builtins"]] if code == 0 else []
    case("capabilities", "count" in names and "plus" in names, names[:5])
    few = folder / "few.json"
    few.write_text(json.dumps({"builtins": [{"name": "plus"}]}))
    (folder / "c.rego").write_text("package c\n\np := count(input.x) + 1\n")
    code, _, err = rego("check", "--capabilities", few, folder / "c.rego")
    case("check --capabilities refuses what is not in the list", code == 1 and "undefined function count" in err, err)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "o": {"$ref": "#/$defs/o"}, "n": {"type": "integer"},
                                          "xs": {"type": "array", "items": {"type": "number"}}, "free": {"type": "object"}},
          "$defs": {"o": {"allOf": [{"properties": {"x": {"type": "integer"}}}]}}}
SCHEMED = """package s

a if input.b == 1

b if input.a == 1

c if input.o.x.y

d if input.xs[0] == "x"

e if input.n == "x"

f if input.free.any.thing

g if input.a == "x"
"""
NOTED = """package s

# METADATA
# schemas:
# - input: schema.in.put
a if input.b == 1

b if input.b == 1
"""


def check_schemas(folder, program):
    (folder / "schemas" / "in").mkdir(parents=True)
    schema = folder / "schemas" / "in" / "put.json"
    schema.write_text(json.dumps(SCHEMA))
    path = folder / "s.rego"
    path.write_text(SCHEMED)
    code, out, err = rego("check", "-s", schema, "--format", "json", path)
    rows = [e["location"]["row"] for e in json.loads(out)["errors"]] if code == 1 else []
    case("check -s FILE", rows == [3, 5, 7, 9, 11], out or err)
    if program is not None:
        done = subprocess.run([program, "check", "-s", schema, path], stderr=subprocess.PIPE, timeout=60)
        case("check -s as opa says it", done.stderr.decode().strip() == rego("check", "-s", schema, path)[2].strip(),
             rego("check", "-s", schema, path)[2])
    path.write_text(NOTED)
    code, out, err = rego("check", "-s", folder / "schemas", "--format", "json", path)
    rows = [e["location"]["row"] for e in json.loads(out)["errors"]] if code == 1 else []
    case("check -s FOLDER: of the rule that METADATA is of", rows == [6], out or err)
    schema.write_text('{"type": "thing"}')
    code, _, err = rego("check", "-s", schema, path)
    case("check -s: what is no schema", code == 1 and "unknown type" in err, err)


def check_bundles(folder):
    out = folder / "o.tar.gz"
    code, _, err = rego("build", folder / "b", "--output-file", out, "-r", "7")
    case("build", code == 0 and out.exists(), err)
    first = out.read_bytes() if out.exists() else b""
    rego("build", folder / "b", "--output-file", out, "-r", "7")
    case("build: the same files give the same bytes", first and out.read_bytes() == first)
    code, text, _ = rego("inspect", "--format", "json", "-a", out)
    seen = json.loads(text) if code == 0 else {}
    case("inspect", seen.get("manifest", {}).get("revision") == "7" and "data.a.b" in seen.get("namespaces", {}) and
         [n["annotations"]["title"] for n in seen.get("annotations", [])] == ["Users", "Allowed?"], text[:400])
    code, text, _ = rego("eval", "-b", out, "-f", "raw", "data.q.z")
    case("eval -b reads a tar.gz", (code, text) == (0, "1\n"), (code, text))
    (folder / "bad").mkdir()
    (folder / "bad" / "x.rego").write_text("package a\np := count(1)\n")
    case("build: policies that do not compile, exit 1", rego("build", folder / "bad", "--output-file", out)[0] == 1)
    case("build: -O is refused", rego("build", "-O", "1", folder / "b", "--output-file", out)[0] != 0)
    (folder / "i.json").write_text('{"foo": [5, 1]}')
    (folder / "j.json").write_text("{}")
    code, text, _ = rego("exec", "-b", folder / "b", "--decision", "a/b/p", folder / "i.json", folder / "j.json")
    said = json.loads(text)["result"] if code == 0 else []
    case("exec", len(said) == 2 and said[0].get("result") == 1 and said[1].get("error", {}).get("code") == "opa_undefined_error", text)
    case("exec --fail", rego("exec", "--fail", "-b", folder / "b", "--decision", "a/b/p", folder / "j.json")[0] == 1)
    case("exec --fail-defined", rego("exec", "--fail-defined", "-b", folder / "b", "--decision", "a/b/p", folder / "i.json")[0] == 1)


def check_signatures(folder, program, why):
    key, public, out = folder / "key.pem", folder / "pub.pem", folder / "signed.tar.gz"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True,
                   stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    code, _, err = rego("build", folder / "b", "--output-file", out, "--signing-key", key, "--signing-alg", "ES256")
    case("build signs", code == 0, err)
    code, _, err = rego("sign", "--signing-key", key, "--signing-alg", "ES256", "--output-folder", folder, folder / "b")
    case("sign", code == 0 and len(json.loads((folder / ".signatures.json").read_text())["signatures"]) == 1, err)
    if program is None:
        skip("opa verifies what was signed", why)
        return
    done = subprocess.run([program, "build", "-b", out, "--verification-key", public, "--signing-alg", "ES256", "-o",
                           folder / "verified.tar.gz"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    case("opa verifies what was signed", done.returncode == 0, done.stdout)


def check_tests(folder):
    path = folder / "t.rego"
    path.write_text(TESTS)
    code, out, _ = rego("test", path, "--format", "json")
    results = {r["name"]: r for r in json.loads(out)}
    case("test: exit 2, what failed and what waits", code == 2 and "fail" not in results["test_good"] and
         results["test_bad"].get("fail") and results["todo_test_later"].get("skip"), out)
    subs = results["test_table"].get("sub_results", {})
    case("test: a table fails for the note whose body does not hold",
         results["test_table"].get("fail") and "fail" not in subs.get("one", {}) and subs.get("two", {}).get("fail"), subs)
    code, out, _ = rego("test", "-v", path)
    case("test -v shows what failed", "Fail x == 5" in out and "Enter data.t.test_bad" in out, out)
    code, out, _ = rego("test", "-c", "-r", "test_good", path)
    report = json.loads(out) if code == 0 else {}
    rows = report.get("files", {}).get(str(path), {})
    case("test -c", code == 0 and 0 < report.get("coverage", 0) < 100 and {"start": {"row": 12}, "end": {"row": 13}} in
         [{"start": {"row": max(12, r["start"]["row"])}, "end": r["end"]} for r in rows.get("not_covered", [])], out[:600])
    code, _, err = rego("test", "--threshold", "90", "-r", "test_good", path)
    case("test --threshold that is not met, exit 1", code == 1 and "threshold not met" in err, err)
    case("test --threshold that is met", rego("test", "--threshold", "20", "-r", "test_good", path)[0] == 0)


def check_eval(folder):
    path = folder / "t.rego"
    code, out, _ = rego("eval", "-d", path, "--explain", "fails", "--profile", "--coverage", "--metrics", "data.t.r")
    said = json.loads(out) if code == 0 else {}
    case("eval: the answer stays", said.get("result", [{}])[0].get("expressions", [{}])[0].get("value") == 4, out[:300])
    case("eval --explain", any("Fail i == 3" in line for line in said.get("explanation", [])), said.get("explanation"))
    case("eval --profile", {p["location"]["row"] for p in said.get("profile", [])} == {12}, said.get("profile"))
    case("eval --coverage", said.get("coverage", {}).get("covered_lines", 0) > 0)
    case("eval --metrics", said.get("metrics", {}).get("timer_rego_query_eval_ns", 0) > 0)
    case("eval: an unknown --explain is refused", rego("eval", "--explain", "much", "1")[0] == 2)


def check_repl(folder):
    lines = b"x := 3\nx + 1\nf(a) := a * 2\nf(x)\ny ==\njson\ndata.q.z\nshow\nunset\nx\nexit\n1 + 1\n"
    code, out, err = rego("repl", "-b", folder / "b", stdin=lines)
    case("merlon rego repl: rules and queries", code == 0 and "\n4\n" in out and "\n6\n" in out and '"value": 1' in out and
         "package repl\n\nx := 3\nf(a) := a * 2\n" in out, out)
    case("repl: errors do not end it", "rego_parse_error" in err and "rego_unsafe_var_error" in err, err)
    (folder / "wrong.rego").write_text("package w\np := count(1)\n")
    case("repl: policies that do not compile, exit 1", rego("repl", folder / "wrong.rego", stdin=b"")[0] == 1)


def body():
    program, why = opa.program()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "b").mkdir()
        (folder / "b" / "x.rego").write_text(POLICY)
        (folder / "b" / "data.json").write_text('{"q": {"z": 1}, "users": {}}'.replace("{}", '[{"name": "al"}, {"name": "bob"}]'))
        check_tree(folder)
        check_schemas(folder, program)
        check_bundles(folder)
        check_signatures(folder, program, why)
        check_tests(folder)
        check_eval(folder)
        check_repl(folder)


if __name__ == "__main__":
    finish(body, "rego command line")
