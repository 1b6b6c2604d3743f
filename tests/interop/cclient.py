#!/usr/bin/python3
"""The real c-client library and our unix driver on the same mailboxes: each reads what the other wrote, in turn.

After every step both are asked what the mailbox holds, and must say the same: UIDVALIDITY, UIDNEXT, UIDs, flags,
keywords, sizes, dates, and a digest of every header and text. Steps are chosen by a seeded generator, among them mail
that a transport adds without asking anybody.
"""
import os
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from c_client import CCLIENT, Pair, give, write
from mortise import Tap, wait_for

tap = Tap()
STEPS = 60
SEEDS = (1, 2, 3)
pair = Pair(tap, "unix")
OURS, BASE, run, start = pair.ours, pair.base, pair.run, pair.start


def folder(name):
    path = f"{BASE}/{name}"
    os.mkdir(path)
    give(path)
    return path


def parse(p):
    out = {}
    for line in p.stdout.decode().splitlines():
        m = re.match(r'uid (\d+) flags "([^"]*)" size (\d+) date "([^"]*)" digest (\w+)', line)
        if m:
            out[int(m.group(1))] = (sorted(m.group(2).split()), int(m.group(3)), m.group(4), m.group(5))
        elif line.startswith("KEYWORDS"):
            out["KEYWORDS"] = sorted(line.split()[1:], key=str.lower)
        elif " " in line and line.split()[0].startswith("UID"):
            out[line.split()[0]] = int(line.split()[1])
    return out


def agree(box, title):
    theirs, ours = run(CCLIENT, box), run(OURS, box)
    a, b = parse(theirs), parse(ours)
    if a == b and not theirs.returncode and not ours.returncode:
        return a
    differ = [f"{k}: c-client {a.get(k)}, ours {b.get(k)}" for k in sorted(set(a) | set(b), key=str) if a.get(k) != b.get(k)]
    tap.ok(False, title, *differ[:12], theirs.stderr.decode(), ours.stderr.decode())
    return None


SHAPES = (
    b"Subject: plain\n\ntext\n",
    b"Subject: empty text\n\n",
    b"Subject: quoted\n\n>From me\nFrom the start\nFrom - not a date\n",
    b"Subject: no end\n\nlast line",
    b"Subject: empty lines\n\n\n\ntext\n\n\n\n",
    b"Subject: folded\n continued\n\tagain\nX-Empty:\n\ntext\n",
    b"Subject: length lies\nContent-Length: 3\nLines: 1\nX-Mozilla-Status: 0009\n\nlonger than that\n",
    b"Subject: octets\n\n\xff\xfe\x80 \x1b[0m \x01\n",
    b"Subject: long\n\n" + b"x" * 3000 + b"\n",
)
STORED = (
    b"Subject: tries\nStatus: RO\nX-Status: D\nX-Keywords: forged\nX-UID: 7777\n\nsteering\n",
    b"Subject: tries harder\nX-IMAPbase: 1 99999 forged\nStatus: RO\nX-Status: DFA\nX-Keywords: forged                       \nX-UID: 9\n\nsteering\n",
)
FROM = (b"From s@example.org Mon Jan  1 10:00:00 2024\n", b"From s@example.org Tue Feb 29 23:59:59 2000 -0730\n",
        b"From  Wed Dec  2 05:53:22 1992 PST\n", b"From a b c Wed Dec 02 05:53 1992\n",
        b"From x Wed Dec  2 05:53:22 GMT 1992 remote from uucp\n")


def deliver(rng, box):
    """As a transport does. Trace fields come first, so that the driver can tell."""
    text = rng.choice(SHAPES + STORED if rng.random() < 0.3 else SHAPES)
    body = text if text.endswith(b"\n") else text + b"\n"
    write(box, rng.choice(FROM) + b"Return-Path: <s@example.org>\nReceived: by mx\n" + body + b"\n", "ab")
    return b"tries" in text


