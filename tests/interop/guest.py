#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest's way to an ID by hand, with a stock client: URL NETWORK PIN; the token comes in INTEROP_SECRET.

Join anonymously, see that den is there, fetch the roots and the beacon, sign an enrolment with a key of one's own and with the
token's, and call den.identity.admit. What is signed is in PROTOCOL.md, "Statements"."""
import asyncio
import hashlib
import json
import os
import struct
import sys

import txaio
from autobahn.asyncio.component import Component
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import SubscribeOptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

URL, NETWORK, PIN = sys.argv[1:]
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32


def statement(word, *fields):
    return b"warren/1 " + word + b"\0" + bytes([len(fields)]) + b"".join(struct.pack(">I", len(f)) + f for f in fields)


def fields_of(word, data):
    start = b"warren/1 " + word + b"\0"
    assert data.startswith(start)
    at, fields = len(start) + 1, []
    for _ in range(data[len(start)]):
        size = struct.unpack_from(">I", data, at)[0]
        fields.append(data[at + 4:at + 4 + size])
        at += 4 + size
    assert at == len(data)
    return fields


def token_key(text):
    """The key that stands for an enrolment token: wt1 and 26 digits."""
    number = 0
    for digit in text[3:]:
        number = number << 5 | ALPHABET.index(digit)
    token = (number >> 2).to_bytes(16, "big")
    return Ed25519PrivateKey.from_private_bytes(hashlib.blake2b(b"warren/1 token\0" + token, digest_size=32).digest())


def raw(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


async def enrol(session):
    den = await session.call("network.resolve", "den")
    assert isinstance(den, int) and den > 0
    info, who = await session.call("network.info"), await session.call("network.whoami")
    assert info["network"] == NETWORK and info["den"] is True
    assert who["role"] == "guest" and who["session"] == session._session_id
    assert isinstance(await session.call("network.ping"), int)
    assert tuple((await session.call("network.reverse", den)).results) == ("den", "den")
    assert tuple((await session.call("network.reverse", who["session"])).results) == (who["id"], "guest")
    roots, _intermediates, _manifests = (await session.call("den.ca.chain")).results
    netid = hashlib.sha256(roots[0]).digest()
    assert netid.hex() == PIN, "the network is not the one that was pinned"
    heard = asyncio.get_running_loop().create_future()
    await session.subscribe(lambda *args: heard.done() or heard.set_result(args), "den.heartbeat",
                            options=SubscribeOptions(get_retained=True))
    heartbeat, _signature = await asyncio.wait_for(heard, 30)
    beacon = fields_of(b"heartbeat", heartbeat)[5]
    identity, token = Ed25519PrivateKey.generate(), token_key(os.environ["INTEROP_SECRET"])
    enrolment = statement(b"enrol", netid, NETWORK.encode(), raw(identity), beacon, os.urandom(16), raw(token), b"by hand")
    asked = (enrolment, identity.sign(enrolment), token.sign(enrolment))
    admission = fields_of(b"admission", (await session.call("den.identity.admit", *asked)).results[0])
    assert admission[0] == netid and admission[3] == raw(identity)
    assert admission[8] == hashlib.sha256(enrolment).digest()
    try:
        await session.call("den.identity.admit", *asked)
        again = "taken"
    except ApplicationError as e:
        again = e.error
    try:
        await session.call("network.peer.list")
        others = "told"
    except ApplicationError as e:
        others = e.error
    print(json.dumps({"id": admission[2].decode(), "role": admission[4].decode(), "again": again, "others": others}), flush=True)


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    txaio.config.loop = loop
    component = Component(realm=NETWORK, authentication={"anonymous": {}},
                          transports=[{"type": "websocket", "url": URL, "serializers": ["msgpack"], "max_retries": 0}])
    over = loop.create_future()

    @component.on_join
    async def joined(session, _details):
        try:
            over.set_result(await enrol(session))
        except Exception as e:  # whatever it is, it ends the test
            over.set_exception(e)

    async def run():
        start = asyncio.ensure_future(component.start(loop))
        await asyncio.wait([start, over], return_when=asyncio.FIRST_COMPLETED)
        if not over.done():
            start.result()
        over.result()

    loop.run_until_complete(run())


main()
