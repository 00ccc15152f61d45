#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The process that has the authority's keys: started by den or with a user of its own, and what it refuses."""
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import threading

import tap
from fakeden import FakeDen, attacks
from hardening import weak_spots
from nacl.signing import SigningKey
from network import ROOT, run, signer_of


def config(net):
    return net.path("den/den.conf")


def den(net, *words, wanted=0):
    return run([net.program("warren-den"), *words, "--config", config(net)], wanted=wanted)


def start_signer(net, folder, peer=None, **more):
    signer = net.start("signer", [net.program("warren-den-signer"), "run", "--folder", folder, "--socket", net.path("socket"), "--peer",
                                  peer or str(os.getuid())], **more)
    signer.wait_line(signer.err, r"event=signer\.sandbox")
    return signer


def taken(net, peer_id):
    """Whether the signer has another key for that ID than a new one."""
    fake = FakeDen(net.path("socket"))
    outcome = fake.claim(peer_id, bytes(SigningKey.generate().verify_key))
    fake.close()
    return outcome == 1


@tap.test
def den_alone_speaks_to_systemd(net):
    """The signer that it starts leaves that to it: systemd warns of others."""
    net.den.stop()
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(net.path("notify"))
    told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    os.environ["NOTIFY_SOCKET"] = net.path("notify")
    try:
        net.start_den()
    finally:
        del os.environ["NOTIFY_SOCKET"]
    told.settimeout(1)
    senders = {}
    try:
        while True:
            data, more, _, _ = told.recvmsg(4096, 256)
            senders.setdefault(struct.unpack("iii", more[0][2][:12])[0], []).append(data)
    except TimeoutError:
        pass
    told.close()
    tap.check(set(senders) == {net.den.process.pid} and any(b"READY=1" in data for data in senders[net.den.process.pid]), str(senders))
    net.den.stop()
    net.start_den()


@tap.test
def programs_are_built_hard(net):
    for name in ("warren-router", "warren-den", "warren-den-signer", "warren"):
        weak = weak_spots(net.program(name))
        tap.check(not weak, f"{name}: {weak}")
    linked = run(["ldd", net.program("warren-den-signer")]).stdout
    for library in ("libwebsockets", "libuv", "libssl", "libsqlite", "libglib"):
        tap.check(library not in linked, f"the signer is linked with {library}:\n{linked}")


@tap.test
def units_are_well_formed_and_hardened(net):
    if not shutil.which("systemd-analyze"):
        raise tap.Skip("no systemd-analyze")
    folder = net.path("units")
    os.mkdir(folder)
    for name, most in (("warren-den", 2.5), ("warren-den-signer", 1.0)):
        path = os.path.join(net.build, "den", name + ".service")
        verdict = run(["systemd-analyze", "security", "--offline=yes", "--no-pager", path], wanted=None)
        found = re.search(r"exposure level for \S+: (\S+)", verdict.stdout)
        if not found:
            raise tap.Skip(f"systemd-analyze judges nothing here: {verdict.stderr.strip()}")
        print(f"# {found.group(0)}")
        tap.check(float(found.group(1)) <= most, found.group(0))
        with open(path, encoding="ascii") as f:
            unit = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=" + net.program(name), f.read())
        with open(os.path.join(folder, name + ".service"), "w", encoding="ascii") as f:
            f.write(re.sub(r"(?m)^(User|Group|Documentation)=.*\n", "", unit))
    with open(os.path.join(ROOT, "den/warren-den-signer.socket"), encoding="ascii") as f:
        unit = re.sub(r"(?m)^(SocketUser|Documentation)=.*\n", "", f.read())
    with open(os.path.join(folder, "warren-den-signer.socket"), "w", encoding="ascii") as f:
        f.write(unit)
    done = run(["systemd-analyze", "verify", *(os.path.join(folder, name) for name in sorted(os.listdir(folder)))], wanted=None)
    tap.check(done.returncode == 0 and not done.stderr, done.stderr)


@tap.test
def den_starts_one_and_starts_it_again(net):
    net.join("alice")
    seen = len(net.den.err)
    ready = net.den.wait_line(net.den.err, r"event=signer\.ready")
    tap.check_in("core_dumps=off", ready)
    os.kill(signer_of(net.den.process.pid), signal.SIGKILL)
    tap.check_in("SIGKILL", net.den.wait_line(net.den.err, r"event=signer\.lost", seen))
    net.den.wait_line(net.den.err, r"event=signer\.ready", seen)
    net.join("bob")


