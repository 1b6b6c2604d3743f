#!/usr/bin/python3
"""IMAP sessions and programs with the real c-client library at the same mbx mailboxes, at the same time.

While a mailbox is selected c-client flags, expunges and adds; while c-client has it open the session does. Each is told what
the other did, nothing is moved under anybody, and in the end both say the same.
"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from c_client import flag_in_place, locked, wait_until_tried
from mortise import BUILD, NOBODY, Server, Tap

tap = Tap()
CCLIENT = f"{BUILD}/tests/interop/cclient-dump"
if not os.path.exists(CCLIENT):
    tap.skip("c-client and IMAP sessions at the same mailbox", "libc-client is not installed")
    tap.done()
ROOT = os.getuid() == 0
PREFIX = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--"] if ROOT else []
TEXT = b"Subject: number %d\r\n\r\ntext of number %d\r\n"


class Box:
    """A mailbox that IMAP made, and its file."""

    def __init__(self, server, name, messages):
        self.server, self.name = server, name
        self.imap = server.login("alice")
        self.imap.create(name)
        for i in range(1, messages + 1):
            self.imap.append(name, None, None, TEXT % (i, i))
        home = server.home("alice")
        self.path = next(p for p in (f"{home}/mail/{name}", f"{home}/{name}") if os.path.exists(p))
        self.message = server.path(f"message-{name}")
        with open(self.message, "wb") as f:
            f.write(b"Subject: from c-client\r\n\r\ntext\r\n")
        os.chmod(self.message, 0o644)

    def start(self, *words):
        env = {"PATH": "/usr/bin:/bin", "HOME": self.server.home("alice"), "LOGNAME": "someone"}
        return subprocess.Popen(PREFIX + [CCLIENT, self.path, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)

    def c_client(self, *words):
        p = self.start(*words)
        out, err = p.communicate(timeout=120)
        return p.returncode, out.decode(), err.decode()

    def marked(self):
        with open(self.path, "rb") as f:
            return len(re.findall(rb"[0-9a-f]{8}8[0-9a-f]{3}-[0-9a-f]{8}\r\n", f.read()[2048:]))


def parse(text):
    """UID -> flags, as c-client dumps it."""
    return {int(u): set(f.split()) for u, f in re.findall(r'uid (\d+) flags "([^"]*)"', text)}


def fetched(imap):
    """UID -> flags, as IMAP says."""
    found = {}
    for item in imap.uid("FETCH", "1:*", "(FLAGS)")[1]:
        m = item and re.search(rb"UID (\d+).*FLAGS \(([^)]*)\)|FLAGS \(([^)]*)\).*UID (\d+)", item)
        if m:
            found[int(m.group(1) or m.group(4))] = set((m.group(2) or m.group(3) or b"").decode().split()) - {"\\Recent"}
    return found


def agree(box, title):
    status, out, err = box.c_client("ping", "dump")
    theirs = {u: f - {"\\Recent"} for u, f in parse(out).items()}
    box.imap.noop()
    ours = fetched(box.imap)
    tap.ok(status == 0 and theirs == ours, title, f"c-client {theirs}", f"IMAP {ours}", err)


def lines_until_hold(p):
    out = []
    while True:
        line = p.stdout.readline().decode()
        if line in ("", "holding\n"):
            return "".join(out)
        out.append(line)


def go_on(p):
    p.stdin.write(b"\n")
    p.stdin.flush()
    return lines_until_hold(p)


def selected(server):
    """c-client changes what a session has selected."""
    box = Box(server, "selected", 5)
    imap = box.imap
    imap.select(box.name)
    status, _, err = box.c_client("set", "2", "\\Seen KeyB", "set", "3", "\\Deleted", "expunge", "append", box.message, "\\Draft", "", "check")
    tap.ok(status == 0, "c-client flags, expunges and adds while the mailbox is selected", err)
    tap.ok(box.marked() == 1, "it only marks, since we have it open")
    imap.response("EXPUNGE")
    imap.response("EXISTS")
    imap.noop()
    tap.ok(imap.response("EXPUNGE")[1] == [b"3"], "the session is told what is gone")
    tap.ok(imap.response("EXISTS")[1][-1] == b"5", "and what is new")
    now = fetched(imap)
    tap.ok(now.get(2) == {"\\Seen", "KeyB"} and now.get(6) == {"\\Draft"} and 3 not in now, "with its flags and keywords", now)
    body = imap.uid("FETCH", "6", "(BODY.PEEK[])")[1][0][1]
    tap.ok(body == b"Subject: from c-client\r\n\r\ntext\r\n", "and its text", body)
    body = imap.uid("FETCH", "5", "(BODY.PEEK[])")[1][0][1]
    tap.ok(body == TEXT % (5, 5), "what is behind the one that went is where it was", body)
    agree(box, "both say the same")
    imap.close()
    box.imap.select("INBOX")
    imap.logout()
    tap.ok(box.marked() == 0, "the last one out takes the space back")


def held(server):
    """A session changes what c-client has open."""
    box = Box(server, "held", 5)
    imap = box.imap
    p = box.start("set", "1", "\\Flagged", "hold", "ping", "dump", "hold", "append", box.message, "", "", "ping", "dump")
    lines_until_hold(p)
    imap.select(box.name)
    imap.uid("STORE", "2", "+FLAGS", "(\\Seen KeyA)")
    imap.uid("STORE", "4", "+FLAGS", "(\\Deleted)")
    tap.ok(imap.expunge()[1] == [b"4"], "EXPUNGE while c-client has it open")
    tap.ok(box.marked() == 1, "nothing is moved under it")
    typ, data = imap.append(box.name, "(\\Answered)", None, TEXT % (6, 6))
    tap.ok(typ == "OK", "APPEND too", data)
    seen = parse(go_on(p))
    tap.ok(4 not in seen and "\\Answered" in seen.get(6, ()) and {"\\Seen", "KeyA"} <= seen.get(2, set()) and "\\Flagged" in seen.get(1, ()),
           "c-client sees all of it", seen)
    # Twice within a second, by one session: it looks at flags again all the same.
    imap.uid("STORE", "2", "-FLAGS", "(\\Seen)")
    imap.uid("STORE", "5", "+FLAGS", "(\\Seen)")
    seen = parse(go_on(p))
    out, err = p.communicate(timeout=60)
    seen = parse(out.decode()) or seen
    tap.ok(p.returncode == 0, "c-client has no complaint", err)
    tap.ok("\\Seen" in seen.get(5, ()) and "\\Seen" not in seen.get(2, {"\\Seen"}), "flags that change again are seen again", seen)
    agree(box, "both say the same at the end")
    imap.close()
    imap.logout()
    tap.ok(box.marked() == 0, "the space was taken back")


def while_we_wait(server):
    """c-client has the lock and flags a message while STORE waits for the lock, to flag the same one."""
    others = set(server.sessions())
    box = Box(server, "waiting", 3)
    pid, = set(server.sessions()) - others
    box.imap.select(box.name)
    with ThreadPoolExecutor() as threads:
        with locked(box.path):
            store = threads.submit(box.imap.uid, "STORE", "2", "+FLAGS", "(\\Flagged KeyA)")
            wait_until_tried(pid, box.path)
            flag_in_place(box.path, 2, 1)
        tap.ok(store.result(timeout=60)[0] == "OK", "STORE is done when it gets the lock")
    status, out, err = box.c_client("ping", "dump")
    tap.ok(status == 0 and parse(out).get(2) == {"\\Seen", "\\Flagged", "KeyA"}, "the flag that was set meanwhile stays", out, err)
    agree(box, "both say the same")
    box.imap.logout()


def at_once(server):
    """Several of each, all at the same time."""
    box = Box(server, "busy", 20)
    uids = [str(u) for u in range(1, 21)]
    running = [box.start(*sum((["append", box.message, "", "", "set", uids[i], "\\Seen", "set", uids[10 + i], "\\Deleted", "expunge", "ping"] for _ in range(4)), []))
               for i in range(3)]
    sessions = [server.login("alice") for _ in range(2)]
    failed = []
    for turn in range(6):
        for n, imap in enumerate(sessions):
            for typ, data in (imap.select(box.name), imap.append(box.name, None, None, TEXT % (turn, n)),
                              imap.uid("STORE", uids[5 + n], "+FLAGS", "(\\Flagged)"), imap.uid("STORE", uids[15 + n], "+FLAGS", "(\\Deleted)"),
                              imap.expunge(), imap.noop()):
                if typ != "OK":
                    failed.append(data)
    for p in running:
        _, err = p.communicate(timeout=120)
        tap.ok(p.returncode == 0, "a program among several ends well", err)
    tap.ok(not failed, "and so do all commands", failed[:5])
    box.imap.select(box.name)
    agree(box, "both say the same after it")
    now = fetched(box.imap)
    gone = {11, 12, 13, 16, 17}
    tap.ok(set(range(1, 21)) - gone <= set(now) and not gone & set(now), "what was expunged is gone, and nothing else", sorted(now))
    tap.ok(len(now) == 15 + 3 * 4 + 2 * 6, "every message that was added is there", len(now))
    tap.ok(all("\\Seen" in now[u] for u in (1, 2, 3)) and all("\\Flagged" in now[u] for u in (6, 7)), "and every flag", now)
    for imap in sessions + [box.imap]:
        imap.logout()


with Server(driver="mbx") as s:
    selected(s)
    held(s)
    while_we_wait(s)
    at_once(s)
tap.done()
