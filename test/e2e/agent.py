#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merlon agent against a live server: logs in by AppRole, writes its token, renders templates and again when a secret changed, stands
as a proxy, ends as it is told.

usage: agent.py [MERLON]     (default: $MERLON, else build/merlon)
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

from kit import MERLON, TOKEN, Server, case, finish, free_port, run

HCL = """
pid_file = "%(dir)s/agent.pid"
vault { address = "http://127.0.0.1:%(port)d" }
auto_auth {
  method "approle" {
    mount_path = "auth/approle"
    config = {
      role_id_file_path = "%(dir)s/role_id"
      secret_id_file_path = "%(dir)s/secret_id"
    }
    min_backoff = "1s"
    max_backoff = "2s"
  }
  sink "file" { config = { path = "%(dir)s/token", mode = 0640 } }
  sink "file" { config = { path = "%(dir)s/token2" } }
}
template_config { static_secret_render_interval = "1s" }
template {
  contents = "{{ with secret \\"secret/data/app\\" }}user={{ .Data.data.user }}\\npw={{ .Data.data.pw }}\\n{{ end }}"
  destination = "%(dir)s/made/app.env"
  perms = "0640"
  error_on_missing_key = true
  command = ["%(dir)s/told", "a b; touch %(dir)s/shell"]
}
template {
  source = "%(dir)s/list.tpl"
  destination = "%(dir)s/list"
  command = "echo told >> %(dir)s/log"
}
api_proxy { use_auto_auth_token = true }
listener "unix" { address = "%(dir)s/agent.sock" }
listener "tcp" { address = "127.0.0.1:%(tcp)d" tls_disable = true require_request_header = true }
"""


def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def text(path):
    try:
        return path.read_text()
    except OSError:
        return None


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def ask(link, verb, path, body=None, headers=None):
    link.request(verb, path, None if body is None else json.dumps(body), headers or {})
    answer = link.getresponse()
    raw = answer.read()
    return answer.status, json.loads(raw) if raw else None


def prepare(api, folder):
    policy = 'path "secret/data/*" { capabilities = ["read", "create", "update"] } path "secret/metadata/" { capabilities = ["list"] }'
    for verb, path, body in (("POST", "sys/auth/approle", {"type": "approle"}), ("PUT", "sys/policies/acl/app", {"policy": policy}),
                             ("POST", "auth/approle/role/app", {"token_policies": "app", "token_ttl": "3s", "token_max_ttl": "8s"}),
                             ("POST", "secret/data/app", {"data": {"user": "app", "pw": "first"}})):
        answer = api(verb, path, body)
        case("prepare: " + path, answer.code in (200, 204), answer)
    (folder / "role_id").write_text(api("GET", "auth/approle/role/app/role-id").data["role_id"] + "\n")
    (folder / "secret_id").write_text(api("POST", "auth/approle/role/app/secret-id", {}).data["secret_id"] + "\n")
    (folder / "list.tpl").write_text('{{ range secrets "secret/metadata" }}- {{ . }}\n{{ end }}')
    (folder / "told").write_text('#!/bin/sh\necho "$1" >>%s/args\nenv >%s/env\n' % (folder, folder))
    (folder / "told").chmod(0o755)


def by_sinks(folder, api, child):
    token = folder / "token"
    case("a token in its sinks", until(lambda: text(token) and text(token) == text(folder / "token2")), text(folder / "err"))
    case("modes of the sinks", stat.S_IMODE(token.stat().st_mode) == 0o640 and stat.S_IMODE((folder / "token2").stat().st_mode) == 0o600)
    seen = api("POST", "auth/token/lookup", {"token": text(token)})
    case("it has the role's policy", seen.code == 200 and "app" in seen.data["policies"], seen)
    case("the secret ID's file is gone", not (folder / "secret_id").exists())
    case("its number in the pid file", text(folder / "agent.pid") == "%d\n" % child.pid)
    return text(token)


