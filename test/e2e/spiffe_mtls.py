#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mTLS of go-spiffe with Merlon's identities (test/e2e/go-mtls): two users who talk and one who may not, `merlon proxy` at either end of it,
an authority that rotates under a thousand live connections without one failed handshake, and no key in the process that reads strangers.

usage: spiffe_mtls.py [MERLON]     (default: $MERLON, else build/merlon)
Skipped with the reason where there is no Go, or its modules cannot be had, or this is not root (who runs programs as two users).
The same between two users by `wlbench` where that is at hand (see spiffe.py).
"""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import kit
import spiffe_proxy
from go_client import build
from kit import ROOT, Server, case, finish, skip
from spiffe import wlbench
from spiffe_proxy import DB, DB_UID, IS_ROOT, OTHER, OTHER_UID, WEB, WEB_UID, Authority, Proxy, entry, say, wait

LIVE, SECONDS = 1000, 20
STEPS = ((3, "prepare"), (7, "activate"), (11, "taint"), (16, "revoke"))  # seconds; what is published has time to arrive before it counts


class Go:
    """One of the modes of a program, as a user."""

    def __init__(self, program, uid, address, mode, *args, waits=False):
        self.child = subprocess.Popen([program, mode, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, user=uid, group=uid,
                                      extra_groups=[], env={**os.environ, "SPIFFE_ENDPOINT_SOCKET": "unix://%s" % address, "HOME": "/"})
        self.first = self.child.stdout.readline().decode().strip() if waits else None

    def said(self, timeout=90):
        """Exit code and what it printed."""
        try:
            out = self.child.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            self.child.kill()
            out = self.child.communicate()[0]
        return self.child.returncode, out.decode(errors="replace")

    def end(self):
        self.child.kill()
        return self.said()[1]


def two_users(name, program, address, flags):
    """serve as one user, dial as others; the modes and flags of wlbench and of go-mtls are the same."""
    server = Go(program, DB_UID, address, "serve", *flags, "-expect", WEB, waits=True)
    at = server.first.split()[-1] if server.first else ""
    code, said = Go(program, WEB_UID, address, "dial", *flags, "-addr", at, "-expect", DB).said()
    case("%s: who is expected gets an answer" % name, code == 0 and said.startswith("ok") and WEB in said, said)
    code, said = Go(program, OTHER_UID, address, "dial", *flags, "-addr", at, "-expect", DB).said()
    case("%s: another user is refused by the server" % name, code != 0 and not said.startswith("ok"), said)
    code, said = Go(program, WEB_UID, address, "dial", *flags, "-addr", at, "-expect", OTHER).said()
    case("%s: a client that expects another refuses the server" % name, code != 0 and not said.startswith("ok"), said)
    printed = server.end()
    case("%s: the server saw one peer" % name, printed.count("peer ") == 1, printed)


def to_go_server(program, address):
    """A plain client, merlon proxy, a server of go-spiffe."""
    server = Go(program, DB_UID, address, "serve", "-expect", WEB, waits=True)
    for uid, peer, good in ((WEB_UID, DB, True), (WEB_UID, OTHER, False), (OTHER_UID, DB, False)):
        web = Proxy("--listen", "127.0.0.1:0", "--target", server.first, "--server-id", peer, uid=uid, socket_path=address)
        try:
            with socket.create_connection(("127.0.0.1", web.port), timeout=15) as link:
                link.sendall(b"ping\n")
                got = link.recv(300)
        except OSError as error:
            got = str(error).encode()
        case("a go-spiffe server by proxy, user %d to %s: %s" % (uid, peer, "an answer" if good else "nothing"),
             (got == (WEB + " ping\n").encode()) == good, got)
        if not good:
            refused = wait(lambda: web.records(event="refused", reason="not_allowed") or web.records(reason="refused_by_peer"))
            case("and a record of it", refused, web.records())
        web.end()
    server.end()


def memory_of(pid):
    for line in pathlib.Path("/proc", str(pid), "maps").read_text().splitlines():
        first, last = (int(x, 16) for x in line.split()[0].split("-"))
        if line.endswith(("[vvar]", "[vsyscall]")):
            continue
        try:
            with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
                memory.seek(first)
                yield memory.read(last - first)
        except (OSError, ValueError, OverflowError):
            continue


def keyless(program, address, db):
    code, said = Go(program, DB_UID, address, "key").said()
    key = bytes.fromhex(said.strip()) if code == 0 and re.fullmatch(r"[0-9a-f]+\n", said) else b""
    if not case("the key of the proxy's SVID is known to this test", len(key) >= 32, said):
        return
    for name, want in (("merlon-relay", False), ("merlon-keeper", True)):
        pids = db.pids(name)
        found = [any(key in part for part in memory_of(pid)) for pid in pids]
        case("%s has %s" % (name, "it" if want else "no trace of it"), found == [want], found)
    case("nor has the monitor", not any(key in part for part in memory_of(db.child.pid)))


def thousand(server, program, address):
    echo = Go(program, OTHER_UID, address, "echo", waits=True)
    db = Proxy("--listen", "127.0.0.1:0", "--target", echo.first, "--allow", WEB, uid=DB_UID, socket_path=address)
    keyless(program, address, db)
    clients = Go(program, WEB_UID, address, "live", "-addr", "127.0.0.1:%d" % db.port, "-expect", DB, "-n", LIVE, "-seconds", SECONDS, waits=True)
    case("a thousand connections of go-spiffe", clients.first == "live %d" % LIVE, clients.first)
    authority, began = Authority(server), time.monotonic()
    for at, step in STEPS:
        time.sleep(max(0, began + at - time.monotonic()))
        answer = authority(step)
        case("authority: %s after %d s" % (step, at), answer.code == 200, answer)
    code, said = clients.said()
    try:
        sums = json.loads(said.strip().split("\n")[-1])
    except ValueError:
        sums = {}
    print("        %s" % json.dumps(sums))
    case("not one handshake failed", code == 0 and sums.get("Failed") == 0 and sums.get("Handshakes", 0) > LIVE + 100, said[-500:])
    case("every connection lived through it", sums.get("Broken") == 0 and sums.get("Echoes", 0) > 2 * LIVE, said[-500:])
    case("by more than one SVID", sums.get("Serials", 0) >= 2, sums)
    refused = db.records(event="refused")
    case("and the proxy refused nobody", not refused, refused[:3])
    ends = wait(lambda: len(db.records(event="end")) == len(db.records(event="open")) and db.records(event="end"))
    case("each has left its two records", ends and len(ends) == sums.get("Handshakes"), "%d of %s" % (len(ends or []), sums))
    db.end()
    echo.end()


def body():
    if not IS_ROOT:
        skip("mTLS between two users", "not root")
        return
    made, why = build(ROOT / "test" / "e2e" / "go-mtls", "go-mtls")
    if made is None:
        skip("mTLS by go-spiffe", why)
        return
    with tempfile.TemporaryDirectory(prefix="merlon-mtls-") as tmp:
        folder = pathlib.Path(tmp)
        os.chmod(folder, 0o755)
        Proxy.folder, Proxy.program = folder, folder / "merlon"
        program = folder / "go-mtls"
        for source, to in ((kit.MERLON, Proxy.program), (made, program)):
            shutil.copyfile(source, to)
            os.chmod(to, 0o755)
        address = folder / "api" / "workload.sock"
        with Server("--trust-domain", spiffe_proxy.DOMAIN, "--spiffe-socket", str(address)) as server:
            for spiffe_id, uid in ((WEB, WEB_UID), (DB, DB_UID), (OTHER, OTHER_UID)):
                entry(server, spiffe_id, uid)
            two_users("go-spiffe", program, address, ())
            bench, why = wlbench()
            if bench is None:
                skip("wlbench serve and dial", why)
            else:
                shutil.copyfile(bench, folder / "wlbench")
                os.chmod(folder / "wlbench", 0o755)
                two_users("wlbench", folder / "wlbench", address, ("-socket", "unix://%s" % address))
            to_go_server(program, address)
            thousand(server, program, address)


if __name__ == "__main__":
    finish(body, "spiffe_mtls")
