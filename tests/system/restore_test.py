#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backups beside a den that runs, and what is refused; then the drill R16, short."""
import glob
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

import tap
from network import PATIENCE, ROOT, run


def den(net, *words, passphrase=None, **more):
    argv = [net.program("warren-den"), *words]
    if passphrase is None:
        return run(argv, **more)
    theirs, ours = os.pipe()
    os.write(ours, passphrase.encode() + b"\n")
    os.close(ours)
    try:
        return run([*argv, "--passphrase-fd", str(theirs)], pass_fds=[theirs], **more)
    finally:
        os.close(theirs)


def conf(net):
    return ["--config", net.path("den/den.conf")]


@tap.test
def private_keys_are_in_a_backup_only_under_a_passphrase(net):
    net.join("alice")
    plain = den(net, "backup", net.path("plain"), "--plain", *conf(net)).stdout
    tap.check_in("login.key            left out", plain)
    sealed = den(net, "backup", net.path("sealed"), *conf(net), passphrase="some more words").stdout
    tap.check_in("login.key            in", sealed)
    tap.check("admin.socket" not in sealed, "a socket is nothing to back up: " + sealed)
    with open(net.path("den/login.key"), "rb") as f:
        key = f.read().split()[1]
    for name in ("plain", "sealed"):
        tap.check(os.stat(net.path(name)).st_mode & 0o777 == 0o600, "mode of " + name)
        with open(net.path(name), "rb") as f:
            tap.check(key not in f.read(), "the key in " + name)
    tap.check_in("say which", den(net, "backup", net.path("other"), *conf(net), wanted=2).stderr)
    tap.check_in("nothing was overwritten", den(net, "backup", net.path("plain"), "--plain", *conf(net), wanted=1).stderr)


@tap.test
def what_is_there_is_not_overwritten_and_what_is_damaged_is_not_restored(net):
    tap.check_in("is not empty", den(net, "restore", net.path("plain"), net.path("den"), wanted=1).stderr)
    tap.check_in("stop warren-den first", den(net, "restore", net.path("plain"), net.path("den"), "--replace", wanted=1).stderr)
    tap.check_in("passphrase is wrong", den(net, "restore", net.path("sealed"), net.path("new"), passphrase="others", wanted=1).stderr)
    with open(net.path("plain"), "rb") as f:
        whole = f.read()
    for what, damaged in (("was changed", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]), ("was cut short", whole[:-9])):
        with open(net.path("damaged"), "wb") as f:
            f.write(damaged)
        tap.check_in(what, den(net, "restore", net.path("damaged"), net.path("new"), wanted=1).stderr)
    tap.check(not os.path.exists(net.path("new")), "nothing is left behind")


@tap.test
def restored_with_nothing_after_it_den_goes_on_as_it_was(net):
    net.den.stop()
    den(net, "backup", net.path("last"), *conf(net), passphrase="some more words")
    tap.check_in("den.db is whole: ", den(net, "restore", net.path("last"), net.path("new"), passphrase="some more words").stdout)
    os.rename(net.path("den"), net.path("before"))
    os.rename(net.path("new"), net.path("den"))
    net.start_den()
    net.join("bob")
    tap.check(len(net.ids["bob"]) == 6, "IDs are drawn as before")
    lines = den(net, "audit", "list", *conf(net)).stdout.splitlines()
    noted = [json.loads(line)["facts"] for line in lines if '"store.restored"' in line]
    tap.check(len(noted) == 1, "one entry says that it was restored")
    tap.check(noted[0]["by"] == f"uid {os.getuid()}" and noted[0]["file"] == net.path("last"), f"by whom, from what: {noted[0]}")
    tap.check_in(noted[0]["backup_audit_head"], "".join(lines))
    net.den.stop()
    shutil.rmtree(net.path("before"))


def refused_by_what_the_router_knows(net):
    """den looks before it serves, and never says that it does."""
    said = den(net, "run", *conf(net), wanted=1).stderr
    tap.check_in("was taken back to an older state", said)
    tap.check_in("event=rollback.refused", said)
    tap.check("event=online" not in said, said)


