#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads `llvm-cov export -summary-only` from standard input; prints how many lines of the files that match PATTERN ran, and fails when
together they are below WANTED percent: coverage.py PATTERN WANTED."""
import json
import re
import sys


def main():
    pattern, wanted = re.compile(f"(?:^|/)(?:{sys.argv[1]})$"), float(sys.argv[2])
    covered = count = 0
    for file in json.load(sys.stdin)["data"][0]["files"]:
        if not pattern.search(file["filename"]):
            continue
        lines = file["summary"]["lines"]
        covered += lines["covered"]
        count += lines["count"]
        print(f"{lines['percent']:6.1f} %  {lines['covered']:5} of {lines['count']:5}  {'/'.join(file['filename'].split('/')[-2:])}")
    if not count:
        sys.exit("no file matches")
    percent = 100 * covered / count
    print(f"{percent:6.1f} %  {covered:5} of {count:5}  together; {wanted:g} % are wanted")
    sys.exit(percent < wanted)


if __name__ == "__main__":
    main()
