#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The audit is kept for an hour: what is older is in files, and chain, files, export and witnesses fit together."""
import glob
import json
import os
import signal
import sqlite3
import subprocess

import tap
from network import fast, run

AHEAD = 3 * 3600  # seconds: den comes back so much later


def den(net, *words, wanted=0, **more):
    return run([net.program("warren-den"), *words], wanted=wanted, **more)


def audit(net, verb, *words, wanted=0):
    return den(net, "audit", verb, "--config", net.path("den/den.conf"), *words, wanted=wanted)


def check(net, text, *words, wanted=0):
    return den(net, "audit", "check", "-", *words, wanted=wanted, input=text)


def sealed(net):
    return sorted(glob.glob(net.path("den/audit/audit-*.jsonl")))


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


@tap.test
def a_reload_seals_what_is_older(net):
    net.join("alice")
    net.join("bob")
    net.waiting = net.wait_chat("alice")
    den(net, "peer", "groups", net.ids["alice"], "helpers", "--config", net.path("den/den.conf"))
    net.heard = [json.loads(line) for line in net.audit()]
    net.den.stop()
    net.start_den(fast(net.build, 1, ahead=AHEAD))
    tap.check(not sealed(net), "audit_keep is not set, and something was sealed")
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write("audit_keep = 1h\n")
    net.den.process.send_signal(signal.SIGHUP)
    line = net.den.wait_line(net.den.err, "event=config.loaded")
    tap.check_in("changed=audit_keep", line)
    net.den.wait_line(net.den.err, "event=audit.sealed")
    files = sealed(net)
    tap.check(len(files) == 1, files)
    tap.check(os.stat(files[0]).st_mode & 0o7777 == 0o600 and os.stat(net.path("den/audit")).st_mode & 0o7777 == 0o700, "others can get at it")


@tap.test
def chain_file_and_export_fit_together(net):
    file, rest = read(sealed(net)[0]), audit(net, "export").stdout
    first, upto = json.loads(file.splitlines()[0]), json.loads(file.splitlines()[-1])
    newest = json.loads(rest.splitlines()[-1])
    tap.check(first["no"] == 1 and json.loads(rest.splitlines()[0])["no"] == upto["no"] + 1, "something is missing, or twice")
    tap.check_in(f"those up to number {upto['no']} are sealed in files", audit(net, "verify").stdout)
    said = json.loads(audit(net, "verify", "--witness", f"{newest['no']}:{newest['head']}", "--json").stdout)
    tap.check(said["whole"] and said["sealed_up_to"] == upto["no"] and said["last"] == newest["no"] and said["witness"] == "agrees", str(said))
    tap.check_in("whole and in order", check(net, file).stdout)
    tap.check_in("the witness agrees", check(net, file + rest, "--after", "0:" + 64 * "0", "--witness", f"{newest['no']}:{newest['head']}").stdout)
    tap.check_in("whole and in order", check(net, rest).stdout)
    entry = next(e for e in map(json.loads, rest.splitlines()) if e["what"] == "audit.sealed")
    tap.check(entry["facts"]["file"] == os.path.basename(sealed(net)[0]) and entry["facts"]["head"] == upto["head"], entry)


@tap.test
def an_export_that_lies_about_its_beginning_is_found_out(net):
    lines = audit(net, "export").stdout.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"audit.sealed"' in line)
    bad = lines[0].replace('"at_ms":', '"at_ms":1') if at else lines[0]
    said = check(net, "".join([bad, *lines[1:]]), wanted=1).stderr
    tap.check_in("changed or out of order", said)
    tap.check_in(":1:" if at == 0 else ":", said)


@tap.test
def witnesses_of_before_and_after_agree(net):
    upto = json.loads(read(sealed(net)[0]).splitlines()[-1])
    older, newest = net.heard[2], json.loads(audit(net, "export").stdout.splitlines()[-1])
    for entry in (upto, newest):
        tap.check_in("the witness agrees", audit(net, "verify", "--witness", f"{entry['no']}:{entry['head']}").stdout)
    tap.check_in("another head", audit(net, "verify", "--witness", f"{upto['no']}:{newest['head']}", wanted=1).stderr)
    said = audit(net, "verify", "--witness", f"{older['no']}:{older['head']}", wanted=1).stderr
    tap.check_in("sealed in files", said)
    tap.check_in("the witness agrees", den(net, "audit", "check", sealed(net)[0], "--witness", f"{older['no']}:{older['head']}").stdout)


