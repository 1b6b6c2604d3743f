#!/usr/bin/python3
"""mutt with its header cache and QRESYNC: it goes, the mailbox changes, it comes back, and what it shows is the mailbox.
mutt says which commands it used (its debug file), so that it is the resynchronisation that is tested."""
import mailbox
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap

tap = Tap()
features = subprocess.run(["mutt", "-v"], capture_output=True, text=True).stdout if shutil.which("mutt") else ""
if "+USE_HCACHE" not in features or "+DEBUG" not in features:
    tap.skip("mutt resynchronises", "no mutt with a header cache and a debug file")
    tap.done()

RC = """set imap_user="alice" imap_pass="{password}" ssl_starttls=no ssl_force_tls=no record=""
set spoolfile="imap://127.0.0.1:{port}/INBOX" folder="imap://127.0.0.1:{port}/" header_cache="{home}/cache"
set imap_condstore=yes imap_qresync=yes wait_key=no move=no mark_old=no quit=yes delete=no mail_check=60 confirmappend=no confirmcreate=no copy=no
set mbox_type=mbox
"""


def mutt(home, keys):
    """One run in a terminal; its debug file."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", HOME=home, LINES="40", COLUMNS="120")
        os.chdir(home)
        os.execvp("mutt", ["mutt", "-n", "-d", "3", "-F", f"{home}/rc", "-e", f'push "{keys}"'])
    seen, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        seen = (seen + data)[-20000:]
    else:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    os.close(fd)
    assert status == 0, f"mutt ended with {status}: {seen[-800:]!r}"
    with open(f"{home}/.muttdebug0", errors="replace") as f:
        return f.read()


def shown(home, pattern):
    """Subjects of the messages mutt finds with a pattern: it copies them to a file. And its debug file."""
    out = f"{home}/out"
    if os.path.exists(out):
        os.unlink(out)
    debug = mutt(home, f"<tag-pattern>{pattern}<enter><tag-prefix-cond><copy-message>{out}<enter><end-cond><exit>")
    found = sorted(m["Subject"] for m in mailbox.mbox(out)) if os.path.exists(out) else []
    return found, debug


def subjects(c, key):
    c.noop()
    numbers = c.search(None, key)[1][0].decode().split()
    return sorted(re.search(r"Subject: (.*)\r\n", c.fetch(n, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1].decode())[1] for n in numbers)


for driver in sys.argv[1:] or ["unix", "maildir"]:
    with Server(users=["alice"], driver=driver) as server:
        home = server.path("mutt")
        os.makedirs(f"{home}/cache")
        with open(f"{home}/rc", "w") as f:
            f.write(RC.format(password=PASSWORD, port=server.port, home=home))
        c = server.login("alice")
        for i in range(20):
            c.append("INBOX", "", None, f"From: a@example.org\r\nSubject: number {i}\r\n\r\ntext\r\n".encode())
        c.select("INBOX")
        found, debug = shown(home, "~A")
        tap.ok(found == subjects(c, "ALL") and "ENABLE QRESYNC" in debug, f"{driver}: mutt fills its cache", found, debug[-2000:])
        found, debug = shown(home, "~F")
        tap.ok(found == [] and "Reading uid seqset from header cache" in debug and " FETCH " not in debug,
               f"{driver}: it comes back and has nothing to ask", found, debug[-2000:])
        c.store("3,5,20", "+FLAGS", r"(\Flagged)")
        c.store("1,7:9", "+FLAGS", r"(\Deleted)")
        c.expunge()
        c.append("INBOX", r"(\Flagged)", None, b"From: a@example.org\r\nSubject: number 20\r\n\r\ntext\r\n")
        found, debug = shown(home, "~A")
        tap.ok(found == subjects(c, "ALL") and len(found) == 17, f"{driver}: what was expunged meanwhile is gone from it", found, debug[-3000:])
        tap.ok("VANISHED (EARLIER) 1,7:9" in debug and " VANISHED)" in debug, f"{driver}: which VANISHED has told it", debug[-3000:])
        found, debug = shown(home, "~F")
        tap.ok(found == subjects(c, "FLAGGED") and len(found) == 4, f"{driver}: flags that were set meanwhile are shown", found, debug[-3000:])
        mutt(home, "<tag-pattern>~F<enter><tag-prefix-cond><clear-flag>!<end-cond><sync-mailbox><quit>")
        c.noop()
        tap.ok(subjects(c, "FLAGGED") == [], f"{driver}: what mutt does is in the mailbox", subjects(c, "FLAGGED"))
        c.store("2", "+FLAGS", r"(\Flagged)")
        found, debug = shown(home, "~F")
        tap.ok(found == subjects(c, "FLAGGED") and len(found) == 1, f"{driver}: its own changes are not in the way of the next", found, debug[-3000:])
        c.logout()
tap.done()
