# SPDX-License-Identifier: Apache-2.0
"""A small TURN client (RFC 8656), to see the very codes that a server answers with."""
import hashlib
import hmac
import ipaddress
import os
import select
import socket
import struct
import time

COOKIE = 0x2112A442
ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND = 3, 4, 8, 9
ERROR_CODE, REALM, NONCE, USERNAME, INTEGRITY = 9, 0x14, 0x15, 6, 8
XOR_PEER, CHANNEL_NUMBER, LIFETIME, TRANSPORT, FAMILY = 0x12, 0xC, 0xD, 0x19, 0x17


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def xor_address(address, port, transaction):
    raw = ipaddress.ip_address(address).packed
    mask = struct.pack("!I", COOKIE) + transaction
    return struct.pack("!BBH", 0, 1 if len(raw) == 4 else 2, port ^ (COOKIE >> 16)) + bytes(a ^ b for a, b in zip(raw, mask))


class Turn:
    """One client. Each request returns 0, or the error code that the server answered with; None: no answer."""

    def __init__(self, server, credential, source):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect((server, 3478))
        self.socket.settimeout(5)
        self.username, self.password = credential
        self.realm = self.nonce = self.key = None
        self.code, self.channel = None, 0x4000

    def close(self):
        if self.key:
            self.ask(REFRESH, attribute(LIFETIME, struct.pack("!I", 0)))
        self.socket.close()

    def message(self, method, body, transaction):
        if self.key:
            body += attribute(USERNAME, self.username.encode()) + attribute(REALM, self.realm) + attribute(NONCE, self.nonce)
            head = struct.pack("!HHI", method, len(body) + 24, COOKIE) + transaction
            body += attribute(INTEGRITY, hmac.new(self.key, head + body, hashlib.sha1).digest())
        return struct.pack("!HHI", method, len(body), COOKIE) + transaction + body

    def answer(self, transaction):
        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                data = self.socket.recv(2048)
            except OSError:
                return None
            if len(data) >= 20 and data[8:20] == transaction:
                return data
        return None

    def attributes(self, data):
        at, found = 20, {}
        while at + 4 <= len(data):
            kind, size = struct.unpack_from("!HH", data, at)
            found[kind] = data[at + 4:at + 4 + size]
            at += 4 + size + -size % 4
        return found

    def once(self, method, body, transaction):
        self.socket.send(self.message(method, body, transaction))
        data = self.answer(transaction)
        if data is None:
            return None, {}
        found = self.attributes(data)
        is_error = struct.unpack_from("!H", data)[0] & 0x0110 == 0x0110
        return (found[ERROR_CODE][2] * 100 + found[ERROR_CODE][3] if is_error else 0), found

    def ask(self, method, body, transaction=None):
        transaction = transaction or os.urandom(12)
        self.code, found = self.once(method, body, transaction)
        if NONCE in found and (self.code == 438 or (self.code == 401 and not self.key)):
            self.realm, self.nonce = found.get(REALM, self.realm), found[NONCE]
            self.key = hashlib.md5(f"{self.username}:{self.realm.decode()}:{self.password}".encode()).digest()
            self.code, found = self.once(method, body, transaction)
        return self.code

    def allocate(self, family=4):
        more = attribute(FAMILY, bytes([2, 0, 0, 0])) if family == 6 else b""
        return self.ask(ALLOCATE, attribute(TRANSPORT, bytes([17, 0, 0, 0])) + more)

    def permit(self, address):
        transaction = os.urandom(12)
        return self.ask(CREATE_PERMISSION, attribute(XOR_PEER, xor_address(address, 0, transaction)), transaction)

    def bind(self, address, port):
        transaction = os.urandom(12)
        self.channel += 1
        return self.ask(CHANNEL_BIND, attribute(CHANNEL_NUMBER, struct.pack("!HH", self.channel, 0)) +
                        attribute(XOR_PEER, xor_address(address, port, transaction)), transaction)

    def flood(self, address, port, bytes_a_second, seconds, size=1000):
        """What arrives at `address` of that much sent over the channel bound last: bytes (of UDP payload with the channel's
        header, as the server counts them), and the seconds they took."""
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sink.bind((address, port))
        sink.setblocking(False)
        packet = struct.pack("!HH", self.channel, size) + bytes(size)
        began, sent, got = time.monotonic(), 0, 0
        while (now := time.monotonic() - began) < seconds:
            while sent < bytes_a_second * now:
                self.socket.send(packet)
                sent += len(packet)
            select.select([sink], [], [], 0.002)
            got += self.drain(sink)
        time.sleep(0.2)
        got += self.drain(sink)
        sink.close()
        return got, seconds

    @staticmethod
    def drain(sink):
        n = 0
        try:
            while True:
                n += len(sink.recv(4096)) + 4
        except BlockingIOError:
            return n
