#!/usr/bin/env python3
"""Compares the contract's sizes, offsets and constants with what was committed. TAP.

abi.py            fails when anything differs from tests/abi/contract.txt
abi.py --update   writes contract.txt, if the change only appends

What may change within a major: a struct that says its own size may get fields behind its last one, and there may
be new constants. Everything else breaks modules that were built before.
"""
import os
import re
import subprocess
import sys
import tempfile

TOP = os.environ.get("top_srcdir", ".")
SDK = os.path.join(TOP, "core", "sdk")
COMMITTED = os.path.join(TOP, "tests", "abi", "contract.txt")
HEADERS = ["driver", "error", "host", "module", "option", "password", "sasl"]
# These say their size elsewhere: option_size, and the descriptor behind its magic.
SIZED = {"mortise_option", "mortise_module"}
MAY_RISE = re.compile(r"MORTISE_\w+_MINOR$")


def compiler():
    return os.environ.get("CC", "cc").split()


def preprocess(flags):
    text = "".join(f"#include <mortise/{h}.h>\n" for h in HEADERS)
    return subprocess.run(compiler() + ["-E", "-D_GNU_SOURCE", "-I", SDK, *flags, "-x", "c", "-"], input=text,
                          text=True, check=True, stdout=subprocess.PIPE).stdout


def constants():
    names = []
    for line in preprocess(["-dM"]).splitlines():
        m = re.match(r"#define (MORTISE_\w+) (.+)$", line)
        if m and not re.search(r'["{;]|__attribute__|extern|_H$', m.group(2)) and not m.group(1).endswith("_H"):
            names.append(m.group(1))
    return sorted(names)


def declarators(field):
    """The names that one declaration declares."""
    field = re.sub(r"__attribute__\s*\(\(.*?\)\)\s*\)?", "", field)
    m = re.search(r"\(\*\s*(\w+)\)\s*\(", field)
    if m:
        return [m.group(1)]
    return [re.search(r"(\w+)\s*(\[.*\])?\s*$", part).group(1) for part in field.split(",")]


def structs():
    text = preprocess(["-P"])
    for m in re.finditer(r"struct (mortise_\w+)\s*\{(.*?)\n?\}\s*;", text, re.S):
        fields = [f.strip() for f in m.group(2).split(";")]
        yield m.group(1), [name for f in fields if f for name in declarators(" ".join(f.split()))]


def current():
    source = ["#include <stdio.h>"] + [f"#include <mortise/{h}.h>" for h in HEADERS] + ["int main(void)", "{"]
    source.append('printf("machine pointer %zu long %zu alignment %zu\\n", sizeof(void *), sizeof(long), '
                  '_Alignof(max_align_t));')
    for name, fields in sorted(structs()):
        source.append(f'printf("struct {name} size %zu\\n", sizeof(struct {name}));')
        for f in fields:
            source.append(f'printf("struct {name} field {f} at %zu size %zu\\n", offsetof(struct {name}, {f}), '
                          f'sizeof(((struct {name} *)0)->{f}));')
    for name in constants():
        source.append(f'printf("constant {name} %lld\\n", (long long)({name}));')
    source += ["return 0;", "}"]
    with tempfile.TemporaryDirectory() as d:
        c, program = os.path.join(d, "abi.c"), os.path.join(d, "abi")
        with open(c, "w") as out:
            out.write("\n".join(source) + "\n")
        subprocess.run(compiler() + ["-std=gnu11", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-w", "-I", SDK, c,
                                     "-o", program], check=True)
        return subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def parse(lines):
    fields, sizes, values, machine = {}, {}, {}, ""
    for line in lines:
        w = line.split()
        if w[0] == "machine":
            machine = line
        elif w[0] == "constant":
            values[w[1]] = int(w[2])
        elif w[2] == "size":
            sizes[w[1]] = int(w[3])
        else:
            fields.setdefault(w[1], []).append((w[3], int(w[5]), int(w[7])))
    return machine, sizes, fields, values


def breaks(old, new):
    """What of `new` breaks a module that was built with `old`."""
    _, old_sizes, old_fields, old_values = parse(old)
    _, new_sizes, new_fields, new_values = parse(new)
    for name, value in old_values.items():
        now = new_values.get(name)
        if now is None:
            yield f"constant {name} is gone"
        elif now != value and not (MAY_RISE.match(name) and now > value):
            yield f"constant {name} was {value}, is {now}"
    for name, fields in old_fields.items():
        if name not in new_fields:
            yield f"struct {name} is gone"
            continue
        now = new_fields[name]
        for a, b in zip(fields, now):
            if a != b:
                yield f"struct {name}: {a[0]} at {a[1]} size {a[2]} became {b[0]} at {b[1]} size {b[2]}"
        if len(now) < len(fields):
            yield f"struct {name} lost {fields[len(now)][0]}"
        grows = name in SIZED or fields[0][0] == "size"
        if not grows and new_sizes[name] != old_sizes[name]:
            yield f"struct {name} was {old_sizes[name]} octets, is {new_sizes[name]}, and does not say its size"
        if grows and len(now) > len(fields) and now[len(fields)][1] < old_sizes[name]:
            yield f"struct {name}: {now[len(fields)][0]} lies in what old modules leave undefined"


def self_test():
    """The judge itself: each kind of change, and what it must say."""
    old = ["struct mortise_a size 16", "struct mortise_a field size at 0 size 8", "struct mortise_a field x at 8 size 8",
           "struct mortise_b size 4", "struct mortise_b field y at 0 size 4", "constant MORTISE_Q 1",
           "constant MORTISE_A_MINOR 1"]
    grown = [s.replace("size 16", "size 24") for s in old] + ["struct mortise_a field z at 16 size 8",
                                                              "constant MORTISE_R 2"]
    bad = {"reordered": [old[0], old[2], old[1]] + old[3:], "removed": old[:2] + old[3:], "no constant": old[:5],
           "value": old[:5] + ["constant MORTISE_Q 2", old[6]], "no size": old[:3] + ["struct mortise_b size 8"] + old[4:],
           "type": old[:2] + ["struct mortise_a field x at 8 size 4"] + old[3:]}
    return not list(breaks(old, old)) and not list(breaks(old, grown)) and \
        not list(breaks(old, old[:6] + ["constant MORTISE_A_MINOR 2"])) and \
        all(list(breaks(old, b)) for b in bad.values())


def main():
    new = current()
    old = open(COMMITTED).read().splitlines() if os.path.exists(COMMITTED) else new
    if "--update" in sys.argv:
        problems = list(breaks(old, new))
        if problems and "--break" not in sys.argv:
            print("\n".join(problems), file=sys.stderr)
            sys.exit("the change breaks modules that were built before; only a new major may")
        with open(COMMITTED, "w") as out:
            out.write("\n".join(new) + "\n")
        return
    print("1..3")
    print(f"{'ok' if self_test() else 'not ok'} 1 - the comparison finds every kind of break")
    if parse(old)[0] != parse(new)[0]:
        print("ok 2 - the contract has not been broken # SKIP another machine than contract.txt's")
        print("ok 3 - the contract is as committed # SKIP another machine than contract.txt's")
        return
    problems = list(breaks(old, new))
    print(f"{'not ok' if problems else 'ok'} 2 - the contract has not been broken")
    for p in problems:
        print(f"#   {p}")
    print(f"{'ok' if old == new else 'not ok'} 3 - the contract is as committed (else: tests/abi/abi.py --update)")
    for line in sorted(set(old) ^ set(new)):
        print(f"#   {'-' if line in old else '+'} {line}")


main()
