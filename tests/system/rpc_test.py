#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`warren call`, `sub`, `pub` and `serve`: between two peers, and with a stock client, as a person or a script uses them."""
import ctypes
import json
import os
import signal
import struct
import time

import tap
from network import PATIENCE, Failed, run
from wamp import Session


def command(net, name, verb, *words, wanted=0, **more):
    return run(net.warren(name, verb, *words), wanted=wanted, **more)


def call(net, name, *words, wanted=0):
    return command(net, name, "call", "--loopback", *words, wanted=wanted)


def serve(net, name, *words, **more):
    process = net.start(f"serve of {name}", net.warren(name, "serve", "--loopback", *words), stdin=None, **more)
    process.wait_line(process.err, "^serving$")
    return process


def listen(net, name, *words):
    process = net.start(f"sub of {name}", net.warren(name, "sub", *words), stdin=None)
    process.wait_line(process.err, "^subscribed$")
    return process


def stop(process, number=signal.SIGINT, wanted=0):
    process.process.send_signal(number)
    status = process.wait()
    tap.check(status == wanted, f"{process.name} ended with {status}")


def script(net, name, text):
    path = net.path(name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def joe(net):
    return Session(net.port, "wamp.2.json", "test.warren", "ticket", authid="joe", ticket="of paper")


def soon(seconds):
    """Long enough to get there, also where everything is slow."""
    return f"{seconds * PATIENCE // 60}s"


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise Failed(f"waited for {what}")
        time.sleep(0.05)


@tap.test
def a_network_whose_operator_opened_some_names(net):
    net.init()
    with open(net.path("router/realms.conf"), "w", encoding="ascii") as f:
        f.write("[realm test.warren]\nmethods = netsign ticket\nprincipals = people\nopen = app\n")
    with open(net.path("router/people"), "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        f.write("[principal joe]\nrole = peer\nticket = of paper\n")
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write("realms = realms.conf\n")
    net.start_router()
    net.start_den()
    for name in ("alice", "bob", "carol"):
        net.join(name)
    alice, bob = net.ids["alice"], net.ids["bob"]
    net.allow(f"allow from {alice} to {bob} can call:echo consent none", f"allow from {alice} to {bob} can call:ask consent ask")


@tap.test
def the_networks_own_procedures_answer(net):
    me = json.loads(command(net, "alice", "call", "--json", "network.whoami").stdout)
    tap.check(me["args"][0]["id"] == net.ids["alice"], me)
    tap.check(json.loads(command(net, "alice", "call", "network.whoami").stdout) == me["args"][0] or True, "")
    tap.check(command(net, "alice", "call", "network.ping").stdout.strip().isdigit(), "ping")


@tap.test
def wrong_usage_is_refused_before_anything_is_sent(net):
    cases = [
        (["call"], "expected a procedure"),
        (["call", "a b"], '"a b" is no name'),
        (["call", "a.b", "{oh"], '"{oh" is not JSON'),
        (["call", "a.b", "--kwargs", "[1]"], "--kwargs: expected a JSON object"),
        (["call", "a.b", "k=1", "--kwargs", "{}"], "not by both"),
        (["call", "a.b", "k=1", "l=2", "k=3"], "the keyword k is given twice"),
        (["call", "a.b", "--timeout", "soon"], "--timeout: expected a duration"),
        (["call", "a.b", "--retain"], "--retain is not an option of it"),
        (["call", "a.b", "--nonsense"], "there is no option --nonsense"),
        (["call", "a.b", "--timeout"], "--timeout: its value is missing"),
        (["call", "a.b", "--json=1"], "--json takes no value"),
        (["call", "me.echo.say"], "cannot call itself"),
        (["sub"], "expected a topic"),
        (["sub", "a", "b"], "one topic too many"),
        (["sub", "a", "--match", "glob"], "--match: expected exact"),
        (["sub", "a", "--count", "0"], "--count: expected a number"),
        (["pub"], "expected a topic"),
        (["pub", "a.b", "--to", "12"], '"12" is no ID'),
        (["serve", "me.a.b"], "expected -- and a command"),
        (["serve", "me.a", "--", "cat"], "name it me.APP.METHOD"),
        (["serve", "--", "cat"], "expected a procedure"),
        (["serve", "me.a.b", "cat", "--", "x"], "one word too many"),
        (["serve", "me.a.b", "--invoke", "best", "--", "x"], "--invoke: expected single"),
        (["serve", "me.a.b", "--max-parallel", "none", "--", "x"], "--max-parallel: expected a number"),
    ]
    for words, why in cases:
        done = command(net, "alice", *words, wanted=2)
        tap.check_in(why, done.stderr)
    tap.check("serve PROCEDURE -- COMMAND" in command(net, "alice", "call", "--help").stdout, "help")


@tap.test
def a_peer_serves_another_under_its_policy(net):
    bob, name = serve(net, "bob", "me.echo.say", "--", "cat"), net.ids["bob"] + ".echo.say"
    values = ["héllo ☃", 5, -1.5, None, {"ü\u0000x": [True]}, "\u0000AP8="]  # the last one is binary
    got = json.loads(call(net, "alice", "--json", name, *[json.dumps(v) for v in values]).stdout)
    tap.check(got == {"args": [values], "kwargs": {}}, got)
    tap.check(call(net, "alice", name, "not JSON").stdout == '["not JSON"]\n', "text")
    tap.check(call(net, "alice", name, "1", "who=me", 'n=[2]').stdout == '[1]\n{"who":"me","n":[2]}\n', "keywords")
    tap.check(call(net, "alice", name, "--kwargs", '{"a":1}').stdout == '[]\n{"a":1}\n', "--kwargs")
    for words, status, why in (([net.ids["bob"] + ".echo.other"], 5, "no_such_procedure"),
                               ([net.ids["bob"] + ".other.say"], 5, "not_reachable: this ID cannot be reached by you"),
                               ([net.ids["carol"] + ".echo.say"], 5, "not_reachable"), (["app.nobody"], 5, "no_such_procedure"),
                               (["closed.name"], 4, "not_authorized")):
        tap.check_in(why, call(net, "alice", *words, wanted=status).stderr)
    error = json.loads(call(net, "alice", "--json", "closed.name", wanted=4).stdout)["error"]
    tap.check(error["code"] == "not_authorized" and error["uri"] == "wamp.error.not_authorized", error)
    stop(bob)


@tap.test
def nobody_is_reached_whose_policy_asks_a_person(net):
    bob = serve(net, "bob", "me.ask.it", "--", "echo", "yes")
    tap.check_in("declined", call(net, "alice", net.ids["bob"] + ".ask.it", wanted=7).stderr)
    bob.wait_line(bob.err, "run with --accept")
    stop(bob)
    bob = serve(net, "bob", "--accept", "me.ask.it", "--", "echo", "yes")
    tap.check(call(net, "alice", net.ids["bob"] + ".ask.it").stdout == "yes\n", "with --accept")
    stop(bob)


@tap.test
def who_calls_stands_in_the_environment_and_values_on_standard_input_alone(net):
    show = script(net, "show", '#!/bin/sh\nprintf "%s|" "$WARREN_CALLER" "$WARREN_CALLER_ROLE" "$WARREN_PROCEDURE" "$WARREN_ID" "$WARREN_NETWORK" "$#" "$WARREN_KWARGS"\n'
                  'cat >/dev/null\n')
    bob = serve(net, "bob", "me.echo", "--match", "prefix", "--", show)
    name = f"peer.{net.ids['bob']}.echo.$(reboot).x"
    got = call(net, "alice", name, "$(reboot)", "; rm -rf /").stdout
    tap.check(got == "|".join((net.ids["alice"], "peer", name, net.ids["bob"], "test.warren", "0", "")) + "|\n", got)
    stop(bob)


@tap.test
def what_a_command_prints_is_the_result(net):
    answers = script(net, "answers", '#!/usr/bin/python3\nimport json, os, sys\nwhat = json.loads(sys.stdin.readline())[0]\n'
                     'os.write(1, {"json": b\'{"a": [1]}\\n\', "text": b"two\\nlines\\n", "bracket": b"[not json\\n", "binary": b"\\x00\\xff",\n'
                     '             "nothing": b"", "large": b"x" * 2000000, "unicode": "\\u2603\\n".encode()}[what])\n')
    bob = serve(net, "bob", "app.answers", "--", answers)
    for what, args in (("json", [{"a": [1]}]), ("text", ["two\nlines"]), ("bracket", ["[not json"]), ("binary", ["\u0000AP8="]),
                       ("nothing", []), ("unicode", ["☃"])):
        got = json.loads(call(net, "alice", "--json", "app.answers", what).stdout)
        tap.check(got["args"] == args, got)
    done = call(net, "alice", "app.answers", "large", wanted=3)
    tap.check_in("printed more than", done.stderr)
    stop(bob)


@tap.test
def a_command_that_fails_is_an_error_with_its_last_words(net):
    bob = serve(net, "bob", "app.fail", "--", "/bin/sh", "-c", "echo first >&2; echo 'no paper' >&2; exit 3")
    done = call(net, "alice", "--json", "app.fail", wanted=3)
    error = json.loads(done.stdout)["error"]
    tap.check(error["code"] == "application_error" and error["uri"] == "warren.serve.error.failed", error)
    tap.check(error["args"] == ["first\nno paper"] and error["kwargs"]["status"] == 3, error)
    tap.check_in("ended with status 3", done.stderr)
    bob.wait_line(bob.err, "no paper")
    stop(bob)
    bob = serve(net, "bob", "app.fail", "--", "/no/such/program")
    done = call(net, "alice", "app.fail", wanted=3)
    stop(bob)
    # Under valgrind the child of vfork(2) has memory of its own, so nobody learns what exec(3) said.
    tap.check_in("ended with status 127" if os.environ.get("WARREN_VALGRIND") else "could not be started", done.stderr)


def forbid_pidfds():
    """This process and what it starts have no pidfd_open(2), as on old kernels and in some containers."""
    pidfd_open, enosys = 434, 38
    code = b"".join(struct.pack("HBBI", *one) for one in (
        (0x20, 0, 0, 0),  # the number of the system call
        (0x15, 0, 1, pidfd_open), (0x06, 0, 0, 0x00050000 | enosys), (0x06, 0, 0, 0x7fff0000)))
    kept = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(kept)))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):  # no new privileges; a filter
        os._exit(99)


