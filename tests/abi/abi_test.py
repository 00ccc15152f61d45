#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What libpeer promises to programs that were built with it: the functions of peer.h and no others, each with a manual page; and the binary interface
that was kept in libpeer.abi. `abi_test.py --keep` writes that file anew, once a change of it is meant."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("WARREN_BUILD", "build"))
KEPT = os.path.join(ROOT, "tests/abi/libpeer.abi")
LIBRARY = "peer/libpeer.so"
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def of_header():
    text = re.sub(r"/\*.*?\*/", "", read(os.path.join(ROOT, "peer/include/peer.h")), flags=re.S)
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    return set(re.findall(r"PEER_API[^;(]*?\b(peer_\w+)\s*\(", text))


def of_map():
    return set(re.findall(r"^\s*(peer_\w+);", read(os.path.join(ROOT, "peer/libpeer.map")), flags=re.M))


def of_library():
    done = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, LIBRARY)], capture_output=True, text=True, check=True)
    names = {line.split()[2].split("@")[0] for line in done.stdout.splitlines() if line.split()[1] in "TDBRVWi"}
    return names - {"PEER_0"}


def same(what, a, b):
    assert a == b, f"{what}: {sorted(a ^ b)}"


@test
def the_header_the_map_and_the_library_say_the_same():
    assert len(of_header()) > 50, "the header was not read"
    same("in one of peer.h and libpeer.map alone", of_header(), of_map())
    same("in one of libpeer.map and the library alone", of_map(), of_library())


@test
def every_function_is_in_the_manual():
    page = read(os.path.join(ROOT, "peer/libpeer.3"))
    shown = set(re.findall(r"^\.F[no] (peer_\w+)", page, flags=re.M))
    assert of_header() <= shown, f"not in the synopsis of libpeer.3: {sorted(of_header() - shown)}"
    assert shown <= of_header(), f"in libpeer.3, and nowhere else: {sorted(shown - of_header())}"


@test
def every_function_has_a_page_of_its_name():
    lacking = [name for name in sorted(of_header()) if not os.path.exists(os.path.join(BUILD, "peer", name + ".3"))]
    assert not lacking, f"no page: {lacking}"
    if not shutil.which("mandoc"):
        return
    done = subprocess.run(["mandoc", "-T", "utf8", "-I", "os=x", os.path.join(ROOT, "peer/libpeer.3")], capture_output=True, text=True, check=True)
    assert "peer_dial" in done.stdout


@test
def the_header_is_a_page():
    page = os.path.join(BUILD, "peer/peer.h.3")
    if not shutil.which("mandoc"):
        raise Skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "utf8", "-W", "warning,stop", "-I", "os=x", page], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [line.strip() for line in re.sub(".\b", "", done.stdout).splitlines()]
    lacking = [line for line in read(os.path.join(ROOT, "peer/include/peer.h")).splitlines() if line.strip() not in shown]
    assert not lacking, f"not as it stands in the header: {lacking[:5]}"


@test
def what_was_kept_is_still_exported():
    kept = set(re.findall(r"<elf-symbol name='(\w+)'", read(KEPT)))
    assert kept, "nothing was kept"
    assert kept <= of_library(), f"programs that were built before need these: {sorted(kept - of_library())}"


def has_debug_information():
    done = subprocess.run(["readelf", "-S", LIBRARY], cwd=BUILD, capture_output=True, text=True, check=True)
    return ".debug_info" in done.stdout


@test
def what_was_kept_has_the_same_form():
    if not shutil.which("abidiff"):
        raise Skip("abidiff is not installed (./scripts/install-deps test)")
    if not has_debug_information():
        raise Skip("this build has no debug information")
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    if machine not in re.search(r"architecture='([^']*)'", read(KEPT)).group(1).replace("elf-amd-", ""):
        raise Skip("it was kept on another kind of machine")
    headers = os.path.relpath(os.path.join(ROOT, "peer/include"), BUILD)
    done = subprocess.run(["abidiff", "--no-added-syms", "--headers-dir2", headers, "--drop-private-types", "--exported-interfaces-only", KEPT, LIBRARY], cwd=BUILD,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + "\nif it is meant: tests/abi/abi_test.py --keep, and CHANGES.md says it"


def sizes(path):
    """{struct: bits} of those that do not begin with their size: what fills them in cannot know how large the program's are."""
    found = {}
    for struct in xml.etree.ElementTree.parse(path).iter("class-decl"):
        members = struct.findall("data-member")
        if members and members[0].find("var-decl").get("name") != "size" and struct.get("name").startswith("peer_"):
            found[struct.get("name")] = int(struct.get("size-in-bits"))
    return found


@test
def what_a_program_has_room_for_does_not_grow():
    if not shutil.which("abidw"):
        raise Skip("abidw is not installed (./scripts/install-deps test)")
    if not has_debug_information():
        raise Skip("this build has no debug information")
    with tempfile.NamedTemporaryFile() as now:
        describe(now.name)
        kept, found = sizes(KEPT), sizes(now.name)
    assert "peer_link_facts" in kept, "nothing was kept"
    grown = {name: (bits, found.get(name)) for name, bits in kept.items() if found.get(name) != bits}
    assert not grown, f"bits then and now: {grown}; if it is meant: tests/abi/abi_test.py --keep, and CHANGES.md says it"


def describe(to):
    headers = os.path.relpath(os.path.join(ROOT, "peer/include"), BUILD)
    subprocess.run(["abidw", "--headers-dir", headers, "--drop-private-types", "--exported-interfaces-only", "--no-corpus-path", "--no-comp-dir-path",
                    "--no-show-locs", "--no-parameter-names", "--no-elf-needed", "--out-file", to, LIBRARY], cwd=BUILD, check=True)


def main():
    if "--keep" in sys.argv:
        describe(KEPT)
        return
    print(f"1..{len(TESTS)}")
    has_failed = False
    for number, function in enumerate(TESTS, 1):
        try:
            function()
            print(f"ok {number} {function.__name__}")
        except Skip as e:
            print(f"ok {number} {function.__name__} # SKIP {e}")
        except (AssertionError, OSError, subprocess.CalledProcessError) as e:
            has_failed = True
            print("\n".join("# " + line for line in str(e).splitlines()))
            print(f"not ok {number} {function.__name__}")
    sys.exit(has_failed)


main()
