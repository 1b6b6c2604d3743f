#!/usr/bin/env python3
"""imapd --preauth: one session on standard input and output, as rimapd was."""
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import NOBODY, Server, Tap  # noqa: E402

tap = Tap()
me = NOBODY if os.getuid() == 0 else pwd.getpwuid(os.getuid())

s = Server(users=[me.pw_name])
atexit.register(shutil.rmtree, s.dir, True)
# The account's own home is not for tests to write into.
s.settings["store"] = (f'store = {{ inbox = [ "{s.path("spool")}/%u" ]; mail_dir = "{s.path("home")}/mail"; '
                       f'state_dir = "{s.path("home")}/state"; subscriptions = "{s.path("home")}/subscriptions"; }};')
s.write_config()
with open(s.spool(me.pw_name), "w") as f:
    f.write("From a@example Mon Nov 24 10:00:00 2025\nSubject: one\n\nhello\n\n")
os.chmod(s.spool(me.pw_name), 0o600)
s._give(s.spool(me.pw_name))


def run(commands, environment=None):
    p = subprocess.run(s.as_user(s.command("--preauth")), input=commands, capture_output=True, timeout=30,
                       env=environment or {"PATH": os.environ["PATH"]})
    return p.returncode, p.stdout, p.stderr


status, out, err = run(b"a SELECT INBOX\r\nb FETCH 1 BODY[TEXT]\r\nc LOGOUT\r\n")
tap.ok(out.startswith(b"* PREAUTH "), "it begins with PREAUTH", out, err)
tap.ok(b"* 1 EXISTS" in out and b"hello" in out and b"c OK" in out, "and serves the caller's mail", out)
tap.ok(status == 0 and err == b"", "and ends with status 0, saying nothing else", status, err)

status, out, err = run(b"a LOGIN x y\r\nb STARTTLS\r\nc LOGOUT\r\n")
tap.ok(b"a BAD" in out or b"a NO" in out, "LOGIN is refused there", out)
tap.ok(b"b BAD" in out or b"b NO" in out, "STARTTLS, too (attack-008)", out)

status, out, err = run(b"a NOOP\r\n")
tap.ok(status == 0 and b"a OK" in out, "end of input ends it", status, out)

# attack-147: nothing of the caller's environment is looked at.
hostile = {"PATH": "/nonexistent", "LD_LIBRARY_PATH": "/nonexistent", "LTDL_LIBRARY_PATH": "/nonexistent", "TZ": ":/etc/passwd",
           "OPENSSL_CONF": "/etc/passwd", "HOME": "/nonexistent", "MAIL": "/etc/passwd", "USER": "root"}
p = subprocess.run(["/usr/bin/env", "-i"] + [f"{k}={v}" for k, v in hostile.items()] +
                   ["/usr/bin/" + c if c == "setpriv" else c for c in s.as_user(s.command("--preauth"))],
                   input=b"a STATUS INBOX (MESSAGES)\r\nc LOGOUT\r\n", capture_output=True, timeout=30)
tap.ok(b"MESSAGES 1" in p.stdout, "a hostile environment changes nothing", p.stdout, p.stderr)

p = subprocess.Popen(s.as_user(s.command("--preauth")), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
p.stdout.readline()
p.stdin.write(b"a NOOP\r\n")
p.stdin.flush()
p.stdout.readline()
with open(f"/proc/{p.pid}/status") as f:
    facts = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
tap.ok(facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2", "it is sandboxed like any session", facts)
p.send_signal(signal.SIGTERM)
rest = p.stdout.read()
tap.ok(b"* BYE" in rest and p.wait(10) == 0, "SIGTERM ends it with BYE", rest)

if os.getuid() == 0:
    p = subprocess.run(s.command("--preauth"), input=b"", capture_output=True, timeout=30)
    tap.ok(p.returncode == 64 and b"* BYE" in p.stdout, "root is refused", p.stdout)
else:
    tap.skip("root is refused", "not root")
tap.done()
