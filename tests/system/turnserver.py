# SPDX-License-Identifier: Apache-2.0
"""A real coturn, configured as den/turnserver.conf says, for the tests."""
import base64
import hashlib
import hmac
import os
import re
import subprocess
import time

from network import ROOT, Failed, Process

SECRET = "north-south-east-west"
PORT = 3478


def config(listening, relay, network, secret=SECRET, change=()):
    """The file that operators get, filled in; `change` has pairs of what stands there and what is to."""
    with open(os.path.join(ROOT, "den/turnserver.conf"), encoding="ascii") as f:
        text = f.read()
    for name, value in (("LISTENING_IP", listening), ("RELAY_IP", relay), ("NETWORK", network), ("SECRET", secret)):
        text = text.replace(f"@{name}@", value)
    for what, instead in (("log-file=syslog", "log-file=stdout\nverbose"), ("proc-user=turnserver\nproc-group=turnserver\n", ""), *change):
        if what not in text:
            raise Failed(f"den/turnserver.conf has no {what!r}")
        text = text.replace(what, instead)
    return text


def start(folder, text, prefix=(), name="coturn"):
    path = os.path.join(folder, f"{name}.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(text + f"pidfile={folder}/{name}.pid\nuserdb={folder}/{name}.db\n")
    process = Process(name, [*prefix, "turnserver", "-c", path])
    process.wait_line(process.out, "Total auth threads|IO method .auth thread")
    listening = re.search(r"^listening-ip=(.*)$", text, re.M)[1]
    until = time.monotonic() + 60
    while subprocess.run([*prefix, "turnutils_stunclient", "-p", str(PORT), listening], capture_output=True, check=False).returncode:
        if time.monotonic() > until:
            raise Failed("coturn does not answer: " + "\n".join(process.out[-5:]))
        time.sleep(0.2)
    return process


def credential(sid="000102030405060708090a0b0c0d0e0f", peer="456000", expires_in=600, secret=SECRET):
    """As den makes it."""
    username = f"{int(time.time()) + expires_in}:{sid}-{peer}"
    password = base64.b64encode(hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()).decode()
    return username, password


def uclient(server, pair, *words, prefix=(), peer=None, patience=60):
    """turnutils_uclient with that credential: its output."""
    argv = [*prefix, "timeout", str(patience), "turnutils_uclient", "-u", pair[0], "-w", pair[1], "-p", str(PORT), *words]
    argv += ["-e", peer] if peer else ["-y"]
    done = subprocess.run([*argv, server], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
