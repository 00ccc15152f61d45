#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a cable is pulled, a NAT forgets, addresses change, a machine sleeps, with a gigabyte on its way; 500 such things at random"""
import hashlib
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lab")]
import alone  # noqa: E402

alone.enter()

from drill import Drill  # noqa: E402
from network import Failed  # noqa: E402
from reach import Reach  # noqa: E402

BUILD = os.environ.get("WARREN_BUILD", "build")
SIZE = int(os.environ.get("WARREN_R13_BYTES", 1 << 30))
EVENTS = int(os.environ.get("WARREN_R13_EVENTS", 500))
SEED = int(os.environ.get("WARREN_R13_SEED", time.time_ns() % 10**6))
STUCK = 100  # ten times what an event may cost
drill = Drill("R13", "a network that changes under a link")
reach = Reach(BUILD, "drill", has_turn=False)


class Talk:
    """A chat that stands."""

    def __init__(self, left, right, wan="20ms"):
        reach.up(left, right, wan)
        self.bob = reach.wait()
        self.alice = reach.warren("alice", "chat", reach.net.ids["bob"])
        self.n = 0
        self.alice.wait_line(self.alice.err, "^path direct", patience=STUCK)
        self.say()
        time.sleep(1)

    def say(self):
        """Seconds that a line each way takes."""
        self.n += 1
        begin, text = time.monotonic(), f"line {self.n}"
        try:
            self.alice.write(text + "\n")
            self.bob.wait_line(self.bob.out, text + "$", patience=STUCK)
            self.bob.write(text + " back\n")
            self.alice.wait_line(self.alice.out, text + " back$", patience=STUCK)
        except BrokenPipeError as e:
            raise Failed(f"the caller is gone: {self.alice.err[-4:]}") from e
        return time.monotonic() - begin

    def stop(self):
        for end in (self.alice, self.bob):
            end.stop()


def cut(is_cut=True):
    reach.lab.cut("left", "right", is_cut)


# ---- the cable ----

def sent(frm, to):
    return next(way["packets"] for way in reach.lab.stats()["ways"] if way["from"] == frm and way["to"] == to)


def cable():
    talk = Talk("port", "port")
    begin = time.monotonic()
    reach.lab.pull("left")
    for name, end in (("the end whose cable it is", talk.alice), ("the other end", talk.bob)):
        end.wait_line(end.err, "nothing came from the other side", patience=300)
        drill.measure(f"cable pulled: {name} knows", round(time.monotonic() - begin, 1), "s", at_most=30)
    time.sleep(1)
    before = sent("right", "left")
    time.sleep(5)
    drill.measure("packets to the lost end in the five seconds after", sent("right", "left") - before, "packets", at_most=0)
    talk.stop()


# ---- one thing after the other ----

def slept(talk):
    talk.alice.process.send_signal(signal.SIGSTOP)
    time.sleep(5)
    reach.lab.rebind("left")
    talk.alice.process.send_signal(signal.SIGCONT)


def changes():
    for left, right in (("port", "port"), ("open", "double"), ("symmetric", "address")):
        talk = Talk(left, right)
        for what, event in (("NAT of the caller reboots", lambda: reach.lab.rebind("left")),
                            ("NAT of the callee reboots", lambda: reach.lab.rebind("right")),
                            ("another public address", lambda: reach.lab.renumber("left")),
                            ("another address of the machine", lambda: reach.lab.renumber("right", inside=True)),
                            ("suspend and resume", lambda: slept(talk))):
            event()
            drill.measure(f"{left} - {right}: {what}: data again after", round(talk.say(), 2), "s", at_most=10)
            time.sleep(2)
        talk.stop()


# ---- a gigabyte under it ----

def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def make_file(path):
    rng = random.Random(13)
    with open(path, "wb") as f:
        for _ in range(SIZE >> 20):
            f.write(rng.randbytes(1 << 20))


def gigabyte():
    reach.up("port", "port", "10ms")
    path, folder = reach.net.path("large.bin"), reach.net.path("received")
    make_file(path)
    os.makedirs(folder, exist_ok=True)
    bob = reach.warren("bob", "receive", folder, "--accept")
    bob.wait_line(bob.err, "waiting")
    begin = time.monotonic()
    alice = reach.warren("alice", "send", path, reach.net.ids["bob"])
    alice.wait_line(alice.err, "^path|linked", patience=STUCK)
    events = [lambda: (cut(), time.sleep(1.5), cut(False)), lambda: reach.lab.rebind("left"), lambda: reach.lab.renumber("right", inside=True),
              lambda: (reach.lab.pull("right"), time.sleep(2), reach.lab.plug("right")), lambda: reach.lab.renumber("left")]
    n = 0
    while alice.process.poll() is None and time.monotonic() - begin < 900:
        time.sleep(3)
        if alice.process.poll() is None and n < 20:
            events[n % len(events)]()
            n += 1
    drill.require(f"{SIZE} bytes sent through {n} changes", alice.process.poll() == 0, f"{time.monotonic() - begin:.1f} s, exit {alice.process.poll()} {alice.err[-1:]}")
    got = os.path.join(folder, "large.bin")
    whole = os.path.exists(got) and os.path.getsize(got) == SIZE and digest(got) == digest(path)
    drill.require("they arrived intact (SHA-256)", whole, whole)
    bob.stop()


