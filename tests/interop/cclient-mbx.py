#!/usr/bin/python3
"""The real c-client library and our mbx driver on the same mailboxes: each reads what the other wrote, in turn and at once.

After every step both are asked what the mailbox holds, and must say the same: UIDVALIDITY, UIDNEXT, UIDs, flags,
keywords, sizes, dates, and a digest of every header and text. Steps are chosen by a seeded generator. Then both keep
the mailbox open at the same time, which this format allows.
"""
import os
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from c_client import CCLIENT, Pair, flag_in_place, give, locked, wait_until_tried, write
from mortise import Tap

tap = Tap()
STEPS = 60
SEEDS = (1, 2, 3)
pair = Pair(tap, "mbx")
OURS, BASE, run, start = pair.ours, pair.base, pair.run, pair.start
TEXTS = (b"Subject: plain\r\n\r\ntext\r\n", b"Subject: empty text\r\n\r\n", b"Subject: no end\r\n\r\nlast line",
         b"Subject: From\r\n\r\nFrom me Mon Jan  1 10:00:00 2024\r\n>From you\r\n",
         b"Subject: like a record\r\n\r\n 5-Jan-2024 10:20:30 +0100,45;00000000001d-00000001\r\n",
         b"Subject: octets\r\n\r\n\xff\xfe\x80 \x1b[0m \x01\r\n", b"Subject: long\r\n\r\n" + b"x" * 70000 + b"\r\n")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def new_box(name, messages=0):
    """Made by us: c-client makes only its default format here."""
    home = f"{BASE}/{name}"
    os.mkdir(home)
    os.mkdir(f"{home}/.journals")
    for path in (home, f"{home}/.journals"):
        give(path)
    p = run(OURS, f"{home}/box", "option", "lock_directory=/tmp", "create")
    if p.returncode:
        print(f"Bail out! {p.stderr.decode()}")
        sys.exit(1)
    for i in range(messages):
        write(f"{home}/m", TEXTS[i % len(TEXTS)])
        ours(f"{home}/box", "append", f"{home}/m", "")
    return f"{home}/box"


def ours(box, *words):
    return run(OURS, box, "option", "lock_directory=/tmp", *words)


def parse(p):
    out = {}
    for line in p.stdout.decode().splitlines():
        m = re.match(r'uid (\d+) flags "([^"]*)" size (\d+) date "([^"]*)" digest (\w+)', line)
        if m:
            out[int(m.group(1))] = (sorted(m.group(2).split()), int(m.group(3)), m.group(4), m.group(5))
        elif line.startswith("KEYWORDS"):
            out["KEYWORDS"] = line.split()[1:]
        elif " " in line and line.split()[0].startswith("UID"):
            out[line.split()[0]] = int(line.split()[1])
    return out


def agree(box, title):
    theirs, mine = run(CCLIENT, box), ours(box)
    a, b = parse(theirs), parse(mine)
    if a == b and not theirs.returncode and not mine.returncode and "UIDNEXT" in a:
        return a
    differ = [f"{k}: c-client {a.get(k)}, ours {b.get(k)}" for k in sorted(set(a) | set(b), key=str) if a.get(k) != b.get(k)]
    tap.ok(False, title, *differ[:12], theirs.stderr.decode(), mine.stderr.decode())
    return None


