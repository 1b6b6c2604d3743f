#!/usr/bin/env python3
"""STARTTLS and TLS as a client that means ill uses them."""
import atexit
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import warnings

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import BUILD, PASSWORD, Server, Tap, read_line, wait_for  # noqa: E402

tap = Tap()
warnings.simplefilter("ignore", DeprecationWarning)  # old TLS versions are what is tested


def connect(port):
    c = socket.create_connection(("127.0.0.1", port), 10)
    c.settimeout(10)
    return c


def context(s, low=ssl.TLSVersion.TLSv1_2, high=ssl.TLSVersion.TLSv1_3, alpn=None, ciphers=None):
    x = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    x.load_verify_locations(s.path("tls/certificate.pem"))
    x.minimum_version, x.maximum_version = low, high
    if alpn:
        x.set_alpn_protocols(alpn)
    if ciphers:
        x.set_ciphers(ciphers)
    return x


def handshake(s, x, name="localhost"):
    """The greeting, or what went wrong."""
    try:
        with x.wrap_socket(connect(s.tls_port), server_hostname=name) as t:
            return read_line(t)
    except (ssl.SSLError, OSError) as e:
        return e


def starttls(s, command):
    """Sends the octets, reads the answer to STARTTLS, shakes hands; the TLS socket."""
    c = connect(s.port)
    read_line(c)
    c.sendall(command)
    while not read_line(c).startswith(b"s OK"):
        pass
    return context(s).wrap_socket(c, server_hostname="localhost")


def client(s, *arguments):
    p = subprocess.run([f"{BUILD}/tests/roles/tls-client", str(s.tls_port), *arguments], capture_output=True, timeout=60)
    return p.stdout.decode()


with Server(driver="memory", users=["alice"], settings={"limits": 'limits = { login_time = "3s"; };'}) as s:
    # attack-001: what follows STARTTLS in the same segment is thrown away.
    t = starttls(s, f"s STARTTLS\r\nx LOGIN alice {PASSWORD}\r\ny NOOP\r\n".encode())
    t.sendall(b"a NOOP\r\n")
    answer = read_line(t)
    tap.ok(answer.startswith(b"a OK"), "commands injected behind STARTTLS are not executed", answer)
    # attack-006, attack-007
    t.sendall(b"b STARTTLS\r\n")
    tap.ok(read_line(t).startswith(b"b BAD"), "STARTTLS under TLS is refused")
    # attack-014
    t.sendall(b"c CAPABILITY\r\n")
    answer = read_line(t)
    tap.ok(b"STARTTLS" not in answer and b"LOGINDISABLED" not in answer, "and no longer offered", answer)
    t.close()

    # attack-004: the same one segment later, before the ClientHello.
    c = connect(s.port)
    read_line(c)
    c.sendall(b"s STARTTLS\r\n")
    read_line(c)
    c.sendall(b"x NOOP\r\n" * 4)
    try:
        rest = c.recv(4096)
    except OSError:
        rest = b""
    tap.ok(b"OK" not in rest and s.logged("MRT-0652"), "octets in clear where a ClientHello belongs end the connection", rest)

    # attack-005: a command begun in clear is not finished under TLS; attack-011: nor is anything counted on.
    t = starttls(s, b"bad\r\n" * 9 + b"s STARTTLS\r\nx LOGIN alice ")
    t.sendall(f"{PASSWORD}\r\na NOOP\r\n".encode())
    lines = [read_line(t), read_line(t)]
    tap.ok(b"BAD" in lines[0] and lines[1].startswith(b"a OK"), "half a command in clear is forgotten under TLS", lines)
    t.close()

    # attack-009, attack-010
    c = connect(s.port)
    read_line(c)
    c.sendall(b"a AUTHENTICATE PLAIN\r\n")
    read_line(c)
    c.sendall(b"s STARTTLS\r\n")
    answer = read_line(c)
    tap.ok(answer.startswith(b"a BAD"), "STARTTLS inside AUTHENTICATE is not STARTTLS", answer)
    c.close()

    # attack-015
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        got = handshake(s, context(s, version, version, ciphers="ALL:@SECLEVEL=0"))
        tap.ok(isinstance(got, Exception), f"{version.name} is refused", got)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        got = handshake(s, context(s, version, version))
        tap.ok(isinstance(got, bytes) and got.startswith(b"* OK"), f"{version.name} is spoken", got)
    # attack-017
    for ciphers in ("AES128-SHA:@SECLEVEL=0", "aNULL:@SECLEVEL=0", "eNULL:@SECLEVEL=0", "ECDHE+AES+SHA1:@SECLEVEL=0"):
        got = handshake(s, context(s, high=ssl.TLSVersion.TLSv1_2, ciphers=ciphers))
        tap.ok(isinstance(got, Exception), f"{ciphers.split(':')[0]} is refused", got)
    # attack-024
    got = handshake(s, context(s, alpn=["imap"]))
    tap.ok(isinstance(got, bytes) and got.startswith(b"* OK"), "ALPN imap is agreed to", got)
    for alpn in (["http/1.1"], ["pop3"], ["h2", "http/1.1"]):
        got = handshake(s, context(s, alpn=alpn))
        tap.ok(isinstance(got, Exception), f"ALPN {alpn} is refused", got)
    # attack-029
    x = context(s)
    x.check_hostname = False
    for name in ("x" * 63 + "." + "y" * 63, "other.example", "a_b.example"):
        got = handshake(s, x, name)
        tap.ok(isinstance(got, bytes) and got.startswith(b"* OK"), f"the server name {name[:20]} gets the one certificate", got)

    # attack-016
    tap.ok("a OK" not in client(s, "renegotiate"), "renegotiation is refused")
    # attack-018, attack-032
    got = client(s, "early")
    tap.ok(got == "a OK NOOP completed\r\n0 tickets, 0 octets early\n", "no tickets, so no early data, no resumption", got)
    # attack-019
    got = client(s, "key-updates", "10")
    tap.ok("a OK" in got, "a few key updates are in order", got)
    got = client(s, "key-updates", "1000")
    tap.ok("a OK" not in got, "a flood of them ends the connection", got)
    # attack-020
    t = context(s).wrap_socket(connect(s.tls_port), server_hostname="localhost")
    read_line(t)
    for octet in b"a NOOP\r\nb NOOP\r\n":
        t.send(bytes([octet]))
    tap.ok(read_line(t).startswith(b"a OK") and read_line(t).startswith(b"b OK"), "records of one octet are put together")
    t.close()

    # attack-022: stalled before, and in the middle of, the ClientHello.
    for octets in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
        c = connect(s.tls_port)
        c.sendall(octets)
        began = time.monotonic()
        try:
            rest = c.recv(4096)
        except OSError:
            rest = b""
        tap.ok(rest == b"" and time.monotonic() - began < 9, f"a handshake stalled after {len(octets)} octets ends in time")

    # The proxy: much data both ways, end of file both ways.
    t = context(s).wrap_socket(connect(s.tls_port), server_hostname="localhost")
    read_line(t)
    t.sendall(f"a LOGIN alice {PASSWORD}\r\n".encode() + b"b NOOP\r\n" * 5000 + b"c LOGOUT\r\n")
    data = b""
    while True:
        got = t.recv(65536)
        if not got:
            break
        data += got
    tap.ok(data.count(b"b OK") == 5000 and b"c OK" in data, "what is pipelined behind LOGIN under TLS arrives whole",
           len(data), data[-200:])
    t.close()
    # attack-023: the client's end reaches the session, whatever way it comes.
    for how in ("close_notify", "fin", "rst"):
        t = context(s).wrap_socket(connect(s.tls_port), server_hostname="localhost")
        read_line(t)
        t.sendall(f"a LOGIN alice {PASSWORD}\r\n".encode())
        read_line(t)
        count = s.log().count("MRT-0836")
        if how == "rst":
            t.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            t.close()
        elif how == "fin":
            t.shutdown(socket.SHUT_WR)
        else:
            try:
                t.settimeout(5)
                t.unwrap()
            except OSError:
                pass
        tap.ok(wait_for(lambda: s.log().count("MRT-0836") > count), f"a session under TLS ends with its client's {how}")
        t.close()

