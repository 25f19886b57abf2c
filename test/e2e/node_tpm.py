#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nodes that show a TPM 2.0 (swtpm plays it): let in by the digest of its key or by its certificate, and those that are refused.

usage: node_tpm.py [MERLON]     Skips without swtpm, swtpm_setup, openssl, or a merlon that was built without libtss2-dev.
"""
import base64
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

from kit import Server, case, finish, free_port, skip
from node_kit import Node, until

NEEDED = ("swtpm", "swtpm_setup", "swtpm_localca", "openssl")
LABEL = "spiffe://example.org/merlon/node/tpm/"


def two_ports():
    """swtpm's control channel is the port behind its own."""
    while True:
        port = free_port()
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue


class Tpm:
    """One with a certificate of an authority of its own (has_certificate), or one fresh from nowhere that has neither."""

    def __init__(self, folder, name, has_certificate):
        self.folder, self.port = folder / name, two_ports()
        self.folder.mkdir()
        self.hash = self.make() if has_certificate else None
        self.child = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", "dir=%s" % self.folder, "--server",
                                       "type=tcp,port=%d,bindaddr=127.0.0.1" % self.port, "--ctrl", "type=tcp,port=%d,bindaddr=127.0.0.1" % (self.port + 1),
                                       "--flags", "not-need-init,startup-clear"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.how = ("--tpm", "swtpm:host=127.0.0.1,port=%d" % self.port)
        until(self.listens)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port + 1)) == 0

    def make(self):
        ca = self.folder / "ca"
        ca.mkdir()
        (self.folder / "localca.conf").write_text("statedir = %s\nsigningkey = %s/key.pem\nissuercert = %s/ca.pem\ncertserial = %s/serial\n" %
                                                  (ca, ca, ca, ca))
        (self.folder / "localca.options").write_text("--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n")
        (self.folder / "setup.conf").write_text("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\n"
                                                "active_pcr_banks = sha256\n" % (shutil.which("swtpm_localca"), self.folder / "localca.conf",
                                                                                 self.folder / "localca.options"))
        subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", str(self.folder), "--config", str(self.folder / "setup.conf"), "--create-ek-cert",
                        "--write-ek-cert-files", str(self.folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.ca = (ca / "ca.pem").read_text()
        cert = next(path for path in self.folder.glob("ek-rsa*"))
        key = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", str(cert), "-pubkey", "-noout"], check=True, stdout=subprocess.PIPE).stdout
        return hashlib.sha256(base64.b64decode(b"".join(key.splitlines()[1:-1]))).hexdigest()

    def stop(self):
        self.child.terminate()
        self.child.wait(10)


class Between:
    """Stands between node and server: keeps what the node shows, and changes it when told to."""

    def __init__(self, server):
        self.port, self.shown, self.change = free_port(), [], None
        self.is_whole = False
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.endswith("/nodes/attest"):
                    between.shown.append(json.loads(body))
                    if between.change is not None:
                        changed = json.loads(body)
                        between.change(changed if between.is_whole else changed["payload"])
                        body = json.dumps(changed).encode()
                link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
                link.request(self.command, self.path, body or None, {k: v for k, v in self.headers.items() if k.lower().startswith("x-vault")})
                answer = link.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = pass_on

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Nodes:
    def __init__(self, server, folder):
        self.server, self.folder, self.n = server, folder, 0

    def start(self, *how, by=None):
        home = self.folder / ("n%d" % self.n)
        home.mkdir()
        self.n += 1
        return Node(by or self.server, home, *how)

    def joins(self, what, tpm, hash_of_it, by=None):
        node = self.start(*tpm.how, by=by)
        case(what, until(lambda: "attested as " + LABEL + hash_of_it in node.printed()), node.printed()[-500:])
        return node

    def is_refused(self, what, tpm, why, by=None):
        node = self.start(*tpm.how, by=by)
        ended = until(lambda: node.child.poll() is not None)
        case(what + " is refused", ended and node.child.returncode != 0 and "attested as" not in node.printed() and
             "this node is not attested" in node.printed(), node.printed()[-500:])
        self.end(node)
        case(what + ": the server's log says why, the node's does not", why in self.server.printed() and why not in node.text,
             self.server.printed()[-700:])

    def end(self, node):
        node.stop()
        node.text = node.printed()
        node.log.close()


def flip(name, at):
    """Change one bit of what is shown there."""
    def change(payload):
        bytes_of_it = bytearray(base64.b64decode(payload[name]))
        bytes_of_it[at] ^= 1
        payload[name] = base64.b64encode(bytes(bytes_of_it)).decode()
    return change


def configure(server, **what):
    made = server.api("POST", "spiffe/nodes/config", what)
    return made.code == 204 or made.data


def by_digest(nodes, server, one, other):
    nodes.is_refused("a TPM while none is configured", one, "tpm is not configured")
    case("digests that are none are refused", server.api("POST", "spiffe/nodes/config", {"tpm_ek_hashes": ["ab"]}).code == 400)
    case("an authority that is none is refused", server.api("POST", "spiffe/nodes/config", {"tpm_ca": "x"}).code == 400)
    case("the digest of a TPM's key", configure(server, tpm_ek_hashes=[one.hash]))
    node = nodes.joins("a machine with its TPM", one, one.hash)
    case("it serves, under its sandbox", until(lambda: "ready" in node.printed()) and node.processes().get("merlon-node", False), node.processes())
    name = server.api("LIST", "spiffe/nodes/list").data["keys"][0]
    shown = server.api("GET", "spiffe/nodes/list/" + name).data
    case("the server knows what it showed", shown["method"] == "tpm" and shown["facts"]["ek_hash"] == one.hash and
         shown["facts"]["trusted_by"] == "tpm_ek_hashes" and len(shown["facts"]["pcr_digest"]) == 64, shown)
    before = node.printed().count("attested as")
    server.api("DELETE", "spiffe/nodes/list/" + name)
    case("put out, it shows its TPM again, out of the sandbox", until(lambda: node.printed().count("attested as") > before), node.printed()[-500:])
    nodes.is_refused("another TPM", other, "is not in tpm_ek_hashes")
    case("the digest is taken away", configure(server, tpm_ek_hashes=[]))
    server.api("DELETE", "spiffe/nodes/list/" + name)
    case("it is refused from then on", until(lambda: "the server is not asked: the server answers 403" in node.printed()), node.printed()[-500:])
    nodes.end(node)
    nodes.is_refused("and at its next start", one, "tpm is not configured")


def by_certificate(nodes, server, one, other):
    case("the authority of another maker", configure(server, tpm_ca=other.ca))
    nodes.is_refused("a TPM of another maker", one, "the certificate is not trusted: unable to get local issuer certificate")
    case("the authority of its maker", configure(server, tpm_ca=one.ca))
    nodes.end(nodes.joins("a machine whose TPM has a certificate", one, one.hash))
    shown = [server.api("GET", "spiffe/nodes/list/" + name).data for name in server.api("LIST", "spiffe/nodes/list").data["keys"]]
    case("it is trusted by its certificate", [s["facts"]["trusted_by"] for s in shown] == ["tpm_ca"], shown)


def fresh(nodes, server, bare):
    """A TPM in which nobody left a key: it is made. The refusal names its digest, for the administrator."""
    nodes.is_refused("a TPM without a certificate", bare, "and there is no certificate of it")
    line = next(line for line in server.printed().splitlines() if "and there is no certificate of it" in line)
    digest = line.split("the endorsement key ")[1].split()[0]
    case("its digest from the server's log", configure(server, tpm_ek_hashes=[digest]))
    nodes.end(nodes.joins("lets it in", bare, digest))


def changed_on_the_way(nodes, server, one, other):
    between = Between(server)
    case("digests of both", configure(server, tpm_ek_hashes=[one.hash, other.hash]))
    nodes.end(nodes.joins("through somebody who only listens", one, one.hash, by=between))
    first = between.shown[-1]
    again = server.api("POST", "spiffe/nodes/attest", first)
    case("what was shown does not count twice", again.code == 403 and "a challenge that was used, or is older than one that was" in server.printed(), again)
    for what, change, why in (
            ("a changed secret", flip("secret", 0), "the credential was not opened"),
            ("a changed quote", flip("quote", 60), "a quote that is not signed by the attestation key"),
            ("a changed signature", flip("signature", 20), "a quote that is not signed by the attestation key"),
            ("a challenge of ours, but another one", lambda p: p.update(nonce=first["payload"]["nonce"]), "the credential was not opened"),
            ("a challenge of somebody else's", lambda p: p.update(nonce="1." + "0" * 32 + "." + "0" * 64), "a challenge that is old or none of ours"),
            ("a quote of before", lambda p: p.update(quote=first["payload"]["quote"], signature=first["payload"]["signature"]),
             "a quote over something else than this challenge and request"),
            ("another TPM's key", lambda p: p.update(ek=nodes.other_ek), "the credential was not opened"),
            ("an attestation key that is not restricted", flip("ak", 5), "an attestation key must be"),
            ("an endorsement key that is cut", lambda p: p.update(ek=p["ek"][:40]), "this is no public area")):
        between.change = change
        nodes.is_refused(what, one, why, by=between)
    between.is_whole, between.change = True, lambda all_of_it: all_of_it.update(csr=first["csr"])
    nodes.is_refused("another request with what was shown", one, "a quote over something else than this challenge and request", by=between)
    between.server.shutdown()


def body():
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return skip("nodes that show a TPM", "there is no %s" % ", ".join(missing))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-tpm-"))
    os.chmod(folder, 0o755)
    server = Server("--trust-domain", "example.org")
    server.printed = lambda: (server.out.seek(0), server.out.read().decode(errors="replace"))[1]
    nodes, tpms = Nodes(server, folder), []
    try:
        tpms = [Tpm(folder, "one", True), Tpm(folder, "other", True), Tpm(folder, "bare", False)]
        one, other, bare = tpms
        probe = nodes.start(*one.how)
        until(lambda: probe.child.poll() is not None)
        nodes.end(probe)
        for why in ("was built without support for TPMs", "needs libraries that are not there"):
            if why in probe.text:
                return skip("nodes that show a TPM", "this merlon " + why)
        by_digest(nodes, server, one, other)
        by_certificate(nodes, server, one, other)
        fresh(nodes, server, bare)
        between = Between(server)
        configure(server, tpm_ek_hashes=[other.hash])
        nodes.end(nodes.joins("the other machine", other, other.hash, by=between))
        nodes.other_ek = between.shown[-1]["payload"]["ek"]
        between.server.shutdown()
        changed_on_the_way(nodes, server, one, other)
        nowhere = nodes.start("--tpm", str(folder / "nothing"))
        until(lambda: nowhere.child.poll() is not None)
        nodes.end(nowhere)
        case("a device that is not there is named", "there is no TPM 2.0 at %s" % (folder / "nothing") in nowhere.text, nowhere.text[-300:])
    finally:
        for tpm in tpms:
            tpm.stop()
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


finish(body, "node_tpm.py")
