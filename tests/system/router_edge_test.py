#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""warren-router at its edge: what a raw client gets that speaks TLS, HTTP, WebSocket or WAMP wrongly; and its signals."""
import json
import os
import re
import signal
import socket
import ssl
import struct

import tap
import websocket
from network import Failed, run
from websocket import frames

UPGRADE = ("GET / HTTP/1.1\r\nHost: router\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n")
PROTOCOL = "Sec-WebSocket-Protocol: wamp.2.msgpack\r\n"


def start(net, *lines, has_limits=False):
    """The router with more lines in its configuration; returns the process and its port."""
    router = net.path("router")
    if not os.path.exists(router):
        net.init()
    conf, extra = os.path.join(router, "router.conf"), os.path.join(router, "test.conf")
    with open(conf, encoding="ascii") as f:
        text = re.sub(r"(?m)^listen = .*$", "listen = 127.0.0.1:0", f.read())
    if has_limits:
        text = re.sub(r"(?m)^unlimited_networks = .*$", "", text)
    with open(extra, "w", encoding="ascii") as f:
        f.write(text + "".join(line + "\n" for line in lines))
    process = net.start("warren-router", [net.program("warren-router"), "--config", extra])
    line = process.wait_line(process.err, r"event=listening")
    return process, int(re.search(r"port=(\d+)", line).group(1))


def stop(process):
    process.process.send_signal(signal.SIGTERM)
    tap.check(process.wait() == 0, "SIGTERM ends it with status 0")