@tap.test
def a_den_that_was_taken_over_gets_nothing_for_a_known_id(net):
    net.den.stop()
    signer = start_signer(net, net.path("den"))
    tap.check(taken(net, net.ids["alice"]), "alice's ID was to be had")
    run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", net.path("k.pem"), "-subj", "/",
         "-outform", "DER", "-out", net.path("csr.der")])
    with open(net.path("csr.der"), "rb") as f:
        csr = f.read()
    fake = FakeDen(net.path("socket"))
    # On a copy it may do what it wants: numbers that it raised would stay raised.
    wrong = [f"{what}: {why}" for what, why in attacks(fake, csr, net.name.encode()) if why]
    tap.check(not wrong, "\n".join(wrong))
    fake.close()
    signer.stop()


def make_apart(net):
    """Its own folder and network: the one before has numbers that somebody raised."""
    net.router.stop()
    run(["rm", "-rf", net.path("den"), net.path("router"), net.path("alice"), net.path("bob")])
    net.make()
    net.join("alice")


@tap.test
def a_folder_from_before_gets_its_book(net):
    make_apart(net)
    serial = run(["openssl", "x509", "-serial", "-noout", "-in", net.path("den/intermediate.pem")]).stdout
    tap.check(serial, "no intermediate")
    den(net, "revoke", "--id", net.ids["alice"])
    net.den.wait_line(net.den.err, r"event=revocations\.taken")
    net.join("bob")
    net.den.stop()
    for name in ("book", "numbers", "orders"):
        os.unlink(net.path(f"den/signer.{name}"))
    net.start_den()
    net.den.wait_line(net.den.err, r"event=signer\.book\.made")
    net.join("carol")
    net.den.stop()
    signer = start_signer(net, net.path("den"))
    for name in ("alice", "bob", "carol"):
        tap.check(taken(net, net.ids[name]), f"the ID of {name} was to be had")
    fake = FakeDen(net.path("socket"))
    tap.check(fake.n_revoked >= 1 and fake.hb_no > 1, f"{fake.n_revoked} revocations, heartbeat {fake.hb_no}")
    fake.close()
    signer.stop()
    net.start_den()


@tap.test
def a_book_that_is_lost_or_damaged_is_said(net):
    net.den.stop()
    with open(net.path("den/signer.book"), "r+b") as f:
        data = f.read()
        f.seek(20)
        f.write(b"0" if data[20:21] != b"0" else b"1")
    done = run([net.program("warren-den"), "run", "--config", config(net)], wanted=1)
    tap.check(re.search(r"signer\.book: line 1 is damaged", done.stderr), done.stderr)
    with open(net.path("den/signer.book"), "wb") as f:
        f.write(data)
    net.start_den()


REMEDY = "LOST FILES in warren-den-signer(8) says how it is made again"


@tap.test
def numbers_or_orders_that_are_lost_are_made_again_as_the_manual_says(net):
    run_den = [net.program("warren-den"), "run", "--config", config(net)]
    net.den.stop()
    for damaged in (None, b"x" * 1024):
        os.unlink(net.path("den/signer.numbers"))
        if damaged:
            with open(net.path("den/signer.numbers"), "wb") as f:
                os.fchmod(f.fileno(), 0o600)
                f.write(damaged)
        done = run(run_den, wanted=1)
        tap.check_in("signer.numbers: " + ("damaged" if damaged else "No such file"), done.stderr)
        tap.check_in(REMEDY, done.stderr)
        os.rename(net.path("den/signer.book"), net.path("den/signer.book.old"))
        net.start_den()
        net.den.wait_line(net.den.err, r"event=signer\.book\.made")
        net.join("numbers-damaged" if damaged else "numbers-lost")
        net.den.stop()
    join = den(net, "peer", "re-enrol", net.ids["numbers-lost"]).stdout
    os.unlink(net.path("den/signer.orders"))
    done = run(run_den, wanted=1)
    tap.check_in("signer.orders: No such file", done.stderr)
    tap.check_in(REMEDY, done.stderr)
    run(["install", "-m", "0600", "/dev/null", net.path("den/signer.orders")])
    net.start_den()
    tap.check_in("no operator has ordered a new key", run(net.warren("forgotten", "join"), input=join, wanted=1).stderr)
    run(net.warren("again", "join"), input=den(net, "peer", "re-enrol", net.ids["numbers-lost"]).stdout)
    tap.check(net.identity("again")["id"] == net.ids["numbers-lost"], "another ID")


