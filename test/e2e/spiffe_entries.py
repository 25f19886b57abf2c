#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registration entries, authorities and bundles over the API and the command line; restarts; a trust domain that cannot change.

usage: spiffe_entries.py [MERLON]
"""
import json
import pathlib
import tempfile
import time

from kit import Server, case, finish, run

ME = "spiffe://example.org/merlon/server"


class Cli:
    def __init__(self, environment):
        self.env = {**environment, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent", "XDG_STATE_HOME": "/nonexistent"}

    def __call__(self, *args, want=0, stdin=None):
        done = run(*args, env=self.env, stdin=stdin)
        case("%s: exit %d" % (" ".join(str(a) for a in args if not str(a).startswith("/"))[:80], want), done.returncode == want,
             "exit %d %s %s" % (done.returncode, done.stdout[:300], done.stderr[:300]))
        return done.stdout

    def json(self, *args, **more):
        return json.loads(self(*args, "--format", "json", **more) or b"null")


def commands(cli, tmp):
    web = cli.json("entry", "create", "--spiffe-id", "spiffe://example.org/web", "--selector", "unix:uid:1000", "--dns", "web.example.org",
                   "--x509-svid-ttl", "30m", "--hint", "front")
    case("an entry as it was asked for", web["selectors"] == ["unix:uid:1000"] and web["x509_svid_ttl"] == 1800 and
         web["parent_id"] == ME and web["dns_names"] == ["web.example.org"], web)
    db = cli.json("entry", "create", "-spiffeID", "spiffe://example.org/db", "-selector", "unix:uid:1000", "-selector", "unix:gid:7",
                  "-parentID", ME, "-jwtSVIDTTL", "60", "-federatesWith", "other.example", "-admin")
    case("with spire-server's spellings", db["selectors"] == ["unix:gid:7", "unix:uid:1000"] and db["jwt_svid_ttl"] == 60 and db["admin"] and
         db["federates_with"] == ["spiffe://other.example"], db)
    cli("entry", "create", "--spiffe-id", "spiffe://example.org/web", "--selector", "unix:uid:1000", want=1)
    cli("entry", "create", "--spiffe-id", "spiffe://elsewhere.org/web", "--selector", "unix:uid:1000", want=1)
    cli("entry", "create", "--spiffe-id", "spiffe://example.org/merlon/server", "--selector", "unix:uid:1", want=1)
    cli("entry", "create", "--spiffe-id", "spiffe://example.org/x", want=2)
    case("list, oldest first", [e["id"] for e in cli.json("entry", "list")] == [web["id"], db["id"]])
    case("list by selector", [e["id"] for e in cli.json("entry", "list", "--selector", "unix:gid:7")] == [db["id"]])
    case("list by identity", [e["id"] for e in cli.json("entry", "list", "--spiffe-id", "spiffe://example.org/web")] == [web["id"]])
    case("show", cli.json("entry", "show", web["id"])["hint"] == "front")
    changed = cli.json("entry", "update", web["id"], "--hint", "back")
    case("update keeps the rest", changed["hint"] == "back" and changed["x509_svid_ttl"] == 1800 and changed["revision"] == 1, changed)
    cli("entry", "delete", db["id"])
    cli("entry", "show", db["id"], want=3)
    file = tmp / "entries.yaml"
    file.write_text("entries:\n  - spiffe_id: spiffe://example.org/y/1\n    selectors: [unix:uid:2, unix:gid:2]\n"
                    "  - spiffe_id: spiffe://example.org/y/2\n    selectors: [unix:uid:3]\n    jwt_svid_ttl: 60\n")
    counts = lambda *more, want=0: cli.json("entry", "apply", "-f", file, "--prune", *more, want=want)
    case("a dry run makes nothing", counts("--dry-run", want=10)["created"] == 2 and len(cli.json("entry", "list")) == 1)
    case("applied", counts() == {"created": 2, "updated": 0, "deleted": 0, "unchanged": 0})
    case("the same again", counts() == {"created": 0, "updated": 0, "deleted": 0, "unchanged": 2})
    file.write_text("entries:\n  - spiffe_id: spiffe://example.org/y/1\n    selectors: [unix:gid:2, unix:uid:2]\n    hint: a\n")
    case("changed and pruned", counts() == {"created": 0, "updated": 1, "deleted": 1, "unchanged": 0})
    file.write_text("entries: []\n")
    case("what others made stays", counts()["deleted"] == 1 and [e["id"] for e in cli.json("entry", "list")] == [web["id"]])
    file.write_text("entries: 7\n")
    cli("entry", "apply", "-f", file, want=1)
    document = json.loads(cli("bundle", "show"))
    uses = sorted(key["use"] for key in document["keys"])
    case("our bundle", uses == ["jwt-svid", "x509-svid"] and document["spiffe_sequence"] >= 1 and document["spiffe_refresh_hint"] == 300, uses)
    case("as PEM", cli("bundle", "show", "--format", "raw").startswith(b"-----BEGIN CERTIFICATE-----"))
    file = tmp / "bundle.json"
    file.write_text(json.dumps(document))
    cli("bundle", "set", "other.example", file)
    cli("bundle", "set", "example.org", file, want=1)
    cli("bundle", "set", "third.example", "-", stdin=b'{"keys":[]}', want=1)
    case("bundle list", cli.json("bundle", "list") == ["other.example"])
    case("bundle show of another", len(json.loads(cli("bundle", "show", "other.example"))["keys"]) == 2)
    cli("bundle", "delete", "other.example", "--yes")
    cli("bundle", "show", "other.example", want=3)
    return web


def authorities(api):
    before = api("GET", "spiffe/bundle").data["bundle"]
    ready = api("PUT", "spiffe/authority/x509/prepare").data["id"]
    after = api("GET", "spiffe/bundle").data["bundle"]
    case("a prepared authority is published", len(after["keys"]) == len(before["keys"]) + 1 and
         after["spiffe_sequence"] > before["spiffe_sequence"])
    case("one that is not old cannot be tainted", api("PUT", "spiffe/authority/x509/taint", {"authority_id": ready}).code == 400)
    case("activated", api("PUT", "spiffe/authority/x509/activate", {"authority_id": ready}).code == 200)
    rows = api("GET", "spiffe/authority/x509?list=true").data["key_info"]
    old = [i for i, row in rows.items() if row["state"] == "old"]
    case("the one before is old", len(old) == 1 and rows[ready]["state"] == "active", rows)
    case("no key is shown", b"PRIVATE" not in api("GET", "spiffe/authority/x509?list=true").body and "key" not in rows[ready])
    case("tainted", api("PUT", "spiffe/authority/x509/taint", {"authority_id": old[0]}).code == 200)
    case("revoked", api("PUT", "spiffe/authority/x509/revoke", {"authority_id": old[0]}).code == 200)
    case("and out of the bundle", len(api("GET", "spiffe/bundle").data["bundle"]["keys"]) == len(before["keys"]))
    case("a stranger may not", api("PUT", "spiffe/authority/x509/prepare", None, {"X-Vault-Token": "none"}).code == 403)
    case("no process, no identity", api("GET", "spiffe/workload/x509-svids").code == 403)


def many(api):
    began = time.monotonic()
    for page in range(10):
        entries = [{"spiffe_id": "spiffe://example.org/job/%d/%d" % (page, i), "selectors": ["k8s:ns:n%d" % page, "k8s:sa:s%d" % i]}
                   for i in range(1000)]
        answer = api("PUT", "spiffe/entries/batch", {"entries": entries})
        if answer.code != 200 or answer.data["created"] != 1000:
            case("a batch of 1000", False, answer)
            return
    took = time.monotonic() - began
    print("10000 entries in %.2f s: %.0f/s" % (took, 10000 / took))
    case("10,000 entries by the thousand", took < 20, took)
    again = api("PUT", "spiffe/entries/batch", {"entries": entries[:2] + [{"spiffe_id": "spiffe://example.org/"}]}).data["results"]
    case("each has its own result", [r["status"] for r in again] == ["exists", "exists", "invalid"], again)
    case("counted", api("GET", "spiffe/entries/count").data["count"] == 10001)


def body():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        server = Server("--trust-domain", "example.org")
        data = server.data
        cli = Cli(server.environment)
        web = commands(cli, tmp)
        authorities(server.api)
        many(server.api)
        bundle = server.api("GET", "spiffe/bundle").data["bundle"]
        server.end()
        again = Server(data=data)
        case("entries are there after a restart", again.api("GET", "spiffe/entries/" + web["id"]).data["hint"] == "back")
        began = time.monotonic()
        case("all of them", again.api("GET", "spiffe/entries/count").data["count"] == 10001)
        print("read in %.2f s" % (time.monotonic() - began))
        case("and the authorities", again.api("GET", "spiffe/bundle").data["bundle"] == bundle)
        again.end()
        other = Server("--trust-domain", "other.org", data=data)
        answer = other.api("GET", "spiffe/entries/count")
        case("another trust domain is refused", answer.code == 400 and "cannot be changed" in str(answer.errors), answer)
        other.end()
        server.stop()


if __name__ == "__main__":
    finish(body, "spiffe_entries")
