# SPDX-License-Identifier: Apache-2.0
"""The frame of the drills: a network of real programs, and a table of what was required and what was measured.

    drill = Drill("R24", "a component is unavailable")
    with drill.network() as net:                     # made and started; make=False: not yet
        drill.measure("all peers are back", seconds, "s", at_most=10)
        drill.require("no byte is lost", lost == 0, f"{lost} bytes lost")
    drill.end()                                      # prints the verdict and exits
"""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from network import Failed, Network  # noqa: E402


def built(build, *programs):
    """What a drill needs that may not have been built. What is there is left alone: scripts/drill has built it now, and as a part of the tests
    another ninja may be at work in the same folder."""
    missing = [name for name in programs if not os.path.exists(os.path.join(build, name))]
    if missing:
        subprocess.run(["ninja", "-C", build, "-j2", *missing], check=True, stdout=subprocess.DEVNULL)


class Drill:
    def __init__(self, name, what):
        self.name, self.has_failed = name, False
        print(f"{name}: {what}", flush=True)

    def say(self, text):
        print(f"  .. {text}", flush=True)

    def require(self, what, holds, measured):
        self.has_failed |= not holds
        print(f"  {'HOLDS' if holds else 'FAILS'}  {what}: {measured}", flush=True)

    def measure(self, what, value, unit, at_most=None, at_least=None, less_than=None):
        """One figure against one bound."""
        bounds = [(at_most, "<=", lambda b: value <= b), (at_least, ">=", lambda b: value >= b), (less_than, "<", lambda b: value < b)]
        (bound, sign, test), = [b for b in bounds if b[0] is not None]
        shown = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        self.require(what, test(bound), f"{shown} {unit} (required {sign} {bound} {unit})")

    @contextlib.contextmanager
    def network(self, make=True, **more):
        folder = tempfile.mkdtemp(prefix="warren-drill-")
        net = Network(os.environ.get("WARREN_BUILD", "build"), folder, name="drill.warren", **more)
        try:
            if make:
                net.make()
            yield net
        except Failed as e:
            self.require("the drill ran to its end", False, str(e))
        finally:
            net.close()
            shutil.rmtree(folder, ignore_errors=True)

    def end(self):
        print(f"{self.name} {'FAILS' if self.has_failed else 'HOLDS'}", flush=True)
        sys.exit(1 if self.has_failed else 0)
