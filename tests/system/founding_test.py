#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network whose root is on another machine from the first day: init asks it by a file, and goes on with its answer."""
import os
import re
import struct

import tap
from network import run

CALL_OPEN, CALL_RENAME, KILL = 4, 8, 255


def init(net, *words, wanted=0, **more):
    return run([net.program("warren-den"), "init", net.path("den"), *words], wanted=wanted, **more)


def begin(net, *words, request="founding.req", wanted=0):
    return init(net, "--network", net.name, "--router-request", net.path("router/router.request"), "--root-request", net.path(request), *words,
                wanted=wanted)


def sign(net, request="founding.req", response="founding.resp", key="root.key", wanted=0):
    """On the root's machine, which is a folder here: nothing else of it is looked at."""
    return net.with_passphrase([net.program("warren-den"), "root", "sign", net.path(request), "--root-key", net.path("away", key), "--out",
                                net.path(response), "--yes"], wanted=wanted)


def finish(net, response="founding.resp", wanted=0, **more):
    return init(net, "--root-response", net.path(response), wanted=wanted, **more)


def tree(folder):
    """Every file, with its bytes."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            if not os.path.isfile(os.path.join(root, name)):  # den's socket
                continue
            with open(os.path.join(root, name), "rb") as f:
                found[os.path.relpath(os.path.join(root, name), folder)] = f.read()
    return found


def sha(text):
    return re.search(r"SHA-256 +(?:is )?([0-9a-f]{64})", text)[1]


def has_no_root_key(net):
    for folder in ("den", "den.founding"):
        for name, data in tree(net.path(folder)).items():
            tap.check(not name.startswith("root") or not name.endswith(".key"), f"{folder}/{name}")
            tap.check(b"ENCRYPTED PRIVATE KEY" not in data, f"{folder}/{name} holds a root's key")


def prepare(net):
    os.mkdir(net.path("away"), 0o700)
    run([net.program("warren-router"), "init", net.path("router"), "--host", f"{net.host}:{net.port}"])


@tap.test
def words_that_do_not_go_together_are_told(net):
    told = lambda *words: init(net, *words, wanted=2).stderr
    request = ("--network", net.name, "--router-request", net.path("router/router.request"))
    tap.check_in("--root-response when the root has answered", told(*request, "--root-request", "a", "--root-response", "b"))
    tap.check_in("its key never comes here", told(*request, "--root-request", "a", "--root-passphrase-fd", "0"))
    tap.check_in("--answer goes with --root-response", told(*request, "--root-request", "a", "--answer", "b"))
    tap.check_in("were said with --root-request", told("--root-response", "a", "--token-paths", "/usr"))
    tap.check_in("--network is missing", told("--root-request", "a"))
    tap.check_in("--router-request is missing", told("--network", net.name, "--root-request", "a"))
    with open(net.path("founding.resp"), "w", encoding="ascii"):
        pass
    tap.check_in("no request waits for this response", finish(net, wanted=1).stderr)
    os.unlink(net.path("founding.resp"))
    tap.check(not os.path.exists(net.path("den")) and not os.path.exists(net.path("den.founding")), str(os.listdir(net.folder)))


@tap.test
def the_request_is_all_that_leaves(net):
    made = begin(net).stdout
    tap.check_in(f"root sign {net.path('founding.req')}", made)
    tap.check_in("--root-response", made)
    tap.check(not os.path.exists(net.path("den")), "there is a network before its root")
    tap.check(os.stat(net.path("den.founding")).st_mode & 0o777 == 0o700, "the folder with the keys is open")
    for name in ("login.key", "sign.key", "intermediate.key"):
        tap.check(os.stat(net.path("den.founding", name)).st_mode & 0o777 == 0o600, name)
    with open(net.path("founding.req"), encoding="ascii") as f:
        tap.check("PRIVATE" not in f.read(), "the request holds a key")
    has_no_root_key(net)


@tap.test
def what_waits_is_not_overwritten(net):
    before = tree(net.path("den.founding"))
    tap.check_in("waits there for its response", begin(net, request="other.req", wanted=1).stderr)
    plain = init(net, "--network", net.name, "--router-request", net.path("router/router.request"), wanted=1).stderr
    tap.check_in("waits there for its response", plain)
    tap.check_in("founding.req exists", begin(net, wanted=1).stderr)
    tap.check(tree(net.path("den.founding")) == before and not os.path.exists(net.path("other.req")), "something changed")


@tap.test
def another_response_is_refused_and_the_keys_go_on_waiting(net):
    """To another request, changed on its way, or none at all; and what is said again has to be the same."""
    before = tree(net.path("den.founding"))
    run([net.program("warren-den"), "init", net.path("den2"), "--network", net.name, "--router-request", net.path("router/router.request"),
         "--root-request", net.path("second.req")])
    sign(net, "second.req", "second.resp", key="second.key")
    tap.check_in("another request", finish(net, "second.resp", wanted=1).stderr)
    sign(net, response="twisted.resp", key="third.key")
    with open(net.path("twisted.resp"), encoding="ascii") as f:
        text = f.read()
    hexes = re.search(r"^manifest = ([0-9a-f]+)$", text, re.M)[1]
    with open(net.path("twisted.resp"), "w", encoding="ascii") as f:
        f.write(text.replace(hexes, hexes[:-2] + f"{int(hexes[-2:], 16) ^ 1:02x}"))
    finish(net, "twisted.resp", wanted=1)
    with open(net.path("twisted.resp"), "w", encoding="ascii") as f:
        f.write(text.replace("root = ", "root = 00"))
    finish(net, "twisted.resp", wanted=1)
    finish(net, "founding.req", wanted=1)
    with open(net.path("twisted.resp"), "w", encoding="ascii") as f:
        f.write(text)
    tap.check_in("not of other.example", init(net, "--root-response", net.path("twisted.resp"), "--network", "other.example", wanted=1).stderr)
    run([net.program("warren-router"), "init", net.path("router2"), "--host", f"{net.host}:{net.port}"])
    tap.check_in("another router's request", init(net, "--root-response", net.path("twisted.resp"), "--router-request",
                                                  net.path("router2/router.request"), wanted=1).stderr)
    tap.check(tree(net.path("den.founding")) == before and not os.path.exists(net.path("den")), "something changed")


@tap.test
def the_response_may_be_taken_again_after_a_crash(net):
    """Until the network is there its keys wait, whole."""
    signed = sign(net).stdout
    net.root = sha(signed)
    tap.check_in("A new network, with this root as its first.", signed)
    before, n_killed = tree(net.path("den.founding")), 0
    for call in (CALL_OPEN, CALL_RENAME):
        for after in range(0, 400, 1 if call == CALL_RENAME else 9):
            with open(net.path("faults"), "wb") as f:
                f.write(struct.pack("=6I", call, KILL, after, 1, 0, 0))
            library = os.path.abspath(os.path.join(net.build, "tests/system/libfaults.so"))
            finish(net, wanted=None, env={**os.environ, "LD_PRELOAD": library, "FAULTS": net.path("faults"), "FAULTS_UNDER": net.folder})
            with open(net.path("faults"), "rb") as f:
                was_killed = struct.unpack("=6I", f.read())[5] > 0
            if os.path.exists(net.path("den")):
                tap.check(not was_killed or "den.db" in os.listdir(net.path("den")), "half a network")
                run(["rm", "-rf", net.path("den")])
                os.makedirs(net.path("den.founding"), 0o700, exist_ok=True)
                for name, data in before.items():
                    with open(net.path("den.founding", name), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
                        f.write(data)
            tap.check(tree(net.path("den.founding")) == before, f"killed at {call}/{after}: what waits is not whole")
            if not was_killed:
                break
            n_killed += 1
    tap.check(n_killed >= 5, f"killed {n_killed} times only")


@tap.test
def the_response_makes_the_network(net):
    made = finish(net).stdout
    tap.check_in("den.conf", made)
    tap.check_in("rollover renew --request", made)
    tap.check(sha(made) == net.root, f"{net.root}: the root signed as another\n{made}")
    tap.check(not os.path.exists(net.path("den.founding")), "the keys are still in two places")
    has_no_root_key(net)
    tap.check_in("not empty", finish(net, wanted=1).stderr)


@tap.test
def a_machine_joins_and_another_calls_it(net):
    run([net.program("warren-router"), "accept", net.path("router"), net.path("den/router.answer")])
    net.start_router()
    net.start_den()
    tap.check_in("ID", net.join("anna"))
    net.join("bert")
    net.allow("allow from * to * can chat")
    bert = net.wait_chat("bert", "--accept")
    anna = net.dial_chat("anna", "bert")
    anna.wait_line(anna.err, "linked with")
    anna.write("hello from anna\n")
    bert.wait_line(bert.out, "hello from anna")
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())


@tap.test
def the_same_root_signs_what_comes_later(net):
    conf = ("--config", net.path("den/den.conf"))
    run([net.program("warren-den"), "rollover", "renew", *conf, "--request", net.path("renew.req")])
    sign(net, "renew.req", "renew.resp")
    tap.check_in("manifest 2", run([net.program("warren-den"), "rollover", "renew", *conf, "--response", net.path("renew.resp")]).stdout)
    has_no_root_key(net)
    tap.check_in("whole and in order", run([net.program("warren-den"), "audit", "verify", *conf]).stdout)


tap.main(make=prepare)
