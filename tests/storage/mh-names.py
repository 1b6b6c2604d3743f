#!/usr/bin/python3
"""#mh/ and #mhinbox: the folders of MH beside mailboxes of another format, by the names that UW's server gives them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import NOBODY, Server, Tap

tap = Tap()
MESSAGE = b"Subject: %s\r\n\r\ntext\r\n"


def ok(answer, want, title):
    tap.ok(answer[0] == want, title, answer)
    return answer[1]


def listed(c, pattern):
    return [line for line in c.list('""', pattern)[1] if line]


with Server(settings={"drivers": 'drivers = [ "unix", "mh" ];'}, additions={"store": 'mh = "~/Mail";'}) as s:
    home = s.home("alice")
    os.makedirs(f"{home}/Mail/lists/nmh")
    for name, data in (("Mail/lists/nmh/1", b"Subject: as nmh left it\n\ntext\n"), ("Mail/lists/nmh/.mh_sequences", b"unseen: 1\n"),
                       ("Mail/text", b"From a@b Mon Jan  1 10:00:00 2024\nSubject: mbox\n\ntext\n\n")):
        with open(f"{home}/{name}", "wb") as f:
            f.write(data)
    if os.getuid() == 0:
        for path, folders, files in os.walk(f"{home}/Mail"):
            for name in [path] + [f"{path}/{f}" for f in files]:
                os.chown(name, NOBODY.pw_uid, NOBODY.pw_gid)
    c = s.login("alice")
    tap.ok(b'(("" "/")("#mhinbox" NIL)("#mh/" "/")) NIL NIL' in c.namespace()[1][0], "NAMESPACE names them", c.namespace())
    ok(c.create("plain"), "OK", "a mailbox of the default format is made")
    ok(c.append("#mh/lists/nmh", None, None, MESSAGE % b"by us"), "OK", "a message goes into a folder of MH")
    tap.ok(os.path.exists(f"{home}/Mail/lists/nmh/2"), "as the next number")
    ok(c.select("#mh/lists/nmh"), "OK", "the folder opens")
    tap.ok(b"nmh left it" in c.fetch("1", "(BODY[])")[1][0][1], "and what nmh left is in it")
    ok(c.copy("1", "plain"), "OK", "from there into another format")
    ok(c.select("plain"), "OK", "which opens")
    ok(c.copy("1", "#mh/new"), "NO", "a folder that is not there is not made by COPY")
    ok(c.create("#driver.unix/#mh/new"), "NO", "nor a mailbox of another format")
    ok(c.create("#mh/new"), "OK", "but by CREATE")
    ok(c.copy("1", "#MH/new"), "OK", "#mh in any case")
    tap.ok(os.path.exists(f"{home}/Mail/new/1"), "and it is a folder of MH")
    tap.ok(sorted(line.split()[-1] for line in listed(c, '"#mh/*"')) == [b"#mh/lists", b"#mh/lists/nmh", b"#mh/new"],
           "LIST of #mh/*", listed(c, '"#mh/*"'))
    tap.ok(not any(b"#mh" in line for line in listed(c, '"*"')), "LIST of * leaves them out", listed(c, '"*"'))
    ok(c.select("#mh/text"), "NO", "what is no folder of MH is no mailbox there")
    tap.ok(listed(c, '"#mhinbox"') == [], "#mhinbox is not there yet")
    ok(c.append("#mhinbox", None, None, MESSAGE % b"first"), "OK", "the first message makes it")
    tap.ok(os.path.exists(f"{home}/Mail/inbox/1"), "in the folder inbox")
    tap.ok([line.split(b") ")[1] for line in listed(c, '"#mhinbox"')] == [b"NIL #mhinbox"], "LIST of #mhinbox: no separator", listed(c, '"#mhinbox"'))
    ok(c.select("#mhinbox"), "OK", "#mhinbox opens")
    tap.ok(c.select("#mh/inbox")[1] == [b"1"], "and is #mh/inbox")
    ok(c.select("INBOX"), "OK", "INBOX is another one")
    ok(c.rename("#mh/new", "#mh/old"), "OK", "RENAME within #mh/")
    ok(c.rename("#mh/old", "elsewhere"), "NO", "but not out of it")
    ok(c.delete("#mh/old"), "OK", "DELETE")
    tap.ok(not os.path.exists(f"{home}/Mail/old"), "and the folder is gone")
    ok(c.subscribe("#mh/lists/nmh"), "OK", "a folder is subscribed")
    tap.ok(any(b"#mh/lists/nmh" in line for line in c.lsub('""', '"*"')[1] if line), "and told by LSUB", c.lsub('""', '"*"'))
    for name in ("#mh/../mail/plain", "#mh/lists/../../mail/plain", "#mh/", "#mh", "#mh//x", "#mhinbox/x"):
        tap.ok(c.select(name)[0] in ("NO", "BAD"), f"{name} leads nowhere, attack-131", c.select(name))
    c.logout()
with Server() as s:
    c = s.login("alice")
    ok(c.select("#mh/x"), "NO", "without store.mh there are no such names")
    ok(c.select("#mhinbox"), "NO", "nor #mhinbox")
    c.logout()
tap.done()
