#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two peers whose networks do not let them reach each other meet at a real TURN server (coturn): over UDP, and over TCP where a
network lets no UDP out. In network namespaces of its own, as namespaces_test.py."""
import json
import os
import re
import shutil
import subprocess
import sys

INSIDE = "WARREN_INSIDE_NAMESPACES"


def skip(why):
    print(f"1..1\nok 1 turn # SKIP {why}")
    sys.exit(0)


if not os.environ.get(INSIDE):
    missing = [name for name in ("unshare", "ip", "nft", "turnserver", "turnutils_uclient") if not shutil.which(name)]
    if missing:
        skip(f"not installed: {' '.join(missing)}")
    unshare = ["unshare", "--net", "--mount"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    probe = subprocess.run([*unshare, "sh", "-c", "mount -t tmpfs tmpfs /run && ip link add x0 type veth peer name x1 && nft add table x"],
                           capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        skip("no network namespaces here: " + probe.stderr.strip().replace("\n", "; "))
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__)])

import tap  # noqa: E402
import turnserver  # noqa: E402
from network import run  # noqa: E402

HUB, TURN, LEFT, RIGHT = "203.0.113.1", "203.0.113.9", "203.0.113.2", "203.0.113.3"
turn = None


def sh(line):
    run(["sh", "-ec", line])


def inside(name):
    return ("ip", "netns", "exec", name)


def make_hosts():
    sh("mount -t tmpfs tmpfs /run && ip link set lo up && ip link add hub type bridge && ip link set hub up && "
       f"ip addr add {HUB}/24 dev hub")
    for address, name in ((LEFT, "left"), (RIGHT, "right"), (TURN, "turn")):
        sh(f"ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name} && "
           f"ip link set {name} master hub up && ip -n {name} link set lo up && ip -n {name} link set eth0 up && "
           f"ip -n {name} addr add {address}/24 dev eth0")


def wall(name, rules):
    """What is lost on its way to `name`: whoever sends it is not told."""
    sh(f"ip netns exec {name} nft 'flush ruleset; table inet w {{ chain in {{ type filter hook input priority 0; {rules} }}; }}'")


def apart():
    """No datagram goes from one to the other."""
    wall("left", f"ip saddr {RIGHT} meta l4proto udp drop;")
    wall("right", f"ip saddr {LEFT} meta l4proto udp drop;")


def talk(net, pattern, *words):
    """A chat from alice to bob: the caller's path, as it was when the link stood, and what alice said in the end."""
    bob = net.start("bob", [*inside("right"), *net.warren("bob", "chat", "--accept")])
    bob.wait_line(bob.err, "waiting for a call")
    alice = net.start("alice", [*inside("left"), *net.warren("alice", "chat", net.ids["bob"], *words)])
    path = alice.wait_line(alice.err, pattern)
    alice.write("there\n")
    bob.wait_line(bob.out, "there$")
    bob.write("and back\n")
    alice.wait_line(alice.out, "and back$")
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0, "alice's exit status")
    tap.check(bob.wait() == 0, "bob's exit status")
    return path


def set_den(net, lines):
    net.den.stop()
    with open(net.path("den", "den.conf"), "a", encoding="utf-8") as f:
        f.write(lines)
    net.start_den()


@tap.test
def den_knows_the_server(net):
    global turn
    turn = turnserver.start(net.folder, turnserver.config(TURN, TURN, net.name), prefix=inside("turn"))
    with open(net.path("den", "turn.secret"), "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(turnserver.SECRET + "\n")
    net.join("alice", prefix=inside("left"))
    net.join("bob", prefix=inside("right"))
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")
    set_den(net, f"turn = turn:{TURN} turn:{TURN}?transport=tcp\nturn_secrets = turn.secret\n")


@tap.test
def whoever_reaches_the_other_side_directly_does(net):
    tap.check_in(f"{LEFT}:", talk(net, r"^path direct: "))


@tap.test
def whoever_does_not_meets_at_the_server_over_udp(net):
    apart()
    start = len(turn.out)
    tap.check_in(f"{TURN}:", talk(net, r"^path turn: "))
    tap.check(turn.find(turn.out, f"user <[0-9]+:[0-9a-f]{{32}}-{net.ids['alice']}>: incoming packet ALLOCATE processed, success", start),
              "coturn's log has no allocation with the session and alice's ID:\n" + "\n".join(turn.out[start:][:60]))


@tap.test
def a_direct_path_that_opens_later_is_taken(net):
    bob = net.start("bob", [*inside("right"), *net.warren("bob", "chat", "--accept")])
    bob.wait_line(bob.err, "waiting for a call")
    alice = net.start("alice", [*inside("left"), *net.warren("alice", "chat", net.ids["bob"])])
    alice.wait_line(alice.err, "^path turn: ")
    sh("ip netns exec left nft flush ruleset; ip netns exec right nft flush ruleset")
    alice.wait_line(alice.err, f"^path direct: {LEFT}:")
    alice.write("directly\n")
    bob.wait_line(bob.out, "directly$")
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0 and bob.wait() == 0, "exit status")


