#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What feeds a server of policies, and what it reports: bundles from disk and from a service, signatures, deltas, discovery,
decision logs, status, authorization, TLS, Unix sockets.

usage: rego_bundles.py [MERLON]    The service is a small HTTP server of this program on the loopback.
"""
import base64
import gzip
import hashlib
import hmac
import http.client
import http.server
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tarfile
import tempfile
import threading
import time

import kit
from kit import case, finish, free_port, skip

MERLON = os.path.abspath(kit.MERLON)
PATIENCE = 20  # seconds; a change takes one or two
SECRET = b"the secret of the test"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def canonical(path, raw):
    if os.path.basename(path) in ("data.json", ".manifest"):
        return json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return raw


def signatures(files, secret=SECRET, scope="write", key="k1"):
    head = b64(json.dumps({"alg": "HS256", "kid": key}).encode())
    listed = [{"name": n, "hash": hashlib.sha256(canonical(n, c)).hexdigest(), "algorithm": "SHA-256"} for n, c in files.items()]
    body = b64(json.dumps({"files": listed, "scope": scope}).encode())
    mac = hmac.new(secret, ("%s.%s" % (head, body)).encode(), hashlib.sha256).digest()
    return json.dumps({"signatures": ["%s.%s.%s" % (head, body, b64(mac))]}).encode()


def bundle(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            content = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def policy(word, revision, roots=("app",), more=None):
    files = {".manifest": json.dumps({"revision": revision, "roots": list(roots)}).encode(),
             "%s/p.rego" % roots[0]: ("package %s\n\nsays := \"%s\"\n" % (roots[0], word)).encode()}
    files.update(more or {})
    return files


class Service(http.server.ThreadingHTTPServer):
    """Bundles by name, and what was reported."""
    daemon_threads = True

    def __init__(self, port=0):
        self.files, self.seen, self.logs, self.status = {}, [], [], []
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def put(self, name, raw, etag):
        self.files[name] = (raw, etag)

    def end(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        found = self.server.files.get(self.path)
        if found is None:
            self.answer(404)
        elif self.headers.get("If-None-Match") == found[1]:
            self.answer(304, b"", [("ETag", found[1])])
        else:
            self.answer(200, found[0], [("ETag", found[1]), ("Content-Type", "application/gzip")])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.startswith("/logs"):
            self.server.logs.extend(json.loads(body))
        else:
            self.server.status.append(json.loads(body))
        self.answer(200)


class Policies:
    """A server of policies in a folder of its own."""

    def __init__(self, folder, *args, config=None, unix=None, context=None):
        self.port, self.unix, self.context = free_port(), unix, context
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
            args = ("-c", str(folder / "config.json"), *args)
        address = "unix://%s" % unix if unix else "127.0.0.1:%d" % self.port
        self.log = open(folder / "server.log", "ab")
        self.child = subprocess.Popen([MERLON, "rego", "run", "--server", "--addr", address, *map(str, args)], cwd=folder,
                                      stdout=self.log, stderr=self.log)
        self.path = folder / "server.log"
        wait(self.listens)

    def listens(self):
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def connect(self):
        if not self.unix:
            return socket.create_connection(("127.0.0.1", self.port), 2)
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(2)
        try:
            link.connect(self.unix)
        except OSError:
            link.close()
            raise
        return link

    def ask(self, method, path, body=None, headers=None):
        if self.context:
            link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.context)
        else:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if self.unix:
            link.sock = self.connect()
        body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        try:
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            text = answer.read()
        finally:
            link.close()
        if answer.headers.get("Content-Encoding") == "gzip":
            text = gzip.decompress(text)
        try:
            return answer.status, json.loads(text) if text.strip() else None
        except ValueError:
            return answer.status, text

    def says(self, path="app/says"):
        return (self.ask("POST", "/v1/data/%s" % path, {"input": {}})[1] or {}).get("result")

    def text(self):
        return self.path.read_text(errors="replace")

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()
        return self.child.returncode


def wait(holds, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


def config_of(service, **more):
    bundles = more.pop("bundles", {"app": {"service": "s", "resource": "/app.tar.gz", "persist": True,
                                           "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}})
    return {"services": {"s": {"url": "http://127.0.0.1:%d" % service.server_port, "credentials": {"bearer": {"token": "t0ken"}}}},
            "bundles": bundles, "persistence_directory": "kept", **more}


def from_service(tmp, service):
    server = Policies(tmp, config=config_of(service))
    case("before its bundle is there it is not healthy", server.ask("GET", "/health?bundles")[0] == 500)
    case("but alive", server.ask("GET", "/health") == (200, {}))
    service.put("/app.tar.gz", bundle(policy("one", "r1")), '"e1"')
    case("a bundle is pulled", wait(lambda: server.says() == "one"), server.text())
    case("then it is healthy", server.ask("GET", "/health?bundles&plugins") == (200, {}))
    case("the token was shown", service.seen[-1][1].get("Authorization") == "Bearer t0ken", service.seen[-1])
    case("it asks with the ETag", wait(lambda: service.seen[-1][1].get("If-None-Match") == '"e1"'), service.seen[-1])
    status = server.ask("GET", "/v1/status")[1]["result"]["bundles"]["app"]
    case("status has the revision", status["active_revision"] == "r1" and "last_successful_activation" in status, status)
    manifest = server.ask("GET", "/v1/data/system/bundles/app/manifest")[1].get("result")
    case("policies see the manifest", manifest and manifest["revision"] == "r1", manifest)
    shown = server.ask("GET", "/v1/config")[1]["result"]
    case("credentials are not shown", "credentials" not in shown["services"]["s"], shown)
    service.put("/app.tar.gz", bundle(policy("two", "r2")), '"e2"')
    case("a new one comes in its place", wait(lambda: server.says() == "two"))
    bad = policy("bad", "r3")
    bad["app/p.rego"] = b"package app\n\nsays := x\n"
    for name, raw in (("does not compile", bundle(bad)), ("is no gzip", b"no"), ("leaves its roots", bundle(policy("x", "r", ("b",), {"app/q.rego": b"package app\n"}))),
                      ("climbs out", bundle({"../x/data.json": "{}"})), ("is cut short", bundle(policy("x", "r"))[:100])):
        before = len(service.seen)
        service.put("/app.tar.gz", raw, '"%s"' % name)
        wait(lambda: len(service.seen) > before + 1)
        case("what %s changes nothing" % name, server.says() == "two")
    status = server.ask("GET", "/v1/status")[1]["result"]["bundles"]["app"]
    case("and is told in the status", status.get("code") == "bundle_error" and status["message"], status)
    code, got = server.ask("PUT", "/v1/data/app/x", b"1")
    case("what a bundle owns the API does not change", code == 400 and "owned by bundle" in got["message"], got)
    code, got = server.ask("PUT", "/v1/policies/mine", b"package app.more\n\nx := 1\n")
    case("nor add to it", code == 400 and "owned by bundle" in got["message"], got)
    case("beside it all may be put", server.ask("PUT", "/v1/policies/mine", b"package mine\n\nx := 1\n")[0] == 200)
    delta = {".manifest": json.dumps({"revision": "r4", "roots": ["app"]}), "patch.json": json.dumps(
        {"data": [{"op": "upsert", "path": "/app/d/e", "value": [1]}]})}
    service.put("/app.tar.gz", bundle(delta), '"delta"')
    case("a delta patches", wait(lambda: server.says("app/d") == {"e": [1]}), server.text()[-500:])
    case("and keeps the policies", server.says() == "two")
    case("it ends", server.stop() == 0, server.text()[-500:])


def persisted(tmp, service):
    service.put("/app.tar.gz", bundle(policy("kept", "r9")), '"e9"')
    server = Policies(tmp, config=config_of(service))
    case("a bundle is kept on disk", wait(lambda: server.says() == "kept") and
         wait(lambda: (tmp / "kept" / "bundles" / "app" / "bundle.tar.gz").exists()))
    server.stop()
    away = config_of(service)
    away["services"]["s"]["url"] = "http://127.0.0.1:%d" % free_port()
    server = Policies(tmp, config=away)
    case("and stands in when the service is away", wait(lambda: server.says() == "kept"), server.text()[-500:])
    server.stop()


def signed(tmp, service):
    keys = {"k1": {"algorithm": "HS256", "key": SECRET.decode()}}
    config = config_of(service, keys=keys, bundles={"app": {"service": "s", "resource": "/signed", "signing": {"keyid": "k1", "scope": "write"},
                                                            "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}})
    service.put("/signed", bundle(policy("unsigned", "u")), '"u"')
    server = Policies(tmp, config=config)
    case("an unsigned bundle is refused", wait(lambda: "missing .signatures.json" in server.text()) and server.says() is None)
    files = policy("signed", "s1", more={"app/data.json": b'{ "b" : 1.5, "a": "\xe2\x82\xac<" }'})
    service.put("/signed", bundle({**files, ".signatures.json": signatures(files)}), '"s1"')
    case("a signed one is taken", wait(lambda: server.says() == "signed"), server.text()[-600:])
    for name, raw in (("another key", signatures(files, b"other")), ("another scope", signatures(files, scope="read")),
                      ("other files", signatures(policy("x", "y")))):
        mark = len(server.text())
        changed = {**files, "app/p.rego": b"package app\n\nsays := \"forged\"\n"} if name == "other files" else files
        service.put("/signed", bundle({**changed, ".signatures.json": raw}), '"%s"' % name)
        case("%s: refused and logged" % name, wait(lambda: "is refused" in server.text()[mark:]) and server.says() == "signed")
    server.stop()


def signed_by_opa(tmp, _service):
    opa = os.environ.get("OPA") or shutil.which("opa")
    if opa is None or shutil.which("openssl") is None:
        skip("bundles that OPA signs", "no program opa ($OPA) or openssl")
        return
    folder = tmp / "d"
    (folder / "app").mkdir(parents=True)
    (folder / ".manifest").write_text('{"roots": ["app"], "revision": "x"}')
    (folder / "app" / "p.rego").write_text("package app\n\nsays := data.app.w\n")
    (folder / "app" / "data.json").write_text('{ "w" : "\\u2028 <b>", "n": [1.0, 1e5, 2.50, 12345678901234567890], "z": null }')
    subprocess.run(["openssl", "genrsa", "-out", str(tmp / "k.pem"), "2048"], check=True, stderr=subprocess.PIPE, timeout=60)
    subprocess.run(["openssl", "rsa", "-in", str(tmp / "k.pem"), "-pubout", "-out", str(tmp / "p.pem")], check=True, stderr=subprocess.PIPE, timeout=30)
    for algorithm in ("RS256", "PS512"):
        packed = tmp / (algorithm + ".tar.gz")
        subprocess.run([opa, "build", "-b", str(folder), "--signing-key", str(tmp / "k.pem"), "--signing-alg", algorithm, "-o", str(packed)],
                       check=True, stdout=subprocess.PIPE, timeout=60)
        server = Policies(tmp, "-b", packed, "--verification-key", tmp / "p.pem", "--signing-alg", algorithm)
        case("a bundle that OPA signed by %s" % algorithm, server.says() == "\u2028 <b>", server.text()[-300:])
        server.stop()


def overlap(tmp, service):
    service.put("/a", bundle(policy("a", "1", ("app",))), '"a"')
    service.put("/b", bundle(policy("b", "1", ("app/below",))), '"b"')
    service.files["/b"] = (bundle({".manifest": json.dumps({"roots": ["app/below"]}), "app/below/data.json": "{}"}), '"b"')
    fast = {"min_delay_seconds": 1, "max_delay_seconds": 1}
    server = Policies(tmp, config=config_of(service, bundles={"a": {"resource": "/a", "polling": fast}, "b": {"resource": "/b", "polling": fast}}))
    case("bundles whose roots meet are refused", wait(lambda: "overlapping roots" in server.text()), server.text()[-500:])
    server.stop()


def from_disk(tmp, _service):
    folder = tmp / "b"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "p.rego").write_text("package app\n\nsays := data.app.word\n")
    (folder / "app" / "data.json").write_text('{"word": "first"}')
    (folder / "other.json").write_text("not read")
    packed = tmp / "x.tar.gz"
    packed.write_bytes(bundle({".manifest": json.dumps({"roots": ["x"]}), "x/data.json": "7"}))
    (folder / ".manifest").write_text('{"roots": ["app"]}')
    server = Policies(tmp, "-b", folder, packed, "--watch")
    case("a folder and a file as bundles", server.says() == "first" and server.says("x") == 7, server.text()[-500:])
    (folder / "app" / "data.json").write_text('{"word": "second"}')
    case("a change is seen", wait(lambda: server.says() == "second"), server.text()[-500:])
    (folder / "app" / "p.rego").write_text("package app\n\nsays := \n")
    case("a bad one is told", wait(lambda: "refused" in server.text()) and server.says() == "second", server.text()[-500:])
    server.stop()
    bad = subprocess.run([MERLON, "rego", "run", "--server", "-b", str(tmp / "none.tar.gz")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    case("a bundle that is not there is an error", bad.returncode != 0 and b"none.tar.gz" in bad.stdout, bad.stdout)


def reports(tmp, service):
    mask = b"""package system.log