@tap.test
def numbers_that_are_lost_in_a_folder_of_its_own_are_made_again(net):
    net.den.stop()
    folder, socket_at = net.path("own"), net.path("own.socket")
    split = [net.program("warren-den"), "signer", "split", folder, "--config", config(net), "--socket", socket_at]

    def start():
        signer = net.start("signer", [net.program("warren-den-signer"), "run", "--folder", folder, "--socket", socket_at, "--peer", str(os.getuid())])
        signer.wait_line(signer.err, r"event=signer\.sandbox")
        return signer
    with open(config(net), encoding="ascii") as f:
        before = f.read()
    run(split)
    os.unlink(os.path.join(folder, "signer.numbers"))
    done = run([net.program("warren-den-signer"), "run", "--folder", folder, "--socket", socket_at, "--peer", str(os.getuid())], wanted=1)
    tap.check_in(REMEDY, done.stderr)
    os.rename(folder, folder + ".old")
    for path in (*glob.glob(folder + ".old/*.key"), folder + ".old/signer.orders"):
        shutil.copy2(path, net.path("den"))
    with open(config(net), "w", encoding="ascii") as f:
        f.write(before)
    run(split)
    signer = start()
    net.start_den()
    net.join("own-folder")
    net.den.stop()
    signer.stop()
    for path in glob.glob(folder + "/*"):  # back, for the tests that follow
        shutil.copy2(path, net.path("den"))
    with open(config(net), "w", encoding="ascii") as f:
        f.write(before)
    net.start_den()


@tap.test
def keys_under_a_passphrase_are_opened_once(net):
    def with_passphrase(option, *words, start=False):
        fd, ours = os.pipe()
        os.write(ours, b"correct horse")
        os.close(ours)
        argv = [net.program("warren-den"), *words, "--config", config(net), option, str(fd)]
        done = net.start("warren-den", argv, pass_fds=[fd]) if start else run(argv, pass_fds=[fd])
        os.close(fd)
        return done
    net.den.stop()
    with_passphrase("--new-passphrase-fd", "passphrase")
    locked = with_passphrase("--passphrase-fd", "run", start=True)
    locked.wait_line(locked.err, r"event=online")
    os.kill(signer_of(locked.process.pid), signal.SIGKILL)
    tap.check(locked.wait() == 1, "den went on without a signer")
    tap.check_in("its keys are under a passphrase", "\n".join(locked.err))
    with_passphrase("--passphrase-fd", "passphrase", "--remove")
    net.start_den()


def readable(net):
    """The program where its user can run it: the build may lie in somebody's home."""
    copy = net.path("warren-den-signer")
    if not os.path.exists(copy):
        shutil.copy(net.program("warren-den-signer"), copy)
        os.chmod(copy, 0o755)
    return copy


