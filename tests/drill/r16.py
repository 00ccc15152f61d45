#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den's database comes back from a backup: noticed and refused; accepted, nothing is used twice and the revoked stay revoked"""
import glob
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill, built
from network import Failed, ROOT, free_port, run

drill = Drill("R16", "den's database is put back from a backup")
PEERS, ISSUED, AFTERWARDS = 100, 100, int(os.environ.get("WARREN_R16_ISSUED", "10000"))


def conf(net):
    return ["--config", net.path("den/den.conf")]


def den(net, *words, **more):
    return run([net.program("warren-den"), *words, *conf(net)], **more)


def rows(path, sql, *values):
    db = sqlite3.connect(path, timeout=60)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


def load(net, verb, **options):
    program = os.path.join(net.build, "tests/bench/den_load")
    words = [f"{key}={value}" for key, value in options.items()]
    return run([program, verb, net.path("den"), f"port={net.port}", *words]).stdout.splitlines()


def make(net):
    """A network with peers of the load program, whose limits per identity are lifted, and real ones."""
    net.http = free_port()
    net.init()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"csr_burst = 0\nhttp = 127.0.0.1:{net.http}\n")
    known = [json.loads(line) for line in load(net, "keys", count=PEERS)]
    db = sqlite3.connect(net.path("den/den.db"))
    with db:
        db.executemany("INSERT INTO identity (id, pk, role, adm_no, created_at) VALUES (?, ?, 'peer', 1, 1)",
                       [(row["id"], bytes.fromhex(row["pk"])) for row in known])
    db.close()
    net.start_router()
    net.start_den()
    net.allow("allow from * to * can chat")
    for name in ("alice", "carol"):
        net.join(name)


def serials(path, where="der IS NOT NULL"):
    return [row[0] for row in rows(path, f"SELECT serial FROM certificate WHERE {where} ORDER BY no")]


def live_on(net, seen):
    """Everything that the backup does not know of: two machines, a hundred certificates, ten revocations."""
    for name in ("dave", "erin"):
        net.join(name)
    load(net, "sign", count=PEERS, requests=ISSUED, window=32)
    fresh = [s for s in serials(net.path("den/den.db"), "der IS NOT NULL AND id <> 'router'") if s not in seen]
    ours = {net.ids[name] for name in net.ids}
    fresh = [s for s in fresh if rows(net.path("den/den.db"), "SELECT id FROM certificate WHERE serial = ?", s)[0][0] not in ours]
    by_serial, by_key = fresh[:6], fresh[6:8]
    for serial in by_serial:
        den(net, "cert", "revoke", serial.hex())
    for serial in by_key:
        spki = rows(net.path("den/den.db"), "SELECT spki FROM certificate WHERE serial = ?", serial)[0][0]
        den(net, "revoke", "--key", spki.hex())
    for name in ("carol", "dave"):
        den(net, "revoke", "--id", net.ids[name])
    net.den.wait_line(net.den.err, r"event=revocations\.taken no=10\b")
    net.router.wait_line(net.router.err, r"event=revocations newest=10\b")
    return {"serials": by_serial, "keys": by_key, "ids": [net.ids["carol"], net.ids["dave"]]}


def numbers(path):
    kept = dict(rows(path, "SELECT name, n FROM number"))
    kept["audit"] = rows(path, "SELECT max(no) FROM audit")[0][0]
    kept["revocations"] = rows(path, "SELECT max(no) FROM revocation")[0][0]
    return kept


def crl(net):
    der = net.path("list.der")
    run(["curl", "-sf", "-o", der, f"http://127.0.0.1:{net.http}/crl"])
    text = run(["openssl", "crl", "-inform", "DER", "-in", der, "-noout", "-text"]).stdout
    number = re.search(r"CRL Number:\s*(0x[0-9A-Fa-f]+|\d+)", text).group(1)
    return int(number, 0), {bytes.fromhex(s if len(s) % 2 == 0 else "0" + s) for s in re.findall(r"Serial Number: ([0-9A-Fa-f]+)", text)}


def ocsp(net, serial):
    said = run(["openssl", "ocsp", "-issuer", net.path("den/intermediate.pem"), "-serial", "0x" + serial.hex(), "-url",
                f"http://127.0.0.1:{net.http}/ocsp", "-CAfile", net.path("den/root.pem"), "-noverify"], wanted=None).stdout
    return re.search(r": (good|revoked|unknown)", said).group(1)


