#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`warren chat` and the prompt of `warren join`, at a terminal, as a person uses them."""
import os
import pty
import re
import signal
import termios

import tap
from network import Network, Process, run, shown


class Terminal(Process):
    """A program whose standard input is a terminal."""

    def __init__(self, name, argv):
        self.ours, theirs = pty.openpty()
        super().__init__(name, argv, stdin=theirs)
        os.close(theirs)

    def write(self, text):
        os.write(self.ours, text.encode())

    def is_echoing(self):
        return bool(termios.tcgetattr(self.ours)[3] & termios.ECHO)


def at_terminal(net, name, *words):
    process = Terminal(name, net.warren(name, *words))
    net.processes.append(process)
    return process


def waiting(net, name, *words):
    process = at_terminal(net, name, "chat", "--loopback", *words)
    process.wait_line(process.err, "waiting for a call")
    return process


@tap.test
def three_peers_that_may_chat(net):
    for name in ("alice", "bob", "carol"):
        net.join(name)
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat", f"allow from {net.ids['carol']} to {net.ids['bob']} can chat")


@tap.test
def a_line_typed_before_the_question_is_no_consent(net):
    bob = waiting(net, "bob")
    bob.write("yes\ny\n")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "ringing")
    bob.wait_line(bob.err, f"{shown(net.ids['alice'])} calls")
    bob.write("yes, perhaps\n")
    tap.check(alice.wait() == 1, "alice got through")
    tap.check(alice.find(alice.err, "warren: chat: declined"), "\n".join(alice.err))
    bob.wait_line(bob.err, "waiting for the next call")
    alice = net.dial_chat("alice", shown(net.ids["bob"]))
    alice.wait_line(alice.err, f"dialling {shown(net.ids['bob'])}$")
    bob.wait_line(bob.err, f"{shown(net.ids['alice'])} calls", len(bob.err) - 1)
    alice.wait_line(alice.err, "ringing")
    bob.write("y\n")
    alice.write("so it is you\n")
    bob.wait_line(bob.out, "so it is you")
    alice.process.send_signal(signal.SIGINT)
    tap.check(alice.wait() == 130, "alice's exit status")
    bob.wait_line(bob.err, "waiting for the next call", len(bob.err) - 2, patience=15)
    bob.stop()


@tap.test
def whoever_is_called_says_for_how_long(net):
    bob = waiting(net, "bob")
    alice = net.dial_chat("alice", "bob")
    bob.wait_err(r"accept\? \[y/N\]")
    bob.write("y 3s\n")
    for side in (alice, bob):
        side.wait_line(side.err, "linked with")
        side.wait_line(side.err, r"it ends at 20\d\d-")
    net.den.kill()  # nobody else is needed for it
    for side in (alice, bob):
        side.wait_line(side.err, "warren: chat: expired: .*the time that it was allowed for is over")
    tap.check(alice.wait() == 1, "alice's exit status")
    net.start_den()
    net.den.wait_line(net.den.err, r"event=session.ended .*reason=\"the time that it was allowed for is over\"|event=session.closed")
    bob.stop()


@tap.test
def a_refusal_may_have_a_reason(net):
    bob = waiting(net, "bob")
    alice = net.dial_chat("alice", "bob")
    bob.wait_err(r"accept\? \[y/N\]")
    bob.write("n in a meeting until four " + "x" * 200 + "\n")
    tap.check(alice.wait() == 1, "alice's exit status")
    line = alice.wait_line(alice.err, "declined: .*in a meeting until four x")
    tap.check("x" * 76 in line and "x" * 77 not in line, f"not 100 bytes: {line}")
    alice = net.dial_chat("alice", "bob")
    bob.wait_line(bob.err, "calls", len(bob.err) - 1)
    bob.write("y forever\n")  # no duration: no clear yes
    alice.wait_line(alice.err, "warren: chat: declined")
    bob.stop()


@tap.test
def the_question_goes_with_a_caller_that_was_killed(net):
    bob = waiting(net, "bob")
    alice = net.dial_chat("alice", "bob")
    bob.wait_err(r"accept\? \[y/N\]")
    alice.wait_line(alice.err, "ringing")
    alice.kill()
    bob.wait_line(bob.err, "warren: chat: canceled", patience=20)  # an unanswered call would ring for 60 s
    bob.wait_line(bob.err, "waiting for the next call")
    net.den.wait_line(net.den.err, "event=session.failed .* code=canceled")
    bob.stop()


