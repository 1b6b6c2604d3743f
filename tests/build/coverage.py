#!/usr/bin/env python3
"""coverage.py SOURCE: in a build with --enable-coverage, after its tests: the share of lines that ran, by folder and file."""
import collections
import json
import os
import subprocess
import sys

source = os.path.realpath(sys.argv[1])
lines = collections.defaultdict(dict)  # file → {line: how often}; a file may be compiled into several programs
for folder, _, names in os.walk("."):
    notes = [n for n in names if n.endswith(".gcda")]
    if not notes:
        continue
    out = subprocess.run(["gcov", "--json-format", "--stdout"] + [os.path.join(folder, n) for n in notes],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    for text in out.splitlines():
        for f in json.loads(text)["files"]:
            path = os.path.relpath(os.path.realpath(f["file"]), source)
            if path.startswith("..") or os.path.basename(path).startswith(("test-", "fuzz-")):
                continue
            for line in f["lines"]:
                n = line["line_number"]
                lines[path][n] = lines[path].get(n, 0) + line["count"]

folders = collections.defaultdict(lambda: [0, 0])
for path, counts in sorted(lines.items()):
    ran = sum(1 for c in counts.values() if c)
    print(f"{100 * ran / max(1, len(counts)):6.1f} %  {ran:6}/{len(counts):<6} {path}")
    for key in (os.path.dirname(path) + "/", "all"):
        folders[key][0] += ran
        folders[key][1] += len(counts)
print()
for key, (ran, total) in sorted(folders.items()):
    print(f"{100 * ran / max(1, total):6.1f} %  {ran:6}/{total:<6} {key}")
