#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""somebody sits between two peers, with each kind of certificate that he could have: no handshake completes, no application byte leaves"""
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
INSIDE = "WARREN_INSIDE_NAMESPACES"
if not os.environ.get(INSIDE):  # the capture sees nothing else then, and needs no right of this machine's
    missing = [name for name in ("unshare", "ip") if not shutil.which(name)]
    if missing:
        print(f"R1 FAILS: not installed: {' '.join(missing)} (scripts/install-deps drill)")
        sys.exit(1)
    unshare = ["unshare", "--net"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__)])

sys.path[:0] = [HERE]
from drill import Drill, built  # noqa: E402

ROUNDS = 100
OWN = 64  # bytes: what QUIC says of itself is less (the end of the connection, RFC 9000, 10.2.3); the application's first piece is 20 000
HONEST, LIAR = 41000, 42000
RECEIVED = 0  # PACKET_HOST: on lo everything might be seen twice
BUILD = os.environ.get("WARREN_BUILD", "build")
drill = Drill("R1", "a man in the middle between two peers")


# ---- what a datagram is made of (RFC 9000, 17) ----

def varint(data, at):
    n = 1 << (data[at] >> 6)
    return int.from_bytes(data[at:at + n], "big") & ((1 << (8 * n - 2)) - 1), at + n


def packets(data):
    """Kind and size of the QUIC packets in a datagram: "initial", "handshake", "0-rtt", "retry", or "1-rtt", which alone carries the application's bytes."""
    at = 0
    while at < len(data):
        if not data[at] & 0x80:
            yield "1-rtt", len(data) - at
            return  # it is the last one
        kind = ("initial", "0-rtt", "handshake", "retry")[data[at] >> 4 & 3]
        end = at + 5
        for _ in range(2):  # connection IDs
            end += 1 + data[end]
        if kind == "retry":
            yield kind, len(data) - at
            return
        if kind == "initial":
            length, end = varint(data, end)
            end += length
        length, end = varint(data, end)
        yield kind, end + length - at
        at = end + length


class Capture:
    """Counts, by port of the honest end, the packets that it sent."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.kinds, self.n, self.is_over = {}, 0, False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while True:
            try:
                frame, address = self.socket.recvfrom(65536)
            except TimeoutError:
                if self.is_over:
                    return
                continue
            ip = frame[14:]
            head = (ip[0] & 15) * 4
            if address[2] != RECEIVED or ip[9] != socket.IPPROTO_UDP:
                continue
            source = struct.unpack_from(">H", ip, head)[0]
            self.n += 1
            for kind, size in packets(ip[head + 8:]):
                self.kinds.setdefault(source, {}).setdefault(kind, []).append(size)

    def end(self):
        self.is_over = True
        self.thread.join()
        _, dropped = struct.unpack("II", self.socket.getsockopt(263, 6, 8))  # SOL_PACKET, PACKET_STATISTICS
        return dropped


built(BUILD, "tests/evil/mitm")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
capture = Capture()
done = subprocess.run([os.path.join(BUILD, "tests/evil/mitm"), str(ROUNDS), str(HONEST), str(LIAR)], capture_output=True, text=True, check=False)
time.sleep(0.5)
dropped = capture.end()
lines = [json.loads(line) for line in done.stdout.splitlines()]
drill.require("the man in the middle did all that he can do", done.returncode == 0 and len(lines) == 7, f"exit {done.returncode} {done.stderr.strip()}")
drill.require("the capture is whole", dropped == 0 and capture.n > 0, f"{capture.n} datagrams, {dropped} not seen")
for number, line in enumerate(lines):
    seen = capture.kinds.get(HONEST + number, {})
    shown = ", ".join(f"{len(sizes)} {kind} of at most {max(sizes)} bytes" for kind, sizes in sorted(seen.items()))
    large = len([size for size in seen.get("1-rtt", []) if size >= OWN])
    if number < 6:
        drill.measure(f"{line['kind']}: handshakes that completed of {line['tried']}", line["up"], "", at_most=0)
        drill.require("  each was refused for what it is", line["judged"] == line["tried"] == ROUNDS and line["code"] != "none", line["code"])
        drill.require("  bytes that the honest application could send", line["said"] == 0, line["said"])
        drill.require(f"  packets of the honest end that can hold them (1-RTT, {OWN} bytes or more)", seen and large == 0, f"{large} (seen: {shown})")
    else:
        drill.require("with the right certificate all complete, and the application's bytes are seen",
                      line["up"] == line["tried"] == ROUNDS and line["said"] > 0 and large > ROUNDS, f"{line['up']} of {line['tried']}, {shown}")
drill.end()
