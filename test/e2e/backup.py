#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a live server: saved, changed, restored; the ledger of before and after by `merlon ledger verify`; what is refused;
going back and starting over offline.

usage: backup.py [MERLON]
$MERLON_TLOGVERIFY as in ledger.py: the new log and the old one are also checked by it.
"""
import gzip
import http.client
import io
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time

from kit import TOKEN, Api, Server, case, finish, run, skip

OTHER = os.environ.get("MERLON_TLOGVERIFY")
SNAP = "sys/storage/raft/snapshot"


def put(server, value, path="secret/data/app"):
    return server.api("POST", path, {"data": {"v": value}}).code == 200


def get(server, path="secret/data/app"):
    answer = server.api("GET", path)
    return answer.data.get("data", {}).get("v") if answer.code == 200 else answer.code


def verified(name, where, vkey):
    done = run("ledger", "verify", *where, "--vkey", vkey)
    case("ledger verify: " + name, done.returncode == 0, done.stdout + done.stderr)
    if not OTHER:
        return skip("foreign verifier: " + name, "MERLON_TLOGVERIFY names no program")
    log = str(where[1]) if where[0] == "--dir" else where[1] + "/ledger"
    log = log + "/ledger" if where[0] == "--dir" and not log.endswith("/ledger") else log
    done = subprocess.run([OTHER, "-log", log, "-vkey", vkey, "-all"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return case("foreign verifier: " + name, done.returncode == 0, done.stdout)


def vkey_of(folder):
    return (pathlib.Path(folder) / "ledger" / "vkey").read_text().strip()


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def live(server, tmp):
    env = server.environment
    url = "http://127.0.0.1:%d" % server.port
    put(server, "one")
    saved = tmp / "one.snap"
    done = run("operator", "raft", "snapshot", "save", saved, env=env)
    case("snapshot save", done.returncode == 0 and saved.stat().st_size > 1000, done.stderr)
    case("only its owner reads it", saved.stat().st_mode & 0o077 == 0)
    parts = members(saved.read_bytes())
    case("a tar of four members", list(parts) == ["meta.json", "store.rows", "SHA256SUMS", "SHA256SUMS.sealed"], list(parts))
    (tmp / "x").mkdir()
    for name in ("meta.json", "store.rows", "SHA256SUMS"):
        (tmp / "x" / name).write_bytes(parts[name])
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp / "x", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    case("sha256sum agrees", done.returncode == 0, done.stdout)
    case("nothing of it is in clear", b'"one"' not in parts["store.rows"] and TOKEN.encode() not in parts["store.rows"])
    put(server, "two")
    old = vkey_of(server.data)
    done = run("operator", "raft", "snapshot", "restore", "--yes", saved, env=env)
    case("snapshot restore", done.returncode == 0, done.stderr)
    case("the value of then is back", get(server) == "one", get(server))
    new = vkey_of(server.data)
    case("a new log under a new name and key", new != old and new.startswith("merlon.local/ledger/restored-"), new)
    put(server, "three")
    verified("the new log, URL", ("--url", url), new)
    verified("the new log, folder", ("--dir", server.data), new)
    verified("the old log beside it", ("--dir", server.data / "past" / "1"), old)
    done = run("operator", "verify-store", env=env)
    case("the store is what the records say", done.returncode == 0, done.stdout)
    shown = run("ledger", "show", "--format", "json", env=env).stdout
    note = (server.data / "past" / "1" / "ledger" / "checkpoint").read_text().split("\n")
    case("the first record names the old checkpoint", note[2].encode() in shown, shown[:600])
    done = run("operator", "raft", "list-peers", "--format", "json", env=env)
    case("one peer", done.returncode == 0 and b'"leader"' in done.stdout, done.stdout)
    return saved


def refused(server, saved, tmp):
    """Nothing of what is refused changes anything."""
    put(server, "stays")
    good = saved.read_bytes()
    plain = gzip.decompress(good)
    flipped = bytearray(plain)
    flipped[len(flipped) // 2] ^= 1
    wrong = {
        "cut": good[:len(good) // 2], "cut at its last byte": good[:-1], "empty": b"", "changed": gzip.compress(bytes(flipped)),
        "newer": gzip.compress(plain.replace(b'"format":1', b'"format":9', 1)), "text": b"no snapshot at all", "more": good + b"x",
    }
    for name, data in wrong.items():
        bad = tmp / "bad.snap"
        bad.write_bytes(data)
        done = run("operator", "raft", "snapshot", "restore", "--yes", bad, env=server.environment)
        case("restore refuses: " + name, done.returncode != 0 and get(server) == "stays", done.stderr)
        if name == "newer":
            case("and says what to do", b"format 9" in done.stderr and b"version that made it" in done.stderr, done.stderr)
    with Server() as other:
        put(other, "theirs")
        foreign = tmp / "foreign.snap"
        run("operator", "raft", "snapshot", "save", foreign, env=other.environment)
        done = run("operator", "raft", "snapshot", "restore", "--yes", foreign, env=server.environment)
        case("restore refuses another server's", done.returncode != 0 and b"another server" in done.stderr, done.stderr)
        case("and everything stays", get(server) == "stays")
        answer = server.api("GET", "sys/health")
        case("and open", answer.code == 200, answer)
        low = server.api("POST", "auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
        mine = Api(server.port, low)
        case("not without sudo", mine("GET", SNAP).code == 403 and mine("POST", SNAP, good).code == 403)
        mine.close()
        # Shares of the other's are a key file here: its hex opens.
        done = run("operator", "raft", "snapshot", "restore", "--yes", "--force", foreign, env=server.environment)
        case("--force takes it", done.returncode == 0, done.stderr)
        case("and is sealed", server.api("GET", "sys/health").code == 503)


def under_load(server, tmp):
    """A snapshot while others write is one moment: pairs that are written together are found together."""
    stop = threading.Event()

    def write():
        api = Api(server.port)
        n = 0
        while not stop.is_set():
            n += 1
            api("POST", "secret/data/load/%d" % (n % 50), {"data": {"n": n, "pad": "x" * 2000}})
        api.close()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        for i in range(3):
            answer = server.api("GET", SNAP)
            case("snapshot %d under load" % i, answer.code == 200 and len(members(answer.body)) == 4, answer.code)
        restored = server.api("POST", SNAP, answer.body)
        case("restored under load", restored.code == 204, restored)
    finally:
        stop.set()
        for t in threads:
            t.join()
    done = run("operator", "verify-store", env=server.environment)
    case("and the store is what the records say", done.returncode == 0, done.stdout + done.stderr)


def large(server, tmp):
    """Near what a request may have."""
    for i in range(12):
        put(server, os.urandom(700000).hex(), "secret/data/large/%d" % i)
    answer = server.api("GET", SNAP)
    case("a large snapshot", answer.code == 200 and 16 << 20 < len(answer.body) < 32 << 20, "%d %d" % (answer.code, len(answer.body)))
    server.api("DELETE", "secret/metadata/large/3")
    answer = server.api("POST", SNAP, answer.body)
    case("restored", answer.code == 204, answer)
    case("and whole", len(get(server, "secret/data/large/3") or "") == 1400000)
    for i in range(12, 30):
        put(server, os.urandom(700000).hex(), "secret/data/large/%d" % i)
    answer = server.api("GET", SNAP)
    case("the largest that an answer has", answer.code == 200 and 40 << 20 < len(answer.body), "%d %d" % (answer.code, len(answer.body)))
    for i in range(30, 40):
        put(server, os.urandom(700000).hex(), "secret/data/large/%d" % i)
    answer = server.api("GET", SNAP)
    case("too large for an answer", answer.code == 413 and "merlon operator backup" in str(answer.errors), answer)
    file = tmp / "large.snap"
    done = run("operator", "backup", "--dir", server.data, file)
    case("operator backup beside the server has no limit", done.returncode == 0 and file.stat().st_size > 48 << 20, done.stderr)
    done = run("operator", "raft", "snapshot", "restore", "--yes", file, env=server.environment)
    case("the client says what to do with it", done.returncode != 0 and b"operator restore" in done.stderr, done.stderr)


def killed(tmp):
    """Core dies at any moment of a restore: the store is the one or the other, and its log is whole."""
    for wait_ms in (1, 10, 30, 60, 120):
        with Server("--rekey-per-minute", "60") as server:
            for i in range(20):
                put(server, "one", "secret/data/k/%d" % i)
            snapshot = server.api("GET", SNAP).body
            for i in range(20):
                put(server, "two", "secret/data/k/%d" % i)
            old = vkey_of(server.data)
            sender = threading.Thread(target=lambda: tolerant(server, snapshot))
            sender.start()
            time.sleep(wait_ms / 1000)
            for pid in server.process("merlon-core"):
                os.kill(pid, signal.SIGKILL)
            sender.join()
            server.wait()
            values = {get(server, "secret/data/k/%d" % i) for i in range(20)}
            case("killed after %d ms: one state, not two" % wait_ms, values in ({"one"}, {"two"}), values)
            case("and its records vouch for it", run("operator", "verify-store", env=server.environment).returncode == 0)
            new = vkey_of(server.data)
            verified("after %d ms" % wait_ms, ("--dir", server.data), new)
            if new != old:
                verified("the old one after %d ms" % wait_ms, ("--dir", server.data / "past" / "1"), old)


def tolerant(server, snapshot):
    api = Api(server.port)
    try:
        api.once("POST", SNAP, snapshot)
    except (OSError, http.client.HTTPException):
        pass
    api.close()


def offline(tmp):
    data = tmp / "data"
    server = Server(data=data)
    put(server, "one")
    file = tmp / "offline.snap"
    case("backup of a live folder", run("operator", "backup", "--dir", data, file).returncode == 0)
    shutil.copytree(data / "store", tmp / "older")
    put(server, "two")
    done = run("operator", "restore", "--dir", data, "--snapshot", file, "--origin", "merlon.local/ledger/restored-x", "--yes")
    case("not beside a server", done.returncode != 0 and b"open in another process" in done.stderr, done.stderr)
    server.stop()
    old = vkey_of(data)
    shutil.rmtree(data / "store")
    shutil.copytree(tmp / "older", data / "store")
    broken = Server(data=data, wait=False)
    code = broken.child.wait(30)
    case("an older store does not start", code != 0 and "older copy" in broken.printed() and "operator restore" in broken.printed(),
         "%s %s" % (code, broken.printed()[-500:]))
    broken.stop()
    for name, args, want in (("without an origin", ("--snapshot", file), b"--origin"), ("the same origin", ("--origin", "merlon.local/ledger"), b"another"),
                             ("no such folder", ("--dir", tmp / "none", "--origin", "a"), b"no store"),
                             ("no such file", ("--origin", "a", "--snapshot", tmp / "none"), b"none")):
        done = run("operator", "restore", "--dir", data, *args, "--yes")
        case("operator restore refuses: " + name, done.returncode != 0 and want in done.stderr, done.stderr)
    done = run("operator", "restore", "--dir", data, "--origin", "merlon.local/ledger/restored-x", "--yes")
    case("going on with the older store", done.returncode == 0, done.stderr)
    with Server(data=data) as server:
        server.own = False
        case("the value of then", get(server) == "one", get(server))
        verified("the new log after that", ("--dir", data), vkey_of(data))
        verified("the old log after that", ("--dir", data / "past" / "1"), old)
        case("and the store", run("operator", "verify-store", env=server.environment).returncode == 0)
    new = tmp / "new"
    done = run("operator", "restore", "--dir", new, "--snapshot", file, "--origin", "merlon.local/ledger/restored-y", "--yes")
    case("into a new folder", done.returncode == 0, done.stderr)
    for name in ("unseal.key", "keyfile"):
        if (data / name).exists():
            shutil.copy(data / name, new / name)
    with Server(data=new) as server:
        server.own = False
        case("a lost machine is back", get(server) == "one", get(server))
        case("with a store that its records vouch for", run("operator", "verify-store", env=server.environment).returncode == 0)


def body():
    with tempfile.TemporaryDirectory(prefix="merlon-backup-") as tmp:
        tmp = pathlib.Path(tmp)
        with Server() as server:
            saved = live(server, tmp)
            under_load(server, tmp)
            refused(server, saved, tmp)
        with Server() as server:
            large(server, tmp)
        killed(tmp)
        offline(tmp)


if __name__ == "__main__":
    finish(body, "backup")
