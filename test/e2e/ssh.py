#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Certificates of the ssh engine before OpenSSH: what ssh-keygen reads in them, and logins at a real sshd that trusts the authority.

usage: ssh.py [MERLON]
"""
import getpass
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from kit import Server, case, finish, free_port, skip

USER = getpass.getuser()
HOST = "host.example.com"
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


def call(api, verb, path, body=None, want=(200, 204)):
    answer = api(verb, "ssh/" + path, body)
    if answer.code not in want:
        raise RuntimeError("%s %s: %r" % (verb, path, answer))
    return answer.data


def keygen(*args):
    return subprocess.run(["ssh-keygen", *map(str, args)], capture_output=True, text=True, timeout=60)


def new_key(folder, name, kind="ed25519"):
    keygen("-q", "-t", kind, "-N", "", "-C", "test", "-f", folder / name)
    return folder / name, (folder / (name + ".pub")).read_text()


def authority(api, **body):
    call(api, "DELETE", "config/ca")
    return call(api, "POST", "config/ca", body)["public_key"]


def role(api, **more):
    call(api, "POST", "roles/r", {
        "key_type": "ca", "allow_user_certificates": True, "allow_host_certificates": True, "allowed_users": "%s,other" % USER,
        "default_user": USER, "allowed_domains": "example.com", "allow_subdomains": True, "ttl": "10m", "max_ttl": "1h",
        "allowed_extensions": "permit-pty,permit-port-forwarding", "default_extensions": {"permit-pty": ""}, **more})


def shown(folder, line):
    """What ssh-keygen says of a certificate: its lines without white space around."""
    path = folder / "shown-cert.pub"
    path.write_text(line)
    done = keygen("-L", "-f", path)
    return [text.strip() for text in done.stdout.splitlines()] + done.stderr.splitlines()


def reads(api, folder):
    kinds = (("ed25519", 0, "default", "ssh-ed25519"), ("ecdsa-sha2-nistp256", 0, "default", "ecdsa-sha2-nistp256"),
             ("ec", 384, "default", "ecdsa-sha2-nistp384"), ("ecdsa-sha2-nistp521", 0, "default", "ecdsa-sha2-nistp521"),
             ("ssh-rsa", 2048, "default", "rsa-sha2-256"), ("ssh-rsa", 2048, "rsa-sha2-512", "rsa-sha2-512"))
    _, public = new_key(folder, "reads")
    for kind, bits, signer, said in kinds:
        authority(api, key_type=kind, key_bits=bits)
        role(api, algorithm_signer=signer)
        done = call(api, "POST", "sign/r", {"public_key": public, "valid_principals": "other," + USER, "extensions": {
            "permit-port-forwarding": "", "permit-pty": ""}, "critical_options": {"source-address": "127.0.0.1/32"}})
        lines = shown(folder, done["signed_key"])
        case("read: authority %s, %s" % (kind, signer), any(line.endswith("(using %s)" % said) for line in lines), lines)
        case("read: serial", "Serial: %d" % int(done["serial_number"], 16) in lines, lines)
        wanted = ["other", USER, "source-address 127.0.0.1/32", "permit-port-forwarding", "permit-pty"]
        case("read: principals, options, extensions", [line for line in lines if line in wanted] == wanted, lines)
    for kind in ("rsa", "ecdsa"):
        _, public = new_key(folder, "reads-" + kind, kind)
        lines = shown(folder, call(api, "POST", "sign/r", {"public_key": public, "cert_type": "host", "valid_principals": HOST})["signed_key"])
        case("read: host's key of kind %s" % kind, any("host certificate" in line for line in lines) and HOST in lines, lines)


def imports(api, folder):
    for kind, more in (("ed25519", ()), ("rsa", ()), ("ecdsa", ()), ("rsa", ("-m", "PEM")), ("ecdsa", ("-m", "PKCS8"))):
        name = "import-%s%s" % (kind, "-".join(more))
        key, public = new_key(folder, name, kind)
        if more:
            keygen("-q", "-p", "-N", "", *more, "-f", key)
        got = authority(api, generate_signing_key=False, private_key=key.read_text(), public_key=public)
        case("import: %s %s" % (kind, " ".join(more)), got.split() == public.split()[:2], got)
    other = new_key(folder, "import-other")[1]
    call(api, "DELETE", "config/ca")
    answer = api("POST", "ssh/config/ca", {"generate_signing_key": False, "private_key": key.read_text(), "public_key": other})
    case("import: halves of two keys are refused", answer.code == 400 and "do not belong together" in str(answer.errors), answer)


def issues(api, folder):
    authority(api, key_type="ed25519")
    role(api)
    for kind, bits in (("ssh-rsa", 2048), ("ed25519", 0), ("ec", 521)):
        done = call(api, "POST", "issue/r", {"key_type": kind, "key_bits": bits})
        path = folder / ("issued-" + kind)
        path.write_text(done["private_key"])
        path.chmod(0o600)
        read = keygen("-y", "-f", path)
        case("issue: ssh-keygen reads the private %s" % kind, read.stdout.split() == done["public_key"].split(), read.stderr)
        lines = shown(folder, done["signed_key"])
        case("issue: certificate of %s" % kind, any("user certificate" in line for line in lines), lines)


class Sshd:
    """A server for this user on a free port that trusts the authority and shows a certificate of its own."""

    def __init__(self, folder, trusted, key, certificate):
        self.port, self.folder = free_port(), folder
        (folder / "trusted.pub").write_text(trusted)
        (folder / "host-cert.pub").write_text(certificate)
        (folder / "sshd.conf").write_text(
            "ListenAddress 127.0.0.1\nPort %d\nHostKey %s\nHostCertificate %s\nTrustedUserCAKeys %s\nAuthorizedKeysFile none\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPidFile none\n"
            % (self.port, key, folder / "host-cert.pub", folder / "trusted.pub"))
        self.log = open(folder / "sshd.log", "w")
        self.child = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd.conf")], stdout=self.log, stderr=self.log)
        for _ in range(100):
            if "Server listening" in (folder / "sshd.log").read_text() or self.child.poll() is not None:
                break
            time.sleep(0.05)

    def login(self, key, certificate, trusted, command="echo in"):
        (self.folder / "known").write_text("@cert-authority %s %s" % (HOST, trusted))
        path = self.folder / "login-cert.pub"
        path.write_text(certificate)
        options = {"BatchMode": "yes", "IdentitiesOnly": "yes", "UserKnownHostsFile": self.folder / "known", "HostKeyAlias": HOST,
                   "GlobalKnownHostsFile": "/dev/null", "StrictHostKeyChecking": "yes", "CertificateFile": path, "ConnectTimeout": 10,
                   "IdentityAgent": "none"}
        args = [part for name, value in options.items() for part in ("-o", "%s=%s" % (name, value))]
        return subprocess.run(["ssh", "-F", "/dev/null", "-p", str(self.port), "-i", str(key), *args, "%s@127.0.0.1" % USER, command],
                              capture_output=True, text=True, timeout=60)

    def stop(self):
        self.child.terminate()
        self.child.wait(10)
        self.log.close()


def logins(api, folder, kind, bits):
    trusted = authority(api, key_type=kind, key_bits=bits)
    role(api)
    host_key, host_public = new_key(folder, "host-" + kind)
    key, public = new_key(folder, "user-" + kind)
    certificate = call(api, "POST", "sign/r", {"public_key": host_public, "cert_type": "host", "valid_principals": HOST})["signed_key"]
    sshd = Sshd(folder, trusted, host_key, certificate)
    try:
        def sign(**more):
            return call(api, "POST", "sign/r", {"public_key": public, **more})["signed_key"]
        done = sshd.login(key, sign(), trusted)
        if not case("login by a certificate of %s" % kind, done.stdout == "in\n", done.stderr + (folder / "sshd.log").read_text()):
            return
        done = sshd.login(key, sign(critical_options={"force-command": "echo forced"}), trusted)
        case("login: the forced command runs instead", done.stdout == "forced\n", done.stderr)
        done = sshd.login(key, sign(critical_options={"source-address": "192.0.2.1/32"}), trusted)
        case("login: from another address than allowed", done.returncode == 255 and "Permission denied" in done.stderr, done.stderr)
        done = sshd.login(key, sign(valid_principals="other"), trusted)
        case("login: a certificate for another user", done.returncode == 255 and "Permission denied" in done.stderr, done.stderr)
        done = sshd.login(key, certificate, trusted)
        case("login: a host's certificate is no user's", done.returncode == 255 and "Permission denied" in done.stderr, done.stderr)
        short = sign(ttl=1)
        time.sleep(2.1)
        done = sshd.login(key, short, trusted)
        case("login: an expired certificate", done.returncode == 255 and "Permission denied" in done.stderr, done.stderr)
        authority(api, key_type="ed25519")
        done = sshd.login(key, sign(), trusted)
        case("login: a certificate of another authority", done.returncode == 255 and "Permission denied" in done.stderr, done.stderr)
    finally:
        sshd.stop()


def body():
    if shutil.which("ssh-keygen") is None or shutil.which("ssh") is None:
        return skip("ssh", "openssh-client is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-ssh-"))
    try:
        with Server() as server:
            api = server.api
            api.timeout = 60  # RSA keys are made
            case("mount", api("POST", "sys/mounts/ssh", {"type": "ssh"}).code == 204)
            reads(api, folder)
            imports(api, folder)
            issues(api, folder)
            if SSHD is None:
                return skip("logins", "openssh-server is not installed")
            if os.getuid() == 0:
                pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's place for its unprivileged half
            logins(api, folder, "ed25519", 0)
            logins(api, folder, "ssh-rsa", 3072)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


if __name__ == "__main__":
    finish(body, "ssh")
