#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network that is administered: over the network by signed requests, and on den's own machine."""
import json
import os
import signal
import socket
import stat
import time
import urllib.request

import tap
from network import PATIENCE, free_port, run


def admin(net, *words, who="boss", wanted=0, **more):
    return run(net.warren(who, "admin", *words), wanted=wanted, **more)


def asked(net, *words, **more):
    return json.loads(admin(net, *words, "--json", **more).stdout)


def den(net, *words, wanted=0):
    return run([net.program("warren-den"), *words, "--config", net.path("den/den.conf")], wanted=wanted)


def audit(net):
    return [json.loads(line) for line in den(net, "audit", "list").stdout.splitlines()]


def newest(net, what):
    return [entry for entry in audit(net) if entry["what"] == what][-1]


@tap.test
def an_administrator_sees_peers_names_tokens_and_certificates(net):
    with open(net.path("den/admin.join"), encoding="ascii") as f:
        run(net.warren("boss", "join"), input=f.read())
    net.ids["boss"] = net.identity("boss")["id"]
    for name in ("alice", "bob"):
        net.join(name)
    peers = {peer["id"]: peer for peer in asked(net, "peer", "list")}
    tap.check(set(peers) == set(net.ids.values()), str(peers))
    tap.check(peers[net.ids["boss"]]["role"] == "admin", str(peers))
    tap.check_in(net.ids["alice"], admin(net, "peer", "list").stdout)
    one = asked(net, "peer", "get", net.ids["alice"])
    tap.check(one["peer"]["id"] == net.ids["alice"] and one["names"] == [], str(one))
    tap.check(len(asked(net, "token", "list")) >= 3, "tokens")
    serials = [cert["serial"] for cert in asked(net, "cert", "list")]
    tap.check(len(serials) >= 3, str(serials))
    shown = asked(net, "cert", "show", serials[0])
    tap.check(shown["certificate"]["serial"] == serials[0] and "BEGIN CERTIFICATE" in shown["pem"], str(shown)[:200])
    tap.check_in("BEGIN CERTIFICATE", admin(net, "cert", "show", serials[0]).stdout)


@tap.test
def groups_names_and_removal_are_audited_with_before_and_after(net):
    alice, boss = net.ids["alice"], net.ids["boss"]
    admin(net, "peer", "groups", alice, "staff,servers")
    entry = newest(net, "identity.groups")["facts"]
    tap.check(entry["by"] == boss and entry["source"].startswith("127.0.0.1") and entry["groups_before"] == "" and entry["groups"] == "staff,servers", str(entry))
    den(net, "peer", "groups", alice, "staff")
    entry = newest(net, "identity.groups")["facts"]
    tap.check(entry["by"] == f"uid {os.getuid()}" and entry["source"] == "local" and entry["groups_before"] == "staff,servers", str(entry))
    admin(net, "name", "assign", "alice@test.warren", alice)
    tap.check(asked(net, "name", "list")[0]["id"] == alice, "the name")
    admin(net, "name", "free", "alice@test.warren")
    entry = newest(net, "name.freed")["facts"]
    tap.check(entry["id_before"] == alice and entry["id"] == "" and entry["by"] == boss, str(entry))
    tap.check_in("not_found", admin(net, "peer", "get", "999999", wanted=1).stderr)
    tap.check_in("groups: expected names", admin(net, "peer", "groups", alice, "No!", wanted=1).stderr)


@tap.test
def a_token_is_drawn_by_the_administrator_and_den_never_sees_it(net):
    made = admin(net, "token", "add", "--groups", "staff", "--uses", "2", "--label", "printers", "--out", net.path("new.join"))
    tap.check(stat.S_IMODE(os.stat(net.path("new.join")).st_mode) == 0o600 and not made.stdout, "the file with the join string")
    with open(net.path("new.join"), encoding="ascii") as f:
        join = f.read()
    token = join.strip().rsplit(".", 1)[1]
    run(net.warren("carol", "join"), input=join)
    net.ids["carol"] = net.identity("carol")["id"]
    tap.check(asked(net, "peer", "get", net.ids["carol"])["peer"]["groups"] == "staff", "carol's groups")
    row = next(row for row in asked(net, "token", "list") if row["label"] == "printers")
    tap.check(row["used"] == 1 and row["created_by"] == net.ids["boss"], str(row))
    for name in os.listdir(net.path("den")):
        path = net.path("den", name)
        if os.path.isfile(path):
            with open(path, "rb") as f:
                tap.check(token.encode() not in f.read(), f"the token in {name}")
    admin(net, "token", "revoke", row["token"][:16])
    tap.check_in("bad_token", run(net.warren("dora", "join"), input=join, wanted=1).stderr)
    tap.check_in("key: missing", run(net.warren("boss", "call", "--sign", "den.token.add"), wanted=1).stderr)


