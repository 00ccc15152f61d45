#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clocks that are wrong: a peer's by five minutes and by a day; den's set back by an hour"""
import os
import re
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import fast, run, shown

MINUTES, DAY, HOUR = 300, 86400, 3600
WATCH_S = int(os.environ.get("R15_WATCH", "130"))
NAMES_BOTH = r"clock says \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, the network's time is \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
drill = Drill("R15", "clock skew")


def build():
    return os.environ.get("WARREN_BUILD", "build")


def talks(net, name, prefix):
    """Whether a machine with that clock is linked with bob, and what it said."""
    bob = net.wait_chat("bob", "--accept")
    caller = net.start(name, [*prefix, *net.warren(name, "chat", net.ids["bob"], "--loopback")])
    try:
        caller.wait_line(caller.err, "^linked with " + shown(net.ids["bob"]))
        caller.write("hello\n")
        bob.wait_line(bob.out, "hello")
        return True, caller.err
    except Exception as e:
        return False, [str(e)]
    finally:
        caller.stop()
        bob.stop()


def five_minutes(net):
    for ahead in (-MINUTES, MINUTES):
        name = f"off{ahead}"
        prefix = fast(build(), 1, ahead)
        net.join(name, prefix)
        ok, said = talks(net, name, prefix)
        drill.require(f"a peer whose clock is {ahead:+} s joins and links", ok, "linked" if ok else said[-1])


def a_day_ahead(net):
    """Network time is what den signs: links go by it, and the machine's own clock is reported once."""
    prefix = fast(build(), 1, DAY)
    net.join("ahead", prefix)
    ok, said = talks(net, "ahead", prefix)
    errors = [line for line in said if re.search(NAMES_BOTH, line)]
    drill.require("a peer whose clock is a day ahead joins, and links by network time", ok, "linked" if ok else said[-1])
    drill.require("and says so once, with both times", len(errors) == 1 and errors[0].startswith("clock_skew: "),
                  errors[0] if errors else "nothing")
    done = run([*prefix, *net.warren("ahead", "name", "list")])
    drill.require("a command for one thing says so too", len(re.findall(NAMES_BOTH, done.stderr)) == 1, done.stderr.strip().replace("\n", " | "))


def far_ahead(net):
    """By such a clock the router's certificate is over, or the manifest: what has to be said is that the clock is wrong."""
    for days, works in ((45, True), (401, False)):
        prefix = fast(build(), 1, days * DAY)
        for who, words in (("alice", ("name", "list")), (f"far{days}", ("join",))):
            done = run([*prefix, *net.warren(who, *words)], input=net.token() + "\n", wanted=None)
            said = re.findall(NAMES_BOTH, done.stderr)
            drill.require(f"{who}, {days} days ahead, {'goes on by network time' if works else 'is refused'}, and is told why once, with both times",
                          (done.returncode == 0) == works and len(said) == 1 and "clock_skew: " in done.stderr, done.stderr.strip().replace("\n", " | "))


def a_day_behind(net):
    """By such a clock the keys of this young network are not yet in force."""
    prefix = fast(build(), 1, -DAY)
    done = run([*prefix, *net.warren("late", "join")], input=net.token() + "\n", wanted=None)
    drill.require("a peer whose clock is a day behind is told so when it joins, once, with both times", done.returncode == 1 and
                  len(re.findall(NAMES_BOTH, done.stderr)) == 1 and "clock_skew" in done.stderr, done.stderr.strip().replace("\n", " | "))
    n = len(net.router.err)
    waiting = net.start("alice", [*prefix, *net.warren("alice", "chat", "--loopback")])
    waiting.wait_line(waiting.err, NAMES_BOTH)
    until = time.monotonic() + WATCH_S
    while time.monotonic() < until:
        time.sleep(1)
    tries = [line for line in waiting.err if "trying again" in line]
    drill.measure(f"tries in {WATCH_S} s of one that waits", len(tries), "tries", at_most=1 + WATCH_S // 60)
    drill.require("each names both times", bool(tries) and all(re.search(NAMES_BOTH, line) for line in tries), tries[-1] if tries else "none")
    seen = sum("address=127.0.0.1" in line and ("aborted" in line or "gone" in line or "refused" in line) for line in net.router.err[n:])
    drill.measure("connections that the router saw meanwhile", seen, "connections", at_most=1 + WATCH_S // 60)
    waiting.stop()


def crl(net):
    """Number and time of the list that is in force."""
    text = subprocess.run(["openssl", "crl", "-inform", "DER", "-noout", "-crlnumber", "-lastupdate", "-dateopt", "iso_8601"],
                          input=urllib.request.urlopen(f"http://127.0.0.1:{net.http}/crl").read(),
                          capture_output=True, check=True).stdout.decode()
    number = int(re.search(r"crlNumber=(?:0x)?([0-9A-Fa-f]+)", text).group(1), 16)
    return number, re.search(r"lastUpdate=(.*)", text).group(1)


def serials(net):
    import json
    text = run([net.program("warren-den"), "cert", "list", "--config", net.path("den/den.conf"), "--json"]).stdout
    try:
        return [entry["serial"] for entry in json.loads(text)]
    except json.JSONDecodeError:
        return [json.loads(line)["serial"] for line in text.splitlines() if line.strip()]


def den_goes_back(net):
    net.den.stop()
    net.start_den(fast(build(), 1, HOUR))
    seen = []
    for name in ("x1", "x2", "x3", "x4"):
        if name == "x3":  # an hour back, for this den
            before = serials(net)
            net.den.stop()
            net.start_den()
        net.join(name)
        n = len(net.den.err)
        run([net.program("warren-den"), "revoke", "--id", net.ids[name], "--config", net.path("den/den.conf")])
        net.den.wait_line(net.den.err, "event=revocations.taken", n)
        until = time.monotonic() + 20  # the list is being signed
        while seen and crl(net)[0] == seen[-1][0] and time.monotonic() < until:
            time.sleep(0.05)
        seen.append(crl(net))
    after = serials(net)
    drill.require("numbers of the revocation list rise over den's jump of -1 h", all(a[0] < b[0] for a, b in zip(seen, seen[1:])),
                  " ".join(str(number) for number, _ in seen))
    drill.require("its thisUpdate never decreases", all(a[1] <= b[1] for a, b in zip(seen, seen[1:])), " ".join(at for _, at in seen))
    drill.require("no serial is used twice", len(after) == len(set(after)) and len(after) >= len(before) + 2, f"{len(after)} certificates")


def main():
    from network import free_port
    with drill.network(make=False) as net:
        net.init()
        net.http = free_port()
        with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
            f.write(f"http = 127.0.0.1:{net.http}\n")
        net.start_router()
        net.start_den()
        for name in ("alice", "bob"):
            net.join(name)
        net.allow("allow from * to * can chat consent none")
        five_minutes(net)
        a_day_ahead(net)
        far_ahead(net)
        a_day_behind(net)
        den_goes_back(net)
    drill.end()


main()
