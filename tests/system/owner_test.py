#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den has a user of its own, as its unit starts it: root's verbs act there as that user, so that den can open all that they leave."""
import glob
import os
import pwd
import re
import shutil
import struct

import tap
from network import run

# Who has changed its user cannot be traced, and the leak sanitizer traces.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"

DEN = pwd.getpwnam("daemon")
CALL_OPEN, KILL = 4, 255


def program(net):
    """Where den's user can run it: the build may lie in somebody's home."""
    os.makedirs(net.path("bin"), exist_ok=True)
    for name in ("warren-den-signer", "warren-den"):
        copy = net.path("bin", name)
        if not os.path.exists(copy):
            shutil.copy(net.program(name), copy)
            os.chmod(copy, 0o755)
    return copy


def conf(net):
    return net.path("den/den.conf")


def check_owners(net, after):
    for name in os.listdir(net.path("den")):
        st = os.lstat(net.path("den", name))
        tap.check(st.st_uid == DEN.pw_uid and st.st_gid == DEN.pw_gid, f"{after}: {name} belongs to {st.st_uid}:{st.st_gid}")


def den(net, *words, wanted=0, **more):
    done = run([program(net), *words, "--config", conf(net)], wanted=wanted, **more)
    check_owners(net, " ".join(words))
    return done


def as_den(net, *words, **more):
    return run([program(net), *words], user=DEN.pw_uid, group=DEN.pw_gid, extra_groups=[], **more)


def start_den(net):
    net.den = net.start("warren-den", [program(net), "run", "--config", conf(net)], user=DEN.pw_uid, group=DEN.pw_gid, extra_groups=[])
    net.den.wait_line(net.den.err, r"event=online")


def make(net):
    if os.getuid() != 0:
        return
    os.chmod(net.folder, 0o755)
    net.init()
    os.mkdir(net.path("mine"), 0o700)  # root's
    os.rename(net.path("den/root.key"), net.path("mine/root.key"))
    for name in [".", *os.listdir(net.path("den"))]:
        os.chown(net.path("den", name), DEN.pw_uid, DEN.pw_gid)
    net.start_router()


def as_root(test):
    def wrapped(net):
        if os.getuid() != 0:
            raise tap.Skip("not root")
        test(net)
    wrapped.__name__ = test.__name__
    return tap.test(wrapped)


@as_root
def verbs_of_root_leave_den_a_store_that_it_opens(net):
    for words in (("token", "list"), ("audit", "list"), ("audit", "verify"), ("peer", "list"), ("waiting", "list"), ("name", "list"), ("cert", "list"),
                  ("session", "list"), ("policy", "list"), ("policy", "test"), ("check-config",), ("rollover", "status"), ("token", "add")):
        den(net, *words)
    start_den(net)


@as_root
def beside_a_den_that_runs_too(net):
    join = den(net, "token", "add", "--groups", "staff").stdout
    run(net.warren("anna", "join"), input=join)
    who = net.identity("anna")["id"]
    den(net, "peer", "groups", who, "staff,night")
    den(net, "name", "assign", "anna@corp.example", who)
    den(net, "name", "free", "anna@corp.example")
    tap.check_in("night", den(net, "peer", "list").stdout)
    token = re.search(r"^([0-9a-f]{16}) ", den(net, "token", "list").stdout, re.M)[1]
    den(net, "token", "revoke", token)
    run(net.warren("bert", "join"), input=den(net, "token", "add").stdout)
    net.ids["bert"] = net.identity("bert")["id"]
    den(net, "peer", "re-enrol", net.ids["bert"], "--out", net.path("mine/bert.join"))
    den(net, "revoke", "--id", net.ids["bert"])
    tap.check_in("peers", den(net, "status").stdout)
    den(net, "policy", "diff", net.path("den/policy.yaml"))
    net.den.stop()
    check_owners(net, "den ended")


@as_root
def what_the_operator_named_is_the_operators(net):
    den(net, "token", "add", "--out", net.path("mine/new.join"))
    den(net, "backup", net.path("mine/plain"), "--plain")
    den(net, "backup", net.path("mine/sealed"), "--passphrase-fd", "0", input="the backup's passphrase\n")
    for name in ("bert.join", "new.join", "plain", "sealed"):
        st = os.stat(net.path("mine", name))
        tap.check(st.st_uid == 0 and st.st_mode & 0o777 == 0o600, f"{name}: {st.st_uid}, {st.st_mode:o}")
    with open(net.path("mine/rules.yaml"), "w", encoding="ascii") as f:
        f.write("rules:\n")
    os.chmod(net.path("mine/rules.yaml"), 0o600)
    den(net, "policy", "diff", net.path("mine/rules.yaml"))
    tap.check(sorted(os.listdir(net.path("mine"))) == ["bert.join", "new.join", "plain", "root.key", "rules.yaml", "sealed"], "a copy was left")


@as_root
def killed_at_any_file_that_it_opens_it_leaves_nothing_of_roots(net):
    library = os.path.abspath(os.path.join(net.build, "tests/system/libfaults.so"))
    n_killed = 0
    for after in range(100):
        with open(net.path("faults"), "wb") as f:
            f.write(struct.pack("=6I", CALL_OPEN, KILL, after, 1, 0, 0))
        os.chmod(net.path("faults"), 0o666)
        den(net, "token", "add", wanted=None, env={**os.environ, "LD_PRELOAD": library, "FAULTS": net.path("faults"), "FAULTS_UNDER": net.folder})
        with open(net.path("faults"), "rb") as f:
            if struct.unpack("=6I", f.read())[5] == 0:
                break
        n_killed += 1
        as_den(net, "token", "list", "--config", conf(net))
    tap.check(n_killed >= 3, f"killed {n_killed} times only")


@as_root
def keys_and_store_go_on_being_dens(net):
    run([program(net), "restore", net.path("mine/plain"), net.path("den"), "--replace"])
    check_owners(net, "restore")
    tap.check(glob.glob(net.path("den/den.db.replaced-*")) != [], "the store before is gone")
    old, new = (net.path("mine", name) for name in ("old", "new"))
    for path in (old, new):
        with open(path, "w", encoding="ascii") as f:
            f.write("a passphrase of den's keys\n")
    with open(old, encoding="ascii") as f, open(new, encoding="ascii") as g:
        den(net, "passphrase", "--new-passphrase-fd", str(g.fileno()), pass_fds=[f.fileno(), g.fileno()])
    with open(old, encoding="ascii") as f:
        den(net, "passphrase", "--remove", "--passphrase-fd", str(f.fileno()), pass_fds=[f.fileno()])


@as_root
def a_configuration_of_somebody_elses_leads_root_nowhere(net):
    with open(conf(net), encoding="ascii") as f:
        text = f.read()
    with open(net.path("trap.conf"), "w", encoding="ascii") as f:
        f.write(f"{text}state = {net.path('den')}\n")
    os.chown(net.path("trap.conf"), pwd.getpwnam("nobody").pw_uid, -1)
    os.chmod(net.path("trap.conf"), 0o600)
    before = os.stat(net.path("den/den.db")).st_mtime_ns
    for words in (("token", "add"), ("peer", "list"), ("backup", net.path("mine/trap"), "--plain")):
        run([program(net), *words, "--config", net.path("trap.conf")], wanted=1)
    tap.check(os.stat(net.path("den/den.db")).st_mtime_ns == before and not os.path.exists(net.path("mine/trap")), "it was followed")


tap.main(make=make)
