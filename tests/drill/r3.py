#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the router's operator lies: swaps, forwards, replays, reorders, stamps, rewrites and hides; he obtains nothing but denial"""
import copy
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "evil")]
from drill import Drill
from network import fast, run
from router import (CALL, CHALLENGE, ERROR, EVENT, INVOCATION, RESULT, WELCOME, YIELD, EvilRouter, Identity, fields, is_error,
                    statement)
from wamp import pack

RATE = 20  # where nothing is heard of den for long: a minute is three seconds
LIMITS = ("limit", "timeout", "no_such_procedure", "runtime_error")  # refusals that would prove nothing
drill = Drill("R3", "the router's operator lies")
sessions = {"wrong": 0, "right": 0, "tried": 0}


# ---- certificates ----------------------------------------------------------------------------------------------------

def lie_to_den(evil, what, make, n):
    """`make(i)` -> (procedure, args, ID, role): all are to be refused, and not for being many."""
    codes, n_done = {}, 0
    for i in range(n):
        procedure, args, authid, role = make(i)
        answer = evil.inject(evil.den, procedure, args, authid, role)
        n_done += not is_error(answer)
        code = answer[0] if is_error(answer) else "DONE"
        codes[code] = codes.get(code, 0) + 1
    shown = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
    drill.require(f"{what}: obtained of {n}", n_done == 0 and not any(code in LIMITS for code in codes), f"{n_done} ({shown})")


def issued(net):
    return [json.loads(line)["facts"] for line in net.audit() if json.loads(line)["what"] == "certificate.issued"]


def csr_of(folder):
    """A request for a certificate by a key of the liar's own, as den.ca.sign takes it."""
    done = subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/", "-outform", "DER",
                           "-keyout", os.path.join(folder, "liar.key")], capture_output=True, check=True)
    return pack({"csr": done.stdout})


def certificates(net, evil):
    """Each lie about two machines of its own, that joined just now: den counts requests per ID, and what they signed goes stale."""
    sign, liar = "den.ca.sign", Identity()

    def own(authid, signer):
        return [sign, evil.words().request(signer, authid, sign, csr_of(net.folder))]
    lies = {
        "alice's request, stamped as bob's": lambda a, b: (sign, a.call, b.id, "peer"),
        "alice's CSR under bob's own signature": lambda a, b: (sign, [a.call[0], *b.call[1:]], b.id, "peer"),
        "alice's request once more": lambda a, b: (sign, a.call, a.id, "peer"),
        "the liar's CSR under alice's signature": lambda a, b: (sign, [csr_of(net.folder), *a.call[1:]], a.id, "peer"),
        "the liar's CSR and key, stamped as alice": lambda a, b: (*own(a.id, liar), a.id, "peer"),
        "the liar's CSR for alice, under bob's key": lambda a, b: (*own(a.id, b), a.id, "peer"),
        "the same, stamped as bob": lambda a, b: (*own(a.id, b), b.id, "peer"),
        "the liar's CSR for alice, stamped as an administrator": lambda a, b: (*own(a.id, liar), net.ids["root"], "admin"),
        "alice's request, its signature blank": lambda a, b: (sign, [*a.call[:2], bytes(64)], a.id, "peer"),
    }
    peers = {}
    for number, (what, make) in enumerate(lies.items()):
        pair = []
        for name in (f"alice{number}", f"bob{number}"):
            net.join(name)
            peer = Identity(net.path(name))
            peer.id = net.ids[name]
            peer.call = evil.calls(sign, peer.id)[0]
            peers[peer.id] = peer
            pair.append(peer)
        lie_to_den(evil, what, lambda i, pair=pair, make=make: make(*pair), 4)
    return peers


def count_certificates(net, evil, peers):
    honest = 0
    for authid, peer in peers.items():
        asked = {call[0] for call in evil.calls("den.ca.sign", authid) if peer.signed(call[1], call[2]) and
                 fields(call[1])[2].decode() == authid and hashlib.sha256(call[0]).digest() == fields(call[1])[6]}
        honest += min(len(asked), sum(c["id"] == authid for c in issued(net)))
    given = sum(c["id"].isdigit() for c in issued(net))
    drill.require("certificates without the identity key's signed request", given == honest > 0, f"{given - honest} (of {given} that den issued)")


