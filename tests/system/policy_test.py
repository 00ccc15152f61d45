#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The policy's file: what it takes, what it refuses, what the verbs say about it, now and later."""
import hashlib
import json
import os
import signal
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drill"))
import crash  # noqa: E402
import tap  # noqa: E402
from network import PATIENCE, run  # noqa: E402

RULES = """
groups:
  staff: [{alice}]
machines:
  {bob}: {{tags: [kiosk]}}
rules:
  - {{from: group:staff, to: tag:kiosk, can: [chat], back: [chat]}}
  - {{from: group:night, to: any, can: [chat], consent: none}}
tests:
  - {{from: {alice}, to: {bob}, can: [chat], expect: allow, consent: ask}}
"""


def verb(net, *words, wanted=0):
    return run([net.program("warren-den"), "policy", *words], wanted=wanted)


def on_den(net, *words, wanted=0):
    return verb(net, *words, "--config", net.path("den/den.conf"), wanted=wanted)


def as_json(net, *words):
    return json.loads(on_den(net, *words, "--json").stdout)


def put(net, text, name="den/policy.yaml"):
    with open(net.path(name), "w", encoding="ascii") as f:
        f.write(text.format(**net.ids))
    os.chmod(net.path(name), 0o600)
    return net.path(name)


def reload(net, event):
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    return net.den.wait_line(net.den.err, event, seen)


def refused_dial(net, caller, callee):
    process = net.dial_chat(caller, callee)
    process.wait_line(process.err, "not_reachable: ")
    process.wait()


@tap.test
def a_file_is_checked_whole(net):
    bad = put(net, "rules:\n  - {{from: 1, to: any, can: [chat]}}\n  - {{to: any, can: any, why: not}}\n", "bad.yaml")
    said = verb(net, "check", bad, wanted=1).stderr
    tap.check_in("bad.yaml:2:12: expected an ID of 6 to 9 digits, group:NAME, tag:NAME, or any, found \"1\"", said)
    tap.check_in("bad.yaml:3:25: expected from, to, can, back, consent, longest, when or offline, found \"why\"", said)
    tap.check_in("bad.yaml:3:5: expected \"from\" here too", said)
    tap.check(len(json.loads(verb(net, "check", bad, "--json", wanted=1).stdout)["errors"]) == 3, "errors as JSON")
    old = put(net, "allow from 456000 to * can chat\n", "old.yaml")
    tap.check_in("old.yaml:1:1: rules are YAML now; one reads, below a line", verb(net, "check", old, wanted=1).stderr)


@tap.test
def a_file_that_fails_its_tests_is_not_taken(net):
    for name in ("alice", "bob", "carol"):
        net.join(name)
    put(net, RULES)
    tap.check_in("number=2 rules=2", reload(net, r"event=policy\.loaded"))
    tap.check_in("2 rules, 1 tests, all as expected", on_den(net, "test").stdout)
    put(net, RULES + "  - {{from: {carol}, to: {bob}, can: [chat], expect: allow}}\n")
    tap.check_in("test: expected allow, got deny, by default", reload(net, r"event=policy\.error"))
    tap.check_in("policy.yaml:11:5: test: expected allow, got deny, by default", on_den(net, "test", wanted=1).stderr)
    tap.check(as_json(net, "list")[0]["number"] == 2, "the old one stays")
    put(net, RULES)
    reload(net, r"event=policy\.loaded number=2 .*changed=no")


@tap.test
def a_file_that_fails_when_den_starts_leaves_the_last_good_one_in_force(net):
    put(net, RULES + "colour: red\n")
    net.den.stop()
    net.start_den()
    net.den.wait_line(net.den.err, r"event=policy\.error .*policy\.yaml:11:1: .* kept=old")
    net.den.wait_line(net.den.err, r"event=policy\.refused .*kept=old")
    tap.check(as_json(net, "list")[0]["number"] == 2 and on_den(net, "show").stdout == RULES.format(**net.ids), "the old one is in force")
    refused = [entry["facts"] for entry in map(json.loads, net.audit()) if entry["what"] == "policy.refused"][-1]
    tap.check_in("policy.yaml:11:1: ", refused["cause"])
    status = lambda: run([net.program("warren-den"), "status", "--config", net.path("den/den.conf")]).stdout
    tap.check_in("the policy's file is not in force, policy 2 is: policy.yaml:11:1", status())
    put(net, RULES)
    reload(net, r"event=policy\.loaded number=2 .*changed=no")
    tap.check("not in force" not in status(), "it is again")


