#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""New intermediates, roots and keys of den's, in steps: everybody follows, who slept too, and links go on."""
import glob
import json
import os
import re
import signal
import subprocess
import time

import tap
from network import PATIENCE, run


def den(net, *words):
    return [net.program("warren-den"), *words, "--config", net.path("den/den.conf")]


def rollover(net, step, *words, wanted=0):
    options = ["--root-passphrase-fd", "--new-root-passphrase-fd"] if "root" in words else []
    return net.with_passphrase(den(net, "rollover", step, *words), *options, wanted=wanted)


def status(net, *words):
    return json.loads(run(den(net, "rollover", "status", "--json", *words)).stdout)


def wait_status(net, what, test):
    until = time.monotonic() + PATIENCE
    while not test(status(net)):
        tap.check(time.monotonic() < until, f"{what}: {status(net, '--unheard')}")
        time.sleep(0.1)
    return status(net)


def heard(net, n):
    """Until `n` machines and the router have the newest manifest."""
    return wait_status(net, f"{n} acknowledgements", lambda s: s["acknowledged"] >= n and s["router"] == s["manifest"])


def issuer(net, name):
    return json.loads(run(net.warren(name, "id", "--json")).stdout)["issuer"]


def linked(net, caller, callee, prefix=()):
    process = net.dial_chat(caller, callee, prefix=prefix)
    process.wait_line(process.err, "linked with")
    return process


def talk(a, b, text):
    seen = len(b.out)
    a.write(text + "\n")
    b.wait_line(b.out, text, seen)


def process(net, name):
    return next(p for p in reversed(net.processes) if p.name == name)


@tap.test
def an_intermediate_is_rolled_over_under_a_live_link(net):
    net.allow("allow from * to * can chat back chat")
    for name in ("alice", "bob", "sleeper"):
        net.join(name)
    bob = net.wait_chat("bob", "--accept")
    alice = linked(net, "alice", "bob")
    before = issuer(net, "bob")
    out = rollover(net, "stage").stdout
    tap.check_in("manifest 2: stage intermediate", out)
    tap.check_in("next: rollover switch", out)
    heard(net, 2)
    tap.check(issuer(net, "bob") == before, "a new certificate at stage")
    rollover(net, "switch")
    heard(net, 2)  # with a certificate of the new one each
    tap.check(issuer(net, "bob") != before, "bob's certificate is of the old intermediate")
    talk(alice, bob, "over both")
    tap.check_in("1 machines that were seen within a day have not acknowledged manifest 3", rollover(net, "retire", wanted=1).stderr)
    tap.check_in(net.ids["sleeper"], run(den(net, "rollover", "status", "--unheard")).stdout)
    tap.check_in("the rollover is over", rollover(net, "retire", "--anyway").stdout)
    heard(net, 2)
    talk(alice, bob, "over the new one")
    time.sleep(0.5)
    tap.check(not glob.glob(net.path("den/intermediate.key")), "the retired intermediate's key is still there")
    tap.check(glob.glob(net.path("den/intermediate.2.key")), "the new intermediate's key")
    alice.stop()


@tap.test
def who_slept_through_all_of_it_comes_back(net):
    bob = process(net, "bob")
    sleeper = linked(net, "sleeper", "bob")
    talk(sleeper, bob, "good morning")
    sleeper.stop()
    tap.check(status(net)["acknowledged"] == 3, "the sleeper's acknowledgement")


@tap.test
def an_old_join_string_works(net):
    net.join("erin")
    erin = linked(net, "erin", "bob")
    erin.stop()


@tap.test
def a_step_that_makes_no_sense_is_refused(net):
    for step, why in (("switch", "nothing is staged: stage comes first"), ("retire", "nothing to retire"), ("back", "nothing to undo")):
        tap.check_in(why, rollover(net, step, wanted=1).stderr)
    rollover(net, "stage", "--what", "den-sign")
    tap.check_in("a rollover of the den-sign is under way", rollover(net, "stage", wanted=1).stderr)
    tap.check_in("the old den-sign is still in use", rollover(net, "retire", wanted=1).stderr)
    tap.check_in("of the den-sign, not of the intermediate", rollover(net, "switch", "--what", "intermediate", wanted=1).stderr)
    rollover(net, "back")
    tap.check(status(net)["stage"] == "none", "the stage after back")


def revoke(net, name):
    run(den(net, "revoke", "--id", net.ids[name], "--reason", "key-compromise"))


