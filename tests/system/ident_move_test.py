#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Moving an identity to another machine."""
import os
import pty

import tap
from network import run


def with_passphrase(argv, text, wanted=0):
    theirs, ours = os.pipe()
    os.write(ours, text.encode())
    os.close(ours)
    done = run([*argv, "--passphrase-fd", str(theirs)], wanted=wanted, pass_fds=[theirs])
    os.close(theirs)
    return done


def on_terminal(argv, answers):
    """Answers each prompt on a terminal of its own; the exit status and what was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    shown = b""
    for prompt, answer in answers:
        while prompt not in shown:
            shown += os.read(fd, 4096)
        os.write(fd, answer + b"\n")
        shown = shown.split(prompt, 1)[1]
    whole = shown
    try:
        while data := os.read(fd, 4096):
            whole += data
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), whole.decode(errors="replace")


@tap.test
def an_identity_moves_and_is_used_in_one_place_alone(net):
    net.join("alice")
    file = net.path("alice.warren")
    with_passphrase(net.warren("alice", "export", file), "correct horse\n")
    tap.check(os.stat(file).st_mode & 0o777 == 0o600, "mode")
    with open(file, "rb") as f, open(net.path("alice/identity.key"), "rb") as key:
        tap.check(key.read().split()[1] not in f.read(), "the key is in the file")
    for words in (["chat", "123456"], ["name", "list"], ["export", net.path("twice")]):
        done = with_passphrase(net.warren("alice", *words), "x\n", wanted=1) if words[0] == "export" \
            else run(net.warren("alice", *words), wanted=1)
        tap.check_in("moved", done.stderr)
    with_passphrase(net.warren("laptop", "import", file), "correct horse\n")
    tap.check(net.identity("laptop")["id"] == net.ids["alice"], "another ID")
    laptop = net.wait_chat("laptop")
    laptop.stop()
    done = with_passphrase(net.warren("laptop", "import", file), "correct horse\n", wanted=1)
    tap.check_in("already_exists", done.stderr)


@tap.test
def a_wrong_passphrase_and_a_changed_file_are_refused(net):
    file = net.path("alice.warren")
    done = with_passphrase(net.warren("other", "import", file), "wrong\n", wanted=1)
    tap.check_in("bad_passphrase", done.stderr)
    tap.check(not os.path.exists(net.path("other")), "a folder was left")
    with open(file, "rb") as f:
        data = bytearray(f.read())
    for at, code in ((len(data) - 3, "bad_passphrase"), (3, "bad_config"), (17, "bad_config")):
        spoilt = bytearray(data)
        spoilt[at] ^= 0xff
        with open(net.path("spoilt"), "wb") as f:
            f.write(spoilt)
        done = with_passphrase(net.warren("other", "import", net.path("spoilt")), "correct horse\n", wanted=1)
        tap.check_in(code, done.stderr)


@tap.test
def taking_it_back_needs_the_file(net):
    with_passphrase(net.warren("alice", "import", net.path("alice.warren")), "correct horse\n")
    net.wait_chat("alice").stop()


@tap.test
def passphrases_are_asked_for_on_the_terminal_without_echo(net):
    net.join("bob")
    file = net.path("bob.warren")
    status, text = on_terminal(net.warren("bob", "export", file),
                               [(b"New passphrase: ", b"one"), (b"The same again: ", b"two")])
    tap.check(status == 2 and "differ" in text and not os.path.exists(file), text)
    status, text = on_terminal(net.warren("bob", "export", file),
                               [(b"New passphrase: ", b"battery staple"), (b"The same again: ", b"battery staple")])
    tap.check(status == 0 and "battery" not in text, text)
    status, text = on_terminal(net.warren("bob2", "import", file), [(b"Passphrase: ", b"battery staple")])
    tap.check(status == 0 and net.identity("bob2")["id"] == net.ids["bob"], text)


tap.main()