@tap.test
def a_new_key_for_a_known_id(net):
    admin(net, "peer", "re-enrol", net.ids["carol"], "--out", net.path("again.join"))
    with open(net.path("again.join"), encoding="ascii") as f:
        run(net.warren("carol2", "join"), input=f.read())
    tap.check(net.identity("carol2")["id"] == net.ids["carol"], "the ID of the new machine")
    tap.check(asked(net, "peer", "get", net.ids["carol"])["peer"]["keys_before"] == 1, "a key before")


@tap.test
def sessions_are_listed_and_closed(net):
    net.allow("allow from * to * can chat back chat")
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    live = asked(net, "session", "list", "--open")
    tap.check(len(live) == 1 and live[0]["from"] == net.ids["alice"], str(live))
    for close in (admin, den):
        tap.check_in("reason: expected printable ASCII", close(net, "session", "close", live[0]["sid"], "--reason", "später", wanted=1).stderr)
    tap.check([one["sid"] for one in asked(net, "session", "list", "--open")] == [live[0]["sid"]], "it goes on")
    admin(net, "session", "close", live[0]["sid"], "--reason", "lunch")
    tap.check(asked(net, "session", "list", "--open") == [], "no session is left")
    entry = newest(net, "session.closed")["facts"]
    tap.check(entry["by"] == net.ids["boss"] and entry["reason"] == "lunch" and entry["state_before"] == "accepted", str(entry))
    alice.wait()
    bob.wait_line(bob.err, "the network ended this session")
    until = time.monotonic() + PATIENCE
    while not asked(net, "session", "list")[0]["sent_by_caller"] and time.monotonic() < until:
        time.sleep(0.1)
    row = asked(net, "session", "list")[0]  # its ends told den what it came to
    tap.check(row["sid"] == live[0]["sid"] and row["reason"] == "lunch" and row["sent_by_caller"] > 0 and row["sent_by_called"] > 0 and row["path"], str(row))
    tap.check(newest(net, "session.reported")["facts"]["sid"] == row["sid"], "the audit")
    line = [line for line in admin(net, "session", "list").stdout.splitlines() if row["sid"] in line][0]
    tap.check(row["path"] in line and str(row["sent_by_caller"]) in line and str(row["sent_by_called"]) in line, line)
    bob.stop()
    bob = net.wait_chat("bob", "--accept")
    alice = net.dial_chat("alice", "bob")
    alice.wait_line(alice.err, "linked with")
    sid = json.loads(den(net, "session", "list", "--open", "--json").stdout)[0]["sid"]
    heading, first = den(net, "session", "list").stdout.splitlines()[:2]
    tap.check(heading.split()[:4] == ["SESSION", "FROM", "TO", "STATE"] and first.split()[:4] == [sid, net.ids["alice"], net.ids["bob"], "accepted"], heading + first)
    tap.check(den(net, "session", "list").stdout.count("SESSION") == 1, "one heading")
    den(net, "session", "close", sid)
    tap.check(asked(net, "session", "list", "--open") == [], "no session is left")
    alice.stop()
    bob.stop()


@tap.test
def nobody_else_administers(net):
    for words in (["peer", "list"], ["peer", "remove", net.ids["bob"]], ["status"], ["audit", "list"], ["token", "add"], ["session", "list"]):
        tap.check_in("not_authorized", admin(net, *words, who="alice", wanted=4).stderr)
    tap.check_in("invalid_argument", run(net.warren("boss", "call", "den.peer.list"), wanted=1).stderr)  # nobody's word
    tap.check_in("is nothing that den.peer.list takes", run(net.warren("boss", "call", "--sign", "den.peer.list", "form=x"), wanted=1).stderr)


