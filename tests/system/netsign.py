# SPDX-License-Identifier: Apache-2.0
"""A session by netsign, by hand, with the keys of a folder: over a listener without TLS (listen_plain, binding "none")."""
import hashlib
import os
import socket
import struct

from nacl.signing import SigningKey

from hostile import PROTOCOL, UPGRADE
from network import PATIENCE, Failed
from wamp import Session


def statement(word, *fields):
    return b"warren/1 " + word.encode() + b"\0" + bytes([len(fields)]) + b"".join(struct.pack(">I", len(f)) + f for f in fields)


def read_key(path):
    with open(path, encoding="ascii") as f:
        return SigningKey(bytes.fromhex(f.read().split()[1])[:32])


def read_admission(folder):
    with open(os.path.join(folder, "admission"), "rb") as f:
        data = f.read()
    length = struct.unpack(">I", data[:4])[0]
    return [data[4:4 + length], data[4 + length:4 + length + 64]]


def fields_of(data):
    """Of any statement."""
    at, found = data.index(b"\0") + 2, []
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        found.append(data[at + 4:at + 4 + size])
        at += 4 + size
    return found


def enrolment(key, netid, network, heartbeat, token=None, before=None):
    """What goes into AUTHENTICATE.extra: [E, signature, the token's], and an admission that a key had."""
    public = bytes(token.verify_key) if token else b""
    e = statement("enrol", netid, network.encode(), bytes(key.verify_key), fields_of(heartbeat)[5], os.urandom(16), public, b"drill")
    extra = {"enrol": [e, key.sign(e).signature, *([token.sign(e).signature] if token else [])]}
    return {**extra, "before": before} if before else extra


class Refused(Exception):
    """The ABORT's URI."""


class Netsign(Session):
    """What wamp.Session can do, for a peer or an admin (`folder`: its state), for den (`login`: its key), or for any key, with what `shows`
    makes of the newest heartbeat. Refused: the router, or den, said no."""

    def __init__(self, port, network, netid, folder=None, login=None, key=None, shows=None):  # pylint: disable=super-init-not-called
        self.serializer, self.is_json, self.is_batched = "wamp.2.msgpack", False, False
        self.data, self.messages, self.request = b"", [], 0
        key = key or read_key(login or os.path.join(folder, "identity.key"))
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.sendall((UPGRADE + PROTOCOL + "\r\n").encode())
        while b"\r\n\r\n" not in self.data:
            self.read()
        self.data = self.data.split(b"\r\n\r\n", 1)[1]
        self.prove(key, network, netid, shows or (read_admission(folder) if folder else None))

    def prove(self, key, network, netid, admission):
        public, nonce = bytes(key.verify_key), os.urandom(32)
        hello = [1, network, {"roles": {"caller": {}, "callee": {}}, "authmethods": ["netsign"],
                              "authextra": {"pubkey": public, "nonce": nonce, "binding": "none", "instance": os.urandom(16), "manifest": 1}}]
        self.send(hello)
        extra = self.expect(4)[2]
        heartbeat = hashlib.sha256(extra["heartbeat"][0]).digest() if extra.get("heartbeat") else b""
        signed = statement("netsign-client", netid, network.encode(), b"none", b"\0" * 32, extra["nonce"], nonce, extra["pubkey"], public,
                           hashlib.sha256(self.encode(hello)).digest(), heartbeat)
        shown = admission(extra["heartbeat"][0]) if callable(admission) else {"admission": admission} if admission else {}
        self.send([5, key.sign(signed).signature, shown])
        welcome = self.receive()
        if welcome[0] == 3:
            raise Refused(welcome[2])
        self.session, self.details = welcome[1], welcome[2]
        if not self.details.get("authid"):
            raise Failed(f"no authid: {welcome}")
