# SPDX-License-Identifier: Apache-2.0
"""A den that is killed and whose disk fails, under load; and what must hold afterwards. For r20.py and tests/system/crash_test.py."""
import errno
import json
import os
import random
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import built  # noqa: E402
from network import PATIENCE, Failed, Process, free_port, run  # noqa: E402

WRITE, SYNC, OPEN, RENAME, TRUNCATE, READ = 1, 2, 4, 8, 16, 32
KILL, HALF, SLOW, LAST = 255, 254, 253, 252  # instead of an error number; SLOW: `after` is how many ms; LAST: killed after that rename
PEERS = 16


class Faults:
    """What faults.c makes fail below one folder, `but` for what is below that."""

    def __init__(self, build, path, under, but=None):
        self.path, self.under, self.but = path, under, but
        self.library = os.path.join(build, "tests/system/libfaults.so")
        self.set(0)

    def prefix(self):
        sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
        return ["env", "ASAN_OPTIONS=" + sanitizer, f"FAULTS={self.path}", f"FAULTS_UNDER={self.under}",
                *([f"FAULTS_BUT={self.but}"] if self.but else []), f"LD_PRELOAD={self.library}"]

    def set(self, calls, number=0, after=0, how_many=0):
        """In place: the programs have it mapped."""
        with open(self.path, "r+b" if os.path.exists(self.path) else "w+b") as f:
            f.write(struct.pack("<6I", calls, number, after, how_many, 0, 0))

    def clear(self):
        self.set(0)

    def n_failed(self):
        with open(self.path, "rb") as f:
            return struct.unpack("<6I", f.read(24))[5]

    def n_seen(self):
        with open(self.path, "rb") as f:
            return struct.unpack("<6I", f.read(24))[4]


class Churn:
    """Certificates asked for without end; what was delivered."""

    def __init__(self, net):
        program = os.path.join(net.build, "tests/bench/den_churn")
        self.process = Process("den_churn", [program, net.path("den"), f"port={net.port}", f"count={PEERS}"])
        self.n_read = 0
        self.signed, self.failed, self.alarms = [], 0, []

    def read(self):
        """Takes what it said since; how many were delivered."""
        before = len(self.signed)
        with self.process.changed:
            lines = self.process.out[self.n_read:]
            self.n_read += len(lines)
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "signed":
                self.signed.append(bytes.fromhex(rest))
            elif word == "failed":
                self.failed += 1
            else:
                self.alarms.append(line)
        return len(self.signed) - before

    def wait_signed(self, n=1):
        until, got = time.monotonic() + PATIENCE, 0
        while got < n:
            if time.monotonic() > until or self.process.process.poll() is not None:
                raise Failed("no certificate was delivered; den_churn said last: " + " ".join(self.process.err[-3:]))
            time.sleep(0.02)
            got += self.read()

    def stop(self):
        self.process.stop()
        self.read()


class Joiner(threading.Thread):
    """Machines that enrol, one after the other; the IDs that they were told."""

    def __init__(self, net):
        super().__init__(daemon=True)
        self.net, self.told, self.n_failed, self.is_over = net, {}, 0, False

    def run(self):
        n = 0
        while not self.is_over:
            n += 1
            name = f"machine{n}"
            try:
                token = run([self.net.program("warren-den"), "token", "new", "--config", self.net.path("den/den.conf")]).stdout
                out = run(self.net.warren(name, "join"), input=token)
                found = re.search(r"\b(\d{3} \d{3}( \d{3})?)\b", out.stdout + out.stderr)
                self.told[name] = found.group(1).replace(" ", "")
            except Exception:  # pylint: disable=broad-exception-caught
                self.n_failed += 1
                time.sleep(0.1)

    def stop(self):
        self.is_over = True
        self.join(PATIENCE)


