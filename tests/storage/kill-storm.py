#!/usr/bin/python3
"""Sessions on one mailbox are killed with SIGKILL, hundreds of them, while they append, flag, expunge and copy and mail is
delivered. Afterwards everything that was acknowledged is there exactly once, and nothing else is there in part.

MORTISE_STORM_SECONDS (20), MORTISE_STORM_SEED (1). attack-132
"""
import collections
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import BUILD, NOBODY, Server, Tap, wait_for

SECONDS = float(os.environ.get("MORTISE_STORM_SECONDS", "20"))
SEED = int(os.environ.get("MORTISE_STORM_SEED", "1"))
WRITERS = 3
tap = Tap()
stop = threading.Event()
guard = threading.Lock()
problems, counts = [], collections.Counter()

# As Postfix does: dot-lock by O_EXCL, fcntl lock, append, fsync, and only then "delivered".
DELIVERER = r'''
import fcntl, os, random, sys, time
box, seed = sys.argv[1], int(sys.argv[2])
rng = random.Random(seed)
number = 0
def unlocked(lock):
    end = time.monotonic() + 15
    while True:
        try:
            return os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            if time.monotonic() > end:
                return None
            time.sleep(0.003)
while True:
    line = sys.stdin.readline()
    if not line.strip():
        break
    number += 1
    name = f"delivered-{number}"
    size = rng.choice([10, 200, 3000, 40000])
    body = "".join(f"{name} row {i} of a delivered message\n" for i in range(size // 40 + 1))
    text = f"Received: by test\nMessage-ID: <{name}@storm>\nSubject: {name}\n\n{body}"
    fd = os.open(box, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    dot = unlocked(box + ".lock")
    if dot is None:
        print("stale", flush=True)
        continue
    fcntl.lockf(fd, fcntl.LOCK_EX)
    os.write(fd, f"From sender@example.org {time.strftime('%a %b %d %H:%M:%S %Y')}\n{text}\n".encode())
    os.fsync(fd)
    os.close(fd)
    os.close(dot)
    os.unlink(box + ".lock")
    print(name, size // 40 + 1, flush=True)
'''


def delivered_text(name, rows):
    body = "".join(f"{name} row {i} of a delivered message\r\n" for i in range(rows))
    return f"Received: by test\r\nMessage-ID: <{name}@storm>\r\nSubject: {name}\r\n\r\n{body}".encode()


def problem(*what):
    with guard:
        problems.append(" ".join(str(w) for w in what))


class Gone(Exception):
    """The session died in the middle."""


class Message:
    def __init__(self, name, text):
        self.name, self.text = name, text
        self.uid = None
        self.flags = {}        # flag → True, False or None (may be either)
        self.expunged = False  # True, or None: may be


