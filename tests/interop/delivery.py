#!/usr/bin/python3
"""Main job, real input: Postfix delivers 200 varied messages to an mbox while five clients read, flag, move and expunge.

Afterwards no message may be lost or doubled, every text must be the one that was sent, and the real c-client library must
read the same messages, UIDs and flags from the file. Needs root (Postfix's master does); mail is delivered as nobody.
"""
import base64
import collections
import hashlib
import imaplib
import os
import pty
import random
import re
import select
import shutil
import signal
import smtplib
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import BUILD, NOBODY, PASSWORD, Server, Tap, free_port, wait_for

COUNT = 200
tap = Tap()
rng = random.Random(20261124)
imaplib._MAXLINE = 10_000_000


def mta_missing():
    for p in ("/usr/sbin/postconf", "/usr/lib/postfix/sbin/master"):
        if not os.path.exists(p):
            return "postfix is not installed"
    return None if os.getuid() == 0 else "Postfix needs root"


class Postfix:
    """A private Postfix on a loopback port that delivers @mbox.test to files with both an fcntl lock and a dot-lock."""

    def __init__(self, folder, mbox_dir, users):
        self.dir, self.port = folder, free_port()
        conf = f"{folder}/conf"
        for d in (folder, conf, f"{folder}/spool", f"{folder}/data", f"{folder}/log"):
            os.makedirs(d, exist_ok=True)
        shutil.chown(f"{folder}/data", "postfix")
        with open(f"{conf}/vmap", "w") as f:
            for u in users:
                f.write(f"{u}@mbox.test {u}\n")
        with open(f"{conf}/main.cf", "w") as f:
            f.write(f"""compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
relay_domains =
default_transport = error:this test server relays nowhere
relay_transport = error:this test server relays nowhere
virtual_mailbox_domains = mbox.test
virtual_mailbox_base = {mbox_dir}
virtual_mailbox_maps = texthash:{conf}/vmap
virtual_mailbox_lock = fcntl, dotlock
virtual_mailbox_limit = 0
mailbox_size_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{NOBODY.pw_uid}
virtual_gid_maps = static:{NOBODY.pw_gid}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = permit
message_size_limit = 52428800
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
in_flow_delay = 0
smtpd_client_connection_rate_limit = 0
biff = no
""")
        services = """pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
        with open(f"{conf}/master.cf", "w") as f:
            f.write(f"127.0.0.1:{self.port} inet n - n - - smtpd\n{services}")
        open(f"{folder}/log/maillog", "w").close()
        subprocess.run(["/usr/sbin/postfix", "-c", conf, "check"], check=True, capture_output=True)
        self.out = open(f"{folder}/log/master", "wb")
        self.process = subprocess.Popen(["/usr/lib/postfix/sbin/master", "-c", conf, "-s"], stdin=subprocess.DEVNULL,
                                        stdout=self.out, stderr=self.out, start_new_session=True)
        if not wait_for(self._greets, 30):
            raise RuntimeError("Postfix does not greet")

    def _greets(self):
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=5):
                return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.out.close()

    def log(self):
        with open(f"{self.dir}/log/maillog", errors="replace") as f:
            return f.read()


def message(i):
    """The i-th message: header, and a body of one of a dozen shapes that mailbox code has stumbled over."""
    head = [f"From: Sender {i} <s{i}@sender.test>", "To: alice@mbox.test", f"Subject: varied {i}",
            f"Message-ID: <{i}.varied@sender.test>", f"X-Number: {i}"]
    shape = i % 12
    if shape == 0:
        body = f"plain text of {i}\r\n"
    elif shape == 1:
        body = f"From here on\r\nFrom me@example.org Mon Jan  1 10:00:00 2024\r\n>From quoted\r\nend {i}\r\n"
    elif shape == 2:
        body = ""
    elif shape == 3:
        head += ["MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b"]
        data = base64.encodebytes(rng.randbytes(3000)).decode().replace("\n", "\r\n")
        body = f"--b\r\n\r\npart {i}\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}--b--\r\n"
    elif shape == 4:
        head += ["Status: RO", "X-Status: D", f"X-UID: {9000 + i}", "X-IMAPbase: 1 99999", "X-Keywords: forged"]
        body = "a sender who tries to steer flags and UIDs\r\n"
    elif shape == 5:
        head += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
        body = f"Grüße {i} ☃\r\n"
    elif shape == 6:
        body = "x" * 900 + "\r\n" + "y" * 900 + "\r\n"
    elif shape == 7:
        body = "no empty line follows\r\n\r\n\r\nthree did\r\n\r\n\r\n"
    elif shape == 8:
        body = "".join(f"line {n} of a long message {i}\r\n" for n in range(4000))
    elif shape == 9:
        head += ["Content-Length: 7", "Lines: 1", "X-Mozilla-Status: 0009"]
        body = "longer than Content-Length says\r\nFrom the start\r\n"
    elif shape == 10:
        head += ["X-Folded: one\r\n two\r\n\tthree", "X-Empty:"]
        body = "\r\n\r\nstarts with empty lines\r\n"
    else:
        head += ["MIME-Version: 1.0", "Content-Type: message/rfc822"]
        body = f"From: inner@sender.test\r\nSubject: inner {i}\r\n\r\ninner text\r\n"
    return "\r\n".join(head) + "\r\n\r\n" + body


def canonical(text):
    """What must survive delivery and serving: X-Number and the body, From-quoting undone, outer empty lines left out."""
    head, _, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    number = re.search(rb"(?mi)^X-Number: (\d+)", head)
    body = re.sub(rb"(?m)^>+From ", lambda m: m.group(0).lstrip(b">"), body).strip(b"\n")
    return int(number.group(1)) if number else -1, hashlib.sha256(body).hexdigest()


def deliver(port, texts, errors):
    try:
        for chunk in range(0, len(texts), 10):
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
                for t in texts[chunk:chunk + 10]:
                    smtp.sendmail("sender@sender.test", ["alice@mbox.test"], t.encode(), mail_options=["BODY=8BITMIME"])
            time.sleep(0.05)
    except Exception as e:  # the thread's result
        errors.append(f"delivery: {e!r}")


def client_thread(function, *arguments):
    def run():
        try:
            function(*arguments)
        except Exception as e:
            results[function.__name__].append(repr(e))
    t = threading.Thread(target=run, name=function.__name__)
    t.start()
    return t


results = collections.defaultdict(list)
moved = []  # what imaplib moved, for the report
stop = threading.Event()


def client_imaplib(server):
    """Flags at random, moves every fifth message to `archive`, expunges it from INBOX."""
    r = random.Random(1)
    c = server.login("alice")
    if c.select("INBOX")[0] != "OK":
        raise RuntimeError("cannot select INBOX")
    while not stop.is_set():
        c.noop()
        uids = c.uid("SEARCH", "UNDELETED")[1][0].split()
        for uid in r.sample(uids, min(5, len(uids))):
            c.uid("STORE", uid, r.choice(["+FLAGS", "-FLAGS"]), r.choice([r"(\Flagged)", r"(\Answered)", "($Label1)"]))
        todo = [u for u in uids if int(u) % 5 == 0]
        if todo:
            chosen = b",".join(todo)
            answer = c.uid("COPY", chosen, "archive")
            if answer[0] == "OK":
                c.uid("STORE", chosen, "+FLAGS.SILENT", r"(\Deleted)")
                c.uid("EXPUNGE", chosen)
                moved.extend(todo)
        time.sleep(0.05)
    c.logout()


def client_curl(server):
    """Reads headers and whole messages, one process each time."""
    base = ["curl", "-sS", "--max-time", "30", "--cacert", server.path("tls/certificate.pem"), "-u", f"alice:{PASSWORD}"]
    url = f"imaps://localhost:{server.tls_port}/INBOX"
    fetched = 0
    while not stop.is_set():
        p = subprocess.run(base + [url, "-X", "UID SEARCH ALL"], capture_output=True, text=True)
        if p.returncode != 0:
            raise RuntimeError(f"curl search: {p.stderr}")
        uids = re.findall(r"\d+", p.stdout)
        for uid in uids[-3:]:
            p = subprocess.run(base + [f"{url};UID={uid}"], capture_output=True)
            if p.returncode == 0 and b"X-Number:" in p.stdout:
                fetched += 1
        time.sleep(0.1)
    results["curl fetched"] = [fetched]


def client_mbsync(server):
    """Mirrors INBOX into a maildir, again and again."""
    d = server.path("mbsync")
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/rc", "w") as f:
        f.write(f"""IMAPAccount a
