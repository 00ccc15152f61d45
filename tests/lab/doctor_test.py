#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `warren doctor` says of each kind of network, and of what is broken in one."""
import contextlib
import json
import os
import re
import subprocess

import alone

alone.enter()

import tap  # noqa: E402
from doctor_names import NAMES  # noqa: E402
from network import Network, fast  # noqa: E402
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
            tap.check(verdict(found, "tcp") == (["note", "good"] if kind == "ipv6" else ["good", "note"]), f"{kind}: {found.get('tcp')}")
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
        tap.check(verdict(found, "tcp") == ["good", "note"], f"{found.get('tcp')}")
        for subject in ("state", "router", "den", "clock", "certificate", "chain", "relay", "udp"):
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
    tap.check(status == 1 and verdict(found, "router") == ["bad"] and verdict(found, "tcp") == ["bad", "note"], f"{found}")


# ---- which part of the way it is that does not work ----

@contextlib.contextmanager
def joined_to(name, hosts):
    """The machine joined by a join string with other hosts."""
    where = reach.net.path(name, "network")
    with open(where, encoding="ascii") as f:
        kept = f.read()
    with open(where, "w", encoding="ascii") as f:
        f.write(re.sub(r"//[^/]*/", f"//{hosts}/", kept, count=1))
    try:
        yield
    finally:
        with open(where, "w", encoding="ascii") as f:
            f.write(kept)


@contextlib.contextmanager
def names(text):
    """All names that there are, in these namespaces; no server is asked for others."""
    mounted = []
    for path, content in (("/etc/hosts", text), ("/etc/resolv.conf", "nameserver 127.0.0.1\n")):
        mine = os.path.join(reach.folder, os.path.basename(path))
        with open(mine, "w", encoding="ascii") as f:
            f.write(content)
        subprocess.run(["mount", "--bind", mine, path], check=True)
        mounted.append(path)
    try:
        yield
    finally:
        for path in mounted:
            subprocess.run(["umount", path], check=True)


def lines(found, subject):
    return [(f["verdict"], f["text"]) for f in found.get(subject, [])]


PROXIES = ("http://192.168.1.1:3128", "socks5://192.168.1.1:1080")


def through(proxy):
    return ["env", f"https_proxy={proxy}", f"HTTPS_PROXY={proxy}"]


@tap.test
def a_proxy_that_works_before_a_router_that_is_away(_):
    reach.up("proxy", "open", "10ms")
    reach.net.router.stop()
    for proxy in PROXIES:
        status, found = doctor("alice", *through(proxy))
        tap.check(status == 1 and verdict(found, "proxy") == ["bad", "bad"], f"{proxy}: {lines(found, 'proxy')}")
        tap.check("cannot reach 192.0.2.10:443" in found["proxy"][0]["text"] and found["proxy"][0]["facts"]["works"] == "yes", f"{found['proxy']}")
        tap.check("operator" in found["proxy"][0]["remedy"] and "https_proxy" not in found["proxy"][0]["remedy"], f"{found['proxy']}")
        tap.check(verdict(found, "router") == ["bad"], f"{proxy}: {found.get('router')}")
    reach.lab.cut("left", "public")  # no answer at all, for the proxy either
    status, found = doctor("alice")
    tap.check(verdict(found, "proxy") == ["bad", "bad"] and found["proxy"][0]["facts"]["works"] == "yes", f"{lines(found, 'proxy')}")
    reach.lab.cut("left", "public", False)


@tap.test
def a_proxy_that_works_before_a_router_that_is_another(_):
    reach.up("proxy", "open", "10ms")
    reach.net.router.stop()
    other = Network(tap.build_dir(), os.path.join(reach.folder, "other"), name=reach.net.name, host=reach.net.host)
    other.port = reach.net.port
    os.mkdir(other.folder)
    other.init()
    other.start_router(reach.lab.inside("public"))
    for proxy in PROXIES:
        status, found = doctor("alice", *through(proxy))
        tap.check(status == 1 and verdict(found, "proxy")[0] == "good", f"{proxy}: {lines(found, 'proxy')}")
        tap.check(verdict(found, "router") == ["bad"] and "manifest" in found["router"][0]["text"], f"{lines(found, 'router')}")
    other.close()


