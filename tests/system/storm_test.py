#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A peer that was let in and then sends what no honest one sends (tests/evil/storm): the other side lives, stays as large as it was, shows its
application nothing that was not granted, and serves others. The drill R19 does the same with a million messages."""
import os

import storm
import tap
from tap import check, test

N = 20000
result = {}


def make(net):
    net.make()
    for name in ("alice", "bob", "carol"):
        net.join(name)
    for name in ("alice", "carol"):
        net.allow(f"allow from {net.ids[name]} to {net.ids['bob']} can chat")


@test
def whoever_is_stormed_at_lives(net):
    seed = int.from_bytes(os.urandom(4), "big")
    result.update(storm.run(net, N, seed, fatal=250))
    print(f"# {result}")
    check(result["messages"] == N and result["links"] > 1 and result["breaking"] > 0, "there was no storm")
    check(result["streams"] > 0 and result["datagrams"] > 0, "nothing got through: it was no storm that an application sees")
    check(result["status"] == 0, f"it ended with {result['status']}: {result['said']}")


@test
def nothing_that_was_not_granted_is_shown(net):
    check(result["foreign"] == 0, f"{result['foreign']} streams of {result['streams']}")


@test
def memory_at_most_doubles(net):
    if storm.is_sanitized(net):
        raise tap.Skip("a sanitizer keeps what was freed")
    check(result["most"] <= 2 * result["steady"], f"{result['steady'] >> 10} KiB before, {result['most'] >> 10} at most")


@test
def others_are_served_as_before(net):
    bob = net.wait_chat("bob", "--accept")
    carol = net.dial_chat("carol", "bob")
    carol.write("after the storm\n")
    bob.wait_line(bob.out, "after the storm")
    bob.write("and all is well\n")
    carol.wait_line(carol.out, "and all is well")


tap.main(make=make)
