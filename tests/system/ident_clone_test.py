#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One identity key in two processes: told to both, and told apart from a machine that comes back."""
import json
import shutil
import signal
import socket
import threading

import tap
from network import run, shown

CLONE = r"the key of \d+ is in use by another process"
TOLD = r"^clone: another process came with the key of this machine, from 127\.0\.0\.1; it was refused"


class Wire:
    """A way to the router that can be frozen: nothing passes any more, and neither end is told."""

    def __init__(self, port):
        self.to, self.is_frozen, self.sockets = port, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            self.sockets += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, a, b):
        try:
            while data := a.recv(65536):
                if not self.is_frozen:
                    b.sendall(data)
        except OSError:
            pass
        if not self.is_frozen:
            b.close()

    def close(self):
        for sock in [self.listener, *self.sockets]:
            sock.close()


def use_port(net, name, port):
    path = net.path(name, "network")
    with open(path, encoding="ascii") as f:
        text = f.read()
    with open(path, "w", encoding="ascii") as f:
        f.write(text.replace(f":{net.port if port != net.port else net.other_port}/", f":{port}/"))


def clones(net):
    return [line for line in net.router.err if "event=clone" in line]


@tap.test
def a_copied_folder_is_refused_and_both_are_told(net):
    for name in ("alice", "bob"):
        net.join(name)
    net.allow("allow from * to * can chat consent none")
    shutil.copytree(net.path("alice"), net.path("copy"))
    alice = net.wait_chat("alice", "--accept")
    alice.wait_line(alice.err, "^online")
    copy = net.start("copy", net.warren("copy", "chat", "--loopback", "--accept"))
    copy.wait_line(copy.err, CLONE)
    copy.wait_line(copy.err, r"trying again in 6\d\.\d s")
    alice.wait_line(alice.err, TOLD)
    alice.wait_line(alice.err, r"^what to do: stop one of the two")
    tap.check(not alice.find(alice.err, "offline"), "the one that was there first lost its session")
    bob = net.dial_chat("bob", "alice")
    bob.wait_line(bob.err, "^linked with " + shown(net.ids["alice"]))
    alice.wait_line(alice.err, "^linked with")
    bob.stop()
    for process in (copy, alice):
        process.stop()


@tap.test
def whoever_wants_one_thing_is_told_and_ends(net):
    alice = net.wait_chat("alice", "--accept")
    alice.wait_line(alice.err, "^online")
    for words in (["name", "list"], ["rekey"], ["call", "network.ping"], ["pub", "some.topic"], ["chat", net.ids["bob"]]):
        done = run(net.warren("copy", *words), wanted=1)
        tap.check_in("clone: ", done.stderr)
        tap.check_in("what to do: stop one of the two", done.stderr)
    done = run(net.warren("copy", "name", "list", "--json"), wanted=1)
    tap.check(json.loads(done.stdout)["error"]["code"] == "clone", done.stdout)
    alice.stop()


@tap.test
def the_audit_has_it(net):
    entries = [line for line in net.audit() if "identity.cloned" in line]
    tap.check(entries, "no entry")
    tap.check_in(net.ids["alice"], entries[0])
    tap.check_in("127.0.0.1", entries[0])
    tap.check(len(entries) <= 5, f"{len(entries)} entries")


@tap.test
def when_the_first_one_ends_the_copy_is_let_in(net):
    alice = net.wait_chat("alice")
    alice.wait_line(alice.err, "^online")
    alice.stop()
    copy = net.wait_chat("copy")
    copy.wait_line(copy.err, "^online")
    copy.stop()
    tap.check(not copy.find(copy.err, "clone"), "called a clone")


@tap.test
def a_process_that_was_killed_and_is_back_at_once_is_no_clone(net):
    n = len(clones(net))
    for _ in range(10):
        alice = net.wait_chat("alice")
        alice.wait_line(alice.err, "^online")
        alice.kill()
    alice = net.wait_chat("alice")
    alice.wait_line(alice.err, "^online")
    alice.stop()
    tap.check(len(clones(net)) == n, "\n".join(clones(net)[n:]))


@tap.test
def a_connection_that_is_half_open_is_no_clone(net):
    n, start = len(clones(net)), len(net.router.err)
    wire = Wire(net.port)
    net.other_port = wire.port
    use_port(net, "alice", wire.port)
    alice = net.wait_chat("alice")
    alice.wait_line(alice.err, "^online")
    wire.is_frozen = True
    alice.kill()
    use_port(net, "alice", net.port)
    again = net.wait_chat("alice")
    again.wait_line(again.err, "^online")
    net.router.wait_line(net.router.err, rf"event=replaced id={net.ids['alice']} .*same_process=no", start)
    tap.check(len(clones(net)) == n and not again.find(again.err, "clone"), "called a clone")
    again.stop()
    wire.close()


@tap.test
def one_that_slept_is_the_second_when_it_wakes(net):
    alice = net.wait_chat("alice")
    alice.wait_line(alice.err, "^online")
    alice.process.send_signal(signal.SIGSTOP)
    copy = net.start("copy", net.warren("copy", "chat", "--loopback"))
    copy.wait_line(copy.err, "^online")
    alice.process.send_signal(signal.SIGCONT)
    alice.wait_line(alice.err, CLONE)
    copy.wait_line(copy.err, TOLD)
    for process in (copy, alice):
        process.stop()


tap.main()
