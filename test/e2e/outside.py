#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logins that ask the world outside: an OpenID Connect provider and a Kubernetes API server, played by this program over TLS.

usage: outside.py [MERLON]     The provider signs with openssl; without it everything is skipped.
"""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

from kit import Api, Server, case, finish, free_port, run, skip

try:
    import hvac
except ImportError:
    hvac = None


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """An RSA key of openssl's."""

    def __init__(self, folder, kid):
        self.kid, self.path = kid, folder / (kid + ".pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self.path)], check=True,
                       stderr=subprocess.DEVNULL)
        out = subprocess.run(["openssl", "rsa", "-in", str(self.path), "-noout", "-modulus"], check=True, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        self.n = bytes.fromhex(out.stdout.decode().strip().split("=")[1])
        self.pem = subprocess.run(["openssl", "pkey", "-in", str(self.path), "-pubout"], check=True, stdout=subprocess.PIPE).stdout.decode()

    @property
    def jwk(self):
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": b64(self.n), "e": "AQAB"}

    def sign(self, claims, header=None):
        part = b64(json.dumps(header or {"alg": "RS256", "kid": self.kid}).encode()) + "." + b64(json.dumps(claims).encode())
        out = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.path)], input=part.encode(), check=True, stdout=subprocess.PIPE)
        return part + "." + b64(out.stdout)


class Outside:
    """A provider and an API server on one TLS port."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.keys, self.codes, self.seen, self.reviews = [], {}, [], {}
        self.url = "https://localhost:%d" % self.port
        self.make_ca()
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outside.seen.append(self.path)
                outside.answer(self, self.path, None)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outside.seen.append(self.path)
                outside.answer(self, self.path, body)

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(folder / "leaf.pem"), str(folder / "leaf.key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def make_ca(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
        (self.folder / "ext").write_text("subjectAltName=DNS:localhost\n")
        openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "leaf.pem", "-days", "2",
                "-extfile", "ext")
        self.ca = (self.folder / "ca.pem").read_text()

    def answer(self, request, path, body):
        status, out = 200, {}
        if path == "/.well-known/openid-configuration":
            out = {"issuer": self.url, "jwks_uri": self.url + "/keys", "authorization_endpoint": self.url + "/auth",
                   "token_endpoint": self.url + "/token"}
        elif path == "/keys":
            out = {"keys": [key.jwk for key in self.keys]}
        elif path == "/token":
            status, out = self.token(request, dict(urllib.parse.parse_qsl(body.decode())))
        elif path == "/apis/authentication.k8s.io/v1/tokenreviews":
            status, out = self.review(request, json.loads(body))
        else:
            status = 404
        data = json.dumps(out).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def token(self, request, form):
        login = self.codes.pop(form.get("code"), None)
        client = base64.b64decode(request.headers.get("Authorization", "").partition(" ")[2]).decode()
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if login is None or client != "merlon:s3cret" or challenge != login["challenge"] or form["redirect_uri"] != login["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        claims = {"iss": self.url, "aud": "merlon", "sub": "alice", "nonce": login["nonce"], "exp": int(time.time()) + 60,
                  "iat": int(time.time()), "groups": ["g"]}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.keys[-1].sign(claims)}

    def review(self, request, ask):
        who = request.headers.get("Authorization", "")
        token = ask["spec"]["token"]
        if who not in ("Bearer reviewer", "Bearer " + token):
            return 403, {"message": "forbidden"}
        status = self.reviews.get(token, {"authenticated": False, "error": "invalid token"})
        if ask["spec"].get("audiences") and status.get("authenticated"):
            status = {**status, "audiences": [a for a in ask["spec"]["audiences"] if a in status.get("audiences", [])]}
        return 201, {"kind": "TokenReview", "status": status}

    def visit(self, url):
        """The browser and the person: signed in at once. Gives code and state."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        code = "code%d" % len(self.seen)
        self.codes[code] = {"nonce": query["nonce"], "challenge": query["code_challenge"], "redirect_uri": query["redirect_uri"]}
        return code, query["state"]


def claims(outside, **more):
    return {"iss": outside.url, "sub": "svc", "aud": "merlon", "exp": int(time.time()) + 60, **more}


