#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den is taken over, or its signer: what the sandbox lets happen, what the signer signs, and how soon it is noticed"""
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from fakeden import FakeDen, HungUp, attacks, u64, now
from hardening import weak_spots
from network import run, signer_of

drill = Drill("R23", "den's process is taken over, or its signer's")
TRIES = 2000


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)


def secret_of(path):
    """What of a key file would be in memory: an Ed25519 seed, or a private number."""
    with open(path, encoding="ascii") as f:
        text = f.read()
    if text.startswith("warren-ed25519 "):
        return bytes.fromhex(text.split()[1])
    shown = run(["openssl", "pkey", "-in", path, "-noout", "-text"]).stdout
    octets = re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)", shown).group(1)
    return bytes.fromhex(re.sub(r"[^0-9a-f]", "", octets)).lstrip(b"\0")


def find_in(pid, secret):
    """(how often it is in memory that may be swapped or dumped, in locked memory), either way round."""
    hits = [0, 0]
    with open(f"/proc/{pid}/smaps", encoding="ascii") as f:
        maps = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\S+).*?^VmFlags: ([^\n]*)", f.read(), re.M | re.S)
    with open(f"/proc/{pid}/mem", "rb") as mem:
        for start, end, rights, flags in maps:
            if "r" not in rights:
                continue
            try:
                mem.seek(int(start, 16))
                data = mem.read(int(end, 16) - int(start, 16))
            except (OSError, ValueError):
                continue
            hits["lo" in flags.split()] += data.count(secret) + data.count(secret[::-1])
    return hits


# ---- the programs as they were built ------------------------------------------------------------------------------------------------
programs = [os.path.join(os.environ.get("WARREN_BUILD", "build"), p) for p in ("router/warren-router", "den/warren-den", "den/warren-den-signer",
                                                                               "peer/cli/warren")]
weak = {os.path.basename(p): weak_spots(p) for p in programs}
drill.require("PIE, RELRO, NOW, stack protector, FORTIFY, CET, no executable stack in 4 programs", not any(weak.values()),
              "all" if not any(weak.values()) else str(weak))

with drill.network() as net:
    # ---- its sandbox, from outside ---------------------------------------------------------------------------------------------------
    pid = signer_of(net.den.process.pid)
    ready = net.den.wait_line(net.den.err, r"event=signer\.ready")
    drill.say(ready.split("event=", 1)[1])
    facts = status(pid)
    drill.require("seccomp filters its system calls", facts["Seccomp"].strip() == "2", f"Seccomp: {facts['Seccomp'].strip()}")
    drill.require("no new privileges", facts["NoNewPrivs"].strip() == "1", f"NoNewPrivs: {facts['NoNewPrivs'].strip()}")
    drill.require("landlock", "landlock=v" in ready, re.search(r"landlock=(\S+)", ready).group(1))
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        core = re.search(r"Max core file size\s+(\S+)\s+(\S+)", f.read()).groups()
    drill.require("core dumps are off", core == ("0", "0"), f"limits {core}")
    fds = sorted(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0].replace(net.folder, "") for fd in os.listdir(f"/proc/{pid}/fd"))
    drill.require("no socket but the one to den, no file but its own three", fds.count("socket") == 1 and
                  [fd for fd in fds if "/den/" in fd] == ["/den/signer.book", "/den/signer.numbers", "/den/signer.orders"], ", ".join(fds))

    # ---- where the keys are ----------------------------------------------------------------------------------------------------------
    secrets_of = {os.path.basename(p): secret_of(p) for p in (net.path("den/sign.key"), net.path("den/intermediate.key"))}
    in_den = {name: sum(find_in(net.den.process.pid, s)) for name, s in secrets_of.items()}
    drill.measure("times that the signer's keys are in den's memory", sum(in_den.values()), "", at_most=0)
    in_signer = {name: find_in(pid, s) for name, s in secrets_of.items()}
    drill.measure("times that they are in memory of the signer that is not locked", sum(h[0] for h in in_signer.values()), "", at_most=0)
    drill.require("the same search finds each in the signer's locked memory", all(h[1] > 0 for h in in_signer.values()), str(in_signer))
    login = secret_of(net.path("den/login.key"))
    drill.require("and den's own key in den's", sum(find_in(net.den.process.pid, login)) > 0, "login.key")

    # ---- den lives without it, and says so -------------------------------------------------------------------------------------------
    net.join("alice")
    seen, began = len(net.den.err), time.monotonic()
    os.kill(pid, signal.SIGKILL)
    net.den.wait_line(net.den.err, r"event=signer\.lost", seen)
    drill.measure("a signer that was killed is reported", time.monotonic() - began, "s", at_most=1)
    net.den.wait_line(net.den.err, r"event=signer\.ready", seen)
    drill.measure("and there is another one", time.monotonic() - began, "s", at_most=10)
    net.join("bob")
    drill.require("which signs", True, "bob joined as " + net.ids["bob"])
    net.den.stop()

