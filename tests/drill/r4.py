#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""den's database is stolen: no private key, token or passphrase is in it or in its backups"""
import base64
import glob
import os
import re
import secrets
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import run

drill = Drill("R4", "somebody stole den's database")
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def token_bytes(text):
    """The 16 bytes of a token: wt1 and 26 characters of base32."""
    n = 0
    for c in text[3:]:
        n = n << 5 | ALPHABET.index(c)
    return (n >> 2).to_bytes(16, "big")


def private_part(path):
    """The secret octets of a key file: an Ed25519 seed, or what openssl shows as priv."""
    with open(path, encoding="ascii") as f:
        text = f.read()
    if text.startswith("warren-ed25519 "):
        return bytes.fromhex(text.split()[1])
    shown = run(["openssl", "pkey", "-in", path, "-noout", "-text", "-passin", "pass:" + PASSPHRASE]).stdout
    octets = re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)", shown).group(1)
    return bytes.fromhex(re.sub(r"[^0-9a-f]", "", octets)).lstrip(b"\0")


def forms(secret):
    """What a secret could look like in a database."""
    text = secret.hex().encode()
    return {secret, text, text.upper(), base64.b64encode(secret), base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret)}


PASSPHRASE = secrets.token_hex(12)
with drill.network(make=False) as net:
    run([net.program("warren-router"), "init", net.path("router"), "--host", f"{net.host}:{net.port}"])
    theirs, ours = os.pipe()
    os.write(ours, PASSPHRASE.encode())
    os.close(ours)
    run([net.program("warren-den"), "init", net.path("den"), "--network", net.name, "--router-request",
         net.path("router/router.request"), "--root-passphrase-fd", str(theirs)], pass_fds=[theirs])
    os.close(theirs)
    run([net.program("warren-router"), "accept", net.path("router"), net.path("den/router.answer")])
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        joins = [f.read().strip()]
    net.start_router()
    net.start_den()
    for name, words in (("alice", []), ("bob", ["--uses", "any"]), ("carol", ["--ephemeral", "1h", "--groups", "ci"])):
        joins.append(net.token(*words))
        run(net.warren(name, "join"), input=joins[-1] + "\n")
    joins.append(net.token())  # never used
    run(net.warren("alice", "name", "claim", "alices-desk"))
    run(net.warren("bob", "rekey"))
    den = net.path("den/den.db")
    backup = net.path("backup.db")
    with sqlite3.connect(den) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    dump = subprocess.run(["sqlite3", den, ".dump"], capture_output=True, check=False).stdout or "\n".join(
        sqlite3.connect(den).iterdump()).encode()
    net.den.stop()
    hay = {"dump": dump}
    for path in [backup, *glob.glob(den + "*")]:
        with open(path, "rb") as f:
            hay[os.path.basename(path)] = f.read()
    wanted = {"the root key's passphrase": {PASSPHRASE.encode(), *forms(PASSPHRASE.encode())}}
    for i, join in enumerate(joins):
        token = join.rsplit(".", 1)[1]
        wanted[f"token {i + 1}"] = {token.encode(), token[3:].encode(), *forms(token_bytes(token))}
    for path in sorted(glob.glob(net.path("*/*.key")) + glob.glob(net.path("*/tls.key"))):
        wanted[os.path.relpath(path, net.folder)] = forms(private_part(path))
    drill.say(f"{len(wanted)} secrets ({', '.join(sorted(wanted))}) in {sum(map(len, hay.values()))} bytes of {', '.join(sorted(hay))}")
    hits = [(what, where) for what, each in wanted.items() for where, data in hay.items() if any(form in data for form in each)]
    drill.measure("secrets found", len(hits), "", at_most=0)
    for what, where in hits:
        drill.say(f"{what} is in {where}")
    # The search itself must be able to find: what is public is there.
    public = bytes.fromhex(net.identity("alice")["identity_pk"])
    drill.require("a public key is found by the same search", any(public in data for data in hay.values()), "alice's")
    keys = [os.stat(path) for path in glob.glob(net.path("den/*.key"))]
    drill.require("the signing keys are files of mode 0600 beside the database", bool(keys) and all(k.st_mode & 0o777 == 0o600 for k in keys),
                  f"{len(keys)} files")
drill.end()
