#!/usr/bin/env python3
"""Every limit before login is hit once: the client is told, the log names the limit, others are still served."""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import Server, Tap, read_line, wait_for  # noqa: E402

tap = Tap()


def connect(s, port=None):
    c = socket.create_connection(("127.0.0.1", port or s.port), 10)
    c.settimeout(10)
    return c


def read_all(c, limit=1 << 20):
    """Until the server closes."""
    data = b""
    try:
        while len(data) < limit:
            got = c.recv(65536)
            if not got:
                return data
            data += got
    except (socket.timeout, ConnectionResetError):
        pass
    return data


def closed(c):
    c.setblocking(False)
    try:
        while True:
            if c.recv(4096) == b"":
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        try:
            c.setblocking(True)
        except OSError:
            pass


def try_login(s):
    try:
        return s.login("alice")
    except s.connect().error:
        return None


def server(limits, more="", **kw):
    return Server(driver="memory", settings={"process": "process = { fronts = 1; };", "limits": f"limits = {{ {limits} }};"},
                  config=more, **kw)


# attack-026
with server("bad_commands = 5;") as s:
    c = connect(s)
    read_line(c)
    c.sendall(b"a BOGUS\r\n" * 4 + b"b NOOP\r\n" + b"a BOGUS\r\n" * 4)
    lines = [read_line(c) for _ in range(9)]
    tap.ok(lines[4].startswith(b"b OK"), "a good command starts the count of bad ones again", lines)
    c.sendall(b"a BOGUS\r\n")
    rest = read_all(c)
    tap.ok(b"* BYE" in rest, "too many bad commands: BYE and the end", rest)
    tap.ok(s.logged("MRT-0825"), "and the log says why")

    # attack-025
    c = connect(s)
    read_line(c)
    c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    tap.ok(read_all(c) == b"", "a web browser is closed at once, without a word")

    # attack-027
    c = connect(s)
    read_line(c)
    c.sendall(b"<script>alert(1)</script> NOOP\r\n")
    tap.ok(b"script" not in read_line(c), "markup in a tag is not sent back")

    # attack-075, attack-076, attack-081
    for name, octets in (("a tag of 10 KB", b"x" * 10240 + b" NOOP\r\n"), ("a literal of 4 GiB", b"a LOGIN {4294967295}\r\n"),
                         ("a literal with too many digits", b"a LOGIN {99999999999999999999}\r\n"),
                         ("a negative literal", b"a LOGIN {-1}\r\n"),
                         ("a non-synchronising literal over LITERAL-", b"a LOGIN {4097+}\r\n" + b"x" * 4097 + b" y\r\n"),
                         ("a line of 100 KB", b"a LOGIN " + b"x" * 100000 + b" y\r\n"),
                         ("a million parentheses", b"a ID " + b"(" * 1000000 + b"\r\n")):
        c = connect(s)
        read_line(c)
        try:
            c.sendall(octets)
            c.sendall(b"\r\nb LOGOUT\r\n")
        except OSError:
            pass
        rest = read_all(c)
        tap.ok(b"BAD" in rest, f"{name} is refused", rest[:200])
    c = s.connect()
    tap.ok(c.noop()[0] == "OK", "and others are served")
    c.logout()

# attack-091, attack-033: commands by the hundred thousand whose replies nobody reads.
with server('output_buffer = "8k"; linger = "1s"; login_time = "20s";') as s:
    c = connect(s)
    read_line(c)
    c.settimeout(2)
    sent = 0
    try:
        while sent < 100000 * 14:
            sent += c.send(b"a CAPABILITY\r\n" * 1000)
    except (socket.timeout, BlockingIOError):
        pass
    front = [p for p in s.children() if open(f"/proc/{p}/comm").read().strip() == "front"][0]
    with open(f"/proc/{front}/status") as f:
        resident = [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0]
    tap.ok(resident < 40000, f"a client that does not read costs bounded memory (front has {resident} KiB)")
    tap.ok(s.connect().noop()[0] == "OK", "and others are served meanwhile")
    c.close()

