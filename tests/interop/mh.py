#!/usr/bin/python3
"""MH folders with nmh and mutt working on them while sessions have them open: every message stays what it is under its UID,
flags go both ways, no message is lost or doubled, and nobody's sequences get lost. Then sessions are killed in the middle of
APPEND, and the disk is full. attack-115."""
import imaplib
import multiprocessing
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mutt
from mortise import NOBODY, PASSWORD, Server, Tap, wait_for

tap = Tap()
rng = random.Random(20261124)
MH = "/usr/bin/mh"
RCVSTORE = "/usr/lib/mh/rcvstore"
if not os.path.exists(f"{MH}/scan") or not os.path.exists(RCVSTORE):
    tap.skip("MH folders shared with nmh", "nmh is not installed")
    tap.done()


def text(n):
    """The later messages have the earlier dates: sortm turns them round."""
    return (f"From: s@sender.test\nTo: r@sender.test\nSubject: number {n}\nDate: {28 - n % 27} Jan 2024 10:{59 - n // 27 % 60:02}:00 +0000\n"
            f"X-Number: {n}\n\nline one of {n}\nline two\n")


class Mh:
    """nmh's commands for one user of the server."""

    def __init__(self, server, user):
        self.server, self.home = server, server.home(user)
        os.makedirs(self.path("inbox"), exist_ok=True)
        with open(f"{self.home}/.mh_profile", "w") as f:
            f.write("Path: Mail\nUnseen-Sequence: unseen\n")
        if os.getuid() == 0:
            for name in (f"{self.home}/Mail", self.path("inbox"), f"{self.home}/.mh_profile"):
                os.chown(name, NOBODY.pw_uid, NOBODY.pw_gid)

    def path(self, *parts):
        return os.path.join(self.home, "Mail", *parts)

    def run(self, *command, stdin="", check=True):
        name = command[0] if command[0].startswith("/") else f"{MH}/{command[0]}"
        done = subprocess.run(self.server.as_user([name, *command[1:]]), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60, cwd=self.home, env={"HOME": self.home, "PATH": f"{MH}:/usr/bin:/bin", "LC_ALL": "C"})
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def deliver(self, n, folder="inbox"):
        self.run(RCVSTORE, f"+{folder}", stdin=text(n))

    def sequence(self, name, folder="inbox"):
        """X-Numbers of the messages in it."""
        return sorted(self.number_in(folder, m) for m in self.run("pick", f"+{folder}", name, "-list", check=False).split() if m != "0")

    def number_in(self, folder, message):
        with open(self.path(folder, message)) as f:
            found = re.search(r"X-Number: (\d+)", f.read())
        return int(found.group(1)) if found else -1

    def messages(self, folder="inbox"):
        return sorted(self.number_in(folder, m) for m in os.listdir(self.path(folder)) if re.fullmatch("[1-9][0-9]*", m) and
                      os.path.isfile(self.path(folder, m)))


def state(c, mailbox=None, readonly=False):
    """{UID: (number, flags, size)} of the selected mailbox, or of one to select."""
    if mailbox is not None:
        typ, answer = c.select(mailbox, readonly)
        if typ != "OK":
            return {"NO": answer}
    else:
        c.noop()
    messages = {}
    typ, answer = c.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-Number)])")
    for part in answer or []:
        if isinstance(part, tuple):
            number = re.search(rb"X-Number: (\d+)", part[1])
            flags = {f.lower().decode() for f in imaplib.ParseFlags(part[0])} - {r"\recent"}
            messages[int(re.search(rb"UID (\d+)", part[0]).group(1))] = (
                int(number.group(1)) if number else -1, frozenset(flags), int(re.search(rb"RFC822.SIZE (\d+)", part[0]).group(1)))
    return messages


def numbers(messages, flag=None):
    return sorted(m[0] for m in messages.values() if flag is None or flag in m[1])


def uids(messages):
    return {m[0]: u for u, m in messages.items()}


def uid_of(messages, number):
    return str(uids(messages)[number])


def crlf(s):
    return s.replace("\n", "\r\n").encode()