@tap.test
def whom_an_administrator_cuts_off_at_the_router_is_in_the_audit(net):
    bob, target = net.wait_chat("bob", "--accept"), json.dumps(net.ids["bob"])
    tap.check_in("not_authorized", run(net.warren("alice", "call", "network.peer.kick", target), wanted=4).stderr)
    run(net.warren("boss", "call", "network.peer.kick", target, '"too loud"'))
    bob.wait_line(bob.err, "kicked|offline")
    until = time.monotonic() + PATIENCE
    while not any(entry["what"] == "peer.kicked" for entry in audit(net)) and time.monotonic() < until:
        time.sleep(0.1)
    facts = newest(net, "peer.kicked")["facts"]
    tap.check((facts["id"], facts["by"], facts["reason"], facts["times"]) == (net.ids["bob"], net.ids["boss"], "too loud", "1") and facts["source"].startswith("127."), f"{facts}")
    bob.stop()


@tap.test
def what_a_router_that_was_killed_had_not_told_is_told_by_the_next(net):
    bob, target = net.wait_chat("bob", "--accept"), json.dumps(net.ids["bob"])
    net.den.stop()
    run(net.warren("boss", "call", "network.peer.kick", target, '"den is away"'))
    net.router.process.kill()
    net.router.process.wait()
    net.start_router()
    net.start_den()
    until = time.monotonic() + PATIENCE
    while newest(net, "peer.kicked")["facts"]["reason"] != "den is away" and time.monotonic() < until:
        time.sleep(0.1)
    told = [entry["facts"] for entry in audit(net) if entry["facts"].get("reason") == "den is away"]
    tap.check(len(told) == 1 and told[0]["by"] == net.ids["boss"] and told[0]["id"] == net.ids["bob"], str(told))
    bob.stop()


@tap.test
def the_socket_is_dens_own(net):
    path = net.path("den/admin.socket")
    tap.check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, "its mode")
    said = json.loads(den(net, "ask", "den.peer.groups", json.dumps({"id": net.ids["bob"], "groups": "office"})).stdout)
    tap.check(said["groups"] == "office", str(said))
    tap.check(newest(net, "identity.groups")["facts"]["by"] == f"uid {os.getuid()}", "who did it")
    for line in (b"x\n", b"[]\n", b'{"procedure":"den.nothing"}\n', b'{"procedure":"den.peer.get","body":{"id":"x"}}\n', b'{"procedure":"den.peer.get","body":3}\n'):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(line)
            answer = json.loads(s.makefile().read())
            tap.check(answer["error"]["code"] and answer["error"]["cause"], str(answer))
    with socket.socket(socket.AF_UNIX) as s:  # too much
        s.connect(path)
        try:
            s.sendall(b"x" * 200000)
            tap.check(s.recv(1) == b"", "an answer to too much")
        except OSError:
            pass
    entry = newest(net, "request.refused")["facts"]
    tap.check(entry["by"] == f"uid {os.getuid()}", str(entry))


@tap.test
def the_status_is_one_screen(net):
    text = den(net, "status").stdout
    for words in ("network       test.warren", "online", "signer", "peers", "audit", "root", "intermediate"):
        tap.check_in(words, text)
    tap.check(len(text.splitlines()) < 24, text)
    status = json.loads(den(net, "status", "--json").stdout)
    over = asked(net, "status")
    tap.check(status["network"] == over["network"] and status["peers"]["known"] == 4, str(status))


def get(net, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{net.figures}{path}", timeout=30) as answer:
        return answer.read().decode()


@tap.test
def figures_and_health_have_a_listener_of_their_own(net):
    net.den.stop()
    net.figures = free_port()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"metrics = 127.0.0.1:{net.figures}\n")
    tap.check_in("good", den(net, "check-config").stdout)
    net.start_den()
    text = get(net, "/metrics")
    for words in ('warren_den_authority_not_after_seconds{kind="root",', "warren_den_audit_number ", "warren_den_peers 4", "warren_den_disk_free_bytes ",
                  "warren_den_router_up 1", "warren_den_requests_queued 0", "warren_den_signer_up 1"):
        tap.check_in(words, text)
    for line in text.splitlines():
        tap.check(line.startswith("# ") or len(line.rsplit(" ", 1)) == 2 and line.rsplit(" ", 1)[1].isdigit(), line)
    tap.check(get(net, "/healthz") == "ok\n" and get(net, "/readyz") == "ok\n", "health")


