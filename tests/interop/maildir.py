#!/usr/bin/python3
"""The same maildirs, served by Mortise and by Debian's Dovecot at once, with mail being delivered: the two must agree about
UIDVALIDITY, UIDs, flags, keywords and dates, in both directions, and no message may be lost or doubled. Then sessions are
killed in the middle of APPEND, and the disk is full. attack-115, attack-116, attack-137."""
import imaplib
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dovecot as dovecot_server
import mutt
from mortise import NOBODY, Server, Tap

tap = Tap()
rng = random.Random(20261124)
if not dovecot_server.installed():
    tap.skip("maildirs shared with Dovecot", "dovecot is not installed")
    tap.done()


def text(n):
    return f"From: s@sender.test\nTo: r@sender.test\nSubject: number {n}\nX-Number: {n}\n\nline one of {n}\nline two\n"


def deliver(maildir, n, give=True):
    """As a delivery agent does: written in tmp, synced, renamed into new."""
    name = f"{int(time.time())}.M{int(time.time() * 1e6) % 1000000:06}P{os.getpid()}Q{n}.sender"
    with open(f"{maildir}/tmp/{name}", "w") as f:
        f.write(text(n))
        f.flush()
        os.fsync(f.fileno())
    if give and os.getuid() == 0:
        os.chown(f"{maildir}/tmp/{name}", NOBODY.pw_uid, NOBODY.pw_gid)
    os.rename(f"{maildir}/tmp/{name}", f"{maildir}/new/{name}")
    return name


def make_maildir(path):
    for d in ("", "/tmp", "/new", "/cur"):
        os.mkdir(path + d)
        if os.getuid() == 0:
            os.chown(path + d, NOBODY.pw_uid, NOBODY.pw_gid)


def state(c, mailbox="INBOX", readonly=True):
    """UIDVALIDITY, UIDNEXT, and {UID: (flags, size, date, number)}."""
    typ, answer = c.select(mailbox, readonly)
    if typ != "OK":
        return typ, answer, {}
    validity = int(c.response("UIDVALIDITY")[1][0])
    uidnext = int(c.response("UIDNEXT")[1][0])
    messages = {}
    if answer[0] != b"0":
        for part in c.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-Number)])")[1]:
            if not isinstance(part, tuple):
                continue
            line = part[0]
            flags = {f.lower() for f in imaplib.ParseFlags(line)} - {b"\\recent"}
            number = re.search(rb"X-Number: (\d+)", part[1])
            messages[int(re.search(rb"UID (\d+)", line).group(1))] = (
                frozenset(flags), int(re.search(rb"RFC822.SIZE (\d+)", line).group(1)),
                time.mktime(imaplib.Internaldate2tuple(line)), int(number.group(1)) if number else -1)
    return validity, uidnext, messages


def agree(title, server, dovecot, user, mailbox="INBOX", first="mortise"):
    answers = {}
    for which, source in sorted((("mortise", server), ("dovecot", dovecot)), key=lambda x: x[0] != first):
        c = source.login(user)
        answers[which] = state(c, mailbox)
        c.logout()
    tap.ok(answers["mortise"] == answers["dovecot"], title, "mortise: %s" % (answers["mortise"],),
           "dovecot: %s" % (answers["dovecot"],))
    return answers["mortise"]


