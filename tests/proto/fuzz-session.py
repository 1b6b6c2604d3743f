#!/usr/bin/python3
"""Random commands, right and broken, from several sessions on the same mailboxes: fuzz-session.py [SEED [COUNT [DRIVER…]]]

What must hold whatever is said: no process of the server crashes; every command gets its tagged answer, or the session
a BYE; every line is one by the grammar (imap-grammar); a client that keeps count of its mailbox is never contradicted
(RFC 3501 §5.2, §7.3, §7.4.1); sessions that have one mailbox selected agree about it after NOOP. attack-075, attack-079,
attack-082, attack-091. Some speak QRESYNC (RFC 7162).
"""
import os
import random
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import BUILD, PASSWORD, Server, Tap

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 20260101
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 2000  # commands with each driver
DRIVERS = sys.argv[3:] or ["unix", "memory"]
ALONE = ["memory"]  # these share nothing between sessions
ROUND = 100  # commands between two comparisons
SILENCE = 30  # seconds; far more than any command here takes

rng = random.Random()
tap = Tap()
faults = []


def fault(session, what):
    faults.append(f"{session.name}: {what}; after {session.last!r}")


class Ended(Exception):
    """The server closed the connection."""


class Session:
    """One connection, and what a client may believe of its mailbox."""

    def __init__(self, server, name):
        self.server, self.name, self.heard, self.count, self.byes = server, name, [], 0, 0
        self.open()

    def open(self):
        self.socket = socket.create_connection(("127.0.0.1", self.server.port), SILENCE)
        self.file = self.socket.makefile("rb")
        self.heard.append(b"")
        self.mailbox, self.exists, self.last, self.bye = None, 0, b"", False
        self.line()
        self.command([b'LOGIN fuzz "%s"' % PASSWORD.encode()])

    def line(self):
        """One response with its literals, without its CRLF."""
        whole = b""
        while True:
            part = self.file.readline()
            if not part:
                raise Ended()
            whole += part
            m = re.search(rb"\{(\d+)\}\r\n$", part)
            if not m:
                break
            whole += self.file.read(int(m.group(1)))
        self.heard[-1] += whole
        return whole[:-2]

    def note(self, line, numbered):
        global heard_modseq
        m = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)", line)
        modseqs = re.search(rb"MODSEQ \(?(\d+)", line)
        heard_modseq = int(modseqs.group(1)) if modseqs else heard_modseq
        if line.startswith(b"* BYE"):
            self.bye = True
        gone = re.match(rb"\* VANISHED ([\d:,]+)$", line)
        if gone and self.mailbox is not None:
            if numbered:
                fault(self, "VANISHED during a command by number")
            self.exists -= sum(int(high or low) - int(low) + 1 for low, high in re.findall(rb"(\d+)(?::(\d+))?", gone.group(1)))
            if self.exists < 0:
                fault(self, "more vanished than were there")
        if not m or self.mailbox is None:
            return
        n, what = int(m.group(1)), m.group(2)
        if what == b"EXISTS":
            if n < self.exists:
                fault(self, f"EXISTS fell from {self.exists} to {n}")
            self.exists = n
        elif not 1 <= n <= self.exists:
            fault(self, f"{line[:60]!r} with {self.exists} messages")
        elif what == b"EXPUNGE":
            if numbered:
                fault(self, "EXPUNGE during a command by number")
            self.exists -= 1

    def command(self, parts):
        """Text and the literals between it; the tagged line, or None when the session ended properly."""
        self.count += 1
        tag = b"%s%d" % (self.name.encode(), self.count)
        self.last = b"".join(parts)
        name = parts[0].split(b" ")[0].upper()
        numbered = name in (b"FETCH", b"STORE", b"SEARCH")
        opens = name in (b"SELECT", b"EXAMINE")
        before = self.mailbox, self.exists
        if opens:
            self.mailbox, self.exists = parts[0], 0
        try:
            self.socket.sendall(tag + b" " + self.last + b"\r\n")
            return self._answer(tag, name, opens, before, numbered)
        except (Ended, ConnectionError):
            if not self.bye:
                fault(self, "the connection ended without BYE")
            self.byes += 1
            self.open()
            return None
        except TimeoutError:
            fault(self, "silence")
            self.open()
            return None

    def _answer(self, tag, name, opens, before, numbered):
        while True:
            line = self.line()
            self.note(line, numbered)
            if line.startswith(b"+"):
                self._continue(name)
            elif line.startswith(tag + b" "):
                break
            elif line.startswith(b"* BAD") and b"tag" in line.lower():
                break
        good = line.startswith(tag + b" OK")
        if opens and not good:
            # RFC 3501 §6.3.1: a SELECT that fails leaves none selected; one that was not understood changes nothing.
            self.mailbox, self.exists = before if line.startswith(tag + b" BAD") else (None, 0)
        elif name in (b"CLOSE", b"UNSELECT") and good:
            self.mailbox = None
        return line

    def _continue(self, name):
        if name == b"IDLE":
            self.socket.sendall(b"DONE\r\n")
            return
        m = re.search(rb"\{(\d+)\}$", self.last)
        self.socket.sendall(b"x" * (int(m.group(1)) if m else 0) + b"\r\n")