def by_templates(folder, api, child):
    made = folder / "made" / "app.env"
    case("a template rendered", until(lambda: text(made) == "user=app\npw=first\n"), text(folder / "err"))
    case("mode of the file", stat.S_IMODE(made.stat().st_mode) == 0o640)
    case("a list rendered", until(lambda: text(folder / "list") == "- app\n"), text(folder / "list"))
    case("the command without a shell", until(lambda: text(folder / "args") == "a b; touch %s/shell\n" % folder), text(folder / "args"))
    case("no shell read it", not (folder / "shell").exists())
    case("the command as a text by a shell", until(lambda: text(folder / "log") == "told\n"), text(folder / "log"))
    case("no token in the command's environment", "MERLON_TOKEN" not in (text(folder / "env") or "MERLON_TOKEN"))
    api("POST", "secret/data/app", {"data": {"user": "app", "pw": "second"}})
    case("rendered again after a change", until(lambda: text(made) == "user=app\npw=second\n"), text(made))
    case("the command again", until(lambda: (text(folder / "args") or "").count("\n") == 2), text(folder / "args"))
    case("not where nothing changed", text(folder / "log") == "told\n", text(folder / "log"))
    (folder / "list.tpl").write_text('{{ range secrets "secret/metadata" }}* {{ . }}\n{{ end }}')
    child.send_signal(signal.SIGHUP)
    case("SIGHUP reads templates again", until(lambda: text(folder / "list") == "* app\n"), text(folder / "list"))
    (folder / "list.tpl").write_text("{{ nosuch }}")
    child.send_signal(signal.SIGHUP)
    case("a broken one is named", until(lambda: "line 1, column 4: unknown function 'nosuch'" in (text(folder / "err") or "")))
    case("and the old stays", text(folder / "list") == "* app\n")
    api("POST", "secret/data/app", {"data": {"user": "app"}})
    case("a missing member is named", until(lambda: "there is no member 'pw'" in (text(folder / "err") or "")))
    case("and the old file stays", text(made) == "user=app\npw=second\n")


def by_proxy(folder, tcp):
    sock = folder / "agent.sock"
    case("mode of the socket", stat.S_IMODE(sock.stat().st_mode) == 0o600)
    link = Unix(sock)
    code, body = ask(link, "GET", "/v1/secret/data/app")
    case("the proxy adds the token", code == 200 and body["data"]["data"]["user"] == "app", body)
    code, body = ask(link, "POST", "/v1/secret/data/other", {"data": {"x": "y" * 100_000}})
    case("a write through it, on the same connection", code == 200, body)
    code, body = ask(link, "GET", "/v1/secret/data/other")
    case("and back", code == 200 and len(body["data"]["data"]["x"]) == 100_000)
    code, _ = ask(link, "GET", "/v1/secret/data/app", headers={"X-Vault-Token": "wrong"})
    case("a token of the client stays", code == 403)
    code, _ = ask(link, "GET", "/v1/sys/policies/acl/app")
    case("no more than its policy", code == 403)
    code, _ = ask(Unix(sock), "GET", "/ui/")
    case("nothing but /v1/", code == 404)
    shown = run("kv", "get", "--field", "user", "secret/app", env={"MERLON_ADDR": "unix:%s" % sock, "MERLON_TOKEN": "", "HOME": str(folder)})
    case("merlon kv get through the socket", shown.stdout.strip() == b"app", shown.stderr)
    rows = (("without the header", {}, 400), ("with it", {"X-Vault-Request": "true"}, 200),
            ("from a page", {"X-Vault-Request": "true", "Origin": "http://evil.example"}, 403),
            ("under another name", {"X-Vault-Request": "true", "Host": "evil.example"}, 403))
    for name, headers, want in rows:
        code, body = ask(http.client.HTTPConnection("127.0.0.1", tcp, timeout=20), "GET", "/v1/secret/data/app", headers=headers)
        case("tcp: " + name, code == want, (code, body))
    with socket.create_connection(("127.0.0.1", tcp), 20) as raw:
        raw.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        case("smuggling is refused", raw.recv(4096).startswith(b"HTTP/1.1 400"))


