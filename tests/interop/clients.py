#!/usr/bin/python3
"""Real mail clients, end to end, on mailboxes of every format: each reads what is there, changes it the way its users do,
and a second connection says whether the mailbox is as the client believes. Each client has a user of its own; the mail is
the same: five messages in INBOX (plain, UTF-8 with encoded words, an attachment, an empty body, lines that begin with dots
and From), and a mailbox "Work" with one.

    clients.py [DRIVER...] [only=CLIENT]"""
import mailbox
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap
from terminal import Terminal

tap = Tap()

SUBJECTS = ["plain", "grüße aus köln", "attachment", "empty", "dots"]
MESSAGES = [
    b"From: Ann <ann@example.org>\r\nTo: me@example.org\r\nSubject: plain\r\nMessage-ID: <1@example.org>\r\n"
    b"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\nbody of plain\r\n",
    b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: me@example.org\r\nSubject: =?utf-8?b?Z3LDvMOfZQ==?=\r\n"
    b" =?utf-8?q?_aus_k=C3=B6ln?=\r\nMessage-ID: <2@example.org>\r\nDate: Mon, 1 Jan 2024 11:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nbody of gr\xc3\xbc\xc3\x9fe\r\n",
    b"From: Ann <ann@example.org>\r\nTo: me@example.org\r\nSubject: attachment\r\nMessage-ID: <3@example.org>\r\n"
    b"Date: Mon, 1 Jan 2024 12:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n--cut\r\n"
    b"Content-Type: text/plain\r\n\r\nbody of attachment\r\n--cut\r\nContent-Type: application/octet-stream; name=a.bin\r\n"
    b"Content-Disposition: attachment; filename=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJDRA==\r\n" * 400 + b"--cut--\r\n",
    b"From: Ann <ann@example.org>\r\nTo: me@example.org\r\nSubject: empty\r\nMessage-ID: <4@example.org>\r\n"
    b"Date: Mon, 1 Jan 2024 13:00:00 +0000\r\n\r\n",
    b"From: Ann <ann@example.org>\r\nTo: me@example.org\r\nSubject: dots\r\nMessage-ID: <5@example.org>\r\n"
    b"Date: Mon, 1 Jan 2024 14:00:00 +0000\r\n\r\nbody of dots\r\n.\r\n..\r\n.a\r\nFrom here to there\r\n>From there\r\n",
]


class Place:
    """What a client's check gets: the server, its user, a folder for the client's files."""

    def __init__(self, server, user):
        self.server, self.user = server, user
        self.dir = server.path(f"client-{user}")
        os.mkdir(self.dir)
        c = server.login(user)
        for m in MESSAGES:
            c.append("INBOX", "", None, m)
        c.create("Work")
        c.append("Work", r"(\Seen)", None, MESSAGES[0].replace(b"plain", b"working").replace(b"<1@", b"<6@"))
        c.logout()
        # What an mbox quotes stays quoted (mortise-unix(5), from_quoting).
        self.dots = MESSAGES[4].replace(b"\r\nFrom here", b"\r\n>From here") if server.driver == "unix" else MESSAGES[4]

    def file(self, name, text):
        path = f"{self.dir}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", newline="") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    def run(self, *command, seconds=90, **environment):
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=seconds,
                           cwd=self.dir, env={**os.environ, "HOME": self.dir, "LC_ALL": "C.UTF-8", **environment})
        return r.returncode, r.stdout.decode(errors="replace")

    def terminal(self, *command):
        return Terminal(list(command), cwd=self.dir, HOME=self.dir)

    def mailbox(self, name="INBOX"):
        """{Message-ID: (flags, octets)} as the server has it."""
        c = self.server.login(self.user)
        out = {}
        if c.select(f'"{name}"', readonly=True)[0] == "OK":
            for item in c.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")[1]:
                if isinstance(item, tuple):
                    head, text = item
                    out[message_id(text)] = (head, text)
                elif item and b"FLAGS" in item and out:
                    last = list(out)[-1]
                    out[last] = (out[last][0] + item, out[last][1])
        c.logout()
        return {k: (flags_of(head), text) for k, (head, text) in out.items()}

    def change(self, uids, what, flags, expunge=False):
        c = self.server.login(self.user)
        c.select("INBOX")
        c.uid("STORE", uids, what, flags)
        if expunge:
            c.expunge()
        c.logout()


