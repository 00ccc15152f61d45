#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den is killed at any instant and its disk fails in every way: nothing that was acknowledged is lost, nothing unrecorded leaves"""
import errno
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import crash
from drill import Drill
from network import Failed, run

drill = Drill("R20", "den is killed, and its disk fails")
KILLS = int(os.environ.get("WARREN_R20_KILLS", "300"))
rng, seed = crash.rng()
drill.say(f"{KILLS} kills, WARREN_SEED={seed}")


def judge(net, churn, told, what):
    unrecorded, unaudited, unknown = crash.lost(net, churn.signed, told)
    drill.measure(f"{what}: certificates that were delivered and are not recorded, of {len(churn.signed)}", unrecorded, "", at_most=0)
    drill.measure(f"{what}: certificates that were delivered without an audit entry", unaudited, "", at_most=0)
    if told:
        drill.measure(f"{what}: IDs that were told and are not there, of {len(told)}", unknown, "", at_most=0)
    drill.measure(f"{what}: numbers of den's that fell, as peers saw it", len(churn.alarms), "", at_most=0)
    whole, said = crash.audit_is_whole(net)
    drill.require(f"{what}: the audit is whole, no line is half-written", whole, said)


with drill.network(make=False) as net:
    crash.prepare(net)
    net.start_router()
    crash.start(net)
    churn, joiner = crash.Churn(net), crash.Joiner(net)
    joiner.start()
    churn.wait_signed(5)
    longest = 0.0
    for n in range(KILLS):
        crash.kill_once(net, rng, churn)
        longest = max(longest, crash.start(net))
        churn.read()
        if n % 50 == 49:
            drill.say(f"{n + 1} kills, {len(churn.signed)} certificates delivered, {churn.failed} refused, {len(joiner.told)} machines joined")
            unrecorded, unaudited, unknown = crash.lost(net, churn.signed, joiner.told)
            if unrecorded or unaudited or unknown:
                break
    joiner.stop()
    churn.wait_signed(1)
    churn.stop()
    judge(net, churn, joiner.told, f"{KILLS} kills")
    drill.measure("the longest start after a kill", longest, "s", at_most=2)

with drill.network(make=False) as net:
    crash.prepare(net)
    net.start_router()
    crash.start(net)
    churn = crash.Churn(net)
    churn.wait_signed(5)
    failures = n_tried = 0
    for calls in (crash.WRITE, crash.OPEN, crash.RENAME, crash.TRUNCATE, crash.READ):
        for number in crash.ERRORS:
            if calls == crash.READ and number != errno.EIO:
                continue
            outcome = crash.sweep(net, churn, calls, number)
            n_tried += 1
            failures += outcome is not True
            if outcome is not True:
                drill.say(f"{crash.NAMES[calls]} {errno.errorcode[number]}: {outcome}")
    for n in range(40):  # one call alone, the n-th
        outcome = crash.sweep(net, churn, crash.WRITE | crash.OPEN | crash.RENAME | crash.TRUNCATE, crash.ERRORS[n % 3], after=n, how_many=1,
                              seconds=0.25)
        n_tried += 1
        failures += outcome is not True
        if outcome is not True:
            drill.say(f"call {n}: {outcome}")
    drill.measure(f"faults after which den was gone or did not go on, of {n_tried}", failures, "", at_most=0)
    drill.require("requests were refused meanwhile", churn.failed > 0, f"{churn.failed} refused")
    judge(net, churn, {}, "a disk that is full, read-only, broken")

    churn.read()
    net.faults.set(crash.SYNC, errno.EIO, 0, 1)  # once
    net.den.wait_line(net.den.err, r"event=store\.sick")
    time.sleep(1)
    churn.read()
    after = len(churn.signed)
    time.sleep(3)
    churn.read()
    drill.measure("certificates after one fsync failed", len(churn.signed) - after, "", at_most=0)
    drill.require("den is there, and says so", net.den.process.poll() is None and "503" in crash.health(net)[-1],
                  " ".join(crash.health(net))[:160])
    net.den.stop()
    crash.start(net)
    churn.wait_signed(1)
    churn.stop()
    judge(net, churn, {}, "after a failed fsync and a restart")

with drill.network(make=False) as net:
    mount = net.path("small")
    os.mkdir(mount)
    done = run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", mount], wanted=None)
    if done.returncode != 0:
        drill.say("no tmpfs can be mounted here: left out")
    else:
        try:
            crash.prepare(net)
            run(["cp", "-a", net.path("den") + "/.", mount])
            run(["mv", net.path("den"), net.path("den-before")])
            os.symlink(mount, net.path("den"))
            net.start_router()
            crash.start(net)
            churn = crash.Churn(net)
            churn.wait_signed(5)
            with open(os.path.join(mount, "filler"), "wb") as f:
                try:
                    while True:
                        f.write(bytes(65536))
                except OSError:
                    pass
            time.sleep(3)
            churn.read()
            before, refused = len(churn.signed), churn.failed
            time.sleep(2)
            churn.read()
            drill.require("a disk that is really full: requests are refused, den stays", net.den.process.poll() is None and
                          churn.failed > refused, f"{len(churn.signed) - before} delivered, {churn.failed - refused} refused in 2 s")
            said = crash.health(net)
            drill.require("/health says so", said[-1] == "503" and "nothing is signed" in said[0], " ".join(said)[:200])
            os.unlink(os.path.join(mount, "filler"))
            churn.wait_signed(5)
            give_up_at = time.monotonic() + 20  # it tries a write once a second
            said = crash.health(net)
            while said[-1] != "200" and time.monotonic() < give_up_at:
                time.sleep(0.2)
                said = crash.health(net)
            drill.require("/health is good again with the disk", said[-1] == "200", " ".join(said)[:200])
            churn.stop()
            judge(net, churn, {}, "a disk that is really full")
        except Failed as e:
            drill.require("a disk that is really full", False, str(e))
        finally:
            net.close()
            run(["umount", mount], wanted=None)
drill.end()