@tap.test
def a_changed_configuration_is_taken_as_far_as_it_can(net):
    with open(net.path("den/den.conf"), encoding="ascii") as f:
        before = f.read()
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write("log_level = debug\nnames_per_id = 0\nocsp_url = http://ca.test/ocsp\n")
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, r'event=config.loaded changed="names_per_id log_level" needs_restart=ocsp_url', seen)
    net.den.wait_line(net.den.err, r'event=config.needs_restart keys=ocsp_url remedy="restart warren-den', seen)
    tap.check_in("limit", run(net.warren("alice", "name", "claim", "alice-laptop"), wanted=1).stderr)
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write("colour = red\nid_digits = 4\nnetwork = Nobody's\n")
    os.chmod(net.path("den/sign.key"), 0o644)
    refused = den(net, "check-config", wanted=1).stderr
    os.chmod(net.path("den/sign.key"), 0o600)
    for word in ("colour", "id_digits", "network", "sign.key: mode 0644"):
        tap.check_in(word, refused)
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, r"event=config.refused cause=.*colour.* kept=old", seen)
    tap.check_in("warren_den_router_up 1", get(net, "/metrics"))
    with open(net.path("den/den.conf"), "w", encoding="ascii") as f:
        f.write(before)


def conf(net, key, value):
    """Sets a key of den.conf, and has den read it."""
    with open(net.path("den/den.conf"), encoding="ascii") as f:
        lines = [line for line in f if not line.startswith(f"{key} =")]
    with open(net.path("den/den.conf"), "w", encoding="ascii") as f:
        f.write("".join(lines) + f"{key} = {value}\n")
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, f"event=config.loaded changed=.*{key}", seen)


@tap.test
def listeners_and_rates_are_taken_without_a_restart(net):
    old, net.figures = net.figures, free_port()
    conf(net, "metrics", f"127.0.0.1:{net.figures}")
    tap.check(get(net, "/healthz") == "ok\n", "the new address")
    with socket.socket() as probe:
        tap.check(probe.connect_ex(("127.0.0.1", old)) != 0, "the old address is open")
    http = free_port()
    conf(net, "http", f"127.0.0.1:{http}")
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/root", timeout=PATIENCE) as answer:
        tap.check(answer.status == 200, "/root")
    conf(net, "http", "203.0.113.7:80")  # no address of this machine
    net.den.wait_line(net.den.err, "event=listener.failed")
    conf(net, "http", f"127.0.0.1:{http}")
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/root", timeout=PATIENCE) as answer:
        tap.check(answer.status == 200, "/root, again")
    conf(net, "enrol_burst", "1")
    conf(net, "enrol_every", "1d")
    net.join("one")  # what joined before counts too: this one may be the last
    done = run([*net.warren("two", "join", "--timeout", "3")], wanted=None, input=net.token() + "\n")
    tap.check(done.returncode != 0 and "limit" in done.stderr, done.stderr)
    conf(net, "enrol_burst", "0")
    net.join("two")
    conf(net, "join_host", "rendezvous.test:443")
    tap.check_in("warren://rendezvous.test", run([net.program("warren-den"), "ask", "den.token.add", "{}", "--config", net.path("den/den.conf")]).stdout)
    conf(net, "join_host", f"127.0.0.1:{net.port}")


def policy_file(net, name, text):
    with open(net.path(name), "w", encoding="ascii") as f:
        f.write(text)
    return net.path(name)


GOOD = "rules:\n  - {from: any, to: any, can: [chat], back: [chat]}\ntests:\n  - {from: 111111, to: 222222, can: chat, expect: allow}\n"