@tap.test
def what_was_done_before_den_left_is_noticed_on_another_machine(net):
    """The router alone knows of it: den was stopped before its next heartbeat."""
    net.start_den()
    den(net, "backup", net.path("before-carol"), *conf(net), passphrase="some more words")
    net.join("carol")
    net.den.stop()
    den(net, "restore", net.path("before-carol"), net.path("elsewhere"), passphrase="some more words")
    os.rename(net.path("den"), net.path("aside"))
    os.rename(net.path("elsewhere"), net.path("den"))
    refused_by_what_the_router_knows(net)
    shutil.rmtree(net.path("den"))
    os.rename(net.path("aside"), net.path("den"))


@tap.test
def a_backup_just_before_a_crash_is_an_older_one(net):
    """No heartbeat came after it: what den did meanwhile, nobody outside of its folder knows."""
    net.start_den()
    den(net, "backup", net.path("just-before"), *conf(net), passphrase="some more words")
    net.join("dora")
    net.den.process.kill()
    net.den.process.wait()
    den(net, "restore", net.path("just-before"), net.path("elsewhere"), passphrase="some more words")
    os.rename(net.path("den"), net.path("aside"))
    os.rename(net.path("elsewhere"), net.path("den"))
    refused_by_what_the_router_knows(net)
    shutil.rmtree(net.path("den"))
    os.rename(net.path("aside"), net.path("den"))


@tap.test
def who_had_another_key_since_the_backup_is_given_the_next_one(net):
    """The database forgot the keys that alice and bob got since; the signer's book, which is in no backup, has them."""
    net.start_den()
    den(net, "backup", net.path("early"), "--plain", *conf(net))
    for name in ("alice", "bob"):
        run(net.warren(name, "rekey"))
    net.den.stop()
    den(net, "restore", net.path("early"), net.path("den"), "--replace")
    for words in (["token", "add"], ["peer", "re-enrol", net.ids["bob"]], ["peer", "remove", net.ids["bob"]], ["revoke", "--id", net.ids["bob"]]):
        tap.check_in("den has not gone on with it yet", den(net, *words, *conf(net), wanted=1).stderr)
    net.den = net.start("warren-den", [net.program("warren-den"), "run", *conf(net), "--accept-rollback"])
    net.den.wait_line(net.den.err, r"event=rollback\.accepted")
    net.den.wait_line(net.den.err, r"event=online")
    run(net.warren("alice", "rekey"))
    run(net.warren("bob2", "join"), input=den(net, "peer", "re-enrol", net.ids["bob"], *conf(net)).stdout)
    tap.check(net.identity("bob2")["id"] == net.ids["bob"], "the same ID: " + net.identity("bob2")["id"])
    lines = "".join(den(net, "audit", "list", *conf(net)).stdout)
    tap.check_in("identity.key_of_signer", lines)
    run(net.warren("bob2", "rekey"))


@tap.test
def the_policy_that_goes_on_is_known_by_its_number(net):
    ids = net.ids["alice"], net.ids["bob"]
    before = den(net, "policy", "list", *conf(net)).stdout.splitlines()
    tap.check_in("in force", before[1])
    number = before[1].split()[0]
    with open(net.path("den/policy.yaml"), encoding="ascii") as f:
        tap.check(den(net, "policy", "show", *conf(net)).stdout == f.read(), "policy show")
    tap.check_in("no rule, group, tag or mark is different", den(net, "policy", "diff", *conf(net)).stdout)
    tap.check_in(f"by policy {number}, in force since", den(net, "policy", "why", *ids, "chat", *conf(net)).stdout)


def roll_over(net, what):
    for step in ("stage", "switch", "retire"):
        words = ["--what", what] if step == "stage" else ["--anyway"]
        net.with_passphrase([net.program("warren-den"), "rollover", step, *words, *conf(net)])
        until = time.monotonic() + PATIENCE
        while len(set(json.loads(den(net, "rollover", "status", "--json", *conf(net)).stdout)[k] for k in ("den", "router", "manifest"))) > 1:
            tap.check(time.monotonic() < until, "the manifest did not arrive")
            time.sleep(0.1)


def start_refused(net):
    return den(net, "run", *conf(net), "--accept-rollback", "--without-list", wanted=1).stderr