class Writer(threading.Thread):
    """One client. Only it touches what it appended; so it knows what must be there."""

    def __init__(self, server, number):
        super().__init__()
        self.server, self.number = server, number
        self.rng = random.Random(SEED * 100 + number)
        self.mine, self.appended = [], {}
        self.copies = []   # (name, UID in "other") of acknowledged copies
        self.attempts = collections.Counter()  # name → copies that may or may not be there
        self.count = 0
        self.c = None

    def connect(self):
        while not stop.is_set():
            try:
                self.c = self.server.login("alice")
                typ, _ = self.c.select("INBOX")
                if typ == "OK":
                    self.validity(self.c.response("UIDVALIDITY")[1][0])
                    return
                counts["select NO"] += 1
            except Exception:
                counts["connect failed"] += 1
            time.sleep(0.01)
        raise Gone

    def validity(self, value):
        with guard:
            validities.add(value)

    def ask(self, what, *arguments):
        """("OK", data) or ("NO", data); Gone when nobody answers."""
        try:
            typ, data = what(*arguments)
        except (self.c.error, self.c.abort, OSError, EOFError) as e:
            if isinstance(e, self.c.error) and not isinstance(e, self.c.abort):
                problem("BAD or worse:", e)
            raise Gone from e
        if typ != "OK":
            counts[f"NO {data[0][:40] if data and data[0] else ''}"] += 1
        return typ, data

    def run(self):
        try:
            self.connect()
            while not stop.is_set():
                try:
                    self.step()
                except Gone:
                    counts["interrupted"] += 1
                    self.connect()
        except Gone:
            pass
        except Exception as e:  # noqa: BLE001
            problem("writer", self.number, "failed:", repr(e))

    def live(self):
        return [m for m in self.mine if m.uid and m.expunged is False]

    def step(self):
        kind = self.rng.choices(["append", "flag", "unflag", "expunge", "copy", "noop"], [35, 22, 8, 15, 15, 5])[0]
        if kind == "append" or not self.live():
            self.append()
        elif kind in ("flag", "unflag"):
            self.flag(kind == "flag")
        elif kind == "expunge":
            self.expunge()
        elif kind == "copy":
            self.copy()
        else:
            self.ask(self.c.noop)
        counts[kind] += 1

    def append(self):
        self.count += 1
        name = f"writer-{self.number}-{self.count}"
        size = self.rng.choice([0, 50, 500, 5000, 60000, 200000])
        body = "".join(f"{name} line {i}, nothing else\r\n" for i in range(size // 40 + 1))
        m = Message(name, f"Message-ID: <{name}@storm>\r\nSubject: {name}\r\n\r\n{body}".encode())
        with guard:
            self.appended[name] = m
        self.mine.append(m)
        flags = self.rng.choice([(), ("\\Seen",), ("\\Flagged", f"key{self.number}")])
        m.flags = {f: True for f in flags}
        typ, data = self.ask(self.c.append, "INBOX", f"({' '.join(flags)})", None, m.text)
        if typ != "OK":
            m.uid = 0  # refused: not there
            return
        found = re.search(rb"APPENDUID (\d+) (\d+)", data[0] or b"")
        if not found:
            problem("no APPENDUID for", name, data)
            return
        self.validity(found.group(1))
        m.uid = int(found.group(2))

    def flag(self, on):
        m = self.rng.choice(self.live())
        flag = self.rng.choice(["\\Seen", "\\Answered", "\\Flagged", "\\Draft", f"key{self.number}", f"word{self.rng.randrange(6)}"])
        before = m.flags.get(flag, False)
        m.flags[flag] = None
        typ, _ = self.ask(self.c.uid, "STORE", str(m.uid), "+FLAGS.SILENT" if on else "-FLAGS.SILENT", f"({flag})")
        m.flags[flag] = on if typ == "OK" else before

    def expunge(self):
        m = self.rng.choice(self.live())
        m.flags["\\Deleted"] = None
        if self.ask(self.c.uid, "STORE", str(m.uid), "+FLAGS.SILENT", "(\\Deleted)")[0] != "OK":
            m.flags["\\Deleted"] = False
            return
        m.flags["\\Deleted"] = True
        m.expunged = None
        if self.ask(self.c.uid, "EXPUNGE", str(m.uid))[0] == "OK":
            m.expunged = True
        else:
            m.expunged = False

    def copy(self):
        m = self.rng.choice(self.live())
        self.attempts[m.name] += 1
        typ, data = self.ask(self.c.uid, "COPY", str(m.uid), "other")
        if typ != "OK":
            self.attempts[m.name] -= 1
            return
        text = b" ".join(d for d in list(data) + list(self.c.untagged_responses.pop("COPYUID", [])) if d)
        found = re.search(rb"(?:COPYUID )?\d+ (\d+) (\d+)", text)
        if not found:
            problem("no COPYUID for", m.name, text)
            return
        self.attempts[m.name] -= 1
        self.copies.append((m.name, int(found.group(2))))


class Deliverer(threading.Thread):
    def __init__(self, box):
        super().__init__()
        self.process = subprocess.Popen(server.as_user([sys.executable, "-c", DELIVERER, box, str(SEED)]),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.delivered, self.stale = {}, 0

    def run(self):
        while not stop.is_set():
            try:
                self.process.stdin.write("next\n")
                self.process.stdin.flush()
            except OSError as e:
                problem("the deliverer ended:", e)
                return
            answer = self.process.stdout.readline().split()
            if answer and answer[0] != "stale":
                self.delivered[answer[0]] = int(answer[1])
            else:
                self.stale += 1
            time.sleep(0.02)
        self.process.stdin.close()
        self.process.wait(20)


def kill_some(rng, end):
    while time.monotonic() < end:
        time.sleep(rng.choice([0.002, 0.01, 0.03, 0.08]) * rng.random() * 2)
        victims = server.sessions()
        if victims:
            try:
                os.kill(rng.choice(victims), signal.SIGKILL)
                counts["kills"] += 1
            except ProcessLookupError:
                pass


def everything(c, box):
    """uid → (flags, text)"""
    typ, data = c.select(box, readonly=True)
    if typ != "OK":
        problem("SELECT of", box, "says", data)
        return {}, 0
    nextuid = int(c.response("UIDNEXT")[1][0])
    validities_end[box] = c.response("UIDVALIDITY")[1][0]
    out = {}
    typ, data = c.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
    pending = None
    for part in data:
        if isinstance(part, tuple):
            pending = part
            line = part[0]
        elif part is None:
            continue
        else:
            line = pending[0] + part if pending else part
        uid, flags = re.search(rb"UID (\d+)", line), re.search(rb"FLAGS \(([^)]*)\)", line)
        if uid and flags and pending:
            out[int(uid.group(1))] = ({f.decode() for f in flags.group(1).split()} - {"\\Recent"}, pending[1])
            pending = None
    return out, nextuid


def name_of(text):
    found = re.search(rb"^Message-ID: <([^@>]+)@storm>", text, re.M)
    return found.group(1).decode() if found else None


def check_inbox(inbox, nextuid, writers, deliverer):
    by_name = collections.defaultdict(list)
    for uid, (flags, text) in inbox.items():
        by_name[name_of(text)].append(uid)
    known = {name: m for w in writers for name, m in w.appended.items()}
    wrong = [f"UID {u}: {inbox[u][1][:60]!r}" for n, us in by_name.items() for u in us if n not in known and n not in deliverer.delivered]
    tap.ok(not wrong, "nothing is there that nobody sent", *wrong[:10])
    wrong = [(n, us) for n, us in by_name.items() if len(us) > 1]
    tap.ok(not wrong, "nothing is there twice", *wrong[:10])

    wrong = [n for n in deliverer.delivered if len(by_name[n]) != 1]
    tap.ok(not wrong, f"all {len(deliverer.delivered)} delivered messages are there", *wrong[:10])
    wrong = [n for n, rows in deliverer.delivered.items() for u in by_name[n] if inbox[u][1] != delivered_text(n, rows)]
    tap.ok(not wrong, "as they were sent", *wrong[:10])

    acknowledged = [m for m in known.values() if m.uid]
    wrong = [f"{m.name} UID {m.uid}" for m in acknowledged if m.expunged is False and m.uid not in inbox]
    tap.ok(not wrong, f"all of {len(acknowledged)} acknowledged appends that were not expunged are there", *wrong[:10])
    wrong = [f"{m.name} UID {m.uid}: {inbox[m.uid][1][:80]!r}" for m in acknowledged if m.uid in inbox and inbox[m.uid][1] != m.text]
    tap.ok(not wrong, "with the octets that were sent, at the UID that was told", *wrong[:10])
    wrong = [f"{m.name} UID {m.uid}" for m in acknowledged if m.expunged and by_name[m.name]]
    tap.ok(not wrong, f"{sum(m.expunged is True for m in acknowledged)} acknowledged expunges stay expunged", *wrong[:10])
    wrong = [m.name for m in known.values() if m.uid == 0 and by_name[m.name]]
    tap.ok(not wrong, "what was refused is not there", *wrong[:10])
    unsure = [m for m in known.values() if m.uid is None]
    wrong = [(m.name, len(inbox[u][1]), len(m.text)) for m in unsure for u in by_name[m.name] if inbox[u][1] != m.text]
    tap.ok(not wrong, f"what was not acknowledged is there whole ({sum(bool(by_name[m.name]) for m in unsure)}) or not at all"
           f" ({sum(not by_name[m.name] for m in unsure)})", *wrong[:10])
    wrong = []
    for m in acknowledged:
        for flag, on in m.flags.items() if m.uid in inbox else ():
            if on is not None and on != (flag in inbox[m.uid][0]):
                wrong.append(f"{m.name} UID {m.uid}: {flag} should be {on}: {inbox[m.uid][0]}")
        if m.uid in inbox and inbox[m.uid][0] - set(m.flags):
            wrong.append(f"{m.name} has {inbox[m.uid][0] - set(m.flags)}")
    wrong += [f"{n} has {inbox[u][0]}" for n in deliverer.delivered for u in by_name[n] if inbox[u][0]]
    tap.ok(not wrong, "acknowledged flags are kept, nobody has others", *wrong[:10])
    uids = [m.uid for m in acknowledged]
    tap.ok(len(uids) == len(set(uids)), "no UID was given twice", [u for u, n in collections.Counter(uids).items() if n > 1])
    tap.ok(nextuid > max(uids + list(inbox)), "UIDNEXT is above all UIDs", nextuid, max(uids))


def check_other(other, writers):
    told = {uid: name for w in writers for name, uid in w.copies}
    texts = {name: m.text for w in writers for name, m in w.appended.items()}
    wrong = [f"{name} UID {uid}" for uid, name in told.items() if uid not in other or other[uid][1] != texts[name]]
    tap.ok(not wrong, f"all {len(told)} acknowledged copies are there, whole, at their UIDs", *wrong[:10])
    rest = collections.Counter(name_of(text) for uid, (flags, text) in other.items() if uid not in told)
    attempts = sum((w.attempts for w in writers), collections.Counter())
    wrong = [(n, k, attempts[n]) for n, k in rest.items() if k > attempts[n]]
    tap.ok(not wrong, f"{sum(rest.values())} others are copies that were interrupted", *wrong[:10])
    wrong = [uid for uid, (flags, text) in other.items() if text != texts.get(name_of(text))]
    tap.ok(not wrong, "and they are whole, too", *wrong[:10])


def check_cclient(path, box):
    tool = f"{BUILD}/tests/interop/cclient-dump"
    if not os.path.exists(tool):
        tap.skip("the real c-client reads the same", "libc-client is not installed")
        return
    p = subprocess.run(server.as_user([tool, path]), capture_output=True, text=True, errors="replace", env={"HOME": "/tmp", "PATH": os.environ["PATH"]})
    seen = {}
    for line in p.stdout.splitlines():
        m = re.match(r'uid (\d+) flags "([^"]*)" .*digest ([0-9a-f]+)$', line)
        if m:
            seen[int(m.group(1))] = (set(m.group(2).split()) - {"\\Recent"}, m.group(3))
    ours = {u: (f, hashlib.sha256(t).hexdigest()) for u, (f, t) in box.items()}
    wrong = [(u, seen.get(u), ours.get(u)) for u in sorted(set(seen) | set(ours)) if seen.get(u) != ours.get(u)]
    tap.ok(p.returncode == 0 and not wrong, f"the real c-client reads the same {len(ours)} messages", p.stderr, *wrong[:5])


def check_folders():
    for folder in (server.path("spool"), server.home("alice") + "/mail"):
        rest = [n for n in os.listdir(folder) if n not in ("alice", "other") and not re.fullmatch(r"\..*", n)]
        tap.ok(not rest, "no lock or other file is left beside the mailboxes", rest)
    journals = server.home("alice") + "/.mortise/journals"
    rest = os.listdir(journals) if os.path.isdir(journals) else []
    tap.ok(not rest, "no journal is left", rest)


validities, validities_end = set(), {}
with Server(users=["alice"], settings={"limits": "limits = { sessions_per_user = 100; };"}) as server:
    c = server.login("alice")
    c.create("other")
    c.append("INBOX", None, None, b"Message-ID: <first@storm>\r\n\r\nfirst\r\n")
    c.uid("STORE", "1", "+FLAGS", "(\\Deleted)") if c.select("INBOX")[0] == "OK" else None
    c.expunge()
    c.logout()
    deliverer = Deliverer(server.spool("alice"))
    writers = [Writer(server, i) for i in range(WRITERS)]
    for t in [deliverer] + writers:
        t.start()
    kill_some(random.Random(SEED), time.monotonic() + SECONDS)
    stop.set()
    for t in [deliverer] + writers:
        t.join(60)
    tap.ok(not any(t.is_alive() for t in [deliverer] + writers), "all clients end")
    print(f"# {dict(counts)}", flush=True)
    tap.ok(counts["kills"] >= 5 * SECONDS, f"{counts['kills']} sessions were killed")
    tap.ok(not problems, "no client met anything it should not", *problems[:10])
    tap.ok(deliverer.stale == 0, "no lock of a killed session kept a delivery out for long", deliverer.stale)
    begun = time.monotonic()
    c = server.login("alice")
    inbox, nextuid = everything(c, "INBOX")
    tap.ok(inbox and time.monotonic() - begun < 10, f"the mailbox opens ({len(inbox)} messages)")
    other, _ = everything(c, "other")
    check_inbox(inbox, nextuid, writers, deliverer)
    tap.ok(validities == {validities_end["INBOX"]}, "UIDVALIDITY never changed", validities, validities_end)
    check_other(other, writers)
    c.select("INBOX")
    c.logout()
    check_folders()
    check_cclient(server.spool("alice"), inbox)
    check_cclient(server.home("alice") + "/mail/other", other)
tap.done()
