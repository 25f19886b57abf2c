#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random policies and inputs, run by merlon and by OPA: equal answers, or both an error of the same code.

usage: rego_fuzz.py [MERLON]    MLN_REGO_FUZZ_CASES: how many (default 60; 3,000 with MLN_DEEP); MLN_REGO_FUZZ_SEED: where to begin.
A case that differs is printed with its policy, input and both answers; its number alone makes it again.
"""
import json
import os
import pathlib
import random
import subprocess
import tempfile

import opa
from kit import MERLON, case, finish, skip

CASES = int(os.environ.get("MLN_REGO_FUZZ_CASES", "3000" if os.environ.get("MLN_DEEP") else "60"))
SEED = int(os.environ.get("MLN_REGO_FUZZ_SEED", "1"))
BATCH = 20  # policies in one run of each program: starting OPA is what takes time
NAMES = ("a", "b", "c", "d")


class Maker:
    """Policies that mostly compile: variables are bound before they are used, rules use only those before them."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.rules = []      # names of values
        self.partials = []   # names of sets and objects
        self.functions = []  # name, arity
        self.count = 0

    def fresh(self):
        self.count += 1
        return "v%d" % self.count

    def scalar(self):
        return self.r.choice(["0", "1", "2", "-1", "1.5", "true", "false", "null", '"a"', '"b"', '"ab"', '""'])

    def value(self, depth=2):
        kind = self.r.randrange(8) if depth > 0 else 0
        if kind < 4:
            return self.scalar()
        items = [self.value(depth - 1) for _ in range(self.r.randrange(4))]
        if kind == 4:
            return "[%s]" % ", ".join(items)
        if kind == 5 and items:
            return "{%s}" % ", ".join(items)
        return "{%s}" % ", ".join('"%s": %s' % (n, v) for n, v in zip(NAMES, items))

    def ref(self, names):
        head = self.r.choice(["input", "input", "data.base", *self.rules, *self.partials, *names])
        for _ in range(self.r.randrange(1, 3)):
            head += self.r.choice([".a", ".b", ".c", "[0]", "[1]", '["d"]'])
        return head

    def term(self, names, depth=2):
        r = self.r
        if r.randrange(3) == 0:  # what no type checker sees through
            return "object.get(%s, %s, %s)" % (r.choice(["input", "data.base"]), r.choice(['"a"', '"b"', "0"]), self.scalar())
        kind = r.randrange(14) if depth > 0 else r.randrange(5)
        if kind == 0 or (kind < 3 and not names):
            return self.scalar()
        if kind < 3:
            return r.choice(names)
        if kind == 3:
            return self.ref(names)
        if kind == 4:
            return r.choice([*self.rules, self.scalar()])
        inner = lambda: self.term(names, depth - 1)
        if kind == 5:
            return "(%s %s %s)" % (self.ref(names), r.choice("+-*/%"), self.ref(names))
        if kind == 6:
            return "[%s]" % ", ".join(inner() for _ in range(r.randrange(3)))
        if kind == 7:
            return "{%s}" % ", ".join('"%s": %s' % (n, inner()) for n in NAMES[:r.randrange(3)])
        if kind == 8:
            return "{%s}" % ", ".join(inner() for _ in range(r.randrange(1, 4)))
        if kind == 9 and self.functions:
            name, arity = r.choice(self.functions)
            return "%s(%s)" % (name, ", ".join(inner() for _ in range(arity)))
        if kind in (9, 10):
            return self.call(lambda: r.choice([self.ref(names), "object.get(input, %s, %s)" % ('"%s"' % r.choice(NAMES), self.scalar())]))
        if kind == 11:
            return "({%s} %s {x | some x in %s})" % (inner(), r.choice("&|-"), self.ref(names))
        return self.comprehension(names, depth)

    def call(self, inner):
        return self.r.choice([
            lambda: "count(%s)" % inner(), lambda: "concat(\",\", %s)" % inner(), lambda: "type_name(%s)" % inner(),
            lambda: "sum(%s)" % inner(), lambda: "max(%s)" % inner(), lambda: "sort(%s)" % inner(),
            lambda: "object.get(%s, %s, %s)" % (inner(), inner(), inner()), lambda: "array.concat(%s, %s)" % (inner(), inner()),
            lambda: "json.marshal(%s)" % inner(), lambda: "sprintf(\"%%v\", [%s])" % inner(), lambda: "to_number(%s)" % inner(),
            lambda: "upper(%s)" % inner(), lambda: "split(%s, \"a\")" % inner(), lambda: "object.keys(%s)" % inner(),
            lambda: "object.union(%s, %s)" % (inner(), inner()), lambda: "startswith(%s, %s)" % (inner(), inner()),
            lambda: "numbers.range(%s, %s)" % (inner(), inner()), lambda: "union({%s, %s})" % (inner(), inner()),
            lambda: "abs(%s)" % inner(), lambda: "round(%s)" % inner(), lambda: "array.slice(%s, 0, 2)" % inner(),
        ])()

    def comprehension(self, names, depth):
        lines, more = self.body(names, depth - 1, self.r.randrange(1, 3))
        text = "; ".join(lines)
        kind = self.r.randrange(3)
        head = self.term(more, 0)
        if kind == 0:
            return "[%s | %s]" % (head, text)
        if kind == 1:
            return "{%s | %s}" % (head, text)
        return "{%s: %s | %s}" % (head, self.term(more, 0), text)

    def expression(self, names, depth):
        """One line, and the names that it binds."""
        r = self.r
        kind = r.randrange(13)
        if kind < 3:
            name = self.fresh()
            return "%s := %s" % (name, self.term(names, depth)), [name]
        if kind < 5:
            name, key = self.fresh(), self.fresh()
            over = r.choice([self.ref(names), self.value(), *self.partials, *names])
            if r.randrange(2):
                return "some %s, %s in %s" % (key, name, over), [key, name]
            return "some %s in %s" % (name, over), [name]
        if kind == 5:
            name, key = self.fresh(), self.fresh()
            return "%s = %s[%s]" % (name, self.ref(names), key), [name, key]
        if kind == 6:
            return "not %s" % self.test(names, depth), []
        if kind == 7:
            name = self.fresh()
            return "every %s in %s { %s }" % (name, self.term(names, depth), self.test([*names, name], depth) + "; %s == %s" % (name, name)), []
        if kind == 8:
            names2 = [self.fresh(), self.fresh()]
            return "[%s, %s] := %s" % (*names2, self.term(names, depth)), names2
        if kind == 9:
            return "%s with input as %s" % (self.test(names, depth), self.value()), []
        if kind == 10:
            return "%s with data.base as %s" % (self.test(names, depth), self.value()), []
        return self.test(names, depth), []

    def test(self, names, depth):
        kind = self.r.randrange(4)
        if kind == 0:
            return self.ref(names)
        if kind == 1:
            return "%s in %s" % (self.term(names, depth - 1), self.term(names, depth))
        return "%s %s %s" % (self.term(names, depth), self.r.choice(["==", "!=", "<", "<=", ">", ">=", "="]), self.term(names, depth - 1))

    def body(self, names, depth, n):
        lines, names = [], list(names)
        for _ in range(n):
            line, more = self.expression(names, depth)
            lines.append(line)
            names += more
        return lines, names

    def rule(self, number):
        r = self.r
        kind = r.randrange(9)
        lines, names = self.body([], 2, r.randrange(1, 4))
        text = "{\n\t%s\n}" % "\n\t".join(lines)
        name = "r%d" % number
        if kind < 3:
            out = "%s := %s if %s" % (name, self.term(names, 1), text)
            if r.randrange(3) == 0:
                other, names = self.body([], 1, 1)
                out += " else := %s if {\n\t%s\n}" % (self.term(names, 1), other[0])
            if r.randrange(3) == 0:
                out = "default %s := %s\n\n%s" % (name, self.value(), out)
            self.rules.append(name)
            return out
        if kind < 5:
            out = "%s contains %s if %s" % (name, self.term(names, 1), text)
            self.partials.append(name)
            return out
        if kind < 7:
            out = "%s[%s] := %s if %s" % (name, r.choice(names) if names else '"k"', self.term(names, 1), text)
            self.partials.append(name)
            return out
        args = [self.fresh() for _ in range(r.randrange(1, 3))]
        lines, names = self.body(args, 1, r.randrange(1, 3))
        self.functions.append((name, len(args)))
        return "%s(%s) := %s if {\n\t%s\n}" % (name, ", ".join(args), self.term(names, 1), "\n\t".join(lines))

    def policy(self, package):
        rules = [self.rule(i) for i in range(self.r.randrange(2, 7))]
        return "package %s\n\n%s\n" % (package, "\n\n".join(rules))


