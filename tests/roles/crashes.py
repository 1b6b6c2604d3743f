#!/usr/bin/env python3
"""A module that crashes in a callback costs its session, and is not called any more when it does so too often."""
import atexit
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import BUILD, Server, Tap, wait_for  # noqa: E402

import shutil  # noqa: E402

tap = Tap()
if not os.path.exists(f"{BUILD}/tests/modules/crashy.so"):
    tap.skip("crashing module", "tests/modules/crashy.so is not built")
    tap.done()

s = Server(users=["alice", "bob"], driver="unix", crashes=True, settings={"limits": "limits = { module_crashes = 2; };"})
atexit.register(shutil.rmtree, s.dir, True)
shutil.copy(f"{BUILD}/tests/modules/crashy.so", s.modules)
s.settings["drivers"] = 'drivers = ( "unix", { type = "crashy"; crash_in = "open"; } );'
s.write_config()
for user in s.users:
    with open(s.home(user) + "/mail/bad", "w") as f:
        f.write("empty\n")
    s._give(s.home(user) + "/mail/bad")


def select(user):
    """What SELECT of the mailbox that crashes answers, or "crash"."""
    c = s.login(user)
    try:
        typ, data = c.select("bad")
        return typ + " " + data[0].decode()
    except c.abort:
        return "crash"


with s:
    held = s.login("bob")
    tap.ok(select("alice") == "crash", "a crash in a callback ends the session")
    tap.ok(s.logged("MRT-0833.*alice.*module crashy"), "and the log names user and module", s.log()[-600:])
    tap.ok(s.logged('module "crashy", callback open') or "sanitizer" in s.log().lower(), "and the callback", s.log()[-600:])
    tap.ok(held.noop()[0] == "OK", "other sessions go on")
    for _ in range(3):
        select("alice")
    tap.ok("MRT-0834" not in s.log(), "one user's crashes in a row count once")
    tap.ok(select("bob") == "crash" and s.logged("MRT-0834.*crashy"), "those of several users add up to limits.module_crashes")
    got = select("alice")
    tap.ok(got.startswith("NO") and "UNAVAILABLE" in got, "then the module is not called any more", got)
    c = s.login("alice")
    tap.ok(c.select("INBOX")[0] == "OK", "mailboxes of other drivers are served")
    tap.ok(held.noop()[0] == "OK", "and other sessions go on")
    s.process.send_signal(signal.SIGHUP)
    tap.ok(wait_for(lambda: select("alice") == "crash"), "a reload gives it another chance")
tap.done()
