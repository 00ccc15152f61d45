#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stock WAMP clients as members: autobahn and wampy for Node, python3-autobahn; every method, both serializers, calls both ways."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
import tap  # noqa: E402
from network import Failed, free_port, run  # noqa: E402

REALM, NETWORK = "app.realm", "interop.warren"
SALTED = base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"password", b"a1b2c3", 1000, 32)).decode()
SEED = "11" * 32
PUBLIC = "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737"  # of that seed (RFC 8032)
PRINCIPALS = f"""[principal joe]
role = frontend
ticket = open sesame
secret = hush
keys = {PUBLIC}

[principal sal]
role = frontend
salt = a1b2c3
secret = {SALTED}
"""
# method, authid, secret, public key
LOGINS = (("anonymous", "", "", ""), ("ticket", "joe", "open sesame", ""), ("wampcra", "joe", "hush", ""),
          ("wampcra", "sal", "password", ""), ("cryptosign", "joe", SEED, PUBLIC))
STATE = {}


def start(net):
    """The router with a realm of an application beside its own; once."""
    if "url" in STATE:
        return
    net.init()
    STATE["url"] = f"ws://127.0.0.1:{free_port()}/"
    with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
        f.write(f"listen_plain = {STATE['url'][5:-1]}\nrealms = realms.conf\n")
    with open(net.path("router/realms.conf"), "w", encoding="ascii") as f:
        f.write(f"[realm {REALM}]\nmethods = anonymous ticket wampcra cryptosign\nprincipals = people\nrouter_key = app.key\n")
    with open(os.open(net.path("router/people"), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
        f.write(PRINCIPALS)
    net.start_router()
    net.start_den()


def node_modules():
    """Installs the packages of the lock file beside copies of the scripts; the reason when it cannot be done."""
    if "node" in STATE:
        return STATE["node"]
    if not shutil.which("node") or not shutil.which("npm"):
        STATE["node"] = "node or npm is not installed"
        return STATE["node"]
    folder = os.path.join(os.path.abspath(tap.build_dir()), "interop")
    os.makedirs(folder, exist_ok=True)
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(os.path.join(HERE, name), folder)
    STATE["folder"], STATE["node"] = folder, None
    if not os.path.isdir(os.path.join(folder, "node_modules", "wampy")):
        try:
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"], cwd=folder,
                                  capture_output=True, text=True, timeout=180, check=False)
            if done.returncode != 0:
                STATE["node"] = "npm could not install: " + (done.stderr.strip().splitlines() or ["?"])[-1]
        except subprocess.TimeoutExpired:
            STATE["node"] = "npm could not install in three minutes"
    return STATE["node"]


def python_lacks():
    done = subprocess.run([sys.executable, "-c", "import autobahn.asyncio.component, cryptography, nacl"], capture_output=True,
                          check=False)
    return None if done.returncode == 0 else "python3-autobahn is not installed"


def clients():
    """Those that can be had here, each with either serializer; Skip when there are none."""
    reasons = {"autobahn": node_modules(), "wampy": node_modules(), "python": python_lacks()}
    found = [(library, serializer) for library, reason in reasons.items() if not reason for serializer in ("json", "msgpack")]
    if not found:
        raise tap.Skip("; ".join(sorted({reason for reason in reasons.values() if reason})))
    for library, reason in reasons.items():
        if reason:
            print(f"# {library} is left out: {reason}", flush=True)
    return found


def command(library, serializer, realm, method, role, *names, url=None):
    words = [serializer, url or STATE["url"], realm, method, role, *names]
    if library == "python":
        return [sys.executable, os.path.join(HERE, "client.py"), *words]
    return ["node", os.path.join(STATE["folder"], "client.mjs"), library, *words]


def secrets_of(authid, secret, public, **more):
    env = dict(os.environ, **more)
    for name, value in (("INTEROP_AUTHID", authid), ("INTEROP_SECRET", secret), ("INTEROP_PUBLIC", public)):
        if value:
            env[name] = value
    return env


@tap.test
def every_client_joins_by_every_method(net):
    start(net)
    for library, serializer in clients():
        for method, authid, secret, public in LOGINS:
            seen = len(net.router.err)
            done = run(command(library, serializer, REALM, method, "join"), env=secrets_of(authid, secret, public))
            tap.check_in("done", done.stdout)
            joined = net.router.wait_line(net.router.err, r"event=joined", seen)
            tap.check_in(f"realm={REALM} method={method}", joined)
            if authid:
                tap.check_in(f"id={authid} role=frontend ", joined)


@tap.test
def a_wrong_secret_is_refused(net):
    start(net)
    for library, serializer in clients():
        for method, authid, secret, public in (("ticket", "joe", "open sesam", ""), ("wampcra", "sal", "passwort", ""),
                                               ("ticket", "nobody", "open sesame", ""), ("cryptosign", "joe", "22" * 32, PUBLIC)):
            seen = len(net.router.err)
            done = run(command(library, serializer, REALM, method, "join"), wanted=None, env=secrets_of(authid, secret, public))
            tap.check(done.returncode != 0 and "done" not in done.stdout, f"{library} {serializer} {method} came in")
            tap.check_in("reason=wamp.error.authentication_failed", net.router.wait_line(net.router.err, r"event=refused", seen))


@tap.test
def all_call_each_other_whatever_they_speak(net):
    start(net)
    every = clients()
    servers = []
    for library, serializer in every:
        name = f"{library}_{serializer}"
        server = net.start(name, command(library, serializer, REALM, "anonymous", "serve", name), env=os.environ)
        servers.append(server)
        server.wait_line(server.out, r"^ready$")
    names = [server.name for server in servers]
    for library, serializer in every:
        done = run(command(library, serializer, REALM, "anonymous", "ask", f"by_{library}_{serializer}", *names))
        for name in names:
            tap.check_in(f"asked {name}\n", done.stdout)
    for server in servers:
        tap.check(server.process.poll() is None, f"{server.name} did not live through it")
        server.stop()


@tap.test
def over_tls_under_the_networks_own_root(net):
    start(net)
    if node_modules():
        raise tap.Skip(node_modules())
    found = run(["find", net.path("den"), "-name", "root*.pem"]).stdout.split()
    if not found:
        raise Failed("den keeps no root.pem")
    for library in ("autobahn", "wampy"):
        for serializer in ("json", "msgpack"):
            done = run(command(library, serializer, REALM, "ticket", "join", url=f"wss://127.0.0.1:{net.port}/"),
                       env=secrets_of("joe", "open sesame", "", INTEROP_CA=found[0], INTEROP_NAME=f"router.{NETWORK}"))
            tap.check_in("done", done.stdout)


@tap.test
def a_guest_gets_an_id_by_hand(net):
    start(net)
    if python_lacks():
        raise tap.Skip(python_lacks())
    join = net.token()
    pin, token = join.split("#")[1].split(".")
    done = run([sys.executable, os.path.join(HERE, "guest.py"), STATE["url"], NETWORK, pin],
               env=dict(os.environ, INTEROP_SECRET=token))
    got = json.loads(done.stdout)
    tap.check(got["id"].isdigit() and got["role"] == "peer", f"no ID: {got}")
    tap.check(got["again"] in ("den.error.replayed", "network.error.replayed"), f"the same enrolment again: {got['again']}")
    tap.check(got["others"] == "wamp.error.not_authorized", f"a guest sees who is there: {got['others']}")
    tap.check(any(got["id"] in line for line in net.audit()), "den's audit does not know the ID")


@tap.test
def no_stock_client_comes_in_as_a_peer(net):
    """The network's own realm takes netsign and guests; a ticket or a name is worth nothing there."""
    start(net)
    library, serializer = clients()[-1]
    for method in ("ticket", "wampcra"):
        seen = len(net.router.err)
        done = run(command(library, serializer, NETWORK, method, "join"), wanted=None, env=secrets_of("joe", "open sesame", ""))
        tap.check(done.returncode != 0, f"{method} was taken")
        tap.check_in("reason=wamp.error.no_matching_auth_method", net.router.wait_line(net.router.err, r"event=refused", seen))


tap.main(name=NETWORK, make=False)
