"""servers.py: the variants that bench.py compares, each a private server with one user, whose mailbox "big" holds the
corpus and whose other mailboxes are made by the rows that need them.

A variant is a server (Mortise or Dovecot) with one format. Files of the formats that both have (mbox, maildir) are put
in place as another program would have left them; the others are filled by the server itself.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dovecot
from mortise import BUILD, NOBODY, Server

USER = "bench"
CLOCK = os.sysconf("SC_CLK_TCK")


def give(path):
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", path], check=True)


class Variant:
    """server: not started. kind: the format, so that like can be compared with like."""

    def __init__(self, name, server, kind, ours):
        self.name, self.server, self.kind, self.ours = name, server, kind, ours

    def start(self):
        self.server.start()
        c = self.server.login(USER)
        typ, data = c.capability()
        self.capabilities = set(data[0].decode().upper().split())
        typ, data = c.create("work")
        c.logout()
        self.at_rest = len(self.server.children())
        return self

    def mail(self, *parts):
        return os.path.join(self.server.home(USER), "mail", *parts)

    # -- what its processes used --
    def cpu(self):
        """Seconds of all processes, also of those that have ended."""
        total = 0
        for pid in self.server.children():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += sum(int(x) for x in fields[11:15])
        return total / CLOCK

    def pids(self):
        return set(self.server.children())

    @staticmethod
    def pss(pid):
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))

    # -- mailboxes --
    def fill(self, corpus):
        big = self.mail("big")
        if self.kind == "mbox":
            shutil.copy(f"{corpus}/mbox", big)
        elif self.kind == "maildir":
            shutil.copytree(f"{corpus}/maildir", big)
        else:
            self.upload(corpus)
        give(self.server.home(USER))

    def upload(self, corpus):
        if not self.ours:
            source = self.server.home(USER) + "/source"
            shutil.copytree(f"{corpus}/maildir", source + "/big")
            give(source)
            r = self.server.doveadm("-o", "mail_fsync=never", "import", "-u", USER, f"maildir:{source}:LAYOUT=fs", "", "mailbox", "big")
            shutil.rmtree(source)
            if r.returncode:
                raise RuntimeError(r.stdout)
            return
        # From the mbox, in one command.
        shutil.copy(f"{corpus}/mbox", self.mail("source"))
        give(self.mail("source"))
        c = self.server.login(USER)
        c.create("big")
        c.sock.settimeout(600)
        for typ, data in (c.select("source"), c.copy("1:*", "big"), c.unselect(), c.delete("source")):
            if typ != "OK":
                raise RuntimeError(data)
        c.logout()

    def drop_index(self):
        """What the server keeps beside the mail and can make again."""
        home = self.server.home(USER)
        if self.ours:
            shutil.rmtree(f"{home}/.mortise", ignore_errors=True)
            return
        for path in glob.glob(f"{home}/mail/**/dovecot.index*", recursive=True) + glob.glob(f"{home}/mail/.imap/**/dovecot.index*", recursive=True):
            if self.kind != "sdbox" or path.endswith(".cache"):
                os.unlink(path)


def drivers():
    """The formats of this build that are mailboxes on disk."""
    return [d for d in ("unix", "mbx", "maildir", "mh", "mix") if os.path.exists(f"{BUILD}/modules/{d}/.libs/{d}.so")]


def ours(driver):
    """The driver of mboxes is there too, for what `upload` begins with."""
    settings = {"drivers": "drivers = [ " + ", ".join(f'"{d}"' for d in dict.fromkeys((driver, "unix"))) + " ];"}
    return Variant(driver, Server(users=[USER], driver=driver, settings=settings), {"unix": "mbox"}.get(driver, driver), True)


def theirs(name, kind, location, config=""):
    return Variant(name, dovecot.Dovecot(location, users=[USER], config=config), kind, False)


def variants(wanted):
    """Those whose names have one of the words."""
    makers = {d: (ours, d) for d in drivers()}
    if dovecot.installed():
        makers["dovecot-maildir"] = (theirs, "dovecot-maildir", "maildir", "maildir:~/mail:LAYOUT=fs:INBOX=~/inbox")
        makers["dovecot-mbox"] = (theirs, "dovecot-mbox", "mbox", "mbox:~/mail:INBOX=~/inbox")
        makers["dovecot-sdbox"] = (theirs, "dovecot-sdbox", "sdbox", "sdbox:~/mail")
        makers["dovecot-tuned"] = (theirs, "dovecot-tuned", "sdbox", "sdbox:~/mail", dovecot.TUNED)
    return [make(*arguments) for name, (make, *arguments) in makers.items() if any(w in name for w in wanted)]
