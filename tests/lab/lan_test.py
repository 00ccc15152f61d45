#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three machines on one network, router and den on another host of it. When these are gone, two that den gave a permit find each other by it;
the third one has none, and whoever listens learns nothing of who asks for whom."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import alone

alone.enter()

import tap  # noqa: E402
from network import Failed, fast, run  # noqa: E402

HUB = "10.77.0.1"
SNIFF = """import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print("ready", flush=True)
with open(sys.argv[1], "wb", 0) as f:
    while True:
        f.write(s.recv(65536))
"""
# So many calls at once to one machine; "linked" when all of them are.
CALLS = """import sys, time
sys.path.insert(0, sys.argv[1])
import warren
def fail(why): print(why, flush=True); sys.exit(1)
with warren.Peer(sys.argv[2]) as peer:
    ups, n = set(), int(sys.argv[4])
    while (event := peer.next_event(60)) and event.type != warren.JOINED:
        pass
    links = [peer.dial(sys.argv[3], ["chat"]) for _ in range(n)]
    while len(ups) < n:
        event = peer.next_event(60) or fail("nothing came")
        if event.type == warren.LINK_UP: ups.add(event.link)
        if event.type == warren.LINK_DOWN: fail(f"{event.error}")
    print("linked", flush=True)
    sys.stdin.read()
"""
# Answers so many, the last first.
ANSWERS = """import sys
sys.path.insert(0, sys.argv[1])
import warren
calls = []
with warren.Peer(sys.argv[2], capabilities=["chat"]) as peer:
    for event in peer.events():
        if event.type == warren.JOINED: print("waiting", flush=True)
        if event.type == warren.INCOMING: calls.append(event.link)
        if len(calls) == int(sys.argv[3]):
            for link in reversed(calls): link.accept()
            calls.clear()
"""
HOSTS = {"alice": ("left", 2), "bob": ("right", 3), "carol": ("third", 4)}


def sh(line):
    run(["sh", "-ec", line])


def make_hosts():
    sh(f"ip link set lo up && ip link add hub type bridge mcast_snooping 0 && ip link set hub up && ip addr add {HUB}/24 dev hub")
    for host, number in HOSTS.values():
        sh(f"ip netns add {host} && ip link add {host} type veth peer name eth0 netns {host} && ip link set {host} master hub up && "
           f"ip -n {host} link set lo up && ip -n {host} link set eth0 up && ip -n {host} addr add 10.77.0.{number}/24 dev eth0 && "
           f"ip -n {host} route add default via {HUB}")


def inside(name):
    return ("ip", "netns", "exec", HOSTS[name][0])


def chat(net, name, *words):
    return net.start(name, [*inside(name), *net.warren(name, "chat", *words)])


def policy(net, offline):
    """alice may call bob, and meet him again offline; carol may call bob while den is there."""
    ids = net.ids
    rules = [f"  - {{from: {ids['alice']}, to: {ids['bob']}, can: [chat], consent: none{offline}}}",
             f"  - {{from: {ids['carol']}, to: {ids['bob']}, can: [chat], consent: none}}"]
    with open(net.path("den/policy.yaml"), "w", encoding="ascii") as f:
        f.write("rules:\n" + "\n".join(rules) + "\n")
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, r"event=policy\.loaded", seen)


def talk(net, caller, bob, text="hello"):
    """A line each way; what the caller said on standard error."""
    one = chat(net, caller, net.ids["bob"])
    try:
        one.wait_line(one.err, "^linked with ")
        one.write(text + "\n")
        bob.wait_line(bob.out, text + "$")
        bob.write(text + " back\n")
        one.wait_line(one.out, text + " back$")
        return one.err[:]
    finally:
        one.stop()


def stop_servers(net):
    for process in [p for p in net.processes if p.name in ("warren-router", "warren-den")]:
        process.stop()
        net.processes.remove(process)


def start_servers(net):
    net.start_router()
    net.start_den()


def permits(net, name):
    path = net.path(name, "permits")
    return os.path.getsize(path) if os.path.exists(path) else 0


@tap.test
def without_a_word_of_policy_there_is_no_permit(net):
    for name in HOSTS:
        net.join(name, prefix=inside(name))
    policy(net, "")
    bob = chat(net, "bob", "--accept")
    bob.wait_line(bob.err, "waiting for a call")
    talk(net, "alice", bob)
    talk(net, "carol", bob)
    bob.stop()
    tap.check(not permits(net, "alice") and not permits(net, "bob"), "a permit that nobody allowed")
    with subprocess.Popen([*inside("bob"), "ss", "-lun"], stdout=subprocess.PIPE, text=True) as ss:
        tap.check(":5353" not in ss.stdout.read(), "somebody listens for mDNS")


