#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Consent: the owner's floor, which policy cannot lower, and a question that ends with whoever asked it."""
import json
import re
import signal

import tap
from network import run


def consent(net, name, *words, wanted=0):
    return run(net.warren(name, "consent", *words), wanted=wanted)


def call(net, wanted=0):
    return run(net.warren("alice", "call", net.ids["bob"] + ".echo.it"), wanted=wanted)


def accepted(net):
    listed = run([net.program("warren-den"), "audit", "list", "--config", net.path("den/den.conf")]).stdout
    return [entry["facts"] for entry in map(json.loads, listed.splitlines()) if entry["what"] == "session.accepted"]


@tap.test
def the_owner_sets_a_floor(net):
    for name in ("alice", "bob"):
        net.join(name)
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can call:echo,chat consent none")
    bob = net.start("bob", net.warren("bob", "serve", "me.echo.it", "--", "echo", "yes"))
    bob.wait_line(bob.err, "online|serves|serving")
    tap.check(call(net).stdout == "yes\n", "policy asks nobody")
    tap.check(accepted(net)[-1]["consent"] == "none", f"audit: {accepted(net)}")
    tap.check(json.loads(consent(net, "bob", "--json").stdout) == {"floor": "none", "unattended": False, "longest_ms": 0}, "at the beginning")
    tap.check_in("ask: somebody is asked before a call is taken", consent(net, "bob", "ask").stdout)  # while bob serves
    tap.check_in("declined", call(net, wanted=7).stderr)
    bob.wait_line(bob.err, "a person")
    consent(net, "bob", "unattended")
    tap.check(call(net).stdout == "yes\n", "the owner left it to policy")
    consent(net, "bob", "deny")
    tap.check_in("this machine takes no calls", call(net, wanted=7).stderr)
    consent(net, "bob", "attended", "none")
    tap.check(call(net).stdout == "yes\n", "none again")
    tap.check_in("expected none, ask or deny, attended or unattended, found \"maybe\"", consent(net, "bob", "maybe", wanted=2).stderr)
    bob.stop()


@tap.test
def the_audit_says_that_somebody_was_to_be_asked(net):
    consent(net, "bob", "ask")
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    tap.check(accepted(net)[-1]["consent"] == "ask", f"audit: {accepted(net)}")
    alice.stop()
    bob.stop()
    consent(net, "bob", "none")


@tap.test
def the_owner_bounds_how_long_a_call_may_last(net):
    tap.check_in("expected a duration such as 30m or 2h, or none, found \"soon\"", consent(net, "bob", "longest", "soon", wanted=2).stderr)
    tap.check_in("longest 2s:", consent(net, "bob", "longest", "2s").stdout)
    consent(net, "bob", "attended")  # changes nothing else
    tap.check(json.loads(consent(net, "bob", "--json").stdout)["longest_ms"] == 2000, "it is kept")
    bob = net.wait_chat("bob", "--accept", "--for", "1h")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "it ends at 20")
    alice.wait_line(alice.err, "the time that it was allowed for is over")
    bob.wait_line(bob.err, "the time that it was allowed for is over")
    tap.check("until" in accepted(net)[-1], f"audit: {accepted(net)[-1]}")
    bob.stop()
    consent(net, "bob", "longest", "none")
    tap.check("longest" not in consent(net, "bob").stdout, "none again")


@tap.test
def a_caller_that_is_killed_takes_its_question_away(net):
    bob = net.wait_chat("bob")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "ringing")
    bob.wait_err(r"calls \(its ID is proved\)")
    alice.kill()
    bob.wait_err("the other side gave up|canceled")
    net.den.wait_line(net.den.err, r"event=session\.failed .*state=closed code=canceled")
    tap.check(not any(re.search("linked", line) for line in bob.err), "no link")
    bob.stop()