def both_ways(server):
    mh = Mh(server, "alice")
    for n in (1, 2, 3):
        mh.deliver(n)
    c = server.login("alice")
    got = state(c, "INBOX")
    tap.ok(numbers(got) == [1, 2, 3] and numbers(got, r"\seen") == [], "what rcvstore delivers is there, unseen", got)
    tap.ok(all(m[2] == len(crlf(text(m[0]))) for m in got.values()), "sizes are those of CRLF text", got)
    c.uid("STORE", uid_of(got, 2), "+FLAGS", r"(\Seen \Flagged)")
    c.uid("STORE", uid_of(got, 3), "+FLAGS", r"(\Seen \Answered)")
    tap.ok((mh.sequence("unseen"), mh.sequence("flagged"), mh.sequence("replied")) == ([1], [2], [3]), "nmh finds our flags in its sequences",
           mh.sequence("unseen"), mh.sequence("flagged"), mh.sequence("replied"))
    mh.run("mark", "+inbox", "1", "3", "-sequence", "project", "-add")
    mh.run("mark", "+inbox", "1", "-sequence", "unseen", "-delete")
    mh.run("mark", "+inbox", "3", "-sequence", "flagged", "-add")
    got = state(c)
    tap.ok(numbers(got, r"\seen") == [1, 2, 3] and numbers(got, r"\flagged") == [2, 3] and numbers(got, r"\answered") == [3],
           "and we find what nmh marks", got)
    c.append("INBOX", r"(\Flagged)", '"05-Jan-2024 10:20:30 +0100"', crlf(text(4)))
    c.append("INBOX", r"(\Seen)", None, crlf(text(5)))
    tap.ok(mh.messages() == [1, 2, 3, 4, 5] and mh.sequence("unseen") == [4] and mh.sequence("flagged") == [2, 3, 4],
           "messages of ours are nmh's next ones", mh.messages(), mh.sequence("unseen"))
    tap.ok(re.findall(r"number (\d)", mh.run("scan", "+inbox", "-width", "200")) == ["1", "2", "3", "4", "5"], "scan lists them all",
           mh.run("scan", "+inbox"))
    with open(mh.path("inbox", "4")) as f:
        tap.ok(f.read() == text(4), "their text is stored with LF")
    got = state(c)
    before = uids(got)
    mh.run("rmm", "+inbox", "2")
    c.uid("STORE", str(before[5]), "+FLAGS", r"(\Deleted)")
    c.expunge()
    got = state(c)
    tap.ok(numbers(got) == mh.messages() == [1, 3, 4] and os.path.exists(mh.path("inbox", ",2")), "removals of both", got, mh.messages())
    tap.ok(mh.sequence("project") == [1, 3], "sequences of others stay", mh.sequence("project"))
    mh.deliver(6)
    mh.run("folder", "+inbox", "-pack")
    got = state(c)
    tap.ok({n: u for n, u in uids(got).items() if n != 6} == {n: before[n] for n in (1, 3, 4)}, "folder -pack changes no UID", got, before)
    tap.ok(numbers(got, r"\flagged") == [3, 4] and numbers(got, r"\answered") == [3], "nor flags", got)
    before = uids(got)
    mh.run("sortm", "+inbox")
    order = re.findall(r"number (\d)", mh.run("scan", "+inbox", "-width", "200"))
    tap.ok(order == ["6", "4", "3", "1"], "sortm sorts", order)
    bodies = {n: c.uid("FETCH", str(u), "(BODY.PEEK[])")[1][0][1] for n, u in before.items()}
    tap.ok(bodies == {n: crlf(text(n)) for n in before}, "each UID has its text after sortm, before it was noticed", bodies)
    got = state(c)
    tap.ok(uids(got) == before, "sortm changes no UID", got, before)
    tap.ok(numbers(got, r"\flagged") == [3, 4] and numbers(got, r"\seen") == [1, 3], "nor flags", got)
    c.uid("STORE", str(before[1]), "-FLAGS", r"(\Seen)")
    tap.ok(mh.sequence("unseen") == [1, 4, 6], "a flag set afterwards is set at the right message", mh.sequence("unseen"))
    folders(mh, c)
    remembered(server, mh, c)


