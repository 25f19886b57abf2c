#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kill loops: the whole server at random moments under writes, core more often than it may be re-keyed, monitor alone.

usage: faults.py [MERLON]     $MLN_CRASH_ROUNDS: how often the whole server is killed (5); $MLN_SEED: another order of moments.
No acknowledged write is lost, store and ledger agree, the ledger verifies, nothing outlives its monitor.
"""
import http.client
import os
import pathlib
import random
import signal
import tempfile
import threading
import time

from kit import Api, Server, case, finish, free_port, run

ROUNDS = int(os.environ.get("MLN_CRASH_ROUNDS", "5"))
DICE = random.Random(int(os.environ.get("MLN_SEED", "1")))
WRITERS = 6


class Writers:
    """Threads that write numbers, each to a key of its own, and remember what was acknowledged."""

    def __init__(self, server, token, acked):
        self.stop, self.acked, self.bad = threading.Event(), acked, []
        self.threads = [threading.Thread(target=self.work, args=(server.port, token, n)) for n in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def work(self, port, token, n):
        api = Api(port, token, timeout=5)
        while not self.stop.is_set():
            turn = self.acked.get(n, (0, 0))[1] + 1
            self.acked[n] = (self.acked.get(n, (0, 0))[0], turn)  # tried
            try:
                answer = api.once("POST", "secret/data/w%d" % n, {"data": {"turn": turn}})
                if answer.code == 200:
                    self.acked[n] = (turn, turn)
                elif answer.code not in (503, 502, 500):
                    self.bad.append(repr(answer))
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
        api.close()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def lost(api, acked):
    """Keys whose stored number is older than the last acknowledged one, or newer than any that was tried."""
    bad = []
    for n, (sure, tried) in acked.items():
        answer = api("GET", "secret/data/w%d" % n)
        turn = (answer.data.get("data") or {}).get("turn", 0) if answer.code == 200 else 0
        if not sure <= int(turn) <= tried:
            bad.append("w%d: %s stored, %d acknowledged, %d tried, %r" % (n, turn, sure, tried, answer))
    return bad


def alive(pids):
    rest = []
    for pid in pids:
        try:
            state = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()[0]
            if state != "Z":
                rest.append(pid)
        except OSError:
            pass
    return rest


def gone(pids, seconds=5):
    end = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pids)


def config(tmp, port):
    path = tmp / "merlon.yaml"
    path.write_text("data: %s\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_disable: true\nseal:\n  type: keyfile\n  path: %s\n" %
                    (tmp / "data", port, tmp / "unseal.key"))
    return path


def whole_server(tmp):
    """SIGKILL to every process at once, again and again, on the same data."""
    port = free_port()
    path = config(tmp, port)
    server = Server(config=path, port=port, data=tmp, wait=False)
    server.wait(codes=(200, 501, 503))
    made = server.api("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    if not case("initialised", made.code == 200, made):
        server.end()
        return
    token = made.json["root_token"]
    server.api.token = token
    server.wait()
    server.api("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    acked = {}
    for turn in range(ROUNDS):
        writers = Writers(server, token, acked)
        time.sleep(0.2 + DICE.random() * 0.8)
        pids = list(server.tree())
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        server.child.wait()
        writers.end()
        case("round %d: only good answers or none" % turn, not writers.bad, writers.bad[:2])
        case("round %d: nothing outlives the kill" % turn, gone(pids))
        server.api.close()
        server.out.close()
        start = time.monotonic()
        server = Server(config=path, port=port, data=tmp)
        server.api.token = token
        case("round %d: ready again" % turn, time.monotonic() - start < 10)
        bad = lost(server.api, acked)
        case("round %d: no acknowledged write is lost of %d" % (turn, sum(a for a, _ in acked.values())), not bad, bad)
        env = {"MERLON_ADDR": "http://127.0.0.1:%d" % port, "MERLON_TOKEN": token}
        done = run("operator", "verify-store", env=env)
        case("round %d: store and ledger agree" % turn, done.returncode == 0, done.stdout + done.stderr)
        time.sleep(0.5)
        vkey = server.api("GET", "/ledger/vkey").body.decode().strip()
        done = run("ledger", "verify", "--dir", tmp / "data", "--vkey", vkey)
        case("round %d: the ledger verifies" % turn, done.returncode == 0, done.stdout + done.stderr)
    code = server.end()
    server.out.close()
    case("then it ends in peace", code == 0, code)


def killed_core(limit, kills):
    """State after core was killed `kills` times in a row: is it sealed?"""
    with Server("--rekey-per-minute", str(limit)) as server:
        for _ in range(kills):
            before = server.process("merlon-core")
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            end = time.monotonic() + 5
            while (not server.process("merlon-core") or server.process("merlon-core") == before) and time.monotonic() < end:
                time.sleep(0.01)
            server.wait(codes=(200, 503), seconds=10)
            answer = server.wait(codes=(200, 503), seconds=10)
        time.sleep(0.2)
        answer = server.wait(codes=(200, 503), seconds=10)
        return answer.code == 503 and answer.json["sealed"]


def monitor():
    with Server() as server:
        pids = list(server.tree())
        os.kill(server.child.pid, signal.SIGKILL)
        server.child.wait()
        case("nothing outlives monitor", gone(pids), alive(pids))


def body():
    with tempfile.TemporaryDirectory(prefix="merlon-faults-") as tmp:
        whole_server(pathlib.Path(tmp))
    case("core killed, one re-keying allowed: it serves", not killed_core(1, 1))
    case("core killed, none allowed: sealed", killed_core(0, 1))
    case("core killed more often than allowed: sealed", killed_core(2, 3))
    monitor()


if __name__ == "__main__":
    finish(body, "kill loops")
