#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who is at the workload socket: selectors of two users, of a pod (a small kubelet), of a unit and a job; processes that end.

usage: attest.py [MERLON]     (default: $MERLON, else build/merlon)
What the attest process finds is read in its log at level debug, as an administrator does who writes entries. Users need root, folders
of cgroups a writable /sys/fs/cgroup: skipped with the reason where there is none.
"""
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from kit import MERLON, Server, case, finish, free_port, skip

ID = "%064x" % 0x1234567890abcdef
POD = "c2f1b2ce-0d4a-4c53-9d27-1f2b6a0e3b77"
CONNECT = "import os,socket,sys,time; u=int(sys.argv[3]); u and (os.setgroups([u+1]), os.setgid(u), os.setuid(u)); s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(float(sys.argv[2]))"


def until(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    return what()


def selectors(server, pid, seconds=10):
    """What was logged of a process, when it is all there."""
    def found():
        lines = [line for line in server.printed().splitlines() if "process %d of user " % pid in line or "process %d of" % pid in line]
        return [line.split(": ", 2)[2] for line in lines if line.count(": ") >= 2]
    until(found, seconds)
    time.sleep(0.1)
    return found()


class Visitor:
    """A process that connects and stays for a while."""

    def __init__(self, path, uid=None, seconds=20, before=None):
        self.child = subprocess.Popen([sys.executable, "-c", CONNECT, path, str(seconds), str(uid or 0)], preexec_fn=before)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()


def config(folder, more=""):
    path = pathlib.Path(folder) / "merlon.yaml"
    path.write_text("data: %s/data\nlisteners:\n  - address: 127.0.0.1:%d\n    tls_disable: true\nlog: {level: debug}\n"
                    "spiffe:\n  socket: %s/w/api.sock\n%s" % (folder, PORT, folder, more))
    return path


PORT = free_port()


def start(folder, more=""):
    server = Server(config=config(folder, more), port=PORT, data=folder, wait=False)
    server.wait(codes=(501, 503))
    return server


def users(server, path):
    digest = hashlib.sha256(pathlib.Path(os.path.realpath(sys.executable)).read_bytes()).hexdigest()
    with Visitor(path) as one:
        found = selectors(server, one.pid)
        case("its user", "unix:uid:%d" % os.getuid() in found, found)
        case("its program", "unix:path:" + os.path.realpath(sys.executable) in found, found)
        case("the digest of its program", "unix:sha256:" + digest in found, found)
    if os.getuid() != 0:
        return skip("another user", "this is not root")
    with Visitor(path, uid=4242) as two:
        found = selectors(server, two.pid)
        case("another user", "unix:uid:4242" in found and "unix:gid:4242" in found and "unix:uid:0" not in found, found)
        case("another user's groups", "unix:supplementary_gid:4243" in found, found)
        case("another user's program", "unix:sha256:" + digest in found, found)


def own_mounts(server, path):
    """In a mount namespace of its own anything can be at any path."""
    done = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.PIPE)
    if done.returncode != 0:
        return skip("a path in another mount namespace", done.stderr.decode())
    child = subprocess.Popen(["unshare", "-m", sys.executable, "-c", CONNECT, path, "20", "0"])
    try:
        found = selectors(server, child.pid)
        case("no path in another mount namespace", found and not any(one.startswith("unix:path:") for one in found), found)
        case("but its digest", any(one.startswith("unix:sha256:") for one in found), found)
    finally:
        child.kill()
        child.wait()


def ends(server, path):
    """The socket outlives the process that connected: whoever has it then is somebody else."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        socket.send_fds(there, [b"x"], [s.fileno()])
        time.sleep(0.5)
        os._exit(0)
    _, fds, _, _ = socket.recv_fds(here, 1, 1)
    os.waitpid(pid, 0)
    case("a process that ended before its connection", until(lambda: "process %d of user %d has ended before" % (pid, os.getuid()) in server.printed()),
         server.printed()[-500:])
    os.close(fds[0])
    quick = os.fork()
    if quick == 0:
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        os._exit(0)
    os.waitpid(quick, 0)
    with Visitor(path) as one:
        case("one that ends at once disturbs nobody", selectors(server, one.pid))


