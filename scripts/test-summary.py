#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases in meson's testlog.json, names what failed, or was skipped and why, and ends with one line."""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:\s*#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)


def count(test):
    """(passed, failed, skipped) of one program; a program without cases counts as one."""
    passed = failed = skipped = 0
    for line in (test.get("stdout") or "").splitlines():
        found = CASE.match(line)
        if not found:
            continue
        name = f"{test['name']}: {found.group(2)}"
        if found.group(3) and found.group(3).upper() == "SKIP":
            skipped += 1
            print(f"skipped: {name}: {found.group(4) or 'no reason given'}")
        elif found.group(1):
            failed += 1
            print(f"failed: {name}")
        else:
            passed += 1
    if test["result"] in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS") and not failed:
        failed += 1
        print(f"failed: {test['name']}: {test['result'].lower()}")
    elif not passed + failed + skipped:
        passed += test["result"] in ("OK", "EXPECTEDFAIL")
        skipped += test["result"] == "SKIP"
    return passed, failed, skipped


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as f:
        totals = [count(json.loads(line)) for line in f if line.strip()]
    passed, failed, skipped = (sum(column) for column in zip(*totals)) if totals else (0, 0, 0)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
