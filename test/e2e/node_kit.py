# SPDX-License-Identifier: Apache-2.0
"""What tests of nodes share: a node as a process, a Workload API client in Go (../shared/spiffe/wlbench), waiting."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

from kit import MERLON, ROOT

CLIENT = ROOT.parent / "shared" / "spiffe" / "wlbench"


def until(what, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    return what()


def client():
    """Its program, or None and why not."""
    ready = os.environ.get("WLBENCH")
    if ready:
        return ready, ""
    if not CLIENT.is_dir() or shutil.which("go") is None:
        return None, "there is no %s or no go" % CLIENT
    program = ROOT / "build-check" / "go" / "wlbench"
    program.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["go", "build", "-o", str(program), "."], cwd=CLIENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (str(program), "") if made.returncode == 0 else (None, made.stdout.decode()[-300:])


class Node:
    def __init__(self, server, folder, *how):
        self.socket = str(folder / "w" / "api.sock")
        self.log = open(folder / "log", "wb+")
        self.child = subprocess.Popen([MERLON, "node", "run", "--server", "http://127.0.0.1:%d" % server.port, "--socket", self.socket,
                                       "--data", str(folder / "data"), *how], stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def printed(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def processes(self):
        """{name: is it under seccomp} of the node and its children."""
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
            except (OSError, ValueError):
                continue
            if int(path.parent.name) == self.child.pid or int(lines["PPid"]) == self.child.pid:
                found[lines["Name"].strip()] = lines["Seccomp"].strip() == "2"
        return found

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()


def ids(program, socket):
    """SPIFFE ids that this process gets there; None and what was said when there are none."""
    done = subprocess.run([program, "watch", "-secs", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          env={**os.environ, "SPIFFE_ENDPOINT_SOCKET": "unix://" + socket})
    return done.stdout.decode()
