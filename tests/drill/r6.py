#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a registration is recorded and played again: on the same connection, on new ones, to another router, after a restart; and relayed"""
import hashlib
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from hostile import UPGRADE, PROTOCOL, frame, frames, pack, send_quietly, unpack
from network import PATIENCE, Failed, free_port, run

import nacl.signing

EACH = 100
drill = Drill("R6", "a registration that is played again")


def statement(word, *fields):
    return b"warren/1 " + word.encode() + b"\0" + bytes([len(fields)]) + b"".join(struct.pack(">I", len(f)) + f for f in fields)


class Peer:
    """The keys of a peer that has joined, used by hand."""

    def __init__(self, folder):
        with open(os.path.join(folder, "identity.key"), encoding="ascii") as f:
            secret = bytes.fromhex(f.read().split()[1])
        self.key = nacl.signing.SigningKey(secret[:32])
        self.public = bytes(self.key.verify_key)
        with open(os.path.join(folder, "admission"), "rb") as f:
            data = f.read()
        length = struct.unpack(">I", data[:4])[0]
        self.admission = [data[4:4 + length], data[4 + length:4 + length + 64]]


class Plain:
    """A WebSocket without TLS, to listen_plain, or with it."""

    def __init__(self, port, is_tls=False):
        self.sock, self.data = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE), b""
        if is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.sock.sendall((UPGRADE + PROTOCOL + "\r\n").encode())
        while b"\r\n\r\n" not in self.data:
            self.read()
        self.data = self.data.split(b"\r\n\r\n", 1)[1]

    def read(self):
        part = self.sock.recv(65536)
        if not part:
            raise Failed("closed by the router")
        self.data += part

    def hear(self):
        """The next message, or None at the end."""
        while True:
            for opcode, payload in frames(self.data)[:1]:
                size = len(payload) + (2 if len(payload) < 126 else 4 if len(payload) < 65536 else 10)
                if len(self.data) >= size and len(payload) == self.announced():
                    self.data = self.data[size:]
                    if opcode == 8:
                        return None
                    if opcode == 2:
                        return unpack(payload)[0]
            try:
                self.read()
            except (OSError, Failed):
                return None

    def announced(self):
        length = self.data[1] & 127
        return length if length < 126 else int.from_bytes(self.data[2:4], "big") if length == 126 else int.from_bytes(self.data[2:10], "big")

    def send(self, message):
        send_quietly(self.sock, frame(message))

    def close(self):
        self.sock.close()


def register(peer, port, netid, network):
    """HELLO and AUTHENTICATE as they went over the wire, of a session that was welcomed; the connection stays."""
    nonce = os.urandom(32)
    hello = pack([1, network, {"roles": {"caller": {}}, "authmethods": ["netsign"],
                               "authextra": {"pubkey": peer.public, "nonce": nonce, "binding": "none", "instance": os.urandom(16), "manifest": 1}}])
    conn = Plain(port)
    conn.send(hello)
    challenge = conn.hear()
    if not challenge or challenge[0] != 4:
        raise Failed(f"no CHALLENGE: {challenge!r}")
    extra = challenge[2]
    signed = statement("netsign-client", netid, network.encode(), b"none", b"\0" * 32, extra["nonce"], nonce, extra["pubkey"], peer.public,
                       hashlib.sha256(hello).digest(), hashlib.sha256(extra["heartbeat"][0]).digest())
    authenticate = pack([5, peer.key.sign(signed).signature, {"admission": peer.admission}])
    conn.send(authenticate)
    welcome = conn.hear()
    if not welcome or welcome[0] != 2:
        raise Failed(f"the registration itself was refused: {welcome!r}")
    return conn, hello, authenticate, welcome[2]["authid"]


def replay(conn, *messages):
    """Whether any of it is welcomed."""
    for message in messages:
        conn.send(message)
    while answer := conn.hear():
        if answer[0] == 2:
            return True
        if answer[0] == 3:
            return False
    return False


def played_again(what, opener, *messages):
    n_accepted = n_tried = 0
    for _ in range(EACH):
        conn = opener()
        n_tried += 1
        n_accepted += replay(conn, *messages)
        conn.close()
    drill.require(f"{what}: accepted of {n_tried}", n_accepted == 0 and n_tried == EACH, n_accepted)