@tap.test
def a_policy_is_loaded_over_the_network(net):
    before = asked(net, "policy", "show")
    good = policy_file(net, "good.yaml", GOOD)
    answer = asked(net, "policy", "test", good)
    tap.check(answer["is_good"] and not answer["is_loaded"] and answer["number"] == before["number"], f"{answer}")
    tap.check_in("is in force: 1 rules, its 1 tests passed", admin(net, "policy", "load", good, "--replaces", str(before["number"])).stdout)
    now = asked(net, "policy", "show")
    tap.check(now["number"] == before["number"] + 1 and now["text"] == GOOD, f"{now}")
    with open(net.path("den/policy.yaml"), encoding="ascii") as f:
        tap.check(f.read() == GOOD, "the file that den starts with is another one")
    facts = newest(net, "policy.loaded")["facts"]
    tap.check(facts["by"] == net.ids["boss"] and facts["source"].startswith("127.0.0.1") and facts["number_before"] == str(before["number"])
              and facts["sha256_before"] == before["sha256"] and facts["sha256"] == now["sha256"], f"{facts}")
    tap.check_in("is in force", admin(net, "policy", "load", "-", input=GOOD + "# more\n").stdout)


@tap.test
def den_says_itself_what_to_do(net):
    policy = net.path("den/policy.yaml")
    with open(policy, encoding="ascii") as f:
        before = f.read()
    with open(policy, "a", encoding="ascii") as f:
        f.write("# by hand\n")
    tap.check_in("what to do: have den read it first", admin(net, "policy", "load", policy, wanted=1).stderr)
    tap.check_in("have den read it first", json.loads(admin(net, "policy", "load", policy, "--json", wanted=1).stdout)["error"]["remedy"])
    with open(policy, "w", encoding="ascii") as f:
        f.write(before)
    admin(net, "policy", "load", policy)


@tap.test
def a_policy_that_fails_changes_nothing(net):
    now = asked(net, "policy", "show")
    bad = policy_file(net, "bad.yaml", GOOD.replace("expect: allow", "expect: deny") + "colour: red\n")
    said = admin(net, "policy", "load", bad, wanted=1).stderr
    tap.check_in("policy.yaml:5:1", said)
    tap.check_in(f"policy {now['number']} stays in force", said)
    said = admin(net, "policy", "load", policy_file(net, "bad.yaml", GOOD.replace("expect: allow", "expect: deny")), wanted=1).stderr
    tap.check_in("expected deny, got allow", said)
    facts = newest(net, "policy.refused")["facts"]
    tap.check(facts["by"] == net.ids["boss"] and facts["number_in_force"] == str(now["number"]), f"{facts}")
    tap.check_in("stale", admin(net, "policy", "load", net.path("good.yaml"), "--replaces", "1", wanted=1).stderr)
    tap.check_in("replaces", admin(net, "policy", "load", net.path("good.yaml"), "--replaces", "x", wanted=1).stderr)
    huge = policy_file(net, "huge.yaml", "# " + "x" * 800 * 1024)
    tap.check_in("at most", admin(net, "policy", "load", huge, wanted=1).stderr)
    with open(net.path("den/policy.yaml"), "a", encoding="ascii") as f:
        f.write("# by hand\n")
    tap.check_in("somebody changed it there", admin(net, "policy", "load", net.path("good.yaml"), wanted=1).stderr)
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    net.den.wait_line(net.den.err, "event=policy.loaded", seen)
    tap.check(asked(net, "policy", "show")["number"] == now["number"] + 1, "the file's own")
    tap.check_in("not_authorized", admin(net, "policy", "load", net.path("good.yaml"), who="alice", wanted=4).stderr)


def reloaded(net, event):
    """den has read its files anew, and said so."""
    seen = len(net.den.err)
    net.den.process.send_signal(signal.SIGHUP)
    return net.den.wait_line(net.den.err, f"event={event}", seen)


