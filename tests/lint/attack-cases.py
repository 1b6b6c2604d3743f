#!/usr/bin/python3
"""docs/attack-cases.md says which test covers which attack case. A test covers a case by naming it: attack-075.

    attack-cases.py           every test listed exists and names its case (TAP)
    attack-cases.py --write   the last column is written anew from the tree; titles stay
"""
import os
import re
import sys

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DOCUMENT = os.path.join(SOURCE, "docs", "attack-cases.md")
FOLDERS = ["core", "modules", "authn", "tests", "quickstart"]
ROW = re.compile(r"\| (\d{3}) \| (.*?) \| (.*?) \|$")
NAME = re.compile(r"attack-(\d{3})")
TEST = re.compile(r"(^|/)tests?/|(^|/)(test|fuzz)-[^/]*$|check[^/]*$")
OWN = "tests/lint/attack-cases.py"


def named():
    """Case → files of the tree that name it."""
    found = {}
    for folder in FOLDERS:
        top = os.path.join(SOURCE, folder)
        paths = [top] if os.path.isfile(top) else [os.path.join(d, f) for d, _, names in os.walk(top) for f in names]
        for path in paths:
            relative = os.path.relpath(path, SOURCE)
            if relative == OWN or not TEST.search(relative) or not os.path.isfile(path):
                continue
            with open(path, errors="replace") as f:
                for case in NAME.findall(f.read()):
                    found.setdefault(case, set()).add(relative)
    return found


def rows():
    with open(DOCUMENT) as f:
        text = f.read().splitlines()
    return text, [m.groups() for m in map(ROW.match, text) if m]


def write():
    text, found = rows()[0], named()
    lines = []
    for line in text:
        m = ROW.match(line)
        if m:
            tests = ", ".join(f"`{t}`" for t in sorted(found.get(m.group(1), ()))) or "none yet"
            line = f"| {m.group(1)} | {m.group(2)} | {tests} |"
        lines.append(line)
    with open(DOCUMENT, "w") as f:
        f.write("\n".join(lines) + "\n")


def check():
    wrong, covered, found = [], 0, named()
    _, table = rows()
    for case, _, tests in table:
        files = re.findall(r"`([^`]+)`", tests)
        covered += bool(files)
        wrong += [f"{case}: {t} is not there or does not name attack-{case}" for t in files if t not in found.get(case, ())]
    unlisted = sorted(set(found) - {case for case, _, tests in table if "`" in tests})
    print(f"{'not ' if wrong else ''}ok 1 - the tests in docs/attack-cases.md exist and name their cases ({covered} cases)")
    for line in wrong:
        print(f"# {line}")
    if unlisted:
        print(f"# named by tests and not in the document yet (--write): {' '.join(unlisted)}")
    print("1..1")
    return 1 if wrong or not table else 0


if sys.argv[1:] == ["--write"]:
    write()
else:
    sys.exit(check())
