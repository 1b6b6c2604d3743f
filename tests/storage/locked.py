#!/usr/bin/python3
"""A mailbox somebody else holds gets NO [INUSE] when the deadline is over, and nothing is lost. attack-132, attack-134."""
import fcntl
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, Server, Tap

tap = Tap()
server = Server(users=["alice"])
server.settings["store"] = server.config_text().split("store = {")[1].split("};")[0]
server.settings["store"] = f'store = {{ lock_timeout = "1s"; {server.settings["store"]} }};'
server.write_config()


def give(path):
    if os.getuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


with server:
    box = server.spool("alice")
    c = server.login("alice")
    message = b"Subject: one\r\n\r\nbody\r\n"
    tap.ok(c.append("INBOX", None, None, message)[0] == "OK", "APPEND without a lock in the way")
    c.select("INBOX")
    with open(box, "rb") as f:
        before = f.read()

    with open(box + ".lock", "w") as f:
        f.write(f"{os.getpid()}\n")
    give(box + ".lock")
    start = time.monotonic()
    answer = c.append("INBOX", None, None, message)
    tap.ok(answer[0] == "NO" and b"[INUSE]" in answer[1][0], "APPEND under somebody's dot-lock is NO [INUSE]", answer)
    tap.ok(time.monotonic() - start < 15, "after the configured time, not after minutes")
    answer = c.store("1", "+FLAGS", r"(\Flagged)")
    tap.ok(answer[0] == "NO", "STORE likewise", answer)
    tap.ok(c.noop()[0] == "OK", "the session goes on")
    with open(box, "rb") as f:
        tap.ok(f.read() == before, "the mailbox is untouched")
    os.unlink(box + ".lock")

    with open(box, "r+b") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        answer = c.append("INBOX", None, None, message)
        tap.ok(answer[0] == "NO" and b"[INUSE]" in answer[1][0], "APPEND under somebody's fcntl lock is NO [INUSE]", answer)
        tap.ok(not os.path.exists(box + ".lock"), "and leaves no dot-lock behind")
    tap.ok(c.append("INBOX", None, None, message)[0] == "OK", "APPEND once the lock is gone")
    tap.ok(c.store("1", "+FLAGS", r"(\Flagged)")[0] == "OK", "STORE once the lock is gone")
    tap.ok(c.status("INBOX", "(MESSAGES)")[1][0] == b"INBOX (MESSAGES 2)", "exactly the acknowledged messages are there")

    # A lock that was left by a crash: its process is gone, and it is old.
    with open(box + ".lock", "w") as f:
        f.write("999999\n")
    give(box + ".lock")
    old = time.time() - 3600
    os.utime(box + ".lock", (old, old))
    answer = c.append("INBOX", None, None, message)
    tap.ok(answer[0] in ("OK", "NO"), "a stale dot-lock does not hang the session", answer)
    c.logout()
tap.done()