def both_ways(server, dovecot):
    maildir = server.home("alice") + "/Maildir"
    make_maildir(maildir)
    for n in range(3):
        deliver(maildir, n)
    c = server.login("alice")
    before = state(c, readonly=False)
    tap.ok(sorted(before[2]) == [1, 2, 3] and [m[3] for _, m in sorted(before[2].items())] == [0, 1, 2],
           "delivered mail has UIDs in order of delivery", before)
    tap.ok(agree("Dovecot takes over our UIDs", server, dovecot, "alice") == before, "and they stay")
    d = dovecot.login("alice")
    d.select("INBOX")
    d.store("1", "+FLAGS", r"(\Seen $Junk)")
    d.store("2", "+FLAGS", r"(\Answered \Flagged Label9)")
    d.append("INBOX", r"(\Draft Fresh)", '"05-Jan-2024 10:20:30 +0100"', text(3).replace("\n", "\r\n").encode())
    got = agree("flags, keywords and messages of Dovecot's", server, dovecot, "alice", first="dovecot")
    tap.ok(got[2][1][0] == {b"\\seen", b"$junk"} and got[2][4][0] == {b"\\draft", b"fresh"}, "they are what was set", got)
    c.select("INBOX")
    c.store("3", "+FLAGS", r"(\Deleted $Junk Ours)")
    c.store("1", "-FLAGS", r"($Junk)")
    c.append("INBOX", r"(\Seen Ours)", '"06-Jan-2024 10:20:30 -0500"', text(4).replace("\n", "\r\n").encode())
    c.append("INBOX", None, None, text(5).replace("\n", "\r\n").encode())
    got = agree("flags, keywords and messages of ours", server, dovecot, "alice")
    tap.ok(got[2][3][0] == {b"\\deleted", b"$junk", b"ours"} and got[2][5][0] == {b"\\seen", b"ours"}, "they are what was set", got)
    c.expunge()
    d.select("INBOX")
    d.store("1", "+FLAGS", r"(\Deleted)")
    d.expunge()
    deliver(maildir, 6)
    got = agree("expunges of both, and new mail that Dovecot sees first", server, dovecot, "alice", first="dovecot")
    tap.ok(sorted(got[2]) == [2, 4, 5, 6, 7], "UIDs are not used again", got)
    c.close()
    c.select("INBOX")
    c.store("1:*", "+FLAGS", r"(\Seen)")
    agree("flags of all", server, dovecot, "alice")
    folders(server, dovecot, c, d)
    c.logout()
    d.logout()


def folders(server, dovecot, c, d):
    c.create("Ours")
    c.create("Ours/Below")
    d.create("Theirs")
    d.create("Theirs/Below")
    c.append("Theirs/Below", None, None, text(1).encode())
    d.append("Ours/Below", None, None, text(2).encode())
    names = [sorted(line.split(b' "/" ')[1].strip(b'"') for line in x.list()[1]) for x in (c, d)]
    tap.ok(names[0] == names[1] == [b"INBOX", b"Ours", b"Ours/Below", b"Theirs", b"Theirs/Below"],
           "both list the same mailboxes, and nothing that lies in them", *names)
    for name in ("Ours", "Ours/Below", "Theirs", "Theirs/Below"):
        agree(f"they agree about {name}", server, dovecot, "alice", name)
    was = state(c, "Ours/Below")[0]
    c.select("INBOX")
    tap.ok(c.delete("Ours/Below")[0] == "OK" and c.create("Ours/Below")[0] == "OK" and
           agree("made again", server, dovecot, "alice", "Ours/Below")[0] > was, "with another UIDVALIDITY")
    tap.ok(c.rename("Theirs", "Moved")[0] == "OK" and c.delete("Ours/Below")[0] == "OK" and c.delete("Ours")[0] == "OK" and
           [x for x in c.list()[1] if b"Ours" in x] == [], "RENAME and DELETE")
    agree("what went along", server, dovecot, "alice", "Moved/Below")
    c.delete("Theirs/Below")


