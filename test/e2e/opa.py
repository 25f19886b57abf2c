# SPDX-License-Identifier: Apache-2.0
"""OPA's own program for differential tests: the one that MLN_OPA names, one on the path, or one that was built before.

It is built from its Go module, at the version below, when MLN_DEEP is set (./check --deep does): that takes minutes.
"""
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = "1.22.2"
BUILT = ROOT / "build-check" / "opa"
BUILD_S = 1500


def is_right(path):
    """The version that the answers are compared with."""
    if path is None or not os.access(path, os.X_OK):
        return False
    done = subprocess.run([path, "version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    return ("Version: %s" % VERSION) in done.stdout.decode(errors="replace")


def build():
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        return None, "there is no go to build opa with"
    BUILT.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "GOPATH": str(BUILT / "path"), "GOCACHE": str(BUILT / "cache"), "GOBIN": str(BUILT),
           "GOFLAGS": "-modcacherw"}
    made = subprocess.run([go, "install", "github.com/open-policy-agent/opa@v" + VERSION], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=BUILD_S)
    if made.returncode != 0:
        return None, "opa cannot be built: " + made.stdout.decode(errors="replace").strip().split("\n")[-1]
    return str(BUILT / "opa"), ""


def program():
    """Its path and "", or None and why not."""
    for path in (os.environ.get("MLN_OPA"), shutil.which("opa"), str(BUILT / "opa")):
        if is_right(path):
            return path, ""
    if os.environ.get("MLN_DEEP"):
        return build()
    return None, "no opa %s: name one in MLN_OPA, or MLN_DEEP=1 builds it" % VERSION
