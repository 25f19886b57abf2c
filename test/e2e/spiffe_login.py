#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The OIDC issuer of JWT-SVIDs, two federated servers, and logins with SVIDs.

usage: spiffe_login.py [MERLON]
"""
import base64
import json
import pathlib
import tempfile
import time

from kit import Api, Server, case, finish, run


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def issuer(server):
    api, plain = server.api, Api(server.port, None)
    answer = plain("GET", "/.well-known/openid-configuration")
    case("no issuer, no discovery", answer.code == 404, answer)
    at = "http://127.0.0.1:%d" % server.port
    case("an issuer with a slash at its end is refused", api("PUT", "spiffe/config", {"jwt_issuer": at + "/"}).code == 400)
    case("the issuer is set", api("PUT", "spiffe/config", {"jwt_issuer": at}).code == 204)
    document = plain("GET", "/.well-known/openid-configuration", None, {"Host": "elsewhere.example", "Origin": "https://page.example"})
    case("discovery names the issuer, whatever Host says", document.json and document.json["issuer"] == at and
         document.json["jwks_uri"] == at + "/keys" and document.json["id_token_signing_alg_values_supported"] == ["ES256"], document)
    case("any page may read it", document.headers.get("Access-Control-Allow-Origin") == "*", document.headers)
    keys = plain("GET", "/keys").json["keys"]
    case("keys for a relying party", len(keys) == 1 and keys[0]["use"] == "sig" and keys[0]["alg"] == "ES256" and "d" not in keys[0], keys)
    case("the same below /v1", plain("GET", "spiffe/keys").json == {"keys": keys})
    case("a folder of it is none", plain("GET", "/keys/x").code == 404)
    return at, keys


def federation(one, two, tmp):
    document = Api(one.port, None, tls=True)("GET", "spiffe/bundle/endpoint")
    case("the bundle endpoint needs no token", document.code == 200 and document.json["keys"], document)
    two.api("PUT", "spiffe/federation/example.org", {"url": "http://127.0.0.1:1/"})
    case("an endpoint without TLS is refused", two.api("PUT", "spiffe/federation/example.org", {"url": "http://127.0.0.1:1/"}).code == 400)
    case("so is the own domain", two.api("PUT", "spiffe/federation/other.example", {"url": "https://127.0.0.1:1/"}).code == 400)
    pem = one.api.tls and server_certificate(one.port)
    url = "https://localhost:%d/v1/spiffe/bundle/endpoint" % one.port
    answer = two.api("PUT", "spiffe/federation/example.org", {"url": url, "ca_pem": pem, "allowed_ids": "spiffe://example.org/**"})
    case("a relationship", answer.code == 200, answer)
    got = wait(lambda: two.api("GET", "spiffe/bundles/example.org"), lambda a: a.code == 200)
    if not case("its bundle is fetched by itself", got.code == 200, two.api("GET", "spiffe/federation/example.org")):
        return
    case("and is the other's", got.data["bundle"]["keys"][0]["x5c"] == document.json["keys"][0]["x5c"], got)
    sequence = got.data["bundle"]["spiffe_sequence"]
    one.api("PUT", "spiffe/authority/jwt/prepare")
    answer = two.api("PUT", "spiffe/federation/example.org/refresh")
    case("asked for at once", answer.code == 200, answer)
    case("the newer one is here", two.api("GET", "spiffe/bundles/example.org").data["bundle"]["spiffe_sequence"] > sequence)
    one.end()
    answer = two.api("PUT", "spiffe/federation/example.org/refresh")
    case("an endpoint that is gone is told", answer.code >= 500, answer)
    case("what is held stays", len(two.api("GET", "spiffe/bundles/example.org").data["bundle"]["keys"]) == 3)
    command = lambda *args: run(*args, env=two.environment)
    case("federation list", b"example.org" in run("federation", "list", env=two.environment).stdout)
    case("federation show says why", b"localhost" in run("federation", "show", "example.org", "--format", "json", env=two.environment).stdout)
    for words, code in ((("federation", "create", "third.example"), 2), (("federation", "create", "third.example", "--url", "http://a/"), 1),
                        (("federation", "create", "third.example", "--url", "https://a.invalid/"), 0), (("federation", "refresh", "third.example"), 1),
                        (("federation", "update", "third.example", "--allow-id", "spiffe://third.example/ns/*/web"), 0),
                        (("federation", "update", "third.example", "--allow-id", "spiffe://other.example/x"), 1), (("federation", "show", "none.example"), 3),
                        (("federation", "delete", "third.example"), 0)):
        done = command(*words)
        case("%s: exit %d" % (" ".join(words), code), done.returncode == code, "%d %s" % (done.returncode, done.stderr))
    run("federation", "delete", "example.org", env=two.environment)
    case("so it does when the relationship ends", two.api("GET", "spiffe/bundles/example.org").code == 200)


def server_certificate(port):
    import ssl
    return ssl.get_server_certificate(("127.0.0.1", port))


def wait(ask, good, seconds=10):
    end = time.monotonic() + seconds
    got = ask()
    while not good(got) and time.monotonic() < end:
        time.sleep(0.1)
        got = ask()
    return got


def logins(server):
    api, plain = server.api, Api(server.port, None)
    case("the method is enabled", api("PUT", "sys/auth/spiffe", {"type": "spiffe"}).code == 204)
    case("a role without ids is refused", api("PUT", "auth/spiffe/role/web", {"token_policies": "default"}).code == 400)
    case("a bad pattern is refused", api("PUT", "auth/spiffe/role/web", {"bound_ids": "spiffe://*/x"}).code == 400)
    case("a role", api("PUT", "auth/spiffe/role/web", {"bound_ids": "spiffe://example.org/ns/*/sa/web", "token_policies": "default"}).code == 204)
    for name, body in (("nothing", {}), ("garbage", {"svid": "a.b.c"}), ("another role", {"svid": "a.b.c", "role": "none"})):
        answer = plain("PUT", "auth/spiffe/login", body)
        case("a login with %s is refused" % name, answer.code == 400, answer)


def body():
    with tempfile.TemporaryDirectory() as tmp:
        one = Server("--trust-domain", "example.org")
        issuer(one)
        logins(one)
        one.stop()
        one, two = Server("--trust-domain", "example.org", "--dev-tls"), Server("--trust-domain", "other.example")
        try:
            federation(one, two, pathlib.Path(tmp))
        finally:
            one.stop()
            two.stop()


if __name__ == "__main__":
    finish(body, "spiffe_login")
