#!/usr/bin/python3
"""procmail delivers to a spool while IMAP sessions change flags and expunge in it: nothing lost, doubled or brought back.

Both take the dot-lock and fcntl, each in its own way. Messages are of every kind that makes an mbox hard to read: lines
that begin with "From ", a Content-Length that lies, status fields of a sender. What was expunged is still in the file
for a while, so procmail appends behind it.
"""
import hashlib
import os
import random
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, Server, Tap, wait_for

PROCMAIL = "/usr/bin/procmail"
COUNT, DELIVERERS = 25, 2
tap = Tap()
if not os.path.exists(PROCMAIL):
    tap.skip("procmail and IMAP sessions on one spool", "procmail is not installed")
    tap.done()

BODIES = (
    "text {n}\n",
    "From the start {n}\n>From here\nFrom nobody Mon Jan  1 10:00:00 2024\n",
    "{n}\n" + "x" * 3000 + "\n\n\n",
    "no end {n}",
)
FIELDS = (
    "",
    "Content-Length: 3\nLines: 1\n",  # attack-109
    "Status: RO\nX-Status: D\nX-Keywords: forged\nX-UID: 4000000\nX-IMAPbase: 1 5000000\n",  # attack-112
    "X-Expunged: 00000000\n",
)


def message(n):
    body = BODIES[n // 4 % len(BODIES)].format(n=n)
    if "Content-Length" in FIELDS[n % len(FIELDS)]:
        # procmail trusts it then, and quotes nothing: for a program that does not, that would be another message.
        body = body.replace("From nobody Mon", "From nobody, Mon,")
    return (f"From sender@example.org Mon Jan  1 10:00:00 2024\nReturn-Path: <sender@example.org>\nReceived: by mx\n"
            f"{FIELDS[n % len(FIELDS)]}Subject: {n}\n\n{body}")


def canonical(text):
    """Number and text, quoting and what is at its end left out."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    body = re.sub(r"(?m)^>+From ", "From ", body).rstrip("\n")
    number = re.search(r"(?m)^Subject: (\d+)$", head)
    return int(number.group(1)) if number else text, hashlib.sha256(body.encode()).hexdigest()


delivered, expunged, errors = set(), set(), []
over = threading.Event()


def as_nobody(*words):
    prefix = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--"] if os.getuid() == 0 else []
    return prefix + list(words)


def deliver(server, first, end):
    for n in range(first, end):
        p = subprocess.run(as_nobody(PROCMAIL, "-m", server.path("procmailrc")), input=message(n).encode(), capture_output=True,
                           cwd="/", timeout=120)
        if p.returncode != 0:
            errors.append(f"procmail {n}: {p.returncode} {p.stderr.decode()}")
        else:
            delivered.add(n)


def session(server, seed):
    rng = random.Random(seed)
    c = server.login("alice")
    c.select("INBOX")
    while not over.is_set():
        if c.noop()[0] != "OK":
            raise RuntimeError("NOOP fails")
        uids = c.uid("SEARCH", "ALL")[1][0].decode().split()
        for uid in rng.sample(uids, min(4, len(uids))):
            c.uid("STORE", uid, rng.choice(("+FLAGS", "-FLAGS")), rng.choice((r"(\Flagged)", r"(\Seen $Work)")))
        mine = [u for u in uids if int(u) % 3 == seed]
        for uid in rng.sample(mine, min(2, len(mine))):
            kind, data = c.uid("FETCH", uid, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            subject = [re.search(rb"Subject: (\d+)", part[1]) for part in data if isinstance(part, tuple)]
            if kind == "OK" and subject and subject[0]:
                c.uid("STORE", uid, "+FLAGS.SILENT", r"(\Deleted)")
                if c.uid("EXPUNGE", uid)[0] == "OK":
                    expunged.add(int(subject[0].group(1)))
    c.logout()


def guarded(function, *arguments):
    def run():
        try:
            function(*arguments)
        except Exception as e:  # the thread's result
            errors.append(f"{function.__name__}: {e!r}")
    t = threading.Thread(target=run)
    t.start()
    return t


def everything(server):
    c = server.login("alice")
    c.select("INBOX")
    uids = [int(u) for u in c.uid("SEARCH", "ALL")[1][0].split()]
    texts = [part[1].decode() for part in (c.uid("FETCH", "1:*", "(BODY.PEEK[])")[1] if uids else []) if isinstance(part, tuple)]
    forged = c.uid("SEARCH", "KEYWORD", "forged")[1][0].split()
    c.logout()
    return uids, texts, forged


with Server() as server:
    spool = server.spool("alice")
    with open(server.path("procmailrc"), "w") as f:
        f.write(f"SHELL=/bin/sh\nLOCKSLEEP=1\nDEFAULT={spool}\nUMASK=077\n:0:\n{spool}\n")
    os.chmod(server.path("procmailrc"), 0o644)
    deliver(server, 0, 1)
    sessions = [guarded(session, server, seed) for seed in range(2)]
    deliverers = [guarded(deliver, server, 1 + COUNT * i, 1 + COUNT * (i + 1)) for i in range(DELIVERERS)]
    for t in deliverers:
        t.join()
    wait_for(lambda: expunged, 20)
    over.set()
    for t in sessions:
        t.join()
    tap.ok(not errors, "procmail and the sessions have no complaints", *errors[:10])
    tap.ok(len(delivered) == COUNT * DELIVERERS + 1, f"{len(delivered)} messages were delivered")
    uids, texts, forged = everything(server)
    there = [canonical(t) for t in texts]
    numbers = [n for n, _ in there]
    tap.ok(len(set(numbers)) == len(numbers), "none is there twice", sorted(numbers, key=str))
    tap.ok(set(numbers) == delivered - expunged, f"{len(expunged)} were expunged, the other {len(numbers)} are there",
           f"lost: {sorted(delivered - expunged - set(numbers), key=str)}", f"back: {sorted(set(numbers) & expunged, key=str)}")
    tap.ok(all(canonical(message(n))[1] == digest for n, digest in there), "with the text that was sent",
           *[n for n, digest in there if canonical(message(n))[1] != digest][:10])
    tap.ok(uids == sorted(set(uids)) and max(uids, default=0) <= COUNT * DELIVERERS + 1 and not forged,
           "no sender has chosen a UID or a keyword", uids, forged)
    tap.ok(not os.path.exists(spool + ".lock"), "no lock is left")
    with open(spool, "rb") as f:
        tap.ok(not re.search(rb"\nX-Expunged: (?!00000000\n)", f.read()), "nothing waits to be taken out")
    tap.ok(everything(server) == (uids, texts, forged), "and all is the same when it is opened again")
tap.done()