@tap.test
def a_proxy_that_works_and_a_name_that_does_not(_):
    reach.up("proxy", "open", "10ms")
    reach.lab.down()
    with names("192.0.2.10 router.example\n"):
        reach.start("proxy", "open", "10ms")
        with joined_to("alice", "nowhere.example"):
            for proxy in PROXIES:
                status, found = doctor("alice", *through(proxy))
                tap.check(status == 1 and verdict(found, "proxy") == ["bad"], f"{proxy}: {lines(found, 'proxy')}")
                tap.check("cannot reach nowhere.example:443" in found["proxy"][0]["text"], f"{lines(found, 'proxy')}")
                tap.check("name" in found["proxy"][0]["remedy"], f"{found['proxy']}")
        with joined_to("alice", "nowhere.example,router.example"):
            status, found = doctor("alice")
            tap.check(verdict(found, "proxy") == ["note", "good"] and verdict(found, "router") == ["good"], f"{lines(found, 'proxy')}")
        with joined_to("alice", "router.example:444"):
            status, found = doctor("alice")
            tap.check(verdict(found, "proxy") == ["bad"] and found["proxy"][0]["facts"]["works"] == "no", f"{lines(found, 'proxy')}")
            tap.check("403" in found["proxy"][0]["text"] and "https_proxy" in found["proxy"][0]["remedy"], f"{lines(found, 'proxy')}")


@tap.test
def each_address_of_the_router_is_told(_):
    """The first of two hosts answers nobody, or the first address of the only one."""
    reach.up("open", "open", "10ms")
    reach.lab.down()
    with names("192.0.2.99 router.example\n192.0.2.10 router.example\n"):
        reach.start("open", "open", "10ms")
        for hosts in ("192.0.2.99,192.0.2.10", "router.example"):
            with joined_to("alice", hosts):
                status, found = doctor("alice")
                tap.check(status == 1 and verdict(found, "tcp") == ["bad", "good"], f"{hosts}: {lines(found, 'tcp')}")
                tap.check([f["facts"]["address"] for f in found["tcp"]] == ["192.0.2.99:443", "192.0.2.10:443"], f"{found['tcp']}")
                tap.check(verdict(found, "router") == ["good"], f"{hosts}: {lines(found, 'router')}")
        with joined_to("alice", "nowhere.example,192.0.2.10:444,192.0.2.10"):
            status, found = doctor("alice")
            tap.check(verdict(found, "tcp") == ["bad", "bad", "good"], f"{lines(found, 'tcp')}")
            tap.check("no address" in found["tcp"][0]["text"] and "refused" in found["tcp"][1]["text"], f"{lines(found, 'tcp')}")
            tap.check(verdict(found, "router") == ["good"], f"{lines(found, 'router')}")


@tap.test
def a_clock_that_is_right_while_den_is_away(_):
    """Twenty minutes after den's last word, by a clock that nothing is known against; but one that is behind what den signed is wrong."""
    reach.up("open", "open")
    reach.net.den.stop()
    status, found = doctor("alice", *fast(tap.build_dir(), 1, 20 * 60))
    tap.check(status == 1 and verdict(found, "den") == ["bad"] and verdict(found, "clock") == ["note"], f"{lines(found, 'clock')}")
    tap.check("not known" in found["clock"][0]["text"] and "no signed time since" in found["clock"][0]["text"], f"{lines(found, 'clock')}")
    status, found = doctor("alice", *fast(tap.build_dir(), 1, -20 * 60))
    tap.check(status == 1 and verdict(found, "clock") == ["bad"], f"{lines(found, 'clock')}")


@tap.test
def both_families_are_looked_at(_):
    """Whichever one the router is reached over."""
    reach.up("port", "open", "10ms")
    reach.lab.sh("leftnat", "ip addr add 2001:db8:1:1::1/64 dev lan0 nodad")
    reach.lab.sh("left", "ip addr add 2001:db8:1:1::2/64 dev eth0 nodad; ip -6 route add default via 2001:db8:1:1::1")
    four, six = "192.0.2.10", "[2001:db8::10]"
    for is_blocked in (False, True):
        if is_blocked:
            reach.lab.nft("leftnat", "table ip6 wall { chain no_udp { type filter hook forward priority -10; meta l4proto udp drop;\n}\n}")
        for hosts in (f"{four},{six}", f"{six},{four}"):
            with joined_to("alice", hosts):
                _, found = doctor("alice")
            looked = {f["facts"]["family"]: f["verdict"] for f in found["udp"]}
            tap.check(looked == {"IPv4": "good", "IPv6": "bad" if is_blocked else "good"}, f"{hosts}: {lines(found, 'udp')}")
            tap.check({f["facts"]["family"]: f["facts"]["mapping"] for f in found["nat"]} ==
                      {"IPv4": "endpoint-independent", **({} if is_blocked else {"IPv6": "none"})}, f"{hosts}: {lines(found, 'nat')}")
            tap.check(verdict(found, "tcp") == ["good", "good"], f"{lines(found, 'tcp')}")
    reach.lab.nft("leftnat", "table ip6 wall { chain nothing { type filter hook forward priority -9; drop;\n}\n}")
    with joined_to("alice", f"{six},{four}"):
        _, found = doctor("alice")
    tap.check(verdict(found, "tcp") == ["bad", "good"] and verdict(found, "udp") == ["good", "bad"], f"{lines(found, 'tcp')}{lines(found, 'udp')}")
    tap.check("nothing comes back" in found["udp"][1]["text"], f"{lines(found, 'udp')}")


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
