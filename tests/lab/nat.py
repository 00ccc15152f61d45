# SPDX-License-Identifier: Apache-2.0
"""What stands between a host of the laboratory and its Internet: each kind as nftables rules.

The words are those of RFC 4787: a NAT maps (which public port an inside port gets: one for all destinations, or one for each) and
filters (whose packets it lets in to a mapped port: anybody's, those of addresses, or those of addresses with ports that were sent to).
Linux' own tracking is the last of them in both; the rest is built here from sets that the packets themselves fill."""

KINDS = {
    "open": "a public address, no NAT, nothing filtered",
    "full": "full cone: one mapping, anybody may send to it",
    "address": "address-restricted: one mapping, filtered by address",
    "port": "port-restricted: one mapping, filtered by address and port",
    "symmetric": "a mapping for each destination, with a random port, filtered by address and port",
    "double": "a port-restricted NAT behind a carrier's port-restricted NAT",
    "blocked": "a NAT that drops UDP",
    "tcp443": "a NAT that lets out TCP to port 443 and nothing else",
    "proxy": "nothing goes out but through a proxy: HTTP CONNECT on port 3128, SOCKS5 on 1080",
    "ipv6": "IPv6 alone: a public address behind a firewall that lets in answers",
}
# Which rules make the middle box of a kind.
BOXES = {"double": "port", "blocked": "port", "tcp443": "port", "proxy": "port"}
PORTS = 8000  # that a NAT maps to; a rebound NAT takes others
MEMORY = "5m"


def ranges(rebinds):
    """The ports that are mapped to, after so many rebinds."""
    low = 20000 + rebinds % 5 * PORTS
    return f"{low}-{low + PORTS - 1}"


def walls(kind, inner):
    """What a host may not send."""
    return {
        "blocked": "meta l4proto udp drop",
        "tcp443": f'iifname "{inner}" meta l4proto tcp tcp dport 443 accept; iifname "{inner}" drop',
        "proxy": f'iifname "{inner}" drop',
    }.get(kind, "").replace("; ", "\n    ")


def nat(kind, outer, inner, public, host, rebinds):
    """The box of a NAT kind between the devices `outer` and `inner`, for one `host`, with the address `public`."""
    box = BOXES.get(kind, kind)
    random = " fully-random" if box == "symmetric" else ""
    whom = {"full": "udp dport @known", "address": "udp dport . ip saddr @sent"}.get(box)
    back = f'iifname "{outer}" {whom} dnat to {host} : udp dport map @back' if whom else ""
    return f"""flush ruleset
table ip lab {{
  map back {{
    type inet_service : inet_service
    flags dynamic,timeout
    timeout {MEMORY}
  }}
  set known {{
    type inet_service
    flags dynamic,timeout
    timeout {MEMORY}
  }}
  set sent {{
    type inet_service . ipv4_addr
    flags dynamic,timeout
    timeout {MEMORY}
  }}
  chain mapped {{
    type nat hook postrouting priority srcnat
    oifname "{outer}" ip saddr {public} accept
    oifname "{outer}" meta l4proto {{ tcp, udp }} snat to {public}:{ranges(rebinds)}{random}
    oifname "{outer}" snat to {public}
  }}
  chain noted {{
    type filter hook postrouting priority 200
    oifname "{outer}" meta l4proto udp update @back {{ udp sport : ct original proto-src }}
    oifname "{outer}" meta l4proto udp update @known {{ udp sport }}
    oifname "{outer}" meta l4proto udp update @sent {{ udp sport . ip daddr }}
  }}
  chain back_in {{
    type nat hook prerouting priority dstnat
    {back}
  }}
  chain through {{
    type filter hook forward priority filter
    {walls(kind, inner)}
    iifname "{outer}" ct state new ct status & dnat == 0 drop
  }}
  # What nobody asked for ends here: if the box itself took it in, tracking would give the port away and map the host to another one.
  chain taken {{
    type filter hook input priority filter
    iifname "{outer}" ct state new drop
  }}
}}
"""


def firewall6(outer):
    """Of an IPv6 host: answers come in."""
    return f"""flush ruleset
table ip6 lab {{
  chain through {{
    type filter hook forward priority filter
    iifname "{outer}" ct state new drop
  }}
  chain taken {{
    type filter hook input priority filter
    iifname "{outer}" ct state new drop
  }}
}}
"""


def rules(kind, outer, inner, public, host, rebinds=0):
    if kind == "open":
        return "flush ruleset\n"
    return firewall6(outer) if kind == "ipv6" else nat(kind, outer, inner, public, host, rebinds)
