#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases in meson's JUnit file, names what failed or was skipped and why, and ends with one line."""
import sys
import xml.etree.ElementTree as tree


def main():
    passed = failed = skipped = 0
    for suite in tree.parse(sys.argv[1]).getroot().iter("testsuite"):
        cases = list(suite.iter("testcase"))
        for case in cases:
            name = f"{suite.get('name')} {case.get('name')}"
            if case.find("skipped") is not None:
                skipped += 1
                text = case.find("skipped").get("message") or case.find("skipped").text or "no reason given"
                print(f"skipped: {name}: {text}")
            elif case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                print(f"failed: {name}")
            else:
                passed += 1
        # A program that died outside of its cases counts as one failure.
        wrong = int(suite.get("failures") or 0) + int(suite.get("errors") or 0)
        if wrong and not any(c.find("failure") is not None or c.find("error") is not None for c in cases):
            failed += 1
            print(f"failed: {suite.get('name')}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
