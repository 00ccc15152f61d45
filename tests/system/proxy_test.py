#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS ends at nginx or haproxy, before the router: peers bind netsign to the certificate that they saw, and to nothing weaker."""
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import time

import tap
from network import Failed, PATIENCE, free_port, run
from websocket import TEXT, Client

NGINX = """daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate {pem};
    ssl_certificate_key {key};
    location / {{
      proxy_pass http://127.0.0.1:{plain};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header Host $host;
      proxy_read_timeout 60s;
    }}
  }}
}}
"""
HAPROXY = """global
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend warren
  bind 127.0.0.1:{port} ssl crt {both}
  default_backend router
backend router
  server router 127.0.0.1:{plain}
"""
STATE = {}


def hash_of(pem):
    """SHA-256 of the first certificate's DER."""
    with open(pem, encoding="ascii") as f:
        first = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", f.read(), re.S).group()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


def certificates(net):
    """The router's own; and a stranger's, whatever name it has."""
    own = net.path("router/tls.pem"), net.path("router/tls.key")
    other = net.path("other.pem"), net.path("other.key")
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other",
         "-addext", f"subjectAltName=DNS:router.{net.name}", "-out", other[0], "-keyout", other[1]])
    return own, other


def configure(net, *lines):
    with open(net.path("router/router.conf"), encoding="ascii") as f:
        text = re.sub(r"(?m)^(listen_plain|proxy_certificates|forwarded_for|max_per_address|unlimited_networks) = .*\n", "", f.read())
    with open(net.path("router/router.conf"), "w", encoding="ascii") as f:
        f.write(text.rstrip("\n") + "\n" + "".join(line + "\n" for line in lines))


def start_router(net):
    net.start_router()
    net.router.wait_line(net.router.err, "event=listening_plain")


def start(net):
    """Router, den and the proxies; once. The proxies' ports by name, "wrong" is nginx with the stranger's certificate."""
    if "ports" in STATE:
        return STATE["ports"]
    net.init()
    own, other = certificates(net)
    plain = free_port()
    configure(net, f"listen_plain = 127.0.0.1:{plain}", f"proxy_certificates = {'00' * 32} {hash_of(own[0])}")
    start_router(net)
    net.start_den()
    ports = {"nginx": proxy(net, "nginx", own, plain), "haproxy": proxy(net, "haproxy", own, plain),
             "wrong": proxy(net, "nginx", other, plain, "wrong")}
    STATE.update(ports=ports, plain=plain, own=own)
    return ports


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise tap.Skip(f"{name} is not installed")
    return path


