#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Router, den and peers go away and come back."""
import signal

import tap


@tap.test
def a_peer_comes_back_after_the_router_died(net):
    net.join("alice")
    net.join("bob")
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")
    bob = net.wait_chat("bob", "--accept")
    seen, seen_den = len(bob.err), len(net.den.err)
    net.router.kill()
    bob.wait_line(bob.err, r"offline: .*trying again in", seen)
    seen = len(bob.err)
    net.start_router()
    bob.wait_line(bob.err, r"online", seen)
    net.den.wait_line(net.den.err, r"event=online", seen_den)
    alice = net.dial_chat("alice", "bob")
    alice.write("after the storm\n")
    bob.wait_line(bob.out, "after the storm$")
    bob.write("here we are\n")
    alice.wait_line(alice.out, "here we are$")
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0, "alice's exit status")
    tap.check(bob.wait() == 0, "bob's exit status")


@tap.test
def a_live_link_outlives_router_and_den(net):
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.write("one\n")
    bob.wait_line(bob.out, ": one$")
    net.router.kill()
    net.den.stop()
    alice.wait_line(alice.err, "offline")
    alice.write("two\n")
    bob.wait_line(bob.out, ": two$")
    bob.write("three\n")
    alice.wait_line(alice.out, ": three$")
    alice.end_input()
    bob.end_input()
    tap.check(alice.wait() == 0, "alice's exit status")
    tap.check(bob.wait() == 0, "bob's exit status")


@tap.test
def without_den_new_sessions_fail_with_a_clear_error(net):
    net.start_router()
    alice = net.dial_chat("alice", "bob")
    tap.check(alice.wait() == 1, "alice's exit status")
    tap.check(alice.find(alice.err, r"warren: chat: den_away: "), "\n".join(alice.err))


@tap.test
def identities_survive_a_restart_of_everything(net):
    net.start_den()
    before = dict(net.ids)
    for name, peer_id in before.items():
        process = net.wait_chat(name, "--accept")
        process.wait_line(process.err, "this machine is")
        tap.check(net.identity(name)["id"] == peer_id, name)
        process.process.send_signal(signal.SIGINT)
        process.process.wait(30)


@tap.test
def the_audit_holds_from_its_first_entry(net):
    from network import run
    done = run([net.program("warren-den"), "audit", "verify", "--config", net.path("den", "den.conf")])
    tap.check_in("entries", done.stdout)


tap.main()
