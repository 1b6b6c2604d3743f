#!/usr/bin/python3
"""The imap backend against Dovecot and against ourselves: in clear, with STARTTLS, with TLS; names and passwords that want to be
more; certificates nobody vouches for; servers that are down, silent, or say what is not IMAP. attack-042, attack-073"""
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dovecot as dovecot_server
from authn import Backends
from mortise import PASSWORD, Server, Tap, free_port

tap = Tap()


def verdict(title, answer, word, why=""):
    got = answer.backends.get("imap", ("", ""))
    tap.ok(got[0] == word and why in got[1], f"{title}: {word}{' (' + why + ')' if why else ''}", answer)


def configure(b, **more):
    values = {"host": '"127.0.0.1"', "account": '"nobody"', "timeout": '"20s"', **more}
    b.configure('passwords = ( { type = "imap"; ' + " ".join(f"{k} = {v};" for k, v in values.items()) + " } );", "minimum_uid = 1;")


def real(b, server, name):
    ca = f'"{server.path("tls/certificate.pem")}"'
    for where, more in (("clear", {"tls": '"never"', "port": f'"{server.port}"'}),
                        ("STARTTLS", {"tls": '"starttls"', "port": f'"{server.port}"', "tls_ca": ca}),
                        ("TLS", {"port": f'"{server.tls_port}"', "tls_ca": ca}),
                        ("TLS by name", {"port": f'"{server.tls_port}"', "tls_ca": ca, "tls_name": '"localhost"'})):
        configure(b, **more)
        verdict(f"{name}, {where}: a right password", b.ask("alice", PASSWORD), "ok")
        verdict(f"{name}, {where}: a wrong password", b.ask("alice", PASSWORD + "x"), "mismatch")
        verdict(f"{name}, {where}: nobody", b.ask("nobody-there", PASSWORD), "mismatch")
    for user in ('alice" "x', "alice\\", "{5+}", "al*ce", "alice)", "jürgen"):
        verdict(f"{name}: {user!r} is a name", b.ask(user, PASSWORD), "mismatch")
    verdict(f"{name}: a password of all kinds", b.ask("alice", '{3}" \\ %* ü ~'), "mismatch")
    configure(b, port=f'"{server.tls_port}"')
    verdict(f"{name}: a certificate nobody vouches for", b.ask("alice", PASSWORD), "temporary", "self-signed certificate")
    configure(b, port=f'"{server.tls_port}"', tls_ca=ca, tls_name='"other.example"')
    verdict(f"{name}: another name", b.ask("alice", PASSWORD), "temporary", "ostname mismatch")
    configure(b, port=f'"{server.tls_port}"', tls_ca='"/nonexistent"')
    verdict(f"{name}: no certificates to check against", b.ask("alice", PASSWORD), "temporary", "tls_ca")


def odd_passwords(b, server):
    with open(server.path("passwd")) as f:
        line = f.readline().rstrip("\n")
    with open(server.path("passwd"), "a") as f:
        f.write(line.replace("alice:", "odd:", 1).replace(PASSWORD, '{3}" \\ %* ü ~') + "\n")
    configure(b, tls='"never"', port=f'"{server.port}"')
    verdict("literals carry every octet", b.ask("odd", '{3}" \\ %* ü ~'), "ok")
    verdict("and the whole of it", b.ask("odd", '{3}" \\ %* ü '), "mismatch")
    verdict("who is it cannot be asked", b.ask("odd"), "next", "cannot answer")


class Fake:
    """Says these lines: after connecting, and after each line it reads. None: nothing for ever."""

    def __init__(self, *says):
        self.says, self.socket = says, socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(4)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        for _ in range(2):  # imapctl asks twice
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with c:
                c.settimeout(10)
                try:
                    for i, text in enumerate(self.says):
                        if text is None:
                            while c.recv(100):
                                pass
                        c.sendall(text)
                        if i + 1 < len(self.says):
                            data = b""
                            while not data.endswith(b"\r\n"):
                                got = c.recv(1)
                                if not got:
                                    return
                                data += got
                except (OSError, TypeError):
                    pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(30)


