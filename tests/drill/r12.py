#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the TURN server is abused: with old or others' credentials, to reach private machines or the host itself, for more than one's share"""
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INSIDE = "WARREN_INSIDE_NAMESPACES"
if not os.environ.get(INSIDE):
    missing = [name for name in ("unshare", "ip", "nft", "turnserver") if not shutil.which(name)]
    if missing:
        print(f"R12 FAILS: not installed: {' '.join(missing)} (scripts/install-deps drill)")
        sys.exit(1)
    unshare = ["unshare", "--net", "--mount"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__)])

sys.path[:0] = [HERE, os.path.join(HERE, "..", "system"), os.path.join(HERE, "..", "evil")]
import turnserver  # noqa: E402
from drill import Drill  # noqa: E402
from network import run  # noqa: E402
from router import CALL, RESULT, EvilRouter  # noqa: E402
from turnclient import Turn  # noqa: E402

HUB, TURN, PEER, ELSEWHERE = "203.0.113.1", "203.0.113.9", "203.0.113.2", "198.51.100.7"
TURN_V6, ELSEWHERE_V6 = "2001:db8::9", "2001:db8:1::7"
MAX_BPS = 250000
PRIVATE = ("127.0.0.1", "127.3.2.1", "10.0.0.1", "10.255.255.254", "172.16.0.1", "172.31.9.9", "192.168.0.1", "192.168.255.9", "100.64.0.1",
           "100.127.255.254", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", TURN)
PRIVATE_V6 = ("::1", "::", "fc00::1", "fdff::9", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", TURN_V6)
drill = Drill("R12", "a TURN server, and who would abuse it")


def sh(line):
    run(["sh", "-ec", line])


def make_hosts():
    """One host with the server, and behind it what nobody is to reach through it: all of that has an address there."""
    sh("mount -t tmpfs tmpfs /run && ip link set lo up && ip link add hub type bridge && ip link set hub up && "
       f"ip addr add {HUB}/24 dev hub && ip netns add turn && ip link add turn type veth peer name eth0 netns turn && "
       f"ip link set turn master hub up && ip -n turn link set lo up && ip -n turn link set eth0 up && ip -n turn addr add {TURN}/24 dev eth0 && "
       f"ip addr add {PEER}/32 dev hub && ip addr add {ELSEWHERE}/32 dev hub && ip -n turn route add default via {HUB} && "
       f"ip -n turn addr add {TURN_V6}/64 dev eth0 nodad && ip -n turn -6 route add default dev eth0 && "
       "ip -n turn addr add 10.0.0.1/8 dev lo && ip -n turn addr add 192.168.0.1/16 dev lo && ip -n turn addr add fc00::1/64 dev lo")


def minted(net):
    """What den really gave the two ends of a session, as the router saw it."""
    evil = EvilRouter(net)
    net.den.stop()
    with open(net.path("den", "turn.secret"), "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(turnserver.SECRET + "\n")
    with open(net.path("den", "den.conf"), "a", encoding="utf-8") as f:
        f.write(f"turn = turn:{TURN}\nturn_secrets = turn.secret\n")
    net.start_den()
    for name in ("alice", "bob"):
        net.join(name)
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "^linked with")
    seen = [m for conn in evil.conns for is_up, m in list(conn.seen) if len(m) > 3]
    offer = [m[4] for m in seen if m[0] == CALL and m[3] == f"peer.{net.ids['bob']}.session.offer"][-1]
    answer = [m[3] for m in seen if m[0] == RESULT and len(m[3]) > 7][-1]
    sid = re.search(r'"sid":"([0-9a-f]{32})"', next(line for line in reversed(net.audit()) if "session.granted" in line))[1]
    alice.stop()
    bob.stop()
    evil.close()
    return answer[5], offer[6], sid


def pair(turn):
    return turn["username"], turn["password"]


def credentials(net):
    of_alice, of_bob, sid = minted(net)
    now = time.time()
    lives = of_alice["expires_at"] / 1000 - now
    drill.measure("a credential of den's is good for", round(lives / 60, 2), "min", at_most=10)
    drill.require("it names the session and the end of it", of_alice["username"].endswith(f":{sid}-{net.ids['alice']}") and
                  of_bob["username"].endswith(f":{sid}-{net.ids['bob']}"), of_alice["username"])
    good = Turn(TURN, pair(of_alice), PEER)
    drill.require("it opens an allocation", good.allocate() == 0, good.code)
    good.close()
    for what, credential in (("expired", turnserver.credential(expires_in=-1)), ("expired long ago", turnserver.credential(expires_in=-86400)),
                             ("the name of one session with the password of another", (of_alice["username"], of_bob["password"])),
                             ("a later expiry than the one that was signed",
                              (re.sub(r"^\d+", lambda m: str(int(m[0]) + 3600), of_alice["username"]), of_alice["password"])),
                             ("of another secret", turnserver.credential(secret="x" * 20))):
        turn = Turn(TURN, credential, PEER)
        drill.require(what, turn.allocate() == 401, f"{turn.code} (required 401)")
        turn.close()


def destinations():
    turn = Turn(TURN, turnserver.credential(sid="1" * 32), PEER)
    drill.require("an allocation, to ask with", turn.allocate() == 0, turn.code)
    drill.require("an address that anybody may reach", turn.permit(ELSEWHERE) == 0, f"{turn.code} (required: permitted)")
    for address in PRIVATE:
        codes = {turn.permit(address), turn.bind(address, 5353)}
        drill.require(f"{address}{' (the host itself)' if address == TURN else ''}: permission and channel", codes == {403}, f"{sorted(codes)} (required 403)")
    v6 = Turn(TURN, turnserver.credential(sid="2" * 32), PEER)
    drill.require("an allocation with IPv6", v6.allocate(family=6) == 0, v6.code)
    drill.require("an IPv6 address that anybody may reach", v6.permit(ELSEWHERE_V6) == 0, f"{v6.code} (required: permitted)")
    for address in PRIVATE_V6:
        codes = {v6.permit(address), v6.bind(address, 5353)}
        drill.require(f"{address}{' (the host itself)' if address == TURN_V6 else ''}: permission and channel", codes == {403}, f"{sorted(codes)} (required 403)")
    turn.close()
    v6.close()


def quota():
    credential = turnserver.credential(sid="3" * 32)
    turns = [Turn(TURN, credential, PEER) for _ in range(3)]
    codes = [turn.allocate() for turn in turns]
    drill.require("three allocations of one end of a session at once", codes == [0, 0, 486], f"{codes} (required [0, 0, 486])")
    other = Turn(TURN, turnserver.credential(sid="4" * 32), PEER)
    drill.require("another session is not hindered by that", other.allocate() == 0, other.code)
    for turn in (*turns, other):
        turn.close()


def rate():
    turn = Turn(TURN, turnserver.credential(sid="5" * 32), PEER)
    drill.require("an allocation, to send much through", turn.allocate() == 0 and turn.bind(ELSEWHERE, 6000) == 0, turn.code)
    got, seconds = turn.flood(ELSEWHERE, 6000, 3 * MAX_BPS, 20)
    share = 100.0 * got / seconds / MAX_BPS
    drill.measure(f"of max-bps={MAX_BPS} came through when three times as much was sent, at least", round(share, 1), "%", at_least=90)
    drill.measure("at most", round(share, 1), "%", at_most=110)
    turn.close()


make_hosts()
with drill.network(make=False) as net:
    server = turnserver.start(net.folder, turnserver.config(TURN, TURN, net.name, change=(
        ("max-bps=1250000", f"max-bps={MAX_BPS}"), (f"\nrelay-ip={TURN}\n", f"\nrelay-ip={TURN}\nrelay-ip={TURN_V6}\n"),
        (f"\ndenied-peer-ip={TURN}\n", f"\ndenied-peer-ip={TURN}\ndenied-peer-ip={TURN_V6}\n"))),
                              prefix=("ip", "netns", "exec", "turn"))
    credentials(net)
    destinations()
    quota()
    rate()
    server.stop()
drill.end()