def one_run(seed):
    rng = random.Random(seed)
    box = new_box(f"run{seed}")
    message = f"{os.path.dirname(box)}/message"
    before = agree(box, f"seed {seed}: both read a new mailbox")
    for step in range(STEPS):
        mine = rng.random() < 0.5
        what = rng.choice(("append", "append", "set", "set", "clear", "expunge"))
        uids = "1:*" if rng.random() < 0.2 else str(rng.randrange(1, 30))
        flags = " ".join(rng.sample(("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "\\Deleted", "KeyA", "KeyB", "$Junk", "NonJunk"), rng.randrange(1, 4)))
        if what == "append":
            write(message, rng.choice(TEXTS))
            words = ["append", message, flags] + ([] if mine else [""])
        elif what == "expunge":
            words = ["expunge"]
        else:
            words = [what, uids, flags]
        p = ours(box, *words) if mine else run(CCLIENT, box, *words, "check")
        name = "ours" if mine else "c-client"
        if p.returncode:
            tap.ok(False, f"seed {seed}, step {step}: {name} {what} works", p.stderr.decode())
            return
        state = agree(box, f"seed {seed}, step {step}: both say the same after {name} {' '.join(words)}")
        if state is None:
            shutil.copy(box, f"{BASE}/failed-{seed}")
            return
        if state["UIDVALIDITY"] != before["UIDVALIDITY"] or state["UIDNEXT"] < before["UIDNEXT"]:
            tap.ok(False, f"seed {seed}, step {step}: UIDVALIDITY stays, UIDNEXT rises", before, state)
            return
        before = state
    tap.ok(True, f"seed {seed}: {STEPS} steps in turn, at the end {len(state) - 3} messages, UIDNEXT {state['UIDNEXT']}")


def c_client_open():
    """c-client has the mailbox open while we change it."""
    box = new_box("theirs", 4)
    message = f"{os.path.dirname(box)}/m"
    holder = start(CCLIENT, box, "set", "1", "\\Flagged", "hold", "ping", "dump", "hold", "expunge", "dump")
    holder.stdout.readline()
    size = os.path.getsize(box)
    for words in (("set", "2", "\\Seen KeyA"), ("set", "3", "\\Deleted"), ("expunge",), ("append", message, "\\Draft")):
        p = ours(box, *words)
        tap.ok(p.returncode == 0, f"{' '.join(words[:2])} while c-client has it open", p.stderr.decode())
    tap.ok(os.path.getsize(box) > size, "nothing was moved under it")
    tap.ok(holder.poll() is None, "c-client lives")
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    lines = []
    while True:
        line = holder.stdout.readline().decode()
        if line in ("", "holding\n"):
            break
        lines.append(line)
    seen = parse(subprocess.CompletedProcess([], 0, "".join(lines).encode(), b""))
    tap.ok(seen.get(2, [0])[0] == ["KeyA", "\\Seen"] or seen.get(2, [0])[0] == ["\\Seen", "KeyA"], "c-client sees the flags", seen)
    tap.ok(3 not in seen and 5 in seen and seen[5][0] == ["\\Draft"], "what is gone and what is new", seen)
    tap.ok(seen.get(1, [0])[0] == ["\\Flagged"], "its own flag is kept", seen)
    _, err = holder.communicate(b"\n", timeout=60)
    tap.ok(holder.returncode == 0, "it closes without complaint", err)
    state = agree(box, "both agree afterwards")
    tap.ok(state is not None and sorted(k for k in state if isinstance(k, int)) == [1, 2, 4, 5], "nothing is lost", state)
    tap.ok(b"0000801" not in read(box), "the space was taken back")


def we_open():
    """We have it open while c-client changes it."""
    box = new_box("open", 4)
    message = f"{os.path.dirname(box)}/m"
    holder = start(OURS, box, "option", "lock_directory=/tmp", "dump", "hold", "dump", "set", "1", "\\Flagged", "hold", "expunge", "dump")
    while holder.stdout.readline() != b"holding\n":
        pass
    p = run(CCLIENT, box, "set", "2", "\\Seen KeyB", "set", "3", "\\Deleted", "expunge", "append", message, "\\Draft", "", "check")
    tap.ok(p.returncode == 0, "c-client changes what we have open", p.stderr.decode())
    tap.ok(b"0000801" in read(box), "it marks only")
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    lines = []
    while True:
        line = holder.stdout.readline().decode()
        if line in ("", "holding\n"):
            break
        lines.append(line)
    seen = parse(subprocess.CompletedProcess([], 0, "".join(lines).encode(), b""))
    tap.ok(sorted(k for k in seen if isinstance(k, int)) == [1, 2, 4, 5], "we see what is gone and what is new", seen)
    tap.ok(seen.get(2, [[]])[0] == sorted(["\\Seen", "KeyB"]), "and the flags", seen)
    p = run(CCLIENT, box)
    tap.ok(parse(p).get(1, [0])[0] == ["\\Flagged"], "c-client sees ours", p.stdout)
    out, err = holder.communicate(b"\n", timeout=60)
    tap.ok(holder.returncode == 0, "no errors", err)
    state = agree(box, "both agree afterwards")
    tap.ok(state is not None and b"0000801" not in read(box), "the last one out takes the space back")


def at_once():
    """It and several of ours change flags and add messages at the same time. Only one of it: several c-client programs
    by themselves give each other's messages new UIDs now and then. And it gives up when the lock file is removed in the
    moment in which it looks at it (then no link is a symbolic link to it, and a name that came back an error of open)."""
    box = new_box("busy", 4)
    message = f"{os.path.dirname(box)}/m"
    running = []
    for i in range(3):
        running.append(start(OURS, box, "option", "lock_directory=/tmp", *(["append", message, "", "set", str(i + 1), "\\Flagged"] * 5)))
    running.append(start(CCLIENT, box, *(["append", message, "", "", *(w for n in "123" for w in ("set", n, "\\Seen")), "check"] * 5)))
    for p in running:
        _, err = p.communicate(timeout=120)
        if p is running[-1] and (b"Unable to lock" in err or b"Not a MBX-format mailbox" in err):
            tap.skip("several programs at once", f"c-client did not get its lock: {err.decode().splitlines()[0]}")
            return
        tap.ok(p.returncode == 0, "a program among several ends well", err)
    state = agree(box, "both agree afterwards")
    uids = sorted(k for k in state if isinstance(k, int)) if state else []
    tap.ok(len(uids) == 24, "every message is there", uids)
    tap.ok(state is not None and state["UIDNEXT"] > uids[-1] and all("\\Seen" in state[u][0] and "\\Flagged" in state[u][0] for u in (1, 2, 3)), "and every flag", state)


def while_we_wait():
    """Another program has the lock and sets a flag while we wait for it, to set another one of the same message."""
    box = new_box("waiting", 2)
    holder = start(OURS, box, "option", "lock_directory=/tmp", "dump", "hold", "set", "1", "\\Flagged")
    while holder.stdout.readline() != b"holding\n":
        pass
    with locked(box):
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        wait_until_tried(holder.pid, box)
        flag_in_place(box, 1, 1)
    _, err = holder.communicate(timeout=60)
    tap.ok(holder.returncode == 0, "a flag is set by who had to wait for it", err)
    state = agree(box, "both agree afterwards")
    tap.ok(state is not None and state[1][0] == ["\\Flagged", "\\Seen"], "the flag that was set meanwhile stays", state)


def golden():
    """A record of the format notes, as c-client writes it, keeps its octets."""
    box = new_box("golden")
    message = f"{os.path.dirname(box)}/m"
    write(message, TEXTS[0])
    run(CCLIENT, box, "append", message, "\\Seen \\Flagged \\Answered", " 5-Jan-2024 10:20:30 +0100", "check")
    data = read(box)
    tap.ok(data[2048:] == b" 5-Jan-2024 10:20:30 +0100,24;00000000001d-00000001\r\n" + TEXTS[0], "c-client writes what the notes say", data[2048:])
    ours(box, "set", "1", "\\Draft")
    ours(box, "clear", "1", "\\Draft")
    after = read(box)
    tap.ok(after[:1920] == data[:1920] and after[2048:] == data[2048:], "we change only what we have to, and our end of the header")


for seed in SEEDS:
    one_run(seed)
c_client_open()
we_open()
while_we_wait()
at_once()
golden()
if not tap.failed:
    shutil.rmtree(BASE)
tap.done()
