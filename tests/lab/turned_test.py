#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A link over a TURN server while the network changes under it: an allocation belongs to the addresses that it was made from, so both ends
ask den for another credential and come back to another one."""
import functools
import time

import alone

alone.enter()

import reach as laboratory  # noqa: E402
import tap  # noqa: E402

reach = laboratory.Reach(tap.build_dir(), "turned")
Talk = functools.partial(laboratory.Talk, reach)


def credentials():
    """How many den gave besides those that came with a session."""
    return sum("session.turn" in line for line in reach.net.audit())


@tap.test
def two_symmetric_ones(_):
    talk = Talk("symmetric", "symmetric", settles="turn")
    talk.returns(lambda: reach.lab.renumber("left"), "turn")

    def both():
        for side in ("left", "right"):
            reach.lab.renumber(side, inside=True)
    talk.returns(both, "turn")


@tap.test
def nothing_but_turn_is_allowed(_):
    talk = Talk("symmetric", "port", "--path", "turn", settles="turn")
    talk.returns(lambda: reach.lab.renumber("right"), "turn")
    talk.returns(lambda: reach.lab.renumber("left", inside=True), "turn")
    for end in talk.ends():
        tap.check(not end.find(end.err, "^path (direct|relay)"), "\n".join(end.err))


@tap.test
def over_tcp(_):
    talk = Talk("blocked", "symmetric", settles="turn")
    talk.returns(lambda: reach.lab.renumber("left", inside=True), "turn")


@tap.test
def a_server_that_was_restarted(_):
    talk = Talk("symmetric", "symmetric", settles="turn")
    reach.lab.stop_coturn()
    talk.say()  # over the relay
    talk.returns(reach.lab.start_coturn, "turn")


@tap.test
def where_a_direct_path_comes_back_no_other_is_asked_for(_):
    talk = Talk("port", "port")
    before = credentials()
    talk.returns(lambda: reach.lab.renumber("left", inside=True))
    time.sleep(3)  # longer than a path may be lost before another is asked for
    talk.say()
    tap.check(credentials() == before, f"{credentials() - before} credentials")


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
