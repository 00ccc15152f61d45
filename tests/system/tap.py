# SPDX-License-Identifier: Apache-2.0
"""The frame of the system tests: functions marked with @test, run in order on one network, printed as TAP."""
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from network import Failed, Network, found  # noqa: E402

TESTS = []


class Skip(Exception):
    """Why a test cannot run here."""


def test(function):
    TESTS.append(function)
    return function


def check(condition, what):
    if not condition:
        raise Failed(what)


def check_in(part, whole):
    check(part in whole, f"no {part!r} in:\n{whole}")


def skip_if_sanitized(library):
    if "__asan_" in subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout:
        raise Skip("this library was built for a sanitizer, whose run-time an ordinary program does not have")


def build_dir():
    return os.environ.get("WARREN_BUILD", "build")


def main(name="test.warren", host="127.0.0.1", make=True):
    """Runs every test with a network of its own that all of them share; exit status 1 when one failed. `make` may be a
    function that makes the network otherwise."""
    folder = tempfile.mkdtemp(prefix="warren-system-")
    net = Network(build_dir(), folder, name=name, host=host)
    n_failed = 0
    print(f"1..{len(TESTS)}", flush=True)
    try:
        if callable(make):
            make(net)
        elif make:
            net.make()
        for number, function in enumerate(TESTS, 1):
            label = f"{number} {function.__name__}"
            try:
                function(net)
                print(f"ok {label}", flush=True)
            except Skip as e:
                print(f"ok {label} # SKIP {e}", flush=True)
            except (Failed, AssertionError, subprocess.TimeoutExpired, OSError, KeyError, ValueError, AttributeError) as e:
                n_failed += 1
                for line in (traceback.format_exc() + str(e)).splitlines():
                    print(f"# {line}")
                for process in net.processes[-6:]:
                    for line in process.err[-12:]:
                        print(f"#   [{process.name}] {line}")
                print(f"not ok {label}", flush=True)
    except Failed as e:
        print(f"Bail out! {e}", flush=True)
        n_failed += 1
    finally:
        net.close()
        for line in found():
            n_failed += 1
            print(f"# {line}")
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if n_failed else 0)
