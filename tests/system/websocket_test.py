#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The WebSocket edge by RFC 6455, through the sub-protocol echo, over TLS and without: the cases of the known conformance suites
(framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, limits), and clients that others wrote."""
import asyncio
import os
import re
import ssl
import sys

import tap
from network import Failed, free_port, run
from websocket import BINARY, CLOSE, CONTINUE, PING, PONG, TEXT, Client, Gone, closing, frame

STATE = {}
MIB = 1024 * 1024


def start(net):
    """The ports by kind: "tls" and "plain"."""
    if "ports" in STATE:
        return STATE["ports"]
    net.init()
    ports = {"tls": net.port, "plain": free_port()}
    with open(net.path("router/router.conf"), encoding="ascii") as f:
        text = re.sub(r"(?m)^listen = .*$", f"listen = 127.0.0.1:{net.port}", f.read())
    with open(net.path("router/router.conf"), "w", encoding="ascii") as f:
        f.write(text + f"listen_plain = 127.0.0.1:{ports['plain']}\necho = yes\n")
    net.start_router()
    STATE["ports"] = ports
    return ports


def clients(net):
    for kind, port in start(net).items():
        client = Client(port, kind == "tls")
        tap.check_in("Sec-WebSocket-Protocol: echo", client.answer)
        yield client
        client.close()


def echoes(net, *sent, wanted=None, chop=None):
    """What is sent comes back as `wanted` (the same, when there is one frame), and a close is answered."""
    for client in clients(net):
        data = b"".join(sent)
        for at in range(0, len(data), chop or len(data) or 1):
            client.raw(data[at:at + (chop or len(data))])
        for one in wanted:
            got = client.message()
            tap.check(got == one, f"sent {data[:40]!r}: got {got[0]} {got[1][:60]!r} of {len(got[1])}, wanted {one[0]} {one[1][:60]!r}")
        client.send(CLOSE, closing(1000))
        tap.check(client.end() == [("close", 1000, b"")], "the close was not answered with its own code")


def fails(net, *sent, before=(), codes=(1002,), may_cut=False, may_wait=False, why=""):
    """The connection is failed with one of the codes (or, by 7.1.7, without a word); nothing but `before` is echoed.
    Who does not understand a frame may not see our answer in what follows, and cuts later."""
    for client in clients(net):
        client.raw(b"".join(sent))
        got = client.end()
        tap.check(got[:-1] == list(before), f"{why}: {sent[0][:20]!r}: echoed {got[:-1]}")
        if got[-1] == ("cut",) and may_cut:
            continue
        tap.check(got[-1][0] == "close" and got[-1][1] in codes, f"{why}: {sent[-1][:20]!r}: ended with {got[-1]}, wanted {codes}")
        if may_wait:
            continue
        client.send(CLOSE, closing(got[-1][1]))
        tap.check(client.is_gone(), "it stays open")


@tap.test
def messages_of_every_size_come_back_as_they_are(net):
    for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 100000):
        echoes(net, frame(TEXT, b"*" * size), wanted=[(TEXT, b"*" * size)])
        data = os.urandom(size)
        echoes(net, frame(BINARY, data), wanted=[(BINARY, data)])
    data = os.urandom(65536)
    echoes(net, frame(BINARY, data), wanted=[(BINARY, data)], chop=997)


@tap.test
def the_largest_message_comes_back_and_a_larger_one_does_not(net):
    for opcode in (TEXT, BINARY):
        echoes(net, frame(opcode, b"\x2a" * MIB), wanted=[(opcode, b"\x2a" * MIB)])
        parts = [frame(opcode if i == 0 else CONTINUE, b"x" * 4096, fin=i == 255) for i in range(256)]
        echoes(net, *parts, wanted=[(opcode, b"x" * MIB)])
        fails(net, frame(opcode, b"x" * (MIB + 1)), codes=(1009,), why="a byte too many")
        parts[-1] = frame(CONTINUE, b"x" * 4097)
        fails(net, *parts, codes=(1009,), why="a byte too many in fragments")


@tap.test
def many_messages_in_one_piece_come_back_in_their_order(net):
    texts = [f"number {i}".encode() for i in range(1000)]
    echoes(net, *(frame(TEXT, text) for text in texts), wanted=[(TEXT, text) for text in texts])


@tap.test
def pings_are_answered(net):
    for payload in (b"", b"Hello, world!", bytes([0, 255, 254, 253, 252, 251, 0, 255]), b"\xfe" * 125):
        echoes(net, frame(PING, payload), wanted=[(PONG, payload)])
    echoes(net, frame(PING, b"\xfe" * 125), wanted=[(PONG, b"\xfe" * 125)], chop=1)
    echoes(net, frame(PONG), frame(PONG, b"unsolicited"), frame(PING, b"a"), wanted=[(PONG, b"a")])
    for client in clients(net):  # one after the other: of several at once one may be answered alone (5.5.3)
        for i in range(10):
            client.send(PING, b"%d" % i)
            tap.check(client.message() == (PONG, b"%d" % i), "a ping is not answered")


@tap.test
def a_control_frame_is_short_and_whole(net):
    fails(net, frame(PING, b"x" * 126), may_cut=True, why="a ping of 126 bytes")
    fails(net, frame(PONG, b"x" * 126), may_cut=True, why="a pong of 126 bytes")
    fails(net, frame(CLOSE, closing(1000, b"x" * 124)), may_cut=True, why="a close of 126 bytes")
    fails(net, frame(PING, b"frag", fin=False), frame(CONTINUE, b"ment"), why="a fragmented ping")
    fails(net, frame(PONG, b"frag", fin=False), frame(CONTINUE, b"ment"), why="a fragmented pong")


@tap.test
def reserved_bits_are_refused(net):
    for rsv in range(1, 8):
        for opcode in (TEXT, BINARY, PING, CLOSE):
            fails(net, frame(opcode, b"" if opcode == CLOSE else b"abc", rsv=rsv), may_wait=True, why=f"opcode {opcode} with RSV {rsv}")
    hello = frame(TEXT, b"Hello")
    fails(net, hello, frame(TEXT, b"x", rsv=4), before=[(TEXT, b"Hello")], may_wait=True, why="RSV after a message")


@tap.test
def reserved_opcodes_are_refused(net):
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        fails(net, frame(opcode), why=f"opcode {opcode}")
        fails(net, frame(opcode, b"reserved"), why=f"opcode {opcode}")
        fails(net, frame(TEXT, b"Hello"), frame(opcode, b"x"), frame(PING), before=[(TEXT, b"Hello")], why=f"opcode {opcode}")


@tap.test
def fragments_become_one_message(net):
    hello = [(TEXT, b"fragment1fragment2")]
    parts = frame(TEXT, b"fragment1", fin=False), frame(CONTINUE, b"fragment2")
    echoes(net, *parts, wanted=hello)
    echoes(net, *parts, wanted=hello, chop=1)
    echoes(net, parts[0], frame(PING, b"ping"), parts[1], wanted=[(PONG, b"ping"), *hello])
    echoes(net, parts[0], frame(PING, b"ping"), parts[1], wanted=[(PONG, b"ping"), *hello], chop=1)
    echoes(net, frame(TEXT, b"", fin=False), frame(CONTINUE, b"", fin=False), frame(CONTINUE), wanted=[(TEXT, b"")])
    echoes(net, frame(BINARY, b"", fin=False), frame(CONTINUE, b"middle", fin=False), frame(CONTINUE), wanted=[(BINARY, b"middle")])
    many = [frame(BINARY if i == 0 else CONTINUE, bytes([i]), fin=i == 99) for i in range(100)]
    echoes(net, *many, wanted=[(BINARY, bytes(range(100)))])


@tap.test
def fragments_out_of_place_are_refused(net):
    fails(net, frame(CONTINUE, b"x"), frame(TEXT, b"Hello"), why="continues nothing")
    fails(net, frame(CONTINUE, b"x", fin=False), frame(TEXT, b"Hello"), why="continues nothing")
    fails(net, frame(TEXT, b"Hello"), frame(CONTINUE, b"x"), before=[(TEXT, b"Hello")], why="continues what is whole")
    fails(net, frame(TEXT, b"one", fin=False), frame(TEXT, b"two"), why="a text within a text")
    fails(net, frame(TEXT, b"one", fin=False), frame(BINARY, b"two", fin=False), why="binary within a text")


VALID = ("Hello-µ@ßöäüàá-UTF-8!!".encode(), "κόσμε".encode(), b"\x00", b"\x7f", b"\xc2\x80", b"\xdf\xbf", b"\xe0\xa0\x80", b"\xef\xbf\xbf",
         b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xef\xbf\xbe", b"\xef\xbb\xbf",
         b"\xf0\x9f\xbf\xbe", b"\xf3\xbf\xbf\xbf")
INVALID = (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\x80", b"\xbf", b"\x80\xbf\x80", b"\xc0\x20", b"\xc1\x81",
           b"\xe0\x20", b"\xf0\x20", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xc0\xaf",
           b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc0\x80", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
           b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80")
CUT_SHORT = (b"\xc3", b"\xe0\xa0", b"\xf0\x90\x80", b"abc\xe2\x82", b"\xce\xba\xe1\xbd")


@tap.test
def text_is_utf8(net):
    for text in VALID:
        echoes(net, frame(TEXT, text), wanted=[(TEXT, text)])
        parts = [frame(TEXT if i == 0 else CONTINUE, text[i:i + 1], fin=i == len(text) - 1) for i in range(len(text))]
        echoes(net, *parts, wanted=[(TEXT, text)])
        echoes(net, frame(TEXT, text), wanted=[(TEXT, text)], chop=1)
    for text in INVALID + CUT_SHORT:
        fails(net, frame(TEXT, text), codes=(1007,), why=f"invalid UTF-8 {text!r}")
        fails(net, frame(TEXT, b"Hello" + text[:1], fin=False), frame(CONTINUE, text[1:] + b""), codes=(1007,), why=f"in fragments {text!r}")
        echoes(net, frame(BINARY, text), wanted=[(BINARY, text)])


@tap.test
def invalid_text_is_refused_before_its_message_is_whole(net):
    for text in INVALID:
        fails(net, frame(TEXT, b"Hello" + text + b"    ", fin=False), codes=(1007,), why=f"fail fast {text!r}")
    for client in clients(net):  # within one frame, the rest of which never comes
        client.raw(frame(TEXT, b"\xce\xba\xed\xa0\x80" + b"e" * 5000)[:3000])
        got = client.end()
        tap.check(got[-1][:2] == ("close", 1007), f"within a frame: {got}")


@tap.test
def a_close_is_answered_with_its_code(net):
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        for client in clients(net):
            client.send(CLOSE, closing(code, "gründe".encode()))
            got = client.end()
            tap.check(len(got) == 1 and got[0][:2] == ("close", code), f"{code}: {got}")
            tap.check(client.is_gone(), "it stays open")
    for client in clients(net):
        client.send(CLOSE)
        got = client.end()
        tap.check(len(got) == 1 and got[0][0] == "close" and got[0][1] in (1000, 1005), f"an empty one: {got}")
    for client in clients(net):
        client.send(CLOSE, closing(1000, b"x" * 123))
        tap.check(client.end()[0][:2] == ("close", 1000), "the longest reason")


@tap.test
def nothing_is_answered_after_a_close(net):
    for client in clients(net):
        client.raw(frame(CLOSE, closing(1000)) + frame(TEXT, b"late") + frame(PING, b"late") + frame(CLOSE, closing(1000)))
        got = client.end()
        tap.check(len(got) == 1 and got[0][:2] == ("close", 1000), f"{got}")
    for client in clients(net):  # within a message that never ends
        client.raw(frame(TEXT, b"never", fin=False) + frame(CLOSE, closing(1000)))
        got = client.end()
        tap.check(len(got) == 1 and got[0][:2] == ("close", 1000), f"{got}")


@tap.test
def a_bad_close_is_refused(net):
    for code in (0, 999, 1004, 1005, 1006, 1012, 1013, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        wanted = (1002, code) if code in (1012, 1013, 1014) else (1002,)  # registered since RFC 6455
        fails(net, frame(CLOSE, closing(code)), codes=wanted, why=f"close with {code}")
    fails(net, frame(CLOSE, b"\x03"), may_cut=True, why="half a code")
    fails(net, frame(CLOSE, closing(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")), codes=(1002, 1007), may_cut=True, why="a reason that is no UTF-8")


@tap.test
def a_client_that_others_wrote_gets_its_echo(net):
    """Debian's python3-websockets."""
    ports = start(net)
    try:
        import websockets
    except ImportError as e:
        raise tap.Skip("python3-websockets is not installed") from e
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def talk(url, **more):
        async with websockets.connect(url, subprotocols=["echo"], max_size=2 * MIB, compression="deflate", **more) as client:
            tap.check(client.subprotocol == "echo", f"sub-protocol {client.subprotocol}")
            for message in ("grüße", b"\x00\xff" * 1000, "x" * MIB, os.urandom(MIB), "", b""):
                await client.send(message)
                tap.check(await client.recv() == message, "another message came back")
            await client.send([b"in", b"three", b"fragments"])
            tap.check(await client.recv() == b"inthreefragments", "fragments")
            await asyncio.wait_for(await client.ping(), 30)
        tap.check(client.close_code == 1000, f"closed with {client.close_code}")

    asyncio.run(talk(f"wss://127.0.0.1:{ports['tls']}", ssl=context))
    asyncio.run(talk(f"ws://127.0.0.1:{ports['plain']}"))


@tap.test
def without_its_name_there_is_no_echo(net):
    for protocol in ("chat", "ECHO", "http"):
        try:
            client = Client(start(net)["plain"], protocol=protocol)
            tap.check(" 101 " not in client.answer, f"{protocol}: {client.answer}")
        except Gone:
            pass


@tap.test
def where_others_can_reach_it_echo_is_refused(net):
    start(net)
    with open(net.path("router/router.conf"), encoding="ascii") as f:
        text = f.read()
    for address in ("*", "0.0.0.0", "[::]", "192.0.2.1"):
        with open(net.path("router/exposed.conf"), "w", encoding="ascii") as f:
            f.write(re.sub(r"(?m)^listen = .*$", f"listen = {address}:443", text))
        for words in (["--check-config"], []):
            done = run([net.program("warren-router"), *words, "--config", net.path("router/exposed.conf")], wanted=1)
            tap.check_in("echo: served on loopback alone", done.stderr)


tap.main(name="echo.warren", make=False)