def stop_and_keep(net):
    """den ends; what it knew then is kept for us alone."""
    published = crl(net)
    net.den.stop()
    shutil.copy(net.path("den/den.db"), net.path("lost.db"))
    return published


def refused(net, where):
    done = run([net.program("warren-den"), "run", *conf(net)], wanted=None)
    says = done.returncode == 1 and "was taken back to an older state" in done.stderr and "--accept-rollback" in done.stderr
    drill.require(f"{where}: it is noticed and refused", says, (done.stderr.splitlines() or ["nothing was said"])[-2].strip()[:160])


def start_accepting(net):
    net.den = net.start("warren-den", [net.program("warren-den"), "run", *conf(net), "--accept-rollback"])
    net.den.wait_line(net.den.err, r"event=rollback\.accepted")
    net.den.wait_line(net.den.err, r"event=online")


def can_talk(net, caller, callee):
    there = net.wait_chat(callee, "--accept") if callee not in net.waiting else net.waiting[callee]
    talk = net.dial_chat(caller, callee)
    try:
        talk.wait_line(talk.err, "linked with")
        return True
    except Failed as e:
        drill.say(f"{caller} -> {callee}: {e}")
        return False
    finally:
        talk.stop()
        there.stop()
        net.waiting.pop(callee, None)


def judge(net, revoked, published, where, is_restored):
    new, lost = net.path("den/den.db"), net.path("lost.db")
    before_serials = set(serials(lost))
    known = set(serials(new, "1"))
    load(net, "sign", count=PEERS, requests=AFTERWARDS + 2, window=256)
    issued = [s for s in serials(new) if s not in known]
    drill.measure(f"{where}: serials used twice, of {len(issued)} issued afterwards",
                  len(issued) - len(set(issued) - before_serials), "", at_most=0)
    drill.require(f"{where}: so many were issued", len(issued) >= AFTERWARDS, f"{len(issued)} of {AFTERWARDS}")
    number, listed = crl(net)
    drill.require(f"{where}: the number of the list is above all that were published", number > published[0],
                  f"{number} > {published[0]}")
    gone = [s for s in revoked["serials"] + revoked["keys"] if s not in listed or ocsp(net, s) != "revoked"]
    drill.measure(f"{where}: revoked certificates that are not on the list and revoked over OCSP", len(gone), "", at_most=0)
    drill.measure(f"{where}: entries of the list before that are not on it now", len(published[1] - listed), "", at_most=0)
    kinds = rows(new, "SELECT count(*) FROM revocation WHERE statement IS NOT NULL")[0][0]
    drill.measure(f"{where}: revocations that are in force and signed", kinds, "", at_least=10)
    old_numbers, new_numbers = numbers(lost), numbers(new)
    fell = [f"{k} {v} -> {new_numbers.get(k)}" for k, v in old_numbers.items()
            if new_numbers.get(k, 0) < v or (k in ("hb_no", "audit", "crl_no", "policy_no") and new_numbers[k] <= v)]
    drill.require(f"{where}: no number is used again", not fell, ", ".join(fell) or
                  f"heartbeat {old_numbers['hb_no']} -> {new_numbers['hb_no']}, audit {old_numbers['audit']} -> {new_numbers['audit']}")
    adm = dict(rows(lost, "SELECT id, adm_no FROM identity"))
    now = dict(rows(new, "SELECT id, adm_no FROM identity"))
    drill.measure(f"{where}: admissions whose number is not above those before",
                  sum(1 for i in adm if i in now and now[i] <= adm[i] and i not in revoked["ids"]), "", at_most=0)
    taken = []
    for i in range(20):
        name = f"new{i}"
        net.join(name)
        taken.append(net.ids[name])
    drill.measure(f"{where}: IDs of the life that is over among {len(taken)} new ones", len(set(taken) & set(adm)), "", at_most=0)
    said = den(net, "audit", "list").stdout.splitlines()
    entries = [json.loads(line) for line in said if '"rollback.accepted"' in line or '"store.restored"' in line]
    facts = {entry["what"]: entry["facts"] for entry in entries}
    accepted = facts.get("rollback.accepted", {})
    head = rows(lost, "SELECT lower(hex(head)) FROM audit WHERE no = ?", accepted.get("lost_audit_no", 0))
    drill.require(f"{where}: the audit says who accepted it, and what was lost", accepted.get("by") == f"uid {os.getuid()}" and
                  head == [(accepted["lost_audit_head"],)], f"{accepted.get('by')}, {accepted.get('lost_audit_no')} entries")
    if is_restored:
        restored = facts.get("store.restored", {})
        drill.require(f"{where}: and who restored what, in whose place", restored.get("file") == net.path("backup") and
                      restored.get("replaced_audit_no") == accepted["lost_audit_no"], str(restored)[:160])
    drill.require(f"{where}: the audit is whole", "whole" in den(net, "audit", "verify").stdout, den(net, "audit", "verify").stdout.strip())


