#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`merlon proxy`: mTLS with SPIFFE identities between programs that do not speak it. Both directions on loopback, who is refused and what it
leaves in the records, rotation of SVIDs and authorities under connections, processes that die, draining, limits.

usage: spiffe_proxy.py [MERLON]     (default: $MERLON, else build/merlon)
As root, each side runs as a user of its own and is another workload; else both have the same identity, and cases that need two are skipped.
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
import tempfile
import threading
import time

import kit
from kit import Server, case, finish, free_port, skip

DOMAIN = "example.org"
TD = "spiffe://" + DOMAIN
WEB_UID, DB_UID, OTHER_UID = 41001, 41002, 41003
IS_ROOT = os.getuid() == 0
WEB, DB, OTHER = (TD + "/ns/a/sa/web", TD + "/ns/a/sa/db", TD + "/ns/a/sa/other") if IS_ROOT else (TD + "/me",) * 3
MIB = 1 << 20
WAIT_S = 15


def wait(ask, seconds=WAIT_S):
    """The first answer that is something, or the last."""
    end = time.monotonic() + seconds
    got = ask()
    while not got and time.monotonic() < end:
        time.sleep(0.05)
        got = ask()
    return got


class Echo:
    """A program that knows nothing of SPIFFE: gives back what it gets, and counts who came."""

    def __init__(self, reads=True):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.socket.getsockname()[1]
        self.came, self.reads = 0, reads
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            self.came += 1
            if self.reads:
                threading.Thread(target=self.serve, args=(link,), daemon=True).start()
            else:
                self.link = link

    @staticmethod
    def serve(link):
        with link:
            try:
                while True:
                    data = link.recv(65536)
                    if not data:
                        return
                    link.sendall(data)
            except OSError:
                pass


class Proxy:
    """`merlon proxy` as a user; its records are a file."""
    folder = None   # of this test
    program = None  # a copy that other users may run
    n = 0

    def __init__(self, *flags, uid=None, socket_path=None, wait_ready=True):
        Proxy.n += 1
        self.home = Proxy.folder / ("p%d" % Proxy.n)
        self.home.mkdir()
        self.record_file = self.home / "records.ndjson"
        self.log = open(self.home / "log", "wb")
        more = {}
        if IS_ROOT and uid is not None:
            os.chown(self.home, uid, uid)
            more = {"user": uid, "group": uid, "extra_groups": []}
        self.child = subprocess.Popen([Proxy.program, "proxy", *map(str, flags), "--records", self.record_file], stdout=subprocess.PIPE,
                                      stderr=self.log, env={**os.environ, "SPIFFE_ENDPOINT_SOCKET": "unix://%s" % socket_path},
                                      start_new_session=True, **more)
        self.ports = {}
        if wait_ready:
            self.read_ready()

    def read_ready(self):
        for line in self.child.stdout:
            text = line.decode().strip()
            if text == "ready":
                return
            name, rest = text.split(": ", 1)
            address = rest.split(" on ")[1].split(",")[0] if " on " in rest else rest
            self.ports[name] = int(address.rsplit(":", 1)[1].split("/")[0]) if ":" in address and "unix" not in address else address
        raise RuntimeError("the proxy is not ready: " + self.said())

    @property
    def port(self):
        return self.ports["proxy"]

    def said(self):
        return (self.home / "log").read_text(errors="replace")[-3000:]

    def records(self, **members):
        rows = [json.loads(line) for line in self.record_file.read_text().splitlines()] if self.record_file.exists() else []
        return [row for row in rows if all(row.get(k) == v for k, v in members.items())]

    def pids(self, name):
        found = []
        for entry in os.listdir("/proc"):
            try:
                stat = pathlib.Path("/proc", entry, "stat").read_text() if entry.isdigit() else ""
            except OSError:
                continue
            if "(%s)" % name in stat and int(stat.rsplit(")", 1)[1].split()[1]) == self.child.pid:
                found.append(int(entry))
        return found

    def end(self, how=signal.SIGTERM, seconds=20):
        if self.child.poll() is None:
            self.child.send_signal(how)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return None
        finally:
            self.log.close()
            self.child.stdout.close()


