#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The router's relay and those who would abuse it: real sockets, openings that lie, floods, quotas; and calls that go on meanwhile."""
import os
import re
import signal
import time

import tap
from hostile import Router
from relay_client import Den, End, opened, pair
from network import PATIENCE, Failed, free_port

PLAIN = free_port()


def figure(router, series):
    found = re.search(r"(?m)^" + re.escape("warren_router_" + series) + r" (\d+)$", router.page())
    if not found:
        raise Failed(f"no {series} in the figures")
    return int(found.group(1))


def setup(net):
    net.has_limits = True
    net.init()
    net.relay = Router(net, f"listen_plain = 127.0.0.1:{PLAIN}", "relay_unpaired_timeout = 2s")
    net.far = Den(net)


@tap.test
def two_ends_exchange_datagrams(net):
    session = net.far.session()
    caller, callee = pair(PLAIN, session)
    for size in (1, 32, 64, 1452, 1500):
        caller.say(bytes([size % 251]) * size)
        tap.check(callee.datagram() == bytes([size % 251]) * size, f"{size} bytes came otherwise")
    callee.say(b"back")
    tap.check(caller.datagram() == b"back", "what came back")
    caller.leave()
    callee.word("waiting")
    again = opened(PLAIN, session, 0)
    callee.word("paired")
    again.say(b"again")
    tap.check(callee.datagram() == b"again", "after it came again")
    net.relay.bystander.check()


@tap.test
def openings_that_lie_are_refused(net):
    session, other = net.far.session(), net.far.session(a="900003", b="900004")
    stranger = other.keys[0]
    lies = {
        "another key": {"key": stranger}, "the other side": {"which": b"\1"}, "another session": {"sid": other.sid},
        "another nonce": {"nonce": bytes(32)}, "another router": {"router": bytes(32)}, "another network": {"netid": bytes(32)},
        "another grant": {"grant": bytes(32)}, "the exporter": {"binding": b"tls-exporter"}, "a certificate": {"data": b"x" * 32},
    }
    for what, lie in lies.items():
        end = opened(PLAIN, session, 0, **lie)
        tap.check(end.closed() == 4401, f"{what}: {end.code} {end.reason}")
    young = net.far.session(ago=-60)
    tap.check(opened(PLAIN, young, 0).closed() == 4403, "a grant that was never installed")
    for rubbish in (b"", b"\xc1", b"\x96" + b"\xc0" * 6, os.urandom(300), b"\xdd\xff\xff\xff\xff", b"x" * 16000):
        end = End(PLAIN)
        end.say(rubbish)
        tap.check(end.closed() == 4400, f"{rubbish[:8]!r}: {end.code} {end.reason}")
    end = End(PLAIN)
    end.say(b"x" * 20000)
    tap.check(end.closed() == 1009, f"20 000 bytes: {end.code}")
    tap.check(figure(net.relay, "relay_sessions") == 0, "somebody got in")
    net.relay.bystander.check()


@tap.test
def an_opening_is_good_for_one_connection(net):
    session = net.far.session()
    caller = End(PLAIN)
    said = session.opening(0, caller.nonce)
    caller.say(said)
    caller.word("waiting")
    thief = End(PLAIN)
    thief.say(said)
    tap.check(thief.closed() == 4401, f"a replay: {thief.code} {thief.reason}")
    caller.say(b"still here")
    callee = opened(PLAIN, session, 1)
    tap.check(callee.datagram() == b"still here", "the one who was robbed")


@tap.test
def a_third_connection_takes_the_place_of_its_side_alone(net):
    session = net.far.session()
    caller, callee = pair(PLAIN, session)
    third = opened(PLAIN, session, 0)
    third.word("paired")
    tap.check(caller.closed() == 4409, f"the one before: {caller.code}")
    third.say(b"mine")
    tap.check(callee.datagram() == b"mine", "the newest")
    callee.say(b"yours")
    tap.check(third.datagram() == b"yours", "and back")


