#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys of peer, den and router under a passphrase."""
import os
import signal
import stat
import subprocess

import tap
from answers import on_terminal, pipes
from network import run

PHRASE, OTHER = "correct horse", "battery staple"


def with_fds(argv, wanted=0, **options):
    """Runs it with each text behind a descriptor: passphrase_fd="..." becomes --passphrase-fd N."""
    fds = pipes(*options.values())
    for name, fd in zip(options, fds):
        argv = [*argv, "--" + name.replace("_", "-"), str(fd)]
    done = run(argv, wanted=wanted, pass_fds=fds, start_new_session=True)
    for fd in fds:
        os.close(fd)
    return done


def started(net, name, argv, phrase, **more):
    fd, = pipes(phrase + "\n")
    process = net.start(name, [*argv, "--passphrase-fd", str(fd)], pass_fds=[fd], **more)
    os.close(fd)
    return process


def sealed(path):
    with open(path, "rb") as f:
        return f.read().startswith(b"warren-sealed-1\n")


def modes(*paths):
    return all(stat.S_IMODE(os.stat(path).st_mode) == 0o600 for path in paths)


@tap.test
def a_peers_key_is_sealed_and_asked_for(net):
    net.join("alice")
    key, before = net.path("alice/identity.key"), net.identity("alice")
    with_fds(net.warren("alice", "passphrase"), new_passphrase_fd=PHRASE + "\n")
    tap.check(sealed(key) and modes(key), "the key is not sealed")
    tap.check(net.identity("alice") == before, "warren id needs it")
    done = with_fds(net.warren("alice", "name", "list"), passphrase_fd="wrong\n", wanted=1)
    tap.check_in("bad_passphrase", done.stderr)
    done = run(net.warren("alice", "name", "list"), wanted=1, start_new_session=True)
    tap.check_in("no terminal to ask for the passphrase", done.stderr)
    with_fds(net.warren("alice", "name", "list"), passphrase_fd=PHRASE + "\n")
    with_fds(net.warren("alice", "call", "network.whoami"), passphrase_fd=PHRASE + "\n")
    with_fds(net.warren("alice", "pub", "peer." + net.identity("alice")["id"] + ".x", "1"), passphrase_fd=PHRASE + "\n")
    status, text = on_terminal(net.warren("alice", "name", "list"), [(b"Passphrase: ", PHRASE.encode())])
    tap.check(status == 0 and PHRASE not in text, text)


@tap.test
def what_is_typed_before_the_prompt_is_no_answer(net):
    status, text = on_terminal(net.warren("alice", "name", "list"), [(b"Passphrase: ", PHRASE.encode())], b"typed too early\n")
    tap.check(status == 0, text)


@tap.test
def systemd_gives_it_as_a_credential(net):
    folder = net.path("credentials")
    os.mkdir(folder)
    with open(os.path.join(folder, "warren.passphrase"), "w", encoding="ascii") as f:
        f.write(PHRASE)
    run(net.warren("alice", "name", "list"), env={**os.environ, "CREDENTIALS_DIRECTORY": folder}, start_new_session=True)


@tap.test
def a_new_identity_key_is_sealed_as_the_one_before(net):
    before = net.identity("alice")
    with_fds(net.warren("alice", "rekey"), passphrase_fd=PHRASE + "\n")
    tap.check(sealed(net.path("alice/identity.key")), "the new key is a plain file")
    tap.check(net.identity("alice")["identity_pk"] != before["identity_pk"], "the same key")
    with_fds(net.warren("alice", "name", "list"), passphrase_fd=PHRASE + "\n")
    with_fds(net.warren("alice", "passphrase"), passphrase_fd="wrong\n", new_passphrase_fd=OTHER + "\n", wanted=1)
    with_fds(net.warren("alice", "passphrase"), passphrase_fd=PHRASE + "\n", new_passphrase_fd=OTHER + "\n")
    with_fds(net.warren("alice", "name", "list"), passphrase_fd=PHRASE + "\n", wanted=1)
    with_fds(net.warren("alice", "passphrase", "--remove"), passphrase_fd=OTHER + "\n")
    tap.check(not sealed(net.path("alice/identity.key")), "still sealed")
    run(net.warren("alice", "name", "list"))


