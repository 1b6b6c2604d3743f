#!/usr/bin/env python3
"""Mailboxes that are shared between real users: the kernel keeps them apart, and SETACL tells it how (RFC 4314). Two
accounts and a third who has no part in it, for files and for directories. attack-121, attack-122, attack-123, attack-125, attack-126.
Root, on a private copy of this host."""
import imaplib
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import Tap, wait_for  # noqa: E402
import private_host  # noqa: E402

host = private_host.enter()
host.need("file")
tap = Tap()
PASSWORD = "test-password"
DIR = private_host.DIR
MESSAGE = b"Subject: shared\r\n\r\nread me\r\n"
NAMES = ("alice", "bob", "carol")
users = {name: host.user(name, PASSWORD) for name in NAMES}
ROOTS = {name: f"{DIR}/{name}-root" for name in ("shared", "public", "ftp")}
for name, path in ROOTS.items():
    os.mkdir(path)
    os.chmod(path, 0o1777 if name == "public" else 0o755)
with open(f"{DIR}/passwd", "w") as f:
    for name, u in users.items():
        f.write(f"{name}:{{PLAIN}}{PASSWORD}:{u.pw_uid}:{u.pw_gid}::{u.pw_dir}::\n")
os.chmod(f"{DIR}/passwd", 0o600)


class Client(imaplib.IMAP4):
    def __init__(self, name):
        super().__init__("127.0.0.1", 143)
        self.login(name, PASSWORD)

    def say(self, command):
        """The untagged lines and the tagged one."""
        tag = self._new_tag().decode()
        self.send(f"{tag} {command}\r\n".encode())
        lines = []
        while True:
            line = self.readline().decode().rstrip("\r\n")
            if not line:
                return lines + ["(closed)"]
            size = re.search(r"\{(\d+)\}$", line)
            if size:
                line += "\n" + self.read(int(size.group(1))).decode() + self.readline().decode().rstrip("\r\n")
            lines.append(line)
            if line.startswith(tag + " "):
                lines[-1] = line[len(tag) + 1:]
                return lines

    def put(self, mailbox):
        tag = self._new_tag().decode()
        self.send(f"{tag} APPEND {mailbox} {{{len(MESSAGE)}+}}\r\n".encode() + MESSAGE + b"\r\n")
        while True:
            line = self.readline().decode().rstrip("\r\n")
            if line.startswith(tag + " "):
                return line[len(tag) + 1:]


def configure(driver, other_users=True, extra="", drivers='"unix", "mbx", "maildir", "mh"'):
    with open(f"{host.confdir}/imapd.conf", "w") as f:
        others = f'other_users = [ "{DIR}", "/var/mail" ];' if other_users else ""
        f.write(f"""drivers = ( {drivers} );
passwords = ( {{ type = "file"; path = "{DIR}/passwd"; plain = true; }} );
sasl = [ "cyrus" ];
module_loader = {{ path = "{host.modules}"; check_owner = false; }};
auth = {{ plaintext_without_tls = true; failure_delay = "50ms"; minimum_uid = 500; }};
store = {{ default_driver = "{driver}"; {others} {extra} }};
""")


def ok(answer, title, pattern=None):
    """The tagged line is OK, or the whole answer matches."""
    text = "\n".join(answer)
    return tap.ok(re.search(pattern, text, re.M | re.S) if pattern else answer[-1].startswith("OK"), title, text)


# Every command that looks at a mailbox or changes it, by one right alone (attack-121). "%s" is the mailbox.
READING = ["SELECT %s", "EXAMINE %s", "STATUS %s (MESSAGES)"]
OWNER = ["GETACL %s", "SETACL %s carol lr", "DELETEACL %s carol", "LISTRIGHTS %s carol", "DELETE %s", "RENAME %s ~alice/stolen"]


