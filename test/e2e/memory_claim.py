#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The claim: a dump of front's whole memory holds no barrier key, no transit key, no TLS private key, no secret that is not in flight.

usage: memory_claim.py [MERLON]
Reads /proc/PID/mem of front under load and searches it. The same search over core's memory must find the barrier's key: it is not blind.
Needs root (front is not dumpable) and PyPI's cryptography and lmdb, to learn the keys from the key file and the store.
"""
import base64
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time

from kit import Api, Server, case, finish, free_port, skip

try:
    import lmdb
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ImportError:
    lmdb = None

IDLE = b"idle-secret-" + os.urandom(12).hex().encode()
LOAD_S = 3
PAGE = os.sysconf("SC_PAGE_SIZE")


# ---- the keys, as docs/format-barrier.md has them ----

def xaes_open(key, nonce, box, aad):
    """XAES-256-GCM of C2SP."""
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    l = int.from_bytes(ecb.update(bytes(16)), "big")
    k1 = ((l << 1) ^ (0x87 if l >> 127 else 0)) & ((1 << 128) - 1)
    derived = b""
    for n in (1, 2):
        m = int.from_bytes(bytes([0, n]) + b"X\0" + nonce[:12], "big")
        derived += ecb.update((m ^ k1).to_bytes(16, "big"))
    return AESGCM(derived).decrypt(nonce[12:], box, aad)


def row_open(key, row, aad):
    return xaes_open(key, row[1:25], row[25:], aad)


def barrier_keys(data):
    """Root key and the keys of the root namespace's ring, from the key file and a copy of the store."""
    unseal = None
    for path in data.rglob("*"):
        if path.is_file() and path.stat().st_size in (64, 65) and re.fullmatch(rb"[0-9a-f]{64}\n?", path.read_bytes()):
            unseal = bytes.fromhex(path.read_text().strip())
    if unseal is None:
        return None
    with tempfile.TemporaryDirectory() as copy:
        shutil.copy(next(data.rglob("data.mdb")), copy)
        env = lmdb.open(copy, readonly=True, lock=False, map_size=1 << 34)
        with env.begin() as txn:
            rows = {key: txn.get(b"\1" + key)[8:] for key in (b"core/seal", b"core/seal-config", b"core/keyring/root")}
        env.close()
    root = row_open(unseal, rows[b"core/seal"], b"merlon seal 1\0" + rows[b"core/seal-config"])
    ring = row_open(root, rows[b"core/keyring/root"], b"merlon keyring 1\0" + b"core/keyring/root")
    n = struct.unpack(">I", ring[1:5])[0]
    keys = [ring[5 + 44 * i + 12:5 + 44 * i + 44] for i in range(n)]
    return {"unseal key": unseal, "root key": root, **{"barrier key %d" % (i + 1): key for i, key in enumerate(keys)}}


# ---- memory ----

