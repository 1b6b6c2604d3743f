#!/usr/bin/python3
"""The ldap backend against a private OpenLDAP: search and bind, direct bind, compare; StartTLS, ldaps and ldapi; hashes,
password policy; names that want to be filters; directories that are down, slow or talk nonsense. attack-045, attack-046,
attack-073"""
import base64
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from authn import Backends
from mortise import Tap, free_port, wait_for

tap = Tap()
SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/bin")
if SLAPD is None or not shutil.which("ldapsearch"):
    tap.skip("LDAP", "slapd or ldap-utils is not installed")
    tap.done()
BASE = "dc=test,dc=example"
PEOPLE = f"ou=people,{BASE}"
CONFIGURATION = """include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {dir}/slapd.pid
TLSCertificateFile {dir}/certificate.pem
TLSCertificateKeyFile {dir}/key.pem
database mdb
suffix {base}
rootdn cn=admin,{base}
rootpw adminpw
directory {dir}/db
maxsize 67108864
index objectClass,uid eq
overlay ppolicy
ppolicy_default cn=default,ou=policies,{base}
ppolicy_use_lockout
access to attrs=userPassword by dn.exact="cn=search,{base}" compare by anonymous auth by self write by * none
access to * by dn.exact="cn=search,{base}" read by self read by anonymous auth by * none
"""
NAMES = ["a*", "(uid=*)", "a)(uid=fred", "a\\b", "a,b", "a+b", 'a"b', "a;b", "<a>", "#a", " a ", "a=b", "jürgen", "a@b@c"]


def entry(name, password, uid, *more):
    escaped = "".join(c if c.isalnum() and c.isascii() else "".join(f"\\{o:02x}" for o in c.encode()) for c in name)
    dn = base64.b64encode(f"uid={escaped},{PEOPLE}".encode()).decode()
    plain = base64.b64encode(name.encode()).decode()
    lines = [f"dn:: {dn}", "objectClass: inetOrgPerson", "objectClass: posixAccount", f"uid:: {plain}", "cn: x", "sn: x", f"uidNumber: {uid}",
             f"gidNumber: {uid}", f"homeDirectory: /home/{uid}", *more]
    if password is not None:
        lines.append(f"userPassword: {password}")
    return "\n".join(lines) + "\n\n"


def contents():
    hashed = subprocess.run(["slappasswd", "-h", "{SSHA}", "-s", "right"], stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}).stdout.strip()
    crypted = "{CRYPT}" + subprocess.run(["openssl", "passwd", "-6", "right"], stdout=subprocess.PIPE, text=True).stdout.strip()
    head = (f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: test\n\n"
            f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\ndn: ou=policies,{BASE}\nobjectClass: organizationalUnit\nou: policies\n\n"
            f"dn: cn=default,ou=policies,{BASE}\nobjectClass: pwdPolicy\nobjectClass: device\ncn: default\npwdAttribute: userPassword\n"
            "pwdLockout: TRUE\npwdMaxFailure: 50\npwdMustChange: TRUE\n\n"
            f"dn: cn=short,ou=policies,{BASE}\nobjectClass: pwdPolicy\nobjectClass: device\ncn: short\npwdAttribute: userPassword\npwdMaxAge: 1\n\n"
            f"dn: cn=search,{BASE}\nobjectClass: person\ncn: search\nsn: search\nuserPassword: searchpw\n\n")
    return head + (entry("fred", hashed, 2001, "mail: fred@test.example", "mail: f@test.example") + entry("crypted", crypted, 2002)
                   + entry("clear", "right", 2003) + entry("locked", hashed, 2004, "pwdAccountLockedTime: 000001010000Z")
                   + entry("reset", hashed, 2005, "pwdReset: TRUE") + entry("nopassword", None, 2006)
                   + entry("expired", hashed, 2007, f"pwdPolicySubentry: cn=short,ou=policies,{BASE}", "pwdChangedTime: 20200101000000Z")
                   + entry("root", hashed, 0) + entry("twice", hashed, 2008) + entry("other", hashed, 2009, "uid: twice")
                   + "".join(entry(n, hashed, 2100 + i) for i, n in enumerate(NAMES)))


