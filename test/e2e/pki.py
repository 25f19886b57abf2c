#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A certificate authority on a live server, judged by openssl (verify, ocsp, crl, req) and, where it is installed, by PyPI's hvac.

usage: pki.py [MERLON]
"""
import pathlib
import shutil
import subprocess
import tempfile

from kit import TOKEN, Server, case, finish, skip

try:
    import hvac
    import hvac.exceptions as errors
except ImportError:
    hvac = None

KINDS = (("rsa", 2048), ("ec", 256), ("ec", 521), ("ed25519", 0))


def openssl(*args):
    """Output and errors of one call as text; "" in front when it failed."""
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, timeout=60)
    return ("" if done.returncode == 0 else "failed: ") + done.stdout + done.stderr


def ocsp(port, mount, where, digest):
    out = openssl("ocsp", "-" + digest, "-issuer", where / "root.pem", "-cert", where / "leaf.pem", "-CAfile", where / "root.pem",
                  "-url", "http://127.0.0.1:%d/v1/%s/ocsp" % (port, mount))
    return "Response verify OK" in out and ("good" if ": good" in out else "revoked" if ": revoked" in out else out)


def authority(api, port, where, kind, bits):
    """A root, a leaf, its revocation, a request signed: all for one kind of key."""
    mount, name = "pki-%s-%d" % (kind, bits), "%s %d" % (kind, bits)
    api("POST", "/v1/sys/mounts/" + mount, {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
    key = {"key_type": kind, "key_bits": bits}
    root = api("POST", "/v1/%s/root/generate/internal" % mount, {"common_name": "Root", "ttl": "8000h", **key})
    case(name + ": root", root.code == 200, root)
    api("POST", "/v1/%s/roles/r" % mount, {"allow_any_name": True, **key})
    leaf = api("POST", "/v1/%s/issue/r" % mount, {"common_name": "a.example.com", "ip_sans": "10.0.0.1", "ttl": "1h"}).data
    (where / "root.pem").write_text(root.data["certificate"] + "\n")
    (where / "leaf.pem").write_text(leaf["certificate"] + "\n")
    (where / "leaf.key").write_text(leaf["private_key"] + "\n")
    case(name + ": openssl verifies the leaf", "OK" in openssl("verify", "-x509_strict", "-CAfile", where / "root.pem", where / "leaf.pem"))
    case(name + ": the key is the leaf's", openssl("x509", "-in", where / "leaf.pem", "-pubkey", "-noout") == openssl("pkey", "-in", where / "leaf.key", "-pubout"))
    case(name + ": ocsp: good", ocsp(port, mount, where, "sha1") == "good")
    api("POST", "/v1/%s/revoke" % mount, {"serial_number": leaf["serial_number"]})
    case(name + ": ocsp: revoked", ocsp(port, mount, where, "sha256") == "revoked")
    (where / "crl.pem").write_bytes(api("GET", "/v1/%s/crl/pem" % mount).body)
    case(name + ": openssl verifies the list", "verify OK" in openssl("crl", "-in", where / "crl.pem", "-CAfile", where / "root.pem", "-noout"))
    case(name + ": openssl sees the revocation", "certificate revoked" in openssl(
        "verify", "-crl_check", "-CRLfile", where / "crl.pem", "-CAfile", where / "root.pem", where / "leaf.pem"))
    openssl("req", "-new", "-key", where / "leaf.key", "-subj", "/CN=b.example.com", "-out", where / "csr.pem")
    signed = api("POST", "/v1/%s/sign/r" % mount, {"csr": (where / "csr.pem").read_text(), "ttl": "1h"})
    (where / "leaf.pem").write_text(signed.data["certificate"] + "\n")
    case(name + ": a request of openssl", "OK" in openssl("verify", "-x509_strict", "-CAfile", where / "root.pem", where / "leaf.pem"))


def client(url):
    """What hvac's class Pki can do."""
    own = hvac.Client(url=url, token=TOKEN)
    pki = own.secrets.pki
    for mount in ("pki", "int"):
        own.sys.enable_secrets_engine("pki", path=mount, config={"max_lease_ttl": "87600h"})
    root = pki.generate_root("exported", "Root", extra_params={"key_type": "ec", "ttl": "8000h"})["data"]
    case("hvac: urls", pki.set_urls({"ocsp_servers": ["http://x/o"]})["data"]["ocsp_servers"] == ["http://x/o"])
    case("hvac: crl settings", pki.set_crl_configuration("48h", False)["data"]["expiry"] == "48h")
    case("hvac: ca", pki.read_ca_certificate() == root["certificate"] == pki.read_ca_certificate_chain())
    pki.create_or_update_role("web", {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec"})
    case("hvac: roles", pki.list_roles()["data"]["keys"] == ["web"] and pki.read_role("web")["data"]["key_bits"] == 256)
    leaf = pki.generate_certificate("web", "a.example.com", extra_params={"ttl": "1h"})["data"]
    case("hvac: read", pki.read_certificate(leaf["serial_number"])["data"]["certificate"] == leaf["certificate"])
    case("hvac: list", leaf["serial_number"] in pki.list_certificates()["data"]["keys"])
    case("hvac: revoke", pki.revoke_certificate(leaf["serial_number"])["data"]["state"] == "revoked" and pki.rotate_crl()["data"]["success"])
    case("hvac: crl", "BEGIN X509 CRL" in pki.read_crl())
    csr = pki.generate_intermediate("internal", "Int", extra_params={"key_type": "ec"}, mount_point="int")["data"]["csr"]
    signed = pki.sign_intermediate(csr, "Int", extra_params={"ttl": "100h"})["data"]
    case("hvac: intermediate", len(pki.set_signed_intermediate(signed["certificate"], mount_point="int")["data"]["imported_issuers"]) == 1)
    case("hvac: verbatim", pki.sign_verbatim(csr)["data"]["issuing_ca"] == root["certificate"])
    case("hvac: self-issued", "certificate" in pki.sign_self_issued(root["certificate"])["data"])
    bundle = pki.submit_ca_information(root["certificate"] + "\n" + root["private_key"], mount_point="int")["data"]
    case("hvac: bundle", len(bundle["imported_keys"]) == 1)
    try:
        pki.generate_certificate("web", "a.other.com")
        case("hvac: a name that is not allowed", False)
    except errors.InvalidRequest as error:
        case("hvac: a name that is not allowed", "common name a.other.com not allowed by this role" in str(error), error)
    case("hvac: tidy", pki.tidy({"tidy_cert_store": True}).status_code == 202)
    case("hvac: issuers", pki.update_issuer("default", {"issuer_name": "first"})["data"]["issuer_name"] == "first")
    pki.revoke_issuer("first")
    pki.delete_issuer("first")
    pki.delete_root(mount_point="int")


def body():
    if shutil.which("openssl") is None:
        return skip("pki", "openssl is not installed")
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        for kind, bits in KINDS:
            authority(server.api, server.port, pathlib.Path(folder), kind, bits)
        if hvac is None:
            skip("pki: hvac", "the package hvac is not installed")
        else:
            client("http://127.0.0.1:%d" % server.port)
    return None


if __name__ == "__main__":
    finish(body, "pki")
