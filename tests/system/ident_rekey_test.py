#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`warren rekey` that was cut short: whatever is run next goes on with the new key, and says so."""
import errno
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drill"))
import crash  # noqa: E402
import tap  # noqa: E402
from network import run  # noqa: E402

TAKEN = "is this machine's key now"
NOT_YET = "is not taken yet: system"
WRITES = crash.SYNC | crash.RENAME
MAX_CALLS = 40


def faults_of(net, *under):
    return crash.Faults(net.build, net.path("faults-of-peers"), net.path(*under))


def rekeyed(net, name):
    return len([line for line in net.den.err if f"event=rekeyed id={net.ids[name]}" in line])


def crashed(net, name, faults, calls, n, how=crash.KILL):
    """One that is killed before the n-th of these calls; whether it came to that."""
    faults.set(calls, how, after=n, how_many=1)
    run([*faults.prefix(), *net.warren(name, "rekey")], wanted=None)
    is_killed = faults.n_failed() > 0
    faults.clear()
    return is_killed


def begin(net, name):
    """A machine whose next key is made, and den has not heard of it."""
    net.join(name)
    tap.check(crashed(net, name, faults_of(net, name, "rekey"), crash.RENAME, 0, crash.LAST), "it did not come to that")
    tap.check(os.path.exists(net.path(name, "rekey")) and rekeyed(net, name) == 0, "no key was begun")


def lose(net, name):
    """A machine whose next key den took, and the answer did not come to the disk."""
    net.join(name)
    tap.check(crashed(net, name, faults_of(net, name, "identity.key"), crash.RENAME, 0), "it did not come to that")
    net.den.wait_line(net.den.err, f"event=rekeyed id={net.ids[name]}")
    tap.check(os.path.exists(net.path(name, "rekey")), "the key is lost")


def check_whole(net, name):
    """Nothing is left of it, and the key is the one that den has."""
    done = run(net.warren(name, "name", "list"))
    tap.check(TAKEN not in done.stderr, done.stderr)
    tap.check(not os.path.exists(net.path(name, "rekey")), "it is still under way")
    tap.check(net.identity(name)["id"] == net.ids[name], "another ID")


def chat_with(net, name, alice):
    start = len(alice.err)
    bob = net.start("bob", net.warren("bob", "chat", net.ids[name], "--loopback"))
    try:
        alice.wait_line(alice.err, "^linked with", start)
        bob.write("hello\n")
        alice.wait_line(alice.out, "hello")
    finally:
        bob.stop()


@tap.test
def a_lost_answer_is_made_up_for_by_the_next_verb(net):
    net.join("bob")
    net.allow("allow from * to * can chat,call:desk consent none")
    lose(net, "alice")
    done = run(net.warren("alice", "name", "list"))
    tap.check_in(TAKEN, done.stderr)
    tap.check_in("has no name", done.stdout)
    check_whole(net, "alice")


@tap.test
def by_rekey_itself_too(net):
    lose(net, "carol")
    done = run(net.warren("carol", "rekey"))
    tap.check_in("has a new identity key", done.stderr)
    tap.check_in(net.identity("carol")["fingerprint"], done.stdout)
    check_whole(net, "carol")


@tap.test
def killed_before_any_of_its_writes_the_folder_goes_on(net):
    is_killed, n = True, 0
    while is_killed:
        name = f"dora{n}"
        net.join(name)
        is_killed = crashed(net, name, faults_of(net, name), WRITES, n)
        run(net.warren(name, "name", "list"))
        check_whole(net, name)
        n += 1
        tap.check(n < MAX_CALLS, "it ends never")
    print(f"# {n - 1} writes", flush=True)
    tap.check(n > 9, f"{n - 1} calls: what was begun, the key and the admission are three each")


@tap.test
def doctor_ends_whether_or_not_it_comes_to_that(net):
    lose(net, "erin")
    done = run(net.warren("erin", "doctor", "--json"), wanted=None)
    tap.check(json.loads(done.stdout)["findings"], done.stdout)
    run(net.warren("erin", "name", "list"))
    check_whole(net, "erin")


@tap.test
def explain_says_one_list(net):
    lose(net, "ivan")
    done = run(net.warren("ivan", "explain", net.ids["bob"], "--json"), wanted=1)  # bob is not there
    tap.check_in(TAKEN, done.stderr)
    tap.check([finding["subject"] for finding in json.loads(done.stdout)["findings"]] == ["session"], done.stdout)
    check_whole(net, "ivan")


@tap.test
def a_claim_is_made_with_the_new_key(net):
    begin(net, "frank")
    done = run(net.warren("frank", "name", "claim", "franks-desk"))
    tap.check_in(TAKEN, done.stderr)
    tap.check_in("franks-desk", done.stdout)
    check_whole(net, "frank")


def at_work(net, name, ready, *words):
    """The first answer of den's does not come to the disk: the verb is at work with the key before when the next one does."""
    begin(net, name)
    faults = faults_of(net, name, "identity.key")
    faults.set(crash.RENAME, errno.EIO, how_many=1)
    alice = net.start(name, [*faults.prefix(), *net.warren(name, *words)])
    alice.wait_line(alice.err, NOT_YET)
    alice.wait_line(alice.err, TAKEN)
    alice.wait_line(alice.err, ready, alice.err.index(alice.find(alice.err, TAKEN)))
    faults.clear()
    return alice


def check_stops(process):
    tap.check(process.stop() != -signal.SIGKILL, "it does not listen to SIGTERM any more")


@tap.test
def a_chat_that_waits_waits_on_with_the_new_one(net):
    grace = at_work(net, "grace", "^waiting for a call", "chat", "--loopback", "--accept")
    chat_with(net, "grace", grace)
    check_stops(grace)
    check_whole(net, "grace")


@tap.test
def what_is_served_is_served_again(net):
    heidi = at_work(net, "heidi", "^serving", "serve", "me.desk.echo", "--loopback", "--accept", "--", "cat")
    done = run(net.warren("bob", "call", f"{net.ids['heidi']}.desk.echo", "hi", "--loopback"))
    tap.check_in("hi", done.stdout)
    check_stops(heidi)
    check_whole(net, "heidi")


tap.main()
