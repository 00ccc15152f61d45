#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A link that is up while the network changes under it: what is said arrives, and the link is on a direct path again where there is one."""
import signal
import time

import alone

alone.enter()

import tap  # noqa: E402
from network import Failed  # noqa: E402
from reach import Reach  # noqa: E402

reach = Reach(tap.build_dir(), "survive", has_turn=False)
BACK = 100  # ten times what NATs and addresses may cost (R13)
GIVEN_UP = 12  # seconds after which ICE has given a path up


class Talk:
    """Both ends of a chat that stands."""

    def __init__(self, left, right, *words, wan="20ms", settles="direct"):
        reach.up(left, right, wan)
        self.bob = reach.wait(*words)
        self.alice = reach.warren("alice", "chat", reach.net.ids["bob"], *words)
        self.n = 0
        self.wait_path(settles, seen=(0, 0))
        self.say()
        time.sleep(1)  # both have settled

    def ends(self):
        return (self.alice, self.bob)

    def seen(self):
        return tuple(len(end.err) for end in self.ends())

    def wait_path(self, kind, seen, which=("alice", "bob")):
        for name, end, start in zip(("alice", "bob"), self.ends(), seen):
            if name in which:
                end.wait_line(end.err, f"^path {kind}", start, BACK)

    def say(self, patience=BACK):
        """A line each way."""
        self.n += 1
        text = f"line {self.n}"
        try:
            self.alice.write(text + "\n")
            self.bob.wait_line(self.bob.out, text + "$", patience=patience)
            self.bob.write(text + " back\n")
            self.alice.wait_line(self.alice.out, text + " back$", patience=patience)
        except Failed as e:
            raise Failed(f"{e}\nalice said:\n  " + "\n  ".join(self.alice.err)) from e

    def returns(self, event, kind="direct"):
        """After the event what is said arrives, and both ends come to a new path of that kind."""
        seen = self.seen()
        event()
        self.say()
        self.wait_path(kind, seen)
        self.say()


def cut(is_cut=True):
    reach.lab.cut("left", "right", is_cut)


@tap.test
def a_direct_path_that_ice_gave_up(_):
    talk = Talk("port", "port")
    seen = talk.seen()
    cut()
    talk.say()
    talk.wait_path("relay", seen)
    time.sleep(GIVEN_UP)
    talk.say()
    talk.returns(lambda: cut(False))


@tap.test
def short_cuts_in_a_row(_):
    talk = Talk("port", "address")
    for _number in range(4):
        cut()
        talk.say()
        time.sleep(1)
        cut(False)
        talk.say()
        time.sleep(1)
    seen = talk.seen()
    cut()
    talk.say()
    time.sleep(4)
    talk.say()
    cut(False)
    talk.wait_path("direct", seen)
    talk.say()


@tap.test
def a_nat_that_forgot_everything(_):
    talk = Talk("port", "port")
    for side in ("left", "right"):
        talk.returns(lambda side=side: reach.lab.rebind(side))


@tap.test
def another_public_address(_):
    talk = Talk("port", "double")
    for side in ("left", "right"):
        talk.returns(lambda side=side: reach.lab.renumber(side))


@tap.test
def another_address_of_the_machine(_):
    talk = Talk("port", "open")
    for side in ("left", "right"):
        talk.returns(lambda side=side: reach.lab.renumber(side, inside=True))


@tap.test
def both_have_another_address_at_once(_):
    talk = Talk("port", "port")

    def event():
        for side in ("left", "right"):
            reach.lab.renumber(side, inside=True)
    talk.returns(event)
    talk.returns(event)


@tap.test
def a_machine_that_slept(_):
    talk = Talk("port", "port")

    def event():
        talk.alice.process.send_signal(signal.SIGSTOP)
        time.sleep(6)
        reach.lab.rebind("left")
        talk.alice.process.send_signal(signal.SIGCONT)
    talk.returns(event)


@tap.test
def nothing_but_a_direct_path_is_allowed(_):
    talk = Talk("port", "port", "--path", "direct")
    talk.returns(lambda: reach.lab.rebind("left"))
    talk.returns(lambda: reach.lab.renumber("right", inside=True))


@tap.test
def nothing_but_the_relay_is_there(_):
    talk = Talk("symmetric", "symmetric", settles="relay")
    for event in (lambda: reach.lab.rebind("left"), lambda: reach.lab.renumber("left"), lambda: reach.lab.renumber("right", inside=True)):
        event()
        talk.say()
    reach.lab.pull("left")
    time.sleep(6)
    reach.lab.plug("left")
    talk.say()


@tap.test
def without_the_servers(_):
    """The direct path lives when router and den are gone, and comes back by itself though nobody carries the words of another try."""
    talk = Talk("port", "port")
    for process in (reach.net.den, reach.net.router):
        process.stop()
    talk.say()
    time.sleep(5)
    talk.say()
    cut()
    time.sleep(GIVEN_UP)
    cut(False)
    talk.say()


@tap.test
def the_servers_and_the_path_go_and_come(_):
    talk = Talk("port", "port")
    seen = talk.seen()
    for process in (reach.net.den, reach.net.router):
        process.stop()
    cut()
    time.sleep(4)
    reach.net.start_router(reach.lab.inside("public"))
    reach.net.start_den(reach.lab.inside("public"))
    talk.say()
    talk.wait_path("relay", seen)
    talk.returns(lambda: cut(False))


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
