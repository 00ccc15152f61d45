#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An authorised peer that lies about another try at a direct path (tests/evil/evil): what cannot be read ends the link, and too many tries are passed over.
What honest ones do when the network changes, tests/lab/survive_test.py tries."""
import os
import time

import tap

MORE = 70  # descriptors: sockets of the two or three tries that are there at a time, until they are closed


def evil(net, lie):
    """What came of it, and how many descriptors the other end had at most."""
    process, most = net.start("alice", [net.program("evil"), lie, "--state", net.path("alice"), net.ids["bob"]]), 0
    while process.process.poll() is None:
        most = max(most, descriptors(net.bob))
        time.sleep(0.01)
    process.wait()
    return process.out[-1] if process.out else str(process.err), most


def descriptors(process):
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


def make(net):
    for name in ("alice", "bob"):
        net.join(name)
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")
    return net.wait_chat("bob", "--accept")


@tap.test
def a_description_that_cannot_be_read(net):
    net.bob = make(net)
    said, _most = evil(net, "bad_ice")
    tap.check(said.startswith("refused: ") and "ICE: ICE description: line 2: ice-pwd: shorter than 22" in said, said)
    net.bob.wait_line(net.bob.err, "waiting for the next call")


@tap.test
def two_hundred_tries_at_once(net):
    before = descriptors(net.bob)
    said, most = evil(net, "many_ice")
    tap.check(said == "stands", said)
    net.bob.wait_line(net.bob.err, "waiting for the next call", start=len(net.bob.err) - 1)
    tap.check(most - before <= MORE, f"{before} descriptors before, {most} meanwhile")
    print(f"# {before} descriptors before, at most {most} meanwhile")
    net.bob.stop()


tap.main()
