#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den and its signer have a user each, as the units start them: root does every step of a rollover, and each user finds in its own
folder what it needs, and nothing of the other's."""
import glob
import json
import os
import pwd
import re
import shutil
import struct
import threading
import time

import tap
from network import PATIENCE, free_port, run

HTTP = free_port()
DEN, SIGNER = (pwd.getpwnam(name) for name in ("daemon", "nobody"))
CALL_OPEN, CALL_RENAME, KILL = 4, 8, 255


def program(net, name):
    """Where users who are not root can run it: the build may lie in somebody's home."""
    os.makedirs(net.path("bin"), exist_ok=True)
    copy = net.path("bin", name)
    if not os.path.exists(copy):
        shutil.copy(net.program(name), copy)
        os.chmod(copy, 0o755)
    return copy


def own(folder, user):
    for root, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            os.chown(os.path.join(root, name), user.pw_uid, user.pw_gid)


def conf(net, name="den"):
    return net.path(name, "den.conf")


def split(net, name="den", wanted=0, **more):
    return run([program(net, "warren-den"), "signer", "split", net.path(name + "-signer"), "--config", conf(net, name), "--user", SIGNER.pw_name,
                "--socket", net.path("run/socket")], wanted=wanted, **more)


def start_signer(net):
    net.signer = net.start("signer", [program(net, "warren-den-signer"), "run", "--folder", net.path("den-signer"), "--socket",
                                      net.path("run/socket"), "--peer", DEN.pw_name], user=SIGNER.pw_uid, group=SIGNER.pw_gid, extra_groups=[])
    net.signer.wait_line(net.signer.err, r"event=signer\.sandbox")


def keep_signer(net):
    """The service manager, which starts it again whenever it ends by itself."""
    def run_on():
        while net.signer.process.wait() == 0:
            start_signer(net)
    start_signer(net)
    threading.Thread(target=run_on, daemon=True).start()


def start_den(net):
    net.den = net.start("warren-den", [program(net, "warren-den"), "run", "--config", conf(net)], user=DEN.pw_uid, group=DEN.pw_gid,
                        extra_groups=[])
    net.den.wait_line(net.den.err, r"event=online")


def make(net):
    """As an operator does it after installing the packages."""
    if os.getuid() != 0:
        return
    os.chmod(net.folder, 0o755)
    os.mkdir(net.path("run"))
    os.chown(net.path("run"), SIGNER.pw_uid, -1)
    net.init()
    with open(conf(net), "a", encoding="ascii") as f:
        f.write(f"http = 127.0.0.1:{HTTP}\n")
    os.chmod(net.path("den"), 0o700)
    os.makedirs(net.path("root"), 0o700)
    os.rename(net.path("den/root.key"), net.path("root/root.key"))  # root's own, and nobody else's
    own(net.path("den"), DEN)
    net.token = lambda *words: run([program(net, "warren-den"), "token", "add", "--config", conf(net), *words], user=DEN.pw_uid,
                                   group=DEN.pw_gid).stdout.strip()
    net.start_router()


def as_root(test):
    def wrapped(net):
        if os.getuid() != 0:
            raise tap.Skip("not root")
        test(net)
    wrapped.__name__ = test.__name__
    return tap.test(wrapped)


def rollover(net, step, *words, wanted=0, **more):
    options = ["--root-passphrase-fd"] + (["--new-root-passphrase-fd"] if "root" in words and step in ("stage", "replace") else [])
    argv = [program(net, "warren-den"), "rollover", step, *words, "--config", conf(net), "--root-key", root_key(net)]
    return net.with_passphrase(argv, *options, wanted=wanted, **more)


def root_key(net):
    """The newest: a rollover of the root leaves its key in den's folder."""
    return max([net.path("root/root.key"), *glob.glob(net.path("*/root.*.key"))], key=os.path.getmtime)


def status(net):
    return json.loads(run([program(net, "warren-den"), "rollover", "status", "--json", "--config", conf(net)]).stdout)


def heard(net, n):
    until = time.monotonic() + PATIENCE
    while True:
        s = status(net)
        if s["acknowledged"] >= n and s["router"] == s["manifest"] == s["den"]:
            return
        tap.check(time.monotonic() < until, str(s))
        time.sleep(0.1)


def keys(net, folder):
    return sorted(name for name in os.listdir(net.path(folder)) if name.endswith(".key"))


def check_owners(net):
    for folder, user in (("den", DEN), ("den-signer", SIGNER)):
        for name in os.listdir(net.path(folder)):
            st = os.lstat(net.path(folder, name))
            tap.check(st.st_uid == user.pw_uid and st.st_gid == user.pw_gid, f"{folder}/{name} belongs to {st.st_uid}:{st.st_gid}")
            tap.check(not name.endswith(".key") or st.st_mode & 0o777 == 0o600, f"{folder}/{name}: mode {st.st_mode:o}")
    tap.check([name for name in keys(net, "den") if not name.startswith(("login", "root"))] == [], f"den has {keys(net, 'den')}")


