#!/usr/bin/python3
"""A message of 1 GiB is appended and fetched in bounded memory (MORTISE_BIG_MIB sets another size)."""
import hashlib
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap

tap = Tap()
SIZE = int(os.environ.get("MORTISE_BIG_MIB", "1024")) << 20
LIMIT = 96 << 20  # octets of memory one process may have used, whatever the message's size


def line(f):
    return f.readline().rstrip(b"\r\n")


def until(f, tag):
    while True:
        text = line(f)
        if text.startswith(tag) or not text:
            return text


def peak(pids):
    most = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status") as s:
                most = max(most, int(re.search(r"VmHWM:\s+(\d+)", s.read()).group(1)) << 10)
        except (OSError, AttributeError):
            pass
    return most


header = b"From: big@example.org\r\nSubject: big\r\n\r\n"
row = b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r\n"
block = row * 1000
blocks = (SIZE - len(header)) // len(block)
total = len(header) + blocks * len(block)

with Server(users=["alice"], settings={}) as server:
    s = socket.create_connection(("127.0.0.1", server.port), 600)
    f = s.makefile("rb", 1 << 20)
    line(f)
    s.sendall(f'a LOGIN alice "{PASSWORD}"\r\n'.encode())
    tap.ok(until(f, b"a ").startswith(b"a OK"), "login")
    s.sendall(b"b APPEND INBOX {%d}\r\n" % total)
    tap.ok(line(f).startswith(b"+"), f"the server takes an APPEND of {total} octets")
    digest = hashlib.sha256(header)
    s.sendall(header)
    for _ in range(blocks):
        s.sendall(block)
        digest.update(block)
    s.sendall(b"\r\n")
    answer = until(f, b"b ")
    tap.ok(answer.startswith(b"b OK [APPENDUID"), "APPEND is OK", answer)
    s.sendall(b"c SELECT INBOX\r\n")
    tap.ok(until(f, b"c ").startswith(b"c OK"), "SELECT")
    s.sendall(b"d FETCH 1 (RFC822.SIZE BODY.PEEK[])\r\n")
    first = line(f)
    m = re.search(rb"RFC822.SIZE (\d+).*\{(\d+)\}$", first)
    tap.ok(m and int(m.group(1)) == total and int(m.group(2)) == total, "FETCH tells the right size", first)
    got, left = hashlib.sha256(), int(m.group(2)) if m else 0
    while left:
        data = f.read(min(left, 1 << 20))
        if not data:
            break
        got.update(data)
        left -= len(data)
    tap.ok(left == 0 and got.digest() == digest.digest(), "the text comes back octet for octet")
    tap.ok(until(f, b"d ").startswith(b"d OK"), "FETCH ends with OK")
    s.sendall(b"e FETCH 1 (BODYSTRUCTURE BODY.PEEK[TEXT]<%d.20>)\r\n" % (total - len(header) - 20))
    answer = line(f)
    tap.ok(b"BODYSTRUCTURE" in answer, "BODYSTRUCTURE of it", answer)
    until(f, b"e ")
    used = peak(server.children())
    tap.ok(0 < used < LIMIT, f"no process used more than {LIMIT >> 20} MiB ({used >> 20} MiB)")
    s.close()
tap.done()