def jwt(api, outside, folder):
    api("POST", "sys/auth/jwt", {"type": "jwt"})
    stranger = Key(folder, "stranger")
    bad = api("POST", "auth/jwt/config", {"oidc_discovery_url": outside.url})
    case("a provider of an unknown authority is refused", bad.code == 400 and "certificate" in str(bad.errors), bad)
    good = api("POST", "auth/jwt/config", {"oidc_discovery_url": outside.url, "oidc_discovery_ca_pem": outside.ca})
    case("config by discovery", good.code == 204, good)
    made = api("POST", "auth/jwt/role/dev", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["merlon"], "token_policies": ["p"]})
    case("role", made.code == 204, made)

    def login(token):
        return api("POST", "auth/jwt/login", {"role": "dev", "jwt": token}, {"X-Vault-Token": ""})
    first = login(outside.keys[0].sign(claims(outside)))
    case("a machine logs in", first.code == 200 and first.json["auth"]["policies"] == ["default", "p"], first)
    case("its token carries the role", first.code == 200 and first.json["auth"]["metadata"] == {"role": "dev"}, first)
    asked = len([path for path in outside.seen if path == "/keys"])
    for _ in range(3):
        login(outside.keys[0].sign(claims(outside)))
    case("keys are not asked for again", len([path for path in outside.seen if path == "/keys"]) == asked)
    for name, token in (("of a stranger", stranger.sign(claims(outside), {"alg": "RS256", "kid": outside.keys[0].kid})),
                        ("expired", outside.keys[0].sign(claims(outside, exp=int(time.time()) - 600))),
                        ("of another audience", outside.keys[0].sign(claims(outside, aud="other"))),
                        ("of another issuer", outside.keys[0].sign(claims(outside, iss="https://evil.example"))),
                        ("with no algorithm", b64(b'{"alg":"none"}') + "." + b64(json.dumps(claims(outside)).encode()) + ".")):
        answer = login(token)
        case("a token %s is refused" % name, answer.code == 400 and "error validating token" in str(answer.errors), answer)
    renewed = api("POST", "auth/token/renew-self", {}, {"X-Vault-Token": first.json["auth"]["client_token"]})
    case("its token is renewed", renewed.code == 200, renewed)


def browser(api, outside):
    api("POST", "sys/auth/oidc", {"type": "oidc"})
    made = api("POST", "auth/oidc/config", {"oidc_discovery_url": outside.url, "oidc_discovery_ca_pem": outside.ca, "oidc_client_id": "merlon",
                                            "oidc_client_secret": "s3cret", "default_role": "person"})
    case("oidc: config", made.code == 204, made)
    redirect = "http://localhost:8250/oidc/callback"
    made = api("POST", "auth/oidc/role/person", {"user_claim": "sub", "allowed_redirect_uris": [redirect], "groups_claim": "groups",
                                                 "token_policies": ["p"]})
    case("oidc: role", made.code == 204, made)
    begun = api("POST", "auth/oidc/oidc/auth_url", {"redirect_uri": redirect, "client_nonce": "n"}, {"X-Vault-Token": ""})
    case("oidc: a URL for the browser", begun.code == 200 and begun.data["auth_url"].startswith(outside.url + "/auth?"), begun)
    code, state = outside.visit(begun.data["auth_url"])
    query = urllib.parse.urlencode({"state": state, "code": code, "client_nonce": "other"})
    wrong = api("GET", "auth/oidc/oidc/callback?" + query, None, {"X-Vault-Token": ""})
    case("oidc: another client's nonce is refused", wrong.code == 400, wrong)
    query = urllib.parse.urlencode({"state": state, "code": code, "client_nonce": "n"})
    done = api("GET", "auth/oidc/oidc/callback?" + query, None, {"X-Vault-Token": ""})
    case("oidc: a person logs in", done.code == 200 and done.json["auth"]["policies"] == ["default", "p"], done)
    again = api("GET", "auth/oidc/oidc/callback?" + query, None, {"X-Vault-Token": ""})
    case("oidc: a code is good once", again.code == 400, again)
    if hvac is None:
        skip("oidc: hvac begins a login", "hvac is not installed")
        return
    client = hvac.Client(url="http://127.0.0.1:%d" % api.port)
    begun = client.auth.oidc.oidc_authorization_url_request(role="person", redirect_uri=redirect, path="oidc")
    code, state = outside.visit(begun["data"]["auth_url"])
    done = client.auth.oidc.oidc_callback(state=state, nonce="", code=code, path="oidc")
    case("oidc: hvac logs in", done["auth"]["policies"] == ["default", "p"], done)