@tap.test
def it_has_a_user_of_its_own(net):
    net.den.stop()
    folder, user = net.path("signer"), "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    uid = pwd.getpwnam(user).pw_uid
    os.chmod(net.folder, 0o711)
    os.mkdir(net.path("run"))
    os.chown(net.path("run"), uid, -1)
    for name in ("sign.9.key", "manifests"):  # as a rollover leaves them: its keys go along
        tap.check(not os.path.exists(net.path("den", name)), f"{name} is there")
    with open(net.path("den/sign.key"), "rb") as f, open(net.path("den/sign.9.key"), "wb") as g:
        g.write(f.read())
    os.chmod(net.path("den/sign.9.key"), 0o600)
    net.socket = net.path("run/socket")
    done = run([net.program("warren-den"), "signer", "split", folder, "--config", config(net), "--user", user, "--socket", net.socket])
    tap.check_in("--peer USER-OF-DEN", done.stdout)
    for name in ("sign.key", "sign.9.key", "intermediate.key", "signer.book"):
        st = os.stat(os.path.join(folder, name))
        tap.check(st.st_uid == uid and st.st_mode & 0o777 == 0o600, f"{name}: {st}")
        tap.check(not os.path.exists(net.path("den", name)), f"den still has {name}")
    done = run([net.program("warren-den"), "signer", "split", folder, "--config", config(net)], wanted=1)
    tap.check_in("done already", done.stderr)
    done = run([net.program("warren-den"), "run", "--config", config(net)], wanted=1)
    tap.check_in(net.socket, done.stderr)  # it is not there, and that is said

    def start():
        more = {"user": uid} if os.getuid() == 0 else {}
        signer = net.start("signer", [readable(net), "run", "--folder", folder, "--socket", net.socket, "--peer", str(os.getuid())],
                           **more)
        signer.wait_line(signer.err, r"event=signer\.sandbox")
        return signer
    net.start_signer = start
    net.signer = start()
    net.start_den()
    net.join("dave")
    with open(f"/proc/{net.signer.process.pid}/status", encoding="ascii") as f:
        tap.check(re.search(rf"^Uid:\t{uid}\t", f.read(), re.M), "another user")


@tap.test
def a_second_one_leaves_the_socket_where_it_is(net):
    before = os.stat(net.socket)
    argv = [readable(net), "run", "--folder", net.path("signer"), "--socket", net.socket, "--peer", str(os.getuid())]
    more = {"user": before.st_uid} if os.getuid() == 0 else {}
    tap.check_in("another process has it open", run(argv, wanted=1, **more).stderr)
    tap.check(os.stat(net.socket).st_ino == before.st_ino, "the socket is another one")


@tap.test
def root_splits_the_folder_of_another_user(net):
    if os.getuid() != 0:
        raise tap.Skip("not root")
    uid = pwd.getpwnam("nobody").pw_uid
    home, folder = net.path("theirs"), net.path("their-signer")
    run([net.program("warren-den"), "init", home, "--network", "theirs.example", "--router-request", net.path("router/router.request"),
         "--root-passphrase-fd", "0"], input="words of the root\n")
    for name in [".", *os.listdir(home)]:
        os.chown(os.path.join(home, name), uid, -1)
    run([net.program("warren-den"), "signer", "split", folder, "--config", os.path.join(home, "den.conf"), "--user", "nobody"])
    wrong = [name for name in os.listdir(home) if os.stat(os.path.join(home, name)).st_uid != uid]
    tap.check(not wrong, f"root's now: {wrong}")
    tap.check(os.path.exists(os.path.join(folder, "signer.book")), "there is no book")


@tap.test
def den_waits_for_one_that_is_away(net):
    seen = len(net.den.err)
    net.signer.kill()
    net.den.wait_line(net.den.err, r"event=signer\.lost", seen)
    erin = net.start("erin", net.warren("erin", "join"))
    erin.write(net.token() + "\n")
    erin.end_input()
    net.den.wait_line(net.den.err, r"event=refused procedure=den\.identity\.admit .*code=busy", seen)
    net.signer = net.start_signer()
    tap.check(erin.wait() == 0, "\n".join(erin.err))
    net.den.wait_line(net.den.err, r"event=signer\.ready", seen)
    net.join("frank")


@tap.test
def a_new_key_needs_the_operators_order_there_too(net):
    done = den(net, "peer", "re-enrol", net.ids["dave"])
    order = re.search(r"warren-den-signer allow (\d+) ([0-9a-f]{64}) --folder \S+ --expires \S+", done.stderr)
    tap.check(order, done.stderr)
    refused = run(net.warren("dave2", "join"), input=done.stdout, wanted=1)
    tap.check_in("not_authorized", refused.stderr)
    net.signer.wait_line(net.signer.err, r"event=signer\.refused.*no operator has ordered")
    more = {"user": pwd.getpwnam("nobody").pw_uid} if os.getuid() == 0 else {}
    run([readable(net), "allow", order.group(1), order.group(2), "--folder", net.path("signer")], **more)
    run(net.warren("dave2", "join"), input=done.stdout)
    tap.check(net.identity("dave2")["id"] == net.ids["dave"], "another ID")
    done = den(net, "peer", "re-enrol", net.ids["dave"])
    token = re.search(r"warren-den-signer allow \d+ ([0-9a-f]{64}) ", done.stderr).group(1)
    run([readable(net), "allow", net.ids["dave"], token, "--folder", net.path("signer")], **more)
    done = den(net, "token", "revoke", token[:16])
    tap.check_in(f"warren-den-signer disallow {token} --folder", done.stderr)
    run([readable(net), "disallow", token, "--folder", net.path("signer")], **more)
    with open(net.path("signer/signer.orders"), encoding="ascii") as f:
        tap.check_in(f"end {token}", f.read())
    tap.check_in("was revoked before, at ", den(net, "token", "revoke", token[:16]).stdout)


