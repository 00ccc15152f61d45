#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two peers in two network namespaces, router and den in a third, on a bridge. Runs itself inside namespaces of its own, so that
nothing is left behind; as another user than root by way of a user namespace."""
import os
import shutil
import subprocess
import sys

INSIDE = "WARREN_INSIDE_NAMESPACES"

if not os.environ.get(INSIDE):
    unshare = ["unshare", "--net", "--mount"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    probe = subprocess.run([*unshare, "sh", "-c", "mount -t tmpfs tmpfs /run && ip link add x0 type veth peer name x1"],
                           capture_output=True, text=True, check=False) if shutil.which("unshare") else None
    if probe is None or probe.returncode != 0:
        why = probe.stderr.strip().replace("\n", "; ") if probe else "unshare (util-linux) is not installed"
        print(f"1..1\nok 1 two_namespaces # SKIP no network namespaces here: {why}")
        sys.exit(0)
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__)])

import tap  # noqa: E402
from network import run  # noqa: E402

HUB = "10.77.0.1"


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


@tap.test
def two_peers_talk_between_namespaces(net):
    net.join("alice", prefix=inside("left"))
    net.join("bob", prefix=inside("right"))
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")
    bob = net.start("bob", [*inside("right"), *net.warren("bob", "chat", "--accept")])
    bob.wait_line(bob.err, "waiting for a call")
    alice = net.start("alice", [*inside("left"), *net.warren("alice", "chat", net.ids["bob"])])
    path = alice.wait_line(alice.err, r"^path direct: ")
    tap.check_in("10.77.0.2:", path)
    tap.check_in("10.77.0.3:", path)
    tap.check("127.0.0.1" not in path, path)
    alice.write("over the wire\n")
    bob.wait_line(bob.out, "over the wire$")
    bob.write("and back\n")
    alice.wait_line(alice.out, "and back$")
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0, "alice's exit status")
    tap.check(bob.wait() == 0, "bob's exit status")


make_hosts()
tap.main(host=HUB)