def remembered(server, mh, c):
    """What the folder cannot hold is known in the next session, whatever was done to the folder in between."""
    c.select("INBOX")
    validity = c.response("UIDVALIDITY")[1]
    answer = c.append("INBOX", r"(\Draft Work)", None, crlf(text(7)))[1][0]
    got = state(c)
    tap.ok(re.search(rb"APPENDUID (\d+) (\d+)", answer).groups() == (validity[0], uid_of(got, 7).encode()), "APPENDUID", answer, got)
    c.uid("STORE", uid_of(got, 3), "+FLAGS", r"(\Deleted $Label1)")
    got = state(c)
    c.logout()
    mh.run("sortm", "+inbox", "-textfield", "subject", "-limit", "0")
    mh.run("folder", "+inbox", "-pack")
    mh.run("mark", "+inbox", "all", "-sequence", "flagged", "-add")
    mh.deliver(8)
    c = server.login("alice")
    again = state(c, "INBOX")
    tap.ok(c.response("UIDVALIDITY")[1] == validity and {n: u for n, u in uids(again).items() if n != 8} == uids(got),
           "UIDs are the same in the next session", got, again)
    tap.ok(numbers(again, r"\deleted") == numbers(again, "$label1") == [3] and numbers(again, r"\draft") == numbers(again, "work") == [7],
           "so are flags and keywords that are nowhere in the folder", again)
    tap.ok(set(numbers(again, r"\flagged")) == set(numbers(got)), "and those that are in it are as they are now", again)
    tap.ok(int(uid_of(again, 8)) > max(got), "what came meanwhile has a higher UID", again)
    c.logout()


def folders(mh, c):
    mh.run("folder", "+lists/nmh", "-create", check=False)
    mh.run("refile", "+lists/nmh", "-src", "+inbox", "1")
    listed = sorted(line.split(b' "/" ')[1].strip(b'"').decode() for line in c.list()[1])
    tap.ok(listed == ["INBOX", "lists", "lists/nmh"], "LIST has nmh's folders, and nothing that lies in them", listed)
    left, moved = numbers(state(c)), numbers(state(c, "lists/nmh"))
    tap.ok(len(left) == 3 and len(moved) == 1 and sorted(left + moved) == [1, 3, 4, 6], "refile moves a message", left, moved)
    tap.ok(c.create("ours/below")[0] == "OK" and mh.run("folders", "-fast", "-recurse").split() ==
           ["inbox", "lists", "lists/nmh", "ours", "ours/below"], "nmh has ours", mh.run("folders", "-fast", "-recurse"))
    c.select("INBOX")
    got = state(c)
    tap.ok(c.uid("COPY", "1:*", "ours/below")[0] == "OK" and mh.messages("ours/below") == mh.messages(), "COPY", mh.messages("ours/below"))
    tap.ok(mh.sequence("flagged", "ours/below") == mh.sequence("flagged") and mh.sequence("unseen", "ours/below") == mh.sequence("unseen"),
           "flags go along", mh.sequence("flagged", "ours/below"))
    victim = numbers(got)[0]
    mh.run("anno", "+inbox", next(m for m in os.listdir(mh.path("inbox")) if m.isdigit() and mh.number_in("inbox", m) == victim),
           "-component", "X-Note", "-text", "edited", "-nodate", "-inplace")
    c.uid("FETCH", uid_of(got, victim), "(BODY.PEEK[])")
    again = state(c)
    tap.ok(uid_of(again, victim) != uid_of(got, victim) and numbers(again) == numbers(got), "a message that was edited has another UID",
           got, again)
    tap.ok(b"X-Note: edited" in c.uid("FETCH", uid_of(again, victim), "(BODY.PEEK[])")[1][0][1], "and its new text")
    before = numbers(again)
    mh.run("refile", "+inbox", "-link", "-src", "+inbox", "first")
    again = state(c)
    tap.ok(len(again) == len(before) + 1 and set(numbers(again)) == set(before), "a second link in the folder is a second message", again)
    tap.ok(c.rename("ours", "moved")[0] == "OK" and mh.run("folders", "-fast", "-recurse").split() ==
           ["inbox", "lists", "lists/nmh", "moved", "moved/below"], "RENAME")
    tap.ok(c.delete("moved/below")[0] == "OK" and not os.path.exists(mh.path("moved", "below")), "DELETE")


