#!/usr/bin/python3
"""Damage of each format: the mailbox is known for what it is, SELECT, EXAMINE and STATUS are NO without a path, the log names the
file and the place in it, not an octet is written, and the mailboxes beside it are served. What can be read is read."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, Server, Tap, wait_for

tap = Tap()
TEXT = b"Subject: x\r\n\r\ntext\r\n"
HEAD = (b"*mbx*\r\n6b03dff200000003\r\n" + b"\r\n" * 30).ljust(2048, b"\0")


def record(size=b"%d" % len(TEXT), tail=b"000000000000-00000001", date=b" 5-Jan-2024 10:20:30 +0100"):
    return date + b"," + size + b";" + tail + b"\r\n" + TEXT


SECOND = 2048 + len(record())

# name, the file, what the log says of it
MBX = [
    ("too-big", HEAD + record() + record(size=b"999999", tail=b"000000000000-00000002"), f"octet {SECOND} "),
    ("beyond-everything", HEAD + record() + record(size=b"99999999999999999999", tail=b"000000000000-00000002"), f"octet {SECOND + 26} "),
    ("negative", HEAD + record() + record(size=b"-5", tail=b"000000000000-00000002"), f"octet {SECOND + 27} "),
    ("no-size", HEAD + record(size=b""), f"octet {2048 + 51} "),
    ("flags-no-hex", HEAD + record(tail=b"00000000zz00-00000001"), f"octet {2048 + 38} "),
    ("no-date", HEAD + record(date=b"yesterday"), "octet 2048 "),
    ("overlapping", HEAD + record(size=b"5") + record(tail=b"000000000000-00000002"), "octet 2"),
    ("cut", (HEAD + record() + record(tail=b"000000000000-00000002"))[:-3], f"octet {SECOND} "),
    ("nothing-but-nul", HEAD + b"\0" * 5000, "octet 2048 "),
    ("uids-no-hex", HEAD.replace(b"6b03dff2", b"6b03dffx"), None),
    ("short", HEAD[:1000], "inside its header"),
]


def refused(server, c, title, name, mail, snapshot, log, case):
    before = snapshot()
    for command in (lambda: c.select(name), lambda: c.select(name, readonly=True), lambda: c.status(name, "(MESSAGES)")):
        answer = command()
        tap.ok(answer[0] == "NO" and b"/" not in answer[1][0], f"{title}: NO without a path, attack-{case}", answer)
    tap.ok(snapshot() == before, f"{title}: not touched, attack-{case}")
    if log is not None:
        # What modules say is limited, in a second; who looks again is told again.
        told = wait_for(lambda: log in server.log() or not c.select(name))
        tap.ok(told, f"{title}: the log says where, attack-{case}", log, server.log()[-1500:])
    tap.ok(c.select("good")[0] == "OK", f"{title}: the others are there")


def give(path):
    if os.getuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)


def begin(server, driver):
    c = server.login("alice")
    tap.ok(c.create(f"#driver.{driver}/good")[0] == "OK" and c.append("good", None, None, TEXT)[0] == "OK", f"{driver}: a good one")
    return c, server.home("alice") + "/mail"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def mbx():
    with Server(settings={"drivers": 'drivers = [ "mbx", "unix" ];'}) as server:
        c, mail = begin(server, "mbx")
        for name, data, log in MBX:
            path = f"{mail}/{name}"
            with open(path, "wb") as f:
                f.write(data)
            give(path)
            refused(server, c, f"mbx, {name}", name, mail, lambda path=path: (read(path), os.stat(path).st_mtime_ns), log, 113)
        path = f"{mail}/terabyte"
        with open(path, "wb") as f:
            f.write(HEAD)
            f.truncate(1 << 40)
        give(path)
        refused(server, c, "mbx, a terabyte", "terabyte", mail, lambda: (os.stat(path).st_size, os.stat(path).st_blocks), "octet 2048 ", 117)
        with open(f"{mail}/bits", "wb") as f:
            f.write(HEAD + record(tail=b"800000005fff-00000001"))
        give(f"{mail}/bits")
        tap.ok(c.select("bits", readonly=True) == ("OK", [b"1"]), "mbx: bits that nobody knows harm nobody, attack-113")
        tap.ok(b"text" in c.fetch("1", "(BODY.PEEK[])")[1][0][1], "and what is there is read")
        c.logout()


def folder(mail, name, files):
    os.mkdir(f"{mail}/{name}", 0o700)
    give(f"{mail}/{name}")
    for file, data in files.items():
        path = f"{mail}/{name}/{file}"
        if data is None:
            os.mkfifo(path)
        elif isinstance(data, tuple):
            os.symlink(data[0], path)
        elif data == "directory":
            os.mkdir(path, 0o700)
        else:
            with open(path, "wb") as f:
                f.write(data)
        give(path)


def tree(path):
    return sorted((f"{at}/{f}", os.lstat(f"{at}/{f}").st_mtime_ns) for at, folders, files in os.walk(path) for f in folders + files)


def mh():
    ranges = b"unseen:" + b" 1-2147483646" * 100000 + b"\n"
    with Server(driver="mh", settings={"drivers": 'drivers = [ "mh" ];'}) as server:
        c, mail = begin(server, "mh")
        for name, sequences, log in (("huge", ranges, "has more than 1048576 octets"), ("pipe", None, "is no regular file"),
                                     ("link", ("../good/.mh_sequences",), "is no regular file"), ("level", "directory", "is no regular file")):
            folder(mail, name, {"1": TEXT.replace(b"\r\n", b"\n"), ".mh_sequences": sequences})
            refused(server, c, f"mh, .mh_sequences is {name}", name, mail, lambda name=name: tree(f"{mail}/{name}"), log, 115)
        folder(mail, "odd", {"1": TEXT.replace(b"\r\n", b"\n"), "2": None, "3": ("/etc/passwd",), "4": "directory", "2147483648": b"Subject: y\n\ny\n"})
        tap.ok(c.select("odd") == ("OK", [b"1"]), "mh: what is no file of a number is no message, attack-115", c.select("odd"))
        c.logout()


def maildir():
    with Server(driver="maildir", settings={"drivers": 'drivers = [ "maildir" ];'}) as server:
        c, mail = begin(server, "maildir")
        folder(mail, "linked", {"cur": "directory", "tmp": "directory", "new": ("../good/new",)})
        folder(mail, "file", {"cur": b"", "tmp": "directory", "new": "directory"})
        for name in ("linked", "file"):
            refused(server, c, f"maildir, {name}", name, mail, lambda name=name: tree(f"{mail}/{name}"), None, 116)
        c.logout()


mbx()
mh()
maildir()
tap.done()
