#!/usr/bin/env python3
"""No configuration at all is a valid configuration: the host's users through PAM, INBOX in the mail spool, folders in
~/mail. imapd is started by root without arguments or files, on a private copy of this host (promises P1, P2, P7)."""
import concurrent.futures
import grp
import imaplib
import os
import pwd
import re
import socket
import ssl
import stat
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import Tap, descriptors, wait_for  # noqa: E402
import private_host  # noqa: E402

host = private_host.enter()
host.need("pam")
tap = Tap()
PASSWORD = "correct horse \" battery \\ staple"
RELAXED = ssl.create_default_context()
RELAXED.check_hostname, RELAXED.verify_mode = False, ssl.CERT_NONE
MAIL_GROUP = grp.getgrnam("mail").gr_gid
SANITIZED = "sanitizer" in private_host.run(host.imapd, "--print-abi")


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Client(imaplib.IMAP4):
    """imaplib does not quote what it should."""

    source = "127.0.0.1"

    def _create_socket(self, timeout=30):
        return socket.create_connection((self.host, self.port), 30, (self.source, 0))

    def login(self, user, password):
        typ, data = self._simple_command("LOGIN", quoted(user), quoted(password))
        self.state = "AUTH" if typ == "OK" else self.state
        return typ, data


class ClientTLS(Client):
    def _create_socket(self, timeout=30):
        return RELAXED.wrap_socket(super()._create_socket())


def tls(address="127.0.0.1"):
    class From(ClientTLS):
        source = address
    return From("127.0.0.1", 993)


def login(user, password=PASSWORD, source="127.0.0.1"):
    c = tls(source)
    typ, data = c.login(user, password)
    return (c, data) if typ == "OK" else (None, data)


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def proc(pid, name):
    with open(f"/proc/{pid}/{name}") as f:
        return f.read()


def status(pid):
    return dict(line.split(":\t", 1) for line in proc(pid, "status").splitlines() if ":\t" in line)


def family():
    """Pids by role, the master's as "master"."""
    found, todo = {"master": [host.process.pid]}, [host.process.pid]
    while todo:
        pid = todo.pop(0)
        for child in map(int, proc(pid, f"task/{pid}/children").split()):
            todo.append(child)
            found.setdefault(proc(child, "comm").strip(), []).append(child)
    return found


def network_sockets(listening):
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in proc("self", f"net/{table}").splitlines()[1:]:
            fields = line.split()
            if (fields[3] == "0A") == listening:
                found.add(f"socket:[{fields[9]}]")
    return found


def read(path):
    with open(path) as f:
        return f.read()


def deliver(name, count):
    """As Debian's delivery agents make a mailbox."""
    with open(f"{host.spool}/{name}.new", "w") as f:
        f.write("".join(f"From sender@example.com Mon Nov 24 10:00:0{i} 2025\nFrom: sender@example.com\nSubject: {name} {i}\n"
                        f"\nHello, {i}.\n\n" for i in range(1, count + 1)))
    os.chown(f"{host.spool}/{name}.new", users[name].pw_uid, MAIL_GROUP)
    os.chmod(f"{host.spool}/{name}.new", 0o660)
    os.rename(f"{host.spool}/{name}.new", f"{host.spool}/{name}")


# ---- the host ----

os.chown(host.spool, 0, MAIL_GROUP)
os.chmod(host.spool, 0o2775)  # as Debian has it; users are not in the group
mail = host.spool
users = {name: host.user(name, PASSWORD) for name in ("anna", "bert", "nologin", "expired", "locked", "stale", "newcomer")}
anna = users["anna"]
private_host.run("usermod", "--shell", "/usr/sbin/nologin", "nologin")
private_host.run("usermod", "--expiredate", "2001-01-01", "expired")
private_host.run("usermod", "--lock", "locked")
private_host.run("chage", "--lastday", "0", "stale")
private_host.run("chpasswd", input=f"root:{PASSWORD}\n")
private_host.run("useradd", "--uid", "201", "--home-dir", "/", "daemonic")
private_host.run("chpasswd", input=f"daemonic:{PASSWORD}\n")
for name in ("anna", "bert", "nologin"):
    deliver(name, 3)

tap.ok(not os.path.exists(f"{host.confdir}/imapd.conf"), "there is no configuration")
host.start()


# ---- before login ----