def message_id(text):
    return int(re.search(rb"(?im)^message-id: *<(\d+)@", text)[1])


def flags_of(head):
    return set(re.search(rb"FLAGS \(([^)]*)\)", head)[1].decode().replace("\\Recent", "").split())


def flagged(box, flag):
    return sorted(k for k, (flags, _) in box.items() if flag in flags)


def lf(text):
    return text.replace(b"\r\n", b"\n")


def in_maildir(path):
    """{Message-ID: (info flags, file)} of a client's Maildir."""
    out = {}
    for d in ("new", "cur"):
        for name in os.listdir(f"{path}/{d}"):
            with open(f"{path}/{d}/{name}", "rb") as f:
                out[message_id(f.read())] = (set(name.partition(":2,")[2]), f"{path}/{d}/{name}")
    return out


def same_text(box, files):
    """Whether the files of a client hold the server's octets (line ends apart, and header fields a client adds)."""
    for k, (_, name) in files.items():
        with open(name, "rb") as f:
            text = re.sub(rb"(?m)^(X-TUID|X-OfflineIMAP): .*\r?\n", b"", f.read())
        if lf(text) != lf(box[k][1]):
            return False
    return True


def client_curl(p, title):
    url, login = f"imap://127.0.0.1:{p.server.port}", f"{p.user}:{PASSWORD}"
    code, out = p.run("curl", "-sS", "-u", login, url)
    tap.ok(code == 0 and "INBOX" in out and "Work" in out, f"{title} lists", out)
    got = subprocess.run(["curl", "-sS", "-u", login, f"{url}/INBOX;UID=2"], stdout=subprocess.PIPE, timeout=60)
    tap.ok(got.stdout == MESSAGES[1], f"{title} gets a message octet for octet", got.stdout)
    code, out = p.run("curl", "-sS", "-u", login, f"{url}/INBOX?SUBJECT%20dots")
    tap.ok(code == 0 and "SEARCH 5" in out, f"{title} searches", out)
    new = p.file("new", "From: a@example.org\r\nSubject: sent\r\nMessage-ID: <70@example.org>\r\n\r\nfrom curl\r\n")
    code, out = p.run("curl", "-sS", "-u", login, "-T", new, f"{url}/Work")
    tap.ok(code == 0 and sorted(p.mailbox("Work")) == [6, 70], f"{title} appends", out)
    code, out = p.run("curl", "-sS", "-u", login, f"{url}/INBOX", "-X", "STORE 1 +FLAGS (\\Deleted)")
    code2, out2 = p.run("curl", "-sS", "-u", login, f"{url}/INBOX", "-X", "EXPUNGE")
    tap.ok((code, code2) == (0, 0) and sorted(p.mailbox()) == [2, 3, 4, 5], f"{title} deletes and expunges", out, out2)
    code, out = p.run("curl", "-sS", "--cacert", p.server.path("tls/certificate.pem"), "-u", login,
                      f"imaps://localhost:{p.server.tls_port}/INBOX;UID=3;SECTION=2")
    tap.ok(code == 0 and out == "QUJDRA==\r\n" * 400 or out == ("QUJDRA==\r\n" * 400)[:-2], f"{title} gets a part through TLS", out[:200])


