#!/usr/bin/python3
"""A broken mailbox gets a NO that says where and is left untouched; an unreadable one likewise; others are served."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, Server, Tap

tap = Tap()
with Server(users=["alice"]) as server:
    mail = server.home("alice") + "/mail"

    def put(name, data, mode=0o600):
        with open(f"{mail}/{name}", "wb") as f:
            f.write(data)
        os.chmod(f"{mail}/{name}", mode)
        if os.getuid() == 0:
            os.chown(f"{mail}/{name}", NOBODY.pw_uid, NOBODY.pw_gid)

    good = b"From a@b Mon Jan  1 10:00:00 2024\nSubject: x\n\nbody\n\n"
    put("good", good)
    put("nul", b"\0" * 5000)
    put("text", b"this is no mailbox at all\n")
    put("one-octet", b"F")
    put("empty", b"")
    put("unreadable", good, 0o000)
    os.mkdir(f"{mail}/folder")
    os.mkfifo(f"{mail}/fifo")
    os.symlink("/etc/passwd", f"{mail}/link-out")
    os.symlink("good", f"{mail}/link-in")
    c = server.login("alice")
    for name in ("nul", "text", "one-octet", "fifo", "folder"):
        answer = c.select(name)
        tap.ok(answer[0] == "NO" and b"/" not in answer[1][0], f"SELECT of {name} is NO without a path, attack-117, attack-129", answer)
    answer = c.select("unreadable")
    tap.ok(answer[0] == "NO" and b"NOPERM" in answer[1][0], "SELECT of an unreadable file is NO [NOPERM]", answer)
    answer = c.select("link-out")
    tap.ok(answer[0] == "NO", "a link out of the mail folder is refused, attack-131", answer)
    answer = c.select("link-in")
    tap.ok(answer[0] == "OK", "a link inside it is followed", answer)
    answer = c.select("empty")
    tap.ok(answer == ("OK", [b"0"]), "an empty file is an empty mailbox", answer)
    answer = c.select("good")
    tap.ok(answer == ("OK", [b"1"]), "the good one is served all the same", answer)
    for name, data in (("nul", b"\0" * 5000), ("text", b"this is no mailbox at all\n"), ("one-octet", b"F")):
        with open(f"{mail}/{name}", "rb") as f:
            tap.ok(f.read() == data, f"{name} is untouched")

    # Under an open session: truncated, replaced, and garbage at the end.
    c.select("good")
    with open(f"{mail}/good", "r+b") as f:
        f.truncate(20)
    answer = c.fetch("1", "(BODY.PEEK[])")
    tap.ok(answer[0] in ("NO", "OK"), "FETCH of a truncated mailbox answers, attack-138", answer)
    d = server.login("alice")
    tap.ok(d.noop()[0] == "OK", "other sessions live on")
    put("good2", good + good)
    d.select("good2")
    os.rename(f"{mail}/good2", f"{mail}/away")
    put("good2", good)
    answer = d.noop()
    tap.ok(answer[0] in ("OK", "NO"), "a replaced mailbox is noticed, attack-138", answer)
tap.done()
