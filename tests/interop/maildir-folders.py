#!/usr/bin/python3
"""Maildir++ folders, served by Mortise (dot_folders) and by Debian's Dovecot at once: both list the same hierarchy, make,
rename, delete and subscribe, and find what the other one made. Names that cannot be, folders without a level above them,
directories that are no folders. attack-047"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dovecot as dovecot_server
from mortise import NOBODY, Server, Tap, wait_for

tap = Tap()


def listed(c, pattern="*", command="list"):
    """{name: attributes}"""
    out = {}
    for line in getattr(c, command)('""', f'"{pattern}"')[1]:
        if line is not None:
            flags, name = line.decode()[1:].split(') "/" ')
            out[name.strip('"')] = {f for f in flags.lower().split() if "children" in f or "no" in f} - {"\\unmarked"}
    return out


def answer(c, *command):
    return c._simple_command(*command)[0]


def make_maildir(path):
    for d in ("", "/tmp", "/new", "/cur"):
        os.mkdir(path + d)
        if os.getuid() == 0:
            os.chown(path + d, NOBODY.pw_uid, NOBODY.pw_gid)


def both(server, dovecot):
    """The same hierarchy, and changes of one in the other."""
    top = server.home("alice") + "/Maildir"
    make_maildir(top)
    c, d = server.login("alice"), dovecot.login("alice")
    tap.ok(all(c.create(n)[0] == "OK" for n in ("Work", "Work/2026", '"Alone/Below/Deep"', '"Entw&APw-rfe"', '"INBOX/Old"')), "CREATE")
    tap.ok(sorted(x for x in os.listdir(top) if x[0] == ".") ==
           [".Alone.Below.Deep", ".Entw&APw-rfe", ".INBOX.Old", ".Work", ".Work.2026"], "each is one directory", os.listdir(top))
    tap.ok(os.path.exists(f"{top}/.Work.2026/maildirfolder"), "that says it is a folder")
    tap.ok(all(d.create(n)[0] == "OK" for n in ("Theirs", "Theirs/Below", '"R&AOk-union"')), "CREATE by Dovecot")
    for pattern in ("*", "%", "Work/%", "%/%", "Alone/%", "Alone/*", "T*w", "INBOX*", "INBOX/%", "Nothing/%"):
        ours, theirs = listed(c, pattern), listed(d, pattern)
        # What \Noselect and \NonExistent are to each differs; a level is there for both.
        tap.ok(ours.keys() == theirs.keys(), f"LIST {pattern}", ours, theirs)
        tap.ok(all("\\haschildren" in ours[n] for n in theirs if "\\haschildren" in theirs[n]) and
               all("\\hasnochildren" in ours[n] for n in theirs if "\\hasnochildren" in theirs[n]), f"and what is below", ours, theirs)
    tap.ok(listed(c, "Alone")["Alone"] == {"\\noselect", "\\haschildren"}, "a level without a folder", listed(c, "Alone"))
    tap.ok(c.select("Alone")[0] == "NO" and c.delete("Alone")[0] == "NO" and c.status("Alone", "(MESSAGES)")[0] == "NO", "is no mailbox")
    for n in ("Work/2026", "Theirs/Below", '"R&AOk-union"', '"INBOX/Old"'):
        tap.ok(c.append(n, None, None, b"Subject: ours\r\n\r\nx\r\n")[0] == "OK" and
               d.append(n, None, None, b"Subject: theirs\r\n\r\nx\r\n")[0] == "OK", f"APPEND to {n} by both")
        answers = [x.status(n, "(MESSAGES UIDNEXT UIDVALIDITY)")[1] for x in (c, d)]
        tap.ok(answers[0] == answers[1] and b"MESSAGES 2" in answers[0][0], "and both see both", *answers)
    renames(dovecot, c, d, top)
    c.logout()
    d.logout()


def renames(dovecot, c, d, top):
    def anew(pattern):
        """A session of Dovecot's that has listed something goes on believing it."""
        other = dovecot.login("alice")
        names = set(listed(other, pattern))
        other.logout()
        return names

    before = c.status("Work/2026", "(MESSAGES UIDVALIDITY)")[1][0].split(b" (")[1]
    tap.ok(c.rename("Work", "Play/Games")[0] == "OK", "RENAME")
    tap.ok(set(listed(c, "Work*")) == set() and set(listed(c, "Play*")) == {"Play", "Play/Games", "Play/Games/2026"} and
           wait_for(lambda: anew("Work*") == set() and anew("Play*") == set(listed(c, "Play*")), 10, 0.5), "takes along what is below",
           listed(c, "*"), listed(d, "*"), os.listdir(top))
    tap.ok(c.status("Play/Games/2026", "(MESSAGES UIDVALIDITY)")[1][0].split(b" (")[1] == before, "with its UIDs")
    tap.ok(c.rename("Alone", "Together")[0] == "OK" and set(listed(c, "Together*")) == {"Together", "Together/Below", "Together/Below/Deep"},
           "of a level without a folder", listed(c, "*"))
    tap.ok(c.rename("Nothing", "Something")[0] == "NO", "of nothing")
    tap.ok(c.create("A/x")[0] == "OK" and c.create("B/x")[0] == "OK" and c.rename("A", "B")[0] == "NO" and
           set(listed(c, "A/*")) == {"A/x"}, "onto what is there changes nothing")
    tap.ok(c.rename("Play", "Play/Below")[0] == "NO", "below itself")
    tap.ok(d.rename("Theirs", "Ours")[0] == "OK" and set(listed(c, "Ours*")) == {"Ours", "Ours/Below"}, "by Dovecot", listed(c, "*"))
    tap.ok(c.delete("Ours")[0] == "OK" and listed(c, "Ours*") == {"Ours": {"\\noselect", "\\haschildren"}, "Ours/Below": {"\\hasnochildren"}},
           "DELETE leaves what is below", listed(c, "Ours*"))
    tap.ok(c.delete("Ours/Below")[0] == "OK" and listed(c, "Ours*") == {} and
           wait_for(lambda: anew("Ours*") == set(), 10, 0.5), "and the level goes with the last of it",
           listed(c, "*"), listed(d, "*"), os.listdir(top))
    tap.ok(c.create("Again")[0] == "OK" and c.create("Again/Sub/")[0] == "OK" and "Again/Sub" in listed(c, "Again/*"), "a trailing separator")
    tap.ok(c.subscribe("Again/Sub")[0] == "OK" and set(listed(c, "*", "lsub")) == {"Again/Sub"} and
           set(listed(c, "%", "lsub")) == {"Again"}, "SUBSCRIBE", listed(c, "*", "lsub"))
    tap.ok(not os.path.exists(f"{top}/.Ours"), "nothing is left of what was deleted")


