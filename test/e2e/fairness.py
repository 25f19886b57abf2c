#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`merlon fairness` against fairlearn's numbers, its verdicts on the examples, and what it refuses.

usage: fairness.py [MERLON]     (default: $MERLON, else build/merlon)
Prints one line a case and a last line `N passed, N failed, N skipped`. Exit 0 unless a case failed.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MERLON = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MERLON", str(ROOT / "build" / "merlon"))
VECTORS = ROOT / "test" / "vectors" / "fair"
TALLY = {"passed": 0, "failed": 0, "skipped": 0}
METRICS = ("accuracy", "precision", "selection_rate", "true_positive_rate", "true_negative_rate", "false_positive_rate",
           "false_negative_rate")
NAMED = ("demographic_parity", "equalized_odds", "equal_opportunity")


def note(kind, name, why=""):
    TALLY[kind] += 1
    print("%-7s %s%s" % (kind, name, ": " + why if why else ""), flush=True)


def case(name, holds, why=""):
    note("passed" if holds else "failed", name, "" if holds else str(why))


def fairness(path, *more, label="y_true", pred="y_pred", group="group"):
    return subprocess.run([MERLON, "fairness", str(path), "--label", label, "--pred", pred, "--group", group, "--format", "json", *more],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


def near(a, b, tolerance=1e-9):
    return a is not None and b is not None and abs(a - b) <= tolerance


def differences(got, want):
    """What is not equal, as text; empty when all is."""
    bad = []
    for metric in METRICS:
        if not near(got["overall"][metric], want["overall"][metric]):
            bad.append("overall " + metric)
        for group, value in want["by_group"][metric].items():
            if not near(got["groups"][group][metric], value):
                bad.append("%s of %s" % (metric, group))
        for ours, theirs in (("difference", "difference_between_groups"), ("ratio", "ratio_between_groups")):
            if not near(got["disparity"][metric][ours], want[theirs][metric]):
                bad.append("%s of %s" % (ours, metric))
    for name in NAMED:
        for what in ("difference", "ratio"):
            if not near(got["disparity"][name][what], want["disparity"]["%s_%s" % (name, what)]):
                bad.append("%s of %s" % (what, name))
    if not near(got["disparity"]["adverse_impact_ratio"]["ratio"], min(want["adverse_impact_ratio"].values())):
        bad.append("adverse impact ratio")
    for group, n in want["by_group"]["count"].items():
        if got["groups"][group]["n"] != n:
            bad.append("n of " + group)
    return bad


def vectors():
    for name in ("loans", "fair", "rare"):
        want = json.loads((VECTORS / (name + ".json")).read_text())["results"]
        done = fairness(VECTORS / (name + ".csv"))
        if not done.stdout:
            case("fairlearn's numbers, " + name, False, done.stderr.decode(errors="replace"))
            continue
        got = json.loads(done.stdout)
        bad = differences(got, want)
        case("fairlearn's numbers, " + name, not bad, ", ".join(bad))
        low, _, high = want["bootstrap_1000_seed7"]["selection_rate_difference"]
        ours = got["disparity"]["selection_rate"]["interval"]
        tolerance = 0.05 if name == "rare" else 0.01
        case("the interval is near, " + name, near(ours[0], low, tolerance) and near(ours[1], high, tolerance), ours)
        done = fairness(VECTORS / (name + ".csv"), group="group,region")
        got = json.loads(done.stdout or b'{"groups":{}}')["groups"]
        want = want["intersectional"]["selection_rate"]
        case("intersections, " + name, set(got) == set(want) and all(near(got[g]["selection_rate"], want[g]) for g in want), sorted(got))


def verdicts():
    for folder, verdict, code in (("diabetes", "pass", 0), ("biased", "fail", 5)):
        done = fairness(ROOT / "examples" / folder / "predictions.csv", group="sex")
        got = json.loads(done.stdout or b"{}").get("verdict")
        case("the verdict on %s is %s, exit %d" % (folder, verdict, code), got == verdict and done.returncode == code,
             "%s, exit %d" % (got, done.returncode))
    done = fairness(VECTORS / "rare.csv")
    got = json.loads(done.stdout or b"{}").get("verdict")
    case("small groups are insufficient, not exit 0", got == "insufficient" and done.returncode in (5, 8), "%s, exit %d" % (got, done.returncode))


REFUSED = (
    ("an empty file", "", "empty"),
    ("a missing column", "y_true,y_pred\n1,1\n", "group"),
    ("a score for a prediction", "y_true,y_pred,group\n1,0.5,A\n", "line 2"),
    ("a blank label", "y_true,y_pred,group\n1,1,A\n,1,B\n", "line 3"),
    ("a short line", "y_true,y_pred,group\n1,1\n", "line 2"),
)


def refused():
    with tempfile.TemporaryDirectory(prefix="merlon-fair-") as tmp:
        for name, text, part in REFUSED:
            path = pathlib.Path(tmp) / "t.csv"
            path.write_text(text)
            done = fairness(path)
            said = (done.stderr + done.stdout).decode(errors="replace")
            case("refused: " + name, done.returncode in (1, 3) and part in said, "exit %d, %s" % (done.returncode, said))


def main():
    if os.access(MERLON, os.X_OK):
        vectors()
        verdicts()
        refused()
    else:
        note("skipped", "fairness", "there is no program %s" % MERLON)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % TALLY)
    return 1 if TALLY["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
