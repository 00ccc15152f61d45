#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the log says is on the disk already: den's audit has the entry, the router's folder the record. The disk is slow here, and whoever reads
the line looks at once."""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drill"))
import crash  # noqa: E402
import tap  # noqa: E402
from network import run  # noqa: E402

SLOW_MS = 300  # a den that is silent for 1.5 s is called away
CHANGES = crash.WRITE | crash.SYNC | crash.RENAME


@contextlib.contextmanager
def slow(faults, calls=crash.SYNC):
    faults.set(calls, crash.SLOW, SLOW_MS)
    try:
        yield
    finally:
        faults.clear()


def entries(net):
    """As they are committed: `key=value` lines, the first is `what`."""
    db = sqlite3.connect(net.path("den/den.db"), timeout=60)
    try:
        return [row[0] for row in db.execute("SELECT CAST(bytes AS TEXT) FROM audit ORDER BY no")]
    finally:
        db.close()


def logged(net, do, line, what, part, den=None):
    """`do` has den log `line`: by then the audit has an entry of that kind with `part` in it, which it had not before. What `do` returned."""
    known, seen = len(entries(net)), len(net.den.err)
    with slow(net.faults):
        done = do()
        process = den or net.den
        process.wait_line(process.err, line, 0 if den else seen)
        new = entries(net)[known:]
        tap.check(any(entry.startswith(f"what={what}\n") and part in entry for entry in new), f"logged, and not in the audit yet: {what}; there are {new}")
    return done


def later(net, name, *words):
    return lambda: net.start(name, net.warren(name, *words))


def joining(net, name, line):
    def begin():
        process = net.start(name, net.warren(name, "join"))
        process.write(line + "\n")
        process.end_input()
        return process
    return begin


def write(net, name, text):
    with open(net.path("den", name), "w", encoding="ascii") as f:
        f.write(text)


def read(net, name):
    with open(net.path("den", name), encoding="ascii") as f:
        return f.read()


def reload_den(net):
    return lambda: net.den.process.send_signal(signal.SIGHUP)


def make(net):
    net.init()
    net.faults = crash.Faults(net.build, net.path("faults"), net.path("den"))
    net.faults_of_router = crash.Faults(net.build, net.path("faults-of-router"), net.path("router"))
    net.start_router(net.faults_of_router.prefix())
    net.start_den(net.faults.prefix())
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.ids["boss"] = net.identity("boss")["id"]
    for name in ("alice", "bob"):
        net.join(name)
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")


@tap.test
def files_that_den_refuses(net):
    conf, policy = read(net, "den.conf"), read(net, "policy.yaml")
    write(net, "den.conf", conf + "leaf_life = long\n")
    logged(net, reload_den(net), r"event=config\.refused", "config.refused", "leaf_life")
    write(net, "den.conf", conf)
    write(net, "policy.yaml", policy + "colour: red\n")
    logged(net, reload_den(net), r"event=policy\.(error|refused)", "policy.refused", "colour")
    net.den.stop()
    argv = [*net.faults.prefix(), net.program("warren-den"), "run", "--config", net.path("den/den.conf")]
    net.den = net.start("warren-den", argv)
    logged(net, lambda: None, r"event=policy\.(error|refused)", "policy.refused", "colour", net.den)
    net.den.wait_line(net.den.err, "event=online")
    seen = len(net.den.err)
    write(net, "policy.yaml", policy)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, r"event=policy\.loaded", seen)


@tap.test
def calls_that_den_refuses(net):
    bob = logged(net, later(net, "bob", "chat", net.ids["alice"], "--loopback"), r"event=session\.refused", "session.refused", "reason=denied")
    tap.check(bob.wait() != 0, "it was let through")
    run(net.warren("alice", "name", "claim", "the-desk"))
    bob = logged(net, later(net, "bob", "name", "claim", "the-desk"), "event=refused ", "request.refused", "procedure=den.name.claim")
    tap.check(bob.wait() != 0, "it has the name")


@tap.test
def a_call_that_is_declined(net):
    run(net.warren("bob", "consent", "deny"))
    bob = net.wait_chat("bob")
    alice = logged(net, later(net, "alice", "chat", net.ids["bob"], "--loopback"), r"event=session\.failed .*state=declined", "session.declined", "takes no calls")
    tap.check(alice.wait() != 0, "it was let through")
    bob.stop()
    run(net.warren("bob", "consent", "none"))


@tap.test
def machines_that_come(net):
    shutil.copytree(net.path("alice"), net.path("copy"))
    alice = net.wait_chat("alice")
    alice.wait_line(alice.err, "^online")
    copy = logged(net, later(net, "copy", "name", "list"), "event=clone ", "identity.cloned", net.ids["alice"])
    tap.check(copy.wait() == 1, "the copy was let in")
    alice.stop()
    again = run([net.program("warren-den"), "peer", "re-enrol", net.ids["alice"], "--config", net.path("den/den.conf")]).stdout.strip()
    alice = logged(net, joining(net, "alice2", again), "event=re_enrolled ", "identity.re_enrolled", net.ids["alice"])
    tap.check(alice.wait() == 0, "\n".join(alice.err))
    seen = len(net.den.err)
    write(net, "den.conf", read(net, "den.conf") + "enrolment = approval\n")
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, "event=config.loaded", seen)
    dave = logged(net, joining(net, "dave", net.token().rsplit(".", 1)[0]), "event=waits_for_approval ", "identity.waits", "code=")
    dave.stop()


def kept(net, do, line, name, part):
    """`do` has the router log `line`: by then that file of its folder has `part` in it."""
    seen = len(net.router.err)
    with slow(net.faults_of_router, CHANGES):
        done = do()
        net.router.wait_line(net.router.err, line, seen)
        path = net.path("router", name)
        with open(path if os.path.exists(path) else os.devnull, "rb") as f:
            tap.check(part in f.read(), f"logged, and not in {path} yet")
    tap.check(done.wait() == 0, "\n".join(done.err))


@tap.test
def what_an_administrator_does_at_the_router(net):
    """den is away: the router's folder alone has it."""
    bob = net.wait_chat("bob")
    bob.wait_line(bob.err, "^online")
    net.den.stop()
    target = json.dumps(net.ids["bob"])
    seen = len(bob.err)
    kept(net, later(net, "boss", "call", "network.peer.kick", target, '"too loud"'), "event=kicked ", "acts", b"too loud")
    bob.wait_line(bob.err, "^online", seen)
    kept(net, later(net, "boss", "call", "wamp.session.kill_by_authid", target, "message=for good"), "event=killed ", "acts", b"for good")
    net.start_den(net.faults.prefix())
    bob.stop()


@tap.test
def what_is_revoked(net):
    before = os.path.getsize(net.path("router/revocations"))
    seen = len(net.router.err)
    with slow(net.faults_of_router, CHANGES):
        run([net.program("warren-den"), "revoke", "--id", net.ids["bob"], "--config", net.path("den/den.conf")])
        net.router.wait_line(net.router.err, "event=revocations ", seen)
        tap.check(os.path.getsize(net.path("router/revocations")) > before, "logged, and not kept yet")


tap.main(make=make)
