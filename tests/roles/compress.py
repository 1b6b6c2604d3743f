#!/usr/bin/env python3
"""COMPRESS=DEFLATE (RFC 4978), in clear and under TLS, with clients that mean ill among them: attack-094."""
import os
import re
import ssl
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import PASSWORD, Server, Tap, wait_for  # noqa: E402

tap = Tap()


class Client:
    """A client that can compress; lines in, lines out."""

    def __init__(self, sock):
        self.sock, self.buffer, self.z, self.raw = sock, b"", None, 0
        sock.settimeout(20)
        self.line()

    def send(self, octets):
        if self.z:
            octets = self.z.compress(octets) + self.z.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(octets)

    def more(self):
        octets = self.sock.recv(65536)
        self.raw += len(octets)
        if not octets:
            raise EOFError
        self.buffer += self.d.decompress(octets) if self.z else octets

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def command(self, text):
        """All lines up to the tagged one."""
        self.send(b"t " + text + b"\r\n")
        lines = [self.line()]
        while not lines[-1].startswith(b"t "):
            lines.append(self.line())
        return lines

    def login(self):
        return self.command(b'LOGIN alice "' + PASSWORD.encode() + b'"')

    def compress(self, window=-15):
        answer = self.command(b"COMPRESS DEFLATE")[-1]
        self.z, self.d = zlib.compressobj(6, zlib.DEFLATED, window), zlib.decompressobj(-15)
        return answer


def secure(s):
    x = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    x.load_verify_locations(s.path("tls/certificate.pem"))
    return x.wrap_socket(s.connect_raw(s.tls_port), server_hostname="localhost")


def conversation(s, sock, how):
    c = Client(sock)
    tap.ok(c.command(b"COMPRESS DEFLATE")[-1].startswith(b"t BAD"), f"{how}: not before login")
    tap.ok(b" COMPRESS=DEFLATE" in b" ".join(c.login()), f"{how}: offered after login (RFC 4978 §3)")
    for wrong in (b"COMPRESS", b"COMPRESS LZ4", b"COMPRESS DEFLATE x"):
        tap.ok(c.command(wrong)[-1].startswith(b"t BAD"), f"{how}: {wrong.decode()} is BAD")
    tap.ok(c.compress().startswith(b"t OK"), f"{how}: COMPRESS DEFLATE is taken")
    tap.ok(c.command(b"NOOP")[-1].startswith(b"t OK"), f"{how}: commands and answers go compressed")
    tap.ok(c.command(b"COMPRESS DEFLATE")[-1].startswith(b"t NO [COMPRESSIONACTIVE]"), f"{how}: only once (§3)")
    text = b"Subject: large\r\n\r\n" + b"".join(b"line %d of a message\r\n" % i for i in range(100000))
    tap.ok(c.command(b"APPEND INBOX {%d+}\r\n" % len(text) + text)[-1].startswith(b"t OK"), f"{how}: a large APPEND")
    c.command(b"SELECT INBOX")
    before = c.raw
    c.send(b"t FETCH * BODY.PEEK[]\r\n")
    head = c.line()
    while not re.search(rb"\{%d\}\r$" % len(text), head):
        head = c.line()
    while len(c.buffer) < len(text):
        c.more()
    tap.ok(c.buffer[: len(text)] == text, f"{how}: a large FETCH comes whole")
    tap.ok(c.raw - before < len(text) / 2, f"{how}: in less than half of the octets", f"{c.raw - before} of {len(text)}")
    while not c.line().startswith(b"t OK"):
        pass
    c.send(b"t IDLE\r\n")
    c.line()
    other = Client(s.connect_raw(s.port))
    other.login()
    other.command(b"APPEND INBOX {17+}\r\nSubject: x\r\n\r\nx\r\n")
    tap.ok(b"EXISTS" in c.line(), f"{how}: IDLE holds nothing back")
    c.send(b"DONE\r\n")
    while not c.line().startswith(b"t OK"):
        pass
    c.send(b"t NOOP\r\n" * 1000)
    tap.ok(all(c.line().startswith(b"t OK") for _ in range(1000)), f"{how}: pipelined commands")
    tap.ok(c.command(b"LOGOUT")[-1].startswith(b"t OK"), f"{how}: LOGOUT")


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])


def hostile(s):
    c = Client(s.connect_raw(s.port))
    c.login()
    c.compress()
    c.sock.sendall(b"\xff\xfe\xfd this is no DEFLATE")
    try:
        while True:
            c.more()
    except (EOFError, OSError, zlib.error):
        tap.ok(True, "what is no DEFLATE ends the session")

    # 200 MB of one line in 200 kB: refused once, and never in memory.
    c = Client(s.connect_raw(s.port))
    c.login()
    c.compress()
    pid = wait_for(lambda: s.sessions())[-1]
    before = memory(pid)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = bytes(1 << 20).replace(b"\0", b"x")
    octets = b"".join(bomb.compress(piece) for _ in range(200)) + bomb.compress(b"\r\nt NOOP\r\n") + bomb.flush(zlib.Z_SYNC_FLUSH)
    c.sock.sendall(octets)
    line = c.line()
    tap.ok(b"BAD" in line, "a line of 200 MB is refused", line)
    while not line.startswith(b"t OK"):
        line = c.line()
    tap.ok(memory(pid) - before < 4096, "and takes no memory", f"{memory(pid) - before} KiB more")

    # A command behind COMPRESS that did not wait for its answer is no command.
    c = Client(s.connect_raw(s.port))
    c.login()
    c.sock.sendall(b"t COMPRESS DEFLATE\r\nx NOOP\r\n")
    c.line()
    c.z, c.d = True, zlib.decompressobj(-15)
    try:
        while b"x OK" not in c.buffer:
            c.more()
        tap.ok(False, "octets in clear behind COMPRESS are no commands")
    except (EOFError, OSError, zlib.error):
        tap.ok(True, "octets in clear behind COMPRESS are no commands")

    c = Client(s.connect_raw(s.port))
    c.login()
    c.compress(window=-9)
    tap.ok(c.command(b"NOOP")[-1].startswith(b"t OK"), "a small window of the client's")


with Server(settings={"auth": "auth = { plaintext_without_tls = true; };"}) as s:
    import socket

    s.connect_raw = lambda port: socket.create_connection(("127.0.0.1", port), 20)
    conversation(s, s.connect_raw(s.port), "in clear")
    conversation(s, secure(s), "under TLS")
    hostile(s)
tap.done()
