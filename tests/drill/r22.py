#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""every parser is fuzzed for a minute, and its lines are covered"""
# R22_SECONDS: of each harness (60). R22_JOBS: how many run at once (one for each core).
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drill import Drill
from network import ROOT

SECONDS = int(os.environ.get("R22_SECONDS", "60"))
JOBS = int(os.environ.get("R22_JOBS", os.cpu_count()))
TREE = os.path.join(ROOT, "build-check-fuzz")
TARGETS = {  # what reads bytes from somebody else, and the harnesses that feed it
    "WebSocket frames": ["frames"], "WAMP messages, msgpack": ["message"], "JSON": ["json"], "batches": ["batch"], "URIs and patterns": ["uri"],
    "the router's session and handshake": ["session", "handshake"], "the client": ["client"],
    "signed statements": ["statement"], "join strings": ["join"], "what is given for TURN": ["turn"], "router.conf, realms.conf": ["config"], "policy.yaml": ["policy"],
    "requests for certificates": ["csr"], "certificates and their profile": ["cert"], "revocation lists": ["crl"], "OCSP requests": ["ocsp"],
    "the ways that the other side names": ["candidate"], "a link's control frames": ["control"], "what is known of a network, on disk": ["trust"],
    "backups": ["archive"], "audit entries": ["audit"], "what the signer is asked": ["vault"],
    "what comes to the relay": ["relay"], "STUN requests": ["stun"],
}
drill = Drill("R22", "parsers")


def quiet(*argv, **more):
    """What it says is shown when it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"{done.stdout[-4000:]}\n{' '.join(argv[:4])}: {done.returncode}")
    return done.stdout


def built():
    """The harnesses alone, not the whole tree."""
    if not os.path.exists(os.path.join(TREE, "build.ninja")):
        quiet("meson", "setup", TREE, "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", cwd=ROOT, env={**os.environ, "CC": "clang"})
    quiet("ninja", "-C", TREE, "build.ninja")  # a harness that came since
    wanted = re.findall(r"^(tests/fuzz/\w+_fuzz):", quiet("ninja", "-C", TREE, "-t", "targets", "all"), re.M)
    quiet("ninja", "-C", TREE, "-j", str(JOBS), *wanted)
    return {os.path.basename(path)[:-len("_fuzz")]: path for path in (os.path.join(TREE, name) for name in wanted)}


def fuzz(name, program):
    """(inputs, what it said when it found something)"""
    corpus, crashes = tempfile.mkdtemp(prefix="fuzz-"), tempfile.mkdtemp(prefix="crash-")
    done = subprocess.run([program, f"-max_total_time={SECONDS}", "-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1", "-verbosity=0",
                           f"-artifact_prefix={crashes}/", corpus, os.path.join(ROOT, "tests/fuzz/corpus", name)],
                          capture_output=True, text=True, errors="replace")
    shutil.rmtree(corpus)
    found = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode == 0:
        shutil.rmtree(crashes)
        return int(found.group(1)), None
    return 0, f"{done.stderr[-2000:]} (input in {crashes})"


def main():
    programs = built()
    missing = [name for names in TARGETS.values() for name in names if name not in programs]
    others = sorted(set(programs) - {name for names in TARGETS.values() for name in names})
    drill.require("each harness is one of a parser that is named here", not others, str(others) if others else "yes")
    drill.require("there is a harness for each parser", not missing, str(missing) if missing else f"{len(programs)} harnesses, {JOBS} at once")
    total = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        runs = {name: pool.submit(fuzz, name, program) for name, program in sorted(programs.items())}
        for what, names in [*TARGETS.items(), ("not named", others)]:
            for name in (name for name in names if name in runs):
                n, found = runs[name].result()
                total += n
                drill.require(f"{what} ({name}), {SECONDS} s", found is None, found or f"{n} inputs, nothing found")
    drill.say(f"{total} inputs together; {100_000_000 / max(total, 1) * SECONDS / 60:.0f} minutes of each harness are 100 million")
    done = subprocess.run(["./scripts/check", "coverage"], cwd=ROOT, capture_output=True, text=True)
    said = (done.stdout + done.stderr).splitlines()
    failed = [line.strip() for line in said if re.search(r" (FAIL|TIMEOUT|ERROR|INTERRUPT) ", line)]
    together = [line.strip() for line in said if "together" in line]
    drill.require("lines of the parsers that tests and corpora run", done.returncode == 0,
                  together[0] if together else f"unit tests failed: {'; '.join(failed)}" if failed else "\n".join(said[-10:]))
    drill.end()


main()
