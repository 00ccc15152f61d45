#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two peers behind real NATs: over which path they come to talk, and what a link does when the network changes under it. The short ones;
matrix.py has every pair."""
import time

import alone

alone.enter()

import expected  # noqa: E402
import tap  # noqa: E402
from network import PATIENCE  # noqa: E402
from reach import Reach  # noqa: E402

reach = Reach(tap.build_dir())
NOTHING_NEW = """table inet nothing_new {
  chain out {
    type filter hook output priority 0
    meta l4proto udp drop
    tcp flags & (syn | ack) == syn drop
  }
}
"""


def talk(left, right, wan="20ms"):
    reach.up(left, right, wan)
    want = expected.best(left, right, reach.has_turn)
    found = reach.talk(settles=want)
    tap.check("failed" not in found, f"{left} - {right}: {found}")
    tap.check(found["identities"], f"{left} - {right}: the ends are not those that were meant")
    tap.check(found["last"] == want, f"{left} - {right}: {found['line']}, wanted {want}")


def pair(left, right, wan="20ms"):
    """Both ends of a chat that stands."""
    reach.up(left, right, wan)
    bob = reach.wait()
    alice = reach.warren("alice", "chat", reach.net.ids["bob"])
    alice.wait_line(alice.err, "^path ")
    say(alice, bob, "first")
    return alice, bob


def say(alice, bob, text, patience=PATIENCE):
    alice.write(text + "\n")
    bob.wait_line(bob.out, text + "$", patience=patience)
    bob.write(text + " back\n")
    alice.wait_line(alice.out, text + " back$", patience=patience)


@tap.test
def one_that_is_open(_):
    talk("open", "symmetric")


@tap.test
def two_full_cones(_):
    talk("full", "full")


@tap.test
def a_symmetric_one_and_one_that_filters_by_address(_):
    talk("symmetric", "address")


@tap.test
def two_that_filter_by_port(_):
    talk("port", "port")


@tap.test
def two_carriers(_):
    talk("double", "double")


@tap.test
def a_lossy_way(_):
    talk("port", "address", "100ms,5%,jitter=20ms,reorder=2%")


@tap.test
def no_direct_way_between_two_symmetric_ones(_):
    talk("symmetric", "symmetric")


@tap.test
def a_link_begins_before_any_carrier_is_there(_):
    """What is connected stays so, and nothing new gets out of bob's machine: neither ICE nor a connection to the relay."""
    reach.up("port", "port", "20ms")
    bob = reach.wait()
    reach.lab.nft("right", NOTHING_NEW)
    alice = reach.warren("alice", "chat", reach.net.ids["bob"])
    alice.wait_line(alice.err, "^path relay")
    say(alice, bob, "over the router")
    tap.check(not [line for line in alice.err if line.startswith("path direct")], f"there is no other way: {alice.err}")
    for end in (alice, bob):  # and it is no way to stay on
        end.wait_line(end.err, "no_path")


@tap.test
def a_cable_that_was_out_for_a_moment(_):
    alice, bob = pair("port", "port")
    reach.lab.pull("left")
    time.sleep(1)
    reach.lab.plug("left")
    say(alice, bob, "again")



def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
