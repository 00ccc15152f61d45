#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every role and every procedure: what is forbidden is refused, and in the audit; what is allowed is not refused for the role."""
import hashlib
import json
import os
import re
import time

import tap
from netsign import Netsign
from network import PATIENCE, ROOT, Failed, free_port, run
from wamp import Session

GUEST, PEER, ADMIN, SCRIPT, DEN = "guest", "peer", "admin", "script", "den"
PEERS, ALL, NOBODY = {PEER, ADMIN}, {GUEST, PEER, ADMIN, SCRIPT, DEN}, set()
OTHER = "654321"  # nobody here
TABLE = [
    (ALL, "network.info network.whoami network.ping network.resolve network.reverse"),
    ({DEN, ADMIN}, "network.stats network.peer.get network.peer.list network.peer.kick network.grant.list"),
    ({DEN}, "network.grant.install network.grant.remove network.revocations.install network.revocations.list network.router.certificate "
            "network.router.status"),
    (NOBODY, "network.nothing"),
    (ALL, "wamp.session.add_testament wamp.session.flush_testaments"),
    ({DEN, ADMIN}, "wamp.session.count wamp.session.list wamp.session.get wamp.session.kill wamp.session.kill_by_authid wamp.session.kill_by_authrole "
             "wamp.session.kill_all wamp.registration.list wamp.registration.lookup wamp.registration.match wamp.registration.get "
             "wamp.registration.list_callees wamp.registration.count_callees wamp.registration.remove_callee wamp.subscription.list "
             "wamp.subscription.lookup wamp.subscription.match wamp.subscription.get wamp.subscription.list_subscribers "
             "wamp.subscription.count_subscribers wamp.subscription.remove_subscriber"),
    ({GUEST, PEER, ADMIN}, "den.identity.admit"),
    (PEERS, "den.identity.refresh den.identity.rekey den.identity.keys den.identity.unsigned den.directory.lookup den.name.claim den.name.release "
            "den.name.transfer den.name.list den.ca.sign den.ca.acknowledge den.ca.revoke den.session.open den.session.close den.session.path "
            "den.session.turn den.session.mine"),
    (ALL, "den.ca.chain den.ca.crl den.ca.revocations den.time"),
    ({ADMIN}, "den.peer.list den.peer.get den.peer.groups den.peer.remove den.peer.re_enrol den.name.all den.name.assign den.name.free "
              "den.token.list den.token.add den.token.revoke den.waiting.list den.waiting.approve den.waiting.deny den.cert.list den.cert.show "
              "den.cert.revoke den.session.list den.session.end den.policy.show den.router.list den.rollover.status den.audit.list "
              "den.audit.head den.audit.verify den.status den.policy.load"),
    (NOBODY, "den.refusal.note den.nothing"),  # the former is the router's own
    ({DEN}, f"peer.{OTHER}.session.offer"),
    (NOBODY, f"peer.{OTHER}.session.other peer.{OTHER}.ice.update peer.{OTHER}.ice.other peer.{OTHER}.app.method peer.{OTHER}.app"),
    (NOBODY, "com.example.add"),
]
MATRIX = {uri: roles for roles, uris in TABLE for uri in uris.split()}
REALMS = "[realm {}]\nmethods = netsign anonymous ticket\nprincipals = people.conf\n"
PEOPLE = "[principal robot]\nrole = script\nticket = robots-ticket\n"


