# SPDX-License-Identifier: Apache-2.0
"""A router whose operator lies. Behind it works the real warren-router with its real keys; TLS ends here, under the router's own
certificate, so that every message of every peer and of den passes in the clear and may be changed, kept back, put in order anew, or made up.

    evil = EvilRouter(net)             # instead of net.make(): everybody joins here
    evil.lies.append(lie)              # lie(conn, is_from_client, message) -> message, None (it is kept back) or a list of them
    evil.inject(evil.den, "den.ca.sign", [...], authid="456000", authrole="peer")   # an invocation that nobody called for: its answer
"""
import copy
import hashlib
import itertools
import os
import re
import socket
import ssl
import struct
import sys
import threading

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from network import PATIENCE, Failed, free_port  # noqa: E402
from wamp import pack, unpack  # noqa: E402
from websocket import frame  # noqa: E402

HELLO, WELCOME, ABORT, CHALLENGE, AUTHENTICATE = range(1, 6)
ERROR, PUBLISH, SUBSCRIBE, SUBSCRIBED, EVENT, CALL, RESULT = 8, 16, 32, 33, 36, 48, 50
REGISTER, REGISTERED, INVOCATION, YIELD = 64, 65, 68, 70
STATEMENT = b"warren/1 "
MADE_UP = itertools.count(1 << 40)  # numbers of invocations that the real router never gave


def statement(word, *fields):
    return STATEMENT + word.encode() + b"\0" + bytes([len(fields)]) + b"".join(struct.pack(">I", len(f)) + f for f in fields)


def fields(data):
    """What a statement says, signature or not."""
    at, out = data.index(b"\0") + 2, []
    for _ in range(data[at - 1]):
        n = struct.unpack_from(">I", data, at)[0]
        out.append(data[at + 4:at + 4 + n])
        at += 4 + n
    return out


def said(data):
    """Its word."""
    return data[len(STATEMENT):data.index(b"\0")].decode()


