#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk: writes are refused with a clear error, revoking, deleting, pruning and sealing work, and all goes on when there is room again.

usage: full_disk.py [MERLON]      Needs root and the right to mount a small tmpfs.
"""
import os
import pathlib
import re
import subprocess
import tempfile

from kit import Api, Server, case, finish, run, skip

SIZE_MB = 256


def fill(folder):
    """Take all that is left, to the last byte."""
    path = folder / "filler"
    with open(path, "ab", buffering=0) as out:
        for size in (1 << 20, 1 << 16, 4096, 512):
            block = bytes(size)
            while True:
                try:
                    if out.write(block) < size:
                        break
                except OSError:
                    break
    return path


def write_until_refused(api):
    """Code of the first write that is refused, and how many were taken before."""
    for n in range(4000):
        answer = api("POST", "secret/data/fill/%d" % n, {"data": {"v": "x" * 2000}})
        if answer.code not in (200, 204):
            return answer, n
    return None, 4000


def full(server, api, disk):
    child = api("POST", "auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
    api("POST", "secret/data/kept", {"data": {"v": "kept"}})
    api("POST", "secret/data/old", {"data": {"v": "old"}})
    filler = fill(disk)
    answer, taken = write_until_refused(api)
    if not case("writes are refused on a full disk", answer is not None, "%d were taken" % taken):
        return
    case("with 507 and words", answer.code == 507 and answer.errors, answer)
    case("and again", api("POST", "secret/data/more", {"data": {"v": "x" * 2000}}).code == 507)
    case("health still answers", api("GET", "sys/health").code == 200)
    read = api("GET", "secret/data/kept")
    case("a read is answered, or refused for want of its record", read.code in (200, 507), read)
    done = api("POST", "auth/token/revoke", {"token": child})
    case("revoke works", done.code == 204, done)
    other = Api(server.port, child)
    case("and holds", other("GET", "auth/token/lookup-self").code == 403)
    other.close()
    done = api("DELETE", "secret/data/old")
    case("delete works", done.code == 204, done)
    done = api("POST", "sys/ledger/prune", {"before": 3})
    case("prune works", done.code in (200, 204), done)
    case("seal works", api("PUT", "sys/seal").code == 204 and api("GET", "sys/seal-status").json["sealed"])
    filler.unlink()


def again(server, disk):
    """The same data after the disk has room: everything acknowledged is there."""
    server.wait(codes=(200, 503))
    api = server.api
    if api("GET", "sys/seal-status").json["sealed"]:
        key = next((p for p in disk.rglob("*") if p.is_file() and re.fullmatch(rb"[0-9a-f]{64}\n?", p.open("rb").read(66))), None)
        if key:
            api("PUT", "sys/unseal", {"key": key.read_text().strip()})
    sealed = api("GET", "sys/seal-status").json["sealed"]
    if not case("it can be unsealed again", not sealed):
        return
    case("what was kept is there", api("GET", "secret/data/kept").data.get("data") == {"v": "kept"})
    case("what was deleted is gone", api("GET", "secret/data/old").code == 404)
    case("writes work again", api("POST", "secret/data/new", {"data": {"v": "new"}}).code == 200)
    done = run("operator", "verify-store", "--format", "json", env=server.environment)
    case("store and ledger agree", done.returncode == 0, done.stdout + done.stderr)


def body():
    if os.geteuid() != 0:
        return skip("full disk", "only root may mount a small file system")
    with tempfile.TemporaryDirectory(prefix="merlon-full-") as tmp:
        disk = pathlib.Path(tmp)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0700" % SIZE_MB, "merlon-full", tmp], stderr=subprocess.PIPE)
        if made.returncode != 0:
            return skip("full disk", "no tmpfs can be mounted: " + made.stderr.decode(errors="replace").strip())
        try:
            with Server(data=disk / "data") as server:
                full(server, server.api, disk)
                again(server, disk)
                vkey = Api(server.port, None)("GET", "/ledger/vkey").body.decode().strip()
                server.end()
                done = run("ledger", "verify", "--dir", disk / "data", "--vkey", vkey)
                case("the ledger verifies", done.returncode == 0, done.stderr)
        finally:
            subprocess.run(["umount", "-l", tmp], stderr=subprocess.DEVNULL)
    return None


if __name__ == "__main__":
    finish(body, "full disk")