def connect(port, timeout=WAIT_S):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def say(link, data=b"hello"):
    """What comes back, b"" when the other side ends, or the error."""
    try:
        link.sendall(data)
        got = b""
        while len(got) < len(data):
            more = link.recv(len(data) - len(got))
            if not more:
                return got
            got += more
        return got
    except OSError as error:
        return error


def attempt(port, timeout=WAIT_S):
    """What one word gets, where nobody may answer: it may be over before connect() returns."""
    try:
        with connect(port, timeout) as link:
            return say(link)
    except OSError as error:
        return error


def works(port):
    return attempt(port) == b"hello"


# ---- both directions ----

def through(web, db, echo):
    data = os.urandom(4 * MIB)
    with connect(web.port) as link:
        case("a word goes there and back", say(link) == b"hello", web.said() + db.said())
        got = []

        def read():
            while True:
                more = link.recv(65536)
                if not more:
                    return
                got.append(more)
        reader = threading.Thread(target=read)
        reader.start()
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        reader.join(WAIT_S)
        case("so do 4 MiB, and half a close", not reader.is_alive() and b"".join(got) == data, len(b"".join(got)))
    ends = wait(lambda: db.records(event="end"))
    row = ends[0] if ends else {}
    case("the server's record says who, with what, how much", row.get("peer_id") == WEB and row.get("own_id") == DB and row.get("proved") is True and
         row.get("bytes_in") == row.get("bytes_out") == len(data) + 5 and row.get("reason") == "closed" and len(row.get("own_serial", "")) >= 16 and
         row.get("start", "") < row.get("end", "") and row.get("from", "").startswith("127.0.0.1:"), row)
    opened = db.records(event="open")
    case("and there was one when it opened", len(opened) == 1 and opened[0]["conn"] == row.get("conn"), opened)
    row = (wait(lambda: web.records(event="end")) or [{}])[0]
    case("the client's record too", row.get("peer_id") == DB and row.get("own_id") == WEB and row.get("mode") == "client" and
         row.get("reason") == "closed", row)
    came = echo.came
    case("a second connection", works(web.port) and echo.came == came + 1)


def refusals(server, db, echo, address):
    came = echo.came
    if IS_ROOT:
        other = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", DB, uid=OTHER_UID, socket_path=address)
        answer = attempt(other.port)
        case("a wrong id gets nothing", answer == b"" or isinstance(answer, OSError), answer)
        row = (wait(lambda: db.records(event="refused", reason="not_allowed")) or [{}])[0]
        case("and leaves a record", row.get("peer_id") == OTHER and row.get("proved") is False, row)
        row = (wait(lambda: other.records(reason="refused_by_peer")) or [{}])[0]
        case("also on its own side", row.get("peer_id") == DB, other.records())
        other.end()
        picky = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", WEB, uid=WEB_UID, socket_path=address)
        answer = attempt(picky.port)
        case("a server with a wrong id gets nothing", answer == b"" or isinstance(answer, OSError), answer)
        row = (wait(lambda: picky.records(event="refused", reason="not_allowed")) or [{}])[0]
        case("and the client says whom it met", row.get("peer_id") == DB and row.get("bytes_out") == 0, row)
        picky.end()
    else:
        skip("a wrong id gets nothing", "not root: all have one identity")
    strangers(db)
    case("the program heard of none of them", echo.came == came, echo.came - came)


def handshake(port, **versions):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in versions.items():
        setattr(context, name, value)
    try:
        with context.wrap_socket(connect(port)) as link:
            link.sendall(b"x")
            return link.recv(1)
    except (ssl.SSLError, OSError) as error:
        return error


