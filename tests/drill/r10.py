#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a storm of connections and slow ones: who is there does not notice; 10 000 of them, 200 a second, from many addresses and from one"""
import multiprocessing
import os
import resource
import selectors
import socket
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
import hostile
from hostile import Router, Session, UPGRADE, PROTOCOL, connect, dial, frame, open_socket, pack, read_all

N, RATE, HANDSHAKE = int(os.environ.get("WARREN_STORM", "10000")), 200, 10
drill = Drill("R10", f"a storm of {N} connections, {RATE} a second, and slow ones")
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def measure(port, pipe):
    """An authenticated session that calls itself and notes how long it took; in a process of its own, so that the storm's work is not
    measured too. Whenever it is asked it tells what it has."""
    times, error = [], None
    try:
        session = Session(port, "wamp.2.msgpack", hostile.REALM, source="127.250.0.9")
        session.register("meter.any")
        while True:
            began = time.monotonic()
            session.ask(48, {}, "meter.any", [])
            invocation = session.expect(68)
            session.send([70, invocation[1], {}, []])
            session.expect(50)
            times.append((time.monotonic() - began) * 1000)
            time.sleep(0.005)
            if pipe.poll():
                pipe.recv()
                pipe.send((times, None))
                times = []
    except (hostile.Failed, OSError, EOFError) as e:
        error = str(e)
    pipe.recv()
    pipe.send((times, error))


class Meter:
    def __init__(self, router):
        self.pipe, theirs = multiprocessing.Pipe()
        self.error = None
        self.process = multiprocessing.Process(target=measure, args=(router.port, theirs), daemon=True)
        self.process.start()

    def take(self):
        self.pipe.send("tell")
        times, error = self.pipe.recv()
        self.error = self.error or error
        return times

    def stop(self):
        self.process.terminate()
        self.process.join()


def p99(times):
    return statistics.quantiles(times, n=100)[98]