def admin(net, evil, peers):
    """The stamp of an administrator, without his key."""
    liar, words, bob, root = Identity(), evil.words(), net.ids["bob"], net.ids["root"]
    acts = [("den.token.add", {"key": liar.pk.hex(), "role": "admin"}), ("den.peer.remove", {"id": bob}), ("den.name.assign", {"name": "bank", "id": bob}),
            ("den.cert.revoke", {"id": bob}), ("den.audit.list", {}), ("den.peer.groups", {"id": bob, "groups": "wheel"}),
            ("den.ca.revoke", {"id": bob}), ("den.peer.re_enrol", {"id": bob, "key": liar.pk.hex()})]
    n_before = len([1 for line in net.audit() if json.loads(line)["what"] in ("token.created", "identity.removed", "revoked")])
    for what, signer, authid in (("an administrator's stamp, with the liar's key", liar, root), ("an administrator's stamp, with bob's key", peers[bob], root),
                                 ("bob's key and ID, with the role of an administrator", peers[bob], bob)):
        def make(i, signer=signer, authid=authid):
            procedure, body = acts[i % len(acts)]
            if authid == bob and procedure == "den.ca.revoke":
                body = {"id": net.ids["alice"]}
            body = pack(body)
            return procedure, words.request(signer, authid, procedure, body), authid, "admin"
        lie_to_den(evil, what, make, len(acts))
    lie_to_den(evil, "a stamp of den's, or the router's own",
               lambda i: ("den.token.add", words.request(liar, root, "den.token.add", pack({"key": liar.pk.hex()})), *((None, "router") if i % 2 else ("den", "den"))), 8)
    n_after = len([1 for line in net.audit() if json.loads(line)["what"] in ("token.created", "identity.removed", "revoked")])
    drill.require("what den wrote that an administrator would have done", n_before == n_after, n_after - n_before)


def enrolment(net, evil):
    netid, liar = evil.words().netid, Identity()
    made = [m[2]["enrol"] for c in evil.conns for is_up, m in list(c.seen) if is_up and m[0] == 5 and "enrol" in m[2]]

    def enrol(i):
        e = statement("enrol", netid, net.name.encode(), liar.pk, evil.beacon(), os.urandom(16), b"" if i % 2 else fields(made[0][0])[5], b"liar")
        return "den.identity.admit", [e, liar.sign(e), None if i % 2 else made[0][2]], None, "router"
    lie_to_den(evil, "an ID for the liar's key, on another one's token, or on none", enrol, 20)
    n = sum(json.loads(line)["what"] == "identity.enrolled" for line in net.audit())
    for e in made:
        evil.inject(evil.den, "den.identity.admit", e, None, "router")
    after = sum(json.loads(line)["what"] == "identity.enrolled" for line in net.audit())
    drill.require(f"IDs that {len(made)} enrolments bring when they are played again", n == after and made, after - n)


# ---- sessions --------------------------------------------------------------------------------------------------------

def dial(net, caller, callee, prefix=(), patience=100):
    """(the name that was verified or None, what was said last)"""
    process = net.dial_chat(caller, callee, prefix=prefix)
    until = time.monotonic() + patience
    while time.monotonic() < until and process.process.poll() is None and not process.find(process.err, "^linked with"):
        time.sleep(0.05)
    linked = process.find(process.err, "^linked with")
    if linked is None and process.process.poll() is None:
        said_last = "timeout"
    else:
        process.readers[1].join(5 if linked is None else 0)
        said_last = next((line for line in reversed(list(process.err)) if line.startswith("warren: ")), (process.err or ["?"])[-1])
    process.stop()
    name = re.search(r"verified as (\S+)", linked) if linked else None
    return (name.group(1).rstrip(",") if name else "?") if linked else None, said_last


def session(net, evil, what, lie, may_link=False, callee="bob"):
    """A dial of alice's to bob under that lie: to the right key, or not at all."""
    used = []

    def telling(conn, is_up, m):
        out = lie(conn, is_up, copy.deepcopy(m))
        if out != m:
            used.append(out)
        return out
    evil.lies.append(telling)
    until = time.monotonic() + 120
    name, said_last = dial(net, "alice", callee)
    while "busy" in said_last and time.monotonic() < until:  # the callee still waits for the link of the lie before
        used.clear()
        time.sleep(1)
        name, said_last = dial(net, "alice", callee)
    evil.lies.remove(telling)
    is_right = name == f"{net.ids[callee]}.{net.name}"
    sessions["tried"] += 1
    sessions["right"] += is_right
    sessions["wrong"] += name is not None and not is_right
    holds = bool(used) and (name is None or (may_link and is_right))
    drill.require(what, holds, f"{'linked, verified as ' + name if name else said_last}{'' if used else ' (the lie was never told)'}")