def hostile(server, dovecot):
    """attack-115, attack-116: what may lie in a maildir."""
    maildir = server.home("bob") + "/Maildir"
    make_maildir(maildir)
    base = deliver(maildir, 0)
    cur = f"{maildir}/cur"

    def put(name, n):
        with open(name, "w") as f:
            f.write(text(n))
        if os.getuid() == 0:
            os.chown(name, NOBODY.pw_uid, NOBODY.pw_gid)

    put(f"{cur}/{base}:2,S", 1)  # the same base, another message
    put(f"{cur}/without-a-colon", 2)
    put(f"{cur}/1000.lies,S=7,W=9:2,FSXyz?", 3)
    put(f"{cur}/1001.info:1,S", 4)
    put(f"{cur}/1002.\udcff\udcfe:2,S", 5)
    put(f"{cur}/.hidden:2,", 6)
    os.symlink("/etc/passwd", f"{cur}/1003.link:2,")
    os.mkfifo(f"{cur}/1004.fifo:2,")
    os.mkdir(f"{cur}/1005.dir:2,")
    c = server.login("bob")
    got = state(c, readonly=False)
    tap.ok(sorted(m[3] for m in got[2].values()) == [0, 1, 2, 3, 4, 5], "every message is there once, nothing else is", got)
    tap.ok(all(m[1] == len(text(m[3])) + text(m[3]).count("\n") for m in got[2].values()), "sizes are the truth", got)
    c.store("1:*", "+FLAGS", r"(\Answered)")
    names = os.listdir(cur)
    tap.ok(any(re.fullmatch(r"1000\.lies,S=7,W=9:2,\?FRSXyz", n) for n in names), "unknown letters are kept", names)
    tap.ok({u: (m[0], m[3]) for u, m in state(c)[2].items()} ==
           {u: (m[0] | {b"\\answered"}, m[3]) for u, m in got[2].items()}, "and changed like others")
    # A file that goes, and one that is renamed by a program without the lock, between two commands.
    c.select("INBOX")
    victim = next(n for n in os.listdir(cur) if n.startswith("without"))
    os.rename(f"{cur}/{victim}", f"{cur}/without-a-colon:2,RS")
    lost = next(n for n in os.listdir(cur) if n.startswith("1001."))
    os.unlink(f"{cur}/{lost}")
    answers = [c.fetch(str(i), "(UID BODY.PEEK[])")[0] for i in range(1, 7)]
    tap.ok(len(answers) == 6, "files vanish between readdir and open", answers)
    tap.ok(c.noop()[0] == "OK" and sorted(m[3] for m in state(c)[2].values()) == [0, 1, 2, 3, 5], "then they are gone")
    for name, data in (("dovecot-uidlist", b"\xff\x00 no list\n" * 100), ("dovecot-keywords", b"0 a b\n99 x\n-1 y\n1 ok\n\xff")):
        with open(f"{maildir}/{name}", "wb") as f:
            f.write(data)
    c.logout()
    c = server.login("bob")
    tap.ok(sorted(m[3] for m in state(c, readonly=False)[2].values()) == [0, 1, 2, 3, 5], "a damaged dovecot-uidlist")
    c.logout()
    os.rename(f"{maildir}/new", f"{maildir}/elsewhere")
    os.symlink("elsewhere", f"{maildir}/new")
    c = server.login("bob")
    tap.ok(c.select("INBOX")[0] == "NO", "new as a link is refused")
    c.logout()


def deliveries(maildir, numbers):
    for n in numbers:
        deliver(maildir, n)


def worker(source, seconds_end, seed, out):
    """Flags, reads and expunges (what has number % 3 == 0 only) until the time is over."""
    r = random.Random(seed)
    problems = []
    try:
        c = source.login("carol")
        while time.monotonic() < seconds_end:
            c.select("INBOX")
            for uid, m in sorted(state(c, readonly=False)[2].items()):
                what = r.random()
                if what < 0.3:
                    c.uid("STORE", str(uid), r.choice(["+FLAGS", "-FLAGS"]), r.choice([r"(\Seen)", r"(\Flagged)", "(One)", "(Two)"]))
                elif what < 0.5:
                    body = [p[1] for p in c.uid("FETCH", str(uid), "(BODY.PEEK[])")[1] if isinstance(p, tuple)]
                    if body and body[0].replace(b"\r\n", b"\n").decode() != text(m[3]):
                        problems.append(f"UID {uid} has another text: {body[0]!r}")
                elif what < 0.6 and m[3] % 3 == 0:
                    c.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)")
            c.expunge()
        c.logout()
    except Exception as e:  # reported by the parent
        problems.append(repr(e))
    out.put(problems)


