# SPDX-License-Identifier: Apache-2.0
"""router and den go away: peers come back by themselves, links and certificates live on"""
import os
import re
import signal
import threading
import time

from drill import Drill
from network import run

N_PEERS = int(os.environ.get("DRILL_PEERS", "100"))
DEN_DOWN = float(os.environ.get("DRILL_DEN_DOWN", "20"))  # seconds; the requirement says ten minutes
SPREAD = 6  # seconds over which those who come back spread themselves


class Watch:
    """When each line of a router's log came, by the monotonic clock."""

    def __init__(self, process):
        self.process, self.at, self.is_over = process, [], False
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.is_over:
            with self.process.changed:
                n = len(self.process.err)
            self.at += [time.monotonic()] * (n - len(self.at))
            time.sleep(0.01)

    def joined(self, ids):
        """The first time that each of these joined."""
        found = {}
        for line, at in zip(list(self.process.err), list(self.at)):
            match = re.search(r"event=joined id=(\S+)", line)
            if match and match.group(1) in ids:
                found.setdefault(match.group(1), at)
        return found

    def wait(self, ids, patience=100):
        until = time.monotonic() + patience
        while len(self.joined(ids)) < len(ids) and time.monotonic() < until:
            time.sleep(0.05)
        self.is_over = True
        return self.joined(ids)


def quarters(times):
    """How many came in each quarter of a second, from the first to the last."""
    counts = [0] * (int((max(times) - min(times)) * 4) + 1)
    for at in times:
        counts[int((at - min(times)) * 4)] += 1
    return counts


def highest_wave(times):
    """The most who came within one second, wherever that begins."""
    return max(sum(1 for at in times if begin <= at < begin + 1) for begin in times)


class Talk:
    """A chat between two that says a numbered line twenty times a second, whatever happens around it."""

    def __init__(self, net):
        self.bob = net.wait_chat("bob", "--accept")
        self.alice = net.dial_chat("alice", "bob")
        self.n, self.is_over = 0, False
        self.say()
        self.bob.wait_line(self.bob.out, "line 1 ")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def say(self):
        self.n += 1
        self.alice.write(f"line {self.n} " + "x" * 500 + "\n")

    def run(self):
        while not self.is_over:
            self.say()
            time.sleep(0.05)

    def end(self):
        """(lines said, lines that did not come whole and in order)"""
        self.is_over = True
        self.thread.join()
        self.bob.wait_line(self.bob.out, f"line {self.n} ")
        heard = [re.search(r"line (\d+) (x*)", line) for line in self.bob.out]
        heard = [(int(m.group(1)), len(m.group(2))) for m in heard if m]
        return self.n, sum(1 for i, one in enumerate(heard, 1) if one != (i, 500)) + abs(self.n - len(heard))


def restart(drill, net, ids, how):
    """Ends the router, starts another a second later, and measures until all are back."""
    net.router.process.send_signal(how)
    status = net.router.wait()
    if how == signal.SIGTERM:
        drill.require("SIGTERM ends with status 0", status == 0, str(status))
    time.sleep(1)
    net.start_router()
    began = time.monotonic()
    back = Watch(net.router).wait(ids)
    name = "SIGTERM" if how == signal.SIGTERM else "a crash"
    drill.require(f"after {name} all {len(ids)} peers are back", len(back) == len(ids), f"{len(back)} are")
    if not back:
        return
    drill.measure(f"after {name} the last one is back", max(back.values()) - began, "s", at_most=10)
    times = list(back.values())
    drill.say(f"by the quarter of a second: {quarters(times)}")
    drill.measure(f"after {name} the highest wave is", highest_wave(times), "peers", at_most=2 * len(ids) // SPREAD)


def new_session_fails(drill, net, how):
    began = time.monotonic()
    done = run(net.warren("carol", "chat", net.ids["bob"], "--loopback"), wanted=None)
    took = time.monotonic() - began
    said = [line for line in done.stderr.splitlines() if line.startswith("warren: ")]
    drill.measure(f"a new session while den {how} fails", took, "s", at_most=2)
    drill.require("its error says so", done.returncode != 0 and re.search(r"\bden\b", said[0] if said else ""), said[0] if said else "nothing")


def den_hangs(drill, net):
    """It is connected, and does nothing."""
    net.den.process.send_signal(signal.SIGSTOP)
    for how in ("hangs", "still hangs"):
        new_session_fails(drill, net, how)
    net.den.process.send_signal(signal.SIGCONT)
    net.router.wait_line(net.router.err, "event=den_answers")
    dials = net.dial_chat("carol", "bob")
    dials.wait_line(dials.err, "busy|linked with|declined")
    dials.stop()
    drill.require("when it goes on, so does everything", True, "den was asked again")


def den_away(drill, net, ids):
    net.den.kill()
    new_session_fails(drill, net, "is away")
    drill.say(f"den stays away for {DEN_DOWN:g} s (DRILL_DEN_DOWN)")
    time.sleep(DEN_DOWN / 2)
    restart(drill, net, ids, signal.SIGTERM)
    time.sleep(DEN_DOWN / 2)
    net.start_den()


def main():
    drill = Drill("R24", "a component is unavailable")
    with drill.network() as net:
        with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
            f.write("max_per_address = 1000\nmax_connection_rate = 0\n")
        net.router.process.send_signal(signal.SIGHUP)
        net.router.wait_line(net.router.err, "event=reloaded")
        names = [f"peer{i}" for i in range(N_PEERS)]
        for name in ("alice", "bob", "carol", *names):
            net.join(name)
        net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat", f"allow from {net.ids['carol']} to {net.ids['bob']} can chat")
        drill.say(f"{N_PEERS} peers wait for calls, alice and bob talk")
        for name in names:
            net.wait_chat(name)
        drill.say(f"a wave: all who are back within one second, wherever that begins; the mean: {len(names) + 2} peers over {SPREAD} s, "
                  "in which they spread themselves; no wave may be higher than twice the mean")
        talk = Talk(net)
        ids = {net.ids[name] for name in ("alice", "bob", *names)}
        restart(drill, net, ids, signal.SIGTERM)
        time.sleep(5)  # sessions that lasted: their pauses begin anew
        restart(drill, net, ids, signal.SIGKILL)
        time.sleep(5)
        den_hangs(drill, net)
        den_away(drill, net, ids)
        n, bad = talk.end()
        drill.require("the link that was there lost nothing", bad == 0, f"{n} lines of 500 bytes and more sent, {bad} lost or damaged")
    drill.end()


if __name__ == "__main__":
    main()