# ---- at random ----

def weight(process):
    """Descriptors and KiB of memory."""
    pid = process.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), rss


class Weather:
    """Something happens to the network; `calm` puts it right."""

    def __init__(self, talk, rng):
        self.talk, self.rng = talk, rng
        self.undo, self.was, self.began = [], [], time.monotonic()

    def calm(self):
        while self.undo:
            self.undo.pop()()

    def happen(self):
        side = self.rng.choice(("left", "right"))
        kind = self.rng.choice(("cut", "router", "rebind", "renumber", "inside", "pull", "stop", "lossy"))
        self.was = [*self.was[-24:], f"{time.monotonic() - self.began:.1f}:{kind}:{side}"]
        if len(self.undo) >= 2:
            self.calm()
        if kind == "cut":
            cut()
            self.undo.append(lambda: cut(False))
        elif kind == "router":
            reach.lab.cut(side, "public")
            self.undo.append(lambda: reach.lab.cut(side, "public", False))
        elif kind == "pull":
            reach.lab.pull(side)
            time.sleep(self.rng.random())
            reach.lab.plug(side)
        elif kind == "stop":
            end = self.rng.choice((self.talk.alice, self.talk.bob))
            end.process.send_signal(signal.SIGSTOP)
            time.sleep(self.rng.random())
            end.process.send_signal(signal.SIGCONT)
        elif kind == "lossy":
            reach.lab.wan("40ms,10%,jitter=10ms")
            self.undo.append(lambda: reach.lab.wan("20ms"))
        elif kind == "rebind":
            reach.lab.rebind(side)
        else:
            reach.lab.renumber(side, inside=kind == "inside")


def at_random():
    rng = random.Random(SEED)
    drill.say(f"seed {SEED} (WARREN_R13_SEED)")
    talk = Talk("port", "port")
    weather, stuck, worst, weights = Weather(talk, rng), 0, 0.0, []
    for number in range(1, EVENTS + 1):
        weather.happen()
        time.sleep(rng.random() * 0.3)
        if number % 5 == 0:  # a link that has no path at all for 25 s is given up, and rightly
            weather.calm()
            time.sleep(1)
        if number % 20:
            continue
        weather.calm()
        try:
            worst = max(worst, talk.say())
        except Failed as e:
            drill.say(f"after event {number}: {str(e)[:300]}")
            drill.say(f"the last events: {' '.join(weather.was)}")
            for name, end in (("caller", talk.alice), ("callee", talk.bob)):
                drill.say(f"the {name}, {'running' if end.process.poll() is None else 'gone'}, said: {' | '.join(end.err[-20:])}")
            stuck += 1
            talk.stop()
            talk = weather.talk = Talk("port", "port")
        time.sleep(3)  # what is being tried is settled
        weights.append([weight(end) for end in (talk.alice, talk.bob)])
    drill.require(f"{EVENTS} random events: links that were stuck or lost", stuck == 0, stuck)
    drill.measure("the longest time for a line each way when the network was right again", round(worst, 2), "s", at_most=10)
    if stuck == 0:
        half = len(weights) // 2
        for index, name in enumerate(("caller", "callee")):
            early, late = (max(w[index][0] for w in part) for part in (weights[:half], weights[half:]))
            drill.measure(f"descriptors of the {name}: at most {early} in the first half, in the second more by", late - early, "", at_most=4)
            early, late = (max(w[index][1] for w in part) for part in (weights[:half], weights[half:]))
            drill.measure(f"memory of the {name}: at most {early} KiB in the first half, in the second more by", late - early, "KiB", at_most=2048)
    talk.stop()


try:
    wanted = os.environ.get("WARREN_R13_PARTS", "cable changes gigabyte random").split()
    for name, part in (("cable", cable), ("changes", changes), ("gigabyte", gigabyte), ("random", at_random)):
        if name in wanted:
            part()
except Failed as e:
    drill.require("the drill ran to its end", False, str(e))
finally:
    reach.close()
drill.end()
