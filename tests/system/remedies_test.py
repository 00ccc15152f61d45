#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is said when an operator or a user takes the wrong thing: it names what was wrong, and what to do, and nothing has changed."""
import os
import shutil
import subprocess

import tap
from network import PATIENCE, run, shown


def conf(net):
    return ["--config", net.path("den/den.conf")]


def refused(argv, *parts, passphrase=None, **more):
    """Runs it without a terminal; it fails, and says all of that."""
    fds = []
    if passphrase is not None:
        theirs, ours = os.pipe()
        os.write(ours, passphrase.encode())
        os.close(ours)
        fds, argv = [theirs], [*argv, "--root-passphrase-fd", str(theirs)]
    done = subprocess.run(argv, pass_fds=fds, capture_output=True, text=True, timeout=PATIENCE, check=False, start_new_session=True,
                          stdin=subprocess.DEVNULL if "input" not in more else None, **more)
    for fd in fds:
        os.close(fd)
    tap.check(done.returncode == 1, f"exit status {done.returncode}: {done.stderr}")
    for part in parts:
        tap.check_in(part, done.stderr)
    return done.stderr


@tap.test
def a_wrong_root_passphrase(net):
    den = net.program("warren-den")

    refused([den, "rollover", "stage", *conf(net)], "root.key: the passphrase does not open the key", "\n  try again", passphrase="others, at length")
    tap.check_in("rollover     none", run([den, "rollover", "status", *conf(net)]).stdout)


@tap.test
def a_rollover_without_a_terminal(net):
    refused([net.program("warren-den"), "rollover", "stage", *conf(net)],
            "no terminal to ask for the passphrase of the root key: give it with --root-passphrase-fd N", "\n  run it at a terminal, or with that option")


def foreign(net):
    """Another program's folder, open to all as many are."""
    folder = net.path("foreign")
    if not os.path.exists(folder):
        os.mkdir(folder, 0o755)
        with open(os.path.join(folder, "notes.txt"), "w", encoding="ascii") as f:
            f.write("not Warren's\n")
    return folder


@tap.test
def another_programs_folder(net):
    """Nobody is told to change its rights, and nothing is put into it."""
    den, router, folder = net.program("warren-den"), net.program("warren-router"), foreign(net)
    run([den, "backup", net.path("backup"), "--plain", *conf(net)])
    misled = os.path.join(net.folder, "misled.conf")
    with open(net.path("den/den.conf"), encoding="ascii") as f, open(misled, "w", encoding="ascii") as to:
        to.write("".join(line for line in f if not line.startswith("state")) + f"state = {folder}\n")
    init = [den, "init", folder, "--network", "a.example", "--router-request", net.path("router/router.request")]
    cases = [
        ((init, "is not empty: it holds notes.txt", "a new folder"), {"passphrase": net.root_passphrase}),
        (([den, "restore", net.path("backup"), folder], "is not empty: it holds notes.txt", "a new folder"), {}),
        (([den, "restore", net.path("backup"), folder, "--replace"], "is not den's folder", "without --replace"), {}),
        (([den, "run", "--config", misled], "is not den's: it holds notes.txt", "correct `state`"), {}),
        (([router, "init", folder, "--host", "127.0.0.1:1234"], "is not empty: it holds notes.txt", "a new folder"), {}),
        (([router, "accept", folder, net.path("den/router.answer")], "no router lives in", "`warren-router init` made"), {}),
        ((net.warren("foreign", "join"), "is not a state folder of warren: it holds notes.txt", "--state"), {"input": net.token() + "\n"}),
        ((net.warren("foreign", "id"), "is not a state folder of warren: it holds notes.txt", "--state"), {}),
        ((net.warren("foreign", "name", "list"), "is not a state folder of warren", "--state"), {}),
        ((net.warren("router", "id"), "is not a state folder of warren", "--state"), {}),
        ((net.warren("den", "join"), "is not a state folder of warren", "--state"), {"input": net.token() + "\n"}),
    ]
    for words, more in cases:
        said = refused(*words, **more)
        tap.check("chmod" not in said, said)
    tap.check(os.listdir(folder) == ["notes.txt"] and os.stat(folder).st_mode & 0o777 == 0o755, "the folder was changed")
    tap.check(not os.path.exists(net.path("den/identity.key")), "den's folder has an identity")


@tap.test
def a_re_enrol_string_in_an_old_folder(net):
    """It takes effect in a new one alone, whoever tries it."""
    net.join("alice")
    net.join("bob")
    string = run([net.program("warren-den"), "peer", "re-enrol", net.ids["alice"], *conf(net)]).stdout.strip()
    before = net.identity("alice")
    for name in ("alice", "bob"):
        done = run(net.warren(name, "join"), input=string + "\n")
        tap.check_in(f"this folder was {shown(net.ids[name])} before, and still is, with the same key", done.stderr)
        tap.check_in("only with a new state folder", done.stderr)
    tap.check(net.identity("alice") == before, "alice's identity")
    done = run(net.warren("alice-again", "join"), input=string + "\n")
    tap.check("this folder was" not in done.stderr, done.stderr)
    tap.check(net.identity("alice-again")["id"] == net.ids["alice"], "the ID")
    refused(net.warren("alice", "join"), "revoked", f"this folder was {shown(net.ids['alice'])} before: ", "only with a new state folder", input=string + "\n")
    plain = string.rpartition(".")[0]
    tap.check("this folder was" not in run(net.warren("bob", "join", plain)).stderr, "said of a string that asks for nothing")


@tap.test
def a_store_that_was_taken_back(net):
    net.den.stop()
    shutil.copytree(net.path("den"), net.path("older"))
    net.start_den()
    net.join("carol")
    net.den.stop()
    for folder in ("older/den.db", "older"):  # the database alone; all of it, so that only the router knows
        shutil.rmtree(net.path("now"), ignore_errors=True)
        shutil.copytree(net.path("den"), net.path("now"))
        if folder.endswith("db"):
            for part in ("", "-wal", "-shm"):
                if os.path.exists(net.path("now/den.db" + part)):
                    os.unlink(net.path("now/den.db" + part))
            shutil.copy(net.path(folder), net.path("now/den.db"))
        else:
            shutil.rmtree(net.path("now"))
            shutil.copytree(net.path(folder), net.path("now"))
        with open(net.path("now/den.conf"), encoding="ascii") as f:
            text = f.read().replace(net.path("den"), net.path("now"))
        with open(net.path("now/den.conf"), "w", encoding="ascii") as f:
            f.write(text)
        refused([net.program("warren-den"), "run", "--config", net.path("now/den.conf")], "den.db was taken back to an older state",
                "\n  put the newer den.db back; if there is none, run it once with --accept-rollback")


if __name__ == "__main__":
    tap.main()
