#!/usr/bin/env python3
"""The server as a package installs it and systemd runs it: `make install`, the units, the account, the certificate in
imapd.conf.d, readiness, activation, reload, stop. Root, on a private copy of this host."""
import configparser
import imaplib
import os
import pwd
import resource
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/lib"))
from mortise import BUILD, SOURCE, Tap, wait_for  # noqa: E402
import private_host  # noqa: E402

host = private_host.enter()
host.need("pam")
tap = Tap()
PASSWORD = "test-password"
DIR = private_host.DIR

# ---- installed ----

for variable in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR"):
    os.environ.pop(variable, None)
private_host.run("make", "-s", "-C", BUILD, "install", f"DESTDIR={DIR}/root")
private_host.run("make", "-s", "-C", BUILD, "etc/systemd/mortise.service")
sbindir, docdir = private_host.configured("sbindir", "docdir")
shutil.copytree(f"{DIR}/root{host.confdir}", host.confdir, dirs_exist_ok=True)
for name in os.listdir(host.modules):
    os.unlink(f"{host.modules}/{name}")
shutil.copytree(f"{DIR}/root{host.modules}", host.modules, dirs_exist_ok=True)
host.imapd = f"{sbindir}/imapd"
private_host.hollow(sbindir)
for name in os.listdir(f"{DIR}/root{sbindir}"):
    shutil.copy(f"{DIR}/root{sbindir}/{name}", sbindir)
shutil.copy(f"{DIR}/root{docdir}/examples/pam.d/imap", "/etc/pam.d/imap")
with open(f"{host.confdir}/imapd.conf", "rb") as f, open(f"{SOURCE}/etc/imapd.conf", "rb") as g:
    tap.ok(f.read() == g.read(), "make install gives the example as the first imapd.conf")
with open(f"{DIR}/root{host.confdir}/imapd.conf", "a") as f:
    f.write("# mine\n")
private_host.run("make", "-s", "-C", BUILD, "install-conf", f"DESTDIR={DIR}/root")
private_host.run("make", "-s", "-C", BUILD, "uninstall-conf", f"DESTDIR={DIR}/root")
with open(f"{DIR}/root{host.confdir}/imapd.conf") as f:
    tap.ok(f.read().endswith("# mine\n"), "and neither that nor make uninstall touches the administrator's own")


