#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bad configurations are refused, each with its file and line; building twice gives the same bytes"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import ROOT

drill = Drill("R25", "bad configurations, and a build that can be repeated")
PROGRAMS = ("den/warren-den", "den/warren-den-signer", "router/warren-router", "peer/cli/warren")
STARTS_FOR = 20  # seconds after which a program that has not ended has started


def append(text):
    return lambda path: write(path, read(path) + text)


def replace(pattern, text):
    return lambda path: write(path, re.sub(pattern, text, read(path), flags=re.M))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def mode(bits):
    return lambda path: os.chmod(path, bits)


# What is wrong, the file that is spoilt, how, and what the error has to name.
DEN = (
    ("an unknown key", "den.conf", append("colour = red\n"), r"den\.conf:\d+: .*colour"),
    ("no network", "den.conf", replace(r"^network = .*$", ""), r"network"),
    ("no router", "den.conf", replace(r"^router = .*$", ""), r"router"),
    ("a key twice", "den.conf", append("leaf_life = 24h\nleaf_life = 12h\n"), r"den\.conf:\d+: .*leaf_life"),
    ("a line without a value", "den.conf", append("leaf_life\n"), r"den\.conf:\d+: "),
    ("certificates for a month", "den.conf", append("leaf_life = 30d\n"), r"den\.conf:\d+: leaf_life: expected 10m to 7d"),
    ("a duration without a unit", "den.conf", append("crl_life = 24\n"), r"den\.conf:\d+: .*crl_life"),
    ("a bound below two heartbeats", "den.conf", append("heartbeat_bound = 20s\n"), r"den\.conf:\d+: heartbeat_bound"),
    ("IDs of five digits", "den.conf", append("id_digits = 5\n"), r"den\.conf:\d+: id_digits: expected 6 to 9"),
    ("an unknown way of enrolment", "den.conf", append("enrolment = anybody\n"), r"den\.conf:\d+: enrolment: expected token, approval or open"),
    ("an unknown log level", "den.conf", append("log_level = loud\n"), r"den\.conf:\d+: log_level"),
    ("an unknown log format", "den.conf", append("log_format = xml\n"), r"den\.conf:\d+: log_format"),
    ("a URL that is none", "den.conf", append("crl_url = ftp://x\n"), r"den\.conf:\d+: crl_url"),
    ("an address without a port", "den.conf", append("http = nowhere\n"), r"den\.conf:\d+: http: expected ADDRESS:PORT"),
    ("figures at no address", "den.conf", append("metrics = 9\n"), r"den\.conf:\d+: metrics: expected ADDRESS:PORT"),
    ("the network of another folder", "den.conf", replace(r"^network = .*$", "network = other.example"), r"other\.example"),
    ("a folder that is not there", "den.conf", append("state = nothing\n"), r"nothing"),
    ("a key that others can read", "sign.key", mode(0o644), r"sign\.key: mode 0644"),
    ("a folder that others can enter", ".", mode(0o755), r"0755|others"),
    ("a database that others can read", "den.db", mode(0o640), r"den\.db: mode 0640"),
    ("no database", "den.db", os.unlink, r"den\.db"),
    ("a damaged trust set", "trust", lambda path: os.truncate(path, 100), r"trust"),
    ("no policy", "policy.yaml", os.unlink, r"policy\.yaml"),
    ("an empty policy", "policy.yaml", lambda path: write(path, ""), r"policy\.yaml"),
    ("a policy with an unknown word", "policy.yaml", lambda path: write(path, "rules:\n  - {from: any, to: any, can: [chat], color: red}\n"), r"policy\.yaml:2"),
    ("a policy that fails its own test", "policy.yaml",
     lambda path: write(path, 'rules:\n  - {from: any, to: any, can: [chat]}\ntests:\n  - {from: "456000", to: "456001", can: chat, expect: deny}\n'), r"policy\.yaml:\d+"),
)
ROUTER = (
    ("router: an unknown key", "router.conf", append("colour = red\n"), r"router\.conf:\d+: .*colour"),
    ("router: no address", "router.conf", replace(r"^listen = .*$", "listen = nowhere"), r"router\.conf:\d+: .*listen"),
    ("router: a size that is none", "router.conf", append("max_message = huge\n"), r"router\.conf:\d+: .*max_message"),
    ("router: a key that others can read", "router.key", mode(0o644), r"router\.key"),
    ("router: no TLS key", "tls.key", os.unlink, r"tls\.key"),
)