def configure(net, folder, plain):
    with open(net.path(folder, "router.conf"), "a", encoding="ascii") as f:
        f.write(f"listen_plain = 127.0.0.1:{plain}\nmax_request_rate = 0\n")


class Relay:
    """Ends TLS on both sides and passes on what it hears, unchanged."""

    def __init__(self, net, target):
        self.target, self.n = target, 0
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", net.path("mitm.key"), "-out",
             net.path("mitm.pem"), "-subj", "/CN=router.drill.warren", "-days", "2"])
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(net.path("mitm.pem"), net.path("mitm.key"))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port, self.heard = self.server.getsockname()[1], b""
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            plain, _ = self.server.accept()
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        try:
            near = self.context.wrap_socket(plain, server_side=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            far = context.wrap_socket(socket.create_connection(("127.0.0.1", self.target)))
        except (OSError, ssl.SSLError):
            return
        self.n += 1
        threading.Thread(target=self.copy, args=(far, near, False), daemon=True).start()
        self.copy(near, far, True)

    def copy(self, source, sink, is_client):
        try:
            while part := source.recv(65536):
                if is_client:
                    self.heard += part
                sink.sendall(part)
        except (OSError, ssl.SSLError):
            pass
        for one in (source, sink):
            one.close()


def relayed(net, n=20):
    relay = Relay(net, net.port)
    n_joined, words = 0, set()
    for i in range(n):
        text = re.sub(r"//127\.0\.0\.1:\d+/", f"//127.0.0.1:{relay.port}/", net.token())
        done = subprocess.run(net.warren(f"victim{i}", "join"), input=text + "\n", capture_output=True, text=True, timeout=120, check=False)
        n_joined += done.returncode == 0
        words.add(re.sub(r"^warren: join: ", "", (done.stderr.strip().splitlines() or ["?"])[0])[:120])
    drill.require(f"joined through a relay that ends TLS, of {n}", n_joined == 0, n_joined)
    drill.require("the relay did pass on the HELLO", relay.n >= n and len(relay.heard) > 0, f"{relay.n} connections, {len(relay.heard)} bytes")
    drill.say("what the victims said: " + " | ".join(sorted(words)))


with drill.network(make=False) as network:
    network.init()
    plain = free_port()
    configure(network, "router", plain)
    network.start_router()
    network.router.wait_line(network.router.err, "event=listening_plain")
    network.start_den()
    network.join("alice")
    alice = Peer(network.path("alice"))
    with open(network.path("den/root.pem") if os.path.exists(network.path("den/root.pem")) else network.path("nothing"), encoding="ascii") as f:
        der = ssl.PEM_cert_to_DER_cert(f.read())
    netid = hashlib.sha256(der).digest()
    first, hello, authenticate, authid = register(alice, plain, netid, network.name)
    drill.require("the registration itself is accepted", authid == network.ids["alice"], authid)
    again, _, later, _ = register(alice, plain, netid, network.name)
    drill.require("and a second one of the same key has another proof", later != authenticate, f"{len(later)} bytes")
    again.close()
    first.close()

    def used():
        conn, *_ = register(alice, plain, netid, network.name)
        return conn
    played_again("on the same connection", used, hello, authenticate)
    played_again("on a new connection", lambda: Plain(plain), hello, authenticate)
    played_again("the proof alone", lambda: Plain(plain), authenticate)
    played_again("over TLS", lambda: Plain(network.port, True), hello, authenticate)
    network.router.stop()
    network.start_router()
    network.router.wait_line(network.router.err, "event=listening_plain")
    played_again("after a restart", lambda: Plain(plain), hello, authenticate)
    with drill.network(make=False) as other:
        other.init()
        other_plain = free_port()
        configure(other, "router", other_plain)
        other.start_router()
        other.router.wait_line(other.router.err, "event=listening_plain")
        other.start_den()
        played_again("to another router of the same name", lambda: Plain(other_plain), hello, authenticate)
    relayed(network)
drill.end()