def killed(server, path):
    with Visitor(path, seconds=30) as one:
        selectors(server, one.pid)
        before = server.process("merlon-attest")
        os.kill(before[0], signal.SIGKILL)
        again = until(lambda: [pid for pid in server.process("merlon-attest") if pid not in before])
        case("the attest process starts again", again, server.process("merlon-attest"))
        twice = until(lambda: server.printed().count("process %d of user %d: unix:uid:" % (one.pid, os.getuid())) == 2)
        case("and looks again at who is connected", twice, server.printed()[-500:])
    with Visitor(path) as two:
        case("and at who comes", selectors(server, two.pid))
    front = server.process("merlon-front")[0]
    os.kill(front, signal.SIGKILL)
    until(lambda: server.process("merlon-front") not in ([], [front]))
    with Visitor(path) as three:
        case("a new front serves the socket", selectors(server, three.pid))


def sandbox(server):
    pid = server.process("merlon-attest")[0]
    status = dict(line.split(":\t", 1) for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines() if ":\t" in line)
    kept = int(status["CapEff"], 16)
    case("the attest process keeps two capabilities at most", kept & ~(1 << 2 | 1 << 19) == 0, status["CapEff"])
    case("and is no root", status["Uid"].split()[0] != "0", status["Uid"])


# ---- cgroups ----