def refused(argv):
    """The status and what was said; None: it started."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=STARTS_FOR, check=False)
    except subprocess.TimeoutExpired:
        return None, "it started"
    return done.returncode, done.stdout + done.stderr


def state_of(folder):
    return {name: hashlib.sha256(open(os.path.join(folder, name), "rb").read()).hexdigest()
            for name in sorted(os.listdir(folder)) if os.path.isfile(os.path.join(folder, name))}


def try_one(net, part, case, commands):
    what, name, spoil, named = case
    with tempfile.TemporaryDirectory(prefix="warren-r25-") as folder:
        copy = os.path.join(folder, part)
        shutil.copytree(net.path(part), copy, ignore=lambda _, names: [n for n in names if n.endswith(".socket")])
        os.chmod(copy, 0o700)
        spoil(os.path.join(copy, name))
        before = state_of(copy)
        for command in commands:
            status, said = refused([argument.replace("@", copy) for argument in command])
            is_named = re.search(named, said) is not None
            if status in (None, 0) or not is_named:
                return f"{what}: {command[1]}: status {status}: {said.strip()[-300:]}"
            if "check-config" in command[1] and state_of(copy) != before:
                return f"{what}: {command[1]} wrote"
    return None


def bad_configurations(net):
    den, router = net.program("warren-den"), net.program("warren-router")
    den_commands = ([den, "check-config", "--config", "@/den.conf"], [den, "run", "--config", "@/den.conf"])
    router_commands = ([router, "--check-config", "--config", "@/router.conf"], [router, "--config", "@/router.conf"])
    good = [subprocess.run(argv, capture_output=True, text=True, check=False)
            for argv in ([den, "check-config", "--config", net.path("den/den.conf")], [router, "--check-config", "--config", net.path("router/router.conf")])]
    drill.require("the good configurations are good", all(done.returncode == 0 for done in good), [done.stdout + done.stderr for done in good])
    wrong = [try_one(net, "den", case, den_commands) for case in DEN] + [try_one(net, "router", case, router_commands) for case in ROUTER]
    failed = [text for text in wrong if text]
    for text in failed:
        drill.say(text)
    drill.measure("bad configurations tried", len(wrong), "", at_least=20)
    drill.require("all are refused, named, and nothing is written", not failed, f"{len(wrong) - len(failed)} of {len(wrong)}")
    with tempfile.TemporaryDirectory(prefix="warren-r25-") as folder:  # several errors: all at once
        copy = os.path.join(folder, "den")
        shutil.copytree(net.path("den"), copy, ignore=lambda _, names: [n for n in names if n.endswith(".socket")])
        append("colour = red\nleaf_life = 30d\nid_digits = 5\n")(os.path.join(copy, "den.conf"))
        _, said = refused([den, "check-config", "--config", os.path.join(copy, "den.conf")])
        drill.require("several errors are told at once", len(re.findall(r"den\.conf:\d+: ", said)) == 3 and all(word in said for word in ("colour", "leaf_life", "id_digits")), said.strip())


def built(folder):
    """The programs' hashes, of a build without any cache."""
    env = dict(os.environ, CCACHE_DISABLE="1")
    build = os.path.join(folder, "build")
    shutil.rmtree(build, ignore_errors=True)
    subprocess.run(["meson", "setup", build, folder], check=True, env=env, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", build, "-j2", *PROGRAMS], check=True, env=env, stdout=subprocess.DEVNULL)
    return {name: hashlib.sha256(open(os.path.join(build, name), "rb").read()).hexdigest() for name in PROGRAMS}


def build_twice():
    with tempfile.TemporaryDirectory(prefix="warren-r25-") as folder:
        archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        first, second = built(folder), built(folder)
        drill.require("two builds have the same bytes", first == second, ", ".join(name for name in PROGRAMS if first[name] == second[name]))


if os.environ.get("WARREN_R25", "config") and "build" != os.environ.get("WARREN_R25"):
    with drill.network() as network:
        network.den.stop()
        network.router.stop()
        bad_configurations(network)
if os.environ.get("WARREN_R25") != "config":
    build_twice()
drill.end()