@tap.test
def a_session_brings_a_permit(net):
    policy(net, ", offline: 8h")
    bob = chat(net, "bob", "--accept")
    bob.wait_line(bob.err, "waiting for a call")
    talk(net, "alice", bob)
    talk(net, "carol", bob)
    bob.stop()
    tap.check(permits(net, "alice") and permits(net, "bob"), "no permit")
    tap.check(not permits(net, "carol"), "carol has one")
    entries = [e["facts"] for e in map(json.loads, net.audit()) if e["what"] == "session.permit"]
    tap.check(len(entries) == 1 and entries[0]["from"] == net.ids["alice"] and entries[0]["to"] == net.ids["bob"], f"{entries}")


@tap.test
def two_find_each_other_without_router_and_den(net):
    stop_servers(net)
    sniffer = subprocess.Popen([*inside("carol"), sys.executable, "-c", SNIFF, net.path("lan.bytes")], stdout=subprocess.PIPE, text=True)
    sniffer.stdout.readline()
    bob = chat(net, "bob", "--accept")
    bob.wait_line(bob.err, "offline")
    bob.wait_line(bob.err, "waiting for a call")
    said = talk(net, "alice", bob, "nobody else is here")
    tap.check(any(re.search("path direct: ", line) for line in said), f"{said}")
    tap.check(any(f"verified as {net.ids['bob']}.{net.name}" in line for line in said), f"{said}")
    sniffer.terminate()
    sniffer.wait()
    with open(net.path("lan.bytes"), "rb") as f:
        seen = f.read()
    tap.check(b"_warren" in seen, "nothing was asked for on this network")
    tap.check(not any(peer.encode() in seen for peer in net.ids.values()), "an ID went over the wire")
    bob.stop()


@tap.test
def the_same_over_ipv6_alone(net):
    """No IPv4 address is left: the question goes to ff02::fb, and the answer, and the link, over IPv6."""
    for name in ("alice", "bob"):
        host, number = HOSTS[name]
        sh(f"ip -n {host} addr flush dev eth0 scope global && ip -n {host} addr add fd77::{number}/64 dev eth0 nodad")
    try:
        bob = chat(net, "bob", "--accept")
        bob.wait_line(bob.err, "waiting for a call")
        said = talk(net, "alice", bob, "without IPv4")
        tap.check(any(re.search(r"path direct: .*\[fd77::3\]", line) for line in said), f"{said}")
        bob.stop()
    finally:
        for name in ("alice", "bob"):
            host, number = HOSTS[name]
            sh(f"ip -n {host} addr add 10.77.0.{number}/24 dev eth0 && ip -n {host} route replace default via {HUB}")
            sh(f"ip -n {host} addr del fd77::{number}/64 dev eth0")


@tap.test
def several_at_once_between_the_same_two_are_not_confused(net):
    tap.skip_if_sanitized(os.path.join(tap.build_dir(), "peer/libpeer.so"))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bindings/python")
    env = (*inside("bob"), "env", f"WARREN_LIBPEER={os.path.join(tap.build_dir(), 'peer/libpeer.so')}", sys.executable, "-c")
    bob = net.start("bob", [*env, ANSWERS, path, net.path("bob"), "4"])
    bob.wait_line(bob.out, "waiting")
    alice = net.start("alice", [*inside("alice"), *env[len(inside("bob")):], CALLS, path, net.path("alice"), net.ids["bob"], "4"])
    alice.wait_line(alice.out, "linked$")
    alice.stop()
    bob.stop()


@tap.test
def the_third_is_refused_and_hears_nothing(net):
    bob = chat(net, "bob", "--accept")
    bob.wait_line(bob.err, "waiting for a call")
    try:
        talk(net, "carol", bob)
        tap.check(False, "carol was let in")
    except Failed:
        pass
    tap.check(not any("carol" in line or net.ids["carol"] in line for line in bob.err), f"{bob.err}")
    bob.stop()


@tap.test
def a_permit_lapses(net):
    """With the clocks of both a day on."""
    late = fast(tap.build_dir(), 1, 9 * 3600)
    bob = net.start("bob", [*inside("bob"), *late, *net.warren("bob", "chat", "--accept")])
    bob.wait_line(bob.err, "offline")
    alice = net.start("alice", [*inside("alice"), *late, *net.warren("alice", "chat", net.ids["bob"])])
    alice.wait_line(alice.err, "offline")
    time.sleep(3)
    tap.check(not any("linked with" in line for line in alice.err + bob.err), f"{alice.err}")
    alice.stop()
    bob.stop()


@tap.test
def whoever_was_revoked_is_refused_by_whom_it_reached(net):
    """bob hears of it while den is there; alice, who was away, does not."""
    start_servers(net)
    bob = chat(net, "bob", "--accept")
    bob.wait_line(bob.err, "waiting for a call")
    run([net.program("warren-den"), "revoke", "--id", net.ids["alice"], "--config", net.path("den/den.conf")])
    time.sleep(3)
    stop_servers(net)
    bob.wait_line(bob.err, "offline")
    alice = chat(net, "alice", net.ids["bob"])
    alice.wait_line(alice.err, "offline")
    time.sleep(3)
    tap.check(not any("linked with" in line for line in alice.err + bob.err), f"{alice.err}")


def main():
    make_hosts()
    tap.main(host=HUB)


main()