def judge_machines(net, revoked, where):
    until = net.waiting["erin"]
    drill.require(f"{where}: a machine that the backup does not know has its ID again, by itself",
                  net.den.wait_line(net.den.err, rf"event=(taken_back|admitted) id={net.ids['erin']}") is not None, net.ids["erin"])
    until.wait_line(until.err, r"waiting for a call")
    drill.require(f"{where}: it is reached", can_talk(net, "alice", "erin"), "alice talks to it")
    owner = rows(net.path("den/den.db"), "SELECT hex(pk), revoked_at FROM identity WHERE id = ?", net.ids["erin"])
    same = rows(net.path("lost.db"), "SELECT hex(pk) FROM identity WHERE id = ?", net.ids["erin"])
    drill.require(f"{where}: with the same key", bool(owner) and owner[0][0] == same[0][0] and owner[0][1] is None, str(bool(owner)))
    for name in ("carol", "dave"):
        done = subprocess.run(net.warren(name, "chat", net.ids["alice"], "--loopback"), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=120, check=False)
        drill.require(f"{where}: {name}, who was revoked, stays out", done.returncode != 0 and "revoked" in done.stderr,
                      (done.stderr.strip().splitlines() or [""])[0][:120])
    alarms = glob.glob(net.path("*", "alarm"))
    drill.measure(f"{where}: machines that took it for den lying", len(alarms), "", at_most=0)


def same_bytes(one_path, other):
    with open(one_path, "rb") as a, open(other, "rb") as b:
        return a.read() == b.read()


def bring_list(net, where):
    """The folder's list is as old as all of it: den asks for that of a machine that was online last, also after it started once."""
    drill.require(f"{where}: its list is not taken for a newer one", same_bytes(net.path("den/crl.der"), net.path("den-copy/crl.der")), "crl.der")
    done = run([net.program("warren-den"), "run", *conf(net), "--accept-rollback"], wanted=None)
    drill.require(f"{where}: without the newest list it stops, and nothing is changed",
                  done.returncode == 1 and "crl.der in the state folder is not the list" in done.stderr and "event=rollback.accepted" not in done.stderr,
                  (done.stderr.splitlines() or ["nothing was said"])[-1].strip()[:160])
    shutil.copy(net.path("erin/crl.der"), net.path("den/crl.der"))


def one(where, take_snapshot, put_back, has_list):
    with drill.network(make=False) as net:
        net.waiting = {}
        make(net)
        seen = set(serials(net.path("den/den.db"), "1"))
        take_snapshot(net)
        revoked = live_on(net, seen)
        net.waiting["erin"] = net.wait_chat("erin", "--accept")
        published = stop_and_keep(net)
        put_back(net)
        refused(net, where)
        if not has_list:
            bring_list(net, where)
        start_accepting(net)
        judge_machines(net, revoked, where)
        judge(net, revoked, published, where, is_restored=has_list)


def backup(net):
    den(net, "backup", net.path("backup"), "--plain")


def restore(net):
    run([net.program("warren-den"), "restore", net.path("backup"), net.path("den"), "--replace"])


def copy_folder(net):
    net.den.stop()
    shutil.copytree(net.path("den"), net.path("den-copy"))
    net.start_den()


def put_folder_back(net):
    shutil.rmtree(net.path("den"))
    shutil.copytree(net.path("den-copy"), net.path("den"))


built(os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build")), "tests/bench/den_load")
drill.say(f"{ISSUED} certificates and 10 revocations after the backup; {AFTERWARDS} certificates after it was put back")
one("the database alone", backup, restore, True)
one("the whole folder, so that only the router knows better", copy_folder, put_folder_back, False)
drill.end()
