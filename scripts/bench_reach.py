#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of finding a path: bench_reach.py BUILD --json FILE [--rounds N] [--without-matrix] [--only-dials]. Real programs in the laboratory (tests/lab),
50 ms of round trip between left, right, and the servers. scripts/bench reach runs it."""
import argparse
import json
import os
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests", "lab")]
os.environ["WARREN_BUILD"] = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "build"
import alone  # noqa: E402

alone.enter()

import expected  # noqa: E402
import labnet  # noqa: E402
import matrix  # noqa: E402
from network import Failed  # noqa: E402
from reach import Reach  # noqa: E402

WAN = "50ms"
PATIENCE = 30
SILENT = 12  # seconds that a link may take to carry again


def note(text):
    print(text, file=sys.stderr, flush=True)


def heard(process, what, patience=PATIENCE, start=0):
    return json.loads(process.wait_line(process.out, f'"said": ?"{what}"', start, patience))


class Ends:
    """Two programs at the two ends: ours, or somebody else's."""

    def __init__(self, reach):
        self.reach = reach

    def program(self, name, *argv):
        return self.reach.net.start(name, [*self.reach.inside(name), *argv])

    def ours(self, name, *words):
        path = os.path.join(ROOT, os.environ["WARREN_BUILD"], "tests/bench/reach_dial")
        process = self.program(name, path, self.reach.net.path(name), *words)
        heard(process, "ready")
        return process


def dial(ends, answer, *words):
    """The caller; what it said of its first byte that was back; the milliseconds in which that was there; and those after which it had
    the first one of the other end's own, which speaks as soon as the link is up."""
    caller = ends.ours("alice", "dial", ends.reach.net.ids["bob"], *words)
    time.sleep(1)  # what comes with being there is not the dial's
    caller.write("dial\n")
    first = heard(caller, "first_byte")
    there = heard(answer, "heard")["at"] - heard(caller, "dialled")["at"]
    return caller, first, there / 1000, heard(caller, "greeted")["ms"]


def dial_relayed(ends):
    """The same where nothing but the relay is used."""
    answer = ends.ours("bob", "serve")
    caller, first, there, greeted = dial(ends, answer, "relay")
    for process in (caller, answer):
        process.stop()
    return first["ms"], there, greeted


def dial_once(ends, answer):
    """Milliseconds to the first byte, and to a direct path."""
    caller, first, there, greeted = dial(ends, answer)
    try:
        direct = heard(caller, "direct", 15)["ms"]
    except Failed:
        direct = None
    return caller, first, there, greeted, direct


def fail_over(ends, caller):
    """Milliseconds without an answer after the direct path went dead in silence; None: for longer than was waited."""
    seen = len(caller.out)
    time.sleep(2)  # other paths may get warm
    caller.write("mark\n")
    heard(caller, "marked", start=seen)
    ends.reach.lab.cut("left", "right")
    time.sleep(SILENT)
    caller.write("gap\n")
    gap = heard(caller, "gap", start=seen)["ms"]
    ends.reach.lab.cut("left", "right", False)
    return gap if gap < (SILENT - 2) * 1000 else None


def ours(reach, rounds, only_dials):
    ends = Ends(reach)
    found = {name: [] for name in ("dial_first_ms", "dial_relay_first_ms", "dial_ms", "dial_there_ms", "dial_relay_ms", "dial_relay_there_ms", "direct_ms",
                               "failover_ms")}
    for number in range(rounds):
        relayed, relayed_there, relayed_greeted = dial_relayed(ends)
        answer = ends.ours("bob", "serve")
        caller, first, there, greeted, direct = dial_once(ends, answer)
        found["dial_first_ms"].append(greeted)
        found["dial_relay_first_ms"].append(relayed_greeted)
        found["dial_ms"].append(first["ms"])
        found["dial_there_ms"].append(there)
        found["dial_relay_ms"].append(relayed)
        found["dial_relay_there_ms"].append(relayed_there)
        found["direct_ms"].append(direct)
        gap = fail_over(ends, caller) if direct is not None and not only_dials else None
        found["failover_ms"].append(gap)
        note(f"  round {number + 1}: the other end's first byte {greeted:.0f} ms, over the relay alone {relayed_greeted:.0f} ms; "
             f"ours there {there:.0f} ms, back {first['ms']:.0f} ms over {first['path']}; relay alone: there {relayed_there:.0f} ms, "
             f"back {relayed:.0f} ms; direct {direct} ms, silence after a cut {gap} ms")
        for process in (caller, answer):
            process.stop()
    return found


# ---- WebRTC ----

def wrtc_once(ends, folder):
    ends_of = {}
    for name, role in (("alice", "call"), ("bob", "answer")):
        ends_of[name] = ends.program(name, "node", os.path.join(ROOT, "tests/lab/wrtc.mjs"), folder, role)
        heard(ends_of[name], "ready")
    alice, bob = ends_of["alice"], ends_of["bob"]
    seen = {alice: 1, bob: 1}
    alice.write('{"call": true}\n')
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for one, other in ((alice, bob), (bob, alice)):
            while seen[one] < len(one.out):
                line = one.out[seen[one]]
                seen[one] += 1
                if '"first_byte"' in line:
                    alice.stop()
                    bob.stop()
                    return json.loads(line)["ms"]
                other.write(line + "\n")
        time.sleep(0.0005)
    raise Failed("WebRTC: no byte came")


def wrtc(reach, folder, rounds):
    return [wrtc_once(Ends(reach), folder) for _ in range(rounds)]


# ---- all of it ----

def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def figures(rounds, folder, only_dials):
    reach = Reach(os.environ["WARREN_BUILD"])
    try:
        reach.up("port", "port", WAN)
        found = ours(reach, rounds, only_dials)
        reach.up("open", "open", WAN)
        beside = wrtc(reach, folder, rounds) if folder else []
    finally:
        reach.close()
    for name, values in found.items():
        if (value := median(values)) is None:
            note(f"  {name}: none was measured: that path is not there")
            continue
        other = {"WebRTC, free signalling": median(beside)} if name == "dial_ms" and beside else {}
        yield {"suite": "reach", "figure": name, "unit": "ms", "value": value, "beside": other}


def whole_matrix():
    for has_turn in (True, False):
        note(f"each kind of network against each, {'with' if has_turn else 'without'} coturn, round trip {WAN}:")
        cells = matrix.run_all(expected.KINDS, WAN, has_turn, lambda text: note("  " + text))
        print(f"\nWith{'' if has_turn else 'out'} coturn (path, first byte):\n\n{matrix.table(expected.KINDS, cells)}\n")
        n = len([cell for cell in cells if "failed" not in cell])
        yield {"suite": "reach", "figure": "matrix" if has_turn else "matrix without TURN", "unit": f"pairs of {len(cells)}", "value": n, "beside": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-matrix", action="store_true")
    parser.add_argument("--only-dials", action="store_true", help="neither the matrix nor a path that dies")
    args = parser.parse_args()
    folder = os.environ.get("WARREN_WRTC")  # npm was asked before, where there is a network
    try:
        found = list(figures(args.rounds, folder, args.only_dials)) + ([] if args.without_matrix or args.only_dials else list(whole_matrix()))
    except (Failed, labnet.LabError) as e:
        sys.exit(f"bench: reach: {e}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(found, f)
    else:
        print(json.dumps(found, indent=1))


main()
