#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an application developer gets after `meson install`: header, library, pkg-config, manuals; and exactly the symbols of the header."""
import os
import re
import shutil

import tap
from network import ROOT, run

PROGRAM = """
#include <peer.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct peer_config config = { .size = sizeof(config), .state_dir = "%s" };
    struct peer_error error;
    struct peer *peer = peer_new(&config, &error);

    printf("%%s %%s\\n", peer_version(), peer ? "?" : error.name);
    peer_free(peer);
    return peer != NULL;
}
"""


def installed(net):
    root = net.path("root")
    if not os.path.exists(root):
        run(["meson", "install", "-C", tap.build_dir(), "--no-rebuild", "--destdir", root])
    return root


def find(root, name):
    for folder, _folders, files in os.walk(root):
        if name in files:
            return os.path.join(folder, name)
    raise tap.Failed(f"{name} was not installed")


@tap.test
def a_program_builds_with_pkg_config_and_runs(net):
    root = installed(net)
    source, program = net.path("program.c"), net.path("program")
    if "__asan_" in run(["nm", "-D", find(root, "libpeer.so")]).stdout:
        raise tap.Skip("this library was built for a sanitizer, whose run-time an ordinary program does not have")
    with open(source, "w", encoding="ascii") as f:
        f.write(PROGRAM % net.path("nobody"))
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(find(root, "libpeer.pc")), "PKG_CONFIG_SYSROOT_DIR": root}
    flags = run(["pkg-config", "--cflags", "--libs", "libpeer"], env=env).stdout.split()
    run([shutil.which("cc") or "gcc", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags])
    done = run([program], env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(find(root, "libpeer.so"))})
    tap.check(re.fullmatch(r"\d+\.\d+\.\d+ not_joined\n", done.stdout), done.stdout)


@tap.test
def the_library_exports_what_the_header_declares(net):
    with open(os.path.join(ROOT, "peer/include/peer.h"), encoding="utf-8") as f:
        declared = set(re.findall(r"^PEER_API[^;(]*?\b(peer_\w+)\(", f.read(), re.M))
    exported = set(re.findall(r" [A-Z] (\w+)(?:@@\w+)?$", run(["nm", "-D", "--defined-only", find(installed(net), "libpeer.so")]).stdout, re.M))
    exported = {name for name in exported if name.islower()}  # the version node is a symbol too
    tap.check(declared, "nothing is declared")
    tap.check(declared == exported, f"declared only: {declared - exported}; exported only: {exported - declared}")


@tap.test
def every_manual_is_installed(net):
    for name in ("warren.1", "libpeer.3", "router.conf.5", "den.conf.5", "policy.conf.5", "warren-router.8", "warren-den.8"):
        find(installed(net), name)


tap.main(make=False)
