#!/usr/bin/python3
"""The krb5 backend and GSSAPI against a private MIT KDC: right and wrong passwords, expired and locked principals, realms and
instances, no service key, a KDC that lies, is down or silent; a ticket instead of a password. attack-061, attack-062, attack-073"""
import os
import pwd
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from authn import Backends
from mortise import Server, Tap, free_port, wait_for

tap = Tap()
os.environ["PATH"] += ":/usr/sbin:/sbin"
if not all(shutil.which(p) for p in ("krb5kdc", "kadmin.local", "kinit", "kdb5_util")):
    tap.skip("Kerberos", "krb5-kdc, krb5-admin-server or krb5-user is not installed")
    tap.done()
REALM = "TEST.EXAMPLE"
USER = "nobody"  # an account that every host has
KRB5 = """[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 0
  kdc_timeout = 2000
  max_retries = 1
  default_keytab_name = FILE:{dir}/keytab
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {realm}
"""
KDC = """[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {dir}/principal
    key_stash_file = {dir}/stash
    acl_file = {dir}/acl
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{dir}/kdc.log
  default = FILE:{dir}/default.log
"""


class Realm:
    """A KDC with principals; two of the same name share nothing but the name."""

    def __init__(self, folder, port):
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        self.dir, self.port, self.process = folder, port, None
        for name, text in (("krb5.conf", KRB5), ("kdc.conf", KDC), ("acl", "")):
            with open(f"{folder}/{name}", "w") as f:
                f.write(text.format(dir=folder, port=port, realm=REALM))
        self.environment = {**os.environ, "KRB5_CONFIG": f"{folder}/krb5.conf", "KRB5_KDC_PROFILE": f"{folder}/kdc.conf"}
        self.run(["kdb5_util", "-r", REALM, "create", "-s", "-P", "masterpw"])
        self.kadmin(f"addprinc -pw right +requires_preauth {USER}", "addprinc -pw right stranger", "addprinc -pw right nobody/admin",
                    "addprinc -pw right -pwexpire \"2001-01-01 00:00:00\" bin", "addprinc -pw right -allow_tix daemon",
                    "addprinc -pw right -expire \"2001-01-01 00:00:00\" sys", "addprinc -randkey imap/localhost",
                    f"ktadd -k {folder}/keytab imap/localhost")

    def run(self, command, text=None):
        r = subprocess.run(command, env=self.environment, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert r.returncode == 0, r.stdout
        return r.stdout

    def kadmin(self, *lines):
        self.run(["kadmin.local", "-r", REALM], "\n".join(lines) + "\n")

    def start(self):
        self.process = subprocess.Popen(["krb5kdc", "-n", "-r", REALM], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert wait_for(lambda: subprocess.run(["kinit", "-c", f"FILE:{self.dir}/cc", "stranger"], env=self.environment, input=b"right\n",
                                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0, 30), "the KDC does not answer"

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
        self.process = None


def verdict(title, answer, word, why=""):
    got = answer.backends.get("krb5", ("", ""))
    tap.ok(got[0] == word and why in got[1], f"{title}: {word}{' (' + why + ')' if why else ''}", answer)


def passwords(b, realm):
    good = f"{realm.dir}/krb5.conf"

    def configure(more="", conf=None):
        b.configure(f'passwords = ( {{ type = "krb5"; hostname = "localhost"; config = "{conf or good}"; {more} }} );', "minimum_uid = 1;")

    def ask(user, password=None):
        return b.ask(user, password)
    configure()
    a = ask(USER, "right")
    verdict("a right password", a, "ok")
    tap.ok(a.record.get("uid") == [str(pwd.getpwnam(USER).pw_uid)], "and the account", a)
    verdict("a wrong password", ask(USER, "wrong"), "mismatch")
    verdict("nobody's principal", ask("nobody-there", "right"), "unknown")
    verdict("a principal without an account", ask("stranger", "right"), "unknown", "no host account")
    verdict("an expired password", ask("bin", "right"), "expired")
    verdict("an expired password that is wrong", ask("bin", "wrong"), "mismatch")
    verdict("a locked principal", ask("daemon", "right"), "disabled")
    verdict("an expired principal", ask("sys", "right"), "disabled")
    for name in ("nobody/admin", f"nobody@{REALM}", "nobody@ELSE.EXAMPLE", "nobody\\@x", "@", "/"):
        verdict(f"{name!r} is refused", ask(name, "right"), "unknown")
    configure("instances = true; realms = true;")
    verdict("a realm is allowed by its option", ask(f"nobody@{REALM}", "right"), "ok")
    verdict("an instance too, but it is no account", ask("nobody/admin", "right"), "unknown", "auth_to_local")
    verdict("another realm has no KDC", ask("nobody@ELSE.EXAMPLE", "right"), "temporary")
    configure()
    verdict("who is it", ask(USER), "ok")
    configure('service = "smtp";')
    verdict("a service without a key", ask(USER, "right"), "temporary", "no service key")
    configure(f'keytab = "FILE:{b.path("absent")}";')
    verdict("no key table", ask(USER, "right"), "temporary", "no service key")
    # The right KDC, but our key is another one: as if it were made by somebody who does not know ours.
    fake = Realm(b.path("fake"), realm.port)
    configure(f'keytab = "FILE:{fake.dir}/keytab";')
    verdict("a KDC that does not know our key", ask(USER, "right"), "temporary", "could not prove itself")
    # A false KDC in the right one's place: it knows the password it was told, and lets nobody in.
    realm.stop()
    fake.kadmin(f"cpw -pw evil {USER}")
    fake.start()
    configure()
    verdict("a false KDC", ask(USER, "evil"), "temporary", "could not prove itself")
    fake.stop()
    verdict("no KDC", ask(USER, "right"), "temporary")
    with socket.socket() as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", realm.port))
        u.bind(("127.0.0.1", realm.port))
        s.listen(8)
        verdict("a silent KDC", ask(USER, "right"), "temporary")
    b.write("nonsense", "[libdefaults\n")
    configure(conf=b.path("nonsense"))
    verdict("krb5.conf that is none", ask(USER, "right"), "temporary", "krb5.conf")
    realm.start()
    configure()
    verdict("and all is well again", ask(USER, "right"), "ok")


def gssapi(b, realm):
    """A ticket instead of a password, with another implementation's client."""
    if not shutil.which("gsasl") or not os.path.exists("/usr/lib/x86_64-linux-gnu/sasl2/libgssapiv2.so") and not any(
            os.path.exists(os.path.join(r, "libgssapiv2.so")) for r, _, _ in os.walk("/usr/lib")):
        tap.skip("GSSAPI", "gsasl or libsasl2-modules-gssapi-mit is not installed")
        return
    os.chmod(f"{realm.dir}/keytab", 0o644)  # the server runs as nobody here
    cache = f"FILE:{b.path('cc')}"
    with Server(users=[USER], settings={
            "sasl": f'sasl = ( {{ type = "cyrus"; krb5_config = "{realm.dir}/krb5.conf"; keytab = "FILE:{realm.dir}/keytab"; }} );',
            "auth": 'auth = { mechanisms = [ "GSSAPI" ]; hostname = "localhost"; failure_delay = "10ms"; };'}) as server:
        def log_in(principal, user, kerberos=cache):
            subprocess.run(["kinit", "-c", cache, principal], env=realm.environment, input=b"right\n", stdout=subprocess.DEVNULL, check=True)
            r = subprocess.run(["gsasl", "--imap", "--mechanism=GSSAPI", f"--authentication-id={user}", f"--authorization-id={user}", "--no-starttls",
                                "--hostname=localhost", "--service=imap", f"--connect=localhost:{server.port}"], input="", stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, timeout=60, env={**realm.environment, "KRB5CCNAME": kerberos})
            return r.returncode == 0, r.stdout[-1500:] + server.log()[-1500:]
        good, out = log_in(USER, USER)
        tap.ok(good, "GSSAPI: a ticket is enough", out)
        good, out = log_in("stranger", "stranger")
        tap.ok(not good, "GSSAPI: a principal that is no user does not get in", out)
        good, out = log_in("stranger", USER)
        tap.ok(not good, "GSSAPI: nor as somebody else", out)
        good, out = log_in(USER, USER, f"FILE:{b.path('none')}")
        tap.ok(not good, "GSSAPI: without a ticket nobody does", out)
        tap.ok("mechanism=GSSAPI" in server.log(), "GSSAPI: the log says how", server.log()[-1000:])


with Backends("") as backends:
    os.chmod(backends.dir, 0o755)
    test_realm = Realm(backends.path("realm"), free_port())
    try:
        test_realm.start()
        passwords(backends, test_realm)
        gssapi(backends, test_realm)
    finally:
        test_realm.stop()
tap.done()
