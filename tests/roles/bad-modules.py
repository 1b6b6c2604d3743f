#!/usr/bin/python3
"""Bad modules: each is refused with its own words while the service starts and serves; a crash costs one session. attack-146."""
import imaplib
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import BUILD, NOBODY, SANITIZED, Server, Tap

tap = Tap()
REFUSALS = {  # module → what the log says of it
    "text": "is not a shared object",
    "truncated": "truncated.so",
    "absent": "absent.so: No such file or directory",
    "missing-library": "libmortise-gone.so.7",
    "missing-symbol": "undefined symbol: mortise_no_such_function",
    "no-descriptor": "no-descriptor.so",
    "bad-magic": "its descriptor begins with 6d6f7274, not with 4d6f7274",
    "old-api": "old-api.so",
    "new-api": "new-api.so",
    "time32": "time_t 8, module has 4",
    "better": "the file was renamed: it holds the module",
    "twice": 'has two descriptors named "twice"',
    "bad-default": "bad-default.so",
    "crash-load": "crashed while loading: signal 11",
    "exit-load": "exit-load.so",
    "hang-load": "hung while loading: killed after",
}
server = Server(users=["alice", "bob"], crashes=True)
for name in REFUSALS:
    source = f"{BUILD}/tests/modules/{name}.so"
    if os.path.exists(source):
        shutil.copy(source, server.modules)
shutil.copy(f"{BUILD}/tests/modules/crashy.so", server.modules)
shutil.copy(f"{BUILD}/tests/modules/good.so", f"{server.modules}/better.so")
with open(f"{server.modules}/text.so", "w") as f:
    f.write("no module\n")
with open(f"{BUILD}/tests/modules/good.so", "rb") as f, open(f"{server.modules}/truncated.so", "wb") as out:
    out.write(f.read(3000))
names = ", ".join(f'"{n}"' for n in REFUSALS)
server.settings["drivers"] = f'drivers = ( "unix", {{ type = "crashy"; crash_in = "sync"; }}, {names} );'
server.settings["module_loader"] = f'module_loader = {{ path = "{server.modules}"; check_owner = false; probe_timeout = "500ms"; }};'
server.write_config()
with server:
    c = server.login("bob")
    tap.ok(c.select("INBOX")[0] == "OK", "the service starts and serves with sixteen bad modules in its configuration")
    for name, words in REFUSALS.items():
        told = server.logged(rf'(?m)^.*"{name}".*{re.escape(words)}|{re.escape(words)}.*"{name}"')
        tap.ok(told, f'"{name}" is refused: {words}', *[line for line in server.log().splitlines() if name in line][:4])

    box = server.home("alice") + "/mail/trap"
    with open(box, "w") as f:
        f.write("empty\n")
    if os.getuid() == 0:
        os.chown(box, NOBODY.pw_uid, NOBODY.pw_gid)
    victim = server.login("alice")
    try:
        answer = victim.select("trap")
        tap.ok(False, "a driver that crashes ends its session", answer)
    except (imaplib.IMAP4.abort, OSError):
        tap.ok(True, "a driver that crashes ends its session")
    tap.ok(c.noop()[0] == "OK" and c.status("INBOX", "(MESSAGES)")[0] == "OK", "the other session goes on")
    again = server.login("alice")
    tap.ok(again.select("INBOX")[0] == "OK", "the same user logs in again")
    # A sanitizer catches the signal before our handler could name the callback.
    found = server.logged(r"module crashy ended the process" if SANITIZED else r"crashy.*sync|sync.*crashy")
    tap.ok(found, "the log names the module and the callback", server.log()[-800:])
    again.logout()
    c.logout()
tap.done()
