"""private_host.py: a copy of this host for one test, to be root on.

    host = enter()          # first statement of the test; returns inside, or skips the test with its reason

The test is started again in name spaces of its own: network (so that ports 143 and 993 are free and nobody else hears),
mounts and processes. /etc is a copy, /run and the mail spool are empty, and where this build looks for its modules it
finds its own. Users are made there with the host's own tools. When the test ends, however it ends, the kernel takes all
of it away: nothing is written on the host.
"""
import fcntl
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys

from mortise import BUILD, find_binary, wait_for

MARK = "MORTISE_PRIVATE_HOST"
SPACES = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
DIR = "/run/mortise-test"


def skip_all(why):
    print(f"1..0 # SKIP {why}", flush=True)
    sys.exit(0)


def run(*command, **more):
    if "input" not in more:
        more["stdin"] = subprocess.DEVNULL
    p = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    if p.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: status {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        flags, = struct.unpack_from("H", fcntl.ioctl(s, 0x8913, struct.pack("16sH14x", b"lo", 0)), 16)  # SIOCGIFFLAGS
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))                                # SIOCSIFFLAGS, up


def empty(path, mode="0755"):
    run("mount", "-t", "tmpfs", "-o", f"mode={mode}", "none", path)


def copy_of_etc():
    """With owners, and in one mount, so that useradd can rename its files."""
    copy = f"{DIR}/etc"
    run("cp", "-a", "/etc", copy)
    run("mount", "--bind", copy, "/etc")


def hollow(path):
    """Makes `path` an empty directory without making anything on the host; what stands beside it stays."""
    parent = os.path.dirname(path)
    if path.startswith("/etc/"):  # a copy
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
    elif os.path.isdir(path):
        empty(path)
    elif not os.path.isdir(parent):
        hollow(parent)
        os.mkdir(path)
    else:
        if parent == "/":
            skip_all(f"{path} is on no file system of ours")
        kept = f"{DIR}/kept{path.replace('/', '-')}"
        os.mkdir(kept)
        run("mount", "--rbind", parent, kept)
        empty(parent)
        for name in os.listdir(kept):
            old, new = f"{kept}/{name}", f"{parent}/{name}"
            if os.path.islink(old):
                os.symlink(os.readlink(old), new)
                continue
            if os.path.isdir(old):
                os.mkdir(new)
            else:
                open(new, "w").close()
            run("mount", "--rbind", old, new)
        os.mkdir(path)


def configured(*names):
    """Directories this build was configured with."""
    text = "".join(f"{n}='@{n}@'\n" for n in ("PACKAGE_TARNAME", "prefix", "exec_prefix", "datarootdir", "sysconfdir", "libdir") + names)
    text = run(f"{BUILD}/config.status", "--file=-:-", input=text).replace("'", '"')
    return run("sh", "-c", text + "".join(f'echo "${n}"\n' for n in names)).split("\n")[:len(names)]


class Host:
    def __init__(self):
        os.umask(0o022)
        empty("/run")
        os.mkdir(DIR)
        copy_of_etc()
        self.spool = os.path.realpath("/var/mail")
        hollow(self.spool)
        self.imapd, self.process, self.logs = find_binary("imapd"), None, 0
        self.confdir, self.modules = configured("confdir", "moduledir")
        hollow(self.confdir)
        hollow(self.modules)
        for base in ("modules", "authn"):
            for name in sorted(os.listdir(f"{BUILD}/{base}")):
                if os.path.exists(f"{BUILD}/{base}/{name}/.libs/{name}.so"):
                    shutil.copy(f"{BUILD}/{base}/{name}/.libs/{name}.so", self.modules)

    def need(self, module):
        """Skips the test when this build has no such module."""
        p = subprocess.run([self.imapd, "--check-config"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        if f"/{module}.so: No such file" in p.stdout + p.stderr:
            skip_all(f"built without {module}")

    def user(self, name, password, *arguments):
        home = f"{DIR}/home-{name}"
        run("useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", *arguments, name)
        run("chpasswd", input=f"{name}:{password}\n")
        os.chmod(home, 0o700)
        return pwd.getpwnam(name)

    # -- the server, as an administrator starts it --
    def start(self, *arguments, environment=None, **more):
        self.logs += 1
        self.log_path = f"{DIR}/log-{self.logs}"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([self.imapd, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd="/", env=environment or {"PATH": os.environ["PATH"]}, **more)
        if not wait_for(lambda: self.process.poll() is not None or self.logged("MRT-0801"), 30) or self.process.poll() is not None:
            raise RuntimeError("the server does not start:\n" + self.log())

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def logged(self, text):
        return text in self.log()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def enter():
    if os.getuid() != 0:
        skip_all("not root")
    if os.environ.get(MARK) != "inside":
        try:
            p = subprocess.run(["unshare", *SPACES, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True, text=True)
            why = p.stderr.strip() if p.returncode else ""
        except FileNotFoundError:
            why = "there is no unshare(1)"
        if why:
            skip_all(f"no name spaces here: {why}")
        os.environ[MARK] = "inside"
        os.execvp("unshare", ["unshare", *SPACES, sys.executable, *sys.argv])
    del os.environ[MARK]
    loopback_up()
    return Host()