@tap.test
def a_failed_step_leaves_no_key(net):
    heard(net, 1)
    before = sorted(glob.glob(net.path("den/*.key")))
    for what in ("intermediate", "den-sign", "den-login", "root"):
        argv = den(net, "rollover", "stage", "--what", what, "--root-passphrase-fd", "0", "--new-root-passphrase-fd", "0")
        tap.check_in("root.key", run(argv, input="not it\n", wanted=1).stderr)
    request = net.path("no-such-folder", "request")
    run(den(net, "rollover", "stage", "--request", request), wanted=1)
    tap.check(sorted(glob.glob(net.path("den/*.key"))) == before, f"left: {glob.glob(net.path('den/*.key'))}")


@tap.test
def who_runs_short_commands_alone_acknowledges_too(net):
    net.join("brief")
    rollover(net, "renew")
    wait_status(net, "the router", lambda s: s["router"] == s["manifest"])
    tap.check(net.ids["brief"] in run(den(net, "rollover", "status", "--unheard")).stdout, "it has acknowledged already")
    run(net.warren("brief", "call", "network.whoami"))
    tap.check(net.ids["brief"] not in run(den(net, "rollover", "status", "--unheard")).stdout, "a short command acknowledged nothing")
    seen = os.stat(net.path("brief/acknowledged")).st_mtime_ns
    run(net.warren("brief", "call", "network.whoami"))
    tap.check(os.stat(net.path("brief/acknowledged")).st_mtime_ns == seen, "it was told twice")


@tap.test
def a_router_that_does_not_take_the_manifest_holds_up_the_switch(net):
    obstacle = net.path(f"router/tls.pem.new-{net.router.process.pid}")
    os.mkdir(obstacle)
    rollover(net, "stage")
    net.den.wait_line(net.den.err, "event=router.certificate.refused")
    no = status(net)["manifest"]
    said = rollover(net, "switch", wanted=1).stderr
    tap.check_in(f"router 127.0.0.1:{net.port} has manifest {no - 1} of {no} and refused the rest: ", said)
    tap.check_in("--anyway", said)
    tap.check_in("it refused the rest: ", run(den(net, "rollover", "status")).stdout)
    rollover(net, "switch", "--anyway")
    os.rmdir(obstacle)
    net.den.process.send_signal(signal.SIGHUP)
    net.router.stop()
    net.start_router()
    heard(net, 1)
    tap.check("refused" not in run(den(net, "rollover", "status")).stdout, "the refusal is still shown")
    rollover(net, "back")
    rollover(net, "back")
    heard(net, 1)


@tap.test
def dens_signing_key_is_rolled_over_and_revocations_hold(net):
    bob = process(net, "bob")
    net.join("mallory")
    revoke(net, "mallory")
    heard(net, 1)
    rollover(net, "stage", "--what", "den-sign")
    heard(net, 1)
    rollover(net, "switch")
    net.den.wait_line(net.den.err, "event=revocations.resigned no=")
    heard(net, 1)
    rollover(net, "retire", "--anyway")
    heard(net, 1)
    net.join("frank")  # who knows no key of den's but the new one gets the list from its beginning
    frank = linked(net, "frank", "bob")
    talk(frank, bob, "hello")
    frank.stop()
    again = net.dial_chat("mallory", "bob")
    again.wait_line(again.err, r"revoked")
    again.kill()
    alice = linked(net, "alice", "bob")  # whose admission is by the old key: she enrols at once, and is no stranger at her address
    alice.stop()
    refused = [line for line in net.router.err if "event=refused" in line and "was replaced since" in line]
    tap.check(not refused, "\n".join(refused))


@tap.test
def everything_is_there_after_a_restart_of_both(net):
    bob = process(net, "bob")
    seen = len(bob.err)
    net.router.kill()
    net.den.stop()
    net.start_router()
    net.start_den()
    bob.wait_line(bob.err, r"^online", seen)
    alice = linked(net, "alice", "bob")
    alice.stop()