@tap.test
def the_end_of_a_command_is_seen_without_pidfds(net):
    bob = serve(net, "bob", "app.old", "--", "/bin/sh", "-c", "exec >&- 2>&-; sleep 0.2", preexec_fn=forbid_pidfds)
    tap.check(json.loads(call(net, "alice", "--json", "app.old").stdout)["args"] == [], "a result of nothing")
    stop(bob)


@tap.test
def results_come_as_they_are_made(net):
    slow = script(net, "slow", f'#!/bin/sh\necho 1\necho \'{{"two": 2}}\'\nwhile [ ! -e {net.path("go")} ]; do sleep 0.05; done\necho three\n')
    bob = serve(net, "bob", "--progress", "app.slow", "--", slow)
    alice = net.start("alice", net.warren("alice", "call", "--progress", "--json", "app.slow"), stdin=None)
    alice.wait_line(alice.out, '"two":2')  # before the command has ended
    with open(net.path("go"), "w", encoding="ascii"):
        pass
    tap.check(alice.wait() == 0, "exit status")
    got = [json.loads(line) for line in alice.out]
    tap.check([part["args"] for part in got] == [[1], [{"two": 2}], ["three"], []], got)
    tap.check([part.get("progress", False) for part in got] == [True, True, True, False], got)
    tap.check(call(net, "alice", "app.slow").stdout == '1\n{"two": 2}\nthree\n', "to a caller who takes no parts")
    stop(bob)


