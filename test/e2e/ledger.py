#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger of a live server, checked by `merlon ledger verify`, by the few lines of RFC 6962 below, and by foreign verifiers.

usage: ledger.py [MERLON]
$MERLON_TLOGVERIFY names a program that checks C2SP tlog-tiles logs (-log DIR|URL -vkey KEY -all [-old FILE]); without it those cases skip.
"""
import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

from kit import TOKEN, Api, Server, case, finish, run, skip

OTHER = os.environ.get("MERLON_TLOGVERIFY")
SECRET = "never-in-the-ledger-5b1e0c"


def sha(data):
    return hashlib.sha256(data).digest()


def root_of(leaves):
    """RFC 6962, section 2.1, over leaf hashes."""
    peaks = []
    for n, leaf in enumerate(leaves):
        peaks.append(leaf)
        while n & 1:
            right, left = peaks.pop(), peaks.pop()
            peaks.append(sha(b"\1" + left + right))
            n >>= 1
    if not peaks:
        return sha(b"")
    root = peaks.pop()
    while peaks:
        root = sha(b"\1" + peaks.pop() + root)
    return root


def tile_name(n):
    text = "%03d" % (n % 1000)
    while n >= 1000:
        n //= 1000
        text = "x%03d/%s" % (n % 1000, text)
    return text


def checkpoint(note):
    lines = note.decode().split("\n")
    return lines[0], int(lines[1]), base64.b64decode(lines[2])


def own_audit(fetch):
    """Number of entries when all of them hash to the root that the checkpoint names."""
    _, size, root = checkpoint(fetch("checkpoint"))
    leaves = []
    for n in range((size + 255) // 256):
        width = min(256, size - 256 * n)
        bundle = fetch("tile/entries/" + tile_name(n) + ("" if width == 256 else ".p/%d" % width))
        at, hashes = 0, []
        for _ in range(width):
            length = int.from_bytes(bundle[at:at + 2], "big")
            hashes.append(sha(b"\0" + bundle[at + 2:at + 2 + length]))
            at += 2 + length
        if at != len(bundle):
            raise ValueError("bundle %d has %d bytes more" % (n, len(bundle) - at))
        if b"".join(hashes) != fetch("tile/0/" + tile_name(n) + ("" if width == 256 else ".p/%d" % width)):
            raise ValueError("tile %d and its entries differ" % n)
        leaves += hashes
    if root_of(leaves) != root:
        raise ValueError("the root differs")
    return size


def by_url(server):
    def fetch(path):
        with urllib.request.urlopen("http://127.0.0.1:%d/ledger/%s" % (server.port, path), timeout=10) as answer:
            return answer.read()
    return fetch


def by_folder(folder):
    return lambda path: (folder / path).read_bytes()


def history(server, rounds=300):
    """Reads, writes, refusals and strangers; enough for more than one full tile."""
    api = server.api
    for n in range(rounds):
        api("POST", "secret/data/app/%d" % (n % 20), {"data": {"password": SECRET, "n": n}})
        api("GET", "secret/data/app/%d" % (n % 20))
    weak = api("POST", "auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
    other = Api(server.port, weak)
    case("a denied read", other("GET", "secret/data/app/1").code == 403)
    other.close()
    stranger = Api(server.port, None)
    for _ in range(50):
        stranger("GET", "secret/data/app/1")
    stranger.close()


def settled(server, tries=100):
    """The log once it holds all that was done: its size stands still."""
    import time
    last = -1
    for _ in range(tries):
        size = checkpoint(by_url(server)("checkpoint"))[1]
        if size == last:
            return size
        last = size
        time.sleep(0.5)
    return last


def verify(*args):
    done = run("ledger", "verify", *args, "--format", "json")
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def foreign(name, log, vkey, *more, want=0):
    if not OTHER:
        return skip("foreign verifier: " + name, "MERLON_TLOGVERIFY names no program")
    done = subprocess.run([OTHER, "-log", str(log), "-vkey", vkey, "-all", *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return case("foreign verifier: " + name, done.returncode == want, done.stdout.decode(errors="replace"))


def flips(server, vkey, tmp):
    """One bit anywhere in what is published is found, and the file is named."""
    still = tmp / "still"  # a server that runs publishes on: what is flipped must be what the checkpoint covers
    shutil.copytree(server.data / "ledger", still / "ledger")
    log = still / "ledger"
    files = sorted(p.relative_to(log) for p in log.rglob("*") if p.is_file() and ".p/" not in str(p))
    size = checkpoint((log / "checkpoint").read_bytes())[1]
    chosen = [p for p in files if str(p).startswith("tile/entries/")][:2] + [p for p in files if str(p).startswith("tile/0/")][:2]
    last = "tile/entries/" + tile_name(size // 256) + ".p/%d" % (size % 256)
    if size % 256 and (log / last).exists():
        chosen.append(pathlib.Path(last))
    case("the folder has full tiles", len(chosen) >= 4, files)
    for path in chosen:
        copy = tmp / "copy"
        shutil.copytree(log, copy / "ledger")
        bytes_ = bytearray((copy / "ledger" / path).read_bytes())
        bytes_[len(bytes_) // 2] ^= 1
        (copy / "ledger" / path).write_bytes(bytes_)
        code, said = verify("--dir", copy, "--vkey", vkey)
        case("a flipped bit in %s is found" % path, code == 5, "exit %d %s" % (code, said))
        case("and named", str(path).split(".p/")[0] in said, said)
        shutil.rmtree(copy)


def signature(server, vkey, tmp):
    copy = tmp / "copy"
    shutil.copytree(server.data / "ledger", copy / "ledger")
    note = (copy / "ledger" / "checkpoint").read_text()
    origin, size, root = checkpoint(note.encode())
    lines = note.split("\n")
    for name, text in (("another size", note.replace("\n%d\n" % size, "\n%d\n" % (size - 1), 1)),
                       ("another root", note.replace(lines[2], base64.b64encode(sha(root)).decode(), 1)),
                       ("no signature", "\n".join(lines[:4]) + "\n"), ("nothing", "")):
        (copy / "ledger" / "checkpoint").write_text(text)
        code, said = verify("--dir", copy, "--vkey", vkey)
        case("checkpoint with %s is refused" % name, code in (1, 5) and code != 0, "exit %d %s" % (code, said))
    shutil.rmtree(copy)
    key = base64.b64encode(b"\1" + sha(b"another key")).decode()
    wrong = "%s+%s+%s" % (origin, sha(origin.encode() + b"\n" + base64.b64decode(key))[:4].hex(), key)
    case("another key is refused", verify("--dir", server.data, "--vkey", wrong)[0] == 5)
    case("a key that is none is refused", verify("--dir", server.data, "--vkey", "x")[0] in (1, 2))


def meaning(server):
    env = server.environment
    answer = server.api("GET", "secret/data/app/1")
    written = server.api("POST", "secret/data/app/1", {"data": {"password": SECRET}})
    index = written.headers.get("X-Merlon-Ledger-Index")
    case("a write's answer names its record", index is not None and index.isdigit(), written.headers)
    case("the read was answered", answer.code == 200, answer)
    settled(server)
    shown = run("ledger", "show", "--format", "json", env=env)
    text = shown.stdout.decode(errors="replace")
    case("ledger show", shown.returncode == 0 and "secret/data/app/1" in text, shown.stderr.decode(errors="replace"))
    case("no secret value and no token in it", SECRET not in text and TOKEN not in text)
    if index is None:
        return
    proof = run("ledger", "proof", index, "--format", "json", env=env)
    case("ledger proof", proof.returncode == 0, proof.stderr.decode(errors="replace"))
    try:
        given = json.loads(proof.stdout)
        case("the proof is of that record", int(given["index"]) == int(index) and "secret/data/app/1" in json.dumps(given), given)
    except (ValueError, KeyError) as error:
        case("the proof is of that record", False, repr(error))


def body():
    with Server() as server, tempfile.TemporaryDirectory(prefix="merlon-ledger-") as tmp:
        tmp = pathlib.Path(tmp)
        url = "http://127.0.0.1:%d" % server.port
        fetch = by_url(server)
        vkey = fetch("vkey").decode().strip()
        status = json.loads(run("status", "--format", "json", env=server.environment).stdout or b"{}")
        case("one verifier key everywhere", vkey in json.dumps(status) and vkey in server.printed(), vkey)
        settled(server)
        old = tmp / "old"
        old.write_bytes(fetch("checkpoint"))
        history(server)
        size = settled(server)
        case("reads, writes and refusals are in it", size >= 600, size)
        case("own audit of the URL", own_audit(fetch) == size)
        case("own audit of the folder", own_audit(by_folder(server.data / "ledger")) >= size)
        for name, args in (("URL", ("--url", url)), ("folder", ("--dir", server.data))):
            code, said = verify(*args, "--vkey", vkey)
            case("merlon ledger verify of the " + name, code == 0, "exit %d %s" % (code, said))
        foreign("URL", url + "/ledger", vkey)
        foreign("folder", server.data / "ledger", vkey)
        foreign("grew from the old checkpoint", url + "/ledger", vkey, "-old", str(old))
        meaning(server)
        flips(server, vkey, tmp)
        signature(server, vkey, tmp)
        pruned = server.api("POST", "sys/ledger/prune", {"before": 200})
        case("prune", pruned.code in (200, 204), pruned)
        settled(server)
        code, said = verify("--url", url, "--vkey", vkey)
        case("after pruning it verifies", code == 0, said)
        foreign("after pruning", url + "/ledger", vkey, "-old", str(old))


if __name__ == "__main__":
    finish(body, "ledger")