@tap.test
def what_den_reads_in_its_files_is_audited_with_before_and_after(net):
    conf, policy = net.path("den/den.conf"), net.path("den/policy.yaml")
    with open(conf, encoding="ascii") as f:
        text = f.read()
    policy_file(net, "den/den.conf", text + "\nleaf_life = 90m\nenrolment = approval\ncrl_url = http://crl.example/\n")
    tap.check_in('changed="leaf_life enrolment" needs_restart=crl_url', reloaded(net, "config.loaded"))
    facts = newest(net, "config.changed")["facts"]
    tap.check(facts == {"leaf_life_before": "1d", "leaf_life": "90m", "enrolment_before": "token", "enrolment": "approval", "by": "file", "source": conf}, f"{facts}")
    n = len(audit(net))
    reloaded(net, "config.loaded")
    tap.check(len(audit(net)) == n, "nothing changed, and the audit says something")
    policy_file(net, "den/den.conf", text + "\nleaf_life = 80m\nturn = turn:192.0.2.7\nturn_secrets = turn.secret\n")
    tap.check_in("turn.secret", reloaded(net, "config.refused"))  # there is none: nothing of the file counts
    facts = newest(net, "config.refused")["facts"]
    tap.check(facts["by"] == "file" and facts["source"] == conf and "turn.secret" in facts["cause"], f"{facts}")
    tap.check(newest(net, "config.changed")["facts"]["leaf_life"] == "90m", "the refused file counted")
    policy_file(net, "den/den.conf", text + "\ncrl_url = http://crl.example/\n")
    net.den.stop()
    net.start_den()
    facts = newest(net, "config.changed")["facts"]
    tap.check((facts["leaf_life_before"], facts["leaf_life"], facts["crl_url_before"], facts["crl_url"]) == ("90m", "1d", "", "http://crl.example/"), f"{facts}")
    now = asked(net, "policy", "show")
    policy_file(net, "den/policy.yaml", now["text"] + "colour: red\n")
    reloaded(net, "policy.refused")
    facts = newest(net, "policy.refused")["facts"]
    tap.check(facts["by"] == "file" and facts["source"] == policy and "colour" in facts["cause"], f"{facts}")
    policy_file(net, "den/policy.yaml", now["text"] + "# by hand\n")
    net.den.stop()
    net.start_den()
    facts = newest(net, "policy.loaded")["facts"]
    tap.check((facts["by"], facts["source"], facts["number_before"], facts["sha256_before"]) == ("file", policy, str(now["number"]), now["sha256"]), f"{facts}")


@tap.test
def root_loads_a_policy_over_the_socket(net):
    body = json.dumps({"text": GOOD})
    tap.check(json.loads(den(net, "ask", "den.policy.load", body).stdout)["is_loaded"], "not loaded")
    tap.check(newest(net, "policy.loaded")["facts"]["source"] == "local", "the entry")
    net.den.stop()
    net.start_den()
    tap.check(json.loads(den(net, "ask", "den.policy.show", "{}").stdout)["text"] == GOOD, "after a restart it is another one")


EACH = ("status", "peer list", "name list", "token list", "waiting list", "cert list", "session list", "policy show", "router list", "rollover status",
        "audit list", "audit head", "audit verify")
BY_SOCKET = {"name list": "den.name.all"}


@tap.test
def whatever_is_administered_is_shown_by_network_and_by_socket(net):
    for verb in EACH:
        afar = json.loads(admin(net, *verb.split(), "--json").stdout)
        here = json.loads(den(net, "ask", BY_SOCKET.get(verb, "den." + verb.replace(" ", ".")), "{}").stdout)
        tap.check(bool(afar) or verb == "waiting list", f"{verb}: nothing from afar")
        tap.check(isinstance(here, dict), f"{verb}: {here}")
        if isinstance(afar, list):
            tap.check("items" in here and (len(here["items"]) == len(afar) or verb.startswith("audit")), f"{verb}: {len(afar)} from afar")
    admin(net, "peer", "get", net.ids["alice"], "--json")
    lines = admin(net, "audit", "export").stdout
    tap.check_in("whole and in order", run([net.program("warren-den"), "audit", "check", "-"], input=lines).stdout)


def whole(said, what):
    """One JSON value, and nothing else."""
    try:
        return json.loads(said.stdout)
    except json.JSONDecodeError:
        raise tap.Failed(f"{what}: not JSON: {said.stdout!r} {said.stderr!r}") from None


