# SPDX-License-Identifier: Apache-2.0
"""The router's figures: a real warren-router, a throw-away network, beside Debian's nats-server over TLS with its C client, and
beside a WAMP router of npm's."""
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
from network import Network, free_port  # noqa: E402

ROUNDS = 3
SECONDS = 2
PEERS = (10, 1000, 15000)  # 15 000 and some in reserve are what 20 000 descriptors allow: WARREN_BENCH_PEERS sets the last one
HOLD = 120  # seconds with all of them: WARREN_BENCH_HOLD
HOSTS = 8  # loopback addresses that they connect to
IN_ONE_PROGRAM, STORM = 3000, 500
LIMITS = {"max_connections": 19800, "unlimited_networks": "127.0.0.0/8 ::1", "max_pending_calls": 100000, "max_unauthenticated": 19800,
          "max_request_rate": 0, "guest_request_rate": 0}
REALM = "bench"  # of stock clients
PATIENCE = 300


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


class Load:
    """A load program that says lines of JSON."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def hear_all(self, what):
        while True:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"bench: {' '.join(self.process.args)} ended before it was {what}")
            said = json.loads(line)
            if said.get("said") == what:
                return said

    def hear(self, what):
        return self.hear_all(what).get("at")

    def result(self):
        out = self.process.communicate(timeout=PATIENCE)[0]
        if self.process.returncode != 0 or not out.strip():
            sys.exit(f"bench: {' '.join(self.process.args)} failed")
        return json.loads(out.strip().splitlines()[-1])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Warren:
    name = "Warren"

    def __init__(self, program, build, folder, more=None):
        self.load, self.loads = program("router_load"), []
        self.net = Network(build, folder, name="bench.warren")
        self.net.has_limits = True  # lifted below, with the others
        self.net.init()
        with open(self.net.path("router/router.conf"), "a", encoding="ascii") as f:
            f.write("".join(f"{key} = {value}\n" for key, value in {**LIMITS, **(more or {})}.items()))
            self.metrics_port = free_port()
            f.write(f"metrics = 127.0.0.1:{self.metrics_port}\nrealms = realms.conf\n")
        with open(self.net.path("router/realms.conf"), "w", encoding="ascii") as f:
            f.write(f"[realm {REALM}]\nmethods = anonymous\n")
        self.log = open(self.net.path("router.log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [self.net.program("warren-router"), "--config", self.net.path("router/router.conf")], stderr=self.log)
        wait_port(self.net.port)
        self.den = self.start("den")
        self.den.hear("ready")

    def start(self, verb, **options):
        words = [f"{key}={value}" for key, value in options.items()]
        load = Load([self.load, verb, self.net.path("den"), f"port={self.net.port}", *words])
        self.loads.append(load)
        return load

    def end(self, load):
        load.stop()
        self.loads.remove(load)

    def calls(self, window, single=0):
        serve = self.start("serve", single=single)
        serve.hear("ready")
        before = cpu_seconds(self.process.pid)
        call = self.start("call", window=window, single=single, seconds=SECONDS)
        result = call.result()
        # The call program counts for SECONDS after half a second of warming up; the router's work is that of both.
        result["router_us"] = (cpu_seconds(self.process.pid) - before) * 1e6 / (result["value"] * (SECONDS + 0.5))
        self.end(call)
        self.end(serve)
        return result

    def sessions(self, resume):
        load = self.start("sessions", seconds=SECONDS, parallel=32, resume=resume)
        result = load.result()
        self.end(load)
        return result["value"]

    def turns(self):
        """How many turns of its loop took longer than so many seconds, from its metrics: {bound: turns}, and all of them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE) as page:
            text = page.read().decode()
        found = re.findall(r'loop_turn_duration_seconds_bucket\{le="([^"]+)"\} (\d+)', text)
        buckets = {float(bound): int(n) for bound, n in found}
        dropped = sum(int(float(n)) for n in re.findall(r"^warren_router_events_dropped_total (\S+)", text, re.M))
        return buckets, dropped

    def close(self):
        for load in list(self.loads):
            self.end(load)
        self.process.terminate()
        self.process.wait()
        self.log.close()
        self.net.close()


