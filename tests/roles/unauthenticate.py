#!/usr/bin/env python3
"""UNAUTHENTICATE (RFC 8437): one connection under TLS, several users, nothing left of the one before."""
import os
import socket
import ssl
import sys
import zlib

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import PASSWORD, Server, Tap, wait_for  # noqa: E402

tap = Tap()


class Client:
    def __init__(self, s, tls=True):
        self.sock = socket.create_connection(("127.0.0.1", s.tls_port if tls else s.port), 20)
        if tls:
            x = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            x.load_verify_locations(s.path("tls/certificate.pem"))
            self.sock = x.wrap_socket(self.sock, server_hostname="localhost")
        self.sock.settimeout(20)
        self.buffer, self.z = b"", None
        self.greeting = self.line()

    def send(self, octets):
        self.sock.sendall(self.z.compress(octets) + self.z.flush(zlib.Z_SYNC_FLUSH) if self.z else octets)

    def line(self):
        while b"\n" not in self.buffer:
            octets = self.sock.recv(65536)
            if not octets:
                raise EOFError
            self.buffer += self.d.decompress(octets) if self.z else octets
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().rstrip("\r")

    def command(self, text):
        self.send(f"t {text}\r\n".encode())
        lines = [self.line()]
        while not lines[-1].startswith("t "):
            lines.append(self.line())
        return lines

    def login(self, user):
        return self.command(f'LOGIN {user} "{PASSWORD}"')[-1]

    def __call__(self, text):
        return self.command(text)[-1]


with Server(users=("alice", "bob"), settings={"auth": "auth = { plaintext_without_tls = true; };"}) as s:
    c = Client(s, tls=False)
    tap.ok(" UNAUTHENTICATE" not in c.login("alice"), "not offered in clear")
    tap.ok(c("UNAUTHENTICATE").startswith("t BAD"), "and BAD there")
    c("LOGOUT")

    c = Client(s)
    tap.ok(c("UNAUTHENTICATE").startswith("t BAD"), "BAD before login (RFC 8437 §3)")
    tap.ok(" UNAUTHENTICATE" in c.login("alice"), "offered under TLS")
    tap.ok(c("UNAUTHENTICATE now").startswith("t BAD"), "takes no argument")
    c("CREATE hers")
    c("ENABLE CONDSTORE QRESYNC")
    c("NOTIFY SET (personal (MessageNew MessageExpunge))")
    c("SELECT INBOX")
    tap.ok(c("UNAUTHENTICATE").startswith("t OK"), "OK in the selected state")
    tap.ok(wait_for(lambda: not s.sessions()), "the session process ends")
    tap.ok(c("LIST \"\" *").startswith("t BAD"), "nobody is logged in")
    before = c.command("CAPABILITY")[0]
    tap.ok("AUTH=" in before and " UNAUTHENTICATE" not in before and "STARTTLS" not in before, "capabilities of before login, under TLS", before)
    tap.ok(c('LOGIN bob "wrong"').startswith("t NO [AUTHENTICATIONFAILED]"), "a wrong password is one")
    tap.ok(c.login("bob").startswith("t OK"), "another user logs in on the same connection")
    names = c.command('LIST "" *')
    tap.ok(not any("hers" in x for x in names), "who sees his own mailboxes only", *names)
    tap.ok(c("FETCH 1 FLAGS").startswith("t BAD"), "no mailbox is selected")
    answer = c.command("SELECT INBOX (QRESYNC (1 1))")[-1]
    tap.ok(answer.startswith("t BAD"), "nothing is enabled (§4.1)", answer)

    for i in range(20):
        if not (c("UNAUTHENTICATE").startswith("t OK") and c.login(("alice", "bob")[i % 2]).startswith("t OK")):
            break
    tap.ok(i == 19, "twenty times")
    tap.ok(c("NOOP").startswith("t OK"), "and it still works")

    c("COMPRESS DEFLATE")
    c.z, c.d = zlib.compressobj(6, zlib.DEFLATED, -15), zlib.decompressobj(-15)
    tap.ok(c("UNAUTHENTICATE").startswith("t OK"), "with COMPRESS: the OK is compressed (§4.1)")
    c.z = None
    tap.ok(c.login("alice").startswith("t OK"), "and what follows is not")

    # Pipelined: the commands behind it are not lost in silence, and nobody is logged in by them.
    c.send(f't UNAUTHENTICATE\r\nt LOGIN bob "{PASSWORD}"\r\n'.encode())
    said = []
    try:
        while True:
            said.append(c.line())
    except (EOFError, OSError):
        pass
    tap.ok(any(x.startswith("* BYE") for x in said) and not any(x.startswith("t OK [CAP") for x in said), "pipelined commands end the connection", *said)

    # A session that is killed is the connection's end, not a way back.
    c = Client(s)
    c.login("alice")
    pid = wait_for(lambda: s.sessions())[-1]
    os.kill(pid, 9)
    try:
        c.line()
        tap.ok(False, "a session that dies ends the connection")
    except (EOFError, OSError):
        tap.ok(True, "a session that dies ends the connection")
    # Login time counts again.
    c = Client(s)
    c.login("alice")
    tap.ok(c("UNAUTHENTICATE").startswith("t OK") and c("LOGOUT").startswith("t OK"), "LOGOUT afterwards")
tap.done()