def start(folder, config, *more):
    (folder / "agent.hcl").write_text(config)
    with open(folder / "err", "ab") as err:
        return subprocess.Popen([MERLON, "agent", "--config", str(folder / "agent.hcl"), *more], stderr=err, stdout=err,
                                env={**os.environ, "MERLON_TOKEN": "not for commands"})


def ends(child, seconds=40):
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return None


def long_run(folder, server):
    values = {"dir": folder, "port": server.port, "tcp": free_port()}
    child = start(folder, HCL % values)
    try:
        first = by_sinks(folder, server.api, child)
        by_templates(folder, server.api, child)
        by_proxy(folder, values["tcp"])
        # token_max_ttl is 8 s: a new login, with the secret ID that was kept
        case("a new login when the token ends", until(lambda: text(folder / "token") not in (None, first), 30), text(folder / "err"))
        ok = until(lambda: ask(Unix(folder / "agent.sock"), "GET", "/v1/auth/token/lookup-self")[0] == 200, 10)
        case("the proxy has the new token", ok)
        child.send_signal(signal.SIGTERM)
        case("SIGTERM ends it", ends(child) == 0, text(folder / "err"))
        case("nothing is left behind", not (folder / "agent.sock").exists() and not (folder / "agent.pid").exists())
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    said = text(folder / "err")
    tokens = [text(folder / "token"), first, "first", "second"]
    case("no secret in what it says", not any(secret in said for secret in tokens if secret), said)


def once(folder, server):
    (folder / "secret_id").write_text(server.api("POST", "auth/approle/role/app/secret-id", {}).data["secret_id"])
    (folder / "once.yaml").write_text(json.dumps({
        "vault": {"address": "http://127.0.0.1:%d" % server.port},
        "auto_auth": {"method": {"type": "approle", "config": {
            "role_id_file_path": str(folder / "role_id"), "secret_id_file_path": str(folder / "secret_id"),
            "remove_secret_id_file_after_reading": False}},
            "sinks": [{"type": "file", "config": {"path": str(folder / "once.token")}}]},
        "templates": [{"contents": '{{ with secret "secret/data/app" }}{{ .Data.data | toJSON }}{{ end }}', "destination": str(folder / "once")}]}))
    server.api("POST", "secret/data/app", {"data": {"user": "app"}})
    done = run("agent", "--config", folder / "once.yaml", "--exit-after-auth")
    case("--exit-after-auth, from YAML", done.returncode == 0 and text(folder / "once") == '{"user":"app"}', done.stderr)
    case("the secret ID's file stays when told", (folder / "secret_id").exists())
    (folder / "secret_id").write_text("wrong")
    bad = (folder / "once.yaml").read_text().replace('"type": "approle"', '"type": "approle", "exit_on_err": true')
    (folder / "bad.yaml").write_text(bad)
    done = run("agent", "--config", folder / "bad.yaml", "--exit-after-auth")
    case("exit_on_err: a refused login ends it", done.returncode != 0 and b"invalid role or secret ID" in done.stderr, done.stderr)


PROGRAM = """
vault { address = "http://127.0.0.1:%(port)d" }
auto_auth { method "token_file" { config = { token_file_path = "%(dir)s/prog.token" } } }
template_config { static_secret_render_interval = "1s" }
env_template "PW" { contents = "{{ with secret \\"secret/data/prog\\" }}{{ .Data.data.pw }}{{ end }}" error_on_missing_key = true }
exec { command = ["/bin/sh", "-c", "%(script)s"] restart_on_secret_changes = "always" }
"""
SCRIPT = "echo start $PW >>%(dir)s/prog.log; trap 'echo told >>%(dir)s/prog.log; exit 3' TERM; while :; do sleep 0.05; done"


