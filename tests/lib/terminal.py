"""terminal.py: a program in a terminal, as a person sees it.

    with Terminal(["mutt", "-F", rc]) as t:
        t.shows("subject 3")            # waits until the screen does
        t.type("q")

The screen is pyte's, so that what a program draws with cursor movements is read as it looks. The program is stopped by its
own pid."""
import os
import pty
import re
import select
import signal
import time

import pyte

LINES, COLUMNS = 40, 132


class Terminal:
    def __init__(self, command, cwd="/", **environment):
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.environ.update(TERM="linux", LINES=str(LINES), COLUMNS=str(COLUMNS), LC_ALL="C.UTF-8", **environment)
            os.execvp(command[0], command)

    def _read(self, seconds):
        """False when the program has closed its terminal."""
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.stream.feed(data)
        return True

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, pattern, seconds=30):
        """Waits until the screen shows what the pattern describes; false at the end of the time or of the program."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text()):
            if time.monotonic() > end or not self._read(0.2):
                return bool(re.search(pattern, self.text()))
        return True

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def ends(self, seconds=30):
        """Waits for the program's end: its exit status, or None when it was killed after the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._read(0.2):
            pass
        while self.status is None and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.05)
        return self.status

    def close(self):
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except (ProcessLookupError, ChildProcessError):
                pass
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
