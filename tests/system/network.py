# SPDX-License-Identifier: Apache-2.0
"""A whole network on one machine, for the demo and the system tests: real programs, waited on by what they print."""
import codecs
import fcntl
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import threading
import time

# Seconds that anything may take; ten times what it needs.
PATIENCE = 600 if os.environ.get("WARREN_VALGRIND") else 60
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Failed(Exception):
    pass


def shown(peer_id):
    """456000 as people see it: 456 000."""
    return re.sub(r"(?<=\d)(?=(\d{3})+$)", " ", peer_id)


# WARREN_VALGRIND=1: our own programs run under valgrind, and end with this status when it has something to say.
VALGRIND_STATUS = 66
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|SUMMARY: \w+Sanitizer|: runtime error: |^    #\d+ 0x[0-9a-f]+ in ")


def watched(argv):
    """`argv` under valgrind when that is asked for and it is one of ours."""
    if not os.environ.get("WARREN_VALGRIND") or os.path.basename(argv[0]) not in ("warren-router", "warren-den", "warren"):
        return list(argv)
    return ["valgrind", "--quiet", f"--error-exitcode={VALGRIND_STATUS}", "--leak-check=full", "--errors-for-leak-kinds=definite",
            "--show-leak-kinds=definite", f"--suppressions={os.path.join(ROOT, 'tests/system/valgrind.supp')}", *argv]


class Process:
    """A program that runs beside us, with its output in lists that can be waited on."""

    everyone = []  # that was started
    rest_for = 0  # seconds, after much was read at once: a benchmark reads the logs rarely, for that costs time of the same cores

    def __init__(self, name, argv, stdin=subprocess.PIPE, **more):
        self.name, self.out, self.err = name, [], []
        self.partial = ""  # of the error output: a prompt has no newline
        self.changed = threading.Condition()
        self.process = subprocess.Popen(watched(argv), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, encoding="utf-8", errors="replace", bufsize=1, **more)
        self.readers = [threading.Thread(target=self.collect, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))]
        if self.rest_for:
            fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)
        for reader in self.readers:
            reader.start()
        Process.everyone.append(self)

    def collect(self, stream, lines):
        rest = ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := os.read(stream.fileno(), 65536):
            with self.changed:
                *whole, rest = (rest + decoder.decode(data)).split("\n")
                lines.extend(whole)
                if lines is self.err:
                    self.partial = rest
                self.changed.notify_all()
            if self.rest_for and len(data) > 1024:
                time.sleep(self.rest_for)
        if rest:
            with self.changed:
                lines.append(rest)
                self.changed.notify_all()

    def wait_err(self, pattern):
        """The error output, its unfinished last line included."""
        until = time.monotonic() + PATIENCE
        with self.changed:
            while not re.search(pattern, "\n".join(self.err) + self.partial):
                if time.monotonic() > until:
                    raise Failed(f"{self.name}: waited for /{pattern}/; it said last: {self.err[-5:]} {self.partial}")
                self.changed.wait(0.2)

    def find(self, lines, pattern, start=0):
        return next((line for line in lines[start:] if re.search(pattern, line)), None)

    def wait_line(self, lines, pattern, start=0, patience=PATIENCE):
        """The first line that matches, from number `start` on."""
        until = time.monotonic() + patience
        while True:
            with self.changed:
                found = self.find(lines, pattern, start)
                if found is not None:
                    return found
                is_over = self.process.poll() is not None and not any(reader.is_alive() for reader in self.readers)
                if is_over or time.monotonic() > until:
                    raise Failed(f"{self.name}: waited for /{pattern}/; it said last:\n  " +
                                 "\n  ".join((self.err + self.out)[-12:]))
                self.changed.wait(0.2)

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def wait(self, patience=PATIENCE):
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"{self.name} did not end; it said last:\n  " + "\n  ".join(self.err[-12:])) from e
        for reader in self.readers:
            reader.join(PATIENCE)
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE / 6)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


def found():
    """What valgrind or a sanitizer said of our programs, process by process. When all have ended."""
    for process in Process.everyone:
        if process.process.poll() is None:
            continue  # a laboratory's, which ends it: it says nothing more before that
        for reader in process.readers:
            reader.join(PATIENCE / 6)
    return [f"[{process.name}] {line}" for process in Process.everyone for line in process.err
            if (line.startswith("==") and process.process.returncode == VALGRIND_STATUS) or SANITIZER.search(line)]


def run(argv, wanted=0, **more):
    """Runs to the end; Failed unless the exit status is the wanted one (None: any). Returns the finished process."""
    done = subprocess.run(watched(argv), capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=PATIENCE,
                          check=False, **more)
    if wanted is not None and done.returncode != wanted:
        raise Failed(f"{' '.join(argv)} ended with {done.returncode}, wanted {wanted}:\n{done.stdout}{done.stderr}")
    return done


def fast(build, rate, ahead=0):
    """What goes before a command so that its clocks run `rate` times as fast, and its wall clock is `ahead` seconds ahead. Programs that are
    started with one and the same prefix agree about the time."""
    library = os.path.join(ROOT, build, "tests/system/libfastclock.so")
    origins = (time.clock_gettime_ns(clock) for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_REALTIME))
    sanitizer = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
    return ["env", "ASAN_OPTIONS=" + sanitizer, f"FASTCLOCK={rate} " + " ".join(str(origin) for origin in origins) + f" {ahead * 10**9}", "LD_PRELOAD=" + library]


kept_ports = []  # for as long as this test runs


