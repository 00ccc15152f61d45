#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A revocation reaches everybody, ends what it names, and nothing else."""
import json
import os
import time

import tap
from network import run


def revoke(net, *words):
    return run([net.program("warren-den"), "revoke", "--config", net.path("den/den.conf"), "--reason", "key-compromise", *words]).stdout


def linked(net, caller, callee):
    process = net.dial_chat(caller, callee)
    process.wait_line(process.err, "linked with")
    return process


@tap.test
def a_revoked_identity_loses_its_links_its_session_and_its_way_back(net):
    for name in ("alice", "bob", "carol"):
        net.join(name)
    net.allow("allow from * to * can chat back chat")
    bob, carol = net.wait_chat("bob", "--accept"), net.wait_chat("carol", "--accept")
    alice = linked(net, "alice", "bob")
    tap.check_in("number 1", revoke(net, "--id", net.ids["alice"]))
    bob.wait_line(bob.err, f"chat: revoked: {net.ids['alice']} was revoked")
    alice.wait_line(alice.err, r"chat: revoked: ")
    tap.check(alice.wait() == 1, "alice's exit status")
    net.router.wait_line(net.router.err, rf"event=revoked id={net.ids['alice']}")
    again = net.dial_chat("alice", "bob")
    again.wait_line(again.err, "revoked: the identity key of this machine was revoked")
    tap.check(again.wait() == 1, "the exit status of another try")
    os.unlink(net.path("alice/revocations"))  # a machine that forgets it is told by the router
    again = net.dial_chat("alice", "bob")
    again.wait_line(again.err, r"revoked: the router refused: admission: the identity key of .* was revoked")
    tap.check(again.wait() == 1, "the exit status when the router says it")
    waiting = net.start("alice", net.warren("alice", "chat", "--loopback"))  # one that waits goes on, and says how slowly
    waiting.wait_line(waiting.err, r"offline: the router refused: admission: .* was revoked; trying again in 6\d\.\d s")
    waiting.stop()
    for process in (bob, carol):
        process.wait_line(process.err, "waiting for")


def ask(net, who, *words, wanted=0):
    return run(net.warren(who, "call", "--sign", "den.ca.revoke", *words), wanted=wanted)


@tap.test
def an_administrator_revokes_over_the_network(net):
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.ids["boss"] = net.identity("boss")["id"]
    for name in ("grace", "heidi", "ivan"):
        net.join(name)
    heidi = net.wait_chat("heidi", "--accept")
    grace = linked(net, "grace", "heidi")
    serial = json.loads(run(net.warren("heidi", "id", "--json")).stdout)["serial"]
    for words in ([f"id={net.ids['grace']}"], [f"serial={serial}"], ["id=999999"], ["serial=00ff"]):
        refused = ask(net, "ivan", *words, wanted=4).stderr
        tap.check_in("not_authorized", refused)
        tap.check_in("only an administrator", refused)
    tap.check_in("invalid_argument", ask(net, "boss", wanted=1).stderr)
    tap.check_in("invalid_argument", ask(net, "boss", "id=999999", "serial=00", wanted=1).stderr)
    tap.check_in("not_found", ask(net, "boss", "id=999999", wanted=1).stderr)
    tap.check_in("key-compromise", ask(net, "boss", f"id={net.ids['grace']}", "reason=x", wanted=1).stderr)
    for misspelt in ("kind=serial", "reasn=superseded"):  # what cannot be taken back is not done for half of what was said
        tap.check_in("is nothing that den.ca.revoke takes: id serial key reason", ask(net, "boss", f"id={net.ids['grace']}", misspelt, wanted=1).stderr)
    # without a signature it is nobody's word
    unsigned = run(net.warren("boss", "call", "den.ca.revoke", f"id={net.ids['grace']}"), wanted=1).stderr
    tap.check_in("invalid_argument", unsigned)
    answer = json.loads(ask(net, "boss", f"id={net.ids['grace']}", "reason=key-compromise").stdout)
    tap.check(answer["id"] == net.ids["grace"] and answer["kind"] == "identity" and answer["is_new"], str(answer))
    heidi.wait_line(heidi.err, f"chat: revoked: {net.ids['grace']} was revoked")
    grace.wait_line(grace.err, r"chat: revoked: ")
    again = json.loads(ask(net, "boss", f"id={net.ids['grace']}").stdout)
    tap.check(not again["is_new"] and again["rev_no"] == answer["rev_no"], str(again))
    audit = run([net.program("warren-den"), "audit", "list", "--config", net.path("den/den.conf")]).stdout
    entry = next(json.loads(line) for line in audit.splitlines() if '"revoked"' in line and net.ids["grace"] in line)
    tap.check(entry["facts"]["by"] == net.ids["boss"] and entry["facts"]["source"], str(entry))
    tap.check((entry["facts"]["state_before"], entry["facts"]["state"]) == ("committed", "revoked"), str(entry))
    heidi.stop()