def inc(server):
    mh = Mh(server, "bob")
    with open(mh.path("spool"), "w") as f:
        for n in range(20):
            f.write(f"From s@sender.test Tue Nov 24 12:{n:02}:00 2026\n{text(n)}\n")
    if os.getuid() == 0:
        os.chown(mh.path("spool"), NOBODY.pw_uid, NOBODY.pw_gid)
    c = server.login("bob")
    state(c, "INBOX")
    mh.run("inc", "+inbox", "-file", mh.path("spool"), "-notruncate", "-silent")
    got = state(c)
    # A message that was seen while it was written is another one now.
    tap.ok(wait_for(lambda: numbers(state(c)) == list(range(20)), 10), "inc incorporates a spool", got)
    tap.ok(numbers(state(c), r"\seen") == [], "unseen")
    bodies = [c.uid("FETCH", str(u), "(BODY.PEEK[])")[1][0][1] for u in state(c)]
    tap.ok(sorted(bodies) == sorted(crlf(text(n)) for n in range(20)), "and whole")
    procmail(server, mh, c)
    c.logout()


def procmail(server, mh, c):
    """It knows no lock and no sequences, and leaves the line that mail comes with in a spool."""
    if not os.path.exists("/usr/bin/procmail"):
        tap.skip("procmail", "procmail is not installed")
        return
    subprocess.run(server.as_user(["/usr/bin/procmail", "-m", f"DEFAULT={mh.path('inbox')}/.", "/dev/null"]), check=True, cwd="/",
                   input="From s@sender.test Tue Nov 24 12:00:00 2026\n" + text(20), text=True, env={"HOME": mh.home, "PATH": "/usr/bin:/bin"})
    got = state(c)
    tap.ok(numbers(got) == list(range(21)) and c.uid("FETCH", uid_of(got, 20), "(BODY.PEEK[])")[1][0][1] in
           (crlf(text(20)), crlf(text(20) + "\n")),
           "what procmail delivers is there, without its first line", got)


def with_mutt(server):
    if not mutt.installed():
        tap.skip("MH folders shared with mutt", "mutt is not installed")
        return
    mh = Mh(server, "carol")
    for n in range(1, 5):
        mh.deliver(n)
    mh.run("mark", "+inbox", "1", "2", "-sequence", "project", "-add")
    c = server.login("carol")
    got = state(c, "INBOX")
    before = uids(got)
    c.uid("STORE", uid_of(got, 1), "+FLAGS", r"(\Seen)")
    # Flags message 2, marks 3 read, deletes 4, all by number.
    result = mutt.run(server, mh.home, mh.path("inbox"), "2<enter><flag-message>3<enter><toggle-new>4<enter><delete-message><sync-mailbox><quit>", "mh")
    got = state(c)
    tap.ok(numbers(got) == [1, 2, 3] and numbers(got, r"\flagged") == [2] and numbers(got, r"\seen") == [1, 3],
           "what mutt flags, reads and deletes", got, result)
    tap.ok(uids(got) == {n: before[n] for n in (1, 2, 3)}, "and no UID changes", got, before)
    tap.ok(mh.sequence("project") == [1, 2], "sequences of others stay", mh.sequence("project"))
    c.uid("STORE", uid_of(got, 3), "+FLAGS", r"(\Flagged)")
    c.uid("STORE", uid_of(got, 2), "+FLAGS", r"(\Answered \Seen)")
    tap.ok(mh.sequence("unseen") == [] and mh.sequence("flagged") == [2, 3] and mh.sequence("replied") == [2], "flags set after mutt was there",
           mh.sequence("flagged"))
    c.logout()


