#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""an ID is wanted that somebody has, or had: no ID ever has two owners, and they are drawn uniformly"""
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from netsign import Netsign, Refused, enrolment, read_admission
from network import PATIENCE, ROOT, free_port
from wamp import Session

from nacl.signing import SigningKey

drill = Drill("R7", "somebody wants an ID that is or was another's")
steps = int(os.environ.get("WARREN_IDS_STEPS", "100000"))
# The store's every commit waits for the disk; in memory the same steps take a minute.
folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
program = os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build"), "tests/unit/den/den_ids_test")
drill.say(f"{steps} random steps (register, come back, throw away, remove, expire, restart den)" +
          (f", the store in {folder}" if folder else ""))
env = dict(os.environ, WARREN_IDS_STEPS=str(steps))
if folder:
    env["TMPDIR"] = folder
done = subprocess.run([program], env=env, capture_output=True, text=True, check=False, timeout=3600)
figures = dict(re.findall(r"(\w+)=([0-9.-]+)", done.stdout))
drill.require("the test ran to its end", done.returncode == 0 and "double_owners" in figures, f"exit status {done.returncode}")
drill.say(f"restarts of den: {figures.get('restarts')}, IDs that were somebody's: {figures.get('ids_committed_or_ephemeral')}")
drill.measure("IDs with two owners", int(figures.get("double_owners", -1)) if "double_owners" in figures else 1, "", at_most=0)
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32


def token_key(join):
    """The key that stands for the token of a join string."""
    number = 0
    for digit in join.rsplit(".wt1", 1)[1].strip():
        number = number << 5 | ALPHABET.index(digit)
    return SigningKey(hashlib.blake2b(b"warren/1 token\0" + (number >> 2).to_bytes(16, "big"), digest_size=32).digest())


def come(net, shows, key=None):
    """The ID that another key gets, or the error."""
    try:
        session = Netsign(net.plain, net.name, net.netid, key=key or SigningKey.generate(), shows=shows)
    except Refused as e:
        return str(e).rsplit(".", 1)[1]
    session.close()
    return session.details["authid"]


def entries(net, **facts):
    """How many refusals the audit has."""
    return sum(e["what"] == "request.refused" and facts.items() <= e["facts"].items() for e in map(json.loads, net.audit()))


def at_the_door(net):
    """How often the audit says that somebody showed another's admission."""
    return sum(e["what"] == "router.refused" and (e["facts"]["verb"], e["facts"]["uri"]) == ("join", "wrong_key") for e in map(json.loads, net.audit()))


def by_hand(net, key, shows):
    """The same as a guest, who asks den itself."""
    guest = Session(net.port, "wamp.2.msgpack", net.name)
    heartbeat = guest_heartbeat(guest)
    extra = shows(heartbeat)
    e, sig, *token = extra["enrol"]
    guest.ask(48, {}, "den.identity.admit", [e, sig, token[0] if token else None, *extra.get("before", [])])
    answer = guest.receive()
    guest.close()
    return answer[4].rsplit(".", 1)[1] if answer[0] == 8 else "ADMITTED"


def guest_heartbeat(guest):
    guest.ask(32, {"get_retained": True}, "den.heartbeat")
    guest.expect(33)
    return guest.expect(36)[4][0]


def second_registrations(net):
    """Another key, and an ID that is alice's."""
    hers = read_admission(net.path("alice"))
    alice, mallory = net.ids["alice"], SigningKey.generate()

    def shows(key, token=None):
        return lambda heartbeat: enrolment(key, net.netid, net.name, heartbeat, token, hers)

    said = come(net, lambda heartbeat: {"admission": hers}, mallory)
    drill.require("her admission, by another key", said == "wrong_key", said)
    until = time.monotonic() + PATIENCE
    while not at_the_door(net) and time.monotonic() < until:
        time.sleep(0.5)
    drill.require("is in the audit", at_the_door(net) == 1, at_the_door(net))
    before = entries(net, procedure="den.identity.admit")
    said = come(net, shows(mallory), mallory)
    drill.require("an enrolment that names her admission, without a token", not said.isdigit(), said)
    said = by_hand(net, mallory, shows(mallory))
    drill.require("the same by hand, as a guest", said not in ("ADMITTED", alice), said)
    token = token_key(net.token())
    said = come(net, shows(mallory, token), mallory)
    drill.require("with a token it gets another ID, or none", said != alice, said)
    other = SigningKey.generate()
    spent = come(net, shows(other, token), other)
    drill.require("the token is spent", spent == "bad_token", spent)
    n = entries(net, procedure="den.identity.admit") - before
    drill.require("refusals of these in the audit", n >= 3, n)
    drill.require("she still comes in as herself", come_back(net) == alice, alice)


def come_back(net):
    session = Netsign(net.plain, net.name, net.netid, folder=net.path("alice"))
    session.close()
    return session.details["authid"]


with drill.network(make=False) as network:
    network.init()
    network.plain = free_port()
    with open(network.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write(f"listen_plain = 127.0.0.1:{network.plain}\nrealms = realms.conf\n")
    with open(network.path("router/realms.conf"), "w", encoding="ascii") as f:
        f.write(f"[realm {network.name}]\nmethods = netsign anonymous\n")
    network.start_router()
    network.start_den()
    network.join("alice")
    with open(network.path("den/root.pem"), encoding="ascii") as f:
        network.netid = hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).digest()
    second_registrations(network)
drill.end()
