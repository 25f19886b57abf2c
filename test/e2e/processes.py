#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The processes of a server: names and users, what restarts what, re-keying and its limit, a clean end, what is left behind.

usage: processes.py [MERLON]
"""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

from kit import MERLON, PROCESSES, TOKEN, Api, Server, case, finish, free_port, run

BACK_S = {"merlon-front": 1.0, "merlon-core": 3.0}  # ten times what the benchmarks measure
WRITERS = 8


def uid(pid):
    return int(re.search(r"^Uid:\s+\d+\s+(\d+)", pathlib.Path("/proc/%d/status" % pid).read_text(), re.M).group(1))


def gone(pid):
    try:
        return pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def until(holds, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.01)
    return holds()


def shape(server):
    for name in PROCESSES:
        case("there is one %s" % name, len(server.process(name)) >= 1, server.tree())
    command = pathlib.Path("/proc/%d/cmdline" % server.child.pid).read_bytes()
    case("the arguments are gone from monitor", TOKEN.encode() not in command, command)
    if os.geteuid() == 0:
        for name in ("merlon-front", "merlon-box", "merlon-reach"):
            case("%s is not root" % name, all(uid(pid) != 0 for pid in server.process(name)))
    said = server.printed()
    for part in ("address: http://127.0.0.1:%d" % server.port, "root token: " + TOKEN, "ledger key: ", "\nready\n"):
        case("start prints %r" % part.strip(), part in said, said)
    opened = {}
    for name in ("merlon-front", "merlon-box", "merlon-reach"):
        for pid in server.process(name):
            opened[name] = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
    case("front, box and reach hold no file of the data folder", not any(str(server.data) in link for links in opened.values() for link in links), opened)


class Writers:
    """Writes numbered values at several connections and remembers which were acknowledged."""

    def __init__(self, server):
        self.server, self.stop, self.acknowledged = server, threading.Event(), [0] * WRITERS
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(WRITERS)]

    def work(self, n):
        api = Api(self.server.port)
        turn = 0
        while not self.stop.is_set():
            turn += 1
            try:
                if api.once("POST", "secret/data/writer-%d" % n, {"data": {"turn": turn}}).code == 200:
                    self.acknowledged[n] = turn
            except Exception:  # the connection broke with the process: that write was not acknowledged
                time.sleep(0.005)
        api.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def lost(self):
        api = Api(self.server.port)
        return [n for n in range(WRITERS) if api("GET", "secret/data/writer-%d" % n).data.get("data", {}).get("turn", 0) < self.acknowledged[n]]


def killed(server, name, times):
    """Kill under load; other processes that must stay do."""
    stays = "merlon-core" if name == "merlon-front" else "merlon-monitor"
    with Writers(server) as writers:
        for n in range(times):
            time.sleep(0.2)
            before, kept = server.process(name), server.process(stays)
            os.kill(before[0], signal.SIGKILL)
            died = time.monotonic()
            until(lambda: gone(before[0]), 1)
            try:
                answer = server.wait(seconds=10)
            except RuntimeError as error:
                case("%s killed: answers again" % name, False, error)
                return
            took = time.monotonic() - died
            case("%s killed (%d): answers again, unsealed" % (name, n + 1), answer.code == 200 and took < BACK_S[name], "%.3f s" % took)
            case("%s killed (%d): %s is the same" % (name, n + 1, stays), server.process(stays) == kept)
    case("%s killed: writes went on" % name, all(writers.acknowledged), writers.acknowledged)
    case("%s killed: no acknowledged write is lost" % name, not writers.lost(), writers.lost())


def box(server):
    before = server.process("merlon-box")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    case("a dead box is replaced", until(lambda: server.process("merlon-box") and not set(before) & set(server.process("merlon-box")), 5), server.tree())


def clean_end(server):
    """SIGTERM while a request is on its way: it is answered, new ones are not taken, nothing stays."""
    children = [pid for pid in server.tree() if pid != server.child.pid]
    answers = []

    def slow():
        api = Api(server.port, timeout=10)
        try:  # a password costs tens of milliseconds
            answers.append(api.once("POST", "sys/auth/userpass", {"type": "userpass"}).code)
            answers.append(api.once("POST", "auth/userpass/users/x", {"password": "p" * 20, "policies": "default"}).code)
        except Exception as error:
            answers.append(repr(error))
    thread = threading.Thread(target=slow)
    thread.start()
    thread.join()
    start = time.monotonic()
    code = server.end()
    case("SIGTERM ends with 0", code == 0, code)
    case("SIGTERM ends soon", time.monotonic() - start < 5, time.monotonic() - start)
    case("no process is left", until(lambda: all(gone(pid) for pid in children), 2))
    case("requests before the end were answered", answers and all(isinstance(a, int) for a in answers), answers)


def orphans():
    with Server() as server:
        children = [pid for pid in server.tree() if pid != server.child.pid]
        os.kill(server.child.pid, signal.SIGKILL)
        server.child.wait()
        case("children die with monitor", until(lambda: all(gone(pid) for pid in children), 2))


def limit():
    """Without re-keying, and without a key file to unseal by, a dead core stays sealed."""
    with tempfile.TemporaryDirectory() as tmp:
        port = free_port()
        config = pathlib.Path(tmp, "merlon.yaml")
        config.write_text("data: %s/data\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_disable: true\n" % (tmp, port))
        for most in (0, 2):
            with Server("--rekey-per-minute", str(most), config=config, port=port, data=tmp, wait=False) as server:
                server.wait(codes=(501, 503))
                if most == 0:
                    made = server.api("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
                    share, token = made["keys"][0], made["root_token"]
                server.api("PUT", "sys/unseal", {"key": share})
                server.wait()
                for n in range(most):
                    os.kill(server.process("merlon-core")[0], signal.SIGKILL)
                    time.sleep(0.1)
                    case("shamir: core is re-keyed (%d of %d)" % (n + 1, most), server.wait().code == 200)
                os.kill(server.process("merlon-core")[0], signal.SIGKILL)
                time.sleep(0.2)
                case("shamir: with %d a minute core stays sealed then" % most, server.wait(codes=(200, 503)).code == 503)
                server.api.token = token
                server.api("PUT", "sys/unseal", {"key": share})
                case("and a share opens it again", server.wait().code == 200)


def temporary():
    port = free_port()
    child = subprocess.Popen([MERLON, "server", "--dev", "--dev-tls", "--dev-listen-address", "127.0.0.1:%d" % port], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    said = {}
    for line in child.stdout:
        key, _, value = line.decode().strip().partition(": ")
        said[key] = value
        if key == "ready":
            break
    folder = pathlib.Path(said.get("data", "/nowhere").split(" ")[0])
    case("--dev-tls prints its certificate", os.path.exists(said.get("ca certificate", "")), said)
    done = subprocess.run(["curl", "-s", "--cacert", said.get("ca certificate", ""), "-o", "/dev/null", "-w", "%{http_code}",
                           "https://127.0.0.1:%d/v1/sys/health" % port], stdout=subprocess.PIPE)
    case("TLS with that certificate", done.stdout == b"200", done.stdout)
    case("a temporary folder is there", folder.is_dir(), folder)
    child.send_signal(signal.SIGINT)
    case("SIGINT ends with 0", child.wait(20) == 0)
    case("a temporary folder goes with the server", not folder.exists(), folder)


def refused():
    with tempfile.TemporaryDirectory() as tmp:
        path = pathlib.Path(tmp, "merlon.yaml")
        for name, text, says, code in (
                ("an unknown key", "date: x\n", "'date'", 1),
                ("no certificate", "data: %s\nlisteners: [{address: '127.0.0.1:1'}]\n" % tmp, "tls_cert_file", 1),
                ("a certificate that is not there", "data: %s\nlisteners: [{address: '127.0.0.1:0', tls_cert_file: /nowhere, tls_key_file: /x}]\n" % tmp,
                 "/nowhere", 3)):
            path.write_text(text)
            done = run("server", "--config", path)
            case("refused: " + name, done.returncode == code and says in done.stderr.decode(), (done.returncode, done.stderr))
        with Server() as server:
            done = run("server", "--dev", "--dev-listen-address", "127.0.0.1:%d" % server.port)
            case("refused: an address in use", done.returncode == 1 and b"in use" in done.stderr, done.stderr)
    for name in ("merlon-core", "merlon-front"):
        done = subprocess.run([name], executable=MERLON, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10, stdin=subprocess.DEVNULL)
        case("%s by hand is refused" % name, done.returncode not in (0, -11), (done.returncode, done.stderr))


def body():
    with Server() as server:
        shape(server)
        killed(server, "merlon-front", 3)
        box(server)
        killed(server, "merlon-core", 2)
        clean_end(server)
    orphans()
    limit()
    temporary()
    refused()


if __name__ == "__main__":
    finish(body, "processes")