@tap.test
def a_machine_revokes_what_is_its_own(net):
    serial = json.loads(run(net.warren("ivan", "id", "--json")).stdout)["serial"]
    answer = json.loads(ask(net, "ivan", f"serial={serial}", "reason=superseded").stdout)
    tap.check(answer["kind"] == "serial" and answer["id"] == net.ids["ivan"], str(answer))
    facts = [entry["facts"] for entry in map(json.loads, net.audit()) if entry["what"] == "revoked"][-1]
    tap.check(facts["subject"] == serial.lower().replace(":", "") and (facts["state_before"], facts["state"]) == ("valid", "revoked"), str(facts))
    answer = json.loads(ask(net, "ivan", f"id={net.ids['ivan']}", "reason=cessation-of-operation").stdout)
    tap.check(answer["kind"] == "identity", str(answer))
    net.router.wait_line(net.router.err, rf"event=revocations newest={answer['rev_no']}$")  # ivan's session is over by itself by then, or is ended
    gone = net.dial_chat("ivan", "bob")
    gone.wait_line(gone.err, "revoked")
    gone.kill()


@tap.test
def a_router_whose_certificate_is_revoked_gets_another_one(net):
    config = ["--config", net.path("den/den.conf")]
    rows = run([net.program("warren-den"), "cert", "list", *config, "--id", "router", "--json"]).stdout
    seen = len(net.den.err)
    revoke(net, "--serial", json.loads(rows)[-1]["serial"])
    net.den.wait_line(net.den.err, r"event=router\.certificate\.renewed at=router", seen)
    answer = json.loads(run(net.warren("boss", "call", "network.whoami")).stdout)
    tap.check(answer["id"] == net.ids["boss"], str(answer))


@tap.test
def others_notice_nothing(net):
    net.join("dave")
    carol = next(process for process in net.processes if process.name == "carol")
    dave = linked(net, "dave", "carol")
    dave.write("still here\n")
    carol.wait_line(carol.out, "still here$")
    dave.stop()


@tap.test
def a_revoked_certificate_ends_its_link_and_is_replaced(net):
    net.join("erin")
    erin = net.wait_chat("erin", "--accept")
    dave = linked(net, "dave", "erin")
    before = json.loads(run(net.warren("dave", "id", "--json")).stdout)
    revoke(net, "--serial", before["serial"])
    erin.wait_line(erin.err, f"chat: revoked: {net.ids['dave']} was revoked")
    dave.wait()
    dave = linked(net, "dave", "erin")  # with a new certificate, and a new key
    dave.stop()


@tap.test
def it_outlives_router_and_den(net):
    carol = next(process for process in net.processes if process.name == "carol")
    seen = len(carol.err)
    net.router.kill()
    net.den.stop()
    net.start_router()
    net.start_den()
    carol.wait_line(carol.err, r"^online", seen)
    again = net.dial_chat("alice", "bob")
    again.wait_line(again.err, r"revoked")
    again.kill()


def n_known(net, name):
    path = net.path(name, "revocations")
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as f:
        return f.read().count(b"warren/1 revoke")


@tap.test
def who_was_away_learns_of_all_of_it(net):
    net.join("frank")
    revoke(net, "--id", net.ids["erin"])
    frank = net.dial_chat("frank", "carol")
    frank.wait_line(frank.err, "linked with")
    until = time.monotonic() + 60
    while n_known(net, "frank") < 3:  # the heartbeat that tells of the last one may come after the link
        tap.check(time.monotonic() < until, "frank does not know all three")
        time.sleep(0.05)
    frank.stop()


tap.main()
