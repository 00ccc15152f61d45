#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Socket activation: a router that is given its listening sockets has every limit that it has with its own."""
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import sys
import time

import network
import tap
from lone import REALM, figure, prepare
from network import PATIENCE, free_port
from wamp import Session

# What systemd does between fork() and exec().
GIVE = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
for number, fd in enumerate(fds):
    os.dup2(fd, 100 + number)
for number in range(len(fds)):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ.update(LISTEN_PID=sys.argv[2] or str(os.getpid()), LISTEN_FDS=sys.argv[3] or str(len(fds)), LISTEN_FDNAMES="")
os.execv(sys.argv[4], sys.argv[4:])
"""


class Given(socket.socket):
    """A listening socket that outlives routers."""

    def __init__(self, host="127.0.0.1", kind=socket.SOCK_STREAM, backlog=100):
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        if ":" in host:
            self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.bind((host, 0))
        if kind == socket.SOCK_STREAM and backlog:
            self.listen(backlog)
        self.port = self.getsockname()[1]


def launch(net, home, sockets, pid="", count=""):
    fds = [sock.fileno() for sock in sockets]
    argv = [sys.executable, "-c", GIVE, ",".join(map(str, fds)), pid, count, net.program("warren-router"), "--config", os.path.join(home, "router.conf")]
    return net.start("warren-router", argv, pass_fds=fds)


def give(net, home, *sockets):
    router = launch(net, home, sockets)
    line = router.wait_line(router.err, r"event=listening ")
    tap.check_in(f"address=given port={sockets[0].port} ", line)
    router.wait_line(router.err, "event=listening_metrics")
    router.port, router.metrics = sockets[0].port, home.metrics
    return router


def ping(session):
    """A whole call through the router, of a session to itself."""
    session.ask(48, {}, f"com.example.s{session.session}", [1])
    session.send([70, session.expect(68)[1], {}, [1]])
    session.expect(50)


def member(port):
    session = Session(port, "wamp.2.msgpack", REALM)
    session.register(f"com.example.s{session.session}")
    ping(session)
    return session


def shake_hands(host, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection((host, port), timeout=PATIENCE))


@tap.test
def given_sockets_are_served(net):
    home = prepare(net, "served")
    sockets = [Given(), Given("::1") if socket.has_ipv6 else Given()]
    router = give(net, home, *sockets)
    one = member(sockets[0].port)
    other = shake_hands(*sockets[1].getsockname()[:2])
    tap.check(other.version() == "TLSv1.3", other.version())
    router.process.send_signal(signal.SIGHUP)
    router.wait_line(router.err, "event=reloaded")
    ping(one)
    member(sockets[0].port)
    tap.check(router.stop() == 0, "exit status")


@tap.test
def a_restart_refuses_nobody(net):
    """Who connects while no router runs waits in the kernel, and is served by the next one."""
    home = prepare(net, "restarted")
    given = Given()
    router = give(net, home, given)
    session = Session(given.port, "wamp.2.json", REALM)
    router.process.send_signal(signal.SIGTERM)
    goodbye = session.expect(6)
    tap.check(goodbye[2] == "wamp.close.system_shutdown" and goodbye[1]["_warren_retry_after"] > 0, str(goodbye))
    tap.check(router.wait() == 0, "exit status")
    early = socket.create_connection(("127.0.0.1", given.port), timeout=PATIENCE)
    give(net, home, given)
    early.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS: an alert, or the end, but from the router
    try:
        early.recv(100)
    except ConnectionError:
        pass
    member(given.port)


def turned_away(port):
    """Whether a connection is closed before it could say anything."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        sock.settimeout(PATIENCE)
        try:
            return sock.recv(1) == b""
        except ConnectionError:
            return True


