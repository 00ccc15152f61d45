#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A router that would show whoever is called another name: what a person reads beside the caller's ID is den's word, or there is no call."""
import os
import sys

import tap
from network import run

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "evil"))
try:
    from nacl.signing import SigningKey
    from router import INVOCATION, EvilRouter, fields, statement
except ImportError as missing:  # python3-nacl
    INVOCATION = SigningKey = fields = statement = None
    EvilRouter = missing

WHO = 9  # of the arguments of session.offer
evil = None


def make(net):
    global evil
    if isinstance(EvilRouter, ImportError):
        return
    evil = EvilRouter(net)
    for name in ("alice", "bob"):
        net.join(name)
    net.allow("allow from any to any can chat consent ask")
    run([net.program("warren-den"), "peer", "groups", net.ids["alice"], "guests", "--config", net.path("den/den.conf")])


def tells(net, other):
    """bob is told of alice what other(arguments of the offer) gives."""
    def lie(conn, is_from_client, message):
        if not is_from_client and message[0] == INVOCATION and conn.authid == net.ids["bob"] and conn.procedure(message).endswith(".session.offer"):
            message[4][WHO] = other(message[4])
        return message
    return lie


def is_refused(net, other):
    if isinstance(EvilRouter, ImportError):
        raise tap.Skip(f"{EvilRouter}")
    lie = tells(net, other)
    evil.lies.append(lie)
    try:
        bob = net.wait_chat("bob")
        alice = net.dial_chat("alice", "bob")
        tap.check(alice.wait() != 0, alice.err)
        tap.check(not any("calls (its ID is proved)" in line for line in bob.err), bob.err)
        bob.stop()
    finally:
        evil.lies.remove(lie)


def forged(key, arguments, *, sid=None):
    grant = fields(arguments[0])
    said = statement("who", grant[0], sid or grant[1], grant[2], b"boss@corp.example", b"admins")
    return [said, key.sign(said).signature]


@tap.test
def what_den_says_is_shown(net):
    if isinstance(EvilRouter, ImportError):
        raise tap.Skip(f"{EvilRouter}")
    bob = net.wait_chat("bob")
    alice = net.dial_chat("alice", "bob")
    bob.wait_line(bob.err, r"calls \(its ID is proved\), of guests and asks for: chat$")
    bob.write("n\n")
    tap.check(alice.wait() != 0, alice.err)
    bob.stop()


@tap.test
def a_statement_of_the_routers_own(net):
    is_refused(net, lambda arguments: forged(SigningKey.generate(), arguments))


@tap.test
def one_bit_turned(net):
    def other(arguments):
        said, signature = arguments[WHO]
        return [said.replace(b"guests", b"admins"), signature]
    is_refused(net, other)


@tap.test
def dens_word_about_an_earlier_call(net):
    earlier = []

    def other(arguments):
        earlier.append(arguments[WHO])
        return earlier[0]
    lie = tells(net, other)
    evil.lies.append(lie)
    what_den_says_is_shown(net)
    evil.lies.remove(lie)
    is_refused(net, other)


if __name__ == "__main__":
    tap.main(make=make)
