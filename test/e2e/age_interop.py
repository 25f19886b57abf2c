#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stock age opens what Merlon encrypts, and the other way round; OpenSSL verifies what Merlon signs.

usage: age_interop.py [MERLON]     (default: $MERLON, else build/merlon)
Prints one line a case and a last line `N passed, N failed, N skipped`. Exit 0 unless a case failed.
"""
import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MERLON = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MERLON", str(ROOT / "build" / "merlon"))
SIZES = (0, 1, 13, 65535, 65536, 65537, 131072, 131073, 3_000_001)
TALLY = {"passed": 0, "failed": 0, "skipped": 0}


def note(kind, name, why=""):
    TALLY[kind] += 1
    print("%-7s %s%s" % (kind, name, ": " + why if why else ""), flush=True)


def case(name, holds, why=""):
    note("passed" if holds else "failed", name, "" if holds else why)


def run(*args, **kwargs):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **kwargs)


def content(n):
    """n bytes that look random and are the same every time."""
    return hashlib.shake_256(b"age interop %d" % n).digest(n)


def files(tmp, age):
    for n in SIZES:
        plain = tmp / ("plain%d" % n)
        plain.write_bytes(content(n))
        for who, more in (("one recipient", []), ("two recipients", ["--to", age["other"]])):
            box, back = tmp / "box.age", tmp / "back"
            done = run(MERLON, "model", "encrypt", str(plain), "--to", age["recipient"], *more, "-o", str(box))
            opened = run("age", "-d", "-i", str(age["file"]), str(box))
            case("age opens %d bytes, %s" % (n, who), done.returncode == 0 and opened.returncode == 0 and opened.stdout == content(n),
                 (done.stderr + opened.stderr).decode(errors="replace"))
            for path in (box, back):
                path.unlink(missing_ok=True)
        box, back = tmp / "box.age", tmp / "back"
        sealed = run("age", "-r", age["recipient"], stdin=plain.open("rb"))
        box.write_bytes(sealed.stdout)
        opened = run(MERLON, "model", "open", str(box), "--identity", str(age["file"]), "-o", str(back))
        case("merlon opens %d bytes of age" % n, sealed.returncode == 0 and opened.returncode == 0 and back.read_bytes() == content(n),
             opened.stderr.decode(errors="replace"))
        for path in (plain, box, back):
            path.unlink(missing_ok=True)


def folder(tmp, age):
    model, sealed, back = tmp / "model", tmp / "sealed", tmp / "opened"
    (model / "sub").mkdir(parents=True)
    (model / "weights.bin").write_bytes(content(200_000))
    (model / "sub" / "config.json").write_bytes(b"{}\n")
    done = run(MERLON, "model", "encrypt", str(model), "--to", age["recipient"], "-o", str(sealed))
    plain = run("age", "-d", "-i", str(age["file"]), str(sealed / "weights.bin.age"))
    case("age opens a file of a folder", done.returncode == 0 and plain.stdout == content(200_000), done.stderr.decode(errors="replace"))
    done = run(MERLON, "model", "open", str(sealed), "--identity", str(age["file"]), "-o", str(back))
    case("merlon opens the folder", done.returncode == 0 and (back / "sub" / "config.json").read_bytes() == b"{}\n",
         done.stderr.decode(errors="replace"))
    shutil.rmtree(back, ignore_errors=True)
    box = sealed / "weights.bin.age"
    box.write_bytes(box.read_bytes()[:-1])
    done = run(MERLON, "model", "open", str(sealed), "--identity", str(age["file"]), "-o", str(back))
    left = sorted(p.name for p in tmp.iterdir())
    case("a cut file leaves nothing behind, exit 5", done.returncode == 5 and not back.exists() and not any(".tmp" in n for n in left),
         "exit %d, %s" % (done.returncode, left))


def strangers(tmp, age):
    box, back = tmp / "s.age", tmp / "s"
    plain = tmp / "s.plain"
    plain.write_bytes(b"x")
    run("age", "-r", age["other"], "-o", str(box), str(plain))
    done = run(MERLON, "model", "open", str(box), "--identity", str(age["file"]), "-o", str(back))
    case("a file for somebody else: exit 4, nothing written", done.returncode == 4 and not back.exists(), "exit %d" % done.returncode)


def pae(envelope):
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def signatures(tmp):
    model = tmp / "signed"
    model.mkdir()
    (model / "weights.bin").write_bytes(content(100_000))
    for curve, digest in (("P-256", "sha256"), ("P-384", "sha384"), ("P-521", "sha512")):
        key, public, bundle = tmp / (curve + ".pem"), tmp / (curve + ".pub.pem"), tmp / (curve + ".sig")
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + curve, "-out", str(key))
        run("openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public))
        done = run(MERLON, "model", "sign", str(model), "--key", str(key), "--signature", str(bundle))
        if done.returncode != 0:
            case("merlon signs with " + curve, False, done.stderr.decode(errors="replace"))
            continue
        doc = json.loads(bundle.read_text())
        (tmp / "pae").write_bytes(pae(doc["dsseEnvelope"]))
        (tmp / "der").write_bytes(base64.b64decode(doc["dsseEnvelope"]["signatures"][0]["sig"]))
        checked = run("openssl", "dgst", "-" + digest, "-verify", str(public), "-signature", str(tmp / "der"), str(tmp / "pae"))
        hint = doc["verificationMaterial"]["publicKey"]["hint"]
        case("openssl verifies a %s bundle" % curve, checked.returncode == 0 and hint == hashlib.sha256(public.read_bytes()).hexdigest(),
             checked.stdout.decode(errors="replace"))
        done = run(MERLON, "model", "verify", str(model), "--signature", str(bundle), "--key", str(public))
        case("merlon verifies it", done.returncode == 0, done.stderr.decode(errors="replace"))
        (model / "weights.bin").write_bytes(content(100_000)[:-1] + b"!")
        done = run(MERLON, "model", "verify", str(model), "--signature", str(bundle), "--key", str(public))
        case("and refuses a changed model with 5", done.returncode == 5, "exit %d" % done.returncode)
        (model / "weights.bin").write_bytes(content(100_000))


def keys(tmp):
    out = {}
    for name in ("own", "other"):
        path = tmp / (name + ".key")
        run("age-keygen", "-o", str(path))
        line = next(l for l in path.read_text().splitlines() if l.startswith("# public key: "))
        out[name] = (path, line.split(": ")[1])
    return {"file": out["own"][0], "recipient": out["own"][1], "other": out["other"][1]}


def main():
    with tempfile.TemporaryDirectory(prefix="merlon-age-") as name:
        tmp = pathlib.Path(name)
        if not os.access(MERLON, os.X_OK):
            note("skipped", "age interoperation", "there is no program %s" % MERLON)
        elif shutil.which("age") is None or shutil.which("age-keygen") is None:
            note("skipped", "age interoperation", "age is not installed (Debian package: age)")
        else:
            age = keys(tmp)
            files(tmp, age)
            folder(tmp, age)
            strangers(tmp, age)
        if os.access(MERLON, os.X_OK) and shutil.which("openssl"):
            signatures(tmp)
        else:
            note("skipped", "signatures by openssl", "merlon or openssl is missing")
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % TALLY)
    return 1 if TALLY["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
