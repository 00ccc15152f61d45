#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""messages that are too large, too deep, or no messages: each is closed at once, and costs nothing"""
import json
import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
import hostile
from hostile import Router, frame, frames, joined, open_socket, pack

drill = Drill("R11", "oversized and deep messages")


def peak(router):
    with open(f"/proc/{router.process.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmPeak"))


def call_with(tail):
    return b"\x95\x30\x01\x80\xa7app.any\x91" + tail


def deep(n):
    return call_with(b"\x91" * (n - 2) + b"\xc0")


# name, bytes on the wire, what is said: a close code, or the URI of an ABORT before 1000
HOSTILE = [
    ("a length of 2^62", b"\x82\xff" + struct.pack(">Q", 1 << 62) + b"\0\0\0\0x", 1009),
    ("a length of 1 MiB and a byte", b"\x82\xff" + struct.pack(">Q", (1 << 20) + 1) + b"\0\0\0\0x", 1009),
    ("fragments over 1 MiB", frame(b"x" * 900000, fin=False) + frame(b"x" * 200000, opcode=0)[:20], 1009),
    ("2 000 empty fragments", frame(b"", fin=False) + frame(b"", opcode=0, fin=False) * 2000, 1008),
    ("text", frame(b"[1]", opcode=1), 1003),
] + [(name, frame(message), "wamp.error.protocol_violation") for name, message in (
    ("array32 of 100 000 000", b"\xdd\x05\xf5\xe1\x00"), ("map32 of 2^32-1", b"\xdf\xff\xff\xff\xff"),
    ("bin32 of 4 GiB inside", call_with(b"\xc6\xff\xff\xff\xff")), ("str32 of 4 GiB inside", call_with(b"\xdb\xff\xff\xff\xff")),
    ("array32 of 2^32-1 inside", call_with(b"\xdd\xff\xff\xff\xff")), ("33 deep", deep(33)), ("200 deep", deep(200)), ("1 000 000 deep", b"\x91" * 1000000),
    ("ext 8", call_with(b"\xc7\x01\x05x")), ("fixext 1", call_with(b"\xd4\x00\x00")), ("timestamp", call_with(b"\xd6\xff\0\0\0\0")), ("c1", call_with(b"\xc1")),
    ("a key twice in options", b"\x94\x30\x01\x82\xa7timeout\x01\xa7timeout\x02\xa7app.any"), ("a key that is a number", call_with(b"\x81\x01\xc0")),
    ("__proto__", call_with(b"\x81\xa9__proto__\xc0")), ("no UTF-8", call_with(b"\xa2\xc3\x28")), ("1 MB of nil, not an array", b"\xc0" * 1000000),
)]


def time_to_close(router, message):
    """(ms until the close frame or the ABORT came, close code, everything)"""
    sock = joined(router)
    began = time.monotonic()
    hostile.send_quietly(sock, message)
    sent = time.monotonic()
    out, told = b"", None
    while not any(opcode == 8 for opcode, _ in frames(out)):
        try:
            part = sock.recv(65536)
        except OSError:
            break
        if not part:
            break
        told = told or time.monotonic()
        out += part
    sock.close()
    codes = [struct.unpack(">H", p[:2])[0] for opcode, p in frames(out) if opcode == 8 and len(p) >= 2]
    return ((told or time.monotonic()) - (sent if len(message) > 100000 else began)) * 1000, codes, out


def violations(router):
    slowest, growth, wrong = 0.0, 0, []
    warm = joined(router)  # a lawful one: what TLS and the allocator take once is nobody's attack
    hostile.send_quietly(warm, frame(call_with(b"\xc5\xff\xff" + b"x" * 65535)))
    warm.recv(65536)
    warm.close()
    for name, message, said in HOSTILE:
        times = []
        for _ in range(5):
            before = peak(router)
            ms, codes, out = time_to_close(router, message)
            times.append(ms)
            grown = peak(router) - before
            growth = max(growth, grown)
            if grown > 1024:
                drill.say(f"{name}: VmPeak + {grown} KiB")
            if not (said in codes if isinstance(said, int) else said.encode() in out):
                wrong.append(f"{name}: {codes} {out[:80]!r}")
        median = sorted(times)[2]
        slowest = max(slowest, median)
        if median > 10:
            drill.say(f"{name}: {median:.1f} ms")
    drill.require(f"{len(HOSTILE)} violations, 5 times each, are told their own word", not wrong, "all" if not wrong else "; ".join(wrong[:3]))
    drill.measure("the slowest of them is told (median of 5)", slowest, "ms", at_most=10)
    drill.measure("VmPeak grows for the worst frame", growth, "KiB", at_most=1024)