@tap.test
def a_machine_may_join_with_a_sealed_key_at_once(net):
    fd, = pipes(PHRASE + "\n")
    run([*net.warren("bob", "join"), "--passphrase-fd", str(fd)], input=net.token() + "\n", pass_fds=[fd])
    os.close(fd)
    tap.check(sealed(net.path("bob/identity.key")), "a plain file")
    file = net.path("bob.warren")  # a moved identity stays under its passphrase
    with_fds(net.warren("bob", "export", file), passphrase_fd=OTHER + "\n")
    with_fds(net.warren("bob2", "import", file), passphrase_fd=OTHER + "\n")
    tap.check(sealed(net.path("bob2/identity.key")), "a plain file after the move")
    with_fds(net.warren("bob2", "name", "list"), passphrase_fd=PHRASE + "\n")


def restart(net, which, phrase):
    process = net.router if which == "router" else net.den
    process.stop()
    argv = [net.program("warren-router"), "--config", net.path("router/router.conf")] if which == "router" \
        else [net.program("warren-den"), "run", "--config", net.path("den/den.conf")]
    tap.check(run(argv, wanted=1, start_new_session=True).stderr.count("no terminal to ask"), "it does not ask")
    done = with_fds(argv, passphrase_fd="wrong\n", wanted=1)
    tap.check_in("the passphrase is wrong", done.stderr)
    process = started(net, "warren-" + which, argv, phrase)
    process.wait_line(process.err, r"event=listening" if which == "router" else r"event=online")
    setattr(net, which, process)


@tap.test
def den_keeps_its_keys_under_one(net):
    argv = [net.program("warren-den"), "passphrase", "--config", net.path("den/den.conf")]
    with_fds(argv, new_passphrase_fd=PHRASE)
    names = [name for name in os.listdir(net.path("den")) if name.endswith(".key") and not name.startswith("root")]
    tap.check(len(names) == 3 and all(sealed(net.path("den", name)) for name in names), str(names))
    tap.check(modes(*(net.path("den", name) for name in names)), "modes")
    restart(net, "den", PHRASE)
    net.join("carol")
    done = with_fds(argv, passphrase_fd="wrong", new_passphrase_fd=OTHER, wanted=1)
    tap.check_in("the passphrase is wrong", done.stderr)
    with_fds(argv, passphrase_fd=PHRASE, new_passphrase_fd=OTHER)
    restart(net, "den", OTHER)


