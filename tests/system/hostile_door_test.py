#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile clients at the door: too many of them, too often, too slow, with tricks of HTTP, and no descriptors left."""
import os
import resource
import ssl
import time

from hostile import (ADDRESSES, PROTOCOL, REALM, UPGRADE, Router, ask_http, case, check_abort, connect, dial, frame, frames, hear_end, is_refused,
                     joined, open_socket, pack, read_all, send_quietly, tap)

# No penalties but in the cases that are about them, or an honest second try would not tell.
FREE = ("penalty_silence = 0s", "penalty_protocol = 0s", "penalty_authentication = 0s")


@tap.test
def a_router_that_counts_connections(net):
    net.router = Router(net, *FREE, "max_per_address = 4", "max_connection_rate = 6", "max_guests = 2", "handshake_timeout = 3s",
                        "origins = https://console.example null")


# ---- how many --------------------------------------------------------------------------------------------------------

@case(limit="max_per_address", log=r"event=turned_away limit=max_per_address")
def an_address_has_so_many_connections(router):
    source = next(ADDRESSES)
    held = [router.session(source) for _ in range(4)]
    tap.check(is_refused(router, source), "a fifth")
    router.session().close()  # from elsewhere
    for one in held:
        one.close()


@case(limit="max_per_address")
def connections_that_say_nothing_count_from_the_first_byte(router):
    source = next(ADDRESSES)
    held = [connect(router, source) for _ in range(4)]
    tap.check(is_refused(router, source), "a fifth")
    for one in held:
        one.close()


@case(limit="max_connection_rate")
def an_address_opens_so_many_a_second(router):
    source = next(ADDRESSES)
    n_refused = 0
    for _ in range(40):
        n_refused += is_refused(router, source)
    tap.check(n_refused > 0, "all forty")


@case(limit="max_guests")
def guests_are_not_without_number(router):
    held = [router.session(realm=router.realm) for _ in range(2)]
    tap.check(held[0].details["authrole"] == "guest", repr(held[0].details))
    sock = open_socket(router)
    sock.sendall(frame(pack([1, router.realm, {"roles": {"caller": {}}}])))
    check_abort(sock, "network.error.too_many_guests")
    held.pop().close()
    for _ in range(100):  # until the router saw it
        sock = open_socket(router)
        sock.sendall(frame(pack([1, router.realm, {"roles": {"caller": {}}}])))
        if frames(sock.recv(4096))[0][1][1] == 2:
            break
        sock.close()
    else:
        tap.check(False, "no room after one left")
    sock.close()
    for one in held:
        one.close()


# ---- how slow --------------------------------------------------------------------------------------------------------

def closes_in_time(sock, seconds):
    """It is closed; how long that took is for the drill to judge."""
    sock.settimeout(10 * seconds)
    read_all(sock)
    sock.close()


@case()
def tls_that_does_not_begin_is_cut(router):
    closes_in_time(connect(router), 3)


@case()
def half_a_client_hello_is_cut(router):
    sock = connect(router)
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    closes_in_time(sock, 3)


@case()
def headers_that_drip_are_cut(router):
    """TLS and headers have one time limit together: a byte now and then does not move it."""
    sock = dial(router)
    sock.settimeout(0.2)
    until = time.monotonic() + 60
    for byte in (UPGRADE + "X-More: " + "y" * 1000).encode():
        tap.check(time.monotonic() < until, "still open")
        try:
            sock.sendall(bytes([byte]))
            if not sock.recv(100):
                break
        except TimeoutError:
            continue
        except (ConnectionError, ssl.SSLError):
            break
    else:
        tap.check(False, "all headers were taken")
    sock.close()


@case(limit="handshake_timeout", log=r"event=refused .*state=greeting")
def a_web_socket_without_hello_is_told(router):
    check_abort(open_socket(router), "wamp.error.timeout")


@case(limit="handshake_timeout")
def a_hello_byte_by_byte_is_told_too(router):
    sock = open_socket(router)
    sock.settimeout(0.2)
    heard = b""
    try:
        for byte in frame(b"\x93\x01" + b"\xa8" + b"x" * 200):
            sock.sendall(bytes([byte]))
            try:
                heard += sock.recv(4096)
            except TimeoutError:
                pass
            if heard:
                break
    except (ConnectionError, ssl.SSLError):
        pass
    tap.check(b"wamp.error.timeout" in heard, repr(heard))
    sock.close()


# ---- web pages -------------------------------------------------------------------------------------------------------

def status(answer):
    return answer.split(b"\r\n", 1)[0]


