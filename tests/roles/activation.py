#!/usr/bin/env python3
"""What systemd does with the server: socket activation, readiness, reload, stop; and what the arguments do."""
import atexit
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import NOBODY, PASSWORD, Server, Tap, find_binary, wait_for  # noqa: E402

tap = Tap()


def listener():
    c = socket.socket()
    c.bind(("127.0.0.1", 0))
    c.listen(16)
    return c


class Notify:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o777)
        self.socket.setblocking(False)
        self.seen = ""

    def said(self, text):
        def look():
            try:
                while True:
                    self.seen += self.socket.recv(4096).decode() + "\n"
            except BlockingIOError:
                pass
            return text in self.seen
        return wait_for(look)


def start(s, sockets, names, notify=None):
    """As systemd would: descriptors from 3 on, LISTEN_PID of the very process."""
    def child():
        moved = [os.dup2(x.fileno(), 100 + i) for i, x in enumerate(sockets)]
        for i, fd in enumerate(moved):
            os.dup2(fd, 3 + i, inheritable=True)
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY.pw_gid, NOBODY.pw_gid, NOBODY.pw_gid)
            os.setresuid(NOBODY.pw_uid, NOBODY.pw_uid, NOBODY.pw_uid)
        env = {"PATH": os.environ["PATH"], "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)),
               "LISTEN_FDNAMES": names}
        if notify:
            env["NOTIFY_SOCKET"] = notify
        os.execve(command[0], command, env)

    command = s.command()
    s.log_file = open(s.path("log"), "ab")
    s.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=s.log_file, stderr=s.log_file, close_fds=False,
                                 start_new_session=True, preexec_fn=child)


plain, tls = listener(), listener()
s = Server(driver="memory", users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
notify = Notify(s.path("notify"))
start(s, [plain, tls], "imap:imaps", s.path("notify"))
try:
    tap.ok(notify.said("READY=1"), "systemd is told READY=1", notify.seen, s.log())
    s.port, s.tls_port = plain.getsockname()[1], tls.getsockname()[1]
    c = s.login("alice")
    tap.ok(c.noop()[0] == "OK", "the socket named imap is served")
    t = s.connect_tls()
    t.login("alice", PASSWORD)
    tap.ok(t.noop()[0] == "OK", "the one named imaps is served under TLS")
    s.process.send_signal(signal.SIGHUP)
    tap.ok(notify.said("RELOADING=1") and re.search(r"MONOTONIC_USEC=\d+", notify.seen), "and told RELOADING=1 with the time")
    tap.ok(wait_for(lambda: notify.said("READY=1") and notify.seen.count("READY=1") == 2), "and READY=1 when that is over")
    tap.ok(c.noop()[0] == "OK" and s.login("alice").noop()[0] == "OK", "the sockets are served after a reload, too")
    status = s.stop()
    tap.ok(notify.said("STOPPING=1") and status == 0, "and told STOPPING=1", status, s.log()[-3000:])
finally:
    s.stop()

# Something else than listening sockets.
pair = socket.socketpair()
s = Server(driver="memory", users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
start(s, [pair[0]], "imap")
tap.ok(s.process.wait(20) == 71 and "not a listening" in s.log(), "a descriptor that does not listen is refused", s.log())

# Addresses: IPv4, IPv6 and a socket file.
s = Server(driver="memory", users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
path = s.path("home") + "/socket"
s.settings["listen"] = f'listen = {{ imap = [ "127.0.0.1:{s.port}", "[::1]:{s.port}", "unix:{path}" ]; imaps = [ ]; }};'
s.write_config()
with s:
    for family, address in ((socket.AF_INET, ("127.0.0.1", s.port)), (socket.AF_INET6, ("::1", s.port)), (socket.AF_UNIX, path)):
        c = socket.socket(family)
        c.settimeout(10)
        try:
            c.connect(address)
            got = c.recv(4)
        except OSError as e:
            got = e
        tap.ok(got == b"* OK", f"{address} is served", got)
    # A second server on the same addresses does not start, and takes nothing away.
    p = subprocess.run(s.as_user(s.command()), capture_output=True, text=True, timeout=20)
    tap.ok(p.returncode == 78 and "MRT-0650" in p.stderr, "a second server on the same address does not start", p.stderr)
    tap.ok(os.path.exists(path), "and leaves the socket file alone")
    s.stop()
    tap.ok(not os.path.exists(path), "which is removed when the server stops")

# The pid file, and the environment that the configuration asks for.
s = Server(driver="memory", users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
os.environ["MORTISE_TEST_KEPT"] = "kept"
os.environ["MORTISE_TEST_LEFT"] = "left"
s.settings["process"] = (f'process = {{ pid_file = "{s.path("home")}/pid"; fronts = 1; '
                         'environment = [ "MORTISE_TEST_KEPT", "MORTISE_TEST_SET=set", "MORTISE_TEST_NONE" ]; };')
s.write_config()
with s:
    with open(s.path("home") + "/pid") as f:
        tap.ok(int(f.read()) == s.process.pid, "the pid file has the master's pid")
    if os.getuid() == 0:
        auth = [p for p in s.children() if open(f"/proc/{p}/comm").read().strip() == "auth"][0]
        with open(f"/proc/{auth}/environ") as f:
            names = sorted(e for e in f.read().split("\0") if e.startswith("MORTISE"))
        tap.ok(names == ["MORTISE_TEST_KEPT=kept", "MORTISE_TEST_SET=set"], "process.environment is kept and set", names)
    else:
        tap.skip("process.environment is kept and set", "not root")
    s.stop()
    tap.ok(not os.path.exists(s.path("home") + "/pid"), "and is removed at the end")

# The arguments.
imapd = find_binary("imapd")
for arguments, status in ((["--version"], 0), (["--help"], 0), (["--print-abi"], 0), (["--describe-config"], 0), (["--bogus"], 64),
                          (["x"], 64), (["--role=front"], 64), (["--role=nonsense"], 64), (["--dump-config=x"], 64)):
    p = subprocess.run([imapd] + arguments, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    tap.ok(p.returncode == status and (p.stdout or p.stderr), f"imapd {' '.join(arguments)}: status {status}", p.returncode, p.stderr)
s = Server(driver="memory", users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
p = subprocess.run(s.as_user(s.command("--dump-config=changed")), capture_output=True, text=True, timeout=20)
tap.ok(p.returncode == 0 and str(s.port) in p.stdout and "imapd.conf:" in p.stdout, "--dump-config=changed tells values and origins",
       p.stdout, p.stderr)
tap.done()
