#!/usr/bin/env python3
"""IDLE (RFC 2177) hears at once of what only the index keeps: keywords in formats that have none."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import Server, Tap, read_line  # noqa: E402

tap = Tap()
ROUNDS = 60


def heard(sock, word, there):
    """Whether a FETCH tells that the keyword is there, or no longer. The poll of IDLE is far away."""
    try:
        for _ in range(10):
            line = read_line(sock)
            if not line:
                return False
            if b"FETCH" in line and (word in line) == there:
                return True
    except socket.timeout:
        pass
    return False


def rounds(driver):
    with Server(driver=driver, settings={"imap": 'imap = { idle_poll = "29m"; idle_keepalive = "29m"; };'}) as s:
        writer, idle = s.login("alice"), s.login("alice")
        writer.append("INBOX", None, None, b"Subject: x\r\n\r\nx\r\n")
        writer.select("INBOX")
        idle.select("INBOX")
        idle.send(b"i IDLE\r\n")
        while not read_line(idle.sock).startswith(b"+"):
            pass
        idle.sock.settimeout(20)
        count = 0
        for i in range(ROUNDS):
            writer.store("1", "-FLAGS" if i % 2 else "+FLAGS", "(Seal)")
            if not heard(idle.sock, b"Seal", i % 2 == 0):
                break
            count += 1
        tap.ok(count == ROUNDS, f"{driver}: each change of a keyword is heard in IDLE", f"{count} of {ROUNDS}")
        idle.sock.close()
        writer.logout()


for name in ("mh", "unix", "mbx", "maildir"):
    rounds(name)
tap.done()