def with_credential(net, name, argv, phrase):
    """As a service of systemd's with LoadCredential=NAME:FILE, without a terminal."""
    folder = net.path("credentials-" + name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", encoding="ascii") as f:
        f.write(phrase)
    return {"argv": argv, "env": {**os.environ, "CREDENTIALS_DIRECTORY": folder}, "start_new_session": True, "stdin": subprocess.DEVNULL}


@tap.test
def den_takes_it_from_a_credential(net):
    net.den.stop()
    argv = [net.program("warren-den"), "run", "--config", net.path("den/den.conf")]
    wrong = run(wanted=1, **with_credential(net, "warren-den.passphrase", argv, "quite another one"))
    tap.check_in("the passphrase is wrong", wrong.stderr)
    net.den = net.start("warren-den", **with_credential(net, "warren-den.passphrase", argv, OTHER + "\n"))
    net.den.wait_line(net.den.err, r"event=online")
    tap.check(OTHER not in "\n".join(net.den.err), "it is in the log")


@tap.test
def what_was_interrupted_between_two_files_goes_on(net):
    """One file has the new passphrase already, as after a crash: the same command again ends it."""
    argv = [net.program("warren-den"), "passphrase", "--config", net.path("den/den.conf")]
    with open(net.path("den/login.key"), "rb") as f:
        old = f.read()
    with_fds(argv, passphrase_fd=OTHER, new_passphrase_fd=PHRASE)
    with open(net.path("den/login.key"), "wb") as f:
        f.write(old)
    with_fds(argv, passphrase_fd=OTHER, new_passphrase_fd=PHRASE)
    restart(net, "den", PHRASE)
    with_fds([*argv, "--remove"], passphrase_fd=PHRASE)
    net.den.stop()
    net.start_den()


@tap.test
def the_router_does_too_and_reloads_without_it(net):
    argv = [net.program("warren-router"), "passphrase", net.path("router")]
    with_fds(argv, new_passphrase_fd=PHRASE)
    tap.check(all(sealed(net.path("router", name)) for name in ("router.key", "tls.key")), "not sealed")
    restart(net, "router", PHRASE)
    net.den.wait_line(net.den.err, "event=online", len(net.den.err))
    net.router.process.send_signal(signal.SIGHUP)
    net.router.wait_line(net.router.err, "event=reloaded")
    net.router.stop()
    run_it = [net.program("warren-router"), "--config", net.path("router/router.conf")]
    net.router = net.start("warren-router", **with_credential(net, "warren-router.passphrase", run_it, PHRASE))
    net.router.wait_line(net.router.err, r"event=listening")
    net.den.wait_line(net.den.err, "event=online", len(net.den.err))
    check = [net.program("warren-router"), "--check-config", "--config", net.path("router/router.conf")]
    tap.check_in("configuration: ok", with_fds(check, passphrase_fd=PHRASE).stdout)
    status, text = on_terminal(argv + ["--remove"], [(b"Passphrase of the router's keys: ", PHRASE.encode())], b"too early\n")
    tap.check(status == 0 and PHRASE not in text, text)
    tap.check(not sealed(net.path("router/router.key")), "still sealed")


@tap.test
def a_new_passphrase_is_not_too_short(net):
    """Wherever one is chosen; where one opens what is there, any length is tried."""
    conf = ["--config", net.path("den/den.conf")]
    den, said = net.program("warren-den"), "has 5 characters, and needs at least 12"
    asked = [
        (with_fds, net.warren("alice", "passphrase"), {"new_passphrase_fd": "short\n"}),
        (with_fds, net.warren("alice", "export", net.path("short.warren")), {"passphrase_fd": "short\n"}),
        (with_fds, net.warren("alice", "export-cert", "--pkcs12", "--out", net.path("short.p12")), {"passphrase_fd": "short\n"}),
        (with_fds, net.warren("alice", "export-cert", "--out", net.path("short.pem")), {"passphrase_fd": "short\n"}),
        (with_fds, [den, "passphrase", *conf], {"new_passphrase_fd": "short"}),
        (with_fds, [den, "backup", net.path("short.backup"), *conf], {"passphrase_fd": "short"}),
        (with_fds, [net.program("warren-router"), "passphrase", net.path("router")], {"new_passphrase_fd": "short"}),
    ]
    for call, argv, options in asked:
        done = call(argv, wanted=None, **options)
        tap.check(done.returncode != 0 and said in done.stderr and "correct the value" in done.stderr, " ".join(argv) + ": " + done.stderr)
    fd, = pipes("short\n")
    done = run([*net.warren("newcomer", "join"), "--passphrase-fd", str(fd)], input=net.token() + "\n", pass_fds=[fd], wanted=1)
    tap.check_in(said, done.stderr)
    status, shown = on_terminal(net.warren("alice", "passphrase"), [(b"New passphrase", b"short"), (b"The same again", b"short")])
    tap.check(status != 0 and said in shown, shown)
    status, shown = on_terminal([den, "passphrase", *conf], [(b"New passphrase for", b"short")])  # refused before it is typed again
    tap.check(status != 0 and said in shown and "again" not in shown, shown)
    made = [name for name in os.listdir(net.folder) if name.startswith("short")]
    tap.check(not made, f"made all the same: {made}")


@tap.test
def no_passphrase_is_in_a_log(net):
    for process in net.processes:
        for line in process.err + process.out:
            tap.check(PHRASE not in line and OTHER not in line, line)


tap.main()
