#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Advanced Profile with two sessions of python3-autobahn, one in JSON and one in msgpack: URL REALM. Prints a line for each thing that worked."""
import asyncio
import sys

import txaio
from autobahn.asyncio.component import Component
from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, CallResult, PublishOptions, RegisterOptions, SubscribeOptions

URL, REALM = sys.argv[1:]
PATIENCE = 30


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")
    print(f"worked: {what}", flush=True)


async def error_of(call):
    try:
        return await asyncio.wait_for(call, PATIENCE)
    except ApplicationError as e:
        return e.error


class Ears:
    """What a subscription heard; wait for n of it."""

    def __init__(self):
        self.heard, self.changed = [], asyncio.Event()

    def __call__(self, *args, **kwargs):
        details = kwargs.pop("details", None)
        self.heard.append((args, details))
        self.changed.set()

    async def wait(self, n):
        while len(self.heard) < n:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), PATIENCE)
        return [args for args, _details in self.heard]


async def calls(one, other):
    async def count(n, details):
        for i in range(n):
            details.progress(i)
        return "end"

    progress = []
    await one.register(count, "app.f.count", options=RegisterOptions(details_arg="details"))
    got = await other.call("app.f.count", 5, options=CallOptions(on_progress=progress.append))
    same((progress, got), ([0, 1, 2, 3, 4], "end"), "progressive results")
    await one.register(lambda: asyncio.sleep(60), "app.f.slow")
    same(await error_of(other.call("app.f.slow", options=CallOptions(timeout=200))), "wamp.error.timeout", "a call's timeout")
    await one.register(lambda details: details.procedure, "app.f.any", options=RegisterOptions(match="prefix", details_arg="details"))
    same(await other.call("app.f.any.thing"), "app.f.any.thing", "a prefix of procedures")
    await one.register(lambda details: details.procedure, "app.f..get", options=RegisterOptions(match="wildcard", details_arg="details"))
    same(await other.call("app.f.x.get"), "app.f.x.get", "a wildcard of procedures")
    for name, session in (("one", one), ("other", other)):
        await session.register(lambda name=name: name, "app.f.shared", options=RegisterOptions(invoke="roundrobin"))
    same(sorted([await one.call("app.f.shared") for _ in range(4)]), ["one", "one", "other", "other"], "a shared registration")
    same(await error_of(one.register(lambda: 0, "app.f.shared")), "wamp.error.procedure_already_exists", "another way to share")
    same(await error_of(other.call("app.f.count", "x", 1)), "wamp.error.runtime_error", "a fault of the callee")


async def cancel(one, other):
    """The callee announces call_canceling and knows INTERRUPT."""
    for mode in ("skip", "kill", "killnowait"):
        begun, ended = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def slow(begun=begun, ended=ended):
            begun.set()
            try:
                await asyncio.sleep(5 if mode == "skip" else PATIENCE)
                ended.set_result("worked on")
            except asyncio.CancelledError:
                ended.set_result("interrupted")
                raise ApplicationError("wamp.error.canceled") from None  # a bare CancelledError is not answered at all
            return "late"

        await one.register(slow, f"app.f.slow.{mode}")
        call = asyncio.ensure_future(other.call(f"app.f.slow.{mode}"))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        other._transport.send(message.Cancel(max(other._call_reqs), mode=mode))
        error = await error_of(call)
        same(error, "wamp.error.canceled", f"a call that is canceled: {mode}")
        same(await asyncio.wait_for(ended, PATIENCE), "worked on" if mode == "skip" else "interrupted", f"its callee: {mode}")


async def values(one, other):
    await one.register(lambda *args, **kwargs: CallResult(*args, **kwargs), "app.f.echo")
    for value in (2**63, 2**64 - 1, -2**63, 2**53 + 1, "a\0b", b"\x00\xff", b"", 0.1, [], {}, {"": [None]}):
        same(await other.call("app.f.echo", value), value, f"{value!r} through JSON and msgpack")