mask contains "/input/password"

mask contains sprintf("/input/tokens/%d", [i]) if some i, _ in input.input.tokens

mask contains {"op": "upsert", "path": "/input/card", "value": "****"}

drop if input.path == "app/quiet"
"""
    (tmp / "mask.rego").write_bytes(mask)
    (tmp / "p.rego").write_text("package app\n\nsays := input.user\n\nquiet := 1\n\nat := time.now_ns()\n")
    report = {"min_delay_seconds": 1, "max_delay_seconds": 1}
    server = Policies(tmp, "mask.rego", "p.rego", config=config_of(service, bundles={}, nd_builtin_cache=True, labels={"region": "x"},
                      decision_logs={"service": "s", "reporting": report, "console": True}, status={"service": "s"}))
    got = server.ask("POST", "/v1/data/app/says", {"input": {"user": "u", "password": "hush", "card": "4111"}})[1]
    case("an answer has the id of its decision", len(got.get("decision_id", "")) == 36, got)
    server.ask("POST", "/v1/data/app/quiet", {"input": {}})
    server.ask("POST", "/v1/data/app/at", {"input": {}})
    server.ask("GET", "/v1/query?q=x%3D1")
    case("decisions are uploaded", wait(lambda: len(service.logs) >= 3), len(service.logs))
    first = next((e for e in service.logs if e.get("decision_id") == got["decision_id"]), {})
    case("with path, result and labels", first.get("path") == "app/says" and first.get("result") == "u" and
         first.get("labels", {}).get("region") == "x" and "timestamp" in first, first)
    case("masked", first.get("input") == {"user": "u", "card": "****"} and first.get("erased") == ["/input/password"] and
         first.get("masked") == ["/input/card"], first)
    got = server.ask("POST", "/v1/data/app/says", {"input": {"user": "u", "tokens": ["secret-a", "secret-b", "secret-c"]}})[1]
    case("a list's decision is uploaded", wait(lambda: any(e.get("decision_id") == got["decision_id"] for e in service.logs)))
    lists = next((e for e in service.logs if e.get("decision_id") == got["decision_id"]), {})
    case("all of a list is masked", lists.get("input", {}).get("tokens") == [] and len(lists.get("erased", [])) == 3, lists)
    case("what is dropped is not there", not any(e.get("path") == "app/quiet" for e in service.logs))
    timed = next((e for e in service.logs if e.get("path") == "app/at"), {})
    case("with what the clock said", list(timed.get("nd_builtin_cache", {}).get("time.now_ns", {}).values()) == [timed.get("result")], timed)
    case("and on the console", wait(lambda: '"msg":"Decision Log"' in server.text()) and "hush" not in server.text() and "4111" not in server.text())
    (tmp / "p.rego").write_text("package app\n")
    server.ask("POST", "/v1/data/app/says", {"input": {"user": "last"}})
    case("it ends", server.stop() == 0)
    case("what was decided before the end goes out", wait(lambda: any(e.get("result") == "last" for e in service.logs)))


def statuses(tmp, service):
    service.put("/app.tar.gz", bundle(policy("st", "s7")), '"s7"')
    server = Policies(tmp, config=config_of(service, status={"service": "s", "console": True}))
    case("status is uploaded", wait(lambda: any(s.get("bundles", {}).get("app", {}).get("active_revision") == "s7" for s in service.status)),
         service.status[-1:])
    metrics = server.ask("GET", "/metrics")[1]
    case("metrics tell of the bundle", b'bundle_active{name="app"} 1' in metrics and b"http_request_duration_seconds_bucket" in metrics)
    server.stop()


def discovery(tmp, service):
    found = {"bundles": {"late": {"service": "s", "resource": "/late", "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}},
             "default_decision": "/late/says", "services": {"s": {"url": "http://127.0.0.1:1"}}}
    service.put("/discovery", bundle({"data.json": json.dumps({"discovery": found})}), '"d1"')
    service.put("/late", bundle(policy("late", "l1", ("late",))), '"l1"')
    server = Policies(tmp, config=config_of(service, bundles={}, discovery={"service": "s", "resource": "/discovery", "decision": "/discovery",
                      "polling": {"min_delay_seconds": 1, "max_delay_seconds": 1}}))
    case("a discovered bundle is pulled", wait(lambda: server.says("late/says") == "late"), server.text()[-800:])
    case("the default decision too", server.ask("POST", "/", {})[1] == "late")
    case("where services are it may not say", "may not change services" in server.text())
    service.put("/discovery", bundle({"data.json": json.dumps({"discovery": {}})}), '"d2"')
    case("and gone when it is not named any more", wait(lambda: server.says("late/says") is None), server.text()[-500:])
    server.stop()


def hidden(tmp):
    """What the policy that authorizes does not see, or sees otherwise than the handler, is refused."""
    (tmp / "blind.rego").write_text("""package system.authz

