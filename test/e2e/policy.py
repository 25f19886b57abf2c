#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The policy library: its tests under merlon and, where it can be had, under OPA; all of it at once in the admission engine.

usage: policy.py [MERLON]
"""
import json
import re
import subprocess

import opa
from kit import ROOT, Server, case, finish, run, skip

LIBRARY = ROOT / "policy"
PLAIN = [LIBRARY / name for name in ("lib", "admission", "gates", "common")]  # without merlon.*


def modules():
    return [p for p in sorted(LIBRARY.rglob("*.rego")) if not p.name.endswith("_test.rego")]


def tests():
    done = run("rego", "test", LIBRARY)
    case("its tests hold", done.returncode == 0, done.stdout + done.stderr)
    wanted = set(re.findall(r"^test_\w+", "\n".join(p.read_text() for p in LIBRARY.rglob("*_test.rego")), re.M))
    said = re.search(rb"PASS: (\d+)/(\d+)", done.stdout)
    case("all of them ran", said is not None and int(said.group(2)) >= len(wanted), (len(wanted), done.stdout[-200:]))
    done = run("rego", "check", "--strict", LIBRARY)
    case("it compiles strictly", done.returncode == 0, done.stderr)
    loose = [p.name for p in modules() if re.search(r"not [a-z_.]+\([^)]*\)(\.\w+)* (==|!=|<|>)", p.read_text())]
    case("no `not f(x) == y`, which says nothing where f(x) is undefined", not loose, loose)
    program, why = opa.program()
    if program is None:
        skip("its tests under OPA", why)
        return
    done = subprocess.run([program, "test", *PLAIN], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    case("its tests hold under OPA", done.returncode == 0, done.stdout[-400:])


def admission():
    with Server() as server:
        api = server.api
        api("POST", "sys/mounts/admission", {"type": "admission"})
        api("POST", "admission/config", {"auth": "none"})
        first = [p for p in modules() if p.parent.name == "lib"]
        for path in first + [p for p in modules() if p.parent.name in ("admission", "common", "merlon")]:
            answer = api("PUT", "admission/policies/%s-%s" % (path.parent.name, path.stem), {"policy": path.read_text()})
            case("%s is taken" % path.relative_to(ROOT), answer.code == 204, answer)
        review = json.loads((ROOT / "test" / "vectors" / "admission" / "pod-create.json").read_text())
        answer = api("POST", "admission/validate", review).json["response"]
        said = (answer.get("status") or {}).get("message", "")
        for name in ("images", "network", "restricted", "workloads"):
            case("a bare pod is refused by %s" % name, not answer["allowed"] and "[%s]" % name in said, said)
        case("and not by what it does not concern", not any("[%s]" % n in said for n in ("gpu", "notebooks", "residency", "models", "cluster")), said)
        answer = api("POST", "admission/mutate", review).json["response"]
        case("and patched", answer.get("patchType") == "JSONPatch", answer)
        served = json.loads((ROOT / "test" / "vectors" / "admission" / "custom-create.json").read_text())
        answer = api("POST", "admission/validate", served).json["response"]
        case("a model without its digest is refused", "[models] InferenceService/diabetes serves a model" in answer["status"]["message"], answer)


def gates():
    done = run("gate", "check", ROOT / "examples" / "diabetes", "--no-scan", "--gates", LIBRARY / "lib" / "params.rego", "--gates", LIBRARY / "gates",
               "--format", "json")
    said = {f["gate"] for f in json.loads(done.stdout)["findings"]}
    case("as gates: the example's card says no license and no base model", {"licenses", "base_models"} <= said and done.returncode == 5, said)


def main():
    tests()
    gates()
    admission()


finish(main, "policy")
