#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions that want more than their share: each is told its own URI, somebody else's calls go on, the router counts."""
import re
import time

from hostile import ADDRESSES, PATIENCE, REALM, Router, case, check_abort, check_error, frame, joined, pack, send_quietly, tap


@tap.test
def a_router_with_small_limits(net):
    net.router = Router(net, "max_request_rate = 400", "max_pending_calls = 4", "max_registrations = 3", "max_subscriptions = 3",
                        "max_testaments = 2", "max_retained = 2", "max_retained_size = 4KiB", "call_timeout = 500ms", "guest_request_rate = 15",
                        "max_lookups_network = 25", "max_connection_rate = 0", "penalty_protocol = 0s")


@case(limit="max_request_rate", least=100)
def requests_over_the_rate_are_refused(router):
    one = router.session()
    wanted = one.request + 500
    one.sock.sendall(b"".join(frame(pack([48, n, {}, "nobody.there"])) for n in range(one.request + 1, wanted + 1)))
    uris = [one.expect(8)[4] for _ in range(500)]
    tap.check(uris.count("wamp.error.no_such_procedure") >= 400, "what fits is answered")
    tap.check("network.error.too_many_requests" in uris, repr(set(uris)))
    one.close()


def is_told(line):
    left_out = re.search(r"event=left_out .*lines=(\d+)", line)
    return int(left_out.group(1)) if left_out else "uri=wamp.mine" in line


@case()
def who_is_refused_often_does_not_fill_the_log(router):
    one, seen = router.session(), len(router.process.err)
    for n in range(300):
        one.ask(64, {}, f"wamp.mine{n}")
    for _ in range(300):
        one.expect(8)
    one.close()
    router.process.wait_line(router.process.err, r"event=left .*reason=\"the connection", seen)
    until = time.monotonic() + PATIENCE
    while (told := sum(is_told(line) for line in router.process.err[seen:])) != 300 and time.monotonic() < until:
        time.sleep(0.1)
    written = sum("uri=wamp.mine" in line for line in router.process.err[seen:])
    tap.check(told == 300 and written < 150, f"{written} lines, {told} told")


@case(limit="max_request_rate", log=r"event=closed .*reason=network\.error\.too_many_requests")
def a_flood_is_the_end(router):
    sock = joined(router)
    send_quietly(sock, b"".join(frame(pack([48, n, {}, "nobody.there"])) for n in range(1, 20000)))
    check_abort(sock, "network.error.too_many_requests")


@case(limit="max_request_rate", log=r"event=closed .*reason=network\.error\.too_many_requests")
def a_flood_of_events_is_the_end_too(router):
    sock = joined(router)
    send_quietly(sock, b"".join(frame(pack([16, n, {}, "session.flood"])) for n in range(1, 20000)))
    check_abort(sock, "network.error.too_many_requests")


@case(limit="max_request_rate", log=r"event=closed .*reason=network\.error\.too_many_requests")
def a_flood_of_cancels_is_the_end_too(router):
    sock = joined(router)
    send_quietly(sock, frame(pack([48, 1, {}, "nobody.there"])) + frame(pack([49, 1, {}])) * 20000)
    check_abort(sock, "network.error.too_many_requests")


@case(limit="max_pending_calls")
def calls_wait_in_a_row(router):
    callee, caller = router.session(), router.session()
    callee.register("session.slow")
    for _ in range(5):
        caller.ask(48, {}, "session.slow")
    check_error(caller, "network.error.too_many_calls")
    callee.close()
    caller.close()


@case(limit="call_timeout", least=4)
def calls_do_not_wait_for_ever(router):
    callee, caller = router.session(), router.session()
    callee.register("session.silent")
    for _ in range(4):
        caller.ask(48, {"timeout": 86400000}, "session.silent")
    for _ in range(4):
        check_error(caller, "wamp.error.timeout")
    callee.close()
    caller.close()


@case(limit="max_registrations")
def procedures_have_a_number(router):
    one = router.session()
    for n in range(3):
        one.register(f"session.r{n}")
    one.ask(64, {}, "session.r3")
    check_error(one, "network.error.too_many_registrations")
    one.close()


@case(limit="max_subscriptions")
def topics_have_a_number(router):
    one = router.session()
    for n in range(3):
        one.subscribe(f"session.t{n}")
    one.ask(32, {}, "session.t3")
    check_error(one, "network.error.too_many_subscriptions")
    one.close()


@case(limit="max_testaments")
def testaments_have_a_number(router):
    one = router.session()
    for _ in range(2):
        one.ask(48, {}, "wamp.session.add_testament", ["session.will", [], {}])
        one.expect(50)
    one.ask(48, {}, "wamp.session.add_testament", ["session.will", [], {}])
    check_error(one, "network.error.too_many_testaments")
    one.close()