@case(limit="origins", least=4)
def pages_from_elsewhere_are_refused(router):
    for origin in ("https://evil.example", "https://console.example.evil.example", "http://console.example", "https://console.example:8443"):
        got = ask_http(router, UPGRADE + PROTOCOL + f"Origin: {origin}\r\n\r\n")
        tap.check(status(got) == b"HTTP/1.1 403 Origin Not Allowed", f"{origin}: {got!r}")


@case()
def pages_that_are_listed_may(router):
    for origin in ("https://console.example", "null"):
        open_socket(router, more=f"Origin: {origin}\r\n").close()


@case()
def a_cookie_changes_nothing(router):
    sock = open_socket(router, more="Cookie: wamp=456000; cbtid=admin\r\n")
    sock.sendall(frame(pack([1, router.realm, {"roles": {"caller": {}}, "authid": "456000", "authrole": "admin"}])))
    welcome = sock.recv(4096)
    tap.check(b"guest" in welcome and b"admin" not in welcome, repr(welcome))
    sock.close()


# ---- tricks of HTTP --------------------------------------------------------------------------------------------------

@case()
def other_upgrades_get_nothing(router):
    for to in ("h2c", "foo", "websocket2", "TLS/1.0", "HTTP/2.0", ""):
        more = "HTTP2-Settings: AAMAAABkAAQAAP__\r\n" if to == "h2c" else ""
        got = ask_http(router, UPGRADE.replace("websocket", to) + PROTOCOL + more + "\r\n")
        tap.check(b" 101 " not in got, f"{to}: {got!r}")
        tap.check(b"HTTP/2" not in got, f"{to}: {got!r}")


