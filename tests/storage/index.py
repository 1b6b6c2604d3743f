#!/usr/bin/env python3
"""The index under the real daemon, in its sandbox: kept between sessions; in memory where its name is taken
(attack-131); replaced when it is damaged, at the cost of one session at most. An mh folder, whose UIDs live there alone."""
import imaplib
import os
import random
import re
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, SANITIZED, Server, Tap, find_binary, wait_for  # noqa: E402

tap = Tap()
FILES = ("index.cache", "index.cache-lock", "index.state", "index.state-lock")


def give(path):
    if os.getuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


def uids(server):
    """(UIDVALIDITY, UIDs, whether mod-sequences are kept) of the folder, in a session of their own."""
    c = server.login("alice")
    typ, data = c.select("box")
    assert typ == "OK", data
    validity = c.response("UIDVALIDITY")[1][0]
    kept = "NOMODSEQ" not in c.untagged_responses
    found = c.uid("SEARCH", "ALL")[1][0].split()
    c.logout()
    return validity, found, kept


def lose(state):
    for name in FILES:
        if os.path.exists(f"{state}/{name}"):
            os.unlink(f"{state}/{name}")


def patiently(what, state):
    """A session may fall over a damaged file; the next one does not."""
    try:
        return what()
    except (imaplib.IMAP4.error, OSError, AssertionError):
        if SANITIZED:  # no crash handler there puts a file away
            lose(state)
        return what()


with Server(users=["alice"], driver="mh", crashes=True) as server:
    state = server.home("alice") + "/.mortise"
    c = server.login("alice")
    tap.ok(c.create("box")[0] == "OK", "an mh folder is made")
    for i in range(20):
        c.append("box", None, None, b"Subject: %d\r\n\r\nbody\r\n" % i)
    c.select("box")
    c.store("3,5", "+FLAGS", r"(\Deleted)")
    c.expunge()
    c.fetch("1:*", "(ENVELOPE BODYSTRUCTURE)")
    c.logout()
    first = uids(server)
    tap.ok(len(first[1]) == 18 and b"3" not in first[1] and first[2], "UIDs have the gaps that EXPUNGE left", first)
    tap.ok(uids(server) == first, "and are the same in the next session")
    modes = [(f, oct(os.stat(f"{state}/{f}").st_mode)) for f in FILES]
    tap.ok(all(stat.S_IMODE(os.stat(f"{state}/{f}").st_mode) == 0o600 for f in FILES), "the files are the user's alone", modes)

    # imapctl, while a session has the mailbox open.
    c = server.login("alice")
    c.select("box")

    def imapctl(*arguments):
        return subprocess.run([find_binary("imapctl"), "--config", server.path("imapd.conf"), "--state-dir", state, "index",
                               *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)

    r = imapctl("show", server.home("alice") + "/mail/box")
    tap.ok(r.returncode == 0 and re.search(r"messages +18,", r.stdout) and first[0].decode() in r.stdout,
           "imapctl shows what the session knows", r.stdout)
    r = imapctl("verify", "--all")
    tap.ok(r.returncode == 0 and "; 0 damaged" in r.stdout, "imapctl finds nothing damaged", r.stdout)
    tap.ok(c.noop()[0] == "OK" and c.store("1", "+FLAGS", r"(\Flagged)")[0] == "OK", "the session goes on")
    c.logout()

    # A session that is killed leaves nothing behind that hinders others.
    def sessions():
        return [int(p) for p in re.findall(r"session\[(\d+)\].*logged in", server.log())]

    known = len(sessions())
    c = server.login("alice")
    c.select("box")
    wait_for(lambda: len(sessions()) > known)
    os.kill(sessions()[-1], signal.SIGKILL)
    tap.ok(uids(server) == first, "after a session was killed all is as it was")

    # index.cache is lost: index.state knows the UIDs.
    os.unlink(f"{state}/index.cache")
    tap.ok(uids(server)[:2] == first[:2], "without index.cache the UIDs stay")

    # Damage.
    keep = {f: open(f"{state}/{f}", "rb").read() for f in ("index.cache", "index.state")}
    random.seed(5)
    for turn in range(12):
        name = ("index.cache", "index.state")[turn & 1]
        for f, octets in keep.items():
            with open(f"{state}/{f}", "wb") as out:
                out.write(octets)
            os.chmod(f"{state}/{f}", 0o600)
            give(f"{state}/{f}")
        with open(f"{state}/{name}", "r+b") as out:
            if turn < 4:
                out.truncate((0, 5000)[turn >> 1])
            else:
                for _ in range(8):
                    out.seek(random.randrange(0, len(keep[name]) // 4096) * 4096 + random.randrange(64))
                    out.write(bytes([random.randrange(256)]))
        got = patiently(lambda: uids(server), state)
        tap.ok(len(got[1]) == 18 and got[2], f"a damaged {name} costs one session at most ({turn})", got, server.log()[-2000:])

    # Somebody has the name.
    for f in FILES[:2]:
        lose(state)
        os.mkdir(f"{state}/{f}")
        give(f"{state}/{f}")
        got = uids(server)
        tap.ok(len(got[1]) == 18 and not got[2], f"with a directory as {f} mailboxes open, mod-sequences are not promised", got)
        os.rmdir(f"{state}/{f}")
    tap.ok(server.logged(r"MRT-0410"), "and the log says why")
    got = uids(server)
    tap.ok(got[2] and uids(server) == got, "when it is gone the index is kept again", got)
    r = imapctl("drop", "--all")
    tap.ok(r.returncode == 0 and "1 mailbox forgotten" in r.stdout, "imapctl forgets", r.stdout)
    tap.ok(len(uids(server)[1]) == 18, "and the mailbox is read anew")

tap.done()
