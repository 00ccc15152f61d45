#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""200 sessions at once among 20 peers, with signalling that is shuffled, delayed and said twice; and the words of one session inside another"""
import json
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "evil")]
from drill import Drill, built  # noqa: E402
from network import PATIENCE, Failed  # noqa: E402
from router import CALL, INVOCATION, RESULT, EvilRouter, is_error  # noqa: E402
from wamp import pack  # noqa: E402

PEERS, EACH = 20, 10
BUILD = os.environ.get("WARREN_BUILD", "build")
NAMES = [f"p{i}" for i in range(PEERS)]
SIGNALS = (".session.offer", ".ice.update")
drill = Drill("R18", "sessions that could be taken for one another")
rng = random.Random(18)
done = {"delayed": 0, "twice": 0, "swapped": 0}


# ---- many at once, over a router that mixes everything up ----

def late(evil):
    """Keeps what is signalled back for a while, each message for another one: so it comes in another order. Some of it comes again."""
    def again(conn, procedure, args, caller, role):
        try:
            evil.inject(conn, procedure, args, caller, role)
        except (OSError, KeyError):
            pass

    def lie(conn, is_up, m):
        if is_up or m[0] != INVOCATION or not conn.procedure(m).endswith(SIGNALS):
            return m
        procedure, caller, role = conn.procedure(m), m[3].get("caller_authid"), m[3].get("caller_authrole", "peer")
        done["delayed"] += 1
        after = rng.random() * 0.3
        threading.Timer(after, conn.down.put, [pack(m)]).start()
        if rng.random() < 0.3:
            done["twice"] += 1
            threading.Timer(after + 0.01 + rng.random(), again, [conn, procedure, m[4], caller, role]).start()
        return None
    return lie


def heard(process, what, patience=PATIENCE, start=0):
    return json.loads(process.wait_line(process.out, f'"said": ?"{what}"', start, patience))


def start(net, name):
    process = net.start(name, [os.path.join(BUILD, "tests/evil/crowd"), net.path(name)])
    heard(process, "ready")
    return process


def counts(crowd):
    total = {}
    for process in crowd:
        seen = len(process.out)
        process.write("end\n")
        for key, value in heard(process, "end", start=seen).items():
            if key != "said":
                total[key] = total.get(key, 0) + value
    return total


def many(net, evil):
    crowd = [start(net, name) for name in NAMES]
    lie = late(evil)
    evil.lies.append(lie)
    for k in range(EACH):  # no faster than den lets one machine dial
        for i, process in enumerate(crowd):
            process.write(net.ids[NAMES[(i + 1 + k) % PEERS]] + "\n")
        time.sleep(1)
    until = time.monotonic() + 10 * PATIENCE
    while time.monotonic() < until:
        total = counts(crowd)
        if total["right"] + total["foreign"] + total["failed"] >= PEERS * EACH:
            break
        time.sleep(1)
    evil.lies.remove(lie)
    drill.require("signals delayed, each for another while; and said again", done["delayed"] >= PEERS * EACH and done["twice"] > 20,
                  f"{done['delayed']}; {done['twice']}")
    drill.measure("sessions at once", total["dialled"], "", at_least=PEERS * EACH)
    drill.require("each heard its own words back, from the machine that it had dialled", total["right"] == total["dialled"] and total["failed"] == 0,
                  f"{total['right']} right, {total['failed']} failed {[line for p in crowd for line in p.err][:2]}")
    drill.measure("bytes of one session heard in another", total["foreign"], "", at_most=0)
    return crowd


# ---- the words of one inside another ----

def refused(what, answers, *not_for):
    """None is taken, and none is refused for a reason that would prove nothing."""
    codes = sorted({answer[0] if is_error(answer) else "ACCEPTED" for answer in answers})
    taken = len([a for a in answers if not is_error(a)])
    drill.require(f"{what}: taken of {len(answers)}", taken == 0 and len(answers) > 0 and not set(codes) & set(not_for), f"{taken} ({', '.join(codes)})")


def offers_of(evil, callee):
    return [m[4] for conn in evil.conns for is_up, m in list(conn.seen)
            if not is_up and m[0] == INVOCATION and conn.authid == callee and conn.procedure(m).endswith(".session.offer")]


def fresh_offers(net, evil, crowd, n):
    """Offers for the first of them that nobody has seen: the router keeps them."""
    kept, callee = [], net.ids["p0"]

    def lie(conn, is_up, m):
        if not is_up and m[0] == INVOCATION and conn.authid == callee and conn.procedure(m).endswith(".session.offer"):
            kept.append(m[4])
            return None
        return m
    evil.lies.append(lie)
    for process in crowd[1:n + 1]:
        process.write(callee + "\n")
    until = time.monotonic() + PATIENCE
    while len(kept) < n and time.monotonic() < until:
        time.sleep(0.05)
    evil.lies.remove(lie)
    if len(kept) < n:
        raise Failed(f"{len(kept)} offers of {n}")
    return kept


