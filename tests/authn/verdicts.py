#!/usr/bin/python3
"""imapctl auth test: each reason why somebody cannot log in is told, by the backend that has it."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from authn import Backends
from mortise import Tap

tap = Tap()
IDS = "65534:65534::/tmp::"
FILE = '{ type = "file"; path = "passwd"; plain = true; }'


def check(title, answer, backend, word, why="", together=None):
    got = answer.backends.get(backend, ("", ""))
    tap.ok(got[0] == word and why in got[1] and answer.together == (together or word) and answer.status == (0 if answer.together == "ok" else 1),
           f"{title}: {backend} says {word}{' (' + why + ')' if why else ''}", answer)


with Backends(f'passwords = ( {FILE}, {{ type = "cram-md5"; path = "cram"; }} );') as b:
    b.write("passwd", f"fred:{{PLAIN}}right:{IDS}option=1\nlocked:!{{PLAIN}}right:{IDS}\nbad:{{NONSENSE}}x:{IDS}\nroot:{{PLAIN}}right:0:0::/root::\n"
            f"low:{{PLAIN}}right:100:100::/tmp::\nhome:{{PLAIN}}right:65534:65534::tmp::\nhost:{{PLAIN}}right\n")
    b.write("cram", "ann\tsecret\nnobody\tsecret\n")
    a = b.ask("fred", "right")
    check("the right password", a, "file", "ok")
    tap.ok(a.record.get("uid") == ["65534"] and a.record.get("home") == ["/tmp"] and a.record.get("option") == ["option=1"], "and the record is shown", a)
    tap.ok(a.backends["cram-md5"][0] == "unknown", "the others are asked, too", a)
    check("a wrong password", b.ask("fred", "wrong"), "file", "mismatch")
    check("nobody", b.ask("nobody-there", "x"), "file", "unknown")
    check("a locked account", b.ask("locked", "right"), "file", "disabled", "the account is disabled")
    check("a hash nobody knows", b.ask("bad", "right"), "file", "disabled", "line 3")
    check("uid 0", b.ask("root", "right"), "file", "disabled", "uid 0 never logs in")
    check("a low uid", b.ask("low", "right"), "file", "disabled", "below minimum_uid")
    check("no home", b.ask("home", "right"), "file", "disabled", "line 6")
    check("no host account", b.ask("host", "right"), "file", "unknown", "no host account host")
    check("the next backend", b.ask("nobody", "secret"), "cram-md5", "ok")
    check("a secret without an account", b.ask("ann", "secret"), "cram-md5", "unknown", "no host account ann")
    check("an empty password", b.ask("fred", ""), "file", "mismatch", together="mismatch")
    check("without a password", b.ask("fred"), "file", "ok")
    os.chmod(b.path("cram"), 0o644)
    check("CRAM file mode", b.ask("nobody", "secret"), "cram-md5", "temporary", "has mode 0644")
    os.chmod(b.path("passwd"), 0o644)
    check("file mode", b.ask("fred", "right"), "file", "temporary", "has mode 0644")
    os.unlink(b.path("passwd"))
    check("no file", b.ask("fred", "right"), "file", "temporary", "No such file")

with Backends(f'passwords = ( {FILE} );', 'valid_shell = true; minimum_uid = 1;') as b:
    b.write("passwd", "nobody:{PLAIN}right\n")
    check("a shell that is none", b.ask("nobody", "right"), "file", "disabled", "is not in /etc/shells")

with Backends('passwords = ( { type = "null"; } );') as b:
    a = b.ask("nobody", "x")
    tap.ok(a.backends["null"] == ("next", "cannot answer such a question") and a.together == "unknown" and "no backend can say" in a.why,
           "passwords are off", a)

with Backends('passwords = ( { type = "exec"; command = [ "/nonexistent" ]; } );') as b:
    a = b.ask("fred", "x")
    tap.ok(a.status == 1 and "cannot be run" in a.output, "a program that is not there switches its backend off, and it is said", a)

with Backends('passwords = ( { type = } );') as b:
    a = b.ask("fred", "x")
    tap.ok(a.status == 78 and "imapd.conf:1" in a.output, "a configuration that cannot be read", a)
tap.done()