def all_at_once(server, dovecot):
    maildir = server.home("carol") + "/Maildir"
    make_maildir(maildir)
    deliver(maildir, 0)
    agree("a maildir that both open first", server, dovecot, "carol")
    out = multiprocessing.Queue()
    end = time.monotonic() + 6
    crowd = [multiprocessing.Process(target=worker, args=(s, end, i, out)) for i, s in
             enumerate((server, server, dovecot, dovecot))]
    crowd += [multiprocessing.Process(target=deliveries, args=(maildir, range(i, 120, 2))) for i in (1, 2)]
    for p in crowd:
        p.start()
    problems = [x for _ in range(4) for x in out.get(timeout=90)]
    for p in crowd:
        p.join(60)
    tap.ok(not problems, "four sessions and two deliveries at once", *problems)
    got = agree("afterwards both agree", server, dovecot, "carol")
    numbers = [m[3] for m in got[2].values()]
    tap.ok(len(set(numbers)) == len(numbers), "no message is doubled", sorted(numbers))
    wanted = {n for n in range(1, 120) if n % 3}
    tap.ok(wanted <= set(numbers), "no message is lost", sorted(wanted - set(numbers)))


def killed(server, dovecot):
    maildir = server.home("dave") + "/Maildir"
    make_maildir(maildir)
    done = set()
    for round_ in range(12):
        c = server.login("dave")
        c.select("INBOX")
        victim = max(server.sessions() or server.children())
        killer = threading.Timer(0.02 + rng.random() * 0.2, os.kill, (victim, signal.SIGKILL))
        killer.start()
        try:
            for n in range(100 * round_, 100 * round_ + 100):
                if c.append("INBOX", r"(\Seen)" if n % 2 else None, None, text(n).replace("\n", "\r\n").encode())[0] == "OK":
                    done.add(n)
        except (OSError, imaplib.IMAP4.error):
            pass
        killer.join()
    got = agree("after 12 sessions were killed in APPEND, both agree", server, dovecot, "dave")
    numbers = [m[3] for m in got[2].values()]
    tap.ok(done <= set(numbers) and len(done) > 0, "what was acknowledged is there", sorted(done - set(numbers)))
    tap.ok(len(set(numbers)) == len(numbers) and len(set(numbers) - done) <= 12, "nothing is doubled", sorted(numbers))
    tap.ok(all(m[1] == len(text(m[3])) + text(m[3]).count("\n") for m in got[2].values()), "and every message is whole")


class Idle:
    """A session that waits in IDLE, and what it is told there."""

    def __init__(self, c):
        self.c, self.told = c, b""
        c.send(b"idle IDLE\r\n")
        while not c.readline().startswith(b"+"):
            pass

    def until(self, condition, seconds=30):
        """True as soon as what was told since the last call fulfils it."""
        self.c.sock.settimeout(seconds)
        try:
            while not condition(self.told):
                self.told += self.c.readline()
        except OSError:
            return False
        self.before, self.told = self.told, b""
        return True

    def end(self):
        self.c.send(b"DONE\r\n")
        while not self.c.readline().startswith(b"idle "):
            pass


