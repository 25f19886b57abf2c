#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Policies in Rego by plain HTTP and from the command line: OPA's REST API, its refusals, `merlon rego eval|check|bench`.

usage: rego.py [MERLON]    Runs ../shared/rego/run_cases.py too where it lies beside the tree.
"""
import http.client
import http.server
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from kit import MERLON, ROOT, case, finish, free_port, run, skip

SHARED = ROOT.parent / "shared" / "rego"
PASSED_BEFORE = 3785  # of OPA's 3,791: raised when more pass, never lowered
ALLOW = b"package a\n\nallow if input.x == 1\n\nnames contains n if some n in data.users\n"


class Policies:
    """A server of policies of its own."""

    def __init__(self, *args):
        self.port = free_port()
        self.child = subprocess.Popen([MERLON, "rego", "run", "--server", "--addr", "127.0.0.1:%d" % self.port, *args],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the server of policies does not start: %r" % self.stop())

    def ask(self, method, path, body=None, headers=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.link.request(method, path, body, headers or {})
        answer = self.link.getresponse()
        text = answer.read()
        try:
            return answer.status, json.loads(text) if text.strip() else None
        except ValueError:
            return answer.status, text

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.communicate(timeout=20)[0]
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.communicate()[0]


def policies(server):
    ask = server.ask
    case("no policies", ask("GET", "/v1/policies") == (200, {"result": []}))
    case("a policy is put", ask("PUT", "/v1/policies/dir/a.rego", ALLOW) == (200, {}))
    case("and the same again", ask("PUT", "/v1/policies/dir/a.rego", ALLOW) == (200, {}))
    code, got = ask("GET", "/v1/policies/dir%2Fa.rego")
    got = (got or {}).get("result") or {}
    case("and read", code == 200 and got["id"] == "dir/a.rego" and got["raw"] == ALLOW.decode(), got)
    case("with its syntax tree", got["ast"]["package"]["path"][1]["value"] == "a" and len(got["ast"]["rules"]) == 2, got)
    case("and listed", [p["id"] for p in ask("GET", "/v1/policies")[1]["result"]] == ["dir/a.rego"])
    code, got = ask("PUT", "/v1/policies/bad.rego", b"package b\n\np if q\n")
    error = (got.get("errors") or [{}])[0]
    case("an unsafe variable is refused with its place", code == 400 and got["code"] == "invalid_parameter" and
         error.get("code") == "rego_unsafe_var_error" and error.get("location") == {"file": "bad.rego", "row": 3, "col": 6}, got)
    code, got = ask("PUT", "/v1/policies/bad.rego", b"package b\n\np := \n")
    case("what cannot be parsed is refused", code == 400 and got["errors"][0]["code"] == "rego_parse_error", got)
    case("an empty policy is refused", ask("PUT", "/v1/policies/bad.rego", b"")[0] == 400)
    case("what was refused is not there", ask("GET", "/v1/policies/bad.rego")[0] == 404)
    case("a policy that is not there cannot go", ask("DELETE", "/v1/policies/none")[1]["code"] == "resource_not_found")
    ask("PUT", "/v1/policies/user.rego", b"package u\n\nimport data.a\n\nf(x) := x\n\np := f(1)\n")
    case("a policy goes", ask("DELETE", "/v1/policies/user.rego") == (200, {}))


def decisions(server):
    ask = server.ask
    case("allowed", ask("POST", "/v1/data/a/allow", {"input": {"x": 1}}) == (200, {"result": True}))
    case("undefined has no result", ask("POST", "/v1/data/a/allow", {"input": {"x": 2}}) == (200, {}))
    code, got = ask("POST", "/v1/data/a/allow")
    case("no input is told", code == 200 and got["warning"]["code"] == "api_usage_warning", got)
    case("input as a parameter", ask("GET", "/v1/data/a/allow?input=%7B%22x%22%3A1%7D") == (200, {"result": True}))
    case("a whole package", ask("POST", "/v1/data/a", {"input": {"x": 1}})[1]["result"] == {"allow": True, "names": ["a", "b"]})
    case("of v0: bare input, bare answer", ask("POST", "/v0/data/a/allow", {"x": 1}) == (200, True))
    code, got = ask("POST", "/v0/data/a/allow", {"x": 2})
    case("of v0: undefined is an error", code == 404 and got["code"] == "undefined_document", got)
    case("no default decision", ask("POST", "/", {})[0] == 404)
    ask("PUT", "/v1/policies/main.rego", b"package system\n\nmain := input.y\n")
    case("the default decision", ask("POST", "/", {"y": [1, "a"]}) == (200, [1, "a"]))
    code, got = ask("POST", "/v1/data/a/allow?metrics&provenance=true&pretty", {"input": {"x": 1}})
    case("metrics and provenance", got["result"] is True and got["metrics"]["timer_rego_query_eval_ns"] >= 0 and
         "version" in got["provenance"], got)
    ask("PUT", "/v1/policies/clash.rego", b"package c\n\np := 1\n\np := 2 if input.two\n\nq := to_number(input.n)\n")
    code, got = ask("POST", "/v1/data/c/p", {"input": {"two": True}})
    case("a conflict is an error of the evaluation", code == 500 and got["code"] == "internal_error" and
         got["errors"][0]["code"] == "eval_conflict_error" and got["errors"][0]["location"]["file"] == "clash.rego", got)
    case("errors of builtins are undefined", ask("POST", "/v1/data/c/q", {"input": {"n": "x"}})[1] == {})
    case("unless they are strict", ask("POST", "/v1/data/c/q?strict-builtin-errors=true", {"input": {"n": "x"}})[0] == 500)
    case("explain is refused, not forgotten", ask("GET", "/v1/data/a?explain=full")[0] == 501)
    case("and off is fine", ask("GET", "/v1/data/a?explain=off")[0] == 200)


def documents(server):
    ask = server.ask
    case("documents are put", ask("PUT", "/v1/data/users", ["b", "a"])[0] == 204)
    case("and seen by policies", ask("GET", "/v1/data/a/names")[1] == {"result": ["a", "b"]})
    case("an item by its index", ask("GET", "/v1/data/users/1")[1] == {"result": "a"})
    case("not over what is there", ask("PUT", "/v1/data/users", [], {"If-None-Match": "*"})[0] == 304)
    case("parents are made", ask("PUT", "/v1/data/x/y/z", {"n": 1})[0] == 204)
    case("a list of changes", ask("PATCH", "/v1/data/x", [
        {"op": "add", "path": "/y/w", "value": [1]}, {"op": "add", "path": "y/w/-", "value": 2},
        {"op": "replace", "path": "/y/z/n", "value": 3}])[0] == 204)
    case("is done", ask("GET", "/v1/data/x")[1] == {"result": {"y": {"w": [1, 2], "z": {"n": 3}}}})
    code, got = ask("PATCH", "/v1/data/x", [{"op": "add", "path": "/new", "value": 1}, {"op": "remove", "path": "/none"}])
    case("all of a list or nothing", code == 404 and got["code"] == "resource_not_found" and
         "new" not in ask("GET", "/v1/data/x")[1]["result"], got)
    for name, body in (("no list", {}), ("no operation", [{"path": "/a"}]), ("an unknown one", [{"op": "move", "path": "/a"}]),
                       ("no value", [{"op": "add", "path": "/a"}]), ("a bad escape", [{"op": "add", "path": "/~2", "value": 1}])):
        case("refused: %s" % name, ask("PATCH", "/v1/data/x", body)[0] == 400)
    case("documents go", ask("DELETE", "/v1/data/x")[0] == 204 and ask("GET", "/v1/data/x") == (200, {}))
    case("once", ask("DELETE", "/v1/data/x")[0] == 404)
    case("the root stays", ask("DELETE", "/v1/data")[0] == 400)
    case("the root is an object", ask("PUT", "/v1/data", [1])[0] == 400)
    code, got = ask("PUT", "/v1/data/a/allow", b"true")
    case("no document where a rule is", code == 400 and "conflicting rule for data path a/allow" in got["message"], got)
    code, got = ask("PUT", "/v1/policies/over.rego", b"package users\n\np := 1\n")
    case("no rule where a document is", code == 400 and "conflicting rule for data path users/p" in got["errors"][0]["message"], got)


def queries(server):
    ask = server.ask
    case("bindings", ask("POST", "/v1/query", {"query": "x = data.users[_]"})[1] == {"result": [{"x": "b"}, {"x": "a"}]})
    case("by GET", ask("GET", "/v1/query?q=x+%3D+1%3B+y+%3D+x")[1] == {"result": [{"x": 1, "y": 1}]})
    case("with input", ask("POST", "/v1/query", {"query": "input.a = x", "input": {"a": None}})[1] == {"result": [{"x": None}]})
    case("nothing", ask("POST", "/v1/query", {"query": "1 = 2"}) == (200, {}))
    zone = ask("POST", "/v1/query", {"query": 'x = time.clock([0, "Asia/Kolkata"])'})[1]
    case("zones of time, though the sandbox closes files", zone == {"result": [{"x": [5, 30, 0]}]}, zone)
    case("nothing is reached", ask("POST", "/v1/query", {"query": 'x = net.lookup_ip_addr("example.com")'}) == (200, {}))
    code, got = ask("POST", "/v1/query", {"query": "x = "})
    case("a query that cannot be parsed", code == 400 and got["errors"][0]["code"] == "rego_parse_error", got)
    case("no query", ask("POST", "/v1/query", {})[0] == 400 and ask("GET", "/v1/query")[0] == 400)
    code, got = ask("POST", "/v1/compile", {"query": "data.a.allow", "unknowns": ["input.x"]})
    case("what is left of a query", code == 200 and len(got["result"]["queries"]) == 1 and '"input"' in json.dumps(got), got)
    case("an unsafe query is refused", ask("POST", "/v1/compile", {"query": "x > 1"})[0] == 400)
    case("filters of data are refused", ask("POST", "/v1/compile/a/allow", {})[0] == 501)


def hostile(server):
    ask = server.ask
    for name, body in (("no JSON", b"{"), ("two values", b"{} {}"), ("no object", b"[]"), ("not UTF-8", b'{"input":"\xff"}'),
                       ("deep nesting", b'{"input":' + b"[" * 100000 + b"]" * 100000 + b"}")):
        code, got = ask("POST", "/v1/data/a", body)
        case("body refused: %s" % name, code == 400 and got["code"] == "invalid_parameter", got)
    case("a path that is not UTF-8", ask("GET", "/v1/data/%ff")[0] == 400)
    case("a path with a bad escape", ask("GET", "/v1/data/%zz")[0] == 400)
    case("a path of too many names", ask("GET", "/v1/data" + "/a" * 300)[0] == 400)
    case("names are names, not code", ask("GET", "/v1/data/a%22%5D%3B%20true%20%23")[1] == {})
    case("an unknown path", ask("GET", "/v2/data")[1]["code"] == "resource_not_found")
    case("an unknown method", ask("PUT", "/v1/query", b"")[0] == 405)
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(b"POST /v1/data HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        case("a body that is too large", b" 413 " in s.recv(4096).split(b"\r\n")[0])
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(b"POST /v1/data HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}")
        case("a body with two lengths", b" 400 " in s.recv(4096).split(b"\r\n")[0])
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        text = b""
        while text.count(b"HTTP/1.1 200") < 2:
            more = s.recv(4096)
            if not more:
                break
            text += more
        case("two requests at once", text.count(b"HTTP/1.1 200") == 2, text)
    case("and it still answers", ask("GET", "/health") == (200, {}))


def about(server):
    code, text = server.ask("GET", "/metrics")
    case("metrics", code == 200 and re.search(rb'^http_requests_total\{code="2xx"\} [1-9]', text, re.M), text)
    case("configuration", server.ask("GET", "/v1/config")[1]["result"]["default_decision"] == "/system/main")
    case("status", "plugins" in server.ask("GET", "/v1/status")[1]["result"])


def command_line(tmp):
    policy, data, want = tmp / "p.rego", tmp / "users.json", tmp / "want.json"
    policy.write_bytes(ALLOW)
    data.write_text('{"users": ["b", "a"]}')
    (tmp / "input.json").write_text('{"x": 1}')
    (tmp / "query").write_text("data.a.names\n")
    want.write_text('["a", "b"]')
    done = run("rego", "eval", "-d", policy, "-d", data, "-i", tmp / "input.json", "data.a.allow")
    row = json.loads(done.stdout)["result"][0]["expressions"][0] if done.returncode == 0 else {}
    case("eval", row == {"value": True, "text": "data.a.allow", "location": {"row": 1, "col": 1}}, done)
    rows = (("values", b"[\n  1\n]\n"), ("raw", b"1\n"), ("pretty", b"1\n"), ("discard", b'{\n  "result": "discarded"\n}\n'))
    for form, out in rows:
        done = run("rego", "eval", "-f", form, "1")
        case("eval -f %s" % form, done.stdout == out, done)
    done = run("rego", "eval", "-f", "bindings", "x := 1")
    case("eval -f bindings", json.loads(done.stdout) == {"x": 1}, done)
    done = run("rego", "eval", "-f", "pretty", 'x := ["a", 2][_]')
    case("eval -f pretty: a table", "\u2502 \"a\" \u2502\n\u2502 2   \u2502\n" in done.stdout.decode(), done.stdout)
    case("eval: undefined", run("rego", "eval", "data.none").stdout == b"{}\n")
    case("eval --fail", run("rego", "eval", "--fail", "data.none").returncode == 1)
    case("eval --fail, defined", run("rego", "eval", "--fail", "1").returncode == 0)
    case("eval --fail-defined", run("rego", "eval", "--fail-defined", "1").returncode == 1)
    done = run("rego", "eval", "-I", "input.a", "-f", "raw", stdin=b'{"a": "text"}')
    case("eval -I", done.stdout == b"text\n", done)
    done = run("rego", "eval", "-d", "b.c:%s" % data, "data.b.c.users[0]", "-f", "raw")
    case("eval: data below a path", done.stdout == b"b\n", done)
    done = run("rego", "eval", "x = ")
    case("eval: a bad query", done.returncode == 2 and json.loads(done.stdout)["errors"][0]["code"] == "rego_parse_error", done)
    case("eval: a missing file", run("rego", "eval", "-d", tmp / "none", "1").returncode == 2)
    done = run("rego", "eval", "--partial", "input.x == 1; 2 > 1")
    left = json.loads(done.stdout or b"{}").get("partial", {}) if done.returncode == 0 else {}
    case("eval --partial", len(left.get("queries", [])) == 1 and len(left["queries"][0]) == 1, done)
    done = run("rego", "eval", "-p", "-I", "-u", "input.x", "input.y == 1; input.x", stdin=b'{"y": 1}')
    case("eval -p -u: the rest of the input is known", done.returncode == 0 and b'"x"' in done.stdout and b'"y"' not in done.stdout, done)
    done = run("rego", "eval", "-p", "--fail", "1 == 2")
    case("eval -p: what never holds has no queries", done.returncode == 1 and json.loads(done.stdout) == {"partial": {}}, done)
    case("eval -p: a ref that is none", run("rego", "eval", "-p", "-u", "other", "1").returncode == 2)
    case("eval -p: other forms are refused", run("rego", "eval", "-p", "-f", "raw", "1").returncode == 2)
    case("eval: an unknown form", run("rego", "eval", "-f", "xml", "1").returncode == 2)
    case("check", run("rego", "check", policy).returncode == 0)
    (tmp / "bad.rego").write_text("package b\n\np if q\n")
    done = run("rego", "check", tmp / "bad.rego")
    case("check: file, row, code", done.returncode == 1 and
         b"bad.rego:3: rego_unsafe_var_error: var q is unsafe" in done.stderr, done)
    done = run("rego", "check", "-f", "json", tmp / "bad.rego")
    case("check -f json", done.returncode == 1 and json.loads(done.stdout)["errors"][0]["location"]["row"] == 3, done)
    files = [word for name, file in (("policy", policy), ("data", data), ("query", tmp / "query")) for word in ("--" + name, file)]
    for wanted, ok in (((), False), (("--want", want), True), (("--want", data), False)):
        done = run("rego", "bench", *files, *wanted)
        line = json.loads(done.stdout)
        case("bench, ok is %s" % ok, line["ok"] is ok and line["n"] > 0 and line["cpu_ns"] > 0 and line["engine"] == "merlon", line)
    tests = tmp / "p_test.rego"
    tests.write_text("package a_test\n\ntest_one if data.a.allow with input as {\"x\": 1}\n\ntodo_test_two := false\n\n"
                     "test_table[note] := ok if some note, ok in {\"a\": true, \"b\": true}\n")
    done = run("rego", "test", policy, tests)
    case("test", (done.returncode, done.stdout) == (0, b"%s:5:\ndata.a_test.todo_test_two: SKIPPED\n%s\nPASS: 2/3\nSKIPPED: 1/3\n" %
         (str(tests).encode(), b"-" * 80)), done)
    (tmp / "fail_test.rego").write_text("package b_test\n\ntest_no if false\n\ntest_table[n] := x if some n, x in {\"a\": true, \"b\": false}\n\n"
                                        "test_clash := x if some x in [1, 2]\n")
    done = run("rego", "test", "-f", "json", tmp / "fail_test.rego")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    case("test: a failure, a table, an error", done.returncode == 2 and rows["test_no"].get("fail") is True and
         rows["test_table"]["sub_results"] == {"a": {}, "b": {"fail": True}} and
         rows["test_clash"]["error"]["code"] == "eval_conflict_error", done)
    case("test -r", b"PASS: 1/1" in run("rego", "test", "-r", "test_one$", policy, tests).stdout)
    case("test: what does not compile", run("rego", "test", tmp / "bad.rego").returncode == 1)
    case("run without --server", run("rego", "run").returncode == 2)


class Answers(http.server.BaseHTTPRequestHandler):
    """What a policy may ask: JSON that says how often it was asked."""

    asked = 0

    def do_GET(self):
        Answers.asked += 1
        body = json.dumps({"asked": Answers.asked}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def network():
    """--allow-net: what is listed is reached, once an evaluation; what is not, and all without the flag, is not."""
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    send = 'http.send({"method": "get", "url": "http://127.0.0.1:%d/"%s})' % (other.server_port, "%s")
    flags = ("rego", "eval", "-f", "raw", "--strict-builtin-errors")
    try:
        done = run(*flags, send % "")
        case("without --allow-net nothing is reached", done.returncode == 2 and Answers.asked == 0, done)
        done = run(*flags, "--allow-net", "127.0.0.2", "--allow-net", "example.com:443", send % "")
        case("what is not listed is not reached", done.returncode == 2 and Answers.asked == 0, done)
        done = run(*flags, "--allow-net", "127.0.0.1", "[%s.body, %s.status_code]" % (send % "", send % ""))
        case("what is listed is, once", json.loads(done.stdout) == [{"asked": 1}, 200] and Answers.asked == 1, done)
        done = run(*flags, "--allow-net", "127.0.0.2", send % ', "raise_error": false' + ".error.code")
        case("raise_error false", done.stdout.strip() == b"eval_http_send_network_error", done)
        done = run(*flags, "--allow-net", "nothing.invalid", 'net.lookup_ip_addr("nothing.invalid")')
        case("a name that nobody has", done.returncode == 2 and b"lookup nothing.invalid" in done.stdout + done.stderr, done)
        case("a pattern that is none", run(*flags, "--allow-net", "a b", "1").returncode != 0)
    finally:
        other.shutdown()
        other.server_close()


def conformance(tmp):
    if not (SHARED / "run_cases.py").exists():
        skip("OPA's cases by REST", "no ../shared/rego beside the tree; rego_cases.py runs them from OPA's module")
        return
    v1, v0 = Policies(), Policies("--v0-compatible")
    try:
        done = subprocess.run([sys.executable, SHARED / "run_cases.py", SHARED / "cases.jsonl",
                               "--v1", "http://127.0.0.1:%d" % v1.port, "--v0", "http://127.0.0.1:%d" % v0.port,
                               "--failures", tmp / "failures", "--max-seconds", "400"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=450, check=False)
        tally = re.search(rb"(\d+) passed, (\d+) failed, (\d+) skipped\n$", done.stdout)
        lost = [line for line in (tmp / "failures").read_text().splitlines() if "no answer" in line or "not run" in line]
        case("OPA's cases run through", tally is not None and not lost and v1.child.poll() is None and v0.child.poll() is None,
             (done.stdout[-300:], lost[:3]))
        n_passed, n_failed = (int(n) for n in tally.groups()[:2]) if tally else (0, 1)
        case("OPA's cases: %d of %d pass, at least %d did before" % (n_passed, n_passed + n_failed, PASSED_BEFORE), n_passed >= PASSED_BEFORE)
    finally:
        v1.stop()
        v0.stop()


def body():
    with tempfile.TemporaryDirectory() as folder:
        tmp = pathlib.Path(folder)
        command_line(tmp)
        network()
        server = Policies()
        try:
            for part in (policies, documents, decisions, queries, hostile, about):
                part(server)
        finally:
            said = server.stop()
        case("it stops when it is told", server.child.returncode == 0, said)
        (tmp / "p.rego").write_bytes(ALLOW)
        server = Policies(str(tmp / "p.rego"), str(tmp / "users.json"))
        try:
            case("files of the command line are served", server.ask("GET", "/v1/data/a/names")[1] == {"result": ["a", "b"]})
        finally:
            server.stop()
        conformance(tmp)


if __name__ == "__main__":
    finish(body, "rego")
