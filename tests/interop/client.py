#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's python3-autobahn as a stock client; the same arguments as client.mjs, without the library."""
import asyncio
import os
import sys

import txaio
from autobahn.asyncio.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, CallResult, PublishOptions

SERIALIZER, URL, REALM, METHOD, ROLE, *NAMES = sys.argv[1:]
OWN_METHODS = {"anonymous": {}, "ticket": {"ticket": os.environ.get("INTEROP_SECRET")},
               "wampcra": {"secret": os.environ.get("INTEROP_SECRET")}, "cryptosign": {"privkey": os.environ.get("INTEROP_SECRET")}}


def authentication():
    how = dict(OWN_METHODS[METHOD])
    if METHOD != "anonymous":
        how["authid"] = os.environ["INTEROP_AUTHID"]
    return {METHOD: how}


def say(what):
    print(what, flush=True)


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


async def serve(session, name):
    async def tell(topic, what):
        await session.publish(topic, what, name, options=PublishOptions(acknowledge=True))
        return "told"

    async def poke(procedure):
        """Somebody's procedure is called, whatever comes of it."""
        try:
            await session.call(procedure)
            return "result"
        except ApplicationError:
            return "error"

    async def drink(procedure, details):
        """The same with progress; what the last word was."""
        options = CallOptions(on_progress=lambda *args, **kwargs: None, details=details)
        try:
            await session.call(procedure, options=options)
            return "result"
        except ApplicationError as e:
            return e.error

    def fail(what):
        raise ApplicationError("app.error.refused", what, 7, why="because")

    await session.register(lambda a, b: a + b, f"app.{name}.add")
    await session.register(lambda *args, **kwargs: CallResult(*args, **kwargs), f"app.{name}.echo")
    await session.register(fail, f"app.{name}.fail")
    await session.register(tell, f"app.{name}.tell")
    await session.register(poke, f"app.{name}.poke")
    await session.register(drink, f"app.{name}.drink")
    await session.subscribe(lambda *args, **kwargs: None, f"app.{name}.news")
    say("ready")


async def ask(session, own, others):
    for name in others:
        same(await session.call(f"app.{name}.add", 2, 3), 5, f"{name}: add")
        told = ("gr\u00fc\u00dfe \U0001f600", [1, 2.5, True, None], {"deep": {"er": []}})
        echoed = await session.call(f"app.{name}.echo", *told, k="v")
        same((tuple(echoed.results), echoed.kwresults), (told, {"k": "v"}), f"{name}: echo")
        try:
            await session.call(f"app.{name}.fail", "x")
            raise AssertionError(f"{name}: no error")
        except ApplicationError as e:
            same((e.error, list(e.args)), ("app.error.refused", ["x", 7]), f"{name}: error")
        event = asyncio.get_running_loop().create_future()
        topic = f"app.news.{own}.{name}"
        await session.subscribe(lambda *args, to=event: to.set_result(args), topic)
        same(await session.call(f"app.{name}.tell", topic, "it rains"), "told", f"{name}: tell")
        same(await asyncio.wait_for(event, 30), ("it rains", name), f"{name}: event")
        say(f"asked {name}")


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    txaio.config.loop = loop
    component = Component(realm=REALM, authentication=authentication(),
                          transports=[{"type": "websocket", "url": URL, "serializers": [SERIALIZER.split(".")[0]], "max_retries": 0}])
    component._transports[0].serializers = [SERIALIZER]  # Component knows no name for batches, the library under it does
    over = loop.create_future()

    @component.on_join
    async def joined(session, _details):
        try:
            if ROLE == "serve":
                await serve(session, NAMES[0])
                return
            if ROLE == "ask":
                await ask(session, NAMES[0], NAMES[1:])
            say("done")
            over.set_result(None)
        except Exception as e:  # whatever it is, it ends the test
            over.set_exception(e)

    async def run():
        start = asyncio.ensure_future(component.start(loop))
        await asyncio.wait([start, over], return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            over.result()
        else:
            start.result()
            raise AssertionError("the connection ended")

    loop.run_until_complete(run())


main()