default allow := true

allow := false if input.body.input.role == "admin"

allow := false if input.path[2] == "secret"

allow := false if input.path == ["v1", "policies", "a", "b"]

allow := false if input.path == ["v1", "policies", "c", ""]
""")
    (tmp / "role.rego").write_text("package role\n\nsays := input.role\n\nsecret := 1\n")
    server = Policies(tmp, "blind.rego", "role.rego", "--authorization", "basic")
    rows = (("as it is", b'{"input": {"role": "admin"}}', {}, 401), ("another role", b'{"input": {"role": "dev"}}', {}, 200),
            ("a name twice", b'{"x": 1, "x": 2, "input": {"role": "admin"}}', {}, 400),
            ("the input twice", b'{"input": {"role": "dev"}, "input": {"role": "admin"}}', {}, 400),
            ("YAML", b"input: {role: admin}\n", {"Content-Type": "application/x-yaml"}, 401),
            ("padded", b'{"pad": "' + b"x" * (5 << 20) + b'", "input": {"role": "admin"}}', {}, 413),
            ("no JSON", b"{", {}, 400))
    for name, body, headers, want in rows:
        got = server.ask("POST", "/v1/data/role/says", body, headers)
        case("authorization of a body: " + name, got[0] == want, got)
    rows = (("/v1/data/secret", 401), ("/v1/data//secret", 400), ("/v1/data/secret/", 401), ("//v1/data/secret", 400), ("/v1/policies/a/b", 401),
            ("/v1/policies/a%2Fb", 401), ("/v1/policies/c%2F", 401), ("/v1/data/role/secret", 200))
    for path, want in rows:
        got = server.ask("GET", path)
        case("authorization of " + path, got[0] == want, got)
    server.stop()


def authorization(tmp, _service):
    (tmp / "authz.rego").write_text("""package system.authz

