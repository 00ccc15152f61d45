# SPDX-License-Identifier: Apache-2.0
"""An end of a session at the router's relay (rpc/PROTOCOL.md, section 12), over a connection without TLS. It holds den's key, so
that it can make what den would; and everything it says may be wrong."""
import base64
import hashlib
import re
import secrets
import struct
import time

from nacl.signing import SigningKey

import websocket
from network import Failed
from wamp import pack

BINARY, TEXT, CLOSE = websocket.BINARY, websocket.TEXT, websocket.CLOSE


def u64(n):
    return struct.pack(">Q", n)


def texts(*items):
    return struct.pack(">H", len(items)) + b"".join(struct.pack(">I", len(i)) + i.encode() for i in items)


def statement(word, *fields):
    return b"warren/1 " + word.encode() + b"\0" + bytes([len(fields)]) + b"".join(struct.pack(">I", len(f)) + f for f in fields)


def key_in(path):
    with open(path, encoding="ascii") as f:
        return SigningKey(bytes.fromhex(re.search(r"([0-9a-f]{64})\s*$", f.read()).group(1)))


def public(key):
    return bytes(key.verify_key)


class Den:
    """What den would sign."""

    def __init__(self, net):
        with open(net.path("den/root.pem"), encoding="ascii") as f:
            body = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", f.read(), re.S).group(1)
        self.netid = hashlib.sha256(base64.b64decode(body)).digest()
        self.network = net.name.encode()
        self.sign = key_in(net.path("den/sign.key"))
        self.router_pk = public(key_in(net.path("router/router.key")))

    def signed(self, word, *fields):
        said = statement(word, *fields)
        return said, self.sign.sign(said).signature

    def session(self, ago=3600, a="900001", b="900002"):
        """A session of before the router was started: its grant is good without being installed."""
        return Session(self, ago, a, b)


class Session:
    def __init__(self, den, ago, a, b):
        self.den, self.sid, self.ids = den, secrets.token_bytes(16), (a, b)
        self.keys = [SigningKey.generate(), SigningKey.generate()]
        self.grant, self.grant_sig = den.signed(
            "grant", den.netid, self.sid, a.encode(), public(self.keys[0]), b.encode(), public(self.keys[1]), bytes(32),
            texts("chat"), texts(), b"\0", u64(int(time.time() * 1000) - ago * 1000), u64(0), bytes(16), u64(0), u64(0), texts())

    def admission(self, side):
        now = int(time.time() * 1000)
        return self.den.signed("admission", self.den.netid, self.den.network, self.ids[side].encode(), public(self.keys[side]),
                               b"peer", u64(1), u64(now - 1000), u64(now + 86400000), b"")

    def opening(self, side, theirs, **wrong):
        said = {"netid": self.den.netid, "sid": self.sid, "grant": hashlib.sha256(self.grant).digest(), "which": bytes([side]),
                "pk": public(self.keys[side]), "router": self.den.router_pk, "binding": b"none", "data": bytes(32), "nonce": theirs}
        key = wrong.pop("key", self.keys[side])
        said.update(wrong)
        y = statement("relay", *said.values())
        return pack([self.grant, self.grant_sig, y, key.sign(y).signature, *self.admission(side)])


class End:
    """A connection; `got` are the datagrams, `words` the relay's."""

    def __init__(self, port):
        self.ws = websocket.Client(port, protocol="warren-relay.1")
        self.got, self.words, self.code, self.reason = [], [], None, ""
        self.nonce = self.next(BINARY)[:32]

    def next(self, wanted):
        while True:
            try:
                opcode, payload = self.ws.message()
            except websocket.Gone as e:
                raise Failed(f"cut: {e}") from e
            if opcode == CLOSE:
                self.code, self.reason = struct.unpack(">H", payload[:2])[0], payload[2:].decode()
            if opcode == wanted:
                return payload
            if opcode == CLOSE:
                raise Failed(f"closed: {self.code} {self.reason}")
            if opcode == TEXT:
                self.words.append(payload.decode())
            elif opcode == BINARY:
                self.got.append(payload)

    def say(self, payload, opcode=BINARY):
        self.ws.send(opcode, payload)

    def word(self, wanted):
        while wanted not in self.words:
            self.words.append(self.next(TEXT).decode())
        self.words = self.words[self.words.index(wanted) + 1:]

    def datagram(self):
        return self.got.pop(0) if self.got else self.next(BINARY)

    def closed(self):
        """The close code; what comes before it is kept."""
        self.next(CLOSE)
        return self.code

    def leave(self):
        self.ws.sock.close()


def opened(port, session, side, **wrong):
    end = End(port)
    end.say(session.opening(side, end.nonce, **wrong))
    return end


def pair(port, session):
    ends = [opened(port, session, side) for side in (0, 1)]
    for end in ends:
        end.word("paired")
    return ends
