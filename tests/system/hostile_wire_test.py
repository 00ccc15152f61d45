#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile clients on the wire: frames and messages that no honest program sends. Each offender is told its own word and closed;
somebody else's calls go on; the router counts."""
import ctypes
import itertools
import json
import os
import select
import signal
import socket
import ssl
import struct
import threading
import time

from hostile import (Failed, PROTOCOL, REALM, Router, UPGRADE, case, check_abort, check_close, connect, frame, frames, hear_end, joined,
                     open_socket, pack, send_quietly, tap, unpack)

VIOLATION = "wamp.error.protocol_violation"
CALL = [48, 1, {}, "nobody.there"]


@tap.test
def a_router_with_its_limits(net):
    net.router = Router(net, "stall_timeout = 10s", "handshake_timeout = 8s", "max_queue = 2MiB", "max_fragments = 100",
                        "max_control_rate = 16KiB")


# ---- sizes -----------------------------------------------------------------------------------------------------------

@case(limit="max_message_before")
def a_message_before_authentication_is_short(router):
    sock = open_socket(router)
    send_quietly(sock, frame(b"\x94" + b"\0" * 16384))
    check_close(sock, 1009)


@case(limit="max_message_before")
def a_length_of_exabytes_is_refused_by_its_header(router):
    sock = open_socket(router)
    sock.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 62) + b"\0\0\0\0")
    sock.sendall(b"x")
    check_close(sock, 1009)


@case(limit="max_message")
def a_message_of_more_than_a_mebibyte_is_refused(router):
    sock = joined(router)
    sock.sendall(b"\x82\xff" + struct.pack(">Q", (1 << 20) + 1) + b"\0\0\0\0" + b"x" * 10)
    check_close(sock, 1009)


@case(limit="max_message")
def fragments_do_not_add_up_to_more(router):
    sock = joined(router)
    send_quietly(sock, frame(b"x" * 700000, fin=False) + frame(b"x" * 400000, opcode=0))
    check_close(sock, 1009)


@case()
def a_message_of_a_mebibyte_is_carried(router):
    one = router.session()
    one.register("wire.big")
    body = "x" * ((1 << 20) - 100)
    request = one.ask(48, {}, "wire.big", [body])
    invocation = one.expect(68)
    tap.check(invocation[4] == [body], "whole")
    one.send([70, invocation[1], {}, [1]])
    tap.check(one.expect(50)[1] == request, "answered")
    one.close()


@case(limit="max_fragments")
def a_flood_of_fragments_ends(router):
    sock = joined(router)
    send_quietly(sock, frame(b"\x94", fin=False) + frame(b"\0", opcode=0, fin=False) * 200)
    check_close(sock, 1008)


@case(limit="max_fragments")
def a_flood_of_empty_fragments_ends(router):
    sock = joined(router)
    send_quietly(sock, frame(b"", fin=False) + frame(b"", opcode=0, fin=False) * 200)
    check_close(sock, 1008)


@case(limit="max_control_rate")
def a_flood_of_pings_ends(router):
    sock = joined(router)
    for _ in range(200):
        send_quietly(sock, frame(b"", opcode=9) * 500)
    check_close(sock, 1008)


@case(limit="max_control_rate")
def a_flood_of_pongs_before_authentication_ends(router):
    sock = open_socket(router)
    for _ in range(50):
        send_quietly(sock, frame(b"x" * 125, opcode=10) * 200)
    check_close(sock, 1008)


@case()
def an_honest_ping_is_answered(router):
    sock = joined(router)
    sock.sendall(frame(b"hello", opcode=9))
    heard = frames(sock.recv(4096))
    tap.check((10, b"hello") in heard, repr(heard))
    sock.close()


# ---- slowness --------------------------------------------------------------------------------------------------------

@case(limit="stall_timeout")
def a_message_that_does_not_end_is_given_up(router):
    sock = joined(router)
    whole = frame(b"\x94" + b"\0" * 500000)
    sock.sendall(whole[:300000])
    check_close(sock, 1008)