def watched(server, dovecot):
    """A session in IDLE while procmail delivers, Dovecot changes flags and expunges, and mutt is at work."""
    home = server.home("frank")
    maildir = home + "/Maildir"
    make_maildir(maildir)
    c = server.login("frank")
    c.select("INBOX")
    idle = Idle(c)
    if os.path.exists("/usr/bin/procmail"):
        crowd = [subprocess.Popen(server.as_user(["/usr/bin/procmail", "-m", f"DEFAULT={maildir}/", "/dev/null"]), cwd="/",
                                  stdin=subprocess.PIPE, env={"HOME": home, "PATH": "/usr/bin:/bin"}) for _ in range(8)]
        for n, p in enumerate(crowd):
            p.stdin.write(f"From s@sender.test Tue Nov 24 12:00:00 2026\n{text(n)}".encode())
        for p in crowd:
            p.stdin.close()
        tap.ok(all(p.wait(30) == 0 for p in crowd), "eight procmails deliver at once")
    else:
        for n in range(8):
            deliver(maildir, n)
        tap.skip("eight procmails deliver at once", "procmail is not installed")
    tap.ok(idle.until(lambda told: b"* 8 EXISTS" in told), "IDLE tells of what was delivered", idle.told)
    d = dovecot.login("frank")
    d.select("INBOX")
    d.store("1:8", "+FLAGS", r"(\Flagged $Junk)")
    tap.ok(idle.until(lambda told: all(re.search(rb"\* %d FETCH [^\r]*\\Flagged[^\r]*\$Junk" % n, told) for n in range(1, 9))),
           "of flags that Dovecot sets", idle.told)
    d.store("3", "+FLAGS", r"(\Deleted)")
    d.expunge()
    tap.ok(idle.until(lambda told: b"* 3 EXPUNGE" in told), "of what Dovecot expunges", idle.told)
    if mutt.installed():
        result = mutt.run(server, home, maildir, "1<enter><clear-flag>!2<enter><delete-message><sync-mailbox><quit>", "Maildir")
        tap.ok(idle.until(lambda told: b" EXPUNGE" in told and b" FETCH" in told), "of what mutt deletes and flags", idle.told, result)
    else:
        tap.skip("of what mutt deletes and flags", "mutt is not installed")
    idle.end()
    c.noop()
    got = agree("afterwards all agree", server, dovecot, "frank")
    numbers = sorted(m[3] for m in got[2].values())
    tap.ok(len(set(numbers)) == len(numbers) == (6 if mutt.installed() else 7), "nothing is lost or doubled", numbers)
    if mutt.installed():
        flags = [m[0] for m in got[2].values()]
        tap.ok(sum(b"\\flagged" in f for f in flags) == 5 and all(b"$junk" in f for f in flags), "and keywords are kept", got)
    c.logout()
    d.logout()


def full_disk(server, dovecot):
    home = server.home("erin")
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=1777", "tmpfs", home]).returncode:
        tap.skip("a full disk", "mounting a small tmpfs needs root")
        return
    try:
        make_maildir(f"{home}/Maildir")
        c = server.login("erin")
        small = text(1).replace("\n", "\r\n").encode()
        tap.ok(c.append("INBOX", None, None, small)[0] == "OK", "a small message fits")
        answer = c.append("INBOX", None, None, small + b"x" * 70 + b"\r\n" + b"y" * 4000000 + b"\r\n")
        tap.ok(answer[0] == "NO" and b"OVERQUOTA" in answer[1][0], "APPEND beyond the disk is NO [OVERQUOTA]", answer)
        tap.ok(os.listdir(f"{home}/Maildir/tmp") == [], "and leaves nothing in tmp")
        deliver(f"{home}/Maildir", 2)
        with open(f"{home}/filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"z" * 4096)
            except OSError:
                pass
        got = state(c, readonly=False)
        tap.ok(1 in [m[3] for m in got[2].values()], "what has a UID can be read on a full disk", got)
        tap.ok(c.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK" and c.expunge()[0] == "OK", "and be expunged")
        os.unlink(f"{home}/filler")
        got = agree("with room again, new mail has its UID", server, dovecot, "erin")
        c.logout()
        c = server.login("erin")
        tap.ok([m[3] for m in state(c, readonly=False)[2].values()] == [2], "and what was expunged is gone", got)
        c.logout()
    finally:
        subprocess.run(["umount", "-l", home])


def main():
    settings = {"store": 'store = { inbox = [ "~/Maildir" ]; mail_dir = "~/Maildir"; default_driver = "maildir"; };'}
    with Server(users=["alice", "bob", "carol", "dave", "erin", "frank"], driver="maildir", settings=settings) as server, \
            dovecot_server.Dovecot(f"maildir:{server.path('home')}/%u/Maildir:LAYOUT=fs", users=server.users) as dovecot:
        both_ways(server, dovecot)
        hostile(server, dovecot)
        all_at_once(server, dovecot)
        killed(server, dovecot)
        watched(server, dovecot)
        full_disk(server, dovecot)
        bad = [x for x in dovecot.mail_log().splitlines() if "Error:" in x or "Panic" in x or "Corrupted" in x]
        tap.ok(not bad, "Dovecot has nothing to complain about", *bad[:10])
        bad = [x for x in server.log().splitlines() if " error:" in x and "no directory of its own" not in x and
               "died of signal 9" not in x]
        tap.ok(not bad, "neither have we", *bad[:10])


main()
tap.done()