def prepare(net, more=""):
    """A network that is set up, not started, whose den knows the peers of den_churn."""
    built(net.build, "tests/bench/den_load", "tests/bench/den_churn", "tests/system/libfaults.so")
    net.http = free_port()
    net.init()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"csr_burst = 0\nhttp = 127.0.0.1:{net.http}\nheartbeat_interval = 2s\n{more}")
    load = os.path.join(net.build, "tests/bench/den_load")
    known = [json.loads(line) for line in run([load, "keys", net.path("den"), "port=1", f"count={PEERS}"]).stdout.splitlines()]
    db = sqlite3.connect(net.path("den/den.db"))
    with db:
        db.executemany("INSERT INTO identity (id, pk, role, adm_no, created_at) VALUES (?, ?, 'peer', 1, 1)",
                       [(row["id"], bytes.fromhex(row["pk"])) for row in known])
    db.close()
    net.faults = Faults(net.build, net.path("faults"), net.path("den"))


def start(net):
    """Seconds until den is online."""
    began = time.monotonic()
    net.start_den(net.faults.prefix())
    return time.monotonic() - began


def lost(net, signed, told):
    """Certificates that were delivered and are not recorded, those without an audit entry, IDs that were told and are not there."""
    db = sqlite3.connect(net.path("den/den.db"), timeout=60)
    try:
        recorded = {row[0] for row in db.execute("SELECT serial FROM certificate WHERE der IS NOT NULL")}
        audited = set()
        for (facts,) in db.execute("SELECT bytes FROM audit WHERE CAST(bytes AS TEXT) LIKE 'what=certificate.issued%'"):
            audited.add(bytes.fromhex(re.search(rb"\nserial=([0-9a-fA-F:]+)", facts).group(1).decode().replace(":", "")))
        ids = {row[0] for row in db.execute("SELECT id FROM identity")}
    finally:
        db.close()
    return (sum(1 for s in signed if s not in recorded), sum(1 for s in signed if s not in audited),
            sum(1 for i in list(told.values()) if i not in ids))


def audit_is_whole(net):
    done = run([net.program("warren-den"), "audit", "verify", "--config", net.path("den/den.conf")], wanted=None)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def met_the_signer(net):
    """Whether the call that ends its caller was the signer's: den goes on with another one, and has to be killed by hand."""
    until = time.monotonic() + PATIENCE
    while net.den.process.poll() is None and time.monotonic() < until:
        if net.faults.n_failed():
            try:
                net.den.process.wait(0.2)
            except subprocess.TimeoutExpired:
                net.den.wait_line(net.den.err, r"event=signer\.lost")
                return True
        time.sleep(0.01)
    return False


def kill_once(net, rng, churn):
    """At a random instant, or at the n-th call that changes the disk, or in the middle of that write; as it starts, or at work."""
    if rng.random() < 0.7:
        churn.wait_signed(rng.randrange(1, 12))
    how = rng.choice(("instant", "instant", "call", "half"))
    if how == "instant":
        time.sleep(rng.random() * 0.5)
        net.den.process.send_signal(signal.SIGKILL)
    elif how == "call":
        net.faults.set(WRITE | SYNC | RENAME | TRUNCATE | OPEN, KILL, after=rng.randrange(60), how_many=1)
    else:
        net.faults.set(WRITE, HALF, after=rng.randrange(40), how_many=1)
    try:
        if how != "instant" and met_the_signer(net):
            net.den.process.send_signal(signal.SIGKILL)
        net.den.process.wait(PATIENCE)
    finally:
        net.faults.clear()
    if net.den.process.returncode not in (-signal.SIGKILL, 1):
        raise Failed(f"den ended with {net.den.process.returncode}: " + "\n".join(net.den.err[-4:]))


def health(net):
    return run(["curl", "-s", "-w", "\n%{http_code}", f"http://127.0.0.1:{net.http}/health"]).stdout.strip().splitlines()


NAMES = {WRITE: "write", SYNC: "fsync", OPEN: "open", RENAME: "rename", TRUNCATE: "truncate", READ: "read"}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)


def sweep(net, churn, calls, number, after=0, how_many=0, seconds=0.7):
    """That call fails for a time. True when den stayed, refused and went on afterwards; else what it did."""
    churn.read()
    net.faults.set(calls, number, after, how_many)
    time.sleep(seconds)
    net.faults.clear()
    if net.den.process.poll() is not None:
        return f"den ended with {net.den.process.returncode}: {net.den.err[-1:]}"
    churn.read()
    try:
        churn.wait_signed(1)
    except Failed as e:
        return str(e)
    return True


def rng():
    seed = int(os.environ.get("WARREN_SEED", random.randrange(1 << 30)))
    return random.Random(seed), seed