def imapd(*arguments):
    return subprocess.run([host.imapd, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


p = imapd("--check-config")
tap.ok(p.returncode == 0 and (p.stdout + p.stderr).count("warning:") == 1 and "tls.certificate is not set" in p.stdout + p.stderr,
       "the installed configuration is good and lacks a certificate", p.stdout, p.stderr)
p = imapd("--dump-config=changed")
changed = [line for line in p.stdout.splitlines() if line.strip() and not line.startswith("#")]
tap.ok(p.returncode == 0 and not changed, "and changes nothing", p.stdout)
p = imapd("--dump-config=all")
with open(f"{host.confdir}/imapd.conf") as f:
    example = f.read()
# With its settings uncommented it is the same configuration.
uncommented = "\n".join(line[1:] if line.startswith(("# ", "#\t")) and ("=" in line or line.strip() in ("# };",)) and
                        "imapd --" not in line and "{ type" not in line else line for line in example.splitlines())
with open(f"{DIR}/uncommented.conf", "w") as f:
    f.write(uncommented + "\n")
q = imapd("--config", f"{DIR}/uncommented.conf", "--dump-config=changed")
changed = [line for line in q.stdout.splitlines() if line.strip() and not line.startswith(("#", "drivers", "passwords", "sasl"))]
tap.ok(q.returncode == 0, "its examples can be used", q.stdout, q.stderr)
tap.ok(not changed, "and are the defaults, as it says", *changed)

# ---- the units ----

units = {}
os.mkdir(f"{DIR}/units")
for name in ("mortise.service", "mortise-imap.socket", "mortise-imaps.socket"):
    source = next(p for p in (f"{BUILD}/etc/systemd/{name}", f"{SOURCE}/etc/systemd/{name}") if os.path.exists(p))
    shutil.copy(source, f"{DIR}/units/{name}")
    units[name] = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    units[name].optionxform = str
    units[name].read(source)
service = units["mortise.service"]["Service"]
if shutil.which("systemd-analyze"):
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", *sorted(f"{DIR}/units/{n}" for n in units)],
                       capture_output=True, text=True, timeout=60, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{DIR}/units:"})
    ours = [line for line in (p.stdout + p.stderr).splitlines() if "mortise" in line]
    tap.ok(not ours, "systemd-analyze finds nothing wrong with the units", p.stdout, p.stderr)
else:
    tap.skip("systemd-analyze verify", "no systemd-analyze")
command = shlex.split(service["ExecStart"])
tap.ok(command[0] == host.imapd and service["Type"] == "notify", "the service starts what was installed", command)

# ---- run ----

private_host.run("useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "mortise")
os.chmod(host.spool, 0o1777)
anna = host.user("anna", PASSWORD)
with open(f"{host.spool}/anna", "w") as f:
    f.write("From sender@example.com Mon Nov 24 10:00:01 2025\nFrom: sender@example.com\nSubject: one\n\nHello.\n\n")
os.chown(f"{host.spool}/anna", anna.pw_uid, anna.pw_gid)
certificate, key = f"{DIR}/certificate.pem", f"{DIR}/key.pem"
private_host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate)
with open(f"{host.confdir}/imapd.conf.d/tls.conf", "w") as f:
    f.write(f'tls = {{ certificate = "{certificate}"; key = "{key}"; }};\n')
p = imapd("--check-config", "--strict")
tap.ok(p.returncode == 0, "with a certificate in imapd.conf.d there is nothing to warn of", p.stdout, p.stderr)

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(f"{DIR}/notify")
notify.setblocking(False)
said = []


def told(text, times=1):
    def look():
        try:
            while True:
                said.extend(notify.recv(4096).decode().splitlines())
        except BlockingIOError:
            return said.count(text) >= times
    return wait_for(look)


listeners, names = [], []
for name in ("mortise-imap.socket", "mortise-imaps.socket"):
    unit = units[name]["Socket"]
    s = socket.socket(socket.AF_INET6)  # as systemd opens a port alone: both families
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", int(unit["ListenStream"])))
    s.listen(int(unit["Backlog"]))
    listeners.append(s)
    names.append(unit["FileDescriptorName"])
    tap.ok(unit["Service"] == "mortise.service", f"{name} starts the service")
environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": f"{DIR}/notify", "LISTEN_FDS": "2", "LISTEN_FDNAMES": ":".join(names)}


def as_systemd():
    os.umask(int(service["UMask"], 8))
    files = min(int(service["LimitNOFILE"]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    for i, fd in enumerate([os.dup2(s.fileno(), 100 + s.fileno()) for s in listeners]):
        os.dup2(fd, 3 + i, inheritable=True)
    environment["LISTEN_PID"] = str(os.getpid())
    os.execve(command[0], command, environment)


host.start(*command[1:], close_fds=False, preexec_fn=as_systemd)
for s in listeners:
    s.close()
tap.ok(told("READY=1"), "the service is ready when it serves", said, host.log())
with open("/proc/net/tcp") as f:
    tap.ok(len(f.read().splitlines()) == 1, "it opens no address beside the sockets it was given")
tap.ok("warning" not in host.log() and "error" not in host.log(), "there is nothing to warn of", host.log())

context = ssl.create_default_context(cafile=certificate)
c = imaplib.IMAP4("localhost", 143, timeout=30)
c.starttls(context)
c.login("anna", PASSWORD)
tap.ok(c.select()[1] == [b"1"], "a host's user has mail through STARTTLS, under the certificate")
t = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=30)
t.login("anna", PASSWORD)
t.select()
t.store("1", "+FLAGS", "(\\Flagged)")
flags = c.noop() and c.response("FETCH")[1]
tap.ok(flags and b"\\Flagged" in flags[0], "and through TLS, in two sessions on one mailbox", flags)
tap.ok("address=127.0.0.1 " in host.log(), "a client that comes by IPv4 is logged by its IPv4 address", host.log())
t.append("Made", None, None, b"Subject: x\r\n\r\nx\r\n") if t.create("Made")[0] == "OK" else None
tap.ok("dot-lock" not in host.log() and os.listdir(host.spool) == ["anna"], "lock files are made in a spool of mode 1777, and removed")
st = os.stat(f"{anna.pw_dir}/mail/Made")
tap.ok(st.st_mode & 0o777 == 0o600 and st.st_size > 0, "modes are those of the settings, whatever the service's umask", oct(st.st_mode))
mortise = pwd.getpwnam("mortise").pw_uid


def uids(role):
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/status") as f:
            facts = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        if facts["Name"] == role:
            found |= set(map(int, facts["Uid"].split()))
    return found


tap.ok(uids("front") == uids("log") == {mortise}, "fronts and log run as mortise", uids("front"), uids("log"))
tap.ok(uids("session") == {anna.pw_uid} and uids("spawner") == uids("auth") == {0}, "sessions as their user, spawner and auth as root")

reload = shlex.split(service["ExecReload"].replace("$MAINPID", str(host.process.pid)))
private_host.run(*reload)
tap.ok(told("RELOADING=1") and told("READY=1", 2), "ExecReload reloads, and tells when it is over", said, host.log())
tap.ok(c.noop()[0] == t.noop()[0] == "OK", "sessions live on")
tap.ok(imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=30).login("anna", PASSWORD)[0] == "OK",
       "and new ones come through the same sockets")
with open(f"{host.confdir}/imapd.conf.d/wrong.conf", "w") as f:
    f.write('tls = { minimun = "1.3"; };\n')
p = imapd("--check-config")
tap.ok(p.returncode == 78 and "wrong.conf:1" in p.stdout + p.stderr and "minimum" in p.stdout + p.stderr,
       "a mistake in a file of imapd.conf.d is told with its place and what was meant", p.stdout, p.stderr)
private_host.run(*reload)
tap.ok(told("READY=1", 3) and "MRT-0807" in host.log() and c.noop()[0] == "OK",
       "a reload with it is refused, systemd is not left waiting and service goes on", said, host.log())

# KillMode=mixed: SIGTERM for the main process alone.
host.process.send_signal(signal.SIGTERM)
tap.ok(told("STOPPING=1"), "systemd is told when it stops", said)
tap.ok(host.process.wait(int(service["TimeoutStopSec"])) == 0, "and it stops in time, with success")
left = [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
tap.ok(not left, "leaving no process behind", left)
tap.done()
