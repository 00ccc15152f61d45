#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""an ID is wanted that somebody has, or had: no ID ever has two owners, and they are drawn uniformly"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import ROOT

drill = Drill("R7", "somebody wants an ID that is or was another's")
steps = int(os.environ.get("WARREN_IDS_STEPS", "100000"))
# The store's every commit waits for the disk; in memory the same steps take a minute.
folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
program = os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build"), "tests/unit/den/den_ids_test")
drill.say(f"{steps} random steps (register, come back, throw away, remove, expire, restart den), then {steps} IDs" +
          (f", the store in {folder}" if folder else ""))
env = dict(os.environ, WARREN_IDS_STEPS=str(steps))
if folder:
    env["TMPDIR"] = folder
done = subprocess.run([program], env=env, capture_output=True, text=True, check=False, timeout=3600)
figures = dict(re.findall(r"(\w+)=([0-9.-]+)", done.stdout))
drill.require("the test ran to its end", done.returncode == 0 and "double_owners" in figures, f"exit status {done.returncode}")
drill.say(f"restarts of den: {figures.get('restarts')}, IDs that were somebody's: {figures.get('ids_committed_or_ephemeral')}")
drill.measure("IDs with two owners", int(figures.get("double_owners", -1)) if "double_owners" in figures else 1, "", at_most=0)
drill.measure("chi-square over the IDs, deviations from its middle", float(figures.get("deviations", 99)), "", less_than=3.09)
drill.end()