class Group:
    """A folder of cgroups; None in `path` and why when there can be none."""

    def __init__(self, name):
        self.path, self.why, self.made = None, "", []
        for base in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer"):
            if not os.path.isdir(base) or not (os.path.exists(base + "/cgroup.procs") or os.path.exists(base + "/tasks")):
                continue
            try:
                at = base
                for part in name.split("/"):
                    at = at + "/" + part
                    if not os.path.isdir(at):
                        os.mkdir(at)
                        self.made.append(at)
                self.path = at
                return
            except OSError as error:
                self.why = repr(error)

    def enter(self):
        pathlib.Path(self.path, "cgroup.procs").write_text(str(os.getpid()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for path in reversed(self.made):
            until(lambda path=path: remove(path), 2)


def remove(path):
    try:
        os.rmdir(path)
        return True
    except OSError:
        return False


def in_group(server, path, name, wanted, absent=()):
    with Group(name) as group:
        if group.path is None:
            return skip(name, group.why or "no cgroups to write to")
        with Visitor(path, before=group.enter) as one:
            found = selectors(server, one.pid)
            case(name, all(any(f == w for f in found) for w in wanted) and not any(f.startswith(a) for f in found for a in absent), found)


def pod_list():
    return json.dumps({"kind": "PodList", "items": [{
        "metadata": {"name": "train-0", "namespace": "ml", "uid": POD, "labels": {"app": "train", "evil": "x\ny"}},
        "spec": {"serviceAccountName": "trainer", "nodeName": "n1"},
        "status": {"containerStatuses": [{"name": "main", "containerID": "containerd://" + ID, "image": "r/i:1"}]}}]}).encode()


class Kubelet(http.server.BaseHTTPRequestHandler):
    asked, body, code, later = [], b"", 200, None  # later: what it says from the second question on

    def do_GET(self):
        Kubelet.asked.append((self.path, self.headers.get("Authorization")))
        right = self.headers.get("Authorization") == "Bearer node-token"
        self.send_response(Kubelet.code if right else 401)
        self.send_header("Content-Length", str(len(Kubelet.body) if right else 0))
        self.end_headers()
        if right:
            self.wfile.write(Kubelet.body)
            Kubelet.body, Kubelet.later = Kubelet.later or Kubelet.body, None

    def log_message(self, *_):
        pass


def kubelet(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder + "/k.key",
                    "-out", folder + "/k.pem", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/k.pem", folder + "/k.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kubelet)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pathlib.Path(folder, "token").write_text("node-token\n")
    return server


def kubernetes(folder):
    stub = kubelet(folder)
    more = ("  attest:\n    kubernetes:\n      kubelet: https://127.0.0.1:%d\n      ca_file: %s/k.pem\n      token_file: %s/token\n"
            % (stub.server_port, folder, folder))
    server = start(folder, more)
    path = folder + "/w/api.sock"
    place = "kubepods/burstable/pod%s/%s" % (POD, ID)
    try:
        Kubelet.body = pod_list()
        in_group(server, path, place, ["k8s:ns:ml", "k8s:sa:trainer", "k8s:pod-label:app:train", "k8s:pod-name:train-0", "k8s:container-name:main",
                                       "k8s:pod-uid:" + POD, "k8s:node-name:n1", "k8s:container-image:r/i:1", "container:id:" + ID],
                 absent=["k8s:pod-label:evil"])
        time.sleep(2.1)  # what was fetched is fresh for two seconds
        Kubelet.body, Kubelet.later, Kubelet.asked = json.dumps({"items": []}).encode(), pod_list(), []
        in_group(server, path, place, ["k8s:ns:ml"])
        if Kubelet.asked:
            case("a pod that the kubelet does not know at first is asked for again", len(Kubelet.asked) > 1, Kubelet.asked)
        for name, body, code in (("a kubelet that knows nothing of it", b'{"items":[]}', 200), ("one that says nonsense", b"{", 200),
                                 ("one that refuses", b"", 403)):
            Kubelet.body, Kubelet.code = body, code
            time.sleep(2.1)
            not_attested(server, path, place, name)
    finally:
        server.end()
        server.out.close()
        stub.shutdown()


# ---- Docker ----

class Dockerd(http.server.BaseHTTPRequestHandler):
    """GET /containers/ID/json as dockerd answers it."""
    answer, asked = (200, b""), []

    def do_GET(self):
        Dockerd.asked.append(self.path)
        code, body = Dockerd.answer
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # who says too much is hung up on


def inspected(**more):
    return json.dumps({"Id": ID, "Image": "sha256:" + "ab" * 32, "Config": {
        "Image": "registry.example/ranker:7", "Env": ["PASSWORD=secret"],
        "Labels": {"team": "ml", "com.docker.compose.service": "ranker", "bad": "a\nb", "empty": "", "odd": 7}}, **more}).encode()


def docker(folder):
    where = folder + "/docker.sock"
    stub = UnixServer(where, Dockerd)
    os.chmod(where, 0o660)
    if os.getuid() == 0:
        os.chown(where, 0, 4321)  # as root:docker: the helper keeps that group and nothing else
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    server = start(folder, "  attest:\n    docker: {socket: %s}\n" % where)
    path, place = folder + "/w/api.sock", "docker/" + ID
    try:
        Dockerd.answer = (200, inspected())
        in_group(server, path, place, ["docker:label:team:ml", "docker:label:com.docker.compose.service:ranker", "docker:label:empty:",
                                       "docker:image_id:registry.example/ranker:7", "docker:image_config_digest:sha256:" + "ab" * 32,
                                       "container:id:" + ID],
                 absent=["docker:label:bad", "docker:label:odd", "docker:env", "PASSWORD"])
        if Dockerd.asked:
            case("asked for this container only", set(Dockerd.asked) == {"/containers/%s/json" % ID}, Dockerd.asked)
        Dockerd.answer, Dockerd.asked = (404, b"{}"), []
        in_group(server, path, ID, ["container:id:" + ID], absent=["docker:"])  # of another runtime
        in_group(server, path, "libpod-" + ID + ".scope", ["container:runtime:podman"], absent=["docker:"])
        for name, answer in (("does not know it", (404, b"{}")), ("speaks of another", (200, inspected(Id="f" * 64))),
                             ("says nonsense", (200, b"{")), ("says too much", (200, b'{"Id":"' + b"x" * (2 << 20) + b'"}')),
                             ("fails", (500, b""))):
            Dockerd.answer = answer
            not_attested(server, path, place, "a dockerd that " + name)
        if os.getuid() == 0:
            status = [pathlib.Path("/proc/%d/status" % pid).read_text() for pid in server.process("merlon-docker")]
            case("the process that asks it is an ordinary user in its group", len(status) == 1 and "\nUid:\t65534\t" in status[0] and
                 "\nGroups:\t4321 \n" in status[0] and "\nCapEff:\t0000000000000000\n" in status[0], status)
        stub.shutdown()
        stub.server_close()
        not_attested(server, path, place, "a dockerd that is gone")
    finally:
        server.end()
        server.out.close()


def of_a_node(folder):
    """A node has attestors with settings, too."""
    where, file = folder + "/node.sock", pathlib.Path(folder, "attest.yaml")
    stub = UnixServer(where, Dockerd)
    os.chmod(where, 0o666)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    Dockerd.answer = (200, inspected())
    with Server("--trust-domain", "example.org") as server:
        token = pathlib.Path(folder, "join")
        token.write_text(server.api("POST", "spiffe/nodes/join-token", {}).data["token"])
        args = [MERLON, "node", "run", "--server", "http://127.0.0.1:%d" % server.port, "--socket", folder + "/n/api.sock", "--data",
                folder + "/node", "--join-token-file", str(token), "--attest", str(file), "--log-level", "debug"]
        for text, part in (("kubelet: x\n", b"kubelet"), ("docker: {socket: x}\n", b"docker.socket"), ("- a\n", b"keys of its own"),
                           ("{", b"attest.yaml")):
            file.write_text(text)
            done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
            case("settings that are none are refused: " + text.strip(), done.returncode == 2 and part in done.stdout, done.stdout)
        file.write_text("docker: {socket: %s}\n" % where)
        node = Logged(args)
        try:
            ready = until(lambda: "\nready" in "\n" + node.printed(), 20)
            case("a node with settings of attestors", ready, node.printed()[-500:])
            in_group(node, folder + "/n/api.sock", "docker/" + ID, ["docker:label:team:ml"])
        finally:
            node.end()
    stub.shutdown()
    stub.server_close()


class Logged:
    """A process of ours with all that it printed."""

    def __init__(self, args):
        self.out = tempfile.TemporaryFile()
        self.child = subprocess.Popen(args, stdout=self.out, stderr=subprocess.STDOUT, start_new_session=True)

    printed = Server.printed

    def end(self):
        self.child.terminate()
        self.child.wait(20)
        self.out.close()


def not_attested(server, path, place, name):
    with Group(place) as group:
        if group.path is None:
            return skip(name, group.why)
        with Visitor(path, before=group.enter) as one:
            refused = until(lambda: "process %d of user %d is not attested" % (one.pid, os.getuid()) in server.printed(), 20)
            case(name + ": not attested", refused, server.printed()[-300:])
            said = [line.split("is not attested: ")[1] for line in server.printed().splitlines() if "process %d of" % one.pid in line and
                    "is not attested: " in line]
            case("and the log says why", said and len(said[0]) > 10, said)


def body():
    folder = tempfile.mkdtemp(prefix="merlon-attest-")
    os.chmod(folder, 0o755)
    path = folder + "/w/api.sock"
    server = start(folder)
    try:
        users(server, path)
        own_mounts(server, path)
        ends(server, path)
        in_group(server, path, "docker/" + ID, ["container:id:" + ID, "container:runtime:docker"])
        in_group(server, path, "slurm/uid_7/job_42/step_0", ["slurm:job-id:42", "slurm:step-id:0", "slurm:uid:7"])
        in_group(server, path, "user.slice/user-7.slice/user@7.service/docker/" + ID, ["unix:uid:%d" % os.getuid()], absent=["container:"])
        if os.getuid() == 0:
            sandbox(server)
        killed(server, path)
        again = subprocess.run([MERLON, "server", "--dev", "--dev-listen-address", "127.0.0.1:0", "--spiffe-socket", path],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        case("a second server does not take the socket", again.returncode != 0 and b"in use" in again.stdout, again.stdout)
        server.end()
        case("the socket goes with the server", not os.path.exists(path))
        server.out.close()
        kubernetes(folder)
        docker(folder)
        of_a_node(folder)
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


finish(body, "attest.py")