def kubernetes(api, outside):
    api("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
    made = api("POST", "auth/kubernetes/config", {"kubernetes_host": outside.url, "kubernetes_ca_cert": outside.ca, "token_reviewer_jwt": "reviewer"})
    case("kubernetes: config", made.code == 204, made)
    made = api("POST", "auth/kubernetes/role/web", {"bound_service_account_names": ["web-*"], "bound_service_account_namespaces": ["prod"],
                                                    "audience": "vault", "token_policies": ["p"]})
    case("kubernetes: role", made.code in (200, 204), made)
    outside.reviews["good"] = {"authenticated": True, "audiences": ["vault"],
                               "user": {"username": "system:serviceaccount:prod:web-1", "uid": "u1", "groups": ["system:serviceaccounts"]}}
    outside.reviews["elsewhere"] = {"authenticated": True, "audiences": ["vault"], "user": {"username": "system:serviceaccount:dev:web-1", "uid": "u2"}}
    outside.reviews["other"] = {"authenticated": True, "audiences": ["api"], "user": {"username": "system:serviceaccount:prod:web-1", "uid": "u1"}}

    def login(jwt):
        return api("POST", "auth/kubernetes/login", {"role": "web", "jwt": jwt}, {"X-Vault-Token": ""})
    good = login("good")
    case("kubernetes: a pod logs in", good.code == 200 and good.json["auth"]["policies"] == ["default", "p"], good)
    case("kubernetes: its token names the account", good.code == 200 and good.json["auth"]["metadata"].get("service_account_uid") == "u1", good)
    for name, jwt in (("that the cluster does not know", "bad"), ("of another namespace", "elsewhere"), ("of another audience", "other")):
        answer = login(jwt)
        case("kubernetes: a token %s is refused" % name, answer.code == 403, answer)
    if hvac is None:
        skip("kubernetes: hvac logs in", "hvac is not installed")
        return
    client = hvac.Client(url="http://127.0.0.1:%d" % api.port)
    done = client.auth.kubernetes.login(role="web", jwt="good")
    case("kubernetes: hvac logs in", done["auth"]["policies"] == ["default", "p"], done)


def reach(server, outside):
    """What the process is, what it leaves in the ledger, what happens when it dies."""
    status = server.api("GET", "sys/status")
    walls = status.data.get("sandbox", {}).get("reach", {})
    case("reach says what walls it has", isinstance(walls.get("seccomp"), bool), status)
    listed = run("ledger", "show", "--format", "json", env=server.environment)
    text = listed.stdout.decode()
    case("the ledger names where reach went, and only that", "localhost:%d" % outside.port in text and "/keys" not in text
         and "s3cret" not in text, text[-2000:] + listed.stderr.decode())
    old = server.process("merlon-reach")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    answer = server.api("POST", "auth/jwt/config", {"oidc_discovery_url": outside.url, "oidc_discovery_ca_pem": outside.ca + "\n"})
    case("killed, it is there again for the next call", answer.code == 204 and server.process("merlon-reach") not in ([], old), answer)


def closed(folder, outside):
    """A server that may reach nothing."""
    port = free_port()
    config = folder / "closed.yaml"
    config.write_text("data: %s\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_disable: true\nseal:\n  type: keyfile\n  path: %s\n"
                      "reach:\n  allow: [\"example.org:443\"]\n" % (folder / "closed", port, folder / "closed.key"))
    with Server(config=config, port=port, wait=False) as server:
        server.wait(codes=(501, 200))
        root = server.api("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        server.api.token = (root.json or {}).get("root_token", "")
        server.wait(codes=(200, 503))
        server.api("POST", "sys/auth/jwt", {"type": "jwt"})
        answer = server.api("POST", "auth/jwt/config", {"oidc_discovery_url": outside.url, "oidc_discovery_ca_pem": outside.ca})
        case("what is not listed is not reached", answer.code == 400 and "not in the configured list" in str(answer.errors), answer)


def body():
    if shutil.which("openssl") is None:
        skip("logins that ask outside", "there is no openssl")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-outside-"))
    try:
        outside = Outside(folder)
        outside.keys = [Key(folder, "one")]
        with Server() as server:
            jwt(server.api, outside, folder)
            browser(server.api, outside)
            kubernetes(server.api, outside)
            reach(server, outside)
        closed(folder, outside)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    finish(body, "logins that ask outside")
