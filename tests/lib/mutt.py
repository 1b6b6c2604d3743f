"""mutt.py: mutt in a terminal, on a folder of a Server's user."""
import os
import pty
import select
import signal
import time

PROGRAM = "/usr/bin/mutt"
SETTINGS = ("set quit=yes\nset delete=yes\nset confirmappend=no\nset mark_old=no\nset wait_key=no\nset sort=mailbox-order\n"
            "set auto_tag=no\nunset help\nset header_cache=\"\"\nset tmpdir=/tmp\n")


def installed():
    return os.path.exists(PROGRAM)


def run(server, home, folder, keys, mbox_type):
    """Pushes the keys; ends when they are done. Its exit status and the last it showed."""
    with open(f"{home}/muttrc", "w") as f:
        f.write(f"set mbox_type={mbox_type}\n{SETTINGS}")
    command = server.as_user([PROGRAM, "-n", "-F", f"{home}/muttrc", "-f", folder, "-e", f'push "{keys}"'])
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(HOME=home, TERM="vt100", LC_ALL="C", EDITOR="true", MAIL="/dev/null")
        os.chdir(home)
        os.execvp(command[0], command)
    seen, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    return os.waitpid(pid, 0)[1], seen[-500:]