@tap.test
def why_names_the_rule_and_the_line(net):
    alice, bob, carol = (net.ids[name] for name in ("alice", "bob", "carol"))
    why = as_json(net, "why", alice, bob, "chat")
    tap.check(why["decision"]["rule"] == "policy.yaml:7" and why["decision"]["consent"] == "ask" and why["policy"] == 2, f"why: {why}")
    tap.check((why["from"]["in_file"], why["to"]["in_file"]) == ("[group:staff]", "[tag:kiosk]"), f"why: {why}")
    tap.check_in(f"{alice}: no groups of den's own; in the file [group:staff]\n", on_den(net, "why", alice, bob, "chat").stdout)
    tap.check_in(f"deny (default)\n  at ", on_den(net, "why", carol, bob, "chat").stdout)
    run(["sleep", "1.1"])  # what was recorded is a second old then
    before = run(["date", "-u", "+%Y-%m-%dT%H:%M:%SZ"]).stdout.strip()
    run(["sleep", "1.1"])
    run([net.program("warren-den"), "peer", "groups", carol, "night", "--config", net.path("den/den.conf")])
    why = as_json(net, "why", carol, bob, "chat")
    tap.check(why["decision"]["verdict"] == "allow" and why["decision"]["consent"] == "none" and why["from"]["groups"] == "night", f"why: {why}")
    then = as_json(net, "why", carol, bob, "chat", "--at", before)
    tap.check(then["decision"]["verdict"] == "deny" and then["from"]["groups"] == "" and then["from"]["groups_recorded"], f"then: {then}")
    tap.check_in("not kept any more, or there was none", on_den(net, "why", carol, bob, "chat", "--at", "2020-01-01", wanted=1).stderr)
    tap.check_in("expected capabilities such as chat", on_den(net, "why", carol, bob, "Chat", wanted=2).stderr)


@tap.test
def versions_are_kept_compared_and_replayed(net):
    bob, seen = net.wait_chat("bob", "--accept"), len(net.den.err)
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    alice.stop()
    bob.wait_line(bob.err, "waiting for the next call")
    net.den.wait_line(net.den.err, r"event=session\.closed", seen)
    listed = json.loads(run([net.program("warren-den"), "session", "list", "--config", net.path("den/den.conf"), "--json"]).stdout)[0]
    tap.check(listed["state"] == "closed" and listed["path"].split()[0] in ("direct", "relay") and
              listed["sent_by_caller"] > 0 and listed["sent_by_called"] > 0, f"the session as it is listed: {listed}")
    bob.stop()
    refused_dial(net, "bob", "alice")
    put(net, RULES.replace("back: [chat]", "back: [chat], consent: none").replace("tests:", "  - {{from: {bob}, to: {alice}, can: [chat]}}\ntests:")
        .replace("consent: ask}", "consent: none}"))
    changed = as_json(net, "diff")
    tap.check([rule["change"] for rule in changed["rules"]] == ["changed", "added"], f"rules: {changed}")
    pairs = {(effect["from"], effect["to"]): effect for effect in changed["effects"]}
    tap.check(pairs[net.ids["alice"], net.ids["bob"]]["after"]["consent"] == "none", f"effects: {changed}")
    tap.check(pairs[net.ids["bob"], net.ids["alice"]]["before"]["verdict"] == "deny", f"effects: {changed}")
    replay = as_json(net, "replay", net.path("den/policy.yaml"))
    tap.check({(one["from"], one["was"]) for one in replay["list"]} ==
              {(net.ids["alice"], "allow, consent ask"), (net.ids["bob"], "deny")}, f"replay: {replay}")
    tap.check(as_json(net, "replay", net.path("den/policy.yaml"), "--since", "0s")["sessions"] == 0, "since now")
    reload(net, r"event=policy\.loaded number=3 ")
    tap.check([one["number"] for one in as_json(net, "list")] == [3, 2, 1], "three versions")
    tap.check(on_den(net, "show", "2").stdout == RULES.format(**net.ids), "the text of number 2")
    with open(net.path("den/policy.yaml"), encoding="ascii") as f:
        tap.check(on_den(net, "show").stdout == f.read(), "the newest text")
    tap.check(as_json(net, "diff")["rules"] == [], "the file is in force")
    tap.check_in("~ line 7: ", on_den(net, "diff", "2", "3").stdout)
    tap.check_in("there is no number 9", on_den(net, "show", "9", wanted=1).stderr)


