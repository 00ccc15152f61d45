#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures beside their competitors: both in turn, several rounds, the median of each. Run it through scripts/bench."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import bench_den
import bench_relay
import bench_router

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def program(build, name):
    """A bench program prints one line of JSON; its "value" is the figure."""
    target = os.path.join("tests/bench", name)
    subprocess.run(["ninja", "-C", build, target], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(build, target)


def bench_router_suite(build):
    subprocess.run(["ninja", "-C", build, "router/warren-router", "den/warren-den", "den/warren-den-signer"], check=True, stdout=subprocess.DEVNULL)
    return bench_router.figures(build, lambda name: program(build, name))


def bench_den_suite(build):
    subprocess.run(["ninja", "-C", build, "router/warren-router", "den/warren-den", "den/warren-den-signer"], check=True, stdout=subprocess.DEVNULL)
    return bench_den.figures(build, lambda name: program(build, name))


def wrtc_folder(build):
    """Where npm has put WebRTC for node; None: it cannot be had here."""
    folder = os.path.abspath(os.path.join(build, "npm-wrtc"))
    if os.path.isdir(os.path.join(folder, "node_modules", "@roamhq", "wrtc")):
        return folder
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "@roamhq/wrtc@0.10.0"], cwd=folder, check=False)
    if done.returncode != 0:
        print("bench: @roamhq/wrtc of npm could not be installed: WebRTC stands beside nothing", file=sys.stderr)
        return None
    return folder


def in_a_laboratory(build, script):
    folder = wrtc_folder(build)
    with tempfile.NamedTemporaryFile() as to:
        subprocess.run([sys.executable, os.path.join(ROOT, "scripts", script), os.path.abspath(build), "--json", to.name], check=True,
                       env={**os.environ, **({"WARREN_WRTC": folder} if folder else {})})
        with open(to.name, encoding="utf-8") as f:
            yield from json.loads(f.read() or "[]")  # nothing where no laboratory can be made: it said why


def bench_reach_suite(build):
    subprocess.run(["ninja", "-C", build, "router/warren-router", "den/warren-den", "den/warren-den-signer", "peer/cli/warren", "tests/lab/wan"], check=True,
                   stdout=subprocess.DEVNULL)
    program(build, "reach_dial")
    yield from in_a_laboratory(build, "bench_reach.py")
    yield from bench_relay.figures(build, lambda name: program(build, name))


def bench_link_suite(build):
    subprocess.run(["ninja", "-C", build, "router/warren-router", "den/warren-den", "den/warren-den-signer", "peer/cli/warren", "tests/lab/wan"], check=True,
                   stdout=subprocess.DEVNULL)
    for name in ("link_end", "udp_ping", "nice_reliable"):
        program(build, name)
    yield from in_a_laboratory(build, "bench_link.py")


SUITES = {"router": bench_router_suite, "den": bench_den_suite, "link": bench_link_suite, "reach": bench_reach_suite}


def shown(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def table(figures):
    rows = [("suite", "figure", "unit", "Warren", "beside")]
    for f in figures:
        beside = ", ".join(f"{name}: {shown(value)}" for name, value in f["beside"].items())
        rows.append((f["suite"], f["figure"], f["unit"], shown(f["value"]), beside))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("build")
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], default=[])
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    figures = []
    for suite in options.suites or SUITES:
        figures.extend(SUITES[suite](options.build))
    print(table(figures) if figures else "no figure is measured in these suites yet")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(figures, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