# ---- what is said ----
heard_modseq = 1  # the last one
UIDVALIDITY = 0  # of the first mailbox of a run
BOXES = [b"INBOX", b"one", b"two", b"dir/three"]
FLAGS = [rb"\Seen", rb"\Deleted", rb"\Flagged", rb"\Answered", rb"\Draft", b"work", b"$Label", rb"\Recent", rb"\*", b""]
ITEMS = [b"FLAGS", b"UID", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY", b"BODYSTRUCTURE", b"BODY[]", b"RFC822",
         b"BODY.PEEK[TEXT]<0.10>", b"BODY.PEEK[HEADER.FIELDS (Subject X-None)]", b"BODY[1]", b"BODY.PEEK[1.MIME]",
         b"BODY.PEEK[2.1.TEXT]", b"RFC822.HEADER", b"BODY[HEADER]<3.5>", b"BODY.PEEK[1.2.3.HEADER.FIELDS.NOT (a b)]", b"FAST"]
KEYS = [b"ALL", b"SEEN", b"UNSEEN", b"DELETED", b"KEYWORD work", b"UNKEYWORD $Label", b"NEW", b"OLD", b"RECENT", b"LARGER 50",
        b"SMALLER 60", b"FROM a", b"SUBJECT one", b"TEXT body", b"BODY x", b"HEADER Subject one", b"SINCE 1-Jan-2020",
        b"SENTBEFORE 1-Jan-2030", b"1:*", b"UID 1:3", b"ANSWERED", b"UNDRAFT", b"TO b", b"BCC x", b"ON 3-Mar-2021", b"MODSEQ 5",
        b'MODSEQ "/flags/x" all 1']
MESSAGES = [
    b"Subject: one\r\nFrom: a@example.org\r\n\r\nbody one\r\n",
    b"Subject: two\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: in\r\n\r\nx\r\n--b--\r\n",
    b"From here\r\n\r\nFrom there to here\r\n", b"\r\n", b"x\r\n", b"Status: RO\r\nX-UID: 77\r\n\r\nforged\r\n",
    b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n--\r\n", b"Subject: \xff\xfe\r\n\r\n\x80\r\n",
]


def one_of(*choices):
    return rng.choice(choices)


def numbers():
    n = lambda: one_of(b"1", b"2", b"3", b"*", b"%d" % rng.randint(1, 12))
    return b",".join(one_of(n(), n() + b":" + n()) for _ in range(rng.randint(1, 3)))


def flags():
    return b"(" + b" ".join(f for f in rng.sample(FLAGS[:7], rng.randint(0, 3))) + b")"


def key(depth=0):
    kind = rng.random()
    if depth < 4 and kind < 0.15:
        return b"NOT " + key(depth + 1)
    if depth < 4 and kind < 0.3:
        return b"OR " + key(depth + 1) + b" " + key(depth + 1)
    if depth < 4 and kind < 0.4:
        return b"(" + b" ".join(key(depth + 1) for _ in range(rng.randint(1, 3))) + b")"
    return rng.choice(KEYS)


def append():
    text = rng.choice(MESSAGES)
    date = one_of(b"", b'" 3-Mar-2021 10:00:00 +0100" ')
    return [b"APPEND %s %s %s{%d+}\r\n" % (rng.choice(BOXES), flags(), date, len(text)), text]