def runs(pagemap, start, end):
    """Stretches of pages that are in memory or in swap: (address, bytes). All others read as zeros, slowly."""
    pagemap.seek(start // PAGE * 8)
    entries = pagemap.read((end - start) // PAGE * 8)
    first = None
    for n in range(len(entries) // 8 + 1):
        here = n < len(entries) // 8 and entries[8 * n + 7] & 0xC0
        if here and first is None:
            first = n
        elif not here and first is not None:
            yield start + first * PAGE, (n - first) * PAGE
            first = None


def dump(pid):
    """All pages of a process that hold anything, joined."""
    parts = []
    maps = pathlib.Path("/proc/%d/maps" % pid).read_text()
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as mem, open("/proc/%d/pagemap" % pid, "rb", buffering=0) as pagemap:
        for line in maps.splitlines():
            if "[vvar" in line or "[vsyscall]" in line:
                continue
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            for at, n in runs(pagemap, start, end):
                try:
                    mem.seek(at)
                    parts.append(mem.read(n))
                except OSError:  # gone meanwhile
                    pass
    return b"".join(parts)


def needles(name, raw):
    """A key in the forms that it could lie about in."""
    forms = {"": raw, " reversed": raw[::-1], " hex": raw.hex().encode()}
    text = base64.b64encode(raw).rstrip(b"=")
    forms[" base64"] = text[:len(text) // 4 * 4]
    return {name + form: value for form, value in forms.items()}


def tls_key(folder):
    """A certificate of our own, so that its private number is known."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=merlon",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if made.returncode != 0:
        raise RuntimeError(made.stderr.decode(errors="replace"))
    key.chmod(0o600)
    number = load_pem_private_key(key.read_bytes(), None).private_numbers().private_value.to_bytes(32, "big")
    pem = b"".join(key.read_bytes().split(b"\n")[1:-2])
    return key, cert, number, pem


def start(tmp):
    key, cert, number, pem = tls_key(tmp)
    port = free_port()
    data = tmp / "data"
    config = tmp / "merlon.yaml"
    config.write_text("data: %s\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_cert_file: %s\n    tls_key_file: %s\n"
                      "seal:\n  type: keyfile\n  path: %s\n" % (data, port, cert, key, tmp / "unseal.key"))
    server = Server(config=config, port=port, data=tmp, wait=False)
    server.tls = True
    server.api = Api(port, None, True)
    server.wait(codes=(200, 501, 503))
    made = server.api("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    if made.code != 200:
        server.stop()
        raise RuntimeError("init: %r" % made)
    server.api.token = made.json["root_token"]
    if server.api("GET", "sys/seal-status").json["sealed"]:
        server.api("PUT", "sys/unseal", {"key": (made.json.get("keys") or [""])[0]})
    return server, {"TLS key": number, "TLS key in PEM": pem}


def secrets(server):
    """Writes the idle secret, makes exportable keys and reads one of each back: all that passed through front and has to be wiped there."""
    api = server.api
    api("POST", "sys/mounts/kept", {"type": "kv", "options": {"version": "2"}})
    api("POST", "sys/mounts/transit", {"type": "transit"})
    case("an idle secret is written", api("POST", "kept/data/idle", {"data": {"v": IDLE.decode()}}).code == 200)
    found = {}
    for kind, export in (("aes256-gcm96", "encryption-key"), ("ed25519", "signing-key")):
        api("POST", "transit/keys/" + kind, {"type": kind, "exportable": True})
        text = api("GET", "transit/export/%s/%s" % (export, kind)).data.get("keys", {}).get("1")
        if text:
            found["transit key " + kind] = base64.b64decode(text)[:32]
    case("transit keys are known", len(found) == 2, list(found))
    return found


def load(server, stop, errors):
    def work(n):
        api = Api(server.port, server.api.token, True)
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                api("POST", "kept/data/load-%d" % n, {"data": {"v": "load %d" % turn}})
                api("GET", "kept/data/load-%d" % n)
                api("POST", "transit/encrypt/aes256-gcm96", {"plaintext": base64.b64encode(b"x" * 64).decode()})
                if turn % 5 == 0:
                    api.close()  # another handshake
            except OSError as error:
                errors.append(repr(error))
        api.close()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    return threads


def search(server, wanted):
    stop, errors = threading.Event(), []
    threads = load(server, stop, errors)
    time.sleep(LOAD_S)
    try:
        dumps = [dump(pid) for pid in server.process("merlon-front")]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    case("front answered under load", not errors, errors[:1])
    case("front's memory was read", dumps and all(len(d) > 1 << 20 for d in dumps), [len(d) for d in dumps])
    for name, raw in wanted.items():
        forms = needles(name, raw) if len(raw) == 32 else {name: raw}
        seen = [form for form, value in forms.items() if any(value in d for d in dumps)]
        case("front holds no " + name, not seen, seen)


def body():
    if os.geteuid() != 0:
        return skip("memory claim", "only root may read the memory of a process that is not dumpable")
    if lmdb is None or not shutil.which("openssl"):
        return skip("memory claim", os.environ.get("MERLON_NO_PACKAGES") or "cryptography, lmdb or openssl is missing")
    with tempfile.TemporaryDirectory(prefix="merlon-memory-") as tmp:
        tmp = pathlib.Path(tmp)
        server, wanted = start(tmp)
        try:
            try:
                pid = server.process("merlon-front")[0]
                with open("/proc/%d/mem" % pid, "rb"):
                    pass
            except PermissionError:
                return skip("memory claim", "this root may not read other processes' memory")
            keys = barrier_keys(tmp)
            if case("the barrier's keys are known", keys is not None):
                wanted.update(keys)
            wanted.update(secrets(server))
            wanted["idle secret"] = IDLE
            search(server, wanted)
            core = b"".join(dump(pid) for pid in server.process("merlon-core"))
            case("the search is not blind: core holds the barrier key", any(name.startswith("barrier key") and raw in core
                                                                           for name, raw in wanted.items()))
        finally:
            server.stop()
    return None


if __name__ == "__main__":
    finish(body, "memory claim")
