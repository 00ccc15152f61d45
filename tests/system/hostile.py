# SPDX-License-Identifier: Apache-2.0
"""The frame of the hostile clients: a router with its limits on, somebody who breaks a rule, somebody who does not notice, and the
figures of the router. Every case is an offender with an address of its own (all of 127.0.0.0/8 is this machine)."""
import base64
import itertools
import os
import re
import resource
import socket
import ssl
import struct
import threading
import time
import urllib.request

import tap
import websocket
from network import PATIENCE, Failed, Process
from wamp import Session, pack, unpack
from websocket import frames

REALM = "app.test"
ADDRESSES = (f"127.{a}.{b}.{c}" for a in itertools.count(1) for b in range(1, 250) for c in range(1, 250))


class Bystander:
    """Two sessions from another address that call each other all the time."""

    def __init__(self, port):
        self.callee = Session(port, "wamp.2.msgpack", REALM, source="127.250.0.1")
        self.caller = Session(port, "wamp.2.msgpack", REALM, source="127.250.0.2")
        self.callee.register("bystander.echo")
        self.n_calls, self.worst, self.error, self.is_over = 0, 0.0, None, False
        self.threads = [threading.Thread(target=self.guard, args=(part,), daemon=True) for part in (self.serve, self.call)]
        for thread in self.threads:
            thread.start()

    def guard(self, part):
        try:
            part()
        except (Failed, OSError, ValueError, KeyError, IndexError) as e:
            if not self.is_over:
                self.error = repr(e)

    def serve(self):
        while not self.is_over:
            invocation = self.callee.expect(68)
            self.callee.send([70, invocation[1], {}, invocation[4]])

    def call(self):
        while not self.is_over:
            began = time.monotonic()
            self.caller.ask(48, {}, "bystander.echo", [self.n_calls])
            result = self.caller.expect(50)
            if result[3] != [self.n_calls]:
                raise Failed(f"another answer: {result!r}")
            self.worst = max(self.worst, time.monotonic() - began)
            self.n_calls += 1
            time.sleep(0.005)

    def check(self):
        """Its calls go on."""
        n = self.n_calls
        until = time.monotonic() + PATIENCE
        while self.n_calls < n + 3 and not self.error and time.monotonic() < until:
            time.sleep(0.01)
        tap.check(not self.error, f"the bystander: {self.error}")
        tap.check(self.n_calls >= n + 3, "the bystander's calls have stopped")

    def stop(self):
        self.is_over = True
        self.callee.close()
        self.caller.close()


class Router:
    """A router of its own for some cases, with its metrics and a bystander."""

    def __init__(self, net, *lines, files=0, exempt=True):
        self.net, folder = net, net.path("router")
        if not os.path.exists(folder):
            net.has_limits = True
            net.init()
        with open(os.path.join(folder, "realms.conf"), "w", encoding="ascii") as f:
            f.write(f"[realm {REALM}]\nmethods = anonymous\nmeta = anonymous\n")
        with open(os.path.join(folder, "router.conf"), encoding="ascii") as f:
            text = re.sub(r"(?m)^listen = .*$", "listen = 127.0.0.1:0", f.read())
        conf = os.path.join(folder, f"hostile-{len(net.processes)}.conf")
        more = ["realms = realms.conf", "metrics = 127.0.0.1:0", *(["unlimited_networks = 127.250.0.0/16"] if exempt else []), *lines]
        with open(conf, "w", encoding="ascii") as f:
            f.write(text + "".join(line + "\n" for line in more))
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None
        prefix = os.environ.get("WARREN_PREFIX", "").split()  # such as valgrind
        argv = [*prefix, net.program("warren-router"), "--config", conf]
        self.process = net.start("warren-router", argv, preexec_fn=limit) if limit else net.start("warren-router", argv)
        err = self.process.err
        self.port = int(re.search(r"port=(\d+)", self.process.wait_line(err, r"event=listening ")).group(1))
        self.door = int(re.search(r"port=(\d+)", self.process.wait_line(err, r"event=listening_metrics")).group(1))
        self.realm = re.search(r"network=(\S+)", self.process.find(err, r"event=listening ")).group(1)
        self.bystander = Bystander(self.port)

    def page(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.door}/metrics", timeout=PATIENCE) as answer:
            return answer.read().decode()

    def count(self, limit):
        found = re.search(r'(?m)^warren_router_limit_total\{limit="' + limit + r'"\} (\d+)$', self.page())
        if not found:
            raise Failed(f"no count of {limit}")
        return int(found.group(1))

    def wait_count(self, limit, least=1):
        until = time.monotonic() + PATIENCE
        while self.count(limit) < least:
            if time.monotonic() > until:
                raise Failed(f"{limit} is {self.count(limit)}, wanted {least}")
            time.sleep(0.05)

    def session(self, source=None, serializer="wamp.2.msgpack", realm=REALM):
        return Session(self.port, serializer, realm, source=source or next(ADDRESSES))

    def stop(self):
        self.bystander.stop()
        status = self.process.stop()
        tap.check(status == 0, f"the router ended with {status}: " + "\n".join(self.process.err[-40:]))


