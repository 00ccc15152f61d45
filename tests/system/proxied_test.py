#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine that reaches nothing but a proxy: everything goes through it, by HTTP CONNECT and by SOCKS5, and a chat goes over the
router's relay. Runs itself inside namespaces of its own, so that nothing is left behind."""
import os
import shutil
import socket
import subprocess
import sys
import threading

INSIDE = "WARREN_INSIDE_NAMESPACES"

if not os.environ.get(INSIDE):
    unshare = ["unshare", "--net", "--mount"] + ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    probe = subprocess.run([*unshare, "sh", "-c", "mount -t tmpfs tmpfs /run && ip link add x0 type veth peer name x1 && nft add table inet t"],
                           capture_output=True, text=True, check=False) if shutil.which("unshare") else None
    if probe is None or probe.returncode != 0:
        why = probe.stderr.strip().replace("\n", "; ") if probe else "unshare (util-linux) is not installed"
        print(f"1..1\nok 1 proxied # SKIP no network namespaces or no nft here: {why}")
        sys.exit(0)
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(__file__)])

import tap  # noqa: E402
from network import Failed, run  # noqa: E402

HUB = "10.77.0.1"
WAYS = {"http": 3128, "socks": 1080}


def sh(line):
    run(["sh", "-ec", line])


def make_hosts():
    sh("mount -t tmpfs tmpfs /run && ip link set lo up && ip link add hub type bridge && ip link set hub up && "
       f"ip addr add {HUB}/24 dev hub")
    for number, name in ((2, "left"), (3, "right")):
        sh(f"ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name} && "
           f"ip link set {name} master hub up && ip -n {name} link set lo up && ip -n {name} link set eth0 up && "
           f"ip -n {name} addr add 10.77.0.{number}/24 dev eth0")
    ports = ", ".join(map(str, WAYS.values()))
    sh("ip netns exec left nft 'table inet only { chain output { type filter hook output priority 0; policy drop; oifname lo accept; "
       f"tcp dport {{ {ports} }} accept; }}; }}'")


class Proxy:
    """Both kinds, each for joe with the password secret alone."""

    def __init__(self):
        self.asked, self.refused = [], 0
        for way, port in WAYS.items():
            listener = socket.create_server((HUB, port))
            threading.Thread(target=self.accept, args=(listener, getattr(self, way)), daemon=True).start()

    def accept(self, listener, way):
        while True:
            threading.Thread(target=self.serve, args=(listener.accept()[0], way), daemon=True).start()

    def serve(self, near, way):
        try:
            far = way(near)
            if far:
                threading.Thread(target=self.copy, args=(near, far), daemon=True).start()
                self.copy(far, near)
        except (OSError, ValueError, IndexError):
            pass
        near.close()

    @staticmethod
    def copy(source, to):
        try:
            while part := source.recv(65536):
                to.sendall(part)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def take(sock, n):
        out = b""
        while len(out) < n:
            part = sock.recv(n - len(out))
            if not part:
                raise ValueError("short")
            out += part
        return out

    def reach(self, host, port, way):
        self.asked.append((way, host, port))
        return socket.create_connection((host, port))

    def http(self, near):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.take(near, 1)
        if b"Proxy-Authorization: Basic am9lOnNlY3JldA==\r\n" not in head:
            self.refused += 1
            near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            return None
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        far = self.reach(host, int(port), "http")
        near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return far

    def socks(self, near):
        methods = self.take(near, self.take(near, 2)[1])
        if 2 not in methods:
            self.refused += 1
            near.sendall(b"\5\xff")
            return None
        near.sendall(b"\5\2")
        user = self.take(near, self.take(near, 2)[1])
        password = self.take(near, self.take(near, 1)[0])
        if (user, password) != (b"joe", b"secret"):
            self.refused += 1
            near.sendall(b"\1\1")
            return None
        near.sendall(b"\1\0")
        kind = self.take(near, 4)[3]
        host = socket.inet_ntoa(self.take(near, 4)) if kind == 1 else self.take(near, self.take(near, 1)[0]).decode()
        far = self.reach(host, int.from_bytes(self.take(near, 2), "big"), "socks")
        near.sendall(b"\5\0\0\1\0\0\0\0\0\0")
        return far


def inside(name, **environment):
    return ("ip", "netns", "exec", name, "env", *(f"{key}={value}" for key, value in environment.items()))


def setup(net):
    net.proxy = Proxy()
    net.make()
    net.join("bob", prefix=inside("right"))
    net.allow("allow from * to * can chat back chat")


def talk(net, name, **environment):
    net.join(name, prefix=inside("left", **environment))
    bob = net.start("bob", [*inside("right"), *net.warren("bob", "chat", "--accept")])
    bob.wait_line(bob.err, "waiting for a call")
    caller = net.start(name, [*inside("left", **environment), *net.warren(name, "chat", net.ids["bob"])])
    caller.wait_line(caller.err, "^path relay: ")
    lines = 2000
    caller.write("".join(f"{n} {'x' * 100}\n" for n in range(lines)))
    bob.wait_line(bob.out, f": {lines - 1} x")
    bob.write("and back\n")
    caller.wait_line(caller.out, "and back$")
    caller.end_input()
    bob.end_input()
    tap.check(caller.wait() == 0 and bob.wait() == 0, "exit status")


@tap.test
def by_http_connect(net):
    talk(net, "alice", https_proxy=f"http://joe:secret@{HUB}:{WAYS['http']}")
    ways = [way for way in net.proxy.asked if way == ("http", HUB, net.port)]
    tap.check(len(ways) >= 3, f"joining, the chat's connection and the relay's: {net.proxy.asked}")


@tap.test
def by_socks5(net):
    talk(net, "carol", all_proxy=f"socks5h://joe:secret@{HUB}:{WAYS['socks']}", no_proxy="elsewhere.example")
    ways = [way for way in net.proxy.asked if way == ("socks", HUB, net.port)]
    tap.check(len(ways) >= 3, f"joining, the chat's connection and the relay's: {net.proxy.asked}")


@tap.test
def what_a_proxy_refuses_is_said(net):
    for url, said in ((f"http://joe:wrong@{HUB}:{WAYS['http']}", "it answered 407 Proxy Authentication Required"),
                      (f"socks5://joe:wrong@{HUB}:{WAYS['socks']}", "user or password is wrong")):
        alice = net.start("alice", [*inside("left", https_proxy=url), *net.warren("alice", "chat")])
        alice.wait_line(alice.err, f"the proxy {HUB} port .*{said}")
        tap.check(not alice.find(alice.err, "wrong@|:wrong"), "the password is in the error")
        alice.stop()
    bad = subprocess.run([*inside("left", https_proxy="https://proxy"), *net.warren("alice", "chat")], capture_output=True, text=True,
                         timeout=60, check=False)
    tap.check(bad.returncode == 1, f"exit status {bad.returncode}")
    tap.check_in("https_proxy", bad.stderr)
    if net.proxy.refused < 2:
        raise Failed("nobody was refused")


make_hosts()
tap.main(host=HUB, make=setup)
