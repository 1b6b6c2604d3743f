#!/usr/bin/env python3
"""What each process may do, as the kernel sees it: accounts, capabilities, filters, descriptors (attack-141, 142, 147,
148, 150; promises P1, P2, P6, P7). As root with a user of its own; the same without privileges as nobody."""
import atexit
import os
import pwd
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import PASSWORD, SANITIZED, Server, Tap, comm, descriptors, find_binary  # noqa: E402

tap = Tap()
USER = "mortise-t1"


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)


def environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return [e.decode() for e in f.read().split(b"\0") if e]


def threads_of(s):
    found = {}
    for p in s.children()[1:]:
        found.setdefault(comm(p), []).append(p)
    return found


def common(s, kind):
    """True of every process, whoever started the server."""
    for name, pids in threads_of(s).items():
        for pid in pids:
            facts = status(pid)
            what = f"{kind}: {name}"
            if name != "auth":
                tap.ok(facts["NoNewPrivs"] == "1", f"{what} cannot gain privileges", facts["NoNewPrivs"])
            if name == "session" or (name == "front" and not SANITIZED):
                tap.ok(facts["Seccomp"] == "2", f"{what} has a system call filter", facts["Seccomp"])
            with open(f"/proc/{pid}/limits") as f:
                core = [line.split()[4] for line in f if line.startswith("Max core")]
            tap.ok(core == ["0"], f"{what} dumps no core", core)
            left = [e for e in environment(pid) if not e.startswith("PATH=/usr/") and e not in ("LANG=C.UTF-8", "TZ=:/etc/localtime")]
            tap.ok(not left, f"{what} has no environment of the caller", left)
            files = {fd: t for fd, t in descriptors(pid).items() if not t.startswith(("socket:", "pipe:", "anon_inode:", "/memfd:"))}
            strange = {t for t in files.values() if t not in ("/dev/null", "/dev/null (deleted)")}
            if name in ("front", "spawner"):
                tap.ok(not strange, f"{what} has no file open", strange)
            if name == "session":
                allowed = (s.dir, "/dev/null")
                # c-client's session lock stays open between two uses
                strange = {t for t in strange if not t.startswith(allowed) and not re.fullmatch(r"/tmp/\.[0-9a-f]+\.[0-9a-f]+", t)}
                tap.ok(not strange, f"{what} has only its user's files open", strange)
                tap.ok(len(descriptors(pid)) < 20, f"{what} has few descriptors open", descriptors(pid))


hostile = {"LD_BIND_NOW": "1", "KRB5_CONFIG": "/tmp/evil", "LDAPRC": "/tmp/evil", "OPENSSL_CONF": "/tmp/evil", "TZ": "/tmp/evil"}

s = Server(users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
os.environ.update(hostile)
with s:
    held, tls = s.login("alice"), s.connect_tls()
    tls.login("alice", PASSWORD)
    held.select()
    common(s, "as nobody")
    p = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", "cat", f"/proc/{threads_of(s)['front'][0]}/mem"],
                       capture_output=True)
    for name in hostile:
        del os.environ[name]
    tap.ok(p.returncode != 0, "the same user's other processes cannot read a front's memory", p.stderr)

if os.getuid() != 0:
    tap.skip("as root", "not root")
    tap.done()

created = False
try:
    account = pwd.getpwnam(USER)
except KeyError:
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", USER], check=True, capture_output=True)
    account, created = pwd.getpwnam(USER), True