@tap.test
def what_was_typed_for_one_is_not_said_to_the_next(net):
    bob = waiting(net, "bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.write("first\n")
    bob.wait_line(bob.out, "first")
    alice.process.send_signal(signal.SIGTERM)
    alice.wait()
    bob.wait_line(bob.err, "waiting for the next call", patience=15)
    bob.write("only for alice\n")
    carol = net.dial_chat("carol", "bob")
    carol.write("second\n")
    bob.wait_line(bob.out, "second")
    bob.write("for carol\n")
    carol.wait_line(carol.out, "for carol")
    tap.check(not carol.find(carol.out, "only for alice"), str(carol.out))
    carol.stop()
    bob.stop()


@tap.test
def a_caller_who_gives_up_stops_the_ringing(net):
    bob = waiting(net, "bob")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "ringing")
    bob.wait_line(bob.err, "calls")
    alice.process.send_signal(signal.SIGINT)
    alice.wait()
    bob.wait_line(bob.err, "waiting for the next call", patience=15)
    bob.stop()


@tap.test
def a_known_peer_with_another_key_is_refused_and_both_are_told(net):
    known = net.path("bob", "known_peers")
    with open(known, encoding="ascii") as f:
        before = f.read()
    key = net.identity("alice")["identity_pk"]
    with open(known, "w", encoding="ascii") as f:
        f.write(before.replace(key, net.identity("carol")["identity_pk"]))
    bob = waiting(net, "bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    tap.check(alice.wait() == 1, "alice's exit status")
    tap.check(alice.find(alice.err, "warren: chat: identity_changed: "), "\n".join(alice.err))
    tap.check(not alice.find(alice.err, re.escape(net.path("bob"))), "bob's files are named to alice")
    bob.wait_line(bob.err, f"a call of {shown(net.ids['alice'])} was refused")
    bob.wait_line(bob.err, "warren: chat: identity_changed: .*known_peers")
    bob.wait_line(bob.err, "what to do: .*known accept")
    bob.stop()
    with open(known, "w", encoding="ascii") as f:
        f.write(before)


@tap.test
def a_damaged_revocation_list_is_fetched_anew(net):
    with open(net.path("bob", "crl.der"), "r+b") as f:
        f.truncate(20)
    bob = waiting(net, "bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.write("all the same\n")
    bob.wait_line(bob.out, "all the same")
    alice.stop()
    bob.stop()


@tap.test
def the_second_router_serves_when_the_first_is_of_another_network(net):
    other = Network(tap.build_dir(), net.path("other"), name="other.example")
    os.mkdir(net.path("other"))
    try:
        other.make()
        text = net.token().replace("warren://", f"warren://127.0.0.1:{other.port},")
        run(net.warren("frank", "join", "--timeout", "40"), input=text + "\n")
    finally:
        other.close()


@tap.test
def nothing_that_is_sent_steers_the_terminal(net):
    bob = waiting(net, "bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.write("a\033[2Jb\u202ec\u200bd\ufeffe \\x41 \u00e4\n")
    line = bob.wait_line(bob.out, "a.*b.*c.*d.*e")
    tap.check(line.endswith(r"a\x1b[2Jb\xe2\x80\xaec\xe2\x80\x8bd\xef\xbb\xbfe \\x41 ä"), repr(line))
    alice.stop()
    bob.stop()


@tap.test
def the_prompt_leaves_the_terminal_as_it_was(net):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        dave = at_terminal(net, "dave", "join")
        dave.wait_err("join string")
        tap.check(not dave.is_echoing(), "the prompt echoes")
        dave.process.send_signal(number)
        dave.process.wait(30)
        tap.check(dave.is_echoing(), f"no echo after {number!r}")


@tap.test
def a_join_string_at_the_prompt(net):
    erin = at_terminal(net, "erin", "join")
    erin.wait_err("join string")
    erin.write(net.token() + "\n")
    tap.check(erin.wait() == 0, "\n".join(erin.err))
    tap.check(erin.is_echoing(), "no echo afterwards")
    tap.check(re.search(r"^ID +\d{3} \d{3}$", "\n".join(erin.out), re.M), str(erin.out))


@tap.test
def usage_is_checked_before_anything_else(net):
    for words, why in ((["id", "--accept"], "an option is given that it does not have"), (["chat", "12345"], "6 to 9 digits"),
                       (["chat", "45600x"], "6 to 9 digits"), (["chat", shown(net.ids["alice"])], "own ID")):
        tap.check_in(why, run(net.warren("alice", *words), wanted=2).stderr)
    done = run(["sh", "-c", f"'{net.program('warren')}' --state '{net.path('alice')}' id > /dev/full"], wanted=1)
    tap.check_in("standard output", done.stderr)


tap.main()