class Directory:
    def __init__(self, b):
        self.dir, self.port, self.tls_port = b.path("slapd"), free_port(), free_port()
        os.makedirs(f"{self.dir}/db")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{self.dir}/key.pem", "-out",
                        f"{self.dir}/certificate.pem"], check=True, stderr=subprocess.DEVNULL)
        with open(f"{self.dir}/slapd.conf", "w") as f:
            f.write(CONFIGURATION.format(dir=self.dir, base=BASE))
        added = subprocess.run(["slapadd", "-f", f"{self.dir}/slapd.conf"], input=contents(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
        assert added.returncode == 0, added.stdout
        self.socket = urllib.parse.quote(f"{self.dir}/ldapi", safe="")
        self.start()

    def start(self):
        self.log = open(f"{self.dir}/log", "ab")
        self.process = subprocess.Popen([SLAPD, "-d", "0", "-f", f"{self.dir}/slapd.conf", "-h",
                                         f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.tls_port}/ ldapi://{self.socket}/"],
                                        stdout=self.log, stderr=self.log)
        assert wait_for(self.answers, 30), "slapd does not answer"

    def answers(self):
        return subprocess.run(["ldapwhoami", "-x", "-H", f"ldap://127.0.0.1:{self.port}/", "-D", f"cn=search,{BASE}", "-w", "searchpw"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def verdict(title, answer, word, why=""):
    got = answer.backends.get("ldap", ("", ""))
    tap.ok(got[0] == word and why in got[1], f"{title}: {word}{' (' + why + ')' if why else ''}", answer)


def configure(b, d, **more):
    values = {"url": f'"ldap://127.0.0.1:{d.port}"', "tls_ca": f'"{d.dir}/certificate.pem"', "base": f'"{PEOPLE}"', "bind_dn": f'"cn=search,{BASE}"',
              "bind_password": f'"file:{b.write("secret", "searchpw")}"', "timeout": '"2s"', **more}
    b.configure('passwords = ( { type = "ldap"; ' + " ".join(f"{k} = {v};" for k, v in values.items() if v is not None) + " } );", "minimum_uid = 500;")


def accounts(b, where, compare=False):
    a = b.ask("fred", "right") if not compare else b.ask("clear", "right")
    verdict(f"{where}: a right password", a, "ok")
    tap.ok(a.record.get("uid") in (["2001"], ["2003"]) and a.record["home"][0].startswith("/home/200"), f"{where}: and the record", a)
    verdict(f"{where}: a wrong password", b.ask("fred" if not compare else "clear", "wrong"), "mismatch")
    verdict(f"{where}: nobody", b.ask("nobody-there", "right"), "mismatch" if where == "user_dn" else "unknown")
    if compare:
        return
    verdict(f"{where}: crypt(3)", b.ask("crypted", "right"), "ok")
    verdict(f"{where}: in clear", b.ask("clear", "right"), "ok")
    verdict(f"{where}: locked by the policy", b.ask("locked", "right"), "disabled", "locked")
    verdict(f"{where}: to be changed", b.ask("reset", "right"), "expired")
    verdict(f"{where}: expired", b.ask("expired", "right"), "expired", "expired")
    verdict(f"{where}: uid 0", b.ask("root", "right"), "disabled", "uid 0 never logs in")
    a = b.ask("nopassword", "right")
    tap.ok(a.backends["ldap"][0] in ("disabled", "mismatch"), f"{where}: no password", a)
    for i, name in enumerate(NAMES):
        a = b.ask(name, "right")
        tap.ok(a.together == "ok" and a.record["uid"] == [str(2100 + i)], f"{where}: {name!r} is a name", a)
    for name in ("*", "f*", "fred)(objectClass=*", "fred,ou=people", "*)(uid=*))(|(uid=*", "fred\\2a", "\\66red"):
        a = b.ask(name, "right")
        tap.ok(a.together in ("unknown", "mismatch"), f"{where}: {name!r} finds nobody", a)


def nonsense(b, d):
    for what, octets in (("silent", None), ("hangs up", b""), ("talks nonsense", b"\x30\xff\xff\xff" * 1000), ("lies about lengths", b"\x30\x84\xff\xff\xff\xff")):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(8)

            def serve():
                for _ in range(2):
                    try:
                        c, _ = s.accept()
                        with c:
                            c.settimeout(15)
                            if octets is None:
                                while c.recv(1000):
                                    pass
                            else:
                                c.recv(10)
                                c.sendall(octets)
                    except OSError:
                        return
            thread = threading.Thread(target=serve)
            thread.start()
            configure(b, d, url=f'"ldap://127.0.0.1:{s.getsockname()[1]}"', tls='"never"', timeout='"500ms"')
            verdict(what, b.ask("fred", "right"), "temporary")
            s.shutdown(socket.SHUT_RDWR)
            thread.join(30)


def main(b):
    d = Directory(b)
    try:
        configure(b, d)
        accounts(b, "search")
        verdict("two entries", b.ask("twice", "right"), "disabled", "more than one entry")
        verdict("without a password", b.ask("fred"), "ok")
        configure(b, d, name_attribute='"mail"')
        a = b.ask("fred", "right")
        tap.ok(a.together == "ok" and a.record["user"] == ["fred"] and "LDAP-001" in a.output, "an attribute with two values is none", a)
        configure(b, d, user_dn=f'"uid=%u,{PEOPLE}"', bind_dn=None, bind_password=None)
        accounts(b, "user_dn")
        configure(b, d, compare="true")
        accounts(b, "compare", compare=True)
        configure(b, d, filter='"(&(objectClass=posixAccount)(uid=%n)(mail=%n@%d))"')
        verdict("name and domain", b.ask("fred@test.example", "right"), "ok")
        verdict("another domain", b.ask("fred@else.example", "right"), "unknown")
        for url, more in ((f"ldaps://127.0.0.1:{d.tls_port}", {}), (f"ldapi://{d.socket}", {}),
                          (f"ldap://127.0.0.1:{free_port()} ldap://127.0.0.1:{d.port}", {})):
            configure(b, d, url=f'"{url}"', **more)
            verdict(url.replace(b.dir, ""), b.ask("fred", "right"), "ok")
        for url in (f"ldaps://127.0.0.1:{d.tls_port}", f"ldap://127.0.0.1:{d.port}"):
            configure(b, d, url=f'"{url}"', tls_ca=None)
            verdict("a certificate nobody vouches for", b.ask("fred", "right"), "temporary")
        configure(b, d, bind_password=f'"file:{b.write("wrong", "wrong")}"')
        verdict("a wrong bind_password", b.ask("fred", "right"), "temporary", "bind_dn")
        configure(b, d, base='"dc=nowhere"')
        verdict("a base that is not there", b.ask("fred", "right"), "unknown")
        configure(b, d, filter='"((uid=%u"')
        verdict("a filter that is none", b.ask("fred", "right"), "temporary", "filter")
        configure(b, d)
        d.stop()
        verdict("down", b.ask("fred", "right"), "temporary", "connecting")
        d.start()
        verdict("and up again", b.ask("fred", "right"), "ok")
        nonsense(b, d)
    finally:
        d.stop()


with Backends("") as backends:
    main(backends)
tap.done()
