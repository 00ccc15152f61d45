#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Joining, as a person at a shell does it, and everything that can be wrong about it."""
import os
import re
import subprocess

import tap
from network import run


def join(net, name, text, wanted, *words):
    return run(net.warren(name, "join", "--timeout", "20", *words), wanted=wanted, input=text)


@tap.test
def a_token_gives_an_id_and_the_state_keeps_it(net):
    out = net.join("alice")
    first = net.identity("alice")
    tap.check(re.fullmatch(r"[0-9]{6}", first["id"]), first["id"])
    tap.check_in(f"{first['id'][:3]} {first['id'][3:]}", out)
    tap.check(first["names"] == f"DNS:{first['id']}.{net.name}", first["names"])
    # The same string without its token: hosts and pin alone.
    again = join(net, "alice", net.token().rsplit(".", 1)[0] + "\n", 0)
    tap.check_in(f"{first['id'][:3]} {first['id'][3:]}", again.stdout)
    tap.check(net.identity("alice")["identity_pk"] == first["identity_pk"], "another key")


@tap.test
def every_secret_of_the_state_is_private(net):
    for folder, _folders, files in os.walk(net.path("alice")):
        tap.check(os.stat(folder).st_mode & 0o77 == 0, folder)
        for name in files:
            mode = os.stat(os.path.join(folder, name)).st_mode & 0o777
            tap.check(mode == 0o600, f"{name}: {mode:o}")


@tap.test
def a_token_is_spent_once(net):
    text = net.token("--uses", "1")
    join(net, "carol", text, 0)
    done = join(net, "dave", text, 1)
    tap.check_in("bad_token", done.stderr)
    tap.check_in("what to do: ask the operator for a new join string", done.stderr)
    tap.check(text.rsplit(".", 1)[1] not in done.stderr, "the token is in the error")


@tap.test
def a_wrong_fingerprint_is_refused(net):
    text = net.token()
    pin = text.split("#")[1].split(".")[0]
    wrong = ("0" if pin[0] != "0" else "1") + pin[1:]
    done = join(net, "erin", text.replace(pin, wrong), 1)
    tap.check_in("bad_pin", done.stderr)


@tap.test
def a_bad_character_is_named_by_its_column(net):
    text = net.token()
    for column, bad in ((1, "W" + text[1:]), (text.index("/", 9) + 2, text[:text.index("/", 9) + 1] + "T" + text[text.index("/", 9) + 2:]),
                        (text.index("#") + 5, text[:text.index("#") + 4] + "G" + text[text.index("#") + 5:]),
                        (len(text), text[:-1] + "u")):
        done = join(net, "frank", bad, 1)
        tap.check_in("invalid_argument", done.stderr)
        tap.check_in(f"column {column}", done.stderr)


@tap.test
def a_token_is_no_argument(net):
    text = net.token()
    done = run(net.warren("grace", "join", text), wanted=2)
    tap.check_in("a join string with a token is a secret", done.stderr)
    tap.check(text.rsplit(".", 1)[1] not in done.stderr, "the token is in the error")


@tap.test
def another_network_needs_another_state(net):
    text = net.token().split("#")
    done = join(net, "alice", text[0].rsplit("/", 1)[0] + "/other.example#" + text[1], 1)
    tap.check_in("other.example", done.stderr)
    tap.check_in(net.name, done.stderr)


@tap.test
def a_state_that_others_can_read_is_refused(net):
    os.chmod(net.path("alice"), 0o755)
    done = run(net.warren("alice", "id"), wanted=1)
    tap.check_in("exposed", done.stderr)
    tap.check_in("chmod 0700", done.stderr)
    os.chmod(net.path("alice"), 0o700)
    os.chmod(net.path("alice", "identity.key"), 0o640)
    done = run(net.warren("alice", "chat", "123456"), wanted=1)
    tap.check_in("exposed", done.stderr)
    tap.check_in("identity.key", done.stderr)
    os.chmod(net.path("alice", "identity.key"), 0o600)


@tap.test
def who_has_not_joined_is_told_so(net):
    done = run(net.warren("nobody", "id"), wanted=1)
    tap.check_in("not_joined", done.stderr)
    done = run(net.warren("nobody", "chat"), wanted=1)
    tap.check_in("not_joined", done.stderr)
    tap.check_in("run `warren join`", done.stderr)


@tap.test
def wrong_usage_is_named(net):
    for words, why in ((["dance"], 'there is no verb "dance"'), (["chat", "1", "2"], "one argument too many"), (["--colour"], "--colour")):
        done = subprocess.run([net.program("warren"), *words], capture_output=True, text=True, timeout=30, check=False)
        tap.check(done.returncode == 2, str(done.returncode))
        tap.check_in(why, done.stderr)
    done = run(net.warren("alice", "chat", "12345"), wanted=2)
    tap.check_in("invalid_argument", done.stderr)


tap.main()
