#!/usr/bin/python3
"""Figures for reports, never a pass or fail: system calls of LOGIN, SELECT and FETCH FLAGS, memory of a session, size of rooms.

    top_builddir=… top_srcdir=… tests/bench/measure.py [MESSAGES]
"""
import glob
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, PASSWORD, SOURCE, Server, wait_for

count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000


def calls(pids, action, name, folder):
    """{syscall: count} of these processes (and those they fork) during action()."""
    out = f"{folder}/strace.{name}"
    command = ["strace", "-f", "-q", "-o", out] + [a for p in pids for a in ("-p", str(p))]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: all("TracerPid:\t0\n" not in open(f"/proc/{p}/status").read() for p in pids), 10)
    action()
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    totals = {}
    for line in open(out, errors="replace"):
        m = re.match(r"(\d+) +([a-z_0-9]+)\(", line)
        if m:
            totals.setdefault(int(m.group(1)), {}).setdefault(m.group(2), 0)
            totals[int(m.group(1))][m.group(2)] += 1
    return totals


def show(title, totals):
    for pid, t in totals.items():
        print(f"{title}: {sum(t.values())} system calls in process {names.get(pid, 'session')}: "
              + ", ".join(f"{k} {v}" for k, v in sorted(t.items(), key=lambda x: -x[1])))


def memory(pid):
    text = open(f"/proc/{pid}/smaps_rollup").read()
    return {k: int(re.search(rf"^{k}:\s+(\d+)", text, re.M).group(1)) for k in ("Pss", "Pss_Dirty", "Rss", "Private_Dirty")}


names = {}
with Server(users=["alice"]) as server:
    with open(server.spool("alice"), "w") as f:
        for i in range(count):
            f.write(f"From s@e.org Mon Jan  1 10:00:00 2024\nFrom: s{i}@e.org\nSubject: message {i}\n"
                    f"Message-ID: <{i}@e.org>\n\n" + "text of a line of it\n" * 40 + "\n")
    os.chown(server.spool("alice"), NOBODY.pw_uid, NOBODY.pw_gid)
    wait_for(lambda: "MRT-0801" in server.log())
    before = server.children()
    first = server.login("alice")
    first.select("INBOX")
    first.logout()  # UIDs are in the file now

    wait_for(lambda: set(server.children()) <= set(before))
    for pid in before:
        names[pid] = open(f"/proc/{pid}/cmdline").read().replace("\0", " ").strip().split("/")[-1]
    c = server.connect()
    show("LOGIN", calls(before, lambda: c.login("alice", PASSWORD), "login", server.dir))
    session = [p for p in server.children() if p not in before]
    if len(session) != 1:
        print("the session process was not found", session)
    else:
        show("SELECT", calls(session, lambda: c.select("INBOX"), "select", server.dir))
        show("FETCH 1:* FLAGS", calls(session, lambda: c.fetch("1:*", "(FLAGS)"), "flags", server.dir))
        print(f"memory of one logged-in session, {count} messages selected (KiB): {memory(session[0])}")
        c.unselect()
        print(f"memory after UNSELECT (KiB): {memory(session[0])}")
    print("memory of all processes (KiB): " + ", ".join(f"{names.get(p, 'session')} {memory(p)['Pss']}" for p in server.children()))
    c.logout()

for room in sorted(glob.glob(f"{SOURCE}/core/*/") + glob.glob(f"{SOURCE}/modules/*/") + glob.glob(f"{SOURCE}/authn/*/")):
    files = [p for p in glob.glob(room + "**/*.[ch]", recursive=True) + glob.glob(room + "**/*.def", recursive=True)]
    code = sum(sum(1 for _ in open(p, errors="replace")) for p in files if not re.match(r"(test|fuzz)-", os.path.basename(p)))
    tests = sum(sum(1 for _ in open(p, errors="replace")) for p in files if re.match(r"(test|fuzz)-", os.path.basename(p)))
    print(f"{os.path.relpath(room, SOURCE):24} {code:6} lines, tests {tests:6}")
