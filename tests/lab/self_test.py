#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The laboratory proves itself: three tools that know nothing of it tell its kinds of NAT apart, and its Internet does what it is told."""
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import alone

alone.enter()

import labnet  # noqa: E402
import probe  # noqa: E402
import tap  # noqa: E402

LAB = os.path.join(alone.HERE, "lab")
STUN = (f"{labnet.PUBLIC4}.{labnet.TURN}", 3478)
SERVER = f"{labnet.PUBLIC4}.{labnet.ROUTER}"
# Mapping and filtering: in the words of RFC 5780, of coturn's natdiscovery, and of Vovida's stun.
NATS = {
    "open": ("independent", "independent", "Endpoint Independent Mapping", "Endpoint Independent Filtering", "Open"),
    "full": ("independent", "independent", "Endpoint Independent Mapping", "Endpoint Independent Filtering", "Independent Mapping, Independent Filter"),
    "address": ("independent", "address", "Endpoint Independent Mapping", "with Address Dependent Filtering",
                "Independent Mapping, Address Dependent Filter"),
    "port": ("independent", "port", "Endpoint Independent Mapping", "Address and Port Dependent Filtering", "Independent Mapping, Port Dependent Filter"),
    "double": ("independent", "port", "Endpoint Independent Mapping", "Address and Port Dependent Filtering",
               "Independent Mapping, Port Dependent Filter"),
    "symmetric": ("port", "port", "Address and Port Dependent Mapping", "Address and Port Dependent Filtering", "Dependent Mapping"),
}


