#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`warren explain` between kinds of networks: both NATs by their names, every pair with its result, why the path is what it is; and what
den's audit says of it afterwards."""
import json
import subprocess
import time

import alone

alone.enter()

import expected  # noqa: E402
import tap  # noqa: E402
from doctor_names import NAMES  # noqa: E402
from network import PATIENCE, run  # noqa: E402
from reach import Reach  # noqa: E402

reach = Reach(tap.build_dir())


def explain(*words):
    done = subprocess.run([*reach.inside("alice"), *reach.net.warren("alice", "explain", "--json", *words, reach.net.ids["bob"])],
                          capture_output=True, text=True, check=False, timeout=60)
    tap.check(done.stdout.startswith("{"), f"{done.stdout}{done.stderr}")
    found = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
    tap.check(done.returncode == any(f["verdict"] == "bad" for all_ in found.values() for f in all_), f"exit status {done.returncode}: {found}")
    return found


def names(found, subject):
    return [f["facts"].get("name") for f in found.get(subject, []) if f["facts"]]


def is_named(kind, found, subject):
    if kind in NAMES:
        tap.check(names(found, subject) == [NAMES[kind]], f"{subject}: {kind} is called {found.get(subject)}")
    else:
        tap.check(names(found, subject) == ["UDP is blocked"], f"{subject}: {kind} is called {found.get(subject)}")


def said_to_den():
    """The paths that the audit has, as each end said them: {(sid, by): entry}."""
    return [entry["facts"] for entry in map(json.loads, den("audit", "list").splitlines()) if entry["what"] == "session.path"]


def den(*words):
    return run([*reach.lab.inside("public"), reach.net.program("warren-den"), *words, "--config", reach.net.path("den/den.conf")]).stdout


def said_by(entries, want, why):
    """Who said that it is this path, for that reason as it looks from there."""
    ids = reach.net.ids
    return {e["by"] for e in entries if e["path"].startswith(want) and e["code"] == (why if e["by"] == ids["alice"] else mirrored(why))}


def pair(left, right, why, *words):
    reach.up(left, right, "20ms")
    before = len(said_to_den())
    bob = reach.wait()
    found = explain(*words)
    want = expected.best(left, right, reach.has_turn) if not words else words[-1]
    path = found["path"][0]["facts"]
    tap.check(path["kind"] == want and path["why"] == why, f"{left} - {right}: {found['path']}")
    if not words:  # whoever takes the relay alone asks no other server
        is_named(left, found, "nat_here")
        is_named(right, found, "nat_there")
    answered = [f for f in found["pair"] if f["facts"].get("result") == "answered"]
    if want == "direct":
        tap.check(answered and all(20 <= float(f["facts"]["rtt_ms"]) < 200 for f in answered), f"{left} - {right}: {found['pair']}")
    else:
        tap.check(not answered, f"{left} - {right}: {answered}")
    tap.check(found["relay"][0]["facts"]["up"] == "yes", f"{found['relay']}")
    tap.check(len(found["mtu"]) == 1 and int(found["mtu"][0]["facts"]["datagram_max"]) > 1000, f"{found['mtu']}")
    until = time.monotonic() + PATIENCE
    while said_by(said_to_den()[before:], want, why) != set(reach.net.ids.values()):
        tap.check(time.monotonic() < until, f"not both ends told den: {said_to_den()[before:]}")
        time.sleep(0.2)
    bob.stop()


def mirrored(why):
    """What the other end says of the same."""
    here, there = ("_here", "_there")
    return why.replace(here, there) if here in why else why.replace(there, here)


@tap.test
def a_direct_path(_):
    pair("address", "full", "direct")


@tap.test
def two_nats_that_let_none_through(_):
    pair("symmetric", "port", "nats")


@tap.test
def udp_is_blocked_at_one_end(_):
    pair("open", "blocked", "udp_blocked_there")


@tap.test
def only_a_proxy(_):
    pair("proxy", "full", "udp_blocked_here")


@tap.test
def no_kind_of_address_in_common(_):
    pair("ipv6", "double", "no_common_family")


@tap.test
def one_who_wants_the_relay(_):
    pair("open", "open", "policy_here", "--path", "relay")


@tap.test
def the_lists_have_the_reason(_):
    lines = den("session", "list")
    tap.check_in("relay (policy_", lines)  # as the end saw it that told den first
    tap.check_in("(udp_blocked_", lines)


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
