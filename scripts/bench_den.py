# SPDX-License-Identifier: Apache-2.0
"""den's figures: a real den behind a real router, a throw-away network, beside Debian's CFSSL over HTTP."""
import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
from network import Network, Process, free_port, run  # noqa: E402

ROUNDS = 3
IDENTITIES, REQUESTS, WINDOW = 1000, 20000, 512
PEERS, RULES, PAIRS, DIALS, DIALS_AT_ONCE = 10000, 1000, 400, 10000, 256
CERTIFICATES, REVOKED = 1000000, 100000
PATIENCE = 120
ROUTER = {"max_connections": 4096, "unlimited_networks": "127.0.0.0/8 ::1", "max_pending_calls": 100000, "max_request_rate": 0}
DEN = {"csr_burst": 0, "crl_life": "24h", "heartbeat_interval": "10m", "heartbeat_bound": "1h"}
DAY = 86400000
Process.rest_for = 0.05


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and those that it started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [pid] + [each for child in f.read().split() for each in family(int(child))]


class Cpu:
    """What each of some programs costs between now and spent(), in microseconds per piece of work."""

    def __init__(self, **programs):
        self.programs = programs
        self.before = self.now()

    def now(self):
        return {name: sum(cpu_seconds(pid) for pid in family(top)) for name, top in self.programs.items()}

    def spent(self, pieces):
        after = self.now()
        return {name: (after[name] - before) * 1e6 / pieces for name, before in self.before.items()}