async def events(one, other):
    plain, retained, prefix, own = Ears(), Ears(), Ears(), Ears()
    acknowledged = PublishOptions(acknowledge=True)
    await one.publish("app.e.kept", "old", options=PublishOptions(acknowledge=True, retain=True))
    await other.subscribe(retained, "app.e.kept", options=SubscribeOptions(get_retained=True, details_arg="details"))
    same((await retained.wait(1))[0], ("old",), "a retained event")
    same(retained.heard[0][1].retained, True, "it says that it is retained")
    await other.subscribe(prefix, "app.e", options=SubscribeOptions(match="prefix", details_arg="details"))
    await one.publish("app.e.some.topic", 1, options=acknowledged)
    same((await prefix.wait(1))[0], (1,), "a prefix of topics")
    same(prefix.heard[0][1].topic, "app.e.some.topic", "it says its topic")
    await one.subscribe(own, "app.l.t")
    await other.subscribe(plain, "app.l.t")
    me, they = one._session_id, other._session_id
    await one.publish("app.l.t", "not to me", options=acknowledged)
    await one.publish("app.l.t", "to me too", options=PublishOptions(acknowledge=True, exclude_me=False))
    await one.publish("app.l.t", "excluded", options=PublishOptions(acknowledge=True, exclude=[they], exclude_me=False))
    await one.publish("app.l.t", "eligible", options=PublishOptions(acknowledge=True, eligible=[they], exclude_me=False))
    await one.publish("app.l.t", "nobody", options=PublishOptions(acknowledge=True, eligible_authid=["nobody"], exclude_me=False))
    await one.publish("app.l.t", "last", options=PublishOptions(acknowledge=True, exclude_me=False))
    same(await own.wait(3), [("to me too",), ("excluded",), ("last",)], "exclude_me, and who is left out")
    same(await plain.wait(4), [("not to me",), ("to me too",), ("eligible",), ("last",)], "black and white lists")
    assert me != they


async def meta(one, other):
    same(sorted(await one.call("wamp.session.list")), sorted([one._session_id, other._session_id]), "the list of sessions")
    same(await one.call("wamp.session.count"), 2, "their number")
    same((await one.call("wamp.session.get", other._session_id))["authmethod"], "anonymous", "one of them")
    same(await error_of(one.call("wamp.session.get", 1)), "wamp.error.no_such_session", "one that is not there")
    number = await one.call("wamp.registration.match", "app.f.any.thing")
    same((await one.call("wamp.registration.get", number))["match"], "prefix", "a registration")
    same(await one.call("wamp.registration.count_callees", await one.call("wamp.registration.lookup", "app.f.shared")), 2, "its callees")
    same(isinstance(await one.call("wamp.subscription.lookup", "app.l.t"), int), True, "a subscription")
    left, will = Ears(), Ears()
    await one.subscribe(left, "wamp.session.on_leave")
    await one.subscribe(will, "app.e.will")
    await other.call("wamp.session.add_testament", "app.e.will", ["I was here"], {})
    address = other._session_id
    await one.call("wamp.session.kill", address, reason="app.close.enough")
    same((await will.wait(1))[0], ("I was here",), "a testament")
    same((await left.wait(1))[0][0], address, "who left")


async def main():
    sessions, joined = {}, asyncio.Event()
    for serializer in ("json", "msgpack"):
        component = Component(realm=REALM, authentication={"anonymous": {}},
                              transports=[{"type": "websocket", "url": URL, "serializers": [serializer], "max_retries": 0}])

        @component.on_join
        async def on_join(session, _details, serializer=serializer):
            sessions[serializer] = session
            if len(sessions) == 2:
                joined.set()

        asyncio.ensure_future(component.start(asyncio.get_running_loop()))
    await asyncio.wait_for(joined.wait(), PATIENCE)
    one, other = sessions["json"], sessions["msgpack"]
    await calls(one, other)
    await cancel(one, other)
    await values(one, other)
    await events(one, other)
    await meta(one, other)
    print("done", flush=True)


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
txaio.config.loop = loop
loop.run_until_complete(main())
