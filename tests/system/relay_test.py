#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The paths of a link between two network namespaces: over the router's relay where no UDP goes between the peers, and back and forth
where the direct way is cut under a transfer. Runs itself inside namespaces of its own, so that nothing is left behind."""
import os
import re
import shutil
import subprocess
import sys
import threading
import time

INSIDE = "WARREN_INSIDE_NAMESPACES"

if not os.environ.get(INSIDE):
    unshare = ["unshare", "--net", "--mount"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    probe = subprocess.run([*unshare, "sh", "-c", "mount -t tmpfs tmpfs /run && ip link add x0 type veth peer name x1 && nft add table inet t"],
                           capture_output=True, text=True, check=False) if shutil.which("unshare") else None
    if probe is None or probe.returncode != 0:
        why = probe.stderr.strip().replace("\n", "; ") if probe else "unshare (util-linux) is not installed"
        print(f"1..1\nok 1 relay # SKIP no network namespaces or no nft here: {why}")
        sys.exit(0)
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__)])

import lone  # noqa: E402
import tap  # noqa: E402
from network import PATIENCE, Failed, free_port, run  # noqa: E402

HUB = "10.77.0.1"
LINE = 200


def sh(line):
    run(["sh", "-ec", line])


def make_hosts():
    sh("mount -t tmpfs tmpfs /run && ip link set lo up && ip link add hub type bridge && ip link set hub up && "
       f"ip addr add {HUB}/24 dev hub")
    for number, name in ((2, "left"), (3, "right")):
        sh(f"ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name} && "
           f"ip link set {name} master hub up && ip -n {name} link set lo up && ip -n {name} link set eth0 up && "
           f"ip -n {name} addr add 10.77.0.{number}/24 dev eth0")


def inside(name):
    return ("ip", "netns", "exec", name)


def block():
    """Silently, both ways: where it would arrive. Dropped where it leaves, the sender would be told (EPERM)."""
    for name in ("left", "right"):
        sh(f"ip netns exec {name} nft 'table inet cut {{ chain input {{ type filter hook input priority 0; meta l4proto udp drop; }}; }}'")


def unblock():
    for name in ("left", "right"):
        sh(f"ip netns exec {name} nft delete table inet cut")


def setup(net):
    net.init()
    net.door = free_port()
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write(f"metrics = 127.0.0.1:{net.door}\n")
    net.start_router()
    net.start_den()
    net.join("alice", prefix=inside("left"))
    net.join("bob", prefix=inside("right"))
    net.allow("allow from * to * can chat back chat")


class Door:
    def __init__(self, port):
        self.metrics = port


def chat(net, *words, callee=()):
    bob = net.start("bob", [*inside("right"), *net.warren("bob", "chat", "--accept", *callee)])
    bob.wait_line(bob.err, "waiting for a call")
    alice = net.start("alice", [*inside("left"), *net.warren("alice", "chat", net.ids["bob"], *words)])
    return alice, bob


def end(alice, bob):
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0, "alice's exit status")
    tap.check(bob.wait() == 0, "bob's exit status")


class Flow:
    """Numbered lines from one end to the other, until it is stopped; all of them have to arrive, in order, once."""

    def __init__(self, sender, receiver, pause=0.0):
        self.sender, self.receiver, self.pause, self.n, self.is_over = sender, receiver, pause, 0, False
        self.first = len(receiver.out)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_over:
            self.sender.write("".join(f"{n:08d} {'x' * LINE}\n" for n in range(self.n, self.n + 20)))
            self.n += 20
            time.sleep(self.pause)

    def received(self):
        with self.receiver.changed:
            return len(self.receiver.out) - self.first

    def wait(self, more):
        wanted, until = self.received() + more, time.monotonic() + PATIENCE
        while self.received() < wanted:
            if time.monotonic() > until:
                raise Failed(f"{self.received()} of {wanted} lines came: " + "\n".join((self.sender.err + self.receiver.err)[-20:]))
            time.sleep(0.005)

    def finish(self):
        self.is_over = True
        self.thread.join(PATIENCE)
        self.wait(self.n - self.received())
        numbers = [int(re.search(r": (\d{8}) x", line).group(1)) for line in self.receiver.out[self.first:self.first + self.n]]
        tap.check(numbers == list(range(self.n)), "lines were lost, doubled or out of order")


@tap.test
def without_udp_they_talk_over_the_relay(net):
    block()
    try:
        alice, bob = chat(net)
        for end_of in (alice, bob):
            tap.check_in(f"{HUB}:{net.port} relay", end_of.wait_line(end_of.err, "^path relay: "))
        flow = Flow(alice, bob)
        flow.wait(20000)
        flow.finish()
        end(alice, bob)
    finally:
        unblock()


@tap.test
def a_dial_begins_at_the_relay_and_says_when_it_moves(net):
    alice, bob = chat(net)
    for end_of in (alice, bob):
        end_of.wait_line(end_of.err, r"^path direct: 10\.77\.0\.")
    end(alice, bob)


@tap.test
def a_policy_is_kept(net):
    alice, bob = chat(net, "--path", "relay", callee=("--path", "relay"))
    alice.wait_line(alice.err, "^path relay: ")
    bob.wait_line(bob.err, "^path relay: ")
    flow = Flow(alice, bob)
    flow.wait(1000)
    flow.finish()
    end(alice, bob)
    for one in (alice, bob):
        tap.check(not one.find(one.err, "path direct"), f"{one.name} went direct")
    block()
    try:
        alice, bob = chat(net, "--path", "direct")
        alice.wait_line(alice.err, "no_path|timeout")
        tap.check(alice.wait() == 1, "its exit status")
        tap.check(not alice.find(alice.err, "path relay"), "it went over the relay")
        bob.stop()
    finally:
        unblock()


@tap.test
def a_cut_under_a_transfer_loses_nothing(net):
    alice, bob = chat(net)
    for one in (alice, bob):
        one.wait_line(one.err, "^path direct")
    there, back = Flow(alice, bob, 0.02), Flow(bob, alice, 0.02)
    there.wait(500)
    seen = len(alice.err), len(bob.err)
    block()
    began = time.monotonic()
    there.wait(50)
    back.wait(50)
    gap = time.monotonic() - began
    alice.wait_line(alice.err, "^path relay", seen[0])
    bob.wait_line(bob.err, "^path relay", seen[1])
    there.wait(100)
    seen = len(alice.err), len(bob.err)
    unblock()
    alice.wait_line(alice.err, "^path direct", seen[0])
    bob.wait_line(bob.err, "^path direct", seen[1])
    there.wait(500)
    there.finish()
    back.finish()
    end(alice, bob)
    print(f"# both ways again after a cut: {gap:.3f} s", flush=True)


@tap.test
def a_router_that_restarts_is_found_again_by_the_relay(net):
    block()
    try:
        alice, bob = chat(net)
        alice.wait_line(alice.err, "^path relay")
        flow = Flow(alice, bob, 0.01)
        flow.wait(500)
        net.router.kill()
        net.start_router()
        flow.wait(2000)
        flow.finish()
        end(alice, bob)
    finally:
        unblock()


@tap.test
def a_session_that_den_ends_is_over_at_the_relay(net):
    net.den.wait_line(net.den.err, "event=online")
    alice, bob = chat(net, "--path", "relay")
    alice.wait_line(alice.err, "^path relay")
    tap.check(lone.figure(Door(net.door), "warren_router_relay_sessions") == 1, "one session")
    out = run([net.program("warren-den"), "session", "list", "--config", net.path("den/den.conf")]).stdout
    sid = re.search(r"\b([0-9a-f]{32})\b", out).group(1)
    run([net.program("warren-den"), "session", "close", sid, "--config", net.path("den/den.conf")])
    net.router.wait_line(net.router.err, "relay_closed.*code=4410")
    alice.wait_line(alice.err, "not_authorized|the link is closed")
    tap.check(lone.figure(Door(net.door), "warren_router_relay_sessions") == 0, "no session")
    alice.stop()
    bob.stop()


make_hosts()
tap.main(host=HUB, make=setup)