@case()
def connect_makes_no_tunnel(router):
    for target in ("127.0.0.1:22", f"127.0.0.1:{router.port}", "/"):
        got = ask_http(router, f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\nSSH-2.0-x\r\n")
        tap.check(b" 200 " not in got and b"SSH" not in got, repr(got))


@case()
def nothing_is_kept_alive(router):
    """An Upgrade behind an answer, on one connection: there the library would read what it has freed."""
    for second in (UPGRADE.replace("websocket", "foo") + "\r\n", UPGRADE + PROTOCOL + "\r\n", "GET / HTTP/1.1\r\nHost: r\r\n\r\n"):
        first = "GET / HTTP/1.1\r\nHost: r\r\nConnection: keep-alive\r\n\r\n"
        got = ask_http(router, first + second)
        tap.check(got.count(b"HTTP/1.") == 1 and b" 426 " in got, repr(got))
        sock = dial(router)
        sock.sendall(first.encode())
        tap.check(b" 426 " in sock.recv(4096), "426")
        send_quietly(sock, second.encode())
        tap.check(read_all(sock) == b"", "closed")
        sock.close()


@case()
def the_handler_of_http_is_no_sub_protocol(router):
    for names in ("http", "http, wamp.2.msgpack2", "", "wamp", "wamp.2.cbor"):
        got = ask_http(router, UPGRADE + f"Sec-WebSocket-Protocol: {names}\r\n\r\n")
        tap.check(b" 101 " not in got, f"{names}: {got!r}")
    got = ask_http(router, UPGRADE + "\r\n")
    tap.check(status(got) == b"HTTP/1.1 400 No Known Sub-Protocol", repr(got))


@case()
def headers_have_an_end(router):
    for more in ("X: " + "y" * 100000 + "\r\n", "".join(f"X-{n}: y\r\n" for n in range(5000)), "Sec-WebSocket-Protocol: " + "a, " * 3000 + "\r\n"):
        sock = dial(router)
        send_quietly(sock, (UPGRADE + more + PROTOCOL + "\r\n").encode())
        got = read_all(sock)
        sock.close()
        tap.check(b" 101 " not in got, f"{more[:20]}: {got!r}")


@case()
def no_second_request_hides_in_a_body(router):
    inner = UPGRADE + PROTOCOL + "\r\n"
    for head in (f"Content-Length: {len(inner)}\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                 "Content-Length: 4\r\nContent-Length: 0\r\n", "Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n"):
        for method in ("POST", "GET", "PUT", "OPTIONS", "DELETE", "PRI"):
            got = ask_http(router, f"{method} / HTTP/1.1\r\nHost: r\r\n{head}\r\n{inner}")
            tap.check(b" 101 " not in got and got.count(b"HTTP/1.") <= 1, f"{method} {head!r}: {got!r}")


@case()
def what_is_no_http_gets_nothing(router):
    for what in (b"\0" * 300, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"GET " + b"/" * 5000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 2000,
                 UPGRADE.replace("13", "8").encode() + PROTOCOL.encode() + b"\r\n",
                 UPGRADE.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "").encode() + PROTOCOL.encode() + b"\r\n",
                 frame(pack([1, REALM, {}]))):
        sock = dial(router)
        send_quietly(sock, what)
        sock.settimeout(30)
        got = read_all(sock)
        sock.close()
        tap.check(b" 101 " not in got, f"{what[:20]!r}: {got!r}")


@case()
def a_session_behind_the_upgrade_in_one_segment_works(router):
    hello = frame(pack([1, REALM, {"roles": {"caller": {}}, "authmethods": ["anonymous"]}]))
    sock = dial(router)
    sock.sendall((UPGRADE + PROTOCOL + "\r\n").encode() + hello)
    got = b""
    while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < 50:
        part = sock.recv(4096)
        tap.check(part, f"closed after {got!r}")
        got += part
    tap.check(frames(got.split(b"\r\n\r\n", 1)[1])[0][1][1] == 2, "WELCOME")
    sock.close()


# ---- pasts -----------------------------------------------------------------------------------------------------------

@tap.test
def a_router_that_remembers(net):
    net.router.stop()
    net.router = Router(net, "penalty_silence = 2s", "penalty_least = 15s", "max_connection_rate = 0")


@case(limit="penalty", log=r"event=penalised address=127\.\S+ fault=protocol")
def whoever_breaks_the_protocol_is_refused_for_a_while(router):
    source = next(ADDRESSES)
    keeps = router.session(source)
    for _ in range(2):
        sock = open_socket(router, source)
        sock.sendall(frame(b"\xc1"))
        check_abort(sock, "wamp.error.protocol_violation")
    until = time.monotonic() + 60
    while not is_refused(router, source):
        tap.check(time.monotonic() < until, "never refused")
    keeps.register("door.kept")  # what is there stays
    keeps.close()
    router.session().close()  # and others do not pay


@case(limit="penalty", log=r"event=penalised .*fault=authentication")
def whoever_cannot_prove_is_refused_for_a_while(router):
    source = next(ADDRESSES)
    for _ in range(4):
        sock = open_socket(router, source)
        sock.sendall(frame(pack([1, REALM, {"roles": {"caller": {}}, "authmethods": ["ticket"], "authid": "joe"}])))
        hear_end(sock)
    until = time.monotonic() + 60
    while not is_refused(router, source):
        tap.check(time.monotonic() < until, "never refused")


@case(limit="penalty")
def whoever_only_connects_is_refused_for_a_while(router):
    source = next(ADDRESSES)
    for _ in range(60):
        if is_refused(router, source):
            break
    router.wait_count("penalty")


# ---- storms ----------------------------------------------------------------------------------------------------------

@tap.test
def a_router_in_a_storm(net):
    net.router.stop()
    net.router = Router(net, *FREE, "max_unauthenticated = 20", "max_connection_rate = 0", "max_connections = 60", "max_message_before = 16KiB")


@case(limit="max_unauthenticated", log=r"event=turned_away limit=max_unauthenticated")
def of_many_without_a_proof_some_are_dropped(router):
    held = [connect(router) for _ in range(60)]
    router.wait_count("max_unauthenticated", 20)
    page = router.page()
    tap.check("warren_router_" in page, page)
    for one in held:
        one.close()


@case(limit="max_connections")
def all_together_have_an_end(router):
    held = []
    for _ in range(60):
        try:
            held.append(router.session())
        except (ConnectionError, ssl.SSLError):
            pass
    tap.check(len(held) >= 40, f"only {len(held)}")
    router.wait_count("max_connections")
    for one in held:
        one.close()


# ---- no descriptors --------------------------------------------------------------------------------------------------

@tap.test
def a_router_with_few_descriptors(net):
    net.router.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    net.router = Router(net, *FREE, "max_connection_rate = 0", "max_unauthenticated = 0", "handshake_timeout = 60s", files=300)


def cpu_seconds(process):
    with open(f"/proc/{process.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@case(limit="max_connections")
def without_descriptors_it_waits_in_peace(router):
    held = [connect(router) for _ in range(400)]
    router.wait_count("max_connections", 100)
    before, began = cpu_seconds(router.process), time.monotonic()
    time.sleep(2)
    share = (cpu_seconds(router.process) - before) / (time.monotonic() - began)
    tap.check(share < 0.5, f"{share:.0%} of a core while it does nothing")  # the bystander's calls are in it
    for one in held:
        one.close()
    until = time.monotonic() + 10
    while True:
        try:
            router.session().close()
            break
        except (ConnectionError, ssl.SSLError):
            tap.check(time.monotonic() < until, "no room although all left")


@tap.test
def the_router_lived_through_it(net):
    net.router.stop()


tap.main(make=False)