c = Client("127.0.0.1", 143)
tap.ok({"STARTTLS", "LOGINDISABLED"} <= set(c.capabilities), "port 143 offers STARTTLS and no password in clear", c.capabilities)
typ, data = c.login("anna", PASSWORD)
tap.ok(typ == "NO" and b"PRIVACYREQUIRED" in data[0], "where LOGIN is refused", typ, data)
c.starttls(RELAXED)
tap.ok("AUTH=PLAIN" in c.capabilities and "LOGINDISABLED" not in c.capabilities, "after STARTTLS it is not", c.capabilities)
typ, data = c.login("anna", PASSWORD + "x")
tap.ok(typ == "NO" and b"AUTHENTICATIONFAILED" in data[0], "a wrong password is refused", typ, data)
typ, data = c.login("anna", PASSWORD)
tap.ok(typ == "OK", "the right one of a host's user is taken (LOGIN after STARTTLS)", typ, data, host.log())
plain = tls()
typ, data = plain.authenticate("PLAIN", lambda _: f"\0bert\0{PASSWORD}".encode())
tap.ok(typ == "OK", "and on port 993 (AUTHENTICATE PLAIN)", typ, data)

# Each from an address of its own, at the same time: refusals take long.
refused = {"root": "AUTHENTICATIONFAILED", "daemonic": "AUTHENTICATIONFAILED", "nobody-at-all": "AUTHENTICATIONFAILED",
           "locked": "AUTHENTICATIONFAILED", "stale": "EXPIRED",
           # Debian's common-account makes a plain refusal of it, other rules tell.
           "expired": "EXPIRED|AUTHENTICATIONFAILED"}
attempts = [(name, PASSWORD, code) for name, code in refused.items()]
attempts += [(name, PASSWORD + "x", "AUTHENTICATIONFAILED") for name in ("root", "expired", "stale")]
with concurrent.futures.ThreadPoolExecutor(len(attempts)) as pool:
    answers = list(pool.map(lambda n: login(*attempts[n][:2], source=f"127.0.1.{n + 1}"), range(len(attempts))))
for (name, password, code), (other, data) in zip(attempts, answers):
    tap.ok(other is None and re.search(code, data[0].decode()),
           f"{name} does not log in with the {'right' if password == PASSWORD else 'wrong'} password: {code}", data)
other, data = login("nologin")
tap.ok(other is not None and other.select()[1] == [b"3"], "a user who may not log in to a shell has mail (auth.valid_shell)", data)
other.logout()

# ---- what runs, and as whom (P1, P2, P7) ----

try:
    nobody = pwd.getpwnam("mortise").pw_uid
except KeyError:
    nobody = pwd.getpwnam("nobody").pw_uid
    tap.ok(host.logged("MRT-0811"), "that there is no account mortise is told", host.log())
second, _ = login("anna")
tap.ok(second.select()[1] == [b"3"], "INBOX is the user's file in the mail spool", host.log())
roles = family()
tap.ok(set(roles) == {"master", "log", "auth", "spawner", "front", "session"}, "the roles run", roles)
connections, listening = network_sockets(False), network_sockets(True)
tap.ok(len(connections) >= 3 and len(listening) == 4, "ports 143 and 993 are open in IPv4 and IPv6, and nothing else", listening)
for role, pids in roles.items():
    for pid in pids:
        facts, files = status(pid), descriptors(pid)
        inherited = {fd: t for fd, t in files.items() if t.startswith(("/dev/pts", "/dev/tty", private_host.DIR + "/log"))}
        if facts["Uid"].split()[1] == "0":
            tap.ok(not connections & set(files.values()), f"{role}: uid 0, no connection", files)
            if role != "master":
                tap.ok(not listening & set(files.values()), f"{role}: uid 0, no listening socket", files)
        if role in ("front", "log"):
            tap.ok(facts["Uid"].split() == [str(nobody)] * 4 and not facts["Groups"].strip(), f"{role}: runs without an account",
                   facts["Uid"], facts["Groups"])
        if role == "session":
            owner = {str(anna.pw_uid): anna, str(users["bert"].pw_uid): users["bert"]}.get(facts["Uid"].split()[0])
            tap.ok(owner and facts["Uid"].split() == [str(owner.pw_uid)] * 4 and facts["Gid"].split() == [str(owner.pw_gid)] * 4,
                   "session: is its user and nobody else", facts["Uid"], facts["Gid"])
            allowed = (mail, owner.pw_dir, "/tmp/.", "/dev/null") if owner else ()
            strange = {t for t in files.values() if t.startswith("/") and not t.startswith((*allowed, "/memfd:"))}
            tap.ok(not strange and len(files) < 20, "session: has its user's files open and no others", files)
            sockets = {t for t in files.values() if t.startswith("socket:")}
            tap.ok(len(sockets) <= 2, "session: has its connection and its log", files)
        if role in ("front", "log", "session"):
            tap.ok(all(int(facts[cap], 16) == 0 for cap in ("CapPrm", "CapEff", "CapInh", "CapAmb")), f"{role}: has no capability")
        if role == "front":
            root = os.readlink(f"/proc/{pid}/root")
            tap.ok(root == "/run/mortise/empty" and os.listdir(root) == [] and mode(root) & 0o022 == 0,
                   "front: its root directory is empty and nobody can write to it", root)
            strange = {t for t in files.values() if t.startswith("/") and not t.startswith(("/dev/null", "/memfd:"))}
            tap.ok(not strange, "front: has no file open", files)
        if role in ("front", "session") and not (SANITIZED and role == "front"):
            tap.ok(facts["Seccomp"] == "2", f"{role}: its system calls are filtered", facts["Seccomp"])
        if not role.startswith(("auth", "master")):
            tap.ok(facts["NoNewPrivs"] == "1", f"{role}: cannot gain privileges", facts["NoNewPrivs"])
        if role not in ("log", "master"):
            tap.ok(not inherited, f"{role}: has nothing of the caller's", inherited)

