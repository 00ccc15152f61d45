#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The router as its operator sees it: figures, health, logs, stopping."""
import json
import shutil
import signal
import socket
import subprocess
import time

import network
import tap
from lone import REALM, figure, get, start
from network import PATIENCE, Failed
from wamp import Session

def raw(router, data):
    """What the door says to bytes of any kind, up to its close."""
    with socket.create_connection(("127.0.0.1", router.metrics), timeout=PATIENCE) as sock:
        sock.sendall(data)
        answer = b""
        try:
            while part := sock.recv(65536):
                answer += part
        except ConnectionError:
            pass
        return answer


@tap.test
def figures_and_health_are_served(net):
    router = start(net, "figures")
    tap.check(get(router, "/healthz")[::2] == (200, "ok\n"), "/healthz")
    tap.check(get(router, "/readyz")[::2] == (200, "ready\n"), "/readyz")
    tap.check(get(router, "/")[0] == 404, "/")
    tap.check(get(router, "/metrics?x=1")[0] == 200, "a query")
    status, headers, body = get(router, "/metrics", "HEAD")
    tap.check(status == 200 and body == "" and int(headers["Content-Length"]) > 1000, "HEAD")
    tap.check(headers["Connection"] == "close" and headers["Content-Type"].startswith("text/plain; version=0.0.4"), "headers")
    tap.check(get(router, "/metrics", "POST", "x" * 100)[0] == 405, "POST")


@tap.test
def figures_follow_what_happens(net):
    router = start(net, "counted")
    callee, caller = Session(router.port, "wamp.2.msgpack", REALM), Session(router.port, "wamp.2.json", REALM)
    callee.register("com.example.sum")
    caller.ask(48, {}, "com.example.sum", [1])
    callee.send([70, callee.expect(68)[1], {}, [2]])
    caller.expect(50)
    caller.ask(48, {}, "com.example.none")
    caller.expect(8)
    caller.subscribe("com.example.news")
    callee.ask(16, {"acknowledge": True}, "com.example.news", ["x"])
    callee.expect(17)
    caller.expect(36)
    wanted = {
        f'warren_router_sessions{{realm="{REALM}",role="anonymous"}}': 2,
        'warren_router_handshakes_total{result="welcomed"}': 2,
        "warren_router_calls_total": 2,
        'warren_router_call_errors_total{error="no_such_procedure"}': 1,
        "warren_router_call_duration_seconds_count": 1,
        "warren_router_events_delivered_total": 1,
        'warren_router_messages_received_total{type="CALL"}': 2,
        'warren_router_messages_sent_total{type="EVENT"}': 1,
        f'warren_router_registrations{{realm="{REALM}"}}': 1,
        f'warren_router_subscriptions{{realm="{REALM}"}}': 1,
        "warren_router_den_connected": 0,
        "warren_router_draining": 0,
    }
    for series, value in wanted.items():
        found = figure(router, series)
        tap.check(found == value, f"{series}: {found}, wanted {value}")
    for series in ("process_resident_memory_bytes", "process_open_fds", "warren_router_certificate_expiry_timestamp_seconds",
                   "warren_router_loop_turn_duration_seconds_count"):
        tap.check(figure(router, series) > 0, series)