def dial(port, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    try:
        return context.wrap_socket(plain)
    except (ssl.SSLError, OSError):
        plain.close()
        raise


def read_all(sock):
    """Until the other side closes."""
    out = b""
    try:
        while True:
            part = sock.recv(65536)
            if not part:
                return out
            out += part
    except (ConnectionError, ssl.SSLError):
        return out


def read_until_closed(sock):
    """The same, answering a close frame: the router waits for that a while."""
    out = b""
    try:
        while part := sock.recv(65536):
            out += part
            if any(opcode == 8 for opcode, _ in frames(out)):
                sock.sendall(frame(b"\x03\xe8", 8))
                return out + read_all(sock)
    except (ConnectionError, ssl.SSLError):
        pass
    return out


def open_socket(port, protocol="wamp.2.msgpack"):
    sock = dial(port)
    sock.sendall((UPGRADE + f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = sock.recv(4096)
        if not part:
            raise Failed("closed during the upgrade: " + repr(head))
        head += part
    tap.check_in("101", head.decode().splitlines()[0])
    tap.check(f"protocol: {protocol.split(',')[0]}\r\n".lower() in head.decode().lower(), head.decode())
    return sock


def frame(payload, opcode=2, fin=True):
    return websocket.frame(opcode, payload, fin)


def say(port, *sent, protocol="wamp.2.msgpack"):
    """Everything that the router answers until it closes."""
    sock = open_socket(port, protocol)
    for one in sent:
        sock.sendall(one)
    answer = frames(read_until_closed(sock))
    sock.close()
    return answer


def check_abort(answer, reason):
    tap.check(answer and answer[0][0] == 2, f"a binary message first, not {answer!r}")
    tap.check(answer[0][1][1] == 3, "an ABORT")
    tap.check_in(reason.encode(), answer[0][1])


@tap.test
def only_tls_1_3_is_spoken(net):
    net.shared = start(net)
    port = net.shared[1]
    sock = dial(port)
    tap.check(sock.version() == "TLSv1.3", sock.version())
    sock.close()
    try:
        dial(port, ssl.TLSVersion.TLSv1_2).close()
    except (ssl.SSLError, OSError) as e:
        tap.check_in("PROTOCOL_VERSION", str(e).upper().replace(" ", "_"))
        return
    raise Failed("TLS 1.2 was accepted")


@tap.test
def other_protocols_get_nothing(net):
    port = net.shared[1]
    for what in ("GET / HTTP/1.1\r\nHost: router\r\n\r\n",
                 "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
                 UPGRADE + "\r\n",
                 UPGRADE + "Sec-WebSocket-Protocol: wamp.2.cbor\r\n\r\n",
                 (UPGRADE + PROTOCOL + "\r\n").replace("websocket", "h2c")):
        sock = dial(port)
        sock.sendall(what.encode())
        answer = read_all(sock)
        sock.close()
        tap.check(b" 101 " not in answer, f"{what!r} got {answer!r}")


@tap.test
def malformed_messages_are_told_so_and_closed(net):
    port = net.shared[1]
    for payload in (b"", b"\x94", b"\xdd\xff\xff\xff\xff", b"\x94\x30\x01\x80\xa2\xc3\x28", b"\x91" * 5000 + b"\xc0",
                    b"\x94\x30\x01\x80\xacnetwork.ping", b"\x95\x30\x01\x80\xa3a.b\xd4\x00\x00"):
        check_abort(say(port, frame(payload)), "wamp.error.protocol_violation")


def check_json_abort(answer, reason, text=None, batched=False):
    tap.check(answer and answer[0][0] == 1, f"a text message first, not {answer!r}")
    payload = answer[0][1]
    if batched:
        tap.check(payload.endswith(b"\x1e"), f"a separator behind it: {payload!r}")
        payload = payload[:-1]
    abort = json.loads(payload)
    tap.check(abort[0] == 3 and abort[2] == reason, f"ABORT {reason}, not {abort!r}")
    tap.check(json.dumps(abort, separators=(",", ":")).encode() == payload, f"compact: {payload!r}")
    if text:
        tap.check_in(text, abort[1]["message"])


@tap.test
def json_is_spoken_too(net):
    port = net.shared[1]
    realm = re.search(r"network=(\S+)", net.shared[0].wait_line(net.shared[0].err, r"event=listening")).group(1)
    for method, text in (("netsign", "netsign needs the sub-protocol wamp.2.msgpack"), ("dance", "authmethods")):
        hello = [1, realm, {"roles": {"caller": {}}, "agent": "caf\u00e9 \U0001f600", "authmethods": [method]}]
        for escaped in (True, False):
            one = json.dumps(hello, ensure_ascii=escaped).encode()
            check_json_abort(say(port, frame(one, 1), protocol="wamp.2.json"), "wamp.error.no_matching_auth_method", text)
            answer = say(port, frame(one + b"\x1e", 1), protocol="wamp.2.json.batched, wamp.2.json")
            check_json_abort(answer, "wamp.error.no_matching_auth_method", text, batched=True)
    hello = json.dumps([1, "elsewhere.example", {"roles": {}}]).encode()
    check_json_abort(say(port, frame(hello, 1), protocol="wamp.2.json"), "wamp.error.no_such_realm")


@tap.test
def malformed_json_is_told_so_and_closed(net):
    port = net.shared[1]
    for payload, text in ((b"", "byte 0: cut short"), (b"[1,", "byte 3: cut short"), (b"{}", "not an array"),
                          (b'[1,"\\ud800"]', "a lone surrogate"), (b"[NaN]", "byte 1: not a value"),
                          (b"[" * 33 + b"]" * 33, "nested too deep"), (b'[{"__proto__":1}]', "__proto__"),
                          (b'["\\u0000?"]', "not base64"), (b"[1.5]", "not a non-negative integer")):
        check_json_abort(say(port, frame(payload, 1), protocol="wamp.2.json"), "wamp.error.protocol_violation", text)


@tap.test
def each_sub_protocol_has_its_kind_of_message(net):
    port = net.shared[1]
    for protocol, opcode in (("wamp.2.msgpack", 1), ("wamp.2.msgpack.batched", 1),
                             ("wamp.2.json", 2), ("wamp.2.json.batched", 2)):
        answer = say(port, frame(b"[1]", opcode), protocol=protocol)
        tap.check(answer and answer[0][0] == 8 and answer[0][1][:2] == b"\x03\xeb", f"1003, not {answer!r}")
    bad = struct.pack(">I", 9) + b"\x94\x30"
    answer = say(port, frame(bad), protocol="wamp.2.msgpack.batched")
    tap.check(answer and answer[0][0] == 8 and answer[0][1][:2] == b"\x03\xef", f"1007, not {answer!r}")
    one = b"\x94\x30\x01\x80\xacnetwork.ping"
    answer = say(port, frame(struct.pack(">I", len(one)) + one), protocol="wamp.2.msgpack.batched")
    tap.check(answer and answer[0][0] == 2, f"a binary message first, not {answer!r}")
    length = struct.unpack(">I", answer[0][1][:4])[0]
    tap.check(length == len(answer[0][1]) - 4 and answer[0][1][5] == 3, f"an ABORT behind its length: {answer!r}")


@tap.test
def a_message_too_large_is_refused_before_it_came(net):
    port = net.shared[1]
    head = bytes([0x82, 0x80 | 127]) + struct.pack(">Q", 1 << 30) + b"\0\0\0\0" + b"x" * 10
    answer = say(port, head)
    tap.check(not any(opcode == 2 for opcode, _ in answer), f"no message for it: {answer!r}")
    for opcode, payload in answer:
        if opcode == 8:
            tap.check(struct.unpack(">H", payload[:2])[0] == 1009, f"close code of {answer!r}")


@tap.test
def who_does_not_prove_itself_is_closed(net):
    stop(net.shared[0])
    process, port = start(net, "handshake_timeout = 300ms")
    net.shared = process, port
    check_abort(say(port), "wamp.error.timeout")
    process.wait_line(process.err, r"event=refused .*state=greeting .*wamp\.error\.timeout")


@tap.test
def one_address_has_so_many_connections(net):
    stop(net.shared[0])
    process, port = start(net, "max_per_address = 3", "penalty_silence = 0s", "max_connection_rate = 0", has_limits=True)
    net.shared = process, port
    held = [open_socket(port) for _ in range(3)]
    try:
        open_socket(port)
    except (Failed, OSError, ssl.SSLError):
        pass
    else:
        raise Failed("a fourth connection was accepted")
    held.pop().close()
    for _ in range(300):  # until the router saw it close
        try:
            held.append(open_socket(port))
            break
        except (Failed, OSError, ssl.SSLError):
            pass
    tap.check(len(held) == 3, "room again after one left")
    for sock in held:
        sock.close()


@tap.test
def signals_reload_and_end_it(net):
    process, port = net.shared
    process.process.send_signal(signal.SIGHUP)
    process.wait_line(process.err, r"event=reloaded manifest=1")
    waiting = open_socket(port)
    process.process.send_signal(signal.SIGTERM)
    answer = frames(read_all(waiting))
    tap.check(answer and b"wamp.close.system_shutdown" in answer[0][1], f"goodbye first: {answer!r}")
    tap.check(process.wait() == 0, "status 0")


@tap.test
def one_folder_one_router(net):
    process, _ = start(net)
    second = run([net.program("warren-router"), "--config", net.path("router", "test.conf")], wanted=1)
    tap.check_in("another process uses this folder", second.stderr)
    stop(process)


@tap.test
def a_wrong_command_line_says_how(net):
    program = net.program("warren-router")
    for words, why in ((["init"], "init needs a folder and --host HOST:PORT"),
                       (["init", net.path("x"), "--host", "nowhere"], "--host: expected HOST:PORT"),
                       (["init", net.path("x"), "--host", "a:1", "--listen", "b"], "--listen: expected ADDRESS:PORT"),
                       (["accept", net.path("router")], "accept needs a folder"),
                       (["dance"], "no such verb"), ([], "what shall it do?"), (["--colour"], "usage:")):
        tap.check_in(why, run([program, *words], wanted=2).stderr)
    tap.check_in("handshake_timeout", run([program, "--help"]).stdout)
    tap.check_in("configuration: ok", run([program, "--check-config", "--config", net.path("router/router.conf")]).stdout)


tap.main(make=False)