class Nats:
    def __init__(self, program, folder):
        self.program, self.folder, self.port = program("nats_load"), folder, free_port()
        cert, key = os.path.join(folder, "nats.pem"), os.path.join(folder, "nats.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
        conf = os.path.join(folder, "nats.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f'listen: "127.0.0.1:{self.port}"\nmax_connections: 19800\n'
                    f'tls {{ cert_file: "{cert}", key_file: "{key}" }}\n')
        self.cert, self.key = cert, key
        server = shutil.which("nats-server", path=os.environ["PATH"] + ":/usr/sbin")
        self.process = subprocess.Popen([server, "-c", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_port(self.port)

    def calls(self, window, flush):
        words = [str(self.port), str(window), "64", str(SECONDS), str(int(flush))]
        serve = Load([self.program, "serve", *words])
        serve.hear("ready")
        before = cpu_seconds(self.process.pid)
        call = Load([self.program, "call", *words])
        result = call.result()
        result["router_us"] = (cpu_seconds(self.process.pid) - before) * 1e6 / (result["value"] * (SECONDS + 0.5))
        call.stop()
        serve.stop()
        return result

    def bytes_a_client(self, count):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        before, held = resident_bytes(self.process.pid), []
        for _ in range(count):
            plain = socket.create_connection(("127.0.0.1", self.port))
            plain.recv(65536)
            sock = context.wrap_socket(plain)
            sock.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
            if b"PONG" not in sock.recv(65536):
                sys.exit("bench: nats-server did not answer")
            held.append(sock)
        time.sleep(1)
        grown = resident_bytes(self.process.pid) - before
        for sock in held:
            sock.close()
        return grown / count

    def close(self):
        self.process.kill()
        self.process.wait()


class Forwarder:
    """What libwebsockets and this machine can do today: frames passed on as they are, over TLS, coalesced; no WAMP."""

    def __init__(self, program, cert, key):
        self.program, self.port = program("forward"), free_port()
        self.server = Load([self.program, "route", str(self.port), cert, key])
        self.server.hear("ready")

    def calls(self, window):
        words = [f"port={self.port}", f"window={window}", f"seconds={SECONDS}"]
        serve = Load([self.program, "serve", *words])
        serve.hear("ready")
        before = cpu_seconds(self.server.process.pid)
        call = Load([self.program, "call", *words])
        result = call.result()
        result["router_us"] = (cpu_seconds(self.server.process.pid) - before) * 1e6 / (result["value"] * (SECONDS + 0.5))
        call.stop()
        serve.stop()
        return result

    def close(self):
        self.server.stop()


class Fox:
    """A WAMP router of npm's, fox-wamp (JSON alone), on Node over TLS; and a small client on Node that measures both routers."""

    def __init__(self, build, cert, key):
        self.folder, self.port = os.path.join(os.path.abspath(build), "fox"), free_port()
        os.makedirs(self.folder, exist_ok=True)
        for name in ("package.json", "package-lock.json", "router.cjs", "load.cjs"):
            shutil.copy(os.path.join(ROOT, "tests", "bench", "fox", name), self.folder)
        if not os.path.isdir(os.path.join(self.folder, "node_modules", "fox-wamp")):
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=self.folder, check=True,
                           capture_output=True, timeout=PATIENCE)
        self.process = subprocess.Popen(["node", "router.cjs", str(self.port), cert, key], cwd=self.folder, stdout=subprocess.DEVNULL)
        wait_port(self.port)

    def calls(self, port, pid, window):
        words = [str(port), REALM, str(window), str(SECONDS)]
        serve = Load(["node", os.path.join(self.folder, "load.cjs"), "serve", *words])
        serve.hear("ready")
        before = cpu_seconds(pid)
        call = Load(["node", os.path.join(self.folder, "load.cjs"), "call", *words])
        result = call.result()
        result["router_us"] = (cpu_seconds(pid) - before) * 1e6 / (result["value"] * (SECONDS + 0.5))
        call.stop()
        serve.stop()
        return result

    def close(self):
        self.process.kill()
        self.process.wait()


class SServer:
    """openssl s_server and s_time: TLS 1.3 alone, no WebSocket, no identity, no routing."""

    def __init__(self, cert, key):
        self.port = free_port()
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", cert, "-key", key,
                                         "-tls1_3", "-quiet", "-num_tickets", "0"], stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_port(self.port)

    def sessions(self):
        done = subprocess.run(["openssl", "s_time", "-new", "-tls1_3", "-connect", f"127.0.0.1:{self.port}", "-time", str(SECONDS)],
                              capture_output=True, text=True, check=False, timeout=PATIENCE)
        found = re.search(r"(\d+) connections in (\d+) real seconds", done.stdout)
        if not found:
            sys.exit(f"bench: openssl s_time said:\n{done.stdout}{done.stderr}")
        return int(found.group(1)) / int(found.group(2))

    def close(self):
        self.process.kill()
        self.process.wait()


def wait_port(port):
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until:
                sys.exit("bench: a server did not start")
            time.sleep(0.05)


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def medians(runs):
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def in_turn(runners):
    """{name: a measurement} -> {name: [its results]}: A B C A B C ..."""
    results = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, run in runners.items():
            results[name].append(run())
    return results


def figure(name, unit, value, beside, **more):
    return {"suite": "router", "figure": name, "unit": unit, "value": value, "beside": beside, **more}


def calls_figure(name, warren, nats, forwarder, window, single, is_latency):
    runners = {"Warren": lambda: warren.calls(window, single), "NATS flushed at once": lambda: nats.calls(window, True)}
    if not single:
        runners["bare forwarder"] = lambda: forwarder.calls(window)
    if not single and not is_latency:
        runners["NATS buffered"] = lambda: nats.calls(window, False)
    found = {who: medians(runs) for who, runs in in_turn(runners).items()}
    key = "p50_us" if is_latency else "value"
    for who, result in found.items():
        say(f"{name:17} {who:21} {result['value']:9.0f} calls/s  p50 {result['p50_us']:7.0f}  p99 {result['p99_us']:7.0f} us  "
            f"server CPU {result['router_us']:6.2f} us a call")
    ours = found.pop("Warren")
    return figure(name, "us" if is_latency else "calls/s", ours[key], {who: result[key] for who, result in found.items()},
                  p99_us=ours["p99_us"], cpu_us=ours["router_us"],
                  cpu_us_beside={who: result["router_us"] for who, result in found.items()})


def stock_figure(build, warren, nats):
    """The same stock-like clients, JSON over TLS, at both WAMP routers."""
    try:
        fox = Fox(build, nats.cert, nats.key)
    except (OSError, subprocess.SubprocessError) as why:
        say(f"calls_64_json: no fox-wamp here: {why}")
        return
    runs = in_turn({"Warren": lambda: fox.calls(warren.net.port, warren.process.pid, 64),
                    "fox-wamp": lambda: fox.calls(fox.port, fox.process.pid, 64)})
    fox.close()
    found = {who: medians(results) for who, results in runs.items()}
    ours, other = found["Warren"], found["fox-wamp"]
    yield figure("calls_64_json", "calls/s, a client on Node", ours["value"], {"fox-wamp": other["value"]}, p99_us=ours["p99_us"])
    yield figure("calls_64_json_cpu", "us of router CPU a call", ours["router_us"], {"fox-wamp": other["router_us"]})


def sessions_figures(warren, nats):
    server = SServer(nats.cert, nats.key)
    found = in_turn({"Warren": lambda: warren.sessions(0), "resumed": lambda: warren.sessions(1),
                     "openssl s_time, TLS alone": server.sessions})
    server.close()
    found = {who: statistics.median(values) for who, values in found.items()}
    ours, resumed = found.pop("Warren"), found.pop("resumed")
    yield figure("sessions", "1/s", ours, found)
    yield figure("sessions_resumed", "1/s", resumed, {"Warren with full handshakes": ours})


def hold(warren, counts):
    """Adds idle peers up to each count, and yields the count: all listen to one topic."""
    held = 0
    for count in counts:
        loads = []
        while held < count:
            n = min(IN_ONE_PROGRAM, count - held)
            loads.append(warren.start("hold", number=100 + held, count=n, hosts=HOSTS, storm=STORM))
            held += n
        for load in loads:
            load.hear("ready")
        time.sleep(1)
        yield count, loads


def fanout(warren, holders, count):
    """One event to all who are held, while one peer calls another, one call at a time."""
    serve = warren.start("serve")
    serve.hear("ready")
    runs = []
    for _ in range(ROUNDS):
        call = warren.start("call", window=1, seconds=3)
        time.sleep(1.5)
        warren.den.process.send_signal(signal.SIGUSR1)
        at = warren.den.hear("published")
        heard = max(load.hear("heard") for load in holders)
        runs.append({"last_ms": (heard - at) / 1000, "longest_ms": call.result()["max_us"] / 1000})
        warren.end(call)
    warren.end(serve)
    found = medians(runs)
    yield figure("fanout", f"ms to the last of {count}", found["last_ms"], {})
    yield figure("fanout_call", "ms, the longest call meanwhile", found["longest_ms"], {})


def all_turns(before, after):
    """(99 of 100 turns are shorter, all are shorter), in ms, of a histogram's buckets at two times."""
    grown = sorted((bound, after[bound] - before[bound]) for bound in after)
    total = grown[-1][1]

    def bound_of(part):
        return next(bound for bound, n in grown if n >= total * part) * 1000
    return bound_of(0.99), bound_of(1)


def reports(holders):
    """(connections lost, events heard) so far."""
    lost = events = 0
    for load in holders:
        load.process.send_signal(signal.SIGHUP)
        report = load.hear_all("report")
        lost, events = lost + report["lost"], events + report["events"]
    return lost, events


def held_figures(warren, holders, count):
    """All of them for minutes: a caller that never stops, an event to all and a storm of those who connect again in turn."""
    seconds = int(os.environ.get("WARREN_BENCH_HOLD", HOLD))
    serve = warren.start("serve")
    serve.hear("ready")
    before, _ = warren.turns()
    _, heard_before = reports(holders)
    call = warren.start("call", window=16, seconds=seconds)
    until, rounds, back = time.monotonic() + seconds, 0, []
    while time.monotonic() < until:
        stormers = holders[rounds % len(holders)]
        stormers.process.send_signal(signal.SIGUSR2)
        left_at = stormers.hear("storm")
        back.append((stormers.hear("back") - left_at) / 1000)
        time.sleep(1)  # their subscriptions are made anew
        warren.den.process.send_signal(signal.SIGUSR1)
        warren.den.hear("published")
        for load in holders:
            load.hear("heard")
        rounds += 1
    result = call.result()
    after, dropped = warren.turns()
    lost, events = reports(holders)
    events -= heard_before
    warren.end(call)
    warren.end(serve)
    p99, longest = all_turns(before, after)
    say(f"{count} peers held for {seconds} s: {result['calls']} calls, {rounds} events to all ({events} heard, {dropped} dropped), "
        f"{rounds} storms of {STORM}, {lost} connections lost; turns of the loop: 99 of 100 within {p99:g} ms, all within {longest:g} ms")
    yield figure(f"held_{count}", "connections and events lost", lost + rounds * count - events, {"events heard": events})
    yield figure("held_memory", "MB of the router", resident_bytes(warren.process.pid) / 1e6, {})
    yield figure("held_call", "us, p50 of calls meanwhile", result["p50_us"], {"p99": result["p99_us"], "longest": result["max_us"]})
    yield figure("held_storm", f"ms until {STORM} are back", statistics.median(back), {"longest": max(back)})
    yield figure("held_turn", "ms, 99 of 100 turns of the loop are shorter", p99, {"all are": longest})


def population(warren, nats):
    counts = list(PEERS)
    counts[-1] = int(os.environ.get("WARREN_BENCH_PEERS", counts[-1]))
    holders, costs, rates, resident = [], {}, {}, {}
    for count, loads in hold(warren, counts):
        holders.extend(loads)
        resident[count] = resident_bytes(warren.process.pid)
        runs = medians([warren.calls(64) for _ in range(ROUNDS)])
        costs[count], rates[count] = runs["router_us"], runs["value"]
        say(f"{count} peers: {rates[count]:.0f} calls/s, router CPU {costs[count]:.2f} us a call")
    few, many = counts[-2], counts[-1]
    yield figure("peer_bytes", "bytes", (resident[many] - resident[few]) / (many - few),
                 {"NATS": nats.bytes_a_client(1000)})
    yield figure("calls_by_peers", f"us of router CPU a call, {many} peers", costs[many],
                 {f"{count} peers": costs[count] for count in counts[:-1]}, rates=rates)
    yield from fanout(warren, holders, many)
    yield from held_figures(warren, holders, many)


def figures(build, program):
    folder = tempfile.mkdtemp(prefix="warren-bench-")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    warren = nats = forwarder = None
    try:
        warren, nats = Warren(program, build, folder), Nats(program, folder)
        forwarder = Forwarder(program, nats.cert, nats.key)
        load_before = os.getloadavg()[0]
        say(f"load average {load_before:.1f} on {os.cpu_count()} cores before; limits lifted: " +
            ", ".join(f"{key} {value}" for key, value in LIMITS.items()))
        for name, window, single, is_latency in (("calls_64", 64, 0, False), ("calls_512", 512, 0, False),
                                                 ("calls_512_single", 512, 1, False), ("rtt_1", 1, 0, True)):
            yield calls_figure(name, warren, nats, forwarder, window, single, is_latency)
        yield from stock_figure(build, warren, nats)
        yield from sessions_figures(warren, nats)
        yield from population(warren, nats)
        yield figure("load_average", "when it was over", os.getloadavg()[0], {"before": load_before})
    finally:
        for server in (warren, nats, forwarder):
            if server:
                server.close()
        shutil.rmtree(folder, ignore_errors=True)
