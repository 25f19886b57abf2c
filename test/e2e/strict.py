#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The strictness probes of http_strict.py, the drip too, on a live server.

usage: strict.py [MERLON]
"""
import pathlib
import subprocess
import sys

from kit import Server, case, finish


def body():
    with Server() as server:
        done = subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("http_strict.py")), "127.0.0.1", str(server.port),
                               "--drip", "30"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        said = done.stdout.decode(errors="replace").strip().split("\n")
        case("strict: " + said[-1], done.returncode == 0, " | ".join(said[:-1][-5:]))
        case("and it still answers", server.api("GET", "sys/health").code == 200)


if __name__ == "__main__":
    finish(body, "strict HTTP")
