#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes that show a certificate (x509pop) or a token of Kubernetes (PSAT; this program plays the API server), and those that are refused.

usage: node_attest.py [MERLON]     Certificates are made with openssl; without it everything is skipped.
"""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import threading
import time

from kit import Server, case, finish, free_port, skip
from node_kit import Node, until


def openssl(folder, *args):
    subprocess.run(["openssl", *args], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out",
            name + ".pem", "-days", "2", "-subj", "/CN=" + name, "-addext", "keyUsage=critical,keyCertSign")


def leaf(folder, name, by, names=None):
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
            "-subj", "/CN=" + name)
    (folder / "ext").write_text("keyUsage=critical,digitalSignature\n" + ("subjectAltName=%s\n" % names if names else ""))
    openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA", by + ".pem", "-CAkey", by + ".key", "-CAcreateserial", "-out", name + ".pem",
            "-days", "2", "-extfile", "ext")
    return "--cert", str(folder / (name + ".pem")), "--key", str(folder / (name + ".key"))


def jwt(claims):
    """In the form of a token; who signed it is the cluster's to say."""
    parts = ({"alg": "ES256", "kid": "k"}, {name: value for name, value in claims.items() if value is not None})
    return ".".join([base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts] + ["A" * 86])


def no_token(folder):
    (folder / "none").write_text("nonsense\n")
    return "--psat-file", str(folder / "none"), "--cluster", "east"