def case(limit=None, least=1, log=None):
    """A test of one trick on net.router: afterwards the limit has counted, the log has a line and the bystander's calls go on."""
    def decorate(function):
        def run(net):
            router = net.router
            before, seen = (router.count(limit) if limit else 0), len(router.process.err)
            function(router)
            if limit:
                router.wait_count(limit, before + least)
            if log:
                router.process.wait_line(router.process.err, log, seen)
            router.bystander.check()
        run.__name__ = function.__name__
        tap.TESTS.append(run)
        return function
    return decorate


# ---- raw clients -----------------------------------------------------------------------------------------------------

UPGRADE = ("GET / HTTP/1.1\r\nHost: router\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n")
PROTOCOL = "Sec-WebSocket-Protocol: wamp.2.msgpack\r\n"


def connect(router, source=None, small=False):
    """TCP alone. `small`: with a small receive buffer."""
    plain = socket.socket()
    plain.settimeout(PATIENCE)
    if small:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.bind((source or next(ADDRESSES), 0))
    plain.connect(("127.0.0.1", router.port))
    return plain


def dial(router, source=None, small=False):
    """TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = connect(router, source, small)
    try:
        return context.wrap_socket(plain)
    except (ssl.SSLError, OSError):
        plain.close()
        raise


def is_refused(router, source):
    """Closed before TLS."""
    try:
        dial(router, source).close()
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def read_all(sock):
    out = b""
    try:
        while part := sock.recv(65536):
            out += part
    except (ConnectionError, ssl.SSLError):
        pass
    return out


def ask_http(router, request, source=None):
    """All that is answered until the router closes."""
    sock = dial(router, source)
    sock.sendall(request if isinstance(request, bytes) else request.encode())
    answer = read_all(sock)
    sock.close()
    return answer


def open_socket(router, source=None, protocol="wamp.2.msgpack", small=False, more=""):
    sock = dial(router, source, small)
    sock.sendall((UPGRADE + more + f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = sock.recv(4096)
        if not part:
            raise Failed("closed during the upgrade: " + repr(head))
        head += part
    tap.check(b" 101 " in head, repr(head))
    return sock


def frame(payload, opcode=2, fin=True, is_masked=True, reserved=0):
    return websocket.frame(opcode, payload, fin, reserved, is_masked)


def send_quietly(sock, data):
    """The router may be gone before it has read all of it."""
    try:
        sock.sendall(data)
    except (ConnectionError, ssl.SSLError):
        pass


def hear_end(sock):
    """What is said until the router closes: (messages, code of the close frame or None)."""
    out = b""
    try:
        while part := sock.recv(65536):
            out += part
            if any(opcode == 8 for opcode, _ in frames(out)):
                send_quietly(sock, frame(b"\x03\xe8", 8))
                break
    except (ConnectionError, ssl.SSLError):
        pass
    read_all(sock)
    sock.close()
    heard = frames(out)
    codes = [struct.unpack(">H", payload[:2])[0] for opcode, payload in heard if opcode == 8 and len(payload) >= 2]
    return [payload for opcode, payload in heard if opcode in (1, 2)], (codes[0] if codes else None)


def joined(router, source=None, small=False, serializer="wamp.2.msgpack"):
    """A raw socket with a session in the realm of the application."""
    sock = open_socket(router, source, serializer, small)
    sock.sendall(frame(pack([1, REALM, {"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}},
                                        "authmethods": ["anonymous"]}])))
    got = b""
    while not frames(got) or len(frames(got)[0][1]) < 20:
        part = sock.recv(65536)
        if not part:
            raise Failed("closed while joining")
        got += part
    tap.check(frames(got)[0][1][1] == 2, f"WELCOME, not {got!r}")
    return sock


def check_abort(sock, reason):
    """An ABORT with that reason, and the end."""
    messages, _ = hear_end(sock)
    tap.check(messages, "an ABORT, not nothing")
    last, _ = unpack(messages[-1])
    tap.check(last[0] == 3 and last[2] == reason, f"ABORT {reason}, not {last!r}")


def check_close(sock, code):
    _, got = hear_end(sock)
    tap.check(got == code, f"close {code}, not {got}")


def check_error(session, reason):
    """The next message is an ERROR with that URI."""
    message = session.expect(8)
    tap.check(message[4] == reason, f"{reason}, not {message!r}")


__all__ = ["ADDRESSES", "Bystander", "Failed", "PATIENCE", "PROTOCOL", "Process", "REALM", "Router", "Session", "UPGRADE", "ask_http",
           "base64", "case", "check_abort", "check_close", "check_error", "connect", "dial", "frame", "frames", "hear_end", "is_refused",
           "joined", "open_socket", "pack", "read_all", "send_quietly", "tap", "unpack"]
