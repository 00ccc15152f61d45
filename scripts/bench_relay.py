# SPDX-License-Identifier: Apache-2.0
"""The router's relay, on loopback: what goes through one router, and what its calls come to meanwhile."""
import shutil
import statistics
import tempfile

from bench_router import Load, Warren

ROUNDS = 3
SECONDS = 4
RELAY_LIMITS = {"max_relay_session_rate": 0, "max_relay_peer_rate": 0}


def relay(warren, program, seconds):
    words = [f"port={warren.net.port}", f"seconds={seconds}", f"router={warren.process.pid}"]
    return Load([program("relay_load"), warren.net.path("den"), *words])


def one_round(warren, program):
    alone = relay(warren, program, SECONDS).result()
    calls = warren.calls(64)
    load = relay(warren, program, SECONDS * 4)  # longer than the calls
    meanwhile = warren.calls(64)
    load.stop()
    return {"mbit": alone["mbit"], "mbit_a_core": alone["mbit_a_core"], "calls": calls["value"], "meanwhile": meanwhile["value"]}


def figures(build, program):
    folder = tempfile.mkdtemp(prefix="warren-bench-")
    warren = Warren(program, build, folder, more=RELAY_LIMITS)
    try:
        rounds = [one_round(warren, program) for _ in range(ROUNDS)]
    finally:
        warren.close()
        shutil.rmtree(folder, ignore_errors=True)
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    yield {"suite": "reach", "figure": "relay", "unit": "Mbit/s", "value": found["mbit"],
           "beside": {"of a second of the router's CPU": found["mbit_a_core"]}}
    yield {"suite": "reach", "figure": "relay_calls_64", "unit": "1/s", "value": found["meanwhile"],
           "beside": {"without the relay's load": found["calls"]}}
