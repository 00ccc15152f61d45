#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemons refuse a bad configuration, exposed keys and keys that the manifest does not list, and say why."""
import os
import re
import shutil

import tap
from network import run


def router(net, folder="router", wanted=1):
    return run([net.program("warren-router"), "--config", net.path(folder, "router.conf")], wanted=wanted)


def den(net, folder="den", wanted=1):
    return run([net.program("warren-den"), "run", "--config", net.path(folder, "den.conf")], wanted=wanted)


def copied(net, folder):
    """A copy of a daemon's folder to spoil."""
    to = net.path("spoilt-" + folder)
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(net.path(folder), to)
    os.chmod(to, 0o700)
    return to


def spoil(net, folder, name, text):
    to = copied(net, folder)
    with open(os.path.join(to, name), "a", encoding="ascii") as f:
        f.write(text)
    return os.path.basename(to), sum(1 for _ in open(os.path.join(to, name), encoding="ascii"))


@tap.test
def unknown_keys_and_bad_values_name_file_and_line(net):
    net.init()
    for folder, name, start in (("router", "router.conf", router), ("den", "den.conf", den)):
        for text, why in (("colour = red\n", 'unknown key "colour"'), ("log_level\n", "expected KEY = VALUE"),
                          ("call_timeout = soon\n" if folder == "router" else "leaf_life = soon\n",
                           'expected a duration such as 500ms, 45s, 10m, 24h or 7d, found "soon"')):
            spoilt, line = spoil(net, folder, name, text)
            done = start(net, spoilt)
            tap.check_in(f"{name}:{line}: ", done.stderr)
            tap.check_in(why, done.stderr)


@tap.test
def every_default_is_taken_as_it_is_written(net):
    """Line by line: what init wrote behind a #, without the #."""
    for folder, name, program in (("router", "router.conf", ["warren-router", "--check-config"]), ("den", "den.conf", ["warren-den", "check-config"])):
        with open(net.path(folder, name), encoding="ascii") as f:
            text = f.read().replace("unlimited_networks = 127.0.0.0/8", "#")  # that is the test's own line
        lines = re.findall(r"(?m)^#([a-z_0-9]+ =.*)$", text)
        tap.check(len(lines) > 30, f"{name} has {len(lines)} defaults")
        refused = []
        for one in [*lines, "\n".join(lines)]:
            with open(net.path(folder, "tried.conf"), "w", encoding="ascii") as f:
                f.write(text + one + "\n")
            done = run([net.program(program[0]), *program[1:], "--config", net.path(folder, "tried.conf")], wanted=None)
            if done.returncode:
                refused.append(f"{one}: {done.stderr}")
        os.unlink(net.path(folder, "tried.conf"))
        tap.check(not refused, f"{name}: {len(refused)} refused: " + "".join(refused))


@tap.test
def a_bad_policy_names_file_and_line(net):
    for text in ("allow from 1 to 2 can chat\n", "permit: everything\n", "  - {from: 123456, to: any, can: [chat], consent: maybe}\n"):
        spoilt, line = spoil(net, "den", "policy.yaml", text)
        done = den(net, spoilt)
        tap.check_in(f"policy.yaml:{line}:", done.stderr)


@tap.test
def exposed_keys_are_refused(net):
    for folder, keys, start in (("router", ("router.key", "tls.key"), router),
                                ("den", ("login.key", "sign.key", "intermediate.key"), den)):
        for key in keys:
            to = copied(net, folder)
            os.chmod(os.path.join(to, key), 0o644)
            done = start(net, os.path.basename(to))
            tap.check_in(key, done.stderr)
            tap.check_in("chmod 0600", done.stderr)


@tap.test
def keys_that_the_manifest_does_not_list_are_refused(net):
    run([net.program("warren-router"), "init", net.path("stranger"), "--host", f"127.0.0.1:{net.port}"])
    to = copied(net, "router")
    shutil.copy2(net.path("stranger", "router.key"), os.path.join(to, "router.key"))
    done = router(net, os.path.basename(to))
    tap.check_in("manifest", done.stderr)
    for key in ("login.key", "sign.key"):
        to = copied(net, "den")
        shutil.copy2(net.path("stranger", "router.key"), os.path.join(to, key))
        done = den(net, os.path.basename(to))
        tap.check_in("manifest", done.stderr)


@tap.test
def an_answer_for_another_router_is_refused(net):
    done = run([net.program("warren-router"), "accept", net.path("stranger"), net.path("den", "router.answer")], wanted=1)
    tap.check(done.stderr.strip() != "", "no reason given")


@tap.test
def init_overwrites_nothing(net):
    with open(net.path("router", "router.key"), "rb") as f:
        before = f.read()
    done = run([net.program("warren-router"), "init", net.path("router"), "--host", f"127.0.0.1:{net.port}"], wanted=1)
    tap.check(done.stderr.strip() != "", "no reason given")
    done = run([net.program("warren-den"), "init", net.path("den"), "--network", "x.example", "--router-request",
                net.path("router", "router.request"), "--root-passphrase-fd", "0"], wanted=1, input="secret enough\n")
    tap.check(done.stderr.strip() != "", "no reason given")
    with open(net.path("router", "router.key"), "rb") as f:
        tap.check(before == f.read(), "the router's key was overwritten")


tap.main(make=False)
