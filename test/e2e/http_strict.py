#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Strictness of an HTTP/1.1 server over raw sockets.

    http_strict.py HOST PORT [--path P] [--drip SECONDS]

Each row is sent on a connection of its own. What is good must get one answer below 500 for each
request in it; what is bad must get at most one answer, of 400 or above, and then the end of the
connection: a second answer would mean that the server took part of a request for a request of its
own (smuggling). Source: RFC 9112, sections 2, 3, 5, 6, 7 and 11.2.
Exit 0 when all rows hold."""
import argparse
import re
import socket
import sys
import time

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("host")
parser.add_argument("port", type=int)
parser.add_argument("--path", default="/v1/sys/health")
parser.add_argument("--drip", type=float, default=0,
                    help="also: a byte a second must be cut off within so many seconds")
args = parser.parse_args()

LINE = f"GET {args.path} HTTP/1.1\r\n".encode()
HOST = b"Host: server\r\n"
NEXT = LINE + HOST + b"\r\n"
PUT = f"PUT {args.path} HTTP/1.1\r\n".encode() + HOST


def chunked(body):
    return PUT + b"Transfer-Encoding: chunked\r\n\r\n" + body


def sized(value, body=b"{}"):
    return PUT + b"Content-Length: " + value + b"\r\n\r\n" + body


# name, bytes, how many answers
GOOD = [
    ("a request", NEXT, 1),
    ("three at once", NEXT * 3, 3),
    ("a body and a request behind it", sized(b"2") + NEXT, 2),
    ("chunks and a request behind them",
     chunked(b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nT: u\r\n\r\n") + NEXT, 2),
    ("blanks around a value", LINE + HOST + b"X-A: \t b \t\r\n\r\n", 1),
    ("close", LINE + HOST + b"Connection: close\r\n\r\n" + NEXT, 1),
    ("the old version", f"GET {args.path} HTTP/1.0\r\n\r\n".encode() + NEXT, 1),
    ("a percent-encoded path",
     NEXT.replace(args.path.encode(), args.path.replace("health", "he%61lth").encode()), 1),
]
BAD = [
    ("length and chunks",
     PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT),
    ("chunks and length",
     PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + NEXT),
    ("two equal lengths", PUT + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + NEXT),
    ("two lengths", PUT + b"Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}" + NEXT),
    ("length as a list", sized(b"2, 2") + NEXT),
    ("length with a sign", sized(b"+2") + NEXT),
    ("length below zero", sized(b"-2") + NEXT),
    ("length in hex", sized(b"0x2") + NEXT),
    ("length with an underscore", sized(b"1_0") + NEXT),
    ("length as a fraction", sized(b"2.0") + NEXT),
    ("empty length", sized(b"") + NEXT),
    ("length beyond 64 bits", sized(b"18446744073709551618") + NEXT),
    ("length beyond the limit", sized(b"99999999999") + NEXT),
    ("unknown coding", PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + NEXT),
    ("coding in two lines",
     PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + NEXT),
    ("coding with a vertical tab", PUT + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + NEXT),
    ("coding in the old version",
     PUT.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT),
    ("blank before the colon", PUT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + NEXT),
    ("folded header", LINE + HOST + b"X-A: b\r\n c\r\n\r\n" + NEXT),
    ("folded coding", PUT + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + NEXT),
    ("bare line feeds", NEXT.replace(b"\r\n", b"\n") + NEXT),
    ("one bare line feed", LINE + HOST + b"X-A: b\n\r\n" + NEXT),
    ("bare carriage return", LINE + HOST + b"X-A: b\rX-B: c\r\n\r\n" + NEXT),
    ("zero byte", LINE + HOST + b"X-A: \0\r\n\r\n" + NEXT),
    ("delete character", LINE + HOST + b"X-A: \x7f\r\n\r\n" + NEXT),
    ("name with a blank", LINE + HOST + b"X A: b\r\n\r\n" + NEXT),
    ("empty name", LINE + HOST + b": b\r\n\r\n" + NEXT),
    ("no colon", LINE + HOST + b"X-A\r\n\r\n" + NEXT),
    ("no host", LINE + b"\r\n" + NEXT),
    ("two hosts", LINE + HOST + HOST + b"\r\n" + NEXT),
    ("host with a user", LINE + b"Host: a@b\r\n\r\n" + NEXT),
    ("version 2.0", NEXT.replace(b"HTTP/1.1", b"HTTP/2.0") + NEXT),
    ("version 1.10", NEXT.replace(b"HTTP/1.1", b"HTTP/1.10") + NEXT),
    ("version in small letters", NEXT.replace(b"HTTP/1.1", b"http/1.1") + NEXT),
    ("version of long ago", f"GET {args.path}\r\n".encode() + NEXT),
    ("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NEXT),
    ("two blanks", NEXT.replace(b"GET ", b"GET  ") + NEXT),
    ("tab", NEXT.replace(b"GET ", b"GET\t") + NEXT),
    ("blank at the end of the line", NEXT.replace(b"HTTP/1.1\r", b"HTTP/1.1 \r") + NEXT),
    ("raw 8-bit path", NEXT.replace(b" HTTP/", b"\xc3\xa9 HTTP/") + NEXT),
    ("fragment", NEXT.replace(b" HTTP/", b"#a HTTP/") + NEXT),
    ("empty line first", b"\r\n" + NEXT),
    ("chunk size with a sign", chunked(b"+2\r\n{}\r\n0\r\n\r\n") + NEXT),
    ("chunk size with 0x", chunked(b"0x2\r\n{}\r\n0\r\n\r\n") + NEXT),
    ("chunk size with a blank", chunked(b"2 \r\n{}\r\n0\r\n\r\n") + NEXT),
    ("chunk size of 17 digits", chunked(b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n") + NEXT),
    ("no chunk size", chunked(b"\r\n{}\r\n0\r\n\r\n") + NEXT),
    ("chunk with a bare line feed", chunked(b"2\n{}\r\n0\r\n\r\n") + NEXT),
    ("chunk longer than it says", chunked(b"1\r\n{}\r\n0\r\n\r\n") + NEXT),
    ("line feed in an extension", chunked(b"2;a\n{}\r\n0\r\n\r\n") + NEXT),
    ("folded trailer", chunked(b"2\r\n{}\r\n0\r\nA: b\r\n c\r\n\r\n") + NEXT),
    ("endless extensions", chunked(b"1;" + b"a" * 100000)),
    ("endless trailers", chunked(b"1\r\n{\r\n0\r\n" + b"A: b\r\n" * 20000)),
    ("endless line", b"GET /" + b"a" * 1000000),
    ("endless headers", LINE + HOST + b"X-A: b\r\n" * 20000),
    ("unknown expectation", PUT + b"Expect: lunch\r\nContent-Length: 2\r\n\r\n{}" + NEXT),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500),
]


def exchange(data):
    """Status codes of all answers, and whether the server ended the connection."""
    got = b""
    ended = True
    with socket.create_connection((args.host, args.port), timeout=3) as s:
        try:
            s.sendall(data)
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
                s.settimeout(0.4)
        except socket.timeout:
            ended = False
        except OSError:
            pass
    return [int(m) for m in re.findall(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", got)], ended


failed = 0


def check(kind, name, holds, seen):
    global failed
    if not holds:
        failed += 1
        print(f"{kind}: {name}: {seen}")


for name, data, n in GOOD:
    statuses, _ = exchange(data)
    check("good", name, len(statuses) == n and all(s < 500 for s in statuses[:1]), statuses)
for name, data in BAD:
    statuses, ended = exchange(data)
    refused = len(statuses) <= 1 and ended and all(s >= 400 for s in statuses)
    check("bad", name, refused, (statuses, "ended" if ended else "open"))
if args.drip:
    with socket.create_connection((args.host, args.port), timeout=3) as s:
        start = time.time()
        over = False
        s.sendall(LINE + HOST + b"X-Slow: ")
        while not over and time.time() - start < args.drip:
            time.sleep(1)
            try:
                s.sendall(b"a")
                s.settimeout(0.05)
                over = s.recv(4096) is not None
            except socket.timeout:
                pass
            except OSError:
                over = True
    check("drip", "a byte a second", over, f"open after {args.drip} s")
total = len(GOOD) + len(BAD) + (1 if args.drip else 0)
print(f"{total - failed} passed, {failed} failed")
sys.exit(failed > 0)