@tap.test
def nobody_answers(net):
    """Both ends hear of it, and the caller why."""
    with open(net.path("den/den.conf"), "r+", encoding="ascii") as f:
        text = f.read()
        f.write("offer_timeout = 2s\n")
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, "event=config.loaded changed=offer_timeout", seen)
    bob = net.wait_chat("bob")
    alice = net.dial_chat("alice", "bob")
    tap.check(alice.wait() == 1, f"{alice.err}")
    tap.check_in("timeout: the other side did not answer", "\n".join(alice.err))
    bob.wait_line(bob.err, "canceled: ")
    bob.wait_line(bob.err, "waiting for the next call")
    bob.stop()
    with open(net.path("den/den.conf"), "w", encoding="ascii") as f:
        f.write(text)
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, "event=config.loaded changed=offer_timeout", seen)


@tap.test
def what_the_owner_wants_while_it_rings_holds(net):
    bob = net.wait_chat("bob")
    for floor, wish, said in (("ask", "deny", "this machine takes no calls"), ("none", "ask", "wants to be asked since"), ("ask", "none", "linked with")):
        seen = len(bob.err)
        consent(net, "bob", floor)
        alice = net.dial_chat("alice", "bob")
        bob.wait_line(bob.err, r"calls \(its ID is proved\)", seen)
        consent(net, "bob", wish)
        bob.write("y\n")
        alice.wait_line(alice.err, said)
        if wish != "none":
            tap.check(alice.wait() == 1, f"{alice.err}")
            bob.wait_line(bob.err, "waiting for the next call", seen)
        alice.stop()
    bob.stop()
    consent(net, "bob", "none")


@tap.test
def den_or_the_router_that_ends_takes_the_question_away(net):
    """Nobody waits for the answer any more: it does not ring on for a minute, and the machine can be called again."""
    consent(net, "bob", "ask")
    bob = net.wait_chat("bob")
    for kill, start, cause in ((lambda: net.den.kill(), net.start_den, None),
                               (lambda: net.den.stop(), net.start_den, "den was stopped before"),
                               (lambda: net.router.kill(), net.start_router, "the router went away before")):
        seen = len(bob.err)
        alice = net.dial_chat("alice", "bob")
        bob.wait_line(bob.err, r"calls \(its ID is proved\)", seen)
        online = len(net.den.err)
        kill()
        net.den.wait_line(net.den.err, "event=session.failed", online) if cause else None
        bob.wait_line(bob.err, "gave up|went away|connection to the router was lost", seen)
        start()
        tap.check(alice.wait() != 0, f"{alice.err}")
        failed = [entry["facts"] for entry in map(json.loads, net.audit()) if entry["what"] == "session.failed"][-1]
        tap.check(not cause or (failed["code"], failed["cause"][:len(cause)]) == ("closed", cause), f"audit: {failed}")
    net.den.wait_line(net.den.err, "event=online", online)
    bob.wait_line(bob.err, "^online", seen)
    seen = len(bob.err)
    alice = net.dial_chat("alice", "bob")
    bob.wait_line(bob.err, r"calls \(its ID is proved\)", seen)
    bob.write("y\n")
    alice.wait_line(alice.err, "linked with")
    alice.stop()
    bob.stop()


@tap.test
def who_is_asked_is_told_what_the_caller_is_called(net):
    """Names and groups, beside the proved ID; a machine without them is shown by its ID alone."""
    run(net.warren("alice", "name", "claim", "alice-laptop"))
    run([net.program("warren-den"), "peer", "groups", net.ids["alice"], "family,work", "--config", net.path("den/den.conf")])
    bob = net.wait_chat("bob")
    alice = net.dial_chat("alice", "bob")
    bob.wait_line(bob.err, r"calls \(its ID is proved\), named alice-laptop, of family,work and asks for: chat$")
    bob.write("y\n")
    alice.wait_line(alice.err, "linked with")
    alice.stop()
    bob.stop()


tap.main()