def modseq():
    return b"%d" % one_of(0, 1, max(heard_modseq + rng.randint(-20, 1), 1), max(heard_modseq + rng.randint(-9, 0), 1), 2**63 - 1)


def fetch():
    items = b" ".join(rng.sample(ITEMS[:-1], rng.randint(1, 4)))
    modifiers = one_of(b"", b"", b"", b" (CHANGEDSINCE %s)" % modseq(), b" (CHANGEDSINCE %s VANISHED)" % modseq())
    return [one_of(b"", b"UID ") + b"FETCH %s (%s)%s" % (numbers(), items, modifiers)]


def store():
    mode = one_of(b"", b"+", b"-") + b"FLAGS" + one_of(b"", b".SILENT")
    modifier = one_of(b"", b"", b"(UNCHANGEDSINCE %s) " % modseq())
    return [one_of(b"", b"UID ") + b"STORE %s %s%s %s" % (numbers(), modifier, mode, flags())]


def search():
    results = one_of(b"", b"", b"RETURN (%s) " % b" ".join(rng.sample([b"MIN", b"MAX", b"ALL", b"COUNT"], rng.randint(0, 4))))
    return [one_of(b"", b"UID ") + b"SEARCH " + results + one_of(b"", b"CHARSET UTF-8 ") + b" ".join(key() for _ in range(rng.randint(1, 3)))]


def select():
    parameters = one_of(b"", b"", b" (CONDSTORE)", b" (QRESYNC (%d %s))" % (rng.randint(1, 9), modseq()),
                        b" (QRESYNC (%d %s %s (%s %s)))" % (UIDVALIDITY, modseq(), numbers(), numbers(), numbers()))
    return [one_of(b"SELECT ", b"SELECT ", b"EXAMINE ") + rng.choice(BOXES) + parameters]


SAYINGS = [
    (12, append), (14, fetch), (12, store), (10, search),
    (6, select),
    (6, lambda: [one_of(b"", b"UID ") + one_of(b"COPY", b"COPY", b"MOVE") + b" %s %s" % (numbers(), rng.choice(BOXES))]),
    (4, lambda: [one_of(b"EXPUNGE", b"UID EXPUNGE " + numbers())]),
    (6, lambda: [one_of(b"NOOP", b"CHECK", b"CAPABILITY", b"NAMESPACE", b"IDLE", b"ID NIL", b"ENABLE X", b"ENABLE QRESYNC", b"ENABLE CONDSTORE")]),
    (2, lambda: [one_of(b"CLOSE", b"UNSELECT")]),
    (3, lambda: [b"STATUS %s (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN%s)" % (rng.choice(BOXES), one_of(b"", b" HIGHESTMODSEQ"))]),
    (2, lambda: [one_of(b"GETQUOTAROOT %s", b'GETQUOTA ""', b'SETQUOTA "" (STORAGE 1)', b"GETACL %s", b"MYRIGHTS %s", b"LISTRIGHTS %s bin",
                        b"SETACL %s bin lr", b"SETACL %s bin -r", b"DELETEACL %s bin", b'LIST "" %s RETURN (MYRIGHTS)').replace(b"%s", rng.choice(BOXES))]),
    (3, lambda: [one_of(b"LIST", b"LSUB") + b' "" ' + one_of(b"*", b"%", b"d*", b'""', b"%/%", b"INBOX")]),
    (2, lambda: [one_of(b"CREATE ", b"SUBSCRIBE ", b"UNSUBSCRIBE ") + one_of(*BOXES, b"four", b"dir/")]),
    (1, lambda: [one_of(b"DELETE four", b"RENAME four five", b"RENAME five four", b"DELETE five", b"DELETE two")]),
]


