#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a flood of junk requests for certificates, and what honest machines notice of it"""
import json
import os
import re
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill, built
from network import ROOT, run

RATE, SECONDS, JUNK, HONEST = 2000, int(os.environ.get("R9_SECONDS", "60")), 40, 600
drill = Drill("R9", "a CSR flood")


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) / 1024


def rows(net):
    """Of every table of den's."""
    db = sqlite3.connect(net.path("den/den.db"), timeout=60)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    counts = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
    refusals = db.execute("SELECT count(*) FROM audit WHERE CAST(bytes AS TEXT) LIKE '%refused%'").fetchone()[0]
    db.close()
    return counts, refusals


def prepare(net):
    """den knows the load program's peers; its signer makes its book from that."""
    net.has_limits = True
    net.init()
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write("unlimited_networks = 127.0.0.0/8\n")
    load = os.path.join(net.build, "tests/bench/den_load")
    said = run([load, "keys", net.path("den"), f"port={net.port}", f"count={JUNK + HONEST}"]).stdout
    db = sqlite3.connect(net.path("den/den.db"))
    with db:
        db.executemany("INSERT INTO identity (id, pk, role, adm_no, created_at) VALUES (?, ?, 'peer', 1, 1)",
                       [(row["id"], bytes.fromhex(row["pk"])) for row in map(json.loads, said.splitlines())])
    db.close()
    for name in os.listdir(net.path("den")):
        if name.startswith("signer.") or name == "book":
            os.unlink(net.path("den", name))
    net.start_router()
    net.start_den()


def flood(net):
    process = subprocess.Popen([os.path.join(net.build, "tests/bench/den_flood"), net.path("den"), f"port={net.port}", f"junk={JUNK}",
                                f"honest={HONEST}", f"rate={RATE}", f"seconds={SECONDS}"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "ready"
        before, memory = rows(net), resident(net.den.process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
        return said, before, rows(net), memory, resident(net.den.process.pid)
    finally:
        process.kill()
        process.wait()


def judge(net):
    said, (before, refused_before), (after, refused_after), memory, memory_after = flood(net)
    drill.measure("junk requests a second", said["junk"] / SECONDS, "/s", at_least=RATE * 0.99)
    drill.require("junk that was issued", said["issued_to_junk"] == 0 and said["refused"] == said["junk"],
                  f"{said['issued_to_junk']} of {said['junk']}")
    drill.require("honest requests that failed", said["failed"] == 0, f"{said['failed']} of {said['honest']} {said['error']}")
    drill.measure("p99 of the honest machines' certificates", said["p99_ms"], "ms", at_most=250)
    drill.say(f"their median: {said['p50_ms']} ms")
    drill.measure("den's memory grew by", memory_after - memory, "MiB", at_most=20)
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    drill.say(f"rows that came to den's store: {grown}")
    extra = {name: n for name, n in grown.items() if n > HONEST and name != "audit"}
    drill.require("rows for junk", not extra and grown.get("certificate", 0) == HONEST, str(extra or "none"))
    drill.measure("of them refusals in the audit", refused_after - refused_before, "entries", at_most=200 + 4 * (SECONDS + 5))


def the_rest(net):
    """Per identity, and the names: the unit test goes through every position."""
    done = run([os.path.join(net.build, "tests/unit/den/den_issue_test")])
    for name, what in (("a_request_with_a_foreign_name_in_any_position_is_refused", "a CSR with the bad name in each position"),
                       ("requests_of_one_id_are_slowed_down_others_are_not", "per identity: 5 at once, then 1 in 10 min")):
        drill.require(what, re.search(rf"^ok \d+ {name}$", done.stdout, re.M) is not None, name)


built(os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build")), "tests/bench/den_load", "tests/bench/den_flood", "tests/unit/den/den_issue_test")
with drill.network(make=False) as net:
    prepare(net)
    judge(net)
    the_rest(net)
drill.end()