@tap.test
def a_backup_from_before_a_rollover_says_which_keys_it_lacks(net):
    """On a machine that has nothing but that backup, and what is printed leads on."""
    den(net, "backup", net.path("old"), *conf(net), passphrase="some more words")
    for what in ("intermediate", "den-login"):
        roll_over(net, what)
    net.den.stop()
    os.rename(net.path("den"), net.path("lost"))
    den(net, "restore", net.path("old"), net.path("den"), passphrase="some more words")
    net.den = net.start("warren-den", [net.program("warren-den"), "run", *conf(net), "--accept-rollback", "--without-list"])
    net.den.wait_line(net.den.err, r"event=login\.unlisted .*put the newer login\.N\.key here")
    net.den.stop()
    said = start_refused(net)
    tap.check_in("the signer does not have the intermediate that manifest", said)
    tap.check_in("put the newer intermediate.N.key and .pem here", said)
    for what in ("intermediate", "den-login"):
        net.with_passphrase([net.program("warren-den"), "rollover", "replace", "--what", what, *conf(net)])
    net.router.stop()
    den(net, "router", "add", net.path("router/router.request"), "--answer", net.path("answer"), *conf(net))
    run([net.program("warren-router"), "accept", net.path("router"), net.path("answer")])
    net.start_router()
    net.den = net.start("warren-den", [net.program("warren-den"), "run", *conf(net), "--accept-rollback", "--without-list"])
    net.den.wait_line(net.den.err, r"event=rollback\.accepted")
    net.den.wait_line(net.den.err, r"event=online")
    run(net.warren("alice", "rekey"))


@tap.test
def an_open_backup_and_the_private_keys_are_enough_after_a_rollover(net):
    net.den.stop()
    said = den(net, "backup", net.path("open"), "--plain", *conf(net)).stdout
    tap.check(said.count("policy.yaml") == 1 and "manifests            in" in said, said)
    os.rename(net.path("den"), net.path("with-keys"))
    tap.check_in("  intermediate.key     is missing", den(net, "restore", net.path("open"), net.path("den")).stdout)
    for path in glob.glob(net.path("with-keys/*.key")):
        shutil.copy(path, net.path("den"))
    said = den(net, "restore", net.path("open"), net.path("den"), "--replace").stdout
    tap.check("intermediate.key     is missing" not in said, "another one is there: " + said)
    net.start_den()


def lock(folder, files):
    """Only these files of it, and it belongs to somebody who cannot write there."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif name not in files:
            os.remove(path)
        else:
            os.chmod(path, 0o400)
    os.chmod(folder, 0o500)
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for name in (*os.listdir(folder), "."):
            os.chown(os.path.join(folder, name), nobody.pw_uid, nobody.pw_gid)


@tap.test
def an_auditor_reads_a_copy_that_cannot_be_written(net):
    files = ["den.conf", "policy.yaml", "den.anchor", "den.db"]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(net.path("den"), os.path.join(folder, "running"), ignore=lambda _, names: [n for n in names if n.endswith(".socket")])
        net.den.stop()
        shutil.copytree(net.path("den"), os.path.join(folder, "stopped"), ignore=lambda _, names: [n for n in names if n.endswith(".socket")])
        whole = den(net, "audit", "verify", *conf(net)).stdout
        net.start_den()
        for name, more in (("stopped", []), ("running", ["den.db-wal"])):
            path = os.path.join(folder, name, "den.conf")
            with open(path, "r+", encoding="ascii") as f:
                text = f.read().replace(net.path("den"), os.path.join(folder, name))
                f.seek(0)
                f.write(text)
                f.truncate()
            lock(os.path.join(folder, name), files + more)
        there = ["--config", os.path.join(folder, "stopped", "den.conf")]
        tap.check(den(net, "audit", "verify", *there).stdout == whole, "not the same audit")
        for words in ("audit list", "audit export --since 1h", "cert list --json", "peer list", "token list", "session list", "policy show"):
            tap.check(den(net, *words.split(), *there).stdout or words == "session list", words)
        there = ["--config", os.path.join(folder, "running", "den.conf")]
        for words in ("audit verify", "cert list"):
            tap.check_in("cannot be written here, and is not whole", den(net, *words.split(), *there, wanted=1).stderr)


@tap.test
def a_rollback_is_refused_and_accepted_as_the_drill_has_it(net):
    env = dict(os.environ, WARREN_R16_ISSUED="100", WARREN_BUILD=net.build)
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/drill/r16.py")], env=env, capture_output=True, text=True, timeout=800,
                          check=False)
    for line in done.stdout.splitlines():
        print("# " + line)
    tap.check(done.returncode == 0, done.stderr[-500:] + "\n".join(line for line in done.stdout.splitlines() if "FAILS" in line))


tap.main()