# attack-012: no password in clear, and the client is told so.
with Server(driver="memory", users=["alice"], settings={"auth": 'auth = { failure_delay = "10ms"; };'}) as s:
    c = connect(s.port)
    greeting = read_line(c)
    tap.ok(b"LOGINDISABLED" in greeting and b"AUTH=PLAIN" not in greeting, "LOGINDISABLED stands in the greeting", greeting)
    c.sendall(f"a LOGIN alice {PASSWORD}\r\n".encode())
    tap.ok(read_line(c).startswith(b"a NO [PRIVACYREQUIRED]"), "and LOGIN in clear is refused")
    t = starttls(s, b"s STARTTLS\r\n")
    t.sendall(f"a LOGIN alice {PASSWORD}\r\n".encode())
    tap.ok(read_line(t).startswith(b"a OK"), "and taken under TLS")



def record_sizes(s):
    """The sizes of the records that a long answer comes in, as they are on the wire."""
    c, coming, going = connect(s.tls_port), ssl.MemoryBIO(), ssl.MemoryBIO()
    t, raw, text = context(s).wrap_bio(coming, going, server_hostname="localhost"), b"", b""

    def more():
        nonlocal raw
        c.sendall(going.read())
        data = c.recv(65536)
        raw += data
        coming.write(data)

    def until(done):
        nonlocal text
        while not done():
            try:
                text += t.read(65536)
            except ssl.SSLWantReadError:
                more()
    while True:
        try:
            t.do_handshake()
            break
        except ssl.SSLWantReadError:
            more()
    t.write(f"a LOGIN alice {PASSWORD}\r\nb APPEND INBOX {{100000+}}\r\n".encode() + b"x" * 100000 +
            b"\r\nc SELECT INBOX\r\nd FETCH 1 BODY[]\r\n")
    until(lambda: b"d OK" in text)
    c.close()
    sizes = []
    while len(raw) >= 5:
        if raw[0] == 23:
            sizes.append(int.from_bytes(raw[3:5], "big"))
        raw = raw[5 + int.from_bytes(raw[3:5], "big"):]
    return sizes


for size, least, most in (("", 10000, 16384 + 64), ("record_size = 2048;", 1024, 2048 + 64)):
    s = Server(driver="memory", users=["alice"])
    s.settings["tls"] = f'tls = {{ certificate = "{s.path("tls/certificate.pem")}"; key = "{s.path("tls/key.pem")}"; {size} }};'
    s.write_config()
    with s:
        sizes = record_sizes(s)
        tap.ok(least < max(sizes) <= most, f"records are as large as may be{' with ' + size if size else ''}", sizes)

# attack-155: a key that everybody can read.
s = Server(driver="memory", users=["alice"])
atexit.register(shutil.rmtree, s.dir, True)
os.chmod(s.path("tls/key.pem"), 0o644)
status = subprocess.run(s.as_user(s.command("--check-config")), capture_output=True, text=True)
tap.ok(status.returncode == 78 and "MRT-0651" in status.stderr, "a private key open to others is refused", status.stderr)
shutil.rmtree(s.dir)

tap.done()