def program(folder, server):
    log = folder / "prog.log"
    (folder / "prog.token").write_text(TOKEN)
    server.api("POST", "secret/data/prog", {"data": {"pw": "one"}})
    child = start(folder, PROGRAM % {"dir": folder, "port": server.port, "script": SCRIPT % {"dir": folder}})
    try:
        case("exec: the program has the secret in its environment", until(lambda: text(log) == "start one\n"), text(folder / "err"))
        server.api("POST", "secret/data/prog", {"data": {"pw": "two"}})
        case("exec: told to end and started anew", until(lambda: text(log) == "start one\ntold\nstart two\n"), text(log))
        child.send_signal(signal.SIGTERM)
        case("exec: SIGTERM ends both", ends(child) == 0 and text(log).endswith("start two\ntold\n"), text(log))
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    child = start(folder, PROGRAM % {"dir": folder, "port": server.port, "script": "exit 7"})
    case("exec: the program's exit code is the agent's", ends(child) == 7, text(folder / "err"))


CACHE = """
vault { address = "http://127.0.0.1:%(port)d" }
auto_auth { method "token_file" { config = { token_file_path = "%(dir)s/cache.token" } } }
cache { use_auto_auth_token = true }
listener "unix" { address = "%(dir)s/cache.sock" }
"""


def cache(folder, server):
    policy = 'path "auth/token/*" { capabilities = ["create", "update", "sudo", "read"] }'
    server.api("PUT", "sys/policies/acl/maker", {"policy": policy})
    made = server.api("POST", "auth/token/create", {"policies": ["maker"], "ttl": "1h"})
    (folder / "cache.token").write_text(made.json["auth"]["client_token"])
    child = start(folder, CACHE % {"dir": folder, "port": server.port})

    def make(token=None, ttl="3s"):
        link = Unix(folder / "cache.sock")
        link.request("POST", "/v1/auth/token/create", json.dumps({"policies": ["maker"], "ttl": ttl}),
                     {"X-Vault-Token": token} if token else {})
        answer = link.getresponse()
        got = json.loads(answer.read())
        return answer.headers["X-Cache"], (got.get("auth") or {}).get("client_token"), answer.status

    def alive(token):
        return server.api("POST", "auth/token/lookup", {"token": token}).code == 200
    try:
        case("cache: the socket", until((folder / "cache.sock").exists) and until(lambda: make()[2] == 200))
        first = make()
        case("cache: the same request, the same token", first[0] == "HIT" and make() == first, first)
        case("cache: another request, another token", make(ttl="4s")[:2] != first[:2])
        below = make(first[1], "1h")
        case("cache: of a token that is kept", below[0] == "MISS" and make(first[1], "1h") == ("HIT", below[1], 200), below)
        time.sleep(4)
        case("cache: the token is renewed", make() == first and alive(first[1]))
        code, _ = ask(Unix(folder / "cache.sock"), "POST", "/v1/auth/token/revoke", {"token": first[1]})
        case("cache: revoked through the proxy", code == 204 and not alive(first[1]) and not alive(below[1]))
        case("cache: and forgotten with what it made", make(first[1], "1h")[2] == 403 and make()[0] == "MISS")
        code, _ = ask(Unix(folder / "cache.sock"), "POST", "/agent/v1/cache-clear", {"type": "all"})
        case("cache: cleared", code == 200 and make()[0] == "MISS")
        code, _ = ask(Unix(folder / "cache.sock"), "POST", "/agent/v1/cache-clear", {"type": "some"})
        case("cache: of no type that there is", code == 400)
        stranger = server.api("POST", "auth/token/create", {"policies": ["maker"], "ttl": "1h"}).json["auth"]["client_token"]
        case("cache: nothing of a token from elsewhere", make(stranger)[0] == make(stranger)[0] == "MISS")
    finally:
        child.send_signal(signal.SIGTERM)
        case("cache: SIGTERM ends it", ends(child) == 0, text(folder / "err"))


def body():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-agent-"))
    try:
        with Server() as server:
            prepare(server.api, folder)
            long_run(folder, server)
            once(folder, server)
            program(folder, server)
            cache(folder, server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    finish(body, "agent")
