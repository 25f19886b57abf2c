#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect relying parties verify JWT-SVIDs by discovery alone: Go's go-oidc and Python's joserfc know nothing but the issuer's address
and the authority of its TLS certificate.

usage: spiffe_oidc.py [MERLON]     Tokens are got by exchange from an issuer that signs with openssl; without it everything is skipped.
"""
import json
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import time

from go_client import build
from kit import ROOT, Api, Server, case, finish, skip
from outside import Key
from spiffe_federation import report

try:
    import requests
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet
except ImportError:
    requests = None

AUDIENCE = "relying-party"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
OUTSIDE = "https://pinned.example"


class Issuer:
    def __init__(self, domain, folder, key):
        self.server = Server("--trust-domain", domain, "--dev-tls")
        self.key, self.id = key, "spiffe://%s/ci/web" % domain
        self.url = "https://127.0.0.1:%d" % self.server.port
        self.ca = ssl.get_server_certificate(("127.0.0.1", self.server.port))
        self.ca_file = folder / (domain + ".pem")
        self.ca_file.write_text(self.ca)
        api = self.server.api
        answers = [api("PUT", "spiffe/config", {"jwt_issuer": self.url}),
                   api("PUT", "spiffe/exchange/issuers/ci", {"issuer": OUTSIDE, "public_keys": [key.pem], "audiences": "merlon"}),
                   api("PUT", "spiffe/exchange/rules/ci", {"issuer": "ci", "bound_subject": "web", "audiences": AUDIENCE,
                                                           "id_template": "spiffe://%s/ci/{{sub}}" % domain}),
                   api("PUT", "spiffe/exchange/rules/late", {"issuer": "ci", "bound_subject": "late", "audiences": AUDIENCE, "ttl": "10s",
                                                             "id_template": "spiffe://%s/ci/web" % domain})]
        case("%s is an issuer" % domain, all(a.code == 204 for a in answers), answers)

    def token(self, subject="web"):
        now = int(time.time())
        shown = self.key.sign({"iss": OUTSIDE, "aud": "merlon", "sub": subject, "iat": now, "exp": now + 60})
        answer = Api(self.server.port, None, tls=True)("POST", "spiffe/token", {
            "grant_type": GRANT, "subject_token": shown, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "audience": AUDIENCE})
        return answer.json["access_token"]


def forge(token):
    head, body, sig = token.split(".")
    return ".".join((head, body, ("A" if sig[0] != "A" else "B") + sig[1:]))


def by_go(one, two, tokens):
    program, why = build(ROOT / "test" / "e2e" / "go-spiffe", "go-spiffe")
    if program is None:
        skip("go-oidc verifies by discovery", why)
        return
    party = {"issuer": one.url, "ca": one.ca, "audience": AUDIENCE, "id": one.id, "other": two.url, **tokens}
    done = subprocess.run([program, "relying-party"], input=json.dumps(party).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    report("go-oidc", done, 8)


def verify(issuer, token, audience):
    """As a relying party does it: discovery, the issuer's name, its keys, the token's claims."""
    at = requests.get(issuer.url + "/.well-known/openid-configuration", verify=str(issuer.ca_file), timeout=10).json()
    if at["issuer"] != issuer.url:
        raise JoseError("another issuer")
    keys = KeySet.import_key_set(requests.get(at["jwks_uri"], verify=str(issuer.ca_file), timeout=10).json())
    claims = jwt.decode(token, keys, algorithms=at["id_token_signing_alg_values_supported"]).claims
    jwt.JWTClaimsRegistry(iss={"essential": True, "value": at["issuer"]}, exp={"essential": True},
                          aud={"essential": True, "value": audience}).validate(claims)
    return claims


def by_python(one, tokens):
    if requests is None:
        skip("joserfc verifies by discovery", "the package joserfc or requests is missing")
        return
    claims = verify(one, tokens["token"], AUDIENCE)
    case("joserfc takes a good token", claims["sub"] == one.id, claims)
    for name, token, audience in (("for another audience", tokens["token"], "elsewhere"), ("that has expired", tokens["expired"], AUDIENCE),
                                  ("of another issuer", tokens["foreign"], AUDIENCE), ("that is forged", tokens["forged"], AUDIENCE)):
        try:
            case("joserfc refuses a token " + name, False, verify(one, token, audience))
        except (JoseError, ValueError) as error:
            case("joserfc refuses a token " + name, True, error)
    try:
        requests.get(one.url + "/.well-known/openid-configuration", timeout=10)
        case("without the authority nothing is believed", False)
    except requests.exceptions.SSLError:
        case("without the authority nothing is believed", True)


def body():
    if shutil.which("openssl") is None:
        skip("relying parties", "there is no openssl")
        return
    with tempfile.TemporaryDirectory(prefix="merlon-rp-") as tmp:
        folder = pathlib.Path(tmp)
        key = Key(folder, "pinned")
        one, two = Issuer("example.org", folder, key), Issuer("other.example", folder, key)
        try:
            late, made = one.token("late"), time.monotonic()
            tokens = {"token": one.token(), "expired": late, "foreign": two.token()}
            tokens["forged"] = forge(tokens["token"])
            time.sleep(max(0, made + 11.5 - time.monotonic()))
            by_go(one, two, tokens)
            by_python(one, tokens)
        finally:
            one.server.stop()
            two.server.stop()


if __name__ == "__main__":
    finish(body, "spiffe_oidc")
