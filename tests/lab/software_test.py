#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other people's programs through a link between two hosts behind NATs: OpenSSH, TigerVNC and a viewer, curl and an HTTP server."""
import hashlib
import os
import shutil
import subprocess
import time

import alone

alone.enter()

import tap  # noqa: E402
from network import PATIENCE, Failed, run  # noqa: E402
from reach import Reach  # noqa: E402

SSH, VNC, HTTP = 22, 5901, 8080
DISPLAY = 77  # of the tunnel's end: port 5977
SIZE = 5_000_000
reach = Reach(tap.build_dir(), "software")


def needs(*programs):
    missing = [name for name in programs if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing:
        raise tap.Skip(f"{', '.join(missing)}: not installed (./scripts/install-deps test)")


def path(*names):
    return reach.net.path(*names)


def on(side, name, *argv, **more):
    return reach.net.start(name, [*reach.lab.inside(side), *argv], **more)


def make(_):
    """Two port-restricted NATs, one on each side, and bob's services, on his own loopback alone."""
    reach.up("port", "port", "20ms")
    reach.net.allow(f"allow from {reach.net.ids['alice']} to {reach.net.ids['bob']} can chat,tunnel:{SSH},tunnel:{VNC},tunnel:{HTTP}")
    bob = reach.warren("bob", "expose", "--accept", str(SSH), str(VNC), str(HTTP))
    bob.wait_line(bob.err, "waiting for calls")
    # As a user has it: the program in PATH, its state where it is looked for.
    os.makedirs(path("xdg"))
    os.symlink(path("alice"), path("xdg/warren"))


def as_alice(*argv, **more):
    environment = {**os.environ, "XDG_STATE_HOME": path("xdg"), "PATH": os.path.dirname(reach.net.program("warren")) + ":" + os.environ["PATH"]}
    return subprocess.run([*reach.lab.inside("left"), *argv], env=environment, timeout=PATIENCE, check=False, **more)


def wait_for_port(side, port):
    until = time.monotonic() + PATIENCE
    while subprocess.run([*reach.lab.inside(side), "sh", "-c", f"ss -ltn | grep -q ':{port} '"], check=False).returncode != 0:
        if time.monotonic() > until:
            raise Failed(f"nothing listens on port {port}")
        time.sleep(0.05)


# ---- OpenSSH ----

def start_sshd():
    os.makedirs("/run/sshd", mode=0o755)  # a /run of our own
    for name in ("host_key", "user_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path(name)])
    shutil.copy(path("user_key.pub"), path("authorized"))
    with open(path("sshd.conf"), "w", encoding="ascii") as f:
        f.write(f"ListenAddress 127.0.0.1:{SSH}\nHostKey {path('host_key')}\nAuthorizedKeysFile {path('authorized')}\nStrictModes no\nUsePAM no\n"
                f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n")
    on("right", "sshd", "/usr/sbin/sshd", "-D", "-e", "-f", path("sshd.conf"))
    wait_for_port("right", SSH)


@tap.test
def ssh_by_id(_):
    needs("sshd", "ssh", "ssh-keygen")
    start_sshd()
    data = os.urandom(SIZE)
    done = as_alice("ssh", "-o", "ProxyCommand=warren nc %h 22", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + path("known"),
                    "-i", path("user_key"), "-l", "root", reach.net.ids["bob"], "sha256sum; hostname -I", input=data, capture_output=True)
    tap.check(done.returncode == 0, done.stderr.decode()[-800:])
    said = done.stdout.decode()
    tap.check(hashlib.sha256(data).hexdigest() in said, said)
    tap.check(reach.lab.host("right") in said, f"not bob's host: {said}")


# ---- VNC ----

def picture(name):
    """What a viewer shows of it: (width, height, the pixel in the middle)."""
    done = as_alice("vncsnapshot", "-encodings", "raw", "-quality", "100", f"127.0.0.1:{DISPLAY}", path(name), capture_output=True)
    tap.check(done.returncode == 0, done.stderr.decode()[-400:])
    ppm = subprocess.run(["djpeg", "-ppm", path(name)], capture_output=True, check=True).stdout
    _, width, height, _ = ppm.split(maxsplit=4)[:4]
    width, height = int(width), int(height)
    pixels = ppm[-width * height * 3:]
    at = (height // 2 * width + width // 2) * 3
    return width, height, tuple(pixels[at:at + 3])


def paint(colour):
    run([*reach.lab.inside("right"), "xsetroot", "-display", ":1", "-solid", colour])


def is_near(pixel, colour):
    return all(abs(a - b) <= 6 for a, b in zip(pixel, colour))  # JPEG


@tap.test
def a_screen_over_vnc(_):
    needs("Xtigervnc", "vncsnapshot", "xsetroot", "djpeg")
    on("right", "Xtigervnc", "Xtigervnc", ":1", "-geometry", "640x480", "-depth", "24", "-SecurityTypes", "None", "-localhost", "-rfbport", str(VNC), "-nolisten", "unix",
       "-listen", "tcp")
    wait_for_port("right", VNC)
    tunnel = reach.warren("alice", "tunnel", reach.net.ids["bob"], f"{5900 + DISPLAY}:127.0.0.1:{VNC}")
    tunnel.wait_line(tunnel.err, "linked with")
    wait_for_port("left", 5900 + DISPLAY)
    for colour, wanted in (("#12a456", (0x12, 0xa4, 0x56)), ("#e03060", (0xe0, 0x30, 0x60))):
        paint(colour)
        width, height, pixel = picture("screen.jpg")
        tap.check((width, height) == (640, 480), f"{width}x{height}")
        tap.check(is_near(pixel, wanted), f"{pixel}, wanted {wanted}")
    tunnel.stop()


# ---- HTTP ----

@tap.test
def a_download_over_http(_):
    needs("curl")
    os.makedirs(path("web"))
    data = os.urandom(SIZE)
    with open(path("web/big"), "wb") as f:
        f.write(data)
    on("right", "http", "/usr/bin/python3", "-m", "http.server", str(HTTP), "--bind", "127.0.0.1", "--directory", path("web"))
    wait_for_port("right", HTTP)
    tunnel = reach.warren("alice", "tunnel", reach.net.ids["bob"], f"8081:127.0.0.1:{HTTP}")
    tunnel.wait_line(tunnel.err, "linked with")
    wait_for_port("left", 8081)
    done = as_alice("curl", "--silent", "--show-error", "--fail", "http://127.0.0.1:8081/big", capture_output=True)
    tap.check(done.returncode == 0, done.stderr.decode())
    tap.check(done.stdout == data, "other bytes")
    tunnel.wait_line(tunnel.err, "^path direct|path direct")
    tunnel.stop()


def main():
    try:
        tap.main(make=make)
    finally:
        reach.close()


main()