def json_value(r, depth=3):
    kind = r.randrange(9) if depth > 0 else r.randrange(6)
    if kind < 6:
        return r.choice([0, 1, 2, -1, 1.5, True, False, None, "a", "b", "ab", ""])
    items = [json_value(r, depth - 1) for _ in range(r.randrange(4))]
    return items if kind == 6 else dict(zip(NAMES, items))


def normal(v):
    """Numbers as they compare; order of members does not count."""
    if isinstance(v, float) and v == int(v):
        return int(v)
    if isinstance(v, list):
        return [normal(x) for x in v]
    return {k: normal(x) for k, x in v.items()} if isinstance(v, dict) else v


def answer(program, folder, i):
    """What `eval` says of one case: its value, or the code of its first error."""
    done = subprocess.run([*program, "eval", "--format", "json", "-d", folder / ("p%d.rego" % i), "-d", folder / "data.json", "-i",
                           folder / ("i%d.json" % i), "data.p"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    try:
        said = json.loads(done.stdout)
    except ValueError:
        return ("none", done.stderr.decode(errors="replace")[:300])
    if said.get("errors"):
        return ("error", said["errors"][0].get("code"), said["errors"][0].get("message"))
    return ("value", normal(said["result"][0]["expressions"][0]["value"]) if said.get("result") else None)


def same(ours, theirs):
    """Errors are equal when their codes are: which of two conflicts is met first is nobody's promise."""
    return ours == theirs if ours[0] == "value" or theirs[0] == "value" else ours[:2] == theirs[:2]


def body():
    program, why = opa.program()
    if program is None:
        skip("rego fuzz beside opa", why)
        return
    counts = {"value": 0, "error": 0, "none": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for seed in range(SEED, SEED + CASES):
            r = random.Random(seed)
            (folder / "p0.rego").write_text(Maker(seed).policy("p"))
            (folder / "i0.json").write_text(json.dumps(json_value(r)))
            (folder / "data.json").write_text(json.dumps({"base": json_value(r)}))
            ours, theirs = answer([MERLON, "rego"], folder, 0), answer([program], folder, 0)
            counts[theirs[0]] += 1
            if not same(ours, theirs):
                case("case %d" % seed, False, "merlon %s, opa %s" % (str(ours)[:300], str(theirs)[:300]))
    case("%d random policies as OPA answers them (%d values, %d errors)" % (CASES, counts["value"], counts["error"]), True)


if __name__ == "__main__":
    finish(body, "rego fuzz")
