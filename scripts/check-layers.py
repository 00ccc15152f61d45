#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks every #include of the tree against scripts/layers.txt. Prints what is wrong, a line each."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def read_layers():
    parts, doors, libs = {}, {}, []
    with open(os.path.join(ROOT, "scripts/layers.txt"), encoding="ascii") as f:
        for number, line in enumerate(f, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            kind, rest = words[0], words[1:]
            if kind == "part":
                parts[rest[0].rstrip(":")] = rest[1:]
            elif kind == "door":
                doors[rest[0]] = rest[1:]
            elif kind == "lib":
                at = rest.index(":")
                libs.append((rest[:at], rest[at + 1:]))
            else:
                sys.exit(f"layers.txt:{number}: expected part, door or lib")
    return parts, doors, libs


def part_of(path, parts):
    """The longest part that the path lies in; None outside of all."""
    best = None
    for part in parts:
        if path.startswith(part + "/") and (best is None or len(part) > len(best)):
            best = part
    return best


def resolve(path, name, parts):
    """An include in quotes as a path from the root."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    for candidate in (beside, name, "peer/include/" + name):
        if os.path.exists(os.path.join(ROOT, candidate)):
            return candidate
    return name


def check_foreign(path, name, libs):
    for prefixes, places in libs:
        for prefix in prefixes:
            if name != prefix and not (prefix.endswith("/") and name.startswith(prefix)):
                continue
            if any(path == place or path.startswith(place + "/") for place in places):
                return None
            if prefix == "openssl/" and name == "openssl/ssl.h":
                continue
            return f"<{name}> belongs to {' '.join(places)}"
    return None


def check_own(path, target, parts, doors):
    here, there = part_of(path, parts), part_of(target, parts)
    if here is None or there is None or here == there:
        return None
    if there not in parts[here]:
        return f"{here} may not use {there} ({target})"
    if there in doors and target not in doors[there]:
        return f"{target} is not the door of {there}: include {' or '.join(doors[there])}"
    return None


def main():
    parts, doors, libs = read_layers()
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    n_wrong = 0
    for path in files:
        if path.startswith("tests/") or not os.path.exists(os.path.join(ROOT, path)):
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                found = INCLUDE.match(line)
                if not found:
                    continue
                if found.group(1) == "<":
                    why = check_foreign(path, found.group(2), libs)
                else:
                    why = check_own(path, resolve(path, found.group(2), parts), parts, doors)
                if why:
                    print(f"{path}:{number}: {why}")
                    n_wrong += 1
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
