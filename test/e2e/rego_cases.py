#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OPA's conformance cases, all 4,427 of them, from the Go module that OPA publishes: for a machine without ../shared/rego.

usage: rego_cases.py [MERLON]    Runs them in the unit test's program beside MERLON; needs Go and the module proxy.

The cases are OPA's and stay there: nothing of them is committed. What was fetched is kept in build-check/rego-cases.
"""
import os
import pathlib
import re
import shutil
import subprocess

from kit import MERLON, ROOT, case, finish, skip

KEPT = ROOT / "build-check" / "rego-cases"
CASES = KEPT / "cases.jsonl"
SOURCE = ROOT / "test" / "e2e" / "go-rego-cases"
MODULE = "github.com/open-policy-agent/opa"
ENOUGH = 4400  # of 4,427: fewer is a module that was not read whole
FETCH_S, RUN_S = 900, 600


def fetch():
    """The file and "", or None and why not."""
    if CASES.exists():
        return CASES, ""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        return None, "there is no go to fetch OPA's module with"
    work = KEPT / "converter"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(SOURCE, work)
    env = {**os.environ, "GOPATH": str(KEPT / "path"), "GOCACHE": str(KEPT / "cache"), "GOFLAGS": "-mod=mod -modcacherw"}

    def ask(*command):
        return subprocess.run([go, *command], cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=FETCH_S, check=False)

    try:
        got = ask("mod", "download", MODULE)
        where = ask("list", "-m", "-f", "{{.Dir}}", MODULE) if got.returncode == 0 else got
        made = ask("run", ".", where.stdout.decode().strip()) if where.returncode == 0 else where
    except subprocess.TimeoutExpired:
        return None, "OPA's module did not come in %d s" % FETCH_S
    if made.returncode != 0:
        return None, "OPA's module cannot be read: " + made.stderr.decode(errors="replace").strip().split("\n")[-1]
    part = CASES.with_suffix(".part")
    part.write_bytes(made.stdout)
    part.rename(CASES)
    return CASES, ""


def run_all(path):
    program = pathlib.Path(MERLON).resolve().parent / "rego-test_cases"
    if not program.exists():
        skip("OPA's cases from its module", "%s is not built" % program.name)
        return
    done = subprocess.run([program], env={**os.environ, "MLN_REGO_CASES": str(path), "MLN_REGO_FAILURES": "1"},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_S, check=False)
    text = done.stdout.decode(errors="replace")
    tally = re.findall(re.escape(str(path)) + r": (v[01]): (\d+) passed, (\d+) failed", text)
    passed = sum(int(n) for _, n, _ in tally)
    case("OPA's cases from its module run through", done.returncode == 0 and len(tally) == 2, text[-400:])
    case("OPA's cases from its module: %d pass" % passed, passed >= ENOUGH and all(n == "0" for _, _, n in tally),
         [line for line in text.split("\n") if line.startswith("FAIL")][:5])


def body():
    path, why = fetch()
    if path is None:
        skip("OPA's cases from its module", why)
    else:
        run_all(path)


if __name__ == "__main__":
    finish(body, "rego_cases")
