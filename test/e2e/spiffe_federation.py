#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two servers that federate: bundle endpoints of both profiles, polling beside the ticks, and go-spiffe's clients and workloads on both.

usage: spiffe_federation.py [MERLON]
"""
import json
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from go_client import build
from kit import ROOT, Api, Server, case, finish, free_port, run, skip

try:
    import grpc
except ImportError:
    grpc = None

DOMAINS = ("example.org", "other.example")
HEADER = (("workload.spiffe.io", "true"),)


def wait(ask, good, seconds=15):
    end = time.monotonic() + seconds
    got = ask()
    while not good(got) and time.monotonic() < end:
        time.sleep(0.1)
        got = ask()
    return got


class Side:
    def __init__(self, domain, folder):
        self.domain, self.port, self.socket = domain, free_port(), "%s/%s.sock" % (folder, domain)
        self.server = Server("--trust-domain", domain, "--spiffe-socket", self.socket, "--spiffe-bundle-endpoint",
                             "127.0.0.1:%d" % self.port, "--dev-tls")
        self.api, self.id = self.server.api, "spiffe://%s/ns/prod/sa/web" % domain
        self.url, self.endpoint_id = "https://127.0.0.1:%d/" % self.port, "spiffe://%s/merlon/server" % domain
        self.web_url = "https://127.0.0.1:%d/v1/spiffe/bundle/endpoint" % self.server.port

    def ask(self, path, verb="GET"):
        """The bundle endpoint itself."""
        return Api(self.port, None, tls=True)(verb, path)

    def certificate(self):
        return ssl.get_server_certificate(("127.0.0.1", self.port))


def endpoint(side):
    wait(lambda: case_less(side.certificate), bool)
    document = side.ask("/")
    case("the endpoint's root is the bundle", document.code == 200 and document.json["keys"], document)
    case("so is its path in the API", side.ask("/v1/spiffe/bundle/endpoint").json == document.json)
    for verb, path in (("GET", "/v1/sys/health"), ("GET", "/v1/sys/seal-status"), ("POST", "/v1/auth/token/create"), ("GET", "/keys"),
                       ("PUT", "/v1/spiffe/config"), ("GET", "/ledger/checkpoint")):
        answer = side.ask(path, verb)
        case("nothing else is served there: %s %s" % (verb, path), answer.code == 404, answer)
    case("nor is it written to", side.ask("/", "POST").code == 405)
    row = side.api("GET", "spiffe/bundle").data["bundle"]["keys"]
    case("what it shows is signed by its authority", len(row) == 2, row)


def case_less(ask):
    try:
        return ask()
    except (OSError, ssl.SSLError):
        return None


def federate(one, two, folder):
    """By the command line, from two to one and back, each with a first bundle from a file."""
    for here, there in ((two, one), (one, two)):
        first = folder / (there.domain + ".json")
        first.write_text(json.dumps(there.ask("/").json))
        create = lambda *more: run("federation", "create", there.domain, "--url", there.url, "--profile", "https_spiffe", *more,
                                   env={**here.server.environment, "MERLON_CACERT": here.ca})
        done = create("--endpoint-id", there.endpoint_id)
        case("without a bundle nothing can be verified", done.returncode == 1 and b"first one" in done.stderr, done.stderr)
        done = create("--bundle-file", first)
        case("without the endpoint's id neither", done.returncode == 1 and b"endpoint_spiffe_id" in done.stderr, done.stderr)
        done = create("--bundle-file", first, "--endpoint-id", there.endpoint_id)
        case("a relationship of https_spiffe", done.returncode == 0, done.stderr)
        row = lambda: here.api("GET", "spiffe/federation/" + there.domain)
        got = wait(row, lambda a: a.data.get("refreshed_at", 0) > 0)
        case("its bundle is fetched by itself", got.data["refreshed_at"] > 0 and got.data["error"] == "", got)


def refusals(one, two):
    api = two.api
    for name, body in (("an unknown profile", {"profile": "http"}), ("a CA for https_spiffe", {"ca_pem": "x"}),
                       ("an endpoint id that is none", {"endpoint_spiffe_id": "web"}),
                       ("an endpoint id without a path", {"endpoint_spiffe_id": "spiffe://example.org"}),
                       ("an endpoint of a domain without a bundle", {"endpoint_spiffe_id": "spiffe://third.example/x"}),
                       ("an endpoint id for https_web", {"profile": "https_web"}), ("a bundle that is none", {"bundle": "{}"})):
        answer = api("PUT", "spiffe/federation/" + one.domain, {"url": one.url, **body})
        case("refused: " + name, answer.code == 400, answer)
    held = api("GET", "spiffe/bundles/" + one.domain).data["bundle"]
    api("PUT", "spiffe/federation/" + one.domain, {"endpoint_spiffe_id": "spiffe://example.org/merlon/other"})
    answer = api("PUT", "spiffe/federation/%s/refresh" % one.domain)
    case("an endpoint that presents another id is refused", answer.code >= 500 and "it presents spiffe://example.org/merlon/server" in
         str(answer.errors), answer)
    case("and changes nothing", api("GET", "spiffe/bundles/" + one.domain).data["bundle"] == held)
    web = {"url": one.web_url.replace("127.0.0.1", "localhost"), "endpoint_spiffe_id": one.endpoint_id}
    api("PUT", "spiffe/federation/" + one.domain, web)
    answer = api("PUT", "spiffe/federation/%s/refresh" % one.domain)
    case("so is one with a certificate of the web", answer.code >= 500 and "not who it should be" in str(answer.errors), answer)
    api("PUT", "spiffe/federation/" + one.domain, {"url": one.url})
    answer = api("PUT", "spiffe/federation/%s/refresh" % one.domain)
    case("the right one is taken again", answer.code == 200, answer)


def rotation(one, two):
    """The authority turns twice: the endpoint shows what the newest signed, and who polls follows."""
    before = one.certificate()
    for step in ("first", "second"):
        one.api("PUT", "spiffe/authority/x509/prepare")
        answer = two.api("PUT", "spiffe/federation/%s/refresh" % one.domain)
        case("the %s new authority is fetched before it signs" % step, answer.code == 200, answer)
        turn(one)
        after = wait(one.certificate, lambda got: got != before)
        case("the endpoint's SVID is of the %s new one" % step, after != before)
        before = after
        answer = two.api("PUT", "spiffe/federation/%s/refresh" % one.domain)
        case("and is taken", answer.code == 200, answer)


def turn(side):
    """Have what is prepared sign, and what signed before replaced at once."""
    rows = side.api("GET", "spiffe/authority/x509?list=true").data["key_info"]
    states = {row["state"]: name for name, row in rows.items()}
    side.api("PUT", "spiffe/authority/x509/activate", {"authority_id": states["prepared"]})
    side.api("PUT", "spiffe/authority/x509/taint", {"authority_id": states["active"]})


def upstream(one, two):
    """One's authority is signed by an intermediate of its PKI engine: all that follows in this test goes through that chain."""
    api, before = one.api, one.certificate()
    for path in ("pki", "int"):
        api("POST", "sys/mounts/" + path, {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    api("POST", "pki/root/generate/internal", {"common_name": "Top", "ttl": "8760h"})
    csr = api("POST", "int/intermediate/generate/internal", {"common_name": "Middle"}).data["csr"]
    signed = api("POST", "pki/root/sign-intermediate", {"csr": csr, "common_name": "Middle", "ttl": "4380h"}).data
    api("POST", "int/intermediate/set-signed", {"certificate": "\n".join(signed["ca_chain"])})
    for path, why in (("none/", "no pki engine"), ("int", "slash")):
        answer = api("PUT", "spiffe/config", {"upstream": path})
        case("an upstream that is none is refused: " + path, answer.code == 400 and why in str(answer.errors), answer)
    answer = api("PUT", "spiffe/config", {"upstream": "int/"})
    case("an upstream is taken", answer.code == 204, answer)
    top = signed["ca_chain"][-1].strip()
    case("its root is published before it counts", top in api("GET", "spiffe/bundle").data["certificates"].strip())
    answer = two.api("PUT", "spiffe/federation/%s/refresh" % one.domain)
    case("and fetched", answer.code == 200, answer)
    turn(one)
    wait(one.certificate, lambda got: got != before)
    answer = two.api("PUT", "spiffe/federation/%s/refresh" % one.domain)
    case("an endpoint whose chain leads to that root is taken", answer.code == 200, answer)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(top + "\n")
        file.flush()
        done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % one.port, "-CAfile", file.name, "-showcerts", "-verify_return_error"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    case("three certificates, and the root alone verifies them", done.returncode == 0 and done.stdout.count(b"BEGIN CERTIFICATE") >= 3, done.stdout[-400:])


def upstream_gone(one):
    """What is held signs on without it."""
    before = one.api("GET", "spiffe/authority/x509?list=true").data["key_info"]
    answer = one.api("DELETE", "sys/mounts/int")
    case("the upstream is unmounted", answer.code == 204, answer)
    answer = one.api("PUT", "spiffe/authority/x509/prepare")
    case("a new authority cannot be had, and why", answer.code == 502 and "int/ does not sign: there is no pki engine" in str(answer.errors), answer)
    case("those that are held stay", one.api("GET", "spiffe/authority/x509?list=true").data["key_info"] == before)
    case("and sign", grpc is None or len(fetch_jwt(one)) > 0)


class Silent:
    """Takes connections and never says anything."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.taken = self.socket.getsockname()[1], []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        try:
            while True:
                self.taken.append(self.socket.accept()[0])
        except OSError:
            pass


def ticks(one):
    """A bundle endpoint that hangs holds up nothing: an entry that expires meanwhile is told at once."""
    silent = Silent()
    one.api("PUT", "spiffe/federation/slow.example", {"url": "https://127.0.0.1:%d/" % silent.port})
    wait(lambda: silent.taken, bool)
    case("a silent endpoint is asked", len(silent.taken) == 1, silent.taken)
    ends = time.time() + 3
    answer = one.api("PUT", "spiffe/entries", {"spiffe_id": "spiffe://example.org/short", "selectors": ["unix:uid:%d" % os.getuid()],
                                               "expires_at": int(ends)})
    case("an entry with an end", answer.code == 200, answer)
    if grpc is None:
        skip("an entry's end is told while an endpoint is silent", "the package grpcio is missing")
    else:
        by_stream(one, answer.data.get("id"))
    row = wait(lambda: one.api("GET", "spiffe/federation/slow.example"), lambda a: a.data["failures"] > 0)
    case("the silent endpoint is told as such", row.data["failures"] == 1 and row.data["error"], row)
    one.api("DELETE", "spiffe/federation/slow.example")
    silent.socket.close()


def by_stream(one, entry_id):
    with grpc.insecure_channel("unix://" + one.socket) as channel:
        call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID", lambda b: b, lambda b: b)
        stream, got, why = call(b"", metadata=HEADER, timeout=20), [], None
        try:
            for message in stream:
                got.append((time.time(), message))
        except grpc.RpcError as error:
            why = error.code()
        ended = time.time()
    case("the stream had an SVID", len(got) >= 1 and b"example.org/short" in got[0][1])
    late = ended - one.api("GET", "spiffe/entries/" + entry_id).data["expires_at"]
    case("and is denied when the entry has expired", why == grpc.StatusCode.PERMISSION_DENIED and late < 4, "%s %.1f s late" % (why, late))


def entries(one, two):
    for here, there in ((one, two), (two, one)):
        answer = here.api("PUT", "spiffe/entries", {"spiffe_id": here.id, "selectors": ["unix:uid:%d" % os.getuid()],
                                                    "federates_with": [there.domain]})
        case("an entry that federates", answer.code == 200, answer)


def by_go(one, two):
    program, why = build(ROOT / "test" / "e2e" / "go-spiffe", "go-spiffe")
    if program is None:
        skip("federation by go-spiffe", why)
        return
    world = {name: {"domain": s.domain, "socket": "unix://" + s.socket, "web_url": s.web_url, "web_ca": s.ca_pem, "spiffe_url": s.url,
                    "endpoint_id": s.endpoint_id, "id": s.id} for name, s in (("one", one), ("two", two))}
    done = subprocess.run([program, "federation"], input=json.dumps(world).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    report("go-spiffe", done, 20)


def report(who, done, least):
    said = [line.partition(" ")[::2] for line in done.stdout.decode(errors="replace").split("\n")]
    said = [(kind, rest) for kind, rest in said if kind in ("passed", "failed")]
    for kind, rest in said:
        name, _, why = rest.partition(": ")
        case("%s: %s" % (who, name), kind == "passed", why)
    case("%s runs to its end" % who, done.returncode == 0 and len(said) >= least, done.stdout[-1000:])


def policy(one, two):
    """allowed_ids counts for what workloads validate, too."""
    two.api("PUT", "spiffe/federation/" + one.domain, {"allowed_ids": "spiffe://example.org/ns/test/**"})
    if grpc is None:
        skip("allowed_ids in ValidateJWTSVID", "the package grpcio is missing")
        return
    token = fetch_jwt(one)
    case("an id that the relationship does not take is invalid", validate(two, token) == grpc.StatusCode.INVALID_ARGUMENT)
    two.api("PUT", "spiffe/federation/" + one.domain, {"allowed_ids": "spiffe://example.org/ns/prod/**"})
    case("one that it takes is valid", validate(two, token) is None)


def call_once(side, method, message):
    with grpc.insecure_channel("unix://" + side.socket) as channel:
        return channel.unary_unary("/SpiffeWorkloadAPI/" + method, lambda b: b, lambda b: b)(message, metadata=HEADER, timeout=10)


def fetch_jwt(side):
    answer = call_once(side, "FetchJWTSVID", b"\x0a\x05audit")
    return answer[answer.index(b"ey"):].split(b"\x1a")[0].decode()


def validate(side, token):
    raw, size = token.encode(), len(token)
    message = b"\x0a\x05audit\x12" + bytes([size & 127 | 128, size >> 7]) + raw
    try:
        call_once(side, "ValidateJWTSVID", message)
    except grpc.RpcError as error:
        return error.code()
    return None


def body():
    with tempfile.TemporaryDirectory(prefix="merlon-fed-") as tmp:
        folder = pathlib.Path(tmp)
        one, two = [Side(domain, folder) for domain in DOMAINS]
        try:
            for side in (one, two):
                side.ca = folder / (side.domain + ".pem")
                side.ca_pem = ssl.get_server_certificate(("127.0.0.1", side.server.port))
                side.ca.write_text(side.ca_pem)
            endpoint(one)
            ticks(one)
            federate(one, two, folder)
            refusals(one, two)
            rotation(one, two)
            upstream(one, two)
            entries(one, two)
            by_go(one, two)
            upstream_gone(one)
            policy(one, two)
            one.server.end()
            answer = two.api("PUT", "spiffe/federation/%s/refresh" % one.domain)
            case("an endpoint that is gone is told", answer.code >= 500, answer)
            case("what is held stays", len(two.api("GET", "spiffe/bundles/" + one.domain).data["bundle"]["keys"]) >= 2)
        finally:
            one.server.stop()
            two.server.stop()


if __name__ == "__main__":
    finish(body, "spiffe_federation")