def signer_of(pid):
    """The child of that den which signs."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        for child in f.read().split():
            with open(f"/proc/{child}/comm", encoding="ascii") as comm:
                if comm.read().startswith("warren-den-sign"):
                    return int(child)
    raise Failed("den has no signer")


def free_port():
    """Below those that the system gives to clients: what connects meanwhile does not take it. No other test that runs meanwhile is given it, nor this
    one again."""
    while True:
        port = random.randrange(12000, 32000)
        word = socket.socket(socket.AF_UNIX)
        try:
            word.bind(f"\0warren-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            word.close()
            continue
        kept_ports.append(word)
        return port


def yaml_rule(words):
    """A rule of policy.yaml from: allow|deny from WHO to WHO can CAPS [back CAPS] [consent WORD]; * is any, @NAME a group."""
    verb, *rest = words.split()
    given = dict(zip(rest[::2], rest[1::2]))
    who = lambda text: "any" if text == "*" else f"group:{text[1:]}" if text[0] == "@" else text
    caps = lambda text: "any" if text == "*" else "[" + ", ".join(text.split(",")) + "]"
    parts = [f"from: {who(given['from'])}", f"to: {who(given['to'])}", f"can: {caps(given['can'])}"]
    parts += [f"back: {caps(given['back'])}"] if "back" in given else []
    parts += ["consent: deny"] if verb == "deny" else [f"consent: {given['consent']}"] if "consent" in given else []
    return "{" + ", ".join(parts) + "}"


class Network:
    def __init__(self, build, folder, name="demo.warren", host="127.0.0.1", say=lambda text: None):
        self.build, self.folder, self.name, self.host, self.say = os.path.join(ROOT, build), folder, name, host, say
        self.port = free_port()
        self.processes, self.ids = [], {}
        self.has_limits = False  # of addresses, at the router
        self.router = self.den = None
        self.root_passphrase = secrets.token_hex(16)

    def program(self, name):
        part = {"warren-router": "router", "warren-den": "den", "warren-den-signer": "den", "warren": "peer/cli", "evil": "tests/evil"}[name]
        return os.path.join(self.build, part, name)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, name, argv, **more):
        process = Process(name, argv, **more)
        self.processes.append(process)
        return process

    def init(self):
        router, den = self.path("router"), self.path("den")
        run([self.program("warren-router"), "init", router, "--host", f"{self.host}:{self.port}"])
        self.say(f"router: keys made, request written; its keys never leave {router}")
        made = self.with_passphrase([self.program("warren-den"), "init", den, "--network", self.name, "--router-request",
                                     os.path.join(router, "router.request")])
        self.say(made.stdout.rstrip())
        run([self.program("warren-router"), "accept", router, os.path.join(den, "router.answer")])
        self.say("router: den's answer accepted (certificate, chain, manifest)")
        if not self.has_limits:  # all machines of a test have one address
            with open(os.path.join(router, "router.conf"), "a", encoding="ascii") as f:
                f.write("unlimited_networks = 127.0.0.0/8 10.0.0.0/8 ::1\n")

    def with_passphrase(self, argv, *options, wanted=0, **more):
        """A command that is given the root's passphrase, once for each of `options`."""
        fds = []
        for option in options or ["--root-passphrase-fd"]:
            theirs, ours = os.pipe()
            os.write(ours, self.root_passphrase.encode())
            os.close(ours)
            fds.append(theirs)
            argv = [*argv, option, str(theirs)]
        try:
            return run(argv, wanted=wanted, pass_fds=fds, **more)
        finally:
            for fd in fds:
                os.close(fd)

    def start_router(self, prefix=()):
        self.router = self.start("warren-router", [*prefix, self.program("warren-router"), "--config", self.path("router/router.conf")])
        self.router.wait_line(self.router.err, r"event=listening")

    def start_den(self, prefix=()):
        self.den = self.start("warren-den", [*prefix, self.program("warren-den"), "run", "--config", self.path("den/den.conf")])
        self.den.wait_line(self.den.err, r"event=online")

    def make(self, prefix=()):
        self.init()
        self.start_router(prefix)
        self.start_den(prefix)
        self.say(f"warren-router listens on {self.host}:{self.port}, warren-den has joined it")

    def token(self, *words):
        return run([self.program("warren-den"), "token", "new", "--config", self.path("den/den.conf"), *words]).stdout.strip()

    def warren(self, name, *words):
        return [self.program("warren"), "--state", self.path(name), *words]

    def identity(self, name):
        return json.loads(run(self.warren(name, "id", "--json")).stdout)

    def join(self, name, prefix=()):
        """Joins with a fresh token; returns what the command printed."""
        out = run([*prefix, *self.warren(name, "join")], input=self.token() + "\n").stdout
        self.ids[name] = self.identity(name)["id"]
        return out

    def allow(self, *rules):
        """Adds rules, as yaml_rule() takes them, to the policy and has den take it."""
        seen = len(self.den.err)
        rules = [yaml_rule(rule) for rule in rules]
        with open(self.path("den/policy.yaml"), "a", encoding="ascii") as f:
            f.write("".join(f"  - {rule}\n" for rule in rules))
        self.den.process.send_signal(signal.SIGHUP)
        self.den.wait_line(self.den.err, r"event=policy\.loaded", seen)
        for rule in rules:
            self.say("policy: " + rule)

    def wait_chat(self, name, *words, prefix=()):
        """`warren chat` that waits for a call."""
        process = self.start(name, [*prefix, *self.warren(name, "chat", "--loopback", *words)])
        process.wait_line(process.err, r"waiting for a call")
        return process

    def dial_chat(self, name, callee, *words, prefix=()):
        return self.start(name, [*prefix, *self.warren(name, "chat", self.ids.get(callee, callee), "--loopback", *words)])

    def audit(self):
        return run([self.program("warren-den"), "audit", "list", "--config", self.path("den/den.conf")]).stdout.splitlines()

    def close(self):
        for process in reversed(self.processes):
            process.stop()
