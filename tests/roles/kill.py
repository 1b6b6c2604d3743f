#!/usr/bin/env python3
"""The kill matrix: any process may be killed at any instant; it comes back, and other sessions go on (promise P10)."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import PASSWORD, Server, Tap, comm, wait_for  # noqa: E402

tap = Tap()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def roles(s, name):
    return [p for p in s.children() if comm(p) == name and alive(p)]


def slay(pid, sig=signal.SIGKILL):
    """Auth's workers end by themselves when auth is gone: that is no error."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def lives(c):
    try:
        return c.noop()[0] == "OK"
    except Exception:
        return False


def serves(s):
    try:
        c = s.login("alice")
        good = c.noop()[0] == "OK"
        c.logout()
        t = s.connect_tls()
        t.login("alice", PASSWORD)
        good = good and t.noop()[0] == "OK"
        t.logout()
        return good
    except Exception:
        return False


# Which sessions need which role: one in clear needs none; one under TLS needs the front that takes the TLS off.
survivors = {"log": ("clear", "tls"), "auth": ("clear", "tls"), "spawner": ("clear", "tls"), "front": ("clear",)}

for sig in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
    with Server(driver="memory", crashes=sig == signal.SIGSEGV,
                settings={"process": 'process = { fronts = 1; restart_delay = "10ms"; };'}) as s:
        for name, expected in survivors.items():
            sessions = {"clear": s.login("alice"), "tls": s.connect_tls()}
            sessions["tls"].login("alice", PASSWORD)
            victims = roles(s, name)
            for p in victims:
                slay(p, sig)
            came = wait_for(lambda: [p for p in roles(s, name) if p not in victims])
            tap.ok(came, f"{name} killed by {sig.name}: it is started again", s.log()[-1000:])
            tap.ok(wait_for(lambda: serves(s)), "and the server serves", s.log()[-1000:])
            for kind in expected:
                tap.ok(lives(sessions[kind]), f"and the session {'under TLS' if kind == 'tls' else 'in clear'} lives")
        tap.ok(s.logged(rf"MRT-0808.*front.*(signal {int(sig)} |status 1)"), "and the log tells of which signal they died")

# One session is killed, the others live.
with Server(driver="memory", users=["alice", "bob"], crashes=True) as s:
    one, other = s.login("alice"), s.login("bob")
    before = roles(s, "session")
    tap.ok(len(before) == 2, "each login has a process of its own", before)
    os.kill(before[0], signal.SIGKILL)
    tap.ok(wait_for(lambda: lives(one) != lives(other)), "a killed session ends one connection only")
    tap.ok(s.logged("MRT-0833.*signal 9"), "and the log tells")
    os.kill(roles(s, "session")[0], signal.SIGSEGV)
    tap.ok(s.logged("MRT-0833.*signal 11|ERROR: AddressSanitizer"), "a crashed one, too")
    tap.ok(wait_for(lambda: serves(s)), "and the server serves")

# Sessions whose spawner died still count, and stop counting when they end.
with Server(driver="memory", settings={"process": 'process = { restart_delay = "10ms"; };',
                                       "limits": "limits = { sessions_per_user = 2; };"}) as s:
    held = [s.login("alice"), s.login("alice")]
    victim = roles(s, "spawner")
    os.kill(victim[0], signal.SIGKILL)
    wait_for(lambda: [p for p in roles(s, "spawner") if p not in victim])

    def answer():
        c = s.connect()
        try:
            c.login("alice", PASSWORD)
            return "in"
        except c.error as e:
            return str(e)

    tap.ok(wait_for(lambda: "[LIMIT]" in answer()), "sessions of a dead spawner still count against the limit")
    held[0].logout()
    tap.ok(wait_for(lambda: answer() == "in"), "and are forgotten when they end")
    status = s.stop()
    tap.ok(status == 0, "the server stops with sessions of a dead spawner", status)
    tap.ok(not lives(held[1]), "and ends them")

# A role that dies at once, every time, is given up; the rest goes on.
with Server(driver="memory", settings={"process": 'process = { fronts = 1; restart_delay = "1ms"; restart_delay_max = "1ms"; restarts = 3; };'}) as s:
    held = s.login("alice")

    def given_up():
        for p in roles(s, "auth"):
            slay(p)
        return "MRT-0809" in s.log()

    tap.ok(wait_for(given_up), "a role that dies again and again is given up, and the log says so")
    tap.ok(lives(held), "sessions go on without it")
    c = s.connect()
    try:
        c.login("alice", PASSWORD)
        text = "in"
    except c.error as e:
        text = str(e)
    tap.ok("[UNAVAILABLE]" in text, "a login is told that it cannot be checked now, not that it is wrong", text)
    s.process.send_signal(signal.SIGHUP)
    tap.ok(wait_for(lambda: serves(s)), "a reload brings it back")

# The master itself: nobody starts it again (that is systemd's), but nobody's session ends with it.
with Server(driver="memory") as s:
    clear, tls = s.login("alice"), s.connect_tls()
    tls.login("alice", PASSWORD)
    family = s.children()[1:]
    os.kill(s.process.pid, signal.SIGKILL)
    s.process.wait()
    tap.ok(lives(clear) and lives(tls), "sessions outlive the master")
    clear.logout()
    tap.ok(s.logged("MRT-0836"), "and are still logged")
    tls.logout()
    tap.ok(wait_for(lambda: not [p for p in family if alive(p)]), "and when they have ended every process is gone",
           [(p, comm(p)) for p in family if alive(p)])
tap.done()
