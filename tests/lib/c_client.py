"""What the tests with the real c-client library begin with: two programs that are driven alike, one with c-client and one
with a driver of ours, run by nobody, since c-client serves no root."""
import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
import time

from mortise import BUILD, NOBODY

CCLIENT = f"{BUILD}/tests/interop/cclient-dump"
ROOT = os.getuid() == 0
PREFIX = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--"] if ROOT else []


class Pair:
    """c-client and our driver `name`, with a folder of their own. Skips the whole test when one of them is not built."""

    def __init__(self, tap, name):
        self.ours = f"{BUILD}/modules/{name}/drive"
        for tool, why in ((CCLIENT, "libc-client is not installed"), (self.ours, "cmocka is not installed")):
            if not os.path.exists(tool):
                tap.skip(f"c-client and the {name} driver on the same mailbox", why)
                tap.done()
        self.base = tempfile.mkdtemp(prefix=f"mortise-cclient-{name}-")
        os.chmod(self.base, 0o755)
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": self.base, "LOGNAME": "someone"}

    def run(self, *words, **more):
        return subprocess.run(PREFIX + list(words), capture_output=True, env=self.environment, timeout=120, **more)

    def start(self, *words):
        return subprocess.Popen(PREFIX + list(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=self.environment)


def give(path):
    """To nobody."""
    if ROOT:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


def write(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)
    give(path)


@contextlib.contextmanager
def locked(box):
    """c-client's lock for parsing and changing a file that sessions share."""
    st = os.stat(box)
    path = f"/tmp/.{st.st_dev:x}.{st.st_ino:x}"
    while True:
        try:
            fd = os.open(path, os.O_RDWR | (0 if os.path.exists(path) else os.O_CREAT | os.O_EXCL), 0o666)
        except (FileExistsError, FileNotFoundError):
            continue
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink == 1:
            break
        os.close(fd)
    os.fchmod(fd, 0o666)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(fd)


def wait_until_tried(pid, box, tries=3):
    """Until the process has tried to get that lock, and sleeps between its tries. Seen by the times that it gave up the
    processor: it does nothing else meanwhile."""
    def switches():
        with open(f"/proc/{pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))
    before, end = switches(), time.monotonic() + 20
    while switches() < before + tries:
        if time.monotonic() > end:
            raise TimeoutError(f"process {pid} does not wait for the lock of {box}")
        time.sleep(0.005)


def flag_in_place(box, uid, bits):
    """As c-client does it, under the lock."""
    with open(box, "r+b") as f:
        data = f.read()
        tail = re.search(rb"[0-9a-f]{8}([0-9a-f]{4})-%08x\r\n" % uid, data[2048:])
        f.seek(2048 + tail.start(1))
        f.write(b"%04x" % (int(tail.group(1), 16) | bits))
        f.seek(2038)
        f.write(b"%08x\r\n" % os.getpid())
    second = int(os.stat(box).st_mtime)
    os.utime(box, (time.time(), second))
