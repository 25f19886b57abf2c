#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node whose server is away for longer than an SVID lives: what is good still is given, what is dead is not; a node that is started
meanwhile waits; both go on by themselves when the server is back. No token is used twice.

usage: node_outage.py [MERLON]     (default: $MERLON, else build/merlon)
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

LIFE_S = 24
MINE = "spiffe://example.org/below"


def joined(server, folder, name):
    token = json.loads(run("node", "token", "--format", "json", env=server.environment).stdout)
    (folder / name).mkdir()
    (folder / name / "token").write_text(token["token"])
    node = Node(server, folder / name, "--join-token-file", str(folder / name / "token"))
    done = run("entry", "create", "--spiffe-id", MINE, "--parent-id", token["spiffe_id"], "--selector", "unix:uid:%d" % os.getuid(),
               env=server.environment)
    case("node %s and its entry" % name, done.returncode == 0 and until(lambda: "attested as" in node.printed()), node.printed()[-300:])
    (folder / name / "token").unlink()
    return node


def body():
    program, why = client()
    if program is None:
        return skip("a node without its server", why)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="merlon-outage-"))
    os.chmod(folder, 0o755)
    server = Server("--trust-domain", "example.org")
    nodes = []
    try:
        server.api("POST", "spiffe/config", {"x509_svid_ttl": LIFE_S})
        nodes += [joined(server, folder, "one"), joined(server, folder, "two")]
        asked, restarted = nodes
        case("a process gets its SVID", until(lambda: MINE in ids(program, asked.socket)), asked.printed()[-300:])
        port = server.port
        server.api.close()
        server.end(signal.SIGKILL)
        gone = time.monotonic()
        restarted.stop()
        given = []  # seconds after the server went at which there was an SVID still
        while time.monotonic() - gone < LIFE_S + 10:
            before = time.monotonic() - gone
            if MINE not in ids(program, asked.socket):
                break
            given.append(before)
        # The SVID was at most half of its life old when the server went, and that is a tenth more at most.
        case("it is given while it lives", given and given[-1] > LIFE_S * 0.4 - 3, given)
        case("and not when it is dead", before < LIFE_S + 5 and MINE not in ids(program, asked.socket), (before, given))
        again = Node(server, folder / "two", "--join-token-file", str(folder / "two" / "token"))
        nodes.append(again)
        case("a node that is started meanwhile waits", until(lambda: "ready" in again.printed()) and again.child.poll() is None, again.printed())
        case("and has nothing to give", MINE not in ids(program, again.socket), again.printed()[-300:])
        server = Server("--trust-domain", "example.org", port=port, data=str(server.data))
        case("the server is back: SVIDs again", until(lambda: MINE in ids(program, asked.socket), 45), asked.printed()[-500:])
        case("also at the node that waited, without its token", until(lambda: MINE in ids(program, again.socket), 45), again.printed()[-500:])
        case("no node attested by its token twice", len(server.api("LIST", "spiffe/nodes/list").data["keys"]) == 2)
    finally:
        for node in nodes:
            node.stop()
            node.log.close()
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


finish(body, "node_outage.py")