Host 127.0.0.1
Port {server.port}
User alice
Pass {PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path {d}/box/
Inbox {d}/box/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns INBOX
Create Near
Expunge None
SyncState *
""")
    os.makedirs(f"{d}/box", exist_ok=True)
    runs = 0
    while True:
        last = stop.is_set()
        p = subprocess.run(["mbsync", "-c", f"{d}/rc", "-a"], capture_output=True, text=True, env={**os.environ, "HOME": d})
        if p.returncode != 0:
            raise RuntimeError(f"mbsync: {p.stderr}")
        runs += 1
        if last:
            break
        time.sleep(0.2)
    results["mbsync runs"] = [runs]


def client_fetchmail(server):
    """Takes mail out of `archive` (fetch, delete, expunge) into a file."""
    d = server.path("fetchmail")
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/rc", "w") as f:
        f.write(f'poll 127.0.0.1 protocol imap port {server.port} auth password user "alice" password "{PASSWORD}" '
                f'folder archive fetchall sslproto "" mda "/usr/bin/tee -a {d}/box"\n')
    os.chmod(f"{d}/rc", 0o600)
    open(f"{d}/box", "w").close()
    runs = 0
    while True:
        last = stop.is_set()
        p = subprocess.run(["fetchmail", "-f", f"{d}/rc"], capture_output=True, text=True,
                           env={**os.environ, "FETCHMAILHOME": d, "HOME": d})
        if p.returncode not in (0, 1):  # 1: no new mail
            raise RuntimeError(f"fetchmail {p.returncode}: {p.stdout}{p.stderr}")
        runs += 1
        if last:
            break
        time.sleep(0.3)
    results["fetchmail runs"] = [runs]


def client_mutt(server):
    """Opens the mailbox at a terminal, marks every message as flagged whose number ends in 7, saves, quits."""
    d = server.path("mutt")
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/rc", "w") as f:
        f.write(f'set imap_user="alice" imap_pass="{PASSWORD}" ssl_starttls=no ssl_force_tls=no header_cache="" record=""\n'
                f'set spoolfile="imap://127.0.0.1:{server.port}/INBOX" folder="imap://127.0.0.1:{server.port}/" wait_key=no\n'
                'set move=no mark_old=no quit=yes delete=no mail_check=1\n')
    runs = interrupted = 0
    while not stop.is_set():
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm", HOME=d, LINES="40", COLUMNS="120")
            os.execvp("mutt", ["mutt", "-n", "-F", f"{d}/rc", "-e",
                               'push "<tag-pattern>~s \'varied [0-9]*7$\'<enter><tag-prefix-cond><set-flag>!<end-cond><sync-mailbox><quit>"'])
        seen, end = b"", time.monotonic() + 15
        while time.monotonic() < end:
            if not select.select([fd], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            seen = (seen + data)[-20000:]
        else:  # new mail made mutt forget the keys that were pushed: it waits for a person
            os.kill(pid, signal.SIGKILL)
            interrupted += 1
        status = os.waitpid(pid, 0)[1]
        os.close(fd)
        if status not in (0, signal.SIGKILL):
            raise RuntimeError(f"mutt ended with {status}: {seen[-500:]!r}")
        runs += status == 0
        time.sleep(0.2)
    results["mutt runs"] = [runs, interrupted]


def fetch_all(c, mailbox):
    """{uid: (flags, text)} of a mailbox."""
    assert c.select(mailbox, readonly=True)[0] == "OK"
    out = {}
    data = c.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")[1]
    for item in data:
        if isinstance(item, tuple):
            uid = int(re.search(rb"UID (\d+)", item[0]).group(1))
            flags = re.search(rb"FLAGS \(([^)]*)\)", item[0]).group(1).split()
            out[uid] = (sorted(f.decode() for f in flags if f != rb"\Recent"), item[1])
    return out


def cclient(path):
    """What the real c-client says of the file: {uid: (flags, digest)} and UIDVALIDITY, by tests/interop/cclient-dump."""
    tool = f"{BUILD}/tests/interop/cclient-dump"
    if not os.path.exists(tool):
        return None
    p = subprocess.run(["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--", tool, path],
                       capture_output=True, text=True, errors="replace", env={"HOME": "/tmp", "PATH": os.environ["PATH"]})
    if p.returncode != 0:
        raise RuntimeError(f"cclient-dump: {p.stdout}{p.stderr}")
    return p.stdout


def main():
    why = mta_missing()
    if why:
        tap.skip("Postfix and five clients on one mbox", why)
        tap.done()
    texts = [message(i) for i in range(COUNT)]
    sent = {canonical(t.encode())[0]: canonical(t.encode())[1] for t in texts}
    with Server(users=["alice"]) as server:
        postfix = Postfix(server.path("postfix"), server.path("spool"), ["alice"])
        try:
            errors = []
            c = server.login("alice")
            if c.create("archive")[0] != "OK":
                raise RuntimeError("cannot create archive")
            c.logout()
            clients = [client_thread(f, server) for f in (client_imaplib, client_curl, client_mbsync, client_fetchmail, client_mutt)]
            half = len(texts) // 2
            senders = [threading.Thread(target=deliver, args=(postfix.port, part, errors)) for part in (texts[:half], texts[half:])]
            for t in senders:
                t.start()
            for t in senders:
                t.join()
            tap.ok(not errors, f"Postfix accepts {COUNT} messages", *errors)
            arrived = wait_for(lambda: postfix.log().count("status=sent (delivered to mailbox)") >= COUNT, 90, 0.2)
            tap.ok(arrived, f"Postfix delivers all of them while clients work on the mailbox",
                   postfix.log().count("status=sent (delivered to mailbox)"), postfix.log()[-1500:])
            time.sleep(1)  # a last round of every client over the whole mailbox
            stop.set()
            for t in clients:
                t.join(120)
            for f in ("client_imaplib", "client_curl", "client_mbsync", "client_fetchmail", "client_mutt"):
                tap.ok(not results[f], f"{f[7:]} works without an error meanwhile", *results[f])
            print(f"# {dict((k, v) for k, v in results.items() if not k.startswith('client'))}, moved {len(set(moved))}")

            c = server.login("alice")
            inbox, archive = fetch_all(c, "INBOX"), fetch_all(c, "archive")
            with open(server.path("fetchmail/box"), "rb") as f:
                box = f.read()
            fetched = [int(n) for n in re.findall(rb"(?m)^X-Number: (\d+)\r?$", box)]
            here = [canonical(t) for _, t in inbox.values()] + [canonical(t) for _, t in archive.values()]
            numbers = collections.Counter([n for n, _ in here] + fetched)
            lost = sorted(set(range(COUNT)) - set(numbers))
            doubled = sorted(n for n, k in numbers.items() if k > 1)
            tap.ok(not lost, f"no message is lost ({len(inbox)} in INBOX, {len(archive)} in archive, {len(fetched)} taken)", lost)
            tap.ok(not doubled, "no message is doubled", doubled)
            wrong = [n for n, digest in here if sent.get(n) != digest]
            tap.ok(not wrong, "every text is the one that was sent", wrong)
            tap.ok(all(not (set(f) & {"forged"}) for f, _ in inbox.values()), "forged headers steer no flags, attack-112")
            tap.ok(max(list(inbox) + [0]) <= 2 * COUNT, "forged X-UID headers steer no UIDs, attack-112", max(list(inbox) + [0]))
            c.close()
            c.logout()

            dump = cclient(server.spool("alice"))
            if dump is None:
                tap.skip("the real c-client reads the same mailbox", "libc-client is not installed")
            else:
                compare(dump, inbox)
            mirror = sum(len(os.listdir(server.path("mbsync/box/INBOX", d))) for d in ("cur", "new"))
            tap.ok(mirror >= len(inbox), f"mbsync's mirror has every message that is in INBOX ({mirror})")
        finally:
            stop.set()
            postfix.stop()
    tap.done()


def compare(dump, inbox):
    """Lines of cclient-dump: `UIDVALIDITY n` … and `uid n flags "a b" …`."""
    seen = {}
    for line in dump.splitlines():
        m = re.match(r"(?:message )?(?:\d+ )?uid[ =](\d+) .*?flags[ =]\(?\"?([^)\"]*)", line)
        if m:
            seen[int(m.group(1))] = sorted(f for f in m.group(2).split() if f != "\\Recent")
    tap.ok(sorted(seen) == sorted(inbox), "the real c-client reads the same UIDs",
           f"c-client {len(seen)}, IMAP {len(inbox)}", dump[:800])
    wrong = [u for u in seen if u in inbox and seen[u] != inbox[u][0]]
    tap.ok(not wrong, "the real c-client reads the same flags", [(u, seen[u], inbox[u][0]) for u in wrong[:5]])


main()