# ---- mail ----

typ, data = second.fetch("1:3", "(FLAGS BODY[TEXT])")
tap.ok(typ == "OK" and b"Hello, 2." in b"".join(d[1] for d in data if isinstance(d, tuple)), "it is read", data)
tap.ok(second.store("1", "+FLAGS", "(\\Flagged keyword)")[0] == "OK", "flags are set")
message = b"From: anna@example.com\r\nSubject: appended\r\n\r\nby IMAP\r\n"
tap.ok(second.append("INBOX", "(\\Seen)", None, message)[0] == "OK", "a message is appended to INBOX")
second.store("2", "+FLAGS", "(\\Deleted)")
typ, data = second.expunge()
tap.ok(typ == "OK" and data == [b"2"], "and one is expunged", typ, data)
wait_for(lambda: "anna 2" not in read(f"{mail}/anna"))  # it is taken out when the session is quiet
text = read(f"{mail}/anna")
tap.ok("anna 2" not in text and "anna 3" in text and "by IMAP" in text and re.search("^X-Status: .*F", text, re.M),
       "the file in the spool says so", text)
st = os.stat(f"{mail}/anna")
tap.ok(st.st_uid == anna.pw_uid and stat.S_IMODE(st.st_mode) == 0o660 and st.st_gid == MAIL_GROUP,
       "and has the owner, group and mode it had", st)
left = [n for n in os.listdir(mail) if n not in users]
tap.ok(not left, "nothing is left in the spool", left)
session = re.search(r'session "(\w+)", user "anna", module "unix": warning: cannot make the dot-lock', host.log())
tap.ok(session and len(re.findall(f'"{session[1]}".* warning:', host.log())) == 1,
       "no lock file can be made there, which is told once a session and stops nothing", host.log())

tap.ok(second.create("Work")[0] == "OK" and second.create("Sent/2026")[0] == "OK", "folders are made")
tap.ok(second.append("Work", None, None, message)[0] == "OK" and second.copy("1", "Sent/2026")[0] == "OK", "and filled")
tap.ok(second.subscribe("Work")[0] == "OK" and b"Work" in second.lsub()[1][0], "and subscribed to")
for path, directory in (("mail", True), ("mail/Work", False), ("mail/Sent", True), ("mail/Sent/2026", False), (".mailboxlist", False)):
    path = f"{anna.pw_dir}/{path}"
    tap.ok(os.path.isdir(path) == directory and os.stat(path).st_uid == anna.pw_uid and os.stat(path).st_gid == anna.pw_gid and
           mode(path) == (0o700 if directory else 0o600), f"{path[len(anna.pw_dir):]} is the user's and nobody else's",
           os.stat(path))
names = {line.rsplit(b" ", 1)[1] for line in second.list()[1]}
tap.ok(names == {b"INBOX", b"Sent", b"Sent/2026", b"Work"}, "LIST names them and nothing else", names)
tap.ok(plain.select()[1] == [b"3"] and plain.select("../home-anna/mail/Work")[0] == "NO" and plain.select(f"{anna.pw_dir}/mail/Work")[0] == "NO",
       "another user has mail of his own and cannot reach hers")

# Who has had no mail yet. An INBOX elsewhere would be out of sight after the first delivery.
third, _ = login("newcomer")
tap.ok(third.select() == ("OK", [b"0"]), "who has had no mail yet has an empty INBOX")
typ, data = third.append("INBOX", None, None, message)
tap.ok(typ == "NO" and b"[NOPERM]" in data[0] and os.listdir(users["newcomer"].pw_dir).count("mbox") == 0,
       "to which nothing can be appended where users may not make files in the spool", typ, data)
deliver("newcomer", 1)
tap.ok(third.noop()[0] == "OK" and third.response("EXISTS")[1][-1] == b"1", "until the first delivery, which an open session sees")
tap.ok(third.append("INBOX", None, None, message)[0] == "OK" and third.select()[1] == [b"2"], "and then it can")

tap.ok(host.stop() == 0, "the server stops when told to", host.log())
left = [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
tap.ok(not left, "and leaves no process behind", left)
tap.ok("MRT-0804" not in host.log() and " error:" not in host.log(), "no error was logged", host.log())
tap.ok(PASSWORD not in host.log(), "nor a password")
tap.done()
