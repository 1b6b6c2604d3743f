"""mortise.py: a private server for tests, and TAP.

    with Server(users=["alice"]) as s:
        imap = s.login("alice")

The server runs from the build tree, unprivileged (as nobody when the test is root), in a folder of its own, on free
loopback ports, with a certificate of its own. It is stopped by its own pid. Nothing is taken from an installed tree.
"""
import imaplib
import os
import pwd
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("top_builddir", os.getcwd())
SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
PASSWORD = "test-password"
NOBODY = pwd.getpwnam("nobody")


class Tap:
    """Counts and prints results; exit code for the harness."""

    def __init__(self):
        self.count = self.failed = 0

    def ok(self, condition, title, *details):
        self.count += 1
        if not condition:
            self.failed += 1
        print(f"{'ok' if condition else 'not ok'} {self.count} - {title}", flush=True)
        if not condition:
            for d in details:
                for line in str(d).splitlines() or [""]:
                    print(f"#   {line}", flush=True)
        return bool(condition)

    def skip(self, title, why):
        self.count += 1
        print(f"ok {self.count} - {title} # SKIP {why}", flush=True)

    def done(self):
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed else 0)


_reserved = []


def free_port():
    """A port nobody has and nobody gets: below those the kernel gives to clients, and kept from other tests by a name
    that lives as long as this process."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        end = min(int(f.read().split()[0]), 32768)
    for _ in range(1000):
        port = random.randrange(max(end - 16000, 1024), end)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0mortise-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        return port
    raise RuntimeError("no free port")


def wait_for(condition, seconds=20, step=0.05):
    """Polls until condition() is true; its value, or a false one at the end."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


def comm(pid):
    """What a process calls itself: roles do by their names. Empty when it is gone."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def descriptors(pid):
    """What a process has open: descriptor → file."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def read_line(c):
    """From a socket; less than a line when the other side closed."""
    data = b""
    while not data.endswith(b"\n"):
        got = c.recv(1)
        if not got:
            break
        data += got
    return data


def find_binary(name):
    """sbin programs of the build tree; libtool keeps the real ones in .libs."""
    for path in (f"{BUILD}/.libs/{name}", f"{BUILD}/{name}"):
        if os.path.exists(path):
            return path
    raise FileNotFoundError(name)


class SanitizerReport(Exception):
    """A process of the server did what a sanitizer reports; the test has failed, whatever else it saw."""


SANITIZED = "flavour sanitizer" in subprocess.run([find_binary("imapd"), "--print-abi"], stdout=subprocess.PIPE, text=True).stdout