@tap.test
def den_goes_on_after_a_restart_and_a_backup(net):
    net.den.stop()
    net.start_den(fast(net.build, 1, ahead=AHEAD))
    den(net, "backup", net.path("copy"), "--config", net.path("den/den.conf"), "--plain")
    tap.check_in("den.db is whole", den(net, "restore", net.path("copy"), net.path("restored")).stdout)
    tap.check_in("are sealed in files", audit(net, "verify").stdout)
    tap.check_in("sealed", den(net, "ask", "den.audit.verify", "{}", "--config", net.path("den/den.conf")).stdout)


@tap.test
def policy_still_knows_the_groups_of_then_or_says_that_it_does_not(net):
    later = fast(net.build, 1, ahead=AHEAD)
    net.waiting.stop()
    with open(net.path("den/policy.yaml"), "w", encoding="ascii") as f:
        f.write("rules:\n  - {from: group:helpers, to: any, can: [chat, file], consent: none}\n")
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, "event=policy.loaded", seen)
    bob = net.wait_chat("bob", "--accept", prefix=later)
    alice = net.dial_chat("alice", "bob", prefix=later)
    alice.wait_line(alice.err, "linked with")
    alice.stop()
    bob.stop()

    def policy(*words, wanted=0):
        said = run([*later, net.program("warren-den"), "policy", *words, "--config", net.path("den/den.conf")], wanted=wanted)
        return said.stderr if wanted else json.loads(said.stdout)

    replayed = policy("replay", net.path("den/policy.yaml"), "--json")
    upto = json.loads(read(sealed(net)[-1]).splitlines()[-1])
    tap.check((replayed["sessions"], replayed["otherwise"], replayed["groups_unknown"]) == (1, 0, 0), f"the file that decided: {replayed}")
    tap.check(replayed["sealed_until"] and replayed["sealed_until"][-1] == "Z", f"{replayed}")
    why = policy("why", net.ids["alice"], net.ids["bob"], "chat", "--json")
    tap.check(why["decision"]["verdict"] == "allow" and why["from"]["groups"] == "helpers" and why["from"]["groups_recorded"], f"{why}")
    loaded = next(e for e in map(json.loads, net.audit()) if e["what"] == "policy.loaded")
    tap.check(policy("why", net.ids["alice"], net.ids["bob"], "chat", "--at", str(loaded["at_ms"]), "--json")["decision"]["verdict"] == "allow", "at once")
    before = policy("why", net.ids["alice"], net.ids["bob"], "chat", "--at", str(loaded["at_ms"] - 1), "--json")
    tap.check(before["decision"]["verdict"] == "deny", f"a millisecond before: {before}")
    said = policy("why", net.ids["alice"], net.ids["bob"], "chat", "--at", str(upto["at_ms"] - 1), wanted=1)
    tap.check_in("stands in files that the audit was sealed into; den itself can tell from ", said)


@tap.test
def a_checkpoint_that_was_changed_is_named(net):
    net.den.stop()
    with sqlite3.connect(net.path("den/den.db")) as db:
        db.execute("UPDATE blob SET bytes = CAST(substr(bytes, 1, 20) || x'00112233' || substr(bytes, 25) AS BLOB) WHERE name = 'audit_checkpoint'")
    db.close()
    tap.check_in("the checkpoint after entry", audit(net, "verify", wanted=1).stderr)
    said = json.loads(audit(net, "verify", "--json", wanted=1).stdout)
    tap.check(not said["whole"] and said["checkpoint_is_bad"], str(said))


@tap.test
def what_cannot_be_read_or_is_empty_is_not_whole(net):
    tap.check_in("Is a directory", den(net, "audit", "check", net.folder, wanted=1).stderr)
    tap.check_in("it has no entry", check(net, "", wanted=1).stderr)
    rest = json.loads(audit(net, "export").stdout.splitlines()[-1])
    tap.check_in("0 entries", check(net, "", "--after", f"{rest['no']}:{rest['head']}").stdout)


tap.main()
