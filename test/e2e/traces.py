#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests with the answers that they have: codes, texts, and every member of every answer.

usage: traces.py [MERLON]

Each area is a list of steps on a server of its own. A step is (request, body, status, answer, more):

  request   "VERB path"; "{name}" stands for what an earlier step kept
  answer    of 2xx: the member `data`, `auth` where more says so, None for a body without data; of others: a part of the text, "" for none
  more      keep={name: path of members}, as_=token, wrap=seconds, auth=True, lease=True, top=True (data's members stand beside it too),
            headers={}

In answers: a dict names all members, a type (str, int, bool, list, dict) stands for any value of it, a compiled pattern for a text that
matches, ANY for anything, Some({...}) for a dict with these members among others, Same(name) for what was kept.
"""
import re

from kit import Server, case, finish

ANY = object()
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
TOKEN = re.compile(r"hvs\.[A-Za-z0-9_-]{24,}")
ENVELOPE = {"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"}
PEM = re.compile(r"-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n]+-----END [A-Z ]+-----\n?")
SERIAL = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){7,}")


class Some:
    def __init__(self, members):
        self.members = members


class Same:
    def __init__(self, name):
        self.name = name


def cipher(version):
    return re.compile(r"vault:v%d:[A-Za-z0-9+/]+=*" % version)


def version(number, **more):
    return {"created_time": TIME, "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": number, **more}


def differs(want, got, kept, at="data"):
    """The first difference as a text, or None."""
    if want is ANY:
        return None
    if isinstance(want, Same):
        want = kept[want.name]
    if isinstance(want, type):
        fits = isinstance(got, want) and not (want is int and isinstance(got, bool))
        return None if fits else "%s is %r, not of %s" % (at, got, want.__name__)
    if isinstance(want, re.Pattern):
        return None if isinstance(got, str) and want.fullmatch(got) else "%s is %r, not %s" % (at, got, want.pattern)
    if isinstance(want, (dict, Some)):
        members = want.members if isinstance(want, Some) else want
        if not isinstance(got, dict):
            return "%s is %r, not an object" % (at, got)
        more = set() if isinstance(want, Some) else set(got) - set(members)
        if more or set(members) - set(got):
            return "%s: missing %s, too many %s" % (at, sorted(set(members) - set(got)), sorted(more))
        return next((d for d in (differs(w, got[k], kept, "%s.%s" % (at, k)) for k, w in members.items()) if d), None)
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return "%s is %r, not %r" % (at, got, want)
        return next((d for d in (differs(w, g, kept, "%s[%d]" % (at, i)) for i, (w, g) in enumerate(zip(want, got))) if d), None)
    return None if type(want) is type(got) and want == got else "%s is %r, not %r" % (at, got, want)


def envelope(answer, want, more, kept):
    """What is wrong with an answer of 2xx that has a body."""
    got = answer.json
    names = set(got or {})
    if more.get("top"):
        names -= set(got["data"])
    if names != ENVELOPE:
        return "members %s" % sorted(names)
    if not more.get("wrap") and not UUID.fullmatch(got["request_id"]):
        return "request_id %r" % got["request_id"]
    if bool(got["lease_id"]) != bool(more.get("lease")):
        return "lease_id %r" % got["lease_id"]
    member = "wrap_info" if more.get("wrap") else "auth" if more.get("auth") else "data"
    for other in {"data", "auth", "wrap_info"} - {member}:
        if got[other] is not None:
            return "%s is %r" % (other, got[other])
    return differs(want, got[member], kept, member)


def wrong(answer, status, want, more, kept):
    if answer.code != status:
        return "%d, not %d: %r" % (answer.code, status, answer)
    if status >= 400 and isinstance(want, str):
        if set(answer.json or {}) != {"errors"}:
            return "not an error: %r" % answer
        text = " ".join(answer.errors)
        return None if (want in text if want else answer.errors == []) else "%r, not %r" % (text, want)
    if status == 204:
        return None if answer.body == b"" else "a body: %r" % answer
    return envelope(answer, want, more, kept)


def fill(value, kept):
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda m: str(kept.get(m.group(1), m.group(0))), value)
    if isinstance(value, dict):
        return {k: fill(v, kept) for k, v in value.items()}
    return [fill(v, kept) for v in value] if isinstance(value, list) else value


def play(area, steps):
    kept = {}
    with Server() as server:
        for n, (request, body, status, want, *rest) in enumerate(steps, 1):
            more = rest[0] if rest else {}
            verb, path = fill(request, kept).split(" ", 1)
            headers = dict(more.get("headers", {}))
            if "wrap" in more:
                headers["X-Vault-Wrap-TTL"] = str(more["wrap"])
            if verb == "PATCH":
                headers.setdefault("Content-Type", "application/merge-patch+json")
            if "as_" in more:
                headers["X-Vault-Token"] = fill(more["as_"], kept)
            answer = server.api(verb, path, fill(body, kept), headers)
            why = wrong(answer, status, want, more, kept)
            if not case("%s %d: %s" % (area, n, request), why is None, why):
                continue
            for name, members in more.get("keep", {}).items():
                kept[name] = answer.json
                for member in members.split("."):
                    kept[name] = kept[name][int(member) if member.isdigit() else member]


def auth(policies, ttl=2764800, **more):
    return {"client_token": TOKEN, "accessor": str, "policies": policies, "token_policies": policies, "metadata": None,
            "lease_duration": ttl, "renewable": True, "entity_id": "", "token_type": "service", "orphan": False, "num_uses": 0,
            "mfa_requirement": None, **more}


def lookup(**more):
    return {"accessor": str, "creation_time": int, "creation_ttl": int, "display_name": "token", "entity_id": "", "expire_time": TIME,
            "explicit_max_ttl": 0, "id": TOKEN, "issue_time": TIME, "meta": None, "num_uses": 0, "orphan": False,
            "path": "auth/token/create", "policies": ["default"], "renewable": True, "ttl": int, "type": "service", **more}


def wrap_info(path):
    return {"token": TOKEN, "accessor": str, "ttl": 60, "creation_time": TIME, "creation_path": path}


KV = [
    ("POST sys/mounts/t2", {"type": "kv", "options": {"version": "2"}}, 204, None),
    ("GET t2/data/a", None, 404, ""),
    ("POST t2/data/a", {"data": {"k": "v", "n": 12345678901234567890}}, 200, version(1)),
    ("GET t2/data/a", None, 200, {"data": {"k": "v", "n": 12345678901234567890}, "metadata": version(1)}),
    ("PUT t2/data/a", {"data": {"k": "w"}, "options": {"cas": 0}}, 400, "check-and-set parameter did not match"),
    ("PUT t2/data/a", {"data": {"k": "w"}, "options": {"cas": 1}}, 200, version(2)),
    ("PATCH t2/data/a", {"data": {"x": {"y": 1}}}, 200, version(3)),
    ("GET t2/data/a?version=1", None, 200, {"data": {"k": "v", "n": int}, "metadata": version(1)}),
    ("GET t2/data/a?version=-5", None, 200, {"data": {"k": "w", "x": {"y": 1}}, "metadata": version(3)}),
    ("GET t2/data/a?version=4", None, 404, ""),
    ("GET t2/subkeys/a", None, 200, {"subkeys": {"k": None, "x": {"y": None}}, "metadata": version(3)}),
    ("POST t2/data/a", {"data": "text"}, 400, "error converting input for field \"data\""),
    ("POST t2/data/a", {"k": "v"}, 400, "no data provided"),
    ("POST t2/data/a/", {"data": {}}, 400, "cannot write to a path ending in '/'"),
    ("PATCH t2/data/a", {"data": {}}, 415, "PATCH requires Content-Type of application/merge-patch+json", {"headers": {"Content-Type": "application/json"}}),
    ("DELETE t2/data/a", None, 204, None),
    ("GET t2/data/a", None, 404, {"data": None, "metadata": version(3, deletion_time=TIME)}),
    ("PATCH t2/data/a", {"data": {}}, 404, version(3, deletion_time=TIME)),
    ("POST t2/undelete/a", {"versions": [3]}, 204, None),
    ("POST t2/destroy/a", {"versions": "1"}, 204, None),
    ("GET t2/data/a?version=1", None, 404, {"data": None, "metadata": version(1, destroyed=True)}),
    ("POST t2/metadata/a", {"max_versions": 4, "custom_metadata": {"who": "me"}}, 204, None),
    ("GET t2/metadata/a", None, 200, Some({"max_versions": 4, "current_version": 3, "oldest_version": int, "cas_required": False,
                                          "custom_metadata": {"who": "me"}, "delete_version_after": "0s", "created_time": TIME,
                                          "updated_time": TIME, "versions": {"1": dict, "2": dict, "3": dict}})),
    ("POST t2/data/b/c", {"data": {}}, 200, version(1)),
    ("LIST t2/metadata/", None, 200, {"keys": ["a", "b/"]}),
    ("GET t2/metadata/?list=true", None, 200, {"keys": ["a", "b/"]}),
    ("GET t2/metadata/b?list=true", None, 200, {"keys": ["c"]}),
    ("LIST t2/metadata/none", None, 404, ""),
    ("GET t2/a", None, 404, ANY), # a warning: the path is one of version 1
    ("DELETE t2/metadata/a", None, 204, None),
    ("LIST t2/metadata/", None, 200, {"keys": ["b/"]}),
    ("POST sys/mounts/t1", {"type": "kv"}, 204, None),
    ("POST t1/a", {"k": "v"}, 204, None),
    ("GET t1/a", None, 200, {"k": "v"}),
    ("LIST t1/", None, 200, {"keys": ["a"]}),
    ("DELETE t1/a", None, 204, None),
    ("GET t1/a", None, 404, ""),
]

TRANSIT = [
    ("POST sys/mounts/tr", {"type": "transit"}, 204, None),
    ("POST tr/encrypt/none", {"plaintext": "*"}, 400, "illegal base64 data at input byte 0"),
    ("POST tr/keys/k", {"type": "aes256-gcm96"}, 200, Some({"name": "k", "type": "aes256-gcm96", "latest_version": 1, "exportable": False})),
    ("POST tr/encrypt/k", {"plaintext": "b25l"}, 200, {"ciphertext": cipher(1), "key_version": 1}, {"keep": {"one": "data.ciphertext"}}),
    ("POST tr/decrypt/k", {"ciphertext": "{one}"}, 200, {"plaintext": "b25l"}),
    ("POST tr/keys/k/rotate", None, 200, Some({"latest_version": 2})),
    ("POST tr/rewrap/k", {"ciphertext": "{one}"}, 200, {"ciphertext": cipher(2), "key_version": 2}),
    ("POST tr/encrypt/k", {"batch_input": [{"plaintext": "b25l", "reference": "r"}, {"plaintext": "*"}]}, 400,
     {"batch_results": [{"ciphertext": cipher(2), "key_version": 2, "reference": "r"}, {"error": str, "reference": ""}]}),
    ("POST tr/decrypt/k", {"batch_input": [{"ciphertext": "{one}"}, {"ciphertext": "vault:v9:AAAA"}]}, 400,
     {"batch_results": [{"plaintext": "b25l", "reference": ""}, {"plaintext": "", "error": str, "reference": ""}]}),
    ("POST tr/rewrap/k", {"batch_input": [{"ciphertext": "x"}]}, 200, {"batch_results": [{"error": str, "reference": ""}]}),
    ("POST tr/encrypt/k", {"batch_input": "x"}, 400, "failed to parse batch input"),
    ("POST tr/keys/k/config", {"min_decryption_version": 2}, 200, Some({"min_decryption_version": 2})),
    ("POST tr/decrypt/k", {"ciphertext": "{one}"}, 400, "ciphertext or signature version is disallowed by policy (too old)"),
    ("GET tr/export/encryption-key/k", None, 400, "not exportable"),
    ("DELETE tr/keys/k", None, 400, "deletion is not allowed for this key"),
    ("POST tr/keys/s", {"type": "ed25519"}, 200, Some({"name": "s", "keys": {"1": Some({"public_key": str})}})),
    ("POST tr/sign/s", {"input": "b25l"}, 200, {"signature": cipher(1), "key_version": 1}, {"keep": {"sig": "data.signature"}}),
    ("POST tr/verify/s", {"input": "b25l", "signature": "{sig}"}, 200, {"valid": True}),
    ("POST tr/verify/s", {"input": "dHdv", "signature": "{sig}"}, 200, {"valid": False}),
    ("POST tr/sign/s", {"batch_input": [{"input": "*"}]}, 200, {"batch_results": [{"error": str, "key_version": 0, "reference": ""}]}),
    ("POST tr/hmac/k", {"input": "b25l"}, 200, {"hmac": cipher(2)}),
    ("POST tr/random/16", {"format": "hex"}, 200, {"random_bytes": re.compile("[0-9a-f]{32}")}),
    ("POST tr/random", {"bytes": 8, "format": "hex"}, 200, {"random_bytes": re.compile("[0-9a-f]{16}")}),
    ("POST tr/hash", {"input": "b25l"}, 200, {"sum": re.compile("[0-9a-f]{64}")}),
    ("POST tr/restore", {"backup": "x", "name": "k"}, 400, "\"name\" belongs in the path"),
    ("LIST tr/keys", None, 200, {"keys": ["k", "s"]}),
    ("GET tr/keys/none", None, 404, ""),
]

TOKENS = [
    ("PUT sys/policies/acl/maker", {"policy": "path \"auth/token/create*\" { capabilities = [\"update\"] }"}, 204, None),
    ("POST auth/token/create", {"policies": ["maker"]}, 200, auth(["default", "maker"]), {"auth": True, "keep": {"t": "auth.client_token"}}),
    ("GET auth/token/lookup-self", None, 200, lookup(policies=["default", "maker"], id=Same("t")), {"as_": "{t}"}),
    ("POST auth/token/create", {"policies": ["default"], "ttl": "30m", "meta": {"a": "b"}}, 200,
     auth(["default"], 1800, metadata={"a": "b"}), {"auth": True, "as_": "{t}", "keep": {"c": "auth.client_token", "ca": "auth.accessor"}}),
    ("POST auth/token/create", {"policies": ["root"]}, 400, "root tokens may not be created without parent token being root", {"as_": "{t}"}),
    ("POST auth/token/create", {"no_parent": True}, 400, "root or sudo privileges required to create orphan token", {"as_": "{t}"}),
    ("POST auth/token/create-orphan", {}, 200, auth(["default", "maker"], orphan=True), {"auth": True, "as_": "{t}"}),
    ("POST auth/token/create", {"num_uses": 3, "policies": ["default"]}, 200, auth(["default"], num_uses=3),
     {"auth": True, "keep": {"few": "auth.client_token"}}),
    ("GET auth/token/lookup-self", None, 200, lookup(num_uses=2), {"as_": "{few}"}),
    ("GET auth/token/lookup-self", None, 200, lookup(num_uses=1), {"as_": "{few}"}),
    ("POST auth/token/revoke-self", None, 204, None, {"as_": "{few}"}),
    ("GET auth/token/lookup-self", None, 403, "permission denied", {"as_": "{few}"}),
    ("POST auth/token/lookup-accessor", {"accessor": "{ca}"}, 200, lookup(id="", meta={"a": "b"}, accessor=Same("ca"))),
    ("POST auth/token/lookup-accessor", {"accessor": "none"}, 400, "invalid accessor"),
    ("POST auth/token/renew-self", {"increment": "2h"}, 200, auth(["default"], 7200, metadata={"a": "b"}, client_token=Same("c")),
     {"auth": True, "as_": "{c}"}),
    ("POST auth/token/renew-accessor", {"accessor": "{ca}"}, 200, auth(["default"], 7200, metadata={"a": "b"}, client_token=""), {"auth": True}),
    ("POST auth/token/renew-self", {}, 400, "invalid lease ID"),
    ("POST auth/token/revoke-orphan", {"token": "{t}"}, 204, None),
    ("GET auth/token/lookup-self", None, 200,
     lookup(orphan=True, meta={"a": "b"}, last_renewal=TIME, last_renewal_time=int), {"as_": "{c}"}),
    ("POST auth/token/revoke-accessor", {"accessor": "{ca}"}, 204, None),
    ("POST auth/token/lookup", {"token": "{c}"}, 403, "bad token"),
    ("POST auth/token/revoke", {"token": "{c}"}, 204, None),
    ("POST auth/token/revoke-orphan", {"token": "{c}"}, 400, "token to revoke not found"),
    ("POST sys/capabilities-self", {"paths": ["a", "b"]}, 200, {"a": ["root"], "b": ["root"]}, {"top": True}),
    ("POST sys/capabilities-self", {"path": "a"}, 200, {"a": ["root"], "capabilities": ["root"]}, {"top": True}),
]

WRAPPING = [
    ("POST sys/wrapping/wrap", {"k": "v"}, 200, wrap_info("sys/wrapping/wrap"), {"wrap": 60, "keep": {"w": "wrap_info.token"}}),
    ("POST sys/wrapping/lookup", {"token": "{w}"}, 200, {"creation_path": "sys/wrapping/wrap", "creation_time": TIME, "creation_ttl": 60}),
    ("POST sys/wrapping/rewrap", {"token": "{w}"}, 200, wrap_info("sys/wrapping/wrap"), {"wrap": 60, "keep": {"w2": "wrap_info.token"}}),
    ("POST sys/wrapping/unwrap", {"token": "{w}"}, 400, "wrapping token is not valid or does not exist"),
    ("POST sys/wrapping/unwrap", None, 200, {"k": "v"}, {"as_": "{w2}"}),
    ("POST sys/wrapping/unwrap", {"token": "{w2}"}, 400, "wrapping token is not valid or does not exist"),
    ("POST sys/wrapping/wrap", {"k": "v"}, 400, "endpoint requires response wrapping"),
    ("GET sys/mounts", None, 400, "requested wrap ttl cannot be negative", {"headers": {"X-Vault-Wrap-TTL": "-1"}}),
]

LEASES = [
    ("POST sys/mounts/ca", {"type": "pki", "config": {"max_lease_ttl": "24h"}}, 204, None),
    ("POST ca/root/generate/internal", {"common_name": "root", "key_type": "ec"}, 200,
     Some({"certificate": PEM, "issuing_ca": PEM, "serial_number": SERIAL, "expiration": int, "issuer_id": UUID, "key_id": UUID})),
    ("POST ca/roles/r", {"allow_any_name": True, "key_type": "ec", "ttl": "1h", "generate_lease": True}, 200, dict),
    ("POST ca/issue/r", {"common_name": "a"}, 200,
     Some({"certificate": PEM, "private_key": PEM, "private_key_type": "ec", "ca_chain": [PEM], "serial_number": SERIAL}),
     {"lease": True, "keep": {"l": "lease_id", "s": "data.serial_number"}}),
    ("PUT sys/leases/lookup", {"lease_id": "{l}"}, 200,
     {"expire_time": TIME, "id": Same("l"), "issue_time": TIME, "last_renewal": None, "path": "ca/issue/r", "renewable": False, "ttl": int}),
    ("LIST sys/leases/lookup/ca/issue/r", None, 200, {"keys": [str]}),
    ("PUT sys/leases/renew", {"lease_id": "{l}"}, 400, "lease is not renewable"),
    ("PUT sys/leases/revoke-prefix/ca/", None, 400, "cannot write to a path ending in '/'"),
    ("PUT sys/leases/revoke", {"lease_id": "{l}", "sync": True}, 204, None),
    ("PUT sys/leases/lookup", {"lease_id": "{l}"}, 400, "invalid lease"),
    ("GET ca/cert/{s}", None, 200, Some({"certificate": PEM, "revocation_time": int, "revocation_time_rfc3339": TIME})),
    ("PUT sys/leases/revoke-prefix/ca", {"sync": True}, 204, None),
    ("DELETE sys/mounts/ca", None, 204, None),
]

PKI = [
    ("POST sys/mounts/p", {"type": "pki"}, 204, None),
    ("POST p/issue/none", {"common_name": "a"}, 400, "unknown role: none"),
    ("POST p/root/generate/internal", {"common_name": "root", "key_type": "ed25519", "ttl": "100h"}, 200,
     Some({"certificate": PEM, "issuing_ca": PEM, "serial_number": SERIAL, "issuer_name": "", "key_name": ""}), {"keep": {"i": "data.issuer_id"}}),
    ("LIST p/issuers", None, 200, Some({"keys": [Same("i")], "key_info": dict})),
    ("GET p/issuer/default", None, 200, Some({"issuer_id": Same("i"), "certificate": PEM, "ca_chain": [PEM], "usage": str})),
    ("POST p/roles/r", {"allowed_domains": "example.org", "allow_subdomains": True, "key_type": "ed25519", "ttl": "1h"}, 200, dict),
    ("POST p/issue/r", {"common_name": "a.example.org"}, 200, Some({"certificate": PEM, "private_key": PEM}), {"keep": {"s": "data.serial_number"}}),
    ("POST p/issue/r", {"common_name": "a.example.com"}, 400, "not allowed by this role"),
    ("POST p/sign-verbatim", {"csr": "x", "role": "r"}, 400, "\"role\" belongs in the path"),
    ("POST p/revoke", {"serial_number": "{s}"}, 200, {"revocation_time": int, "revocation_time_rfc3339": TIME, "state": "revoked"}),
    ("LIST p/roles", None, 200, {"keys": ["r"]}),
    ("DELETE p/roles/r", None, 204, None),
    ("GET p/roles/r", None, 404, ""),
]

MOUNTS = [
    ("POST sys/mounts/m", {"type": "kv", "description": "d", "config": {"max_lease_ttl": "2h"}}, 204, None),
    ("POST sys/mounts/m", {"type": "kv"}, 400, "path is already in use at m/"),
    ("POST sys/mounts/x", {"type": "none"}, 400, "plugin not found in the catalog: none"),
    ("POST sys/mounts/x", {"type": "kv", "config": {"default_lease_ttl": "x"}}, 400, "unable to parse default TTL of x"),
    ("GET sys/mounts/m", None, 200, Some({"type": "kv", "description": "d", "accessor": re.compile("kv_[0-9a-f]{8}"), "uuid": UUID,
                                          "local": False, "options": ANY, "config": Some({"max_lease_ttl": 7200})}), {"top": True}),
    ("POST sys/mounts/m/tune", {"default_lease_ttl": "1h"}, 204, None),
    ("GET sys/mounts/m/tune", None, 200, Some({"default_lease_ttl": 3600, "max_lease_ttl": 7200, "description": "d"}), {"top": True}),
    ("POST sys/remount", {"from": "m", "to": "n"}, 200, {"migration_id": UUID}, {"top": True, "keep": {"id": "data.migration_id"}}),
    ("GET sys/remount/status/{id}", None, 200,
     {"migration_id": Same("id"), "migration_info": {"source_mount": "m/", "target_mount": "n/", "status": "success"}}),
    ("GET m/a", None, 404, "no handler for route \"m/a\""),
    ("GET sys/internal/ui/mounts/n/a", None, 200, Some({"path": "n/", "type": "kv", "options": ANY})),
    ("DELETE sys/mounts/n", None, 204, None),
    ("DELETE sys/mounts/n", None, 204, None),
    ("DELETE sys/mounts/sys", None, 400, "cannot unmount"),
]

APPROLE = [
    ("POST sys/auth/ar", {"type": "approle"}, 204, None),
    ("POST auth/ar/role/r", {"token_policies": "p", "token_ttl": "10m", "secret_id_num_uses": 1}, 204, None),
    ("GET auth/ar/role/r/role-id", None, 200, {"role_id": UUID}, {"keep": {"role": "data.role_id"}}),
    ("POST auth/ar/role/r/secret-id", {"metadata": "{\"k\":\"v\"}"}, 200,
     {"secret_id": UUID, "secret_id_accessor": UUID, "secret_id_num_uses": 1, "secret_id_ttl": 0}, {"keep": {"secret": "data.secret_id"}}),
    ("POST auth/ar/login", {"role_id": "{role}", "secret_id": "{secret}"}, 200,
     auth(["default", "p"], 600, metadata={"role_name": "r", "k": "v"}, entity_id=UUID, orphan=True),
     {"auth": True, "as_": "", "keep": {"t": "auth.client_token"}}),
    ("POST auth/ar/login", {"role_id": "{role}", "secret_id": "{secret}"}, 400, "invalid role or secret ID", {"as_": ""}),
    ("GET auth/token/lookup-self", None, 200,
     lookup(id=Same("t"), display_name="ar", entity_id=UUID, meta={"role_name": "r", "k": "v"}, orphan=True, path="auth/ar/login",
            policies=["default", "p"]), {"as_": "{t}"}),
    ("LIST auth/ar/role", None, 200, {"keys": ["r"]}),
    ("DELETE auth/ar/role/r", None, 204, None),
    ("GET auth/ar/role/r", None, 404, ""),
    ("DELETE sys/auth/ar", None, 204, None),
    ("GET auth/token/lookup-self", None, 403, "permission denied", {"as_": "{t}"}),
]

IDENTITY = [
    ("POST identity/entity", {"name": "ann", "metadata": {"a": "b"}, "policies": "p"}, 200, {"id": UUID, "name": "ann", "aliases": None},
     {"keep": {"e": "data.id"}}),
    ("POST identity/entity", {"name": "ann", "policies": ["p", "q"]}, 204, None),
    ("GET identity/entity/name/ann", None, 200,
     Some({"id": Same("e"), "name": "ann", "metadata": {"a": "b"}, "policies": ["p", "q"], "aliases": [], "disabled": False,
           "group_ids": [], "direct_group_ids": [], "inherited_group_ids": [], "creation_time": TIME, "last_update_time": TIME})),
    ("POST identity/group", {"name": "g", "member_entity_ids": ["{e}"], "policies": "r"}, 200, {"id": UUID, "name": "g"}, {"keep": {"g": "data.id"}}),
    ("GET identity/group/id/{g}", None, 200, Some({"id": Same("g"), "member_entity_ids": [Same("e")], "type": "internal", "policies": ["r"]})),
    ("GET identity/entity/id/{e}", None, 200, Some({"group_ids": [Same("g")], "direct_group_ids": [Same("g")]})),
    ("LIST identity/entity/name", None, 200, {"keys": ["ann"]}),
    ("GET identity/entity/id/none", None, 404, ""),
    ("DELETE identity/group/id/{g}", None, 204, None),
    ("DELETE identity/entity/id/{e}", None, 204, None),
    ("GET identity/entity/name/ann", None, 404, ""),
    ("POST sys/auth/up", {"type": "userpass"}, 204, None),
    ("POST auth/up/users/kim", {"password": "pw"}, 204, None),
    ("POST auth/up/login/kim", {"password": "pw"}, 200, auth(["default"], metadata={"username": "kim"}, entity_id=UUID, orphan=True),
     {"auth": True, "as_": "", "keep": {"k": "auth.entity_id"}}),
    ("POST identity/entity", {"name": "kim", "policies": "p"}, 200, {"id": UUID, "name": "kim", "aliases": None}),
    ("GET identity/entity/id/{k}", None, 200,
     Some({"name": re.compile("entity_[0-9a-f]{8}"), "policies": [], "aliases": [Some({"name": "kim", "custom_metadata": None})]})),
    ("DELETE identity/entity/name/kim", None, 204, None),
    ("DELETE sys/auth/up", None, 204, None),
]

ERRORS = [
    ("GET none/path", None, 404, "no handler for route \"none/path\""),
    ("GET sys/none", None, 404, "unsupported path"),
    ("DELETE sys/health", None, 405, "unsupported operation"),
    ("GET sys/mounts", None, 403, "permission denied", {"as_": "hvs.none"}),
    ("GET sys/mounts", None, 403, "permission denied", {"as_": ""}),
    ("POST sys/mounts/x/", {"type": "kv"}, 400, "cannot write to a path ending in '/'"),
    ("POST sys/mounts/x/", {"type": "kv"}, 400, "cannot write to a path ending in '/'", {"as_": ""}),
    ("GET sys/mounts", None, 404, "namespace not found", {"headers": {"X-Vault-Namespace": "team"}}),
    ("GET sys/mounts", None, 200, dict, {"top": True, "headers": {"X-Vault-Namespace": "root"}}),
    ("LIST sys/namespaces", None, 404, ""),
    ("GET sys/namespaces/team", None, 404, ""),
    ("POST sys/namespaces/team", {}, 200, Some({"path": "team/", "id": str, "uuid": UUID, "locked": False, "tainted": False})),
    ("DELETE sys/namespaces/team", None, 200, {"status": "in-progress"}),
    ("POST sys/policies/acl/p", {"policy": "path {"}, 400, "failed to parse policy"),
    ("GET sys/policies/acl/none", None, 404, ""),
    ("PUT sys/policies/acl/root", {"policy": ""}, 400, "cannot update \"root\" policy"),
]

# What the program `bao` sends for its commands, in its order; bao_cli.py has the program itself.
CLI = [
    ("PUT sys/policies/acl/dev", {"policy": 'path "secret/data/*" { capabilities = ["read"] }'}, 204, None),
    ("GET sys/internal/ui/mounts/secret/a", None, 200, Some({"path": "secret/", "type": "kv", "options": {"version": "2"}})),
    ("PUT secret/data/a", {"data": {"x": "1"}, "options": {}}, 200, version(1)),
    ("PATCH secret/data/a", {"data": {"w": "4"}, "options": {"cas": 1}}, 200, version(2)),
    ("PUT secret/data/a", {"data": {"x": "9"}, "options": {"cas": 1}}, 400, "check-and-set parameter did not match the current version"),
    ("PUT secret/undelete/a", {"versions": ["1"]}, 204, None),
    ("GET secret/data/a?version=1", None, 200, {"data": {"x": "1"}, "metadata": version(1)}),
    ("SCAN secret/metadata", None, 200, {"keys": ["a"]}),
    ("GET sys/internal/ui/mounts/none/a", None, 403, "preflight capability check returned 403", {"as_": "hvs.none"}),
    ("POST auth/token/create", {"policies": ["dev"], "ttl": "1h", "display_name": "", "num_uses": 0, "renewable": True, "type": "service"},
     200, auth(["default", "dev"], 3600), {"auth": True, "keep": {"t": "auth.client_token", "a": "auth.accessor"}}),
    ("GET sys/internal/ui/mounts/secret/a", None, 200, Some({"path": "secret/"}), {"as_": "{t}"}),
    ("GET sys/mounts", None, 403, "permission denied", {"as_": "{t}"}),
    ("PUT auth/token/renew-self", {"increment": 0}, 200, auth(["default", "dev"], 3600), {"auth": True, "as_": "{t}"}),
    ("POST sys/capabilities", {"token": "{t}", "path": "secret/data/a"}, 200,
     {"capabilities": ["read"], "secret/data/a": ["read"]}, {"top": True}),
    ("POST auth/token/lookup-accessor", {"accessor": "{a}"}, 200, Some({"accessor": Same("a"), "id": ""})),
    ("POST auth/token/revoke-accessor", {"accessor": "{a}"}, 204, None),
    ("POST auth/token/revoke-accessor", {"accessor": "{a}"}, 200, None),
    ("GET auth/token/lookup-self", None, 403, "permission denied", {"as_": "{t}"}),
    ("PUT sys/leases/lookup", {"lease_id": "nosuch"}, 400, "invalid lease"),
    ("PUT sys/leases/renew", {"increment": 0, "lease_id": "nosuch"}, 400, "lease not found"),
    ("POST sys/remount", {"from": "secret", "to": "other"}, 200, {"migration_id": UUID}, {"top": True, "keep": {"m": "data.migration_id"}}),
    ("GET sys/remount/status/{m}", None, 200, Some({"migration_id": Same("m"), "migration_info": dict})),
    ("GET other/data/a", None, 200, Some({"data": {"x": "1", "w": "4"}})),
    ("POST sys/mounts/x", {"type": "nosuch", "config": {}}, 400, "plugin not found in the catalog: nosuch"),
    ("POST sys/auth/token", {"type": "token"}, 400, "token credential backend cannot be instantiated"),
]

SERVER = [
    ("GET sys/storage/raft/configuration", None, 200,
     {"config": {"index": 0, "servers": [{"address": re.compile(r"127\.0\.0\.1:\d+"), "leader": True, "node_id": "merlon",
                                          "protocol_version": "3", "voter": True}]}}),
    ("GET sys/storage/raft/autopilot/state", None, 200, Some({"healthy": True, "failure_tolerance": 0, "leader": "merlon", "voters": ["merlon"],
                                                              "servers": {"merlon": Some({"status": "leader", "node_type": "voter"})}})),
    ("POST sys/storage/raft/autopilot/configuration", {"min_quorum": 3}, 204, None),
    ("GET sys/storage/raft/autopilot/configuration", None, 200,
     {"cleanup_dead_servers": False, "dead_server_last_contact_threshold": "24h0m0s", "last_contact_threshold": "10s",
      "max_trailing_logs": 1000, "min_quorum": 3, "server_stabilization_time": "10s"}),
    ("GET sys/rekey/init", None, 405, "unsupported operation"),
    ("GET sys/generate-root/attempt", None, 405, "unsupported operation", {"as_": ""}),
    ("POST sys/decode-token", {"encoded_token": "AAAA", "otp": "abc"}, 200, {"token": "abc"}, {"as_": ""}),
    ("GET sys/config/state/sanitized", None, 200, Some({"storage": Some({"type": "lmdb"}), "seals": list, "raw_storage_endpoint": False})),
    ("POST sys/loggers", {"level": "bogus"}, 400, "unknown log level: bogus"),
    ("GET sys/loggers", None, 200, {"core": "info"}),
    ("GET sys/internal/counters/entities", None, 200, {"counters": {"entities": {"total": int}}}),
    ("POST sys/plugins/reload/backend", {"plugin": "kv"}, 200, {"reload_id": UUID}),
    ("GET auth/token/lookup-self", None, 200,
     lookup(id=ANY, policies=["root"], orphan=True, expire_time=None, renewable=False, ttl=0, creation_ttl=0)),
]

AREAS = {"server": SERVER, "kv": KV, "transit": TRANSIT, "tokens": TOKENS, "wrapping": WRAPPING, "leases": LEASES, "pki": PKI, "mounts": MOUNTS,
         "approle": APPROLE, "identity": IDENTITY, "errors": ERRORS, "cli": CLI}


def body():
    for area, steps in AREAS.items():
        play(area, steps)


if __name__ == "__main__":
    finish(body, "traces")
