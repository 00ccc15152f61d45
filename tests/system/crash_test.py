#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A den that is killed, and whose disk fails, under load: the drill R20, short."""
import errno
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drill"))
import crash  # noqa: E402
import network  # noqa: E402
import tap  # noqa: E402
from network import run  # noqa: E402

KILLS = 12
STATE = {}


def check_nothing_is_lost(net):
    churn = STATE["churn"]
    churn.read()
    tap.check(crash.lost(net, churn.signed, STATE.get("told", {})) == (0, 0, 0), "unrecorded, unaudited, unknown of " + str(len(churn.signed)))
    tap.check(not churn.alarms, "numbers that fell: " + " ".join(churn.alarms[:3]))
    whole, said = crash.audit_is_whole(net)
    tap.check(whole, said)


@tap.test
def killed_at_any_instant_it_loses_nothing_that_was_acknowledged(net):
    rng, seed = crash.rng()
    print(f"# WARREN_SEED={seed}", flush=True)
    crash.prepare(net)
    net.start_router()
    crash.start(net)
    STATE["churn"] = crash.Churn(net)
    joiner = crash.Joiner(net)
    joiner.start()
    STATE["churn"].wait_signed(5)
    for _ in range(KILLS):
        crash.kill_once(net, rng, STATE["churn"])
        crash.start(net)
    joiner.stop()
    STATE["told"] = joiner.told
    STATE["churn"].wait_signed(1)
    check_nothing_is_lost(net)


@tap.test
def a_disk_that_fails_refuses_requests_and_den_goes_on_when_it_is_back(net):
    churn = STATE["churn"]
    for calls in (crash.WRITE, crash.OPEN, crash.RENAME, crash.TRUNCATE):
        for number in crash.ERRORS:
            outcome = crash.sweep(net, churn, calls, number, seconds=0.4)
            tap.check(outcome is True, f"{crash.NAMES[calls]} {errno.errorcode[number]}: {outcome}")
    for n in range(12):
        outcome = crash.sweep(net, churn, crash.WRITE | crash.OPEN | crash.RENAME, crash.ERRORS[n % 3], after=n, how_many=1, seconds=0.2)
        tap.check(outcome is True, f"call {n}: {outcome}")
    tap.check(churn.failed > 0, "requests that were refused")
    check_nothing_is_lost(net)


def restart(net, under):
    """den again, and the signer with it, with faults below that path alone."""
    net.den.stop()
    net.faults.clear()
    net.faults.under = under
    crash.start(net)


@tap.test
def eio_on_each_write_of_den_and_of_the_signers_book_is_no_more_than_a_refusal(net):
    """The n-th write of each alone, as long as work goes on; then every write and every fsync of the signer's, for a while."""
    for what, under, n_writes in (("den.db", net.path("den/den.db"), 12), ("the signer's book", net.path("den/signer."), 8),
                                  ("what stands beside", net.path("den/trust"), 2)):
        restart(net, under)
        churn = STATE["churn"]
        churn.wait_signed(1)
        for n in range(n_writes):
            for calls in (crash.WRITE, crash.OPEN):
                if calls == crash.OPEN and n:
                    continue
                net.faults.set(calls, errno.EIO, after=n, how_many=1)
                until = time.monotonic() + network.PATIENCE
                while not net.faults.n_failed() and calls == crash.WRITE:
                    tap.check(time.monotonic() < until, f"{what}: there was no write number {n}")
                    time.sleep(0.01)
                net.faults.clear()
                churn.wait_signed(1)
                tap.check(net.den.process.poll() is None, f"{what}, write {n}: den ended: {net.den.err[-2:]}")
    restart(net, net.path("den"))
    check_nothing_is_lost(net)


