#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGHUP and systemd: a router takes other files while it runs, and says how it is."""
import os
import re
import shutil
import signal
import socket
import ssl

import network
import tap
from lone import REALM, REALMS, figure, prepare, start, write
from network import PATIENCE, Failed, run
from wamp import Session


def reload(router, event=r"event=reloaded "):
    seen = len(router.err)
    router.process.send_signal(signal.SIGHUP)
    return router.wait_line(router.err, event, seen)


def config(router, *changes):
    """Rewrites router.conf."""
    path = os.path.join(router.home, "router.conf")
    with open(path, encoding="ascii") as f:
        text = f.read()
    for pattern, to in changes:
        text, n = re.subn(pattern, to, text)
        tap.check(n == 1, f"{pattern}: {n} times in router.conf")
    write(router.home, "router.conf", text)
    return text


def ping(session):
    """A whole call through the router, of a session to itself."""
    session.ask(48, {}, "com.example.echo", [1])
    session.send([70, session.expect(68)[1], {}, [1]])
    session.expect(50)


@tap.test
def a_reload_drops_no_session(net):
    router = start(net, "kept", "call_timeout = 60s\n")
    session = Session(router.port, "wamp.2.msgpack", REALM)
    session.register("com.example.echo")
    config(router, (r"(?m)^call_timeout = 60s", "call_timeout = 1s"))
    write(router.home, "realms.conf", REALMS + "[realm app.more]\nmethods = anonymous\n")
    tap.check_in("realms=3", reload(router))
    ping(session)
    Session(router.port, "wamp.2.json", "app.more")
    session.ask(48, {}, "com.example.echo")  # nobody answers: the new patience counts
    session.expect(68)
    tap.check(session.expect(8)[4] == "wamp.error.timeout", "call_timeout was reloaded")
    tap.check(figure(router, 'warren_router_reloads_total{result="ok"}') == 1, "counted")
    tap.check(figure(router, 'warren_router_sessions_ended_total{by="router"}') == 0, "nobody was dismissed")


@tap.test
def a_bad_file_keeps_the_old_one_and_says_where(net):
    router = start(net, "bad")
    session = Session(router.port, "wamp.2.msgpack", REALM)
    session.register("com.example.echo")
    good = config(router)
    cases = [
        ("router.conf", good + "call_timeout = soon\nnonsense = 1\n", r"router\.conf:\d+: call_timeout: expected", r"unknown key \S*nonsense"),
        ("router.conf", good + "call_timeout = 1ms\n", r"router\.conf:\d+: call_timeout: expected 100", None),
        ("realms.conf", "[realm app.test]\nmethods = magic\n", r"realms\.conf:1: .*methods: expected", None),
    ]
    before = len(router.err)
    for name, text, first, second in cases:
        old = good if name == "router.conf" else REALMS
        write(router.home, name, text)
        seen = len(router.err)
        reload(router, r"event=reload_failed .*" + first)
        if second:
            router.wait_line(router.err, r"event=reload_failed .*" + second, seen)
        ping(session)
        Session(router.port, "wamp.2.json", REALM).close()
        write(router.home, name, old)
    tap.check(not router.find(router.err, "event=reloaded", before), "nothing was taken")
    tap.check(figure(router, 'warren_router_reloads_total{result="failed"}') == 3, "counted")
    reload(router)
    os.chmod(os.path.join(router.home, "tls.key"), 0o644)
    reload(router, r"event=reload_failed .*tls\.key")
    ping(session)


@tap.test
def what_needs_a_restart_is_named(net):
    router = start(net, "start")
    seen = len(router.err)
    config(router, (r"listen = 127.0.0.1:0", "listen = 127.0.0.1:1"), (r"#max_queue = .*", "max_queue = 2MiB"),
           (r"#echo = .*", "echo = yes"))
    reload(router)
    line = router.wait_line(router.err, r"event=needs_restart", seen)
    tap.check_in('options="listen echo max_queue"', line)
    Session(router.port, "wamp.2.json", REALM)


