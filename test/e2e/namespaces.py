#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Namespaces over plain HTTP, by merlon's own command and by hvac's namespace argument; a kill in the middle of deleting one.

usage: namespaces.py [MERLON]
"""
import os
import signal
import time

from kit import TOKEN, Api, Server, case, finish, run, skip

try:
    import hvac
except ImportError:
    hvac = None

TOKENS = 300  # of the namespace that is deleted: more than one batch


def inside(name):
    return {"X-Vault-Namespace": name}


def http(server):
    api = server.api
    made = api("POST", "sys/namespaces/a", {"custom_metadata": {"owner": "ada"}})
    case("http: made", made.code == 200 and made.data["path"] == "a/" and len(made.data["id"]) == 6, made)
    case("http: nested", api("POST", "sys/namespaces/b", {}, inside("a")).data.get("path") == "a/b/")
    case("http: list", api("LIST", "sys/namespaces").data.get("keys") == ["a/"])
    case("http: scan", api("SCAN", "sys/namespaces").data.get("keys") == ["a/", "a/b/"], api("SCAN", "sys/namespaces"))
    case("http: no such", api("GET", "sys/mounts", None, inside("none")).errors == ["namespace not found"])
    case("http: the server's own", api("PUT", "sys/seal", {}, inside("a")).errors == ["operation unavailable in namespaces"])
    api("POST", "a/b/sys/mounts/kv", {"type": "kv"})
    case("http: header and path", api("POST", "b/kv/x", {"v": "1"}, inside("a")).code == 204)
    case("http: read by path", api("GET", "a/b/kv/x").data.get("v") == "1")
    tricks = ["a//b/kv/x", "a/../a/b/kv/x", "a/b/../kv/x", "a%2fb%2f..%2fkv/x", "b/kv/x", "/v1//a/b/kv/x", "a/b/kv/../../kv/x"]
    bad = [path for path in tricks if api("GET", path).code == 200]
    case("http: tricks with paths reach nothing", not bad, bad)
    api("POST", "a/sys/policies/acl/p", {"policy": 'path "*" { capabilities = ["read","list","create","update","delete","sudo"] }'})
    api("POST", "sys/namespaces/c", {})
    api("POST", "c/sys/mounts/kv", {"type": "kv"})
    api("POST", "c/kv/x", {"v": "2"})
    token = api("POST", "a/auth/token/create", {"policies": ["p"]}).json["auth"]["client_token"]
    own = Api(server.port, token)
    case("http: a token in its namespace and below", own("GET", "a/sys/mounts").code == 200 and own("GET", "a/b/kv/x").code == 200)
    outside = [path for path in ("sys/mounts", "c/kv/x", "c/sys/mounts", "auth/token/lookup-self") if own("GET", path).code != 403]
    case("http: and nowhere else", not outside, outside)
    own.close()


def command(server):
    env = {**server.environment}
    done = run("namespace", "create", "--custom-metadata", "team=vision", "cli", env=env)
    case("command: create", done.returncode == 0, done.stderr)
    done = run("namespace", "list", "--format", "json", env=env)
    case("command: list", done.returncode == 0 and b'"cli/"' in done.stdout, done.stdout + done.stderr)
    done = run("namespace", "patch", "--custom-metadata", "x=y", "--remove-custom-metadata", "team", "cli/", env=env)
    case("command: patch", done.returncode == 0, done.stderr)
    done = run("namespace", "lookup", "--format", "json", "cli", env=env)
    case("command: lookup", b'"x"' in done.stdout and b"team" not in done.stdout, done.stdout + done.stderr)
    done = run("secrets", "enable", "--path", "kv", "kv", env={**env, "VAULT_NAMESPACE": "cli"})
    case("command: in a namespace", done.returncode == 0, done.stderr)
    done = run("namespace", "lock", "--field", "unlock_key", "cli", env=env)
    case("command: lock", done.returncode == 0 and server.api("GET", "cli/sys/mounts").code == 503, done.stderr)
    key = done.stdout
    done = run("namespace", "unlock", "--unlock-key", "-", "cli", env=env, stdin=key)
    case("command: unlock", done.returncode == 0 and server.api("GET", "cli/sys/mounts").code == 200, done.stderr)
    case("command: delete asks", run("namespace", "delete", "cli", env=env).returncode == 2)
    done = run("namespace", "delete", "--yes", "cli", env=env)
    case("command: delete", done.returncode == 0, done.stderr)


def by_hvac(server):
    if hvac is None:
        skip("hvac", "hvac is not installed")
        return
    url = "http://127.0.0.1:%d" % server.port
    root = hvac.Client(url=url, token=TOKEN)
    root.sys.create_namespace("h")
    case("hvac: list", "h/" in root.sys.list_namespaces()["data"]["keys"])
    client = hvac.Client(url=url, token=TOKEN, namespace="h")
    client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    client.secrets.kv.v2.create_or_update_secret("x", {"k": "v"})
    read = client.secrets.kv.v2.read_secret_version("x", raise_on_deleted_version=True)
    case("hvac: kv in a namespace", read["data"]["data"] == {"k": "v"}, read)
    client.sys.enable_auth_method("userpass")
    client.auth.userpass.create_or_update_user("bob", "Passw0rd-of-bob", policies=["default"])
    bob = hvac.Client(url=url, namespace="h")
    bob.auth.userpass.login("bob", "Passw0rd-of-bob")
    case("hvac: login", bob.is_authenticated() and bob.lookup_token()["data"]["namespace_path"] == "h/")
    case("hvac: not outside", not hvac.Client(url=url, token=bob.token).is_authenticated())
    root.sys.delete_namespace("h")


def wait_for(check, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.1)
    return False


def killed(server):
    """The whole server is killed while a namespace is being deleted; the next one ends what was begun."""
    api = server.api
    api("POST", "sys/namespaces/gone", {})
    api("POST", "gone/sys/mounts/kv", {"type": "kv"})
    for n in range(TOKENS):
        api("POST", "gone/auth/token/create", {"policies": ["default"]})
        api("POST", "gone/kv/%d" % n, {"v": str(n)})
    case("delete: is begun", api("DELETE", "sys/namespaces/gone").data.get("status") == "in-progress")
    case("delete: closed at once", api("GET", "gone/kv/1").code == 404)
    time.sleep(0.05)
    for pid in list(server.tree()):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    server.child.wait()
    api.close()
    with Server(data=server.data) as again:
        again.api("LIST", "sys/namespaces")
        case("killed: is gone in the end", wait_for(lambda: again.api("GET", "sys/namespaces/gone").code == 404))
        case("killed: others are there", again.api("GET", "a/b/kv/x").data.get("v") == "1")
        case("killed: the name is free", again.api("POST", "sys/namespaces/gone", {}).code == 200)
        case("killed: and empty", again.api("GET", "gone/kv/1").code == 404)
        done = run("operator", "verify-store", env=again.environment)
        case("killed: store and ledger agree", done.returncode == 0, done.stdout + done.stderr)


def body():
    with Server() as server:
        http(server)
        command(server)
        by_hvac(server)
        killed(server)


finish(body, "namespaces")