def matrix(driver, a):
    """What bob can do with no right, with the right to read, and with the right to write."""
    for given, title in (('""', "none"), ("lr", "read"), ("lrswipte", "write")):
        tap.ok(a.say(f"SETACL share bob {given}")[-1].startswith("OK"), f"{driver}: rights for bob: {title}")
        b = Client("bob")
        for command in READING + ["MYRIGHTS %s"]:
            got = b.say(command % "~alice/share")[-1]
            tap.ok(got.startswith("OK" if given != '""' else "NO [NONEXISTENT]"), f"{driver}, {title}: {command}", got)
            if command.startswith(("SELECT", "EXAMINE")) and got.startswith("OK"):
                b.say("UNSELECT")
        for command in OWNER:
            got = b.say(command % "~alice/share")[-1]
            tap.ok(got.startswith("NO [NONEXISTENT]" if given == '""' else "NO [NOPERM]") or
                   (given == '""' and got.startswith("NO [NOPERM]") and "DELETE" in command + "RENAME"), f"{driver}, {title}: {command}", got)
        got = b.put("~alice/share")
        wanted = {"none": "NO [TRYCREATE]", "read": "NO [NOPERM]", "write": "OK"}[title]
        tap.ok(got.startswith(wanted), f"{driver}, {title}: APPEND", got)
        got = b.say("LIST \"\" ~alice/share")
        tap.ok((len(got) == 2) == (given != '""'), f"{driver}, {title}: LIST", got)
        got = b.say("LIST \"\" ~alice/%")
        tap.ok(any("share" in line for line in got) == (given != '""'), f"{driver}, {title}: LIST with a wildcard", got)
        # Nobody hears of what exists and is not for him (attack-122).
        c = Client("carol")
        for command in READING + ["MYRIGHTS %s", "GETACL %s"]:
            there, missing = c.say(command % "~alice/share")[-1], c.say(command % "~alice/nothing")[-1]
            tap.ok(there == missing and there.startswith("NO"), f"{driver}, {title}: for carol there is nothing: {command}", there, missing)
        b.logout()
        c.logout()


def read_only(driver, a):
    ok(a.say("SETACL share bob lr"), f"{driver}: bob may read")
    b = Client("bob")
    ok(b.say("MYRIGHTS ~alice/share"), f"{driver}: MYRIGHTS says so", r"^\* MYRIGHTS ~alice/share lr$")
    got = b.say("SELECT ~alice/share")
    ok(got, f"{driver}: SELECT is read-only", r"PERMANENTFLAGS \(\).*OK \[READ-ONLY\]")
    ok(b.say("FETCH 1 BODY[TEXT]"), f"{driver}: the message can be read, and stays unseen", r"read me")
    ok(b.say("FETCH 1 FLAGS"), f"{driver}: really", r"FLAGS \((\\Recent)?\)")
    for command in ("STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 INBOX"):
        ok(b.say(command), f"{driver}: {command.split()[0]} is NO", r"^NO")
    ok(b.say("CREATE mine-" + driver), f"{driver}: CREATE of one's own")
    ok(b.say("COPY 1 mine-" + driver), f"{driver}: COPY to one's own mail")
    ok(b.say("CLOSE"), f"{driver}: CLOSE expunges nothing and is OK (§4)")
    b.logout()


def writing(driver, a):
    ok(a.say("SETACL share bob lrswipte"), f"{driver}: bob may write")
    b = Client("bob")
    ok(b.say("MYRIGHTS ~alice/share"), f"{driver}: MYRIGHTS says so", r"^\* MYRIGHTS ~alice/share lrswipted$")
    ok(b.say("SELECT ~alice/share"), f"{driver}: SELECT is read-write", r"OK \[READ-WRITE\]")
    count = a.say("STATUS share (MESSAGES)")[0]
    n = int(re.search(r"MESSAGES (\d+)", count).group(1))
    tap.ok(b.put("~alice/share").startswith("OK [APPENDUID"), f"{driver}: APPEND")
    ok(b.say(f"FETCH {n + 1} BODY[TEXT]"), f"{driver}: bob reads his own", r"read me")
    ok(a.say("SELECT share"), f"{driver}: alice has it, too", rf"^\* {n + 1} EXISTS")
    ok(a.say(f"FETCH {n + 1} BODY[TEXT]"), f"{driver}: and reads it", r"read me")
    ok(b.say("STORE 1 +FLAGS (\\Flagged)"), f"{driver}: flags")
    ok(a.say("NOOP"), f"{driver}: that the owner sees")
    ok(a.say("FETCH 1 FLAGS"), f"{driver}: at once", r"\\Flagged")
    ok(a.say("UNSELECT"), f"{driver}: UNSELECT")
    ok(b.say(f"STORE {n + 1} +FLAGS.SILENT (\\Deleted)"), f"{driver}: \\Deleted")
    ok(b.say("EXPUNGE"), f"{driver}: EXPUNGE", rf"{n + 1} EXPUNGE")
    tap.ok(f"MESSAGES {n})" in a.say("STATUS share (MESSAGES)")[0], f"{driver}: it is gone for both")
    ok(b.say("CREATE ~alice/share/below"), f"{driver}: what is below is not his to make", r"^NO")
    ok(b.say("GETQUOTAROOT ~alice/share"), f"{driver}: nor is it his quota", r"^\* QUOTAROOT ~alice/share$")
    b.logout()


