#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program on the vectors of model signatures and age files: exit codes, and nothing left behind.

usage: artifact_vectors.py [MERLON]     (default: $MERLON, else build/merlon)
Prints one line a case and a last line `N passed, N failed, N skipped`. Exit 0 unless a case failed.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MERLON = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MERLON", str(ROOT / "build" / "merlon"))
VECTORS = ROOT / "test" / "vectors"
TALLY = {"passed": 0, "failed": 0, "skipped": 0}


def note(kind, name, why=""):
    TALLY[kind] += 1
    print("%-7s %s%s" % (kind, name, ": " + why if why else ""), flush=True)


def case(name, holds, why=""):
    note("passed" if holds else "failed", name, "" if holds else str(why))


def run(*args):
    done = subprocess.run([MERLON, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode, done.stderr.decode(errors="replace").strip()


def signatures(tmp):
    oms = tmp / "oms"
    shutil.copytree(VECTORS / "oms", oms)
    (oms / "tiny" / ".git").mkdir()
    (oms / "tiny" / ".git" / "HEAD").write_text("ref\n")
    for name, row in json.loads((oms / "VERDICTS.json").read_text()).items():
        trust = ("--key", oms / row["key"]) if "key" in row else ("--roots", oms / row["roots"])
        want = 8 if "blake3" in name else 0 if row["verdict"] == "accept" else 5
        code, said = run("model", "verify", oms / row["model"], "--signature", oms / name, *trust)
        case("%s: exit %d" % (name, want), code == want, "exit %d, %s" % (code, said))


def age_files(tmp):
    identity = VECTORS / "age" / "identity.txt"
    for name, row in json.loads((VECTORS / "age" / "VERDICTS.json").read_text()).items():
        folder = tmp / "age"
        folder.mkdir()
        code, said = run("model", "open", VECTORS / "age" / (name + ".age"), "--identity", identity, "-o", folder / "out")
        left = sorted(p.name for p in folder.iterdir())
        if row["spec"] == "accept":
            size = (folder / "out").stat().st_size if left else -1
            case("age %s opens" % name, code == 0 and left == ["out"] and size == row["plaintext_bytes_written"], "exit %d, %s" % (code, said))
        else:
            case("age %s is refused, nothing left" % name, code not in (0, 2) and 0 < code < 128 and not left, "exit %d, %s" % (code, left))
        shutil.rmtree(folder)


def main():
    if os.access(MERLON, os.X_OK):
        with tempfile.TemporaryDirectory(prefix="merlon-vectors-") as tmp:
            signatures(pathlib.Path(tmp))
            age_files(pathlib.Path(tmp))
    else:
        note("skipped", "vectors of model signatures and age", "there is no program %s" % MERLON)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % TALLY)
    return 1 if TALLY["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