class Den:
    """A network whose den knows the load program's peers. The limits per identity and per address are lifted, and said so."""

    def __init__(self, program, build, folder, identities=IDENTITIES, **more):
        self.load, self.identities = program("den_load"), identities
        self.net = Network(build, folder, name="bench.warren")
        self.net.has_limits = True
        self.net.init()
        for name, rows in (("router/router.conf", ROUTER), ("den/den.conf", {**DEN, **more})):
            with open(self.net.path(name), "a", encoding="ascii") as f:
                f.write("".join(f"{key} = {value}\n" for key, value in rows.items()))
        self.net.start_router()
        self.add_identities()

    def database(self):
        db = sqlite3.connect(self.net.path("den/den.db"), timeout=60)
        db.execute("PRAGMA synchronous = OFF")
        return db

    def add_identities(self):
        said = run([self.load, "keys", self.net.path("den"), f"port={self.net.port}", f"count={self.identities}"]).stdout
        rows = [json.loads(line) for line in said.splitlines()]
        db = self.database()
        with db:
            db.executemany("INSERT INTO identity (id, pk, role, adm_no, created_at) VALUES (?, ?, 'peer', 1, 1)",
                           [(row["id"], bytes.fromhex(row["pk"])) for row in rows])
        db.close()

    def add_tls_keys(self):
        """Says of each peer that it has a certificate, for the TLS key that den_dial says it has."""
        db = self.database()
        now = int(time.time() * 1000)
        der = db.execute("SELECT der FROM certificate WHERE der IS NOT NULL LIMIT 1").fetchone()[0]
        ids = [row[0] for row in db.execute("SELECT id FROM identity")]
        with db:
            db.executemany("INSERT INTO certificate (serial, id, spki, der, reserved_at, not_before, not_after)"
                           " VALUES (?, ?, ?, ?, ?, ?, ?)",
                           ((b"\x01" + secrets.token_bytes(16), each, hashlib.sha256(f"warren bench tls {each}".encode()).digest(), der,
                             now, now - DAY, now + DAY) for each in ids))
        db.close()

    def add_rules(self):
        """Between random groups and machines, and one for all: every dial is decided, and none by the first rule that is read."""
        pick = random.Random(1)
        group = lambda: f"group:g{pick.randrange(100)}"  # noqa: E731
        peer = lambda: 100000 + pick.randrange(PEERS)  # noqa: E731
        rows = [f"  - {{from: {group()}, to: {group()}, can: [view, tunnel:*]}}" if i % 2 else
                f"  - {{from: {peer()}, to: [{peer()}, {group()}], can: [view, file]}}" for i in range(RULES - 1)]
        with open(self.net.path("den/policy.yaml"), "w", encoding="ascii") as f:
            f.write("\n".join(["rules:", *rows, "  - {from: any, to: any, can: [chat]}", ""]))
        db = self.database()
        with db:
            db.execute("UPDATE identity SET groups = 'g' || (id % 100)")
        db.close()

    def add_certificates(self, n, is_revoked):
        """Rows as den writes them; the certificate in them is one of its own."""
        db = self.database()
        now = int(time.time() * 1000)
        der = db.execute("SELECT der FROM certificate WHERE der IS NOT NULL LIMIT 1").fetchone()[0]
        no = db.execute("SELECT coalesce(max(no), 0) FROM revocation").fetchone()[0]

        def rows():
            for i in range(n):
                serial = b"\x01" + i.to_bytes(4, "big") + secrets.token_bytes(12)
                yield serial, str(100000 + i % 900000), serial + bytes(15), der, now, now, now + DAY, no + i + 1

        with db:
            if is_revoked:
                kept = list(rows())
                db.executemany("INSERT INTO revocation (no, kind, id, subject, reason, at) VALUES (?, 1, ?, ?, 0, ?)",
                               [(row[7], row[1], row[0], now) for row in kept])
                db.executemany("INSERT INTO certificate (serial, id, spki, der, reserved_at, not_before, not_after, revoked_by,"
                               " revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [(*row, now) for row in kept])
            else:
                db.executemany("INSERT INTO certificate (serial, id, spki, der, reserved_at, not_before, not_after)"
                               " VALUES (?, ?, ?, ?, ?, ?, ?)", (row[:7] for row in rows()))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()

    def start(self, verb, stderr=None, **options):
        words = [f"{key}={value}" for key, value in options.items()]
        return subprocess.Popen([self.load, verb, self.net.path("den"), f"port={self.net.port}", *words], stdout=subprocess.PIPE,
                                stderr=stderr, text=True)

    def run(self, load, pieces):
        """Pieces a second, and what each of the three programs spent on one."""
        if not load.stdout.readline():
            sys.exit(f"bench: {load.args[0]} failed")
        cpu = Cpu(den=self.net.den.process.pid, router=self.net.router.process.pid, client=load.pid)
        said = load.stdout.readline()
        spent = cpu.spent(pieces)
        if load.wait(300) != 0:
            sys.exit(f"bench: {load.args[0]} failed")
        return json.loads(said)["value"], spent

    def sign(self):
        return self.run(self.start("sign", count=IDENTITIES, requests=REQUESTS, window=WINDOW), REQUESTS)

    def dial(self, program):
        words = [f"port={self.net.port}", f"pairs={PAIRS}", f"requests={DIALS}", f"window={DIALS_AT_ONCE}"]
        return self.run(subprocess.Popen([program("den_dial"), self.net.path("den"), *words], stdout=subprocess.PIPE, text=True), DIALS)

    def ping(self):
        """A client that calls den. After a start with many revocations the router takes members when it has them all."""
        until = time.monotonic() + PATIENCE
        while True:
            load = self.start("ping", stderr=subprocess.PIPE)
            if load.stdout.readline():
                return load
            why = load.communicate()[1]
            if time.monotonic() > until:
                sys.exit(f"bench: den_load ping failed: {why}")
            time.sleep(0.5)

    def close(self):
        self.net.close()


class Cfssl:
    CONFIG = {"signing": {"default": {"usages": ["digital signature", "server auth", "client auth"], "expiry": "24h"}}}

    def __init__(self, program, folder):
        self.load, self.port = program("cfssl_load"), free_port()
        path = os.path.join
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
             "/CN=bench", "-keyout", path(folder, "key.pem"), "-out", path(folder, "ca.pem")])
        with open(path(folder, "config.json"), "w", encoding="ascii") as f:
            json.dump(self.CONFIG, f)
        self.process = subprocess.Popen(
            ["cfssl", "serve", "-address", "127.0.0.1", "-port", str(self.port), "-ca", path(folder, "ca.pem"), "-ca-key",
             path(folder, "key.pem"), "-config", path(folder, "config.json"), "-loglevel", "4"], cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{self.port}/"], wanted=None).returncode != 0:
            if time.monotonic() > until:
                sys.exit("bench: cfssl does not answer")
            time.sleep(0.1)

    def sign(self):
        n = REQUESTS // 4
        cpu = Cpu(cfssl=self.process.pid)
        value = json.loads(run([self.load, str(self.port), str(n), "64"]).stdout)["value"]
        return value, cpu.spent(n)

    def close(self):
        self.process.terminate()
        self.process.wait()


def signed(program, build, folder):
    """Certificates a second; and, since a machine's other work moves that figure, what one costs, which it moves less."""
    den = Den(program, build, os.path.join(folder, "den"))
    other = None
    rates, costs = {"Warren": [], "CFSSL": []}, []

    def note(name, found):
        rates[name].append(found[0])
        costs.append(found[1])

    try:
        den.net.start_den()
        if shutil.which("cfssl"):
            other = Cfssl(program, folder)
        for number in range(ROUNDS):
            print(f"\r  round {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
            note("Warren", den.sign())
            if other:
                note("CFSSL", other.sign())
        print("\r                 \r", end="", file=sys.stderr, flush=True)
    finally:
        den.close()
        if other:
            other.close()
    cost = {name: statistics.median(each[name] for each in costs if name in each) for each in costs for name in each}
    yield {"suite": "den", "figure": "signed (limits per identity lifted)", "unit": "certificates/s", "value": statistics.median(rates["Warren"]),
           "beside": {"CFSSL over HTTP, no database": statistics.median(rates["CFSSL"])} if other else {}}
    beside = {"the router": cost["router"], "the client": cost["client"]}
    if other:
        beside["CFSSL"] = cost["cfssl"]
    yield {"suite": "den", "figure": "signed: CPU of den and its signer", "unit": "us/certificate", "value": cost["den"], "beside": beside}


def authorised(program, build, folder):
    """Sessions a second, from den.session.open to the callee's accept: decided by a policy of RULES rules among PEERS peers, audited
    durably. The limits per identity are lifted. The callees sign, and look at nothing."""
    den = Den(program, build, folder, identities=PEERS, dial_burst=0, sessions_per_id=0, sessions_per_pair=0)
    rates, costs = [], []
    try:
        den.add_rules()
        den.net.start_den()
        den.add_tls_keys()
        for number in range(ROUNDS):
            print(f"\r  round {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
            value, spent = den.dial(program)
            rates.append(value)
            costs.append(spent)
        print("\r                 \r", end="", file=sys.stderr, flush=True)
    finally:
        den.close()
    cost = {name: statistics.median(each[name] for each in costs) for name in costs[0]}
    yield {"suite": "den", "figure": f"authorised, {RULES} rules, {PEERS} peers (limits per identity lifted)", "unit": "sessions/s",
           "value": statistics.median(rates), "beside": {}}
    yield {"suite": "den", "figure": "authorised: CPU of den and its signer", "unit": "us/session", "value": cost["den"],
           "beside": {"the router": cost["router"], "the clients": cost["client"]}}


def start(program, build, folder):
    """From the start of the process until it is online."""
    den = Den(program, build, folder)
    try:
        den.add_certificates(CERTIFICATES, is_revoked=False)
        values = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            den.net.start_den()
            values.append(time.monotonic() - began)
            den.net.den.stop()
    finally:
        den.close()
    yield {"suite": "den", "figure": f"start, {CERTIFICATES} certificates", "unit": "s", "value": statistics.median(values), "beside": {}}


def longest(load):
    load.send_signal(signal.SIGUSR1)
    return json.loads(load.stdout.readline())["value"]


def crl(program, build, folder):
    """The longest that a call to den took while a list of that many was made anew, a revocation later each time."""
    port = free_port()
    den = Den(program, build, folder, http=f"127.0.0.1:{port}")
    try:
        den.add_certificates(REVOKED, is_revoked=True)
        den.net.start_den()
        load = den.ping()
        time.sleep(1)
        quiet, values = longest(load), []
        for _ in range(ROUNDS):
            den.add_certificates(1, is_revoked=True)
            seen = len(den.net.den.err)
            den.net.den.wait_line(den.net.den.err, r"event=revocations\.taken", seen)
            time.sleep(0.5)
            values.append(longest(load))
        load.terminate()
        load.wait()
    finally:
        den.close()
    yield {"suite": "den", "figure": f"crl, {REVOKED} entries: longest call", "unit": "ms", "value": max(values),
            "beside": {"the same without a new list": quiet}}


def policy(program, _build, _folder):
    """Decisions about random pairs of 10 000 peers, by the index and by looking at one rule after the other."""
    load, rates = program("policy_load"), {}
    ways = {f"{way}, {rules} rules": [load, way, str(rules)] for rules in (1000, 10000) for way in ("index", "scan")}
    for number in range(ROUNDS):
        print(f"\r  round {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
        for name, argv in ways.items():
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            rates.setdefault(name, []).append(json.loads(done.stdout)["value"])
    print("\r                 \r", end="", file=sys.stderr, flush=True)
    found = {name: statistics.median(values) for name, values in rates.items()}
    yield {"suite": "den", "figure": "policy, 1000 rules, 10 000 peers", "unit": "decisions/s", "value": found.pop("index, 1000 rules"), "beside": found}


def figures(build, program):
    for measure in (signed, authorised, start, crl, policy):
        folder = tempfile.mkdtemp(prefix="warren-bench-")
        try:
            yield from measure(program, build, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
