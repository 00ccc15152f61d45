#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions of every serializer in one realm: what one says is what the other hears."""
import os
import re

import tap
from network import Failed
from wamp import SERIALIZERS, Session

REALM = "app.test"
VALUES = [0, -1, 127, 2**53, 2**53 + 1, 2**64 - 1, -2**63, 1.5, 5.0, -0.0, 0.1, 1e300, 5e-324, True, None, "", "caf\u00e9 \U0001f600",
          "\"\\\n\x01\x7f/", "\0text", "\0", b"", b"\0\xff", bytes(range(256)), [], {}, [[[]]], {"k": {"\0k": [b"\x1e"]}}, "\x1e"]


def start(net):
    net.init()
    router = net.path("router")
    with open(os.path.join(router, "realms.conf"), "w", encoding="ascii") as f:
        f.write(f"[realm {REALM}]\nmethods = anonymous\n")
    conf = os.path.join(router, "router.conf")
    with open(conf, encoding="ascii") as f:
        text = re.sub(r"(?m)^listen = .*$", "listen = 127.0.0.1:0", f.read())
    with open(conf, "w", encoding="ascii") as f:
        f.write(text + "realms = realms.conf\n")
    process = net.start("warren-router", [net.program("warren-router"), "--config", conf])
    line = process.wait_line(process.err, r"event=listening ")
    return process, int(re.search(r"port=(\d+)", line).group(1))


def sessions(net, *serializers):
    return [Session(net.shared[1], serializer, REALM) for serializer in serializers]


def close(*them):
    for one in them:
        one.close()


@tap.test
def each_serializer_joins(net):
    net.shared = start(net)
    for serializer in SERIALIZERS:
        one, = sessions(net, serializer)
        tap.check(one.details["authmethod"] == "anonymous" and 0 < one.session <= 2**53, repr(one.details))
        one.close()


@tap.test
def calls_pass_between_each_two(net):
    for callee_speaks in SERIALIZERS:
        callee, = sessions(net, callee_speaks)
        registration = callee.register("app.echo")
        for caller_speaks in SERIALIZERS:
            caller, = sessions(net, caller_speaks)
            request = caller.ask(48, {}, "app.echo", [VALUES], {"k": VALUES})
            invocation = callee.expect(68)
            tap.check(invocation[2] == registration, repr(invocation))
            for value in (invocation[4][0], invocation[5]["k"]):  # types too: 5 is not 5.0, nor bytes text
                tap.check(repr(value) == repr(VALUES), f"{caller_speaks} to {callee_speaks}: {value!r}")
            callee.send([70, invocation[1], {}, [VALUES]])
            result = caller.expect(50)
            tap.check(result[1] == request and repr(result[3]) == repr([VALUES]), f"{callee_speaks} to {caller_speaks}: {result!r}")
            caller.close()
        callee.close()


@tap.test
def an_event_is_heard_the_same_by_all(net):
    listeners = sessions(net, *SERIALIZERS, *SERIALIZERS)
    for listener in listeners:
        listener.subscribe("app.news")
    for speaks in SERIALIZERS:
        publisher, = sessions(net, speaks)
        for number in range(3):
            publisher.ask(16, {}, "app.news", [number, VALUES])
        heard = [[listener.expect(36)[2:] for _ in range(3)] for listener in listeners]
        for events in heard:
            tap.check(repr(events) == repr(heard[0]), f"{events!r}")
        tap.check(repr([event[2] for event in heard[0]]) == repr([[number, VALUES] for number in range(3)]), repr(heard[0]))
        publisher.close()
    close(*listeners)


@tap.test
def batches_are_taken_apart(net):
    for speaks in SERIALIZERS[2:]:
        callee, caller = sessions(net, speaks, speaks)
        callee.register("app.echo")
        caller.send(*[[48, number, {}, "app.echo", [number]] for number in range(1, 21)])
        asked = [callee.expect(68) for _ in range(20)]
        tap.check([one[4] for one in asked] == [[number] for number in range(1, 21)], repr(asked))
        callee.send(*[[70, one[1], {}, one[4]] for one in asked])
        tap.check([caller.expect(50)[3] for _ in range(20)] == [[number] for number in range(1, 21)], "in order")
        close(callee, caller)


NOT_JSON = [(float("nan"), "wamp.error.invalid_argument"), (float("inf"), "wamp.error.invalid_argument"),
            ("\x01" * 900000, "wamp.error.payload_size_exceeded")]  # six times as long


@tap.test
def what_has_no_json_does_not_trouble_a_callee(net):
    for speaks in ("wamp.2.json", "wamp.2.json.batched"):
        callee, caller = sessions(net, speaks, "wamp.2.msgpack")
        callee.register("app.echo")
        for value, wanted in NOT_JSON:
            request = caller.ask(48, {}, "app.echo", [value])
            error = caller.expect(8)
            tap.check(error[1:3] == [48, request] and error[4] == wanted, repr(error)[:300])
            tap.check_in("the callee speaks JSON", error[6]["cause"])
        caller.ask(48, {}, "app.echo", ["still there"])
        invocation = callee.expect(68)
        tap.check(invocation[4] == ["still there"], repr(invocation)[:300])
        callee.send([70, invocation[1], {}])
        caller.expect(50)
        close(callee, caller)


@tap.test
def a_result_without_json_is_an_error(net):
    callee, caller = sessions(net, "wamp.2.msgpack", "wamp.2.json")
    callee.register("app.echo")
    for value, wanted in NOT_JSON:
        request = caller.ask(48, {}, "app.echo")
        callee.send([70, callee.expect(68)[1], {}, [value]])
        error = caller.expect(8)
        tap.check(error[1:3] == [48, request] and error[4] == wanted, repr(error)[:300])
    request = caller.ask(48, {}, "app.echo")
    callee.send([8, 68, callee.expect(68)[1], {}, "app.error.mine", [NOT_JSON[0][0]]])
    error = caller.expect(8)
    tap.check(error[1:3] == [48, request] and error[4] == "app.error.mine", repr(error))
    close(callee, caller)


@tap.test
def an_event_without_json_is_heard_by_the_others(net):
    reads_json, reads_msgpack, publisher = sessions(net, "wamp.2.json", "wamp.2.msgpack", "wamp.2.msgpack")
    for listener in (reads_json, reads_msgpack):
        listener.subscribe("app.news")
    publisher.ask(16, {}, "app.news", [float("inf")])
    publisher.ask(16, {}, "app.news", ["next"])
    tap.check(reads_json.expect(36)[4] == ["next"], "the first is left out")
    tap.check([reads_msgpack.expect(36)[4] for _ in range(2)] == [[float("inf")], ["next"]], "both came")
    net.shared[0].wait_line(net.shared[0].err, r"event=untold .*JSON has no NaN")
    close(reads_json, reads_msgpack, publisher)


@tap.test
def a_callee_that_leaves_over_such_a_call(net):
    """The answer that the router gives in its place comes to nobody."""
    for _ in range(20):
        callee, caller = sessions(net, "wamp.2.json", "wamp.2.msgpack")
        callee.register("app.echo")
        caller.ask(48, {}, "app.echo", [float("nan")])
        callee.close()
        error = caller.expect(8)
        tap.check(error[4] in ("wamp.error.invalid_argument", "wamp.error.canceled", "wamp.error.no_such_procedure"), repr(error))
        caller.close()
    check = sessions(net, "wamp.2.json")[0]
    check.close()


@tap.test
def the_router_ends_well(net):
    net.shared[0].process.terminate()
    if net.shared[0].wait() != 0:
        raise Failed("another status than 0")


tap.main(make=False)