def mixed_offers(net, evil, crowd):
    """To one callee: the grant of one session with the dial, the addresses or the signature of another."""
    callee = net.ids["p0"]
    offers, conn, procedure = fresh_offers(net, evil, crowd, 8), evil.of(callee), f"peer.{callee}.session.offer"
    pairs = [(a, b) for a in offers for b in offers if a is not b]
    for what, mix in (("another session's dial in an offer", lambda a, b: [*a[:2], *b[2:4], *a[4:]]),
                      ("another session's addresses in an offer", lambda a, b: [*a[:4], b[4], *a[5:]]),
                      ("another session's signature in an offer", lambda a, b: [a[0], b[1], *a[2:]])):
        refused(what, [evil.inject(conn, procedure, mix(a, b), None, "den") for a, b in pairs], "replayed")
    taken = [evil.inject(conn, procedure, offer, None, "den") for offer in offers[:2]]
    drill.require("what belongs together is taken", not any(is_error(answer) for answer in taken), [a[0] if is_error(a) else "taken" for a in taken])


def held(net, evil):
    """A session that stands: its end's process, its number and its other end."""
    bob = net.start("p1", [net.program("warren"), "--state", net.path("p1"), "chat", "--accept", "--loopback"])
    bob.wait_line(bob.err, "waiting for a call")
    alice = net.start("p0", [net.program("warren"), "--state", net.path("p0"), "chat", net.ids["p1"], "--loopback"])
    alice.wait_line(alice.err, "^linked")
    return alice, bob


def mixed_updates(net, evil):
    """Addresses for a session, by somebody who is not its other end, or for a session of others."""
    alice, bob = held(net, evil)
    callee, caller = net.ids["p1"], net.ids["p0"]
    conn, procedure = evil.of(callee), f"peer.{callee}.ice.update"
    own = bytes(offers_of(evil, callee)[-1][2])
    sid = next(own[i:i + 16] for i in [own.index(own[own.index(b"\0") + 2 + 4 + 32 + 4:][:16])])  # the dial's second field
    others = [bytes(o[2]) for o in offers_of(evil, net.ids["p5"])][:20]
    sids = [o[o.index(b"\0") + 2 + 4 + 32 + 4:][:16] for o in others]
    line = "candidate:9 1 UDP 2130706431 192.0.2.66 6666 typ host"
    again = {"restart": 1, "ufrag": "abcd", "pwd": "0123456789abcdefghijkl", "end": True}
    for what, more in (("addresses", {}), ("another try", again)):
        refused(f"{what} for a session by a peer that is not in it", [evil.inject(conn, procedure, [sid, [line], more], net.ids[n]) for n in NAMES[2:]])
        refused(f"{what} of others' sessions by the other end of this one", [evil.inject(conn, procedure, [s, [line], more], caller) for s in sids])
    drill.require("from the other end the same is taken", not is_error(evil.inject(conn, procedure, [sid, [line], {}], caller)), "taken")
    alice.write("still here\n")
    bob.wait_line(bob.out, "still here$")
    drill.require("and the session goes on", True, "it does")
    for process in (alice, bob):
        process.stop()


def mixed_answers(net, evil):
    """A caller is given the accept, the key and so the certificate of another callee."""
    accepts = [m[3] for conn in evil.conns for is_up, m in list(conn.seen) if not is_up and m[0] == RESULT and len(m) > 3 and len(m[3]) > 7]
    dialled = {"linked": 0, "tried": 0}
    for what, mix in (("accept", lambda m, other: [*m[:2], *other[2:4], *m[4:]]), ("grant and accept", lambda m, other: [*other[:5], *m[5:]]),
                      ("addresses", lambda m, other: [*m[:4], other[4], *m[5:]])):
        for _ in range(5):
            callee = net.ids[NAMES[5 + dialled["tried"] % 15]]
            other = rng.choice(accepts)

            def lie(conn, is_up, m):
                if not is_up and m[0] == RESULT and len(m) > 3 and len(m[3]) > 7 and conn.authid == net.ids["p0"]:
                    done["swapped"] += 1
                    return [*m[:3], mix(m[3], other), *m[4:]]
                return m
            evil.lies.append(lie)
            alice = net.start("p0", [net.program("warren"), "--state", net.path("p0"), "chat", callee, "--loopback"])
            alice.wait()
            evil.lies.remove(lie)
            dialled["tried"] += 1
            dialled["linked"] += any(text.startswith("linked") for text in alice.err)
        drill.say(f"{what} of another session: {alice.err[-2:]}")
    drill.require(f"links that came of {dialled['tried']} answers with parts of other sessions", dialled["linked"] == 0 and done["swapped"] >= 10,
                  f"{dialled['linked']} (swapped {done['swapped']})")


built(BUILD, "tests/evil/crowd")
with drill.network(make=False) as net:
    evil = EvilRouter(net)
    for name in NAMES:
        net.join(name)
    net.allow("allow from * to * can chat")
    crowd = many(net, evil)
    mixed_offers(net, evil, crowd)
    for process in crowd[:2]:
        process.stop()
    mixed_updates(net, evil)
    mixed_answers(net, evil)
    evil.close()
drill.end()
