#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 of a server as others speak it: curl in clear and over TLS, and h2spec, the conformance suite.

usage: http2.py [MERLON]     (default: $MERLON, else build/merlon)
h2spec is built from its Go module in a folder of its own; skipped with the reason where there is no network, no Go, or one too old.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from kit import ROOT, TOKEN, Server, case, finish, skip

# What nghttp2 answers otherwise than h2spec wants, and (in clear) that a preface which is none gets an HTTP/1.1 refusal.
KNOWN = {"Sends stream identifier that is numerically smaller than previous"}
KNOWN_CLEAR = KNOWN | {"Sends invalid connection preface"}
GO_MIN = (1, 25)


def curl(*args):
    return subprocess.run(["curl", "-s", "--max-time", "30", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()


def by_curl(server, name, *how):
    base = "http%s://127.0.0.1:%d/v1/" % ("s" if server.tls else "", server.port)
    token = ["-H", "X-Vault-Token: " + TOKEN]
    write = curl(*how, *token, "-w", "\n%{http_version} %{http_code}", "-d", '{"data":{"a":"b"}}', base + "secret/data/h2")
    case(name + ": write", write.endswith("\n2 200"), write)
    read = curl(*how, *token, "-w", "\n%{http_version} %{http_code}", base + "secret/data/h2")
    case(name + ": read", read.endswith("\n2 200") and json.loads(read.split("\n")[0])["data"]["data"] == {"a": "b"}, read)
    head = curl(*how, "-I", base + "sys/health")
    case(name + ": head", head.startswith("HTTP/2 200"), head)
    refused = curl(*how, "-w", "\n%{http_version} %{http_code}", base + "secret/data/h2")
    case(name + ": refused", refused.endswith("\n2 403"), refused)
    with tempfile.NamedTemporaryFile("w") as big:
        json.dump({"data": {"text": "x" * 3_000_000}}, big)
        big.flush()
        wrote = curl(*how, *token, "-w", "\n%{http_version} %{http_code}", "--data-binary", "@" + big.name, base + "secret/data/big")
        case(name + ": a large body", wrote.endswith("\n2 200"), wrote[-200:])
    case(name + ": and back", len(curl(*how, *token, base + "secret/data/big")) > 3_000_000)


def h2spec():
    """Its program, or None and the reason."""
    go = shutil.which("go")
    if go is None:
        return None, "there is no go"
    found = re.search(r"go(\d+)\.(\d+)", subprocess.run([go, "version"], stdout=subprocess.PIPE).stdout.decode())
    if not found or (int(found.group(1)), int(found.group(2))) < GO_MIN:
        return None, "go is older than %d.%d" % GO_MIN
    folder = ROOT / "build-check" / "go"
    program = folder / "h2spec"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run([go, "install", "github.com/summerwind/h2spec/cmd/h2spec@latest"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"})
        if made.returncode != 0 or not program.exists():
            return None, "h2spec cannot be built: " + made.stdout.decode()[-200:]
    return program, None


def by_h2spec(server, name, program, known):
    tls = ["-t", "-k"] if server.tls else []
    out = subprocess.run([program, "-h", "127.0.0.1", "-p", str(server.port), "-P", "/v1/sys/health", *tls], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=300).stdout.decode(errors="replace")
    tally = re.search(r"(\d+) tests, (\d+) passed, \d+ skipped, (\d+) failed", out)
    failed = set(re.findall(r"× \d+: (.*)", out.split("Failures:")[-1])) if tally and int(tally.group(3)) else set()
    case(name, tally is not None and int(tally.group(2)) > 130 and failed <= known, "%s %s" % (tally and tally.group(0), failed - known))


def body():
    has_curl = shutil.which("curl") and "HTTP2" in curl("--version")
    program, why = h2spec()
    for more, name, how, known in (((), "clear", ["--http2-prior-knowledge"], KNOWN_CLEAR), (("--dev-tls",), "TLS", ["--http2", "-k"], KNOWN)):
        server = Server(*more)
        try:
            if has_curl:
                by_curl(server, "curl, " + name, *how)
            else:
                skip("curl, " + name, "there is no curl with HTTP/2")
            if program is None:
                skip("h2spec, " + name, why)
            else:
                by_h2spec(server, "h2spec, " + name, program, known)
            case("%s: stops" % name, server.end() == 0)
        finally:
            server.stop()


if __name__ == "__main__":
    finish(body, "http2")
