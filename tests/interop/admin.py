#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An operator with a stock client in the network's own realm: URL NETWORK METHOD SERIALIZER; the principal comes in INTEROP_AUTHID and
INTEROP_SECRET. Prints what it saw as JSON."""
import asyncio
import json
import os
import sys

import txaio
from autobahn.asyncio.component import Component
from autobahn.wamp.exception import ApplicationError

URL, NETWORK, METHOD, SERIALIZER = sys.argv[1:]
SECRET = {"cryptosign": "privkey", "wampcra": "secret"}[METHOD]
PATIENCE = 30


async def error_of(call):
    try:
        return await call
    except ApplicationError as e:
        return e.error


async def listed(session, limit):
    """All pages."""
    peers, cursor, pages = [], 0, 0
    while cursor is not None:
        page, cursor = (await session.call("network.peer.list", cursor, limit)).results
        assert len(page) <= limit
        peers += page
        pages += 1
    return peers, pages


async def look(session):
    seen = {"role": (await session.call("network.whoami"))["role"]}
    joined, left = asyncio.Queue(), asyncio.Queue()
    await session.subscribe(lambda peer: joined.put_nowait(peer), "network.peer.on_join")
    await session.subscribe(lambda *who: left.put_nowait(who), "network.peer.on_leave")
    print("ready", flush=True)  # two peers come now
    peers = [await asyncio.wait_for(joined.get(), PATIENCE) for _ in range(2)]
    seen["joined"] = sorted(peer["id"] for peer in peers)
    assert all(peer["method"] == "netsign" and peer["role"] == "peer" for peer in peers)
    one, other = peers
    got = await session.call("network.peer.get", one["id"])
    assert got["online"] and got["session"] == one["session"]
    assert await session.call("network.peer.get", "999999999") == {"online": False}
    assert await session.call("network.resolve", one["id"]) == one["session"]
    assert tuple((await session.call("network.reverse", one["session"])).results) == (one["id"], "peer")
    at_once, one_by_one = await listed(session, 1000), await listed(session, 1)
    assert [p["session"] for p in at_once[0]] == [p["session"] for p in one_by_one[0]] and at_once[1] == 1
    assert one_by_one[1] >= len(one_by_one[0]) >= 4  # den, the two and this one
    stats = await session.call("network.stats")
    assert stats["sessions"] >= 4 and stats["peers"] == 3, stats
    assert await error_of(session.call("network.peer.list", 0, 0)) == "wamp.error.invalid_argument"
    assert await error_of(session.call("network.grant.install", b"", b"")) == "wamp.error.not_authorized"
    assert isinstance(await session.call("wamp.session.count"), int)
    await session.call("network.peer.kick", other["id"] if METHOD == "wampcra" else other["session"], "by hand")
    gone = await asyncio.wait_for(left.get(), PATIENCE)
    assert tuple(gone) == (other["id"], other["session"]), gone
    seen["kicked"] = other["id"]
    seen["again"] = await error_of(session.call("network.peer.kick", "999999999", None))
    return seen


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    txaio.config.loop = loop
    how = {METHOD: {"authid": os.environ["INTEROP_AUTHID"], SECRET: os.environ["INTEROP_SECRET"]}}
    component = Component(realm=NETWORK, authentication=how,
                          transports=[{"type": "websocket", "url": URL, "serializers": [SERIALIZER], "max_retries": 0}])
    over = loop.create_future()

    @component.on_join
    async def joined(session, _details):
        try:
            over.set_result(await look(session))
        except Exception as e:  # whatever it is, it ends the test
            over.set_exception(e)

    async def run():
        start = asyncio.ensure_future(component.start(loop))
        await asyncio.wait([start, over], return_when=asyncio.FIRST_COMPLETED)
        if not over.done():
            start.result()
        print(json.dumps(over.result()), flush=True)

    loop.run_until_complete(run())


main()