def hostile(server):
    """attack-115: what may lie in a folder."""
    mh = Mh(server, "dave")
    inbox = mh.path("inbox")
    mh.deliver(1)
    for name in ("0", "007", "4294967296", "99999999999999999999", ",7", "#8", "9~"):
        with open(f"{inbox}/{name}", "w") as f:
            f.write(text(99))
    os.symlink("/etc/passwd", f"{inbox}/2")
    os.symlink("1", f"{inbox}/3")
    os.mkfifo(f"{inbox}/4")
    os.mkdir(f"{inbox}/5")
    with open(f"{inbox}/6", "w") as f:
        f.write(text(6))
    os.chmod(f"{inbox}/6", 0)
    with open(f"{inbox}/.mh_sequences", "wb") as f:
        f.write(b"unseen: 1-4294967295 99999999999999999999999 x\nflagged:" + b" 1-4000000000" * 20000 + b"\n\xff\x00: \n:: 1\n")
    if os.getuid() == 0:
        for name in ("6", ".mh_sequences"):
            os.chown(f"{inbox}/{name}", NOBODY.pw_uid, NOBODY.pw_gid)
    c = server.login("dave")
    c.select("INBOX")
    flags = c.fetch("1:*", "(FLAGS)")[1]
    tap.ok(len(flags) == 2 and all(b"\\Flagged" in f and b"\\Seen" not in f for f in flags), "only regular files of plain numbers are messages",
           flags)
    typ, answer = c.fetch("2", "(BODY.PEEK[])")
    tap.ok(typ == "NO" or not any(isinstance(p, tuple) and b"number" in p[1] for p in answer), "a file that cannot be read", typ, answer)
    tap.ok(c.fetch("1", "(BODY.PEEK[])")[1][0][1] == crlf(text(1)), "does no harm to others")
    tap.ok(c.store("1", "+FLAGS", r"(\Seen)")[0] == "OK", "flags are set in sequences without end")
    with open(f"{inbox}/.mh_sequences", "rb") as f:
        got = f.read()
    tap.ok(b"unseen: 2-4294967295\n" in got and b"\xff\x00: \n:: 1\n" in got, "and what is nobody's stays", got[:200])
    tap.ok(c.append("INBOX", None, None, crlf(text(7)))[0] == "OK" and mh.messages()[-1:] != [], "APPEND takes the next number")
    c.logout()


def deliveries(mh, which):
    for n in which:
        mh.deliver(n)


def marks(mh, end, *renumber):
    r = random.Random(7)
    while time.monotonic() < end:
        command = r.choice([["mark", "+inbox", "all", "-sequence", "seen-by-nmh", "-add"], *renumber])
        mh.run(*command, check=False)


def worker(server, user, end, seed, appends, out):
    """Flags, reads and expunges (what has number % 3 == 0 only) until the time is over."""
    r = random.Random(seed)
    problems = []
    try:
        c = server.login(user)
        c.select("INBOX")
        while time.monotonic() < end:
            for uid, m in sorted(state(c).items()):
                what = r.random()
                if what < 0.3:
                    c.uid("STORE", str(uid), r.choice(["+FLAGS", "-FLAGS"]), r.choice([r"(\Seen)", r"(\Flagged)", r"(\Answered)"]))
                elif what < 0.6:
                    body = [p[1] for p in c.uid("FETCH", str(uid), "(BODY.PEEK[])")[1] or [] if isinstance(p, tuple)]
                    if body and body[0] != crlf(text(m[0])):
                        problems.append(f"UID {uid} has another text: {body[0]!r}")
                elif what < 0.65 and m[0] % 3 == 0:
                    c.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)")
                elif what < 0.75 and appends and m[0] % 3 == 0:
                    c.append("INBOX", None, None, crlf(text(1000 * seed + 3 * r.randrange(300))))
            c.expunge()
        c.logout()
    except Exception as e:  # reported by the parent
        problems.append(repr(e))
    out.put(problems)


def crowd(server, mh, user, title, appends, others):
    out = multiprocessing.Queue()
    end = time.monotonic() + 5
    processes = [multiprocessing.Process(target=worker, args=(server, user, end, i, appends, out)) for i in (1, 2)]
    processes += [multiprocessing.Process(target=f, args=arguments(end)) for f, arguments in others]
    for p in processes:
        p.start()
    problems = [x for _ in range(2) for x in out.get(timeout=90)]
    for p in processes:
        p.join(90)
    tap.ok(not problems, title, *problems)
    c = server.login(user)
    got = state(c, "INBOX")
    tap.ok(numbers(got) == mh.messages(), "afterwards all agree", numbers(got), mh.messages())
    plain = [n for n in numbers(got) if n < 1000]
    tap.ok(len(set(plain)) == len(plain), "no message is doubled", plain)
    wanted = {n for n in range(1, 60) if n % 3}
    tap.ok(wanted <= set(plain), "no message is lost", sorted(wanted - set(plain)))
    tap.ok([n for n in os.listdir(mh.path("inbox")) if n.startswith(".mortise")] == [], "nothing of ours is left in the folder")
    c.logout()