@case(limit="stall_timeout")
def nor_does_one_that_comes_byte_by_byte(router):
    sock = joined(router)
    sock.sendall(frame(b"\x94", fin=False))
    sock.settimeout(0.5)
    heard, until = b"", time.monotonic() + 60
    while not any(opcode == 8 for opcode, _ in frames(heard)):
        tap.check(time.monotonic() < until, "still open")
        send_quietly(sock, frame(b"\0", opcode=0, fin=False))
        try:
            part = sock.recv(4096)
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError):
            break
        heard += part
        if not part:
            break
    codes = [payload[:2] for opcode, payload in frames(heard) if opcode == 8]
    tap.check(codes == [b"\x03\xf0"], f"1008, not {heard!r}")
    sock.close()


def stuff(router, topic, n, size):
    """Publishes to a listener that does not read."""
    publisher = router.session()
    for _ in range(n):
        publisher.ask(16, {"acknowledge": True}, topic, ["x" * size])
        publisher.expect(17)
    publisher.close()


@case(limit="slow_reader", log=r"event=left .*too slow")
def whoever_does_not_read_is_cut(router):
    sock = joined(router, small=True)
    sock.sendall(frame(pack([32, 1, {}, "wire.news"])))
    time.sleep(0.2)
    stuff(router, "wire.news", 200, 50000)  # those that do not fit are dropped
    router.wait_count("slow_reader", 1)
    sock.close()


@case(limit="max_queue", log=r"event=left .*too slow")
def a_queue_has_an_end(router):
    sock = joined(router, small=True)
    try:  # its own errors fill it
        for request in range(1, 3000):
            sock.sendall(frame(pack([48, request, {}, "nobody.there.at.all." + "x" * 200])))
            if request % 100 == 0 and router.count("max_queue"):
                break
        for request in range(3000, 60000, 50):
            sock.sendall(b"".join(frame(pack([48, n, {}, "nobody." + "x" * 200])) for n in range(request, request + 50)))
    except (ConnectionError, ssl.SSLError):
        pass
    sock.close()


@case(limit="slow_callee")
def calls_to_whoever_does_not_read_are_refused(router):
    sock = joined(router, small=True)
    sock.sendall(frame(pack([64, 1, {}, "wire.slow"])))
    time.sleep(0.2)
    callers = [router.session() for _ in range(3)]
    answers = []
    for caller in callers:
        for _ in range(60):
            caller.ask(48, {"timeout": 2000}, "wire.slow", ["x" * 100000])
        answers += [caller.expect(8)[4] for _ in range(60)]
        caller.close()
    tap.check("wamp.error.unavailable" in answers, repr(set(answers)))
    sock.close()


@case(limit="slow_caller")
def results_for_whoever_does_not_read_are_not_left_out_in_silence(router):
    callee, before = router.session(), router.count("slow_caller")
    callee.ask(64, {}, "wire.stream")
    callee.expect(65)
    sock = joined(router, small=True)
    sock.sendall(frame(pack([48, 1, {"receive_progress": True}, "wire.stream"])))
    invocation = callee.expect(68)[1]
    for n in range(200):
        callee.send([70, invocation, {"progress": True}, [n, "x" * 100000]])
    callee.send([70, invocation, {}, ["all"]])
    router.wait_count("slow_caller", before + 1)
    sock.sendall(frame(pack([6, {}, "wamp.close.normal"])))
    messages = [unpack(m)[0] for m in hear_end(sock)[0]][:-1]
    parts = [m[3][0] for m in messages if m[0] == 50]
    tap.check(parts == list(range(len(parts))), "in order, none is missing in between")
    tap.check(messages[-1][0] == 8 and messages[-1][4] == "network.error.slow_caller", f"the last: {messages[-1]!r:.200}")
    callee.close()


# ---- frames that may not be ------------------------------------------------------------------------------------------

@case()
def text_on_a_binary_protocol_is_1003(router):
    sock = joined(router)
    sock.sendall(frame(b"[1]", opcode=1))
    check_close(sock, 1003)


@case()
def frames_that_rfc_6455_forbids_end_the_connection(router):
    for bad in (frame(b"x", opcode=3), frame(b"x", opcode=11), frame(b"x", reserved=4), frame(b"x", reserved=1),
                frame(b"x", opcode=9, fin=False), b"\x89\xfe\x00\x80" + b"\0" * 132, frame(b"x", opcode=0)):
        sock = joined(router)
        sock.sendall(bad + frame(pack(CALL)))
        messages, _ = hear_end(sock)
        tap.check(not messages, f"{bad[:8]!r}: {messages!r}")


