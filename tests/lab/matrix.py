#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each kind of network against each: over which path two peers come to talk, and how soon.
matrix.py [--kinds open,port,...] [--wan 50ms] [--without-turn] [--json FILE] [--strict]"""
import argparse
import json
import sys
import time

import alone

alone.enter()

import expected  # noqa: E402
import labnet  # noqa: E402
from network import Failed  # noqa: E402
from reach import Reach  # noqa: E402
import tap  # noqa: E402

PATIENCE = 15


def cell(reach, left, right, wan):
    want = expected.best(left, right, reach.has_turn)
    try:
        reach.up(left, right, wan)
        result = reach.talk(PATIENCE, want)
    except (Failed, labnet.LabError, OSError) as e:
        result = {"failed": str(e).splitlines()[0]}
    if result.get("path") and result["path"] != want:
        time.sleep(3)  # the better one may come while it is up
    return {"left": left, "right": right, "expected": want, **result}


def is_good(found):
    return found.get("last") == found["expected"] and found.get("identities")


def short(found):
    if "failed" in found:
        return "not connected"
    return f"{found['last']} {found['seconds'] * 1000:.0f} ms" + ("" if is_good(found) else " !")


def table(kinds, cells):
    by = {(c["left"], c["right"]): c for c in cells}
    lines = ["| left \\ right | " + " | ".join(kinds) + " |", "| --- |" + " --- |" * len(kinds)]
    lines += [f"| {left} | " + " | ".join(short(by[left, right]) for right in kinds) + " |" for left in kinds]
    return "\n".join(lines)


def run_all(kinds, wan, has_turn, say):
    reach = Reach(tap.build_dir(), has_turn=has_turn)
    cells = []
    try:
        for left in kinds:
            for right in kinds:
                cells.append(cell(reach, left, right, wan))
                say(f"{left} - {right}: {short(cells[-1])} (best: {cells[-1]['expected']}) {cells[-1].get('failed', '')}")
    finally:
        reach.close()
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(expected.KINDS))
    parser.add_argument("--wan", default="50ms")
    parser.add_argument("--without-turn", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--strict", action="store_true", help="exit status 1 unless each pair has its best path")
    args = parser.parse_args()
    kinds = args.kinds.split(",")
    for kind in kinds:
        if kind not in expected.KINDS:
            sys.exit(f"matrix: {kind}: there is no such kind: one of {', '.join(expected.KINDS)}")
    cells = run_all(kinds, args.wan, not args.without_turn, lambda text: print(text, file=sys.stderr, flush=True))
    print(table(kinds, cells))
    n = len([c for c in cells if "failed" not in c])
    print(f"\n{n} of {len(cells)} pairs connected, {len([c for c in cells if is_good(c)])} over the best path; round trip {args.wan or 0}")
    if args.json:
        with open(args.json, "w", encoding="ascii") as f:
            json.dump(cells, f, indent=1)
    sys.exit(1 if args.strict and not all(is_good(c) for c in cells) else 0)


if __name__ == "__main__":
    main()