def proxy(net, kind, pair, plain, name=None):
    """Starts one, as whoever we are; returns its port, or None where the program is not installed."""
    try:
        binary = program(kind)
    except tap.Skip:
        return None
    folder, port = net.path(name or kind), free_port()
    os.makedirs(folder)
    both = os.path.join(folder, "both.pem")
    with open(os.open(both, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as to:
        for path in pair:
            with open(path, encoding="ascii") as f:
                to.write(f.read())
    conf = os.path.join(folder, "conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write((NGINX if kind == "nginx" else HAPROXY).format(folder=folder, port=port, plain=plain, pem=pair[0], key=pair[1],
                                                              both=both))
    argv = [binary, "-c", conf, "-p", folder] if kind == "nginx" else [binary, "-db", "-f", conf]
    STATE[name or kind] = process = net.start(name or kind, argv)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
        time.sleep(0.05)
    raise Failed(f"{kind} does not listen: {process.err[-5:]}")


def through(net, port):
    """A join string whose host is the proxy."""
    return net.token().replace(f"//{net.host}:{net.port}/", f"//{net.host}:{port}/")


def chats(net, caller, callee):
    """A line each way between two peers that have joined."""
    net.allow(f"allow from {net.ids[caller]} to {net.ids[callee]} can chat")
    waits = net.wait_chat(callee)
    dials = net.dial_chat(caller, callee)
    waits.wait_err(r"accept\? \[y/N\]")
    waits.write("y\n")
    dials.write("over the proxy\n")
    waits.wait_line(waits.out, "over the proxy")
    waits.write("and back\n")
    dials.wait_line(dials.out, "and back")
    dials.stop()
    waits.stop()


def joins_and_chats(net, kind):
    port, name = start(net)[kind], f"by-{kind}"
    program(kind)
    if "bob" not in net.ids:
        net.join("bob")  # direct
    seen = len(net.router.err)
    run(net.warren(name, "join"), input=through(net, port) + "\n")
    net.ids[name] = net.identity(name)["id"]
    refused = net.router.wait_line(net.router.err, "event=refused", seen)
    tap.check_in("reason=network.error.wrong_binding", refused)  # the exporter was offered first
    tap.check_in(f"id={net.ids[name]}", net.router.wait_line(net.router.err, "event=joined", seen))
    chats(net, name, "bob")  # a new process: now the proxy's certificate is judged too
    chats(net, "bob", name)


@tap.test
def through_nginx_a_peer_joins_and_chats_with_one_that_is_direct(net):
    joins_and_chats(net, "nginx")


@tap.test
def through_haproxy_a_peer_joins_and_chats_with_one_that_is_direct(net):
    joins_and_chats(net, "haproxy")


@tap.test
def another_certificate_is_refused_and_named(net):
    """Who joins takes any certificate, and it is netsign that refuses; who has joined does not even get so far."""
    port = start(net)["wrong"]
    program("nginx")
    seen = len(net.router.err)
    done = run(net.warren("carol", "join", "--timeout", "5"), wanted=1, input=through(net, port) + "\n")
    shown = hash_of(net.path("other.pem"))
    for text in (done.stderr, net.router.wait_line(net.router.err, "reason=network.error.bad_certificate", seen)):
        tap.check_in(f"the router's proxy_certificates do not list {shown}", text)
    tap.check_in("bad_certificate", done.stderr)
    tap.check(not any("event=joined" in line for line in net.router.err[seen:]), "it came in")


@tap.test
def a_peer_that_has_joined_refuses_the_certificate_itself(net):
    port = start(net)["wrong"]
    program("nginx")
    if "bob" not in net.ids:
        net.join("bob")
    state = net.path("bobs")
    shutil.copytree(net.path("bob"), state)
    with open(os.path.join(state, "network"), encoding="ascii") as f:
        text = f.read()
    with open(os.path.join(state, "network"), "w", encoding="ascii") as f:
        f.write(text.replace(f":{net.port}/", f":{port}/"))
    seen = len(net.router.err)
    process = net.start("bobs", [net.program("warren"), "--state", state, "chat", "--loopback"])
    process.wait_err("is self-signed|not issued by")
    process.stop()
    tap.check(not any("event=joined" in line or "event=refused" in line for line in net.router.err[seen:]), "it said HELLO")


@tap.test
def where_tls_ends_at_the_router_no_certificate_is_bound(net):
    """A peer that was told of a proxy by a liar: the router takes the exporter alone on its own listener, and it comes back to that."""
    start(net)
    seen = len(net.router.err)
    net.join("dora")
    tap.check(not any("wrong_binding" in line for line in net.router.err[seen:]), "the exporter was not what was offered first")


@tap.test
def who_connects_is_whom_the_proxy_names(net):
    """forwarded_for: what the proxy wrote last counts, in the log and against the limit for one address."""
    start(net)
    net.router.process.send_signal(signal.SIGTERM)
    net.router.wait()
    configure(net, f"listen_plain = 127.0.0.1:{STATE['plain']}", "forwarded_for = yes", "max_per_address = 2")
    start_router(net)
    held = []
    for said, address in (("198.51.100.1, 203.0.113.7", "203.0.113.7"), ("203.0.113.7, 2001:db8::9", "2001:db8::9"), ("liar", "127.0.0.1")):
        seen = len(net.router.err)
        client = Client(STATE["plain"], protocol="wamp.2.json", headers=f"X-Forwarded-For: {said}\r\n")
        client.send(TEXT, b"[99]")
        tap.check_in(f"address={address} ", net.router.wait_line(net.router.err, "event=refused", seen))
        client.close()
    for number in range(3):
        held.append(Client(STATE["plain"], protocol="wamp.2.json", headers="X-Forwarded-For: 203.0.113.99\r\n"))
        tap.check_in(" 429 " if number == 2 else " 101 ", held[-1].answer)
    held.append(Client(STATE["plain"], protocol="wamp.2.json", headers="X-Forwarded-For: 203.0.113.98\r\n"))
    tap.check_in(" 101 ", held[-1].answer)
    for client in held:
        client.close()


@tap.test
def den_itself_may_come_through(net):
    ports = start(net)
    kind = "nginx" if ports["nginx"] else "haproxy"
    program(kind)
    net.den.process.send_signal(signal.SIGTERM)
    net.den.wait()
    net.router.process.send_signal(signal.SIGTERM)
    net.router.wait()
    configure(net, f"listen_plain = 127.0.0.1:{STATE['plain']}", f"proxy_certificates = {hash_of(STATE['own'][0])}")
    start_router(net)
    with open(net.path("den/den.conf"), encoding="ascii") as f:
        text = re.sub(r"(?m)^router = .*$", f"router = 127.0.0.1:{ports[kind]}", f.read())
    with open(net.path("den/den.conf"), "w", encoding="ascii") as f:
        f.write(text)
    net.start_den()


@tap.test
def without_a_list_nobody_comes_through(net):
    ports = start(net)
    kind = "nginx" if ports["nginx"] else "haproxy"
    program(kind)
    net.router.process.send_signal(signal.SIGTERM)
    net.router.wait()
    configure(net, f"listen_plain = 127.0.0.1:{STATE['plain']}")
    start_router(net)
    done = run(net.warren("erin", "join", "--timeout", "5"), wanted=1, input=through(net, ports[kind]) + "\n")
    tap.check_in("wrong_binding", done.stderr)
    tap.check_in("the router has no proxy_certificates", done.stderr)


tap.main(name="proxy.warren", make=False)
