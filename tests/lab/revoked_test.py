#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gigabyte is under way when one of the two is revoked: both ends stop, over a direct path and over the relay, and what came is no file."""
import os
import time

import alone

alone.enter()

import tap  # noqa: E402
from network import PATIENCE, Failed, run  # noqa: E402
from reach import Reach  # noqa: E402

SIZE, SOME = 1 << 30, 50_000_000
reach = Reach(tap.build_dir(), "revoked", has_turn=False)


def come(folder):
    """Bytes that are there, under whatever name."""
    return sum(entry.stat().st_size for entry in os.scandir(folder))


def revoke(*words):
    config = reach.net.path("den/den.conf")
    run([*reach.lab.inside("public"), reach.net.program("warren-den"), "revoke", "--config", config, "--reason", "key-compromise", *words])


def transfer(left, right, kind, some, revokes):
    """`revokes` is called when `some` bytes have come."""
    reach.up(left, right, "10ms")
    name = f"{kind}.bin"
    path, folder = reach.net.path(name), reach.net.path("received-" + kind)
    os.makedirs(folder)
    with open(path, "wb") as f:
        f.truncate(SIZE)
    bob = reach.warren("bob", "receive", folder, "--accept")
    bob.wait_line(bob.err, "waiting")
    alice = reach.warren("alice", "send", path, reach.net.ids["bob"])
    alice.wait_line(alice.err, f"(^|, )path {kind}")
    until = time.monotonic() + PATIENCE
    while come(folder) < some:
        if time.monotonic() > until or alice.process.poll() is not None:
            raise Failed(f"{come(folder)} bytes came: {alice.err[-3:]}")
        time.sleep(0.01)
    revokes()
    begin = time.monotonic()
    for end in (alice, bob):
        end.wait_line(end.err, "revoked")
        print(f"# {kind}, {end.name}: {time.monotonic() - begin:.3f} s after den had it", flush=True)
    tap.check(alice.wait() == 1, f"sent: {alice.err[-3:]}")
    time.sleep(0.5)  # what had come before is written
    stopped = come(folder)
    time.sleep(1.5)
    tap.check(come(folder) == stopped < SIZE, f"{come(folder)} bytes after {stopped}")
    tap.check(name not in os.listdir(folder), "what came was taken for the file")
    bob.stop()


@tap.test
def the_sender_s_certificate_over_a_direct_path(_):
    transfer("port", "port", "direct", SOME, lambda: revoke("--serial", reach.net.identity("alice")["serial"]))


@tap.test
def the_receiver_s_identity_over_the_relay(_):
    transfer("symmetric", "symmetric", "relay", SOME, lambda: revoke("--id", reach.net.ids["bob"]))


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