def strangers(db):
    error = handshake(db.port)
    case("no certificate, no connection", isinstance(error, ssl.SSLError) and "CERTIFICATE_REQUIRED" in str(error).upper(), error)
    case("it is in the records", wait(lambda: db.records(event="refused", reason="no_certificate")), db.records())
    error = handshake(db.port, maximum_version=ssl.TLSVersion.TLSv1_2)
    case("TLS 1.2 is refused", isinstance(error, ssl.SSLError), error)
    with connect(db.port) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        case("so is what is no TLS", b"HTTP" not in link.recv(100))
    case("both are in the records", wait(lambda: len(db.records(event="refused", reason="tls")) >= 2), db.records())


# ---- bounds ----

def rss(pid):
    return int(pathlib.Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def slow_ones(address, web_flags):
    """Three hundred that never finish their handshake, where a hundred connections may be."""
    echo = Echo()
    config = Proxy.folder / "slow.yaml"
    config.write_text("listeners:\n  - name: proxy\n    mode: server\n    listen: 127.0.0.1:0\n    target: 127.0.0.1:%d\n    allow: ['%s/**']\n"
                      "limits:\n  connections: 100\n  handshake: 4s\n" % (echo.port, TD))
    db = Proxy("--config", config, uid=DB_UID, socket_path=address)
    web = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", TD + "/**", uid=WEB_UID, socket_path=address)
    stays = connect(web.port)
    case("one connection before the flood", say(stays) == b"hello", db.said())
    slow = [connect(db.port) for _ in range(300)]
    for link in slow[::2]:
        try:
            link.sendall(b"\x16\x03\x01")
        except OSError:
            pass
    began = time.monotonic()
    case("who shakes hands at once gets in all the same", works(web.port), db.said())
    case("without waiting for them", time.monotonic() - began < 3.5, time.monotonic() - began)
    case("who was there stays", say(stays) == b"hello")
    case("slow ones are ended", wait(lambda: len(db.records(event="refused", reason="handshake_timeout")) >= 300), len(db.records()))
    for link in slow + [stays]:
        link.close()
    web.end()
    case("the proxy that was flooded ends well", db.end() == 0)


def stalled(address):
    """A program that does not read: the sender waits, and the relays hold no more than some buffers."""
    sink = Echo(reads=False)
    db = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % sink.port, "--allow", TD + "/**", uid=DB_UID, socket_path=address)
    web = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", TD + "/**", uid=WEB_UID, socket_path=address)
    relays = web.pids("merlon-relay") + db.pids("merlon-relay")
    before = [rss(pid) for pid in relays]
    block, sent = b"x" * MIB, 0
    link = connect(web.port, timeout=1)
    try:
        while sent < 256 * MIB:
            sent += link.send(block)
    except (TimeoutError, socket.timeout):
        pass
    case("the sender has to wait", 0 < sent < 256 * MIB, sent)
    grown = [rss(pid) - was for pid, was in zip(relays, before)]
    case("and no relay grows by more than 2 MiB", len(grown) == 2 and max(grown) < 2 * MIB, grown)
    got = 0
    sink.link.settimeout(WAIT_S)
    threading.Thread(target=link.shutdown, args=(socket.SHUT_WR,)).start()
    while True:
        more = sink.link.recv(MIB)
        if not more:
            break
        got += len(more)
    case("read at last, it is all there", got == sent, "%d of %d" % (got, sent))
    sink.link.close()
    link.close()
    web.end()
    db.end()


# ---- rotation and deaths ----

class Authority:
    """The X.509 authority of a server through a rotation: what was active is tainted and revoked, what is prepared is activated."""

    def __init__(self, server):
        self.api, self.old, self.new = server.api, self.ids(server)[0], None

    @staticmethod
    def ids(server):
        return server.api("GET", "spiffe/authority/x509?list=true").data["keys"]

    def __call__(self, step):
        named = {"activate": self.new, "taint": self.old, "revoke": self.old}.get(step)
        answer = self.api("PUT", "spiffe/authority/x509/" + step, {"authority_id": named} if named else {})
        if step == "prepare":
            self.new = answer.data.get("authority_id") or answer.data.get("id")
        return answer


def rotation(server, web, db):
    stays = connect(web.port)
    case("a connection before the rotation", say(stays) == b"hello")
    first = db.records(event="open")[-1]["own_serial"]
    old = {row["own_serial"] for row in web.records(event="open")}
    authority = Authority(server)
    for step in ("prepare", "activate", "taint"):
        answer = authority(step)
        case("authority: " + step, answer.code == 200, answer)
        case("new connections after %s" % step, all(works(web.port) for _ in range(20)), web.said() + db.said())
        case("the old one stays", say(stays) == b"hello")
        time.sleep(0.3)

    def newer():
        works(web.port)
        return db.records(event="open")[-1]["own_serial"] != first and web.records(event="open")[-1]["own_serial"] not in old
    case("new connections have new SVIDs", wait(newer), db.said())
    answer = authority("revoke")
    case("authority: revoke", answer.code == 200, answer)
    case("new connections after revoke", all(works(web.port) for _ in range(20)), web.said() + db.said())
    case("the connection of the old SVID still stays", say(stays) == b"hello")
    stays.close()
    refused = db.records(event="refused", reason="untrusted") + web.records(event="refused", reason="untrusted")
    case("no handshake failed", not refused, refused)


def deaths(web, db):
    stays = connect(web.port)
    case("a connection before its keeper dies", say(stays) == b"hello")
    for pid in db.pids("merlon-keeper"):
        os.kill(pid, signal.SIGKILL)
    case("it stays", say(stays) == b"hello")
    case("another keeper signs", wait(lambda: works(web.port)), db.said())
    case("the connection still stays", say(stays) == b"hello")
    for pid in db.pids("merlon-relay"):
        os.kill(pid, signal.SIGKILL)
    answer = say(stays)
    case("with its relay a connection ends", answer == b"" or isinstance(answer, OSError), answer)
    case("another relay serves", wait(lambda: works(web.port)), db.said())
    stays.close()


def withdrawn(server, address, entries):
    echo = Echo()
    db = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % echo.port, "--allow", TD + "/**", "--metrics", "127.0.0.1:%d" % free_port(),
               uid=DB_UID, socket_path=address)
    web = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", TD + "/**", uid=WEB_UID, socket_path=address)
    stays = connect(web.port)
    case("a connection before the identity goes", say(stays) == b"hello")
    status, text = ask_metrics(db, "/healthz")
    case("it is healthy", status == 200, text)
    status, text = ask_metrics(db, "/metrics")
    case("metrics count it", status == 200 and "merlon_proxy_opened_total 1\n" in text and "merlon_proxy_open_connections 1\n" in text, text)
    case("what is not there is not", ask_metrics(db, "/x")[0] == 404)
    server.api("DELETE", "spiffe/entries/" + entries["db"])
    case("without an identity it is not", wait(lambda: ask_metrics(db, "/healthz")[0] == 503), db.said())
    case("the connection stays", say(stays) == b"hello")
    answer = attempt(web.port, timeout=1)
    case("no new one is made", isinstance(answer, OSError) or answer == b"", answer)
    entries["db"] = entry(server, DB, DB_UID)
    case("and again when it is back", wait(lambda: works(web.port), 60), db.said())
    stays.close()
    web.end()
    db.end()


def ask_metrics(proxy, path):
    link = http.client.HTTPConnection("127.0.0.1", proxy.ports["metrics"], timeout=5)
    link.request("GET", path)
    answer = link.getresponse()
    return answer.status, answer.read().decode()


def draining(web, db):
    stays = connect(web.port)
    case("a connection before the end", say(stays) == b"hello")
    moved = db.record_file.with_suffix(".old")
    db.record_file.rename(moved)
    db.child.send_signal(signal.SIGHUP)
    case("SIGHUP opens the records anew", wait(db.record_file.exists))
    db.child.send_signal(signal.SIGTERM)

    def is_closed():
        try:
            with connect(db.port, timeout=1) as link:
                return link.recv(1) == b""
        except OSError:
            return True
    case("nobody new gets in", wait(is_closed))
    case("the old connection still works", say(stays) == b"hello")
    case("and the proxy waits for it", db.child.poll() is None)
    stays.close()
    case("then it ends well", wait(lambda: db.child.poll() is not None, 10) and db.end() == 0, db.said())
    case("its last record is in the new file", db.records(event="end", reason="closed"), db.records())
    case("so does the other, with nothing to wait for", web.end(seconds=10) == 0, web.said())


def not_waiting(address, echo):
    db = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % echo.port, "--allow", TD + "/**", uid=DB_UID, socket_path=address)
    web = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", TD + "/**", uid=WEB_UID, socket_path=address)
    stuck = connect(web.port)
    case("a connection that does not end", say(stuck) == b"hello")
    db.child.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    case("is waited for", db.child.poll() is None)
    case("but not after a second SIGTERM", db.end(seconds=10) == 0, db.said())
    row = (db.records(event="end") or [{}])[0]
    case("and its record says so", row.get("reason") == "drained", row)
    answer = say(stuck)
    case("its program sees that it was cut off", answer == b"" or isinstance(answer, OSError), answer)
    stuck.close()
    web.end()


# ---- configuration ----

def files(address):
    echo, path = Echo(), Proxy.folder / "sockets" / "db.sock"
    path.parent.mkdir()
    if IS_ROOT:
        os.chown(path.parent, WEB_UID, WEB_UID)
    server_file, client_file = Proxy.folder / "db.hcl", Proxy.folder / "web.yaml"
    server_file.write_text('listener "one" {\n  mode = "server"\n  listen = "127.0.0.1:0"\n  target = "127.0.0.1:%d"\n  allow = ["%s/**"]\n  alpn = ["echo"]\n}\n'
                           'listener "two" {\n  mode = "server"\n  listen = "127.0.0.1:0"\n  target = "127.0.0.1:1"\n  allow = ["%s/**"]\n}\n'
                           'limits {\n  threads = 2\n}\n' % (echo.port, TD, TD))
    db = Proxy("--config", server_file, uid=DB_UID, socket_path=address)
    client_file.write_text("listeners:\n"
                           "  - {name: one, mode: client, listen: 'unix:%s', target: '127.0.0.1:%d', allow: ['%s/**'], alpn: [echo], socket_mode: '0600'}\n"
                           "  - {name: two, mode: client, listen: '127.0.0.1:0', target: 'localhost:%d', allow: ['%s/**']}\n"
                           "  - {name: odd, mode: client, listen: '127.0.0.1:0', target: 'localhost:%d', allow: ['%s/**'], alpn: [other]}\n"
                           % (path, db.ports["one"], TD, db.ports["two"], TD, db.ports["one"], TD))
    web = Proxy("--config", client_file, uid=WEB_UID, socket_path=address)
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(WAIT_S)
        link.connect(str(path))
        case("in by a Unix socket, two listeners from HCL, three from YAML", say(link) == b"hello", web.said() + db.said())
    case("its mode is as asked", path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode))
    row = (wait(lambda: web.records(event="end", listener="one")) or [{}])[0]
    case("the record says which user came", row.get("from", "").startswith("uid %d pid " % os.getuid()), row)
    answer = attempt(web.ports["two"])
    case("a target that is not there ends the connection", answer == b"" or isinstance(answer, OSError), answer)
    case("and is in the records", wait(lambda: db.records(event="refused", listener="two", reason="target_unreachable")), db.records())
    answer = attempt(web.ports["odd"])
    case("another protocol than the listener's is refused", answer == b"" or isinstance(answer, OSError), answer)
    web.end()
    case("the Unix socket is gone afterwards", not path.exists())
    db.end()


# ---- evidence ----

def told(server):
    """Connections that are in the ledger, each with who told it."""
    done = kit.run("ledger", "show", "--format", "json", env=server.environment)
    rows = json.loads(done.stdout or b"{}").get("entries", [])
    return [(row["content"]["actor"], one) for row in rows if (row.get("content") or {}).get("resource") == "spiffe/connections" and
            row["content"].get("decision") == "allow" for one in row["content"].get("detail", {}).get("connections", [])]


def evidence(server, address):
    api, echo = server.api, Echo()
    api("PUT", "sys/policies/acl/proxy", {"policy": 'path "spiffe/connections" { capabilities = ["update"] }'})
    token = api("POST", "auth/token/create", {"policies": ["proxy"], "display_name": "prox"}).json["auth"]["client_token"]
    api("PUT", "sys/auth/spiffe", {"type": "spiffe"})
    answer = api("PUT", "auth/spiffe/role/proxy", {"bound_ids": TD + "/**", "token_policies": "proxy"})
    case("a role for proxies", answer.code == 204, answer)
    token_file, at = Proxy.folder / "token", "http://127.0.0.1:%d" % server.port
    token_file.write_text(token + "\n")
    if IS_ROOT:
        os.chown(token_file, DB_UID, DB_UID)
    token_file.chmod(0o600)
    listener = "listeners:\n  - {name: %s, mode: %s, listen: '127.0.0.1:0', target: '127.0.0.1:%d', allow: ['%s/**']}\n"
    db_file, web_file = Proxy.folder / "evidence-db.yaml", Proxy.folder / "evidence-web.yaml"
    db_file.write_text(listener % ("by-token", "server", echo.port, TD) + "evidence: {server: '%s', token_file: '%s'}\n" % (at, token_file))
    db = Proxy("--config", db_file, uid=DB_UID, socket_path=address)
    web_file.write_text(listener % ("by-login", "client", db.ports["by-token"], TD) +
                        "evidence: {server: '%s', login: auth/spiffe, role: proxy}\n" % at)
    web = Proxy("--config", web_file, uid=WEB_UID, socket_path=address)
    case("a connection that will be told", works(web.ports["by-login"]))

    def ends(name):
        return [(actor, one) for actor, one in told(server) if one["listener"] == name and one["event"] == "end"]
    rows = wait(lambda: ends("by-token")) or [({}, {})]
    case("with a token from a file it gets into the ledger", rows[0][1].get("peer_id") == WEB and rows[0][1].get("own_id") == DB and
         rows[0][1].get("bytes_in") == 5 and rows[0][0].get("name", "").endswith("prox"), rows)
    case("as it is in the file", rows[0][1] in db.records(event="end"), rows)
    rows = wait(lambda: ends("by-login")) or [({}, {})]
    case("with a login by SVID too", rows[0][1].get("peer_id") == DB and rows[0][1].get("reason") == "closed", web.said())
    case("told by that workload", rows[0][0].get("entity") or WEB in json.dumps(rows[0][0]), rows[0][0])
    api("DELETE", "sys/policies/acl/proxy")
    works(web.ports["by-login"])
    time.sleep(1.5)
    count = len(told(server))
    api("PUT", "sys/policies/acl/proxy", {"policy": 'path "spiffe/connections" { capabilities = ["update"] }'})
    case("what was refused for a while waits and is told", wait(lambda: len(told(server)) >= count + 4, 30), (count, len(told(server)), web.said()))
    works(web.ports["by-login"])
    case("proxies with evidence end well", web.end() == 0 and db.end() == 0)
    case("and their last records are told", wait(lambda: len(ends("by-token")) == 3), len(ends("by-token")))


def usage(address):
    bad = Proxy.folder / "bad.yaml"
    base = "listeners:\n  - {name: a, mode: server, listen: '127.0.0.1:0', target: '127.0.0.1:1', allow: ['%s/a']}\n" % TD
    rows = [
        ("nothing", [], 2),
        ("no pattern", ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:1"], 2),
        ("both sides at once", ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--allow", TD + "/a", "--server-id", TD + "/a"], 2),
        ("plain bytes to another machine", ["--listen", "127.0.0.1:0", "--target", "192.0.2.1:80", "--allow", TD + "/a"], 1),
        ("plain bytes from other machines", ["--listen", "0.0.0.0:0", "--target", "192.0.2.1:80", "--server-id", TD + "/a"], 1),
        ("a pattern of all domains", ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--allow", "spiffe://*/a"], 1),
        ("no Workload API", ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--allow", TD + "/a", "--workload-socket", "tcp://127.0.0.1:1"], 1),
        ("a file and flags", ["--config", bad, "--listen", "127.0.0.1:0"], 2),
        ("an unknown key", base + "limit: {}\n", 1),
        ("an unknown key in a listener", base.replace("allow:", "alow:"), 1),
        ("a limit that is none", base + "limits: {connections: 0}\n", 1),
        ("two of a name", base + base.split("\n", 1)[1], 1),
        ("metrics for the world", base + "metrics: 0.0.0.0:9464\n", 1),
        ("Vault's proxy", "vault: {address: x}\n", 1),
    ]
    for name, how, want in rows:
        if isinstance(how, str):
            bad.write_text(how)
            how = ["--config", bad]
        done = kit.run("proxy", *how, env={"SPIFFE_ENDPOINT_SOCKET": "unix://%s" % address}, timeout=20)
        case("refused: " + name, done.returncode == want and done.stderr.startswith(b"merlon: error: ") and done.stderr.count(b"\n") == 1,
             "%d %s" % (done.returncode, done.stderr))


def entry(server, spiffe_id, uid):
    answer = server.api("POST", "spiffe/entries", {"spiffe_id": spiffe_id, "selectors": ["unix:uid:%d" % (uid if IS_ROOT else os.getuid())]})
    case("an entry of %s" % spiffe_id, answer.code == 200, answer)
    return answer.data["id"]


def body():
    with tempfile.TemporaryDirectory(prefix="merlon-proxy-") as tmp:
        Proxy.folder = pathlib.Path(tmp)
        os.chmod(tmp, 0o755)
        Proxy.program = Proxy.folder / "merlon"
        shutil.copyfile(kit.MERLON, Proxy.program)
        os.chmod(Proxy.program, 0o755)
        address = Proxy.folder / "api" / "workload.sock"
        with Server("--trust-domain", DOMAIN, "--spiffe-socket", str(address)) as server:
            if IS_ROOT:
                entries = {"web": entry(server, WEB, WEB_UID), "db": entry(server, DB, DB_UID), "other": entry(server, OTHER, OTHER_UID)}
            else:
                entries = {"db": entry(server, DB, DB_UID)}
            echo = Echo()
            db = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % echo.port, "--allow", WEB, uid=DB_UID, socket_path=address)
            web = Proxy("--listen", "127.0.0.1:0", "--target", "127.0.0.1:%d" % db.port, "--server-id", DB, uid=WEB_UID, socket_path=address)
            try:
                through(web, db, echo)
                refusals(server, db, echo, address)
                rotation(server, web, db)
                deaths(web, db)
                slow_ones(address, ())
                stalled(address)
                files(address)
                evidence(server, address)
                withdrawn(server, address, entries)
                usage(address)
                draining(web, db)
                not_waiting(address, echo)
            finally:
                web.end()
                db.end()


if __name__ == "__main__":
    finish(body, "spiffe_proxy")
