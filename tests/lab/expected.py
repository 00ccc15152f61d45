# SPDX-License-Identifier: Apache-2.0
"""What the best path of each pair of networks is, as data. A path is "direct", "turn" (where there is a TURN server) or "relay" (the router's)."""
import nat

KINDS = list(nat.KINDS)
# What a host can do on UDP; a double NAT of two port-restricted ones behaves as one.
EASY, PORT, SYMMETRIC = ("open", "full", "address"), ("port", "double"), ("symmetric",)
UDP4 = EASY + PORT + SYMMETRIC
# Reaches a TURN server over UDP; over TCP at least (coturn listens on port 443 too); not at all without a proxy.
TURN_UDP, TURN_TCP = UDP4, ("blocked", "tcp443")
TURN_NONE = ("proxy",)


def is_direct(left, right):
    """Whether hole punching can do it: RFC 5128, and what was seen between real ones."""
    if left == right == "ipv6":
        return True
    if left not in UDP4 or right not in UDP4:
        return False
    hard = SYMMETRIC + PORT
    return not (left in hard and right in hard) or (left in PORT and right in PORT)


def best(left, right, has_turn=True):
    if is_direct(left, right):
        return "direct"
    if not has_turn or left in TURN_NONE or right in TURN_NONE:
        return "relay"
    return "turn"
