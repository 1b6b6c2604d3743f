#!/usr/bin/python3
"""A full disk gets NO [OVERQUOTA], loses nothing, and the session goes on. attack-137. Needs root (a small tmpfs)."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import Server, Tap

tap = Tap()
if os.getuid() != 0:
    tap.skip("APPEND on a full disk", "mounting a small tmpfs needs root")
    tap.done()

server = Server(users=["alice"])
spool = server.path("spool")
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=1777", "tmpfs", spool]).returncode != 0:
    tap.skip("APPEND on a full disk", "tmpfs cannot be mounted here")
    tap.done()
try:
    with server:
        c = server.login("alice")
        small = b"Subject: small\r\n\r\nbody\r\n"
        tap.ok(c.append("INBOX", None, None, small)[0] == "OK", "a small message fits")
        c.select("INBOX")
        before = c.fetch("1", "(UID BODY.PEEK[])")[1][0]
        answer = c.append("INBOX", None, None, b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" + b"y" * 400000 + b"\r\n")
        tap.ok(answer[0] == "NO" and b"OVERQUOTA" in answer[1][0], "APPEND beyond the disk is NO [OVERQUOTA]", answer)
        tap.ok(c.noop()[0] == "OK", "the session goes on")
        tap.ok(c.fetch("1", "(UID BODY.PEEK[])")[1][0] == before, "the message that was there is untouched")
        tap.ok(c.status("INBOX", "(MESSAGES)")[1][0] == b"INBOX (MESSAGES 1)", "and it is the only one")
        # Fill the disk to the last octet with something else: flags and expunges still lose nothing.
        with open(f"{spool}/filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"z" * 4096)
            except OSError:
                pass
        c.store("1", "+FLAGS", r"(\Flagged)")
        c.store("1", "+FLAGS", r"(\Deleted)")
        answer = c.expunge()
        tap.ok(answer[0] in ("OK", "NO"), "EXPUNGE on a full disk answers", answer)
        c.logout()
        os.unlink(f"{spool}/filler")
        c = server.login("alice")
        c.select("INBOX")
        if answer[0] == "OK":
            tap.ok(c.search(None, "ALL")[1] == [b""], "what was expunged is gone")
        else:
            tap.ok(before[1] == c.fetch("1", "(UID BODY.PEEK[])")[1][0][1], "what was not expunged is whole")
        c.logout()
finally:
    subprocess.run(["umount", "-l", spool])
tap.done()
