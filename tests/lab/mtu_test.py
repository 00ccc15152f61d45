#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Paths that take less than Ethernet does, and say nothing: tunnels, mobile networks. What is sent arrives over the best path, before and after."""
import functools
import json
import os
import re
import time

import alone

alone.enter()

import tap  # noqa: E402
import reach as laboratory  # noqa: E402
from network import PATIENCE, Failed, run  # noqa: E402

SIZE = 40_000_000
HEADERS = 28 + 34  # of IPv4 and UDP, of QUIC and a datagram's frame
reach = laboratory.Reach(tap.build_dir(), "mtu", has_turn=False)
Talk = functools.partial(laboratory.Talk, reach)


def explained(*words):
    done = run([*reach.inside("alice"), *reach.net.warren("alice", "explain", reach.net.ids["bob"], "--can", "chat", "--json", *words)], wanted=None)
    return {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}


class Transfer:
    """A file from alice to bob."""

    def __init__(self, *words, size=SIZE):
        self.path, self.folder = reach.net.path("file.bin"), reach.net.path(f"received-{time.monotonic_ns()}")
        os.makedirs(self.folder)
        with open(self.path, "wb") as f:
            f.write(os.urandom(size))
        self.bob = reach.warren("bob", "receive", self.folder, "--accept", *words)
        self.bob.wait_line(self.bob.err, "waiting")
        self.alice = reach.warren("alice", "send", self.path, reach.net.ids["bob"], *words)

    def come(self):
        return sum(entry.stat().st_size for entry in os.scandir(self.folder))

    def wait(self, some):
        until = time.monotonic() + PATIENCE
        while self.come() < some:
            if time.monotonic() > until or self.alice.process.poll() is not None:
                raise Failed(f"{self.come()} bytes came; alice: {self.alice.err}; bob: {self.bob.err}")
            time.sleep(0.01)

    def paths(self):
        return [laboratory.shown_path(line[line.index("path "):]) for line in self.alice.err if re.search(r"(^|, )path ", line)]

    def check(self):
        tap.check(self.alice.wait() == 0, f"{self.alice.err} {self.bob.err}")
        self.bob.stop()
        with open(self.path, "rb") as a, open(os.path.join(self.folder, "file.bin"), "rb") as b:
            tap.check(a.read() == b.read(), "it is another file")


def exchange(talk):
    """More than a packet each way."""
    text = "x" * 3000
    for end, other in (talk.ends(), reversed(talk.ends())):
        end.write(text + "\n")
        other.wait_line(other.out, text + "$")


def datagram(found):
    return int(found["mtu"]["facts"]["datagram_max"])


@tap.test
def a_tunnel_on_one_side(_):
    reach.up("port", "port", "20ms")
    reach.lab.narrow("left", 1280)
    transfer = Transfer()
    transfer.alice.wait_line(transfer.alice.err, "(^|, )path direct")
    transfer.check()
    tap.check(transfer.paths()[-1] == "direct" and len(transfer.paths()) <= 2, f"{transfer.paths()}")
    bob = reach.wait()
    tap.check(datagram(explained()) == 1280 - HEADERS, f"{explained()}")
    bob.stop()
    reach.lab.narrow("left", 1500)
    bob = reach.wait()
    tap.check(datagram(explained()) == 1452 - 34, f"{explained()}")
    bob.stop()


def falls(mtu, says, *words):
    reach.up("port", "port", "20ms,100mbit")
    transfer = Transfer(*words)
    transfer.alice.wait_line(transfer.alice.err, "(^|, )path direct")
    transfer.wait(SIZE // 4)
    reach.lab.narrow("right", mtu, says)
    begin, had = time.monotonic(), transfer.come()
    transfer.wait(had + 100_000)
    print(f"# {mtu}, {words}: data again after {time.monotonic() - begin:.2f} s", flush=True)
    transfer.check()
    print(f"# {transfer.paths()}", flush=True)
    return transfer.paths()


@tap.test
def it_falls_under_a_transfer(_):
    paths = falls(1400, False)
    tap.check(paths[-1] == "direct" and len(paths) <= 4, f"{paths}")


@tap.test
def it_falls_where_there_is_no_other_path(_):
    talk = Talk("port", "port", "--path", "direct")
    reach.lab.narrow("left", 1300)
    exchange(talk)


@tap.test
def it_falls_under_a_transfer_that_has_no_other_path(_):
    paths = falls(1300, False, "--path", "direct")
    tap.check(set(paths) == {"direct"}, f"{paths}")


@tap.test
def it_falls_and_that_is_said(_):
    paths = falls(1300, True)
    tap.check(paths[-1] == "direct" and len(paths) <= 4, f"{paths}")


@tap.test
def it_falls_and_the_router_is_gone(_):
    talk = Talk("port", "port")
    reach.net.router.stop()
    reach.lab.narrow("left", 1280)
    exchange(talk)


@tap.test
def less_than_quic_needs(_):
    reach.up("port", "port", "20ms")
    reach.lab.narrow("left", 1200)
    transfer = Transfer(size=5_000_000)
    transfer.check()
    tap.check(transfer.paths()[-1] == "relay" and len(transfer.paths()) <= 3, f"{transfer.paths()}")
    bob = reach.wait()
    found = explained()
    bob.stop()
    tap.check(found["mtu"]["verdict"] == "bad" and found["path"]["verdict"] == "bad" and found["path"]["facts"]["why"] == "narrow", f"{found}")


@tap.test
def doctor_says_what_gets_through(_):
    reach.up("port", "open", "20ms")
    for side, mtu, wanted, verdict in (("left", 1500, 1452, "good"), ("left", 1280, 1252, "good"), ("right", 1200, 548, "bad")):
        reach.lab.narrow(side, mtu)
        name = {"left": "alice", "right": "bob"}[side]
        done = run([*reach.inside(name), *reach.net.warren(name, "doctor", "--json")], wanted=None)
        found = [finding for finding in json.loads(done.stdout)["findings"] if finding["subject"] == "mtu"]
        tap.check([(finding["facts"]["packet"], finding["verdict"]) for finding in found] == [(str(wanted), verdict)], f"{mtu}: {found}")


@tap.test
def less_than_quic_needs_where_there_is_no_other_path(_):
    reach.up("port", "port", "20ms")
    reach.lab.narrow("left", 1200)
    reach.wait("--path", "direct")
    alice = reach.warren("alice", "chat", reach.net.ids["bob"], "--path", "direct")
    tap.check(alice.wait() == 1, f"{alice.err}")
    tap.check(any("MTU of 1280" in line for line in alice.err), f"{alice.err}")


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