def broken(parts):
    """The same with something wrong in its first line; literals stay whole, so that it ends where it ends."""
    text = bytearray(parts[0].removesuffix(b"\r\n"))
    tail = b""
    m = re.search(rb" \{\d+\+\}$", bytes(text))
    if m:
        tail, text = bytes(text[m.start():]) + b"\r\n", text[:m.start()]
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(text))
        what = rng.random()
        if what < 0.3 and at < len(text):
            del text[at]
        elif what < 0.6:
            text[at:at] = bytes([one_of(*b'()[]{}<>"\\*%, .:0'), ])
        elif what < 0.8 and at < len(text):
            text[at] = one_of(0, 1, 9, 0x7f, 0x80, 0xff, *b"azAZ09")
        else:
            text[at:at] = one_of(b"4294967296", b"(((((", b")))", b'""', b" ", b"{3}", b"{99999999999}", b"INBOX", b"1:*,")
    return [bytes(text).replace(b"+}", b"}") + tail] + parts[1:]


def saying():
    parts = rng.choices([s for _, s in SAYINGS], [w for w, _ in SAYINGS])[0]()
    return broken(parts) if rng.random() < 0.25 else parts


# ---- what must hold ----
def state(session):
    """UIDs and flags of the selected mailbox, without \\Recent, which is of one session."""
    start = len(session.heard[-1])
    session.command([b"UID FETCH 1:* (FLAGS)"])
    found = {}
    for line in re.findall(rb"\* \d+ FETCH \((.*)\)\r\n", session.heard[-1][start:]):
        uid, kept = re.search(rb"UID (\d+)", line), re.search(rb"FLAGS \(([^)]*)\)", line)
        if uid and kept:
            found[int(uid.group(1))] = sorted(kept.group(1).replace(rb"\Recent", b"").split())
    return found


def compare(sessions):
    box = rng.choice(BOXES)
    for s in sessions:
        s.command([b"SELECT " + box])
        s.command([b"STORE 1:* +FLAGS.SILENT (" + one_of(*FLAGS[:7]) + b")"])
    for s in sessions:
        s.command([b"NOOP"])
    if not all(s.mailbox for s in sessions):
        return True
    states = [state(s) for s in sessions]
    same = all(x == states[0] for x in states)
    right = all(s.exists == len(x) for s, x in zip(sessions, states))
    if not same or not right:
        faults.append(f"after NOOP of {box!r}: {[s.exists for s in sessions]} {states!r}")
    return same and right


def grammar(sessions, folder):
    files = []
    for s in sessions:
        for i, text in enumerate(s.heard):
            files.append(os.path.join(folder, f"heard-{s.name}-{i}"))
            with open(files[-1], "wb") as f:
                f.write(text)
    return subprocess.run([f"{BUILD}/tests/proto/imap-grammar", *files], capture_output=True)


def run(driver):
    rng.seed(SEED)
    global UIDVALIDITY, heard_modseq
    heard_modseq = 1
    faults.clear()
    with Server(users=["fuzz"], driver=driver, config="imap = { bad_commands = 1000; };") as server:
        sessions = [Session(server, name) for name in ("a" if driver in ALONE else "abc")]
        for box in BOXES[1:]:
            sessions[0].command([b"CREATE " + box])
        sessions[0].command([b"STATUS one (UIDVALIDITY)"])
        UIDVALIDITY = int(re.search(rb"UIDVALIDITY (\d+)", sessions[0].heard[-1]).group(1))
        agreed = rounds = 0
        while sum(s.count for s in sessions) < COUNT and len(faults) < 20:
            for _ in range(ROUND):
                rng.choice(sessions).command(saying())
            rounds += 1
            agreed += compare(sessions)
        print(f"# {driver}, seed {SEED}: {sum(s.count for s in sessions)} commands, "
              f"{sum(s.byes for s in sessions)} sessions ended by BYE, {rounds} comparisons")
        tap.ok(not faults, f"{driver}: every command is answered, and no client is contradicted", *faults[:20])
        tap.ok(agreed == rounds, f"{driver}: sessions agree after NOOP ({agreed} of {rounds} times)")
        result = grammar(sessions, server.dir)
        tap.ok(result.returncode == 0, f"{driver}: every line is one by the grammar",
               result.stdout.decode("latin-1")[:4000], result.stderr)
        crashed = re.findall(r".*(?:MRT-0101|MRT-0808|MRT-0833|Sanitizer).*", server.log())
        tap.ok(server.process.poll() is None and not crashed, f"{driver}: no process of the server crashed", *crashed[:10])


for name in DRIVERS:
    run(name)
tap.done()