def status_kb(router, key="VmRSS"):
    with open(f"/proc/{router.process.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


def storm(source_of):
    """Non-blocking connects that say nothing; what is closed by the other side is closed here."""
    selector, held, began = selectors.DefaultSelector(), 0, time.monotonic()
    n_cut = 0
    for n in range(N):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        sock.bind((source_of(n), 0))
        sock.connect_ex(("127.0.0.1", target.port))
        selector.register(sock, selectors.EVENT_READ)
        held += 1
        while True:
            wait = began + n / RATE - time.monotonic()
            for key, _ in selector.select(max(0.0, wait)):
                try:
                    is_gone = not key.fileobj.recv(100)
                except BlockingIOError:
                    continue
                except OSError:
                    is_gone = True
                if is_gone:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    n_cut, held = n_cut + 1, held - 1
            if time.monotonic() >= began + n / RATE:
                break
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    selector.close()
    return n_cut, time.monotonic() - began


def judge_storm(what, source_of):
    time.sleep(1)
    meter.take()
    time.sleep(8)
    idle = p99(meter.take())
    n_cut, took = storm(source_of)
    busy = p99(meter.take())
    drill.say(f"{what}: {N} in {took:.0f} s, {n_cut} were cut meanwhile; p99 {idle:.2f} ms idle, {busy:.2f} ms in it")
    drill.measure(f"{what}: p99 of an authenticated peer's call beside idle", busy / idle, "times", at_most=2)
    drill.require(f"{what}: authenticated sessions dropped", not meter.error and not target.bystander.error, str(meter.error or target.bystander.error or 0))


def until_closed(sock, poke=None):
    """Seconds until the router closes it, or says so; `poke` sends something every half second."""
    began = time.monotonic()
    sock.settimeout(0.5)
    while time.monotonic() < began + 100:
        try:
            if poke:
                poke(sock)
            heard = sock.recv(65536)
            if not heard or any(opcode == 8 for opcode, _ in hostile.frames(heard)):
                break
            time.sleep(0.3)
        except TimeoutError:
            continue
        except OSError:
            break
    sock.close()
    return time.monotonic() - began


def slow_ones():
    """All at once."""
    def hello():
        sock = connect(target)
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        return until_closed(sock)

    def header():
        sock = dial(target)
        sock.sendall((UPGRADE + PROTOCOL + "X-More: ").encode())
        return until_closed(sock, lambda s: s.sendall(b"x"))

    def greeting():
        sock = open_socket(target)
        return until_closed(sock, lambda s: s.sendall(frame(b"", opcode=9)))

    def reader():
        sock = hostile.joined(target, small=True)
        sock.sendall(frame(pack([32, 1, {}, "r10.news"])))
        time.sleep(0.2)
        publisher = target.session()
        for _ in range(120):
            publisher.ask(16, {"acknowledge": True}, "r10.news", ["x" * 50000])
            publisher.expect(17)
        began = time.monotonic()
        target.wait_count("slow_reader")
        sock.close()
        publisher.close()
        return time.monotonic() - began

    def body():
        sock = hostile.joined(target)
        whole = frame(b"\x94" + b"\0" * 900000)
        state = {"at": 20000}

        def drip(s):
            s.sendall(whole[state["at"]:state["at"] + 1000])
            state["at"] += 1000
        sock.sendall(whole[:20000])
        return until_closed(sock, drip)

    took = {}
    threads = [threading.Thread(target=lambda f=f: took.__setitem__(f.__name__, f())) for f in (hello, header, greeting, reader, body)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, what in (("hello", "half a ClientHello"), ("header", "headers byte by byte"), ("greeting", "a WebSocket that only pings")):
        drill.require(f"{what}: closed at 10 s, more or less 1", 9 <= took[name] <= 11, f"{took[name]:.1f} s")
    drill.measure("a reader that does not read is closed", took["reader"], "s", at_most=30)
    drill.measure("a message that drips is closed", took["body"], "s", at_most=30)


def memory():
    """Of connections without a proof, each holding as much as it may; TLS alone is what half a handshake later costs."""
    def cost(n, make):
        before = status_kb(target)
        held = [make(i) for i in range(n)]
        time.sleep(0.5)
        each = (status_kb(target) - before) / n
        for sock in held:
            sock.close()
        time.sleep(1)
        return each

    def quiet(i):
        return dial(target, f"127.88.{i // 50}.{i % 50 + 1}")

    def loud(i):
        sock = open_socket(target, f"127.89.{i // 50}.{i % 50 + 1}")
        sock.sendall(frame(b"\x94" + b"\0" * 16000)[:15900])
        return sock
    cost(300, quiet)  # what the allocator keeps
    tls = cost(400, quiet)
    whole = cost(400, loud)
    drill.say(f"TLS alone: {tls:.1f} KiB; WebSocket open with 16 000 bytes of a message: {whole:.1f} KiB")
    drill.measure("memory of a connection without a proof, beside TLS", whole - tls, "KiB", at_most=32)


def addresses():
    source = "127.77.0.1"
    held = []
    for _ in range(100):
        try:
            held.append(dial(target, source))
        except OSError:
            pass
        time.sleep(0.06)
    drill.measure("connections of one address", len(held), "", at_most=64)
    drill.require("and not fewer", len(held) >= 60, len(held))
    for sock in held:
        sock.close()


def early_drop():
    """Half of the cap, then as many again."""
    cap = 200
    held = []
    for n in range(2 * cap):
        held.append(connect(crowded, f"127.66.{n // 200}.{n % 200 + 1}"))
    time.sleep(1)
    alive = 0
    for sock in held:
        sock.setblocking(False)
        try:
            sock.recv(1)
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
        sock.close()
    drill.require("early random drop begins at half of the cap", cap / 2 < alive <= cap, f"{alive} of {2 * cap} stayed with a cap of {cap}")


def cpu_seconds(router):
    with open(f"/proc/{router.process.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def exhausted(router):
    """More than all descriptors."""
    router.bystander.stop()
    held = [connect(router) for _ in range(500)]
    time.sleep(1)
    before = cpu_seconds(router)
    time.sleep(4)
    share = (cpu_seconds(router) - before) / 4
    drill.measure("without descriptors: CPU", share * 100, "%", less_than=5)
    for sock in held:
        sock.close()
    began = time.monotonic()
    while time.monotonic() < began + 10:
        try:
            router.session().close()
            break
        except OSError:
            time.sleep(0.02)
    drill.measure("the first is accepted again after they are free", time.monotonic() - began, "s", at_most=1)
    router.stop()


free = ("penalty_silence = 0s", "penalty_protocol = 0s")
with drill.network(make=False) as network:
    target = Router(network)
    meter = Meter(target)
    judge_storm("from 250 addresses", lambda n: f"127.99.{n % 250 // 25}.{n % 25 + 1}")
    judge_storm("from one address", lambda n: "127.98.0.1")
    drill.say("turned away: " + ", ".join(f"{name} {target.count(name)}" for name in
                                          ("max_per_address", "max_connection_rate", "max_unauthenticated", "penalty")))
    meter.stop()
    target.stop()
    target = Router(network, *free, "max_connection_rate = 0")
    slow_ones()
    memory()
    addresses()
    target.stop()
    crowded = Router(network, *free, "max_connection_rate = 0", "max_unauthenticated = 200")
    early_drop()
    crowded.stop()
    exhausted(Router(network, *free, "max_connection_rate = 0", "max_unauthenticated = 0", "handshake_timeout = 60s", files=300))
drill.end()
