#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A home router that gives ports away (PCP or NAT-PMP, by miniupnpd): between two symmetric NATs, which let no direct path through, there is one then."""
import re
import shutil
import subprocess
import time

import alone

alone.enter()

import labnet  # noqa: E402
import tap  # noqa: E402
from reach import Reach  # noqa: E402

# miniupnpd gives no ports away behind an address that is for documentation. Nothing leaves these namespaces.
labnet.SIDE4["left"] = "9.9.9"
reach = Reach(tap.build_dir(), has_turn=False)
# What miniupnpd finds its place in.
TABLES = """table inet filter {
  chain forward {
    type filter hook forward priority 0; policy accept;
    jump miniupnpd
  }
  chain miniupnpd {
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump prerouting_miniupnpd
  }
  chain prerouting_miniupnpd {
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    jump postrouting_miniupnpd
  }
  chain postrouting_miniupnpd {
  }
}
"""
CONF = """ext_ifname=wan0
ext_ip={public}
listening_ip=lan0
enable_natpmp=yes
enable_upnp=no
secure_mode=yes
allow 1024-65535 192.168.0.0/16 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
# What it is asked: by the version that a message begins with. One that is not to be known is not heard.
ASKED = """table inet asked {{
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname lan0 udp dport 5351 @th,64,8 2 counter {pcp}
    iifname lan0 udp dport 5351 @th,64,8 0 counter {pmp}
  }}
}}
"""


def count(side, pcp=True, pmp=True):
    reach.lab.nft(side + "nat", ASKED.format(pcp="accept" if pcp else "drop", pmp="accept" if pmp else "drop"))


def inside_nat(side, *words):
    return labnet.run(["nsenter", f"--net=/run/netns/{reach.lab.netns(side + 'nat')}", *words])


def asked(side):
    """How many messages of PCP and of NAT-PMP came; from now on they are not counted."""
    rules = inside_nat(side, "nft", "list", "table", "inet", "asked")
    inside_nat(side, "nft", "delete", "table", "inet", "asked")
    return [int(n) for n in re.findall(r"counter packets (\d+)", rules)]


def give_ports(side):
    box = side + "nat"
    with open(reach.net.path(f"miniupnpd-{side}.conf"), "w", encoding="ascii") as f:
        f.write(CONF.format(public=reach.lab.public_address(side)))
    reach.lab.nft(box, TABLES)
    process = subprocess.Popen(["nsenter", f"--net=/run/netns/{reach.lab.netns(box)}", "miniupnpd", "-d", "-f", f.name, "-P", f.name + ".pid"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    tap.check(process.poll() is None, process.poll() is not None and process.stderr.read())
    return process


def mappings(side):
    """The rules that miniupnpd made."""
    rules = inside_nat(side, "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
    return [line.strip() for line in rules.splitlines() if "dnat" in line]


def over_a_port(side):
    """A direct link over one that the router of that side gave, and takes back."""
    bob = reach.wait()
    alice = reach.warren("alice", "chat", reach.net.ids["bob"])
    alice.wait_line(alice.err, "^path direct")
    tap.check(len(mappings(side)) == 1, f"{mappings(side)}")
    alice.write("over a port that was given\n")
    bob.wait_line(bob.out, "that was given$")
    alice.stop()
    bob.stop()
    until = time.monotonic() + 10
    while mappings(side) and time.monotonic() < until:  # given back when the link is closed
        time.sleep(0.2)
    tap.check(not mappings(side), f"not given back: {mappings(side)}")


@tap.test
def two_symmetric_ones_of_which_one_gives_a_port(_):
    if not shutil.which("miniupnpd"):
        raise tap.Skip("miniupnpd is not installed")
    reach.up("symmetric", "symmetric", "20ms")
    tap.check(reach.talk()["last"] == "relay", "a direct path without any port")
    daemon = give_ports("left")
    try:
        count("left")
        over_a_port("left")
        n_pcp, n_pmp = asked("left")
        tap.check(n_pcp >= 2 and n_pmp == 0, f"{n_pcp} of PCP, {n_pmp} of NAT-PMP")
        count("left", pcp=False)
        over_a_port("left")
        n_pcp, n_pmp = asked("left")
        tap.check(n_pcp and n_pmp >= 3, f"PCP is dropped: {n_pcp} of it, {n_pmp} of NAT-PMP")
        count("left", pmp=False)
        over_a_port("left")
    finally:
        daemon.terminate()
        daemon.wait()


def main():
    try:
        tap.main(make=False)
    finally:
        reach.close()


main()
