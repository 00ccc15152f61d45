#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den is away, killed or hanging, and comes back; the router begins anew meanwhile. Links live, known machines come back, new sessions fail soon
and say why, and afterwards everything goes on."""
import os
import re
import signal
import time

import tap
from network import Failed, run, signer_of

SOON = 2  # seconds that a new session may take to fail


class Talk:
    """A chat that was there before."""

    def __init__(self, net):
        self.n = 0
        self.bob = net.wait_chat("bob", "--accept")
        self.alice = net.dial_chat("alice", "bob")
        self.alice.wait_line(self.alice.err, "^linked with")
        self.say()

    def say(self):
        self.n += 1
        self.alice.write(f"line {self.n}.\n")
        self.bob.wait_line(self.bob.out, rf"line {self.n}\.")


def chat_fails(net, who="carol"):
    """The dial fails with the reason, a remedy and a status of failure; how long it took from the moment the machine was online."""
    dials = net.dial_chat(who, "bob")
    began = time.monotonic()
    status = dials.wait()
    took = time.monotonic() - began
    said = "\n".join(dials.err)
    tap.check(status == 1, f"exit status {status}: {said}")
    tap.check_in("den_away", said)
    tap.check(re.search(r"den is (not connected|connected and does not answer)", said), said)
    tap.check_in("what to do: ", said)
    return took


def comes_back(net, name):
    """A machine with an admission is let in, and may call the router."""
    tap.check_in(net.ids[name], run(net.warren(name, "call", "network.whoami")).stdout)


def check_errands(net):
    """Who asks den something is not kept waiting either."""
    for words in (("boss", "admin", "status"), ("boss", "call", "--sign", "den.status"), ("carol", "name", "list")):
        began = time.monotonic()
        said = run(net.warren(*words), wanted=1).stderr
        took = time.monotonic() - began
        tap.check_in("den_away: ", said)
        tap.check_in("what to do: ", said)
        tap.check(took < 10 * SOON, f"{words}: {took}")


def check_away(net):
    net.talk.say()
    comes_back(net, "carol")
    took = [chat_fails(net) for _ in range(3)]
    tap.check(min(took) < 10 * SOON, f"{took}")  # of a busy machine; scripts/drill R24 measures it
    net.talk.say()
    refused = run(net.warren("stranger", "join", "--timeout", "5"), wanted=None, input=net.spare + "\n")
    tap.check(refused.returncode != 0 and "den" in refused.stderr, refused.stderr)


def check_back(net, who="carol"):
    """Everything goes on."""
    dials = net.dial_chat(who, "dave")
    dials.wait_line(dials.err, "^linked with")
    dials.stop()
    net.talk.say()


def begin(net):
    for name in ("alice", "bob", "carol", "dave", "fay"):
        net.join(name)
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.allow("allow from * to * can chat consent none")
    net.spare = net.token("--expires", "1d")
    net.waits = net.wait_chat("dave", "--accept")
    net.talk = Talk(net)
    check_back(net)


@tap.test
def den_is_killed_and_comes_back(net):
    begin(net)
    net.den.kill()
    net.router.wait_line(net.router.err, "event=left id=den")
    check_away(net)
    check_errands(net)
    net.start_den()
    check_back(net)


@tap.test
def den_hangs_and_goes_on(net):
    seen = len(net.router.err)
    net.den.process.send_signal(signal.SIGSTOP)
    try:
        check_away(net)
        check_errands(net)
        net.router.wait_line(net.router.err, "event=den_silent", seen)
    finally:
        net.den.process.send_signal(signal.SIGCONT)
    net.router.wait_line(net.router.err, "event=den_answers", seen)
    check_back(net)


def answered_too_late(net, name, way):
    """den cannot hand on that a call was accepted: both ends are told, the one that waits for a link too."""
    run(net.warren(name, "consent", "ask"))
    asked = net.wait_chat(name)
    dials = net.dial_chat("carol", name)
    dials.wait_line(dials.err, "^ringing")
    asked.wait_line(asked.err, r"calls \(its ID is proved\)")
    net.den.process.send_signal(signal.SIGSTOP)
    asked.write("y\n")
    if way == "dies":
        time.sleep(0.5)  # what was typed has gone; if it has not, it rings no longer
        net.den.kill()
    tap.check(dials.wait() == 1, f"{dials.err}")
    tap.check_in("den_away: den " + ("left before it answered" if way == "dies" else "is connected and does not answer"), "\n".join(dials.err))
    asked.wait_line(asked.err, "den_away: the other side gave up" + ("|canceled: " if way == "dies" else ""), patience=10)  # it would wait for longer by itself
    asked.stop()


@tap.test
def den_dies_over_an_answer(net):
    answered_too_late(net, "fay", "dies")
    net.start_den()
    check_back(net)


@tap.test
def den_hangs_over_an_answer(net):
    answered_too_late(net, "fay", "hangs")
    net.den.process.send_signal(signal.SIGCONT)


@tap.test
def the_router_begins_anew_while_den_is_away(net):
    net.den.kill()
    net.router.kill()
    net.start_router()
    for name in ("alice", "bob", "dave"):
        net.router.wait_line(net.router.err, f"event=joined id={net.ids[name]}")
    check_away(net)
    net.start_den()
    check_back(net)


@tap.test
def the_router_begins_anew_while_den_hangs(net):
    net.den.process.send_signal(signal.SIGSTOP)
    try:
        net.router.kill()
        net.start_router()
        for name in ("alice", "bob", "dave"):
            net.router.wait_line(net.router.err, f"event=joined id={net.ids[name]}")
        check_away(net)
    finally:
        net.den.process.send_signal(signal.SIGCONT)
    net.router.wait_line(net.router.err, "event=joined id=den")
    check_back(net)


@tap.test
def a_write_to_a_connection_that_is_gone_ends_nobody(net):
    """The kernel sends that signal with the error: a router that died while den had something to say took den with it."""
    for program in (net.den, net.router):
        program.process.send_signal(signal.SIGPIPE)
    check_back(net)
    os.kill(signer_of(net.den.process.pid), signal.SIGPIPE)
    run(net.warren("dave2", "join"), input=net.token() + "\n")
    tap.check(not net.den.find(net.den.err, r"event=signer\.lost"), "\n".join(net.den.err[-5:]))


@tap.test
def whoever_waited_for_den_comes_in_when_it_is_back(net):
    net.den.kill()
    joins = net.start("erin", net.warren("erin", "join", "--timeout", "120"))
    joins.write(net.spare + "\n")
    joins.end_input()
    asks = net.start("boss", net.warren("boss", "admin", "status", "--timeout", "120"))
    time.sleep(3)
    for waits in (joins, asks):
        if waits.process.poll() is not None:
            raise Failed(f"it did not wait: {waits.err}")
    net.start_den()
    tap.check(joins.wait() == 0, "\n".join(joins.err))
    tap.check(asks.wait() == 0, "\n".join(asks.err))
    check_back(net)


tap.main()
