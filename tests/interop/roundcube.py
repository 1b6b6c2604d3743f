#!/usr/bin/python3
"""Roundcube in Chromium, one for each format: logs in, lists, reads, searches, flags, moves, deletes, makes a folder and
saves a draft, by what its page shows. Chromium is driven through chromedriver (WebDriver over HTTP, loopback only), Roundcube
runs under PHP's own web server with SQLite; a second connection says whether the mailbox is as the page believes.

    roundcube.py [DRIVER...]"""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap, free_port, wait_for

tap = Tap()
drivers = sys.argv[1:] or ["unix", "mbx", "maildir", "mh"]
HOME = "/usr/share/roundcube"
for what in ("php", "sqlite3", "chromium", "chromedriver"):
    if not shutil.which(what) or not os.path.exists(HOME):
        tap.skip("Roundcube", f"{what} or roundcube-core is not installed")
        tap.done()

CONFIGURATION = """<?php
$config = [];
$config['db_dsnw'] = 'sqlite:///%(dir)s/db.sqlite?mode=0640';
$config['imap_host'] = '127.0.0.1:%(port)d';
$config['smtp_host'] = '127.0.0.1:9';
$config['product_name'] = 'Test';
$config['des_key'] = 'a-test-key-24-characters';
$config['plugins'] = [];
$config['log_dir'] = '%(dir)s/log';
$config['temp_dir'] = '%(dir)s/temp';
$config['log_driver'] = 'file';
$config['imap_debug'] = true;
$config['enable_installer'] = false;
$config['language'] = 'en_US';
$config['mime_types'] = '/etc/mime.types';
$config['delete_junk'] = true;
$config['create_default_folders'] = true;
"""


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Browser:
    """WebDriver, as far as it is needed here."""

    def __init__(self, port, folder):
        self.base = f"http://127.0.0.1:{port}"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/chromium",
                            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
                            "--window-size=1300,900", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]}
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})["sessionId"]
        self.call("POST", f"/session/{self.session}/timeouts", {"script": 60000, "pageLoad": 60000})

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as r:
                return json.load(r)["value"]
        except urllib.error.HTTPError as e:
            raise RuntimeError(e.read().decode()[:800]) from e

    def go(self, url):
        self.call("POST", f"/session/{self.session}/url", {"url": url})

    def script(self, text, *arguments):
        return self.call("POST", f"/session/{self.session}/execute/sync", {"script": text, "args": list(arguments)})

    def until(self, condition, seconds=30):
        """Waits for a true expression in the page: its value."""
        def value():
            try:
                return self.script(f"return {condition};")
            except RuntimeError:  # the page is being left
                return None
        return wait_for(value, seconds, 0.1)

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("GET", f"/session/{self.session}/screenshot")))

    def close(self):
        self.call("DELETE", f"/session/{self.session}")


def mail(n):
    return (f"From: Ann <ann@example.org>\r\nTo: me@example.org\r\nSubject: number {n}\r\nMessage-ID: <{n}@example.org>\r\n"
            f"Date: Mon, 1 Jan 2024 10:00:{n:02} +0000\r\n\r\nbody of {n}\r\n").encode()


def subjects(server, *which):
    return server.subjects("alice", *which)


LIST = "[...document.querySelectorAll('#messagelist tbody tr .subject a span')].filter(e => e.offsetParent).map(e => e.innerText.trim()).filter(s => s).sort()"
READY = "window.rcmail && !rcmail.busy && document.readyState == 'complete'"


def listed(b, names):
    return b.until(f"{READY} && JSON.stringify({LIST}) == {json.dumps(json.dumps(names, separators=(',', ':')))}")


def choose(b, subject):
    return b.script("""const row = [...document.querySelectorAll('#messagelist tbody tr')].find(r => r.innerText.includes(arguments[0]));
      rcmail.message_list.select(row.uid); return row.uid;""", subject)


