#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links and the end of certificates: the clocks of all programs run twelve times as fast."""
import os
import time

import tap
from network import Network, fast

RATE = 12
LIFE, GRACE = 10, 5  # minutes: of a certificate, and how long a link outlives it


class Pair:
    """A network of its own whose clocks are fast, and two of its peers in a chat."""

    def __init__(self, net, name):
        prefix = fast(net.build, RATE)
        folder = net.path(name)
        os.mkdir(folder)
        self.net = own = Network(net.build, folder)
        own.processes = net.processes  # stopped with the others
        own.init()
        with open(own.path("den/den.conf"), "a", encoding="ascii") as f:
            f.write(f"leaf_life = {LIFE}m\n")
        with open(own.path("den/policy.yaml"), "a", encoding="ascii") as f:
            f.write("  - {from: any, to: any, can: [chat], back: [chat]}\n")
        own.start_router(prefix)
        own.start_den(prefix)
        own.join("alice", prefix)
        own.join("bob", prefix)
        self.bob = own.wait_chat("bob", "--accept", prefix=prefix)
        self.alice = own.start("alice", [*prefix, *own.warren("alice", "chat", own.ids["bob"], "--loopback")])
        self.alice.wait_line(self.alice.err, "linked with")
        self.since = time.monotonic()

    def minutes(self):
        return (time.monotonic() - self.since) * RATE / 60

    def say(self, text):
        self.alice.write(text + "\n")
        self.bob.wait_line(self.bob.out, text)


@tap.test
def a_link_outlives_certificates_that_are_renewed_and_no_others(net):
    renewed, alone = Pair(net, "renewed"), Pair(net, "alone")
    alone.net.den.stop()
    while renewed.minutes() < LIFE + GRACE + 3:
        renewed.say(f"minute {renewed.minutes():.1f}")
        time.sleep(60 / RATE)
    issued = [line for line in renewed.net.den.err if "event=certificate.issued" in line]
    tap.check(len(issued) >= 4, f"two first certificates and two that followed: {issued}")
    for side in (alone.alice, alone.bob):
        side.wait_line(side.err, r"expired: ")


tap.main(make=False)
