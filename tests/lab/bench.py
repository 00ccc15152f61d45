#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How good the emulated Internet is: what it adds to an idle round trip, how exact its delay and loss are, how much it carries."""
import statistics
import struct
import sys
import threading
import time

import alone

alone.enter()

import labnet  # noqa: E402
import probe  # noqa: E402

RIGHT = "203.0.113.10"
N = 2000


def echo(s):
    try:
        while True:
            data, at = s.recvfrom(2048)
            s.sendto(data, at)
    except OSError:
        pass


def round_trips(client, at, n=N):
    took = []
    client.settimeout(2)
    for number in range(n):
        begin = time.monotonic()
        client.sendto(struct.pack(">Q", number), at)
        client.recv(100)
        took.append((time.monotonic() - begin) * 1e6)
    return sorted(took)


def say(text):
    print(text, flush=True)


def main():
    lab = labnet.Lab("bench").up()
    left, right = probe.udp(lab.netns("left")), probe.udp(lab.netns("right"), (RIGHT, 5000))
    near = probe.udp(lab.netns("left"), ("127.0.0.1", 5000))
    for s in (right, near):
        threading.Thread(target=echo, args=(s,), daemon=True).start()
    for what, at in (("loopback, without it", ("127.0.0.1", 5000)), ("through it", (RIGHT, 5000))):
        took = round_trips(left, at)
        say(f"idle round trip, {what:21} median {statistics.median(took):6.0f} us, 99 of 100 under {took[N * 99 // 100]:6.0f} us")
    sink = probe.udp(lab.netns("right"), (RIGHT, 5001))
    for text in ("50ms", "5ms", "50ms,jitter=10ms", "50ms,1%", "50ms,reorder=5%"):
        lab.wan(text)
        came = probe.late(left, sink, (RIGHT, 5001), N)
        times = sorted(t * 1e3 for _, t in came)
        order = [number for number, _ in came]
        overtaken = sum(1 for a, b in zip(order, order[1:]) if b < a)
        say(f"one way of {text:18} least {times[0]:7.3f} ms, median {statistics.median(times):7.3f}, 99 of 100 under {times[len(times) * 99 // 100]:7.3f}; "
            f"lost {N - len(came)} of {N}; overtaken {overtaken}")
    for text in ("", "10mbit", "100mbit", "1gbit", "20ms,1gbit"):
        lab.wan(text)
        rate = probe.tcp_rate(lab.netns("right"), lab.netns("left"), RIGHT, 5002, 4) * 8e-6
        say(f"TCP, {text or 'no limit':12} {rate:7.1f} Mbit/s (bytes of the application)")
    lab.down()


try:
    main()
except labnet.LabError as e:
    sys.exit(f"bench: {e}")
