#!/usr/bin/env python3
"""./quickstart: the demo from start to stop, on this build (MORTISE_BUILD) so that nothing is built twice; and what it says
when it cannot."""
import os
import pty
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import BUILD, NOBODY, SOURCE, Tap, wait_for  # noqa: E402

tap = Tap()
work = tempfile.mkdtemp(prefix="mortise-quickstart-", dir="/tmp")
os.chmod(work, 0o755)
DIR = f"{work}/demo"
for variable in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR"):
    os.environ.pop(variable, None)
environment = {**os.environ, "MORTISE_BUILD": os.path.abspath(BUILD)}


def port_pair():
    """N and N + 850, both free."""
    while True:
        with socket.socket() as a, socket.socket() as b:
            try:
                a.bind(("127.0.0.1", 0))
                port = a.getsockname()[1]
                b.bind(("127.0.0.1", port + 850))
                return port
            except (OSError, OverflowError):
                continue


def command(*arguments):
    return ["sh", f"{SOURCE}/quickstart", *arguments]


def quickstart(*arguments, env=None, seconds=120, before=()):
    return subprocess.run([*before, *command(*arguments)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
                          env=env or environment)


def facts():
    with open(f"{DIR}/connect") as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f)


def pid():
    try:
        with open(f"{DIR}/pid") as f:
            return int(f.read())
    except (OSError, ValueError):
        return None


def running(of):
    return of is not None and os.path.exists(f"/proc/{of}") and open(f"/proc/{of}/stat").read().split(") ")[1][0] != "Z"


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "--max-time", "30", "--cacert", at["CERTIFICATE"], *arguments], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)


def mutt(said):
    """The very command that was printed, at a terminal."""
    line = next(line.strip() for line in said.splitlines() if line.strip().startswith("mutt "))
    home = f"{work}/mutt"
    os.makedirs(home, exist_ok=True)
    child, fd = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", HOME=home, LINES="40", COLUMNS="120")
        os.execlp("sh", "sh", "-c", "exec " + line + " -n")
    seen, end = b"", time.monotonic() + 30
    while time.monotonic() < end and b"plain file" not in seen:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(fd)
    return seen


