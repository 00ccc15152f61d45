#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A link that is up while the network changes under it: what is said arrives, and the link is on a direct path again where there is one."""
import contextlib
import functools
import re
import signal
import time

import alone

alone.enter()

import labnet  # noqa: E402
import tap  # noqa: E402
import reach as laboratory  # noqa: E402
from network import PATIENCE, run  # noqa: E402

reach = laboratory.Reach(tap.build_dir(), "survive", has_turn=False)
Talk = functools.partial(laboratory.Talk, reach)
GIVEN_UP = 12  # seconds after which ICE has given a path up


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
def the_router_is_reached_at_its_other_address_alone(_):
    """As from Wi-Fi with IPv4 to a network that has IPv6 alone: the relay goes along."""
    talk = Talk("open", "port", "--path", "relay", settles="relay")
    reach.lab.sh("leftnat", "ip -6 addr add 2001:db8:1:1::1/64 dev lan0 nodad")
    reach.lab.sh("left", "ip -4 addr flush dev eth0 scope global; ip -6 addr add 2001:db8:1:1::5/64 dev eth0 nodad; "
                 "ip -6 route replace default via 2001:db8:1:1::1")
    talk.say()


@contextlib.contextmanager
def hosts(text):
    """The router's hosts in what both have joined by."""
    kept = {}
    for name in laboratory.HOSTS:
        where = reach.net.path(name, "network")
        with open(where, encoding="ascii") as f:
            kept[where] = f.read()
        with open(where, "w", encoding="ascii") as f:
            f.write(re.sub(r"//[^/]*/", f"//{text}/", kept[where], count=1))
    try:
        yield
    finally:
        for where, content in kept.items():
            with open(where, "w", encoding="ascii") as f:
                f.write(content)


@tap.test
def an_address_of_the_router_that_swallows_from_now_on(_):
    """The relay is the only path: it goes on at the router's other address, and so do the connections to the router."""
    reach.up()
    with hosts("192.0.2.10,192.0.2.11"):
        talk = Talk("symmetric", "symmetric", "--path", "relay", settles="relay")
        reach.lab.sh("public", "ip addr add 192.0.2.11/32 dev wan0")
        seen = len(reach.net.router.err)
        reach.lab.nft("public", 'table ip hole { chain in { type filter hook input priority -10; iifname "wan0" ip daddr 192.0.2.10 drop\n}\n}')
        talk.say()
        for name in laboratory.HOSTS:
            reach.net.router.wait_line(reach.net.router.err, f"event=joined id={reach.net.ids[name]}", seen)
        talk.say()


def connections(side):
    """How many a machine has, with what it runs, to the outside."""
    return len(run([*reach.lab.inside(side), "ss", "-Htn", "state", "established"]).stdout.splitlines())


def wait_until(so):
    until = time.monotonic() + PATIENCE
    while not so():
        tap.check(time.monotonic() < until, "it did not come to that")
        time.sleep(0.2)


@tap.test
def a_relay_of_several_addresses(_):
    """The first swallows, or refuses."""
    reach.up()
    where = reach.net.path("den/den.conf")
    with open(where, encoding="ascii") as f:
        kept = f.read()
    for first in ("192.0.2.99:443", "192.0.2.10:9"):
        with open(where, "w", encoding="ascii") as f:
            f.write(kept + f"relay = {first} 192.0.2.10:443\n")
        talk = Talk("symmetric", "symmetric", "--path", "relay", settles="relay")
        for side in labnet.SIDES:  # to the router, and to its relay
            wait_until(lambda side=side: connections(side) == 2)
        talk.say()
    with open(where, "w", encoding="ascii") as f:
        f.write(kept)


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