class Records:
    """A client that says where TLS records end, and sends many in one go."""

    def __init__(self, router):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.plain, self.came, self.out = connect(router), ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.out)
        self.wait(self.tls.do_handshake)

    def wait(self, what):
        while True:
            try:
                return what()
            except ssl.SSLWantReadError:
                self.plain.sendall(self.out.read())
                part = self.plain.recv(65536)
                if not part:
                    raise Failed("the router closed") from None
                self.came.write(part)

    def send(self, *records):
        for record in records:
            self.tls.write(record)
        self.plain.sendall(self.out.read())

    def hear(self, n):
        """So many messages."""
        out = b""
        while True:
            heard = frames(out)
            tap.check(all(opcode == 2 for opcode, _ in heard), f"closed after {len(heard)}: {heard[-1:]!r}")
            if len(heard) >= n:
                return [unpack(payload)[0] for _, payload in heard]
            out += self.wait(lambda: self.tls.read(65536))
            if b"\r\n\r\n" in out:
                out = out.split(b"\r\n\r\n", 1)[1]


FIRST_WORD = [1, REALM, {"roles": {"caller": {}, "subscriber": {}}, "authmethods": ["anonymous"]}]
HELLO = frame(pack(FIRST_WORD))
HELLOS = {"wamp.2.msgpack": HELLO, "wamp.2.json": frame(json.dumps(FIRST_WORD).encode(), opcode=1)}
REQUEST = (UPGRADE + PROTOCOL + "\r\n").encode()


@case()
def records_of_one_byte_are_put_together(router):
    client, n = Records(router), 300
    client.send(REQUEST)
    client.wait(lambda: client.tls.read(65536))
    client.send(HELLO)
    client.hear(1)
    calls = b""
    for i in range(1, n + 1):
        call = pack([48, i, {}, "nobody.there"])
        calls += frame(call[:7], fin=False) + frame(call[7:], opcode=0) if i % 3 == 0 else frame(call)
    client.send(*(calls[i:i + 1] for i in range(len(calls))))
    tap.check([answer[2] for answer in client.hear(n)] == list(range(1, n + 1)), "each once, in their order")
    client.plain.close()


@case()
def what_comes_with_the_request_comes_first(router):
    client = Records(router)
    client.send(REQUEST + HELLO, frame(pack(CALL)))
    tap.check([answer[0] for answer in client.hear(2)] == [2, 8], "WELCOME and ERROR")
    client.plain.close()