def killed(net, call, after, command):
    """`command(environment)`, killed before its call of that kind after `after` others below the test's folder."""
    with open(net.path("faults"), "wb") as f:
        f.write(struct.pack("=6I", call, KILL, after, 1, 0, 0))
    os.chmod(net.path("faults"), 0o666)
    library = os.path.abspath(os.path.join(net.build, "tests/system/libfaults.so"))
    done = command({**os.environ, "LD_PRELOAD": library, "FAULTS": net.path("faults"), "FAULTS_UNDER": net.folder})
    with open(net.path("faults"), "rb") as f:
        return struct.unpack("=6I", f.read())[5] > 0, done


@as_root
def splitting_may_be_killed_anywhere(net):
    """Run again it goes on; until then one of the folders is whole."""
    n_killed = 0
    for call in (CALL_OPEN, CALL_RENAME):
        for after in range(200):
            run(["rm", "-rf", net.path("trial"), net.path("trial-signer")])
            run(["cp", "-a", net.path("den"), net.path("trial")])
            run(["sed", "-i", f"s,^state = .*,state = {net.path('trial')},", conf(net, "trial")])
            was_killed, done = killed(net, call, after, lambda env: split(net, "trial", wanted=None, env=env))
            if not was_killed:
                tap.check(done.returncode == 0, done.stderr)
                break
            n_killed += 1
            again = split(net, "trial", wanted=None)
            tap.check(again.returncode == 0 or "done already" in again.stderr, f"{call} {after}: {again.stderr}")
            tap.check(keys(net, "trial") == ["login.key"] and not os.path.exists(net.path("trial/signer.book")), f"{call} {after}: {os.listdir(net.path('trial'))}")
            for name in ("sign.key", "intermediate.key", "intermediate.pem", "signer.book"):
                tap.check(os.stat(net.path("trial-signer", name)).st_uid == SIGNER.pw_uid, name)
            with open(conf(net, "trial"), encoding="ascii") as f:
                tap.check_in(f"\nsigner_folder = {net.path('trial-signer')}\n", f.read())
    tap.check(n_killed > 15, f"{n_killed} times killed")


@as_root
def what_a_killed_one_left_is_removed(net):
    for name in ("sign.key", "signer.book"):  # as if killed while it removed them
        shutil.copy(net.path("trial-signer", name), net.path("trial", name))
        os.chown(net.path("trial", name), DEN.pw_uid, DEN.pw_gid)
        os.chmod(net.path("trial", name), 0o600)
    with open(net.path("trial/sign.9.key"), "w", encoding="ascii") as f:  # which the signer does not have
        f.write("of something else\n")
    os.chown(net.path("trial/sign.9.key"), DEN.pw_uid, DEN.pw_gid)
    os.chmod(net.path("trial/sign.9.key"), 0o600)
    tap.check_in("nothing was removed", split(net, "trial", wanted=1).stderr)
    tap.check(os.path.exists(net.path("trial/sign.key")), "it was removed")
    os.unlink(net.path("trial/sign.9.key"))
    split(net, "trial")
    tap.check(keys(net, "trial") == ["login.key"], str(keys(net, "trial")))
    tap.check_in("done already", split(net, "trial", wanted=1).stderr)


