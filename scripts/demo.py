#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: a whole network on this machine, two peers that talk, three lies that are refused. Run it through scripts/demo."""
import argparse
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

NETWORK = "demo.warren"
PATIENCE = 60  # seconds that anything may take before the demo gives up
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Failed(Exception):
    pass


def say(text=""):
    print(text, flush=True)


def headline(text):
    say()
    say(f"== {text}")


def shown(peer_id):
    return f"{peer_id[:-3]} {peer_id[-3:]}"


class Process:
    """A program that runs beside the demo, with its output in lists that can be waited on."""

    def __init__(self, name, argv, **more):
        self.name, self.out, self.err = name, [], []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace", bufsize=1, **more)
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            threading.Thread(target=self.collect, args=(stream, lines), daemon=True).start()

    def collect(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait_line(self, lines, pattern, start=0, patience=PATIENCE):
        """The first line that matches, from `start` on."""
        until = time.monotonic() + patience
        with self.changed:
            while True:
                for line in lines[start:]:
                    if re.search(pattern, line):
                        return line
                left = until - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self.changed.wait(0.5)):
                    raise Failed(f"{self.name}: waited for /{pattern}/; it said:\n  " +
                                 "\n  ".join((self.err + self.out)[-12:]))
                self.changed.wait(min(left, 1))

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def wait(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{self.name} did not end; it said:\n  " + "\n  ".join(self.err[-12:])) from e

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Demo:
    def __init__(self, build, folder):
        self.build, self.folder, self.processes = build, folder, []
        self.facts = {"network": NETWORK, "ok": False, "lines": [], "refusals": []}
        self.ids = {}

    def program(self, part, name):
        return os.path.join(self.build, part, name)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def run(self, argv, wanted=0, **more):
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False, **more)
        if done.returncode != wanted:
            raise Failed(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, name, argv, **more):
        process = Process(name, argv, **more)
        self.processes.append(process)
        return process

    # -- the network ------------------------------------------------------------------------

    def make_network(self):
        headline("an operator makes the network " + NETWORK)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        router, den = self.path("router"), self.path("den")
        self.run([self.program("router", "warren-router"), "init", router, "--host", f"127.0.0.1:{port}"])
        say("router: keys made, request written; its keys never leave " + router)
        passphrase, theirs = os.pipe()
        os.write(theirs, secrets.token_hex(16).encode())
        os.close(theirs)
        say(self.run([self.program("den", "warren-den"), "init", den, "--network", NETWORK, "--router-request",
                      os.path.join(router, "router.request"), "--root-passphrase-fd", str(passphrase)],
                     pass_fds=[passphrase]).rstrip())
        os.close(passphrase)
        self.run([self.program("router", "warren-router"), "accept", router, os.path.join(den, "router.answer")])
        say("router: den's answer accepted (certificate, chain, manifest)")
        self.router = self.start("warren-router", [self.program("router", "warren-router"), "--config",
                                                   os.path.join(router, "router.conf")])
        self.router.wait_line(self.router.err, r"event=listening")
        self.den = self.start("warren-den", [self.program("den", "warren-den"), "run", "--config",
                                             os.path.join(den, "den.conf")])
        self.den.wait_line(self.den.err, r"event=online")
        say(f"warren-router listens on 127.0.0.1:{port}, warren-den has joined it")

    def token(self):
        return self.run([self.program("den", "warren-den"), "token", "new", "--config", self.path("den", "den.conf")]).strip()

    def warren(self, name, *words):
        return [self.program("peer/cli", "warren"), "--state", self.path(name), *words]

    def join(self, name):
        out = self.run(self.warren(name, "join"), input=self.token() + "\n")
        identity = json.loads(self.run(self.warren(name, "id", "--json")))
        self.ids[name] = identity["id"]
        return out, identity

    def allow(self, rules):
        seen = len(self.den.err)
        with open(self.path("den", "policy.conf"), "a", encoding="ascii") as f:
            f.write("".join(rule + "\n" for rule in rules))
        self.den.process.send_signal(signal.SIGHUP)
        self.den.wait_line(self.den.err, r"event=policy\b.*loaded|event=policy_loaded", seen)
        for rule in rules:
            say("policy: " + rule)

    # -- two peers talk -----------------------------------------------------------------------

    def talk(self):
        headline("alice and bob join with a token each")
        for name in ("alice", "bob"):
            say(f"-- {name}")
            say(self.join(name)[0].rstrip())
        alice, bob = self.ids["alice"], self.ids["bob"]
        headline("the operator allows them to chat, both ways")
        self.allow([f"allow from {alice} to {bob} can chat back chat consent ask",
                    f"allow from {bob} to {alice} can chat back chat consent ask"])
        headline(f"alice dials {shown(bob)}")
        callee = self.start("bob", self.warren("bob", "chat", "--accept", "--loopback", "--facts", self.path("bob.json")))
        callee.wait_line(callee.err, r"waiting for a call")
        caller = self.start("alice", self.warren("alice", "chat", bob, "--loopback", "--facts", self.path("alice.json")))
        caller.wait_line(caller.err, r"^grant:")
        callee.wait_line(callee.err, r"^grant:")
        for process in (caller, callee):
            for line in process.err:
                say(f"[{process.name}] {line}")
        self.exchange(caller, callee)
        headline("both hang up")
        caller.end_input()
        callee.end_input()
        for process in (caller, callee):
            if process.wait() != 0:
                raise Failed(f"{process.name} ended with {process.process.returncode}: {process.err[-3:]}")
            say(f"[{process.name}] {process.err[-1]}")
        self.take_facts()

    def exchange(self, caller, callee):
        headline("they talk")
        for sender, receiver, text in ((caller, callee, "hello bob, it is me, and you can know it"),
                                       (callee, caller, "hello alice, so can you"),
                                       (caller, callee, "no certificate window in sight: \u2713"),
                                       (callee, caller, "none here either")):
            sender.write(text + "\n")
            got = receiver.wait_line(receiver.out, re.escape(text) + "$")
            if got != f"{shown(self.ids[sender.name])}: {text}":
                raise Failed(f"{receiver.name} received {got!r}")
            say(f"[{receiver.name}] {got}")
            self.facts["lines"].append({"from": self.ids[sender.name], "to": self.ids[receiver.name], "text": text})

    def take_facts(self):
        facts = {}
        for name in ("alice", "bob"):
            with open(self.path(name + ".json"), encoding="utf-8") as f:
                facts[name] = json.load(f)
        mine = facts["alice"]
        for key in ("root", "manifest", "grant", "dial", "accept", "path", "tls"):
            self.facts[key] = mine[key]
        self.facts["peers"] = [facts[name]["self"] for name in ("alice", "bob")]
        for key in ("grant", "dial", "accept"):
            if facts["bob"][key] != mine[key]:
                raise Failed(f"alice and bob hold different {key}s")

    # -- three lies ---------------------------------------------------------------------------

    def refuse(self):
        headline("mallory joins too, and lies")
        self.join("mallory")
        self.join("mallory2")
        mallory, bob, alice = self.ids["mallory"], self.ids["bob"], self.ids["alice"]
        say(f"mallory is {shown(mallory)}, and owns {shown(self.ids['mallory2'])} too")
        self.allow([f"allow from {mallory} to {bob} can chat", f"deny from {mallory} to {alice} can *"])
        callee = self.start("bob", self.warren("bob", "chat", "--accept", "--loopback"))
        callee.wait_line(callee.err, r"waiting for a call")
        self.refuse_certificate("self_signed", "with a self-signed certificate for her own ID and key", callee)
        self.refuse_certificate("wrong_id", f"with the valid certificate of {shown(self.ids['mallory2'])}", callee)
        callee.stop()
        self.refuse_dial(alice)

    def lie(self, case, callee_id):
        done = subprocess.run([self.program("tests/evil", "evil"), case, "--state", self.path("mallory"), "--other",
                               self.path("mallory2"), callee_id], capture_output=True, text=True, timeout=PATIENCE, check=False)
        found = re.search(r"^refused: (\w+): (.*)$", done.stdout, re.M)
        if done.returncode != 0 or not found:
            raise Failed(f"evil {case}: not refused:\n{done.stdout}{done.stderr}")
        return {"code": found.group(1), "cause": found.group(2)}

    def refuse_certificate(self, case, how, callee):
        headline(f"refusal: mallory dials bob {how}")
        seen, heard = len(callee.err), len(callee.out)
        caller_error = self.lie(case, self.ids["bob"])
        line = callee.wait_line(callee.err, r"^warren: chat: \w+: ", seen)
        code, cause = re.match(r"^warren: chat: (\w+): (.*)$", line).groups()
        say(f"[mallory] {caller_error['code']}: {caller_error['cause']}")
        say(f"[bob] {code}: {cause}")
        wanted = {"self_signed": ("bad_certificate",), "wrong_id": ("name_mismatch", "bad_certificate", "wrong_key")}[case]
        if code not in wanted or caller_error["code"] != "bad_certificate":
            raise Failed(f"refused for another reason: {caller_error}, {line}")
        if len(callee.out) != heard:
            raise Failed("bob received something of a refused link")
        callee.wait_line(callee.err, r"waiting for the next call", seen)
        self.facts["refusals"].append({"case": case, "caller": caller_error, "callee": {"code": code, "cause": cause}})

    def refuse_dial(self, alice):
        headline("refusal: mallory dials alice, which policy denies")
        callee = self.start("alice", self.warren("alice", "chat", "--accept", "--loopback"))
        callee.wait_line(callee.err, r"waiting for a call")
        seen, heard = len(self.den.err), len(callee.err) + len(callee.out)
        caller_error = self.lie("denied", alice)
        say(f"[mallory] {caller_error['code']}: {caller_error['cause']}")
        line = self.den.wait_line(self.den.err, r"rule=\S*policy\.conf:\d+", seen)
        say(f"[den's log] {line}")
        audit = self.run([self.program("den", "warren-den"), "audit", "list", "--config", self.path("den", "den.conf")])
        rule = re.search(r"rule=(\S+)", line).group(1)
        record = [entry for entry in audit.splitlines() if rule in entry and "refused" in entry]
        if not record or caller_error["code"] != "not_reachable":
            raise Failed(f"not refused by that rule: {caller_error}, {audit[-2000:]}")
        say(f"[den's audit] {record[-1]}")
        if len(callee.err) + len(callee.out) != heard:
            raise Failed(f"alice noticed a denied dial: {callee.err[-3:]}")
        say("[alice] (nothing)")
        callee.stop()
        self.facts["refusals"].append({"case": "denied", "caller": caller_error, "callee": None, "den": {"rule": rule}})

    def close(self):
        for process in reversed(self.processes):
            process.stop()


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--json", metavar="FILE", help="write the facts there")
    parser.add_argument("--build", default="build", metavar="DIR")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="warren-demo-")
    demo = Demo(os.path.join(ROOT, options.build), folder)
    status = 1
    started = time.monotonic()
    try:
        demo.make_network()
        demo.talk()
        demo.refuse()
        demo.facts["ok"] = True
        status = 0
    except (Failed, subprocess.TimeoutExpired, KeyError, OSError) as e:
        say(f"\nthe demo failed: {e}")
        for process in demo.processes:
            say(f"-- the last lines of {process.name}")
            for line in process.err[-15:]:
                say("  " + line)
    finally:
        demo.close()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(demo.facts, f, indent=1)
            f.write("\n")
    if status == 0:
        headline(f"all of it happened, in {time.monotonic() - started:.1f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