@tap.test
def who_dials_says_which_path(net):
    start = len(turn.out)
    tap.check_in(f"{TURN}:", talk(net, r"^path turn: ", "--path", "turn"))  # though they reach each other
    n_turn = len(turn.out)
    tap.check(turn.find(turn.out, f"-{net.ids['alice']}>: incoming packet ALLOCATE processed, success", start), "no allocation of alice's")
    talk(net, r"^path relay: ", "--path", "relay")
    talk(net, r"^path direct: ", "--path", "direct")
    tap.check(not turn.find(turn.out, f"-{net.ids['alice']}>: incoming packet ALLOCATE", n_turn), "alice asked the TURN server")
    apart()


@tap.test
def the_servers_log_and_the_audit_name_the_same_session(net):
    line = turn.find(turn.out, f"-{net.ids['alice']}>: incoming packet ALLOCATE processed, success")
    sid = line.split("user <")[1].split(":")[1][:32]
    tap.check(any(sid in line and net.ids["bob"] in line for line in net.audit()), f"the audit does not know {sid}")


@tap.test
def over_tcp_where_no_udp_gets_out(net):
    wall("left", "meta l4proto udp drop;")
    start = len(turn.out)
    tap.check_in("turn", talk(net, r"^path turn: "))
    tap.check(turn.find(turn.out, rf"TCP|tcp", start), "coturn saw no TCP:\n" + "\n".join(turn.out[start:][:60]))
    sh("ip netns exec left nft flush ruleset; ip netns exec right nft flush ruleset")


@tap.test
def the_server_takes_this_sessions_credential_alone(net):
    echo = net.start("echo", [*inside("right"), "turnutils_peer", "-p", "3480", "-L", RIGHT])
    relay = ("-c", "-n", "5", "-m", "1", "-r", "3480")
    good, other = turnserver.credential(), turnserver.credential(sid="f" * 32)
    tap.check_in("tot_recv_msgs=5", turnserver.uclient(TURN, good, *relay, prefix=inside("left"), peer=RIGHT))
    for bad in (turnserver.credential(expires_in=-1), (good[0], other[1]), turnserver.credential(secret="x" * 16)):
        start = len(turn.out)
        said = turnserver.uclient(TURN, bad, *relay, prefix=inside("left"), peer=RIGHT, patience=10)
        tap.check("tot_recv_msgs" not in said, said)
        turn.wait_line(turn.out, f"user <{bad[0]}>: incoming packet message processed, error 401", start)
    echo.kill()


@tap.test
def an_allocation_outlives_its_credential(net):
    """A session that goes over the server for longer than den's ten minutes: what stands is refreshed, and nothing new is had."""
    program = f"""
import struct, sys, time
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
import turnserver
from turnclient import LIFETIME, REFRESH, Turn, attribute
pair = turnserver.credential(sid="e" * 32, expires_in=2)
first = Turn({TURN!r}, pair, {LEFT!r})
print(first.allocate())
until = int(pair[0].split(":")[0])
while time.time() <= until + 1:
    time.sleep(0.1)
print(first.ask(REFRESH, attribute(LIFETIME, struct.pack("!I", 600))), first.permit({RIGHT!r}), Turn({TURN!r}, pair, {LEFT!r}).allocate())
first.close()
"""
    said = run([*inside("left"), sys.executable, "-c", program]).stdout.split()
    tap.check(said == ["0", "0", "0", "401"], f"allocation, refresh, permission, another allocation: {said}")


def doctor(net):
    """What it says of the servers, and of which."""
    said = run([*inside("left"), *net.warren("alice", "doctor", "--json")], wanted=None)
    return [(f["verdict"], f["text"]) for f in json.loads(said.stdout)["findings"] if f["subject"] == "turn"]


@tap.test
def doctor_needs_no_credential_to_tell_what_works_and_what_is_open_to_anybody(net):
    global turn
    sh("ip netns exec left nft flush ruleset; ip netns exec right nft flush ruleset")
    start = len(turn.out)
    found = doctor(net)
    tap.check([verdict for verdict, _ in found] == ["good", "good"] and "over UDP: answers in" in found[0][1] and "over TCP: answers in" in found[1][1], f"{found}")
    tap.check(not turn.find(turn.out, "ALLOCATE processed, success", start), "it was given an allocation")
    turn.stop()
    conf = turnserver.config(TURN, TURN, net.name, change=(("use-auth-secret\n", "no-auth\n"),))
    turn = turnserver.start(net.folder, re.sub("(?m)^static-auth-secret=.*$", "", conf), prefix=inside("turn"))
    found = doctor(net)
    tap.check(len(found) == 2 and all(verdict == "bad" and "relays for anybody" in text for verdict, text in found), f"{found}")


@tap.test
def without_a_server_den_gives_none_and_direct_works(net):
    turn.stop()
    tap.check_in("direct", talk(net, r"^path direct: "))


@tap.test
def no_secret_is_written_anywhere(net):
    found = subprocess.run(["grep", "-rlF", turnserver.SECRET, net.folder, "--exclude=turn.secret", "--exclude=coturn.conf"],
                           capture_output=True, text=True, check=False).stdout
    tap.check(not found, found)


make_hosts()
tap.main(host=HUB)