@case(limit="max_retained", least=3)
def events_that_are_kept_have_a_number(router):
    one, listener = router.session(), router.session()
    listener.ask(32, {}, "session.k2")
    listener.expect(33)
    for n in range(2):
        one.ask(16, {"acknowledge": True, "retain": True}, f"session.k{n}", [n])
        one.expect(17)
    one.ask(16, {"acknowledge": True, "retain": True}, "session.k2", [2])
    check_error(one, "network.error.too_many_retained")
    one.ask(16, {"acknowledge": True, "retain": True}, "session.k1", ["x" * 5000])
    check_error(one, "network.error.too_many_retained")
    one.ask(16, {"retain": True}, "session.k2", ["nobody is told that it is not kept"])
    tap.check("not kept" in listener.expect(36)[4][0], "so it is published, alone: what was refused is not")
    one.close()
    listener.close()


@case(limit="max_request_rate")
def a_guest_has_a_rate_of_its_own(router):
    guest = router.session(realm=router.realm)
    uris = []
    for _ in range(40):
        guest.ask(48, {}, "network.ping")
        message = guest.receive()
        uris.append(message[4] if message[0] == 8 else "")
    tap.check(uris.count("") >= 15 and "network.error.too_many_requests" in uris, repr(uris))
    guest.close()


@case(limit="max_request_rate", log=r"event=closed .*reason=network\.error\.too_many_requests")
def a_guest_is_sent_away_sooner(router):
    guest = router.session(realm=router.realm)
    guest.sock.sendall(b"".join(frame(pack([48, n, {}, "network.ping"])) for n in range(1, 400)))
    last = guest.receive()
    while last[0] != 3:
        last = guest.receive()
    tap.check(last[2] == "network.error.too_many_requests", repr(last))
    guest.close()


@case()
def a_guest_serves_nothing(router):
    guest = router.session(realm=router.realm)
    guest.ask(64, {}, "guest.any")
    message = guest.expect(8)
    tap.check(message[4] == "wamp.error.not_authorized", repr(message))
    guest.close()


@case(limit="max_message_before")
def a_guest_says_little_at_a_time(router):
    guest = router.session(realm=router.realm)
    send_quietly(guest.sock, frame(pack([48, 1, {}, "network.ping", ["x" * 20000]])))
    guest.sock.settimeout(PATIENCE)
    opcode, payload = guest.frame()
    tap.check(opcode == 8 and payload[:2] == b"\x03\xf1", f"1009, not {opcode} {payload!r}")
    guest.close()


def look_up(one, session):
    one.ask(48, {}, "network.reverse", [session])
    return one.receive()


@case(limit="max_lookups")
def lookups_that_find_nothing_are_few(router):
    guest = router.session(realm=router.realm)
    answers = [look_up(guest, 1000 + n) for n in range(10)]
    tap.check(all(a[4] == "network.error.not_reachable" for a in answers), repr(answers))
    tap.check(len({repr(a[3:]) for a in answers}) == 1, "one answer for all")
    tap.check(look_up(guest, 5)[4] == "network.error.too_many_lookups", "the eleventh")
    tap.check(look_up(guest, guest.session)[4] == "network.error.too_many_lookups", "not even its own")
    guest.ask(48, {}, "network.resolve", ["den"])
    tap.check(guest.expect(8)[4] == "network.error.not_reachable", "den is no secret")
    guest.close()


@case(limit="max_lookups_network")
def a_new_name_or_neighbour_does_not_help(router):
    near = next(ADDRESSES).rsplit(".", 1)[0]
    near = near[:-1] + ("7" if near[-1] != "7" else "8")
    uris = []
    for n in range(4):
        guest = router.session(f"{near}.{200 + n}", realm=router.realm)
        uris += [look_up(guest, 1000 + m)[4] for m in range(9)]
        guest.close()
    tap.check(uris.count("network.error.not_reachable") == 25, repr(uris))
    tap.check(uris[-1] == "network.error.too_many_lookups_nearby", repr(uris))


@case()
def another_cannot_be_named(router):
    """What a caller writes in its options reaches nobody."""
    callee, caller = router.session(), router.session()
    callee.register("session.named")
    caller.ask(48, {"caller": 1, "caller_authid": "den", "caller_authrole": "den", "_warren_source": "x"}, "session.named", [1])
    details = callee.expect(68)[3]
    tap.check("den" not in repr(details) and "_warren_source" not in details, repr(details))
    callee.close()
    caller.close()


@case()
def nobody_publishes_in_the_name_of_the_router(router):
    one = router.session()
    for topic in ("wamp.session.on_join", "wamp.registration.on_create"):
        one.ask(16, {"acknowledge": True}, topic, [1])
        tap.check(one.expect(8)[4] == "wamp.error.not_authorized", topic)
    one.ask(64, {}, "wamp.session.count")
    one.expect(8)
    one.close()
    tap.check(REALM, "a realm by the letter of WAMP")


@tap.test
def the_router_lived_through_it(net):
    net.router.stop()


tap.main(make=False)