GOOD = [b"* OK hello\r\n", b"+ go\r\n", b"+ go\r\n"]
FAKES = [
    ("silent", [None], "temporary", "no answer"), ("hangs up", [b""], "temporary", ""), ("greets with BYE", [b"* BYE full\r\n"], "temporary", "greet"),
    ("is no IMAP server", [b"220 smtp.example ESMTP\r\n"], "temporary", "not IMAP"), ("is already logged in", [b"* PREAUTH hello\r\n"], "temporary", "greet"),
    ("a line without end", [b"* OK " + b"x" * 20000], "temporary", "too long"), ("a NUL", [b"* OK \0\r\n"], "temporary", "NUL"),
    ("talks for ever", [b"* OK hello\r\n", b"+ go\r\n", b"+ go\r\n", b"* OK x\r\n" * 100], "temporary", "too much"),
    ("refuses literals", [b"* OK hello\r\n", b"2 BAD no\r\n"], "temporary", "literal"),
    ("BYE in the midst", [b"* OK hello\r\n", b"* BYE no\r\n"], "temporary", "literal"),
    ("OK", [*GOOD, b"2 OK in\r\n"], "ok", ""), ("ok, after others", [*GOOD, b"* CAPABILITY IMAP4rev1\r\n* 1 EXISTS\r\n2 ok [X] in\r\n"], "ok", ""),
    ("OK of another command", [*GOOD, b"1 OK in\r\n"], "temporary", "not IMAP"), ("OKAY", [*GOOD, b"2 OKAY\r\n"], "temporary", "LOGIN"),
    ("BAD", [*GOOD, b"2 BAD no\r\n"], "temporary", "LOGIN"), ("NO", [*GOOD, b"2 NO no\r\n"], "mismatch", ""),
    ("AUTHENTICATIONFAILED", [*GOOD, b"2 NO [AUTHENTICATIONFAILED] no\r\n"], "mismatch", ""),
    ("UNAVAILABLE", [*GOOD, b"2 NO [unavailable] later\r\n"], "temporary", "UNAVAILABLE"),
    ("EXPIRED", [*GOOD, b"2 NO [EXPIRED] change it\r\n"], "expired", "EXPIRED"),
    ("AUTHORIZATIONFAILED", [*GOOD, b"2 NO [AUTHORIZATIONFAILED] no\r\n"], "disabled", ""),
    ("a code nobody knows", [*GOOD, b"2 NO [X-ELSE] no\r\n"], "mismatch", ""), ("half an answer", [*GOOD, b"2 O"], "temporary", "")]

# Failures there wait for nobody.
QUICK = """auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""

with Backends("") as backends:
    if dovecot_server.installed():
        with dovecot_server.Dovecot("maildir:~/mail", users=["alice"], config=QUICK) as d:
            real(backends, d, "Dovecot")
    else:
        tap.skip("Dovecot", "dovecot is not installed")
    with Server(users=["alice"], settings={"auth": 'auth = { plaintext_without_tls = true; failure_delay = "10ms"; throttle_free = 1000; };'}) as s:
        real(backends, s, "Mortise")
        odd_passwords(backends, s)
    for title, says, word, why in FAKES:
        fake = Fake(*says)
        configure(backends, tls='"never"', port=f'"{fake.port}"', timeout='"500ms"')
        verdict(f"a server that: {title}", backends.ask("alice", "x"), word, why)
        fake.close()
    injected = Fake(b"* OK hello\r\n", b"1 OK begin\r\n2 OK in\r\n")
    configure(backends, tls='"starttls"', port=f'"{injected.port}"')
    verdict("octets in clear behind STARTTLS", backends.ask("alice", "x"), "temporary", "in clear")
    injected.close()
    configure(backends, tls='"never"', port=f'"{free_port()}"')
    verdict("down", backends.ask("alice", "x"), "temporary", "refused")
    configure(backends, host='"no-such-host.invalid"')
    verdict("a name that is none", backends.ask("alice", "x"), "temporary")
tap.done()