def suite():
    folder = os.environ.get("WARREN_VECTORS")
    path = os.path.join(folder, "msgpack", "msgpack-test-suite.json") if folder else None
    if not path or not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return [(group, value) for group, values in json.load(f).items() for value in values]


def same(got, value):
    if "bignum" in value:
        return got == int(value["bignum"])
    kind = next(key for key in value if key != "msgpack")
    wanted = value[kind]
    if kind == "binary":
        return got == bytes.fromhex(wanted.replace("-", ""))
    return got == wanted and (not isinstance(wanted, bool) or got is wanted)


def has_other_keys(value):
    return isinstance(value, dict) and "ext" not in value and any(not isinstance(k, str) for k in value)


def round_trips(router):
    """Through the router and back, each encoding as the only argument; a reader of its own looks at what arrived."""
    values = suite()
    if values is None:
        drill.require("msgpack suite", False, "set WARREN_VECTORS to a folder with msgpack/msgpack-test-suite.json of kawanet/msgpack-test-suite")
        return
    callee = router.session()
    callee.register("suite.echo")
    caller = joined(router)
    n_right = n_refused = n_wrong = n_encodings = n_prefixes = n_bad_prefixes = 0
    request = 0
    for _, value in values:
        for text in value["msgpack"]:
            encoded = bytes.fromhex(text.replace("-", ""))
            n_encodings += 1
            whole = b"\x95\x30\xcd%b\x80\xaasuite.echo\x91"
            if "ext" in value or "timestamp" in value:
                sock = joined(router)
                sock.sendall(frame(b"\x95\x30\x01\x80\xaasuite.echo\x91" + encoded))
                messages, _ = hostile.hear_end(sock)
                is_refused = messages and b"wamp.error.protocol_violation" in messages[-1]
                n_refused += bool(is_refused)
                n_wrong += not is_refused
            else:
                request += 1
                caller.sendall(frame(whole % struct.pack(">H", request) + encoded))
                arrived = callee.expect(68)
                if same(arrived[4][0], value):
                    n_right += 1
                else:
                    n_wrong += 1
                    drill.say(f"{text}: {arrived[4][0]!r}")
                callee.send([70, arrived[1], {}, []])
            for n in range(len(encoded)):
                n_prefixes += 1
                if n_prefixes % 7:  # a seventh of them over the wire: the others in the unit tests
                    continue
                sock = joined(router)
                sock.sendall(frame(b"\x95\x30\x01\x80\xaasuite.echo\x91" + encoded[:n]))
                messages, _ = hostile.hear_end(sock)
                n_bad_prefixes += not (messages and b"wamp.error.protocol_violation" in messages[-1])
    drill.require(f"msgpack suite: {len(values)} values in {n_encodings} encodings arrive right, or are ext and refused", n_wrong == 0,
                  f"{n_right} right, {n_refused} refused, {n_wrong} wrong")
    drill.require("strict prefixes of them are incomplete", n_bad_prefixes == 0, f"{n_bad_prefixes} of {n_prefixes // 7} taken")
    caller.close()
    callee.close()


with drill.network(make=False) as network:
    target = Router(network, "unlimited_networks = 127.0.0.0/8", exempt=False)
    violations(target)
    round_trips(target)
    drill.require("the bystander's calls went on", not target.bystander.error, f"{target.bystander.n_calls} calls, the longest {target.bystander.worst * 1000:.0f} ms")
    target.stop()
drill.end()