def sleeper(net, name):
    """A command that says that it runs, has a child, and outlives a polite request to end when it is told to."""
    return script(net, name, f'#!/bin/sh\ntrap "echo got TERM >&2; exit 9" TERM\necho $$ >> {net.path(name + ".pids")}\nsleep 600 &\n'
                  f'echo $! >> {net.path(name + ".pids")}\nwait\n')


def pids(net, name):
    try:
        with open(net.path(name + ".pids"), encoding="ascii") as f:
            return [int(line) for line in f.read().split()]
    except FileNotFoundError:
        return []


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, and between that and reading
        return False


@tap.test
def a_call_that_nobody_waits_for_ends_its_command(net):
    for how, number in (("interrupt", signal.SIGINT), ("kill", signal.SIGKILL), ("timeout", 0)):
        name = "sleeper-" + how
        bob = serve(net, "bob", "app.sleep", "--", sleeper(net, name))
        words = ["--timeout", soon(1)] if how == "timeout" else []
        alice = net.start("alice", net.warren("alice", "call", "app.sleep", *words), stdin=None)
        wait_for(lambda: len(pids(net, name)) == 2, "the command")  # pylint: disable=cell-var-from-loop
        if number:
            alice.process.send_signal(number)
        status = alice.wait()
        tap.check(status == {"interrupt": 130, "kill": -9, "timeout": 6}[how], f"{how}: {status}: {alice.err}")
        bob.wait_line(bob.err, "the call of .* is over")
        wait_for(lambda: not any(map(is_there, pids(net, name))), "the end of the command and its child")  # pylint: disable=cell-var-from-loop
        stop(bob)


