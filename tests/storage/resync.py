#!/usr/bin/python3
"""Resynchronisation (RFC 7162 QRESYNC), over every driver: a client goes away, other sessions and other programs work on the
mailbox, the client comes back, and what it is told is the difference, no more and no less. Then at random, with seeds."""
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import Server, Tap, wait_for
from qresync import Cache, as_set, uids

FORMATS = ["unix", "maildir", "mh"]  # that another program knows: lib/foreign.py
FOREIGN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib", "foreign.py")
ROUNDS = int(os.environ.get("MORTISE_ROUNDS", "60"))


tap = Tap()


class World:
    def __init__(self, server, driver, name):
        self.server, self.driver, self.name = server, driver, name
        self.path = f"{server.home('alice')}/mail/{name}"
        c = server.login("alice")
        c.create(name)
        c.logout()

    def run_foreign(self, operation, which=0):
        r = subprocess.run(self.server.as_user([sys.executable, FOREIGN, self.driver, self.path, operation, str(which)]), cwd="/", capture_output=True, text=True)
        assert r.returncode == 0, r.stderr

    def session(self):
        c = self.server.login("alice")
        c.select(self.name)
        return c

    def truth(self):
        """UIDs with flags and mod-sequences, as a plain session sees them now."""
        c = self.session()
        found = {}
        for line in c.uid("FETCH", "1:*", "(UID FLAGS MODSEQ)")[1]:
            text = line.decode() if line else ""
            m = re.search(r"UID (\d+)", text)
            if m:
                flags = re.search(r"FLAGS \(([^)]*)\)", text)[1].lower().split()
                found[int(m[1])] = (frozenset(flags) - {"\\recent"}, int(re.search(r"MODSEQ \((\d+)\)", text)[1]))
        c.logout()
        return found

    def append(self, count, flags=""):
        c = self.server.login("alice")
        for i in range(count):
            c.append(self.name, flags, None, b"Subject: %d\r\n\r\ntext\r\n" % i)
        c.logout()


def same(cache, truth):
    return cache.flags == {u: t[0] for u, t in truth.items()} and cache.numbers == sorted(truth)


def difference(cache, truth):
    mine = {u: sorted(f) for u, f in cache.flags.items()}
    true = {u: sorted(t[0]) for u, t in truth.items()}
    return [f"cache {mine}", f"truth {true}", f"numbers {cache.numbers}"] + cache.lines


def come_back(w, cache, title, **how):
    """Reconnects and looks at what was told."""
    known, since = set(cache.flags), cache.highest
    cache.connect_quietly(**how)
    told, fetched = set(cache.vanished), dict(cache.fetched)
    truth = w.truth()
    gone, changed = known - set(truth), {u for u, t in truth.items() if u in known and t[1] > since}
    ok = tap.ok(gone <= told and not told & set(truth) and told <= known, f"{title}: what vanished is told", f"told {told}", f"gone {gone}",
                *cache.lines)
    ok &= tap.ok({u for u in fetched if u in known} == changed, f"{title}: what changed is told, and nothing else", f"told {fetched}",
                 f"changed {changed} since {since}", truth, *cache.lines)
    cache.learn()
    return tap.ok(same(cache, truth), f"{title}: the cache is the mailbox", *difference(cache, truth)) and ok


class Client(Cache):
    def connect_quietly(self, known=True, match=None):
        """Up to the answer of SELECT, nothing learnt yet."""
        learn, self.learn = self.learn, lambda: None
        try:
            self.connect(self.resync_parameters(known, match))
        finally:
            self.learn = learn


def lose_index(w, prefix="index."):
    """With nobody there. What the server cannot keep elsewhere is lost; UIDs of formats that have none, too. index.cache:
    what a power failure does."""
    w.server.stop()
    for name in os.listdir(f"{w.server.home('alice')}/.mortise"):
        if name.startswith(prefix):
            os.unlink(f"{w.server.home('alice')}/.mortise/{name}")
    w.server.start()


def kill(w):
    """All processes of the server at once, and it is started again."""
    for pid in w.server.children():
        os.kill(pid, signal.SIGKILL)
    w.server.process.wait()
    w.server.start()


def races(w):
    """Two clients change the same message on condition that nobody else did: one of them may (RFC 7162 §3.1.3)."""
    sessions = []
    for _ in range(3):
        c = w.server.login("alice")
        c.select(w.name)
        sessions.append(c)
    won = []
    for n in range(12):
        modseq = int(re.search(r"MODSEQ \((\d+)\)", sessions[0].fetch("1", "(MODSEQ)")[1][-1].decode())[1])
        for i, c in enumerate(sessions):
            c.send(f"r{n} STORE 1 (UNCHANGEDSINCE {modseq}) FLAGS.SILENT (race{n}-{i})\r\n".encode())
        answers = [answer(c, f"r{n} ") for c in sessions]
        won.append(sum("[MODIFIED 1]" not in a for a in answers))
        for c in sessions:
            c.noop()
    tap.ok(won == [1] * 12, f"{w.driver}: of three conditional STOREs at once one wins", won)
    for c in sessions:
        c.logout()


