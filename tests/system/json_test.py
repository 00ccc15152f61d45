#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--json: each line of standard output is JSON, whatever the verb and whatever goes wrong; an error is one object, {"error": {"code", "cause", "remedy"}}."""
import json
import subprocess

import tap
from network import PATIENCE, run

ERROR = {"code", "cause", "remedy"}
NOBODY = "0" * 32


def lines(said, words):
    """What it printed, a value for each line."""
    try:
        return [json.loads(line) for line in said.stdout.splitlines()]
    except json.JSONDecodeError:
        raise tap.Failed(f"{words}: not JSON: {said.stdout!r}\n{said.stderr}") from None


def says_error(value, code, words):
    error = value.get("error") if isinstance(value, dict) else None
    tap.check(isinstance(error, dict) and ERROR <= set(error), f"{words}: no error: {value}")
    tap.check(all(error[key] and isinstance(error[key], str) for key in ERROR), f"{words}: {error}")
    tap.check(code in (None, error["code"]), f"{words}: {code} expected: {error}")


def good(argv, **more):
    words = " ".join(argv)
    said = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)
    tap.check(said.returncode == 0, f"{words}: {said.returncode}: {said.stdout}{said.stderr}")
    values = lines(said, words)
    tap.check(values and not any(isinstance(value, dict) and "error" in value for value in values), f"{words}: {said.stdout!r}")
    return values


def bad(argv, code=None, status=None, **more):
    """Its last line is the error, the only one."""
    words = " ".join(argv)
    said = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)
    tap.check(said.returncode == status if status else said.returncode > 0, f"{words}: {said.returncode}: {said.stdout}{said.stderr}")
    values = lines(said, words)
    tap.check(len(values) == 1, f"{words}: {len(values)} lines: {said.stdout!r} {said.stderr!r}")
    says_error(values[0], code, words)
    tap.check(said.stderr, f"{words}: nothing for people")
    return values[0]["error"]


def admin(net, words, who="boss"):
    return net.warren(who, "admin", *(words.split() if isinstance(words, str) else words), "--json")


def den(net, words):
    return [net.program("warren-den"), *words.split(), "--config", net.path("den/den.conf"), "--json"]


@tap.test
def each_verb_of_admin_that_lists_or_shows(net):
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.ids["boss"] = net.identity("boss")["id"]
    for name in ("alice", "bob"):
        net.join(name)
    for words in ("status", "peer list", "name list", "token list", "waiting list", "cert list", "session list", "session list --open", "policy show",
                  "router list", "rollover status", "audit list", "audit export", "audit head", "audit verify", f"peer get {net.ids['alice']}"):
        good(admin(net, words))
    verbs = {verb["verb"]: verb for verb in good(admin(net, "help"))[0]}
    tap.check(verbs["peer groups"]["arguments"] == ["id", "groups"] and verbs["peer groups"]["help"], f"{verbs}")
    serial = good(admin(net, "cert list"))[0][0]["serial"]
    good(admin(net, f"cert show {serial}"))


@tap.test
def each_verb_of_admin_that_changes_something(net):
    alice, policy = net.ids["alice"], net.path("den/policy.yaml")
    good(admin(net, f"peer groups {alice} staff"))
    good(admin(net, f"name assign ada@example.org {alice}"))
    good(admin(net, "name free ada@example.org"))
    token = good(admin(net, "token add --label one"))[0]["join"]
    tap.check(token.startswith("warren://"), token)
    tap.check(good(admin(net, f"token add --out {net.path('made')}")) == [{"written": net.path("made")}], "--out")
    listed = good(admin(net, "token list"))[0]
    good(admin(net, f"token revoke {listed[-1]['token']}"))
    good(admin(net, f"peer re-enrol {net.ids['bob']}"))
    good(admin(net, f"policy test {policy}"))
    good(admin(net, f"policy load {policy}"))
    net.join("carol")
    good(admin(net, f"revoke {net.ids['carol']} --reason superseded"))
    net.join("dora")
    good(admin(net, f"peer remove {net.ids['dora']}"))


