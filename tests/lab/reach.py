# SPDX-License-Identifier: Apache-2.0
"""A Warren network in a laboratory: router, den and coturn in the public segment, alice on the left, bob on the right."""
import os
import re
import shutil
import tempfile
import time

import labnet
from network import PATIENCE, Failed, Network, run

HOSTS = {"alice": "left", "bob": "right"}
SERVER = f"{labnet.PUBLIC4}.{labnet.ROUTER}"
SERVER6 = f"{labnet.PUBLIC6}::{labnet.ROUTER}"
TURN = f"{labnet.PUBLIC4}.{labnet.TURN}"
SETTLE = 10  # seconds that a link may take to its best path
BACK = 100  # ten times what another network may cost (R13)


def shown_path(line):
    """"direct" of what `warren chat` says."""
    return re.search(r"^path (\w+)", line).group(1)


class Reach:
    """The network is made once, in a folder; the laboratory around it changes from pair to pair."""

    def __init__(self, build, name="reach", has_turn=True):
        self.folder = tempfile.mkdtemp(prefix="warren-reach-")
        self.lab = labnet.Lab(name)
        self.net = Network(build, self.folder, name="lab.example", host=SERVER)
        self.net.port, self.net.has_limits = 443, True  # those of addresses are lifted below
        self.has_turn = has_turn
        self.is_made = False

    def make(self):
        net = self.net
        net.init()
        with open(net.path("router/router.conf"), "a", encoding="ascii") as f:
            f.write("unlimited_networks = 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32\n")
        if self.has_turn:
            secret = net.path("den/turn.secret")
            with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
                f.write(labnet.TURN_SECRET + "\n")
            with open(net.path("den/den.conf"), "a", encoding="ascii") as f:
                f.write(f"turn = turn:{TURN} turn:[{labnet.PUBLIC6}::{labnet.TURN}] turn:{TURN}:443?transport=tcp\nturn_secrets = turn.secret\n")
        self.is_made = True

    def up(self, left="open", right="open", wan=""):
        """Another laboratory, with the servers in it. Joins the two over a good network the first time."""
        self.down()
        if not self.is_made:
            self.make()
            self.start("open", "open", "")
            for name in HOSTS:
                self.join(name)
            self.net.allow(f"allow from {self.net.ids['alice']} to {self.net.ids['bob']} can chat,file back chat")
            self.down()
        self.start(left, right, wan)

    def join(self, name):
        """By a join string that has the router's two addresses."""
        text = self.net.token().replace(f"//{SERVER}", f"//{SERVER},[{SERVER6}]", 1)
        run([*self.inside(name), *self.net.warren(name, "join")], input=text + "\n")
        self.net.ids[name] = self.net.identity(name)["id"]

    def start(self, left, right, wan):
        self.lab.up(left, right, wan, coturn=self.has_turn)
        self.net.start_router(self.lab.inside("public"))
        self.net.start_den(self.lab.inside("public"))

    def down(self):
        for process in reversed(self.net.processes):
            process.stop()
        self.net.processes.clear()
        if os.path.exists(self.lab.folder):
            self.lab.down()

    def close(self):
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def inside(self, name):
        side = HOSTS[name]
        return [*self.lab.inside(side), "env", *(f"{key}={value}" for key, value in self.lab.environment(side).items())]

    def warren(self, name, *words):
        return self.net.start(name, [*self.inside(name), *self.net.warren(name, *words)])

    def wait(self, *words, patience=PATIENCE):
        bob = self.warren("bob", "chat", "--accept", *words)
        bob.wait_line(bob.err, "waiting for a call", patience=patience)
        return bob

    def talk(self, patience=PATIENCE, settles=None):
        """alice calls bob, and they say a line each way. What came of it, with the seconds to the first byte from the other end; {"failed": why}
        when there was no link. With `settles` the link has some time to come to that path."""
        bob = self.wait(patience=patience)
        begin = time.monotonic()
        alice = self.warren("alice", "chat", self.net.ids["bob"])
        alice.write("from the left\n")
        try:
            bob.wait_line(bob.out, "^from the left$|: from the left$", patience=patience)
            heard = time.monotonic() - begin
            bob.write("from the right\n")
            alice.wait_line(alice.out, "from the right$", patience=patience)
        except Failed:
            why = [line for line in alice.err if line.startswith("warren: chat: ")] + ["nothing was heard in time"]
            return {"failed": why[0].removeprefix("warren: chat: ")}
        if settles:
            try:
                alice.wait_line(alice.err, f"^path {settles}", patience=SETTLE)
            except Failed:
                pass  # which path it is then is said
        lines = [line for line in alice.err if re.match("path ", line)]
        result = {"seconds": heard, "path": shown_path(lines[0]), "line": lines[-1], "last": shown_path(lines[-1]),
                  "identities": self.identities(alice, bob)}
        for process in (alice, bob):
            process.end_input()
        return result

    def identities(self, alice, bob):
        """Each end says that the other one is who it is."""
        wanted = {name: re.escape(f"verified as {self.net.ids[name]}.{self.net.name}") for name in HOSTS}
        return bool(alice.find(alice.err, wanted["bob"]) and bob.find(bob.err, wanted["alice"]))


class Talk:
    """Both ends of a chat that stands."""

    def __init__(self, reach, left, right, *words, wan="20ms", settles="direct"):
        reach.up(left, right, wan)
        self.bob = reach.wait(*words)
        self.alice = reach.warren("alice", "chat", reach.net.ids["bob"], *words)
        self.n = 0
        self.wait_path(settles, seen=(0, 0))
        self.say()
        time.sleep(1)  # both have settled

    def ends(self):
        return (self.alice, self.bob)

    def seen(self):
        return tuple(len(end.err) for end in self.ends())

    def wait_path(self, kind, seen, which=("alice", "bob")):
        for name, end, start in zip(("alice", "bob"), self.ends(), seen):
            if name in which:
                end.wait_line(end.err, f"^path {kind}", start, BACK)

    def say(self, patience=BACK):
        """A line each way."""
        self.n += 1
        text = f"line {self.n}"
        try:
            self.alice.write(text + "\n")
            self.bob.wait_line(self.bob.out, text + "$", patience=patience)
            self.bob.write(text + " back\n")
            self.alice.wait_line(self.alice.out, text + " back$", patience=patience)
        except Failed as e:
            raise Failed(f"{e}\nalice said:\n  " + "\n  ".join(self.alice.err)) from e

    def returns(self, event, kind="direct"):
        """After the event what is said arrives, and both ends come to a new path of that kind."""
        seen = self.seen()
        event()
        self.say()
        self.wait_path(kind, seen)
        self.say()
