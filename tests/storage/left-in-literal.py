#!/usr/bin/python3
"""Clients that leave, and sessions that are killed, in the middle of the first message of an INBOX: others see a whole mailbox.

The first APPEND makes the mailbox. Another session asks for its STATUS at that moment, and must be told of no damage; what is
there afterwards is what was acknowledged.
"""
import os
import signal
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mortise import PASSWORD, Server, Tap

tap = Tap()
USERS = [f"u{i:02}" for i in range(40)]
MESSAGE = b"Subject: whole\r\n\r\ntext\r\n"


class Line:
    """A connection by hand, that can be left at any octet."""

    def __init__(self, server, user):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.stream = self.socket.makefile("rb")
        self.stream.readline()
        self.command(f"a LOGIN {user} {PASSWORD}")

    def send(self, octets):
        self.socket.sendall(octets)

    def command(self, text):
        self.send(text.encode() + b"\r\n")
        lines = []
        while True:
            line = self.stream.readline()
            lines.append(line)
            if line == b"" or line.startswith((b"a ", b"+ ")):
                return lines

    def leave(self, roughly):
        if roughly:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()
        self.socket.close()


def one(server, user, i, answers):
    watcher = Line(server, user)
    before = set(server.sessions()) if i % 4 == 3 else set()
    writer = Line(server, user)
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            answers.append(watcher.command("a STATUS INBOX (MESSAGES UIDNEXT)")[-1])

    thread = threading.Thread(target=watch)
    thread.start()
    writer.command("a APPEND INBOX {2000}")
    writer.send(b"Subject: half\r\n\r\n" + b"x" * (i * 40))
    if before:
        for pid in set(server.sessions()) - before:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    writer.leave(i % 2)
    other = Line(server, user)
    other.command(f"a APPEND INBOX {{{len(MESSAGE)}}}")
    answers.append(other.command(MESSAGE.decode())[-1])
    stop.set()
    thread.join()
    last = watcher.command("a STATUS INBOX (MESSAGES)")
    watcher.leave(False)
    other.leave(False)
    return last


for driver in ("mbx", "unix", "maildir"):
    with Server(users=USERS, driver=driver) as server:
        answers, counts = [], []
        for i, user in enumerate(USERS):
            counts.append(one(server, user, i, answers)[0])
        bad = [a for a in answers if not a.startswith(b"a OK")]
        tap.ok(not bad, f"{driver}: nobody is told of damage, {len(USERS)} times", bad[:5], server.log()[-1500:] if bad else "")
        tap.ok(all(b"MESSAGES 1)" in c for c in counts), f"{driver}: one message each is there", counts)
tap.done()
