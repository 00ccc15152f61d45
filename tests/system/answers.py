# SPDX-License-Identifier: Apache-2.0
"""Passphrases and PINs as people and machines give them: on a terminal, behind a descriptor."""
import os
import pty


def pipes(*texts):
    """A descriptor to read for each text."""
    fds = []
    for text in texts:
        theirs, ours = os.pipe()
        os.write(ours, text.encode())
        os.close(ours)
        fds.append(theirs)
    return fds


def on_terminal(argv, answers, typed_ahead=b""):
    """Answers each prompt on a terminal of its own; the exit status and what was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    if typed_ahead:
        os.write(fd, typed_ahead)
    whole = shown = b""
    for prompt, answer in answers:
        while prompt not in shown:
            shown += os.read(fd, 4096)
        whole += shown
        shown = b""
        os.write(fd, answer + b"\n")
    try:
        while data := os.read(fd, 4096):
            whole += data
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), whole.decode(errors="replace")
