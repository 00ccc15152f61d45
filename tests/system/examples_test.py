#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/, and the Python binding, between two machines."""
import os
import select
import socket
import subprocess
import sys
import threading

import tap
from network import PATIENCE, ROOT, Failed, free_port

os.environ["WARREN_LIBPEER"] = os.path.join(os.path.abspath(tap.build_dir()), "peer", "libpeer.so.0")
sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))


def example(net, name, program, *words, **more):
    return net.start(name, [os.path.join(net.build, "examples", "example-" + program), net.path(name), *map(str, words)], **more)


@tap.test
def two_machines(net):
    net.join("alice")
    net.join("bob")
    net.allow(f"allow from {net.ids['alice']} to {net.ids['bob']} can echo,tunnel,view,control,chat")


@tap.test
def echo_with_poll(net):
    bob = example(net, "bob", "echo")
    bob.wait_line(bob.err, "ready")
    data = os.urandom(2_000_000)
    done = subprocess.run([os.path.join(net.build, "examples", "example-echo"), net.path("alice"), net.ids["bob"]], input=data,
                          capture_output=True, timeout=PATIENCE, check=False)
    tap.check(done.returncode == 0 and done.stdout == data, (done.returncode, len(done.stdout), done.stderr))
    bob.wait_line(bob.err, f"{net.ids['alice']} calls")
    bob.kill()


@tap.test
def a_tunnel_with_libuv(net):
    listener = socket.create_server(("127.0.0.1", 0))
    near = free_port()
    bob = example(net, "bob", "tunnel", listener.getsockname()[1])
    bob.wait_line(bob.err, "ready")

    def serve():
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    alice = example(net, "alice", "tunnel", near, net.ids["bob"])
    alice.wait_line(alice.err, "linked")
    data = os.urandom(3_000_000)
    with socket.create_connection(("127.0.0.1", near), timeout=PATIENCE) as s:
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        while part := s.recv(65536):
            got += part
        sender.join()
    tap.check(bytes(got) == data, f"{len(got)} bytes")
    alice.kill()
    bob.kill()


@tap.test
def a_screen_with_glib(net):
    bob = example(net, "bob", "screen")
    bob.wait_line(bob.err, "ready")
    alice = example(net, "alice", "screen", net.ids["bob"])
    alice.wait_line(alice.out, r"^\.{20}@\.{19}$")
    alice.write("llll")
    alice.wait_line(alice.out, r"^\.{24}@\.{15}$")
    alice.write("q")
    tap.check(alice.wait() == 0, "alice's exit status")
    bob.kill()


def until(peers, is_so, handle):
    while not is_so():
        if not select.select(list(peers), [], [], PATIENCE)[0]:
            raise Failed("nothing came")
        for peer in peers:
            while event := peer.next_event(0):
                handle(peer, event)