@tap.test
def a_signer_that_cannot_write_its_book_admits_nobody_and_goes_on_when_it_can(net):
    """Its book says whose key is whose: nobody new is admitted beside it. Known ones need no entry."""
    restart(net, net.path("den/signer."))
    for number, calls, name in ((errno.EIO, crash.WRITE, "w"), (errno.EIO, crash.SYNC, "s"), (errno.ENOSPC, crash.WRITE | crash.SYNC, "f")):
        token = net.token()
        net.faults.set(calls, number)
        patience = "12" if calls == crash.SYNC else "5"  # a signer that a sync ended is started again meanwhile
        refused = run([*net.warren("new-" + name, "join"), "--timeout", patience], input=token + "\n", wanted=None)
        tap.check(refused.returncode != 0 and "ID  " not in refused.stdout, f"{crash.NAMES.get(calls, '')}: {refused.stdout}{refused.stderr}")
        tap.check(net.faults.n_failed() > 0, "nothing was written")
        wait_health(net, "503", "no heartbeat can be signed")
        tap.check(net.den.process.poll() is None, "den ended")
        net.faults.clear()
        run(net.warren("new-" + name, "join"), input=token + "\n")
        wait_health(net, "200", "ok")
    restart(net, net.path("den"))
    STATE["churn"].wait_signed(1)
    check_nothing_is_lost(net)


def wait_health(net, status, part):
    """/health says that within moments, whether anybody writes or not."""
    until = time.monotonic() + network.PATIENCE
    while True:
        said = crash.health(net)
        if said[-1] == status and part in said[0]:
            return
        tap.check(time.monotonic() < until, f"waited for {status}, {part}; it says " + " ".join(said))
        time.sleep(0.1)


@tap.test
def health_is_bad_while_nothing_can_be_recorded_and_good_again_afterwards(net):
    """Nobody asks for anything: what den does by itself is all there is."""
    STATE["churn"].stop()
    wait_health(net, "200", "ok")
    for calls, number, part in ((crash.WRITE, errno.ENOSPC, "disk is full"), (crash.WRITE, errno.EIO, "disk I/O error"),
                                (crash.OPEN | crash.RENAME, errno.EROFS, "Read-only")):
        net.faults.set(calls, number)
        wait_health(net, "503", "nothing can be recorded")
        tap.check_in(part, crash.health(net)[0])
        net.faults.clear()
        wait_health(net, "200", "ok")
    STATE["churn"] = crash.Churn(net)
    STATE["churn"].wait_signed(1)


@tap.test
def a_failed_fsync_ends_all_signing_until_den_is_restarted(net):
    churn = STATE["churn"]
    tap.check(crash.health(net)[-1] == "200", "health before")
    net.faults.set(crash.SYNC, errno.EIO, 0, 1)
    net.den.wait_line(net.den.err, r"event=store\.sick")
    net.faults.clear()
    time.sleep(0.5)
    churn.read()
    before, refused = len(churn.signed), churn.failed
    while churn.failed < refused + 20:
        churn.read()
        time.sleep(0.05)
    tap.check(len(churn.signed) == before, "nothing is signed")
    tap.check(net.den.process.poll() is None, "den is there")
    said = crash.health(net)
    tap.check(said[-1] == "503" and "did not keep" in said[0], "health: " + " ".join(said))
    net.den.stop()
    crash.start(net)
    churn.wait_signed(1)
    churn.stop()
    check_nothing_is_lost(net)


@tap.test
def a_machine_shows_its_id_only_once_it_is_on_disk(net):
    faults = crash.Faults(net.build, net.path("faults-of-peers"), net.path("peer"))
    for n in range(14):
        token, name = net.token(), f"peer{n}"
        faults.set(crash.WRITE | crash.SYNC | crash.RENAME | crash.OPEN, (errno.EIO, errno.ENOSPC, crash.KILL)[n % 3], after=n, how_many=1)
        first = run([*faults.prefix(), *net.warren(name, "join")], input=token + "\n", wanted=None)
        faults.clear()
        again = run(net.warren(name, "join"), input=token + "\n", wanted=None)  # a token is one machine's, however often it asks
        shown = run(net.warren(name, "id"), wanted=None)
        tap.check(shown.returncode == 0, f"call {n}: {first.stderr[-200:]} {again.stderr[-200:]} {shown.stderr}")
        told = re.search(r"\b\d{3} \d{3}\b", first.stdout)
        if told:
            tap.check(told.group(0) == network.shown(net.identity(name)["id"]), f"call {n}: told {told.group(0)}: {shown.stdout}")
    ids = [net.identity(f"peer{n}")["id"] for n in range(14)]
    tap.check(len(set(ids)) == len(ids), "IDs are each one's own")


if __name__ == "__main__":
    tap.main(make=False)