class Side:
    """One direction of a connection: whole messages come out."""

    def __init__(self, source, sink, is_from_client):
        self.source, self.sink, self.is_from_client = source, sink, is_from_client
        self.data, self.parts, self.lock = b"", b"", threading.Lock()

    def head(self):
        while b"\r\n\r\n" not in self.data:
            self.fill()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        return head + b"\r\n\r\n"

    def fill(self):
        part = self.source.recv(1 << 18)
        if not part:
            raise ConnectionError("end")
        self.data += part

    def take(self, n):
        while len(self.data) < n:
            self.fill()
        out, self.data = self.data[:n], self.data[n:]
        return out

    def frame(self):
        """(opcode with FIN, payload without its mask)"""
        first, second = self.take(2)
        n = second & 127
        n = struct.unpack(">H", self.take(2))[0] if n == 126 else struct.unpack(">Q", self.take(8))[0] if n == 127 else n
        mask = self.take(4) if second & 128 else bytes(4)
        payload = self.take(n)
        pattern = (mask * (n // 4 + 1))[:n]
        return first, (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(n, "big")

    def put(self, payload, opcode=2):
        data = frame(opcode, payload, masked=self.is_from_client)
        with self.lock:
            self.sink.sendall(data)


class Conn:
    """Somebody's connection, with what passed: (is_from_client, message) in order."""

    def __init__(self, evil, client, server):
        self.evil, self.authid, self.authrole, self.seen, self.asked = evil, None, None, [], {}
        self.up, self.down = Side(client, server, True), Side(server, client, False)
        self.procedures, self.topics, self.session = {}, {}, 0  # by name, the router's number
        self.is_gone = False

    def start(self):
        for one, other in ((self.up, self.down), (self.down, self.up)):
            head = one.head()
            one.sink.sendall(head)
            if one is self.up and b"wamp.2.msgpack" not in head:
                raise ConnectionError("another protocol")
        for side in (self.up, self.down):
            threading.Thread(target=self.copy, args=(side,), daemon=True).start()

    def copy(self, side):
        try:
            while True:
                first, payload = side.frame()
                if (first & 15) > 2:  # close, ping, pong
                    side.put(payload, first & 15)
                    continue
                side.parts += payload
                if first & 128:
                    whole, side.parts = side.parts, b""
                    self.pass_on(side, whole)
        except (OSError, ssl.SSLError, ConnectionError, struct.error):
            self.close()

    def close(self):
        self.is_gone = True
        for sock in (self.up.source, self.up.sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def pass_on(self, side, payload):
        message = unpack(payload)[0]
        self.note(side.is_from_client, message)
        if self.is_answer(side.is_from_client, message):
            return
        out = copy.deepcopy(message)
        for lie in list(self.evil.lies):
            if out is not None:
                out = lie(self, side.is_from_client, out)
        many = out if isinstance(out, list) and out and isinstance(out[0], list) else [out]
        for one in many:
            if one is not None:
                side.put(payload if one == message else pack(one))

    def note(self, is_from_client, m):
        """Learns who this is, and the numbers that stand for names."""
        self.seen.append((is_from_client, m))
        if is_from_client and m[0] in (REGISTER, SUBSCRIBE):
            self.asked[m[1]] = m[3]
        elif not is_from_client and m[0] == REGISTERED and m[1] in self.asked:
            self.procedures[self.asked.pop(m[1])] = m[2]
        elif not is_from_client and m[0] == SUBSCRIBED and m[1] in self.asked:
            self.topics[self.asked.pop(m[1])] = m[2]
        elif not is_from_client and m[0] == WELCOME:
            self.session, self.authid, self.authrole = m[1], m[2].get("authid"), m[2].get("authrole")

    def is_answer(self, is_from_client, m):
        """To something that the liar made up: the real router never hears of it."""
        number = m[1] if m[0] == YIELD else m[2] if m[0] == ERROR else None
        if not is_from_client or number not in self.evil.waiting:
            return False
        if m[0] == YIELD and m[2].get("progress"):
            return True
        waits = self.evil.waiting[number]
        waits.answer = m
        waits.event.set()
        return True

    def procedure(self, invocation):
        return next((name for name, number in self.procedures.items() if number == invocation[2]), "?")

    def topic(self, event):
        return next((name for name, number in self.topics.items() if number == event[1]), "?")


class Wait:
    def __init__(self):
        self.event, self.answer = threading.Event(), None


class EvilRouter:
    def __init__(self, net, *lines, prefix=()):
        self.net, self.lies, self.conns, self.waiting, self.last = net, [], [], {}, None
        net.init()
        self.plain = free_port()
        with open(net.path("router/tls.pem"), encoding="ascii") as f:
            first = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", f.read(), re.S).group()
        shown = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
        conf = net.path("router/router.conf")
        with open(conf, encoding="ascii") as f:
            text = re.sub(r"(?m)^listen = .*$", f"listen = 127.0.0.1:{free_port()}", f.read())
        more = [f"listen_plain = 127.0.0.1:{self.plain}", f"proxy_certificates = {shown}", "max_request_rate = 0", *lines]
        with open(conf, "w", encoding="ascii") as f:
            f.write(text.rstrip("\n") + "\n" + "".join(line + "\n" for line in more))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(net.path("router/tls.pem"), net.path("router/tls.key"))
        self.server = socket.create_server(("127.0.0.1", net.port), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()
        net.start_router(prefix)
        net.router.wait_line(net.router.err, "event=listening_plain")
        net.start_den(prefix)

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            near = self.context.wrap_socket(client, server_side=True)
            conn = Conn(self, near, socket.create_connection(("127.0.0.1", self.plain)))
            self.conns.append(conn)
            conn.start()
        except (OSError, ssl.SSLError, ConnectionError):
            client.close()

    def close(self):
        self.server.close()
        for conn in self.conns:
            conn.close()

    def of(self, authid):
        """The newest live connection of an ID."""
        for conn in reversed(self.conns):
            if conn.authid == authid and not conn.is_gone:
                return conn
        raise Failed(f"{authid} is not connected")

    @property
    def den(self):
        return next(c for c in reversed(self.conns) if c.authrole == "den" and not c.is_gone)

    def words(self):
        """From a request to den that passed, and the newest heartbeat."""
        r = fields(self.calls("den.ca.sign")[-1][1])
        return Words(r[0], r[1], self.beacon)

    def heartbeats(self):
        """[H, signature] as den published them, the oldest first."""
        return [m[4] for conn in list(self.conns) if conn.authrole == "den" for is_up, m in list(conn.seen)
                if is_up and m[0] == PUBLISH and m[3] == "den.heartbeat"]

    def beacon(self):
        return fields(self.heartbeats()[-1][0])[5]

    def calls(self, procedure, authid=None):
        """Arguments of all that was called under that name."""
        return [m[4] for conn in list(self.conns) if authid in (None, conn.authid) for is_up, m in list(conn.seen)
                if is_up and m[0] == CALL and m[3] == procedure and len(m) > 4]

    def inject(self, conn, procedure, args, authid, authrole="peer", more=None):
        """What `conn` answers to a call of `procedure` that the router says `authid` made: the arguments, or (code, cause)."""
        number, wait = next(MADE_UP), Wait()
        self.waiting[number] = wait
        details = {"caller": 987654321 if authid else None, "caller_authid": authid, "caller_authrole": authrole, "procedure": procedure,
                   "_warren_source": "127.0.0.1:4711", **(more or {})}
        details = {k: v for k, v in details.items() if v is not None}
        conn.down.put(pack([INVOCATION, number, conn.procedures[procedure], details, args]))
        if not wait.event.wait(3 * PATIENCE):  # a callee that lacks a beacon waits for den to say a newer one
            return "timeout", f"{procedure} was not answered"
        del self.waiting[number]
        self.last = [*wait.answer[:2], 0, *wait.answer[3:]] if wait.answer[0] == ERROR else wait.answer  # without its number
        if wait.answer[0] == ERROR:
            facts = wait.answer[6] if len(wait.answer) > 6 else {}
            return wait.answer[4].rsplit(".", 1)[-1], str(facts.get("cause", wait.answer[5:]))
        return wait.answer[3] if len(wait.answer) > 3 else []


def is_error(answer):
    return isinstance(answer, tuple)


class Identity:
    """An identity key, of a peer's folder or a new one."""

    def __init__(self, folder=None):
        if folder:
            with open(os.path.join(folder, "identity.key"), encoding="ascii") as f:
                self.key = SigningKey(bytes.fromhex(f.read().split()[1])[:32])
        else:
            self.key = SigningKey.generate()
        self.pk = bytes(self.key.verify_key)

    def sign(self, data):
        return self.key.sign(data).signature

    def signed(self, data, signature):
        try:
            self.key.verify_key.verify(data, signature)
            return True
        except BadSignatureError:
            return False


class Words:
    """What statements to den are made of."""

    def __init__(self, netid, sign_pk, beacon):
        self.netid, self.sign_pk, self.beacon = netid, sign_pk, beacon

    def request(self, signer, authid, procedure, body):
        r = statement("request", self.netid, self.sign_pk, authid.encode(), procedure.encode(), self.beacon(), os.urandom(16),
                      hashlib.sha256(body).digest())
        return [body, r, signer.sign(r)]

    def dial(self, signer, a_id, b_id, spki, ice, sid=None, pk=None):
        caps = struct.pack(">HI", 1, 4) + b"chat"
        d = statement("dial", self.netid, sid or os.urandom(16), a_id.encode(), pk or signer.pk, b_id.encode(), caps, spki,
                      hashlib.sha256(ice).digest(), self.beacon())
        return [d, signer.sign(d), ice, None]


__all__ = ["Identity", "Words", "ABORT", "AUTHENTICATE", "CALL", "CHALLENGE", "ERROR", "EVENT", "EvilRouter", "HELLO", "INVOCATION", "PUBLISH", "RESULT", "WELCOME",
           "YIELD", "fields", "is_error", "said", "statement"]