def oracles(driver, a):
    """attack-125: nothing that looks into several mailboxes looks into one that is not to be seen."""
    a.say("DELETEACL share bob")
    b = Client("bob")
    b.say("SUBSCRIBE ~alice/share")
    for box in ("~alice/share", "~alice/nothing"):
        ok(b.say(f"ESEARCH IN (mailboxes {box}) TEXT read"), f"{driver}: ESEARCH IN finds nothing in {box}", r"\A(?!.*(COUNT|ALL) [1-9])")
        ok(b.say(f'LIST "" {box} RETURN (STATUS (MESSAGES SIZE) MYRIGHTS)'), f"{driver}: LIST returns nothing of {box}",
           r"\A(?!.*(STATUS|MYRIGHTS) ).*OK")
        ok(b.say(f"LIST (SUBSCRIBED) \"\" {box} RETURN (STATUS (MESSAGES) MYRIGHTS)"), f"{driver}: nor when {box} is subscribed",
           r"\A(?!.*\* (STATUS|MYRIGHTS) )")
        ok(b.say(f"GETMETADATA {box} /shared/comment"), f"{driver}: GETMETADATA of {box}", r"^NO \[NONEXISTENT\]")
        ok(b.say(f"COPY 1 {box}"), f"{driver}: COPY outside of a mailbox", r"^BAD")
    b.logout()


def revoking(driver, a):
    """attack-123: the very next command."""
    ok(a.say("SETACL share bob lrswipte"), f"{driver}: bob may write")
    b = Client("bob")
    b.say("SELECT ~alice/share")
    a.say("SETACL share bob lr")
    ok(b.say("STORE 1 +FLAGS (\\Answered)"), f"{driver}: no longer: STORE finds the session ended", r"\* BYE")
    b = Client("bob")
    b.say("SELECT ~alice/share")
    a.say("DELETEACL share bob")
    ok(b.say("FETCH 1 BODY[]"), f"{driver}: nor read: so does FETCH", r"\A\* BYE")
    b = Client("bob")
    ok(b.say("SELECT ~alice/share"), f"{driver}: and there is no such mailbox", r"^NO \[NONEXISTENT\]")
    ok(a.say("SETACL share bob lr"), f"{driver}: until it is given again")
    b.say("SELECT ~alice/share")
    tag = b._new_tag()
    b.send(tag + b" IDLE\r\n")
    b.readline()
    a.say("DELETEACL share bob")
    a.put("share")
    b.sock.settimeout(20)
    line = b.readline().decode()
    while line and not line.startswith("* BYE"):
        line = b.readline().decode()
    tap.ok(line.startswith("* BYE"), f"{driver}: in IDLE, too", line)