def client_mbsync(p, title):
    rc = p.file("mbsyncrc", f"""IMAPAccount a
Host 127.0.0.1
Port {p.server.port}
User {p.user}
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path {p.dir}/near/
Inbox {p.dir}/near/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
    os.mkdir(f"{p.dir}/near")
    box = f"{p.dir}/near/INBOX"

    def sync():
        code, out = p.run("mbsync", "-c", rc, "-a")
        return code == 0, out
    good, out = sync()
    near = in_maildir(box) if good else {}
    tap.ok(sorted(near) == [1, 2, 3, 4, 5] and same_text(p.mailbox(), near), f"{title} fetches all, octet for octet", out)
    tap.ok(good and sorted(in_maildir(f"{p.dir}/near/Work")) == [6], f"{title} fetches other mailboxes", out)
    # Both sides change.
    os.rename(near[1][1], near[1][1].replace("/new/", "/cur/").partition(":")[0] + ":2,FS")
    os.rename(near[4][1], near[4][1].replace("/new/", "/cur/").partition(":")[0] + ":2,T")
    with open(f"{box}/new/1700000000.1.here", "wb") as f:
        f.write(b"From: me@example.org\nSubject: mine\nMessage-ID: <70@example.org>\n\nnew at the client\n")
    p.change("2", "+FLAGS", r"(\Flagged)")
    p.change("5", "+FLAGS", r"(\Deleted)", expunge=True)
    good, out = sync()
    far, near = p.mailbox(), in_maildir(box)
    tap.ok(good and sorted(far) == [1, 2, 3, 70] and sorted(near) == [1, 2, 3, 70], f"{title} carries new mail and expunges both ways",
           out, sorted(far), sorted(near))
    tap.ok(flagged(far, "\\Flagged") == [1, 2] and flagged(far, "\\Seen") == [1] and near[2][0] >= {"F"},
           f"{title} carries flags both ways", {k: v[0] for k, v in far.items()}, near)
    code, out = p.run("mbsync", "-V", "-c", rc, "-a")
    tap.ok(code == 0 and sorted(in_maildir(box)) == [1, 2, 3, 70] and sorted(p.mailbox()) == [1, 2, 3, 70] and
           not re.search(r"(?i)propagat|pulling|pushing|updating flags|expunging", out), f"{title} comes back and has nothing to do", out[-1500:])


def client_offlineimap(p, title):
    rc = p.file("offlineimaprc", f"""[general]
accounts = a
metadata = {p.dir}/meta
[Account a]
localrepository = l
remoterepository = r
[Repository l]
type = Maildir
localfolders = {p.dir}/near
[Repository r]
type = IMAP
remotehost = 127.0.0.1
remoteport = {p.server.port}
remoteuser = {p.user}
remotepass = {PASSWORD}
ssl = no
starttls = no
auth_mechanisms = LOGIN
""")
    box = f"{p.dir}/near/INBOX"

    def sync():
        code, out = p.run("offlineimap", "-c", rc, "-o", "-u", "basic")
        return code == 0, out
    good, out = sync()
    near = in_maildir(box) if good else {}
    tap.ok(sorted(near) == [1, 2, 3, 4, 5] and same_text(p.mailbox(), near), f"{title} fetches all, octet for octet", out[-3000:])
    os.rename(near[1][1], near[1][1].replace("/new/", "/cur/").partition(":")[0] + ":2,FS")
    os.unlink(near[4][1])
    with open(f"{box}/cur/1700000000.1.here:2,S", "wb") as f:
        f.write(b"From: me@example.org\nSubject: mine\nMessage-ID: <70@example.org>\n\nnew at the client\n")
    p.change("2", "+FLAGS", r"(\Flagged)")
    p.change("5", "+FLAGS", r"(\Deleted)", expunge=True)
    good, out = sync()
    far, near = p.mailbox(), in_maildir(box)
    tap.ok(good and sorted(far) == [1, 2, 3, 70] and sorted(near) == [1, 2, 3, 70], f"{title} carries new mail and expunges both ways",
           out[-3000:], sorted(far), sorted(near))
    tap.ok(flagged(far, "\\Flagged") == [1, 2] and flagged(far, "\\Seen") == [1, 70] and near[2][0] >= {"F"},
           f"{title} carries flags both ways", {k: v[0] for k, v in far.items()}, near)


def client_fetchmail(p, title):
    rc = p.file("fetchmailrc", f'poll 127.0.0.1 protocol imap port {p.server.port} auth password user "{p.user}" password "{PASSWORD}" '
                'fetchall nokeep sslproto ""\n')
    code, out = p.run("fetchmail", "-f", rc, "--mda", f"cat >> {p.dir}/box; echo END >> {p.dir}/box", FETCHMAILHOME=p.dir)
    with open(f"{p.dir}/box", "rb") as f:
        got = f.read()
    tap.ok(code == 0 and sorted(int(n) for n in re.findall(rb"(?m)^Message-ID: <(\d)@", got)) == [1, 2, 3, 4, 5], f"{title} fetches all", out)
    tap.ok(lf(p.dots.partition(b"\r\n\r\n")[2]) in lf(got), f"{title} gets the lines as they are", got[got.find(b"dots"):])
    tap.ok(p.mailbox() == {}, f"{title} takes them away", out)


def client_getmail(p, title):
    os.makedirs(f"{p.dir}/box/new"), os.makedirs(f"{p.dir}/box/cur"), os.makedirs(f"{p.dir}/box/tmp")
    rc = p.file("getmailrc", f"""[retriever]
type = SimpleIMAPRetriever
server = 127.0.0.1
port = {p.server.port}
username = {p.user}
password = {PASSWORD}
mailboxes = ("INBOX", "Work")
[destination]
type = MDA_external
path = {p.dir}/keep
allow_root_commands = true
[options]
read_all = false
delete = false
delivered_to = false
received = false
""")
    with open(f"{p.dir}/keep", "w") as f:
        f.write(f"#!/bin/sh\nexec cat > {p.dir}/box/cur/$$:2,\n")
    os.chmod(f"{p.dir}/keep", 0o755)
    code, out = p.run("getmail", "--getmaildir", p.dir, "--rcfile", rc)
    got = in_maildir(f"{p.dir}/box")
    tap.ok(code == 0 and sorted(got) == [1, 2, 3, 4, 5, 6], f"{title} fetches two mailboxes", out)
    c = p.server.login(p.user)
    c.append("INBOX", "", None, b"From: a@example.org\r\nSubject: later\r\nMessage-ID: <70@example.org>\r\n\r\nlater\r\n")
    c.logout()
    code, out = p.run("getmail", "--getmaildir", p.dir, "--rcfile", rc)
    tap.ok(code == 0 and len(os.listdir(f"{p.dir}/box/cur")) == 7 and 70 in in_maildir(f"{p.dir}/box"),
           f"{title} comes back and takes only what is new", out)


def muttish(p, title, program):
    rc = p.file("muttrc", f"""set imap_user="{p.user}" imap_pass="{PASSWORD}" folder="imap://127.0.0.1:{p.server.port}/" spoolfile="+INBOX"
set ssl_starttls=no ssl_force_tls=no header_cache="" record="" wait_key=no move=no mark_old=no delete=yes quit=yes
set sort=mailbox-order confirmappend=no copy=no charset="utf-8" date_format="%d" index_format="%C %Z %s"
""")
    with p.terminal(program, "-n", "-F", rc) as t:
        tap.ok(t.shows("(?s)plain.*grüße aus köln.*attachment.*empty.*dots"), f"{title} lists, with encoded words", t.text())
        t.type("1\r\r")
        tap.ok(t.shows("body of plain"), f"{title} shows a message", t.text())
        t.type("i2\r")
        t.type("F")
        t.type("3\r")
        t.type("d")
        t.type("5\r")
        t.type("s" + "\x15" + "=Work\r")
        t.shows("(?i)copying|written|appended|Work", 10)
        t.type("$")
        t.shows("Msgs:3", 20)
        t.type("q")
        code = t.ends()
    far, work = p.mailbox(), p.mailbox("Work")
    tap.ok(code == 0 and sorted(far) == [1, 2, 4] and sorted(work) == [5, 6], f"{title} deletes one and saves one to another mailbox",
           code, t.text(), sorted(far), sorted(work))
    tap.ok(1 in flagged(far, "\\Seen") and flagged(far, "\\Flagged") == [2], f"{title} sets flags", {k: v[0] for k, v in far.items()})
    tap.ok(5 in work and work[5][1] == p.dots, f"{title} saves octet for octet", work.get(5))


def client_mutt(p, title):
    muttish(p, title, "mutt")


def client_neomutt(p, title):
    muttish(p, title, "neomutt")


def client_alpine(p, title):
    rc = p.file("pinerc", f"""personal-name=Me
user-domain=example.org
inbox-path={{127.0.0.1:{p.server.port}/user={p.user}/notls/imap}}INBOX
folder-collections=Mail {{127.0.0.1:{p.server.port}/user={p.user}/notls/imap}}[]
mail-directory={p.dir}/mail
feature-list=quit-without-confirm,expunge-without-confirm,enable-flag-cmd,enable-aggregate-command-set
sort-key=Arrival
last-version-used=99.99
""")
    os.mkdir(f"{p.dir}/mail")
    with p.terminal("alpine", "-p", rc, "-i") as t:
        t.shows("PASSWORD")
        t.type(PASSWORD + "\r")
        if t.shows("Preserve password|plain"):
            if "Preserve" in t.text():
                t.type("n")
        tap.ok(t.shows("(?s)plain.*grüße aus köln.*attachment.*empty.*dots"), f"{title} lists, with encoded words", t.text())
        t.type("J1\r")
        t.shows(r"Message 1 of 5|MESSAGE INDEX", 5)
        t.type("\r")
        tap.ok(t.shows("body of plain"), f"{title} shows a message", t.text())
        t.type("<")
        t.shows("MESSAGE INDEX")
        t.type("J3\r")
        t.type("d")
        t.type("J2\r")
        t.type("*")
        t.shows("(?i)flag")
        t.type("\r")
        t.type("x")
        t.shows("(?i)expunge|of 4")
        t.type("y")
        t.shows("of 4")
        t.type("qy")
        code = t.ends()
    far = p.mailbox()
    tap.ok(code == 0 and sorted(far) == [1, 2, 4, 5] and 1 in flagged(far, "\\Seen"), f"{title} deletes and expunges",
           code, t.text(), {k: v[0] for k, v in far.items()})
    tap.ok(flagged(far, "\\Flagged") == [2], f"{title} flags", {k: v[0] for k, v in far.items()})


def client_aerc(p, title):
    p.file(".config/aerc/accounts.conf", f"""[a]
source = imap+insecure://{p.user}:{PASSWORD}@127.0.0.1:{p.server.port}
default = INBOX
from = Me <me@example.org>
""")
    with p.terminal("aerc") as t:
        tap.ok(t.shows("(?s)dots.*empty.*attachment.*grüße aus köln.*plain"), f"{title} lists, with encoded words", t.text())
        t.type(":select -1\r")
        t.type(":flag\r")
        t.type(":select 0\r")
        t.type(":mv Work\r")
        t.shows("(?s)^(?!.*dots)", 10)
        t.type(":quit\r")
        code = t.ends()
    far, work = p.mailbox(), p.mailbox("Work")
    tap.ok(code == 0 and sorted(far) == [1, 2, 3, 4] and sorted(work) == [5, 6], f"{title} moves", code, t.text(), sorted(far), sorted(work))
    tap.ok(flagged(far, "\\Flagged") == [1], f"{title} flags", {k: v[0] for k, v in far.items()})


CLIENTS = {"curl": client_curl, "mbsync": client_mbsync, "offlineimap": client_offlineimap, "fetchmail": client_fetchmail,
           "getmail": client_getmail, "mutt": client_mutt, "neomutt": client_neomutt, "alpine": client_alpine, "aerc": client_aerc}

only = [a[5:] for a in sys.argv[1:] if a.startswith("only=")]
drivers = [a for a in sys.argv[1:] if "=" not in a] or ["unix", "mbx", "maildir", "mh"]
wanted = {n: f for n, f in CLIENTS.items() if not only or n in only}
for driver in drivers:
    with Server(users=list(wanted), driver=driver) as server:
        for name, check in wanted.items():
            if subprocess.run(["which", name], stdout=subprocess.DEVNULL).returncode != 0:
                tap.skip(f"{driver}: {name}", "it is not installed")
                continue
            check(Place(server, name), f"{driver}: {name}")
tap.done()
