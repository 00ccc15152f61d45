#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A signer that is there and gives no answer: den goes on with all that needs none, says what fails and why, and works again by itself
when the signer does."""
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drill"))
import crash  # noqa: E402
import tap
from netsign import Netsign, fields_of
from network import PATIENCE, Failed, free_port, run, signer_of


def den(net, *words, wanted=0):
    return run([net.program("warren-den"), *words, "--config", net.path("den/den.conf")], wanted=wanted)


def get(net, path, at=None):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{at or net.http}{path}", timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


class Watch:
    """Asks den's loop again and again for what it has at hand: the longest that it took is the loop's longest pause."""

    def __init__(self, net):
        self.net, self.longest, self.n, self.is_over = net, 0, 0, False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.is_over:
            began = time.monotonic()
            try:
                get(self.net, "/root")
            except OSError:
                return
            self.longest = max(self.longest, time.monotonic() - began)
            self.n += 1
            time.sleep(0.01)

    def end(self):
        self.is_over = True
        self.thread.join(PATIENCE)
        print(f"# den's loop: {self.n} answers, the longest pause {1000 * self.longest:.0f} ms")
        tap.check(not self.thread.is_alive(), "den gives no answer")


class Caller:
    """A session that asks den for the time again and again: den signs it. Every question gets one answer, which is its own."""

    def __init__(self, net):
        self.session = Netsign(net.plain, net.name, net.netid, folder=net.path("probe"))
        self.n_signed, self.refusals, self.longest, self.is_over, self.wrong = 0, [], 0, False, None
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def ask(self):
        nonce, began = os.urandom(16), time.monotonic()
        number = self.session.ask(48, {}, "den.time", [nonce])
        answer = self.session.receive()
        self.longest = max(self.longest, time.monotonic() - began)
        if answer[0] == 50 and answer[1] == number and nonce in fields_of(answer[3][0]):
            self.n_signed += 1
        elif answer[0] == 8 and answer[2] == number and answer[4].endswith("busy"):
            self.refusals.append(str(answer[5:]))
        else:
            self.wrong = f"{number}: {answer}"

    def work(self):
        try:
            while not self.is_over and not self.wrong:
                self.ask()
                time.sleep(0.5)  # den has a limit
        except (Failed, OSError) as e:
            self.wrong = str(e)

    def wait_for(self, condition, what):
        until = time.monotonic() + PATIENCE
        while not condition():
            if self.wrong or time.monotonic() > until:
                raise Failed(f"waited for {what}; {self.wrong or self.refusals[-1:]}")
            time.sleep(0.05)

    def end(self):
        self.is_over = True
        self.thread.join(PATIENCE)
        self.session.close()
        print(f"# requests: {self.n_signed} signed, {len(self.refusals)} refused, the longest wait {1000 * self.longest:.0f} ms")
        tap.check(not self.wrong, self.wrong)


def restart_den(net, *more):
    net.den.stop()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write("".join(line + "\n" for line in more))
    net.start_den()


def make(net):
    net.init()
    net.http, net.figures, net.plain = free_port(), free_port(), free_port()
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write(f"listen_plain = 127.0.0.1:{net.plain}\n")
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"http = 127.0.0.1:{net.http}\nmetrics = 127.0.0.1:{net.figures}\nheartbeat_interval = 1s\n")
    net.start_router()
    net.start_den()
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.join("alice")
    net.join("probe")
    run(["openssl", "x509", "-in", net.path("den/root.pem"), "-outform", "DER", "-out", net.path("root.der")])
    with open(net.path("root.der"), "rb") as f:
        net.netid = hashlib.sha256(f.read()).digest()


def goes_on(net):
    """What needs no signer."""
    for path in ("/crl", "/ca", "/root"):
        tap.check(get(net, path)[0] == 200, path)
    tap.check(re.search(r"(?m)^signer .*: away: den's signer has not answered for \d+ s", den(net, "status").stdout), "the status")
    status, text = get(net, "/health")
    tap.check(status == 503 and b"no heartbeat can be signed, nor anything else: den's signer has not answered" in text, f"{status} {text}")
    tap.check(re.search(rb"(?m)^warren_den_signer_up 0", get(net, "/metrics", net.figures)[1]), "the figures")
    run(net.warren("boss", "admin", "session", "list"))
    tap.check_in(net.ids["alice"], run(net.warren("boss", "admin", "peer", "list")).stdout)


def works(net, name):
    run(net.warren("alice", "name", "claim", "of-" + name))
    net.join(name)
    status, text = get(net, "/health")
    tap.check(status == 200, f"{status} {text}")
    ids = [entry["id"] for entry in json.loads(den(net, "peer", "list", "--json").stdout)]
    tap.check(len(ids) == len(set(ids)) and net.ids[name] in ids, f"{ids}")


def stop_and_go(net, pid, name, looks=lambda net: None):
    """Stopped in the midst of questions, and let go on; what den said meanwhile."""
    seen, watch, caller = len(net.den.err), Watch(net), Caller(net)
    caller.wait_for(lambda: caller.n_signed > 1, "answers")
    os.kill(pid, signal.SIGSTOP)
    try:
        early = net.start("early", net.warren(name, "join"))
        early.write(net.token() + "\n")
        early.end_input()
        tap.check_in("remedy=", net.den.wait_line(net.den.err, r"event=signer\.hangs", seen))
        caller.wait_for(lambda: caller.refusals, "a refusal")
        n_signed, n_refused = caller.n_signed, len(caller.refusals)
        looks(net)
        caller.wait_for(lambda: len(caller.refusals) > n_refused, "refusals")
        tap.check(caller.n_signed == n_signed, "signed by one that was stopped")
    finally:
        os.kill(pid, signal.SIGCONT)
    net.den.wait_line(net.den.err, r"event=signer\.back", seen)
    caller.wait_for(lambda: caller.n_signed > n_signed + 1, "answers after it")
    tap.check(early.wait() == 0, "\n".join(early.err))
    works(net, name + "-late")
    caller.end()
    watch.end()
    for text in caller.refusals:
        tap.check(re.search(r"den.s signer has not answered for \d+ s; den's log says what to do \(signer\.hangs\)", text), text)
    said = net.den.err[seen:]
    for what, most in ((r"event=signer\.hangs", 1), (r"event=signer\.(lost|ready)", 0), (r"event=heartbeat\.failed", 0), (r"event=crl\.failed", 0),
                       (r"event=offline", 0)):
        n = sum(1 for line in said if re.search(what, line))
        tap.check(n <= most, f"{n} times {what}:\n" + "\n".join(said[-20:]))


@tap.test
def den_goes_on_beside_a_child_that_hangs(net):
    stop_and_go(net, signer_of(net.den.process.pid), "bob")


@tap.test
def a_child_that_stays_so_is_replaced_once(net):
    seen, pid = len(net.den.err), signer_of(net.den.process.pid)
    os.kill(pid, signal.SIGSTOP)
    tap.check_in("it hangs", net.den.wait_line(net.den.err, r"event=signer\.lost", seen))
    net.den.wait_line(net.den.err, r"event=signer\.ready", seen)
    tap.check(signer_of(net.den.process.pid) != pid, "the same signer")
    works(net, "carol")
    said = [line for line in net.den.err[seen:] if re.search(r"event=signer\.(lost|hangs|ready)", line)]
    tap.check(len(said) == 3, "\n".join(said))


def wait_heartbeats(net, n):
    """So many more were signed, counted and taken up: each is kept in den's trust."""
    seen, until = set(), time.monotonic() + PATIENCE
    while len(seen) <= n:
        tap.check(time.monotonic() < until, f"{len(seen) - 1} heartbeats:\n" + "\n".join(net.den.err[-8:]))
        with open(net.path("den/trust"), "rb") as f:
            seen.add(f.read())
        time.sleep(0.05)


