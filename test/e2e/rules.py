#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules for requests: endpoint and role rules in Rego, their levels, dry run, override, budgets, the ledger's records, and that nobody is
locked out by one.

usage: rules.py [MERLON]
"""
import base64
import json
import pathlib
import tempfile

from kit import Api, Server, case, finish, run

PASSWORD = "correct-horse"
NO_PROD = """package rules.prod
deny contains sprintf("%s of production goes through the pipeline", [input.request.operation]) if {
    startswith(input.request.path, "secret/data/prod/")
    input.request.operation in {"write", "delete"}
}
warn contains "this is production" if startswith(input.request.path, "secret/data/prod/")
"""
STRONG = """package rules.strong
deny contains "a password has 12 characters at least" if {
    some key, value in input.request.data.data
    key == "password"
    count(value) < 12
}
"""
INTERNS = 'package rules.interns\ndeny contains sprintf("%s is an intern", [input.entity.name]) if input.request.operation == "delete"'
SLOW = """package rules.slow
deny contains "never" if {
    some x in numbers.range(1, 30000)
    some y in numbers.range(1, 30000)
    x * y == -1
}
"""
EVERYTHING = 'package rules.everything\ndeny contains "no"'


def login(api, name):
    answer = api("POST", "auth/userpass/login/" + name, {"password": PASSWORD})
    return Api(api.port, answer.json["auth"]["client_token"])


def people(api):
    api("POST", "sys/auth/userpass", {"type": "userpass"})
    api("PUT", "sys/policies/acl/dev", {"policy": 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }\n'
                                                  'path "sys/policies/*" { capabilities = ["create", "read", "update", "delete", "list"] }'})
    api("PUT", "sys/policies/acl/boss", {"policy": 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }'})
    for name, policy in (("alice", "dev"), ("ivo", "dev"), ("boss", "boss")):
        api("POST", "auth/userpass/users/" + name, {"password": PASSWORD, "token_policies": policy})
    return {name: login(api, name) for name in ("alice", "ivo", "boss")}


def refused(answer, part):
    return answer.code == 403 and part in answer.errors[0]


def rows(api):
    for name, body, part in (("no policy", {"paths": ["*"]}, "policy is no text"),
                             ("no paths", {"policy": EVERYTHING}, "names its paths"),
                             ("bad Rego", {"policy": "package a\ndeny if", "paths": ["*"]}, "egp/bad:2"),
                             ("no rule", {"policy": "package a\nx := 1", "paths": ["*"]}, "never say no"),
                             ("a level that is none", {"policy": EVERYTHING, "paths": ["*"], "enforcement_level": "loud"}, "enforcement_level"),
                             ("a mode that is none", {"policy": EVERYTHING, "paths": ["*"], "mode": "maybe"}, "mode")):
        answer = api("PUT", "sys/policies/egp/bad", body)
        case("refused: " + name, answer.code == 400 and part in answer.errors[0], answer)
    answer = api("PUT", "sys/policies/rgp/bad", {"policy": EVERYTHING})
    case("refused: a role rule for nobody", answer.code == 400 and "names policies, entities or groups" in answer.errors[0], answer)
    case("none of it is there", api("LIST", "sys/policies/egp").data.get("keys", []) == [])


def endpoint(api, who):
    alice = who["alice"]
    case("before: alice may", alice("POST", "secret/data/prod/db", {"data": {"a": "1"}}).code == 200)
    sent = base64.b64encode(NO_PROD.encode()).decode()
    case("an endpoint rule, in base64", api("PUT", "sys/policies/egp/prod", {"policy": sent, "paths": ["secret/data/prod/*"]}).code == 204)
    shown = api("GET", "sys/policies/egp/prod").data
    case("is shown", shown["enforcement_level"] == "hard-mandatory" and shown["policy"] == NO_PROD and shown["paths"] == ["secret/data/prod/*"], shown)
    answer = alice("POST", "secret/data/prod/db", {"data": {"a": "2"}})
    case("denied, with its message", refused(answer, "rule egp/prod: write of production goes through the pipeline"), answer)
    answer = alice("GET", "secret/data/prod/db")
    case("reads go on, with a warning", answer.code == 200 and answer.json["warnings"] == ["rule egp/prod: this is production"]
         and answer.data["data"] == {"a": "1"}, answer)
    case("other paths are not concerned", alice("POST", "secret/data/test/db", {"data": {"a": "2"}}).code == 200)
    case("root is not asked", api("POST", "secret/data/prod/db", {"data": {"a": "3"}}).code == 200)
    api("PUT", "sys/policies/egp/strong", {"policy": STRONG, "paths": ["secret/data/*"]})
    case("what is sent counts", refused(alice("POST", "secret/data/test/x", {"data": {"password": "short"}}), "12 characters"))
    case("and is good", alice("POST", "secret/data/test/x", {"data": {"password": "long enough, this"}}).code == 200)


def levels(api, who):
    alice, boss = who["alice"], who["boss"]
    rule = {"policy": NO_PROD, "paths": ["secret/data/prod/*"]}
    write = {"data": {"a": "4"}}
    api("PUT", "sys/policies/egp/prod", {**rule, "enforcement_level": "advisory"})
    answer = alice("POST", "secret/data/prod/db", write)
    case("advisory: goes on, warned", answer.code == 200 and any("goes through the pipeline" in w for w in answer.json["warnings"]), answer)
    api("PUT", "sys/policies/egp/prod", {**rule, "enforcement_level": "soft-mandatory"})
    override = {"X-Vault-Policy-Override": "true"}
    case("soft: denied", refused(boss("POST", "secret/data/prod/db", write), "egp/prod"))
    case("soft: overridden with sudo", boss("POST", "secret/data/prod/db", write, override).code == 200)
    case("soft: not without sudo", refused(alice("POST", "secret/data/prod/db", write, override), "egp/prod"))
    api("PUT", "sys/policies/egp/prod", rule)
    case("hard: not overridden", refused(boss("POST", "secret/data/prod/db", write, override), "egp/prod"))
    api("PUT", "sys/policies/egp/prod", {**rule, "mode": "dry-run"})
    answer = alice("POST", "secret/data/prod/db", write)
    case("dry run: nothing is denied", answer.code == 200, answer)


def roles(api, who):
    api("PUT", "sys/policies/rgp/interns", {"policy": INTERNS, "entities": ["ivo"]})
    case("a role rule by entity", refused(who["ivo"]("DELETE", "secret/data/test/x"), "ivo is an intern"))
    case("others are not concerned", who["alice"]("DELETE", "secret/data/test/x").code == 204)
    api("PUT", "sys/policies/rgp/interns", {"policy": INTERNS, "policies": ["boss"]})
    case("by policy", refused(who["boss"]("DELETE", "secret/data/test/x"), "boss is an intern"))
    case("and not by entity any more", who["ivo"]("DELETE", "secret/data/test/x").code == 204)
    entity = api("GET", "identity/entity/name/ivo").data["id"]
    api("POST", "identity/group", {"name": "interns", "member_entity_ids": [entity]})
    api("PUT", "sys/policies/rgp/interns", {"policy": INTERNS, "groups": ["interns"]})
    case("by group", refused(who["ivo"]("DELETE", "secret/data/test/x"), "ivo is an intern"))
    api("DELETE", "sys/policies/rgp/interns")
    case("gone", who["ivo"]("DELETE", "secret/data/test/x").code == 204)


def recovery(api, who):
    api("PUT", "sys/policies/egp/slow", {"policy": SLOW, "paths": ["secret/data/slow"]})
    answer = who["alice"]("GET", "secret/data/slow")
    case("a rule that takes too long says no", refused(answer, "could not be judged"), answer)
    api("PUT", "sys/policies/egp/everything", {"policy": EVERYTHING, "paths": ["*"]})
    case("a rule for everything", refused(who["alice"]("GET", "secret/data/test/db"), "egp/everything"))
    case("nobody can take it away but root", refused(who["alice"]("DELETE", "sys/policies/egp/everything"), "egp/everything"))
    stranger = Api(api.port, None)
    case("logins are asked too", refused(stranger("POST", "auth/userpass/login/alice", {"password": PASSWORD}), "egp/everything"))
    case("health answers", stranger("GET", "sys/health").code == 200)
    plain = stranger("GET", "sys/generate-root/attempt")
    case("generate-root is not asked", not refused(plain, "egp/everything") if plain.errors else plain.code == 200, plain)
    case("seal status answers", stranger("GET", "sys/seal-status").code == 200)
    case("root takes it away", api("DELETE", "sys/policies/egp/everything").code == 204)
    case("and all goes on", who["alice"]("GET", "secret/data/test/db").code == 200)


def namespaces(api):
    if api("POST", "sys/namespaces/team", {}).code != 200:
        return
    inner = {"X-Vault-Namespace": "team"}
    answer = api("PUT", "sys/policies/egp/x", {"policy": EVERYTHING, "paths": ["*"]}, inner)
    case("a namespace makes no rules", answer.code == 400 and "root namespace" in answer.errors[0], answer)
    api("POST", "sys/mounts/kv", {"type": "kv"}, inner)
    api("PUT", "sys/policies/acl/all", {"policy": 'path "*" { capabilities = ["create", "read", "update", "delete", "list"] }'}, inner)
    token = api("POST", "auth/token/create", {"policies": ["all"]}, inner).json["auth"]["client_token"]
    worker = Api(api.port, token)
    case("in a namespace, before", worker("POST", "kv/a", {"b": "c"}, inner).code == 204)
    api("PUT", "sys/policies/egp/team", {"policy": EVERYTHING, "paths": ["team/kv/*"]})
    case("a rule names the namespace's path", refused(worker("POST", "kv/a", {"b": "c"}, inner), "egp/team"))
    api("DELETE", "sys/policies/egp/team")


def records(server):
    shown = run("ledger", "show", "--max", "500", "--format", "json", env=server.environment)
    text = shown.stdout.decode()
    for outcome in ("denied", "would have denied", "advised", "overridden"):
        case("the ledger says: " + outcome, '"outcome": "%s"' % outcome in text or '"outcome":"%s"' % outcome in text, text[-400:])
    case("with the policy's digest and the input's", '"policy"' in text and "sha256:" in text)
    case("and not what was sent", "long enough, this" not in text and "goes through the pipeline" not in text)


def local(work):
    (work / "prod.rego").write_text(NO_PROD)
    (work / "request.yaml").write_text("request: {path: secret/data/prod/db, operation: write, data: {}}\n")
    done = run("policy", "test", work / "prod.rego", "--request", work / "request.yaml", "--format", "json")
    said = json.loads(done.stdout)
    case("policy test: denied", done.returncode == 5 and said["verdict"] == "deny" and len(said["findings"]) == 2, done)
    (work / "request.yaml").write_text("request: {path: secret/data/test/db, operation: write}\n")
    case("policy test: allowed", run("policy", "test", work / "prod.rego", "--request", work / "request.yaml").returncode == 0)
    (work / "prod.rego").write_text("package a\ndeny if")
    case("policy test: could not be judged", run("policy", "test", work / "prod.rego", "--request", work / "request.yaml").returncode == 8)


def main():
    local(pathlib.Path(tempfile.mkdtemp(prefix="merlon-rules-")))
    with Server() as server:
        api = server.api
        who = people(api)
        rows(api)
        endpoint(api, who)
        levels(api, who)
        roles(api, who)
        recovery(api, who)
        namespaces(api)
        records(server)


finish(main, "rules")
