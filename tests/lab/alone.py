# SPDX-License-Identifier: Apache-2.0
"""Runs a test of the laboratory in namespaces of its own: whatever happens to it, nothing of it stays, and tests beside it see none of it."""
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import labnet  # noqa: E402

INSIDE = "WARREN_ALONE_IN_A_LAB"


def skip(why):
    print(f"1..1\nok 1 a_laboratory # SKIP {why}")
    sys.exit(0)


def enter():
    """Starts this program again inside; comes back in there alone."""
    if os.environ.get(INSIDE):
        # The first process of a namespace ignores what it has no handler for, and unshare ignores it in any case.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        return
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] + \
              ([] if os.getuid() == 0 else ["--user", "--map-root-user"])
    trial = "mount -t tmpfs tmpfs /run && ip link add x0 type veth peer name x1"
    done = subprocess.run([*unshare, "sh", "-c", trial], capture_output=True, text=True, check=False) if shutil.which("unshare") else None
    if done is None or done.returncode != 0:
        skip("no network namespaces here: " + (done.stderr.strip().replace("\n", "; ") if done else "unshare (util-linux) is not installed"))
    if os.getuid() == 0:
        try:
            labnet.needs()
        except labnet.LabError as e:
            skip(f"{e}: {e.remedy}")
    elif not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        skip("/dev/net/tun may not be opened by this user")
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]])