# attack-033, after login: a session waits limits.write_timeout for a client that does not read, then it ends.
with server('write_timeout = "1s"; output_buffer = "8k";') as s:
    for kind in ("in clear", "under TLS"):
        c = s.connect() if kind == "in clear" else s.connect_tls()
        c.login("alice", "test-password")
        c.append("INBOX", None, None, b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" * 100000)
        c.select()
        ended = s.log().count("MRT-0836")
        c.send(b"a FETCH 1 BODY[]\r\n" * 200)
        tap.ok(wait_for(lambda: s.log().count("MRT-0836") > ended), f"a session {kind} does not wait for ever for its client to read")
        c.sock.close()

# attack-034
with server('login_time = "1s";') as s:
    c = connect(s)
    read_line(c)
    began = time.monotonic()

    def trickle():
        try:
            while True:
                c.sendall(b"n")
                time.sleep(0.1)
        except OSError:
            pass

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    rest = read_all(c)
    c.close()
    tap.ok(b"* BYE" in rest and time.monotonic() - began < 9, "who does not log in in time is closed, busy or not", rest)
    tap.ok(s.logged("MRT-0823"), "and the log says so")

# attack-035
with server("connections_before_login = 20; connections_per_address = 1000;") as s:
    held = [connect(s) for _ in range(60)]
    greeted = [read_line(c) for c in held]
    tap.ok(all(g.startswith(b"* OK") for g in greeted[40:]), "connections over limits.connections_before_login are still let in")
    ended = wait_for(lambda: sum(1 for c in held[:40] if closed(c)) == 40)
    tap.ok(ended, "the oldest are closed for them")
    tap.ok(s.login("alice").noop()[0] == "OK", "and somebody can still log in")
    tap.ok(s.logged("MRT-0822"), "and the log names the limit")

with server("connections = 10; connections_before_login = 100; connections_per_address = 1000;") as s:
    held = [connect(s) for _ in range(10)]
    for c in held:
        read_line(c)
    c = connect(s)
    tap.ok(read_all(c).startswith(b"* BYE"), "limits.connections: one more is turned away with BYE")
    tap.ok(s.logged("MRT-0820"), "and the log names the limit")
    held.pop().close()
    tap.ok(wait_for(lambda: read_line(connect(s)).startswith(b"* OK")), "and when one has gone there is room again")

# No descriptors left: accepting pauses, the oldest goes, and it goes on.
class Poor(Server):
    def command(self, *arguments):
        return ["prlimit", "--nofile=48:48"] + super().command(*arguments)


with Poor(driver="memory", settings={"process": "process = { fronts = 1; };"}) as s:
    held = []
    for _ in range(100):
        try:
            held.append(connect(s))
        except OSError:
            break
    tap.ok(s.logged("MRT-0824"), "when a front has no descriptor left the log says so")
    for c in held[:-1]:
        c.close()
    tap.ok(wait_for(lambda: try_login(s)), "and it serves on")

with server("connections_per_address = 5;") as s:
    held = [connect(s) for _ in range(5)]
    for c in held:
        read_line(c)
    tap.ok(read_all(connect(s)).startswith(b"* BYE"), "limits.connections_per_address: one more from there is turned away")
    tap.ok(s.logged("MRT-0821"), "and the log names the limit")
    other = socket.create_connection(("127.0.0.1", s.port), 10, source_address=("127.0.0.2", 0))
    other.settimeout(10)
    tap.ok(read_line(other).startswith(b"* OK"), "another address is let in")

with server("failed_logins = 2;") as s:
    c = connect(s)
    read_line(c)
    c.sendall(b"a LOGIN alice wrong\r\n")
    tap.ok(b"a NO [AUTHENTICATIONFAILED]" in read_line(c), "a wrong password is refused")
    c.sendall(b"b LOGIN nobody wrong\r\n")
    rest = read_all(c)
    tap.ok(b"b NO [AUTHENTICATIONFAILED]" in rest and b"* BYE" in rest, "and after the second one the connection ends", rest)

# attack-038
with server('sasl_response = "1k";') as s:
    c = connect(s)
    read_line(c)
    c.sendall(b"a AUTHENTICATE PLAIN\r\n")
    read_line(c)
    c.sendall(b"A" * 1028 + b"\r\n")
    tap.ok(read_line(c).startswith(b"a BAD"), "limits.sasl_response: a longer line is refused")
    c.sendall(b"b NOOP\r\n")
    tap.ok(read_line(c).startswith(b"b OK"), "and the connection goes on")

# limits.sessions*: kept by the spawner, over all fronts.
for limit, hits in (("sessions_per_user = 2", "sessions_per_user"), ("sessions = 2", "limits.sessions"),
                    ("sessions_per_address = 2", "sessions_per_address")):
    with server(limit + ";", users=["alice", "bob"]) as s:
        held = [s.login("alice"), s.login("alice" if "user" in limit else "bob")]
        c = connect(s)
        read_line(c)
        c.sendall(b"a LOGIN alice test-password\r\n")
        answer = read_line(c)
        tap.ok(answer.startswith(b"a NO [LIMIT]"), f"{limit}: one more is refused", answer)
        tap.ok(s.logged("MRT-0830.*" + hits), "and the log names the limit")
        if "user" in limit:
            tap.ok(s.login("bob").noop()[0] == "OK", "another user is let in")
        held[0].logout()
        tap.ok(wait_for(lambda: try_login(s)), "and when one has ended there is room again")

tap.done()
