#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job end to end, on the examples: release, approval by another person, refusals, opening, the ledger.

usage: release.py [MERLON]     (default: $MERLON, else build/merlon)
What tools/demo shows, with every exit code and number checked. Needs no network but loopback.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from kit import ROOT, TOKEN, Api, Server, case, finish, run

EXAMPLES = ROOT / "examples"
POLICIES = ("author", "approver", "serving-diabetes", "serving-other")
USERS = {"alice": "author", "bob": "approver", "serving": "serving-diabetes", "stranger": "serving-other"}


class Stage:
    """A server with the examples' policies and people, and copies of the examples that may be written to."""

    def __init__(self, server, folder):
        self.server, self.folder = server, pathlib.Path(folder)
        self.root = {**server.environment, "XDG_CONFIG_HOME": str(folder)}
        for path, kind in (("sys/mounts/transit", "transit"), ("sys/auth/userpass", "userpass")):
            answer = server.api("POST", path, {"type": kind})
            case("an administrator turns on %s" % kind, answer.code == 204, answer)
        for name in POLICIES:
            done = run("policy", "write", name, EXAMPLES / "policies" / (name + ".hcl"), env=self.root)
            case("policy %s" % name, done.returncode == 0, done.stderr)
        self.people = {}
        for user, policy in USERS.items():
            secret = self.folder / (user + ".pw")
            secret.write_text("a long password of %s" % user)
            done = run("user", "create", user, "--policy", policy, "--password", "@%s" % secret, env=self.root)
            case("user %s" % user, done.returncode == 0, done.stderr)
            done = run("login", "--method", "userpass", "--username", user, "@%s" % secret, "--no-store", env={**self.root, "MERLON_TOKEN": ""})
            case("%s logs in" % user, done.returncode == 0 and done.stdout.startswith(b"hvs."), done.stderr)
            self.people[user] = {**self.root, "MERLON_TOKEN": done.stdout.decode().strip()}

    def copy(self, name, **changed):
        """A copy of the diabetes example, with files from other examples in place of its own."""
        folder = self.folder / name
        shutil.copytree(EXAMPLES / "diabetes", folder)
        for file, source in changed.items():
            shutil.copy(EXAMPLES / source / file.replace("_", "."), folder)
        return folder

    def release(self, who, folder, *more):
        done = run("release", folder, "--format", "json", *more, env=self.people.get(who, self.root), timeout=120)
        try:
            answer = json.loads(done.stdout) if done.stdout else {}
        except ValueError:
            answer = {}
        return done, answer


def step_of(answer, name):
    return next((s for s in answer.get("steps", []) if s["step"] == name), {})


def snapshot(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(pathlib.Path(folder).rglob("*")) if p.is_file()}


def first_run(stage, model):
    done, answer = stage.release("alice", model)
    case("the first run waits", done.returncode == 9, (done.returncode, done.stderr, done.stdout))
    case("its state is waiting", answer.get("state") == "waiting", answer)
    release = answer.get("id", "")
    case("the id is rel- and 12 hex digits of the root", release == "rel-" + answer.get("root", "")[:12] and re.fullmatch(r"rel-[0-9a-f]{12}", release), release)
    want = {"open": "open", "scan": "clean", "fairness": "pass", "card": "noted", "sign": "signed", "verify": "ok", "encrypt": "encrypted",
            "gate": "waiting", "record": "waiting"}
    got = {s["step"]: s["verdict"] for s in answer.get("steps", [])}
    case("every step has its verdict", got == want, got)
    case("every step has duration and ledger index", all(s["seconds"] >= 0 and isinstance(s["ledger_index"], int) for s in answer.get("steps", [])),
         answer.get("steps"))
    fairness = next((c for c in (answer.get("verdict") or {}).get("checks", []) if c["name"] == "fairness"), {})
    case("the ratio is the example's", abs(fairness.get("value", 0) - 0.873) < 5e-4, fairness)
    case("the bundle lies in the folder", (model / "model.sig").exists())
    case("the encrypted folder has every file and the bundle", sorted(snapshot(answer["encrypted"])) == sorted(
        ["model.sig"] + [name + ".age" for name in snapshot(model) if name != "model.sig"]), answer.get("encrypted"))
    done = run("release", model, env=stage.people["alice"], timeout=120)
    case("as text it prints the id", done.returncode == 9 and release.encode() in done.stdout, done.stdout)
    return release, answer


