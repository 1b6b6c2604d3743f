#!/usr/bin/env python3
"""SIGHUP: a good configuration takes over, a broken one does not, and no session notices either (attack-151, 152)."""
import os
import re
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import PASSWORD, Server, Tap, free_port, wait_for  # noqa: E402

tap = Tap()


def lives(c):
    try:
        return c.noop()[0] == "OK"
    except Exception:
        return False


def count(s, number):
    return s.log().count(number)


def reload(s, number):
    """Waits for one more message of that number (MRT-0806 in force, MRT-0807 refused)."""
    before = count(s, number)
    s.process.send_signal(signal.SIGHUP)
    return wait_for(lambda: count(s, number) > before)


def serving(s):
    """Pids of the fronts and the spawners (auth has workers that come and go)."""
    found = set()
    for p in s.children():
        try:
            with open(f"/proc/{p}/comm") as f:
                if f.read().strip() in ("front", "spawner"):
                    found.add(p)
        except OSError:
            pass
    return found


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as c:
            c.settimeout(5)
            return c.recv(4) == b"* OK"
    except OSError:
        return False


with Server(driver="memory", users=["alice"], settings={"process": "process = { fronts = 2; };"}) as s:
    clear, tls = s.login("alice"), s.connect_tls()
    tls.login("alice", PASSWORD)
    waiting = s.connect()  # not logged in yet
    generation = set(s.children()[1:])

    tap.ok(reload(s, "MRT-0806"), "a good configuration comes into force", s.log()[-1500:])
    tap.ok(lives(clear) and lives(tls), "sessions live on")
    tap.ok(waiting.login("alice", PASSWORD)[0] == "OK", "a connection of the old processes can still log in")
    waiting.logout()
    new = s.login("alice")
    tap.ok(lives(new), "and new ones are served by the new processes")
    tls.logout()
    clear.logout()
    tap.ok(wait_for(lambda: not (generation & set(s.children()))), "the old processes end with their last session",
           generation & set(s.children()))

    # attack-151
    good = s.config_text()
    for name, text in (("a syntax error", good + "limits = {"), ("an unknown option", good + "imap = { no_such_thing = 1; };"),
                       ("a value out of range", good + 'limits = { login_time = "99d"; };'),
                       ("a missing certificate", good.replace("certificate.pem", "none.pem")),
                       ("a required module that is not there", good + 'modules = ( { load = "nonesuch"; required = true; } );'),
                       ("an address that cannot be had", good.replace(f"127.0.0.1:{s.port}", "192.0.2.1:1"))):
        with open(s.path("imapd.conf"), "w") as f:
            f.write(text)
        family = serving(s)
        tap.ok(reload(s, "MRT-0807"), f"{name}: refused, and the log says so", s.log()[-1500:])
        tap.ok(lives(new) and lives(s.login("alice")), "and the old configuration serves")
        tap.ok(wait_for(lambda: serving(s) == family), "with the same processes")
    os.unlink(s.path("imapd.conf"))
    tap.ok(reload(s, "MRT-0807") and lives(s.login("alice")), "a configuration that is gone is refused, too")

    # Another address, another limit.
    port = free_port()
    with open(s.path("imapd.conf"), "w") as f:
        f.write(good.replace(f"127.0.0.1:{s.port}", f"127.0.0.1:{port}"))
    tap.ok(reload(s, "MRT-0806"), "addresses may change", s.log()[-1500:])
    tap.ok(greets(port), "the new one is served")
    tap.ok(wait_for(lambda: not greets(s.port)), "the old one is not any more")
    tap.ok(lives(new), "sessions live on")
    with open(s.path("imapd.conf"), "w") as f:
        f.write(good)
    tap.ok(reload(s, "MRT-0806") and greets(s.port), "and back")

# A listener that stays is the same socket: what waits in its queue is not lost. attack-152
with Server(driver="memory", users=["alice"], settings={"process": "process = { fronts = 2; };"}) as s:
    done = threading.Event()
    results = []

    def client():
        while not done.is_set():
            try:
                c = s.login("alice")
                results.append(c.noop()[0] == "OK")
                c.logout()
            except Exception as e:
                results.append(e)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    held = s.login("alice")
    for i in range(5):
        tap.ok(reload(s, "MRT-0806"), f"reload {i + 1} under load")
    # Many at once: they are taken one after the other, and the last one counts.
    for _ in range(20):
        s.process.send_signal(signal.SIGHUP)
    done.set()
    for t in threads:
        t.join()
    failed = [r for r in results if r is not True]
    tap.ok(results and not failed, f"{len(results)} logins meanwhile, none failed", failed[:5])
    tap.ok(lives(held), "and the session from before them all lives")
    held.logout()
    tap.ok(wait_for(lambda: len(serving(s)) == 3), "and when it has ended nothing is left over", serving(s))

# The log file is opened anew.
with Server(driver="memory", users=["alice"]) as s:
    s.settings["log"] = f'log = {{ target = "file"; file = "{s.path("home")}/log"; }};'
    s.write_config()
    reload(s, "MRT-0806")
    log = s.path("home") + "/log"

    def text():
        try:
            with open(log) as f:
                return f.read()
        except OSError:
            return ""

    s.login("alice").logout()
    tap.ok(wait_for(lambda: "MRT-0836" in text()), "the log may move to a file", s.log()[-500:])
    os.rename(log, log + ".1")
    s.process.send_signal(signal.SIGHUP)
    wait_for(lambda: os.path.exists(log))
    s.login("alice").logout()
    tap.ok(wait_for(lambda: "MRT-0836" in text()), "which may be rotated away")

# attack-153: a log that takes nothing.
fifo_dir = None
with Server(driver="memory", users=["alice"]) as s:
    os.mkfifo(s.path("home") + "/log")
    os.chmod(s.path("home") + "/log", 0o666)
    reader = os.open(s.path("home") + "/log", os.O_RDONLY | os.O_NONBLOCK)
    s.settings["log"] = f'log = {{ target = "file"; file = "{s.path("home")}/log"; }};'
    s.write_config()
    s.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len([1 for p in s.children() if "log" in open(f"/proc/{p}/comm").read()]) == 1)
    good = 0
    for _ in range(300):
        c = s.login("alice")
        good += c.noop()[0] == "OK"
        c.logout()
    tap.ok(good == 300, "a log that nobody reads holds nobody up")
    os.close(reader)

# Stopping: sessions are told, and the server is gone in time.
with Server(driver="memory", users=["alice"]) as s:
    clear, tls, early = s.login("alice"), s.connect_tls(), s.connect()
    tls.login("alice", PASSWORD)
    family = s.children()
    status = s.stop()
    tap.ok(status == 0, "SIGTERM: exit status 0", status)
    told = []
    for c in (clear, tls, early):
        try:
            data = b""
            c.sock.settimeout(5)
            while True:
                got = c.sock.recv(4096)
                if not got:
                    break
                data += got
        except OSError:
            pass
        told.append(data)
    tap.ok(all(re.match(rb"\* BYE ", t) for t in told), "everybody was told BYE", told)
    tap.ok(not [p for p in family if os.path.exists(f"/proc/{p}")], "and no process is left")
tap.done()