@tap.test
def the_root_itself_is_rolled_over(net):
    bob = process(net, "bob")
    alice = linked(net, "alice", "bob")
    old = net.token()
    rollover(net, "stage", "--what", "root")
    heard(net, 2)
    rollover(net, "switch")
    heard(net, 2)
    talk(alice, bob, "between two roots")
    rollover(net, "retire", "--anyway")
    heard(net, 2)
    talk(alice, bob, "under the new root")
    alice.stop()
    sleeper = linked(net, "sleeper", "bob")
    sleeper.stop()
    new = net.token()
    tap.check(old.split("#")[1][:64] != new.split("#")[1][:64], "the pin of new join strings is the new root's")
    for name, join in (("grace", old), ("heidi", new)):  # the old pin, and the new one
        run(net.warren(name, "join"), input=join + "\n")
        net.ids[name] = net.identity(name)["id"]
        caller = linked(net, name, "bob")
        caller.stop()


@tap.test
def den_logs_in_with_a_new_key(net):
    rollover(net, "stage", "--what", "den-login")
    heard(net, 1)
    seen = len(net.den.err)
    rollover(net, "switch")
    net.den.wait_line(net.den.err, "event=login.key", seen)
    net.den.wait_line(net.den.err, "event=online", seen)
    heard(net, 1)
    rollover(net, "retire", "--anyway")
    heard(net, 1)


@tap.test
def a_stolen_intermediate_is_replaced_at_once(net):
    bob = process(net, "bob")
    alice = linked(net, "alice", "bob")
    before = issuer(net, "bob")
    at = time.monotonic()
    out = rollover(net, "replace", "--what", "intermediate", "--reason", "key-compromise").stdout
    tap.check_in("the old one is out", out)
    heard(net, 2)
    tap.check(time.monotonic() - at < 60, "it took more than a minute")
    tap.check(issuer(net, "bob") != before, "bob's certificate")
    talk(alice, bob, "after the theft")
    alice.stop()
    facts = next(entry["facts"] for entry in map(json.loads, net.audit()) if entry["what"] == "manifest.signed" and entry["facts"]["reason"] == "key-compromise")
    tap.check(int(facts["number"]) == int(facts["number_before"]) + 1 and facts["sha256_before"] != facts["sha256"] and facts["by"].startswith("uid "), f"{facts}")


@tap.test
def a_router_that_was_away_is_brought_up_to_date(net):
    net.router.kill()
    rollover(net, "replace", "--what", "intermediate", "--reason", "key-compromise")
    rollover(net, "replace", "--what", "den-sign", "--reason", "key-compromise")
    rollover(net, "replace", "--what", "den-login", "--reason", "key-compromise")
    bob = process(net, "bob")
    seen = len(bob.err)
    net.start_router()
    bob.wait_line(bob.err, r"^online", seen)
    heard(net, 1)
    alice = linked(net, "alice", "bob")
    alice.stop()


def root_sign(net, request, response, *words, wanted=0, new_root=None):
    options = ["--root-passphrase-fd"] + (["--new-root-passphrase-fd"] if new_root else [])
    more = ["--new-root-key", new_root] if new_root else []
    return net.with_passphrase([net.program("warren-den"), "root", "sign", request, "--root-key", root_key(net), "-o", response, "--yes", *more,
                                *words], *options, wanted=wanted)


def root_key(net):
    return net.path("elsewhere", "root.key")


def altered(net, path, key, change):
    """A copy of a file of lines, with one value changed."""
    with open(path, encoding="ascii") as f:
        lines = f.read().splitlines()
    copy = net.path(f"altered-{key}")
    with open(copy, "w", encoding="ascii") as f:
        f.write("\n".join(f"{key} = {change(line.split(' = ', 1)[1])}" if line.startswith(key + " = ") else line for line in lines) + "\n")
    return copy


