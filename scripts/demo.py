#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: a whole network on this machine, two peers that talk, three lies that are refused. Run it through scripts/demo."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "system"))
from network import PATIENCE, Failed, Network, shown  # noqa: E402


def say(text=""):
    print(text, flush=True)


def headline(text):
    say()
    say(f"== {text}")


class Demo:
    def __init__(self, build, folder):
        self.net = Network(build, folder, say=say)
        self.facts = {"network": self.net.name, "ok": False, "lines": [], "refusals": []}

    def play(self):
        headline("an operator makes the network " + self.net.name)
        self.net.make()
        self.talk()
        self.refuse()
        self.facts["ok"] = True

    # -- two peers talk -----------------------------------------------------------------------

    def talk(self):
        net = self.net
        headline("alice and bob join with a token each")
        for name in ("alice", "bob"):
            say(f"-- {name}")
            say(net.join(name).rstrip())
        alice, bob = net.ids["alice"], net.ids["bob"]
        headline("the operator allows them to chat, both ways")
        net.allow(f"allow from {alice} to {bob} can chat back chat consent ask",
                  f"allow from {bob} to {alice} can chat back chat consent ask")
        headline(f"alice dials {shown(bob)}")
        callee = net.wait_chat("bob", "--accept", "--facts", net.path("bob.json"))
        caller = net.dial_chat("alice", "bob", "--facts", net.path("alice.json"))
        for process in (caller, callee):
            process.wait_line(process.err, r"^grant:")
        for process in (caller, callee):
            for line in process.err:
                say(f"[{process.name}] {line}")
        self.exchange(caller, callee)
        headline("meanwhile the link has moved to the direct path")
        for process in (caller, callee):
            say(f"[{process.name}] {process.wait_line(process.err, r'path.* direct')}")
        headline("both hang up")
        self.hang_up(caller, callee)
        self.take_facts()

    def exchange(self, caller, callee):
        headline("they talk")
        for sender, receiver, text in ((caller, callee, "hello bob, it is me, and you can know it"),
                                       (callee, caller, "hello alice, so can you"),
                                       (caller, callee, "no certificate window in sight: \u2713"),
                                       (callee, caller, "none here either")):
            sender.write(text + "\n")
            got = receiver.wait_line(receiver.out, re.escape(text) + "$")
            if got != f"{shown(self.net.ids[sender.name])}: {text}":
                raise Failed(f"{receiver.name} received {got!r}")
            say(f"[{receiver.name}] {got}")
            self.facts["lines"].append({"from": self.net.ids[sender.name], "to": self.net.ids[receiver.name], "text": text})

    def hang_up(self, caller, callee):
        caller.end_input()
        callee.end_input()
        for process in (caller, callee):
            if process.wait() != 0:
                raise Failed(f"{process.name} ended with {process.process.returncode}: {process.err[-3:]}")
            say(f"[{process.name}] {process.err[-1]}")

    def take_facts(self):
        facts = {}
        for name in ("alice", "bob"):
            with open(self.net.path(name + ".json"), encoding="utf-8") as f:
                facts[name] = json.load(f)
        for key in ("root", "manifest", "grant", "dial", "accept"):
            if facts["alice"][key] != facts["bob"][key]:
                raise Failed(f"alice and bob hold different {key}s")
        for key in ("root", "manifest", "grant", "dial", "accept", "path", "tls"):
            self.facts[key] = facts["alice"][key]
        self.facts["peers"] = [facts[name]["self"] for name in ("alice", "bob")]

    # -- three lies ---------------------------------------------------------------------------

    def refuse(self):
        net = self.net
        headline("mallory joins too, and lies")
        net.join("mallory")
        net.join("mallory2")
        mallory, bob, alice = (net.ids[name] for name in ("mallory", "bob", "alice"))
        say(f"mallory is {shown(mallory)}, and owns {shown(net.ids['mallory2'])} too")
        net.allow(f"allow from {mallory} to {bob} can chat", f"deny from {mallory} to {alice} can *")
        callee = net.wait_chat("bob", "--accept")
        self.refuse_certificate("self_signed", "with a self-signed certificate for her own ID and key", callee)
        self.refuse_certificate("wrong_id", f"with the valid certificate of {shown(net.ids['mallory2'])}", callee)
        callee.stop()
        self.refuse_dial(alice)

    def lie(self, case, callee_id):
        net = self.net
        done = subprocess.run([net.program("evil"), case, "--state", net.path("mallory"), "--other", net.path("mallory2"),
                               callee_id], capture_output=True, text=True, timeout=PATIENCE, check=False)
        found = re.search(r"^refused: (\w+): (.*)$", done.stdout, re.M)
        if done.returncode != 0 or not found:
            raise Failed(f"evil {case}: not refused:\n{done.stdout}{done.stderr}")
        return {"code": found.group(1), "cause": found.group(2)}

    def refuse_certificate(self, case, how, callee):
        headline(f"refusal: mallory dials bob {how}")
        seen, heard = len(callee.err), len(callee.out)
        caller_error = self.lie(case, self.net.ids["bob"])
        line = callee.wait_line(callee.err, r"^warren: chat: \w+: ", seen)
        code, cause = re.match(r"^warren: chat: (\w+): (.*)$", line).groups()
        say(f"[mallory] {caller_error['code']}: {caller_error['cause']}")
        say(f"[bob] {code}: {cause}")
        wanted = {"self_signed": "bad_certificate", "wrong_id": "name_mismatch"}[case]
        if code != wanted or caller_error["code"] != "bad_certificate":
            raise Failed(f"refused for another reason: {caller_error}, {line}")
        callee.wait_line(callee.err, r"waiting for the next call", seen)
        if len(callee.out) != heard:
            raise Failed("bob received something of a refused link")
        self.facts["refusals"].append({"case": case, "caller": caller_error, "callee": {"code": code, "cause": cause}})

    def refuse_dial(self, alice):
        headline("refusal: mallory dials alice, which policy denies")
        net = self.net
        callee = net.wait_chat("alice", "--accept")
        seen, heard = len(net.den.err), callee.err + callee.out
        caller_error = self.lie("denied", alice)
        say(f"[mallory] {caller_error['code']}: {caller_error['cause']}")
        line = net.den.wait_line(net.den.err, r"rule=\S*policy\.yaml:\d+", seen)
        say(f"[den's log] {line}")
        rule = re.search(r"rule=(\S+)", line).group(1)
        records = [entry for entry in net.audit() if rule in entry and "session.refused" in entry]
        if not records or caller_error["code"] != "not_reachable":
            raise Failed(f"not refused by that rule: {caller_error}, {line}")
        say(f"[den's audit] {records[-1]}")
        callee.stop()
        if [line for line in callee.err + callee.out if line != "hanging up"] != heard:
            raise Failed(f"alice noticed a denied dial: {callee.err[-3:]}")
        say("[alice] (nothing)")
        self.facts["refusals"].append({"case": "denied", "caller": caller_error, "callee": None, "den": {"rule": rule}})


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--json", metavar="FILE", help="write the facts there")
    parser.add_argument("--build", default="build", metavar="DIR")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="warren-demo-")
    demo = Demo(options.build, folder)
    started = time.monotonic()
    try:
        demo.play()
    except (Failed, subprocess.TimeoutExpired, KeyError, OSError) as e:
        say(f"\nthe demo failed: {e}")
        for process in demo.net.processes:
            say(f"-- the last lines of {process.name}")
            for line in process.err[-15:]:
                say("  " + line)
    finally:
        demo.net.close()
        if options.keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(demo.facts, f, indent=1)
            f.write("\n")
    if demo.facts["ok"]:
        headline(f"all of it happened, in {time.monotonic() - started:.1f} s")
    return 0 if demo.facts["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