@tap.test
def a_kept_version_that_was_changed_is_not_believed(net):
    """Its text, then its time: the audit knows both."""
    alice, bob = net.ids["alice"], net.ids["bob"]
    net.den.stop()
    db = sqlite3.connect(net.path("den/den.db"))
    kept = db.execute("SELECT bytes FROM blob WHERE name = 'policy/2'").fetchone()[0]
    for changed, why in ((kept[:8] + kept[8:].replace(b"can: [chat]", b"can: [file]"), "SHA-256"),
                         ((int.from_bytes(kept[:8], "big") + 1).to_bytes(8, "big") + kept[8:], "time")):
        with db:
            db.execute("UPDATE blob SET bytes = ? WHERE name = 'policy/2'", (changed,))
        then = str(int.from_bytes(changed[:8], "big") + 1)
        for words in (("why", alice, bob, "chat", "--at", then), ("diff", "2", "3"), ("show", "2")):
            tap.check_in(f"number 2 was changed where it is kept: its {why} is another one", on_den(net, *words, wanted=1).stderr)
        on_den(net, "show", "3")
    with db:
        db.execute("UPDATE blob SET bytes = ? WHERE name = 'policy/2'", (kept,))
    db.close()
    on_den(net, "show", "2")
    net.start_den()


@tap.test
def an_administrator_is_not_shown_a_changed_one_either(net):
    ask = [net.program("warren-den"), "ask", "den.policy.show", "{}", "--config", net.path("den/den.conf")]
    number = json.loads(run(ask).stdout)["number"]
    db = sqlite3.connect(net.path("den/den.db"))
    kept, = db.execute("SELECT bytes FROM blob WHERE name = ?", (f"policy/{number}",)).fetchone()
    with db:
        db.execute("UPDATE blob SET bytes = ? WHERE name = ?", (kept + b"# harmless\n", f"policy/{number}"))
    said = run(ask, wanted=None)
    with db:
        db.execute("UPDATE blob SET bytes = ? WHERE name = ?", (kept, f"policy/{number}"))
    db.close()
    tap.check(said.returncode != 0 and "harmless" not in said.stdout, said.stdout)
    tap.check_in("was changed where it is kept", "\n".join(net.den.err) + said.stderr)
    run(ask)


def check_ended(net, alice, bob, why):
    for process in (alice, bob):
        process.wait_line(process.err, f"the network ended this session: {why}")
    tap.check(alice.wait() == 1, "alice's exit status")
    net.router.wait_line(net.router.err, r"event=grant_removed")
    ended = [entry for entry in map(json.loads, net.audit()) if entry["what"] == "session.closed"]
    tap.check( ended[-1]["facts"]["reason"] == why, f"the audit's last: {ended[-1]}")


ANYBODY = "rules:\n  - {{from: any, to: any, can: [chat], back: [chat]}}\n"


def linked(net):
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    return alice


@tap.test
def a_tightened_policy_ends_live_sessions(net):
    put(net, ANYBODY)
    reload(net, r"event=policy\.loaded")
    bob = net.wait_chat("bob", "--accept")
    alice = linked(net)
    put(net, ANYBODY.replace("[chat]", "[file]"))
    reload(net, r"event=policy\.loaded")
    check_ended(net, alice, bob, "policy does not allow it any more")
    bob.wait_line(bob.err, "waiting for the next call")
    bob.stop()


