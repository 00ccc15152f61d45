#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the intermediate's key is stolen: it is out within a minute, and what the thief makes is refused"""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import free_port, run

drill = Drill("R5", "somebody stole the intermediate's key")


class Forward:
    """A way to the router that can be cut."""

    def __init__(self, to):
        self.port, self.to, self.open = free_port(), to, []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                one = self.listener.accept()[0]
                other = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.open += [one, other]
            for a, b in ((one, other), (other, one)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def cut(self):
        for s in [self.listener, *self.open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


def openssl(*words):
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)


def leaf(net, name, label, ca, ca_key, extra=""):
    """What a thief cuts: a certificate for `label`, in everything else as den makes them."""
    key, csr, cert, ext = (net.path(f"{name}.{e}") for e in ("key", "csr", "pem", "ext"))
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=" + label.split(".")[0])
    with open(ext, "w", encoding="ascii") as f:
        f.write(extra or f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
                         f"subjectAltName=DNS:{label}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    done = openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-out", cert, "-days", "1", "-extfile", ext, "-set_serial", "0x4" + os.urandom(15).hex())
    assert done.returncode == 0, done.stderr
    return cert, key


def refusals(net, what, root, chain, name):
    """Who of the others refuses a chain, leaf first."""
    whole = net.path("chain.pem")
    with open(whole, "wb") as out:
        for path in [*chain, root]:
            with open(path, "rb") as f:
                out.write(f.read())
    words = [w for path in chain[1:] for w in ("-untrusted", path)]
    answers = {"OpenSSL": openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name, "-CAfile", root, *words, chain[0]).returncode == 0}
    if shutil.which("certtool"):
        done = subprocess.run(["certtool", "--verify", "--load-ca-certificate", root, "--verify-hostname", name], stdin=open(whole, "rb"), capture_output=True, check=False)
        answers["GnuTLS"] = done.returncode == 0
    if shutil.which("vfychain"):
        db = net.path("nss")
        if not os.path.exists(db):
            os.mkdir(db)
            run(["certutil", "-N", "-d", "sql:" + db, "--empty-password"])
            run(["certutil", "-A", "-d", "sql:" + db, "-n", "root", "-t", "CT,C,C", "-a", "-i", root])
        done = subprocess.run(["vfychain", "-d", "sql:" + db, "-pp", "-u", "1", "-a", *chain], capture_output=True, text=True, check=False)
        answers["NSS"] = "Chain is good" in done.stdout + done.stderr
    for missing in {"OpenSSL", "GnuTLS", "NSS"} - set(answers):
        drill.say(f"{missing} is not installed: scripts/install-deps drill")
    drill.require(f"{what} is refused", not any(answers.values()), ", ".join(f"{who}: {'accepted' if ok else 'refused'}" for who, ok in sorted(answers.items())))
    return answers


def issuer(net, name):
    return json.loads(run(net.warren(name, "id", "--json")).stdout)["issuer"]


with drill.network() as net:
    net.allow("allow from * to * can chat back chat")
    for name in ("alice", "bob", "carol", "dave"):
        net.join(name)
    way = Forward(net.port)
    state = net.path("carol", "network")
    with open(state, encoding="ascii") as f:
        text = f.read()
    with open(state, "w", encoding="ascii") as f:
        f.write(text.replace(f":{net.port}/", f":{way.port}/"))
    bob, dave = net.wait_chat("bob", "--accept"), net.wait_chat("dave", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    carol = net.dial_chat("carol", "dave")
    carol.wait_line(carol.err, "linked with")
    root, stolen, stolen_key = net.path("den/root.pem"), net.path("stolen.pem"), net.path("stolen.key")
    shutil.copy(net.path("den/intermediate.pem"), stolen)
    shutil.copy(net.path("den/intermediate.key"), stolen_key)
    label = f"{net.ids['bob']}.{net.name}"

    # What it can and cannot do by itself, everywhere: no certificate authority, no other names.
    good, good_key = leaf(net, "good", label, stolen, stolen_key)
    done = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root, "-untrusted", stolen, good)
    drill.require("the drill's thief knows his trade: OpenSSL takes his leaf for an existing ID", done.returncode == 0, (done.stdout + done.stderr).strip())
    sub, sub_key = leaf(net, "sub", "Rogue CA", stolen, stolen_key, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    below, _ = leaf(net, "below", label, sub, sub_key)
    refusals(net, "a leaf of a CA that he makes", root, [below, sub, stolen], label)
    outside, _ = leaf(net, "outside", "www.example.com", stolen, stolen_key)
    refusals(net, "a name outside of the network", root, [outside, stolen], "www.example.com")

    # Out with it. Carol is cut off from the router first: she stands for whoever has nothing but the old intermediate.
    before = {name: issuer(net, name) for name in ("alice", "bob", "dave")}
    way.cut()
    seen = len(dave.err)
    began = time.monotonic()
    net.with_passphrase([net.program("warren-den"), "rollover", "replace", "--config", net.path("den/den.conf"), "--what", "intermediate",
                         "--reason", "key-compromise"])
    signed = time.monotonic()
    drill.measure("one command has the new manifest signed", signed - began, "s", at_most=300)
    while any(issuer(net, name) == before[name] for name in before) and time.monotonic() - signed < 600:
        time.sleep(0.2)
    drill.measure("all that are connected have certificates of the new intermediate", time.monotonic() - signed, "s", at_most=60)
    said = dave.wait_line(dave.err, "certificate ran out", seen, patience=600)
    drill.say(said)
    drill.measure("a peer ends the link with whoever shows the old one alone", time.monotonic() - signed, "s", at_most=60)
    heard = len(bob.out)
    alice.write("still here\n")
    bob.wait_line(bob.out, "still here", heard)
    drill.require("the link between two that have new ones goes on", alice.process.poll() is None, "a line went over it")
    with open(os.path.join(net.folder, "den", "manifests"), "rb") as f:
        listed = f.read()
    digest = bytes.fromhex(openssl("x509", "-in", stolen, "-noout", "-fingerprint", "-sha256").stdout.split("=")[1].strip().replace(":", ""))
    newest = listed[listed.rindex(b"warren/1 manifest"):]
    drill.require("the newest manifest does not list the old intermediate", digest not in newest, digest.hex()[:16])
drill.end()