def answer(c, tag):
    while True:
        line = c.readline().decode()
        if line.startswith(tag) or not line:
            return line


def fixed(w):
    """One thing at a time."""
    d = w.driver
    w.append(12)
    cache = Client(w.server, "alice", w.name)
    cache.connect()
    tap.ok(same(cache, w.truth()) and cache.highest > 0, f"{d}: a first synchronisation", *difference(cache, w.truth()))
    cache.drop()
    come_back(w, cache, f"{d}: nothing happened")
    cache.drop()
    other = w.session()
    other.store("2", "+FLAGS", r"(\Flagged word)")
    come_back(w, cache, f"{d}: flags changed elsewhere")
    cache.drop()
    other.store("1", "+FLAGS", r"(\Deleted)")
    other.store("12", "+FLAGS", r"(\Deleted)")
    other.expunge()
    come_back(w, cache, f"{d}: first and last expunged elsewhere")
    cache.drop()
    w.append(2, r"(\Deleted)")
    other.noop()
    other.expunge()
    w.append(1)
    come_back(w, cache, f"{d}: messages came and went")
    cache.drop()
    other.store("1:*", "+FLAGS", r"(\Answered)")
    other.uid("MOVE", "3:4", w.name)
    come_back(w, cache, f"{d}: messages were moved onto the mailbox itself", known=False)
    match = [(i + 1, u) for i, u in enumerate(cache.numbers)]
    cache.drop()
    other.noop()
    other.store("4", "+FLAGS", r"(\Deleted)")
    other.expunge()
    come_back(w, cache, f"{d}: with sequence match data", match=match)
    cache.drop()
    w.server.stop()
    w.server.start()
    come_back(w, cache, f"{d}: after the server was started anew")
    cache.drop()
    other = w.session()
    other.store("2", "+FLAGS", r"(\Draft)")
    other.store("3", "+FLAGS", r"(\Deleted)")
    other.expunge()
    kill(w)
    come_back(w, cache, f"{d}: the server was killed after its answer")
    cache.drop()
    other = w.session()
    other.store("1", "FLAGS", r"(power)")
    other.logout()
    lose_index(w, "index.cache")
    other = w.session()
    other.store("2", "+FLAGS", r"(\Deleted)")
    other.expunge()
    cache.connect()
    tap.ok(same(cache, w.truth()), f"{d}: after a power failure", *difference(cache, w.truth()))
    cache.drop()
    other.store("1", "+FLAGS", r"(\Draft)")
    other.logout()
    # The numbers are ahead of the clock by a step (a second) for each power failure; machines do not start as fast as that.
    wait_for(lambda: time.time() * 1e6 > cache.highest)
    lose_index(w)
    other = w.session()
    other.store("2", "+FLAGS", r"(\Draft)")
    other.store("3", "+FLAGS", r"(\Deleted)")
    other.expunge()
    since = cache.highest
    cache.connect()
    tap.ok(same(cache, w.truth()) and cache.highest > since, f"{d}: the index was lost, and mod-sequences begin above the old ones",
           f"since {since}", *difference(cache, w.truth()))
    cache.drop()
    cache.highest *= 2
    other.store("1", "-FLAGS", r"(\Draft)")
    cache.connect()
    tap.ok(same(cache, w.truth()), f"{d}: a mod-sequence that was never told: all is told", *difference(cache, w.truth()))
    cache.drop()
    other.logout()
    races(w)
    if d not in FORMATS:
        return
    w.run_foreign("flag", 1)
    come_back(w, cache, f"{d}: another program changed a flag")
    cache.drop()
    w.run_foreign("remove", 1)
    come_back(w, cache, f"{d}: another program removed a message")
    w.run_foreign("add")
    cache.command("NOOP")
    cache.learn()
    tap.ok(same(cache, w.truth()), f"{d}: another program delivered a message while the client was there", *difference(cache, w.truth()))
    w.run_foreign("remove", 2)
    cache.command("NOOP")
    tap.ok(any(line.startswith("* VANISHED ") for line in cache.lines) and same(cache, w.truth()),
           f"{d}: another program removed one while the client was there", *difference(cache, w.truth()))
    cache.drop()
    w.run_foreign("add")
    w.run_foreign("flag", 0)
    w.run_foreign("remove", 0)
    come_back(w, cache, f"{d}: another program did all of it")
    cache.drop()


