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


# The network's procedures, by the manual alone: serves one, and JSON both ways. Needs a joined state folder.
RPC_PROGRAM = """
#include <peer.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool print(const struct peer_values *values)
{
    struct peer_error error;
    char *json = peer_json_from_msgpack(values->args, values->args_size, &error);

    printf("%s\\n", json ? json : error.text);
    free(json);
    return json != NULL;
}

int main(int argc, char **argv)
{
    struct peer_config config = { .size = sizeof(config), .state_dir = argc > 1 ? argv[1] : NULL };
    static const char given[] = "[\\"caf\\xc3\\xa9\\", 1.5, null, {\\"a\\": [\\"\\\\u0000AP8=\\"]}]";
    struct peer_error error;
    struct peer_event event;
    struct peer_values values = { 0 };
    struct peer *peer;
    bool is_called = false, is_done = false;

    values.args = peer_msgpack_from_json(given, strlen(given), &values.args_size, &error);
    if (!values.args || !print(&values) || peer_msgpack_from_json("{", 1, &values.args_size, &error))
        return 2;
    printf("%s\\n", error.name);
    peer = peer_new(&config, &error);
    if (!peer) {
        printf("%s\\n", error.name);
        return 1;
    }
    while (!is_done) {
        struct pollfd fd = { .fd = peer_fd(peer), .events = POLLIN };
        poll(&fd, 1, -1);
        while (!is_done && peer_next_event(peer, &event)) {
            if (event.type == PEER_EVENT_ONLINE && !is_called)
                is_called = peer_call(peer, "network.ping", NULL, NULL, &error) != NULL;
            if (event.type == PEER_EVENT_RESULT || event.type == PEER_EVENT_FAILED)
                is_done = true;
            if (event.type == PEER_EVENT_RESULT)
                print(&event.message->values);
        }
    }
    peer_free(peer);
    free((void *)values.args);
    return 0;
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
    tap.skip_if_sanitized(find(root, "libpeer.so"))
    with open(source, "w", encoding="ascii") as f:
        f.write(PROGRAM % net.path("nobody"))
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(find(root, "libpeer.pc")), "PKG_CONFIG_SYSROOT_DIR": root}
    flags = run(["pkg-config", "--cflags", "--libs", "libpeer"], env=env).stdout.split()
    run([shutil.which("cc") or "gcc", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags])
    done = run([program], env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(find(root, "libpeer.so"))})
    tap.check(re.fullmatch(r"\d+\.\d+\.\d+ not_joined\n", done.stdout), done.stdout)


@tap.test
def a_program_uses_the_networks_procedures(net):
    root = installed(net)
    source, program = net.path("rpc.c"), net.path("rpc")
    tap.skip_if_sanitized(find(root, "libpeer.so"))
    with open(source, "w", encoding="ascii") as f:
        f.write(RPC_PROGRAM)
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(find(root, "libpeer.pc")), "PKG_CONFIG_SYSROOT_DIR": root}
    flags = run(["pkg-config", "--cflags", "--libs", "libpeer"], env=env).stdout.split()
    run([shutil.which("cc") or "gcc", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags])
    net.make()
    net.join("alice")
    done = run([program, net.path("alice")], env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(find(root, "libpeer.so"))})
    tap.check(re.fullmatch(r'\["café",1\.5,null,\{"a":\["\\u0000AP8="\]\}\]\ninvalid_argument\n\[\d+\]\n', done.stdout), done.stdout)


@tap.test
def the_library_exports_what_the_header_declares(net):
    with open(os.path.join(ROOT, "peer/include/peer.h"), encoding="utf-8") as f:
        declared = set(re.findall(r"^PEER_API[^;(]*?\b(peer_\w+)\(", f.read(), re.M))
    exported = set(re.findall(r" [A-Z] (\w+)(?:@@\w+)?$", run(["nm", "-D", "--defined-only", find(installed(net), "libpeer.so")]).stdout, re.M))
    exported = {name for name in exported if name.islower()}  # the version node is a symbol too
    tap.check(declared, "nothing is declared")
    tap.check(declared == exported, f"declared only: {declared - exported}; exported only: {exported - declared}")


@tap.test
def systemd_takes_the_units_and_the_accounts(net):
    """As they are installed, the programs in their places, and with no more rights than it calls safe."""
    if not shutil.which("systemd-analyze") or not shutil.which("systemd-sysusers"):
        raise tap.Skip("systemd is not installed")
    root = installed(net)
    units = {name: find(root, name) for name in ("warren-router.service", "warren-router.socket", "warren-den.service",
                                                 "warren-den-signer.service", "warren-den-signer.socket")}
    folder = net.path("units")
    os.mkdir(folder)
    for name, path in units.items():
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"(?m)^(ExecStart=)(\S+)", lambda m: m[1] + find(root, os.path.basename(m[2])), f.read())
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    done = run(["systemd-analyze", "verify", "--man=no", *(os.path.join(folder, name) for name in units)], wanted=None,
               env={**os.environ, "SYSTEMD_UNIT_PATH": folder + ":"})
    ours = [line for line in done.stderr.splitlines() if "warren" in line]  # not what this machine's own units lack
    tap.check(not ours, "\n".join(ours))
    for name, most in (("warren-router", 2.0), ("warren-den", 2.0), ("warren-den-signer", 1.0)):
        done = run(["systemd-analyze", "security", "--offline=true", os.path.join(folder, name + ".service")], wanted=None)
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        tap.check(exposure and float(exposure.group(1)) <= most, f"{name}: {done.stdout[-200:]}{done.stderr}")
    accounts = net.path("accounts")
    os.makedirs(os.path.join(accounts, "etc"))
    for name in ("warren-den.conf", "warren-router.conf"):
        folder_of = [path for path, _, names in os.walk(root) if name in names and path.endswith("sysusers.d")]
        tap.check(folder_of, name + " was not installed")
        done = run(["systemd-sysusers", f"--root={accounts}", os.path.join(folder_of[0], name)], wanted=None)
        tap.check(done.returncode == 0 and "not a valid" not in done.stderr, done.stderr)
    with open(os.path.join(accounts, "etc/passwd"), encoding="utf-8") as f:
        names = {line.split(":")[0] for line in f}
    tap.check({"warren-den", "warren-den-signer", "warren-router"} <= names, str(names))


@tap.test
def every_manual_is_installed(net):
    for name in ("warren.1", "libpeer.3", "router.conf.5", "den.conf.5", "policy.yaml.5", "warren-router.8", "warren-den.8"):
        find(installed(net), name)


tap.main(make=False)