@tap.test
def the_root_may_be_elsewhere(net):
    os.mkdir(net.path("elsewhere"), 0o700)
    keys = sorted(glob.glob(net.path("den/root*.key")), key=os.path.getmtime)  # the newest is the one in use
    os.rename(keys[-1], root_key(net))
    request, response = net.path("stage.req"), net.path("stage.resp")
    tap.check_in("the root's key is needed", rollover(net, "stage", "--root-key", net.path("den/no.key"), wanted=1).stderr)
    run(den(net, "rollover", "stage", "--request", request))
    tap.check(status(net)["waits_for_root"], "status does not say that it waits for the root")
    said = root_sign(net, request, response).stdout
    tap.check_in("+ intermediate (made by this signature)  NEW", said)
    tap.check_in("two of one number would split the network", root_sign(net, request, net.path("2.resp"), wanted=1).stderr)
    for key, change, why in (("signatures", lambda v: v[:-2] + ("00" if v[-2:] != "00" else "01"), "not signed by"),
                             ("intermediate", lambda v: v[:-2] + ("00" if v[-2:] != "00" else "01"), "not the one that was asked for"),
                             ("request_sha256", lambda v: "0" * 64, "the answer is to another request")):
        tap.check_in(why, run(den(net, "rollover", "stage", "--response", altered(net, response, key, change)), wanted=1).stderr)
    tap.check_in("is for stage, not for switch", run(den(net, "rollover", "switch", "--response", response), wanted=1).stderr)
    run(den(net, "rollover", "stage", "--response", response))
    tap.check_in("no request waits", run(den(net, "rollover", "stage", "--response", response), wanted=1).stderr)  # replayed
    heard(net, 1)
    for step in ("switch", "retire"):
        request, response = net.path(step + ".req"), net.path(step + ".resp")
        words = ["--anyway"] if step == "retire" else []
        run(den(net, "rollover", step, "--request", request, *words))
        root_sign(net, request, response)
        run(den(net, "rollover", step, "--response", response, *words))
        heard(net, 1)
    alice = linked(net, "alice", "bob")
    alice.stop()


@tap.test
def a_response_that_comes_too_late_is_refused(net):
    late, response = net.path("late.req"), net.path("late.resp")
    run(den(net, "rollover", "stage", "--request", late))
    root_sign(net, late, response)
    net.with_passphrase(den(net, "rollover", "renew", "--root-key", root_key(net)))  # meanwhile
    tap.check_in("no request waits", run(den(net, "rollover", "stage", "--response", response), wanted=1).stderr)
    tap.check(status(net)["stage"] == "none", "the stage")


def router_key(net, folder):
    with open(net.path(folder, "router.request"), encoding="ascii") as f:
        return re.search(r"(?m)^public_key = ([0-9a-f]{64})$", f.read()).group(1)


@tap.test
def routers_come_and_go_with_the_root_elsewhere(net):
    run([net.program("warren-router"), "init", net.path("router2"), "--host", f"127.0.0.1:{net.port + 1}"])
    heard(net, 1)
    request, response = net.path("router2.req"), net.path("router2.resp")
    add = den(net, "router", "add", net.path("router2/router.request"))
    tap.check_in("--answer is missing", run(add, wanted=2).stderr)
    run([*add, "--request", request])  # den goes on meanwhile
    tap.check_in(f"+ router key {router_key(net, 'router2')}  NEW", root_sign(net, request, response).stdout)
    taken = [*add, "--answer", net.path("router2.answer"), "--response", response]
    tap.check_in("stop warren-den first", run(taken, wanted=1).stderr)
    net.den.stop()
    run(taken)
    run([net.program("warren-router"), "accept", net.path("router2"), net.path("router2.answer")])
    net.start_den()
    heard(net, 1)
    tap.check_in(f"{router_key(net, 'router2')[:16]}... has manifest", run(den(net, "rollover", "status")).stdout)

    words = ["--root-key", root_key(net)]
    net.with_passphrase(den(net, "rollover", "stage", *words))
    heard(net, 1)
    said = net.with_passphrase(den(net, "rollover", "switch", *words), wanted=1).stderr
    tap.check_in(f"router {router_key(net, 'router2')[:16]}... has manifest", said)
    net.den.stop()
    run([*add, "--answer", net.path("router2.again")])  # what it lacks, without the root
    net.start_den()
    heard(net, 1)
    for step in ("switch", "back", "back"):
        net.with_passphrase(den(net, "rollover", step, *words))
        heard(net, 1)
        net.den.stop()
        run([*add, "--answer", net.path(f"router2.after-{time.monotonic_ns()}")])
        net.start_den()

    remove = den(net, "router", "remove", router_key(net, "router2")[:12])
    tap.check_in("neither 8 digits", run(den(net, "router", "remove", "nowhere"), wanted=1).stderr)
    tap.check_in("no router with such a key", run(den(net, "router", "remove", "0" * 64), wanted=1).stderr)
    tap.check_in("den connects to this router", run(den(net, "router", "remove", net.path("router/router.request")), wanted=1).stderr)
    request, response = net.path("remove.req"), net.path("remove.resp")
    run([*remove, "--request", request])
    tap.check_in(f"- router key {router_key(net, 'router2')}  IS OUT", root_sign(net, request, response).stdout)
    run([*remove, "--response", response])
    heard(net, 1)
    tap.check(router_key(net, "router2") not in run(den(net, "rollover", "status")).stdout, "it is still listed")
    tap.check_in("no router with such a key", run(remove, wanted=1).stderr)
    tap.check_in("the network's only router", run(den(net, "router", "remove", "--anyway", net.path("router/router.request")), wanted=1).stderr)
    alice = linked(net, "alice", "bob")
    alice.stop()