@tap.test
def one_that_is_only_slow_has_every_heartbeat_signed(net):
    """Its disk takes 1.5 s for each sync: longer than den's loop waits for anybody; from the start, and again after it was quick."""
    faults = crash.Faults(net.build, net.path("faults"), net.path("den/signer."))
    net.den.stop()
    faults.set(crash.SYNC, crash.SLOW, 1500)
    net.start_den(faults.prefix())
    for _ in range(2):
        seen, watch = len(net.den.err), Watch(net)
        faults.set(crash.SYNC, crash.SLOW, 1500)
        wait_heartbeats(net, 4)
        status, text = get(net, "/health")
        tap.check(status == 200, f"{status} {text}")
        watch.end()
        tap.check(faults.n_seen() >= 4, "no sync was slow")
        n = sum("event=signer.hangs" in line for line in net.den.err[seen:])
        tap.check(n <= 1, f"{n} times signer.hangs:\n" + "\n".join(net.den.err[seen:]))
        faults.clear()
        wait_heartbeats(net, 2)
    works(net, "slow")
    net.den.stop()
    net.start_den()


@tap.test
def one_with_a_user_of_its_own_is_waited_for(net):
    net.den.stop()
    argv = [net.program("warren-den-signer"), "run", "--folder", net.path("den"), "--socket", net.path("socket"), "--peer", str(os.getuid())]
    signer = net.start("signer", argv)
    signer.wait_line(signer.err, r"event=signer\.sandbox")
    restart_den(net, f"signer = {net.path('socket')}")
    stop_and_go(net, signer.process.pid, "dave", goes_on)
    tap.check(sum("event=signer.connected" in line for line in signer.err) == 1, "it was reached anew")


@tap.test
def den_does_not_start_beside_one_that_hangs(net):
    signer = next(p for p in net.processes if p.name == "signer")
    net.den.stop()
    os.kill(signer.process.pid, signal.SIGSTOP)
    try:
        done = den(net, "run", wanted=1)
    finally:
        os.kill(signer.process.pid, signal.SIGCONT)
    tap.check_in("has not answered for 10 s", done.stderr)
    tap.check_in("restart its service (warren-den-signer)", done.stderr)
    net.start_den()
    works(net, "erin")


tap.main(make=make)
