#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Go client of OpenBao against a live server: test/e2e/go, built with its own module and build caches below build-check.

usage: go_client.py [MERLON]     (default: $MERLON, else build/merlon)
Skipped with the reason where there is no network, no Go, or one too old.
"""
import os
import re
import shutil
import subprocess

from kit import ROOT, TOKEN, Server, case, finish, skip

GO_MIN = (1, 25)
SOURCE = ROOT / "test" / "e2e" / "go"
BUILT = ROOT / "build-check" / "go"


def build(source=SOURCE, name="openbao-client"):
    """A program of Go from its folder, or None and the reason."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        return None, "there is no go"
    found = re.search(r"go(\d+)\.(\d+)", subprocess.run([go, "version"], stdout=subprocess.PIPE).stdout.decode())
    if not found or (int(found.group(1)), int(found.group(2))) < GO_MIN:
        return None, "go is older than %d.%d" % GO_MIN
    BUILT.mkdir(parents=True, exist_ok=True)
    program = BUILT / name
    env = {**os.environ, "GOPATH": str(BUILT / "path"), "GOCACHE": str(BUILT / "cache"), "GOFLAGS": "-mod=readonly -modcacherw",
           "GOTOOLCHAIN": "local"}
    made = subprocess.run([go, "build", "-buildvcs=false", "-o", str(program), "."], cwd=source, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    said = made.stdout.decode(errors="replace")
    if made.returncode != 0 and re.search(r"dial tcp|no such host|i/o timeout|proxy\.golang\.org", said):
        return None, "its modules cannot be had: " + said[-200:]
    case("%s builds" % name, made.returncode == 0, said[-2000:])
    return (program, None) if made.returncode == 0 else (None, "it does not build")


def body():
    program, why = build()
    if program is None:
        skip("the client of OpenBao for Go", why)
        return
    with Server() as server:
        done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                              env={**os.environ, "BAO_ADDR": "http://127.0.0.1:%d" % server.port, "BAO_TOKEN": TOKEN})
        lines = done.stdout.decode(errors="replace").split("\n")
        said = [re.match(r"(passed|failed) ([^:]*)(?:: (.*))?$", line) for line in lines]
        for found in filter(None, said):
            case("go: " + found.group(2), found.group(1) == "passed", found.group(3) or "")
        case("the client runs to its end", done.returncode == 0 and len(list(filter(None, said))) > 50, "\n".join(lines)[-1000:])


if __name__ == "__main__":
    finish(body, "go_client")
