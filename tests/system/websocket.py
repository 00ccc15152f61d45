# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client (RFC 6455) that can do it wrongly: every bit of a frame is the test's."""
import base64
import os
import socket
import ssl
import struct

TEXT, BINARY, CLOSE, PING, PONG, CONTINUE = 1, 2, 8, 9, 10, 0
PATIENCE = float(os.environ.get("WS_PATIENCE", "30"))


class Gone(Exception):
    """The other side cut the connection, without a close frame."""


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
    if not masked:
        return head + payload
    mask = os.urandom(4)
    pattern = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(payload), "big")


def frames(data):
    """[(opcode, payload)] of whole frames that came from a server."""
    out = []
    while len(data) >= 2:
        opcode, length, at = data[0] & 15, data[1] & 127, 2
        if length == 126:
            length, at = struct.unpack(">H", data[2:4])[0], 4
        elif length == 127:
            length, at = struct.unpack(">Q", data[2:10])[0], 10
        out.append((opcode, data[at:at + length]))
        data = data[at + length:]
    return out


def closing(code, reason=b""):
    return struct.pack(">H", code) + reason


class Client:
    def __init__(self, port, tls=False, protocol="echo", headers=""):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall((f"GET / HTTP/1.1\r\nHost: router\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                           f"Sec-WebSocket-Protocol: {protocol}\r\n{headers}\r\n").encode())
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.answer = head.decode()

    def fill(self):
        try:
            part = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as e:
            raise Gone(str(e)) from e
        if not part:
            raise Gone("end")
        self.buffer += part

    def take(self, n):
        while len(self.buffer) < n:
            self.fill()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def send(self, *args, **more):
        self.raw(frame(*args, **more))

    def raw(self, data):
        """Whoever refuses early may have cut the connection before the end."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass

    def frame(self):
        """(opcode, payload, fin) of the next frame; whatever a server must not send is an error."""
        first, second = self.take(2)
        if first & 0x70 or second & 0x80:
            raise AssertionError(f"a frame with reserved bits, or masked: {first:02x} {second:02x}")
        size = second
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(size), bool(first & 0x80)

    def message(self):
        """The next message, or control frame; fragments put together."""
        opcode, payload, fin = self.frame()
        while not fin:
            more, part, fin = self.frame()
            if more != CONTINUE:
                raise AssertionError("a frame between fragments")
            payload += part
        return opcode, payload

    def end(self):
        """What comes until the end: messages, then ("close", code, reason) or ("cut",)."""
        out = []
        try:
            while True:
                opcode, payload = self.message()
                if opcode == CLOSE:
                    out.append(("close", struct.unpack(">H", payload[:2])[0] if len(payload) > 1 else 1005 + len(payload), payload[2:]))
                    return out
                out.append((opcode, payload))
        except Gone:
            out.append(("cut",))
            return out

    def is_gone(self):
        try:
            self.message()
        except Gone:
            return True
        return False

    def close(self):
        self.sock.close()