def with_passphrases(argv, **given):
    """{option: passphrase}, each by a descriptor of its own."""
    fds = []
    for option, passphrase in given.items():
        theirs, ours = os.pipe()
        os.write(ours, passphrase.encode())
        os.close(ours)
        fds.append(theirs)
        argv = [*argv, "--" + option.replace("_", "-"), str(theirs)]
    try:
        return subprocess.run(argv, pass_fds=fds, capture_output=True, text=True, timeout=PATIENCE, check=False)
    finally:
        for fd in fds:
            os.close(fd)


def start_locked_den(net):
    theirs, ours = os.pipe()
    os.write(ours, b"den's own words")
    os.close(ours)
    started = net.start("warren-den", den(net, "run", "--passphrase-fd", str(theirs)), pass_fds=[theirs])
    os.close(theirs)
    started.wait_line(started.err, "event=online")
    return started


@tap.test
def new_keys_are_sealed_as_the_others_are(net):
    for words in (["stage", "--what", "den-sign"], ["back"]):
        done = with_passphrases(den(net, "rollover", *words, "--root-key", root_key(net)), root_passphrase_fd=net.root_passphrase)
        tap.check(done.returncode == 0, done.stderr)
    done = with_passphrases(den(net, "passphrase"), new_passphrase_fd="den's own words")  # while den destroys what was staged
    tap.check(done.returncode == 0, done.stderr)
    net.den.stop()
    before = set(glob.glob(net.path("den/*.key")))
    stage = den(net, "rollover", "stage", "--root-key", root_key(net))
    done = with_passphrases(stage, root_passphrase_fd=net.root_passphrase, passphrase_fd="others")
    tap.check(done.returncode == 1 and "the passphrase is wrong" in done.stderr, done.stderr)
    tap.check(set(glob.glob(net.path("den/*.key"))) == before, "a key was made")
    done = with_passphrases(stage, root_passphrase_fd=net.root_passphrase, passphrase_fd="den's own words")
    tap.check(done.returncode == 0, done.stderr)
    made = set(glob.glob(net.path("den/*.key"))) - before
    tap.check(len(made) == 1, str(made))
    net.den = start_locked_den(net)
    wait_status(net, "the router", lambda s: s["router"] == s["manifest"] == s["den"])
    done = with_passphrases(den(net, "rollover", "switch", "--root-key", root_key(net)), root_passphrase_fd=net.root_passphrase)
    tap.check_in("stop warren-den and start it again", done.stdout)
    net.den.wait_line(net.den.err, "event=rollover.failed code=locked")
    tap.check(status(net)["waits_for_restart"], str(status(net)))
    tap.check_in("waits for a restart", run(den(net, "rollover", "status")).stdout)
    net.den.stop()
    net.den = start_locked_den(net)
    tap.check(not status(net)["waits_for_restart"], str(status(net)))
    wait_status(net, "the router", lambda s: s["router"] == s["manifest"] == s["den"])
    done = with_passphrases(den(net, "rollover", "retire", "--anyway", "--root-key", root_key(net)), root_passphrase_fd=net.root_passphrase)
    tap.check(done.returncode == 0, done.stderr)
    wait_status(net, "the router", lambda s: s["router"] == s["manifest"] == s["den"])
    made = set(glob.glob(net.path("den/*.key"))) - before
    with open(made.pop(), "rb") as f:
        tap.check(b"PRIVATE KEY" not in f.read(), "the new key is in the open")


@tap.test
def a_signer_elsewhere_has_to_be_named(net):
    with open(net.path("den/den.conf"), encoding="ascii") as f:
        text = re.sub(r"(?m)^signer = .*$", "", f.read())
    with open(net.path("den/split.conf"), "w", encoding="ascii") as f:
        f.write(text + "signer = /run/nowhere/socket\n")
    done = run([net.program("warren-den"), "rollover", "switch", "--config", net.path("den/split.conf")], wanted=1)
    tap.check_in("--signer-folder", done.stderr)


tap.main()