def names(server):
    """Names that cannot be, and directories that are no folders."""
    top = server.home("bob") + "/Maildir"
    make_maildir(top)
    c = server.login("bob")
    for name in ("a.b", "x/y.z", ".a", "a//b", "../x", "a/", "x" * 256, "/".join(["x" * 30] * 9)):
        was = sorted(os.listdir(top))
        got = c.create(f'"{name}"')[0]
        tap.ok(got == "NO" or (name == "a/" and got == "OK"), f"CREATE {name[:20]} is refused", got)
        tap.ok(name == "a/" or sorted(os.listdir(top)) == was, "and makes nothing")
    for name in (".plain", ".a..b", ".", "..", ".x.", ".&AC8-", ".&Jjo", ".bad\udcff", ".INBOX", ".Inbox"):
        if name not in (".", ".."):
            make_maildir(f"{top}/{name}") if name != ".plain" else os.mkdir(f"{top}/{name}")
    make_maildir(f"{top}/Nodot")
    make_maildir(f"{top}/.Entwürfe")
    os.symlink("/etc", f"{top}/.link")
    os.symlink(f"{top}/.Entwürfe", f"{top}/.same")
    with open(f"{top}/.file", "w") as f:
        f.write("From x\n")
    got = listed(c, "*")
    # What is no modified UTF-7 is what it says.
    tap.ok(set(got) == {"INBOX", "a", "Entw&APw-rfe", "&-AC8-", "&-Jjo"}, "only folders are listed", got)
    tap.ok(c.select('"Entw&APw-rfe"')[0] == "OK", "one whose name is UTF-8 on disk is opened")
    tap.ok(c.select("plain")[0] == "NO" and c.select("link")[0] == "NO" and c.select("Nodot")[0] == "NO" and c.select("cur")[0] == "NO" and
           c.select("removed-cur")[0] == "NO", "nothing else is")
    tap.ok(c.select("INBOX")[0] == "OK", "INBOX is the maildir above them")
    c.logout()


def courier(server):
    """A tree as Courier leaves it: no list of UIDs but its own."""
    top = server.home("carol") + "/Maildir"
    make_maildir(top)
    make_maildir(f"{top}/.Sent")
    with open(f"{top}/.Sent/courierimapuiddb", "w") as f:
        f.write("1 1234567 50\n41 1.a\n43 1.b\n")
    for name in ("1.a:2,S", "1.b:2,"):
        with open(f"{top}/.Sent/cur/{name}", "w") as f:
            f.write("Subject: x\n\nx\n")
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", top], check=True)
    c = server.login("carol")
    got = c.status("Sent", "(UIDVALIDITY UIDNEXT MESSAGES)")[1][0]
    tap.ok(b"UIDVALIDITY 1234567" in got and b"UIDNEXT 50" in got and b"MESSAGES 2" in got, "a folder of Courier's", got)
    c.logout()


def main():
    settings = {"store": 'store = { inbox = [ "~/Maildir" ]; mail_dir = "~/Maildir"; default_driver = "maildir"; dot_folders = true; };'}
    with Server(users=["alice", "bob", "carol"], driver="maildir", settings=settings) as server:
        if dovecot_server.installed():
            location = f"maildir:{server.path('home')}/%u/Maildir"
            with dovecot_server.Dovecot(location, users=server.users) as dovecot:
                both(server, dovecot)
                bad = [x for x in dovecot.mail_log().splitlines() if "Error:" in x or "Panic" in x or "Corrupted" in x]
                tap.ok(not bad, "Dovecot has nothing to complain about", *bad[:10])
        else:
            tap.skip("folders shared with Dovecot", "dovecot is not installed")
        names(server)
        courier(server)
        bad = [x for x in server.log().splitlines() if " error:" in x]
        tap.ok(not bad, "neither have we", *bad[:10])


main()
tap.done()
