#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The identity of a process that was started with a signed release of a model: it gets its SVID, and a process with an altered or unsigned
model, a child, another process, and the same process after the model changed get none.

usage: model_identity.py [MERLON]     (default: $MERLON, else build/merlon)
Root, openssl and a Python that user nobody may run are needed: skipped with the reason where they are not there.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from kit import MERLON, Server, case, finish, free_port, run, skip

# Prints the ids that the workload socket gives ("none": it refused); again for each line of stdin. HTTP/2 by hand, so that any Python that
# the user may run will do. argv: socket, and "child" to ask from a child.
FETCH = r"""
import os, socket, struct, sys
def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body
def header(name, value):
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value
def fields(data):
    at = 0
    while at < len(data):
        def number():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]; at += 1
                value |= (byte & 127) << shift; shift += 7
                if byte < 128:
                    return value
        key = number(); size = number()
        yield key >> 3, data[at:at + size]
        at += size
def exactly(link, n):
    got = b""
    while len(got) < n:
        more = link.recv(n - len(got))
        if not more:
            raise EOFError("the socket was closed")
        got += more
    return got
def ids():
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(20)
    link.connect(sys.argv[1])
    heads = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/SpiffeWorkloadAPI/FetchX509SVID"), (b":authority", b"localhost"),
             (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"workload.spiffe.io", b"true")]
    link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4, 1, b"".join(header(*one) for one in heads)) +
                 frame(0, 1, 1, bytes(5)))
    data = b""
    while True:
        head = exactly(link, 9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        body = exactly(link, size)
        if kind == 0:
            data += body
            if len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
                return [dict(fields(svid))[1].decode() for number, svid in fields(data[5:]) if number == 1]
        elif kind in (3, 7) or (kind == 1 and flags & 1):
            return ["none"]
        elif kind == 4 and not flags & 1:
            link.sendall(frame(4, 1, 0))
if len(sys.argv) > 2:
    import subprocess
    sys.exit(subprocess.call([sys.executable, os.path.abspath(__file__), sys.argv[1]]))
print(os.getuid(), os.environ.get("MERLON_MODEL_SHA256"), *ids(), flush=True)
for line in sys.stdin:
    print(os.getuid(), "again", *ids(), flush=True)
"""
ID = "spiffe://example.org/ranker"


def python():
    """One that the user nobody may run; root's own may lie where he may not look."""
    for program in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            if os.getuid() == 0 and subprocess.run([program, "-c", ""], user=65534, cwd="/", stderr=subprocess.DEVNULL).returncode == 0:
                return program
        except OSError:
            pass
    return None


PYTHON = python()


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)


def model(folder, key, name="ranker", weights=b"weights"):
    path = folder / name
    (path / "sub").mkdir(parents=True)
    (path / "weights.bin").write_bytes(weights)
    (path / "sub" / "config.json").write_text("{}")
    if key is not None:
        done = run("model", "sign", path, "--key", key, "--signature", path / "model.sig")
        case("signed: " + name, done.returncode == 0, done.stderr)
    for one in (path, *path.rglob("*")):
        one.chmod(0o755 if one.is_dir() else 0o644)
        os.chown(one, 0, 0)
    return path