@tap.test
def who_could_not_come_in_again_is_told_and_goes(net):
    people = "".join(f"[principal {name}]\nrole = staff\nticket = {name}-ticket\n" for name in ("ann", "bob", "cy", "dora"))
    realms = "[realm app.test]\nmethods = anonymous\n[realm app.staff]\nmethods = ticket\nprincipals = staff.conf\n" \
             "[realm app.gone]\nmethods = anonymous\n"
    write(net.path("router"), "staff.conf", people, 0o600)
    router = start(net, "people", realms=realms)
    os.remove(net.path("router/staff.conf"))
    ann, bob, cy, dora = (ticket(router.port, name) for name in ("ann", "bob", "cy", "dora"))
    gone, guest = Session(router.port, "wamp.2.json", "app.gone"), Session(router.port, "wamp.2.json", REALM)
    people = re.sub(r"\[principal bob\]\n.*\n.*\n", "", people)
    people = people.replace("[principal cy]\nrole = staff", "[principal cy]\nrole = chief").replace("dora-ticket", "other")
    write(router.home, "staff.conf", people, 0o600)
    write(router.home, "realms.conf", realms[:realms.index("[realm app.gone]")])
    reload(router)
    for session, why in ((bob, "this principal was removed"), (cy, "this principal has another role now"),
                         (dora, "this principal has another secret now"), (gone, "this realm was removed")):
        goodbye = session.expect(6)
        tap.check(goodbye[2] == "network.close.removed" and goodbye[1]["message"] == why, f"{goodbye} wanted {why}")
        tap.check("_warren_retry_after" not in goodbye[1], str(goodbye))
    for session in (ann, guest):
        session.register("com.example.echo")
        ping(session)
    try:
        Session(router.port, "wamp.2.json", "app.gone")
        raise AssertionError("the realm is still served")
    except Failed as e:
        tap.check_in("no_such_realm", str(e))
    for _ in range(3):  # realms that went come and go again
        write(router.home, "realms.conf", realms)
        reload(router)
        session = Session(router.port, "wamp.2.json", "app.gone")
        write(router.home, "realms.conf", REALMS)
        reload(router)
        session.expect(6)
    tap.check(ann.expect(6)[1]["message"] == "this realm was removed", "ann's realm")
    tap.check(router.stop() == 0, "exit status")


def ticket(port, name):
    """A session by ticket."""
    session = Session.__new__(Session)
    expect = Session.expect

    def with_ticket(self, kind):
        if kind == 2:
            expect(self, 4)
            self.send([5, f"{name}-ticket", {}])
            self.expect = expect.__get__(self)
        return expect(self, kind)
    send = Session.send

    def with_name(self, *messages):
        if messages[0][0] == 1:
            messages[0][2]["authid"] = name
            self.send = send.__get__(self)
        return send(self, *messages)
    session.expect, session.send = with_ticket.__get__(session), with_name.__get__(session)
    session.__init__(port, "wamp.2.json", "app.staff", "ticket")
    return session


class Listener:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, net, name):
        self.path = net.path(name)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(PATIENCE)
        self.said = []

    def hear(self, word):
        while True:
            self.said.append(self.sock.recv(4096).decode())
            if word in self.said[-1].split("\n"):
                return self.said[-1]


@tap.test
def systemd_is_told(net):
    listener = Listener(net, "notify")
    router = start(net, "told", env={**os.environ, "NOTIFY_SOCKET": listener.path, "WATCHDOG_USEC": "200000"})
    tap.check_in("STATUS=serving", listener.hear("READY=1"))
    for _ in range(3):
        listener.hear("WATCHDOG=1")
    listener.said.clear()
    reload(router)
    tap.check_in("MONOTONIC_USEC=", listener.hear("RELOADING=1"))
    listener.hear("READY=1")
    router.process.send_signal(signal.SIGSTOP)  # the loop does not turn
    listener.sock.settimeout(0.01)
    try:
        while True:
            listener.sock.recv(4096)
    except TimeoutError:
        pass
    listener.sock.settimeout(1)
    try:
        raise AssertionError(f"it was stopped and said {listener.sock.recv(4096)}")
    except TimeoutError:
        pass
    listener.sock.settimeout(PATIENCE)
    router.process.send_signal(signal.SIGCONT)
    listener.hear("WATCHDOG=1")
    router.process.send_signal(signal.SIGTERM)
    listener.hear("STOPPING=1")
    tap.check(router.wait() == 0, "exit status")


@tap.test
def systemd_is_told_over_an_abstract_socket_too(net):
    listener = Listener.__new__(Listener)
    listener.sock, listener.said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), []
    listener.sock.bind(f"\0warren-{os.getpid()}")
    listener.sock.settimeout(PATIENCE)
    start(net, "abstract", env={**os.environ, "NOTIFY_SOCKET": f"@warren-{os.getpid()}"})
    listener.hear("READY=1")


