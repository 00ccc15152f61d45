#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`warren tunnel`, `nc` and `expose`, `send` and `receive`: real programs of others through them, and what breaks off."""
import hashlib
import http.server
import os
import socket
import subprocess
import threading
import time
import urllib.request

import tap
from network import PATIENCE, Failed, free_port, run, shown


class Echo(threading.Thread):
    """A TCP service on loopback: sends back what comes, and ends when the other side has."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except ConnectionError:
                pass  # who called has left


def exposed(net, name, *words):
    process = net.start(name, net.warren(name, "expose", "--loopback", "--accept", *map(str, words)))
    process.wait_line(process.err, "waiting for calls")
    return process


def through(net, name, callee, *specs):
    process = net.start(name, net.warren(name, "tunnel", net.ids[callee], *specs, "--loopback"))
    process.wait_line(process.err, "linked with")
    return process


def local_port(process, which=0):
    lines = [line for line in process.err if line.startswith("127.0.0.1:")]
    return int(lines[which].split(":")[1].split()[0])


@tap.test
def peers_that_may(net):
    for name in ("alice", "bob", "carol"):
        net.join(name)
    net.echo = Echo()
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can tunnel:{net.echo.port},file",
              f"allow from {net.ids['carol']} to {net.ids['bob']} can chat")


@tap.test
def forty_connections_at_once_come_out_at_the_other_side(net):
    bob = exposed(net, "bob", net.echo.port)
    alice = through(net, "alice", "bob", f"0:localhost:{net.echo.port}")
    blobs = [os.urandom(1000 + 9973 * i) for i in range(40)]
    got = [None] * len(blobs)

    def one(i):
        with socket.create_connection(("127.0.0.1", local_port(alice)), timeout=60) as s:
            sender = threading.Thread(target=lambda: (s.sendall(blobs[i]), s.shutdown(socket.SHUT_WR)))
            sender.start()
            data = b""
            while part := s.recv(65536):
                data += part
            sender.join()
            got[i] = data

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(blobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tap.check(got == blobs, [i for i in range(len(blobs)) if got[i] != blobs[i]])
    alice.stop()
    bob.stop()


@tap.test
def what_is_not_exposed_or_not_allowed_is_not_reached(net):
    bob = exposed(net, "bob", net.echo.port)
    closed = run(net.warren("carol", "nc", net.ids["bob"], str(net.echo.port), "--loopback"), wanted=1, input="")
    tap.check("not_reachable" in closed.stderr, closed.stderr)
    other = run(net.warren("alice", "nc", net.ids["bob"], "1", "--loopback"), wanted=1, input="")
    tap.check("not_reachable" in other.stderr, other.stderr)
    bob.stop()


@tap.test
def nc_is_one_connection(net):
    bob = exposed(net, "bob", net.echo.port)
    data = os.urandom(3_000_000)
    done = subprocess.run(net.warren("alice", "nc", net.ids["bob"], str(net.echo.port), "--loopback"), input=data, capture_output=True,
                          timeout=120, check=False)
    tap.check(done.returncode == 0 and done.stdout == data, (done.returncode, len(done.stdout), done.stderr[-400:]))
    bob.stop()


@tap.test
def a_service_that_is_not_there_is_a_reset_and_the_tunnel_stays(net):
    port = free_port()
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can tunnel:{net.echo.port},tunnel:{port},file")
    bob = exposed(net, "bob", net.echo.port, port)
    alice = through(net, "alice", "bob", f"0:127.0.0.1:{port}", f"0:127.0.0.1:{net.echo.port}")
    with socket.create_connection(("127.0.0.1", local_port(alice)), timeout=60) as s:
        try:
            tap.check(s.recv(1) == b"", "something answered")
        except ConnectionResetError:
            pass
    with socket.create_connection(("127.0.0.1", local_port(alice, 1)), timeout=60) as s:
        s.sendall(b"still here")
        tap.check(s.recv(10) == b"still here", "the tunnel is gone")
    bob.stop()
    alice.wait_line(alice.err, "the link is closed|warren: tunnel:")
    bob = exposed(net, "bob", net.echo.port, port)  # the next connection dials again
    with socket.create_connection(("127.0.0.1", local_port(alice, 1)), timeout=60) as s:
        s.sendall(b"and again")
        tap.check(s.recv(9) == b"and again", "the tunnel did not come back")
    alice.stop()
    bob.stop()


@tap.test
def a_download_over_http(net):
    folder = net.path("web")
    os.makedirs(folder)
    data = os.urandom(20_000_000)
    with open(os.path.join(folder, "big"), "wb") as out:
        out.write(data)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can tunnel:{server.server_port},tunnel:{net.echo.port},file")
    bob = exposed(net, "bob", server.server_port)
    alice = through(net, "alice", "bob", f"0:localhost:{server.server_port}")
    with urllib.request.urlopen(f"http://127.0.0.1:{local_port(alice)}/big", timeout=120) as answer:
        tap.check(answer.read() == data, "other bytes")
    server.shutdown()
    alice.stop()
    bob.stop()


def receiving(net, folder, *words, **more):
    os.makedirs(folder, exist_ok=True)
    bob = net.start("bob", net.warren("bob", "receive", folder, "--loopback", "--accept", *words), **more)
    bob.wait_line(bob.err, "waiting for calls")
    return bob


def write(net, name, size):
    data = os.urandom(size)
    with open(net.path(name), "wb") as out:
        out.write(data)
    return data


def wait_until(is_so):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise Failed("it did not begin")
        time.sleep(0.01)


def parts(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@tap.test
def files_arrive_whole_and_nothing_is_replaced(net):
    folder = net.path("inbox")
    bob = receiving(net, folder)
    first, empty, hidden = write(net, "a file.bin", 5_000_001), write(net, "empty", 0), write(net, ".profile", 10)
    names = ("a file.bin", "empty", ".profile")
    done = run(net.warren("alice", "send", *map(net.path, names), net.ids["bob"], "--loopback"))
    tap.check(hashlib.sha256(first).hexdigest() in done.stderr, done.stderr)
    again = write(net, "a file.bin", 70_000)
    run(net.warren("alice", "send", net.path("a file.bin"), shown(net.ids["bob"]), "--loopback"))
    for name, wanted in (("a file.bin", first), ("a file (1).bin", again), ("empty", empty), ("_.profile", hidden)):
        with open(os.path.join(folder, name), "rb") as file:
            tap.check(file.read() == wanted, name)
    tap.check(not parts(folder), os.listdir(folder))
    bob.wait_line(bob.out, r"^a file \(1\)\.bin$")
    bob.stop()


@tap.test
def over_the_paths_that_are_wanted(net):
    write(net, "a note", 100)
    for ours, theirs, wanted in (("relay", "auto", "path relay"), ("auto", "relay", "path relay"), ("direct", "auto", "path direct")):
        bob = receiving(net, net.path("over"), "--path", theirs)
        done = run(net.warren("alice", "send", net.path("a note"), net.ids["bob"], "--loopback", "--path", ours))
        tap.check(wanted in done.stderr, f"{ours}, {theirs}: {done.stderr}")
        bob.stop()
    done = run(net.warren("alice", "send", net.path("a note"), net.ids["bob"], "--path", "sideways"), wanted=2)
    tap.check_in('expected auto, direct, relay or turn, found "sideways"', done.stderr)


@tap.test
def what_broke_off_goes_on(net):
    folder = net.path("resumed")
    data = write(net, "large", 150_000_000)
    bob = receiving(net, folder)
    alice = net.start("alice", net.warren("alice", "send", net.path("large"), net.ids["bob"], "--loopback"))
    wait_until(lambda: parts(folder) and os.path.getsize(os.path.join(folder, parts(folder)[0])) > 20_000_000)
    bob.kill()
    tap.check(alice.wait() == 1, "a file that broke off was taken for sent")
    tap.check(0 < os.path.getsize(os.path.join(folder, parts(folder)[0])) < len(data), "it was over before it was killed")
    bob = receiving(net, folder)
    done = run(net.warren("alice", "send", net.path("large"), net.ids["bob"], "--loopback"))
    tap.check("of it now" in done.stderr, done.stderr)
    with open(os.path.join(folder, "large"), "rb") as file:
        tap.check(file.read() == data, "other bytes")
    tap.check(not parts(folder), os.listdir(folder))
    bob.stop()


@tap.test
def a_part_of_something_else_is_not_gone_on_with(net):
    folder = net.path("other")
    data = write(net, "note", 1_000_000)
    os.makedirs(folder)
    with open(os.path.join(folder, f".note.{net.ids['alice']}.part"), "wb") as out:
        out.write(os.urandom(400_000))
    bob = receiving(net, folder)
    run(net.warren("alice", "send", net.path("note"), net.ids["bob"], "--loopback"))
    with open(os.path.join(folder, "note"), "rb") as file:
        tap.check(file.read() == data, "other bytes")
    bob.stop()


@tap.test
def a_full_disk_is_said(net):
    folder = net.path("small")
    os.makedirs(folder)
    write(net, "wide", 3_000_000)
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "warren-small", folder])
    try:
        bob = receiving(net, folder)
        done = run(net.warren("alice", "send", net.path("wide"), net.ids["bob"], "--loopback"), wanted=1)
        tap.check("no room for it" in done.stderr, done.stderr)
        bob.stop()
    finally:
        run(["umount", folder])


@tap.test
def bad_words_are_refused(net):
    own = net.ids["alice"]
    for words, said in ((["tunnel", "456000", "x:localhost:22"], '"x" is no port'), (["tunnel", "456000", "70000:localhost:22"], "is no port"),
                        (["tunnel", "456000", "0:localhost"], "expected LOCALPORT:HOST:PORT"), (["tunnel", "456000"], "what goes where"),
                        (["nc", "456000", "::1:22"], "in brackets"), (["nc", "45", "22"], "6 to 9 digits"), (["nc", own, "22"], "own ID"),
                        (["expose"], "what may be reached"), (["send", "/dev/null", "456000"], "not a file"),
                        (["send", net.path("none"), "456000"], "No such file"), (["receive", net.path("none")], "No such file"),
                        (["tunnel", "--accept", "456000", "0:localhost:22"], "--accept")):
        done = subprocess.run(net.warren("alice", *words), capture_output=True, text=True, check=False, timeout=60)
        tap.check(done.returncode in (1, 2) and said in done.stderr, (words, done.returncode, done.stderr))


tap.main()