def check(b, url, server, title):
    b.go(url)
    b.until("document.getElementById('rcmloginuser') && document.getElementById('rcmloginsubmit')")
    b.script("""document.getElementById('rcmloginuser').value = 'alice'; document.getElementById('rcmloginpwd').value = arguments[0];
      document.getElementById('rcmloginsubmit').click();""", PASSWORD)
    names = [f"number {n}" for n in range(6)]
    good = b.until("window.rcmail && rcmail.env.task == 'mail'") and listed(b, names)
    tap.ok(good, f"{title}: logs in and lists", b.script(f"return [location.href, document.title, {LIST}];"))
    folders = b.script("return [...document.querySelectorAll('#mailboxlist li a')].map(e => e.innerText.trim().split('\\n')[0]);")
    tap.ok({"Inbox", "Drafts", "Sent", "Trash", "Work"} <= set(folders), f"{title}: shows the folders and has made its own", folders)

    uid = choose(b, "number 3")
    b.script("rcmail.show_message(arguments[0], false, false);", uid)
    good = b.until("document.querySelector('#messagebody') && document.querySelector('#messagebody').innerText.includes('body of 3')")
    tap.ok(good, f"{title}: shows a message", b.script("return document.body.innerText.slice(0, 500);"))
    tap.ok(wait_for(lambda: subjects(server, "INBOX", "SEEN") == ["number 3"]), f"{title}: which is read then", subjects(server, "INBOX", "SEEN"))

    b.go(f"{url}?_task=mail&_mbox=INBOX")
    listed(b, names)
    choose(b, "number 1")
    b.script("rcmail.command('mark', 'flagged');")
    tap.ok(wait_for(lambda: subjects(server, "INBOX", "FLAGGED") == ["number 1"]), f"{title}: flags", subjects(server, "INBOX", "FLAGGED"))

    b.until(READY)
    choose(b, "number 4")
    b.script("rcmail.move_messages('Work');")
    rest = [n for n in names if n != "number 4"]
    good = listed(b, rest) and wait_for(lambda: subjects(server, "Work") == ["number 4"] and subjects(server, "INBOX", "UNDELETED") == rest)
    tap.ok(good, f"{title}: moves", subjects(server, "Work"), subjects(server, "INBOX", "UNDELETED"))

    choose(b, "number 5")
    b.script("rcmail.command('delete');")
    rest.remove("number 5")
    good = listed(b, rest) and wait_for(lambda: subjects(server, "Trash") == ["number 5"] and subjects(server, "INBOX", "UNDELETED") == rest)
    tap.ok(good, f"{title}: deletes into the Trash", subjects(server, "Trash"), subjects(server, "INBOX", "UNDELETED"))

    b.until(READY)
    b.script("document.getElementById('mailsearchform').value = 'number 2'; rcmail.command('search');")
    tap.ok(listed(b, ["number 2"]), f"{title}: searches", b.script(f"return {LIST};"))

    c = server.login("alice")
    c.append("INBOX", "", None, mail(9))
    c.logout()
    b.script("rcmail.command('reset-search');")
    b.until(READY)
    b.script("rcmail.command('checkmail');")
    tap.ok(listed(b, sorted(rest + ["number 9"])), f"{title}: finds new mail", b.script(f"return {LIST};"))

    b.go(f"{url}?_task=mail&_action=compose&_to=ann@example.org")
    b.until(f"{READY} && document.getElementById('compose-subject')")
    b.script("""document.getElementById('compose-subject').value = 'a draft'; document.getElementById('composebody').value = 'grüße';
      rcmail.command('savedraft');""")
    tap.ok(wait_for(lambda: subjects(server, "Drafts") == ["a draft"], 30), f"{title}: saves a draft", subjects(server, "Drafts"))
    b.script("rcmail.compose_skip_unsavedcheck = true; window.onbeforeunload = null;")

    b.go(f"{url}?_task=settings&_action=edit-folder&_mbox=")
    b.until(f"{READY} && document.getElementById('_name')")
    b.script("document.getElementById('_name').value = 'Grüße'; rcmail.command('save');")
    tap.ok(wait_for(lambda: subjects(server, "Gr&APwA3w-e") == [], 30), f"{title}: makes a folder with a name beyond ASCII",
           subjects(server, "Gr&APwA3w-e"), b.script("return document.body.innerText.slice(0, 300);"))
    b.go(f"{url}?_task=mail")
    b.until(READY)
    b.script("rcmail.command('logout');")
    tap.ok(b.until("document.getElementById('rcmloginuser')"), f"{title}: logs out")


def run(servers, folder):
    processes, log, browser = [], open(f"{folder}/out", "wb"), None

    def start(*command, **environment):
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "HOME": folder, **environment}))
    try:
        port = free_port()
        start("chromedriver", f"--port={port}", f"--log-path={folder}/chromedriver.log")
        assert wait_for(lambda: answers(port), 30), "no chromedriver"
        browser = Browser(port, folder)
        for s in servers:
            place, web = f"{folder}/{s.driver}", free_port()
            for d in ("config", "temp", "log"):
                os.makedirs(f"{place}/{d}")
            for f in ("defaults.inc.php", "mimetypes.php"):
                os.symlink(f"/etc/roundcube/{f}", f"{place}/config/{f}")
            with open(f"{place}/config/config.inc.php", "w") as f:
                f.write(CONFIGURATION % {"dir": place, "port": s.port})
            with open(f"{HOME}/SQL/sqlite.initial.sql", "rb") as f:
                subprocess.run(["sqlite3", f"{place}/db.sqlite"], stdin=f, check=True)
            start("php", "-d", f"session.save_path={place}/temp", "-S", f"127.0.0.1:{web}", "-t", "/var/lib/roundcube",
                  ROUNDCUBE_CONFIG_DIR=f"{place}/config", PHP_CLI_SERVER_WORKERS="3")
            assert wait_for(lambda: answers(web), 30), "no web server"
            try:
                check(browser, f"http://127.0.0.1:{web}/", s, s.driver)
            except Exception:
                browser.screenshot(f"{folder}/screen.png")
                raise
    finally:
        if browser is not None:
            browser.close()
        for p in reversed(processes):
            os.killpg(p.pid, 15)
            p.wait()
        log.close()


servers, folder = [], tempfile.mkdtemp(prefix="mortise-test-", dir="/tmp")
try:
    for driver in drivers:
        server = Server(users=["alice"], driver=driver)
        servers.append(server.start())
        c = server.login("alice")
        for n in range(6):
            c.append("INBOX", "", None, mail(n))
        c.create("Work")
        c.subscribe("Work")
        c.logout()
    run(servers, folder)
finally:
    for s in servers:
        s.__exit__(sys.exc_info()[0])
    if sys.exc_info()[0] is None:  # else its logs and the last screen are kept
        shutil.rmtree(folder, ignore_errors=True)
tap.done()
