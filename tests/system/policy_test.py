#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The policy's file: what it takes, what it refuses, what the verbs say about it, now and later."""
import json
import os
import signal

import tap
from network import run

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
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    alice.stop()
    bob.wait_line(bob.err, "waiting for the next call")
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
    bob.stop()


tap.main()