def all_at_once(server):
    """Not at the same time: messages that arrive, and nmh's pack and sortm. These read the folder before they lock it, and write
    over a message that arrives in between; rcvstore's as well as ours."""
    mh = Mh(server, "erin")
    mh.deliver(1)
    crowd(server, mh, "erin", "two sessions that also append, two deliveries, and mark", True,
          [(deliveries, lambda end: (mh, range(2, 60, 2))), (deliveries, lambda end: (mh, range(3, 60, 2))), (marks, lambda end: (mh, end))])
    mh = Mh(server, "heidi")
    deliveries(mh, range(1, 60))
    crowd(server, mh, "heidi", "two sessions that expunge, mark, pack and sortm", False,
          [(marks, lambda end: (mh, end, ["folder", "+inbox", "-pack"], ["sortm", "+inbox"], ["sortm", "+inbox", "-textfield", "subject"]))])


def killed(server):
    mh = Mh(server, "frank")
    done = set()
    for round_ in range(8):
        c = server.login("frank")
        c.select("INBOX")
        victim = max(server.sessions() or server.children())
        killer = threading.Timer(0.02 + rng.random() * 0.2, os.kill, (victim, signal.SIGKILL))
        killer.start()
        try:
            for n in range(100 * round_ + 1, 100 * round_ + 100):
                if c.append("INBOX", r"(\Seen)" if n % 2 else None, None, crlf(text(n)))[0] == "OK":
                    done.add(n)
        except (OSError, imaplib.IMAP4.error):
            pass
        killer.join()
    c = server.login("frank")
    got = state(c, "INBOX")
    tap.ok(done <= set(numbers(got)) and len(done) > 0, "after 8 sessions were killed in APPEND: what was acknowledged is there",
           sorted(done - set(numbers(got))))
    tap.ok(len(set(numbers(got))) == len(got) <= len(done) + 8, "nothing is doubled", numbers(got))
    tap.ok(all(m[2] == len(crlf(text(m[0]))) for m in got.values()), "every message is whole", got)
    tap.ok({n for n in done if n % 2} <= set(numbers(got, r"\seen")), "and has its flags")
    c.logout()


def full_disk(server):
    home = server.home("gina")
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=1777", "tmpfs", home]).returncode:
        tap.skip("a full disk", "mounting a small tmpfs needs root")
        return
    try:
        mh = Mh(server, "gina")
        c = server.login("gina")
        tap.ok(c.append("INBOX", None, None, crlf(text(1)))[0] == "OK", "a small message fits")
        c.append("INBOX", None, None, crlf(text(2)))
        answer = c.append("INBOX", None, None, crlf(text(1)) + b"x" * 70 + b"\r\n" + b"y" * 4000000 + b"\r\n")
        tap.ok(answer[0] == "NO" and b"OVERQUOTA" in answer[1][0], "APPEND beyond the disk is NO [OVERQUOTA]", answer)
        left = [n for n in os.listdir(mh.path("inbox")) if n.startswith(".mortise")]
        tap.ok(mh.messages() == [1, 2] and left == [], "and leaves nothing", left)
        with open(f"{home}/filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"z" * 4096)
            except OSError:
                pass
        got = state(c, "INBOX")
        tap.ok(numbers(got) == [1, 2], "messages can be read on a full disk", got)
        tap.ok(c.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK" and c.expunge()[0] == "OK" and mh.messages() == [2], "and be expunged")
        os.unlink(f"{home}/filler")
        tap.ok(numbers(state(c)) == [2] and c.append("INBOX", None, None, crlf(text(3)))[0] == "OK" and mh.messages() == [2, 3],
               "with room again, mail is taken")
        c.logout()
    finally:
        subprocess.run(["umount", home])


USERS = ["alice", "bob", "carol", "dave", "erin", "frank", "gina", "heidi"]
STORE = 'store = { inbox = [ "~/Mail/inbox" ]; mail_dir = "~/Mail"; default_driver = "mh"; lock_timeout = "20s"; };'
with Server(users=USERS, driver="mh", settings={"store": STORE}) as the_server:
    for part in (both_ways, inc, with_mutt, hostile, all_at_once, killed, full_disk):
        part(the_server)
tap.done()
