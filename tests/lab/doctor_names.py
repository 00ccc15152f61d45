# SPDX-License-Identifier: Apache-2.0
"""The name that each kind of NAT has to be given, with coturn's two addresses to ask."""

NAMES = {
    "open": "no NAT, nothing filtered",
    "full": "full-cone NAT",
    "address": "address-restricted NAT",
    "port": "port-restricted NAT",
    "symmetric": "symmetric NAT",
    "double": "port-restricted NAT",
    "ipv6": "no NAT, a firewall that lets answers in",
}