def make(net):
    net.init()
    net.plain = free_port()
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write(f"listen_plain = 127.0.0.1:{net.plain}\nrealms = realms.conf\nmax_request_rate = 0\nguest_request_rate = 0\nmax_lookups = 0\n"
                "max_lookups_network = 0\n")
    for name, text in (("realms.conf", REALMS.format(net.name)), ("people.conf", PEOPLE)):
        with open(os.open(net.path("router", name), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(text)
    net.start_router()
    net.start_den()
    net.join("alice")
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.ids["boss"] = net.identity("boss")["id"]
    out = run(["openssl", "x509", "-in", net.path("den/root.pem"), "-outform", "DER", "-out", net.path("root.der")])
    tap.check(out.returncode == 0, out.stderr)
    with open(net.path("root.der"), "rb") as f:
        net.netid = hashlib.sha256(f.read()).digest()


def session_of(net, role):
    if role == GUEST:
        return Session(net.port, "wamp.2.msgpack", net.name)
    if role == SCRIPT:
        return Session(net.port, "wamp.2.msgpack", net.name, "ticket", authid="robot", ticket="robots-ticket")
    if role == DEN:
        return Netsign(net.plain, net.name, net.netid, login=net.path("den/login.key"))
    return Netsign(net.plain, net.name, net.netid, folder=net.path({PEER: "alice", ADMIN: "boss"}[role]))


def ask(session, uri):
    """The error's URI; "" when it was answered."""
    session.ask(48, {}, uri, [])
    while True:
        answer = session.receive()
        if answer[0] == 50:
            return ""
        if answer[0] == 8:
            return answer[4]


def play(net, role):
    session = session_of(net, role)
    tap.check(session.details["authrole"] == role, str(session.details))
    wrong = []
    for uri, may in MATRIX.items():
        if uri == "wamp.session.kill_all" and role in may:
            continue  # it would
        said = ask(session, uri)
        is_refused = said.endswith("not_authorized")
        if is_refused == (role in may):
            wrong.append(f"{role} {uri}: {said or 'answered'}")
    tap.check(not wrong, "\n".join(wrong))
    session.sock.close()


def refused(net):
    """(role, id, uri) of what the audit says that the router refused."""
    entries = map(json.loads, net.audit())
    return {(e["facts"]["role"], e["facts"]["id"], e["facts"]["uri"]) for e in entries if e["what"] == "router.refused"}


def wait_audited(net, role, name):
    """Every forbidden cell of that role."""
    wanted = {(role, name, uri) for uri, may in MATRIX.items() if role not in may}
    until = time.monotonic() + PATIENCE
    while wanted - refused(net):
        if time.monotonic() > until:
            raise Failed(f"not in the audit: {sorted(wanted - refused(net))}")
        time.sleep(0.5)
    return wanted


def allowed_and_audited(net, role, name):
    allowed = {(role, name, uri) for uri, may in MATRIX.items() if role in may}
    tap.check(not allowed & refused(net), f"refused: {allowed & refused(net)}")


@tap.test
def the_matrix_has_every_procedure(net):
    """What the programs' tables name is in it."""
    found = set()
    for name in ("den/core.c", "den/admin.c", "router/network.c", "router/meta.c"):
        with open(os.path.join(ROOT, name), encoding="ascii") as f:
            found |= set(re.findall(r'^    \{ "((?:den|network|wamp)\.[a-z_.]+)",', f.read(), re.M))
    tap.check(len(found) > 60, str(found))
    missing = found - set(MATRIX)
    tap.check(not missing, f"not in the matrix: {missing}")


def cell(role, name):
    def test(net):
        play(net, role)
        who = net.ids.get(name, name)
        tap.check(len(wait_audited(net, role, who)) >= 10, "few are forbidden")
        allowed_and_audited(net, role, who)
    test.__name__ = f"{role}_may_what_the_table_says_and_the_audit_has_the_rest"
    tap.test(test)


cell(GUEST, "")
cell(SCRIPT, "robot")
cell(PEER, "alice")
cell(ADMIN, "boss")


@tap.test
def a_flood_is_counted_and_does_not_fill_the_audit(net):
    before, session = len(net.audit()), session_of(net, PEER)
    for _ in range(3000):
        tap.check(ask(session, "den.token.add").endswith("not_authorized"), "answered")
    session.sock.close()
    time.sleep(2)
    entries = [json.loads(line) for line in net.audit()[before:]]
    tap.check(len([e for e in entries if e["facts"].get("uri") == "den.token.add"]) <= 2, f"{len(entries)} entries for one kind of refusal")


@tap.test
def other_verbs_are_audited_too(net):
    session = session_of(net, PEER)
    session.ask(64, {}, "den.time")
    session.expect(8)
    session.ask(16, {"acknowledge": True}, "den.heartbeat", ["x"])
    session.expect(8)
    session.ask(32, {}, "network.peer.on_join")
    session.expect(8)
    wanted, until = {("register", "den.time"), ("publish", "den.heartbeat"), ("subscribe", "network.peer.on_join")}, time.monotonic() + PATIENCE
    while wanted - {(e["facts"]["verb"], e["facts"]["uri"]) for e in map(json.loads, net.audit()) if e["what"] == "router.refused"}:
        tap.check(time.monotonic() < until, "not in the audit")
        time.sleep(0.5)


@tap.test
def den_itself_may_what_the_table_says_and_hears_of_the_rest_when_it_is_back(net):
    net.den.stop()
    play(net, DEN)
    net.start_den()
    wait_audited(net, DEN, "den")
    allowed_and_audited(net, DEN, "den")


tap.main(make=make)
