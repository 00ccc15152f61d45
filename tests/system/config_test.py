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
def addresses_below_which_nothing_can_be_are_warned_of(net):
    net.init()
    for key, url, is_doubted in (("crl_url", "http://pki.example/warren.crl", True), ("ca_url", "http://pki.example/ca?name=warren", True),
                                 ("crl_url", "http://pki.example", False), ("crl_url", "http://pki.example/v1.2/crl", False),
                                 ("crl_url", "http://pki.example/crl/", False), ("crl_url", "http://a/" + 471 * "x", False)):
        spoilt, line = spoil(net, "den", "den.conf", f"{key} = {url}\n")
        done = run([net.program("warren-den"), "check-config", "--config", net.path(spoilt, "den.conf")])
        tap.check((f"den.conf:{line}: warning: {key}: certificates will name {url}/DIGITS" in done.stderr) == is_doubted, f"{url}: {done.stderr}")
        tap.check(is_doubted or not done.stderr, done.stderr)
    for key in ("crl_url", "ca_url"):  # with the digits a certificate has no room for it
        spoilt, line = spoil(net, "den", "den.conf", f"{key} = http://a/{472 * 'x'}\n")
        done = run([net.program("warren-den"), "check-config", "--config", net.path(spoilt, "den.conf")], wanted=1)
        tap.check_in(f"den.conf:{line}: {key}: expected a web address, http:// or https://, of at most 480 characters", done.stderr)


@tap.test
def what_den_would_not_start_with_is_said_before(net):
    check = lambda folder, wanted: run([net.program("warren-den"), "check-config", "--config", net.path(folder, "den.conf")], wanted=wanted)
    tap.check(not check("den", 0).stderr, "a good folder")
    for name in ("intermediate.key", "sign.key", "login.key", "intermediate.pem", "den.db"):
        for text in (None, "garbage\n"):
            folder = os.path.basename(copied(net, "den"))
            os.remove(net.path(folder, name))
            if text:
                with open(net.path(folder, name), "w", encoding="ascii") as f:
                    f.write(text)
                os.chmod(net.path(folder, name), 0o600)
            said = check(folder, 1).stderr
            tap.check_in(f"{folder}", said)
            tap.check(name in said or "no " + name.replace(".", "*.") in said, f"{name}, {text}: {said}")
            tap.check(den(net, folder).returncode != 0, f"den starts with {name}: {text}")
    for name, text, said in (("root.pem", "garbage\n", "root.pem: holds no certificate"), ("den.conf", None, "signer: /nowhere/socket: no socket is there")):
        folder = os.path.basename(copied(net, "den"))
        if text is None:
            spoilt, _ = spoil(net, "den", name, "signer = /nowhere/socket\n")
            folder = spoilt
        else:
            with open(net.path(folder, name), "w", encoding="ascii") as f:
                f.write(text)
        tap.check_in("warning: ", check(folder, 0).stderr)
        tap.check_in(said, check(folder, 0).stderr)


@tap.test
def a_den_without_an_older_policy_does_not_start_with_a_bad_one(net):
    spoilt, line = spoil(net, "den", "policy.yaml", "colour: red\n")
    said = den(net, spoilt).stderr
    tap.check_in(f"policy.yaml:{line}:1: ", said)
    tap.check_in("kept=none", said)


@tap.test
def unknown_keys_and_bad_values_name_file_and_line(net):
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