@tap.test
def promtool_finds_nothing_to_say(net):
    if not shutil.which("promtool"):
        raise tap.Skip("no promtool: apt-get install prometheus")
    router = start(net, "linted")
    Session(router.port, "wamp.2.msgpack", REALM).register("com.example.sum")
    done = subprocess.run(["promtool", "check", "metrics"], input=get(router, "/metrics")[2], capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    tap.check(done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr)


@tap.test
def the_door_takes_nothing_but_questions(net):
    router = start(net, "door")
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: %s\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" \
              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
    hostile = [upgrade % b"websocket", upgrade % b"h2c", upgrade % b"x", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00",
               b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 5000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
               b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"]
    for data in hostile:
        answer = raw(router, data)
        tap.check(b" 101 " not in answer and answer.count(b"\r\nok\n") <= 1, f"{data[:60]!r}: {answer[:200]!r}")
    idle = [socket.create_connection(("127.0.0.1", router.metrics), timeout=PATIENCE) for _ in range(40)]
    refused = [one for one in idle[20:] if closes(one)]
    tap.check(len(refused) == 20, f"of 40 connections at once {20 - len(refused)} too many are held")
    for one in idle:
        one.settimeout(PATIENCE)
        tap.check(closes(one), "whoever asks nothing is sent away")
        one.close()
    tap.check(get(router, "/healthz")[0] == 200, "and the door is open again")


def closes(sock):
    try:
        return sock.recv(1000) == b""
    except ConnectionError:
        return True


@tap.test
def logs_are_json_on_request(net):
    router = start(net, "logged", "log_format = json\nstun_other_port = 0\n")  # the default one may be another router's
    Session(router.port, "wamp.2.json", REALM).close()
    router.wait_line(router.err, r'"event":"left"')
    router.stop()
    lines = [json.loads(line) for line in router.err]
    tap.check([line["event"] for line in lines][:4] == ["listening", "listening_stun", "listening_metrics", "joined"], str(lines))
    tap.check(all(isinstance(value, str) for line in lines for value in line.values()), "values are strings")
    tap.check(lines[3]["realm"] == REALM and lines[3]["program"] == "warren-router", str(lines[3]))


@tap.test
def sigterm_lets_calls_in_flight_finish(net):
    router = start(net, "drained")
    callee, caller, idle = (Session(router.port, name, REALM) for name in ("wamp.2.msgpack", "wamp.2.json", "wamp.2.json"))
    callee.register("com.example.slow")
    caller.ask(48, {}, "com.example.slow", [1])
    invocation = callee.expect(68)[1]
    router.process.send_signal(signal.SIGTERM)
    goodbye = idle.expect(6)
    tap.check(goodbye[2] == "wamp.close.system_shutdown" and goodbye[1]["message"] == "the router is stopping", str(goodbye))
    tap.check(1000 <= goodbye[1]["_warren_retry_after"] <= 7000, str(goodbye))
    tap.check(get(router, "/readyz")[::2] == (503, "not ready: the router is stopping\n"), "/readyz")
    tap.check(get(router, "/healthz")[0] == 200, "/healthz")
    caller.ask(48, {}, "com.example.slow", [2])
    tap.check(caller.expect(8)[4] == "wamp.error.unavailable", "a new call")
    try:
        Session(router.port, "wamp.2.json", REALM)
        raise AssertionError("a new session was opened")
    except Failed as e:
        tap.check_in("wamp.close.system_shutdown", str(e))
        tap.check_in("_warren_retry_after", str(e))
    callee.send([70, invocation, {}, [42]])
    tap.check(caller.expect(50)[3] == [42], "the call in flight")
    tap.check(caller.expect(6)[2] == callee.expect(6)[2] == "wamp.close.system_shutdown", "GOODBYE after it")
    tap.check(router.wait() == 0, "exit status")


@tap.test
def patience_ends_when_it_is_configured_to(net):
    router = start(net, "impatient", "drain_timeout = 500ms\n")
    callee, caller = (Session(router.port, "wamp.2.msgpack", REALM) for _ in range(2))
    callee.register("com.example.never")
    caller.ask(48, {}, "com.example.never")
    callee.expect(68)
    router.process.send_signal(signal.SIGTERM)
    tap.check(caller.expect(8)[4] == "wamp.error.canceled", "the call")
    caller.expect(6)
    tap.check(router.wait() == 0, "exit status")


@tap.test
def a_second_signal_ends_at_once(net):
    router = start(net, "hasty", "drain_timeout = 1h\n")
    callee, caller = (Session(router.port, "wamp.2.msgpack", REALM) for _ in range(2))
    callee.register("com.example.never")
    caller.ask(48, {}, "com.example.never")
    callee.expect(68)
    router.process.send_signal(signal.SIGTERM)
    router.wait_line(router.err, r"event=stopping")
    router.process.send_signal(signal.SIGINT)
    tap.check(router.wait() == 0, "exit status")


@tap.test
def closed_standard_streams_are_no_harm(net):
    """What the router opens does not take their numbers, so that its log goes into nothing else."""
    router = start(net, "closed")
    router.stop()
    argv = network.watched([net.program("warren-router"), "--config", f"{router.home}/router.conf"])
    closed = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv])
    until = time.monotonic() + PATIENCE
    status = None
    while status is None:
        try:
            status = get(router, "/readyz")[0]
        except ConnectionError as e:
            if time.monotonic() > until or closed.poll() is not None:
                raise Failed("it does not answer") from e
            time.sleep(0.05)
    tap.check(status == 200, "/readyz")
    closed.send_signal(signal.SIGTERM)
    status = closed.wait(PATIENCE)
    tap.check(status == 0, f"ended with {status}")


if __name__ == "__main__":
    network.Network.make = network.Network.init
    tap.main(name="ops.test")