@tap.test
def who_stays_alone_is_sent_away(net):
    end = opened(PLAIN, net.far.session(), 1)
    tap.check(end.closed() == 4408, f"alone: {end.code} {end.reason}")
    tap.check(net.relay.count("relay_unpaired_timeout") >= 1, "it was not counted")


@tap.test
def text_and_what_is_too_large_break_the_rules(net):
    for payload, opcode, code in ((b"hello", 1, 4400), (b"", 2, 4400), (b"x" * 1501, 2, 4413)):
        caller, callee = pair(PLAIN, net.far.session())
        caller.say(payload, opcode)
        tap.check(caller.closed() == code, f"{payload[:5]!r}: {caller.code}")
        callee.word("waiting")


@tap.test
def a_flood_to_a_slow_end_hurts_nobody_else(net):
    session, quick = net.far.session(), net.far.session(a="900005", b="900006")
    caller, _deaf = pair(PLAIN, session)
    left, right = pair(PLAIN, quick)
    caller.ws.sock.settimeout(PATIENCE)
    before = figure(net.relay, 'relay_dropped_total{why="queue"}')
    until = time.monotonic() + PATIENCE
    n = 0
    while figure(net.relay, 'relay_dropped_total{why="queue"}') < before + 1000:
        if time.monotonic() > until:
            raise Failed("nothing was dropped")
        for _ in range(500):
            caller.say(b"f" * 1400)
        left.say(str(n).encode())
        tap.check(right.datagram() == str(n).encode(), "another session waited")
        n += 1
    net.relay.bystander.check()
    resident = figure(net.relay, "open_connections")  # it answers
    tap.check(resident >= 2, "the figures")


@tap.test
def quotas_close_with_codes_of_their_own(net):
    net.relay.stop()
    net.relay = Router(net, f"listen_plain = 127.0.0.1:{PLAIN}", "max_relay_session_bytes = 20KiB", "max_relay_peer_bytes = 30KiB",
                       "max_relay_sessions = 2")
    session = net.far.session()
    caller, callee = pair(PLAIN, session)
    for _ in range(30):
        caller.say(b"q" * 1000)
    tap.check(caller.closed() == 4429 and callee.closed() == 4429, f"the session's: {caller.code} {callee.code}")
    tap.check(len(callee.got) == 20, f"{len(callee.got)} came before")
    next_one = net.far.session()
    caller, callee = pair(PLAIN, next_one)
    for _ in range(30):
        caller.say(b"q" * 1000)
    tap.check(caller.closed() == 4430, f"the peer's: {caller.code}")
    again = opened(PLAIN, net.far.session(), 1)
    again.word("waiting")
    tap.check(opened(PLAIN, net.far.session(), 1).closed() == 4431, "as many sessions as may be")
    for name in ("max_relay_session_bytes", "max_relay_peer_bytes", "max_relay_sessions"):
        tap.check(net.relay.count(name) >= 1, f"{name} was not counted")


@tap.test
def rates_drop_and_close_nothing(net):
    net.relay.stop()
    net.relay = Router(net, f"listen_plain = 127.0.0.1:{PLAIN}", "max_relay_session_rate = 64KiB")
    caller, callee = pair(PLAIN, net.far.session())
    for number in range(200):
        caller.say(b"%04d" % number + b"r" * 1000)
    first = [callee.datagram()[:4] for _ in range(60)]
    tap.check(first == [b"%04d" % n for n in range(60)], f"the first ones: {first}")
    until = time.monotonic() + PATIENCE
    while net.relay.count("max_relay_session_rate") < 50:
        if time.monotonic() > until:
            raise Failed("nothing was dropped")
        time.sleep(0.05)
    time.sleep(1.0)
    caller.say(b"later")
    while callee.datagram() != b"later":
        pass
    net.relay.bystander.check()


@tap.test
def a_router_that_stops_says_so(net):
    caller, callee = pair(PLAIN, net.far.session())
    net.relay.bystander.stop()
    net.relay.process.process.send_signal(signal.SIGTERM)
    tap.check(caller.closed() == 1001 and callee.closed() == 1001, f"{caller.code} {callee.code}")
    tap.check(net.relay.process.wait() == 0, "its exit status")


tap.main(make=setup)
