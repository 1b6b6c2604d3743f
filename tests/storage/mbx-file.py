#!/usr/bin/python3
"""mbx and unix mailboxes side by side: made, told apart, copied between, and a damaged one."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import Server, Tap

tap = Tap()
MESSAGE = b"From: a@example.org\r\nSubject: one\r\n\r\ntext\r\n"


def first(path, size=7):
    with open(path, "rb") as f:
        return f.read(size)


def side_by_side():
    with Server(settings={"drivers": 'drivers = [ "mbx", "unix" ];'}) as s:
        mail = lambda name: s.home("alice") + "/mail/" + name
        # UW's place of mailboxes may be the home directory itself.
        find = lambda name: next((p for p in (mail(name), s.home("alice") + "/" + name) if os.path.exists(p)), None)
        imap = s.login("alice")
        tap.ok(imap.create('"#driver.mbx/shared"')[0] == "OK", "CREATE #driver.mbx/shared")
        tap.ok(imap.create("plain")[0] == "OK", "CREATE of another")
        tap.ok(find("shared") is not None and first(find("shared")) == b"*mbx*\r\n", "the first is an mbx file", find("shared"))
        tap.ok(find("plain") is not None and first(find("plain"), 5) == b"From ", "the second is not", find("plain"))
        for name in ("shared", "plain"):
            imap.append(name, "(\\Seen Key)", None, MESSAGE)
            imap.append(name, None, None, MESSAGE)
            tap.ok(imap.select(name) == ("OK", [b"2"]), f"two messages in {name}")
            tap.ok(imap.fetch("1", "(FLAGS BODY[])")[1][0][1] == MESSAGE, f"and their octets, {name}")
        imap.select("plain")
        tap.ok(imap.copy("1:2", "shared")[0] == "OK", "COPY from unix to mbx")
        imap.select("shared")
        typ, data = imap.fetch("3", "(FLAGS BODY[])")
        tap.ok(data[0][1] == MESSAGE and b"\\Seen" in data[0][0] + data[-1] and b"Key" in data[0][0] + data[-1], "octets, flags and keywords go along", data)
        tap.ok(imap.copy("1", "plain")[0] == "OK", "and back")
        imap.store("1", "+FLAGS", "\\Deleted")
        tap.ok(imap.expunge()[0] == "OK", "EXPUNGE")
        other = s.login("alice")
        tap.ok(other.select("shared") == ("OK", [b"3"]), "another session has it open for writing too")
        other.store("1", "+FLAGS", "\\Answered")
        imap.noop()
        tap.ok(b"\\Answered" in imap.fetch("1", "(FLAGS)")[1][0], "and its flags are seen here")
        other.logout()
        imap.close()
        tap.ok(imap.rename("shared", "renamed")[0] == "OK" and imap.select("renamed") == ("OK", [b"3"]), "RENAME keeps it")
        imap.close()
        # Shorter than its header: not taken for anything else, not touched.
        path = find("renamed")
        with open(path, "r+b") as f:
            f.truncate(1000)
        before = first(path, 2000)
        typ, data = imap.select("renamed")
        tap.ok(typ == "NO", "a damaged one is refused", typ, data)
        tap.ok(first(path, 2000) == before, "and not touched")
        tap.ok(imap.select("plain")[0] == "OK", "the others are there")
        imap.logout()
        tap.ok("inside its header" in s.log(), "the log says where", s.log()[-2000:])


side_by_side()
tap.done()