class Launch:
    """A program that `merlon model run` started as user nobody."""

    def __init__(self, folder, path, *more, program=()):
        self.child = subprocess.Popen(
            [os.path.abspath(MERLON), "model", "run", str(path), "--key", str(folder / "key.pub.pem"), "--records", str(folder / "records"), "--user", "nobody",
             *map(str, more), "--", *(program or (PYTHON, str(folder / "fetch.py"), str(folder / "w" / "api.sock")))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")
        self.pid = self.child.pid

    def line(self):
        return self.child.stdout.readline().decode().split()

    def again(self):
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()
        return self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.communicate()


def ready(folder):
    """A server that is unsealed, with the trust domain and the attestor; its token."""
    port = free_port()
    config = folder / "merlon.yaml"
    config.write_text("data: %s/data\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_disable: true\nspiffe:\n  trust_domain: example.org\n"
                      "  socket: %s/w/api.sock\n  attest:\n    model: {records: %s/records}\n" % (folder, port, folder, folder))
    server = Server(config=config, port=port, data=folder, wait=False)
    server.wait(codes=(501, 503))
    done = server.api("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
    server.api("PUT", "sys/unseal", {"key": done["keys_base64"][0]})
    server.wait()
    server.api.token = done["root_token"]
    return server


def refused(folder, name, path, *more, want, program=()):
    with Launch(folder, path, *more, program=program) as one:
        out, err = one.child.communicate(timeout=30)
        case(name, one.child.returncode == want and not out, "%d %s %s" % (one.child.returncode, out, err))


def started(server, folder, path, root):
    with Launch(folder, path) as one:
        got = one.line()
        case("a process that was started with the model has its identity", got[1:] == [root, ID], got or one.child.stderr.read())
        case("as the user that it was to be", got[:1] == ["65534"], got)
        case("the record is root's", (folder / "records" / str(one.pid)).stat().st_mode & 0o777 == 0o600)
        case("asked again, the same", one.again()[2:] == [ID])
        other = subprocess.run([PYTHON, str(folder / "fetch.py"), str(folder / "w" / "api.sock")], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, user=65534, timeout=30, env={**os.environ, "MERLON_MODEL": str(path)})
        case("another process of the same user, program and environment has none", other.stdout.split()[2:] == [b"none"],
             other.stdout)
        weights = path / "weights.bin"
        before = weights.read_bytes()
        weights.write_bytes(b"WEIGHTS")
        os.utime(weights, (1, 1))
        case("after the model was altered it has none at its next connection", one.again()[2:] == ["none"])
        weights.write_bytes(before)
        case("nor when the bytes are the old ones again", one.again()[2:] == ["none"])
    with Launch(folder, path, program=(PYTHON, str(folder / "fetch.py"), str(folder / "w" / "api.sock"), "child")) as one:
        case("a child of the process has none", one.line()[2:] == ["none"])
    with Launch(folder, path) as one:
        case("started anew it has it", one.line()[2:] == [ID])
    notes = sorted(p.name for p in (folder / "records").iterdir())
    case("records of processes that are gone are cleared away", len(notes) <= 2, notes)


def owned(server, folder, root):
    """Files that another than root may write could be mapped by him, and what he writes then shows in no time."""
    def spoil(name, path, how):
        whole = model(folder, folder / "key.pem", "of-" + name)
        how(whole / path)
        with Launch(folder, whole) as one:
            out, err = one.child.communicate(timeout=30)
            case("%s: starts nothing" % name, one.child.returncode == 4 and not out and b"not root's" in err, "%d %s %s" % (one.child.returncode, out, err))

    spoil("users-file", "weights.bin", lambda path: os.chown(path, 65534, 65534))
    spoil("users-folder", "sub", lambda path: os.chown(path, 65534, 65534))
    spoil("users-model", "", lambda path: os.chown(path, 65534, 65534))
    spoil("group-writable-file", "sub/config.json", lambda path: path.chmod(0o664))
    spoil("file-that-all-write", "weights.bin", lambda path: path.chmod(0o646))
    spoil("folder-that-all-write", "sub", lambda path: path.chmod(0o777))
    good = folder / "ranker"
    with Launch(folder, good) as one:
        case("root's own has its identity", one.line()[1:] == [root, ID])
        record = folder / "records" / str(one.pid)
        note = json.loads(record.read_text())
        (good / "weights.bin").chmod(0o666)
        for seen in note["watch"]:
            if seen[0] == "weights.bin":
                at = (good / "weights.bin").stat()
                seen[4:6] = [at.st_mtime_ns, at.st_ctime_ns]
        record.write_text(json.dumps(note))
        case("a file that others may write has none, whatever the record says", one.again()[2:] == ["none"])
        (good / "weights.bin").chmod(0o644)


def body():
    if os.getuid() != 0 or not shutil.which("openssl") or PYTHON is None:
        return skip("identities by models", "this is not root, there is no openssl, or no Python that nobody may run")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-model-"))
    folder.chmod(0o755)
    server = None
    try:
        (folder / "fetch.py").write_text(FETCH)
        for key in ("key", "other"):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / (key + ".pem"))
            openssl("ec", "-in", folder / (key + ".pem"), "-pubout", "-out", folder / (key + ".pub.pem"))
        server = ready(folder)
        good = model(folder, folder / "key.pem")
        report = json.loads(run("model", "verify", good, "--key", folder / "key.pub.pem", "--format", "json").stdout)
        hint = report["signer"]["hint"]
        answer = server.api("POST", "spiffe/entries", {"spiffe_id": ID, "selectors": ["model:sha256:" + report["root"], "model:name:ranker",
                                                                                       "model:signer:key:" + hint]})
        case("an entry for the release", answer.code == 200, answer)
        started(server, folder, good, report["root"])
        owned(server, folder, report["root"])
        refused(folder, "an unsigned model starts nothing", model(folder, None, "unsigned"), want=3)
        refused(folder, "one of another signer starts nothing", model(folder, folder / "other.pem", "foreign"), want=5)
        altered = model(folder, folder / "key.pem", "altered")
        (altered / "weights.bin").write_bytes(b"WEIGHTS")
        refused(folder, "an altered model starts nothing", altered, want=5)
        refused(folder, "a program that is not there", good, program=("/nonexistent/program",), want=3)
        refused(folder, "a user that is not there", good, "--user", "nobody-like-that", want=3)
        with Launch(folder, model(folder, folder / "key.pem", "other-release", b"others")) as one:
            case("another release of the same signer has none of its identity", one.line()[2:] == ["none"])
        mere = subprocess.run([os.path.abspath(MERLON), "model", "run", str(good), "--key", str(folder / "key.pub.pem"), "--records", str(folder / "records"), "--",
                               "true"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, user=65534, cwd="/")
        case("a user cannot say so himself", mere.returncode != 0 and b"root" in mere.stderr, mere.stderr)
    finally:
        if server is not None:
            server.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    finish(body, "model_identity")