def one_run(seed):
    rng = random.Random(seed)
    home = folder(f"run{seed}")
    box = f"{home}/box"
    message = f"{home}/message"
    write(box, b"")
    log = []
    if seed % 2:
        deliver(rng, box)
    elif run(rng.choice((CCLIENT, OURS)), f"{home}/made", "create").returncode == 0:
        os.rename(f"{home}/made", box)
    for step in range(STEPS):
        tool = rng.choice((CCLIENT, OURS))
        name = "c-client" if tool == CCLIENT else "ours"
        what = rng.choice(("deliver", "set", "clear", "append", "expunge", "set", "look"))
        uids = "1:*" if rng.random() < 0.2 else str(rng.randrange(1, 30))
        flags = " ".join(rng.sample(("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "\\Deleted", "KeyA", "KeyB", "$Junk", "NonJunk"), rng.randrange(1, 4)))
        if what == "deliver":
            # What a sender writes is for us to see through first: c-client believes it.
            tool = OURS if deliver(rng, box) else tool
            command = [tool, box, "dump"]
        elif what == "append":
            write(message, rng.choice(SHAPES).replace(b"\n", b"\r\n"))
            command = [tool, box, "append", message, flags, "" if tool == CCLIENT else "0"][:6 if tool == CCLIENT else 5]
        elif what in ("set", "clear"):
            command = [tool, box, what, uids, flags]
        else:
            command = [tool, box, "dump" if what == "look" else what]
        if tool == CCLIENT and what != "append":
            command.append("check")
        p = run(*command)
        log.append(f"{step} {name} {' '.join(command[2:])} -> {p.returncode} {p.stderr.decode().strip()}")
        if p.returncode:
            tap.ok(False, f"seed {seed}, step {step}: {name} {what} works", *log[-5:])
            return
        state = agree(box, f"seed {seed}, step {step}: both say the same after {name} {what}")
        if state is None:
            for line in log[-6:]:
                print(f"#   {line}")
            shutil.copy(box, f"/tmp/cclient-failed-{seed}")
            return
    tap.ok(True, f"seed {seed}: {STEPS} steps in turn, at the end {len(state) - 3} messages, UIDNEXT {state['UIDNEXT']}")


def golden():
    """The one message of the format notes, checkpointed by c-client."""
    home = folder("golden")
    box = f"{home}/box"
    write(box, b"")
    write(f"{home}/m", b"From: a@example.org\r\nSubject: one\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\nline1\r\nFrom here it starts\r\nend\r\n")
    run(CCLIENT, box, "append", f"{home}/m", "", "", "check")
    run(CCLIENT, box, "append", f"{home}/m", "\\Seen \\Flagged \\Answered", " 5-Jan-2024 10:20:30 +0100", "check")
    run(CCLIENT, box, "check")
    with open(box, "rb") as f:
        data = f.read()
    want = (b" Fri Jan  5 10:20:30 2024 +0100\nFrom: a@example.org\nSubject: one\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n"
            b"Status: RO\nX-Status: FA\nX-Keywords:               \nX-UID: 2\n\nline1\n>From here it starts\nend\n\n")
    tap.ok(want in data, "c-client writes what the notes say", data)
    agree(box, "both read it alike") is not None and tap.ok(True, "and both read it alike")


def busy():
    """A c-client program has the mailbox open for writing: it is not disturbed, and new mail is still taken."""
    home = folder("busy")
    box = f"{home}/box"
    write(box, b"")
    write(f"{home}/m", b"Subject: one\r\n\r\ntext\r\n")
    run(OURS, box, "append", f"{home}/m", "")
    run(OURS, box, "append", f"{home}/m", "")
    holder = start(CCLIENT, box, "set", "1", "\\Flagged", "hold", "ping", "dump")
    holder.stdout.readline()
    p = run(OURS, box, "set", "1", "\\Seen")
    tap.ok(p.returncode == 1 and b"-50" in p.stderr and str(holder.pid).encode() in p.stderr,
           "a flag is refused with INUSE and the process that is in the way", p.stderr)
    tap.ok(holder.poll() is None, "which is not killed")
    p = run(OURS, box, "expunge")
    p = run(OURS, box, "append", f"{home}/m", "\\Seen")
    tap.ok(p.returncode == 0 and b"appended 0" in p.stdout, "a message is appended, without a UID", p.stdout, p.stderr)
    p = run(OURS, box, "dump")
    tap.ok(p.returncode == 0 and parse(p).get(3, [0])[0] == ["\\Seen"], "and seen at once", p.stdout, p.stderr)
    out, err = holder.communicate(b"\n", timeout=60)
    seen = parse(subprocess.CompletedProcess([], 0, out, err))
    tap.ok(3 in seen and seen[3][0] == ["\\Seen"], "c-client finds it as new mail", out, err)
    state = agree(box, "both agree afterwards")
    tap.ok(state is not None and state[1][0] == ["\\Flagged"] and len(state) == 6, "nothing is lost", state)


def keeps_out():
    """While we change the mailbox, c-client can only read."""
    home = folder("out")
    box = f"{home}/box"
    write(box, b"")
    write(f"{home}/m", b"Subject: one\r\n\r\ntext\r\n")
    run(OURS, box, "append", f"{home}/m", "")
    holder = start(OURS, box, "lock", "hold")
    holder.stdout.readline()
    other = start(CCLIENT, box, "dump")
    tap.ok(os.path.exists(f"{box}.lock"), "there is a dot-lock")

    def waits():
        with open(f"/proc/{other.pid}/wchan") as f:
            return "nanosleep" in f.read()
    # It has given up its session then, and waits for the dot-lock.
    wait_for(waits, 5)
    holder.communicate(b"\n", timeout=60)
    out, err = other.communicate(timeout=60)
    tap.ok(b"read-only" in err or b"readonly" in err, "c-client opens read-only meanwhile", out, err)
    tap.ok(not os.path.exists(f"{box}.lock"), "no dot-lock is left")


def gone():
    """What we expunged is still in the file, and stays expunged whatever c-client does with it meanwhile."""
    home = folder("gone")
    box = f"{home}/box"
    write(box, b"")
    write(f"{home}/m", b"Subject: one\r\n\r\ntext\r\n")
    for _ in range(4):
        run(OURS, box, "append", f"{home}/m", "")
    # The first message, which holds UIDVALIDITY, and one in the middle.
    run(OURS, box, "set", "1,3", "\\Deleted")
    p = run(OURS, box, "later", "expunge", "dump")
    tap.ok(p.returncode == 0 and sorted(k for k in parse(p) if isinstance(k, int)) == [2, 4], "two of four are expunged", p.stdout, p.stderr)
    theirs = parse(run(CCLIENT, box))
    tap.ok(sorted(k for k in theirs if isinstance(k, int)) == [1, 2, 3, 4] and "\\Deleted" in theirs[1][0] and "\\Deleted" in theirs[3][0],
           "c-client shows them still, as deleted", theirs)
    run(CCLIENT, box, "set", "1:*", "\\Flagged KeyA", "check")
    run(CCLIENT, box, "append", f"{home}/m", "", "", "check")
    with open(box, "rb") as f:
        tap.ok(f.read().count(b"\nX-Expunged: ") == 2, "and writes all of it again")
    ours = parse(run(OURS, box))
    tap.ok(sorted(k for k in ours if isinstance(k, int)) == [2, 4, 5] and ours["UIDVALIDITY"] == theirs["UIDVALIDITY"],
           "they do not come back", ours)
    run(OURS, box, "set", "2", "\\Seen")
    state = agree(box, "when they are taken out, both agree")
    tap.ok(state is not None and sorted(k for k in state if isinstance(k, int)) == [2, 4, 5], "and nothing else is lost", state)


try:
    golden()
    gone()
    for seed in SEEDS:
        one_run(seed)
    busy()
    keeps_out()
finally:
    shutil.rmtree(BASE, ignore_errors=True)
tap.done()
