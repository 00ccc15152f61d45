#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""revoked but connected: the router, OCSP, the list, live links and new ones; and a certificate that expires during a link"""
import os
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import fast, free_port, run

N_TRIES = 100
# How many times as fast: den's ten seconds for its signer are 0.4 s. A certificate's life, and what a link has after it.
RATE, LIFE_M, GRACE_M = 24, 12, 5
drill = Drill("R14", "revoked but connected")


def http(net, path):
    return urllib.request.urlopen(f"http://127.0.0.1:{net.http}{path}", timeout=10).read()


def in_list(net, serial):
    text = subprocess.run(["openssl", "crl", "-inform", "DER", "-noout", "-text"], input=http(net, "/crl"), capture_output=True, check=True).stdout
    return serial.upper() in text.decode().upper().replace(":", "")


def says_revoked(net, serial):
    done = subprocess.run(["openssl", "ocsp", "-noverify", "-issuer", net.path("ca.pem"), "-serial", "0x" + serial, "-url",
                           f"http://127.0.0.1:{net.http}/ocsp"], capture_output=True, text=True)
    return ": revoked" in done.stdout


class Watch:
    """When something first held, looked at again and again from a thread of its own."""

    def __init__(self, holds):
        self.at, self.holds = None, holds
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        until = time.monotonic() + 30
        while self.at is None and time.monotonic() < until:
            if self.holds():
                self.at = time.monotonic()
            else:
                time.sleep(0.01)

    def after(self, began):
        self.thread.join()
        return 999.0 if self.at is None else max(0.0, self.at - began)


def revoked(net):
    serial = net.identity("alice")["serial"].replace(":", "")
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "^linked with")
    drill.require("before: OCSP says good, and the list is without it", not says_revoked(net, serial) and not in_list(net, serial), serial)
    alice_id = net.ids["alice"]
    watches = {
        "the router drops its session": (1, Watch(lambda: net.router.find(net.router.err, rf"event=revoked id={alice_id}"))),
        "OCSP says revoked": (1, Watch(lambda: says_revoked(net, serial))),
        "the list contains it": (2, Watch(lambda: in_list(net, serial))),
        "its link is closed by the other side": (2, Watch(lambda: bob.find(bob.err, rf"revoked: {alice_id} was revoked"))),
    }
    run([net.program("warren-den"), "revoke", "--config", net.path("den/den.conf"), "--id", alice_id, "--reason", "key-compromise"])
    began = time.monotonic()
    for what, (bound, watch) in watches.items():
        drill.measure(what, watch.after(began), "s", at_most=bound)
    alice.stop()
    bob.stop()


def tries(net):
    """Half of them by the revoked machine, which forgot what it knew; half to it."""
    bob = net.wait_chat("bob", "--accept")
    linked = 0
    for _ in range(N_TRIES // 2):
        if os.path.exists(net.path("alice/revocations")):
            os.unlink(net.path("alice/revocations"))
        done = run([*net.warren("alice", "chat", net.ids["bob"], "--loopback")], wanted=None, input="")
        linked += "linked with" in done.stderr or done.returncode == 0
    waiting = net.start("alice", net.warren("alice", "chat", "--accept", "--loopback"))
    for _ in range(N_TRIES // 2):
        done = run([*net.warren("carol", "chat", net.ids["alice"], "--loopback")], wanted=None, input="")
        linked += "linked with" in done.stderr or done.returncode == 0
    waiting.stop()
    bob.stop()
    drill.measure(f"new sessions of {N_TRIES} tries", linked, "sessions", at_most=0)


def expires(net):
    """Nobody renews: den is gone. The link ends five minutes after the certificate did."""
    prefix = fast(net.build, RATE)
    net.init()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"leaf_life = {LIFE_M}m\n")
    net.start_router(prefix)
    net.start_den(prefix)
    for name in ("alice", "bob"):
        net.join(name, prefix)
    began = time.monotonic()
    net.allow("allow from * to * can chat consent none")
    bob = net.wait_chat("bob", "--accept", prefix=prefix)
    alice = net.dial_chat("alice", "bob", prefix=prefix)
    alice.wait_line(alice.err, "^linked with")
    net.den.stop()
    alice.wait_line(alice.err, "expired: ")
    bob.wait_line(bob.err, "expired: ")
    minutes = (time.monotonic() - began) * RATE / 60
    drill.measure("a link whose certificates are not renewed ends after", minutes, f"minutes of {LIFE_M} and {GRACE_M}", at_most=LIFE_M + GRACE_M + 2.0)
    drill.require("and not before they ended", minutes > LIFE_M, f"{minutes:.1f} minutes")


with drill.network(make=False) as net:
    net.init()
    net.http = free_port()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"http = 127.0.0.1:{net.http}\n")
    net.start_router()
    net.start_den()
    subprocess.run(["openssl", "x509", "-inform", "DER", "-out", net.path("ca.pem")], input=http(net, "/ca"), check=True)
    for name in ("alice", "bob", "carol"):
        net.join(name)
    net.allow("allow from * to * can chat consent none")
    revoked(net)
    tries(net)
with drill.network(make=False) as net:
    expires(net)
drill.end()