@tap.test
def the_unit_is_well_formed_and_hardened(net):
    """Verified with the router that was built, as root: its user is not there before it is installed."""
    if not shutil.which("systemd-analyze"):
        raise tap.Skip("no systemd-analyze")
    with open(os.path.join(net.build, "router", "warren-router.service"), encoding="ascii") as f:
        unit = f.read()
    folder = net.path("unit")
    os.mkdir(folder)
    path = os.path.join(folder, "warren-router.service")
    verdict = run(["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=25",
                   os.path.join(net.build, "router", "warren-router.service")], wanted=None)
    found = re.search(r"exposure level for \S+: (\S+)", verdict.stdout)
    if not found:
        raise tap.Skip(f"systemd-analyze judges nothing here: {verdict.stderr.strip()}")
    print(f"# systemd-analyze security: {found.group(1)} of 10")
    tap.check(float(found.group(1)) <= 2.5, found.group(0))
    unit = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=" + net.program("warren-router"), unit)
    unit = re.sub(r"(?m)^(User|Group|Documentation)=.*\n", "", unit)
    write(folder, "warren-router.service", unit)
    shutil.copy(os.path.join(network.ROOT, "router", "warren-router.socket"), folder)
    edit = re.compile(r"(?m)^Documentation=.*\n")
    with open(os.path.join(folder, "warren-router.socket"), encoding="ascii") as f:
        write(folder, "warren-router.socket", edit.sub("", f.read()))
    done = run(["systemd-analyze", "verify", path, os.path.join(folder, "warren-router.socket")], wanted=None)
    tap.check(done.returncode == 0 and not done.stderr, done.stderr)



@tap.test
def a_renewed_certificate_is_for_new_sessions(net):
    router = start(net, "renewed")
    old = Session(router.port, "wamp.2.msgpack", REALM)
    old.register("com.example.echo")
    other = net.path("answered")
    shutil.copytree(net.path("router"), other)
    answer = os.path.join(other, "answer")
    run([net.program("warren-den"), "router", "add", net.path("router/router.request"), "--config", net.path("den/den.conf"), "--answer", answer])
    run([net.program("warren-router"), "accept", other, answer])
    shutil.copy(os.path.join(other, "tls.pem"), os.path.join(router.home, "tls.pem"))
    tap.check(Session(router.port, "wamp.2.json", REALM).sock.getpeercert(True) == old.sock.getpeercert(True), "not before SIGHUP")
    reload(router)
    new = Session(router.port, "wamp.2.json", REALM)
    tap.check(new.sock.getpeercert(True) != old.sock.getpeercert(True), "a new session sees the new certificate")
    ping(old)
    with open(os.path.join(router.home, "tls.pem"), encoding="ascii") as f:
        tap.check(new.sock.getpeercert(True) == ssl.PEM_cert_to_DER_cert(f.read().split("-----END", 1)[0] + "-----END CERTIFICATE-----"), "that one")
    tap.check(figure(router, 'warren_router_sessions_ended_total{by="router"}') == 0, "nobody was dismissed")


@tap.test
def a_signal_while_it_starts_waits_for_it(net):
    home = prepare(net, "early")
    for _ in range(10):
        router = net.start("warren-router", [net.program("warren-router"), "--config", os.path.join(home, "router.conf")])
        router.wait_line(router.err, "event=listening ")
        router.process.send_signal(signal.SIGHUP)
        router.wait_line(router.err, "event=reloaded ")
        tap.check(router.stop() == 0, "exit status")


@tap.test
def names_that_a_realm_opens_follow(net):
    def opened(line):
        write(net.path("router"), "realms.conf", f"[realm reload.test]\n{line}")

    def call(wanted):
        return run(net.warren("bob", "call", "app.echo", "1"), wanted=wanted)
    opened("")
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write("realms = realms.conf\n")
    net.start_router()
    net.start_den()
    for name in ("alice", "bob"):
        net.join(name)
    server = net.warren("alice", "serve", "--loopback", "app.echo", "--", "cat")
    tap.check_in("app.echo", run(server, wanted=4).stderr)
    opened("open = app\n")
    reload(net.router)
    serving = net.start("serve", server, stdin=None)
    serving.wait_line(serving.err, "^serving$")
    call(0)
    opened("")
    reload(net.router)
    tap.check_in("app.echo", call(4).stderr)
    opened("open = app\n")
    reload(net.router)
    call(0)


if __name__ == "__main__":
    network.Network.make = network.Network.init
    tap.main(name="reload.test")
