#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokens and approval, as operators and newcomers meet them."""
import json
import os
import re
import signal

import tap
from network import Network, fast, run


def den(net, *words, wanted=0):
    return run([net.program("warren-den"), *words, "--config", net.path("den/den.conf")], wanted=wanted)


def restart_den(net, **options):
    path = net.path("den/den.conf")
    with open(path, encoding="ascii") as f:
        text = f.read()
    for key, value in options.items():
        text = re.sub(rf"(?m)^#?{key} =.*$", f"{key} = {value}", text)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    net.den.stop()
    net.start_den()


@tap.test
def tokens_are_listed_with_two_lives_and_never_shown_again(net):
    out = den(net, "token", "add", "--uses", "any", "--expires", "1h", "--groups", "staff", "--device-life", "90d", "--label", "the \"lab\"").stdout
    token = out.strip().rsplit(".", 1)[1]
    run(net.warren("alice", "join"), input=out)
    rows = json.loads(den(net, "token", "list", "--json").stdout)
    row = next(row for row in rows if row["label"] == 'the "lab"')
    tap.check(row["uses"] is None and row["used"] == 1 and row["state"] == "usable", str(row))
    tap.check(row["device_life_ms"] == 90 * 86400000 and row["expires_at"], str(row))
    text = den(net, "token", "list").stdout
    tap.check_in("90d from its joining", text)
    tap.check_in("1 of any", text)
    tap.check(token not in text + json.dumps(rows), "the token is listed")
    peers = json.loads(den(net, "peer", "list", "--json").stdout)
    mine = next(peer for peer in peers if peer["id"] == net.identity("alice")["id"])
    tap.check(mine["groups"] == "staff" and mine["ends_at"], str(mine))


@tap.test
def a_revoked_token_is_refused_with_what_to_do(net):
    text = den(net, "token", "add").stdout
    rows = json.loads(den(net, "token", "list", "--json").stdout)
    den(net, "token", "revoke", rows[0]["token"][:12])
    done = run(net.warren("bob", "join", "--timeout", "20"), wanted=1, input=text)
    tap.check_in("the token was revoked", done.stderr)
    done = den(net, "token", "revoke", "0123456789ab", wanted=1)
    tap.check_in("there is no token", done.stderr)


@tap.test
def a_waiting_machine_joins_by_itself_when_it_is_approved_through_restarts_of_all(net):
    restart_den(net, enrolment="approval")
    public = net.token().rsplit(".", 1)[0]
    carol = net.start("carol", net.warren("carol", "join"))
    carol.write(public + "\n")
    carol.end_input()
    code = carol.wait_line(carol.out, r"^[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}$")
    tap.check_in(code, den(net, "waiting", "list").stdout)
    net.den.stop()
    net.router.stop()
    net.start_router()
    net.start_den()
    carol.process.send_signal(signal.SIGTERM)
    tap.check(carol.wait() == 128 + 15, "carol ended otherwise")
    again = net.start("carol", net.warren("carol", "join", "--resume"))
    tap.check(again.wait_line(again.out, r"^....-....-....$") == code, "another code")
    rows = json.loads(den(net, "waiting", "list", "--json").stdout)
    tap.check([row["code"] for row in rows] == [code], str(rows))
    den(net, "approve", code[:9], "--groups", "guests")
    again.wait_line(again.err, r"^joined$")
    tap.check(again.wait() == 0, "join failed")
    tap.check(json.loads(den(net, "waiting", "list", "--json").stdout) == [], "still waits")
    tap.check(not run(net.warren("carol", "join", "--resume"), wanted=None).returncode, "resume of a joined one")


@tap.test
def who_is_turned_away_is_told(net):
    dave = net.start("dave", net.warren("dave", "join"))
    dave.write(net.token().rsplit(".", 1)[0] + "\n")
    dave.end_input()
    code = dave.wait_line(dave.out, r"^....-....-....$")
    den(net, "deny", code)
    tap.check(dave.wait() == 1, "not refused")
    tap.check_in("the operator did not let this machine in", "\n".join(dave.err))


@tap.test
def an_open_network_gives_provisional_ids_that_can_be_kept(net):
    restart_den(net, enrolment="open")
    run(net.warren("erin", "join"), input=net.token().rsplit(".", 1)[0] + "\n")
    mine = net.identity("erin")["id"]
    tap.check(len(mine) == 9, mine)
    state = {peer["id"]: peer["state"] for peer in json.loads(den(net, "peer", "list", "--json").stdout)}
    tap.check(state[mine] == "provisional", str(state))
    den(net, "approve", mine)
    state = {peer["id"]: peer["state"] for peer in json.loads(den(net, "peer", "list", "--json").stdout)}
    tap.check(state[mine] == "committed", str(state))
    restart_den(net, enrolment="token")


@tap.test
def an_ephemeral_machine_vanishes_after_it_left_and_not_before(net):
    """In a network of its own, whose clocks run twelve times as fast."""
    os.mkdir(net.path("fast"))
    own, prefix = Network(net.build, net.path("fast")), fast(net.build, 12)
    own.processes = net.processes  # stopped with the others
    own.make(prefix)
    string = den(own, "token", "add", "--uses", "any", "--ephemeral", "1m").stdout
    for name in ("stays", "goes"):
        run([*prefix, *own.warren(name, "join")], input=string)
    stays, goes = own.identity("stays")["id"], own.identity("goes")["id"]
    waiting = own.wait_chat("stays", prefix=prefix)
    own.den.wait_line(own.den.err, rf"event=vanished id={goes}$")
    states = {peer["id"]: peer["state"] for peer in json.loads(den(own, "peer", "list", "--json").stdout)}
    tap.check(states[goes] == "gone" and states[stays] == "ephemeral", str(states))
    gone = run([*prefix, *own.warren("goes", "name", "list")], wanted=1)
    tap.check_in("what to do: ", gone.stderr)
    tap.check(not own.den.find(own.den.err, rf"event=vanished id={stays}$"), "one that is there vanished")
    run([*prefix, *own.warren("goes", "join")], input=string)
    tap.check(own.identity("goes")["id"] == goes, "it does not have its ID again")
    waiting.stop()
    own.den.wait_line(own.den.err, rf"event=vanished id={stays}$")
    audit = [json.loads(line) for line in own.audit()]
    tap.check({entry["facts"].get("id") for entry in audit if entry["what"] == "identity.vanished"} >= {stays, goes}, "the audit")


tap.main()