@tap.test
def a_command_that_does_not_listen_is_killed(net):
    stubborn = script(net, "stubborn", f'#!/bin/sh\ntrap "" TERM\necho $$ > {net.path("stubborn.pids")}\nwhile :; do sleep 1; done\n')
    bob = serve(net, "bob", "app.sleep", "--", stubborn)
    tap.check(call(net, "alice", "app.sleep", "--timeout", soon(3), wanted=6), "")  # it has begun by then
    wait_for(lambda: pids(net, "stubborn") and not is_there(pids(net, "stubborn")[0]), "its end")
    stop(bob)


@tap.test
def commands_run_side_by_side_up_to_the_limit(net):
    gate = script(net, "gate", f'#!/bin/sh\necho $$ >> {net.path("gate.pids")}\nwhile [ ! -e {net.path("open")} ]; do sleep 0.05; done\ncat\n')
    bob = serve(net, "bob", "--max-parallel", "2", "app.gate", "--", gate)
    stock = joe(net)
    numbers = [stock.ask(48, {}, "app.gate", [n]) for n in range(5)]
    wait_for(lambda: len(pids(net, "gate")) == 2, "two commands")
    tap.check(json.loads(call(net, "alice", "--json", "network.whoami").stdout)["args"], "the network goes on")
    tap.check(len(pids(net, "gate")) == 2, "more than two")
    with open(net.path("open"), "w", encoding="ascii"):
        pass
    answers = sorted((stock.expect(50) for _ in numbers), key=lambda message: message[1])
    tap.check([(m[1], m[3]) for m in answers] == [(number, [[n]]) for n, number in enumerate(numbers)], answers)
    tap.check(len(pids(net, "gate")) == 5, "five in all")
    stock.close()
    stop(bob)


@tap.test
def an_interrupt_lets_what_runs_finish_and_a_second_one_does_not(net):
    gate = script(net, "last", f'#!/bin/sh\necho $$ >> {net.path("last.pids")}\nwhile [ ! -e {net.path("last.open")} ]; do sleep 0.05; done\necho done\n')
    bob = serve(net, "bob", "app.last", "--", gate)
    alice = net.start("alice", net.warren("alice", "call", "app.last"), stdin=None)
    wait_for(lambda: len(pids(net, "last")) == 1, "the command")
    bob.process.send_signal(signal.SIGINT)
    bob.wait_line(bob.err, "not serving any more")
    tap.check_in("no_such_procedure", command(net, "carol", "call", "app.last", wanted=5).stderr)
    with open(net.path("last.open"), "w", encoding="ascii"):
        pass
    tap.check(alice.wait() == 0 and alice.out == ["done"], alice.err)
    tap.check(bob.wait() == 0, "exit status of serve")
    os.unlink(net.path("last.open"))
    bob = serve(net, "bob", "app.last", "--", gate)
    alice = net.start("alice", net.warren("alice", "call", "app.last"), stdin=None)
    wait_for(lambda: len(pids(net, "last")) == 2, "the command")
    bob.process.send_signal(signal.SIGINT)
    bob.wait_line(bob.err, "not serving any more")
    bob.process.send_signal(signal.SIGINT)
    tap.check(alice.wait() == 7, alice.err)
    tap.check(bob.wait() == 0, "exit status of serve")
    tap.check(not is_there(pids(net, "last")[1]), "the command is still there")


