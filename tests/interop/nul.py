#!/usr/bin/python3
"""Mail that holds NUL because another program wrote it: nothing on the wire breaks, whatever is asked of it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import Server, Tap

HEADER = b"From: a@example.org\nSubject: n\0l\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=q\n\n"
BODY = b"\0pre\n--q\nContent-Type: text/plain\n\na\0b\n--q\nContent-Type: application/x-z; name=\"n\0\"\n\n\0\0\n--q--\n"
TEXT = (HEADER + BODY).replace(b"\n", b"\r\n")


def deliver(server, driver):
    mail = os.path.join(server.home("alice"), "mail")
    path = {"unix": server.spool("alice"), "maildir": f"{mail}/maildir/new/1704103200.1.example", "mh": f"{mail}/mh/1"}[driver]
    with open(path, "ab") as f:
        if driver == "unix":
            f.write(b"From a@example.org Mon Jan  1 10:00:00 2024\n")
        f.write(HEADER + BODY)
        if driver == "unix":
            f.write(b"\n")
    os.chmod(path, 0o666)


def whole(data):
    """The octets of a FETCH answer's one literal."""
    return next(d[1] for d in data if isinstance(d, tuple))


tap = Tap()
for driver in ("unix", "maildir", "mh"):
    with Server(users=["alice"], driver=driver) as s:
        c = s.login("alice")
        box = "INBOX" if driver == "unix" else driver
        if driver != "unix":
            c.create(box)
        deliver(s, driver)
        status, count = c.select(box)
        if not tap.ok(status == "OK" and count == [b"1"], f"{driver}: the mailbox opens", status, count):
            continue
        size = int(c.fetch("1", "(RFC822.SIZE)")[1][0].split()[-1].rstrip(b")"))
        text = whole(c.fetch("1", "(BODY.PEEK[])")[1])
        tap.ok(size == len(TEXT) == len(text), f"{driver}: sizes agree", size, len(TEXT), len(text))
        tap.ok(text == TEXT.replace(b"\0", b"\x80"), f"{driver}: BODY[] has 0x80 for NUL", text)
        text = whole(c.fetch("1", "(BINARY.PEEK[])")[1])
        tap.ok(text == TEXT, f"{driver}: BINARY[] has NUL", text)
        tap.ok(whole(c.fetch("1", "(BINARY.PEEK[1])")[1]) == b"a\0b", f"{driver}: a part has NUL")
        tap.ok(whole(c.fetch("1", "(BODY.PEEK[2]<1.1>)")[1]) == b"\x80", f"{driver}: a partial has 0x80")
        for item in ("ENVELOPE", "BODYSTRUCTURE", "BODY", "PREVIEW", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "BODY.PEEK[2.MIME]"):
            status, data = c.fetch("1", f"({item})")
            octets = b"".join(b"".join(d) if isinstance(d, tuple) else d for d in data)
            tap.ok(status == "OK" and b"\0" not in octets, f"{driver}: no NUL in {item}", status, data)
        tap.ok(c.search(None, "TEXT", "b")[1] == [b"1"], f"{driver}: SEARCH TEXT looks behind a NUL")
        c.create("copy")
        status, data = c.copy("1", "copy")
        tap.ok(status == "OK", f"{driver}: COPY", status, data)
        status, data = c.append("copy", None, None, TEXT.replace(b"\0", b""))
        c.select("copy")
        sizes = [int(d.split()[-1].rstrip(b")")) for d in c.fetch("1:2", "(RFC822.SIZE)")[1]]
        tap.ok(sizes[0] in (len(TEXT), len(TEXT) - TEXT.count(b"\0")) and len(whole(c.fetch("1", "(BODY.PEEK[])")[1])) == sizes[0],
               f"{driver}: the copy can be read", sizes)
        tap.ok(c.noop()[0] == "OK", f"{driver}: the connection is in step")
        c.logout()
tap.done()