default allow := {"allowed": false, "reason": "not you"}

allow := true if input.identity == "secret"

allow := true if {
	input.method == "POST"
	input.path == ["v1", "data", "app", "says"]
	input.body.input.user == "any"
	input.params.x == ["1"]
	input.headers["X-Kind"] == ["k"]
}
""")
    (tmp / "p.rego").write_text("package app\n\nsays := 1\n")
    diagnostic = free_port()
    server = Policies(tmp, "authz.rego", "p.rego", "--authentication", "token", "--authorization", "basic", "--diagnostic-addr",
                      "127.0.0.1:%d" % diagnostic)
    code, got = server.ask("GET", "/v1/data/app/says")
    case("a stranger is refused", code == 401 and got == {"code": "unauthorized", "message": "not you"}, got)
    case("even policies", server.ask("PUT", "/v1/policies/x", b"package x\n")[0] == 401)
    case("a token opens", server.ask("GET", "/v1/data/app/says", None, {"Authorization": "Bearer secret"})[1] == {"result": 1})
    case("another does not", server.ask("GET", "/v1/data/app/says", None, {"Authorization": "Bearer other"})[0] == 401)
    case("body, parameters and headers are seen",
         server.ask("POST", "/v1/data/app/says?x=1", {"input": {"user": "any"}}, {"x-kind": "k"}) == (200, {"result": 1}))
    server.stop()
    hidden(tmp)
    server = Policies(tmp, "authz.rego", "p.rego", "--authentication", "token", "--authorization", "basic", "--diagnostic-addr",
                      "127.0.0.1:%d" % diagnostic)
    link = http.client.HTTPConnection("127.0.0.1", diagnostic, timeout=10)
    link.request("GET", "/health")
    case("health needs no token at its own address", link.getresponse().read() == b"{}\n")
    link.request("GET", "/v1/data/app/says")
    answer = link.getresponse()
    answer.read()
    case("and nothing else is served there", answer.status == 404)
    server.stop()
    bad = subprocess.run([MERLON, "rego", "run", "--server", "--authentication", "token"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    case("identity without authorization is a mistake", bad.returncode == 2, bad.stdout)


def certificate(folder, name, ca=None):
    key, cert = folder / (name + ".key"), folder / (name + ".pem")
    args = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", str(key), "-out",
            str(cert), "-subj", "/O=acme/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1"]
    args += ["-CA", str(ca[1]), "-CAkey", str(ca[0]), "-addext", "basicConstraints=critical,CA:FALSE"] if ca else []
    subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    return key, cert


def transport(tmp, _service):
    (tmp / "authz.rego").write_text('package system.authz\n\nallow if input.identity == "CN=client,O=acme"\n')
    if shutil.which("openssl") is None:
        skip("TLS", "openssl is not installed")
        return
    ca = certificate(tmp, "ca")
    server_key, server_cert = certificate(tmp, "server", ca)
    client_key, client_cert = certificate(tmp, "client", ca)
    context = ssl.create_default_context(cafile=str(ca[1]))
    context.load_cert_chain(str(client_cert), str(client_key))
    server = Policies(tmp, "authz.rego", "--tls-cert-file", server_cert, "--tls-private-key-file", server_key, "--tls-ca-cert-file", ca[1],
                      "--authentication", "tls", "--authorization", "basic", context=context)
    case("a client with its certificate is known", server.ask("GET", "/v1/data")[0] == 200, server.text()[-500:])
    server.context = ssl.create_default_context(cafile=str(ca[1]))
    try:
        refused = server.ask("GET", "/v1/data")[0] == 401
    except (ssl.SSLError, OSError):
        refused = True
    case("one without is refused", refused)
    server.stop()
    path = str(tmp / "s.sock")
    server = Policies(tmp, unix=path)
    case("a Unix socket", server.ask("GET", "/health") == (200, {}))
    big = json.dumps({"input": {"x": ["y" * 100] * 100}}).encode()
    case("a packed body", server.ask("POST", "/v1/data", gzip.compress(big), {"Content-Encoding": "gzip"})[0] == 200)
    case("a broken one is refused", server.ask("POST", "/v1/data", b"no gzip", {"Content-Encoding": "gzip"})[0] == 400)
    case("an unknown coding is refused", server.ask("POST", "/v1/data", b"{}", {"Content-Encoding": "br"})[0] == 415)
    server.ask("PUT", "/v1/data/big", ["z" * 50] * 200)
    case("a packed answer", len(server.ask("GET", "/v1/data/big", None, {"Accept-Encoding": "gzip"})[1]["result"]) == 200)
    server.stop()


def body():
    for part in (from_service, persisted, signed, signed_by_opa, overlap, from_disk, reports, statuses, discovery, authorization, transport):
        service = Service()
        with tempfile.TemporaryDirectory() as tmp:
            part(pathlib.Path(tmp), service)
        service.end()


if __name__ == "__main__":
    finish(body, "bundles")