# ---- a system call that it has no business with, in the tests' own build ----------------------------------------------------------------
with drill.network(make=False) as net:
    trial = net.path("trial")
    os.mkdir(trial)
    shutil.copy(net.program("warren-den"), os.path.join(trial, "warren-den"))
    shutil.copy(net.program("warren-den-signer") + "-trial", os.path.join(trial, "warren-den-signer"))
    net.init()
    net.start_router()
    net.den = net.start("warren-den", [os.path.join(trial, "warren-den"), "run", "--config", net.path("den/den.conf")])
    net.den.wait_line(net.den.err, r"event=online")
    slowest = 0
    for _ in range(3):
        seen, began = len(net.den.err), time.monotonic()
        os.kill(signer_of(net.den.process.pid), signal.SIGUSR1)  # it calls socket(AF_INET)
        line = net.den.wait_line(net.den.err, r"event=signer\.lost", seen)
        slowest = max(slowest, time.monotonic() - began)
        drill.require("a network call kills the signer", "SIGSYS" in line, line.split("event=", 1)[1])
        net.den.wait_line(net.den.err, r"event=signer\.ready", seen)
    drill.measure("den reports it, 3 times, at worst", slowest, "s", at_most=1)
    net.join("carol")
    drill.require("after that den signs again", True, "carol joined as " + net.ids["carol"])
    net.den.stop()

    # ---- a den that was taken over, on a signer of its own -----------------------------------------------------------------------------
    path = net.path("signer.socket")
    before = {p: os.stat(p).st_size for p in glob.glob(net.path("den/signer.book"))}
    other = pwd.getpwnam("nobody")
    signer = net.start("signer", [net.program("warren-den-signer"), "run", "--folder", net.path("den"), "--socket", path, "--peer", str(os.getuid())])
    signer.wait_line(signer.err, r"event=signer\.sandbox")
    run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", net.path("k.pem"), "-subj", "/",
         "-outform", "DER", "-out", net.path("csr.der")])
    with open(net.path("csr.der"), "rb") as f:
        csr = f.read()
    den = FakeDen(path)
    wrong = [(what, why) for what, why in attacks(den, csr, net.name.encode())]
    for what, why in wrong:
        drill.require(f"refused: {what}", why is None, why or "refused")
    until = time.monotonic() + 10
    while True:
        refusals = [line for line in signer.err if "event=signer.refused" in line]
        if len(refusals) >= len(wrong) - 1 or time.monotonic() > until:
            break
        time.sleep(0.05)
    drill.require("each is in the signer's log", len(refusals) >= len(wrong) - 1, f"{len(refusals)} lines")
    began = time.perf_counter()
    each = []
    for _ in range(TRIES):
        start = time.perf_counter()
        den.sign("time", den.netid, bytes(16), u64(now()))
        each.append(time.perf_counter() - start)
    drill.say(f"a statement there and back, from Python: {statistics.median(each) * 1e6:.0f} us (median of {TRIES})")

    # ---- frames that are none --------------------------------------------------------------------------------------------------------
    den.close()
    for what, frame in (("a length of 4 GiB", b"\xff\xff\xff\xff\x02"), ("20 MiB where 4 are the most", b"\x01\x40\x00\x00\x02"),
                        ("an unknown kind", b"\0\0\0\x01\x63"), ("an empty frame", b"\0\0\0\0\x01"), ("text", b"GET / HTTP/1.1\r\n\r\n"),
                        ("a batch without its items", b"\0\0\0\x03\x02\xff\xff")):
        memory = int(status(signer.process.pid)["VmPeak"].split()[0])
        one = FakeDen(path)
        drill.require(f"closed without an answer: {what}", one.raw(frame) == b"", "closed")
        grown = int(status(signer.process.pid)["VmPeak"].split()[0]) - memory
        drill.require(f"and without memory: {what}", grown <= 1024, f"{grown} KiB")
        one.close()

    # ---- somebody else on this machine ------------------------------------------------------------------------------------------------
    if os.getuid() == 0:
        os.chmod(net.folder, 0o755)
        seen = len(signer.err)
        stranger = subprocess.run([sys.executable, "-c", "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
                                   "s.sendall(bytes([0,0,0,2,1,1])); print(len(s.recv(100)))", path], user=other.pw_uid, capture_output=True,
                                  text=True, check=False, timeout=60)
        drill.require("another user gets no answer", stranger.stdout.strip() in ("0", ""), f"{stranger.stdout.strip() or 'nothing'} bytes")
        drill.require("and is logged", f"uid={other.pw_uid}" in signer.wait_line(signer.err, r"event=signer\.not_let_in", seen), "signer.not_let_in")
    again = FakeDen(path)
    drill.require("the signer goes on", again.hb_no == den.hb_no - 1 or again.hb_no > 0, f"hb_no {again.hb_no}")
    again.close()
drill.end()