class KeyUpdates:
    """A client that changes its TLS keys as often as it likes: Python's ssl has no word for that, OpenSSL has."""

    def __init__(self, router, protocol="wamp.2.msgpack"):
        self.lib = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_s_mem", "BIO_new"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.lib.SSL_CTX_new(ctypes.c_void_p(self.lib.TLS_client_method())))
        self.tls = ctypes.c_void_p(self.lib.SSL_new(self.context))
        self.came, self.out = (ctypes.c_void_p(self.lib.BIO_new(ctypes.c_void_p(self.lib.BIO_s_mem()))) for _ in range(2))
        self.lib.SSL_set_bio(self.tls, self.came, self.out)
        self.plain = connect(router, small=True)
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.heard = b""
        self.wait(lambda: self.lib.SSL_connect(self.tls) == 1)
        self.write(f"{UPGRADE}Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode())
        self.hear(lambda: b"\r\n\r\n" in self.heard)
        self.heard = b""
        self.write(HELLOS[protocol])
        self.hear(lambda: frames(self.heard))

    def free(self):
        self.plain.close()
        self.lib.SSL_free(self.tls)
        self.lib.SSL_CTX_free(self.context)

    def records(self):
        """What is to be sent."""
        piece, out = ctypes.create_string_buffer(65536), b""
        while (n := self.lib.BIO_read(self.out, piece, len(piece))) > 0:
            out += piece.raw[:n]
        return out

    def wait(self, is_over):
        while not is_over():
            self.plain.sendall(self.records())
            part = self.plain.recv(65536)
            if not part:
                raise Failed(f"the router closed; heard last: {self.heard[-200:]!r}")
            self.lib.BIO_write(self.came, part, len(part))
        self.plain.sendall(self.records())

    def read(self):
        piece = ctypes.create_string_buffer(65536)
        while (n := self.lib.SSL_read(self.tls, piece, len(piece))) > 0:
            self.heard += piece.raw[:n]

    def hear(self, is_enough):
        self.wait(lambda: self.read() or is_enough())

    def write(self, data):
        tap.check(self.lib.SSL_write(self.tls, data, len(data)) == len(data), "OpenSSL writes")
        self.plain.sendall(self.records())

    def update(self, n, is_answer_wanted):
        """So many KeyUpdates, as they go over the wire."""
        for _ in range(n):
            tap.check(self.lib.SSL_key_update(self.tls, int(is_answer_wanted)) == 1 and self.lib.SSL_do_handshake(self.tls) == 1, "KeyUpdate")
        return self.records()


@case(limit="max_control_rate", least=4, log=r"event=left .*too many control frames")
def a_flood_of_key_updates_ends(router):
    """OpenSSL takes them for itself, inside one read. The router finds the flood and somebody's call at once: it answers the
    call before it is through with the flood."""
    for protocol, is_answer_wanted in itertools.product(("wamp.2.msgpack", "wamp.2.json"), (False, True)):
        client, other, before = KeyUpdates(router, protocol), router.session(), router.count("max_control_rate")
        sender = threading.Thread(target=send_quietly, args=(client.plain, client.update(40000, is_answer_wanted)), daemon=True)
        os.kill(router.process.process.pid, signal.SIGSTOP)
        try:
            sender.start()
            while select.select([], [client.plain], [], 0.1)[1]:
                pass  # there is room for more
            other.ask(48, {}, "nobody.there")
        finally:
            os.kill(router.process.process.pid, signal.SIGCONT)
        other.expect(8)
        tap.check(sender.is_alive(), "the call was answered while the flood went on")
        router.wait_count("max_control_rate", before + 1)
        sender.join()
        other.close()
        client.free()


@case()
def close_frames_of_any_kind_end_it(router):
    for payload in (b"", b"\x03", b"\x03\xe8bye", b"\x03\xed", b"\x00\x00", b"\x03\xe8\xff\xfe"):
        sock = joined(router)
        sock.sendall(frame(payload, opcode=8))
        hear_end(sock)


@case()
def frames_without_a_mask_harm_nobody(router):
    """They break RFC 6455, 5.1; the library does not tell. What they carry is judged like everything else."""
    sock = joined(router)
    sock.sendall(frame(pack(CALL), is_masked=False))
    sock.sendall(frame(pack([77])))
    check_abort(sock, VIOLATION)


# ---- messages that may not be ----------------------------------------------------------------------------------------

def each_is_a_violation(router, bad, is_joined=True):
    for one in bad:
        sock = (joined if is_joined else open_socket)(router)
        sock.sendall(frame(one))
        check_abort(sock, VIOLATION)


def call_with(tail):
    """A CALL with that as its only argument, raw."""
    return b"\x95\x30\x01\x80\xa7app.any\x91" + tail


@case(log=r"event=(closed|refused) .*nested too deep")
def two_hundred_arrays_in_one_another_are_refused(router):
    each_is_a_violation(router, [call_with(b"\x91" * 200 + b"\xc0"), call_with(b"\x81\xa1a" * 200 + b"\xc0"), b"\x91" * 200 + b"\xc0"])


@case()
def keys_that_are_no_text_are_refused(router):
    each_is_a_violation(router, [call_with(b"\x81\x01\xc0"), call_with(b"\x81\xc4\x01a\xc0"), call_with(b"\x81\xc0\xc0"),
                                 call_with(b"\x81\x90\xc0")])


@case()
def the_key_proto_is_refused(router):
    each_is_a_violation(router, [call_with(b"\x81\xa9__proto__\x80"), b"\x96\x30\x01\x80\xa7app.any\x90\x81\xa9__proto__\x80",
                                 b"\x94\x30\x01\x81\xa9__proto__\x80\xa7app.any"])


@case()
def a_key_twice_in_options_is_refused(router):
    each_is_a_violation(router, [b"\x94\x30\x01\x82\xa7timeout\x01\xa7timeout\x02\xa7app.any"])


@case()
def text_that_is_no_utf_8_is_refused(router):
    each_is_a_violation(router, [call_with(text) for text in (b"\xa2\xc3\x28", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80", b"\xa4\xf4\x90\x80\x80",
                                                              b"\xa1\x80", b"\xa3\xe2\x82\x28")])


@case()
def extension_types_are_refused(router):
    each_is_a_violation(router, [call_with(b"\xd4\x00\x00"), call_with(b"\xd6\xff\0\0\0\0"), call_with(b"\xc7\x01\x05x"),
                                 call_with(b"\xc9\x00\x00\x00\x01\x05x"), call_with(b"\xc1")])


@case()
def counts_that_promise_too_much_are_refused(router):
    bad = [b"\xdd\x05\xf5\xe1\x00", b"\xdf\xff\xff\xff\xff", call_with(b"\xdb\xff\xff\xff\xff"), call_with(b"\xc6\xff\xff\xff\xff"),
           call_with(b"\xdd\xff\xff\xff\xff"), b"\x94\x30\x01\x80", b"", b"\x00", b"\x80"]
    each_is_a_violation(router, bad)
    each_is_a_violation(router, bad, is_joined=False)


@case()
def requests_out_of_order_are_refused(router):
    for second in (5, 4):
        sock = joined(router)
        sock.sendall(frame(pack([32, 5, {}, "a.b"])) + frame(pack([32, second, {}, "a.c"])))
        check_abort(sock, VIOLATION)


@case()
def messages_of_the_wrong_hour_are_refused(router):
    each_is_a_violation(router, [pack(m) for m in (CALL, [5, "x", {}], [6, {}, "wamp.close.normal"], [2, 1, {}], [70, 1, {}], [300, 1])],
                        is_joined=False)
    each_is_a_violation(router, [pack(m) for m in ([1, "x", {"roles": {}}], [5, "x", {}], [70, 9, {}], [36, 1, 1, {}], [300, 1], [8, 1, 1, {}, "a.b"])])


@case()
def what_nobody_may_say_reaches_nobody(router):
    """A callee is there: nothing of what is refused comes to it."""
    callee = router.session()
    callee.register("wire.guarded")
    for tail in (b"\x91" * 40 + b"\xc0" , b"\xd4\x00\x00", b"\x81\x01\xc0", b"\xa2\xc3\x28", b"\x81\xa9__proto__\x80"):
        sock = joined(router)
        sock.sendall(frame(b"\x95\x30\x01\x80\xacwire.guarded\x91" + tail))
        check_abort(sock, VIOLATION)
    honest = router.session()
    honest.ask(48, {}, "wire.guarded", ["honest"])
    tap.check(callee.expect(68)[4] == ["honest"], "the first that came")
    callee.close()
    honest.close()


@case()
def batches_are_looked_at_whole(router):
    one = pack([48, 1, {}, "nobody.there"])
    for bad in (struct.pack(">I", 0xffffffff) + b"x", struct.pack(">I", 9) + b"\x94", struct.pack(">I", 0), b"",
                struct.pack(">I", len(one)) + one + b"\0", (struct.pack(">I", 1) + b"\x90") * 5000):
        sock = open_socket(router, protocol="wamp.2.msgpack.batched")
        sock.sendall(frame(bad))
        messages, code = hear_end(sock)
        tap.check(code in (1007, 1009) and not messages, f"{bad[:9]!r}: {code} {messages!r}")


@case()
def every_strict_prefix_of_a_message_is_refused(router):
    whole = pack([48, 1, {"timeout": 5}, "a.b", [1, "x", b"\0", 1.5, None, [True]], {"k": {"l": -1}}])
    unpack(whole)
    each_is_a_violation(router, [whole[:n] for n in range(1, len(whole), 3)])


@tap.test
def the_router_lived_through_it(net):
    net.router.stop()


tap.main(make=False)
