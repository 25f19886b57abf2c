#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node: joins once, serves processes below its own id, hears of changes, goes on without its server, is put out.

usage: node.py [MERLON]     (default: $MERLON, else build/merlon)
Answers are read by a Workload API client in Go (../shared/spiffe/wlbench): skipped with the reason where that or Go is missing.
"""
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time

from kit import Server, case, finish, run, skip
from node_kit import Node, client, ids, until

def body():
    program, why = client()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-node-"))
    os.chmod(folder, 0o755)
    server = Server("--trust-domain", "example.org")
    nodes = []
    try:
        made = run("node", "token", "--format", "json", env=server.environment)
        token = json.loads(made.stdout)
        case("a join token", made.returncode == 0 and token["spiffe_id"].startswith("spiffe://example.org/merlon/node/join_token/"), made)
        (folder / "token").write_text(token["token"])
        (folder / "one").mkdir()
        node = Node(server, folder / "one", "--join-token-file", str(folder / "token"))
        nodes.append(node)
        case("it joins", until(lambda: "attested as " + token["spiffe_id"] in node.printed() and "ready" in node.printed()), node.printed())
        kinds = node.processes()
        case("all its processes but the monitor are in a sandbox", len(kinds) == 4 and
             all(filtered == (name != "merlon") for name, filtered in kinds.items()), kinds)
        (folder / "two").mkdir()
        again = Node(server, folder / "two", "--join-token-file", str(folder / "token"))
        nodes.append(again)
        case("nobody else does with its token", until(lambda: again.child.poll() not in (None, 0)), again.printed())
        for parent, name in ((token["spiffe_id"], "below"), ("spiffe://example.org/merlon/server", "beside")):
            done = run("entry", "create", "--spiffe-id", "spiffe://example.org/" + name, "--parent-id", parent, "--selector",
                       "unix:uid:%d" % os.getuid(), env=server.environment)
            case("an entry " + name, done.returncode == 0, done)
        if program is None:
            return skip("what processes of a node get", why)
        found = until(lambda: (lambda text: text if "spiffe://example.org/below" in text else None)(ids(program, node.socket)))
        case("a process gets what is below its node", found, ids(program, node.socket))
        case("and nothing else", "spiffe://example.org/beside" not in (found or ""), found)
        port = server.port
        server.api.close()
        server.end(signal.SIGKILL)
        time.sleep(3)
        case("it goes on without the server", "spiffe://example.org/below" in ids(program, node.socket), node.printed()[-500:])
        server = Server("--trust-domain", "example.org", port=port, data=str(server.data))
        done = run("entry", "create", "--spiffe-id", "spiffe://example.org/later", "--parent-id", token["spiffe_id"], "--selector",
                   "unix:uid:%d" % os.getuid(), env=server.environment)
        later = until(lambda: "spiffe://example.org/later" in ids(program, node.socket), 25)
        case("and hears of changes when it is back", later, (done, node.printed()[-500:]))
        code = node.stop()
        case("a node ends cleanly", code == 0, (code, node.printed()[-300:]))
        (folder / "token").unlink()
        node = Node(server, folder / "one", "--join-token-file", str(folder / "token"))
        nodes.append(node)
        case("its SVID is enough for the next start", until(lambda: "spiffe://example.org/below" in ids(program, node.socket)), node.printed())
        listed = server.api("LIST", "spiffe/nodes/list").data["keys"]
        server.api("DELETE", "spiffe/nodes/list/" + listed[0])
        gone = until(lambda: "spiffe://example.org/below" not in ids(program, node.socket), 20)
        case("a node that was put out gets nothing", gone, node.printed()[-300:])
    finally:
        for node in nodes:
            node.stop()
            node.log.close()
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


finish(body, "node.py")
