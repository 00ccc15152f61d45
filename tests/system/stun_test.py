#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The router's STUN server, asked by a client of the test's own over real sockets."""
import contextlib
import os
import socket
import sys
import time
import urllib.request

import network
import tap
from network import PATIENCE, ROOT, free_port

sys.path.insert(0, os.path.join(ROOT, "tests", "lab"))
import probe  # noqa: E402


def restart(net, *lines):
    """With other keys: stun takes effect at the start."""
    path = net.path("router/router.conf")
    with open(path, encoding="ascii") as f:
        kept = [line for line in f.read().splitlines() if not line.startswith(("stun", "max_stun", "metrics"))]
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join([*kept, *lines]) + "\n")
    net.router.stop()
    net.start_router()


def client(host="127.0.0.1"):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((host, 0))
    return s


def counted(port, result):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
        line = next(line for line in page.read().decode().splitlines() if f'stun_requests_total{{result="{result}"}}' in line)
    return int(line.split()[-1])


@tap.test
def without_a_word_it_listens_where_the_router_does(net):
    net.router.wait_line(net.router.err, f"event=listening_stun .*port={net.port} ")
    for host in ("127.0.0.1", "127.0.0.9"):
        with client() as s:
            answer = probe.ask(s, (host, net.port))
            tap.check(answer.get(probe.XOR_MAPPED) == s.getsockname(), f"seen as {answer}")
            tap.check(answer.get(probe.ORIGIN) == (host, net.port), f"came from {answer}")
    with client("::1") as s:
        answer = probe.ask(s, ("::1", net.port))
        tap.check(answer.get(probe.XOR_MAPPED) == s.getsockname()[:2], f"seen as {answer}")


@tap.test
def it_answers_from_its_other_port(net):
    first, other = free_port(), free_port()
    restart(net, f"stun = 127.0.0.1:{first}", f"stun_other_port = {other}")
    with client() as s:
        answer = probe.ask(s, ("127.0.0.1", first), probe.CHANGE_PORT)
        tap.check(answer.get(probe.ORIGIN) == ("127.0.0.1", other), str(answer))
        tap.check(probe.ask(s, ("127.0.0.1", other)).get(probe.ORIGIN) == ("127.0.0.1", other), "the other port itself")
        tap.check(probe.ask(s, ("127.0.0.1", first), probe.CHANGE_ADDRESS) == {}, "another address than its own")
        tap.check(probe.ask(s, ("127.0.0.1", net.port)) == {}, "it is where it was")


@tap.test
def a_flood_gets_no_more_than_it_may(net):
    first, figures = free_port(), free_port()
    restart(net, f"stun = 127.0.0.1:{first}", "max_stun_rate = 20", f"metrics = 127.0.0.1:{figures}")
    net.router.wait_line(net.router.err, "event=listening_metrics")
    with client() as s:
        for n in range(1, 11):  # no more at once than a socket's buffer holds
            for _ in range(50):
                s.sendto(bytes.fromhex("000100002112a442") + os.urandom(12), ("127.0.0.1", first))
            s.sendto(b"not STUN at all", ("127.0.0.1", first))
            until = time.monotonic() + PATIENCE
            while sum(counted(figures, result) for result in ("answered", "limited", "dropped")) < 51 * n:
                tap.check(time.monotonic() < until, "not all were counted")
        tap.check(counted(figures, "dropped") == 10, "what is no STUN")
        answered = counted(figures, "answered")
        tap.check(20 <= answered < 200, f"{answered} of 500 were answered")


def udp_sockets(process):
    """How many sockets for datagrams a process has."""
    known = set()
    for family in ("udp", "udp6"):
        with open(f"/proc/net/{family}", encoding="ascii") as f:
            known |= {line.split()[9] for line in f.readlines()[1:]}
    names = []
    with contextlib.suppress(FileNotFoundError):  # one that was closed meanwhile
        for fd in os.listdir(f"/proc/{process.process.pid}/fd"):
            names.append(os.readlink(f"/proc/{process.process.pid}/fd/{fd}"))
    return sum(name.removeprefix("socket:[").removesuffix("]") in known for name in names)


def settles(process, is_right):
    """How many it has when that has been so for a moment."""
    until, since, n = time.monotonic() + PATIENCE, time.monotonic(), -1
    while time.monotonic() - since < 0.4 or not is_right(n):
        tap.check(time.monotonic() < until, f"it has {n} sockets")
        now = udp_sockets(process)
        if now != n:
            since, n = time.monotonic(), now
        time.sleep(0.02)
    return n


@tap.test
def who_waits_for_calls_asks_for_these_alone(net):
    """Who never dialled has an agent to dial with for ten minutes; the clock of the machine runs 30 times as fast."""
    restart(net, f"stun = 127.0.0.1:{free_port()}")
    net.join("waiting")
    waiting = net.start("waiting", [*network.fast(tap.build_dir(), 30), *net.warren("waiting", "chat", "--loopback", "--accept")])
    waiting.wait_line(waiting.err, "waiting for a call")
    both = settles(waiting, lambda n: n > 0)
    one = settles(waiting, lambda n: n < both)
    tap.check(one * 2 == both, f"{both} sockets, then {one}")
    waiting.end_input()
    waiting.stop()


@tap.test
def a_port_that_is_taken(net):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        restart(net, "stun = no")
        tap.check(not net.router.find(net.router.err, "listening_stun"), "it listens all the same")
        net.router.stop()
        with open(net.path("router/router.conf"), encoding="ascii") as f:
            text = f.read().replace("stun = no", f"stun = 127.0.0.1:{port}")
        with open(net.path("router/router.conf"), "w", encoding="ascii") as f:
            f.write(text)
        broken = net.start("router", [net.program("warren-router"), "--config", net.path("router/router.conf")])
        tap.check(broken.wait() == 1, "it starts without what was asked for")
        tap.check(broken.find(broken.err, f"stun: UDP 127.0.0.1 port {port}: Address already in use"), str(broken.err))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:  # what nobody asked for is done without
        taken.bind(("::", net.port))
        with open(net.path("router/router.conf"), "w", encoding="ascii") as f:
            f.write(text.replace(f"stun = 127.0.0.1:{port}", ""))
        net.start_router()
        net.router.wait_line(net.router.err, "event=no_stun .*already in use")


tap.main()