@tap.test
def it_notices_a_den_that_was_taken_back(net):
    """All of den's folder is older, and the router is away: the signer's own folder is not."""
    net.den.stop()
    run(["cp", "-a", net.path("den"), net.path("older")])
    net.start_den()
    net.join("gina")
    net.den.stop()
    run(["rm", "-rf", net.path("den")])
    run(["mv", net.path("older"), net.path("den")])
    done = run([net.program("warren-den"), "run", "--config", config(net)], wanted=1)
    tap.check_in("signer's numbers", done.stderr)
    net.den = net.start("warren-den", [net.program("warren-den"), "run", "--config", config(net), "--accept-rollback"])
    net.den.wait_line(net.den.err, r"event=rollback\.accepted")
    net.den.wait_line(net.den.err, r"event=online")
    run(net.warren("gina", "name", "list"))  # who joined since is known by its key, and gets its ID again
    net.join("henry")


def speak_as_older(path):
    """A signer from before an upgrade; it sends its one den away."""
    def put(text):
        return struct.pack(">I", len(text)) + text

    def work():
        conn, _ = listener.accept()
        conn.recv(64)
        answer = b"\x01" + put(b"bad_wire") + put(b"version 4 was asked for; this signer speaks 3")
        conn.sendall(struct.pack(">I", len(answer)) + answer)
        conn.recv(64)
        conn.close()
        listener.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@tap.test
def one_of_another_version_is_said_with_what_to_do(net):
    net.den.stop()
    with open(config(net), encoding="ascii") as f:
        before = f.read()
    with open(config(net), "w", encoding="ascii") as f:
        f.write(re.sub(r"(?m)^signer = .*$", f"signer = {net.path('older-signer')}", before))
    older = speak_as_older(net.path("older-signer"))
    done = run([net.program("warren-den"), "run", "--config", config(net)], wanted=1)
    older.join()
    tap.check_in("this signer speaks 3", done.stderr)
    tap.check_in("install both from one, restart the signer's service (warren-den-signer), then den", done.stderr)
    tap.check("restore" not in done.stderr, done.stderr)
    with open(config(net), "w", encoding="ascii") as f:
        f.write(before)
    net.start_den()


@tap.test
def a_router_needs_it_too(net):
    run(["sed", "-i", "/^signer_folder/d", config(net)])  # else root gives the order by itself
    run([net.program("warren-router"), "init", net.path("router2"), "--host", f"{net.host}:{net.port + 1}"])
    net.den.stop()
    words = [net.program("warren-den"), "router", "add", net.path("router/router.request"), "--config", config(net)]
    run([*words, "--answer", net.path("answer1")])  # the key that it has had since the beginning
    fd, ours = os.pipe()
    os.write(ours, net.root_passphrase.encode())
    os.close(ours)
    done = run([net.program("warren-den"), "router", "add", net.path("router2/router.request"), "--config", config(net), "--answer",
                net.path("answer2"), "--root-passphrase-fd", str(fd)], wanted=1, pass_fds=[fd])
    os.close(fd)
    order = re.search(r"warren-den-signer allow-router ([0-9a-f]{64})", done.stderr)
    tap.check(order, done.stderr)
    more = {"user": pwd.getpwnam("nobody").pw_uid} if os.getuid() == 0 else {}
    run([readable(net), "allow-router", order.group(1), "--folder", net.path("signer")], **more)
    run([net.program("warren-den"), "router", "add", net.path("router2/router.request"), "--config", config(net), "--answer", net.path("answer2")])
    tap.check(os.path.exists(net.path("answer2")), "no answer")


tap.main()
