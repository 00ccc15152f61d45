#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of a link: bench_link.py BUILD [--json FILE] [--rounds N] [--only FIGURE ...]. Two programs on libpeer's public header, a router and
a den, in network namespaces of their own; each figure beside what else there is, in turn. scripts/bench link runs it."""
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests", "lab")]
os.environ["WARREN_BUILD"] = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "build"
import alone  # noqa: E402

alone.enter()

import labnet  # noqa: E402
from network import Failed, Network, Process  # noqa: E402
from reach import Reach  # noqa: E402

BUILD = os.path.join(ROOT, os.environ["WARREN_BUILD"])
FILE_MB = 64  # that QUIC's own client fetches over the emulated Internet; eight times as much over loopback
PATIENCE = 90
LEFT, RIGHT = f"{labnet.SIDE4['left']}.10", f"{labnet.SIDE4['right']}.10"
WANS = {"wan": "50ms", "wan_01": "50ms,0.1%", "wan_1": "50ms,1%", "bottleneck": "50ms,50mbit,queue=262144B"}
REACH = {"loopback": 2500, "loopback_plain": 1200, "wan": 600, "wan_01": 500, "wan_1": 350, "bottleneck": 45}


def note(text):
    print(text, file=sys.stderr, flush=True)


def program(name):
    return os.path.join(BUILD, "tests/bench", name)


def last_json(process):
    return json.loads(process.wait_line(process.out, "^{", patience=PATIENCE))


class Place:
    """Where two programs meet: `start(side, argv)` runs one of them there."""

    addresses = {"left": "127.0.0.1", "right": "127.0.0.1"}
    words = ("--loopback",)

    def __init__(self, net):
        self.net, self.started = net, []

    def prefix(self, side):
        del side
        return []

    def start(self, side, *argv):
        process = Process(os.path.basename(argv[0]), [*self.prefix(side), *argv])
        self.started.append(process)
        return process

    def stop(self):
        for process in reversed(self.started):
            process.stop()
        self.started.clear()


class FarPlace(Place):
    addresses = {"left": LEFT, "right": RIGHT}
    words = ()

    def __init__(self, reach):
        super().__init__(reach.net)
        self.lab = reach.lab

    def prefix(self, side):
        return self.lab.inside(side)


# ---- ours ----

def ours(place, *figure, options=()):
    words = [*options, *place.words]
    bob = place.start("right", program("link_end"), *words, place.net.path("bob"), "serve")
    bob.wait_line(bob.out, "^ready", patience=PATIENCE)
    alice = place.start("left", program("link_end"), *words, place.net.path("alice"), place.net.ids["bob"], *figure)
    return last_json(alice)


# ---- the others ----

def shuttle(ends, what, is_last):
    """Carries what two programs say to each other, line by line, until one says what is waited for."""
    seen = {end: 0 for end in ends}
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for one, other in (ends, ends[::-1]):
            while seen[one] < len(one.out):
                line = one.out[seen[one]]
                seen[one] += 1
                if is_last(line):
                    return line
                other.write(line + "\n")
        time.sleep(0.005)
    raise Failed(f"{what}: nothing came of it")


def wrtc(place):
    folder = os.environ["WARREN_WRTC"]
    ends = []
    for side, role in (("left", "call"), ("right", "answer")):
        end = place.start(side, "node", os.path.join(ROOT, "tests/lab/wrtc.mjs"), folder, role)
        end.wait_line(end.out, '"ready"', patience=PATIENCE)
        del end.out[:]
        ends.append(end)
    ends[0].write('{"bulk": true}\n')
    return json.loads(shuttle(ends, "WebRTC", lambda line: '"bulk"' in line and "mbit" in line))["mbit"]


def nice(place):
    ends = [place.start(side, program("nice_reliable"), place.addresses[side], role) for side, role in (("left", "caller"), ("right", "callee"))]
    return json.loads(shuttle(ends, "libnice", lambda line: line.startswith("{")))["value"]


def tcp_server(place):
    server = place.start("right", "iperf3", "-s", "--forceflush")
    server.wait_line(server.out, "listening", patience=PATIENCE)


def tcp_client(place, algorithm, seconds):
    return place.start("left", "iperf3", "-c", place.addresses["right"], "-C", algorithm, "-O", "3", "-t", str(seconds), "-J")


def tcp_rate(process):
    process.wait(PATIENCE)
    return json.loads("\n".join(process.out))["end"]["sum_received"]["bits_per_second"] / 1e6


def tcp(place, algorithm):
    tcp_server(place)
    return tcp_rate(tcp_client(place, algorithm, 5))


def gtls(place):
    """ngtcp2's own client fetches a file from its own server."""
    folder = place.net.path("gtls")
    size = FILE_MB * (8 if place.addresses["right"] == "127.0.0.1" else 1) << 20
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "key.pem")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
                        "-keyout", os.path.join(folder, "key.pem"), "-out", os.path.join(folder, "cert.pem")], check=True, capture_output=True)
    name = f"file{size}"
    with open(os.path.join(folder, name), "wb") as f:
        f.truncate(size)
    server = place.start("right", "gtlsserver", "-q", "--cc=bbr", "-d", folder, place.addresses["right"], "4433", os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem"))
    time.sleep(0.5)  # it says nothing when it is ready
    begin = time.monotonic()
    client = place.start("left", "gtlsclient", "-q", "--cc=bbr", "--exit-on-all-streams-close", "--max-data=24M", "--max-stream-data-bidi-local=16M", "--max-window=24M",
                         "--max-stream-window=16M", place.addresses["right"], "4433", f"https://{place.addresses['right']}/{name}")
    status = client.wait(PATIENCE)
    took = time.monotonic() - begin
    del server
    if status != 0:
        raise Failed("gtlsclient: " + " ".join(client.err[-3:]))
    return size * 8 / took / 1e6


def others(is_far):
    """name: (what it needs, how)."""
    found = {"libnice reliable": (True, nice),
             "WebRTC": (os.environ.get("WARREN_WRTC") and shutil.which("node"), wrtc),
             "ngtcp2's client and server, BBR": (shutil.which("gtlsserver"), gtls)}
    if is_far:
        algorithms = open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii").read().split()
        for algorithm in ("cubic", "bbr"):
            found[f"TCP {algorithm.upper()}"] = (shutil.which("iperf3") and algorithm in algorithms, lambda place, a=algorithm: tcp(place, a))
    for name, (is_there, _) in found.items():
        if not is_there:
            note(f"bench: {name} is not here: nothing stands in its column")
    return {name: how for name, (is_there, how) in found.items() if is_there}


# ---- figures ----

def in_turn(place, rounds, ways):
    values = {name: [] for name in ways}
    for number in range(rounds):
        for name, how in ways.items():
            try:
                values[name].append(how(place))
                note(f"  round {number + 1}: {name}: {values[name][-1]:.1f}")
            except Failed as e:
                note(f"  round {number + 1}: {name}: {e}")
            finally:
                place.stop()
    return {name: statistics.median(found) for name, found in values.items() if found}


def figure(name, unit, found, wanted=None):
    value = found.pop("ours", float("nan"))
    return {"suite": "link", "figure": name, "unit": unit, "value": value, "beside": found, **({"reach": wanted} if wanted else {})}


def bulk(warm, counted, *options):
    return lambda place: ours(place, "bulk", str(warm), str(counted), options=options)["value"]


def near_figures(place, rounds, only):
    if "loopback" in only:
        note("loopback:")
        yield figure("loopback", "Mbit/s", in_turn(place, rounds, {"ours": bulk(1, 3), **others(False)}), REACH["loopback"])
    if "loopback_plain" in only:
        note("loopback_plain:")
        yield figure("loopback_plain", "Mbit/s", in_turn(place, rounds, {"ours": bulk(1, 3, "--plain"), "libnice reliable": nice}), REACH["loopback_plain"])
    if "rtt_us" in only:
        note("rtt_us:")
        found = in_turn(place, rounds, {"ours": lambda place: ours(place, "ping", "10000")["value"],
                                        "bare UDP": lambda place: last_json(place.start("left", program("udp_ping"), "20000"))["value"]})
        yield figure("rtt_us", "µs", found, 2 * found["bare UDP"])
    if "link_bytes" in only:
        note("link_bytes:")
        yield figure("link_bytes", "KiB", in_turn(place, rounds, {"ours": lambda place: ours(place, "idle", "6")["value"] / 1024}), 256)


def beside_tcp(place):
    """One stream of ours and one of TCP CUBIC at once."""
    tcp_server(place)
    process = tcp_client(place, "cubic", 20)
    mine = ours(place, "bulk", "5", "12")["value"]
    return mine, tcp_rate(process)


def far_figures(reach, rounds, only):
    for name, wan in WANS.items():
        if name not in only:
            continue
        note(f"{name}: {wan}")
        reach.up("open", "open", wan)
        place = FarPlace(reach)
        yield figure(name, "Mbit/s", in_turn(place, rounds, {"ours": bulk(3, 5), **others(True)}), REACH[name])
    if "share" in only:
        note("share: a TCP flow beside it")
        reach.up("open", "open", WANS["bottleneck"])
        place = FarPlace(reach)
        pairs = []
        for _ in range(rounds):
            pairs.append(beside_tcp(place))
            place.stop()
            note(f"  ours {pairs[-1][0]:.1f}, TCP {pairs[-1][1]:.1f}")
        yield figure("share", "Mbit/s", {"ours": statistics.median(p[0] for p in pairs), "TCP CUBIC at the same time": statistics.median(p[1] for p in pairs)})
    if "input_ms" in only:
        note("input_ms:")
        reach.up("open", "open", WANS["bottleneck"])
        place = FarPlace(reach)
        rows = []
        for _ in range(rounds):
            rows.append(ours(place, "input", "10"))
            place.stop()
            note(f"  {rows[-1]}")
        idle = statistics.median(row["idle"] for row in rows)
        yield figure("input_ms", "ms", {"ours": statistics.median(row["value"] for row in rows), "without the bulk stream": idle}, idle + 50)


@contextlib.contextmanager
def near():
    folder = tempfile.mkdtemp(prefix="warren-bench-")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    net = Network(os.environ["WARREN_BUILD"], folder)
    try:
        net.make()
        for name in ("alice", "bob"):
            net.join(name)
        net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can chat")
        yield Place(net)
    finally:
        net.close()
        shutil.rmtree(folder, ignore_errors=True)


NEAR = ["loopback", "loopback_plain", "rtt_us", "link_bytes"]
FAR = [*WANS, "share", "input_ms"]


def figures(rounds, only):
    if set(NEAR) & set(only):
        with near() as place:
            yield from near_figures(place, rounds, only)
    if set(FAR) & set(only):
        reach = Reach(os.environ["WARREN_BUILD"])
        try:
            yield from far_figures(reach, rounds, only)
        finally:
            reach.close()


def markdown(found):
    """The table as the README has it."""
    rows = ["| figure | unit | Warren | reach | beside |", "| --- | --- | --- | --- | --- |"]
    for f in found:
        beside = ", ".join(f"{name} {value:.1f}" for name, value in f["beside"].items())
        less = f["unit"] != "Mbit/s"
        met = "" if "reach" not in f else f"{'at most ' if less else ''}{f['reach']:.0f}: " + ("yes" if (f["value"] <= f["reach"]) == less else "**no**")
        rows.append(f"| `{f['figure']}` | {f['unit']} | {f['value']:.1f} | {met} | {beside} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="nothing stands beside")
    parser.add_argument("--only", nargs="*", choices=NEAR + FAR, default=NEAR + FAR)
    args = parser.parse_args()
    if args.alone:
        globals()["others"] = lambda is_far: {}
    try:
        found = list(figures(args.rounds, args.only))
    except (Failed, labnet.LabError) as e:
        sys.exit(f"bench: link: {e}")
    note("\n" + markdown(found) + "\n")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(found, f)


main()
