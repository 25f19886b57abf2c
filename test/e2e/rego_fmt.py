#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
merlon rego fmt: what was formatted is formatted to itself, is read as the same rules, and is byte for byte what
opa fmt writes where OPA can be had. Corpus: the project's own cases, and those of OPA where they lie beside the tree.
"""
import json
import os
import pathlib
import re
import subprocess
import tempfile

import opa
from kit import MERLON, ROOT, case, finish, run, skip

RATE = 0.99  # of the modules must come out as OPA's do; the others differ in parentheses of `and` and `or`


def modules():
    """Modules of the cases, by language, each once."""
    found = {"v0": [], "v1": []}
    beside = pathlib.Path(os.environ.get("MLN_REGO_CASES", ROOT.parent / "shared/rego/cases.jsonl"))
    for path in (ROOT / "test/vectors/rego/cases.jsonl", beside):
        for line in path.open() if path.exists() else ():
            one = json.loads(line)
            if one.get("want_error_code") != "rego_parse_error":
                found[one.get("rego", "v1")].extend(one.get("modules") or [])
    return {version: sorted(set(texts)) for version, texts in found.items()}


def lay(folder, texts):
    folder.mkdir(parents=True)
    for i, text in enumerate(texts):
        (folder / f"{i:05}.rego").write_text(text)


def read(folder, i):
    return (folder / f"{i:05}.rego").read_text()


def check_files(folder):
    """Flags and exit codes."""
    path = folder / "a.rego"
    path.write_text("package a\np  if   input.x")
    want = "package a\n\np if input.x\n"

    def fmt(*args, stdin=None):
        done = run("rego", "fmt", *args, stdin=stdin)
        return done.returncode, done.stdout.decode()

    case("fmt prints", fmt(path) == (0, want), fmt(path))
    case("fmt --fail -l names what would change, exit 2", fmt("-l", "--fail", path) == (2, "%s\n" % path))
    diff = fmt("-d", path)[1]
    case("fmt -d shows it", "+p if input.x" in diff and "-p  if   input.x" in diff, diff)
    case("fmt wrote nothing so far", path.read_text() != want)
    case("fmt -w writes", fmt("-w", path)[0] == 0 and path.read_text() == want)
    case("fmt --fail is content with what is formatted", fmt("--fail", path)[0] == 0)
    path.write_text("package a\np if {")
    case("fmt leaves what cannot be read, exit 2", fmt("-w", path)[0] == 2 and path.read_text() == "package a\np if {")
    case("fmt reads the standard input", fmt(stdin=b"package a\np=1") == (0, "package a\n\np := 1\n"))
    old = b"package a\n\nimport future.keywords.if\n\np { input.x }\n"
    case("fmt --rego-v1", fmt("--rego-v1", stdin=old)[1] == "package a\n\nimport rego.v1\n\np if {\n\tinput.x\n}\n" or
         fmt("--rego-v1", stdin=old)[1] == "package a\n\nimport rego.v1\n\np if input.x\n", fmt("--rego-v1", stdin=old))
    new = b"package a\n\nimport rego.v1\n\np if input.x\n"
    case("fmt --drop-v0-imports", fmt("--drop-v0-imports", stdin=new) == (0, want), fmt("--drop-v0-imports", stdin=new))


def check_stable(base, version, texts):
    flags = ["--v0-compatible"] if version == "v0" else []
    lay(base / "once", texts)
    first = run("rego", "fmt", *flags, "-w", base / "once", timeout=300)
    case("%s: %d modules are formatted" % (version, len(texts)), first.returncode == 0, first.stderr)
    again = run("rego", "fmt", *flags, "-l", base / "once", timeout=300)
    case("%s: what was formatted is formatted to itself" % version, again.returncode == 0 and again.stdout == b"", again.stdout)


def check_opa(base, version, texts, program):
    flags = ["--v0-compatible"] if version == "v0" else []
    lay(base / "opa", texts)
    left = set(range(len(texts)))
    for _ in range(10):  # it stops at the first file that it does not read
        done = subprocess.run([program, "fmt", *flags, "-w", base / "opa"], stderr=subprocess.PIPE, timeout=300)
        bad = re.search(rb"/opa/(\d{5})\.rego", done.stderr)
        if done.returncode == 0 or bad is None:
            break
        left.discard(int(bad.group(1)))
        (base / "opa" / ("%s.rego" % bad.group(1).decode())).unlink()
    same = sum(read(base / "opa", i) == read(base / "once", i) for i in left)
    case("%s: %d of %d modules as opa fmt writes them" % (version, same, len(left)), same >= RATE * len(left))


def body():
    program, why = opa.program()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_files(folder)
        for version, texts in modules().items():
            check_stable(folder / version, version, texts)
            if program is None:
                skip("rego fmt beside opa fmt, %s" % version, why)
            else:
                check_opa(folder / version, version, texts, program)


if __name__ == "__main__":
    finish(body, "rego fmt")