try:
    s = Server(users=["alice", "root", "low"], root=True)
    atexit.register(shutil.rmtree, s.dir, True)
    home = s.home("alice")
    os.chown(home, account.pw_uid, account.pw_gid)
    os.chown(home + "/mail", account.pw_uid, account.pw_gid)
    os.chmod(home, 0o700)
    os.chown(s.path("spool"), 0, account.pw_gid)
    os.chmod(s.path("spool"), 0o1775)
    with open(s.spool("alice"), "w") as f:
        f.write("From a@example Mon Nov 24 10:00:00 2025\nSubject: one\n\nhello\n\n")
    os.chmod(s.spool("alice"), 0o600)
    os.chown(s.spool("alice"), account.pw_uid, account.pw_gid)
    with open(s.path("passwd"), "w") as f:
        f.write(f"alice:{{PLAIN}}{PASSWORD}:{account.pw_uid}:{account.pw_gid}::{home}::\n"
                f"root:{{PLAIN}}{PASSWORD}:0:0::{home}::\n"
                f"low:{{PLAIN}}{PASSWORD}:{account.pw_uid}:0::{home}::\n")
    for secret in ("passwd", "tls/key.pem"):
        os.chown(s.path(secret), 0, 0)
        os.chmod(s.path(secret), 0o600)
    s.settings["process"] = f'process = {{ run_dir = "{s.path("run")}"; fronts = 2; }};'
    s.write_config()
    os.environ.update(hostile)
    with s:
        held, tls = s.login("alice"), s.connect_tls()
        tls.login("alice", PASSWORD)
        tap.ok(held.select()[1] == [b"1"], "as root: a host user's mail is served", s.log()[-800:])
        common(s, "as root")
        family = threads_of(s)
        nobody = pwd.getpwnam("nobody").pw_uid
        try:
            nobody = pwd.getpwnam("mortise").pw_uid
        except KeyError:
            tap.ok(s.logged("MRT-0811"), "the missing account is told")
        # P7: one user a process.
        for pid in family["session"]:
            facts = status(pid)
            tap.ok(set(facts["Uid"].split()) == {str(account.pw_uid)}, "a session is its user, in every way", facts["Uid"])
            tap.ok(facts["Groups"].split() in ([], [str(account.pw_gid)]), "with its user's groups", facts["Groups"])
            tap.ok(int(facts["CapPrm"], 16) == 0 and int(facts["CapInh"], 16) == 0, "and no capability", facts["CapPrm"])
        for name in ("front", "log"):
            for pid in family[name]:
                facts = status(pid)
                tap.ok(set(facts["Uid"].split()) == {str(nobody)} and facts["Groups"].strip() == "",
                       f"{name} runs as nobody in particular", facts["Uid"], facts["Groups"])
                tap.ok(int(facts["CapPrm"], 16) == 0, f"{name} has no capability", facts["CapPrm"])
        for pid in family["front"]:
            root = os.readlink(f"/proc/{pid}/root")
            tap.ok(root == s.path("run/empty") and not os.listdir(root), "a front's root directory is empty", root)
            st = os.stat(root)
            tap.ok(st.st_uid == 0 and st.st_mode & 0o022 == 0, "and root's")
        for pid in family["spawner"]:
            caps = int(status(pid)["CapPrm"], 16)
            tap.ok(caps & (1 << 21) == 0 and caps & (1 << 12) == 0 and caps & (1 << 1) == 0,
                   "the spawner has no capability it does not need", hex(caps))
        # P1: nobody with uid 0 holds an internet connection. Listening sockets are the master's to pass on.
        inet = set()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}") as f:
                for line in f.read().splitlines()[1:]:
                    fields = line.split()
                    if fields[3] != "0A":
                        inet.add(f"socket:[{fields[9]}]")
        for pid in s.children():
            if status(pid)["Uid"].split()[1] == "0":
                tap.ok(not inet & set(descriptors(pid).values()), f"{comm(pid)} (root) holds no connection")

        # uid 0 never logs in, and nobody with root's group.
        for user in ("root", "low"):
            c = s.connect()
            try:
                c.login(user, PASSWORD)
                got = "in"
            except c.error as e:
                got = str(e)
            tap.ok("AUTHENTICATIONFAILED" in got, f"{user} (uid or gid 0) does not log in", got)

        # P6: a mailbox name leads nowhere else, whatever the driver would do with it.
        os.symlink("/etc/shadow", home + "/mail/shadow")
        got = held.select("shadow")
        tap.ok(got[0] == "NO", "a link out of the mail directory is not followed", got)
        os.unlink(home + "/mail/shadow")

        # A second user on the machine cannot signal or trace the session.
        victim = family["session"][0]
        p = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", "kill", str(victim)], capture_output=True)
        tap.ok(p.returncode != 0 and held.noop()[0] == "OK", "another user cannot signal a session")
        # attack-148: nor can its own user read its memory.
        p = subprocess.run(["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "cat",
                            f"/proc/{victim}/maps"], capture_output=True)
        tap.ok(p.returncode != 0, "nor can its own user look into it", p.stdout[:100])
finally:
    if created:
        subprocess.run(["userdel", USER], capture_output=True)
tap.done()
