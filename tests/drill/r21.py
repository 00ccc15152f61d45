#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the audit is tampered with: in the database, in an export, as a whole; each time the first bad entry is named"""
import hashlib
import json
import os
import random
import re
import sqlite3
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import Failed, run

drill = Drill("R21", "the audit is tampered with")
IN_STORE, IN_EXPORT = int(os.environ.get("WARREN_R21_STORE", "500")), int(os.environ.get("WARREN_R21_EXPORT", "500"))
SEED = int(os.environ.get("WARREN_R21_SEED", "21"))
ENTRIES = 150


def verify(net, *words):
    done = subprocess.run([net.program("warren-den"), "audit", "verify", "--config", net.path("den/den.conf"), *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def check(net, path, *words):
    done = subprocess.run([net.program("warren-den"), "audit", "check", path, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def fill(net):
    """Acts of an administrator until the audit is long enough."""
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    boss = net.identity("boss")["id"]
    for i in range(ENTRIES):
        run([net.program("warren-den"), "peer", "groups", boss, f"g{i}", "--config", net.path("den/den.conf")])


def flipped(rng, data):
    at, bit = rng.randrange(len(data)), 1 << rng.randrange(7)
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]


class Store:
    """den's database without what keeps a slip of den's own out."""

    def __init__(self, path):
        self.db = sqlite3.connect(path)
        for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('audit', 'number')").fetchall():
            self.db.execute(f"DROP TRIGGER {name}")
        self.rows = self.db.execute("SELECT no, at, bytes, head FROM audit ORDER BY no").fetchall()
        self.db.commit()

    def put(self, rows):
        with self.db:
            self.db.execute("DELETE FROM audit")
            self.db.executemany("INSERT INTO audit (no, at, bytes, head) VALUES (?, ?, ?, ?)", rows)

    def tampered(self, rng):
        """Rows that are not what they were, what was done, and the number of the first bad entry."""
        rows, kind = list(self.rows), rng.choice(("flip", "time", "delete", "swap", "truncate", "cut", "repeat"))
        k = rng.randrange(len(rows))
        no, at, data, head = rows[k]
        if kind == "flip":
            rows[k] = (no, at, flipped(rng, data), head) if rng.random() < 0.7 else (no, at, data, flipped(rng, head))
        elif kind == "time":
            rows[k] = (no, at + rng.choice((-1, 1)), data, head)
        elif kind == "delete":
            del rows[k]
        elif kind == "swap":
            j = rng.choice([i for i in range(len(rows)) if i != k])
            rows[k], rows[j] = (no, *rows[j][1:]), (rows[j][0], at, data, head)
            no = min(no, rows[j][0])
        elif kind == "truncate":
            rows[k] = (no, at, data[:rng.randrange(len(data))], head)
        elif kind == "cut":
            del rows[k:]
        else:  # an entry takes the place of another one
            j = rng.choice([i for i in range(len(rows)) if i != k])
            rows[k] = (no, *rows[j][1:])
        return rows, f"{kind} {no}", no


def in_store(net):
    rng, store = random.Random(SEED), Store(net.path("den/den.db"))
    status, said = verify(net)
    drill.require("the untouched audit is whole", status == 0, said.strip())
    wrong = []
    for _ in range(IN_STORE):
        rows, what, no = store.tampered(rng)
        store.put(rows)
        status, said = verify(net)
        if status != 1 or not re.search(rf"entry {no} is changed, missing or out of order", said):
            wrong.append(f"{what}: {said.strip()}")
    store.put(store.rows)
    drill.require(f"{IN_STORE} mutations of the database: the first bad entry is named each time", not wrong, f"{IN_STORE - len(wrong)} of {IN_STORE}; {wrong[:3]}")
    return store


def in_export(net):
    rng, path = random.Random(SEED + 1), net.path("export.jsonl")
    whole = run([net.program("warren-den"), "audit", "export", "--config", net.path("den/den.conf")]).stdout.encode("ascii")
    lines = whole.splitlines(keepends=True)
    newest = json.loads(lines[-1])
    witness = ("--witness", f"{newest['no']}:{newest['head']}")
    wrong = []
    for _ in range(IN_EXPORT):
        bad, kind, k = list(lines), rng.choice(("flip", "delete", "swap", "truncate", "cut")), rng.randrange(len(lines))
        wanted = rf":{k + 1}: "
        if kind == "flip":
            bad[k] = flipped(rng, lines[k][:-1]) + b"\n"
        elif kind == "delete":
            del bad[k]
        elif kind == "swap":
            j = rng.choice([i for i in range(len(lines)) if i != k])
            bad[k], bad[j] = bad[j], bad[k]
            wanted = rf":{min(j, k) + 1}: "
        elif kind == "truncate":
            bad[k] = lines[k][:rng.randrange(1, len(lines[k]) - 1)]
        else:
            del bad[k:]
        if k == len(lines) - 1 and kind == "delete" or kind == "cut":
            wanted = rf"it ends with entry {k}, "
        with open(path, "wb") as f:
            f.write(b"".join(bad))
        status, said = check(net, path, "--after", "0:" + "0" * 64, *witness)
        if status != 1 or not re.search(wanted, said):
            wrong.append(f"{kind} {k + 1}: {said.strip()}")
    drill.require(f"{IN_EXPORT} mutations of an export: the first bad line is named each time", not wrong, f"{IN_EXPORT - len(wrong)} of {IN_EXPORT}; {wrong[:3]}")


def made_anew(net, store, witness):
    """Whoever can write everything makes a chain that is whole in itself; a peer heard of another one."""
    head, rows = bytes(32), []
    for no, at, data, _ in store.rows:
        data = data.replace(b"groups=g7\n", b"groups=g0\n")
        head = hashlib.sha256(b"warren/1 audit\0" + head + struct.pack(">QQI", no, at, len(data)) + data).digest()
        rows.append((no, at, data, head))
    store.put(rows)
    status, said = verify(net)
    drill.require("a chain that was made anew is whole in itself", status == 0, said.strip())
    status, said = verify(net, "--witness", witness)
    drill.require("a peer's witness shows that it is not the one that den signed", status == 1 and "a witness heard" in said, said.strip())
    store.put(store.rows)
    status, said = verify(net, "--witness", witness)
    drill.require("the witness agrees with the true one", status == 0 and "the witness agrees" in said, said.strip())


def wait_witness(net):
    """The boss's machine hears of the audit in a heartbeat."""
    until = time.monotonic() + 300
    while int(run(net.warren("boss", "audit-witness")).stdout.split(":")[0]) < ENTRIES:
        if time.monotonic() > until:
            raise Failed("no heartbeat told of the audit")
        time.sleep(1)


with drill.network() as network:
    fill(network)
    listener = network.wait_chat("boss")
    wait_witness(network)
    listener.stop()
    heard = run(network.warren("boss", "audit-witness")).stdout.strip()
    network.den.stop()
    database = in_store(network)
    in_export(network)
    made_anew(network, database, heard)
drill.end()