@tap.test
def who_is_asked_hears_why_it_rings_no_longer(net):
    put(net, ANYBODY)
    reload(net, r"event=policy\.loaded")
    run(net.warren("bob", "consent", "ask"))
    bob = net.wait_chat("bob")
    for why, end in (("policy does not allow it any more", lambda: (put(net, ANYBODY.replace("[chat]", "[file]")), reload(net, r"event=policy\.loaded"))),
                     ("lunch", lambda: run([net.program("warren-den"), "session", "close", session(net), "--reason", "lunch", "--config", net.path("den/den.conf")]))):
        put(net, ANYBODY)
        reload(net, r"event=policy\.loaded")
        seen, alice = len(bob.err), net.dial_chat("alice", "bob")
        alice.wait_line(alice.err, "ringing")
        bob.wait_err(r"calls \(its ID is proved\)")
        end()
        bob.wait_line(bob.err, f"the network ended this session: {why}", seen)
        bob.wait_line(bob.err, "waiting for the next call", seen)
        tap.check(not any("gave up" in line for line in bob.err[seen:]), "\n".join(bob.err[seen:]))
        tap.check(alice.wait() == 1, "alice's exit status")
    bob.stop()
    run(net.warren("bob", "consent", "none"))


def session(net):
    found = run([net.program("warren-den"), "session", "list", "--open", "--json", "--config", net.path("den/den.conf")]).stdout
    return json.loads(found)[0]["sid"]


@tap.test
def a_group_that_is_taken_away_and_a_machine_that_is_removed_end_live_sessions(net):
    put(net, "rules:\n  - {{from: group:staff, to: any, can: [chat], back: [chat]}}\n")
    reload(net, r"event=policy\.loaded")
    people = lambda *words: run([net.program("warren-den"), "peer", *words, "--config", net.path("den/den.conf")])
    people("groups", net.ids["alice"], "staff,night")
    bob = net.wait_chat("bob", "--accept")
    alice = linked(net)
    people("groups", net.ids["alice"], "night")
    check_ended(net, alice, bob, "policy does not allow it any more")
    bob.stop()


@tap.test
def the_longest_duration_ends_a_session_by_itself(net):
    put(net, ANYBODY.replace("back:", "longest: 3s, back:"))
    reload(net, r"event=policy\.loaded")
    bob = net.wait_chat("bob", "--accept")
    alice = linked(net)
    alice.wait_line(alice.err, "the time that it was allowed for is over")
    bob.wait_line(bob.err, "the time that it was allowed for is over")
    for end in (alice, bob):
        end.wait_line(end.err, "what to do: nothing is wrong: .*dial again")
    bob.stop()


def killed_loading(net, n):
    """den, killed at the n-th call that changes the disk while root has it take another policy. What that was; whether it died."""
    body = {"text": ANYBODY.format() + f"# kill {n}\n"}
    net.den.stop()
    net.faults.clear()
    net.start_den(net.faults.prefix())
    net.faults.set(crash.WRITE | crash.SYNC | crash.RENAME, crash.KILL, after=n, how_many=1)
    done = run([net.program("warren-den"), "ask", "den.policy.load", json.dumps(body), "--config", net.path("den/den.conf")], wanted=None)
    is_dead = done.returncode != 0  # else the call that it ended with, if any, came after the answer
    if is_dead:
        net.den.process.wait(PATIENCE)
    net.faults.clear()
    return body["text"], is_dead


@tap.test
def killed_while_an_administrator_loads_one_the_audit_says_whose_order_it_was(net):
    crash.built(net.build, "tests/system/libfaults.so")
    net.faults = crash.Faults(net.build, net.path("faults"), net.path("den"), but=net.path("den/signer."))
    n, n_finished, n_missed = 0, 0, 0
    while n_missed < 3:  # a heartbeat may come in between: its writes count too
        text, is_dead = killed_loading(net, n)
        net.start_den() if is_dead else None
        with open(net.path("den/policy.yaml"), encoding="ascii") as f:
            is_taken = f.read() == text
        tap.check((on_den(net, "show").stdout == text) == is_taken, f"call {n}: file and policy in force differ")
        newest = [entry["facts"] for entry in map(json.loads, net.audit()) if entry["what"] == "policy.loaded"][-1]
        hashed = hashlib.sha256(text.encode()).hexdigest()
        tap.check((newest["sha256"] == hashed) == is_taken, f"call {n}: the audit's newest is {newest}")
        tap.check(not is_taken or (newest["by"], newest["source"]) == (f"uid {os.getuid()}", "local"), f"call {n}: {newest}")
        n_finished += is_dead and is_taken
        n_missed = 0 if is_dead else n_missed + 1
        n += is_dead
    tap.check(n_finished > 0, f"{n} calls, and never killed between the file and the audit")


tap.main()
