# SPDX-License-Identifier: Apache-2.0
"""How a program was linked and compiled, as readelf shows it."""
import platform
import re

from network import run


def weak_spots(path):
    """What is missing of PIE, RELRO, NOW, SSP, FORTIFY, CET and a stack that is not executed; an empty list is right."""
    head = run(["readelf", "-hW", path]).stdout
    segments = run(["readelf", "-lW", path]).stdout
    dynamic = run(["readelf", "-dW", path]).stdout
    symbols = run(["readelf", "--dyn-syms", "-W", path]).stdout
    notes = run(["readelf", "-nW", path]).stdout
    has = {
        "PIE": re.search(r"Type:\s+DYN", head) and ("FLAGS_1" not in dynamic or "PIE" in dynamic),
        "RELRO": "GNU_RELRO" in segments,
        "NOW": re.search(r"FLAGS(_1)?\).*\bNOW\b|BIND_NOW", dynamic),
        "SSP": "__stack_chk_fail" in symbols,
        "FORTIFY": re.search(r"__\w+_chk\b", symbols.replace("__stack_chk_fail", "")),
        "NX": re.search(r"GNU_STACK\s.*\bRW\b", segments) and not re.search(r"GNU_STACK\s.*\bRWE\b", segments),
    }
    if platform.machine() == "x86_64":
        # Debian's start-up objects (crt1.o) have no landing pads, so the linker cannot mark a program for IBT: what is ours has them.
        has["CET"] = "SHSTK" in notes and run(["objdump", "-d", path]).stdout.count("endbr64") > 50
    if "__asan_init" in symbols:  # which has its own ways
        del has["FORTIFY"]
    return [name for name, is_there in has.items() if not is_there]
