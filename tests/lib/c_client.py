"""What the tests with the real c-client library begin with: two programs that are driven alike, one with c-client and one
with a driver of ours, run by nobody, since c-client serves no root."""
import os
import subprocess
import tempfile

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
