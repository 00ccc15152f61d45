#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grants and dials are used again: twice, by another peer, for another target, after they expired, after den began anew"""
import collections
import concurrent.futures
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "evil")]
from drill import Drill
from network import PATIENCE, Failed, fast
from router import INVOCATION, EvilRouter, Identity, fields, is_error, statement

EACH = 50
RATE = 6  # times as fast as they should: what waits for beacons, for a minute or two, is done in as many tens of seconds
drill = Drill("R17", "grants and dials that are played again")
total = {"tried": 0, "accepted": 0}


def once_more(evil, made):
    """The code of the answer. What was refused for being too much is tried again."""
    until = time.monotonic() + PATIENCE
    while True:
        conn, procedure, args, authid, role = made()
        answer = evil.inject(conn, procedure, args, authid, role)
        if not (is_error(answer) and answer[0] in ("limit", "busy")) or time.monotonic() > until:
            return answer[0] if is_error(answer) else "ACCEPTED"
        time.sleep(0.5)


def again(evil, what, make, n=EACH, wanted=()):
    """`make(i)` -> (who hears it, procedure, args, ID, role). Ten at once: a callee that knows a beacon no more asks for a newer one first."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        codes = collections.Counter(pool.map(lambda i: once_more(evil, lambda: make(i)), range(n)))
    total["tried"] += n
    total["accepted"] += codes["ACCEPTED"]
    shown = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
    drill.require(f"{what}: accepted of {n}", codes["ACCEPTED"] == 0 and set(codes) <= {*wanted, "ACCEPTED"}, f"{codes['ACCEPTED']} ({shown})")


class Kept:
    """Sessions that were, and some whose offers the router never passed on."""

    def __init__(self, net, evil):
        self.net, self.evil, self.kept = net, evil, []
        self.alice, self.bob, self.carol = (net.ids[name] for name in ("alice", "bob", "carol"))
        self.key = Identity(net.path("alice"))

    def use(self, n):
        for _ in range(n):
            dials = self.net.dial_chat("alice", "bob", prefix=self.net.prefix)
            dials.wait_line(dials.err, "^linked with")
            dials.stop()
        self.opens = self.evil.calls("den.session.open", self.alice)[-n:]
        self.offers = self.evil.calls(f"peer.{self.bob}.session.offer")[-n:]

    def withhold(self, n):
        """n offers with valid grants that nobody has seen yet."""
        kept = []

        def lie(conn, is_up, m):
            if not is_up and m[0] == INVOCATION and conn.authid == self.bob and conn.procedure(m).endswith(".session.offer"):
                kept.append(m[4])
                return None
            return m
        self.evil.lies.append(lie)
        for i in range(n):
            dials = self.net.dial_chat("alice", "bob", prefix=self.net.prefix)
            until = time.monotonic() + PATIENCE
            while len(kept) <= i and time.monotonic() < until:
                time.sleep(0.05)
            dials.stop()
        self.evil.lies.remove(lie)
        if len(kept) < n:
            raise Failed(f"{len(kept)} grants of {n}")
        return kept

    def dial(self, i, authid=None, d=None):
        """One of those that were used, to den."""
        args = [*d, *self.opens[-1][2:]] if d else self.opens[i % len(self.opens)]
        return self.evil.den, "den.session.open", args, authid or self.alice, "peer"

    def fresh_dial(self, beacon=None, target=None):
        """One that alice signed just now, by hand, and did not send."""
        f = fields(self.opens[-1][0])
        d = statement("dial", f[0], os.urandom(16), f[2], f[3], (target or self.bob).encode(), *f[5:7], f[7], beacon or self.evil.beacon())
        return [d, self.key.sign(d)]

    def offer(self, offer, to="bob", authid="den", role="den"):
        peer = self.net.ids[to]
        return self.evil.of(peer), f"peer.{peer}.session.offer", offer, authid, role


def retargeted(d, key, old, new):
    """The same dial for another target: by the signature it had."""
    return [d[0].replace(old.encode(), new.encode()), d[1]]


with drill.network(make=False) as net:
    net.prefix = fast(net.build, RATE)
    evil = EvilRouter(net, prefix=net.prefix)
    for name in ("alice", "bob", "carol"):
        net.join(name, net.prefix)
    net.allow("allow from * to * can chat consent none")
    waiting = [net.wait_chat(name, "--accept", prefix=net.prefix) for name in ("bob", "carol")]
    k = Kept(net, evil)
    k.use(5)
    kept = k.withhold(5)
    sids = {fields(args[0])[1] for args in k.opens}
    drill.require("session numbers are 128 random bits", len(sids) == len(k.opens) and all(len(sid) == 16 for sid in sids), f"{len(sids)} of {len(k.opens)}")

    control = evil.inject(*k.offer(kept[0])[:3], "den", "den")
    drill.require("a grant that comes late, and once, is taken", not is_error(control), control[0] if is_error(control) else "accepted")
    control = evil.inject(evil.den, "den.session.open", [*k.fresh_dial(), *k.opens[-1][2:]], k.alice)
    drill.require("and so is a fresh dial", not is_error(control) or control[0] in ("declined", "busy"), control[0] if is_error(control) else "accepted")

    fresh = ("replayed", "stale")
    again(evil, "dials used twice", k.dial, wanted=fresh)
    again(evil, "grants used twice", lambda i: k.offer(([kept[0]] + k.offers)[i % 6]), wanted=fresh)
    again(evil, "dials of alice's by carol", lambda i: k.dial(i, k.carol, k.fresh_dial() if i % 2 else None), wanted=("not_authorized",))
    again(evil, "grants brought by carol, not by den", lambda i: k.offer(kept[1 + i % 4], "bob", k.carol, "peer"), wanted=("not_authorized",))
    again(evil, "dials of bob, for carol", lambda i: k.dial(i, None, retargeted(k.fresh_dial(), k.key, k.bob, k.carol)), wanted=("bad_signature",))
    again(evil, "grants for bob, to carol", lambda i: k.offer(kept[1 + i % 4], "carol"), wanted=("bad_statement", "stale"))
    left, last = [k.fresh_dial() for _ in range(5)], evil.heartbeats()[-1]
    hold = k.withhold(2) + kept[1:]
    drill.say("waits for two beacons")
    seen = evil.beacon()
    beacons = [seen]
    until = time.monotonic() + 600
    while len(beacons) < 4 and time.monotonic() < until:
        if evil.beacon() != beacons[-1]:
            beacons.append(evil.beacon())
        time.sleep(0.2)
    time.sleep(1)
    again(evil, "dials after they expired", lambda i: k.dial(i, None, left[i % 5] if i % 2 else None), wanted=("stale",))
    again(evil, "grants after they expired", lambda i: k.offer((hold + k.offers)[i % 11]), wanted=("stale",))

    k.use(2)
    hold = k.withhold(2)
    left = [k.fresh_dial() for _ in range(5)]
    net.den.stop()
    n = len(evil.heartbeats())
    net.start_den(net.prefix)
    until = time.monotonic() + PATIENCE
    while len(evil.heartbeats()) == n and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1)
    again(evil, "dials after den began anew", lambda i: k.dial(i, None, left[i % 5] if i % 2 else None), wanted=("stale",))
    waiting[0].stop()
    waiting[0] = net.wait_chat("bob", "--accept", prefix=net.prefix)
    time.sleep(1)
    again(evil, "grants after den and the callee began anew", lambda i: k.offer((hold + k.offers)[i % 4]), wanted=fresh)
    drill.require(f"accepted of {total['tried']}", total["accepted"] == 0 and total["tried"] == 500, total["accepted"])
    evil.close()
drill.end()