@tap.test
def limits_hold_as_on_its_own_listener(net):
    home = prepare(net, "limits", "max_per_address = 3\nhandshake_timeout = 2s\nmax_connections = 5\nunlimited_networks = 127.0.0.2/32\n")
    router = give(net, home, Given())
    session = member(router.port)
    idle = [socket.create_connection(("127.0.0.1", router.port), timeout=PATIENCE) for _ in range(2)]
    tap.check(turned_away(router.port), "a fourth of one address")
    tap.check(figure(router, 'warren_router_limit_total{limit="max_per_address"}') == 1, "max_per_address is counted")
    more = [Session(router.port, "wamp.2.json", REALM, source="127.0.0.2") for _ in range(2)]
    tap.check(turned_away(router.port), "a sixth of all")
    tap.check(figure(router, 'warren_router_limit_total{limit="max_connections"}') == 1, "max_connections is counted")
    for sock in idle:  # slow handshakes have the time limit, too
        tap.check(sock.recv(1) == b"", "handshake_timeout")
    ping(session)
    for one in (session, *more):
        one.close()


def number_of_files(pid, most):
    """How many it has open, from its table's size where /proc does not show whose they are: to others it is not dumpable."""
    try:
        return max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1
    except PermissionError:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return min(most, int(re.search(r"FDSize:\s+(\d+)", f.read()).group(1)))


@tap.test
def without_descriptors_it_waits_and_does_not_spin(net):
    home = prepare(net, "files")
    given = Given()
    router = give(net, home, given)
    session = member(given.port)
    pid = router.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    limit = number_of_files(pid, before[0])
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    waiting = [socket.create_connection(("127.0.0.1", given.port), timeout=PATIENCE) for _ in range(limit + 20)]
    router.wait_line(router.err, "event=turned_away limit=max_connections")
    for _ in range(100):
        ping(session)
    time.sleep(1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    for sock in waiting:
        sock.close()
    member(given.port)
    met = figure(router, 'warren_router_limit_total{limit="max_connections"}')
    tap.check(1 <= met < 50, f"it tried {met} times")  # in a spin: thousands


@tap.test
def what_is_no_listening_socket_is_refused(net):
    home = prepare(net, "refused")
    silent = Given(backlog=0)
    local = socket.socket(socket.AF_UNIX)
    local.bind(net.path("local"))
    local.listen(1)
    cases = [
        ([silent], "", "", "descriptor 3 is no listening stream socket"),
        ([Given(kind=socket.SOCK_DGRAM)], "", "", "descriptor 3 is no listening stream socket"),
        ([local], "", "", "descriptor 3 is no TCP socket"),
        ([Given(), silent], "", "", "descriptor 4 is no listening stream socket"),
        ([Given()], "", "9", "at most 8 sockets, 9 were given"),
        ([Given()], "", "many", "$LISTEN_FDS: expected a number"),
        ([Given()], "me", "", "$LISTEN_PID: expected a number"),
    ]
    for sockets, pid, count, why in cases:
        router = launch(net, home, sockets, pid, count)
        tap.check(router.wait() == 1, f"{why}: exit status")
        tap.check_in(why, "\n".join(router.err))
    router = launch(net, home, [Given()], "1")  # they were for another process
    router.wait_line(router.err, r"event=listening address=127\.0\.0\.1 ")


@tap.test
def systemd_starts_it_with_the_first_connection(net):
    if not shutil.which("systemd-socket-activate"):
        raise tap.Skip("no systemd-socket-activate")
    home = prepare(net, "systemd")
    port = free_port()
    starter = net.start("systemd-socket-activate", ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", net.program("warren-router"), "--config",
                                                   os.path.join(home, "router.conf")])
    starter.wait_line(starter.err, "Listening on")
    tap.check(not starter.find(starter.err, "event=listening"), "nobody connected yet")
    session = member(port)  # its first bytes waited for the router
    starter.wait_line(starter.err, f"event=listening address=given port={port} ")
    starter.process.send_signal(signal.SIGTERM)
    tap.check(session.expect(6)[2] == "wamp.close.system_shutdown", "drained")
    tap.check(starter.wait() == 0, "exit status")


if __name__ == "__main__":
    network.Network.make = network.Network.init
    tap.main(name="activation.test")
