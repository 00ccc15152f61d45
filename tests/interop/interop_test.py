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
import wamp  # noqa: E402
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
OPERATORS = f"""[principal olga]
role = admin
keys = {PUBLIC}

[principal otto]
role = admin
secret = hush hush

[principal cron]
role = script
secret = tick

[principal tick]
role = script
ticket = tock
"""
STATE = {}
NODE = os.environ.get("WARREN_NODE", "node")  # Debian 12's own is 18; another may stand first in PATH


def start(net):
    """The router with a realm of an application beside its own; once."""
    if "url" in STATE:
        return
    net.init()
    STATE["url"] = f"ws://127.0.0.1:{free_port()}/"
    with open(net.path("router/router.conf"), encoding="ascii") as f:
        text = f.read().replace("\nlisten = *:", "\nlisten = 127.0.0.1:")  # echo is for loopback alone
    with open(net.path("router/router.conf"), "w", encoding="ascii") as f:
        f.write(text + f"listen_plain = {STATE['url'][5:-1]}\necho = yes\nrealms = realms.conf\n")
    with open(net.path("router/realms.conf"), "w", encoding="ascii") as f:
        f.write(f"[realm {REALM}]\nmethods = anonymous ticket wampcra cryptosign\nprincipals = people\nrouter_key = app.key\n"
                "[realm meta.realm]\nmethods = anonymous\nmeta = anonymous\n"
                f"[realm {NETWORK}]\nmethods = netsign anonymous cryptosign wampcra ticket\nprincipals = operators\nopen = app\n")
    with open(os.open(net.path("router/operators"), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
        f.write(OPERATORS)
    with open(os.open(net.path("router/people"), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
        f.write(PRINCIPALS)
    net.start_router()
    net.start_den()


def node_modules():
    """Installs the packages of the lock file beside copies of the scripts; the reason when it cannot be done."""
    if "node" in STATE:
        return STATE["node"]
    if not shutil.which(NODE) or not shutil.which("npm"):
        STATE["node"] = "node or npm is not installed"
        return STATE["node"]
    folder = os.path.join(os.path.abspath(tap.build_dir()), "interop")
    os.makedirs(folder, exist_ok=True)
    for name in ("package.json", "package-lock.json", "client.mjs", "features.mjs", "echo.mjs"):
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
    return [NODE, os.path.join(STATE["folder"], "client.mjs"), library, *words]


def router_key(net):
    """The public key of the realm's router_key, by openssl."""
    with open(net.path("router/app.key"), encoding="ascii") as f:
        seed = bytes.fromhex(f.read().split()[-1])
    der = bytes.fromhex("302e020100300506032b657004220420") + seed  # PKCS#8 (RFC 8410)
    done = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=der, capture_output=True, check=True)
    return done.stdout[-32:].hex()


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
    if not python_lacks():
        every.append(("python", "msgpack.batched"))  # its json.batched ends each message with 18 instead of 1e
    servers = []
    for library, serializer in every:
        name = f"{library}_{serializer}".replace(".", "_")
        server = net.start(name, command(library, serializer, REALM, "anonymous", "serve", name), env=os.environ)
        servers.append(server)
        server.wait_line(server.out, r"^ready$")
    names = [server.name for server in servers]
    for library, serializer in every:
        done = run(command(library, serializer, REALM, "anonymous", "ask", f"by_{library}_{serializer}".replace(".", "_"), *names))
        for name in names:
            tap.check_in(f"asked {name}\n", done.stdout)
    for server in servers:
        tap.check(server.process.poll() is None, f"{server.name} did not live through it")
        server.stop()


@tap.test
def the_advanced_profile_between_two_serializers(net):
    start(net)
    if python_lacks():
        raise tap.Skip(python_lacks())
    done = run([sys.executable, os.path.join(HERE, "features.py"), STATE["url"], "meta.realm"], wanted=None, env=dict(os.environ))
    tap.check(done.returncode == 0 and "done" in done.stdout, done.stdout + done.stderr)


@tap.test
def calls_are_canceled_in_every_mode(net):
    start(net)
    if node_modules():
        raise tap.Skip(node_modules())
    done = run([NODE, os.path.join(STATE["folder"], "features.mjs"), STATE["url"], "meta.realm"], env=dict(os.environ))
    tap.check(done.stdout == "done\n", done.stdout + done.stderr)


class Attacker(wamp.Session):
    """Sends what it is given, byte by byte."""

    def encode(self, message):
        return message if isinstance(message, bytes) else super().encode(message)


def one_list(item):
    return b"\x91" + item


# Arguments in msgpack. What a stock client cannot stand has to end at the router; it has to stand the rest.
REFUSED = {
    "an unknown extension": one_list(b"\xd4\x05\x00"), "undefined": one_list(b"\xd4\x00\x00"),
    "a timestamp": one_list(b"\xd6\xff\x00\x00\x00\x00"), "20 000 deep": b"\x91" * 20000 + b"\xc0", "33 deep": b"\x91" * 34 + b"\xc0",
    "__proto__": one_list(b"\x81\xa9__proto__\x81\xa1a\x01"), "__proto__ in depth": one_list(b"\x81\xa1a\x81\xa9__proto__\x01"),
    "an integer as key": one_list(b"\x81\x01\x01"), "nil as key": one_list(b"\x81\xc0\x01"), "a list as key": one_list(b"\x81\x90\x01"),
    "a surrogate": one_list(b"\xa3\xed\xa0\x80"), "half a character": one_list(b"\xa1\xc3"), "overlong": one_list(b"\xa2\xc0\x80"),
    "the reserved byte": one_list(b"\xc1"), "a promised gigabyte": b"\xdd\x40\x00\x00\x00", "cut short": b"\x92\x01",
    "no list": b"\x81\xa1a\x01",
}
PASSED = {
    "2^64 - 1": one_list(b"\xcf" + b"\xff" * 8), "-2^63": one_list(b"\xd3\x80" + bytes(7)), "2^53 + 1": one_list(b"\xcf\x00\x20" + bytes(5) + b"\x01"),
    "not a number": one_list(b"\xcb\x7f\xf8" + bytes(6)), "infinity": one_list(b"\xca\x7f\x80\x00\x00"), "binary": one_list(b"\xc4\x03\x00\xff\xfe"),
    "U+0000": one_list(b"\xa4\x00abc"), "20 deep": b"\x91" * 20 + b"\xc0", "constructor": one_list(b"\x81\xabconstructor\x81\xa9prototype\x01"),
    "toString, then": one_list(b"\x83\xa8toString\x01\xa4then\x01\xa6length\xff"), "a key twice": one_list(b"\x82\xa1a\x01\xa1a\x02"),
    "an empty key": one_list(b"\x81\xa0\x01"), "keywords": b"\x90\x83\xa4args\x90\xa1a\x01\xa9toJSON__x\x01",
    "300 000 bytes": one_list(b"\xdb\x00\x04\x93\xe0" + b"x" * 300000), "1000 arguments": b"\xdc\x03\xe8" + b"\x01" * 1000, "nothing": b"",
}


def attack(message, count):
    """One connection, one message; True: the router let it through. `count` answers to requests before it are waited for."""
    attacker = Attacker(STATE["port"], "wamp.2.msgpack", REALM)
    try:
        attacker.send(message(attacker))
        for _ in range(count):
            if attacker.receive()[0] == 3:
                return False
        return True
    except (Failed, OSError):
        return False
    finally:
        attacker.close()


def head(n, kind, *rest):
    """The start of a list of n, without the payload."""
    return bytes([0x90 | n]) + wamp.pack(kind) + b"".join(map(wamp.pack, rest))


def as_caller(name, tail, n_tail):
    return lambda attacker: head(4 + n_tail, 48, 1, {}, f"app.{name}.echo") + tail


def as_publisher(name, tail, n_tail):
    return lambda attacker: head(4 + n_tail, 16, 1, {"acknowledge": True}, f"app.{name}.news") + tail


def as_callee(name, tail, n_tail, is_error):
    """Registers what the stock client is then asked to call, and answers it."""
    def answer(attacker):
        procedure = f"app.attacker.n{attacker.session}"
        attacker.register(procedure)
        attacker.ask(48, {}, f"app.{name}.poke", [procedure])
        request = attacker.expect(68)[1]
        return head(5 + n_tail, 8, 68, request, {}, "app.error.hostile") + tail if is_error else head(3 + n_tail, 70, request, {}) + tail
    return answer


@tap.test
def no_payload_ends_a_stock_client(net):
    """As arguments of a call, of an event, of a result and of an error: the router refuses what clients cannot stand, and no client goes."""
    start(net)
    STATE["port"] = net.port
    servers = []
    for library, serializer in clients():
        name = f"h_{library}_{serializer}"
        server = net.start(name, command(library, serializer, REALM, "anonymous", "serve", name), env=os.environ)
        servers.append(server)
        server.wait_line(server.out, r"^ready$")
    judge = wamp.Session(net.port, "wamp.2.msgpack", REALM)
    for what, tail in (*REFUSED.items(), *PASSED.items()):
        n_tail = 0 if not tail else 2 if what == "keywords" else 1
        for server in servers:
            for form in (as_caller(server.name, tail, n_tail), as_publisher(server.name, tail, n_tail),
                         as_callee(server.name, tail, n_tail, False), as_callee(server.name, tail, n_tail, True)):
                passed = attack(form, 1)
                tap.check(passed == (what in PASSED), f"{what} to {server.name}: passed {passed}")
            judge.ask(48, {}, f"app.{server.name}.add", [2, 3])
            answer = judge.receive()
            tap.check(answer[0] == 50 and answer[3] == [5], f"{server.name} after {what}: {answer}")
            tap.check(server.process.poll() is None, f"{server.name} did not live through {what}: {server.err[-6:]}")
    left = [line for line in net.router.err if "event=left" in line and f"session={judge.session}" in line]
    tap.check(not left, "the judge left")
    judge.close()
    for server in servers:
        server.stop()


FOR_RESULTS = ("self", "callee", "callee_authid", "callee_authrole", "forward_for", "enc_algo")
# The answer to an invocation in which they end python3-autobahn; what its caller is told instead.
ANSWERS = {
    "result": (FOR_RESULTS, lambda request, kwargs: [70, request, {}, [], kwargs], "wamp.error.invalid_argument"),
    "progress": (("fun", *FOR_RESULTS), lambda request, kwargs: [70, request, {"progress": True}, [], kwargs], "wamp.error.invalid_argument"),
    "error": (("self", "error"), lambda request, kwargs: [8, 68, request, {}, "app.error.no", ["why"], kwargs], "app.error.no"),
}


def lives(stranger, server, what):
    tap.check(server.process.poll() is None, f"{server.name} did not live through {what}: {server.err[-6:]}")
    stranger.ask(48, {}, f"app.{server.name}.add", [2, 3])
    answer = stranger.receive()
    tap.check(answer[0] == 50 and answer[3] == [5], f"{server.name} after {what}: {answer}")


def give_keywords(stranger, server):
    """As arguments of a call and of an event."""
    for keyword in ("self", "fun"):
        stranger.ask(48, {}, f"app.{server.name}.echo", [], {"k": 1, keyword: 1})
        told = stranger.expect(8)
        tap.check(told[4] == "wamp.error.invalid_argument" and keyword in told[6]["cause"], f"{keyword} in a call: {told}")
        lives(stranger, server, f"{keyword} in a call")
        stranger.ask(16, {"acknowledge": True}, f"app.{server.name}.news", [], {"k": 1, keyword: 1})
        stranger.expect(17)
        lives(stranger, server, f"{keyword} in an event")
    stranger.ask(48, {}, f"app.{server.name}.echo", [], {"deep": {"self": 1, "fun": 1}, "error": 1})
    told = stranger.expect(50)
    tap.check(told[4] == {"deep": {"self": 1, "fun": 1}, "error": 1}, f"what is harmless: {told}")


def answer_with_keywords(stranger, server):
    procedure = f"app.stranger.n{stranger.session}.{server.name}"
    stranger.register(procedure)
    for form, (keywords, answer, told) in ANSWERS.items():
        for keyword in keywords:
            for details in (False, True):
                what = f"{keyword} in {form}, details {details}"
                stranger.ask(48, {}, f"app.{server.name}.drink", [procedure, details])
                stranger.send(answer(stranger.expect(68)[1], {"k": 1, keyword: 1}))
                last = stranger.expect(50)
                tap.check(last[3] == [told], f"{what}: {last}")
                lives(stranger, server, what)
    for tail in ([], [[1]]):
        stranger.ask(48, {}, f"app.{server.name}.drink", [procedure, True])
        request = stranger.expect(68)[1]
        stranger.send([70, request, {"progress": True}, *tail])
        stranger.send([70, request, {}])
        tap.check(stranger.expect(50)[3] == ["result"], f"progress with {tail}")
        lives(stranger, server, f"progress with {tail}")


@tap.test
def no_keyword_ends_python3_autobahn(net):
    """It hands keywords on to functions of its own: those that it cannot take are kept from it, and whoever gave them is told."""
    start(net)
    if python_lacks():
        raise tap.Skip(python_lacks())
    for serializer in ("json", "msgpack"):
        name = f"k_{serializer}"
        server = net.start(name, command("python", serializer, REALM, "anonymous", "serve", name), env=os.environ)
        server.wait_line(server.out, r"^ready$")
        for own in ("wamp.2.json", "wamp.2.msgpack"):
            stranger = wamp.Session(net.port, own, REALM)
            give_keywords(stranger, server)
            answer_with_keywords(stranger, server)
            stranger.close()
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
def the_router_proves_itself_by_cryptosign(net):
    start(net)
    if node_modules():
        raise tap.Skip(node_modules())
    for serializer in ("json", "msgpack"):
        done = run(command("autobahn", serializer, REALM, "cryptosign", "join"), wanted=None,
                   env=secrets_of("joe", SEED, PUBLIC, INTEROP_ROUTER=router_key(net)))
        tap.check(done.stdout == "router proved\ndone\n", done.stdout + done.stderr)
        done = run(command("autobahn", serializer, REALM, "cryptosign", "join"), wanted=None,
                   env=secrets_of("joe", SEED, PUBLIC, INTEROP_ROUTER="00" * 32))
        tap.check(done.returncode != 0 and "done" not in done.stdout, "another router's key was taken")


@tap.test
def an_operator_sees_who_is_there_and_sends_one_away(net):
    start(net)
    if python_lacks():
        raise tap.Skip(python_lacks())
    for method, authid, secret, serializer in (("cryptosign", "olga", SEED, "json"), ("wampcra", "otto", "hush hush", "msgpack")):
        names = [f"a_{method}", f"b_{method}"]
        for name in names:
            net.join(name)
        admin = net.start(f"admin_{method}", [sys.executable, os.path.join(HERE, "admin.py"), STATE["url"], NETWORK, method, serializer],
                          env=dict(os.environ, INTEROP_AUTHID=authid, INTEROP_SECRET=secret))
        admin.wait_line(admin.out, r"^ready$")
        peers = [net.start(name, net.warren(name, "sub", "app.nothing"), env=os.environ) for name in names]
        seen = json.loads(admin.wait_line(admin.out, r"^{"))
        tap.check(seen["role"] == "admin" and seen["joined"] == sorted(net.ids[name] for name in names), f"{seen}")
        tap.check(seen["kicked"] in seen["joined"] and seen["again"].endswith("not_found"), f"{seen}")
        for process in (*peers, admin):
            process.stop()


@tap.test
def a_script_has_what_the_realm_opens(net):
    start(net)
    if node_modules():
        raise tap.Skip(node_modules())
    names = [f"cron_{library}" for library in ("autobahn", "wampy")]
    servers = []
    for library, name in zip(("autobahn", "wampy"), names):
        server = net.start(name, command(library, "json", NETWORK, "wampcra", "serve", name), env=secrets_of("cron", "tick", ""))
        server.wait_line(server.out, r"^ready$")
        servers.append(server)
    done = run(command("wampy", "msgpack", NETWORK, "wampcra", "ask", "cron", *names), env=secrets_of("cron", "tick", ""))
    for name in names:
        tap.check_in(f"asked {name}\n", done.stdout)
    script = wamp.Session(net.port, "wamp.2.json", NETWORK, "ticket", authid="tick", ticket="tock")
    for procedure, args, wanted in (("network.ping", [], 50), ("network.resolve", ["den"], 50), ("network.peer.list", [], 8),
                                    ("den.session.open", [], 8), ("den.ca.chain", [], 50), ("wamp.session.count", [], 8)):
        script.ask(48, {}, procedure, args)
        answer = script.receive()
        tap.check(answer[0] == wanted, f"{procedure}: {answer}")
    script.close()
    for server in servers:
        server.stop()


@tap.test
def npms_ws_hears_its_echo(net):
    start(net)
    if node_modules():
        raise tap.Skip(node_modules())
    done = run([NODE, os.path.join(STATE["folder"], "echo.mjs"), STATE["url"]], wanted=None, env=dict(os.environ))
    tap.check(done.stdout == "done\n", done.stdout + done.stderr)


@tap.test
def no_stock_client_comes_in_as_a_peer(net):
    """A ticket or a secret of another realm is worth nothing in the network's own."""
    start(net)
    library, serializer = clients()[-1]
    for method in ("ticket", "wampcra"):
        seen = len(net.router.err)
        done = run(command(library, serializer, NETWORK, method, "join"), wanted=None, env=secrets_of("joe", "open sesame", ""))
        tap.check(done.returncode != 0, f"{method} was taken")
        tap.check_in("reason=wamp.error.authentication_failed", net.router.wait_line(net.router.err, r"event=refused", seen))


tap.main(name=NETWORK, make=False)
