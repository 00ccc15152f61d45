#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Machines that sleep while a network goes on: its clock is set ahead from day to day, and everybody who is awake starts anew."""
import json
import subprocess

import tap
from network import fast, run, shown

DAY = 86400


class Days:
    """The day that it is for the programs of a network."""

    def __init__(self, net):
        self.net, self.day, self.prefix = net, 0, fast(net.build, 1)

    def go_to(self, day):
        self.day, self.prefix = day, fast(self.net.build, 1, day * DAY)
        for process in (self.net.den, self.net.router):
            process.stop()
        self.net.start_router(self.prefix)
        self.net.start_den(self.prefix)

    def chat(self, caller, callee):
        """They are linked, as the certificates of that day show."""
        there = self.net.wait_chat(callee, "--accept", prefix=self.prefix)
        here = self.net.dial_chat(caller, callee, prefix=self.prefix)
        try:
            here.wait_line(here.err, "^linked with " + shown(self.net.ids[callee]))
            here.write(f"day {self.day}\n")
            there.wait_line(there.out, f"day {self.day}")
            return here.err
        finally:
            here.stop()
            there.stop()

    def certificate(self, name):
        return json.loads(run([*self.prefix, *self.net.warren(name, "id", "--json")]).stdout)


def router_certificate(net):
    path = net.path("router/tls.pem")
    return subprocess.run(["openssl", "x509", "-in", path, "-noout", "-serial"], capture_output=True, text=True, check=True).stdout


@tap.test
def a_certificate_that_expired_is_renewed_with_another_key(net):
    net.days = days = Days(net)
    net.allow("allow from * to * can chat consent none")
    for name in ("alice", "bob", "sleeper"):
        net.join(name)
    before = days.certificate("alice")
    with open(net.path("alice/tls.key"), encoding="ascii") as f:
        key = f.read()
    days.go_to(2)
    days.chat("alice", "bob")
    after = days.certificate("alice")
    with open(net.path("alice/tls.key"), encoding="ascii") as f:
        tap.check(f.read() != key, "the same key")
    tap.check(after["serial"] != before["serial"] and after["id"] == before["id"], f"{before} {after}")


@tap.test
def the_routers_own_is_renewed_in_time(net):
    before = router_certificate(net)
    net.days.go_to(21)
    net.router.wait_line(net.router.err, "event=certificate")
    tap.check(router_certificate(net) != before, "the same certificate")
    net.days.chat("alice", "bob")


@tap.test
def whoever_slept_for_a_month_comes_back_by_himself(net):
    net.days.go_to(31)
    said = net.days.chat("sleeper", "bob")
    tap.check(not [line for line in said if "clock_skew" in line], "\n".join(said))
    tap.check(net.days.certificate("sleeper")["id"] == net.ids["sleeper"], "another ID")
    net.days.chat("bob", "sleeper")


@tap.test
def and_so_does_one_whose_sleep_was_the_networks_too(net):
    """Everything stood still for six weeks: the router's certificate is over as well."""
    net.days.go_to(80)
    net.den.wait_line(net.den.err, "event=router.certificate.renewed")
    net.days.chat("alice", "bob")


@tap.test
def no_serial_was_used_twice(net):
    text = run([net.program("warren-den"), "cert", "list", "--config", net.path("den/den.conf"), "--json"]).stdout
    serials = [cert["serial"] for cert in json.loads(text)]
    tap.check(len(serials) == len(set(serials)) and len(serials) >= 10, str(len(serials)))
    done = run([net.program("warren-den"), "audit", "verify", "--config", net.path("den/den.conf")])
    tap.check_in("whole and in order", done.stdout)


tap.main()
