# SPDX-License-Identifier: Apache-2.0
"""A peer that was let in and storms (tests/evil/storm) against an application of libpeer's (tests/evil/victim), which is watched meanwhile."""
import glob
import json
import os
import re
import threading

from network import Failed

HOSTILE_S = 1800  # seconds that a million messages may take


def program(net, name):
    return os.path.join(net.build, "tests/evil", name)


def is_sanitized(net):
    """Sanitizers keep what was freed: memory says nothing then."""
    with open(program(net, "victim"), "rb") as f:
        return b"__asan_init" in f.read() or bool(os.environ.get("WARREN_VALGRIND"))


def resident(process, key="VmRSS"):
    with open(f"/proc/{process.process.pid}/status", encoding="ascii") as f:
        return int(re.search(key + r":\s+(\d+) kB", f.read()).group(1)) * 1024


def descriptors(process):
    return len(glob.glob(f"/proc/{process.process.pid}/fd/*"))


def report(victim):
    seen = len(victim.out)
    victim.write("\n")
    return json.loads(victim.wait_line(victim.out, "^{", seen))


class Watch(threading.Thread):
    """The most memory that a process had."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.most, self.is_over = process, 0, threading.Event()
        self.start()

    def run(self):
        while not self.is_over.wait(0.1) and self.process.process.poll() is None:
            self.most = max(self.most, resident(self.process))


def victim(net, name="bob"):
    process = net.start("victim", [program(net, "victim"), net.path(name)])
    process.wait_line(process.out, "^ready")
    return process


def run(net, n, seed, fatal=2000, name="bob", by="alice"):
    """What came of it, as a dictionary."""
    bob = victim(net, name)
    alice = net.start("storm", [program(net, "storm"), "--state", net.path(by), "--seed", str(seed), "--messages", str(n), "--fatal", str(fatal),
                             net.ids[name]])
    alice.wait_line(alice.out, "^honest")
    steady = resident(bob, "VmHWM")
    watch = Watch(bob)
    alice.write("\n")
    result = json.loads(alice.wait_line(alice.out, "^{", patience=HOSTILE_S))
    watch.is_over.set()
    alice.wait()
    lives = bob.process.poll() is None
    said = list(bob.err)
    if not lives:
        raise Failed(f"seed {seed}: the victim is gone, status {bob.process.returncode}: " + "\n".join(said[-30:]))
    result.update({key: value for key, value in report(bob).items() if key != "links"})
    result.update(seed=seed, steady=steady, most=watch.most, said=said, descriptors=descriptors(bob))
    bob.end_input()
    result["status"] = bob.wait()
    return result