class Cluster:
    """An API server that reviews tokens: what it says of each is in `says`."""

    def __init__(self, folder):
        self.port, self.says, self.asked = free_port(), {}, []
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                cluster.asked.append((self.path, self.headers.get("Authorization"), body))
                status = cluster.says.get(body["spec"]["token"], {"authenticated": False})
                data = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(folder / "localhost.pem"), str(folder / "localhost.key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def vouched(account="merlon:node", node="0a1b", audience="merlon-server"):
    extra = {"authentication.kubernetes.io/node-name": ["worker-1"], "authentication.kubernetes.io/node-uid": [node]} if node else {}
    return {"authenticated": True, "audiences": [audience],
            "user": {"username": "system:serviceaccount:" + account, "uid": "1", "groups": ["system:serviceaccounts"], "extra": extra}}


class Nodes:
    def __init__(self, server, folder):
        self.server, self.folder, self.all = server, folder, []

    def start(self, *how):
        home = self.folder / ("n%d" % len(self.all))
        home.mkdir()
        node = Node(self.server, home, *how)
        self.all.append(node)
        return node

    def joins(self, what, spiffe_id, *how):
        node = self.start(*how)
        case(what, until(lambda: "attested as " + spiffe_id in node.printed()), node.printed()[-500:])
        return node

    def is_refused(self, what, *how):
        node = self.start(*how)
        ended = until(lambda: node.child.poll() is not None)
        case(what + " is refused", ended and node.child.returncode != 0 and "attested as" not in node.printed() and
             "this node is not attested" in node.printed(), node.printed()[-500:])

    def stop(self):
        for node in self.all:
            node.stop()
            node.log.close()


def by_certificate(nodes, server, folder):
    for name in ("machines", "strangers"):
        authority(folder, name)
    ours, theirs = leaf(folder, "one", "machines"), leaf(folder, "two", "strangers")
    nodes.is_refused("a certificate while none is configured", *ours)
    made = server.api("POST", "spiffe/nodes/config", {"x509pop_ca": (folder / "machines.pem").read_text()})
    case("an authority of machines", made.code == 204, made.data)
    der = subprocess.run(["openssl", "pkey", "-in", str(folder / "one.key"), "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
    node = nodes.joins("a machine with its certificate", "spiffe://example.org/merlon/node/x509pop/" + hashlib.sha256(der).hexdigest(), *ours)
    nodes.is_refused("another authority's certificate", *theirs)
    nodes.is_refused("a certificate with another's key", *ours[:2], *theirs[2:])
    name = server.api("LIST", "spiffe/nodes/list").data["keys"][0]
    shown = server.api("GET", "spiffe/nodes/list/" + name).data
    case("the server knows it", shown["method"] == "x509pop" and shown["facts"]["common_name"] == "one", shown)
    before = node.printed().count("attested as")
    server.api("DELETE", "spiffe/nodes/list/" + name)
    case("put out, it shows its certificate again", until(lambda: node.printed().count("attested as") > before), node.printed()[-500:])
    server.api("POST", "spiffe/nodes/list/" + name, {"banned": True})
    again = "the server is not asked: the server answers 403"
    case("banned, it is refused whatever it shows", until(lambda: again in node.printed()), node.printed()[-500:])
    node.stop()
    nodes.is_refused("and at its next start", *ours)


def by_token(nodes, server, folder):
    authority(folder, "cluster")
    leaf(folder, "localhost", "cluster", "DNS:localhost")
    cluster = Cluster(folder)
    made = server.api("POST", "spiffe/nodes/config", {"clusters": {"east": {
        "host": "https://localhost:%d" % cluster.port, "ca_cert": (folder / "cluster.pem").read_text(), "token_reviewer_jwt": "reviewer",
        "service_accounts": ["merlon:node"]}}})
    case("a cluster", made.code == 204, made.data)

    def token(name, says=None, where="east", **claims):
        text = jwt({"sub": name, "aud": ["merlon-server"], "exp": int(time.time()) + 600, **claims})
        (folder / name).write_text(text + "\n")
        if says is not None:
            cluster.says[text] = says
        return "--psat-file", str(folder / name), "--cluster", where

    nodes.joins("a node whose token the cluster vouches for", "spiffe://example.org/merlon/node/k8s_psat/east/0a1b", *token("good", vouched()))
    path, bearer, body = cluster.asked[-1]
    case("the cluster was asked as it wants to be", path == "/apis/authentication.k8s.io/v1/tokenreviews" and bearer == "Bearer reviewer" and
         body["spec"] == {"token": (folder / "good").read_text().strip(), "audiences": ["merlon-server"]}, cluster.asked)
    nodes.is_refused("a token that the cluster does not know", *token("unknown"))
    nodes.is_refused("a service account that is not listed", *token("account", vouched("default:default")))
    nodes.is_refused("a user who is no service account", *token("user", {**vouched(), "user": {"username": "merlon:node"}}))
    nodes.is_refused("a token that is bound to no machine", *token("unbound", vouched(node=None)))
    nodes.is_refused("a token for somebody else", *token("audience", vouched(audience="vault")))
    nodes.is_refused("a cluster that is not configured", *token("where", vouched(), "west"))
    nodes.is_refused("a machine's name that makes no id", *token("odd", vouched(node="a b")))
    asked = len(cluster.asked)
    nodes.is_refused("a token that says it is for somebody else", *token("vault", vouched(), aud=["vault"]))
    nodes.is_refused("a token for nobody", *token("nobody", vouched(), aud=None))
    nodes.is_refused("an expired token", *token("old", vouched(), exp=int(time.time()) - 600))
    nodes.is_refused("a token without an end", *token("endless", vouched(), exp=None))
    nodes.is_refused("a token of 9 KiB", *token("long", vouched(), more="x" * 9000))
    nodes.is_refused("text that is no token", *no_token(folder))
    case("and the cluster is not asked about these", len(cluster.asked) == asked, cluster.asked[asked:])


def body():
    if shutil.which("openssl") is None:
        return skip("nodes that show certificates and tokens", "there is no openssl")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-attest-"))
    os.chmod(folder, 0o755)
    server = Server("--trust-domain", "example.org")
    nodes = Nodes(server, folder)
    try:
        by_certificate(nodes, server, folder)
        by_token(nodes, server, folder)
        kept = [node for node in nodes.all if node.child.poll() is None]
        case("those that were let in serve", len(kept) == 1 and "ready" in kept[0].printed(), [n.printed()[-200:] for n in kept])
    finally:
        nodes.stop()
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


finish(body, "node_attest.py")