def to_den(conn, is_up, m, procedure):
    return not is_up and m[0] == INVOCATION and conn.authrole == "den" and conn.procedure(m) == procedure


def offered(net, conn, is_up, m, to):
    return not is_up and m[0] == INVOCATION and conn.authid == net.ids[to] and conn.procedure(m).endswith(".session.offer")


def answered(net, conn, is_up, m):
    """The answer to alice's dial."""
    return not is_up and m[0] == RESULT and conn.authid == net.ids["alice"] and len(m) > 3 and len(m[3]) >= 5


def put(m, at, index, value):
    m[at][index] = value
    return m


def turned(data, at=-1):
    data = bytearray(data)
    data[at] ^= 1
    return bytes(data)


def moved(ice):
    """Another address in an ICE description."""
    return re.sub(rb"\d+ typ host", b"9 typ host", ice) if b"typ host" in ice else ice + b"x"


def dials(net, evil):
    alice, bob, carol = (net.ids[name] for name in ("alice", "bob", "carol"))
    liar = Identity()
    old = evil.calls("den.session.open", alice)[-1]
    old_offer = evil.calls(f"peer.{bob}.session.offer")[-1]
    old_answer = [m[3] for c in list(evil.conns) for up, m in list(c.seen) if answered(net, c, up, m)][-1]
    opens = "den.session.open"

    def swapped_target(c, up, m):
        return put(m, 4, 0, m[4][0].replace(bob.encode(), carol.encode())) if to_den(c, up, m, opens) else m

    def stamped(c, up, m):
        if to_den(c, up, m, opens):
            m[3]["caller_authid"] = carol
        return m

    def other_offer(c, up, m):
        """bob's offer goes to carol, and her word comes back as his."""
        if not offered(net, c, up, m, "bob"):
            return m
        answer = evil.inject(evil.of(carol), f"peer.{carol}.session.offer", m[4], "den", "den")
        c.up.put(pack([ERROR, INVOCATION, m[1], {}, "network.error." + answer[0], [answer[1]]] if is_error(answer) else [YIELD, m[1], {}, answer]))
        return None

    def other_accept(c, up, m):
        """The liar's own accept, with the liar's own key."""
        if answered(net, c, up, m):
            f = fields(m[3][2])
            own = statement("accept", *f[:4], f[4], hashlib.sha256(b"the liar's key").digest(), f[6]) if len(f) == 7 else m[3][2]
            m[3][2:4] = [own, liar.sign(own)]
        return m

    def lie_of(test, at, index, value):
        return lambda c, up, m: put(m, at, index, value(m[at][index])) if test(c, up, m) else m

    def replaced(test, at, values):
        def lie(c, up, m):
            if test(c, up, m):
                for index, value in values.items():
                    m[at][index] = value
            return m
        return lie
    offer = lambda c, up, m: offered(net, c, up, m, "bob")
    answer = lambda c, up, m: answered(net, c, up, m)
    asked = lambda c, up, m: to_den(c, up, m, opens)
    for what, lie in (
            ("dial: another target", swapped_target),
            ("dial: stamped as carol", stamped),
            ("dial: an older one in its place", replaced(asked, 4, dict(enumerate(old[:3])))),
            ("dial: another ICE description", lie_of(asked, 4, 2, moved)),
            ("offer: to carol instead of bob", other_offer),
            ("offer: an older grant", replaced(offer, 4, {0: old_offer[0], 1: old_offer[1]})),
            ("offer: an older one, whole", replaced(offer, 4, dict(enumerate(old_offer[:5])))),
            ("offer: a grant with one bit turned", lie_of(offer, 4, 0, lambda g: turned(g, len(g) // 2))),
            ("offer: another ICE description", lie_of(offer, 4, 4, moved)),
            ("answer: an older grant", replaced(answer, 3, {0: old_answer[0], 1: old_answer[1]})),
            ("answer: an older accept", replaced(answer, 3, {2: old_answer[2], 3: old_answer[3], 4: old_answer[4]})),
            ("answer: an older one, whole", replaced(answer, 3, dict(enumerate(old_answer[:5])))),
            ("answer: the liar's key in the accept", other_accept),
            ("answer: another ICE description", lie_of(answer, 3, 4, moved))):
        session(net, evil, what, lie)
    reordered(net, evil)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(5)
        session(net, evil, "candidates: the liar's own, for both ends", trickled(net, evil, sink), may_link=True)
        try:
            drill.say(f"the liar's socket heard {len(sink.recv(2000))} bytes")
        except TimeoutError:
            drill.say("the liar's socket heard nothing: the link was up before")


def trickled(net, evil, sink):
    """Later candidates that nobody sent: the liar's own socket, for both ends, as if the other one had said so."""
    def lie(c, up, m):
        if not answered(net, c, up, m):
            return m
        sid = fields(m[3][0])[1]
        line = next(text for text in m[3][4].decode().split("\n") if "typ host" in text)
        line = re.sub(r"(UDP|udp) (\d+) \S+ \d+ typ", rf"\1 \2 127.0.0.1 {sink.getsockname()[1]} typ", line.strip())
        for to, by in (("bob", "alice"), ("alice", "bob")):
            peer = evil.of(net.ids[to])
            procedure = f"peer.{net.ids[to]}.ice.update"
            threading.Thread(target=evil.inject, args=(peer, procedure, [sid, [re.sub("^a=", "", line)], {}], net.ids[by]), daemon=True).start()
        return [m]
    return lie


def reordered(net, evil):
    """Two offers to bob at once: each comes under the other's number."""
    kept = []

    def lie(c, up, m):
        if not offered(net, c, up, m, "bob"):
            return m
        kept.append(m)
        if len(kept) < 2:
            return None
        a, b = kept[-2:]
        return [[*a[:4], b[4], *a[5:]], [*b[:4], a[4], *b[5:]]]
    evil.lies.append(lie)
    dialling = [net.dial_chat(name, "bob") for name in ("alice", "dave")]
    until = time.monotonic() + 100
    while time.monotonic() < until and any(p.process.poll() is None and not p.find(p.err, "^linked") for p in dialling):
        time.sleep(0.05)
    evil.lies.remove(lie)
    linked = [p.find(p.err, "^linked with") for p in dialling]
    for p in dialling:
        p.stop()
    sessions["tried"] += 2
    sessions["wrong"] += sum(line is not None for line in linked)
    drill.require("two offers, each under the other's number", len(kept) >= 2 and not any(linked), f"{sum(map(bool, linked))} linked, {len(kept)} offers")


def welcome(net, evil):
    """Whom the router says that a newcomer is."""
    alice = net.ids["alice"]
    admission = next(m[2]["admission"] for c in evil.conns for up, m in c.seen if up and m[0] == 5 and "admission" in m[2])

    def another_id(c, up, m):
        if not up and m[0] == WELCOME:
            m[2]["authid"] = alice
        return m

    def another_admission(c, up, m):
        if not up and m[0] == WELCOME:
            m[2]["authid"] = alice
            m[2].setdefault("authextra", {})["admission"] = admission
        return m

    def older_heart(c, up, m):
        if not up and m[0] == CHALLENGE and m[2].get("heartbeat"):
            m[2]["heartbeat"] = [turned(m[2]["heartbeat"][0]), m[2]["heartbeat"][1]]
        return m

    def liars_key(c, up, m):
        if not up and m[0] == CHALLENGE:
            m[2]["pubkey"] = Identity().pk
        return m
    for i, (what, lie) in enumerate((("another ID", another_id), ("another one's admission", another_admission),
                                     ("a heartbeat with one bit turned", older_heart), ("another router's key", liars_key))):
        token = net.token()
        evil.lies.append(lie)
        done = subprocess.run(net.warren(f"new{i}", "join", "--timeout", "5"), input=token + "\n", capture_output=True, text=True, check=False)
        evil.lies.remove(lie)
        shown = next((line[8:] for line in done.stderr.splitlines() if line.startswith("warren: ")), "?")[:160]
        drill.require(f"join: {what}", done.returncode != 0, shown)


# ---- hiding ----------------------------------------------------------------------------------------------------------

def hides(net, evil):
    """Revocations, then heartbeats too; then old heartbeats in place of new ones."""
    def topic(c, up, m):
        return c.topic(m) if not up and m[0] == EVENT and c.authrole != "den" else None

    def revocations(c, up, m):
        is_answer = not up and m[0] == RESULT and any(up2 and q[0] == CALL and q[1] == m[1] and q[3] == "den.ca.revocations" for up2, q in c.seen)
        if topic(c, up, m) == "den.ca.on_revoke":
            return None
        return [*m[:3], [[], False]] if is_answer else m
    evil.lies.append(revocations)
    waits = net.wait_chat("carol", "--accept", prefix=net.prefix)
    run([net.program("warren-den"), "revoke", "--config", net.path("den/den.conf"), "--id", net.ids["mallory"], "--reason", "key-compromise"])
    time.sleep(60 / RATE)
    name, shown = dial(net, "alice", "carol", net.prefix)
    drill.require("a revocation that is kept back: the heartbeat tells of it, and nobody is linked with", name is None, name or shown)
    drill.require("and who dials is told so after a while", "stale" in shown, shown)
    evil.lies.clear()
    until = time.monotonic() + 60
    name = None
    while name is None and time.monotonic() < until:
        name, shown = dial(net, "alice", "carol", net.prefix)
    drill.require("and links again when it is told", name == f"{net.ids['carol']}.{net.name}", name or shown)
    waits.stop()
    first = evil.heartbeats()[0]
    n_hidden = []

    def silence(c, up, m):
        if topic(c, up, m) == "den.heartbeat":
            n_hidden.append(m)
            return None if len(n_hidden) % 2 else [*m[:4], first]  # nothing, or an old one
        return m
    waits, calls = (net.start(name, [*net.prefix, *net.warren(name, "serve", "--accept", "echo.word", "--", "cat")]) for name in ("carol", "alice"))
    time.sleep(1)
    evil.lies.append(silence)
    until = time.monotonic() + 60
    shown, name = "", "x"
    bob = net.wait_chat("bob", "--accept", prefix=net.prefix)
    time.sleep(10 * 60 / RATE)  # den's bound
    while time.monotonic() < until and "heartbeat" not in shown:
        name, shown = dial(net, "alice", "bob", net.prefix)
    drill.require("heartbeats that are kept back or old: a stale heartbeat is what the peer shows", name is None and "heartbeat" in shown and bool(n_hidden),
                  f"{shown} ({len(n_hidden)} kept back)")
    evil.lies.clear()
    for process in (waits, calls, bob):
        process.stop()


with drill.network(make=False) as net:
    evil = EvilRouter(net)
    for name in ("alice", "bob", "carol", "dave"):
        net.join(name)
    run(net.warren("root", "join"), input=net.token("--role", "admin") + "\n")
    net.ids["root"] = net.identity("root")["id"]
    net.allow("allow from * to * can chat consent none")
    peers = {net.ids[name]: Identity(net.path(name)) for name in ("alice", "bob", "carol", "dave", "root")}
    peers.update(certificates(net, evil))
    admin(net, evil, peers)
    enrolment(net, evil)
    waiting = [net.wait_chat(name, "--accept") for name in ("bob", "carol")]
    name, shown = dial(net, "alice", "bob")
    drill.require("with no lie told, alice reaches bob", name == f"{net.ids['bob']}.{net.name}", name or shown)
    dials(net, evil)
    welcome(net, evil)
    name, shown = dial(net, "alice", "bob")
    drill.require("and after all of it she reaches him again", name == f"{net.ids['bob']}.{net.name}", name or shown)
    count_certificates(net, evil, peers)
    drill.require(f"sessions to a wrong key, of {sessions['tried']} dials under a lie", sessions["wrong"] == 0, sessions["wrong"])
    evil.close()
with drill.network(make=False) as net:
    net.prefix = fast(net.build, RATE)
    evil = EvilRouter(net, prefix=net.prefix)
    for name in ("alice", "bob", "carol", "mallory"):
        net.join(name, net.prefix)
    net.allow("allow from * to * can chat consent none")
    hides(net, evil)
    evil.close()
drill.end()
