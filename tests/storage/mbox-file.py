#!/usr/bin/python3
"""What stands in the mbox file after IMAP has worked on it: what other programs of the host will read."""
import os
import re
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import Server, Tap

tap = Tap()
with Server(users=["alice"]) as server:
    c = server.login("alice")
    c.append("INBOX", r"(\Seen)", '"05-Jan-2024 10:20:30 +0100"', b"Subject: one\r\nStatus: forged\r\n\r\nFrom here\r\nend\r\n")
    c.select("INBOX")
    c.store("1", "+FLAGS", r"(\Flagged kw)")
    with open(server.spool("alice")) as f:
        text = f.read()
    message = text[text.index("\nFrom alice@") + 1:] if "\nFrom alice@" in text else ""
    tap.ok(message, "the From line names the user", text[:400])
    tap.ok(re.match(r"From alice@\S+ Fri Jan  5 10:20:30 2024 \+0100\n", message), "and the date that was given", message[:80])
    tap.ok("\n>From here\n" in message, "a From line of the text is quoted")
    tap.ok("\nX-Original-Status: forged\n" in message, "a Status line of the message is renamed", message)
    tap.ok(re.search(r"^Status: R?O?\w*\n", message, re.M) and re.search(r"^X-Status: .*F", message, re.M)
           and re.search(r"^X-Keywords: kw", message, re.M) and re.search(r"^X-UID: 1$", message, re.M),
           "flags, keywords and UID stand where c-client looks for them", message)
    tap.ok("\n\n" == message[-2:], "the message ends with an empty line")
    tap.ok(stat.S_IMODE(os.stat(server.spool("alice")).st_mode) == 0o600, "the file is the user's alone")
    tap.ok(sorted(os.listdir(server.path("spool"))) == ["alice"], "no lock is left", os.listdir(server.path("spool")))
tap.done()