try:
    # ---- asked wrongly ----
    p = quickstart("--help")
    tap.ok(p.returncode == 0 and all(o in p.stdout for o in ("--dir", "--port", "--background", "--no-install", "stop", "check")),
           "--help tells the options", p.stdout, p.stderr)
    for arguments, text in ((["--port", "x"], "a number"), (["--port", "70000"], "between"), (["--port", "99999999999999999999"], "between"),
                            (["--port"], "a number"), (["--dir"], "a folder"), (["--nonsense"], "not understood"),
                            (["--dir", f"{work}/a b"], "letters"), (["--dir", f'{work}/"'], "letters"),
                            (["stop", "--dir", DIR], "no demo runs in " + DIR)):
        p = quickstart(*arguments)
        tap.ok(p.returncode == 1 and text in p.stderr, f"{' '.join(arguments)}: {text}", p.returncode, p.stderr)
    foreign = f"{work}/foreign"
    os.makedirs(f"{foreign}/home")
    before = os.stat(f"{foreign}/home")
    p = quickstart("--no-install", "--dir", foreign)
    tap.ok(p.returncode == 1 and "not empty" in p.stderr and os.listdir(foreign) == ["home"] and os.stat(f"{foreign}/home") == before,
           "a folder with other things in it is not made a demo", p.stderr, os.listdir(foreign))

    # ---- a package is missing ----
    os.mkdir(f"{work}/bin")
    with open(f"{work}/bin/dpkg-query", "w") as f:
        f.write('#!/bin/sh\nfor p; do :; done\ncase $p in libconfig-dev | gcc) exit 1 ;; esac\necho "ii "\n')
    os.chmod(f"{work}/bin/dpkg-query", 0o755)
    bare = {k: v for k, v in environment.items() if k != "MORTISE_BUILD"}
    p = quickstart("--no-install", "--dir", DIR, env={**bare, "PATH": f"{work}/bin:{os.environ['PATH']}"})
    tap.ok(p.returncode == 1 and "missing packages" in p.stderr and "gcc libconfig-dev" in p.stderr and not os.path.exists(DIR),
           "--no-install names the packages that are missing and does nothing", p.returncode, p.stderr)

    # ---- the demo ----
    port = port_pair()
    p = quickstart("--no-install", "--dir", DIR, "--port", str(port), "--background")
    if not tap.ok(p.returncode == 0, "--background returns when the demo is served", p.stdout, p.stderr):
        tap.done()
    at = facts()
    first, said = pid(), p.stdout
    tap.ok(at.keys() == {"HOST", "PORT", "TLS_PORT", "USER", "PASSWORD", "CERTIFICATE"} and at["PORT"] == str(port) and
           at["TLS_PORT"] == str(port + 850), "DIR/connect has what a script needs", at)
    secret = [f"{DIR}/connect", f"{DIR}/password", f"{DIR}/passwd", f"{DIR}/tls/key.pem"]
    tap.ok(all(stat.S_IMODE(os.stat(f).st_mode) & 0o077 == 0 for f in secret), "others cannot read its secrets")
    tap.ok("curl --cacert" in said and "mutt " in said and "Thunderbird" in said and f"./quickstart stop --dir {DIR}" in said,
           "how to connect is said in a few lines", said)
    with open(f"/proc/{first}/status") as f:
        tap.ok(f"Uid:\t{NOBODY.pw_uid if os.getuid() == 0 else os.getuid()}\t" in f.read(), "root does not serve")

    login, tls, plain = f"{at['USER']}:{at['PASSWORD']}", f"imaps://localhost:{at['TLS_PORT']}", f"imap://127.0.0.1:{port}"
    if shutil.which("curl"):
        p = curl("-u", login, f"{tls}/INBOX", "-X", "FETCH 1:* (FLAGS ENVELOPE)")
        tap.ok(p.returncode == 0 and p.stdout.count("* ") == 3 and "plain file" in p.stdout, "curl reads the demo mailbox over TLS", p.stdout, p.stderr)
        p = curl("--ssl-reqd", "-u", login, f"{plain}/")
        tap.ok(p.returncode == 0 and "lists/announce" in p.stdout, "and lists the folders after STARTTLS", p.stdout, p.stderr)
        p = curl("--ssl-reqd", "-u", f"{at['USER']}:wrong", f"{plain}/")
        tap.ok(p.returncode == 67, "a wrong password is refused", p.returncode, p.stderr)
        p = curl("-u", login, f"{plain}/")
        tap.ok(p.returncode != 0, "and so is any without TLS", p.returncode, p.stdout)
        with open(f"{work}/message", "w", newline="") as f:
            f.write("From: me@example.com\r\nSubject: kept\r\n\r\nacross a restart\r\n")
        p = curl("-u", login, f"{tls}/INBOX", "-T", f"{work}/message")
        with open(f"{DIR}/spool/demo") as f:
            tap.ok(p.returncode == 0 and "across a restart" in f.read(), "what is appended stands in the file", p.stderr)
    else:
        tap.skip("curl", "not installed")
    if shutil.which("mutt"):
        seen = mutt(said)
        tap.ok(b"plain file" in seen and b"Connecting" in seen, "mutt shows it, with the command that was printed and without a question", repr(seen))
    else:
        tap.skip("mutt", "not installed")

    # ---- again ----
    p = quickstart("--no-install", "--dir", DIR, "--port", str(port), "--background")
    tap.ok(p.returncode == 0 and facts() == at, "a second run serves the same demo", p.stdout, p.stderr)
    tap.ok(pid() != first and not running(first) and running(pid()), "the server of the first was stopped")
    if shutil.which("curl"):
        p = curl("-u", login, f"{tls}/INBOX", "-X", "SEARCH SUBJECT kept")
        tap.ok("SEARCH 4" in p.stdout, "its mail was kept", p.stdout, p.stderr)
    other = f"{work}/other"
    started = time.monotonic()
    p = quickstart("--no-install", "--dir", other, "--port", str(port), "--background")
    tap.ok(p.returncode == 1 and f"port {port} or {port + 850} cannot be had" in p.stderr and "in use" in p.stderr,
           "a port that is taken is told", p.returncode, p.stderr)
    tap.ok(running(pid()), "and who has it is not disturbed")
    p = quickstart("stop", "--dir", DIR)
    stopped = pid()
    tap.ok(p.returncode == 0 and p.stdout == "stopped\n" and not running(stopped), "stop stops it", p.stdout, p.stderr)
    p = quickstart("stop", "--dir", DIR)
    tap.ok(p.returncode == 1 and "no demo runs" in p.stderr, "once", p.returncode, p.stderr)

    # ---- in the foreground ----
    with open(f"{work}/said", "w") as f:
        process = subprocess.Popen(command("--no-install", "--dir", DIR, "--port", str(port)), stdin=subprocess.DEVNULL, stdout=f,
                                   stderr=subprocess.STDOUT, env=environment, start_new_session=True)
    shown = wait_for(lambda: "Ctrl-C" in open(f"{work}/said").read() or process.poll() is not None, 60)
    server = pid()
    tap.ok(shown and process.poll() is None and running(server), "without --background it stays", open(f"{work}/said").read())
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    tap.ok(process.wait(30) == 0 and wait_for(lambda: not running(server), 20), "until Ctrl-C stops both")

    if os.getuid() == 0:
        ordinary = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
        os.mkdir(f"{work}/user")
        os.chown(f"{work}/user", NOBODY.pw_uid, NOBODY.pw_gid)
        DIR = f"{work}/user/demo"
        for run in ("a first", "a second"):
            p = quickstart("--no-install", "--dir", DIR, "--port", str(port), "--background", before=ordinary)
            tap.ok(p.returncode == 0 and running(pid()), f"an ordinary user: {run} run", p.stdout, p.stderr)
        p = quickstart("stop", "--dir", DIR, before=ordinary)
        tap.ok(p.returncode == 0 and not running(pid()), "and stop", p.stdout, p.stderr)
    if os.getuid() == 0:
        os.mkdir(f"{work}/closed", 0o700)
        p = quickstart("--no-install", "--dir", f"{work}/closed/demo", "--port", str(port), "--background")
        tap.ok(p.returncode == 1 and "nobody, who serves, cannot reach" in p.stderr, "a folder that nobody can reach is told", p.stderr)
    if shutil.which("shellcheck"):
        p = subprocess.run(["shellcheck", f"{SOURCE}/quickstart"], capture_output=True, text=True)
        tap.ok(p.returncode == 0, "shellcheck finds nothing", p.stdout)
    else:
        tap.skip("shellcheck", "not installed")
finally:
    for d in (f"{work}/demo", f"{work}/user/demo", f"{work}/other", f"{work}/closed/demo"):
        if os.path.exists(f"{d}/pid"):
            quickstart("stop", "--dir", d)
    shutil.rmtree(work, ignore_errors=True)
tap.done()
