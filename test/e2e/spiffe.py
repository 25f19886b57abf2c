#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The workload socket as others speak it: go-spiffe by wlbench's checks, the Python packages `spiffe` and `grpcio`, Envoy's own messages
(xds-protos) for secret discovery and external authorization, gRPC health.

usage: spiffe.py [MERLON]     (default: $MERLON, else build/merlon)
wlbench is taken from ../shared/spiffe/wlbench or from $WLBENCH (a program that is built); skipped with the reason where it, Go, the network
or the packages are missing.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kit import ROOT, Server, case, finish, skip

GO_MIN = (1, 25)
DOMAIN = "example.org"
TD = "spiffe://" + DOMAIN
ME = TD + "/me"
HEADER = (("workload.spiffe.io", "true"),)
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
FIRST_MS = 50  # from the entry's creation to the SVID at a stream that waits; the machine of a test may be busy, so ten times that is refused


def wlbench():
    """Its program, or None and the reason."""
    if os.environ.get("WLBENCH"):
        return os.environ["WLBENCH"], None
    source = ROOT.parent / "shared" / "spiffe" / "wlbench"
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not source.is_dir():
        return None, "there is no " + str(source)
    found = re.search(r"go(\d+)\.(\d+)", subprocess.run([go, "version"], stdout=subprocess.PIPE).stdout.decode()) if go else None
    if not found or (int(found.group(1)), int(found.group(2))) < GO_MIN:
        return None, "there is no go, or it is older than %d.%d" % GO_MIN
    folder = ROOT / "build-check" / "go"
    program = folder / "wlbench"
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=readonly -modcacherw"}
    with tempfile.TemporaryDirectory() as copy:
        for file in source.iterdir():
            shutil.copyfile(file, pathlib.Path(copy, file.name))
        made = subprocess.run([go, "build", "-buildvcs=false", "-o", program, "."], cwd=copy, env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    said = made.stdout.decode(errors="replace")
    if made.returncode != 0:
        return None, "it cannot be built: " + said[-300:]
    return str(program), None


def entry(server, **members):
    answer = server.api("POST", "spiffe/entries", {"spiffe_id": ME, "selectors": ["unix:uid:%d" % os.getuid()], **members})
    case("an entry is made", answer.code == 200, answer)
    return answer.data.get("id") or answer.data.get("entry", {}).get("id")


def by_wlbench(address):
    program, why = wlbench()
    if program is None:
        skip("wlbench conform", why)
        return
    done = subprocess.run([program, "conform", "-socket", address, "-expect", ME], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    rows = []
    for line in done.stdout.decode(errors="replace").split("\n"):
        try:
            rows.append(json.loads(line))
        except ValueError:
            pass
    for row in rows:
        if row.get("result") in ("FAIL", "WARN"):
            case("wlbench: " + row["check"], False, row["detail"])
    sums = [row for row in rows if row.get("summary")]
    case("wlbench conform", done.returncode == 0 and len(sums) == 1 and sums[0]["pass"] >= 98 and sums[0]["fail"] == sums[0]["warn"] == 0,
         done.stdout.decode(errors="replace")[-400:])


def by_python(address):
    """The sources of the package `spiffe`, in a process of their own: it reads the environment once."""
    text = """
from spiffe import WorkloadApiClient, X509Source, JwtSource
with WorkloadApiClient() as c:
    print("x509", c.fetch_x509_svid().spiffe_id)
    print("bundles", c.fetch_x509_bundles() is not None, c.fetch_jwt_bundles() is not None)
    j = c.fetch_jwt_svid(audience={"aud1"})
    print("jwt", j.spiffe_id, c.validate_jwt_svid(j.token, audience="aud1").spiffe_id)
    try:
        c.validate_jwt_svid(j.token, audience="other"); print("wrong audience taken")
    except Exception as e:
        print("refused", type(e).__name__)
with X509Source() as x: print("X509Source", x.svid.spiffe_id)
with JwtSource() as x: print("JwtSource", x.fetch_svid(audience={"a", "b"}).spiffe_id)
"""
    done = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env={**os.environ, "SPIFFE_ENDPOINT_SOCKET": address})
    want = "x509 %s\nbundles True True\njwt %s %s\nrefused JwtSvidError\nX509Source %s\nJwtSource %s\n" % (ME, ME, ME, ME, ME)
    said = done.stdout.decode()
    case("package spiffe: sources", re.sub(r"refused \w+", "refused", said) == re.sub(r"refused \w+", "refused", want),
         said + done.stderr.decode()[-500:])


class Pump:
    """Messages of a stream with a deadline for each."""

    def __init__(self, call):
        import queue
        import threading
        self.queue = queue.Queue()
        self.call = call
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        import grpc
        try:
            for message in self.call:
                self.queue.put(message)
            self.queue.put(None)
        except grpc.RpcError as error:
            self.queue.put(error)

    def next(self, seconds=10):
        return self.queue.get(timeout=seconds)

    def quiet(self, seconds):
        time.sleep(seconds)
        return self.queue.empty()


def code_of(thing):
    return thing.code().name if hasattr(thing, "code") else "message"


def raw(channel, method, kind="unary_stream"):
    return getattr(channel, kind)(method, request_serializer=lambda b: b, response_deserializer=lambda b: b)


def pushes(server, address):
    """What changes is pushed at once, whole; what ends is refused."""
    import grpc
    with grpc.insecure_channel(address) as channel:
        fetch = raw(channel, "/SpiffeWorkloadAPI/FetchX509SVID")
        case("without an entry: refused", code_of(Pump(fetch(b"", metadata=HEADER)).next()) == "PERMISSION_DENIED")
        case("without the header: refused", code_of(Pump(fetch(b"")).next()) == "INVALID_ARGUMENT")
        first = entry(server)
        started = time.monotonic()
        stream = Pump(fetch(b"", metadata=HEADER))
        one = stream.next()
        case("first SVID", code_of(one) == "message" and ME.encode() in one, one)
        took = (time.monotonic() - started) * 1000
        case("first SVID within %d ms" % (FIRST_MS * 10), took < FIRST_MS * 10, "%.1f ms" % took)
        other = entry(server, spiffe_id=TD + "/second", hint="h2")
        two = stream.next()
        case("a second entry is pushed, with the first", code_of(two) == "message" and ME.encode() in two and b"/second" in two, two)
        server.api("POST", "spiffe/entries", {"spiffe_id": TD + "/of-others", "selectors": ["unix:uid:4000000"]})
        case("entries of others are not told", stream.quiet(0.7))
        server.api("DELETE", "spiffe/entries/" + other)
        three = stream.next()
        case("an entry's end is pushed", code_of(three) == "message" and b"/second" not in three, three)
        server.api("DELETE", "spiffe/entries/" + first)
        case("the last entry's end ends the stream", code_of(stream.next()) == "PERMISSION_DENIED")


def by_envoy(server, address):
    import grpc
    from envoy.config.core.v3 import base_pb2
    from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_spiffe_validator_config_pb2
    from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2, external_auth_pb2_grpc
    from envoy.service.discovery.v3 import discovery_pb2
    from envoy.service.secret.v3 import sds_pb2_grpc
    from google.rpc import status_pb2
    import queue

    def secrets(response):
        found = {}
        for resource in response.resources:
            secret = secret_pb2.Secret()
            assert resource.Unpack(secret)
            found[secret.name] = secret
        return found

    with grpc.insecure_channel(address) as channel:
        sds = sds_pb2_grpc.SecretDiscoveryServiceStub(channel)
        requests = queue.Queue()
        stream = Pump(sds.StreamSecrets(iter(requests.get, None)))
        node = base_pb2.Node(id="envoy", cluster="c")
        requests.put(discovery_pb2.DiscoveryRequest(node=node, resource_names=["default", "ROOTCA", "ALL"], type_url=SECRET))
        one = stream.next()
        held = secrets(one)
        pem = held["default"].tls_certificate
        case("SDS: default", pem.certificate_chain.inline_bytes.startswith(b"-----BEGIN CERTIFICATE-----")
             and b"PRIVATE KEY" in pem.private_key.inline_bytes, held)
        case("SDS: ROOTCA", held["ROOTCA"].validation_context.trusted_ca.inline_bytes.startswith(b"-----BEGIN CERTIFICATE-----"), held)
        config = tls_spiffe_validator_config_pb2.SPIFFECertValidatorConfig()
        custom = held["ALL"].validation_context.custom_validator_config
        case("SDS: ALL", custom.name == "envoy.tls.cert_validator.spiffe" and custom.typed_config.Unpack(config)
             and [d.name for d in config.trust_domains] == [DOMAIN], held)
        requests.put(discovery_pb2.DiscoveryRequest(version_info=one.version_info, response_nonce=one.nonce,
                                                    resource_names=["default", "ROOTCA", "ALL"], type_url=SECRET))
        case("SDS: an ACK is not answered", stream.quiet(0.5))
        more = entry(server, spiffe_id=TD + "/more")
        case("SDS: what is not asked for is not sent", stream.quiet(0.7))
        requests.put(discovery_pb2.DiscoveryRequest(response_nonce=one.nonce, resource_names=[TD + "/more", TD], type_url=SECRET,
                                                    error_detail=status_pb2.Status(code=3, message="no")))
        two = stream.next()
        case("SDS: other names", set(secrets(two)) == {TD + "/more", TD} and two.nonce != one.nonce, two)
        server.api("DELETE", "spiffe/entries/" + more)
        case("SDS: a name that is gone", code_of(stream.next()) == "INVALID_ARGUMENT")
        requests.put(None)
        fetched = sds.FetchSecrets(discovery_pb2.DiscoveryRequest(resource_names=[ME], type_url=SECRET), timeout=10)
        case("SDS: fetch", set(secrets(fetched)) == {ME})
        for name, call in (("SDS: an unknown name", lambda: sds.FetchSecrets(discovery_pb2.DiscoveryRequest(resource_names=["x"]), timeout=10)),
                           ("SDS: another type", lambda: sds.FetchSecrets(discovery_pb2.DiscoveryRequest(type_url="x"), timeout=10))):
            try:
                call()
                case(name, False, "taken")
            except grpc.RpcError as error:
                case(name, code_of(error) == "INVALID_ARGUMENT", error)
        delta = Pump(sds.DeltaSecrets(iter([discovery_pb2.DeltaDiscoveryRequest()])))
        case("SDS: delta is not implemented", code_of(delta.next()) == "UNIMPLEMENTED")

        authz = external_auth_pb2_grpc.AuthorizationStub(channel)

        def check(who, method, path):
            http = attribute_context_pb2.AttributeContext.HttpRequest(method=method, path=path, host="h", headers={"authorization": "secret"})
            asked = attribute_context_pb2.AttributeContext(
                source=attribute_context_pb2.AttributeContext.Peer(principal=who),
                destination=attribute_context_pb2.AttributeContext.Peer(principal=ME),
                request=attribute_context_pb2.AttributeContext.Request(http=http))
            got = authz.Check(external_auth_pb2.CheckRequest(attributes=asked), timeout=10)
            return got.status.code, got.WhichOneof("http_response"), got.denied_response.status.code

        web = TD + "/web/1"
        case("authz: without a rule", check(web, "GET", "/a") == (7, "denied_response", 403), check(web, "GET", "/a"))
        rules = (("read", {"effect": "allow", "principals": [TD + "/web/*"], "methods": ["GET"], "paths": ["/*"]}),
                 ("not-admin", {"effect": "deny", "paths": ["/admin*"]}))
        for name, rule in rules:
            answer = server.api("POST", "spiffe/authz/rules/" + name, rule)
            case("authz: rule " + name, answer.code == 204, answer)
        rows = ((web, "GET", "/a?x=1", 0), (web, "POST", "/a", 7), (TD + "/db", "GET", "/a", 7), (web, "GET", "/admin/x", 7),
                (web, "GET", "/b/../admin", 7), (web, "GET", "/%61dmin", 7), (web, "GET", "/a%20b", 0), ("", "GET", "/a", 7), ("CN=web", "GET", "/a", 7))
        for who, method, path, want in rows:
            got = check(who, method, path)
            case("authz: %s %s by %s" % (method, path, who or "nobody"), got[0] == want, got)
        bad = server.api("POST", "spiffe/authz/rules/bad", {"effect": "allow", "principals": ["spiffe://*/x"]})
        case("authz: a star in the middle", bad.code == 400, bad)


def health(server, address):
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        case("health: the server", stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1)
        case("health: the Workload API", stub.Check(health_pb2.HealthCheckRequest(service="SpiffeWorkloadAPI"), timeout=10).status == 1)
        try:
            stub.Check(health_pb2.HealthCheckRequest(service="no.such"), timeout=10)
            case("health: an unknown service", False)
        except grpc.RpcError as error:
            case("health: an unknown service", code_of(error) == "NOT_FOUND", error)
        watch = Pump(stub.Watch(health_pb2.HealthCheckRequest()))
        case("health: watch begins", watch.next().status == 1)
        server.api("POST", "sys/seal")
        case("health: a sealed server does not serve", watch.next(15).status == 2)
        fetch = raw(channel, "/SpiffeWorkloadAPI/FetchX509SVID")
        case("sealed: try again later", code_of(Pump(fetch(b"", metadata=HEADER)).next()) == "UNAVAILABLE")


def front_dies(server, address):
    """Streams break and come back; nothing else is lost."""
    import grpc
    with grpc.insecure_channel(address) as channel:
        fetch = raw(channel, "/SpiffeWorkloadAPI/FetchX509SVID")
        stream = Pump(fetch(b"", metadata=HEADER))
        case("before front dies", code_of(stream.next()) == "message")
        os.kill(server.process("merlon-front")[0], signal.SIGKILL)
        case("when front dies", code_of(stream.next()) in ("UNAVAILABLE", "CANCELLED", "UNKNOWN"))
        end, got = time.monotonic() + 10, None
        while time.monotonic() < end and got != "message":
            got = code_of(Pump(fetch(b"", metadata=HEADER)).next())
            time.sleep(0.05)
        case("after front died", got == "message", got)


def body():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-spiffe-"))
    path = folder / "workload.sock"
    address = "unix://%s" % path
    try:
        with Server("--spiffe-socket", str(path), "--trust-domain", DOMAIN) as server:
            missing = os.environ.get("MERLON_NO_PACKAGES")
            try:
                import grpc, spiffe, grpc_health.v1, envoy.service.secret.v3  # noqa: E401, F401
            except ImportError as error:
                missing = missing or str(error)
            if missing:
                skip("clients of Python", missing)
            else:
                pushes(server, address)
            entry(server, hint="main")
            by_wlbench(address)
            if not missing:
                by_python(address)
                by_envoy(server, address)
                front_dies(server, address)
                health(server, address)
            case("the server stops in order", server.end() == 0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    finish(body, "spiffe")
