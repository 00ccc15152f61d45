#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fail closed: a router with a bad configuration or folder does not start, and says which line or file is bad, with --check-config
and without."""
import os
import re
import shutil

import network
import tap
from lone import write
from network import run

KEY = "11" * 32


def conf(*changes):
    """Lines for router.conf; None takes a key away."""
    def make(home):
        with open(os.path.join(home, "router.conf"), encoding="ascii") as f:
            text = f.read()
        for key, value in changes:
            text = re.sub(rf"(?m)^{key} = .*\n", "", text)
            if value is not None:
                text += f"{key} = {value}\n"
        write(home, "router.conf", text)
    return make


def lines(text):
    def make(home):
        with open(os.path.join(home, "router.conf"), "a", encoding="latin-1") as f:
            f.write(text)
    return make


def realms(text, people=None, mode=0o600):
    def make(home):
        conf(("realms", "realms.conf"))(home)
        write(home, "realms.conf", text)
        if people is not None:
            write(home, "people.conf", people, mode)
    return make


def file(name, text=None, mode=None):
    """A file of the folder, overwritten, with another mode, or gone."""
    def make(home):
        path = os.path.join(home, name)
        if text is not None:
            write(home, name, text, 0o600)
        if mode is not None:
            os.chmod(path, mode)
        if text is None and mode is None:
            os.remove(path)
    return make


STAFF = "[realm app.x]\nmethods = ticket\nprincipals = people.conf\n"
CASES = [
    ("a key is missing", conf(("host", None)), r"router\.conf: host is missing"),
    ("an unknown key", lines("max_conections = 5\n"), r"router\.conf:\d+: unknown key \"max_conections\""),
    ("a key twice", lines("log_level = info\nlog_level = warn\n"), r"router\.conf:\d+: log_level: given twice"),
    ("no value", lines("call_timeout\n"), r"router\.conf:\d+: expected KEY = VALUE"),
    ("an empty value", lines("call_timeout =\n"), r"router\.conf:\d+: call_timeout: expected a duration"),
    ("no duration", lines("call_timeout = soon\n"), r"router\.conf:\d+: call_timeout: expected a duration"),
    ("out of range", lines("call_timeout = 2h\n"), r"router\.conf:\d+: call_timeout: expected 100 to"),
    ("a negative number", lines("max_connections = -1\n"), r"router\.conf:\d+: max_connections: expected"),
    ("a NUL byte", lines("log_level = in\0fo\n"), r"router\.conf:\d+: expected text, found a NUL byte"),
    ("a binary file", file("router.conf", "\x01\x02" * 100), r"router\.conf:1: expected KEY = VALUE"),
    ("an empty file", file("router.conf", ""), r"router\.conf: host is missing"),
    ("no file", file("router.conf"), r"router\.conf: no such file"),
    ("host without a port", conf(("host", "router.example")), r"router\.conf:\d+: host: expected"),
    ("listen on a name", conf(("listen", "localhost")), r"router\.conf:\d+: listen: expected ADDRESS:PORT"),
    ("plain for everybody", lines("listen_plain = 0.0.0.0:8080\n"), r"router\.conf:\d+: listen_plain: expected 127\.0\.0\.1"),
    ("metrics nowhere", lines("metrics = here\n"), r"router\.conf:\d+: metrics: expected ADDRESS:PORT"),
    ("a log format", lines("log_format = xml\n"), r"router\.conf:\d+: log_format: expected text or json"),
    ("a log level", lines("log_level = loud\n"), r"router\.conf:\d+: log_level: expected debug"),
    ("half a hash", lines("proxy_certificates = abcd\n"), r"router\.conf:\d+: proxy_certificates: expected"),
    ("no realms file", conf(("realms", "none.conf")), r"none\.conf: no such file"),
    ("an empty realms file", realms(""), r"realms\.conf: expected a \[realm NAME\] section, found none"),
    ("an unknown method", realms("[realm app.x]\nmethods = magic\n"), r"realms\.conf:1: .*methods: expected netsign, .*found \"magic\""),
    ("a realm without methods", realms("[realm app.x]\n"), r"realms\.conf:1: .*methods is missing"),
    ("an unknown section", realms("[relm app.x]\nmethods = anonymous\n"), r"realms\.conf:1: "),
    ("a realm twice", realms("[realm app.x]\nmethods = anonymous\n" * 2), r"realms\.conf:3: .*given twice"),
    ("netsign elsewhere", realms("[realm app.x]\nmethods = netsign\n"), r"realms\.conf:1: .*netsign is for the network's own realm"),
    ("tickets without people", realms("[realm app.x]\nmethods = ticket\n"), r"realms\.conf:1: .*principals is missing"),
    ("people that others can read", realms(STAFF, "[principal a]\nrole = r\nticket = t\n", 0o644), r"people\.conf"),
    ("a principal without a proof", realms(STAFF, "[principal a]\nrole = r\n"), r"people\.conf:1: .*expected a ticket, a secret or keys"),
    ("a principal without a role", realms(STAFF, "[principal a]\nticket = t\n"), r"people\.conf:1: .*role is missing"),
    ("one key for two", realms(STAFF, f"[principal a]\nrole = r\nkeys = {KEY}\n[principal b]\nrole = r\nkeys = {KEY}\n"),
     r"people\.conf:4: .*another principal's"),
    ("router.key for all to read", file("router.key", mode=0o644), r"router\.key"),
    ("tls.key for the group", file("tls.key", mode=0o640), r"tls\.key"),
    ("no router.key", file("router.key"), r"warren-router init"),
    ("no trust", file("trust"), r"warren-router accept"),
    ("an empty trust", file("trust", ""), r"trust"),
    ("another TLS key", file("tls.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), r"tls\.key"),
    ("no certificate", file("tls.pem"), r"tls\.pem"),
    ("half a certificate", file("tls.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n"), r"tls\.pem"),
    ("a folder that others can write", lambda home: os.chmod(home, 0o777), r"router|0777|mode"),
]


@tap.test
def the_good_one_is_taken(net):
    out = run([net.program("warren-router"), "--check-config", "--config", net.path("router/router.conf")]).stdout
    tap.check(re.search(r"configuration: ok\nnetwork: refused\.test\nrealms: 1\ncertificate until: 2", out), out)


@tap.test
def every_bad_one_is_refused(net):
    tap.check(len(CASES) >= 20, "twenty and more")
    failures = []
    for number, (name, make, wanted) in enumerate(CASES):
        home = net.path(f"bad-{number}")
        shutil.copytree(net.path("router"), home)
        make(home)
        for words in (["--check-config"], []):
            done = run([net.program("warren-router"), *words, "--config", os.path.join(home, "router.conf")], wanted=None)
            if done.returncode != 1 or done.stdout or not re.search(wanted, done.stderr):
                failures.append(f"{name} {words}: exit {done.returncode}, said:\n{done.stdout}{done.stderr}wanted /{wanted}/")
    print(f"# {len(CASES) - len({f.split(' [')[0] for f in failures})} of {len(CASES)} bad configurations and folders are refused")
    tap.check(not failures, "\n".join(failures))


@tap.test
def all_errors_are_told_at_once(net):
    home = net.path("many")
    shutil.copytree(net.path("router"), home)
    lines("call_timeout = soon\nnonsense = 1\nlog_level = loud\nlog_format = xml\nmetrics = x\nmax_queue = 1\n")(home)
    realms("[realm a.b]\nmethods = magic\n[realm c.d]\nmethods =\n[realm e.f]\n")(home)
    said = run([net.program("warren-router"), "--check-config", "--config", os.path.join(home, "router.conf")], wanted=1).stderr
    for wanted in (r"router\.conf:\d+: call_timeout: ", r"unknown key \"nonsense\"", r"router\.conf:\d+: log_level: ", r"router\.conf:\d+: log_format: ",
                   r"router\.conf:\d+: metrics: ", r"router\.conf:\d+: max_queue: ", r"realms\.conf:1: ", r"realms\.conf:4: ", r"realms\.conf:5: "):
        tap.check(len(re.findall(wanted, said)) == 1, f"not once: {wanted}\n{said}")



@tap.test
def principals_and_the_folder_too(net):
    home = net.path("folder")
    shutil.copytree(net.path("router"), home)
    realms(STAFF, "[principal ann]\nrole = staff\n[principal bob]\nticket = x\n[principal a b]\nrole = r\nticket = x\n")(home)
    for name in ("router.key", "tls.key"):
        os.chmod(os.path.join(home, name), 0o644)
    file("tls.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n")(home)
    file("revocations", "none\n")(home)
    said = run([net.program("warren-router"), "--check-config", "--config", os.path.join(home, "router.conf")], wanted=1).stderr
    for wanted in (r"router\.key", r"tls\.key", r"tls\.pem", r"revocations: damaged", r"people\.conf:1: .*ann.*expected a ticket",
                   r"people\.conf:3: role is missing", r"people\.conf:5: .*a b.*an authid", r"realms\.conf:1: .*errors in \S*people\.conf"):
        tap.check(len(re.findall(wanted, said)) == 1, f"not once: {wanted}\n{said}")


@tap.test
def checking_writes_nothing(net):
    home = net.path("clean")
    shutil.copytree(net.path("router"), home)
    realms("[realm app.x]\nmethods = anonymous\nrouter_key = made.key\n")(home)

    def all_files():
        found = {}
        for name in os.listdir(home):
            with open(os.path.join(home, name), "rb") as f:
                found[name] = (os.stat(f.fileno()).st_mtime_ns, f.read())
        return found

    for torn in (None, b"torn"):  # a power cut left the beginning of a record: what runs takes it away
        for name, head in (("revocations", "warren revocations 1\n"), ("netkeys", "warren netkeys1\n")):
            path = os.path.join(home, name)
            if os.path.exists(path):
                os.remove(path)
            if torn:
                file(name, head + torn.decode())(home)
        before = all_files()
        said = run([net.program("warren-router"), "--check-config", "--config", os.path.join(home, "router.conf")]).stdout
        tap.check_in("configuration: ok", said)
        after = all_files()
        tap.check(before == after, f"{sorted(before)} became {sorted(after)}")
    router = net.start("warren-router", [net.program("warren-router"), "--config", os.path.join(home, "router.conf")])
    router.wait_line(router.err, r"event=listening")
    router.stop()
    tap.check(all(not all_files()[name][1].endswith(torn) for name in ("revocations", "netkeys")), "the torn end is still there")


if __name__ == "__main__":
    network.Network.make = network.Network.init
    tap.main(name="refused.test")