def approvals(stage, model, release):
    alice, bob = stage.people["alice"], stage.people["bob"]
    done = run("approve", release, env=alice)
    case("the author cannot approve", done.returncode == 4 and b"author" in done.stderr, (done.returncode, done.stderr))
    rules = 'path "release/*" { capabilities = ["read", "update", "list"] } path "auth/token/create" { capabilities = ["update"] }'
    boss = stage.server.api("POST", "sys/policies/acl/all-approve", {"policy": rules})
    case("a policy that lets approve", boss.code in (200, 204), boss)
    root = Api(stage.server.port, alice["MERLON_TOKEN"])("GET", "release/" + release).data.get("root")
    stage.server.api("POST", "auth/userpass/users/alice/policies", {"token_policies": "author,all-approve"})
    done = run("login", "--method", "userpass", "--username", "alice", "@%s" % (stage.folder / "alice.pw"), "--no-store", env={**stage.root, "MERLON_TOKEN": ""})
    mighty = Api(stage.server.port, done.stdout.decode().strip())
    answer = mighty("POST", "release/%s/approve" % release, {"root": root})
    case("not even when his policy would let him", answer.code == 403 and "author" in "".join(answer.errors), answer)
    second = ((mighty("POST", "auth/token/create", {"policies": ["all-approve"]}).json or {}).get("auth") or {}).get("client_token", "")
    case("he mints a second token", second.startswith("hvs."))
    done = run("approve", release, env={**alice, "MERLON_TOKEN": second})
    case("nor with that one", done.returncode == 4 and b"author" in done.stderr, (done.returncode, done.stderr))
    case("root cannot approve", run("approve", release, env=stage.root).returncode == 4)
    child = (stage.server.api("POST", "auth/token/create", {"policies": ["all-approve"]}).json or {}).get("auth", {}).get("client_token", "")
    done = run("approve", release, env={**stage.root, "MERLON_TOKEN": child})
    case("nor a child of root", done.returncode == 4 and b"root" in done.stderr, (done.returncode, done.stderr))
    done = run("approve", release, "--show", env=bob)
    case("bob sees what he approves", done.returncode == 0 and all(t in done.stdout for t in (root.encode(), b"alice", b"clean", b"0.87")), done.stdout)
    answer = Api(stage.server.port, bob["MERLON_TOKEN"])("POST", "release/%s/approve" % release, {"root": "0" * 64})
    case("an approval of another root is refused", answer.code == 400, answer)
    done = run("approve", release, "--comment", "looks right", env=bob)
    case("bob approves", done.returncode == 0, (done.returncode, done.stderr))
    case("once", run("approve", release, env=bob).returncode == 1)
    case("there is no such release", run("approve", "rel-000000000000", env=bob).returncode == 3)


def second_run(stage, model, before):
    sealed = snapshot(before["encrypted"])
    bundle = (model / "model.sig").read_bytes()
    done, answer = stage.release("alice", model)
    case("the second run releases", done.returncode == 0 and answer.get("state") == "released", (done.returncode, done.stderr, answer))
    case("it goes on from the record", all(step_of(answer, s).get("earlier") for s in ("scan", "fairness", "card", "sign", "verify", "encrypt")), answer.get("steps"))
    case("the earlier steps keep their ledger index", step_of(answer, "scan").get("ledger_index") == step_of(before, "scan").get("ledger_index"),
         (step_of(answer, "scan"), step_of(before, "scan")))
    case("signature and ciphertexts are the same bytes", (model / "model.sig").read_bytes() == bundle and snapshot(before["encrypted"]) == sealed)
    done, answer = stage.release("alice", model)
    case("a third run changes nothing", done.returncode == 0 and answer.get("state") == "released", (done.returncode, done.stderr))
    done, _ = stage.release("bob", model)
    case("bob may not go on with it", done.returncode == 4, (done.returncode, done.stderr))


def refusals(stage):
    poisoned = stage.copy("poisoned", model_pkl="poisoned")
    done, answer = stage.release("alice", poisoned)
    case("a poisoned model is refused", done.returncode == 5 and answer.get("state") == "refused", (done.returncode, done.stderr))
    found = next((f for f in answer.get("findings", []) if f.get("file") == "model.pkl" and f.get("callable")), {})
    case("the finding names file, offset, opcode, callable",
         found.get("callable") == "posix.system" and isinstance(found.get("offset"), int) and found.get("opcode"), answer.get("findings"))
    case("nothing is signed or encrypted", not (poisoned / "model.sig").exists() and answer.get("encrypted") is None and
         not list(stage.folder.glob("poisoned.rel-*")), answer.get("encrypted"))
    done = run("release", poisoned, env=stage.people["alice"], timeout=120)
    case("as text too", done.returncode == 5 and b"posix.system" in done.stdout and b"model.pkl" in done.stdout, done.stdout)
    case("a refused release is not approved", run("approve", answer.get("id", ""), env=stage.people["bob"]).returncode == 1)
    biased = stage.copy("biased", predictions_csv="biased")
    done, answer = stage.release("alice", biased)
    text = json.dumps(answer.get("verdict"))
    case("a biased model is refused with the number", done.returncode == 5 and "0.629" in text and "below 0.8" in text, (done.returncode, text, done.stderr))