@as_root
def root_rolls_over_the_intermediate(net):
    split(net)
    keep_signer(net)
    start_den(net)
    net.join("alice")
    before = keys(net, "den-signer")
    wrong = run([program(net, "warren-den"), "rollover", "stage", "--config", conf(net), "--root-key", root_key(net), "--root-passphrase-fd", "0"],
                input="not it\n", wanted=1)
    tap.check_in("root.key", wrong.stderr)
    tap.check(keys(net, "den-signer") == before, f"a failed stage left {keys(net, 'den-signer')}")
    for user in (DEN, SIGNER):
        done = run([program(net, "warren-den"), "rollover", "stage", "--config", conf(net)], wanted=1, user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        tap.check("run this as root" in done.stderr or user is SIGNER, done.stderr)
    for step in ("stage", "switch", "retire"):
        rollover(net, step)
        heard(net, 0)
        check_owners(net)
        run(net.warren("alice", "call", "network.whoami"))
        heard(net, 1)
    tap.check(keys(net, "den-signer") == ["intermediate.2.key", "sign.key"], f"the signer has {keys(net, 'den-signer')}")
    net.join("bob")


@as_root
def and_the_others(net):
    for what, step in (("den-sign", "stage"), ("den-login", "stage"), ("root", "stage"), ("intermediate", "replace"), ("den-sign", "replace")):
        more = ["--reason", "key-compromise"] if step == "replace" else []
        rollover(net, step, "--what", what, *more)
        heard(net, 0)
        for next_step in ("switch", "retire") if step == "stage" else ():
            rollover(net, next_step, "--anyway")
            heard(net, 0)
        check_owners(net)
        run(net.warren("alice", "call", "network.whoami"))
    tap.check(len(keys(net, "den-signer")) == 2, f"the signer has {keys(net, 'den-signer')}")
    tap.check(len([name for name in keys(net, "den") if name.startswith("login")]) == 1, f"den has {keys(net, 'den')}")
    net.join("carol")
    new = root_key(net)  # the operator puts it where the old one is
    tap.check(os.stat(new).st_uid == DEN.pw_uid, new)
    os.rename(new, net.path("root/root.2.key"))
    os.chown(net.path("root/root.2.key"), 0, 0)


def by_response(net, step):
    n = status(net)["manifest"] + 1
    request, response = net.path(f"{n}.request"), net.path(f"{n}.response")
    plain = [program(net, "warren-den"), "rollover", step, "--config", conf(net)]
    words = ["--anyway"] if step == "retire" else []
    run([*plain, "--request", request, *words])
    tap.check(os.stat(request).st_uid == 0, "the request is not root's")
    net.with_passphrase([program(net, "warren-den"), "root", "sign", request, "--root-key", root_key(net), "--yes", "-o", response,
                         "--record", net.path("root/signed")])
    run([*plain, "--response", response, *words])
    heard(net, 0)
    check_owners(net)


def issuer(net, name):
    return json.loads(run(net.warren(name, "id", "--json")).stdout)["issuer"]


@as_root
def by_request_and_response_too(net):
    for step in ("stage", "switch", "retire"):
        by_response(net, step)
    net.join("dave")


@as_root
def and_back_again(net):
    """First the switch is undone, then the stage: it ends as it began, and the signer signs with the key that it had."""
    before, had = issuer(net, "dave"), keys(net, "den-signer")
    for step, stage in (("stage", "staged"), ("switch", "switched"), ("back", "staged"), ("back", "none")):
        by_response(net, step)
        tap.check(status(net)["stage"] == stage, f"after {step}: {status(net)['stage']}")
        run(net.warren("dave", "call", "network.whoami"))
        heard(net, 1)
    tap.check(issuer(net, "dave") == before, "dave's certificate is of the one that was taken back")
    tap.check(keys(net, "den-signer") == had, f"the signer has {keys(net, 'den-signer')}")
    net.join("dora")
    tap.check(issuer(net, "dora") == before, "a new certificate is of the one that was taken back")


def beside_a_stopped_den(net, step, *words):
    """The signer runs on: nobody but den tells it, when that starts."""
    net.den.stop()
    rollover(net, step, *words, "--anyway")
    seen = len(net.signer.err)
    start_den(net)
    heard(net, 0)
    run(net.warren("dora", "call", "network.whoami"))
    return seen


def served(net, path):
    return run(["curl", "-sS", "-o", net.path("served"), "-w", "%{http_code}", f"http://127.0.0.1:{HTTP}{path}"]).stdout


def key_in_use(net):
    """The first digits of its identifier, of the intermediate that den signs with."""
    tap.check(served(net, "/ca") == "200", "there is no /ca")
    text = run(["openssl", "x509", "-inform", "DER", "-in", net.path("served"), "-noout", "-ext", "subjectKeyIdentifier"]).stdout
    return re.search(r"([0-9A-F]{2}:)+[0-9A-F]{2}", text).group(0).replace(":", "").lower()[:16]


def lists(net, *keys_of):
    return [served(net, "/crl/" + digits) for digits in keys_of]


@as_root
def den_was_stopped_for_each_step(net):
    """The signer has the keys of its own start: den has them opened anew, and forgotten, when it starts."""
    old = key_in_use(net)
    beside_a_stopped_den(net, "stage")
    before = net.signer
    beside_a_stopped_den(net, "switch")
    before.wait_line(before.err, r"event=signer\.leaves")
    new = key_in_use(net)
    tap.check(new != old, "the one in use is the one before")
    tap.check(lists(net, old, new) == ["200", "200"], f"until it is retired each has a list: {lists(net, old, new)}")
    seen = beside_a_stopped_den(net, "retire")
    net.signer.wait_line(net.signer.err, rf"event=signer\.key\.forgotten .*key={old}", seen)
    tap.check(lists(net, old, new) == ["404", "200"], f"of the retired one and of the one in use: {lists(net, old, new)}")
    for what in ("intermediate", "den-sign"):
        beside_a_stopped_den(net, "replace", "--what", what, "--reason", "key-compromise")
    newest = key_in_use(net)
    tap.check(newest != new and lists(net, new, newest) == ["404", "200"], f"of the replaced one and of its next: {lists(net, new, newest)}")
    check_owners(net)


@as_root
def what_to_do_is_said_when_the_signers_folder_is_older(net):
    net.den.stop()
    run(["cp", "-a", net.path("den-signer"), net.path("older")])
    rollover(net, "replace", "--reason", "key-compromise")
    os.rename(net.path("den-signer"), net.path("newer"))
    os.rename(net.path("older"), net.path("den-signer"))
    argv = [program(net, "warren-den"), "run", "--config", conf(net)]
    said = run(argv, wanted=1, user=DEN.pw_uid, group=DEN.pw_gid, extra_groups=[]).stderr
    for part in (f"the signer does not have the intermediate that manifest {status(net)['manifest']} lists first", "the signer's folder is older than that manifest",
                 "put the newer intermediate.N.key and .pem there", "restart its service"):
        tap.check_in(part, said)
    run(["rm", "-rf", net.path("den-signer")])
    os.rename(net.path("newer"), net.path("den-signer"))
    start_den(net)
    heard(net, 0)


@as_root
def a_router_is_added_and_removed(net):
    """In one go: root gives the signer its order, too."""
    run([program(net, "warren-router"), "init", net.path("router2"), "--host", "127.0.0.1:1"])
    net.den.stop()
    net.with_passphrase([program(net, "warren-den"), "router", "add", net.path("router2/router.request"), "--config", conf(net), "--answer",
                         net.path("router2.answer"), "--root-key", root_key(net)])
    start_den(net)
    heard(net, 0)
    check_owners(net)
    tap.check(os.stat(net.path("router2.answer")).st_uid == 0, "the answer is not root's")
    run([program(net, "warren-router"), "accept", net.path("router2"), net.path("router2.answer")])
    net.with_passphrase([program(net, "warren-den"), "router", "remove", net.path("router2/router.request"), "--config", conf(net), "--root-key",
                         root_key(net)])
    heard(net, 0)
    check_owners(net)


@as_root
def a_link_that_dens_user_laid_leads_nowhere(net):
    """What root writes in den's folder is written by den's user."""
    victim = net.path("root/victim")
    with open(victim, "w", encoding="ascii") as f:
        f.write("untouched\n")
    os.chmod(victim, 0o600)
    os.chmod(net.path("root"), 0o711)
    os.unlink(net.path("den/rollover.lock"))
    os.symlink(victim, net.path("den/rollover.lock"))
    done = rollover(net, "renew", wanted=1)
    tap.check_in("rollover.lock", done.stderr)
    os.unlink(net.path("den/rollover.lock"))
    os.symlink(victim, net.path("den/root.request"))
    with open(net.path("root/none.response"), "w", encoding="ascii"):
        pass
    said = run([program(net, "warren-den"), "rollover", "stage", "--config", conf(net), "--response", net.path("root/none.response")], wanted=1).stderr
    tap.check_in("root.request", said)
    os.unlink(net.path("root/none.response"))
    os.unlink(net.path("den/root.request"))
    with open(victim, encoding="ascii") as f:
        tap.check(f.read() == "untouched\n", "it was written")


@as_root
def den_conf_does_not_lead_root_elsewhere(net):
    """It is in the hands of den's user, who is to get neither keys of the signer's nor files of root's."""
    with open(conf(net), encoding="ascii") as f:
        text = f.read()

    def told(change):
        with open(net.path("den/other.conf"), "w", encoding="ascii") as f:
            f.write(change(text))
        os.chown(net.path("den/other.conf"), DEN.pw_uid, DEN.pw_gid)
        return run([program(net, "warren-den"), "rollover", "stage", "--config", net.path("den/other.conf"), "--root-key", root_key(net)], wanted=1).stderr

    os.mkdir(net.path("trap"), 0o700)
    own(net.path("trap"), DEN)
    tap.check_in("belongs to den's own user", told(lambda t: t.replace(f"signer_folder = {net.path('den-signer')}", f"signer_folder = {net.path('trap')}")))
    tap.check_in("root does not go where somebody else points",
                 told(lambda t: f"{t}state = {net.path('root')}\n"))
    tap.check(sorted(os.listdir(net.path("root"))) == ["root.2.key", "root.key", "signed", "victim"], str(os.listdir(net.path("root"))))
    tap.check(os.listdir(net.path("trap")) == [], "a key was put into the trap")


tap.main(make=make)