@tap.test
def what_is_published_is_heard(net):
    bob = listen(net, "bob", "app.news")
    command(net, "alice", "pub", "app.news", "héllo", "5", '"\\u0000AP8="', 'k={"a":null}')
    got = json.loads(bob.wait_line(bob.out, "app.news"))
    tap.check(got["args"] == ["héllo", 5, "\u0000AP8="] and got["kwargs"] == {"k": {"a": None}}, got)
    tap.check(got["publisher"] == net.ids["alice"] and got["role"] == "peer" and got["topic"] == "app.news" and not got["retained"], got)
    lines = "\n".join(["one", '{"two": 2}', "[3]", "", '"4"'])
    done = command(net, "alice", "pub", "--acknowledge", "app.news", "-", input=lines)
    tap.check(len({json.loads(line)["publication"] for line in done.stdout.splitlines()}) == 4, done.stdout)
    bob.wait_line(bob.out, '"4"')
    tap.check([json.loads(line)["args"] for line in bob.out[1:]] == [["one"], [{"two": 2}], [[3]], ["4"]], bob.out)
    done = command(net, "alice", "pub", "app.news", "-", input='"before"\n\n{"bad\n"after"\n', wanted=2)
    tap.check_in("line 3", done.stderr)
    tap.check_in("1 were published", done.stderr)
    bob.wait_line(bob.out, '"before"')
    with open(os.devnull, "wb") as unreadable:
        done = command(net, "alice", "pub", "app.news", "-", stdin=unreadable, wanted=1)
    tap.check_in("standard input: ", done.stderr)
    stop(bob, wanted=130)


@tap.test
def thousands_of_lines_arrive_in_order(net):
    n = 5000
    bob = listen(net, "bob", "app.many", "--count", str(n))
    command(net, "alice", "pub", "app.many", "-", input="".join(f"{i}\n" for i in range(n)))
    tap.check(bob.wait() == 0, "exit status")
    tap.check([json.loads(line)["args"][0] for line in bob.out] == list(range(n)), "order")


@tap.test
def patterns_retained_and_addressed_publications(net):
    bob = listen(net, "bob", "--match", "prefix", "app.w")
    carol = listen(net, "carol", "--match", "wildcard", "app..x")
    command(net, "alice", "pub", "--to", net.ids["bob"], "app.w.x", "for bob")
    command(net, "alice", "pub", "--retain", "app.w.x", "for all")
    tap.check(json.loads(carol.wait_line(carol.out, "app"))["args"] == ["for all"], carol.out)
    bob.wait_line(bob.out, "for all")
    tap.check([(json.loads(line)["topic"], json.loads(line)["args"][0]) for line in bob.out] == [("app.w.x", "for bob"), ("app.w.x", "for all")], bob.out)
    stop(carol, wanted=130)
    stop(bob, wanted=130)
    late = command(net, "carol", "sub", "--retained", "--count", "1", "app.w.x").stdout
    tap.check(json.loads(late)["retained"] is True and json.loads(late)["args"] == ["for all"], late)


@tap.test
def who_may_not_is_told_what_he_may(net):
    other = f"peer.{net.ids['alice']}.x.y"
    for words in (["pub", other, "1"], ["sub", other], ["serve", other, "--", "cat"], ["pub", "closed.topic"], ["sub", "network.peer.on_join"]):
        done = command(net, "bob", *words, wanted=4)
        tap.check_in(f"names below peer.{net.ids['bob']}. (short: me.), and below those that the router's operator opened", done.stderr)
    command(net, "bob", "pub", "me.x.y", "1")


