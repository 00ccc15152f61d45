#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names: claimed, dialled, handed on; and keys that change under an ID that somebody knows."""
import json

import tap
from network import run, shown


def den(net, *words, wanted=0):
    return run([net.program("warren-den"), *words, "--config", net.path("den/den.conf")], wanted=wanted)


def chat_once(net, caller, callee, whom, wanted=0):
    bob = net.wait_chat(callee, "--accept")
    alice = net.start(caller, net.warren(caller, "chat", whom, "--loopback"))
    try:
        if wanted == 0:
            alice.wait_line(alice.err, r"^linked with")
            alice.write("hello\n")
            bob.wait_line(bob.out, r"hello")
            bob.end_input()
        alice.end_input()
        tap.check(alice.wait() == wanted, "the chat ended otherwise")
    finally:
        bob.stop()
    return alice, bob


@tap.test
def a_name_is_claimed_and_dialled(net):
    for name in ("alice", "bob", "carol"):
        net.join(name)
    net.allow("allow from * to * can chat consent none")
    done = run(net.warren("bob", "name", "claim", "bobs-desk"))
    tap.check_in(shown(net.ids["bob"]), done.stdout)
    alice, _bob = chat_once(net, "alice", "bob", "bobs-desk")
    alice.wait_line(alice.err, rf"^linked with {shown(net.ids['bob'])}")
    granted = [json.loads(line)["facts"] for line in net.audit() if '"session.granted"' in line]
    tap.check(granted[-1]["dialled"] == "bobs-desk" and granted[-1]["to"] == net.ids["bob"], str(granted[-1]))


@tap.test
def names_are_never_overwritten_nor_alike(net):
    done = run(net.warren("alice", "name", "claim", "bobs-desk"), wanted=1)
    tap.check_in("already_exists", done.stderr)
    done = run(net.warren("alice", "name", "claim", "b0bs-desk"), wanted=1)
    tap.check_in("looks like one that is taken", done.stderr)
    done = run(net.warren("alice", "name", "claim", "Bob"), wanted=1)
    tap.check_in("invalid_argument", done.stderr)
    done = run(net.warren("alice", "name", "release", "bobs-desk"), wanted=1)
    tap.check_in("not a name of this machine", done.stderr)
    done = run(net.warren("alice", "chat", "nobody-here", "--loopback"), wanted=1)
    tap.check_in("not_reachable", done.stderr)


@tap.test
def a_name_is_handed_on_and_given_up(net):
    run(net.warren("bob", "name", "transfer", "bobs-desk", net.ids["carol"]))
    names = json.loads(run(net.warren("carol", "name", "list", "--json")).stdout)
    tap.check([(n["name"], n["name_no"]) for n in names] == [("bobs-desk", 2)], str(names))
    run(net.warren("carol", "name", "release", "bobs-desk"))
    done = run(net.warren("bob", "name", "claim", "bobs-desk"), wanted=1)
    tap.check_in("lies idle", done.stderr)
    tap.check_in("bobs-desk", den(net, "name", "list").stdout)


@tap.test
def an_assigned_name_is_the_administrators(net):
    den(net, "name", "assign", "bob@corp.example", net.ids["bob"])
    chat_once(net, "alice", "bob", "bob@corp.example")
    done = run(net.warren("alice", "name", "claim", "bob@corp.example"), wanted=1)
    tap.check_in("not_authorized", done.stderr)
    tap.check("bob@" not in net.identity("bob")["names"], "it is in the certificate")


@tap.test
def a_name_that_was_handed_on_is_noticed(net):
    """Whoever dialled it before is told, once."""
    run(net.warren("bob", "name", "claim", "front-desk"))
    alice, _ = chat_once(net, "alice", "bob", "front-desk")
    tap.check(not any("name_moved" in line for line in alice.err), "\n".join(alice.err))
    run(net.warren("bob", "name", "transfer", "front-desk", net.ids["carol"]))
    alice, _ = chat_once(net, "alice", "carol", "front-desk")
    alice.wait_line(alice.err, rf"^name_moved: front-desk meant {net.ids['bob']} when it was last dialled; now it means {net.ids['carol']}")
    alice, _ = chat_once(net, "alice", "carol", "front-desk")
    tap.check(not any("name_moved" in line for line in alice.err), "told twice")


@tap.test
def a_new_key_signed_by_the_old_one_is_taken_and_told(net):
    before = net.identity("bob")
    run(net.warren("bob", "rekey"))
    after = net.identity("bob")
    tap.check(after["id"] == before["id"] and after["identity_pk"] != before["identity_pk"], str(after))
    alice, _bob = chat_once(net, "alice", "bob", net.ids["bob"])
    alice.wait_line(alice.err, r"has a new identity key; its old one signed for it")
    with open(net.path("alice/known_peers"), encoding="ascii") as f:
        text = f.read()
    tap.check_in(after["identity_pk"], text)
    tap.check_in("# before: " + before["id"], text)
    alice, _bob = chat_once(net, "alice", "bob", net.ids["bob"])
    tap.check(not any("new identity key" in line for line in alice.err), "told twice")
    tap.check_in("not_found", run(net.warren("alice", "known", "accept", net.ids["bob"], "--yes"), wanted=1).stderr)


@tap.test
def the_end_of_the_key_before_ends_no_link_of_the_new_one(net):
    n = len(net.router.err)
    run(net.warren("bob", "rekey"))
    bob = net.wait_chat("bob", "--accept")
    alice = net.start("alice", net.warren("alice", "chat", net.ids["bob"], "--loopback"))
    alice.wait_line(alice.err, r"^linked with")
    net.router.wait_line(net.router.err, r"event=revocations newest=", n)
    alice.write("still here\n")
    bob.wait_line(bob.out, r"still here")
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0, "the chat ended otherwise")
    bob.stop()


@tap.test
def a_key_that_an_administrator_gave_is_asked_about(net):
    den(net, "peer", "re-enrol", net.ids["bob"])
    text = den(net, "peer", "re-enrol", net.ids["bob"]).stdout  # which ends the one before, and the order to the signer with it
    with open(net.path("den/signer.orders"), encoding="ascii") as f:
        orders = f.read().splitlines()
    tap.check([line.split()[0] for line in orders] == ["re-enrol", "end", "re-enrol"] and orders[0].split()[2] == orders[1].split()[1], str(orders))
    run(net.warren("bob2", "join"), input=text)
    # whoever still has the key before can do nothing with it, from the first moment on
    n = len(net.router.err)
    old = net.start("bob", net.warren("bob", "name", "list"))
    try:
        net.router.wait_line(net.router.err, rf"event=refused .*network\.error\.revoked.* of {net.ids['bob']} was revoked", n)
    finally:
        old.stop()
    tap.check(old.out == [], f"the router let it in: {old.out}")
    tap.check(net.identity("bob2")["id"] == net.ids["bob"], "another ID")
    alice, _bob = chat_once(net, "alice", "bob2", net.ids["bob"], wanted=1)
    tap.check_in("identity_changed", "\n".join(alice.err))
    tap.check_in("an administrator of the network gave it", "\n".join(alice.err))
    done = run(net.warren("alice", "known", "accept", net.ids["bob"], "--yes"))
    tap.check_in(net.identity("bob2")["fingerprint"], done.stderr)
    chat_once(net, "alice", "bob2", net.ids["bob"])
    # and is told why
    old = net.start("bob", net.warren("bob", "chat", net.ids["alice"], "--loopback"))
    old.wait_line(old.err, r"revoked")
    old.stop()
    tap.check(not old.find(old.err, "linked"), "\n".join(old.err))


tap.main()