def lab(*words, wanted=0):
    done = subprocess.run([LAB, *words], capture_output=True, text=True, timeout=60, check=False)
    tap.check(done.returncode == wanted, f"lab {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def outside(name, *argv):
    return subprocess.run([LAB, "exec", "--name", name, "left", "--", *argv], capture_output=True, text=True, timeout=60, check=False).stdout


def judge(kind):
    one = labnet.Lab("nat" + kind).up(left=kind, coturn=True)
    try:
        found = probe.behaviour(one.netns("left"), STUN)
        coturn = outside(one.name, "turnutils_natdiscovery", "-m", "-f", STUN[0]) if shutil.which("turnutils_natdiscovery") else None
        vovida = outside(one.name, "stun", f"{STUN[0]}:{STUN[1]}") if shutil.which("stun") else None
    finally:
        one.down()
    return kind, found, coturn, vovida


@tap.test
def three_outside_tools_agree_on_each_kind_of_nat(_):
    with ThreadPoolExecutor(len(NATS)) as pool:  # six labs at once
        for kind, found, coturn, vovida in pool.map(judge, NATS):
            mapping, filtering, *words = NATS[kind]
            tap.check(found == (mapping, filtering), f"{kind}: RFC 5780 says {found}")
            if coturn is not None:
                tap.check(words[0] in coturn and words[1] in coturn, f"{kind}: natdiscovery says {coturn}")
            if vovida is not None:
                tap.check_in(f"Primary: {words[2]}", vovida)


@tap.test
def what_is_blocked_is_blocked_and_the_rest_is_not(_):
    wanted = {"port": (True, True, True), "blocked": (False, True, True), "tcp443": (False, True, False), "proxy": (False, False, False)}
    for kind, facts in wanted.items():
        one = labnet.Lab("wall").up(left=kind, coturn=True)
        door = probe.Door(one.netns("public"), SERVER, 443, 80)
        with probe.udp(one.netns("left")) as s:
            udp = probe.mapped(s, STUN) is not None
        found = (udp, *(probe.connects(one.netns("left"), SERVER, port) for port in (443, 80)))
        tap.check(found == facts, f"{kind}: UDP, TCP 443, TCP 80: {found}")
        tap.check(not probe.connects(one.netns("public"), "198.51.100.2", 22, 1), "a NAT took in a connection")
        if kind == "proxy":
            for proxy in ("http://192.168.1.1:3128", "socks5://192.168.1.1:1080"):
                for port, status in ((443, 0), (80, None)):
                    done = subprocess.run([*one.inside("left"), "curl", "--silent", "--show-error", "--max-time", "20", "--proxytunnel", "--proxy", proxy,
                                           f"telnet://{SERVER}:{port}"], input="", capture_output=True, text=True, check=False)
                    tap.check((done.stdout == "hello") == (status == 0), f"{proxy} to port {port}: {done}")
            tap.check_in("https_proxy=http://192.168.1.1:3128", outside("wall", "env"))
        door.close()
        one.down()


@tap.test
def ipv6_alone_reaches_servers_and_lets_in_answers(_):
    one = labnet.Lab("six").up(left="ipv6", right="ipv6", coturn=True)
    six = f"{labnet.PUBLIC6}::{labnet.ROUTER}"
    door = probe.Door(one.netns("public"), six, 443)
    inner = probe.Door(one.netns("left"), one.host("left"), 443)
    tap.check(probe.connects(one.netns("left"), six, 443), "the server is not reached")
    tap.check(not probe.connects(one.netns("left"), SERVER, 443, 1), "there is IPv4")
    tap.check(not probe.connects(one.netns("public"), one.host("left"), 443, 1), "the firewall lets in what was not asked for")
    with probe.udp(one.netns("left"), ("::", 0)) as s:
        seen = probe.mapped(s, (f"{labnet.PUBLIC6}::{labnet.TURN}", 3478))
        tap.check(seen and seen == (one.host("left"), s.getsockname()[1]), f"seen as {seen}")
    # Two firewalls open to each other when both send.
    with probe.udp(one.netns("left"), (one.host("left"), 7000)) as a, probe.udp(one.netns("right"), (one.host("right"), 7000)) as b:
        a.sendto(b"first", (one.host("right"), 7000))
        b.sendto(b"second", (one.host("left"), 7000))
        a.settimeout(20)
        tap.check(a.recv(10) == b"second", "nothing came")
    door.close()
    inner.close()
    one.down()


@tap.test
def mappings_addresses_and_cables_change(_):
    for kind in ("full", "port", "symmetric", "double"):
        one = labnet.Lab("change").up(left=kind, coturn=True)
        with probe.udp(one.netns("left")) as s:
            first = probe.mapped(s, STUN)
            tap.check(first == probe.mapped(s, STUN), f"{kind}: a mapping did not last")
            lab("rebind", "left", "--name", "change")
            second = probe.mapped(s, STUN)
            tap.check(second and second[0] == first[0] and second[1] != first[1], f"{kind}: {first} after a rebind {second}")
            lab("renumber", "left", "--name", "change")
            third = probe.mapped(s, STUN)
            tap.check(third and third[0] == "198.51.100.3", f"{kind}: {second} after a renumbering {third}")
        lab("renumber", "left", "--inside", "--name", "change")
        with probe.udp(one.netns("left")) as s:
            tap.check(probe.mapped(s, STUN) is not None, f"{kind}: nothing goes after the host got another address")
            lab("pull", "left", "--name", "change")
            tap.check(not probe.carrier(one.netns("left")), f"{kind}: the cable is in")
            lab("plug", "left", "--name", "change")
            tap.check(probe.carrier(one.netns("left")) and probe.mapped(s, STUN) is not None, f"{kind}: nothing goes after the cable is back")
            lab("cut", "left", "turn", "--name", "change")
            tap.check(probe.mapped(s, STUN) is None, f"{kind}: a cut way carries")
            lab("mend", "left", "turn", "--name", "change")
            tap.check(probe.mapped(s, STUN) is not None, f"{kind}: a mended way does not carry")
        one.down()


@tap.test
def the_internet_does_what_it_is_told(_):
    one = labnet.Lab("way").up(wan="50ms")
    at = ("203.0.113.10", 5001)
    with probe.udp(one.netns("left")) as a, probe.udp(one.netns("right"), at) as b:
        came = probe.late(a, b, at, 500)
        times = [t * 1e3 for _, t in came]
        tap.check(len(came) == 500 and [n for n, _ in came] == list(range(500)), "lost or out of order on a good way")
        tap.check(min(times) >= 25, f"half a round trip of 50 ms took {min(times)} ms")
        tap.check(min(times) < 35, f"half a round trip of 50 ms took {min(times)} ms at best")
        one.wan("50ms,jitter=20ms")
        times = [t * 1e3 for _, t in probe.late(a, b, at, 500, gap=0.002)]
        tap.check(min(times) >= 25 and statistics.pstdev(times) > 1, f"jitter: {min(times)} to {max(times)}")
        one.wan("10%")
        n = len(probe.late(a, b, at, 2000))
        tap.check(1650 < n < 1950, f"of 2000 with 10% loss {n} came")
        one.wan("20ms,reorder=10%")
        order = [n for n, _ in probe.late(a, b, at, 1000)]
        overtaken = sum(1 for x, y in zip(order, order[1:]) if y < x)
        tap.check(len(order) == 1000 and 20 < overtaken < 250, f"{overtaken} of 1000 overtaken, {len(order)} came")
        one.wan("8mbit,queue=10kB")  # a packet of 1028 bytes a millisecond
        came = probe.late(a, b, at, 200, size=1000, gap=0)
        way = next(way for way in one.stats()["ways"] if (way["from"], way["to"]) == ("left", "right"))
        tap.check(way["overflow"] > 0 and len(came) == 200 - way["overflow"], f"queue: {len(came)} came, {way}")
        lab("wan", "", "--name", "way")
        lab("wan", "30ms", "--from", "left", "--to", "right", "--name", "way")
        tap.check([w["delay_us"] for w in one.stats()["ways"] if w["delay_us"]] == [15000], "one way alone was to be slow")
    one.down()


@tap.test
def several_labs_do_not_meet(_):
    one, two = labnet.Lab("one").up(left="open"), labnet.Lab("two").up(left="open", right="port")
    door = probe.Door(one.netns("left"), one.host("left"), 443)
    tap.check(probe.connects(one.netns("right"), one.host("left"), 443), "not reached in its own lab")
    tap.check(not probe.connects(two.netns("right"), one.host("left"), 443, 1), "reached from another lab")
    tap.check(lab("list").split() == ["one", "two"], lab("list"))
    door.close()
    one.down()
    tap.check(lab("list").split() == ["two"], "the other one went too")
    tap.check_in("port", lab("status", "--name", "two"))
    two.down()
    tap.check(not os.listdir("/run/netns"), str(os.listdir("/run/netns")))


@tap.test
def down_removes_what_a_crash_left(_):
    for seconds in (0.05, 0.1, 0.15, 0.2, 0.3):
        process = subprocess.Popen([LAB, "up", "--name", "crash", "--left", "double", "--coturn"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        subprocess.run([LAB, "down", "--name", "crash"], capture_output=True, timeout=60, check=False)
        left = [name for name in (os.listdir("/run/netns") if os.path.isdir("/run/netns") else []) if name.startswith("crash-")]
        tap.check(not left and not os.path.exists("/run/warren-lab/crash"), f"after {seconds} s there is left: {left}")
    one = labnet.Lab("crash").up()
    process = subprocess.Popen([*one.inside("left"), "sleep", "1000"])
    for pid in subprocess.run(["ip", "netns", "pids", one.netns("public")], capture_output=True, text=True, check=True).stdout.split():
        os.kill(int(pid), signal.SIGKILL)  # the emulated Internet
    tap.check_in("not whole", lab("status", "--name", "crash", wanted=1))
    lab("down", "--name", "crash")
    tap.check(process.wait(20) == -signal.SIGKILL, "what ran in it runs on")


@tap.test
def errors_say_what_to_do(_):
    for words, why in ((["up", "--left", "cone"], "no such kind.*open, full"), (["up", "--wan", "50"], "'50' is not understood.*50ms"),
                       (["up", "--wan", "50ms,20ms"], "round_trip stands twice"), (["up", "--wan", "loss=5"], "not understood"),
                       (["up", "--name", "No!"], "not a name"), (["down"], "no lab 'lab' is up"), (["pull", "left"], "no lab 'lab' is up"),
                       (["exec", "left", "--", "true"], "no lab 'lab' is up")):
        tap.check(re.search(why, lab(*words, wanted=1), re.S), f"{words}: {lab(*words, wanted=1)}")
    lab("up")
    tap.check_in("there is a lab 'lab' already", lab("up", wanted=1))
    tap.check_in("no command", lab("exec", "left", wanted=1))
    tap.check_in("no leftnat2", lab("exec", "leftnat2", "--", "true", wanted=1))
    tap.check_in("two sites", lab("cut", "left", "left", wanted=1))
    lab("exec", "left", "--", "false", wanted=1)
    lab("down")
    lab("pull", "middle", wanted=2)



tap.main(make=False)
