#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""between a peer and the router somebody may listen: TLS 1.3 alone, and the root that was pinned"""
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import Failed, run

drill = Drill("R2", "somebody in between peer and router")


def client_hello(version):
    """A ClientHello of TLS 1.2 or older, without extensions."""
    body = version + os.urandom(32) + b"\0" + b"\x00\x06\xc0\x2f\xc0\x2b\x00\x9c" + b"\x01\x00"
    shake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(shake).to_bytes(2, "big") + shake


def alert_to(port, hello):
    """The number of the alert that answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(hello)
        answer = sock.recv(100)
    return answer[6] if len(answer) >= 7 and answer[0] == 21 else None


def openssl(port, *words, text="Q\n"):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words], input=text, capture_output=True, text=True,
                          errors="replace", timeout=60, check=False)


def scan(port):
    if not shutil.which("sslscan"):
        drill.require("sslscan is there", False, "not installed: scripts/install-deps drill")
        return
    out = subprocess.run(["sslscan", "--no-colour", f"127.0.0.1:{port}"], capture_output=True, text=True, timeout=300, check=False).stdout
    spoken = re.findall(r"(?m)^((?:SSL|TLS)v\S+)\s+enabled", out)
    drill.require("sslscan: only TLS 1.3 is enabled", spoken == ["TLSv1.3"], ", ".join(spoken) or out[-300:])
    drill.require("sslscan: no compression", "Compression disabled" in out or "OpenSSL version does not support compression" in out,
                  next((line for line in out.splitlines() if "ompression" in line), "nothing said of it"))
    drill.require("sslscan: no renegotiation", "Session renegotiation not supported" in out or "Insecure" not in out,
                  next((line for line in out.splitlines() if "renegotiation" in line and "upport" in line), "nothing said of it"))
    ciphers = set(re.findall(r"(?m)^(?:Preferred|Accepted)\s+(\S+)", out))
    drill.require("sslscan: every cipher is one of TLS 1.3", ciphers == {"TLSv1.3"}, ", ".join(sorted(ciphers)))


def testssl(port):
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        drill.require("testssl.sh is there", False, "not installed: scripts/install-deps drill")
        return
    out = subprocess.run([program, "--color", "0", "--warnings", "off", "--quiet", "-p", "-R", "-C", f"127.0.0.1:{port}"], capture_output=True, text=True,
                         timeout=600, check=False, env={**os.environ, "TERM": "dumb"}).stdout
    for name in ("SSLv2", "SSLv3", "TLS 1", "TLS 1.1", "TLS 1.2"):
        line = next((one.strip() for one in out.splitlines() if re.match(rf"\s*{re.escape(name)}\s{{2,}}", one)), "nothing said")
        drill.require(f"testssl.sh: no {name}", "not offered" in line, line)
    line = next((one.strip() for one in out.splitlines() if re.match(r"\s*TLS 1\.3\s{2,}", one)), "nothing said")
    drill.require("testssl.sh: TLS 1.3", "offered" in line and "not offered" not in line, line)
    for name in ("Secure Client-Initiated Renegotiation", "CRIME, TLS"):
        line = next((one.strip() for one in out.splitlines() if name in one), "nothing said")
        drill.require(f"testssl.sh: {name}", "not vulnerable" in line, line)


def by_hand(port):
    for name, version in (("1.2", b"\x03\x03"), ("1.1", b"\x03\x02"), ("1.0", b"\x03\x01")):
        alert = alert_to(port, client_hello(version))
        drill.require(f"a client of {name} gets alert 70, protocol_version", alert == 70, f"alert {alert}")
    alert = alert_to(port, client_hello(b"\x03\x00"))
    drill.require("a client of SSL 3 gets an alert", alert is not None, f"alert {alert}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain, context.wrap_socket(plain):
            drill.require("OpenSSL's TLS 1.2 client is refused", False, "connected")
    except ssl.SSLError as e:
        drill.require("OpenSSL's TLS 1.2 client is refused", "PROTOCOL_VERSION" in str(e).upper(), str(e))
    out = openssl(port, "-tls1_3").stdout
    drill.require("no compression", "Compression: NONE" in out, next(iter(re.findall(r"Compression: .*", out)), "nothing said"))
    sizes = re.findall(r"Max Early Data: (\d+)", out)
    drill.require("0-RTT is off", "Early data was not sent" in out and not any(int(n) for n in sizes), f"max early data {sizes or ['no ticket']}")
    again = openssl(port, "-tls1_3", text="R\n")
    drill.require("no renegotiation", "RENEGOTIATING" not in again.stdout or again.returncode != 0 or "error" in again.stderr,
                  f"s_client's R ended with {again.returncode}: " + (again.stderr.strip().splitlines() or ["nothing"])[-1][:100])


def wrong_root(net):
    """A state folder whose root is not the one that was pinned: nothing of it starts."""
    net.join("alice")
    folder, other = net.path("alice"), net.path("other")
    os.mkdir(other)
    names = sorted(os.listdir(folder))
    drill.say("alice's folder: " + " ".join(names))
    text = net.token()
    pin = re.search(r"#([0-9a-f]{64})", text).group(1)
    wrong = text.replace(pin, ("0" if pin[0] != "0" else "1") + pin[1:])
    done = subprocess.run(net.warren("bob", "join"), input=wrong + "\n", capture_output=True, text=True, timeout=120, check=False)
    drill.require("a join string with another root's hash joins nothing", done.returncode != 0 and "join" not in done.stdout[:0],
                  f"status {done.returncode}: {done.stderr.strip().splitlines()[0][:150] if done.stderr.strip() else ''}")
    drill.require("and leaves no admission", not os.path.exists(net.path("bob", "admission")), "none" if not os.path.exists(net.path("bob", "admission")) else "there is one")
    damage(net)


def damage(net):
    """The router's own record of its root, changed by one bit."""
    router = net.path("router")
    net.router.stop()
    path = os.path.join(router, "trust")
    with open(path, "rb") as f:
        good = f.read()
    for place in (len(good) // 4, len(good) // 2):
        with open(path, "wb") as f:
            f.write(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:])
        done = subprocess.run([net.program("warren-router"), "--config", os.path.join(router, "router.conf")], capture_output=True, text=True,
                              timeout=60, check=False)
        drill.require(f"the router refuses to start with a changed root file (byte {place})", done.returncode != 0,
                      f"status {done.returncode}: {(done.stderr.strip().splitlines() or [''])[0][:150]}")
    with open(path, "wb") as f:
        f.write(good)


with drill.network() as network:
    by_hand(network.port)
    scan(network.port)
    testssl(network.port)
    wrong_root(network)
drill.end()
