#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token exchange (RFC 8693) with an issuer played by this program over TLS: what CI systems and clusters show becomes SVIDs by rules.
Asked by the command line, by plain forms, and by Authlib, an OAuth client that knows nothing of Merlon.

usage: spiffe_exchange.py [MERLON]     The issuer signs with openssl; without it everything is skipped.
"""
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse

from kit import Api, Server, case, finish, run, skip
from outside import Key, Outside, b64

try:
    from authlib.integrations.requests_client import OAuth2Session
except ImportError:
    OAuth2Session = None

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"
X509 = "urn:merlon:params:oauth:token-type:x509-svid"
CI = "spiffe://example.org/ci/org/repo/refs/heads/main"


def claims_of(token):
    import base64
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class World:
    def __init__(self, folder):
        self.folder, self.outside = folder, Outside(folder)
        self.key = Key(folder, "first")
        self.outside.keys = [self.key]
        self.server = Server("--trust-domain", "example.org")
        self.api = self.server.api

    def token(self, key=None, **more):
        now = int(time.time())
        return (key or self.key).sign({"iss": self.outside.url, "aud": "merlon", "iat": now, "exp": now + 120, "sub": "repo:org/repo",
                                       "repository": "org/repo", "ref": "refs/heads/main", **more})

    def exchange(self, token, **more):
        """As a form, from a stranger."""
        form = {"grant_type": GRANT, "subject_token": token, "subject_token_type": TYPE + "id_token", "audience": "db", **more}
        body = urllib.parse.urlencode({k: v for k, v in form.items() if v is not None}, doseq=True).encode()
        return Api(self.server.port, None)("POST", "spiffe/token", body, {"Content-Type": "application/x-www-form-urlencoded"})


def refused(name, answer, error):
    case("refused: " + name, answer.code == 400 and answer.json.get("error") == error and "access_token" not in answer.json, answer)


def configure(w):
    issuer = {"issuer": w.outside.url, "audiences": "merlon"}
    for name, body in (("an unknown authority", issuer), ("an issuer in clear", {**issuer, "issuer": "http://localhost:1"}),
                       ("no audiences", {"issuer": w.outside.url, "ca_pem": w.outside.ca})):
        answer = w.api("PUT", "spiffe/exchange/issuers/ci", body)
        case("an issuer with %s is refused" % name, answer.code == 400, answer)
    answer = w.api("PUT", "spiffe/exchange/issuers/ci", {**issuer, "ca_pem": w.outside.ca})
    case("an issuer", answer.code == 204, answer)
    answer = w.api("PUT", "spiffe/exchange/issuers/twice", {**issuer, "jwks_url": w.outside.url + "/keys", "ca_pem": w.outside.ca})
    case("a second one of the same iss is refused", answer.code == 409 or answer.code == 400, answer)
    answer = w.api("PUT", "spiffe/exchange/rules/wide", {"issuer": "ci", "id_template": "spiffe://example.org/x", "audiences": "db"})
    case("a rule for everybody is refused", answer.code == 400, answer)
    done = run("write", "spiffe/exchange/rules/ci", "issuer=ci", 'bound_claims={"repository":"org/repo"}',
               "id_template=spiffe://example.org/ci/{{repository:2}}/{{ref...}}", "audiences=db,merlon,https://*.example", "ttl=2m", "x509=true",
               env=w.server.environment)
    case("a rule by the command line", done.returncode == 0, done.stderr)
    row = w.api("GET", "spiffe/exchange/rules/ci")
    case("as it was meant", row.data["bound_claims"] == {"repository": "org/repo"} and row.data["ttl"] == 120, row)


def tokens(w):
    answer = w.exchange(w.token(jti="one"))
    good = answer.code == 200 and answer.json["issued_token_type"] == TYPE + "jwt" and answer.json["token_type"] == "Bearer"
    if not case("a form is answered as RFC 8693 says", good and 110 < answer.json["expires_in"] <= 120, answer):
        return
    case("nobody keeps it", answer.headers.get("Cache-Control") == "no-store", answer.headers)
    claims = claims_of(answer.json["access_token"])
    case("its claims", claims["sub"] == CI and claims["aud"] == ["db"] and claims["exp"] - claims["iat"] == 120, claims)
    both = w.exchange(w.token(), audience=["db", "merlon"], resource="https://api.example")
    case("several audiences and a resource", sorted(claims_of(both.json["access_token"])["aud"]) == ["db", "https://api.example", "merlon"], both)
    as_json = Api(w.server.port, None)("POST", "spiffe/token", {"grant_type": GRANT, "subject_token": w.token(), "audience": "db",
                                                                "subject_token_type": TYPE + "jwt"})
    case("JSON is taken too", as_json.code == 200, as_json)


def refusals(w):
    stranger, now = Key(w.folder, "stranger"), int(time.time())
    generic = None
    for name, token in (("of a stranger", w.token(stranger)), ("under another key's id", stranger.sign({"iss": w.outside.url}, {"alg": "RS256", "kid": "first"})),
                        ("expired", w.token(exp=now - 60)), ("of another audience", w.token(aud="other")), ("without an end", w.token(exp=None)),
                        ("of another issuer", w.token(iss="https://evil.example")), ("of another repository", w.token(repository="org/evil")),
                        ("with dots in a claim", w.token(ref="../../merlon/server")), ("with a blank in a claim", w.token(ref="a b")),
                        ("with an object in a claim", w.token(ref={"a": 1})), ("without the claim", w.token(ref=None)),
                        ("without an algorithm", b64(b'{"alg":"none"}') + "." + w.token().split(".")[1] + "."), ("that is none", "x"),
                        ("of a megabyte", "a" * 1000000)):
        answer = w.exchange(token)
        refused("a token " + name, answer, "invalid_request")
        said = answer.json.get("error_description")
        case("and nobody learns why", generic in (None, said), said)
        generic = said
    for name, more, error in (("another grant", {"grant_type": "client_credentials"}, "unsupported_grant_type"),
                              ("another type", {"subject_token_type": TYPE + "saml2"}, "invalid_request"), ("a scope", {"scope": "openid"}, "invalid_scope"),
                              ("another audience", {"audience": "elsewhere"}, "invalid_target"), ("no audience", {"audience": None}, "invalid_request"),
                              ("a resource that is none", {"resource": "api"}, "invalid_target"),
                              ("an unknown type of answer", {"requested_token_type": TYPE + "refresh_token"}, "invalid_request"),
                              ("a certificate without a request", {"requested_token_type": X509}, "invalid_request")):
        refused(name, w.exchange(w.token(), **more), error)


def command(w):
    file = w.folder / "ci.jwt"
    file.write_text(w.token() + "\n")
    env = {"MERLON_ADDR": w.server.environment["MERLON_ADDR"], "MERLON_TOKEN": "", "HOME": str(w.folder)}
    done = run("token", "exchange", "--subject-token-file", file, "--audience", "db", env=env)
    case("token exchange", done.returncode == 0 and claims_of(done.stdout.decode().strip())["sub"] == CI, done.stderr)
    done = run("token", "exchange", "--subject-token-file", "-", "--audience", "db", "--format", "json", env=env, stdin=file.read_bytes())
    case("from stdin, as JSON", done.returncode == 0 and json.loads(done.stdout)["token_type"] == "Bearer", done.stderr)
    done = run("token", "exchange", "--subject-token-file", file, "--audience", "other", env=env)
    case("a refusal is told in the words of OAuth", done.returncode == 1 and b"invalid_target" in done.stderr, done.stderr)
    case("without a token it is used wrongly", run("token", "exchange", "--audience", "db", env=env).returncode == 2)
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "web.key", "-out", "web.csr",
                    "-subj", "/CN=admin", "-addext", "subjectAltName=URI:spiffe://example.org/admin"], check=True, cwd=w.folder,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = run("token", "exchange", "--subject-token-file", file, "--csr-file", w.folder / "web.csr", env=env)
    (w.folder / "web.pem").write_bytes(done.stdout)
    (w.folder / "root.pem").write_text(w.api("GET", "spiffe/bundle").data["certificates"])
    verified = subprocess.run(["openssl", "verify", "-CAfile", "root.pem", "web.pem"], cwd=w.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    case("a certificate request becomes an X.509-SVID", done.returncode == 0 and verified.returncode == 0, (done.stderr, verified.stderr))
    text = subprocess.run(["openssl", "x509", "-in", "web.pem", "-noout", "-text"], cwd=w.folder, stdout=subprocess.PIPE).stdout.decode()
    case("of the rule's id, whatever the request says", "URI:" + CI in text and "admin" not in text, text)


def by_authlib(w):
    if OAuth2Session is None:
        skip("an OAuth client exchanges a token", "the package Authlib is missing")
        return
    url = "http://127.0.0.1:%d/v1/spiffe/token" % w.server.port
    with OAuth2Session(client_id="ci", token_endpoint_auth_method="none") as client:
        token = client.fetch_token(url, grant_type=GRANT, subject_token=w.token(), subject_token_type=TYPE + "jwt", audience="db")
        case("Authlib exchanges a token", claims_of(token["access_token"])["sub"] == CI and token["token_type"] == "Bearer", token)
        try:
            token = client.fetch_token(url, grant_type=GRANT, subject_token="x", subject_token_type=TYPE + "jwt", audience="db")
            case("and reads a refusal", False, token)
        except Exception as error:
            case("and reads a refusal", getattr(error, "error", "") == "invalid_request", repr(error))


def login(w):
    """A pipeline reads its secret with nothing stored: its own token, exchanged, logs in."""
    w.api("PUT", "sys/auth/spiffe", {"type": "spiffe"})
    w.api("PUT", "sys/policies/acl/ci", {"policy": 'path "secret/data/ci" { capabilities = ["read"] }'})
    w.api("PUT", "auth/spiffe/role/ci", {"bound_ids": "spiffe://example.org/ci/org/repo/**", "token_policies": "ci"})
    w.api("PUT", "secret/data/ci", {"data": {"a": "b"}})
    svid = w.exchange(w.token(), audience="merlon").json["access_token"]
    plain = Api(w.server.port, None)
    got = plain("PUT", "auth/spiffe/login", {"svid": svid})
    case("the SVID logs in", got.code == 200, got)
    token = got.json["auth"]["client_token"] if got.code == 200 else ""
    read = plain("GET", "secret/data/ci", None, {"X-Vault-Token": token})
    case("and reads what its policy allows", read.code == 200 and read.data["data"] == {"a": "b"}, read)


def svids(w):
    """A JWT-SVID gets another audience, and lives no longer for it."""
    w.api("PUT", "spiffe/exchange/rules/mesh", {"issuer": "spiffe", "bound_ids": "spiffe://example.org/ci/**", "audiences": "mesh", "ttl": "1h"})
    first = w.exchange(w.token(), audience="merlon").json["access_token"]
    answer = w.exchange(first, audience="mesh")
    case("a JWT-SVID for another audience", answer.code == 200 and claims_of(answer.json["access_token"])["sub"] == CI, answer)
    case("no longer than the first", claims_of(answer.json["access_token"])["exp"] <= claims_of(first)["exp"])
    refused("a JWT-SVID that is for somebody else", w.exchange(answer.json["access_token"], audience="mesh"), "invalid_request")


def single_use(w):
    key = Key(w.folder, "pinned")
    iss = "https://pinned.example"
    answer = w.api("PUT", "spiffe/exchange/issuers/once", {"issuer": iss, "public_keys": [key.pem], "audiences": "merlon", "single_use": True})
    case("an issuer with a pinned key", answer.code == 204, answer)
    w.api("PUT", "spiffe/exchange/rules/once", {"issuer": "once", "bound_subject": "s", "id_template": "spiffe://example.org/once/{{sub}}", "audiences": "db"})
    refused("a token without jti", w.exchange(w.token(key, iss=iss, sub="s")), "invalid_request")
    token, answers = w.token(key, iss=iss, sub="s", jti="j"), []
    threads = [threading.Thread(target=lambda: answers.append(w.exchange(token).code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    case("of eight at once one is taken", sorted(answers) == [200] + [400] * 7, answers)


def ledger(w):
    """Each exchange leaves a record that names issuer, subject, rule and id; a refusal of a verified token says why."""
    w.exchange(w.token(sub="for-the-ledger"))
    w.exchange(w.token(sub="refused-for-the-ledger", repository="org/evil"))
    time.sleep(0.3)
    text, at = "", 0
    while True:
        answer = w.api("GET", "sys/ledger/entries?from=%d&max=1000" % at)
        rows = answer.data.get("entries") or []
        text, at = text + json.dumps(rows), at + len(rows)
        if not rows:
            break
    case("the exchange is in the ledger", "ci for-the-ledger" in text and '"rule": "ci"' in text and CI in text, text[-600:])
    case("so is the refusal, with its reason", "refused-for-the-ledger" in text and "no rule is for it" in text)
    case("no token is", "eyJ" not in text)


def rotation(w):
    second = Key(w.folder, "second")
    w.outside.keys = [second]
    answer = w.exchange(w.token())
    case("keys are believed for a while", answer.code == 200, answer)
    other = Outside(pathlib.Path(tempfile.mkdtemp(dir=w.folder)))
    other.keys = [second]
    body = {"issuer": other.url, "audiences": "merlon", "ca_pem": other.ca}
    case("another issuer", w.api("PUT", "spiffe/exchange/issuers/other", body).code == 204)
    w.api("PUT", "spiffe/exchange/rules/other", {"issuer": "other", "bound_subject": "repo:org/repo", "id_template": "spiffe://example.org/other", "audiences": "db"})
    other.server.shutdown()
    other.server.server_close()
    answer = w.exchange(w.token(second, iss=other.url))
    case("an issuer that is gone is no fault of the token", answer.code == 503 and answer.json["error"] == "temporarily_unavailable", answer)
    done = run("token", "exchange", "--subject-token-file", "-", "--audience", "db", env=w.server.environment, stdin=w.token(second, iss=other.url).encode())
    case("the command says so", done.returncode == 7, "%d %s" % (done.returncode, done.stderr))


def body():
    if shutil.which("openssl") is None:
        skip("token exchange", "there is no openssl")
        return
    with tempfile.TemporaryDirectory(prefix="merlon-exchange-") as tmp:
        w = World(pathlib.Path(tmp))
        try:
            for part in (configure, tokens, refusals, command, by_authlib, login, svids, single_use, ledger, rotation):
                part(w)
        finally:
            w.server.stop()


if __name__ == "__main__":
    finish(body, "spiffe_exchange")
