#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""somebody wants to know which IDs there are: unknown, offline and forbidden look the same, guesses are few, and IDs are drawn uniformly"""
import hashlib
import os
import random
import re
import signal
import ssl
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "evil")]
from drill import Drill
from network import ROOT, Failed, fast
from router import CALL, ERROR, EvilRouter, Identity, is_error
from wamp import pack, unpack

TRIES = int(os.environ.get("WARREN_LOOKUPS", "10000"))
N_CALLERS, RATE = 30, 20  # a minute is three seconds: what a caller may guess comes back so soon
KINDS = ("unknown", "offline", "forbidden")
NOISE = 400  # times that the labels are shuffled
WITHIN = 1.05  # medians, by the smallest
SPACE = 10**6
drill = Drill("R8", "somebody tries which IDs there are")


def spki_of(call):
    """SHA-256 of the key in a den.ca.sign's CSR."""
    csr = unpack(call[0])[0]["csr"]
    pem = subprocess.run(["openssl", "req", "-inform", "DER", "-pubkey", "-noout"], input=csr, capture_output=True, check=True).stdout.decode()
    der = ssl.PEM_cert_to_DER_cert(re.sub("PUBLIC KEY", "CERTIFICATE", pem))
    return hashlib.sha256(der).digest()


class Caller:
    def __init__(self, net, evil, name):
        self.evil, self.id, self.key = evil, net.ids[name], Identity(net.path(name))
        self.spki, self.words = spki_of(evil.calls("den.ca.sign", self.id)[0]), evil.words()

    def dial(self, callee):
        """(code, seconds, the ERROR as it went over the wire)"""
        args = self.words.dial(self.key, self.id, callee, self.spki, b"ice")
        began = time.perf_counter()
        answer = self.evil.inject(self.evil.den, "den.session.open", args, self.id)
        took = time.perf_counter() - began
        return answer[0] if is_error(answer) else "OPENED", took, pack(self.evil.last)


def drawn():
    """IDs are uniform: 10^5 of den's own."""
    program = os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build"), "tests/unit/den/den_ids_test")
    env = dict({"WARREN_IDS_DRAWN": "100000"}, **os.environ, **({"TMPDIR": "/dev/shm"} if os.path.isdir("/dev/shm") else {}))
    done = subprocess.run([program], env=env, capture_output=True, text=True, check=False, timeout=3600)
    found = re.search(r"deviations=([0-9.-]+)", done.stdout)
    drill.measure("chi-square over 10^5 IDs, deviations from its middle (p > 0.001)", float(found.group(1)) if found else 99.0, "", less_than=3.09)


def unused(net):
    while True:
        one = str(random.randrange(100000, 1000000))
        if one not in net.ids.values():
            return one


def spread(groups):
    medians = [statistics.median(group) for group in groups]
    return max(medians) / min(medians)