def denied(stage):
    model = stage.copy("others")
    (model / "more.txt").write_text("another model\n")
    for who in ("bob", "serving"):
        done, _ = stage.release(who, model)
        case("%s may not release" % who, done.returncode == 4, (done.returncode, done.stderr))
    done, _ = stage.release("root", model)
    case("root may not release", done.returncode == 4 and b"person" in done.stderr, (done.returncode, done.stderr))
    text = (model / "release.yaml").read_text()
    (model / "release.yaml").write_text(text.replace("model: diabetes", "model: theirs"))
    done, _ = stage.release("alice", model)
    case("a model's name is claimed by policy", done.returncode == 4, (done.returncode, done.stderr))
    (model / "release.yaml").write_text(text + "scna: clean\n")
    done, _ = stage.release("alice", model)
    case("a misspelt gate is refused", done.returncode == 1 and b"scna" in done.stderr, (done.returncode, done.stderr))
    (model / "release.yaml").unlink()
    done, _ = stage.release("alice", model)
    case("without a gate nothing is released", done.returncode == 3, (done.returncode, done.stderr))
    done, _ = stage.release("alice", stage.folder / "not-there")
    case("no such folder", done.returncode == 3, (done.returncode, done.stderr))


def opening(stage, model, sealed):
    out = stage.folder / "opened"
    done = run("model", "open", sealed, "-o", out, env=stage.people["serving"], timeout=120)
    case("the serving workload opens it", done.returncode == 0 and snapshot(out) == snapshot(model), (done.returncode, done.stderr))
    other = stage.folder / "opened-by-stranger"
    done = run("model", "open", sealed, "-o", other, env=stage.people["stranger"], timeout=120)
    case("another workload is denied", done.returncode == 4 and not other.exists(), (done.returncode, done.stderr))
    broken = stage.folder / "broken"
    shutil.copytree(sealed, broken)
    victim = broken / "model.onnx.age"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    done = run("model", "open", broken, "-o", other, env=stage.people["serving"], timeout=120)
    case("a changed ciphertext is refused and nothing is left", done.returncode == 5 and not other.exists(), (done.returncode, done.stderr))


def ledger(stage, release):
    for _ in range(50):  # records of reads and refusals are sequenced some milliseconds after their answers
        done = run("ledger", "show", "--format", "json", env=stage.root)
        text = done.stdout.decode(errors="replace")
        entries = json.loads(text or "{}").get("entries", [])
        refused = [e for e in entries if e.get("class") == "denied" and (e.get("content") or {}).get("resource") == "transit/decrypt/diabetes"]
        if refused:
            break
        time.sleep(0.1)
    case("the story has its steps", done.returncode == 0 and release in text and all('"%s"' % w in text for w in ("scan", "sign", "gate", "approve", "released", "refused")),
         (done.returncode, done.stderr, text[:400]))
    case("the denied opening is recorded", refused, text[-400:])
    plain = run("ledger", "show", env=stage.root).stdout.decode(errors="replace")
    case("as text it reads like a story", all(line in plain for line in ("alice opened %s of diabetes" % release, "bob approved %s of alice: looks right" % release,
         "alice signed %s with transit/release-signing v1" % release, "the gate about %s: released" % release)), plain[-600:])
    status = json.loads(run("status", "--format", "json", env=stage.root).stdout)
    vkey = status["merlon"]["ledger"]["vkey"]
    done = run("ledger", "verify", "--dir", stage.server.data, "--vkey", vkey, env={"MERLON_TOKEN": ""})
    case("the ledger verifies offline", done.returncode == 0, (done.returncode, done.stderr, done.stdout))
    copy = stage.folder / "ledger-copy"
    shutil.copytree(stage.server.data / "ledger", copy / "ledger")
    victim = max((p for p in copy.rglob("*") if p.is_file() and "entries" in str(p)), key=lambda p: (p.parent.name, int(p.name)))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = run("ledger", "verify", "--dir", copy, "--vkey", vkey, env={"MERLON_TOKEN": ""})
    case("one flipped byte is found and named", done.returncode == 5 and b"entr" in (done.stderr + done.stdout), (done.returncode, done.stderr, done.stdout))


def body():
    tree = subprocess.run(["git", "status", "--porcelain", "examples"], cwd=ROOT, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryDirectory(prefix="merlon-release-") as folder, Server() as server:
        stage = Stage(server, folder)
        model = stage.copy("model")
        release, before = first_run(stage, model)
        approvals(stage, model, release)
        second_run(stage, model, before)
        refusals(stage)
        denied(stage)
        opening(stage, model, before["encrypted"])
        ledger(stage, release)
    case("the examples are as they were", subprocess.run(["git", "status", "--porcelain", "examples"], cwd=ROOT, stdout=subprocess.PIPE).stdout == tree)


if __name__ == "__main__":
    finish(body, "the release")