FLAGS = [r"\Seen", r"\Answered", r"\Flagged", r"\Draft", "red", "blue"]


def some(rng, numbers, most=4):
    return sorted(rng.sample(numbers, min(len(numbers), rng.randint(1, most))))


def act_elsewhere(w, rng, other):
    """One change by a plain session or another program."""
    kind = rng.random()
    if kind < 0.15 and w.driver in FORMATS:
        w.run_foreign(rng.choice(["add", "flag", "flag", "remove"]), rng.randrange(100))
        return "foreign"
    other.noop()
    there = uids(other.uid("SEARCH", "ALL")[1][0].decode().replace(" ", ",")) if other.uid("SEARCH", "ALL")[1][0] else []
    if kind < 0.35 or len(there) < 4:
        w.append(rng.randint(1, 2), rng.choice(["", r"(\Seen)", r"(\Deleted)"]))
        return "append"
    chosen = as_set(some(rng, there))
    if kind < 0.75:
        how = rng.choice(["+FLAGS.SILENT", "-FLAGS", "FLAGS"])
        other.uid("STORE", chosen, how, f"({rng.choice(FLAGS)})")
        return f"store {chosen} {how}"
    other.uid("STORE", chosen, "+FLAGS.SILENT", r"(\Deleted)")
    if kind < 0.9:
        other.expunge()
        return f"expunge {chosen}"
    other.uid("MOVE", chosen, w.name)
    return f"move {chosen}"


def act_here(cache, rng):
    """One command of the client's own."""
    if not cache.numbers:
        return cache.command("NOOP")
    if None in cache.numbers:
        cache.learn()
    numbers = as_set(some(rng, range(1, len(cache.numbers) + 1)))
    flag = rng.choice(FLAGS)
    text = rng.choice(["NOOP", "CHECK", f"FETCH {numbers} (MODSEQ)", f"FETCH {numbers} (FLAGS)", "SEARCH MODSEQ 1", "EXPUNGE",
                       f"STORE {numbers} +FLAGS ({flag})", f"STORE {numbers} -FLAGS ({flag})", f"FETCH {numbers} (BODY[HEADER.FIELDS (X-NONE)])",
                       f"STORE {numbers} (UNCHANGEDSINCE {cache.highest}) FLAGS ({flag})",
                       f"STORE {numbers} (UNCHANGEDSINCE {cache.highest}) +FLAGS ({flag})", f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {cache.highest} VANISHED)",
                       f"STORE {numbers} +FLAGS (\\Deleted)", "UID SEARCH 1:*", f"STATUS {cache.mailbox} (HIGHESTMODSEQ)"])
    if "BODY[" in text:
        text = f"FETCH {numbers} (UID)"
    cache.command(text, None)
    return text


def random_rounds(w, seed):
    rng = random.Random(seed)
    w.append(12)
    cache = Client(w.server, "alice", w.name)
    cache.connect()
    other = w.session()
    history, good = [], True
    for n in range(ROUNDS):
        for _ in range(rng.randint(0, 3)):
            history.append(act_elsewhere(w, rng, other))
        for _ in range(rng.randint(0, 3)):
            history.append(act_here(cache, rng))
        if rng.random() < 0.3:
            history.append("drop")
            match = [(i + 1, u) for i, u in enumerate(cache.numbers) if u is not None and u in cache.flags and rng.random() < 0.3]
            known = rng.random() < 0.7
            cache.drop()
            for _ in range(rng.randint(0, 2)):
                history.append(act_elsewhere(w, rng, other))
            cache.connect_quietly(known, match if rng.random() < 0.5 else None)
            cache.learn()
        elif rng.random() < 0.5:
            history.append("noop")
            cache.command("NOOP")
            cache.learn()
        else:
            continue
        truth = w.truth()
        if not same(cache, truth):
            good = False
            tap.ok(False, f"{w.driver}: random operations, seed {seed}, round {n}", *difference(cache, truth), history[-12:])
            break
    cache.command("NOOP")
    cache.learn()
    truth = w.truth()
    tap.ok(good and same(cache, truth), f"{w.driver}: after {ROUNDS} rounds of random operations (seed {seed}) the cache is the mailbox",
           *difference(cache, truth))
    cache.drop()
    other.logout()


for driver in sys.argv[1:] or ["unix", "maildir", "mbx", "mh"]:
    with Server(users=["alice"], driver=driver) as server:
        fixed(World(server, driver, "box"))
        for seed in (int(s) for s in os.environ.get("MORTISE_SEEDS", "1 2").split()):
            random_rounds(World(server, driver, f"random{seed}"), seed)
tap.done()