@tap.test
def json_is_json_when_all_is_well_and_when_it_is_not(net):
    alice, policy = net.ids["alice"], net.path("den/policy.yaml")
    for verb in ("token list", "waiting list", "peer list", "name list", "rollover status", f"policy check {policy}", "policy test", "policy list", "policy show",
                 "policy diff", f"policy why {alice} {alice} chat", f"policy replay {policy}", "cert list", "cert list --id 999999", "status", "session list",
                 "session list --open"):
        said = [net.program("warren-den"), *verb.split(), "--json"]
        whole(run(said if "check" in verb else [*said, "--config", net.path("den/den.conf")]), verb)
    for verb, status in (("policy show 999", 1), (f"policy why {alice} {alice} chat --at 2020-01-01", 1), (f"policy why {alice} x chat", 2),
                         ("cert list --state odd", 2), ("policy diff 1 999", 1), ("policy replay /nowhere", 1), ("peer list --odd", 2)):
        error = whole(den(net, *verb.split(), "--json", wanted=status), verb)
        tap.check("errors" in error or {"code", "cause", "remedy"} == set(error["error"]), f"{verb}: {error}")
    error = whole(run([net.program("warren-den"), "session", "list", "--json", "--config", "/nowhere"], wanted=1), "no configuration")
    tap.check(error["error"]["code"] == "not_found", error)
    for verb in ("peer get 999999", "session close 00", f"session close {32 * '0'}", f"peer groups {alice} Bad", "name assign x@y 999999", "token revoke 00000000"):
        error = whole(admin(net, *verb.split(), "--json", wanted=None), verb)
        tap.check(error["error"]["code"] and error["error"]["cause"], f"{verb}: {error}")
    for verb in ("stauts --json", "--json peer lst", "peer list --odd --json", "peer get --json", "status --json more"):
        error = whole(admin(net, *verb.split(), wanted=2), verb)
        tap.check(error["error"]["code"] == "invalid_argument" and error["error"]["cause"] and error["error"]["remedy"], f"{verb}: {error}")
    error = whole(admin(net, "policy", "load", "/nowhere", "--json", wanted=1), "policy load")
    tap.check("/nowhere: No such file" in error["error"]["cause"], str(error))
    tap.check_in("Is a directory", admin(net, "policy", "load", net.folder, wanted=1).stderr)
    joins = whole(admin(net, "token", "add", "--label", "for json", "--json"), "token add")
    tap.check(joins["join"].startswith("warren://") and "wt1" in joins["join"], "token add")
    told = whole(admin(net, "token", "add", "--json", "--out", net.path("one.join")), "token add --out")
    tap.check(told == {"written": net.path("one.join")}, str(told))
    tap.check(whole(admin(net, "token", "revoke", joins["join"][-4:], "--json", wanted=None), "token revoke")["error"], "too few digits")


@tap.test
def an_act_that_changes_nothing_is_an_act(net):
    """Asked for again, each stands in the audit again, by whom and from where, with the same before and after."""
    boss, alice, policy = net.ids["boss"], net.ids["alice"], net.path("den/policy.yaml")
    net.join("gus")
    net.join("hal")
    gus, hal = net.ids["gus"], net.ids["hal"]
    token = asked(net, "token", "list")[0]["token"]
    over = [session for session in asked(net, "session", "list") if session["state"] == "closed"][0]["sid"]
    serial = [cert["serial"] for cert in asked(net, "cert", "list", "--id", alice) if cert["state"] == "valid"][0]
    for words, what, before, after in (
            (f"peer groups {gus} quiet", "identity.groups", ("groups_before", "quiet"), ("groups", "quiet")),
            (f"name assign gus@example.org {gus}", "name.assigned", ("id_before", gus), ("id", gus)),
            (f"peer remove {gus}", "identity.removed", ("state_before", "removed"), ("state", "removed")),
            (f"token revoke {token}", "token.revoked", ("state_before", "revoked"), ("state", "revoked")),
            (f"revoke {hal}", "revoked", ("state_before", "revoked"), ("state", "revoked")),
            (f"cert revoke {serial}", "revoked", ("state_before", "revoked"), ("state", "revoked")),
            (f"session close {over}", "session.closed", ("state_before", "closed"), ("state", "closed")),
            (f"policy load {policy}", "policy.loaded", ("number_before", None), ("number", None))):
        admin(net, *words.split())
        known = len(audit(net))
        admin(net, *words.split())
        new = [entry["facts"] for entry in audit(net)[known:] if entry["what"] == what]
        tap.check(len(new) == 1 and new[0]["by"] == boss and new[0]["source"] == "127.0.0.1", f"{words}: {new}")
        tap.check(new[0][before[0]] == new[0][after[0]] and before[1] in (None, new[0][before[0]]), f"{words}: {new}")
    tap.check(len([session for session in asked(net, "session", "list") if session["sid"] == over and session["state"] == "closed"]) == 1, "it is what it was")


