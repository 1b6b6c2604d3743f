#!/usr/bin/python3
"""Quota with the real formats: what others deliver counts, two sessions that race for the last room, a limit of one user
(RFC 9208; attack-127). With strace: mailboxes that did not change are not opened to be counted."""
import os
import re
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import Server, Tap, wait_for

tap = Tap()
MESSAGE = b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n"
LIMITS = 'quota = { limits = [ "MESSAGE=20", "STORAGE=1M" ]; };'


def quota(c):
    kind, data = c.getquota('""')
    return {name: (int(used), int(most)) for name, used, most in re.findall(r"([A-Z-]+) (\d+) (\d+)", str(data[0]))}


def deliver(server, driver, user):
    """What another program does."""
    if driver == "maildir":
        for d in ("tmp", "new", "cur"):
            os.makedirs(f"{server.path('spool')}/{user}/{d}", exist_ok=True)
        with open(f"{server.path('spool')}/{user}/new/1.2.host", "wb") as f:
            f.write(MESSAGE.replace(b"\r\n", b"\n"))
        server._give(f"{server.path('spool')}/{user}/new/1.2.host")
    else:
        with open(f"{server.path('spool')}/{user}", "ab") as f:
            f.write(b"From a@example.org Thu Jan  1 00:00:00 2026\n" + MESSAGE.replace(b"\r\n", b"\n") + b"\n")


def races(server, title, first, second):
    """Two sessions at once; the number of messages afterwards."""
    outcomes = []

    def go(f):
        for _ in range(12):
            outcomes.append(f()[0])

    threads = [threading.Thread(target=go, args=(f,)) for f in (first, second)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    c = server.login("alice")
    used, most = quota(c)["MESSAGE"]
    tap.ok(used == most and len(outcomes) == 24 and "NO" in outcomes, title, used, most, outcomes)
    c.logout()


for driver in ("unix", "mbx", "maildir", "mh"):
    with Server(users=["alice", "bob"], driver=driver, settings={"quota": LIMITS}) as server:
        c = server.login("alice")
        c.append("INBOX", None, None, MESSAGE)
        tap.ok(quota(c)["MESSAGE"] == (1, 20), f"{driver}: one message of 20", quota(c))
        if driver in ("unix", "maildir"):
            deliver(server, driver, "alice")
            tap.ok(quota(c)["MESSAGE"] == (2, 20), f"{driver}: what another program delivers counts at once", quota(c))
        c.create("box")
        other = server.login("alice")
        races(server, f"{driver}: two sessions race with APPEND for the last room, attack-127",
              lambda: c.append("INBOX", None, None, MESSAGE), lambda: other.append("box", None, None, MESSAGE))
        c.select("box")
        c.store("1:5", "+FLAGS.SILENT", r"(\Deleted)")
        c.expunge()
        other.select("INBOX")
        races(server, f"{driver}: and with COPY, attack-127", lambda: c.copy("1", "INBOX"), lambda: other.copy("1", "box"))
        # After the coarsest clock's tick what was counted is kept, and a new session does not open what it knows.
        tick = time.time() + 2.2
        wait_for(lambda: time.time() > tick)
        before = quota(c)
        c.logout()
        other.logout()
        c = server.login("alice")
        tap.ok(quota(c) == before, f"{driver}: another session counts the same", before, quota(c))
        tap.ok(quota(c) == before, f"{driver}: and again, from what was kept", before, quota(c))
        c.logout()

# A limit of one user's own, by his record.
with Server(users=["alice", "bob"], settings={"quota": LIMITS}) as server:
    with open(server.path("passwd")) as f:
        text = f.read()
    with open(server.path("passwd"), "w") as f:
        f.write(re.sub(r"(?m)^(bob:.*)$", r"\1quota.limits=MESSAGE=3,MAILBOX=2", text))
    c = server.login("bob")
    tap.ok(quota(c) == {"MESSAGE": (0, 3), "MAILBOX": (1, 2)}, "a user's record replaces the limits", quota(c))
    c.logout()
    c = server.login("alice")
    tap.ok(quota(c)["MESSAGE"] == (0, 20), "but not those of others", quota(c))

    # What counting costs when nothing changed.
    if shutil.which("strace"):
        for i in range(30):
            c.create(f"m{i:02}")
            c.append(f"m{i:02}", None, None, MESSAGE) if i < 15 else None
        tick = time.time() + 2.2
        wait_for(lambda: time.time() > tick)
        quota(c)
        pid = next(iter(server.sessions()))
        trace = server.path("trace")
        s = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", trace, "-e", "trace=openat2,openat,pread64,read,newfstatat,fstat"],
                             stderr=subprocess.PIPE)
        if b"attached" in s.stderr.readline():
            quota(c)
            s.terminate()
            s.wait(10)
            lines = open(trace).read().splitlines()
            opened = [line for line in lines if re.search(r'openat2?\(.*"m\d\d"', line) and "O_PATH" not in line]
            tap.ok(not opened, "mailboxes that did not change are not opened to be counted", *opened[:5])
            print(f"# {len(lines)} calls for 31 mailboxes")
        else:
            s.wait(10)
            tap.skip("mailboxes that did not change are not opened to be counted", "strace cannot attach here")
    else:
        tap.skip("mailboxes that did not change are not opened to be counted", "no strace")
    c.logout()

# What the configuration says wrongly is told.
with Server(users=["alice"]) as server:
    server.settings["quota"] = 'quota = { limits = [ "FILES=3" ]; };'
    server.write_config()
    p = subprocess.run(server.command("--check-config"), capture_output=True, text=True)
    tap.ok(p.returncode != 0 and "FILES=3" in p.stdout + p.stderr, "--check-config names a limit that it does not know",
           p.stdout, p.stderr)
tap.done()