for driver in ("unix", "mbx", "maildir", "mh"):
    configure(driver)
    host.start()
    for u in users.values():
        subprocess.run(["rm", "-rf", f"{u.pw_dir}/mail", f"{u.pw_dir}/.mortise", f"{u.pw_dir}/mbox", f"{u.pw_dir}/.mailboxlist"])
        os.chmod(u.pw_dir, 0o700)
        subprocess.run(["setfacl", "-b", u.pw_dir])
    a = Client("alice")
    ok(a.say("CREATE share"), f"{driver}: a mailbox")
    ok(a.say("CREATE secret"), f"{driver}: and one to be kept")
    a.put("share"), a.put("secret")
    matrix(driver, a)
    read_only(driver, a)
    writing(driver, a)
    oracles(driver, a)
    revoking(driver, a)
    b = Client("bob")
    ok(b.say("NAMESPACE"), f"{driver}: NAMESPACE tells of them", r'^\* NAMESPACE \(\("" "/"\)\) \(\("~" "/"\)\) NIL$')
    for name in ("secret", "INBOX", "../bob/mail/x", "/etc/passwd"):
        ok(b.say(f"SELECT ~alice/{name}"), f"{driver}: ~alice/{name} is not there", r"^NO")
    for name in ("~root/x", "~nobody-here/x", "~/x", "~alice", "~alice/", "~../x"):
        ok(b.say(f"SELECT {name}"), f"{driver}: nor is {name}", r"^NO")
    ok(b.say("CREATE mine"), f"{driver}: bob's own")
    ok(b.say("STATUS ~bob/mine (MESSAGES)"), f"{driver}: has his name as well")
    ok(a.say("SETACL share anyone lr"), f"{driver}: for anyone")
    c = Client("carol")
    ok(c.say("MYRIGHTS ~alice/share"), f"{driver}: is for carol, too", r"^\* MYRIGHTS ~alice/share lr$")
    ok(a.say("SETACL share carol \"\""), f"{driver}: but for her")
    ok(c.say("MYRIGHTS ~alice/share"), f"{driver}: it is not", r"^NO \[NONEXISTENT\]")
    ok(b.say("RENAME ~alice/share mine2"), f"{driver}: RENAME does not take it away", r"^NO")
    ok(a.say("SUBSCRIBE ~bob/mine"), f"{driver}: what cannot be seen can be subscribed")
    if driver == "maildir":
        # What others put into a shared directory is the owner's to read, and what is copied into it is not the same file.
        ok(a.say("SETACL share bob lrswipte"), "maildir: bob may write")
        a.say("SELECT secret")
        ok(a.say("COPY 1 share"), "maildir: a message that was not shared is copied")
        ok(b.say("SELECT ~alice/share"), "maildir: bob selects")
        ok(b.say("FETCH * BODY[TEXT]"), "maildir: and reads it", r"read me")
        ok(a.say("CREATE share/below"), "maildir: a mailbox below inherits the list (§4)")
        ok(a.say("GETACL share/below"), "maildir: it does", r"bob lrswipted")
    for client in (a, b, c):
        client.logout()
    host.stop()

# ---- the shared roots of UW's server ----
configure("unix", extra="".join(f'{name} = "{path}"; ' for name, path in ROOTS.items()) + "guests = 2;",
          drivers='{ type = "unix"; open_directory = true; }')
host.start()
a, b = Client("alice"), Client("bob")
ok(a.say("NAMESPACE"), "the roots are told", r'\(\("#shared/" "/"\)\("#public/" "/"\)\("#ftp/" "/"\)\)$')
ok(a.say("CREATE #public/all"), "everybody may make a mailbox in #public/")
tap.ok(os.stat(f"{ROOTS['public']}/all").st_mode & 0o777 == 0o666, "which everybody may write")
tap.ok(b.put("#public/all").startswith("OK"), "bob does")
ok(b.say("SELECT #public/all"), "and reads", r"\* 1 EXISTS.*READ-WRITE")
ok(b.say("LIST \"\" #public/*"), "LIST shows it", r'"/" "?#public/all')
ok(b.say("LIST \"\" *"), "in its own namespace only", r"\A(?!.*#public)")
ok(b.say("MYRIGHTS #public/all"), "its name is not bob's to take: the directory is sticky", r"lrswipted$")
ok(b.say("DELETE #public/all"), "and he cannot", r"^NO")
ok(a.say("DELETE #public/all"), "alice can")
ok(a.say("CREATE #shared/x"), "where the directory does not let her she cannot make one", r"^NO \[NOPERM\]")
ok(a.say("SELECT ~bob/x"), "store.guests bounds what one session reaches", r"^NO \[LIMIT\]")
tap.ok(wait_for(lambda: host.logged("MRT-0422")), "which is logged")
a.logout(), b.logout()
host.stop()

# ---- without configuration ----
configure("unix", other_users=False)
host.start()
b = Client("bob")
ok(b.say("NAMESPACE"), "without other_users there are none", r'^\* NAMESPACE \(\("" "/"\)\) NIL NIL$')
ok(b.say("SELECT ~alice/share"), "nor can they be reached", r"^NO \[NONEXISTENT\]")
b.logout()
host.stop()
tap.done()
