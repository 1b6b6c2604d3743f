#!/usr/bin/env python3
"""What the administrator tells every client: the alert file (UW imapd's), the JMAP URL (RFC 9698)."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import Server, Tap  # noqa: E402

tap = Tap()
URL = "https://mail.example/.well-known/jmap"


def settings(alert):
    return {"imap": f'imap = {{ alert_file = "{alert}"; jmap_url = "{URL}"; }};'}


def alerts(s):
    """Those of one session."""
    c = s.login("alice")
    c.noop()
    found = [x.decode()[8:] for x in c.untagged_responses.get("OK", []) if x.startswith(b"[ALERT] ")]
    c.logout()
    return found


path = f"/tmp/mortise-alert-{os.getpid()}"
try:
    with Server(settings=settings(path)) as s:
        tap.ok(alerts(s) == [], "no file, no alert")
        with open(path, "w") as f:
            f.write("Down for work\r\n\non Sunday \x01 [x]\n")
        tap.ok(alerts(s) == ["Down for work", "on Sunday ? [x]"], "the lines are shown", str(alerts(s)))
        with open(path, "w") as f:
            f.write("line\n" * 100)
        tap.ok(len(alerts(s)) == 10, "ten lines at most")
        os.truncate(path, 0)
        os.remove(path)
        os.mkfifo(path)
        tap.ok(alerts(s) == [], "what is no file does not hold up the login")
        c = s.login("alice")
        tap.ok("JMAPACCESS" in c.capabilities or "JMAPACCESS" in str(c.capability()), "JMAPACCESS is offered")
        c.xatom("GETJMAPACCESS")
        answer = c.untagged_responses.get("JMAPACCESS")
        tap.ok(answer == [f'"{URL}"'.encode()], "GETJMAPACCESS tells the URL (RFC 9698 §3)", str(answer))
        c.logout()
finally:
    if os.path.exists(path):
        os.remove(path)
tap.done()