@tap.test
def what_is_wrong_with_an_administrators_words(net):
    with open(net.path("exists"), "w", encoding="ascii"):
        pass
    alice = net.ids["alice"]
    for words in ("stauts", "peer", "peer lst", "peer list --odd", "peer list more", "peer get", "peer groups 1", "token add --out", "token add --label", "status --timeout x",
                  "status --timeout -1", "status --timeout 5x", "status --passphrase-fd no", "policy load /nowhere", f"policy load {net.folder}", "policy test /nowhere", ""):
        bad(admin(net, words), "invalid_argument")
    bad(net.warren("boss", "admin", "--json", "peer", "lst"), "invalid_argument", 2)
    bad(net.warren("boss", "--json", "admin", "peer", "list"), "invalid_argument", 2)
    for words, code in ((f"token add --out {net.path('exists')}", "already_exists"), ("token add --out /nowhere/at-all", None), (f"peer re-enrol {alice} --out {net.path('exists')}", None),
                        ("token add --role king", "invalid_argument"), ("token add --expires soon", "invalid_argument"), ("token add --uses none", "invalid_argument"),
                        ("peer get 999999", "not_found"), ("peer get x", None), ("peer remove 999999", "not_found"), (f"peer groups {alice} Bad", "invalid_argument"),
                        ("name assign x@y 999999", None), ("name free nobody@example.org", "not_found"), ("token revoke 0000000000000000", None), ("approve AAAA-AAAA", None),
                        ("deny AAAA-AAAA", None), ("cert show 00", None), ("cert revoke 00", None), ("revoke", "invalid_argument"), ("revoke 999999", None), ("cert list --state odd", None),
                        ("session close 00", None), (f"session close {NOBODY}", "not_found"), ("audit list --since never", None), ("peer re-enrol 999999", "not_found")):
        bad(admin(net, words), code)
    with open(net.path("bad.yaml"), "w", encoding="ascii") as f:
        f.write("rules: [oh dear\n")


@tap.test
def who_is_no_administrator_has_no_state_or_cannot_be_read(net):
    for words in ("status", f"peer get {net.ids['bob']}", "token add", "audit export"):
        bad(admin(net, words, "alice"))
    bad(net.warren("nowhere", "admin", "status", "--json"))
    for words in ("id", "audit-witness", "name list", "consent", "call network.whoami", "pub a.b 1", "sub a.b", "explain 456000"):
        bad(net.warren("nowhere", *words.split(), "--json"))


@tap.test
def each_verb_of_a_machine(net):
    for words in ("id", "audit-witness", "name list", "name claim ann", "name release ann", "consent", "consent ask", "consent longest 2h", "consent none",
                  "call network.whoami", "pub me.news 1 --acknowledge"):
        good(net.warren("alice", *words.split(), "--json"))
    tap.check(lines(run(net.warren("alice", "doctor", "--loopback", "--json"), wanted=None), "doctor")[0]["findings"], "doctor")


@tap.test
def what_is_wrong_with_a_machines_words(net):
    alice = net.ids["alice"]
    for words in ("", "nothing", "id --odd", "id --path", "id --json=yes", "id more", "chat --path", "chat --path odd", "chat --for long", "join --timeout x", "join --join-file /nowhere", "known", "known accept", "known deny 456000",
                  "name", "name claim", "name lst", "consent maybe", "consent longest", "consent longest soon", "passphrase --remove --new-passphrase-fd 3", "export", "import", "tunnel", "tunnel 456000", "tunnel 1 2:h:3", f"tunnel {alice} 1:h:2",
                  "nc", "nc 456000", "expose", "expose 0", "send", "send /nowhere", "receive --odd", "receive a b c", "receive --passphrase-fd", "call", "call --odd", "call a.b --timeout soon", "call a.b --timeout", "call a.b --kwargs", "call a.b --kwargs {",
                  "call a.b [1", "sub", "sub a b", "sub a --count 0", "sub a --match odd", "pub", "pub a --to", "pub a [1", "serve", "serve a", "serve a --match odd -- true", "explain", "explain 1", f"explain {alice}",
                  "explain 456000 --path odd", "explain 456000 --odd", "explain 456000 --can", "doctor more", "verify", "verify --odd x", "verify --ca", "export-cert", "export-cert --pkcs12 --out x", "export-trust --out x y", "rekey now"):
        verb, *rest = words.split() or [""]
        bad(net.warren("alice", *[verb] * bool(verb), "--json", *rest), stdin=subprocess.DEVNULL)
    bad(net.warren("alice", "verify", "--ca", "/nowhere", "--name", "x", "/nowhere", "--json"))
    for words in ("call no.such.procedure", f"call {alice}.a.b"):
        bad(net.warren("bob" if alice in words else "alice", *words.split(), "--json"))
    said = run([*net.warren("bob", "pub", "me.x", "-", "--json")], wanted=None, input="1\n[\n")
    says_error(lines(said, "pub -")[-1], "invalid_argument", "pub -")


