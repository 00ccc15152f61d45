#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A router that swallows calls: who dials is told in the end, with a reason and what to do, whatever it is that never comes. The programs' clocks run
faster, so that nobody waits for the time-outs."""
import os
import sys
import threading
import time

import network
import tap
from network import PATIENCE
from wamp import pack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "evil"))
try:
    from router import CALL, RESULT, EvilRouter
except ImportError as missing:  # python3-nacl
    CALL, RESULT, EvilRouter = None, None, missing

RATE = 10
evil = None


def make(net):
    global evil
    if isinstance(EvilRouter, ImportError):
        return
    net.prefix = network.fast(tap.build_dir(), RATE)
    evil = EvilRouter(net, prefix=net.prefix)
    for name in ("alice", "bob"):
        net.join(name, prefix=net.prefix)
    net.allow("allow from any to any can chat")


def swallows(net, wanted):
    """Alice's calls of those names get no further."""
    def lie(conn, is_from_client, message):
        is_hers = conn.authid == net.ids["alice"] and is_from_client and message[0] == CALL
        return None if is_hers and wanted(message[3]) else message
    return lie


def gives_up(net, lie, *words):
    """What is said in the end by who dials through that."""
    if isinstance(EvilRouter, ImportError):
        raise tap.Skip(f"{EvilRouter}")
    evil.lies.append(lie)
    try:
        began, dials = time.monotonic(), net.dial_chat("alice", "bob", prefix=net.prefix)
        status = dials.wait(2 * PATIENCE)
        said = "\n".join(dials.err)
        print(f"# {time.monotonic() - began:.1f} s: {dials.err[-2:]}")
        tap.check(status == 1, f"exit status {status}: {said}")
        tap.check_in("what to do: ", said)
        for word in words:
            tap.check_in(word, dials.err[-2] + dials.err[-1])
    finally:
        evil.lies.remove(lie)


@tap.test
def every_call(net):
    gives_up(net, swallows(net, lambda name: True), "timeout: ")


@tap.test
def all_that_den_is_asked(net):
    gives_up(net, swallows(net, lambda name: name.startswith("den.")), "timeout: ")


@tap.test
def the_dial_alone(net):
    gives_up(net, swallows(net, lambda name: name == "den.session.open"), "timeout: ")


@tap.test
def it_rings_for_ever(net):
    """Somebody between says "ringing" again and again, and nothing else."""
    def ring(conn, number):
        while not conn.is_gone and lie in evil.lies:
            conn.down.put(pack([RESULT, number, {"progress": True}, ["ringing"]]))
            time.sleep(1)

    def lie(conn, is_from_client, message):
        if conn.authid != net.ids["alice"] or not is_from_client or message[0] != CALL or message[3] != "den.session.open":
            return message
        threading.Thread(target=ring, args=(conn, message[1]), daemon=True).start()
        return None
    gives_up(net, lie, "it rang, and no answer came in time")


@tap.test
def and_afterwards_it_links(net):
    if isinstance(EvilRouter, ImportError):
        raise tap.Skip(f"{EvilRouter}")
    bob = net.wait_chat("bob", "--accept", prefix=net.prefix)
    alice = net.dial_chat("alice", "bob", prefix=net.prefix)
    alice.wait_line(alice.err, "^linked with")
    alice.stop()
    bob.stop()


if __name__ == "__main__":
    tap.main(make=make)
