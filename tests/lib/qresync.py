"""qresync.py: a client that keeps a mailbox in its own memory and resynchronises it as RFC 7162 §6 says.

    c = Cache(server, "alice", "box")
    c.connect()                    # SELECT, with QRESYNC once there is something to resynchronise
    c.command("STORE 1 +FLAGS.SILENT (\\\\Seen)")
    c.drop()                       # the connection is gone

It believes what it is told and nothing else: numbers, UIDs, flags, the highest mod-sequence. Whatever it cannot have been
told is an AssertionError.
"""
import re
import socket

from mortise import PASSWORD


def uids(text):
    """The numbers of a set."""
    found = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        found += range(int(low), int(high or low) + 1)
    return found


def as_set(numbers):
    """And back, in ranges."""
    ranges = []
    for n in sorted(numbers):
        if ranges and ranges[-1][1] == n - 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in ranges)


class Cache:
    def __init__(self, server, user, mailbox):
        self.server, self.user, self.mailbox = server, user, mailbox
        self.socket = self.file = None
        self.tag = 0
        self.uidvalidity = self.highest = None
        self.flags = {}     # of UIDs
        self.numbers = []   # UIDs by sequence number, None: not known yet
        self.vanished = []  # (EARLIER), in the last command
        self.fetched = {}   # UID: MODSEQ, likewise
        self.nomodseq = False
        self.lines = []

    # -- the connection --
    def connect(self, parameters=None):
        self.socket = socket.create_connection(("127.0.0.1", self.server.port), 60)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"* OK")
        self.numbers, self.selected = [], False
        self.command(f"LOGIN {self.user} {PASSWORD}")
        self.command("ENABLE QRESYNC")
        self.select(parameters)

    def resync_parameters(self, known=True, match=None):
        """What SELECT is given: known: with the UIDs; match: pairs (number, UID)."""
        text = f"{self.uidvalidity} {self.highest}"
        if known and self.flags:
            text += " " + as_set(self.flags)
        if match:
            text += f" ({as_set(n for n, _ in match)} {as_set(u for _, u in match)})"
        return f" (QRESYNC ({text}))"

    def select(self, parameters=None):
        if parameters is None:
            parameters = self.resync_parameters() if self.highest else ""
        before = self.uidvalidity
        self.numbers = []
        self.uidvalidity = None
        self.selected = True
        self.command(f"SELECT {self.mailbox}{parameters}")
        if before is not None and self.uidvalidity != before:
            self.flags = {}
        self.learn()

    def learn(self):
        """UIDs of the numbers that are not known, and what is new. News may come with the answers."""
        for _ in range(10):
            if None in self.numbers:
                self.command("UID FETCH 1:* (UID)")
                continue
            new = [u for u in self.numbers if u not in self.flags]
            if not new:
                return
            self.command(f"UID FETCH {as_set(new)} (UID FLAGS MODSEQ)")
        raise AssertionError(f"no end of new messages: {self.numbers} {sorted(self.flags)}")

    def drop(self):
        if self.socket is not None:
            self.file.close()
            self.socket.close()
        self.socket = None

    # -- the protocol --
    def command(self, text, expect="OK"):
        self.tag += 1
        tag = f"q{self.tag}"
        self.vanished, self.fetched, self.lines = [], {}, []
        self.told, self.code = 0, None
        self.fetching = not text.startswith(("FETCH", "STORE", "SEARCH"))  # may hear of expunges
        self.socket.sendall(f"{tag} {text}\r\n".encode())
        while True:
            line = self.file.readline().decode()
            assert line.endswith("\r\n"), f"{text}: the connection ended: {self.lines}"
            line = line[:-2]
            self.lines.append(line)
            self.codes(line)
            if line.startswith(tag + " "):
                break
            self.untagged(line)
        assert expect is None or line.split()[1] == expect, f"{text}: {line}"
        if self.code is not None:
            self.highest = self.code
        elif self.told > (self.highest or 0) and self.selected and self.highest is not None:
            self.highest = self.told
        return line

    def codes(self, line):
        m = re.search(r" OK \[HIGHESTMODSEQ (\d+)\]", line)
        if m:
            self.code = int(m[1])
        if "[NOMODSEQ]" in line:
            self.nomodseq, self.highest = True, None
        m = re.match(r"\* OK \[UIDVALIDITY (\d+)\]", line)
        if m:
            self.uidvalidity = int(m[1])

    def untagged(self, line):
        m = re.match(r"\* VANISHED (\(EARLIER\) )?([\d:,]+)$", line)
        if m:
            return self.gone(uids(m[2]), bool(m[1]))
        m = re.match(r"\* (\d+) (EXISTS|EXPUNGE|FETCH)(?: \((.*)\))?$", line)
        if not m:
            return
        n = int(m[1])
        if m[2] == "EXISTS":
            assert n >= len(self.numbers), f"EXISTS {n} with {len(self.numbers)} messages"
            self.numbers += [None] * (n - len(self.numbers))
        elif m[2] == "EXPUNGE":
            assert self.nomodseq, "EXPUNGE with QRESYNC"
            self.flags.pop(self.numbers.pop(n - 1), None)
        else:
            self.message(n, m[3])

    def gone(self, found, earlier):
        if earlier:
            self.vanished += found
            for u in found:
                self.flags.pop(u, None)
            return
        assert self.fetching, "VANISHED in a command with numbers"
        unknown = [u for u in found if u not in self.numbers]
        assert len(unknown) <= self.numbers.count(None), f"VANISHED {found} of what was never there: {self.numbers}"
        for u in found:
            self.flags.pop(u, None)
            if u in self.numbers:
                self.numbers.remove(u)
            else:
                self.numbers.remove(None)
        self.numbers = [None if u is None else u for u in self.numbers]

    def message(self, n, items):
        uid = re.search(r"UID (\d+)", items)
        modseq = re.search(r"MODSEQ \((\d+)\)", items)
        flags = re.search(r"FLAGS \(([^)]*)\)", items)
        assert n <= len(self.numbers), f"FETCH {n} of {len(self.numbers)}"
        if uid:
            u = int(uid[1])
            assert self.numbers[n - 1] in (None, u), f"number {n} is {self.numbers[n - 1]}, not {u}"
            self.numbers[n - 1] = u
        u = self.numbers[n - 1]
        if modseq:
            self.told = max(self.told, int(modseq[1]))
            self.fetched[u] = int(modseq[1])
        if flags:
            assert u is not None, "FLAGS of a message without UID"
            self.flags[u] = frozenset(f.lower() for f in flags[1].split()) - {"\\recent"}
