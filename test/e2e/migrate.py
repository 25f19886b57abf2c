#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merlon migrate between two servers: every kind of object, dry run, a run that is cut off, conflicts, and back again.

usage: migrate.py [MERLON]
"""
import json
import os
import pathlib
import signal
import stat
import subprocess
import tempfile
import time

from kit import MERLON, TOKEN, Server, case, finish, run

SECRET = "s3cr3t-value-of-the-test"
TOKENS = {"MERLON_FROM_TOKEN": TOKEN, "MERLON_TO_TOKEN": TOKEN, "HOME": "/nonexistent"}


def url(server):
    return "http://127.0.0.1:%d" % server.port


def migrate(a, b, *more, want=None, name=""):
    done = run("migrate", "--from", url(a), "--to", url(b), "--format", "json", *more, env=TOKENS, timeout=120)
    if want is not None:
        case("%s: exit %d" % (name, want), done.returncode == want, "%d %s %s" % (done.returncode, done.stdout[-1500:], done.stderr))
    report = json.loads(done.stdout) if done.stdout else {}
    return report, {row["path"]: row for row in report.get("objects", [])}


def must(api, verb, path, body=None):
    answer = api(verb, path, body)
    if answer.code >= 300:
        case("prepare %s %s" % (verb, path), False, answer)
    return answer


def fill(api):
    api.timeout = 60  # a try that timed out is sent again, and then finds what the first one made
    def put(path, body=None):
        return must(api, "POST", path, body or {})
    put("sys/policies/acl/dev", {"policy": 'path "secret/*" { capabilities = ["read"] }'})
    put("sys/policies/password/strong", {"policy": 'length = 20\nrule "charset" { charset = "abcdefghij" }'})
    put("auth/token/roles/ci", {"allowed_policies": ["dev"], "token_period": "1h"})
    put("sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}, "description": "old values"})
    put("sys/mounts/team", {"type": "kv", "options": {"version": "2"}, "config": {"max_lease_ttl": "24h", "listing_visibility": "unauth"}})
    put("sys/mounts/transit", {"type": "transit"})
    put("sys/mounts/pki", {"type": "pki"})
    put("sys/mounts/ssh", {"type": "ssh"})
    put("sys/mounts/totp", {"type": "totp"})
    put("kv1/a", {"value": SECRET})
    put("kv1/deep/er/b%20c%3F%23%25", {"n": 7, "list": [1, "2"]})
    time.sleep(0.2)
    put("team/config", {"max_versions": 15})
    for n in range(1, 7):
        put("team/data/app/db", {"data": {"password": "%s-%d" % (SECRET, n)}})
    put("team/metadata/app/db", {"custom_metadata": {"owner": "ann"}, "max_versions": 12, "cas_required": True, "delete_version_after": "720h"})
    put("team/delete/app/db", {"versions": [2]})
    put("team/destroy/app/db", {"versions": [3]})
    for n in range(1, 15):
        put("team/data/pruned", {"data": {"n": n}})
    put("team/metadata/pruned", {"max_versions": 3})
    put("team/data/pruned", {"data": {"n": 15}})
    put("team/metadata/only", {"custom_metadata": {"k": "v"}})
    put("transit/keys/open", {"type": "aes256-gcm96", "exportable": True, "allow_plaintext_backup": True})
    put("transit/keys/open/rotate")
    put("transit/keys/shut", {"type": "ed25519"})
    put("pki/roles/web", {"allowed_domains": ["example.org"], "allow_subdomains": True, "max_ttl": "72h"})
    put("pki/config/urls", {"issuing_certificates": ["http://ca.example.org/ca"]})
    put("pki/root/generate/internal", {"common_name": "Example root", "key_type": "ec", "key_bits": 256})
    put("ssh/config/ca", {"generate_signing_key": True, "key_type": "ed25519"})
    put("ssh/roles/ops", {"key_type": "ca", "allow_user_certificates": True, "allowed_users": "ops", "ttl": "30m"})
    put("totp/keys/phone", {"generate": True, "issuer": "x", "account_name": "y"})
    for method in ("userpass", "approle", "jwt", "kubernetes", "ldap", "cert"):
        put("sys/auth/" + method, {"type": method})
    put("auth/userpass/users/ann", {"password": SECRET, "token_policies": ["dev"], "token_ttl": "1h"})
    put("auth/approle/role/bot", {"token_policies": ["dev"], "secret_id_num_uses": 5, "secret_id_ttl": "10m"})
    put("auth/approle/role/bot/role-id", {"role_id": "the-bot"})
    put("auth/approle/role/bot/secret-id")
    put("auth/kubernetes/config", {"kubernetes_host": "https://10.0.0.1:6443"})
    put("auth/kubernetes/role/pod", {"bound_service_account_names": ["a"], "bound_service_account_namespaces": ["b"], "token_policies": ["dev"]})
    put("auth/ldap/config", {"url": "ldap://ldap.example.org", "userdn": "ou=u", "binddn": "cn=x", "bindpass": SECRET})
    put("auth/ldap/groups/eng", {"policies": ["dev"]})
    put("auth/ldap/users/tesla", {"policies": ["dev"], "groups": ["eng"]})
    accessors = {path: row["accessor"] for path, row in api("GET", "sys/auth").data.items()}
    one = put("identity/entity", {"name": "ann", "policies": ["dev"], "metadata": {"team": "a"}}).data["id"]
    two = put("identity/entity", {"name": "bob"}).data["id"]
    put("identity/entity-alias", {"name": "ann", "canonical_id": one, "mount_accessor": accessors["userpass/"]})
    put("identity/entity-alias", {"name": "the-bot", "canonical_id": two, "mount_accessor": accessors["approle/"]})
    inner = put("identity/group", {"name": "zinner", "member_entity_ids": [two]}).data["id"]
    put("identity/group", {"name": "all", "policies": ["dev"], "member_entity_ids": [one], "member_group_ids": [inner]})
    outer = put("identity/group", {"name": "outside", "type": "external", "metadata": {"k": "v"}}).data["id"]
    put("identity/group-alias", {"name": "eng", "canonical_id": outer, "mount_accessor": accessors["ldap/"]})
    put("sys/quotas/rate-limit/all", {"rate": 9000, "interval": "10s"})


def versions(api):
    out = {}
    for v in range(1, 7):
        answer = api("GET", "team/data/app/db?version=%d" % v)
        out[v] = (answer.data.get("data") or {}).get("password") if answer.code == 200 else None
    return out


def check_target(a, b):
    meta, want = b("GET", "team/metadata/app/db").data, a("GET", "team/metadata/app/db").data
    case("versions keep their order and numbers", versions(b) == versions(a), (versions(b), versions(a)))
    for name in ("custom_metadata", "max_versions", "cas_required", "delete_version_after", "current_version"):
        case("kv 2: %s" % name, meta.get(name) == want.get(name), (meta.get(name), want.get(name)))
    case("destroyed stays destroyed", meta["versions"]["3"]["destroyed"] is True, meta)
    pruned = b("GET", "team/metadata/pruned").data
    case("numbers behind pruned versions", pruned["current_version"] == 15, pruned)
    case("metadata without versions", b("GET", "team/metadata/only").data.get("custom_metadata") == {"k": "v"})
    case("configuration of the mount", b("GET", "team/config").data["max_versions"] == 15)
    row = b("GET", "sys/mounts").data["team/"]
    case("settings of the mount", row["config"]["max_lease_ttl"] == 86400 and row["config"].get("listing_visibility") == "unauth", row)
    case("kv 1", b("GET", "kv1/a").data == {"value": SECRET}, b("GET", "kv1/a"))
    case("kv 1, odd name", b("GET", "kv1/deep/er/b%20c%3F%23%25").data == {"n": 7, "list": [1, "2"]})
    case("role id", b("GET", "auth/approle/role/bot/role-id").data.get("role_id") == "the-bot")
    case("user's policies", b("GET", "auth/userpass/users/ann").data["token_policies"] == ["dev"])
    case("the old password does not log in", b("POST", "auth/userpass/login/ann", {"password": SECRET}).code >= 400)
    for path in ("transit/keys/open", "pki/roles/web", "pki/config/urls", "ssh/roles/ops", "auth/ldap/groups/eng", "auth/kubernetes/config",
                 "auth/kubernetes/role/pod", "auth/token/roles/ci", "sys/policies/acl/dev", "sys/policies/password/strong",
                 "sys/quotas/rate-limit/all"):
        case("same: %s" % path, b("GET", path).code == 200 and b("GET", path).data == a("GET", path).data, b("GET", path))
    sealed = a("POST", "transit/encrypt/open", {"plaintext": "aGk="}).data["ciphertext"]
    case("a moved key opens", b("POST", "transit/decrypt/open", {"ciphertext": sealed}).data.get("plaintext") == "aGk=")
    ann = b("GET", "identity/entity/name/ann").data
    case("entity", ann["policies"] == ["dev"] and ann["metadata"] == {"team": "a"} and ann["aliases"][0]["name"] == "ann", ann)
    mine = b("GET", "sys/auth").data["userpass/"]["accessor"]
    case("alias at the target's accessor", ann["aliases"][0]["mount_accessor"] == mine, ann)
    group, inner = b("GET", "identity/group/name/all").data, b("GET", "identity/group/name/zinner").data
    case("group's members by the target's ids", group["member_entity_ids"] == [ann["id"]] and group["member_group_ids"] == [inner["id"]], group)
    case("group alias", b("GET", "identity/group/name/outside").data["alias"].get("name") == "eng")


def check_report(rows):
    left = {"pki/keys": "private keys", "totp/keys": "not readable", "transit/keys/shut": "not exportable", "ssh/config/ca": "never leaves"}
    for path, words in left.items():
        row = rows.get(path, {})
        case("report: %s stays" % path, row.get("state") == "left" and words in row.get("reason", ""), row)
    notes = {"auth/userpass/users/ann": "password", "auth/approle/role/bot": "secret ids", "auth/ldap/config": "bindpass", "team/app/db": "2 deleted"}
    for path, words in notes.items():
        row = rows.get(path, {})
        case("report: %s with a note" % path, row.get("state") == "moved" and words in row.get("reason", ""), row)
    bad = [row for row in rows.values() if row["state"] in ("failed", "conflict")]
    case("nothing failed", not bad, bad)
    holds = [row for row in rows.values() if "otherwise" in row.get("reason", "")]
    case("nothing reads otherwise", not holds, holds)


def refused(a, b, tmp):
    rows = (([], 2, "no addresses"), (["--from", url(a)], 2, "no target"), (["--from", url(a), "--to", url(a)], 2, "one server twice"),
            (["--from", url(a), "--to", url(b), "--from-token", TOKEN], 2, "a token in the arguments"),
            (["--from", "ftp://x", "--to", url(b)], 1, "no such scheme"), (["--from", "http://127.0.0.1:1", "--to", url(b)], 1, "unreachable"))
    for args, want, name in rows:
        done = run("migrate", *args, env=TOKENS)
        case("refused: %s" % name, done.returncode == want and TOKEN.encode() not in done.stdout + done.stderr, (done.returncode, done.stderr))
    foreign = tmp / "foreign"
    foreign.write_text("mine\n")
    done = run("migrate", "--from", url(a), "--to", url(b), "--state", foreign, env=TOKENS)
    case("refused: another's file as state", done.returncode == 1 and foreign.read_text() == "mine\n", done.stderr)


def cut_off(a, b, state):
    """A run that is killed as soon as the state file has grown a little."""
    child = subprocess.Popen([MERLON, "migrate", "--from", url(a), "--to", url(b), "--state", str(state)], env={**os.environ, **TOKENS},
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < end and (not state.exists() or state.read_bytes().count(b"\n") < 40):
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    case("killed on the way", child.wait() == -signal.SIGKILL, child.returncode)
    with state.open("ab") as f:
        f.write(b'{"path":"team/cut')  # as a crash leaves it


def both(a, b, tmp):
    fill(a.api)
    state = tmp / "state"
    _, rows = migrate(a, b, "--dry-run", "--state", state, name="dry run")
    case("dry run makes no file", not state.exists())
    case("dry run plans", rows.get("sys/mounts/team", {}).get("state") == "planned" and rows.get("team/app/db", {}).get("state") == "planned", rows)
    case("dry run changes nothing", "team/" not in b.api("GET", "sys/mounts").data and b.api("GET", "sys/policies/acl/dev").code == 404)
    refused(a, b, tmp)
    cut_off(a, b, state)
    done = b.api("GET", "sys/mounts").data
    report, rows = migrate(a, b, "--state", state, want=8, name="resumed")
    case("what was done before is verified", report["counts"]["verified"] >= 10, (report["counts"], list(done)))
    case("complete", report["complete"] is True)
    check_target(a.api, b.api)
    case("state file is the user's alone", stat.S_IMODE(state.stat().st_mode) == 0o600)
    case("state file has no secret", SECRET not in state.read_text() and TOKEN not in state.read_text())
    report, rows = migrate(a, b, "--state", state, want=8, name="again")
    case("again: nothing is moved", report["counts"]["moved"] == 0 and report["counts"]["failed"] + report["counts"]["conflict"] == 0, report["counts"])
    b.api("POST", "kv1/a", {"value": "changed"})
    must(b.api, "POST", "team/data/app/db", {"data": {"x": 1}, "options": {"cas": 6}})
    _, rows = migrate(a, b, "--state", state, "--only", "kv1,team", want=8, name="conflict")
    case("conflict is reported", rows["kv1/a"]["state"] == "conflict" and rows["team/app/db"]["state"] == "conflict", rows)
    case("and left", b.api("GET", "kv1/a").data == {"value": "changed"})
    _, rows = migrate(a, b, "--only", "kv1/a,team/app", "--exclude", "team/app", "--overwrite", want=0, name="only, exclude, overwrite")
    case("only what was named", list(rows) == ["kv1/a"] and rows["kv1/a"]["state"] == "moved", rows)
    migrate(a, b, "--only", "team/app", "--overwrite", want=8, name="overwrite a history")
    case("history as the source's", versions(b.api) == versions(a.api), versions(b.api))


def fresh(a, c):
    _, rows = migrate(a, c, want=8, name="in one go")
    check_report(rows)
    check_target(a.api, c.api)


def main():
    with tempfile.TemporaryDirectory() as tmp, Server() as a, Server() as b:
        both(a, b, pathlib.Path(tmp))
        with Server() as c:
            fresh(a, c)
        with Server() as d:
            _, rows = migrate(b, d, want=8, name="back again")
            bad = [row for row in rows.values() if row["state"] in ("failed", "conflict")]
            case("back again: nothing failed", not bad, bad)
            case("back again: values", versions(d.api) == versions(a.api))
        report, rows = migrate(b, a, want=8, name="onto its source")
        case("onto its source: all there", report["counts"]["moved"] == 0 and report["counts"]["conflict"] <= 1, report["counts"])


finish(main, "migrate")