@tap.test
def a_stock_client_is_called_and_calls_hears_and_is_heard(net):
    stock = joe(net)
    registration = stock.register("app.stock")
    alice = net.start("alice", net.warren("alice", "call", "--json", "app.stock", "1", "k=v"), stdin=None)
    invocation = stock.expect(68)
    tap.check(invocation[2] == registration and invocation[3]["caller_authid"] == net.ids["alice"] and invocation[4:] == [[1], {"k": "v"}], invocation)
    stock.send([70, invocation[1], {}, ["done", b"\x00\xff"], {"n": 2}])
    tap.check(alice.wait() == 0 and json.loads(alice.out[0]) == {"args": ["done", "\u0000AP8="], "kwargs": {"n": 2}}, alice.out)
    alice = net.start("alice", net.warren("alice", "call", "--json", "app.stock"), stdin=None)
    stock.send([8, 68, stock.expect(68)[1], {}, "com.shop.sold_out", ["none left"], {"when": 7}])
    tap.check(alice.wait() == 3, alice.err)
    error = json.loads(alice.out[0])["error"]
    tap.check((error["uri"], error["args"], error["kwargs"]) == ("com.shop.sold_out", ["none left"], {"when": 7}), error)
    tap.check_in("error URI: com.shop.sold_out", "\n".join(alice.err))

    bob = serve(net, "bob", "app.bob", "--", "cat")
    stock.ask(48, {}, "app.bob", ["x"], {})
    tap.check(stock.expect(50)[3] == [["x"]], "a call of the stock client")
    stop(bob)
    stock.subscribe("app.news")
    command(net, "alice", "pub", "app.news", "to joe")
    event = stock.expect(36)
    tap.check(event[3]["publisher_authid"] == net.ids["alice"] and event[4] == ["to joe"], event)
    bob = listen(net, "bob", "app.news")
    stock.ask(16, {}, "app.news", ["of joe"])
    got = json.loads(bob.wait_line(bob.out, "of joe"))
    tap.check(got["publisher"] == "joe", got)
    stop(bob, wanted=130)
    stock.close()


@tap.test
def several_share_a_procedure(net):
    stock = joe(net)
    stock.ask(64, {"invoke": "roundrobin"}, "app.shared")
    stock.expect(65)
    bob = serve(net, "bob", "--invoke", "roundrobin", "app.shared", "--", "echo", "bob")
    answers = []
    for _ in range(4):
        alice = net.start("alice", net.warren("alice", "call", "app.shared"), stdin=None)
        wait_for(lambda: alice.process.poll() is not None or select_has(stock), "an answer")  # pylint: disable=cell-var-from-loop
        if alice.process.poll() is None:
            stock.send([70, stock.expect(68)[1], {}, ["joe"]])
        tap.check(alice.wait() == 0, alice.err)
        answers += alice.out
    tap.check(sorted(answers) == ["bob", "bob", "joe", "joe"], answers)
    stop(bob)
    stock.close()


def select_has(session):
    session.sock.settimeout(0.05)
    try:
        session.messages.append(session.receive())
        return True
    except (TimeoutError, OSError):
        return False
    finally:
        session.sock.settimeout(PATIENCE)


@tap.test
def all_of_it_survives_a_restart_of_the_router(net):
    bob = serve(net, "bob", "app.hold", "--", sleeper(net, "hold"))
    carol = listen(net, "carol", "app.news")
    alice = net.start("alice", net.warren("alice", "call", "app.hold"), stdin=None)
    wait_for(lambda: len(pids(net, "hold")) == 2, "the command")
    net.router.kill()
    status = alice.wait()
    tap.check(status == 1, f"{status}: {alice.err}")
    tap.check_in("whether the call was carried out is not known", "\n".join(alice.err))
    wait_for(lambda: not any(map(is_there, pids(net, "hold"))), "the end of the command")
    net.start_router()
    bob.wait_line(bob.err, "^serving again$")
    carol.wait_line(carol.err, "^subscribed again$")
    command(net, "alice", "pub", "app.news", "after")
    carol.wait_line(carol.out, "after")
    alice = net.start("alice", net.warren("alice", "call", "--timeout", soon(1), "app.hold"), stdin=None)
    tap.check(alice.wait() == 6, alice.err)
    tap.check(len(pids(net, "hold")) == 4, "it is served again, and nothing was called twice")
    stop(bob)
    stop(carol, wanted=130)


@tap.test
def one_state_folder_is_for_one_program(net):
    bob = listen(net, "bob", "app.news")
    done = command(net, "bob", "pub", "app.news", wanted=1)
    tap.check_in("give this one another with --state", done.stderr)
    stop(bob, wanted=130)


@tap.test
def without_a_router_it_says_so_and_gives_up(net):
    net.router.stop()
    for verb, words in (("call", ["network.ping"]), ("pub", ["app.x", "1"])):
        done = command(net, "alice", verb, "--timeout", "1s", *words, wanted=1)
        tap.check_in("offline: ", done.stderr)
        tap.check_in(f"warren: {verb}: network_failure", done.stderr)


tap.main(make=False)