@tap.test
def an_id_is_revoked_as_one_would_say_it(net):
    net.join("ivy")
    tap.check_in(net.ids["ivy"], admin(net, "revoke", net.ids["ivy"], "--reason", "superseded").stdout)
    tap.check_in("revoked", run(net.warren("ivy", "name", "list"), wanted=1).stderr)
    tap.check_in("id", admin(net, "revoke", wanted=1).stderr)  # one of three is needed
    tap.check_in("revoke [ID]", admin(net, "help").stdout)


@tap.test
def a_backup_is_audited_and_shown(net):
    den(net, "backup", net.path("copy"), "--plain")
    tap.check(newest(net, "backup.begun")["facts"]["file"] == net.path("copy"), "the entry")
    tap.check(json.loads(den(net, "status", "--json").stdout)["backup_at"], "when")


def received(journal):
    """The fields of a datagram."""
    return dict(line.split("=", 1) for line in journal.recv(65536).decode("ascii").splitlines())


@tap.test
def the_audit_is_copied_as_it_is_written(net):
    path = net.path("journal")
    with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
        f.write(f"audit_copy = {path}\n")
    net.den.stop()
    net.start_den()
    net.den.wait_line(net.den.err, r"event=audit.copy_away socket=.*journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.settimeout(60)
        journal.bind(path)
        here = audit(net)
        for entry in here:  # all that there is, in order
            fields = received(journal)
            tap.check(int(fields["WARREN_AUDIT_NO"]) == entry["no"] and fields["WARREN_AUDIT_HEAD"] == entry["head"], str(fields))
            tap.check(fields["WARREN_AUDIT_WHAT"] == entry["what"] and json.loads(fields["MESSAGE"]) == entry, str(fields))
        admin(net, "peer", "groups", net.ids["alice"], "copied")
        while (fields := received(journal)).get("WARREN_FACT_GROUPS") != "copied":
            pass
        tap.check(fields["WARREN_FACT_BY"] == net.ids["boss"] and fields["WARREN_AUDIT_WHAT"] == "identity.groups", str(fields))


@tap.test
def a_peer_is_a_witness_of_the_audit(net):
    witness = run(net.warren("alice", "audit-witness")).stdout.strip()
    tap.check_in("the witness agrees", den(net, "audit", "verify", "--witness", witness).stdout)
    number, head = witness.split(":")
    bad = head[:-1] + ("0" if head[-1] != "0" else "1")
    tap.check_in("a witness heard", den(net, "audit", "verify", "--witness", f"{number}:{bad}", wanted=1).stderr)
    with open(net.path("export"), "w", encoding="ascii") as f:
        f.write(admin(net, "audit", "export").stdout)
    tap.check_in("the witness agrees", run([net.program("warren-den"), "audit", "check", net.path("export"), "--witness", witness]).stdout)


@tap.test
def the_audit_is_listed_exported_and_verified(net):
    here = audit(net)
    lines = [json.loads(line) for line in admin(net, "audit", "export").stdout.splitlines()]
    tap.check(lines[:len(here)] == here, "the same over the network")
    tap.check_in("whole and in order", admin(net, "audit", "verify").stdout)
    few = asked(net, "audit", "list", "--after", str(here[-3]["no"]))
    tap.check([entry["no"] for entry in few][:2] == [here[-2]["no"], here[-1]["no"]], str(few))
    with open(net.path("den/policy.yaml"), encoding="ascii") as f:
        tap.check(admin(net, "policy", "show").stdout == f.read(), "the policy")
    tap.check(asked(net, "router", "list"), "a router")
    tap.check(asked(net, "rollover", "status")["stage"] == "none", "no rollover")


@tap.test
def who_is_removed_is_out_at_once(net):
    bob = net.wait_chat("bob", "--accept")
    bob.wait_line(bob.err, "^online|waiting for")
    admin(net, "peer", "remove", net.ids["bob"])
    net.router.wait_line(net.router.err, rf"event=revoked id={net.ids['bob']}|id={net.ids['bob']}.*revoked")
    bob.kill()
    tap.check(newest(net, "identity.removed")["facts"]["state_before"] == "committed", "before")




tap.main()
