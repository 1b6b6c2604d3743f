#!/usr/bin/python3
"""Thunderbird, in a window nobody sees, with one account for each format at the same time: it lists, reads, flags, copies,
moves, deletes, makes a folder, and hears of new mail while it idles. It is driven through its Marionette port (JSON over a
loopback connection); a second connection says whether the mailbox is as Thunderbird believes.

    thunderbird.py [DRIVER...]"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap, free_port, wait_for

tap = Tap()
drivers = sys.argv[1:] or ["unix", "mbx", "maildir", "mh"]
if not shutil.which("thunderbird") or not shutil.which("Xvfb"):
    tap.skip("Thunderbird", "thunderbird or xvfb is not installed")
    tap.done()

# No traffic but to our servers: all else goes to a closed port.
PREFERENCES = """
user_pref("marionette.port", %(marionette)d);
user_pref("mail.shell.checkDefaultClient", false);
user_pref("mail.spam.manualMark", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("mail.rights.version", 1);
user_pref("datareporting.policy.dataSubmissionPolicyBypassNotification", true);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.auto", false);
user_pref("extensions.update.enabled", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.proxy.no_proxies_on", "localhost, 127.0.0.1");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("mail.account.account0.server", "server0");
user_pref("mail.server.server0.type", "none");
user_pref("mail.server.server0.hostname", "Local Folders");
user_pref("mail.server.server0.name", "Local Folders");
user_pref("mail.server.server0.userName", "nobody");
user_pref("mail.accountmanager.localfoldersserver", "server0");
user_pref("mail.accountmanager.accounts", "account0,%(accounts)s");
user_pref("mail.accountmanager.defaultaccount", "account1");
"""
ACCOUNT = """
user_pref("mail.account.account%(n)d.identities", "id%(n)d");
user_pref("mail.account.account%(n)d.server", "server%(n)d");
user_pref("mail.identity.id%(n)d.fullName", "Me");
user_pref("mail.identity.id%(n)d.useremail", "%(user)s@example.org");
user_pref("mail.identity.id%(n)d.valid", true);
user_pref("mail.server.server%(n)d.type", "imap");
user_pref("mail.server.server%(n)d.hostname", "127.0.0.1");
user_pref("mail.server.server%(n)d.port", %(port)d);
user_pref("mail.server.server%(n)d.name", "%(user)s");
user_pref("mail.server.server%(n)d.userName", "%(user)s");
user_pref("mail.server.server%(n)d.authMethod", 3);
user_pref("mail.server.server%(n)d.socketType", 0);
user_pref("mail.server.server%(n)d.delete_model", 1);
user_pref("mail.server.server%(n)d.login_at_startup", false);
user_pref("mail.server.server%(n)d.check_new_mail", false);
"""
# What every script has: the account's folders, waiting, and a message's text as Thunderbird has it.
PRELUDE = r"""
const [user, password, work, done] = arguments;
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const wait = ms => new Promise(r => setTimeout(r, ms));
const server = MailServices.accounts.accounts.map(a => a.incomingServer).find(s => s && s.username == user);
const msgWindow = Services.wm.getMostRecentWindow("mail:3pane").msgWindow;
const inbox = () => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const folder = name => { try { return server.rootFolder.getChildNamed(name); } catch (e) { return null; } };
const subjects = f => [...f.messages].map(h => h.mime2DecodedSubject).sort();
const message = (f, subject) => [...f.messages].find(h => h.mime2DecodedSubject == subject);
const until = async (condition, seconds) => {
  for (let i = 0; i < seconds * 10; i++) { try { if (condition()) return true; } catch (e) {} await wait(100); }
  return false;
};
const copied = (f, hdrs, to, move) => new Promise(r => MailServices.copy.copyMessages(f, hdrs, to, move, {
  onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
  onStopCopy(status) { r(Components.isSuccessCode(status)); } }, null, false));
const text = hdr => new Promise((resolve, reject) => {
  const uri = hdr.folder.getUriForMsg(hdr);
  let all = "";
  MailServices.messageServiceFromURI(uri).streamMessage(uri, {
    QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]), onStartRequest() {},
    onDataAvailable(request, stream, offset, count) {
      const s = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
      s.init(stream); all += s.read(count);
    },
    onStopRequest(request, status) { Components.isSuccessCode(status) ? resolve(all) : reject(status); } }, null, null, false, "");
});
(async () => { %s })().then(done, e => done("error: " + e + " " + (e && e.stack)));
"""


class Marionette:
    def __init__(self, port):
        self.port, self.n = port, 0
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.settimeout(120)
        self._receive()
        self.call("WebDriver:NewSession", capabilities={})
        self.call("Marionette:SetContext", value="chrome")
        self.call("WebDriver:SetTimeouts", script=90000)

    def _receive(self):
        length = b""
        while (c := self.socket.recv(1)) != b":":
            if not c:
                raise ConnectionError("Thunderbird has ended")
            length += c
        data = b""
        while len(data) < int(length):
            data += self.socket.recv(int(length) - len(data))
        return json.loads(data)

    def call(self, name, **parameters):
        self.n += 1
        data = json.dumps([0, self.n, name, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(data), data))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(json.dumps(error)[:800])
        return result

    def script(self, user, body, work=None):
        return self.call("WebDriver:ExecuteAsyncScript", script=PRELUDE % body, args=[user, PASSWORD, work])["value"]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def mail(n, text="text"):
    return (f"From: Ann <ann@example.org>\r\nTo: me@example.org\r\nSubject: number {n}\r\nMessage-ID: <{n}@example.org>\r\n"
            f"Date: Mon, 1 Jan 2024 10:00:{n:02} +0000\r\n\r\nbody of {n}\r\n{text}\r\n").encode()


def subjects(server, *which):
    return server.subjects(server.driver, *which)


def check(t, server):
    user = driver = server.driver
    names = [f"number {n}" for n in range(8)]
    value = t.script(user, """
      const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
      login.init("imap://127.0.0.1", null, "imap://127.0.0.1", user, password, "", "");
      await Services.logins.addLoginAsync(login);
      await until(() => inbox(), 30);
      for (let i = 0; i < 20 && !(folder("Work") && subjects(inbox()).length == 8); i++) {
        if (!folder("Work")) server.performExpand(msgWindow);
        inbox().updateFolder(msgWindow);
        await until(() => folder("Work") && subjects(inbox()).length == 8, 3);
      }
      return [subjects(inbox()), server.rootFolder.descendants.map(f => f.name).sort()];""")
    tap.ok(value[0] == names and "Work" in value[1], f"{driver}: lists folders and messages", value)
    value = t.script(user, 'return text(message(inbox(), "number 3"));')
    tap.ok("body of 3\r\n" + "line\r\n" * 300 in value, f"{driver}: reads a message", value[-300:])
    t.script(user, """inbox().markMessagesFlagged([message(inbox(), "number 1")], true);
      inbox().markMessagesRead([message(inbox(), "number 1"), message(inbox(), "number 2")], true);
      inbox().addKeywordsToMessages([message(inbox(), "number 2")], "$label1"); return "ok";""")
    good = wait_for(lambda: subjects(server, "INBOX", "FLAGGED") == ["number 1"] and subjects(server, "INBOX", "SEEN") == ["number 1", "number 2"]
                    and subjects(server, "INBOX", "KEYWORD $label1") == ["number 2"], 30)
    tap.ok(good, f"{driver}: flags, marks as read, tags", [subjects(server, "INBOX", k) for k in ("FLAGGED", "SEEN", "KEYWORD $label1")])
    value = t.script(user, """return [await copied(inbox(), [message(inbox(), "number 4")], folder("Work"), false),
      await copied(inbox(), [message(inbox(), "number 5"), message(inbox(), "number 6")], folder("Work"), true)];""")
    good = wait_for(lambda: subjects(server, "Work") == ["number 4", "number 5", "number 6"] and
                    subjects(server, "INBOX") == [f"number {n}" for n in (0, 1, 2, 3, 4, 7)], 30)
    tap.ok(value == [True, True] and good, f"{driver}: copies and moves", value, subjects(server, "Work"), subjects(server, "INBOX"))
    value = t.script(user, """folder("Work").updateFolder(msgWindow);
      await until(() => [...folder("Work").messages].length == 3, 30);
      return [subjects(folder("Work")), subjects(inbox())];""")
    tap.ok(value == [["number 4", "number 5", "number 6"], [f"number {n}" for n in (0, 1, 2, 3, 4, 7)]], f"{driver}: shows what it did", value)
    t.script(user, """server.rootFolder.createSubfolder("Made here", null);
      await until(() => folder("Made here"), 30); return "ok";""")
    good = wait_for(lambda: subjects(server, "Made here") == [], 30)
    tap.ok(good, f"{driver}: makes a folder", subjects(server, "Made here"))
    t.script(user, """inbox().deleteMessages([message(inbox(), "number 7")], null, true, false, null, false);
      await until(() => !message(inbox(), "number 7"), 30); return "ok";""")
    good = wait_for(lambda: "number 7" not in subjects(server, "INBOX", "UNDELETED"), 30)
    tap.ok(good, f"{driver}: deletes", subjects(server, "INBOX"))
    c = server.login(user)
    c.append("INBOX", "", None, mail(9))
    c.select("INBOX")
    c.store("1", "+FLAGS", r"(\Answered)")
    c.logout()
    value = t.script(user, """return [await until(() => message(inbox(), "number 9"), 60),
      await until(() => message(inbox(), "number 0").flags & Ci.nsMsgMessageFlags.Replied, 30)];""")
    tap.ok(value == [True, True], f"{driver}: hears of new mail and of flags without asking", value)


def run(servers, folder):
    port, display, processes = free_port(), 100 + os.getpid() % 800, []
    os.makedirs(f"{folder}/profile"), os.makedirs(f"{folder}/home")
    with open(f"{folder}/profile/user.js", "w") as f:
        f.write(PREFERENCES % {"marionette": port, "accounts": ",".join(f"account{n}" for n in range(1, len(servers) + 1))})
        for n, s in enumerate(servers, 1):
            f.write(ACCOUNT % {"n": n, "user": s.driver, "port": s.port})
    log = open(f"{folder}/log", "wb")
    try:
        processes.append(subprocess.Popen(["Xvfb", f":{display}", "-screen", "0", "1200x800x24", "-nolisten", "tcp"], stdout=log, stderr=log))
        assert wait_for(lambda: os.path.exists(f"/tmp/.X11-unix/X{display}"), 20), "no Xvfb"
        processes.append(subprocess.Popen(
            ["thunderbird", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", f"{folder}/profile"], stdout=log, stderr=log,
            start_new_session=True, env={**os.environ, "HOME": f"{folder}/home", "DISPLAY": f":{display}", "MOZ_CRASHREPORTER_DISABLE": "1"}))
        assert wait_for(lambda: answers(port), 120, 0.2), "Thunderbird does not open its port"
        t = Marionette(port)
        for s in servers:
            check(t, s)
    finally:
        for p in reversed(processes):
            p.terminate()
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        log.close()


servers = []
folder = tempfile.mkdtemp(prefix="mortise-test-", dir="/tmp")
try:
    for driver in drivers:
        server = Server(users=[driver], driver=driver)
        servers.append(server.start())
        c = server.login(driver)
        for n in range(8):
            c.append("INBOX", "", None, mail(n, "line\r\n" * 300))
        c.create("Work")
        c.subscribe("Work")
        c.logout()
    run(servers, folder)
finally:
    for s in servers:
        s.__exit__(sys.exc_info()[0])
    shutil.rmtree(folder, ignore_errors=True)
tap.done()