@tap.test
def each_verb_of_den(net):
    alice, policy = net.ids["alice"], net.path("den/policy.yaml")
    for words in ("token list", "waiting list", "peer list", "name list", "rollover status", "rollover status --unheard", "policy test", "policy list", "policy show", "policy diff",
                  f"policy why {alice} {alice} chat", f"policy replay {policy}", "cert list", "status", "session list", "audit verify"):
        tap.check(len(good(den(net, words))) == 1, f"{words}: one value")
    for words in ("audit list", "audit export --since 1h"):
        tap.check(len(good(den(net, words))) > 5, f"{words}: a value for each entry")
    good([*den(net, "ask den.peer.list"), "{}"])
    good([net.program("warren-den"), "policy", "check", policy, "--json"])
    for words in ("odd", "peer lst", "peer list --odd", "peer list --config", "policy show 999", "policy show x", f"policy why {alice} {alice} chat --at 2020-01-01", "policy why 1 2",
                  "cert list --state odd", "cert list --expires-before x", "policy diff 1 999", "policy replay /nowhere", "policy replay", f"policy test {net.path('bad.yaml')}", "audit verify --witness x",
                  "session list more", "session close 00", "token add", "token revoke 00", "approve AAAA-AAAA", "peer groups 999999 a", "check-config", "backup", "audit list --from x", "audit export --since x", "ask den.odd {}", "ask den.peer.get {}", "ask den.peer.list [", "ask"):
        bad(den(net, words))
    for words in ("peer list", "status", "session list", "policy list", "audit verify", "rollover status", "cert list"):
        bad([net.program("warren-den"), *words.split(), "--json", "--config", "/nowhere"], "not_found")
        bad([net.program("warren-den"), *words.split(), "--json"], "invalid_argument", 2)
    for path in ("bad.yaml", "nowhere"):
        bad([net.program("warren-den"), "policy", "check", net.path(path), "--json"])
    with open(net.path("bad.conf"), "w", encoding="ascii") as f:
        f.write("odd = 1\nmore = 2\n")
    bad([net.program("warren-den"), "peer", "list", "--config", net.path("bad.conf"), "--json"])


@tap.test
def what_is_a_verdict_and_no_error(net):
    """It says what is wrong in its own members; the exit status is 1."""
    for argv, key, value in ((admin(net, f"policy load {net.path('bad.yaml')}"), "is_good", False), (admin(net, f"policy test {net.path('bad.yaml')}"), "is_good", False),
                             (den(net, f"audit verify --witness 1:{64 * '0'}"), "witness", "differs"), (net.warren("alice", "explain", "999999", "--json"), "bad", 1)):
        said = run(argv, wanted=1)
        values = lines(said, argv)
        tap.check(len(values) == 1 and values[0][key] == value, f"{argv}: {said.stdout}")


@tap.test
def a_key_under_a_passphrase_and_nobody_to_ask(net):
    for words, given in (("new", "four random words here\n"), ("wrong", "other words\n")):
        with open(net.path(words), "w", encoding="ascii") as f:
            f.write(given)
    with open(net.path("new"), encoding="ascii") as f:
        run(net.warren("bob", "passphrase", "--new-passphrase-fd", str(f.fileno())), pass_fds=[f.fileno()])
    alone = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    for words in ("admin status", "name list", "doctor", "call network.whoami", "explain 456000", "receive", "expose 80"):
        bad(net.warren("bob", *words.split(), "--json"), "locked", **alone)
    for words in ("--passphrase-fd x", "--passphrase-fd 99"):
        bad(net.warren("bob", "name", "list", "--json", *words.split()), "invalid_argument", **alone)
    with open(net.path("wrong"), encoding="ascii") as f:
        bad(net.warren("bob", "name", "list", "--json", "--passphrase-fd", str(f.fileno())), "bad_passphrase", pass_fds=[f.fileno()], **alone)
    with open(net.path("new"), encoding="ascii") as f:
        good(net.warren("bob", "name", "list", "--json", "--passphrase-fd", str(f.fileno())), pass_fds=[f.fileno()], **alone)


@tap.test
def den_is_away(net):
    net.den.stop()
    for words in ("status", "peer list", "token add", "audit export", "policy show", f"session close {NOBODY}"):
        bad(admin(net, words), "den_away")
    for words in ("name list", "name claim ann"):
        bad(net.warren("alice", *words.split(), "--json"))
    bad(den(net, "status"), "den_away")
    net.start_den()


tap.main()
