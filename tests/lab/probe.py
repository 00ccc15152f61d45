# SPDX-License-Identifier: Apache-2.0
"""Looks at a network from within: what kind of NAT there is (RFC 5780 over RFC 8489), what arrives how late, and how much of it."""
import ctypes
import os
import secrets
import socket
import struct
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
COOKIE = 0x2112A442
CHANGE_REQUEST, MAPPED, XOR_MAPPED, OTHER, ORIGIN = 0x0003, 0x0001, 0x0020, 0x802C, 0x802B
CHANGE_ADDRESS, CHANGE_PORT = 4, 2
TRIES, WAIT = 3, 0.6


def within(netns, function):
    """What the function returns, called by a thread of that namespace. Its sockets stay there."""
    came, failed = [], []

    def work():
        try:
            with open(f"/run/netns/{netns}", "rb") as f:
                if LIBC.setns(f.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {netns}")
            came.append(function())
        except Exception as e:  # pylint: disable=broad-except
            failed.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return came[0]


def udp(netns, address=("0.0.0.0", 0)):
    def make():
        s = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(address)
        return s
    return within(netns, make)


# ---- STUN ----

def read_address(value, xor, transaction):
    port, raw = struct.unpack(">H", value[2:4])[0], value[4:]
    if xor:
        port ^= COOKIE >> 16
        raw = bytes(a ^ b for a, b in zip(raw, struct.pack(">I", COOKIE) + transaction))
    return socket.inet_ntop(socket.AF_INET if value[1] == 1 else socket.AF_INET6, raw), port


def read_answer(packet, transaction):
    kind, length, cookie = struct.unpack(">HHI", packet[:8])
    if kind != 0x0101 or cookie != COOKIE or packet[8:20] != transaction:
        return None
    found, at = {}, 20
    while at < 20 + length:
        name, size = struct.unpack(">HH", packet[at:at + 4])
        if name in (MAPPED, XOR_MAPPED, OTHER, ORIGIN):
            found[name] = read_address(packet[at + 4:at + 4 + size], name == XOR_MAPPED, transaction)
        at += 4 + (size + 3) // 4 * 4
    return found


def ask(s, server, change=0):
    """The answer's addresses, {} when none came."""
    transaction = secrets.token_bytes(12)
    body = struct.pack(">HHI", CHANGE_REQUEST, 4, change) if change else b""
    packet = struct.pack(">HHI", 1, len(body), COOKIE) + transaction + body
    for _ in range(TRIES):
        s.sendto(packet, server)
        until = time.monotonic() + WAIT
        while (left := until - time.monotonic()) > 0:
            s.settimeout(left)
            try:
                data, _ = s.recvfrom(2048)
            except (TimeoutError, ConnectionRefusedError):
                break
            if len(data) >= 20 and (answer := read_answer(data, transaction)) is not None:
                return answer
    return {}


def behaviour(netns, server):
    """(mapping, filtering) of RFC 5780, each "independent", "address" or "port"; (None, None) when UDP does not come back."""
    with udp(netns) as s:
        first = ask(s, server)
        if not first:
            return None, None
        other = first[OTHER]
        second = ask(s, (other[0], server[1]))
        third = ask(s, other)
        mapping = "independent" if first[XOR_MAPPED] == second[XOR_MAPPED] else "address" if second[XOR_MAPPED] == third[XOR_MAPPED] else "port"
    with udp(netns) as s:  # nothing was sent from this one to the other address
        if ask(s, server, CHANGE_ADDRESS | CHANGE_PORT):
            return mapping, "independent"
        return mapping, "address" if ask(s, server, CHANGE_PORT) else "port"


def mapped(s, server):
    """Where the socket is seen from."""
    return ask(s, server).get(XOR_MAPPED)


# ---- what the way is like ----

def late(sender, receiver, to, n, size=100, gap=0.0002):
    """Sends n numbered packets; returns [(number, seconds under way)] in the order of arrival."""
    came = []

    def collect():
        receiver.settimeout(2)
        try:
            while len(came) < n:
                data = receiver.recv(2048)
                number, at = struct.unpack(">Qd", data[:16])
                came.append((number, time.monotonic() - at))
        except TimeoutError:
            pass

    thread = threading.Thread(target=collect)
    thread.start()
    for number in range(n):
        sender.sendto(struct.pack(">Qd", number, time.monotonic()) + bytes(size - 16), to)
        if gap:
            time.sleep(gap)
    thread.join()
    return came


def connects(netns, address, port, wait=3):
    """Whether a TCP connection comes about."""
    def make():
        try:
            socket.create_connection((address, port), wait).close()
            return True
        except OSError:
            return False
    return within(netns, make)


class Door:
    """Listens on TCP ports of a namespace, and greets."""

    def __init__(self, netns, address, *ports):
        self.listeners = [within(netns, lambda port=port: socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)) for port in ports]
        for listener in self.listeners:
            threading.Thread(target=self.serve, args=(listener,), daemon=True).start()

    def serve(self, listener):
        try:
            while True:
                with listener.accept()[0] as connection:
                    connection.sendall(b"hello")
        except OSError:
            pass

    def close(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def carrier(netns, device="eth0"):
    """Whether a device has a cable that leads somewhere."""
    flags = within(netns, lambda: socket.if_nametoindex(device)) and os.popen(f"ip -n {netns} link show {device}").read()
    return "LOWER_UP" in flags


# ---- bulk ----

def tcp_rate(server_netns, client_netns, address, port, seconds):
    """Bytes a second that one TCP connection brings from client to server in the last three quarters of the time."""
    listener = within(server_netns, lambda: socket.create_server((address, port)))
    client = within(client_netns, lambda: socket.create_connection((address, port), 10))
    server = listener.accept()[0]
    stop = time.monotonic() + seconds

    def fill():
        block = bytes(1 << 18)
        client.settimeout(seconds)
        try:
            while time.monotonic() < stop:
                client.sendall(block)
        except OSError:
            pass
        client.close()

    thread = threading.Thread(target=fill)
    thread.start()
    begin, n, room = stop - seconds * 0.75, 0, bytearray(1 << 18)
    while (size := server.recv_into(room)) and (now := time.monotonic()) < stop:
        n += size if now > begin else 0
    server.close()
    thread.join()
    listener.close()
    return n / (seconds * 0.75)
