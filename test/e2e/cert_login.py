#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logins by TLS client certificate against a server of its own, with certificates that openssl makes and curl shows."""
import json
import pathlib
import subprocess
import tempfile

import kit

URL = "https://localhost:%d/v1/"


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def key(folder, name):
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")


def own(folder, name, ext):
    key(folder, name)
    openssl(folder, "req", "-x509", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-days", "2", "-out", name + ".pem",
            *[x for e in ext for x in ("-addext", e)])


def signed(folder, name, by, ext="extendedKeyUsage=clientAuth"):
    key(folder, name)
    (folder / (name + ".ext")).write_text(ext + "\n")
    openssl(folder, "req", "-new", "-key", name + ".key", "-subj", "/CN=%s/OU=ops" % name, "-out", name + ".csr")
    openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA", by + ".pem", "-CAkey", by + ".key", "-set_serial", "4660",
            "-days", "2", "-out", name + ".pem", "-extfile", name + ".ext")


def ask(port, folder, path, body=None, cert=None, token=None, verb="POST", key_of=None):
    """(status, JSON) by curl; status 0: no connection."""
    args = ["curl", "-s", "--cacert", folder / "server.pem", "-X", verb, "-w", "\n%{http_code}", URL % port + path]
    if cert:
        args += ["--cert", folder / (cert + ".pem"), "--key", folder / ((key_of or cert) + ".key")]
    if token:
        args += ["-H", "X-Vault-Token: " + token]
    if body is not None:
        args += ["-d", json.dumps(body)]
    text = subprocess.run(list(map(str, args)), stdout=subprocess.PIPE, timeout=30).stdout.decode().rsplit("\n", 1)
    return int(text[-1] or 0), json.loads(text[0]) if text[0].strip() else {}


def logins(port, folder, root):
    def post(path, body, **more):
        return ask(port, folder, path, body, token=root, **more)

    ca = (folder / "authority.pem").read_text()
    kit.case("mount", post("sys/auth/cert", {"type": "cert"})[0] == 204)
    kit.case("an entry", post("auth/cert/certs/web", {"certificate": ca, "token_policies": "p", "token_ttl": 60,
                                                      "allowed_common_names": "web*"})[0] == 204)
    status, answer = ask(port, folder, "auth/cert/login", {}, cert="web1")
    auth = answer.get("auth") or {}
    kit.case("a certificate logs in", status == 200 and auth["policies"] == ["default", "p"], (status, answer))
    meta = auth.get("metadata") or {}
    kit.case("its metadata", meta.get("cert_name") == "web" and meta.get("common_name") == "web1"
             and meta.get("serial_number") == "4660", meta)
    refused = [("no certificate", None, None, "client certificate must be supplied"),
               ("another name", "mail1", None, "failed to match all constraints for this login certificate"),
               ("another authority", "stranger", None, "invalid certificate or no client certificate supplied")]
    for name, cert, key_of, text in refused:
        status, answer = ask(port, folder, "auth/cert/login", {}, cert=cert, key_of=key_of)
        kit.case(name + " is refused", status == 400 and answer["errors"] == [text], (status, answer))
    token = auth.get("client_token")
    status, answer = ask(port, folder, "auth/token/lookup-self", token=token, verb="GET")
    kit.case("the token works without the certificate", status == 200 and answer["data"]["display_name"] == "cert-web", answer)
    openssl(folder, "ca", "-config", "ca.cnf", "-revoke", "web1.pem", "-keyfile", "authority.key", "-cert", "authority.pem")
    openssl(folder, "ca", "-config", "ca.cnf", "-gencrl", "-out", "list.pem", "-keyfile", "authority.key", "-cert", "authority.pem")
    kit.case("a revocation list", post("auth/cert/crls/a", {"crl": (folder / "list.pem").read_text()})[0] == 204)
    status, answer = ask(port, folder, "auth/cert/login", {}, cert="web1")
    kit.case("a revoked certificate is refused", status == 400, (status, answer))


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-cert-"))
    own(folder, "server", ["subjectAltName=DNS:localhost"])
    own(folder, "authority", [])
    own(folder, "stranger", [])
    signed(folder, "web1", "authority")
    signed(folder, "mail1", "authority")
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text("[ca]\ndefault_ca=x\n[x]\ndatabase=%s/index.txt\ndefault_md=sha256\ndefault_crl_days=1\n" % folder)
    port = kit.free_port()
    config = folder / "merlon.yaml"
    config.write_text(json.dumps({
        "data": str(folder / "data"), "seal": {"type": "shamir"},
        "listeners": [{"address": "127.0.0.1:%d" % port, "tls_cert_file": str(folder / "server.pem"),
                       "tls_key_file": str(folder / "server.key"), "tls_request_client_certs": True}]}))
    server = kit.Server(config=config, port=port, data=folder / "data", wait=False)
    try:
        for _ in range(100):
            status, answer = ask(port, folder, "sys/init", {"secret_shares": 1, "secret_threshold": 1})
            if status == 200:
                break
            kit.time.sleep(0.1)
        root = answer["root_token"]
        ask(port, folder, "sys/unseal", {"key": answer["keys"][0]})
        logins(port, folder, root)
    finally:
        server.stop()
        kit.shutil.rmtree(folder, ignore_errors=True)


kit.finish(main, "cert_login")
