# SPDX-License-Identifier: Apache-2.0
"""A small WAMP client over a raw socket, in any of the router's serializers: Debian's own python3 has no other."""
import base64
import json
import os
import socket
import ssl
import struct

from network import PATIENCE, Failed


# ---- msgpack ---------------------------------------------------------------------------------------------------------

def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return b"\xdb" + struct.pack(">I", len(data)) + data
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())


def unpack(data, at=0):
    """The value, and where it ends."""
    head = data[at]
    number = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q", 0xca: ">f", 0xcb: ">d"}
    sized = {0xc4: (bytes, 1), 0xc5: (bytes, 2), 0xc6: (bytes, 4), 0xd9: (str, 1), 0xda: (str, 2), 0xdb: (str, 4),
             0xdc: (list, 2), 0xdd: (list, 4), 0xde: (dict, 2), 0xdf: (dict, 4)}
    if head < 0x80 or head >= 0xe0:
        return (head if head < 0x80 else head - 256), at + 1
    if head in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[head], at + 1
    if head in number:
        return struct.unpack_from(number[head], data, at + 1)[0], at + 1 + struct.calcsize(number[head])
    if head in sized:
        kind, width = sized[head]
        n, at = int.from_bytes(data[at + 1:at + 1 + width], "big"), at + 1 + width
    else:
        kind, n = (dict, head & 15) if head < 0x90 else (list, head & 15) if head < 0xa0 else (str, head & 31)
        at += 1
    if kind in (bytes, str):
        body = data[at:at + n]
        return (body if kind is bytes else body.decode()), at + n
    items = []
    for _ in range(n * (2 if kind is dict else 1)):
        item, at = unpack(data, at)
        items.append(item)
    return (items if kind is list else dict(zip(items[::2], items[1::2]))), at


# ---- JSON, with binary and with text that begins with U+0000 ---------------------------------------------------------

def to_json(value):
    if isinstance(value, bytes):
        return "\0" + base64.b64encode(value).decode()
    if isinstance(value, str) and value.startswith("\0"):
        return "\0\0" + base64.b64encode(value.encode()).decode()
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return {k: to_json(v) for k, v in value.items()} if isinstance(value, dict) else value


def from_json(value):
    if isinstance(value, str) and value.startswith("\0\0"):
        return base64.b64decode(value[2:], validate=True).decode()
    if isinstance(value, str) and value.startswith("\0"):
        return base64.b64decode(value[1:], validate=True)
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return {k: from_json(v) for k, v in value.items()} if isinstance(value, dict) else value


def not_json(word):
    raise Failed(f"{word} in JSON")


# ---- sessions --------------------------------------------------------------------------------------------------------

SERIALIZERS = ("wamp.2.msgpack", "wamp.2.json", "wamp.2.msgpack.batched", "wamp.2.json.batched")


class Session:
    def __init__(self, port, serializer, realm, authmethod="anonymous", source="127.0.0.1", authid=None, ticket=None):
        self.serializer, self.is_json, self.is_batched = serializer, "json" in serializer, "batched" in serializer
        self.data, self.messages, self.request = b"", [], 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0)))
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall((f"GET / HTTP/1.1\r\nHost: router\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                           f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {serializer}\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.data:
            self.read()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        if b" 101 " not in head:
            raise Failed(f"{serializer} is not served: {head!r}")
        details = {"roles": {role: {} for role in ("caller", "callee", "publisher", "subscriber")}, "authmethods": [authmethod]}
        if authid:
            details["authid"] = authid
        self.send([1, realm, details])
        if ticket:
            self.expect(4)
            self.send([5, ticket, {}])
        welcome = self.expect(2)
        self.session, self.details = welcome[1], welcome[2]

    def read(self):
        part = self.sock.recv(1 << 20)
        if not part:
            raise Failed(f"{self.serializer}: closed by the router")
        self.data += part

    def take(self, n):
        while len(self.data) < n:
            self.read()
        part, self.data = self.data[:n], self.data[n:]
        return part

    def frame(self):
        """(opcode, payload); the router does not fragment."""
        opcode, length = self.take(2)
        if length > 125:
            length = int.from_bytes(self.take(2 if length == 126 else 8), "big")
        return opcode & 15, self.take(length)

    def encode(self, message):
        body = json.dumps(to_json(message)).encode() if self.is_json else pack(message)
        if not self.is_batched:
            return body
        return body + b"\x1e" if self.is_json else struct.pack(">I", len(body)) + body

    def decode(self, body):
        return from_json(json.loads(body.decode(), parse_constant=not_json)) if self.is_json else unpack(body)[0]

    def send(self, *messages):
        """Several go in one batch."""
        if len(messages) > 1 and not self.is_batched:
            raise Failed("one at a time")
        body = b"".join(map(self.encode, messages))
        head = bytes([0x81 if self.is_json else 0x82])
        head += bytes([0x80 | len(body)]) if len(body) < 126 else b"\xff" + struct.pack(">Q", len(body))
        self.sock.sendall(head + b"\0\0\0\0" + body)

    def receive(self):
        while not self.messages:
            opcode, body = self.frame()
            if opcode == 8:
                raise Failed(f"{self.serializer}: closed by the router: {body!r}")
            if opcode == 9:
                self.sock.sendall(bytes([0x8a, 0x80 | len(body)]) + b"\0\0\0\0" + body)
                continue
            if opcode != (1 if self.is_json else 2):
                raise Failed(f"{self.serializer}: opcode {opcode}")
            if not self.is_batched:
                parts = [body]
            elif self.is_json:
                parts = body.split(b"\x1e")
                if parts.pop():
                    raise Failed("a batch without its last separator")
            else:
                parts = []
                while body:
                    size = struct.unpack(">I", body[:4])[0]
                    parts.append(body[4:4 + size])
                    body = body[4 + size:]
            self.messages += [self.decode(part) for part in parts]
        return self.messages.pop(0)

    def expect(self, kind):
        message = self.receive()
        if message[0] != kind:
            raise Failed(f"{self.serializer}: {message!r}, wanted a message of type {kind}")
        return message

    def ask(self, kind, *rest):
        """Sends a request; its number."""
        self.request += 1
        self.send([kind, self.request, *rest])
        return self.request

    def register(self, procedure):
        self.ask(64, {}, procedure)
        return self.expect(65)[2]

    def subscribe(self, topic):
        self.ask(32, {}, topic)
        return self.expect(33)[2]

    def close(self):
        self.sock.close()