def noise(times):
    """The spread of the medians when the labels mean nothing: what 99.9 % of the shuffles stay below."""
    everything, sizes, found = [t for group in times.values() for t in group], [len(group) for group in times.values()], []
    for _ in range(NOISE):
        random.shuffle(everything)
        at, groups = 0, []
        for n in sizes:
            groups.append(everything[at:at + n])
            at += n
        found.append(spread(groups))
    return sorted(found)[NOISE * 95 // 100]


def looks(net, callers):
    """The same bytes, after the same time."""
    target = {"offline": lambda: net.ids["carol"], "forbidden": lambda: net.ids["bob"], "unknown": lambda: unused(net)}
    times, wire, others = {kind: [] for kind in KINDS}, {kind: set() for kind in KINDS}, {}
    until = time.monotonic() + 1200
    n, wanted = 0, TRIES
    while n < wanted and time.monotonic() < until:
        caller, kind = callers[random.randrange(len(callers))], KINDS[random.randrange(3)]
        code, took, data = caller.dial(target[kind]())
        if code == "not_reachable":
            times[kind].append(took)
            wire[kind].add(data)
            n += 1
        else:
            others[code] = others.get(code, 0) + 1
            time.sleep(0.005)
        # So many that medians of answers that are alike would not differ by more: a busy machine takes more of them.
        if n == wanted and wanted < 3 * TRIES and noise(times) > WITHIN:
            wanted += TRIES // 2
    if n < TRIES:
        raise Failed(f"{n} answers of {TRIES}: {others}")
    together = set().union(*wire.values())
    drill.require(f"answers to {', '.join(KINDS)} that differ, of {n}", len(together) == 1, len(together) - 1)
    drill.require("other answers than that and `limit`", set(others) <= {"limit", "stale"}, others)
    shown = ", ".join(f"{kind} {statistics.median(times[kind]) * 1000:.3f} ms of {len(times[kind])}" for kind in KINDS)
    alike = noise(times)
    drill.say(f"nobody who did not know which is which would see more than {alike:.3f} in 95 of 100 shuffles")
    drill.measure(f"largest median by the smallest ({shown})", spread(times.values()), "", at_most=round(max(WITHIN, alike), 3))


def at_the_caller(net, evil):
    """What three real dials of one peer's get to see, byte by byte."""
    seen = set()
    for callee in (unused(net), net.ids["carol"], net.ids["bob"]):
        subprocess.run([*net.prefix, *net.warren("alice", "chat", callee, "--loopback")], input="", capture_output=True, check=False, timeout=120)
        for conn in [c for c in evil.conns if c.authid == net.ids["alice"]]:
            seen |= {pack(m[3:]) for up, m in conn.seen if not up and m[0] == ERROR and m[1] == CALL and m[4].endswith("not_reachable")}
    drill.require("what the router passes on to the caller that differs, of 3 dials", len(seen) == 1, len(seen) - 1)


def budget(net, caller):
    """How many guesses one ID has in a minute of the network's."""
    n, until = 0, time.monotonic() + 60 / RATE
    while time.monotonic() < until:
        n += caller.dial(unused(net))[0] == "not_reachable"
        time.sleep(0.002)
    return n


def budget_of_a_network(net, callers):
    """How many guesses all machines of one /24 have in a minute of the network's, and how long a hundredth of the IDs takes then."""
    n, until, i = 0, time.monotonic() + 60 / RATE, 0
    while time.monotonic() < until:
        i += 1
        n += callers[i % len(callers)].dial(unused(net))[0] == "not_reachable"
        time.sleep(0.002)
    return n


def without_that_limit(net):
    """What is measured next is how long an answer takes."""
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write("misses_per_network = 0\n")
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, "event=config.loaded changed=misses_per_network", seen)


drawn()
with drill.network(make=False) as net:
    net.prefix = fast(net.build, RATE)
    evil = EvilRouter(net, prefix=net.prefix)
    for name in ("alice", "bob", "carol", "spent", *(f"caller{i}" for i in range(N_CALLERS))):
        net.join(name, net.prefix)
    net.allow(f"allow from * to {net.ids['carol']} can chat consent none")
    waits = net.wait_chat("bob", prefix=net.prefix)
    spent = Caller(net, evil, "spent")
    first = budget(net, spent)
    drill.measure("guesses of one ID in its first minute", first, "", at_most=10)
    drill.measure("and in the next", budget(net, spent), "", at_most=11)
    everybody = [Caller(net, evil, f"caller{i}") for i in range(N_CALLERS)]
    budget_of_a_network(net, everybody)  # what they may have at once is gone
    found = budget_of_a_network(net, everybody)
    drill.measure(f"guesses of {N_CALLERS} IDs of one /24 in a minute", found, "", at_most=60)
    drill.measure("so a hundredth of the space takes from one address", SPACE / 100 / max(found, 1) / 60, "h", at_least=2)
    without_that_limit(net)
    at_the_caller(net, evil)
    looks(net, everybody)
    evil.close()
drill.end()
