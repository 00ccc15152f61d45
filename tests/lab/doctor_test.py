#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `warren doctor` says of each kind of network, and of what is broken in one."""
import json
import subprocess

import alone

alone.enter()

import tap  # noqa: E402
from doctor_names import NAMES  # noqa: E402
from network import fast  # noqa: E402
from reach import Reach  # noqa: E402

reach = Reach(tap.build_dir())



def doctor(name, *before, words=("--json",)):
    """(exit status, {subject: [findings]}) of a machine."""
    done = subprocess.run([*reach.inside(name), *before, *reach.net.warren(name, "doctor", *words)], capture_output=True, text=True, check=False,
                          timeout=60)
    found = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
        tap.check(finding["verdict"] != "bad" or finding["remedy"], f"no remedy: {finding}")
    tap.check(done.returncode == any(f["verdict"] == "bad" for all_ in found.values() for f in all_), f"exit status {done.returncode}: {found}")
    return done.returncode, found


def nat(found):
    return [f["facts"]["name"] for f in found.get("nat", [])]


def verdict(found, subject):
    return [f["verdict"] for f in found.get(subject, [])]


def look_at(left, right):
    reach.up(left, right, "10ms")
    for name, kind in (("alice", left), ("bob", right)):
        status, found = doctor(name)
        if kind in NAMES:
            tap.check(nat(found) == [NAMES[kind]], f"{kind} is called {nat(found)}: {found}")
            tap.check(verdict(found, "udp") == ["good"], f"{kind}: {found['udp']}")
            tap.check(status == (kind == "symmetric"), f"{kind}: status {status}: {found}")
        else:
            tap.check(verdict(found, "udp") == ["bad"] and "blocked" in found["udp"][0]["text"], f"{kind}: {found.get('udp')}")
            tap.check(f"port {reach.net.port} of" in found["udp"][0]["remedy"], f"{kind}: {found['udp']}")
            tap.check(status == 1, f"{kind}: {found}")
        for subject in ("router", "den", "clock", "certificate", "chain", "relay"):
            tap.check(verdict(found, subject) == ["good"], f"{kind}: {subject}: {found.get(subject)}")
        if kind == "proxy":
            tap.check(found["proxy"][0]["facts"]["only"] == "yes", f"{found['proxy']}")
        else:
            tap.check(verdict(found, "tcp") == ["good"], f"{kind}: {found.get('tcp')}")
        looked = {f["facts"]["server"]: f["verdict"] for f in found["turn"]}
        for server, seen in looked.items():
            works = {"proxy": False, "ipv6": server.startswith("["), "blocked": "TCP" in server, "tcp443": "TCP" in server}.get(
                kind, not server.startswith("["))
            tap.check(seen == ("good" if works else "note" if server.startswith("[") != (kind == "ipv6") else "bad"), f"{kind}: TURN {looked}")
        tap.check(len(looked) == 3, f"{kind}: {looked}")


@tap.test
def open_and_full_cone(_):
    look_at("open", "full")


@tap.test
def address_and_port_restricted(_):
    look_at("address", "port")


@tap.test
def symmetric_and_double(_):
    look_at("symmetric", "double")


@tap.test
def udp_is_blocked_and_only_tcp_443(_):
    look_at("blocked", "tcp443")


@tap.test
def only_a_proxy_and_ipv6_alone(_):
    look_at("proxy", "ipv6")


@tap.test
def a_proxy_that_is_none(_):
    """Nothing listens there, or something else; or it is one, and the router answers without it too."""
    reach.up("proxy", "open", "10ms")
    for name, proxy, only, why in (("alice", "http://192.168.1.1:3129", "yes", "refused"), ("alice", "socks5://192.168.1.1:3128", "yes", "no answer"),
                                   ("bob", "http://127.0.0.1:9", "no", "refused")):
        status, found = doctor(name, "env", f"https_proxy={proxy}", f"HTTPS_PROXY={proxy}")
        tap.check(status == 1 and verdict(found, "proxy") == ["bad"], f"{proxy}: {found.get('proxy')}")
        tap.check(why in found["proxy"][0]["text"] and found["proxy"][0]["facts"]["only"] == only, f"{found['proxy']}")
        tap.check(("no_proxy" in found["proxy"][0]["remedy"]) == (only == "no"), f"{found['proxy']}")
        tap.check(verdict(found, "router") == ["bad"], f"{proxy}: {found.get('router')}")


@tap.test
def beside_a_program_that_runs(_):
    reach.up("port", "open", "10ms")
    bob = reach.wait()
    alice = reach.warren("alice", "chat", reach.net.ids["bob"])
    alice.wait_line(alice.err, "^path ")
    for name in ("alice", "bob"):
        status, found = doctor(name)
        tap.check(status == 0 and verdict(found, "program") == ["note"], f"{found}")
        for subject in ("state", "router", "den", "clock", "certificate", "chain", "relay", "tcp", "udp"):
            tap.check(verdict(found, subject) == ["good"], f"{subject}: {found.get(subject)}")
        tap.check(nat(found) == [NAMES["port" if name == "alice" else "open"]], f"{found['nat']}")
    alice.write("still here\n")
    bob.wait_line(bob.out, "still here$")
    tap.check(not [line for line in bob.err + alice.err if "finding" in line or "relay answers" in line], "the chat was told of it")
    for end in (alice, bob):
        end.stop()
    status, found = doctor("bob")
    tap.check(status == 0 and "program" not in found, f"{found}")


@tap.test
def a_clock_that_is_wrong(_):
    reach.up("open", "open")
    status, found = doctor("alice", *fast(tap.build_dir(), 1, 20 * 60))
    tap.check(status == 1 and verdict(found, "clock") == ["bad"], f"{found.get('clock')}")
    tap.check("signed time" in found["clock"][0]["text"], f"{found['clock']}")


@tap.test
def a_turn_server_that_is_dead(_):
    reach.lab.cut("left", "turn")
    status, found = doctor("alice")
    tap.check(status == 1 and verdict(found, "turn") == ["bad", "note", "bad"], f"{found['turn']}")
    tap.check(verdict(found, "udp") == ["good"], f"{found['udp']}")
    reach.lab.cut("left", "turn", False)


@tap.test
def a_router_that_is_away(_):
    for process in reach.net.processes:
        process.stop()
    reach.net.processes.clear()
    status, found = doctor("alice")
    tap.check(status == 1 and verdict(found, "router") == ["bad"] and verdict(found, "tcp") == ["bad"], f"{found}")


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
