# SPDX-License-Identifier: Apache-2.0
"""A laboratory: two hosts behind NATs of a chosen kind, a public segment, and an emulated Internet between the three.

     NAME-left -- [NAME-leftnat2 --] NAME-leftnat --\\              /-- NAME-rightnat -- [NAME-rightnat2 --] NAME-right
                                                    the program `wan`
                                   NAME-turn -- / \\ -- NAME-public

All of it is in network namespaces that are named after the lab; nothing is changed outside of them, so that removing them removes it whole.
What only this program knows is kept in /run/warren-lab/NAME."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import nat

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STATE = "/run/warren-lab"
SIDES = ("left", "right")
PARTS = ("public", "turn", "left", "leftnat", "leftnat2", "right", "rightnat", "rightnat2")
SITES = ("left", "right", "turn", "public")
# Documentation addresses (RFC 5737, RFC 3849): they lead nowhere but here.
PUBLIC4, PUBLIC6 = "192.0.2", "2001:db8"
ROUTER, TURN, TURN_OTHER = 10, 20, 21  # the last number of addresses in the public segment; coturn stands apart, so that it can be cut off
SIDE4 = {"left": "198.51.100", "right": "203.0.113"}
SIDE6 = {"left": "2001:db8:1", "right": "2001:db8:2"}
INNER = {"left": "192.168.1", "right": "192.168.2"}
CARRIER = {"left": "100.64.1", "right": "100.64.2"}
HTTP_PROXY, SOCKS_PROXY = 3128, 1080
TURN_SECRET, TURN_REALM = "of-the-laboratory", "lab.example"
QUEUE = 4096
PATIENCE = 30


class LabError(Exception):
    """With what to do about it."""

    def __init__(self, what, remedy=""):
        super().__init__(what)
        self.remedy = remedy


def run(argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv[:6])}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# ---- what the emulated Internet is told ----

UNITS = {"round_trip": r"[0-9.]+(us|ms|s)", "loss": r"[0-9.]+%", "rate": r"[0-9.]+[kmg]?bit"}


def milliseconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def read_wan(text):
    """50ms,1%,100mbit,jitter=5ms,reorder=1%,queue=100kB as a dictionary: a bare time is the round trip, a bare share the loss."""
    wan = {}
    for word in filter(None, text.split(",")):
        key, _, value = word.rpartition("=")
        if not key:
            key = next((name for name, pattern in UNITS.items() if re.fullmatch(pattern, word)), None)
        if key == "rtt":
            key = "round_trip"
        patterns = {**UNITS, "jitter": UNITS["round_trip"], "reorder": UNITS["loss"], "queue": r"[0-9.]+(B|kB|MB)"}
        try:
            good = key in patterns and re.fullmatch(patterns[key], value) and float(re.match("[0-9.]+", value).group()) >= 0
        except ValueError:
            good = False
        if not good:
            raise LabError(f"--wan: {word!r} is not understood",
                           "say it like 50ms,1%,100mbit,jitter=5ms,reorder=1%,queue=100kB (50ms is the round trip; the rest is each way)")
        if key in wan:
            raise LabError(f"--wan: {key} stands twice in {text!r}")
        wan[key] = value
    return wan


def wan_words(wan):
    words = [f"delay={milliseconds(wan['round_trip']) / 2:.6f}ms"] if "round_trip" in wan else []
    return " ".join(words + [f"{key}={wan[key]}" for key in ("loss", "rate", "jitter", "reorder", "queue") if key in wan])


# ---- what it needs of the machine ----

def emulator():
    built = os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build"), "tests/lab/wan")
    if not os.access(built, os.X_OK):
        raise LabError(f"{built} is not there", "build it: ./scripts/build")
    return built


def needs():
    """LabError unless labs can be made here."""
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("nft", "nftables"), ("conntrack", "conntrack")):
        if not shutil.which(program):
            raise LabError(f"{program} is not installed", f"./scripts/install-deps test (Debian's {package})")
    if os.geteuid() != 0:
        raise LabError("namespaces and TUN devices need root",
                       "run it as root, or inside: unshare --user --map-root-user --net --mount sh -c 'mount -t tmpfs tmpfs /run; exec bash'")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as e:
        raise LabError(f"/dev/net/tun: {e.strerror}", "the emulated Internet is made of TUN devices: modprobe tun, or run it as root") from e
    emulator()


def names():
    """Of all labs that are up, or that were left half way."""
    return sorted(name for name in (os.listdir(STATE) if os.path.isdir(STATE) else []) if os.path.isdir(os.path.join(STATE, name)))


class Lab:
    def __init__(self, name="lab"):
        if not re.fullmatch(r"[a-z][a-z0-9]{0,15}", name):
            raise LabError(f"--name {name}: not a name", "a lower-case letter, then letters and digits, 16 at most")
        self.name = name
        self.folder = os.path.join(STATE, name)
        self.facts = None

    # ---- state ----

    def path(self, *words):
        return os.path.join(self.folder, *words)

    def netns(self, part):
        return f"{self.name}-{part}"

    @contextlib.contextmanager
    def locked(self):
        """Nobody else changes this lab meanwhile."""
        os.makedirs(STATE, exist_ok=True)
        with open(self.folder + ".lock", "w", encoding="ascii") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def event(self, side):
        """Something happens to a side of a lab that is up: changes its facts, which are kept."""
        with self.locked():
            self.load()
            yield self.side(side)
            self.save()

    def save(self):
        with open(self.path("lab.json.new"), "w", encoding="ascii") as f:
            json.dump(self.facts, f)
        os.replace(self.path("lab.json.new"), self.path("lab.json"))

    def load(self):
        try:
            with open(self.path("lab.json"), encoding="ascii") as f:
                self.facts = json.load(f)
        except FileNotFoundError as e:
            others = f"; there are: {', '.join(names())}" if names() else ""
            raise LabError(f"no lab {self.name!r} is up{others}", "tests/lab/lab up") from e
        if not self.is_whole():
            raise LabError(f"lab {self.name!r} is not whole: it was left half way", f"tests/lab/lab down --name {self.name}")
        return self

    def is_whole(self):
        return all(os.path.exists(f"/run/netns/{self.netns(part)}") for part in self.parts()) and self.is_answering()

    def is_answering(self):
        try:
            return bool(self.tell("stats"))
        except (LabError, OSError):
            return False

    def side(self, side):
        if side not in SIDES:
            raise LabError(f"{side!r} is not a side", "left or right")
        return self.facts[side]

    def parts(self):
        return [part for part in PARTS if not part.endswith("nat2") or self.facts[part[:-4]]["kind"] == "double"]

    # ---- doing things in a part ----

    def inside(self, part):
        """What goes before a command so that it runs in the part, and what its environment has in addition."""
        return ["ip", "netns", "exec", self.netns(part)]

    def environment(self, part):
        if part not in SIDES or self.facts[part]["kind"] != "proxy":
            return {}
        proxy = f"http://{INNER[part]}.1:{HTTP_PROXY}"
        return {"https_proxy": proxy, "HTTPS_PROXY": proxy}

    def sh(self, part, script):
        run(["nsenter", f"--net=/run/netns/{self.netns(part)}", "sh", "-ec", script])

    def nft(self, part, text):
        run(["nsenter", f"--net=/run/netns/{self.netns(part)}", "nft", "-f", "-"], input=text)

    def daemon(self, name, argv, ready, part=None):
        """Starts a program that stays; it is found again by its namespace."""
        with open(self.path(name + ".log"), "w", encoding="ascii") as log:
            process = subprocess.Popen([*(["nsenter", f"--net=/run/netns/{self.netns(part)}"] if part else []), *argv], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + PATIENCE
        while True:
            with open(self.path(name + ".log"), encoding="ascii", errors="replace") as log:
                said = log.read()
            if re.search(ready, said):
                return
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise LabError(f"{name} did not start: {said.strip()[-300:] or 'it said nothing'}")
            time.sleep(0.01)

    # ---- the emulated Internet ----

    def tell(self, command):
        mine = self.path(f"asks.{os.getpid()}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            try:
                s.bind(mine)
                s.settimeout(PATIENCE)
                s.connect(self.path("wan"))
                s.send(command.encode("ascii"))
                answer = s.recv(65536).decode("ascii")
            except OSError as e:
                raise LabError(f"the emulated Internet of lab {self.name!r} does not answer: {e.strerror or e}",
                               f"tests/lab/lab down --name {self.name}, and up again; {self.path('wan.log')} may say why") from e
            finally:
                if os.path.exists(mine):
                    os.unlink(mine)
        if answer.startswith("error: "):
            raise LabError(answer[7:])
        return answer

    def set_wan(self, wan, ways=None):
        """Of every way, or of those in `ways`, pairs of sites in order."""
        for a, b in ways or [(a, b) for a in SITES for b in SITES if a != b]:
            self.tell(f"set {a} {b} {wan_words(wan)}")

    def stats(self):
        return json.loads(self.tell("stats"))

    # ---- up ----

    def up(self, left="open", right="open", wan="", coturn=False):
        for side, kind in (("left", left), ("right", right)):
            if kind not in nat.KINDS:
                raise LabError(f"--{side} {kind}: there is no such kind", "one of: " + ", ".join(nat.KINDS))
        wan = read_wan(wan)
        needs()
        kept = {"public": 2, "inside": 2, "rebinds": 0, "is_pulled": False}
        self.facts = {"left": {"kind": left, **kept}, "right": {"kind": right, **kept}, "wan": wan, "coturn": coturn}
        with self.locked():
            if os.path.exists(self.path("lab.json")):
                raise LabError(f"there is a lab {self.name!r} already", f"tests/lab/lab down --name {self.name}, or give this one another --name")
            self.remove()
            os.makedirs(self.folder)
            try:
                self.build()
                self.save()
            except BaseException:
                self.remove()
                raise
        return self

    def build(self):
        for part in self.parts():
            run(["ip", "netns", "add", self.netns(part)])
            self.sh(part, "ip link set lo up; for f in all default; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; "
                    "echo 0 > /proc/sys/net/ipv6/conf/$f/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/$f/accept_ra; done")
        sites = [f"{side},{self.netns(side + 'nat')},{SIDE4[side]}.0/24,{SIDE6[side]}::/48" for side in SIDES]
        self.daemon("wan", [emulator(), self.path("wan"), *sites,
                            f"turn,{self.netns('turn')},{PUBLIC4}.{TURN}/31,{PUBLIC6}::{TURN}/124",  # before the prefix that holds it
                            f"public,{self.netns('public')},{PUBLIC4}.0/24,{PUBLIC6}::/48"], "^ready", "public")
        self.build_server("public", ROUTER)
        self.build_server("turn", TURN, TURN_OTHER)
        for side in SIDES:
            self.build_side(side)
        self.set_wan(self.facts["wan"])
        if self.facts["coturn"]:
            self.start_coturn()

    def build_server(self, part, *numbers):
        addresses = "".join(f"ip addr add {PUBLIC4}.{n}/32 dev wan0; ip addr add {PUBLIC6}::{n}/128 dev wan0 nodad; " for n in numbers)
        # The default route swallows what is sent to a private address. Without it a sender would get an error that none gets on the Internet.
        self.sh(part, f"ip link set wan0 txqueuelen {QUEUE} up; {addresses} ip route add default dev wan0; ip -6 route add default dev wan0")

    def build_side(self, side):
        kind, box = self.side(side)["kind"], side + "nat"
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; "
        self.sh(box, forward + f"ip link set wan0 txqueuelen {QUEUE} up; ip route add default dev wan0; ip -6 route add default dev wan0")
        last = box
        if kind == "double":
            last = side + "nat2"
            run(["ip", "link", "add", "lan0", "netns", self.netns(box), "type", "veth", "peer", "name", "up0", "netns", self.netns(last)])
            carrier = CARRIER[side]
            self.sh(box, f"ip addr add {carrier}.1/24 dev lan0; ip link set lan0 up")
            self.sh(last, forward + f"ip addr add {carrier}.2/24 dev up0; ip link set up0 up; ip route add default via {carrier}.1")
            self.nft(last, nat.rules("port", "up0", "lan0", f"{carrier}.2", self.host(side)))
        run(["ip", "link", "add", "lan0", "netns", self.netns(last), "type", "veth", "peer", "name", "eth0", "netns", self.netns(side)])
        self.sh(last, f"ip addr add {self.gateway(side)} dev lan0{' nodad' if kind == 'ipv6' else ''}; ip link set lan0 up")
        self.sh(side, "ip link set eth0 up")
        self.address_host(side)
        self.address_box(side)
        if kind == "proxy":
            self.daemon(f"proxy-{side}", ["/usr/bin/python3", os.path.join(HERE, "proxy.py"), f"{INNER[side]}.1", str(HTTP_PROXY), str(SOCKS_PROXY)],
                        "^ready", box)

    def host(self, side):
        """The host's own address."""
        at = self.side(side)
        if at["kind"] == "open":
            return f"{SIDE4[side]}.{8 + at['inside']}"
        return f"{SIDE6[side]}:1::{at['inside']}" if at["kind"] == "ipv6" else f"{INNER[side]}.{at['inside']}"

    def public_address(self, side):
        """What the world sees of it."""
        at = self.side(side)
        return self.host(side) if at["kind"] in ("open", "ipv6") else f"{SIDE4[side]}.{at['public']}"

    def gateway(self, side):
        kind = self.side(side)["kind"]
        return f"{SIDE4[side]}.1/24" if kind == "open" else f"{SIDE6[side]}:1::1/64" if kind == "ipv6" else f"{INNER[side]}.1/24"

    def address_host(self, side):
        family, bits, flags = ("-6", 64, " nodad") if self.side(side)["kind"] == "ipv6" else ("-4", 24, "")
        self.sh(side, f"ip {family} addr flush dev eth0 scope global; ip {family} addr add {self.host(side)}/{bits} dev eth0{flags}; "
                f"ip {family} route replace default via {self.gateway(side).split('/')[0]}")

    def address_box(self, side):
        at, box = self.side(side), side + "nat"
        if at["kind"] not in ("open", "ipv6"):
            self.sh(box, f"ip -4 addr flush dev wan0; ip addr add {self.public_address(side)}/32 dev wan0; ip route replace default dev wan0")
        inner = f"{CARRIER[side]}.2" if at["kind"] == "double" else self.host(side)
        self.nft(box, nat.rules(at["kind"], "wan0", "lan0", self.public_address(side), inner, at["rebinds"]))

    def start_coturn(self):
        """With time-limited credentials of the secret TURN_SECRET; on two addresses, as RFC 5780 needs them."""
        if not shutil.which("turnserver"):
            raise LabError("turnserver is not installed", "./scripts/install-deps test (Debian's coturn)")
        listeners = [word for n in (TURN, TURN_OTHER) for word in ("--listening-ip", f"{PUBLIC4}.{n}", "--relay-ip", f"{PUBLIC4}.{n}")]
        listeners += ["--listening-ip", f"{PUBLIC6}::{TURN}", "--relay-ip", f"{PUBLIC6}::{TURN}"]
        self.daemon("coturn", ["turnserver", "-n", *listeners, "--aux-server", f"{PUBLIC4}.{TURN}:443", "--use-auth-secret", "--static-auth-secret", TURN_SECRET, "--realm", TURN_REALM,
                               "--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout", "--pidfile", self.path("coturn.pid"),
                               "--userdb", self.path("coturn.db")], "DB connection success", "turn")  # it has opened its listeners by then

    def stop_coturn(self):
        kill_all(self.netns("turn"))  # nothing else runs there

    # ---- down ----

    def remove(self):
        """Everything of that name, whole or not."""
        for part in PARTS:
            if not os.path.exists(f"/run/netns/{self.netns(part)}"):
                continue
            kill_all(self.netns(part))
            subprocess.run(["ip", "netns", "delete", self.netns(part)], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def down(self):
        with self.locked():
            there = os.path.exists(self.folder) or any(os.path.exists(f"/run/netns/{self.netns(part)}") for part in PARTS)
            self.remove()
        if not there:
            raise LabError(f"no lab {self.name!r} is up" + (f"; there are: {', '.join(names())}" if names() else ""))

    # ---- events ----

    def flush(self, side):
        """What the boxes of a side remember of flows."""
        for part in self.parts():
            if part.startswith(side + "nat"):
                subprocess.run(["nsenter", f"--net=/run/netns/{self.netns(part)}", "conntrack", "-F"], capture_output=True, check=False)

    def near_box(self, side):
        """The box that the host's cable leads to."""
        return side + ("nat2" if self.side(side)["kind"] == "double" else "nat")

    def pull(self, side):
        """The host's cable: its device loses its carrier."""
        with self.event(side) as at:
            self.sh(self.near_box(side), "ip link set lan0 down")
            at["is_pulled"] = True

    def plug(self, side):
        with self.event(side) as at:
            nodad = " nodad" if at["kind"] == "ipv6" else ""  # a device that goes down loses its IPv6 addresses
            self.sh(self.near_box(side), f"ip addr replace {self.gateway(side)} dev lan0{nodad}; ip link set lan0 up")
            at["is_pulled"] = False

    def rebind(self, side):
        """The NAT forgets every mapping, as after a reboot, and gives ports of another range from now on."""
        with self.event(side) as at:
            at["rebinds"] += 1
            self.address_box(side)
            self.flush(side)

    def renumber(self, side, inside=False):
        """Another public address; with `inside`, another one of the host itself (which is the public one where there is no NAT)."""
        with self.event(side) as at:
            if inside or at["kind"] in ("open", "ipv6"):
                at["inside"] = 2 + (at["inside"] - 1) % 100
                self.address_host(side)
            else:
                at["public"] = 2 + (at["public"] - 1) % 100
            if at["kind"] == "double" and inside:
                self.nft(side + "nat2", nat.rules("port", "up0", "lan0", f"{CARRIER[side]}.2", self.host(side)))
            self.address_box(side)
            self.flush(side)

    def narrow(self, side, mtu, says=False):
        """The cable of a side's box takes packets of `mtu` bytes at most (1500: all again), as behind a tunnel. Larger ones vanish, and nobody is told, unless
        `says`. TCP is helped, as such boxes do."""
        box, near = side + "nat", self.near_box(side)
        silent = "" if says else ("chain said { type filter hook output priority 0; icmp type destination-unreachable icmp code frag-needed drop; "
                                  "icmpv6 type packet-too-big drop; }\n")
        with self.event(side):
            self.sh(box, f"ip link set wan0 mtu {mtu}")
            self.sh(near, f"ip link set lan0 mtu {mtu}")
            for part in {box, near}:
                self.nft(part, "table inet narrow {}; delete table inet narrow; table inet narrow { chain clamp { type filter hook forward priority mangle; "
                         f"tcp flags syn tcp option maxseg size set {mtu - 60}; }}\n{silent}}}")

    def cut(self, a, b, is_cut=True):
        """Swallows everything between two sites, both ways; nobody is told."""
        for x in (a, b):
            if x not in SITES or a == b:
                raise LabError(f"{a!r} and {b!r} are not two sites", "two of: " + ", ".join(SITES))
        with self.locked():
            self.load()
            for x, y in ((a, b), (b, a)):
                self.tell(f"{'cut' if is_cut else 'mend'} {x} {y}")

    def wan(self, text, ways=None):
        wan = read_wan(text)
        with self.locked():
            self.load()
            self.set_wan(wan, ways)
            if ways is None:
                self.facts["wan"] = wan
            self.save()


def kill_all(netns):
    """Whatever runs in a namespace, until nothing does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        done = subprocess.run(["ip", "netns", "pids", netns], capture_output=True, text=True, check=False)
        pids = [int(word) for word in done.stdout.split()]
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