@tap.test
def python_with_ctypes_alone(net):
    tap.skip_if_sanitized(os.environ["WARREN_LIBPEER"])
    import warren
    seen, state = [], {"got": bytearray(), "grams": [], "sas": {}}
    data = os.urandom(1_000_000)
    with warren.Peer(net.path("alice"), allow_loopback=True) as alice, warren.Peer(net.path("bob"), capabilities=["echo"], allow_loopback=True) as bob:
        def handle(peer, event):
            seen.append((peer is alice, event.name))
            if event.type == warren.FAILED:
                raise Failed(event.error)
            if event.type == warren.INCOMING:
                tap.check(event.remote_id == net.ids["alice"] and event.capabilities == ["echo"], "who calls")
                event.link.accept()
            if event.type == warren.LINK_UP and peer is alice:
                state["up"] = event.link
            if event.type == warren.STREAM:
                tap.check((event.capability, event.argument) == ("echo", "from python"), "its header")
                state["socket"] = event.stream.socket()  # bob echoes through a plain socket
                threading.Thread(target=echo, args=(state["socket"],), daemon=True).start()
            if event.type in (warren.READABLE, warren.WRITABLE, warren.STREAM_CLOSED) and peer is alice:
                while part := event.stream.read():
                    state["got"] += part
                send(event.stream)
                state["closed"] = event.type == warren.STREAM_CLOSED
            if event.type == warren.DATAGRAM:
                state["grams"].append(event.data)
            if event.type == warren.SAS:
                state["sas"][peer] = event.code
            if event.type == warren.LINK_DOWN:
                state["down"] = state.get("down", 0) + 1

        def send(stream):
            while state["sent"] < len(data) and (n := stream.write(data[state["sent"]:state["sent"] + 65536])):
                state["sent"] += n
            if state["sent"] == len(data):
                stream.finish()

        def echo(s):
            with s:
                while part := s.recv(65536):
                    s.sendall(part)

        both = (alice, bob)
        until(both, lambda: {(True, "JOINED"), (False, "JOINED")} <= set(seen), handle)
        tap.check(alice.identity()["id"] == net.ids["alice"], alice.identity())
        link = alice.dial(net.ids["bob"], ["echo"])
        until(both, lambda: "up" in state and (False, "LINK_UP") in seen, handle)
        tap.check(state["up"] is link, "another link")
        facts = link.facts()
        tap.check(facts["verified_name"].startswith(net.ids["bob"]) and facts["tls_version"] == "TLS1.3" and facts["datagram_max"] > 1000, facts)
        link.ask_sas()
        link.send_datagram(b"frame")
        state["sent"] = 0
        stream = link.open("echo", "from python")
        stream.set_urgency(1)
        send(stream)
        until(both, lambda: state.get("closed"), handle)
        tap.check(bytes(state["got"]) == data, len(state["got"]))
        until(both, lambda: len(state["sas"]) == 2, handle)
        tap.check(len(set(state["sas"].values())) == 1, state["sas"])
        tap.check(state["grams"] in ([b"frame"], []), state["grams"])  # datagrams may get lost
        link.close()
        until(both, lambda: state.get("down") == 2, handle)
        for bad in (lambda: link.open("echo"), lambda: stream.write(b"x")):
            alice.next_event(0)
            try:
                bad()
                raise Failed("a handle that is over was taken")
            except ValueError:
                pass
        try:
            alice.dial("12", ["echo"])
            raise Failed("a bad ID was dialled")
        except warren.Error as e:
            tap.check(e.name == "invalid_argument", e)


@tap.test
def the_binding_has_the_headers_events(net):
    tap.skip_if_sanitized(os.environ["WARREN_LIBPEER"])
    import re
    import warren
    with open(os.path.join(ROOT, "peer/include/peer.h"), encoding="utf-8") as header:
        names = re.findall(r"PEER_EVENT_([A-Z_]+)", header.read().split("enum peer_event_type {")[1].split("};")[0])
    tap.check(names == warren._EVENTS, (names, warren._EVENTS))


def kept_layouts():
    """{struct: (bits, {member: its offset in bits})}, as they were kept for the ABI's test."""
    import xml.etree.ElementTree
    found = {}
    for struct in xml.etree.ElementTree.parse(os.path.join(ROOT, "tests/abi/libpeer.abi")).iter("class-decl"):
        members = {member.find("var-decl").get("name"): int(member.get("layout-offset-in-bits")) for member in struct.findall("data-member")}
        if members:
            found[struct.get("name")] = (int(struct.get("size-in-bits")), members)
    return found


@tap.test
def the_binding_has_the_headers_structs(net):
    tap.skip_if_sanitized(os.environ["WARREN_LIBPEER"])
    import ctypes
    import warren
    layouts = kept_layouts()
    for name in ("error", "config", "identity", "event", "link_facts", "stream_facts"):
        ours = getattr(warren, "_" + name.title().replace("_", ""))
        bits, members = layouts["peer_" + name]
        for member in [field[0] for field in ours._fields_ if field[0] != "_later"]:
            tap.check(getattr(ours, member).offset * 8 == members.get(member), f"{name}.{member}: {getattr(ours, member).offset * 8} bits, {members.get(member)} in the library")
        tap.check("size" in members or ctypes.sizeof(ours) * 8 >= bits, f"{name}: the library writes past its end")


@tap.test
def each_example_can_be_read_at_once(net):
    folder = os.path.join(ROOT, "examples")
    programs = [name for name in os.listdir(folder) if name.endswith(".c")]
    tap.check(len(programs) >= 3, programs)
    for name in programs:
        with open(os.path.join(folder, name), encoding="utf-8") as program:
            lines = program.read().splitlines()
        tap.check(len(lines) < 200, f"{name}: {len(lines)} lines")
        tap.check("#include <peer.h>" in lines and not any(line.startswith('#include "') for line in lines), f"{name}: more than the public header")


tap.main()