class Server:
    def __init__(self, users=("alice",), driver="unix", config="", keep=False, root=False, modules=None, settings=None,
                 crashes=False, additions=None):
        """config: text added to imapd.conf. settings: groups of it instead of what is there; additions: added to groups. root: started as root, with real privilege separation. crashes: the test
        makes processes crash, so that reports of deadly signals are no failure."""
        self.crashes = crashes
        self.root = root and os.getuid() == 0
        self.dir = tempfile.mkdtemp(prefix="mortise-test-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.users, self.driver, self.extra, self.keep = list(users), driver, config, keep
        self.port, self.tls_port = free_port(), free_port()
        self.process = None
        self.modules = modules
        self.settings = dict(settings or {})
        self.additions = dict(additions or {})
        self._make()

    # -- files --
    def _give(self, path):
        if os.getuid() == 0:
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def home(self, user):
        return self.path("home", user)

    def spool(self, user):
        return self.path("spool", user)

    def _make(self):
        for d in ("home", "spool", "tls", "modules"):
            os.mkdir(self.path(d))
            self._give(self.path(d))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
             "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
             self.path("tls/key.pem"), "-out", self.path("tls/certificate.pem")],
            check=True, stderr=subprocess.DEVNULL)
        self._give(self.path("tls/key.pem"))
        uid, gid = (NOBODY.pw_uid, NOBODY.pw_gid) if os.getuid() == 0 else (os.getuid(), os.getgid())
        with open(self.path("passwd"), "w") as f:
            for u in self.users:
                os.makedirs(self.home(u) + "/mail")
                for d in (self.home(u), self.home(u) + "/mail"):
                    self._give(d)
                f.write(f"{u}:{{PLAIN}}{PASSWORD}:{uid}:{gid}::{self.home(u)}::\n")
        os.chmod(self.path("passwd"), 0o600)
        self._give(self.path("passwd"))
        self._modules()
        self.write_config()

    def _modules(self):
        """The modules of this build, and no others, in one folder."""
        if self.modules is not None:
            return
        self.modules = self.path("modules")
        for base in ("modules", "authn"):
            for name in sorted(os.listdir(f"{BUILD}/{base}")):
                so = f"{BUILD}/{base}/{name}/.libs/{name}.so"
                if os.path.exists(so):
                    shutil.copy(so, self.modules)

    def config_text(self):
        values = {
            "listen": f'listen = {{ imap = [ "127.0.0.1:{self.port}" ]; imaps = [ "127.0.0.1:{self.tls_port}" ]; }};',
            "tls": f'tls = {{ certificate = "{self.path("tls/certificate.pem")}"; key = "{self.path("tls/key.pem")}"; }};',
            "drivers": f'drivers = [ "{self.driver}" ];',
            "passwords": f'passwords = ( {{ type = "file"; path = "{self.path("passwd")}"; plain = true; }} );',
            "sasl": 'sasl = [ "cyrus" ];',
            "auth": 'auth = { plaintext_without_tls = true; failure_delay = "50ms"; };',
            "store": f'store = {{ inbox = [ "{self.path("spool")}/%u" ]; default_driver = "{self.driver}"; }};',
            "module_loader": f'module_loader = {{ path = "{self.modules}"; check_owner = false; }};',
        }
        values.update(self.settings)
        for group, text in self.additions.items():
            begun = values.get(group) or f"{group} = {{ }};"
            values[group] = begun[: begun.rindex("}")] + text + " };"
        return "\n".join(v for v in values.values() if v) + "\n" + self.extra + "\n"

    def write_config(self):
        with open(self.path("imapd.conf"), "w") as f:
            f.write(self.config_text())

    # -- the process --
    def command(self, *arguments):
        return [find_binary("imapd"), "--config", self.path("imapd.conf"), *arguments]

    def as_user(self, command):
        if os.getuid() == 0 and not self.root:
            return ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
                    "--no-new-privs", "--"] + command
        return command

    def start(self, wait=True):
        self.log_file = open(self.path("log"), "ab")
        self.process = subprocess.Popen(self.as_user(self.command()), stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=self.log_file, cwd="/", start_new_session=True)
        if wait and not wait_for(self._answers, 20):
            raise RuntimeError("the server does not answer:\n" + self.log())
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError("the server ended:\n" + self.log())
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                s.settimeout(5)
                return s.recv(4) == b"* OK"
        except OSError:
            return False

    def stop(self):
        """The exit status; killed after ten seconds."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        status, self.process = self.process.returncode, None
        self.log_file.close()
        reports = self.sanitizer_reports()
        if reports:
            raise SanitizerReport("\n".join(reports) + "\n" + self.log()[-20000:])
        return status

    def sanitizer_reports(self):
        """Roles may not open files, so that a sanitizer's report comes the way of all their error output: into the log."""
        found = []
        for folder in (self.dir, self.path("home")):
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if name.startswith("log") and os.path.isfile(path):
                    with open(path, errors="replace") as f:
                        found += [line.rstrip() for line in f if re.search(r"ERROR: \w+Sanitizer|runtime error: ", line)]
        return [r for r in found if not (self.crashes and re.search("AddressSanitizer: (SEGV|BUS|ABRT|DEADLYSIGNAL)|"
                                                                    "UndefinedBehaviorSanitizer:DEADLYSIGNAL", r))]

    def log(self):
        with open(self.path("log"), errors="replace") as f:
            return f.read()

    def logged(self, pattern, seconds=10):
        return wait_for(lambda: re.search(pattern, self.log()), seconds)

    def __enter__(self):
        try:
            return self.start()
        except Exception:
            self.keep = True
            raise

    def __exit__(self, kind, *rest):
        try:
            self.stop()
        except SanitizerReport as e:
            if kind is None:
                self.keep = True
                raise
            print("# " + str(e).replace("\n", "\n# "), flush=True)
        if kind is None and not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        elif kind is not None:
            print(f"# the server's folder is kept: {self.dir}\n# " + self.log()[-3000:].replace("\n", "\n# "), flush=True)

    # -- clients --
    def connect(self):
        return imaplib.IMAP4("127.0.0.1", self.port, timeout=30)

    def connect_tls(self):
        context = ssl.create_default_context(cafile=self.path("tls/certificate.pem"))
        return imaplib.IMAP4_SSL("localhost", self.tls_port, ssl_context=context, timeout=30)

    def login(self, user, password=PASSWORD):
        c = self.connect()
        c.login(user, password)
        return c

    def subjects(self, user, mailbox="INBOX", key="ALL"):
        """Subjects of the messages that a search finds, sorted, seen over a connection of their own; None when there is no
        such mailbox."""
        c = self.login(user)
        if c.select(f'"{mailbox}"', readonly=True)[0] != "OK":
            return None
        numbers = c.search(None, key)[1][0].decode().replace(" ", ",")
        found = c.fetch(numbers, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1] if numbers else []
        c.logout()
        return sorted(re.search(rb"Subject: (.*)\r\n", f[1])[1].decode() for f in found if isinstance(f, tuple))

    def children(self):
        """Pids of the server's processes, master first."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop(0)
            found.append(pid)
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as f:
                    todo += [int(p) for p in f.read().split()]
            except OSError:
                pass
        return found

    def sessions(self):
        return [pid for pid in self.children() if comm(pid) == "session"]
