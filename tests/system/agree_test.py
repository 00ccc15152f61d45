#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den and the two ends of a session agree on whether it lives, also after one of them, the router or the signer was away when it ended."""
import json
import os
import re
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drill"))
import crash  # noqa: E402
import tap  # noqa: E402
from network import Failed, run, signer_of  # noqa: E402


class Talk:
    """A chat between alice and bob that is up."""

    def __init__(self, net):
        self.net = net
        self.bob = net.wait_chat("bob", "--accept")
        self.alice = net.dial_chat("alice", "bob")
        self.alice.wait_line(self.alice.err, "^linked with")
        self.alice.write("hello.\n")
        self.bob.wait_line(self.bob.out, "hello")
        self.sid = sessions(net, "--open")[0]["sid"]

    def hang_up(self):
        self.alice.stop()
        self.bob.wait_line(self.bob.err, "link is down|hung up|ended|closed")

    def stop(self):
        for end in (self.alice, self.bob):
            end.stop()


def den(net, *words):
    return run([net.program("warren-den"), *words, "--config", net.path("den/den.conf")])


def sessions(net, *words):
    return json.loads(den(net, "session", "list", "--json", *words).stdout)


def session(net, sid):
    return next(s for s in sessions(net) if s["sid"] == sid)


def until(net, sid, state):
    """What den knows of it, once it has that state."""
    give_up_at = time.monotonic() + 60
    while (found := session(net, sid))["state"] != state:
        if time.monotonic() > give_up_at:
            raise Failed(f"it is {found['state']}, not {state}: {found}")
        time.sleep(0.1)
    return found


def ends_at_both(talk, why):
    """Without their own doing: the chat that dialled is over, and the other one says that its link is."""
    talk.alice.wait()
    for end in (talk.alice, talk.bob):
        end.wait_line(end.err, "the network ended this session: " + re.escape(why))


@tap.test
def who_hung_up_while_den_was_away_tells_it_when_it_is_back(net):
    talk = Talk(net)
    net.den.stop()
    talk.hang_up()
    net.start_den()
    found = until(net, talk.sid, "closed")
    tap.check(found["path"] and found["reason"], f"{found}")
    tap.check(sessions(net, "--open") == [], "something is open")
    talk.stop()


@tap.test
def den_that_comes_back_slowly_is_told_too(net):
    """It is connected for a while and serves nothing yet."""
    talk = Talk(net)
    net.den.stop()
    talk.hang_up()
    faults = crash.Faults(net.build, net.path("faults"), net.path("den"))
    faults.set(crash.SYNC, crash.SLOW, 200)
    net.start_den(faults.prefix())
    until(net, talk.sid, "closed")
    faults.clear()
    talk.stop()


@tap.test
def who_hung_up_while_the_router_was_away_tells_it_when_that_is_back(net):
    talk = Talk(net)
    net.router.stop()
    talk.hang_up()
    net.start_router()
    until(net, talk.sid, "closed")
    talk.stop()


@tap.test
def what_an_administrator_ended_while_the_ends_were_away_ends_when_they_are_back(net):
    talk = Talk(net)
    net.router.stop()
    den(net, "session", "close", talk.sid, "--reason", "it was late")
    talk.alice.write("still there.\n")
    talk.bob.wait_line(talk.bob.out, "still there")
    net.start_router()
    ends_at_both(talk, "it was late")
    talk.stop()


@tap.test
def what_was_ended_while_the_signer_hung_ends_when_it_answers(net):
    talk = Talk(net)
    signer = signer_of(net.den.process.pid)
    os.kill(signer, signal.SIGSTOP)
    try:
        den(net, "session", "close", talk.sid, "--reason", "the signer hung")
        talk.alice.write("still there.\n")
        talk.bob.wait_line(talk.bob.out, "still there")
    finally:
        os.kill(signer, signal.SIGCONT)
    ends_at_both(talk, "the signer hung")
    talk.stop()


def lose(net, sid):
    """den believes that both its ends were away for too long."""
    net.den.stop()
    db = sqlite3.connect(net.path("den/den.db"))
    with db:
        db.execute("UPDATE session SET state = 'closed', reason = 'lost', closed_at = opened_at + 1 WHERE sid = ?",
                   (bytes.fromhex(sid),))
    db.close()
    net.start_den()


@tap.test
def what_was_lost_for_den_alone_is_found_when_its_ends_are_back(net):
    talk = Talk(net)
    lose(net, talk.sid)
    net.router.stop()
    net.start_router()
    found = until(net, talk.sid, "accepted")
    tap.check(not found.get("closed_at"), f"it stands as closed: {found}")
    tap.check([s["sid"] for s in sessions(net, "--open")] == [talk.sid], "not told as open")
    tap.check(any("session.found" in line and talk.sid in line for line in net.audit()), "not in the audit")
    talk.alice.write("still there.\n")
    talk.bob.wait_line(talk.bob.out, "still there")
    den(net, "session", "close", talk.sid, "--reason", "found")
    ends_at_both(talk, "found")
    talk.stop()


@tap.test
def what_was_over_for_den_alone_ends_at_an_administrators_word(net):
    talk = Talk(net)
    lose(net, talk.sid)
    den(net, "session", "close", talk.sid, "--reason", "it was over")
    ends_at_both(talk, "it was over")
    talk.stop()


def make(net):
    net.make()
    for name in ("alice", "bob"):
        net.join(name)
    net.allow("allow from * to * can chat")


tap.main(make=make)
